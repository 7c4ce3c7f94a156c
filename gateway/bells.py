"""What wakes a loop that waits, and what tells it to stop.

A bell is a byte in a pipe that never blocks: no process that dies, at whatever moment, can leave it locked. A loop that
has made work for another rings; a slow look stands behind it, for what nobody rings for: another machine, a command of
an operator's, a ring that was lost with the process that had heard it.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import MappingProxyType

# The signals that tell a loop to stop.
STOPPING = (signal.SIGTERM, signal.SIGINT)

# The most that one look takes out of a pipe: more than any pipe holds.
ALL = 1 << 20


class Bell:
    """Wakes one of those who wait for it, or the next who would: rings that nobody waited for count as one."""

    def __init__(self) -> None:
        self._heard, self._rung = multiprocessing.Pipe(duplex=False)
        for end in (self._heard, self._rung):
            os.set_blocking(end.fileno(), False)

    def ring(self) -> None:
        """Wake somebody; never waits."""
        with suppress(BlockingIOError):  # it is full of rings that nobody has heard yet
            os.write(self._rung.fileno(), b"\0")

    def fileno(self) -> int:
        """Return what there is to read from when it rings."""
        return self._heard.fileno()


# The bells by the loops that they wake, all workers by one; and a ring that nobody hears.
Bells = Mapping[str, Bell]
Ring = Callable[[str], object]
WORK, DISPATCH = "work", "dispatch"
NO_BELLS: Bells = MappingProxyType({})


def ring(bells: Bells, name: str) -> None:
    """Wake a loop, where it has a bell."""
    if name in bells:
        bells[name].ring()


def silent(_name: str) -> None:
    """Wake nobody."""


# Where the signals of this process can be read, as soon as something of it has asked for them.
_signals: list[int] = []


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Turn SIGTERM and SIGINT into a question that a loop asks between two steps.

    An exception, Python's own way, is lost where it comes inside a library's callback; and a program that a script
    started in the background inherits a SIGINT that is ignored (DECISIONS D24).
    """
    asked: list[int] = []
    former = {number: signal.signal(number, lambda received, _frame: asked.append(received)) for number in STOPPING}
    try:
        with _signals_wake():
            yield lambda: bool(asked)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextmanager
def _signals_wake() -> Iterator[None]:
    """Let signals that this process handles end its `wait` for a block."""
    heard, rung = os.pipe()
    for end in (heard, rung):
        os.set_blocking(end, False)
    former = signal.set_wakeup_fd(rung, warn_on_full_buffer=False)
    others, _signals[:] = _signals[:], [heard]
    try:
        yield
    finally:
        signal.set_wakeup_fd(former)
        _signals[:] = others
        os.close(heard)
        os.close(rung)


def wait(seconds: float, bell: Bell | None = None, *others: int) -> None:
    """Wait so long, until the bell rings, a signal comes, or one of `others` (sentinels of processes) can be read.

    What rang for somebody else who waited too, and was first, wakes nobody twice.
    """
    end = time.monotonic() + seconds
    pipes = [*_signals, *([bell.fileno()] if bell else [])]
    while (left := end - time.monotonic()) > 0:
        ready = multiprocessing.connection.wait([*pipes, *others], left)
        # All of them are emptied, whichever comes first.
        if sum(_emptied(each) for each in pipes if each in ready) or any(each in ready for each in others):
            return


def _emptied(pipe: int) -> bool:
    """Take what is in a pipe; tell whether there was anything."""
    with suppress(BlockingIOError):
        return bool(os.read(pipe, ALL))
    return False
