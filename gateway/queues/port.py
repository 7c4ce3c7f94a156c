"""What the service sees of a broker and of a reader of its queues: all that RabbitMQ and the embedded queue share."""

from __future__ import annotations

import time
import uuid
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby, islice
from operator import itemgetter
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, Self

from kombu.connection import Connection

from core.errors import BrokerUnavailable, GatewayError
from core.findings import Bilingual
from core.limits import in_one_go
from core.urls import mask, without_secrets
from gateway.queues.patches import apply, drop
from gateway.queues.values import Delivery, Letter, Published, Refused, delivery_of

apply()


class Publisher(Protocol):
    """A connection to publish on; `alarm` is why the broker takes nothing from it now."""

    alarm: str | None

    def publish(self, batch: Sequence[Letter]) -> Published:
        """Publish a batch as Broker.publish says."""

    def close(self) -> None:
        """Throw the connection away."""


class Broker(ABC):
    """The queues of one broker; every method raises BrokerUnavailable when it cannot be reached.

    One thread may publish while another receives; two threads must not publish at once. Never fork after first use.
    """

    # What a broken connection raises, whichever library notices it.
    errors: ClassVar[tuple[type[Exception], ...]]

    def __init__(self, url: str, nodes: Sequence[Mapping[str, Any]]) -> None:
        self.url, self._secret_url = mask(url), url
        self._in_words: Callable[[str], str] = str  # what the library says, in better ones where there are any
        self._nodes = nodes  # the options of a kombu connection to each
        self._publisher: Publisher | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the publishing connection; an Intake is closed by itself."""
        if self._publisher:
            self._publisher.close()
            self._publisher = None

    # ---------------------------------------------------------------- queues

    @abstractmethod
    def declare(self, queues: Iterable[str]) -> None:
        """Make the queues, and the dead letter queue, where they are missing; those that exist stay as they are.

        On RabbitMQ they are quorum queues, and `in` and `in.<partner>` are bound to the intake exchange by their name.
        Raises GatewayError when one exists with other properties.
        """

    def missing(self, queues: Iterable[str]) -> list[str]:
        """Name those of the queues that do not exist."""
        return [queue for queue, depth in self.depths(queues).items() if depth is None]

    def depth(self, queue: str) -> int:
        """Count the messages that wait; those in flight are not counted. Raises GatewayError if it is missing."""
        with self.channel() as channel:
            return int(channel.queue_declare(queue, passive=True).message_count)

    def readers(self, queue: str) -> int:
        """Count who reads a queue; 0 where the broker does not know. Raises GatewayError if it is missing."""
        with self.channel() as channel:
            return int(channel.queue_declare(queue, passive=True).consumer_count)

    def depths(self, queues: Iterable[str]) -> dict[str, int | None]:
        """Return the depth of each queue, on one connection; None where a queue is missing."""
        found: dict[str, int | None] = {}
        with self._connected() as connection:
            for queue in queues:
                channel = connection.channel()  # RabbitMQ closes the channel with its answer "not found"
                try:
                    found[queue] = int(channel.queue_declare(queue, passive=True).message_count)
                except connection.channel_errors as error:
                    if getattr(error, "reply_code", 404) not in {404, "404"}:
                        raise
                    found[queue] = None
                else:
                    channel.close()
        return found

    def channels(self) -> int | None:
        """Return how many channels a connection may have; None where each has as many as it likes."""
        return None

    def certificate(self) -> bytes | None:  # noqa: B027 - none by default
        """Return the certificate (DER) that the broker shows, if any."""

    def purge(self, queue: str) -> int:
        """Delete the messages that wait and return how many they were."""
        with self.channel() as channel:
            return int(channel.queue_purge(queue))

    def version(self) -> str:
        """Open a connection, close it, and return what the broker says of itself, such as `RabbitMQ 4.0.3`."""
        with self._connected() as connection:
            connection.channel()
            return self._version_of(connection)

    @abstractmethod
    def _version_of(self, connection: Any) -> str:
        """Return what the broker says of itself on an open connection."""

    # ---------------------------------------------------------------- out

    def publish(self, batch: Sequence[Letter]) -> Published:
        """Publish a batch, persistent, and wait at most CONFIRM_SECONDS for the broker's word on each letter.

        Raises BrokerUnavailable only when nothing of the batch was confirmed or returned; what the broker left
        unanswered is in neither set and may have arrived all the same, so it is published again under the same id.
        While the broker's alarm is on it raises BrokerBlocked; what it took of a batch is told by the call after it.
        """
        if not batch:
            return Published(frozenset(), frozenset())
        if self._publisher is None:
            self._publisher = self._open_publisher()
        return self._publisher.publish(batch)

    @property
    def alarm(self) -> str | None:
        """Why the broker takes nothing now, as it told this publisher last; None if it does."""
        return self._publisher.alarm if self._publisher else None

    @abstractmethod
    def _open_publisher(self) -> Publisher:
        """Return a new publisher."""

    # ---------------------------------------------------------------- in

    def consume(self, queues: Sequence[str], prefetch: int = 50) -> Intake:
        """Start to receive from the queues on a connection of its own; at most `prefetch` unacknowledged per queue.

        Raises GatewayError naming the queues that do not exist.
        """
        absent = self.missing(queues)
        if absent:
            raise GatewayError(
                f"no queue {', '.join(repr(queue) for queue in absent)} at {self.url}: run `gateway doctor --declare`"
            )
        return self._open_intake(queues, prefetch)

    @abstractmethod
    def _open_intake(self, queues: Sequence[str], prefetch: int) -> Intake:
        """Return a new intake of queues that exist."""

    def take(self, queue: str, timeout: float) -> Delivery | None:
        """Read one message, acknowledge it and return it; None when none came within `timeout` seconds."""
        with self.consume([queue], prefetch=1) as intake:
            end = time.monotonic() + timeout
            while not (deliveries := intake.receive(min(1.0, max(0.0, end - time.monotonic())))):
                if time.monotonic() >= end:
                    return None
            intake.ack(deliveries)
            return deliveries[0]

    # ---------------------------------------------------------------- connections

    def connect(self, heartbeat: int = 0) -> Any:
        """Open a kombu connection; each node of a cluster is tried once. Raises BrokerUnavailable."""
        for node in self._nodes:
            connection = self._connection(heartbeat=heartbeat, **node)
            try:
                with self.one_line():
                    connection.ensure_connection(max_retries=0, reraise_as_library_errors=False)
                    self._connected_to(connection)
                    return connection
            except BrokerUnavailable:
                drop(connection)
                if node is self._nodes[-1]:
                    raise
        raise AssertionError("a broker has at least one node")

    def _connection(self, **options: Any) -> Any:
        """Return a kombu connection, not yet connected."""
        return Connection(**options)  # type: ignore[no-untyped-call]

    @abstractmethod
    def _connected_to(self, connection: Any) -> None:
        """Set what an open connection needs."""

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        connection = self.connect()
        try:
            with self.one_line():
                yield connection
                connection.release()
        except BaseException:
            drop(connection)
            raise

    @contextmanager
    def channel(self) -> Iterator[Any]:
        """Open a channel, on a connection of its own, for a block."""
        with self._connected() as connection:
            yield connection.channel()

    @contextmanager
    def one_line(self) -> Iterator[None]:
        """Turn the libraries' errors into ours, each one line."""
        try:
            yield
        except self.errors as error:
            reason = " ".join((str(error).splitlines() or [""])[0].split()) or type(error).__name__
            reason = self._in_words(without_secrets(reason, self._secret_url))
            if (code := str(getattr(error, "reply_code", ""))) in {"404", "406"}:  # not there; another, or full
                raise (Refused if code == "406" else GatewayError)(f"broker {self.url} refuses: {reason}") from error
            fr = f"le serveur de files {self.url} n'est pas disponible : {reason}"
            raise BrokerUnavailable(Bilingual(f"broker {self.url} is not available: {reason}", fr)) from error


