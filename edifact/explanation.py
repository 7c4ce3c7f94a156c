"""Compares explanations of segments that do not fit their structure table: the fewest faults win, within bounds.

A segment may be strange where it stands, alone or with its group; something mandatory may be missing before it, also
the trigger of its group; or it stands there once too often. What is strange here and missing there was moved, and what
is strange right where something is missing stands in its place: each is one fault. Qualifiers that are not those of a
row speak against it, less than a fault does; the count in UNT speaks for segments lost or added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from edifact.directory import Structure
from edifact.walking import Fit, WalkState, enter, find, further, is_told, late, together, without_trigger

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


class Misfit(NamedTuple):
    """What does not fit at an index: so many strange segments, rows missing before it, or a row taken too often."""

    at: int
    strange: int = 0
    missing: tuple[int, ...] = ()
    over: int = -1
    counterparts: tuple[Counterpart, ...] = ()


class Taken(NamedTuple):
    """A segment taken at a row, and where the walk stands behind it."""

    row: int
    state: WalkState


class Explanation(NamedTuple):
    """An explanation of the segments before `behind`: what it costs, where the walk stands, and how it came there.

    `strange` (indices) and `missing` (row, index before which) have no counterpart yet; `quiet` is the index behind
    the last misfit, `misfits` how many there are; `found` is the last segment taken or misfit, `before` the
    explanation without it.
    """

    behind: int
    cost: int
    state: WalkState
    strange: tuple[int, ...] = ()
    missing: tuple[tuple[int, int], ...] = ()
    quiet: int = 0
    misfits: int = 0
    found: Taken | Misfit | None = None
    before: Explanation | None = None


class Bounds(NamedTuple):
    """How many explanations are followed at a time; when the best is taken.

    That is behind `quiet` segments without fault, at the latest `far` segments behind the one that does not fit.
    """

    width: int
    quiet: int
    far: int


class Search:
    """Explains the segments of one message.

    `tags` are theirs, `lost` how many more there were by the count in UNT (fewer: how many were added).
    """

    def __init__(self, structure: Structure, tags: Sequence[str], suits: Suits, lost: int) -> None:
        self.structure, self.tags, self.suits = structure, tags, suits
        self.spent = 0  # explanations of a segment that were followed, all in all
        self._together: dict[int, int] = {}
        self.missing = FAULT + (COUNTED if lost < 0 else 0)
        self.added = FAULT + (COUNTED if lost > 0 else 0)

    def best(self, first: Explanation, failing: int, bounds: Bounds) -> Explanation:
        """Return the cheapest way to go on from an explanation, behind the segment at `failing` at least.

        That does not fit if all before it are what they seem to be. Where there is no end to what does not fit, the
        last segments of the cheapest are left open.
        """
        reached, index = {first.behind: [first]}, first.behind
        while True:
            here = _likely(reached.pop(index, []), bounds.width)
            if here and index > failing:
                if index == len(self.tags) or index - here[0].quiet >= bounds.quiet:
                    return here[0]
                if index >= failing + bounds.far:
                    return _until(here[0], index - bounds.quiet, failing)
            self.spent += len(here)
            for each in here:
                for way in self._ways(each, index):
                    reached.setdefault(way.behind, []).append(way)
            index += 1

    def _ways(self, here: Explanation, index: int) -> Iterator[Explanation]:
        """Yield each way to explain the segment at an index."""
        tag = self.tags[index]
        step = find(self.structure, here.state, tag)
        if step:
            yield self.taken(here, index, step)
        if opened := without_trigger(self.structure, here.state, tag, partial(self.suits, index)):
            yield self.taken(here, index, opened)
        if step is None or step.missing or step.over or not self.suits(index, step.row):
            for other in further(self.structure, here.state, tag):
                yield self.taken(here, index, other)
            if index not in self._together:
                self._together[index] = together(self.structure, self.tags, index)
            if (length := self._together[index]) > 1:
                yield self._strange(here, index, length)
        if not step or tag != "UNT":
            yield self._strange(here, index, 1)

    def taken(self, here: Explanation, index: int, step: Fit) -> Explanation:
        """Return the explanation that a segment goes to a row."""
        structure, state = self.structure, here.state
        cost = 0 if self.suits(index, step.row) else ODD
        if step.through >= 0:
            after = self.tags[index + 1] if index + 1 < len(self.tags) else None
            cost += LATE if late(structure, state, step, self.tags[index], after) else NO_TRIGGER
            state = enter(structure, state, step.through)
        if step.missing:
            here = self._lacking(here, index, step.missing)
        if step.over and not is_told(structure, state, step.row):
            here = _with(here, Misfit(index, over=step.row), self.added)
        state = enter(structure, state, step.row)
        cost += here.cost
        found = Taken(step.row, state)
        return here._replace(behind=index + 1, cost=cost, state=state, found=found, before=here)

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
            before = here.found
            if isinstance(before, Misfit) and before.at + before.strange == index and before.at in strange:
                strange.remove(before.at)
                cost += INSTEAD - self.missing
                found.append(Counterpart(before.at, lacking.pop(0), index))
        misfit = Misfit(index, missing=rows, counterparts=tuple(found))
        missing = (*here.missing, *((row, index) for row in lacking))[-LEDGER:]
        return _with(here._replace(strange=tuple(strange), missing=missing), misfit, cost)

    def _strange(self, here: Explanation, index: int, length: int) -> Explanation:
        """Return the explanation that segments have no place where they stand."""
        moved = next((each for each in here.missing if self.is_of(index, each[0])), None)
        if moved is None:
            here = here._replace(strange=(*here.strange, index)[-LEDGER:])
            return _with(here, Misfit(index, strange=length), self.added + STRANGE)
        here = here._replace(missing=tuple(each for each in here.missing if each != moved))
        return _with(here, Misfit(index, strange=length, counterparts=(Counterpart(index, *moved),)), MOVED)

    def is_of(self, index: int, row: int) -> bool:
        """Tell whether a segment is, by tag and qualifiers, one of a row."""
        return self.tags[index] == self.structure.rows[row].tag and self.suits(index, row)


def _with(here: Explanation, misfit: Misfit, cost: int) -> Explanation:
    """Return an explanation with a misfit."""
    after = misfit.at + misfit.strange
    cost, misfits = here.cost + cost, here.misfits + 1
    return here._replace(behind=after, cost=cost, quiet=after, misfits=misfits, found=misfit, before=here)


def _until(here: Explanation, upto: int, failing: int) -> Explanation:
    """Return the part of an explanation that explains the segments before an index, and that at `failing` at least."""
    part: Explanation | None = here
    while part and part.behind > failing:
        if part.behind <= upto and isinstance(part.found, Taken):
            return part
        part = part.before
    return here


def _likely(reached: list[Explanation], width: int) -> list[Explanation]:
    """Return the explanations to follow, the cheapest first: of those that lead to one row only a few.

    One that costs as much more than another as all its segments without counterpart could save is not followed.
    """
    kept: list[Explanation] = []
    for each in sorted(reached, key=lambda way: way.cost):
        if each.cost > (kept or [each])[0].cost + SLACK or len(kept) == width:
            break
        alike = [other for other in kept if other.state.at == each.state.at]
        if len(alike) < KEPT and not any(_saves(each, other) <= each.cost - other.cost for other in alike):
            kept.append(each)
    return kept


def _saves(each: Explanation, other: Explanation) -> int:
    """Return what an explanation's segments without counterpart could save that another's cannot."""
    return FAULT * (len({*each.strange} - {*other.strange}) + len({*each.missing} - {*other.missing}))
