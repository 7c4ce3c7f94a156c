"""XML to a `Declaration`, by the pack's dictionary; what it does not know is told, not dropped."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Container, Mapping
from typing import cast
from xml.sax.saxutils import escape, unescape

from lxml import etree

from core.declaration import Declaration, Value
from core.envelope import Envelope
from core.errors import SpecError
from core.specs import Element, Format, Pack
from parsers import xml
from parsers.former import settling
from parsers.places import xml_path
from parsers.shapes import LEVELS, Note, Readings, Shapes, of_notes, plain, steps

# How the serialiser writes what it must not write as it is, beside &amp; &lt; and &gt;.
ESCAPED = {"&quot;": '"', "&#13;": "\r", "&#10;": "\n", "&#9;": "\t"}

# Characters of a Declaration's own tag, which is part of every shape: many namespaces, but not any number.
HEAD = 4_096


class XmlPlan:
    """What to do with one class or element of the schema: read it, descend into it, or start a level."""

    __slots__ = ("attributes", "children", "choice", "element", "level", "variants")

    def __init__(self) -> None:
        self.element: tuple[str, Readings] | None = None
        self.attributes: list[tuple[str, str, Readings]] = []
        self.children: dict[str, XmlPlan] = {}
        self.choice: str | None = None  # the child whose text chooses the variant
        self.variants: dict[str, XmlPlan] = {}
        self.level: int | None = None


def xml_plan(pack: Pack) -> XmlPlan:
    """Compile the dictionary's XML paths; raises SpecError for two elements in one place."""
    top = XmlPlan()
    levels = {way: LEVELS.index(level) for level, way in pack.xml_levels.items()}
    formers = {(former.element, former.source) for former in pack.former if former.shared}
    for element in pack.elements.values():
        if element.xml_path and element.direction == "in":
            _plan(top, element, pack.namespace, levels, formers)
    return top


def _plan(
    top: XmlPlan, element: Element, namespace: str, levels: Mapping[str, int], formers: Container[tuple[str, str]]
) -> None:
    """Add one element's path to the plan."""
    plan, way = top, ""
    for step in xml_path(element):
        if step.name.startswith("@"):
            name = step.name[1:]
            readings = Readings(element.format, functools.partial(_read_attribute, name))
            plan.attributes.append((name, element.name, readings))
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
    if plan.element and (element.name, plan.element[0]) in formers:
        return  # its former place is another's now, and told apart by the values
    if plan.element:
        raise SpecError(*element.origin, f"{element.name} and {plan.element[0]} are in one place: {element.xml_path}")
    plan.element = (element.name, Readings(element.format, _read))


def _read(form: Format, text: str) -> Value | None:
    """Return the value of an element's text as it is serialised, None for blanks."""
    written = plain(unescape(text, ESCAPED) if "&" in text else text)
    return form.read(written) if written else None


def _read_attribute(name: str, form: Format, tag: str) -> Value | None:
    """Return the value of an attribute in a tag as it is serialised."""
    found = re.search(f'\\s{name}="([^"]*)"', tag)
    return _read(form, found[1]) if found else None


# ------------------------------------------------------------------------------------------------ reading


class XmlWalk:
    """What a walk through a Declaration meets, in document order."""

    def __init__(self) -> None:
        self.notes: list[Note[etree._Element]] = []
        self.choosing: list[etree._Element] = []  # the nodes whose text chose a variant
        self.unread: list[etree._Element] = []  # the nodes that the dictionary has not; not looked into

    def through(self, node: etree._Element, plan: XmlPlan, level: int) -> XmlWalk:
        """XmlWalk through what stands inside a class; no deeper than the plan goes."""
        for each in node:
            step = plan.children.get(each.tag)
            if step is not None and step.choice:
                chosen = next(each.iterchildren(step.choice), None)
                if chosen is not None and chosen.text:
                    self.choosing.append(chosen)
                step = step.variants.get("" if chosen is None else (chosen.text or "").strip())
            if step is None:
                self.unread.append(each)
            elif step.element:
                if each.text:
                    self.notes.append(Note(level, each, *step.element))
                self.notes += [
                    Note(level, each, name, readings, attribute)
                    for attribute, name, readings in step.attributes
                    if each.get(attribute)
                ]
            elif step.level:
                self.notes.append(Note(step.level, each, "", None))
                self.through(each, step, step.level)
            elif step.children:
                self.through(each, step, level)
        return self


