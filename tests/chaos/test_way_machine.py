"""The service's own steps in any order: redelivery, reordering, crashes, stalls, outages, a clock that jumps.

500 runs in the build; GATEWAY_MACHINE_RUNS asks for another number (`make chaos`: 20,000).
"""

from __future__ import annotations

import os
import random
from collections import Counter
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway import service
from tests.support.effort import times
from tests.support.fakes import PARTNERS, World, body_of

SENDERS = st.sampled_from(sorted(PARTNERS))
LOOPS = st.sampled_from(World.LOOPS)


class WayMachine(RuleBasedStateMachine):
    """Whatever happens: no effect twice, nothing marked that did not go out; and in the end everything is answered."""

    @initialize(batch=st.integers(1, 4))
    def start(self, batch: int) -> None:
        self.world = World(batch=batch)
        self.service = self.world.running()
        self.service.__enter__()
        self.missing: list[str] = []

    @rule(partner=SENDERS, number=st.integers(1, 3), version=st.integers(1, 3))
    def send(self, partner: str, number: int, version: int) -> None:
        self.world.send(body_of(number, version), f"m{len(self.world.sent)}", partner)

    @precondition(lambda self: self.world.sent)
    @rule(data=st.data(), same_id=st.booleans())
    def send_again(self, data: st.DataObject, same_id: bool) -> None:
        former = data.draw(st.sampled_from(self.world.sent))
        number = former.id if same_id else f"m{len(self.world.sent)}"
        self.world.send(former.body, number, former.queue.removeprefix("in."))

    @rule(loop=LOOPS)
    def step(self, loop: str) -> None:
        self.world.turn(loop)

    @rule(loop=LOOPS, after=st.integers(1, 8))
    def crash(self, loop: str, after: int) -> None:
        """The process dies at one of its next moments, if it has as many."""
        self.world.fuse.blows = {self.world.fuse.moments + after}
        self.world.turn(loop)
        self.world.fuse.blows = set()

    @rule(after=st.integers(1, 4))
    def stall(self, after: int) -> None:
        """A worker hangs until its lease is over; another does the work; then the first goes on as if nothing were."""

        def meanwhile() -> None:
            self.world.now += timedelta(seconds=service.LEASE_SECONDS + 1)
            self.world.turn("work", "another")

        fuse = self.world.fuse
        fuse.stalls = {fuse.moments + after: meanwhile}
        self.world.turn("work")
        fuse.stalls = {}

    @rule(seed=st.integers(0, 99))
    def reorder(self, seed: int) -> None:
        """A transport promises no order once it has delivered again."""
        for name, queue in self.world.broker.queues.items():
            if name.startswith("in."):
                numbers = [one.number for one in queue if one.reader is None]
                random.Random(seed).shuffle(numbers)
                for one in queue:
                    if one.reader is None:
                        one.number = numbers.pop()

    @rule(up=st.booleans())
    def broker(self, up: bool) -> None:
        self.world.broker.up = up

    @rule(up=st.booleans())
    def journal(self, up: bool) -> None:
        self.world.journal.up = up

    @rule(partner=SENDERS)
    def partner_goes(self, partner: str) -> None:
        """The partner's queue is deleted; what it had not read is gone with it, and it will ask again."""
        if self.world.broker.queues.pop(f"out.{partner}", None) is not None:
            self.missing.append(f"out.{partner}")

    @rule()
    def partners_come_back(self) -> None:
        self.world.broker.queues.update({name: [] for name in self.missing})
        self.missing.clear()

    @rule(seconds=st.sampled_from([-300, 1, 30, 61, 3600]))
    def clock(self, seconds: int) -> None:
        self.world.now += timedelta(seconds=seconds)

    @invariant()
    def nothing_twice(self) -> None:
        if not hasattr(self, "world"):
            return
        tables = self.world.journal.t
        assert max(Counter(tables.effects).values(), default=1) == 1
        assert all(request.settled <= 1 for request in tables.requests.values())
        went = {letter.id for letter in self.world.broker.wire}
        assert {name for name, out in tables.outbox.items() if out.sent} <= went

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            world = self.world
            world.broker.up = world.journal.up = True
            self.partners_come_back()
            world.journal.t.resting.clear()
            world.now += timedelta(hours=2)
            world.drain()
            assert world.violations() == []
        finally:
            self.service.__exit__(None, None, None)


WayMachine.TestCase.settings = settings(
    max_examples=int(os.environ.get("GATEWAY_MACHINE_RUNS") or times(5)), stateful_step_count=30
)
TestWayMachine = WayMachine.TestCase
