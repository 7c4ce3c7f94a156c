"""Where a walk through a structure table stands, and where it may go from there; values that never change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from edifact.directory import Structure


class Frame(NamedTuple):
    """An open group occurrence: its number, its trigger's row, how often each row was taken, what is around it."""

    group: int
    opened: int
    counts: dict[int, int]
    around: Frame | None


class WalkState(NamedTuple):
    """The row of the last segment, and the innermost open group."""

    at: int
    frame: Frame


class Fit(NamedTuple):
    """A row where a segment may go: the mandatory rows passed over, and whether it stands there once too often.

    `through` is the trigger, among those missing, of the group that it is in; -1 if the group is open.
    """

    row: int
    missing: tuple[int, ...] = ()
    over: bool = False
    through: int = -1


TOGETHER = 1_000  # segments of one misplaced group that are passed over as one
START = WalkState(0, Frame(0, 0, {0: 1}, None))  # behind UNH


def frame_of(frame: Frame, level: int) -> Frame:
    """Return the open occurrence of a group."""
    while frame.group != level and frame.around:
        frame = frame.around
    return frame


def enter(structure: Structure, state: WalkState, row: int) -> WalkState:
    """Return the state behind a segment that is taken at a row."""
    level, _, opens = structure.steps[row]
    frame = frame_of(state.frame, level)
    counts = {**frame.counts, row: frame.counts.get(row, 0) + 1}
    frame = Frame(frame.group, frame.opened, counts, frame.around)
    return WalkState(row, Frame(opens, row, {}, frame) if opens else frame)


def taken(structure: Structure, state: WalkState, row: int) -> int:
    """Return how often a row was taken in the open occurrence of its group."""
    return frame_of(state.frame, structure.steps[row].level).counts.get(row, 0)


def is_told(structure: Structure, state: WalkState, row: int) -> bool:
    """Tell whether a row was taken too often before: of a run that is told once."""
    return taken(structure, state, row) > structure.steps[row].max


def find(structure: Structure, state: WalkState, tag: str) -> Fit | None:
    """Return the nearest row where a tag may go, one that is full only if there is no other; None if there is none."""
    full = None
    for row in structure.ahead(state.at, tag):
        over = taken(structure, state, row) >= structure.steps[row].max
        if not over:
            return Fit(row, missing(structure, state, row))
        full = row if full is None else full
    return None if full is None else Fit(full, missing(structure, state, full), over=True)


def further(structure: Structure, state: WalkState, tag: str) -> Iterator[Fit]:
    """Yield the rows behind the nearest one where a tag may go too, if something mandatory were missing before it."""
    rows = structure.ahead(state.at, tag)
    for row in [row for row in rows if taken(structure, state, row) < structure.steps[row].max][1:]:
        if gaps := missing(structure, state, row):
            yield Fit(row, gaps)


def missing(structure: Structure, state: WalkState, row: int) -> tuple[int, ...]:
    """Return the mandatory rows that are passed over on the way to a row, or to the end (as many as there are rows)."""
    required = structure.required
    level = structure.steps[row].level if row < len(structure.rows) else 0
    found: list[int] = []
    at, frame = state
    while frame.group != level and frame.around:
        if needed := required.get(frame.group):
            found += [each for each in needed if each > at and each not in frame.counts]
        at, frame = frame.opened, frame.around
    if needed := required.get(level):
        found += [each for each in needed if at < each < row and each not in frame.counts]
    return tuple(found)


def without_trigger(structure: Structure, state: WalkState, tag: str, suits: Callable[[int], bool]) -> Fit | None:
    """Return a row inside a group that could be open here had its trigger, the last that is missing, not been left out.

    One that the segment's qualifiers suit, the fewest gaps, the group that is most deeply open, the nearest.
    """
    best: tuple[tuple[bool, int, int, int], Fit] | None = None
    for row in structure.inner.get(tag, ()):
        group = structure.steps[row].level
        trigger = structure.triggers[group]
        found = find(structure, state, structure.rows[trigger].tag)
        if found and found.row == trigger and not found.over:
            between = [each for each in structure.required.get(group, ()) if trigger < each < row]
            gaps = (*found.missing, trigger, *between)
            rank = not suits(row), len(gaps), -_depth(structure, trigger), row
            if best is None or rank < best[0]:
                best = rank, Fit(row, gaps, through=trigger)
    return best[1] if best else None


def _depth(structure: Structure, row: int) -> int:
    """Return how many groups are around a row."""
    depth, group = 0, structure.steps[row].level
    while group:
        depth, group = depth + 1, structure.rows[structure.triggers[group]].parent
    return depth


def late(structure: Structure, state: WalkState, step: Fit, tag: str, after: str | None) -> bool:
    """Tell whether a segment is rather late than the first of a group whose trigger was left out.

    It is if it could have stood earlier where that group would begin, and nothing after it belongs to the group.
    """
    group = structure.steps[step.through].level
    around: set[int] = set()
    frame: Frame | None = state.frame
    while frame:
        around.add(frame.group)
        frame = None if frame.group == group else frame.around
    rows = structure.rows[: state.at]
    earlier = any(row.tag == tag and structure.steps[at].level in around for at, row in enumerate(rows))
    if not earlier or after is None:
        return earlier
    ahead = structure.ahead(step.row, after)
    return not (ahead and step.through < ahead[0] < structure.ends[structure.rows[step.through].group])


def together(structure: Structure, tags: Sequence[str], index: int) -> int:
    """Return how many segments stand at an index like one group: its trigger and what may belong to it."""
    longest = 1
    for group, trigger in structure.triggers.items():
        if not group or structure.rows[trigger].tag != tags[index]:
            continue
        at, length = trigger, 1
        while length < TOGETHER and index + length < len(tags):
            inside = range(trigger + 1, structure.ends[group])
            row = next((row for row in structure.ahead(at, tags[index + length]) if row in inside), None)
            if row is None:
                break
            at, length = row, length + 1
        longest = max(longest, length)
    return longest
