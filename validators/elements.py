"""Compares a declaration with the pack's dictionary: presence, format, code lists, repetition; for both syntaxes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from core.calendar import Period
from core.declaration import Declaration, Level, MessageType, Unreadable, Value
from core.findings import Address, Bilingual, Fault
from core.specs import FORMAT, CodeList, Element, Format, Pack, Specs

MISSING, UNREADABLE, NOT_LISTED, DOUBTFUL, NOT_USED, REPEATED = (f"CAD-000{n}" for n in range(1, 7))

# What a withdraw request must name, where the usage table has no column of its own for it: the declaration itself.
NAMED_BY_WITHDRAW = frozenset({"function_code", "transaction_number", "version"})
LEVELS = ("declaration", "invoice", "commodity")

LEVEL_NAMES = {
    "invoice": Bilingual("Invoice", "Facture"),
    "commodity": Bilingual("Commodity line of the invoice", "Ligne de marchandise de la facture"),
}

# Elements present, in order -> what is wrong with that (code, element), and the elements whose codes are looked up.
Misplaced = tuple[tuple[str, str], ...]
Coded = tuple[tuple[str, frozenset[str]], ...]
ElementShape = Callable[[tuple[str, ...]], tuple[Misplaced, Coded]]


class Levels(NamedTuple):
    """A pack's dictionary prepared for one message type and CAD type: one answer per shape of each level."""

    declaration: ElementShape
    invoice: ElementShape
    line: ElementShape


class Dictionary:
    """A pack's dictionary made ready to check by; what one message type and CAD type asks for is worked out once."""

    def __init__(self, pack: Pack, specs: Specs) -> None:
        self.pack, self.specs = pack, specs
        self._levels: dict[tuple[MessageType, str | None], Levels] = {}

    def levels(self, message_type: MessageType, cad_type: str | None) -> Levels:
        """Return what is asked of a message type and a CAD type that the pack knows (None: of an unknown one)."""
        key = message_type, cad_type
        if key not in self._levels:
            of_levels = (_shape(level, self.pack, self.specs, *key) for level in LEVELS)
            self._levels[key] = Levels(*of_levels)
        return self._levels[key]


def check_elements(declaration: Declaration, message_type: MessageType, dictionary: Dictionary) -> list[Fault]:
    """Return what the dictionary finds wrong, level by level; an unreadable element is found once, as unreadable.

    An unknown or missing CAD type asks only for what every CAD type asks for. Source: the pack's own tables.
    """
    pack, specs = dictionary.pack, dictionary.specs
    levels = dictionary.levels(message_type, known_type(pack, declaration.text("cad_type")))
    faults: list[Fault] = []
    _check(declaration, levels.declaration, declaration, pack, specs, 0, 0, faults)
    for i, invoice in enumerate(declaration.invoices, 1):
        if invoice.values or invoice.commodities:  # of an empty invoice one thing is told, below
            _check(invoice, levels.invoice, declaration, pack, specs, i, 0, faults)
        for j, line in enumerate(invoice.commodities, 1):
            _check(line, levels.line, declaration, pack, specs, i, j, faults)
        if not invoice.commodities and message_type is not MessageType.WITHDRAW:
            faults.append(_absent("commodity", Address("", i, 1)))
    if not declaration.invoices and message_type is not MessageType.WITHDRAW:
        faults.append(_absent("invoice", Address("", 1, 0)))
    return faults


def listed_on(element: Element, level: Level, declaration: Declaration) -> date | None:
    """Return the day on which the element's code must be valid: the first given of its `list_day` elements, or None."""
    return next((day for _, day in _days(element, level, declaration)), None)


def _days(element: Element, level: Level, declaration: Declaration) -> Iterator[tuple[str, date]]:
    """Yield the elements that say on which day the element's code must be valid, with their days."""
    for name in element.list_day:
        if day := level.day(name) or declaration.day(name):
            yield name, day


def details_of(element: Element) -> dict[str, str]:
    """Return what every finding about the element may say of it: its names in both languages and its form field."""
    return {
        "element": element.name,
        "name_en": element.title.en,
        "name_fr": element.title.fr,
        "form_field": element.form_field,
    }


