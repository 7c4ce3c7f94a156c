"""The embedded queue's file, and brokers that cannot be reached or used."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

import gateway.queues.store
from core.errors import BrokerUnavailable, GatewayError
from gateway.queues import Letter, open_broker
from tests.support import shortcuts
from tests.support.queues import READER, letters, receive


def test_processes_may_start_together(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new/queue.db"
    code = "import sys; from gateway.queues import open_broker; open_broker(sys.argv[1]).declare(sys.argv[2:])"
    starting = [subprocess.Popen([sys.executable, "-c", code, url, f"in.{n}"]) for n in range(4)]
    assert [one.wait() for one in starting] == [0, 0, 0, 0]
    assert open_broker(url).missing([f"in.{n}" for n in range(4)]) == []


def test_a_late_acknowledgement_leaves_the_next_readers_message_alone(tmp_path: Path) -> None:
    broker = open_broker(f"sqlite:///{tmp_path}/queue.db?lease=0.05")
    broker.declare(["in"])
    broker.publish(letters("in", 1))
    with broker.consume(["in"]) as slow:
        [late] = receive(slow, 1)
        time.sleep(0.1)
        with broker.consume(["in"]) as quick:
            [other] = receive(quick, 1)
            assert (other.uid, other.redelivered) == (late.uid, True)
            late.ack()
    again = broker.take("in", 5)
    assert again is not None
    assert again.uid == late.uid


def test_the_embedded_file_is_its_owners_alone(tmp_path: Path) -> None:
    open_broker(f"sqlite:///{tmp_path}/queue.db").version()
    assert os.stat(f"{tmp_path}/queue.db").st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "url",
    [
        "",
        "queue.db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///queue.db?lease=soon",
        "sqlite:///queue.db?lease=0",
        "sqlite:///queue.db?mode=ro",
        "sqlite://user@host/queue.db",
        "redis://:secret@localhost",
        "amqp://user:secret@host:port/x",
        "amqp://user:secret@host;redis://other",
        "memory://",
        "amqps://user:secret@host/x?ssl_cert_reqs=CERT_NONE",
        "amqp://user:secret@host/x?unknown=1",
    ],
)
def test_an_unusable_url_is_one_clear_line_without_its_password(url: str) -> None:
    with pytest.raises(GatewayError) as caught:
        open_broker(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["amqp://user:secret@127.0.0.1:1/x", "amqp://u:secret@127.0.0.1:1/;amqp://127.0.0.1:1/"]
)
def test_an_absent_broker_is_one_clear_line_without_its_password(url: str) -> None:
    broker = open_broker(url)
    assert "secret" not in broker.url
    for call in (broker.version, lambda: broker.publish(letters("in", 1)), lambda: broker.consume(["in"])):
        with pytest.raises(BrokerUnavailable, match="not available") as caught:
            call()
        assert "secret" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_an_unusable_file_is_one_clear_line(tmp_path: Path) -> None:
    with open(f"{tmp_path}/queue.db", "wb") as file:
        file.write(b"this is no database" * 100)
    broker = open_broker(f"sqlite:///{tmp_path}/queue.db")
    for call in (broker.version, lambda: broker.publish(letters("in", 1)), lambda: broker.consume(["in"])):
        with pytest.raises(BrokerUnavailable, match="not a database") as caught:
            call()
        assert "\n" not in str(caught.value)


def test_a_locked_file_is_one_clear_line_and_then_works_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.queues.store, "BUSY_SECONDS", 0.2)
    broker = open_broker(f"sqlite:///{tmp_path}/queue.db")
    broker.declare(["in"])
    with closing(sqlite3.connect(tmp_path / "queue.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BrokerUnavailable, match="database is locked"):
            broker.publish(letters("in", 1))
        assert broker.depth("in") == 0
        other.execute("ROLLBACK")
    assert broker.publish(letters("in", 1)).confirmed == {"id-0"}


def test_a_full_disk_confirms_nothing_that_is_not_kept(tmp_path: Path) -> None:
    code = """
import resource, sys
from gateway.queues import Letter, open_broker
from core.errors import BrokerUnavailable
broker = open_broker(sys.argv[1])
broker.declare(["in"])
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
confirmed = 0
try:
    while confirmed < 100:
        confirmed += len(broker.publish([Letter(str(confirmed), "in", "", bytes(100_000))]).confirmed)
