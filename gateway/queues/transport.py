"""The embedded queue: a kombu transport on SQLite in which a message is gone only when it is acknowledged.

kombu's own SQL transport takes a message off when it is fetched, so a killed reader loses what it had in flight. Here
fetching leases the row for a time; acknowledging deletes it; rejecting, closing, the reader's death or the end of the
lease gives it back.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any

import sqlalchemy as sa
from kombu.exceptions import ChannelError
from kombu.transport import virtual as untyped
from sqlalchemy.exc import SQLAlchemyError

from gateway.queues.store import (
    ANYTHING,
    BURY,
    CANDIDATES,
    FORGET,
    INHERIT,
    LEASE,
    LEAVE,
    MESSAGE,
    METADATA,
    NAMES,
    QUEUE,
    RETURN,
    Presence,
    appear,
    dead_readers,
    is_complete,
    open_file,
)

virtual: Any = untyped  # kombu's own types say neither what its methods take nor what its attributes may be

# An idle reader asks this often whether anything has changed; and every reader looks this often for leases that have
# ended and for dead readers.
POLL_SECONDS = 0.05
LOOK_SECONDS = 1.0

# Bodies fetched in one go, so that a queue of large messages does not fill the memory.
FETCH_BYTES = 32_000_000

# SQLite's limit of values in one statement is 32,766; far below it.
CHUNK = 5_000


class QoS(virtual.QoS):  # type: ignore[misc]
    """Remembers what is in flight; the rows themselves know that they are leased."""

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give the message back, or make it a dead letter."""
        self.channel._give_back([delivery_tag], RETURN if requeue else BURY)
        self._quick_ack(delivery_tag)

    def restore_unacked(self) -> list[object]:
        """Give everything in flight back at once, uncounted: who leaves in order has not failed on it."""
        self._flush()
        self.channel._give_back(list(self._delivered), LEAVE)
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

    def close(self) -> None:
        """Close the channel, and let go of the file."""
        super().close()
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    @contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        with self._engine.connect() as connection:
            yield connection.execution_options(reads=True)

    # ---------------------------------------------------------------- queues

    def queues(self) -> frozenset[str]:
        """Name the queues that exist."""
        with self._read() as connection:
            return frozenset(connection.scalars(NAMES))

    def _has_queue(self, queue: str, **_: Any) -> bool:
        return queue in self.queues()

    def _new_queue(self, queue: str, **_: Any) -> None:
        if not self._has_queue(queue):
            with self._engine.begin() as connection:
                connection.execute(sa.insert(QUEUE).prefix_with("OR IGNORE"), {"name": queue})

    def _size(self, queue: str) -> int:
        ready = sa.select(sa.func.count()).where(MESSAGE.c.queue == queue, MESSAGE.c.visible_at <= time.time())
        with self._read() as connection:
            return connection.scalar(ready) or 0

    def _purge(self, queue: str) -> int:
        with self._engine.begin() as connection:
            return connection.execute(sa.delete(MESSAGE).where(MESSAGE.c.queue == queue)).rowcount

    def queue_delete(self, queue: str, if_unused: bool = False, if_empty: bool = False, **_: Any) -> None:  # noqa: ARG002 - kombu's signature
        """Delete the queue and its messages."""
        if not (if_empty and self._size(queue)):
            with self._engine.begin() as connection:
                connection.execute(sa.delete(QUEUE).where(QUEUE.c.name == queue))

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
            known = frozenset(connection.scalars(NAMES))
            rows = [_row(message, queue) for message, queue in messages if queue in known]
            if rows:
                connection.execute(sa.insert(MESSAGE), rows)
        return {queue for _, queue in messages} - known

    # ---------------------------------------------------------------- out

    def _get_many(self, queues: Iterable[str], timeout: float | None = None) -> None:  # noqa: ARG002 - kombu's signature
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

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:  # noqa: ARG002 - kombu's signature
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
            if connection.scalar(ANYTHING, {"queues": queues, "now": now}) is None:
                return []
        me = self.connection.presence().path.name
        with self._engine.begin() as connection:
            candidates = self._candidates(connection, queues, limit, now)
            ids: list[int] = []
            size = 0
            for row in sorted(candidates, key=lambda row: row.id)[:limit]:
                if row.deliveries >= self._delivery_limit and self._dead_queue not in queues:
                    key = {"row": row.id, "lease": row.version}
                    connection.execute(BURY, key | self._burial("delivery_limit"))
                    continue
                size += row.size
                if ids and size > FETCH_BYTES:
                    break
                ids.append(row.id)
            leased = connection.execute(LEASE, {"rows": ids, "until": now + self._lease, "by": me}).all()
        return [_raw(row) for row in sorted(leased, key=lambda row: row.id)]

    def _candidates(self, connection: sa.Connection, queues: list[str], limit: int, now: float) -> list[Any]:
        """Return the rows that nobody holds, in the order of each queue."""
        me = self.connection.presence().path.name
        self.qos._flush()
        held = {_key(tag)["row"] for tag in self.qos._delivered}
        candidates: list[Any] = []
        for queue in queues:  # one by one: the index then gives each in order, without sorting a backlog
            for row in connection.execute(CANDIDATES, {"name": queue, "room": limit + len(held)}):
                if row.id in held:  # in our own hands, though their lease may have ended
                    continue
                if row.visible_at <= now:
                    candidates.append(row)
                elif row.reader != me:
                    # In flight to another reader: what stands behind it waits, or a correction would overtake its
                    # original when that reader is killed.
                    break
        return candidates

    def _inherit(self) -> None:
        """Make what dead readers had in flight visible at once."""
        if dead := dead_readers(self.connection.readers):
            with self._engine.begin() as connection:
                connection.execute(INHERIT, {"dead": [path.name for path in dead], "now": time.time()})
            for path in dead:
                path.unlink(missing_ok=True)

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:  # noqa: ARG002 - kombu's signature
        """Delete one message."""
        self.basic_ack_many([delivery_tag])

    def basic_ack_many(self, delivery_tags: Sequence[str]) -> int:
        """Delete messages in one transaction and count them; one whose lease went to another reader is left alone."""
        deleted = 0
        if delivery_tags:
            with self._engine.begin() as connection:
                deleted = connection.execute(FORGET, [_key(tag) for tag in delivery_tags]).rowcount
        for tag in delivery_tags:
            self.qos.ack(tag)
        return deleted

    def _give_back(self, delivery_tags: Sequence[str], how: sa.Update) -> None:
        if delivery_tags:
            dead = self._burial("rejected") if how is BURY else {}
            with self._engine.begin() as connection:
                connection.execute(how, [_key(tag) | dead for tag in delivery_tags])

    def _burial(self, why: str) -> dict[str, Any]:
        """Return what is written of a message that becomes a dead letter now."""
        return {"dead": self._dead_queue, "why": why, "at": int(time.time())}


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
            "redelivered": row.version > 1,
        },
    )
    return message


def _key(delivery_tag: str) -> dict[str, int]:
    """Split a delivery tag into the row's identity and the lease's number."""
    identity, version = delivery_tag.split(".")
    return {"row": int(identity), "lease": int(version)}


class Transport(virtual.Transport):  # type: ignore[misc]
    """The kombu transport; named by `transport="gateway.queues.transport:Transport"`."""

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
            self._presence = appear(self.readers)
        return self._presence

    def establish_connection(self) -> Any:
        """Open the file and make its tables where they are missing."""
        self.engine = open_file(self.client.transport_options["store"].path)
        with self.engine.connect().execution_options(reads=True) as connection:
            ready = is_complete(connection)
        if not ready:
            with self.engine.begin() as connection:  # two processes may start at once: the second waits, then finds it
                METADATA.create_all(connection)
                if not is_complete(connection):  # made before there were signs of life
                    connection.exec_driver_sql("ALTER TABLE message ADD COLUMN reader VARCHAR")
                name = self.client.transport_options["dead_queue"]
                connection.execute(sa.insert(QUEUE).prefix_with("OR IGNORE"), {"name": name})
        return super().establish_connection()

    def close_connection(self, connection: Any) -> None:
        """Give back what is in flight and close the file."""
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
