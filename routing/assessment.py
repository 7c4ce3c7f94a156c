"""The contract with the assessment engine: requests and results as JSON, validated by their published schemas."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from core.assessment import Amounts, AssessedLine, AssessmentResult, Reason
from core.declaration import Level, Unreadable, Value
from core.errors import GatewayError
from core.findings import Bilingual
from core.text import printable
from core.transmission import Judged

# Requests of 1.0 named no line: its results count lines by position, and may still come.
CONTRACT, POSITIONS = "1.1", "1.0"
HERE = Path(__file__).parent

# How far a payment due date may be from the day of the request; four years are open to changes.
DUE_YEARS = 10

NIL = Amounts(*(Decimal(0) for _ in Amounts._fields))


@functools.cache
def _validator(name: str) -> Any:
    """Compile a published schema, when it is first needed: most commands never read the engine's words."""
    from jsonschema import Draft202012Validator, ValidationError
    from jsonschema.validators import extend

    def pattern(_validator: Any, pattern: str, value: object, _schema: object) -> Iterator[ValidationError]:
        """Hold a text to a pattern as JSON Schema means it: `$` is its end, where Python's lets a line break follow."""
        if isinstance(value, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), value):
            yield ValidationError(f"{value[:100]!r} does not match {pattern!r}")

    strict = extend(Draft202012Validator, {"pattern": pattern})  # type: ignore[no-untyped-call]
    return strict(json.loads((HERE / name).read_text("utf-8")))


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
    return _read(body, "request")


def write_result(result: Mapping[str, Any]) -> bytes:
    """Return a result as canonical JSON."""
    return _canonical(result)


def read_result(body: bytes) -> AssessmentResult:
    """Return the engine's result, typed; raise GatewayError, one line, when it breaks the published schema."""
    content = _read(body, "result")
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
            AssessedLine(int(line["invoice"]), int(line["line"]), _amounts(line["amounts"]), line.get("sima_code"))
            for line in content["lines"]
        ),
        totals=_amounts(content["totals"]),
        payment_due=due,
        reasons=tuple(
            Reason(
                printable(reason["code"], "?"),
                Bilingual(printable(reason["text_en"]), printable(reason["text_fr"])),
                int(reason.get("invoice", 0)),
                int(reason.get("line", 0)),
            )
            for reason in content["reasons"]
        ),
        named=content["contract"] != POSITIONS,
    )


def compare(result: AssessmentResult, request: bytes) -> None:
    """Raise GatewayError, one line, where a result is not about what its request asked.

    `request` is what `build_request` returned. Contract, number and version are the request's; there is a line for
    each of its lines, in any order, or none, with which nothing is approved but a withdrawal; the totals are their
    sums; a reason is about a line that there is; and the payment due date lies within DUE_YEARS.
    """
    asked = msgspec.json.decode(request)
    for name, got in (("transaction_number", result.transaction_number), ("version", result.version)):
        if got != asked[name]:
            raise _misfit(f"{name} is {got}, its request has {asked[name]}")
    if result.named is not (asked["contract"] != POSITIONS):
        raise _misfit(f"its contract is not {asked['contract']}, that of its request")
    lines = _lines_of(asked, named=result.named)
    _compare_lines(result, lines, optional=result.outcome != "approved" or asked["nature"] == "withdrawal")
    totals = Amounts(
        *(sum(column, Decimal(0)) for column in zip(NIL, *(each.amounts for each in result.lines), strict=True))
    )
    if totals != result.totals:
        name = next(n for n in Amounts._fields if getattr(totals, n) != getattr(result.totals, n))
        raise _misfit(f"totals.{name} is {getattr(result.totals, name)}, its lines add up to {getattr(totals, name)}")
    places = {(0, 0), *((invoice, 0) for invoice, _ in lines), *lines}
    for reason in result.reasons:
        if (reason.invoice, reason.line) not in places:
            raise _misfit(f"a reason is about line {reason.line} of invoice {reason.invoice}")
    day = datetime.fromisoformat(asked["requested_at"]).date()
    if result.payment_due and abs(result.payment_due.year - day.year) > DUE_YEARS:
        raise _misfit(f"payment_due is {result.payment_due}, its request is of {day}")


def _lines_of(asked: Mapping[str, Any], *, named: bool) -> list[tuple[int, int]]:
    """Return (invoice, line) of each line of a request: by the numbers that it gives them, or by their positions."""
    return [
        (invoice.get("number", i) if named else i, line.get("number", j) if named else j)
        for i, invoice in enumerate(asked["declaration"]["invoices"], 1)
        for j, line in enumerate(invoice["lines"], 1)
    ]


def _compare_lines(result: AssessmentResult, lines: list[tuple[int, int]], *, optional: bool) -> None:
    """Raise GatewayError unless the result has each of these lines once, in any order, or (optional) none."""
    if optional and not result.lines:
        return
    told = [(each.invoice, each.line) for each in result.lines]
    known = set(lines)
    if strange := next((each for each in told if each not in known), None):
        raise _misfit(f"invoice {strange[0]} of the request has no line {strange[1]}")
    if sorted(told) != sorted(lines):
        raise _misfit(f"its {len(told)} lines are not the {len(lines)} of its request, each once")


def _misfit(what: str) -> GatewayError:
    return GatewayError(f"assessment result: does not fit its request: {what}")


def _canonical(content: Mapping[str, Any]) -> bytes:
    """Write JSON in its one form: keys sorted, no blanks, UTF-8, amounts as decimal strings, days as ISO dates."""
    return msgspec.json.encode(content, order="sorted")


def _elements(level: Level) -> Mapping[str, Value | list[Value]]:
    """Return a level's readable elements, an array where one repeats."""
    if not level.more and Unreadable not in map(type, level.values.values()):
        return level.values
    given: dict[str, Value | list[Value]] = {
        name: value for name, value in level.values.items() if type(value) is not Unreadable
    }
    for name in level.more:
        readable = [value for value in level.all(name) if not isinstance(value, Unreadable)]
        if readable:
            given[name] = readable[0] if len(readable) == 1 else readable
    return given


def _read(body: bytes, kind: str) -> dict[str, Any]:
    """Parse JSON and validate it by the published schema of its kind."""
    from jsonschema.exceptions import best_match

    what = f"assessment {kind}"
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise GatewayError(f"{what}: not JSON: {printable(str(error)[:200])}") from error
    fault = best_match(_validator(f"assessment_{kind}.schema.json").iter_errors(content))
    if fault is not None:
        place = ".".join(str(step) for step in fault.absolute_path)[:100] or "the whole"
        raise GatewayError(f"{what}: {printable(place)}: {printable(' '.join(fault.message.split())[:200])}")
    return dict(content)


def _amounts(texts: Mapping[str, str]) -> Amounts:
    """Type the amounts of a line or of the totals."""
    return Amounts(**{name: Decimal(texts[name]) for name in Amounts._fields})
