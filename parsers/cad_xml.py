"""XML to a `Declaration`, by the pack's dictionary; what it does not know is told, not dropped."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Container, Iterator, Mapping
from typing import cast
from xml.sax.saxutils import escape, unescape

from lxml import etree

from core.declaration import Declaration, Value
from core.envelope import Envelope
from core.errors import SpecError
from core.specs import Element, Format, Ignorable, Pack
from parsers import xml, xml_schema
from parsers.former import settling
from parsers.places import xml_path, xml_steps
from parsers.shapes import (
    AGAIN,
    EMPTY,
    LEVELS,
    OTHER_METADATA,
    UNKNOWN,
    Known,
    Note,
    Readings,
    Shapes,
    of_notes,
    plain,
    steps,
)
from parsers.xml import UnreadNode
from parsers.xml_paths import is_closed

# How the serialiser writes what it must not write as it is, beside &amp; &lt; and &gt;.
ESCAPED = {"&quot;": '"', "&#13;": "\r", "&#10;": "\n", "&#9;": "\t"}

# Characters of a Declaration's own tag, which is part of every shape: many namespaces, but not any number.
HEAD = 4_096

# The prefix that the notation of places has for what a document says of its own schema.
INSTANCE = ("xsi:", "{http://www.w3.org/2001/XMLSchema-instance}")


class XmlPlan:
    """What to do with one class or element of the schema: read it, descend into it, or start a level.

    `constants` are the attributes that select it, `ignorable` those that it may carry unread (None: with any value).
    """

    __slots__ = ("attributes", "children", "choice", "constants", "element", "ignorable", "level", "variants")

    def __init__(self) -> None:
        self.element: tuple[str, Readings] | None = None
        self.attributes: list[tuple[str, str, Readings]] = []
        self.constants: dict[str, str] = {}
        self.ignorable: dict[str, frozenset[str] | None] = {}
        self.children: dict[str, XmlPlan] = {}
        self.choice: str | None = None  # the child whose text chooses the variant
        self.variants: dict[str, XmlPlan] = {}
        self.level: int | None = None

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
            _plan(top, element, pack.namespace, levels, formers)
    for ignorable in pack.ignorable:
        if ignorable.syntax == "xml":
            _plan_ignorable(top, ignorable, pack.namespace)
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
    """Return the value of an element's text as it is serialised, None for blanks."""
    written = plain(unescape(text, ESCAPED) if "&" in text else text)
    return form.read(written) if written else None


def _read_attribute(name: str, form: Format, tag: str) -> Value | None:
    """Return the value of an attribute in a tag as it is serialised."""
    found = re.search(f'\\s{name}="([^"]*)"', tag)
    return _read(form, found[1]) if found else None


# ------------------------------------------------------------------------------------------------ reading


class XmlWalk:
    """What a walk through a Declaration meets, in document order.

    Every element, attribute and text is a value, compared, allowed, or told as not read.
    """

    def __init__(self) -> None:
        self.notes: list[Note[etree._Element]] = []
        self.choosing: list[etree._Element] = []  # the nodes whose text chose a variant
        self.unread: list[UnreadNode] = []  # below an unknown node nothing is looked at
        self.plainly = True  # whether nothing stands in the way of reading such a document by shape
        self._given: set[str] = set()  # the elements given so far at the level where the walk is

    def through(self, node: etree._Element, plan: XmlPlan, level: int) -> XmlWalk:
        """Walk through what stands inside a class; no deeper than the plan goes."""
        self._attributes(node, plan)
        self._between(node)
        met: set[int] = set()
        for each in node:
            step = plan.children.get(each.tag)
            if step is not None and step.choice:
                chosen = next(each.iterchildren(step.choice), None)
                if chosen is not None and chosen.text:
                    self.choosing.append(chosen)
                step = step.variants.get("" if chosen is None else (chosen.text or "").strip())
            if step is None:
                self.unread.append(UnreadNode(UNKNOWN, each))
            elif step.level:
                above, self._given = self._given, set()
                self.notes.append(Note(step.level, each, "", None))
                self.through(each, step, step.level)
                self._given = above
            elif step.element or not step.children:
                self._element(each, step, level)
            else:
                self._class(each, step, level, again=id(step) in met)
                met.add(id(step))
        return self

    def _element(self, node: etree._Element, plan: XmlPlan, level: int) -> None:
        """Read an element that has a text, or that chose a variant."""
        self._attributes(node, plan)
        self.unread += [UnreadNode(UNKNOWN, child) for child in node]
        if not plan.element:
            return
        if node.text:
            self.notes.append(Note(level, node, *plan.element))
            self._given.add(plan.element[0])
        for attribute, name, readings in plan.attributes:
            if node.get(attribute):
                self.notes.append(Note(level, node, name, readings, attribute))
                self._given.add(name)

    def _class(self, node: etree._Element, plan: XmlPlan, level: int, *, again: bool) -> None:
        """Walk through a class that is no level; tell if it says nothing, or goes on with a former one like it."""
        before, told, given = len(self.notes), len(self.unread), set(self._given) if again else set()
        self.plainly &= not again  # whether it goes on with a former one depends on what both hold
        self.through(node, plan, level)
        said = {note.name for note in self.notes[before:]}
        if len(self.unread) == told:
            if not said:
                self.unread.append(UnreadNode(EMPTY, node, elements=tuple(plan.elements())))
            elif again and not said & given:
                self.unread.append(UnreadNode(AGAIN, node))

    def _between(self, node: etree._Element) -> None:
        """Tell text that stands between the elements of a class."""
        for text in (node.text, *(child.tail for child in node)):
            if text and (text := text.strip()):
                self.unread.append(UnreadNode(UNKNOWN, node, text=text))

    def _attributes(self, node: etree._Element, plan: XmlPlan) -> None:
        """Tell the attributes that have no meaning here."""
        if not node.attrib:
            return
        read = [attribute for attribute, _, _ in plan.attributes]
        for name, value in cast("dict[str, str]", node.attrib).items():
            if name in read or plan.constants.get(name) == value.strip():
                continue
            allowed = plan.ignorable.get(name, frozenset())
            if allowed is not None and value.strip() not in allowed:
                self.unread.append(UnreadNode(UNKNOWN, node, name))


