"""The far side as an operator sees and ends it: requests that the engine has not settled, answers that are open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, text, union_all, update

from core import limits
from core.register import ACCEPTED
from gateway.journal.database import among, insert_rows
from gateway.journal.evidence import chain
from gateway.journal.outbox import HOW_IT_STANDS, NO_LONGER_DUE, NOT_SENT, OUTGOING, WELL, make_due
from gateway.journal.rows import AnyRow, storable
from gateway.journal.tables import (
    REFUSED,
    UNACKNOWLEDGED,
    UNSETTLED,
    WAITS,
    assessment_request,
    due,
    inbox,
    interchange_reference,
    outbox,
    sent,
)

# Every partner that anything on file is of: a step in the index for each, not a look at seven years of transmissions.
PARTNERS = text(
    """
    WITH RECURSIVE known (partner) AS (
        SELECT min(partner) FROM interchange_reference
        UNION ALL
        SELECT (SELECT min(partner) FROM interchange_reference WHERE partner > known.partner)
        FROM known WHERE known.partner IS NOT NULL
    )
    SELECT partner FROM known WHERE partner IS NOT NULL AND partner <> ''
    """
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which answers or requests are meant; None chooses by nothing. `ids` may be the beginnings of ids.

    `since` and `until` (not included) are when it was sent, or made where it was not sent.
    """

    ids: tuple[str, ...] = ()
    partner: str | None = None
    destination: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def conditions(self) -> list[ColumnElement[bool]]:
        """The conditions on the outbox and its transmission."""
        at = func.coalesce(sent.c.sent_at, outbox.c.created_at, type_=outbox.c.created_at.type)
        wanted: list[ColumnElement[bool]] = []
        if self.ids:
            wanted.append(or_(*(outbox.c.id.between(storable(each), storable(each) + "g") for each in self.ids)))
        if self.partner is not None:
            wanted.append(inbox.c.partner == self.partner)
        if self.destination is not None:
            wanted.append(outbox.c.destination == self.destination)
        if self.since is not None:
            wanted.append(at >= self.since)
        if self.until is not None:
            wanted.append(at < self.until)
        return wanted


def partners(connection: Connection) -> list[str]:
    """Return the ids of all partners whose messages are on file, those who have left included."""
    return list(connection.scalars(PARTNERS))


def answer_queues(connection: Connection, partner: str) -> list[str]:
    """Return the queues that a partner's oldest transmission on file, and what is still to be sent, are answered at."""
    ours = select(outbox.c.destination).where(outbox.c.kind != "request")
    first = select(interchange_reference.c.inbox).where(interchange_reference.c.partner == partner).limit(1)
    waiting = ours.join(due, due.c.position == outbox.c.position).join(inbox, inbox.c.sequence == outbox.c.inbox)
    wanted = union_all(ours.where(outbox.c.inbox.in_(first)), waiting.where(WAITS, inbox.c.partner == partner))
    return sorted(set(connection.scalars(wanted)))


# ------------------------------------------------------------------------------------------------ requests


