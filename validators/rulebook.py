"""Runs a pack's rule table over a declaration: reads the rows, prepares them per CAD type, and asks them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache

from core.declaration import Declaration, Level, MessageType
from core.errors import SpecError
from core.findings import Address, Fault
from core.register import Register
from core.specs import Pack, Rule, Specs
from core.transmission import Received
from validators.checks import Bound, Case, Hit, Term
from validators.elements import details_of, known_type, usage_of
from validators.rules import CHECKS  # from there, so that importing the rulebook registers every check

__all__ = ["apply_rules", "check_rule", "check_rules"]

LEVELS = ("declaration", "invoice", "commodity")

# ------------------------------------------------------------------------------------------------ the `when` language


TERM = re.compile(r"(?P<name>\w+) (?:(?P<verb>in|not in|=) (?P<values>\S+(?: \S+)*)|(?P<presence>given|absent))")


def parse_when(text: str, level: str, pack: Pack) -> tuple[Term, ...]:
    """Return the conditions of a `when` column, joined by ` and `.

    They are `NAME in A B`, `NAME not in A B`, `NAME = A`, `NAME given` and `NAME absent`; `type` stands for the message
    type. Raises ValueError.
    """
    terms = []
    for part in text.split(" and ") if text else ():
        found = TERM.fullmatch(part.strip())
        if not found:
            raise ValueError(f"cannot read the condition {part.strip()!r}")
        name, verb = found["name"], found["verb"] or found["presence"]
        values = frozenset((found["values"] or "").split())
        if verb == "=" and len(values) != 1:
            raise ValueError(f"= takes one value: {part.strip()!r}")
        if name == "type":
            if unknown := values - set(MessageType):
                raise ValueError(f"unknown message type {', '.join(sorted(unknown))}")
            if not values:
                raise ValueError("the message type is always given")
            own = False
        else:
            element = pack.elements.get(name)
            if element is None:
                raise ValueError(f"unknown element {name!r} in the condition")
            if element.level not in {level, "declaration"}:
                raise ValueError(f"{name} is of level {element.level}, the rule of level {level}")
            if values and element.format.kind != "text":
                raise ValueError(f"{name} is no text and cannot be compared with values")
            own = element.level == level
        terms.append(Term(name, "in" if verb == "=" else verb, values, own))
    return tuple(terms)


def _holds(term: Term, level: Level) -> bool:
    """Tell whether the condition holds for the level that its element belongs to."""
    if term.verb == "given":
        return level.has(term.name)
    if term.verb == "absent":
        return not level.has(term.name)
    value = level.get(term.name)
    return value is not None and (value in term.values) == (term.verb == "in")


# ------------------------------------------------------------------------------------------------ preparing a pack


def bind(rule: Rule, pack: Pack) -> Bound:
    """Return the rule row made ready for the pack; raises ValueError with the reason if it cannot be."""
    found = CHECKS.get(rule.check)
    if found is None:
        raise ValueError(f"unknown check {rule.check!r}")
    element = pack.elements.get(rule.element)
    if element is None:
        raise ValueError(f"unknown element {rule.element!r}")
    level = found.level or element.level
    if LEVELS.index(level) > LEVELS.index(element.level):
        raise ValueError(f"{rule.check} looks at level {level}, but {rule.element} is of level {element.level}")
    terms = parse_when(rule.when, level, pack)
    own = {rule.element} if element.level == level else frozenset[str]()
    given = {term.name for term in terms if term.own and term.verb != "absent"}  # `in` and `not in` need a value, too
    absent = {term.name for term in terms if term.own and term.verb == "absent"}
    return Bound(
        rule=rule,
        element=rule.element,
        level=level,
        run=found.run,
        presence=found.presence,
        parameter=found.prepare(rule, pack),
        given=found.needs | given | (own if found.presence == "given" else frozenset()),
        absent=frozenset(absent | (own if found.presence == "absent" else frozenset())),
        terms=tuple(term for term in terms if not (term.own and term.verb in {"given", "absent"})),
    )


def check_rule(rule: Rule, pack: Pack, specs: Specs | None = None) -> None:
    """Raise SpecError if the row cannot be run: unknown check, element, condition, parameter or list of codes."""
    try:
        bind(rule, pack)
        if specs and rule.check == "listed" and rule.parameter not in specs.code_lists:
            raise ValueError(f"there is no code list {rule.parameter}")
    except ValueError as error:
        raise SpecError(*rule.origin, f"rule {rule.id}: {error}") from error


def check_rules(pack: Pack, specs: Specs | None = None) -> None:
    """Raise SpecError for the first rule of the pack that cannot be run."""
    for rule in pack.rules:
        check_rule(rule, pack, specs)


Shape = Callable[[tuple[str, ...]], tuple[Bound, ...]]


class Rulebook:
    """A pack's rules made ready to run; which of them one message type and CAD type needs is worked out once.

    Raises SpecError for a rule that cannot be run.
    """

    def __init__(self, pack: Pack, specs: Specs) -> None:
        check_rules(pack, specs)
        self.pack, self.specs = pack, specs
        self._bound = tuple(bind(rule, pack) for rule in pack.rules)
        self._plans: dict[tuple[MessageType, str | None], tuple[Shape, ...]] = {}

    def plan(self, message_type: MessageType, cad_type: str | None) -> tuple[Shape, ...]:
        """Return, per level, which rules can say anything at all about a level with the given elements present.

        Conditions on the message type and CAD type are settled here, so that a message runs only what concerns it.
        """
        key = message_type, cad_type
        if key not in self._plans:
            self._plans[key] = _plan(self._bound, self.pack, *key)
        return self._plans[key]


def _plan(rules: Iterable[Bound], pack: Pack, message_type: MessageType, cad_type: str | None) -> tuple[Shape, ...]:
    settled = Level({"type": str(message_type), **({} if cad_type is None else {"cad_type": cad_type})})
    known = known_type(pack, cad_type)
    plans: dict[str, list[Bound]] = {level: [] for level in LEVELS}
    for bound in rules:
        ahead = [term for term in bound.terms if term.name in {"type", "cad_type"}]
        if not all(_holds(term, settled) for term in ahead):
            continue
        if usage_of(bound.element, pack, message_type, known) == ("M" if bound.presence == "absent" else "X"):
            continue  # the dictionary reports the element itself as missing, or as not used: one cause, one finding
        plans[bound.level].append(replace(bound, terms=tuple(term for term in bound.terms if term not in ahead)))
    return tuple(_shape(plans[level]) for level in LEVELS)


def _shape(rules: list[Bound]) -> Shape:
    """Return the remembered answer to: which of the rules apply to a level where these elements are present."""

    @lru_cache(maxsize=256)
    def answer(present: tuple[str, ...]) -> tuple[Bound, ...]:
        names = frozenset(present)
        return tuple(rule for rule in rules if rule.given <= names and rule.absent.isdisjoint(names))

    return answer


# ------------------------------------------------------------------------------------------------ running


def apply_rules(
    message_type: MessageType, declaration: Declaration, register: Register, received: Received, rulebook: Rulebook
) -> list[Fault]:
    """Return the faults that the pack's rules find; rules see readable values only, so nothing is reported twice."""
    pack, cad_type = rulebook.pack, declaration.text("cad_type")
    if known_type(pack, cad_type) is None:
        cad_type = None  # its own finding says so, and senders' inventions are not remembered
    case = Case(
        type=message_type,
        declaration=declaration,
        register=register,
        pack=pack,
        specs=rulebook.specs,
        now=received.received_at,
        today=received.day,
        history=register.history(declaration.transaction_number),
    )
    of_declaration, of_invoice, of_commodity = rulebook.plan(message_type, cad_type)
    faults: list[Fault] = []
    _run(of_declaration(tuple(declaration.values)), declaration, case, 0, 0, faults)
    for i, invoice in enumerate(declaration.invoices, 1):
        _run(of_invoice(tuple(invoice.values)), invoice, case, i, 0, faults)
        for j, commodity in enumerate(invoice.commodities, 1):
            _run(of_commodity(tuple(commodity.values)), commodity, case, i, j, faults)
    return faults


def _run(rules: tuple[Bound, ...], level: Level, case: Case, invoice: int, line: int, faults: list[Fault]) -> None:
    """Ask each rule about the level, and turn what it found into faults."""
    for bound in rules:
        for term in bound.terms:
            if not _holds(term, level if term.own else case.declaration):
                break
        else:
            for hit in bound.run(level, case, bound):
                faults.append(_fault(bound, hit, level, case.pack, invoice, line))


def _fault(bound: Bound, hit: Hit, level: Level, pack: Pack, invoice: int, line: int) -> Fault:
    """Return the hit as a fault with its address; without a value of its own it shows the element's."""
    element = pack.elements.get(hit.element)
    value = hit.value
    if value is None and element and hit.invoice is None and hit.line is None:
        found = level.all(hit.element)[hit.occurrence - 1 : hit.occurrence]
        value = element.format.write(found[0]) if found else None
    address = Address(
        hit.element,
        invoice if hit.invoice is None else hit.invoice,
        line if hit.line is None else hit.line,
        hit.occurrence,
    )
    details = {**(details_of(element) if element else {}), **hit.details}
    return Fault(bound.rule.finding.code, address, value=value, expected=hit.expected, details=details)
