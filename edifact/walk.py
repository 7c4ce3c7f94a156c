"""Walks an EDIFACT message through its structure table and tells what does not fit: one cause, one finding."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from edifact.directory import Structure
from edifact.explanation import Bounds, Event, Explanation, Search, Suits, Taken
from edifact.flaw import Flaw
from edifact.position import START, Position, enter, find, missing

# How far explanations are compared: the segments before one that does not fit which may be to blame for it, and then
# on. As many faults as an answer lists are looked into so far; further ones shortly.
BACK, FAR, SHORT = 16, Bounds(width=10, quiet=10), Bounds(width=2, quiet=3)
THOROUGH = 50
NEAR = 40  # segments between a strange one and the place where it is said to belong

MISSING, SEVERAL = "EDI-0403", "EDI-0410"
UNKNOWN, NOTHING, STRANGE, UNUSED, MOVED = "EDI-0401", "EDI-0407", "EDI-0402", "EDI-0408", "EDI-0409"


class Walked(NamedTuple):
    """What came of a walk.

    `rows` are each segment's row (-1: it has none), `uncertain` the tags whose number says nothing any more, `counts`
    the least and the most segments that the message had, if what does not fit came in on the way. `awaited` is the tag
    that should come next at the end.
    """

    rows: list[int]
    flaws: list[Flaw]
    uncertain: set[str]
    counts: tuple[int, int]
    awaited: str


def walk(
    structure: Structure,
    tags: Sequence[str],
    limit: int,
    suits: Suits = lambda _index, _row: True,
    count: int | None = None,
) -> Walked:
    """Walk a message's segments through a structure, up to about `limit` flaws.

    `tags` begin with UNH; a UNT that is missing, with all before it, is not told here. Each flaw names the tag that it
    concerns as its detail `segment`; what is missing is told at the segment behind which it should stand. `suits` tells
    whether the qualifiers of the segment at an index are those of a row, `count` how many segments UNT says there are.
    """
    search = Search(structure, tags, suits, 0 if count is None else count - len(tags))
    rows, events = [0, *[-1] * (len(tags) - 1)], list[Event]()
    here = Explanation(0, START)
    before: deque[tuple[int, Position]] = deque(maxlen=BACK)
    index = 1
    while index < len(tags) and len(events) < limit:
        step = find(structure, here.position, tags[index])
        if step and not step.missing and not step.over:
            before.append((index, here.position))
            rows[index] = step.row
            here, index = here._replace(position=enter(structure, here.position, step.row)), index + 1
            continue
        bounds = FAR if len(events) < THOROUGH else SHORT
        start, position = before[0] if before and bounds is FAR else (index, here.position)
        here, index = search.best(Explanation(0, position, here.strange, here.missing), start, index, bounds)
        for found in _unwound(here.trail):
            if isinstance(found, Event):
                events.append(found)
                before.clear()
                rows[start : start + found.strange], start = [-1] * found.strange, start + found.strange
                continue
            if start > here.quiet:  # what stands behind the last fault may yet be to blame for the next one
                before.append((start, position))
            rows[start], position, start = found.row, found.position, start + 1
    (awaited, *_) = *missing(structure, here.position, len(structure.rows)), -1
    told = _Told(structure, tags, suits, rows, events)
    return Walked(rows, told.flaws(), told.uncertain(), told.counts(), structure.rows[awaited].tag)


def _unwound(trail: Any) -> list[Taken | Event]:
    """Return what a trail links, the earliest first."""
    found = []
    while trail:
        item, trail = trail
        found.append(item)
    return found[::-1]


class _Told:
    """The events of a walk as flaws, each with its counterpart one."""

    def __init__(
        self, structure: Structure, tags: Sequence[str], suits: Suits, rows: Sequence[int], events: Sequence[Event]
    ) -> None:
        self.structure, self.tags, self.suits, self.rows, self.events = structure, tags, suits, rows, events
        pairs = [pair for event in events for pair in event.counterparts]
        self.of = {pair.strange: pair for pair in pairs}
        self.elsewhere = {(pair.row, pair.before) for pair in pairs}
        self.used = {row.tag for row in structure.rows}

    def flaws(self) -> list[Flaw]:
        """Return what does not fit."""
        found = []
        for event in self.events:
            if event.strange:
                found.append(self._strange(event.at))
            elif event.over >= 0:
                found.append(self._over(event.at, event.over))
            elif lacking := self._lacking(event):
                found.append(self._missing(event.at, lacking))
        return found

    def uncertain(self) -> set[str]:
        """Return the tags that the flaws concern, and those that open the groups in which something is missing."""
        found = {self.tags[event.at] for event in self.events if event.strange or event.over >= 0}
        for row in (row for event in self.events for row in event.missing):
            found.add(self.structure.rows[row].tag)
            group = self.structure.steps[row].level
            while group:
                trigger = self.structure.rows[self.structure.triggers[group]]
                found.add(trigger.tag)
                group = trigger.parent
        return found

    def counts(self) -> tuple[int, int]:
        """Return the least and the most segments that the message had without what does not fit."""
        whole, least = len(self.tags), len(self.tags)
        for event in self.events:
            if event.over >= 0:
                least -= len(list(takewhile(event.over.__eq__, self.rows[event.at :])))
            elif event.at not in self.of:
                least -= event.strange
        return least, whole + sum(len(self._lacking(event)) for event in self.events)

    def _lacking(self, event: Event) -> list[int]:
        """Return the rows that are missing before a segment and stand nowhere else."""
        return [row for row in event.missing if (row, event.at) not in self.elsewhere]

    def _strange(self, index: int) -> Flaw:
        """Return the flaw of a segment that has no place where it stands: unknown, not used, or moved."""
        tag, pair = self.tags[index], self.of.get(index)
        details = {"segment": tag}
        if tag not in self.structure.segments:
            expected = self.structure.rows[pair.row].tag if pair else None
            return Flaw(UNKNOWN if tag else NOTHING, "15", index, value=tag, expected=expected, details=details)
        if pair and self.structure.rows[pair.row].tag != tag:
            return Flaw(STRANGE, "15", index, value=tag, expected=self.structure.rows[pair.row].tag, details=details)
        before = pair.before if pair else self._home(index)
        if before is None:
            return Flaw(STRANGE if tag in self.used else UNUSED, "15", index, value=tag, details=details)
        details |= {"after": str(before), "after_segment": self.tags[before - 1]}
        return Flaw(MOVED, "15", index, value=tag, details=details)

    def _home(self, index: int) -> int | None:
        """Return the nearest index before which a strange segment would fit, if its qualifiers say to which row."""
        of = [row for row, each in enumerate(self.structure.rows) if each.tag == self.tags[index]]
        of = [row for row in of if self.suits(index, row)]
        if len(of) != 1:
            return None
        (row,) = of
        more = self.structure.steps[row].max > 1
        near = range(max(1, index - NEAR), min(len(self.rows), index + NEAR))
        for at in sorted(near, key=lambda each: abs(each - index)):
            left, right = self.rows[at - 1], self.rows[at]
            ahead = self.structure.ahead
            if (
                at not in (index, index + 1)
                and left >= 0
                and right >= 0
                and (more or row not in (left, right))
                and row in ahead(left, self.tags[index])
                and right in ahead(row, self.tags[at])
            ):
                return at
        return None

    def _over(self, index: int, row: int) -> Flaw:
        """Return the flaw of a segment, or group, that stands there once more than it may."""
        expected = self.structure.rows[row]
        code, error = ("EDI-0405", "36") if self.structure.is_trigger(row) else ("EDI-0404", "35")
        details = {"segment": expected.tag, "group": str(expected.group)}
        return Flaw(code, error, index, expected=str(expected.max), details=details)

    def _missing(self, index: int, rows: Sequence[int]) -> Flaw:
        """Return the flaw of segments, or groups, that are missing before the segment at an index."""
        expected = [self.structure.rows[row] for row in rows]
        details = {
            "segment": ", ".join(row.tag for row in expected),
            "group": ", ".join(str(row.group) for row in expected),
        }
        return Flaw(SEVERAL if len(rows) > 1 else MISSING, "13", index - 1, details=details)
