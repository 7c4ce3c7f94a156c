"""Answers in JSON, which need no knowledge of the message: the receipt, and a refusal of what has no syntax at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from core.transmission import Received
from responses.business import Business

CONTENT_TYPE = "application/json"


def receipt(
    received: Received, *, receipt_id: str, reference: str | None = None, head: tuple[int, str] | None = None
) -> tuple[str, bytes]:
    """Return content type and bytes of a receipt: we have it, and this is its digest; no verdict.

    `reference` is the sender's transport reference (its message id on the queue), if any. `head` is number and hash of
    the newest audit link before this: receipts spread it outside the database, where nobody can rewrite it.
    """
    content: dict[str, Any] = {
        "receipt": receipt_id,
        "received": received.id,
        "partner": received.partner,
        "reference": reference,
        "sha256": received.digest,
        "bytes": len(received.body),
        "received_at": received.received_at.isoformat(),
    }
    if head:
        content["audit"] = {"n": head[0], "hash": head[1]}
    return CONTENT_TYPE, _canonical(content)


def refusal(answer: Business) -> bytes:
    """Return a business answer for a sender whose syntax could not be told."""
    content = {
        "answer": answer.id,
        "issued_at": answer.issued.isoformat(),
        "status": answer.kind.status,
        "text": answer.kind.text.speak(answer.language),
        "language": answer.language,
        "findings": [
            {"code": p.code, "severity": p.severity, "text": p.text, "details": list(p.details)} for p in answer.items
        ],
        "findings_total": answer.total,
    }
    return _canonical(content)


_JSON = json.JSONEncoder(sort_keys=True, ensure_ascii=False)


def _canonical(content: Mapping[str, Any]) -> bytes:
    """Write JSON in one form: keys sorted, UTF-8, one line."""
    return _JSON.encode(content).encode("utf-8", "backslashreplace") + b"\n"
