"""Two versions of a declaration side by side: what changed, what is missing, the reasons called for, the amounts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from core.assessment import Amounts, AssessmentResult, Reason
from core.calendar import eastern_day, interest_day
from core.declaration import Commodity, Declaration, Level, Nature, Value
from core.errors import GatewayError
from core.findings import Bilingual
from core.register import Facts, consignment_of, due_day
from core.specs import Code, Element, Pack, Specs
from core.transmission import Judged, Message, Verdict, stable_id
from gateway.engine.assess import Rates, assess
from routing.assessment import build_request, read_request, read_result, write_result
from validators.checks import lines_by_number

UNREADABLE = Bilingual(
    "a message that cannot be read as a declaration has nothing to be compared",
    "un message qui ne peut se lire comme une déclaration n'a rien à comparer",
)


class Changed(NamedTuple):
    """One element that differs; invoice and line count from 1 in the later version (0: above them), None: not there.

    `substance` is False for what belongs to the change itself: version, references, reason codes, remarks.
    """

    invoice: int
    line: int
    element: Element
    before: str | None
    after: str | None
    substance: bool


class Line(NamedTuple):
    """A line that only one version has: its number as written, and its goods."""

    invoice: int
    number: str
    classification: str
    description: str


class Call(NamedTuple):
    """One level that changed: its reason codes, or the nearest level's above, and those of the list that fit."""

    invoice: int
    line: int
    elements: tuple[str, ...]
    given: tuple[str, ...]
    fitting: tuple[Code, ...]


@dataclass(frozen=True)
class Effect:
    """What the reference engine makes of both versions; a problem instead where it cannot assess one of them."""

    before: AssessmentResult | None
    after: AssessmentResult | None
    problems: tuple[Reason, ...] = ()

    @property
    def difference(self) -> Amounts | None:
        """The later totals less the former ones."""
        if self.before is None or self.after is None:
            return None
        return Amounts(*(late - early for early, late in zip(self.before.totals, self.after.totals, strict=True)))


@dataclass(frozen=True)
class Diff:
    """All that sets two versions apart."""

    changed: tuple[Changed, ...]
    added: tuple[Line, ...]
    missing: tuple[Line, ...]
    calls: tuple[Call, ...]
    effect: Effect

    def __bool__(self) -> bool:
        return bool(self.changed or self.added or self.missing)


def compare(
    before: Message, after: Message, pack: Pack, specs: Specs, nature: Nature, day: date, effect: Effect
) -> Diff:
    """Return what sets two messages' declarations apart; `pack` is one that knows the elements of both.

    Invoices are matched by their place, lines by their number, as the rules do. Raises GatewayError for a message
    without a declaration.
    """
    early, late = before.declaration, after.declaration
    if early is None or late is None:
        raise GatewayError(UNREADABLE)
    changed = list(_changed(early, late, pack))
    was, now = lines_by_number(early, late)
    added = [_line(i, line, pack) for key, (i, _, line) in now.items() if key not in was]
    missing = [_line(i, line, pack) for key, (i, _, line) in was.items() if key not in now]
    new_lines = [(i, j) for key, (i, j, _) in now.items() if key not in was]
    calls = _calls(changed, new_lines, late, nature, specs, day, effect.difference)
    return Diff(tuple(changed), tuple(added), tuple(missing), tuple(calls), effect)


def _changed(early: Declaration, late: Declaration, pack: Pack) -> Iterator[Changed]:
    """Yield the elements that differ, level by level."""
    yield from _of_level(0, 0, early, late, pack)
    for i, invoice in enumerate(late.invoices, 1):
        former: Level = early.invoices[i - 1] if i <= len(early.invoices) else Level({})
        yield from _of_level(i, 0, former, invoice, pack)
    was, now = lines_by_number(early, late)
    for key, (i, j, line) in now.items():
        if key in was:
            yield from _of_level(i, j, was[key][2], line, pack)


def _of_level(invoice: int, line: int, early: Level, late: Level, pack: Pack) -> Iterator[Changed]:
    """Yield the elements of a level that differ, in the order of the dictionary."""
    for name, element in pack.elements.items():
        before, after = early.all(name), late.all(name)
        if before != after:
            substance = not element.about_change
            yield Changed(invoice, line, element, _text(element, before), _text(element, after), substance)


def _text(element: Element, values: Iterable[Value]) -> str | None:
    """Return an element's occurrences as they would be written, None if there is none."""
    written = [element.format.write(value) for value in values]
    return " | ".join(written) if written else None


def _line(invoice: int, line: Commodity, pack: Pack) -> Line:
    number = line.get("line_number")
    written = pack.elements["line_number"].format.write(number) if number is not None else "?"
    return Line(invoice, written, line.text("classification") or "", line.text("description") or "")


# ------------------------------------------------------------------------------------------------ reasons


