"""Corrections and adjustments on the whole way: by the calendar, by an importer's choice, by the engine's word."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import pytest

from core.calendar import EASTERN
from core.declaration import MessageType
from core.partner import Partner
from core.register import ASSESSED, Facts, Register
from core.transmission import Outcome, Received, Syntax
from gateway import pipeline
from gateway.desk.explain import explain
from gateway.plans import prepare
from gateway.trade.maker import Maker
from gateway.trade.samples import Sample, SampleMessage, write
from tests.support.packs import BOTH, PARTNER, ROOT

PLANS = prepare(ROOT)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=EASTERN)


class Story:
    """An original and a change of it, sent at moments of the test's choice."""

    def __init__(self, cad_type: str, released: str | None, accounted: str, syntax: Syntax, partner: Partner = PARTNER):
        self.partner, self.syntax = partner, syntax
        self.accounted = date.fromisoformat(accounted)
        maker = Maker(random.Random("due"), PLANS.specs, partner, self.accounted)
        draft = maker.draft(cad_type, accounted=self.accounted, share=0, plain=True, shape=(1,))
        days: dict[str, Any] = {"release_date": date.fromisoformat(released) if released else None}
        if released:
            days["direct_shipment_date"] = days["release_date"]
        draft.put(maker.pack(MessageType.DECLARATION), days)
        changed = maker.change(draft, adjustment=True)
        steps = (
            SampleMessage(MessageType.DECLARATION, draft.freeze()),
            SampleMessage(MessageType.CORRECTION, changed.freeze()),
        )
        sample = Sample(steps, None, PLANS.specs, partner, partner)
        self.bodies = write(sample, syntax, self.accounted, "D")
        self.register = Register()
        self.original = self.send(0, f"{accounted}T12:00")
        self.register = self.register.after(self.original)

    def send(self, which: int, at: str) -> Outcome:
        received = Received(f"{which} {at}", self.partner.id, self.bodies[which], moment(at))
        return pipeline.handle(received, Facts(self.partner, self.register), PLANS)

    @property
    def due(self) -> str:
        (one,) = self.original.judged
        return str(one.effect and one.effect.payment_due)

    def nature(self, at: str) -> str:
        """What the change is, sent at a moment."""
        (one,) = self.send(1, at).judged
        assert one.nature is not None, one.findings
        return str(one.nature)


@pytest.mark.parametrize("syntax", BOTH)
def test_the_release_decides_not_the_accounting(syntax: Syntax) -> None:
    """Released 2026-02-16 and accounted 2026-02-20: 2026-03-31 was said, and an adjustment was called a correction."""
    story = Story("AB", "2026-02-16", "2026-02-20", syntax)
    assert story.due == "2026-03-03"
    assert story.nature("2026-03-03T23:59:59") == "correction"
    assert story.nature("2026-03-04T00:00") == "adjustment"
    assert story.nature("2026-03-31T12:00") == "adjustment"


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize(
    ("cad_type", "choice", "due"),
    [
        ("TT", None, "2026-03-03"),
        ("TT", "billing", "2026-03-03"),
        ("TT", "month", "2026-03-31"),
        ("F", None, "2026-03-31"),
        ("AB", "month", "2026-03-03"),  # the choice is one of Customs Self Assessment
        ("AB", "interim", "2026-03-31"),  # by the month of accounting
        ("F", "interim", "2026-03-31"),
    ],
)
def test_courier_and_csa_goods_have_their_own_periods(
    cad_type: str, choice: str | None, due: str, syntax: Syntax
) -> None:
    partner = replace(PARTNER, choices=dict.fromkeys(PARTNER.authorities, choice) if choice else {})
    story = Story(cad_type, "2026-02-16", "2026-02-20", syntax, partner)
    assert story.due == due
    assert story.nature(f"{due}T23:59") == "correction"


@pytest.mark.parametrize("syntax", BOTH)
def test_what_the_engine_says_of_the_day_holds(syntax: Syntax) -> None:
    story = Story("AB", "2026-02-16", "2026-02-20", syntax)
    (request,) = story.register.requests
    story.register = story.register.settled(request, ASSESSED, date(2026, 3, 31))
    assert story.nature("2026-03-31T23:59") == "correction"
    assert story.nature("2026-04-01T00:00") == "adjustment"


@pytest.mark.parametrize("syntax", BOTH)
def test_goods_never_released_are_due_by_their_accounting(syntax: Syntax) -> None:
    assert Story("V", None, "2026-02-20", syntax).due == "2026-03-31"


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_message_explained_tells_its_payment_and_apart_from_it_when_interest_begins(language: str) -> None:
    story = Story("AB", "2026-02-16", "2026-02-20", Syntax.XML)
    (one,) = story.original.judged
    said = explain(one, PARTNER, PLANS.specs, language).payment
    wanted = {"en": ("March 3, 2026", "March 31, 2026", "SOR/86-1062"), "fr": ("3 mars 2026", "31 mars 2026", "DORS")}
    assert all(each in said for each in wanted[language])
    other = replace(one, effect=one.effect and replace(one.effect, payment_due=date(2026, 5, 1)))
    assert {"en": "as on file", "fr": "selon le dossier"}[language] in explain(
        other, PARTNER, PLANS.specs, language
    ).payment
