"""The checks that rule rows name: generic kinds first, then one short function for each rule that needs code.

A check is asked only when its element is present (or absent, as its registration says) and the row's `when` holds.
It sees readable values only, and returns what it found; texts, severity and source stand in the pack's rule table.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from itertools import pairwise

from core.calendar import add_business_days, add_months, eastern_day
from core.declaration import Commodity, Declaration, Invoice, Level, Nature, Value
from core.specs import Pack, Rule
from validators.checks import CHECKS, Bound, Case, Hit, Prepare, check
from validators.elements import is_always_valid, listed_on, unlisted_details

__all__ = ["CHECKS", "bn_is_valid", "check_digit_of"]

OK: tuple[Hit, ...] = ()
CENT = Decimal("0.01")
PLAIN = {"13", "23"}  # VFD codes: transaction value without adjustments
NUMBER_KEPT_MONTHS = 7 * 12 + 3  # TCC24-144: a number may not be used again within 7 years and 3 months


# ---------------------------------------------------------------------------------------- reading parameters


def words(rule: Rule, pack: Pack) -> frozenset[str]:
    """Read a parameter of values separated by spaces."""
    if not rule.parameter.split():
        raise ValueError(f"{rule.check} needs values as its parameter")
    return frozenset(rule.parameter.split())


def expression(rule: Rule, pack: Pack) -> re.Pattern[str]:
    """Read a parameter that is a regular expression."""
    try:
        return re.compile(rule.parameter)
    except re.error as error:
        raise ValueError(f"bad regular expression: {error}") from error


def number(rule: Rule, pack: Pack) -> Decimal:
    """Read a parameter that is a number."""
    try:
        return Decimal(rule.parameter)
    except InvalidOperation as error:
        raise ValueError(f"{rule.parameter!r} is no number") from error


def moment(rule: Rule, pack: Pack) -> str | date:
    """Read a parameter that is `today`, the name of a date element of the declaration or the own level, or a date."""
    element = pack.elements.get(rule.parameter)
    if rule.parameter == "today" or (element and element.format.kind == "date"):
        return rule.parameter
    try:
        return date.fromisoformat(rule.parameter)
    except ValueError as error:
        raise ValueError(f"{rule.parameter!r} is neither today, nor a date element, nor a date") from error


def choice(*allowed: str) -> Prepare:
    """Return the reader of a parameter that is one of the given words."""

    def read(rule: Rule, pack: Pack) -> str:
        if rule.parameter not in allowed:
            raise ValueError(f"{rule.check} takes one of: {', '.join(allowed)}")
        return rule.parameter

    return read


# ---------------------------------------------------------------------------------------- generic kinds


@check(prepare=expression)
def pattern(level: Level, case: Case, bound: Bound) -> Iterable[Hit]:
    """Require the element's text to match the regular expression as a whole."""
    text = level.text(bound.element)
    return OK if text is None or bound.parameter.fullmatch(text) else (Hit(bound.element),)


@check(presence="absent")
def required_when(level: Level, case: Case, bound: Bound) -> Iterable[Hit]:
    """Require the element (asked only when it is not given, and the row's condition holds)."""
    return (Hit(bound.element),)


@check()
def forbidden_when(level: Level, case: Case, bound: Bound) -> Iterable[Hit]:
    """Forbid the element (asked only when it is given, and the row's condition holds)."""
    return OK if level.get(bound.element) is None else (Hit(bound.element),)


@check(prepare=words)
def one_of_when(level: Level, case: Case, bound: Bound) -> Iterable[Hit]:
    """Require the element's text to be one of the values."""
    text = level.text(bound.element)
    return OK if text is None or text in bound.parameter else (Hit(bound.element, expected=_joined(bound.parameter)),)


@check(prepare=words)
def none_of_when(level: Level, case: Case, bound: Bound) -> Iterable[Hit]:
    """Forbid the values as the element's text."""
    return (Hit(bound.element),) if level.text(bound.element) in bound.parameter else OK


def list_name(rule: Rule, pack: Pack) -> str:
    """Read a parameter that is the id of a code list."""
    if not re.fullmatch(r"\w+", rule.parameter):
        raise ValueError(f"{rule.check} needs the id of a code list as its parameter")
    return rule.parameter


