"""RabbitMQ: its connections, quorum queues and readers; `confirms` publishes."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import amqp  # type: ignore[import-untyped]

from core.errors import BrokerUnavailable, GatewayError
from core.limits import BATCH_BYTES
from core.text import printable
from core.urls import mask, nodes_of
from gateway.queues.confirms import ConfirmedPublisher, channels_of
from gateway.queues.patches import stay_lost
from gateway.queues.port import Broker, Intake, Publisher
from gateway.queues.values import DEAD_QUEUE, DELIVERY_LIMIT

# Filers publish here with their own queue's name as routing key; on the default exchange they could reach every queue.
INTAKE_EXCHANGE = "customs.in"

# Surely holds the headers CC and BCC to a sender's topic permissions (rabbitmq-server PR 12553, backported to 4.0 in
# October 2024; no release note names it).
MINIMUM_VERSION = (4, 0, 4)

# The longest that one read or write of the socket may take, and that a connection may take to open.
SOCKET_SECONDS = 8.0
CONNECT_SECONDS = 5.0

# Given another second by the library, the kernel breaks off a connection that is not read, as in a broker's alarm.
SOCKET_OPTIONS = MappingProxyType({socket.TCP_USER_TIMEOUT: 0} if hasattr(socket, "TCP_USER_TIMEOUT") else {})

# The reader's connection: the broker gives its messages to another when it hears nothing for two of these.
HEARTBEAT_SECONDS = 20

# What a reader that waits for the journal lays by; the rest stays in the broker.
HELD_BYTES = 32_000_000

_QUORUM = {
    "x-queue-type": "quorum",
    "x-delivery-limit": DELIVERY_LIMIT,
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": DEAD_QUEUE,
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


class RabbitMQ(Broker):
    """The queues of a RabbitMQ cluster."""

    errors = (amqp.AMQPError, OSError)

    def __init__(self, url: str) -> None:
        nodes = nodes_of(url)
        given = {"connect_timeout": CONNECT_SECONDS, "transport_options": {"socket_settings": SOCKET_OPTIONS}}
        super().__init__(url, [{"hostname": node, **given} for node in nodes])
        try:
            if not all(node.startswith(("amqp://", "amqps://")) and ";" not in node for node in nodes):
                raise ValueError(url)
            for options in self._nodes:
                self._connection(**options)
        except Exception as error:  # the library reads URLs in its own ways, with its own errors
            raise GatewayError(
                f"{mask(url)!r} is no broker URL: write sqlite:///run/queue.db or amqp://user:password@host:5672/vhost"
            ) from error

    def declare(self, queues: Iterable[str]) -> None:
        """Make quorum queues; `in` and `in.<partner>` are bound to the intake exchange by their name."""
        refused: list[GatewayError] = []
        with self._connected() as connection:
            channel = connection.channel()
            channel.exchange_declare(INTAKE_EXCHANGE, "topic", durable=True, auto_delete=False)
            for queue in {DEAD_QUEUE: None} | dict.fromkeys(queues):
                arguments = {"x-queue-type": "quorum"} if queue == DEAD_QUEUE else _QUORUM
                try:
                    with self.one_line():
                        channel.queue_declare(queue, durable=True, auto_delete=False, arguments=arguments)
                        if is_intake(queue):
                            channel.queue_bind(queue, INTAKE_EXCHANGE, routing_key=queue)
                except BrokerUnavailable:
                    raise
                except GatewayError as error:  # the others are made all the same
                    refused.append(error)
                    channel = connection.channel()
        if refused:
            raise refused[0]

    def channels(self) -> int | None:
        """Ask the broker how many channels a connection may have."""
        with self._connected() as connection:
            return channels_of(connection)

    def certificate(self) -> bytes | None:
        """Return the certificate of the node that is connected to."""
        with self._connected() as connection:
            shown = getattr(connection.connection.sock, "getpeercert", None)
            return shown(binary_form=True) if shown else None

    def _open_publisher(self) -> Publisher:
        # A filer may write to the intake exchange only.
        return ConfirmedPublisher(self, lambda queue: INTAKE_EXCHANGE if is_intake(queue) else "")

    def _open_intake(self, queues: Sequence[str], prefetch: int) -> Intake:
        return RabbitIntake(self, queues, prefetch, HEARTBEAT_SECONDS)

    def _connection(self, **options: Any) -> Any:
        """Return a connection that checks the host of a certificate; ValueError for an unknown TLS option."""
        connection = super()._connection(**options)
        if options["hostname"].startswith("amqps:"):
            given = connection.ssl if isinstance(connection.ssl, dict) else {}
            connection.ssl = {key.removeprefix("ssl_"): value for key, value in given.items()}
            if connection.ssl.keys() - {"ca_certs", "certfile", "keyfile"}:
                raise ValueError("unknown TLS option")
            # Without it the library would take a valid certificate of any host.
            connection.ssl["server_hostname"] = urlsplit(options["hostname"]).hostname
        return connection

    def _version_of(self, connection: Any) -> str:
        said = connection.connection.server_properties
        return printable(f"{said.get('product')} {said.get('version')}")

    def _connected_to(self, connection: Any) -> None:
        """Give every socket call a deadline, and let a lost connection stay lost."""
        connection.connection.sock.settimeout(SOCKET_SECONDS)
        stay_lost(connection)


def lacks(version: str) -> str | None:
    """Return what a broker that calls itself so does not do for us, None if nothing or if it is no RabbitMQ."""
    found = re.match(r"RabbitMQ (\d+)\.(\d+)\.(\d+)", version)
    if not found or tuple(map(int, found.groups())) >= MINIMUM_VERSION:
        return None
    least = ".".join(map(str, MINIMUM_VERSION))
    return f"older than {least}: partners can copy messages into each other's queues (refused here as GTW-0019)"


def is_intake(queue: str) -> bool:
    """Tell whether filers publish to a queue of this name."""
    return queue == "in" or queue.startswith("in.")


class RabbitIntake(Intake):
    """A reader of RabbitMQ's queues, each on a channel of its own: one without a leader stops its channel only.

    Where there are more queues than channels, some share one.
    """

    vouched = True
    consume_options = MappingProxyType({"nowait": True})  # a queue without a leader would never answer

    def __init__(self, broker: Broker, queues: Sequence[str], prefetch: int, heartbeat: int) -> None:
        self._beaten = time.monotonic()
        super().__init__(broker, queues, prefetch, heartbeat)

    def _channels_for(self, queues: Sequence[str]) -> int:
        return min(len(queues), channels_of(self._connection))

    def _ask(self, queues: Sequence[str]) -> list[str]:
        """Return the queues whose channel hangs, after at most SOCKET_SECONDS; raise TimeoutError if all do."""
        silent: list[str] = []
        end = time.monotonic() + SOCKET_SECONDS
        for number, channel in enumerate(self._channels):
            self._connection.connection.sock.settimeout(max(0.2, end - time.monotonic()))
            try:
                channel.flow(True)  # changes nothing, and has an answer
            except TimeoutError:
                silent += queues[number :: len(self._channels)]
        self._connection.connection.sock.settimeout(SOCKET_SECONDS)
        if len(silent) == len(queues):
            raise TimeoutError(f"no queue answers ({', '.join(silent)}), they may have no leader")
        return silent

    def _read(self, timeout: float) -> bool:
        try:  # the library's drain_events() begins its timeout again at each of the broker's heartbeats
            self._connection.connection.blocking_read(timeout)
        except TimeoutError:
            return False
        return True

    def _more(self) -> bool:
        full = len(self._arrived) >= self._prefetch
        return not full and sum(len(one.body) for one in self._arrived) < BATCH_BYTES and self._read(0)

    def _beat(self) -> None:
        if time.monotonic() - self._beaten >= 1.0:
            self._connection.heartbeat_check()
            self._beaten = time.monotonic()

    def idle(self, seconds: float) -> None:
        """Wait; what arrives meanwhile is laid by, up to HELD_BYTES, so that the broker does not take us for dead."""
        end = time.monotonic() + seconds
        with self._usable():
            while (left := end - time.monotonic()) > 0:
                if sum(len(one.body) for one in self._arrived) < HELD_BYTES:
                    self._beat()
                    self._read(min(left, 1.0))
                else:
                    self._connection.connection.send_heartbeat()
                    time.sleep(min(left, 1.0))

    def _ack(self, number: int, tags: Sequence[Any]) -> None:
        channel = self._channels[number]
        before = {tag for at, tag in self._in_flight if at == number and tag <= tags[-1]}
        if before <= set(tags):
            channel.basic_ack(tags[-1], multiple=True)
            return
        for tag in tags:
            channel.basic_ack(tag)

    def _acked(self) -> bool:
        for channel in self._channels:
            channel.flow(True)  # changes nothing, and is answered after what came before it on the channel
        return True
