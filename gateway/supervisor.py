"""`gateway serve`: one process a loop (DECISIONS D6), restarted when dead, stopped in order."""

from __future__ import annotations

import multiprocessing
import multiprocessing.resource_tracker
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from typing import Any

from core.errors import BrokerUnavailable, GatewayError, JournalUnavailable
from core.transmission import digest_of
from gateway import plans, service
from gateway.bells import DISPATCH, STOPPING, WORK, Bell, Bells, ring, stop_signals, wait
from gateway.files import hold
from gateway.journal import Journal
from gateway.logs import drain, logger
from gateway.loops import (
    IDLE_SECONDS,
    PAUSE_SECONDS,
    Given,
    disown_dead,
    fit_partners,
    known_partners,
    open_checked,
    queue_names,
    rest_of_garbage,
    run,
    worker_of,
)
from gateway.plans import Plans
from gateway.queues import open_broker
from gateway.settings import Settings
from gateway.vitals import SUPERVISOR, Vital

# A loop that died sooner than this after its start would die again: only then its restart waits.
QUICK_SECONDS = 2.0

# Forked, a loop has what is loaded: to load it took each a second. Elsewhere the system's own libraries forbid it.
METHOD = "fork" if sys.platform == "linux" else "spawn"

# How long a stopping gateway lets its loops finish what they are working on.
STOP_SECONDS = 30.0

# How far apart the patterns of what senders seldom write are compiled: a backlog that waits at the start comes first.
SPREAD_SECONDS = 5.0

# The loops that judge; those that know the partners.
WORKING = ("work", "retry")
KNOWING = ("receive", *WORKING, "health")


def serve(settings: Settings, workers: int, engine: str | None) -> None:
    """Run the gateway until SIGTERM or SIGINT; raises GatewayError when it cannot start.

    `engine` is the loop of a reference engine to run as well: "engine" for all requests, "tests" for test messages'.
    SIGHUP has the partners' file read again.
    """
    with stop_signals() as stopping, _hang_ups() as hung_up:
        loaded = plans.prepare(settings.specs)
        fit_partners(settings)
        with hold(settings):
            _serve(settings, loaded, workers, engine, stopping, hung_up)
        drain()


def _serve(
    settings: Settings,
    loaded: Plans,
    workers: int,
    engine: str | None,
    stopping: Callable[[], bool],
    hung_up: Callable[[], bool],
) -> None:
    """Run the loops until told to stop."""
    database, broker_url = _open_store(settings), _declare(settings)
    names = ["receive", *(f"work-{n}" for n in range(1, workers + 1)), "retry", "dispatch"]
    names += [*([engine] if engine else []), *(["health"] if settings.health else [])]
    if METHOD != "fork":
        multiprocessing.resource_tracker.ensure_running()  # it lets Ctrl-C through again once it is started
    rest_of_garbage()  # frozen before a fork, it stays shared
    crew = _Crew(settings, names, loaded if METHOD == "fork" else None)
    logger().info("serving", count=len(names), loop=" ".join(names), database=database, broker=broker_url)
    while not stopping():
        if hung_up():
            crew.reload()
        crew.watch()
        if not crew.compile():
            crew.wait()
    logger().info("stopping")
    crew.stop()
    logger().info("stopped")