@check(prepare=list_name)
def listed(level: Level, case: Case, bound: Bound) -> Iterable[Hit]:
    """Require the element's code to be in the code list, on the day that the dictionary names for it."""
    codes, text = case.specs.code_lists.get(bound.parameter), level.text(bound.element)
    if codes is None or text is None or is_always_valid(codes, text):
        return OK
    day = listed_on(case.pack.elements[bound.element], level, case.declaration)
    if codes.find(text, day):
        return OK
    return (Hit(bound.element, details=unlisted_details(codes, text, day)),)


@check(prepare=list_name)
def not_listed(level: Level, case: Case, bound: Bound) -> Iterable[Hit]:
    """Forbid the codes of the code list on the day of receipt; a list that is not there has none."""
    codes, text = case.specs.code_lists.get(bound.parameter), level.text(bound.element)
    return (Hit(bound.element),) if codes and text is not None and codes.find(text, case.today) else OK


@check()
def at_most_one(level: Level, case: Case, bound: Bound) -> Iterable[Hit]:
    """Allow the element once; the dictionary's own count of occurrences then leaves it to this rule."""
    further = level.more.get(bound.element)
    return (Hit(bound.element, expected="1", occurrence=2),) if further else OK


@check(prepare=number)
def above(level: Level, case: Case, bound: Bound) -> Iterable[Hit]:
    """Require the element's number to be greater than the parameter."""
    amount = level.amount(bound.element)
    return OK if amount is None or amount > bound.parameter else (Hit(bound.element, expected=f"> {bound.parameter}"),)


@check(prepare=moment)
def not_after(level: Level, case: Case, bound: Bound) -> Iterable[Hit]:
    """Forbid a date after the parameter's; silent if either is not known."""
    day, limit = level.day(bound.element), _moment(bound.parameter, level, case)
    return OK if day is None or limit is None or day <= limit else (Hit(bound.element, expected=f"<= {limit}"),)


@check(prepare=moment)
def not_before(level: Level, case: Case, bound: Bound) -> Iterable[Hit]:
    """Forbid a date before the parameter's; silent if either is not known."""
    day, limit = level.day(bound.element), _moment(bound.parameter, level, case)
    return OK if day is None or limit is None or day >= limit else (Hit(bound.element, expected=f">= {limit}"),)


def _moment(parameter: str | date, level: Level, case: Case) -> date | None:
    if isinstance(parameter, date):
        return parameter
    return case.today if parameter == "today" else level.day(parameter) or case.declaration.day(parameter)


def _joined(values: Iterable[str]) -> str:
    return ", ".join(sorted(values))


# ---------------------------------------------------------------------------------------- identifiers

DOUBLED = str.maketrans("0123456789", "0246813579")  # twice the digit, and the digits of that added


def check_digit_of(thirteen: str) -> str:
    """Return the check digit of a transaction number's first 13 digits: weights 1,2,1,..., digits added, sum mod 10."""
    return str(_weighted(thirteen) % 10)


def bn_is_valid(nine: str) -> bool:
    """Tell whether the nine digits of a business number pass Luhn's check."""
    return _weighted(nine) % 10 == 0


def _weighted(digits: str) -> int:
    """Return the sum of the digits, every second one doubled and its own digits added; bytes sum faster than int()."""
    plain, doubled = digits[::2].encode(), digits[1::2].translate(DOUBLED).encode()
    return sum(plain) + sum(doubled) - ord("0") * len(digits)


@check()
def check_digit(level: Level, case: Case, bound: Bound) -> Iterable[Hit]:
    """Require the last of a transaction number's 14 digits to be the check digit of the others."""
    text = level.text(bound.element)
    if text is None or len(text) != 14 or not (text.isascii() and text.isdigit()):
        return OK
    digit = check_digit_of(text[:13])
    return OK if text[13] == digit else (Hit(bound.element, expected=f"{text[:13]}{digit}", details={"digit": digit}),)


BN15 = re.compile(r"[0-9]{9}[A-Z]{2}[0-9]{4}")


@check()
def bn_luhn(level: Level, case: Case, bound: Bound) -> Iterable[Hit]:
    """Require the nine digits of a BN15 to pass Luhn's check; its form is another rule's."""
    text = level.text(bound.element)
    return OK if text is None or not BN15.fullmatch(text) or bn_is_valid(text[:9]) else (Hit(bound.element),)


@check()
def bn_zeros(level: Level, case: Case, bound: Bound) -> Iterable[Hit]:
    """Forbid all zeros as the nine digits or as the account number of a BN15."""
    text = level.text(bound.element)
    if text is None or not BN15.fullmatch(text):
        return OK
    return (Hit(bound.element),) if text[:9] == "000000000" or text[11:] == "0000" else OK


