"""First looks at a transmission's bytes: which syntax it claims, and which declaration it is about."""

from __future__ import annotations

import re

from core import limits
from core.blanks import FILLER
from core.transmission import Syntax

# The byte order mark and the filler that may stand before the first character of either syntax.
LEAD = re.compile(rb"(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?[%s]*" % re.escape(FILLER.encode()))

# EDIFACT: the document number of a BGM; XML: the first ID that is a transaction number. A look, not a reading:
# what it misses costs parallelism; only a sender that hides its number from it can upset the order, and only its own.
# Both begin with plain letters, for which the search runs through the bytes many times faster.
NUMBER = {
    Syntax.EDIFACT: re.compile(rb"BGM\+[^'+]{0,80}\+(\d{14})\b"),
    Syntax.XML: re.compile(rb"ID(?<=[<:]ID)(?:\s[^>]{0,200})?>\s*(\d{14})\s*<"),
}
SEVERAL = "*"


def syntax(body: bytes) -> Syntax:
    """Tell the syntax from the first characters; UNKNOWN when they are neither's."""
    if body.startswith((b"<?xml", b"UNA", b"UNB")):  # as nearly all do
        return Syntax.XML if body.startswith(b"<") else Syntax.EDIFACT
    start = LEAD.match(body)
    head = body[start.end() if start else 0 :][:8].replace(b"\0", b"")
    if head.startswith(b"<"):
        return Syntax.XML
    return Syntax.EDIFACT if head.startswith((b"UNA", b"UNB")) else Syntax.UNKNOWN


def lane(body: bytes) -> str:
    """Return the transaction number that the transmission is about, or "*" when that is not plainly one.

    Messages of one lane keep the order of their arrival; "*" keeps it towards everything of the same sender.
    """
    number = NUMBER.get(syntax(body)) if len(body) <= limits.TRANSMISSION_BYTES else None  # larger ones are not read
    numbers = set(number.findall(body)) if number else set()
    single = len(numbers) == 1 and body.count(b"UNH+") <= 1
    return numbers.pop().decode() if single else SEVERAL
