"""Reads a Declaration by its tags: one pass, whose state is the class that is open; nothing is learned from traffic.

A document that fits the pack's schema is cut at `<` and `>`: tags and texts take turns, and the plan of the class that
is open (`parsers.xml_plan`) says what the next tag means. What is out of the ordinary is left to the walk
(`parsers.cad_xml.XmlWalk`), which can tell it: whatever is read here, the walk would read alike, and tell nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from core import limits
from core.declaration import Commodity, Declaration, Invoice, Value
from parsers.shapes import gather
from parsers.xml_plan import REFERENCE, XmlPlan

# All but the signs that stand around a tag.
DATA = bytes(set(range(256)) - set(b"<>"))
ATTRIBUTE = re.compile(r"""([^\s=]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")


class CutDocument(NamedTuple):
    """A document's tags without their signs, and the text behind each."""

    tags: list[str]
    texts: list[str]


def cut(body: bytes) -> CutDocument | None:
    """Return a document cut at its tags; None for one that is not UTF-8, or not written plainly.

    Plainly: no other `<` and `>` than those of tags, no references but to signs. Of what is well-formed no name stands
    anywhere but in a tag then.
    """
    signs = body.translate(None, DATA)
    if len(signs) > 2 * limits.XML_NODES or signs != b"<>" * (len(signs) // 2):
        return None
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    if "&" in text and text.count("&") != len(REFERENCE.findall(text)):
        return None
    pieces = text.replace(">", "<").split("<")
    return CutDocument(pieces[1::2], pieces[2::2])


Values = dict[str, Value]
More = dict[str, tuple[Value, ...]]
Given = Mapping[str, str]  # attributes with their values
NONE: Given = {}


class _Reader:
    """What has been read so far, beside the level where reading is: invoices with their lines, and what is repeated."""

    __slots__ = ("again", "before", "invoices", "last", "levels", "met")

    def __init__(self) -> None:
        self.invoices: list[tuple[Values, More, list[Commodity]]] = []
        self.levels: list[tuple[Values, More]] = []  # those above the one where reading is
        self.again: list[tuple[More, str, Value]] = []
        self.last = 0  # where something was said last
        # Of each class where that is open which it was met in last; of one that is met again what its level had before.
        self.met: dict[XmlPlan, int] = {}
        self.before: dict[int, tuple[frozenset[str], int]] = {}

    def level(self, level: int, values: Values, more: More) -> tuple[Values, More]:
        """Begin an invoice or a line; return what it is filled with."""
        self.levels.append((values, more))
        values, more = {}, {}
        if level == 1:
            self.invoices.append((values, more, []))
        else:
            self.invoices[-1][2].append(Commodity(values, more))
        return values, more

    def enter(self, plan: XmlPlan, index: int, above: int, values: Values, more: More) -> tuple[Values, More]:
        """Begin a class inside another that is open since `above`; return what it is filled with."""
        if plan.level:
            self.last = index
            return self.level(plan.level, values, more)
        if self.met.get(plan) == above:
            self.before[index] = frozenset(values), len(self.again)
        self.met[plan] = above
        return values, more

    def says(self, begun: int) -> bool:
        """Tell of a class that ends whether it said something, and something other than one of its kind before it."""
        if begun not in self.before:
            return self.last >= begun
        given, again = self.before[begun]
        return any(name in given for _, name, _ in self.again[again:])

    def read(self, plan: XmlPlan, text: str, given: Given, index: int, values: Values, more: More) -> bool:
        """Read an element of text, and its attributes; tell whether there was more in each than blanks."""
        if plan.element is None:
            return True
        found = [(*plan.element, text)] if text else []
        found += [(name, readings, given[at]) for at, (name, readings) in plan.attributes.items() if given.get(at)]
        for name, readings, each in found:
            value = readings[each]
            if value is None:
                return False
            if name in values:
                self.again.append((more, name, value))
            else:
                values[name] = value
            self.last = index
        return True

    def declaration(self, values: Values, more: More) -> Declaration:
        """Return what was read."""
        gather(self.again)
        invoices = tuple([Invoice(of, further, tuple(lines)) for of, further, lines in self.invoices])
        return Declaration(values, more, invoices)


def read_tags(document: CutDocument, prefix: str | None, top: XmlPlan) -> Declaration | None:
    """Return the declaration of a document that fits its schema; None if it is to be walked.

    `prefix` is that of the Declaration's own tag, whose attributes are looked at elsewhere.
    """
    tags, texts, index = _from_declaration(document, prefix)
    reader, here, begun = _Reader(), top, index
    values, more = Values(), More()
    above = [(top, -1)]  # the classes that are open around this one, and where each begins
    while above:
        tag, given = tags[index], NONE
        step = here.named.get(tag)
        if step is None:
            if tag[0] == "/":
                if (reader.last < begun or begun in reader.before) and not reader.says(begun):
                    return None
                values, more = reader.levels.pop() if here.level else (values, more)
                here, begun = above.pop()
                index += 1
                continue
            step, given = _with_attributes(tag, here)
        step = _variant(step, tags, texts, index) if step and step.variants else step
        if step is None or (given and not step.allows(given)):
            return None
        if not step.is_text:
            values, more = reader.enter(step, index, begun, values, more)
            above.append((here, begun))
            here, begun = step, index
            index += 1
            continue
        value = step.readings[texts[index]]
        if given or value is None or step.name in values or tags[index + 1][0] != "/":
            if tags[index + 1][0] != "/" or not reader.read(step, texts[index], given, index, values, more):
                return None
        else:
            values[step.name] = value
            reader.last = index
        index += 2
    return reader.declaration(values, more) if index == len(tags) - 1 else None


def _from_declaration(document: CutDocument, prefix: str | None) -> tuple[Sequence[str], Sequence[str], int]:
    """Return tags and texts, and where they go on behind the Declaration's own tag; none if not all have its prefix."""
    tags, texts = document
    name = f"{prefix}:Declaration" if prefix else "Declaration"
    begin = next((index for index, tag in enumerate(tags, 1) if tag.split(None, 1)[0] == name), len(tags))
    if not prefix:
        return tags, texts, begin
    below, opens, ends = tags[begin:], f"{prefix}:", f"/{prefix}:"
    if not all(tag.startswith((opens, ends)) for tag in below[:-1]):
        return (), (), 0
    plain = [tag[len(opens) :] if tag.startswith(opens) else f"/{tag[len(ends) :]}" for tag in below]
    return plain, texts[begin:], 0


def _with_attributes(tag: str, here: XmlPlan) -> tuple[XmlPlan | None, Given]:
    """Return what a tag with attributes means inside a class, and the attributes; None for what ends at once."""
    name, _, rest = tag.partition(" ")
    at, _, value = rest.partition('="')
    if value and value.find('"') == len(value) - 1:  # as nearly all are: one attribute, which ends with the tag
        return here.named.get(name), {at: value[:-1]}
    if rest.endswith("/"):
        return None, NONE
    return here.named.get(name), {at: double or single for at, double, single in ATTRIBUTE.findall(rest)}


def _variant(plan: XmlPlan, tags: Sequence[str], texts: Sequence[str], index: int) -> XmlPlan | None:
    """Return what a class means by the text of the child that chooses; None if that is not plain to see."""
    if plan.ahead is None:
        return None
    try:
        end = tags.index(f"/{tags[index].partition(' ')[0]}", index)
        return plan.variants.get(texts[tags.index(plan.ahead, index, end)].strip())
    except ValueError:
        return None
