"""`gateway specs check`: what a spreadsheet does to tables, and what loading does not see, with row and remedy."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.desk import Run, runner
from tests.support.packs import HOME, ROOT, copy, edit, rewrite, set_field
from validators.rulebook import CHECKS


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(tmp_path, monkeypatch)


Spoil = Callable[[Path], object]
OFFICES, MODES, ELEMENTS = "codes/office.csv", "codes/transport_mode.csv", "chapter24/elements.csv"
ORDERS, TREATMENTS = "trade/surtax_orders.csv", "trade/treatment_origins.csv"


def saved(file: str, change: Callable[[str], str], encoding: str = "utf-8") -> Spoil:
    """Save a table as another program does."""

    def spoil(root: Path) -> None:
        path = root / file
        path.write_bytes(change(path.read_text("utf-8")).encode(encoding))

    return spoil


def field(file: str, key: str, column: str, value: str) -> Spoil:
    return lambda root: set_field(root / file, key, column, value)


def unread(root: Path) -> None:
    (root / "chapter24-2").mkdir()
    (root / "chapter24-2/rules.csv").write_bytes((root / "chapter24/rules.csv").read_bytes())


def without_usage(root: Path) -> None:
    rewrite(root / "chapter24/usage.csv", lambda rows: [row for row in rows if row["element"] != "carrier_code"])


def answered_by(root: Path, message: str) -> None:
    for chapter in ("24", "26"):
        edit(root / f"chapter{chapter}/manifest.toml", "[edifact.levels]", f"answer = [{message}]\n\n[edifact.levels]")


CASES: dict[str, tuple[Spoil, str, str]] = {
    "byte order mark": (saved(MODES, lambda text: "\ufeff" + text), "transport_mode.csv, row 1", "byte order mark"),
    "semicolons": (saved(MODES, lambda text: text.replace(",", ";")), "codes/transport_mode.csv, row 1", "semicolons"),
    "tabs": (saved(MODES, lambda text: text.replace(",", "\t")), "codes/transport_mode.csv, row 1", "tabs"),
    "latin-1": (saved(OFFICES, lambda text: text, "latin-1"), r"codes/office.csv, row \d+", "not in UTF-8"),
    "leading zeros": (saved(OFFICES, lambda text: re.sub("^0", "", text, flags=re.M)), "office.csv, row 2", "zeros"),
    "zeros of a treatment": (field(TREATMENTS, "02", "treatment", "2"), "treatment_origins.csv, row", "(02)"),
    "zeros of a list of one's own": (
        field(MODES, "9", "code", "00"), "codes/transport_mode.csv, row 6", "no message can give 00",
    ),
    "another day": (field(ORDERS, "SOR/2025-95", "valid_from", "4/9/2025"), "surtax_orders.csv, row", "is no day"),
    "a day as a number": (field("codes/currency.csv", "ZWL", "retired", "45000"), "currency.csv, row", "is no day"),
    "a day that is none": (
        lambda root: edit(root / "calendar/holidays.csv", "2026-07-01", "2026-06-31"), "holidays.csv, row", "is no day",
    ),
    "an empty folder": (lambda root: (root / "more").mkdir(), "more", "the folder is empty"),
    "a pack without a manifest": (unread, "chapter24-2", "nothing of it is read"),
    "no usage": (without_usage, r"chapter24/elements.csv, row \d+", "carrier_code has no usage in chapter24 1.00"),
    "a code unknown to the UN": (
        lambda root: edit(root / ELEMENTS, "116[ARD/2.2=VFD]", "116"), "vfd_code.csv, row 2", "no code of UN 5007",
    ),
    "a qualifier unknown to the UN": (
        lambda root: edit(root / ELEMENTS, "LOC/2=22", "LOC/2=QQQ"), "elements.csv, row", "QQQ is no code",
    ),
    "a code of answers unknown to the UN": (
        lambda root: edit(root / "chapter24/answer_codes.csv", "both,gst,GST", "both,gst,QQQ"),
        r"chapter24/answer_codes.csv, row \d+", "QQQ is no code of UN 5153 in TAX",
    ),
    "a response type unknown to the UN": (
        field("chapter24/answers.csv", "accepted", "response", "QQ"), "chapter24/answers.csv, row 3", "UN 4343 in BGM",
    ),
    "answers in a message that they do not fit": (
        lambda root: answered_by(root, '"CUSDEC", "D", "96B", "UN"'), "chapter24", "do not fit CUSDEC:D:96B:UN: EDI-04",
    ),
    "answers in a message that is not there": (
        lambda root: answered_by(root, '"CUSRES", "D", "13A", "UN"'), "chapter24", "answer's message CUSRES:D:13A:UN",
    ),
    "what does not load": (
        field(ELEMENTS, "office", "format", "x4"), "chapter24/elements.csv, row 9", "unknown format",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_is_told_with_file_row_and_remedy(run: Run, tmp_path: Path, name: str) -> None:
    spoil, where, said = CASES[name]
    folder = copy(tmp_path)
    spoil(folder)
    result = run("specs", "check", folder)
    assert result.exit_code == 1, result.output
    lines = result.stdout.splitlines()
    at = next((i for i, line in enumerate(lines) if re.search(where, line) and said in line), None)
    assert at is not None, result.stdout
    assert re.fullmatch(r"    [A-Z].+\.", lines[at + 1])


def test_nothing_is_said_of_the_project_s_own_folder(run: Run) -> None:
    assert (run("specs", "check", ROOT).exit_code, run("specs", "check", ROOT, "--lang", "fr").stdout) == (
        0,
        "rien à signaler\n",
    )


def test_it_speaks_french(run: Run, tmp_path: Path) -> None:
    folder = copy(tmp_path)
    without_usage(folder)
    shown = run("specs", "check", folder, "--lang", "fr").stdout
    assert re.search(r"^chapter24/elements\.csv, ligne \d+ : carrier_code n'a pas d'emploi dans chapter24", shown)
    assert "\n    Donnez-lui une ligne : M, O ou X par type de DDC.\n" in shown
    assert shown.endswith("\nconstats : 1\n")


def test_a_folder_that_is_not_there_is_one_line(run: Run, tmp_path: Path) -> None:
    result = run("specs", "check", tmp_path / "nowhere")
    assert (result.exit_code, result.stderr) == (2, f"gateway: there is no folder {tmp_path / 'nowhere'}\n")


def test_the_page_of_the_tables_is_what_the_readers_have(run: Run) -> None:
    """`make docs` writes it anew."""
    result = run("specs", "reference")
    assert result.exit_code == 0, result.exception
    assert result.stdout == (HOME / "docs/packs.md").read_text("utf-8")


def test_every_table_of_the_folder_is_on_the_page() -> None:
    """A table that no reader reads, or that the page does not name, is missed by both."""
    page = (HOME / "docs/packs.md").read_text("utf-8")
    named = set(re.findall(r"^## (\S+\.csv)$", page, re.M))
    unread = {"chapter24/form_gaps.csv"}  # what tests compare the forms with
    tables = {path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.csv")} - unread
    assert [table for table in sorted(tables) if not any(Path(table).match(pattern) for pattern in named)] == []
    for check in CHECKS:
        assert f"### {check}\n" in page
