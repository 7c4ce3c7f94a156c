"""Nothing lost, nothing twice: processes, brokers, databases and networks killed under load, on servers of its own.

`make chaos-ci` runs these at a size that fits a build, `make chaos` at full size. Each prints its figures, and one that
killed or cut nothing is no pass.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy

from gateway import health, service
from gateway.journal import Journal
from gateway.journal.tables import handled, inbox
from gateway.queues import open_broker
from routing.partners import load_partners
from tests.support.chaos import Run, embedded, original, traffic
from tests.support.servers import Postgres, Proxy, Rabbit

FULL = os.environ.get("GATEWAY_CHAOS") == "full"
pytestmark = pytest.mark.timeout(3600 if FULL else 1000)
servers = [pytest.mark.broker, pytest.mark.chaos]


def size(full: int, reduced: int) -> int:
    return full if FULL else reduced


def check(run: Run, kills: int, patience: float = 600, parked: int = 0) -> None:
    """Wait for the end, print the figures and compare them with what must be."""
    run.settle(patience)
    figures = run.figures()
    print(figures)
    assert not figures.wrong()
    assert figures.parked <= parked or sum(figures.kills.values()) > 20  # an unlucky one may use up its attempts
    assert sum(figures.kills.values()) >= kills


def recovered(seconds: list[float], strikes: int, full: int) -> None:
    """Compare with its target how long it took to answer again after each strike; a build's machine is not alone.

    Of seconds its bound is below the dispatcher's lease: to wait for the end of one is no load.
    """
    print(f"{len(seconds)} strikes, answers again after {seconds} s")
    assert len(seconds) == strikes
    assert max(seconds) < size(full, 15 if full <= 5 else 2 * max(full, 30))


def send_slowly(run: Run, count: int, parts: int, between: Callable[[int], None]) -> None:
    """Send in parts, with something happening after each."""
    run.recovers()  # what is struck is a gateway that is up
    letters = list(traffic(count))
    step = -(-len(letters) // parts)
    for part in range(parts):
        run.send(letters[part * step : (part + 1) * step])
        between(part)


# ------------------------------------------------------------------------------------------------ processes


@pytest.mark.slow
def test_processes_killed_at_random_embedded(tmp_path: Path) -> None:
    with Run(tmp_path, **embedded(tmp_path), chance=0.03, seed=3) as run:
        run.send(list(traffic(40)))
        check(run, kills=5)


@pytest.mark.chaos
@pytest.mark.skipif(not FULL, reason="in a build the one above, which is of the same kind, is enough")
def test_many_processes_killed_at_random_embedded(tmp_path: Path) -> None:
    with Run(tmp_path, **embedded(tmp_path), chance=0.03, every=2, seed=30) as run:
        run.send(list(traffic(1000)))
        check(run, kills=200, patience=900)


class TestServers:
    pytestmark = servers

    def test_processes_killed_at_random(self, rabbit: Rabbit, postgres: Postgres, tmp_path: Path) -> None:
        with Run(tmp_path, rabbit.url(), postgres.url(), workers=4, chance=0.03, every=3, seed=4) as run:
            run.send(list(traffic(size(5000, 80))))
            check(run, kills=size(300, 12), patience=size(1800, 900))

    def test_broker_killed_under_load(self, rabbit: Rabbit, postgres: Postgres, tmp_path: Path) -> None:
        """Killed, which its own fault may need help after, or stopped in order, after which nobody helps."""
        seconds: list[float] = []
        with Run(tmp_path, rabbit.url(), postgres.url(), workers=2, batch=20) as run:

            def strike(part: int) -> None:
                if part < 3:
                    run.read(0.3)
                    helped = rabbit.helped
                    rabbit.restart(signal.SIGTERM if part == 1 else signal.SIGKILL)
                    if part == 1:
                        assert rabbit.helped == helped, "the broker did not recover by itself from an orderly stop"
                    seconds.append(run.recovers())

            send_slowly(run, size(3000, 200), 4, strike)
            check(run, kills=0)
        print(f"queues that found no leader by themselves: {rabbit.helped}")
        recovered(seconds, 3, full=10)

    @pytest.mark.parametrize("what", ["cut", "stall in", "stall out", "latency", "half open"])
    def test_network_to_the_broker(self, what: str, rabbit: Rabbit, postgres: Postgres, tmp_path: Path) -> None:
        proxy = Proxy(rabbit.port)
        through = (rabbit.url(proxy.port), postgres.url())
        seconds: list[float] = []
        # What a stall or a half-open connection costs is waiting: in a build once.
        strikes = 3 if what in {"cut", "latency"} else size({"half open": 3}.get(what, 2), 1)

        def trouble(part: int) -> None:
            run.read(0.5)
            if what == "cut":
                proxy.cut()
            elif what == "half open":
                proxy.strand()
            elif what == "latency":
                proxy.delay = 0.1 if part < 2 else 0.0
            else:
                proxy.stalled.add(what.split()[1])
                time.sleep(size(12, 10))  # longer than a confirmation may take
                proxy.stalled.clear()
                proxy.cut()
            seconds.append(run.recovers())

        with Run(tmp_path, rabbit.url(), postgres.url(), through, batch=20) as run:
            send_slowly(run, size(1000, 60), strikes, trouble)
            check(run, kills=0)
        proxy.close()
        print(f"{what}: {proxy.struck} connections or reads")
        assert proxy.struck >= strikes
        # The silence of a half-open connection is noticed after two heartbeats; on a slow line all that stands before
        # an answer takes its time.
        patience = {"half open": 60, "latency": 30}.get(what, 10)
        recovered(seconds, strikes, full=patience)

    def test_network_to_the_database(self, rabbit: Rabbit, postgres: Postgres, tmp_path: Path) -> None:
        proxy = Proxy(postgres.port)
        through = (rabbit.url(), postgres.url(proxy.port))

        seconds: list[float] = []

        def trouble(part: int) -> None:
            run.read(0.5)
            proxy.cut()
            seconds.append(run.recovers())

        with Run(tmp_path, rabbit.url(), postgres.url(), through, batch=20) as run:
            send_slowly(run, size(1000, 100), 5, trouble)
            check(run, kills=0)
        print(f"{proxy.struck} connections cut")
        assert proxy.struck >= 5
        recovered(seconds, 5, full=5)
        proxy.close()

    def test_broker_blocked_by_its_memory_alarm(self, rabbit: Rabbit, postgres: Postgres, tmp_path: Path) -> None:
        """What was there is taken in and judged all the same; the answers wait in the outbox until the alarm ends.

        /ready says so, and what the broker read late is not sent again: it takes all that was written meanwhile.
        """
        with Run(tmp_path, rabbit.url(), postgres.url(), batch=20) as run:
            run.stop()
            run.send(list(traffic(size(1000, 60))))
            rabbit.control("set_vm_memory_high_watermark", "0")
            try:
                run.start()
                journal = Journal.open(postgres.url())
                deadline = time.monotonic() + 60
                while time.monotonic() < deadline:
                    counts = journal.counts(service.now())
                    inside = counts["outbox"] and not counts["received"] + counts["working"]
                    if inside and not any(run._broker.depth(f"in.{name}") for name in ("maple", "erable")):
                        break
                    time.sleep(0.5)
                waiting = journal.counts(service.now())["outbox"]
                print(f"blocked: {waiting} answers wait")
                assert waiting
                with open_broker(rabbit.url()) as broker:
                    ready = partial(
                        health.ready, run.plan.settings, journal, broker, load_partners(run.plan.settings.partners)
                    )
                    for _ in range(2):
                        (lacking,) = ready()
                        assert lacking.endswith("takes nothing: its alarm is on (low on memory)")
                    time.sleep(size(600, 12))
                    rabbit.control("set_vm_memory_high_watermark", "0.4")
                    deadline = time.monotonic() + 10
                    while ready() and time.monotonic() < deadline:
                        time.sleep(0.2)
                    assert (ready(), broker.alarm) == ([], None)
                journal.close()
            finally:
                rabbit.control("set_vm_memory_high_watermark", "0.4")
            check(run, kills=0)
            assert run.figures().repeats == 0

    def test_partner_without_a_queue(self, rabbit: Rabbit, postgres: Postgres, tmp_path: Path) -> None:
        _dead_partner(Run(tmp_path, rabbit.url(), postgres.url(), failures=3, batch=20))

    def test_duplicates_on_eight_connections(self, rabbit: Rabbit, postgres: Postgres, tmp_path: Path) -> None:
        _duplicates(Run(tmp_path, rabbit.url(), postgres.url(), workers=2), size(100, 20))


# ------------------------------------------------------------------------------------------------ the disk


@pytest.mark.chaos
def test_database_file_full(tmp_path: Path) -> None:
    """The disk is full for the journal: nothing is acknowledged; once there is room, everything goes on."""
    with Run(tmp_path, **embedded(tmp_path)) as run:
        run.stop()
        run.send(list(traffic(size(500, 80))))
    with closing(sqlite3.connect(tmp_path / "gateway.sqlite3")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    grown = max(one.stat().st_size for one in tmp_path.iterdir())
    small = Run(tmp_path, **embedded(tmp_path), file_bytes=grown + 100_000)
    with small as run:
        run.letters = list(traffic(size(500, 80)))
        deadline = time.monotonic() + 120
        while '"error"' not in (tmp_path / "gateway.log").read_text() and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(3)
        assert '"error"' in (tmp_path / "gateway.log").read_text()
        recorded = run.figures().recorded
        print(f"full after {recorded} of {len(run.letters)}")
        assert recorded < len({letter.id for letter in run.letters})
    with Run(tmp_path, **embedded(tmp_path)) as run:
        run.letters, run.seen = small.letters, small.seen
        check(run, kills=0)


@pytest.mark.chaos
def test_database_file_locked(tmp_path: Path) -> None:
    """Another program holds the journal's write lock for longer than anybody waits; afterwards everything goes on."""
    with Run(tmp_path, **embedded(tmp_path)) as run:
        run.send(list(traffic(20)))
        with closing(sqlite3.connect(tmp_path / "gateway.sqlite3", timeout=30, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            run.send(list(traffic(20, first=20)))
            time.sleep(size(30, 13))
            held_up = len(run.letters) - run.figures().recorded
            connection.execute("ROLLBACK")
        print(f"locked: {held_up} letters were held up")
        assert held_up >= 20
        recovered([run.recovers()], 1, full=5)
        check(run, kills=0)


# ------------------------------------------------------------------------------------------------ messages


@pytest.mark.chaos
def test_poison(tmp_path: Path) -> None:
    """A message that kills its worker and one that never ends are parked with a technical answer; the others go by."""
    count = size(998, 60)
    letters = list(traffic(count))
    for place, word in ((10, b"POISON"), (30, b"ENDLESS")):
        partner, body = original(count + place)
        poison = letters[0]._replace(id=f"p{place}", queue=f"in.{partner}", body=body + b"\n" + word)
        letters.insert(place, poison)
    with Run(tmp_path, **embedded(tmp_path), hang_seconds=2.0) as run:
        run.send(letters)
        run.settle(600)
        figures = run.figures()
        print(figures)
        assert not figures.wrong()
        assert figures.parked == 2
        engine = sqlalchemy.create_engine(run.database_url)
        with engine.connect() as connection:
            query = sqlalchemy.select(inbox.c.received_at, handled.c.finished_at, handled.c.state)
            times = connection.execute(query.outerjoin(handled, handled.c.sequence == inbox.c.sequence)).all()
        engine.dispose()
        assert {row.state for row in times} == {"done", "parked"}
        longest = max(row.finished_at - row.received_at for row in times if row.state == "done")
        print(f"of the {len(times) - 2} others none took longer than {longest.total_seconds():.1f} s")
        assert longest.total_seconds() < 60
        assert sum(b"technical" in body or b"GTW-0010" in body for bodies in run.seen.values() for body in bodies) >= 2


def _dead_partner(gateway: Run) -> None:
    """One partner's queue is missing: the other gets its answers, its own wait parked; then all come, in order."""
    with gateway as run:
        broker = open_broker(run.broker_url)
        with broker._connected() as connection:
            connection.channel().queue_delete("out.maple")
        run.outs.remove("out.maple")
        run.send(list(traffic(size(200, 30))))
        journal = Journal.open(run.database_url)
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            run.read(0.3)
            found = {one["name"]: one for one in journal.destinations() if one["waiting"] or one["parked_at"]}
            if set(found) == {"out.maple"} and found["out.maple"]["parked_at"]:
                break
        assert found["out.maple"]["parked_at"]
        assert set(found) == {"out.maple"}
        waiting = found["out.maple"]["waiting"]
        broker.declare(["out.maple"])
        broker.close()
        assert journal.unpark("out.maple", service.now()) == waiting
        journal.close()
        run.outs.append("out.maple")
        if run._reader:
            run._reader.close()
            run._reader = None
        check(run, kills=0)
        engine = sqlalchemy.create_engine(run.database_url)
        with engine.connect() as connection:
            rows = connection.exec_driver_sql("SELECT id FROM outbox WHERE destination = 'out.maple' ORDER BY position")
            positions = {one: place for place, (one,) in enumerate(rows)}
        engine.dispose()
        arrived = list(dict.fromkeys(run.order["out.maple"]))
        print(f"{waiting} waited for out.maple and came in order")
        assert waiting
        assert [positions[one] for one in arrived] == sorted(positions.values())


@pytest.mark.chaos
def test_partner_without_a_queue(tmp_path: Path) -> None:
    _dead_partner(Run(tmp_path, **embedded(tmp_path), failures=3))


def _duplicates(gateway: Run, count: int) -> None:
    """Each message three times on each of eight connections at once: one effect, one answer's id and bytes."""
    with gateway as run:
        letters = list({letter.id: letter for letter in traffic(count) if letter.id[1:].isdigit()}.values())

        def connection(number: int) -> None:
            with open_broker(run.broker_url) as broker:
                for letter in letters:
                    for again in range(3):
                        # On even connections the transport's duplicate, on odd ones the sender's resend.
                        name = letter.id if number % 2 == 0 else f"{letter.id}-{number}-{again}-again"
                        assert broker.publish([letter._replace(id=name)]).confirmed
                        sent.append(letter._replace(id=name))

        sent: list[object] = []
        threads = [threading.Thread(target=connection, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        run.letters = sent  # type: ignore[assignment]
        run.settle(600)
        figures = run.figures()
        print(f"{len(sent)} letters of {count} messages: {figures}")
        wrong = figures.wrong()
        wrong.pop("missing_effects", None)
        assert not wrong
        engine = sqlalchemy.create_engine(run.database_url)
        with engine.connect() as connection_:
            effects = connection_.exec_driver_sql("SELECT count(*) FROM declaration_version").scalar()
            verdicts = connection_.exec_driver_sql("SELECT count(*) FROM message").scalar()
        engine.dispose()
        assert effects == verdicts == count
        assert len(sent) == 24 * count


@pytest.mark.slow
def test_duplicates_on_eight_connections(tmp_path: Path) -> None:
    _duplicates(Run(tmp_path, **embedded(tmp_path), batch=50), size(100, 6))


@pytest.mark.slow
def test_harness_sees_what_is_lost(tmp_path: Path) -> None:
    """The test of the test: a letter that never reached the gateway, and an answer that nobody read, are seen."""
    with Run(tmp_path, **embedded(tmp_path)) as run:
        run.send(list(traffic(4)))
        run.settle(60)
        run.letters.append(run.letters[0]._replace(id=f"m{uuid.uuid4()}"))
        run.seen.popitem()
        assert {"lost", "unanswered", "missing_effects"} <= run.figures().wrong().keys()
