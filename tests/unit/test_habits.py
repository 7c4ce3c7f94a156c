"""What the project promises about itself: numbered decisions, a dated changelog, targets that tell what they do,
and a build that runs what the pages tell people to run."""

from __future__ import annotations

import re
import subprocess
import tomllib

from tests.cli.test_wheel import NO_SOURCE
from tests.support.way import HOME

DECISIONS = (HOME / "DECISIONS.md").read_text("utf-8")
CHANGELOG = (HOME / "CHANGELOG.md").read_text("utf-8")


def test_decisions_are_numbered_in_order_and_dated() -> None:
    headings = re.findall(r"^## (.*)$", DECISIONS, re.M)
    found = [re.fullmatch(r"D(\d+)\. (\d{4}-\d\d-\d\d)\. .*[^.]", heading) for heading in headings]
    assert all(found), headings
    assert [int(each[1]) for each in found if each] == list(range(1, len(found) + 1))
    dates = [each[2] for each in found if each]
    assert dates == sorted(dates)


def test_code_cites_decisions_that_there_are() -> None:
    known = set(re.findall(r"^## (D\d+)\.", DECISIONS, re.M))
    cited = {}
    names = {path.name for path in HOME.iterdir() if path.is_dir()}
    for path in (path for name in names - NO_SOURCE(str(HOME), names) for path in (HOME / name).rglob("*.py")):
        for several in re.findall(r"DECISIONS (D\d+(?:, D\d+)*)", path.read_text("utf-8")):
            cited |= dict.fromkeys(several.split(", "), path.name)
    assert len(cited) >= 12
    assert {name: file for name, file in cited.items() if name not in known} == {}


def test_the_changelog_has_a_dated_section_for_this_version_on_top() -> None:
    version = tomllib.loads((HOME / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    sections = re.findall(r"^## (\d+\.\d+\.\d+), (\d{4}-\d\d-\d\d)$", CHANGELOG, re.M)
    assert sections[0][0] == version
    assert len(sections) == len(re.findall(r"^## ", CHANGELOG, re.M))
    assert sections == sorted(sections, key=lambda each: each[1], reverse=True)


def test_make_alone_lists_every_target_with_a_line() -> None:
    phony = re.findall(r"^\.PHONY: (.*)$", (HOME / "Makefile").read_text("utf-8"), re.M)
    listed = subprocess.run(["make"], cwd=HOME, capture_output=True, text=True, check=True).stdout
    assert sorted(re.findall(r"^make ([\w-]+) +\S", listed, re.M)) == sorted(" ".join(phony).split())


def test_the_build_runs_what_people_are_told_to_run() -> None:
    run = re.findall(r"make ([\w-]+)", (HOME / ".ci/run").read_text("utf-8"))
    told = "".join((HOME / page).read_text("utf-8") for page in ("README.md", "CONTRIBUTING.md"))
    assert [target for target in run if f"make {target}" not in told] == []
    assert {"install", "lint", "run", "coverage", "test", "test-slow", "fuzz", "chaos-ci"} <= set(run)
