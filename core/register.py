"""What is on file: the accepted versions of declarations, the references in use, and what a message makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from core.declaration import Declaration, Nature
from core.partner import Partner


@dataclass(frozen=True, slots=True)
class VersionFact:
    """One accepted version of a declaration, as the journal remembers it.

    `payment_due` is the day until whose end (Eastern Time) a change is a correction. `status` is one of accepted,
    assessed, pending, refused (by the engine), withdrawn. `withdrawal` tells that a request to withdraw it is with the
    engine, which has not decided yet.
    """

    version: int
    partner: str
    nature: Nature
    status: str
    declaration: Declaration
    accepted_at: datetime
    payment_due: date | None
    created_by_cbsa: bool = False
    withdrawal: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """All that judging needs from outside the bytes.

    `partner` is who the transport says it is, None if unknown; `histories` gives the accepted versions of every
    transaction number in the transmission, oldest first; `references` the sender's interchange references used before,
    with the digest of the bytes that carried them. `unproven` is the finding's code when the transport does not prove
    that `partner`, whose queue it came in by, is the sender.
    """

    now: datetime
    partner: Partner | None
    histories: Mapping[str, tuple[VersionFact, ...]] = field(default_factory=dict)
    references: Mapping[str, str] = field(default_factory=dict)
    unproven: str | None = None
