"""The end: what is older than its kind may be goes, and the audit chain notes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, bindparam, case, delete, func, select, union

from core.transmission import RESEND_OF, Verdict
from gateway.journal.database import Transaction, among
from gateway.journal.evidence import chain
from gateway.journal.rows import AnyRow
from gateway.journal.tables import (
    assessment_request,
    declaration_version,
    due,
    execution,
    execution_answer,
    handled,
    inbox,
    interchange_reference,
    message,
    message_term,
    outbox,
    resent,
    sent,
)

# How many transmissions one transaction of a purge looks at: short enough that nobody waits for it. Who only counts
# keeps nobody waiting.
PURGE_PAGE, COUNTED_PAGE = 500, 5_000

# What a transmission is that is about no declaration, and whether its time is over.
KIND = case(
    (inbox.c.channel == "assessment", "result"),
    (handled.c.note.startswith(RESEND_OF, autoescape=True), "repeated"),
    else_="refused",
)
OVER = case(
    (KIND == "result", inbox.c.received_at < bindparam("result")),
    (KIND == "repeated", inbox.c.received_at < bindparam("repeated")),
    else_=inbox.c.received_at < bindparam("refused"),
)

# The oldest transmissions; never the newest one, whose number the next counts from.
OLDEST = (
    select(
        inbox.c.sequence,
        handled.c.state == "done",
        KIND,
        OVER,
        inbox.c.received_at < bindparam("youngest"),
    )
    .outerjoin(handled, handled.c.sequence == inbox.c.sequence)
    .where(
        inbox.c.sequence > bindparam("after"), inbox.c.sequence < select(func.max(inbox.c.sequence)).scalar_subquery()
    )
    .order_by(inbox.c.sequence)
    .limit(bindparam("size"))
)


def _of_page(column: Column[Any]) -> ColumnElement[bool]:
    return column.between(bindparam("first"), bindparam("last"))


# By the messages too: what is left of a declaration that went with an earlier page is still about it.
ABOUT = union(
    *(
        select(table.c.inbox, table.c.transaction_number, table.c.test).where(_of_page(table.c.inbox))
        for table in (declaration_version, assessment_request)
    ),
    select(message.c.inbox, message.c.transaction_number, message.c.test).where(
        _of_page(message.c.inbox),
        message.c.verdict == Verdict.ACCEPTED.value,
        message.c.transaction_number.is_not(None),
    ),
).subquery()

# Which declarations they are about, and whether the time of each is over: by the last message accepted about it.
DECLARATIONS = select(
    ABOUT.c.inbox,
    ABOUT.c.transaction_number,
    ABOUT.c.test,
    select(func.max(message.c.created_at) < bindparam("declaration", type_=message.c.created_at.type))
    .where(
        message.c.transaction_number == ABOUT.c.transaction_number,
        message.c.test == ABOUT.c.test,
        message.c.verdict == Verdict.ACCEPTED.value,
    )
    .scalar_subquery(),
)

UNSENT = select(outbox.c.inbox).join(due, due.c.position == outbox.c.position).where(_of_page(outbox.c.inbox))

# Who adds to what is finished (an answer sent again, a replay) is waited for, and seen: see `outbox.keep`.
HELD = select(inbox.c.sequence).where(among(inbox.c.sequence, "mine")).order_by(inbox.c.sequence).with_for_update()

# Every request about the declarations and every version of one, in the order in which the engine's word holds them: a
# number that comes back counts its attempts anew. Then what hangs on transmissions, and the transmissions themselves.
DELETES = (
    *(
        delete(table).where(table.c.test.is_(test), among(table.c.transaction_number, name))
        for table in (assessment_request, declaration_version)
        for name, test in (("numbers", False), ("test_numbers", True))
    ),
    delete(execution_answer).where(
        execution_answer.c.execution.in_(select(execution.c.number).where(among(execution.c.inbox, "mine")))
    ),
    *(
        delete(table).where(table.c.position.in_(select(outbox.c.position).where(among(outbox.c.inbox, "mine"))))
        for table in (sent, resent)
    ),
    *(
        delete(table).where(among(table.c.inbox, "mine"))
        for table in (execution, assessment_request, message_term, message, interchange_reference, outbox)
    ),
    *(delete(table).where(among(table.c.sequence, "mine")) for table in (handled, inbox)),
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
    after, size = 0, COUNTED_PAGE if rehearse else PURGE_PAGE
    asked = {**before, "youngest": max(before.values())}
    while True:
        with transaction() as connection:
            page = connection.execute(OLDEST, {**asked, "after": after, "size": size}).all()
            gone, expired = _expired(connection, page, before["declaration"])
            if gone and not rehearse:
                held = set(connection.scalars(HELD, {"mine": sorted(gone)}))
                gone, expired = _expired(connection, page, before["declaration"])
                gone = {sequence: kind for sequence, kind in gone.items() if sequence in held}
            for kind in gone.values():
                counts[kind] += 1
            if gone and not rehearse:
                _delete(connection, sorted(gone), expired)
                chain(connection, [(now, "purged", None, {"transmissions": sorted(gone), "declarations": expired})])
        # Numbers follow the time of receipt: after the first page of younger ones there is nothing old.
        if len(page) < size or not any(old for *_, old in page):
            return counts
        after = page[-1].sequence


def _expired(
    connection: Connection, page: Sequence[AnyRow], before: datetime
) -> tuple[dict[int, str], list[tuple[str, bool]]]:
    """Return which of a page's rows may go, by kind, and the declarations (number, test) whose time is over."""
    rows = {sequence: (kind, over) for sequence, done, kind, over, old in page if done and old}
    if not rows:
        return {}, []
    span = {"first": page[0].sequence, "last": page[-1].sequence}
    expired: set[tuple[str, bool]] = set()
    about: dict[int, bool] = {}  # whether all declarations that one is about are expired
    for sequence, number, test, over in connection.execute(DECLARATIONS, {**span, "declaration": before}):
        if sequence in rows:
            about[sequence] = about.get(sequence, True) and bool(over)
            if over:
                expired.add((number, test))
    for sequence in connection.scalars(UNSENT, span):
        rows.pop(sequence, None)
    gone = {}
    for sequence, (kind, over) in rows.items():
        if about.get(sequence, over):
            gone[sequence] = "declaration" if sequence in about else kind
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
