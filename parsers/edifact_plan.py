"""What a pack's dictionary says of EDIFACT, compiled: what each component means, under which qualifiers.

Every component of a segment that a plan knows is one of: a value, a qualifier or constant, which is compared, code
metadata that the pack's table allows, or of no meaning here. The last is what a walk tells (`parsers.edifact_walk`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from core.declaration import Unreadable, Value
from core.errors import SpecError
from core.specs import Element, Format, Ignorable, Pack, ProfileRow
from core.tables import Origin
from edifact.directory import Mark, Segment
from edifact.envelope import READ
from edifact.syntax import resolve
from parsers.notes import LEVELS, Readings, plain
from parsers.places import (
    Condition,
    EdifactPlace,
    Position,
    constants_of,
    edifact_place,
    edifact_steps,
    group_parents,
    group_triggers,
)

Qualifiers = tuple[tuple[int, int, str], ...]  # element, component, value
Uses = dict[
    tuple[int, str], dict[Qualifiers, dict[tuple[int, int], set[str]]]
]  # by group and tag, by qualifiers: names


class ElementSlot(NamedTuple):
    """An element's position in a segment, and how to read it.

    `rest` are the further positions of a text that may be written in several components, each of at most `full`
    characters; `written` reads all of them as they stand in the message.
    """

    position: Position
    name: str
    readings: Readings
    rest: tuple[Position, ...]
    full: int
    written: Readings


class SegmentReading(NamedTuple):
    """One way to read a segment: where its qualifiers stand, and the slots for each combination of their values."""

    positions: tuple[Position, ...]
    slots: dict[tuple[str, ...], list[ElementSlot]]


class SegmentPlan:
    """A segment of a group: how it is read, and what else may stand in it.

    `constants` are the values that a position may have, with placeholders where the profile counts. `free` positions
    are looked at elsewhere: the qualifiers of a group, the service segments. `belongs` tells that it may stand there
    without being read.
    """

    __slots__ = ("_meant", "belongs", "constants", "free", "ignorable", "readings")

    def __init__(self) -> None:
        self.readings: list[SegmentReading] = []
        self.constants: dict[Position, tuple[str, ...]] = {}
        self.free: set[Position] = set()
        self.ignorable: dict[Position, frozenset[str] | None] = {}
        self.belongs = False
        self._meant: dict[tuple[tuple[str, ...] | None, ...], frozenset[Position]] = {}

    def meant(self, chosen: tuple[tuple[str, ...] | None, ...]) -> frozenset[Position]:
        """Return the positions that have a meaning; `chosen` are each reading's qualifiers (None: it does not fit)."""
        found = self._meant.get(chosen)
        if found is None:
            positions = {*self.free, *self.constants}
            for reading, key in zip(self.readings, chosen, strict=True):
                if key is not None:
                    positions.update(reading.positions)
                    for slot in reading.slots[key]:
                        positions |= {slot.position, *slot.rest}
            found = self._meant[chosen] = frozenset(positions)
        return found


class Binding:
    """What a segment group means once its trigger's qualifiers are known."""

    __slots__ = ("groups", "segments")

    def __init__(self) -> None:
        self.segments: dict[str, SegmentPlan] = {}
        self.groups: dict[int, GroupPlan] = {}

    def segment(self, tag: str) -> SegmentPlan:
        """Return the plan of a segment, made if it is not there."""
        return self.segments.setdefault(tag, SegmentPlan())

    def elements(self) -> Iterator[str]:
        """Yield the elements that the group can hold, with those inside it."""
        for plan in self.segments.values():
            for reading in plan.readings:
                yield from (slot.name for slots in reading.slots.values() for slot in slots)
        for group in self.groups.values():
            for below in group.bindings.values():
                yield from below.elements()


class GroupPlan:
    """A segment group: the positions of its trigger's qualifiers and the binding for each combination of values."""

    __slots__ = ("bindings", "level", "positions")

    def __init__(self, positions: tuple[Position, ...], level: int) -> None:
        self.positions, self.level = positions, level
        self.bindings: dict[tuple[str, ...], Binding] = {}


