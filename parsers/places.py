"""The dictionary's place notations taken apart: XML paths with predicates, EDIFACT places with qualifiers."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import NamedTuple

from core.errors import SpecError
from core.specs import Element, Pack
from core.tables import Origin
from edifact.directory import Directories

# A slash outside brackets parts the steps of both notations.
STEPS = re.compile(r"/(?![^\[]*\])")
XML_STEP = re.compile(r"(?P<name>@?[\w.:-]+)(?:\[(?P<conditions>[^\]]+)\])?")
EDIFACT_STEP = re.compile(r"(?P<name>[A-Z]{3}|\d+)(?:\[(?P<conditions>[^\]]+)\])?")
POSITION = re.compile(r"(?P<element>\d+)(?:\.(?P<component>[1-9]\d*))?")


class XmlStep(NamedTuple):
    """One class or element of a path; `conditions` are (child or @attribute, value) pairs."""

    name: str
    conditions: tuple[tuple[str, str], ...]


class Position(NamedTuple):
    """A data element of a segment and its component, both counted from 1; notations count the tag, this does not."""

    element: int
    component: int


class Condition(NamedTuple):
    """A qualifier: the value that stands at a position."""

    position: Position
    value: str


class GroupStep(NamedTuple):
    """A segment group on the way, with the qualifiers of its trigger segment."""

    number: int
    trigger: str | None
    conditions: tuple[Condition, ...]


class EdifactPlace(NamedTuple):
    """Where an element stands in a message: the named groups from outside in, the segment, the position in it."""

    groups: tuple[GroupStep, ...]
    tag: str
    conditions: tuple[Condition, ...]
    position: Position


def xml_path(element: Element) -> tuple[XmlStep, ...]:
    """Return the steps of an element's XML path from the Declaration down; raises SpecError for a bad notation."""
    return xml_steps(element.xml_path or "", element.origin)


@functools.lru_cache(maxsize=4096)
def xml_steps(notation: str, origin: Origin) -> tuple[XmlStep, ...]:
    """Return the steps of an XML path from the Declaration down; raises SpecError for a bad notation.

    `GoodsShipment/Commodity/DutyTaxFee[TypeCode=CUD]/DutyRegimeCode`: classes, in brackets what children (or
    @attributes) choose among those that repeat, `,` between; the last step is the element, or an @attribute of it.
    """
    steps = []
    for step in STEPS.split(notation):
        found = XML_STEP.fullmatch(step)
        if not found:
            raise SpecError(*origin, f"the XML path {notation!r} has the unreadable step {step!r}")
        pairs = (pair.partition("=") for pair in (found["conditions"] or "").split(",") if pair)
        steps.append(XmlStep(found["name"], tuple((child, value) for child, _, value in pairs)))
    return tuple(steps)


def edifact_place(element: Element) -> EdifactPlace:
    """Return an element's EDIFACT place; raises SpecError for a bad notation."""
    return edifact_steps(element.edifact_place or "", element.origin)


@functools.lru_cache(maxsize=4096)
def edifact_steps(notation: str, origin: Origin) -> EdifactPlace:
    """Return the EDIFACT place that a notation stands for; raises SpecError for a bad one.

    `7[NAD/2=IM]/8[CTA/2=IC]/COM[2.2=TE]/2.1`: groups with the qualifiers of the segment that they begin with (0:
    no group), the segment with its own, the data element and its component. Elements are counted as findings and
    CONTRL count them: the tag is 1.
    """
    problem = SpecError(*origin, f"the EDIFACT place {notation!r} is unreadable")
    *steps, last = STEPS.split(notation)
    groups: list[GroupStep] = []
    tag = ""
    conditions: tuple[Condition, ...] = ()
    for step in steps:
        found = EDIFACT_STEP.fullmatch(step)
        if not found or tag:
            raise problem
        if found["name"].isdigit():
            trigger, _, rest = (found["conditions"] or "").partition("/")
            groups.append(GroupStep(int(found["name"]), trigger or None, _conditions(rest, problem)))
        else:
            tag, conditions = found["name"], _conditions(found["conditions"] or "", problem)
    if not groups or not tag:
        raise problem
    return EdifactPlace(tuple(groups), tag, conditions, _position(last, problem))


