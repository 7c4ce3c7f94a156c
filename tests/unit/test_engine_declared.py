"""What the reference engine makes of self-declared amounts, by what the line says of its being subject."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gateway.engine.assess import assess, load_rates
from tests.support.builders import valid_declaration, with_lines

RATES = load_rates()
TAXES = {"sima": "anti_dumping", "surtax": "surtax", "safeguard": "safeguard"}
CODED = {
    "sima": {"sima_subject": "S", "sima_measure": "AE"},  # 34.00
    "surtax": {"surtax_subject": "Y", "surtax_code": "ST25"},  # 37.50
    "safeguard": {"safeguard_subject": "Y", "safeguard_code": "SF10"},  # 15.00
}


def assessed(line: dict[str, str]) -> dict[str, Any]:
    declaration = with_lines(valid_declaration(lines=1), line)
    elements = {name: str(value) for name, value in declaration.invoices[0].commodities[0].values.items()}
    names = ("contract", "message_id", "transaction_number", "version", "payment_due")
    request = dict.fromkeys(names, "") | {"nature": "original", "reference": "", "test": False}
    request["declaration"] = {"elements": {"cad_type": "AB"}, "invoices": [{"lines": [{"elements": elements}]}]}
    return assess(request, RATES).result or {}


@pytest.mark.parametrize(
    ("tax", "declared", "changes", "amount"),
    [
        ("sima", "34.00", {}, "34.00"),
        ("sima", "40", {}, "40.00"),
        ("sima", "40", {"sima_self_declared": "N"}, "34.00"),
        ("sima", "40", {"sima_subject": "N"}, "0.00"),
        ("sima", "40", {"sima_subject": "U"}, "0.00"),
        ("surtax", "12.345", {}, "12.35"),  # less may be declared: on a vehicle it is on a part of its value
        ("surtax", "40", {}, "40.00"),
        ("surtax", "40", {"surtax_self_declared": "N"}, "37.50"),
        ("surtax", "40", {"surtax_subject": "N"}, "0.00"),
        ("safeguard", "90", {}, "90.00"),
        ("safeguard", "90", {"safeguard_self_declared": "N"}, "15.00"),
        ("safeguard", "90", {"safeguard_subject": "N"}, "0.00"),
    ],
)
def test_a_self_declared_amount_counts_where_the_goods_are_subject(
    tax: str, declared: str, changes: dict[str, str], amount: str
) -> None:
    ticked = {f"{tax}_self_declared": "Y", f"{tax}_amount": declared}
    result = assessed({**CODED[tax], **ticked, **changes})
    assert (result["outcome"], result["totals"][TAXES[tax]]) == ("approved", str(Decimal(amount)))


def test_of_sima_less_than_is_worked_out_may_not_be_declared() -> None:
    result = assessed({**CODED["sima"], "sima_self_declared": "Y", "sima_amount": "33.99"})
    assert (result["outcome"], [each["code"] for each in result["reasons"]]) == ("refused", ["ENG-0008"])
