"""RabbitMQ alone: hostile properties, the topology, and a network that stalls, lies late and breaks."""

from __future__ import annotations

import random
import socket
import threading
import time
import uuid
import zlib
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

import amqp
import kombu
import pytest

import gateway.queues.confirms
import gateway.queues.rabbitmq
from core.errors import BrokerUnavailable, GatewayError
from gateway.queues import Broker, Letter, open_broker, patches
from gateway.queues.rabbitmq import lacks
from tests.conftest import _rabbitmqctl, absent
from tests.support.wire import Wire

pytestmark = pytest.mark.broker


@pytest.fixture
def broker_url(shared_rabbitmq_url: str) -> str:
    return shared_rabbitmq_url


def send_raw(url: str, queue: str, body: bytes, exchange: str = "", **properties: object) -> None:
    """Publish as a stranger's client would, with whatever properties."""
    with kombu.Connection(url) as connection:
        channel = connection.channel()
        channel.confirm_select()
        answered: list[int] = []
        channel.events["basic_ack"].add(lambda tag, _multiple: answered.append(tag))
        channel.basic_publish(amqp.Message(body, **properties), exchange=exchange, routing_key=queue)
        while not answered:
            connection.drain_events(timeout=5)


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"content_encoding": "utf-16"},
        {"content_encoding": "utf-8"},
        {"content_encoding": "no such thing"},
        {"content_type": b"\xff\xfe"},
        {"content_type": b"text/\xed\xa0\x80"},
        {"content_type": "application/x-python-serialize", "content_encoding": "binary"},
        {"application_headers": {"compression": "application/x-gzip", "kind": {"a": ["b"]}, "reference": 7}},
        {"application_headers": {"kind": "\x00\n"}},
        {"message_id": b"\xff", "correlation_id": "x", "reply_to": "elsewhere"},
        {"expiration": "3600000", "priority": 9, "timestamp": 1 << 40},
    ],
    ids=str,
)
def test_strange_properties_neither_stop_the_reader_nor_change_a_byte(
    shared_rabbitmq_url: str, broker: Broker, queue: str, properties: dict[str, object]
) -> None:
    body = zlib.compress(b"\xff\xfeU\x00N\x00B\x00")
    send_raw(shared_rabbitmq_url, queue, body, **properties)
    got = broker.take(queue, 5)
    assert got is not None
    assert got.body == body
    assert got.content_type.isprintable()
    assert not got.headers


def test_the_brokers_word_on_the_user_is_handed_on(shared_rabbitmq_url: str, broker: Broker, queue: str) -> None:
    user = urlsplit(shared_rabbitmq_url).username
    send_raw(shared_rabbitmq_url, queue, b"", user_id=user)
    send_raw(shared_rabbitmq_url, queue, b"")
    assert [got and got.user_id for got in (broker.take(queue, 5), broker.take(queue, 5))] == [user, None]


def test_filers_reach_their_queue_by_the_intake_exchange(shared_rabbitmq_url: str, broker: Broker, queue: str) -> None:
    send_raw(shared_rabbitmq_url, queue, b"from a filer", exchange="customs.in")
    got = broker.take(queue, 5)
    assert got is not None
    assert got.body == b"from a filer"


@pytest.mark.parametrize("header", ["CC", "BCC"])
def test_a_copy_by_a_header_is_told_from_what_was_sent_to_the_queue(
    shared_rabbitmq_url: str, broker: Broker, queue: str, header: str
) -> None:
    """Before RabbitMQ 4.0.4 the headers CC and BCC get around topic permissions."""
    other = f"{queue}x"
    broker.declare([other])
    send_raw(shared_rabbitmq_url, queue, b"", exchange="customs.in", application_headers={header: [other]})
    sent, copy = broker.take(queue, 5), broker.take(other, 5)
    assert (sent and sent.addressed, copy and copy.addressed) == (True, False)
    with kombu.Connection(shared_rabbitmq_url) as connection:
        connection.channel().queue_delete(other)


