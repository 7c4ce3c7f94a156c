"""Checks one EDIFACT segment against its table: elements, components, formats, codes, dates and dependencies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from typing import NamedTuple

from edifact.directory import Part, Segment, Slot
from edifact.flaw import Flaw
from edifact.separators import COMPONENT, misplaced
from edifact.syntax import NEEDLESS, resolve

# What may not stand in the data, by UNB 0001; in the ISO 8859 and UTF-8 levels only control characters and whatever
# the character set could not read.
_FORBIDDEN = {
    "UNOA": re.compile(r"""[^A-Z0-9 .,\-()/=!"%&*;<>'+:?]"""),
    "UNOB": re.compile(r"""[^A-Za-z0-9 .,\-()/=!"%&*;<>'+:?]"""),
}
_FORBIDDEN_ELSE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NUMBER = re.compile(r"-?([0-9]+)(?:([.,])([0-9]+))?(?:E-?[0-9]+)?")
_ZONE = re.compile(r"[A-Za-z]{1,5}|[+-](?:0[0-9]|1[0-4])(?::?[0-5][0-9])?")
_UNFINISHED = re.compile(r"-?([0-9]*)[.,]([0-9]*)")
PADDED = "EDI-0521"  # blanks around a value, which say nothing
_CODE_LISTS = ("1131", "3055")  # they name whose list a composite's code is from: their own codes are always the UN's


class Notation(NamedTuple):
    """How the segments of an interchange are written.

    `syntax` is "3" or "4", `charset` UNB 0001, `decimal` the decimal marks allowed, `dates` the picture of each 2379.
    """

    syntax: str
    charset: str
    decimal: str
    dates: Mapping[str, str]

    @property
    def forbidden(self) -> re.Pattern[str]:
        """What finds a character that may not stand in the data."""
        return _FORBIDDEN.get(self.charset, _FORBIDDEN_ELSE)


def check_segment(
    segment: Segment, elements: Sequence[Sequence[str]], notation: Notation, numbered: str = ""
) -> list[Flaw]:
    """Return what is wrong inside a segment: `elements` (without the tag) are lists of repetitions, canonical form.

    Where one separator makes several values wrong, that one is told. `numbered` are components of the tag: they number
    repetitions, which is not supported, unless they are the first element behind the wrong separator.
    """
    flaws = _check(segment, elements, notation)
    if numbered:
        if _refused(flaws) and not _wrong_as(segment, notation, [[numbered], *elements]):
            return [_flaw(segment, COMPONENT, "16", 1)]
        error, details = "15" if notation.syntax == "4" else "34", {"segment": segment.tag}
        return [Flaw("EDI-0406", error, 0, value=f"{segment.tag}:{numbered}", details=details), *flaws]
    refusing = sum(flaw.syntax_error is not None for flaw in flaws)
    if refusing < (1 if segment.tag[:2] == "UN" else 2):  # in service segments every value has its own form
        return flaws
    wrong = partial(_wrong_as, segment, notation)
    if not (found := misplaced(segment, elements, notation.syntax, wrong, several=refusing > 1)):
        return flaws
    return [_flaw(segment, found.code, "16", found.element + 2, found.component and found.component + 1)]


def _refused(flaws: Iterable[Flaw]) -> bool:
    """Tell whether a flaw refuses the segment."""
    return any(flaw.syntax_error for flaw in flaws)


def _wrong_as(segment: Segment, notation: Notation, elements: Sequence[Sequence[str]]) -> bool:
    """Tell whether a segment with these elements would be refused."""
    return _refused(_check(segment, elements, notation))


def _check(segment: Segment, elements: Sequence[Sequence[str]], notation: Notation) -> list[Flaw]:
    """Return what is wrong with each element by itself, and what a segment lacks or has beyond its elements."""
    slots = segment.positions(notation.syntax)
    if not any(_used(element) for element in elements):
        mandatory = bool(slots) and slots[0].mandatory
        return [_flaw(segment, "EDI-0518", "13" if mandatory else "18", 2 if mandatory else 0)]
    flaws: list[Flaw] = []
    for number, slot in enumerate(slots):
        repetitions = elements[number] if number < len(elements) else ()
        flaws += _check_element(segment, slot, number + 2, repetitions, notation)
    for number, element in enumerate(elements[len(slots) :], len(slots) + 2):
        if _used(element):
            flaws.append(_flaw(segment, "EDI-0503", "16", number, 0, resolve(element[0]), str(len(slots))))
            break
    flaws += _dependencies(segment, elements, notation.syntax)
    if all(flaw.code == PADDED for flaw in flaws) and _trailing(slots, elements):
        code, error = ("EDI-0506", "45") if notation.syntax == "4" else ("EDI-0505", None)
        flaws.append(_flaw(segment, code, error, len(elements) + 1))
    return flaws


