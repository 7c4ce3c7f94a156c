"""Reads UN/EDIFACT: bytes in, interchanges and messages with their positions out, one message at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from core import limits
from core.envelope import MessageHeader
from core.errors import Malformed
from core.findings import Place
from edifact.around import ANY_BLANK, begins_interchange, lead, resumes, skip, skip_filler
from edifact.boundaries import NO_UNT, Scan, terminator_at
from edifact.directory import Directories
from edifact.encoding import contradictions
from edifact.flaw import Flaw
from edifact.lost_ends import NO_TERMINATOR
from edifact.syntax import Service, advance, canonical, plain_letters, resolve, segment_end, told
from edifact.text import GroupText, InterchangeText, MessageText, ServiceSegment

__all__ = ["InterchangeText", "MessageText", "read"]

# A UNB without terminator: a message or group begins before what was taken for its end, which stands in some text.
LOST_END = re.compile(rb"[\r\n]" + ANY_BLANK + rb"UN[HG][^\w\s]|[~|^\\\x1c\x85`]" + ANY_BLANK + rb"UN[HG][^\w\s]")
# A UNB that seemed to end with an apostrophe in some text, where in truth segments end with the line.
LINES = re.compile(rb"[^'\r\n]{1,200}[\r\n]" + ANY_BLANK + rb"UN[HG][^\w\s'][^'\r\n]{0,200}[\r\n]")
# Interactive transfers, packages, security: not supported.
UNSUPPORTED = re.compile("U(?:I[BHTZ]|N[OP]|S[ABCDEFHLRTUXY])")

UNREADABLE = "EDI-0115"  # an interchange of which not even the header could be read: nothing else is told of it


def read(body: bytes, directories: Directories) -> Iterator[MessageText | InterchangeText]:
    """Yield the messages of each interchange, and after its last message the interchange itself.

    Filler around interchanges is skipped, with a warning where it is more than blanks and a byte order mark in front;
    behind what is no interchange reading resumes at the next that begins. Raises Malformed when not even the first
    interchange's header can be read; a later one that cannot be read comes as an interchange without reference and
    messages. Raises it too, if need be half-way, when there are more messages, groups or interchanges than the limits
    allow.
    """
    start, plain = lead(body), body.isascii()
    ordinal = envelopes = 0
    previous: InterchangeText | None = None
    if body.count(b"UNH") > limits.MESSAGES:
        raise Malformed("EDI-0006", f"more than {limits.MESSAGES} messages in one transmission")
    position, filler = skip_filler(body, start)
    while position < len(body):
        place = previous.line_column(position) if previous else advance(body[start:position].decode("latin-1"), 1, 1)
        envelopes += 1
        _bound(envelopes)
        interchange, position = _opened(body, position, directories, previous)
        for item in _messages(interchange, position, ordinal, envelopes):
            if isinstance(item, int):
                position = item
            else:
                ordinal = item.ordinal
                yield item
        interchange.start, interchange.end = place, position
        if previous is None and filler:
            interchange.flaws.append(filler._replace(at=interchange.offset))
        if not plain:
            interchange.flaws.extend(contradictions(interchange))
        position, filler = skip_filler(body, position)
        if filler:
            interchange.flaws.append(filler)
        envelopes += sum(group.header is not None for group in interchange.groups)
        previous = interchange
        yield interchange
    if previous is None:
        raise Malformed("EDI-0001", "the transmission is empty")


def _opened(
    body: bytes, position: int, directories: Directories, previous: InterchangeText | None
) -> tuple[InterchangeText, int]:
    """Return the interchange that begins at a position, and where its content does.

    Behind another, what is no interchange is one without reference and content, up to the next that begins.
    """
    try:
        return _header(body, position, directories)
    except Malformed as error:
        if previous is None:
            raise
        lost = InterchangeText(body, position, Service(), "", "3", ServiceSegment([["UNB"]], position), {})
        lost.flaws.append(Flaw(UNREADABLE, "33", position, value=error.value or ""))
        return lost, resumes(body, position)


def _header(body: bytes, position: int, directories: Directories) -> tuple[InterchangeText, int]:
    offset = position
    una = body[position : position + 3] == b"UNA"
    signs = ""
    if una:
        signs = body[position + 3 : position + 9].decode("latin-1")
        position = skip(body, position + 9)
    if body[position : position + 3] != b"UNB":
        raise Malformed(
            "EDI-0002",
            "no UNB where the interchange should begin",
            place=_place(body, position),
            value=_peek(body, position),
        )
    if una:
        if not _usable(signs):
            raise Malformed(
                "EDI-0003",
                "UNA does not name six usable, different service characters",
                place=_place(body, offset),
                value=signs,
                syntax_error="20",
            )
        service = Service(signs[0], signs[1], signs[2] if signs[2] in ".," else ".,", signs[3].strip(), "", signs[5])
    elif body[position + 3 : position + 4] == b"\x1d":  # level B: IS4, IS3, IS1
        service = Service("\x1f", "\x1d", ".,", "", "", "\x1c")
    else:
        service = Service()
    if body[position + 3 : position + 4] != service.element.encode("latin-1"):
        raise Malformed(
            "EDI-0004",
            "the character after UNB is not the element separator",
            place=_place(body, position),
            value=_peek(body, position),
            syntax_error="22",
            expected=service.element,
        )
    end = terminator_at(body, position, service, position + limits.SEGMENT_BYTES)
    if end is None or _lost_end(body, position, end, service) or LINES.match(body, end + 1):
        raise Malformed(
            "EDI-0005", "the UNB segment has no end", place=_place(body, position), value=_peek(body, position)
        )
    opening = body[position:end].decode("latin-1").split(service.element)
    syntax = list(map(_unpadded, opening[1].split(service.component))) if len(opening) > 1 else [""]
    version = syntax[1] if len(syntax) > 1 else ""
    if version == "4":
        sign = signs[4] if una else "*"
        service = service._replace(repetition=sign.strip(), decimal=".,")
    interchange = InterchangeText(
        body,
        offset,
        service,
        syntax[0],
        version,
        ServiceSegment([], position),
        directories.service_segments(version),
        signs,
    )
    interchange.header = _service_segment(interchange, position, end)
    return interchange, end + 1


def _lost_end(body: bytes, position: int, end: int, service: Service) -> bool:
    """Tell whether a message begins inside of what was taken for UNB, behind a sign that separates nothing here."""
    if body.find(b"UNH", position, end) < 0 and body.find(b"UNG", position, end) < 0:
        return False
    found = LOST_END.search(body, position, end)
    return found is not None and chr(found[0][0]) not in (service.element, service.component, service.repetition)


@lru_cache(maxsize=16)
def _usable(signs: str) -> bool:
    """Tell whether UNA names six usable, different service characters."""
    component, element, decimal, release, reserved, terminator = tuple(signs.ljust(6))
    distinct = component + element + decimal + release.strip() + terminator
    return (
        len(signs) == 6
        and len(set(distinct)) == len(distinct)
        and not any(c.isalnum() or c in " \r\n\0" or ord(c) > 0x7E for c in distinct)
        and (reserved == " " or not (reserved in distinct or reserved.isalnum()))
    )


def _place(body: bytes, offset: int) -> Place:
    before = body[:offset]
    return Place(line=before.count(b"\n") + 1, column=offset - before.rfind(b"\n"))


def _peek(body: bytes, offset: int) -> str:
    return body[offset : offset + limits.ECHO_CHARACTERS].decode("latin-1")


def _service_segment(interchange: InterchangeText, position: int, end: int) -> ServiceSegment:
    text = canonical(interchange.decode(interchange.body[position:end]), interchange.service)
    elements = [element.split(":") for element in text.split("+")]
    if not text.isascii():
        elements = [list(map(resolve, element)) for element in elements]
    return ServiceSegment(elements, position, text)


def _header_of(text: str, service: Service) -> tuple[str | None, tuple[str, ...]]:
    """Return 0062 and the components of S009 of a message."""
    cut = text.find(service.terminator)
    if 0 < cut < limits.SEGMENT_BYTES and not (service.release and service.release in text[:cut]):
        head = text[:cut].split(service.element)
        components = head[2].split(service.component) if len(head) > 2 else []
        if " " not in text[:cut]:
            return head[1] or None, tuple(components)
        return _unpadded(head[1]) or None, tuple(map(_unpadded, components))
    head = canonical(text[: segment_end(text, service, 0, limits.SEGMENT_BYTES)], service).split("+")
    components = [resolve(each) for each in head[2].split(":")] if len(head) > 2 else []
    return _unpadded(resolve(head[1])) or None, tuple(map(_unpadded, components))


def _unpadded(text: str) -> str:
    """Return a component without the blanks that pad it."""
    return text.rstrip(" ")


class _Open:
    """Where the reading of an interchange stands: in which group, and which references have been used."""

    __slots__ = ("group", "group_references", "groups", "outside", "references")

    def __init__(self) -> None:
        self.group: GroupText | None = None  # the open functional group
        self.outside: GroupText | None = None  # the run of messages outside any group
        self.references: set[str] = set()
        self.group_references: set[str] = set()
        self.groups = 0


def _messages(of: InterchangeText, position: int, ordinal: int, envelopes: int) -> Iterator[MessageText | int]:
    """Yield the messages up to the end of the interchange, then the offset behind it; completes `of` on the way.

    `envelopes` are the interchanges and groups of the transmission so far, this interchange included.
    """
    body, scan, open_ = of.body, Scan(of), _Open()
    unh = b"UNH" + of.service.element.encode("latin-1")
    again = tuple({body[of.header.offset : position], body[of.offset : position]})  # the header, without and with UNA
    while of.trailer is None:
        position = skip(body, position)
        if body.startswith(again, position):
            of.flaws.append(Flaw("EDI-0108", "33", position, value="UNB"))
            while repeated := next((each for each in again if body.startswith(each, position)), b""):
                position = skip(body, position + len(repeated))
        elif body.startswith(unh, position):
            ordinal += 1
            message, position = _message(of, scan, open_, position, ordinal)
            yield message
        elif position >= scan.size or begins_interchange(body, position):
            break  # UNZ is missing
        else:
            position = _envelope_segment(of, scan, open_, position)
            _bound(envelopes + open_.groups)
    if open_.group is not None:
        open_.group.flaws.append(Flaw("EDI-0201", "13", position, service_segment="UNE"))
    yield position


def _shown_header(reference: str | None, identifier: tuple[str, ...], ordinal: int) -> MessageHeader:
    """Return what UCM repeats of a message."""
    if not "".join((reference or "", *identifier)).isascii():
        reference, identifier = told(reference or "") or None, tuple(map(told, identifier))
    return MessageHeader(reference, identifier, ordinal)


def _message(of: InterchangeText, scan: Scan, open_: _Open, position: int, ordinal: int) -> tuple[MessageText, int]:
    """Return the message at a position, and the offset behind it."""
    after, flaws = scan.message(position)
    begin = position
    while flaws == (NO_UNT,) and scan.stands_twice(begin, after):
        begin = skip(scan.body, after)
        after, flaws = scan.message(begin)
    lost = NO_TERMINATOR in {flaw.code for flaw in flaws}
    text = of.decode(scan.ended(position, after) if lost else of.body[position:after])
    reference, identifier = _header_of(text, of.service)
    if reference in open_.references:
        flaws = (*flaws, Flaw("EDI-0304", "26", 0, 2, value=reference, service_segment="UNH"))
    elif reference is not None:
        open_.references.add(reference)
    if open_.group is None and open_.outside is None:
        open_.outside = GroupText(None)
        of.groups.append(open_.outside)
    (open_.group or open_.outside or GroupText(None)).messages.append(_shown_header(reference, identifier, ordinal))
    return MessageText(of, open_.group, ordinal, position, text, reference, identifier, flaws), after


def _envelope_segment(of: InterchangeText, scan: Scan, open_: _Open, position: int) -> int:
    """Take in the segment at a position, which begins no message; return the offset to go on from."""
    end = terminator_at(of.body, position, of.service, scan.size)
    if end is None:
        value = _peek(of.body, position)
        of.flaws.append(Flaw("EDI-0116", "13", position, value=value, service_segment="UNZ"))
        return scan.size
    stop, after = end, end + 1
    if lost := scan.lost_end(position, end):
        stop, after = lost.start(), lost.end()
    segment = _service_segment(of, position, min(stop, position + limits.SEGMENT_BYTES))
    tag = segment.elements[0][0]
    if lost and tag in ("UNG", "UNE", "UNZ"):
        of.flaws.append(scan.without_end(tag, position, lost))
    if tag == "UNZ":
        of.trailer = segment
    elif tag == "UNG":
        _open_group(of, open_, segment)
    elif tag == "UNE" and open_.group is not None:
        open_.group.trailer = segment
        open_.group, open_.references = None, set()
    elif open_.group is not None:  # a run of strange segments is one flaw
        open_.group.flaws.append(Flaw("EDI-0206", "33", position, value=tag[: limits.ECHO_CHARACTERS]))
        return scan.envelope(end, scan.in_group)
    else:
        of.flaws.append(_stray(of, position, tag[: limits.ECHO_CHARACTERS]))
        return scan.envelope(end, scan.outside_group)
    return after


def _open_group(of: InterchangeText, open_: _Open, segment: ServiceSegment) -> None:
    """Begin the functional group of a UNG."""
    if open_.group is not None:
        open_.group.flaws.append(Flaw("EDI-0201", "13", segment.offset, service_segment="UNE"))
    name = segment.value(5)
    open_.group = GroupText(segment, repeated=name != "" and name in open_.group_references)
    open_.group_references.add(name)
    open_.references, open_.outside = set(), None
    open_.groups += 1
    of.groups.append(open_.group)


def _stray(of: InterchangeText, position: int, tag: str) -> Flaw:
    """Return the flaw of segments between messages that belong to no envelope."""
    if (meant := plain_letters(tag)) != tag and meant in ("UNH", "UNT", "UNG", "UNE", "UNZ"):
        return Flaw("EDI-0411", "33", position, value=tag, expected=meant)
    if not UNSUPPORTED.fullmatch(tag):
        return Flaw("EDI-0108", "33", position, value=tag, expected=None if tag[:2] == "UN" else "UNH")
    return Flaw("EDI-0114", "47" if of.syntax_version == "4" else "15", position, value=tag)


def _bound(envelopes: int) -> None:
    """Raise Malformed for more interchanges and groups than one transmission may have."""
    if envelopes > limits.ENVELOPES:
        raise Malformed("EDI-0006", f"more than {limits.ENVELOPES} interchanges and groups in one transmission")
