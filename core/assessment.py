"""What the assessment engine says of a request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from core.declaration import Declaration
from core.errors import GatewayError
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
    """One line's duties and taxes; `invoice` and `line` are as in an Address, or as the request calls them."""

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
    """The assessment engine's word on one request; `outcome` is approved, pending or refused.

    `named` tells that it calls lines by the numbers of the request (contract 1.1), not by their positions.
    """

    message_id: str
    transaction_number: str
    version: str
    outcome: str
    lines: tuple[AssessedLine, ...]
    totals: Amounts
    payment_due: date | None
    reasons: tuple[Reason, ...]
    named: bool = False

    def by_position(self, declaration: Declaration | None) -> AssessmentResult:
        """Return the result with each line by its position in the declaration that the request was about.

        Raises GatewayError, one line, for a line that the request did not have.
        """
        if not self.named:
            return self
        invoices = declaration.invoices if declaration else ()
        places = {
            (i, number): (i, j)
            for i, invoice in enumerate(invoices, 1)
            for j, number in enumerate(invoice.line_numbers, 1)
        }
        places |= {(i, 0): (i, 0) for i in range(len(invoices) + 1)}

        def place(invoice: int, line: int) -> tuple[int, int]:
            if (invoice, line) not in places:
                raise GatewayError(f"assessment result: invoice {invoice} of the request has no line {line}")
            return places[invoice, line]

        return replace(
            self,
            lines=tuple(AssessedLine(*place(each.invoice, each.line), *each[2:]) for each in self.lines),
            reasons=tuple(Reason(*each[:2], *place(each.invoice, each.line)) for each in self.reasons),
            named=False,
        )
