"""`gateway list` on terminals of any width, and what it can be asked for."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest

from core.calendar import EASTERN, eastern_day
from gateway.cli.lists import columns
from gateway.cli.shared import Moment
from gateway.cli.tables import Column, fit
from gateway.cli.terminal import Console
from tests.support.desk import Run, recorded, runner
from tests.support.house import house
from tests.support.sending import edifact, messages, number

ROWS = [
    ["0123456789ab", "2026-11-30 08:15", "maple", "MAPLEBROKER", "declaration", "12345000000012", "00001",
     "accepted", "", "done"],
    ["ba9876543210", "2026-11-30 08:15", "erable", "ERABLECOURTIER", "correction", "24680000001048",
     "00002", "refused test", "CAD-0101 CAD-0111 CAD-0150 CAD-0003 CAD-0180", "done"],
]  # fmt: skip


def drawn(width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(fit(columns("en"), ROWS, width))
    written = console.file.getvalue()  # type: ignore[attr-defined]
    return str(written).splitlines()


@pytest.mark.parametrize("width", range(60, 241, 5))
def test_ids_numbers_and_codes_are_whole_at_any_width(width: int) -> None:
    lines = drawn(width)
    assert all(len(line.rstrip()) <= width for line in lines)
    words = " ".join(lines).split()
    for row in ROWS:
        assert {row[0], row[5], *row[8].split()} <= set(words)


@pytest.mark.parametrize(
    ("width", "gone"),
    [(80, {"sender", "type", "state"}), (100, {"sender"}), (200, set())],
)
def test_what_matters_least_goes_first(width: int, gone: set[str]) -> None:
    heading = set(drawn(width)[0].replace("received (ET)", "received").split())
    assert not gone & heading
    assert {"id", "received", "transaction", "findings", "verdict"} <= heading
    assert "partner" in heading or width == 80, "a test's verdict is wide"
    assert width < 200 or heading == {column.heading.removesuffix(" (ET)") for column in columns("en")}


def test_a_code_that_is_given_again_is_listed_once_with_how_often(run: Run, tmp_path: Path) -> None:
    recorded(tmp_path).close()
    told = run("list", "--finding", "CAD-0001").stdout
    assert "CAD-0001\N{MULTIPLICATION SIGN}4" in told.split()
    assert "CAD-0001" not in told.split()
    assert re.search(r"  20\d\d-\d\d-\d\d \d\d:\d\d  ", told), "to the minute, without the zone"


def test_a_kind_that_is_not_known_is_called_so_in_french(run: Run, tmp_path: Path) -> None:
    recorded(tmp_path).close()
    told = run("list", "--finding", "GTW-0001", "--lang", "fr").stdout
    assert "inconnu" in told
    assert "reçu (HE)" in told


def test_one_long_word_is_folded_rather_than_lost() -> None:
    console = Console(width=40, file=io.StringIO())
    console.print(fit([Column("a"), Column("b", folds=True)], [["1", "x" * 200]], 40))
    assert console.file.getvalue().count("x") == 200  # type: ignore[attr-defined]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(tmp_path, monkeypatch)


def test_the_list_is_asked_by_time_finding_reference_and_sender(run: Run, tmp_path: Path) -> None:
    recorded(tmp_path)
    everything = listed(run)
    assert len(everything) > 5
    with_finding = listed(run, "--finding", "cad-0213")
    assert 0 < len(with_finding) < len(everything)
    assert listed(run, "--finding", "CAD-02") >= with_finding
    assert listed(run, "--finding", "%") == set()
    assert 0 < len(listed(run, "--sender", "ERABLECOURTIER")) < len(everything)
    assert listed(run, "--sender", "NOBODY") == set()
    assert listed(run, "--since", "today") | listed(run, "--since", "2000-01-01", "--until", "yesterday") <= everything
    assert listed(run, "--since", "2999-01-01") == set()
    assert listed(run, "--since", "2000-01-01") == everything
    assert listed(run, "--reference", "no such") == set()


def test_a_reference_of_the_declaration_and_an_importers_nine_digits_are_found(run: Run, tmp_path: Path) -> None:
    with house(tmp_path) as gateway:
        for place, reference in enumerate(("MINE-1", "MINE-2", "MINE-1")):
            bn = "123456782RM0001" if place else "123456782RM0002"
            gateway.send("maple", edifact(f"R{place}", number(place), functional_reference=reference, importer_bn=bn))
        gateway.settle_down()
        assert len(messages(gateway)) == 3
    assert len(listed(run, "--reference", "MINE-1")) == 2
    assert len(listed(run, "--reference", "MINE-2")) == len(listed(run, "--reference", "R1")) == 1
    assert listed(run, "--reference", "MINE") == set()
    assert len(listed(run, "--importer", "123456782")) == 3
    assert len(listed(run, "--importer", "123456782rm0002")) == 1
    assert listed(run, "--importer", "12345678") == listed(run, "--importer", "123456780") == set()
    assert len(listed(run, "--importer", "123456782", "--reference", "MINE-1")) == 2


def test_a_message_is_shown_in_the_character_set_that_it_declares(run: Run, tmp_path: Path) -> None:
    """UNOC was shown as \\xe9, and what happens to be UTF-8 as other letters than those that were read."""
    bodies = {
        "UNOC": edifact("R1", number(1), importer_name="Société Crêpe Ã©"),
        "UNOE": edifact("R2", number(2), importer_name="NAME")
        .replace(b"UNOC", b"UNOE")
        .replace(b"NAME", b"\xc4\xde\xdc"),
        "UNOW": edifact("R3", number(3), importer_name="é").decode("latin-1").replace("UNOC:3", "UNOW:4").encode(),
    }
    with house(tmp_path) as gateway:
        gateway.send("maple", *bodies.values(), b"\xff\xfe\x00 noise \xe9", "<a>é</a>".encode("utf-16"))
        gateway.settle_down()
        rows = messages(gateway)
    shown = [run("show", row["id"]).stdout for row in rows]
    for told, wanted in zip(shown, ("Société Crêpe Ã©", "Фом", "+é'", "noise", "<a>é</a>"), strict=False):
        assert wanted.rstrip("'").lstrip("+") in told, wanted
    assert "\\xe9" not in shown[0]


def listed(run: Run, *options: str) -> set[str]:
    lines = run("list", "--limit", "500", *options).stdout.splitlines()[1:]
    return {line.split()[0] for line in lines if line.strip()}


@pytest.mark.parametrize("written", ["8:00", "08:00", "today", "yesterday", "2026-11-23", "2026-11-23T14:30"])
def test_moments_are_written_as_people_say_them(written: str) -> None:
    found = Moment().convert(written, None, None)
    today = eastern_day(datetime.now(UTC))
    assert found.tzinfo is not None
    if written.endswith(":00"):
        assert (found.astimezone(EASTERN).date() - today) <= timedelta(days=1)
        assert found.astimezone(EASTERN).hour == 8
    if written == "yesterday":
        assert found.date() <= today


@pytest.mark.parametrize("written", ["25:00", "8", "8:0", "noon", "", "2026-13-01"])
def test_what_is_no_moment_is_said(written: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a day"):
        Moment().convert(written, None, None)
