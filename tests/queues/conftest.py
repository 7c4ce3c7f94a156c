"""A broker at `broker_url`, which each file of tests gives, and a queue of its own there."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import kombu
import pytest

from gateway.queues import Broker, open_broker


@pytest.fixture
def broker(broker_url: str) -> Iterator[Broker]:
    with open_broker(broker_url) as broker:
        yield broker


@pytest.fixture
def queue(broker: Broker, broker_url: str) -> Iterator[str]:
    name = f"in.{uuid.uuid4().hex}"
    broker.declare([name])
    yield name
    if broker_url.startswith("amqp"):
        with kombu.Connection(broker_url) as connection:
            connection.channel().queue_delete(name)
