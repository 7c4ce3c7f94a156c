r"""Decides in C whether a message is valid: its tables compiled into patterns; what they refuse is explained elsewhere.

A pattern accepts nothing that the explaining checks find fault with; it may refuse what they let pass (a trailing
separator in syntax 3, a leading blank, an unusual date), which then costs time and nothing else.

A worked example, in syntax 3, with text that is all ASCII and the decimal mark `.`. Input: a segment QTY of one
mandatory composite C186, of 6063 (an..3, the codes 1, 12, 21), 6060 (n..6), both mandatory, and 6411 (an..3). Steps:

    6063    (?:1(?:2)?+|21)                                         the codes as a trie
    6060    -?+[0-9]{1,3}+(?:[\.][0-9]{1,3}+|[0-9]{1,3}+)?+         six digits in all, beside sign and mark
    6411    [!-&(),\-./0-9;-~][ !-&(),\-./0-9;-~]{0,2}+             no separator, and no blank to begin with
    C186    6063:6060(?::6411)?+                                    what is not mandatory at the end may be left out
    QTY     QTY\+C186'                                              in canonical form: QTY+21:12.5:KGM'

Every quantifier is possessive: a separator ends each value, so there is nothing to go back for. Shape: a message of
UNH, BGM, up to 9 groups of LIN with up to 5 QTY each, and UNT becomes one pattern, nested as its groups are,

    UNH...BGM...(?:LIN...(?:QTY...){0,5}+){0,9}+UNT...

but a large one (GOVCBR) two, each segment written out once: the segments in any order, and the order of their tags,
each tag as one letter, so that BGM LIN QTY QTY LIN is `abccb`:

    UNH...(?:B(?:GM...)|L(?:IN...)|Q(?:TY...))*+UNT...              a(?:b(?:c){0,5}+){0,9}+

What patterns cannot count is counted: the segments for UNT, and what a control total in CNT says.
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from core import limits
from edifact.directory import Item, Row, Segment, Slot, Structure, Total
from edifact.pictures import pattern_of

PLUS = r"\+"
WHOLE = 400_000  # characters of a pattern: this much compiles in about a second
COMPILED = 64  # matchers, and patterns of single segments, that are kept
WALKED = 300_000  # characters of messages that are walked in the time in which a large pattern compiles

K = TypeVar("K")
V = TypeVar("V")

# Data characters in canonical form (released ones lifted to 0xD800 and up, see edifact.syntax). Text that is all ASCII
# has classes of its own, since almost all text is, and a small class is tested twice as fast.
_LETTERS = {"ASCII": r" !-&(),\-./0-9;-~"}
# What levels A and B have not, of a text in canonical form: so few that it is looked for apart, with no patterns of
# their own for each level.
_LEVEL_A = r"""A-Z0-9 .,\-()/=!"%&;<>?'+:*\ud827\ud82a\ud82b\ud83a\ud83f"""
_BEYOND = {"UNOA": re.compile(f"[^{_LEVEL_A}]"), "UNOB": re.compile(f"[^a-z{_LEVEL_A}]")}
_OTHERS = r"+:*'\x00-\x1f\x7f-\x9f\ud800-\ud826\ud828\ud829\ud82c-\ud839\ud83b-\ud83e\ud840-\udfff"

_LETTERS_OF_TAGS = [*string.ascii_letters, *string.digits, *map(chr, range(0xC0, 0x2FF))]  # one for each tag


