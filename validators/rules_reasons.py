"""Checks of a change's reasons: where they are called for, which codes may stand where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from itertools import zip_longest
from typing import NamedTuple

from core.declaration import Commodity, Declaration, Level, Nature, Value
from core.findings import Fault, least_sure
from core.specs import Code
from validators.checks import Bound, Context, Role, check
from validators.parameters import Setting, choice, named, nothing, ordered, pairs, word, words
from validators.rules import OK

INVOICE_REASON = Role("invoice_reason_code_1", "invoice")
LINE_REASON = Role("line_reason_code_1", "commodity")
FURTHER = Role("further", "own", many=True)  # the reasons after the row's own, in their order
REASONS = Role("reasons", "own", many=True)  # those beside which the row's own codes stand, in their order
INVOICE_REASONS = Role("invoice_reasons", "invoice", many=True)
LINE_REASONS = Role("line_reasons", "commodity", many=True)
TREATMENT = Role("tariff_treatment", "commodity")
RELEASED = Role("release_date", "declaration", "date")
ACCOUNTED = Role("accounting_date", "declaration", "date")


def _substance(level: Level, context: Context) -> Mapping[str, Value]:
    """Return what is declared, without what belongs to the change itself."""
    return {name: value for name, value in level.values.items() if name not in context.pack.about_change}


def _changes(context: Context, former: Declaration) -> Iterator[tuple[int, int, Level]]:
    """Yield (invoice, line, level) for each level of the declaration that differs from the former version."""
    declaration = context.declaration
    if _substance(declaration, context) != _substance(former, context):
        yield 0, 0, declaration
    for i, invoice in enumerate(declaration.invoices, 1):
        if i > len(former.invoices) or _substance(invoice, context) != _substance(former.invoices[i - 1], context):
            yield i, 0, invoice
    now, before = context.lines()
    for key, (i, j, line) in now.items():
        if key not in before or _substance(line, context) != _substance(before[key][2], context):
            yield i, j, line


@check("declaration", presence="absent", reads=(INVOICE_REASON, LINE_REASON))
def reason_on_change(declaration: Declaration, context: Context, bound: Bound) -> Iterator[Fault]:
    """Require for each level that differs from the former version a reason code, its own or a level's above."""
    if context.former is None:
        return
    of_invoice, of_line = bound[INVOICE_REASON], bound[LINE_REASON]
    for i, j, level in _changes(context, context.former.declaration):
        name = of_line if j else of_invoice if i else bound.element
        covered = i > 0 and declaration.invoices[i - 1].has(of_invoice)
        if not covered and not level.has(name):
            yield bound.fault(name, invoice=i, line=j)


