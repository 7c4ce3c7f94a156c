"""Walks an EDIFACT message by a plan: every component is a value, compared, allowed, or told as not read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from edifact.directory import Occurrence
from parsers.edifact_plan import Binding, ElementSlot, GroupPlan, SegmentPlan, joined
from parsers.notes import AGAIN, EMPTY, OTHER, UNKNOWN, Note
from parsers.places import Position

SegmentText = Sequence[Sequence[str]]  # elements of components; element 0 is the tag


class Where(NamedTuple):
    """A component of a message: the segment's index, and the position in it (element 0: the segment as a whole)."""

    segment: int
    element: int
    component: int


class UnreadComponent(NamedTuple):
    """Content that is not read: the code of its finding, where it stands, what it is, what belongs there.

    Of what says nothing, `elements` are those that could stand there.
    """

    code: str
    where: Where
    value: str
    expected: str | None = None
    elements: tuple[str, ...] = ()


class EdifactWalk:
    """What a walk through a message meets, in the order of its segments.

    `notes` and `texts` go together.
    """

    def __init__(self, segments: Sequence[SegmentText]) -> None:
        self.segments = segments
        self.notes: list[Note[Where]] = []
        self.texts: list[str] = []
        self.unread: list[UnreadComponent] = []
        self._given: set[str] = set()  # the elements given so far at the level where the walk is
        self._counts = {"invoice": 0, "line": 0}

    def through(self, here: Occurrence, binding: Binding, level: int) -> EdifactWalk:
        """Walk through a segment group and those below it."""
        met: set[tuple[object, ...]] = set()
        for index in here.segments:
            plan = binding.segments.get(self.segments[index][0][0])
            if plan is None or not self._segment(index, plan, level, met):
                self._tell(UNKNOWN, Where(index, 0, 0), _text_of(self.segments[index]))
        for child in here.children:
            group = binding.groups.get(child.number)
            key = self._chosen(child.segments[0], group.positions) if group else ()
            below = group.bindings.get(key) if group else None
            if group is None or below is None:
                index = child.segments[0]
                self._tell(UNKNOWN, Where(index, 0, 0), _text_of(self.segments[index]))
            elif group.level:
                self._level(child, group, below)
            elif self._group(child, below, level, again=(child.number, key) in met):
                met.add((child.number, key))
        return self

    def _level(self, child: Occurrence, group: GroupPlan, binding: Binding) -> None:
        """Walk through an invoice or a line."""
        above, self._given = self._given, set()
        self._counts["invoice" if group.level == 1 else "line"] += 1
        self.notes.append(Note(group.level, Where(child.segments[0], 0, 1), "", None))
        self.texts.append("")
        self.through(child, binding, group.level)
        self._given = above

    def _group(self, child: Occurrence, binding: Binding, level: int, *, again: bool) -> bool:
        """Walk through a group that is no level; tell if it says nothing, or goes on with a former one like it.

        Returns whether it says anything, or may: what goes on with a group that says nothing begins.
        """
        before, told, given = len(self.notes), len(self.unread), set(self._given) if again else set()
        self.through(child, binding, level)
        trigger = child.segments[0]
        said = {n.name for n, text in zip(self.notes[before:], self.texts[before:], strict=True) if text.strip()}
        if len(self.unread) > told:
            return True
        if not said and not self._constants(binding, trigger):
            self._empty(trigger, binding.elements())
            return False
        if again and not said & given:
            self._tell(AGAIN, Where(trigger, 0, 0), _text_of(self.segments[trigger]))
        return True

    def _constants(self, binding: Binding, trigger: int) -> Mapping[Position, tuple[str, ...]]:
        """Return the constants of a group's trigger; of one that is misspelled, and told for that, none."""
        plan = binding.segments.get(self.segments[trigger][0][0])
        return plan.constants if plan else {}

    def _segment(self, index: int, plan: SegmentPlan, level: int, met: set[tuple[object, ...]]) -> bool:
        """Read a segment; return whether it belongs here. That a trigger says nothing its group tells."""
        segment, said = self.segments[index], set[str]()
        chosen = tuple([self._fits(index, reading.positions, reading.slots) for reading in plan.readings])
        if not plan.belongs and not any(key is not None for key in chosen):
            return False
        for reading, key in zip(plan.readings, chosen, strict=True):
            for slot in reading.slots[key] if key is not None else ():
                if _has(segment, slot.position):
                    text = self._text(segment, slot)
                    self.notes.append(Note(level, Where(index, *slot.position), slot.name, slot.readings))
                    self.texts.append(text)
                    if text.strip():
                        said.add(slot.name)
        told = len(self.unread)
        self._account(index, plan, plan.meant(chosen))
        once = (segment[0][0], *chosen)
        if len(self.unread) == told and not plan.belongs:
            if not said:
                fitting = ((r, key) for r, key in zip(plan.readings, chosen, strict=True) if key is not None)
                self._empty(index, (slot.name for reading, key in fitting for slot in reading.slots[key]))
            elif once in met and not said & self._given:
                self._tell(AGAIN, Where(index, 0, 0), _text_of(segment))
        met.add(once)
        self._given |= said
        return True

    def _fits(self, index: int, positions: tuple[Position, ...], slots: object) -> tuple[str, ...] | None:
        """Return the values of a reading's qualifiers, None if it is for others."""
        key = self._chosen(index, positions)
        return key if key in slots else None  # type: ignore[operator]

    def _text(self, segment: SegmentText, slot: ElementSlot) -> str:
        """Return the text that stands in a slot, whether in one component or in several."""
        further = [segment[e][c - 1] for e, c in slot.rest if _has(segment, Position(e, c))]
        return joined([segment[slot.position.element][slot.position.component - 1], *further], slot.full)

    def _account(self, index: int, plan: SegmentPlan, meant: frozenset[Position]) -> None:
        """Compare constants, and tell the components that have no meaning here: of an element those side by side."""
        segment = self.segments[index]
        for number, element in enumerate(segment[1:], 1):
            lost = []
            for component, text in enumerate(element, 1):
                at = Position(number, component)
                if at in plan.constants:
                    self._compare(Where(index, *at), plan.constants[at])
                elif text and at not in meant:
                    allowed = plan.ignorable.get(at, frozenset())
                    if allowed is not None and text not in allowed:
                        lost.append(component)
            if lost:
                value = ":".join(element[lost[0] - 1 : lost[-1]])
                self._tell(UNKNOWN, Where(index, number, lost[0]), value)
        for at in plan.constants:
            if not _has(segment, at):
                self._compare(Where(index, *at), plan.constants[at])

    def _compare(self, where: Where, constants: tuple[str, ...]) -> None:
        """Compare what stands at a position with what the profile spells there."""
        segment = self.segments[where.segment]
        text = segment[where.element][where.component - 1] if _has(segment, Position(*where[1:])) else ""
        wanted = [constant.format(**self._counts) for constant in constants]
        if text not in wanted:
            self._tell(OTHER, where, text, ", ".join(wanted))

    def _chosen(self, index: int, positions: tuple[Position, ...]) -> tuple[str, ...]:
        """Return the values of the qualifiers at the positions of a segment."""
        return key_of(self.segments[index], positions)

    def _empty(self, index: int, elements: Iterable[str]) -> None:
        value = _text_of(self.segments[index])
        self.unread.append(UnreadComponent(EMPTY, Where(index, 0, 0), value, elements=tuple(elements)))

    def _tell(self, code: str, where: Where, value: str, expected: str | None = None) -> None:
        self.unread.append(UnreadComponent(code, where, value, expected))


def _has(segment: SegmentText, position: Position) -> bool:
    """Tell whether a segment goes as far as a position."""
    element, component = position
    return element < len(segment) and component <= len(segment[element])


def key_of(segment: SegmentText, positions: tuple[Position, ...]) -> tuple[str, ...]:
    """Return the values that stand at the positions, "" where nothing stands."""
    try:
        return tuple([segment[element][component - 1] for element, component in positions])
    except IndexError:
        return tuple(
            segment[element][component - 1] if element < len(segment) and component <= len(segment[element]) else ""
            for element, component in positions
        )


def _text_of(segment: SegmentText) -> str:
    """Return a segment in canonical form."""
    return "+".join(":".join(element) for element in segment)