class XmlReading:
    """What a pack's dictionary is compiled to for reading XML; `shapes` grows with the lines that are met, bounded.

    `closed` tells that its schema has text nowhere but in elements of text: else a shape does not tell what stands in a
    document. `envelope` finds what the metadata wrapper says: sender, recipient, reference, test, version.
    """

    __slots__ = (
        "closed",
        "constants",
        "envelope",
        "function_code",
        "lines",
        "pack",
        "plan",
        "reference",
        "schema",
        "settle",
        "shapes",
    )

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self.schema = xml_schema.schema(pack.schema)
        self.closed = is_closed(pack)
        self.constants = {f"{{{pack.metadata_namespace}}}{name}": text for name, text in pack.xml_constants.items()}
        self.plan = xml_plan(pack)
        self.shapes = Shapes()
        self.settle = settling(pack)
        self.lines = _lines(pack)
        self.envelope = {part: xml.finder(path, pack.metadata_namespace) for part, path in pack.xml_envelope.items()}
        self.function_code = xml.finder(xml.path_of(pack, "function_code"), pack.namespace)
        self.reference = xml.finder("FunctionalReferenceID", pack.namespace)


def read_xml(node: etree._Element | None, reading: XmlReading, *, sound: bool) -> tuple[Declaration, list[UnreadNode]]:
    """Return the declaration that a Declaration node holds, and all content of it that no declaration has.

    What stands below an unknown node is not looked at: the node itself is told. `sound` tells that the document fits
    the schema: then to know its shape is enough. Of others nothing is learned, since lines may stand anywhere in them.
    """
    if node is None:
        return Declaration({}), []
    other = [*_other_metadata(node, reading)]
    shapes, cut = reading.shapes, _cut(node, reading) if sound and reading.closed else []
    if known := shapes.read(cut):
        return known, other
    walk = XmlWalk().through(node, reading.plan, 0)
    if cut and walk.plainly and not walk.unread:
        _learn(shapes, cut, node, walk)
    return of_notes(walk.notes, [_serialised(note) for note in walk.notes]), [*other, *walk.unread]


def _other_metadata(node: etree._Element, reading: XmlReading) -> Iterator[UnreadNode]:
    """Yield what the wrapper around a Declaration says otherwise than the pack."""
    for child in node.itersiblings(preceding=True):
        wanted = reading.constants.get(child.tag)
        if wanted is not None and child.text != wanted and (text := (child.text or "").strip()) != wanted:
            yield UnreadNode(OTHER_METADATA, child, text=text, expected=wanted)


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
        shapes.keep(shape, at, pieces, Known(steps(found)))


def _serialised(note: Note[etree._Element]) -> str:
    """Return the piece of a serialised document in which a note's value stands."""
    if note.attribute:
        return f' {note.attribute}="{escape(note.where.get(note.attribute) or "", {chr(34): "&quot;"})}"'
    return escape(note.where.text or "")
