"""Reads UN/EDIFACT: bytes in, interchanges and messages with their positions out, one message at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from gateway import limits
from gateway.directory import Directories
from gateway.errors import Malformed
from gateway.model import MessageHeader, Place
from gateway.written import (
    Anomaly,
    GroupText,
    InterchangeText,
    MessageText,
    Service,
    ServiceSegment,
    Tally,
    advance,
    canonical,
    resolve,
    segment_end,
)

__all__ = ["InterchangeText", "MessageText", "charset", "read"]

BLANK = b" \r\n"


def charset(interchange: InterchangeText) -> str:
    """Return the Python name of an interchange's character set."""
    return interchange.encoding


def read(body: bytes, directories: Directories) -> Iterator[MessageText | InterchangeText]:
    """Yield the messages of each interchange, and after its last message the interchange itself.

    Raises Malformed when not even the first interchange's header can be read; a later one that cannot be read comes
    as an interchange without reference and messages.
    """
    position = 3 if body.startswith(b"\xef\xbb\xbf") else 0
    ordinal = 0
    previous: InterchangeText | None = None
    tally = Tally()
    start = position
    if body.count(b"UNH") > limits.MESSAGES or max(body.count(b"UNG"), body.count(b"UNB")) > limits.ENVELOPES:
        most = f"{limits.MESSAGES} messages or {limits.ENVELOPES} groups or interchanges"
        raise Malformed("EDI-0006", f"more than {most} in one transmission")
    while True:
        position = _skip(body, position)
        if position >= len(body):
            if previous is None:
                raise Malformed("EDI-0001", "the transmission is empty")
            return
        place = previous.line_column(position) if previous else advance(body[start:position].decode("latin-1"), 1, 1)
        try:
            interchange, position = _header(body, position, directories)
        except Malformed as error:
            if previous is None:
                raise
            lost = InterchangeText(body, position, Service(), "", "3", ServiceSegment([["UNB"]], position), {})
            lost.start = place
            lost.anomalies.append(Anomaly("unreadable", position, error.reason))
            yield lost
            return
        interchange.tally, interchange.start = tally, place
        for item in _messages(interchange, position, ordinal):
            if isinstance(item, int):
                position = item
            else:
                ordinal = item.ordinal
                yield item
        interchange.end = position
        previous = interchange
        yield interchange


def _skip(body: bytes, position: int) -> int:
    while position < len(body) and body[position] in BLANK:
        position += 1
    return position


def _header(body: bytes, position: int, directories: Directories) -> tuple[InterchangeText, int]:
    offset = position
    una = body[position : position + 3] == b"UNA"
    signs = ""
    if una:
        signs = body[position + 3 : position + 9].decode("latin-1")
        position = _skip(body, position + 9)
    if body[position : position + 3] != b"UNB":
        raise Malformed(
            "EDI-0002",
            "no UNB where the interchange should begin",
            place=_place(body, position),
            value=_peek(body, position),
        )
    if una:
        _check_una(signs, body, offset)
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
        )
    end = _segment_end(body, position, service, position + limits.SEGMENT_BYTES)
    if end is None:
        raise Malformed(
            "EDI-0005", "the UNB segment has no end", place=_place(body, position), value=_peek(body, position)
        )
    opening = body[position:end].decode("latin-1").split(service.element)
    syntax = opening[1].split(service.component) if len(opening) > 1 else [""]
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


def _check_una(signs: str, body: bytes, offset: int) -> None:
    component, element, decimal, release, reserved, terminator = tuple(signs.ljust(6))
    distinct = component + element + decimal + release.strip() + terminator
    if (
        len(signs) < 6
        or len(set(distinct)) < len(distinct)
        or any(c.isalnum() or c in " \r\n\0" or ord(c) > 0x7E for c in distinct)
        or (reserved != " " and (reserved in distinct or reserved.isalnum()))
    ):
        raise Malformed(
            "EDI-0003",
            "UNA does not name six usable, different service characters",
            place=_place(body, offset),
            value=signs,
            syntax_error="20",
        )


def _place(body: bytes, offset: int) -> Place:
    before = body[:offset]
    return Place(line=before.count(b"\n") + 1, column=offset - before.rfind(b"\n"))


def _peek(body: bytes, offset: int) -> str:
    return body[offset : offset + limits.ECHO_CHARACTERS].decode("latin-1")


def _segment_end(body: bytes, position: int, service: Service, limit: int) -> int | None:
    """Return the offset of the terminator of the segment at `position`, None if there is none before `limit`."""
    terminator, release = service.terminator.encode("latin-1"), service.release.encode("latin-1")
    at = position
    while (at := body.find(terminator, at, limit)) >= 0:
        if not _released_at(body, at, release, position):
            return at
        at += 1
    return None


def _released_at(body: bytes, at: int, release: bytes, floor: int) -> bool:
    if not release:
        return False
    first = at
    while first > floor and body[first - 1 : first] == release:
        if first - floor > 64 and body[first - 64 : first] == release * 64:
            first -= 64
        else:
            first -= 1
    return (at - first) % 2 == 1


