"""Loads UN/EDIFACT directories from a folder of tables, whole and checked; its README is `SOURCES.md` beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from core.errors import SpecError
from core.tables import AtLeast0, AtLeast1, Origin, name_of, read_typed
from edifact.directory import (
    Dependency,
    Directories,
    Item,
    Part,
    Row,
    Segment,
    Slot,
    Structure,
    Total,
    Values,
    check_rows,
)

FORMAT = re.compile(r"(an|a|n)(\.\.)?([1-9]\d{0,4})")
MESSAGE = re.compile("[A-Z]{6}")
TAG = re.compile("[A-Z]{3}")
# A picture's parts: century, year, month, day, day of the year, week, time and zone; the same twice is a period.
PICTURE = re.compile("CC(?=YY)|YY|MM|DD|JJJ|WW|hh|mm|ss|ZZZ")
REPEATS = 9_999_999  # more is no number that a directory has, and in the end none that a pattern can count
ENVELOPE = ("UNB", "UNG", "UNE", "UNZ")  # the service segments that stand in no message
SERVICE = {"3": "service3", "4": "service4"}  # syntax version -> folder

Status = Literal["M", "C"]


@dataclass(frozen=True, slots=True)
class _ElementRow:
    element: str
    format: str
    codes: str = ""


@dataclass(frozen=True, slots=True)
class _CompositeRow:
    composite: str
    position: AtLeast1
    element: str
    status: Status


@dataclass(frozen=True, slots=True)
class _SegmentRow:
    tag: str
    position: AtLeast1
    element: str
    status: Status
    max: AtLeast1


@dataclass(frozen=True, slots=True)
class _MessageRow:
    group: AtLeast0
    tag: str
    status: Status
    max: AtLeast0
    parent: AtLeast0 = 0


@dataclass(frozen=True, slots=True)
class _DependencyRow:
    directory: str
    tag: str
    rule: Literal["D1", "D2", "D3", "D4", "D5", "D6", "D7"]
    positions: str


@dataclass(frozen=True, slots=True)
class _TotalRow:
    message: str
    control: str
    count: str
    element: str = ""
    component: str = ""


@dataclass(frozen=True, slots=True)
class _DateRow:
    code: str
    picture: str


@dataclass(frozen=True, slots=True)
class _IgnorableRow:
    tag: str
    position: AtLeast1
    component: AtLeast1
    values: str
    source_en: str
    source_fr: str
    syntax_id: str = ""


@dataclass(frozen=True, slots=True)
class _ErrorRow:
    code: str
    name_en: str


Notes = Mapping[str, Sequence[tuple[Origin, _DependencyRow]]]  # by directory
Totals = Mapping[str, Sequence[tuple[Origin, Total]]]  # by message
UnreadValues = dict[str, dict[tuple[int, int, str], Values]]  # by tag


def load(root: Path) -> Directories:
    """Load every directory below `root`; raises SpecError, with file and row, for a table that cannot be used.

    `root` holds `service3` and `service4` (service segments, CONTRL), a folder for each directory (`d13a` is D.13A),
    and the tables `date_formats`, `totals`, `dependencies` and `ignorable`.
    """
    dates, notes, totals = _dates(root), _notes(root), _totals(root)
    folders = {file.parent.name for file in root.glob("*/*.csv")} | {
        file.parent.name for file in root.glob("*/messages")
    }
    folders |= set(SERVICE.values())
    for name in sorted(set(notes) - folders):
        raise SpecError(*notes[name][0][0], f"there is no directory {name}")
    segments = {name: _segments(root, root / name, notes.get(name, ())) for name in sorted(folders)}
    for tag, ignorable in _ignorable(root, segments["service4"]).items():
        for folder in SERVICE.values():
            if tag in segments[folder]:
                segments[folder][tag] = replace(segments[folder][tag], ignorable=ignorable)
    service = {version: segments[folder] for version, folder in SERVICE.items()}
    messages: dict[tuple[str, ...], Structure] = {}
    for folder in sorted(folders):
        for file in sorted((root / folder / "messages").glob("*.csv")):
            if not MESSAGE.fullmatch(file.stem):
                raise SpecError(name_of(file, root.parent), None, "a message's name is six capital letters")
            rows, origins = _rows(root, file)
            for key in _keys(folder, file.stem):
                if key in messages:
                    raise SpecError(name_of(file, root.parent), None, f"the message {' '.join(key[:3])} is given twice")
                known = {**segments[folder], **service[key[-1]]}
                counted = tuple(total for _, total in totals.get(file.stem, ()))
                messages[key] = _structure(file.stem, rows, origins, known, counted, dates)
    _check_service(root, service, messages)
    _check_totals(totals, messages)
    return Directories(messages, service, {version: _errors(root, folder) for version, folder in SERVICE.items()})


def _keys(folder: str, message: str) -> Iterator[tuple[str, ...]]:
    """Yield what a message of a folder is found by in each syntax version, which is the last part."""
    for version, own in SERVICE.items():
        if folder == own:
            yield message, version
        elif folder not in SERVICE.values():
            yield message, folder[0].upper(), folder[1:].upper(), "UN", version


def _structure(
    name: str,
    rows: Sequence[Row],
    origins: Sequence[Origin],
    segments: Mapping[str, Segment],
    totals: tuple[Total, ...],
    dates: Mapping[str, str],
) -> Structure:
    for row, origin in zip(rows, origins, strict=True):
        if row.tag not in segments:
            raise SpecError(*origin, f"segment {row.tag} is not in the directory")
    return Structure(
        name, tuple(rows), {tag: segments[tag] for tag in sorted({row.tag for row in rows})}, totals, dates
    )


def _rows(root: Path, file: Path) -> tuple[list[Row], list[Origin]]:
    """Return the rows of a message's table, and where they stand."""
    rows, origins = [], []
    for origin, row in read_typed(file, _MessageRow, root=root.parent):
        if row.max > REPEATS:
            raise SpecError(*origin, f"{row.tag} repeats {row.max} times: at most {REPEATS} can be counted")
        rows.append(Row(row.group, row.parent, row.tag, row.status == "M", row.max))
        origins.append(origin)
    check_rows(rows, origins, name_of(file, root.parent))
    return rows, origins