class XmlReading:
    """What a pack's dictionary is compiled to for reading XML; `shapes` grows with the lines that are met, bounded.

    `envelope` finds what the metadata wrapper says: sender, recipient, reference, test, version.
    """

    __slots__ = ("envelope", "function_code", "lines", "pack", "plan", "reference", "schema", "settle", "shapes")

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self.schema = xml.schema(pack.schema)
        self.plan = xml_plan(pack)
        self.shapes = Shapes()
        self.settle = settling(pack)
        self.lines = _lines(pack)
        self.envelope = {part: xml.finder(path, pack.metadata_namespace) for part, path in pack.xml_envelope.items()}
        self.function_code = xml.finder(xml.path_of(pack, "function_code"), pack.namespace)
        self.reference = xml.finder("FunctionalReferenceID", pack.namespace)


def read_xml(
    node: etree._Element | None, reading: XmlReading, *, sound: bool
) -> tuple[Declaration, list[etree._Element]]:
    """Return the declaration that a Declaration node holds, and the nodes that the dictionary has not.

    What stands below an unknown node is not looked at: the node itself is told. `sound` tells that the document fits
    the schema: then to know its shape is enough. Of others nothing is learned, since lines may stand anywhere in them.
    """
    if node is None:
        return Declaration({}), []
    shapes, cut = reading.shapes, _cut(node, reading) if sound else []
    if known := shapes.read(cut):
        return known, []
    walk = XmlWalk().through(node, reading.plan, 0)
    if cut and not walk.unread:
        _learn(shapes, cut, node, walk)
    return of_notes(walk.notes, [_serialised(note) for note in walk.notes]), walk.unread


def envelope_of(root: etree._Element, reading: XmlReading) -> Envelope:
    """Return what the metadata wrapper says of the message."""
    said = {part: find(root) for part, find in reading.envelope.items()}
    declaration = xml.declaration_of(root)
    return Envelope(
        sender=said.get("sender"),
        recipient=said.get("recipient"),
        reference=said.get("reference"),
        message=None if declaration is None else reading.reference(declaration),
        test=said.get("test") in ("1", "true"),
    )


def _cut(node: etree._Element, reading: XmlReading) -> list[tuple[tuple[str, str], list[str]]]:
    """Return a Declaration cut into runs, at the start of each line: the shape of each and its pieces.

    A run's pieces are texts and tags in turn, the text behind the run's own start first; its shape is all its tags.
    What is not serialised plainly (namespaces within, lines in other places) is not cut: the list is empty.
    """
    text = etree.tostring(node, encoding="unicode", with_tail=False)
    head, _, rest = text.partition(">")
    if "xmlns" in rest or head.endswith("/") or len(head) > HEAD:
        return []
    name = reading.pack.xml_levels["commodity"].rpartition("/")[2]
    runs = rest.split(f"<{node.prefix}:{name}>" if node.prefix else f"<{name}>")
    if len(runs) != 1 + reading.lines(node):
        return []
    pieces = [run.replace(">", "<").split("<") for run in runs]
    return [((head, "<".join(each[1::2])), each) for each in pieces]


def _lines(pack: Pack) -> Callable[[etree._Element], float]:
    """Return what counts the lines below a Declaration."""
    path = "/".join(f"d:{name}" for name in pack.xml_levels["commodity"].split("/"))
    return cast("Callable[[etree._Element], float]", etree.XPath(f"count({path})", namespaces={"d": pack.namespace}))


def _learn(shapes: Shapes, cut: list[tuple[tuple[str, str], list[str]]], node: etree._Element, walk: XmlWalk) -> None:
    """Remember what a walk has found as the steps of each run."""
    places = [
        (number, index)
        for number, (_, pieces) in enumerate(cut)
        for index in (*([-1] if number else []), *range(1, len(pieces), 2))
        if index < 0 or not pieces[index].startswith("/")
    ]
    nodes = list(node.iter())[1:]
    if len(nodes) != len(places):
        return
    place = dict(zip(nodes, places, strict=True))
    notes: list[list[Note[int]]] = [[] for _ in cut]
    choosing: list[list[int]] = [[] for _ in cut]
    for note in walk.notes:
        number, index = place[note.where]
        notes[number].append(note.at(index if note.attribute else index + 1))
    for each in walk.choosing:
        number, index = place[each]
        choosing[number].append(index + 1)
    for (shape, pieces), found, at in zip(cut, notes, choosing, strict=True):
        shapes.keep(shape, at, pieces, steps(found))


def _serialised(note: Note[etree._Element]) -> str:
    """Return the piece of a serialised document in which a note's value stands."""
    if note.attribute:
        return f' {note.attribute}="{escape(note.where.get(note.attribute) or "", {chr(34): "&quot;"})}"'
    return escape(note.where.text or "")
