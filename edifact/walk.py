"""Walks an EDIFACT message through its structure table and tells what does not fit: one cause, one finding."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, takewhile
from typing import NamedTuple

from edifact.directory import Structure
from edifact.explanation import Bounds, Explanation, Misfit, Search, Suits
from edifact.flaw import Flaw
from edifact.walking import START, Frame, WalkState, find, frame_of, is_told, missing

# How far explanations are compared: from the segments before one that does not fit, which may be to blame for it, on.
# Where so many have been followed that a message seems to be wrong everywhere, only shortly.
BACK, FAR, SHORT = 16, Bounds(width=10, quiet=10, far=60), Bounds(width=2, quiet=3, far=5)
THOROUGH = 20_000
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
    if fitting := _fitting(structure, tags):
        return fitting
    search = Search(structure, tags, suits, 0 if count is None else count - len(tags))
    here = Explanation(1, 0, START)
    while here.behind < len(tags) and here.misfits < limit:
        step = find(structure, here.state, tags[here.behind])
        if step and not step.missing and (not step.over or is_told(structure, here.state, step.row)):
            here = search.taken(here, here.behind, step)
        elif search.spent < THOROUGH:
            here = search.best(_back(here), here.behind, FAR)
        else:
            here = search.best(here, here.behind, SHORT)
    told = _Told(structure, tags, suits, here)
    return Walked(told.rows, told.flaws(), told.uncertain(), told.counts(), _awaited(structure, here.state))


def _fitting(structure: Structure, tags: Sequence[str]) -> Walked | None:
    """Return what is said of segments that all fit where they stand; None if one does not.

    It is a good part of what a fault in a large message costs: counts are kept in place, and what is missing on the way
    to a row is looked for only where anything could be.
    """
    at, frame, rows = 0, Frame(0, 0, {0: 1}, None), [0]
    passing: dict[tuple[int, int], bool] = {}
    for tag in islice(tags, 1, None):
        for row in structure.ahead(at, tag):
            level, most, opens = structure.steps[row]
            own = frame_of(frame, level)
            if own.counts.get(row, 0) < most:
                break
        else:
            return None
        if (at, row) not in passing:
            passing[at, row] = _passes(structure, at, row)
        if passing[at, row] and missing(structure, WalkState(at, frame), row):
            return None
        own.counts[row] = own.counts.get(row, 0) + 1
        frame = Frame(opens, row, {}, own) if opens else own
        at = row
        rows.append(row)
    return Walked(rows, [], set(), (len(tags), len(tags)), _awaited(structure, WalkState(at, frame)))


def _passes(structure: Structure, at: int, row: int) -> bool:
    """Tell whether anything mandatory stands on the way from one row to another, taken or not."""
    level, group = structure.steps[row].level, structure.steps[at].opens or structure.rows[at].group
    while group and group != level:
        if any(each > at for each in structure.required.get(group, ())):
            return True
        at = structure.triggers[group]
        group = structure.rows[at].parent
    return any(at < each < row for each in structure.required.get(level, ()))


def _awaited(structure: Structure, state: WalkState) -> str:
    """Return the tag that is mandatory next, that of the message's last row if nothing else is."""
    (awaited, *_) = *missing(structure, state, len(structure.rows)), -1
    return structure.rows[awaited].tag


def _back(here: Explanation) -> Explanation:
    """Return the explanation before its last segments, down to the last one that does not fit."""
    for _ in range(BACK):
        if here.before is None or isinstance(here.before.found, Misfit):
            break
        here = here.before
    return here


class _Told:
    """What an explanation of all segments says: their rows, and the misfits as flaws, each with its counterpart one."""

    def __init__(self, structure: Structure, tags: Sequence[str], suits: Suits, all_: Explanation) -> None:
        self.structure, self.tags, self.suits = structure, tags, suits
        self.rows, self.misfits = [0, *[-1] * (len(tags) - 1)], list[Misfit]()
        here: Explanation | None = all_
        while here:
            if isinstance(here.found, Misfit):
                self.misfits.append(here.found)
            elif here.found:
                self.rows[here.behind - 1] = here.found.row
            here = here.before
        self.misfits.reverse()
        pairs = [pair for misfit in self.misfits for pair in misfit.counterparts]
        self.of = {pair.strange: pair for pair in pairs}
        self.elsewhere = {(pair.row, pair.before) for pair in pairs}
        self.used = {row.tag for row in structure.rows}

    def flaws(self) -> list[Flaw]:
        """Return what does not fit."""
        found: list[Flaw] = []
        for misfit in self.misfits:
            if misfit.strange and (self.tags[misfit.at] or all(flaw.code != NOTHING for flaw in found)):
                found.append(self._strange(misfit.at))
            elif misfit.strange:
                continue  # that segments are empty is told once
            elif misfit.over >= 0:
                found.append(self._over(misfit.at, misfit.over))
            elif lacking := self._lacking(misfit):
                found.append(self._missing(misfit.at, lacking))
        return found

    def uncertain(self) -> set[str]:
        """Return the tags that the flaws concern, and those that open the groups in which something is missing."""
        found = {self.tags[misfit.at] for misfit in self.misfits if misfit.strange or misfit.over >= 0}
        for row in (row for misfit in self.misfits for row in misfit.missing):
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
        for misfit in self.misfits:
            if misfit.over >= 0:
                least -= len(list(takewhile(misfit.over.__eq__, self.rows[misfit.at :])))
            elif misfit.at not in self.of:
                least -= misfit.strange
        return least, whole + sum(len(self._lacking(misfit)) for misfit in self.misfits)

    def _lacking(self, misfit: Misfit) -> list[int]:
        """Return the rows that are missing before a segment and stand nowhere else."""
        return [row for row in misfit.missing if (row, misfit.at) not in self.elsewhere]

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
