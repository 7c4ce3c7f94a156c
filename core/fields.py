"""Reads the fields that tables of the specification share: days, texts in both languages, words of findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path

import msgspec

from core.calendar import Period
from core.errors import SpecError, cause_of
from core.findings import CONFIDENCES, Bilingual, Severity
from core.specs import CodeList, FindingText
from core.tables import Cells, Origin, once, read_rows

# The columns of a finding's words, in the findings tables as in the rules'.
WORDS = ("severity", "text_en", "text_fr", "source_en", "source_fr", "confidence")

# What is done about each finding: one table for those of the findings tables and of the packs' rules.
REMEDIES = "findings/remedies.csv"


def decode_toml(root: Path, path: Path) -> object:
    """Return a TOML file as plain values."""
    try:
        return msgspec.toml.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise SpecError(path.relative_to(root).as_posix(), None, f"cannot be read: {cause_of(error)}") from error


def read_day(text: str, origin: Origin) -> date | None:
    """Return an ISO date, None for an empty text."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise SpecError(*origin, f"{text!r} is not a date (YYYY-MM-DD)") from None


def read_period(row: Cells, origin: Origin, whose: str) -> Period:
    """Return the days from and to which a row holds, both included."""
    valid = Period(read_day(row["valid_from"], origin), read_day(row["valid_to"], origin))
    if valid.start and valid.end and valid.start > valid.end:
        raise SpecError(*origin, f"{whose} ends before it begins")
    return valid


def check_codes(given: Iterable[str], lists: Mapping[str, CodeList], name: str, origin: Origin) -> None:
    """Raise SpecError for what is no code of a list, where there is that list: nothing would ever be asked of it."""
    if name in lists and (odd := sorted(set(given) - set(lists[name].codes))):
        raise SpecError(*origin, f"{odd[0]} is no code of {name}")


def read_number(row: Cells, column: str, origin: Origin) -> Decimal | None:
    """Return a number, None for an empty text."""
    try:
        found = Decimal(row[column]) if row[column] else None
    except InvalidOperation:
        found = Decimal("nan")
    if found is not None and not found.is_finite():
        raise SpecError(*origin, f"{column}: {row[column]!r} is no number")
    return found


def read_both(row: Cells, column: str, origin: Origin, whose: str, *, needed: bool = True) -> Bilingual:
    """Return a text that a row has in English and in French; raises SpecError if it lacks one of them."""
    text = Bilingual(row[f"{column}_en"], row[f"{column}_fr"])
    if not all(text) and (needed or any(text)):
        raise SpecError(*origin, f"{whose} lacks its English or French {column}")
    return text


def read_confidence(row: Cells, origin: Origin) -> str:
    """Return how sure a row is."""
    if row["confidence"] not in CONFIDENCES:
        raise SpecError(*origin, f"confidence is high, medium or low, not {row['confidence']!r}")
    return row["confidence"]


# Where it stands and what it says, by finding code.
Remedies = Mapping[str, tuple[Origin, Bilingual]]


def read_remedies(root: Path) -> Remedies:
    """Return what is done about each finding; raises SpecError for a row that cannot be used."""
    found: dict[str, tuple[Origin, Bilingual]] = {}
    given: set[str] = set()
    for origin, row in read_rows(root / REMEDIES, ("code", "remedy_en", "remedy_fr"), root=root):
        once(row["code"], given, origin, "the remedy of")
        found[row["code"]] = origin, read_both(row, "remedy", origin, row["code"])
    return found


def read_finding(row: Cells, origin: Origin, code: str, remedies: Remedies) -> FindingText:
    """Return the words of a finding or rule row, with its remedy; raises SpecError for one that has none."""
    if row["severity"] not in tuple(Severity):
        raise SpecError(*origin, f"unknown severity {row['severity']!r}")
    if not 1 <= len(code) <= 8:
        raise SpecError(*origin, f"the code {code!r} does not fit the answers' 8 characters")
    text, source = read_both(row, "text", origin, code), read_both(row, "source", origin, code)
    syntax_error = row.get("syntax_error") or None
    if code not in remedies:
        raise SpecError(*origin, f"{code} has no remedy: a row of {REMEDIES} says what to do about it")
    confidence, (_, remedy) = read_confidence(row, origin), remedies[code]
    return FindingText(code, Severity(row["severity"]), text, source, confidence, syntax_error, remedy)
