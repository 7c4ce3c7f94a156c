"""What the journal takes and gives: transmissions, claims, results, selections, replays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from core.declaration import VersionFact
from core.errors import GatewayError
from core.transmission import Outcome, Outgoing, Received

# Among a transmission's headers: the message id that its sender gave it on the queue.
MESSAGE_ID = "message-id"


class Conflict(GatewayError):
    """Another worker took a version or reference first; nothing was written: judge again with fresh facts."""


class Unproven(NamedTuple):
    """That the broker did not prove who sent: the finding's code, the queue, and the user that it named, if any."""

    code: str
    queue: str
    user: str | None


@dataclass(frozen=True, slots=True)
class Arrival:
    """One transmission handed over by a transport, not yet in the journal.

    `uid` is the transport's id, the same at every redelivery; `channel` is partner or assessment; `lane` the
    transaction number, `EVERY_LANE` for several, any unique text for none; `receipt` is sent when it is new.
    """

    uid: str
    channel: str
    partner: str | None
    body: bytes
    headers: Mapping[str, str]
    received_at: datetime
    lane: str
    receipt: Outgoing | None = None
    unproven: Unproven | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """One transmission leased to a worker; `attempts` counts this one."""

    sequence: int
    id: str
    uid: str
    channel: str
    partner: str | None
    received_at: datetime
    body: bytes
    digest: str
    headers: Mapping[str, str]
    lane: str
    attempts: int
    worker: str
    unproven: Unproven | None = None

    @property
    def received(self) -> Received:
        """The transmission as the pipeline takes it."""
        return Received(self.id, self.partner, self.body, self.received_at, self.digest)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a worker got: transmissions to work on, and those whose attempts are used up, which are to be parked."""

    work: tuple[Claimed, ...] = ()
    exhausted: tuple[Claimed, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.work or self.exhausted)


@dataclass(frozen=True, slots=True)
class Settlement:
    """The engine's word on one request (assessed, pending, refused, withdrawn), and the answers that tell the sender.

    `payment_due` None leaves the day as it is.
    """

    request_id: str
    status: str
    outgoing: tuple[Outgoing, ...] = ()
    payment_due: date | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request to the engine asked: the version that it is about, and the message that it came from.

    `fact.nature` is what was asked for; a withdrawal's `received` and `ordinal` are the withdrawal's own. `request` is
    what was sent to the engine.
    """

    fact: VersionFact
    received: Received
    ordinal: int
    request: bytes


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of the partners' transmissions to replay; None selects by nothing. `until` is not included.

    `finding` is a code that one of its messages was given.
    """

    since: datetime | None = None
    until: datetime | None = None
    partner: str | None = None
    verdict: str | None = None
    finding: str | None = None
    transaction_number: str | None = None


class Told(NamedTuple):
    """What the journal holds of one judged message: its verdict, and the codes of its findings in order."""

    ordinal: int
    type: str
    verdict: str
    codes: tuple[str, ...]
    transaction_number: str | None
    reference: str | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """One transmission as the journal keeps it, and what was made of it; `judged_at` None: it was given no verdict."""

    sequence: int
    id: str
    partner: str | None
    received_at: datetime
    body: bytes
    digest: str
    headers: Mapping[str, str]
    channel: str
    state: str
    note: str | None
    judged_at: datetime | None
    specs: str | None
    messages: tuple[Told, ...]
    unproven: Unproven | None = None

    @property
    def received(self) -> Received:
        """The transmission as the pipeline takes it."""
        return Received(self.id, self.partner, self.body, self.received_at, self.digest)


@dataclass(frozen=True, slots=True)
class Execution:
    """One replay: of what (an inbox sequence, or None for a file), by whom, by which specification, with which result.

    The outcome's id is the execution's own, so its answers have ids of their own.
    """

    inbox: int | None
    source: str
    operator: str
    specs: str
    outcome: Outcome
    agrees: bool


@dataclass(frozen=True, slots=True)
class Due:
    """One thing to be sent now.

    `answers` is our id of the transmission that caused it, `correlation` the message id that its sender gave it.
    """

    id: str
    kind: str
    destination: str
    content_type: str
    body: bytes
    created_at: datetime
    attempts: int
    answers: str
    correlation: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One audit link: number, time, what happened, details; and of its transmission the receipt and the attempts."""

    n: int
    at: datetime
    event: str
    detail: Any
    received_at: datetime | None
    attempts: int | None