def _flaw(
    segment: Segment,
    code: str,
    syntax_error: str | None,
    element: int = 0,
    component: int = 0,
    value: str | None = None,
    expected: str | None = None,
    data_element: str = "",
) -> Flaw:
    details = {"segment": segment.tag, **({"data_element": data_element} if data_element else {})}
    return Flaw(code, syntax_error, 0, element, component, value, expected, details=details)


def _used(repetitions: Sequence[str]) -> bool:
    """Tell whether an element says anything."""
    return any(repetition.strip(": ") for repetition in repetitions)


def _trailing(slots: Sequence[Slot], elements: Sequence[Sequence[str]]) -> bool:
    """Tell whether a separator stands at the end of the segment or of a composite."""
    return not any(repetition.strip(":") for repetition in elements[-1]) or any(
        repetition.endswith(":")
        for slot, repetitions in zip(slots, elements, strict=False)
        for repetition in repetitions[: slot.repeats]
    )


def _check_element(
    segment: Segment, slot: Slot, number: int, repetitions: Sequence[str], notation: Notation
) -> list[Flaw]:
    """Return what is wrong with the element at a position (the tag is 1)."""
    if not _used(repetitions):
        if slot.mandatory:
            return [_flaw(segment, "EDI-0501", "13", number, data_element=slot.id)]
        return [_flaw(segment, PADDED, None, number, 1, " ")] if any(" " in each for each in repetitions) else []
    flaws: list[Flaw] = []
    if len(repetitions) > slot.repeats:
        expected = str(slot.repeats)
        flaws.append(_flaw(segment, "EDI-0516", "35", number, expected=expected, data_element=slot.id))
    for repetition in repetitions[: slot.repeats]:
        parts = repetition.split(":")
        flaws += _check_parts(segment, slot, number, parts, notation)
        if not any(flaw.syntax_error for flaw in flaws):
            flaws += _check_date(segment, slot, number, parts, notation.dates)
    return flaws


def _check_parts(segment: Segment, slot: Slot, number: int, parts: Sequence[str], notation: Notation) -> Iterator[Flaw]:
    """Yield what is wrong with the components of one repetition of an element."""
    user_list = slot.composite and any(
        part.item.id == "1131" and written.strip() for part, written in zip(slot.parts, parts, strict=False)
    )
    lacking = False  # of several components in a row the first is told
    for index, part in enumerate(slot.parts):
        component = index + 1 if slot.composite else 0
        written = parts[index] if index < len(parts) else ""
        text = resolve(written).rstrip(" ")
        if not text.strip(" "):
            if part.mandatory and not lacking:
                code = "EDI-0502" if slot.composite else "EDI-0501"
                yield _flaw(segment, code, "13", number, component, data_element=part.item.id)
            lacking = lacking or part.mandatory
            continue
        lacking = False
        if wrong := _wrong(part, text, notation, user_list):
            code, error, expected = wrong
            yield _flaw(segment, code, error, number, component, text, expected, part.item.id)
        elif any(_released_needlessly(character) for character in written):
            yield _flaw(segment, "EDI-0519", None, number, component, text)
        elif written.strip(" ") != written:
            yield _flaw(segment, PADDED, None, number, component, resolve(written))
    for index in range(len(slot.parts), len(parts)):
        if parts[index].strip(" "):
            most = str(len(slot.parts))
            yield _flaw(segment, "EDI-0504", "16", number, index + 1, resolve(parts[index]), most, slot.id)
            break


def _check_date(
    segment: Segment, slot: Slot, number: int, parts: Sequence[str], dates: Mapping[str, str]
) -> Iterator[Flaw]:
    """Yield a flaw if a date (2380) is not as its format (2379) says."""
    values = {part.item.id: resolve(text).rstrip(" ") for part, text in zip(slot.parts, parts, strict=False)}
    picture = dates.get(values.get("2379", ""))
    if picture and values.get("2380") and not is_date(values["2380"], picture):
        component = [part.item.id for part in slot.parts].index("2380") + 1
        yield _flaw(segment, "EDI-0511", "12", number, component, values["2380"], picture, "2380")


