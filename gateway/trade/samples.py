"""Samples: messages to be sent in order, written in either syntax, and what the gateway makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from typing import Any, NamedTuple

from core.calendar import EASTERN
from core.declaration import Declaration, MessageType
from core.envelope import Envelope
from core.findings import Bilingual
from core.partner import Partner
from core.register import Facts, Register
from core.specs import Specs
from core.transmission import Judged, Received, Syntax
from gateway import pipeline
from gateway.plans import Plans, compiled
from gateway.trade.writer import write_edifact, write_xml

# How often a sample is drawn until it is judged as expected: by chance another rule objects to one in some hundred.
DRAWS = 20


@dataclass(frozen=True)
class SampleMessage:
    """One message of a sample: what is declared, and what its envelope says if not the usual.

    `remembered` is what the journal must hold of it beyond what sending it makes (an engine's word, an age); `spoil`
    changes the bytes once they are written.
    """

    type: MessageType
    declaration: Declaration
    remembered: Mapping[str, Any] = field(default_factory=dict)
    spoil: Callable[[bytes, Syntax], bytes] | None = None
    sender: str | None = None
    reference: str | None = None
    test: bool = False


@dataclass(frozen=True)
class Sample:
    """Messages to be sent in order, and the finding that the last of them earns (None: all are accepted).

    `partner` is who sends; `transport` who the transport says it is. `note` says what the files cannot carry.
    """

    steps: tuple[SampleMessage, ...]
    code: str | None
    specs: Specs
    partner: Partner
    transport: Partner | None
    note: Bilingual | None = None
    instead: Mapping[Syntax, str] = field(default_factory=dict)

    def expected(self, syntax: Syntax) -> str | None:
        """Return the code of the finding that the last message earns in a syntax."""
        return self.instead.get(syntax, self.code)


def moment_of(day: date) -> datetime:
    """Return the moment at which a sample of the day is sent: noon, Eastern Time."""
    return datetime.combine(day, time(12), EASTERN)


def write(sample: Sample, syntax: Syntax, day: date, name: str) -> list[bytes]:
    """Return the bytes of each message; `name` begins its references and must differ from sample to sample."""
    bodies = []
    for number, step in enumerate(sample.steps, 1):
        packs = [pack for pack in sample.specs.packs if step.type in pack.types.values()]
        pack = next((pack for pack in packs if pack.valid.covers(day)), packs[0])
        reference = step.reference or f"{name}{number}"
        envelope = Envelope(
            sender=step.sender or sample.partner.envelopes[0],
            recipient=next(iter(sample.partner.agreement.ids), "CADGATEWAY"),
            reference=reference,
            message=None if syntax is Syntax.XML else "1",
            test=step.test,
        )
        if syntax is Syntax.XML:
            body = write_xml(step.declaration, pack, envelope)
        else:
            body = write_edifact([step.declaration], pack, envelope, prepared=moment_of(day))
        bodies.append(step.spoil(body, syntax) if step.spoil else body)
    return bodies


def play(sample: Sample, bodies: list[bytes], day: date, plans: Plans) -> list[Judged]:
    """Return the gateway's verdict on each message, sent in order and each remembered for the next."""
    if sample.specs is not plans.specs:
        plans = compiled(sample.specs, plans.reading.directories, plans.routes, plans.digest)
    now, register = moment_of(day), Register()
    judged = []
    for number, (step, body) in enumerate(zip(sample.steps, bodies, strict=True), 1):
        received = Received(f"sample-{number}", sample.transport.id if sample.transport else None, body, now)
        outcome = pipeline.handle(received, Facts(sample.transport, register), plans)
        (one,) = outcome.judged
        judged.append(one)
        register = register.after(outcome)
        if one.effect and step.remembered:
            register = register.with_version(replace(one.effect, **step.remembered))
    return judged


class Made(NamedTuple):
    """A sample with its bytes and the gateway's verdicts; `good` tells whether these are what it is made for."""

    sample: Sample
    bodies: list[bytes]
    judged: list[Judged]
    good: bool


def make(draw: Callable[[], Sample], syntax: Syntax, day: date, name: str, plans: Plans) -> Made:
    """Return the first sample that is judged as expected; drawn again while another rule objects, `DRAWS` times."""
    for _ in range(DRAWS):
        sample = draw()
        bodies = write(sample, syntax, day, name)
        judged = play(sample, bodies, day, plans)
        code = sample.expected(syntax)
        expected = [set[str]()] * (len(judged) - 1) + [{code} if code else set()]
        good = expected == [{finding.code for finding in one.findings} for one in judged]
        if good:
            break
    return Made(sample, bodies, judged, good)
