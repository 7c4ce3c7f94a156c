"""Partners' answers as this process holds them: read from the partner's queue, and its own until acknowledged.

A postbox is a reader of one answer queue, as any AMQP client is one. It keeps what it has read unacknowledged as long
as it lives, so the broker itself gives it out again when a postbox, its process or its machine ends.
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import NamedTuple

from core.errors import BrokerUnavailable
from core.findings import Bilingual
from core.partner import Partner
from gateway.logs import logger, reason
from gateway.queues import Delivery, Intake, open_broker
from gateway.web.exchange_access import Why, later

# Answers that a postbox holds at most, and above how many bytes it reads no further.
PREFETCH, HELD_BYTES = 50, 8_000_000
# How long one look into the queue waits; an acknowledgement waits for the end of a look.
LOOK_SECONDS = 0.1
# How long the first look, with the connection to the broker, may keep a request waiting that does not want to wait.
OPENING_SECONDS = 15.0
# How long nobody needs to ask before a postbox closes; holding answers it stays longer: RabbitMQ counts what goes back
# unacknowledged, and makes a dead letter of it at the twentieth time.
IDLE_SECONDS, HOLDING_SECONDS = 60.0, 300.0
# Who waits at one postbox at one time: whoever has waited longest is sent away with nothing when one more comes.
POLLERS = 4
# Postboxes, each a thread and a connection to the broker.
POSTBOXES = 200

GONE = Why(
    503,
    Bilingual(
        "the answers' queue could not be read on: ask again; what is not acknowledged comes again",
        "la lecture des réponses s'est interrompue : redemandez; ce qui n'est pas confirmé revient",
    ),
)
FULL = Why(503, Bilingual("too many partners read at one time", "trop de partenaires lisent à la fois"))


class Held(NamedTuple):
    """An answer that a postbox holds, by its number there."""

    number: int
    delivery: Delivery

    @property
    def id(self) -> str:
        """The answer's own id, the same each time that it is delivered."""
        return self.delivery.message_id or self.delivery.uid


class _Poller:
    """Who waits for answers: in which event loop, and whether another has taken its place."""

    def __init__(self) -> None:
        self._loop, self.called = asyncio.get_running_loop(), asyncio.Event()
        self.sent_away = False

    def call(self) -> None:
        """Wake it up, from any thread."""
        with suppress(RuntimeError):  # its loop is gone, and so is it
            self._loop.call_soon_threadsafe(self.called.set)


