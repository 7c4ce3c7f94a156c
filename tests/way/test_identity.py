"""Who sends: transport, envelope and importer must agree; each disagreement has its finding, and nothing is routed."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import kombu
import pytest
from click.testing import CliRunner

from core import limits
from core.calendar import Period
from core.envelope import Envelope
from core.errors import GatewayError
from core.partner import Partner
from core.transmission import Outcome, Received, Verdict
from gateway import service
from gateway.arrivals import arrival
from gateway.cli.main import main
from gateway.desk.replay import judge_again
from gateway.journal import Arrival, Journal
from gateway.queues import Delivery, Letter, open_broker
from gateway.trade.writer import write_edifact, write_xml
from routing.partners import inbound_queue, load_partners
from routing.routes import RESULTS, load_routes
from tests.conftest import absent
from tests.support.builders import DECLARATION, IMPORTER, valid_declaration
from tests.support.house import House, as_user, house, kinds
from tests.support.sending import Clock
from tests.support.way import HOME, NOW, PARTNERS, Way

ENVELOPE = Envelope("MAPLEBROKER", "CARMGATEWAY", "REF1MINE")
GOOD = write_edifact([valid_declaration()], DECLARATION, ENVELOPE, prepared=NOW)
MANY = write_edifact([valid_declaration()] * 3, DECLARATION, ENVELOPE, prepared=NOW)
NUMBER = valid_declaration().transaction_number or ""
MAPLE = PARTNERS["maple"]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as opened:
        yield opened


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(service, "now", clock)
    return clock


def codes(gateway: House) -> list[list[str]]:
    """Return the findings of every transmission, newest first."""
    lives = [gateway.journal.show(row["id"]) for row in gateway.journal.list_messages()]
    return [[f["code"] for message in life["messages"] for f in message["findings"]] for life in lives if life]


def nothing_routed(gateway: House) -> bool:
    return not any(gateway.broker.depth(queue) for queue in load_routes().values())


@pytest.mark.parametrize(("user", "code"), [(None, "GTW-0012"), ("erable", "GTW-0013"), ("", "GTW-0013")])
def test_who_is_not_proven_is_told_nothing_and_routed_nowhere(gateway: House, user: str | None, code: str) -> None:
    as_user(gateway, user)
    gateway.send("maple", GOOD)
    while gateway.receive() + gateway.work() + gateway.dispatch():
        pass
    assert codes(gateway) == [[code]]
    assert nothing_routed(gateway)
    (answer,) = gateway.answers("maple")
    assert answer.headers["kind"] == "refused"
    assert code.encode() in answer.body
    assert IMPORTER.encode() not in answer.body
    assert gateway.answers("erable") == []
    (row,) = gateway.journal.list_messages()
    life = gateway.journal.show(row["id"])
    assert life is not None
    assert (life["partner"], life["headers"]) == ("", {})
    assert life["unproven"] == {"code": code, "queue": "in.maple", "user": user}


@pytest.mark.parametrize("body", [GOOD, MANY], ids=["one", "many"])
def test_nothing_of_an_unproven_senders_bytes_is_in_the_answer(gateway: House, body: bytes) -> None:
    """The owner of the queue got another's numbers and references as its own, once for each message."""
    as_user(gateway, "erable")
    gateway.send("maple", body)
    gateway.settle_down()
    (answer,) = gateway.answers("maple")
    for said in (b"MINE", NUMBER.encode(), IMPORTER.encode()):
        assert said in body
        assert said not in answer.body


def test_unproven_senders_are_answered_a_few_times_a_minute(gateway: House, clock: Clock) -> None:
    """A queue's owner could be flooded with refusals of what it never sent."""
    as_user(gateway, "erable")
    most = limits.UNPROVEN_ANSWERED
    for _ in range(3):
        gateway.send("maple", *[GOOD] * most)
        gateway.settle_down()
    assert kinds(gateway.answers("maple")) == ["refused"] * most
    assert codes(gateway) == [["GTW-0013"]] * 3 * most
    as_user(gateway, None)
    gateway.send("maple", GOOD)
    gateway.settle_down()
    assert kinds(gateway.answers("maple")) == ["refused"], "another sender"
    clock.ahead += timedelta(seconds=61)
    as_user(gateway, "erable")
    gateway.send("maple", GOOD)
    gateway.settle_down()
    assert kinds(gateway.answers("maple")) == ["refused"]