def test_the_brokers_version_is_asked(broker: Broker) -> None:
    assert broker.version().startswith("RabbitMQ ")
    assert "GTW-0019" in (lacks("RabbitMQ 4.0.3") or "")
    assert [lacks(said) for said in ("RabbitMQ 4.0.4", "RabbitMQ 10.1.0", "SQLite 3.1.0", "LavinMQ 2.0")] == [None] * 4


def test_a_queue_with_other_properties_is_one_clear_line(shared_rabbitmq_url: str, broker: Broker) -> None:
    name = f"in.{uuid.uuid4().hex}"
    with kombu.Connection(shared_rabbitmq_url) as connection:
        connection.channel().queue_declare(name, durable=True, auto_delete=False)
    with pytest.raises(GatewayError, match="PRECONDITION_FAILED") as caught:
        broker.declare([name])
    assert "\n" not in str(caught.value)


def test_a_wrong_password_is_one_clear_line(shared_rabbitmq_url: str) -> None:
    parts = urlsplit(shared_rabbitmq_url)
    url = parts._replace(netloc=f"{parts.username}:wrong-secret@{parts.hostname}:{parts.port or 5672}").geturl()
    with pytest.raises(BrokerUnavailable, match="ACCESS_REFUSED") as caught:
        open_broker(url).version()
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_second_node_is_used_when_the_first_is_away(shared_rabbitmq_url: str, queue: str) -> None:
    broker = open_broker(f"amqp://127.0.0.1:1/;{shared_rabbitmq_url}")
    assert broker.publish([Letter("id", queue, "", b"")]).confirmed == {"id"}


def test_a_reader_whose_queue_is_deleted_is_told(shared_rabbitmq_url: str, broker: Broker, queue: str) -> None:
    with broker.consume([queue]) as intake:
        with kombu.Connection(shared_rabbitmq_url) as connection:
            connection.channel().queue_delete(queue)
        with pytest.raises(BrokerUnavailable):
            intake.receive(5)


def _process(url: str, queue: str) -> str:
    """Return the Erlang expression for a quorum queue's process."""
    vhost = unquote(urlsplit(url).path[1:]).replace("/", "%2F")
    return f"whereis('{vhost}_{queue}')"


@pytest.fixture
def hanging(shared_rabbitmq_url: str, queue: str) -> Iterator[str]:
    """Give a queue that does not answer, like one without a leader."""
    process = _process(shared_rabbitmq_url, queue)
    if _rabbitmqctl("eval", f"ok = sys:suspend({process}).") is None:
        absent("rabbitmqctl cannot be used here")
    yield queue
    _rabbitmqctl("eval", f"ok = sys:resume({process}).")


