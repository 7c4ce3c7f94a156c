"""Declarations and findings as canonical JSON for the journal: keys sorted, no blanks, ASCII, types kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, overload

import msgspec

from core.declaration import Commodity, Declaration, Invoice, Level, Unreadable, Value
from core.envelope import Envelope
from core.findings import Finding

_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def dump(value: object) -> str:
    """Return the one JSON text of a value made of dicts, lists, texts, integers, booleans and None.

    ASCII, so that every text that Python can hold can be stored, NUL and lone surrogates included.
    """
    return _JSON.encode(value)


def undump(text: str) -> Any:
    """Return what a JSON text says; raises json.JSONDecodeError for a damaged one."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:  # damaged, or a lone surrogate, which only Python's own reader takes
        return json.loads(text)


def encode_declaration(declaration: Declaration) -> str:
    """Return the declaration as canonical JSON that `decode_declaration` reads back to an equal value."""
    return dump(
        _level(declaration)
        | {
            "invoices": [
                _level(invoice) | {"commodities": [_level(commodity) for commodity in invoice.commodities]}
                for invoice in declaration.invoices
            ]
        }
    )


class _Stored(msgspec.Struct):
    """A declaration's text, its invoices not looked into."""

    invoices: msgspec.Raw
    values: dict[str, Any]
    more: dict[str, list[Any]] = {}


_STORED = msgspec.json.Decoder(_Stored)


class Invoices(Sequence[Invoice]):
    """The invoices of a stored declaration, read when first asked for; equal to the tuple of them.

    What its asker may not know of, and versions that nobody compares, cost no time by their length (DECISIONS D67).
    """

    __slots__ = ("_read", "_text")

    def __init__(self, text: bytes | msgspec.Raw) -> None:
        self._text = text
        self._read: tuple[Invoice, ...] | None = None

    def _every(self) -> tuple[Invoice, ...]:
        if self._read is None:
            self._read = tuple(
                Invoice(
                    *_read_level(invoice),
                    commodities=tuple(Commodity(*_read_level(commodity)) for commodity in invoice["commodities"]),
                )
                for invoice in json.loads(bytes(self._text))
            )
        return self._read

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._every())

    @overload
    def __getitem__(self, at: int) -> Invoice: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Invoice, ...]: ...
    def __getitem__(self, at: int | slice) -> Invoice | tuple[Invoice, ...]:
        """Return one of them, or some."""
        return self._every()[at]

    def __eq__(self, other: object) -> bool:
        """Tell whether the other has the same invoices."""
        return self._every() == tuple(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as a tuple of dictionaries has none

    def __repr__(self) -> str:
        """Return what a tuple of them shows."""
        return repr(self._every())


def decode_declaration(text: str) -> Declaration:
    """Return the declaration that `encode_declaration` wrote; its invoices are read when they are asked for."""
    try:
        stored = _STORED.decode(text)
    except msgspec.DecodeError:  # half a surrogate pair, which JSON takes as we write it
        content = json.loads(text)
        return Declaration(*_read_level(content), invoices=Invoices(dump(content["invoices"]).encode()))
    content = {"values": stored.values, "more": stored.more}
    return Declaration(*_read_level(content), invoices=Invoices(stored.invoices))


def encode_envelope(envelope: Envelope) -> str:
    """Return what a message's envelope says as canonical JSON."""
    return dump({name: getattr(envelope, name) for name in Envelope.__dataclass_fields__})


def encode_findings(findings: Iterable[Finding]) -> str:
    """Return findings as canonical JSON: what the sender was told, and where it stands in the sender's bytes."""
    return dump([_finding(finding) for finding in findings])


def _finding(finding: Finding) -> dict[str, object]:
    """Return one finding as JSON values; of the place only what applies."""
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "text_en": finding.text.en,
        "text_fr": finding.text.fr,
        "place": {
            name: getattr(finding.place, name)
            for name in finding.place.__dataclass_fields__
            if getattr(finding.place, name) is not None
        },
        "value": finding.value,
        "expected": finding.expected,
        "source_en": finding.source.en,
        "source_fr": finding.source.fr,
        "syntax_error": finding.syntax_error,
        "service_segment": finding.service_segment,
    }


def _level(level: Level) -> dict[str, object]:
    """Return the elements of one level as JSON values."""
    content: dict[str, object] = {
        "values": {name: value if type(value) is str else _value(value) for name, value in level.values.items()}
    }
    if level.more:
        content["more"] = {name: [_value(value) for value in values] for name, values in level.more.items()}
    return content


def _read_level(content: Mapping[str, Any]) -> tuple[dict[str, Value], dict[str, tuple[Value, ...]]]:
    """Return the values and the further occurrences of one level."""
    return (
        {name: _read_value(value) for name, value in content["values"].items()},
        {name: tuple(map(_read_value, values)) for name, values in content.get("more", {}).items()},
    )


def _value(value: Value) -> object:
    """Return a text as itself, every other kind as an object that names it."""
    if isinstance(value, Unreadable):
        return {"unreadable": str(value)}
    if isinstance(value, Decimal):
        return {"number": str(value)}
    return {"date": value.isoformat()} if isinstance(value, date) else value


def _read_value(content: Any) -> Value:
    """Return the typed value."""
    if isinstance(content, str):
        return content
    ((kind, text),) = content.items()
    if kind == "number":
        return Decimal(text)
    return date.fromisoformat(text) if kind == "date" else Unreadable(text)
