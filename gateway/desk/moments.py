"""Times as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from core.calendar import EASTERN, eastern_day

# A time of today.
CLOCK = re.compile(r"\d{1,2}:\d\d")


def moment(written: str, *, end: bool = False, now: datetime | None = None) -> datetime:
    """Return the aware moment that a day (2026-11-23, today, yesterday) or a time (2026-11-23T14:30, 14:30) names.

    Eastern Time where it has no zone; `end` makes a day mean its end. Raises ValueError.
    """
    today = eastern_day(now or datetime.now(UTC))
    yesterday = today - timedelta(days=1)
    named = {"today": today, "yesterday": yesterday, "aujourd'hui": today, "hier": yesterday}
    text = named[written].isoformat() if written in named else written
    if CLOCK.fullmatch(written):
        text = f"{today}T{written:0>5}"
    found = datetime.fromisoformat(text)
    if end and len(text) <= len("2026-11-23"):
        found += timedelta(days=1)
    return found if found.tzinfo else found.replace(tzinfo=EASTERN)
