"""Our tables made of a UN directory's text files: excerpts in the layouts of 13A and 96B, in words of our own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from core.errors import SpecError
from core.tables import read_rows
from edifact.untdid import main, make, read_directory, read_message
from tests.support.edifact_cases import SPECS

LINE = "-" * 70 + "\n"
LEGEND = """
     Change indicators
     a plus sign (+)    for an addition
     a minus sign (-)   for marked for deletion (within either batch and interactive messages)
     a X sign (X)       for marked for deletion (within both batch and interactive messages)

"""
EARLIER = LEGEND.replace("for marked for deletion (within either batch and interactive messages)", "for a deletion")

# Every mark, and X both as a mark and as a code; the second line of a text stands behind the names.
ELEMENTS = f"""{LEGEND}{LINE}
     4321  First number                                            [B]

     Desc: Said of the first,
           in two lines.

     Repr: an..3

{LINE}
X    4322  Second number                                           [C]

     Desc: Said of the second.

     Repr: an..17

     Note: 1234 X is said here.

{LINE}
+|   4323  Third number                                            [B]

     Desc: Said of the third.

     Repr: n4
"""
CODES = f"""{LEGEND}{LINE}
*    4321  First number                                            [B]

     Desc: Said of the first,
           in two lines.

     Repr: an..3

     A     Name of A
              Said of A.

X    B     Name of B
              Said of B, which is going.

+    C1    Name of C1, which is long and therefore
           goes on
              Said of C1.
              X     is said in a text.

*|   X     Name of X
              Said of X.
           Note:
              Said of X as well.

X    ZZZ   Name of ZZZ
              Said of ZZZ.

-    Y     Name of Y
              Will be gone from interactive messages.
"""
COMPOSITES = f"""{LEGEND}{LINE}
       C432 FIRST COMPOSITE

       Desc: Said of the composite.

010    4321  First number                              M      an..3
020 X  4322  Second number with a name that goes on
             here                                      C      an..17
030  + 4323  Third number                              C      n4
"""
SEGMENTS = f"""{LEGEND}{LINE}
    X  XAB  FIRST SEGMENT

       Function: Said of the segment.

010    C432 FIRST COMPOSITE                            C   99
       4321  First number                              M      an..3
       4322  Second number with a name that goes on
             here                                      C      an..17

020 X  4323 THIRD NUMBER WITH A NAME THAT GOES ON
            HERE                                       M    1 n4

030    4321 FIRST NUMBER                               C    5 an..3 1,2

       Dependency notes:
       010     D5(020,010) If first, then all
{LINE}
       UNUSED is no entry
"""
MESSAGE = """
4.3.1  Segment table

Pos     Tag Name                                     S   R

00010   UNH Message header                           M   1
00020 * XAB First segment                            C   9

00030       ---- Segment group 1  ------------------ C   99---------------+
00040   XAB First segment                            M   1                |
                                                                          |
00050       ---- Segment group 2  ------------------ M   9---------------+|
00060 X XAB First segment                            M   1               ||
00070   XAB First segment                            C   3---------------+|
                                                                          |
00080       ---- Segment group 3  ------------------ C   999-------------+|
00090   XAB First segment                            M   1               ||
                                                                         ||
00100       ---- Segment group 4  ------------------ C   1--------------+||
00110   XAB First segment                            M   1--------------+++
00120   UNT Message trailer                          M   1
"""
FILES = {
    "EDED.13A": ELEMENTS,
    "UNCL.13A": CODES,
    "EDCD.13A": COMPOSITES,
    "EDSD.13A": SEGMENTS,
    "ABCDEF_D.13A": MESSAGE,
}


def published(folder: Path, files: Mapping[str, str] = FILES) -> Path:
    """Return the folder with files as the UN writes them: line ends of DOS, Latin-1 or code page 437."""
    for name, text in files.items():
        (folder / name).write_bytes(text.replace("\n", "\r\n").encode("latin-1"))
    return folder


def test_code_x_is_a_code_and_mark_x_is_none(tmp_path: Path) -> None:
    codes = read_directory(published(tmp_path)).codes
    assert codes["4321"] == ["A", "B", "C1", "X", "ZZZ", "Y"]


def test_code_x_is_a_code_before_99b_too(tmp_path: Path) -> None:
    text = f"""{EARLIER}{LINE}
* 4321  First number

  Desc: Said of the first.

  Repr: an..3

   A      Name of A
             Said of A.
