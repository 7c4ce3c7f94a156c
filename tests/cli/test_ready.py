"""/ready tells the truth: stuck loops, disks, missing queues, a broker's alarm, a supervisor that stands still."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from core.errors import BrokerUnavailable, JournalUnavailable
from gateway import files, health, logs
from gateway.journal import Journal
from gateway.loops import queue_names
from gateway.queues import Broker, open_broker
from gateway.settings import Settings, from_environment
from gateway.vitals import STUCK_SECONDS, SUPERVISOR, Vital
from routing.partners import load_partners
from tests.support.house import settings_in
from tests.support.way import PARTNERS
from tests.way.test_way_outage import settings, until

__all__ = ["settings"]


@pytest.fixture
def journal(settings: Settings) -> Iterator[Journal]:
    opened = Journal.open(settings.database_url)
    yield opened
    opened.close()


def lacking(settings: Settings, journal: Journal, **vitals: Vital) -> list[str]:
    with open_broker(settings.broker_url) as broker:
        return health.ready(settings, journal, broker, load_partners(settings.partners), vitals)


def beaten(ago: float) -> Vital:
    vital = Vital()
    vital.beat = time.monotonic() - ago
    return vital


def test_a_gateway_that_can_work_is_ready(settings: Settings, journal: Journal) -> None:
    assert lacking(settings, journal, receive=beaten(1), dispatch=Vital()) == []


def test_stuck_loops_and_a_supervisor_that_stands_still_are_told(settings: Settings, journal: Journal) -> None:
    old = beaten(STUCK_SECONDS + 1)
    told = lacking(settings, journal, receive=old, **{SUPERVISOR: old}, dispatch=beaten(1))
    assert [line.rpartition(" for ")[0] for line in told] == [
        "the loop receive has been stuck", "the supervisor has been stuck",
    ]  # fmt: skip


def test_missing_queues_are_named(settings: Settings, journal: Journal) -> None:
    with open_broker(settings.broker_url) as broker, broker.channel() as channel:
        channel.queue_delete("out.maple")
    (told,) = lacking(settings, journal)
    assert "no queue out.maple" in told
    with open_broker(settings.broker_url) as broker:
        broker.declare(queue_names(settings))
    assert lacking(settings, journal) == []


@pytest.mark.parametrize(
    ("disk", "told"),
    [
        (files.Disk(50_000_000, True), "the journal's disk has 50 MB left"),
        (files.Disk(10**12, False), "the journal's file cannot be written"),
    ],
)
def test_full_and_read_only_disks_are_told(
    settings: Settings, journal: Journal, monkeypatch: pytest.MonkeyPatch, disk: files.Disk, told: str
) -> None:
    assert files.disks(settings)["journal"].writable
    monkeypatch.setattr(health, "disks", lambda _: {"journal": disk})
    assert lacking(settings, journal) == [told]


def test_a_journal_that_answers_and_takes_nothing_is_told(
    settings: Settings, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> bool:
        raise JournalUnavailable("database or disk is full")

    monkeypatch.setattr(Journal, "take_lease", full)
    assert lacking(settings, journal) == ["database or disk is full"]


def test_a_broker_that_answers_and_takes_nothing_is_told(
    settings: Settings, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blocked(*_: object) -> None:
        raise BrokerUnavailable("nothing was confirmed")

    monkeypatch.setattr(Broker, "publish", blocked)
    assert lacking(settings, journal) == ["nothing was confirmed"]


@pytest.fixture
def answering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Answer beside the test with neither journal nor broker there, on IPv6."""
    monkeypatch.setattr(health, "AGAIN_SECONDS", 0.1)
    with closing(socket.socket(socket.AF_INET6)) as found:
        try:
            found.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        port = int(found.getsockname()[1])
    given = settings_in(tmp_path, health=f"[::1]:{port}", broker_url=f"sqlite:///{tmp_path}/no/queue.db")
    journal = Journal.open(given.database_url)
    over = threading.Event()
    thread = threading.Thread(target=health.run, args=(given, journal, PARTNERS, over.is_set))
    thread.start()
    yield port
    over.set()
    thread.join(10)
    journal.close()


def ask(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://[::1]:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_health_answers_where_nothing_else_does_and_on_ipv6(answering: int) -> None:
    """It waited for the journal at its start, and did not answer at all."""
    until(lambda: ask(answering, "/health") == (200, "alive\n"))
    until(lambda: "no such file" in ask(answering, "/ready")[1])
    assert ask(answering, "/ready")[0] == 503
    status, text = ask(answering, "/metrics")
    assert status == 200
    assert "gateway_journal_up 0.0" in text
    assert "gateway_ready 0.0" in text


@pytest.mark.parametrize("address", ["[::]:9100", "[::1]:9100", "0.0.0.0:9100", "9100", "localhost:9100"])
def test_addresses_of_health(address: str) -> None:
    assert from_environment(address).health == address


# ------------------------------------------------------------------------------------------------ the log


def test_a_log_that_nobody_reads_holds_up_nobody_and_what_is_lost_is_counted(tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from gateway import logs\n"
        "lost = []\n"
        "logs.configure('json', waiting=False, lost=lost.append)\n"
        "log = logs.logger()\n"
        "for n in range(logs.LINES + 3_000): log.info('line', count=n, error='x' * 100)\n"
        "sys.stdout.write(f'{sum(lost)}\\n'); sys.stdout.flush()\n"
        "sys.stdin.readline()\n"
        "while sum(lost) == 0 or not logs._unwaiting[0]._lines.empty(): time.sleep(0.01)\n"
        "log.info('again'); logs.drain()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    lost = int(process.stdout.readline())  # it came here although nobody has read a line
    assert lost > 0
    told, said = process.communicate("\n", timeout=60)
    lines = said.splitlines()
    assert process.returncode == 0, told
    told_of = [json.loads(line)["count"] for line in lines if "were lost" in line]
    assert sum(told_of) == lost
    assert '"again"' in lines[-1]
    assert len(lines) == logs.LINES + 3_000 - lost + len(told_of) + 1
