"""The embedded queue: a kombu transport on SQLite in which a message is gone only when it is acknowledged.

kombu's own SQL transport takes a message off when it is fetched, so a killed reader loses what it had in hand. Here
fetching leases the row for a time; acknowledging deletes it; rejecting, closing, the reader's death or the end of the
lease gives it back.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty
from typing import Any, NamedTuple

import sqlalchemy as sa
from kombu.exceptions import ChannelError
from kombu.transport import virtual as untyped
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from core.errors import GatewayError

virtual: Any = untyped  # kombu's own types say neither what its methods take nor what its attributes may be

# A reader that hangs keeps its messages this long, a killed one until the next look; a living one acknowledges
# milliseconds after the journal's commit.
LEASE_SECONDS = 30.0

# How long one statement waits for another process's transaction; below the publisher's deadline.
BUSY_SECONDS = 7.0

# An idle reader asks this often whether anything has changed; and every reader looks this often for leases that have
# ended and for dead readers.
POLL_SECONDS = 0.05
LOOK_SECONDS = 1.0

# Bodies fetched in one go, so that a queue of large messages does not fill the memory.
FETCH_BYTES = 32_000_000

# SQLite truncates its log to this after a burst.
LOG_BYTES = 64_000_000

# SQLite's limit of values in one statement is 32,766; far below it.
CHUNK = 5_000

_metadata = sa.MetaData()
_queue = sa.Table("queue", _metadata, sa.Column("name", sa.String, primary_key=True))
_message = sa.Table(
    "message",
    _metadata,
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
_visible = _message.c.visible_at <= sa.bindparam("now")
_mine = sa.and_(_message.c.id == sa.bindparam("row"), _message.c.version == sa.bindparam("lease"))
_ANYTHING = sa.select(1).where(_message.c.queue.in_(sa.bindparam("queues", expanding=True)), _visible).limit(1)
_CANDIDATES = (
    sa.select(
        _message.c.id,
        _message.c.deliveries,
        sa.func.length(_message.c.body).label("size"),
        _message.c.visible_at,
        _message.c.reader,
    )
    .where(_message.c.queue == sa.bindparam("name"))
    .order_by(_message.c.id)
    .limit(sa.bindparam("room"))
)
_LEASE = (
    sa.update(_message)
    .where(_message.c.id.in_(sa.bindparam("rows", expanding=True)))
    .values(
        visible_at=sa.bindparam("until"),
        version=_message.c.version + 1,
        deliveries=_message.c.deliveries + 1,
        reader=sa.bindparam("by"),
    )
    .returning(_message)
)
_FORGET = sa.delete(_message).where(_mine)
_RETURN = sa.update(_message).where(_mine).values(visible_at=0)
_INHERIT = (
    sa.update(_message)
    .where(_message.c.reader.in_(sa.bindparam("dead", expanding=True)), _message.c.visible_at > sa.bindparam("now"))
    .values(visible_at=0)
)
_BURY = sa.update(_message).where(_mine).values(queue=sa.bindparam("dead"), visible_at=0, deliveries=0)
_NAMES = sa.select(_queue.c.name)


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
        raise GatewayError(f"{url!r} is no queue URL: write sqlite:///run/queue.db") from error
    unknown = set(parts.query) - {"lease"}
    if parts.get_backend_name() != "sqlite" or parts.host or unknown or not 0 < lease < 86_400:
        raise GatewayError(f"{url!r} is no queue URL: write sqlite:///run/queue.db or sqlite:///run/queue.db?lease=30")
    if parts.database in {None, "", ":memory:"}:
        raise GatewayError(f"{url!r} names no file: a queue in memory would not survive its process")
    return Store(Path(parts.database or ""), lease)


def _open(path: Path) -> sa.Engine:
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


class Presence(NamedTuple):
    """A reader's sign of life: a file that it holds locked; the kernel lets go of the lock when the process dies."""

    path: Path
    handle: int


def _appear(folder: Path) -> Presence:
    """Show other readers that this one lives; nobody sees the file before it is locked."""
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / uuid.uuid4().hex
    new = path.with_name(f".{path.name}")
    handle = os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    new.rename(path)
    return Presence(path, handle)


def _dead(folder: Path) -> list[Path]:
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