def edifact_plan(pack: Pack, segments: Mapping[str, Segment], marks: str) -> Binding:
    """Compile the dictionary's EDIFACT places for interchanges with these decimal marks.

    `segments` are those of its UN message. Raises SpecError for a place outside the pack's profile.
    """
    parents, triggers = group_parents(pack), group_triggers(pack)
    levels = {number: LEVELS.index(level) for level, number in pack.edifact_levels.items()}
    held = {(row.group, row.tag) for row in pack.profile}
    top = Binding()
    for element in pack.elements.values():
        if not element.edifact_place or element.direction != "in":
            continue
        place = edifact_place(element)
        binding = top
        for number, conditions in way_to(place, parents, element.origin):
            positions = tuple(condition.position for condition in conditions)
            group = binding.groups.setdefault(number, GroupPlan(positions, levels.get(number, 0)))
            if group.positions != positions:
                raise SpecError(*element.origin, f"group {number} is told apart by different qualifiers elsewhere")
            binding = group.bindings.setdefault(tuple(c.value for c in conditions), Binding())
            trigger = binding.segment(triggers[number])
            trigger.belongs = True
            trigger.free.update(positions)
        if (place.groups[-1].number, place.tag) not in held:
            raise SpecError(*element.origin, f"{place.tag} in group {place.groups[-1].number} is not in the profile")
        _plan_slot(binding, place, element, segments[place.tag], marks)
    _know_constants(top, 0, pack.profile)
    for ignorable in pack.ignorable:
        if ignorable.syntax == "edifact":
            _plan_ignorable(top, ignorable, parents)
    return top


def way_to(
    place: EdifactPlace, parents: Mapping[int, int], origin: Origin
) -> Iterator[tuple[int, tuple[Condition, ...]]]:
    """Yield (group, its trigger's conditions) from outside in, with the groups that the place leaves unsaid."""
    named = {step.number: step.conditions for step in place.groups}
    way, number = [], place.groups[-1].number
    while number:
        if number not in parents:
            raise SpecError(*origin, f"the segment group {number} is not in the profile")
        way.append(number)
        number = parents[number]
    for number in reversed(way):
        yield number, named.get(number, ())


def marks_of(plan: Binding, triggers: Mapping[int, str]) -> dict[tuple[int, str], tuple[Mark, ...]]:
    """Return by group and segment what a plan uses it for: qualifiers and, where these suffice, the elements' names."""
    found: Uses = {}
    _mark(plan, 0, (), triggers, found)
    return {
        at: tuple(
            Mark(qualifiers, {each: min(of) for each, of in names.items() if len(of) == 1})
            for qualifiers, names in uses.items()
        )
        for at, uses in found.items()
    }


def _mark(binding: Binding, number: int, chosen: Qualifiers, triggers: Mapping[int, str], found: Uses) -> None:
    """Take down what the segments of a group are used for; `chosen` are the qualifiers of its trigger."""
    for tag, plan in binding.segments.items():
        constants = tuple((*at, values[0]) for at, values in plan.constants.items() if _fixed(values))
        own = (*(chosen if tag == triggers.get(number) else ()), *constants)
        uses = found.setdefault((number, tag), {})
        if own or not plan.readings:
            uses.setdefault(own, {})
        for reading in plan.readings:
            for key, slots in reading.slots.items():
                names = uses.setdefault((*own, *_qualifiers(reading.positions, key)), {})
                for slot in slots:
                    names.setdefault(slot.position, set()).add(slot.name)
    for inner, group in binding.groups.items():
        for key, below in group.bindings.items():
            _mark(below, inner, _qualifiers(group.positions, key), triggers, found)


def _qualifiers(positions: Iterable[Position], values: Iterable[str]) -> Qualifiers:
    """Return values at positions as qualifiers."""
    return tuple((at.element, at.component, value) for at, value in zip(positions, values, strict=True))


def _fixed(values: Sequence[str]) -> bool:
    """Tell whether one value stands at a position in all messages: what is filled in (`{invoice}`) is no qualifier."""
    return len(values) == 1 and not values[0].startswith("{")


