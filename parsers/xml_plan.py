"""What a pack's dictionary says of XML, compiled: what each class, element and attribute of a Declaration means."""

from __future__ import annotations

import re
import sys
from collections.abc import Container, Iterator, Mapping

from core.declaration import Value
from core.errors import SpecError
from core.specs import Element, Format, Ignorable, Pack
from parsers.notes import LEVELS, Readings, plain
from parsers.places import xml_path, xml_steps

# The prefix that the notation of places has for what a document says of its own schema.
INSTANCE = ("xsi:", "{http://www.w3.org/2001/XMLSchema-instance}")

# What a document may write in place of a sign: by its name, or by its number.
NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
REFERENCE = re.compile(r"&(?:#x([0-9A-Fa-f]{1,7})|#([0-9]{1,7})|(amp|lt|gt|quot|apos));")


# An element's name, and what its texts read as.
Leaf = tuple[str, Readings]


class XmlPlan:
    """What to do with one class or element of the schema: read it, descend into it, or start a level.

    `constants` are the attributes that select it, `ignorable` those that it may carry unread (None: with any value).
    `is_text` tells that it holds a text, and no elements.
    """

    __slots__ = (
        "attributes",
        "children",
        "choice",
        "constants",
        "element",
        "ignorable",
        "is_text",
        "level",
        "variants",
    )

    def __init__(self) -> None:
        self.element: Leaf | None = None
        self.attributes: dict[str, Leaf] = {}
        self.constants: dict[str, str] = {}
        self.ignorable: dict[str, frozenset[str] | None] = {}
        self.children: dict[str, XmlPlan] = {}
        self.choice: str | None = None  # the child whose text chooses the variant
        self.variants: dict[str, XmlPlan] = {}
        self.level: int | None = None
        self.is_text = False

    def allows(self, attributes: Mapping[str, str]) -> bool:
        """Tell whether attributes may stand here: each is read, selects what this is, or is allowed unread."""
        for name in attributes:
            if name not in self.attributes:
                return not any(True for _ in self.strange(attributes))
        return True

    def strange(self, attributes: Mapping[str, str]) -> Iterator[str]:
        """Yield the attributes that may not stand here."""
        for name, value in attributes.items():
            if name in self.attributes or self.constants.get(name) == value.strip():
                continue
            allowed = self.ignorable.get(name, frozenset())
            if allowed is not None and value.strip() not in allowed:
                yield name

    def elements(self) -> Iterator[str]:
        """Yield the elements that stand at or below it."""
        if self.element:
            yield self.element[0]
        for below in (*self.children.values(), *self.variants.values()):
            yield from below.elements()


def xml_plan(pack: Pack) -> XmlPlan:
    """Compile the dictionary's XML paths; raises SpecError for two elements in one place."""
    top = XmlPlan()
    levels = {way: LEVELS.index(level) for level, way in pack.xml_levels.items()}
    formers = {(former.element, former.source) for former in pack.former if former.shared}
    for element in pack.elements.values():
        if element.xml_path and element.direction == "in":
            _plan(top, element, pack.document.namespace, levels, formers)
    for ignorable in pack.ignorable:
        if ignorable.syntax == "xml":
            _plan_ignorable(top, ignorable, pack.document.namespace)
    _tell_texts(top)
    return top


def _tell_texts(plan: XmlPlan) -> None:
    """Tell of a class and all below it what holds a text."""
    plan.is_text = not plan.level and (plan.element is not None or not plan.children)
    for below in (*plan.children.values(), *plan.variants.values()):
        _tell_texts(below)


def local(tag: str) -> str:
    """Return a tag's name without its namespace."""
    return tag.rpartition("}")[2]


def _plan(
    top: XmlPlan, element: Element, namespace: str, levels: Mapping[str, int], formers: Container[tuple[str, str]]
) -> None:
    """Add one element's path to the plan."""
    plan, way = top, ""
    for step in xml_path(element):
        if step.name.startswith("@"):
            name = step.name[1:]
            plan.attributes[name] = element.name, Readings(element.format, _read)
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
        plan.constants |= {child[1:]: value for child, value in step.conditions if child.startswith("@")}
    if plan.element and (element.name, plan.element[0]) in formers:
        return  # its former place is another's now, and told apart by the values
    if plan.element:
        raise SpecError(*element.origin, f"{element.name} and {plan.element[0]} are in one place: {element.xml_path}")
    plan.element = (element.name, Readings(element.format, _read))


def _plan_ignorable(top: XmlPlan, ignorable: Ignorable, namespace: str) -> None:
    """Let a class or element carry an attribute unread; raises SpecError where nothing is read."""
    *above, last = xml_steps(ignorable.place, ignorable.origin)
    plan: XmlPlan | None = top
    for step in above:
        plan = plan.children.get(f"{{{namespace}}}{step.name}") if plan else None
        for _, value in step.conditions:
            plan = plan.variants.get(value) if plan else None
    if plan is None or not last.name.startswith("@"):
        raise SpecError(*ignorable.origin, f"the XML path {ignorable.place} is no attribute of what is read")
    plan.ignorable[last.name[1:].replace(*INSTANCE)] = ignorable.values


def _read(form: Format, text: str) -> Value | None:
    """Return the value of a text as it is written in a document, None for blanks."""
    written = plain(REFERENCE.sub(lambda found: meant(*found.groups()), text) if "&" in text else text)
    return form.read(written) if written else None


def meant(by_hex: str, by_number: str, name: str) -> str:
    """Return the sign that a reference means; a blank for a number that no sign has."""
    if name:
        return NAMED[name]
    number = int(by_hex, 16) if by_hex else int(by_number)
    return chr(number) if number <= sys.maxunicode else " "
