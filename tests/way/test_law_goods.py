"""SIMA, surtaxes and safeguards as cases: for each, messages that pass and messages that do not."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest

from core.declaration import MessageType
from core.transmission import Syntax, Verdict
from tests.support.law import SUBJECT, Changes, body_of, maker, original, plain, told_of
from tests.support.packs import BOTH

# ------------------------------------------------------------------------------------------------ SIMA

# Every measure that law.md has seen, with its origins; the numbers are known of one only.
MEASURES = {
    "AE": "CN", "COR": "CN TW IN KR", "COR2": "TR VN", "CPF": "CN KR US", "CSWP3": "PK PH TR VN", "HRSS": "BR CN IN",
    "OCTG2": "TW IN ID KR TH TR UA VN", "OCTG3": "MX", "PLA5": "BG CZ RO", "PLA6": "UA", "PLA7": "BR DK ID IT JP KR",
    "UDS": "CN VN", "PLA3": "CN",
}  # fmt: skip
GOODS = {"tariff_treatment": "02", "classification": "7308900000", "surtax_subject": "Y", "surtax_code": "ST25"}
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
    for part in ("UNY", "PR"):
        assert original(sima("CPF", part), syntax) == []
        assert original(sima("HRSS", part), syntax) == ["CAD-0292"]


@pytest.mark.parametrize("syntax", BOTH)
def test_a_measure_that_no_list_has_is_doubted(syntax: Syntax) -> None:
    assert original(sima("SUG", "DE"), syntax) == [], "its origins were not seen"
    assert original(sima("AD34", "CN"), syntax) == ["CAD-0004"]


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize("number", NUMBERS)
def test_goods_of_a_measure_by_number_and_origin_say_whether_they_are_subject(number: str, syntax: Syntax) -> None:
    rebar = GOODS | {"classification": number}
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


NOT_SUBJECT = {
    "surtax": {"surtax_subject": None, "surtax_code": None},
    "safeguard": {"safeguard_subject": None, "safeguard_code": None},
    "sima": dict.fromkeys(SUBJECT) | {"sima_exporter": None},
}
TICKS = {
    "surtax": SURTAX | TICKED,
    "safeguard": SAFEGUARD | SAFE_TICKED,
    "sima": SUBJECT | {"sima_exporter": "EXP1"} | SIMA_TICKED,
}


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize(("kind", "first"), [("surtax", 310), ("safeguard", 313), ("sima", 316)])
def test_a_self_declared_amount_goes_with_its_tick_and_its_subject(kind: str, first: int, syntax: Syntax) -> None:
    ticked, tick, subject = TICKS[kind], f"{kind}_self_declared", f"{kind}_subject"
    nothing = NOT_SUBJECT[kind]
    assert original(ticked, syntax) == []
    assert original(ticked | {tick: "N"}, syntax) == [f"CAD-0{first}"]
    assert original(ticked | nothing, syntax) == [f"CAD-0{first + 1}"]
    assert original(ticked | nothing | {subject: "N"}, syntax) == [f"CAD-0{first + 2}"]
    assert original(ticked | nothing | {subject: "N", tick: "N"}, syntax) == [f"CAD-0{first}"]
    assert original(nothing | {subject: "N", tick: "N"}, syntax) == []
    assert original(ticked | {subject: None}, syntax) == [
        {"surtax": "CAD-0181", "safeguard": "CAD-0284"}.get(kind, "CAD-0174")
    ]


@pytest.mark.parametrize("syntax", BOTH)
def test_a_self_declared_amount_of_goods_under_an_undertaking_is_not_doubted(syntax: Syntax) -> None:
    assert original(TICKS["sima"] | {"sima_subject": "U"}, syntax) == []
