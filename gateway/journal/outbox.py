"""What is to be sent: due, confirmed, postponed and parked by destination, or sent again."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from core import limits
from gateway.journal.database import among, insert_rows
from gateway.journal.evidence import chain
from gateway.journal.rows import headers_of, storable
from gateway.journal.tables import DUE as UNSENT
from gateway.journal.tables import REFUSED, destination, inbox, outbox
from gateway.journal.values import MESSAGE_ID, Due

# A failing destination rests 1, 2, 4 ... seconds, at most five minutes, and is parked after some four hours.
FIRST_PAUSE, LONGEST_PAUSE, FAILURES = timedelta(seconds=1), timedelta(minutes=5), 55

# Both databases know inserts that give way to what is there, each in SQLAlchemy's dialect.
INSERT: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}

THERE = select(outbox.c.id).where(among(outbox.c.id, "ids"))

# A pause that ends later than one that began now was made by a clock that has been set back since.
RESTING = select(destination.c.name).where(
    or_(
        and_(destination.c.paused_until > bindparam("now"), destination.c.paused_until <= bindparam("longest")),
        destination.c.parked_at.is_not(None),
    )
)

NEXT = (
    select(outbox.c.position, func.length(outbox.c.body))
    .where(outbox.c.destination == bindparam("name"), UNSENT)
    .order_by(outbox.c.position)
    .limit(bindparam("share"))
)

DUE = (
    select(
        *(outbox.c[name] for name in Due.__dataclass_fields__ if name not in ("answers", "correlation")),
        inbox.c.id,
        inbox.c.headers,
        outbox.c.position,
    )
    .join(inbox, inbox.c.sequence == outbox.c.inbox)
    .where(among(outbox.c.position, "chosen"))
)

SENT = (
    update(outbox)
    .where(among(outbox.c.id, "ids"), outbox.c.sent_at.is_(None))
    .values(sent_at=bindparam("now"), attempts=outbox.c.attempts + 1, error=None)
    .returning(outbox.c.position, outbox.c.id, outbox.c.inbox, outbox.c.destination)
)

ANSWERED_AT = (
    select(outbox.c.destination)
    .join(inbox, inbox.c.sequence == outbox.c.inbox)
    .where(inbox.c.id == bindparam("id"), outbox.c.kind != "request")
    .order_by(outbox.c.position.desc())
    .limit(1)
)

# What makes something due again, whatever became of it.
AGAIN: dict[str, Any] = {"sent_at": None, "parked_at": None, "closed_at": None, "attempts": 0, "error": None}

WELL = delete(destination).where(among(destination.c.name, "names"))

# The destinations that something waits for, those that waited longest first: one step in the index for each of them.
WAITING = text(
    """
    WITH RECURSIVE waiting (name) AS (
        SELECT min(destination) FROM outbox WHERE sent_at IS NULL AND parked_at IS NULL
        UNION ALL
        SELECT (
            SELECT min(destination) FROM outbox
            WHERE sent_at IS NULL AND parked_at IS NULL AND destination > waiting.name
        )
        FROM waiting WHERE waiting.name IS NOT NULL
    )
    SELECT name, (
        SELECT min(position) FROM outbox
        WHERE sent_at IS NULL AND parked_at IS NULL AND destination = waiting.name
    ) AS first
    FROM waiting WHERE name IS NOT NULL ORDER BY first
    """
)


def pause(failures: int, fraction: float) -> timedelta:
    """Return the back-off of a destination after its n-th failure in a row: doubling, three quarters to all of it."""
    longest: timedelta = min(FIRST_PAUSE * 2 ** min(failures - 1, 20), LONGEST_PAUSE)
    return longest * (0.75 + 0.25 * fraction)


def send(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Put rows into the outbox; an id that is there already is the same thing, and stays.

    Who sends holds the row that it answers, so nobody puts the same in between.
    """
    if rows:
        there = set(connection.scalars(THERE, {"ids": [row["id"] for row in rows]}))
        insert_rows(connection, outbox, [row for row in rows if row["id"] not in there])


