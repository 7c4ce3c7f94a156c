"""Transmissions, verdicts and results for tests of the journal itself; what a verdict is, is no subject there."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from core.declaration import Declaration, MessageType, Nature, VersionFact
from core.envelope import Envelope
from core.envelope import numbered as in_space
from core.findings import Bilingual, Finding, Place, Severity
from core.transmission import Judged, Message, Outcome, Outgoing, Syntax, Verdict, stable_id
from gateway.journal import Arrival, Claimed, Journal

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
NUMBER = "12345000000017"
OURS = Bilingual("ours", "nôtre")


def numbered(*references: str) -> list[str]:
    """Return references of `outcome` in their number space."""
    return [in_space("xml", "P1", None, reference) or "" for reference in references]


def delivery(uid: str, lane: str = NUMBER, partner: str | None = "P1", **more: Any) -> Arrival:
    given = {
        "channel": "partner",
        "body": uid.encode(errors="replace"),
        "headers": {"content-type": "text/plain"},
        "received_at": NOW,
    }
    return Arrival(uid=uid, partner=partner, lane=lane, **given | more)


def outgoing(kind: str, *parts: str, to: str = "out.P1", ordinal: int | None = 1) -> Outgoing:
    return Outgoing(stable_id(kind, *parts), kind, to, "application/xml", f"{kind} {parts}".encode(), ordinal)


def outcome(
    row: Claimed,
    *,
    number: str = NUMBER,
    version: int = 1,
    attempt: int | None = None,
    reference: str | None = None,
    nature: Nature = Nature.ORIGINAL,
    accepted: bool = True,
    answers: tuple[Outgoing, ...] | None = None,
) -> Outcome:
    declaration = Declaration(
        {"transaction_number": number, "version": f"{version:05}", "gross_weight": Decimal("1.50")}
    )
    message = Message(
        1,
        Syntax.XML,
        MessageType.DECLARATION,
        Envelope(sender="P1", reference=reference, message="M\0" + row.uid),
        "chapter24",
        declaration,
        (),
        None,  # type: ignore[arg-type]
    )
    if not accepted:
        finding = Finding("CAD-0001", Severity.REFUSE, Bilingual("no", "non"), Place(segment=2), None, None, OURS)
        judged = Judged(message, Verdict.REFUSED, (finding,))
    else:
        due, tries = date(2026, 6, 1), attempt or version
        fact = VersionFact(version, "P1", nature, "accepted", declaration, NOW, due, attempt=tries)
        judged = Judged(message, Verdict.ACCEPTED, (), nature, fact)
    if answers is None:
        answers = (outgoing("accepted" if accepted else "refused", row.id),)
        answers += (outgoing("request", row.id, to="assessment.requests"),) if accepted else ()
    return Outcome(row.received, Syntax.XML, (judged,), answers)


def claim_one(journal: Journal, worker: str = "w", now: datetime = NOW) -> Claimed:
    (row,) = journal.claim(worker, 1, 60, now).work
    return row


def bring(journal: Journal, uid: str, **more: Any) -> Claimed:
    """Deliver and claim one transmission."""
    assert journal.receive([delivery(uid, **more)]) == [True]
    return claim_one(journal)


def sent(journal: Journal, now: datetime = NOW) -> list[str]:
    """Send everything that is due and return the kinds, in order."""
    due = journal.due(1000, now)
    journal.mark_sent([item.id for item in due], now)
    return [item.kind for item in due]


def result(journal: Journal, uid: str, body: bytes = b'{"outcome": "approved"}') -> Claimed:
    return bring(journal, uid, channel="assessment", partner=None, lane=uid, body=body)


def accept(journal: Journal, uid: str = "a", **more: Any) -> str:
    """Bring one declaration to acceptance and return the id of the request to the engine."""
    row = bring(journal, uid)
    assert journal.finish([(row, outcome(row, **more))], specs="d", now=NOW) == [True]
    return stable_id("request", row.id)
