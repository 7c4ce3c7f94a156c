"""What the service may rely on, the same on both kinds of broker."""

from __future__ import annotations

import bz2
import lzma
import os
import signal
import subprocess
import sys
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from core import limits
from core.errors import GatewayError
from gateway.queues import DELIVERY_LIMIT, Broker, Letter
from tests.support.queues import READER, letters, receive


@pytest.fixture(params=["sqlite", pytest.param("rabbitmq", marks=pytest.mark.broker)])
def broker_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'queue.db'}"
    return str(request.getfixturevalue("shared_rabbitmq_url"))


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


def test_what_is_settled_is_gone_when_that_is_said(broker: Broker, queue: str) -> None:
    """An acknowledgement by itself has no answer on RabbitMQ."""
    broker.publish(letters(queue, 3))
    with broker.consume([queue]) as intake:
        got = receive(intake, 3)
        assert intake.settle(got[:2])
        assert intake.settle(got[:2]), "nothing is left to do"
        intake.close()
        with pytest.raises(GatewayError):
            intake.settle(got[2:])
    assert [one.uid for one in (broker.take(queue, 5), broker.take(queue, 0.3)) if one] == [got[2].uid]


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
        assert broker.publish(batch) == ({"a", "c"}, {"b"}, {})
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


@pytest.mark.slow
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
