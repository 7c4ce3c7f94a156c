"""`gateway dead`: dead letters are listed and shown where they lie, and go back to the way that they were on."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import kombu
import pytest

from gateway import service
from gateway.journal import Journal
from gateway.loops import queue_names
from gateway.queues import Broker, Letter, open_broker
from routing.partners import load_partners
from tests.conftest import _rabbitmqctl
from tests.support.desk import Run
from tests.support.house import kinds, settings_in
from tests.support.queues import receive
from tests.support.sending import ORIGINAL
from tests.support.way import PLANS, SAMPLES

pytestmark = pytest.mark.usefixtures("quickly")


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.desk.dead.NEXT_SECONDS", 0.1)
    monkeypatch.setattr("gateway.desk.dead.FIRST_SECONDS", 0.3)


@pytest.fixture(params=["sqlite", pytest.param("rabbitmq", marks=pytest.mark.broker)])
def broker(
    request: pytest.FixtureRequest, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Broker]:
    """Give a gateway's own broker of either kind, with its queues; `run` is a command of that gateway."""
    url, partners = settings_in(tmp_path).broker_url, (SAMPLES / "partners.toml").read_text("utf-8")
    if request.param == "rabbitmq":
        url = request.getfixturevalue("rabbitmq_url")
        user = request.getfixturevalue("maple")
        partners = partners.replace("[[partner]]\n", f'[[partner]]\nuser = "{user}"\n')
    (tmp_path / "partners.toml").write_text(partners, "utf-8")
    monkeypatch.setenv("GATEWAY_BROKER_URL", url)
    monkeypatch.setenv("GATEWAY_PARTNERS", str(tmp_path / "partners.toml"))
    settings = settings_in(tmp_path, broker_url=url, partners=tmp_path / "partners.toml")  # type: ignore[arg-type]
    journal = Journal.open(settings.database_url)
    journal.migrate()
    journal.close()
    opened = open_broker(url)
    opened.declare(queue_names(settings))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def maple(_rabbitmq_vhost: tuple[str, str | None]) -> Iterator[str]:
    """Give the broker's user of the partner, made for this run."""
    vhost = urlsplit(_rabbitmq_vhost[0]).path[1:]
    user = f"maple-{vhost[-12:]}"
    _rabbitmqctl("add_user", user, "secret")
    _rabbitmqctl("set_permissions", "-p", vhost, user, "", "^customs.in$", "")
    yield user
    _rabbitmqctl("delete_user", user)


def die(broker: Broker, letter: Letter, tmp_path: Path, sender: str | None = None, limit: bool = False) -> None:
    """Publish a letter, as another user where one is named, and let it become a dead letter."""
    url = _url(broker)
    if sender and not url.startswith("sqlite:"):
        parts = urlsplit(url)
        url = parts._replace(netloc=f"{quote(sender)}:secret@{parts.hostname}:{parts.port or 5672}").geturl()
    before = broker.depth("dead")
    with open_broker(url) as other:
        assert other.publish([letter]).confirmed
    with broker.consume([letter.queue]) as intake:
        (one,) = receive(intake, 1)
        one.reject(requeue=limit)
        while limit and (again := intake.receive(0.3)):
            again[0].reject(requeue=True)
    for _ in range(100):
        if broker.depth("dead") > before:
            return
    raise AssertionError("it did not die")


def _url(broker: Broker) -> str:
    return os.environ["GATEWAY_BROKER_URL"]


def listed(run: Run) -> list[dict[str, str]]:
    found = run("dead", "list", "--format", "json")
    assert found.exit_code == 0, found.output
    rows: list[dict[str, str]] = json.loads(found.stdout)
    return rows


@pytest.mark.parametrize("limit", [False, True], ids=["rejected", "delivered too often"])
def test_what_a_partner_sent_comes_into_the_journal_with_its_proof(
    run: Run, broker: Broker, tmp_path: Path, limit: bool, request: pytest.FixtureRequest
) -> None:
    sender = request.getfixturevalue("maple") if _url(broker).startswith("amqp") else None
    die(broker, Letter("m1", "in.maple", "text/plain", ORIGINAL), tmp_path, sender, limit=limit)
    (row,) = listed(run)
    assert (row["queue"], row["message_id"], row["bytes"]) == ("in.maple", "m1", len(ORIGINAL))
    assert row["why"] == ("delivery_limit" if limit else "rejected")
    assert row["died"]
    assert run("dead", "show", row["id"][:12], "--body").stdout_bytes == ORIGINAL
    shown = run("dead", "show", row["id"][:12]).output
    assert "in.maple" in shown
    assert "UNB" not in shown
    done = run("dead", "requeue", row["id"][:12])
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "1 requeued, 0 stay")
    assert listed(run) == []
    journal = Journal.open(settings_in(tmp_path).database_url)
    partners = load_partners(tmp_path / "partners.toml")
    assert service.work(journal, PLANS, partners, "w") == 1
    (message,) = journal.list_messages(channel="partner")
    assert (message["partner"], message["verdict"], message["findings"]) == ("maple", "accepted", [])
    journal.close()


@pytest.mark.broker
@pytest.mark.parametrize("broker", ["rabbitmq"], indirect=True)
def test_what_another_sent_there_is_as_unproven_as_it_was(run: Run, broker: Broker, tmp_path: Path) -> None:
    die(broker, Letter("m1", "in.maple", "text/plain", ORIGINAL), tmp_path)
    assert run("dead", "requeue", "--all").exit_code == 0
    journal = Journal.open(settings_in(tmp_path).database_url)
    service.work(journal, PLANS, load_partners(tmp_path / "partners.toml"), "w")
    (message,) = journal.list_messages(channel="partner")
    assert [finding["code"] for finding in message["findings"]] == ["GTW-0013"]
    journal.close()


