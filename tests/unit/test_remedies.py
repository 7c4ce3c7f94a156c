"""Every finding has one remedy, and every remedy its finding."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from core.fields import REMEDIES
from tests.support.packs import ROOT

TABLES = {
    **dict.fromkeys((path for path in sorted(ROOT.glob("findings/*.csv")) if path != ROOT / REMEDIES), "code"),
    **dict.fromkeys(sorted(ROOT.glob("*/rules.csv")), "id"),
}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_each_finding_has_a_remedy_and_each_remedy_its_finding() -> None:
    """Both lists are to be empty: what lacks a row in findings/remedies.csv, and rows of it that nothing gives."""
    given = {row[column]: path.relative_to(ROOT).as_posix() for path, column in TABLES.items() for row in rows(path)}
    remedies = [row["code"] for row in rows(ROOT / REMEDIES)]
    lacking = [f"{table}: {code}" for code, table in given.items() if code not in remedies]
    unknown = [code for code in remedies if code not in given]
    assert (lacking, unknown) == ([], [])
    assert remedies == sorted(set(remedies))


def test_a_remedy_is_a_sentence_that_does_not_repeat_the_finding() -> None:
    text = {row[column]: row["text_en"] for path, column in TABLES.items() for row in rows(path)}
    for row in rows(ROOT / REMEDIES):
        for remedy in (row["remedy_en"], row["remedy_fr"]):
            assert re.fullmatch(r"[A-ZÀ-Ý][^{}]{20,240}\.", remedy), row["code"]
        assert row["remedy_en"] not in text[row["code"]]
