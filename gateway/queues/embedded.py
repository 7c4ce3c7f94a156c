"""The embedded queue behind the port: `transport` is kombu's side of it, `store` the file."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import amqp  # type: ignore[import-untyped]

from core.text import of_sqlite
from gateway.queues.patches import drop
from gateway.queues.port import Broker, Intake, Publisher
from gateway.queues.store import store_of
from gateway.queues.transport import Transport
from gateway.queues.values import DEAD_QUEUE, DELIVERY_LIMIT, Letter, Published, message_of


class Embedded(Broker):
    """The queues in one SQLite file."""

    errors = (amqp.AMQPError, *Transport.connection_errors)

    def __init__(self, url: str) -> None:
        store = store_of(url)
        options = {"store": store, "dead_queue": DEAD_QUEUE, "delivery_limit": DELIVERY_LIMIT}
        super().__init__(url, [{"transport": "gateway.queues.transport:Transport", "transport_options": options}])
        self._in_words = partial(of_sqlite, file=store.path)

    def declare(self, queues: Iterable[str]) -> None:
        """Make the queues where they are missing; the dead letter queue is made with the file."""
        with self.channel() as channel:
            for queue in queues:
                channel.queue_declare(queue)

    def _open_publisher(self) -> Publisher:
        return StoringPublisher(self)

    def _open_intake(self, queues: Sequence[str], prefetch: int) -> Intake:
        return EmbeddedIntake(self, queues, prefetch)

    def _version_of(self, connection: Any) -> str:
        return f"SQLite {connection.transport.driver_version()}"

    def _connected_to(self, connection: Any) -> None:
        """Do nothing: SQLite waits BUSY_SECONDS at most by itself."""


class StoringPublisher:
    """Stores a batch in one transaction: what has committed is confirmed."""

    alarm: str | None = None

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._connection = broker.connect()
        self._channel = self._connection.channel()

    def publish(self, batch: Sequence[Letter]) -> Published:
        """Store the letters whose queue exists."""
        with self._broker.one_line():
            absent = self._channel.basic_publish_many([(message_of(self._channel, one), one.queue) for one in batch])
        return Published(
            frozenset(letter.id for letter in batch if letter.queue not in absent),
            frozenset(letter.id for letter in batch if letter.queue in absent),
        )

    def close(self) -> None:
        """Close the connection: as long as one is open, the file needs its log beside it."""
        try:
            self._connection.release()
        except self._broker.errors:
            drop(self._connection)


class EmbeddedIntake(Intake):
    """A reader of the embedded queue: one channel reads all its queues, and no wire has to be kept alive."""

    vouched = False
    _gone = True

    def _channels_for(self, _queues: Sequence[str]) -> int:
        return 1

    def _ask(self, _queues: Sequence[str]) -> list[str]:
        return []

    def _read(self, timeout: float) -> bool:
        try:
            self._connection.drain_events(timeout=timeout)
        except TimeoutError:
            return False
        return True

    def _more(self) -> bool:
        return False  # one look brings all that may be handled in one go

    def _beat(self) -> None:
        """Do nothing."""

    def idle(self, seconds: float) -> None:
        """Sleep: to read would lease again what is ours already, and count a delivery."""
        time.sleep(seconds)

    def _ack(self, number: int, tags: Sequence[Any]) -> None:
        self._gone = self._channels[number].basic_ack_many(tags) == len(tags)

    def _acked(self) -> bool:
        return self._gone  # the transaction was the broker's word
