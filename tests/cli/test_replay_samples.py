"""Samples against their table of expectations: passes, failures side by side, and tables that cannot be read."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.support.desk import Run, runner
from tests.support.way import SAMPLES


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(tmp_path, monkeypatch)


def test_the_samples_of_the_project_pass(run: Run) -> None:
    result = run("replay", "--samples", SAMPLES)
    assert result.exit_code == 0, result.output
    assert result.stdout.rstrip().endswith("25 of 25 as expected")


def table(folder: Path, *rows: tuple[str, ...], heading: str = "file,partner,verdict,findings,answers,total") -> Path:
    path = folder / "run.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(heading + "\n")
        csv.writer(file).writerows(rows)
    return path


def test_differences_stand_side_by_side(run: Run, tmp_path: Path) -> None:
    faulty, good = str(SAMPLES / "refused/many-faults.edi"), str(SAMPLES / "originals/published-example.xml")
    table(
        tmp_path,
        (faulty, "maple", "accepted", "CAD-0101", "receipt accepted", ""),
        (good, "erable", "accepted", "", "receipt accepted assessed", "90.46"),
    )
    result = run("replay", "--samples", tmp_path)
    assert result.exit_code == 1
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "verdict accepted refused" in lines
    assert "findings CAD-0101 CAD-0003 CAD-0101 CAD-0111 CAD-0150 CAD-0180" in lines
    assert "answers accepted receipt contrl receipt refused" in lines
    assert "total 90.46 90.45" in lines
    assert any(line.startswith("CAD-0150 Tariff treatment 10") for line in lines), "each finding in words"
    assert lines[-1] == "0 of 2 as expected"
    shown = json.loads(run("replay", "--samples", tmp_path / "run.csv", "--format", "json").stdout)
    assert [each["passed"] for each in shown] == [False, False]


def test_what_samples_make_writes_is_such_a_table(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    made = run("samples", "make", "--seed", "7", "--count", "6", "--as", "maple", "--out", folder)
    assert made.exit_code == 0, made.output
    assert (folder / "expected.csv").read_text("utf-8") == made.stdout
    result = run("replay", "--samples", folder)
    assert result.exit_code == 0, result.output


def test_on_its_own_it_writes_what_passes_and_what_fails_into_a_new_folder(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = run("samples", "make")
    assert made.exit_code == 0, made.output
    (folder,) = (path for path in tmp_path.iterdir() if path.name.startswith("samples-"))
    names = [path.stem for path in sorted(folder.glob("0*"))]
    assert names == ["00001-original-CAD-0001-passes", "00002-original-CAD-0001-fails"]
    assert run("replay", "--samples", folder).exit_code == 0
    again = run("samples", "make")
    assert again.exit_code == 2
    assert again.stderr == f"gateway: {folder.name} is not empty: name a new folder with --out\n"


@pytest.mark.parametrize("syntax", ["xml", "edifact"])
def test_the_table_of_all_findings_is_as_replay_finds_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syntax: str
) -> None:
    """Also where a finding needs what no file carries: a sender that is not active, a version of long ago."""
    some = ("CAD-0006", "CAD-0112", "CAD-0192", "CAD-0213", "CAD-0219", "CAD-0232", "CAD-0234", "GTW-0003", "GTW-0006")
    monkeypatch.setattr("gateway.cli.spec.faults", lambda _: some)  # all of them take long
    made = run("samples", "make", "--fault", "all", "--syntax", syntax, "--out", tmp_path / "all")
    assert made.exit_code == 0, made.output
    rows = list(csv.DictReader(made.stdout.splitlines()))
    assert {row["findings"] for row in rows if row["file"].endswith(("-passes.xml", "-passes.edi"))} == {""}
    (inactive,) = (row for row in rows if "GTW-0006-fails" in row["file"])
    assert inactive["verdict"] == "accepted"
    assert inactive["note"].startswith("earns GTW-0006 if: ")
    result = run("replay", "--samples", tmp_path / "all")
    assert result.exit_code == 0, result.output[-2000:]


@pytest.mark.parametrize(
    ("heading", "row", "said"),
    [
        ("file,partner,verdict", ("a", "maple", "accepted"), "row 1: the column findings is missing"),
        ("file,partner,verdict,findings", ("nowhere.edi", "maple", "accepted", ""), "No such file"),
        ("file,partner,verdict,findings", (str(SAMPLES / "run.csv"), "nobody", "accepted", ""), "no partner 'nobody'"),
        ("file,partner,verdict,findings", ("short",), "row 2: the row has more or fewer fields than the heading"),
        ("file,partner,verdict,findings,total", ("a", "maple", "accepted", "", "much"), "row 2: the total 'much'"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_line(
    run: Run, tmp_path: Path, heading: str, row: tuple[str, ...], said: str
) -> None:
    table(tmp_path, row, heading=heading)
    result = run("replay", "--samples", tmp_path)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert said in line


def test_a_folder_without_a_table_is_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    result = run("replay", "--samples", tmp_path / "none")
    assert (result.exit_code, "no table of expectations" in result.stderr) == (2, True)
