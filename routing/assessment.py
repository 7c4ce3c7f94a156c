"""The contract with the assessment engine: requests and results as JSON, validated by their published schemas."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from core.assessment import Amounts, AssessedLine, AssessmentResult, Reason
from core.declaration import Level, Unreadable, Value
from core.errors import GatewayError
from core.findings import Bilingual
from core.transmission import Judged

# Requests of 1.0 named no line: its results count lines by position, and may still come.
CONTRACT = "1.1"
HERE = Path(__file__).parent


def _validator(name: str) -> Draft202012Validator:
    """Compile a published schema."""
    return Draft202012Validator(json.loads((HERE / name).read_text("utf-8")))


REQUEST = _validator("assessment_request.schema.json")
RESULT = _validator("assessment_result.schema.json")


def build_request(judged: Judged, *, message_id: str, partner: str, requested_at: datetime) -> bytes:
    """Return the assessment request for an accepted message: canonical JSON, the same bytes for the same input.

    `message_id` is the stable id that the result repeats; `requested_at` must be aware. Raises GatewayError when the
    message was not accepted: without nature, declaration, transaction number or version there is nothing to assess.
    """
    declaration, nature = judged.message.declaration, judged.nature
    if declaration is None or nature is None or not declaration.transaction_number or not declaration.version:
        raise GatewayError(f"assessment request {message_id}: the message was not accepted")
    due = judged.effect.payment_due if judged.effect else None
    return _canonical(
        {
            "contract": CONTRACT,
            "message_id": message_id,
            "test": judged.message.envelope.test,
            "type": judged.message.type.value,
            "nature": nature.value,
            "partner": partner,
            "reference": declaration.text("functional_reference"),
            "transaction_number": declaration.transaction_number,
            "version": declaration.version,
            "requested_at": requested_at.isoformat(),
            "payment_due": due.isoformat() if due else None,
            "declaration": {
                "elements": _elements(declaration),
                "invoices": [
                    {
                        "number": number,
                        "elements": _elements(invoice),
                        "lines": [
                            {"number": called, "elements": _elements(line)}
                            for called, line in zip(invoice.line_numbers, invoice.commodities, strict=True)
                        ],
                    }
                    for number, invoice in enumerate(declaration.invoices, 1)
                ],
            },
        }
    )


def read_request(body: bytes) -> dict[str, Any]:
    """Return a request's content; raise GatewayError, one line, when it breaks the published schema."""
    return _read(body, REQUEST, "assessment request")


def write_result(result: Mapping[str, Any]) -> bytes:
    """Return a result as canonical JSON."""
    return _canonical(result)


def read_result(body: bytes) -> AssessmentResult:
    """Return the engine's result, typed; raise GatewayError, one line, when it breaks the published schema."""
    content = _read(body, RESULT, "assessment result")
    try:
        due = date.fromisoformat(content["payment_due"]) if content["payment_due"] else None
    except ValueError:
        raise GatewayError(f"assessment result: payment_due: {content['payment_due']!r} is no calendar day") from None
    return AssessmentResult(
        message_id=content["message_id"],
        transaction_number=content["transaction_number"],
        version=content["version"],
        outcome=content["outcome"],
        lines=tuple(
            AssessedLine(line["invoice"], line["line"], _amounts(line["amounts"]), line.get("sima_code"))
            for line in content["lines"]
        ),
        totals=_amounts(content["totals"]),
        payment_due=due,
        reasons=tuple(
            Reason(
                reason["code"],
                Bilingual(reason["text_en"], reason["text_fr"]),
                reason.get("invoice", 0),
                reason.get("line", 0),
            )
            for reason in content["reasons"]
        ),
        named=content["contract"] != "1.0",
    )


def _canonical(content: Mapping[str, Any]) -> bytes:
    """Write JSON in its one form: keys sorted, no blanks, UTF-8, amounts as decimal strings, days as ISO dates."""
    return msgspec.json.encode(content, order="sorted")


def _elements(level: Level) -> dict[str, Value | list[Value]]:
    """Return a level's readable elements, an array where one repeats."""
    given: dict[str, Value | list[Value]] = {
        name: value for name, value in level.values.items() if type(value) is not Unreadable
    }
    for name in level.more:
        readable = [value for value in level.all(name) if not isinstance(value, Unreadable)]
        if readable:
            given[name] = readable[0] if len(readable) == 1 else readable
    return given


def _read(body: bytes, validator: Draft202012Validator, what: str) -> dict[str, Any]:
    """Parse JSON and validate it by a schema."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise GatewayError(f"{what}: not JSON: {str(error)[:200]}") from error
    fault = best_match(validator.iter_errors(content))
    if fault is not None:
        place = ".".join(str(step) for step in fault.absolute_path) or "the whole"
        raise GatewayError(f"{what}: {place}: {' '.join(fault.message.split())[:200]}")
    return dict(content)


def _amounts(texts: Mapping[str, str]) -> Amounts:
    """Type the amounts of a line or of the totals."""
    return Amounts(**{name: Decimal(texts[name]) for name in Amounts._fields})
