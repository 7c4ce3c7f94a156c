"""The loops of `gateway serve`, each a service's step in a process of its own (DECISIONS D6)."""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from core import limits
from core.errors import BrokerBlocked, GatewayError, JournalUnavailable
from core.partner import Partner
from core.urls import users_of
from gateway import health, plans, service
from gateway.bells import DISPATCH, NO_BELLS, STOPPING, WORK, Bell, Bells, Ring, ring, silent, stop_signals, wait
from gateway.engine import loop as engine_loop
from gateway.files import forked
from gateway.journal import Journal, WorkerRole
from gateway.logs import configure, drain, logger, reason
from gateway.plans import Plans
from gateway.queues import Broker, open_broker
from gateway.senders import Partners
from gateway.settings import EXAMPLE, PARTNERS, Settings
from gateway.vitals import NOBODY, Vital, Vitals
from routing.partners import inbound_queue, load_partners, not_ours
from routing.queues import queues_of
from routing.routes import RESULTS, for_tests, load_routes

# How long a loop that found nothing to do waits for its bell; how often it looks all the same. Answers of one machine
# are sent by another's dispatcher, which nobody here can ring for.
IDLE_SECONDS, IDLE_DISPATCH_SECONDS = 1.0, 0.25

# How long a loop waits for a broker or database that is gone.
PAUSE_SECONDS = 1.0

# How often the loop for what was tried before looks for it: seldom there is any.
RETRY_SECONDS = 0.5

# How often a receiver looks for queues that were missing.
LOOK_SECONDS = 10.0

# One of several gateways dispatches (DECISIONS D106): how long its lease lasts, above all that one step may wait
# for; how often it is prolonged; and how often another asks for it.
LEASE_SECONDS, PROLONG_SECONDS, ASK_SECONDS = 30.0, 5.0, 0.5
DISPATCHING = "dispatch"

# The partners as this process last could read them: a file that is being written stops nobody.
_known: dict[Path, Partners] = {}


class Given(NamedTuple):
    """What a loop is given by the process that started it.

    `vitals` are the signs of life of all of this gateway's processes, `vital` the loop's own; `partners` those of a
    file that can no longer be read; `bells` wake loops of this gateway; `plans` are compiled there, so never here.
    """

    vitals: Vitals = NOBODY
    partners: Partners | None = None
    bells: Bells = NO_BELLS
    plans: Plans | None = None
    vital: Vital | None = None


ALONE = Given()


def made_up(partners: Iterable[Partner]) -> list[str]:
    """Return the ids of the partners, still active, that are in our samples or the file of `gateway init`."""
    samples = {each.name for file in (PARTNERS, EXAMPLE) for each in load_partners(file).values()}
    return [each.id for each in partners if each.active and each.name in samples]


def fit_partners(settings: Settings) -> Partners:
    """Return the partners; raises GatewayError where they cannot be read, or must not be let into this deployment.

    That is who logs in as one of our own users, and, with amqps or PostgreSQL, who is in our samples.
    """
    partners = load_partners(settings.partners)
    not_ours(partners.values(), engine_users(settings))
    real = settings.broker_url.startswith("amqps:") or settings.database_url.startswith("postgresql")
    if real and (samples := made_up(partners.values())):
        raise GatewayError(
            f"{settings.partners} has the sample partners {', '.join(samples)}: with amqps or PostgreSQL write a file"
            " of your own (`gateway partner add`, docs/partners.md) and name it in GATEWAY_PARTNERS"
        )
    return partners


def known_partners(settings: Settings) -> Partners:
    """Return the partners; those of the last good file where it cannot be read now, which is said."""
    try:
        _known[settings.partners] = fit_partners(settings)
    except GatewayError as error:
        if settings.partners not in _known:
            raise
        logger().error("partners' file cannot be used, the last good one stays", error=str(error))
    return _known[settings.partners]


def queue_names(settings: Settings) -> list[str]:
    """Return every queue that this deployment uses; raises GatewayError when its partners cannot be read."""
    return queues_of(load_partners(settings.partners))


def engine_users(settings: Settings) -> set[str]:
    """Return the broker's users that may send results: the engine's, and our own, as which a reference engine runs."""
    return {settings.engine_user, *(user or "guest" for user in users_of(settings.broker_url))}


