"""The checks that rule rows name: the generic kinds, and those of numbers that carry their own check.

A check is asked only when its element is present (or absent, as its registration says) and the row's `when` holds.
It sees readable values only, and returns what it found; texts, severity and source stand in the pack's rule table. What
a check reads beside its row's element it declares, by `Role`. Those of one subject stand in `rules_goods.py`,
`rules_versions.py` and `rules_reasons.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date

from core.declaration import Level
from core.findings import Fault
from core.specs import CodeList
from validators.checks import Bound, Context, check
from validators.elements import is_always_valid, listed_on, unlisted_details
from validators.parameters import code_list, codes, expression, moment, number

__all__ = ["OK", "bn_is_valid", "check_digit_of"]

OK: tuple[Fault, ...] = ()


# ---------------------------------------------------------------------------------------- generic kinds


@check(of="text", prepare=expression)
def pattern(level: Level, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require the element's text to match the regular expression as a whole."""
    text = level.text(bound.element)
    return OK if text is None or bound.parameter.fullmatch(text) else (bound.fault(),)


@check(presence="absent")
def required_when(level: Level, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require the element (asked only when it is not given, and the row's condition holds)."""
    return (bound.fault(),)


@check()
def forbidden_when(level: Level, context: Context, bound: Bound) -> Iterable[Fault]:
    """Forbid the element (asked only when it is given, and the row's condition holds)."""
    return OK if level.get(bound.element) is None else (bound.fault(),)


@check(of="text", prepare=codes())
def one_of_when(level: Level, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require the element's text to be one of the values."""
    text = level.text(bound.element)
    if text is None or text in bound.parameter:
        return OK
    return (bound.fault(expected=", ".join(sorted(bound.parameter))),)


@check(of="text", prepare=codes())
def none_of_when(level: Level, context: Context, bound: Bound) -> Iterable[Fault]:
    """Forbid the values as the element's text."""
    return (bound.fault(),) if level.text(bound.element) in bound.parameter else OK


@check(of="text", prepare=code_list, on_list_day=True)
def listed(level: Level, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require the element's code to be in the code list, on the day that the dictionary names for it."""
    codes: CodeList = bound.parameter
    text = level.text(bound.element)
    if text is None or is_always_valid(codes, text):
        return OK
    element = context.pack.elements[bound.element]
    if codes.find(text, listed_on(element, level, context.declaration)):
        return OK
    return (bound.fault(details=unlisted_details(codes, text, element, level, context.declaration, context.pack)),)


@check(of="text", prepare=code_list)
def not_listed(level: Level, context: Context, bound: Bound) -> Iterable[Fault]:
    """Forbid the codes of the code list on the day of receipt."""
    codes: CodeList = bound.parameter
    text = level.text(bound.element)
    return (bound.fault(),) if text is not None and codes.find(text, context.today) else OK


@check()
def at_most_one(level: Level, context: Context, bound: Bound) -> Iterable[Fault]:
    """Allow the element once; the dictionary's own count of occurrences then leaves it to this rule."""
    return (bound.fault(expected="1", occurrence=2),) if level.more.get(bound.element) else OK


@check(of="number", prepare=number)
def above(level: Level, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require the element's number to be greater than the parameter."""
    amount = level.amount(bound.element)
    return OK if amount is None or amount > bound.parameter else (bound.fault(expected=f"> {bound.parameter}"),)


@check(of="date", prepare=moment)
def not_after(level: Level, context: Context, bound: Bound) -> Iterable[Fault]:
    """Forbid a date after the parameter's; silent if either is not known."""
    day, limit = level.day(bound.element), _moment(bound.parameter, level, context)
    return OK if day is None or limit is None or day <= limit else (bound.fault(expected=f"<= {limit}"),)


@check(of="date", prepare=moment)
def not_before(level: Level, context: Context, bound: Bound) -> Iterable[Fault]:
    """Forbid a date before the parameter's; silent if either is not known."""
    day, limit = level.day(bound.element), _moment(bound.parameter, level, context)
    return OK if day is None or limit is None or day >= limit else (bound.fault(expected=f">= {limit}"),)


def _moment(parameter: str | date | None, level: Level, context: Context) -> date | None:
    """Return the day that a parameter stands for; without one the day of receipt."""
    if isinstance(parameter, str):
        return level.day(parameter) or context.declaration.day(parameter)
    return parameter or context.today


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


@check(of="text")
def check_digit(level: Level, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require the last of a transaction number's 14 digits to be the check digit of the others."""
    text = level.text(bound.element)
    if text is None or len(text) != 14 or not (text.isascii() and text.isdigit()):
        return OK
    digit = check_digit_of(text[:13])
    return OK if text[13] == digit else (bound.fault(expected=f"{text[:13]}{digit}", details={"digit": digit}),)


BN15 = re.compile(r"[0-9]{9}[A-Z]{2}[0-9]{4}")


@check(of="text")
def bn_luhn(level: Level, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require the nine digits of a BN15 to pass Luhn's check; its form is another rule's."""
    text = level.text(bound.element)
    return OK if text is None or not BN15.fullmatch(text) or bn_is_valid(text[:9]) else (bound.fault(),)


@check(of="text")
def bn_zeros(level: Level, context: Context, bound: Bound) -> Iterable[Fault]:
    """Forbid all zeros as the nine digits or as the account number of a BN15."""
    text = level.text(bound.element)
    if text is None or not BN15.fullmatch(text):
        return OK
    return (bound.fault(),) if text[:9] == "000000000" or text[11:] == "0000" else OK
