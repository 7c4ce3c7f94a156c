"""Reasons, changes, delegation and what comes from before CARM as cases: what passes and what does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from core.calendar import Period
from core.declaration import Declaration, MessageType, Nature
from core.transmission import Syntax, Verdict
from gateway.trade.maker import Draft
from gateway.trade.samples import Sample, SampleMessage, write
from tests.support.law import Case, Changes, body_of, changed, maker, plain, told, told_of
from tests.support.packs import BOTH, DAY, PARTNER
from tests.support.way import SPECS

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
@pytest.mark.parametrize(("accounted", "found"), [(date(2024, 10, 25), ["CAD-0280"]), (None, ["CAD-0280"])])
def test_without_a_release_nafta_is_no_longer_what_c1_names(
    accounted: date | None, found: list[str], syntax: Syntax
) -> None:
    """The row of before CUSMA counts on its own days only, of whatever day of the goods is known."""
    first = plain("V", days_ago=120)
    first.put(maker().pack(MessageType.DECLARATION), MFN)
    later = adjusted(first, tariff_treatment="10", reason_code_1="R2-74-1-C1", accounting_date=accounted)
    assert told([(MessageType.DECLARATION, first.freeze()), (MessageType.CORRECTION, later)], syntax) == found


@pytest.mark.parametrize("syntax", BOTH)
def test_a_reason_above_a_line_says_nothing_of_a_treatment_that_stays(syntax: Syntax) -> None:
    """The reason is about the first line, which is claimed as Chilean; the second keeps its UST."""
    first = MFN | {"origin": "CL"}
    later = {"tariff_treatment": "14", "reason_code_1": "R2-74-1-C1"}
    assert changed(Case("both", first, later), syntax) == []


REFUND, OWING, NEUTRAL, COT = "R2-74-1-TT", "R3-32.2.VFD", "R2-32-2.TC", "R5-00-COT"
DOUBTFUL_REFUND, DOUBTFUL_OWING = "R2-74-1-C1", "R3-32-2.TC"
FAMILIES = ("", "invoice_", "line_")


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("codes", "findings"),
    [
        ((REFUND,), []),
        ((REFUND, NEUTRAL), []),
        ((REFUND, NEUTRAL, OWING), []),
        ((OWING, REFUND), [216]),
        ((OWING, NEUTRAL, REFUND), [216]),
        ((COT, REFUND), [216]),
        ((COT, OWING), [294]),
        ((NEUTRAL, OWING, REFUND), [216]),  # the refund comes first; what comes after it is another matter
        ((NEUTRAL, DOUBTFUL_OWING), [324]),  # what one of the two means is not certain: a warning
        ((NEUTRAL, DOUBTFUL_REFUND), [321]),
        (("R9-UNKNOWN", REFUND), []),  # nobody here knows what the first is
        ((OWING, NEUTRAL), []),
        ((NEUTRAL,), []),
        ((NEUTRAL, REFUND), [216]),
        ((NEUTRAL, NEUTRAL, REFUND), [216]),
        ((NEUTRAL, OWING), [294]),
        ((NEUTRAL, NEUTRAL, OWING), [294]),
    ],
    ids=str,
)
def test_the_pair_that_supports_the_refund_or_the_amount_owed_comes_first(
    codes: tuple[str, ...], findings: list[int], family: str, syntax: Syntax
) -> None:
    later: dict[str, Any] = {"reason_code_1": None}
    for number, code in enumerate(codes, 1):
        later |= {f"{family}reason_code_{number}": code, f"{family}trade_program_{number}": f"P{number}"}
    found = changed(Case("order", {}, later | {"description": "Anew"}), syntax)
    expected = [f"CAD-0{first + FAMILIES.index(family)}" for first in findings]
    others = "CAD-0004", "CAD-0214", "CAD-0222", "CAD-0223", "CAD-0224", "CAD-0280"  # about the codes themselves
    assert [code for code in found if code not in others] == expected


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize("before", [NEUTRAL, OWING])
def test_a_wrong_order_is_refused_with_the_reason_why_it_matters(before: str, syntax: Syntax) -> None:
    made, first = maker(), plain()
    later = made.change(first, adjustment=True)
    later.put(made.pack(MessageType.CORRECTION), {"reason_code_1": before, "reason_code_2": REFUND})
    steps = ((MessageType.DECLARATION, first), (MessageType.CORRECTION, later))
    messages = tuple(SampleMessage(type_, draft.freeze()) for type_, draft in steps)
    one = told_of(syntax, *write(Sample(messages, None, SPECS, PARTNER, PARTNER), syntax, DAY, "S"))
    (finding,) = one.findings
    assert one.verdict is Verdict.REFUSED
    assert "time limits for it are not protected" in finding.text.en
    assert "les délais ne sont pas protégés" in finding.text.fr


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_trade_program_code_goes_with_its_reason(family: str, number: int, syntax: Syntax) -> None:
    code = f"CAD-0{297 + FAMILIES.index(family)}"
    reasons = {f"{family}reason_code_{each}": OWING for each in range(1, number + 1)}
    program = {f"{family}trade_program_{number}": "P1"}
    assert changed(Case("with", {}, reasons | program), syntax) == []
    missing = f"CAD-0{327 + FAMILIES.index(family)}"
    assert changed(Case("reason alone", {}, reasons | dict.fromkeys(program)), syntax) == [missing]
    alone = {f"{family}reason_code_{number}": None} | program
    assert code in changed(Case("without", {}, alone), syntax)


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize("family", FAMILIES)
def test_there_are_at_most_three_reasons(family: str, syntax: Syntax) -> None:
    made, first = maker(), plain()
    later = made.change(first, adjustment=True)
    later.put(made.pack(MessageType.CORRECTION), {f"{family}reason_code_{n}": OWING for n in (1, 2, 3)})
    steps = ((MessageType.DECLARATION, first), (MessageType.CORRECTION, later))
    messages = tuple(SampleMessage(type_, draft.freeze()) for type_, draft in steps)
    bodies = write(Sample(messages, None, SPECS, PARTNER, PARTNER), syntax, DAY, "S")
    assert told_of(syntax, *bodies).verdict is Verdict.ACCEPTED
    more = bodies[-1].replace(b"+RS3:", b"+RS4:").replace(b">RS3<", b">RS4<")
    assert more != bodies[-1]
    one = told_of(syntax, bodies[0], more)
    assert "CAD-0007" in [finding.code for finding in one.findings]
    assert one.verdict is Verdict.REFUSED


# ------------------------------------------------------------------------------------------------ delegation, accounts

TOMORROW, YESTERDAY = DAY + timedelta(days=1), DAY - timedelta(days=1)
DELEGATIONS = [
    ((Period(None, DAY),), None),
    ((Period(DAY, None),), None),
    ((), "no delegation is on file"),
    ((Period(None, YESTERDAY),), f"ended on {YESTERDAY}; on"),
    ((Period(TOMORROW, None),), f"begins on {TOMORROW} only"),
    ((Period(None, YESTERDAY), Period(TOMORROW, None)), f"ended on {YESTERDAY}, and the next begins on {TOMORROW}"),
]


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize(("periods", "said"), DELEGATIONS, ids=[str(each[1]) for each in DELEGATIONS])
def test_a_delegation_is_said_for_what_it_is(periods: tuple[Period, ...], said: str | None, syntax: Syntax) -> None:
    first = plain(days_ago=2)
    partner = replace(PARTNER, authorities={first.top["importer_bn"]: periods})
    found = told_of(syntax, body_of(first.freeze(), syntax), partner=partner).findings
    assert [finding.code for finding in found] == ["GTW-0005"] * bool(said)
    for finding in found:
        assert said in finding.text.en if said else False
        assert finding.text.en.startswith("The importer ")
        assert "{" not in finding.text.en + finding.text.fr
        assert "25-08" in finding.source.en


def account(name: str, value: str, syntax: Syntax) -> list[tuple[str, str]]:
    """Return the findings of an original with an account in an element: code and English text."""
    first = plain(days_ago=2)
    first.put(maker().pack(MessageType.DECLARATION), {name: value})
    partner = replace(PARTNER, authorities={**PARTNER.authorities, value: (Period(),)})
    found = told_of(syntax, body_of(first.freeze(), syntax), partner=partner).findings
    return [(finding.code, finding.text.en) for finding in found]


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize("name", ["importer_bn", "broker_bn"])
def test_an_account_security_number_in_place_of_a_bn15_is_named(name: str, syntax: Syntax) -> None:
    for value, said in (
        ("10117", "10117 is an account security number"),
        ("123456782", "123456782 is a business number without its program account"),
        ("1234567", '"1234567" is not exactly 15 characters'),
    ):
        ((code, text),) = account(name, value, syntax)
        assert code == "CAD-0002"
        assert said in text
    assert account(name, "123456782RM0001", syntax) == []


@pytest.mark.parametrize("syntax", BOTH)
def test_an_exporters_and_a_closed_account_are_named(syntax: Syntax) -> None:
    ((code, text),) = account("importer_bn", "999999915RM0001", syntax)
    assert (code, "an exporter's RM" in text) == ("CAD-0113", True)
    ((code, text),) = account("importer_bn", "999999923RM0001", syntax)
    assert (code, "is closed" in text) == ("CAD-0300", True)


# ------------------------------------------------------------------------------------------------ before CARM

B3 = {"pre_carm": "Y", "accounting_date": date(2024, 5, 10)}


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize(
    ("changes", "findings"),
    [
        (B3, []),
        (B3 | {"accounting_date": date(2024, 10, 20)}, []),
        (B3 | {"accounting_date": date(2024, 10, 21)}, ["CAD-0303"]),
        (B3 | {"pre_carm": None}, ["CAD-0135"]),
        (B3 | {"pre_carm": "N"}, ["CAD-0302"]),
        ({"pre_carm": "N"}, []),
        ({"pre_carm": "Y"}, ["CAD-0303"]),
        ({"pre_carm": "Y", "accounting_date": None}, ["CAD-0303"]),  # the day of receipt
    ],
    ids=str,
)
def test_an_as_declared_cad_stands_for_a_b3(changes: Changes, findings: list[str], syntax: Syntax) -> None:
    made, first = maker(), plain("V", days_ago=2)
    first.put(made.pack(MessageType.DECLARATION), changes)
    assert told([(MessageType.DECLARATION, first.freeze())], syntax) == findings


def adjusted(first: Draft, **changes: Any) -> Declaration:
    """Return the As Adjusted declaration."""
    made = maker()
    later = made.change(first, adjustment=True)
    later.put(made.pack(MessageType.CORRECTION), changes)
    return later.freeze()


@pytest.mark.parametrize("syntax", BOTH)
def test_the_as_adjusted_cad_comes_after_the_as_declared_one(syntax: Syntax) -> None:
    made, first = maker(), plain("V", days_ago=2)
    first.put(made.pack(MessageType.DECLARATION), B3)
    steps = [(MessageType.DECLARATION, first.freeze()), (MessageType.CORRECTION, adjusted(first))]
    assert told(steps, syntax) == []
    assert told(steps[1:], syntax) == ["CAD-0304"], "it may be in the portal: a warning"
    messages = tuple(SampleMessage(*step) for step in steps)
    one = told_of(syntax, *write(Sample(messages, None, SPECS, PARTNER, PARTNER), syntax, DAY, "S"))
    assert (one.verdict, one.nature) == (Verdict.ACCEPTED, Nature.ADJUSTMENT)


# Of a lone change marked as from before CARM: type, release, accounting; what is found.
LONE = [
    ("V", None, "2024-10-20", ["CAD-0304"]),
    ("V", None, "2024-10-21", ["CAD-0210", "CAD-0303"]),
    ("V", None, None, ["CAD-0210", "CAD-0303"]),  # no day: that of receipt
    ("AB", "2024-10-20", "2024-10-25", ["CAD-0304"]),  # a change has an accounting date of its own: the release decides
    ("AB", "2024-10-21", "2024-10-18", ["CAD-0210", "CAD-0303"]),
    ("F", "2026-11-19", "2026-11-20", ["CAD-0210", "CAD-0303"]),
    ("20", "2024-10-20", None, ["CAD-0304"]),
    ("TT", "2026-11-19", "2026-11-20", []),  # consolidated: Customs Notice 24-42
]


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize(("cad_type", "released", "accounted", "found"), LONE, ids=[str(each[:3]) for each in LONE])
def test_the_mark_of_before_carm_counts_on_days_before_it_only(
    cad_type: str, released: str | None, accounted: str | None, found: list[str], syntax: Syntax
) -> None:
    first = plain(cad_type, days_ago=2)
    days = {
        "release_date": released and date.fromisoformat(released),
        "accounting_date": accounted and date.fromisoformat(accounted),
    }
    for line in first.lines():
        line["direct_shipment_date"] = date(2024, 9, 2)
    marked = adjusted(first, pre_carm="Y", **days)
    assert told([(MessageType.CORRECTION, marked)], syntax) == found
    assert "CAD-0210" in told([(MessageType.CORRECTION, adjusted(first, **days))], syntax)


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize("accounted", [None, date(2024, 10, 20), date(2024, 10, 21)])
def test_a_withdrawal_of_what_is_not_known_needs_a_day_before_carm(accounted: date | None, syntax: Syntax) -> None:
    request = maker().withdraw(plain(days_ago=2))
    request.put(maker().pack(MessageType.WITHDRAW), {"pre_carm": "Y", "accounting_date": accounted})
    found = told([(MessageType.WITHDRAW, request.freeze())], syntax)
    assert found == ([] if accounted == date(2024, 10, 20) else ["CAD-0210", "CAD-0303"])


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize(
    ("first_says", "then_says", "found"),
    [("Y", "Y", []), ("Y", None, ["CAD-0307"]), ("Y", "N", ["CAD-0307"]), (None, "N", []), (None, None, [])],
)
def test_an_original_and_its_change_agree_on_being_from_before_carm(
    first_says: str | None, then_says: str | None, found: list[str], syntax: Syntax
) -> None:
    first = plain("V", days_ago=2)
    day = date(2024, 5, 10) if first_says else first.top["accounting_date"]
    first.put(maker().pack(MessageType.DECLARATION), {"pre_carm": first_says, "accounting_date": day})
    steps = [(MessageType.DECLARATION, first.freeze()), (MessageType.CORRECTION, adjusted(first, pre_carm=then_says))]
    assert told(steps, syntax) == found


@pytest.mark.parametrize("syntax", BOTH)
def test_a_change_marked_as_from_before_carm_of_an_original_that_is_not(syntax: Syntax) -> None:
    first = plain("V", days_ago=2)
    steps = [(MessageType.DECLARATION, first.freeze()), (MessageType.CORRECTION, adjusted(first, pre_carm="Y"))]
    assert told(steps, syntax) == ["CAD-0303", "CAD-0307"]


@pytest.mark.parametrize("syntax", BOTH)
def test_a_consolidated_net_change_of_type_tt_has_no_former_version(syntax: Syntax) -> None:
    """Customs Notice 24-42: As Adjusted, type TT, coded as pre-CARM; it stands for many declarations."""
    first = plain("TT", days_ago=2)
    assert told([(MessageType.CORRECTION, adjusted(first, pre_carm="Y"))], syntax) == []
    assert told([(MessageType.CORRECTION, adjusted(first))], syntax) == ["CAD-0210"]
    whole = plain("TT", days_ago=2)
    whole.put(maker().pack(MessageType.DECLARATION), {"pre_carm": "Y"})
    assert told([(MessageType.DECLARATION, whole.freeze())], syntax) == []


# ------------------------------------------------------------------------------------------------ invoice pointer


@pytest.mark.parametrize("syntax", BOTH)
def test_a_changed_invoice_value_is_named_by_a_pointer(syntax: Syntax) -> None:
    first = plain(days_ago=2)
    total = first.invoices[0][0]["invoice_value"]
    later = maker().change(first, adjustment=False)
    later.invoices[0][1][0]["value_for_currency_conversion"] += 5
    later.add_up()

    def found(pointer: int | None) -> list[str]:
        later.put(maker().pack(MessageType.CORRECTION), {"invoice_pointer": pointer and Decimal(pointer)})
        return told([(MessageType.DECLARATION, first.freeze()), (MessageType.CORRECTION, later.freeze())], syntax)

    assert later.invoices[0][0]["invoice_value"] == total + 5
    assert found(None) == ["CAD-0305"]
    assert found(1) == []
    assert found(2) == ["CAD-0306"]