def _conditions(text: str, problem: SpecError) -> tuple[Condition, ...]:
    """Return the qualifiers in `1.1=137,1.3=102`."""
    found = []
    for pair in filter(None, text.split(",")):
        where, equals, value = pair.partition("=")
        if not equals:
            raise problem
        found.append(Condition(_position(where, problem), value))
    return tuple(found)


def _position(text: str, problem: SpecError) -> Position:
    """Return the position that `3.1` or `3` stands for: the second data element, since the tag is element 1."""
    found = POSITION.fullmatch(text)
    if not found:
        raise problem
    if int(found["element"]) < 2:
        raise SpecError(
            problem.file, problem.row, f"{problem.reason}: the tag is element 1, so data elements begin at 2"
        )
    return Position(int(found["element"]) - 1, int(found["component"] or 1))


def check_edifact_places(pack: Pack, directories: Directories) -> None:
    """Raise SpecError for an EDIFACT place of the pack that its UN message does not have, position and all."""
    message = directories.structure(pack.edifact_message)
    if message is None:
        name = ":".join(pack.edifact_message)
        raise SpecError(pack.id, None, f"no directory holds the UN message {name}")
    profile = message.profile(pack.profile)
    _check_levels(pack)
    held = {(row.group, row.tag) for row in profile.rows}
    triggers = group_triggers(pack)
    for element in pack.elements.values():
        if not element.edifact_place or element.direction != "in":
            continue
        place = edifact_place(element)
        if (place.groups[-1].number, place.tag) not in held:
            raise SpecError(*element.origin, f"{place.tag} in group {place.groups[-1].number} is not in the profile")
        positions = [(place.tag, place.position), *((place.tag, condition.position) for condition in place.conditions)]
        for group in place.groups:
            if group.trigger not in (None, triggers.get(group.number)):
                raise SpecError(*element.origin, f"group {group.number} does not begin with {group.trigger}")
            positions += [(group.trigger or "", condition.position) for condition in group.conditions]
        for tag, (number, component) in positions:
            slots = profile.segments[tag].flat
            if number > len(slots) or component > len(slots[number - 1].parts):
                raise SpecError(*element.origin, f"{tag} has no position {number + 1}.{component}")
        item = profile.segments[place.tag].flat[place.position.element - 1].parts[place.position.component - 1].item
        if element.format.kind == "text" and element.format.max > item.max:
            reason = f"{element.name} is longer than {place.tag} has room for at one position: {item.id} has {item.max}"
            raise SpecError(*element.origin, reason)


def _check_levels(pack: Pack) -> None:
    """Raise SpecError unless the groups of invoices and lines are the profile's, the one inside the other."""
    parents = group_parents(pack)
    if odd := [group for group in pack.edifact_levels.values() if group not in parents]:
        raise SpecError(pack.id, None, f"group {odd[0]} of edifact.levels is not in the profile")
    invoices, lines = pack.edifact_levels["invoice"], pack.edifact_levels["commodity"]
    above = parents[lines]
    while above and above != invoices:
        above = parents[above]
    if above != invoices or not invoices:
        reason = f"group {lines} of the lines does not stand in group {invoices} of the invoices"
        raise SpecError(pack.id, None, reason)


def group_parents(pack: Pack) -> dict[int, int]:
    """Return the group around each segment group of the pack's profile (0: none)."""
    return {row.group: row.parent for row in pack.profile}


def group_triggers(pack: Pack) -> dict[int, str]:
    """Return the trigger segment of each group of the pack's profile: the first that it lists."""
    triggers: dict[int, str] = {}
    for row in pack.profile:
        triggers.setdefault(row.group, row.tag)
    return triggers


def constants_of(text: str) -> Iterator[tuple[Position, str]]:
    """Yield what stands where in a segment that the profile spells, as in `SEQ++{invoice}`."""
    for number, element in enumerate(text.split("+")[1:], 1):
        for component, value in enumerate(element.split(":"), 1):
            if value:
                yield Position(number, component), value
