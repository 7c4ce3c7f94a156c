"""UN/EDIFACT directories as data: message structures, segments, composites and elements from `eccrd_specs/edifact/`."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

from core.errors import SpecError, cause_of

FORMAT = re.compile(r"(an|a|n)(\.\.)?(\d+)")


class SubsetRow(Protocol):
    """One segment of a subset that is agreed on: its group (0: none), tag, status (M or C) and repeats."""

    @property
    def group(self) -> int:
        """The group's number."""

    @property
    def parent(self) -> int:
        """The number of the group around it."""

    @property
    def tag(self) -> str:
        """The segment's tag."""

    @property
    def status(self) -> str:
        """M (mandatory) or C (conditional)."""

    @property
    def max(self) -> int:
        """How often it may stand there."""

    @property
    def origin(self) -> tuple[str, int]:
        """File and row, for messages about the data."""


class Item(NamedTuple):
    """A simple data element: kind a, n or an; lengths in characters (n: digits); its codes, None if it has no list."""

    id: str
    kind: str
    min: int
    max: int
    codes: frozenset[str] | None


class Part(NamedTuple):
    """A component of a composite."""

    item: Item
    mandatory: bool


class Slot(NamedTuple):
    """A position of a segment: a composite with its parts, or a simple element (then one part, `composite` false)."""

    id: str
    mandatory: bool
    repeats: int
    parts: tuple[Part, ...]
    composite: bool


class Dependency(NamedTuple):
    """A dependency note: the rule (D1 to D7) and the positions that it binds, counted from 1."""

    rule: str
    positions: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Segment:
    """A segment of a directory."""

    tag: str
    slots: tuple[Slot, ...]
    dependencies: tuple[Dependency, ...] = ()

    @cached_property
    def flat(self) -> tuple[Slot, ...]:
        """The positions as syntax 3 writes them: a repeating element takes one position each time."""
        return tuple(
            slot._replace(repeats=1, mandatory=slot.mandatory and not n)
            for slot in self.slots
            for n in range(slot.repeats)
        )


class Row(NamedTuple):
    """A segment of a message structure, in order: its group (0: none), the group above, status and repeats.

    The first row of a group is its trigger (always mandatory, once); its status and repeats are the group's.
    """

    group: int
    parent: int
    tag: str
    mandatory: bool
    max: int


class Step(NamedTuple):
    """A row as a walk takes it: the group it counts in, how often it may stand there, the group it opens (0: none)."""

    level: int
    max: int
    opens: int


class Total(NamedTuple):
    """A control total of CNT: the 6069 code, and what it counts (a tag) or adds up (an element of that tag).

    `group` limits the count to the trigger or segments of one group, 0 to none.
    """

    control: str
    tag: str
    group: int
    element: int
    component: int


class Occurrence(NamedTuple):
    """One occurrence of a segment group: its number (0: the message), its own segments by index, the groups inside."""

    number: int
    segments: list[int]
    children: list[Occurrence]


