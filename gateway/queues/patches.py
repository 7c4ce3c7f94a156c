"""All that is changed inside kombu and amqp, and what is used of them beyond what they document.

Each patch says why it is there; the version that all of it was proven on stands in PROVEN, and a test compares it with
the version installed: another major or minor version means to read this file beside the libraries' source, and to run
the tests of the queues against RabbitMQ.

Used beyond the documented interface, without a change:

- amqp, in `rabbitmq`: `Connection.sock` (deadline of a socket call), `Connection.blocking_read` (one frame; its own
  `drain_events` begins the timeout again at each heartbeat), `Channel.flow` (changes nothing, and has an answer),
  `Connection.send_heartbeat`.
- amqp, in `confirms`: `Connection.channel_max` (as agreed with the broker), and `Channel.events`, lists of callbacks by
  the method's name, for confirmations and returns.
- kombu, here: `Connection.collect` (drops a connection without a word to the broker), `Connection._connection_factory`
  (called where it would connect again by itself), `Channel.auto_decode`,
  `Channel.prepare_message` and `Channel.message_to_python`.
- kombu, in `transport`: the inner methods of its virtual transport: `Channel._get_many`, `_get`, `_size`, `_purge`,
  `_new_queue` and `_has_queue` are ours, `QoS._delivered`, `_flush` and `_quick_ack` and `Transport._deliver` theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import Any

import amqp.serialization  # type: ignore[import-untyped]
import amqp.spec  # type: ignore[import-untyped]
import kombu.compression

# The versions that the patches, and what is used beyond the documented interface, were proven on.
PROVEN: Mapping[str, str] = MappingProxyType({"kombu": "5.7", "amqp": "5.4"})

# The number of AMQP's class of methods `basic`, whose properties come with every message.
_BASIC = 60


def apply() -> None:
    """Patch both libraries, once for the process and before the first connection."""
    _decompress_nothing()
    _tolerate_properties()
    _tell_why_blocked()


def _decompress_nothing() -> None:
    """Take kombu's decoders away.

    It unpacks a body as the header `compression` tells, before anybody looks at it: 389 kB on the wire became 400 MB.
    """
    kombu.compression._decoders.clear()


def _tolerate_properties() -> None:
    """Read properties that cannot be read as none.

    Text that is no UTF-8 would end the reader's connection, again at each redelivery: a poison message.
    """
    amqp.serialization.PROPERTY_CLASSES[_BASIC] = _tolerant(amqp.serialization.PROPERTY_CLASSES[_BASIC])


def _tolerant(read: Callable[[bytes, int], tuple[dict[str, Any], int]]) -> Callable[[bytes, int], Any]:
    def read_or_none(buffer: bytes, offset: int) -> tuple[dict[str, Any], int]:
        try:
            return read(buffer, offset)
        except Exception:  # whatever it is, the body is still to be received and judged
            return {}, offset

    return read_or_none


def _tell_why_blocked() -> None:
    """Give `on_blocked` the broker's own words, such as `low on memory`, in place of the library's."""
    blocked = amqp.spec.Connection.Blocked
    amqp.Connection._METHODS[blocked] = amqp.spec.method(blocked, "s")

    def on_blocked(connection: Any, why: str) -> None:
        if connection.on_blocked:
            connection.on_blocked(why)

    amqp.Connection._on_blocked = on_blocked


@contextmanager
def in_one_piece(connection: Any, piece: int) -> Iterator[None]:
    """Gather what is written to an amqp connection's socket for a block, and write it in pieces of so many bytes.

    amqp writes a piece a frame, which costs the broker double. Nothing may wait for an answer meanwhile.
    """
    transport = connection.transport
    write, gathered = transport._write, bytearray()

    def gather(data: bytes) -> None:
        gathered.extend(data)
        if len(gathered) > piece:
            write(gathered)
            gathered.clear()

    transport._write = gather
    try:
        yield
    finally:
        transport._write = write
    transport.write(gathered)


def stay_lost(connection: Any) -> None:
    """Let an open kombu connection that is lost stay so.

    The library would open another at the next touch, without deadlines, readers, or anybody who listens for alarms.
    """

    def lost() -> None:
        raise amqp.IrrecoverableConnectionError("the connection is lost")

    connection._connection_factory = lost


def drop(connection: Any) -> None:
    """Throw a connection away without a word to its other end, which may no longer listen."""
    with suppress(Exception):
        connection.collect()
