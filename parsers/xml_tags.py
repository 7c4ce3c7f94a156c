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
from parsers.notes import gather
from parsers.xml_plan import REFERENCE, Leaf, XmlPlan

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


class _UnusualError(Exception):
    """A document holds what only the walk can tell."""


class _Reader:
    """What has been read so far, beside the level where reading is: invoices with their lines, and what is repeated."""

    __slots__ = ("again", "before", "invoices", "levels", "met")

    def __init__(self) -> None:
        self.invoices: list[tuple[Values, More, list[Commodity]]] = []
        self.levels: list[tuple[Values, More]] = []  # those above the one where reading is
        self.again: list[tuple[More, str, Value]] = []
        self.met: dict[XmlPlan, int] = {}  # where the class is open inside which one of a kind was met last
        # Of each class that is met again inside another, by where it begins: what its level had before.
        self.before: dict[int, tuple[frozenset[str], int]] = {}

    def enter(self, plan: XmlPlan, index: int, values: Values, more: More, last: int) -> tuple[Values, More, int]:
        """Begin a level, or a class where one of its kind has been; return what is filled now, and what said last."""
        if not plan.level:
            self.before[index] = frozenset(values), len(self.again)
            return values, more, last
        self.levels.append((values, more))
        values, more = {}, {}
        if plan.level == 1:
            self.invoices.append((values, more, []))
        else:
            self.invoices[-1][2].append(Commodity(values, more))
        return values, more, index

    def says(self, begun: int, last: int) -> None:
        """Make sure of a class that ends that it said something, and something that one of its kind before it did."""
        given, again = self.before.get(begun, (None, 0))
        if last < begun or (given is not None and not any(name in given for _, name, _ in self.again[again:])):
            raise _UnusualError

    def repeat(self, name: str, value: Value | None, more: More) -> None:
        """Take down an element that is given again; blanks are none."""
        if value is None:
            raise _UnusualError
        self.again.append((more, name, value))

    def read(self, plan: XmlPlan, tag: str, text: str, values: Values, more: More) -> bool:
        """Read an element of text, and its attributes; tell whether there is any."""
        start, _, value = tag.partition('="')
        of = plan.valued.get(start)
        if of and value.find('"') == len(value) - 1:  # as nearly all are: one attribute, which ends with the tag
            found = [(of, value[:-1])]
        else:
            given = _attributes(plan, tag)
            found = [(of, given[at]) for at, of in plan.attributes.items() if at in given]
        said = False
        for leaf, each in [(plan.element, text), *found]:
            if leaf and each:
                self.take(leaf, each, values, more)
                said = True
        return said

    def take(self, leaf: Leaf, text: str, values: Values, more: More) -> None:
        """Take down what a text says of an element."""
        name, readings = leaf
        value = readings[text]
        if value is None or name in values:
            self.repeat(name, value, more)
        else:
            values[name] = value

    def declaration(self, values: Values, more: More) -> Declaration:
        """Return what was read."""
        gather(self.again)
        invoices = tuple([Invoice(of, further, tuple(lines)) for of, further, lines in self.invoices])
        return Declaration(values, more, invoices)


def read_tags(document: CutDocument, prefix: str | None, names: Sequence[str], top: XmlPlan) -> Declaration | None:
    """Return the declaration of a document that fits its schema; None if it is to be walked.

    `names` lead from the root down to the Declaration. `prefix` is that of its own tag, whose attributes are looked at
    elsewhere. What stands behind the tag
    of an element of text is taken for its end. Were it another element, or a comment, the document's end would not be
    met where nothing is open any more: as many tags begin as end.
    """
    try:
        return _read(*_from_declaration(document, prefix, names), len(names) - 1, top)
    except (IndexError, _UnusualError):
        return None


