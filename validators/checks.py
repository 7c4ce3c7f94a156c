"""What a check is: what it may look at, what it returns, and the register of checks that rule rows may name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from core.declaration import Commodity, Declaration, MessageType, Nature, Value, VersionFact
from core.register import Register, nature_of
from core.specs import Pack, Rule, Specs


class Hit(NamedTuple):
    """What a check found: the element, and the invoice and line if they are not those being looked at."""

    element: str
    value: str | None = None
    expected: str | None = None
    details: Mapping[str, str] = {}
    invoice: int | None = None
    line: int | None = None
    occurrence: int = 1


# A line's number, together with its invoice's position where numbers begin again -> invoice, line, the line itself.
Lines = dict[tuple[int, Value | None], tuple[int, int, Commodity]]


def lines_by_number(*declarations: Declaration) -> list[Lines]:
    """Return each declaration's lines by number; by invoice as well if in any of them a number comes again."""
    all_lines = [list(declaration.lines()) for declaration in declarations]
    again = any(len({line.values.get("line_number") for _, _, line in lines}) < len(lines) for lines in all_lines)
    return [{(i if again else 0, line.get("line_number")): (i, j, line) for i, j, line in lines} for lines in all_lines]


@dataclass(slots=True)
class Case:
    """All that a check may look at beside its level; `now` is the moment of receipt, `today` its day in Eastern Time.

    `history` holds the versions on file that count, oldest first, and `former` the latest.
    """

    type: MessageType
    declaration: Declaration
    register: Register
    pack: Pack
    specs: Specs
    now: datetime
    today: date
    history: tuple[VersionFact, ...]
    _lines: list[Lines] | None = None

    @property
    def former(self) -> VersionFact | None:
        """The version that a change would follow."""
        return self.history[-1] if self.history else None

    def lines(self) -> list[Lines]:
        """Return the lines by number, of the declaration and of the former version; worked out once."""
        if self._lines is None:
            former = self.former.declaration if self.former else self.declaration
            self._lines = lines_by_number(self.declaration, former)
        return self._lines

    @property
    def nature(self) -> Nature:
        """What the message is in law if it is accepted."""
        return nature_of(self.type, self.history, self.declaration, self.now, self.specs.billing)


class Term(NamedTuple):
    """One condition: an element (or `type`, the message type) is in, or not in, some values; or it is given or absent.

    `own` tells whether the element is of the rule's own level; otherwise it is the declaration's.
    """

    name: str
    verb: str
    values: frozenset[str]
    own: bool


@dataclass(frozen=True, slots=True)
class Bound:
    """A rule row made ready: its check, the parsed parameter, and what must be so before the check is asked.

    `given` and `absent` are elements of the rule's own level; `terms` is what is left to be looked at per value.
    """

    rule: Rule
    element: str
    level: str
    run: Run
    presence: str
    parameter: Any
    given: frozenset[str]
    absent: frozenset[str]
    terms: tuple[Term, ...]


Run = Callable[[Any, Case, Bound], Iterable[Hit]]
Prepare = Callable[[Rule, Pack], Any]


@dataclass(frozen=True, slots=True)
class Check:
    """A check that rule rows may name: how it runs, at which level (None: the element's), and how it reads a row.

    `presence` says of the rule's element: it must be given, it must be absent, or either.
    """

    run: Run
    level: str | None
    presence: str
    needs: frozenset[str]
    prepare: Prepare


CHECKS: dict[str, Check] = {}


def no_parameter(rule: Rule, pack: Pack) -> None:
    """Read the parameter of a check that takes none."""
    if rule.parameter:
        raise ValueError(f"{rule.check} takes no parameter")


def check(
    level: str | None = None,
    *,
    presence: str = "given",
    needs: Iterable[str] = (),
    prepare: Prepare = no_parameter,
) -> Callable[[Run], Run]:
    """Register the function under its name as a check that rule rows may name."""

    def register(run: Run) -> Run:
        CHECKS[run.__name__] = Check(run, level, presence, frozenset(needs), prepare)
        return run

    return register