@dataclass(frozen=True, eq=False)
class Structure:
    """A message's structure: its rows in order, and the segments that may stand in it."""

    name: str
    rows: tuple[Row, ...]
    segments: Mapping[str, Segment]
    totals: tuple[Total, ...] = ()
    dates: Mapping[str, str] = field(default_factory=dict)  # 2379 -> how 2380 is written: CCYYMMDD ...
    _next: dict[tuple[int, str], tuple[int, ...]] = field(default_factory=dict, repr=False)

    def profile(self, rows: Iterable[SubsetRow], places: Iterable[str] = ()) -> Structure:
        """Return the subset of this structure that a pack's profile names; raises SpecError if it is none.

        `places` are the pack's element places (`132[TAX/1=7,2.1=CUD]/ALI/2`): what the pack's dictionary reads is
        checked against the dictionary's own lists, not the UN's, and its constants are added to the UN's codes.
        """
        parents = {row.group: row.parent for row in self.rows}
        allowed = {(row.group, row.tag): row for row in self.rows}
        subset = []
        for row in rows:
            full = allowed.get((row.group, row.tag))
            if full is None:
                raise SpecError(*row.origin, f"{row.tag} is not in group {row.group} of {self.name}")
            if row.parent != parents[row.group]:
                raise SpecError(*row.origin, f"group {row.group} of {self.name} stands in group {parents[row.group]}")
            if row.max > full.max or (full.mandatory and row.status != "M"):
                raise SpecError(*row.origin, f"{row.tag} is wider than {self.name} allows")
            subset.append(Row(row.group, parents[row.group], row.tag, row.status == "M", row.max))
        return Structure(self.name, tuple(subset), _governed(self.segments, places), self.totals, self.dates)

    @cached_property
    def triggers(self) -> Mapping[int, int]:
        """The row of each group's trigger."""
        found: dict[int, int] = {}
        for index, row in enumerate(self.rows):
            found.setdefault(row.group, index)
        return found

    @cached_property
    def ends(self) -> Mapping[int, int]:
        """The row after the last one of each group."""
        last: dict[int, int] = {0: len(self.rows)}
        for index, row in enumerate(self.rows):
            group = row.group
            while group:
                last[group] = index + 1
                group = self.rows[self.triggers[group]].parent
        return last

    @cached_property
    def sections(self) -> tuple[int, ...]:
        """The rows of UNS."""
        return tuple(index for index, row in enumerate(self.rows) if row.tag == "UNS")

    def is_trigger(self, index: int) -> bool:
        """Tell whether the row opens a group."""
        row = self.rows[index]
        return row.group != 0 and self.triggers[row.group] == index

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """What a walk needs to know of each row."""
        return tuple(
            Step(self.level(index), row.max, row.group if self.is_trigger(index) else 0)
            for index, row in enumerate(self.rows)
        )

    def level(self, index: int) -> int:
        """Return the group in which the row counts its repeats: a trigger counts in the group above its own."""
        return self.rows[index].parent if self.is_trigger(index) else self.rows[index].group

    def ahead(self, at: int, tag: str) -> tuple[int, ...]:
        """Return the rows where the tag may stand after row `at`, nearest first: it again, what follows, upwards."""
        found = self._next.get((at, tag))
        if found is None:
            if len(self._next) > 100_000:  # tags come from senders
                self._next.clear()
            found = self._next[at, tag] = tuple(self._scan(at, tag)) if tag in self.segments else ()
        return found

    def _scan(self, at: int, tag: str) -> Iterator[int]:
        rows = self.rows
        if rows[at].tag == tag and not self.is_trigger(at):
            yield at
        group = rows[at].group
        index = at + 1
        while True:
            end = self.ends[group]
            while index < end:
                row = rows[index]
                if row.tag == tag:
                    yield index
                index = self.ends[row.group] if row.group != group else index + 1
            if not group:
                return
            if rows[self.triggers[group]].tag == tag:
                yield self.triggers[group]
            group = rows[self.triggers[group]].parent

    def tree(self, tags: Sequence[str]) -> Occurrence:
        """Return a message's segments sorted into the occurrences of their groups.

        What has no place is put where the walk stands: this is for valid messages; the validator tells of others.
        """
        root = Occurrence(0, [0] if tags else [], [])
        stack = [root]  # the open occurrences, the outermost first
        counts: list[dict[int, int]] = [{}]
        steps, known = self.steps, self._next
        at = 0
        for index in range(1, len(tags)):
            tag = tags[index]
            rows = known.get((at, tag))
            for row in self.ahead(at, tag) if rows is None else rows:
                level, most, opens = steps[row]
                depth = len(stack) - 1
                while stack[depth].number != level:
                    depth -= 1
                count = counts[depth].get(row, 0)
                if count >= most:
                    continue
                counts[depth][row] = count + 1
                del stack[depth + 1 :], counts[depth + 1 :]
                here = stack[depth]
                if opens:
                    occurrence = Occurrence(opens, [index], [])
                    here.children.append(occurrence)
                    stack.append(occurrence)
                    counts.append({})
                else:
                    here.segments.append(index)
                at = row
                break
            else:
                stack[-1].segments.append(index)
        return root


