"""The queues as the service sees them, the same on the embedded SQLite queue and on RabbitMQ.

Publishing believes only what the broker confirmed, message by message; receiving hands over raw bytes and keeps every
message with the broker until it is acknowledged. Nothing here decodes, decompresses or judges a body.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from operator import itemgetter
from types import MappingProxyType
from typing import Any, NamedTuple, Self
from urllib.parse import unquote, urlsplit

import amqp  # type: ignore[import-untyped]
import amqp.serialization  # type: ignore[import-untyped]
import kombu.compression
from kombu.connection import Connection

from core.errors import BrokerUnavailable, GatewayError
from core.limits import BATCH_BYTES
from core.transmission import stable_id
from gateway.queues.embedded import Transport, store_of

# Where a message goes that nobody could take: rejected, or delivered too often.
DEAD_QUEUE = "dead"
DELIVERY_LIMIT = 20

# Filers publish here with their own queue's name as routing key; on the default exchange they could reach every queue.
INTAKE_EXCHANGE = "customs.in"

# One deadline for the confirmation of a whole batch. The library's own timeout starts again with every frame.
CONFIRM_SECONDS = 8.0

# The longest that one read or write of the socket may take, and that a connection may take to open.
SOCKET_SECONDS = 8.0
CONNECT_SECONDS = 5.0

# The reader's connection: the broker gives its messages to another when it hears nothing for two of these.
HEARTBEAT_SECONDS = 20

# So much is handed to the socket at once. A piece that does not go out within SOCKET_SECONDS costs the whole batch, and
# between two pieces the broker's word on those before is read: over a slow link a larger one would never get through.
PIECE_BYTES = 100_000

# Headers handed on to the service, and how long one may be; everything else a sender writes there is dropped.
HEADERS = frozenset({"kind", "reference", "in-reply-to", "file-name"})
HEADER_CHARACTERS = 200

_QUORUM = {
    "x-queue-type": "quorum",
    "x-delivery-limit": DELIVERY_LIMIT,
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": DEAD_QUEUE,
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}

# kombu unpacks a body as the header `compression` tells, before anybody looks at it: 389 kB on the wire became 400 MB.
kombu.compression._decoders.clear()


def _tolerant(read: Callable[[bytes, int], tuple[dict[str, Any], int]]) -> Callable[[bytes, int], Any]:
    def read_or_none(buffer: bytes, offset: int) -> tuple[dict[str, Any], int]:
        try:
            return read(buffer, offset)
        except Exception:  # whatever it is, the body is still to be received and judged
            return {}, offset

    return read_or_none


# Properties that cannot be read (text that is no UTF-8) would end the reader's connection, again at each redelivery.
_BASIC = 60
amqp.serialization.PROPERTY_CLASSES[_BASIC] = _tolerant(amqp.serialization.PROPERTY_CLASSES[_BASIC])


# What a broken connection raises, whichever library notices it.
_ERRORS: tuple[type[Exception], ...] = (amqp.AMQPError, *Transport.connection_errors)


class Letter(NamedTuple):
    """One message to be sent; `id` becomes its message_id and is unique within a batch."""

    id: str
    queue: str
    content_type: str
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})


class Published(NamedTuple):
    """What became of a batch: ids that the broker keeps, ids whose queue does not exist; the others: try again."""

    confirmed: frozenset[str]
    unroutable: frozenset[str]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message received, still the broker's until `ack`.

    `uid` is the same again when the transport delivers again, and when a sender repeats the same bytes with the same
    message_id on the same queue; without message_id RabbitMQ gives nothing to know a redelivery by, and each is new.
    `user_id` is the user that RabbitMQ vouches for (None: not given, or embedded queue); `vouched` tells whether the
    broker checks it, so that without it nothing is known of the sender; on the embedded queue, who may write there is.
    """

    uid: str
    queue: str
    body: bytes = field(repr=False)  # never by chance in a log
    content_type: str
    headers: Mapping[str, str]
    message_id: str | None
    user_id: str | None
    redelivered: bool
    tag: tuple[int, Any]  # the channel and the broker's number on it
    _intake: Intake = field(repr=False, compare=False)
    vouched: bool = False

    def ack(self) -> None:
        """Tell the broker that the message is safe here and may be forgotten there."""
        self._intake.ack([self])

    def reject(self, requeue: bool) -> None:
        """Give the message back to its queue, or lay it into the dead queue."""
        self._intake.reject([self], requeue)