# ---------------------------------------------------------------------------------------- types, warehouses, lines


@check("declaration", presence="absent")
def warehouse_previous(declaration: Declaration, case: Case, bound: Bound) -> Iterable[Hit]:
    """Require the transaction that a warehouse withdrawal draws down: once above, or on every line."""
    without = [(i, j) for i, j, line in declaration.lines() if not line.has("line_previous_transaction")]
    if len(without) == sum(1 for _ in declaration.lines()):
        return (Hit(bound.element),)
    return [Hit("line_previous_transaction", invoice=i, line=j) for i, j in without]


@check("invoice", presence="any")
def line_numbers_unique(invoice: Invoice, case: Case, bound: Bound) -> Iterable[Hit]:
    """Forbid two lines of one invoice with the same number."""
    return _numbers_out_of_order(invoice, bound.element, repeated=True)


@check("invoice", presence="any")
def line_numbers_ascending(invoice: Invoice, case: Case, bound: Bound) -> Iterable[Hit]:
    """Require the lines of an invoice to stand in the order of their numbers."""
    return _numbers_out_of_order(invoice, bound.element, repeated=False)


def _numbers_out_of_order(invoice: Invoice, element: str, *, repeated: bool) -> Iterable[Hit]:
    numbers = [line.amount(element) for line in invoice.commodities]
    if all(one is not None and two is not None and one < two for one, two in pairwise(numbers)):
        return OK
    hits, seen, last = [], set(), Decimal(-1)
    for j, number in enumerate(numbers, 1):
        if number is None:
            continue
        if (number in seen) if repeated else (number < last):
            hits.append(Hit(element, value=f"{number:f}", line=j))
        seen.add(number)
        last = max(last, number)
    return hits


@check()
def line_count(declaration: Declaration, case: Case, bound: Bound) -> Iterable[Hit]:
    """Require the declared number of lines to be the number of lines."""
    declared, counted = declaration.amount(bound.element), sum(len(each.commodities) for each in declaration.invoices)
    return OK if declared is None or declared == counted else (Hit(bound.element, expected=str(counted)),)


@check(needs=("invoice_currency",), prepare=choice("rounding", "beyond"))
def invoice_total(invoice: Invoice, case: Case, bound: Bound) -> Iterable[Hit]:
    """Require the invoice's value to be the sum of its lines: `rounding` finds up to a cent a line, `beyond` the rest.

    Compared only where the lines carry the price itself: same currency, and valued by the transaction value without
    adjustments (VFD codes 13 and 23).
    """
    declared, currency = invoice.amount(bound.element), invoice.text("invoice_currency")
    total = Decimal(0)
    for line in invoice.commodities:
        values = line.values
        amount = values.get("value_for_currency_conversion")
        if not isinstance(amount, Decimal) or values.get("currency") != currency or values.get("vfd_code") not in PLAIN:
            return OK
        total += amount
    if declared is None or not invoice.commodities or declared == total:
        return OK
    within = abs(declared - total) <= CENT * len(invoice.commodities)
    return (Hit(bound.element, expected=f"{total:f}"),) if within == (bound.parameter == "rounding") else OK


@check("invoice", presence="any", prepare=number)
def low_value_total(invoice: Invoice, case: Case, bound: Bound) -> Iterable[Hit]:
    """Forbid goods worth more than the parameter in Canadian dollars; silent if any line is in another currency."""
    total = Decimal(0)
    for line in invoice.commodities:
        amount = line.amount("value_for_currency_conversion")
        if amount is None or line.text("currency") != "CAD":
            return OK
        total += amount
    return OK if total <= bound.parameter else (Hit("", value=f"{total:f}", expected=f"<= {bound.parameter}"),)


# ---------------------------------------------------------------------------------------- goods


@check(prepare=choice("high", "other"), needs=("origin",))
def treatment_origin(line: Commodity, case: Case, bound: Bound) -> Iterable[Hit]:
    """Require an origin that the tariff treatment is for, by the list's column `origins`.

    `high` looks at entries of high confidence, `other` at the rest; an entry for any (`*`) or unknown origins at none.
    """
    code, origin = line.text(bound.element), line.text("origin")
    codes = case.specs.code_lists.get("tariff_treatment")
    entry = codes.find(code, line.day("direct_shipment_date")) if codes and code else None
    if entry is None or origin is None or (entry.confidence == "high") != (bound.parameter == "high"):
        return OK
    allowed = entry.row.get("origins", "")
    country = "US" if len(origin) == 3 and origin.startswith("U") else origin
    if allowed in {"", "*"} or country in allowed.split():
        return OK
    details = {"origin": origin, "treatment_en": entry.name.en, "treatment_fr": entry.name.fr}
    return (Hit(bound.element, expected=allowed, details=details),)


