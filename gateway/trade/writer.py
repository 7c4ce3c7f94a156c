"""The readers' counterpart: a `Declaration` to bytes of either syntax, by the same dictionary."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lxml import etree
from pydifact.control.characters import Characters
from pydifact.segments import Segment
from pydifact.serializer import Serializer

from core.declaration import Declaration, Level, Unreadable
from core.envelope import Envelope
from core.errors import GatewayError
from core.specs import Element, Pack
from parsers.places import EdifactPlace, Position, XmlStep, edifact_place, group_parents, group_triggers, xml_path

if TYPE_CHECKING:
    import xmlschema

# The character sets that a syntax identifier declares, as Python names them.
CHARSETS = {"UNOA": "ascii", "UNOB": "ascii", "UNOC": "latin-1", "UNOW": "utf-8"}


def _given(level: Level, pack: Pack, kind: str) -> Iterator[tuple[Element, int, str]]:
    """Yield (element, occurrence from 0, text) for everything given at a level, in the dictionary's order."""
    for element in pack.elements.values():
        if element.level == kind and element.direction == "in":
            for occurrence, value in enumerate(level.all(element.name)):
                yield element, occurrence, value if isinstance(value, Unreadable) else element.format.write(value)


# ------------------------------------------------------------------------------------------------ XML


def write_xml(declaration: Declaration, pack: Pack, envelope: Envelope, *, encoding: str = "UTF-8") -> bytes:
    """Return the declaration in the form that its pack gives documents, children in the schema's order.

    What the envelope says of sender, recipient, reference and test stands where the form has a place for it. Raises
    GatewayError for a test where it has none: it would be taken for a real declaration.
    """
    form = pack.document
    if envelope.test and "test" not in form.envelope:
        raise GatewayError(f"{pack.key}: a document in XML has no place that says that it is a test")
    root = etree.Element(form.way[0], nsmap=_default(form.way[0]))
    node = root
    for tag in form.way[1:]:
        node = etree.SubElement(node, tag, nsmap=_default(tag))
    _write_level(node, declaration, pack, "declaration", "")
    for invoice in declaration.invoices:
        shipment = _path_node(node, pack.xml_levels["invoice"], form.namespace)
        _write_level(shipment, invoice, pack, "invoice", pack.xml_levels["invoice"])
        for commodity in invoice.commodities:
            way = pack.xml_levels["commodity"]
            item = _path_node(shipment, way.removeprefix(pack.xml_levels["invoice"] + "/"), form.namespace)
            _write_level(item, commodity, pack, "commodity", way)
    said = {
        "version": pack.version,
        "reference": envelope.reference,
        "test": "true" if envelope.test else "false",
        "sender": envelope.sender,
        "recipient": envelope.recipient,
    }
    told = {path: said[part] for part, path in form.envelope.items()}
    for path, text in {**form.constants, **told}.items():
        if text is not None:
            _make(root, form.tags(path), text)
    _sort(root, _schema(pack.schema).elements[form.names[0]])
    etree.indent(root)
    return cast("bytes", etree.tostring(root, xml_declaration=True, encoding=encoding))


def _default(tag: str) -> Any:
    """Return the map that makes a tag's namespace the default one."""
    return {None: tag[1:].partition("}")[0]}


def _make(top: etree._Element, tags: tuple[str, ...], text: str) -> None:
    """Set the text at a path of tags, making what is missing."""
    node = top
    for tag in tags:
        below = node.find(tag)
        node = etree.SubElement(node, tag) if below is None else below
    node.text = text


def _path_node(top: etree._Element, path: str, namespace: str) -> etree._Element:
    """Return a new node at a path; the classes above its last step are shared."""
    *above, last = path.split("/")
    for name in above:
        below = top.find(f"{{{namespace}}}{name}")
        top = etree.SubElement(top, f"{{{namespace}}}{name}") if below is None else below
    return etree.SubElement(top, f"{{{namespace}}}{last}")


