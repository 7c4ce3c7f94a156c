from __future__ import annotations

import csv
import io
import json
import random
from datetime import date, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from core.findings import Severity
from core.transmission import Syntax, Verdict
from gateway.catalogue import listed_rules
from gateway.cli.main import main
from gateway.plans import prepare
from gateway.trade.breaking import faults, faulty
from gateway.trade.maker import Maker
from gateway.trade.samples import Sample, play, write
from routing.partners import load_partners
from tests.support.effort import times

HOME = Path(__file__).parents[2]
PLANS = prepare(HOME / "eccrd_specs")
SPECS = PLANS.specs
PARTNER = load_partners(HOME / "samples/partners.toml")["maple"]
DAY = date(2026, 11, 23)
TYPES = sorted(SPECS.code_lists["cad_type"].codes)
BOTH = [Syntax.XML, Syntax.EDIFACT]
UNREAD = ("CAD-0007", "CAD-0008", "CAD-0009", "CAD-0010", "CAD-0011")
LISTED = [each.finding.code for each in listed_rules(SPECS)]


def maker(seed: object, day: date = DAY) -> Maker:
    return Maker(random.Random(str(seed)), SPECS, PARTNER, day)


def found(sample: Sample, syntax: Syntax, day: date = DAY) -> list[set[str]]:
    judged = play(sample, write(sample, syntax, day, "S"), day, PLANS)
    for one in judged:
        refused = any(finding.severity is Severity.REFUSE for finding in one.findings)
        assert one.verdict is (Verdict.REFUSED if refused else Verdict.ACCEPTED)
    return [{finding.code for finding in one.findings} for one in judged]


# ------------------------------------------------------------------------------------------------ every rule


def test_there_are_at_least_sixty_rules_and_each_has_its_samples() -> None:
    assert len(LISTED) >= 60
    assert len(set(LISTED)) == len(LISTED)
    assert set(LISTED) <= set(faults(SPECS))


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize("code", faults(SPECS))
def test_each_rule_has_a_message_that_passes_and_one_that_earns_it_alone(code: str, syntax: Syntax) -> None:
    for seed in range(times(0.02)):
        passing, failing = faulty(code, maker(f"{code} {seed}"))
        assert found(passing, syntax) == [set()] * len(passing.steps)
        *before, last = found(failing, syntax)
        assert last == {failing.expected(syntax)}
        assert before == [set()] * (len(failing.steps) - 1)


def test_both_syntaxes_find_the_same_at_the_same_pointer_with_the_same_words() -> None:
    for code in LISTED:
        failing = faulty(code, maker(code))[1]
        if failing.instead:
            continue
        xml, edifact = (play(failing, write(failing, syntax, DAY, "S"), DAY, PLANS)[-1].findings for syntax in BOTH)
        seen = [sorted((f.code, f.place.pointer or "", f.text) for f in findings) for findings in (xml, edifact)]
        if code not in UNREAD:  # what is not known has no name that both syntaxes share
            assert seen[0] == seen[1], code


# ------------------------------------------------------------------------------------------------ valid messages


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize("cad_type", TYPES)
def test_valid_messages_of_every_type_are_accepted_without_a_finding(cad_type: str, syntax: Syntax) -> None:
    for seed in range(times(0.08)):
        story = maker(f"{cad_type} {seed}").story(cad_type)
        assert found(story, syntax) == [set()] * len(story.steps)


@settings(max_examples=times(0.6))
@given(st.randoms(use_true_random=False), st.sampled_from(TYPES), st.sampled_from(BOTH), st.integers(0, 1200))
def test_any_draw_on_any_day_is_accepted(rng: random.Random, cad_type: str, syntax: Syntax, later: int) -> None:
    day = date(2025, 11, 1) + timedelta(days=later)
    story = Maker(rng, SPECS, PARTNER, day).story(cad_type)
    assert found(story, syntax, day) == [set()] * len(story.steps)


