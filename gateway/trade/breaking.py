"""Makes, for each finding, a message that earns it alone: what breaks a rule stands in `breaks.csv`, beside the rule.

A table lies in each pack's folder, and one beside the findings for what every pack shares. Its columns:

- `id`: the finding's code.
- `kind`: original, correction, adjustment or withdraw; `original again` is sent after another of the same number,
  `correction unknown` without its original.
- `cad_type`: with which it is made; empty: AB.
- `given`: what holds for a change and its original alike; `changed`: what is changed in the faulty message only. Both
  `element=value; element=value`, without a value to leave the element out; `@number` is drawn (`changes.VALUES`).
- `change`: what no value can say, by its name in `changes`, with an argument in brackets.
- `remembered`: what the journal must hold of the original: `status=...`, `created_by_cbsa=yes`, `accepted_days_ago=N`.
- `xml`, `edifact`: the code that comes instead where that syntax itself demands what the rule does.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from core.declaration import MessageType, Unreadable, Value
from core.errors import GatewayError, SpecError
from core.findings import Bilingual
from core.specs import Element, Pack, Specs
from core.tables import Cells, Origin, read_rows
from core.transmission import Syntax
from gateway.trade.changes import DRAFT_CHANGES, SAMPLE_CHANGES, VALUES
from gateway.trade.maker import Draft, Maker
from gateway.trade.samples import Sample, SampleMessage, moment_of
from validators.parameters import pairs

COLUMNS = ("id", "kind", "cad_type", "given", "changed", "change", "remembered", "xml", "edifact")
KINDS = ("original", "original again", "correction", "correction unknown", "adjustment", "withdraw")
CALL = re.compile(r"(?P<name>\w+)(?:\((?P<argument>[^()]*)\))?")

# What would take part in the rules that a message is not about.
EVER_LEFT_OUT = ("line_count", "notes", "pre_carm", "description", "gst_code")


@dataclass(frozen=True)
class Break:
    """One row of `breaks.csv`: how to earn one finding alone."""

    code: str
    kind: str
    cad_type: str
    given: Mapping[str, str]
    changed: Mapping[str, str]
    changes: tuple[tuple[str, str], ...]  # name, argument
    remembered: Mapping[str, str]
    instead: Mapping[Syntax, str]


def breaks(specs: Specs) -> Mapping[str, Break]:
    """Return the rows of a specification's `breaks.csv` by finding code; raises SpecError with file, row and reason."""
    known = {rule.id for pack in specs.packs for rule in pack.rules} | set(specs.findings)
    elements = {name: element for pack in specs.packs for name, element in pack.elements.items()}
    found: dict[str, Break] = {}
    for origin, row in _rows(specs.root):
        if row["id"] not in known:
            raise SpecError(*origin, f"there is no rule or finding {row['id']}")
        if row["id"] in found:
            raise SpecError(*origin, f"{row['id']} is given twice")
        try:
            found[row["id"]] = _break(row, elements)
        except ValueError as error:
            raise SpecError(*origin, f"{row['id']}: {error}") from error
    return found


def _rows(root: Path) -> Iterator[tuple[Origin, Cells]]:
    for path in (root / "breaks.csv", *sorted(root.glob("*/breaks.csv"))):
        if path.is_file():
            yield from read_rows(path, COLUMNS, root=root)


def _break(row: Cells, elements: Mapping[str, Element]) -> Break:
    """Return one row, every name in it compared with what there is; raises ValueError."""
    if row["kind"] not in KINDS:
        raise ValueError(f"kind is one of {', '.join(KINDS)}, not {row['kind']!r}")
    given, changed = pairs(row["given"]), pairs(row["changed"])
    for name, text in (*given.items(), *changed.items()):
        if name not in elements:
            raise ValueError(f"there is no element {name}")
        if text.startswith("@"):
            _call(text[1:], VALUES)
        elif text and isinstance(elements[name].format.read(text), Unreadable):
            raise ValueError(f"{text!r} is no {name}")
    changes = tuple(_call(found[0], {**DRAFT_CHANGES, **SAMPLE_CHANGES}) for found in CALL.finditer(row["change"]))
    remembered = pairs(row["remembered"])
    if unknown := set(remembered) - {"status", "created_by_cbsa", "accepted_days_ago"}:
        raise ValueError(f"the journal remembers no {sorted(unknown)[0]}")
    instead = {syntax: row[str(syntax)] for syntax in (Syntax.XML, Syntax.EDIFACT) if row[str(syntax)]}
    return Break(row["id"], row["kind"], row["cad_type"] or "AB", given, changed, changes, remembered, instead)


def _call(text: str, known: Mapping[str, Any]) -> tuple[str, str]:
    """Return name and argument of `name(argument)`; raises ValueError for what is not known by that name."""
    found = CALL.fullmatch(text)
    if not found or found["name"] not in known:
        raise ValueError(f"there is no {text!r}; known: {', '.join(known)}")
    return found["name"], found["argument"] or ""


