"""UN/EDIFACT directories as values: message structures, segments, composites and elements; see `edifact.loading`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from core.errors import SpecError
from core.tables import Origin


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


Values = frozenset[str] | None  # None: any


@dataclass(frozen=True, eq=False)
class Segment:
    """A segment of a directory.

    `flat` are the positions as syntax 3 writes them: a repeating element takes one position each time. `ignorable` are
    values that an envelope may have there though nothing reads them, by position, component and 0001 ("": any).
    """

    tag: str
    slots: tuple[Slot, ...]
    dependencies: tuple[Dependency, ...] = ()
    ignorable: Mapping[tuple[int, int, str], Values] = field(default_factory=dict, repr=False)
    flat: tuple[Slot, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        flat = (
            slot._replace(repeats=1, mandatory=slot.mandatory and not n)
            for slot in self.slots
            for n in range(slot.repeats)
        )
        object.__setattr__(self, "flat", tuple(flat))

    def ignores(self, element: int, component: int, syntax_id: str, value: str) -> bool:
        """Tell whether a value may stand there unread in an interchange with this 0001."""
        at = (element, component, syntax_id)
        allowed = self.ignorable.get(at, self.ignorable.get((element, component, ""), frozenset()))
        return allowed is None or value in allowed

    def positions(self, syntax: str) -> tuple[Slot, ...]:
        """Return the positions as a syntax version ("3" or "4") writes them."""
        return self.slots if syntax == "4" else self.flat


class Row(NamedTuple):
    """A segment of a message structure, in order: its group (0: none), the group above, status and repeats.

    The first row of a group is its trigger (always mandatory, once); its status and repeats are the group's.
    """

    group: int
    parent: int
    tag: str
    mandatory: bool
    max: int


class Mark(NamedTuple):
    """One use of a row that partners agreed on: its qualifiers, and what they call what stands in it.

    Positions are data elements (from 1, without the tag) and components (from 1).
    """

    qualifiers: tuple[tuple[int, int, str], ...]
    names: Mapping[tuple[int, int], str]


class WalkStep(NamedTuple):
    """A row as a walk takes it: the group it counts in, how often it may stand there, the group it opens (0: none)."""

    level: int
    max: int
    opens: int


class Total(NamedTuple):
    """A control total of CNT: the 6069 code, the tag that it counts, and in which group (0: wherever it stands)."""

    control: str
    tag: str
    group: int


class Occurrence(NamedTuple):
    """One occurrence of a segment group: its number (0: the message), its own segments by index, the groups inside."""

    number: int
    segments: list[int]
    children: list[Occurrence]


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
    def origin(self) -> Origin:
        """File and row, for messages about the data."""


@dataclass(frozen=True, eq=False)
class Structure:
    """A message's structure: its rows in order, and the segments that may stand in it.

    The rows must be sound (see `check_rows`). What is asked of them again and again is worked out when
    the structure is made; nothing but the memory of `ahead`, at most a row and a tag each, changes afterwards.
    """

    name: str
    rows: tuple[Row, ...]
    segments: Mapping[str, Segment]
    totals: tuple[Total, ...] = ()
    dates: Mapping[str, str] = field(default_factory=dict)  # 2379 -> how 2380 is written: CCYYMMDD ...
    marks: Mapping[int, tuple[Mark, ...]] = field(default_factory=dict)  # row -> what it is used for, if that is known
    triggers: Mapping[int, int] = field(init=False, repr=False)  # group -> the row of its trigger
    ends: Mapping[int, int] = field(init=False, repr=False)  # group -> the row after its last one
    steps: tuple[WalkStep, ...] = field(init=False, repr=False)  # what a walk needs to know of each row
    sections: tuple[int, ...] = field(init=False, repr=False)  # the rows of UNS
    required: Mapping[int, tuple[int, ...]] = field(init=False, repr=False)  # group -> mandatory rows counted in it
    inner: Mapping[str, tuple[int, ...]] = field(init=False, repr=False)  # tag -> its rows that count in a group
    _ahead: dict[tuple[int, str], tuple[int, ...]] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        triggers: dict[int, int] = {}
        for index, row in enumerate(self.rows):
            triggers.setdefault(row.group, index)
        ends = {0: len(self.rows)}
        for index, row in enumerate(self.rows):
            group = row.group
            while group:
                ends[group] = index + 1
                group = self.rows[triggers[group]].parent
        steps: list[WalkStep] = []
        required: dict[int, tuple[int, ...]] = {}
        inner: dict[str, tuple[int, ...]] = {}
        for index, row in enumerate(self.rows):
            opens = row.group if row.group and triggers[row.group] == index else 0
            level = row.parent if opens else row.group
            steps.append(WalkStep(level, row.max, opens))
            if row.mandatory and row.tag not in ("UNH", "UNT"):
                required[level] = (*required.get(level, ()), index)
            if level:
                inner[row.tag] = (*inner.get(row.tag, ()), index)
        sections = tuple(index for index, row in enumerate(self.rows) if row.tag == "UNS")
        marks = dict(self.marks)
        if len(sections) == 2:
            for index, section in zip(sections, "DS", strict=True):
                marks.setdefault(index, (Mark(((1, 1, section),), {}),))
        derived = {"marks": marks, "triggers": triggers, "ends": ends, "steps": tuple(steps), "sections": sections}
        for name, value in {**derived, "required": required, "inner": inner}.items():
            object.__setattr__(self, name, value)

    def profile(
        self, rows: Iterable[SubsetRow], marks: Mapping[tuple[int, str], tuple[Mark, ...]] | None = None
    ) -> Structure:
        """Return the subset of this structure that partners agreed on; raises SpecError if it is none.

        `marks` are the uses that they agreed on, by group and tag; of two UNS outside groups each keeps its own.
        """
        given, subset = tuple(rows), []
        parents = {row.group: row.parent for row in self.rows}
        allowed = {(row.group, row.tag): row for row in self.rows}
        for row in given:
            full = allowed.get((row.group, row.tag))
            if full is None:
                raise SpecError(*row.origin, f"{row.tag} is not in group {row.group} of {self.name}")
            if row.parent != parents[row.group]:
                raise SpecError(*row.origin, f"group {row.group} of {self.name} stands in group {parents[row.group]}")
            if row.max > full.max or (full.mandatory and row.status != "M"):
                raise SpecError(*row.origin, f"{row.tag} is wider than {self.name} allows")
            subset.append(Row(row.group, row.parent, row.tag, row.status == "M", row.max))
        origins = [row.origin for row in given]
        check_rows(subset, origins, self.name)
        self._check_order(subset, origins)
        of = {
            index: marks[row.group, row.tag]
            for index, row in enumerate(subset)
            if marks and row.tag != "UNS" and (row.group, row.tag) in marks
        }
        return Structure(self.name, tuple(subset), self.segments, self.totals, self.dates, of)

    def _check_order(self, subset: Sequence[Row], origins: Sequence[Origin]) -> None:
        """Raise SpecError where a subset's rows are not in this structure's order, or a group lacks its trigger."""
        at, opened = -1, set()
        for row, origin in zip(subset, origins, strict=True):
            behind = range(at + 1, len(self.rows))
            at = next((i for i in behind if self.rows[i].tag == row.tag and self.rows[i].group == row.group), -1)
            if at < 0:
                raise SpecError(*origin, f"{row.tag} stands earlier in {self.name}, or is given twice")
            if row.group not in opened and at != self.triggers[row.group]:
                trigger = self.rows[self.triggers[row.group]].tag
                raise SpecError(*origin, f"group {row.group} of {self.name} begins with {trigger}")
            opened.add(row.group)

    def is_trigger(self, index: int) -> bool:
        """Tell whether the row opens a group."""
        return self.steps[index].opens != 0

    def level(self, index: int) -> int:
        """Return the group in which the row counts its repeats: a trigger counts in the group above its own."""
        return self.steps[index].level

    def ahead(self, at: int, tag: str) -> tuple[int, ...]:
        """Return the rows where the tag may stand after row `at`, nearest first: it again, what follows, upwards."""
        found = self._ahead.get((at, tag))
        if found is None:
            if tag not in self.segments:
                return ()  # not remembered: such tags come from senders, without end
            found = self._ahead[at, tag] = tuple(self._scan(at, tag))
        return found

    def _scan(self, at: int, tag: str) -> Iterator[int]:
        return (index for index in self.following(at) if self.rows[index].tag == tag)

    def following(self, at: int) -> Iterator[int]:
        """Yield the rows where a segment may stand after row `at`, nearest first: it again, what follows, upwards."""
        rows = self.rows
        if not self.is_trigger(at):
            yield at
        group = rows[at].group
        index = at + 1
        while True:
            end = self.ends[group]
            while index < end:
                row = rows[index]
                yield index
                index = self.ends[row.group] if row.group != group else index + 1
            if not group:
                return
            yield self.triggers[group]
            group = rows[self.triggers[group]].parent

    def tree(self, tags: Sequence[str]) -> Occurrence:
        """Return a message's segments sorted into the occurrences of their groups.

        What has no place is put where the walk stands: this is for valid messages; the validator tells of others.
        """
        root = Occurrence(0, [0] if tags else [], [])
        stack = [root]  # the open occurrences, the outermost first
        counts: list[dict[int, int]] = [{}]
        steps, known = self.steps, self._ahead
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


def check_rows(rows: Sequence[Row], origins: Sequence[Origin], name: str) -> None:
    """Raise SpecError, with the file and row of `origins`, for rows by which no message can be walked.

    They begin with UNH and end with UNT; each group has its own above it, which is open where it begins, and is
    written in one go; every repeat is at least 1. `name` is what has no rows at all.
    """
    _check_ends(rows, origins, name)
    _check_parents(rows, origins)
    opened, done = [0], {0}
    for row, origin in zip(rows, origins, strict=True):
        if row.max < 1:
            raise SpecError(*origin, f"{row.tag} repeats {row.max} times: at least 1 is needed")
        if row.group not in done and row.parent not in opened:
            raise SpecError(*origin, f"group {row.group} begins where group {row.parent} around it is not open")
        if row.group in done and row.group not in opened:
            raise SpecError(*origin, f"the rows of group {row.group} do not stand together")
        above = row.group if row.group in done else row.parent
        del opened[opened.index(above) + 1 :]
        if row.group not in done:
            opened.append(row.group)
            done.add(row.group)


def _check_ends(rows: Sequence[Row], origins: Sequence[Origin], name: str) -> None:
    """Raise SpecError unless UNH is the first row, UNT the last one, and neither stands anywhere else."""
    if not rows:
        raise SpecError(name, None, "the message has no segments")
    for at, tag, where in ((0, "UNH", "begin"), (-1, "UNT", "end")):
        if rows[at] != Row(0, 0, tag, True, 1):
            raise SpecError(*origins[at], f"a message {where}s with {tag}, mandatory, once, in no group")
    for row, origin in zip(rows[1:-1], origins[1:-1], strict=True):
        if row.tag in ("UNH", "UNT"):
            raise SpecError(*origin, f"{row.tag} stands again")


def _check_parents(rows: Sequence[Row], origins: Sequence[Origin]) -> None:
    """Raise SpecError for a group that is in two others, in one that does not exist, or at last in itself."""
    parents: dict[int, int] = {0: 0}
    for row, origin in zip(rows, origins, strict=True):
        if parents.setdefault(row.group, row.parent) != row.parent:
            raise SpecError(*origin, f"group {row.group} stands in group {parents[row.group]}, not {row.parent}")
    for row, origin in zip(rows, origins, strict=True):
        way = [row.group]
        while above := parents[way[-1]]:
            if above not in parents:
                raise SpecError(*origin, f"group {above}, around group {way[-1]}, does not exist")
            if above == way[-1]:
                raise SpecError(*origin, f"group {above} is its own parent")
            if above in way:
                raise SpecError(*origin, f"the groups {', '.join(map(str, way))} stand in a circle")
            way.append(above)


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
