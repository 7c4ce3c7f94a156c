"""Checks the envelopes of an EDIFACT interchange: UNA, UNB to UNZ, and the functional groups inside."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from functools import lru_cache, partial

from core.envelope import Group, Interchange
from core.findings import Fault
from edifact.flaw import Flaw
from edifact.match import Matchers, in_level, repertoire
from edifact.pictures import pattern_of
from edifact.reader import UNREADABLE
from edifact.segment import PADDED, Notation, check_segment
from edifact.separators import FOUND
from edifact.syntax import RELEASED, counted_by, told
from edifact.text import GroupText, InterchangeText, ServiceSegment, padded

# Segments where only messages may stand: a message may have lost its UNH.
STRAY, STRAY_IN_GROUP = "EDI-0108", "EDI-0206"
# Behind these nothing of an interchange without UNZ could be read to its end.
LOST = (STRAY, "EDI-0411")

# What is read or compared of the service segments of a message and around it, by position and component; what else
# stands in one is ignorable by its table, or told.
READ: Mapping[str, frozenset[tuple[int, int]]] = {
    "UNB": frozenset(((1, 1), (1, 2), *((2, n) for n in range(1, 5)), *((3, n) for n in range(1, 5)), (4, 1), (4, 2)))
    | {(5, 1), (9, 1), (11, 1)},
    "UNG": frozenset(((1, 1), (4, 1), (4, 2), (5, 1), (6, 1), (7, 1), (7, 2), (7, 3))),
    "UNH": frozenset(((1, 1), *((2, part) for part in range(1, 6)), (3, 1), (4, 1), (4, 2))),
    "UNT": frozenset(((1, 1), (2, 1))),
    "UNE": frozenset(((1, 1), (2, 1))),
    "UNZ": frozenset(((1, 1), (2, 1))),
}

EVERYWHERE = frozenset(range(2, 13))  # the elements of a service segment
TIME = re.compile(pattern_of("hhmm") or "")

# The positions of UNB at which many write 0 for "no", which no code list has: 0031 and 0035.
NOES = {9: "0031", 11: "0035"}


def check_interchange(written: InterchangeText, matchers: Matchers) -> Interchange:
    """Return the interchange as a value with the faults of its envelope and of its groups."""
    faults = tuple(_envelope(written, matchers))
    groups = tuple(
        Group(
            told(group.header.value(5)) or None if group.header else None,
            _told(group.header.components(2)) if group.header else (),
            _told(group.header.components(3)) if group.header else (),
            tuple(group.messages),
            tuple(_group_faults(written, group, matchers)),
        )
        for group in written.groups
    )
    return Interchange(
        written.syntax_id,
        written.syntax_version,
        _told(written.sender),
        _told(written.recipient),
        told(written.reference or "") or None,
        written.test,
        written.acknowledge,
        groups,
        faults,
        prepared_on(written.header.value(4, 1)),
        partial(written.place, written.header),
        frozenset() if written.supported else _unrepeatable(written, matchers),
        written.content,
    )


def _told(components: tuple[str, ...]) -> tuple[str, ...]:
    """Return components as they leave the reader."""
    return tuple(map(told, components))


def _unrepeatable(written: InterchangeText, matchers: Matchers) -> frozenset[int]:
    """Return the elements of UNB in which something is wrong, of which nothing is told."""
    if "UNB" not in written.service_segments:
        return frozenset()
    found = _service_faults(written, written.header, matchers)
    return frozenset(fault.place.element for fault in found if fault.place and fault.place.element)


def _fault(
    written: InterchangeText,
    segment: ServiceSegment,
    code: str,
    syntax_error: str,
    element: int | None = None,
    component: int | None = None,
    value: str | None = None,
    expected: str | None = None,
) -> Fault:
    """Return a fault at a service segment, or at an element and component of it (the tag is element 1)."""
    place = written.place(segment, element, component)
    value, expected = (each and told(each) for each in (value, expected))
    return Fault(code, None, place, value, expected, {}, syntax_error, segment.elements[0][0])


def _located(written: InterchangeText, flaw: Flaw) -> Fault:
    """Return a flaw that the reader found as a fault with its place."""
    place = written.place(
        written.header if flaw.element else None, flaw.element or None, flaw.component or None, at=flaw.at
    )
    value, expected = (each and told(each) for each in (flaw.value, flaw.expected))
    return Fault(flaw.code, None, place, value, expected, flaw.details, flaw.syntax_error, flaw.service_segment)


def _service_faults(written: InterchangeText, segment: ServiceSegment, matchers: Matchers) -> list[Fault]:
    """Return what is wrong inside a service segment of the envelope."""
    tag = segment.elements[0][0]
    syntax = "4" if written.syntax_version == "4" else "3"
    table, text = written.service_segments[tag], f"{segment.text or _canonical(segment)}'"
    pattern = matchers.segment(table, syntax, repertoire(text), written.service.decimal)
    if in_level(written.syntax_id, text) and pattern.fullmatch(text) and not padded(text):
        return _unread(written, segment, [])
    notation = Notation(syntax, written.syntax_id, written.service.decimal, {})
    head, *rest = _canonical(segment).split("+")
    found = [
        Fault(
            flaw.code,
            place=written.place(segment, flaw.element or None, flaw.component or None),
            value=flaw.value and told(flaw.value),
            expected=flaw.expected,
            details=flaw.details,
            syntax_error=flaw.syntax_error,
            service_segment=tag,
        )
        for flaw in _once(check_segment(table, [[element] for element in rest], notation, head.partition(":")[2]))
    ]
    return [*found, *_unread(written, segment, found)]


def _canonical(segment: ServiceSegment) -> str:
    """Return a service segment in canonical form, as its elements say."""
    return "+".join([":".join(map(_lift, element)) for element in segment.elements])


def _once(flaws: Iterable[Flaw]) -> Iterator[Flaw]:
    """Yield flaws, of those that tell of padding the first."""
    told = False
    for flaw in flaws:
        if flaw.code != PADDED or not told:
            yield flaw
        told |= flaw.code == PADDED


@lru_cache(maxsize=256)
def _not_read(tag: str, lengths: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Return the positions that are not read of a service segment with so many components in its tag and elements."""
    here = ((number, at) for number, length in enumerate(lengths) if number for at in range(1, length + 1))
    return tuple(each for each in here if each not in READ[tag])


