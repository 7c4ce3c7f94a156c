"""Walks an EDIFACT message through its structure table and tells what does not fit: one cause, one finding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edifact.directory import Structure
from edifact.flaw import Flaw

LOOKAHEAD = 10  # segments that are tried ahead to find the likeliest explanation of what does not fit
TOGETHER = 1_000  # segments of one misplaced group that are passed over as one


MISPLACED = ("EDI-0402", "EDI-0408")  # a segment of the structure, of the directory alone, that has no place here
MISSING = "EDI-0403"


class _State:
    """Where the walk stands: the row, and for every open group occurrence its number, own row and counts."""

    __slots__ = ("at", "counts", "groups", "opened")

    def __init__(self, at: int, groups: list[int], opened: list[int], counts: list[dict[int, int]]) -> None:
        self.at, self.groups, self.opened, self.counts = at, groups, opened, counts

    def become(self, other: _State) -> None:
        """Go on from where another stands."""
        self.at, self.groups, self.opened, self.counts = other.at, other.groups, other.opened, other.counts

    def copy(self) -> _State:
        return _State(self.at, self.groups[:], self.opened[:], [dict(c) for c in self.counts])


def walk(structure: Structure, tags: Sequence[str], limit: int) -> tuple[list[int], list[Flaw]]:
    """Return each segment's row (-1: it has none), and what does not fit, at most about `limit` flaws.

    `tags` begin with UNH; a UNT that is missing is not told here. Each flaw names the tag that it concerns as its
    detail `segment`; what is missing is told at the segment behind which it should stand.
    """
    return _Walker(structure, tags, limit).run()


class _Way(NamedTuple):
    """One explanation of a segment that does not fit: what it says, and where the walk goes on if it is taken.

    `rank` decides between equals; `rows` are those of the segments explained (-1: none).
    """

    cost: int
    rank: int
    state: _State
    flaws: list[Flaw]
    rows: list[int]


class _Walker:
    def __init__(self, structure: Structure, tags: Sequence[str], limit: int) -> None:
        self.structure, self.tags, self.limit = structure, tags, limit
        self.used = {row.tag for row in structure.rows}
        self.flaws: list[Flaw] = []

    def run(self) -> tuple[list[int], list[Flaw]]:
        tags, rows = self.tags, [-1] * len(self.tags)
        state = _State(0, [0], [0], [{0: 1}])
        if tags:
            rows[0] = 0
        index = 1
        while index < len(tags) and len(self.flaws) < self.limit:
            tag = tags[index]
            if tag not in self.structure.segments:
                self.flaws.append(self.unknown(index))
                index += 1
                continue
            found = self.find(state, tag)
            if found and not found[1] and not found[2]:
                self.enter(state, found[0])
                rows[index] = found[0]
                index += 1
                continue
            index = self.recover(state, index, rows, found)
        if tags and tags[-1] != "UNT" and len(self.flaws) < self.limit:
            for row in self.closing(state):
                self.flaws.append(self.missing(len(tags), row))
        return rows, self.settled()

    def settled(self) -> list[Flaw]:
        """Return the flaws without a missing segment that stands elsewhere: that is told as misplaced."""
        misplaced = [flaw.details["segment"] for flaw in self.flaws if flaw.code in MISPLACED]
        kept = []
        for flaw in self.flaws:
            tag = flaw.details["segment"]
            if flaw.code == MISSING and tag in misplaced:
                misplaced.remove(tag)
            else:
                kept.append(flaw)
        return kept

    def unknown(self, index: int) -> Flaw:
        """Return the flaw of a segment that no table knows, or that has no tag."""
        tag = self.tags[index]
        return Flaw("EDI-0401" if tag else "EDI-0407", "15", index, value=tag, details={"segment": tag})

    def misplaced(self, index: int) -> Flaw:
        """Return the flaw of a segment that has no place where it stands."""
        tag = self.tags[index]
        return Flaw(MISPLACED[tag not in self.used], "15", index, value=tag, details={"segment": tag})

    def missing(self, index: int, row: int) -> Flaw:
        """Return the flaw of a segment, or group, that is missing before the segment at `index`."""
        expected = self.structure.rows[row]
        details = {"segment": expected.tag, "group": str(expected.group)}
        return Flaw(MISSING, "13", index - 1, details=details)

    def repeats(self, index: int, row: int) -> Flaw:
        """Return the flaw of a segment, or group, that stands there once more than it may."""
        expected = self.structure.rows[row]
        code, error = ("EDI-0405", "36") if self.structure.is_trigger(row) else ("EDI-0404", "35")
        details = {"segment": expected.tag, "group": str(expected.group)}
        return Flaw(code, error, index, expected=str(expected.max), details=details)

    def find(self, state: _State, tag: str) -> tuple[int, list[int], bool] | None:
        """Return the row where the tag goes, the mandatory rows skipped on the way, and whether it is one too many."""
        over = None
        for row in self.structure.ahead(state.at, tag):
            level = self.structure.level(row)
            depth = len(state.groups) - 1
            while state.groups[depth] != level:
                depth -= 1
            if state.counts[depth].get(row, 0) < self.structure.rows[row].max:
                return row, self.skipped(state, row, depth), False
            if over is None:
                over = row, self.skipped(state, row, depth), True
        return over

    def skipped(self, state: _State, row: int, depth: int) -> list[int]:
        missing: list[int] = []
        at = state.at
        for d in range(len(state.groups) - 1, depth, -1):
            counts = state.counts[d]
            missing += [m for m in self.structure.required.get(state.groups[d], ()) if m > at and m not in counts]
            at = state.opened[d]
        counts = state.counts[depth]
        missing += [m for m in self.structure.required.get(state.groups[depth], ()) if at < m < row and m not in counts]
        return missing

    def closing(self, state: _State) -> list[int]:
        return self.skipped(state, len(self.structure.rows), 0)

    def enter(self, state: _State, row: int) -> None:
        level = self.structure.level(row)
        depth = len(state.groups) - 1
        while state.groups[depth] != level:
            depth -= 1
        del state.groups[depth + 1 :], state.opened[depth + 1 :], state.counts[depth + 1 :]
        state.counts[depth][row] = state.counts[depth].get(row, 0) + 1
        if self.structure.is_trigger(row):
            state.groups.append(self.structure.rows[row].group)
            state.opened.append(row)
            state.counts.append({})
        state.at = row

    def recover(self, state: _State, index: int, rows: list[int], found: tuple[int, list[int], bool] | None) -> int:
        """Take the cheapest explanation of a segment that does not fit; return the index to go on with."""
        tag = self.tags[index]
        if found and found[2] and not found[1]:  # one too many: told once for a run
            row = found[0]
            depth = len(state.groups) - 1
            while state.groups[depth] != self.structure.level(row):
                depth -= 1
            if state.counts[depth][row] == self.structure.rows[row].max:
                self.flaws.append(self.repeats(index, row))
            self.enter(state, row)
            rows[index] = row
            return index + 1
        ways: list[_Way] = []
        if found and not found[2]:
            after = state.copy()
            self.enter(after, found[0])
            told = [self.missing(index, m) for m in found[1]]
            ways.append(_Way(len(told), 0, after, told, [found[0]]))
        opened = self.without_trigger(state, tag)
        if opened is not None:
            row, trigger, missing = opened
            after = state.copy()
            self.enter(after, trigger)
            self.enter(after, row)
            told = [self.missing(index, m) for m in (*missing, trigger)]
            ways.append(_Way(len(told), 2, after, told, [row]))
        for length in sorted({self.together(index), 1} if tag != "UNT" or not ways else (), reverse=True):
            order = 1 if opened is not None and self.late(state, index, opened) else 3
            ways.append(_Way(1, order, state.copy(), [self.misplaced(index)], [-1] * length))
        best = min(ways, key=lambda way: (way.cost + self.ahead_cost(way, index + len(way.rows)), way.rank))
        self.flaws += best.flaws
        for offset, row in enumerate(best.rows):
            rows[index + offset] = row
        state.become(best.state)
        return index + len(best.rows)

    def without_trigger(self, state: _State, tag: str) -> tuple[int, int, list[int]] | None:
        """Return a row inside a group that could be open here had its trigger not been left out."""
        best: tuple[tuple[int, int, int], tuple[int, int, list[int]]] | None = None
        for row in self.structure.inner.get(tag, ()):
            group = self.structure.level(row)
            trigger = self.structure.triggers[group]
            found = self.find(state, self.structure.rows[trigger].tag)
            if found and found[0] == trigger and not found[2]:
                between = [m for m in self.structure.required.get(group, ()) if trigger < m < row]
                # The fewest gaps, then the group that is most deeply open, then the nearest.
                depth = state.groups.index(self.structure.level(trigger))
                rank = (len(found[1]) + len(between), -depth, row)
                if best is None or rank < best[0]:
                    best = rank, (row, trigger, found[1] + between)
        return best[1] if best else None

    def late(self, state: _State, index: int, opened: tuple[int, int, list[int]]) -> bool:
        """Tell whether a segment is rather late than the first of a group whose trigger was left out.

        It is if it could have stood earlier where that group would begin, and nothing after it belongs to the group.
        """
        row, trigger, _ = opened
        structure = self.structure
        open_groups = state.groups[state.groups.index(structure.level(trigger)) :]
        earlier = any(
            found.tag == self.tags[index] and at < state.at and structure.level(at) in open_groups
            for at, found in enumerate(structure.rows)
        )
        if not earlier or index + 1 >= len(self.tags):
            return earlier
        after = structure.ahead(row, self.tags[index + 1])
        return not (after and trigger < after[0] < structure.ends[structure.rows[trigger].group])

    def together(self, index: int) -> int:
        """Return how many segments are misplaced together: a group's trigger takes along what belongs to its group."""
        tag = self.tags[index]
        longest = 1
        for group, trigger in self.structure.triggers.items():
            if group and self.structure.rows[trigger].tag == tag:
                inner = _State(trigger, [group], [trigger], [{}])
                length = 1
                while length < TOGETHER and index + length < len(self.tags):
                    ahead = [
                        row
                        for row in self.structure.ahead(inner.at, self.tags[index + length])
                        if trigger < row < self.structure.ends[group]
                    ]
                    if not ahead:
                        break
                    self.enter(inner, ahead[0])
                    length += 1
                longest = max(longest, length)
        return longest

    def ahead_cost(self, way: _Way, index: int) -> int:
        """Return how many further flaws a way leads to; a segment that it called misplaced is not also missing."""
        state, cost = way.state.copy(), 0
        spare = [flaw.details["segment"] for flaw in way.flaws if flaw.code in MISPLACED]
        for tag in self.tags[index : index + LOOKAHEAD]:
            found = self.find(state, tag)
            gaps: list[int] = []
            if found is None:
                opened = self.without_trigger(state, tag)
                if opened is None:
                    cost += 1
                    continue
                self.enter(state, opened[1])
                self.enter(state, opened[0])
                gaps = [*opened[2], opened[1]]
            else:
                cost += found[2]
                self.enter(state, found[0])
                gaps = found[1]
            for gap in gaps:
                if self.structure.rows[gap].tag in spare:
                    spare.remove(self.structure.rows[gap].tag)
                else:
                    cost += 1
        return cost
