"""One cause, one finding: what several checks find of one mistake in the content is told once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from itertools import accumulate

from core.declaration import Declaration, Level
from core.findings import Address, Fault
from core.specs import Element, Pack
from parsers.places import STEPS
from validators.elements import MISSING, REPEATED, details_of, segment_of

EMPTY = "CAD-0008"  # told on reading: a segment or class that has no value
TOGETHER = "together"  # the state of a finding that several elements are missing


def without_echo(faults: list[Fault]) -> list[Fault]:
    """Return faults without those of what says nothing where its element is told, too: that is one mistake."""
    missing = {fault.address.element for fault in faults if fault.code != EMPTY and fault.address}
    return [
        fault
        for fault in faults
        if fault.code != EMPTY or missing.isdisjoint(fault.details.get("elements", "").split())
    ]


def one_each(
    faults: Iterable[Fault], declaration: Declaration, pack: Pack, *, in_xml: bool, refuses: Callable[[Fault], bool]
) -> list[Fault]:
    """Return the faults of a declaration, those about what is missing or repeated together as one.

    What is missing is told where all of it would stand: in EDIFACT a segment, in XML also the highest class of which
    nothing is there. Of what refuses and what warns of the same, what refuses is told.
    """
    told: dict[Hashable, Fault] = {}
    for fault in sorted(faults, key=lambda fault: not refuses(fault)):
        cause = _cause(fault, declaration, pack, in_xml)
        first = told.setdefault(cause, fault)
        if first is fault or first.code != fault.code:
            continue
        if fault.code not in (MISSING, REPEATED):
            told[id(fault)] = fault  # one rule that tells two things of what is absent has two things to tell
        elif fault.code == MISSING and in_xml:
            told[cause] = _together(first, fault, pack)
    return list(told.values())


def _cause(fault: Fault, declaration: Declaration, pack: Pack, in_xml: bool) -> Hashable:
    """Return what is the same for faults that have one cause; the fault itself if it has one of its own."""
    element = pack.elements.get(fault.address.element) if fault.address else None
    if element is None or fault.address is None:
        return id(fault)
    _, invoice, line, _ = fault.address
    if fault.code == REPEATED and in_xml:
        return REPEATED, _node(element).rpartition("/")[0], invoice, line
    level = _level(declaration, fault.address)
    if fault.value is not None or level is None or level.has(element.name):
        return id(fault)
    if in_xml:
        return _highest_absent(element, level, pack), invoice, line
    return _node(element), segment_of(element), invoice, line


def _together(first: Fault, further: Fault, pack: Pack) -> Fault:
    """Return the fault of what is missing with what is missing beside it; an amount and its currency are one."""
    if first.address is None or further.address is None:
        return first
    one, two = (pack.elements[each.element] for each in (first.address, further.address))
    if _node(one) == _node(two):
        return first
    names = {name: f"{first.details[name]}, {details_of(two)[name]}" for name in ("name_en", "name_fr")}
    return replace(first, details={**first.details, **names, "state": TOGETHER})


def _level(declaration: Declaration, address: Address) -> Level | None:
    """Return the level that an address counts to, None if it is not there."""
    _, invoice, line, _ = address
    if not invoice:
        return declaration
    if invoice > len(declaration.invoices):
        return None
    if not line:
        return declaration.invoices[invoice - 1]
    lines = declaration.invoices[invoice - 1].commodities
    return lines[line - 1] if line <= len(lines) else None


def _node(element: Element) -> str:
    """Return the XML element in which, or in whose attribute, an element stands; its own name if it stands in none."""
    return (element.xml_path or element.name).partition("/@")[0]


def _highest_absent(element: Element, level: Level, pack: Pack) -> str:
    """Return the highest class above a missing element of which the level has nothing; the element's own, if none."""
    present = {path for name in level.values if name in pack.elements for path in _paths(pack.elements[name])}
    return next((path for path in _paths(element) if path not in present), _node(element))


def _paths(element: Element) -> list[str]:
    """Return the XML paths down to an element, the highest first."""
    return list(accumulate(STEPS.split(_node(element)), "{}/{}".format))
