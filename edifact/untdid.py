"""Makes our tables of a UN directory from the text files that the UN publishes it in.

    python -m edifact.untdid FOLDER OUT MESSAGE ...

FOLDER holds the unpacked files of one directory: EDED, EDCD, EDSD and UNCL with the release as suffix (`EDED.13A`, in
early directories TRED, TRCD, TRSD) and the messages (`GOVCBR_D.13A`). OUT receives `segments.csv`, `composites.csv`,
`elements.csv` and `messages/*.csv` as `edifact.loading` reads them, with what the messages use and nothing else; the
UN's names and descriptions stay behind. How many of each there are is told, to be compared with the directory.

An entry stands between two rules, its parts in fixed columns. In front is a margin for change indicators (+ added,
* structure, # name, | text, - and X marked for deletion), and X is a code as well: only its column tells. The margin
of a code list is five columns wide from 99B on; before, it is three, and a code may stand anywhere in six columns:

    X    A     Name of A             99B and later: A, marked for deletion
         X     Name of X             code X
    X  A      Name of A              before 99B: A, marked for deletion
       X      Name of X              code X
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from core.errors import GatewayError, SpecError, cause_of
from edifact.directory import Row
from edifact.loading import FORMAT

MARKS = r"[-+*#|X ]"
RULE = re.compile(r"\s*-{20,}\s*")
# A minus is a deletion in early directories, an announced one in later ones; the legend above the first entry tells.
DELETION = re.compile(r"\(-\)\s+for a deletion")
ELEMENT = re.compile(rf"(?P<marks>{MARKS}*)(?P<id>\d{{4}})\s+\S")
COMPOSITE = re.compile(rf"(?P<marks>{MARKS}*)(?P<id>[A-Z]\d{{3}})\s+\S")
SEGMENT = re.compile(rf"(?P<marks>{MARKS}*)(?P<id>[A-Z]{{3}})\s+\S")
REPRESENTATION = re.compile(r"\s*Repr:\s*(\S+)")
POSITION = re.compile(rf"\d{{3}}{MARKS}{{1,5}}(?P<id>[A-Z]\d{{3}}|\d{{4}})\s(?P<rest>.*)")
# The end of a position: status, from 99B on how often, for an element its format, and numbers of notes.
STATUS = re.compile(r"\s(?P<status>[MC])(?:\s+(?P<max>\d+))?(?:\s+(?:an?|n)(?:\.\.)?\d+(?:\s+[\d,]+)?)?\s*")
# Codes by the width of their margin: they begin behind it, or before 99B may stand further right in their columns.
CODES = {
    5: re.compile(rf"(?P<marks>{MARKS}{{5}})(?P<code>[0-9A-Z]+) +\S"),
    3: re.compile(rf"(?P<marks>{MARKS}{{3}})(?=.{{6}} ) {{0,5}}(?P<code>[0-9A-Z]+) +\S"),
}
TABLE = re.compile(r"\s*Pos\s+Tag\s+Name\s+S\s+R\s*")
LINE = re.compile(rf"\d{{4,5}}{MARKS}+(?P<tag>[A-Z]{{3}})\s.*\s(?P<status>[MC])\s+(?P<max>\d+)(?P<lines>[-+| ]*)")
GROUP = re.compile(
    rf"\d{{4,5}}{MARKS}+Segment group\s+(?P<group>\d+)\s.*\s(?P<status>[MC])\s+(?P<max>\d+)(?P<lines>[-+| ]*)"
)
# The lines around groups, as code page 437 or ASCII draws them; the names are of no matter here.
DRAWN = str.maketrans("\xc4\xb3\xbf\xd9\xc1\xc0\xda\xb4", "-|++++++")
SERVICE_TAG = re.compile("U[A-Z]{2}")  # the segments of the syntax stand in no directory

Value = TypeVar("Value")


class PublishedPosition(NamedTuple):
    """A position: which element or composite, whether it must be there, how often it may."""

    id: str
    status: str
    max: int


@dataclass(frozen=True)
class PublishedDirectory:
    """What a directory says: formats and codes of elements, and the positions of composites and segments."""

    formats: Mapping[str, str]
    codes: Mapping[str, Sequence[str]]
    composites: Mapping[str, Sequence[PublishedPosition]]
    segments: Mapping[str, Sequence[PublishedPosition]]


@dataclass(frozen=True)
class _Entry:
    """What stands between two rules: the element, composite or segment, the column it begins in, and further lines."""

    file: str
    id: str
    column: int
    lines: Sequence[tuple[int, str]]
    deletes: bool  # a minus is a deletion


def main(arguments: Sequence[str]) -> int:
    """Make the tables and tell what they hold; returns 1 where they cannot be made, after one line that says why."""
    if len(arguments) < 3:
        sys.stderr.write("usage: python -m edifact.untdid FOLDER OUT MESSAGE ...\n")
        return 2
    folder, out, *messages = arguments
    try:
        tables = make(Path(folder), messages)
        _write(Path(out), tables)
    except GatewayError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for name, (_, rows) in tables.items():
        sys.stdout.write(f"{name}: {_told(name, rows)}\n")
    return 0


Table = tuple[Sequence[str], Sequence[Sequence[str | int]]]  # heading, rows


def make(folder: Path, messages: Sequence[str]) -> dict[str, Table]:
    """Return the tables of messages by file name; raises SpecError, with file and line, for what cannot be read."""
    published = read_directory(folder)
    structures = {
        message: read_message(_only(folder, message, rf"{re.escape(message)}_[A-Z]\.\d\d[A-Z]")) for message in messages
    }
    tags = sorted({row.tag for rows in structures.values() for row in rows if not SERVICE_TAG.fullmatch(row.tag)})
    segments = {tag: _known(published.segments, tag, "EDSD") for tag in tags}
    used = sorted({use.id for uses in segments.values() for use in uses})
    composites = {each: _known(published.composites, each, "EDCD") for each in used if each[0].isalpha()}
    elements = {use.id for uses in composites.values() for use in uses} | {*used} - {*composites}
    tables: dict[str, Table] = {
        "segments.csv": (
            ("tag", "position", "element", "status", "max"),
            [(tag, n, *use) for tag, uses in segments.items() for n, use in enumerate(uses, 1)],
        ),
        "composites.csv": (
            ("composite", "position", "element", "status"),
            [(owner, n, use.id, use.status) for owner, uses in composites.items() for n, use in enumerate(uses, 1)],
        ),
        "elements.csv": (
            ("element", "format", "codes"),
            [
                (each, _known(published.formats, each, "EDED"), " ".join(published.codes.get(each, ())))
                for each in sorted(elements)
            ],
        ),
    }
    for message, rows in structures.items():
        lines = [(r.group, r.parent if r.group else "", r.tag, "M" if r.mandatory else "C", r.max) for r in rows]
        tables[f"messages/{message}.csv"] = ("group", "parent", "tag", "status", "max"), lines
    return tables


def read_directory(folder: Path) -> PublishedDirectory:
    """Return what the files of a directory say; raises SpecError, with file and line."""
    elements, lists = [_only(folder, "EDED", r"(ED|TR)ED\.\d\d[A-Z]")], _files(folder, r"UNCL(-\d)?\.\d\d[A-Z]")
    if not lists:
        raise SpecError(str(folder), None, "there is no UNCL file")
    return PublishedDirectory(
        {entry.id: _format(entry) for entry in _entries(elements, ELEMENT, REPRESENTATION)},
        {entry.id: _codes(entry) for entry in _entries(lists, ELEMENT, REPRESENTATION)},
        {e.id: _uses(e) for e in _entries([_only(folder, "EDCD", r"(ED|TR)CD\.\d\d[A-Z]")], COMPOSITE, POSITION)},
        {e.id: _uses(e) for e in _entries([_only(folder, "EDSD", r"(ED|TR)SD\.\d\d[A-Z]")], SEGMENT, POSITION)},
    )


# ------------------------------------------------------------------------------------------------ files and entries


def _files(folder: Path, pattern: str) -> list[Path]:
    """Return the files below a folder whose names fit, whatever their case."""
    name = re.compile(pattern, re.IGNORECASE)
    return sorted(path for path in folder.rglob("*") if path.is_file() and name.fullmatch(path.name))


def _only(folder: Path, kind: str, pattern: str) -> Path:
    """Return the one file of a kind; raises SpecError."""
    found = _files(folder, pattern)
    if len(found) != 1:
        names = ", ".join(path.name for path in found)
        raise SpecError(
            str(folder), None, f"more than one {kind} file: {names}" if names else f"there is no {kind} file"
        )
    return found[0]


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file with their numbers, drawn lines as ASCII."""
    try:
        text = path.read_bytes().decode("latin-1")
    except OSError as error:
        raise SpecError(path.name, None, f"cannot be read: {cause_of(error)}") from error
    for number, line in enumerate(text.rstrip("\x1a").split("\n"), 1):
        yield number, line.translate(DRAWN).expandtabs().rstrip()


