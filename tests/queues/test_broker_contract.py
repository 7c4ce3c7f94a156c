"""What the service may rely on, the same on both kinds of broker."""

from __future__ import annotations

import bz2
import lzma
import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import kombu
import pytest

import gateway.queues.store
from core import limits
from core.errors import BrokerUnavailable, GatewayError
from gateway.queues import DELIVERY_LIMIT, Broker, Delivery, Intake, Letter, open_broker


@pytest.fixture(params=["sqlite", pytest.param("rabbitmq", marks=pytest.mark.broker)])
def broker_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'queue.db'}"
    return str(request.getfixturevalue("shared_rabbitmq_url"))


@pytest.fixture
def broker(broker_url: str) -> Iterator[Broker]:
    with open_broker(broker_url) as broker:
        yield broker


@pytest.fixture
def queue(broker: Broker, broker_url: str) -> Iterator[str]:
    name = f"in.{uuid.uuid4().hex}"
    broker.declare([name])
    yield name
    if broker_url.startswith("amqp"):
        with kombu.Connection(broker_url) as connection:
            connection.channel().queue_delete(name)


def letters(queue: str, count: int, body: bytes = b"body", start: int = 0) -> list[Letter]:
    return [Letter(f"id-{n}", queue, "text/plain", body, {"kind": "test"}) for n in range(start, start + count)]


def receive(intake: Intake, count: int, seconds: float = 20) -> list[Delivery]:
    """Receive until there are `count` messages; fewer fail."""
    end, got = time.monotonic() + seconds, []
    while len(got) < count and time.monotonic() < end:
        got += intake.receive(0.5)
    assert len(got) == count
    return got


def test_what_is_published_arrives_in_order_with_all_it_carries(broker: Broker, queue: str) -> None:
    published = broker.publish([Letter(f"id-{n}", queue, "text/plain", b"%d" % n, {"kind": "k"}) for n in range(100)])
    assert published.confirmed == {f"id-{n}" for n in range(100)}
    assert not published.unroutable
    assert broker.depth(queue) == 100
    with broker.consume([queue]) as intake:
        got = []
        while len(got) < 100:
            deliveries = intake.receive(5)
            assert 0 < len(deliveries) <= 50
            got += deliveries
            intake.ack(deliveries)
        assert intake.receive(0) == []
    assert [one.body for one in got] == [b"%d" % n for n in range(100)]
    first = got[0]
    assert (first.queue, first.message_id, first.content_type) == (queue, "id-0", "text/plain")
    assert (first.headers, first.redelivered) == ({"kind": "k"}, False)
    assert len({one.uid for one in got}) == 100
    assert broker.depth(queue) == 0


def test_unacknowledged_messages_come_back_marked_with_the_same_uid(broker: Broker, queue: str) -> None:
    broker.publish(letters(queue, 4))
    with broker.consume([queue]) as intake:
        before = receive(intake, 4)
        before[1].ack()
        assert broker.depth(queue) == 0
    with broker.consume([queue]) as intake:
        after = receive(intake, 3)
        assert [one.uid for one in after] == [one.uid for one in before if one is not before[1]]
        assert all(one.redelivered for one in after)
        intake.ack(after)
    assert broker.take(queue, 0.3) is None


def test_acknowledging_twice_or_elsewhere_does_nothing(broker: Broker, queue: str) -> None:
    broker.publish(letters(queue, 2))
    with broker.consume([queue]) as old:
        first = receive(old, 2)[0]
    with broker.consume([queue]) as intake:
        intake.ack([first])
        again = receive(intake, 2)
        again[0].ack()
        again[0].ack()
    assert broker.take(queue, 5) is not None
    assert broker.depth(queue) == 0


def test_messages_without_an_id_are_told_apart(broker: Broker, queue: str) -> None:
    broker.publish([Letter("", queue, "", b"same"), Letter("", queue, "", b"same")])
    with broker.consume([queue]) as intake:
        assert len({one.uid for one in receive(intake, 2)}) == 2


