"""Reads EDIFACT by shape: what one run of tags means is worked out once, and serves every later run written alike.

Nearly all lines of nearly all declarations have a few shapes: the same tags and qualifiers in one order. The reader
cuts a message into runs at the start of each line and looks up each run's steps; only a run of a new shape is walked
segment by segment.

A worked example. Input: a line, cut behind its `LIN+`, and split at `+`, `:` and `'`:

    0 "1"  1 "MOA"  2 "77"  3 "8484.63"  4 "CAD"  5 "LOC"  6 "27"  7 "MX"  8 "LOC"  9 "35"  10 "US"  ...

Shape: its separators and its tags, and the texts that chose a meaning on the walk: here 2, 6 and 9, since the qualifier
of LOC says which country it is. Steps: a line begins; text 0 is its `line_number`, 3 its value, 7 where its goods come
from:

    (2, begins, ((0, "line_number"), (3, "value_for_currency_conversion"), (7, "origin"), ...))

The next line with this shape and the same qualifiers is read by looking up a few texts, whatever stands in them. What
the walk had not looked at must be empty in it, too. XML needs no memory (`parsers.xml_tags`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from operator import itemgetter
from typing import Generic, NamedTuple, TypeVar

from core.declaration import Commodity, Declaration, Invoice, Value
from core.specs import Format

Where = TypeVar("Where")

LEVELS = ("declaration", "invoice", "commodity")

# What is told of content that no declaration has: it is unknown, says nothing, is put together with other content of
# its kind, or is not the constant that belongs there.
UNKNOWN, EMPTY, AGAIN, OTHER = "CAD-0007", "CAD-0008", "CAD-0009", "CAD-0010"
OTHER_METADATA = "CAD-0011"  # as OTHER, in the wrapper of XML

# How many shapes, and how many texts of an element, are remembered; they come from senders.
SHAPES, TEXTS, TEXT = 2_048, 256, 64
# How many bytes, about, the shapes of one memory may take, and what each piece of a run takes beside its characters.
MEMORY, PIECE = 32_000_000, 100


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
    numbered: bool = False  # of a level's start: its number must stand there

    def at(self, index: int) -> Note[int]:
        """Return the note with the index of the text that it is about."""
        return Note(self.level, index, self.name, self.readings, numbered=self.numbered)


# What to do with the texts of a run: (level, whether it begins here, the elements as (text's index, name, readings)).
# It begins at the index of the text that must be its number, or at UNNUMBERED; None: it goes on.
Read = tuple[int, str, Readings]
Step = tuple[int, int | None, tuple[Read, ...]]
UNNUMBERED = -1


def steps(notes: Iterable[Note[int]]) -> tuple[Step, ...]:
    """Return the steps that notes ask for, in their order; `where` is the index of the text in its run."""
    found: list[tuple[int, int | None, list[Read]]] = []
    for level, index, name, readings, _, numbered in notes:
        if readings is None:
            found.append((level, index if numbered else UNNUMBERED, []))
        elif found and found[-1][0] == level:
            found[-1][2].append((index, name, readings))
        else:
            found.append((level, None, [(index, name, readings)]))
    return tuple((level, begins, tuple(reads)) for level, begins, reads in found)


# What takes some of the texts of a run.
Take = Callable[[Sequence[str]], tuple[str, ...]]


def nothing(_texts: Sequence[str]) -> tuple[str, ...]:
    """Take none of the texts."""
    return ()


class Known(NamedTuple):
    """What is known of a run: its steps, and what takes the texts that must be empty, and those that must not be.

    What stands in a run unread is so on the walk alone; `filled` are the values of segments that say nothing without.
    """

    steps: tuple[Step, ...]
    empty: Take = nothing
    filled: Take = nothing


def taking(indices: Iterable[int]) -> Take:
    """Return what takes the texts at some indices."""
    found = [*indices]
    if len(found) == 1:  # of a single index an itemgetter takes the text itself
        (index,) = found
        return lambda texts: (texts[index],)
    return itemgetter(*found) if found else nothing


class Shapes:
    """The steps of the shapes met so far: by how a run is written, and by the texts in it that choose a meaning."""

    def __init__(self) -> None:
        # By shape: which texts choose, what takes them, and what is known of each choice.
        self._known: dict[Hashable, tuple[tuple[int, ...], Take, dict[tuple[str, ...], Known]]] = {}
        self._size = 0

    def find(self, shape: Hashable, texts: Sequence[str]) -> tuple[Step, ...] | None:
        """Return the steps of a run that is written in this shape and has these texts, None if it is new."""
        known = self._known.get(shape)
        if known is None:
            return None
        found = known[2].get(known[1](texts))
        if found is None:
            return None
        run, empty, filled = found
        return None if any(empty(texts)) or not all(filled(texts)) else run

    def read(self, cut: Iterable[tuple[Hashable, Sequence[str]]]) -> Declaration | None:
        """Return the declaration of a message cut into runs (shape, texts); None if it is not cut, or one is new."""
        runs = []
        for shape, texts in cut:
            run = self.find(shape, texts)
            if run is None:
                return None
            runs.append((run, texts))
        return follow(runs) if runs else None

    def keep(self, shape: Hashable, choosing: Iterable[int], texts: Sequence[str], run: Known) -> None:
        """Remember what is known of a run; `choosing` are the indices of the texts that its walk has looked at."""
        size = sum(map(len, texts)) + PIECE * len(texts)
        if len(self._known) >= SHAPES or self._size + size > MEMORY:
            self._known.clear()
            self._size = 0
        if size > MEMORY:
            return
        before, take, meanings = self._known.get(shape, ((), nothing, {}))
        at = tuple(sorted({*before, *choosing}))
        if at != before or len(meanings) >= SHAPES:  # which texts choose may depend on what others have chosen
            take, meanings = taking(at), {}
        chosen = take(texts)
        if chosen not in meanings:
            self._size += size
        meanings[chosen] = run
        self._known[shape] = at, take, meanings


def of_notes(notes: Sequence[Note[Where]], texts: Sequence[str]) -> Declaration:
    """Return the declaration that a walk has noted, with the text that each note is about."""
    numbered = (Note(note.level, index, note.name, note.readings) for index, note in enumerate(notes))
    return follow([(steps(numbered), texts)], walked=True) or Declaration({})


def follow(runs: Iterable[tuple[Sequence[Step], Sequence[str]]], *, walked: bool = False) -> Declaration | None:
    """Return the declaration that the runs of a message hold, each given by its steps and its texts.

    None if an invoice is not numbered as it should be, or, unless walked, a text is blank: what it leaves says nothing.
    """
    here: list[tuple[dict[str, Value], dict[str, tuple[Value, ...]]]] = [({}, {}), ({}, {}), ({}, {})]
    invoices: list[tuple[Invoice, list[Commodity]]] = []
    again: list[tuple[dict[str, tuple[Value, ...]], str, Value]] = []
    for run, texts in runs:
        for level, begins, reads in run:
            if begins is not None:
                values, more = here[level] = {}, {}
                if level == 1:
                    invoices.append((Invoice(values, more), []))
                    if begins >= 0 and texts[begins] != str(len(invoices)):
                        return None
                else:
                    invoices[-1][1].append(Commodity(values, more))
            else:
                values, more = here[level]
            for index, name, readings in reads:
                value = readings[texts[index]]
                if value is None:
                    if texts[index] and not walked:
                        return None
                    continue
                if name in values:
                    again.append((more, name, value))
                else:
                    values[name] = value
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