class Matcher:
    """A structure's tables compiled for one syntax version, class of characters and decimal mark.

    A small structure becomes one pattern of the whole message (`whole`). In a large one a segment stands in many
    places, and writing it out in each would take megabytes: there one pattern has the segments in any order, and a
    second one (`order`) the order of their tags, each as one letter (`letters`).
    """

    __slots__ = ("_segments", "_single", "_write", "large", "letters", "order", "totals", "whole")

    def __init__(self, structure: Structure, syntax: str, repertoire: str, decimal: str) -> None:
        self._write = write = _Patterns(structure.dates, syntax, repertoire, decimal)
        self._segments = structure.segments
        self._single: dict[str, re.Pattern[str]] = {}
        tags = sorted({row.tag for row in structure.rows} - {"UNH", "UNT"})
        # A segment that could be longer than the limit is left to the explaining checks.
        fit = {tag: _longest(segment) <= limits.SEGMENT_BYTES for tag, segment in structure.segments.items()}
        texts = {
            tag: write.segment(structure.segments[tag]) if fit[tag] else f"{tag}(?!)" for tag in ("UNH", *tags, "UNT")
        }
        self.totals = {total.control: _countable(structure, total) for total in structure.totals}
        size = sum(len(texts[row.tag]) for row in structure.rows)
        self.letters = dict(zip(tags, _LETTERS_OF_TAGS, strict=False))
        self.order = re.compile(_order(structure, lambda index: self.letters[structure.rows[index].tag]))
        self.large = size > WHOLE
        if not self.large:
            inner = _order(structure, lambda index: _section(structure, index, texts[structure.rows[index].tag]))
            self.whole = re.compile(f"{texts['UNH']}{inner}{texts['UNT']}")
        else:
            self.whole = re.compile(f"{texts['UNH']}(?:{_any_of([texts[tag] for tag in tags])})*+{texts['UNT']}")

    def accepts(self, plain: str, reference: str) -> bool:
        """Tell whether a message in canonical form is certainly without fault; False says nothing.

        `reference` is UNH 0062.
        """
        count = plain.count("'")
        if not plain.endswith(f"'UNT+{count}+{reference}'") or count > limits.SEGMENTS:
            return False
        if self.large and not self.in_order(plain):
            return False
        return self.whole.fullmatch(plain) is not None and self._adds_up(plain)

    def sound(self, tag: str, segment: str) -> bool:
        """Tell whether a segment (canonical, without terminator) is certainly without fault inside."""
        pattern = self._single.get(tag)
        if pattern is None:
            pattern = self._single[tag] = re.compile(self._write.segment(self._segments[tag]))
        return pattern.fullmatch(f"{segment}'") is not None

    def in_order(self, plain: str) -> bool:
        """Tell whether the segments from UNH to UNT certainly stand in order, whatever is in them."""
        letters = self.letters
        segments = plain.split("'")
        try:
            shape = "".join([letters[segment[:3]] for segment in segments[1:-2]])
        except KeyError:
            return False
        if not (self.order.fullmatch(shape) and segments[-2].startswith("UNT+")):
            return False
        section = letters.get("UNS")
        if section is None or shape.count(section) != 2:
            return True
        return segments[shape.index(section) + 1] == "UNS+D" and segments[shape.rindex(section) + 1] == "UNS+S"

    def _adds_up(self, plain: str) -> bool:
        """Compare the control totals with what they count; only for a message that is valid otherwise."""
        if not self.totals:
            return True
        at = plain.find("'CNT+", max(plain.rfind("'UNS+"), 0))  # those before the last UNS are not the message's
        while at >= 0:
            code, value = plain[at + 5 : plain.index("'", at + 5)].split(":")[:2]
            if code in self.totals:
                total = self.totals[code]
                if total is None:
                    return False
                tag, behind = total
                if value != str(plain.count(f"'{tag}+", plain.index("'UNS+") if behind else 0)):
                    return False
            at = plain.find("'CNT+", at + 1)
        return True