def _write_level(top: etree._Element, level: Level, pack: Pack, kind: str, way: str) -> None:
    """Write the elements of one level below its class."""
    made: dict[tuple[Any, ...], etree._Element] = {}
    for element, occurrence, text in _given(level, pack, kind):
        steps = xml_path(element)[way.count("/") + 1 if way else 0 :]
        repeats = max((i for i, step in enumerate(steps) if _choices(step)), default=len(steps) - 1)
        node = top
        key: tuple[Any, ...] = ()
        for i, step in enumerate(steps):
            if step.name.startswith("@"):
                node.set(step.name[1:], text)
                break
            key = (*key, step.name, _choices(step), occurrence if i == repeats else 0)
            below = made.get(key)
            if below is None:
                below = made[key] = etree.SubElement(node, f"{{{pack.document.namespace}}}{step.name}")
                for child, value in step.conditions:
                    if child.startswith("@"):
                        below.set(child[1:], value)
                    else:
                        etree.SubElement(below, f"{{{pack.document.namespace}}}{child}").text = value
            node = below
        else:
            node.text = text


def _choices(step: XmlStep) -> tuple[tuple[str, str], ...]:
    """Return the conditions of a step that choose among repeated classes."""
    return tuple(condition for condition in step.conditions if not condition[0].startswith("@"))


@functools.cache  # by the file's name: whoever makes samples makes many
def _schema(path: Path) -> xmlschema.XMLSchema10:
    import xmlschema  # an eighth of every program's start

    return xmlschema.XMLSchema10(path, allow="local", defuse="always")


def _sort(node: etree._Element, declared: Any) -> None:
    """Bring the children of a node into the order of its type, all the way down."""
    if declared is None or declared.type.is_simple() or declared.type.has_simple_content():
        return
    order = {child.name: (place, child) for place, child in enumerate(declared.type.content.iter_elements())}
    known = [child for child in node if child.tag in order]
    for child in sorted(known, key=lambda each: order[each.tag][0]):
        node.append(child)
        _sort(child, order[child.tag][1])


# ------------------------------------------------------------------------------------------------ EDIFACT


@dataclass
class _Group:
    """A segment group under construction: what its segments hold, and the groups inside."""

    number: int
    segments: dict[tuple[str, tuple[Any, ...], int], dict[Position, str]] = field(default_factory=dict)
    children: dict[tuple[Any, ...], _Group] = field(default_factory=dict)


def write_edifact(
    declarations: list[Declaration],
    pack: Pack,
    envelope: Envelope,
    *,
    prepared: datetime,
    syntax: tuple[str, str] = ("UNOC", "3"),
    newline: bool = True,
) -> bytes:
    """Return one interchange with a message for each declaration; the message references count from 1."""
    century = "%Y%m%d" if syntax[1] == "4" else "%y%m%d"
    opening: list[Any] = [
        list(syntax), envelope.sender or "", envelope.recipient or "", [f"{prepared:{century}}", f"{prepared:%H%M}"],
        envelope.reference or "",
    ]  # fmt: skip
    segments = [Segment("UNB", *opening, *(["", "", "", "", "", "1"] if envelope.test else []))]
    for number, declaration in enumerate(declarations, 1):
        body = list(_message(declaration, pack))
        reference = envelope.message if envelope.message and len(declarations) == 1 else str(number)
        segments.append(Segment("UNH", reference, list(pack.edifact_message), pack.version))
        segments += body
        segments.append(Segment("UNT", str(len(body) + 2), reference))
    segments.append(Segment("UNZ", str(len(declarations)), envelope.reference or ""))
    return Serializer(Characters.from_str("UNA:+.? '")).serialize(segments, True, newline).encode(CHARSETS[syntax[0]])


