"""Every crash and every pair of crashes, at every effect of the service's own steps: nothing lost, nothing twice.

On a developer's machine single crashes only.
The test of the test: four gateways that are wrong on purpose must each be caught.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import count
from typing import Any

import pytest

from core.transmission import Outcome, stable_id
from gateway.journal import Claimed, Due
from gateway.queues import Delivery, Letter
from tests.support.effort import PROFILE
from tests.support.fake_broker import FakeIntake
from tests.support.fake_journal import FakeJournal
from tests.support.fakes import World, body_of

Make = Callable[[list[int]], World]


def scenario(world: World) -> World:
    """Three declarations, a resend of the first as a message of its own and as the same one, and a correction."""
    world.send(body_of(1), "m1")
    world.send(body_of(2), "m2")
    world.send(body_of(3), "m3")
    world.send(body_of(1), "m1-again")
    world.send(body_of(2, 2), "m2-corrected")
    with world.running():
        world.drain()
        asked = len(world.broker.wire)
        world.send(body_of(3), "m3")
        world.drain()
    world.again = [one.id for one in world.broker.wire[asked + 1 :]]  # type: ignore[attr-defined]
    return world


def wrong(world: World) -> list[str]:
    """Return what must not be: besides what always holds, all four are accepted, and the late resend is answered."""
    found = world.violations()
    t = world.journal.t
    if len(t.effects) != 4:
        found.append(f"{len(t.effects)} effects of 4")
    if any(row.state == "parked" for row in t.inbox):
        found.append("parked after two crashes")
    verdict = stable_id(next(row.id for row in t.inbox if row.body == body_of(3)), "1", "accepted")
    if verdict not in world.again:  # type: ignore[attr-defined]
        found.append("the resend was not answered")
    return found


def histories(make: Make, depth: int = 2) -> tuple[int, list[tuple[list[int], list[str]]]]:
    """Run every history with at most `depth` crashes; return their number and those that went wrong."""
    runs, bad = 0, []
    open_ = [[]]
    while open_:
        blows = open_.pop()
        world = scenario(make(blows))
        runs += 1
        if found := wrong(world):
            bad.append((blows, found))
        if len(blows) < depth:
            open_ += [[*blows, moment] for moment in range((blows[-1] if blows else 0) + 1, world.fuse.moments + 1)]
    return runs, bad


def test_no_crash_and_no_pair_of_crashes_loses_or_doubles_anything() -> None:
    pairs = PROFILE != "dev"
    runs, bad = histories(World, 2 if pairs else 1)
    print(f"{runs} histories, {len(bad)} violations")
    assert not bad
    assert runs >= (1_500 if pairs else 50)


class AckFirst(World):
    """Acknowledges what it has not yet recorded."""

    def reader(self, loop: str) -> FakeIntake:
        intake = super().reader(loop)
        if loop == "receive" and not isinstance(intake, _Hasty):
            intake = self._readers[loop] = _Hasty(self.broker, intake.names, intake.prefetch)
        return intake


class _Hasty(FakeIntake):
    def receive(self, timeout: float) -> list[Delivery]:
        letters = super().receive(timeout)
        if letters:
            super().ack(letters)
        return letters

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        pass


class MarkFirst(World):
    """Marks as sent what it is about to send."""

    def __init__(self, blows: list[int]) -> None:
        super().__init__(blows)
        self.journal = _Marking(self.fuse)


class _Marking(FakeJournal):
    def due(self, limit: int, now: datetime) -> list[Due]:
        due = super().due(limit, now)
        super().mark_sent([item.id for item in due], now)
        return due

    def mark_sent(self, ids: Sequence[str], now: datetime) -> int:
        return len(ids)


class PublishDirectly(World):
    """Sends the answers itself once the verdict is written, past the outbox."""

    def __init__(self, blows: list[int]) -> None:
        super().__init__(blows)
        self.journal = _Direct(self)


class _Direct(FakeJournal):
    def __init__(self, world: World) -> None:
        super().__init__(world.fuse)
        self.world = world

    def finish(self, done: Sequence[tuple[Claimed, Outcome]], *, specs: str, now: datetime) -> list[bool]:
        finished = super().finish(done, specs=specs, now=now)
        broker: Any = self.world.broker
        for _, outcome in done:
            for item in outcome.outgoing:
                self.t.outbox[item.id].sent = True  # never the dispatcher's business
        for _, outcome in done:
            broker.publish([Letter(one.id, one.destination, one.content_type, one.body) for one in outcome.outgoing])
        return finished


class NothingUnique(World):
    """Keeps no key of what it has had before."""

    def __init__(self, blows: list[int]) -> None:
        super().__init__(blows)
        self.journal.unique = False


@pytest.mark.parametrize("mutant", [AckFirst, MarkFirst, PublishDirectly, NothingUnique])
def test_a_gateway_that_is_wrong_on_purpose_is_caught(mutant: type[World]) -> None:
    for crashes in count(1):
        runs, bad = histories(mutant, crashes)
        print(f"{mutant.__name__}: {len(bad)} of {runs} histories with at most {crashes} crashes go wrong")
        if bad:
            break
        assert crashes < 2, "never caught"
    assert [] not in [blows for blows, _ in bad] or mutant is NothingUnique, "wrong even without a crash"
