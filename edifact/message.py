"""Checks EDIFACT envelopes and messages against the directories: everything that is wrong, where, in one pass."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import partial

from core import limits
from core.envelope import Group, Interchange
from core.findings import Fault
from edifact.directory import Part, Segment, Slot, Structure
from edifact.match import matcher, repertoire, segment_pattern
from edifact.text import RELEASED, GroupText, InterchangeText, MessageText, ServiceSegment, resolve, segment_end
from edifact.walk import walk

# What may not stand in the data, by UNB 0001; in the ISO 8859 and UTF-8 levels only control characters and whatever
# the character set could not read.
_CONTROL = r"\x00-\x1f\x7f-\x9f\ud800-\udfff"
_FORBIDDEN = {
    "UNOA": re.compile(r"""[^A-Z0-9 .,\-()/=!"%&*;<>'+:?]"""),
    "UNOB": re.compile(r"""[^A-Za-z0-9 .,\-()/=!"%&*;<>'+:?]"""),
}
_FORBIDDEN_ELSE = re.compile(f"[{_CONTROL}]")
_NUMBER = re.compile(r"-?([0-9]+)(?:([.,])([0-9]+))?(?:E-?[0-9]+)?")
_UNFINISHED = re.compile(r"-?([0-9]*)[.,]([0-9]*)")
# Separators from the tag of UNH to S009 or 0068: what comes behind, S010 and on, is left to the explaining checks.
TO_S009 = 3
# Interactive transfers, packages, security: not supported.
_SERVICE_TAGS = re.compile("U(?:I[BHTZ]|N[OP]|S[ABCDEFHLRTUXY])")


# ------------------------------------------------------------------------------------------------ one segment


class _Found:
    """A fault inside a segment: element as CONTRL counts (the tag is 1), 0 for the segment as a whole."""

    __slots__ = ("code", "component", "details", "element", "expected", "syntax_error", "value")

    def __init__(
        self,
        code: str,
        syntax_error: str | None,
        element: int = 0,
        component: int = 0,
        value: str | None = None,
        expected: str | None = None,
        **details: str,
    ) -> None:
        self.code, self.syntax_error, self.element, self.component = code, syntax_error, element, component
        self.value, self.expected, self.details = value, expected, details


def check_segment(
    segment: Segment,
    elements: Sequence[Sequence[str]],
    syntax: str,
    charset: str,
    decimal: str,
    dates: Mapping[str, str],
) -> list[_Found]:
    """Return what is wrong inside a segment: `elements` (without the tag) are lists of repetitions, canonical form.

    `syntax` is "3" or "4", `charset` UNB 0001, `decimal` the decimal marks allowed.
    """
    found: list[_Found] = []
    slots = segment.slots if syntax == "4" else segment.flat
    if not any(repetition.strip(": ") for element in elements for repetition in element):
        mandatory = bool(slots) and slots[0].mandatory
        return [_Found("EDI-0518", "13" if mandatory else "18", 2 if mandatory else 0, segment=segment.tag)]
    trailing = len(elements) > 0 and not any(elements[-1])
    forbidden = _FORBIDDEN.get(charset, _FORBIDDEN_ELSE)
    for number, slot in enumerate(slots):
        repetitions = elements[number] if number < len(elements) else ()
        used = [r for r in repetitions if r.strip(": ")]
        if not used:
            if slot.mandatory:
                found.append(_Found("EDI-0501", "13", number + 2, segment=segment.tag, data_element=slot.id))
            continue
        if len(repetitions) > slot.repeats:
            found.append(
                _Found(
                    "EDI-0516", "35", number + 2, expected=str(slot.repeats), segment=segment.tag, data_element=slot.id
                )
            )
        for repetition in repetitions[: slot.repeats]:
            parts = repetition.split(":")
            trailing = trailing or (len(parts) > 1 and not parts[-1])
            _check_slot(found, segment, slot, number + 2, parts, syntax, forbidden, decimal, dates)
    extra = elements[len(slots) :]
    for number, element in enumerate(extra, len(slots) + 2):
        if any(r.strip(": ") for r in element):
            found.append(
                _Found(
                    "EDI-0503", "16", number, value=resolve(element[0]), expected=str(len(slots)), segment=segment.tag
                )
            )
            break
    found += _dependencies(segment, elements, syntax)
    if trailing and not found:
        if syntax == "4":
            found.append(_Found("EDI-0506", "45", len(elements) + 1, segment=segment.tag))
        else:
            found.append(_Found("EDI-0505", None, len(elements) + 1, segment=segment.tag))
    return found


