"""The embedded queue's file: its tables and statements, how it is opened, and who of its readers lives."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from core.errors import GatewayError
from core.urls import mask

# A reader that hangs keeps its messages this long, a killed one until the next look; a living one acknowledges
# milliseconds after the journal's commit.
LEASE_SECONDS = 30.0

# How long one statement waits for another process's transaction; below the publisher's deadline.
BUSY_SECONDS = 7.0

# SQLite truncates its log to this after a burst.
LOG_BYTES = 64_000_000

METADATA = sa.MetaData()
QUEUE = sa.Table("queue", METADATA, sa.Column("name", sa.String, primary_key=True))
MESSAGE = sa.Table(
    "message",
    METADATA,
    # Identities are never used twice, so a late acknowledgement cannot meet a younger message.
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("queue", sa.ForeignKey("queue.name", ondelete="CASCADE", onupdate="CASCADE"), nullable=False),
    # Seconds since 1970: the message is visible from then on; wall clock, because it must outlast a reboot.
    sa.Column("visible_at", sa.Float, nullable=False, server_default=sa.text("0")),
    # Counts the leases and never falls; part of the delivery tag, so that a late acknowledgement finds nothing.
    sa.Column("version", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("deliveries", sa.Integer, nullable=False, server_default=sa.text("0")),
    # Who leased it last.
    sa.Column("reader", sa.String),
    sa.Column("properties", sa.String, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("message_in_order", "queue", "id"),
    sqlite_autoincrement=True,
)

# The statements of every round, made once: building one costs more than running it.
_visible = MESSAGE.c.visible_at <= sa.bindparam("now")
_mine = sa.and_(MESSAGE.c.id == sa.bindparam("row"), MESSAGE.c.version == sa.bindparam("lease"))
ANYTHING = sa.select(1).where(MESSAGE.c.queue.in_(sa.bindparam("queues", expanding=True)), _visible).limit(1)
CANDIDATES = (
    sa.select(
        MESSAGE.c.id,
        MESSAGE.c.version,
        MESSAGE.c.deliveries,
        sa.func.length(MESSAGE.c.body).label("size"),
        MESSAGE.c.visible_at,
        MESSAGE.c.reader,
    )
    .where(MESSAGE.c.queue == sa.bindparam("name"))
    .order_by(MESSAGE.c.id)
    .limit(sa.bindparam("room"))
)
LEASE = (
    sa.update(MESSAGE)
    .where(MESSAGE.c.id.in_(sa.bindparam("rows", expanding=True)))
    .values(
        visible_at=sa.bindparam("until"),
        version=MESSAGE.c.version + 1,
        deliveries=MESSAGE.c.deliveries + 1,
        reader=sa.bindparam("by"),
    )
    .returning(MESSAGE)
)
FORGET = sa.delete(MESSAGE).where(_mine)
RETURN = sa.update(MESSAGE).where(_mine).values(visible_at=0)
# Given back by a reader that leaves in order: that was no delivery.
LEAVE = sa.update(MESSAGE).where(_mine).values(visible_at=0, deliveries=MESSAGE.c.deliveries - 1)
INHERIT = (
    sa.update(MESSAGE)
    .where(MESSAGE.c.reader.in_(sa.bindparam("dead", expanding=True)), MESSAGE.c.visible_at > sa.bindparam("now"))
    .values(visible_at=0)
)
# With the header in which RabbitMQ writes of a dead letter where, why and when it died.
BURY = (
    sa.update(MESSAGE)
    .where(_mine)
    .values(
        queue=sa.bindparam("dead"),
        visible_at=0,
        deliveries=0,
        properties=sa.func.json_set(
            MESSAGE.c.properties,
            '$.headers."x-death"',
            sa.func.json_array(
                sa.func.json_object("queue", MESSAGE.c.queue, "reason", sa.bindparam("why"), "time", sa.bindparam("at"))
            ),
        ),
    )
)
NAMES = sa.select(QUEUE.c.name)


class Store(NamedTuple):
    """Where the embedded queue lies (a file) and how long a lease is (seconds)."""

    path: Path
    lease: float


def store_of(url: str) -> Store:
    """Read `sqlite:///run/queue.db`, with `?lease=seconds` if wanted.

    Raises GatewayError when the URL cannot be read or names no file.
    """
    try:
        parts = sa.make_url(url)
        lease = float(parts.query.get("lease", LEASE_SECONDS))  # type: ignore[arg-type]
    except (ArgumentError, TypeError, ValueError) as error:
        raise GatewayError(f"{mask(url)!r} is no queue URL: write sqlite:///run/queue.db") from error
    unknown = set(parts.query) - {"lease"}
    if parts.get_backend_name() != "sqlite" or parts.host or unknown or not 0 < lease < 86_400:
        raise GatewayError(
            f"{mask(url)!r} is no queue URL: write sqlite:///run/queue.db or sqlite:///run/queue.db?lease=30"
        )
    if parts.database in {None, "", ":memory:"}:
        raise GatewayError(f"{mask(url)!r} names no file: a queue in memory would not survive its process")
    return Store(Path(parts.database or ""), lease)


def open_file(path: Path) -> sa.Engine:
    """Open the queue's file, made and readable for its owner only where it is new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Never open a file that SQLite may have open in this process: closing it again drops all of the process's locks on
    # it, and another process then writes into pages that are still being read. Only a file that is new may be opened.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_SECONDS})

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver shall not begin transactions by itself
        # FULL: what commit() has returned for survives a power cut. The log is read without blocking its writer.
        for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"journal_size_limit={LOG_BYTES}"):
            connection.execute(f"PRAGMA {setting}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A transaction that reads and then writes must be the writer from its start, or two of them block each other.
        connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get("reads") else "BEGIN IMMEDIATE")

    return engine