@pytest.mark.parametrize("user", ["erable", None, "maple"])
def test_a_copy_of_what_went_to_another_queue_is_told_to_nobody(gateway: House, user: str | None) -> None:
    """A broker's headers CC and BCC put a copy into queues that the sender has no permission for."""
    as_user(gateway, user)
    real = gateway.intake.receive
    gateway.intake.receive = lambda wait: [replace(one, addressed=False) for one in real(wait)]  # type: ignore[method-assign]
    gateway.send("maple", GOOD)
    while gateway.receive() + gateway.work() + gateway.dispatch():
        pass
    assert codes(gateway) == [["GTW-0019"]]
    assert nothing_routed(gateway)
    assert gateway.answers("maple") == []


@pytest.mark.parametrize("partner", ["maple", None])
def test_a_senders_own_header_named_unproven_has_no_effect(gateway: House, partner: str | None) -> None:
    """It was told by the headers' names, among which it stood."""
    own = {"unproven": "GTW-0013", "queue": "in.erable", "user": "erable"}
    arrival = Arrival("x", "partner", partner, GOOD, own, service.now(), lane="x")
    gateway.journal.receive([arrival])
    assert gateway.work() == 1
    (row,) = gateway.journal.list_messages()
    life = gateway.journal.show(row["id"])
    assert life is not None
    assert (life["headers"], life["unproven"]) == (own, None)
    assert codes(gateway) == ([[]] if partner else [["GTW-0003"]])
    shown = json.loads(run_show(gateway, row["id"]))
    assert (shown["headers"], shown["unproven"]) == (own, None)
    (recorded,) = gateway.journal.recorded([1])
    ((_, again),) = judge_again([recorded], gateway.journal, gateway.plans, gateway.partners, lambda row: row.id)
    assert isinstance(again, Outcome)
    assert [[f.code for f in one.findings] for one in again.judged] == codes(gateway)


def test_what_a_sender_writes_as_a_header_named_unproven_is_dropped_at_the_queue(gateway: House) -> None:
    own = {"unproven": "GTW-0013", "queue": "in.erable", "user": "erable", "kind": "cad"}
    assert gateway.broker.publish([Letter("x", "in.maple", "", GOOD, own)]).confirmed
    gateway.settle_down()
    assert kinds(gateway.answers("maple")) == ["receipt", "contrl", "accepted", "assessed"]
    (row,) = gateway.journal.list_messages(channel="partner")
    life = gateway.journal.show(row["id"])
    assert life is not None
    assert (life["headers"], life["unproven"]) == ({"kind": "cad", "message-id": "x"}, None)


