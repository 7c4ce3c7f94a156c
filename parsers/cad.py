"""Both syntaxes to one `Declaration`, by the pack's dictionary; what it does not know is told, not dropped."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from lxml import etree

from gateway.directory import Occurrence
from gateway.errors import SpecError
from gateway.model import Address, Commodity, Declaration, Invoice, Place, Unreadable, Value
from gateway.specs import Element, Format, Pack
from parsers.places import Condition, EdifactPlace, Position, edifact_place, group_parents, group_triggers, xml_path

Values = dict[str, Value]
More = dict[str, tuple[Value, ...]]


def _plain(text: str) -> str:
    """Return a text as both syntaxes mean it: without blanks around it, and with plain ones for all others inside."""
    if text.isalnum():
        return text
    text = text.strip()
    return text if text.isprintable() else " ".join(text.split())


class _Reading:
    """A level while it is being read: its values, further occurrences, and the levels below it."""

    __slots__ = ("below", "more", "values")

    def __init__(self, values: Values, more: More, below: list[_Reading]) -> None:
        self.values, self.more, self.below = values, more, below

    def put(self, name: str, value: Value) -> None:
        """Record an element's occurrence."""
        if name in self.values:
            self.repeat(name, value)
        else:
            self.values[name] = value

    def repeat(self, name: str, value: Value) -> None:
        """Record a further occurrence of an element."""
        self.more[name] = (*self.more.get(name, ()), value)

    def declaration(self) -> Declaration:
        """Return what was read: the levels below the declaration are invoices, those below them lines."""
        invoices = (
            Invoice(each.values, each.more, tuple(Commodity(line.values, line.more) for line in each.below))
            for each in self.below
        )
        return Declaration(self.values, self.more, tuple(invoices))


# ------------------------------------------------------------------------------------------------ XML


class XmlPlan:
    """What to do with one class or element of the schema: read it, descend into it, or start a level."""

    __slots__ = ("attributes", "children", "choice", "element", "level", "variants")

    def __init__(self) -> None:
        self.element: tuple[str, Format] | None = None
        self.attributes: list[tuple[str, str, Format]] = []
        self.children: dict[str, XmlPlan] = {}
        self.choice: str | None = None  # the child whose text chooses the variant
        self.variants: dict[str, XmlPlan] = {}
        self.level: str | None = None


@functools.cache
def xml_plan(pack: Pack) -> XmlPlan:
    """Compile the dictionary's XML paths; raises SpecError for two elements in one place."""
    top = XmlPlan()
    levels = {way: level for level, way in pack.xml_levels.items()}
    for element in pack.elements.values():
        if element.xml_path and element.direction == "in":
            _plan_xml(top, element, pack.namespace, levels)
    return top


def _plan_xml(top: XmlPlan, element: Element, namespace: str, levels: Mapping[str, str]) -> None:
    """Add one element's path to the plan."""
    plan, way = top, ""
    for step in xml_path(element):
        if step.name.startswith("@"):
            plan.attributes.append((step.name[1:], element.name, element.format))
            return
        way = f"{way}/{step.name}" if way else step.name
        plan = plan.children.setdefault(f"{{{namespace}}}{step.name}", XmlPlan())
        plan.level = levels.get(way)
        choices = [(child, value) for child, value in step.conditions if not child.startswith("@")]
        if len(choices) > 1 or (choices and plan.choice not in (None, f"{{{namespace}}}{choices[0][0]}")):
            raise SpecError(*element.origin, f"one child must choose among the variants of {step.name}")
        for child, value in choices:
            plan.choice = f"{{{namespace}}}{child}"
            plan = plan.variants.setdefault(value, XmlPlan())
            plan.children.setdefault(f"{{{namespace}}}{child}", XmlPlan())
    if plan.element:
        raise SpecError(*element.origin, f"{element.name} and {plan.element[0]} are in one place: {element.xml_path}")
    plan.element = (element.name, element.format)


