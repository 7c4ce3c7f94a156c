"""Reads the tables of trade of a specification: its folder `trade`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from core.errors import SpecError
from core.fields import check_codes, read_both, read_confidence, read_day, read_number, read_period
from core.specs import CodeList
from core.tables import Cells, Origin, read_rows
from core.trade import ANY, Entitlement, Measured, Surtax, Trade

SOURCE = ("source_en", "source_fr", "confidence")
ORIGINS = (
    "treatment", "country", "given", "valid_from", "valid_to", "but_not", "in_transit", "exported_from", *SOURCE,
)  # fmt: skip
ORDERS = (
    "order", "schedule", "name_en", "name_fr", "rate", "origins", "not_origins", "valid_from", "valid_to", "in_transit",
    "not_chapters", "kept", "free", "yields_to", "condition_en", "condition_fr", *SOURCE,
)  # fmt: skip
ITEMS = ("order", "schedule", "tariff_item")
UNITS = ("kind", "code", "units", "valid_from", "valid_to", *SOURCE)


def read_trade(root: Path, code_lists: Mapping[str, CodeList]) -> Trade:
    """Return the tables of trade, with the list of countries; raises SpecError for what cannot be used."""
    tariff, excise = _units(root, code_lists)
    listed = code_lists.get("country")
    countries = (
        {code: entries[0].row.get("part_of") or code for code, entries in listed.codes.items()} if listed else {}
    )
    if odd := next((code for code in countries if countries[code] not in countries), None):
        raise SpecError(
            "codes/country.csv", None, f"{odd} is part of {countries[odd]}, which is no country of the list"
        )
    known = frozenset(countries)
    return Trade(_entitlements(root, known, code_lists), _surtaxes(root, known), tariff, excise, countries)


def _entitlements(
    root: Path, countries: frozenset[str], code_lists: Mapping[str, CodeList]
) -> dict[tuple[str, str], tuple[Entitlement, ...]]:
    found: dict[tuple[str, str], tuple[Entitlement, ...]] = {}
    for origin, row in read_rows(root / "trade/treatment_origins.csv", ORIGINS, root=root):
        check_codes({row["treatment"]}, code_lists, "tariff_treatment", origin)
        _known(frozenset({row["country"]}) | _words(row["exported_from"]), countries, origin)
        entitlement = Entitlement(
            given=_yes(row, "given", origin),
            valid=read_period(row, origin, f"{row['treatment']} {row['country']}"),
            but_not=tuple(row["but_not"].replace(".", "").split()),
            in_transit=read_day(row["in_transit"], origin),
            exported_from=_words(row["exported_from"]),
            confidence=_sourced(row, origin),
        )
        key = row["treatment"], row["country"]
        found[key] = (*found.get(key, ()), entitlement)
    return found


def _surtaxes(root: Path, countries: frozenset[str]) -> dict[str, tuple[Surtax, ...]]:
    """Return the surtaxes by tariff item."""
    items: dict[tuple[str, str], set[str]] = defaultdict(set)
    unused: dict[tuple[str, str], Origin] = {}  # schedules that no order names, with the first row of each
    for origin, row in read_rows(root / "trade/surtax_items.csv", ITEMS, root=root):
        item = row["tariff_item"].replace(".", "")
        if len(item) != 8 or not item.isdigit():
            raise SpecError(*origin, f"{row['tariff_item']!r} is no tariff item of eight digits")
        items[row["order"], row["schedule"]].add(item)
        unused.setdefault((row["order"], row["schedule"]), origin)
    found: dict[str, tuple[Surtax, ...]] = {}
    for origin, row in read_rows(root / "trade/surtax_orders.csv", ORDERS, root=root):
        surtax = _surtax(row, origin, items, countries)
        for named in ("schedule", "kept"):
            unused.pop((row["order"], row[named]), None)
        for item in sorted(surtax.items):
            found[item] = (*found.get(item, ()), surtax)
    for (order, schedule), origin in unused.items():
        raise SpecError(*origin, f"no order is {order} {schedule}")
    return found


def _surtax(row: Cells, origin: Origin, items: Mapping[tuple[str, str], set[str]], countries: frozenset[str]) -> Surtax:
    """Return one row of surtax_orders.csv; one whose schedule is not at hand has no items."""
    origins, not_origins = _words(row["origins"]), _words(row["not_origins"])
    _known(origins | not_origins, countries, origin)
    kept = items.get((row["order"], row["kept"]), set()) if row["kept"] else set()
    if row["kept"] and not kept:
        raise SpecError(*origin, f"surtax_items.csv has no {row['kept']} of {row['order']}")
    return Surtax(
        order=row["order"],
        name=read_both(row, "name", origin, row["order"]),
        rate=read_number(row, "rate", origin) or Decimal(0),
        items=frozenset(items.get((row["order"], row["schedule"]), ())),
        origins=origins,
        not_origins=not_origins,
        valid=read_period(row, origin, row["order"]),
        in_transit=read_day(row["in_transit"], origin),
        not_chapters=tuple(row["not_chapters"].split()),
        kept=frozenset(item[:4] for item in kept),
        free=read_number(row, "free", origin),
        yields_to=_words(row["yields_to"]),
        condition=read_both(row, "condition", origin, row["order"], needed=False),
        source=read_both(row, "source", origin, row["order"]),
        confidence=read_confidence(row, origin),
    )


def _units(
    root: Path, code_lists: Mapping[str, CodeList]
) -> tuple[dict[str, tuple[Measured, ...]], dict[str, tuple[Measured, ...]]]:
    """Return the units by the start of a classification number, and by excise code."""
    found: dict[str, dict[str, tuple[Measured, ...]]] = {"tariff": {}, "excise": {}}
    for origin, row in read_rows(root / "trade/units.csv", UNITS, root=root):
        if row["kind"] not in found:
            raise SpecError(*origin, f"the kind is tariff or excise, not {row['kind']!r}")
        code = row["code"].replace(".", "")
        if row["kind"] == "tariff" and not (code.isdigit() and 4 <= len(code) <= 10):
            raise SpecError(*origin, f"{row['code']!r} is no start of a classification number, four digits or more")
        if row["kind"] == "excise":
            check_codes({code}, code_lists, "excise_code", origin)
        check_codes(row["units"].split(), code_lists, "unit", origin)
        _sourced(row, origin)
        measured = Measured(_words(row["units"]), read_period(row, origin, code))
        if not measured.units:
            raise SpecError(*origin, f"{row['code']} has no units")
        found[row["kind"]][code] = (*found[row["kind"]].get(code, ()), measured)
    return found["tariff"], found["excise"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _known(given: frozenset[str], countries: frozenset[str], origin: Origin) -> None:
    """Raise SpecError for what is no country of the list."""
    if odd := sorted(given - countries - {ANY}):
        raise SpecError(*origin, f"{odd[0]} is no country of the list")


def _yes(row: Cells, column: str, origin: Origin) -> bool:
    """Return what a column says with yes or no; nothing is no."""
    if row[column] not in ("yes", "no", ""):
        raise SpecError(*origin, f"{column} is yes or no, not {row[column]!r}")
    return row[column] == "yes"


def _sourced(row: Cells, origin: Origin) -> str:
    """Return how sure a row is; raises SpecError if it names no source."""
    read_both(row, "source", origin, "the row")
    return read_confidence(row, origin)