class _Crew:
    """The loops' processes: each is started again when it is gone, and none waits for another.

    Of `loaded`, forked with them, all patterns are compiled here, and those who work renewed to share them: once the
    usual ones are there, and once all are.
    """

    def __init__(self, settings: Settings, names: list[str], loaded: Plans | None) -> None:
        self._settings, self._plans = settings, loaded
        self._unwarmed = [plans.warm(loaded, forms) for forms in (plans.USUAL, plans.OTHERS)] if loaded else []
        self._compiles = 0.0  # when the next is to be compiled
        self._cold: list[str] = []  # who is to be renewed
        self._context: Any = multiprocessing.get_context(METHOD)
        self._vitals: dict[str, Vital] = {name: self._context.RawValue(Vital) for name in (*names, SUPERVISOR)}
        self._running: dict[str, BaseProcess | None] = dict.fromkeys(names)
        self._due = dict.fromkeys(names, 0.0)  # when each is to be started
        self._bells: Bells = {name: Bell() for name in (WORK, DISPATCH)}
        self._leaving: set[str] = set()  # those that were told to

    def watch(self) -> None:
        """Start what is not there."""
        self._vitals[SUPERVISOR].live()
        for name, process in self._running.items():
            if process is not None and not process.is_alive():
                self._gone(name, process)
            elif process is None and time.monotonic() >= self._due[name]:
                self._start(name)
        self._renew()

    def compile(self) -> bool:
        """Compile one pattern more, which takes up to half a second; False where there is nothing to compile now."""
        if not self._unwarmed or time.monotonic() < self._compiles:
            return False
        if len(self._unwarmed) == 1:
            self._compiles = time.monotonic() + SPREAD_SECONDS
        if not next(self._unwarmed[0], False):
            del self._unwarmed[0]
            rest_of_garbage()
            self._cold = [name for name in self._running if name.startswith(WORKING)]
            what = "usual" if self._unwarmed else "all"
            logger().info(f"{what} patterns compiled, workers are renewed to share them", loop=" ".join(self._cold))
        return True

    def _renew(self) -> None:
        """Let one leave that was forked before; the next when that one is back."""
        if self._cold and self._cold[0] not in self._leaving:
            self._leave(self._cold[0])

    def _leave(self, name: str) -> None:
        """Have a loop finish what it is working on, and leave, to be started again."""
        if process := self._running[name]:
            self._leaving.add(name)
            process.terminate()

    def wait(self) -> None:
        """Wait until a loop is gone, one is to be started, a signal comes, or it is time for a sign of life."""
        soon = [self._due[name] - time.monotonic() for name, process in self._running.items() if process is None]
        sentinels = [process.sentinel for process in self._running.values() if process is not None]
        wait(max(0.0, min([IDLE_SECONDS, *soon])), None, *sentinels)

    def _gone(self, name: str, process: BaseProcess) -> None:
        """Say that a loop is gone; one that would die again at once waits before it is started again."""
        self._running[name] = None
        self._leaving.discard(name)
        if process.exitcode == 0:
            logger().info("loop left, restarting", loop=name)
            return
        vital = self._vitals[name]
        vital.deaths += 1
        logger().error("loop died, restarting", loop=name, exit=process.exitcode)
        _disown(self._settings, process, vital.at)
        ring(self._bells, WORK)
        if time.monotonic() - self._due[name] < QUICK_SECONDS:
            self._due[name] = time.monotonic() + PAUSE_SECONDS

    def _start(self, name: str) -> None:
        vital = self._vitals[name]
        vital.at = 0
        vital.live()
        self._due[name] = time.monotonic()
        given = Given(self._vitals, known_partners(self._settings), self._bells, self._plans)
        process = self._context.Process(target=run, args=(name, self._settings, os.getpid(), given), name=name)
        # Ctrl-C goes to every process of a terminal, and an order to stop may come at once: both wait until heard.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        process.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        self._running[name] = process
        if name in self._cold:
            self._cold.remove(name)

    def reload(self) -> None:
        """Have the partners' file read again, if it can be used; what was read before stays in force otherwise."""
        try:
            partners = fit_partners(self._settings)
        except GatewayError as error:
            logger().error("partners' file cannot be used, the last good one stays", error=str(error))
            return
        with suppress(GatewayError):  # the loops say what they lack
            _declare(self._settings)
        logger().info("partners' file read again", count=len(partners))
        # Where the journal is away, the log has it.
        with suppress(GatewayError, OSError), open_checked(self._settings) as journal:
            told = {"partners": sorted(partners), "sha256": digest_of(self._settings.partners.read_bytes())}
            journal.note("partners read again", None, told, service.now())
        for name in self._running:
            if name.startswith(KNOWING):
                self._leave(name)

    def stop(self) -> None:
        """Let all finish what they are working on, and leave."""
        running = [process for process in self._running.values() if process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in running:
            process.join(max(0.1, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()


@contextmanager
def _hang_ups() -> Iterator[Callable[[], bool]]:
    """Turn SIGHUP into a question that is answered yes once; on a terminal it means that the terminal is gone."""
    asked: list[int] = []
    if os.isatty(0):
        yield lambda: False
        return
    former = signal.signal(signal.SIGHUP, lambda received, _frame: asked.append(received))
    try:
        yield lambda: bool(asked) and bool(asked.pop())
    finally:
        signal.signal(signal.SIGHUP, former)


def _open_store(settings: Settings) -> str:
    """Make the journal where there is none, free what the dead held, and return its URL without secrets."""
    journal = Journal.open(settings.database_url)
    try:
        if not journal.exists():
            journal.migrate()
        if fault := journal.unfit():
            raise JournalUnavailable(fault)
        disown_dead(journal)
    finally:
        journal.close()
    return journal.url


def _declare(settings: Settings) -> str:
    """Make the queues that are missing, and return the broker's URL without secrets."""
    with open_broker(settings.broker_url) as broker:
        try:
            broker.declare(queue_names(settings))
        except BrokerUnavailable:
            raise
        except GatewayError as error:  # one partner's queue is not as it should be: the others' are
            logger().error("a queue is left as it is", error=str(error))
        return broker.url


def _disown(settings: Settings, process: BaseProcess, suspect: int = 0) -> None:
    """Let others take at once what a dead worker held; `suspect` is the message that it was at."""
    if process.name.startswith(WORKING):
        with suppress(JournalUnavailable), open_checked(settings) as journal:
            journal.disown(worker_of(process.pid), service.now(), suspect)
