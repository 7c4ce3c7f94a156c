"""Declarations of goods as the law speaks of them, with what is changed, and what a gateway finds in them."""

from __future__ import annotations

import random
from datetime import date, timedelta
from typing import Any

from core.declaration import Declaration, MessageType
from core.findings import Finding
from core.partner import Partner
from core.register import Facts
from core.transmission import Received, Syntax
from gateway import pipeline
from gateway.plans import Plans, prepare
from gateway.trade.maker import Maker
from gateway.trade.samples import Sample, SampleMessage, moment_of, write
from tests.support.packs import DAY, PARTNER, ROOT

PLANS = prepare(ROOT)
TRADE = PLANS.specs.trade
DAYS = ("release_date", "accounting_date", "direct_shipment_date")


def declared(plans: Plans = PLANS, cad_type: str = "AB", **changes: Any) -> Declaration:
    """A plain declaration of one line, with the changes; days may be written as 2026-01-31."""
    maker = Maker(random.Random("law"), plans.specs, PARTNER, DAY)
    draft = maker.draft(cad_type, accounted=DAY, share=0, plain=True, shape=(1,))
    days = {name: date.fromisoformat(changes[name]) for name in DAYS if changes.get(name)}
    if "release_date" in days:
        days = {"direct_shipment_date": days["release_date"], **days}
        days.setdefault("accounting_date", days["release_date"] + timedelta(days=1))
    draft.put(maker.pack(MessageType.DECLARATION), {"classification": "8471300000", **changes, **days})
    draft.add_up()
    return draft.freeze()


def findings(
    declaration: Declaration, syntax: Syntax, plans: Plans = PLANS, partner: Partner = PARTNER
) -> list[Finding]:
    """Return what the gateway finds in a declaration, but for its being old, late or shipped in another order."""
    step = SampleMessage(MessageType.DECLARATION, declaration)
    (body,) = write(Sample((step,), None, plans.specs, partner, partner), syntax, DAY, "S")
    (one,) = pipeline.handle(Received("1", partner.id, body, moment_of(DAY)), Facts(partner), plans).judged
    return [each for each in one.findings if each.code not in ("CAD-0135", "CAD-0140", "CAD-0133")]


def told(declaration: Declaration, syntax: Syntax, plans: Plans = PLANS) -> dict[str, Finding]:
    """Return the same by code."""
    return {each.code: each for each in findings(declaration, syntax, plans)}


def severity(found: dict[str, Finding]) -> list[tuple[str, str]]:
    return [(code, str(finding.severity)) for code, finding in found.items()]
