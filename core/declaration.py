"""A Commercial Accounting Declaration as values, the same whichever syntax it was written in (DECISIONS D1, D2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum


class MessageType(StrEnum):
    """What a message asks for; `correction` covers corrections and adjustments, which the due date tells apart."""

    DECLARATION = "declaration"
    CORRECTION = "correction"
    WITHDRAW = "withdraw"
    UNKNOWN = "unknown"


class Nature(StrEnum):
    """What an accepted message is in law: the payment due date makes a change a correction or an adjustment."""

    ORIGINAL = "original"
    CORRECTION = "correction"
    ADJUSTMENT = "adjustment"
    WITHDRAWAL = "withdrawal"


# What each message type that a sender may send can be in law.
NATURES = {
    MessageType.DECLARATION: (Nature.ORIGINAL,),
    MessageType.CORRECTION: (Nature.CORRECTION, Nature.ADJUSTMENT),
    MessageType.WITHDRAW: (Nature.WITHDRAWAL,),
}


# The elements that name an importer: whose declaration it is, and whose it is to be after a change.
IMPORTERS = ("importer_bn", "new_importer_bn")


class Unreadable(str):
    """An element's text that does not have its declared format; rules do not see it, the format check reports it."""

    __slots__ = ()


Value = str | Decimal | date | Unreadable


@dataclass(frozen=True, slots=True)
class Level:
    """The elements given at one level (declaration, invoice or commodity), by dictionary name.

    `values` holds each element's first occurrence; `more` the further ones, normally none.
    """

    values: Mapping[str, Value]
    more: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Tell whether the element is given, readable or not."""
        return name in self.values

    def get(self, name: str) -> Value | None:
        """Return the element's first value, or None if it is absent or unreadable."""
        value = self.values.get(name)
        return None if type(value) is Unreadable else value

    def text(self, name: str) -> str | None:
        """Return the element's first value if it is a text, else None."""
        value = self.values.get(name)
        return value if type(value) is str else None

    def amount(self, name: str) -> Decimal | None:
        """Return the element's first value if it is a number, else None."""
        value = self.values.get(name)
        return value if type(value) is Decimal else None

    def day(self, name: str) -> date | None:
        """Return the element's first value if it is a calendar date, else None."""
        value = self.values.get(name)
        return value if type(value) is date else None

    def all(self, name: str) -> tuple[Value, ...]:
        """Return every occurrence of the element in the order of the message."""
        first = self.values.get(name)
        return () if first is None else (first, *self.more.get(name, ()))


@dataclass(frozen=True, slots=True)
class Commodity(Level):
    """One line of an invoice."""


@dataclass(frozen=True, slots=True)
class Invoice(Level):
    """One commercial invoice (goods shipment) with its lines."""

    commodities: tuple[Commodity, ...] = ()

    @property
    def line_numbers(self) -> tuple[int, ...]:
        """What its lines are called in requests and answers: by the sender's own numbers (DECISIONS D61).

        By their positions, from 1, where one of the numbers is missing, is no number above 0, or stands twice.
        """
        own = [line.values.get("line_number") for line in self.commodities]
        numbers = tuple(int(number) for number in own if type(number) is Decimal and number >= 1)
        if len(set(numbers)) == len(own):
            return numbers
        return tuple(range(1, len(own) + 1))


@dataclass(frozen=True, slots=True)
class Declaration(Level):
    """A Commercial Accounting Declaration, the same value whichever syntax it was written in."""

    invoices: Sequence[Invoice] = ()

    def levels(self) -> Iterator[tuple[int, int, Level]]:
        """Yield (invoice, line, level) for the declaration (0, 0), each invoice (i, 0) and each line (i, j)."""
        yield 0, 0, self
        for i, invoice in enumerate(self.invoices, 1):
            yield i, 0, invoice
            for j, commodity in enumerate(invoice.commodities, 1):
                yield i, j, commodity

    def lines(self) -> Iterator[tuple[int, int, Commodity]]:
        """Yield (invoice, line, commodity) for every line."""
        for i, invoice in enumerate(self.invoices, 1):
            for j, commodity in enumerate(invoice.commodities, 1):
                yield i, j, commodity

    def line_number(self, invoice: int, line: int) -> int:
        """Return what the line at a position is called (see `Invoice.line_numbers`), its position if it is not here."""
        numbers = self.invoices[invoice - 1].line_numbers if 0 < invoice <= len(self.invoices) else ()
        return numbers[line - 1] if 0 < line <= len(numbers) else line

    @property
    def transaction_number(self) -> str | None:
        """The 14-digit transaction number, if readable."""
        return self.text("transaction_number")

    @property
    def importers(self) -> tuple[str, ...]:
        """The BN15 of the importer, and of the one that a change would bring instead, as far as they are readable."""
        return tuple(filter(None, map(self.text, IMPORTERS)))

    @property
    def version(self) -> str | None:
        """The five-digit version, if readable."""
        return self.text("version")


@dataclass(frozen=True, slots=True)
class VersionFact:
    """One accepted version of a declaration, as it is remembered.

    `attempt` counts all that was ever accepted under the transaction number, those that the engine refused included:
    number and attempt are the identity of this row. `payment_due` is the day until whose end (Eastern Time) a change is
    a correction. `withdrawal` tells that a request to withdraw it is with the engine, which has not decided yet; `test`
    that a test message made it.
    """

    version: int
    partner: str
    nature: Nature
    status: str
    declaration: Declaration
    accepted_at: datetime
    payment_due: date | None
    created_by_cbsa: bool = False
    withdrawal: bool = False
    attempt: int = 1
    test: bool = False


class RefusedVersions(StrEnum):
    """What becomes of the number of a version that the engine refused: no public text says it, so the pack does."""

    FREE = "free"  # the next try carries the same number again
    USED = "used"  # the next try carries the number after it
    EITHER = "either"