def _check_slot(
    found: list[_Found],
    segment: Segment,
    slot: Slot,
    number: int,
    parts: list[str],
    syntax: str,
    forbidden: re.Pattern[str],
    decimal: str,
    dates: Mapping[str, str],
) -> None:
    user_list = slot.composite and any(
        part.item.id == "1131" and i < len(parts) and parts[i].strip() for i, part in enumerate(slot.parts)
    )
    for i, part in enumerate(slot.parts):
        component = i + 1 if slot.composite else 0
        text = resolve(parts[i]) if i < len(parts) else ""
        if not text.strip(" "):
            if part.mandatory:
                found.append(
                    _Found(
                        "EDI-0502" if slot.composite else "EDI-0501",
                        "13",
                        number,
                        component,
                        segment=segment.tag,
                        data_element=part.item.id,
                    )
                )
            continue
        flaw = _flaw(part, text, syntax, forbidden, decimal, user_list)
        if flaw:
            code, syntax_error, expected = flaw
            found.append(
                _Found(
                    code,
                    syntax_error,
                    number,
                    component,
                    text,
                    expected,
                    segment=segment.tag,
                    data_element=part.item.id,
                )
            )
        elif any(RELEASED <= ord(c) < RELEASED + 0x100 and chr(ord(c) - RELEASED) not in "'+:*?" for c in parts[i]):
            found.append(_Found("EDI-0519", None, number, component, text, segment=segment.tag))
    for i in range(len(slot.parts), len(parts)):
        if parts[i].strip(" "):
            found.append(
                _Found(
                    "EDI-0504",
                    "16",
                    number,
                    i + 1,
                    resolve(parts[i]),
                    str(len(slot.parts)),
                    segment=segment.tag,
                    data_element=slot.id,
                )
            )
            break
    values = {part.item.id: resolve(text) for part, text in zip(slot.parts, parts, strict=False)}
    if "2379" in values and values.get("2380"):
        picture = dates.get(values["2379"])
        if picture and not is_date(values["2380"], picture) and not any(f.element == number for f in found):
            position = [part.item.id for part in slot.parts].index("2380") + 1
            found.append(
                _Found(
                    "EDI-0511",
                    "12",
                    number,
                    position,
                    values["2380"],
                    picture,
                    segment=segment.tag,
                    data_element="2380",
                )
            )


def _flaw(
    part: Part, text: str, syntax: str, forbidden: re.Pattern[str], decimal: str, user_list: bool
) -> tuple[str, str, str] | None:
    """Return the code, 0085 code and expectation of what is wrong with one value, None if nothing is."""
    item = part.item
    notation = f"{item.kind}{item.max}" if item.min == item.max else f"{item.kind}..{item.max}"
    bad = forbidden.search(text)
    if bad:
        return ("EDI-0515" if ord(bad[0]) < 0x20 or 0x7F <= ord(bad[0]) < 0xA0 else "EDI-0514", "21", notation)
    length = len(text)
    if item.kind == "n":
        number = _NUMBER.fullmatch(text)
        if not number or ("E" in text and syntax != "4"):
            unfinished = _UNFINISHED.fullmatch(text)
            if unfinished and (unfinished[1] or unfinished[2]):
                return "EDI-0512", "12" if syntax == "4" else "38", notation
            return "EDI-0507", "37", notation
        if number[2] and number[2] not in decimal:
            return "EDI-0513", "12" if syntax == "4" else "19", decimal
        length = len(number[1]) + len(number[3] or "")
    elif item.kind == "a" and any(c in "0123456789" for c in text):
        return "EDI-0507", "37", notation
    if length > item.max:
        return "EDI-0508", "39", notation
    if length < item.min:
        return "EDI-0509", "40", notation
    if (
        item.codes is not None
        and not (user_list and item.id not in ("1131", "3055"))
        and text.rstrip() not in item.codes
    ):
        return "EDI-0510", "12", f"UN {item.id}"
    return None


