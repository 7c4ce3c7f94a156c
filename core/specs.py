"""The specification as values: packs, dictionary, code lists, rules and the words of findings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from core.answers import Answers
from core.calendar import Calendar, Period
from core.declaration import MessageType, RefusedVersions, Unreadable, Value
from core.findings import Address, Bilingual, Severity
from core.trade import Trade

# A dictionary format: `an..35`, `n14`, `a2`, `n..16,3` (digits in all, decimals), `date` (CCYYMMDD).
FORMAT = re.compile(r"(?P<type>an|a|n)(?P<up_to>\.\.)?(?P<max>\d{1,5})(,(?P<decimals>\d{1,3}))?|(?P<date>date)")


@dataclass(frozen=True, slots=True)
class Format:
    """An element's format, able to read a sender's text and to write it again.

    `kind` is text, number or date; lengths count characters, for numbers digits.
    """

    notation: str
    kind: str
    min: int
    max: int
    decimals: int
    pattern: re.Pattern[str]

    def read(self, text: str) -> Value:
        """Return the typed value of a sender's text, or the text as `Unreadable` if it does not have this format."""
        if not self.pattern.fullmatch(text):
            return Unreadable(text)
        if self.kind == "text":
            return text
        try:
            if self.kind == "number":
                return Decimal(text)
            return date.fromisoformat(text)
        except (ValueError, InvalidOperation):
            return Unreadable(text)

    def write(self, value: Value) -> str:
        """Return the text that reads back as the value; numbers plain, without exponent or trailing zeros."""
        if isinstance(value, Decimal):
            plain = format(value, "f")
            return plain.rstrip("0").rstrip(".") if "." in plain else plain
        return f"{value.year:04}{value:%m%d}" if isinstance(value, date) else value


@dataclass(frozen=True, slots=True)
class Element:
    """One data element of the dictionary: names, format and its place in both syntaxes.

    `level` is declaration, invoice or commodity; `direction` in (the sender's), or out (an answer's). `about_change`
    tells that the element belongs to a change itself, not to what is declared: a difference in it changes nothing.
    `xml_path` and `edifact_place` are None where the element has no place in that syntax; `pointer` is the chain of
    WCO class ids and the element's own id. `list_day` names the elements of which the first given is the day on which
    a code of it must be valid.
    """

    name: str
    level: str
    form_field: str
    title: Bilingual
    format: Format
    code_list: str | None
    list_day: tuple[str, ...]
    direction: str
    xml_path: str | None
    edifact_place: str | None
    wco_id: str | None
    pointer: tuple[str, ...]
    source: Bilingual
    confidence: str
    note: Bilingual
    origin: tuple[str, int]  # file and row, for messages about the data
    about_change: bool = False
    currency: str | None = None  # of an amount: the element of the same level that names its currency
    xml_confidence: str = ""  # of its place in XML, where that is another than what the pack says of all places
    mistaken: tuple[tuple[str, re.Pattern[str]], ...] = ()  # what is written by mistake: the finding's state, the form


@dataclass(frozen=True, slots=True)
class Code:
    """One entry of a code list, with every column of its row."""

    code: str
    name: Bilingual
    valid: Period
    source: Bilingual
    confidence: str
    row: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CodeList:
    """A code list; a code may have several entries with different periods."""

    id: str
    name: Bilingual
    codes: Mapping[str, tuple[Code, ...]]
    confidence: str

    def find(self, code: str, day: date | None) -> Code | None:
        """Return the code's entry that is valid on the day (any entry when no day is known), else None."""
        for entry in self.codes.get(code, ()):
            if day is None or entry.valid.covers(day):
                return entry
        return None


