"""UN/EDIFACT as it was written: interchanges, groups and messages that know their segments and their places."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from core import limits
from core.envelope import Envelope, MessageHeader
from core.findings import Place
from edifact.directory import Segment

# Character sets by UNB 0001; UNOA and UNOB are read as Latin-1 so that a stray byte stays visible as itself.
ENCODINGS: Mapping[str, str] = {
    "UNOA": "latin-1",
    "UNOB": "latin-1",
    "UNOC": "latin-1",
    "UNOD": "iso8859-2",
    "UNOE": "iso8859-5",
    "UNOF": "iso8859-7",
    "UNOG": "iso8859-3",
    "UNOH": "iso8859-4",
    "UNOI": "iso8859-6",
    "UNOJ": "iso8859-8",
    "UNOK": "iso8859-9",
    "UNOL": "iso8859-15",
    "UNOW": "utf-8",
}
# Syntax versions by UNB 0002; those before 4 know the character sets of levels A to F.
VERSIONS = ("1", "2", "3", "4")
STEP = 1 << 16
CONTINUATION = bytes(range(0x80, 0xC0))  # in UTF-8 these begin no character
RELEASED = 0xD800  # a released character c is kept as chr(RELEASED + ord(c)): no decoder ever yields these


def charset_known(syntax_id: str, version: str) -> bool:
    """Tell whether a character set (UNB 0001) can be read here and exists in a syntax version (UNB 0002)."""
    return syntax_id in ENCODINGS and (syntax_id <= "UNOF" or version not in VERSIONS[:3])


class Service(NamedTuple):
    """The service characters of an interchange; `release` and `repetition` are "" where there are none.

    `decimal` holds the decimal marks that are allowed.
    """

    component: str = ":"
    element: str = "+"
    decimal: str = ".,"
    release: str = "?"
    repetition: str = ""
    terminator: str = "'"


DEFAULT = Service()


class Anomaly(NamedTuple):
    """Something in an envelope that the reader saw: a kind that the validator knows, a byte offset, the text there."""

    kind: str
    offset: int
    text: str = ""


class ServiceSegment(NamedTuple):
    """A service segment of an envelope: its elements as lists of components, and its byte offset."""

    elements: list[list[str]]
    offset: int

    def value(self, element: int, component: int = 1) -> str:
        """Return a component by its position (data elements from 1), "" if it is not there."""
        try:
            return self.elements[element][component - 1]
        except IndexError:
            return ""

    def components(self, element: int) -> tuple[str, ...]:
        """Return all components of an element as written."""
        return tuple(self.elements[element]) if element < len(self.elements) else ()


@dataclass(slots=True)
class GroupText:
    """A functional group as it was written; `header` is None for the messages outside any group."""

    header: ServiceSegment | None
    trailer: ServiceSegment | None = None
    messages: list[MessageHeader] = field(default_factory=list)
    anomalies: list[Anomaly] = field(default_factory=list)
    repeated: bool = False


@dataclass(slots=True)
class Tally:
    """What a transmission has had so far, in faults of messages and in interchanges and groups: both are bounded."""

    faults: int = 0
    envelopes: int = 0


@dataclass(eq=False)
class InterchangeText:
    """An interchange as it was written; complete once it has been yielded, its head from the start."""

    body: bytes = field(repr=False)
    offset: int
    service: Service
    syntax_id: str
    syntax_version: str
    header: ServiceSegment
    service_segments: Mapping[str, Segment] = field(repr=False)
    una_signs: str = ""
    tally: Tally = field(default_factory=Tally, repr=False)
    start: tuple[int, int] = (1, 1)  # line and column of its first byte
    end: int = 0
    trailer: ServiceSegment | None = None
    groups: list[GroupText] = field(default_factory=list)
    anomalies: list[Anomaly] = field(default_factory=list)
    _marks: list[tuple[int, int]] = field(
        default_factory=list, repr=False
    )  # line and column every STEP bytes from `offset`

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
        """UNB 0031: whether and how an acknowledgement is asked for."""
        return self.header.value(9) or None

    @property
    def charset_known(self) -> bool:
        """Whether UNB 0001 names a character set that can be read here and that the syntax version knows."""
        return charset_known(self.syntax_id, self.syntax_version)

    @property
    def supported(self) -> bool:
        """Whether the syntax can be read here: without it nothing can be said about what is inside."""
        return self.charset_known and self.syntax_version in VERSIONS

    @cached_property
    def default(self) -> bool:
        """Whether the separators are the usual ones."""
        return self.service._replace(repetition="", decimal=DEFAULT.decimal) == DEFAULT

    @cached_property
    def encoding(self) -> str:
        """The Python name of the character set; one that is not known is read so that every byte comes back."""
        return ENCODINGS[self.syntax_id] if self.charset_known else "latin-1"

    def decode(self, data: bytes) -> str:
        """Return the text of bytes; what the character set cannot read stays as surrogate escapes."""
        return data.decode(self.encoding, "surrogateescape")

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
        return Place(self.reference, None, None, element, component, line, column)

    def _within(self, offset: int, element: int, component: int) -> int:
        text = self.decode(self.body[offset : offset + 4 * limits.SEGMENT_BYTES])
        end = segment_end(text, self.service)
        return len(
            text[: within(text[:end], self.service, element, component)].encode(self.encoding, "surrogateescape")
        )


def advance(text: str, line: int, column: int) -> tuple[int, int]:
    """Return line and column behind a text that begins at the given ones."""
    newlines = text.count("\n")
    return (line + newlines, len(text) - text.rfind("\n")) if newlines else (line, column + len(text))


def segment_end(text: str, service: Service, start: int = 0, limit: int | None = None) -> int:
    """Return where the segment that begins at `start` ends (its terminator), else `limit` or the text's end."""
    position = start
    limit = len(text) if limit is None else min(limit, len(text))
    while (position := text.find(service.terminator, position, limit)) >= 0:
        if not _released(text, position, service.release):
            return position
        position += 1
    return limit