def read_xml(node: etree._Element | None, pack: Pack) -> tuple[Declaration, list[etree._Element]]:
    """Return the declaration that a Declaration node holds, and the nodes that the dictionary has not.

    What stands below an unknown node is not looked at: the node itself is told.
    """
    top = _Reading({}, {}, [])
    unread: list[etree._Element] = []
    if node is not None:
        _fill_class(node, xml_plan(pack), top, unread)
    return top.declaration(), unread


def _fill_class(node: etree._Element, plan: XmlPlan, level: _Reading, unread: list[etree._Element]) -> None:
    """Read what stands inside a class into its level; no deeper than the plan goes."""
    children, values = plan.children, level.values
    for each in node[:]:  # type: ignore[index]  # the stubs know no slices; an iterator each is slower
        step = children.get(each.tag)
        if step is not None and step.choice:
            chosen = next(each.iterchildren(step.choice), None)
            step = step.variants.get("" if chosen is None else (chosen.text or "").strip())
        if step is None:
            unread.append(each)
        elif step.element:
            name, form = step.element
            text = each.text
            if text and (text := _plain(text)):
                value = form.read(text)
                if name in values:
                    level.repeat(name, value)
                else:
                    values[name] = value
            for attribute, name, form in step.attributes:
                if text := _plain(each.get(attribute) or ""):
                    level.put(name, form.read(text))
        elif step.level:
            inner = _Reading({}, {}, [])
            level.below.append(inner)
            _fill_class(each, step, inner, unread)
        elif step.children:
            _fill_class(each, step, level, unread)


# ------------------------------------------------------------------------------------------------ EDIFACT

Segment = Sequence[Sequence[str]]  # elements of components; element 0 is the tag


class Slot(NamedTuple):
    """An element's position in a segment, and how to read it."""

    position: Position
    name: str
    form: Format


class Reading(NamedTuple):
    """One way to read a segment: where its qualifiers stand, and the slots for each combination of their values."""

    positions: tuple[Position, ...]
    slots: dict[tuple[str, ...], list[Slot]]


class Binding:
    """What a segment group means once its trigger's qualifiers are known."""

    __slots__ = ("groups", "known", "readings")

    def __init__(self) -> None:
        self.readings: dict[str, list[Reading]] = {}
        self.groups: dict[int, GroupPlan] = {}
        self.known: set[str] = set()  # segments that carry no element but belong: constants and triggers


class GroupPlan:
    """A segment group: the positions of its trigger's qualifiers and the binding for each combination of values."""

    __slots__ = ("bindings", "level", "positions")

    def __init__(self, positions: tuple[Position, ...], level: str | None) -> None:
        self.positions, self.level = positions, level
        self.bindings: dict[tuple[str, ...], Binding] = {}


@functools.cache
def edifact_plan(pack: Pack) -> Binding:
    """Compile the dictionary's EDIFACT places; raises SpecError for a place outside the pack's profile."""
    parents, triggers = group_parents(pack), group_triggers(pack)
    levels = {number: level for level, number in pack.edifact_levels.items()}
    held = {(row.group, row.tag) for row in pack.profile}
    top = Binding()
    for element in pack.elements.values():
        if not element.edifact_place or element.direction != "in":
            continue
        place = edifact_place(element)
        binding = top
        for number, conditions in _way(place, parents, element):
            positions = tuple(condition.position for condition in conditions)
            group = binding.groups.setdefault(number, GroupPlan(positions, levels.get(number)))
            if group.positions != positions:
                raise SpecError(*element.origin, f"group {number} is told apart by different qualifiers elsewhere")
            binding = group.bindings.setdefault(tuple(c.value for c in conditions), Binding())
            binding.known.add(triggers[number])
        if (place.groups[-1].number, place.tag) not in held:
            raise SpecError(*element.origin, f"{place.tag} in group {place.groups[-1].number} is not in the profile")
        _plan_slot(binding, place, element)
    _know_constants(top, 0, pack)
    return top