@dataclass(frozen=True, slots=True)
class FindingText:
    """A row of the findings tables: what a finding code means; `{placeholders}` are filled from a fault's details.

    `remedy` is what its receiver does about it. `states` are the same in the words for one state of affairs, which the
    fault's detail `state` names.
    """

    code: str
    severity: Severity
    text: Bilingual
    source: Bilingual
    confidence: str
    syntax_error: str | None
    remedy: Bilingual
    states: Mapping[str, FindingText] = field(default_factory=dict)

    def of(self, state: str | None) -> FindingText:
        """Return the finding as it is said of a state, itself where there is no such."""
        return self.states.get(state or "", self)


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of a pack's rule table: which check it runs, on what, and the finding that it gives.

    `check` names a function of `validators/rules*.py`; `element`, `when` and `parameter` are its arguments, and `reads`
    maps what it reads beside its element to the pack's own names (`validators/rulebook.py` shows how).
    `parameter_source` says where the parameter's constants come from, where the finding's own source does not.
    """

    id: str
    check: str
    element: str
    when: str
    parameter: str
    finding: FindingText
    origin: tuple[str, int]  # file and row
    reads: str = ""
    parameter_source: Bilingual | None = None


@dataclass(frozen=True, slots=True)
class Ignorable:
    """Code metadata that a message may carry though nothing reads it: where (`syntax` edifact or xml), which values.

    `place` is written as in the dictionary; `values` None allows any.
    """

    syntax: str
    place: str
    values: frozenset[str] | None
    source: Bilingual
    confidence: str
    origin: tuple[str, int]  # file and row, for messages about the data


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """One segment of the EDIFACT profile: its group (0: none), status, repeats, and its text if it is a constant."""

    group: int
    tag: str
    status: str
    max: int
    constant: str | None
    parent: int = 0
    origin: tuple[str, int] = ("edifact_profile.csv", 0)  # file and row, for messages about the data


@dataclass(frozen=True, slots=True)
class Former:
    """A row of a pack's former places: what is read as `source` counts as `element`.

    With `values` only these of the source's values do. If the two are `shared`, in one XML place, such a value is then
    no longer the source's.
    """

    element: str
    source: str
    values: frozenset[str]
    shared: bool


class Statement(NamedTuple):
    """How sure a kind of statement of a pack is: high, medium or low ("": not said), and why."""

    level: str
    words: Bilingual


@dataclass(frozen=True)
class XmlForm:
    """What form an XML document has: what stands around its own class, if anything does, and where the envelope stands.

    `names` lead from the root down to that class, which is the root itself where nothing stands around it. Paths stand
    below the root; what they name inside the class is in its namespace. In an answer's form constants may have {id},
    {sender} and so on in them.
    """

    names: tuple[str, ...]
    namespace: str
    around: str  # the wrapper's namespace
    envelope: Mapping[str, str]  # sender, recipient, reference, test, version -> path
    constants: Mapping[str, str]  # path -> what stands there in every document

    @cached_property
    def way(self) -> tuple[str, ...]:
        """The tags from the root down to the class."""
        *wrapper, own = self.names
        return (*(f"{{{self.around}}}{name}" for name in wrapper), f"{{{self.namespace}}}{own}")

    def tags(self, path: str) -> tuple[str, ...]:
        """Return the tags of a path below the root."""
        names, depth = (self.names[0], *path.split("/")), len(self.names) - 1
        inside = names[: depth + 1] == self.names
        spaces = [self.namespace if inside and place >= depth else self.around for place in range(len(names))]
        return tuple(f"{{{space}}}{name}" for space, name in zip(spaces, names, strict=True))[1:]


@dataclass(frozen=True, eq=False)
class Pack:
    """One specification pack (a chapter in one version): what it reads, its dictionary, usage and rules.

    Compared and hashed by identity.
    """

    id: str
    version: str
    title: Bilingual
    statement: Bilingual
    valid: Period
    types: Mapping[str, MessageType]  # by function code
    elements: Mapping[str, Element]
    cad_types: frozenset[str]  # the list's
    usage: Mapping[str, Mapping[str, str]]  # element -> CAD type (or "*": every other) -> M, O or X
    rules: tuple[Rule, ...]
    document: XmlForm  # around the declaration
    response: XmlForm  # around an answer
    schema: Path  # of the whole document
    response_schema: Path
    xml_levels: Mapping[str, str]  # level -> path of the class that repeats
    level_pointers: Mapping[str, tuple[str, ...]]  # level -> WCO class ids down to it
    edifact_message: tuple[str, ...]  # S009: type, version, release, agency, association
    edifact_answer: tuple[str, ...]  # the same of an answer
    edifact_levels: Mapping[str, int]  # level -> number of the segment group that repeats
    profile: tuple[ProfileRow, ...]
    ignorable: tuple[Ignorable, ...]
    refused_versions: RefusedVersions
    answers: Answers
    confidence: Mapping[str, Statement] = field(default_factory=dict)  # by kind: elements, xml_places, edifact ...
    former: tuple[Former, ...] = ()  # where the dictionary once had elements, in the order in which they are settled

    def sure(self, kind: str) -> str:
        """Return how sure the pack is of a kind of statement: high, medium, low, or "" where it does not say."""
        return self.confidence[kind].level if kind in self.confidence else ""

    def xml_sure(self, element: Element) -> str:
        """Return how sure an element's place in XML is."""
        return element.xml_confidence or self.sure("xml_places")

    @property
    def key(self) -> str:
        """What tells this pack from the others, its own other versions among them: id and version."""
        return f"{self.id} {self.version}"

    @cached_property
    def about_change(self) -> frozenset[str]:
        """The elements that belong to a change itself, not to what is declared."""
        return frozenset(name for name, element in self.elements.items() if element.about_change)

    def usage_of(self, element: str, cad_type: str | None) -> str:
        """Return M, O or X for the element in a declaration of the CAD type; O where the tables say nothing."""
        row = self.usage.get(element, {})
        return row.get(cad_type or "*") or row.get("*", "O")

    def pointer(self, address: Address) -> str:
        """Return the WCO pointer of an address: ids joined by `/`, the invoice and the line as `[n]` behind theirs."""
        element = self.elements.get(address.element)
        level = "commodity" if address.line else "invoice" if address.invoice else "declaration"
        ids = list(element.pointer if element and element.pointer else self.level_pointers[level])
        for name, number in (("invoice", address.invoice), ("commodity", address.line)):
            depth = len(self.level_pointers[name])
            if number and len(ids) >= depth:
                ids[depth - 1] += f"[{number}]"
        if address.occurrence > 1:
            ids[-1] += f"[{address.occurrence}]"
        return "/".join(ids)