def run_show(gateway: House, id_: str) -> str:
    """Return what `gateway show` prints of a message as JSON."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GATEWAY_DATABASE_URL", gateway.journal.url)
        result = CliRunner().invoke(main, ["show", id_, "--format", "json"])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_who_then_proves_itself_is_heard_with_the_same_bytes(gateway: House) -> None:
    as_user(gateway, None)
    gateway.send("maple", GOOD)
    gateway.settle_down()
    assert kinds(gateway.answers("maple")) == ["refused"]
    as_user(gateway, "maple")
    gateway.send("maple", GOOD)
    gateway.settle_down()
    assert kinds(gateway.answers("maple")) == ["receipt", "contrl", "accepted", "assessed"]


def test_an_impostor_learns_nothing_of_what_is_on_file(gateway: House) -> None:
    as_user(gateway, "maple")
    gateway.send("maple", GOOD)
    gateway.settle_down()
    gateway.answers("maple")
    as_user(gateway, "erable")
    gateway.send("maple", GOOD)
    gateway.settle_down()
    assert kinds(gateway.answers("maple")) == ["refused"]
    assert codes(gateway)[0] == ["GTW-0013"]


def test_a_partner_may_connect_as_another_user_than_its_id(tmp_path: Path) -> None:
    path = tmp_path / "partners.toml"
    path.write_text(
        (HOME / "samples/partners.toml").read_text("utf-8").replace('id = "maple"', 'id = "maple"\nuser = "mcb"')
    )
    partners = load_partners(path)
    assert (partners["maple"].user, partners["erable"].user) == ("mcb", "erable")
    with house(tmp_path, partners) as gateway:
        as_user(gateway, "mcb")
        gateway.send("maple", GOOD)
        gateway.settle_down()
        assert kinds(gateway.answers("maple")) == ["receipt", "contrl", "accepted", "assessed"]


def judged(partner: Partner | None, body: bytes) -> Outcome:
    way = Way()
    if partner is None:
        from core.register import Facts
        from gateway import pipeline

        return pipeline.handle(Received("0" * 32, None, body, NOW), Facts(None), way.plans)
    outcome, _, _ = way.send(partner, body)
    assert outcome is not None
    return outcome


def delegated(*periods: Period) -> Partner:
    return replace(MAPLE, authorities={IMPORTER: periods} if periods else {})


YESTERDAY = (NOW - timedelta(days=1)).date()
SOMEBODY = write_edifact(
    [valid_declaration()], DECLARATION, Envelope("ERABLECOURTIER", "CARMGATEWAY", "REF1"), prepared=NOW
)
SOMEBODY_IN_XML = write_xml(valid_declaration(), DECLARATION, Envelope("ERABLECOURTIER", "CARMGATEWAY", "REF1"))


@pytest.mark.parametrize(
    ("partner", "body", "code"),
    [
        (None, GOOD, "GTW-0003"),
        (MAPLE, SOMEBODY, "EDI-0109"),
        (MAPLE, SOMEBODY_IN_XML, "GTW-0004"),
        (delegated(), GOOD, "GTW-0005"),
        (delegated(Period(None, YESTERDAY)), GOOD, "GTW-0005"),
        (delegated(Period(NOW.date() + timedelta(days=1), None)), GOOD, "GTW-0005"),
        (replace(MAPLE, active=False), GOOD, "GTW-0006"),
    ],
)
def test_each_disagreement_is_a_finding_of_its_own(partner: Partner | None, body: bytes, code: str) -> None:
    outcome = judged(partner, body)
    assert [finding.code for one in outcome.judged for finding in one.findings] == [code]
    assert {one.verdict for one in outcome.judged} == {Verdict.REFUSED}
    assert not any(item.kind == "request" for item in outcome.outgoing)


@pytest.mark.parametrize(
    "edge", [Period(None, NOW.date()), Period(NOW.date(), None), Period(NOW.date(), NOW.date()), Period()], ids=str
)
def test_the_first_and_the_last_day_of_a_delegation_count(edge: Period) -> None:
    assert judged(delegated(edge), GOOD).judged[0].verdict is Verdict.ACCEPTED


def test_what_comes_by_a_queue_of_nobodys_is_kept_and_goes_nowhere(gateway: House) -> None:
    letter = gateway_letter(gateway, "in.maple", GOOD)
    nobody = replace(letter, queue="in.gone")
    gateway.journal.receive([arrival(nobody, None, (0, "0" * 64), (), service.now())])
    assert gateway.work() == 1
    assert codes(gateway) == [["GTW-0003"]]
    assert gateway.journal.due(10, service.now()) == []


def gateway_letter(gateway: House, queue: str, body: bytes) -> Delivery:
    gateway.broker.publish([Letter("x", queue, "", body)])
    letter = gateway.broker.take(queue, 2)
    assert letter is not None
    return letter


def test_an_answer_never_goes_where_the_message_says(gateway: House) -> None:
    letter = Letter("m", "in.maple", "", GOOD, {"reply-to": "out.erable", "reply_to": "out.erable"})
    assert gateway.broker.publish([letter]).confirmed
    gateway.settle_down()
    assert kinds(gateway.answers("maple")) == ["receipt", "contrl", "accepted", "assessed"]
    assert gateway.answers("erable") == []


# ------------------------------------------------------------------------------------------------ on RabbitMQ


class Town:
    """A virtual host whose users `gateway broker-users` has made."""

    def __init__(self, url: str, vhost: str, partners: Path, suffix: str) -> None:
        self.url, self.vhost, self.path, self.suffix = url, vhost, partners, suffix
        self.partners = load_partners(partners)

    def url_of(self, user: str, host: str = "127.0.0.1:5672") -> str:
        return f"amqp://{user}-{self.suffix}:secret@{host}/{quote(self.vhost, safe='')}"

    def publish(self, user: str, body: bytes, **properties: Any) -> None:
        """Publish as a user to maple's queue by the intake exchange, waiting for the broker's word."""
        options = {"exchange": "customs.in", "routing_key": "in.maple"} | properties
        with kombu.Connection(self.url_of(user), transport_options={"confirm_publish": True}) as connection:
            connection.Producer().publish(body, content_type="a/b", content_encoding="binary", retry=False, **options)


@pytest.fixture(scope="session")
def town_with_users(
    _rabbitmq_vhost: tuple[str, str | None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Town]:
    """Give the town once for all tests: to make its users takes more than ten seconds."""
    url, vhost = _rabbitmq_vhost
    if not shutil.which("rabbitmqctl") or vhost is None:
        absent("rabbitmqctl cannot be used here")
    suffix = uuid.uuid4().hex[:8]
    path = tmp_path_factory.mktemp("town") / "partners.toml"
    text = (HOME / "samples/partners.toml").read_text("utf-8")
    for name in ("maple", "erable"):
        text = text.replace(f'id = "{name}"', f'id = "{name}"\nuser = "{name}-{suffix}"')
    path.write_text(text)
    options = ["--vhost", vhost, "--gateway-user", f"gateway-{suffix}", "--engine-user", f"engine-{suffix}"]
    done = CliRunner().invoke(main, ["broker-users", *options], env={"GATEWAY_PARTNERS": str(path)})
    assert done.exit_code == 0, done.output
    with ExitStack() as afterwards:
        for name in ("maple", "erable", "gateway", "engine"):
            afterwards.callback(
                subprocess.run,
                ["rabbitmqctl", "-q", "delete_user", f"{name}-{suffix}"],
                capture_output=True,
                check=False,
            )
        for line in done.output.splitlines():
            words = shlex.split(line)
            password = ["secret"] if words[1] == "add_user" else []  # a person types it
            subprocess.run(["rabbitmqctl", "-q", *words[1:], *password], capture_output=True, check=True)
        yield Town(url, vhost, path, suffix)


@pytest.fixture
def town(town_with_users: Town, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch) -> Town:
    """Give the town with no queue in it, and its partners' file to all commands."""
    monkeypatch.setenv("GATEWAY_PARTNERS", str(town_with_users.path))
    return town_with_users


