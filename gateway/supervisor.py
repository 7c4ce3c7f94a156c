"""`gateway serve`: one process a loop (DECISIONS D6), restarted when dead, stopped in order, each a service's step."""

from __future__ import annotations

import gc
import multiprocessing
import multiprocessing.resource_tracker
import os
import resource
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from core import limits
from core.errors import BrokerUnavailable, GatewayError, JournalUnavailable
from core.urls import users_of
from gateway import health, plans, service
from gateway.engine import loop as engine_loop
from gateway.files import hold
from gateway.journal import Journal, Role
from gateway.logs import configure, logger
from gateway.plans import Plans
from gateway.queues import open_broker
from gateway.service import Partners
from gateway.settings import Settings
from routing.partners import inbound_queue, load_partners, not_ours
from routing.routes import RESULTS, for_tests, load_routes

# How long a loop that found nothing to do waits; with it a message crosses the three loops in well under a second.
IDLE_SECONDS = 0.05

# How long a loop waits for a broker or database that is gone, and a supervisor before it restarts a dead loop.
PAUSE_SECONDS = 1.0

# A loop that died sooner than this after its start would die again: only then the supervisor waits.
QUICK_SECONDS = 2.0

# How often the loop for what was tried before looks for it: seldom there is any.
RETRY_SECONDS = 0.5

# How often a receiver looks for queues that were missing.
LOOK_SECONDS = 10.0

# How long a stopping gateway lets its loops finish what they are working on.
STOP_SECONDS = 30.0


# The partners as this process last could read them: a file that is being written stops nobody.
_known: dict[Path, Partners] = {}


def _partners(settings: Settings) -> Partners:
    """Return the partners; those of the last good file where it cannot be read now, which is said."""
    try:
        _known[settings.partners] = load_partners(settings.partners)
    except GatewayError as error:
        if settings.partners not in _known:
            raise
        logger().error("partners' file cannot be used, the last good one stays", error=str(error))
    return _known[settings.partners]


def queue_names(settings: Settings) -> list[str]:
    """Return every queue that this deployment uses: one in and one out for each partner, the engine's, and results."""
    partners = load_partners(settings.partners)
    names = {inbound_queue(name) for name in partners} | {each.answer_queue for each in partners.values()}
    return sorted({*names, *load_routes().values(), RESULTS})


def engine_users(settings: Settings) -> set[str]:
    """Return the broker's users that may send results: the engine's, and our own, as which a reference engine runs."""
    return {settings.engine_user, *(user or "guest" for user in users_of(settings.broker_url))}


def serve(settings: Settings, workers: int, engine: str | None) -> None:
    """Run the gateway until SIGTERM or SIGINT; raises GatewayError when it cannot start.

    `engine` is the loop of a reference engine to run as well: "engine" for all requests, "tests" for test messages'.
    """
    plans.prepare(settings.specs)
    not_ours(load_partners(settings.partners).values(), engine_users(settings))
    with hold(settings):
        _serve(settings, workers, engine)