except BrokerUnavailable:
    print(confirmed)
"""
    url = f"sqlite:///{tmp_path}/queue.db"
    done = subprocess.run([sys.executable, "-c", code, url], stdout=subprocess.PIPE, check=True)
    confirmed = int(done.stdout)
    assert 0 < confirmed < 100
    assert open_broker(url).depth("in") == confirmed


@pytest.mark.slow
def test_an_idle_reader_sees_a_new_message_and_the_end_of_a_lease(tmp_path: Path) -> None:
    broker = open_broker(f"sqlite:///{tmp_path}/queue.db?lease=1.5")
    broker.declare(["in"])
    with broker.consume(["in"]) as holder, broker.consume(["in"]) as idle:
        assert idle.receive(0.1) == []
        broker.publish(letters("in", 1))
        receive(idle, 1)
        assert holder.receive(0.1) == []
        assert receive(holder, 1)[0].redelivered


@pytest.mark.slow
def test_nothing_overtakes_what_a_hanging_reader_holds(tmp_path: Path) -> None:
    """What stands behind it waits for the end of its lease; other queues do not, nor the reader's own next messages."""
    broker = open_broker(f"sqlite:///{tmp_path}/queue.db?lease=1.5")
    broker.declare(["in", "other"])
    broker.publish(letters("in", 4))
    hanging = broker.consume(["in"], prefetch=2)
    held = receive(hanging, 2)
    broker.publish([Letter("elsewhere", "other", "text/plain", b"x")])
    with broker.consume(["in", "other"]) as reader:
        first = receive(reader, 1)
        assert [one.queue for one in first] == ["other"]
        reader.ack(first)
        assert reader.receive(0.1) == []
        rest = receive(reader, 4)
    assert [one.uid for one in rest[:2]] == [one.uid for one in held]
    assert all(one.redelivered for one in rest[:2])


def test_nothing_overtakes_what_another_took_after_it_was_given_back(tmp_path: Path) -> None:
    broker = open_broker(f"sqlite:///{tmp_path}/queue.db")
    broker.declare(["in"])
    broker.publish(letters("in", 3))
    with broker.consume(["in"]) as first, broker.consume(["in"], prefetch=1) as second:
        first.reject(receive(first, 3), requeue=True)
        held = receive(second, 1)
        assert first.receive(0.1) == []
        second.ack(held)
        assert [one.message_id for one in receive(first, 2)] == ["id-1", "id-2"]


@pytest.mark.slow
def test_a_killed_readers_messages_come_back_at_once_and_in_order(tmp_path: Path) -> None:
    """Long before its lease ends, to a reader that waits already; a living one keeps its own."""
    url = f"sqlite:///{tmp_path}/queue.db?lease=600"
    broker = open_broker(url)
    broker.declare(["in", "other"])
    broker.publish([*letters("in", 7), *letters("other", 2, start=7)])
    with broker.consume(["other"]) as living, broker.consume(["in", "other"]) as waiting:
        kept = receive(living, 2)
        reader = subprocess.Popen([sys.executable, "-c", READER, url, "in"], stdout=subprocess.PIPE)
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"ready\n"
        assert waiting.receive(1.5) == []
        reader.kill()
        reader.wait()
        reader.stdout.close()
        assert [one.message_id for one in receive(waiting, 7)] == [f"id-{n}" for n in range(7)]
        assert waiting.receive(1.5) == []
        living.ack(kept)
    assert os.listdir(tmp_path / "queue.db.readers") == []


def test_a_queue_file_of_before_gets_what_it_lacks(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/queue.db"
    with open_broker(url) as broker:
        broker.declare(["in"])
        broker.publish(letters("in", 1))
    with closing(sqlite3.connect(tmp_path / "queue.db")) as connection:
        connection.execute("ALTER TABLE message DROP COLUMN reader")
    taken = open_broker(url).take("in", 5)
    assert taken is not None
    assert taken.message_id == "id-0"


def test_what_is_committed_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortcuts, "durable", True)
    with gateway.queues.store.open_file(tmp_path / "queue.db").connect() as connection:
        pragmas = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    assert pragmas == ["wal", 2]
