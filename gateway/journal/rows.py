"""Values to rows of the tables and back, and texts and keys that every database can hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import Row

from core.declaration import Declaration, Nature, VersionFact
from core.transmission import Judged, Outcome, Outgoing, digest_of, stable_id
from gateway.journal.codec import decode_declaration, dump, encode_declaration, encode_envelope, encode_findings
from gateway.journal.values import Claimed, Recorded, Unproven

# What the digest of a verdict and that of an effect cover: all that does not change later.
VERDICT = (
    "syntax",
    "type",
    "sender",
    "reference",
    "message_reference",
    "envelope",
    "findings",
    "nature",
    "pack",
    "specs",
)
EFFECT = (
    "transaction_number",
    "test",
    "attempt",
    "version",
    "partner",
    "ordinal",
    "nature",
    "declaration",
    "created_by_cbsa",
)

Effects = Mapping[int, Mapping[str, object]]
NO_EFFECTS: Effects = MappingProxyType({})

AnyRow = Row[*tuple[Any, ...]]

# Characters of a sender's reference or lane that are kept as they are: an index row has its limit on PostgreSQL.
KEY_CHARACTERS = 200


def inbox_id(uid: str) -> str:
    """Return the id that a transmission with this transport id has in the journal."""
    return stable_id(key_of(uid))


def storable(value: str) -> str:
    """Return a text that every database can hold: PostgreSQL takes no NUL, nobody lone surrogates."""
    if value.isascii() and "\0" not in value:  # nearly all
        return value
    return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def key_of(value: str) -> str:
    """Return a text fit for an index: what is too long is told apart by its hash."""
    clean = storable(value)
    if len(clean) <= KEY_CHARACTERS:
        return clean
    return f"{clean[: KEY_CHARACTERS - 65]}#{digest_of(clean.encode())}"


def claimed_of(row: AnyRow) -> Claimed:
    """Return the leased transmission of an inbox row."""
    return Claimed(
        row.sequence,
        row.id,
        row.uid,
        row.channel,
        row.partner or None,
        row.received_at,
        row.body,
        row.digest,
        headers_of(row),
        row.lane,
        row.attempts,
        row.worker,
        unproven_of(row),
    )


def unproven_of(row: AnyRow) -> Unproven | None:
    """Return whether, and how, an inbox row's sender is not proven; of a damaged row nothing is."""
    try:
        return Unproven(**json.loads(row.unproven)) if row.unproven else None
    except (ValueError, TypeError):
        return Unproven("GTW-0012", "", None)


def headers_of(row: AnyRow) -> Mapping[str, str]:
    """Return the headers of an inbox row; a damaged one has none, and must not keep others from being claimed."""
    try:
        found = json.loads(row.headers)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def fact_of(row: AnyRow, declaration: Declaration | None = None) -> VersionFact:
    """Return the accepted version of a row; whether its withdrawal is asked for stands beside it.

    `declaration` stands in place of the row's own, which it then need not have.
    """
    return VersionFact(
        version=row.version,
        partner=row.partner,
        nature=Nature(row.nature),
        status=row.status,
        declaration=decode_declaration(row.declaration) if declaration is None else declaration,
        accepted_at=row.accepted_at,
        payment_due=row.payment_due,
        created_by_cbsa=row.created_by_cbsa,
        withdrawal=bool(row.withdrawal),
        attempt=row.attempt,
        test=bool(row.test),
    )


def message_row(row: Claimed | Recorded, judged: Judged, specs: str, now: datetime) -> dict[str, Any]:
    """Return the row of one judged message."""
    subject = judged.message
    declaration, envelope = subject.declaration, subject.envelope
    number = declaration.transaction_number if declaration else None
    version = declaration.version if declaration else None
    return {
        "inbox": row.sequence,
        "ordinal": subject.ordinal,
        "syntax": subject.syntax.value,
        "type": subject.type.value,
        "sender": storable(envelope.sender) if envelope.sender else None,
        "reference": storable(envelope.reference) if envelope.reference else None,
        "message_reference": storable(envelope.message) if envelope.message else None,
        "envelope": encode_envelope(envelope),
        "transaction_number": key_of(number) if number else None,
        "version": storable(version) if version else None,
        "verdict": judged.verdict.value,
        "findings": encode_findings(judged.findings),
        "nature": judged.nature.value if judged.nature else None,
        "pack": subject.pack,
        "specs": specs,
        "created_at": now,
        "test": envelope.test,
    }


