"""Checks of goods against the tables of trade: origins of tariff treatments, surtaxes, units, retired codes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from core.declaration import Commodity, Declaration
from core.findings import Fault
from core.trade import Goods, Surtax
from validators.checks import Bound, Context, Role, check
from validators.elements import listed_on
from validators.parameters import Setting, choice, named, nothing, parts, whole, word, words
from validators.rules import OK

RELEASED = Role("release_date", "declaration", "date")
ACCOUNTED = Role("accounting_date", "declaration", "date")
SHIPPED = Role("direct_shipment_date", "commodity", "date")
CLASSIFICATION = Role("classification", "commodity")
TARIFF_CODE = Role("tariff_code", "commodity")
ORIGIN = Role("origin", "commodity")
EXPORT_PLACE = Role("export_place", "commodity")
VALUE = Role("value_for_currency_conversion", "commodity", "number")
CURRENCY = Role("currency", "commodity")
EXCISE = Role("excise_code", "commodity")

GOODS = (RELEASED, ACCOUNTED, SHIPPED, CLASSIFICATION, TARIFF_CODE, ORIGIN, EXPORT_PLACE)
Parts = tuple[tuple[re.Pattern[str], str], ...]


def _day(context: Context, bound: Bound) -> date:
    """Return the day of release; where it is not known that of accounting, else that of receipt."""
    declaration = context.declaration
    return declaration.day(bound[RELEASED]) or declaration.day(bound[ACCOUNTED]) or context.today


def _goods(line: Commodity, context: Context, bound: Bound, places: Parts) -> Goods:
    """Return what the tables of trade ask about a line; `places` are parts of countries, and which these are."""
    return Goods(
        classification=line.text(bound[CLASSIFICATION]) or "",
        tariff_code=line.text(bound[TARIFF_CODE]) or "",
        origin=_country(line.text(bound[ORIGIN]) or "", places),
        exported_from=_country(line.text(bound[EXPORT_PLACE]) or "", places),
        released=_day(context, bound),
        shipped=line.day(bound[SHIPPED]),
    )


@lru_cache(maxsize=1024)
def _country(place: str, places: Parts) -> str:
    """Return the country that a place belongs to."""
    return next((country for shape, country in places if shape.fullmatch(place)), place)


# ---------------------------------------------------------------------------------------- origins


class Origins(NamedTuple):
    """`entries` to tell of: those of `high` confidence, or the `other` ones; `parts` are origins within a country."""

    entries: str
    parts: Parts


@check(
    of="text",
    reads=GOODS,
    needs=(ORIGIN,),
    columns=("name_en", "name_fr"),
    on_list_day=True,
    prepare=named(Origins, entries=choice("high", "other"), parts=parts),
)
def treatment_origin(line: Commodity, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require an origin that the tariff treatment is for on the day of release (`trade/treatment_origins.csv`).

    What is not in the list of treatments is that list's own finding.
    """
    wanted: Origins = bound.parameter
    code, origin = line.text(bound.element), line.text(bound[ORIGIN])
    if code is None or origin is None or context.specs.trade.is_ever_for(code, _country(origin, wanted.parts)):
        return OK
    day = listed_on(context.pack.elements[bound.element], line, context.declaration)
    entry = bound.codes.find(code, day) if bound.codes else None
    if entry is None:
        return OK
    goods = _goods(line, context, bound, wanted.parts)
    sure = context.specs.trade.withheld(code, goods)
    if sure is None or (sure == "high") != (wanted.entries == "high"):
        return OK
    allowed = context.specs.trade.beneficiaries(code, goods)
    details = {
        "origin": origin,
        "treatment_en": entry.name.en,
        "treatment_fr": entry.name.fr,
        "place": line.text(bound[EXPORT_PLACE]) or "—",
        "day": str(goods.released),
    }
    return (bound.fault(expected=" ".join(allowed) or None, details=details),)


# ---------------------------------------------------------------------------------------- surtaxes


class SurtaxWatch(NamedTuple):
    """Indicators that say a line is `subject`, `parts` of countries, and the currency of the orders' amounts."""

    subject: frozenset[str]
    parts: Parts
    currency: str


