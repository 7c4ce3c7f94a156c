"""The EDIFACT wing by itself: what it imports, what its docstrings show, and two specifications side by side."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

import edifact
from edifact import match
from edifact.contrl import contrl
from edifact.directory import Item, Part, Row, Segment, Slot, Structure
from edifact.envelope import check_interchange
from edifact.loading import load
from edifact.match import Matchers
from edifact.message import check
from edifact.reader import MessageText, read
from tests.support.edifact_cases import DIRECTORIES, SEGMENTS, interchange, message

ROOT = Path(edifact.__file__).parent.parent
GROUND_FLOOR = {f"core.{name}" for name in ("blanks", "envelope", "errors", "findings", "limits", "tables")}
ALONE = """
import importlib, pathlib, sys
for path in pathlib.Path("edifact").glob("*.py"):
    importlib.import_module("edifact" if path.stem == "__init__" else f"edifact.{path.stem}")
from edifact.loading import load
load(pathlib.Path("eccrd_specs/edifact"))
print(*sorted(name for name, module in sys.modules.items() if getattr(module, "__file__", None)))
"""


def test_the_wing_imports_itself_and_the_ground_floor_alone() -> None:
    command = [sys.executable, "-c", ALONE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    ours = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    imported = {name for name in done.stdout.split() if name.partition(".")[0] in ours}
    wing = {f"edifact.{path.stem}" for path in (ROOT / "edifact").glob("*.py") if path.stem != "__init__"}
    assert imported == wing | GROUND_FLOOR | {"core", "edifact"}


def test_any_un_message_is_read_checked_and_acknowledged_as_the_docstring_shows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    good, wrong = SEGMENTS["CUSDEC"], [*SEGMENTS["CUSDEC"][:-1], "CNT+5:7"]
    names = {
        "body": interchange(message("CUSDEC", good, "1"), message("CUSDEC", wrong, "2")),
        **{each.__name__: each for each in (Path, datetime, Matchers, MessageText, load, read, check, contrl)},
        "check_interchange": check_interchange,
    }
    example = doctest.DocTestParser().get_doctest(edifact.__doc__ or "", names, "edifact", None, 0)
    assert len(example.examples) == 3
    ran = doctest.DocTestRunner().run(example, clear_globs=False)
    assert (ran.failed, ran.attempted) == (0, 3)
    answer = example.globs["answer"]
    assert b"UNB+UNOB:3+CBSA:14+SENDER:14+260115:1030+R1'" in answer
    assert b"'UCI+REF1+SENDER:14+CBSA:14+7'UCM+2+CUSDEC:D:96B:UN:ZZZ01+4'UCS+27'UCD+29+2:2'" in answer


def test_the_worked_example_of_the_patterns_is_what_they_are() -> None:
    codes = frozenset(("1", "12", "21"))
    parts = (
        Part(Item("6063", "an", 1, 3, codes), True),
        Part(Item("6060", "n", 1, 6, None), True),
        Part(Item("6411", "an", 1, 3, None), False),
    )
    quantity = Segment("QTY", (Slot("C186", True, 1, parts, True),))
    pattern = Matchers().segment(quantity, "3", "ASCII", ".")
    shown = dict(re.findall(r"^    (\w{3,4}) +(\S.*?)(?:  .*)?$", match.__doc__ or "", re.MULTILINE))
    written = shown["QTY"].replace("C186", shown["C186"])
    for element in ("6063", "6060", "6411"):
        written = written.replace(element, shown[element])
    assert pattern.pattern == written
    assert pattern.fullmatch("QTY+21:12.5:KGM'")
    assert not pattern.fullmatch("QTY+2:12.5:KGM'")


def test_the_worked_example_of_the_order_is_what_it_is() -> None:
    rows = (
        Row(0, 0, "UNH", True, 1),
        Row(0, 0, "BGM", True, 1),
        Row(1, 0, "LIN", False, 9),
        Row(1, 0, "QTY", False, 5),
        Row(0, 0, "UNT", True, 1),
    )
    table = Structure("ORDERS", rows, {})
    order = match._order(table, lambda index: {"BGM": "a", "LIN": "b", "QTY": "c"}[rows[index].tag])
    assert order in (match.__doc__ or "")
    assert re.fullmatch(order, "abccb")


# ------------------------------------------------------------------------------------------------ what is compiled


def test_two_specifications_share_nothing_that_is_compiled() -> None:
    table = DIRECTORIES.messages["CONTRL", "3"]
    one, other = Matchers(), Matchers()
    first = one.of(table, "3", "ASCII", ".,")
    assert one.of(table, "3", "ASCII", ".,") is first
    assert other.of(table, "3", "ASCII", ".,") is not first
    assert (len(one), len(other)) == (1, 1)
    pattern = one.segment(table.segments["UNH"], "3", "ASCII", ".,")
    assert one.segment(table.segments["UNH"], "3", "ASCII", ".,") is pattern
    assert (len(one), len(other)) == (2, 1)


def test_what_is_compiled_is_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match, "Matcher", lambda *tables: SimpleNamespace(tables=tables))
    table, matchers = DIRECTORIES.messages["CONTRL", "3"], Matchers()
    for number in range(2 * match.COMPILED):
        matchers.of(table, "3", "ASCII", str(number))
    assert len(matchers) == match.COMPILED
    latest = matchers.of(table, "3", "ASCII", str(number))
    assert matchers.of(table, "3", "ASCII", str(number)) is latest


def test_tags_of_senders_are_not_remembered() -> None:
    table = DIRECTORIES.messages["CONTRL", "3"]
    before = len(table._ahead)
    assert [table.ahead(0, f"X{number:02}") for number in range(100)] == [()] * 100
    assert len(table._ahead) == before


def test_the_wing_checks_a_message_by_whichever_tables_it_is_given() -> None:
    ours = DIRECTORIES.messages["CONTRL", "3"]
    (text, _) = read(interchange("UNH+1+CONTRL:D:3:UN'UCI+REF7+SENDER+CBSA+7'UNT+3+1'"), DIRECTORIES)
    assert isinstance(text, MessageText)
    theirs = Structure(ours.name, ours.rows, {**ours.segments, "UCI": Segment("UCI", ours.segments["UCI"].slots[:3])})
    matchers = Matchers()
    assert check(text, ours, matchers) == ()
    assert [fault.code for fault in check(text, theirs, matchers)] == ["EDI-0503"]


def test_nothing_is_compiled_before_it_pays() -> None:
    table = DIRECTORIES.messages["CONTRL", "3"]
    asked = table, "3", "ASCII", ".,"
    matchers = Matchers(spared=1_000)
    assert [matchers.paid(*asked, 400) for _ in range(3)] == [None, None, None]
    assert matchers.paid(*asked, 0) is matchers.of(*asked)  # 1,200 have been walked
    assert Matchers(spared=1_000).paid(*asked, 0) is None
    ready = Matchers(spared=1_000)
    assert ready.of(*asked) is ready.paid(*asked, 400)  # made beforehand
    assert Matchers([table]).paid(*asked, 0) is not None
    elsewhere = Matchers()
    elsewhere.walk_on()
    assert elsewhere.paid(*asked, 1_000_000) is elsewhere.paid(*asked, 0) is None
    assert elsewhere.of(*asked) is elsewhere.paid(*asked, 0)
