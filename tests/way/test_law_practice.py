"""The law and the practice around the CAD as cases: for each, messages that pass and messages that do not."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from core.calendar import Period
from core.declaration import Declaration, MessageType, Nature
from core.partner import Partner
from core.register import Facts, Register
from core.transmission import Judged, Received, Syntax, Verdict
from gateway import pipeline
from gateway.trade.maker import Draft, Maker
from gateway.trade.samples import Sample, SampleMessage, moment_of, play, write
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


REFUND, OWING, NEUTRAL = "R2-74-1-TT", "R3-32.2.VFD", "R2-32-2.TC"
FAMILIES = ("", "invoice_", "line_")


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("codes", "findings"),
    [
        ((REFUND,), []),
        ((REFUND, NEUTRAL), []),
        ((REFUND, NEUTRAL, OWING), []),
        ((OWING, REFUND), []),
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
    assert [code for code in found if code != "CAD-0214"] == expected, "a change without reason is another matter"


@pytest.mark.parametrize("syntax", BOTH)
def test_a_wrong_order_is_refused_with_the_reason_why_it_matters(syntax: Syntax) -> None:
    made, first = maker(), plain()
    later = made.change(first, adjustment=True)
    later.put(made.pack(MessageType.CORRECTION), {"reason_code_1": NEUTRAL, "reason_code_2": REFUND})
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


# ------------------------------------------------------------------------------------------------ SIMA

# Every measure that law.md has seen, with its origins; the numbers are known of one only.
MEASURES = {
    "AE": "CN", "COR": "CN TW IN KR", "COR2": "TR VN", "CPF": "CN KR US", "CSWP3": "PK PH TR VN", "HRSS": "BR CN IN",
    "OCTG2": "TW IN ID KR TH TR UA VN", "OCTG3": "MX", "PLA5": "BG CZ RO", "PLA6": "UA", "PLA7": "BR DK ID IT JP KR",
    "UDS": "CN VN", "PLA3": "CN",
}  # fmt: skip
GOODS = {"tariff_treatment": "02", "classification": "7308900000"}
REBAR = {
    "721310": "0011 0012 0013 0090", "721420": "0011 0012 0013 0014 0021 0022 0023 0024 0031 0032 0033 0034 0090",
    "721590": "0020 0030", "722790": "0050", "722830": "0051 0052 0053",
}  # fmt: skip
NUMBERS = [f"{item}{rest}" for item, suffixes in REBAR.items() for rest in suffixes.split()]
REBAR_ORIGINS = ["DZ", "EG", "ID", "IT", "MY", "SG", "VN"]


def sima(measure: str, origin: str, **changes: Any) -> dict[str, Any]:
    return GOODS | SUBJECT | {"sima_measure": measure, "sima_exporter": "EXP1", "origin": origin} | changes


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize("measure", MEASURES)
def test_a_measure_in_force_is_for_its_origins(measure: str, syntax: Syntax) -> None:
    for origin in MEASURES[measure].split():
        assert original(sima(measure, origin), syntax) == []
    assert original(sima(measure, "CH"), syntax) == ["CAD-0292"]


@pytest.mark.parametrize("syntax", BOTH)
def test_a_measure_may_be_for_a_state_of_the_united_states(syntax: Syntax) -> None:
    assert original(sima("CPF", "UNY"), syntax) == []
    assert original(sima("HRSS", "UNY"), syntax) == ["CAD-0292"]


@pytest.mark.parametrize("syntax", BOTH)
def test_a_measure_that_no_list_has_is_doubted(syntax: Syntax) -> None:
    assert original(sima("SUG", "DE"), syntax) == [], "its origins were not seen"
    assert original(sima("AD34", "CN"), syntax) == ["CAD-0004"]


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize("number", NUMBERS)
def test_goods_of_a_measure_by_number_and_origin_say_whether_they_are_subject(number: str, syntax: Syntax) -> None:
    rebar = {"classification": number, "tariff_treatment": "02"}
    origin = REBAR_ORIGINS[NUMBERS.index(number) % len(REBAR_ORIGINS)]
    assert original(rebar | {"origin": origin}, syntax) == ["CAD-0293"]
    assert original(rebar | {"origin": "DE"}, syntax) == []
    assert original(rebar | {"origin": origin, "sima_subject": "N"}, syntax) == []
    assert original(sima("RB3", origin, classification=number), syntax) == []


@pytest.mark.parametrize("syntax", BOTH)
def test_an_exporters_id_is_asked_for_and_not_demanded(syntax: Syntax) -> None:
    """It is needed of cooperative exporters only."""
    assert original(sima("AE", "CN", sima_exporter=None), syntax) == ["CAD-0173"]
    drawn = plain(days_ago=2)
    drawn.put(maker().pack(MessageType.DECLARATION), sima("AE", "CN", sima_exporter=None))
    assert told_of(syntax, body_of(drawn.freeze(), syntax)).verdict is Verdict.ACCEPTED


# ------------------------------------------------------------------------------------------------ surtax, safeguard

SURTAX = {"surtax_subject": "Y", "surtax_code": "ST25"}
SAFEGUARD = {"safeguard_subject": "Y", "safeguard_code": "SF10"}
TICKED = {"surtax_self_declared": "Y", "surtax_amount": Decimal("37.50")}
SAFE_TICKED = {"safeguard_self_declared": "Y", "safeguard_amount": Decimal("15.00")}
SUBJECT = {"sima_subject": "S", "sima_measure": "CPF", "sima_price": Decimal(150), "sima_currency": "CAD"}
SIMA_TICKED = {"sima_self_declared": "Y", "sima_amount": Decimal("34.00")}


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize(
    ("changes", "findings"),
    [
        (SURTAX, []),
        (SURTAX | TICKED, []),
        ({"surtax_subject": "N"}, []),
        (SURTAX | {"surtax_code": None}, ["CAD-0180"]),
        (SURTAX | {"surtax_subject": None}, ["CAD-0181"]),
        (SURTAX | {"surtax_subject": "N"}, ["CAD-0182"]),
        (SURTAX | TICKED | {"surtax_amount": None}, ["CAD-0286"]),
        (SURTAX | TICKED | {"surtax_self_declared": None}, ["CAD-0287"]),
        (SAFEGUARD, []),
        (SAFEGUARD | SAFE_TICKED, []),
        (SAFEGUARD | {"safeguard_code": None}, ["CAD-0283"]),
        (SAFEGUARD | {"safeguard_subject": None}, ["CAD-0284"]),
        (SAFEGUARD | {"safeguard_subject": "N"}, ["CAD-0285"]),
        (SAFEGUARD | SAFE_TICKED | {"safeguard_amount": None}, ["CAD-0288"]),
        (SAFEGUARD | SAFE_TICKED | {"safeguard_self_declared": None}, ["CAD-0289"]),
        (SURTAX | SAFEGUARD | TICKED | SAFE_TICKED, []),
    ],
    ids=str,
)
def test_surtax_and_safeguard_are_declared_as_published(changes: Changes, findings: list[str], syntax: Syntax) -> None:
    assert original(changes, syntax) == findings


def test_the_published_form_as_it_stands_on_the_wire() -> None:
    """An indicator on the item; a duty line of type SUR (a safeguard: OTH), its code in the regime, the amount."""
    drawn = plain(days_ago=2)
    drawn.put(maker().pack(MessageType.DECLARATION), SURTAX | TICKED | SAFEGUARD | SAFE_TICKED)
    xml = re.sub(rb">\s+<", b"><", body_of(drawn.freeze(), Syntax.XML)).decode()
    for code, value in (("ST25", "37.5"), ("SF10", "15")):
        type_ = "SUR" if code == "ST25" else "OTH"
        paid = f'<Payment><PaymentAmount currencyID="CAD">{value}</PaymentAmount></Payment>'
        duty = f"<DutyRegimeCode>{code}</DutyRegimeCode><TypeCode>{type_}</TypeCode>{paid}"
        assert f"<DutyTaxFee>{duty}</DutyTaxFee>" in xml
    assert "<StatementCode>Y</StatementCode><StatementTypeCode>SUS</StatementTypeCode>" in xml
    edifact = body_of(drawn.freeze(), Syntax.EDIFACT).decode("latin-1").replace("\n", "")
    assert "RCS+11+SUS:CAD'FTX+CUS++Y'" in edifact
    assert "TAX+7+SUR:CAD+++ST25'MOA+161:37.5:CAD'" in edifact
    assert "TAX+7+OTH:CAD+++SF10'MOA+161:15:CAD'" in edifact


def in_former_place(body: bytes, syntax: Syntax) -> bytes:
    """Return a message with its surtax and safeguard as they stood in 0.2.0."""
    if syntax is Syntax.EDIFACT:
        moved = re.sub(rb"RCS\+11\+S[UF]S:CAD'\s*FTX\+CUS\+\+Y'\s*", b"", body)
        moved = moved.replace(b"TAX+7+SUR:CAD+++ST25'", b"TAX+7+SUR:CAD+Y++ST25'").replace(b"+OTH:CAD+", b"+SAF:CAD+")
        count = int(re.search(rb"UNT\+(\d+)", moved)[1]) - (
            len(re.findall(rb"'", body)) - len(re.findall(rb"'", moved))
        )
        return re.sub(rb"UNT\+\d+", b"UNT+%d" % count, moved)
    gone = (
        rb"<AdditionalInformation>\s*<StatementCode>Y</StatementCode>\s*<StatementTypeCode>S[UF]S</StatementTypeCode>"
    )
    moved = re.sub(gone + rb"\s*</AdditionalInformation>", b"", body)
    for code, new, old, regime in (
        (b"ST25", b"SUR", b"SUR", b"<DutyRegimeCode>Y</DutyRegimeCode>"),
        (b"SF10", b"OTH", b"SAF", b""),
    ):
        now = rb"<DutyRegimeCode>" + code + rb"</DutyRegimeCode>\s*<TypeCode>" + new + rb"</TypeCode>"
        then = regime + b"<TypeCode>" + old + b"</TypeCode><QuotaOrderID>" + code + b"</QuotaOrderID>"
        moved = re.sub(now, then, moved)
    return moved


@pytest.mark.parametrize("syntax", BOTH)
def test_what_stands_in_the_former_place_counts_and_is_told(syntax: Syntax) -> None:
    drawn = plain(days_ago=2)
    drawn.put(maker().pack(MessageType.DECLARATION), SURTAX | SAFEGUARD)
    body = body_of(drawn.freeze(), syntax)
    one = told_of(syntax, in_former_place(body, syntax))
    assert [finding.code for finding in one.findings] == ["CAD-0281", "CAD-0282"]
    assert one.verdict is Verdict.ACCEPTED
    assert all(finding.place.line and finding.place.line > 1 for finding in one.findings)
    line = one.message.declaration.invoices[0].commodities[0] if one.message.declaration else None
    assert line is not None
    assert {name: line.text(name) for name in ("surtax_subject", "surtax_code", "safeguard_code")} == {
        "surtax_subject": "Y", "surtax_code": "ST25", "safeguard_code": "SF10",
    }  # fmt: skip


@pytest.mark.parametrize("syntax", BOTH)
def test_an_amount_in_another_currency_is_refused(syntax: Syntax) -> None:
    drawn = plain(days_ago=2)
    drawn.put(maker().pack(MessageType.DECLARATION), SURTAX | TICKED)
    body = body_of(drawn.freeze(), syntax)
    other = body.replace(b"161:37.5:CAD", b"161:37.5:USD").replace(
        b'PaymentAmount currencyID="CAD"', b'PaymentAmount currencyID="USD"'
    )
    assert other != body
    assert told_of(syntax, other).verdict is Verdict.REFUSED


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize(
    ("changes", "findings"),
    [(SIMA_TICKED, []), ({"sima_self_declared": "Y"}, ["CAD-0290"]), ({"sima_amount": Decimal(34)}, ["CAD-0291"])],
    ids=str,
)
def test_a_self_declared_sima_amount_has_its_tick(changes: Changes, findings: list[str], syntax: Syntax) -> None:
    found = original(SUBJECT | {"sima_exporter": "EXP1"} | changes, syntax)
    assert found == findings
