"""Runs a pack's rule table over a declaration: reads the rows, prepares them per CAD type, and asks them.

How a row becomes a running rule, by an example. The row of `rules.csv`:

    id,check,element,when,parameter,reads,...
    CAD-0140,late_accounting,release_date,type = declaration and cad_type = AB,,accounting_date=accounted_on,...

1. `bind`, at load: `late_accounting` is looked up in `checks.CHECKS`, where its function stands with what it
   declares: it looks at the declaration, its element is a date, it takes no parameter, and it reads a date in the role
   `accounting_date`, which this row maps to the pack's `accounted_on`. Each name is compared with the dictionary, its
   level and the kind of its format; what does not fit is a SpecError with file, row and reason.
2. `plan`, once a message type and CAD type: `type` and `cad_type` are settled, so a correction never meets this rule.
3. `_shape`, once a combination of elements present: the rule applies where `release_date` is given. What an invoice's
   or a line's rule asks of the declaration is settled here, too: it is looked at once a message.
4. `apply_rules`, each message: the conditions left over are looked at, then the function is asked with the level, the
   context and the bound row; it returns faults, whose addresses count from the level. Here they become absolute, and
   the element's names are added for the words in the row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from core.declaration import Declaration, Level, MessageType
from core.errors import SpecError
from core.findings import Address, Fault
from core.register import Register
from core.specs import CodeList, Element, Pack, Rule, Specs
from core.transmission import Received
from validators import rules, rules_goods, rules_reasons, rules_sima, rules_trade, rules_versions
from validators.checks import CHECKS, Bound, Check, Context, Role, Term
from validators.elements import LEVELS, details_of, known_type, usage_of
from validators.parameters import ElementName, Setting, pairs

__all__ = ["SUBJECTS", "Rulebook", "apply_rules"]

# So that all checks are registered.
SUBJECTS = (rules, rules_goods, rules_sima, rules_trade, rules_versions, rules_reasons)

# ------------------------------------------------------------------------------------------------ the `when` language


TERM = re.compile(r"(?P<name>\w+) (?:(?P<verb>in|not in|=) (?P<values>\S+(?: \S+)*)|(?P<presence>given|absent))")


def parse_when(text: str, level: str, pack: Pack, specs: Specs) -> tuple[Term, ...]:
    """Return the conditions of a `when` column, joined by ` and `.

    They are `NAME in A B`, `NAME not in A B`, `NAME = A`, `NAME given` and `NAME absent`; `type` stands for the message
    type. Values are codes of the element's list, where it has one. Raises ValueError.
    """
    return tuple(_term(part.strip(), level, pack, specs) for part in (text.split(" and ") if text else ()))


def _term(text: str, level: str, pack: Pack, specs: Specs) -> Term:
    """Return one condition of a rule at a level."""
    found = TERM.fullmatch(text)
    if not found:
        raise ValueError(f"cannot read the condition {text!r}")
    name, verb = found["name"], found["verb"] or found["presence"]
    values = frozenset((found["values"] or "").split())
    if verb == "=" and len(values) != 1:
        raise ValueError(f"= takes one value: {text!r}")
    verb = "in" if verb == "=" else verb
    if name == "type":
        if unknown := values - set(MessageType):
            raise ValueError(f"unknown message type {', '.join(sorted(unknown))}")
        if not values:
            raise ValueError("the message type is always given")
        return Term(name, verb, values, own=False)
    element = pack.elements.get(name)
    if element is None:
        raise ValueError(f"unknown element {name!r} in the condition")
    if element.level not in {level, "declaration"}:
        raise ValueError(f"{name} is of level {element.level}, the rule of level {level}")
    if values and element.format.kind != "text":
        raise ValueError(f"{name} is no text and cannot be compared with values")
    codes = specs.code_lists.get(element.code_list or "")
    if codes and (unknown := values - set(codes.codes)):
        raise ValueError(f"{', '.join(sorted(unknown))} is no code of {codes.id}, the list of {name}")
    return Term(name, verb, values, own=element.level == level)


def _holds(term: Term, level: Level) -> bool:
    """Tell whether the condition holds for the level that its element belongs to."""
    if term.verb == "given":
        return level.has(term.name)
    if term.verb == "absent":
        return not level.has(term.name)
    value = level.get(term.name)
    return value is not None and (value in term.values) == (term.verb == "in")


# ------------------------------------------------------------------------------------------------ preparing a pack


def bind(rule: Rule, pack: Pack, specs: Specs) -> Bound:
    """Return the rule row made ready for the pack; raises ValueError with the reason if it cannot be."""
    found = CHECKS.get(rule.check)
    if found is None:
        raise ValueError(f"unknown check {rule.check!r}")
    element = pack.elements.get(rule.element)
    if element is None:
        raise ValueError(f"unknown element {rule.element!r}")
    level = found.level or element.level
    _compare_element(rule, found, element, level)
    terms = parse_when(rule.when, level, pack, specs)
    names = _names(rule, found, level, pack)
    parameter = found.prepare(rule.parameter, Setting(rule, element, pack, specs))
    own = {rule.element} if element.level == level else frozenset[str]()
    given = {term.name for term in terms if term.own and term.verb != "absent"}  # `in` and `not in` need a value, too
    absent = {term.name for term in terms if term.own and term.verb == "absent"}
    needed = {name for role in found.needs for name in names[role.name]}
    only = names[found.only.name][0] if isinstance(found.only, Role) else rule.element if found.only else None
    return Bound(
        rule=rule,
        element=rule.element,
        level=level,
        run=found.run,
        presence=found.presence,
        parameter=parameter,
        names=names,
        reads=_reads(element, names, terms, parameter, found),
        codes=_codes(rule, found, element, specs),
        given=frozenset(needed | given | (own if found.presence == "given" else frozenset())),
        absent=frozenset(absent | (own if found.presence == "absent" else frozenset())),
        terms=tuple(term for term in terms if not (term.own and term.verb in {"given", "absent"})),
        only=(only, frozenset(parameter)) if only else None,
    )


def _compare_element(rule: Rule, found: Check, element: Element, level: str) -> None:
    """Raise ValueError if the row's element is not of the level and kind that the check declares."""
    wanted = found.at or level
    if element.level != wanted:
        looks = f"{rule.check} looks at level {level}" + (f", there at elements of level {wanted}" if found.at else "")
        raise ValueError(f"{looks}, but {rule.element} is of level {element.level}")
    if found.of not in {None, element.format.kind}:
        raise ValueError(f"{rule.check} needs a {found.of}, but {rule.element} is a {element.format.kind}")