X  B      Name of B
             Said of B.
X       C Name of C, at the right of its columns
             Said of C.
        X Name of X
             Said of X.
   X1     Name of X1
+# X2     Name of X2
 - Y      Name of Y, which is gone
{LINE}
-|4322  Second number, which is gone

  Repr: an..3

   A      Name of A
"""
    folder = published(tmp_path, FILES | {"UNCL.13A": text.replace("-" * 70, "\xc4" * 70)})
    assert read_directory(folder).codes == {"4321": ["A", "B", "C", "X", "X1", "X2"]}


def test_elements_composites_and_segments_are_read_whatever_their_marks(tmp_path: Path) -> None:
    found = read_directory(published(tmp_path))
    assert found.formats == {"4321": "an..3", "4322": "an..17", "4323": "n4"}
    assert found.composites == {"C432": [("4321", "M", 1), ("4322", "C", 1), ("4323", "C", 1)]}
    assert found.segments == {"XAB": [("C432", "C", 99), ("4323", "M", 1), ("4321", "C", 5)]}


@pytest.mark.parametrize("drawn", ["ASCII", "code page 437"])
def test_groups_are_read_as_they_are_drawn(drawn: str, tmp_path: Path) -> None:
    text = MESSAGE
    if drawn != "ASCII":
        lines = [line[:50] + line[50:].replace("-", "\xc4").replace("|", "\xb3") for line in text.splitlines()]
        text = "\n".join(line.replace("+++", "\xc1\xc1\xd9").replace("+", "\xd9") for line in lines)
    found = read_message(published(tmp_path, {"ABCDEF_D.13A": text}) / "ABCDEF_D.13A")
    assert [(row.group, row.parent, row.tag, row.mandatory, row.max) for row in found] == [
        (0, 0, "UNH", True, 1),
        (0, 0, "XAB", False, 9),
        (1, 0, "XAB", False, 99),
        (2, 1, "XAB", True, 9),
        (2, 1, "XAB", False, 3),
        (3, 1, "XAB", False, 999),
        (4, 3, "XAB", False, 1),
        (0, 0, "UNT", True, 1),
    ]


def test_the_command_writes_the_tables_and_tells_how_much_they_hold(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edifact.untdid", str(published(tmp_path)), str(tmp_path / "out"), "ABCDEF"]
    done = subprocess.run(command, cwd=SPECS.parents[1], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "segments.csv: 1 segments",
        "composites.csv: 1 composites",
        "elements.csv: 3 elements, 1 of them with codes",
        "messages/ABCDEF.csv: 8 segments in 4 groups",
    ]
    assert (tmp_path / "out/elements.csv").read_bytes() == (
        b"element,format,codes\n4321,an..3,A B C1 X ZZZ Y\n4322,an..17,\n4323,n4,\n"
    )
    assert (tmp_path / "out/messages/ABCDEF.csv").read_bytes().startswith(b"group,parent,tag,status,max\n0,,UNH,M,1\n")


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        (
            "UNCL.13A",
            "     A     Name of A\n",
            "     X     Name\n",
            "UNCL.13A, row 27: the code X of 4321 is given twice",
        ),
        ("EDED.13A", "Repr: n4", "Repr: x4", "EDED.13A, row 32: format 'x4' is not one of"),
        ("EDED.13A", "     4321", "     Nr. 4321", "an entry begins with its number or tag, not 'Nr. 4321"),
        ("EDED.13A", "+|   4323", "     4321", "4321 is given twice"),
        ("EDCD.13A", " M      an..3", "        an..3", "EDCD.13A, row 13: 4321 of C432 has no status M or C"),
        ("EDSD.13A", "       XAB", "       XBA", "EDSD: XAB is used, and has no entry"),
        ("EDSD.13A", "C432", "C433", "EDCD: C433 is used, and has no entry"),
        ("EDCD.13A", "+ 4323", "+ 4324", "EDED: 4324 is used, and has no entry"),
        ("ABCDEF_D.13A", "-+++\n", "-++++\n", "row 20: 4 groups end, 3 are open"),
        ("ABCDEF_D.13A", "-+++\n", "--++\n", "the segment table ends in group 1"),
        ("ABCDEF_D.13A", "Pos     Tag", "Position", "there is no segment table"),
    ],
)
def test_what_cannot_be_read_is_told_with_file_and_row(
    file: str, old: str, new: str, told: str, tmp_path: Path
) -> None:
    text = FILES[file].replace("    X  XAB", "       XAB")
    assert old in text
    with pytest.raises(SpecError) as error:
        make(published(tmp_path, FILES | {file: text.replace(old, new, 1)}), ["ABCDEF"])
    assert told in str(error.value)


@pytest.mark.parametrize("gone", FILES)
def test_a_file_that_is_not_there_is_told(gone: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (published(tmp_path) / gone).unlink()
    assert main([str(tmp_path), str(tmp_path / "out"), "ABCDEF"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_usage_and_a_place_that_cannot_be_written_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "usage" in capsys.readouterr().err
    assert main([str(published(tmp_path)), str(tmp_path / "EDED.13A"), "ABCDEF"]) == 1
    assert "EDED.13A: cannot be written" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------ there and back


def rows(path: Path) -> list[dict[str, str]]:
    return [dict(row) for _, row in read_rows(path, ())]


def grouped(path: Path, key: str) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for row in rows(path):
        found.setdefault(row[key], []).append(row)
    return found


def printed(folder: Path, message: str, late: bool) -> dict[str, str]:
    """Return our tables as the UN would print them, from 99B on or before; every second code marked X."""
    edge = "     " if late else "   "
    pad = 11 if late else 10
    elements, codes = "", ""
    for element in rows(folder / "elements.csv"):
        head = f"{edge}{element['element']}  Name\n\n{edge}Desc: Text.\n\n{edge}Repr: {element['format']}\n\n"
        elements += LINE + "\n" + head
        listed = "".join(
            f"{('X' if n % 2 else '') + edge[n % 2 :]}{code}".ljust(pad) + " Name\n" + " " * 14 + "Text.\n"
            for n, code in enumerate(element["codes"].split())
        )
        codes += LINE + "\n" + head + listed if listed else ""
    composites = "".join(
        f"{LINE}\n       {composite}  NAME\n\n"
        + "".join(f"{int(use['position']):02}0    {use['element']}  Name  {use['status']}      an..3\n" for use in uses)
        for composite, uses in grouped(folder / "composites.csv", "composite").items()
    )
    segments = "".join(
        f"{LINE}\n       {tag}  NAME\n\n"
        + "".join(
            f"{int(use['position']):02}0 X  {use['element']} NAME     {use['status']} {use['max'] if late else ''}\n"
            for use in uses
        )
        for tag, uses in grouped(folder / "segments.csv", "tag").items()
    )
    return {
        "EDED.13A": elements,
        "UNCL.13A": codes,
        "EDCD.13A": composites,
        "EDSD.13A": segments,
        f"{message}_D.13A": drawn(rows(folder / f"messages/{message}.csv")),
    }


def drawn(structure: Iterable[Mapping[str, str]]) -> str:
    """Return a segment table with its groups drawn."""
    lines: list[str] = []
    ways: list[list[str]] = []
    parents = {row["group"]: row["parent"] for row in structure}
    for row in structure:
        way = [] if row["group"] == "0" else [row["group"]]
        while way and parents[way[0]] not in ("0", ""):
            way.insert(0, parents[way[0]])
        if way and way[-1] not in {group for each in ways for group in each}:
            lines.append(
                f"00000       ---- Segment group {way[-1]} ---- {row['status']}   {row['max']}---+{'|' * len(way)}"
            )
            ways.append(way[:-1])
            lines.append(f"00000   {row['tag']} Name  M   1")
        else:
            lines.append(f"00000   {row['tag']} Name  {row['status']}   {row['max']}")
        ways.append(way)
    for n, (way, following) in enumerate(zip(ways, [*ways[1:], []], strict=True)):
        kept = sum(a == b for a, b in zip(way, following, strict=False))
        if len(way) > kept:
            lines[n] += f"----{'+' * (len(way) - kept)}{'|' * kept}"
    return "Pos   Tag Name  S   R\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize(("directory", "message", "late"), [("d13a", "GOVCBR", True), ("d96b", "CUSDEC", False)])
def test_our_own_tables_printed_as_the_un_does_come_back_byte_for_byte(
    directory: str, message: str, late: bool, tmp_path: Path
) -> None:
    folder = published(tmp_path, printed(SPECS / directory, message, late))
    assert main([str(folder), str(tmp_path / "out"), message]) == 0
    for name in ("segments.csv", "composites.csv", "elements.csv", f"messages/{message}.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (SPECS / directory / name).read_bytes(), name
