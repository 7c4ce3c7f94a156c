from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.calendar import (
    Consignment,
    account_by,
    add_business_days,
    add_months,
    billing_period,
    eastern_day,
    end_of_day,
    interest_day,
    is_business_day,
    is_correction,
    payment_due,
)
from core.errors import SpecError
from core.loading import load
from tests.support.builders import SPECS
from tests.support.packs import copy, edit, rewrite

CALENDAR = SPECS.calendar
BILLING = CALENDAR.billing

# Last day of each billing period from 2024-11 to 2026-12, and the due date; 2024-11-29, 2025-03-31 and 2025-10-01 are
# published, the others follow from the rule.
DUE = [
    "2024-11-17",
    "2024-11-29",
    "2024-12-17",
    "2024-12-31",
    "2025-01-17",
    "2025-01-31",
    "2025-02-17",
    "2025-03-03",
    "2025-03-17",
    "2025-03-31",
    "2025-04-17",
    "2025-05-01",
    "2025-05-17",
    "2025-05-30",
    "2025-06-17",
    "2025-07-01",
    "2025-07-17",
    "2025-07-31",
    "2025-08-17",
    "2025-08-29",
    "2025-09-17",
    "2025-10-01",
    "2025-10-17",
    "2025-10-31",
    "2025-11-17",
    "2025-12-01",
    "2025-12-17",
    "2025-12-31",
    "2026-01-17",
    "2026-01-30",
    "2026-02-17",
    "2026-03-03",
    "2026-03-17",
    "2026-03-31",
    "2026-04-17",
    "2026-05-01",
    "2026-05-17",
    "2026-05-29",
    "2026-06-17",
    "2026-07-01",
    "2026-07-17",
    "2026-07-31",
    "2026-08-17",
    "2026-08-31",
    "2026-09-17",
    "2026-10-01",
    "2026-10-17",
    "2026-10-30",
    "2026-11-17",
    "2026-12-01",
    "2026-12-17",
    "2026-12-31",
]


@pytest.mark.parametrize(("end", "due"), list(zip(DUE[::2], DUE[1::2], strict=True)))
def test_the_billing_calendar(end: str, due: str) -> None:
    last = date.fromisoformat(end)
    period = billing_period(last, BILLING)
    assert (period.end, period.payment_due) == (last, date.fromisoformat(due))
    assert period.start == add_months(last, -1) + timedelta(days=1)
    assert period.statement == last.replace(day=25)
    assert billing_period(period.start, BILLING) == period
    assert billing_period(last + timedelta(days=1), BILLING).payment_due > period.payment_due


def test_how_carm_bills_is_data() -> None:
    later = replace(CALENDAR, billing=replace(BILLING, due_weekday=1))
    assert payment_due(Consignment("AB", date(2026, 11, 20), date(2026, 11, 20)), later) == date(2026, 12, 18)


# ------------------------------------------------------------------------------------------------ payment, by CAD type

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
OWN_TERMS = {
    ("AB", None): RELEASED_IN_BILLING_PERIOD,
    ("TT", None): RELEASED_IN_BILLING_PERIOD,
    ("TT", "billing"): RELEASED_IN_BILLING_PERIOD,
    ("TT", "month"): RELEASED_IN_MONTH,
    ("F", None): RELEASED_IN_MONTH,
    ("V", None): ACCOUNTED_IN_MONTH,
}
OTHERS = sorted(set(SPECS.code_lists["cad_type"].codes) - {type_ for type_, _ in OWN_TERMS})
WORKED = OWN_TERMS | {(type_, None): RELEASED_IN_BILLING_PERIOD for type_ in OTHERS}


def consignment(cad_type: str, choice: str | None, released: str, accounted: str) -> Consignment:
    day = date.fromisoformat(released) if released else None
    return Consignment(cad_type, day, date.fromisoformat(accounted), choice)


@pytest.mark.parametrize(
    ("cad_type", "choice", "released", "accounted", "due"),
    [(*key, *case) for key, cases in WORKED.items() for case in cases],
)
def test_payment_is_due_by_cad_type_and_release(
    cad_type: str, choice: str | None, released: str, accounted: str, due: str
) -> None:
    assert payment_due(consignment(cad_type, choice, released, accounted), CALENDAR) == date.fromisoformat(due)


def test_there_are_ten_worked_cases_for_every_type() -> None:
    assert {type_ for type_, _ in WORKED} == set(SPECS.code_lists["cad_type"].codes)
    assert all(len(cases) >= 10 for cases in WORKED.values())


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
    ("cad_type", "choice", "released", "last"),
    [
        ("AB", None, "2026-12-21", "2026-12-30"),
        ("AB", None, "2035-12-20", "2035-12-31"),
        ("F", None, "2026-01-31", "2026-02-24"),
        ("TT", "month", "2026-02-01", "2026-03-31"),  # account and pay by the same day (s. 10.3)
        ("TT", "billing", "2026-02-01", "2026-03-03"),
        ("20", None, "2026-02-01", None),
        ("AB", None, "", None),
    ],
)
def test_the_last_day_to_account(cad_type: str, choice: str | None, released: str, last: str | None) -> None:
    expected = date.fromisoformat(last) if last else None
    assert account_by(consignment(cad_type, choice, released, "2026-02-01"), CALENDAR) == expected


