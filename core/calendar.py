"""Days that count: business days, billing periods, payment due dates and the end of a day in Eastern Time; pure."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

EASTERN = ZoneInfo("America/Toronto")
DAY = timedelta(days=1)
SATURDAY = 5


@dataclass(frozen=True, slots=True)
class Period:
    """A span of days, both ends included; None is open."""

    start: date | None = None
    end: date | None = None

    def covers(self, day: date) -> bool:
        """Tell whether the day lies within."""
        return (self.start is None or self.start <= day) and (self.end is None or day <= self.end)


# A day that every month has.
DayOfMonth = Annotated[int, msgspec.Meta(ge=1, le=28)]


@dataclass(frozen=True, slots=True)
class Billing:
    """How CARM bills: days of the month, and the rank of the weekday (Monday to Friday) on which payment is due."""

    period_start: DayOfMonth
    period_end: DayOfMonth
    statement_day: DayOfMonth
    due_weekday: Annotated[int, msgspec.Meta(ge=1, le=60)]


class BillingPeriod(NamedTuple):
    """A billing period (both ends included), the day of its statement and the day its payment is due."""

    start: date
    end: date
    statement: date
    payment_due: date


@lru_cache(maxsize=256)  # a message asks a dozen times about the moment it came
def eastern_day(moment: datetime) -> date:
    """Return the calendar day in Eastern Time of an aware moment."""
    return moment.astimezone(EASTERN).date()


def eastern(moment: datetime, language: str = "en") -> str:
    """Return an aware moment as people read it: 2026-11-27 09:05:00 EST (in French HNE)."""
    shown = f"{moment.astimezone(EASTERN):%Y-%m-%d %H:%M:%S %Z}"
    return shown.replace("EST", "HNE").replace("EDT", "HAE") if language == "fr" else shown


def _countable(day: date) -> date:
    """Return the day, or the nearest from which days and months can be counted; a sender may write any date."""
    return min(max(day, date(2, 1, 1)), date(9998, 1, 1))


def end_of_day(day: date) -> datetime:
    """Return the day's last minute, 23:59:59.999999 Eastern Time, as an aware moment."""
    return datetime.combine(day, time.max, EASTERN)


def is_business_day(day: date, holidays: Container[date]) -> bool:
    """Tell whether the day is Monday to Friday and no holiday."""
    return day.weekday() < SATURDAY and day not in holidays


def add_business_days(day: date, count: int, holidays: Container[date]) -> date:
    """Return the day that lies `count` (0 or more) business days after the day, which itself is day 0.

    Counting starts on the next business day, also from a Saturday, Sunday or holiday (AMPS C288).
    """
    day = _countable(day)
    while count > 0:
        day += DAY
        if is_business_day(day, holidays):
            count -= 1
    return day


def add_months(day: date, months: int) -> date:
    """Return the same day of the month so many months later, or that month's last day when it has no such day."""
    day = _countable(day)
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    following = date(year + (month == 11), (month + 1) % 12 + 1, 1)
    return min(date(year, month + 1, 1) + (day.day - 1) * DAY, following - DAY)


def billing_period(day: date, billing: Billing) -> BillingPeriod:
    """Return the billing period that the day lies in.

    The payment is due on the tenth weekday (Monday to Friday, holidays included) after the period's last day.
    """
    day = _countable(day)
    start = day.replace(day=billing.period_start)
    if start > day:
        start = add_months(start, -1)
    end = add_months(start, 1).replace(day=billing.period_end)
    due = add_business_days(end, billing.due_weekday, ())
    return BillingPeriod(start, end, end.replace(day=billing.statement_day), due)


@lru_cache(maxsize=1024)
def payment_due(day: date, billing: Billing) -> date:
    """Return the day on which the payment for a declaration accounted on the day is due."""
    return billing_period(day, billing).payment_due


def is_correction(now: datetime, due: date) -> bool:
    """Tell whether a change made now is a correction: until 23:59 Eastern Time on the payment due date.

    After it the change is an adjustment (CCS course cards; ghy.com).
    """
    return eastern_day(now) <= due