def _dependencies(segment: Segment, elements: Sequence[Sequence[str]], syntax: str) -> Iterator[_Found]:
    for note in segment.dependencies:
        given = [p <= len(elements) and any(r.strip(": ") for r in elements[p - 1]) for p in note.positions]
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
            missing = [p for p, there in zip(note.positions, given, strict=True) if not there]
            place = (missing or list(note.positions))[0] + 1
            yield _Found("EDI-0517", "48" if syntax == "4" else "13", place, segment=segment.tag)


def is_date(text: str, picture: str) -> bool:
    """Tell whether a text is written as the picture says and is a real date, time or period.

    The picture's letters: C, Y, M, D as usual; J day of the year, W week, h m s time, Z zone; `-` joins two ends.
    """
    halves = picture.split("-")
    if len(halves) == 2:
        size = len(halves[0])
        rest = text[size:].removeprefix("-")
        return is_date(text[:size], halves[0]) and is_date(rest, halves[1]) and text[:size] <= rest
    if len(text) != len(picture):
        return False
    parts: dict[str, str] = {}
    for sign, character in zip(picture, text, strict=True):
        parts[sign] = parts.get(sign, "") + character
    if not parts.pop("Z", "X").isalpha():
        return False
    if not all(value.isdecimal() and value.isascii() for value in parts.values()):
        return False
    number = {sign: int(value) for sign, value in parts.items()}
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


# ------------------------------------------------------------------------------------------------ one message


def check(message: MessageText, structure: Structure | None, *, profile: Structure | None = None) -> tuple[Fault, ...]:
    """Return everything that is wrong with a message, in the order of its segments; () means valid.

    `structure` is its UN table (None: its type is not known here), `profile` the subset that is agreed on.
    `syntax_error` is set on the faults that refuse, and on no others.
    """
    if not message.interchange.supported:
        return ()  # the interchange is refused for it, and what is in it cannot be told
    table = profile or structure
    return () if table and decide(message, table) else tuple(explain(message, table, thorough=False))


def decide(message: MessageText, structure: Structure) -> bool:
    """Tell quickly whether a message is certainly without fault; False says nothing (see `edifact_fast`)."""
    of = message.interchange
    if message.anomalies or message.reference is None:
        return False
    if message.group and message.group.header and list(_group_differences(message)):
        return False
    if message.text.count(of.service.element, 0, message.text.find(of.service.terminator)) > TO_S009:
        return False
    syntax = "4" if of.syntax_version == "4" else "3"
    bare = message.bare  # blanks between segments, which it may have, are left to the explaining checks
    plain = message.text if bare else message.plain
    fast = matcher(structure, syntax, repertoire(of.syntax_id, plain), of.service.decimal)
    if not fast.accepts(plain, message.reference):
        return False
    # Release characters count for the limit of a segment's length, but do not stand in the canonical form.
    text, release, terminator = message.text, of.service.release, of.service.terminator
    if bare or len(text) <= limits.SEGMENT_BYTES or release not in text:
        return True
    return release + terminator not in text and max(map(len, text.split(terminator))) <= limits.SEGMENT_BYTES


def explain(message: MessageText, structure: Structure | None, *, thorough: bool = True) -> list[Fault]:
    """Return everything that is wrong with a message, in the order of its segments.

    Without `thorough`, segments that the compiled patterns know to be sound are not looked into again.
    """
    if len(message.text) > limits.SEGMENT_BYTES and (early := too_large(message)):
        return [early]
    report = _Report(message)
    rows: list[int] = []
    if structure is not None:
        rows = _explain_structure(report, structure)
    _explain_segments(report, structure, thorough)
    if structure is None and 0 not in report.unsound:
        report.tell("EDI-0305", "14", 0, 3, 1, ":".join(message.identifier), envelope="UNH")
    _explain_ends(report)
    if structure:
        _explain_sections(report, structure)
        _explain_totals(report, structure, rows)
    return report.faults()


