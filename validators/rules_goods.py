"""Checks of lines, totals and goods: what several elements of one declaration say together."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from core.declaration import Commodity, Declaration, Invoice
from core.findings import Fault
from validators.checks import Bound, Context, Role, check
from validators.parameters import choice, codes, named, number, word, words
from validators.rules import OK

LINE_PREVIOUS = Role("line_previous_transaction", "commodity")
INVOICE_CURRENCY = Role("invoice_currency", "invoice")
VALUE = Role("value_for_currency_conversion", "commodity", "number")
CURRENCY = Role("currency", "commodity")
VALUATION = Role("vfd_code", "commodity")
CLASSIFICATION = Role("classification", "commodity")
EXPORT_PLACE = Role("export_place", "commodity")


# ---------------------------------------------------------------------------------------- warehouses and lines


@check("declaration", presence="absent", reads=(LINE_PREVIOUS,))
def warehouse_previous(declaration: Declaration, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require the transaction that a warehouse withdrawal draws down: once above, or on every line."""
    name = bound[LINE_PREVIOUS]
    without = [(i, j) for i, j, line in declaration.lines() if not line.has(name)]
    if len(without) == sum(1 for _ in declaration.lines()):
        return (bound.fault(),)
    return [bound.fault(name, invoice=i, line=j) for i, j in without]


@check("invoice", presence="any", of="number", at="commodity")
def line_numbers_unique(invoice: Invoice, context: Context, bound: Bound) -> Iterable[Fault]:
    """Forbid two lines of one invoice with the same number."""
    return _numbers_out_of_order(invoice, bound, repeated=True)


@check("invoice", presence="any", of="number", at="commodity")
def line_numbers_ascending(invoice: Invoice, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require the lines of an invoice to stand in the order of their numbers."""
    return _numbers_out_of_order(invoice, bound, repeated=False)


def _numbers_out_of_order(invoice: Invoice, bound: Bound, *, repeated: bool) -> Iterable[Fault]:
    numbers = [line.amount(bound.element) for line in invoice.commodities]
    if all(one is not None and two is not None and one < two for one, two in pairwise(numbers)):
        return OK
    faults, seen, last = [], set(), Decimal(-1)
    for j, given in enumerate(numbers, 1):
        if given is None:
            continue
        if (given in seen) if repeated else (given < last):
            faults.append(bound.fault(value=f"{given:f}", line=j))
        seen.add(given)
        last = max(last, given)
    return faults


@check("declaration", of="number")
def line_count(declaration: Declaration, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require the declared number of lines to be the number of lines.

    Not told where no line is there at all, or one is there twice: that is told itself.
    """
    declared, invoices = declaration.amount(bound.element), declaration.invoices
    counted = sum(len(each.commodities) for each in invoices)
    if declared is None or declared == counted or not all(each.commodities for each in invoices) or not invoices:
        return OK
    if declared == sum(len(_once(each.commodities)) for each in invoices):
        return OK
    return (bound.fault(expected=str(counted)),)


def _once(lines: Iterable[Commodity]) -> list[Commodity]:
    """Return lines without those that stand there again, number and all."""
    found: list[Commodity] = []
    for line in lines:
        if line not in found:
            found.append(line)
    return found


# ---------------------------------------------------------------------------------------- totals


class _Total(NamedTuple):
    """`part` of the differences to find: `rounding`, up to `a_line` for each line, or what is `beyond`.

    Compared only where every line's VFD code is one of those that are `plain`: price paid, without adjustments.
    """

    part: str
    a_line: Decimal
    plain: frozenset[str]


@check(
    "invoice",
    of="number",
    reads=(INVOICE_CURRENCY, VALUE, CURRENCY, VALUATION),
    needs=(INVOICE_CURRENCY,),
    prepare=named(_Total, part=choice("rounding", "beyond"), a_line=number, plain=codes("vfd_code")),
)
def invoice_total(invoice: Invoice, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require the invoice's value to be the sum of its lines; see `_Total`.

    Compared only where the lines carry the price itself: same currency, and valued without adjustments.
    """
    wanted: _Total = bound.parameter
    value, line_currency, valuation = bound[VALUE], bound[CURRENCY], bound[VALUATION]
    declared, currency = invoice.amount(bound.element), invoice.text(bound[INVOICE_CURRENCY])
    total = Decimal(0)
    for line in invoice.commodities:
        values = line.values
        amount = values.get(value)
        if not isinstance(amount, Decimal) or values.get(line_currency) != currency:
            return OK
        if values.get(valuation) not in wanted.plain:
            return OK
        total += amount
    if declared is None or not invoice.commodities or declared == total:
        return OK
    if declared == sum(line.values[value] for line in _once(invoice.commodities)):  # type: ignore[misc]
        return OK  # a line that stands there twice is told itself
    within = abs(declared - total) <= wanted.a_line * len(invoice.commodities)
    return (bound.fault(expected=f"{total:f}"),) if within == (wanted.part == "rounding") else OK


class Most(NamedTuple):
    """The most that goods may be worth, in a currency."""

    most: Decimal
    currency: str


@check("invoice", presence="any", reads=(VALUE, CURRENCY), prepare=named(Most, most=number, currency=word))
def low_value_total(invoice: Invoice, context: Context, bound: Bound) -> Iterable[Fault]:
    """Forbid goods worth more than the parameter; silent if any line is in another currency."""
    wanted: Most = bound.parameter
    total = Decimal(0)
    for line in invoice.commodities:
        amount = line.amount(bound[VALUE])
        if amount is None or line.text(bound[CURRENCY]) != wanted.currency:
            return OK
        total += amount
    return OK if total <= wanted.most else (bound.fault("", value=f"{total:f}", expected=f"<= {wanted.most}"),)


# ---------------------------------------------------------------------------------------- goods


@check(of="text", reads=(CLASSIFICATION,), needs=(CLASSIFICATION,), columns=("not_with", "only_with"), prepare=words)
def tariff_code_fits(line: Commodity, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require a tariff code that goes with the classification number.

    Not with the chapters of the parameter; nor with what the list's column `not_with` names (starts of numbers), nor
    outside what its column `only_with` names.
    """
    code, classification = line.text(bound.element), line.text(bound[CLASSIFICATION])
    if code is None or classification is None:
        return OK
    entry = bound.codes.find(code, None) if bound.codes else None
    excluded = (*bound.parameter, *(entry.row.get("not_with", "").split() if entry else ()))
    only = tuple(entry.row.get("only_with", "").split()) if entry else ()
    fits = not classification.startswith(excluded) and (not only or classification.startswith(only))
    return OK if fits else (bound.fault(details={"classification": classification}),)


class Remission(NamedTuple):
    """Codes for goods exported from one of the `places` (`inside`), and those for goods from elsewhere (`outside`)."""

    inside: frozenset[str]
    outside: frozenset[str]
    places: frozenset[str]


@check(
    of="text",
    reads=(EXPORT_PLACE,),
    needs=(EXPORT_PLACE,),
    prepare=named(Remission, inside=codes(), outside=codes(), places=codes("country")),
)
def courier_remission_place(line: Commodity, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require the courier remission that is for goods from the place of export; other authorities are not looked at."""
    wanted: Remission = bound.parameter
    code, place = line.text(bound.element), line.text(bound[EXPORT_PLACE])
    if place is None or code is None or code not in wanted.inside | wanted.outside:
        return OK
    fits = code in (wanted.inside if context.specs.trade.country_of(place) in wanted.places else wanted.outside)
    return OK if fits else (bound.fault(details={"place": place}),)