# ------------------------------------------------------------------------------------------------ segments


def _segments(root: Path, folder: Path, notes: Sequence[tuple[Origin, _DependencyRow]]) -> dict[str, Segment]:
    """Return the segments of a directory."""
    items = _items(root, folder)
    composites = _composites(root, folder, items)
    slots: dict[str, list[Slot]] = {}
    last: dict[str, int] = {}
    for origin, row in read_typed(folder / "segments.csv", _SegmentRow, root=root.parent):
        _check_position(row.tag, row.position, last, origin)
        mandatory = row.status == "M"
        if not TAG.fullmatch(row.tag):
            raise SpecError(*origin, f"a tag is three capital letters, not {row.tag!r}")
        if row.element in composites:
            slot = Slot(row.element, mandatory, row.max, tuple(composites[row.element]), True)
        elif row.element in items:
            slot = Slot(row.element, mandatory, row.max, (Part(items[row.element], mandatory),), False)
        else:
            raise SpecError(*origin, f"element {row.element} is in no table")
        slots.setdefault(row.tag, []).append(slot)
    rules: dict[str, list[Dependency]] = {}
    for origin, note in notes:
        rules.setdefault(note.tag, []).append(_dependency(note, slots.get(note.tag, ()), origin))
    return {tag: Segment(tag, tuple(found), tuple(rules.get(tag, ()))) for tag, found in slots.items()}


def _items(root: Path, folder: Path) -> dict[str, Item]:
    """Return the simple data elements of a directory."""
    items: dict[str, Item] = {}
    for origin, row in read_typed(folder / "elements.csv", _ElementRow, root=root.parent):
        parsed = FORMAT.fullmatch(row.format)
        if not parsed:
            raise SpecError(*origin, f"format {row.format!r} is not one of an..35, n6, a1")
        if row.element in items:
            raise SpecError(*origin, f"the element {row.element} is given twice")
        kind, up_to, length = parsed.groups()
        codes = frozenset(row.codes.split()) or None
        items[row.element] = Item(row.element, kind, 1 if up_to else int(length), int(length), codes)
    return items


def _composites(root: Path, folder: Path, items: Mapping[str, Item]) -> dict[str, list[Part]]:
    """Return the composites of a directory."""
    composites: dict[str, list[Part]] = {}
    last: dict[str, int] = {}
    for origin, row in read_typed(folder / "composites.csv", _CompositeRow, root=root.parent):
        _check_position(row.composite, row.position, last, origin)
        if row.element not in items:
            raise SpecError(*origin, f"element {row.element} is not in elements.csv")
        if row.composite in items:
            raise SpecError(*origin, f"{row.composite} is an element of elements.csv already")
        composites.setdefault(row.composite, []).append(Part(items[row.element], row.status == "M"))
    return composites


def _check_position(owner: str, position: int, last: dict[str, int], origin: Origin) -> None:
    """Raise SpecError for a position that a segment or composite has already, or that comes too late."""
    if position <= last.get(owner, 0):
        how = "is given twice" if position == last[owner] else "stands behind a later one"
        raise SpecError(*origin, f"position {position} of {owner} {how}")
    last[owner] = position


def _dependency(note: _DependencyRow, slots: Sequence[Slot], origin: Origin) -> Dependency:
    """Return a dependency note; its positions are those of its segment."""
    if not slots:
        raise SpecError(*origin, f"segment {note.tag} is not in the directory")
    positions = note.positions.split()
    if len(positions) < 2 or len(set(positions)) < len(positions):
        raise SpecError(*origin, f"a dependency binds two positions or more, not {note.positions!r}")
    for position in positions:
        if not position.isdecimal() or not 1 <= int(position) <= len(slots):
            raise SpecError(*origin, f"{note.tag} has no position {position}")
    return Dependency(note.rule, tuple(map(int, positions)))


