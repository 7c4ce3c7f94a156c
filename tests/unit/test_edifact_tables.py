"""Broken EDIFACT tables are told when they are loaded, with file, row and reason, not by what traffic does to them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.errors import SpecError
from edifact.directory import Row, Structure
from edifact.loading import load
from parsers.edifact_levels import misplaced
from tests.support.edifact_cases import DIRECTORIES, SPECS

CONTRL = "service3/messages/CONTRL.csv"
CUSDEC = "d96b/messages/CUSDEC.csv"
SEGMENTS, COMPOSITES, ELEMENTS = (f"d13a/{name}.csv" for name in ("segments", "composites", "elements"))
DATES, TOTALS, DEPENDENCIES = "date_formats.csv", "totals.csv", "dependencies.csv"
IGNORABLE = "ignorable.csv"


@dataclass(frozen=True)
class Broken:
    """One change of a table, and what is told of it; the text that is replaced stands there once."""

    file: str
    old: str
    new: str
    row: int | None
    reason: str


BROKEN = {
    # ---- the structure of a message
    "a group that is its own parent": Broken(CONTRL, "1,0,UCM", "1,1,UCM", 4, "group 1 is its own parent"),
    "a circle of groups": Broken(CONTRL, "1,0,UCM", "1,2,UCM", 4, "the groups 1, 2 stand in a circle"),
    "a group that does not exist": Broken(CONTRL, "3,0,UCF", "3,9,UCF", 7, "group 9, around group 3, does not exist"),
    "a parent that comes later": Broken(CONTRL, "1,0,UCM", "1,3,UCM", 4, "where group 3 around it is not open"),
    "a parent that is closed": Broken(
        CONTRL, "3,0,UCF", "3,0,UCF,C,1\n6,2,UCM", 8, "where group 2 around it is not open"
    ),
    "a group in two groups": Broken(CONTRL, "2,1,UCD", "2,0,UCD", 6, "group 2 stands in group 1, not 0"),
    "a parent of what is in no group": Broken(CONTRL, "0,,UCI", "0,1,UCI", 3, "group 0 stands in group 0, not 1"),
    "rows of a group apart": Broken(
        CONTRL, "0,,UNT", "1,0,UCS,C,1\n0,,UNT", 11, "rows of group 1 do not stand together"
    ),
    "a repeat of 0": Broken(CONTRL, "2,1,UCD,C,99", "2,1,UCD,C,0", 6, "UCD repeats 0 times"),
    "more repeats than can be counted": Broken(
        CONTRL, "1,0,UCM,C,999999", "1,0,UCM,C,99999999999", 4, "at most 9999999"
    ),
    "no UNH": Broken(CONTRL, "0,,UNH,M,1\n", "", 2, "a message begins with UNH"),
    "no UNT": Broken(CONTRL, "0,,UNT,M,1\n", "", 10, "a message ends with UNT"),
    "a conditional UNH": Broken(CONTRL, "UNH,M", "UNH,C", 2, "a message begins with UNH, mandatory"),
    "a second UNT": Broken(CONTRL, "0,,UCI", "0,,UNT,M,1\n0,,UCI", 3, "UNT stands again"),
    "no number": Broken(CONTRL, "UCI,M,1", "UCI,M,one", 3, "max cannot be 'one': expected int"),
    "no group number": Broken(CONTRL, "0,,UCI", "x,,UCI", 3, "group cannot be 'x': expected int"),
    "a negative group": Broken(CONTRL, "1,0,UCM", "-1,0,UCM", 4, "group cannot be '-1'"),
    "a status of its own": Broken(CONTRL, "UCI,M", "UCI,R", 3, "status cannot be 'R'"),
    "an unknown segment": Broken(CUSDEC, "0,,BGM,M,1", "0,,BGX,M,1", 3, "segment BGX is not in the directory"),
    # ---- segments, composites, elements
    "an element twice": Broken(
        ELEMENTS, "1004,an..70,\n", "1004,an..70,\n1004,an..35,\n", 5, "element 1004 is given twice"
    ),
    "a composite's position twice": Broken(
        COMPOSITES, "C001,2,1131", "C001,1,1131", 3, "position 1 of C001 is given twice"
    ),
    "a composite out of order": Broken(COMPOSITES, "C001,1,8179", "C001,5,8179", 3, "position 2 of C001 stands behind"),
    "a composite that is an element": Broken(COMPOSITES, "C001,1,8179", "1001,1,8179", 2, "1001 is an element"),
    "a composite of nothing": Broken(
        COMPOSITES, "C001,1,8179", "C001,1,0000", 2, "element 0000 is not in elements.csv"
    ),
    "a segment's position twice": Broken(SEGMENTS, "ADR,2,C090", "ADR,1,C090", 3, "position 1 of ADR is given twice"),
    "a segment of nothing": Broken(SEGMENTS, "ADR,1,C817", "ADR,1,C000", 2, "element C000 is in no table"),
    "a segment's repeat of 0": Broken(SEGMENTS, "ADR,1,C817,C,1", "ADR,1,C817,C,0", 2, "max cannot be '0'"),
    "a segment's status": Broken(SEGMENTS, "ADR,1,C817,C", "ADR,1,C817,X", 2, "status cannot be 'X'"),
    "a position of letters": Broken(SEGMENTS, "ADR,1,C817", "ADR,A,C817", 2, "position cannot be 'A'"),
    "a tag of two letters": Broken(SEGMENTS, "ADR,1,C817", "AD,1,C817", 2, "a tag is three capital letters"),
    "an unknown format": Broken(ELEMENTS, "1004,an..70,", "1004,x..70,", 4, "format 'x..70' is not one of"),
    "a format of no length": Broken(ELEMENTS, "1004,an..70,", "1004,an..0,", 4, "format 'an..0' is not one of"),
    # ---- dates, totals, dependencies, syntax errors
    "an unknown picture": Broken(DATES, "CCYYMM\n", "CCYYQQ\n", 30, "the picture 'CCYYQQ' is unknown"),
    "a picture that says the day twice": Broken(
        DATES, "CCYYMM\n", "CCYYDDDD\n", 30, "the picture 'CCYYDDDD' is unknown"
    ),
    "a period of unlike ends": Broken(DATES, "YYMMDD-YYMMDD\n718", "YYMMDD-YYMM\n718", 35, "'YYMMDD-YYMM' is unknown"),
    "a date format twice": Broken(DATES, "610,", "602,", 30, "the date format 602 is given twice"),
    "a total of a strange tag": Broken(TOTALS, "GOVCBR,2,LIN", "GOVCBR,2,CST", 2, "CST is not in GOVCBR"),
    "a total of a strange group": Broken(
        TOTALS, "CUSDEC,5,CST/30", "CUSDEC,5,CST/31", 6, "CST is not in group 31 of CUSDEC"
    ),
    "a total of a strange message": Broken(TOTALS, "CUSDEC,5", "CUSRES,5", 6, "there is no message CUSRES"),
    "a total of no tag": Broken(TOTALS, "CUSDEC,5,CST/30", "CUSDEC,5,CST/x", 6, "not 'CST/x'"),
    "a total of an element": Broken(TOTALS, "CST/30,,", "CST/30,1,2", 6, "only segments are counted"),
    "a total twice": Broken(TOTALS, "GOVCBR,5,LIN", "GOVCBR,2,LIN", 3, "the control total 2 of GOVCBR is given twice"),
    "an unknown dependency": Broken(DEPENDENCIES, "TDT,D5", "TDT,D8", 2, "rule cannot be 'D8'"),
    "a dependency of no position": Broken(DEPENDENCIES, "4 3", "4 x", 2, "TDT has no position x"),
    "a dependency outside its segment": Broken(DEPENDENCIES, "4 3", "4 33", 2, "TDT has no position 33"),
    "a dependency of one position": Broken(DEPENDENCIES, "4 3", "4", 2, "a dependency binds two positions or more"),
    "a dependency of no segment": Broken(DEPENDENCIES, "TDT,D5", "TDX,D5", 2, "segment TDX is not in the directory"),
    "a dependency of no directory": Broken(DEPENDENCIES, "d13a,", "d14a,", 2, "there is no directory d14a"),
    "a dependency twice": Broken(
        DEPENDENCIES, "4 3", "4 3\nd13a,TDT,D5,4 3", 3, "the dependency D5 of TDT is given twice"
    ),
    "ignorable outside its segment": Broken(IGNORABLE, "UNB,7,1", "UNB,7,2", 10, "UNB has no position 7.2"),
    "ignorable in no segment": Broken(IGNORABLE, "UNB,7,1", "UNX,7,1", 10, "UNX has no position 7.1"),
    "ignorable twice": Broken(IGNORABLE, "UNB,7,1", "UNB,6,1", 10, "position 6.1 of UNB is given twice"),
    "a syntax error twice": Broken("service4/syntax_errors.csv", "7,Inter", "2,Inter", 3, "the code 2 is given twice"),
    "no segment for the envelope": Broken(
        "service3/segments.csv", "UNZ,1,0036,M,1\nUNZ,2,0020,M,1\n", "", None, "UNZ is missing"
    ),
    **{
        f"no column {column} in {file}": Broken(file, column, f"{column}_", 1, f"the column {column} is missing")
        for file, columns in {
            CONTRL: ("group", "parent", "tag", "status", "max"),
            SEGMENTS: ("tag", "position", "element", "status", "max"),
            COMPOSITES: ("composite", "position", "element", "status"),
            ELEMENTS: ("element", "format", "codes"),
            DATES: ("code", "picture"),
            TOTALS: ("message", "control", "count", "element", "component"),
            DEPENDENCIES: ("directory", "tag", "rule", "positions"),
            IGNORABLE: ("tag", "position", "component", "syntax_id", "values", "source_en", "source_fr"),
            "service4/syntax_errors.csv": ("code", "name_en"),
        }.items()
        for column in columns
    },
}


def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SPECS, tmp_path / "edifact"))


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_table_is_told_at_load_with_file_row_and_reason(name: str, tmp_path: Path) -> None:
    broken, root = BROKEN[name], copied(tmp_path)
    path = root / broken.file
    text = path.read_text(encoding="utf-8")
    assert broken.old in text
    path.write_text(text.replace(broken.old, broken.new, 1), encoding="utf-8")
    with pytest.raises(SpecError) as told:
        load(root)
    assert (told.value.file, told.value.row) == (f"edifact/{broken.file}", broken.row)
    assert broken.reason in told.value.reason
    assert "\n" not in str(told.value)


def test_every_table_is_among_those_that_are_broken() -> None:
    assert {path.name for path in SPECS.rglob("*.csv")} == {
        *(Path(broken.file).name for broken in BROKEN.values()),
        "GOVCBR.csv",
    }


def test_a_message_given_twice_is_told(tmp_path: Path) -> None:
    root = copied(tmp_path)
    shutil.copytree(root / "d96b", root / "D96B")
    with pytest.raises(SpecError, match=r"edifact/d96b/messages/CUSDEC\.csv: the message CUSDEC D 96B is given twice"):
        load(root)


@pytest.mark.parametrize("gone", [CONTRL, SEGMENTS, "d13a/elements.csv", DATES, "service4/syntax_errors.csv"])
def test_a_table_that_is_not_there_is_told(gone: str, tmp_path: Path) -> None:
    root = copied(tmp_path)
    (root / gone).unlink()
    with pytest.raises(SpecError, match=r"cannot be read: No such file|CONTRL is missing"):
        load(root)


def test_an_empty_table_and_a_name_that_is_no_message_are_told(tmp_path: Path) -> None:
    root = copied(tmp_path)
    (root / CONTRL).write_text("group,parent,tag,status,max\n", encoding="utf-8")
    with pytest.raises(SpecError, match=r"CONTRL\.csv: the message has no segments"):
        load(root)
    (root / CONTRL).rename(root / "service3/messages/contrl.csv")
    with pytest.raises(SpecError, match="six capital letters"):
        load(root)


def test_positions_may_be_numbered_as_the_un_does(tmp_path: Path) -> None:
    root = copied(tmp_path)
    heading, *rows = (root / SEGMENTS).read_text(encoding="utf-8").splitlines()
    fields = [row.split(",") for row in rows]
    lines = [",".join([tag, f"{position}0", *rest]) for tag, position, *rest in fields]
    (root / SEGMENTS).write_text("\n".join([heading, *lines, ""]), encoding="utf-8")
    found = load(root).structure(("GOVCBR", "D", "13A", "UN"))
    expected = DIRECTORIES.structure(("GOVCBR", "D", "13A", "UN"))
    assert found is not None
    assert expected is not None
    assert found.segments["NAD"].slots == expected.segments["NAD"].slots


# ------------------------------------------------------------------------------------------------ subsets


@dataclass(frozen=True)
class Agreed:
    """A row of a subset, in the file `subset.csv`."""

    group: int
    parent: int
    tag: str
    status: str
    max: int
    origin: tuple[str, int]


def subset(*rows: tuple[int, int, str, str, int]) -> list[Agreed]:
    return [Agreed(*row, ("subset.csv", number)) for number, row in enumerate(rows, 2)]


UNH, UCI, UNT = (0, 0, "UNH", "M", 1), (0, 0, "UCI", "M", 1), (0, 0, "UNT", "M", 1)
UCM, UCS = (1, 0, "UCM", "C", 9), (2, 1, "UCS", "C", 9)


def test_a_subset_is_a_structure_of_its_own() -> None:
    table = DIRECTORIES.messages["CONTRL", "3"].profile(subset(UNH, UCI, UCM, UCS, UNT))
    assert [(row.group, row.tag, row.max) for row in table.rows][2:4] == [(1, "UCM", 9), (2, "UCS", 9)]
    assert (table.triggers, table.ends) == ({0: 0, 1: 2, 2: 3}, {0: 5, 1: 4, 2: 4})


@pytest.mark.parametrize(
    ("rows", "row", "reason"),
    [
        ((), None, "has no segments"),
        ((UCI, UNT), 2, "a message begins with UNH"),
        ((UNH, UCI), 3, "a message ends with UNT"),
        ((UNH, UCI, UCS, UNT), 4, "group 1, around group 2, does not exist"),
        ((UNH, UCI, (1, 0, "UCM", "C", 0), UNT), 4, "UCM repeats 0 times"),
        ((UNH, UCI, UCM, UCM, UNT), 5, "UCM stands earlier in CONTRL, or is given twice"),
        ((UNH, UCI, UCM, UCS, (2, 1, "UCD", "C", 1), UCS, UNT), 7, "UCS stands earlier in CONTRL"),
        ((UNH, UCI, UCM, (2, 1, "UCD", "C", 1), UNT), 5, "group 2 of CONTRL begins with UCS"),
        ((UNH, UCI, UCM, (3, 0, "UCF", "C", 1), UCS, UNT), 6, "where group 1 around it is not open"),
    ],
)
def test_a_broken_subset_is_told(
    rows: tuple[tuple[int, int, str, str, int], ...], row: int | None, reason: str
) -> None:
    with pytest.raises(SpecError) as told:
        DIRECTORIES.messages["CONTRL", "3"].profile(subset(*rows))
    assert reason in told.value.reason
    assert told.value.row == row


def test_a_profile_whose_segments_would_stand_elsewhere_is_told() -> None:
    """By the whole table a CNT behind A belongs to group 1, of which the profile does not know."""
    ends = Row(0, 0, "UNH", True, 1), Row(0, 0, "CNT", False, 1), Row(0, 0, "UNT", True, 1)
    group = Row(1, 0, "AAA", False, 9), Row(1, 0, "BBB", False, 1), Row(1, 0, "CNT", False, 1)

    def structure(*rows: Row) -> Structure:
        return Structure("X", rows, dict.fromkeys(("UNH", "AAA", "BBB", "CNT", "UNT")))  # type: ignore[arg-type]

    whole = structure(ends[0], *group, *ends[1:])
    assert [*misplaced(whole, whole)] == []
    assert [*misplaced(structure(ends[0], *ends[1:]), whole)] == []
    profile = structure(ends[0], *group[:2], *ends[1:])
    assert {profile.rows[row].tag for row in misplaced(profile, whole)} == {"CNT"}
    fewer = structure(ends[0], group[0], group[1]._replace(max=1), Row(0, 0, "BBB", False, 1), *ends[1:])
    more = structure(ends[0], group[0], group[1]._replace(max=2), Row(0, 0, "BBB", False, 1), *ends[1:])
    assert [*misplaced(more, more)] == []
    assert {fewer.rows[row].group for row in misplaced(fewer, more)} >= {0}
