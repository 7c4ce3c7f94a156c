"""Reads what the specification says of days: the tables of its folder `calendar`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, cast

import msgspec

from core.calendar import Billing, Calendar, Terms
from core.errors import SpecError
from core.fields import check_codes, decode_toml, read_both, read_confidence, read_day, read_number, read_period
from core.specs import CodeList
from core.tables import Cells, Origin, read_rows

COLUMNS = (
    "cad_type", "choice", "up_to", "day", "period", "account_by", "valid_from", "valid_to", "source_en", "source_fr",
    "confidence",
)  # fmt: skip

# The rows that are not of one CAD type: of every other one, and of the interest day.
OTHERS, INTEREST = "*", "interest"

# The last day to account: so many business days after the release, that of payment, or a day of the month after it.
ACCOUNT_BY = re.compile(
    r"|(?P<days>[1-9][0-9]?) business days|(?:(?P<day>[1-9]|1[0-9]|2[0-8])(?: or (?=payment)|$))?(?P<pay>payment)?"
)
CHOICES = ("", "billing", "month", "interim")
DAYS = ("release", "accounting", "earlier")

# Periods end on days that every month has.
Day = Annotated[int, msgspec.Meta(ge=1, le=28)]


class _Billing(msgspec.Struct, forbid_unknown_fields=True):
    """The shape of billing.toml."""

    period_start: Day
    period_end: Day
    statement_day: Day
    due_weekday: Day


def read_calendar(root: Path, code_lists: Mapping[str, CodeList]) -> Calendar:
    """Return the calendar of a specification; raises SpecError for tables that cannot be used."""
    path, where = root / "calendar/billing.toml", "calendar/billing.toml"
    try:
        read = msgspec.convert(decode_toml(root, path), _Billing)
    except msgspec.ValidationError as error:
        raise SpecError(where, None, str(error)) from error
    holidays = frozenset(
        read_day(row["date"], origin) or date.min
        for origin, row in read_rows(root / "calendar/holidays.csv", ("date",), root=root)
    )
    if not holidays:
        raise SpecError("calendar/holidays.csv", None, "the table is empty")
    terms: dict[tuple[str, str], tuple[Terms, ...]] = {}
    for origin, row in read_rows(root / "calendar/due_days.csv", COLUMNS, root=root):
        check_codes({row["cad_type"]} - {OTHERS, INTEREST}, code_lists, "cad_type", origin)
        if row["choice"] not in CHOICES:
            raise SpecError(*origin, f"{row['choice']} is no way to account: these are {' '.join(CHOICES).strip()}")
        key = row["cad_type"], row["choice"]
        terms[key] = (*terms.get(key, ()), _terms(row, origin))
    if lacking := next((key for key, rows in terms.items() if all(each.up_to for each in rows)), None):
        raise SpecError("calendar/due_days.csv", None, f"{' '.join(lacking).strip()} has no row for goods of any value")
    for needed in (OTHERS, INTEREST):
        if (needed, "") not in terms:
            raise SpecError("calendar/due_days.csv", None, f"there is no row for {needed}")
    last = date(max(holidays).year, 12, 31)
    return Calendar(Billing(**msgspec.structs.asdict(read)), holidays, last, terms)


def _terms(row: Cells, origin: Origin) -> Terms:
    """Return one row of due_days.csv."""
    whose = f"{row['cad_type']} {row['choice']}".strip()
    if row["day"] not in DAYS:
        raise SpecError(*origin, f"the day that counts is {', '.join(DAYS)}, not {row['day']!r}")
    if row["period"] not in ("billing", "month"):
        raise SpecError(*origin, f"the period is billing or month, not {row['period']!r}")
    found = ACCOUNT_BY.fullmatch(row["account_by"])
    if not found:
        reason = "payment, a number of business days, a day from 1 to 28 of the following month, or `24 or payment`"
        raise SpecError(*origin, f"account_by is {reason}, not {row['account_by']!r}")
    if row["day"] == "earlier" and found["pay"]:
        raise SpecError(
            *origin, "the earlier of accounting and its last day decides the payment, so it cannot follow from it"
        )
    return Terms(
        day=cast(Any, row["day"]),
        period="billing" if row["period"] == "billing" else "month",
        valid=read_period(row, origin, whose),
        source=read_both(row, "source", origin, whose),
        confidence=read_confidence(row, origin),
        business_days=int(found["days"]) if found["days"] else None,
        month_day=int(found["day"]) if found["day"] else None,
        with_payment=bool(found["pay"]),
        up_to=read_number(row, "up_to", origin),
    )
