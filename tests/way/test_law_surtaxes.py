"""The law's surtaxes: for each order what passes without a word, and what is told."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest

from core.declaration import Declaration
from core.transmission import Syntax
from gateway.trade.maker import Maker
from tests.support.goods import PLANS, TRADE, declared, findings, told
from tests.support.packs import BOTH, DAY, PARTNER

STEEL_CN, ALUMINUM_US, STEEL_US, CAR = "7208510000", "7604210000", "7208510000", "8703230090"
WATCH = [("CAD-0250", "warn")]

# Number, origin, release; further elements; the orders that are named.
SURTAXES: list[tuple[str, str, str, dict[str, Any], list[str]]] = [
    (STEEL_CN, "CN", "2024-10-21", {}, []),
    (STEEL_CN, "CN", "2024-10-22", {}, ["SOR/2024-187"]),
    (STEEL_CN, "CN", "2024-11-22", {"direct_shipment_date": "2024-10-21"}, []),  # in transit
    (STEEL_CN, "CN", "2026-11-20", {"surtax_subject": "N"}, ["SOR/2024-187"]),
    (STEEL_CN, "CN", "2026-11-20", {"surtax_subject": "Y", "surtax_code": "ST25"}, []),
    (STEEL_CN, "CN", "2026-11-20", {"classification": "9804300000"}, []),  # chapter 98
    (STEEL_US, "US", "2025-03-12", {}, []),
    (STEEL_US, "US", "2025-03-13", {}, ["SOR/2025-95"]),
    (STEEL_US, "UOH", "2025-03-13", {}, ["SOR/2025-95"]),
    (STEEL_US, "PR", "2025-03-13", {}, ["SOR/2025-95"]),
    (STEEL_US, "PR", "2026-11-20", {}, ["SOR/2025-95"]),  # not SOR/2025-154, which is for any origin but this
    (CAR, "PR", "2025-04-09", {}, ["SOR/2025-118"]),
    (STEEL_US, "US", "2025-04-13", {"direct_shipment_date": "2025-03-12"}, []),
    (STEEL_US, "US", "2026-11-20", {"tariff_code": "9993"}, []),  # chapter 99, not in schedule 4
    (STEEL_US, "US", "2026-11-20", {"tariff_code": "9903"}, ["SOR/2025-95"]),  # in schedule 4
    (ALUMINUM_US, "US", "2025-03-13", {}, ["SOR/2025-95"]),
    (ALUMINUM_US, "US", "2026-11-20", {"tariff_code": "9903"}, []),  # in schedule 4, which is of steel
    (CAR, "US", "2025-04-08", {}, []),
    (CAR, "US", "2025-04-09", {}, ["SOR/2025-118"]),
    (CAR, "DE", "2026-11-20", {}, []),
    ("7213200000", "JP", "2025-06-25", {}, []),
    ("7208510000", "JP", "2025-06-26", {}, ["SOR/2025-148"]),
    ("7208510000", "JP", "2026-06-26", {"value_for_currency_conversion": Decimal(5001)}, ["SOR/2025-154"]),
    ("7208510000", "JP", "2025-07-30", {}, ["SOR/2025-148"]),
    (
        "7208510000",
        "JP",
        "2025-08-01",
        {"value_for_currency_conversion": Decimal(5001)},
        ["SOR/2025-148", "SOR/2025-154"],
    ),
    ("7208510000", "JP", "2025-08-01", {"currency": "USD"}, ["SOR/2025-148", "SOR/2025-154"]),
    ("7208510000", "JP", "2026-11-20", {"value_for_currency_conversion": Decimal("5000.01")}, ["SOR/2025-154"]),
    ("7208510000", "JP", "2026-11-20", {"value_for_currency_conversion": Decimal(5000)}, []),
    (
        "7208510000",
        "JP",
        "2026-11-20",
        {"currency": "USD"},
        ["SOR/2025-154"],
    ),
    ("7308200000", "JP", "2025-12-25", {}, []),
    ("7308200000", "JP", "2025-12-26", {}, ["SOR/2025-267"]),
    ("7308200000", "JP", "2026-06-30", {"direct_shipment_date": "2025-12-25"}, []),  # in transit
    ("7308200000", "JP", "2026-07-01", {"direct_shipment_date": "2025-12-25"}, []),  # still, in the order's second row
    ("7308200000", "JP", "2026-07-01", {"direct_shipment_date": "2025-12-26"}, ["SOR/2025-267"]),
    ("7308200000", "JP", "2026-07-01", {"direct_shipment_date": "2026-06-30"}, ["SOR/2025-267"]),
    ("7308200000", "US", "2025-12-26", {}, ["SOR/2025-95"]),  # where another applies, the derivative one does not
    ("8471300000", "CN", "2026-11-20", {}, []),
]


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize(
    ("number", "origin", "day", "further", "orders"),
    SURTAXES,
    ids=[" ".join((*each[:3], *map(str, each[3].values()))) for each in SURTAXES],
)
def test_goods_in_a_schedule_without_the_indicator_are_told(
    number: str, origin: str, day: str, further: dict[str, Any], orders: list[str], syntax: Syntax
) -> None:
    given = {"classification": number, "origin": origin, "release_date": day, "tariff_treatment": "03", **further}
    if "currency" in further:
        given["invoice_currency"] = further["currency"]
    found = [each for each in findings(declared(**given), syntax) if each.code == "CAD-0250"]
    assert [[order for order in ORDERS if order in each.text.en] for each in found] == [[each] for each in orders]
    for finding, order in zip(found, orders, strict=True):
        assert (str(finding.severity), finding.expected) == ("warn", "Y")
        assert finding.place.pointer
        assert order.replace("SOR", "DORS") in finding.text.fr
        assert all("…" not in text and len(text) <= 512 for text in finding.text), "no answer cuts it"


ORDERS = sorted({surtax.order for each in TRADE.surtaxes.values() for surtax in each})


def test_every_order_with_a_schedule_has_its_cases() -> None:
    assert {order for *_, orders in SURTAXES for order in orders} == set(ORDERS)
    assert len(TRADE.surtaxes) == 330


def lines(*values: tuple[str, str]) -> Declaration:
    """A declaration with lines of steel that China's melting would make subject: value, currency."""
    maker = Maker(random.Random("lines"), PLANS.specs, PARTNER, DAY)
    draft = maker.draft("AB", accounted=DAY, share=0, plain=True, shape=(len(values),))
    for line, (value, currency) in zip(draft.lines(), values, strict=True):
        line |= {"classification": "7208510000", "origin": "JP", "tariff_treatment": "02", "currency": currency}
        line["value_for_currency_conversion"] = Decimal(value)
    for invoice, _ in draft.invoices:
        invoice.pop("invoice_value", None)
        invoice.pop("invoice_currency", None)
    return draft.freeze()


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize(
    ("values", "is_told"),
    [
        ([("2500", "CAD"), ("2500", "CAD")], False),
        ([("2500", "CAD"), ("2500.01", "CAD")], True),
        ([("1", "CAD"), ("1", "USD")], True),  # at what rate, nobody here knows
    ],
)
def test_the_exempt_total_is_that_of_the_declaration(
    values: list[tuple[str, str]], is_told: bool, syntax: Syntax
) -> None:
    found = told(lines(*values), syntax)
    assert ("CAD-0250" in found) is is_told
    if is_told:
        assert all("…" not in each for each in found["CAD-0250"].text)
        text, unknown = found["CAD-0250"].text, any(currency != "CAD" for _, currency in values)
        assert ("no more than 5000 CAD in all, which is not known here" in text.en) is unknown
        assert ("pas plus de 5000 CAD en tout sur cette déclaration, ce qui n'est pas connu ici" in text.fr) is unknown
