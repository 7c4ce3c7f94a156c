"""What came in: received once, claimed in order of its lanes, held under a lease, finished or parked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, bindparam, case, delete, func, or_, select, tuple_, update

from core import limits
from core.transmission import Outgoing, digest_of, stable_id
from gateway.journal.codec import dump
from gateway.journal.database import RECEIVING, among, insert_rows, lock
from gateway.journal.evidence import chain
from gateway.journal.outbox import send
from gateway.journal.rows import AnyRow, claimed_of, key_of, outgoing_row, sent_detail, storable
from gateway.journal.tables import handled, inbox, work
from gateway.journal.values import Arrival, Claimed, Claims, Unproven

# The lane of a transmission that holds several declarations: it waits for all before it, all after it wait for it.
EVERY_LANE = "*"

# Unfinished transmissions looked at in one go when work is claimed: so many for each one wanted, at most all these.
WINDOW_EACH, WINDOW = 8, 500

# A backlog whose oldest has waited so long is looked through for other senders, who stand behind all of it.
PATIENCE = timedelta(seconds=1)

# Who claims: a worker for what is new, the one for what was tried (its worker died or gave it back, and may do so
# again), or one for both where there is but one.
WorkerRole = Literal["all", "fresh", "tried"]

SEEN = select(inbox.c.id).where(among(inbox.c.id, "ids"))

LAST = select(func.max(inbox.c.sequence))

DIGEST = select(inbox.c.digest).where(inbox.c.id == bindparam("id"))

UNFINISHED = (
    select(
        *(
            work.c[name]
            for name in ("sequence", "channel", "partner", "received_at", "lane", "worker", "lease_until", "attempts")
        )
    )
    .where(work.c.sequence > bindparam("after"))
    .order_by(work.c.sequence)
    .limit(bindparam("size"))
)

# No lease and no rest is so long: one that ends later was given by a clock that has been set back since.
LONGEST = timedelta(minutes=10)

OVER = or_(
    work.c.lease_until.is_(None), work.c.lease_until <= bindparam("now"), work.c.lease_until > bindparam("longest")
)

# What `_is_suspect` says of a row, or that it was given back and has rested: whether there is anything for `tried`.
SUSPECT = select(work.c.sequence).where(work.c.attempts > 0, or_(work.c.attempts > 1, OVER)).limit(1)

STILL_FREE = (
    select(work.c.sequence, work.c.size)
    .where(among(work.c.sequence, "chosen"), OVER)
    .order_by(work.c.sequence)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)

UNPROVEN_LATELY = (
    select(inbox.c.sequence)
    .where(
        inbox.c.unproven == bindparam("told"),
        inbox.c.received_at > bindparam("since"),
        inbox.c.sequence < bindparam("before"),
    )
    .limit(limits.UNPROVEN_ANSWERED)
)

LEASE = (
    update(work)
    .where(among(work.c.sequence, "mine"))
    .values(attempts=work.c.attempts + 1, worker=bindparam("by"), lease_until=bindparam("until"))
)

LEASED = (
    select(inbox, work.c.attempts, work.c.worker)
    .join(work, work.c.sequence == inbox.c.sequence)
    .where(among(work.c.sequence, "mine"))
)

HELD = (
    select(work.c.sequence, work.c.worker, work.c.attempts)
    .where(among(work.c.sequence, "mine"), work.c.lease_until.is_not(None))
    .order_by(work.c.sequence)
    .with_for_update()
)

CLOSE = delete(work).where(among(work.c.sequence, "mine"))

# Every transmission, with the work on it that is open or done, and how it stands.
TRANSMISSIONS = inbox.outerjoin(work, work.c.sequence == inbox.c.sequence).outerjoin(
    handled, handled.c.sequence == inbox.c.sequence
)
STATE = case(
    (handled.c.state.is_not(None), handled.c.state), (work.c.worker.is_not(None), "working"), else_="received"
).label("state")

# Free, as if nobody had ever held it.
UNTRIED = {"attempts": work.c.attempts - 1, "worker": None, "lease_until": None}


def unproven_text(told: Unproven | None) -> str | None:
    """Return how a row says that its sender is not proven."""
    return dump(told._asdict()) if told else None


def receive(connection: Connection, arrivals: Sequence[Arrival]) -> list[bool]:
    """Write transmissions as they came in, with their receipts; tell which were new (the others: redelivered)."""
    if not arrivals:
        return []
    keys = [key_of(arrival.uid) for arrival in arrivals]
    new: list[bool] = []
    # Numbered in the order of commits: no worker can see a number while a lower one is still to come.
    lock(connection, RECEIVING)
    ids = [stable_id(key) for key in keys]
    seen = set(connection.scalars(SEEN, {"ids": ids}))
    last = connection.scalar(LAST) or 0
    rows, receipts, events = [], [], []
    for id_, key, arrival in zip(ids, keys, arrivals, strict=True):
        new.append(id_ not in seen)
        if id_ in seen:
            continue
        seen.add(id_)
        last += 1
        digest = digest_of(arrival.body)
        partner = key_of(arrival.partner or "")
        rows.append(
            {
                "sequence": last,
                "id": id_,
                "uid": key,
                "channel": arrival.channel,
                "partner": partner,
                "received_at": arrival.received_at,
                "body": arrival.body,
                "digest": digest,
                "headers": dump(dict(arrival.headers)),
                "unproven": unproven_text(arrival.unproven),
                "lane": key_of(arrival.lane),
            }
        )
        if arrival.receipt:
            receipts.append(outgoing_row(arrival.receipt, last, arrival.received_at, None))
        detail = {
            "id": id_,
            "uid": key,
            "channel": arrival.channel,
            "partner": partner,
            "bytes": len(arrival.body),
            "digest": digest,
            "outgoing": [sent_detail(arrival.receipt)] if arrival.receipt else [],
        }
        events.append((arrival.received_at, "received", last, detail))
    if rows:
        insert_rows(connection, inbox, rows)
        insert_rows(connection, work, [work_row(row) for row in rows])
        send(connection, receipts)
        chain(connection, events)
    return new


def work_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of open work on an inbox row, never tried."""
    shared = {name: row[name] for name in ("sequence", "channel", "partner", "lane", "received_at")}
    return {**shared, "size": len(row["body"]), "attempts": 0}


