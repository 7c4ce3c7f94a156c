"""What the bytes of an interchange say against the character set that it declares (UNB 0001)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edifact.around import BOM
from edifact.flaw import Flaw
from edifact.text import InterchangeText

# A character that UTF-8 writes as several bytes.
_SEVERAL = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
# In the sets of western letters: an accented letter, or a typographic sign, as UTF-8 writes it. Read by such a set it
# is a capital A with a tilde, or a small a with a circumflex, and then a sign: no word of any language has that.
_WESTERN = frozenset(("UNOA", "UNOB", "UNOC", "UNOG", "UNOK", "UNOL"))
_ACCENTED = re.compile(rb"\xc3[\x80-\xbf]|\xc5[\x92\x93]|\xe2\x80[\x90-\xaf]")
_LEADS = b"\xc3", b"\xc5", b"\xe2"  # what begins one: of nearly no text any
# The word around it, so far as it is told.
_BEFORE, _AFTER = re.compile(rb"[\w\x80-\xff]*\Z"), re.compile(rb"[\w\x80-\xff]{0,20}")


def contradictions(of: InterchangeText) -> Iterator[Flaw]:
    """Yield what the bytes say against the declared set: a byte order mark refuses, what looks like UTF-8 is a warning.

    Bytes that all sets read alike contradict none.
    """
    content = of.content()
    if content.isascii() or of.encoding == "utf-8" or not of.supported:
        return
    details = {"charset": of.syntax_id}
    if of.body[max(0, of.offset - len(BOM)) : of.offset] == BOM:
        yield Flaw("EDI-0120", "12", of.offset, 2, 1, of.syntax_id, "UNOW", "UNB", details)
        return
    try:
        content.decode("utf-8")
        found = _SEVERAL.search(content)
    except UnicodeDecodeError:
        western = of.syntax_id in _WESTERN and any(lead in content for lead in _LEADS)
        found = _ACCENTED.search(content) if western else None
    if found:
        before = _BEFORE.search(content[max(0, found.start() - 20) : found.start()])
        after = _AFTER.match(content, found.end())
        word = b"".join(each[0] for each in (before, found, after) if each)
        read, meant = of.decode(word), word.decode("utf-8", "replace")
        yield Flaw("EDI-0121", None, of.offset + found.start(), value=read, expected=meant, details=details)
