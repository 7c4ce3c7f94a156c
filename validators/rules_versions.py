"""Checks of time, and of a message against what is on file of its declaration: numbers, versions, what was there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from typing import NamedTuple

from core.calendar import account_by, add_months, eastern_day
from core.declaration import Declaration, Invoice, MessageType, Nature
from core.findings import Fault
from core.register import WITHDRAWN, consignment_of
from validators.checks import Bound, Context, Role, check
from validators.parameters import codes, day, named, period, whole, words
from validators.rules import OK

ACCOUNTING_DATE = Role("accounting_date", "declaration", "date")
FROM_BEFORE = Role("pre_carm", "declaration")
RELEASED = Role("release_date", "declaration", "date")
CAD_TYPE = Role("cad_type", "declaration")
CLASSIFICATION = Role("classification", "commodity")
CURRENCY = Role("currency", "commodity")
INVOICE_VALUE = Role("invoice_value", "invoice", "number")
LINE_COUNT = Role("line_count", "declaration", "number")

# ---------------------------------------------------------------------------------------- time


@check("declaration", of="date", reads=(ACCOUNTING_DATE,))
def late_accounting(declaration: Declaration, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require accounting (its date, or the day of receipt) until the last day that the calendar has for the type."""
    released, given = declaration.day(bound.element), declaration.day(bound[ACCOUNTING_DATE])
    unreadable = given is None and declaration.has(bound[ACCOUNTING_DATE])
    if released is None or released > context.today or unreadable:
        return OK
    accounted = given or context.today
    consignment = consignment_of(declaration, context.today, context.choice)
    consignment = consignment._replace(released=released, accounted=accounted)
    due = account_by(consignment, context.specs.calendar)
    if due is None or consignment.accounted <= due:
        return OK
    return (bound.fault(expected=str(due), details={"accounted": str(consignment.accounted)}),)


# ---------------------------------------------------------------------------------------- numbers and versions


@check("declaration", of="text", prepare=period)
def number_in_use(declaration: Declaration, context: Context, bound: Bound) -> Iterable[Fault]:
    """Forbid a number in use for an original; it is free again so long after its last use."""
    former = context.former
    if former is None:
        return OK
    free = add_months(eastern_day(former.accepted_at), bound.parameter)
    return OK if context.today >= free else (bound.fault(expected=str(free)),)


class Before(NamedTuple):
    """What is from before CARM: the `flag` that says so, `until` which day; types that are `consolidated` have no day.

    One that is consolidated stands for many declarations, of any day, and has no former version.
    """

    flag: frozenset[str]
    until: date
    consolidated: frozenset[str]


BEFORE = named(Before, flag=words, until=day, consolidated=codes("cad_type"))


def _entered(context: Context, bound: Bound) -> date:
    """Return the day of the goods' entry: of an original that of its accounting, of a change that of the release.

    A change has an accounting date of its own. Where neither is given, the day of receipt stands for it.
    """
    released, accounted = bound[RELEASED], bound[ACCOUNTING_DATE]
    original = context.type is MessageType.DECLARATION
    return context.first_day(*((accounted, released) if original else (released, accounted)))


def _says_before(declaration: Declaration, bound: Bound) -> bool:
    """Tell whether the flag says that the declaration is from before CARM."""
    return declaration.text(bound[FROM_BEFORE]) in bound.parameter.flag


@check("declaration", reads=(FROM_BEFORE, CAD_TYPE, RELEASED, ACCOUNTING_DATE), prepare=BEFORE)
def marked_as_before(declaration: Declaration, context: Context, bound: Bound) -> Iterable[Fault]:
    """Forbid the flag that says from before CARM on an entry that is not; see `Before`."""
    before: Before = bound.parameter
    entered = _entered(context, bound)
    if not _says_before(declaration, bound) or declaration.text(bound[CAD_TYPE]) in before.consolidated:
        return OK
    return (
        OK if entered <= before.until else (bound.fault(expected=f"<= {before.until}", details={"day": str(entered)}),)
    )