def _service_segment(interchange: InterchangeText, position: int, end: int) -> ServiceSegment:
    text = canonical(interchange.decode(interchange.body[position:end]), interchange.service)
    return ServiceSegment(
        [[resolve(c) for c in element.split(":")] for element in text.split("+")],
        position,
    )


@lru_cache(maxsize=16)
def _boundaries(service: Service) -> tuple[re.Pattern[bytes], re.Pattern[bytes], re.Pattern[bytes]]:
    """Return what finds the next envelope segment: any, none of a message, and none of a message or group's end.

    A segment begins behind a terminator: only there is a tag looked for, never anywhere in the data.
    """
    terminator = re.escape(service.terminator.encode("latin-1"))
    separators = re.escape((service.element + service.component + service.terminator).encode("latin-1"))
    una = rb"|UNA.{6}[ \r\n]*UNB)"
    any_envelope, in_group, outside_group = (
        re.compile(terminator + rb"[ \r\n]*(?=UN[" + tags + rb"][" + separators + rb"]" + una, re.DOTALL)
        for tags in (b"HTZEGB", b"HZEGB", b"HZGB")
    )
    return any_envelope, in_group, outside_group


def _messages(of: InterchangeText, position: int, ordinal: int) -> Iterator[MessageText | int]:
    """Yield the messages up to the end of the interchange, then the offset behind it; completes `of` on the way."""
    body, service = of.body, of.service
    size = len(body)
    release = service.release.encode("latin-1")
    element = service.element.encode("latin-1")

    any_envelope, in_group, outside_group = _boundaries(service)

    def next_envelope(start: int, boundary: re.Pattern[bytes] = any_envelope) -> tuple[int, int]:
        """Return the terminator before, and the begin of, the next envelope segment; (size, size) if none."""
        at = start
        while found := boundary.search(body, at):
            if not _released_at(body, found.start(), release, start):
                return found.start(), found.end()
            at = found.start() + 1
        return size, size

    outside: GroupText | None = None  # the run of messages outside any group
    group: GroupText | None = None  # the open functional group
    references: set[str] = set()
    group_references: set[str] = set()
    while True:
        position = _skip(body, position)
        tag = bytes(body[position : position + 3])
        if (
            position >= size
            or tag == b"UNB"
            or (tag == b"UNA" and re.match(rb".{6}[ \r\n]*UNB", body[position + 3 : position + 40], re.DOTALL))
        ):
            break  # UNZ is missing
        end = _segment_end(body, position, service, size)
        if end is None:
            of.anomalies.append(Anomaly("unterminated", position, _peek(body, position)))
            position = size
            break
        if tag == b"UNH" and body[position + 3 : position + 4] == element:
            ordinal += 1
            # The message runs to the end of its UNT, or to the next envelope segment if it has none.
            last, begin = next_envelope(end)
            found: list[Anomaly] = []
            if begin < size and body[begin : begin + 3] == b"UNT":
                stop = _segment_end(body, begin, service, size)
                if stop is None:
                    found.append(Anomaly("no end", begin))
                    stop = size - 1
                after = stop + 1
            else:
                found.append(Anomaly("no UNT", position))
                after = min(last + 1, size)
            text = of.decode(body[position:after])
            head = canonical(text[: segment_end(text, service, 0, limits.SEGMENT_BYTES)], service).split("+")
            reference = resolve(head[1]) or None
            identifier = tuple(map(resolve, head[2].split(":"))) if len(head) > 2 else ()
            if reference is not None:
                if reference in references:
                    found.append(Anomaly("repeated", position, reference))
                references.add(reference)
            if group is None and outside is None:
                outside = GroupText(None)
                of.groups.append(outside)
            into = group or outside
            assert into is not None  # noqa: S101
            into.messages.append(MessageHeader(reference, identifier, ordinal))
            yield MessageText(of, group, ordinal, position, text, reference, identifier, tuple(found))
            position = after
            continue
        segment = _service_segment(of, position, min(end, position + limits.SEGMENT_BYTES))
        if tag == b"UNZ":
            of.trailer = segment
            position = end + 1
            break
        if tag == b"UNG":
            if group is not None:
                group.anomalies.append(Anomaly("no UNE", position))
            reference = segment.value(5)
            group = GroupText(segment, repeated=reference != "" and reference in group_references)
            group_references.add(reference)
            references = set()
            outside = None
            of.groups.append(group)
        elif tag == b"UNE" and group is not None:
            group.trailer = segment
            group = None
            references = set()
        else:  # a run of strange segments is one fault
            where = group.anomalies if group is not None else of.anomalies
            where.append(Anomaly("stray", position, segment.elements[0][0][: limits.ECHO_CHARACTERS]))
            position = next_envelope(end, in_group if group is not None else outside_group)[1]
            continue
        position = end + 1
    if group is not None:
        group.anomalies.append(Anomaly("no UNE", position))
    yield position
