r"""Reads an EDIFACT message by its levels: a pattern for each, compiled from the pack; nothing is learned from traffic.

The declaration up to its first invoice, an invoice up to its first line, a line, and what stands behind the last of
them: each is one pattern over its segments in the order of the profile, with the qualifiers and constants of the plan
(`parsers.edifact_plan`) spelled out and a group for each element. One pass over the message takes one after the other.

A worked example. The plan: a line is group 101, LIN with its number, MOA[1.1=77] with a value and a currency, and
group 104, of LOC[1=27] or LOC[1=35] with a country. The pattern, without what makes its quantifiers possessive:

    LIN\+([^+:']+)'                                          the line's number
    (?:MOA\+77:(?:([^+:']+)|(?=:))(?::([^+:']+))?'(?(2)|(?(3)|(?!))))?      one of both, or it says nothing
    (?:(?(4)(?!))LOC\+27\+([^+:']+)'|(?(5)(?!))LOC\+35\+([^+:']+)'){0,2}     each once

What is out of the ordinary does not match: another qualifier, an element or a group a second time, a segment or a group
that says nothing, a component without a meaning. Such a message is walked (`parsers.edifact_walk`), which alone can
tell it; whatever is read here, the walk would read alike, and tell nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from edifact.directory import Row, Structure
from edifact.match import PLUS, chain, repeated
from edifact.syntax import NEEDLESS
from parsers.edifact_plan import Binding, ElementSlot, SegmentPlan
from parsers.levels import NEVER, LevelPattern, LevelReader, LevelSlot, says, untaken
from parsers.places import Position

# What may stand in a component, and in one that is a value: it begins with what is no blank, so it says something.
DATA, VALUE = "[^+:']+", rf"[^+:'\s\u{NEEDLESS:x}-\u{NEEDLESS + 0xFF:x}][^+:']*+"
UNNAMED: LevelSlot = ("", lambda _: None, str)  # a group that is no element's
Literals = Mapping[Position, str]


def level_reader(profile: Structure, plan: Binding, groups: Iterable[int]) -> LevelReader | None:
    """Return the reader of a plan; None unless the levels' groups stand inside one another, each of one kind only."""
    levels: list[tuple[int, Binding, Literals]] = [(0, plan, {})]
    for number in groups:
        group = levels[-1][1].groups.get(number)
        if group is None or len(group.bindings) != 1:
            return None
        ((key, binding),) = group.bindings.items()
        levels.append((number, binding, dict(zip(group.positions, key, strict=True))))
    writer = _Writer(profile)
    begins, ends = [], []
    for (number, binding, qualifiers), inner in zip(levels, [*levels[1:], None], strict=True):
        at, end = profile.triggers[number], profile.ends[number]
        cut, behind = (profile.triggers[inner[0]], profile.ends[inner[0]]) if inner else (end, end)
        opening = writer.segment(binding, profile.rows[at], qualifiers)
        begins.append(writer.finished(opening + writer.rows(binding, at + 1, cut)))
        ends.append(writer.finished(writer.rows(binding, behind, end)))
    return LevelReader(begins, ends)


def misplaced(profile: Structure, table: Structure) -> Iterator[int]:
    """Yield the rows of a profile whose segments the whole table would have elsewhere, behind some other row.

    A walk sorts segments into groups by the whole table: what fits the profile must stand there as it does here.
    """
    places = [(row.group, row.tag) for row in table.rows]
    same: list[int] = []  # the row of the table for each of the profile
    for row in profile.rows:
        same.append(places.index((row.group, row.tag), same[-1] + 1 if same else 0))
    for index, at in enumerate(same):
        behind = [*_behind(profile, index)]
        for number in behind:
            tag = profile.rows[number].tag
            alike = [each for each in behind if profile.rows[each].tag == tag]
            ahead = [each for each in table.ahead(at, tag) if each != at or table.rows[at].max > 1]
            full = all(profile.rows[each].max == table.rows[same[each]].max for each in alike[:-1])
            if not full or [same[each] for each in alike] != ahead[: len(alike)]:
                yield number


def _behind(structure: Structure, index: int) -> Iterator[int]:
    """Yield the rows that may come behind a row with nothing mandatory left out, nearest first."""
    for row in structure.following(index):
        if row > index or structure.rows[row].max > 1:
            yield row
        if row > index and structure.rows[row].mandatory:
            return


# ------------------------------------------------------------------------------------------------ compiling


