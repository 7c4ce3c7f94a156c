"""Messages of two partners, what the journal holds of them, and a clock that a test may move on."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from core.envelope import Envelope
from gateway import service
from gateway.trade.writer import write_edifact, write_xml
from tests.support.builders import DECLARATION, valid_declaration
from tests.support.house import House
from tests.support.way import SAMPLES
from validators.rules import check_digit_of

ORIGINAL = (SAMPLES / "originals/v-voluntary.edi").read_bytes()
CHANGE = (SAMPLES / "changes/v-correction.edi").read_bytes()


class Clock:
    """The present moment, which a test may move on."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return REAL_NOW() + self.ahead


REAL_NOW = service.now


def edifact(reference: str, transaction: str, **changes: Any) -> bytes:
    """Write an original declaration of maple's under an interchange reference."""
    given = valid_declaration(transaction_number=transaction, **changes)
    envelope = Envelope("MAPLEBROKER", "CARMGATEWAY", reference)
    return write_edifact([given], DECLARATION, envelope, prepared=REAL_NOW())


def xml(reference: str, transaction: str, **changes: Any) -> bytes:
    """Write an original declaration of érable's under a metadata reference."""
    envelope = Envelope("ERABLECOURTIER", "CARMGATEWAY", reference)
    return write_xml(valid_declaration(transaction_number=transaction, **changes), DECLARATION, envelope)


def number(sequence: int, account: str = "12345") -> str:
    """Return a transaction number of maple's, or of another account, with its check digit."""
    thirteen = f"{account}{sequence:08}"
    return thirteen + check_digit_of(thirteen)


def messages(gateway: House, partner: str = "maple") -> list[dict[str, Any]]:
    """Return what the journal holds of a partner's transmissions, oldest first."""
    return list(reversed(gateway.journal.list_messages(partner=partner, limit=200)))


def codes(gateway: House, row: dict[str, Any]) -> list[str]:
    life = gateway.journal.show(row["id"])
    assert life is not None
    return [finding["code"] for message in life["messages"] for finding in message["findings"]]