def _released_needlessly(character: str) -> bool:
    """Tell whether a character was released that is no service character of its interchange."""
    return NEEDLESS <= ord(character) < NEEDLESS + 0x100


def _wrong(part: Part, text: str, notation: Notation, user_list: bool) -> tuple[str, str, str] | None:
    """Return the code, 0085 code and expectation of what is wrong with one value, None if nothing is."""
    item = part.item
    expected = f"{item.kind}{item.max}" if item.min == item.max else f"{item.kind}..{item.max}"
    if bad := notation.forbidden.search(text):
        return ("EDI-0515" if ord(bad[0]) < 0x20 or 0x7F <= ord(bad[0]) < 0xA0 else "EDI-0514", "21", expected)
    length = len(text)
    if item.kind == "n":
        number = _NUMBER.fullmatch(text)
        if not number or ("E" in text and notation.syntax != "4"):
            return _no_number(text, notation.syntax, expected)
        if number[2] and number[2] not in notation.decimal:
            return "EDI-0513", "12" if notation.syntax == "4" else "19", notation.decimal
        length = len(number[1]) + len(number[3] or "")
    elif item.kind == "a" and any(character in "0123456789" for character in text):
        return "EDI-0507", "37", expected
    if not item.min <= length <= item.max:
        return ("EDI-0508", "39", expected) if length > item.max else ("EDI-0509", "40", expected)
    if item.codes is None or (user_list and item.id not in _CODE_LISTS) or text.rstrip() in item.codes:
        return None
    return "EDI-0510", "12", f"UN {item.id}"


def _no_number(text: str, syntax: str, expected: str) -> tuple[str, str, str]:
    """Return what is wrong with a text that is no number: it may only lack the digits beside its decimal mark."""
    unfinished = _UNFINISHED.fullmatch(text)
    if unfinished and (unfinished[1] or unfinished[2]):
        return "EDI-0512", "12" if syntax == "4" else "38", expected
    return "EDI-0507", "37", expected


def _dependencies(segment: Segment, elements: Sequence[Sequence[str]], syntax: str) -> Iterator[Flaw]:
    """Yield the dependency notes that a segment breaks, each at the first position that it lacks."""
    for note in segment.dependencies:
        given = [position <= len(elements) and _used(elements[position - 1]) for position in note.positions]
        first, rest = given[0], given[1:]
        broken = {
            "D1": sum(given) != 1,
            "D2": any(given) and not all(given),
            "D3": not any(given),
            "D4": sum(given) > 1,
            "D5": first and not all(rest),
            "D6": first and not any(rest),
            "D7": first and any(rest),
        }[note.rule]
        if broken:
            missing = [position for position, there in zip(note.positions, given, strict=True) if not there]
            place = (missing or list(note.positions))[0] + 1
            yield _flaw(segment, "EDI-0517", "48" if syntax == "4" else "13", place)


def is_date(text: str, picture: str) -> bool:
    """Tell whether a text is written as the picture says and is a real date, time or period.

    The picture's letters: C, Y, M, D as usual; J day of the year, W week, h m s time; `-` joins two ends. ZZZ at its
    end is the time zone as the field writes it: letters (EST, Z) or the difference from UTC (-05, +0530, -05:30).
    """
    halves = picture.split("-")
    if len(halves) == 2:
        size = len(halves[0])
        rest = text[size:].removeprefix("-")
        return is_date(text[:size], halves[0]) and is_date(rest, halves[1]) and text[:size] <= rest
    if picture.endswith("ZZZ"):
        picture, text, zone = picture[:-3], text[: len(picture) - 3], text[len(picture) - 3 :]
        if not _ZONE.fullmatch(zone):
            return False
    if len(text) != len(picture):
        return False
    parts: dict[str, str] = {}
    for letter, character in zip(picture, text, strict=True):
        parts[letter] = parts.get(letter, "") + character
    if not all(value.isdecimal() and value.isascii() for value in parts.values()):
        return False
    number = {letter: int(value) for letter, value in parts.items()}
    year = number.get("C", 20) * 100 + number["Y"] if "Y" in number else 2000
    try:
        date(year, number.get("M", 1), number.get("D", 1))
        leap = date(year, 12, 31).timetuple().tm_yday
    except ValueError:
        return False
    return (
        number.get("h", 0) < 24
        and number.get("m", 0) < 60
        and number.get("s", 0) < 60
        and 1 <= number.get("J", 1) <= leap
        and 1 <= number.get("W", 1) <= 53
    )
