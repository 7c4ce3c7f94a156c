"""What the engine said: what its request asked, and what a result settles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, select, update

from core.declaration import Nature
from core.register import may_settle, reaches
from core.transmission import Received
from gateway.journal.database import among
from gateway.journal.evidence import chain
from gateway.journal.inbox import close, still_held
from gateway.journal.outbox import KEEP, send
from gateway.journal.rows import AnyRow, fact_of, outgoing_row, sent_detail, storable
from gateway.journal.tables import assessment_request, declaration_version, inbox, outbox
from gateway.journal.values import Asked, Claimed, Settlement
from gateway.journal.verdicts import WITHDRAWAL_ASKED

ASKED = (
    select(
        declaration_version,
        WITHDRAWAL_ASKED,
        assessment_request.c.ordinal.label("asked_ordinal"),
        assessment_request.c.nature.label("asked_nature"),
        inbox.c.id,
        inbox.c.partner.label("sender"),
        inbox.c.body,
        inbox.c.received_at,
        inbox.c.digest,
        outbox.c.body.label("request"),
    )
    .select_from(assessment_request)
    .join(
        declaration_version,
        and_(
            declaration_version.c.transaction_number == assessment_request.c.transaction_number,
            declaration_version.c.test == assessment_request.c.test,
            declaration_version.c.attempt == assessment_request.c.attempt,
        ),
    )
    .join(inbox, inbox.c.sequence == assessment_request.c.inbox)
    .join(outbox, outbox.c.id == assessment_request.c.id)
    .where(assessment_request.c.id == bindparam("request"))
)

# A purge is waited for, or waits: see `outbox.keep`.
CAUSES = KEEP.where(
    inbox.c.sequence.in_(select(assessment_request.c.inbox).where(among(assessment_request.c.id, "ids")))
)

REQUESTS = (
    select(assessment_request)
    .where(among(assessment_request.c.id, "ids"))
    .order_by(assessment_request.c.id)
    .with_for_update()
)

# Held to the end, in one order: two results about one version wait for each other.
VERSIONS = (
    select(*(declaration_version.c[name] for name in ("transaction_number", "test", "attempt", "nature", "status")))
    .where(among(declaration_version.c.transaction_number, "numbers"))
    .order_by(declaration_version.c.transaction_number, declaration_version.c.attempt)
    .with_for_update()
)


def asked(connection: Connection, request_id: str) -> Asked | None:
    """Return what a request to the engine asked, None if there is no such request."""
    row = connection.execute(ASKED, {"request": request_id}).one_or_none()
    if row is None:
        return None
    return Asked(
        replace(fact_of(row), nature=Nature(row.asked_nature)),
        Received(row.id, row.sender or None, row.body, row.received_at, row.digest),
        row.asked_ordinal,
        row.request,
    )


def settle(connection: Connection, done: Sequence[tuple[Claimed, Settlement]], *, now: datetime) -> list[bool]:
    """Write the engine's results with the answers they cause, and tell which took effect.

    False for a repeat, an unknown request (noted, nothing is sent) or a lost lease. The result is kept as it came;
    what it changes is the register's to say.
    """
    applied: set[int] = set()
    held = still_held(connection, [row for row, _ in done])
    ids = sorted({settlement.request_id for _, settlement in done})
    connection.execute(CAUSES, {"ids": ids}).all()
    requests = {row.id: row for row in connection.execute(REQUESTS, {"ids": ids})}
    status = {request: row.status for request, row in requests.items()}
    numbers = sorted({request.transaction_number for request in requests.values()})
    versions = {
        (row.transaction_number, row.test, row.attempt): (Nature(row.nature), row.status)
        for row in connection.execute(VERSIONS, {"numbers": numbers})
    }
    outgoing: list[dict[str, Any]] = []
    events: list[tuple[datetime, str, int | None, object]] = []
    closed: list[tuple[Claimed, str, str | None]] = []
    for row, settlement in done:
        if row.sequence not in held:
            continue
        request = requests.get(settlement.request_id)
        if request is None or not may_settle(status[request.id], settlement.status):
            note = "repeats a result" if request else "answers no request of ours"
            closed.append((row, "done", note))
            events.append((now, "ignored", row.sequence, {"request": settlement.request_id, "why": note}))
            continue
        status[request.id] = settlement.status
        connection.execute(
            update(assessment_request)
            .where(assessment_request.c.id == request.id)
            .values(
                status=settlement.status,
                result=storable(row.body.decode("utf-8", "replace")),
                settled_at=now,
            )
        )
        key = request.transaction_number, request.test, request.attempt
        if key in versions and reaches(Nature(request.nature), settlement.status, *versions[key]):
            versions[key] = versions[key][0], settlement.status
            _settle_version(connection, request, settlement)
        outgoing += [outgoing_row(item, request.inbox, now, request.ordinal) for item in settlement.outgoing]
        closed.append((row, "done", None))
        detail = {
            "request": settlement.request_id,
            "result": row.id,
            "digest": row.digest,
            "transaction_number": request.transaction_number,
            "version": request.version,
            "status": settlement.status,
            "payment_due": settlement.payment_due.isoformat() if settlement.payment_due else None,
            "outgoing": [sent_detail(item) for item in settlement.outgoing],
        }
        events.append((now, "settled", request.inbox, detail))
        applied.add(row.sequence)
    send(connection, outgoing)
    close(connection, closed, now)
    chain(connection, events)
    return [row.sequence in applied for row, _ in done]


def _settle_version(connection: Connection, request: AnyRow, settlement: Settlement) -> None:
    """Set the version that a request was about to what the engine made of it."""
    values: dict[str, Any] = {"status": settlement.status}
    if settlement.payment_due:
        values["payment_due"] = settlement.payment_due
    connection.execute(
        update(declaration_version)
        .where(
            declaration_version.c.transaction_number == request.transaction_number,
            declaration_version.c.test == request.test,
            declaration_version.c.attempt == request.attempt,
        )
        .values(values)
    )
