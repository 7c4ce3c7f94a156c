"""A broker in memory with a fuse at every effect: the process doing it may die just before or just after."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from core.errors import BrokerUnavailable
from core.transmission import (
    stable_id,
)
from gateway.queues import Delivery, Letter, Published

T = TypeVar("T")


class Crash(BaseException):
    """The process is gone: nothing of it may catch this."""


class Fuse:
    """Counts the moments at which a process may die, and lets it die at those it was told."""

    def __init__(self, blows: Iterable[int] = ()) -> None:
        self.moments = 0
        self.blows = set(blows)
        self.stalls: dict[int, Callable[[], object]] = {}

    def moment(self) -> None:
        """Count; die, or let others go on meanwhile, if it is time."""
        self.moments += 1
        if meanwhile := self.stalls.pop(self.moments, None):
            meanwhile()
        if self.moments in self.blows:
            raise Crash

    def effect(self, act: Callable[[], T]) -> T:
        """Do something that lasts; the process may die before it, but not in the middle.

        To die after it is to die before the next, and after the last of a step there is nothing in hand.
        """
        self.moment()
        return act()


@dataclass
class Waiting:
    """A message in a queue: in nobody's hand, or in that of one reader."""

    letter: Letter
    number: int
    reader: FakeIntake | None = None
    deliveries: int = 0


class FakeBroker:
    """Queues that keep a message until it is acknowledged; `wire` is all that was ever published, in order."""

    def __init__(self, fuse: Fuse, queues: Iterable[str]) -> None:
        self.fuse = fuse
        self.queues: dict[str, list[Waiting]] = {name: [] for name in queues}
        self.wire: list[Letter] = []
        self.up = True

    def publish(self, batch: Sequence[Letter]) -> Published:
        if not self.up:
            raise BrokerUnavailable("the broker is down")
        confirmed, unroutable = set(), set()
        for letter in batch:
            if letter.queue in self.queues:
                self.fuse.effect(lambda letter=letter: self.put(letter))
                confirmed.add(letter.id)
            else:
                unroutable.add(letter.id)
        return Published(frozenset(confirmed), frozenset(unroutable))

    def put(self, letter: Letter) -> None:
        self.wire.append(letter)
        self.queues[letter.queue].append(Waiting(letter, len(self.wire)))

    def consume(self, queues: Sequence[str], prefetch: int = 50) -> FakeIntake:
        return FakeIntake(self, queues, prefetch)


class FakeIntake:
    """A reader: what it did not acknowledge goes back to its place when it dies."""

    def __init__(self, broker: FakeBroker, queues: Sequence[str], prefetch: int) -> None:
        self.broker, self.names, self.prefetch = broker, queues, prefetch
        self.kept: list[Delivery] = []

    def receive(self, timeout: float) -> list[Delivery]:
        if not self.broker.up:
            raise BrokerUnavailable("the broker is down")
        if self.kept:
            kept, self.kept = self.kept, []
            return kept
        free = sorted(
            (one for name in self.names for one in self.broker.queues[name] if one.reader is None),
            key=lambda one: one.number,
        )[: self.prefetch]
        for one in free:
            one.reader = self
            one.deliveries += 1
        return [
            Delivery(
                stable_id(one.letter.queue, one.letter.id, one.letter.body.hex()),
                one.letter.queue,
                one.letter.body,
                one.letter.content_type,
                {},
                one.letter.id,
                one.letter.queue.removeprefix("in."),
                one.deliveries > 1,
                one.number,
                self,  # type: ignore[arg-type]
            )
            for one in free
        ]

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        tags = {one.tag for one in deliveries}

        def forget() -> None:
            for name in self.names:
                queue = self.broker.queues[name]
                queue[:] = [one for one in queue if one.number not in tags or one.reader is not self]

        self.broker.fuse.effect(forget)

    def keep(self, deliveries: Sequence[Delivery]) -> None:
        self.kept = [*deliveries, *self.kept]

    def idle(self, seconds: float) -> None:
        raise AssertionError("nothing here is ever recorded one by one")

    def reject(self, deliveries: Sequence[Delivery], requeue: bool) -> None:
        raise AssertionError("nothing here is ever rejected")

    def die(self) -> None:
        for name in self.names:
            for one in self.broker.queues[name]:
                if one.reader is self:
                    one.reader = None
