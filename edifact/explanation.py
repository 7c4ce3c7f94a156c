"""Compares explanations of segments that do not fit their structure table: the fewest faults win, within bounds.

A segment may be strange where it stands, alone or with its group; something mandatory may be missing before it, also
the trigger of its group; or it stands there once too often. What is strange here and missing there was moved, and what
is strange right where something is missing stands in its place: each is one fault. Qualifiers that are not those of a
row speak against it, less than a fault does; the count in UNT speaks for segments lost or added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from edifact.directory import Structure
from edifact.position import Position, Step, enter, find, further, late, taken, together, without_trigger

# What an explanation costs: a fault; each further segment missing in the same place; a segment missing here that is
# strange elsewhere, or the other way round; one missing where a strange one stands; qualifiers of another row.
FAULT, MORE, MOVED, INSTEAD, ODD = 100, 30, 5, 20, 60
# Of equal ones, a group without its trigger is likelier than a strange segment, unless the segment only came late; and
# what the count in UNT does not bear out is less likely than anything else.
NO_TRIGGER, STRANGE, LATE, COUNTED = 2, 3, 4, 10

KEPT = 3  # explanations at a time that lead to the same row
SLACK = 250  # how much more than the best an explanation may cost to be followed
LEDGER = 12  # segments without counterpart that are remembered

# Whether the qualifiers of the segment at an index are those of a row.
Suits = Callable[[int, int], bool]


class Counterpart(NamedTuple):
    """What is strange and what is missing are one fault: an index; a row, and the index before which it is missing."""

    strange: int
    row: int
    before: int


class Event(NamedTuple):
    """What does not fit at an index: so many strange segments, rows missing before it, or a row taken too often."""

    at: int
    strange: int = 0
    missing: tuple[int, ...] = ()
    over: int = -1
    counterparts: tuple[Counterpart, ...] = ()


class Taken(NamedTuple):
    """A segment taken at a row, and where the walk stands behind it."""

    row: int
    position: Position


class Explanation(NamedTuple):
    """An explanation of the segments up to one: what it costs, where the walk stands, and how it came there.

    `strange` (indices) and `missing` (row, index before which) have no counterpart yet; `quiet` is the index behind
    the last event; `trail` links (segment taken or event, the trail before), the latest first.
    """

    cost: int
    position: Position
    strange: tuple[int, ...] = ()
    missing: tuple[tuple[int, int], ...] = ()
    quiet: int = 0
    trail: tuple[Taken | Event, Any] | None = None


class Bounds(NamedTuple):
    """How many explanations are followed at a time, and behind how many segments without fault the best is taken."""

    width: int
    quiet: int


class Search:
    """Explains the segments of one message.

    `tags` are theirs, `lost` how many more there were by the count in UNT (fewer: how many were added).
    """

    def __init__(self, structure: Structure, tags: Sequence[str], suits: Suits, lost: int) -> None:
        self.structure, self.tags, self.suits = structure, tags, suits
        self.missing = FAULT + (COUNTED if lost < 0 else 0)
        self.added = FAULT + (COUNTED if lost > 0 else 0)

    def best(self, first: Explanation, start: int, failing: int, bounds: Bounds) -> tuple[Explanation, int]:
        """Return the cheapest explanation of the segments from `start` on, and the index to go on from.

        The segment at `failing` does not fit if all before it are what they seem to be.
        """
        reached, index = {start: [first]}, start
        while True:
            here = _likely(reached.pop(index, []), bounds.width)
            if here and index > failing and (index == len(self.tags) or index - here[0].quiet >= bounds.quiet):
                return here[0], index
            for each in here:
                for after, way in self._ways(each, index):
                    reached.setdefault(after, []).append(way)
            index += 1

    def _ways(self, here: Explanation, index: int) -> Iterator[tuple[int, Explanation]]:
        """Yield each way to explain the segment at an index, with the index behind what it explains."""
        tag = self.tags[index]
        step = find(self.structure, here.position, tag)
        if step:
            yield index + 1, self._taken(here, index, step)
        if opened := without_trigger(self.structure, here.position, tag):
            yield index + 1, self._taken(here, index, opened)
        if step is None or step.missing or step.over or not self.suits(index, step.row):
            for other in further(self.structure, here.position, tag):
                yield index + 1, self._taken(here, index, other)
            if (length := together(self.structure, self.tags, index)) > 1:
                yield index + length, self._strange(here, index, length)
        if not step or tag != "UNT":
            yield index + 1, self._strange(here, index, 1)

    def _taken(self, here: Explanation, index: int, step: Step) -> Explanation:
        """Return the explanation that a segment goes to a row."""
        structure, position = self.structure, here.position
        cost = 0 if self.suits(index, step.row) else ODD
        if step.through >= 0:
            after = self.tags[index + 1] if index + 1 < len(self.tags) else None
            cost += LATE if late(structure, position, step, self.tags[index], after) else NO_TRIGGER
            position = enter(structure, position, step.through)
        if step.missing:
            here = self._lacking(here, index, step.missing)
        if step.over and taken(structure, position, step.row) == structure.steps[step.row].max:  # told once for a run
            here = _with(here, Event(index, over=step.row), self.added)
        position = enter(structure, position, step.row)
        return here._replace(cost=here.cost + cost, position=position, trail=(Taken(step.row, position), here.trail))

    def _lacking(self, here: Explanation, index: int, rows: tuple[int, ...]) -> Explanation:
        """Return the explanation that rows are missing before a segment."""
        strange, cost, lacking, found = list(here.strange), 0, [], []
        for row in rows:
            moved = next((each for each in strange if self.is_of(each, row)), None)
            if moved is None:
                lacking.append(row)
            else:
                strange.remove(moved)
                cost += MOVED
                found.append(Counterpart(moved, row, index))
        if lacking:
            cost += self.missing + MORE * (len(lacking) - 1)
            before = here.trail[0] if here.trail else None
            if isinstance(before, Event) and before.at + before.strange == index and before.at in strange:
                strange.remove(before.at)
                cost += INSTEAD - self.missing
                found.append(Counterpart(before.at, lacking.pop(0), index))
        event = Event(index, missing=rows, counterparts=tuple(found))
        missing = (*here.missing, *((row, index) for row in lacking))[-LEDGER:]
        return _with(here._replace(strange=tuple(strange), missing=missing), event, cost)

    def _strange(self, here: Explanation, index: int, length: int) -> Explanation:
        """Return the explanation that segments have no place where they stand."""
        moved = next((each for each in here.missing if self.is_of(index, each[0])), None)
        if moved is None:
            here = here._replace(strange=(*here.strange, index)[-LEDGER:])
            return _with(here, Event(index, strange=length), self.added + STRANGE)
        here = here._replace(missing=tuple(each for each in here.missing if each != moved))
        return _with(here, Event(index, strange=length, counterparts=(Counterpart(index, *moved),)), MOVED)

    def is_of(self, index: int, row: int) -> bool:
        """Tell whether a segment is, by tag and qualifiers, one of a row."""
        return self.tags[index] == self.structure.rows[row].tag and self.suits(index, row)


def _with(here: Explanation, event: Event, cost: int) -> Explanation:
    """Return an explanation with an event."""
    quiet = event.at + event.strange
    return here._replace(cost=here.cost + cost, quiet=quiet, trail=(event, here.trail))


def _likely(reached: list[Explanation], width: int) -> list[Explanation]:
    """Return the explanations to follow, the cheapest first: of those that lead to one row only a few.

    One that costs as much more than another as all its segments without counterpart could save is not followed.
    """
    kept: list[Explanation] = []
    for each in sorted(reached, key=lambda way: way.cost):
        if each.cost > (kept or [each])[0].cost + SLACK or len(kept) == width:
            break
        alike = [other for other in kept if other.position.at == each.position.at]
        if len(alike) < KEPT and not any(_saves(each, other) <= each.cost - other.cost for other in alike):
            kept.append(each)
    return kept


def _saves(each: Explanation, other: Explanation) -> int:
    """Return what an explanation's segments without counterpart could save that another's cannot."""
    return FAULT * (len({*each.strange} - {*other.strange}) + len({*each.missing} - {*other.missing}))
