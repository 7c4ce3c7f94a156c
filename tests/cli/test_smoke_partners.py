"""Customs' side of the conformance kit: a right partner passes, six wrong ones fail where and why they should."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from core.envelope import Envelope
from gateway.queues import Broker, open_broker
from gateway.trade.scenario import Scenario
from gateway.trade.smoke import Result
from gateway.trade.smoke_sender import Sender
from gateway.trade.writer import write_edifact
from tests.support import smoke_partners as partners
from tests.support.builders import DECLARATION
from tests.support.way import PARTNERS, PLANS


class Wrong(NamedTuple):
    """A partner with one mistake: the stage and step at which it fails, and what the sentences say."""

    twist: partners.Twist
    stage: int
    step: str
    en: str
    fr: str
    reads: bool = True


WRONG = {
    "no receipt read": Wrong(
        partners.right, 1, "1.1", "lie unread in out.maple", "restent non lues dans out.maple", reads=False
    ),
    "wrong encoding, EDIFACT": Wrong(
        partners.writes_utf8_as_latin, 2, "2.1", "The bytes are UTF-8, but the message declares another character set.",
        "Les octets sont en UTF-8, mais le message déclare un autre jeu de caractères.",
    ),
    "wrong encoding, XML": Wrong(
        partners.writes_latin_as_utf8, 2, "2.1", "was refused. The document's bytes are not of the encoding",
        "Les octets du document ne sont pas de l'encodage",
    ),
    "ignores refusals": Wrong(
        partners.ignores_refusals, 3, "3.2", "(CAD-0150) was read and ignored: it never came put right",
        "(CAD-0150) a été lu et ignoré : il n'est jamais revenu corrigé",
    ),
    "repeats what was refused": Wrong(
        partners.repeats_refused_bytes(), 3, "3.2", "came again: the refusal was not understood",
        "sont revenus : le refus n'a pas été compris",
    ),
    "repeats versions": Wrong(
        partners.repeats_versions, 4, "4.2", "The system repeats a version", "Le système répète une version"
    ),
    "drops lines in a change": Wrong(
        partners.drops_lines, 4, "4.2", "The system drops lines in a change", "Le système omet des lignes"
    ),
    "too many faults": Wrong(
        partners.sends_too_many_faults, 5, "5.1",
        "36 of 40 declarations (90%) were free of faults; at least 95% must be",
        "36 déclarations sur 40 (90 %) étaient sans faute; il en faut au moins 95 %",
    ),
}  # fmt: skip

VARIANTS = {"wrong encoding, XML", "repeats what was refused"}  # of another mistake; the embedded queue is enough


def check_wrong(url: str, home: Path, wrong: Wrong) -> None:
    result, _ = partners.examine(url, home, wrong.twist, reads=wrong.reads)
    assert not result.passed
    assert result.failed_stage == wrong.stage, [(line.id, line.sentence) for line in result.lines()]
    line = next(line for line in result.lines() if line.state != "passed")
    assert (line.id, line.state) == (wrong.step, "failed")
    assert line.sentence
    assert wrong.en in line.sentence.en
    assert wrong.fr in line.sentence.fr
    later = [line for stage in result.stages[wrong.stage :] for line in stage.lines]
    assert all(line.state == "not-reached" and line.sentence and "Not reached" in line.sentence.en for line in later)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_partner_fails_where_and_why_it_should(tmp_path: Path, name: str) -> None:
    check_wrong(f"sqlite:///{tmp_path}/queue.db", tmp_path, WRONG[name])


@pytest.mark.broker
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in WRONG if name not in VARIANTS])
def test_a_wrong_partner_fails_over_rabbitmq_too(rabbitmq_url: str, tmp_path: Path, name: str) -> None:
    check_wrong(rabbitmq_url, tmp_path, WRONG[name])


def check_right(url: str, home: Path) -> None:
    result, said = partners.examine(url, home, partners.right)
    with open_broker(url) as broker:
        engines = ["assessment.requests", "assessment.requests.test", "assessment.results"]
        assert broker.missing(engines) == engines, "nothing of it comes near an assessment engine"
    assert result.passed, [(line.id, line.sentence) for line in result.lines() if line.state != "passed"]
    assert result.messages == partners.MESSAGES
    assert "stage 2, 0 of 11 done" not in said, "a new stage is shown in full"
    assert any(text.startswith("stage 2, 1 of 11 done; missing: 2.2") for text in said)


@pytest.mark.slow
def test_our_own_sender_passes_as_a_partner(tmp_path: Path) -> None:
    check_right(f"sqlite:///{tmp_path}/queue.db", tmp_path)


@pytest.mark.broker
@pytest.mark.slow
def test_our_own_sender_passes_over_rabbitmq(rabbitmq_url: str, tmp_path: Path) -> None:
    check_right(rabbitmq_url, tmp_path)


# ------------------------------------------------------------------------------------------------ ways of one's own


def kit_of(*stages: int) -> Scenario:
    """Return the kit with some of its stages only."""
    return msgspec.structs.replace(partners.SCENARIO, stage=[partners.SCENARIO.stage[n - 1] for n in stages])


def attend_to(folder: Path, scenario: Scenario, program: Callable[[Broker, Sender], None]) -> Result:
    """Let customs attend to a program of maple's."""
    url = f"sqlite:///{folder}/queue.db"

    def run() -> None:
        with open_broker(url) as broker:
            program(broker, Sender(PLANS, PARTNERS["maple"], "12345", datetime.now(UTC)))

    return partners.attended(url, folder, threading.Thread(target=run, daemon=True), scenario)[0]