def _message(declaration: Declaration, pack: Pack) -> Iterator[Segment]:
    """Yield the segments of a message between UNH and UNT."""
    parents = group_parents(pack)
    top = _Group(0)
    _group_level(top, declaration, pack, "declaration", parents)
    for i, invoice in enumerate(declaration.invoices, 1):
        shipment = top.children[("invoice", i)] = _Group(pack.edifact_levels["invoice"])
        _group_level(shipment, invoice, pack, "invoice", parents)
        for j, commodity in enumerate(invoice.commodities, 1):
            line = shipment.children[("commodity", j)] = _Group(pack.edifact_levels["commodity"])
            _group_level(line, commodity, pack, "commodity", parents)
    yield from _serialise(top, pack, {"invoice": 1, "line": 1})


def _group_level(top: _Group, level: Level, pack: Pack, kind: str, parents: Mapping[int, int]) -> None:
    """Put the elements of one level into its groups."""
    once = {(row.group, row.tag) for row in pack.profile if row.max == 1} | set(group_triggers(pack).items())
    for element, occurrence, text in _given(level, pack, kind):
        if not element.edifact_place:
            continue
        place = edifact_place(element)
        group = top
        way = _way_below(place, top.number, parents)
        named = {step.number: step for step in place.groups}
        repeats = max((number for number in way if number in named and named[number].conditions), default=0)
        for number in way:
            step = named.get(number)
            conditions = step.conditions if step else ()
            key = (number, conditions, occurrence if number == repeats else 0)
            group = group.children.setdefault(key, _Group(number))
            if step and step.trigger:
                trigger = group.segments.setdefault((step.trigger, (), 0), {})
                trigger.update({condition.position: condition.value for condition in conditions})
        # What the profile has once is one segment, whichever of its elements carries the qualifier.
        told_apart = place.conditions if (group.number, place.tag) not in once else ()
        which = (place.tag, told_apart, 0 if repeats else occurrence)
        segment = group.segments.setdefault(which, {})
        segment.update({condition.position: condition.value for condition in place.conditions})
        segment[place.position] = text


def _way_below(place: EdifactPlace, top: int, parents: Mapping[int, int]) -> list[int]:
    """Return the groups from (without) a level's group down to the one that holds the segment."""
    way, number = [], place.groups[-1].number
    while number and number != top:
        way.append(number)
        number = parents[number]
    return way[::-1]


def _serialise(group: _Group, pack: Pack, numbers: dict[str, int]) -> Iterator[Segment]:
    """Yield a group's segments in the profile's order, constants where the profile has them."""
    done: set[int] = set()
    for row in pack.profile:
        if row.group == group.number and row.tag not in ("UNH", "UNT"):
            found = [positions for (tag, _, _), positions in group.segments.items() if tag == row.tag]
            if row.constant and not found:
                yield _constant(row.constant.format(**numbers))
            for positions in found:
                yield _segment(row.tag, positions)
        elif row.parent == group.number and row.group != group.number and row.group not in done:
            done.add(row.group)
            for child in (child for child in group.children.values() if child.number == row.group):
                yield from _serialise(child, pack, numbers)
                if row.group == pack.edifact_levels["invoice"]:
                    numbers["invoice"] += 1
                if row.group == pack.edifact_levels["commodity"]:
                    numbers["line"] += 1


def _constant(text: str) -> Segment:
    """Return the segment that a constant of the profile spells."""
    tag, *elements = text.split("+")
    return Segment(tag, *(element.split(":") if ":" in element else element for element in elements))


def _segment(tag: str, positions: Mapping[Position, str]) -> Segment:
    """Return a segment with texts at positions, nothing behind the last of them."""
    elements: list[list[str]] = [[] for _ in range(max(position.element for position in positions))]
    for position, text in positions.items():
        components = elements[position.element - 1]
        components += [""] * (position.component - len(components))
        components[position.component - 1] = text
    return Segment(tag, *(components if len(components) > 1 else "".join(components) for components in elements))
