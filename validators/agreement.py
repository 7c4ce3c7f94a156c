"""Compares EDIFACT interchanges with the agreement with their sender; tells which messages share which faults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

from core import limits
from core.envelope import Interchange
from core.findings import Fault
from core.partner import EnvelopeProfile, Partner
from core.register import Facts
from core.transmission import Message, Parsed
from edifact.envelope import not_comparable, prepared_on
from parsers.cad_edifact import EdifactDocument
from parsers.reading import not_ours

# The elements of UNB that have components: sender, recipient, date and time.
COMPOSITES = {3, 4, 5}

# A reference used before: for other content, or the same interchange stands twice in the transmission.
OTHER, SAME = "EDI-0111", "EDI-0119"


def agreed(parsed: Parsed, facts: Facts) -> Parsed:
    """Return the transmission, its interchanges with what they say against the agreement with their sender.

    A CONTRL may be repeated: it uses up no reference.
    """
    partner, received, seen = facts.partner, parsed.received, dict[tuple[bool, str], Interchange]()
    if partner is None or facts.unproven or not partner.active:
        return parsed
    interchanges = []
    for interchange in parsed.interchanges:
        duplicate, number, test = "", interchange.number, interchange.test
        if number and not interchange.only_contrl:
            first = seen.setdefault((test, number), interchange)
            if first is not interchange and first.content() == interchange.content():
                duplicate = SAME
            elif first is not interchange or facts.register.of(test).taken(received.partner, number, received.digest):
                duplicate = OTHER
        profile = partner.agreement.profile
        interchange = _by_profile(interchange, profile)
        found = tuple(_check(interchange, partner, received.day, duplicate=duplicate))
        interchanges.append(replace(interchange, faults=(*interchange.faults, *found)) if found else interchange)
    messages = parsed.messages
    if partner.agreement.profile.association:
        messages = tuple([_with_association(message) for message in messages])
    return Parsed(parsed.received, parsed.syntax, messages, tuple(interchanges))


def _by_profile(interchange: Interchange, profile: EnvelopeProfile) -> Interchange:
    """Return the interchange without the faults of dates that the profile allows."""
    if not interchange.faults and not any(group.faults for group in interchange.groups):
        return interchange
    groups = tuple(
        replace(group, faults=tuple(fault for fault in group.faults if not _allowed(fault, "UNG", profile.group_date)))
        for group in interchange.groups
    )
    faults = tuple(fault for fault in interchange.faults if not _allowed(fault, "UNB", profile.interchange_date))
    return replace(interchange, faults=faults, groups=groups)


def _allowed(fault: Fault, tag: str, pictures: frozenset[str]) -> bool:
    """Tell whether a fault is about the form of the date in S004, and the profile allows that form of a real day."""
    place, value = fault.place, fault.value or ""
    if fault.service_segment != tag or place is None or (place.element, place.component) != (5, 1):
        return False
    picture = {6: "YYMMDD", 8: "CCYYMMDD"}.get(len(value), "")
    return picture in pictures and prepared_on(value) is not None


def _with_association(message: Message) -> Message:
    """Return a message without association code (0057) as one that is none of ours, any other as it is."""
    document = message.document
    if message.pack is None or not isinstance(document, EdifactDocument) or any(document.message.identifier[4:5]):
        return message
    return not_ours(document)


def _check(interchange: Interchange, partner: Partner, today: date, *, duplicate: str) -> Iterator[Fault]:
    """Yield what an interchange's envelope says against the agreement with its sender; one cause, one finding.

    `duplicate` is the finding's code where its reference was used before.
    """
    wrong = not_comparable(fault for fault in interchange.faults if fault.service_segment == "UNB")

    def fault(code: str, error: str, element: int, value: str | None, expected: str | None = None) -> Iterator[Fault]:
        if element not in wrong:
            place = interchange.locate(element, 1 if element in COMPOSITES else None)
            yield Fault(code, None, place, value, expected, {}, error, "UNB")

    sender, recipient = next(iter(interchange.sender), ""), next(iter(interchange.recipient), "")
    ours = partner.agreement
    if sender and sender not in partner.envelopes:
        yield from fault("EDI-0109", "23", 3, sender, ", ".join(partner.envelopes))
    if recipient and ours.ids and recipient not in ours.ids:
        yield from fault("EDI-0110", "7", 4, recipient, ", ".join(ours.ids))
    oldest = today - timedelta(days=ours.days) if ours.days is not None else None
    if oldest and interchange.prepared and interchange.prepared < oldest:
        yield from fault("EDI-0112", "24", 5, interchange.prepared.isoformat(), oldest.isoformat())
    if duplicate:
        yield from fault(duplicate, "26", 6, interchange.reference)
    if interchange.test and not ours.tests:
        yield from fault("EDI-0113", "25", 12, "1")
    grouped = [group.reference is not None for group in interchange.groups]
    if ours.profile.groups == "required" and not all(grouped) and not interchange.only_contrl:
        yield Fault("EDI-0122", None, interchange.locate(1, None), None, "UNG", {}, "13", "UNG")
    if ours.profile.groups == "refused" and any(grouped):
        yield Fault("EDI-0123", None, interchange.locate(1, None), "UNG", None, {}, "17", "UNG")


def envelope_faults(parsed: Parsed) -> dict[int, tuple[Fault, ...]]:
    """Return the faults of interchange and group that each message inside shares, by ordinal.

    The first message of each interchange and group, or what stands for it, is told all. Of all others' together the
    number is limited: beyond it each is told the first fault that refuses it, which is why it is refused at all.
    """
    found: dict[int, tuple[Fault, ...]] = {}
    left = limits.FAULTS_AROUND
    for interchange in parsed.interchanges:
        first = next((fault for fault in interchange.faults if fault.syntax_error), None)
        if interchange.stand_in is not None:
            every = (fault for group in interchange.groups for fault in group.faults)
            found[interchange.stand_in] = (*interchange.faults, *every)
        told = False  # whether a message was told all of the interchange's
        for group in interchange.groups:
            refusing = first or next((fault for fault in group.faults if fault.syntax_error), None)
            for place, number in enumerate(group.ordinals):
                shared = interchange.faults if left > 0 or not told else ()
                faults = (*shared, *(group.faults if left > 0 or not place else ()))
                if refusing and not any(fault.syntax_error for fault in faults):
                    faults = (*faults, refusing)
                found[number] = faults
                left -= len(faults) if told else 0
                told = True
    return found