class Matchers:
    """Owns all that is compiled from the tables of one specification: made once for it and passed along.

    A pattern is compiled when first asked for (half a second for a large message), then kept; the number is bounded,
    since senders choose syntax and decimal mark: beyond it the oldest goes. They choose structures, too: with `only`
    no others are compiled, a message of any other is walked. Of those `spared` characters are walked first by `paid`:
    for a few messages it costs less. Nothing is shared between two of these but what a fork shares.
    """

    def __init__(self, only: Iterable[Structure] | None = None, *, spared: float = 0) -> None:
        self._only = None if only is None else frozenset(only)
        self._spared = spared
        self._walked: dict[tuple[Structure, str, str, str], int] = {}  # characters, until there is a pattern
        self._messages: dict[tuple[object, ...], Matcher] = {}
        self._asked: dict[tuple[Structure, str, str, str], Matcher] = {}  # by the structure itself, as it was asked for
        self._segments: dict[tuple[Segment, str, str, str], re.Pattern[str]] = {}

    def __len__(self) -> int:
        return len(self._messages) + len(self._segments)

    def of(self, structure: Structure, syntax: str, letters: str, decimal: str) -> Matcher | None:
        """Return the matcher of a structure for a syntax version ("3", "4"), a `repertoire` and the decimal marks.

        None for a structure that is not compiled.
        """
        if self._only is not None and structure not in self._only:
            return None
        asked = structure, syntax, letters, decimal
        if found := self._asked.get(asked):
            return found
        # By what is compiled: profiles may be alike. (A matcher keeps the mapping that its id names.)
        key = structure.rows, structure.totals, id(structure.segments), syntax, letters, decimal
        found = self._messages.get(key) or _kept(self._messages, key, Matcher(*asked))
        return _kept(self._asked, asked, found)

    def paid(self, structure: Structure, syntax: str, letters: str, decimal: str, characters: int) -> Matcher | None:
        """Return the matcher for a message of so many characters, None while it is cheaper to walk. See `of`."""
        asked = structure, syntax, letters, decimal
        walked = self._walked.get(asked, 0)
        if asked in self._asked or walked >= self._spared:
            return self.of(*asked)
        if self._only is None or structure in self._only:  # no other is counted: senders could push ours out
            _kept(self._walked, asked, walked + characters)
        return None

    def walk_on(self) -> None:
        """Have `paid` compile nothing any more: another process does, for this one's successors."""
        self._spared = math.inf

    def segment(self, segment: Segment, syntax: str, letters: str, decimal: str) -> re.Pattern[str]:
        """Return the pattern of a single segment with its terminator, for those that stand in no message. See `of`."""
        key = segment, syntax, letters, decimal
        found = self._segments.get(key)
        return found or _kept(self._segments, key, re.compile(_Patterns({}, syntax, letters, decimal).segment(segment)))


def _kept(compiled: dict[K, V], key: K, value: V) -> V:
    """Keep what was compiled, in place of the oldest if there are too many."""
    while len(compiled) >= COMPILED:
        compiled.pop(next(iter(compiled)), None)
    compiled[key] = value
    return value


def _countable(structure: Structure, total: Total) -> tuple[str, bool] | None:
    """Return the tag to count and whether only behind the first UNS; None if that does not tell it."""
    last = max(structure.sections, default=0)
    if any(row.tag == "CNT" and (row.group != 0) is (index > last) for index, row in enumerate(structure.rows)):
        return None
    rows = [index for index, row in enumerate(structure.rows) if row.tag == total.tag]
    others = [index for index in rows if total.group and structure.rows[index].group != total.group]
    if not others:
        return total.tag, False
    section = min(structure.sections, default=0)
    return (total.tag, True) if max(others) < section < min(set(rows) - set(others)) else None


def _section(structure: Structure, index: int, text: str) -> str:
    """Return a segment's pattern; of two UNS the first must say D, the second S."""
    if len(structure.sections) != 2 or index not in structure.sections:
        return text
    return rf"UNS\+{'DS'[structure.sections.index(index)]}'"


def repertoire(text: str) -> str:
    """Return the class of characters to check a canonical text by."""
    return "ASCII" if text.isascii() else "any"


def in_level(syntax_id: str, text: str) -> bool:
    """Tell whether a canonical text has none but the characters of its level (UNB 0001), as far as that limits them."""
    beyond = _BEYOND.get(syntax_id)
    return beyond is None or beyond.search(text) is None


