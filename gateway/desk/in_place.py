"""A transmission's text as a page shows it: a segment a line where it has no lines, its faults marked in place."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from core.text import lines_of, printable
from edifact.syntax import ENCODINGS
from gateway.desk.explain import NumberedFinding, visible, width_at

# Lines that are shown whole, and how many around each mark of a text that has more.
LINES_WHOLE, LINES_AROUND = 1_500, 3

# Characters of a line that are shown whole, and how many of an unmarked piece at either end of it beyond that.
LINE_WHOLE, PIECE_END = 20_000, 300

# Where an interchange says which character set it is in (UNB 0001), and within how many of its first bytes.
CHARSET, HEADER = re.compile(rb"UNB[^\w\s](UNO[A-Z])"), 1_000

# Lines longer than this have an EDIFACT segment a line on the page.
LONG = 100


class FaultMark(NamedTuple):
    """A finding at a place: its number in its message, the name of its anchor, whether it only warns."""

    number: int
    name: str
    warns: bool


class Piece(NamedTuple):
    """A piece of a line, and the findings that begin with it."""

    text: str
    marks: tuple[FaultMark, ...] = ()


class TextRow(NamedTuple):
    """A line of the text; without pieces it stands for lines that are left out, and `number` is how many."""

    number: int
    pieces: tuple[Piece, ...]


def in_place(text: str, remarks: Iterable[tuple[str, NumberedFinding]], *, segments: bool) -> list[TextRow]:
    """Return the lines of a text with what was found in them, each finding given with the name of its anchor.

    `segments` tells that it is EDIFACT. Nothing of the text acts on who reads the page.
    """
    lines = lines_of(text)
    marks: dict[int, list[tuple[int, int, FaultMark]]] = defaultdict(list)
    for name, remark in remarks:
        place = remark.finding.place
        if place.line and place.line <= len(lines):
            start = (place.column or 1) - 1
            width = width_at(lines[place.line - 1], start, remark.finding.value)
            mark = FaultMark(remark.number, name, remark.finding.severity == "warn")
            marks[place.line].append((start, start + width, mark))
    ends = _terminator(text) if segments else None
    found: list[TextRow] = []
    left_out = 0
    for number, line in enumerate(lines, 1):
        if len(lines) > LINES_WHOLE and not any(number + d in marks for d in range(-LINES_AROUND, LINES_AROUND + 1)):
            left_out += 1
            continue
        if left_out:
            found.append(TextRow(left_out, ()))
            left_out = 0
        pieces = _shown(_pieces(line, sorted(marks.get(number, ()))), len(line), ends)
        found.append(TextRow(number, tuple(pieces) or (Piece(""),)))
    return [*found, TextRow(left_out, ())] if left_out else found


def _pieces(line: str, marks: Sequence[tuple[int, int, FaultMark]]) -> Iterator[Piece]:
    """Yield a line in pieces, those that are marked with their findings; of two that overlap the first is whole."""
    done = 0
    by_place: dict[tuple[int, int], list[FaultMark]] = defaultdict(list)
    for start, end, mark in marks:
        by_place[start, end].append(mark)
    for (start, end), here in by_place.items():
        if start > done:
            yield Piece(line[done:start])
        yield Piece(line[max(start, done) : end] or " ", tuple(here))
        done = max(end, done)
    if done < len(line) or not line:
        yield Piece(line[done:])


def _shown(pieces: Iterable[Piece], length: int, ends: re.Pattern[str] | None) -> Iterator[Piece]:
    """Yield pieces as they are shown: harmless, shortened where the line is very long, a segment a line."""
    for piece in pieces:
        text = visible(piece.text)
        if length > LINE_WHOLE and not piece.marks and len(text) > 2 * PIECE_END:
            text = f"{text[:PIECE_END]} … {text[-PIECE_END:]}"
        if ends and length > LONG:
            text = ends.sub(lambda found: f"{found[0]}\n", text)
        yield piece._replace(text=text)


def _terminator(text: str) -> re.Pattern[str]:
    """Return what ends a segment: the service character that UNA gives, else the apostrophe, where not released."""
    release, terminator = (text[6], text[8]) if text.startswith("UNA") and len(text) > len("UNA:+.? '") else ("?", "'")
    return re.compile(rf"(?<!{re.escape(release)}){re.escape(terminator)}")


def decoded(body: bytes) -> str:
    """Return a transmission's or answer's text: EDIFACT in the character set that it declares, else UTF-8 or UTF-16.

    Bytes that are none of these are told as what they are.
    """
    declared = CHARSET.search(body[:HEADER])
    encoding = ENCODINGS.get(declared[1].decode(), "utf-8") if declared else "utf-8"
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    try:
        return body.decode(encoding)
    except UnicodeDecodeError:
        return body.decode("utf-8", errors="backslashreplace")


def readable(text: str) -> str:
    """Return an answer's text fit for a page, EDIFACT a segment a line."""
    if "\n" not in text.strip():
        text = re.sub(r"(?<!\?)'", "'\n", text)
    return printable(text, "\N{REPLACEMENT CHARACTER}", keep="\n").strip()
