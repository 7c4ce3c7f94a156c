"""The queues, the same to the service on RabbitMQ and on the embedded SQLite queue.

Publishing believes only what the broker confirmed, message by message; receiving takes in raw bytes and leaves every
message with the broker until it is acknowledged: at least once, never lost. Nothing here decodes, decompresses or
judges a body.

`values` is what goes in and out, `port` what both brokers have in common; `rabbitmq` and `confirms` are RabbitMQ;
`embedded`, `transport` and `store` are the embedded queue; `patches` is what is changed inside kombu and amqp.
"""

from __future__ import annotations

from gateway.queues.embedded import Embedded
from gateway.queues.port import Broker, Intake
from gateway.queues.rabbitmq import RabbitMQ
from gateway.queues.values import (
    DEAD_QUEUE,
    DELIVERY_LIMIT,
    KEYED,
    Death,
    Delivery,
    Letter,
    Published,
    is_keyed,
    uid_of,
)

__all__ = [
    "DEAD_QUEUE",
    "DELIVERY_LIMIT",
    "KEYED",
    "Broker",
    "Death",
    "Delivery",
    "Intake",
    "Letter",
    "Published",
    "is_keyed",
    "open_broker",
    "uid_of",
]


def open_broker(url: str) -> Broker:
    """Return the broker behind a URL; nothing is connected yet.

    `sqlite:///run/queue.db` is the embedded queue; `?lease=seconds`: how long a hanging reader's messages stay away.
    `amqp://user:password@host:port/vhost` is RabbitMQ, several nodes are separated by semicolons. `amqps://` checks the
    certificate against the machine's authorities, or `?ssl_ca_certs=file`; `ssl_certfile` and `ssl_keyfile` are ours.
    Raises GatewayError for a URL that cannot be one of these.
    """
    return Embedded(url) if url.startswith("sqlite:") else RabbitMQ(url)