def _unread(written: InterchangeText, segment: ServiceSegment, known: list[Fault]) -> list[Fault]:
    """Return what stands in a service segment that is not read, nor ignorable; `known` is what is wrong with it."""
    tag, found = segment.elements[0][0], list[Fault]()
    positions = _not_read(tag, tuple(map(len, segment.elements)))
    if not positions:
        return found
    table, wrong = written.service_segments[tag], not_comparable([fault for fault in known if fault.syntax_error])
    for number, component in positions:
        if number > len(table.slots) or component > len(table.slots[number - 1].parts):
            continue  # more than the segment has: that is told as such
        value = segment.value(number, component)
        if not value or number + 1 in wrong or table.ignores(number, component, written.syntax_id, value):
            continue
        slot = table.slots[number - 1]
        place = written.place(segment, number + 1, component if slot.composite else None)
        details = {"segment": tag, "data_element": slot.parts[component - 1].item.id}
        found.append(Fault("EDI-0124", None, place, told(value), None, details, "12", tag))
    return found


def not_comparable(faults: Iterable[Fault]) -> set[int | None]:
    """Return the elements of a service segment in which there is a fault: what they say is not compared with anything.

    Where a separator is wrong, no element stands where it seems to.
    """
    places = [(fault.code, fault.place.element) for fault in faults if fault.place]
    return {element for _, element in places} | (EVERYWHERE if FOUND & {code for code, _ in places} else set())


def _lift(value: str) -> str:
    if value.isalnum():
        return value
    for sign in "'+:*":
        value = value.replace(sign, chr(RELEASED + ord(sign)))
    return value


def _envelope(written: InterchangeText, matchers: Matchers) -> Iterator[Fault]:
    """Yield what is wrong with UNA, UNB, UNZ and what stands between the messages and groups."""
    lost = next((flaw for flaw in written.flaws if flaw.code == UNREADABLE), None)
    if lost:
        yield _located(written, lost)
        return
    around = list(_header_faults(written, matchers))
    yield from around
    for flaw in written.flaws:
        yield _located(written, flaw)
    refusing = [flaw for flaw in written.flaws if flaw.syntax_error]
    grouped = [group for group in written.groups if group.header]
    mixed = bool(grouped) and len(grouped) < len(written.groups)
    if mixed:
        yield _fault(written, written.header, "EDI-0107", "30")
    if not written.groups and not written.flaws and written.trailer:
        yield _fault(written, written.header, "EDI-0106", "32")
    if written.trailer:
        actual = len(grouped) if grouped else sum(len(group.messages) for group in written.groups)
        headless = sum(flaw.code in LOST for flaw in written.flaws)  # each may be a message that lost its UNH
        reference = written.reference if 6 not in not_comparable(around) else None
        yield from _trailer_faults(written, written.trailer, None if mixed else actual, headless, reference, matchers)
    elif not any(flaw.service_segment == "UNZ" or flaw.code in LOST for flaw in refusing[-1:]):
        yield Fault("EDI-0103", place=written.place(None, at=written.end), syntax_error="13", service_segment="UNZ")


