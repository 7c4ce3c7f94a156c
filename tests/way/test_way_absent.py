"""One partner's missing queue, a file that is being written, more queues than channels: the others go on."""

from __future__ import annotations

import math
from pathlib import Path

import kombu
import pytest
from prometheus_client.parser import text_string_to_metric_families

from core.errors import GatewayError
from gateway import loops
from gateway.figures import Figures
from gateway.journal import Journal
from gateway.queues import Letter, confirms, open_broker, rabbitmq
from gateway.settings import Settings
from routing.partners import load_partners
from tests.support.desk import runner
from tests.support.queues import receive
from tests.way.test_way_outage import away, looping, received, send, settings, tries, until

__all__ = ["settings", "tries"]


def remove(url: str, queue: str) -> None:
    with open_broker(url) as broker, broker.channel() as channel:
        channel.queue_delete(queue)


def figures(text: bytes) -> dict[tuple[str, str], float]:
    """Return the gauges by name and queue."""
    return {
        (sample.name, sample.labels.get("queue", "")): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def shown(settings: Settings) -> dict[tuple[str, str], float]:
    journal = Journal.open(settings.database_url)
    try:
        return figures(Figures(settings, journal, load_partners(settings.partners)).text())
    finally:
        journal.close()


def test_a_missing_queue_stops_its_partner_only_and_is_read_once_it_is_there(
    settings: Settings, tries: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "LOOK_SECONDS", 0.1)
    remove(settings.broker_url, "in.erable")
    with open_broker(settings.broker_url) as broker, looping(settings, "receive", tries):
        send(broker, 2)
        until(lambda: received(settings) == 2)
        assert not tries
        broker.declare(["in.erable"])
        broker.publish([Letter("late", "in.erable", "", b"<late/>")])
        until(lambda: received(settings) == 3)


def test_a_missing_queue_is_told_and_takes_no_other_figure_along(settings: Settings) -> None:
    remove(settings.broker_url, "in.erable")
    with open_broker(settings.broker_url) as broker:
        send(broker, 2)
        until(lambda: broker.depth("in.maple") == 2)
    found = shown(settings)
    assert found["gateway_broker_up", ""] == 1
    assert found["gateway_queue_messages", "in.maple"] == 2
    assert found["gateway_queue_absent", "in.maple"] == 0
    assert found["gateway_queue_absent", "in.erable"] == 1
    assert math.isnan(found["gateway_queue_messages", "in.erable"])


def test_no_figure_vanishes_while_journal_or_broker_is_away(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shown(settings)
    monkeypatch.setattr(Journal, "counts", away)
    monkeypatch.setattr("gateway.figures.open_broker", away)
    after = shown(settings)
    assert (after["gateway_journal_up", ""], after["gateway_broker_up", ""]) == (0, 0)
    lost = before.keys() - after.keys() - {("gateway_audit_links", "")}
    assert not lost
    assert math.isnan(after["gateway_parked", ""])
    assert math.isnan(after["gateway_queue_messages", "dead"])


def test_a_half_written_partners_file_keeps_the_last_good_one(
    settings: Settings, tries: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loops, "_known", {})
    good = settings.partners.read_text("utf-8")
    known = loops.known_partners(settings)
    settings.partners.write_text(good[: len(good) // 2] + "\n[[partner", "utf-8")
    with open_broker(settings.broker_url) as broker, looping(settings, "receive", tries):
        send(broker, 1)
        until(lambda: received(settings) == 1)
    assert not tries
    assert loops.known_partners(settings) == known
    assert "the last good one stays" in capsys.readouterr().out
    settings.partners.write_text(good.replace('id = "maple"', 'id = "maple2"', 1), "utf-8")
    assert "maple2" in loops.known_partners(settings)
    settings.partners.unlink()
    assert "maple2" in loops.known_partners(settings)
    monkeypatch.setattr(loops, "_known", {})
    with pytest.raises(GatewayError):
        loops.known_partners(settings)


# ------------------------------------------------------------------------------------------------ RabbitMQ's channels


@pytest.mark.broker
def test_more_queues_than_channels_are_read_and_written(rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (rabbitmq, confirms):
        monkeypatch.setattr(module, "channels_of", lambda _: 3)
    names = [f"in.p{n}" for n in range(8)]
    with open_broker(rabbitmq_url) as broker:
        broker.declare(names)
        batch = [Letter(f"{name}-{n}", name, "", b"%d" % n) for n in range(3) for name in names]
        absent = Letter("lost", "out.nowhere", "", b"")
        for turn in range(2):
            told = broker.publish([*batch, absent])
            assert told.confirmed == {one.id for one in batch}, turn
            assert told.unroutable == {"lost"}
        with broker.consume(names) as intake:
            assert len(intake._channels) == 3
            assert intake.silent == []
            got = receive(intake, 48)
            intake.ack(got[::2])
            intake.ack(got[1::2])
        assert sum(broker.depths(names).values()) == 0  # type: ignore[arg-type]


@pytest.mark.broker
def test_a_connection_never_asks_for_more_channels_than_the_broker_gives(rabbitmq_url: str) -> None:
    with open_broker(rabbitmq_url) as broker:
        count = broker.channels()
        assert count is not None
        with broker._connected() as connection:
            for _ in range(count):
                connection.channel()


@pytest.mark.broker
def test_a_queue_of_another_kind_keeps_no_other_from_being_made(rabbitmq_url: str) -> None:
    with kombu.Connection(rabbitmq_url) as connection:
        connection.default_channel.queue_declare("in.classic", durable=True, auto_delete=False)
    with open_broker(rabbitmq_url) as broker:
        with pytest.raises(GatewayError, match=r"in\.classic"):
            broker.declare(["in.a", "in.classic", "in.z"])
        assert broker.missing(["in.a", "in.z"]) == []


@pytest.mark.broker
def test_doctor_counts_channels(rabbitmq_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = runner(tmp_path, monkeypatch)
    monkeypatch.setenv("GATEWAY_BROKER_URL", rabbitmq_url)
    assert "channels of" in " ".join(run("doctor", "--declare").stdout.split())
    monkeypatch.setattr(rabbitmq, "channels_of", lambda _: 2)
    assert "some share one" in " ".join(run("doctor").stdout.split())