@check(
    "declaration",
    presence="any",
    of="text",
    at="commodity",
    reads=(*GOODS, VALUE, CURRENCY),
    prepare=named(SurtaxWatch, subject=words, parts=parts, currency=word),
)
def surtax_watch(declaration: Declaration, context: Context, bound: Bound) -> Iterator[Fault]:
    """Require the indicator where number, origin and day of a line stand in an order's schedule (`trade/surtax_*.csv`).

    An order with an exempt total is left out where its goods, on the whole declaration, are worth no more.
    """
    wanted: SurtaxWatch = bound.parameter
    trade, classification = context.specs.trade, bound[CLASSIFICATION]
    reached: list[tuple[int, int, Commodity, Goods, tuple[Surtax, ...]]] = []
    for i, j, line in declaration.lines():
        number = line.text(classification)
        if number is not None and number[:8] in trade.surtaxes:
            goods = _goods(line, context, bound, wanted.parts)
            reached.append((i, j, line, goods, trade.surtaxes_on(goods)))
    exempt = _exempt(((line, each) for _, _, line, _, orders in reached for each in orders), bound, wanted.currency)
    for i, j, line, goods, orders in reached:
        due = [each for each in orders if each.order not in exempt]
        if due and line.text(bound.element) not in wanted.subject:
            details = {
                "classification": goods.classification,
                "origin": line.text(bound[ORIGIN]) or "—",
                "day": str(goods.released),
                "orders_en": "; ".join(_words(each, "en") for each in due),
                "orders_fr": "; ".join(_words(each, "fr") for each in due),
            }
            expected = " ".join(sorted(wanted.subject))
            yield bound.fault(value=line.text(bound.element), expected=expected, details=details, invoice=i, line=j)


def _words(surtax: Surtax, language: str) -> str:
    """Return an order with its rate, and what it rests on beside number, origin and day."""
    said = f"{surtax.name.speak(language)}, {surtax.rate:f} %"
    condition = surtax.condition.speak(language)
    return f"{said}, {condition}" if condition else said


def _exempt(lines: Iterable[tuple[Commodity, Surtax]], bound: Bound, currency: str) -> set[str]:
    """Return the orders whose goods, all together, are worth no more than is free; in another currency nobody knows."""
    totals: dict[str, Decimal | None] = defaultdict(Decimal)
    free: dict[str, Decimal] = {}
    for line, surtax in lines:
        if surtax.free is None:
            continue
        free[surtax.order] = surtax.free
        so_far, amount = totals[surtax.order], line.amount(bound[VALUE])
        known = so_far is not None and amount is not None and line.text(bound[CURRENCY]) == currency
        totals[surtax.order] = so_far + amount if known and so_far is not None and amount is not None else None
    return {order for order, total in totals.items() if total is not None and total <= free[order]}


# ---------------------------------------------------------------------------------------- units, codes, numbers


@check(of="text", reads=(CLASSIFICATION, RELEASED, ACCOUNTED), needs=(CLASSIFICATION,))
def unit_of_tariff(line: Commodity, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require the unit of the classification number, where `trade/units.csv` knows it."""
    number = line.text(bound[CLASSIFICATION])
    if number is None or number[:4] not in context.specs.trade.headings:
        return OK
    return _unit(line, bound, context.specs.trade.units_of(number, _day(context, bound)), number)


@check(of="text", reads=(EXCISE, RELEASED, ACCOUNTED), needs=(EXCISE,))
def unit_of_excise(line: Commodity, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require the unit of the excise code, where `trade/units.csv` knows it."""
    code = line.text(bound[EXCISE])
    units = context.specs.trade.excise_units_of(code, _day(context, bound)) if code else frozenset[str]()
    return _unit(line, bound, units, code)


def _unit(line: Commodity, bound: Bound, units: frozenset[str], by: str | None) -> Iterable[Fault]:
    unit = line.text(bound.element)
    if unit is None or by is None or not units or unit in units:
        return OK
    return (bound.fault(expected=" ".join(sorted(units)), details={"by": by}),)


def _retired(text: str, setting: Setting) -> frozenset[str]:
    """Return the codes of the element's list that have their last day; the parameter is empty."""
    nothing(text, setting)
    codes = setting.specs.code_lists.get(setting.element.code_list or "")
    entries = codes.codes.items() if codes else ()
    return frozenset(code for code, each in entries if any(entry.row.get("retired") for entry in each))


@check(of="text", columns=("retired",), on_list_day=True, prepare=_retired)
def not_retired(level: Commodity, context: Context, bound: Bound) -> Iterable[Fault]:
    """Forbid a code after the day that the list's column `retired` has for it, on the day that the dictionary names.

    Where no such day is known, that of receipt counts.
    """
    code = level.text(bound.element)
    if code not in bound.parameter:
        return OK
    day = listed_on(context.pack.elements[bound.element], level, context.declaration) or context.today
    entry = bound.codes.find(code, day) if bound.codes and code else None
    retired = entry.row["retired"] if entry else ""
    return (bound.fault(details={"retired": retired, "day": str(day)}),) if "" < retired < str(day) else OK


@check("declaration", prepare=whole(1, 99_999))
def lines_at_most(declaration: Declaration, context: Context, bound: Bound) -> Iterable[Fault]:
    """Forbid more lines than the parameter says, and so more invoices: each has a line."""
    invoices = len(declaration.invoices)
    lines = sum(len(each.commodities) for each in declaration.invoices)
    if lines <= bound.parameter:
        return OK
    expected, details = f"<= {bound.parameter}", {"invoices": str(invoices)}
    return (bound.fault("", value=str(lines), expected=expected, details=details),)
