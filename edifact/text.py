"""UN/EDIFACT as it was written: interchanges, groups and messages that know their segments and their places."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from core import limits
from core.envelope import Envelope, MessageHeader
from core.findings import Fault, Place
from edifact.directory import Segment
from edifact.flaw import Flaw
from edifact.syntax import (
    DEFAULT,
    ENCODINGS,
    VERSIONS,
    Service,
    advance,
    behind_blanks,
    canonical,
    charset_known,
    segment_end,
    told,
    within,
)

STEP = 1 << 16
PADDED = re.compile(" [+:*']")
CONTINUATION = bytes(range(0x80, 0xC0))  # in UTF-8 these begin no character


def padded(plain: str) -> bool:
    """Tell whether a component of a text in canonical form ends with a blank."""
    return PADDED.search(plain) is not None or plain.endswith(" ")


class ServiceSegment(NamedTuple):
    """A service segment of an envelope: its elements as lists of components as written, and its byte offset.

    `text` is its canonical form, "" where it has another content than was written.
    """

    elements: list[list[str]]
    offset: int
    text: str = ""

    def value(self, element: int, component: int = 1) -> str:
        """Return a component by its position (data elements from 1) without its padding, "" if it is not there."""
        try:
            return self.elements[element][component - 1].rstrip(" ")
        except IndexError:
            return ""

    def components(self, element: int) -> tuple[str, ...]:
        """Return all components of an element without their padding."""
        return tuple([each.rstrip(" ") for each in self.elements[element]]) if element < len(self.elements) else ()


@dataclass(slots=True)
class GroupText:
    """A functional group as it was written; `header` is None for the messages outside any group."""

    header: ServiceSegment | None
    trailer: ServiceSegment | None = None
    messages: list[MessageHeader] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)
    repeated: bool = False


@dataclass(eq=False)
class InterchangeText:
    """An interchange as it was written.

    The reader yields its messages first and completes it while it goes on: trailer, groups, end and flaws are all
    there when it is yielded itself. From then on nothing changes, but that places are remembered once worked out.
    """

    body: bytes = field(repr=False)
    offset: int
    service: Service
    syntax_id: str
    syntax_version: str
    header: ServiceSegment
    service_segments: Mapping[str, Segment] = field(repr=False)
    una_signs: str = ""
    start: tuple[int, int] = (1, 1)  # line and column of its first byte
    end: int = 0
    trailer: ServiceSegment | None = None
    groups: list[GroupText] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)
    encoding: str = field(init=False)  # Python's name of the character set; latin-1, which reads all, if it is unknown
    default: bool = field(init=False)  # whether the separators are the usual ones
    # Line and column every STEP bytes from `offset`, as far as was asked.
    _marks: list[tuple[int, int]] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self.encoding = ENCODINGS[self.syntax_id] if self.charset_known else "latin-1"
        self.default = self.service.separates_as_usual and self.service.release == DEFAULT.release

    @property
    def sender(self) -> tuple[str, ...]:
        """The components of S002."""
        return self.header.components(2)

    @property
    def recipient(self) -> tuple[str, ...]:
        """The components of S003."""
        return self.header.components(3)

    @property
    def reference(self) -> str | None:
        """The interchange control reference, UNB 0020."""
        return self.header.value(5) or None

    @property
    def test(self) -> bool:
        """Whether UNB 0035 marks a test."""
        return self.header.value(11) not in ("", "0")

    @property
    def acknowledge(self) -> str | None:
        """UNB 0031: whether and how an acknowledgement is asked for; None where it says 0, as many write for no."""
        asked = self.header.value(9)
        return asked if asked not in ("", "0") else None

    @property
    def charset_known(self) -> bool:
        """Whether UNB 0001 names a character set that can be read here and that the syntax version knows."""
        return charset_known(self.syntax_id, self.syntax_version)

    @property
    def supported(self) -> bool:
        """Whether the syntax can be read here: without it nothing can be said about what is inside."""
        return self.charset_known and self.syntax_version in VERSIONS

    def decode(self, data: bytes) -> str:
        """Return the text of bytes; what the character set cannot read stays as surrogate escapes."""
        return data.decode(self.encoding, "surrogateescape")

    def content(self) -> bytes:
        """Return its bytes, from UNA or UNB to UNZ."""
        return self.body[self.offset : self.end]

    def line_column(self, offset: int) -> tuple[int, int]:
        """Return line and column (from 1, in characters) of a byte offset within the interchange."""
        marks, base = self._marks, self.offset
        if not marks:
            marks.append(self.start)
        while len(marks) <= (offset - base) // STEP:
            at = base + STEP * (len(marks) - 1)
            marks.append(self._advance(self.body[at : at + STEP], *marks[-1]))
        number = (offset - base) // STEP
        return self._advance(self.body[base + number * STEP : offset], *marks[number])

    def _advance(self, piece: bytes, line: int, column: int) -> tuple[int, int]:
        newlines = piece.count(b"\n")
        if newlines:
            piece, column = piece[piece.rfind(b"\n") + 1 :], 1
        if self.encoding == "utf-8":
            piece = piece.translate(None, CONTINUATION)
        return line + newlines, column + len(piece)

    def place(
        self, found: ServiceSegment | None, element: int | None = None, component: int | None = None, *, at: int = 0
    ) -> Place:
        """Return the place of a service segment of the envelope (or of a byte offset) and of an element within."""
        offset = found.offset if found else at
        if found and element:
            offset += self._within(found.offset, element, component or 1)
        line, column = self.line_column(offset)
        return Place(told(self.reference or "") or None, None, None, element, component, line, column)

    def _within(self, offset: int, element: int, component: int) -> int:
        text = self.decode(self.body[offset : offset + 4 * limits.SEGMENT_BYTES])
        end = segment_end(text, self.service)
        return len(
            text[: within(text[:end], self.service, element, component)].encode(self.encoding, "surrogateescape")
        )


class WrittenSegments(Sequence[list[list[str]]]):
    """Segments that are taken apart when they are asked for: of nearly all nothing is."""

    def __init__(self, texts: list[str], repetition: str) -> None:
        self.texts, self._repetition = texts, repetition

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: Any) -> Any:
        elements = self.texts[index].split("+")
        return [element.split("*") if self._repetition else [element] for element in elements]

    def head(self, text: str) -> str:
        """Return what stands first in a segment."""
        first = text.partition("+")[0]
        return first.partition("*")[0] if self._repetition else first


@dataclass(eq=False, slots=True)
class MessageText:
    """One message as it was written, from UNH to UNT.

    What is derived from `text` is worked out when first asked for, then remembered: a message that is valid needs
    little of it. What it says never changes.
    """

    interchange: InterchangeText
    group: GroupText | None
    ordinal: int
    start: int  # offset of its first byte in the transmission
    text: str
    reference: str | None  # 0062
    identifier: tuple[str, ...]  # the components of S009
    flaws: tuple[Flaw, ...] = ()
    _plain: str | None = field(default=None, repr=False)
    _segments: list[list[list[str]]] | None = field(default=None, repr=False)
    _meant: list[list[list[str]]] | None = field(default=None, repr=False)
    _starts: list[int] = field(default_factory=lambda: [0], repr=False)  # where the first segments begin
    _mark: tuple[int, int, int] = field(default=(1 << 62, 1, 1), repr=False)  # a character, its line and column

    @property
    def service(self) -> Service:
        """The service characters."""
        return self.interchange.service

    @property
    def is_contrl(self) -> bool:
        """Whether the message is a CONTRL, of whatever version."""
        return self.identifier[:1] == ("CONTRL",)

    @property
    def envelope(self) -> Envelope:
        """What the envelopes around the message say."""
        of = self.interchange
        group = self.group.header.value(5) if self.group and self.group.header else ""
        return Envelope(
            told(of.header.value(2)) or None,
            told(of.header.value(3)) or None,
            told(of.reference or "") or None,
            told(group) or None,
            told(self.reference or "") or None,
            of.test,
            of.acknowledge is not None,
        )

    @property
    def bare(self) -> bool:
        """Whether the text is its own canonical form, but for blanks between segments."""
        text, of = self.text, self.interchange
        return of.default and not (
            "?" in text or "\n" in text or "\r" in text or ("*" in text and not of.service.repetition)
        )

    @property
    def plain(self) -> str:
        """The text in one canonical form: `'`, `+`, `:` and (syntax 4) `*` separate, nothing else does.

        Released characters are lifted by `RELEASED`; line ends and blanks between segments are gone.
        """
        if self._plain is None:
            self._plain = canonical(self.text, self.interchange.service)
        return self._plain

    def split(self) -> list[str]:
        """Return the segments in canonical form."""
        plain = self.plain
        return (plain[:-1] if plain.endswith("'") else plain).split("'")

    @property
    def repeats(self) -> bool:
        """Whether an element is repeated, which syntax 4 can."""
        return bool(self.service.repetition) and "*" in self.plain

    @property
    def tags(self) -> list[str]:
        """The tags in order; an explicit nesting (`LIN:1`) is left out."""
        return [segment[:3] for segment in self.split()]

    @property
    def written(self) -> WrittenSegments:
        """The segments as lists of elements, each a list of its repetitions, still in canonical form."""
        return WrittenSegments(self.split(), self.service.repetition)

    @property
    def segments(self) -> list[list[list[str]]]:
        """The segments: lists of elements, each a list of components, the first being the tag; nothing is lifted.

        In syntax 4 the repetitions of an element stand at consecutive positions.
        """
        if self._segments is None:
            plain = self.plain
            texts = self.split()
            if self.repeats:
                texts = [text.replace("*", "+") for text in texts]
            self._segments = segments = [[element.split(":") for element in text.split("+")] for text in texts]
            if not plain.isascii():
                for index, text in enumerate(texts):
                    if not text.isascii():
                        segments[index] = [[told(c) for c in element] for element in segments[index]]
        return self._segments

    @property
    def meant(self) -> list[list[list[str]]]:
        """The segments without the blanks at the end of a component: they are padding, which may be left out."""
        if self._meant is None:
            self._meant = self.segments
            if padded(self.plain):
                self._meant = [[[c.rstrip(" ") for c in element] for element in each] for each in self.segments]
        return self._meant

    def value(self, index: int, element: int = 1, component: int = 1) -> str:
        """Return a component of the segment at `index` (from 0), by position from 1; "" if it is not there."""
        try:
            return self.segments[index][element][component - 1]
        except IndexError:
            return ""

    def first(self, tag: str, element: int, component: int = 1) -> str | None:
        """Return a component of the first segment with the tag, by position from 1.

        "" if the segment does not go so far, None if there is none.
        """
        plain = self.plain
        at = 0 if plain.startswith(f"{tag}+") else plain.find(f"'{tag}+") + 1
        if not at and not plain.startswith(f"{tag}+"):
            return None
        end = plain.find("'", at)
        elements = plain[at : None if end < 0 else end].replace("*", "+" if self.repeats else "*").split("+")
        components = elements[element].split(":") if element < len(elements) else []
        return told(components[component - 1]).rstrip(" ") if component <= len(components) else ""

    def start_of(self, segment: int) -> int:
        """Return where a segment (from 1) begins in `text`, the last one if there are not so many."""
        text, starts = self.text, self._starts
        while len(starts) < segment:
            position = behind_blanks(text, segment_end(text, self.service, starts[-1]) + 1)
            if position >= len(text):
                break
            starts.append(position)
        return starts[min(segment, len(starts)) - 1]

    def place(self, segment: int, element: int | None = None, component: int | None = None) -> Place:
        """Return the place of a segment (UNH = 1), element (the tag = 1) and component (from 1)."""
        begin = self.start_of(max(segment, 1))
        if element:
            end = segment_end(self.text, self.service, begin)
            begin += within(self.text[begin:end], self.service, element, component or 1)
        return self.place_at(begin, segment, element, component)

    def place_at(self, index: int, segment: int, element: int | None = None, component: int | None = None) -> Place:
        """Return the place of a character of `text`, which stands in the segment."""
        if index < self._mark[0]:
            self._mark = (0, *self.interchange.line_column(self.start))
        at, line, column = self._mark
        line, column = advance(self.text[at:index], line, column)
        self._mark = (index, line, column)
        interchange, message = (told(each or "") or None for each in (self.interchange.reference, self.reference))
        return Place(interchange, message, segment, element, component, line, column)


def too_large(message: MessageText) -> Fault | None:
    """Return the one fault of a message that is beyond the limits, so that nothing more is spent on it."""
    text, service = message.text, message.service
    released = service.release and service.release in text
    few = not released and text.count(service.terminator) <= limits.SEGMENTS
    if few and max(map(len, text.split(service.terminator))) <= limits.SEGMENT_ELEMENTS:
        return None  # every segment is too short to have too many elements
    position, number = 0, 1
    while position < len(text):
        begin = behind_blanks(text, position)
        end = segment_end(text, service, position, position + limits.SEGMENT_BYTES + 1)
        elements = text.count(service.element, position, end)
        if end - position > limits.SEGMENT_BYTES or elements > limits.SEGMENT_ELEMENTS:
            return Fault(
                "EDI-0308",
                place=message.place_at(min(begin, len(text) - 1), number),
                value=told(text[begin : begin + limits.ECHO_CHARACTERS]),
                expected=str(limits.SEGMENT_BYTES),
                syntax_error="18",
            )
        position, number = end + 1, number + 1
        if number > limits.SEGMENTS + 1:
            place, most = message.place_at(0, 1), str(limits.SEGMENTS)
            return Fault("EDI-0307", place=place, expected=most, syntax_error="18", service_segment="UNH")
    return None
