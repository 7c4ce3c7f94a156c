"""Our tables hold as much as the UN's directories publish of what they cover.

`tests/support/data/un_directory_counts.csv` was not counted in our tables. D.13A: the directory's own files EDMD, EDSD,
EDCD, EDED and UNCL. D.96B: TRMD as bots-edi's grammars have it, TRSD, TRCD, TRED and UNCL as XML::Edifact has them.
A code list that we do not have is not counted. More about the sources: `eccrd_specs/edifact/SOURCES.md`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from core.tables import read_rows
from tests.support.edifact_cases import SPECS

COUNTS = Path(__file__).parents[1] / "support/data/un_directory_counts.csv"
MESSAGES = {"d13a": "GOVCBR", "d96b": "CUSDEC"}
Counts = dict[tuple[str, str], int]


def rows(path: Path) -> list[dict[str, str]]:
    return [dict(row) for _, row in read_rows(path, ())]


def counted(directory: str) -> Counts:
    """Return what our tables of a directory hold, by what is counted and whose it is."""
    folder, message = SPECS / directory, MESSAGES[directory]
    structure = rows(folder / f"messages/{message}.csv")
    segments = Counter(row["tag"] for row in rows(folder / "segments.csv"))
    composites = Counter(row["composite"] for row in rows(folder / "composites.csv"))
    elements = {row["element"]: len(row["codes"].split()) for row in rows(folder / "elements.csv")}
    groups = {row["group"] for row in structure} - {"0"}
    return {
        ("segments of message", message): len(structure),
        ("groups of message", message): len(groups),
        # The UN numbers segments and groups in steps of ten.
        ("last position", message): 10 * (len(structure) + len(groups)),
        ("segments", ""): len(segments),
        ("composites", ""): len(composites),
        ("elements", ""): len(elements),
        **{("positions of segment", tag): count for tag, count in segments.items()},
        **{("components of composite", composite): count for composite, count in composites.items()},
        **{("codes of element", element): count for element, count in elements.items() if count},
    }


def published(directory: str) -> Counts:
    """Return what the directory publishes of it."""
    return {(row["what"], row["of"]): int(row["count"]) for row in rows(COUNTS) if row["directory"] == directory}


@pytest.mark.parametrize("directory", MESSAGES)
def test_our_tables_hold_as_much_as_the_directory_publishes(directory: str) -> None:
    assert counted(directory) == published(directory)


def test_code_x_is_in_the_lists_that_have_it() -> None:
    """It was taken for the change indicator X in the margin of the UN's code lists."""
    codes = {row["element"]: row["codes"].split() for row in rows(SPECS / "d13a/elements.csv")}
    assert {element for element, listed in codes.items() if "X" in listed} >= {"7077", "8457", "8459"}


def test_code_399_came_with_d13b() -> None:
    """D.13A ends its 395 agencies with 398 and ZZZ."""
    (agencies,) = (row["codes"].split() for row in rows(SPECS / "d13a/elements.csv") if row["element"] == "3055")
    assert agencies[-2:] == ["398", "ZZZ"]


@pytest.mark.parametrize(
    ("group", "tag", "position"),
    [("0", "UNS", 410), ("30", "CST", 1220), ("30", "FTX", 1230), ("30", "LOC", 1240), ("30", "MEA", 1260)],
)
def test_cusdec_stands_where_message_guides_of_d96b_place_it(group: str, tag: str, position: int) -> None:
    at, opened = 0, {"0"}
    for row in rows(SPECS / "d96b/messages/CUSDEC.csv"):
        at += 10 * (1 + (row["group"] not in opened))
        opened.add(row["group"])
        if (row["group"], row["tag"]) == (group, tag):
            break
    assert at == position


@pytest.mark.parametrize(("element", "form"), [("4441", "an..17"), ("6155", "an..17"), ("6314", "an..18")])
def test_a_format_of_d96b_is_that_of_d96b(element: str, form: str) -> None:
    formats = {row["element"]: row["format"] for row in rows(SPECS / "d96b/elements.csv")}
    assert formats[element] == form


def test_group_21_of_cusdec_is_that_of_d96b() -> None:
    """MEA 15, GIS and LOC came later; D.00A has them."""
    found = [(row["tag"], row["max"]) for row in rows(SPECS / "d96b/messages/CUSDEC.csv") if row["group"] == "21"]
    assert " ".join(tag for tag, _ in found) == "LIN PIA QTY PRI PCD MEA QVR MOA NAD GIR"
    assert dict(found)["MEA"] == "5"