class Intake(ABC):
    """Receives from queues, on a connection of its own; after an error it is of no more use: close it, consume again.

    Between two calls of `receive` no more than HEARTBEAT_SECONDS should pass. On RabbitMQ each queue has a channel of
    its own, and is not waited for: one without a leader stops its channel only, and is read when it has a leader
    again. `silent` names those that did not answer at the start.
    """

    # Whether the broker checks the user that a message names.
    vouched: ClassVar[bool]

    # Further options of the library's `basic_consume`.
    consume_options: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    def __init__(self, broker: Broker, queues: Sequence[str], prefetch: int, heartbeat: int = 0) -> None:
        self._broker = broker
        self._prefetch = prefetch
        self._arrived: deque[Delivery] = deque()
        self._in_flight: set[tuple[int, Any]] = set()
        self._open = True
        self._connection = broker.connect(heartbeat)
        try:
            with broker.one_line():
                self._channels = [self._connection.channel() for _ in range(self._channels_for(queues))]
                for number, queue in enumerate(queues):
                    self._consume(number % len(self._channels), queue)
                self.silent = self._ask(queues)
        except BaseException:
            drop(self._connection)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---------------------------------------------------------------- what differs from broker to broker

    @abstractmethod
    def _channels_for(self, queues: Sequence[str]) -> int:
        """Return how many channels these queues are read on."""

    @abstractmethod
    def _ask(self, queues: Sequence[str]) -> list[str]:
        """Return the queues that do not answer."""

    @abstractmethod
    def _read(self, timeout: float) -> bool:
        """Let one thing happen; tell whether anything did."""

    @abstractmethod
    def _more(self) -> bool:
        """Read what is there already, as much as may be handled in one go; tell whether there may be more."""

    @abstractmethod
    def _ack(self, number: int, tags: Sequence[Any]) -> None:
        """Acknowledge messages of one channel, by their ascending numbers."""

    @abstractmethod
    def _acked(self) -> bool:
        """Wait until the broker has what was acknowledged last; tell whether all of it was ours."""

    @abstractmethod
    def _beat(self) -> None:
        """Give a sign of life where it is time for one."""

    # ---------------------------------------------------------------- receiving

    def _consume(self, number: int, queue: str) -> None:
        channel = self._channels[number]
        channel.auto_decode = False  # else the library decodes a body as its sender's property tells
        channel.basic_qos(0, self._prefetch, False)
        channel.basic_consume(
            queue=queue,
            no_ack=False,
            callback=partial(self._arrive, number, queue),
            consumer_tag=f"gateway-{uuid.uuid4().hex}",
            **self.consume_options,
        )

    def _arrive(self, number: int, queue: str, raw: Any) -> None:
        message = self._channels[number].message_to_python(raw)
        tag = (number, message.delivery_tag)
        self._in_flight.add(tag)
        self._arrived.append(delivery_of(message, queue, tag, self, vouched=self.vouched))

    @contextmanager
    def _usable(self) -> Iterator[None]:
        """Refuse a closed connection, which the library would open again, but without its consumers."""
        if not self._open:
            raise BrokerUnavailable(f"broker {self._broker.url}: this intake is closed")
        try:
            with self._broker.one_line():
                yield
        except GatewayError:
            self._open = False
            drop(self._connection)
            raise

    def receive(self, timeout: float) -> list[Delivery]:
        """Wait at most `timeout` seconds for a message; return it and those that came with it.

        They are at most `prefetch`, and as many as may be handled in one go.
        """
        end = time.monotonic() + timeout
        with self._usable():
            while not self._arrived:
                self._beat()
                left = end - time.monotonic()
                self._read(max(0.0, min(left, 1.0)))
                if left <= 0:
                    break
            while self._more():
                pass
        # While the library waits for an answer of the broker's, any number may come.
        together = in_one_go(len(one.body) for one in islice(self._arrived, self._prefetch))
        return [self._arrived.popleft() for _ in range(together)]

    def keep(self, deliveries: Sequence[Delivery]) -> None:
        """Take back what `receive` gave out: it comes first at the next call, and the broker counts nothing."""
        self._arrived.extendleft(reversed(deliveries))

    @abstractmethod
    def idle(self, seconds: float) -> None:
        """Wait so long without giving anything out; what is unacknowledged stays ours."""

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Tell the broker, in one go, that these messages are safe here; what it did not hear of comes again."""
        mine = self._mine(deliveries)
        with self._usable():
            for number, pairs in groupby(mine, key=itemgetter(0)):
                self._ack(number, [tag for _, tag in pairs])
        self._in_flight.difference_update(mine)

    def settle(self, deliveries: Sequence[Delivery]) -> bool:
        """Acknowledge messages and wait until the broker knows; False where some, their lease over, come again."""
        self.ack(deliveries)
        with self._usable():
            return self._acked()

    def reject(self, deliveries: Sequence[Delivery], requeue: bool) -> None:
        """Give messages back to their queues, or make them dead letters."""
        mine = self._mine(deliveries)
        with self._usable():
            for number, tag in mine:
                self._channels[number].basic_reject(tag, requeue=requeue)
        self._in_flight.difference_update(mine)

    def _mine(self, deliveries: Sequence[Delivery]) -> list[tuple[int, Any]]:
        # A number counts on its own channel only: another Intake's would acknowledge a message that nobody has read.
        return sorted({one.tag for one in deliveries if one._settles is self} & self._in_flight)

    def close(self) -> None:
        """Leave; what is not acknowledged goes back to its queue at once."""
        if not self._open:
            return
        self._open = False
        try:
            self._connection.release()
        except Exception:  # gone already: the broker, or the end of the lease, gives the messages back
            drop(self._connection)
