"""Days that count: business days, billing periods, days to account and to pay by, the end of a day in Eastern Time.

Pure; what the law says of each CAD type are rows of `calendar/due_days.csv` (`Terms`).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Annotated, Literal, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from core.findings import Bilingual

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

    def overlaps(self, other: Period) -> bool:
        """Tell whether a day lies within both."""
        first = max(self.start or date.min, other.start or date.min)
        return first <= min(self.end or date.max, other.end or date.max)


# A day that every month has.
DayOfMonth = Annotated[int, msgspec.Meta(ge=1, le=28)]


@dataclass(frozen=True, slots=True)
class Billing:
    """How CARM bills: days of the month, and the rank of the weekday (Monday to Friday) on which payment is due."""

    period_start: DayOfMonth
    period_end: DayOfMonth
    statement_day: DayOfMonth
    due_weekday: Annotated[int, msgspec.Meta(ge=1, le=60)]


@dataclass(frozen=True, slots=True)
class Terms:
    """By when goods of a CAD type are accounted for and paid: a row of `calendar/due_days.csv`.

    The `day` that counts (release, accounting, or the earlier of accounting and the last day to account) lies in a
    period (billing: the 18th to the 17th; month), and payment is due so many weekdays after the period's end, which for
    a month is the 17th of the next one. The last day to account is the day of payment (`with_payment`), or so many
    `business_days` after the release, or the `month_day` of the month after it, of two of them the later; where none of
    them is given, no law was seen that names one. A row with `up_to` is for goods worth no more, in Canadian dollars.
    """

    day: Literal["release", "accounting", "earlier"]
    period: Literal["billing", "month"]
    valid: Period
    source: Bilingual
    confidence: str
    business_days: int | None = None
    month_day: int | None = None
    with_payment: bool = False
    up_to: Decimal | None = None


class Consignment(NamedTuple):
    """What the calendar needs to know of a declaration; `accounted` is the day of receipt where it names none.

    `choice` is how its importer accounts: the period that one in CSA has chosen (month or billing), `interim`, None
    where nothing is known. `value` is what the goods are worth in Canadian dollars, None where that is not known.
    """

    cad_type: str | None
    released: date | None
    accounted: date
    choice: str | None = None
    value: Decimal | None = None


@dataclass(frozen=True, eq=False)
class Calendar:
    """All that the specification says of days: how CARM bills, holidays and the last year that they are known of.

    `terms` has the rows of each CAD type, and choice where an importer has one; "*" is every other type, `interest` the
    row of the interest day.
    """

    billing: Billing
    holidays: frozenset[date]
    known_to: date
    terms: Mapping[tuple[str, str], tuple[Terms, ...]]

    def terms_of(self, consignment: Consignment) -> Terms:
        """Return what holds for goods: their type, choice and value's first row in force on the day that counts."""
        type_, choice = consignment.cad_type or "", consignment.choice or ""
        rows = self.terms.get((type_, choice)) or self.terms.get((type_, "")) or self.terms["*", ""]
        fitting = [each for each in rows if each.up_to is None or _is_worth(consignment, each.up_to)]
        return next((each for each in fitting if each.valid.covers(_counted(consignment, each, self))), fitting[-1])

    # What a message is asked for several times, remembered with the calendar that it is of.

    @cached_property
    def due(self) -> Callable[[Consignment], date]:
        """Gives the day on which the payment for goods is due."""
        return lru_cache(maxsize=1024)(lambda consignment: _due_by(consignment, self.terms_of(consignment), self))

    @cached_property
    def last(self) -> Callable[[Consignment], date | None]:
        """Gives the last day to account for released goods, None where it is not known."""
        return lru_cache(maxsize=1024)(lambda consignment: _account_by(consignment, self.terms_of(consignment), self))


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


def payment_due(consignment: Consignment, calendar: Calendar) -> date:
    """Return the day on which the payment for goods is due (SOR/86-1062, ss. 7.5, 10.1, 10.3, 13)."""
    return calendar.due(consignment)


def _due_by(consignment: Consignment, terms: Terms, calendar: Calendar) -> date:
    return _due(_counted(consignment, terms, calendar), terms.period, calendar.billing)


def account_by(consignment: Consignment, calendar: Calendar) -> date | None:
    """Return the last day to account for released goods.

    None where the law names none, where the release is not known, and where the holidays on the way to it are not.
    """
    return calendar.last(consignment)


def _account_by(consignment: Consignment, terms: Terms, calendar: Calendar) -> date | None:
    released = consignment.released
    if released is None:
        return None
    if terms.business_days is not None:
        day = add_business_days(released, terms.business_days, calendar.holidays)
        return day if day <= calendar.known_to else None
    days = [_due_by(consignment, terms, calendar)] if terms.with_payment else []
    if terms.month_day:
        days.append(add_months(released.replace(day=1), 1).replace(day=terms.month_day))
    return max(days, default=None)


def interest_day(consignment: Consignment, calendar: Calendar) -> date:
    """Return the day after which interest counts (SOR/86-1062, s. 2.1): not the day on which payment is due.

    It goes by the earlier of the day of accounting and the last day to account.
    """
    day = min(consignment.accounted, account_by(consignment, calendar) or consignment.accounted)
    return _due(day, interest_terms(day, calendar).period, calendar.billing)


def interest_terms(day: date, calendar: Calendar) -> Terms:
    """Return what holds for the interest on what is accounted for, or was to be, on a day."""
    return calendar.terms_of(Consignment("interest", None, day))


def _counted(consignment: Consignment, terms: Terms, calendar: Calendar) -> date:
    """Return the day by which goods are placed in a period; where no release is known, that of accounting."""
    if terms.day == "release" and consignment.released:
        return consignment.released
    if terms.day == "earlier":
        return min(consignment.accounted, _account_by(consignment, terms, calendar) or consignment.accounted)
    return consignment.accounted


def _is_worth(consignment: Consignment, most: Decimal) -> bool:
    return consignment.value is not None and consignment.value <= most


@lru_cache(maxsize=1024)
def _due(day: date, period: str, billing: Billing) -> date:
    """Return the weekday on which what belongs to the day is paid."""
    if period == "billing":
        return billing_period(day, billing).payment_due
    following = add_months(_countable(day).replace(day=1), 1)
    return add_business_days(following.replace(day=billing.period_end), billing.due_weekday, ())


def is_correction(now: datetime, due: date) -> bool:
    """Tell whether a change made now is a correction: until 23:59 Eastern Time on the payment due date.

    After it the change is an adjustment (CCS course cards; ghy.com).
    """
    return eastern_day(now) <= due