def _serve(settings: Settings, workers: int, engine: str | None) -> None:
    """Run the loops until told to stop."""
    database, broker_url = _open_store(settings), _declare(settings)
    names = ["receive", *(f"work-{n}" for n in range(1, workers + 1)), "retry", "dispatch"]
    names += [*([engine] if engine else []), *(["health"] if settings.health else [])]
    context = multiprocessing.get_context("spawn")
    multiprocessing.resource_tracker.ensure_running()  # it lets Ctrl-C through again once it is started
    running: dict[str, BaseProcess] = {}
    at: dict[str, Any] = {
        name: context.RawValue("q", 0) for name in names
    }  # the message that each is at, to know what killed it
    born: dict[str, float] = {}
    with stop_signals() as stopping:
        logger().info("serving", count=len(names), loop=" ".join(names), database=database, broker=broker_url)
        while not stopping():
            for name in names:
                process = running.get(name)
                if process is None or not process.is_alive():
                    if process is not None:
                        logger().error("loop died, restarting", loop=name, exit=process.exitcode)
                        _disown(settings, process, at[name].value)
                        if time.monotonic() - born[name] < QUICK_SECONDS:
                            time.sleep(PAUSE_SECONDS)
                    at[name].value, born[name] = 0, time.monotonic()
                    given = (name, settings, os.getpid(), at[name], _partners(settings))
                    running[name] = context.Process(target=run, args=given, name=name)
                    # Ctrl-C goes to every process of a terminal, also to one that is still loading its modules.
                    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
                    running[name].start()
                    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            time.sleep(IDLE_SECONDS)
        logger().info("stopping")
        for process in running.values():
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in running.values():
            process.join(max(0.1, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
    logger().info("stopped")


def _open_store(settings: Settings) -> str:
    """Make the journal where there is none, free what the dead held, and return its URL without secrets."""
    journal = Journal.open(settings.database_url)
    try:
        if not journal.exists():
            journal.migrate()
        if fault := journal.unfit():
            raise JournalUnavailable(fault)
        _disown_dead(journal)
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


def run(name: str, settings: Settings, parent: int, at: Any = None, partners: Partners | None = None) -> None:
    """Run one loop until told to stop, or until the process that started it is gone.

    `at.value` is kept at the sequence of the message that a worker is at; `partners` are those of a file that can no
    longer be read.
    """
    configure(settings.log)
    if partners:
        _known[settings.partners] = partners
    kind = name.partition("-")[0]
    loop = partial(LOOPS[kind], at=at) if kind in WORKING else LOOPS[kind]
    with stop_signals() as told:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # blocked while this process was started

        def stopping() -> bool:
            return told() or os.getppid() != parent

        while not stopping():
            try:
                loop(settings, stopping)
            except GatewayError as error:
                _waits(name, error)
                time.sleep(PAUSE_SECONDS)
            except Exception as error:  # without the library's traceback, which could repeat what was sent to us
                logger().critical("loop fails", loop=name, error=service.reason(error))
                raise SystemExit(1) from None


def _waits(name: str, error: GatewayError) -> None:
    """Say that a loop waits for what it needs."""
    logger().error("waiting", loop=name, error=str(error))


def _receive(settings: Settings, stopping: Callable[[], bool]) -> None:
    partners = _partners(settings)
    with ExitStack() as open_things:
        journal = open_things.enter_context(_journal(settings))
        # What is taken and cannot be kept goes back, and the broker counts that against it (DECISIONS D82).
        journal.probe()
        broker = open_things.enter_context(open_broker(settings.broker_url))
        names = [*(inbound_queue(name) for name in partners), RESULTS]
        if absent := broker.missing(names):
            logger().error("no such queue, run `gateway doctor --declare`", queue=", ".join(absent))
        there = [name for name in names if name not in absent]
        intake = open_things.enter_context(broker.consume(there or names, prefetch=service.BATCH))
        if intake.silent:
            logger().error("queues do not answer, they may have no leader", queue=", ".join(intake.silent))
        _rest_of_garbage()
        looked = time.monotonic()
        while not stopping():
            if absent and time.monotonic() - looked > LOOK_SECONDS:
                if len(broker.missing(absent)) < len(absent):
                    return  # to be begun again, with that queue
                looked = time.monotonic()
            try:
                service.receive(intake, journal, partners, wait=0.5, engines=engine_users(settings))
            except JournalUnavailable as error:
                _waits("receive", error)
                intake.idle(PAUSE_SECONDS)


def _work(settings: Settings, stopping: Callable[[], bool], *, at: Any = None) -> None:
    loaded = plans.prepare(settings.specs)
    unwarmed = plans.warm(loaded)
    with _journal(settings) as journal:
        _disown_dead(journal)  # the supervisor could not, if the journal was away as well
        step = _step(settings, journal, loaded, "fresh", at)
        while not stopping():
            # The first EDIFACT message would wait for its patterns; with nothing to do they are made beforehand.
            if not step() and not next(unwarmed, False):
                time.sleep(IDLE_SECONDS)


def _retry(settings: Settings, stopping: Callable[[], bool], *, at: Any = None) -> None:
    """Work on what was tried before, and on all of a sender whose message killed its worker: nobody else waits for it.

    Nothing is loaded before there is any.
    """
    with _journal(settings) as journal:
        _disown_dead(journal)
        while not stopping() and not journal.suspects(service.now()):
            time.sleep(RETRY_SECONDS)
        step = _step(settings, journal, plans.prepare(settings.specs), "tried", at)
        while not stopping():
            if not step():
                time.sleep(RETRY_SECONDS)


def _step(settings: Settings, journal: Journal, loaded: Plans, role: Role, at: Any) -> Callable[[], int]:
    """Prepare this process for work and return what does some of it; see `service.work`.

    An outage of the journal is no message's attempt: what is held then is let go untried once the journal is back.
    """
    partners = _partners(settings)
    worker = f"{_worker(os.getpid())}{uuid.uuid4().hex[:8]}"
    resource.setrlimit(resource.RLIMIT_AS, (limits.WORKER_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))

    def alarm(seconds: float, sequence: int) -> None:
        # Nobody handles the signals of these timers, so the kernel ends the process, even one that hangs in a C library
        # (DECISIONS D17).
        if at is not None:
            at.value = sequence
        signal.setitimer(signal.ITIMER_REAL, limits.by_the_clock(seconds))
        signal.setitimer(signal.ITIMER_PROF, seconds)

    interrupted = False

    def step() -> int:
        nonlocal interrupted
        try:
            if interrupted:
                journal.let_go(worker)
                interrupted = False
            return service.work(journal, loaded, partners, worker, alarm, engines, role)
        except JournalUnavailable as error:
            interrupted = True
            _waits("retry" if role == "tried" else "work", error)
            time.sleep(PAUSE_SECONDS)
            return 0

    engines = engine_users(settings)
    _rest_of_garbage()
    return step


def _rest_of_garbage() -> None:
    """Look for garbage seldom: what a message leaves is freed without it.

    The specification and the libraries are made of many lasting objects; to look through them again and again was a
    sixth of a worker's processor time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _worker(pid: int | None) -> str:
    """Return how the names of a process's claims begin."""
    return f"{socket.gethostname()}:{pid}:"


def _disown_dead(journal: Journal) -> None:
    """Let this gateway take at once what one that was killed on this machine held."""
    for worker in journal.workers():
        host, _, rest = worker.partition(":")
        pid = rest.partition(":")[0]
        if host == socket.gethostname() and pid.isdecimal() and not _lives(int(pid)):
            journal.disown(_worker(int(pid)), service.now())


def _lives(pid: int) -> bool:
    """Tell whether there is a process with this id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _disown(settings: Settings, process: BaseProcess, suspect: int = 0) -> None:
    """Let others take at once what a dead worker held; `suspect` is the message that it was at."""
    if process.name.startswith(("work", "retry")):
        with suppress(JournalUnavailable), _journal(settings) as journal:
            journal.disown(_worker(process.pid), service.now(), suspect)


def _dispatch(settings: Settings, stopping: Callable[[], bool]) -> None:
    _rest_of_garbage()
    with _journal(settings) as journal, open_broker(settings.broker_url) as broker:
        while not stopping():
            if not service.dispatch(broker, journal):
                time.sleep(IDLE_SECONDS)


def _engine(settings: Settings, stopping: Callable[[], bool]) -> None:
    with open_broker(settings.broker_url) as broker:
        engine_loop.run(broker, stopping, set(load_routes().values()))


def _test_engine(settings: Settings, stopping: Callable[[], bool]) -> None:
    with open_broker(settings.broker_url) as broker:
        engine_loop.run(broker, stopping, for_tests(load_routes()))


def _health(settings: Settings, stopping: Callable[[], bool]) -> None:
    with _journal(settings) as journal:
        health.run(settings, journal, _partners(settings), stopping)


WORKING = {"work": _work, "retry": _retry}
LOOPS: dict[str, Callable[..., None]] = WORKING | {
    "receive": _receive,
    "dispatch": _dispatch,
    "engine": _engine,
    "tests": _test_engine,
    "health": _health,
}


@contextmanager
def _journal(settings: Settings) -> Iterator[Journal]:
    """Open the journal for a block; raises JournalUnavailable also where its schema is another version's."""
    journal = Journal.open(settings.database_url)
    try:
        journal.check_schema()
        yield journal
    finally:
        journal.close()


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Turn SIGTERM and SIGINT into a question that a loop asks between two steps.

    An exception, Python's own way, is lost where it comes inside a library's callback; and a program that a script
    started in the background inherits a SIGINT that is ignored (DECISIONS D24).
    """
    asked: list[int] = []
    former = {
        number: signal.signal(number, lambda received, _frame: asked.append(received))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