@check("declaration")
def nothing_changes(declaration: Declaration, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require a change to differ from the former version."""
    if context.former is None or next(_changes(context, context.former.declaration), None):
        return OK
    former = context.former.declaration
    return OK if len(list(declaration.lines())) != len(list(former.lines())) else (bound.fault(),)


def _entry(code: Value | None, context: Context, bound: Bound) -> Code | None:
    """Return what the list of reason codes has of a code."""
    return bound.codes.find(code, context.today) if bound.codes and isinstance(code, str) else None


class Order(NamedTuple):
    """Reasons of this `kind` (the list's column) must stand first where no other of a higher rank is given.

    `rows` says by which rows of the list to tell it: those of `high` confidence, or where one of the two is `other`.
    """

    kind: str
    ranks: tuple[str, ...]
    rows: str


def _order(kind: str, ranks: tuple[str, ...], rows: str) -> Order:
    if kind not in ranks:
        raise ValueError(f"{kind} is none of the ranks {' '.join(ranks)}")
    return Order(kind, ranks, rows)


@check(
    of="text",
    reads=(FURTHER,),
    columns=("kind",),
    prepare=named(_order, kind=word, ranks=ordered, rows=choice("high", "other")),
)
def reason_first(level: Level, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require the reason of the highest rank that is given to stand first; a code that is not listed is left alone."""
    wanted: Order = bound.parameter
    found = [
        (name, entry)
        for name in (bound.element, *bound.every(FURTHER))
        if (entry := _entry(level.get(name), context, bound)) and entry.row.get("kind") in wanted.ranks
    ]
    if not found or found[0][0] != bound.element:
        return OK
    (_, first), *_ = found
    name, best = min(found, key=lambda each: wanted.ranks.index(each[1].row["kind"]))
    if best.row["kind"] != wanted.kind or first.row["kind"] == wanted.kind:
        return OK
    if (least_sure((first.confidence, best.confidence)) == "high") != (wanted.rows == "high"):
        return OK
    return (bound.fault(name, expected="1", details={"first": first.code}),)


def _in_pairs(text: str, setting: Setting) -> None:
    """Read none; the row's column `reads` names as many reasons as codes that go with them."""
    nothing(text, setting)
    given = pairs(setting.rule.reads)
    codes = (setting.rule.element, *given.get(FURTHER.name, "").split())
    for code, reason in zip_longest(codes, given.get(REASONS.name, "").split()):
        if code is None or reason is None:
            raise ValueError(f"{setting.rule.check} pairs {code or reason} with none")


@check(presence="any", of="text", reads=(FURTHER, REASONS), prepare=_in_pairs)
def beside_reason(level: Level, context: Context, bound: Bound) -> Iterable[Fault]:
    """Forbid a code that goes with a reason (the first with the first, and so on) where that reason is not given."""
    return [bound.fault(name) for name, reason in _pairs(bound) if level.has(name) and not level.has(reason)]


@check(presence="any", of="text", reads=(FURTHER, REASONS), prepare=_in_pairs)
def reason_paired(level: Level, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require beside each reason the code that goes with it."""
    return [
        bound.fault(name, details={"reason_code": level.text(reason) or "—"})
        for name, reason in _pairs(bound)
        if level.has(reason) and not level.has(name)
    ]


def _pairs(bound: Bound) -> Iterable[tuple[str, str]]:
    """Return each of the row's own elements, and the reason that it goes with: the first with the first, and so on."""
    return zip((bound.element, *bound.every(FURTHER)), bound.every(REASONS), strict=True)


@check(of="text", reads=(FURTHER,), columns=("use",), prepare=words)
def cbsa_only_reason(level: Level, context: Context, bound: Bound) -> Iterable[Fault]:
    """Forbid the reason codes that only CBSA may use: those whose column `use` says one of the parameter's words."""
    return _used_as(level, context, bound)


@check(of="text", reads=(FURTHER,), columns=("use",), prepare=words)
def reason_of_other_nature(level: Level, context: Context, bound: Bound) -> Iterable[Fault]:
    """Forbid reason codes for corrections (by the column `use`) once the due date has made the change an adjustment."""
    if context.former is None or context.nature is not Nature.ADJUSTMENT:
        return OK
    return _used_as(level, context, bound)


def _used_as(level: Level, context: Context, bound: Bound) -> Iterable[Fault]:
    """Return a fault for each reason whose use is one of the parameter's words."""
    names = (bound.element, *bound.every(FURTHER))
    found = ((name, _entry(level.get(name), context, bound)) for name in names)
    return [bound.fault(name) for name, entry in found if entry and entry.row.get("use") in bound.parameter]


@check(
    "declaration",
    presence="any",
    of="text",
    reads=(FURTHER, INVOICE_REASONS, LINE_REASONS, TREATMENT, RELEASED, ACCOUNTED),
    columns=("treatments",),
)
def reason_treatment(declaration: Declaration, context: Context, bound: Bound) -> Iterator[Fault]:
    """Require a reason that names tariff treatments (the list's column `treatments`) to name the one that is claimed.

    Reasons above a line are compared with it only where its treatment differs from the former version. `expected` are
    the reasons that do name the treatment, on the day of release.
    """
    above = (bound.element, *bound.every(FURTHER))
    told = set[tuple[str, int, int]]()
    day = context.first_day(bound[RELEASED], bound[ACCOUNTED])
    for i, j, line in declaration.lines():
        claimed = line.text(bound[TREATMENT])
        if claimed is None:
            continue
        given = [(name, i, j, line.text(name)) for name in bound.every(LINE_REASONS)]
        if _newly_claimed(i, line, context, bound[TREATMENT]):
            invoice = declaration.invoices[i - 1]
            given += [(name, i, 0, invoice.text(name)) for name in bound.every(INVOICE_REASONS)]
            given += [(name, 0, 0, declaration.text(name)) for name in above]
        for name, at_invoice, at_line, code in given:
            if code and (name, at_invoice, at_line) not in told and not _names(code, claimed, day, bound):
                told.add((name, at_invoice, at_line))
                fit = " ".join(_naming(claimed, day, bound))
                details = {"treatment": claimed}
                yield bound.fault(
                    name, value=code, expected=fit or "—", details=details, invoice=at_invoice, line=at_line
                )


def _newly_claimed(invoice: int, line: Commodity, context: Context, treatment: str) -> bool:
    """Tell whether a line's treatment differs from the former version; without one it is new."""
    before = context.before(invoice, line)
    return before is None or before.get(treatment) != line.get(treatment)


def _names(code: str, treatment: str, day: date, bound: Bound) -> bool:
    """Tell whether a reason names the treatment, or none at all."""
    entry = bound.codes.find(code, day) if bound.codes else None
    named_there = entry.row.get("treatments", "").split() if entry else []
    return not named_there or treatment in named_there


def _naming(treatment: str, day: date, bound: Bound) -> Iterator[str]:
    """Yield the reasons of the list that name the treatment on a day."""
    for code in bound.codes.codes if bound.codes else ():
        entry = bound.codes.find(code, day) if bound.codes else None
        if entry and treatment in entry.row.get("treatments", "").split():
            yield code