def _entries(paths: Iterable[Path], heading: re.Pattern[str], needed: re.Pattern[str]) -> Iterator[_Entry]:
    """Yield the entries of files; what stands between rules without a line that is `needed` is no entry."""
    for path in paths:
        deletes = False
        seen: set[str] = set()
        for number, lines in enumerate(_between_rules(path)):
            if number == 0:
                deletes = any(DELETION.search(line) for _, line in lines)
                continue
            if not any(needed.match(line) for _, line in lines):
                continue
            at, first = lines[0]
            found = heading.match(first)
            if not found:
                raise SpecError(path.name, at, f"an entry begins with its number or tag, not {first.strip()!r}")
            if deletes and "-" in found["marks"]:
                continue
            if found["id"] in seen:
                raise SpecError(path.name, at, f"{found['id']} is given twice")
            seen.add(found["id"])
            yield _Entry(path.name, found["id"], found.start("id"), lines[1:], deletes)


def _between_rules(path: Path) -> Iterator[list[tuple[int, str]]]:
    """Yield the lines before, between and behind the rules of a file, without the empty ones."""
    lines: list[tuple[int, str]] = []
    for number, line in _lines(path):
        if RULE.fullmatch(line):
            yield lines
            lines = []
        elif line:
            lines.append((number, line))
    yield lines


