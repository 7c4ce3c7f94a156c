"""CONTRIBUTING.md and SECURITY.md: the worked example works, and the files that they name are there."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from core.fields import REMEDIES
from core.transmission import Syntax
from gateway.plans import prepare
from gateway.trade.breaking import faulty
from gateway.trade.maker import Maker
from gateway.trade.samples import play, write
from tests.support.packs import BOTH, DAY, PARTNER, copy
from tests.support.way import HOME
from validators.rulebook import CHECKS


def add(table: Path, row: str) -> None:
    """Add a row, unless who follows the example has added it already."""
    text = table.read_text("utf-8")
    if row not in text.splitlines():
        table.write_text(f"{text}{row}\n", encoding="utf-8")


PAGE = (HOME / "CONTRIBUTING.md").read_text("utf-8")


@pytest.mark.parametrize("syntax", BOTH)
def test_the_rule_of_the_worked_example_is_earned_alone_in_both_syntaxes(tmp_path: Path, syntax: Syntax) -> None:
    row, remedy = re.findall(r"```csv\n\s*(.*)\n\s*```", PAGE)
    (broken,) = re.findall(r"```text\n\s*(CAD.*)\n\s*```", PAGE)
    code = row.partition(",")[0]
    folder = copy(tmp_path)
    add(folder / "chapter24/rules.csv", row)
    add(folder / "chapter24/breaks.csv", broken)
    add(folder / REMEDIES, remedy)
    plans = prepare(folder)
    passing, failing = faulty(code, Maker(random.Random(code), plans.specs, PARTNER, DAY))
    for sample, expected in ((passing, []), (failing, [code])):
        (judged,) = play(sample, write(sample, syntax, DAY, "S"), DAY, plans)
        assert [finding.code for finding in judged.findings] == expected


def test_the_generic_checks_that_it_names_are_there() -> None:
    (named,) = re.findall(r"\*\*Look for a generic check\.\*\*(.*?)need no code", PAGE, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", named)) <= set(CHECKS)


PAGES = [*HOME.glob("*.md"), *HOME.glob("docs/*.md"), *HOME.glob("benchmarks/*.md"), *HOME.glob("eccrd_specs/**/*.md")]


@pytest.mark.parametrize("page", [path.relative_to(HOME).as_posix() for path in PAGES if path.name != "CHANGELOG.md"])
def test_the_files_and_targets_that_it_names_are_there(page: str) -> None:
    text = (HOME / page).read_text("utf-8")
    rooms = "tests|gateway|core|edifact|parsers|validators|routing|responses|eccrd_specs|samples|docs|benchmarks"
    paths = [HOME / named for named in re.findall(rf"`((?:{rooms})/[\w./]*\w)`", text)]
    paths += [(HOME / page).parent / link.partition("#")[0] for link in re.findall(r"\]\((?!http)([^)]+)\)", text)]
    assert [str(path) for path in paths if not path.exists()] == []
    targets = re.findall(r"^([\w-]+):", (HOME / "Makefile").read_text("utf-8"), re.M)
    assert [name for name in re.findall(r"`make ([\w-]+)", text) if name not in targets] == []
