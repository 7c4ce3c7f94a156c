"""CONTRIBUTING.md and SECURITY.md: the worked example works, and the files that they name are there."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from core.transmission import Syntax
from gateway.plans import prepare
from gateway.trade.breaking import faulty
from gateway.trade.maker import Maker
from gateway.trade.samples import play, write
from tests.support.packs import BOTH, DAY, PARTNER, copy
from tests.support.way import HOME
from validators.rulebook import CHECKS

PAGE = (HOME / "CONTRIBUTING.md").read_text("utf-8")


@pytest.mark.parametrize("syntax", BOTH)
def test_the_rule_of_the_worked_example_is_earned_alone_in_both_syntaxes(tmp_path: Path, syntax: Syntax) -> None:
    (row,) = re.findall(r"```csv\n\s*(.*)\n\s*```", PAGE)
    (broken,) = re.findall(r"```text\n\s*(CAD.*)\n\s*```", PAGE)
    code = row.partition(",")[0]
    folder = copy(tmp_path)
    with (folder / "chapter24/rules.csv").open("a", encoding="utf-8") as table:
        table.write(f"{row}\n")
    with (folder / "chapter24/breaks.csv").open("a", encoding="utf-8") as table:
        table.write(f"{broken}\n")
    plans = prepare(folder)
    passing, failing = faulty(code, Maker(random.Random(code), plans.specs, PARTNER, DAY))
    for sample, expected in ((passing, []), (failing, [code])):
        (judged,) = play(sample, write(sample, syntax, DAY, "S"), DAY, plans)
        assert [finding.code for finding in judged.findings] == expected


def test_the_generic_checks_that_it_names_are_there() -> None:
    (named,) = re.findall(r"\*\*Look for a generic check\.\*\*(.*?)need no code", PAGE, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", named)) <= set(CHECKS)


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md", "README.md"])
def test_the_files_and_targets_that_it_names_are_there(page: str) -> None:
    text = (HOME / page).read_text("utf-8")
    paths = re.findall(r"`((?:tests|gateway|core|validators|eccrd_specs|samples/hostile)/[\w./]*)`", text)
    paths += [path.partition("#")[0] for path in re.findall(r"\]\((?!http)([^)]+)\)", text)]
    assert [path for path in paths if not (HOME / path).exists()] == []
    targets = re.findall(r"^([\w-]+):", (HOME / "Makefile").read_text("utf-8"), re.M)
    assert [name for name in re.findall(r"`make ([\w-]+)", text) if name not in targets] == []
