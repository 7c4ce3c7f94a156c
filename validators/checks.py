"""What a check is: what it may look at, what it returns, and the register of checks that rule rows may name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from core.declaration import Commodity, Declaration, MessageType, Nature, Value, VersionFact
from core.findings import Address, Fault
from core.register import Register, nature_of
from core.specs import CodeList, Pack, Rule, Specs
from validators.parameters import Reader, nothing

# A line's number, together with its invoice's position where numbers begin again -> invoice, line, the line itself.
Lines = dict[tuple[int, Value | None], tuple[int, int, Commodity]]


def lines_by_number(*declarations: Declaration) -> list[Lines]:
    """Return each declaration's lines by number; by invoice as well if in any of them a number comes again."""
    all_lines = [list(declaration.lines()) for declaration in declarations]
    again = any(len({line.values.get("line_number") for _, _, line in lines}) < len(lines) for lines in all_lines)
    return [{(i if again else 0, line.get("line_number")): (i, j, line) for i, j, line in lines} for lines in all_lines]


@dataclass(slots=True)
class Context:
    """All that a check may look at beside its level; `now` is the moment of receipt, `today` its day in Eastern Time.

    `history` holds the versions on file that count, oldest first, and `former` the latest. `choice` is how the importer
    accounts (`core.partner.Partner.choices`), None where it is not known.
    """

    type: MessageType
    declaration: Declaration
    register: Register
    pack: Pack
    specs: Specs
    now: datetime
    today: date
    history: tuple[VersionFact, ...]
    choice: str | None = None
    _lines: list[Lines] | None = None

    @property
    def former(self) -> VersionFact | None:
        """The version that a change would follow."""
        return self.history[-1] if self.history else None

    def first_day(self, *names: str) -> date:
        """Return the first given of the declaration's dates of these names, that of receipt where none is."""
        return next((day for name in names if (day := self.declaration.day(name))), self.today)

    def lines(self) -> list[Lines]:
        """Return the lines by number, of the declaration and of the former version; worked out once."""
        if self._lines is None:
            former = self.former.declaration if self.former else self.declaration
            self._lines = lines_by_number(self.declaration, former)
        return self._lines

    def before(self, invoice: int, line: Commodity) -> Commodity | None:
        """Return the line of the former version that this one, of the invoice, follows; None if there is none."""
        if self.former is None:
            return None
        now, former = self.lines()
        number = line.get("line_number")
        found = former.get((invoice if (invoice, number) in now else 0, number))
        return found[2] if found else None

    @property
    def nature(self) -> Nature:
        """What the message is in law if it is accepted."""
        return nature_of(self.type, self.history, self.declaration, self.now, self.specs.calendar, self.choice)


class Role(NamedTuple):
    """An element that a check reads beside its row's own: the name that it has unless a row's column `reads` maps it.

    `level` is declaration, invoice or commodity, or `own`: that of the check. `kind` is text, number or date, as the
    dictionary's formats are. A role for `many` elements has no name by default: the row lists them, if there are any.
    """

    name: str
    level: str
    kind: str = "text"
    many: bool = False


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

    `names` has the elements of each role, `reads` every element that the rule reads, its own first; `codes` is the code
    list of its element, if the check reads columns of it. `given` and `absent` are elements of the rule's own level;
    `terms` is what is left to be looked at per value, `only` an element with its texts of which alone the check speaks.
    """

    rule: Rule
    element: str
    level: str
    run: RunCheck
    presence: str
    parameter: Any
    names: Mapping[str, tuple[str, ...]]
    reads: tuple[str, ...]
    codes: CodeList | None
    given: frozenset[str]
    absent: frozenset[str]
    terms: tuple[Term, ...]
    only: tuple[str, frozenset[str]] | None

    def __getitem__(self, role: Role) -> str:
        """Return the pack's name for what the check declared that it reads; KeyError for what it did not declare."""
        return self.names[role.name][0]

    def every(self, role: Role) -> tuple[str, ...]:
        """Return the pack's names for a role of many elements."""
        return self.names[role.name]

    def fault(
        self,
        element: str | None = None,
        *,
        value: str | None = None,
        expected: str | None = None,
        details: Mapping[str, str] | None = None,
        invoice: int = 0,
        line: int = 0,
        occurrence: int = 1,
    ) -> Fault:
        """Return the rule's fault, without `element` about the row's own; the rulebook adds what every fault says.

        Its address counts from the level that the check looks at: invoice and line are needed for what is below it.
        """
        address = Address(self.element if element is None else element, invoice, line, occurrence)
        return Fault(self.rule.finding.code, address, value=value, expected=expected, details=details or {})


RunCheck = Callable[[Any, Context, Bound], Iterable[Fault]]


@dataclass(frozen=True, slots=True)
class Check:
    """A check that rule rows may name: how it runs, at which level (None: the element's), and how it reads a row.

    `presence` says of the rule's element: it must be given, it must be absent, or either (any); `of` is the kind of its
    format (None: any), `at` its level where that is another than the check's. `reads` is all that it reads beside that
    element, `needs` what of these must be given at its own level; `columns` are those that it reads of the element's
    code list. `on_list_day` tells that it looks codes up on the day that the dictionary names for the element.
    """

    run: RunCheck
    level: str | None
    presence: str
    of: str | None
    at: str | None
    reads: tuple[Role, ...]
    needs: tuple[Role, ...]
    columns: tuple[str, ...]
    on_list_day: bool
    only: Role | bool
    prepare: Reader


CHECKS: dict[str, Check] = {}


def check(
    level: str | None = None,
    *,
    presence: str = "given",
    of: str | None = None,
    at: str | None = None,
    reads: tuple[Role, ...] = (),
    needs: tuple[Role, ...] = (),
    columns: tuple[str, ...] = (),
    on_list_day: bool = False,
    only: Role | bool = False,
    prepare: Reader = nothing,
) -> Callable[[RunCheck], RunCheck]:
    """Register the function under its name as a check that rule rows may name; see `Check`."""

    def register(run: RunCheck) -> RunCheck:
        CHECKS[run.__name__] = Check(run, level, presence, of, at, reads, needs, columns, on_list_day, only, prepare)
        return run

    return register
