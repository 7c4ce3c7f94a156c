"""By when goods are accounted for and paid: what SOR/86-1062 says of each CAD type, as cases worked by hand."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from core.calendar import Consignment, account_by, interest_day, payment_due
from core.errors import SpecError
from core.loading import load
from tests.support.builders import SPECS
from tests.support.packs import copy, edit, rewrite

CALENDAR = SPECS.calendar

# Released, accounted, due, worked by hand: the 10th weekday after the 17th of this month, or of the next one. Around
# ends of months and years, 29 February, the changes of time, Easter, Christmas and New Year's Day.
RELEASED_IN_BILLING_PERIOD = [
    ("2024-11-17", "2024-11-22", "2024-11-29"),  # published
    ("2025-03-17", "2025-03-24", "2025-03-31"),  # published
    ("2025-09-17", "2025-09-24", "2025-10-01"),  # published
    ("2026-02-16", "2026-02-20", "2026-03-03"),  # accounted in the next period: the release counts
    ("2026-02-17", "2026-02-24", "2026-03-03"),
    ("2026-02-18", "2026-02-25", "2026-03-31"),
    ("2025-12-31", "2026-01-08", "2026-01-30"),
    ("2028-02-29", "2028-03-07", "2028-03-31"),
    ("2026-03-08", "2026-03-13", "2026-03-31"),  # the clocks change
    ("2026-11-01", "2026-11-06", "2026-12-01"),  # the clocks change
    ("2025-12-17", "2025-12-24", "2025-12-31"),  # Christmas and Boxing Day count as weekdays
    ("2026-06-17", "2026-06-24", "2026-07-01"),  # on Canada Day itself
    ("2026-04-03", "2026-04-14", "2026-05-01"),  # Good Friday
]
RELEASED_IN_MONTH = [
    ("2024-10-31", "2024-11-24", "2024-11-29"),
    ("2024-11-01", "2024-12-24", "2024-12-31"),
    ("2025-02-28", "2025-03-24", "2025-03-31"),
    ("2025-08-31", "2025-09-24", "2025-10-01"),
    ("2026-01-31", "2026-02-20", "2026-03-03"),
    ("2026-02-01", "2026-02-20", "2026-03-31"),
    ("2026-02-17", "2026-02-20", "2026-03-31"),  # the 17th ends nothing here
    ("2028-02-29", "2028-03-24", "2028-03-31"),
    ("2026-03-08", "2026-04-24", "2026-05-01"),  # the clocks change
    ("2026-10-31", "2026-11-24", "2026-12-01"),  # the clocks change the day after
    ("2026-11-30", "2026-12-24", "2026-12-31"),  # Christmas and Boxing Day count as weekdays
    ("2026-12-31", "2027-01-24", "2027-01-29"),
]
ACCOUNTED_IN_MONTH = [
    ("", "2024-10-31", "2024-11-29"),
    ("", "2024-11-01", "2024-12-31"),
    ("", "2025-02-28", "2025-03-31"),
    ("", "2025-08-31", "2025-10-01"),
    ("", "2026-02-16", "2026-03-31"),
    ("", "2026-02-20", "2026-03-31"),
    ("", "2028-02-29", "2028-03-31"),
    ("", "2026-03-08", "2026-05-01"),
    ("", "2026-11-30", "2026-12-31"),
    ("", "2026-12-31", "2027-01-29"),
]
# Type C is paid before the release; where that is not given, the accounting stands for it.
PAID_BEFORE_RELEASE = [
    ("2024-10-21", "2024-10-21", "2024-11-29"),  # CARM's first day
    ("2024-11-17", "2024-11-15", "2024-11-29"),
    ("2024-11-18", "2024-11-15", "2024-12-31"),  # a weekend between: the release counts
    ("2025-02-28", "2025-02-28", "2025-03-31"),
    ("", "2025-03-09", "2025-03-31"),  # the clocks change
    ("", "2025-11-02", "2025-12-01"),  # the clocks change
    ("2025-12-25", "2025-12-24", "2026-01-30"),
    ("", "2025-12-31", "2026-01-30"),
    ("2026-01-01", "2025-12-31", "2026-01-30"),
    ("2026-06-17", "2026-06-17", "2026-07-01"),  # on Canada Day itself
    ("2026-06-18", "2026-06-17", "2026-07-31"),
    ("", "2028-02-29", "2028-03-31"),
]
# Goods from bond, and types that no table has.
OUT_OF_BOND = [
    ("2024-10-31", "2024-11-04", "2024-11-29"),
    ("2025-01-17", "2025-01-24", "2025-01-31"),
    ("2025-01-18", "2025-01-24", "2025-03-03"),
    ("2025-03-09", "2025-03-14", "2025-03-31"),  # the clocks change
    ("2025-04-18", "2025-04-28", "2025-05-30"),  # Good Friday
    ("", "2025-04-21", "2025-05-30"),  # Easter Monday
    ("2025-08-17", "2025-08-22", "2025-08-29"),
    ("2025-09-17", "2025-09-30", "2025-10-01"),  # published
    ("2025-11-02", "2025-11-07", "2025-12-01"),  # the clocks change
    ("2025-12-26", "2026-01-05", "2026-01-30"),
    ("", "2026-01-31", "2026-03-03"),
    ("2028-02-29", "2028-03-07", "2028-03-31"),
]
# Goods released on an interim accounting: the month of accounting, or of its last day where that is earlier.
INTERIM = [
    ("2024-10-24", "2024-10-31", "2024-11-29"),
    ("2024-10-25", "2024-11-01", "2024-12-31"),
    ("2025-02-21", "2025-02-28", "2025-03-31"),
    ("2025-02-24", "2025-03-03", "2025-05-01"),
    ("2025-12-22", "2026-01-05", "2026-01-30"),  # late: the last day, 31 December, counts
    ("2025-12-23", "2026-01-05", "2026-03-03"),  # late: the last day, 2 January, counts
    ("2026-01-22", "2026-02-20", "2026-03-03"),  # late: the last day, 29 January, counts
    ("2026-01-29", "2026-02-04", "2026-03-31"),
    ("2026-02-16", "2026-02-20", "2026-03-31"),  # s. 10.1 would say 2026-03-03
    ("2026-03-06", "2026-03-13", "2026-05-01"),  # the clocks change
    ("2026-03-27", "2026-04-10", "2026-05-29"),  # late: Easter puts the last day to 7 April
    ("2026-10-30", "2026-10-30", "2026-12-01"),
    ("2028-02-22", "2028-02-29", "2028-03-31"),
]
OWN_TERMS = {
    ("AB", None): RELEASED_IN_BILLING_PERIOD,
    ("AB", "interim"): INTERIM,
    ("C", None): PAID_BEFORE_RELEASE,
    ("TT", None): RELEASED_IN_BILLING_PERIOD,
    ("TT", "billing"): RELEASED_IN_BILLING_PERIOD,
    ("TT", "month"): RELEASED_IN_MONTH,
    ("F", None): RELEASED_IN_MONTH,
    ("V", None): ACCOUNTED_IN_MONTH,
}
OTHERS = sorted(set(SPECS.code_lists["cad_type"].codes) - {type_ for type_, _ in OWN_TERMS})
WORKED = OWN_TERMS | {(type_, None): OUT_OF_BOND for type_ in (*OTHERS, "ZZ")}


def consignment(cad_type: str, choice: str | None, released: str, accounted: str, value: str = "") -> Consignment:
    day = date.fromisoformat(released) if released else None
    return Consignment(cad_type, day, date.fromisoformat(accounted), choice, Decimal(value) if value else None)


@pytest.mark.parametrize(
    ("cad_type", "choice", "released", "accounted", "due"),
    [(*key, *case) for key, cases in WORKED.items() for case in cases],
)
def test_payment_is_due_by_cad_type_and_release(
    cad_type: str, choice: str | None, released: str, accounted: str, due: str
) -> None:
    assert payment_due(consignment(cad_type, choice, released, accounted), CALENDAR) == date.fromisoformat(due)


def test_there_are_ten_worked_cases_for_every_type() -> None:
    assert {type_ for type_, _ in WORKED} == {*SPECS.code_lists["cad_type"].codes, "ZZ"}
    assert {*CALENDAR.terms} - {("*", ""), ("interest", "")} == {(type_, choice or "") for type_, choice in OWN_TERMS}
    assert all(len(set(cases)) >= 10 for cases in WORKED.values())


def test_where_the_release_is_not_known_the_day_of_accounting_stands_for_it() -> None:
    assert payment_due(consignment("TT", None, "", "2026-02-16"), CALENDAR) == date(2026, 3, 3)
    assert payment_due(consignment("F", None, "", "2026-02-16"), CALENDAR) == date(2026, 3, 31)
    assert payment_due(Consignment(None, None, date(2026, 2, 16)), CALENDAR) == date(2026, 3, 3)


@pytest.mark.parametrize(
    ("cad_type", "released", "accounted", "day"),
    [
        ("AB", "2026-02-16", "2026-02-20", "2026-03-31"),  # a month after its payment: another day
        ("AB", "2026-01-29", "2026-02-04", "2026-03-31"),
        ("AB", "2026-01-22", "2026-02-20", "2026-03-03"),  # late: the last day to account, 29 January, counts
        ("F", "2026-01-15", "2026-03-02", "2026-03-31"),  # late: 24 February counts
        ("V", "", "2026-02-20", "2026-03-31"),
    ],
)
def test_interest_counts_from_another_day_that_goes_by_accounting(
    cad_type: str, released: str, accounted: str, day: str
) -> None:
    assert interest_day(consignment(cad_type, None, released, accounted), CALENDAR) == date.fromisoformat(day)


@pytest.mark.parametrize(
    ("cad_type", "choice", "released", "value", "last"),
    [
        ("AB", None, "2026-12-21", "", "2026-12-30"),
        ("AB", "interim", "2026-12-21", "", "2026-12-30"),
        ("AB", None, "2035-12-20", "", "2035-12-31"),
        ("F", None, "2026-01-31", "", "2026-02-24"),
        ("TT", "month", "2026-02-01", "", "2026-03-31"),  # account and pay by the same day (s. 10.3)
        ("TT", "billing", "2026-02-01", "", "2026-03-03"),
        ("TT", None, "2026-02-01", "3300.01", "2026-03-03"),
        ("TT", None, "2026-02-01", "3300", "2026-03-24"),  # s. 10.31, despite s. 10.3
        ("TT", "billing", "2026-02-01", "3300", "2026-03-24"),
        ("TT", "billing", "2026-02-28", "3300", "2026-03-31"),  # s. 10.3 leaves more time
        ("TT", "month", "2026-02-01", "3300", "2026-03-31"),
        ("C", None, "2026-02-01", "100", None),
        ("20", None, "2026-02-01", "", None),
        ("AB", None, "", "", None),
        ("TT", None, "", "", None),
    ],
)
def test_the_last_day_to_account(
    cad_type: str, choice: str | None, released: str, value: str, last: str | None
) -> None:
    expected = date.fromisoformat(last) if last else None
    assert account_by(consignment(cad_type, choice, released, "2026-02-01", value), CALENDAR) == expected


@pytest.mark.parametrize("choice", [None, "billing", "month"])
def test_low_value_goods_of_a_csa_importer_are_paid_as_all_of_its_goods(choice: str | None) -> None:
    for released in ("2026-02-01", "2026-02-18", "2026-02-28"):
        low, other = (consignment("TT", choice, released, "2026-03-01", value) for value in ("3300", "3301"))
        assert payment_due(low, CALENDAR) == payment_due(other, CALENDAR)


def test_beyond_the_holidays_that_are_known_no_last_day_to_account_is_made_up() -> None:
    known = CALENDAR.known_to
    assert account_by(Consignment("AB", known - timedelta(days=20), known), CALENDAR) is not None
    assert account_by(Consignment("AB", known, known), CALENDAR) is None
    assert payment_due(Consignment("AB", known, known), CALENDAR) > known  # weekdays need no holidays


def test_a_law_that_changes_is_another_row_and_what_was_released_before_keeps_the_old_one(tmp_path: Path) -> None:
    root = copy(tmp_path)

    def change(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        (old,) = (row for row in rows if row["cad_type"] == "AB" and not row["choice"])
        rows.remove(old)
        return [*rows, old | {"valid_to": "2027-01-17"}, old | {"valid_from": "2027-01-18", "period": "month"}]

    rewrite(root / "calendar/due_days.csv", change)
    calendar = load(root).calendar
    for released, due in (("2027-01-17", "2027-01-29"), ("2027-01-18", "2027-03-03"), ("2027-02-01", "2027-03-31")):
        assert str(payment_due(consignment("AB", None, released, "2027-02-03"), calendar)) == due


def test_the_interest_day_may_change_by_law_as_well(tmp_path: Path) -> None:
    root = copy(tmp_path)

    def change(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        (old,) = (row for row in rows if row["cad_type"] == "interest")
        rows.remove(old)
        return [*rows, old | {"valid_to": "2027-01-31"}, old | {"valid_from": "2027-02-01", "period": "billing"}]

    rewrite(root / "calendar/due_days.csv", change)
    calendar = load(root).calendar
    for accounted, day in (("2027-01-10", "2027-03-03"), ("2027-02-10", "2027-03-03"), ("2027-02-18", "2027-03-31")):
        assert str(interest_day(consignment("V", None, "", accounted), calendar)) == day


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("AB,,,release", "AB,,,arrival", "release, accounting, earlier, not 'arrival'"),
        ("AB,,,release,billing", "AB,,,release,week", "billing or month, not 'week'"),
        ("5 business days", "5 days", "account_by is payment"),
        (",24,", ",30,", "account_by is payment"),
        (",24,", ",24 or,", "account_by is payment"),
        (",24,", ",24payment,", "account_by is payment"),
        ("V,,,earlier,month,,", "V,,,earlier,month,payment,", "cannot follow from it"),
        ("AB,,,release", "AB,,100,release", "AB has no row for goods of any value"),
        ("TT,,3300", "TT,,much", "'much' is no number"),
        ("interest,,,accounting", "V,,,accounting", "there is no row for interest"),
        ("*,,,release", "V,,,release", "there is no row for *"),
    ],
)
def test_terms_that_cannot_be_used_are_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    root = copy(tmp_path)
    edit(root / "calendar/due_days.csv", old, new)
    with pytest.raises(SpecError) as caught:
        load(root)
    assert reason in str(caught.value)
    assert caught.value.file == "calendar/due_days.csv"