def read_all(broker: Broker, patience: float = 30) -> None:
    """Take answers until none has come for so long; customs leaves as soon as it has seen all it wants."""
    while broker.take("out.maple", patience):
        pass


def test_a_partner_may_send_everything_at_once_and_in_its_own_order(tmp_path: Path) -> None:
    scenario = kit_of(1, 2)

    def program(broker: Broker, sender: Sender) -> None:
        first, *others = [sender.make(step, None, scenario)[0].letter for step in scenario.steps()]
        broker.publish([first, *reversed(others)])
        read_all(broker)

    result = attend_to(tmp_path, scenario, program)
    assert result.passed, [(line.id, line.sentence) for line in result.lines()]


def test_several_messages_in_one_interchange_each_count(tmp_path: Path) -> None:
    scenario = kit_of(2)

    def program(broker: Broker, sender: Sender) -> None:
        made = [sender.make(step, None, scenario)[0] for step in scenario.steps()]
        envelope = Envelope("MAPLEBROKER", "CADGATEWAY", "ALL", test=True)
        declarations = [each.draft.freeze() for each in made if each.draft]
        body = write_edifact(declarations, DECLARATION, envelope, prepared=datetime.now(UTC))
        broker.publish([made[0].letter._replace(body=body)])
        read_all(broker)

    result = attend_to(tmp_path, scenario, program)
    assert result.passed, [(line.id, line.sentence) for line in result.lines()]
    assert result.messages == 11


@pytest.mark.slow
def test_what_is_not_marked_as_a_test_does_not_count(tmp_path: Path) -> None:
    scenario = kit_of(1)

    def program(broker: Broker, sender: Sender) -> None:
        letter = sender.make(next(iter(scenario.steps())), None, scenario)[0].letter
        broker.publish([letter._replace(body=letter.body.replace(b"++++++1'", b"'", 1))])
        read_all(broker, 3)

    (line,) = attend_to(tmp_path, scenario, program).lines()
    assert line.sentence
    assert "is not marked as a test; it went to no engine and does not count" in line.sentence.en


def test_mending_before_the_refusal_was_read_is_no_understanding(tmp_path: Path) -> None:
    scenario = kit_of(3)

    def program(broker: Broker, sender: Sender) -> None:
        wrong, mended = list(scenario.steps())[:2]
        (first,) = sender.make(wrong, None, scenario)
        (second,) = sender.make(mended, first, scenario)
        broker.publish([first.letter])
        while not broker.depth("out.maple"):
            pass
        broker.publish([second.letter])
        while broker.depth("out.maple") < 6:  # receipt, CONTRL and refusal; receipt, CONTRL and acceptance
            pass
        read_all(broker, 1)

    _, line, *_ = attend_to(tmp_path, scenario, program).lines()
    assert line.state == "failed"
    assert line.sentence
    assert "came again before the refusal was read" in line.sentence.en


def test_a_partner_that_never_comes_is_told_what_is_missing(tmp_path: Path) -> None:
    result = attend_to(tmp_path, partners.SCENARIO, lambda _broker, _sender: None)
    first, *others = result.lines()
    assert first.sentence
    assert (first.state, first.sentence.en, first.sentence.fr) == (
        "missing", "No such message came.", "Aucun message de ce genre n'est venu.",
    )  # fmt: skip
    assert {line.sentence.en for line in others if line.sentence} == {"Not reached: an earlier stage is not done."}