@check("declaration", of="text", reads=(FROM_BEFORE, CAD_TYPE, RELEASED, ACCOUNTING_DATE), prepare=BEFORE)
def change_without_original(declaration: Declaration, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require what is changed or withdrawn to be known; only one from before CARM may be changed without."""
    before: Before = bound.parameter
    whole = declaration.text(bound[CAD_TYPE]) in before.consolidated
    early = whole or _entered(context, bound) <= before.until
    known = context.history or declaration.text(bound.element) is None or (early and _says_before(declaration, bound))
    return OK if known else (bound.fault(),)


@check("declaration", of="text", reads=(FROM_BEFORE, CAD_TYPE, RELEASED, ACCOUNTING_DATE), prepare=BEFORE)
def as_declared_first(declaration: Declaration, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require what a change from before CARM is of to be on file: one made elsewhere is not known here."""
    before: Before = bound.parameter
    if context.history or not _says_before(declaration, bound) or declaration.text(bound.element) is None:
        return OK
    whole = declaration.text(bound[CAD_TYPE]) in before.consolidated
    return OK if whole or _entered(context, bound) > before.until else (bound.fault(),)


@check("declaration", presence="any", of="text", prepare=words)
def marked_as_former(declaration: Declaration, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require a change and its former version to agree about a flag: both say a word of the parameter, or neither."""
    if context.former is None:
        return OK
    now, then = declaration.text(bound.element), context.former.declaration.text(bound.element)
    return OK if (now in bound.parameter) == (then in bound.parameter) else (bound.fault(expected=then),)


@check("declaration", of="text")
def original_version(declaration: Declaration, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require the version of an original: the first, or what the pack says of one that the engine refused before."""
    text, allowed = declaration.text(bound.element), _next_versions(declaration, context, original=True)
    return OK if text is None or _number(text) in allowed else (bound.fault(expected=_versions(allowed)),)


@check("declaration", of="text")
def version_repeated(declaration: Declaration, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require the version of a change to be later than the latest one."""
    return _version(declaration, context, bound, lambda given, allowed: given < allowed[0])


@check("declaration", of="text")
def version_skips(declaration: Declaration, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require the version of a change to follow the latest one without a gap."""
    return _version(declaration, context, bound, lambda given, allowed: given > allowed[-1])


@check("declaration", of="text")
def version_to_withdraw(declaration: Declaration, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require a withdraw request to name the latest version or the one after it."""
    latest = context.former.version if context.former else 0
    return _version(declaration, context, bound, lambda given, _: given not in {latest, latest + 1})


def _version(
    declaration: Declaration, context: Context, bound: Bound, wrong: Callable[[int, range], bool]
) -> Iterable[Fault]:
    text, former = declaration.text(bound.element), context.former
    given = _number(text) if text else None
    if former is None or given is None:
        return OK
    allowed = _next_versions(declaration, context)
    if not wrong(given, allowed):
        return OK
    return (bound.fault(expected=_versions(allowed), details={"latest": f"{former.version:05}"}),)


def _next_versions(declaration: Declaration, context: Context, *, original: bool = False) -> range:
    """Return the versions that the next original or change may carry."""
    refused = context.pack.refused_versions
    return context.register.next_versions(declaration.transaction_number, refused, original=original)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _versions(numbers: range) -> str:
    return ", ".join(f"{number:05}" for number in numbers)


# ---------------------------------------------------------------------------------------- what was there before


@check("declaration")
def withdrawn_before(declaration: Declaration, context: Context, bound: Bound) -> Iterable[Fault]:
    """Forbid another change of a declaration that is withdrawn, or whose withdrawal the engine has yet to decide on."""
    gone = context.former and (context.former.status == WITHDRAWN or context.former.withdrawal)
    return (bound.fault(),) if gone else OK


@check("declaration")
def cbsa_created(declaration: Declaration, context: Context, bound: Bound) -> Iterable[Fault]:
    """Forbid changing a declaration of which CBSA has created a version."""
    return (bound.fault(),) if any(version.created_by_cbsa for version in context.history) else OK


@check("declaration")
def same_as_former(declaration: Declaration, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require the element to be the same as in the former version."""
    now, before = declaration.get(bound.element), context.former and context.former.declaration.get(bound.element)
    return OK if now is None or before is None or now == before else (bound.fault(expected=str(before)),)


@check("declaration", prepare=whole(0, 999))
def older_than_years(declaration: Declaration, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require a change to come within so many years of the accounting."""
    if not context.history:
        return OK
    accounted = eastern_day(context.history[0].accepted_at)
    limit = add_months(accounted, 12 * bound.parameter)
    if context.today <= limit:
        return OK
    return (bound.fault(expected=str(limit), details={"accounted": str(accounted)}),)


@check("declaration", presence="any", of="number", at="commodity", reads=(CLASSIFICATION,))
def former_lines(declaration: Declaration, context: Context, bound: Bound) -> Iterator[Fault]:
    """Require every line of the former version in the new one; a line is known by its number.

    Where an invoice has no line, or one has no number, that is told itself.
    """
    if context.former is None or not declaration.invoices:
        return
    now, before = context.lines()
    told = {i for i, each in enumerate(declaration.invoices, 1) if not all(_numbers(each, bound.element))}
    for key, (i, _, line) in before.items():
        number = key[1]
        if number is None or key in now or i in told:
            continue
        text = context.pack.elements[bound.element].format.write(number)
        details = {"line": text, "classification": line.text(bound[CLASSIFICATION]) or "—"}
        place = i if i <= len(declaration.invoices) else 0
        yield bound.fault("", value=text, expected=text, details=details, invoice=place)


def _numbers(invoice: Invoice, name: str) -> list[bool]:
    """Return of each line whether it has a number; of an invoice without lines one that has none."""
    return [line.amount(name) is not None for line in invoice.commodities] or [False]


@check("declaration", presence="any", at="commodity")
def sima_changed(declaration: Declaration, context: Context, bound: Bound) -> Iterator[Fault]:
    """Forbid changing the SIMA subject of a line by an adjustment."""
    if context.former is None or context.nature is not Nature.ADJUSTMENT:
        return
    now, before = context.lines()
    for key, (i, j, line) in now.items():
        if key in before and line.get(bound.element) != before[key][2].get(bound.element):
            former = before[key][2].text(bound.element)
            yield bound.fault(value=line.text(bound.element), expected=former, invoice=i, line=j)


@check("declaration", presence="any", of="number", at="commodity", reads=(CURRENCY,))
def value_lowered(declaration: Declaration, context: Context, bound: Bound) -> Iterable[Fault]:
    """Forbid a correction that lowers the value, by currency, of the lines that stay."""
    if context.former is None or context.nature is not Nature.CORRECTION:
        return OK
    now, before = Counter[str](), Counter[str]()
    lines, former = context.lines()
    for key, (_, _, line) in lines.items():
        old = former[key][2] if key in former else line
        for totals, each in ((now, line), (before, old)):
            amount, currency = each.amount(bound.element), each.text(bound[CURRENCY])
            if amount is not None and currency is not None:
                totals[currency] += amount  # type: ignore[assignment]
    lowered = sorted(each for each in now.keys() & before.keys() if now[each] < before[each])
    return [bound.fault("", value=f"{now[each]:f} {each}", expected=f"{before[each]:f} {each}") for each in lowered]


@check("declaration", presence="any", of="number", at="invoice", reads=(INVOICE_VALUE,))
def invoice_pointed_at(declaration: Declaration, context: Context, bound: Bound) -> Iterator[Fault]:
    """Require a pointer in each invoice whose value differs from the former version's in the same place."""
    name, before = bound[INVOICE_VALUE], context.former.declaration.invoices if context.former else ()
    for i, (invoice, former) in enumerate(zip(declaration.invoices, before, strict=False), 1):
        now, then = invoice.amount(name), former.amount(name)
        if now is not None and then is not None and now != then and not invoice.has(bound.element):
            details = {"former": f"{then:f}", "changed": f"{now:f}"}
            yield bound.fault(expected=str(i), details=details, invoice=i)


@check("declaration", presence="any", of="number", at="invoice", reads=(LINE_COUNT,))
def pointer_fits(declaration: Declaration, context: Context, bound: Bound) -> Iterator[Fault]:
    """Require a pointer to an invoice to be that invoice's place in the declaration.

    Not of one that stands there again, where the number of lines tells that.
    """
    counted = declaration.has(bound[LINE_COUNT])
    for i, invoice in enumerate(declaration.invoices, 1):
        given = invoice.amount(bound.element)
        if given is not None and given != i and not (counted and invoice in declaration.invoices[: i - 1]):
            yield bound.fault(value=f"{given:f}", expected=str(i), invoice=i)
