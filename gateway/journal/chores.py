"""What only one of several gateways does at a time, and when what is done by the clock was last done."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, or_, select

from gateway.journal.outbox import INSERT
from gateway.journal.rows import storable
from gateway.journal.tables import chore, lease

# What has to be done now and then; a journal's own clock tells how long ago it was.
CHORES = ("backup", "purge", "verify-audit")


def clock(connection: Connection) -> datetime:
    """Return the time that all gateways on a journal share: the server's, or that of the one machine."""
    if connection.dialect.name == "postgresql":
        moment: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return moment
    return datetime.now(UTC)


def take_lease(connection: Connection, name: str, holder: str, seconds: float) -> bool:
    """Take or prolong a lease; False while another holds it. It ends by itself, by a clock that all share."""
    now = clock(connection)
    ends = now + timedelta(seconds=seconds)
    insert = INSERT[connection.dialect.name](lease).values(name=name, holder=holder, until=ends)
    # One that ends much later was given by a clock that has been set back since.
    longest = ends + timedelta(seconds=seconds)
    free = or_(lease.c.holder == holder, lease.c.until <= now, lease.c.until > longest)
    taken = insert.on_conflict_do_update(
        index_elements=["name"],
        set_={"holder": insert.excluded.holder, "until": insert.excluded.until},
        where=free,
    ).returning(lease.c.holder)
    return connection.execute(taken).first() is not None


def lease_holder(connection: Connection, name: str) -> str | None:
    """Return who holds a lease, whether it has run out or not."""
    return connection.scalar(select(lease.c.holder).where(lease.c.name == name))


def end_lease(connection: Connection, name: str, holder: str) -> None:
    """Give a lease back, so that another need not wait for its end."""
    connection.execute(delete(lease).where(lease.c.name == name, lease.c.holder == holder))


def note_chore(connection: Connection, name: str, now: datetime, error: str | None = None) -> None:
    """Remember that a chore went well, or why it did not."""
    values: dict[str, Any] = {"succeeded_at": now, "error": None}
    if error is not None:
        values = {"failed_at": now, "error": storable(error)[:500]}
    insert = INSERT[connection.dialect.name](chore).values(name=name, **values)
    connection.execute(insert.on_conflict_do_update(index_elements=["name"], set_=values))


def chores(connection: Connection) -> dict[str, tuple[datetime | None, bool]]:
    """Return when each chore last went well (None: never), and whether its last try failed."""
    rows = {row.name: row for row in connection.execute(select(chore))}
    return {
        name: (rows[name].succeeded_at, rows[name].error is not None) if name in rows else (None, False)
        for name in CHORES
    }
