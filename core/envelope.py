"""What envelopes say: of a message, of an interchange and its groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from json.encoder import encode_basestring_ascii

from core.findings import Fault, Place


def numbered(syntax: str, sender: str | None, recipient: str | None, reference: str | None) -> str | None:
    """Return a sender's reference in its number space, as one text; None if there is no reference.

    A reference is unique per sender id, recipient id and syntax: each mailbox of a partner counts for itself, and an
    XML id is no UNB 0020 (DECISIONS D63).
    """
    if not reference:
        return None
    return f"[{', '.join(map(encode_basestring_ascii, (syntax, sender or '', recipient or '', reference)))}]"


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


@dataclass(frozen=True, slots=True)
class Interchange:
    """What a CONTRL must repeat of its subject, and the faults of the envelope itself.

    The three composites (sender, recipient, and for messages S009) are kept as the components that were written.
    `messages` are the ordinals of the messages inside, by functional group (None: no group). `prepared` is the day in
    UNB 0017, `locate` finds an element of UNB, by its number and component as CONTRL counts. `unrepeatable` are the
    elements of UNB that no answer can repeat though no fault is told of them: nothing is said of what is in a syntax
    that is not supported. `content` gives its bytes. `stand_in` is the ordinal of the message that stands for an
    interchange without any, to tell its faults.
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
    unrepeatable: frozenset[int] = frozenset()
    content: Callable[[], bytes] = field(default=bytes, compare=False)
    stand_in: int | None = None

    @property
    def number(self) -> str | None:
        """Its control reference in its number space, None without one."""
        sender, recipient = next(iter(self.sender), None), next(iter(self.recipient), None)
        return numbered("edifact", sender, recipient, self.reference)

    @property
    def headers(self) -> list[MessageHeader]:
        """The headers of all messages inside, whatever group they are in."""
        return [header for group in self.groups for header in group.messages]

    @property
    def only_contrl(self) -> bool:
        """Whether there is nothing but CONTRL inside."""
        headers = self.headers
        return bool(headers) and all(header.is_contrl for header in headers)


@dataclass(frozen=True, slots=True)
class Group:
    """One functional group of an interchange, or (reference None) the run of messages outside any group.

    `stand_in` is the ordinal of the message that stands for an empty group among others, to tell its faults.
    """

    reference: str | None
    sender: tuple[str, ...]
    recipient: tuple[str, ...]
    messages: tuple[MessageHeader, ...]
    faults: tuple[Fault, ...] = ()
    stand_in: int | None = None

    @property
    def ordinals(self) -> list[int]:
        """The ordinals of its messages, or of the one that stands for it."""
        return [header.ordinal for header in self.messages] + ([] if self.stand_in is None else [self.stand_in])


@dataclass(frozen=True, slots=True)
class MessageHeader:
    """What UCM repeats of a message: 0062, the components of S009, and the message's ordinal in the transmission."""

    reference: str | None
    identifier: tuple[str, ...]
    ordinal: int

    @property
    def is_contrl(self) -> bool:
        """Whether the message is itself a CONTRL, of whatever version."""
        return self.identifier[:1] == ("CONTRL",)


def messages_inside(interchanges: Sequence[Interchange]) -> list[tuple[Interchange, list[int]]]:
    """Return each interchange with the ordinals of its messages, stand-ins for what holds none included."""
    return [
        (
            each,
            [number for group in each.groups for number in group.ordinals]
            + ([] if each.stand_in is None else [each.stand_in]),
        )
        for each in interchanges
    ]
