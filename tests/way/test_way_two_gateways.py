"""Two gateways on one store: one of them dispatches, and the other takes over when it is gone."""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.errors import BrokerUnavailable
from gateway import loops, service
from gateway.journal import Journal, chores
from gateway.queues import Letter, open_broker
from gateway.settings import Settings
from tests.support.sending import edifact, number
from tests.way.test_way_outage import looping, outage, received, send, settings, tries, until

__all__ = ["settings", "tries"]

MANY = 240


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.broker)])
def shared(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """Give the settings that both gateways have, with a journal of either kind."""
    if request.param == "postgresql":
        settings = replace(settings, database_url=request.getfixturevalue("postgres_url"))
        journal = Journal.open(settings.database_url)
        journal.migrate()
        journal.close()
    return settings


def test_two_gateways_send_hardly_anything_twice(shared: Settings, tries: list[str]) -> None:
    """It was 401 for 240."""
    seen: Counter[str | None] = Counter()
    with open_broker(shared.broker_url) as broker, ExitStack() as running:
        for name in ("receive", "dispatch", "dispatch"):
            running.enter_context(looping(shared, name, tries))
        send(broker, MANY)
        until(lambda: received(shared) == MANY)
        with broker.consume(["out.maple"], prefetch=500) as intake:
            end = time.monotonic() + 60
            while len(seen) < MANY and time.monotonic() < end:
                got = intake.receive(0.2)
                intake.ack(got)
                seen.update(one.message_id for one in got)
            for _ in range(3):  # a repeat would come now
                got = intake.receive(0.3)
                intake.ack(got)
                seen.update(one.message_id for one in got)
    repeats = seen.total() - len(seen)
    print(f"{len(seen)} answers, {repeats} repeats")
    assert len(seen) == MANY
    assert repeats < MANY / 100


def test_the_other_takes_over_when_one_leaves(shared: Settings, tries: list[str]) -> None:
    journal = Journal.open(shared.database_url)
    with open_broker(shared.broker_url) as broker, looping(shared, "receive", tries):
        with looping(shared, "dispatch", tries):
            send(broker, 1)
            until(lambda: broker.depth("out.maple") == 1)
        assert journal.lease_holder(loops.DISPATCHING) is None
        with looping(shared, "dispatch", tries):
            until(lambda: journal.lease_holder(loops.DISPATCHING))
    journal.close()


def test_a_lease_is_one_holders_until_it_ends_or_is_given_back(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert journal.take_lease("it", "a", 30)
    assert journal.take_lease("it", "a", 30)
    assert not journal.take_lease("it", "b", 30)
    assert journal.take_lease("another", "b", 30)
    journal.end_lease("it", "b")
    assert not journal.take_lease("it", "b", 30)
    journal.end_lease("it", "a")
    assert journal.take_lease("it", "b", 30)
    real = chores.clock
    monkeypatch.setattr(chores, "clock", lambda one: real(one) + timedelta(seconds=31))
    assert journal.take_lease("it", "a", 30)
    monkeypatch.setattr(chores, "clock", lambda one: real(one) + timedelta(days=1))
    assert journal.take_lease("it", "a", 30)
    monkeypatch.setattr(chores, "clock", real)
    assert journal.take_lease("it", "b", 30), "the clock was set back, and who held it may be gone"
    assert not journal.take_lease("it", "a", 30)


def test_who_was_killed_on_this_machine_leads_no_more(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = f"{loops.worker_of(999_999_999)}x"
    monkeypatch.setattr(loops, "_lives", lambda pid: pid != 999_999_999)
    assert journal.take_lease(loops.DISPATCHING, dead, 30)
    assert loops._leads(journal, f"{loops.worker_of(os.getpid())}y")
    assert not loops._leads(journal, f"{loops.worker_of(os.getpid())}z")
    journal.end_lease(loops.DISPATCHING, f"{loops.worker_of(os.getpid())}y")
    assert journal.take_lease(loops.DISPATCHING, "elsewhere:999999999:x", 30)
    assert not loops._leads(journal, f"{loops.worker_of(os.getpid())}z")


@pytest.mark.parametrize("both", [False, True], ids=["the journal", "journal and broker"])
def test_an_outage_shorter_than_the_lease_leaves_nobody_waiting_for_its_end(
    settings: Settings, tries: list[str], monkeypatch: pytest.MonkeyPatch, both: bool
) -> None:
    """The dispatcher took itself for another, since what it held could not be given back: 3 seconds became 17."""
    with (
        open_broker(settings.broker_url) as broker,
        looping(settings, "receive", tries),
        looping(settings, "dispatch", tries),
    ):
        send(broker, 1)
        until(lambda: broker.depth("out.maple") == 1)
        with pytest.MonkeyPatch.context() as patch:
            outage(patch, "due", "take_lease", "end_lease")
            if both:
                patch.setattr(loops, "open_broker", gone)
                patch.setattr(service, "dispatch", gone)
            tries.clear()
            until(lambda: len(tries) > 10)
        before = time.monotonic()
        broker.publish([Letter("late", "in.maple", "", edifact("LATE", number(90)))])
        until(lambda: broker.depth("out.maple") == 2)
        assert time.monotonic() - before < 5


def gone(*_: object) -> Any:
    raise BrokerUnavailable("it is away")


def test_a_dispatcher_whose_broker_is_away_leaves_it_to_another(
    settings: Settings, tries: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal.open(settings.database_url)
    with monkeypatch.context() as patch:
        patch.setattr(service, "dispatch", gone)
        with pytest.raises(BrokerUnavailable):
            loops.LOOPS["dispatch"](settings, lambda: False)
    assert journal.lease_holder(loops.DISPATCHING) is None
    journal.close()
