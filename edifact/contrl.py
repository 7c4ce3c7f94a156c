"""CONTRL, the syntax answer of UN/EDIFACT: written for every interchange, and read when a partner sends one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import le

from core.envelope import Group, Interchange
from core.findings import Fault, Finding
from edifact.syntax import ENCODINGS, charset_known, serialised

CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")

Wrong = Fault | Finding
REJECTED, ACKNOWLEDGED, RECEIVED = "4", "7", "8"
# 0083 of before syntax 4.2 has also: 3 one or more below rejected, 6 UNB and UNZ rejected.
REJECTING = frozenset((REJECTED, "3", "6"))
# Where 0083 stands in what names a group and a message.
ACTION_OF = {"UCF": 4, "UCM": 3}
# The codes of 0085 that only one of the two syntaxes knows; elsewhere they become 18, unspecified.
ONLY_3 = frozenset(("19", "27", "31", "34", "38", "41", "42", "43"))
ONLY_4 = frozenset(("45", "46", "47", "48"))
UCS_MAX, UCD_MAX = 999, 99
# Characters of the components of S009: type, version, release, agency, association's code, and two of syntax 4.
S009 = (6, 3, 3, 3, 6, 6, 6)
# Findings inside of a segment make what CONTRL would have to repeat of its subject unfit to stand in a valid CONTRL,
# but for those of separators and release characters, which are not repeated.
INSIDE, NOT_REPEATED = "EDI-05", frozenset(("EDI-0505", "EDI-0506", "EDI-0519"))


def contrl(
    interchange: Interchange,
    faults: Mapping[int, Sequence[Wrong]],
    *,
    own_id: str,
    reference: str,
    now: datetime,
    addresses: tuple[tuple[str, ...], tuple[str, ...]] | None = None,
) -> bytes | None:
    """Return the CONTRL that answers an interchange, in the interchange's own syntax and character set.

    `faults` are those of each message by its ordinal; only those with a `syntax_error` count. `own_id` (at most 35
    characters) becomes the common access reference, `reference` (at most 14) the control reference, `now` the date and
    the time of preparation as it stands, in whatever zone. `addresses` are the components of its sender and recipient,
    if they are not those of the interchange, swapped. None where none may be sent (the subject is a CONTRL) or
    none can be built (what it must repeat is missing or unfit).
    """
    if not interchange.reference or not _first(interchange.sender) or not _first(interchange.recipient):
        return None
    if any(unrepeatable(interchange, element) for element in (3, 4, 6)):
        return None
    if interchange.only_contrl:
        return None
    known = charset_known(interchange.syntax_id, interchange.syntax_version)
    charset, declared = (interchange.syntax_id if known else "UNOC"), interchange.syntax_version
    if declared not in ("1", "2", "3", "4"):
        declared = "3" if charset <= "UNOF" else "4"
    if charset == "UNOA":  # it has no small letters
        own_id, reference = own_id.upper(), reference.upper()
    version = "4" if declared == "4" else "3"
    body = list(_body(interchange, faults, version))
    if any(segment is None for segment in body):
        return None
    segments = [segment for segment in body if segment is not None]
    sender, recipient = addresses or (interchange.recipient, interchange.sender)
    day = f"{now:%Y%m%d}" if version == "4" else f"{now:%y%m%d}"
    unb: Written = [
        "UNB",
        [charset, declared],
        list(sender),
        list(recipient),
        [day, f"{now:%H%M}"],
    ]
    unb.append(reference)
    if interchange.test:
        unb += ["", "", "", "", "", "1"]
    identifier = ["CONTRL", "4", "1", "UN"] if version == "4" else ["CONTRL", "D", "3", "UN"]
    message: list[Written] = [["UNH", "1", identifier, own_id], *segments]
    message.append(["UNT", str(len(message) + 1), "1"])
    # What is repeated of the subject may hold controls, where the character set has them; nobody's reader gets them.
    text = CONTROLS.sub(".", serialised([unb, *message, ["UNZ", "1", reference]], version))
    return text.encode(ENCODINGS.get(charset, "latin-1"), "surrogateescape")


Written = list[str | list[str]]


def _body(interchange: Interchange, faults: Mapping[int, Sequence[Wrong]], version: str) -> Iterator[Written | None]:
    """Yield UCI and what stands below it; None for a message that the syntax gives no means to name."""
    error = _refusing(interchange.faults)
    opening: Written = ["UCI", interchange.reference or "", list(interchange.sender), list(interchange.recipient)]
    if error:
        yield [*opening, *_verdict(error, version, ("UNA", "UNB", "UNZ"))]
        return
    below = list(_below(interchange, faults, version))
    # Who asks for no more than an indication of receipt (0031 = 2) is told no more when nothing is wrong.
    yield [*opening, RECEIVED if interchange.acknowledge == "2" and not below else ACKNOWLEDGED]
    yield from below


def _below(interchange: Interchange, faults: Mapping[int, Sequence[Wrong]], version: str) -> Iterator[Written | None]:
    """Yield what stands below an UCI that does not reject; nothing if all is accepted."""
    for group in interchange.groups:
        if group.reference is None:
            yield from _messages(group, faults, version)
    for group in interchange.groups:
        if unfit(group.faults, "UNG", 3, 4, 6):
            yield None
        if group.reference is None:
            continue
        wrong = _refusing(group.faults)
        below = [] if wrong else list(_messages(group, faults, version))
        if wrong or below:
            heading: Written = ["UCF", group.reference, list(group.sender), list(group.recipient)]
            yield [*heading, *_verdict(wrong, version, ("UNG", "UNE"))]
            yield from below


def _messages(group: Group, faults: Mapping[int, Sequence[Wrong]], version: str) -> Iterator[Written | None]:
    for header in group.messages:
        found = [fault for fault in faults.get(header.ordinal, ()) if fault.syntax_error]
        if not found or header.is_contrl:
            continue
        # A message that was cut off in its UNH is told as that, whatever stands in it.
        named = not unfit(found, "UNH", 2) and _is_short((header.reference or "",), (14,))
        typed = not unfit(found, "UNH", 3) and _is_short(header.identifier, S009)
        if version == "3" and not (named and typed):
            yield None
            continue
        error = _refusing([fault for fault in found if fault.service_segment])
        verdict = _verdict(error, version, ("UNH", "UNT")) if error else [REJECTED]
        # Syntax 4 names a message as far as it can be named.
        yield ["UCM", (header.reference or "") if named else "", list(header.identifier) if typed else [], *verdict]
        yield from _segments([fault for fault in found if not fault.service_segment], version)


def _segments(found: Sequence[Wrong], version: str) -> Iterator[Written]:
    """Yield UCS and UCD for the faults of a message; a fault of a segment as a whole has a UCS of its own."""
    by_segment: dict[int, list[Wrong]] = {}
    for fault in found:
        if fault.place and fault.place.segment:
            by_segment.setdefault(fault.place.segment, []).append(fault)
    written = 0
    for number in sorted(by_segment):
        whole = [fault for fault in by_segment[number] if not (fault.place and fault.place.element)]
        parts = [fault for fault in by_segment[number] if fault.place and fault.place.element]
        for fault in whole:
            written += 1
            if written <= UCS_MAX:
                yield ["UCS", str(number), _code(fault, version)]
        if parts:
            written += 1
            if written <= UCS_MAX:
                yield ["UCS", str(number)]
                for fault in parts[:UCD_MAX]:
                    yield ["UCD", _code(fault, version), _position(fault)]


def _is_short(components: Sequence[str], most: Sequence[int]) -> bool:
    """Tell whether components have room in a CONTRL, and no controls in them."""
    lengths = [*map(len, components)]
    return not CONTROLS.search("".join(components)) and all(map(le, lengths, most)) and not any(lengths[len(most) :])


def unfit(faults: Sequence[Wrong], tag: str, *elements: int) -> bool:
    """Tell whether what stands at some elements of a service segment cannot be repeated in a valid CONTRL."""
    return any(
        fault.service_segment == tag
        and fault.syntax_error
        and fault.code.startswith(INSIDE)
        and fault.code not in NOT_REPEATED
        and fault.place
        and fault.place.element in elements
        for fault in faults
    )


def unrepeatable(interchange: Interchange, element: int) -> bool:
    """Tell whether an element of UNB, counted as CONTRL does, cannot be repeated in an answer."""
    return element in interchange.unrepeatable or unfit(interchange.faults, "UNB", element)


def _refusing(faults: Sequence[Wrong]) -> Wrong | None:
    return next((fault for fault in faults if fault.syntax_error), None)


def _verdict(error: Wrong | None, version: str, tags: tuple[str, ...]) -> Written:
    """Return 0083, and for an error 0085, the service segment's tag and the position within it."""
    if error is None:
        return [ACKNOWLEDGED]
    verdict: Written = [REJECTED, _code(error, version)]
    if error.service_segment in tags:
        verdict.append(error.service_segment or "")
        if error.place and error.place.element:
            verdict.append(_position(error))
    return verdict