def test_a_reused_id_with_other_bytes_is_another_message(broker: Broker, queue: str) -> None:
    for body in (b"one", b"two", b"one"):
        broker.publish([Letter("id", queue, "", body)])
    with broker.consume([queue]) as intake:
        uids = [one.uid for one in receive(intake, 3)]
    assert uids[0] == uids[2] != uids[1]


def test_a_rejected_message_goes_back_or_to_the_dead(broker: Broker, queue: str) -> None:
    broker.purge("dead")
    broker.publish(letters(queue, 1))
    with broker.consume([queue]) as intake:
        receive(intake, 1)[0].reject(requeue=True)
        receive(intake, 1)[0].reject(requeue=False)
        assert intake.receive(0.2) == []
    dead = broker.take("dead", 5)
    assert dead is not None
    assert dead.message_id == "id-0"


def test_a_message_delivered_too_often_goes_to_the_dead(broker: Broker, queue: str) -> None:
    broker.purge("dead")
    broker.publish(letters(queue, 1))
    deliveries = 0
    with broker.consume([queue]) as intake:
        while (got := intake.receive(0.5)) and deliveries < 3 * DELIVERY_LIMIT:
            deliveries += 1
            intake.reject(got, requeue=True)
    assert DELIVERY_LIMIT <= deliveries <= DELIVERY_LIMIT + 1
    assert broker.take("dead", 5) is not None


def test_the_unroutable_is_told_apart_and_holds_up_nobody(broker: Broker, queue: str) -> None:
    absent = f"out.{uuid.uuid4().hex}"
    for _ in range(2):
        batch = [Letter("a", queue, "", b"1"), Letter("b", absent, "", b"2"), Letter("c", queue, "", b"3")]
        assert broker.publish(batch) == ({"a", "c"}, {"b"})
    assert broker.depth(queue) == 4


def test_a_missing_queue_is_one_clear_line(broker: Broker, queue: str) -> None:
    absent = f"in.{uuid.uuid4().hex}"
    assert broker.missing([absent, queue]) == [absent]
    with pytest.raises(GatewayError, match=f"no queue '{absent}'") as caught:
        broker.consume([queue, absent])
    assert "\n" not in str(caught.value)
    with pytest.raises(GatewayError, match="NOT_FOUND"):
        broker.depth(absent)
    broker.declare([absent])
    broker.declare([absent])
    assert broker.missing([absent]) == []