def uid_of(queue: str, user_id: str | None, message_id: str, body: bytes) -> str:
    """Return the `uid` of a message that has a message_id."""
    return stable_id(queue, user_id or "", message_id, hashlib.sha256(body).hexdigest())


def users_of(url: str) -> set[str]:
    """Return the users that a broker's URL names, "" where it names none; on the embedded queue there are none."""
    nodes = [] if url.startswith("sqlite:") else url.split(";")
    return {unquote(urlsplit(node).username or "") for node in nodes}


def mask(url: str) -> str:
    """Return the URL without its password."""
    return ";".join(_mask_one(part) for part in url.split(";"))


def _mask_one(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    userinfo, at, host = rest.rpartition("@")
    return f"{scheme}{separator}{userinfo.partition(':')[0]}:**@{host}" if at else url


def open_broker(url: str) -> Broker:
    """Return the broker behind a URL; nothing is connected yet.

    `sqlite:///run/queue.db` is the embedded queue; `?lease=seconds`: how long a hanging reader's messages stay away.
    `amqp://user:password@host:port/vhost` is RabbitMQ, several nodes are separated by semicolons. `amqps://` checks the
    certificate against the machine's authorities, or `?ssl_ca_certs=file`; `ssl_certfile` and `ssl_keyfile` are ours.
    Raises GatewayError for a URL that cannot be one of these.
    """
    return Broker(url)


class Broker:
    """The queues of one broker; every method raises BrokerUnavailable when it cannot be reached.

    One thread may publish while another receives; two threads must not publish at once. Never fork after first use.
    """

    def __init__(self, url: str) -> None:
        self.url = mask(url)
        self._embedded = url.startswith("sqlite:")
        self._publisher: _Publisher | None = None
        self._nodes: list[dict[str, Any]]
        if self._embedded:
            options = {"store": store_of(url), "dead_queue": DEAD_QUEUE, "delivery_limit": DELIVERY_LIMIT}
            self._nodes = [{"transport": "gateway.queues.embedded:Transport", "transport_options": options}]
            return
        self._nodes = [{"hostname": node, "connect_timeout": CONNECT_SECONDS} for node in url.split(";")]
        try:
            if not all(node.startswith(("amqp://", "amqps://")) for node in url.split(";")):
                raise ValueError(url)
            for node in self._nodes:
                _connection(**node)
        except Exception as error:  # the library reads URLs in its own ways, with its own errors
            raise GatewayError(
                f"{self.url!r} is no broker URL: write sqlite:///run/queue.db or amqp://user:password@host:5672/vhost"
            ) from error

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

    def declare(self, queues: Iterable[str]) -> None:
        """Make the queues, and the dead one, where they are missing; those that exist stay as they are.

        On RabbitMQ they are quorum queues, and `in` and `in.<partner>` are bound to the intake exchange by their name.
        Raises GatewayError when one exists with other properties.
        """
        with self._channel() as channel:
            if self._embedded:
                for queue in queues:
                    channel.queue_declare(queue)
                return
            channel.exchange_declare(INTAKE_EXCHANGE, "topic", durable=True, auto_delete=False)
            for queue in {DEAD_QUEUE: None} | dict.fromkeys(queues):
                arguments = {"x-queue-type": "quorum"} if queue == DEAD_QUEUE else _QUORUM
                channel.queue_declare(queue, durable=True, auto_delete=False, arguments=arguments)
                if _is_intake(queue):
                    channel.queue_bind(queue, INTAKE_EXCHANGE, routing_key=queue)

    def missing(self, queues: Iterable[str]) -> list[str]:
        """Name those of the queues that do not exist."""
        absent = []
        with self._connected() as connection:
            for queue in queues:
                channel = connection.channel()  # RabbitMQ closes the channel with its answer "not found"
                try:
                    channel.queue_declare(queue, passive=True)
                except connection.channel_errors as error:
                    if getattr(error, "reply_code", 404) not in {404, "404"}:
                        raise
                    absent.append(queue)
                else:
                    channel.close()
        return absent

    def depth(self, queue: str) -> int:
        """Count the messages that wait; those in somebody's hand are not counted. Raises GatewayError if missing."""
        with self._channel() as channel:
            return int(channel.queue_declare(queue, passive=True).message_count)

    def depths(self, queues: Iterable[str]) -> dict[str, int]:
        """Return the depth of each queue, on one connection. Raises GatewayError if one is missing."""
        with self._channel() as channel:
            return {queue: int(channel.queue_declare(queue, passive=True).message_count) for queue in queues}

    def purge(self, queue: str) -> int:
        """Delete the messages that wait and return how many they were."""
        with self._channel() as channel:
            return int(channel.queue_purge(queue))

    def ping(self) -> None:
        """Open a connection and close it."""
        with self._channel():
            pass

    # ---------------------------------------------------------------- out

    def publish(self, batch: Sequence[Letter]) -> Published:
        """Send a batch, persistent, and wait at most CONFIRM_SECONDS for the broker's word on each letter.

        Raises BrokerUnavailable only when nothing of the batch was confirmed or returned; what the broker left
        unanswered is in neither set and may have arrived all the same, so it is sent again under the same id.
        """
        if not batch:
            return Published(frozenset(), frozenset())
        if self._publisher is None:
            self._publisher = _SqlPublisher(self) if self._embedded else _AmqpPublisher(self)
        return self._publisher.publish(batch)

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
        return Intake(self, queues, prefetch)

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

    def _connect(self, heartbeat: int = 0) -> Any:
        """Open a connection whose every socket call has a deadline; each node of a cluster is tried once."""
        for node in self._nodes:
            connection = _connection(heartbeat=heartbeat, **node)
            try:
                with self._clear_line():
                    connection.ensure_connection(max_retries=0, reraise_as_library_errors=False)
                    if not self._embedded:
                        connection.connection.sock.settimeout(SOCKET_SECONDS)
                    return connection
            except BrokerUnavailable:
                _drop(connection)
                if node is self._nodes[-1]:
                    raise
        raise AssertionError("a broker has at least one node")

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        connection = self._connect()
        try:
            with self._clear_line():
                yield connection
                connection.release()
        except BaseException:
            _drop(connection)
            raise

    @contextmanager
    def _channel(self) -> Iterator[Any]:
        with self._connected() as connection:
            yield connection.channel()

    @contextmanager
    def _clear_line(self) -> Iterator[None]:
        """Turn the libraries' errors into one clear line."""
        try:
            yield
        except _ERRORS as error:
            reason = " ".join((str(error).splitlines() or [""])[0].split()) or type(error).__name__
            if str(getattr(error, "reply_code", "")) in {"404", "406"}:  # not there; there with other properties
                raise GatewayError(f"broker {self.url} refuses: {reason}") from error
            raise BrokerUnavailable(f"broker {self.url} is not available: {reason}") from error


def _connection(**options: Any) -> Any:
    """Make a connection object, not yet connected; ValueError for a TLS option other than the three files."""
    connection: Any = Connection(**options)  # type: ignore[no-untyped-call]
    if options.get("hostname", "").startswith("amqps:"):
        given = connection.ssl if isinstance(connection.ssl, dict) else {}
        connection.ssl = {key.removeprefix("ssl_"): value for key, value in given.items()}
        if connection.ssl.keys() - {"ca_certs", "certfile", "keyfile"}:
            raise ValueError("unknown TLS option")
        # Without it the library would take a valid certificate of any host.
        connection.ssl["server_hostname"] = urlsplit(options["hostname"]).hostname
    return connection


def _drop(connection: Any) -> None:
    """Throw a connection away without a word to its other end, which may no longer listen."""
    with suppress(Exception):
        connection.collect()


def _message(channel: Any, letter: Letter, user: str | None = None) -> Any:
    properties = {"message_id": letter.id, "delivery_mode": 2} | ({"user_id": user} if user else {})
    return channel.prepare_message(
        letter.body,
        content_type=letter.content_type,
        content_encoding="binary",
        headers=dict(letter.headers),
        properties=properties,
    )


def _is_intake(queue: str) -> bool:
    return queue == "in" or queue.startswith("in.")


# ------------------------------------------------------------------------------------------------ out


class _SqlPublisher:
    """Stores a batch in one transaction: what has committed is confirmed."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._connection = broker._connect()
        self._channel = self._connection.channel()

    def publish(self, batch: Sequence[Letter]) -> Published:
        with self._broker._clear_line():
            absent = self._channel.basic_publish_many([(_message(self._channel, one), one.queue) for one in batch])
        return Published(
            frozenset(letter.id for letter in batch if letter.queue not in absent),
            frozenset(letter.id for letter in batch if letter.queue in absent),
        )

    def close(self) -> None:
        _drop(self._connection)


class _AmqpPublisher:
    """Counts its messages as RabbitMQ does, and matches each confirmation with its message by that number.

    The library's own confirming publish takes any confirmation for the one it waits for; after a timeout it reported a
    lost message as kept. So here a channel that left anything unanswered is never used again.

    Each queue has a channel of its own: a quorum queue without a leader stops the channel that publishes to it.

    Without heartbeat: nobody would send it between two batches, and the broker would cut the connection.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._connection: Any = None
        self._channels: dict[str, Any] = {}
        self._sent: Counter[str] = Counter()
        self._waiting: dict[str, dict[int, str]] = {}
        self._returned: set[str] = set()
        self._confirmed: set[str] = set()

    def publish(self, batch: Sequence[Letter]) -> Published:
        end = time.monotonic() + CONFIRM_SECONDS
        self._waiting, self._returned, self._confirmed = defaultdict(dict), set(), set()
        failure: GatewayError | None = None
        try:
            with self._broker._clear_line():
                self._open()
                channels = {queue: self._channel(queue) for queue in dict.fromkeys(letter.queue for letter in batch)}
                with _in_one_piece(self._connection):
                    for letter in batch:
                        if time.monotonic() > end:
                            break
                        channel = channels[letter.queue]
                        self._sent[letter.queue] += 1
                        self._waiting[letter.queue][self._sent[letter.queue]] = letter.id
                        channel.basic_publish(
                            _message(channel, letter, self._connection.userid),  # which the broker checks
                            # A filer may write to the intake exchange only.
                            exchange=INTAKE_EXCHANGE if _is_intake(letter.queue) else "",
                            routing_key=letter.queue,
                            mandatory=True,
                        )
                while any(self._waiting.values()) and (left := end - time.monotonic()) > 0:
                    with suppress(TimeoutError):
                        self._connection.drain_events(timeout=min(left, 1.0))
        except GatewayError as error:
            failure = error
        except BaseException:
            self.close()  # what was numbered may not have been sent
            raise
        if any(self._waiting.values()) or failure:
            self.close()
            if not self._confirmed and not self._returned:
                raise failure or BrokerUnavailable(
                    f"broker {self._broker.url} is not available: nothing confirmed within {CONFIRM_SECONDS:g} seconds"
                )
        return Published(frozenset(self._confirmed), frozenset(self._returned))

    def _open(self) -> None:
        """Use the open connection if it is still one, else open another."""
        if self._connection is not None:
            try:
                self._connection.drain_events(timeout=0)
            except TimeoutError:
                return
            except _ERRORS:
                self.close()
            else:
                return
        self._connection = self._broker._connect()
        self._channels, self._sent = {}, Counter()

    def _channel(self, queue: str) -> Any:
        """Return the queue's channel, opened at its first letter."""
        if queue not in self._channels:
            channel = self._channels[queue] = self._connection.channel()
            channel.confirm_select()
            channel.events["basic_ack"].add(partial(self._answered, queue, kept=True))
            channel.events["basic_nack"].add(partial(self._answered, queue, kept=False))
            channel.events["basic_return"].add(self._came_back)
        return self._channels[queue]

    def _answered(self, queue: str, tag: int, multiple: bool, *, kept: bool) -> None:
        waiting = self._waiting[queue]
        tags = [one for one in waiting if one <= tag] if multiple else [tag]
        for one in tags:
            letter = waiting.pop(one, None)
            if kept and letter is not None and letter not in self._returned:
                self._confirmed.add(letter)

    def _came_back(self, _error: Exception, _exchange: str, _key: str, message: Any) -> None:
        # The broker returns a message before it confirms it; the return carries no number, but our own id.
        self._returned.add(message.properties["message_id"])

    def close(self) -> None:
        if self._connection is not None:
            _drop(self._connection)
        self._connection, self._channels = None, {}


@contextmanager
def _in_one_piece(connection: Any) -> Iterator[None]:
    """Gather what is written to the socket and hand it over at the end: a piece a frame costs the broker double.

    Nothing may wait for an answer meanwhile.
    """
    transport = connection.connection.transport
    write, gathered = transport._write, bytearray()

    def gather(data: bytes) -> None:
        gathered.extend(data)
        if len(gathered) > PIECE_BYTES:
            write(gathered)
            gathered.clear()

    transport._write = gather
    try:
        yield
    finally:
        transport._write = write
    transport.write(gathered)


_Publisher = _SqlPublisher | _AmqpPublisher


# ------------------------------------------------------------------------------------------------ in


class Intake:
    """Receives from queues, on a connection of its own; after an error it is of no more use: close it, consume again.

    Between two calls of `receive` no more than HEARTBEAT_SECONDS should pass. On RabbitMQ each queue has a channel of
    its own, and is not waited for: one without a leader stops its channel only, and is read when it has a leader
    again. `silent` names those that did not answer at the start.
    """

    def __init__(self, broker: Broker, queues: Sequence[str], prefetch: int) -> None:
        self._broker = broker
        self._prefetch = prefetch
        self._arrived: deque[Delivery] = deque()
        self._in_hand: set[tuple[int, Any]] = set()
        self._beaten = time.monotonic()
        self._open = True
        self._connection = broker._connect(0 if broker._embedded else HEARTBEAT_SECONDS)
        try:
            with broker._clear_line():
                self._channels = [self._connection.channel()]
                while not broker._embedded and len(self._channels) < len(queues):
                    self._channels.append(self._connection.channel())
                for number, queue in enumerate(queues):
                    self._consume(number % len(self._channels), queue)
                self.silent = [] if broker._embedded else self._ask(queues)
        except BaseException:
            _drop(self._connection)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _consume(self, number: int, queue: str) -> None:
        """Begin to receive from a queue, without waiting for its word."""
        channel = self._channels[number]
        channel.auto_decode = False  # else the library decodes a body as its sender's property tells
        channel.basic_qos(0, self._prefetch, False)
        channel.basic_consume(
            queue=queue,
            no_ack=False,
            callback=partial(self._arrive, number, queue),
            consumer_tag=f"gateway-{uuid.uuid4().hex}",
            **{} if self._broker._embedded else {"nowait": True},
        )

    def _ask(self, queues: Sequence[str]) -> list[str]:
        """Return the queues whose channel hangs, after at most SOCKET_SECONDS; raise TimeoutError if all do."""
        silent = []
        end = time.monotonic() + SOCKET_SECONDS
        for channel, queue in zip(self._channels, queues, strict=True):
            self._connection.connection.sock.settimeout(max(0.2, end - time.monotonic()))
            try:
                channel.flow(True)  # changes nothing, and has an answer
            except TimeoutError:
                silent.append(queue)
        self._connection.connection.sock.settimeout(SOCKET_SECONDS)
        if len(silent) == len(queues):
            raise TimeoutError(f"no queue answers ({', '.join(silent)}), they may have no leader")
        return silent

    def _arrive(self, number: int, queue: str, raw: Any) -> None:
        message = self._channels[number].message_to_python(raw)
        body = message.body.encode() if isinstance(message.body, str) else bytes(message.body or b"")
        properties = message.properties
        message_id, user_id = _text(properties.get("message_id")), _text(properties.get("user_id"))
        if message_id:
            uid = uid_of(queue, user_id, message_id, body)
        else:
            uid = properties.get("stored_as") or uuid.uuid4().hex
        headers = {name: text for name in HEADERS if (text := _text(message.headers.get(name)))}
        tag = (number, message.delivery_tag)
        self._in_hand.add(tag)
        self._arrived.append(
            Delivery(
                uid=uid,
                queue=queue,
                body=body,
                content_type=_text(message.content_type) or "",
                headers=headers,
                message_id=message_id,
                user_id=user_id,
                redelivered=bool(message.delivery_info.get("redelivered")),
                tag=tag,
                _intake=self,
                vouched=not self._broker._embedded,
            )
        )

    @contextmanager
    def _usable(self) -> Iterator[None]:
        """Refuse a closed connection, which the library would open again, but without its consumers."""
        if not self._open:
            raise BrokerUnavailable(f"broker {self._broker.url}: this intake is closed")
        try:
            with self._broker._clear_line():
                yield
        except GatewayError:
            self._open = False
            _drop(self._connection)
            raise

    def receive(self, timeout: float) -> list[Delivery]:
        """Wait at most `timeout` seconds for a message; return it and those that came with it, at most `prefetch`."""
        end = time.monotonic() + timeout
        with self._usable():
            while not self._arrived:
                self._beat()
                left = end - time.monotonic()
                self._read(max(0.0, min(left, 1.0)))
                if left <= 0:
                    break
            while not self._broker._embedded and self._more():
                pass
        return [self._arrived.popleft() for _ in range(min(len(self._arrived), self._prefetch))]

    def _more(self) -> bool:
        """Read what is there already, as much as may be handled in one go; tell whether there may be more."""
        full = len(self._arrived) >= self._prefetch
        return not full and sum(len(one.body) for one in self._arrived) < BATCH_BYTES and self._read(0)

    def _read(self, timeout: float) -> bool:
        """Let one thing happen; tell whether anything did."""
        try:
            if self._broker._embedded:
                self._connection.drain_events(timeout=timeout)
            else:  # the library's drain_events() begins its timeout again at each of the broker's heartbeats
                self._connection.connection.blocking_read(timeout)
        except TimeoutError:
            return False
        return True

    def _beat(self) -> None:
        if not self._broker._embedded and time.monotonic() - self._beaten >= 1.0:
            self._connection.heartbeat_check()
            self._beaten = time.monotonic()

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Tell the broker, in one go, that these messages are safe here; what it did not hear of comes again."""
        mine = self._mine(deliveries)
        with self._usable():
            for number, pairs in groupby(mine, key=itemgetter(0)):
                channel, tags = self._channels[number], [tag for _, tag in pairs]
                before = {tag for at, tag in self._in_hand if at == number and tag <= tags[-1]}
                if self._broker._embedded:
                    channel.basic_ack_many(tags)
                elif before <= set(tags):
                    channel.basic_ack(tags[-1], multiple=True)
                else:
                    for tag in tags:
                        channel.basic_ack(tag)
        self._in_hand.difference_update(mine)

    def reject(self, deliveries: Sequence[Delivery], requeue: bool) -> None:
        """Give messages back to their queues, or lay them into the dead queue."""
        mine = self._mine(deliveries)
        with self._usable():
            for number, tag in mine:
                self._channels[number].basic_reject(tag, requeue=requeue)
        self._in_hand.difference_update(mine)

    def _mine(self, deliveries: Sequence[Delivery]) -> list[tuple[int, Any]]:
        # A number counts on its own channel only: another Intake's would acknowledge a message that nobody has read.
        return sorted({one.tag for one in deliveries if one._intake is self} & self._in_hand)

    def close(self) -> None:
        """Leave; what is not acknowledged goes back to its queue at once."""
        if not self._open:
            return
        self._open = False
        try:
            self._connection.release()
        except Exception:  # gone already: the broker, or the end of the lease, gives the messages back
            _drop(self._connection)


def _text(value: object) -> str | None:
    """Return a property that is a short printable text; None for anything else that a sender may have put there."""
    usable = isinstance(value, str) and 0 < len(value) <= HEADER_CHARACTERS and value.isprintable()
    return str(value) if usable else None
