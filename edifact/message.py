"""Checks an EDIFACT message against its structure: whether anything is wrong, and everything that is, where."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from functools import partial

from core import limits
from core.blanks import BLANK
from core.findings import Fault, Finding
from edifact.directory import Mark, Structure
from edifact.flaw import Flaw
from edifact.lost_ends import with_ends
from edifact.match import Matcher, Matchers, in_level, repertoire
from edifact.segment import PADDED, Notation, check_segment
from edifact.syntax import Service, counted_by, plain_letters, resolve, told
from edifact.text import MessageText, padded, too_large
from edifact.walk import Walked, walk

# Separators from the tag of UNH to S009 or 0068: what comes behind, S010 and on, is left to the explaining checks.
TO_S009 = 3
# Faults that tell of a limit: they do not count for the limit on all faults of a transmission.
OF_LIMITS = ("EDI-0307", "EDI-0308", "EDI-0312")
NO_UNT = "EDI-0301"
UNDECODED = re.compile("[\udc80-\udcff]")  # bytes that are not of the character set
# Digits of an exponent with which a number is no control total any more: no value is made of it.
EXPONENT = 4


def check(
    message: MessageText,
    structure: Structure | None,
    matchers: Matchers,
    *,
    profile: Structure | None = None,
    told: int = 0,
) -> tuple[Fault, ...]:
    """Return everything that is wrong with a message, in the order of its segments; () means valid.

    `structure` is its UN table (None: its type is not known here), `profile` the subset that is agreed on; `told` are
    the faults of the messages before it in the transmission (see `counted`), whose number is limited.
    `syntax_error` is set on the faults that refuse, and on no others.
    """
    if not message.interchange.supported:
        return ()  # the interchange is refused for it, and what is in it cannot be told
    table = profile or structure
    return () if table and decide(message, table, matchers) else tuple(explain(message, table, matchers, told=told))


def counted(faults: Iterable[Fault | Finding]) -> int:
    """Return how many faults or findings of a message count for the limit on a whole transmission: those found here."""
    return sum(
        fault.code.startswith("EDI-")
        and fault.code not in OF_LIMITS
        and fault.place is not None
        and fault.place.segment is not None
        for fault in faults
    )


def decide(message: MessageText, structure: Structure, matchers: Matchers) -> bool:
    """Tell quickly whether a message is certainly without fault; False says nothing (see `edifact.match`)."""
    of = message.interchange
    if message.flaws or message.reference is None:
        return False
    if message.group and message.group.header and list(_group_differences(message)):
        return False
    if message.text.count(of.service.element, 0, message.text.find(of.service.terminator)) > TO_S009:
        return False
    syntax = "4" if of.syntax_version == "4" else "3"
    bare = message.bare  # blanks between segments, which it may have, are left to the explaining checks
    plain = message.text if bare else message.plain
    if padded(plain):
        return False  # the patterns let most of it pass
    matcher = matchers.paid(structure, syntax, repertoire(plain), of.service.decimal, len(plain))
    if matcher is None or not in_level(of.syntax_id, plain):
        return False
    return matcher.accepts(plain, message.reference) and (bare or _segments_fit(message))


def is_clean(message: MessageText) -> bool:
    """Tell whether nothing in a message is read otherwise than it was written: no padding, no undecoded bytes."""
    return not padded(message.plain) and not UNDECODED.search(message.plain)


def _segments_fit(message: MessageText) -> bool:
    """Tell whether no segment is too long as written: release characters count, the canonical form has none."""
    text, release, length = message.text, message.service.release, 0
    if len(text) <= limits.SEGMENT_BYTES or release not in text:
        return True
    for piece in text.split(message.service.terminator):
        if (length := length + len(piece)) > limits.SEGMENT_BYTES:
            return False
        length = length + 1 if piece.endswith(release) else 0  # a released terminator ends no segment
    return True


def explain(
    message: MessageText, structure: Structure | None, matchers: Matchers | None = None, *, told: int = 0
) -> list[Fault]:
    """Return everything that is wrong with a message, in the order of its segments.

    With `matchers`, segments that the compiled patterns know to be sound are not looked into again. `told`: see
    `check`. The same message is explained alike however often it is.
    """
    if len(message.text) > limits.SEGMENT_BYTES and (early := too_large(message)):
        return [early]
    message, lost = with_ends(message, structure.segments if structure else ())
    report = _Report(message, max(1, min(limits.FAULTS, limits.FAULTS_ALL - told)))
    part = _partial(message) if structure else None
    if structure is None or part:  # what stands between UNH and UNT has no table, or is not all there
        _explain_segments(report, None, matchers)
        if 0 not in report.unsound and report.whole:
            report.tell(part or _unh("EDI-0305", "14", 3, 1, ":".join(message.identifier)))
        if not part and not report.full:
            _explain_ends(report)
        return report.faults()
    for flaw in lost:
        report.tell(flaw)
    _explain_letters(report, structure)
    tags, suits = report.tags[: report.whole], partial(_suits, structure, report.written)
    walked = walk(structure, tags, report.most, suits, _told_count(message))
    report.uncertain, report.structure, report.rows = walked.uncertain, structure, walked.rows
    for flaw in walked.flaws:
        report.tell(flaw)
    _explain_segments(report, structure, matchers)
    if report.full:  # the rest has not been looked into: nothing of it is compared with anything
        return report.faults()
    _explain_ends(report, walked)
    _explain_sections(report, structure)
    _explain_totals(report, structure, walked.rows)
    return report.faults()


def _explain_letters(report: _Report, structure: Structure) -> None:
    """Tell once that tags are in other letters than capitals, and take them for what they seem to be."""
    told = False
    for index, tag in enumerate(report.tags):
        if tag in structure.segments or (meant := plain_letters(tag)) not in structure.segments:
            continue
        if not told:
            report.tell(Flaw("EDI-0411", "15", index, value=tag, expected=meant, details={"segment": tag}))
        report.tags[index], told = meant, True


def _told_count(message: MessageText) -> int | None:
    """Return how many segments UNT says that the message has, None if it does not say."""
    given = message.value(-1, 1)
    return counted_by(given) if message.tags[-1] == "UNT" and len(given) < 9 else None


def _suits(structure: Structure, written: Sequence[Sequence[Sequence[str]]], index: int, row: int) -> bool:
    """Tell whether the qualifiers of a segment are those of one use of a row, as far as these are known."""
    uses = structure.marks.get(row)
    return not uses or any(_has(written[index], use) for use in uses)


def _has(segment: Sequence[Sequence[str]], use: Mark) -> bool:
    """Tell whether a segment has the qualifiers of a use."""
    for element, component, value in use.qualifiers:
        parts = segment[element][0].split(":") if element < len(segment) else []
        if parts[component - 1 : component] != [value]:
            return False
    return True


def _partial(message: MessageText) -> Flaw | None:
    """Return the flaw of a message that comes in several transfers (S010), of which this is one.

    A first transfer that no other follows is a whole message: its 0073 is missing, or says F (final).
    """
    number, place = message.value(0, 4, 1), message.value(0, 4, 2)
    transfer = counted_by(number)
    if not transfer or place not in ("", "C", "F"):
        return None  # as it stands it says nothing, which is told otherwise
    if transfer == 1 and place != "C":
        return None
    error = "47" if message.interchange.syntax_version == "4" else "15"
    return _unh("EDI-0314", error, 5, 2 if place == "C" else 1, f"{number}:{place}" if place else number)


def _is_ended(text: str, service: Service) -> bool:
    """Tell whether a text ends with a terminator that no release character makes a part of it."""
    if not text.endswith(service.terminator):
        return False
    before = text[: -len(service.terminator)]
    return not service.release or (len(before) - len(before.rstrip(service.release))) % 2 == 0


class _Report:
    """The faults of one message as they come in, at most so many.

    `unsound` are the indices of segments that are wrong inside; `uncertain` the tags whose number says nothing any
    more, for the flaws of the structure.
    """

    def __init__(self, message: MessageText, most: int) -> None:
        self.message, self.most = message, most
        self.syntax = "4" if message.interchange.syntax_version == "4" else "3"
        self.written = message.written
        self.heads = [self.written.head(text) for text in self.written.texts]  # with explicit nesting
        self.tags = [head.partition(":")[0] for head in self.heads]
        self.last = len(self.tags) - 1
        # The segments that are all there: of a message that was cut off the last is not.
        self.whole = len(self.tags) - (not _is_ended(message.text.rstrip(BLANK), message.service))
        self.structure: Structure | None = None
        self.rows: Sequence[int] = ()
        self.unsound: set[int] = set()
        self.uncertain: set[str] = set()
        self.padded = False  # whether it has been told that values are padded with blanks
        self._found: list[tuple[int, int, int, Fault]] = []

    @property
    def full(self) -> bool:
        """Whether no further fault is taken."""
        return len(self._found) >= self.most

    def tell(self, flaw: Flaw, at: int | None = None) -> None:
        """Take down a flaw as a fault with its place, at the segment `at` if that is another than its own."""
        if self.full:
            return
        index = flaw.at if at is None else at
        index = self.last if index < 0 else index
        place = self.message.place(index + 1, flaw.element or None, flaw.component or None)
        code, error, envelope = flaw.code, flaw.syntax_error, flaw.service_segment
        value, expected = (each and told(each) for each in (flaw.value, flaw.expected))
        details = {name: told(each) for name, each in flaw.details.items()}
        if flaw.element and (name := self._name(index, flaw.element - 1, max(1, flaw.component))):
            details["element"] = name
        fault = Fault(code, None, place, value, expected, details, error, envelope)
        self._found.append((index, flaw.element, flaw.component, fault))

    def _name(self, index: int, element: int, component: int) -> str | None:
        """Return what partners call an element of a segment, if its qualifiers say so."""
        row = self.rows[index] if index < len(self.rows) else -1
        for use in self.structure.marks.get(row, ()) if self.structure else ():
            if (element, component) in use.names and _has(self.written[index], use):
                return use.names[element, component]
        return None

    def faults(self) -> list[Fault]:
        """Return the faults in the order of the message."""
        faults = [found[3] for found in sorted(self._found, key=lambda found: found[:3])]
        if self.full:
            faults.append(Fault("EDI-0312", place=faults[-1].place, syntax_error="18"))
        return faults


def _unh(
    code: str,
    syntax_error: str,
    element: int,
    component: int = 0,
    value: str | None = None,
    expected: str | None = None,
) -> Flaw:
    """Return a flaw of UNH."""
    return Flaw(code, syntax_error, 0, element, component, value, expected, "UNH")


def _explain_segments(report: _Report, structure: Structure | None, matchers: Matchers | None) -> None:
    """Tell what is wrong inside the segments."""
    message, of = report.message, report.message.interchange
    tables = structure.segments if structure else of.service_segments
    notation = Notation(report.syntax, of.syntax_id, of.service.decimal, structure.dates if structure else {})
    matcher, blanks = _matcher(report, structure, matchers), padded(message.plain)
    for index, text in enumerate(report.written.texts):
        if report.full:
            return
        tag = report.tags[index]
        if (not structure and tag not in ("UNH", "UNT")) or index >= report.whole or tag not in tables:
            continue
        numbered = report.heads[index].partition(":")[2]
        if not numbered and matcher and _sound(matcher, of.syntax_id, tag, text, blanks):
            continue
        for flaw in check_segment(tables[tag], report.written[index][1:], notation, numbered):
            if flaw.code == PADDED:  # told once
                if report.padded:
                    continue
                report.padded = True
            else:
                report.unsound.add(index)
            report.tell(flaw._replace(service_segment=tag) if tag in ("UNH", "UNT") else flaw, index)


def _matcher(report: _Report, structure: Structure | None, matchers: Matchers | None) -> Matcher | None:
    """Return the patterns that know which segments of a message are sound, None without any."""
    if not structure or not matchers:
        return None
    plain, decimal = report.message.plain, report.message.service.decimal
    return matchers.paid(structure, report.syntax, repertoire(plain), decimal, 0)


def _sound(matcher: Matcher, syntax_id: str, tag: str, text: str, blanks: bool) -> bool:
    """Tell whether a segment is certainly without fault inside; `blanks` tells whether any is padded."""
    return not (blanks and padded(text)) and matcher.sound(tag, text) and in_level(syntax_id, text)


def _explain_sections(report: _Report, structure: Structure) -> None:
    """Tell when of two UNS the first does not say D, or the second S."""
    if len(structure.sections) != 2 or "UNS" in report.uncertain:
        return
    places = [index for index, tag in enumerate(report.tags[: report.whole]) if tag == "UNS"]
    if len(places) != 2:
        return
    for index, expected in zip(places, "DS", strict=True):
        if index not in report.unsound and (given := report.written[index][1][0].rstrip(" ")) != expected:
            details = {"segment": "UNS", "data_element": "0081"}
            report.tell(Flaw("EDI-0510", "12", index, 2, 0, given, expected, details=details))


def _explain_ends(report: _Report, walked: Walked | None = None) -> None:
    """Check UNH and UNT against each other, the group and the other messages of the interchange."""
    message, last = report.message, report.last
    transfer = message.value(0, 4)
    if counted_by(transfer) == 0 and 0 not in report.unsound:
        report.tell(_unh("EDI-0313", "12", 5, 1, transfer))
    for flaw in sorted(message.flaws, key=lambda flaw: flaw.at, reverse=True):
        if flaw.code == NO_UNT and report.tags[-1] == "UNT":  # in other letters, which is told
            continue
        report.tell(flaw._replace(expected=walked.awaited if walked else "UNT") if flaw.code == NO_UNT else flaw)
    trailed = report.tags[-1] == "UNT"  # not where UNT lacks its own terminator, which is told
    if trailed and last not in report.unsound and all(flaw.at >= 0 for flaw in message.flaws):
        _explain_trailer(report, walked.counts if walked else (last + 1, last + 1))
    for code, component, given, expected in _group_differences(message):
        error = "31" if code == "EDI-0310" and report.syntax == "3" else "12"
        report.tell(_unh(code, error, 3, component, given, expected))


def _explain_trailer(report: _Report, likely: tuple[int, int]) -> None:
    """Compare the count and the reference in UNT with the message.

    A count is not told that is right for the message as it was before segments were lost or added (`likely`).
    """
    message, last = report.message, report.last
    count, reference = (resolve(element[0]).rstrip(" ") for element in report.written[last][1:3])
    if not likely[0] <= (counted_by(count) or 0) <= likely[1]:
        report.tell(Flaw("EDI-0303", "29", last, 2, 0, count, str(last + 1), "UNT"))
    if message.reference is not None and 0 not in report.unsound and reference != message.reference.rstrip(" "):
        report.tell(Flaw("EDI-0302", "28", last, 3, 0, reference, message.reference, "UNT"))


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
        ("EDI-0311", header.value(7, 3)),
    )
    for component, ((code, expected), given) in enumerate(zip(pairs, message.identifier, strict=False), 1):
        if expected and given and expected != given:
            yield code, component, given, expected


def _explain_totals(report: _Report, structure: Structure, rows: Sequence[int]) -> None:
    """Compare the control totals with what they count."""
    placed = Counter((tag, structure.rows[row].group) for tag, row in zip(report.tags, rows, strict=False))
    everywhere = Counter(report.tags[: len(rows)])
    for index, (tag, at) in enumerate(zip(report.tags, rows, strict=False)):
        if tag != "CNT" or index in report.unsound or at < 0 or structure.rows[at].group:
            continue  # those inside a group count something else
        code, value = (each.strip(" ") for each in report.written[index][1][0].split(":")[:2])
        for total in structure.totals:
            if total.control != code or total.tag in report.uncertain:
                continue
            count = placed[total.tag, total.group] if total.group else everywhere[total.tag]
            if not _says(value, count):
                details = {"segment": tag, "counted": total.tag}
                report.tell(Flaw("EDI-0520", "29", index, 2, 2, value, str(count), details=details))


def _says(value: str, count: int) -> bool:
    """Tell whether a number of syntax 3 or 4 is a count; one with an exponent that no count has is not even made."""
    mantissa, _, exponent = value.replace(",", ".").partition("E")
    return len(exponent.lstrip("-0")) < EXPONENT and Decimal(f"{mantissa}E{exponent or 0}") == count
