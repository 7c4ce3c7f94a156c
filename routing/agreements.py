"""Envelope profiles: what an agreement may allow of EDIFACT envelopes, as rows of `agreements.csv`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import SpecError
from core.partner import EnvelopeProfile
from core.tables import read_typed

PROFILES = Path(__file__).parent / "agreements.csv"
PICTURES = frozenset({"YYMMDD", "CCYYMMDD"})


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the table; empty pictures are those of the syntax version."""

    profile: str
    groups: Literal["optional", "required", "refused"]
    association: Literal["expected", "optional"]
    source_en: str
    source_fr: str
    confidence: Literal["high", "medium", "low"]
    interchange_date: str = ""
    group_date: str = ""


def load_profiles(path: Path = PROFILES) -> Mapping[str, EnvelopeProfile]:
    """Return the profiles by name; raises SpecError, one line with file and row, for a row that cannot be used."""
    profiles: dict[str, EnvelopeProfile] = {}
    for origin, row in read_typed(path, _Row):
        if row.profile in profiles:
            raise SpecError(*origin, f"the profile {row.profile} is given twice")
        dates = [frozenset(text.split()) for text in (row.interchange_date, row.group_date)]
        if unknown := (dates[0] | dates[1]) - PICTURES:
            raise SpecError(*origin, f"a date is {' or '.join(sorted(PICTURES))}, not {sorted(unknown)[0]!r}")
        profiles[row.profile] = EnvelopeProfile(row.profile, row.groups, row.association == "expected", *dates)
    return profiles