def _governed(segments: Mapping[str, Segment], places: Iterable[str]) -> Mapping[str, Segment]:
    """Return the segments with the code lists opened at the places that a pack's dictionary reads or sets."""
    read: set[tuple[str, int, int]] = set()
    constants: dict[tuple[str, int, int], set[str]] = {}
    for place in places:
        tag = ""
        for step in re.split(r"/(?![^\[]*\])", place):
            head, _, bracket = step.rstrip("]").partition("[")
            if POSITION.fullmatch(head) and tag:
                read.add(_position(tag, head))
                continue
            tag = "" if head.isdecimal() else head
            if head.isdecimal() and "/" in bracket:
                tag, _, bracket = bracket.partition("/")
            for condition in bracket.split(",") if bracket else ():
                position, _, constant = condition.partition("=")
                constants.setdefault(_position(tag, position), set()).add(constant)
            tag = "" if head.isdecimal() else head
    opened = dict(segments)
    for tag in {tag for tag, _, _ in read | set(constants)} & set(segments):
        slots = []
        flat = 1
        for slot in segments[tag].slots:
            parts = []
            for component, part in enumerate(slot.parts, 1):
                codes = part.item.codes
                for position in range(flat, flat + slot.repeats):
                    if codes is not None and (tag, position, component) in read:
                        codes = None
                    elif codes is not None:
                        codes |= constants.get((tag, position, component), set())
                parts.append(part._replace(item=part.item._replace(codes=codes)))
            slots.append(slot._replace(parts=tuple(parts)))
            flat += slot.repeats
        opened[tag] = Segment(tag, tuple(slots), segments[tag].dependencies)
    return opened


POSITION = re.compile(r"(\d+)(?:\.(\d+))?")


def _position(tag: str, position: str) -> tuple[str, int, int]:
    element, _, component = position.partition(".")
    return tag, int(element), int(component or 1)


@dataclass(frozen=True, eq=False)
class Directories:
    """Every directory that was loaded: message structures by name, and the service segments of syntax 3 and 4."""

    messages: Mapping[tuple[str, ...], Structure]
    service: Mapping[str, Mapping[str, Segment]]
    syntax_errors: Mapping[str, Mapping[str, str]]  # syntax version -> 0085 code -> name

    def structure(self, identifier: Sequence[str], syntax_version: str = "3") -> Structure | None:
        """Return the structure that S009's components name (type, version, release, agency ...), None if unknown."""
        if identifier and identifier[0] == "CONTRL":
            return self.messages["CONTRL", "4" if syntax_version == "4" else "3"]
        return self.messages.get((*tuple(identifier)[:4], "4" if syntax_version == "4" else "3"))

    def service_segments(self, syntax_version: str) -> Mapping[str, Segment]:
        """Return the service segments of the syntax version."""
        return self.service["4" if syntax_version == "4" else "3"]