class _Report:
    """The findings of one message as they come in; `unsound` are the indices of segments that are wrong inside.

    `missed` are the tags that the structure's misfits concern: their number says nothing any more.
    """

    def __init__(self, message: MessageText) -> None:
        of = message.interchange
        self.message = message
        self.syntax = "4" if of.syntax_version == "4" else "3"
        self.written = message.written
        self.tags = [segment[0][0].partition(":")[0] for segment in self.written]
        self.last = len(self.tags) - 1
        self.unsound: set[int] = set()
        self.missed: set[str] = set()
        self.most = max(1, min(limits.FAULTS, limits.FAULTS_ALL - of.tally.faults))
        self._found: list[tuple[int, int, int, Fault]] = []

    @property
    def full(self) -> bool:
        """Whether no further fault is taken."""
        return len(self._found) >= self.most

    def tell(
        self,
        code: str,
        syntax_error: str | None,
        index: int,
        element: int = 0,
        component: int = 0,
        value: str | None = None,
        expected: str | None = None,
        envelope: str | None = None,
        **details: str,
    ) -> None:
        """Take down a fault: 0085 code, the segment's index, element (the tag is 1) and component; 0 if as a whole."""
        if self.full:
            return
        place = self.message.place(index + 1, element or None, component or None)
        fault = Fault(code, None, place, value, expected, details, syntax_error, envelope)
        self._found.append((index, element, component, fault))

    def faults(self) -> list[Fault]:
        """Return the findings in the order of the message."""
        full = self.full
        self.message.interchange.tally.faults += len(self._found)
        faults = [found[3] for found in sorted(self._found, key=lambda found: found[:3])]
        if full:
            faults.append(Fault("EDI-0312", place=faults[-1].place, syntax_error="18"))
        return faults


def _explain_structure(report: _Report, structure: Structure) -> list[int]:
    """Tell what the walk through the structure finds; return each segment's row."""
    rows, misfits = walk(structure, report.tags, report.most)
    for misfit in misfits:
        tag = misfit.tag
        report.missed.add(tag)
        row = structure.rows[misfit.row] if misfit.row >= 0 else None
        group = str(row.group) if row else ""
        if misfit.kind == "missing":
            report.tell("EDI-0403", "13", min(misfit.at - 1, report.last), segment=tag, group=group)
        elif misfit.kind == "unknown":
            report.tell("EDI-0401" if tag else "EDI-0407", "15", misfit.at, value=tag, segment=tag)
        elif misfit.kind == "misplaced":
            used = any(each.tag == tag for each in structure.rows)
            report.tell("EDI-0402" if used else "EDI-0408", "15", misfit.at, value=tag, segment=tag)
        else:
            code, error = ("EDI-0404", "35") if misfit.kind == "repeats" else ("EDI-0405", "36")
            most = str(row.max) if row else None
            report.tell(code, error, misfit.at, expected=most, segment=tag, group=group)
    return rows


def _explain_segments(report: _Report, structure: Structure | None, thorough: bool) -> None:
    """Tell what is wrong inside the segments."""
    of = report.message.interchange
    tables = structure.segments if structure else of.service_segments
    dates = structure.dates if structure else {}
    sure = None
    if structure and not thorough:
        sure = matcher(structure, report.syntax, repertoire(of.syntax_id, report.message.plain), of.service.decimal)
    texts = report.message.split() if sure else []
    for index, segment in enumerate(report.written):
        if report.full:
            return
        tag = report.tags[index]
        if segment[0][0] != tag:
            report.tell("EDI-0406", "15" if report.syntax == "4" else "34", index, value=segment[0][0], segment=tag)
        if tag not in tables or (sure and sure.sound(tag, texts[index])):
            continue
        found = check_segment(tables[tag], segment[1:], report.syntax, of.syntax_id, of.service.decimal, dates)
        if found:
            report.unsound.add(index)
        envelope = tag if tag in ("UNH", "UNT") else None
        for each in found:
            report.tell(
                each.code,
                each.syntax_error,
                index,
                each.element,
                each.component,
                each.value,
                each.expected,
                envelope,
                **each.details,
            )


