"""The law's treatments, currencies, units, days: for each fact what passes and what does not."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from core.declaration import Declaration, MessageType
from core.register import Facts
from core.transmission import Received, Syntax
from gateway import pipeline
from gateway.plans import prepare
from gateway.trade.maker import Maker
from gateway.trade.samples import Sample, SampleMessage, moment_of, write
from tests.support.goods import PLANS, declared, findings, severity, told
from tests.support.law import SUBJECT
from tests.support.packs import BOTH, DAY, PARTNER, copy, edit, set_field

# ------------------------------------------------------------------------------------------------ tariff treatments

DAY_LATER = timedelta(days=1)
REFUSED, WARNED, GOOD = [("CAD-0150", "refuse")], [("CAD-0151", "warn")], list[tuple[str, str]]()

# Treatment, origin, day of release; further elements; what is found. One line for each fact, on both sides of its day.
TREATMENTS: list[tuple[str, str, str, dict[str, str], list[tuple[str, str]]]] = [
    # 02 for Russia and Belarus (SOR/2022-35, SOR/2022-209); North Korea from memory
    ("02", "RU", "2022-03-01", {}, GOOD),
    ("02", "RU", "2022-03-02", {}, REFUSED),
    ("02", "BY", "2022-03-01", {}, GOOD),
    ("02", "BY", "2022-03-02", {}, REFUSED),
    ("02", "RU", "2026-11-20", {"classification": "2844430000"}, GOOD),
    ("02", "BY", "2026-11-20", {"classification": "2844430090"}, GOOD),
    ("02", "RU", "2026-11-20", {"classification": "2844420000"}, REFUSED),
    ("03", "RU", "2026-11-20", {}, GOOD),
    ("03", "BY", "2026-11-20", {}, GOOD),
    ("02", "KP", "2026-11-20", {}, WARNED),
    ("02", "CN", "2026-11-20", {}, GOOD),
    # 10 and 11 for what was last produced in Canada (SOR/2020-157)
    ("10", "CA", "2026-11-20", {"export_place": "US"}, GOOD),
    ("10", "CA", "2026-11-20", {"export_place": "UNY"}, GOOD),
    ("10", "CA", "2026-11-20", {"export_place": "PR"}, GOOD),
    ("10", "CA", "2026-11-20", {"export_place": "MX"}, REFUSED),
    ("11", "CA", "2026-11-20", {"export_place": "MX"}, GOOD),
    ("11", "CA", "2026-11-20", {"export_place": "US"}, REFUSED),
    ("10", "CA", "2020-07-01", {"export_place": "US"}, GOOD),
    ("10", "CA", "2020-06-30", {"export_place": "US"}, REFUSED),  # before CUSMA's uniform regulations
    ("11", "CA", "2020-07-01", {"export_place": "MX"}, GOOD),
    ("11", "CA", "2020-06-30", {"export_place": "MX"}, REFUSED),
    ("10", "UTX", "2026-11-20", {"export_place": "UTX"}, GOOD),
    ("10", "PR", "2026-11-20", {"export_place": "PR"}, GOOD),
    ("10", "MX", "2026-11-20", {"export_place": "US"}, REFUSED),
    # 31: SOR/2017-178, schedule
    *(("31", origin, "2026-11-20", {}, GOOD) for origin in ("AX", "BL", "DE", "FR", "MC")),
    *(("31", origin, "2026-11-20", {}, REFUSED) for origin in ("FO", "GL", "AW", "CW", "SX", "BQ", "GB", "US")),
    # 12 ended with CUSMA; after its day the list of treatments says so
    *(("12", origin, "2020-06-30", {}, GOOD) for origin in ("US", "UTX", "PR", "MX")),
    ("12", "CN", "2020-06-30", {}, REFUSED),
    # 33, each member from its own day (Customs Notices 18-22, 21-23; three from memory)
    *(("33", origin, "2018-12-30", {}, GOOD) for origin in ("AU", "JP", "MX", "NZ", "SG")),
    *(("33", origin, "2018-12-29", {}, REFUSED) for origin in ("AU", "JP", "MX", "NZ", "SG")),
    ("33", "VN", "2019-01-13", {}, REFUSED),
    ("33", "VN", "2019-01-14", {}, GOOD),
    ("33", "PE", "2021-09-18", {}, REFUSED),
    ("33", "PE", "2021-09-19", {}, GOOD),
    ("33", "MY", "2022-11-28", {}, WARNED),
    ("33", "MY", "2022-11-29", {}, GOOD),
    ("33", "CL", "2023-02-20", {}, WARNED),
    ("33", "CL", "2023-02-21", {}, GOOD),
    ("33", "BN", "2023-07-11", {}, WARNED),
    ("33", "BN", "2023-07-12", {}, GOOD),
    ("33", "GB", "2026-11-20", {}, REFUSED),
    # 34 with Gibraltar (Customs Notice 21-07)
    *(("34", origin, "2021-04-01", {}, GOOD) for origin in ("GB", "GG", "GI", "IM", "JE")),
    *(("34", origin, "2021-03-31", {}, REFUSED) for origin in ("GB", "GG", "GI", "IM", "JE")),
    ("34", "IE", "2026-11-20", {}, REFUSED),
    # 09 and 08, what was withdrawn on 2025-01-01, and who got it back (SOR/2023-207, SOR/2023-208)
    *(
        (treatment, origin, day, {"direct_shipment_date": shipped}, found)
        for treatment, origins in (
            ("09", "AM BZ VG FJ GE GT GY IQ MH MD NR PY TO TM TV VN"),
            ("08", "CV WS TV VU"),
        )
        for origin in origins.split()
        for day, shipped, found in (
            ("2024-12-31", "2024-12-31", GOOD),
            ("2025-01-01", "2025-01-01", REFUSED),
            ("2025-02-10", "2024-12-31", GOOD),  # in transit
            ("2025-02-10", "2025-01-01", REFUSED),
        )
    ),
    *(("09", origin, "2025-01-01", {}, GOOD) for origin in ("LB", "TN")),
    *(("09", origin, "2024-12-31", {}, REFUSED) for origin in ("LB", "TN")),
    # what is in transit keeps nothing else: Russian goods were shipped before, a member's own day is that of release
    ("02", "RU", "2022-03-02", {"direct_shipment_date": "2022-02-01"}, REFUSED),
    ("33", "PE", "2021-09-19", {"direct_shipment_date": "2021-08-01"}, GOOD),
    ("09", "PK", "2026-11-20", {}, GOOD),
]


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize(
    ("treatment", "origin", "day", "further", "found"),
    TREATMENTS,
    ids=[" ".join((*each[:3], *each[3].values())) for each in TREATMENTS],
)
def test_a_treatment_is_for_an_origin_on_its_days(
    treatment: str, origin: str, day: str, further: dict[str, str], found: list[tuple[str, str]], syntax: Syntax
) -> None:
    given = {"tariff_treatment": treatment, "origin": origin, "release_date": day, "export_place": origin} | further
    # the list of treatments goes by the day of shipment and is another rule's
    assert [each for each in severity(told(declared(**given), syntax)) if each[0] in ("CAD-0150", "CAD-0151")] == found


def test_where_no_release_is_known_the_day_of_accounting_counts_and_else_that_of_receipt() -> None:
    given = {"tariff_treatment": "09", "origin": "AM", "direct_shipment_date": "2025-01-01"}
    assert "CAD-0150" not in told(declared(cad_type="V", accounting_date="2024-12-31", **given), Syntax.XML)
    assert "CAD-0150" in told(declared(cad_type="V", accounting_date="2025-01-02", **given), Syntax.XML)
    assert "CAD-0150" in told(declared(cad_type="V", accounting_date=None, **given), Syntax.XML)


def test_who_has_a_treatment_that_day_is_told() -> None:
    given = {"tariff_treatment": "33", "origin": "US", "release_date": "2019-06-03"}
    finding = told(declared(**given), Syntax.XML)["CAD-0150"]
    assert finding.expected == "AU JP MX NZ SG VN"
    assert "2019-06-03" in finding.text.en
    assert "2019-06-03" in finding.text.fr


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize(
    ("released", "accounted", "shipped", "found"),
    [
        ("2020-06-30", "2020-07-02", "2020-06-29", GOOD),
        ("2020-07-01", "2020-07-02", "2020-06-29", [("CAD-0003", "refuse")]),  # the release decides, not the shipment
        ("2026-11-20", "2026-11-21", "2020-06-29", [("CAD-0003", "refuse")]),
        ("", "2020-06-30", "2020-06-29", GOOD),
        ("", "2020-07-01", "2020-06-29", [("CAD-0003", "refuse")]),
        ("", "", "2020-06-29", REFUSED),  # the day of receipt
    ],
)
def test_an_ended_treatment_is_refused_by_the_day_of_release(
    released: str, accounted: str, shipped: str, found: list[tuple[str, str]], syntax: Syntax
) -> None:
    days = {"release_date": released or None, "accounting_date": accounted or None, "direct_shipment_date": shipped}
    given = {"tariff_treatment": "12", "origin": "US", **days}
    assert severity(told(declared(cad_type="AB" if released else "V", **given), syntax)) == found


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize(
    "given",
    [
        {"tariff_treatment": "30", "origin": "USA"},
        {"tariff_treatment": "10", "origin": "CA", "export_place": "USA"},
        {"tariff_treatment": "10", "origin": "UZZ"},
        {"tariff_treatment": "02", "origin": "XQ", "classification": "7308200000"},  # surtaxes of every origin
        {"tariff_treatment": "02", "origin": "UZZ", "classification": "7214200011", "surtax_subject": "Y"}
        | {"surtax_code": "ST25", "sima_exporter": "EXP1"}
        | SUBJECT,
    ],
    ids=str,
)
def test_what_is_no_country_of_the_list_is_that_lists_finding_alone(given: dict[str, Any], syntax: Syntax) -> None:
    assert severity(told(declared(**given), syntax)) == [("CAD-0003", "refuse")]


# ------------------------------------------------------------------------------------------------ the rest

# What passes, what does not, and what is found.
CASES: list[tuple[str, dict[str, Any], dict[str, Any], list[tuple[str, str]]]] = [
    (
        "a currency retired in 2024 and still listed by the exchange-rate service",
        {"currency": "ZWL", "release_date": "2024-10-30", "direct_shipment_date": "2024-08-31"},
        {"currency": "ZWL", "release_date": "2024-10-30", "direct_shipment_date": "2024-09-01"},
        [("CAD-0257", "warn")],
    ),
    ("MZM", {"currency": "MZN"}, {"currency": "MZM"}, [("CAD-0257", "warn")]),
    ("SKL", {"currency": "EUR"}, {"currency": "SKL"}, [("CAD-0257", "warn")]),
    ("no currency at all", {"currency": "EUR"}, {"currency": "XQX"}, [("CAD-0003", "refuse")]),
    (
        "the unit of a number, by its longest start",
        {"classification": "7612909011", "unit": "NMB"},
        {"classification": "7612909011", "unit": "KGM"},
        [("CAD-0255", "warn")],
    ),
    (
        "the unit of an excise code",
        {"excise_code": "C05", "unit": "GRM"},
        {"excise_code": "C05", "unit": "LTR"},
        [("CAD-0256", "warn")],
    ),
    (
        "an indicator that is neither yes nor no, by a list that is an assumption",
        {"release_prior_to_payment": "Y"},
        {"release_prior_to_payment": "X"},
        [("CAD-0004", "warn")],
    ),
]  # fmt: skip


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize(("what", "passes", "fails", "found"), CASES, ids=[each[0] for each in CASES])
def test_what_else_the_law_says(
    what: str, passes: dict[str, Any], fails: dict[str, Any], found: list[tuple[str, str]], syntax: Syntax
) -> None:
    def given(changes: dict[str, Any]) -> Declaration:
        money = {"invoice_value": None, "invoice_currency": None} if "currency" in changes else {}
        return declared(**{"quantity": Decimal(3), "unit": "NMB"} | money | changes)

    assert severity(told(given(passes), syntax)) == [], what
    assert severity(told(given(fails), syntax)) == found, what


@pytest.mark.parametrize("count", [999, 1000])
def test_999_lines_are_what_a_release_takes(count: int) -> None:
    maker = Maker(random.Random("many"), PLANS.specs, PARTNER, DAY)
    many = maker.draft("AB", accounted=DAY, share=0, plain=True, shape=(count,)).freeze()
    each = maker.draft("AB", accounted=DAY, share=0, plain=True, shape=(1,) * count).freeze()
    for syntax, declaration in ((Syntax.XML, many), (Syntax.EDIFACT, each)):
        assert severity(told(declaration, syntax)) == ([("CAD-0260", "warn")] if count > 999 else [])


@pytest.mark.parametrize("syntax", BOTH)
def test_late_accounting_goes_by_the_calendar(syntax: Syntax) -> None:
    late = {"release_date": "2026-11-13", "direct_shipment_date": "2026-11-02"}

    def codes(cad_type: str, accounted: str) -> list[str]:
        declaration = declared(cad_type=cad_type, accounting_date=accounted, **late)
        step = SampleMessage(MessageType.DECLARATION, declaration)
        (body,) = write(Sample((step,), None, PLANS.specs, PARTNER, PARTNER), syntax, DAY, "S")
        (one,) = pipeline.handle(Received("1", PARTNER.id, body, moment_of(DAY)), Facts(PARTNER), PLANS).judged
        return [each.code for each in one.findings]

    assert codes("AB", "2026-11-20") == []
    assert codes("AB", "2026-11-23") == ["CAD-0140"]
    assert codes("TT", "2026-11-23") == []
    # Customs Self Assessment: s. 10.3 by the importer's own period, s. 10.31 for low value
    old = {"release_date": "2026-09-17", "direct_shipment_date": "2026-09-01"}
    for choice, value, last in (
        (None, "3300.01", "2026-10-01"),
        ("billing", "3300.01", "2026-10-01"),
        ("month", "3300.01", "2026-10-30"),
        ("billing", "3300", "2026-10-24"),
        ("month", "3300", "2026-10-30"),
    ):
        partner = replace(PARTNER, choices=dict.fromkeys(PARTNER.authorities, choice) if choice else {})
        for accounted, found in ((date.fromisoformat(last), []), (date.fromisoformat(last) + DAY_LATER, ["CAD-0142"])):
            worth = {"value_for_currency_conversion": Decimal(value), "accounting_date": str(accounted)}
            declaration = declared(cad_type="TT", **old, **worth)
            told_there = findings(declaration, syntax, partner=partner)
            assert [each.code for each in told_there] == found, (choice, value, accounted)
            assert all(each.expected == last for each in told_there)


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize(
    ("table", "old", "new", "reason"),
    [
        ("treatment_origins.csv", "02,RU,no", "02,RU,perhaps", "given is yes or no"),
        ("treatment_origins.csv", "02,RU,", "02,QQ,", "QQ is no country"),
        ("surtax_items.csv", "7206.10.00", "7206.10", "no tariff item of eight digits"),
        ("surtax_orders.csv", ",CN,,2024-10-22", ",QQ,,2024-10-22", "QQ is no country"),
        ("surtax_orders.csv", "Schedule 3", "Schedule 9", "has no Schedule 9"),
        ("units.csv", "tariff,2206", "tariff,22", "four digits or more"),
        ("units.csv", "tariff,2206", "other,2206", "tariff or excise"),
    ],
)
def test_tables_that_cannot_be_used_are_refused_in_one_line(
    tmp_path: Any, table: str, old: str, new: str, reason: str, syntax: Syntax
) -> None:
    root = copy(tmp_path)
    edit(root / "trade" / table, old, new)
    with pytest.raises(Exception, match=reason) as caught:
        prepare(root)
    assert str(caught.value).startswith(f"trade/{table}, row ")


def test_a_treatment_withdrawn_tomorrow_is_a_row(tmp_path: Any) -> None:
    root = copy(tmp_path)
    set_field(root / "trade/treatment_origins.csv", "30", "valid_to", "2026-11-20")
    plans = prepare(root)
    for day, found in (("2026-11-20", []), ("2026-11-21", REFUSED)):
        given = {"tariff_treatment": "30", "origin": "KR", "release_date": day}
        assert severity(told(declared(plans, **given), Syntax.XML, plans)) == found
