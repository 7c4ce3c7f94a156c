"""Compares the sender with what the deployment knows of it: identity by transport, authority by the importer's BN."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date

from core.calendar import Period
from core.declaration import IMPORTERS, Declaration
from core.envelope import Envelope
from core.findings import Address, Fault
from core.partner import Partner

# Found by the transport, before anything is read: RabbitMQ's user is missing, or is not the queue's owner.
ANONYMOUS, SOMEBODY_ELSE = "GTW-0012", "GTW-0013"

# Found there as well: published to another queue, whose name its routing key is, and copied into this one (CC, BCC).
MISDIRECTED = "GTW-0019"

UNKNOWN, OTHER_ENVELOPE, NO_AUTHORITY, CLOSED = "GTW-0003", "GTW-0004", "GTW-0005", "GTW-0006"
OTHER_RECIPIENT, NO_TESTS, OTHER_ACCOUNT, OTHER_NUMBER = "GTW-0015", "GTW-0016", "GTW-0017", "GTW-0018"


def check_sender(
    envelope: Envelope,
    declaration: Declaration,
    partner: Partner | None,
    day: date,
    *,
    begins: bool = False,
    withheld: bool = False,
) -> list[Fault]:
    """Return the faults of who sends: unknown, closed, not whom the envelope names, or without authority that day.

    Also what the envelope says against the agreement; an EDIFACT interchange is compared with that before (see
    `validators.agreement`). The transport says who the sender is; the message must agree with it.
    Authority is exact, BN15 by BN15, on the day of receipt in Eastern Time (TCC24-144: "Broker or Agent not
    authorized to submit declaration"). `begins` tells that nothing is on file, as far as the sender may know, that the
    message would follow: it takes its transaction number. `withheld` tells that there is something, of which the sender
    may know nothing.
    """
    if partner is None:
        return [Fault(UNKNOWN, Address(""), value=envelope.sender)]
    if not partner.active:
        return [Fault(CLOSED, Address(""), value=partner.id)]
    if envelope.sender is not None and envelope.sender not in partner.envelopes:
        expected = ", ".join(partner.envelopes)
        return [Fault(OTHER_ENVELOPE, Address(""), value=envelope.sender, expected=expected)]
    ours = partner.agreement
    if ours.ids and envelope.recipient is not None and envelope.recipient not in ours.ids:
        return [Fault(OTHER_RECIPIENT, Address(""), value=envelope.recipient, expected=", ".join(ours.ids))]
    if envelope.test and not ours.tests:
        return [Fault(NO_TESTS, Address(""))]
    return [*_unauthorized(partner, declaration, day), *_not_its_own(partner, declaration, begins, withheld)]


def _unauthorized(partner: Partner, declaration: Declaration, day: date) -> Iterator[Fault]:
    """Yield the importer accounts that the partner may not declare for on the day of receipt."""
    for name in IMPORTERS:
        importer = declaration.text(name)
        if importer is None or partner.acts_for(importer, day):
            continue
        periods = partner.authorities.get(importer, ())
        details = {"partner": partner.id, "day": day.isoformat(), **_delegation(periods, day)}
        yield Fault(NO_AUTHORITY, Address(name), value=importer, details=details)


def _delegation(periods: Iterable[Period], day: date) -> dict[str, str]:
    """Return how things stand with a delegation that does not cover the day: none, ended, not_begun, or between two."""
    ended = max((period.end for period in periods if period.end and period.end < day), default=None)
    begins = min((period.start for period in periods if period.start and period.start > day), default=None)
    state = ("between" if begins else "ended") if ended else "not_begun" if begins else "none"
    return {"state": state, "ended": str(ended or "—"), "begins": str(begins or "—")}


def _not_its_own(partner: Partner, declaration: Declaration, begins: bool, withheld: bool) -> Iterator[Fault]:
    """Yield the fault of a transaction number that is not the sender's to use; what it begins with decides first.

    So under somebody else's account security number there is one answer, whether the number is on file or not.
    """
    number = declaration.transaction_number
    if number is None:
        return
    if begins and not partner.may_number(number, declaration.text(IMPORTERS[0])):
        yield Fault(OTHER_ACCOUNT, Address("transaction_number"), value=number)
    elif withheld:
        yield Fault(OTHER_NUMBER, Address("transaction_number"), value=number)