class _Writer:
    """Writes the patterns one after the other; `slots` and `counted` belong to the one that is being written."""

    def __init__(self, profile: Structure) -> None:
        self.profile = profile
        self.slots: list[LevelSlot] = []
        self.counted: list[tuple[int, tuple[str, ...]]] = []
        self._read: set[SegmentPlan] = set()  # each is read in one row: in a further one it might say something again

    def finished(self, pattern: str) -> LevelPattern:
        """Return what was written, and begin anew."""
        found = LevelPattern(re.compile(pattern), tuple(self.slots), tuple(self.counted))
        self.slots, self.counted = [], []
        return found

    def rows(self, binding: Binding, index: int, end: int) -> str:
        """Return the pattern of some rows of one group, and of the groups inside it."""
        pattern = ""
        while index < end:
            row, behind = self.profile.rows[index], index + 1
            if self.profile.is_trigger(index):
                behind = self.profile.ends[row.group]
                pattern += self._any_of(row, self._group(binding, row, index, behind))
            else:
                pattern += self._any_of(row, self._segment(binding, row, {}))
            index = behind
        return pattern

    def segment(self, binding: Binding, row: Row, key: Literals) -> str:
        """Return the pattern of a level's trigger."""
        row = row._replace(mandatory=True, max=1)
        return self._any_of(row, self._segment(binding, row, key))

    def _any_of(self, row: Row, ways: Iterable[str]) -> str:
        """Return the pattern of a row's tag with what stands behind it, in one of several ways, each at most once."""
        found = [*ways]
        if not found:
            return NEVER if row.mandatory else ""
        return repeated(f"(?:{row.tag}(?:{'|'.join(found)}))", row)

    def _once(self, row: Row, pattern: str, first: int) -> str:
        """Return a way's pattern, which has the groups from the index on, so that it is not taken twice."""
        if row.max == 1:
            return pattern
        if first == len(self.slots):
            self.slots.append(UNNAMED)
            pattern += "()"
        return untaken(self.slots, first) + pattern

    def _group(self, binding: Binding, row: Row, index: int, behind: int) -> Iterator[str]:
        """Yield the ways in which a group may be, its first tag left out."""
        group = binding.groups.get(row.group)
        if group is None or group.level:
            return
        for key, below in group.bindings.items():
            first = len(self.slots)
            trigger = self._segment(below, row._replace(max=1), dict(zip(group.positions, key, strict=True)))
            pattern = f"(?:{'|'.join(trigger) or NEVER}){self.rows(below, index + 1, behind)}"
            if not below.segments[row.tag].constants:
                pattern += says(self.slots, first)
            yield self._once(row, pattern, first)

    def _segment(self, binding: Binding, row: Row, key: Literals) -> Iterator[str]:
        """Yield the ways in which a segment may be, its tag left out; `key` are the qualifiers of its group."""
        plan = binding.segments.get(row.tag)
        if plan is None or plan in self._read:
            return
        for chosen, qualifiers in _uses(plan, key):
            first = len(self.slots)
            pattern = self._use(plan, chosen, qualifiers)
            if not plan.belongs:
                pattern += says(self.slots, first)
            yield self._once(row, pattern, first)
            if first < len(self.slots):
                self._read.add(plan)

    def _use(self, plan: SegmentPlan, chosen: Sequence[ElementSlot], qualifiers: Literals) -> str:
        """Return the pattern of what stands behind a segment's tag, with these elements under these qualifiers."""
        slots = {slot.position: slot for slot in chosen}
        known = {*slots, *qualifiers, *plan.constants, *plan.free, *plan.ignorable}
        elements, needed = [], []
        for number in range(1, max((at.element for at in known), default=0) + 1):
            length = max((at.component for at in known if at.element == number), default=0)
            parts = [self._part(plan, Position(number, at), slots, qualifiers) for at in range(1, length + 1)]
            needed.append(any(need for _, need in parts))
            inside = chain([text for text, _ in parts], [need for _, need in parts], ":")
            elements.append(inside if needed[-1] or length < 2 else f"(?![+']){inside}")
        return f"{chain(elements, needed, PLUS, opening=True)}'"

    def _part(
        self, plan: SegmentPlan, at: Position, slots: Mapping[Position, ElementSlot], qualifiers: Literals
    ) -> tuple[str, bool]:
        """Return the pattern of a component ("": nothing may stand there), and whether it must be there."""
        text, needed = "", True
        if at in qualifiers:
            text = re.escape(qualifiers[at])
        elif any("{" in each for each in plan.constants.get(at, ())):
            self.counted.append((len(self.slots), plan.constants[at]))
            self.slots.append(UNNAMED)
            return f"({DATA})", True
        elif at in plan.constants:
            text = f"(?:{'|'.join(map(re.escape, plan.constants[at]))})"
        if slot := slots.get(at):
            self.slots.append((slot.name, slot.written.get, slot.written.__missing__))
            rest = f"(?::{DATA}){{0,{len(slot.rest)}}}+" if slot.rest else ""
            return f"({text or VALUE}{rest})", bool(text)
        if not text:
            needed = False
            values = plan.ignorable.get(at, frozenset())
            if at in plan.free or values is None:
                text = DATA
            elif values:
                text = f"(?:{'|'.join(map(re.escape, sorted(values, reverse=True)))})"
        return text, needed


def _uses(plan: SegmentPlan, key: Literals) -> Iterator[tuple[list[ElementSlot], Literals]]:
    """Yield the elements of a segment and all its qualifiers, for each choice of as many readings as go together.

    The qualifiers of a reading that is left out then contradict those that are chosen: it cannot fit.
    """
    found: list[tuple[tuple[object, ...], list[ElementSlot], Literals]] = [((), [], key)]
    for reading in plan.readings:
        further = [((*each, None), slots, qualifiers) for each, slots, qualifiers in found]
        for each, slots, qualifiers in found:
            for values, own in reading.slots.items():
                named = dict(zip(reading.positions, values, strict=True))
                if all(qualifiers.get(at, value) == value for at, value in named.items()):
                    further.append(((*each, values), [*slots, *own], {**qualifiers, **named}))
        found = further
    for chosen, slots, qualifiers in found:
        larger = (other for other, _, _ in found if other != chosen)
        if not any(all(a in (None, b) for a, b in zip(chosen, other, strict=True)) for other in larger):
            yield slots, qualifiers