def _explain_sections(report: _Report, structure: Structure) -> None:
    """Tell when of two UNS the first does not say D, or the second S."""
    if len(structure.sections) != 2 or "UNS" in report.missed:
        return
    places = [index for index, tag in enumerate(report.tags) if tag == "UNS"]
    if len(places) != 2:
        return
    for index, expected in zip(places, "DS", strict=True):
        if index not in report.unsound and (given := report.written[index][1][0]) != expected:
            report.tell("EDI-0510", "12", index, 2, 0, given, expected, segment="UNS", data_element="0081")


def too_large(message: MessageText) -> Fault | None:
    """Return the one fault of a message that is beyond the limits, so that nothing more is spent on it."""
    text, service = message.text, message.service
    released = service.release and service.release in text
    few = not released and text.count(service.terminator) <= limits.SEGMENTS
    if few and max(map(len, text.split(service.terminator))) <= limits.SEGMENT_ELEMENTS:
        return None  # every segment is too short to have too many elements
    position, number = 0, 1
    while position < len(text):
        end = segment_end(text, service, position, position + limits.SEGMENT_BYTES + 1)
        elements = text.count(service.element, position, end)
        if end - position > limits.SEGMENT_BYTES or elements > limits.SEGMENT_ELEMENTS:
            return Fault(
                "EDI-0308",
                place=message.place_at(position, number),
                value=text[position : position + limits.ECHO_CHARACTERS],
                expected=str(limits.SEGMENT_BYTES),
                syntax_error="18",
            )
        position, number = end + 1, number + 1
        if number > limits.SEGMENTS + 1:
            place, most = message.place_at(0, 1), str(limits.SEGMENTS)
            return Fault("EDI-0307", place=place, expected=most, syntax_error="18", service_segment="UNH")
    return None


def _explain_ends(report: _Report) -> None:
    """Check UNH and UNT against each other, the group and the other messages of the interchange."""
    message, last = report.message, report.last
    kinds = {anomaly.kind for anomaly in message.anomalies}
    transfer = message.value(0, 4)
    if transfer.isdecimal() and not int(transfer) and 0 not in report.unsound:
        report.tell("EDI-0313", "12", 0, 5, 1, transfer, envelope="UNH")
    if "repeated" in kinds:
        report.tell("EDI-0304", "26", 0, 2, 0, message.reference, envelope="UNH")
    if "no UNT" in kinds:
        report.tell("EDI-0301", "13", last, envelope="UNT")
    elif "no end" in kinds:
        report.tell("EDI-0309", "13", last, envelope="UNT")
    elif last not in report.unsound:
        count, reference = (resolve(element[0]) for element in report.written[last][1:3])
        if not count.isdecimal() or int(count) != last + 1:
            report.tell("EDI-0303", "29", last, 2, 0, count, str(last + 1), envelope="UNT")
        if message.reference is not None and reference != message.reference:
            report.tell("EDI-0302", "28", last, 3, 0, reference, message.reference, envelope="UNT")
    for code, component, given, expected in _group_differences(message):
        error = "31" if code == "EDI-0310" and report.syntax == "3" else "12"
        report.tell(code, error, 0, 3, component, given, expected, envelope="UNH")


def _group_differences(message: MessageText) -> Iterator[tuple[str, int, str, str]]:
    """Yield where a message's type is not its functional group's: code, component of S009, value, expected."""
    header = message.group.header if message.group else None
    if header is None:
        return
    pairs = (
        ("EDI-0310", header.value(1)),
        ("EDI-0311", header.value(7, 1)),
        ("EDI-0311", header.value(7, 2)),
        ("EDI-0311", header.value(6)),
    )
    for component, ((code, expected), given) in enumerate(zip(pairs, message.identifier, strict=False), 1):
        if expected and given and expected != given:
            yield code, component, given, expected


