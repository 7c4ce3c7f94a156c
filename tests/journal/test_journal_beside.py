"""Operators, purges and loops at one transmission at one moment, on PostgreSQL: each waits for the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy

from core.errors import GatewayError
from core.transmission import stable_id
from gateway.journal import Claimed, Execution, Journal, Settlement, database
from gateway.journal.periods import load_retention
from tests.support.journals import NOW, bring, outcome, outgoing, result, sent

pytestmark = pytest.mark.broker

BEFORE = {kind: NOW + timedelta(days=1) for kind in load_retention()}
LATE = NOW + timedelta(days=3000)
HOLD_ROW = "SELECT 1 FROM inbox WHERE id = '{}' FOR UPDATE"
HOLD_DUE = "SELECT 1 FROM due JOIN outbox USING (position) WHERE id = '{}' FOR UPDATE OF due"
HOLD_CHAIN = f"SELECT pg_advisory_xact_lock({database.CHAINING})"


@pytest.fixture
def journal_url(postgres_url: str) -> str:
    """SQLite has one writer."""
    return postgres_url


Start = Callable[..., Future[Any]]


@contextmanager
def held(raw: sqlalchemy.Engine, statement: str) -> Iterator[Start]:
    """Hold what a statement locks; who is started meanwhile gets as far as that, one after the other."""
    with ThreadPoolExecutor(4) as pool, raw.begin() as connection:
        connection.exec_driver_sql(statement)
        started: list[Future[Any]] = []

        def start(step: Callable[..., Any], *given: Any, **more: Any) -> Future[Any]:
            started.append(pool.submit(step, *given, **more))
            _stand(raw, started)
            return started[-1]

        yield start


def _stand(raw: sqlalchemy.Engine, started: list[Future[Any]]) -> None:
    """Wait until each of them waits for a lock, or is done."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with raw.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        until = time.monotonic() + 8
        while connection.exec_driver_sql(waiting).scalar_one() < sum(not each.done() for each in started):
            assert time.monotonic() < until, "it did not stop where it was to"
            time.sleep(0.01)


def purge(journal: Journal) -> int:
    return sum(journal.purge(BEFORE, now=LATE).values())


def old(journal: Journal) -> Claimed:
    """Bring one acceptance, all of it sent, which a purge may take."""
    row = bring(journal, "old")
    journal.finish([(row, outcome(row))], specs="d", now=NOW)
    sent(journal)
    last = bring(journal, "last", received_at=LATE)
    journal.finish([(last, outcome(last, number="2", accepted=False, answers=()))], specs="d", now=LATE)
    return row


def replayed(row: Claimed) -> Execution:
    """Return a replay of a transmission, with an answer."""
    received = replace(row.received, id=stable_id("replay"))
    done = replace(outcome(row, answers=(outgoing("accepted", "replay"),)), received=received)
    return Execution(row.sequence, row.id, "Jo", "d", done, True)


def whole(journal: Journal) -> None:
    """Nothing hangs on what is not there, and all that is due can be sent."""
    assert journal.verify().bad is None
    assert len(journal.due(1000, LATE)) == journal.counts(LATE)["outbox"]


@pytest.mark.parametrize("what", ["answers", "requests", "transmission"])
def test_what_is_sent_again_while_a_purge_runs_stays(journal: Journal, raw: sqlalchemy.Engine, what: str) -> None:
    row = old(journal)
    again = {
        "answers": lambda: journal.resend_answers([stable_id("accepted", row.id)], "Jo", LATE),
        "requests": lambda: journal.resend_requests([stable_id("request", row.id)], "Jo", LATE),
        "transmission": lambda: journal.resend(row.id, LATE),
    }[what]
    with held(raw, HOLD_CHAIN) as start:
        resent = start(again)
        purged = start(purge, journal)
    assert (resent.result(), purged.result()) == (1, 0)
    whole(journal)
    assert len(sent(journal)) == 1


