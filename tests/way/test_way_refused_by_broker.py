"""What the broker refuses to take parks alone, and waits for an operator; its destination goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway import service
from gateway.queues import Broker, Letter, Published, confirms, open_broker, values
from tests.support.desk import Run, runner
from tests.support.house import House, kinds
from tests.support.sending import ORIGINAL, edifact, messages, number

WORDS = "PRECONDITION_FAILED - message size 12 is larger than max size 10"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(tmp_path, monkeypatch)


def refuse(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Let the broker refuse letters of a kind for ever, as it does with what is too large."""
    real = Broker.publish

    def publish(broker: Broker, batch: Any) -> Published:
        good = [letter for letter in batch if letter.headers.get("kind") != kind]
        told = real(broker, good) if good else Published(frozenset(), frozenset())
        return told._replace(refused={letter.id: WORDS for letter in batch if letter not in good})

    monkeypatch.setattr(Broker, "publish", publish)


def test_it_parks_alone_and_goes_out_once_an_operator_says_so(
    run: Run, gateway: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        refuse(patch, "accepted")
        gateway.send("maple", ORIGINAL, edifact("REF9", number(9)))
        gateway.settle_down()
        assert sorted(kinds(gateway.answers("maple"))) == sorted(2 * ["receipt", "contrl", "assessed"])
        assert gateway.dispatch() == 0
    counts = gateway.journal.counts(service.now())
    assert (counts["outbox"], counts["outbox_parked"], counts["destinations_paused"]) == (0, 2, 0)
    assert run("destinations").stdout.split()[9:12] == ["out.maple", "0", "2"]
    shown = run("show", messages(gateway)[0]["id"]).stdout
    assert "not taken by the broker" in shown
    assert WORDS in " ".join(shown.split())
    assert run("unpark", "out.maple").output == "out.maple: 2 waiting, tried again now\n"
    gateway.settle_down()
    assert kinds(gateway.answers("maple")) == ["accepted", "accepted"]
    assert gateway.journal.counts(service.now())["outbox_parked"] == 0
    assert gateway.journal.verify().bad is None


@pytest.fixture
def broker(rabbitmq_url: str) -> Any:
    with open_broker(rabbitmq_url) as opened:
        opened.declare(["out.a", "out.b"])
        yield opened


@pytest.mark.broker
@pytest.mark.parametrize("bad", [{"a3"}, {"a0", "b9"}, {f"a{n}" for n in range(10)}], ids=["one", "two", "a queue's"])
def test_rabbitmq_takes_the_others(broker: Broker, monkeypatch: pytest.MonkeyPatch, bad: set[str]) -> None:
    """The broker's own refusal, 406, on the channel, of letters that name another user."""
    real = values.message_of

    def message_of(channel: Any, letter: Letter, user: str | None = None) -> Any:
        return real(channel, letter, "somebody-else" if letter.id in bad else user)

    monkeypatch.setattr(confirms, "message_of", message_of)
    batch = [Letter(f"{name}{n}", f"out.{name}", "", b"%d" % n) for n in range(10) for name in "ab"]
    told = broker.publish(batch)
    assert told.refused.keys() == bad
    assert told.confirmed == {letter.id for letter in batch} - bad
    assert all("PRECONDITION_FAILED" in why for why in told.refused.values())
    for name in "ab":
        with broker.consume([f"out.{name}"]) as intake:
            got: list[str] = []
            while letters := intake.receive(0.3):
                got += [letter.message_id or "" for letter in letters]
                intake.ack(letters)
        wanted = [letter.id for letter in batch if letter.id[0] == name and letter.id not in bad]
        assert list(dict.fromkeys(got)) == wanted, "in order, whatever came twice"
