"""Finds where segments, messages and groups end in the bytes of an interchange."""

from __future__ import annotations

import re
from functools import lru_cache

from edifact.around import ANY_BLANK, ENVELOPE_AHEAD, another, skip
from edifact.flaw import Flaw
from edifact.lost_ends import line_end, no_terminator
from edifact.syntax import Service
from edifact.text import InterchangeText

NO_UNT = Flaw("EDI-0301", "13", -1, service_segment="UNT")
NO_END = Flaw("EDI-0309", "13", -1, service_segment="UNT")


def terminator_at(body: bytes, position: int, service: Service, limit: int) -> int | None:
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


# By value: the five characters are all that the patterns depend on. Senders choose them, so the number is bounded.
@lru_cache(maxsize=16)
def _boundaries(service: Service) -> tuple[re.Pattern[bytes], re.Pattern[bytes], re.Pattern[bytes]]:
    """Return what finds the next envelope segment: any, none of a message, and none of a message or group's end.

    A segment begins behind a terminator: only there is a tag looked for, never anywhere in the data. The first pattern
    also takes in a whole UNT (group 1) that has no release character.
    """
    terminator = re.escape(service.terminator.encode("latin-1"))
    separators = re.escape((service.element + service.component + service.terminator).encode("latin-1"))
    ends = re.escape((service.terminator + service.release).encode("latin-1"))
    apart = another(separators)
    unt = rb"(UNT(?=[" + separators + rb"])[^" + ends + rb"]*" + terminator + rb")|"
    any_envelope, in_group, outside_group = (
        re.compile(
            terminator
            + ENVELOPE_AHEAD  # few segments pass it, so that the rest costs nothing
            + ANY_BLANK
            + rb"+"  # for good: to try again with fewer blanks costs most where each segment has a line
            + ENVELOPE_AHEAD
            + rb"(?:"
            + whole
            + rb"(?=UN["
            + tags
            + rb"]["
            + separators
            + rb"])|"
            + apart
            + rb")",
            re.DOTALL,
        )
        for tags, whole in ((b"HTZEG", unt), (b"HZEG", b""), (b"HZG", b""))
    )
    return any_envelope, in_group, outside_group


@lru_cache(maxsize=16)
def _line_end(service: Service) -> re.Pattern[bytes]:
    """Return what finds a line's end without terminator ahead of a service segment."""
    separators = re.escape(service.element + service.component)
    return re.compile(f"{line_end(service)}(?=UN[HTZEGB][{separators}])".encode("latin-1"))


class Scan:
    """Finds segments in the bytes of an interchange."""

    def __init__(self, of: InterchangeText) -> None:
        self.body, self.service = of.body, of.service
        self.size = len(of.body)
        self.release = of.service.release.encode("latin-1")
        self.any_envelope, self.in_group, self.outside_group = _boundaries(of.service)
        self.line_end = _line_end(of.service)

    def message(self, start: int) -> tuple[int, tuple[Flaw, ...]]:
        """Return the offset behind the message that begins at `start`, and what is wrong with its end.

        It runs to the end of its UNT, or to the next envelope segment if it has none.
        """
        found = self.any_envelope.search(self.body, start)
        while found and found.start() > start and _released_at(self.body, found.start(), self.release, start):
            found = self.any_envelope.search(self.body, found.start() + 1)
        if not found:
            return self.size, (NO_UNT,)
        begin = found.end() if found.start(1) < 0 else found.start(1)
        if self.body[begin : begin + 3] != b"UNT":
            return found.start() + 1, (NO_UNT,)
        stop = found.end() - 1 if found.start(1) >= 0 else terminator_at(self.body, begin, self.service, self.size)
        if lost := self.lost_end(begin, self.size if stop is None else stop):
            return lost.end(), (self.without_end("UNT", -1, lost),)
        return (self.size, (NO_END,)) if stop is None else (stop + 1, ())

    def lost_end(self, begin: int, stop: int) -> re.Match[bytes] | None:
        """Return where a service segment ends with its line without terminator ahead of another, None if nowhere."""
        return self.line_end.search(self.body, begin, stop) if self.body.find(b"UN", begin + 3, stop) >= 0 else None

    def ended(self, position: int, lost: int) -> bytes:
        """Return the message at a position as if the terminator stood where its last segment ends with its line."""
        found = self.line_end.search(self.body, self.body.rfind(b"UNT", position, lost))
        end = found.start()  # type: ignore[union-attr]  # it was found there before
        return self.body[position:end] + self.service.terminator.encode("latin-1")

    def without_end(self, tag: str, at: int, lost: re.Match[bytes]) -> Flaw:
        """Return the flaw of a service segment that ends with its line."""
        behind = self.body[lost.end() : lost.end() + 3].decode("ascii")
        return no_terminator(tag, at, behind, self.service)._replace(service_segment=tag)

    def stands_twice(self, start: int, after: int) -> bool:
        """Tell whether a message without end is a UNH alone that stands there a second time: then it begins once."""
        header = self.body[start:after]
        one = header.count(self.service.terminator.encode("latin-1")) == 1
        return one and self.body.startswith(header, skip(self.body, after))

    def envelope(self, start: int, boundary: re.Pattern[bytes]) -> int:
        """Return the offset of the next envelope segment that the boundary finds, the size if there is none."""
        at = start
        while found := boundary.search(self.body, at):
            if not _released_at(self.body, found.start(), self.release, start):
                return found.end()
            at = found.start() + 1
        return self.size