def in_words(notation: Format) -> Bilingual:
    """Return the format in words, for people."""
    found = FORMAT.fullmatch(notation.notation)
    if notation.kind == "date":
        return Bilingual("a calendar date, CCYYMMDD", "une date du calendrier, SSAAMMJJ")
    if notation.kind == "number":
        if notation.decimals:
            return Bilingual(
                f"a number of at most {notation.max} digits, at most {notation.decimals} of them decimals",
                f"un nombre d'au plus {notation.max} chiffres, dont au plus {notation.decimals} décimales",
            )
        return Bilingual(
            f"a whole number of at most {notation.max} digits", f"un entier d'au plus {notation.max} chiffres"
        )
    en, fr = {"n": ("digits", "chiffres"), "a": ("letters", "lettres")}.get(
        found["type"] if found else "an", ("characters", "caractères")
    )
    if notation.min == notation.max:
        return Bilingual(f"exactly {notation.max} {en}", f"exactement {notation.max} {fr}")
    return Bilingual(f"at most {notation.max} {en}", f"au plus {notation.max} {fr}")


# ------------------------------------------------------------------------------------------------ deciding, fast


def _check(
    level: Level,
    shape: ElementShape,
    declaration: Declaration,
    pack: Pack,
    specs: Specs,
    invoice: int,
    line: int,
    faults: list[Fault],
) -> None:
    """Decide by what is present, by type and by set membership; explain only what does not pass."""
    values = level.values
    misplaced, coded = shape(tuple(values))
    if misplaced:
        faults += [_misplaced(code, name, level, pack, invoice, line) for code, name in misplaced]
    if level.more:
        faults += _repetitions(level, pack, invoice, line)
    if Unreadable in set(map(type, values.values())):
        faults += _unreadable(level, pack, invoice, line)
    for name, codes in coded:
        if values[name] not in codes:
            fault = _unlisted(name, level, declaration, pack, specs, invoice, line)
            if fault:
                faults.append(fault)


def _shape(level: str, pack: Pack, specs: Specs, message_type: MessageType, cad_type: str | None) -> ElementShape:
    """Return the remembered answer to: which elements are missing or out of place, and which have codes to look up."""
    elements = {name: element for name, element in pack.elements.items() if element.level == level}
    usage = {name: usage_of(name, pack, message_type, cad_type) for name in elements}
    required = [name for name, use in usage.items() if use == "M" and elements[name].direction != "out"]
    unwanted = {name for name, use in usage.items() if use == "X" or elements[name].direction == "out"}
    ruled = {rule.element for rule in pack.rules if rule.check == "listed"}
    codes = {
        name: _always(specs.code_lists[element.code_list])
        for name, element in elements.items()
        if element.code_list and element.code_list in specs.code_lists and name not in unwanted | ruled
    }

    @lru_cache(maxsize=256)
    def answer(present: tuple[str, ...]) -> tuple[Misplaced, Coded]:
        given = frozenset(present)
        missing = tuple((MISSING, name) for name in required if name not in given)
        not_used = tuple((NOT_USED, name) for name in present if name in unwanted)
        return missing + not_used, tuple((name, codes[name]) for name in present if name in codes)

    return answer


def segment_of(element: Element) -> str:
    """Return the segment in which an element stands, as its place names it; its own name if it stands in none."""
    return (element.edifact_place or "").rpartition("/")[0] or element.name


def usage_of(name: str, pack: Pack, message_type: MessageType, cad_type: str | None) -> str:
    """Return M, O or X for the element; for an unknown CAD type M or X only where all types agree."""
    if message_type is MessageType.WITHDRAW:
        row = pack.usage.get(name, {})
        return row.get("withdraw") or ("M" if name in NAMED_BY_WITHDRAW else "O")
    if cad_type is not None:
        return pack.usage_of(name, cad_type)
    uses = {pack.usage_of(name, each) for each in pack.cad_types | {"*"}}
    return uses.pop() if len(uses) == 1 else "O"


def known_type(pack: Pack, cad_type: str | None) -> str | None:
    """Return the CAD type if there is one, None for what a sender made up."""
    return cad_type if cad_type in pack.cad_types else None


def _always(codes: CodeList) -> frozenset[str]:
    """Return the codes that are valid on every day; the others need a look at the calendar."""
    return frozenset(code for code in codes.codes if is_always_valid(codes, code))


def is_always_valid(codes: CodeList, code: str) -> bool:
    """Tell whether the code is in the list, and on every day."""
    entries = codes.codes.get(code, ())
    return any(entry.valid.start is None and entry.valid.end is None for entry in entries)


# ------------------------------------------------------------------------------------------------ explaining


def _absent(level: str, address: Address) -> Fault:
    """Return the fault of a whole invoice or line that is not there."""
    name = LEVEL_NAMES[level]
    return Fault(MISSING, address, details={"element": "", "name_en": name.en, "name_fr": name.fr, "form_field": ""})


