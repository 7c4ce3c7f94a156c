"""What the readers of both syntaxes share: an element's values by their texts, and what a walk notes on its way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

from core.declaration import Commodity, Declaration, Invoice, Value
from core.specs import Format

Where = TypeVar("Where")

LEVELS = ("declaration", "invoice", "commodity")

# What is told of content that no declaration has: it is unknown, says nothing, is put together with other content of
# its kind, or is not the constant that belongs there.
UNKNOWN, EMPTY, AGAIN, OTHER = "CAD-0007", "CAD-0008", "CAD-0009", "CAD-0010"
OTHER_METADATA = "CAD-0011"  # as OTHER, in the wrapper of XML

# How many texts of an element are remembered, and up to which length; they come from senders.
TEXTS, TEXT = 256, 64


def echo_of(elements: Sequence[str]) -> dict[str, str]:
    """Return the details of what says nothing: it is the echo of a fault that tells one of the elements as missing."""
    return {"elements": " ".join(elements)} if elements else {}


def plain(text: str) -> str:
    """Return a text as both syntaxes mean it: without blanks around it, and with one plain one for any inside.

    XML's schema calls it a token; a declaration is one value whichever way it was written (DECISIONS D60).
    """
    if text.isalnum():
        return text
    text = text.strip()
    return text if text.isprintable() and "  " not in text else " ".join(text.split())


class Readings(dict[str, "Value | None"]):
    """An element's texts with the values they read as (None: blank); what is asked for anew is read and kept."""

    __slots__ = ("_form", "_read")

    def __init__(self, form: Format, read: Callable[[Format, str], Value | None]) -> None:
        self._form, self._read = form, read

    def __missing__(self, text: str) -> Value | None:
        value = self._read(self._form, text)
        if len(text) <= TEXT:
            if len(self) >= TEXTS:
                self.clear()
            self[text] = value
        return value


class Note(NamedTuple, Generic[Where]):
    """One thing met on a walk through a message: the start of a level (no name), or an element and where it stands."""

    level: int  # 0 the declaration, 1 an invoice, 2 a line
    where: Where
    name: str
    readings: Readings | None
    attribute: str = ""  # of XML: the value stands in this attribute


def of_notes(notes: Iterable[Note[Where]], texts: Iterable[str]) -> Declaration:
    """Return the declaration that a walk has noted, with the text that each note is about."""
    here: list[tuple[dict[str, Value], dict[str, tuple[Value, ...]]]] = [({}, {}), ({}, {}), ({}, {})]
    invoices: list[tuple[Invoice, list[Commodity]]] = []
    again: list[tuple[dict[str, tuple[Value, ...]], str, Value]] = []
    for note, text in zip(notes, texts, strict=True):
        if note.readings is None:
            values, more = here[note.level] = {}, {}
            if note.level == 1:
                invoices.append((Invoice(values, more), []))
            else:
                invoices[-1][1].append(Commodity(values, more))
        elif (value := note.readings[text]) is not None:
            values, more = here[note.level]
            if note.name in values:
                again.append((more, note.name, value))
            else:
                values[note.name] = value
    gather(again)
    values, more = here[0]
    return Declaration(values, more, tuple([Invoice(one.values, one.more, tuple(lines)) for one, lines in invoices]))


def gather(again: Iterable[tuple[dict[str, tuple[Value, ...]], str, Value]]) -> None:
    """Put further occurrences of elements into their levels; to make a longer tuple for each would take the square."""
    lists: dict[tuple[int, str], tuple[dict[str, tuple[Value, ...]], list[Value]]] = {}
    for more, name, value in again:
        lists.setdefault((id(more), name), (more, []))[1].append(value)
    for (_, name), (more, found) in lists.items():
        more[name] = tuple(found)
