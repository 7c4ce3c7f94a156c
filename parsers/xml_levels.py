r"""Reads XML by the levels of its Declaration: a pattern for each, compiled from the pack; nothing is learned.

A pattern has the classes and elements of a level in the order of the schema, with the attributes that they may carry
and a group for each that is read; what may be one of several by the text of a child stands in it as alternatives.

A worked example. The plan: a line is the class Line, with its number N, an amount M with a currency, and the class Tax,
which is a duty or a levy as its child T says. The pattern, without blanks and what makes its quantifiers possessive:

    <Line>(?:<N>([^<]+)</N>)?                                           the line's number
    (?:<M(?: cur="([^"<]+)")?>([^<]+)</M>)?                             the amount
    (?:<Tax>(?:(?(4)(?!))<Rate>([^<]+)</Rate><T>DTY</T>
              |(?(5)(?!))<Rate>([^<]+)</Rate><T>LVY</T>)</Tax>){0,2}    each once
    </Line>

What is out of the ordinary does not match: another order, an unknown name or attribute, an element or a class a second
time, a class that says nothing, a comment. Such a document is walked (`parsers.cad_xml.XmlWalk`), which alone can tell
it; whatever is read here, the walk would read alike, and tell nothing.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from html import escape
from typing import NamedTuple

from core import limits
from parsers.levels import NEVER, LevelPattern, LevelReader, LevelSlot, says, untaken
from parsers.notes import LEVELS
from parsers.xml_plan import REFERENCE, Leaf, XmlPlan, local, meant

# Blanks between tags; a value, and one of an attribute, which begin with no blank: so they say something.
BLANKS, VALUE, QUOTED = r"\s*+", r"[^<\s][^<]*+", r'[^<\s"][^<"]*+'


class XmlText(NamedTuple):
    """A Declaration as it is written, behind its start tag, and the whole document but for the names in that."""

    inside: str
    named: bytes


def decoded(body: bytes) -> str | None:
    """Return a document's text; None for one that is not UTF-8, or has too many nodes or references not to be read.

    These are to entities, and to blanks: a value that begins with what is none says something.
    """
    if len(body) > limits.XML_NODES and body.count(b"<") > limits.XML_NODES:
        return None
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    if "&" in text:
        found = REFERENCE.findall(text)
        if len(found) != text.count("&") or any(meant(*each).isspace() for each in {*found}):
            return None
    return text


def declaration_text(text: str, name: str, around: int) -> XmlText | None:
    """Return the Declaration of this name with so many classes around it; None if it does not end where they do.

    In a document that is well-formed nothing can hide it: a comment that began before would have to end inside it. A
    prefix that all its tags have is left out.
    """
    end = len(text)
    for _ in range(around):
        end = text.rfind("</", 0, end)
    found = _start_of(name).search(text, 0, end)
    if found is None or text.count("<", end) != around:
        return None
    inside, prefix = text[found.end() : end], found[1]
    if not prefix:
        return XmlText(inside, f"{text[: found.end()]}{text[end:]}".encode())
    plain = inside.replace(f"<{prefix}:", "<").replace(f"</{prefix}:", "</")
    if len(inside) - len(plain) != (len(prefix) + 1) * inside.count("<"):
        return None
    return XmlText(plain, text.encode())


@functools.cache
def _start_of(name: str) -> re.Pattern[str]:
    """Return the pattern of a Declaration's start tag."""
    return re.compile(rf"<(?:([^<>/:\s]++):)?+{re.escape(name)}(?:\s[^<>]*)?>")


def level_reader(top: XmlPlan, name: str, codes: Iterable[str]) -> LevelReader | None:
    """Return the reader of a plan, and of its function codes only; None unless its levels stand inside one another."""
    writer, begins, ends = _Writer(codes), [], []
    plan: XmlPlan | None = top
    while plan and not plan.choice:
        inner = next((tag for tag, child in plan.children.items() if child.level), None)
        before, behind = writer.level(name, plan, inner)
        begins.append(before)
        ends.append(behind)
        name, plan = (local(inner), plan.children[inner]) if inner else ("", None)
    return LevelReader(begins, ends) if len(begins) == len(LEVELS) else None


