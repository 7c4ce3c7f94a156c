"""A gateway for tests whose pipeline hangs, crashes or eats memory where a transmission asks for it."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

from core import limits
from gateway import logs, loops, pipeline, service, supervisor
from gateway.settings import from_environment

# What a transmission must contain to be handled badly.
HANGS, CRASHES, EATS = b"HANGS-FOR-EVER", b"CRASHES", b"EATS-MEMORY"

REAL_PARSE = pipeline.parse


def parse(received: Any, specs: Any) -> Any:
    """Parse, badly where the transmission asks for it."""
    while HANGS in received.body:
        ctypes.CDLL(None).pause()  # in C, where no handler of Python's would run; it ends by one that is told to stop
    if CRASHES in received.body:
        ctypes.string_at(0)
    if EATS in received.body:
        bytearray(4_000_000_000)
    return REAL_PARSE(received, specs)


def run(name: str, settings: Any, parent: int, given: loops.Given) -> None:
    """Run a loop whose pipeline is a bad one, with short times unless the environment asks for the real ones."""
    pipeline.parse = parse
    if "REAL_TIMES" not in os.environ:
        limits.FIRST_SECONDS, limits.MESSAGE_SECONDS, service.LEASE_SECONDS = 0.3, 0.3, 1
    loops.run(name, settings, parent, given)


if __name__ == "__main__":
    from tests.support import serving  # under its name, which a process that is not forked can import

    supervisor.run = serving.run
    supervisor.PAUSE_SECONDS = 0.1
    os.environ["GATEWAY_LOG"] = "json"
    logs.configure("json")
    supervisor.serve(from_environment(), 2 if "REAL_TIMES" in os.environ else 1, None)
    sys.exit(0)