def _names(rule: Rule, found: Check, level: str, pack: Pack) -> dict[str, tuple[str, ...]]:
    """Return the pack's elements in each role of the check; raises ValueError for those that the check cannot read."""
    mapped = pairs(rule.reads)
    roles = {role.name for role in found.reads}
    if unknown := [name for name in mapped if name not in roles]:
        raise ValueError(f"{rule.check} reads {', '.join(sorted(roles)) or 'nothing else'}, not {unknown[0]}")
    names: dict[str, tuple[str, ...]] = {}
    for role in found.reads:
        if role.many and role.name not in mapped:
            raise ValueError(f"{rule.check} needs its column reads to say: {role.name}=ELEMENT ...")
        names[role.name] = tuple(mapped.get(role.name, role.name).split())
        if not role.many and len(names[role.name]) != 1:
            raise ValueError(f"{rule.check} reads one element as {role.name}")
        wanted = level if role.level == "own" else role.level
        for name in names[role.name]:
            element = pack.elements.get(name)
            if element is None:
                hint = "" if role.name in mapped else f"; the column reads maps it: {name}=ELEMENT"
                raise ValueError(f"{rule.check} reads {name}, which is no element of the dictionary{hint}")
            if (element.level, element.format.kind) != (wanted, role.kind):
                given = f"{name} is a {element.format.kind} of level {element.level}"
                raise ValueError(f"{rule.check} reads a {role.kind} of level {wanted}, but {given}")
    return names


def _reads(
    element: Element, names: Mapping[str, tuple[str, ...]], terms: Iterable[Term], parameter: object, found: Check
) -> tuple[str, ...]:
    """Return every element that the rule reads: its own, by role, in conditions and parameter, to look up codes."""
    every = [element.name, *(name for each in names.values() for name in each)]
    every += [term.name for term in terms if term.name != "type"]
    every += [str(parameter)] if isinstance(parameter, ElementName) else []
    every += element.list_day if found.on_list_day else []
    return tuple(dict.fromkeys(every))


def _codes(rule: Rule, found: Check, element: Element, specs: Specs) -> CodeList | None:
    """Return the code list of the row's element, where the check reads columns of it; ValueError if it lacks them."""
    if not found.columns:
        return None
    codes = specs.code_lists.get(element.code_list or "")
    if codes is None:
        raise ValueError(f"{rule.check} needs an element with a code list, and {element.name} has none")
    known = {column for entries in codes.codes.values() for entry in entries for column in entry.row}
    if lacking := [column for column in found.columns if column not in known]:
        raise ValueError(f"{rule.check} reads the column {lacking[0]} of the code list {codes.id}, which has none")
    return codes


def _bound(rule: Rule, pack: Pack, specs: Specs) -> Bound:
    """Return the rule row made ready; raises SpecError with file, row and reason."""
    try:
        return bind(rule, pack, specs)
    except ValueError as error:
        raise SpecError(*rule.origin, f"rule {rule.id}: {error}") from error


def reads_of(rule: Rule, pack: Pack, specs: Specs) -> tuple[Element, ...]:
    """Return every element that a rule of the pack reads, its own first; raises SpecError if it cannot be run."""
    return tuple(pack.elements[name] for name in _bound(rule, pack, specs).reads)


# What a level's values must be for a rule to be asked: (element, whether its text is one of these, these); the rule.
Tests = tuple[tuple[str, bool, frozenset[str]], ...]
AskedRules = tuple[tuple[Tests, Bound], ...]

