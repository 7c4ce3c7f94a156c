"""EDIFACT to a `Declaration`, by the pack's dictionary; what it does not know is told, not dropped."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter

from core.declaration import Declaration
from core.findings import Address, Fault, Place
from core.specs import Pack
from edifact.directory import Occurrence, Structure
from edifact.text import MessageText
from parsers.edifact_plan import Binding, edifact_plan, function_code_place, marks_of, way_to
from parsers.edifact_walk import EdifactWalk, SegmentText, UnreadComponent, Where, key_of
from parsers.former import settling
from parsers.places import Condition, Position, edifact_place, group_parents, group_triggers
from parsers.shapes import SHAPES, Known, Note, Shapes, echo_of, of_notes, steps, taking

# All that is not a separator in canonical form, and the separator that ends a segment.
DATA, TERMINATOR = bytes(set(range(256)) - set(b"+:'")), ord("'")

# Separators of a run up to which is remembered where its tags stand: ten times those of any usual run.
SEPARATORS = 4_096


# ------------------------------------------------------------------------------------------------ reading


class Tags(dict[bytes, Callable[[Sequence[str]], object]]):
    """What takes the tags out of a run's components, by its separators; bounded, since these come from senders."""

    __slots__ = ()

    def __missing__(self, separators: bytes) -> Callable[[Sequence[str]], object]:
        found = [index + 1 for index, sign in enumerate(separators) if sign == TERMINATOR]  # tags follow terminators
        take: Callable[[Sequence[str]], object] = itemgetter(*found) if found else lambda _: ()
        if len(separators) <= SEPARATORS:
            if len(self) >= SHAPES:
                self.clear()
            self[separators] = take
        return take


class EdifactReading:
    """What a pack's dictionary is compiled to for reading EDIFACT; `shapes` grow with the lines that are met, bounded.

    `tables` are the UN structures of its message and `profiles` its subset of them, by syntax version (3 or 4); there
    is a plan, with its shapes, for each of the decimal marks that an interchange can have.
    """

    __slots__ = (
        "_plans",
        "function_code",
        "line_tags",
        "pack",
        "parents",
        "profiles",
        "settle",
        "shapes",
        "tables",
        "tags",
    )

    def __init__(self, pack: Pack, tables: Mapping[str, Structure]) -> None:
        self.pack, self.tables = pack, tables
        self.function_code = function_code_place(pack)
        self.parents = group_parents(pack)
        self.line_tags = {version: _line_tag(table, pack) for version, table in tables.items()}
        self._plans: dict[str, Binding] = {}
        marks = marks_of(self.plan("."), group_triggers(pack))
        self.profiles = {version: table.profile(pack.profile, marks) for version, table in tables.items()}
        self.shapes: dict[str, Shapes] = {}
        self.tags = Tags()
        self.settle = settling(pack)

    def plan(self, marks: str) -> Binding:
        """Return the plan for an interchange's decimal marks."""
        found = self._plans.get(marks)
        if found is None:
            segments = next(iter(self.tables.values())).segments
            found = self._plans[marks] = edifact_plan(self.pack, segments, marks)
        return found

    def known(self, marks: str) -> Shapes:
        """Return the shapes met so far in interchanges with these decimal marks."""
        found = self.shapes.get(marks)
        if found is None:
            found = self.shapes[marks] = Shapes()
        return found


def read_edifact(
    message: MessageText, version: str, reading: EdifactReading, *, ordered: bool
) -> tuple[Declaration, list[UnreadComponent]]:
    """Return the declaration that a message holds, and all content of it that no declaration has.

    `version` is that of the syntax. `ordered` tells that its segments stand in order: then to know its shape is enough.
    """
    marks = message.service.decimal
    shapes, runs = reading.known(marks), _runs(message, reading.line_tags[version]) if ordered else []
    cut = [_shape(run, number > 0, reading.tags) for number, run in enumerate(runs)]
    if known := shapes.read(cut):
        return known, []
    walk = EdifactWalk(message.meant).through(reading.tables[version].tree(message.tags), reading.plan(marks), 0)
    if runs and walk.plainly and not walk.unread:
        _learn(shapes, runs, cut, walk)
    return of_notes(walk.notes, walk.texts), walk.unread


def _runs(message: MessageText, line_tag: str | None) -> list[str]:
    """Return a message's canonical text cut where each line's first segment has its first data element.

    With repeated elements it is not read by shape: the list is empty.
    """
    if message.repeats:
        return []
    return message.plain.split(f"'{line_tag}+") if line_tag else [message.plain]


def _line_tag(structure: Structure, pack: Pack) -> str | None:
    """Return the tag that begins a line; None if the message has other places for it, too."""
    tag = group_triggers(pack)[pack.edifact_levels["commodity"]]
    return tag if sum(row.tag == tag for row in structure.rows) == 1 else None


def _shape(run: str, of_line: bool, tags: Tags) -> tuple[Hashable, list[str]]:
    """Return a run's shape, which is its separators and its tags, and its components."""
    separators = run.encode("utf-8", "surrogatepass").translate(None, DATA)
    components = run.replace("+", ":").replace("'", ":").split(":")
    return (of_line, separators, tags[separators](components)), components


