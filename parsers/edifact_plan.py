"""What a pack's dictionary says of EDIFACT, compiled: which segment under which qualifiers carries which element."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from core.declaration import Unreadable, Value
from core.errors import SpecError
from core.specs import Element, Format, Pack
from edifact.syntax import resolve
from parsers.places import Condition, EdifactPlace, Position, edifact_place, group_parents, group_triggers
from parsers.shapes import LEVELS, Readings, plain


class ElementSlot(NamedTuple):
    """An element's position in a segment, and how to read it."""

    position: Position
    name: str
    readings: Readings


class SegmentReading(NamedTuple):
    """One way to read a segment: where its qualifiers stand, and the slots for each combination of their values."""

    positions: tuple[Position, ...]
    slots: dict[tuple[str, ...], list[ElementSlot]]


class Binding:
    """What a segment group means once its trigger's qualifiers are known."""

    __slots__ = ("groups", "known", "readings")

    def __init__(self) -> None:
        self.readings: dict[str, list[SegmentReading]] = {}
        self.groups: dict[int, GroupPlan] = {}
        self.known: set[str] = set()  # segments that carry no element but belong: constants and triggers


class GroupPlan:
    """A segment group: the positions of its trigger's qualifiers and the binding for each combination of values."""

    __slots__ = ("bindings", "level", "positions")

    def __init__(self, positions: tuple[Position, ...], level: int) -> None:
        self.positions, self.level = positions, level
        self.bindings: dict[tuple[str, ...], Binding] = {}


def edifact_plan(pack: Pack) -> Binding:
    """Compile the dictionary's EDIFACT places; raises SpecError for a place outside the pack's profile."""
    parents, triggers = group_parents(pack), group_triggers(pack)
    levels = {number: LEVELS.index(level) for level, number in pack.edifact_levels.items()}
    held = {(row.group, row.tag) for row in pack.profile}
    top = Binding()
    for element in pack.elements.values():
        if not element.edifact_place or element.direction != "in":
            continue
        place = edifact_place(element)
        binding = top
        for number, conditions in way_to(place, parents, element):
            positions = tuple(condition.position for condition in conditions)
            group = binding.groups.setdefault(number, GroupPlan(positions, levels.get(number, 0)))
            if group.positions != positions:
                raise SpecError(*element.origin, f"group {number} is told apart by different qualifiers elsewhere")
            binding = group.bindings.setdefault(tuple(c.value for c in conditions), Binding())
            binding.known.add(triggers[number])
        if (place.groups[-1].number, place.tag) not in held:
            raise SpecError(*element.origin, f"{place.tag} in group {place.groups[-1].number} is not in the profile")
        _plan_slot(binding, place, element)
    _know_constants(top, 0, pack)
    return top


def way_to(
    place: EdifactPlace, parents: Mapping[int, int], element: Element
) -> Iterator[tuple[int, tuple[Condition, ...]]]:
    """Yield (group, its trigger's conditions) from outside in, with the groups that the place leaves unsaid."""
    named = {step.number: step.conditions for step in place.groups}
    way, number = [], place.groups[-1].number
    while number:
        if number not in parents:
            raise SpecError(*element.origin, f"the segment group {number} is not in the profile")
        way.append(number)
        number = parents[number]
    for number in reversed(way):
        yield number, named.get(number, ())


def _plan_slot(binding: Binding, place: EdifactPlace, element: Element) -> None:
    """Add an element to the reading of its segment."""
    readings = binding.readings.setdefault(place.tag, [])
    positions = tuple(condition.position for condition in place.conditions)
    reading = next((r for r in readings if r.positions == positions), None)
    if reading is None:
        readings.append(reading := SegmentReading(positions, {}))
    slots = reading.slots.setdefault(tuple(condition.value for condition in place.conditions), [])
    if taken := next((slot for slot in slots if slot.position == place.position), None):
        raise SpecError(*element.origin, f"{element.name} and {taken.name} are in one place: {element.edifact_place}")
    slots.append(ElementSlot(place.position, element.name, Readings(element.format, _read)))


def _know_constants(binding: Binding, number: int, pack: Pack) -> None:
    """Let every binding know the segments of its group that carry no element."""
    binding.known |= {row.tag for row in pack.profile if row.group == number and row.constant}
    if not number:
        binding.known |= {"UNH", "UNT"}
    for inner, group in binding.groups.items():
        for below in group.bindings.values():
            _know_constants(below, inner, pack)


def function_code_place(pack: Pack) -> tuple[str, int, int]:
    """Return the segment, element and component in which the pack has the function code; it stands outside groups."""
    place = edifact_place(pack.elements["function_code"])
    return place.tag, *place.position


def _read(form: Format, text: str) -> Value | None:
    """Return the value of a component in canonical form, None for blanks."""
    written = plain(resolve(text))
    if not written:
        return None
    value = form.read(written)
    if type(value) is Unreadable and form.kind == "number":
        comma = form.read(written.replace(",", "."))  # EDIFACT's other decimal mark
        return value if type(comma) is Unreadable else comma
    return value