def load(root: Path) -> Directories:
    """Load every directory below `root`; raises SpecError on a table that does not fit."""
    service = {version: _segments(root / f"service{version}", ()) for version in ("3", "4")}
    errors = {
        version: {row["code"]: row["name_en"] for _, row in _table(root / f"service{version}" / "syntax_errors.csv")}
        for version in ("3", "4")
    }
    dates = {row["code"]: row["picture"] for _, row in _table(root / "date_formats.csv")}
    totals: dict[str, list[Total]] = {}
    for _, row in _table(root / "totals.csv"):
        tag, _, group = row["count"].partition("/")
        totals.setdefault(row["message"], []).append(
            Total(row["control"], tag, int(group or 0), int(row["element"] or 0), int(row["component"] or 0))
        )
    messages: dict[tuple[str, ...], Structure] = {}
    for folder in sorted(path.parent for path in root.glob("*/segments.csv")):
        notes = [row for _, row in _table(root / "dependencies.csv") if row["directory"] == folder.name]
        segments = _segments(folder, notes)
        for file in sorted((folder / "messages").glob("*.csv")):
            rows = tuple(_rows(file))
            name = file.stem
            for version, own in service.items():
                if folder.name.startswith("service"):
                    if folder.name == f"service{version}":
                        messages[name, version] = _structure(file, name, rows, own, (), dates)
                else:
                    key = (name, folder.name[0].upper(), folder.name[1:].upper(), "UN", version)
                    messages[key] = _structure(file, name, rows, {**segments, **own}, totals.get(name, ()), dates)
    return Directories(messages, service, errors)


def _structure(
    file: Path,
    name: str,
    rows: tuple[Row, ...],
    segments: Mapping[str, Segment],
    totals: Iterable[Total],
    dates: Mapping[str, str],
) -> Structure:
    used = {row.tag for row in rows}
    for number, row in enumerate(rows, 2):
        if row.tag not in segments:
            raise SpecError(str(file), number, f"segment {row.tag} is not in the directory")
    return Structure(name, rows, {tag: segments[tag] for tag in sorted(used)}, tuple(totals), dates)


def _rows(file: Path) -> Iterator[Row]:
    for number, row in _table(file):
        if row["status"] not in ("M", "C") or not row["max"].isdigit():
            raise SpecError(str(file), number, "status is M or C, max a number")
        yield Row(int(row["group"]), int(row["parent"] or 0), row["tag"], row["status"] == "M", int(row["max"]))


def _segments(folder: Path, notes: Iterable[Mapping[str, str]]) -> dict[str, Segment]:
    items: dict[str, Item] = {}
    for number, row in _table(folder / "elements.csv"):
        parsed = FORMAT.fullmatch(row["format"])
        if not parsed:
            raise SpecError(
                str(folder / "elements.csv"), number, f"format {row['format']!r} is not one of an..35, n6, a1"
            )
        kind, up_to, length = parsed.groups()
        codes = frozenset(row["codes"].split()) or None
        items[row["element"]] = Item(row["element"], kind, 1 if up_to else int(length), int(length), codes)
    composites: dict[str, list[Part]] = {}
    for number, row in _table(folder / "composites.csv"):
        if row["element"] not in items:
            raise SpecError(str(folder / "composites.csv"), number, f"element {row['element']} is not in elements.csv")
        composites.setdefault(row["composite"], []).append(Part(items[row["element"]], row["status"] == "M"))
    slots: dict[str, list[Slot]] = {}
    for number, row in _table(folder / "segments.csv"):
        name, mandatory = row["element"], row["status"] == "M"
        if name in composites:
            slot = Slot(name, mandatory, int(row["max"]), tuple(composites[name]), True)
        elif name in items:
            slot = Slot(name, mandatory, int(row["max"]), (Part(items[name], mandatory),), False)
        else:
            raise SpecError(str(folder / "segments.csv"), number, f"element {name} is in no table")
        slots.setdefault(row["tag"], []).append(slot)
    rules: dict[str, list[Dependency]] = {}
    for note in notes:
        rules.setdefault(note["tag"], []).append(
            Dependency(note["rule"], tuple(int(n) for n in note["positions"].split()))
        )
    return {tag: Segment(tag, tuple(found), tuple(rules.get(tag, ()))) for tag, found in slots.items()}


def _table(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with file.open(encoding="utf-8", newline="") as handle:
            yield from enumerate(csv.DictReader(handle), 2)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SpecError(str(file), None, f"cannot be read: {cause_of(error)}") from error