def _explain_totals(report: _Report, structure: Structure, rows: Sequence[int]) -> None:
    """Compare the control totals with what they count."""
    for index, tag in enumerate(report.tags):
        if tag != "CNT" or index in report.unsound or rows[index] < 0 or structure.rows[rows[index]].group:
            continue  # those inside a group count something else
        code, value = report.written[index][1][0].split(":")[:2]
        for total in structure.totals:
            if total.control != code or total.tag in report.missed:
                continue
            count = sum(
                each == total.tag and (not total.group or structure.rows[row].group == total.group)
                for each, row in zip(report.tags, rows, strict=True)
            )
            if Decimal(value.replace(",", ".")) != count:
                report.tell("EDI-0520", "29", index, 2, 2, value, str(count), segment=tag, counted=total.tag)


# ------------------------------------------------------------------------------------------------ the envelopes


def check_interchange(written: InterchangeText) -> Interchange:
    """Return the interchange as a value with the faults of its envelope and of its groups."""
    faults = tuple(_envelope(written))
    groups = tuple(
        Group(
            group.header.value(5) or None if group.header else None,
            group.header.components(2) if group.header else (),
            group.header.components(3) if group.header else (),
            tuple(group.messages),
            tuple(_group_faults(written, group)),
        )
        for group in written.groups
    )
    return Interchange(
        written.syntax_id,
        written.syntax_version,
        written.sender,
        written.recipient,
        written.reference,
        written.test,
        written.acknowledge,
        groups,
        faults,
        _prepared(written.header.value(4, 1)),
        partial(written.place, written.header),
    )


def _service_faults(written: InterchangeText, segment: ServiceSegment) -> Iterator[Fault]:
    """Yield what is wrong inside a service segment of the envelope."""
    tag = segment.elements[0][0]
    syntax = "4" if written.syntax_version == "4" else "3"
    elements = [[":".join([_lift(c) for c in element])] for element in segment.elements[1:]]
    table = written.service_segments[tag]
    text = "+".join([tag, *(element for (element,) in elements)]) + "'"
    pattern = segment_pattern(table, syntax, repertoire(written.syntax_id, text), written.service.decimal)
    if pattern.fullmatch(text):
        return
    for found in check_segment(table, elements, syntax, written.syntax_id, written.service.decimal, {}):
        yield Fault(
            found.code,
            place=written.place(segment, found.element or None, found.component or None),
            value=found.value,
            expected=found.expected,
            details=found.details,
            syntax_error=found.syntax_error,
            service_segment=tag,
        )


def _lift(value: str) -> str:
    if value.isalnum():
        return value
    for sign in "'+:*":
        value = value.replace(sign, chr(RELEASED + ord(sign)))
    return value


def _envelope(written: InterchangeText) -> Iterator[Fault]:
    header, trailer = written.header, written.trailer

    def fault(
        code: str,
        syntax_error: str,
        segment: ServiceSegment | None,
        element: int | None = None,
        component: int | None = None,
        value: str | None = None,
        expected: str | None = None,
        *,
        at: int = 0,
        tag: str | None = None,
    ) -> Fault:
        place = written.place(segment, element, component, at=at)
        name = tag or (segment.elements[0][0] if segment else None)
        return Fault(code, None, place, value, expected, {}, syntax_error, name)

    for anomaly in written.anomalies:
        if anomaly.kind == "unreadable":
            yield fault("EDI-0115", "33", None, value=anomaly.text, at=anomaly.offset)
            return
    signs = written.una_signs
    if signs and written.syntax_version != "4" and signs[2] not in ".,":
        yield fault("EDI-0102", "19", None, value=signs[2], expected=". ,", at=written.offset, tag="UNA")
    supported = written.supported
    if written.syntax_id and written.syntax_version and not supported:
        component = 1 if not written.charset_known else 2
        yield fault("EDI-0101", "2", header, 2, component, header.value(1, component))
    named = written.syntax_id and written.syntax_version
    inside = list(_service_faults(written, header)) if supported or not named else []
    yield from inside
    wrong = {found.place.element for found in inside if found.place}
    if 5 not in wrong and supported:
        yield from _prepared_faults(written, header, 4)
    if written.test and 12 not in wrong and header.value(11) != "1":
        yield fault("EDI-0113", "25", header, 12, None, header.value(11))
    for anomaly in written.anomalies:
        if anomaly.kind == "stray" and _SERVICE_TAGS.fullmatch(anomaly.text):
            error = "47" if written.syntax_version == "4" else "15"
            yield fault("EDI-0114", error, None, value=anomaly.text, at=anomaly.offset)
        elif anomaly.kind == "stray":
            yield fault("EDI-0108", "33", None, value=anomaly.text, at=anomaly.offset)
        elif anomaly.kind == "unterminated":
            yield fault("EDI-0116", "13", None, value=anomaly.text, at=anomaly.offset, tag="UNZ")
    grouped = [group for group in written.groups if group.header]
    mixed = bool(grouped) and len(grouped) < len(written.groups)
    if mixed:
        yield fault("EDI-0107", "30", header)
    if not written.groups and not written.anomalies:
        yield fault("EDI-0106", "32", header)
    if trailer is None:
        if not any(anomaly.kind == "unterminated" for anomaly in written.anomalies):
            yield fault("EDI-0103", "13", None, at=written.end, tag="UNZ")
        return
    inside = list(_service_faults(written, trailer))
    yield from inside
    wrong = {found.place.element for found in inside if found.place}
    actual = len(grouped) if grouped else sum(len(group.messages) for group in written.groups)
    if 2 not in wrong and not mixed and _count(trailer.value(1)) != actual:
        yield fault("EDI-0105", "29", trailer, 2, None, trailer.value(1), str(actual))
    if 3 not in wrong and written.reference and trailer.value(2) != written.reference:
        yield fault("EDI-0104", "28", trailer, 3, None, trailer.value(2), written.reference)