def _misplaced(code: str, name: str, level: Level, pack: Pack, invoice: int, line: int) -> Fault:
    """Return the fault of an element that is missing, or of one that is not used here."""
    value = level.values.get(name)
    return Fault(
        code,
        Address(name, invoice, line),
        value=None if value is None else pack.elements[name].format.write(value),
        details=details_of(pack.elements[name]),
    )


def _repetitions(level: Level, pack: Pack, invoice: int, line: int) -> list[Fault]:
    """Return the faults of elements given more than once, unless a rule of the pack counts that element itself."""
    counted = {rule.element for rule in pack.rules if rule.check == "at_most_one"}
    more: dict[str, tuple[str, Sequence[Value]]] = {}
    for name, further in level.more.items():
        if further and name in pack.elements and name not in counted:
            more.setdefault(segment_of(pack.elements[name]), (name, further))  # a segment given twice is one mistake
    return [
        Fault(
            REPEATED,
            Address(name, invoice, line, 2),
            value=pack.elements[name].format.write(further[0]),
            expected="1",
            details={**details_of(pack.elements[name]), "count": str(1 + len(further))},
        )
        for name, further in more.values()
    ]


def _unreadable(level: Level, pack: Pack, invoice: int, line: int) -> list[Fault]:
    """Return the faults of elements that do not have their format."""
    return [
        unreadable(pack.elements[name], Address(name, invoice, line), value)
        for name, value in level.values.items()
        if isinstance(value, Unreadable) and name in pack.elements
    ]


def unreadable(element: Element, address: Address, value: str) -> Fault:
    """Return the fault of a value that does not have its element's format."""
    notation, words = element.format.notation, in_words(element.format)
    details = {**details_of(element), "format": notation, "expected_en": words.en, "expected_fr": words.fr}
    if state := next((state for state, pattern in element.mistaken if pattern.fullmatch(value)), None):
        details["state"] = state
    return Fault(UNREADABLE, address, value=value, expected=notation, details=details)


def _unlisted(
    name: str, level: Level, declaration: Declaration, pack: Pack, specs: Specs, invoice: int, line: int
) -> Fault | None:
    """Return the fault of a code that its list does not have on the right day, or None if it has."""
    element = pack.elements[name]
    value = level.get(name)
    codes = specs.code_lists[element.code_list or ""]
    if not isinstance(value, str):
        return None
    day = listed_on(element, level, declaration)
    if codes.find(value, day):
        return None
    return Fault(
        NOT_LISTED if is_firm(codes, value) else DOUBTFUL,
        Address(name, invoice, line),
        value=value,
        details=details_of(element) | unlisted_details(codes, value, element, level, declaration, pack),
    )


def is_firm(codes: CodeList, value: str) -> bool:
    """Tell whether the list, and its entries for this code if it has any, are of high confidence."""
    return codes.confidence == "high" and all(entry.confidence == "high" for entry in codes.codes.get(value, ()))


def unlisted_details(
    codes: CodeList, value: str, element: Element, level: Level, declaration: Declaration, pack: Pack
) -> dict[str, str]:
    """Return what a finding about a code may say: the list, and of a code that it has when that is valid.

    `day` is the day looked at, `when_en` and `when_fr` are its name and the code's periods in words; else empty.
    """
    listed = {"list_en": codes.name.en, "list_fr": codes.name.fr}
    name, day = next(_days(element, level, declaration), ("", None))
    if day is None or value not in codes.codes:
        return listed | {"day": "—", "when_en": "", "when_fr": ""}
    title = pack.elements[name].title
    periods = [entry.valid for entry in codes.codes[value]]
    when_en = f" on {day} ({title.en}); it is valid {' and '.join(_in_words(each).en for each in periods)}"
    when_fr = f" le {day} ({title.fr}); il est valide {' et '.join(_in_words(each).fr for each in periods)}"
    return listed | {"day": day.isoformat(), "when_en": when_en, "when_fr": when_fr}


def _in_words(period: Period) -> Bilingual:
    """Return a code's period in words; both days are included."""
    start, end = period.start, period.end
    if start and end:
        return Bilingual(f"from {start} until {end}", f"du {start} au {end}")
    if start:
        return Bilingual(f"from {start}", f"à partir du {start}")
    return Bilingual(f"until {end}", f"jusqu'au {end}") if end else Bilingual("always", "toujours")