def requests(connection: Connection, chosen: Chosen, limit: int | None = None) -> list[dict[str, Any]]:
    """Return the requests on which the engine has yet to decide, the oldest first.

    Keys: `id`, `transaction_number`, `version`, `nature`, `status` (accepted: not a word; pending: a review), `test`,
    `destination`, `created_at`, `sent_at`, `parked_at`, `transmission` (that caused it), `partner`.
    """
    asked = [assessment_request.c[name] for name in ("id", "transaction_number", "version", "nature", "status", "test")]
    shown = [outbox.c.destination, outbox.c.created_at, *(HOW_IT_STANDS[name] for name in ("sent_at", "parked_at"))]
    query = (
        select(*asked, *shown, inbox.c.id.label("transmission"), inbox.c.partner)
        .join(OUTGOING, outbox.c.id == assessment_request.c.id)
        .join(inbox, inbox.c.sequence == outbox.c.inbox)
        .where(UNSETTLED, *chosen.conditions)
        .order_by(outbox.c.created_at, outbox.c.position)
        .limit(limit)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def resend_requests(connection: Connection, ids: Sequence[str], operator: str, now: datetime) -> int:
    """Send requests that were sent and are not decided on again, with the same ids and bytes; return how many."""
    undecided = select(assessment_request.c.id).where(UNSETTLED)
    ended = or_(sent.c.position.is_not(None), REFUSED)
    rows = make_due(connection, among(outbox.c.id, "wanted", list(ids)), outbox.c.id.in_(undecided), ended)
    return _noted(connection, rows, "request resent", operator, now)


def unsettled(connection: Connection, now: datetime) -> dict[str, Any]:
    """Return the figures of requests without a word of the engine's: their number, and the age of the oldest."""
    real = assessment_request.c.test.is_(False)
    count, tests, oldest = connection.execute(
        select(
            func.count().filter(real),
            func.count().filter(assessment_request.c.test),
            func.min(outbox.c.created_at, type_=outbox.c.created_at.type).filter(real),
        )
        .select_from(assessment_request)
        .join(outbox, outbox.c.id == assessment_request.c.id)
        .where(UNSETTLED, assessment_request.c.status == ACCEPTED)
    ).one()
    return {
        "requests_unsettled": count,
        "test_requests_unsettled": tests,
        "requests_oldest_seconds": (now - oldest).total_seconds() if oldest else 0.0,
    }


# ------------------------------------------------------------------------------------------------ answers

# What an operator may end: what was not sent, and what its partner rejected or has not acknowledged.
OPEN = outbox.c.position.in_(union_all(select(due.c.position), select(outbox.c.position).where(UNACKNOWLEDGED)))

ANSWER = outbox.c.kind != "request"


def open_answers(
    connection: Connection, chosen: Chosen, now: datetime, limit: int | None = None
) -> list[dict[str, Any]]:
    """Return the answers that are not sent, or that their partner rejected or has not acknowledged, the oldest first.

    Keys: `id`, `kind`, `destination`, `created_at`, `sent_at`, `error`, `acknowledgement`, `acknowledged_at`,
    `transmission` (that it answers), `partner`, and `state`: waits, refused (by the broker), awaits CONTRL, overdue or
    rejected.
    """
    names = ("id", "kind", "destination", "created_at", "acknowledgement", "acknowledged_at")
    query = (
        select(
            *(outbox.c[name] for name in names),
            *(HOW_IT_STANDS[name] for name in ("sent_at", "parked_at", "error")),
            inbox.c.id.label("transmission"),
            inbox.c.partner,
        )
        .select_from(OUTGOING)
        .join(inbox, inbox.c.sequence == outbox.c.inbox)
        .where(ANSWER, OPEN, *chosen.conditions)
        .order_by(outbox.c.created_at, outbox.c.position)
        .limit(limit)
    )
    return [{**row, "state": _state(row, now)} for row in connection.execute(query).mappings()]


def _state(row: Any, now: datetime) -> str:
    """Return how an open answer stands."""
    if row["sent_at"] is None:
        return "refused" if row["parked_at"] else "waits"
    if row["acknowledgement"] == "4":
        return "rejected"
    overdue = now - row["sent_at"] > timedelta(hours=limits.ACKNOWLEDGEMENT_HOURS)
    return "overdue" if overdue else "awaits CONTRL"


def sent_answers(connection: Connection, chosen: Chosen) -> list[str]:
    """Return the ids of the chosen answers that were sent."""
    query = select(outbox.c.id).join(sent, sent.c.position == outbox.c.position)
    query = query.join(inbox, inbox.c.sequence == outbox.c.inbox).where(ANSWER, sent.c.sent_at.is_not(None))
    return list(connection.scalars(query.where(*chosen.conditions).order_by(outbox.c.position)))


def resend_answers(connection: Connection, ids: Sequence[str], operator: str, now: datetime) -> int:
    """Send answers that were sent once more, with the same ids and bytes; return how many."""
    rows = make_due(connection, among(outbox.c.id, "wanted", list(ids)), ANSWER, sent.c.sent_at.is_not(None))
    return _noted(connection, rows, "answer resent", operator, now)


def close_answers(connection: Connection, ids: Sequence[str], operator: str, why: str, now: datetime) -> int:
    """End answers: what was not sent is not to be sent, what is not acknowledged need not be; return how many.

    A destination for which nothing waits any more has no failure either.
    """
    wanted = {"wanted": list(ids)}
    mine = and_(among(outbox.c.id, "wanted"), ANSWER)
    told = outbox.c.id, outbox.c.inbox, outbox.c.destination
    unsent = connection.execute(select(outbox.c.position, *told).where(mine), wanted).all()
    positions = {"positions": [row.position for row in unsent]}
    ended = {row.position: row for row in connection.execute(NO_LONGER_DUE, positions)}
    closing = [
        {
            "position": row.position,
            "attempts": row.attempts,
            "closed_at": now,
            "parked_at": row.parked_at or now,
            "error": row.error,
        }
        for row in ended.values()
    ]
    connection.execute(NOT_SENT, {"positions": list(ended)})
    insert_rows(connection, sent, closing)
    unsent = [row for row in unsent if row.position in ended]
    closed = {"acknowledgement": "closed", "acknowledged_at": now}
    silent = update(outbox).where(mine, UNACKNOWLEDGED).values(**closed).returning(*told)
    rows = {row.id: row for row in (*unsent, *connection.execute(silent, wanted))}
    well: list[str] = []
    for name in sorted({row.destination for row in unsent}):
        waits = select(due.c.position).where(due.c.destination == name).limit(1)
        if connection.scalar(waits) is None:
            well.append(name)
    connection.execute(WELL, {"names": well})
    return _noted(connection, list(rows.values()), "answer closed", operator, now, why)


def _noted(
    connection: Connection, rows: Sequence[AnyRow], event: str, operator: str, now: datetime, why: str | None = None
) -> int:
    """Write an operator's decision on things of the outbox into the audit chain; return how many they are."""
    more = {"operator": storable(operator)} | ({"why": storable(why)[:500]} if why else {})
    chain(connection, [(now, event, row.inbox, {"id": row.id, **more}) for row in rows])
    return len(rows)
