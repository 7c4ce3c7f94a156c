"""What is to be sent: due, confirmed, postponed and parked by destination, or sent again."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from core import limits
from gateway.journal.database import among, insert_rows
from gateway.journal.evidence import chain
from gateway.journal.rows import AnyRow, headers_of, storable
from gateway.journal.tables import REFUSED, WAITS, destination, inbox, outbox, resent, sent
from gateway.journal.tables import due as open_
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
    select(open_.c.position, open_.c.size)
    .where(open_.c.destination == bindparam("name"), WAITS)
    .order_by(open_.c.position)
    .limit(bindparam("share"))
)

DUE = (
    select(
        *(outbox.c[name] for name in ("id", "kind", "destination", "content_type", "body", "created_at")),
        open_.c.attempts,
        inbox.c.id,
        inbox.c.headers,
        outbox.c.position,
    )
    .join(open_, open_.c.position == outbox.c.position)
    .join(inbox, inbox.c.sequence == outbox.c.inbox)
    .where(among(outbox.c.position, "chosen"))
)

# Everything written for the outbox, with what is open about it or became of it.
OUTGOING = outbox.outerjoin(open_, open_.c.position == outbox.c.position).outerjoin(
    sent, sent.c.position == outbox.c.position
)
_STANDING: dict[str, ColumnElement[Any]] = {
    "attempts": func.coalesce(open_.c.attempts, sent.c.attempts),
    "sent_at": sent.c.sent_at,
    "parked_at": func.coalesce(open_.c.parked_at, sent.c.parked_at, type_=sent.c.parked_at.type),
    "closed_at": sent.c.closed_at,
    "error": func.coalesce(open_.c.error, sent.c.error),
}
HOW_IT_STANDS = {name: how.label(name) for name, how in _STANDING.items()}

# Newly written things are due; so is again what is to be sent once more, whatever became of it.
_AS_DUE = select(
    outbox.c.position, outbox.c.destination, outbox.c.created_at, func.length(outbox.c.body), literal_column("0")
).order_by(outbox.c.position)
_OPENED = ["position", "destination", "created_at", "size", "attempts"]
OPEN_NEW = insert(open_).from_select(_OPENED, _AS_DUE.where(among(outbox.c.id, "ids")))
AS_IF_NEW = {"attempts": 0, "error": None, "parked_at": None}
SENT_BEFORE = insert(resent).from_select(
    ["position", "link"],
    select(sent.c.position, sent.c.link).where(among(sent.c.position, "positions"), sent.c.link.is_not(None)),
)

CONFIRMED = select(outbox.c.position, outbox.c.id, outbox.c.destination).where(among(outbox.c.id, "ids"))
NOT_SENT = delete(sent).where(among(sent.c.position, "positions"))
CLOSED = (
    select(sent.c.position)
    .where(among(sent.c.position, "positions"), sent.c.sent_at.is_(None))
    .order_by(sent.c.position)
    .with_for_update()
)


def in_order(*chosen: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition that something due is chosen; however it lies in the table, all wait in one direction."""
    return open_.c.position.in_(
        select(open_.c.position).where(*chosen).order_by(open_.c.position).with_for_update().correlate(None)
    )


NO_LONGER_DUE = delete(open_).where(in_order(among(open_.c.position, "positions"))).returning(*open_.c)

# Who adds to what is finished is alone with it, and keeps a purge from taking it away meanwhile.
KEEP = select(inbox.c.sequence).order_by(inbox.c.sequence).with_for_update(key_share=True)
THESE = KEEP.where(among(inbox.c.sequence, "kept"))

ANSWERED_AT = (
    select(outbox.c.destination)
    .join(inbox, inbox.c.sequence == outbox.c.inbox)
    .where(inbox.c.id == bindparam("id"), outbox.c.kind != "request")
    .order_by(outbox.c.position.desc())
    .limit(1)
)

WELL = delete(destination).where(among(destination.c.name, "names"))

# The destinations that something waits for, those that waited longest first: one step in the index for each of them.
WAITING = text(
    """
    WITH RECURSIVE waiting (name) AS (
        SELECT min(destination) FROM due WHERE parked_at IS NULL
        UNION ALL
        SELECT (SELECT min(destination) FROM due WHERE parked_at IS NULL AND destination > waiting.name)
        FROM waiting WHERE waiting.name IS NOT NULL
    )
    SELECT name, (SELECT min(position) FROM due WHERE parked_at IS NULL AND destination = waiting.name) AS first
    FROM waiting WHERE name IS NOT NULL ORDER BY first
    """
)


def pause(failures: int, fraction: float) -> timedelta:
    """Return the back-off of a destination after its n-th failure in a row: doubling, three quarters to all of it."""
    longest: timedelta = min(FIRST_PAUSE * 2 ** min(failures - 1, 20), LONGEST_PAUSE)
    return longest * (0.75 + 0.25 * fraction)


def keep(connection: Connection, sequences: Iterable[int]) -> list[int]:
    """Hold transmissions that are finished, so that no purge takes them before this transaction ends.

    Returns those that no purge has taken yet. It comes before all else that a purge deletes.
    """
    wanted = sorted(set(sequences))
    return list(connection.scalars(THESE, {"kept": wanted})) if wanted else []


