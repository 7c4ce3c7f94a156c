"""What the readers by levels of both syntaxes share: patterns that give a declaration's values, level by level.

Each is compiled from the pack: the declaration up to its first invoice, an invoice up to its first line, a line, and
what stands behind the last of them; with a group for each element. One pass over a message takes one after the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import compress
from typing import NamedTuple

from core.declaration import Commodity, Declaration, Invoice, Value

NEVER = "(?!)"
LevelValues = dict[str, Value]
# An element, what has the values of texts that were read, and what reads one.
LevelSlot = tuple[str, Callable[[str], Value | None], Callable[[str], Value | None]]


class LevelPattern(NamedTuple):
    """The pattern of a level, or of what stands behind the levels inside it.

    `slots` are the elements of its groups; one that counts invoices or lines stands in `counted`, by its index, with
    the constants that it may be.
    """

    pattern: re.Pattern[str]
    slots: tuple[LevelSlot, ...]
    counted: tuple[tuple[int, tuple[str, ...]], ...] = ()

    def take(self, plain: str, at: int, invoice: int, line: int) -> tuple[LevelValues, int] | None:
        """Return the values that stand at an index, and the index behind; None for another level or what is unusual."""
        found = self.pattern.match(plain, at)
        if found is None:
            return None
        texts: Sequence[str | None] = found.groups()
        if self.counted:
            texts = [*texts]
            for index, constants in self.counted:
                if texts[index] not in [constant.format(invoice=invoice, line=line) for constant in constants]:
                    return None
                texts[index] = None
        given = zip(compress(self.slots, texts), filter(None, texts), strict=True)
        values = {name: known(text) or read(text) for (name, known, read), text in given}
        return values, found.end()  # type: ignore[return-value]  # no value is None: none is blank


class LevelReader(NamedTuple):
    """The patterns of a message, by level from outside in: what begins a level, and what ends it."""

    begins: Sequence[LevelPattern]
    ends: Sequence[LevelPattern]

    def read(self, plain: str) -> Declaration | None:
        """Return the declaration of a text from its beginning to its end; None if it is to be walked."""
        top, of_invoice, of_line = self.begins
        begun = top.take(plain, 0, 0, 0)
        if begun is None:
            return None
        values, at = begun
        invoices: list[Invoice] = []
        count = 0  # of lines, in all invoices
        while invoice := of_invoice.take(plain, at, len(invoices) + 1, count):
            own, at = invoice
            lines: list[Commodity] = []
            while line := of_line.take(plain, at, len(invoices) + 1, count + len(lines) + 1):
                lines.append(Commodity(line[0], {}))
                at = line[1]
            count += len(lines)
            if self.ends[1].pattern.pattern and (ended := self.ends[1].take(plain, at, len(invoices) + 1, count)):
                own, at = own | ended[0], ended[1]
            invoices.append(Invoice(own, {}, tuple(lines)))
        ended = self.ends[0].take(plain, at, len(invoices), count)
        if ended is None or ended[1] != len(plain):
            return None
        return Declaration(values | ended[0], {}, tuple(invoices))


def says(slots: Sequence[LevelSlot], first: int) -> str:
    """Return the pattern of no text that matches if a group of an element has, of those from an index on."""
    pattern = NEVER
    for number in range(len(slots), first, -1):
        if slots[number - 1][0]:
            pattern = f"(?({number})|{pattern})"
    return pattern


def untaken(slots: Sequence[LevelSlot], first: int) -> str:
    """Return the pattern of no text that matches if no group from an index on has."""
    return "".join(f"(?({number + 1}){NEVER})" for number in range(first, len(slots)))
