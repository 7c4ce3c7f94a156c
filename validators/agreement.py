"""Compares EDIFACT interchanges with the agreement with their sender; tells which messages share which faults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

from core.envelope import Interchange, messages_inside
from core.findings import Fault
from core.partner import Partner
from core.register import Facts
from core.transmission import Parsed

# The elements of UNB that have components: sender, recipient, date and time.
COMPOSITES = {3, 4, 5}


def agreed(parsed: Parsed, facts: Facts) -> Parsed:
    """Return the transmission, its interchanges with what they say against the agreement with their sender.

    A CONTRL may be repeated: it uses up no reference.
    """
    partner, received, seen = facts.partner, parsed.received, set[tuple[bool, str]]()
    if partner is None or facts.unproven or not partner.active:
        return parsed
    interchanges = []
    for interchange in parsed.interchanges:
        duplicate, reference, test = False, interchange.reference, interchange.test
        if reference and not interchange.only_contrl:
            taken = facts.register.of(test).taken(received.partner, reference, received.digest)
            duplicate = taken or (test, reference) in seen
            seen.add((test, reference))
        found = tuple(_check(interchange, partner, received.day, duplicate=duplicate))
        interchanges.append(replace(interchange, faults=(*interchange.faults, *found)) if found else interchange)
    return replace(parsed, interchanges=tuple(interchanges))


def _check(interchange: Interchange, partner: Partner, today: date, *, duplicate: bool) -> Iterator[Fault]:
    """Yield what an interchange's envelope says against the agreement with its sender; one cause, one finding.

    `duplicate` says that its reference was used before, for other content.
    """
    wrong = {fault.place.element for fault in interchange.faults if fault.place and fault.service_segment == "UNB"}

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
        yield from fault("EDI-0111", "26", 6, interchange.reference)
    if interchange.test and not ours.tests:
        yield from fault("EDI-0113", "25", 12, "1")


def envelope_faults(parsed: Parsed) -> dict[int, tuple[Fault, ...]]:
    """Return the faults of interchange and group that each message inside shares, by ordinal."""
    found: dict[int, tuple[Fault, ...]] = {}
    for interchange, ordinals in messages_inside(parsed.interchanges, [message.ordinal for message in parsed.messages]):
        every = tuple(fault for group in interchange.groups for fault in group.faults)
        found |= dict.fromkeys(ordinals, (*interchange.faults, *every))
        for group in interchange.groups:
            found |= {header.ordinal: (*interchange.faults, *group.faults) for header in group.messages}
    return found
