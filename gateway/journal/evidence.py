"""The audit chain: its events, its head, and the walk that finds what was changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, false, insert, select

from gateway.journal.audit import GENESIS, Link, link_hash
from gateway.journal.codec import dump
from gateway.journal.database import CHAINING, RECEIVING, Transaction, insert_rows, lock
from gateway.journal.tables import audit, due, handled, inbox, outbox, sent, work
from gateway.journal.values import Event

HEAD = select(audit.c.n, audit.c.hash).order_by(audit.c.n.desc()).limit(1)

# Writes nothing, and needs all that it takes to write what arrives and what was sent: the rights, and tables that
# nobody has locked.
PROBES = tuple(
    insert(table).from_select([column.name for column in table.c], select(table).where(false()))
    for table in (inbox, work, outbox, due, sent, audit)
)


def chain(connection: Connection, events: Sequence[tuple[datetime, str, int | None, object]]) -> int:
    """Append events to the audit chain, and return the number of the last link (0: there were none).

    Always a transaction's last step, since the chain is locked to its end.
    """
    if not events:
        return 0
    lock(connection, CHAINING)
    n, previous = head(connection)
    rows = []
    for at, event_name, subject, content in events:
        n += 1
        moment, detail = at.astimezone(UTC).isoformat(timespec="microseconds"), dump(content)
        previous = link_hash(previous, n, moment, event_name, subject, detail)
        rows.append(Link(n, moment, event_name, subject, detail, previous)._asdict())
    insert_rows(connection, audit, rows)
    return n


def note(connection: Connection, event: str, subject: int | None, detail: object, now: datetime) -> None:
    """Append one event that changes nothing else: what an operator did elsewhere."""
    chain(connection, [(now, event, subject, detail)])


def head(connection: Connection) -> tuple[int, str]:
    """Return number and hash of the newest audit link."""
    row = connection.execute(HEAD).one_or_none()
    return (row.n, row.hash) if row else (0, GENESIS)


def check(connection: Connection) -> None:
    """Raise JournalUnavailable unless the database answers and has its tables."""
    connection.execute(select(audit.c.n).limit(1)).all()


def probe(connection: Connection) -> None:
    """Raise JournalUnavailable unless what arrives or was sent can be written now; it leaves nothing behind."""
    lock(connection, RECEIVING)
    for statement in PROBES:
        connection.execute(statement)


def links(reading: Transaction, page: int = 10_000) -> Iterator[tuple[int, str, str, int | None, str, str]]:
    """Yield the chain page by page: no long transaction, no memory that grows with the archive."""
    columns = [audit.c[name] for name in Link._fields]
    after: int | None = None
    while True:
        rows = select(*columns).order_by(audit.c.n).limit(page)
        with reading() as connection:
            found = connection.execute(rows if after is None else rows.where(audit.c.n > after)).all()
        yield from found
        if len(found) < page:
            return
        after = found[-1].n


def events(connection: Connection, after: int, limit: int) -> list[Event]:
    """Return the audit links after a number, in order, each with what the inbox knows of its transmission."""
    rows = (
        select(audit.c.n, audit.c.at, audit.c.event, audit.c.detail, inbox.c.received_at, handled.c.attempts)
        .outerjoin(inbox, inbox.c.sequence == audit.c.subject)
        .outerjoin(handled, handled.c.sequence == audit.c.subject)
        .where(audit.c.n > after)
        .order_by(audit.c.n)
        .limit(limit)
    )
    return [
        Event(row.n, datetime.fromisoformat(row.at), row.event, json.loads(row.detail), *row[4:])
        for row in connection.execute(rows)
    ]