def _header_faults(written: InterchangeText, matchers: Matchers) -> Iterator[Fault]:
    """Yield what is wrong with UNA and UNB."""
    header, signs = written.header, written.una_signs
    if signs and written.syntax_version != "4" and signs[2] not in ".,":
        place = written.place(None, at=written.offset)
        yield Fault("EDI-0102", None, place, signs[2], ". ,", {}, "19", "UNA")
    named = written.syntax_id and written.syntax_version
    if named and not written.supported:
        component = 1 if not written.charset_known else 2
        yield _fault(written, header, "EDI-0101", "2", 2, component, header.value(1, component))
    inside = list(_unb_faults(written, matchers)) if written.supported or not named else []
    yield from inside
    wrong = not_comparable(inside)
    if written.supported:
        yield from _prepared_faults(written, header, 4, inside)
    if written.test and 12 not in wrong and header.value(11) != "1":
        yield _fault(written, header, "EDI-0113", "25", 12, None, header.value(11))


def _unb_faults(written: InterchangeText, matchers: Matchers) -> Iterator[Fault]:
    """Yield what is wrong inside UNB: a 0 for no is told by a warning, and otherwise passes."""
    header = written.header
    noes = [element for element in NOES if header.components(element) == ("0",)]
    for element in noes:
        place, details = written.place(header, element + 1), {"segment": "UNB", "data_element": NOES[element]}
        yield Fault("EDI-0117", None, place, "0", None, details, None, "UNB")
    if noes:
        passed = [["1"] if number in noes else each for number, each in enumerate(header.elements)]
        header = header._replace(elements=passed, text="")
    yield from _service_faults(written, header, matchers)


def _trailer_faults(
    written: InterchangeText,
    trailer: ServiceSegment,
    actual: int | None,
    headless: int,
    reference: str | None,
    matchers: Matchers,
) -> Iterator[Fault]:
    """Yield what is wrong with UNZ.

    `actual` is what it should count, None if that cannot be told; the `headless` it may count too. `reference` is
    that of UNB, None where it cannot be told.
    """
    inside = _service_faults(written, trailer, matchers)
    yield from inside
    wrong = not_comparable(inside)
    if 2 not in wrong and actual is not None and not actual <= _count(trailer.value(1)) <= actual + headless:
        yield _fault(written, trailer, "EDI-0105", "29", 2, None, trailer.value(1), str(actual))
    if 3 not in wrong and reference and trailer.value(2) != reference:
        yield _fault(written, trailer, "EDI-0104", "28", 3, None, trailer.value(2), reference)


def _prepared_faults(
    written: InterchangeText, header: ServiceSegment, element: int, told: list[Fault]
) -> Iterator[Fault]:
    """Yield what is wrong with the date and the time in S004 of UNB or UNG, but for what is told of them already."""
    already = {fault.place.component for fault in told if fault.place and fault.place.element == element + 1}
    picture = "CCYYMMDD" if written.syntax_version == "4" else "YYMMDD"
    day, time = header.value(element, 1), header.value(element, 2)
    wrong = [(1, day, picture)] if prepared_on(day) is None else []
    wrong += [] if TIME.fullmatch(time) else [(2, time, "HHMM")]
    for component, value, expected in wrong:
        if component in already or None in already or FOUND & {fault.code for fault in told}:
            continue
        yield _fault(written, header, "EDI-0511", "12", element + 1, component, value, expected)


def _count(text: str) -> int:
    """Return a control count, -1 for a number that counts nothing (a decimal)."""
    number = counted_by(text)
    return -1 if number is None else number


@lru_cache(maxsize=256)
def prepared_on(text: str) -> date | None:
    """Return UNB 0017 as a date, None if it is none; six digits mean this century."""
    if not (text.isdecimal() and text.isascii()) or len(text) not in (6, 8):
        return None
    text = text if len(text) == 8 else f"20{text}"
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None


def _group_faults(written: InterchangeText, group: GroupText, matchers: Matchers) -> Iterator[Fault]:
    """Yield what is wrong with UNG, UNE and what stands between the messages of a group."""
    header, trailer = group.header, group.trailer
    if header is None:
        return
    inside = _service_faults(written, header, matchers)
    yield from inside
    if header.value(4):
        yield from _prepared_faults(written, header, 4, inside)
    if group.repeated:
        yield _fault(written, header, "EDI-0205", "26", 6, None, header.value(5))
    if not group.messages:
        yield _fault(written, header, "EDI-0204", "32")
    for flaw in group.flaws:
        yield _located(written, flaw)
    if trailer is None:
        return
    inside = _service_faults(written, trailer, matchers)
    yield from inside
    wrong = not_comparable(inside)
    headless, actual = sum(flaw.code == STRAY_IN_GROUP for flaw in group.flaws), len(group.messages)
    if 2 not in wrong and not actual <= _count(trailer.value(1)) <= actual + headless:
        yield _fault(written, trailer, "EDI-0203", "29", 2, None, trailer.value(1), str(actual))
    if 3 not in wrong and header.value(5) and trailer.value(2) != header.value(5):
        yield _fault(written, trailer, "EDI-0202", "28", 3, None, trailer.value(2), header.value(5))