@check(prepare=words, needs=("classification",))
def tariff_code_fits(line: Commodity, case: Case, bound: Bound) -> Iterable[Hit]:
    """Require a tariff code that goes with the classification number.

    Not with the chapters of the parameter; nor with what the list's column `not_with` names (starts of numbers), nor
    outside what its column `only_with` names.
    """
    code, number = line.text(bound.element), line.text("classification")
    if code is None or number is None:
        return OK
    codes = case.specs.code_lists.get("tariff_code")
    entry = codes.find(code, None) if codes else None
    excluded = (*bound.parameter, *(entry.row.get("not_with", "").split() if entry else ()))
    only = tuple(entry.row.get("only_with", "").split()) if entry else ()
    fits = not number.startswith(excluded) and (not only or number.startswith(only))
    return OK if fits else (Hit(bound.element, details={"classification": number}),)


@check(needs=("export_place",))
def courier_remission_place(line: Commodity, case: Case, bound: Bound) -> Iterable[Hit]:
    """Require for courier remission 1 goods not from the United States or Mexico, for 2 and 3 goods from there."""
    code, place = line.text(bound.element), line.text("export_place")
    if code not in {"85-2955-1", "85-2955-2", "85-2955-3"} or place is None:
        return OK
    near = place in {"US", "MX"} or (len(place) == 3 and place.startswith("U"))
    return OK if near == (code != "85-2955-1") else (Hit(bound.element, details={"place": place}),)


# ---------------------------------------------------------------------------------------- time


@check(prepare=number)
def late_business_days(declaration: Declaration, case: Case, bound: Bound) -> Iterable[Hit]:
    """Require accounting (its date, or the day of receipt) within so many business days of the release, day 0."""
    days, holidays = int(bound.parameter), case.specs.holidays
    return _late(declaration, case, bound, lambda released: add_business_days(released, days, holidays))


@check(prepare=number)
def late_following_month(declaration: Declaration, case: Case, bound: Bound) -> Iterable[Hit]:
    """Require accounting (its date, or the day of receipt) until that day of the month after the release."""
    day = int(bound.parameter)
    return _late(declaration, case, bound, lambda released: add_months(released.replace(day=1), 1).replace(day=day))


def _late(declaration: Declaration, case: Case, bound: Bound, due_after: Callable[[date], date]) -> Iterable[Hit]:
    released = declaration.day(bound.element)
    unreadable = declaration.has("accounting_date") and declaration.day("accounting_date") is None
    if released is None or released > case.today or unreadable:
        return OK
    due = due_after(released)
    accounted = declaration.day("accounting_date") or case.today
    return OK if accounted <= due else (Hit(bound.element, expected=str(due), details={"accounted": str(accounted)}),)


# ---------------------------------------------------------------------------------------- against former versions


@check()
def number_in_use(declaration: Declaration, case: Case, bound: Bound) -> Iterable[Hit]:
    """Forbid a number in use for an original; it is free again 7 years and 3 months after its last use."""
    former = case.former
    if former is None:
        return OK
    free = add_months(eastern_day(former.accepted_at), NUMBER_KEPT_MONTHS)
    return OK if case.today >= free else (Hit(bound.element, expected=str(free)),)


@check()
def change_without_original(declaration: Declaration, case: Case, bound: Bound) -> Iterable[Hit]:
    """Require what is changed or withdrawn to be known; only one from before CARM may be changed without."""
    known = case.history or declaration.text("pre_carm") == "Y" or declaration.text(bound.element) is None
    return OK if known else (Hit(bound.element),)


@check()
def original_version(declaration: Declaration, case: Case, bound: Bound) -> Iterable[Hit]:
    """Require the version of an original: the first, or what the pack says of one that the engine refused before."""
    text, allowed = declaration.text(bound.element), _next_versions(declaration, case, original=True)
    return OK if text is None or _number(text) in allowed else (Hit(bound.element, expected=_versions(allowed)),)