def due(connection: Connection, limit: int, now: datetime) -> list[Due]:
    """Return what is to be sent now: by destination, in order within one, each with a fair share of the limit.

    It is no more than may be handled in one go, but of each destination at least one item: when nothing else went out,
    nobody could tell a destination that hangs from a broker that does. Destinations that rest or are parked are left
    out. Reading holds nothing: run one dispatcher.
    """
    chosen: list[int] = []
    resting = set(connection.scalars(RESTING, {"now": now, "longest": now + LONGEST_PAUSE}))
    waiting = [row.name for row in connection.execute(WAITING) if row.name not in resting]
    for done, name in enumerate(waiting):
        share = -(-(limit - len(chosen)) // (len(waiting) - done))  # rounded up
        if not share:
            break
        rows = connection.execute(NEXT, {"name": name, "share": share}).all()
        together = limits.in_one_go((row[1] for row in rows), limits.BATCH_BYTES // len(waiting))
        chosen += [row[0] for row in rows[:together]]
    if not chosen:
        return []
    items = {
        row.position: Due(*[*row[:-2], headers_of(row).get(MESSAGE_ID)])
        for row in connection.execute(DUE, {"chosen": chosen})
    }
    return [items[position] for position in chosen if position in items]


def mark_sent(connection: Connection, ids: Sequence[str], now: datetime) -> int:
    """Mark as sent what the broker confirmed, and clear the failures of those destinations; return how many."""
    if not ids:
        return 0
    rows = sorted(connection.execute(SENT, {"ids": ids, "now": now}), key=lambda row: row.position)
    connection.execute(WELL, {"names": sorted({row.destination for row in rows})})
    chain(connection, [(now, "sent", row.inbox, {"id": row.id, "destination": row.destination}) for row in rows])
    return len(rows)


def postpone(connection: Connection, name: str, ids: Sequence[str], error: str, now: datetime) -> datetime | None:
    """Let a destination rest after a failure, and count the attempt on the items tried.

    Returns the time when it is tried again; None when it is parked, that is until `unpark`. The whole destination
    waits, in order; the others go on.
    """
    error = storable(error)[:500]
    tried = update(outbox).where(among(outbox.c.id, "ids"))
    connection.execute(tried.values(attempts=outbox.c.attempts + 1, error=error), {"ids": ids})
    first = INSERT[connection.dialect.name](destination).values(name=name, failures=1, paused_until=now, error=error)
    again = first.on_conflict_do_update(
        index_elements=[destination.c.name], set_={"failures": destination.c.failures + 1, "error": error}
    )
    row = connection.execute(again.returning(destination.c.failures, destination.c.parked_at)).one()
    # Jitter, so that many destinations of one broken broker do not come back in one instant.
    until = now + pause(row.failures, random.random())  # noqa: S311
    parked = row.parked_at or (now if row.failures >= FAILURES else None)
    connection.execute(
        update(destination).where(destination.c.name == name).values(paused_until=until, parked_at=parked)
    )
    if parked and not row.parked_at:
        detail = {"destination": name, "failures": row.failures, "error": error}
        chain(connection, [(now, "destination parked", None, detail)])
    return None if parked else until


def park_refused(connection: Connection, refused: Mapping[str, str], now: datetime) -> None:
    """Take items out of the way that the broker refuses to take, each with its words; their destination goes on."""
    parked = (
        update(outbox)
        .where(outbox.c.id == bindparam("refused_id"), UNSENT)
        .values(parked_at=now, attempts=outbox.c.attempts + 1, error=bindparam("why"))
        .returning(outbox.c.inbox, outbox.c.destination)
    )
    events: list[tuple[datetime, str, int | None, object]] = []
    for id_, why in refused.items():
        error = storable(why)[:500]
        for row in connection.execute(parked, {"refused_id": id_, "why": error}):
            detail = {"id": id_, "destination": row.destination, "error": error}
            events.append((now, "outgoing parked", row.inbox, detail))
    chain(connection, events)


def unpark(connection: Connection, name: str, now: datetime, operator: str = "") -> int:
    """Let a parked or resting destination, and what of it was parked alone, be tried at once; return how many wait."""
    again = update(outbox).where(outbox.c.destination == name, REFUSED)
    freed = connection.execute(again.values(parked_at=None)).rowcount
    detail = {"destination": name} | ({"operator": storable(operator)} if operator else {})
    if connection.execute(delete(destination).where(destination.c.name == name)).rowcount or freed:
        chain(connection, [(now, "destination unparked", None, detail)])
    waiting = select(func.count()).where(outbox.c.destination == name, UNSENT)
    return connection.scalar(waiting) or 0


def destinations(connection: Connection) -> list[dict[str, Any]]:
    """Return every destination that something waits for or that failed, with its backlog and state."""
    backlog = connection.execute(
        select(
            outbox.c.destination.label("name"),
            func.count().filter(outbox.c.parked_at.is_(None)).label("waiting"),
            func.count(outbox.c.parked_at).label("refused"),
            func.min(outbox.c.created_at, type_=outbox.c.created_at.type).label("oldest"),
        )
        .where(outbox.c.sent_at.is_(None), outbox.c.closed_at.is_(None))
        .group_by(outbox.c.destination)
    ).mappings()
    found: dict[str, dict[str, Any]] = {row["name"]: dict(row) for row in backlog}
    for row in connection.execute(select(destination)).mappings():
        found.setdefault(row["name"], {"name": row["name"], "waiting": 0, "refused": 0, "oldest": None}).update(row)
    blank = {"failures": 0, "paused_until": None, "parked_at": None, "error": None}
    return [blank | found[name] for name in sorted(found)]


def answered_at(connection: Connection, first: str) -> str | None:
    """Return the queue that the answers to a transmission (its inbox id) go to; None where there are none."""
    queue: str | None = connection.scalar(ANSWERED_AT, {"id": first})
    return queue


def resend(connection: Connection, first: str, now: datetime) -> int:
    """Send the stored answers to a transmission (its inbox id) again, for the operator; return their number."""
    return due_again(connection, first, None, now)


def due_again(connection: Connection, first: str, resent: int | None, now: datetime) -> int:
    """Make a transmission's answers due; the request to the engine is not an answer."""
    sequence = connection.scalar(select(inbox.c.sequence).where(inbox.c.id == first))
    again = update(outbox).where(outbox.c.inbox == sequence, outbox.c.kind != "request").values(**AGAIN)
    count = connection.execute(again).rowcount
    chain(connection, [(now, "resend", resent or sequence, {"first": first, "answers": count})])
    return count