def kept_digest(connection: Connection, id_: str) -> str | None:
    """Return the SHA-256 of what is kept under an id, None if there is nothing."""
    found: str | None = connection.scalar(DIGEST, {"id": id_})
    return found


def ready(rows: Iterable[AnyRow], lanes: dict[tuple[str, str], set[str]], now: datetime) -> list[int]:
    """Return the sequences that may be worked on, of unfinished rows in order; `lanes` remembers what stands before.

    A row waits for every earlier unfinished row of its channel and partner in its lane, and where either is in every
    lane; it is free when nobody holds it or the lease has run out.
    """
    free = []
    for row in rows:
        before = lanes[row.channel, row.partner]
        waits = bool(before) if row.lane == EVERY_LANE else row.lane in before or EVERY_LANE in before
        before.add(row.lane)
        if not waits and _over(row, now):
            free.append(row.sequence)
    return free


def _over(row: AnyRow, now: datetime) -> bool:
    """Tell whether nobody holds a row, or no longer."""
    return row.lease_until is None or not now < row.lease_until <= now + LONGEST


def suspects(connection: Connection, now: datetime) -> bool:
    """Tell whether there is anything for the role `tried`."""
    return connection.execute(SUSPECT, {"now": now, "longest": now + LONGEST}).first() is not None