# ------------------------------------------------------------------------------------------------ making


def faults(specs: Specs) -> tuple[str, ...]:
    """Return the finding codes for which a message can be made, in order."""
    return tuple(sorted(breaks(specs)))


def faulty(code: str, maker: Maker, cad_type: str | None = None) -> tuple[Sample, Sample]:
    """Return (passing, failing): the same messages, sound but for what earns the finding.

    Raises GatewayError for a code that no `breaks.csv` has, and for a CAD type other than the one it is made with.
    """
    known = breaks(maker.specs)
    broken = known.get(code)
    if broken is None:
        raise GatewayError(f"no message can be made for {code}; possible: {', '.join(sorted(known))}")
    if cad_type not in (None, broken.cad_type):
        raise GatewayError(f"{code} is made with CAD type {broken.cad_type}")
    base, good, type_ = _sound(broken, maker)
    pack = maker.pack(MessageType.DECLARATION if type_ is MessageType.DECLARATION else MessageType.CORRECTION)
    bad = copy.deepcopy(good)
    bad.put(pack, _values(broken.changed, pack, maker))
    for name, argument in broken.changes:
        if name in DRAFT_CHANGES:
            DRAFT_CHANGES[name](bad, maker, argument)
    remembered = _remembered(broken, maker)
    before = [] if type_ is MessageType.DECLARATION else [SampleMessage(MessageType.DECLARATION, base.freeze())]
    told = [replace(step, remembered=remembered) for step in before]
    if broken.kind == "original again":
        told = [SampleMessage(MessageType.DECLARATION, base.freeze())]
    if broken.kind == "correction unknown":
        told = []
    passing = Sample((*before, SampleMessage(type_, good.freeze())), None, maker.specs, maker.partner, maker.partner)
    note = ", ".join(f"{name} {value}" for name, value in remembered.items())
    held = Bilingual(f"the journal must hold of the original: {note}", f"le journal doit avoir de l'original : {note}")
    last = SampleMessage(type_, bad.freeze())
    failing = Sample(
        (*told, last), code, maker.specs, maker.partner, maker.partner, held if note else None, broken.instead
    )
    for name, argument in broken.changes:
        if name in SAMPLE_CHANGES:
            failing = SAMPLE_CHANGES[name](failing, maker, argument)
    return passing, failing


def _sound(broken: Break, maker: Maker) -> tuple[Draft, Draft, MessageType]:
    """Return an original, the message that is then made faulty (the original itself, or what follows it), its type."""
    adjustment = broken.kind == "adjustment"
    accounted = maker.day - timedelta(days=120 if adjustment else 2)
    base = maker.draft(broken.cad_type, accounted=accounted, share=0.15, plain=True, shape=(2,))
    for level in (base.top, *base.lines()):
        for name in EVER_LEFT_OUT:
            level.pop(name, None)
    first = maker.pack(MessageType.DECLARATION)
    if broken.kind.startswith("original"):
        base.put(first, _values(broken.given, first, maker))
        base.add_up()
        return base, copy.deepcopy(base), MessageType.DECLARATION
    pack = maker.pack(MessageType.CORRECTION)
    values = _values(broken.given, pack, maker)
    originals = {name: value for name, value in values.items() if first.usage_of(name, broken.cad_type) != "X"}
    base.put(pack, originals)
    base.add_up()
    if broken.kind == "withdraw":
        return base, maker.withdraw(base), MessageType.WITHDRAW
    good = maker.change(base, adjustment=adjustment)
    good.top.pop("remark_1", None)
    for line in good.lines():
        line.pop("description", None)
    own = {name: value for name, value in values.items() if name not in originals}
    good.put(pack, {"description": "Described anew"} | own)
    return base, good, MessageType.CORRECTION


def _values(texts: Mapping[str, str], pack: Pack, maker: Maker) -> dict[str, Value | None]:
    """Return what a row's values stand for, typed as their elements are; None leaves an element out."""
    return {name: _value(name, text, pack, maker) for name, text in texts.items()}


def _value(name: str, text: str, pack: Pack, maker: Maker) -> Value | None:
    if text.startswith("@"):
        draw, argument = _call(text[1:], VALUES)
        return VALUES[draw](maker, argument)
    if name not in pack.elements:
        raise GatewayError(f"the dictionary of {pack.key} has no {name}")
    return pack.elements[name].format.read(text) if text else None


def _remembered(broken: Break, maker: Maker) -> dict[str, Any]:
    """Return what the journal must hold of the original beyond what sending it makes."""
    found: dict[str, Any] = {}
    for name, text in broken.remembered.items():
        if name == "accepted_days_ago":
            found["accepted_at"] = moment_of(maker.day - timedelta(days=int(text)))
        else:
            found[name] = text == "yes" if name == "created_by_cbsa" else text
    return found