@pytest.mark.broker
@pytest.mark.parametrize("broker", ["rabbitmq"], indirect=True)
def test_where_it_died_is_the_brokers_word_not_its_senders(run: Run, broker: Broker, tmp_path: Path) -> None:
    with kombu.Connection(_url(broker)) as connection:
        forged = [{"queue": "out.erable", "reason": "rejected", "count": 1, "exchange": "", "routing-keys": ["x"]}]
        headers = {"x-death": forged, "x-first-death-queue": "out.erable"}
        connection.Producer().publish("body", routing_key="in.maple", headers=headers)
    with broker.consume(["in.maple"]) as intake:
        receive(intake, 1)[0].reject(requeue=False)
    for _ in range(100):
        if broker.depth("dead"):
            break
    assert [row["queue"] for row in listed(run)] == ["in.maple"]


@pytest.mark.broker
@pytest.mark.parametrize("broker", ["rabbitmq"], indirect=True)
@pytest.mark.parametrize("header", ["CC", "BCC"])
def test_a_copy_by_a_header_is_no_more_addressed_dead_than_alive(
    run: Run, broker: Broker, tmp_path: Path, header: str
) -> None:
    """What the gateway had sent would go to the engine in the gateway's name; what a partner sent would be proven."""
    copies = ["in.maple", "assessment.requests", "dead"]
    forged = [{"queue": "out.maple", "reason": "rejected", "count": 1, "exchange": "", "routing-keys": ["out.maple"]}]
    with kombu.Connection(_url(broker)) as connection:
        headers = {header: copies, "x-death": forged}
        connection.Producer().publish("body", routing_key="in.erable", headers=headers)
    for queue in copies[:2]:
        with broker.consume([queue]) as intake:
            receive(intake, 1)[0].reject(requeue=False)
    for _ in range(100):
        if broker.depth("dead") == len(copies):
            break
    done = run("dead", "requeue", "--all", "--queue", "out.maple")
    assert done.exit_code == 1
    assert done.stderr.count("is a copy") == 2
    assert broker.depth("assessment.requests") == broker.depth("out.maple") == 0
    journal = Journal.open(settings_in(tmp_path).database_url)
    service.work(journal, PLANS, load_partners(tmp_path / "partners.toml"), "w")
    (message,) = journal.list_messages(channel="partner")
    assert [finding["code"] for finding in message["findings"]] == ["GTW-0019"]
    journal.close()


def test_what_the_gateway_sent_goes_out_again_under_its_id(run: Run, broker: Broker, tmp_path: Path) -> None:
    die(broker, Letter("a1", "out.maple", "application/xml", b"<a/>", {"kind": "receipt"}), tmp_path)
    die(broker, Letter("r1", "assessment.requests", "application/json", b"{}", {"kind": "request"}), tmp_path)
    assert run("dead", "requeue", "--all").exit_code == 0
    for queue, id_, body in (("out.maple", "a1", b"<a/>"), ("assessment.requests", "r1", b"{}")):
        letter = broker.take(queue, 5)
        assert letter is not None
        assert (letter.message_id, letter.body) == (id_, body)
    assert kinds([letter]) == ["request"]


def test_looking_changes_nothing_however_often(run: Run, broker: Broker, tmp_path: Path) -> None:
    for number in range(3):
        die(broker, Letter(f"m{number}", "in.maple", "", b"%d" % number), tmp_path)
    first = listed(run)
    assert [row["message_id"] for row in first] == ["m0", "m1", "m2"]
    for _ in range(3):
        assert listed(run) == first
    assert run("dead", "list", "--limit", "1").output.splitlines()[-1] == "1 of 3 dead letters"
    assert run("dead", "requeue", first[1]["id"]).exit_code == 0
    assert [row["message_id"] for row in listed(run)] == ["m0", "m2"]


def test_what_cannot_go_back_stays(run: Run, broker: Broker, tmp_path: Path) -> None:
    gone = f"in.{uuid.uuid4().hex}"
    broker.declare([gone])
    die(broker, Letter("m0", gone, "", b"of a partner who left"), tmp_path)
    done = run("dead", "requeue", "--all")
    assert done.exit_code == 1
    assert "no partner has its queue" in done.stderr
    assert len(listed(run)) == 1


@pytest.mark.parametrize("arguments", [("requeue",), ("requeue", "--all", "abc"), ("show", "abc"), ("requeue", "")])
def test_bad_usage_is_one_line(run: Run, broker: Broker, arguments: tuple[str, ...]) -> None:
    done = run("dead", *arguments)
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1


def test_a_dead_letter_of_a_former_version_needs_to_be_told_its_queue(run: Run, tmp_path: Path) -> None:
    """The embedded queue of 0.2.0 forgot where a dead letter had died."""
    settings = settings_in(tmp_path)
    journal = Journal.open(settings.database_url)
    journal.migrate()
    with open_broker(settings.broker_url) as broker:
        broker.declare(queue_names(settings))
        broker.publish([Letter("m1", "dead", "text/plain", ORIGINAL)])
    assert listed(run)[0]["queue"] is None
    done = run("dead", "requeue", "--all")
    assert done.exit_code == 1
    assert "--queue" in done.stderr
    assert run("dead", "requeue", "--all", "--queue", "in.maple").exit_code == 0
    assert [row["partner"] for row in journal.list_messages(channel="partner")] == ["maple"]
    journal.close()