def find_work(
    connection: Connection, limit: int, now: datetime, role: WorkerRole = "all", lease_seconds: float = 0
) -> tuple[list[int], list[int]]:
    """Return transmissions that wait for nothing: those tried before, and those that were not, in turn by sender.

    So many messages of one sender as there may be, another's first stands among the first. A sender with a message
    that killed its worker is under suspicion: until that one is done, all of its messages are for the role `tried`.
    One that has kept a worker (of leases of so many seconds) for long gets no second one.
    """
    if role == "tried" and not suspects(connection, now):
        return [], []
    lanes: dict[tuple[str, str], set[str]] = defaultdict(set)
    fresh: dict[tuple[str, str], list[int]] = defaultdict(list)
    tried: list[int] = []
    suspicious: set[tuple[str, str]] = set()
    slow: set[tuple[str, str]] = set()
    after, size = 0, min(WINDOW_EACH * limit, WINDOW)
    while True:
        window = UNFINISHED
        enough = {sender for sender, found in fresh.items() if len(found) >= limit}
        barred = [sender for sender, before in lanes.items() if EVERY_LANE in before or sender in enough]
        if barred:
            window = window.where(tuple_(work.c.channel, work.c.partner).not_in(barred))
        rows = connection.execute(window, {"after": after, "size": size}).all()
        free = set(ready(rows, lanes, now))
        for row in rows:
            sender = row.channel, row.partner
            if _is_suspect(row, now):
                suspicious.add(sender)
            elif _is_slow(row, now, lease_seconds):
                slow.add(sender)
            if row.sequence in free:
                (tried if row.attempts else fresh[sender]).append(row.sequence)
        left = {"all": set(), "fresh": suspicious | slow, "tried": fresh.keys() - suspicious}[role]
        theirs = {one: fresh[one] for one in fresh if one not in left}
        mine = tried if role != "fresh" else []
        found = role != "tried" and bool(mine or any(theirs.values()))
        if len(rows) < size or (found and rows[0].received_at > now - PATIENCE):
            return mine, _in_turn(theirs)
        after, size = rows[-1].sequence, WINDOW


def _is_suspect(row: AnyRow, now: datetime) -> bool:
    """Tell whether a transmission has killed its worker, or failed again."""
    return bool(row.attempts > 1 or (row.worker is not None and row.lease_until and _over(row, now)))


def _is_slow(row: AnyRow, now: datetime, lease_seconds: float) -> bool:
    """Tell whether a worker has been at it for long: a second one is not to be held up by the same sender."""
    leased = timedelta(seconds=lease_seconds)
    return bool(
        row.lease_until and row.worker is not None and row.lease_until > now > row.lease_until - leased + PATIENCE
    )


def _in_turn(found: Mapping[tuple[str, str], list[int]]) -> list[int]:
    """Return the first of each sender, then the second of each, and so on; the older before the younger."""
    ranked = [(rank, sequence) for mine in found.values() for rank, sequence in enumerate(mine)]
    return [sequence for _, sequence in sorted(ranked)]


def lease(
    connection: Connection, chosen: list[int], worker: str, most: int, lease_seconds: float, now: datetime
) -> Claims:
    """Lease up to `most` of the chosen rows, in their order, that nobody else took and may be handled in one go."""
    rank = {sequence: place for place, sequence in enumerate(chosen)}
    asked = {"chosen": chosen, "now": now, "longest": now + LONGEST, "most": most}
    free = connection.execute(STILL_FREE, asked).all()
    free = sorted(free, key=lambda row: rank[row[0]])
    mine = [row[0] for row in free[: limits.in_one_go(row[1] for row in free)]]
    if not mine:
        return Claims()
    until = now + timedelta(seconds=lease_seconds)
    connection.execute(LEASE, {"mine": mine, "by": worker, "until": until})
    rows = connection.execute(LEASED, {"mine": mine}).all()
    claimed = [claimed_of(row) for row in sorted(rows, key=lambda row: rank[row.sequence])]
    return Claims(
        tuple(row for row in claimed if row.attempts <= limits.ATTEMPTS),
        tuple(row for row in claimed if row.attempts > limits.ATTEMPTS),
    )


