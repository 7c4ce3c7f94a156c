"""Whom an answer is for and whom it is from: what the agreement knows, written as the subject writes it."""

from __future__ import annotations

from core.envelope import Envelope, Interchange
from core.partner import Partner
from edifact.contrl import unrepeatable

OWN_ID = "CAD-GATEWAY"  # who answers where neither the agreement nor the subject says it
ID = 35  # characters of an address (0004, 0010)

Parties = tuple[str, ...]


def addresses(partner: Partner | None, said: Envelope, interchange: Interchange | None) -> tuple[Parties, Parties]:
    """Return the components of S002 and S003 of an answer: the gateway's own id, and the partner's.

    The connection proves the partner: an id in the subject that is none of those agreed with it, or cannot be
    repeated, addresses nobody. Without `interchange`, what the envelope said stands for it.
    """
    theirs = _said(interchange, 3, said.sender)
    if partner and (not theirs or theirs[0] not in partner.envelopes):
        theirs = (partner.envelopes[0],)
    ours = _said(interchange, 4, said.recipient)
    if partner and (ids := partner.agreement.ids) and (not ours or ours[0] not in ids):
        ours = (ids[0],)
    return ours or (OWN_ID,), theirs or ("UNKNOWN",)


def _said(interchange: Interchange | None, element: int, otherwise: str | None) -> Parties:
    """Return the sender (element 3 of UNB) or recipient (4) of the subject, () if it cannot be repeated."""
    if interchange is None:
        return (otherwise[:ID],) if otherwise and otherwise.isprintable() else ()
    components = interchange.sender if element == 3 else interchange.recipient
    return components if components and components[0] and not unrepeatable(interchange, element) else ()
