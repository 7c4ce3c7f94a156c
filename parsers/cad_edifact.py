"""EDIFACT to a `Declaration`, by the pack's dictionary; what it does not know is told, not dropped."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from core.declaration import Declaration
from core.errors import SpecError
from core.findings import Address, Fault, Place
from core.specs import Pack
from edifact.directory import Occurrence, Structure
from edifact.text import MessageText
from parsers.edifact_levels import level_reader, misplaced
from parsers.edifact_plan import Binding, edifact_plan, function_code_place, marks_of, way_to
from parsers.edifact_walk import EdifactWalk, SegmentText, UnreadComponent, Where, key_of
from parsers.former import settling
from parsers.levels import LevelReader
from parsers.notes import LEVELS, echo_of, of_notes
from parsers.places import Condition, Position, edifact_place, group_parents, group_triggers

# ------------------------------------------------------------------------------------------------ reading


class EdifactReading:
    """What a pack's dictionary is compiled to for reading EDIFACT.

    `tables` are the UN structures of its message and `profiles` its subset of them, by syntax version (3 or 4); there
    is a plan, with the patterns of its levels, for each of the decimal marks that an interchange can have.
    """

    __slots__ = (
        "_levels",
        "_plans",
        "function_code",
        "pack",
        "parents",
        "profiles",
        "settle",
        "tables",
    )

    def __init__(self, pack: Pack, tables: Mapping[str, Structure]) -> None:
        self.pack, self.tables = pack, tables
        self.function_code = function_code_place(pack)
        self.parents = group_parents(pack)
        self._plans: dict[str, Binding] = {}
        marks = marks_of(self.plan("."), group_triggers(pack))
        self.profiles = {version: table.profile(pack.profile, marks) for version, table in tables.items()}
        for version, profile in self.profiles.items():
            for row in misplaced(profile, tables[version]):
                here = pack.profile[row]
                raise SpecError(*here.origin, f"{here.tag} would be taken for one of another group of {profile.name}")
        self._levels: dict[str, LevelReader | None] = {}
        self.settle = settling(pack)

    def plan(self, marks: str) -> Binding:
        """Return the plan for an interchange's decimal marks."""
        found = self._plans.get(marks)
        if found is None:
            segments = next(iter(self.tables.values())).segments
            found = self._plans[marks] = edifact_plan(self.pack, segments, marks)
        return found

    def levels(self, marks: str) -> LevelReader | None:
        """Return the patterns of the levels for an interchange's decimal marks."""
        if marks not in self._levels:
            groups = [self.pack.edifact_levels[level] for level in LEVELS[1:]]
            self._levels[marks] = level_reader(next(iter(self.profiles.values())), self.plan(marks), groups)
        return self._levels[marks]


def read_edifact(
    message: MessageText, version: str, reading: EdifactReading, *, clean: bool
) -> tuple[Declaration, list[UnreadComponent]]:
    """Return the declaration that a message holds, and all content of it that no declaration has.

    `version` is that of the syntax. `clean` tells that its characters are those that were written: then its levels may
    be read by their patterns, though what stands in them may be wrong.
    """
    marks = message.service.decimal
    if clean and not message.repeats and (levels := reading.levels(marks)) and (known := levels.read(message.plain)):
        return known, []
    walk = EdifactWalk(message.meant).through(reading.tables[version].tree(message.tags), reading.plan(marks), 0)
    return of_notes(walk.notes, walk.texts), walk.unread


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