@pytest.mark.parametrize("what", ["answers", "requests"])
def test_what_a_purge_has_just_taken_is_not_sent_again(journal: Journal, raw: sqlalchemy.Engine, what: str) -> None:
    row = old(journal)
    again = {
        "answers": lambda: journal.resend_answers([stable_id("accepted", row.id)], "Jo", LATE),
        "requests": lambda: journal.resend_requests([stable_id("request", row.id)], "Jo", LATE),
    }[what]
    with held(raw, HOLD_CHAIN) as start:
        purged = start(purge, journal)
        resent = start(again)
    assert (resent.result(), purged.result()) == (0, 1)
    whole(journal)


def test_a_replay_that_is_sent_beside_a_purge_waits_for_it(journal: Journal, raw: sqlalchemy.Engine) -> None:
    row = old(journal)
    execution = journal.keep_execution(replayed(row), LATE)
    with held(raw, HOLD_ROW.format(row.id)) as start:
        purged = start(purge, journal)
        answers = start(journal.send_execution, execution, "Jo", LATE)
    assert (purged.result(), answers.result()) == (1, 0)
    whole(journal)


def test_the_answers_of_a_replay_keep_a_purge_away(journal: Journal, raw: sqlalchemy.Engine) -> None:
    row = old(journal)
    execution = journal.keep_execution(replayed(row), LATE)
    with held(raw, HOLD_CHAIN) as start:
        answers = start(journal.send_execution, execution, "Jo", LATE)
        purged = start(purge, journal)
    assert (purged.result(), answers.result()) == (0, 1)
    whole(journal)


def test_a_replay_of_what_a_purge_took_meanwhile_is_not_kept(journal: Journal, raw: sqlalchemy.Engine) -> None:
    done = replayed(old(journal))
    with held(raw, HOLD_CHAIN) as start:
        purged = start(purge, journal)
        kept = start(journal.keep_execution, done, LATE)
    assert purged.result() == 1
    with pytest.raises(GatewayError, match="purged"):
        kept.result()
    assert journal.execution(done.outcome.received.id) is None
    whole(journal)


@pytest.mark.parametrize("lock", ["chain", "row"])
def test_the_engine_answers_while_a_purge_runs(journal: Journal, raw: sqlalchemy.Engine, lock: str) -> None:
    """Its answer is sent, or its request is one that nobody knows any more."""
    row = old(journal)
    said = result(journal, "r")
    answer = outgoing("assessed", said.id)
    settlement = Settlement(stable_id("request", row.id), "assessed", (answer,))
    with held(raw, HOLD_CHAIN if lock == "chain" else HOLD_ROW.format(row.id)) as start:
        if lock == "chain":
            settled = start(journal.settle, [(said, settlement)], now=LATE)
            purged = start(purge, journal)
        else:
            purged = start(purge, journal)
            settled = start(journal.settle, [(said, settlement)], now=LATE)
    if lock == "chain":
        assert (settled.result(), purged.result()) == ([True], 0)
        assert sent(journal) == ["assessed"]
    else:
        assert (settled.result(), purged.result()) == ([False], 1)
    whole(journal)


def test_who_sends_again_and_who_marks_wait_in_one_direction(journal: Journal, raw: sqlalchemy.Engine) -> None:
    """However the rows lie in the table: the younger was written there before the older."""
    row = bring(journal, "two")
    ids = [stable_id("accepted", part) for part in "ab"]
    journal.finish(
        [(row, outcome(row, answers=tuple(outgoing("accepted", part) for part in "ab")))], specs="d", now=NOW
    )
    sent(journal)
    for id_ in reversed(ids):
        journal.resend_answers([id_], "Jo", NOW)
    with raw.begin() as connection:
        connection.exec_driver_sql("ANALYZE due")  # a small table is read as it lies
    with held(raw, HOLD_DUE.format(ids[0])) as start:
        again = start(journal.resend, row.id, NOW)
        marked = start(journal.mark_sent, ids, NOW)
    assert (again.result(), marked.result()) == (2, 2)
    whole(journal)
