"""A journal or broker that is away for a while costs no message anything: none is dead, none parked, none lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy

from core import limits
from core.errors import BrokerUnavailable, GatewayError, JournalUnavailable
from gateway import loops, plans, service
from gateway.engine import loop as engine_loop
from gateway.journal import Chosen, Journal
from gateway.queues import DELIVERY_LIMIT, Broker, Letter, open_broker
from gateway.settings import Settings
from tests.support.cli import renamed_samples
from tests.support.house import House, settings_in
from tests.support.queues import receive
from tests.support.sending import ORIGINAL, edifact, messages, number
from tests.support.way import PLANS


def until(true: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


@contextmanager
def looping(settings: Settings, name: str, tries: list[str]) -> Iterator[None]:
    """Run a loop of the supervisor in a thread, again after each failure as `loops.run` does."""
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            try:
                loops.LOOPS[name](settings, over.is_set)
            except GatewayError as error:
                tries.append(str(error))
                time.sleep(loops.PAUSE_SECONDS)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(20)


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count how often a loop has waited; it waits a short time only."""
    said: list[str] = []
    monkeypatch.setattr(loops, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(loops, "_waits", lambda name, error: said.append(str(error)))
    return said


@pytest.fixture(params=["sqlite", pytest.param("rabbitmq", marks=pytest.mark.broker)])
def settings(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Give a gateway whose queues are of either kind, and whose journal has its tables."""
    url, user = f"sqlite:///{tmp_path}/queue.db", ""
    if request.param == "rabbitmq":
        url = request.getfixturevalue("rabbitmq_url")
        user = urlsplit(url).username or ""
        monkeypatch.setattr(loops, "not_ours", lambda *_: None)  # here one user sends and receives
    given = settings_in(tmp_path, broker_url=url, partners=renamed_samples(tmp_path, user))  # type: ignore[arg-type]
    journal = Journal.open(given.database_url)
    journal.migrate()
    journal.close()
    with open_broker(url) as broker:
        broker.declare(loops.queue_names(given))
    return given


def received(settings: Settings) -> int:
    journal = Journal.open(settings.database_url)
    try:
        return len(journal.list_messages(channel="partner", limit=500))
    finally:
        journal.close()


def send(broker: Broker, count: int) -> None:
    letters = [Letter(f"m{n}", "in.maple", "", edifact(f"REF{n}", number(n))) for n in range(count)]
    assert len(broker.publish(letters).confirmed) == count


def away(*_: object, **__: object) -> None:
    raise JournalUnavailable("the database is away")


def outage(monkeypatch: pytest.MonkeyPatch, *steps: str) -> None:
    """Let steps of every journal fail as they do when the database is away; `undo` ends it."""

    for step in steps:
        monkeypatch.setattr(Journal, step, away)


@pytest.mark.parametrize("steps", [("head", "receive", "probe"), ("receive",)], ids=["away", "cannot be written"])
def test_a_long_outage_of_the_journal_makes_no_dead_letters(
    settings: Settings, tries: list[str], steps: tuple[str, ...]
) -> None:
    """Twice as many tries as the broker delivers a message, whether the journal is away or only looks well."""
    with open_broker(settings.broker_url) as broker, pytest.MonkeyPatch.context() as patch:
        outage(patch, *steps)
        with looping(settings, "receive", tries):
            send(broker, 5)
            until(lambda: len(tries) > 2 * DELIVERY_LIMIT)
            assert received(settings) == 0
            patch.undo()
            until(lambda: received(settings) == 5)
        assert broker.depth("dead") == 0
        assert broker.depth("in.maple") == 0


def test_a_restart_of_the_receiver_takes_nothing_before_the_journal_answers(
    settings: Settings, tries: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    consumed: list[object] = []
    with open_broker(settings.broker_url) as broker:
        real = type(broker).consume
        monkeypatch.setattr(type(broker), "consume", lambda *a, **k: (consumed.append(a), real(*a, **k))[1])
        Path(urlsplit(settings.database_url).path).rename(Path(f"{urlsplit(settings.database_url).path}.away"))
        send(broker, 1)
        with looping(settings, "receive", tries):
            until(lambda: len(tries) > 3)
        assert not consumed
        assert broker.depth("in.maple") == 1


def test_messages_held_beyond_their_lease_are_not_delivered_again(tmp_path: Path) -> None:
    with open_broker(f"sqlite:///{tmp_path}/queue.db?lease=0.05") as broker:
        broker.declare(["in.maple"])
        broker.publish([Letter("one", "in.maple", "", b"1")])
        with broker.consume(["in.maple"]) as intake:
            held = receive(intake, 1)
            for _ in range(2 * DELIVERY_LIMIT):
                intake.idle(0.002)
                time.sleep(0.01)
            assert intake.receive(0.2) == []
            intake.ack(held)
        assert broker.depth("in.maple") == broker.depth("dead") == 0


def test_what_is_kept_comes_first_and_in_order(settings: Settings) -> None:
    with open_broker(settings.broker_url) as broker:
        send(broker, 3)
        with broker.consume(["in.maple"]) as intake:
            intake.keep(receive(intake, 3))
            intake.idle(0.05)
            again = intake.receive(0.1)
            assert [one.message_id for one in again] == ["m0", "m1", "m2"]
            assert not any(one.redelivered for one in again)
            intake.ack(again)
        assert broker.depth("in.maple") == 0


def test_one_message_that_cannot_be_recorded_takes_no_other_with_it(
    settings: Settings, tries: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Journal.receive

    def some(journal: Journal, arrivals: Any) -> Any:
        if any(b"REF2" in arrival.body for arrival in arrivals):
            raise ValueError("cannot be encoded")
        return real(journal, arrivals)

    monkeypatch.setattr(Journal, "receive", some)
    monkeypatch.setattr(service, "AGAIN_SECONDS", 0.001)
    with open_broker(settings.broker_url) as broker:
        send(broker, 5)
        with looping(settings, "receive", tries):
            until(lambda: received(settings) == 4 and broker.depth("dead") == 1)


@pytest.mark.broker
def test_a_right_that_was_taken_away_is_the_databases_fault(postgres_url: str) -> None:
    owner = Journal.open(postgres_url)
    owner.migrate()
    role = f"nobody_{time.monotonic_ns()}"
    url = sqlalchemy.make_url(postgres_url)
    admin = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN PASSWORD '{role}'")
        connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA public TO {role}")
    asked = Journal.open(url.set(username=role, password=role).render_as_string(hide_password=False))
    try:
        with pytest.raises(JournalUnavailable, match="permission denied"):
            asked.probe()
    finally:
        asked.close()
        owner.close()
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {role}")
            connection.exec_driver_sql(f"DROP ROLE {role}")
        admin.dispose()


@pytest.mark.broker
@pytest.mark.parametrize("table", ["inbox", "work", "outbox", "due", "sent", "audit"])
def test_a_locked_table_is_noticed_before_anything_is_taken(postgres_url: str, table: str) -> None:
    journal = Journal.open(postgres_url)
    journal.migrate()
    sqlalchemy.event.listen(journal._engine, "begin", lambda one: one.exec_driver_sql("SET LOCAL lock_timeout = 50"))
    journal.probe()
    somebody = sqlalchemy.create_engine(postgres_url)
    with somebody.begin() as connection:
        connection.exec_driver_sql(f"LOCK TABLE {table} IN SHARE MODE")
        with pytest.raises(JournalUnavailable, match="lock timeout"):
            journal.probe()
    journal.probe()
    journal.close()
    somebody.dispose()


def test_what_cannot_be_marked_as_sent_does_not_go_out_over_and_over(settings: Settings, tries: list[str]) -> None:
    """A disk that is full, or a table that somebody holds: what is due can be read, and was sent with every try."""
    with open_broker(settings.broker_url) as broker, looping(settings, "receive", tries):
        send(broker, 1)
        until(lambda: received(settings) == 1)
        with pytest.MonkeyPatch.context() as patch:
            outage(patch, "mark_sent")
            with looping(settings, "dispatch", tries):
                until(lambda: tries)
                outage(patch, "probe")
                until(lambda: len(tries) > 10)
                sent = broker.depth("out.maple")
                until(lambda: len(tries) > 20)
                assert broker.depth("out.maple") == sent
                patch.undo()
                until(lambda: _sent(settings) == 1)


def _sent(settings: Settings) -> int:
    journal = Journal.open(settings.database_url)
    try:
        return len(journal.sent_answers(Chosen()))
    finally:
        journal.close()


# ------------------------------------------------------------------------------------------------ work


def in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a worker be no process of its own: no limit and no alarm of the test's."""
    monkeypatch.setattr(plans, "prepare", lambda _: PLANS)
    monkeypatch.setattr(loops.resource, "setrlimit", lambda *_: None)
    monkeypatch.setattr(loops.signal, "setitimer", lambda *_: None)


@pytest.mark.parametrize(("loop", "tried"), [("work", 0), ("retry", 1)])
@pytest.mark.parametrize("step", ["facts_of", "finish", "claim"])
def test_an_outage_while_working_costs_no_attempt_and_leaves_nothing_to_its_lease(
    gateway: House, tmp_path: Path, tries: list[str], monkeypatch: pytest.MonkeyPatch, step: str, loop: str, tried: int
) -> None:
    """More outages than a message has attempts; afterwards all is judged at once, far within the lease."""
    gateway.send("maple", ORIGINAL)
    gateway.receive()
    if tried:  # what was given back after a failure is the other loop's
        gateway.journal.give_back(gateway.journal.claim("w", 10, 60, service.now()).work, service.now())
    in_a_thread(monkeypatch)
    real = getattr(Journal, step)

    def unheard(journal: Journal, *more: Any, **named: Any) -> None:
        if step == "claim":
            real(journal, *more, **named)  # written, but the answer never came
        away()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, step, unheard)
        with looping(settings_in(tmp_path), loop, tries):
            until(lambda: len(tries) > 3 * limits.ATTEMPTS)
            patch.undo()
            before = time.monotonic()
            until(lambda: messages(gateway)[0]["verdict"] == "accepted")
            assert time.monotonic() - before < 5
    life = gateway.journal.show(messages(gateway)[0]["id"])
    assert life is not None
    assert (life["state"], life["attempts"]) == ("done", 1 + tried)


def test_a_worker_frees_what_the_dead_of_its_machine_held(
    gateway: House, tmp_path: Path, tries: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor could not, if the journal was away when the worker died; whoever killed it, all count as tried."""
    gateway.send("maple", ORIGINAL)
    gateway.receive()
    in_a_thread(monkeypatch)
    monkeypatch.setattr(loops, "_lives", lambda pid: pid != 999_999_999)
    assert gateway.journal.claim(f"{loops.worker_of(999_999_999)}x", 10, 60, service.now()).work
    settings = settings_in(tmp_path)
    with looping(settings, "work", tries), looping(settings, "retry", tries):
        until(lambda: messages(gateway)[0]["verdict"] == "accepted", 5)


# ------------------------------------------------------------------------------------------------ the engine


@pytest.mark.slow
def test_a_broker_that_takes_no_results_costs_no_request_a_delivery(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alarm stops all publishing, not reading: the requests stay with the engine until it is over."""
    monkeypatch.setattr(engine_loop, "AGAIN_SECONDS", 0.001)
    monkeypatch.setattr(engine_loop, "read_request", lambda body: body)
    monkeypatch.setattr(engine_loop, "assess", lambda *_: SimpleNamespace(result="approved", delay=0.0))
    monkeypatch.setattr(engine_loop, "write_result", lambda _: b"{}")
    refusals: list[int] = []
    real = Broker.publish

    def refuse(broker: Broker, batch: Any) -> Any:
        if len(refusals) > DELIVERY_LIMIT:
            return real(broker, batch)
        refusals.append(1)
        raise BrokerUnavailable("blocked")

    with open_broker(settings.broker_url) as broker, open_broker(settings.broker_url) as engine:
        broker.publish([Letter("r1", "assessment.requests", "application/json", b"{}")])
        monkeypatch.setattr(Broker, "publish", refuse)
        over = threading.Event()
        thread = threading.Thread(
            target=engine_loop.run, args=(engine, over.is_set, ["assessment.requests"]), daemon=True
        )
        thread.start()
        until(lambda: broker.depth("assessment.results") == 1)
        over.set()
        thread.join(10)
        assert broker.depth("dead") == broker.depth("assessment.requests") == 0
