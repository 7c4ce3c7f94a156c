"""Transmissions in which one thing stands so many times: each segment, element, attribute, header, line and message."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from core.transmission import Outcome
from tests.support.hostile import GOOD_EDIFACT, GOOD_XML, HEADER
from tests.support.oracles import carried
from tests.support.way import SAMPLES

# Makes a transmission in which something stands n times.
Grow = Callable[[int], bytes]

OURS = re.compile(r"/(core|edifact|parsers|validators|routing|responses|gateway)/")
TAG = re.compile(rb"<(\w+)[^<>]*>")
UNH = GOOD_EDIFACT.index(b"UNH")
LINE, SECOND = GOOD_EDIFACT.index(b"LIN+1'"), GOOD_EDIFACT.index(b"LIN+2'")
MESSAGE = GOOD_EDIFACT[UNH : GOOD_EDIFACT.index(b"UNZ")]
SMALL = b"UNH+%d+GOVCBR:D:13A:UN:CAD+1.00'UNT+2+%d'"


def edifact_cases() -> Iterator[tuple[str, Grow]]:
    """Yield what grows in an interchange, and how it is made."""
    segments = GOOD_EDIFACT.split(b"'")[:-1]
    for index, segment in enumerate(segments):
        tag = segment.strip()[:3].decode()
        yield (
            f"segment {index} {tag}",
            lambda n, i=index: _counted([*segments[:i], *segments[i : i + 1] * n, *segments[i + 1 :]]),
        )
        for element in range(1, segment.count(b"+") + 1):
            yield (
                f"element {index} {tag} {element}",
                lambda n, i=index, e=element: _counted(_with(segments, i, _widened(segments[i], e, n))),
            )
    yield (
        "lines, valid",
        lambda n: _counted(
            (
                GOOD_EDIFACT[:LINE]
                + b"".join(_line(k) for k in range(1, n))
                + GOOD_EDIFACT[SECOND:].replace(b"LIN+2'", b"LIN+%d'" % n, 1)
            ).split(b"'")[:-1]
        ),
    )
    yield (
        "lines, refused",
        lambda n: _counted(
            (
                GOOD_EDIFACT[:LINE]
                + b"".join(_line(k).replace(b"EUR", b"EU?+") for k in range(1, n))
                + GOOD_EDIFACT[SECOND:]
            ).split(b"'")[:-1]
        ),
    )
    yield (
        "groups that go on",
        lambda n: _counted(GOOD_EDIFACT.replace(b"UNS+S", b"TAX+7+CUD:CAD+++02'" * n + b"UNS+S").split(b"'")[:-1]),
    )
    yield "totals", lambda n: _counted(GOOD_EDIFACT.replace(b"UNT+", b"CNT+5:1'" * n + b"UNT+").split(b"'")[:-1])
    yield "empty totals", lambda n: _counted(GOOD_EDIFACT.replace(b"UNT+", b"CNT+1'" * n + b"UNT+").split(b"'")[:-1])
    yield "messages, valid", lambda n: _interchange(b"".join(_message(k) for k in range(n)), n)
    yield "messages about one declaration", _about_one_declaration
    yield "messages, refused", lambda n: _interchange(b"".join(SMALL % (k, k) for k in range(n)), n)
    yield (
        "stray segments between messages",
        lambda n: _interchange(b"".join(SMALL % (k, k) + b"XX%d'" % k for k in range(n)), n),
    )
    yield (
        "strays in groups",
        lambda n: _interchange(
            b"".join(
                b"UNG+GOVCBR+A+B+260115:1030+%d+UN+D:13A'XX%d'%sUNE+1+%d'" % (k, k, SMALL % (k, k), k) for k in range(n)
            ),
            n,
        ),
    )
    yield (
        "interchanges",
        lambda n: b"".join(
            (HEADER[9:].replace(b"MB000001", b"R%d" % k) + b"'" + SMALL % (1, 1) + b"UNZ+1+R%d'" % k) for k in range(n)
        ),
    )
    yield "headers without content", lambda n: b"".join(HEADER[9:] + b"'UNZ+0+1'" for k in range(n))
    yield (
        "patterns",
        lambda n: b"".join(
            b"UNA:+%s? 'UNB+UNO%s:3+MAPLEBROKER+G+260115:1030+I%d'"
            % (b",."[k % 2 : k % 2 + 1], b"ABC"[k % 3 : k % 3 + 1], k)
            + b"UNH+1+CUSDEC:D:96B:UN'BGM+AB'UNT+3+1'UNZ+1+I%d'" % k
            for k in range(n)
        ),
    )
    yield "released signs", lambda n: GOOD_EDIFACT.replace(b"FTX+AAA+++", b"FTX+AAA+++" + b"?'" * n, 1)
    yield "filler", lambda n: b"\r\n" * n + GOOD_EDIFACT


def xml_cases() -> Iterator[tuple[str, Grow]]:
    """Yield what grows in a document, and how it is made."""
    for number, found in enumerate(TAG.finditer(GOOD_XML)):
        name, begin, inside = found[1].decode(), found.start(), found.end() - 1
        end = _end(begin, found[1])
        yield f"element {number} {name}", lambda n, b=begin, e=end: GOOD_XML[:b] + GOOD_XML[b:e] * n + GOOD_XML[e:]
        yield f"empty {number} {name}", lambda n, b=begin, t=found[1]: GOOD_XML[:b] + b"<%s/>" % t * n + GOOD_XML[b:]
        yield (
            f"attribute {number} {name}",
            lambda n, e=inside: GOOD_XML[:e] + b"".join(b' a%d="1"' % k for k in range(n % 200)) + GOOD_XML[e:],
        )
    yield "unknown elements", lambda n: _first(b"<FunctionCode>", b"".join(b"<x%d/>" % k for k in range(n)))
    yield "elements inside one another", lambda n: _first(b"<FunctionCode>", b"<b>" * (n % 250) + b"</b>" * (n % 250))
    yield "text", lambda n: _first(b"<FunctionCode>", b"x" * n)
    yield "references", lambda n: _first(b"REF-01013", b"&#120;" * n)
    yield "comments", lambda n: _first(b"<FunctionCode>", b"<!-- a comment -->" * n)
    yield "instructions", lambda n: _first(b"<FunctionCode>", b"".join(b"<?a%d b?>" % k for k in range(n)))
    yield "a prefix", lambda n: _first(b"<FunctionCode>", b'<%s:x xmlns:%s="u"/>' % (b"p" * n, b"p" * n))


def counted_lines(body: bytes) -> tuple[int, Outcome]:
    """Carry a transmission; return how many lines of our own code ran, which is the same on every machine."""
    lines = 0
    ours: dict[str, bool] = {}  # by file

    def inside(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return inside

    def called(frame: FrameType, _event: str, _argument: Any) -> Any:
        file = frame.f_code.co_filename
        if (counted := ours.get(file)) is None:
            counted = ours[file] = OURS.search(file) is not None
        return inside if counted else None

    before = sys.gettrace()
    sys.settrace(called)
    try:
        outcome = carried(body, "erable" if body.lstrip().startswith(b"<") else "maple")
    finally:
        sys.settrace(before)
    return lines, outcome


def _first(old: bytes, new: bytes) -> bytes:
    assert old in GOOD_XML
    return GOOD_XML.replace(old, new + old, 1)


def _end(begin: int, name: bytes) -> int:
    """Return where the element that begins there ends."""
    depth, at = 0, begin
    for found in re.finditer(rb"<(/?)%s\b[^<>]*?(/?)>" % name, GOOD_XML[begin:]):
        depth += -1 if found[1] else 0 if found[2] else 1
        at = begin + found.end()
        if depth <= 0:
            break
    return at


def _line(number: int) -> bytes:
    return GOOD_EDIFACT[LINE:SECOND].replace(b"LIN+1'", b"LIN+%d'" % number, 1)


def _message(number: int) -> bytes:
    own = MESSAGE.replace(b"UNH+1+", b"UNH+%d+" % number).replace(b"UNT+49+1", b"UNT+49+%d" % number)
    return own.replace(b"12345000000012", b"%014d" % (12345 * 10**9 + number))


def _about_one_declaration(times: int) -> bytes:
    """Return twice so many messages: an original, then a correction of what the one before has made of it."""
    messages = [ORIGINAL, *(CORRECTION.replace(b":00002+4", b":%05d+4" % n) for n in range(2, 2 * times + 1))]
    numbered = (
        re.sub(rb"UNT\+(\d+)\+1", rb"UNT+\g<1>+%d" % n, each.replace(b"UNH+1", b"UNH+%d" % n))
        for n, each in enumerate(messages, 1)
    )
    return _interchange(b"".join(numbered), len(messages))


def _content(file: str) -> bytes:
    """Return the message in a sample."""
    body = (SAMPLES / file).read_bytes()
    return body[body.index(b"UNH") : body.index(b"UNZ")]


ORIGINAL, CORRECTION = _content("originals/v-voluntary.edi"), _content("changes/v-correction.edi")


def _interchange(content: bytes, count: int) -> bytes:
    return HEADER + b"'" * (not HEADER.endswith(b"'")) + content + b"UNZ+%d+MB000001'" % count


def _with(segments: list[bytes], index: int, segment: bytes) -> list[bytes]:
    return [*segments[:index], segment, *segments[index + 1 :]]


def _widened(segment: bytes, element: int, times: int) -> bytes:
    """Return a segment in which an element stands so many times, as far as it may."""
    elements = segment.split(b"+")
    return b"+".join([*elements[:element], *elements[element : element + 1] * (times % 90), *elements[element + 1 :]])


def _counted(segments: list[bytes]) -> bytes:
    """Return segments as an interchange whose UNT counts what there is."""
    first = next((i for i, each in enumerate(segments) if each.strip().startswith(b"UNH")), 0)
    last = max((i for i, each in enumerate(segments) if each.strip().startswith(b"UNT")), default=0)
    segments = [
        re.sub(rb"UNT\+\d+", b"UNT+%d" % (last - first + 1), each) if i == last else each
        for i, each in enumerate(segments)
    ]
    return b"'".join([*segments, b""])
