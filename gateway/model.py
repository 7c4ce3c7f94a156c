"""The values that travel along the way of a message; immutable, and they grow as the way goes on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple, Protocol

# What XML 1.0 counts as white space; Unicode knows more.
XML_SPACE = " \t\r\n"


class Syntax(StrEnum):
    """How a transmission is written."""

    EDIFACT = "edifact"
    XML = "xml"
    UNKNOWN = "unknown"


class MessageType(StrEnum):
    """What a message asks for; `correction` covers corrections and adjustments, which the due date tells apart."""

    DECLARATION = "declaration"
    CORRECTION = "correction"
    WITHDRAW = "withdraw"
    UNKNOWN = "unknown"


class Severity(StrEnum):
    """What a finding does to the verdict."""

    REFUSE = "refuse"
    WARN = "warn"


class Verdict(StrEnum):
    """The gateway's own answer to a message."""

    ACCEPTED = "accepted"
    REFUSED = "refused"


class Nature(StrEnum):
    """What an accepted message is in law: the payment due date makes a change a correction or an adjustment."""

    ORIGINAL = "original"
    CORRECTION = "correction"
    ADJUSTMENT = "adjustment"
    WITHDRAWAL = "withdrawal"


class Bilingual(NamedTuple):
    """A sentence in both official languages."""

    en: str
    fr: str

    def speak(self, language: str) -> str:
        """Return the French text for "fr", the English one otherwise."""
        return self.fr if language == "fr" else self.en


# ------------------------------------------------------------------------------------------------ declaration


class Unreadable(str):
    """An element's text that does not have its declared format; rules do not see it, the format check reports it."""

    __slots__ = ()


Value = str | Decimal | date | Unreadable


class Address(NamedTuple):
    """Where in a declaration: the element's dictionary name, and the 1-based invoice and line (0: above them).

    An empty element name means the invoice, line or declaration itself; `occurrence` counts repetitions from 1.
    """

    element: str
    invoice: int = 0
    line: int = 0
    occurrence: int = 1


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


@dataclass(frozen=True, slots=True)
class Declaration(Level):
    """A Commercial Accounting Declaration, the same value whichever syntax it was written in."""

    invoices: tuple[Invoice, ...] = ()

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

    @property
    def transaction_number(self) -> str | None:
        """The 14-digit transaction number, if readable."""
        return self.text("transaction_number")

    @property
    def version(self) -> str | None:
        """The five-digit version, if readable."""
        return self.text("version")


