"""Settles what stands in a former place: it counts as the element whose place that was (`former_places.csv`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from core.declaration import Commodity, Declaration, Level, Value
from core.specs import Former, Pack


def settling(pack: Pack) -> Callable[[Declaration], Declaration]:
    """Return what settles a declaration read by the pack; one without anything in a former place stays as it is."""
    sources = frozenset(former.source for former in pack.former)

    def settle(declaration: Declaration) -> Declaration:
        if all(level.values.keys().isdisjoint(sources) for _, _, level in declaration.levels()):
            return declaration
        invoices = tuple(
            replace(invoice, values=_settled(invoice, pack.former), commodities=tuple(map(line, invoice.commodities)))
            for invoice in declaration.invoices
        )
        return replace(declaration, values=_settled(declaration, pack.former), invoices=invoices)

    def line(given: Commodity) -> Commodity:
        values = _settled(given, pack.former)
        return given if values is given.values else replace(given, values=values)

    return settle if sources else lambda declaration: declaration


def _settled(level: Level, formers: Iterable[Former]) -> Mapping[str, Value]:
    """Return a level's values, with what its former places hold as the elements that they were of, unless given."""
    values = level.values
    for former in formers:
        value = values.get(former.source)
        if value is None or (former.values and value not in former.values):
            continue
        kept = {name: each for name, each in values.items() if not former.shared or name != former.source}
        values = {former.element: value, **kept}
    return values