def _learn(shapes: Shapes, runs: Sequence[str], cut: Sequence[tuple[Hashable, list[str]]], walk: EdifactWalk) -> None:
    """Remember what a walk has found as the steps of each run; what it has not looked at must be empty."""
    places = _places(runs)

    def at(where: Where) -> int:
        return places[where.segment][1][where.element] + where.component - 1

    def by_run(wheres: Iterable[Where]) -> list[list[int]]:
        found: list[list[int]] = [[] for _ in runs]
        for where in wheres:
            found[places[where.segment][0]].append(at(where))
        return found

    notes: list[list[Note[int]]] = [[] for _ in runs]
    for note in walk.notes:
        notes[places[note.where.segment][0]].append(note.at(at(note.where)))
    tags = by_run(Where(index, 0, 1) for index in range(len(places)))
    choosing, free, filled = by_run(walk.choosing), by_run(walk.free), by_run(_alone(walk))
    for number, (shape, components) in enumerate(cut):
        looked = {*tags[number], *choosing[number], *free[number], *(note.where for note in notes[number])}
        empty = [index for index in range(len(components)) if index not in looked]
        known = Known(steps(notes[number]), taking(empty), taking(filled[number]))
        shapes.keep(shape, choosing[number], components, known)


def _places(runs: Sequence[str]) -> list[tuple[int, list[int]]]:
    """Return of each segment of a message its run, and where among that run's components each element begins."""
    places = []
    for number, run in enumerate(runs):
        at = -1 if number else 0  # of a line's first tag nothing is left
        for segment in (f"+{run}" if number else run).split("'"):
            begins = []
            for element in segment.split("+"):
                begins.append(at)
                at += 1 + element.count(":")
            places.append((number, begins))
    return places


def _alone(walk: EdifactWalk) -> Iterable[Where]:
    """Yield values without which a segment may say nothing: all of it, or the one that it ends with.

    Without that one it would end with a separator, and the walk tells what it still says.
    """
    values: dict[int, list[Where]] = {}
    for note in walk.notes:
        if note.readings is not None:
            values.setdefault(note.where.segment, []).append(note.where)
    for index, found in values.items():
        segment = walk.segments[index]
        end = Where(index, len(segment) - 1, len(segment[-1]))
        yield from [end] if end in found else found


def find_edifact(
    segments: Sequence[SegmentText], top: Occurrence, reading: EdifactReading, address: Address
) -> tuple[int, Position | None]:
    """Return where an address stands: the segment's index and the position in it.

    For what is missing, the nearest segment above it that is present (position None where it is not that segment's).
    """
    pack = reading.pack
    levels = pack.edifact_levels
    wanted = {levels["invoice"]: address.invoice, levels["commodity"]: address.line}
    here = top
    for number in (levels["invoice"], levels["commodity"]):
        if wanted[number]:
            found = [child for child in here.children if child.number == number]
            if wanted[number] > len(found):
                return _first(here), None
            here = found[wanted[number] - 1]
    element = pack.elements.get(address.element)
    if not element or not element.edifact_place:
        return _first(here), None
    place = edifact_place(element)
    groups = [here]
    for number, conditions in way_to(place, reading.parents, element.origin):
        if wanted.get(number):
            continue
        below = [
            child
            for group in groups
            for child in group.children
            if child.number == number and _meets(segments[child.segments[0]], conditions)
        ]
        if not below:
            return _first(groups[0]), None
        groups = below
    found_at = [
        index
        for group in groups
        for index in group.segments
        if segments[index][0][0] == place.tag and _meets(segments[index], place.conditions)
    ]
    if not found_at:
        return _first(groups[0]), None
    return found_at[min(address.occurrence, len(found_at)) - 1], place.position


def _meets(segment: SegmentText, conditions: Iterable[Condition]) -> bool:
    """Tell whether a segment has the qualifiers."""
    return all(key_of(segment, (position,)) == (value,) for position, value in conditions)


def _first(group: Occurrence) -> int:
    """Return the index of a group's first segment."""
    return group.segments[0]


class EdifactDocument:
    """An EDIFACT message that was read; finds addresses of the declaration in it.

    `table` is its UN structure (None: not known here), `profile` the subset that is agreed on, `fits` whether it fits
    that, which is sure, or may not, `unread` the content that no declaration has. Without a `reading` its type is none
    of ours, and every address is at the start.
    """

    def __init__(
        self, body: bytes, message: MessageText, table: Structure | None, reading: EdifactReading | None
    ) -> None:
        self.body, self.message, self.table, self.reading = body, message, table, reading
        self.profile: Structure | None = None
        self.fits = False
        self.unread: Sequence[UnreadComponent] = ()

    @functools.cached_property
    def _top(self) -> Occurrence | None:
        """The message's segments in the occurrences of their groups."""
        return self.table.tree(self.message.tags) if self.table else None

    def text(self) -> str:
        """Return the transmission as text."""
        if self.reading is None:
            return self.body.decode("utf-8", errors="replace")
        return self.body.decode(self.message.interchange.encoding, errors="replace").lstrip("\ufeff")

    def locate(self, address: Address) -> Place:
        """Return the place of an address, or of the nearest segment above it that is present."""
        if self.reading is None or self._top is None:
            return Place(line=1, column=1)
        index, position = find_edifact(self.message.meant, self._top, self.reading, address)
        place = (
            self.message.place(index + 1, position.element + 1, position.component)
            if position
            else self.message.place(index + 1)
        )
        return replace(place, pointer=self.reading.pack.pointer(address))

    def unread_faults(self) -> list[Fault]:
        """Return the faults of content that no declaration has."""
        return [
            Fault(each.code, None, self._place(each.where), each.value, each.expected, echo_of(each.elements))
            for each in self.unread
        ]

    def _place(self, where: Where) -> Place:
        """Return the place of a component; where elements repeat their positions are not those of the table."""
        if not where.element or self.message.repeats:
            return self.message.place(where.segment + 1)
        return self.message.place(where.segment + 1, where.element + 1, where.component)
