"""Outages that last minutes, as real ones do: nothing is dead, parked or lost, and answers come at once afterwards."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.chaos.test_chaos import FULL, check, recovered, send_slowly, servers, size
from tests.support.chaos import Run, traffic
from tests.support.servers import Postgres, Rabbit

pytestmark = [pytest.mark.timeout(7200 if FULL else 1000), *servers]


@pytest.mark.parametrize("what", ["database", "broker", "both"])
def test_an_outage_of_minutes(what: str, rabbit: Rabbit, postgres: Postgres, tmp_path: Path) -> None:
    """Longer than a broker would deliver a message again and again: none is dead, none parked, none lost.

    In a build half a minute, beyond the twenty tries of the delivery limit; at full size 3 s, 1, 10 and 30 minutes.
    """
    seconds: list[float] = []
    lengths = [3, 60, 600, 1800] if FULL else [25]

    def strike(part: int) -> None:
        if part >= len(lengths):
            return
        run.read(0.5)
        if what != "broker":
            postgres.kill()
        elif part == 0:
            rabbit.kill(signal.SIGTERM)  # in order: a killed lone node may need help, which is another test's
        if what == "both":
            rabbit.kill(signal.SIGTERM)
        time.sleep(lengths[part])
        if what != "broker":
            postgres.start()
        if rabbit.process is None:
            rabbit.start()
        seconds.append(run.recovers())

    with Run(tmp_path, rabbit.url(), postgres.url(), workers=2, batch=20) as run:
        if what != "broker":  # what comes while the journal is away is what was lost
            late = list(traffic(20, first=5_000_000))
            kill = postgres.kill

            def kill_and_send(*arguments: int) -> None:
                kill(*arguments)
                run.send(late)
                late.clear()

            postgres.kill = kill_and_send  # type: ignore[method-assign]
        try:
            send_slowly(run, size(1000, 100), len(lengths) + 1, strike)
        finally:
            vars(postgres).pop("kill", None)
        run.settle(600)
        dead = run._broker.depth("dead")
        print(f"dead {dead}")
        assert dead == 0
        check(run, kills=0)
    recovered(seconds, len(lengths), full=5)