def test_the_two_syntaxes_carry_the_same_declaration() -> None:
    for cad_type in TYPES:
        story = maker(f"same {cad_type}").story(cad_type)
        xml, edifact = (play(story, write(story, syntax, DAY, "S"), DAY, PLANS) for syntax in BOTH)
        for step, one, other in zip(story.steps, xml, edifact, strict=True):
            assert one.message.declaration == other.message.declaration == step.declaration


def test_the_same_seed_makes_the_same_bytes() -> None:
    one, two = (write(maker(7).story("AB"), Syntax.XML, DAY, "S") for _ in range(2))
    assert one == two
    assert write(maker(8).story("AB"), Syntax.XML, DAY, "S") != one


# ------------------------------------------------------------------------------------------------ commands


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, arguments)
    return result.exit_code, result.stdout, result.stderr


def test_the_rules_are_listed_as_json() -> None:
    code, text, _ = run("rules", "--format", "json")
    listed = json.loads(text)
    assert (code, len(listed)) == (0, len(LISTED))
    for rule in listed:
        assert list(rule) == ["id", "severity", "text", "remedy", "source", "confidence", "place"]
        assert set(rule["text"]) == {"en", "fr"}
        assert rule["severity"] in ("refuse", "warn")
        assert rule["text"]["en"]
        assert rule["text"]["fr"]
        assert rule["source"]
    number = next(rule for rule in listed if rule["id"] == "CAD-0101")
    assert number["place"]["pointer"] == "42A/D014"
    assert number["place"]["edifact"] == "0/BGM/3.1"


def test_the_rules_are_listed_as_markdown_and_text() -> None:
    for form in ("md", "text"):
        code, text, _ = run("rules", "--format", form)
        assert code == 0
        assert all(rule in text for rule in LISTED)


@pytest.mark.parametrize("syntax", ["xml", "edifact"])
def test_samples_are_made_as_told(tmp_path: Path, syntax: str) -> None:
    code, text, _ = run("samples", "make", "--seed", "3", "--count", "4", "--syntax", syntax, "--out", str(tmp_path))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert code == 0
    assert sorted(row["file"] for row in rows) == sorted(
        path.name for path in tmp_path.iterdir() if path.name != "expected.csv"
    )
    assert {row["verdict"] for row in rows} == {"accepted"}
    assert [row["type"] for row in rows if "original" in row["file"]] == list(SPECS.code_lists["cad_type"].codes)[:4]
    checked = run("check", "--as", PARTNER.id, "--format", "json", str(tmp_path))
    assert checked[0] == 0, checked
    assert all(not one["findings"] for one in json.loads(checked[1]))


def test_a_fault_across_versions_brings_the_original_along(tmp_path: Path) -> None:
    code, text, _ = run("samples", "make", "--fault", "CAD-0211", "--syntax", "edifact", "--out", str(tmp_path))
    assert code == 0
    assert [row["findings"] for row in csv.DictReader(io.StringIO(text))] == ["", "", "", "CAD-0211"]
    checked = run("check", "--as", PARTNER.id, "--format", "json", str(tmp_path))
    verdicts = [[f["code"] for f in one["findings"]] for one in json.loads(checked[1])]
    assert (checked[0], verdicts) == (1, [[], [], [], ["CAD-0211"]])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--fault", "CAD-9999"), "no message can be made for CAD-9999"),
        (("--type", "ZZ"), "there is no CAD type ZZ"),
        (("--fault", "CAD-0121", "--type", "AB"), "is made with CAD type 20"),
        (("--as", "nobody"), "there is no partner 'nobody'"),
        (("--day", "1999-01-01"), "in force"),
        (("--out", str(HOME / "samples")), "samples is not empty: name a new folder"),
    ],
)
def test_what_cannot_be_made_is_said_in_one_line(tmp_path: Path, arguments: tuple[str, ...], reason: str) -> None:
    code, _, error = run("samples", "make", "--out", str(tmp_path), *arguments)
    assert code == 2
    assert reason in error
    assert len(error.splitlines()) == 1
