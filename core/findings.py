"""What is wrong and where: faults as checks find them, findings as senders are told them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

# How sure a row of the specification is, surest first.
CONFIDENCES = ("high", "medium", "low")


def least_sure(confidences: Iterable[str]) -> str:
    """Return the least sure of some confidences."""
    return max(confidences, key=CONFIDENCES.index)


class Severity(StrEnum):
    """What a finding does to the verdict."""

    REFUSE = "refuse"
    WARN = "warn"


class Bilingual(NamedTuple):
    """A sentence in both official languages."""

    en: str
    fr: str

    def speak(self, language: str) -> str:
        """Return the French text for "fr", the English one otherwise."""
        return self.fr if language == "fr" else self.en


class Address(NamedTuple):
    """Where in a declaration: the element's dictionary name, and the 1-based invoice and line (0: above them).

    An empty element name means the invoice, line or declaration itself; `occurrence` counts repetitions from 1.
    """

    element: str
    invoice: int = 0
    line: int = 0
    occurrence: int = 1


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the sender's own bytes, and the same place as a WCO pointer; what does not apply is None.

    `interchange` and `message` are the sender's control references. `segment` counts from UNH = 1; `element` counts
    as CONTRL does, with the segment's tag as 1; `component` counts from 1. `line` and `column` count from 1, columns
    in characters of the decoded text.
    """

    interchange: str | None = None
    message: str | None = None
    segment: int | None = None
    element: int | None = None
    component: int | None = None
    line: int | None = None
    column: int | None = None
    xpath: str | None = None
    pointer: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """What a check found, before it is put into words: a code of the findings table and where.

    Either `address` (a place in the declaration, to be looked up in the sender's bytes) or `place` (already known).
    `details` fill the placeholders of the finding's text. `syntax_error` is the UN 0085 code, if the fault is one of
    syntax; `service_segment` the tag that CONTRL names with it (UNB, UNZ, UNG, UNE, UNH, UNT) when it is an envelope's.
    """

    code: str
    address: Address | None = None
    place: Place | None = None
    value: str | None = None
    expected: str | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    syntax_error: str | None = None
    service_segment: str | None = None


# How UN 2379 pictures a date, and its letters for century, year and day in French (DECISIONS D40).
PICTURE = re.compile(r"(?=.*(?:YY|MMDD|DDhh))[CYMDJWhmsZ-]+")


IN_FRENCH = str.maketrans("CYD", "SAJ")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong or doubtful, ready for the sender.

    `value` is what the sender wrote, at most 40 characters, control characters escaped. `address` is the fault's: two
    elements of one WCO class share a pointer (DECISIONS D13).
    """

    code: str
    severity: Severity
    text: Bilingual
    place: Place
    value: str | None
    expected: str | None
    source: Bilingual
    syntax_error: str | None = None
    service_segment: str | None = None
    address: Address | None = None

    def expected_in(self, language: str) -> str | None:
        """Return what was expected as people of the language write it."""
        return picture_in(self.expected, language) if self.expected else self.expected


def picture_in(text: str, language: str) -> str:
    """Return a date's picture as the language writes it: CCYYMMDD, in French SSAAMMJJ; any other text as it is."""
    return text.translate(IN_FRENCH) if language == "fr" and PICTURE.fullmatch(text) else text
