"""The bounded pool of worker processes that judges what is uploaded: so many at once, so long, with so much memory."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import CancelledError, Future
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from pebble import ProcessExpired, ProcessPool
from starlette.exceptions import HTTPException

from core.calendar import eastern_day
from core.findings import Bilingual
from gateway.logs import logger
from gateway.web import work
from gateway.web.site import NotDone

# Does a job of `work` elsewhere, within limits; raises NotDone.
RunJob = Callable[..., Awaitable[Any]]

P = ParamSpec("P")
T = TypeVar("T")

# Two at least, so that one that hangs does not hold up everybody; no more than are worth a gateway's memory beside it.
WORKERS = min(4, max(2, os.cpu_count() or 1))

# Jobs that wait for a worker; beyond it one is told to come again. Small messages are judged some fifty a second.
WAITING = 100
COME_AGAIN_SECONDS = 5

# Processor time that a job may take, the time by the clock until it is ended from outside, and how long one may wait in
# all. The largest message that the other limits let through takes a fraction.
CPU_SECONDS, JOB_SECONDS, PATIENCE_SECONDS = 10, 20, 45.0

# Address space of a worker; what asks for more gets a MemoryError. And jobs after which another takes its place.
WORKER_BYTES = 1_000_000_000
JOBS = 1_000


# Why a job was not done, by what it wanted too much of: how it is told, and with which status.
ENDED: Mapping[str, tuple[int, Bilingual]] = {
    "long": (
        422,
        Bilingual(
            "this took too long to judge and was ended; nothing of it was kept",
            "l'examen prenait trop de temps et a été arrêté; rien n'en a été conservé",
        ),
    ),
    "large": (
        422,
        Bilingual(
            "this needs too much memory to be judged and was ended; nothing of it was kept",
            "l'examen demande trop de mémoire et a été arrêté; rien n'en a été conservé",
        ),
    ),
    "fault": (
        500,
        Bilingual(
            "this could not be judged: the fault is ours, and the log says where; nothing of it was kept",
            "ceci n'a pu être examiné : l'erreur est la nôtre et le journal dit où; rien n'en a été conservé",
        ),
    ),
}
BUSY = Bilingual("too much is being judged: try again soon", "trop de messages sont à l'examen : réessayez bientôt")


class Judges:
    """A pool of workers that have a specification prepared; it starts with the first job, or with `start`."""

    def __init__(self, specs: Path, workers: int = WORKERS, waiting: int = WAITING) -> None:
        self._specs, self._workers, self._most = specs, workers, workers + waiting
        self._jobs, self._mutex = 0, threading.Lock()
        self._pool: ProcessPool | None = None

    def start(self) -> None:
        """Start the workers, so that the first reader need not wait for them."""
        self._schedule(work.ready)

    def stop(self) -> None:
        """End the workers, whatever they do."""
        with self._mutex:
            if self._pool:
                self._pool.stop()  # type: ignore[no-untyped-call]
                self._pool.join()
            self._pool = None

    async def __call__(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a job of `gateway.web.work` gives; raises NotDone for one that is not taken, or not done."""
        if self._jobs >= self._most:
            raise _busy()
        self._jobs += 1
        try:
            future: Future[T] = await asyncio.to_thread(partial(self._schedule, job, *args, **kwargs))
            return await asyncio.wait_for(asyncio.wrap_future(future), PATIENCE_SECONDS)
        except Exception as error:
            if isinstance(error, TimeoutError) and future.cancelled():
                raise _busy() from None
            reason = _reason(error)
            logger().warning("not judged", state=reason, error=str(error) if isinstance(error, work.Failed) else "")
            raise NotDone(*ENDED[reason]) from None  # whatever the error says may repeat what was uploaded
        finally:
            self._jobs -= 1

    def _schedule(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Give a job to the pool, to a new one where the former is no more: pebble ends with an idle worker's death."""
        with self._mutex:
            for _ in range(2):
                self._pool = self._pool or self._made()
                try:
                    return self._pool.schedule(work.guarded, (job, *args), kwargs, JOB_SECONDS)
                except RuntimeError:
                    self._pool.stop()  # type: ignore[no-untyped-call]
                    self._pool = None
            raise RuntimeError("no worker process can be started")

    def _made(self) -> ProcessPool:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["gateway.web.warm"])
        return ProcessPool(self._workers, JOBS, bound, (self._specs,), context)


def _busy() -> NotDone:
    return NotDone(503, BUSY, {"Retry-After": f"{COME_AGAIN_SECONDS}"})


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError | CancelledError):
        return "long"
    if isinstance(error, MemoryError):
        return "large"
    if isinstance(error, ProcessExpired):
        return (
            "long" if error.exitcode == -signal.SIGXCPU else "large" if error.exitcode == -signal.SIGKILL else "fault"
        )
    return "fault"


def bound(specs: Path) -> None:
    """Limit this process and prepare what it judges by; run once in each worker."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # at once, also while it hangs in a C library
    resource.setrlimit(resource.RLIMIT_AS, (WORKER_BYTES, WORKER_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold what was uploaded
    work.prepare_for(specs, _count)


def _count() -> None:
    """Give this process so much processor time from now on; the kernel ends it then (SIGXCPU)."""
    used = int(time.process_time()) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (used + CPU_SECONDS, resource.getrlimit(resource.RLIMIT_CPU)[1]))


# ------------------------------------------------------------------------------------------------ for everybody


class Kept:
    """What is the same for everybody all day: samples and findings explained; there are as many as the tables say."""

    def __init__(self, run: RunJob) -> None:
        self._run, self._kept = run, dict[object, Any]()
        self._day = eastern_day(datetime.now(UTC))

    async def __call__(self, job: Callable[..., Any], *args: str) -> Any:
        """Return what a job gives for the arguments and the day; nothing is kept of what there is not."""
        now = datetime.now(UTC)
        if self._day != eastern_day(now):
            self._kept, self._day = {}, eastern_day(now)
        asked = (job.__name__, *args)
        found = self._kept.get(asked) or await self._run(job, *args, now)
        if found is not None:
            self._kept[asked] = found
        return found


async def explained(kept: Kept, code: str, lang: str) -> dict[str, Any]:
    """Return what a finding means, its code in letters of any case; raises HTTPException 404."""
    wanted = code.upper()
    found: dict[str, Any] | None = await kept(work.finding, wanted, lang) if work.CODE.fullmatch(wanted) else None
    if found is None:
        raise HTTPException(404)
    return found


def tell(files: int, messages: int, refused: int) -> None:
    """Log how much was judged, and nothing of what."""
    logger().info("judged", count=messages, state=f"{files} files, {refused} refused")
