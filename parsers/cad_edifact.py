"""EDIFACT to a `Declaration`, by the pack's dictionary; what it does not know is told, not dropped."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import NamedTuple

from core.declaration import Declaration
from core.findings import Address, Fault, Place
from core.specs import Pack
from edifact.directory import Occurrence, Structure
from edifact.text import MessageText
from parsers.edifact_plan import Binding, edifact_plan, function_code_place, way_to
from parsers.former import settling
from parsers.places import Condition, Position, edifact_place, group_parents, group_triggers
from parsers.shapes import SHAPES, Note, Shapes, of_notes, steps

Segment = Sequence[Sequence[str]]  # elements of components; element 0 is the tag

# All that is not a separator in canonical form, and the separator that ends a segment.
DATA, TERMINATOR = bytes(set(range(256)) - set(b"+:'")), ord("'")

# Separators of a run up to which is remembered where its tags stand: ten times those of any usual run.
SEPARATORS = 4_096


# ------------------------------------------------------------------------------------------------ reading


class Where(NamedTuple):
    """A component of a message: the segment's index, and the position in it."""

    segment: int
    element: int
    component: int


class EdifactWalk:
    """What a walk through a message meets, in the order of its segments."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.segments = segments
        self.notes: list[Note[Where]] = []
        self.choosing: list[Where] = []  # the qualifiers that were looked at
        self.unread: list[int] = []  # the segments that the dictionary has not

    def through(self, here: Occurrence, binding: Binding, level: int) -> EdifactWalk:
        """Walk through a segment group and those below it."""
        for index in here.segments:
            tag = self.segments[index][0][0]
            known = tag in binding.known
            for reading in binding.readings.get(tag, ()):
                slots = reading.slots.get(self._chosen(index, reading.positions))
                if slots is not None:
                    known = True
                    self.notes += [
                        Note(level, Where(index, *position), name, readings)
                        for position, name, readings in slots
                        if _has(self.segments[index], position)
                    ]
            if not known:
                self.unread.append(index)
        for child in here.children:
            trigger = child.segments[0]
            group = binding.groups.get(child.number)
            below = group and group.bindings.get(self._chosen(trigger, group.positions))
            if not group or not below:
                self.unread.append(trigger)
                continue
            if group.level:
                self.notes.append(Note(group.level, Where(trigger, 0, 1), "", None))
            self.through(child, below, group.level or level)
        return self

    def _chosen(self, index: int, positions: tuple[Position, ...]) -> tuple[str, ...]:
        """Return the values of the qualifiers at the positions of a segment."""
        self.choosing += [Where(index, *each) for each in positions if _has(self.segments[index], each)]
        return _key(self.segments[index], positions)


def _has(segment: Segment, position: Position) -> bool:
    """Tell whether a segment goes as far as a position."""
    element, component = position
    return element < len(segment) and component <= len(segment[element])


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
    """What a pack's dictionary is compiled to for reading EDIFACT; `shapes` grows with the lines that are met, bounded.

    `tables` are the UN structures of its message and `profiles` its subset of them, by syntax version (3 or 4).
    """

    __slots__ = (
        "function_code",
        "line_tags",
        "pack",
        "parents",
        "plan",
        "profiles",
        "settle",
        "shapes",
        "tables",
        "tags",
    )

    def __init__(self, pack: Pack, tables: Mapping[str, Structure]) -> None:
        self.pack, self.tables = pack, tables
        self.plan = edifact_plan(pack)
        self.function_code = function_code_place(pack)
        self.parents = group_parents(pack)
        self.profiles = {version: table.profile(pack.profile) for version, table in tables.items()}
        self.line_tags = {version: _line_tag(table, pack) for version, table in tables.items()}
        self.shapes, self.tags = Shapes(), Tags()
        self.settle = settling(pack)


def read_edifact(
    message: MessageText, version: str, reading: EdifactReading, *, sound: bool
) -> tuple[Declaration, list[int]]:
    """Return the declaration that a message holds, and the indices of the segments that the dictionary has not.

    `version` is that of the syntax. `sound` tells that nothing is wrong with it: then to know its shape is enough.
    """
    shapes, runs = reading.shapes, _runs(message, reading.line_tags[version]) if sound else []
    cut = [_shape(run, number > 0, reading.tags) for number, run in enumerate(runs)]
    if known := shapes.read(cut):
        return known, []
    segments = message.segments
    walk = EdifactWalk(segments).through(reading.tables[version].tree(message.tags), reading.plan, 0)
    if runs and not walk.unread:
        _learn(shapes, runs, cut, walk)
    texts = [segments[where.segment][where.element][where.component - 1] for _, where, *_ in walk.notes]
    return of_notes(walk.notes, texts), walk.unread


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
    """Remember what a walk has found as the steps of each run."""
    places: list[tuple[int, list[int]]] = []  # of each segment: its run, and where in it each element begins
    for number, run in enumerate(runs):
        at = -1 if number else 0  # of a line's first tag nothing is left
        for segment in (f"+{run}" if number else run).split("'"):
            begins = []
            for element in segment.split("+"):
                begins.append(at)
                at += 1 + element.count(":")
            places.append((number, begins))
    notes: list[list[Note[int]]] = [[] for _ in runs]
    choosing: list[list[int]] = [[] for _ in runs]
    for note in walk.notes:
        number, begins = places[note.where.segment]
        notes[number].append(note.at(begins[note.where.element] + note.where.component - 1))
    for where in walk.choosing:
        number, begins = places[where.segment]
        choosing[number].append(begins[where.element] + where.component - 1)
    for (shape, components), found, at_choice in zip(cut, notes, choosing, strict=True):
        shapes.keep(shape, at_choice, components, steps(found))


def _key(segment: Segment, positions: tuple[Position, ...]) -> tuple[str, ...]:
    """Return the values that stand at the positions, "" where nothing stands."""
    try:
        return tuple([segment[element][component - 1] for element, component in positions])
    except IndexError:
        return tuple(
            segment[element][component - 1] if element < len(segment) and component <= len(segment[element]) else ""
            for element, component in positions
        )


def find_edifact(
    segments: Sequence[Segment], top: Occurrence, reading: EdifactReading, address: Address
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
    for number, conditions in way_to(place, reading.parents, element):
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


def _meets(segment: Segment, conditions: Iterable[Condition]) -> bool:
    """Tell whether a segment has the qualifiers."""
    return all(_key(segment, (position,)) == (value,) for position, value in conditions)


def _first(group: Occurrence) -> int:
    """Return the index of a group's first segment."""
    return group.segments[0]


