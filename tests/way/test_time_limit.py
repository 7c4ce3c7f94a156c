"""A message that takes too long ends its worker, by processor time before it does by the clock."""

from __future__ import annotations

import multiprocessing
import signal
import time

import pytest

from core import limits
from gateway.loops import limit_time

SECONDS, LONGER = 0.05, 60.0


def spin() -> None:
    while True:
        pass


def wait() -> None:
    time.sleep(LONGER)


@pytest.mark.parametrize(("work", "patience", "by"), [(spin, LONGER, signal.SIGPROF), (wait, SECONDS, signal.SIGALRM)])
def test_a_worker_ends_by_the_limit_that_it_reaches(
    monkeypatch: pytest.MonkeyPatch, work: object, patience: float, by: signal.Signals
) -> None:
    monkeypatch.setattr(limits, "by_the_clock", lambda _: patience)
    assert ended(work) == -by


def test_a_worker_that_is_done_in_time_lives_on() -> None:
    assert ended(lambda: [limit_time(0), time.sleep(2 * SECONDS)]) == 0


def ended(work: object) -> int | None:
    """Return the exit code of a process that works under the limit."""

    def limited() -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # pytest's own limit handles it, and no worker does
        limit_time(SECONDS)
        work()  # type: ignore[operator]

    process = multiprocessing.get_context("fork").Process(target=limited)
    process.start()
    process.join(LONGER)
    return process.exitcode
