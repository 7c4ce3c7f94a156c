"""The end: what is older than its kind may be goes, and the audit chain notes it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, select, union

from core.transmission import Verdict
from gateway.journal.database import Transaction, among
from gateway.journal.evidence import chain
from gateway.journal.rows import AnyRow
from gateway.journal.tables import (
    assessment_request,
    declaration_version,
    execution,
    execution_answer,
    inbox,
    interchange_reference,
    message,
    message_term,
    outbox,
)
from gateway.journal.verdicts import RESEND_OF

# How many transmissions one transaction of a purge looks at: short enough that nobody waits for it.
PURGE_PAGE = 500

# The oldest transmissions; never the newest one, whose number the next counts from.
OLDEST = (
    select(*(inbox.c[name] for name in ("sequence", "channel", "state", "received_at", "finished_at", "note")))
    .where(
        inbox.c.sequence > bindparam("after"), inbox.c.sequence < select(func.max(inbox.c.sequence)).scalar_subquery()
    )
    .order_by(inbox.c.sequence)
    .limit(bindparam("size"))
)

# By the messages too: what is left of a declaration that went with an earlier page is still about it.
ABOUT = union(
    *(
        select(table.c.inbox, table.c.transaction_number, table.c.test).where(among(table.c.inbox, "mine"))
        for table in (declaration_version, assessment_request)
    ),
    select(message.c.inbox, message.c.transaction_number, message.c.test).where(
        among(message.c.inbox, "mine"),
        message.c.verdict == Verdict.ACCEPTED.value,
        message.c.transaction_number.is_not(None),
    ),
)

LAST_ACCEPTED = (
    select(
        message.c.transaction_number,
        message.c.test,
        func.max(message.c.created_at, type_=message.c.created_at.type).label("last"),
    )
    .where(
        among(message.c.transaction_number, "numbers"),
        message.c.verdict == Verdict.ACCEPTED.value,
    )
    .group_by(message.c.transaction_number, message.c.test)
)

UNSENT = select(outbox.c.inbox).where(
    among(outbox.c.inbox, "mine"), outbox.c.sent_at.is_(None), outbox.c.closed_at.is_(None)
)

# Every version of the declarations and every request about one: a number that comes back counts its attempts anew. Then
# what hangs on transmissions, and the transmissions themselves.
DELETES = (
    *(
        delete(table).where(table.c.test.is_(test), among(table.c.transaction_number, name))
        for table in (declaration_version, assessment_request)
        for name, test in (("numbers", False), ("test_numbers", True))
    ),
    delete(execution_answer).where(
        execution_answer.c.execution.in_(select(execution.c.number).where(among(execution.c.inbox, "mine")))
    ),
    *(
        delete(table).where(among(table.c.inbox, "mine"))
        for table in (execution, assessment_request, message_term, message, interchange_reference, outbox)
    ),
    delete(inbox).where(among(inbox.c.sequence, "mine")),
)


class Extent(NamedTuple):
    """How much there is: transmissions, when the newest was received, and what the database's own clock says."""

    stored: int
    newest: datetime | None
    clock: datetime | None


def extent(connection: Connection) -> Extent:
    """Return what the time of a purge is compared with."""
    newest = connection.scalar(select(inbox.c.received_at).order_by(inbox.c.sequence.desc()).limit(1))
    stored = connection.scalar(select(func.count()).select_from(inbox)) or 0
    server = connection.dialect.name == "postgresql"
    return Extent(stored, newest, connection.scalar(select(func.clock_timestamp())) if server else None)


def purge(transaction: Transaction, before: Mapping[str, datetime], *, now: datetime, rehearse: bool) -> dict[str, int]:
    """Delete what is older than its kind may be, and return how many transmissions of each kind that were.

    Kinds: declaration, refused, repeated, result. A declaration goes as a whole, by the last message accepted about
    its number. What is unfinished, parked or not yet sent stays, and so does the audit chain, which notes each
    transmission that went. `rehearse` counts only.
    """
    counts = dict.fromkeys(before, 0)
    youngest, after = max(before.values()), 0
    while True:
        with transaction() as connection:
            page = connection.execute(OLDEST, {"after": after, "size": PURGE_PAGE}).all()
            old = [row for row in page if row.received_at < youngest]
            gone, expired = _expired(connection, old, before)
            for kind in gone.values():
                counts[kind] += 1
            if gone and not rehearse:
                _delete(connection, sorted(gone), expired)
                chain(connection, [(now, "purged", None, {"transmissions": sorted(gone), "declarations": expired})])
        # Numbers follow the time of receipt: after the first page of younger ones there is nothing old.
        if len(page) < PURGE_PAGE or not old:
            return counts
        after = page[-1].sequence


def _expired(
    connection: Connection, rows: Sequence[AnyRow], before: Mapping[str, datetime]
) -> tuple[dict[int, str], list[tuple[str, bool]]]:
    """Return which of the rows may go, with their kinds, and the declarations (number, test) whose time is over."""
    mine = {"mine": [row.sequence for row in rows if row.finished_at and row.state == "done"]}
    about: dict[int, set[tuple[str, bool]]] = defaultdict(set)
    for row in connection.execute(ABOUT, mine):
        about[row.inbox].add((row.transaction_number, row.test))
    every = {declaration for some in about.values() for declaration in some}
    rows_of = connection.execute(LAST_ACCEPTED, {"numbers": sorted({number for number, _ in every})})
    last = {(row.transaction_number, row.test): row.last for row in rows_of}
    expired = {each for each in every if each in last and last[each] < before["declaration"]}
    unsent = set(connection.scalars(UNSENT, mine))
    gone = {}
    for row in rows:
        if row.sequence not in mine["mine"] or row.sequence in unsent:
            continue
        kind = "refused"
        if about[row.sequence]:
            kind = "declaration"
        elif row.channel == "assessment":
            kind = "result"
        elif (row.note or "").startswith(RESEND_OF):
            kind = "repeated"
        over = about[row.sequence] <= expired if kind == "declaration" else row.received_at < before[kind]
        if over:
            gone[row.sequence] = kind
    return gone, sorted(expired)


def _delete(connection: Connection, sequences: list[int], declarations: list[tuple[str, bool]]) -> None:
    """Delete transmissions with all that hangs on them, and every version of the declarations."""
    given: dict[str, list[Any]] = {
        "mine": sequences,
        "numbers": [number for number, test in declarations if not test],
        "test_numbers": [number for number, test in declarations if test],
    }
    for statement in DELETES:
        connection.execute(statement, given)