def unproven_lately(connection: Connection, row: Claimed, since: datetime) -> int:
    """Count what the same unproven sender brought by the same queue before, after that time; no more than matters."""
    return len(
        connection.execute(
            UNPROVEN_LATELY, {"told": unproven_text(row.unproven), "since": since, "before": row.sequence}
        ).all()
    )


def release(connection: Connection, rows: Sequence[Claimed]) -> None:
    """Give leased transmissions back untouched: an orderly stop is not an attempt."""
    mine = still_held(connection, rows)
    connection.execute(update(work).where(among(work.c.sequence, "mine")).values(UNTRIED), {"mine": sorted(mine)})


def let_go(connection: Connection, worker: str) -> int:
    """Give back untouched all that a worker holds, whether it knows of it or not: an outage is nobody's attempt.

    Return how many that were. Its claim may have been written although it never heard so.
    """
    return connection.execute(update(work).where(work.c.worker == worker).values(UNTRIED)).rowcount


def give_back(connection: Connection, rows: Sequence[Claimed], until: datetime) -> None:
    """Give leased transmissions back after a failure: the attempt counts, and they rest until that time."""
    mine = still_held(connection, rows)
    again = update(work).where(among(work.c.sequence, "mine")).values(worker=None, lease_until=bindparam("until"))
    connection.execute(again, {"mine": sorted(mine), "until": until})


def disown(connection: Connection, worker: str, now: datetime, suspect: int = 0) -> int:
    """Let others take at once what a dead worker held, given how its name begins; return how many there were.

    `suspect` is the transmission that it was at when it died, 0 if that is not known. Then the others were not tried.
    What was tried before is most likely what killed it, and rests until its lease ends.
    """
    held = (work.c.lease_until > now, work.c.worker.startswith(worker, autoescape=True))
    freed = 0
    if suspect:
        freed += connection.execute(update(work).where(*held, work.c.sequence != suspect).values(UNTRIED)).rowcount
    return freed + connection.execute(update(work).where(*held, work.c.attempts <= 1).values(lease_until=now)).rowcount


def workers(connection: Connection) -> list[str]:
    """Return the names of those who hold transmissions, whether they still live or not."""
    held = select(work.c.worker).where(work.c.worker.is_not(None))
    return sorted(set(connection.scalars(held)))


def still_held(connection: Connection, rows: Sequence[Claimed]) -> set[int]:
    """Return the sequences of the rows whose lease is still this worker's, and lock them.

    A lease that ran out but that nobody took is still held.
    """
    mine = {row.sequence: (row.worker, row.attempts) for row in rows}
    found = connection.execute(HELD, {"mine": list(mine)})
    return {row.sequence for row in found if mine[row.sequence] == (row.worker, row.attempts)}


def close(connection: Connection, rows: Iterable[tuple[Claimed, str, str | None]], now: datetime) -> None:
    """End the work on rows, with state and note."""
    ended = [
        {
            "sequence": row.sequence,
            "state": state,
            "attempts": row.attempts,
            "worker": row.worker,
            "finished_at": now,
            "note": note,
        }
        for row, state, note in rows
    ]
    connection.execute(CLOSE, {"mine": [each["sequence"] for each in ended]})
    insert_rows(connection, handled, ended)


def park(
    connection: Connection, rows: Sequence[tuple[Claimed, str, Sequence[Outgoing]]], *, now: datetime
) -> list[bool]:
    """Take transmissions out of the way, each with the reason and its answers; False where the lease was lost."""
    held = still_held(connection, [row for row, _, _ in rows])
    kept = [(row, storable(why)[:500], answers) for row, why, answers in rows if row.sequence in held]
    send(
        connection,
        [outgoing_row(item, row.sequence, now, item.ordinal) for row, _, items in kept for item in items],
    )
    close(connection, [(row, "parked", why) for row, why, _ in kept], now)
    chain(
        connection,
        [
            (now, "parked", row.sequence, {"why": why, "outgoing": [sent_detail(item) for item in items]})
            for row, why, items in kept
        ],
    )
    return [row.sequence in held for row, _, _ in rows]
