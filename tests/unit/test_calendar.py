from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.calendar import (
    Consignment,
    add_business_days,
    add_months,
    billing_period,
    eastern_day,
    end_of_day,
    is_business_day,
    is_correction,
    payment_due,
)
from core.errors import SpecError
from core.loading import load
from tests.support.builders import SPECS
from tests.support.packs import copy, edit

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