class QoS(virtual.QoS):  # type: ignore[misc]
    """Remembers what is in hand; the rows themselves know that they are leased."""

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give the message back, or lay it into the dead queue."""
        self.channel._give_back([delivery_tag], dead=not requeue)
        self._quick_ack(delivery_tag)

    def restore_unacked(self) -> list[object]:
        """Give everything in hand back at once."""
        self._flush()
        self.channel._give_back(list(self._delivered), dead=False)
        self._delivered.clear()
        return []


class Channel(virtual.Channel):  # type: ignore[misc]
    """A channel to the embedded queue; it has queues only, no exchanges.

    `transport_options` of the kombu connection: `store` (Store), `dead_queue` (name) and `delivery_limit` (a message
    delivered so often without being acknowledged goes to the dead queue).
    """

    QoS = QoS
    body_encoding = None  # bodies are stored as the bytes they are

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        options = connection.client.transport_options
        self._dead_queue: str = options["dead_queue"]
        self._delivery_limit: int = options["delivery_limit"]
        self._lease: float = options["store"].lease
        self._engine: sa.Engine = connection.engine
        self._watch: Any = None
        self._seen: int | None = None
        self._looked = self._buried = float("-inf")

    @contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        with self._engine.connect() as connection:
            yield connection.execution_options(reads=True)

    # ---------------------------------------------------------------- queues

    def queues(self) -> frozenset[str]:
        """Name the queues that exist."""
        with self._read() as connection:
            return frozenset(connection.scalars(_NAMES))

    def _has_queue(self, queue: str, **_: Any) -> bool:
        return queue in self.queues()

    def _new_queue(self, queue: str, **_: Any) -> None:
        if not self._has_queue(queue):
            with self._engine.begin() as connection:
                connection.execute(sa.insert(_queue).prefix_with("OR IGNORE"), {"name": queue})

    def _size(self, queue: str) -> int:
        ready = sa.select(sa.func.count()).where(_message.c.queue == queue, _message.c.visible_at <= time.time())
        with self._read() as connection:
            return connection.scalar(ready) or 0

    def _purge(self, queue: str) -> int:
        with self._engine.begin() as connection:
            return connection.execute(sa.delete(_message).where(_message.c.queue == queue)).rowcount

    def queue_delete(self, queue: str, if_unused: bool = False, if_empty: bool = False, **_: Any) -> None:
        """Delete the queue and its messages."""
        if not (if_empty and self._size(queue)):
            with self._engine.begin() as connection:
                connection.execute(sa.delete(_queue).where(_queue.c.name == queue))

    # ---------------------------------------------------------------- in

    def basic_publish(self, message: dict[str, Any], exchange: str, routing_key: str, **_: Any) -> None:
        """Store one message; it is on the disk when this returns. Raises ChannelError for an unknown queue."""
        if exchange:
            raise ChannelError(f"the embedded queue has no exchange {exchange!r}: publish to the queue by its name")
        if self.basic_publish_many([(message, routing_key)]):
            raise ChannelError(f"NO_ROUTE: there is no queue {routing_key!r}")

    def basic_publish_many(self, messages: Sequence[tuple[dict[str, Any], str]]) -> set[str]:
        """Store (message, queue name) pairs in one transaction, on the disk when this returns.

        Return the queue names that do not exist; their messages are not stored.
        """
        with self._engine.begin() as connection:
            known = frozenset(connection.scalars(_NAMES))
            rows = [_row(message, queue) for message, queue in messages if queue in known]
            if rows:
                connection.execute(sa.insert(_message), rows)
        return {queue for _, queue in messages} - known

    # ---------------------------------------------------------------- out

    def _get_many(self, queues: Iterable[str], timeout: float | None = None) -> None:
        """Lease what the prefetch allows and hand it over; raise Empty when there is nothing."""
        version = self._data_version()
        if version == self._seen and time.monotonic() - self._looked < LOOK_SECONDS:
            raise Empty
        room = self.qos.can_consume_max_estimate() or CHUNK
        raw = self._take(list(queues), min(room, CHUNK))
        self._seen, self._looked = (None if raw else version), time.monotonic()
        if not raw:
            raise Empty
        for message in raw:
            self.connection._deliver(message, message["properties"]["delivery_info"]["queue"])

    def _data_version(self) -> int:
        """Return SQLite's number of the last commit that another connection made; far cheaper than a look."""
        if self._watch is None:
            self._watch = self._engine.raw_connection()
        return int(self._watch.execute("PRAGMA data_version").fetchone()[0])

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        raw = self._take([queue], 1)
        if not raw:
            raise Empty
        return raw[0]

    def _take(self, queues: list[str], limit: int) -> list[dict[str, Any]]:
        """Lease at most `limit` messages, oldest first, and at least one however large."""
        if time.monotonic() - self._buried >= LOOK_SECONDS:
            self._inherit()
            self._buried = time.monotonic()
        now = time.time()
        with self._read() as connection:  # a reader without work must not take the writer's place
            if connection.scalar(_ANYTHING, {"queues": queues, "now": now}) is None:
                return []
        me = self.connection.presence().path.name
        with self._engine.begin() as connection:
            candidates: list[Any] = []
            for queue in queues:  # one by one: the index then gives each in order, without sorting a backlog
                room = limit + len(self.qos._delivered)
                for row in connection.execute(_CANDIDATES, {"name": queue, "room": room}):
                    if row.visible_at <= now:
                        candidates.append(row)
                    elif row.reader != me:
                        # In another reader's hand: what stands behind it waits, or a correction would overtake its
                        # original when that reader is killed.
                        break
            ids: list[int] = []
            size = 0
            for row in sorted(candidates, key=lambda row: row.id)[:limit]:
                if row.deliveries >= self._delivery_limit and self._dead_queue not in queues:
                    buried = {"queue": self._dead_queue, "visible_at": 0, "deliveries": 0}
                    connection.execute(sa.update(_message).where(_message.c.id == row.id).values(buried))
                    continue
                size += row.size
                if ids and size > FETCH_BYTES:
                    break
                ids.append(row.id)
            leased = connection.execute(_LEASE, {"rows": ids, "until": now + self._lease, "by": me}).all()
        return [_raw(row) for row in sorted(leased, key=lambda row: row.id)]

    def _inherit(self) -> None:
        """Make what dead readers had in hand visible at once."""
        if dead := _dead(self.connection.readers):
            with self._engine.begin() as connection:
                connection.execute(_INHERIT, {"dead": [path.name for path in dead], "now": time.time()})
            for path in dead:
                path.unlink(missing_ok=True)

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Delete one message."""
        self.basic_ack_many([delivery_tag])

    def basic_ack_many(self, delivery_tags: Sequence[str]) -> None:
        """Delete messages in one transaction; one whose lease went to another reader meanwhile is left alone."""
        if delivery_tags:
            with self._engine.begin() as connection:
                connection.execute(_FORGET, [_key(tag) for tag in delivery_tags])
        for tag in delivery_tags:
            self.qos.ack(tag)

    def _give_back(self, delivery_tags: Sequence[str], *, dead: bool) -> None:
        if not delivery_tags:
            return
        keys = [_key(tag) for tag in delivery_tags]
        with self._engine.begin() as connection:
            if dead:
                connection.execute(_BURY, [key | {"dead": self._dead_queue} for key in keys])
            else:
                connection.execute(_RETURN, keys)


def _row(message: dict[str, Any], queue: str) -> dict[str, Any]:
    """Make a table row of a kombu message."""
    body = message["body"]
    properties = {key: value for key, value in message.items() if key != "body"}
    properties["uid"] = uuid.uuid4().hex
    return {
        "queue": queue,
        "properties": json.dumps(properties),
        "body": body.encode() if isinstance(body, str) else bytes(body),
    }


def _raw(row: sa.Row[Any]) -> dict[str, Any]:
    """Make a kombu message of a leased row."""
    message: dict[str, Any] = json.loads(row.properties)
    message["body"] = row.body
    message["properties"].update(
        delivery_tag=f"{row.id}.{row.version}",
        stored_as=message["uid"],
        delivery_info={
            "exchange": "",
            "routing_key": row.queue,
            "queue": row.queue,
            "redelivered": row.deliveries > 1,
        },
    )
    return message


def _key(delivery_tag: str) -> dict[str, int]:
    """Split a delivery tag into the row's identity and the lease's number."""
    identity, version = delivery_tag.split(".")
    return {"row": int(identity), "lease": int(version)}


class Transport(virtual.Transport):  # type: ignore[misc]
    """The kombu transport; named by `transport="gateway.queues.embedded:Transport"`."""

    Channel = Channel
    driver_type = "sql"
    driver_name = "gateway"
    can_parse_url = True
    polling_interval = POLL_SECONDS
    connection_errors = (SQLAlchemyError, OSError)
    channel_errors = (ChannelError,)

    engine: sa.Engine | None = None
    _presence: Presence | None = None

    def driver_version(self) -> str:
        """Tell SQLite's version."""
        return sqlite3.sqlite_version

    @property
    def readers(self) -> Path:
        """The folder of the readers' signs of life, beside the queue's own file, which only SQLite may open."""
        path: Path = self.client.transport_options["store"].path
        return path.with_name(f"{path.name}.readers")

    def presence(self) -> Presence:
        """Return this reader's sign of life, given before it first leases anything."""
        if self._presence is None:
            self._presence = _appear(self.readers)
        return self._presence

    def establish_connection(self) -> Any:
        """Open the file and make its tables where they are missing."""
        self.engine = _open(self.client.transport_options["store"].path)
        with self.engine.connect().execution_options(reads=True) as connection:
            ready = _complete(connection)
        if not ready:
            with self.engine.begin() as connection:  # two processes may start at once: the second waits, then finds it
                _metadata.create_all(connection)
                if not _complete(connection):  # made before there were signs of life
                    connection.exec_driver_sql("ALTER TABLE message ADD COLUMN reader VARCHAR")
                name = self.client.transport_options["dead_queue"]
                connection.execute(sa.insert(_queue).prefix_with("OR IGNORE"), {"name": name})
        return super().establish_connection()

    def close_connection(self, connection: Any) -> None:
        """Give back what is in hand and close the file."""
        try:
            super().close_connection(connection)
            if self._presence:
                self._presence.path.unlink(missing_ok=True)
        finally:  # what could not be given back is a dead reader's
            if self._presence:
                os.close(self._presence.handle)
                self._presence = None
            if self.engine is not None:
                self.engine.dispose()


def _complete(connection: sa.Connection) -> bool:
    """Tell whether the tables are there, as this version wants them."""
    found = sa.inspect(connection)
    return found.has_table("message") and any(one["name"] == "reader" for one in found.get_columns("message"))