# Elements present, and what holds of the declaration -> the rules that may say something.
RuleShape = Callable[[tuple[str, ...], frozenset[Term]], AskedRules]


class RulePlan(NamedTuple):
    """The rules of one message type and CAD type by level, and what they ask of the declaration around a level."""

    around: frozenset[Term]
    declaration: RuleShape
    invoice: RuleShape
    line: RuleShape


class Rulebook:
    """A pack's rules made ready to run; which of them one message type and CAD type needs is worked out once.

    Raises SpecError for a rule that cannot be run.
    """

    def __init__(self, pack: Pack, specs: Specs) -> None:
        self.pack, self.specs = pack, specs
        self.bound = tuple(_bound(rule, pack, specs) for rule in pack.rules)
        self._plans: dict[tuple[MessageType, str | None], RulePlan] = {}

    def plan(self, message_type: MessageType, cad_type: str | None) -> RulePlan:
        """Return, per level, which rules can say anything at all about a level with the given elements present.

        Conditions on the message type and CAD type are settled here, so that a message runs only what concerns it.
        """
        key = message_type, cad_type
        if key not in self._plans:
            self._plans[key] = _plan(self.bound, self.pack, *key)
        return self._plans[key]


def _plan(rules: Iterable[Bound], pack: Pack, message_type: MessageType, cad_type: str | None) -> RulePlan:
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
    around = frozenset(term for rules in plans.values() for bound in rules for term in bound.terms if not term.own)
    return RulePlan(around, *(_shape(plans[level]) for level in LEVELS))


def _shape(rules: list[Bound]) -> RuleShape:
    """Return the remembered answer to: which of the rules apply to a level where these elements are present."""

    @lru_cache(maxsize=256)
    def answer(present: tuple[str, ...], around: frozenset[Term]) -> AskedRules:
        names = frozenset(present)
        return tuple(
            (_tests(rule), rule)
            for rule in rules
            if rule.given <= names
            and rule.absent.isdisjoint(names)
            and all(term.own or term in around for term in rule.terms)
        )

    return answer


def _tests(rule: Bound) -> Tests:
    """Return what of a rule's conditions is left to be looked at in each level: the values of its own elements."""
    own = tuple((term.name, term.verb == "in", term.values) for term in rule.terms if term.own)
    return (*own, (rule.only[0], True, rule.only[1])) if rule.only else own


# ------------------------------------------------------------------------------------------------ running


def apply_rules(
    message_type: MessageType,
    declaration: Declaration,
    register: Register,
    received: Received,
    rulebook: Rulebook,
    choice: str | None = None,
) -> list[Fault]:
    """Return the faults that the pack's rules find; rules see readable values only, so nothing is reported twice.

    `choice` is how the importer accounts, None where it is not known.
    """
    pack, cad_type = rulebook.pack, declaration.text("cad_type")
    if known_type(pack, cad_type) is None:
        cad_type = None  # its own finding says so, and senders' inventions are not remembered
    context = Context(
        type=message_type,
        declaration=declaration,
        register=register,
        pack=pack,
        specs=rulebook.specs,
        now=received.received_at,
        today=received.day,
        history=register.history(declaration.transaction_number),
        choice=choice,
    )
    plan = rulebook.plan(message_type, cad_type)
    around = frozenset([term for term in plan.around if _holds(term, declaration)])
    faults: list[Fault] = []
    _run(plan.declaration(tuple(declaration.values), around), declaration, context, 0, 0, faults)
    for i, invoice in enumerate(declaration.invoices, 1):
        _run(plan.invoice(tuple(invoice.values), around), invoice, context, i, 0, faults)
        for j, line in enumerate(invoice.commodities, 1):
            _run(plan.line(tuple(line.values), around), line, context, i, j, faults)
    return faults


def _run(asked: AskedRules, level: Level, context: Context, invoice: int, line: int, faults: list[Fault]) -> None:
    """Ask each rule about the level, and add what it found."""
    get = level.values.get
    for tests, rule in asked:
        for name, inside, values in tests:
            value = get(name)
            if type(value) is not str or (value in values) is not inside:  # what is not readable is no value
                break
        else:
            for fault in rule.run(level, context, rule):
                faults.append(_whole(fault, level, context.pack, invoice, line))


def _whole(fault: Fault, level: Level, pack: Pack, invoice: int, line: int) -> Fault:
    """Return a check's fault with its address in the declaration; without a value of its own it shows the element's."""
    name, below, at_line, occurrence = fault.address or Address("")
    element = pack.elements.get(name)
    value = fault.value
    if value is None and element and not below and not at_line:
        found = level.all(name)[occurrence - 1 : occurrence]
        value = element.format.write(found[0]) if found else None
    address = Address(name, below or invoice, at_line or line, occurrence)
    details = {**(details_of(element) if element else {}), **fault.details}
    return replace(fault, address=address, value=value, details=details)
