"""Cases of the law and the practice around the CAD: plain declarations, changed, and what a gateway makes of them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from core.declaration import Declaration, MessageType
from core.partner import Partner
from core.register import Facts, Register
from core.transmission import Judged, Received, Syntax
from gateway import pipeline
from gateway.trade.maker import Draft, Maker
from gateway.trade.samples import Sample, SampleMessage, moment_of, play, write
from tests.support.packs import DAY, PARTNER
from tests.support.way import PLANS, SPECS

Changes = Mapping[str, Any]


class Case(NamedTuple):
    """What both versions say, what only the change says, and the findings that it earns."""

    name: str
    first: Changes
    later: Changes
    findings: tuple[str, ...] = ()


def maker(seed: str = "law") -> Maker:
    return Maker(random.Random(seed), SPECS, PARTNER, DAY)


def plain(cad_type: str = "AB", days_ago: int = 120) -> Draft:
    """Return a plain original declaration with one invoice of two lines, from the United States."""
    drawn = maker().draft(cad_type, accounted=DAY - timedelta(days=days_ago), share=0, plain=True, shape=(2,))
    for level in (drawn.top, *(invoice for invoice, _ in drawn.invoices), *drawn.lines()):
        level.pop("notes", None)
    return drawn


def told(steps: list[tuple[MessageType, Declaration]], syntax: Syntax) -> list[str]:
    """Return the codes that the last of these messages earns; those before it earn none."""
    messages = tuple(SampleMessage(type_, declaration) for type_, declaration in steps)
    sample = Sample(messages, None, SPECS, PARTNER, PARTNER)
    *before, last = play(sample, write(sample, syntax, DAY, "S"), DAY, PLANS)
    assert [one.findings for one in before] == [()] * len(before)
    return sorted({finding.code for finding in last.findings})


def changed(case: Case, syntax: Syntax) -> list[str]:
    """Return what a change earns after its original."""
    made, first = maker(), plain()
    first.put(made.pack(MessageType.DECLARATION), case.first)
    later = made.change(first, adjustment=True)
    later.top.pop("remark_1", None)
    later.put(made.pack(MessageType.CORRECTION), case.later)
    return told([(MessageType.DECLARATION, first.freeze()), (MessageType.CORRECTION, later.freeze())], syntax)


def told_of(syntax: Syntax, *bodies: bytes, partner: Partner = PARTNER) -> Judged:
    """Return what a gateway makes of the last of these transmissions."""
    register = Register()
    for number, body in enumerate(bodies):
        outcome = pipeline.handle(
            Received(str(number), partner.id, body, moment_of(DAY)), Facts(partner, register), PLANS
        )
        register = register.after(outcome)
    assert outcome.syntax is syntax
    return outcome.judged[-1]


def body_of(declaration: Declaration, syntax: Syntax) -> bytes:
    """Return an original declaration's bytes."""
    step = SampleMessage(MessageType.DECLARATION, declaration)
    return write(Sample((step,), None, SPECS, PARTNER, PARTNER), syntax, DAY, "S")[0]


def original(changes: Changes, syntax: Syntax) -> list[str]:
    """Return what a plain original with the changes earns."""
    made, first = maker(), plain(days_ago=2)
    first.put(made.pack(MessageType.DECLARATION), changes)
    return told([(MessageType.DECLARATION, first.freeze())], syntax)


# Goods subject to SIMA.
SUBJECT = {"sima_subject": "S", "sima_measure": "CPF", "sima_price": Decimal(150), "sima_currency": "CAD"}
