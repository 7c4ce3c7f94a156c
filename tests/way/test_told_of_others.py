"""Every finding that shows something on file, fact by fact: its owner is told it, another party is not (D67)."""

from __future__ import annotations

import functools
import random
from dataclasses import replace

import pytest

from core.calendar import Period
from core.partner import Partner
from core.register import Facts, Register
from core.specs import Specs
from core.transmission import Outcome, Received, Syntax
from gateway import pipeline
from gateway.plans import Plans, compiled
from gateway.trade.breaking import breaks, faulty
from gateway.trade.maker import Maker
from gateway.trade.samples import Sample, moment_of, write
from tests.support.way import NOW, PLANS, SPECS

DAY = NOW.date()
IMPORTERS, OTHER = ("123456782RM0001", "100000009RM0001"), "135792463RM0001"
OWN = dict.fromkeys(IMPORTERS, (Period(),))
OWNER = Partner("a", "A", ("A",), "out.a", authorities=OWN, accounts={"12345": frozenset()})
STRANGER = Partner("b", "B", ("B",), "out.b", authorities={OTHER: (Period(),)}, accounts={"24680": frozenset()})

# What a sender learns of the declaration on file by each finding that is told about it.
SHOWN = {
    "CAD-0201": "that the number is in use, and since when",
    "CAD-0211": "the latest version",
    "CAD-0212": "the latest version",
    "CAD-0213": "its lines: number and classification",
    "CAD-0214": "whether it differs in an element",
    "CAD-0215": "that it is the same",
    "CAD-0222": "whether its payment is due",
    "CAD-0223": "whether its payment is due",
    "CAD-0224": "whether its payment is due",
    "CAD-0231": "when it was accounted for",
    "CAD-0232": "that it is withdrawn, or to be",
    "CAD-0233": "that CBSA has made a version",
    "CAD-0234": "its SIMA subject",
    "CAD-0235": "its importer",
    "CAD-0236": "its type",
    "CAD-0237": "its values",
    "CAD-0238": "its latest version",
    "CAD-0307": "whether it says that it is from before CARM",
    "CAD-0305": "the values of its invoices",
}


@functools.cache
def plans_of(specs: Specs) -> Plans:
    """Return what is compiled of the specification, or of one to which a sample has added a code."""
    return PLANS if specs is SPECS else compiled(specs, PLANS.reading.directories, PLANS.routes, "")


@functools.cache
def samples() -> list[tuple[str, Sample]]:
    """Return the messages that earn each finding, of those that follow others."""
    return [
        (code, faulty(code, Maker(random.Random(code), SPECS, OWNER, DAY))[1])
        for code, broken in sorted(breaks(SPECS).items())
        if broken.kind != "original" and code.startswith("CAD-")
    ]


def told(sample: Sample, sender: Partner, importer: str | None, *, there: bool, syntax: Syntax) -> Outcome:
    """Return what the sender of a sample's last message is told, with the owner's messages before it or without.

    `importer` stands in the message in place of the sample's.
    """
    plans = plans_of(sample.specs)
    *before, last = sample.steps
    values = {**last.declaration.values, **({"importer_bn": importer} if importer else {})}
    last = replace(last, sender=sender.envelopes[0], declaration=replace(last.declaration, values=values))
    bodies = write(replace(sample, steps=(*before, last)), syntax, DAY, "X")
    register = Register()
    for number, (step, body) in enumerate(zip(before if there else [], bodies[:-1], strict=False), 1):
        outcome = _judged(f"own-{number}", OWNER, body, register, plans)
        register = register.after(outcome)
        for effect in (one.effect for one in outcome.judged if one.effect):
            register = register.with_version(replace(effect, **step.remembered))
    return _judged("last", sender, bodies[-1], register, plans)


def _judged(id_: str, sender: Partner, body: bytes, register: Register, plans: Plans) -> Outcome:
    return pipeline.handle(Received(id_, sender.id, body, moment_of(DAY)), Facts(sender, register), plans)


def found(outcome: Outcome) -> set[str]:
    return {finding.code for judged in outcome.judged for finding in judged.findings}


@pytest.mark.parametrize("syntax", [pytest.param(Syntax.EDIFACT, marks=pytest.mark.slow), Syntax.XML])
def test_only_the_owner_is_told_what_is_on_file(syntax: Syntax) -> None:
    shown = set()
    for code, sample in samples():
        own = found(told(sample, OWNER, None, there=True, syntax=syntax))
        assert code in own, code
        if code not in found(told(sample, OWNER, None, there=False, syntax=syntax)):
            shown.add(code)
        for importer in (OTHER, None):
            there = told(sample, STRANGER, importer, there=True, syntax=syntax)
            not_there = told(sample, STRANGER, importer, there=False, syntax=syntax)
            assert [one.findings for one in there.judged] == [one.findings for one in not_there.judged], code
            assert there.outgoing == not_there.outgoing, code
            assert {one.verdict for one in there.judged} == {"refused"}, code
    assert shown == set(SHOWN)
