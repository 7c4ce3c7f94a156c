"""How long the journal keeps what, as data in retention.csv; `Journal.purge` takes out what is older."""

from __future__ import annotations

import csv
from calendar import monthrange
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).with_name("retention.csv")


class Retention(NamedTuple):
    """How many months one kind of record is kept, what it is and why."""

    months: int
    what: str
    reason: str


def load_retention() -> Mapping[str, Retention]:
    """Return the retention of every kind: declaration, refused, repeated, result."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {
            row["kind"]: Retention(12 * int(row["years"]) + int(row["months"]), row["what"], row["reason"])
            for row in csv.DictReader(file)
        }


def months_before(moment: datetime, months: int) -> datetime:
    """Return the same time of day so many months earlier; the last day of the month where that has fewer days."""
    year, month = divmod(moment.year * 12 + moment.month - 1 - months, 12)
    return moment.replace(year=year, month=month + 1, day=min(moment.day, monthrange(year, month + 1)[1]))