# ------------------------------------------------------------------------------------------------ what entries say


def _format(entry: _Entry) -> str:
    for at, line in entry.lines:
        if found := REPRESENTATION.match(line):
            if FORMAT.fullmatch(found[1]):
                return found[1]
            raise SpecError(entry.file, at, f"format {found[1]!r} is not one of an..35, n6, a1")
    raise SpecError(entry.file, None, f"{entry.id} has no format")


def _codes(entry: _Entry) -> list[str]:
    """Return the codes of an element, in order; its list begins behind its representation."""
    code = CODES[5 if entry.column >= 5 else 3]
    first = next(n for n, (_, line) in enumerate(entry.lines, 1) if REPRESENTATION.match(line))
    codes: list[str] = []
    for at, line in entry.lines[first:]:
        found = code.match(line)
        if not found or (entry.deletes and "-" in found["marks"]):
            continue
        if found["code"] in codes:
            raise SpecError(entry.file, at, f"the code {found['code']} of {entry.id} is given twice")
        codes.append(found["code"])
    return codes


def _uses(entry: _Entry) -> list[PublishedPosition]:
    """Return the positions of a composite or segment; a long name goes on in the next line, and its status with it."""
    uses: list[PublishedPosition] = []
    for n, (at, line) in enumerate(entry.lines):
        position = POSITION.fullmatch(line)
        if not position:
            continue
        text = " " + position["rest"]
        for _, more in entry.lines[n + 1 : n + 3]:
            if _end(text) or POSITION.fullmatch(more):
                break
            text += more
        end = _end(text)
        if not end:
            raise SpecError(entry.file, at, f"{position['id']} of {entry.id} has no status M or C")
        uses.append(PublishedPosition(position["id"], end["status"], int(end["max"] or 1)))
    return uses


def _end(text: str) -> re.Match[str] | None:
    return next((found for at in range(len(text)) if (found := STATUS.fullmatch(text, at))), None)


# ------------------------------------------------------------------------------------------------ messages


def read_message(path: Path) -> list[Row]:
    """Return the structure of a message as its segment table draws it; raises SpecError, with file and line."""
    rows: list[Row] = []
    open_groups: list[int] = []
    trigger: tuple[bool, int] | None = None  # status and repeats of the group whose first segment comes next
    lines = _lines(path)
    if not any(TABLE.fullmatch(line) for _, line in lines):
        raise SpecError(path.name, None, "there is no segment table")
    for at, line in lines:
        if found := GROUP.fullmatch(line):
            open_groups.append(int(found["group"]))
            trigger = found["status"] == "M", int(found["max"])
        elif found := LINE.fullmatch(line):
            here, around = [0, 0, *open_groups][-1], [0, 0, *open_groups][-2]
            mandatory, most = trigger or (found["status"] == "M", int(found["max"]))
            rows.append(Row(here, around, found["tag"], mandatory, most))
            trigger = None
            closed = found["lines"].count("+")
            if closed > len(open_groups):
                raise SpecError(path.name, at, f"{closed} groups end, {len(open_groups)} are open")
            del open_groups[len(open_groups) - closed :]
    if open_groups or not rows:
        raise SpecError(path.name, None, f"the segment table ends in group {[0, *open_groups][-1]}")
    return rows


# ------------------------------------------------------------------------------------------------ tables


def _known(table: Mapping[str, Value], key: str, file: str) -> Value:
    if key not in table:
        raise SpecError(file, None, f"{key} is used, and has no entry")
    return table[key]


def _told(name: str, rows: Sequence[Sequence[str | int]]) -> str:
    """Return what a table holds, in the numbers that a directory can be compared by."""
    own = len({row[0] for row in rows})
    if name == "elements.csv":
        return f"{own} elements, {sum(bool(row[2]) for row in rows)} of them with codes"
    if name.startswith("messages/"):
        return f"{len(rows)} segments in {len({row[0] for row in rows} - {0})} groups"
    return f"{own} {name.removesuffix('.csv')}"


def _write(out: Path, tables: Mapping[str, Table]) -> None:
    try:
        for name, (heading, rows) in tables.items():
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows([heading, *rows])
    except OSError as error:
        raise SpecError(str(out), None, f"cannot be written: {cause_of(error)}") from error


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
