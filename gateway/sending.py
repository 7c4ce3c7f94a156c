"""What goes out as a letter, and receipts that go out at once: from the receiver, not by way of the dispatcher."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from queue import SimpleQueue

from core.errors import BrokerBlocked, GatewayError
from gateway.journal import MESSAGE_ID, Arrival, Due, Journal, inbox_id
from gateway.logs import logger
from gateway.queues import Broker, Letter

# How long the receipts in hand have at the end.
CLOSING_SECONDS = 3.0

# How often the broker is asked whether its alarm is over; often enough to keep what it has within `outbox.HOLD`.
ALARM_SECONDS = 0.5

# Batches that may wait for their turn; what is more is left to the dispatcher.
WAITING = 4


def letter_of(item: Due) -> Letter:
    """Return what is published: a request answers nothing, an answer names what it belongs to.

    That is `received` of the receipt in a header, and as the correlation the message id that the sender gave.
    """
    if item.kind == "request":
        return Letter(item.id, item.destination, item.content_type, item.body, {"kind": item.kind})
    headers = {"kind": item.kind, "in-reply-to": item.answers}
    return Letter(item.id, item.destination, item.content_type, item.body, headers, item.correlation)


def at_once_of(arrivals: Sequence[Arrival], failing: Collection[str]) -> dict[str, Letter]:
    """Return the receipts of arrivals by their id, as the dispatcher would publish them.

    Those for a destination that fails are left out: what waits for it goes out in its order.
    """
    found: dict[str, Letter] = {}
    for one in arrivals:
        # Of a transmission that is there twice the first is the one that is recorded.
        if (told := one.receipt) and told.destination not in failing and told.id not in found:
            answers, correlation = inbox_id(one.uid), one.headers.get(MESSAGE_ID)
            due = Due(told.id, told.kind, told.destination, told.content_type, told.body, one.received_at, 0, answers)
            found[told.id] = letter_of(replace(due, correlation=correlation))
    return found


class Receipts:
    """Publishes receipts from a thread of its own, so that a broker that hesitates holds up no intake.

    What it could not publish, or what nobody recorded as sent in time (`outbox.HOLD`), the dispatcher sends: under the
    same id, as after a crash.
    """

    # What the broker does not read, since its alarm is on: it takes it later, so that nobody else is to send it.
    _held: Sequence[str] = ()

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._waiting: SimpleQueue[Sequence[Letter] | None] = SimpleQueue()
        self._sent: deque[str] = deque()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def send(self, letters: Sequence[Letter]) -> None:
        """Publish receipts soon; never waits."""
        if letters and not self._held and self._waiting.qsize() < WAITING:
            self._waiting.put(letters)

    @contextmanager
    def sent(self) -> Iterator[Sequence[str]]:
        """Give the ids of receipts that the broker has, for a block that records them; if it fails they stay."""
        ids = list(self._sent)
        yield ids
        for _ in ids:
            self._sent.popleft()

    def keep(self, journal: Journal, now: datetime) -> None:
        """Keep from the dispatcher for another while what the broker will take when its alarm ends."""
        if held := self._held:
            journal.hold(held, now)

    def record(self, journal: Journal, now: datetime) -> None:
        """Record as sent what the broker has."""
        with self.sent() as ids:
            journal.mark_sent(ids, now)

    def close(self) -> None:
        """Publish what waits, and end the thread."""
        self._closing.set()
        self._waiting.put(None)
        self._thread.join(CLOSING_SECONDS)

    def _run(self) -> None:
        while letters := self._waiting.get():
            try:
                self._sent.extend(published(self._broker, letters))
            except BrokerBlocked:
                self._sent.extend(self._after_alarm(letters))

    def _after_alarm(self, letters: Sequence[Letter]) -> Sequence[str]:
        """Return what the broker has of letters that it takes when its alarm ends; what waits is left to others."""
        self._held = [letter.id for letter in letters]
        logger().warning("receipts wait for the broker's alarm to end", count=len(letters))
        try:
            while not self._closing.wait(ALARM_SECONDS):
                while not self._waiting.empty():
                    self._waiting.get()
                with suppress(BrokerBlocked):
                    return published(self._broker, letters)
            return []
        finally:
            self._held = ()


@contextmanager
def receipts_of(broker: Broker, journal: Journal) -> Iterator[Receipts]:
    """Publish receipts for a block; what they leave is recorded at its end, as far as the journal answers."""
    opened = Receipts(broker)
    try:
        yield opened
    finally:
        opened.close()
        with suppress(GatewayError):
            opened.record(journal, datetime.now(UTC))


def published(broker: Broker, letters: Sequence[Letter]) -> list[str]:
    """Return the ids of the receipts that the broker has confirmed; the others are the dispatcher's.

    Raises BrokerBlocked while the broker's alarm is on: what it takes of them is told when it has ended.
    """
    try:
        return sorted(broker.publish(letters).confirmed)
    except BrokerBlocked:
        raise
    except GatewayError as error:
        logger().warning("receipts left to the dispatcher", count=len(letters), error=str(error))
        return []
