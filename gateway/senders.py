"""Who sent a message and is told of it: its partner, or what is on record of one who has left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.partner import Partner
from core.transmission import Received
from gateway.journal import Journal

Partners = Mapping[str, Partner]


def sender_of(
    received: Received, partners: Partners, journal: Journal, envelopes: Sequence[str | None] = ()
) -> Partner | None:
    """Return the partner that a transmission is of; None where that is not known.

    Whoever is no longer in the file may send nothing new, but what was taken is answered where its receipt went, to the
    sender that its `envelopes` name.
    """
    name = received.partner
    if not name or name in partners:
        return partners.get(name or "")
    said = tuple(dict.fromkeys(filter(None, envelopes))) or (name,)
    return Partner(name, name, said, journal.answered_at(received.id) or f"out.{name}", active=False)