def test_large_messages_come_in_small_numbers(broker: Broker, queue: str) -> None:
    body = b"x" * (limits.BATCH_BYTES // 2)
    broker.publish([Letter(str(n), queue, "text/plain", body) for n in range(6)])
    counts = []
    with broker.consume([queue], prefetch=50) as intake:
        while sum(counts) < 6:
            got = intake.receive(5.0)
            intake.ack(got)
            counts.append(len(got))
    assert max(counts) <= 2


def test_several_queues_are_read_by_one_intake(broker: Broker, queue: str) -> None:
    other = f"in.{uuid.uuid4().hex}"
    broker.declare([other])
    broker.publish([*letters(queue, 3), *letters(other, 3)])
    with broker.consume([queue, other]) as intake:
        got = receive(intake, 6)
        intake.ack(got)
    assert sorted(one.queue for one in got) == sorted([queue] * 3 + [other] * 3)
    assert len({one.uid for one in got}) == 6


def test_a_large_body_arrives_byte_for_byte(broker: Broker, queue: str) -> None:
    body = os.urandom(10_000_000)
    assert broker.publish([Letter("big", queue, "application/octet-stream", body)]).confirmed == {"big"}
    got = broker.take(queue, 20)
    assert got is not None
    assert got.body == body


@pytest.mark.parametrize(
    ("compression", "compress"),
    [("application/x-gzip", zlib.compress), ("zlib", zlib.compress), ("bzip2", bz2.compress), ("xz", lzma.compress)],
)
def test_a_body_is_never_unpacked(
    broker: Broker, queue: str, compression: str, compress: Callable[[bytes], bytes]
) -> None:
    bomb = compress(bytes(20_000_000))
    broker.publish([Letter("bomb", queue, "application/x-python-serialize", bomb, {"compression": compression})])
    got = broker.take(queue, 5)
    assert got is not None
    assert got.body == bomb
    assert got.content_type == "application/x-python-serialize"
    assert not got.headers


def test_only_known_short_printable_headers_are_handed_on(broker: Broker, queue: str) -> None:
    headers = {"kind": "k\x00", "reference": "r" * 201, "evil": "x", "file-name": "déclaration 1.edi"}
    broker.publish([Letter("id", queue, "text/\nplain", b"", headers)])
    got = broker.take(queue, 5)
    assert got is not None
    assert got.headers == {"file-name": "déclaration 1.edi"}
    assert got.content_type == ""


READER = """
import sys, time
from gateway.queues import open_broker
with open_broker(sys.argv[1]).consume([sys.argv[2]], prefetch=5) as intake:
    got = []
    while len(got) < 5:
        got += intake.receive(1)
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_killed_reader_loses_nothing(broker_url: str, broker: Broker, queue: str) -> None:
    broker.publish(letters(queue, 20))
    reader = subprocess.Popen([sys.executable, "-c", READER, broker_url, queue], stdout=subprocess.PIPE)
    assert reader.stdout is not None
    assert reader.stdout.readline() == b"ready\n"
    reader.send_signal(signal.SIGKILL)
    reader.wait()
    reader.stdout.close()
    with broker.consume([queue]) as intake:
        got = []
        while len(got) < 20:
            deliveries = intake.receive(10)
            assert deliveries
            intake.ack(deliveries)
            got += deliveries
    assert {one.message_id for one in got} == {f"id-{n}" for n in range(20)}
    assert sum(one.redelivered for one in got) == 5


WRITER = """
import sys
from gateway.queues import Letter, open_broker
url, queue, name = sys.argv[1:]
with open_broker(url) as broker:
    for start in range(0, 300, 10):
        batch = [Letter(f"{name}-{n}", queue, "", b"x" * 500) for n in range(start, start + 10)]
        assert len(broker.publish(batch).confirmed) == 10
"""
COMPETITOR = """
import sys
from gateway.queues import open_broker
with open_broker(sys.argv[1]).consume([sys.argv[2]], prefetch=7) as intake:
    while True:
        got = intake.receive(2)
        if not got:
            break
        intake.ack(got)
        for one in got:
            print(one.message_id, flush=True)
"""


def test_writers_and_readers_at_once(broker_url: str, broker: Broker, queue: str) -> None:
    start = [sys.executable, "-c"]
    writers = [subprocess.Popen([*start, WRITER, broker_url, queue, name]) for name in "ab"]
    readers = [subprocess.Popen([*start, COMPETITOR, broker_url, queue], stdout=subprocess.PIPE) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0]
    got = [line for reader in readers for line in reader.communicate()[0].split()]
    while (left := broker.take(queue, 0.2)) is not None:  # a reader that was quicker than the writers has left early
        got.append(str(left.message_id).encode())
    assert [reader.returncode for reader in readers] == [0, 0, 0]
    assert len(got) == 600
    assert len(set(got)) == 600


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
    open_broker(f"sqlite:///{tmp_path}/queue.db").ping()
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
    for call in (broker.ping, lambda: broker.publish(letters("in", 1)), lambda: broker.consume(["in"])):
        with pytest.raises(BrokerUnavailable, match="not available") as caught:
            call()
        assert "secret" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_an_unusable_file_is_one_clear_line(tmp_path: Path) -> None:
    with open(f"{tmp_path}/queue.db", "wb") as file:
        file.write(b"this is no database" * 100)
    broker = open_broker(f"sqlite:///{tmp_path}/queue.db")
    for call in (broker.ping, lambda: broker.publish(letters("in", 1)), lambda: broker.consume(["in"])):
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


def test_an_idle_reader_sees_a_new_message_and_the_end_of_a_lease(tmp_path: Path) -> None:
    broker = open_broker(f"sqlite:///{tmp_path}/queue.db?lease=1.5")
    broker.declare(["in"])
    with broker.consume(["in"]) as holder, broker.consume(["in"]) as idle:
        assert idle.receive(0.1) == []
        broker.publish(letters("in", 1))
        receive(idle, 1)
        assert holder.receive(0.1) == []
        assert receive(holder, 1)[0].redelivered


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