class _Writer:
    """Writes the patterns one after the other; `slots` belong to the one that is being written."""

    def __init__(self, codes: Iterable[str]) -> None:
        self.slots: list[LevelSlot] = []
        self._texts = {"function_code": "|".join(map(re.escape, codes))}

    def finished(self, pattern: str) -> LevelPattern:
        """Return what was written, and begin anew."""
        found = LevelPattern(re.compile(pattern), tuple(self.slots))
        self.slots = []
        return found

    def level(self, name: str, plan: XmlPlan, inner: str | None) -> tuple[LevelPattern, LevelPattern]:
        """Return the patterns of a level up to the one inside it, and behind that; without the declaration's tag."""
        children = [*plan.children]
        cut = children.index(inner) if inner else len(children)
        parts = [BLANKS if plan.level is None else self._tag(name, plan)]
        parts += [self._child(tag, plan.children[tag]) for tag in children[:cut]]
        if inner is None:
            return self.finished("".join([*parts, f"</{name}>{BLANKS}"])), self.finished("")
        begins = self.finished("".join(parts))
        parts = [self._child(tag, plan.children[tag]) for tag in children[cut + 1 :]]
        return begins, self.finished("".join([*parts, f"</{name}>{BLANKS}"]))

    def _child(self, tag: str, plan: XmlPlan, *, needed: bool = False) -> str:
        """Return the pattern of a class or an element, which may be left out unless it is needed."""
        name = local(tag)
        if plan.choice:
            return self._variants(name, plan, needed=needed)
        pattern = self._element(name, plan) if plan.is_text else self._class(name, plan)
        return pattern if needed else f"(?:{pattern})?+"

    def _element(self, name: str, plan: XmlPlan, text: str = "") -> str:
        """Return the pattern of an element that has any text, or this one."""
        tag = self._tag(name, plan)
        if plan.element:
            text = self._read(text or self._texts.get(plan.element[0], VALUE), plan.element)
        return f"{tag}{text or '[^<]*+'}</{name}>{BLANKS}"

    def _class(self, name: str, plan: XmlPlan) -> str:
        """Return the pattern of a class that says something."""
        return f"{self._tag(name, plan)}{self._inside(plan)}</{name}>{BLANKS}"

    def _inside(self, plan: XmlPlan, choice: str | None = None, value: str = "") -> str:
        """Return the pattern of what stands in a class; one child may have to be a value."""
        first = len(self.slots)
        alone = len(plan.children) == 1 + (choice is not None)
        parts = [
            self._element(local(tag), child, re.escape(escape(value, quote=False)))
            if tag == choice
            else self._child(tag, child, needed=alone)
            for tag, child in plan.children.items()
        ]
        return "".join(parts) + ("" if alone and self.slots[first:] else says(self.slots, first))

    def _variants(self, name: str, plan: XmlPlan, *, needed: bool) -> str:
        """Return the pattern of a class that is one of several, each at most once."""
        ways = []
        for value, variant in plan.variants.items():
            chooser = variant.children[plan.choice or ""]
            if chooser.is_text and not (chooser.choice or variant.is_text):
                first, tag = len(self.slots), self._tag(name, variant)
                pattern = self._inside(variant, plan.choice, value)
                ways.append(f"{tag}{untaken(self.slots, first)}{pattern}</{name}>{BLANKS}")
        return f"(?>(?:{'|'.join(ways) or NEVER}){{{int(needed)},{len(ways) or 1}}})"

    def _tag(self, name: str, plan: XmlPlan) -> str:
        """Return the pattern of a start tag, with the attributes that it may have."""
        pattern = ""
        for at, value in plan.constants.items():
            pattern += self._attribute(at, re.escape(value))
        for at, values in plan.ignorable.items():
            pattern += self._attribute(at, '[^<"]*+' if values is None else "|".join(map(re.escape, values)))
        for at, leaf in plan.attributes.items() if plan.element else ():
            pattern += self._attribute(at, self._read(QUOTED, leaf))
        return f"<{name}{pattern}>{BLANKS if not plan.is_text else ''}"

    @staticmethod
    def _attribute(name: str, value: str) -> str:
        """Return the pattern of an attribute, which may be left out."""
        return rf'(?:\s++{re.escape(name)}="(?:{value})")?+'

    def _read(self, text: str, leaf: Leaf) -> str:
        """Return the group of a text that is read."""
        self.slots.append((leaf[0], leaf[1].get, leaf[1].__missing__))
        return f"({text})"
