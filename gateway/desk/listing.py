"""The list of messages as people read it: its columns, its cells, times as typed, and a table for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from core.calendar import eastern
from core.findings import Bilingual
from core.text import unformula
from core.transmission import RESEND_OF
from gateway.desk.words import STATES, TYPES, VERDICTS, french, noted
from validators.words import shown

# How many characters of an id are listed, and of any other cell.
SHORT, CELL = 12, 1_000

# Characters of a table that go out in one piece.
PIECE = 100_000

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


def cells(row: Mapping[str, Any], language: str = "en", *, whole: bool = False) -> list[str]:
    """Return what is listed of a message, by COLUMNS; `whole` ids, and codes instead of words, for programs."""
    given = [finding["code"] for finding in row["findings"]]
    codes = " ".join(given if whole else _each_once(given))
    if (note := row["note"] or "").startswith(RESEND_OF):
        codes = noted(note[: len(RESEND_OF) + SHORT], language)
    kind, verdict, test, state = row["type"] or "", row["verdict"] or "", "test", row["state"]
    if language == "fr" and not whole:
        kind, verdict, state = french(kind, TYPES), french(verdict, VERDICTS), french(state, STATES)
        test = "essai"
    listed = [
        row["id"] if whole else row["id"][:SHORT],
        eastern(row["received_at"], language),
        *(row[name] or "" for name in ("partner", "sender")),
        kind,
        *(row[name] or "" for name in ("transaction_number", "version")),
        f"{verdict} {test if row['test'] else ''}".strip(),
        codes,
        state,
    ]
    return [shown(str(cell), CELL) for cell in listed]


def _each_once(codes: Iterable[str]) -> Iterator[str]:
    """Yield each code once, in order, with how often it is given, in one word that no table breaks."""
    for code, times in Counter(codes).items():
        yield f"{code}\N{MULTIPLICATION SIGN}{times}" if times > 1 else code


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