def _longest(segment: Segment) -> int:
    return 4 + sum(slot.repeats * sum(part.item.max + 3 for part in slot.parts) for slot in segment.slots)


def _order(structure: Structure, member: Callable[[int], str]) -> str:
    """Return the pattern of a valid message without UNH and UNT; `member` gives that of a row's segment."""

    def inside(index: int, end: int, group: int) -> str:
        pattern = ""
        while index < end:
            row = structure.rows[index]
            if row.group != group:
                last = structure.ends[row.group]
                pattern += repeated(member(index) + inside(index + 1, last, row.group), row)
                index = last
                continue
            if row.tag not in ("UNH", "UNT"):
                pattern += repeated(member(index), row)
            index += 1
        return pattern

    return inside(0, len(structure.rows), 0)


def repeated(pattern: str, row: Row) -> str:
    """Return the pattern of what stands in a row as often as the row allows."""
    if row.mandatory and row.max == 1:
        return pattern
    return f"(?:{pattern}){{{int(row.mandatory)},{row.max}}}+"


def _any_of(segments: Iterable[str]) -> str:
    """Return an alternation of segments, branching on the first letter of their tags."""
    by_letter: dict[str, list[str]] = {}
    for segment in segments:
        by_letter.setdefault(segment[0], []).append(segment[1:])
    return "|".join(f"{letter}(?:{'|'.join(same)})" for letter, same in by_letter.items())


