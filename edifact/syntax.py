"""The syntax of UN/EDIFACT at the level of characters: character sets, service characters, where segments end."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from core.blanks import BLANK

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
# No decoder ever yields these. A data character c that looks like a default separator, or was released, is kept as
# chr(RELEASED + ord(c)); one that was released although it separates nothing in its interchange by NEEDLESS instead.
RELEASED, NEEDLESS = 0xD800, 0xDA00


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

    @property
    def separates_as_usual(self) -> bool:
        """Whether components, elements and segments are separated by the usual signs."""
        return self.component == ":" and self.element == "+" and self.terminator == "'"


DEFAULT = Service()

# Digits of a control count: more than anything has segments, and what Python turns into a number at no price.
_DIGITS = 18


def counted_by(text: str) -> int | None:
    """Return the count that a text of digits says, None for any other, and for one that is larger than any count."""
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else None


def advance(text: str, line: int, column: int) -> tuple[int, int]:
    """Return line and column behind a text that begins at the given ones."""
    newlines = text.count("\n")
    return (line + newlines, len(text) - text.rfind("\n")) if newlines else (line, column + len(text))


_BLANKS = re.compile(f"[{BLANK}]*")


def behind_blanks(text: str, position: int) -> int:
    """Return where the blanks at a position of a text end."""
    found = _BLANKS.match(text, position)
    return found.end() if found else position


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


_SIGNS = {
    version: (re.compile(f"[{re.escape(signs)}]"), str.maketrans({sign: f"?{sign}" for sign in signs}))
    for version, signs in (("3", "?:+'"), ("4", "?:+*'"))
}


def serialised(segments: Iterable[Sequence[str | Sequence[str]]], version: str) -> str:
    """Return UNA and segments as text with the usual service characters of syntax version 3 or 4.

    A segment is its tag, then its data elements, each a text or the texts of a composite's components, of which those
    that are empty at its end are left out.
    """
    written = [f"UNA:+.?{'*' if version == '4' else ' '}"]
    for segment in segments:
        written.append("+".join([serialised_element(each, version) for each in segment]))
    return "'".join([*written, ""])


def serialised_element(element: str | Sequence[str], version: str) -> str:
    """Return a data element of syntax version 3 or 4 as text: see `serialised`."""
    sign, released = _SIGNS[version]
    if isinstance(element, str):
        return element.translate(released) if sign.search(element) else element
    parts = [part.translate(released) if sign.search(part) else part for part in element]
    while parts and not parts[-1]:
        parts.pop()
    return ":".join(parts)


_RESOLVED = {base + code: code for base in (RELEASED, NEEDLESS) for code in range(0x100)}


def resolve(text: str) -> str:
    """Return a canonical value as the sender means it."""
    return text if text.isascii() else text.translate(_RESOLVED)


_TOLD = _RESOLVED | {code: f"\\x{code - 0xDC00:02x}" for code in range(0xDC80, 0xDD00)}


def told(text: str) -> str:
    """Return a canonical value as it leaves the reader: as the sender means it, what could not be read escaped."""
    return text if text.isascii() else text.translate(_TOLD)


def _lift(found: re.Match[str]) -> str:
    return chr(NEEDLESS + ord(found[1]))


# The blanks between two segments, in canonical form.
BETWEEN = re.compile(f"'[{BLANK}]+")


def canonical(text: str, service: Service) -> str:
    """Return the text with the default separators; data characters that look like them are lifted by `RELEASED`."""
    if service.release and service.release in text:
        text = _without_release(text, service)
    text = _with_default_separators(text, service)
    if "\n" in text or "\r" in text or "' " in text or "'\t" in text:
        text = BETWEEN.sub("'", text)
    return text


def _without_release(text: str, service: Service) -> str:
    """Return the text without release characters: what they release is data, by `NEEDLESS` if it is always that."""
    release = service.release
    # The release character itself first: a run of them is read in pairs from its beginning.
    for sign in (release, service.terminator, service.element, service.component, service.repetition):
        if sign:
            text = text.replace(release + sign, chr(RELEASED + ord(sign)))
    if release in text:  # before characters that need none; how often that is told is bounded
        text = re.sub(f"{re.escape(release)}([\0-\x7f])", _lift, text, count=1_000)
        text = text.replace(release, "")
    return text


def _with_default_separators(text: str, service: Service) -> str:
    """Return the text with the default separators; data characters that look like them are lifted by `RELEASED`."""
    if service.separates_as_usual and (service.repetition == "*" or (not service.repetition and "*" not in text)):
        return text
    own = {service.component: ":", service.element: "+", service.repetition: "*", service.terminator: "'"}
    own.pop("", None)
    for sign in ":+*'":
        if sign not in own and sign in text:
            text = text.replace(sign, chr(RELEASED + ord(sign)))
    moved = [(sign, meaning) for sign, meaning in own.items() if sign != meaning]
    for sign, meaning in moved:
        text = text.replace(sign, chr(0xD900 + ord(meaning)))
    for _, meaning in moved:
        text = text.replace(chr(0xD900 + ord(meaning)), meaning)
    return text


# Cyrillic and Greek capitals that look like Latin ones.
_ALIKE = str.maketrans(
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425"
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a7",
    "ABEKMHOPCTXABEZHIKMNOPTX",
)


def plain_letters(text: str) -> str:
    """Return a text with the letters and signs of EDIFACT that it seems to be in: capitals, Latin, of usual width.

    Text of UTF-8 that was read as Latin-1 is taken for what it was.
    """
    if not text.isascii():
        with suppress(UnicodeError):
            text = text.encode("latin-1").decode("utf-8")
    return unicodedata.normalize("NFKC", text).translate(_ALIKE).upper()