@dataclass(frozen=True, eq=False)
class Specs:
    """All packs, shared code lists, findings, days, and facts of trade, as they stand in a folder."""

    root: Path
    packs: tuple[Pack, ...]
    code_lists: Mapping[str, CodeList]
    findings: Mapping[str, FindingText]
    classes: Mapping[str, str]  # WCO class name -> WCO id
    calendar: Calendar
    trade: Trade

    @cached_property
    def every_finding(self) -> Mapping[str, FindingText]:
        """What every finding code means, those of all packs' rules among them (of several the first pack's)."""
        rules = {rule.id: rule.finding for pack in reversed(self.packs) for rule in pack.rules}
        return {**self.findings, **rules}

    def remedy_of(self, code: str) -> Bilingual | None:
        """Return what is done about a finding; None for one that these tables have not."""
        found = self.every_finding.get(code)
        return found.remedy if found else None


def choose_pack(packs: Iterable[Pack], function_code: str | None, version: str | None, day: date) -> Pack | None:
    """Return the pack that reads a function code: the declared version's, else the one in force on the day, else any.

    None when no pack knows the function code; whether it is in force, or of another version than the declared one, is a
    finding's business, not this one's.
    """
    known = [pack for pack in packs if function_code in pack.types]
    declared = [pack for pack in known if pack.version == version]
    in_force = [pack for pack in known if pack.valid.covers(day)]
    return next(iter(declared or in_force or known), None)
