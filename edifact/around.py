"""What stands around interchanges, in bytes: blanks, filler, and where another interchange begins."""

from __future__ import annotations

import re

from core import limits
from core.blanks import BLANK, FILLER
from edifact.flaw import Flaw

BOM = b"\xef\xbb\xbf"
ANY_BLANK, _ANY_FILLER = (b"[%s]*" % re.escape(signs.encode()) for signs in (BLANK, FILLER))
_AROUND = b"%s(?:%s%s)*" % (_ANY_FILLER, BOM, _ANY_FILLER)
# What an envelope's segment may begin with, filler in front of it included.
ENVELOPE_AHEAD = b"(?=[U%s%s])" % (BOM[:1], re.escape(FILLER.encode()))
_UNA = rb"UNA.{6}" + ANY_BLANK + rb"UNB"
_BLANKS, _FILLED = re.compile(ANY_BLANK), re.compile(_AROUND)
# Where another interchange begins although the one before it has not ended.
_NEXT = re.compile(_AROUND + rb"(?:" + _UNA + rb"|UNB)", re.DOTALL)
# Where reading resumes behind what is no interchange.
_RESUMES = re.compile(_UNA + rb"(?=[^\w\s])|(?<![^\W_])UNB(?=[+\x1d])", re.DOTALL)


def skip(body: bytes, position: int) -> int:
    """Return the offset behind the blanks at a position."""
    return _BLANKS.match(body, position).end()  # type: ignore[union-attr]  # it also matches nothing


def skip_filler(body: bytes, position: int) -> tuple[int, Flaw | None]:
    """Return the offset behind the filler at a position, and a warning if that is more than blanks."""
    begins = skip(body, position)
    ends = _FILLED.match(body, begins).end()  # type: ignore[union-attr]  # it also matches nothing
    if begins == ends:
        return ends, None
    value = body[begins : min(ends, begins + limits.ECHO_CHARACTERS)].decode("utf-8", "replace")
    return ends, Flaw("EDI-0118", None, begins, value=value, service_segment="UNB")


def begins_interchange(body: bytes, position: int) -> bool:
    """Tell whether an interchange begins behind the filler at a position."""
    return bool(_NEXT.match(body, position))


def resumes(body: bytes, position: int) -> int:
    """Return where the next interchange begins behind what is none at a position, the end if there is no other.

    A UNB whose UNA says nothing usable is not read without it.
    """
    opened = _NEXT.match(body, position)
    found = _RESUMES.search(body, opened.end() if opened else position + 1)
    return found.start() if found else len(body)


def another(separators: bytes) -> bytes:
    """Return the pattern that looks ahead, behind a segment, for another interchange with these separators or a UNA."""
    return rb"(?=" + _AROUND + rb"(?:" + _UNA + rb"|UNB[" + separators + rb"]))"


def lead(body: bytes) -> int:
    """Return where what may be an interchange begins: behind a byte order mark."""
    return len(BOM) if body.startswith(BOM) else 0