@pytest.mark.slow
def test_a_queue_that_hangs_holds_up_no_other(
    shared_rabbitmq_url: str, hanging: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others' letters are confirmed in the same batch, wherever they stand, and are read; the reader knows of it.

    When it answers again, it is read as well.
    """
    monkeypatch.setattr(gateway.queues.confirms, "CONFIRM_SECONDS", 2.0)
    monkeypatch.setattr(gateway.queues.rabbitmq, "SOCKET_SECONDS", 1.0)
    other = f"out.{uuid.uuid4().hex}"
    with open_broker(shared_rabbitmq_url) as broker:
        broker.declare([other])
        batch = [Letter("a", hanging, "", b""), Letter("b", other, "", b""), Letter("c", hanging, "", b"")]
        assert broker.publish(batch).confirmed == {"b"}
        with pytest.raises(BrokerUnavailable, match=f"no queue answers .{hanging}"):
            broker.consume([hanging])
        for queues in ([other, hanging], [hanging, other]):
            with broker.consume(queues) as intake:
                assert intake.silent == [hanging]
                (read,) = intake.receive(5.0)
                assert (read.queue, read.body) == (other, b"")
                intake.reject([read], requeue=True)
        with broker.consume([hanging, other]) as intake:
            intake.ack(intake.receive(5.0))
            _rabbitmqctl("eval", f"ok = sys:resume({_process(shared_rabbitmq_url, hanging)}).")
            assert broker.publish([Letter("d", hanging, "", b"")]).confirmed == {"d"}
            ids: list[str | None] = []
            while "d" not in ids:  # of those that were not confirmed some may have come before it
                got = intake.receive(10.0)
                assert got
                ids += [one.message_id for one in got]
                intake.ack(got)
    with kombu.Connection(shared_rabbitmq_url) as connection:
        connection.channel().queue_delete(other)


# ------------------------------------------------------------------------------------------------ the network


@pytest.fixture
def wire(shared_rabbitmq_url: str) -> Iterator[Wire]:
    parts = urlsplit(shared_rabbitmq_url)
    wire = Wire(parts.hostname or "127.0.0.1", parts.port or 5672)
    yield wire
    wire.close()


@pytest.fixture
def distant(shared_rabbitmq_url: str, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    """Give the broker behind the wire, with short deadlines."""
    monkeypatch.setattr(gateway.queues.confirms, "CONFIRM_SECONDS", 1.0)
    monkeypatch.setattr(gateway.queues.rabbitmq, "SOCKET_SECONDS", 1.0)
    monkeypatch.setattr(gateway.queues.rabbitmq, "CONNECT_SECONDS", 1.0)
    parts = urlsplit(shared_rabbitmq_url)
    netloc = f"{parts.username}:{parts.password}@127.0.0.1:{wire.port}"
    with open_broker(parts._replace(netloc=netloc).geturl()) as broker:
        yield broker


@pytest.mark.slow
def test_a_late_confirmation_confirms_nothing_else(distant: Broker, broker: Broker, wire: Wire, queue: str) -> None:
    distant.publish([Letter("first", queue, "", b"")])
    wire.down.clear()  # `a` reaches the broker, its confirmation stays on the way
    with pytest.raises(BrokerUnavailable, match="nothing confirmed within 1 s"):
        distant.publish([Letter("a", queue, "", b"")])
    wire.up.clear()  # `b` does not reach it, and now the confirmation of `a` arrives
    wire.down.set()
    with pytest.raises(BrokerUnavailable):
        distant.publish([Letter("b", queue, "", b"")])
    wire.cut()
    wire.up.set()
    assert [got and got.message_id for got in (broker.take(queue, 5), broker.take(queue, 5))] == ["first", "a"]
    assert distant.publish([Letter("b", queue, "", b"")]).confirmed == {"b"}


@pytest.mark.slow
def test_a_stalled_broker_does_not_hold_the_publisher_for_ever(distant: Broker, wire: Wire, queue: str) -> None:
    distant.publish([Letter("first", queue, "", b"")])
    wire.up.clear()
    with pytest.raises(BrokerUnavailable):
        distant.publish([Letter(f"id-{n}", queue, "", bytes(1_000_000)) for n in range(50)])


def test_a_slow_link_takes_a_batch_bit_by_bit(distant: Broker, wire: Wire, queue: str) -> None:
    distant.publish([Letter("first", queue, "", b"")])
    line = distant._publisher._connection.connection.sock  # type: ignore[union-attr]
    line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
    wire.rate = 400_000
    assert distant.publish([Letter(f"id-{n}", queue, "", bytes(10_000)) for n in range(200)]).confirmed


def test_what_was_numbered_but_not_sent_does_not_count(distant: Broker, queue: str) -> None:
    with pytest.raises(TypeError):
        distant.publish([Letter("a", queue, "", b""), Letter("b", queue, "", object())])  # type: ignore[arg-type]
    assert distant.publish([Letter("c", queue, "", b"")]).confirmed == {"c"}


def test_nothing_confirmed_is_lost_when_the_link_is_cut_again_and_again(
    distant: Broker, broker: Broker, wire: Wire, queue: str
) -> None:
    done = threading.Event()

    def vandal() -> None:
        while not done.wait(random.uniform(0.005, 0.08)):
            wire.cut()

    thread = threading.Thread(target=vandal)
    thread.start()
    confirmed: set[str] = set()
    whole = broken = sent = 0
    try:
        while min(whole, broken) < 5 and sent < 20_000:
            batch = [Letter(f"id-{n}", queue, "", b"x" * 200) for n in range(sent, sent + 50)]
            sent += 50
            try:
                now = distant.publish(batch).confirmed
            except BrokerUnavailable:
                now = frozenset()
            confirmed |= now
            whole, broken = whole + (len(now) == 50), broken + (len(now) < 50)
    finally:
        done.set()
        thread.join()
    arrived = set()
    with broker.consume([queue], prefetch=200) as intake:
        while deliveries := intake.receive(1):
            arrived |= {one.message_id for one in deliveries}
            intake.ack(deliveries)
    assert min(whole, broken) >= 5
    assert confirmed <= arrived


@pytest.mark.slow
def test_an_idle_reader_keeps_its_connection(broker: Broker, queue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        gateway.queues.rabbitmq, "HEARTBEAT_SECONDS", 2
    )  # after a silence of two of these RabbitMQ cuts
    with broker.consume([queue]) as intake:
        assert intake.receive(6) == []
        broker.publish([Letter("id", queue, "", b"")])
        intake.ack(intake.receive(5))
    assert broker.depth(queue) == 0


@pytest.mark.slow
def test_a_reader_notices_a_silent_broker(
    distant: Broker, wire: Wire, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.queues.rabbitmq, "HEARTBEAT_SECONDS", 1)
    with distant.consume([queue]) as intake:
        wire.down.clear()
        with pytest.raises(BrokerUnavailable, match="heartbeats missed"):
            intake.receive(30)


def test_an_idle_publisher_finds_a_cut_link_and_goes_on(distant: Broker, wire: Wire, queue: str) -> None:
    distant.publish([Letter("a", queue, "", b"")])
    wire.cut()
    time.sleep(0.05)
    assert distant.publish([Letter("b", queue, "", b"")]).confirmed == {"b"}


def test_a_lost_connection_stays_lost(distant: Broker, wire: Wire, queue: str) -> None:
    """The library opened another at the next touch: without deadlines, and nobody heard of the end of an alarm."""
    connection = distant.connect()
    wire.cut()
    for touch in (lambda: connection.drain_events(timeout=1), connection.channel, lambda: connection.connection):
        with pytest.raises(distant.errors) as told:
            touch()
        assert not isinstance(told.value, TimeoutError)
    patches.drop(connection)


@pytest.mark.slow
def test_a_broker_that_does_not_read_for_seconds_is_not_left(
    distant: Broker, wire: Wire, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel broke off after one second, told so by the library."""
    for module, name in ((gateway.queues.confirms, "CONFIRM_SECONDS"), (gateway.queues.rabbitmq, "SOCKET_SECONDS")):
        monkeypatch.setattr(module, name, 20.0)
    distant.publish([Letter("first", queue, "", b"")])
    wire.up.clear()
    threading.Timer(4, wire.up.set).start()
    batch = [Letter(f"id-{n}", queue, "", bytes(1_000_000)) for n in range(20)]
    assert len(distant.publish(batch).confirmed) == 20


def test_a_reader_on_a_cut_link_is_told_and_its_messages_come_back(
    distant: Broker, broker: Broker, wire: Wire, queue: str
) -> None:
    broker.publish([Letter(f"id-{n}", queue, "", b"") for n in range(5)])
    with distant.consume([queue]) as intake:
        got = intake.receive(5)
        assert got
        wire.cut()
        with pytest.raises(BrokerUnavailable, match="not available"):
            intake.receive(5)
        with pytest.raises(BrokerUnavailable, match="closed"):
            intake.receive(0)
    with broker.consume([queue]) as intake:
        again = []
        while len(again) < 5:
            again += intake.receive(5)
        intake.ack(again)
    assert {one.uid for one in got} <= {one.uid for one in again if one.redelivered}
