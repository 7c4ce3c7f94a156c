"""Replays and what-ifs that run: one at a time, each in a process of its own, remembered with their results."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from core.errors import GatewayError
from core.findings import Bilingual
from gateway import pages
from gateway.desk import runs
from gateway.desk.runs import RunOrder, RunResult
from gateway.web.live import event

# Runs that are remembered with their results.
KEPT = 20

BUSY = Bilingual(
    "another replay runs: wait until it is done, or stop it",
    "un autre rejeu est en cours : attendez qu'il soit terminé, ou arrêtez-le",
)
DIED = Bilingual("it was stopped, or its process died", "il a été arrêté, ou son processus est mort")


@dataclass(eq=False)
class Run:
    """One run: who asked for what, how far it is, what came of it."""

    number: int
    order: RunOrder
    started: datetime
    total: int
    done: int = 0
    result: RunResult | None = None
    problem: Bilingual | None = None
    process: Any = field(default=None, repr=False)

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.result is not None or bool(self.problem)


class Runs:
    """The runs of this process; one at a time, in a process of its own."""

    def __init__(self) -> None:
        self._lock, self._numbers = threading.Lock(), count(1)
        self._known: dict[int, Run] = {}

    def start(self, order: RunOrder) -> Run:
        """Start a run; raises GatewayError while another one runs."""
        total = runs.count(order)
        with self._lock:
            if any(not run.over for run in self._known.values()):
                raise GatewayError(BUSY)
            run = Run(next(self._numbers), order, datetime.now(UTC), total)
            self._known[run.number] = run
            while len(self._known) > KEPT:
                self._known.pop(next(iter(self._known)))
        context = multiprocessing.get_context("spawn")
        ours, its = context.Pipe(duplex=False)
        run.process = context.Process(target=runs.in_process, args=(order, its), daemon=True)
        run.process.start()
        its.close()
        threading.Thread(target=_follow, args=(run, ours), daemon=True).start()
        return run

    def find(self, number: int) -> Run | None:
        """Return a run by its number."""
        return self._known.get(number)

    def newest_first(self) -> list[Run]:
        """Return all runs."""
        return list(reversed(self._known.values()))

    def close(self) -> None:
        """End what runs."""
        for run in self._known.values():
            if not run.over and run.process:
                run.process.kill()


def _follow(run: Run, pipe: Any) -> None:
    """Take in what a run's process tells until it ends."""
    try:
        while not run.over:
            said = pipe.recv()
            if isinstance(said, int):
                run.done += said
            elif isinstance(said, RunResult):
                run.result = said
            else:
                run.problem = said
    except EOFError:
        run.problem = run.problem or DIED
    finally:
        pipe.close()
        run.process.join()


async def progress(run: Run, language: str, lasts: Callable[[], bool]) -> AsyncIterator[str]:
    """Yield a run's progress as server-sent events until it has ended."""
    before = ""
    while lasts():
        now = pages.render("web/desk_progress.html", language, run=run)
        if now != before:
            before = now
            yield event("progress", now)
        if run.over:
            yield event("over", "")
            return
        await asyncio.sleep(0.5)
