"""Values for tests: declarations that every check accepts, and the facts around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from core.calendar import Period
from core.declaration import Commodity, Declaration, Invoice, MessageType, Nature, Value, VersionFact
from core.findings import Fault
from core.loading import load
from core.partner import Partner
from core.register import Facts, Register, nature_of
from core.specs import Pack, Specs
from core.transmission import Received
from gateway.trade.maker import beside_reasons
from validators.rulebook import Rulebook, apply_rules

SPECS = load(Path(__file__).parents[2] / "eccrd_specs")
DECLARATION = next(pack for pack in SPECS.packs if MessageType.DECLARATION in pack.types.values())
CORRECTION = next(pack for pack in SPECS.packs if MessageType.CORRECTION in pack.types.values())

NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
NUMBER = "12345000000012"
IMPORTER = "123456782RM0001"

WAREHOUSE_IN = {"10", "13"}
EX_WAREHOUSE = {"20", "21", "22", "30"}


def valid_declaration(cad_type: str = "AB", lines: int = 2, **changes: Value | None) -> Declaration:
    """Return an original declaration that passes every check without a warning, with the changes applied.

    A change goes to the level of its element: the declaration, the first invoice or its first line. None removes.
    """
    top: dict[str, Value] = {
        "function_code": "9",
        "functional_reference": "REF-1",
        "transaction_number": NUMBER,
        "version": "00001",
        "cad_type": cad_type,
        "accounting_date": date(2026, 11, 20),
        "office": "0497",
        "transport_mode": "2",
        "importer_bn": IMPORTER,
    }
    if cad_type != "V":
        top["release_date"] = date(2026, 11, 18)
    if cad_type in WAREHOUSE_IN:
        top["warehouse_in"] = "0497W123"
    if cad_type in EX_WAREHOUSE | {"13"}:
        top["warehouse_transaction"] = "12345000000023"
        top["warehouse_out"] = "0497W456"
    invoice: dict[str, Value] = {
        "vendor_name": "Northern Parts Inc.",
        "invoice_number": "INV-1",
        "invoice_value": Decimal(150) * lines,
        "invoice_currency": "CAD",
    }
    rows = [
        {
            "line_number": Decimal(j),
            "classification": "8431490000",
            "description": "Steel frames",
            "quantity": Decimal(10),
            "unit": "KGM",
            "origin": "US",
            "export_place": "US",
            "tariff_treatment": "10",
            "direct_shipment_date": date(2026, 9, 1),
            "value_for_currency_conversion": Decimal(150),
            "currency": "CAD",
            "vfd_code": "13",
        }
        for j in range(1, lines + 1)
    ]
    places = {"declaration": top, "invoice": invoice, "commodity": rows[0] if rows else {}}
    for name, value in changes.items():
        level = places[CORRECTION.elements[name].level]
        if value is None:
            level.pop(name, None)
        else:
            level[name] = value
    return Declaration(top, invoices=(Invoice(invoice, commodities=tuple(Commodity(row) for row in rows)),))


def valid_change(cad_type: str = "AB", lines: int = 2, **changes: Value | None) -> Declaration:
    """Return a change to `valid_declaration(cad_type, lines)` that passes every check without a warning."""
    changed = {
        "function_code": "4",
        "version": "00002",
        "description": "Steel frames, welded",
        "reason_code_1": "R5-00-COT",
        **changes,
    }
    return valid_declaration(cad_type, lines, **changed, **beside_reasons(changed))


def withdraw_request(**changes: Value | None) -> Declaration:
    """Return a withdraw request for `valid_declaration()`."""
    values: dict[str, Any] = {
        "function_code": "1",
        "transaction_number": NUMBER,
        "version": "00001",
        "importer_bn": IMPORTER,
        "reason_code_1": "R5-00-COT",
        **changes,
    }
    return Declaration({name: value for name, value in values.items() if value is not None})


def with_lines(declaration: Declaration, *lines: Mapping[str, Value | None]) -> Declaration:
    """Return the declaration with the changes applied to the lines of its first invoice, in order (None removes)."""
    first = declaration.invoices[0]
    rows = list(first.commodities)
    for j, changes in enumerate(lines):
        values = {**rows[j].values, **changes}
        rows[j] = replace(rows[j], values={name: value for name, value in values.items() if value is not None})
    invoice = replace(first, commodities=tuple(rows))
    return replace(declaration, invoices=(invoice, *declaration.invoices[1:]))


def partner(**changes: Any) -> Partner:
    """Return a broker with authority for `IMPORTER`."""
    given: dict[str, Any] = {
        "id": "broker-a",
        "name": "Broker A",
        "envelopes": ("BROKERA",),
        "answer_queue": "answers.broker-a",
        "authorities": {IMPORTER: (Period(date(2025, 1, 1), None),)},
        **changes,
    }
    return Partner(**given)


def version_fact(declaration: Declaration, **changes: Any) -> VersionFact:
    """Return the journal's memory of an accepted declaration, due 2026-12-01."""
    given: dict[str, Any] = {
        "version": int(declaration.version or "1"),
        "partner": "broker-a",
        "nature": Nature.ORIGINAL,
        "status": "assessed",
        "declaration": declaration,
        "accepted_at": datetime(2026, 11, 20, 15, 0, tzinfo=UTC),
        "payment_due": date(2026, 12, 31),
        "attempt": int(declaration.version or "1"),
        **changes,
    }
    return VersionFact(**given)


def facts(*history: VersionFact, **changes: Any) -> Facts:
    """Return the facts on 2026-11-23 for the broker, with the history of `NUMBER`."""
    given: dict[str, Any] = {
        "partner": partner(),
        "register": Register({NUMBER: history} if history else {}),
        **changes,
    }
    return Facts(**given)


def ruled(
    kind: MessageType, declaration: Declaration, given: Facts, pack: Pack, specs: Specs = SPECS, now: datetime = NOW
) -> list[Fault]:
    """Return what the pack's rules find in a declaration that is received at a moment."""
    return apply_rules(kind, declaration, given.register, Received("1", "broker-a", b"", now), Rulebook(pack, specs))


def nature(kind: MessageType, declaration: Declaration, given: Facts, now: datetime = NOW) -> Nature:
    """Return what a message is in law by what is on file."""
    return nature_of(kind, given.register.history(declaration.transaction_number), declaration, now, SPECS.calendar)