class Postbox:
    """Reads one queue in a thread of its own until nobody asks, the queue cannot be read, or it is closed.

    `session` tells postboxes apart: a number means nothing in another one.
    """

    def __init__(self, url: str, queue: str) -> None:
        self.session = uuid.uuid4().hex
        self._url, self._queue = url, queue
        self._lock = threading.Lock()
        self._held: dict[int, Delivery] = {}
        self._last = 0
        self._acks: list[tuple[set[int], Future[int]]] = []
        self._pollers: deque[_Poller] = deque()
        self._asked = time.monotonic()
        self._looked = self._closing = self.ended = False
        self._thread = threading.Thread(target=self._run, name=f"postbox {queue}", daemon=True)
        self._thread.start()

    # ---------------------------------------------------------------- asked by requests

    async def held(self, after: int = 0, seconds: float = 0) -> list[Held]:
        """Return what is held behind a number, in order, after waiting for some as long as wanted.

        Raises Refusal when the queue cannot be read.
        """
        began, poller = time.monotonic(), _Poller()
        try:
            while True:
                with self._lock:
                    self._still_open()
                    found = [Held(*each) for each in self._held.items() if each[0] > after]
                    left = began + (seconds if self._looked else max(seconds, OPENING_SECONDS)) - time.monotonic()
                    if found or left <= 0 or poller.sent_away:
                        return found
                    self._wait_in_line(poller)
                with suppress(TimeoutError):
                    await asyncio.wait_for(poller.called.wait(), left)
                poller.called.clear()
        finally:
            with self._lock, suppress(ValueError):
                self._pollers.remove(poller)

    def _wait_in_line(self, poller: _Poller) -> None:
        if poller not in self._pollers:
            self._pollers.append(poller)
        if len(self._pollers) > POLLERS:
            first = self._pollers.popleft()
            first.sent_away = True
            first.call()

    async def acknowledge(self, numbers: Iterable[int]) -> int:
        """Acknowledge what is held under these numbers, and count it; the broker has forgotten it when this returns.

        Raises Refusal when nobody knows how many that were; then those come again that were not.
        """
        counted: Future[int] = Future()
        with self._lock:
            self._still_open()
            self._acks.append((set(numbers), counted))
        return await asyncio.wrap_future(counted)

    def _still_open(self) -> None:
        if self.ended:
            raise later(GONE)
        self._asked = time.monotonic()

    def close(self) -> None:
        """Give back what is held, and end."""
        self._closing = True
        self._thread.join(LOOK_SECONDS * 50)

    # ---------------------------------------------------------------- in its thread

    def _run(self) -> None:
        try:
            with open_broker(self._url) as broker, broker.consume([self._queue], PREFETCH) as intake:
                while not self._is_over():
                    self._settle(intake)
                    self._look(intake)
        except Exception as error:  # whatever it is: the partner asks again, and another postbox is opened
            logger().error("answers cannot be read", queue=self._queue, error=reason(error))
        finally:
            self._end()

    def _is_over(self) -> bool:
        """Tell whether nobody needs this postbox any more; from then on none of its answers is given out."""
        with self._lock:
            patience = HOLDING_SECONDS if self._held else IDLE_SECONDS
            idle = not self._pollers and not self._acks and time.monotonic() - self._asked > patience
            self.ended = self._closing or idle
            return self.ended

    def _settle(self, intake: Intake) -> None:
        """Acknowledge what was asked for, before anybody is told so."""
        with self._lock:
            asked, self._acks = self._acks, []
        for place, (numbers, counted) in enumerate(asked):
            mine = [self._held[number] for number in sorted(numbers & self._held.keys())]
            try:
                if mine and not intake.settle(mine):
                    raise BrokerUnavailable("another reader had some of the answers")
            except Exception:  # who asked is told at the end
                self._acks[:0] = asked[place:]
                raise
            with self._lock:
                for number in numbers & self._held.keys():
                    del self._held[number]
            if counted.set_running_or_notify_cancel():
                counted.set_result(len(mine))

    def _look(self, intake: Intake) -> None:
        """Take what has come into the queue, if there is room for it."""
        if sum(len(each.body) for each in self._held.values()) < HELD_BYTES:
            self._add(intake.receive(LOOK_SECONDS))
        else:
            intake.idle(LOOK_SECONDS)

    def _add(self, deliveries: Sequence[Delivery]) -> None:
        with self._lock:
            first = not self._looked
            self._looked = True
            for each in deliveries:
                self._last += 1
                self._held[self._last] = each
            if deliveries or first:
                for poller in self._pollers:
                    poller.call()

    def _end(self) -> None:
        with self._lock:
            self.ended = True
            self._held.clear()
            for _, counted in self._acks:
                if counted.set_running_or_notify_cancel():
                    counted.set_exception(later(GONE))
            for poller in self._pollers:
                poller.call()


class Postboxes:
    """The postboxes of this process, at most one for each partner, opened when it asks."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._open: dict[tuple[str, str], Postbox] = {}

    def of(self, partner: Partner) -> Postbox:
        """Return the partner's own postbox; raises Refusal where there are too many already."""
        key = partner.id, partner.answer_queue
        self._open = {one: box for one, box in self._open.items() if not box.ended}
        if key not in self._open:
            if len(self._open) >= POSTBOXES:
                raise later(FULL)
            self._open[key] = Postbox(self._url, partner.answer_queue)
        return self._open[key]

    def close(self) -> None:
        """Give back all that is held."""
        for each in self._open.values():
            each._closing = True
        for each in self._open.values():
            each.close()