@check()
def version_repeated(declaration: Declaration, case: Case, bound: Bound) -> Iterable[Hit]:
    """Require the version of a change to be later than the latest one."""
    return _version(declaration, case, bound, lambda given, allowed: given < allowed[0])


@check()
def version_skips(declaration: Declaration, case: Case, bound: Bound) -> Iterable[Hit]:
    """Require the version of a change to follow the latest one without a gap."""
    return _version(declaration, case, bound, lambda given, allowed: given > allowed[-1])


@check()
def version_to_withdraw(declaration: Declaration, case: Case, bound: Bound) -> Iterable[Hit]:
    """Require a withdraw request to name the latest version or the one after it."""
    latest = case.former.version if case.former else 0
    return _version(declaration, case, bound, lambda given, _: given not in {latest, latest + 1})


def _version(declaration: Declaration, case: Case, bound: Bound, wrong: Callable[[int, range], bool]) -> Iterable[Hit]:
    text, former = declaration.text(bound.element), case.former
    given = _number(text) if text else None
    if former is None or given is None:
        return OK
    allowed = _next_versions(declaration, case)
    if not wrong(given, allowed):
        return OK
    return (Hit(bound.element, expected=_versions(allowed), details={"latest": f"{former.version:05}"}),)


def _next_versions(declaration: Declaration, case: Case, *, original: bool = False) -> range:
    """Return the versions that the next original or change may carry."""
    return case.register.next_versions(declaration.transaction_number, case.pack.refused_versions, original=original)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _versions(numbers: range) -> str:
    return ", ".join(f"{number:05}" for number in numbers)


@check()
def withdrawn_before(declaration: Declaration, case: Case, bound: Bound) -> Iterable[Hit]:
    """Forbid another change of a declaration that is withdrawn, or whose withdrawal the engine has yet to decide on."""
    gone = case.former and (case.former.status == "withdrawn" or case.former.withdrawal)
    return (Hit(bound.element),) if gone else OK


@check()
def cbsa_created(declaration: Declaration, case: Case, bound: Bound) -> Iterable[Hit]:
    """Forbid changing a declaration of which CBSA has created a version."""
    return (Hit(bound.element),) if any(version.created_by_cbsa for version in case.history) else OK


@check()
def same_as_former(declaration: Declaration, case: Case, bound: Bound) -> Iterable[Hit]:
    """Require the element to be the same as in the former version."""
    now, before = declaration.get(bound.element), case.former and case.former.declaration.get(bound.element)
    return OK if now is None or before is None or now == before else (Hit(bound.element, expected=str(before)),)


@check(prepare=number)
def older_than_years(declaration: Declaration, case: Case, bound: Bound) -> Iterable[Hit]:
    """Require a change to come within so many years of the accounting."""
    if not case.history:
        return OK
    accounted = eastern_day(case.history[0].accepted_at)
    limit = add_months(accounted, 12 * int(bound.parameter))
    return (
        OK if case.today <= limit else (Hit(bound.element, expected=str(limit), details={"accounted": str(accounted)}),)
    )


@check("declaration", presence="any")
def former_lines(declaration: Declaration, case: Case, bound: Bound) -> Iterator[Hit]:
    """Require every line of the former version in the new one; a line is known by its number."""
    if case.former is None:
        return
    now, before = case.lines()
    for key, (i, _, line) in before.items():
        number = key[1]
        if number is None or key in now:
            continue
        text = case.pack.elements[bound.element].format.write(number)
        shown = line.text("classification") or "—"
        place = i if i <= len(declaration.invoices) else 0
        yield Hit("", value=text, expected=text, details={"line": text, "classification": shown}, invoice=place, line=0)


# What belongs to the change itself and not to what is declared; a difference in these is no change of the declaration.
ABOUT_THE_CHANGE = re.compile(
    r"function_code|functional_reference|version|notes|line_count|pre_carm|record_of_intent|previous_transaction|"
    r"accounting_date|(invoice_|line_)?(reason_code|remark)_\d"
)


def _substance(level: Level) -> Mapping[str, Value]:
    return {name: value for name, value in level.values.items() if not ABOUT_THE_CHANGE.fullmatch(name)}


def _changes(case: Case, former: Declaration) -> Iterator[tuple[int, int, Level]]:
    """Yield (invoice, line, level) for each level of the declaration that differs from the former version."""
    declaration = case.declaration
    if _substance(declaration) != _substance(former):
        yield 0, 0, declaration
    for i, invoice in enumerate(declaration.invoices, 1):
        if i > len(former.invoices) or _substance(invoice) != _substance(former.invoices[i - 1]):
            yield i, 0, invoice
    now, before = case.lines()
    for key, (i, j, line) in now.items():
        if key not in before or _substance(line) != _substance(before[key][2]):
            yield i, j, line


