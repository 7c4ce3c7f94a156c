"""What operators look at and decide: lists, lives of messages, figures of health, what is parked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, or_, select, text, update

from core import limits
from core.errors import GatewayError
from core.transmission import Outcome
from gateway.journal.database import insert_rows
from gateway.journal.desk import unsettled
from gateway.journal.evidence import chain
from gateway.journal.outbox import send
from gateway.journal.replays import executions
from gateway.journal.rows import judged_detail, message_row, outgoing_row, storable
from gateway.journal.tables import (
    DUE,
    REFUSED,
    UNACKNOWLEDGED,
    assessment_request,
    audit,
    declaration_version,
    destination,
    execution,
    inbox,
    message,
    outbox,
)
from gateway.journal.values import Recorded
from gateway.journal.witness import altered_of


def list_messages(
    connection: Connection,
    *,
    partner: str | None = None,
    transaction_number: str | None = None,
    verdict: str | None = None,
    state: str | None = None,
    channel: str | None = None,
    sender: str | None = None,
    reference: str | None = None,
    finding: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 50,
) -> list[dict[str, Any]]:
    """Return transmissions and the messages in them, newest first, one dict each; None filters nothing.

    `reference` is the interchange's or the message's own; `finding` a code or its beginning; `until` is not included.
    """
    shown = [inbox.c[name] for name in ("id", "channel", "partner", "received_at", "state", "lane", "note")]
    judged = [
        message.c[name]
        for name in (
            "ordinal", "syntax", "type", "sender", "reference", "transaction_number", "version", "verdict",
            "findings", "nature", "test",
        )
    ]  # fmt: skip
    query = select(*shown, *judged).outerjoin(message, message.c.inbox == inbox.c.sequence)
    filters = {
        inbox.c.partner: partner,
        message.c.transaction_number: transaction_number,
        message.c.verdict: verdict,
        inbox.c.state: state,
        inbox.c.channel: channel,
        message.c.sender: sender,
    }
    for column, wanted in filters.items():
        if wanted is not None:
            query = query.where(column == wanted)
    if reference is not None:
        query = query.where(or_(message.c.reference == reference, message.c.message_reference == reference))
    if finding is not None:
        query = query.where(message.c.findings.contains(f'"code":"{finding.upper()}', autoescape=True))
    if since is not None:
        query = query.where(inbox.c.received_at >= since)
    if until is not None:
        query = query.where(inbox.c.received_at < until)
    rows = connection.execute(query.order_by(inbox.c.sequence.desc(), message.c.ordinal).limit(limit))
    return [{**row, "findings": json.loads(row["findings"] or "[]")} for row in rows.mappings()]


def unacknowledged(
    connection: Connection, now: datetime, partner: str | None = None, limit: int = 50
) -> list[dict[str, Any]]:
    """Return the answers that their partner rejected, or was to acknowledge and did not in time, the oldest first.

    Keys: `id`, `transmission` (that it answers), `partner`, `kind`, `destination`, `sent_at`, `acknowledgement`
    (awaited, or 4 for rejected), `acknowledged_at`.
    """
    overdue = now - timedelta(hours=limits.ACKNOWLEDGEMENT_HOURS)
    shown = ("id", "kind", "destination", "sent_at", "acknowledgement", "acknowledged_at")
    query = (
        select(*(outbox.c[name] for name in shown), inbox.c.id.label("transmission"), inbox.c.partner)
        .join(inbox, inbox.c.sequence == outbox.c.inbox)
        .where(UNACKNOWLEDGED, or_(outbox.c.acknowledgement == "4", outbox.c.sent_at < overdue))
    )
    if partner is not None:
        query = query.where(inbox.c.partner == partner)
    rows = connection.execute(query.order_by(outbox.c.sent_at, outbox.c.position).limit(limit)).mappings()
    return [dict(row) for row in rows]


def show(connection: Connection, wanted: str) -> dict[str, Any] | None:
    """Return the whole life of a transmission, by its id or the beginning of it; None if there is none.

    Keys: those of the inbox, `intact` (the bytes still have their digest), `messages`, `declarations`, `requests`,
    `outbox`, `audit`, `executions` (replays). Raises GatewayError when several ids begin so.
    """
    found = connection.execute(
        select(inbox).where(inbox.c.id.between(storable(wanted), storable(wanted) + "g")).limit(2)
    ).mappings()
    rows = [dict(row) for row in found]
    if len(rows) > 1 and rows[0]["id"] != wanted:
        raise GatewayError(f"several transmissions have an id that begins with {wanted}")
    if not rows:
        return None
    life = rows[0]
    life["headers"] = json.loads(life["headers"])
    life["unproven"] = json.loads(life["unproven"]) if life["unproven"] else None
    life["altered"] = altered_of(connection, life["sequence"])
    life["intact"] = life["altered"] is None
    parts = {
        "messages": select(message).where(message.c.inbox == life["sequence"]).order_by(message.c.ordinal),
        "declarations": select(declaration_version)
        .where(declaration_version.c.inbox == life["sequence"])
        .order_by(declaration_version.c.ordinal),
        "requests": select(assessment_request)
        .where(assessment_request.c.inbox == life["sequence"])
        .order_by(assessment_request.c.ordinal),
        "outbox": select(outbox).where(outbox.c.inbox == life["sequence"]).order_by(outbox.c.position),
        "audit": select(audit).where(audit.c.subject == life["sequence"]).order_by(audit.c.n),
    }
    for name, query in parts.items():
        life[name] = [dict(row) for row in connection.execute(query).mappings()]
    replays = select(execution).where(execution.c.inbox == life["sequence"]).order_by(execution.c.number)
    life["executions"] = executions(connection, replays)
    for part in ("messages", "declarations", "audit"):
        for row in life[part]:
            row.update({name: json.loads(row[name]) for name in ("envelope", "findings", "detail") if name in row})
    return life


def counts(connection: Connection, now: datetime) -> dict[str, Any]:
    """Return the figures of health: what waits, since when, and what stands still; ages in seconds."""
    unfinished = connection.execute(
        select(inbox.c.state, func.count(), func.min(inbox.c.received_at, type_=inbox.c.received_at.type))
        .where(inbox.c.finished_at.is_(None))
        .group_by(inbox.c.state)
    ).all()
    waiting, since = connection.execute(
        select(func.count(), func.min(outbox.c.created_at, type_=outbox.c.created_at.type)).where(DUE)
    ).one()
    refused = connection.scalar(select(func.count()).where(REFUSED))
    parked = connection.scalar(select(func.count()).where(inbox.c.state == text("'parked'")))
    overdue = now - timedelta(hours=limits.ACKNOWLEDGEMENT_HOURS)
    silent, rejected = connection.execute(
        select(
            func.count().filter(outbox.c.acknowledgement == "awaited", outbox.c.sent_at < overdue),
            func.count().filter(outbox.c.acknowledgement == "4"),
        ).where(UNACKNOWLEDGED)
    ).one()
    resting = connection.execute(
        select(func.count(), func.count(destination.c.parked_at)).where(destination.c.failures > 0)
    ).one()
    number = {state: count for state, count, _ in unfinished}
    oldest = min((at for _, _, at in unfinished), default=None)
    return {
        "received": number.get("received", 0),
        "working": number.get("working", 0),
        "parked": parked,
        "answers_unacknowledged": silent,
        "answers_rejected": rejected,
        "oldest_seconds": (now - oldest).total_seconds() if oldest else 0.0,
        "outbox": waiting,
        "outbox_parked": refused,
        "outbox_oldest_seconds": (now - since).total_seconds() if since else 0.0,
        "destinations_paused": resting[0] - resting[1],
        "destinations_parked": resting[1],
        **unsettled(connection, now),
    }


def release_parked(connection: Connection, sequence: int, operator: str, now: datetime) -> bool:
    """Give a parked transmission to the workers again, its attempts forgotten; False if it is not parked."""
    free = {"state": "received", "attempts": 0, "worker": None, "lease_until": None, "finished_at": None}
    if not _unpark(connection, sequence, {**free, "note": None}):
        return False
    chain(connection, [(now, "released", sequence, {"operator": storable(operator)})])
    return True


def refuse_parked(
    connection: Connection,
    row: Recorded,
    outcome: Outcome | None,
    *,
    why: str,
    specs: str,
    operator: str,
    now: datetime,
) -> bool:
    """End a parked transmission with an operator's refusal and its answers; False if it is not parked.

    Without an outcome (a result of the engine: nobody to answer) it is only closed.
    """
    closed = {"state": "done", "finished_at": now, "note": storable(f"refused by {operator}: {why}")[:500]}
    if not _unpark(connection, row.sequence, closed):
        return False
    detail: dict[str, object] = {"operator": storable(operator), "why": storable(why)}
    if outcome:
        messages = [message_row(row, judged, specs, now) for judged in outcome.judged]
        insert_rows(connection, message, messages)
        items = [item for item in outcome.outgoing if item.kind != "request"]
        send(connection, [outgoing_row(item, row.sequence, now, item.ordinal) for item in items])
        detail |= judged_detail(outcome, specs)
    chain(connection, [(now, "refused by operator", row.sequence, detail)])
    return True


def _unpark(connection: Connection, sequence: int, values: Mapping[str, object]) -> bool:
    """Set what becomes of a transmission, if it is parked; tell whether it was."""
    parked = update(inbox).where(inbox.c.sequence == sequence, inbox.c.state == "parked")
    return connection.execute(parked.values(**values)).rowcount == 1
