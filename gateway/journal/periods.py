"""How long the journal keeps what, as data in retention.csv; `Journal.purge` takes out what is older."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from core.errors import SpecError
from core.findings import Bilingual
from core.tables import AtLeast0, read_typed

TABLE = Path(__file__).with_name("retention.csv")


LONGEST_MONTHS = 1_200


class Retention(NamedTuple):
    """How many months one kind of record is kept, what it is and why."""

    months: int
    what: Bilingual
    reason: str


@dataclass(frozen=True, slots=True)
class _Kept:
    """A row of the table."""

    kind: str
    years: AtLeast0
    months: AtLeast0
    what_en: str
    what_fr: str
    reason: str


def load_retention() -> Mapping[str, Retention]:
    """Return the retention of every kind: declaration, refused, repeated, result; raises SpecError for a bad table."""
    kept = {}
    for origin, row in read_typed(TABLE, _Kept):
        if (months := 12 * row.years + row.months) > LONGEST_MONTHS:
            raise SpecError(*origin, f"{row.kind} is kept for more than {LONGEST_MONTHS} months")
        kept[row.kind] = Retention(months, Bilingual(row.what_en, row.what_fr), row.reason)
    return kept


def months_before(moment: datetime, months: int) -> datetime:
    """Return the same time of day so many months earlier; the last day of the month where that has fewer days."""
    year, month = divmod(moment.year * 12 + moment.month - 1 - months, 12)
    return moment.replace(year=year, month=month + 1, day=min(moment.day, monthrange(year, month + 1)[1]))
