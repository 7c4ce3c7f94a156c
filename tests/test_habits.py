"""What the project promises about itself: numbered decisions, a dated changelog, targets that tell what they do."""

from __future__ import annotations

import re
import tomllib

from tests.test_wheel import NO_SOURCE
from tests.way import HOME

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
    for path in HOME.rglob("*.py"):
        if not NO_SOURCE(str(HOME), path.relative_to(HOME).parts[:1]):
            text = path.read_text("utf-8")
            for several in re.findall(r"DECISIONS (D\d+(?:, D\d+)*)", text):
                cited |= dict.fromkeys(several.split(", "), path.name)
    assert len(cited) >= 12
    assert {name: file for name, file in cited.items() if name not in known} == {}


def test_the_changelog_has_a_dated_section_for_this_version_on_top() -> None:
    version = tomllib.loads((HOME / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    sections = re.findall(r"^## (\d+\.\d+\.\d+), (\d{4}-\d\d-\d\d)$", CHANGELOG, re.M)
    assert sections[0][0] == version
    assert len(sections) == len(re.findall(r"^## ", CHANGELOG, re.M))
    assert sections == sorted(sections, key=lambda each: each[1], reverse=True)
