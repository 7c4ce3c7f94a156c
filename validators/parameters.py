"""Reads the parameters of rule rows into typed values, once, at load; whatever cannot be read is a ValueError."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from core.specs import CodeList, Element, Pack, Rule, Specs


class Setting(NamedTuple):
    """What a parameter is read beside: its row, the row's element, the pack and the whole specification."""

    rule: Rule
    element: Element
    pack: Pack
    specs: Specs


# Takes the parameter's text; raises ValueError with the reason for one that cannot be used.
Reader = Callable[[str, Setting], Any]


class ElementName(str):
    """A parameter that is the name of an element: the rule reads that, too."""

    __slots__ = ()


class Months(int):
    """A period in months, written `7 years 3 months`."""

    __slots__ = ()


def pairs(text: str) -> dict[str, str]:
    """Return `name=value; name=value` as a dictionary; raises ValueError for anything else."""
    found: dict[str, str] = {}
    for part in text.split(";") if text.strip() else ():
        name, sign, value = (piece.strip() for piece in part.partition("="))
        if not sign or not re.fullmatch(r"\w+", name):
            raise ValueError(f"cannot read {part.strip()!r}: name=value, with ; between them")
        if name in found:
            raise ValueError(f"{name} is given twice")
        found[name] = value
    return found


def nothing(text: str, setting: Setting) -> None:
    """Read the parameter of a check that takes none."""
    if text:
        raise ValueError(f"{setting.rule.check} takes no parameter")


def words(text: str, setting: Setting) -> frozenset[str]:
    """Read values separated by spaces."""
    if not text.split():
        raise ValueError(f"{setting.rule.check} needs values as its parameter")
    return frozenset(text.split())


def codes(named: str = "") -> Reader:
    """Return the reader of codes of a list, without a name of that of the row's element; any words where none is."""

    def read(text: str, setting: Setting) -> frozenset[str]:
        found = words(text, setting)
        listed = setting.specs.code_lists.get(named or setting.element.code_list or "")
        if listed and (odd := sorted(found - set(listed.codes))):
            raise ValueError(f"{odd[0]} is no code of {listed.id}")
        return found

    return _told(read, f"Read codes of the list {named or 'of its element'}, separated by spaces.")


def ordered(text: str, setting: Setting) -> tuple[str, ...]:
    """Read values separated by spaces, in their order."""
    words(text, setting)
    return tuple(text.split())


def word(text: str, setting: Setting) -> str:
    """Read one value."""
    if len(text.split()) != 1:
        raise ValueError(f"{setting.rule.check} needs one value, not {text!r}")
    return text


def expression(text: str, _setting: Setting) -> re.Pattern[str]:
    """Read a regular expression."""
    try:
        return re.compile(text)
    except re.error as error:
        raise ValueError(f"bad regular expression: {error}") from error


def number(text: str, _setting: Setting) -> Decimal:
    """Read a number."""
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is no number") from error
    if not value.is_finite():
        raise ValueError(f"{text!r} is no number")
    return value


def whole(least: int, most: int) -> Reader:
    """Return the reader of a whole number between two others."""

    def read(text: str, _setting: Setting) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"{text!r} is no whole number from {least} to {most}")
        return int(text)

    return _told(read, f"Read a whole number from {least} to {most}.")


def period(text: str, _setting: Setting) -> Months:
    """Read a period: `7 years 3 months`, `4 years`, `1 month`."""
    found = re.fullmatch(r"(?:([0-9]{1,3}) years?)? ?(?:([0-9]{1,3}) months?)?", text)
    if not found or not any(found.groups()):
        raise ValueError(f"{text!r} is no period such as 7 years 3 months")
    return Months(12 * int(found[1] or 0) + int(found[2] or 0))


def day(text: str, _setting: Setting) -> date:
    """Read a date, 2024-10-21."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no date") from error


def moment(text: str, setting: Setting) -> ElementName | date | None:
    """Read `today` (None), the name of a date element of the declaration or the own level, or a date."""
    if text == "today":
        return None
    element = setting.pack.elements.get(text)
    if element and element.format.kind == "date":
        if element.level not in {"declaration", setting.element.level}:
            raise ValueError(f"{text} is of level {element.level}, {setting.element.name} of {setting.element.level}")
        return ElementName(text)
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is neither today, nor a date element, nor a date") from error


def choice(*allowed: str) -> Reader:
    """Return the reader of a parameter that is one of the given words."""

    def read(text: str, setting: Setting) -> str:
        if text not in allowed:
            raise ValueError(f"{setting.rule.check} takes one of: {', '.join(allowed)}")
        return text

    return _told(read, f"Read one of: {', '.join(allowed)}.")


def code_list(text: str, setting: Setting) -> CodeList:
    """Read the id of a code list, which must be there."""
    if not re.fullmatch(r"\w+", text):
        raise ValueError(f"{setting.rule.check} needs the id of a code list as its parameter")
    if text not in setting.specs.code_lists:
        raise ValueError(f"there is no code list {text}")
    return setting.specs.code_lists[text]


def named(made: Callable[..., Any], **readers: Reader) -> Reader:
    """Return the reader of a parameter `name=value; name=value`: each of the names once, `made` of their values."""

    def read(text: str, setting: Setting) -> Any:
        given = pairs(text)
        if lacking := [name for name in readers if name not in given]:
            raise ValueError(f"the parameter of {setting.rule.check} lacks {', '.join(lacking)} (name=value; ...)")
        if unknown := [name for name in given if name not in readers]:
            raise ValueError(f"{setting.rule.check} takes {', '.join(readers)} as its parameter, no {unknown[0]}")
        return made(**{name: reader(given[name], setting) for name, reader in readers.items()})

    each = "; ".join(
        f"{name}: {(reader.__doc__ or '').removeprefix('Read ').rstrip('.')}" for name, reader in readers.items()
    )
    return _told(read, f"Read `name=value; name=value`, each of them once. {each}.")


def _told(read: Reader, grammar: str) -> Reader:
    """Return a reader that was made, with its grammar as its docstring."""
    read.__doc__ = grammar
    return read