def _read(  # noqa: C901  one loop: a call for each tag costs more than the tag
    tags: Sequence[str], texts: Sequence[str], index: int, around: int, top: XmlPlan
) -> Declaration:
    """Return the declaration that begins behind a tag; `around` are the classes that are open around it."""
    reader, here, begun, last = _Reader(), top, index, index
    values, more = Values(), More()
    above = [(top, index)]  # the classes that are open around this one, and where each begins
    leaves = here.leaves
    while above:
        tag = tags[index]
        if leaf := leaves.get(tag):
            name, readings = leaf
            value = readings[texts[index]]
            if value is not None and name not in values:
                values[name] = value
                last = index
            elif texts[index]:
                reader.repeat(name, value, more)
                last = index
            index += 2
        elif tag[0] == "/":
            if last < begun or begun in reader.before:
                reader.says(begun, last)
            values, more = reader.levels.pop() if here.level else (values, more)
            here, begun = above.pop()
            leaves = here.leaves
            index += 1
        elif (only := here.single.get(tag)) and tags[index + 3] == only[0] and (leaf := only[1].get(tags[index + 1])):
            reader.take(leaf, texts[index + 1], values, more)
            last = index
            index += 4
        elif tag in here.silent:
            index += 2
        elif (step := here.classes.get(tag) or _step(tags, texts, index, here)).is_text:
            last = index if reader.read(step, tag, texts[index], values, more) else last
            index += 2
        else:
            above.append((here, begun))
            if step.level or reader.met.get(step) == begun:
                values, more, last = reader.enter(step, index, values, more, last)
            reader.met[step] = begun
            here, begun, leaves = step, index, step.leaves
            index += 1
    if index != len(tags) - around:
        raise _UnusualError
    return reader.declaration(values, more)


def _from_declaration(
    document: CutDocument, prefix: str | None, names: Sequence[str]
) -> tuple[Sequence[str], Sequence[str], int]:
    """Return tags and texts, and where they go on behind the Declaration's own tag; none if not all have its prefix."""
    tags, texts = document
    name = f"{prefix}:{names[-1]}" if prefix else names[-1]
    begin = next(
        (index for index, tag in enumerate(tags, 1) if name in tag and tag.split(None, 1)[0] == name), len(tags)
    )
    if not prefix:
        return tags, texts, begin
    below, opens, ends = tags[begin:], f"{prefix}:", f"/{prefix}:"
    if not all(tag.startswith((opens, ends)) for tag in below[: len(below) - len(names) + 1]):
        return (), (), 0
    plain = [tag[len(opens) :] if tag.startswith(opens) else f"/{tag[len(ends) :]}" for tag in below]
    return plain, texts[begin:], 0


def _step(tags: Sequence[str], texts: Sequence[str], index: int, here: XmlPlan) -> XmlPlan:
    """Return what a tag inside a class means that has attributes, or whose class has variants."""
    tag = tags[index]
    name = tag.partition(" ")[0]
    step = here.named.get(name)
    if step and step.variants:
        step = _variant(tags, texts, index, step)
    if step is None:
        raise _UnusualError
    if name != tag and not step.is_text:
        _attributes(step, tag)
    return step


def _variant(tags: Sequence[str], texts: Sequence[str], index: int, step: XmlPlan) -> XmlPlan | None:
    """Return what a class means by the text of the element in it that chooses, None if it is nothing known."""
    if step.ahead is None:
        raise _UnusualError
    try:
        chooser = tags.index(step.ahead, index, tags.index(step.end, index))
    except ValueError:
        return None
    return step.variants.get(texts[chooser].strip())


def _attributes(plan: XmlPlan, tag: str) -> Given:
    """Return the attributes in a tag, which may all stand there; what ends at once is left to the walk."""
    text = tag.partition(" ")[2]
    if text.endswith("/"):
        raise _UnusualError
    given = {at: double or single for at, double, single in ATTRIBUTE.findall(text)}
    if not plan.allows(given):
        raise _UnusualError
    return given