class Still:
    """The queue as of one moment; nobody writes to it before `go_on`."""

    def __init__(self, engine: sa.Engine) -> None:
        self._writer, self._reader = engine.connect(), engine.connect().execution_options(reads=True)
        self._holds = self._writer.begin()
        self._reader.begin()
        self._count = self._reader.scalar(sa.select(sa.func.count()).select_from(MESSAGE)) or 0

    def go_on(self) -> None:
        """Let others write again; what is copied stays as it was."""
        self._holds.rollback()

    def copy(self, target: Path) -> int:
        """Copy it into a new file, without companions, and return how many messages it has."""
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        source: Any = self._reader.connection.driver_connection
        with closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
        return self._count

    def close(self) -> None:
        """Let go of everything."""
        self._holds.close()
        self._writer.close()
        self._reader.close()


@contextmanager
def still(path: Path) -> Iterator[Still]:
    """Hold the queue still, to copy it together with the journal.

    Held, nothing is acknowledged and nothing published: what the journal has of either is in the queue's copy as well,
    or was done with before. Raises GatewayError where there is no queue, or it cannot be read.
    """
    if not path.exists():
        raise GatewayError(f"there is no queue at {path}")
    engine = open_file(path)
    try:
        held = Still(engine)
        try:
            yield held
        finally:
            held.close()
    except (sa.exc.SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise GatewayError(f"queue {path}: {' '.join(str(getattr(error, 'orig', error)).split())[:200]}") from error
    finally:
        engine.dispose()


def settle(path: Path) -> bool:
    """Write all of a SQLite file's log into it, so that it is whole by itself; False while others have it open."""
    with closing(sqlite3.connect(path, timeout=1)) as connection:
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            connection.execute("PRAGMA journal_mode=DELETE").fetchall()
        except sqlite3.OperationalError:
            return False
        except sqlite3.DatabaseError:  # it is broken, which is why it is restored
            return True
    return True


class Presence(NamedTuple):
    """A reader's sign of life: a file that it holds locked; the kernel lets go of the lock when the process dies."""

    path: Path
    handle: int


def appear(folder: Path) -> Presence:
    """Show other readers that this one lives; nobody sees the file before it is locked."""
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / uuid.uuid4().hex
    new = path.with_name(f".{path.name}")
    handle = os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    new.rename(path)
    return Presence(path, handle)


def dead_readers(folder: Path) -> list[Path]:
    """Return the files of the readers that have died."""
    return [path for path in folder.glob("[!.]*") if not _locked(path)]


def _locked(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:  # closed meanwhile, in order
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def is_complete(connection: sa.Connection) -> bool:
    """Tell whether the tables are there, as this version wants them."""
    found = sa.inspect(connection)
    return found.has_table("message") and any(one["name"] == "reader" for one in found.get_columns("message"))