def send(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Put rows into the outbox; an id that is there already is the same thing, and stays.

    Who sends holds the row that it answers, so nobody puts the same in between.
    """
    if not rows:
        return
    there = set(connection.scalars(THERE, {"ids": [row["id"] for row in rows]}))
    if fresh := [row for row in rows if row["id"] not in there]:
        insert_rows(connection, outbox, fresh)
        connection.execute(OPEN_NEW, {"ids": [row["id"] for row in fresh]})


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
    """Mark as sent what the broker confirmed, and clear the failures of those destinations; return how many.

    One audit link witnesses all of it: its `sent` is pairs of id and destination. What an operator closed while it was
    on its way was sent nevertheless.
    """
    if not ids:
        return 0
    known = {row.position: row for row in connection.execute(CONFIRMED, {"ids": ids})}
    rows = connection.execute(NO_LONGER_DUE, {"positions": sorted(known)}).all()
    others = sorted(known.keys() - {row.position for row in rows})
    closed = list(connection.scalars(CLOSED, {"positions": others})) if others else []
    if not (rows or closed):
        return 0
    connection.execute(NOT_SENT, {"positions": [row.position for row in rows]})
    marked = [known[position] for position in sorted([*(row.position for row in rows), *closed])]
    connection.execute(WELL, {"names": sorted({row.destination for row in marked})})
    link = chain(connection, [(now, "sent", None, {"sent": [[row.id, row.destination] for row in marked]})])
    marks = [{"position": row.position, "attempts": row.attempts + 1, "sent_at": now, "link": link} for row in rows]
    insert_rows(connection, sent, marks)
    if closed:
        late = update(sent).where(among(sent.c.position, "closed"))
        values = {"attempts": sent.c.attempts + 1, "sent_at": now, "link": link}
        connection.execute(late.values(values), {"closed": closed})
    return len(marked)


def postpone(connection: Connection, name: str, ids: Sequence[str], error: str, now: datetime) -> datetime | None:
    """Let a destination rest after a failure, and count the attempt on the items tried.

    Returns the time when it is tried again; None when it is parked, that is until `unpark`. The whole destination
    waits, in order; the others go on.
    """
    error = storable(error)[:500]
    these = select(outbox.c.position).where(among(outbox.c.id, "ids"))
    tried = update(open_).where(in_order(open_.c.position.in_(these)))
    connection.execute(tried.values(attempts=open_.c.attempts + 1, error=error), {"ids": ids})
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
    these = CONFIRMED.add_columns(outbox.c.inbox).order_by(outbox.c.position)
    events: list[tuple[datetime, str, int | None, object]] = []
    for row in connection.execute(these, {"ids": list(refused)}).all():
        error = storable(refused[row.id])[:500]
        parked = update(open_).where(open_.c.position == row.position, WAITS)
        if connection.execute(parked.values(parked_at=now, attempts=open_.c.attempts + 1, error=error)).rowcount:
            detail = {"id": row.id, "destination": row.destination, "error": error}
            events.append((now, "outgoing parked", row.inbox, detail))
    chain(connection, events)


def unpark(connection: Connection, name: str, now: datetime, operator: str = "") -> int:
    """Let a parked or resting destination, and what of it was parked alone, be tried at once; return how many wait."""
    again = update(open_).where(in_order(open_.c.destination == name, REFUSED))
    freed = connection.execute(again.values(parked_at=None)).rowcount
    detail = {"destination": name} | ({"operator": storable(operator)} if operator else {})
    if connection.execute(delete(destination).where(destination.c.name == name)).rowcount or freed:
        chain(connection, [(now, "destination unparked", None, detail)])
    waiting = select(func.count()).where(open_.c.destination == name, WAITS)
    return connection.scalar(waiting) or 0


def destinations(connection: Connection) -> list[dict[str, Any]]:
    """Return every destination that something waits for or that failed, with its backlog and state."""
    backlog = connection.execute(
        select(
            open_.c.destination.label("name"),
            func.count().filter(WAITS).label("waiting"),
            func.count(open_.c.parked_at).label("refused"),
            func.min(open_.c.created_at, type_=open_.c.created_at.type).label("oldest"),
        ).group_by(open_.c.destination)
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
    count = len(make_due(connection, outbox.c.inbox == sequence, outbox.c.kind != "request"))
    chain(connection, [(now, "resend", resent or sequence, {"first": first, "answers": count})])
    return count


def make_due(connection: Connection, *chosen: ColumnElement[bool]) -> list[AnyRow]:
    """Make what is chosen of the outbox due, as if it were new; return its rows' `position`, `id` and `inbox`.

    First it is due, then not sent: a dispatcher that marks it as sent at this moment is waited for. The links of former
    times stay known.
    """
    query = select(outbox.c.position, outbox.c.id, outbox.c.inbox).select_from(OUTGOING).where(*chosen)
    kept = keep(connection, [row.inbox for row in connection.execute(query)])
    these = query.where(among(outbox.c.inbox, "kept")).order_by(outbox.c.position)
    rows = list(connection.execute(these, {"kept": kept}).all())
    positions = {"positions": [row.position for row in rows]}
    if rows:
        rewritten = _AS_DUE.where(among(outbox.c.position, "positions"))
        again = INSERT[connection.dialect.name](open_).from_select(_OPENED, rewritten)
        connection.execute(again.on_conflict_do_update(index_elements=[open_.c.position], set_=AS_IF_NEW), positions)
        connection.execute(SENT_BEFORE, positions)
        connection.execute(NOT_SENT, positions)
    return rows
