"""`gateway check` as other programs use it: forms that they read, standard input, files watched."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from gateway.cli.main import main
from gateway.desk.linting import Linted
from tests.support.house import settings_in
from tests.support.way import HOME, PLANS, SAMPLES

COMMAND = import_module("gateway.cli.check")
JUDGE = COMMAND._judge

REFUSED = SAMPLES / "refused/no-authority.xml"
GOOD = SAMPLES / "originals/v-voluntary.edi"
HOSTILE = sorted(path for path in (SAMPLES / "hostile").rglob("*") if path.suffix in {".edi", ".xml"})


def check(*arguments: object, given: bytes = b"") -> tuple[int, str]:
    done = CliRunner().invoke(main, ["check", *map(str, arguments)], input=given)
    return done.exit_code, done.stdout


@cache
def faults_of(*paths: Path) -> list[dict[str, object]]:
    """Return all findings of the files, from the JSON."""
    return [each for one in json.loads(check("--format", "json", *paths)[1]) for each in one["findings"]]


def test_standard_input_is_judged_like_a_file() -> None:
    code, said = check("-", given=REFUSED.read_bytes())
    assert code == 1
    assert said.startswith("stdin: xml declaration")
    assert said.splitlines()[-1] == "1 message: 0 accepted, 1 refused; 1 fault, 0 warnings"
    assert check("-", "--watch")[0] == 2


@pytest.mark.parametrize("lang", ["en", "fr"])
def test_whose_sender_is_not_registered_is_told_that_nobody_was_identified(lang: str) -> None:
    unknown = REFUSED.read_bytes().replace(b"ERABLECOURTIER", b"NOBODY")
    code, said = check("-", "--lang", lang, given=unknown)
    assert code == 0
    assert {"en": "identity and authority were not checked", "fr": "n'ont pas été vérifiés"}[lang] in said
    assert "not checked" not in check(REFUSED)[1]
    told = [json.loads(check("-", "--format", "json", given=each)[1]) for each in (unknown, REFUSED.read_bytes())]
    assert [[one["identified"] for one in each] for each in told] == [[False], [True]]


def test_concise_is_a_line_for_each_finding_that_editors_can_follow() -> None:
    code, said = check("--format", "concise", REFUSED, GOOD)
    assert code == 1
    (line,) = said.splitlines()
    assert re.fullmatch(re.escape(str(REFUSED)) + r":\d+:\d+: error: .+ \[GTW-0005\]", line)


def test_github_annotates_and_no_text_can_end_the_command(tmp_path: Path) -> None:
    path = tmp_path / "a,b:c%.edi"
    path.write_bytes(b"nonsense::error file=x::y\r\n% ")
    (line,) = check("--format", "github", path)[1].splitlines()
    assert re.match(r"::error file=[^,:]+a%2Cb%3Ac%25\.edi,line=1,col=1,title=[A-Z]{3}-\d{4}::", line)


@cache
def judged(paths: tuple[Path, ...]) -> list[Linted]:
    """Judge the files once for all forms."""
    return list(JUDGE(paths, settings_in(HOME / "run"), PLANS, None, None))


@pytest.mark.parametrize("form", ["junit", "sarif", "concise", "github"])
def test_every_form_holds_every_finding_of_every_sample(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(COMMAND, "_judge", lambda paths, *_: iter(judged(paths)))
    paths = [*sorted((SAMPLES / "refused").glob("*.*")), *HOSTILE]
    wanted = [each["code"] for each in faults_of(*paths)]
    _, said = check("--format", form, *paths)
    if form == "sarif":
        found = [each["ruleId"] for each in json.loads(said)["runs"][0]["results"]]
    elif form == "junit":
        told = ElementTree.fromstring(said).iter()  # noqa: S314 - our own
        texts = (each.text or "" for each in told if each.tag in {"failure", "system-out"})
        found = [line.split()[0] for text in texts for line in text.splitlines()]
    else:
        place = r"title=([A-Z]{3}-\d{4})::" if form == "github" else r"\[([A-Z]{3}-\d{4})\]$"
        found = [match[1] for line in said.splitlines() if (match := re.search(place, line))]
    assert sorted(found) == sorted(map(str, wanted))


def test_sarif_names_each_rule_once_with_help_and_places() -> None:
    run = json.loads(check("--format", "sarif", "--lang", "fr", REFUSED, REFUSED)[1])["runs"][0]
    (rule,) = run["tool"]["driver"]["rules"]
    assert rule["id"] == "GTW-0005"
    assert "À faire : Vérifiez le numéro d'entreprise" in rule["help"]["text"]
    assert rule["help"]["text"].endswith("gateway explain GTW-0005")
    assert [each["ruleIndex"] for each in run["results"]] == [0, 0]
    region = run["results"][0]["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 107, "startColumn": 11}
    assert "n'a pas délégué" in run["results"][0]["message"]["text"]


def test_junit_counts_messages_and_the_refused(tmp_path: Path) -> None:
    top = ElementTree.fromstring(check("--format", "junit", REFUSED, GOOD)[1])  # noqa: S314 - our own
    assert [(each.get("tests"), each.get("failures")) for each in top] == [("1", "1"), ("1", "0")]


def test_codes_are_explained_in_any_letter_case() -> None:
    asked = [CliRunner().invoke(main, ["explain", code]).stdout for code in ("CAD-0101", "cad-0101")]
    assert asked[0] == asked[1]
    assert asked[0].startswith("CAD-0101")


def test_a_refused_file_ends_with_one_command_that_explains_its_findings() -> None:
    _, said = check(REFUSED, GOOD)
    assert said.count("gateway explain GTW-0005") == said.count("gateway explain") == 1
    assert said.count("To do: ") == 1
    assert "gateway explain" not in check(GOOD)[1]


def test_the_reference_engines_reasons_are_explained() -> None:
    done = CliRunner().invoke(main, ["explain", "ENG-0002"])
    assert done.exit_code == 0
    assert "reference assessment engine" in done.stdout
    assert "No rate of customs duty for the classification number <value>" in done.stdout


@pytest.mark.slow
def test_a_watched_file_is_judged_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "mine.xml"
    path.write_bytes(REFUSED.read_bytes())
    watching = subprocess.Popen(
        [sys.executable, "-m", "gateway", "check", "--watch", str(path)],
        cwd=HOME, env=os.environ | {"PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert watching.stdout
        assert any(line.startswith("1 message: 0 accepted") for line in watching.stdout)
        path.write_bytes(GOOD.read_bytes())
        assert any(line.startswith("1 message: 1 accepted") for line in watching.stdout)
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) in {0, 130, 2, 1}
    finally:
        watching.kill()
