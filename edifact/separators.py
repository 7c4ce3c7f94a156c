"""Finds the one separator that makes several values of an EDIFACT segment wrong: twice there, or one for the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, pairwise
from typing import NamedTuple

from edifact.directory import Segment

TWICE, COMPONENT, ELEMENT, LOST = "EDI-0522", "EDI-0523", "EDI-0524", "EDI-0525"
FOUND = frozenset({TWICE, COMPONENT, ELEMENT, LOST})  # behind it no value stands where it seems to

SHORT = 200  # characters of a segment that a service segment of the usual length does not reach

Elements = Sequence[Sequence[str]]


class Mended(NamedTuple):
    """A finding's code, the element and component (both from 0) behind the separator, and the segment made right."""

    code: str
    element: int
    component: int
    elements: Elements


def misplaced(
    segment: Segment, elements: Elements, syntax: str, wrong: Callable[[Elements], bool], *, several: bool
) -> Mended | None:
    """Return the separator without or instead of which a segment is right, None if there is no such.

    `elements` (without the tag) are lists of repetitions, in canonical form; `wrong` tells whether they are. A value
    too many is not looked for: two wrong values could pass for it. Where not `several` values are wrong, an empty one
    is not taken away: the wrong one could pass elsewhere. A lost separator is looked for in short service segments.
    """
    slots = segment.positions(syntax)
    most = len(slots) + sum(len(slot.parts) for slot in slots)
    if sum(element.count(":") + 1 for repetitions in elements for element in repetitions) > most:
        return None
    tried = _exchanged(elements) if not several else chain(_without(elements), _exchanged(elements))
    if several and segment.tag[:2] == "UN":
        tried = chain(tried, _parted(elements))
    return next((each for each in tried if not wrong(each.elements)), None)


def _without(elements: Elements) -> Iterator[Mended]:
    """Yield a segment without each of its empty elements and components."""
    for at, repetitions in enumerate(elements):
        if not any(each.strip(": ") for each in repetitions):
            yield Mended(TWICE, at, 0, [*elements[:at], *elements[at + 1 :]])
    for at, parts in _single(elements):
        for number in [number for number, part in enumerate(parts[:-1]) if not part.strip(" ")]:
            rest = ":".join([*parts[:number], *parts[number + 1 :]])
            yield Mended(TWICE, at, number + 1, [*elements[:at], [rest], *elements[at + 1 :]])


def _exchanged(elements: Elements) -> Iterator[Mended]:
    """Yield a segment with each of its separators as the other."""
    single = list(_single(elements))
    for at, parts in single:
        for number in [number for number in range(1, len(parts)) if any(parts[:number]) and any(parts[number:])]:
            both = [[":".join(parts[:number])], [":".join(parts[number:])]]
            yield Mended(COMPONENT, at, number, [*elements[:at], *both, *elements[at + 1 :]])
    for (at, parts), (after, more) in pairwise(single):
        if after == at + 1 and any(parts) and any(more):
            yield Mended(ELEMENT, after, 0, [*elements[:at], [":".join((*parts, *more))], *elements[after + 1 :]])


def _parted(elements: Elements) -> Iterator[Mended]:
    """Yield a segment with a separator more, at each place inside its values."""
    if sum(len(element) for repetitions in elements for element in repetitions) > SHORT:
        return
    for at, element in [(at, element[0]) for at, element in enumerate(elements) if len(element) == 1]:
        for place in range(1, len(element)):
            left, right = element[:place], element[place:]
            if left[-1] != ":" != right[0]:
                for parted in ([[f"{left}:{right}"]], [[left], [right]]):
                    yield Mended(LOST, at, left.count(":"), [*elements[:at], *parted, *elements[at + 1 :]])


def _single(elements: Elements) -> Iterator[tuple[int, list[str]]]:
    """Return the elements that stand once, with their components."""
    return ((at, element[0].split(":")) for at, element in enumerate(elements) if len(element) == 1)
