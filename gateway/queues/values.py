"""What goes into the queues and comes out of them, and the names and limits that hold on every broker."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from core.errors import GatewayError
from core.transmission import digest_of, stable_id

# The dead letter queue: poison messages, rejected or delivered too often.
DEAD_QUEUE = "dead"
DELIVERY_LIMIT = 20

# Headers that the service is given, and how long one may be; everything else a sender writes there is dropped.
HEADERS = frozenset({"kind", "reference", "in-reply-to", "file-name"})
HEADER_CHARACTERS = 200

# How a message_id begins whose sender gives it to one content only, as the exchange does for an Idempotency-Key: what
# comes under it again is a repeat, whatever its bytes.
KEYED = "idempotency-key:"


class Letter(NamedTuple):
    """One message to be published; `id` becomes its message_id and is unique within a batch.

    `correlation` is the message id of what it answers, as its sender gave it; it becomes the correlation_id.
    """

    id: str
    queue: str
    content_type: str
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})
    correlation: str | None = None


class Published(NamedTuple):
    """What became of a batch: ids that the broker keeps, ids whose queue does not exist; the others: try again.

    `refused` are those that the broker will never take, such as what is too large for it, each with its words.
    """

    confirmed: frozenset[str]
    unroutable: frozenset[str]
    refused: Mapping[str, str] = MappingProxyType({})


class Refused(GatewayError):
    """The broker does not take it as it is, and will not the next time."""


class Death(NamedTuple):
    """What the broker says of a dead letter: the queue that it died in, why, and when (None: it does not say).

    `addressed` tells of its way there what `Delivery.addressed` would have told.
    """

    queue: str | None
    reason: str
    at: datetime | None
    addressed: bool = True


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
    message_id on the same queue (see also KEYED); without message_id RabbitMQ gives nothing to know a redelivery by,
    and each is new. `user_id` is the user that RabbitMQ vouches for (None: not given, or embedded queue); `vouched`
    tells whether the broker checks it, so that without it nothing is known of the sender; on the embedded queue, who
    may write there is.
    `addressed` tells whether its routing key is the queue's name, of a dead letter that of the queue that it died in,
    too: brokers let a sender's headers CC and BCC put copies into queues that it has no permission for.
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
    death: Death | None = None
    correlation: str | None = None

    @property
    def origin(self) -> str | None:
        """The queue that it was sent to: of a dead letter the one that it died in, None where nobody knows it."""
        return self.death.queue if self.death else self.queue

    def as_sent(self, otherwise: str | None = None) -> Delivery:
        """Return a dead letter as it was delivered from the queue that it died in, its sender as proven as then.

        `otherwise` is that queue where nobody knows it.
        """
        origin = self.origin or otherwise or self.queue
        uid = uid_of(origin, self.user_id, self.message_id, self.body) if self.message_id else self.uid
        return replace(self, queue=origin, uid=uid)

    def ack(self) -> None:
        """Tell the broker that the message is safe here and may be forgotten there."""
        self._settles.ack([self])

    def reject(self, requeue: bool) -> None:
        """Give the message back to its queue, or make it a dead letter."""
        self._settles.reject([self], requeue)


def message_of(channel: Any, letter: Letter, user: str | None = None) -> Any:
    """Return a letter as the library's message, persistent, in the user's name."""
    properties = {"message_id": letter.id, "delivery_mode": 2}
    properties |= {"user_id": user} if user else {}
    properties |= {"correlation_id": letter.correlation} if letter.correlation else {}
    return channel.prepare_message(
        letter.body,
        content_type=letter.content_type,
        content_encoding="binary",
        headers=dict(letter.headers),
        properties=properties,
    )


def delivery_of(message: Any, queue: str, tag: tuple[int, Any], settles: Settles, *, vouched: bool) -> Delivery:
    """Read kombu's message; what a sender may have put in it goes no further than it is usable."""
    body = message.body.encode() if isinstance(message.body, str) else bytes(message.body or b"")
    properties = message.properties
    message_id, user_id = usable_text(properties.get("message_id")), usable_text(properties.get("user_id"))
    stored_as = properties.get("stored_as") or uuid.uuid4().hex
    death = death_of(message.headers) if queue == DEAD_QUEUE else None
    return Delivery(
        uid=uid_of(queue, user_id, message_id, body) if message_id else stored_as,
        queue=queue,
        body=body,
        content_type=usable_text(message.content_type) or "",
        headers={name: text for name in HEADERS if (text := usable_text(message.headers.get(name)))},
        message_id=message_id,
        user_id=user_id,
        redelivered=bool(message.delivery_info.get("redelivered")),
        tag=tag,
        _settles=settles,
        vouched=vouched,
        addressed=message.delivery_info.get("routing_key") == queue and (death is None or death.addressed),
        death=death,
        correlation=usable_text(properties.get("correlation_id")),
    )


def uid_of(queue: str, user_id: str | None, message_id: str, body: bytes) -> str:
    """Return the `uid` of a message that has a message_id: of its bytes, too, unless the id stands for one content."""
    return stable_id(queue, user_id or "", message_id, "" if is_keyed(message_id) else digest_of(body))


def is_keyed(message_id: str | None) -> bool:
    """Tell whether an id stands for one content, whatever the bytes."""
    return bool(message_id and message_id.startswith(KEYED))


def death_of(headers: Mapping[str, Any]) -> Death:
    """Read the header in which a broker writes how a dead letter died, the latest first, whatever its sender wrote."""
    deaths = headers.get("x-death")
    last = deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict) else {}
    at = last.get("time")
    if isinstance(at, int):
        at = datetime.fromtimestamp(at, UTC)
    elif isinstance(at, datetime):
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    else:
        at = None
    queue, keys = last.get("queue"), last.get("routing-keys")
    # The key that it was sent by comes first, those of its header CC after it; the embedded queue has no such header.
    addressed = keys is None or (isinstance(keys, list) and keys[:1] == [queue])
    return Death(usable_text(queue), usable_text(last.get("reason")) or "unknown", at, addressed)


def usable_text(value: object) -> str | None:
    """Return a property that is a short printable text; None for anything else that a sender may have put there."""
    usable = isinstance(value, str) and 0 < len(value) <= HEADER_CHARACTERS and value.isprintable()
    return str(value) if usable else None
