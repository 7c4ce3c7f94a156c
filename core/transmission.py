"""The values that travel along the way of a message; immutable, and they grow as the way goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

from core.blanks import BLANK
from core.calendar import eastern_day
from core.declaration import Declaration, MessageType, Nature, VersionFact
from core.envelope import Envelope, Interchange, numbered
from core.findings import Address, Fault, Finding, Place

XML_SPACE = BLANK

# How it is noted that a transmission is another's resend: behind it stands the id of the first.
RESEND_OF = "resend of "


class Syntax(StrEnum):
    """How a transmission is written."""

    EDIFACT = "edifact"
    XML = "xml"
    UNKNOWN = "unknown"


class Verdict(StrEnum):
    """The gateway's own answer to a message."""

    ACCEPTED = "accepted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Received:
    """One transmission as it came in: its bytes, who brought it (the transport's word), and when (aware).

    `digest` is the SHA-256 of the bytes, `day` the calendar day of receipt in Eastern Time: facts of the transmission,
    worked out once, or given where they are known.
    """

    id: str
    partner: str | None
    body: bytes
    received_at: datetime
    digest: str = ""
    day: date = date.min

    def __post_init__(self) -> None:
        """Work out what was not given."""
        if not self.digest:
            object.__setattr__(self, "digest", digest_of(self.body))
        if self.day == date.min:
            object.__setattr__(self, "day", eastern_day(self.received_at))


class Document(Protocol):
    """What a message was read from; finds addresses of a declaration in the bytes, slowly, for refusals only."""

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


# Gives, when asked, the faults of what the dictionary has not.
Unread = Callable[[], Sequence[Fault]]


@dataclass(frozen=True, slots=True)
class Message:
    """One message found in a transmission: read, not yet judged.

    `pack` names the pack that read it and its version ("chapter24 1.00"), None when its type is not ours; `declaration`
    is None when nothing of one could be read. `faults` are those of reading itself; `unread` gives what is told
    only of a message whose syntax is good: what the dictionary has not.
    """

    ordinal: int
    syntax: Syntax
    type: MessageType
    envelope: Envelope
    pack: str | None
    declaration: Declaration | None
    faults: tuple[Fault, ...]
    document: Document
    unread: Unread = tuple

    @property
    def number(self) -> str | None:
        """Its transmission's or interchange's reference in its number space, None without one."""
        return numbered(self.syntax, self.envelope.sender, self.envelope.recipient, self.envelope.reference)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A transmission taken apart: its messages, in order, and what each interchange of it needs for its CONTRL."""

    received: Received
    syntax: Syntax
    messages: tuple[Message, ...]
    interchanges: tuple[Interchange, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """One message's verdict: its findings, and (when accepted) what it is and its effect on the declaration.

    `acknowledges` is what a good CONTRL says.
    """

    message: Message
    verdict: Verdict
    findings: tuple[Finding, ...]
    nature: Nature | None = None
    effect: VersionFact | None = None
    acknowledges: Acknowledgement | None = None


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


def digest_of(data: bytes) -> str:
    """Return the SHA-256 of bytes, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def stable_id(*parts: str) -> str:
    """Return the id (32 hexadecimal digits) that the same parts always give: repeats of a message carry it again."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]
