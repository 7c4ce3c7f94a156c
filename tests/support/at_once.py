"""Receipts that go out in the receiver's own step, where there is one thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from gateway.queues import Letter
from gateway.sending import Receipts, published


class AtOnce(Receipts):
    """Publishes while it is told to."""

    def __init__(self, broker: Any) -> None:
        self._broker = broker
        self._sent = deque()

    def send(self, letters: Sequence[Letter]) -> None:
        if letters:
            self._sent.extend(published(self._broker, letters))
