"""Partners' systems for the conformance kit, as small programs: one does everything right, others one thing wrong."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from core.partner import Partner
from core.transmission import Syntax
from gateway.cli.reports import program
from gateway.queues import open_broker
from gateway.trade.scenario import KIT, Scenario, Step, load_scenario
from gateway.trade.smoke import Result, blank
from gateway.trade.smoke_attend import attend
from gateway.trade.smoke_broker import Mailbox
from gateway.trade.smoke_sender import Sender, Sent
from routing.partners import inbound_queue
from tests.support.way import PARTNERS, PLANS

SCENARIO = load_scenario(KIT)
MESSAGES = sum(step.count or 1 for step in SCENARIO.steps() if step.send != "again")

Twist = Callable[[Sender, Step, list[Sent]], list[Sent] | None]


class System(threading.Thread):
    """A partner's system: sends the steps in order and reads its answers; `twist` changes what it sends (None: end)."""

    def __init__(self, url: str, partner: Partner, twist: Twist, *, reads: bool = True) -> None:
        super().__init__(daemon=True)
        self.url, self.partner, self.twist, self.reads = url, partner, twist, reads

    def run(self) -> None:
        sender = Sender(PLANS, self.partner, "12345", datetime.now(UTC))
        with open_broker(self.url) as broker:
            if not self.reads:
                broker.publish([each.letter for each in sender.make(next(iter(SCENARIO.steps())), None, SCENARIO)])
                return
            done: dict[str, Sent] = {}
            with Mailbox(broker, self.partner.answer_queue, PLANS) as mailbox:
                for step in SCENARIO.steps():
                    made = self.twist(sender, step, sender.make(step, done.get(step.of or ""), SCENARIO))
                    if made is None:
                        return
                    mailbox.expect(made)
                    broker.publish([each.letter for each in made])
                    mailbox.collect(20)
                    done[step.id] = made[0]
                    for each in made:
                        if "accepted" in each.kinds():
                            sender.accepted(each)
                    if any("refused" in each.kinds() for each in made) and "refused" not in step.expect:
                        return  # it has no way to go on


def right(_sender: Sender, _step: Step, made: list[Sent]) -> list[Sent]:
    return made


def repeats_versions(sender: Sender, step: Step, made: list[Sent]) -> list[Sent]:
    if step.send != "correction":
        return made
    draft = copy.deepcopy(made[0].draft)
    assert draft
    draft.top["version"] = "00001"
    return [sender.write(step, draft, draft, made[0].syntax)]


def drops_lines(sender: Sender, step: Step, made: list[Sent]) -> list[Sent]:
    if step.send != "correction":
        return made
    draft = copy.deepcopy(made[0].draft)
    assert draft
    draft.invoices[0][1].pop()
    draft.add_up()
    return [sender.write(step, draft, draft, made[0].syntax)]


def writes_utf8_as_latin(sender: Sender, step: Step, made: list[Sent]) -> list[Sent]:
    """Declare UNOC (ISO 8859-1) and write UTF-8."""
    return [_recoded(sender, step, each, Syntax.EDIFACT, "latin-1", "utf-8") for each in made]


def writes_latin_as_utf8(sender: Sender, step: Step, made: list[Sent]) -> list[Sent]:
    """Declare UTF-8 in XML and write ISO 8859-1."""
    return [_recoded(sender, step, each, Syntax.XML, "utf-8", "latin-1") for each in made]


def _recoded(sender: Sender, step: Step, sent: Sent, syntax: Syntax, declared: str, written: str) -> Sent:
    if sent.draft is None or sent.sound is None:
        return sent
    again = sender.write(step, sent.sound, sent.draft, syntax)
    again.letter = again.letter._replace(body=again.letter.body.decode(declared).encode(written))
    return again


def ignores_refusals(sender: Sender, step: Step, made: list[Sent]) -> list[Sent] | None:
    """Read a refusal, and go on with the next declaration."""
    if step.id.startswith("4."):
        return None
    if step.send != "mended":
        return made
    return sender.make(msgspec.structs.replace(step, send="declaration", cad_type="AB", of=None), None, SCENARIO)


def repeats_refused_bytes() -> Twist:
    """Read a refusal, and send the same bytes once more."""
    refused: list[Sent] = []

    def twist(_sender: Sender, step: Step, made: list[Sent]) -> list[Sent] | None:
        if step.send == "mended":
            made[0].letter = made[0].letter._replace(body=refused[-1].letter.body)
            made[0].reference = refused[-1].reference
        elif "refused" in step.expect:
            refused.append(made[0])
        return made

    return twist


def sends_too_many_faults(sender: Sender, step: Step, made: list[Sent]) -> list[Sent]:
    if step.send != "many":
        return made
    return sender.make(msgspec.structs.replace(step, good=0.8), None, SCENARIO)


def owner_of(url: str) -> Partner:
    """Return the sample partner maple, known to the broker by the URL's user."""
    return replace(PARTNERS["maple"], user=urlsplit(url).username or "maple")


def blank_result(scenario: Scenario) -> Result:
    return Result(
        role="customs",
        partner="maple",
        partner_name="Maple",
        broker="amqp://host",
        title=scenario.title,
        kit=scenario.digest,
        specification=PLANS.digest,
        program=program(),
        started=datetime.now(UTC).isoformat(),
        ended=datetime.now(UTC).isoformat(),
        stages=blank(scenario),
    )


def examine(url: str, home: Path, twist: Twist, *, reads: bool = True) -> tuple[Result, list[str]]:
    """Let customs attend to a partner's system; return the results and what was said on the way."""
    return attended(url, home, System(url, owner_of(url), twist, reads=reads), SCENARIO)


def attended(url: str, home: Path, system: threading.Thread, scenario: Scenario) -> tuple[Result, list[str]]:
    """Let customs attend to any program; return the results and what was said on the way."""
    partner = owner_of(url)
    result = blank_result(scenario)
    said: list[str] = []
    with open_broker(url) as broker:
        broker.declare([inbound_queue(partner.id), partner.answer_queue])
        system.start()
        attend(
            scenario,
            broker,
            partner,
            PLANS,
            result,
            home=home,
            patience=60,
            say=lambda text: said.append(text.en),
            changed=lambda: None,
            gone=lambda: not system.is_alive(),
        )
        system.join(0 if result.passed else 60)
    return result, said
