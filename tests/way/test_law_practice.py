"""The law and the practice around the CAD as cases: for each, messages that pass and messages that do not."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

import pytest

from core.declaration import Declaration, MessageType
from core.transmission import Syntax
from gateway.trade.maker import Draft, Maker
from gateway.trade.samples import Sample, SampleMessage, play, write
from tests.support.packs import BOTH, DAY, PARTNER
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


# ------------------------------------------------------------------------------------------------ reasons

MFN = {"tariff_treatment": "02"}
PREFERENCES = [
    ("UST", "US", "10"), ("MXT", "MX", "11"), ("CETA", "DE", "31"), ("CPTPP", "JP", "33"), ("UK", "GB", "34"),
    ("Iceland", "IS", "22"), ("Norway", "NO", "23"), ("Switzerland", "CH", "24"), ("Peru", "PE", "25"),
    ("Colombia", "CO", "26"), ("Jordan", "JO", "27"), ("Panama", "PA", "28"), ("Honduras", "HN", "29"),
    ("Korea", "KR", "30"), ("Ukraine", "UA", "32"), ("Israel", "IL", "13"), ("Costa Rica", "CR", "21"),
]  # fmt: skip


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize(("name", "origin", "treatment"), PREFERENCES, ids=[each[0] for each in PREFERENCES])
def test_a_missed_preference_of_part_4_is_claimed_by_c11(
    name: str, origin: str, treatment: str, syntax: Syntax
) -> None:
    """74(1)(c.11) names every agreement of Part 4 of the Act's schedule, and Israel; (c.1) none that is still claimed
    but Chile's.
    """
    first = MFN | {"origin": origin}
    for where in ("reason_code_1", "line_reason_code_1"):
        clean = {"reason_code_1": None} if where != "reason_code_1" else {}
        right = {**clean, "tariff_treatment": treatment, where: "R2-74-1-C11"}
        wrong = {**clean, "tariff_treatment": treatment, where: "R2-74-1-C1"}
        assert "CAD-0280" not in changed(Case(name, first, right), syntax)
        assert "CAD-0280" in changed(Case(name, first, wrong), syntax)


@pytest.mark.parametrize("syntax", BOTH)
def test_a_missed_preference_for_chile_is_claimed_by_c1(syntax: Syntax) -> None:
    first = MFN | {"origin": "CL"}
    right = {"tariff_treatment": "14", "reason_code_1": "R2-74-1-C1"}
    assert "CAD-0280" not in changed(Case("right", first, right), syntax)
    assert "CAD-0280" in changed(Case("wrong", first, right | {"reason_code_1": "R2-74-1-C11"}), syntax)


@pytest.mark.parametrize("syntax", BOTH)
def test_a_reason_above_a_line_says_nothing_of_a_treatment_that_stays(syntax: Syntax) -> None:
    """The reason is about the first line, which is claimed as Chilean; the second keeps its UST."""
    first = MFN | {"origin": "CL"}
    later = {"tariff_treatment": "14", "reason_code_1": "R2-74-1-C1"}
    assert changed(Case("both", first, later), syntax) == []