class _Patterns:
    """Writes the pattern of a segment's content."""

    def __init__(self, dates: Mapping[str, str], syntax: str, repertoire: str, decimal: str) -> None:
        self.dates, self.syntax = dates, syntax
        letters = _LETTERS.get(repertoire)
        self.any = f"[{letters}]" if letters else f"[^{_OTHERS}]"
        self.any_but_blank = f"[{letters.replace(' ', '')}]" if letters else f"[^ {_OTHERS}]"
        self.letter = f"[{letters.replace('0-9', '')}]" if letters else f"[^0-9{_OTHERS}]"
        self.letter_but_blank = self.letter.replace(" ", "") if letters else f"[^ 0-9{_OTHERS}]"
        self.mark = f"[{re.escape(decimal)}]"

    def segment(self, segment: Segment) -> str:
        """Return the pattern of a segment and its terminator: some data, and no separator at the end."""
        slots = list(segment.positions(self.syntax))
        for note in segment.dependencies:  # whoever uses what depends on something is left to the explaining checks
            bound = note.positions[:1] if note.rule in ("D5", "D6", "D7") else note.positions
            for position in bound:
                slots[position - 1] = slots[position - 1]._replace(parts=())
        elements = [self._slot(slot) if slot.parts else "" for slot in slots]
        needed = [slot.mandatory for slot in slots]
        return f"{segment.tag}{chain(elements, needed, PLUS, opening=True)}'"

    def _slot(self, slot: Slot) -> str:
        """Return the pattern of an element in use, its repetitions included."""
        if not slot.composite:
            one = self._item(slot.parts[0].item)
        else:
            ids = [part.item.id for part in slot.parts]
            listed = any(part.item.codes and part.item.id not in ("1131", "3055") for part in slot.parts)
            if "2379" in ids and "2380" in ids:
                one = self._dated(slot, ids)
            elif "1131" in ids and listed:
                own = self._parts(slot, {"1131": ""})
                theirs = [self._parts(slot, {}, theirs=at) for at, each in enumerate(ids) if each == "1131"]
                one = "(?:" + "|".join(f"{way}(?=[+'*])" for way in (own, *theirs)) + ")"
            else:
                one = self._parts(slot, {})
        return one if slot.repeats == 1 else rf"{one}(?:\*{one}){{0,{slot.repeats - 1}}}+"

    def _parts(self, slot: Slot, fixed: Mapping[str, str], *, theirs: int = -1) -> str:
        """Return the pattern of a composite in use; `fixed` replaces items, a 1131 at `theirs` frees the codes."""
        components = []
        needed = []
        for at, part in enumerate(slot.parts):
            item = part.item
            if theirs >= 0 and item.codes and item.id not in ("1131", "3055"):
                item = item._replace(codes=None)
            components.append(fixed[item.id] if item.id in fixed else self._item(item))
            needed.append(part.mandatory or at == theirs)
        used = "" if any(needed) else "(?![+'*])"
        return used + chain(components, needed, ":")

    def _dated(self, slot: Slot, ids: list[str]) -> str:
        """Return the pattern of a date with its format: the common formats by their calendar, others not at all."""
        item = slot.parts[ids.index("2379")].item
        ways = []
        for code, picture in self.dates.items():
            pattern = pattern_of(picture)
            if pattern and (item.codes is None or code in item.codes):
                ways.append(self._parts(slot, {"2380": pattern, "2379": code}) + "(?=[+'*])")
        ways.sort(key=lambda way: ":102" not in way)
        known = sorted(set(self.dates))
        if item.codes:
            free = self._item(item._replace(codes=item.codes - set(known) or frozenset("\0")))
        else:
            free = f"(?!(?:{'|'.join(known)})[:+'*])" + self._item(item)
        ways.append(self._parts(slot, {"2379": free}))
        return f"(?:{'|'.join(ways)})"

    def _item(self, item: Item) -> str:
        """Return the pattern of a value; one that begins with a blank is left to the explaining checks."""
        if item.codes is not None:
            return _trie(sorted(item.codes))
        if item.kind == "n":
            if item.min > 1 or item.max == 1:
                return f"-?+[0-9]{{{item.min},{item.max}}}+"
            # As many whole digits as leave room for the decimals; more of either are left to the explaining checks.
            places = min(4, item.max // 2)
            rest = f"{self.mark}[0-9]{{1,{places}}}+|[0-9]{{1,{places}}}+"
            return f"-?+[0-9]{{1,{item.max - places}}}+(?:{rest})?+"
        first, any_ = (self.letter_but_blank, self.letter) if item.kind == "a" else (self.any_but_blank, self.any)
        return first + (f"{any_}{{{item.min - 1},{item.max - 1}}}+" if item.max > 1 else "")


def chain(members: Sequence[str], needed: Sequence[bool], separator: str, *, opening: bool = False) -> str:
    """Return the pattern of members joined by a separator, the unused ones empty and those at the end left out.

    A member that is not there must be followed by a separator, so that none stands at the end. With `opening`, one
    stands before the first member too. A member never matches nothing; "" is one that may not be used.
    """
    pattern = ""
    for index in range(len(members) - 1, -1, -1):
        member = members[index]
        if not needed[index]:
            if not member and not pattern:
                continue
            if pattern and not (not member and pattern.startswith(separator)):
                member = f"(?:{member}|(?={separator}))" if member else f"(?={separator})"
        pattern = (separator if index or opening else "") + member + pattern
        if index and not any(needed[index:]):
            pattern = f"(?:{pattern})?+"
    return pattern


def _trie(codes: Iterable[str]) -> str:
    """Return the pattern of a list of codes, shared beginnings once; it takes the longest code that is there."""
    branches: dict[str, list[str]] = {}
    ends = False
    for code in codes:
        if code:
            branches.setdefault(code[0], []).append(code[1:])
        else:
            ends = True
    if not branches:
        return ""
    single = [letter for letter, rests in branches.items() if rests == [""]]
    ways = [f"{re.escape(letter)}{_trie(rests)}" for letter, rests in branches.items() if rests != [""]]
    if single:
        ways.append(f"[{''.join(re.escape(letter) for letter in single)}]" if len(single) > 1 else re.escape(single[0]))
    pattern = ways[0] if len(ways) == 1 else f"(?:{'|'.join(ways)})"
    return f"(?:{pattern})?+" if ends else pattern