@check("declaration", presence="absent")
def reason_on_change(declaration: Declaration, case: Case, bound: Bound) -> Iterator[Hit]:
    """Require for each level that differs from the former version a reason code, its own or a level's above."""
    if case.former is None:
        return
    for i, j, level in _changes(case, case.former.declaration):
        name = "line_reason_code_1" if j else "invoice_reason_code_1" if i else "reason_code_1"
        covered = i > 0 and declaration.invoices[i - 1].has("invoice_reason_code_1")
        if not covered and not level.has(name):
            yield Hit(name, invoice=i, line=j)


@check()
def nothing_changes(declaration: Declaration, case: Case, bound: Bound) -> Iterable[Hit]:
    """Require a change to differ from the former version."""
    if case.former is None or next(_changes(case, case.former.declaration), None):
        return OK
    return OK if len(list(declaration.lines())) != len(list(case.former.declaration.lines())) else (Hit(bound.element),)


def _reason(code: Value | None, case: Case, column: str) -> str:
    """Return what the list of reason codes says of a code in a column, empty if nothing is known."""
    codes = case.specs.code_lists.get("reason_code")
    entry = codes.find(code, case.today) if codes and isinstance(code, str) else None
    return entry.row.get(column, "") if entry else ""


@check()
def refund_first(level: Level, case: Case, bound: Bound) -> Iterable[Hit]:
    """Require a refund's reason code to stand first; only a code for an amount owing may stand before it."""
    family = bound.element.removesuffix("1")
    first = _reason(level.get(bound.element), case, "kind")
    if first in {"", "refund", "owing"}:
        return OK
    for n in "23":
        code = level.text(f"{family}{n}")
        if code and _reason(code, case, "kind") == "refund":
            return (Hit(f"{family}{n}", expected="1", details={"first": level.text(bound.element) or "—"}),)
    return OK


@check()
def cbsa_only_reason(level: Level, case: Case, bound: Bound) -> Iterable[Hit]:
    """Forbid the reason codes that only CBSA may use (the list's column `use` says cbsa)."""
    family = bound.element.removesuffix("1")
    return [Hit(f"{family}{n}") for n in "123" if _reason(level.get(f"{family}{n}"), case, "use") == "cbsa"]


@check()
def reason_of_other_nature(level: Level, case: Case, bound: Bound) -> Iterable[Hit]:
    """Forbid reason codes for corrections only once the payment due date has made the change an adjustment."""
    if case.former is None or case.nature is not Nature.ADJUSTMENT:
        return OK
    family = bound.element.removesuffix("1")
    return [Hit(f"{family}{n}") for n in "123" if _reason(level.get(f"{family}{n}"), case, "use") == "correction"]


@check("declaration", presence="any")
def sima_changed(declaration: Declaration, case: Case, bound: Bound) -> Iterator[Hit]:
    """Forbid changing the SIMA subject of a line by an adjustment."""
    if case.former is None or case.nature is not Nature.ADJUSTMENT:
        return
    now, before = case.lines()
    for key, (i, j, line) in now.items():
        if key in before and line.get(bound.element) != before[key][2].get(bound.element):
            former = before[key][2].text(bound.element)
            yield Hit(bound.element, value=line.text(bound.element), expected=former, invoice=i, line=j)


@check("declaration", presence="any")
def value_lowered(declaration: Declaration, case: Case, bound: Bound) -> Iterable[Hit]:
    """Forbid a correction that lowers the value, by currency, of the lines that stay."""
    if case.former is None or case.nature is not Nature.CORRECTION:
        return OK
    now, before = Counter[str](), Counter[str]()
    lines, former = case.lines()
    for key, (_, _, line) in lines.items():
        old = former[key][2] if key in former else line
        for totals, each in ((now, line), (before, old)):
            amount, currency = each.amount("value_for_currency_conversion"), each.text("currency")
            if amount is not None and currency is not None:
                totals[currency] += amount  # type: ignore[assignment]
    lowered = sorted(each for each in now.keys() & before.keys() if now[each] < before[each])
    return [Hit("", value=f"{now[each]:f} {each}", expected=f"{before[each]:f} {each}") for each in lowered]