def run(name: str, settings: Settings, parent: int, given: Given = ALONE) -> None:
    """Run one loop until told to stop, or until the process that started it is gone.

    Signals may be blocked until this process handles them.
    """
    vital = given.vitals.get(name) or Vital()
    forked()
    configure(settings.log, waiting=False, lost=vital.lose)
    if given.partners:
        _known[settings.partners] = given.partners
    if given.plans:
        given.plans.reading.matchers.walk_on()
    loop = partial(LOOPS[name.partition("-")[0]], given=given._replace(vital=vital))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it is the supervisor's
    with stop_signals() as told:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)

        def stopping() -> bool:
            vital.live()
            return told() or os.getppid() != parent

        try:
            while not stopping():
                _turn(name, loop, settings, stopping)
        finally:
            drain()


def _turn(name: str, loop: Callable[..., None], settings: Settings, stopping: Callable[[], bool]) -> None:
    """Run a loop until it is told to stop, or has to wait for what it needs."""
    try:
        loop(settings, stopping)
    except GatewayError as error:
        _waits(name, error)
        wait(PAUSE_SECONDS)
    except Exception as error:  # without the library's traceback, which could repeat what was sent to us
        logger().critical("loop fails", loop=name, error=reason(error))
        raise SystemExit(1) from None


def _waits(name: str, error: GatewayError) -> None:
    """Say that a loop waits for what it needs."""
    logger().error("waiting", loop=name, error=str(error))


def _receive(settings: Settings, stopping: Callable[[], bool], given: Given = ALONE) -> None:
    partners = known_partners(settings)
    with ExitStack() as open_things:
        journal = open_things.enter_context(open_checked(settings, partial(ring, given.bells)))
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
        rest_of_garbage()
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


def _work(settings: Settings, stopping: Callable[[], bool], given: Given = ALONE) -> None:
    loaded = given.plans or plans.prepare(settings.specs)
    unwarmed = iter(()) if given.plans else plans.warm(loaded)
    with open_checked(settings, partial(ring, given.bells)) as journal:
        disown_dead(journal)  # the supervisor could not, if the journal was away as well
        step = _step(settings, journal, loaded, "fresh", given.vital)
        while not stopping():
            # The first EDIFACT message would wait for its patterns; with nothing to do they are made beforehand.
            if not step() and not next(unwarmed, False):
                wait(IDLE_SECONDS, given.bells.get(WORK))


def _retry(settings: Settings, stopping: Callable[[], bool], given: Given = ALONE) -> None:
    """Work on what was tried before, and on all of a sender whose message killed its worker: nobody else waits for it.

    What it was not given it does not load before there is any.
    """
    with open_checked(settings, partial(ring, given.bells)) as journal:
        disown_dead(journal)
        while not stopping() and not journal.suspects(service.now()):
            wait(RETRY_SECONDS)
        step = _step(settings, journal, given.plans or plans.prepare(settings.specs), "tried", given.vital)
        while not stopping():
            if step():
                ring(given.bells, WORK)  # what stood behind
            else:
                wait(RETRY_SECONDS)


def _step(
    settings: Settings, journal: Journal, loaded: Plans, role: WorkerRole, vital: Vital | None
) -> Callable[[], int]:
    """Prepare this process for work and return what does some of it; see `service.work`.

    An outage of the journal is no message's attempt: what is held then is let go untried once the journal is back.
    """
    partners = known_partners(settings)
    worker = f"{worker_of(os.getpid())}{uuid.uuid4().hex[:8]}"
    resource.setrlimit(resource.RLIMIT_AS, (limits.WORKER_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))

    def alarm(seconds: float, sequence: int) -> None:
        if vital is not None:
            vital.at = sequence
        limit_time(seconds)

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
            wait(PAUSE_SECONDS)
            return 1  # it has waited: what has come meanwhile waits no longer

    engines = engine_users(settings)
    rest_of_garbage()
    return step


def limit_time(seconds: float) -> None:
    """End this process after so many seconds of processor time, and some more by the clock; 0 lets it live on.

    Nobody handles the signals of these timers, so the kernel ends it, even if it hangs in a C library (DECISIONS D17).
    """
    signal.setitimer(signal.ITIMER_REAL, limits.by_the_clock(seconds))
    signal.setitimer(signal.ITIMER_PROF, seconds)


def rest_of_garbage() -> None:
    """Look for garbage seldom: what a message leaves is freed without it.

    The specification and the libraries are made of many lasting objects; to look through them again and again was a
    sixth of a worker's processor time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def worker_of(pid: int | None) -> str:
    """Return how the names of a process's claims begin."""
    return f"{_host()}:{pid}:"