def test_beyond_the_holidays_that_are_known_no_last_day_to_account_is_made_up() -> None:
    known = CALENDAR.known_to
    assert account_by(Consignment("AB", known - timedelta(days=20), known), CALENDAR) is not None
    assert account_by(Consignment("AB", known, known), CALENDAR) is None
    assert payment_due(Consignment("AB", known, known), CALENDAR) > known  # weekdays need no holidays


def test_a_law_that_changes_is_another_row_and_what_was_released_before_keeps_the_old_one(tmp_path: Path) -> None:
    root = copy(tmp_path)

    def change(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        (old,) = (row for row in rows if row["cad_type"] == "AB")
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
        ("AB,,release", "AB,,arrival", "release or accounting, not 'arrival'"),
        ("AB,,release,billing", "AB,,release,week", "billing or month, not 'week'"),
        ("5 business days", "5 days", "account_by is payment"),
        (",24,", ",30,", "account_by is payment"),
        ("interest,,accounting", "interests,,accounting", "there is no row for interest"),
        ("*,,release", "X,,release", "there is no row for *"),
    ],
)
def test_terms_that_cannot_be_used_are_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    root = copy(tmp_path)
    edit(root / "calendar/due_days.csv", old, new)
    with pytest.raises(SpecError) as caught:
        load(root)
    assert reason in str(caught.value)
    assert caught.value.file == "calendar/due_days.csv"


def test_a_day_of_the_month_that_not_every_month_has_is_refused(tmp_path: Path) -> None:
    root = copy(tmp_path)
    edit(root / "calendar/billing.toml", "statement_day = 25", "statement_day = 30")
    with pytest.raises(SpecError, match="statement_day"):
        load(root)


@given(st.dates(date(2024, 1, 1), date(2100, 1, 1)))
def test_every_day_lies_in_its_period_and_is_due_on_the_tenth_weekday_after_it(day: date) -> None:
    period = billing_period(day, BILLING)
    assert period.start <= day <= period.end
    after = [period.end + timedelta(days=n) for n in range(1, (period.payment_due - period.end).days + 1)]
    assert len([each for each in after if each.weekday() < 5]) == 10
    assert period.payment_due.weekday() < 5


@pytest.mark.parametrize(
    ("released", "due"),
    [
        ("2026-11-16", "2026-11-23"),  # Monday
        ("2026-11-20", "2026-11-27"),  # Friday
        ("2026-11-21", "2026-11-27"),  # Saturday: counting starts on Monday
        ("2026-12-21", "2026-12-30"),  # Christmas and Boxing Day do not count
    ],
)
def test_business_days_count_from_the_day_after_the_release(released: str, due: str) -> None:
    holidays = {date(2026, 12, 25), date(2026, 12, 28)}
    assert add_business_days(date.fromisoformat(released), 5, holidays) == date.fromisoformat(due)


def test_holidays_of_the_data_are_no_business_days() -> None:
    assert CALENDAR.holidays
    assert not any(is_business_day(day, CALENDAR.holidays) for day in CALENDAR.holidays)


@given(st.dates(date(2000, 1, 1), date(2090, 1, 1)), st.integers(-120, 120))
def test_adding_months_keeps_the_day_or_takes_the_last_of_the_month(day: date, months: int) -> None:
    moved = add_months(day, months)
    assert (moved.year * 12 + moved.month) - (day.year * 12 + day.month) == months
    assert moved.day == day.day or (moved + timedelta(days=1)).day == 1


def test_a_day_ends_at_midnight_in_eastern_time_summer_and_winter() -> None:
    assert end_of_day(date(2026, 12, 1)).astimezone(UTC) == datetime(2026, 12, 2, 4, 59, 59, 999999, UTC)
    assert end_of_day(date(2026, 7, 1)).astimezone(UTC) == datetime(2026, 7, 2, 3, 59, 59, 999999, UTC)
    assert eastern_day(datetime(2026, 12, 2, 4, 59, tzinfo=UTC)) == date(2026, 12, 1)


@given(st.dates(date(2024, 1, 1), date(2100, 1, 1)), st.integers(-3, 3))
def test_a_change_is_a_correction_until_the_end_of_the_due_date(due: date, minutes: int) -> None:
    moment = end_of_day(due).astimezone(UTC) + timedelta(minutes=minutes)
    assert is_correction(moment, due) == (minutes <= 0)