@pytest.mark.slow
@pytest.mark.broker
def test_the_brokers_word_decides_on_rabbitmq(town: Town, tmp_path: Path) -> None:
    partners = town.partners
    wanted = [*(inbound_queue(name) for name in partners), *(each.answer_queue for each in partners.values()), RESULTS]
    journal = Journal.open(f"sqlite:///{tmp_path}/gateway.sqlite3")
    journal.migrate()
    with open_broker(town.url_of("gateway")) as broker:
        broker.declare([*wanted, *load_routes().values()])
        with broker.consume([*(inbound_queue(name) for name in partners), RESULTS]) as intake:
            gateway = House(broker, journal, intake, partners)
            maple = f"maple-{town.suffix}"
            town.publish("maple", GOOD, message_id="1", user_id=maple)
            town.publish("maple", GOOD, message_id="2")
            town.publish("gateway", GOOD, message_id="3", user_id=f"gateway-{town.suffix}")
            for attempt in (
                lambda: town.publish("maple", GOOD, user_id=f"erable-{town.suffix}"),  # forged
                lambda: town.publish("erable", GOOD, user_id=f"erable-{town.suffix}"),  # another's queue
                lambda: town.publish("maple", GOOD, exchange="", user_id=maple),  # round the exchange
                lambda: town.publish("maple", b"{}", exchange="", routing_key=RESULTS, user_id=maple),  # as the engine
            ):
                refused(attempt)
            while gateway.receive() + gateway.work() + gateway.dispatch():
                pass
            assert sorted(each for found in codes(gateway) for each in found) == ["GTW-0012", "GTW-0013"]
            assert sum(broker.depth(queue) for queue in set(load_routes().values())) == 1
    # The partner's own client reads its answers with its own user, and nobody else's.
    with open_broker(town.url_of("maple")) as own:
        got = [own.take("out.maple", 2) for _ in range(5)]
        assert sorted(one.headers["kind"] for one in got if one) == [
            "accepted",
            "contrl",
            "receipt",
            "refused",
            "refused",
        ]
        refused(lambda: own.take("out.erable", 1))
        refused(lambda: own.take("in.maple", 1))
        assert own.publish([Letter(uuid.uuid4().hex, "in.maple", "", GOOD)]).confirmed
        refused(lambda: own.publish([Letter(uuid.uuid4().hex, "out.erable", "", GOOD)]))
    journal.close()


def refused(attempt: Callable[[], object]) -> None:
    """Expect RabbitMQ to refuse."""
    with pytest.raises(Exception, match=r"ACCESS_REFUSED|PRECONDITION_FAILED|access|refused|403|406") as caught:
        attempt()
    assert "403" in str(caught.value) or "406" in str(caught.value) or isinstance(caught.value, GatewayError)