def within(segment: str, service: Service, element: int, component: int) -> int:
    """Return where an element's component begins in a segment's text; the segment's last position if it is missing."""
    e = c = 1
    separators = service.element + service.component
    skip = False
    if element == 1 and component == 1:
        return 0
    for index, character in enumerate(segment):
        if skip:
            skip = False
        elif character == service.release:
            skip = True
        elif character in separators:
            if character == service.element:
                if e == element:
                    return index
                e, c = e + 1, 1
            elif e == element:
                c += 1
            if e == element and c == component:
                return index + 1
    return len(segment)


def _released(text: str, position: int, release: str) -> bool:
    if not release or not position or text[position - 1] != release:
        return False
    count = 0
    while position > count and text[position - count - 1] == release:
        count += 1
    return count % 2 == 1


@dataclass(eq=False, slots=True)
class MessageText:
    """One message as it was written, from UNH to UNT.

    What is derived from `text` is worked out when first asked for: a message that is valid needs little of it.
    """

    interchange: InterchangeText
    group: GroupText | None
    ordinal: int
    start: int  # offset of its first byte in the transmission
    text: str
    reference: str | None  # 0062
    identifier: tuple[str, ...]  # the components of S009
    anomalies: tuple[Anomaly, ...] = ()
    _plain: str | None = field(default=None, repr=False)
    _segments: list[list[list[str]]] | None = field(default=None, repr=False)
    _starts: list[int] = field(default_factory=lambda: [0], repr=False)  # where the first segments begin
    _mark: tuple[int, int, int] = (1 << 62, 1, 1)  # a character of the text, its line and column

    @property
    def service(self) -> Service:
        """The service characters."""
        return self.interchange.service

    @property
    def envelope(self) -> Envelope:
        """What the envelopes around the message say."""
        of = self.interchange
        group = self.group.header.value(5) or None if self.group and self.group.header else None
        return Envelope(
            (of.sender[0] if of.sender else "") or None,
            (of.recipient[0] if of.recipient else "") or None,
            of.reference,
            group,
            self.reference,
            of.test,
            of.acknowledge is not None and of.acknowledge != "0",
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
    def written(self) -> list[list[list[str]]]:
        """The segments as lists of elements, each a list of its repetitions, still in canonical form."""
        if not self.service.repetition:
            return [[[element] for element in segment.split("+")] for segment in self.split()]
        return [[element.split("*") for element in segment.split("+")] for segment in self.split()]

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
                        segments[index] = [[resolve(c) for c in element] for element in segments[index]]
        return self._segments

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
        return resolve(components[component - 1]) if component <= len(components) else ""

    def start_of(self, segment: int) -> int:
        """Return where a segment (from 1) begins in `text`, the last one if there are not so many."""
        text, starts = self.text, self._starts
        while len(starts) < segment:
            position = segment_end(text, self.service, starts[-1]) + 1
            while position < len(text) and text[position] in " \r\n":
                position += 1
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
        return Place(self.interchange.reference, self.reference, segment, element, component, line, column)


_SIGNS = {
    version: (re.compile(f"[{re.escape(signs)}]"), str.maketrans({sign: f"?{sign}" for sign in signs}))
    for version, signs in (("3", "?:+'"), ("4", "?:+*'"))
}


def serialised(segments: Iterable[Sequence[str | Sequence[str]]], version: str) -> str:
    """Return UNA and segments as text with the usual service characters of syntax version 3 or 4.

    A segment is its tag, then its data elements, each a text or the texts of a composite's components, of which those
    that are empty at its end are left out.
    """
    sign, released = _SIGNS[version]
    found = sign.search
    written = [f"UNA:+.?{'*' if version == '4' else ' '}"]
    for segment in segments:
        elements = []
        for each in segment:
            if isinstance(each, str):
                elements.append(each.translate(released) if found(each) else each)
                continue
            parts = [part.translate(released) if found(part) else part for part in each]
            while parts and not parts[-1]:
                parts.pop()
            elements.append(":".join(parts))
        written.append("+".join(elements))
    return "'".join([*written, ""])


_RESOLVED = {RELEASED + code: code for code in range(0x100)}


def resolve(text: str) -> str:
    """Return a canonical value as the sender means it."""
    return text if text.isascii() else text.translate(_RESOLVED)


def _lift(found: re.Match[str]) -> str:
    return chr(RELEASED + ord(found[1]))


def canonical(text: str, service: Service) -> str:
    """Return the text with the default separators; data characters that look like them are lifted by `RELEASED`."""
    release = service.release
    if release and release in text:
        # The release character itself first: a run of them is read in pairs from its beginning.
        for sign in (release, service.terminator, service.element, service.component, service.repetition):
            if sign:
                text = text.replace(release + sign, chr(RELEASED + ord(sign)))
        if release in text:  # before characters that need none; how often that is told is bounded
            text = re.sub(f"{re.escape(release)}([\0-\x7f])", _lift, text, count=1_000)
            text = text.replace(release, "")
    own = {service.component: ":", service.element: "+", service.repetition: "*", service.terminator: "'"}
    own.pop("", None)
    if any(sign != meaning for sign, meaning in own.items()) or "*" not in own:
        for sign in ":+*'":
            if sign not in own and sign in text:
                text = text.replace(sign, chr(RELEASED + ord(sign)))
        moved = [(sign, meaning) for sign, meaning in own.items() if sign != meaning]
        for sign, meaning in moved:
            text = text.replace(sign, chr(0xD900 + ord(meaning)))
        for _, meaning in moved:
            text = text.replace(chr(0xD900 + ord(meaning)), meaning)
    if "\n" in text or "\r" in text or "' " in text:
        text = re.sub(r"'[ \r\n]+", "'", text)
    return text