# ------------------------------------------------------------------------------------------------ the other tables


def _notes(root: Path) -> Notes:
    """Return the dependency notes by directory."""
    notes: dict[str, list[tuple[Origin, _DependencyRow]]] = {}
    for origin, row in read_typed(root / "dependencies.csv", _DependencyRow, root=root.parent):
        same = notes.setdefault(row.directory, [])
        if any(row == other for _, other in same):
            raise SpecError(*origin, f"the dependency {row.rule} of {row.tag} is given twice")
        same.append((origin, row))
    return notes


def _dates(root: Path) -> dict[str, str]:
    """Return the picture of each date format, by 2379."""
    dates: dict[str, str] = {}
    for origin, row in read_typed(root / "date_formats.csv", _DateRow, root=root.parent):
        if row.code in dates:
            raise SpecError(*origin, f"the date format {row.code} is given twice")
        halves = row.picture.split("-")
        parts = PICTURE.findall(halves[0])
        if (
            not parts
            or "".join(parts) != halves[0]
            or len(set(parts)) < len(parts)
            or halves[1:] not in ([], halves[:1])
        ):
            raise SpecError(*origin, f"the picture {row.picture!r} is unknown")
        dates[row.code] = row.picture
    return dates


def _totals(root: Path) -> Totals:
    """Return the control totals by message."""
    totals: dict[str, list[tuple[Origin, Total]]] = {}
    for origin, row in read_typed(root / "totals.csv", _TotalRow, root=root.parent):
        tag, slash, group = row.count.partition("/")
        if not TAG.fullmatch(tag) or group.isdecimal() is not bool(slash):
            raise SpecError(*origin, f"what is counted is a tag, or a tag and its group (LIN/30), not {row.count!r}")
        if row.element or row.component:
            raise SpecError(*origin, "only segments are counted: element and component stay empty")
        same = totals.setdefault(row.message, [])
        if any(row.control == other.control for _, other in same):
            raise SpecError(*origin, f"the control total {row.control} of {row.message} is given twice")
        same.append((origin, Total(row.control, tag, int(group or 0))))
    return totals


def _check_totals(totals: Totals, messages: Mapping[tuple[str, ...], Structure]) -> None:
    """Raise SpecError for a total of a message that does not exist, or of what does not stand in it."""
    for name, counted in totals.items():
        tables = [structure for key, structure in messages.items() if key[0] == name]
        for origin, total in counted:
            if not tables:
                raise SpecError(*origin, f"there is no message {name}")
            for table in tables:
                if not any(row.tag == total.tag and total.group in (0, row.group) for row in table.rows):
                    where = f"group {total.group} of {name}" if total.group else name
                    raise SpecError(*origin, f"{total.tag} is not in {where}")


def _ignorable(root: Path, segments: Mapping[str, Segment]) -> UnreadValues:
    """Return what may stand in envelopes though nothing reads it; the table's positions are those of syntax 4."""
    found: UnreadValues = {}
    for origin, row in read_typed(root / "ignorable.csv", _IgnorableRow, root=root.parent):
        slots = segments[row.tag].slots if row.tag in segments else ()
        if row.position > len(slots) or row.component > len(slots[row.position - 1].parts):
            raise SpecError(*origin, f"{row.tag} has no position {row.position}.{row.component}")
        at, same = (row.position, row.component, row.syntax_id), found.setdefault(row.tag, {})
        if at in same:
            raise SpecError(*origin, f"position {row.position}.{row.component} of {row.tag} is given twice")
        same[at] = None if row.values == "*" else frozenset(row.values.split())
    return found


def _errors(root: Path, folder: str) -> dict[str, str]:
    """Return the names of the 0085 codes of a syntax version."""
    errors: dict[str, str] = {}
    for origin, row in read_typed(root / folder / "syntax_errors.csv", _ErrorRow, root=root.parent):
        if row.code in errors:
            raise SpecError(*origin, f"the code {row.code} is given twice")
        errors[row.code] = row.name_en
    return errors


def _check_service(
    root: Path, service: Mapping[str, Mapping[str, Segment]], messages: Mapping[tuple[str, ...], Structure]
) -> None:
    """Raise SpecError if a service segment of the envelopes, or CONTRL, is missing."""
    for version, folder in SERVICE.items():
        for tag in ENVELOPE:
            if tag not in service[version]:
                raise SpecError(name_of(root / folder / "segments.csv", root.parent), None, f"{tag} is missing")
        if ("CONTRL", version) not in messages:
            raise SpecError(name_of(root / folder / "messages", root.parent), None, "CONTRL is missing")