def _way(
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
        readings.append(reading := Reading(positions, {}))
    slots = reading.slots.setdefault(tuple(condition.value for condition in place.conditions), [])
    if taken := next((slot for slot in slots if slot.position == place.position), None):
        raise SpecError(*element.origin, f"{element.name} and {taken.name} are in one place: {element.edifact_place}")
    slots.append(Slot(place.position, element.name, element.format))


def _know_constants(binding: Binding, number: int, pack: Pack) -> None:
    """Let every binding know the segments of its group that carry no element."""
    binding.known |= {row.tag for row in pack.profile if row.group == number and row.constant}
    if not number:
        binding.known |= {"UNH", "UNT"}
    for inner, group in binding.groups.items():
        for below in group.bindings.values():
            _know_constants(below, inner, pack)


@functools.cache
def function_code_place(pack: Pack) -> tuple[str, int, int]:
    """Return the segment, element and component in which the pack has the function code; it stands outside groups."""
    place = edifact_place(pack.elements["function_code"])
    return place.tag, *place.position


def read_edifact(segments: Sequence[Segment], top: Occurrence, pack: Pack) -> tuple[Declaration, list[int]]:
    """Return the declaration that a message holds, and the indices of the segments that the dictionary has not."""
    level = _Reading({}, {}, [])
    unread: list[int] = []
    _fill_group(segments, top, edifact_plan(pack), level, unread)
    return level.declaration(), unread


def _fill_group(
    segments: Sequence[Segment], here: Occurrence, binding: Binding, level: _Reading, unread: list[int]
) -> None:
    """Read a segment group into its level."""
    values = level.values
    for index in here.segments:
        segment = segments[index]
        tag = segment[0][0]
        readings = binding.readings.get(tag)
        if readings is None:
            if tag not in binding.known:
                unread.append(index)
            continue
        read = tag in binding.known
        for reading in readings:
            slots = reading.slots.get(_key(segment, reading.positions) if reading.positions else ())
            if slots is None:
                continue
            read = True
            for (element, component), name, form in slots:
                try:
                    text = _plain(segment[element][component - 1])
                except IndexError:
                    continue
                if text:
                    value = form.read(text)
                    if type(value) is Unreadable and form.kind == "number":
                        comma = form.read(text.replace(",", "."))  # EDIFACT's other decimal mark
                        value = value if type(comma) is Unreadable else comma
                    if name in values:
                        level.repeat(name, value)
                    else:
                        values[name] = value
        if not read:
            unread.append(index)
    for child in here.children:
        group = binding.groups.get(child.number)
        trigger = child.segments[0]
        below = group and group.bindings.get(_key(segments[trigger], group.positions) if group.positions else ())
        if not group or not below:
            unread.append(trigger)
        elif group.level:
            inner = _Reading({}, {}, [])
            level.below.append(inner)
            _fill_group(segments, child, below, inner, unread)
        else:
            _fill_group(segments, child, below, level, unread)


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
    segments: Sequence[Segment], top: Occurrence, pack: Pack, address: Address
) -> tuple[int, Position | None]:
    """Return where an address stands: the segment's index and the position in it.

    For what is missing, the nearest segment above it that is present (position None where it is not that segment's).
    """
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
    parents = group_parents(pack)
    groups = [here]
    for number, conditions in _way(place, parents, element):
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


class EdifactText(Protocol):
    """What finding a place needs of a message's text."""

    @property
    def segments(self) -> Sequence[Segment]:
        """The segments, split."""

    def place(self, segment: int, element: int | None = None, component: int | None = None) -> Place:
        """Return the place of a segment (UNH = 1), element (tag = 1) and component (from 1)."""


class EdifactLocator:
    """Finds addresses of the declaration in an EDIFACT message."""

    def __init__(self, body: bytes, charset: str, message: EdifactText, top: Occurrence, pack: Pack) -> None:
        self._body, self._charset, self._message, self._top, self._pack = body, charset, message, top, pack

    def text(self) -> str:
        """Return the transmission as text."""
        return self._body.decode(self._charset, errors="replace").lstrip("\ufeff")

    def locate(self, address: Address) -> Place:
        """Return the place of an address, or of the nearest segment above it that is present."""
        index, position = find_edifact(self._message.segments, self._top, self._pack, address)
        place = (
            self._message.place(index + 1, position.element + 1, position.component)
            if position
            else self._message.place(index + 1)
        )
        return replace(place, pointer=self._pack.pointer(address))