def _position(error: Wrong) -> list[str]:
    place = error.place
    assert place is not None  # noqa: S101
    return [str(place.element)] + ([str(place.component)] if place.component else [])


def _code(error: Wrong, version: str) -> str:
    code = error.syntax_error or "18"
    return "18" if code in (ONLY_3 if version == "4" else ONLY_4) else code


def _first(components: tuple[str, ...]) -> str:
    return components[0] if components else ""


# ------------------------------------------------------------------------------------------------ reading one


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One message that a CONTRL names: its reference, the action (4 rejected, 7 acknowledged) and the 0085 code."""

    reference: str
    action: str
    error: str | None


@dataclass(frozen=True, slots=True)
class ContrlContent:
    """What a partner's CONTRL says of an interchange of ours.

    `action` is 0083 of UCI (4, 3 or 6 rejected; 7, 1, 2 or 5 acknowledged; 8 received), `error` 0085 if any; messages
    that are not named share the interchange's fate.
    """

    reference: str
    sender: tuple[str, ...]
    recipient: tuple[str, ...]
    action: str
    error: str | None
    messages: tuple[Acknowledged, ...]

    @property
    def rejected(self) -> bool:
        """Whether the interchange or any message of it was rejected."""
        return not REJECTING.isdisjoint((self.action, *(message.action for message in self.messages)))


def acknowledged(segments: Sequence[Sequence[Sequence[str]]]) -> ContrlContent | None:
    """Return what a CONTRL acknowledges, None without UCI; segments are lists of elements, these of components.

    A group of messages is a message to it: ours have none, but what rejects one rejects.
    """

    def value(segment: Sequence[Sequence[str]], element: int) -> str:
        return segment[element][0] if element < len(segment) else ""

    uci = next((segment for segment in segments if segment[0][0] == "UCI"), None)
    if uci is None or not value(uci, 1):
        return None
    return ContrlContent(
        value(uci, 1),
        tuple(uci[2]) if len(uci) > 2 else (),
        tuple(uci[3]) if len(uci) > 3 else (),
        value(uci, 4),
        value(uci, 5) or None,
        tuple(
            Acknowledged(value(segment, 1), value(segment, at), value(segment, at + 1) or None)
            for segment in segments
            if (at := ACTION_OF.get(segment[0][0], 0))
        ),
    )
