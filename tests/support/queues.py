"""Letters to publish, and deliveries to wait for."""

from __future__ import annotations

import time

from gateway.queues import Delivery, Intake, Letter

READER = """
import sys, time
from gateway.queues import open_broker
with open_broker(sys.argv[1]).consume([sys.argv[2]], prefetch=5) as intake:
    got = []
    while len(got) < 5:
        got += intake.receive(1)
    print("ready", flush=True)
    time.sleep(60)
"""


def letters(queue: str, count: int, body: bytes = b"body", start: int = 0) -> list[Letter]:
    return [Letter(f"id-{n}", queue, "text/plain", body, {"kind": "test"}) for n in range(start, start + count)]


def receive(intake: Intake, count: int, seconds: float = 20) -> list[Delivery]:
    """Receive until there are `count` messages; fewer fail."""
    end, got = time.monotonic() + seconds, []
    while len(got) < count and time.monotonic() < end:
        got += intake.receive(0.5)
    assert len(got) == count
    return got