# ------------------------------------------------------------------------------------------------ findings


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the sender's own bytes, and the same place as a WCO pointer; what does not apply is None.

    `interchange` and `message` are the sender's control references. `segment` counts from UNH = 1; `element` counts
    as CONTRL does, with the segment's tag as 1; `component` counts from 1. `line` and `column` count from 1, columns
    in characters of the decoded text.
    """

    interchange: str | None = None
    message: str | None = None
    segment: int | None = None
    element: int | None = None
    component: int | None = None
    line: int | None = None
    column: int | None = None
    xpath: str | None = None
    pointer: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """What a check found, before it is put into words: a code of the findings table and where.

    Either `address` (a place in the declaration, to be looked up in the sender's bytes) or `place` (already known).
    `details` fill the placeholders of the finding's text. `syntax_error` is the UN 0085 code, if the fault is one of
    syntax; `service_segment` the tag that CONTRL names with it (UNB, UNZ, UNG, UNE, UNH, UNT) when it is an envelope's.
    """

    code: str
    address: Address | None = None
    place: Place | None = None
    value: str | None = None
    expected: str | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    syntax_error: str | None = None
    service_segment: str | None = None


# How UN 2379 pictures a date, and its letters for century, year and day in French.
PICTURE = re.compile(r"(?=.*(?:YY|MMDD|DDhh))[CYMDJWhmsZ-]+")
IN_FRENCH = str.maketrans("CYD", "SAJ")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong or doubtful, ready for the sender.

    `value` is what the sender wrote, at most 40 characters, control characters escaped. `address` is the fault's: two
    elements of one WCO class share a pointer.
    """

    code: str
    severity: Severity
    text: Bilingual
    place: Place
    value: str | None
    expected: str | None
    source: Bilingual
    syntax_error: str | None = None
    service_segment: str | None = None
    address: Address | None = None

    def expected_in(self, language: str) -> str | None:
        """Return what was expected as people of the language write it."""
        return picture_in(self.expected, language) if self.expected else self.expected


def picture_in(text: str, language: str) -> str:
    """Return a date's picture as the language writes it: CCYYMMDD, in French SSAAMMJJ; any other text as it is."""
    return text.translate(IN_FRENCH) if language == "fr" and PICTURE.fullmatch(text) else text


# ------------------------------------------------------------------------------------------------ the way


@dataclass(frozen=True, slots=True)
class Period:
    """A span of days, both ends included; None is open."""

    start: date | None = None
    end: date | None = None

    def covers(self, day: date) -> bool:
        """Tell whether the day lies within."""
        return (self.start is None or self.start <= day) and (self.end is None or day <= self.end)


@dataclass(frozen=True, slots=True)
class Agreement:
    """What this gateway agrees with its partners about envelopes: deployment data; what is empty is not checked.

    `ids` are the gateway's own, as partners name their recipient; `tests` whether test messages are taken; `days` how
    many days ago an EDIFACT interchange may have been prepared.
    """

    ids: tuple[str, ...] = ()
    tests: bool = True
    days: int | None = None


@dataclass(frozen=True, slots=True)
class Partner:
    """A sender that the gateway knows: deployment data.

    `envelopes` are the sender ids it may write into UNB or the XML metadata; `authorities` the importers' BN15 that it
    may declare for, each with the periods of its delegation; `contrl` asks for a CONTRL on every interchange; `user` is
    the broker's user that it connects as.
    """

    id: str
    name: str
    envelopes: tuple[str, ...]
    answer_queue: str
    language: str = "en"
    authorities: Mapping[str, tuple[Period, ...]] = field(default_factory=dict)
    contrl: bool = False
    active: bool = True
    user: str = ""
    agreement: Agreement = Agreement()


@dataclass(frozen=True, slots=True)
class Received:
    """One transmission as it came in: its bytes, who brought it (the transport's word), and when (aware)."""

    id: str
    partner: str | None
    body: bytes
    received_at: datetime

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes as received, hexadecimal."""
        return hashlib.sha256(self.body).hexdigest()


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the envelope says of a message; None where it says nothing.

    `reference` is the interchange's (UNB 0020) or the XML metadata's reference, `message` the message's own (UNH 0062;
    for XML the FunctionalReferenceID). `acknowledge` is UNB 0031.
    """

    sender: str | None = None
    recipient: str | None = None
    reference: str | None = None
    group: str | None = None
    message: str | None = None
    test: bool = False
    acknowledge: bool = False


class Locator(Protocol):
    """Finds an address of the declaration in the bytes that the sender wrote; slow, for refusals only."""

    def locate(self, address: Address) -> Place:
        """Return the place, or that of the nearest thing present above it when the element is missing."""
        ...

    def text(self) -> str:
        """Return the transmission as text, for showing the offending line."""
        ...


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What a partner's CONTRL says of an interchange of ours.

    `reference` is the control reference that we gave it, `action` 0083 (4 rejected, in whole or in part; 7
    acknowledged; 8 received), `error` 0085 if any, `queue` the answer queue of the partner that says so.
    """

    reference: str
    action: str
    error: str | None
    queue: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One message found in a transmission: read, not yet judged.

    `pack` names the pack that read it and its version ("chapter24 1.00"), None when its type is not ours; `declaration`
    is None when the syntax forbids reading on. `acknowledges` is what a good CONTRL says.
    """

    ordinal: int
    syntax: Syntax
    type: MessageType
    envelope: Envelope
    pack: str | None
    declaration: Declaration | None
    faults: tuple[Fault, ...]
    locator: Locator
    acknowledges: Acknowledgement | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    """A transmission taken apart: its messages, in order, and what each interchange of it needs for its CONTRL."""

    received: Received
    syntax: Syntax
    messages: tuple[Message, ...]
    interchanges: tuple[Interchange, ...] = ()


@dataclass(frozen=True, slots=True)
class Interchange:
    """What a CONTRL must repeat of its subject, and the faults of the envelope itself.

    The three composites (sender, recipient, and for messages S009) are kept as the components that were written.
    `messages` are the ordinals of the messages inside, by functional group (None: no group). `prepared` is the day in
    UNB 0017, `locate` finds an element of UNB, by its number and component as CONTRL counts.
    """

    syntax_id: str
    syntax_version: str
    sender: tuple[str, ...]
    recipient: tuple[str, ...]
    reference: str | None
    test: bool
    acknowledge: str | None
    groups: tuple[Group, ...]
    faults: tuple[Fault, ...] = ()
    prepared: date | None = None
    locate: Callable[[int, int | None], Place] = field(default=lambda *_: Place(), compare=False)


@dataclass(frozen=True, slots=True)
class Group:
    """One functional group of an interchange, or (reference None) the run of messages outside any group."""

    reference: str | None
    sender: tuple[str, ...]
    recipient: tuple[str, ...]
    messages: tuple[MessageHeader, ...]
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class MessageHeader:
    """What UCM repeats of a message: 0062, the components of S009, and the message's ordinal in the transmission."""

    reference: str | None
    identifier: tuple[str, ...]
    ordinal: int


@dataclass(frozen=True, slots=True)
class VersionFact:
    """One accepted version of a declaration, as the journal remembers it.

    `payment_due` is the day until whose end (Eastern Time) a change is a correction. `status` is one of accepted,
    assessed, pending, refused (by the engine), withdrawn. `withdrawal` tells that a request to withdraw it is with the
    engine, which has not decided yet.
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


@dataclass(frozen=True, slots=True)
class Facts:
    """All that judging needs from outside the bytes.

    `partner` is who the transport says it is, None if unknown; `histories` gives the accepted versions of every
    transaction number in the transmission, oldest first; `references` the sender's interchange references used before,
    with the digest of the bytes that carried them. `unproven` is the finding's code when the transport does not prove
    that `partner`, whose queue it came in by, is the sender.
    """

    now: datetime
    partner: Partner | None
    histories: Mapping[str, tuple[VersionFact, ...]] = field(default_factory=dict)
    references: Mapping[str, str] = field(default_factory=dict)
    unproven: str | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """One message's verdict: its findings, and (when accepted) what it is and its effect on the declaration."""

    message: Message
    verdict: Verdict
    findings: tuple[Finding, ...]
    nature: Nature | None = None
    effect: VersionFact | None = None


# ------------------------------------------------------------------------------------------------ assessment


class Amounts(NamedTuple):
    """What the assessment engine worked out, for a line or in total, each in Canadian dollars and cents."""

    value_for_duty: Decimal
    customs_duty: Decimal
    anti_dumping: Decimal
    countervailing: Decimal
    surtax: Decimal
    safeguard: Decimal
    excise_duty: Decimal
    excise_tax: Decimal
    value_for_tax: Decimal
    gst: Decimal
    total: Decimal  # all duties and taxes, without interest


class AssessedLine(NamedTuple):
    """One line's duties and taxes; `invoice` and `line` count from 1 as in an Address."""

    invoice: int
    line: int
    amounts: Amounts
    sima_code: str | None = None


class Reason(NamedTuple):
    """Why the engine did not approve; invoice and line 0 mean above them."""

    code: str
    text: Bilingual
    invoice: int = 0
    line: int = 0


@dataclass(frozen=True, slots=True)
class AssessmentResult:
    """The assessment engine's word on one request; `outcome` is approved, pending or refused."""

    message_id: str
    transaction_number: str
    version: str
    outcome: str
    lines: tuple[AssessedLine, ...]
    totals: Amounts
    payment_due: date | None
    reasons: tuple[Reason, ...]


# ------------------------------------------------------------------------------------------------ outcome


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Something to be sent: a stable id (the same whenever it is made again), a queue and its bytes.

    `kind` is one of receipt, contrl, refused, accepted, assessed, pending, engine-refused, technical, request.
    `ordinal` is the message of the transmission that it answers, None for the transmission as a whole. `awaited`: the
    partner has agreed to acknowledge it with a CONTRL.
    """

    id: str
    kind: str
    destination: str
    content_type: str
    body: bytes
    ordinal: int | None = None
    awaited: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of one transmission: the verdicts, everything to be sent, and what it acknowledges of ours."""

    received: Received
    syntax: Syntax
    judged: tuple[Judged, ...]
    outgoing: tuple[Outgoing, ...]
    acknowledged: tuple[Acknowledgement, ...] = ()


def stable_id(*parts: str) -> str:
    """Return the id (32 hexadecimal digits) that the same parts always give: repeats of a message carry it again."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]
