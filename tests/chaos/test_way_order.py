"""Order (T13): however messages arrive, with several workers and crashes, the end is that of one after another."""

from __future__ import annotations

import random

import pytest

from tests.support.effort import times
from tests.support.fakes import World, body_of


def one_after_another(arrivals: list[tuple[int, int]]) -> set[tuple[str, int]]:
    """Return the versions that a gateway accepts which handles one message at a time, as they came."""
    last: dict[int, int] = {}
    for number, version in arrivals:
        if version == last.get(number, 0) + 1:
            last[number] = version
    return {(f"{number:014d}", version) for number, top in last.items() for version in range(1, top + 1)}


RUNS = times(5)


@pytest.mark.parametrize("crashes", [0, 1])
def test_any_order_of_arrival(crashes: int) -> None:
    dice = random.Random(crashes)
    messages = [(number, version) for number in range(1, 4) for version in range(1, 4)]
    complete = 0
    for _ in range(RUNS):
        dice.shuffle(messages)
        world = World({dice.randint(1, 60) for _ in range(2 * crashes)}, batch=dice.randint(1, 5))
        for number, version in messages:
            world.send(body_of(number, version), f"{number}.{version}")
        with world.running():
            while not world.at_rest():
                for _ in range(4):
                    world.turn("work", dice.choice("vw"))
                world.drain(1)
        assert world.violations() == []
        found = world.journal.t.effects
        assert set(found) == one_after_another(messages)
        # A correction is judged after what it corrects: its versions were accepted in order.
        for number in range(1, 4):
            mine = [version for name, version in found if int(name) == number]
            assert mine == sorted(mine)
        complete += len(found) == len(messages)
    print(f"{RUNS} shuffles, {complete} of them with every version in order")
