"""Compares the sender with what the deployment knows of it: identity by transport, authority by the importer's BN."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from core.declaration import Declaration
from core.envelope import Envelope
from core.findings import Address, Fault
from core.partner import Partner

# Found by the transport, before anything is read: RabbitMQ's user is missing, or is not the queue's owner.
ANONYMOUS, SOMEBODY_ELSE = "GTW-0012", "GTW-0013"

# Found there as well: published to another queue, whose name its routing key is, and copied into this one (CC, BCC).
MISDIRECTED = "GTW-0019"

UNKNOWN, OTHER_ENVELOPE, NO_AUTHORITY, CLOSED = "GTW-0003", "GTW-0004", "GTW-0005", "GTW-0006"
OTHER_RECIPIENT, NO_TESTS = "GTW-0015", "GTW-0016"


def check_sender(envelope: Envelope, declaration: Declaration, partner: Partner | None, day: date) -> list[Fault]:
    """Return the faults of who sends: unknown, closed, not whom the envelope names, or without authority that day.

    Also what the envelope says against the agreement; an EDIFACT interchange is compared with that before (see
    `validators.agreement`). The transport says who the sender is; the message must agree with it.
    Authority is exact, BN15 by BN15, on the day of receipt in Eastern Time (TCC24-144: "Broker or Agent not
    authorized to submit declaration").
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
    return list(_unauthorized(partner, declaration, day))


def _unauthorized(partner: Partner, declaration: Declaration, day: date) -> Iterator[Fault]:
    """Yield the importer accounts that the partner may not declare for on the day of receipt."""
    number = declaration.text("importer_bn")
    if number is None:
        return
    periods = partner.authorities.get(number, ())
    if not any(period.covers(day) for period in periods):
        known = "; ".join(f"{period.start or '…'}/{period.end or '…'}" for period in periods)
        details = {"partner": partner.id, "day": day.isoformat(), "periods": known or "—"}
        yield Fault(NO_AUTHORITY, Address("importer_bn"), value=number, details=details)
