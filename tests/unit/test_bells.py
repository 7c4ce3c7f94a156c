"""A bell wakes who waits, keeps what nobody waited for, and is left usable by whoever dies."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from gateway.bells import Bell, stop_signals, wait
from tests.support.crashing_serve import forked

LONG = 60.0  # the tests would take so long if nothing woke


def waited(step: Callable[[], object]) -> bool:
    """Tell whether a wait of LONG seconds was over long before."""
    start = time.monotonic()
    step()
    return time.monotonic() - start < LONG / 2


def test_a_ring_wakes_and_one_that_nobody_waited_for_wakes_the_next_wait_once() -> None:
    bell = Bell()
    later = threading.Timer(0.05, bell.ring)
    later.start()
    assert waited(lambda: wait(LONG, bell))
    for _ in range(3):
        bell.ring()
    assert waited(lambda: wait(LONG, bell))
    start = time.monotonic()
    wait(0.05, bell)
    assert time.monotonic() - start >= 0.05


def test_it_never_waits_to_ring_however_often() -> None:
    bell = Bell()
    for _ in range(200_000):  # more than a pipe holds
        bell.ring()
    assert waited(lambda: wait(LONG, bell))


def test_a_signal_ends_a_wait_also_one_that_came_just_before() -> None:
    with stop_signals() as stopping:
        os.kill(os.getpid(), signal.SIGTERM)
        assert waited(lambda: wait(LONG, Bell()))
        assert stopping()


@pytest.mark.parametrize("end", [lambda bell: bell.ring(), lambda bell: wait(LONG, bell)], ids=["ringing", "woken"])
def test_a_process_killed_at_the_bell_leaves_it_to_the_others(end: Callable[[Bell], object]) -> None:
    bell = Bell()
    bell.ring()

    def body() -> None:
        end(bell)
        os.kill(os.getpid(), signal.SIGKILL)

    assert forked(body) == -signal.SIGKILL
    bell.ring()
    assert waited(lambda: wait(LONG, bell))


def test_of_two_that_wait_one_ring_wakes_one() -> None:
    bell, woken = Bell(), []
    threads = [threading.Thread(target=lambda: (wait(LONG, bell), woken.append(1)), daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    for count in (1, 2):
        bell.ring()
        end = time.monotonic() + LONG / 2
        while len(woken) < count and time.monotonic() < end:
            time.sleep(0.01)
        assert len(woken) == count
