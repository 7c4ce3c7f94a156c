"""A purge under a wrong clock deletes nothing; a figure that was looked at lets it go on."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from gateway import service
from gateway.cli import ops
from gateway.journal import Journal
from gateway.journal.retention import Extent
from tests.support.desk import Run
from tests.support.house import House
from tests.support.sending import REAL_NOW, Clock, edifact, messages, number

YEARS = timedelta(days=366)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the clock of the gateway and of its commands."""
    made = Clock()
    monkeypatch.setattr(service, "now", made)
    monkeypatch.setattr(ops, "now", made)
    return made


def fill(gateway: House, count: int) -> None:
    first = len(messages(gateway))
    for n in range(first, first + count):
        gateway.send("maple", edifact(f"REF{n}", number(100 + n)))
    gateway.settle_down()


@pytest.mark.parametrize("years", [8, 60])
def test_a_clock_that_is_years_ahead_empties_no_archive(run: Run, gateway: House, clock: Clock, years: int) -> None:
    fill(gateway, 3)
    clock.ahead = years * YEARS
    done = run("purge")
    assert done.exit_code == 1
    assert "nothing was deleted" in done.stderr
    assert "the newest transmission is of" in done.stderr
    assert len(messages(gateway)) == 3


def test_nor_where_the_gateway_itself_has_received_by_that_clock(run: Run, gateway: House, clock: Clock) -> None:
    fill(gateway, 3)
    clock.ahead = 8 * YEARS
    fill(gateway, 1)
    done = run("purge")
    assert done.exit_code == 1
    assert "more than one in" in done.stderr
    assert len(messages(gateway)) == 4


def test_the_figure_of_a_dry_run_lets_it_go_on(run: Run, gateway: House, clock: Clock) -> None:
    fill(gateway, 3)
    clock.ahead = 8 * YEARS
    rehearsed = run("purge", "--dry-run")
    assert rehearsed.exit_code == 0
    assert "5 of 6 transmissions would go" in rehearsed.stdout  # with the engine's results, without the newest
    wrong = run("purge", "--confirm", "4")
    assert wrong.exit_code == 1
    assert "the figure is 5, not 4" in wrong.stderr
    assert len(messages(gateway)) == 3
    assert run("purge", "--confirm", "5").exit_code == 0
    assert len(messages(gateway)) == 0
    assert run("purge").exit_code == 0


def test_a_night_like_any_other_needs_no_figure(
    run: Run, gateway: House, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops, "SHARE", 1)
    fill(gateway, 2)
    clock.ahead = 8 * YEARS
    fill(gateway, 2)
    done = run("purge")
    assert (done.exit_code, done.stderr) == (0, "")
    assert len(messages(gateway)) == 2


def test_a_purge_that_has_nothing_to_do_says_nothing_of_the_clock(run: Run, gateway: House, clock: Clock) -> None:
    fill(gateway, 1)
    clock.ahead = timedelta(days=30)
    done = run("purge")
    assert (done.exit_code, done.stderr) == (0, "")


def test_records_of_the_future_and_another_clock_are_doubts() -> None:
    now = REAL_NOW()
    assert ops._doubts(now, Extent(1000, now, now), 1) == []
    assert len(ops._doubts(now, Extent(1000, now + timedelta(days=8), None), 1)) == 1
    assert len(ops._doubts(now, Extent(1000, now, now - timedelta(minutes=6)), 1)) == 1
    assert len(ops._doubts(now, Extent(10, now - timedelta(days=8), now + timedelta(days=1)), 9)) == 3


@pytest.mark.broker
def test_the_databases_own_clock_is_asked(tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal.open(postgres_url)
    journal.migrate()
    extent = journal.extent()
    assert extent.stored == 0
    assert isinstance(extent.clock, datetime)
    assert abs(extent.clock - REAL_NOW()) < timedelta(minutes=1)
    journal.close()


def test_a_pause_of_before_the_clock_was_set_back_is_over(run: Run, gateway: House, clock: Clock) -> None:
    gateway.send("maple", edifact("REF1", number(1)))
    gateway.receive()
    clock.ahead = timedelta(days=2)
    gateway.journal.postpone("out.maple", [], "there is no such queue", clock())
    assert gateway.dispatch() == 0
    clock.ahead = timedelta()
    assert gateway.dispatch() == 1