def _prepared_faults(written: InterchangeText, header: ServiceSegment, element: int) -> Iterator[Fault]:
    """Yield what is wrong with the date and the time in S004 of UNB or UNG."""
    picture = "CCYYMMDD" if written.syntax_version == "4" else "YYMMDD"
    day, time = header.value(element, 1), header.value(element, 2)
    wrong = [(1, day, picture)] if _prepared(day) is None else []
    wrong += [] if is_date(time, "hhmm") else [(2, time, "HHMM")]
    for component, value, expected in wrong:
        place = written.place(header, element + 1, component)
        yield Fault("EDI-0511", None, place, value, expected, {}, "12", header.elements[0][0])


def _count(text: str) -> int:
    """Return a control count, -1 for a number that counts nothing (a decimal)."""
    return int(text) if text.isdecimal() else -1


def _prepared(text: str) -> date | None:
    """Return UNB 0017 as a date, None if it is none; six digits mean this century."""
    if not (text.isdecimal() and text.isascii()) or len(text) not in (6, 8):
        return None
    text = text if len(text) == 8 else f"20{text}"
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None


def _group_faults(written: InterchangeText, group: GroupText) -> Iterator[Fault]:
    header, trailer = group.header, group.trailer
    if header is None:
        return
    inside = list(_service_faults(written, header))
    yield from inside
    if header.value(4) and not any(found.place and found.place.element == 5 for found in inside):
        yield from _prepared_faults(written, header, 4)
    if group.repeated:
        yield Fault(
            "EDI-0205", None, written.place(header, 6), header.value(5), syntax_error="26", service_segment="UNG"
        )
    if not group.messages:
        yield Fault("EDI-0204", None, written.place(header), syntax_error="32", service_segment="UNG")
    for anomaly in group.anomalies:
        place = written.place(None, at=anomaly.offset)
        if anomaly.kind == "no UNE":
            yield Fault("EDI-0201", None, place, syntax_error="13", service_segment="UNE")
        else:
            yield Fault("EDI-0206", None, place, anomaly.text, syntax_error="33")
    if trailer is None:
        return
    inside = list(_service_faults(written, trailer))
    yield from inside
    wrong = {found.place.element for found in inside if found.place}
    if 2 not in wrong and _count(trailer.value(1)) != len(group.messages):
        yield Fault(
            "EDI-0203", None, written.place(trailer, 2), trailer.value(1), str(len(group.messages)), {}, "29", "UNE"
        )
    if 3 not in wrong and header.value(5) and trailer.value(2) != header.value(5):
        yield Fault("EDI-0202", None, written.place(trailer, 3), trailer.value(2), header.value(5), {}, "28", "UNE")
