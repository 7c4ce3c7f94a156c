"""The list of messages as people read it: its columns, its cells, times as typed, and a table for spreadsheets."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from core.calendar import EASTERN, eastern, eastern_day
from core.findings import Bilingual
from core.text import unformula
from gateway.journal import RESEND_OF
from validators.words import shown

# How many characters of an id are listed, and of any other cell.
SHORT, CELL = 12, 1_000

# Characters of a table that go out in one piece.
PIECE = 100_000

# A time of today.
CLOCK = re.compile(r"\d{1,2}:\d\d")

COLUMNS: Mapping[str, Bilingual] = {
    "id": Bilingual("id", "id"),
    "received": Bilingual("received", "reçu"),
    "partner": Bilingual("partner", "partenaire"),
    "sender": Bilingual("sender", "expéditeur"),
    "type": Bilingual("type", "type"),
    "transaction": Bilingual("transaction", "transaction"),
    "version": Bilingual("version", "version"),
    "verdict": Bilingual("verdict", "verdict"),
    "findings": Bilingual("findings", "constats"),
    "state": Bilingual("state", "état"),
}


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


def cells(row: Mapping[str, Any], language: str = "en", *, whole: bool = False) -> list[str]:
    """Return what is listed of a message, by COLUMNS; `whole` ids where a program reads them."""
    codes = " ".join(finding["code"] for finding in row["findings"])
    if (note := row["note"] or "").startswith(RESEND_OF):
        codes = note[: len(RESEND_OF) + SHORT]
    listed = [
        row["id"] if whole else row["id"][:SHORT],
        eastern(row["received_at"], language),
        *(row[name] or "" for name in ("partner", "sender", "type", "transaction_number", "version")),
        f"{row['verdict'] or ''}{' test' if row['test'] else ''}",
        codes,
        row["state"],
    ]
    return [shown(str(cell), CELL) for cell in listed]


def as_csv(rows: Iterable[Mapping[str, Any]], language: str) -> Iterator[str]:
    """Yield a list as CSV, many lines at a time; no cell of it is a formula to a spreadsheet."""
    file = io.StringIO(newline="")
    table = csv.writer(file)
    file.write("\ufeff")  # by it Excel knows UTF-8
    table.writerow([title.speak(language) for title in COLUMNS.values()])
    for row in rows:
        table.writerow([unformula(value) for value in cells(row, language, whole=True)])
        if file.tell() > PIECE:
            yield file.getvalue()
            file.seek(0)
            file.truncate()
    yield file.getvalue()
