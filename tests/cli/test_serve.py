"""The running gateway: it stops in order, outlives messages that kill its workers, and tells how it is."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

from gateway.journal import Journal
from gateway.queues import Broker, Letter, open_broker
from gateway.service import now
from gateway.supervisor import METHOD
from routing.partners import inbound_queue
from tests.support.chaos import original
from tests.support.serving import CRASHES, EATS, HANGS
from tests.support.way import HOME, PARTNERS, SAMPLES

GOOD = (SAMPLES / "originals/v-voluntary.edi").read_bytes()
XML = (SAMPLES / "originals/published-example.xml").read_bytes()
PARTNERS_FILE = SAMPLES / "partners.toml"
SECONDS = 90.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Running:
    """A gateway in processes of its own, its broker and its journal."""

    def __init__(self, folder: Path, *command: str, **environment: str) -> None:
        urls = {
            "GATEWAY_BROKER_URL": f"sqlite:///{folder}/queue.db",
            "GATEWAY_DATABASE_URL": f"sqlite:///{folder}/gateway.sqlite3",
        }
        self.port = free_port()
        environment = {**os.environ, **urls, "GATEWAY_LOG": "json", "GATEWAY_HEALTH": str(self.port), **environment}
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, *command], cwd=HOME, env=environment, stderr=log)
        self.journal = Journal.open(urls["GATEWAY_DATABASE_URL"])
        self.broker: Broker = open_broker(urls["GATEWAY_BROKER_URL"])
        wait_for(lambda: "serving" in self.log.read_text())

    def send(self, *bodies: bytes, partner: str = "maple") -> None:
        letters = [Letter(os.urandom(8).hex(), inbound_queue(partner), "", body) for body in bodies]
        assert len(self.broker.publish(letters).confirmed) == len(bodies)

    def ask(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name: str) -> float:
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.ask("/metrics")[1], re.MULTILINE)
        assert found, name
        return float(found[1])

    def states(self) -> list[str]:
        return [row["state"] for row in self.journal.list_messages(channel="partner", limit=1_000)]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def wait_for(reached: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not reached():
        assert time.monotonic() < end, "not reached in time"
        time.sleep(0.1)


@contextmanager
def running(folder: Path, *command: str, **environment: str) -> Iterator[Running]:
    gateway = Running(folder, *command, **environment)
    try:
        yield gateway
    finally:
        if gateway.process.poll() is None:
            gateway.process.kill()
            gateway.process.wait()
        gateway.broker.close()
        gateway.journal.close()


def other(number: int) -> bytes:
    """Return a transmission that is refused, different for each number."""
    return b"UNB+UNOC:3+MAPLEBROKER+CARMGATEWAY+260115:1030+N%d'" % number


def test_it_finishes_acknowledges_and_leaves(tmp_path: Path) -> None:
    with running(tmp_path, "-m", "gateway", "serve") as gateway:
        gateway.send(*(other(n) for n in range(300)))
        wait_for(lambda: "done" in gateway.states())
        assert gateway.stop() == 0
        assert "stopped" in gateway.log.read_text().splitlines()[-1]
        states = gateway.states()
        assert "working" not in states
        assert gateway.journal.counts(now())["working"] == 0
        # What it had not yet taken still lies in its queue; nothing is in nobody's hand.
        assert gateway.broker.depth(inbound_queue("maple")) + len(states) == 300
        assert gateway.journal.verify(gateway.journal.head()).bad is None


def test_it_tells_how_it_is(tmp_path: Path) -> None:
    with running(tmp_path, "-m", "gateway", "serve", "--with-reference-engine") as gateway:
        wait_for(lambda: listens(gateway))
        assert gateway.ask("/health") == (200, "alive\n")
        wait_for(lambda: gateway.ask("/ready") == (200, "ready\n"))
        assert gateway.ask("/else")[0] == 404
        gateway.send(GOOD, other(1))
        gateway.send(GOOD)
        wait_for(lambda: 'gateway_settled_total{status="assessed"}' in gateway.ask("/metrics")[1])
        wait_for(lambda: gateway.metric("gateway_outbox") == 0)
        wait_for(lambda: 'gateway_events_total{event="resend"}' in gateway.ask("/metrics")[1])
        assert gateway.metric('gateway_received_total{channel="partner",partner="maple"}') == 3
        assert gateway.metric('gateway_verdicts_total{nature="original",verdict="accepted"}') == 1
        assert gateway.metric('gateway_verdicts_total{nature="",verdict="refused"}') == 1
        assert gateway.metric("gateway_verdict_seconds_count") == 2
        assert gateway.metric("gateway_attempts_total") >= 2
        assert gateway.metric('gateway_sent_total{destination="out.maple"}') >= 4
        assert gateway.metric("gateway_parked") == 0
        assert gateway.metric("gateway_journal_up") == gateway.metric("gateway_broker_up") == 1
        assert gateway.metric('gateway_queue_messages{queue="in.maple"}') == 0
        assert gateway.stop() == 0


def listens(gateway: Running) -> bool:
    try:
        return gateway.ask("/health")[0] == 200
    except OSError:
        return False


def test_sighup_has_the_partners_file_read_again_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    partners, text = tmp_path / "partners.toml", PARTNERS_FILE.read_text("utf-8")
    without, _, rest = text.partition('[[partner]]\nid = "erable"')
    assert rest
    partners.write_text(without, "utf-8")
    with running(
        tmp_path, "-m", "gateway", "serve", "--with-reference-engine", GATEWAY_PARTNERS=str(partners)
    ) as gateway:
        assert "in.erable" in gateway.broker.missing(["in.erable"])
        partners.write_text("[[partner]\n", "utf-8")
        gateway.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "the last good one stays" in gateway.log.read_text())
        gateway.send(GOOD)
        wait_for(lambda: "done" in gateway.states())
        partners.write_text(text, "utf-8")
        gateway.process.send_signal(signal.SIGHUP)
        wait_for(lambda: not gateway.broker.missing(["in.erable"]))
        gateway.send(XML, partner="erable")
        wait_for(lambda: gateway.states().count("done") == 2)
        assert gateway.broker.depth("out.erable") > 0
        assert gateway.stop() == 0


@pytest.mark.skipif(METHOD != "fork", reason="loops that are not forked compile for themselves")
def test_it_answers_before_while_and_after_its_workers_are_renewed(tmp_path: Path) -> None:
    with running(tmp_path, "-m", "gateway", "serve") as gateway:
        numbers = itertools.count()

        def send_on(until: Callable[[], object]) -> None:
            """Send declarations, two at least, until something has happened; each has its verdict before the next."""
            for sent in itertools.count():
                if sent >= 2 and until():
                    return
                number = next(numbers)
                partner, body = original(number)
                gateway.send(body, partner=partner)
                wait_for(lambda done=number + 1: gateway.states().count("done") == done)

        def renewed() -> bool:
            since = gateway.log.read_text().partition("usual patterns compiled")[2].splitlines()
            return {json.loads(line)["loop"] for line in since if "loop left" in line} == {"work-1", "work-2", "retry"}

        send_on(lambda: "usual patterns compiled" in gateway.log.read_text())
        send_on(renewed)
        send_on(lambda: True)
        for worker in psutil.Process(gateway.process.pid).children():
            worker.kill()  # whoever is started again shares them
        send_on(lambda: "loop died" in gateway.log.read_text())
        assert gateway.stop() == 0
        assert "Traceback" not in gateway.log.read_text()


@pytest.mark.parametrize("moment", [0.0, 0.2, 0.6, 1.5])
def test_sigterm_while_it_starts_ends_it_in_order(tmp_path: Path, moment: float) -> None:
    urls = {
        "GATEWAY_BROKER_URL": f"sqlite:///{tmp_path}/queue.db",
        "GATEWAY_DATABASE_URL": f"sqlite:///{tmp_path}/gateway.sqlite3",
    }
    starting = subprocess.Popen(
        [sys.executable, "-m", "gateway", "serve"], cwd=HOME, env={**os.environ, **urls}, stderr=subprocess.PIPE
    )
    time.sleep(moment)
    starting.send_signal(signal.SIGTERM)
    _, said = starting.communicate(timeout=60)
    assert starting.returncode in {0, -signal.SIGTERM, 128 + signal.SIGTERM}, said
    assert b"Traceback" not in said
    # Nothing is left behind that keeps the next one from starting.
    with running(tmp_path, "-m", "gateway", "serve") as gateway:
        assert gateway.stop() == 0


def test_messages_that_kill_their_worker_are_parked_and_the_others_go_on(tmp_path: Path) -> None:
    """T10: one that hangs in C, one that crashes the process, one that asks for 4 GB, among 40 others."""
    with running(tmp_path, "-m", "tests.support.serving") as gateway:
        bad = [GOOD + HANGS, GOOD + CRASHES, GOOD + EATS]
        gateway.send(*(other(n) for n in range(20)), *bad, *(other(n) for n in range(20, 40)))
        wait_for(lambda: gateway.states().count("done") == 40)
        wait_for(lambda: gateway.states().count("parked") == 3)
        log = gateway.log.read_text()
        died = len(re.findall("loop died", log))
        print(f"sent 43, done 40, parked 3, workers killed {died}")
        assert died >= 10  # five attempts each for the two that end their process
        assert '"exit": -14' in log
        assert '"exit": -11' in log
        wait_for(lambda: gateway.metric("gateway_outbox") == 0)
        kinds = []
        while gateway.broker.depth("out.maple"):
            letter = gateway.broker.take("out.maple", 1)
            kinds.append(letter.headers["kind"] if letter else "")
        assert kinds.count("technical") == 3
        assert PARTNERS["maple"].answer_queue == "out.maple"
        assert gateway.stop() == 0


def test_messages_of_one_partner_that_hang_keep_nobody_else_waiting(tmp_path: Path) -> None:
    """Ten of them kept every other partner without a verdict for 358 seconds."""
    with running(tmp_path, "-m", "tests.support.serving", REAL_TIMES="1") as gateway:
        gateway.send(other(1_000), partner="erable")
        wait_for(lambda: gateway.states() == ["done"])
        time.sleep(3)  # until the other worker is ready too
        gateway.send(*(GOOD + HANGS + b"%d" % n for n in range(10)))
        end, sent = time.monotonic() + 40, 0
        while time.monotonic() < end:
            gateway.send(other(sent), partner="erable")
            sent += 1
            time.sleep(0.5)
        wait_for(lambda: gateway.states().count("done") == sent + 1)
        waited = []
        for row in gateway.journal.list_messages(channel="partner", limit=1_000):
            life = gateway.journal.show(row["id"])
            assert life is not None
            if life["partner"] == "erable":
                waited.append((life["finished_at"] - life["received_at"]).total_seconds())
        print(
            f"{len(waited)} of others: longest {max(waited):.1f} s, killed {gateway.log.read_text().count('loop died')}"
        )
        assert max(waited) < 5
        assert gateway.states().count("working") <= 1
