"""What the assessment engine says of a request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from core.findings import Bilingual


class Amounts(NamedTuple):
    """What the assessment engine worked out, for a line or in total, each in Canadian dollars and cents."""

    value_for_duty: Decimal
    customs_duty: Decimal
    anti_dumping: Decimal
    countervailing: Decimal
    surtax: Decimal
    safeguard: Decimal
    excise_duty: Decimal
    excise_tax: Decimal
    value_for_tax: Decimal
    gst: Decimal
    total: Decimal  # all duties and taxes, without interest


class AssessedLine(NamedTuple):
    """One line's duties and taxes; `invoice` and `line` count from 1 as in an Address."""

    invoice: int
    line: int
    amounts: Amounts
    sima_code: str | None = None


class Reason(NamedTuple):
    """Why the engine did not approve; invoice and line 0 mean above them."""

    code: str
    text: Bilingual
    invoice: int = 0
    line: int = 0


@dataclass(frozen=True, slots=True)
class AssessmentResult:
    """The assessment engine's word on one request; `outcome` is approved, pending or refused."""

    message_id: str
    transaction_number: str
    version: str
    outcome: str
    lines: tuple[AssessedLine, ...]
    totals: Amounts
    payment_due: date | None
    reasons: tuple[Reason, ...]
