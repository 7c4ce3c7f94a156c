"""Checks of goods against the tables of trade: origins of tariff treatments, surtaxes, units, retired codes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

from core.declaration import Commodity, Declaration
from core.findings import Bilingual, Fault
from core.trade import Goods, Surtax
from validators.checks import Bound, Context, Role, check
from validators.elements import listed_on
from validators.parameters import Setting, choice, codes, named, nothing, whole, word
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


def _goods(line: Commodity, context: Context, bound: Bound) -> Goods:
    """Return what the tables of trade ask about a line."""
    country_of = context.specs.trade.country_of
    return Goods(
        classification=line.text(bound[CLASSIFICATION]) or "",
        tariff_code=line.text(bound[TARIFF_CODE]) or "",
        origin=country_of(line.text(bound[ORIGIN])),
        exported_from=country_of(line.text(bound[EXPORT_PLACE])),
        released=context.first_day(bound[RELEASED], bound[ACCOUNTED]),
        shipped=line.day(bound[SHIPPED]),
    )


# ---------------------------------------------------------------------------------------- origins


@check(
    of="text",
    reads=GOODS,
    needs=(ORIGIN,),
    columns=("name_en", "name_fr"),
    on_list_day=True,
    prepare=choice("high", "other"),
)
def treatment_origin(line: Commodity, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require an origin that the tariff treatment is for on the day of release (`trade/treatment_origins.csv`).

    The parameter says which rows to tell of: those of `high` confidence, or the `other` ones. What is not in the list
    of treatments, or of countries, is that list's own finding.
    """
    code, origin = line.text(bound.element), line.text(bound[ORIGIN])
    if (code, origin) in context.specs.trade.always or code is None or not context.specs.trade.country_of(origin):
        return OK
    day = listed_on(context.pack.elements[bound.element], line, context.declaration)
    entry = bound.codes.find(code, day) if bound.codes else None
    if entry is None:
        return OK
    goods = _goods(line, context, bound)
    sure = context.specs.trade.withheld(code, goods)
    if sure is None or (sure == "high") != (bound.parameter == "high"):
        return OK
    allowed = context.specs.trade.beneficiaries(code, goods)
    details = {
        "origin": origin or "",
        "treatment_en": entry.name.en,
        "treatment_fr": entry.name.fr,
        "place": line.text(bound[EXPORT_PLACE]) or "—",
        "day": str(goods.released),
    }
    return (bound.fault(expected=" ".join(allowed) or None, details=details),)


# ---------------------------------------------------------------------------------------- surtaxes


class SurtaxWatch(NamedTuple):
    """Indicators that say a line is `subject`, and the currency of the orders' amounts."""

    subject: frozenset[str]
    currency: str


@check(
    "declaration",
    presence="any",
    of="text",
    at="commodity",
    reads=(*GOODS, VALUE, CURRENCY),
    prepare=named(SurtaxWatch, subject=codes(), currency=word),
)
def surtax_watch(declaration: Declaration, context: Context, bound: Bound) -> Iterator[Fault]:
    """Require the indicator where number, origin and day of a line stand in an order's schedule (`trade/surtax_*.csv`).

    Each order is told by itself, so that no answer has to cut its words. One with an exempt total is left out where its
    goods, on the whole declaration, are worth no more; where that is not known, its words say so.
    """
    wanted: SurtaxWatch = bound.parameter
    trade, classification = context.specs.trade, bound[CLASSIFICATION]
    reached: list[tuple[int, int, Commodity, Goods, tuple[Surtax, ...]]] = []
    for i, j, line in declaration.lines():
        number = line.text(classification)
        if number is not None and number[:8] in trade.surtaxes:
            goods = _goods(line, context, bound)
            reached.append((i, j, line, goods, trade.surtaxes_on(goods)))
    totals = _totals(((line, each) for _, _, line, _, orders in reached for each in orders), bound, wanted.currency)
    for i, j, line, goods, orders in reached:
        if line.text(bound.element) in wanted.subject:
            continue
        for order in orders:
            total = totals[order.order]
            if order.free is None or total is None or total > order.free:
                details = _words(order, total, wanted.currency) | {
                    "classification": goods.classification,
                    "origin": line.text(bound[ORIGIN]) or "—",
                    "day": str(goods.released),
                }
                expected = " ".join(sorted(wanted.subject))
                yield bound.fault(value=line.text(bound.element), expected=expected, details=details, invoice=i, line=j)


# Where nobody here knows whether an exempt total is exceeded.
NOT_KNOWN = Bilingual(
    ", unless such goods on this declaration are worth no more than {free} {currency} in all, which is not known here: "
    "not all of them are valued in {currency}",
    ", sauf si ces marchandises ne valent pas plus de {free} {currency} en tout sur cette déclaration, ce qui n'est "
    "pas connu ici : elles ne sont pas toutes évaluées en {currency}",
)


def _words(surtax: Surtax, total: Decimal | None, currency: str) -> dict[str, str]:
    """Return an order with its rate, and what it rests on beside number, origin and day."""
    words: dict[str, str] = {}
    for language in ("en", "fr"):
        condition = surtax.condition.speak(language)
        said = f"{surtax.name.speak(language)}, {surtax.rate:f} %"
        words[f"order_{language}"] = f"{said}, {condition}" if condition else said
        unknown = surtax.free is not None and total is None
        known = {"free": f"{surtax.free:f}", "currency": currency} if surtax.free is not None else {}
        words[f"unless_{language}"] = NOT_KNOWN.speak(language).format(**known) if unknown else ""
    return words


def _totals(lines: Iterable[tuple[Commodity, Surtax]], bound: Bound, currency: str) -> Mapping[str, Decimal | None]:
    """Return what each order's goods are worth all together; None if some are in another currency, or say nothing."""
    totals: dict[str, Decimal | None] = defaultdict(Decimal)
    for line, surtax in lines:
        so_far, amount = totals[surtax.order], line.amount(bound[VALUE])
        known = so_far is not None and amount is not None and line.text(bound[CURRENCY]) == currency
        totals[surtax.order] = so_far + amount if known and so_far is not None and amount is not None else None
    return totals


# ---------------------------------------------------------------------------------------- units, codes, numbers


@check(of="text", reads=(CLASSIFICATION, RELEASED, ACCOUNTED), needs=(CLASSIFICATION,))
def unit_of_tariff(line: Commodity, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require the unit of the classification number, where `trade/units.csv` knows it."""
    number = line.text(bound[CLASSIFICATION])
    if number is None or number[:4] not in context.specs.trade.headings:
        return OK
    return _unit(
        line, bound, context.specs.trade.units_of(number, context.first_day(bound[RELEASED], bound[ACCOUNTED])), number
    )


@check(of="text", reads=(EXCISE, RELEASED, ACCOUNTED), needs=(EXCISE,))
def unit_of_excise(line: Commodity, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require the unit of the excise code, where `trade/units.csv` knows it."""
    code = line.text(bound[EXCISE])
    units = (
        context.specs.trade.excise_units_of(code, context.first_day(bound[RELEASED], bound[ACCOUNTED]))
        if code
        else frozenset[str]()
    )
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


@check(of="text", columns=("retired",), on_list_day=True, only=True, prepare=_retired)
def not_retired(level: Commodity, context: Context, bound: Bound) -> Iterable[Fault]:
    """Forbid a code after the day that the list's column `retired` has for it, on the day that the dictionary names.

    Where no such day is known, that of receipt counts.
    """
    code = level.text(bound.element)
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