def found_by(row: Claimed | Recorded, outcome: Outcome) -> list[dict[str, Any]]:
    """Return the rows by which a transmission's messages are looked up: `reference:`, `importer:` or `finding:`."""
    return [
        {"term": term, "inbox": row.sequence, "ordinal": judged.message.ordinal}
        for judged in outcome.judged
        for term in sorted(_terms(judged))
    ]


def _terms(judged: Judged) -> set[str]:
    message, envelope = judged.message, judged.message.envelope
    own = message.declaration.text("functional_reference") if message.declaration else None
    terms = {f"reference:{key_of(each)}" for each in (envelope.reference, envelope.message, own) if each}
    terms |= {f"importer:{key_of(each)}" for each in (message.declaration.importers if message.declaration else ())}
    return terms | {f"finding:{each.code}" for each in judged.findings}


def version_row(row: Claimed, judged: Judged, effect: VersionFact) -> dict[str, Any]:
    """Return the row of an accepted version."""
    number = effect.declaration.transaction_number
    if number is None:
        raise ValueError("an effect without a transaction number")
    return {
        "transaction_number": key_of(number),
        "test": effect.test,
        "attempt": effect.attempt,
        "version": effect.version,
        "partner": effect.partner,
        "inbox": row.sequence,
        "ordinal": judged.message.ordinal,
        "nature": effect.nature.value,
        "status": effect.status,
        "declaration": encode_declaration(effect.declaration),
        "accepted_at": effect.accepted_at,
        "payment_due": effect.payment_due,
        "created_by_cbsa": effect.created_by_cbsa,
    }


def outgoing_row(item: Outgoing, sequence: int, now: datetime, ordinal: int | None) -> dict[str, Any]:
    """Return the outbox row of something to be sent."""
    return {
        "id": item.id,
        "inbox": sequence,
        "ordinal": ordinal,
        "kind": item.kind,
        "destination": item.destination,
        "content_type": item.content_type,
        "body": item.body,
        "created_at": now,
        "acknowledgement": "awaited" if item.awaited else None,
    }


def sent_detail(item: Outgoing) -> dict[str, object]:
    """Return what the audit chain keeps of something to be sent."""
    return {"id": item.id, "kind": item.kind, "digest": digest_of(item.body)}


def judged_detail(
    outcome: Outcome, specs: str, told: Sequence[Mapping[str, object]] = (), effects: Effects = NO_EFFECTS
) -> dict[str, object]:
    """Return what the audit chain keeps of a verdict.

    `told` are the rows of its messages, `effects` what it keeps of the versions that they make, by ordinal: a digest
    over each lets it be compared later (`gateway.journal.witness`).
    """
    messages = []
    for place, judged in enumerate(outcome.judged):
        declaration = judged.message.declaration
        ordinal = judged.message.ordinal
        messages.append(
            {
                "ordinal": ordinal,
                "transaction_number": declaration.transaction_number if declaration else None,
                "version": declaration.version if declaration else None,
                "verdict": judged.verdict.value,
                "nature": judged.nature.value if judged.nature else None,
                "findings": sorted({finding.code for finding in judged.findings}),
                **({"digest": digest_over(told[place], VERDICT)} if told else {}),
                **effects.get(ordinal, {}),
            }
        )
    return {"messages": messages, "outgoing": [sent_detail(item) for item in outcome.outgoing], "specs": specs}


def effect_detail(version: Mapping[str, Any]) -> dict[str, object]:
    """Return what the audit chain keeps of the row of an accepted version."""
    due = version["payment_due"]
    return {"effect": digest_over(version, EFFECT), "payment_due": due.isoformat() if due else None}


def digest_over(row: Mapping[Any, Any], names: Iterable[str]) -> str:
    """Return the digest of these columns of a row."""
    return digest_of(dump([row[name] for name in names]).encode())