class EdifactDocument:
    """An EDIFACT message that was read; finds addresses of the declaration in it.

    `table` is its UN structure (None: not known here), `profile` the subset that is agreed on, `fits` whether it fits
    that, which is sure, or may not, `unread` the indices of segments that the dictionary has not. Without a `reading`
    its type is none of ours, and every address is at the start.
    """

    def __init__(
        self, body: bytes, message: MessageText, table: Structure | None, reading: EdifactReading | None
    ) -> None:
        self.body, self.message, self.table, self._reading = body, message, table, reading
        self.profile: Structure | None = None
        self.fits = False
        self.unread: Sequence[int] = ()

    @functools.cached_property
    def _top(self) -> Occurrence | None:
        """The message's segments in the occurrences of their groups."""
        return self.table.tree(self.message.tags) if self.table else None

    def text(self) -> str:
        """Return the transmission as text."""
        if self._reading is None:
            return self.body.decode("utf-8", errors="replace")
        return self.body.decode(self.message.interchange.encoding, errors="replace").lstrip("\ufeff")

    def locate(self, address: Address) -> Place:
        """Return the place of an address, or of the nearest segment above it that is present."""
        if self._reading is None or self._top is None:
            return Place(line=1, column=1)
        index, position = find_edifact(self.message.segments, self._top, self._reading, address)
        place = (
            self.message.place(index + 1, position.element + 1, position.component)
            if position
            else self.message.place(index + 1)
        )
        return replace(place, pointer=self._reading.pack.pointer(address))

    def unread_faults(self) -> list[Fault]:
        """Return the faults of the segments that the dictionary has not; what has none is not taken apart for it."""
        message = self.message
        return [
            Fault("CAD-0007", place=message.place(i + 1), value="+".join(":".join(e) for e in message.segments[i]))
            for i in self.unread
        ]