def _calls(
    changed: Iterable[Changed],
    new_lines: Iterable[tuple[int, int]],
    late: Declaration,
    nature: Nature,
    specs: Specs,
    day: date,
    difference: Amounts | None,
) -> Iterator[Call]:
    """Yield, for each level whose substance differs, the reasons that it gives and those that the list has for it.

    An original needs no reason.
    """
    if nature is Nature.ORIGINAL:
        return
    levels = {(invoice, line): level for invoice, line, level in late.levels()}
    differing: dict[tuple[int, int], list[str]] = {place: [] for place in new_lines}
    for one in changed:
        if one.substance:
            differing.setdefault((one.invoice, one.line), []).append(one.element.name)
    for (invoice, line), names in sorted(differing.items()):
        given: tuple[str, ...] = ()
        for family, place in (
            ("line_reason_code_", (invoice, line)),
            ("invoice_reason_code_", (invoice, 0)),
            ("reason_code_", (0, 0)),
        ):
            given = given or tuple(code for n in "123" if (code := levels[place].text(f"{family}{n}")))
        treatment = levels[invoice, line].text("tariff_treatment") if "tariff_treatment" in names else None
        codes = fitting(names, nature, specs, day, difference, treatment)
        yield Call(invoice, line, tuple(names), given, tuple(codes))


def fitting(
    names: Iterable[str],
    nature: Nature,
    specs: Specs,
    day: date,
    difference: Amounts | None,
    treatment: str | None = None,
) -> list[Code]:
    """Return the codes of the list `reason_code` that fit a change of these elements, refunds first.

    Columns read: `use` (correction or adjustment), `kind` (refund, owing, neutral: compared with the amounts, where
    they are known), `about` (the elements that the code's own name speaks of; * for any) and `treatments` (the tariff
    treatments that it names, compared with a treatment that is newly claimed). A code about the very elements counts
    before one about any.
    """
    codes = specs.code_lists.get("reason_code")
    if codes is None:
        return []
    wanted = set(names)
    use = "correction" if nature is Nature.CORRECTION else "adjustment"
    kinds = {"correction", "refund", "neutral", "owing"}
    if difference is not None and use == "adjustment":
        total = difference.total
        kinds = {"refund", "neutral"} if total < 0 else {"owing"} if total > 0 else {"neutral", "owing"}
    entries = [entry for code in codes.codes if (entry := codes.find(code, day))]
    usable = [entry for entry in entries if entry.row.get("use") == use and entry.row.get("kind") in kinds]
    if treatment is not None:
        usable = [entry for entry in usable if treatment in (entry.row.get("treatments") or treatment).split()]
    own = [entry for entry in usable if wanted & set(entry.row.get("about", "").split())]
    found = own or [entry for entry in usable if entry.row.get("about") == "*"]
    order = ["refund", "owing", "neutral", "correction"]
    return sorted(found, key=lambda entry: order.index(entry.row.get("kind", "correction")))


# ------------------------------------------------------------------------------------------------ amounts


def effect_of(before: Message, after: Message, nature: Nature, rates: Rates, now: datetime) -> Effect:
    """Return what the reference engine (sample rates) makes of both versions."""
    first, early = _assessed(before, Nature.ORIGINAL, rates, now)
    second, late = _assessed(after, nature, rates, now)
    return Effect(first, second, (*early, *late))


def _assessed(
    message: Message, nature: Nature, rates: Rates, now: datetime
) -> tuple[AssessmentResult | None, tuple[Reason, ...]]:
    """Return the engine's word on a message taken as it is, or why there is none."""
    judged = Judged(message, Verdict.ACCEPTED, (), nature)
    id_ = stable_id("diff", str(message.ordinal), nature.value)
    try:
        request = read_request(build_request(judged, message_id=id_, partner="", requested_at=now))
        answer = assess(request, rates).result
    except GatewayError as error:
        return None, (Reason("", Bilingual(str(error), str(error))),)
    if answer is None:
        silent = Bilingual("The engine stays silent.", "Le moteur ne répond pas.")
        return None, (Reason("", silent),)
    result = read_result(write_result(answer)).by_position(message.declaration)
    refused = result.outcome == "refused"
    return (None, result.reasons) if refused else (result, ())


def due_days(late: Declaration, facts: Facts, now: datetime, specs: Specs) -> dict[str, date]:
    """Return the day on which the payment for the later one is due, and the day after which interest counts."""
    history = facts.register.history(late.transaction_number)
    choice = facts.partner.choice_of(late) if facts.partner else None
    return {
        "payment_due": due_day(history, late, now, specs.calendar, choice),
        "interest_after": interest_day(consignment_of(late, eastern_day(now), choice), specs.calendar),
    }


def line_differences(effect: Effect) -> list[tuple[int, int, Decimal, Decimal]]:
    """Return (invoice, line, former total, later total) of each line whose duties and taxes differ, by its place."""
    if effect.before is None or effect.after is None:
        return []
    was = {(each.invoice, each.line): each.amounts.total for each in effect.before.lines}
    now = {(each.invoice, each.line): each.amounts.total for each in effect.after.lines}
    nothing = Decimal("0.00")
    rows = [(i, j, was.get((i, j), nothing), now.get((i, j), nothing)) for i, j in sorted({*was, *now})]
    return [row for row in rows if row[2] != row[3]]
