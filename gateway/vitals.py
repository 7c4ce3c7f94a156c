"""What the processes of one gateway know of each other: signs of life in shared memory, which nobody can hold up."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Mapping
from types import MappingProxyType

# A loop that has not asked for so long whether to stop is stuck: far above the longest step, which a lock or a broker
# that does not answer may take.
STUCK_SECONDS = 60.0


class Vital(ctypes.Structure):
    """One process's signs: the message that it is at, when it last lived (monotonic; 0: never), its deaths, lost lines.

    `at` is a sequence, to know what killed a worker. Each is written by one process and whole.
    """

    _fields_ = (
        ("at", ctypes.c_longlong),
        ("beat", ctypes.c_double),
        ("deaths", ctypes.c_longlong),
        ("lost", ctypes.c_longlong),
    )

    def live(self) -> None:
        """Give a sign of life."""
        self.beat = time.monotonic()

    def lose(self, count: int) -> None:
        """Count log lines that nobody took."""
        self.lost += count


# The name under which the supervisor itself stands among its loops.
SUPERVISOR = "supervisor"

Vitals = Mapping[str, Vital]
NOBODY: Vitals = MappingProxyType({})


def silence(vital: Vital) -> float:
    """Return for how many seconds a process has given no sign of life."""
    return time.monotonic() - vital.beat if vital.beat else 0.0


def stuck(vitals: Vitals) -> list[str]:
    """Return which processes give no sign of life, one line each."""
    return [
        f"{'the supervisor' if name == SUPERVISOR else f'the loop {name}'} has been stuck for {silence(each):.0f} s"
        for name, each in vitals.items()
        if silence(each) > STUCK_SECONDS
    ]
