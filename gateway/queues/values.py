"""What goes into the queues and comes out of them, and the names and limits that hold on every broker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from core.transmission import digest_of, stable_id

# The dead letter queue: poison messages, rejected or delivered too often.
DEAD_QUEUE = "dead"
DELIVERY_LIMIT = 20

# Headers that the service is given, and how long one may be; everything else a sender writes there is dropped.
HEADERS = frozenset({"kind", "reference", "in-reply-to", "file-name"})
HEADER_CHARACTERS = 200


class Letter(NamedTuple):
    """One message to be published; `id` becomes its message_id and is unique within a batch."""

    id: str
    queue: str
    content_type: str
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})


class Published(NamedTuple):
    """What became of a batch: ids that the broker keeps, ids whose queue does not exist; the others: try again."""

    confirmed: frozenset[str]
    unroutable: frozenset[str]


class Settles(Protocol):
    """Who received a message: it tells the broker what became of it."""

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge messages."""

    def reject(self, deliveries: Sequence[Delivery], requeue: bool) -> None:
        """Give messages back to their queue, or make them dead letters."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message received, still the broker's until `ack`.

    `uid` is the same again when the transport delivers again, and when a sender repeats the same bytes with the same
    message_id on the same queue; without message_id RabbitMQ gives nothing to know a redelivery by, and each is new.
    `user_id` is the user that RabbitMQ vouches for (None: not given, or embedded queue); `vouched` tells whether the
    broker checks it, so that without it nothing is known of the sender; on the embedded queue, who may write there is.
    `addressed` tells whether its routing key is the queue's name: brokers let a sender's headers CC and BCC put copies
    into queues that it has no permission for.
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
    _settles: Settles = field(repr=False, compare=False)
    vouched: bool = False
    addressed: bool = True

    def ack(self) -> None:
        """Tell the broker that the message is safe here and may be forgotten there."""
        self._settles.ack([self])

    def reject(self, requeue: bool) -> None:
        """Give the message back to its queue, or make it a dead letter."""
        self._settles.reject([self], requeue)


def uid_of(queue: str, user_id: str | None, message_id: str, body: bytes) -> str:
    """Return the `uid` of a message that has a message_id."""
    return stable_id(queue, user_id or "", message_id, digest_of(body))


def usable_text(value: object) -> str | None:
    """Return a property that is a short printable text; None for anything else that a sender may have put there."""
    usable = isinstance(value, str) and 0 < len(value) <= HEADER_CHARACTERS and value.isprintable()
    return str(value) if usable else None
