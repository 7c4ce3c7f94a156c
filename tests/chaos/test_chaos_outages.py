"""Outages that last minutes, as real ones do: nothing is dead, parked or lost, and answers come at once afterwards."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy

from gateway import service
from gateway.engine import loop as engine
from gateway.journal import Journal
from gateway.journal.outbox import make_due
from gateway.journal.tables import outbox
from gateway.queues import Letter, open_broker
from tests.chaos.test_chaos import FULL, check, recovered, send_slowly, servers, size
from tests.support.chaos import Run, traffic
from tests.support.servers import Postgres, Rabbit

pytestmark = [pytest.mark.timeout(7200 if FULL else 1000), *servers]


@pytest.mark.parametrize(
    "what",
    ["database", pytest.param("broker", marks=pytest.mark.skipif(not FULL, reason="`both` has it in a build")), "both"],
)
def test_an_outage_of_minutes(what: str, rabbit: Rabbit, postgres: Postgres, tmp_path: Path) -> None:
    """Longer than a broker would deliver a message again and again: none is dead, none parked, none lost.

    In a build 3 seconds; at full size 3 s, 1, 10 and 30 minutes. GATEWAY_OUTAGES names others, in seconds: `60,600`.
    """
    seconds: list[float] = []
    lengths = [float(each) for each in os.environ.get("GATEWAY_OUTAGES", "3,60,600,1800" if FULL else "3").split(",")]

    def strike(part: int) -> None:
        if part >= len(lengths):
            return
        run.read(0.5)
        if what != "broker":
            postgres.kill()
        elif part == 0:
            rabbit.kill(signal.SIGTERM)  # in order: a killed lone node may need help, which is another test's
        if what == "both":
            rabbit.kill(signal.SIGTERM)
        time.sleep(lengths[part])
        # Every other time what is needed last is back first.
        for server in (postgres, rabbit) if part % 2 == 0 else (rabbit, postgres):
            if server.process is None:
                server.start()
        seconds.append(run.recovers())

    with Run(tmp_path, rabbit.url(), postgres.url(), workers=2, batch=20) as run:
        if what != "broker":  # what comes while the journal is away is what was lost
            late = list(traffic(20, first=5_000_000))
            kill = postgres.kill

            def kill_and_send(*arguments: int) -> None:
                kill(*arguments)
                run.send(late)
                late.clear()

            postgres.kill = kill_and_send  # type: ignore[method-assign]
        try:
            send_slowly(run, size(1000, 100), len(lengths) + 1, strike)
        finally:
            vars(postgres).pop("kill", None)
        run.settle(600)
        dead = run._broker.depth("dead")
        found = run.figures()
        lasted = ", ".join(f"{each:g} s" for each in lengths)
        print(
            f"{what} away for {lasted}: sent {found.sent} / recorded {found.recorded} / answers {found.delivered}"
            f" / unanswered {found.unanswered} / dead {dead} / parked {found.parked} / repeats {found.repeats}"
        )
        assert dead == found.parked == 0
        check(run, kills=0)
    recovered(seconds, len(lengths), full=5)


@pytest.mark.parametrize("table", ["inbox", "message", "outbox"])
def test_a_table_locked_for_long(table: str, rabbit: Rabbit, postgres: Postgres, tmp_path: Path) -> None:
    """Somebody's maintenance holds a table; a lease is longer than anybody waits for a lock, as in production."""
    with Run(tmp_path, rabbit.url(), postgres.url(), workers=2, batch=20, lease_seconds=60) as run:
        run.recovers()
        engine = sqlalchemy.create_engine(postgres.url())
        with engine.begin() as connection:
            connection.exec_driver_sql(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            run.send(list(traffic(60)))
            time.sleep(size(600, 15))
        seconds = run.recovers()
        run.settle(300)
        assert run._broker.depth("dead") == 0
        check(run, kills=0)
        with engine.begin() as connection:
            tries = connection.exec_driver_sql("SELECT max(attempts) FROM handled").scalar()
        engine.dispose()
        print(f"{table} locked: most attempts {tries}")
        assert tries == 1
        recovered([seconds], 1, full=5)


def test_an_answer_larger_than_the_broker_takes(rabbit: Rabbit, postgres: Postgres, tmp_path: Path) -> None:
    """It parks alone, and the others of its destination go out; with a larger limit it goes out as well."""
    with Run(tmp_path, rabbit.url(), postgres.url(), batch=20) as run:
        run.send(list(traffic(20)))
        run.settle(120)
        small = max(len(bodies[0]) for bodies in run.seen.values()) + 1000
        rabbit.control("eval", f"application:set_env(rabbit, max_message_size, {small}).")
        run.stop()
        run.start()  # a channel takes the limit when it is opened
        journal = Journal.open(postgres.url())
        engine = sqlalchemy.create_engine(postgres.url())
        with engine.begin() as connection:
            large = "UPDATE outbox SET body = body || convert_to(repeat(' ', 200000), 'UTF8')"
            one = connection.exec_driver_sql("SELECT position FROM outbox WHERE kind = 'receipt' LIMIT 1").scalar()
            connection.exec_driver_sql(f"{large} WHERE position = {one}")
            make_due(connection, outbox.c.position == one)
        run.send(list(traffic(20, first=20)))
        run.settle(120)
        assert journal.counts(service.now())["outbox_parked"] == 1
        assert not [row for row in journal.destinations() if row["failures"]]
        assert list(run.figures().wrong()) == ["audit"]  # which tells that this test made the answer larger
        rabbit.control("eval", "application:set_env(rabbit, max_message_size, 134217728).")
        run.stop()
        run.start()
        (name,) = [row["name"] for row in journal.destinations() if row["refused"]]
        journal.unpark(name, service.now())
        run.settle(120)
        assert journal.counts(service.now())["outbox_parked"] == 0
        assert max(len(body) for bodies in run.seen.values() for body in bodies) > 200_000
        engine.dispose()
        journal.close()


def test_an_engine_in_an_alarm_keeps_its_connections_and_goes_on(
    rabbit: Rabbit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With more to say than the socket takes: the connection was broken off within a second, and never missed."""
    monkeypatch.setattr(engine, "read_request", lambda body: body)
    monkeypatch.setattr(engine, "assess", lambda *_: SimpleNamespace(result="approved", delay=0.0))
    monkeypatch.setattr(engine, "write_result", lambda _: bytes(200_000))
    opened: list[object] = []
    with open_broker(rabbit.url()) as broker, open_broker(rabbit.url()) as its:
        broker.declare(["assessment.requests", "assessment.results"])
        broker.publish([Letter(f"r{n}", "assessment.requests", "", b"") for n in range(60)])
        rabbit.control("set_vm_memory_high_watermark", "0")
        real = its.connect
        its.connect = lambda *given: (opened.append(given), real(*given))[1]  # type: ignore[method-assign]
        over = threading.Event()
        thread = threading.Thread(target=engine.run, args=(its, over.is_set, ["assessment.requests"]), daemon=True)
        try:
            thread.start()
            time.sleep(size(600, 12))
            assert its.alarm
            assert len(opened) == 3  # which queues there are, a reader, a publisher
        finally:
            rabbit.control("set_vm_memory_high_watermark", "0.4")
        end = time.monotonic() + 20
        while broker.depth("assessment.results") < 60 and time.monotonic() < end:
            time.sleep(0.2)
        over.set()
        thread.join(20)
        print(f"after an alarm {broker.depth('assessment.results')} results of 60, {len(opened)} connections")
        assert broker.depth("assessment.results") >= 60
        assert broker.depth("assessment.requests") == broker.depth("dead") == 0
        assert len(opened) <= 4  # a letter that was not written whole costs one