def _host() -> str:
    """Return what tells this machine's processes from others': in containers of one name numbers mean other ones."""
    try:
        return f"{socket.gethostname()}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:  # no Linux
        return socket.gethostname()


def disown_dead(journal: Journal) -> None:
    """Let this gateway take at once what one that was killed on this machine held."""
    for worker in journal.workers():
        if (pid := _died(worker)) is not None:
            journal.disown(worker_of(pid), service.now())


def _died(worker: str) -> int | None:
    """Return the id of a process of this machine that is no more, by a name that begins as `_worker` says."""
    host, _, rest = worker.partition(":")
    pid = rest.partition(":")[0]
    return int(pid) if host == _host() and pid.isdecimal() and not _lives(int(pid)) else None


def _lives(pid: int) -> bool:
    """Tell whether there is a process with this id."""
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return True


def _dispatch(settings: Settings, stopping: Callable[[], bool], given: Given = ALONE) -> None:
    """Send what is due, as long as no other gateway on this journal does."""
    rest_of_garbage()
    holder = _dispatcher(os.getpid(), threading.get_ident())
    with open_checked(settings) as journal, open_broker(settings.broker_url) as broker:
        try:
            _lead(broker, journal, holder, stopping, given.bells.get(DISPATCH))
        finally:  # another may be able to reach what this one cannot
            with suppress(GatewayError):
                journal.end_lease(DISPATCHING, holder)


@cache
def _dispatcher(pid: int, _thread: int) -> str:
    """Return this dispatcher's name, the same while it lives: a lease that an outage kept from its end is still its."""
    return f"{worker_of(pid)}{uuid.uuid4().hex[:8]}"


def _lead(broker: Broker, journal: Journal, holder: str, stopping: Callable[[], bool], bell: Bell | None) -> None:
    """Send what is due while the lease is this dispatcher's, and ask for it while it is another's."""
    again = 0.0
    while not stopping():
        try:
            if time.monotonic() >= again:
                if not _leads(journal, holder):
                    wait(ASK_SECONDS)
                    continue
                again = time.monotonic() + PROLONG_SECONDS
            sent = service.dispatch(broker, journal)
        except (BrokerBlocked, JournalUnavailable) as error:  # nobody else could send either, and we hear of its end
            _waits("dispatch", error)
            again = 0.0
            wait(PAUSE_SECONDS)
            continue
        if not sent:
            wait(IDLE_DISPATCH_SECONDS, bell)


def _leads(journal: Journal, holder: str) -> bool:
    """Take or prolong the dispatcher's lease; one that was killed on this machine needs it no more."""
    journal.probe()  # reading may do where writing does not: what is not marked as sent would go out with every try
    if journal.take_lease(DISPATCHING, holder, LEASE_SECONDS):
        return True
    former = journal.lease_holder(DISPATCHING)
    if former is None or _died(former) is None:
        return False
    journal.end_lease(DISPATCHING, former)
    return journal.take_lease(DISPATCHING, holder, LEASE_SECONDS)


def _engine(settings: Settings, stopping: Callable[[], bool], given: Given = ALONE, *, tests: bool = False) -> None:
    del given
    routes = load_routes()
    with open_broker(settings.broker_url) as broker:
        engine_loop.run(broker, stopping, for_tests(routes) if tests else set(routes.values()))


def _health(settings: Settings, stopping: Callable[[], bool], given: Given = ALONE) -> None:
    """Answer whatever else works: neither journal nor broker need be there."""
    journal = Journal.open(settings.database_url)
    try:
        health.run(settings, journal, known_partners(settings), stopping, given.vitals)
    finally:
        journal.close()


LOOPS: dict[str, Callable[..., None]] = {
    "receive": _receive,
    "work": _work,
    "retry": _retry,
    "dispatch": _dispatch,
    "engine": _engine,
    "tests": partial(_engine, tests=True),
    "health": _health,
}


@contextmanager
def open_checked(settings: Settings, ring: Ring = silent) -> Iterator[Journal]:
    """Open the journal for a block; raises JournalUnavailable also where its schema is another version's."""
    journal = Journal.open(settings.database_url, ring)
    try:
        journal.check_schema()
        yield journal
    finally:
        journal.close()
