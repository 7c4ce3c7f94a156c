"""XML to a `Declaration`, by the pack's dictionary; what it does not know is told, not dropped."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import NamedTuple, cast

from lxml import etree

from core.declaration import Declaration
from core.envelope import Envelope
from core.specs import Pack
from parsers import xml_finding, xml_schema
from parsers.former import settling
from parsers.levels import LevelReader
from parsers.notes import AGAIN, EMPTY, OTHER_METADATA, UNKNOWN, Note, of_notes
from parsers.xml import UnreadNode
from parsers.xml_levels import XmlText, declaration_text, decoded, level_reader
from parsers.xml_paths import put_in_order
from parsers.xml_plan import XmlPlan, xml_plan

WALKED = 200_000  # characters of documents that are walked in the time in which the patterns compile


class XmlWalk:
    """What a walk through a Declaration meets, in document order.

    Every element, attribute and text is a value, compared, allowed, or told as not read.
    """

    def __init__(self) -> None:
        self.notes: list[Note[etree._Element]] = []
        self.unread: list[UnreadNode] = []  # below an unknown node nothing is looked at
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
                step = step.variants.get("" if chosen is None else (chosen.text or "").strip())
            if step is None:
                self.unread.append(UnreadNode(UNKNOWN, each))
            elif step.level:
                above, self._given = self._given, set()
                self.notes.append(Note(step.level, each, "", None))
                self.through(each, step, step.level)
                self._given = above
            elif step.is_text:
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
        for attribute, (name, readings) in plan.attributes.items():
            if node.get(attribute):
                self.notes.append(Note(level, node, name, readings, attribute))
                self._given.add(name)

    def _class(self, node: etree._Element, plan: XmlPlan, level: int, *, again: bool) -> None:
        """Walk through a class that is no level; tell if it says nothing, or goes on with a former one like it."""
        before, told, given = len(self.notes), len(self.unread), set(self._given) if again else set()
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
        self.unread += [UnreadNode(UNKNOWN, node, name) for name in plan.strange(_attributes(node))]


class XmlReading:
    """What a pack's dictionary is compiled to for reading XML.

    `said` finds in one look-up what the wrapper says (sender, recipient, reference, test, version, and the `constants`
    by their paths) and what the Declaration is (message, function_code); packs with the same places share it.
    """

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self.schema = xml_schema.schema(pack.schema)
        self.constants = {f"/{path}": text for path, text in pack.document.constants.items()}
        self.plan = xml_plan(pack)
        put_in_order(self.plan, pack)
        self.settle = settling(pack)
        self._walked = 0
        own = {"message": "functional_reference", "function_code": "function_code"}
        places = [(part, pack.document.tags(path)) for part, path in pack.document.envelope.items()]
        places += [(path, pack.document.tags(path[1:])) for path in self.constants]
        places += [(part, xml_finding.tags_of(pack, name)) for part, name in own.items()]
        self.said = xml_finding.finders(tuple(places))

    def is_usual(self, said: Mapping[str, str | None]) -> bool:
        """Tell whether the wrapper says what stands in every document."""
        return all(said[path] == text for path, text in self.constants.items())

    def levels(self, characters: int = 0) -> LevelReader | None:
        """Return the patterns of the levels for a document of so many characters; None while it is cheaper to walk."""
        if self._walked < WALKED:
            self._walked += characters
            return None
        return self._compiled

    def warm(self) -> bool:
        """Compile the patterns of the levels, before any document has been walked; tell whether they were not yet."""
        cold, self._walked = self._walked < WALKED, WALKED
        self.levels()
        return cold

    @functools.cached_property
    def _compiled(self) -> LevelReader | None:
        return level_reader(self.plan, self.pack.document.names[-1], self.pack.types)


class Known(NamedTuple):
    """What the patterns of a pack's levels say of a document before it is parsed."""

    plan: XmlReading
    text: XmlText
    declaration: Declaration

    def of(self, plan: XmlReading) -> Declaration | None:
        """Return what the patterns of a pack, perhaps another one, say of the document."""
        if plan is self.plan:
            return self.declaration
        levels = plan.levels()
        return levels.read(self.text.inside) if levels else None


def read_levels(body: bytes, plans: Iterable[XmlReading]) -> Known | None:
    """Return what the first patterns that fit say of a document; None if it is to be walked."""
    texts: dict[tuple[str, ...], XmlText | None] = {}
    whole = decoded(body)
    for plan in plans if whole else ():
        levels, names = plan.levels(len(body)), plan.pack.document.names
        if levels and names not in texts:
            texts[names] = declaration_text(whole or "", names[-1], len(names) - 1)
        if levels and (text := texts[names]) and (declaration := levels.read(text.inside)):
            return Known(plan, text, declaration)
    return None


def read_xml(
    node: etree._Element | None, reading: XmlReading, said: Mapping[str, str | None], known: Known | None = None
) -> tuple[Declaration, list[UnreadNode]]:
    """Return the declaration that a Declaration node holds, and all content of it that no declaration has.

    What stands below an unknown node is not looked at: the node itself is told. `said` is what was found in one
    look-up, `known` what the levels say inside the node: it suffices, but for the node's own attributes.
    """
    if node is None:
        return Declaration({}), []
    other = [] if reading.is_usual(said) else [*_other_metadata(node, reading)]
    usable = known and _is_last(node) and reading.plan.allows(_attributes(node))
    if known and usable and (declaration := known.of(reading)):
        return declaration, other
    walk = XmlWalk().through(node, reading.plan, 0)
    return of_notes(walk.notes, [_written(note) for note in walk.notes]), [*other, *walk.unread]


def _is_last(node: etree._Element) -> bool:
    """Tell whether nothing stands behind a Declaration: it is then the one that patterns read, by its end tag."""
    return all(each.getnext() is None for each in (node, *node.iterancestors()))


def _other_metadata(node: etree._Element, reading: XmlReading) -> Iterator[UnreadNode]:
    """Yield what the wrapper around a Declaration says otherwise than the pack."""
    root = node.getroottree().getroot()
    for path, wanted in reading.pack.document.constants.items():
        child = root.find("/".join(reading.pack.document.tags(path)))
        if child is not None and child.text != wanted and (text := (child.text or "").strip()) != wanted:
            yield UnreadNode(OTHER_METADATA, child, text=text, expected=wanted)


def envelope_of(said: Mapping[str, str | None]) -> Envelope:
    """Return what was found of the message, as an envelope."""
    return Envelope(
        sender=said.get("sender"),
        recipient=said.get("recipient"),
        reference=said.get("reference"),
        message=said.get("message"),
        test=said.get("test") in ("1", "true"),
    )


def _attributes(node: etree._Element) -> dict[str, str]:
    """Return a node's attributes."""
    return cast("dict[str, str]", node.attrib)


def _written(note: Note[etree._Element]) -> str:
    """Return a note's value as it is written in a document."""
    return escape((note.where.get(note.attribute) if note.attribute else note.where.text) or "", quote=False)