def _plan_slot(binding: Binding, place: EdifactPlace, element: Element, segment: Segment, marks: str) -> None:
    """Add an element to the reading of its segment."""
    readings = binding.segment(place.tag).readings
    positions = tuple(condition.position for condition in place.conditions)
    reading = next((r for r in readings if r.positions == positions), None)
    if reading is None:
        readings.append(reading := SegmentReading(positions, {}))
    slots = reading.slots.setdefault(tuple(condition.value for condition in place.conditions), [])
    if taken := next((slot for slot in slots if slot.position == place.position), None):
        raise SpecError(*element.origin, f"{element.name} and {taken.name} are in one place: {element.edifact_place}")
    rest, full = _rest(place.position, segment) if element.format.kind == "text" else ((), 0)
    texts = written = Readings(element.format, functools.partial(_read, marks))
    if rest:
        written = Readings(element.format, functools.partial(_read_written, marks, full))
    slots.append(ElementSlot(place.position, element.name, texts, rest, full, written))


def _rest(position: Position, segment: Segment) -> tuple[tuple[Position, ...], int]:
    """Return the components that go on with a text: those of the same data element right behind it; and their length.

    Whether they are lines of one text or a text that was cut, a directory names them by one data element.
    """
    items = [part.item for part in segment.flat[position.element - 1].parts]
    first = items[position.component - 1]
    rest = []
    for component in range(position.component + 1, len(items) + 1):
        if items[component - 1].id != first.id:
            break
        rest.append(Position(position.element, component))
    return tuple(rest), first.max


def _know_constants(binding: Binding, number: int, profile: Iterable[ProfileRow]) -> None:
    """Let every binding know the segments of its group that carry no element, and what stands in them."""
    for row in profile:
        if row.group == number and row.constant:
            plan = binding.segment(row.tag)
            plan.belongs = True
            for position, value in constants_of(row.constant):
                plan.constants[position] = (*plan.constants.get(position, ()), value)
    if not number:
        for tag in ("UNH", "UNT"):
            plan = binding.segment(tag)
            plan.belongs = True
            plan.free.update(Position(*each) for each in READ[tag])
    for inner, group in binding.groups.items():
        for below in group.bindings.values():
            _know_constants(below, inner, profile)


def _plan_ignorable(top: Binding, ignorable: Ignorable, parents: Mapping[int, int]) -> None:
    """Let a segment carry code metadata; raises SpecError where no element is."""
    place = edifact_steps(ignorable.place, ignorable.origin)
    binding: Binding | None = top
    for number, conditions in way_to(place, parents, ignorable.origin):
        group = binding.groups.get(number) if binding else None
        binding = group.bindings.get(tuple(c.value for c in conditions)) if group else None
    plan = binding.segments.get(place.tag) if binding else None
    if plan is None or place.conditions:
        raise SpecError(*ignorable.origin, f"no element stands in the segment of {ignorable.place}")
    plan.ignorable[place.position] = ignorable.values


def function_code_place(pack: Pack) -> tuple[str, int, int]:
    """Return the segment, element and component in which the pack has the function code; it stands outside groups."""
    place = edifact_place(pack.elements["function_code"])
    return place.tag, *place.position


def joined(parts: Iterable[str], full: int) -> str:
    """Return a text that stands in several components of at most so many characters.

    What is split is joined by a blank, since each component is a line, or has lost the blank at its end when it was
    cut there (trailing blanks are left out); one that is full runs on in the next.
    """
    first, *rest = parts
    text, runs_on = first, len(first) >= full
    for each in filter(None, rest):
        text = text + each if runs_on else f"{text} {each}"
        runs_on = len(each) >= full
    return text


def _read_written(marks: str, full: int, form: Format, text: str) -> Value | None:
    """Return the value of a text as it is written in canonical form, in one component or several; None for blanks."""
    return _read(marks, form, joined(text.split(":"), full))


def _read(marks: str, form: Format, text: str) -> Value | None:
    """Return the value of a text, None for blanks.

    A number has one of the interchange's decimal marks, also where the UN element is alphanumeric.
    """
    if form.kind != "text" and "." in marks and type(value := form.read(text)) is not Unreadable:
        return value  # as nearly all are
    written = plain(resolve(text))
    if not written:
        return None
    if form.kind == "number" and ("," in written or "." not in marks):
        if ("." in written and "." not in marks) or ("," in written and "," not in marks):
            return Unreadable(written)
        value = form.read(written.replace(",", "."))
        return Unreadable(written) if type(value) is Unreadable else value
    return form.read(written)
