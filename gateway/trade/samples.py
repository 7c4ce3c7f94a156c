"""Makes sample messages from the packs: valid ones of every kind, and for each finding one that earns it alone.

The same seed and day give the same bytes. Nothing of the way of a message uses this room.
"""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from core.calendar import EASTERN, Period
from core.declaration import Commodity, Declaration, Invoice, MessageType, Value
from core.envelope import Envelope
from core.errors import GatewayError
from core.findings import Bilingual
from core.partner import Partner
from core.register import Facts, Register
from core.specs import Code, Element, Pack, Specs
from core.transmission import Judged, Received, Syntax
from gateway import pipeline
from gateway.plans import Plans, compiled
from gateway.trade.writer import write_edifact, write_xml
from validators.elements import usage_of
from validators.rules import bn_is_valid, check_digit_of

Values = dict[str, Any]

WORDS = (
    "steel", "frames", "pump", "valve", "cotton", "shirts", "bearings", "glass", "panels", "engine", "parts", "tools",
    "cheese", "maple", "café", "Québec", "Northern", "Pacific", "Prairie", "Érable", "supplies", "imports", "metal",
    "works", "fasteners", "sensors", "cables",
)  # fmt: skip

# What an address element holds, by the end of its name.
ADDRESS: Mapping[str, tuple[str, ...]] = {
    "_name": ("Northern Parts Inc.", "Ateliers Érable ltée", "Prairie Steel Co-op", "Great Lakes Valves & Pumps"),
    "_street": ("100 Industrial Road", "12, rue de l'Église", "4500 Harbour Way"),
    "_city": ("Toronto", "Québec", "Detroit", "Shenzhen", "Guadalajara"),
    "_region": ("ON", "QC", "MI", "BC"),
    "_postcode": ("K1A 0L8", "H2X 1Y4", "48201"),
    "_phone": ("+1 613 555 0142", "514 555 0199"),
}

INTERIM_EXCISE = {"C01", "C02", "C03", "C04"}  # with these no unit is given
WITHOUT_RELEASE = {"V"}


@dataclass(frozen=True)
class Step:
    """One message of a sample: what is declared, and what its envelope says if not the usual.

    `remembered` is what the journal must hold of it beyond what sending it makes (an engine's word, an age); `spoil`
    changes the bytes once they are written.
    """

    type: MessageType
    declaration: Declaration
    remembered: Mapping[str, Any] = field(default_factory=dict)
    spoil: Callable[[bytes, Syntax], bytes] | None = None
    sender: str | None = None
    reference: str | None = None
    test: bool = False


@dataclass(frozen=True)
class Sample:
    """Messages to be sent in order, and the finding that the last of them earns (None: all are accepted).

    `partner` is who sends; `transport` who the transport says it is. `note` says what the files cannot carry.
    """

    steps: tuple[Step, ...]
    code: str | None
    specs: Specs
    partner: Partner
    transport: Partner | None
    note: str = ""
    instead: Mapping[Syntax, str] = field(default_factory=dict)

    def expected(self, syntax: Syntax) -> str | None:
        """Return the code of the finding that the last message earns in a syntax."""
        return self.instead.get(syntax, self.code)


@dataclass
class Draft:
    """A declaration being made: the values of each level, still open to changes."""

    top: Values
    invoices: list[tuple[Values, list[Values]]]
    twice: Values = field(default_factory=dict)  # what the declaration gives once more
    line_twice: Values = field(default_factory=dict)  # what the first line gives once more

    def lines(self) -> Iterator[Values]:
        """Yield the values of each line."""
        for _, lines in self.invoices:
            yield from lines

    def put(self, pack: Pack, changes: Mapping[str, Any]) -> None:
        """Apply changes at the level of their element: the declaration, the first invoice, its first line."""
        for name, value in changes.items():
            level = pack.elements[name].level
            if level != "declaration" and not self.invoices:
                continue
            first = self.invoices[0] if self.invoices else ({}, [])
            target = {"declaration": self.top, "invoice": first[0]}.get(level) or first[1][0]
            if value is None:
                target.pop(name, None)
            else:
                target[name] = value

    def add_up(self) -> None:
        """Set each invoice's value to the sum of its lines, where it is given."""
        for invoice, lines in self.invoices:
            if "invoice_value" in invoice:
                invoice["invoice_value"] = sum((line["value_for_currency_conversion"] for line in lines), Decimal(0))

    def freeze(self) -> Declaration:
        """Return the declaration."""
        invoices = [
            Invoice(dict(i), commodities=tuple(Commodity(dict(j)) for j in lines)) for i, lines in self.invoices
        ]
        if self.line_twice:
            first, *rest = invoices[0].commodities
            first = replace(first, more={name: (value,) for name, value in self.line_twice.items()})
            invoices[0] = replace(invoices[0], commodities=(first, *rest))
        more = {name: (value,) for name, value in self.twice.items()}
        return Declaration(dict(self.top), more, invoices=tuple(invoices))


# ------------------------------------------------------------------------------------------------ valid messages


class Maker:
    """Draws declarations from the packs; `day` is today, `partner` the sender."""

    def __init__(self, rng: random.Random, specs: Specs, partner: Partner, day: date) -> None:
        self.rng, self.specs, self.partner, self.day = rng, specs, partner, day

    def pack(self, type_: MessageType) -> Pack:
        """Return the pack in force that reads this type of message; raises GatewayError if there is none."""
        for pack in self.specs.packs:
            if type_ in pack.types.values() and pack.valid.covers(self.day):
                return pack
        raise GatewayError(f"no pack in force on {self.day} reads a {type_}")

    def number(self) -> str:
        """Return a transaction number with its check digit."""
        thirteen = f"{self.rng.randrange(10_000, 99_999)}{self.rng.randrange(1, 10**8):08}"
        return thirteen + check_digit_of(thirteen)

    def business_number(self) -> str:
        """Return a BN15 whose check digit holds, under an importer account."""
        eight = f"{self.rng.randrange(10**7, 10**8)}"
        return next(f"{eight}{n}RM0001" for n in range(10) if bn_is_valid(f"{eight}{n}"))

    def importer(self) -> str:
        """Return an importer for which the sender has authority today."""
        found = [bn for bn, periods in self.partner.authorities.items() if any(p.covers(self.day) for p in periods)]
        if not found:
            raise GatewayError(f"the partner {self.partner.id} has authority for nobody on {self.day}")
        return self.rng.choice(found)

    def text(self, longest: int) -> str:
        """Return a few words of at most so many characters."""
        words = " ".join(self.rng.choice(WORDS) for _ in range(self.rng.randint(1, 6)))[:longest].strip()
        return words[:1].upper() + words[1:]

    def code(self, list_id: str) -> str:
        """Return a code of the list that is valid today."""
        return self.rng.choice(sorted(self.codes(list_id)))

    def codes(self, list_id: str) -> dict[str, Code]:
        """Return the entries of the list that were valid a year ago and are today."""
        listed = self.specs.code_lists[list_id].codes
        days = (self.day - timedelta(days=366), self.day)
        every = ((code, entry) for code, entries in listed.items() for entry in entries)
        return {code: entry for code, entry in every if all(entry.valid.covers(day) for day in days)}

    def amount(self, most: int) -> Decimal:
        """Return an amount with two decimals."""
        return Decimal(self.rng.randint(1_000, most * 100)) / 100

    def value(self, element: Element, pack: Pack) -> Value:
        """Return a good value for an element by its rules, its code list, its name or its format."""
        checks = {rule.check for rule in pack.rules if rule.element == element.name}
        notation = element.format
        if "check_digit" in checks:
            return self.number()
        if "bn_luhn" in checks:
            return self.business_number()
        if element.code_list:
            fitting = [code for code in sorted(self.codes(element.code_list)) if notation.pattern.fullmatch(code)]
            return self.rng.choice(fitting)
        for ending, choices in ADDRESS.items():
            if element.name.endswith(ending):
                return self.rng.choice([each for each in choices if len(each) <= notation.max])
        if element.name in ("warehouse_in", "warehouse_out"):
            return f"{self.rng.randrange(100, 900):04}W{self.rng.randint(1, 999)}"
        if notation.kind == "date":
            return self.day - timedelta(days=self.rng.randint(0, 60))
        if notation.kind == "number":
            digits = min(notation.max - notation.decimals, 4)
            most = 10 ** (digits + min(notation.decimals, 2)) - 1
            return Decimal(self.rng.randint(1, most)).scaleb(-min(notation.decimals, 2))
        if notation.notation.startswith("n"):
            return "".join(self.rng.choice("123456789") for _ in range(notation.max))
        if notation.min == notation.max or notation.max < 10:
            return "".join(self.rng.choice("ABCDEFGHJKLMNPRSTUVWXYZ") for _ in range(notation.max))
        return self.text(min(notation.max, 60))

    # -------------------------------------------------------------------------------------------- drafts

    def draft(
        self,
        cad_type: str,
        *,
        accounted: date | None = None,
        share: float = 0.25,
        plain: bool = False,
        shape: tuple[int, ...] = (),
    ) -> Draft:
        """Return a valid original declaration of the CAD type.

        `share` is how often an optional element is given; `plain` leaves out what several elements say together;
        `shape` is the number of lines of each invoice.
        """
        pack = self.pack(MessageType.DECLARATION)
        accounted = accounted or self.day - timedelta(days=self.rng.randint(0, 2))
        top = self._some(pack, "declaration", cad_type, share)
        self._declaration(top, pack, cad_type, accounted, share)
        shape = shape or tuple(self.rng.randint(1, 4) for _ in range(self.rng.choice((1, 1, 1, 2, 3))))
        released: date = top.get("release_date", accounted)
        draft = Draft(top, [])
        number = 0
        for count in shape:
            invoice = self._some(pack, "invoice", cad_type, share)
            currency = "CAD" if plain else self.rng.choice(("CAD", "USD", "EUR", self.code("currency")))
            lines = []
            for _ in range(count):
                number += 1
                line = self._some(pack, "commodity", cad_type, share)
                line["line_number"] = Decimal(number)
                self._line(line, cad_type, released, currency, plain)
                if not plain:
                    self._together(line, pack, cad_type, share)
                lines.append({name: value for name, value in line.items() if name in pack.elements})
            if plain or self.rng.random() < 0.7:
                invoice["invoice_value"], invoice["invoice_currency"] = Decimal(0), currency
            draft.invoices.append(({name: each for name, each in invoice.items() if name in pack.elements}, lines))
        draft.add_up()
        if self.rng.random() < share and "line_count" in pack.elements:
            top["line_count"] = Decimal(number)
        draft.top = {name: value for name, value in top.items() if name in pack.elements}
        return draft

    def _some(self, pack: Pack, level: str, cad_type: str, share: float) -> Values:
        """Return what usage demands at a level and a share of what it allows; the elements that belong together not."""
        values: Values = {}
        for name, element in pack.elements.items():
            if element.level != level or element.direction != "in" or TOGETHER.fullmatch(name):
                continue
            usage = usage_of(name, pack, MessageType.DECLARATION, cad_type)
            if usage == "M" or (usage == "O" and self.rng.random() < share):
                values[name] = self.value(element, pack)
        return values

    def _declaration(self, top: Values, pack: Pack, cad_type: str, accounted: date, share: float) -> None:
        """Set what belongs together at the declaration's level."""
        top |= {
            "function_code": next(code for code, type_ in pack.types.items() if type_ is MessageType.DECLARATION),
            "version": "00001",
            "cad_type": cad_type,
            "accounting_date": accounted,
            "importer_bn": self.importer(),
        }
        if cad_type not in WITHOUT_RELEASE:
            top["release_date"] = accounted - timedelta(days=self.rng.randint(0, 4))
        if usage_of("warehouse_transaction", pack, MessageType.DECLARATION, cad_type) != "X":
            top["warehouse_transaction"] = self.number()

    def _line(self, line: Values, cad_type: str, released: date, currency: str, plain: bool) -> None:
        """Set what every line says: the goods, their origin and treatment, their value."""
        chapters = [f"{n:02}" for n in range(1, 98) if n != 77]
        line["classification"] = f"{self.rng.choice(chapters)}{self.rng.randrange(10**8):08}"
        origin = self.rng.choice(("US", "US", "CN", "MX", "DE", self.code("country")))
        country = "US" if len(origin) == 3 else origin
        fitting = {
            code
            for code, entry in self.codes("tariff_treatment").items()
            if entry.row.get("origins", "*") == "*" or country in entry.row.get("origins", "").split()
        }
        line |= {
            "origin": "US" if plain else origin,
            "export_place": "US" if plain else self.rng.choice((origin, "US", self.code("country"))),
            "tariff_treatment": "10" if plain else self.rng.choice(sorted(fitting)),
            "direct_shipment_date": released - timedelta(days=self.rng.randint(1, 40)),
            "value_for_currency_conversion": self.amount(300 if cad_type == "F" else 9_000),
            "currency": currency,
            "vfd_code": self.rng.choice(("13", "23")) if plain else self.code("vfd_code"),
        }
        if plain or self.rng.random() < 0.8:
            line["quantity"], line["unit"] = self.amount(500), self.code("unit")

    def _together(self, line: Values, pack: Pack, cad_type: str, share: float) -> None:
        """Add, now and then, groups of elements that only make sense together."""
        draw = self.rng.random
        if draw() < share:
            line |= {
                "sima_subject": "S",
                "sima_measure": f"AD{self.rng.randint(1, 99)}",
                "sima_price": self.amount(9_000),
                "sima_currency": self.code("currency"),
                "sima_exporter": f"EXP{self.rng.randint(1, 999)}",
                "sima_model": self.text(40),
            }
        if draw() < share:
            line |= {"surtax_subject": "Y", "surtax_code": f"ST{self.rng.randint(1, 99)}"}
        if draw() < share:
            line["excise_code"] = self.code("excise_code")
            if line["excise_code"] in INTERIM_EXCISE:
                line.pop("unit", None)
                line.pop("quantity", None)
        if draw() < share / 2:
            fitting = [
                code
                for code, entry in self.codes("tariff_code").items()
                if not line["classification"].startswith(tuple(entry.row.get("not_with", "").split()) or ("98", "99"))
                and not entry.row.get("only_with")
            ]
            line["tariff_code"] = self.rng.choice(fitting)
        if draw() < share / 2:
            near = line["export_place"] in {"US", "MX"} or len(line["export_place"]) == 3
            line["special_authority"] = "85-2955-2" if near else "85-2955-1"
        if draw() < share and usage_of("line_previous_line", pack, MessageType.DECLARATION, cad_type) != "X":
            line |= {"line_previous_transaction": self.number(), "line_previous_line": Decimal(self.rng.randint(1, 9))}

    def change(self, former: Draft, *, adjustment: bool) -> Draft:
        """Return a valid change of a declaration: a line described anew, and the reason."""
        pack = self.pack(MessageType.CORRECTION)
        draft = copy.deepcopy(former)
        draft.top["function_code"] = next(code for code, type_ in pack.types.items() if type_ is MessageType.CORRECTION)
        draft.top["version"] = f"{int(former.top['version']) + 1:05}"
        line = self.rng.choice(list(draft.lines()))
        line["description"] = f"{self.text(40)}, {former.top['version']}"
        draft.top["reason_code_1"] = "R3-32.2.VFD" if adjustment else "R5-00-COT"
        if self.rng.random() < 0.5:
            draft.top["remark_1"] = self.text(60)
        return draft

    def withdraw(self, former: Draft) -> Draft:
        """Return a valid request to withdraw a declaration."""
        pack = self.pack(MessageType.WITHDRAW)
        top = {name: former.top[name] for name in ("transaction_number", "version", "importer_bn")}
        top["function_code"] = next(code for code, type_ in pack.types.items() if type_ is MessageType.WITHDRAW)
        top["reason_code_1"] = "R5-00-COT"
        return Draft(top, [])

    def story(self, cad_type: str) -> Sample:
        """Return an original of the CAD type, in turns alone, changed or withdrawn: all of it valid."""
        turn = self.rng.choice(("alone", "corrected", "adjusted", "withdrawn"))
        accounted = self.day - timedelta(days=120) if turn == "adjusted" else None
        first = self.draft(cad_type, accounted=accounted)
        steps = [Step(MessageType.DECLARATION, first.freeze())]
        if turn in ("corrected", "adjusted"):
            changed = self.change(first, adjustment=turn == "adjusted")
            steps.append(Step(MessageType.CORRECTION, changed.freeze()))
        elif turn == "withdrawn":
            steps.append(Step(MessageType.WITHDRAW, self.withdraw(first).freeze()))
        return Sample(tuple(steps), None, self.specs, self.partner, self.partner)


# Elements that are set together with others, not by themselves.
TOGETHER = re.compile(
    r"function_code|version|cad_type|accounting_date|release_date|line_count|importer_bn|warehouse_transaction|"
    r"invoice_value|invoice_currency|quantity|unit|sima_.*|surtax_.*|excise_code|tariff_code|special_authority|"
    r"line_previous_.*|(invoice_|line_)?(reason_code|remark)_\d|pre_carm"
)


# ------------------------------------------------------------------------------------------------ faulty messages


@dataclass(frozen=True)
class Recipe:
    """How to earn one finding alone: what a valid message says, and what is then changed about it.

    `kind` is original, correction, adjustment or withdraw; `given` holds for a change and its original alike, `spoiled`
    for the faulty message only. `remembered` is what the journal must hold of the original; `world` changes what is
    neither message nor journal; `spoil` the bytes.
    """

    kind: str = "original"
    cad_type: str = "AB"
    given: Mapping[str, Any] = field(default_factory=dict)
    spoiled: Mapping[str, Any] | Callable[[Draft, Maker], None] = field(default_factory=dict)
    remembered: Mapping[str, Any] | Callable[[Maker], Mapping[str, Any]] = field(default_factory=dict)
    world: Callable[[Sample, Maker], Sample] | None = None
    spoil: Callable[[bytes, Syntax], bytes] | None = None
    known: bool = True  # the original of a change is known
    repeated: bool = False  # an original is sent after another of the same number
    # Where the syntax itself demands what the rule does, its own finding comes instead.
    instead: Mapping[Syntax, str] = field(default_factory=dict)


def faults(specs: Specs) -> tuple[str, ...]:
    """Return the finding codes for which a message can be made, in order."""
    given = {rule.id for pack in specs.packs for rule in pack.rules} | set(specs.findings)
    return tuple(code for code in sorted(RECIPES) if code in given)


def faulty(code: str, maker: Maker, cad_type: str | None = None) -> tuple[Sample, Sample]:
    """Return (passing, failing): the same messages, sound but for what earns the finding.

    Raises GatewayError for a code without a recipe, and for a CAD type that the recipe cannot do without.
    """
    recipe = RECIPES.get(code)
    if recipe is None:
        raise GatewayError(f"no message can be made for {code}; possible: {', '.join(faults(maker.specs))}")
    if cad_type not in (None, recipe.cad_type):
        raise GatewayError(f"{code} is made with CAD type {recipe.cad_type}")
    adjustment = recipe.kind == "adjustment"
    accounted = maker.day - timedelta(days=120) if adjustment else maker.day - timedelta(days=2)
    base = maker.draft(recipe.cad_type, accounted=accounted, share=0.15, plain=True, shape=(2,))
    pack = maker.pack(MessageType.CORRECTION if recipe.kind != "original" else MessageType.DECLARATION)
    for level in (base.top, *base.lines()):
        for name in EVER_LEFT_OUT:
            level.pop(name, None)
    values = {name: value(maker) if callable(value) else value for name, value in recipe.given.items()}
    first = maker.pack(MessageType.DECLARATION)
    originals = {name: v for name, v in values.items() if first.usage_of(name, recipe.cad_type) != "X"}
    base.put(pack, originals if recipe.kind != "original" else values)
    base.add_up()
    good = copy.deepcopy(base)
    type_ = MessageType.DECLARATION
    if recipe.kind in ("correction", "adjustment"):
        good, type_ = maker.change(base, adjustment=adjustment), MessageType.CORRECTION
        good.top.pop("remark_1", None)
        for line in good.lines():
            line.pop("description", None)
        good.put(pack, {"description": "Described anew"} | {n: v for n, v in values.items() if n not in originals})
    elif recipe.kind == "withdraw":
        good, type_ = maker.withdraw(base), MessageType.WITHDRAW
    bad = copy.deepcopy(good)
    if callable(recipe.spoiled):
        recipe.spoiled(bad, maker)
    else:
        bad.put(pack, {name: each(maker) if callable(each) else each for name, each in recipe.spoiled.items()})
    remembered = recipe.remembered(maker) if callable(recipe.remembered) else recipe.remembered
    before = [Step(MessageType.DECLARATION, base.freeze())] if recipe.kind != "original" else []
    told = [replace(step, remembered=remembered) for step in before]
    if recipe.repeated:
        told = [Step(MessageType.DECLARATION, base.freeze())]
    if not recipe.known:
        told = []
    passing = Sample((*before, Step(type_, good.freeze())), None, maker.specs, maker.partner, maker.partner)
    last = Step(type_, bad.freeze(), spoil=recipe.spoil)
    note = ", ".join(f"{name} {value}" for name, value in remembered.items())
    note = f"the journal must hold of the original: {note}" if note else ""
    failing = Sample((*told, last), code, maker.specs, maker.partner, maker.partner, note, recipe.instead)
    return passing, recipe.world(failing, maker) if recipe.world else failing


# What would take part in the rules that a recipe is not about.
EVER_LEFT_OUT = ("line_count", "notes", "pre_carm", "description", "gst_code", "safeguard_code")


def _wrong_digit(maker: Maker) -> str:
    number = maker.number()
    return number[:13] + str((int(number[13]) + 1) % 10)


def _wrong_bn(maker: Maker) -> str:
    number = maker.business_number()
    return f"{number[:8]}{(int(number[8]) + 1) % 10}{number[9:]}"


def _other_role(maker: Maker) -> str:
    return maker.business_number().replace("RM", "RT")


def _in_list(list_id: str) -> Callable[[Maker], str]:
    return lambda maker: maker.code(list_id)


def _days(number: int) -> Callable[[Maker], date]:
    """Return the day that is so many days from today."""
    return lambda maker: maker.day + timedelta(days=number)


def _late(draft: Draft, maker: Maker) -> None:
    """Move the release, and the shipments before it, into a month whose following month is over."""
    draft.top["release_date"] = (maker.day.replace(day=1) - timedelta(days=40)).replace(day=2)
    for line in draft.lines():
        line["direct_shipment_date"] = draft.top["release_date"] - timedelta(days=5)


def _drop_line(draft: Draft, _maker: Maker) -> None:
    draft.invoices[0][1].pop()
    draft.add_up()


def _value(change: str) -> Callable[[Draft, Maker], None]:
    """Return what changes the first line's value and lets the invoice add up."""

    def apply(draft: Draft, _maker: Maker) -> None:
        line = draft.invoices[0][1][0]
        old = line["value_for_currency_conversion"]
        new = {"none": Decimal(0), "much": Decimal("3300.01"), "less": old - 1}[change]
        line["value_for_currency_conversion"] = new
        draft.add_up()

    return apply


def _total(off: str) -> Callable[[Draft, Maker], None]:
    """Return what makes the invoice's value differ from its lines."""

    def apply(draft: Draft, _maker: Maker) -> None:
        draft.invoices[0][0]["invoice_value"] += Decimal(off)

    return apply


def _swap_numbers(draft: Draft, _maker: Maker) -> None:
    one, two = draft.invoices[0][1]
    one["line_number"], two["line_number"] = two["line_number"], one["line_number"]


def _same_number(draft: Draft, _maker: Maker) -> None:
    one, two = draft.invoices[0][1]
    two["line_number"] = one["line_number"]


def _two_excise_codes(draft: Draft, _maker: Maker) -> None:
    draft.line_twice["excise_code"] = "E00"


def _missing(draft: Draft, maker: Maker) -> None:
    """Leave out an element that usage demands and that stands by itself."""
    pack = maker.pack(MessageType.DECLARATION)
    alone = ("office", "transport_mode", "classification", "origin", "export_place", "direct_shipment_date", "vfd_code")
    needed = [name for name in alone if pack.usage_of(name, draft.top["cad_type"]) == "M"]
    draft.put(pack, {maker.rng.choice(needed): None})


def _unreadable(draft: Draft, maker: Maker) -> None:
    """Give an element that is fixed digits in both syntaxes something else."""
    name, text = maker.rng.choice(
        (("version", "1"), ("classification", "73089000AB"), ("transaction_number", "123"), ("vfd_code", "1"))
    )
    draft.put(maker.pack(MessageType.DECLARATION), {name: text})


def _new_description(draft: Draft, _maker: Maker) -> None:
    for line in draft.lines():
        line.pop("description", None)


def _own_reason(level: str, **further: str | None) -> Mapping[str, Any]:
    """Return a change whose reason stands at a lower level, none above it."""
    return {f"{level}_reason_code_1": "R5-00-COT", "reason_code_1": None} | further


def _with_code(specs: Specs, list_id: str, code: str, **row: str) -> Specs:
    """Return the specification with one more code."""
    old = specs.code_lists[list_id]
    entry = Code(code, Bilingual(code, code), Period(), Bilingual("", ""), "high", {"code": code, **row})
    codes = replace(old, codes={**old.codes, code: (entry,)})
    return replace(specs, code_lists={**specs.code_lists, list_id: codes})


def _cbsa_reason(sample: Sample, _maker: Maker) -> Sample:
    specs = _with_code(sample.specs, "reason_code", "CBSA-1", use="cbsa")
    return replace(sample, specs=specs, note="the list of reason codes must have CBSA-1, reserved for CBSA")


def _unknown_sender(sample: Sample, _maker: Maker) -> Sample:
    return replace(sample, transport=None, note="the transport must not know the sender")


def _inactive(sample: Sample, _maker: Maker) -> Sample:
    transport = replace(sample.partner, active=False)
    return replace(sample, transport=transport, note="the sender must be registered as not active")


def _other_envelope(sample: Sample, _maker: Maker) -> Sample:
    return replace(sample, steps=(*sample.steps[:-1], replace(sample.steps[-1], sender="SOMEBODYELSE")))


def _same_reference(sample: Sample, maker: Maker) -> Sample:
    last = replace(sample.steps[-1], reference="TWICE")
    other = maker.draft("AB", accounted=maker.day, share=0, plain=True, shape=(1,))
    return replace(sample, steps=(Step(MessageType.DECLARATION, other.freeze(), reference="TWICE"), last))


def _other_recipient(sample: Sample, _maker: Maker) -> Sample:
    agreement = replace(sample.partner.agreement, ids=("ANOTHERGATEWAY",))
    transport = replace(sample.partner, agreement=agreement)
    return replace(sample, transport=transport, note="the gateway must go by another id")


def _no_tests(sample: Sample, _maker: Maker) -> Sample:
    transport = replace(sample.partner, agreement=replace(sample.partner.agreement, tests=False))
    steps = (*sample.steps[:-1], replace(sample.steps[-1], test=True))
    return replace(sample, transport=transport, steps=steps, note="the gateway must not take tests")


def _closed_pack(sample: Sample, maker: Maker) -> Sample:
    yesterday = maker.day - timedelta(days=1)
    packs = tuple(replace(pack, valid=Period(pack.valid.start, yesterday)) for pack in sample.specs.packs)
    specs = replace(sample.specs, packs=packs)
    return replace(sample, specs=specs, note="the version that is declared must have ended")


def _unknown_statement(body: bytes, syntax: Syntax) -> bytes:
    old, new = (b"RCS+11+NOT:", b"RCS+11+ZZZ:") if syntax is Syntax.EDIFACT else (b">NOT<", b">ZZZ<")
    return body.replace(old, new)


def _noise(_body: bytes, _syntax: Syntax) -> bytes:
    return b"This is neither the one nor the other."


def _nothing(_body: bytes, _syntax: Syntax) -> bytes:
    return b""


def _too_large(body: bytes, _syntax: Syntax) -> bytes:
    return body + b"\n" * (10_000_001 - len(body))


SIMA: Mapping[str, Any] = {
    "sima_subject": "S",
    "sima_measure": "AD34",
    "sima_price": Decimal(150),
    "sima_currency": "CAD",
    "sima_exporter": "EXP1",
}
COURIER = "85-2955-1"
SURTAX: Mapping[str, Any] = {"surtax_subject": "Y", "surtax_code": "ST25"}
PREVIOUS: Mapping[str, Any] = {"line_previous_transaction": Maker.number, "line_previous_line": Decimal(1)}
LINE_REASON, INVOICE_REASON = _own_reason("line"), _own_reason("invoice")


def _original(cad_type: str = "AB", /, given: Mapping[str, Any] | None = None, **spoiled: Any) -> Recipe:
    return Recipe("original", cad_type, given or {}, spoiled)


def _change(given: Mapping[str, Any] | None = None, /, kind: str = "correction", **spoiled: Any) -> Recipe:
    return Recipe(kind, "AB", given or {}, spoiled)


# For each finding how a message earns it, and it alone.
RECIPES: Mapping[str, Recipe] = {
    "CAD-0001": Recipe(spoiled=_missing),
    "CAD-0002": Recipe(spoiled=_unreadable),
    "CAD-0003": _original(given={"vendor_country": "CN"}, vendor_country="XX"),
    "CAD-0004": _original(office="9999"),
    "CAD-0005": _original(record_of_intent="ROI 1"),
    "CAD-0006": Recipe(given={"notes": "Once"}, spoiled=lambda draft, _: draft.twice.update(notes="Twice")),
    "CAD-0007": Recipe(given={"notes": "Known"}, spoil=_unknown_statement),
    "CAD-0101": _original(transaction_number=_wrong_digit),
    "CAD-0102": _original(given={"original_transaction": Maker.number}, original_transaction=_wrong_digit),
    "CAD-0103": _original("20", warehouse_transaction=_wrong_digit),
    "CAD-0104": _original("20", given=PREVIOUS, line_previous_transaction=_wrong_digit),
    "CAD-0105": _change({"previous_transaction": Maker.number}, previous_transaction=_wrong_digit),
    "CAD-0110": _original(importer_bn=_other_role),
    "CAD-0111": _original(importer_bn=_wrong_bn),
    "CAD-0112": _original(importer_bn="123456782RM0000"),
    "CAD-0113": _original(importer_bn=_in_list("exporter_account")),
    "CAD-0114": _original(given={"broker_bn": Maker.business_number}, broker_bn="12345678AAA0001"),
    "CAD-0115": _original(given={"broker_bn": Maker.business_number}, broker_bn=_wrong_bn),
    "CAD-0116": _change({"new_importer_bn": Maker.business_number}, new_importer_bn=_other_role),
    "CAD-0117": _change({"new_importer_bn": Maker.business_number}, new_importer_bn=_wrong_bn),
    "CAD-0118": _change({"new_importer_bn": Maker.business_number}, new_importer_bn=_in_list("exporter_account")),
    "CAD-0120": _original(cad_type="AD"),
    "CAD-0121": _original("20", warehouse_transaction=None),
    "CAD-0122": _original("20", given=PREVIOUS, line_previous_line=None),
    "CAD-0124": _original("10", warehouse_in="0497-123"),
    "CAD-0125": _original("20", warehouse_out="W123"),
    "CAD-0126": _original("C", importer_bn=_in_list("csa_importer")),
    "CAD-0130": _original("TT", given={"accounting_date": None}, release_date=_days(1)),
    "CAD-0131": _original("V", accounting_date=_days(1)),
    "CAD-0132": _original(given={"release_date": _days(-3)}, accounting_date=_days(-4)),
    "CAD-0133": _original(given={"release_date": _days(-3)}, direct_shipment_date=_days(-2)),
    "CAD-0134": _original("V", direct_shipment_date=_days(1)),
    "CAD-0135": _original("V", accounting_date=date(2024, 10, 20)),
    "CAD-0140": Recipe(spoiled=_late),
    "CAD-0141": Recipe(cad_type="F", spoiled=_late),
    "CAD-0150": _original(tariff_treatment="30"),
    "CAD-0151": _original(tariff_treatment="34"),
    "CAD-0152": _original(given={"tariff_code": "9993"}, classification="9804300000"),
    "CAD-0153": _original(classification="7700000000"),
    "CAD-0155": _original(unit="KGS"),
    "CAD-0156": Recipe(spoiled={"unit": None}, instead={Syntax.EDIFACT: "EDI-0502"}),  # MEA: the unit before the number
    "CAD-0158": _original(quantity=Decimal(0)),
    "CAD-0159": Recipe(spoiled=_value("none")),
    "CAD-0160": Recipe(given={"excise_code": "C00"}, spoiled=_two_excise_codes),
    "CAD-0161": _original(given={"excise_code": "C00"}, excise_code="C01"),
    "CAD-0170": _original(given=SIMA, sima_measure=None),
    "CAD-0171": _original(given=SIMA, sima_price=None, sima_currency=None),
    "CAD-0172": _original(given=SIMA, sima_currency=None),
    "CAD-0173": _original(given=SIMA, sima_exporter=None),
    "CAD-0174": _original(given=SIMA, sima_subject=None),
    "CAD-0175": _original(given=SIMA, sima_subject="N"),
    "CAD-0180": _original(given=SURTAX, surtax_code=None),
    "CAD-0181": _original(given=SURTAX, surtax_subject=None),
    "CAD-0182": _original(given=SURTAX, surtax_subject="N"),
    "CAD-0185": _original(given={"special_authority": COURIER, "export_place": "CN"}, export_place="US"),
    "CAD-0190": Recipe(spoiled=_same_number),
    "CAD-0191": Recipe(spoiled=_swap_numbers),
    # CNT is a control total of the message itself.
    "CAD-0192": Recipe(
        given={"line_count": Decimal(2)}, spoiled={"line_count": Decimal(3)}, instead={Syntax.EDIFACT: "EDI-0520"}
    ),
    "CAD-0193": Recipe(spoiled=_total("0.02")),
    "CAD-0194": Recipe(spoiled=_total("0.03")),
    "CAD-0195": Recipe(cad_type="F", spoiled=_value("much")),
    "CAD-0196": _original(invoice_currency=None),
    "CAD-0201": Recipe(repeated=True),
    "CAD-0202": _original(version="00002"),
    "CAD-0210": Recipe("correction", known=False),
    "CAD-0211": _change(version="00001"),
    "CAD-0212": _change(version="00003"),
    "CAD-0213": Recipe("correction", spoiled=_drop_line),
    "CAD-0214": _change(reason_code_1=None),
    "CAD-0215": Recipe("correction", spoiled=_new_description),
    "CAD-0216": _change({"reason_code_1": "R5-00-COT"}, reason_code_1="R2-32-2.TC", reason_code_2="R2-74-1-TT"),
    "CAD-0217": _change(INVOICE_REASON, invoice_reason_code_2="R2-74-1-E.TC"),
    "CAD-0218": _change(LINE_REASON, line_reason_code_3="R2-74-1-G-53"),
    "CAD-0219": Recipe("correction", spoiled={"reason_code_1": "CBSA-1"}, world=_cbsa_reason),
    "CAD-0220": Recipe(
        "correction", given=INVOICE_REASON, spoiled={"invoice_reason_code_2": "CBSA-1"}, world=_cbsa_reason
    ),
    "CAD-0221": Recipe("correction", given=LINE_REASON, spoiled={"line_reason_code_3": "CBSA-1"}, world=_cbsa_reason),
    "CAD-0222": _change(kind="adjustment", reason_code_1="R5-00-COT"),
    "CAD-0223": _change({"invoice_reason_code_1": "R3-32.2.VFD"}, "adjustment", invoice_reason_code_1="R5-00-COT"),
    "CAD-0224": _change({"line_reason_code_1": "R3-32.2.VFD"}, "adjustment", line_reason_code_1="R5-00-COT"),
    "CAD-0225": _change(LINE_REASON, reason_code_2="R5-00-COT"),
    "CAD-0226": _change(invoice_reason_code_2="R5-00-COT"),
    "CAD-0227": _change(line_reason_code_2="R5-00-COT"),
    "CAD-0228": _change(LINE_REASON, remark_1="See the invoice"),
    "CAD-0229": _change(invoice_remark_1="See the invoice"),
    "CAD-0230": _change(line_remark_1="See the invoice"),
    "CAD-0231": Recipe("correction", "F", remembered={"created_by_cbsa": True}),
    "CAD-0232": Recipe("withdraw", remembered={"status": "withdrawn"}),
    "CAD-0233": Recipe("withdraw", spoiled={"version": "00003"}),
    "CAD-0234": Recipe(
        "correction",
        remembered=lambda maker: {"accepted_at": moment_of(maker.day - timedelta(days=1500))},
    ),
    "CAD-0235": _change(importer_bn=Maker.business_number),
    "CAD-0236": _change(cad_type="TT"),
    "CAD-0237": _change(kind="adjustment", **SIMA),
    "CAD-0238": Recipe("correction", spoiled=_value("less")),
    "GTW-0001": Recipe(spoil=_noise),
    "GTW-0002": _original(function_code="5"),
    "GTW-0003": Recipe(world=_unknown_sender),
    "GTW-0004": Recipe(world=_other_envelope, instead={Syntax.EDIFACT: "EDI-0109"}),
    "GTW-0005": _original(importer_bn=Maker.business_number),
    "GTW-0006": Recipe(world=_inactive),
    "GTW-0007": Recipe(spoil=_too_large),
    "GTW-0008": Recipe(spoil=_nothing),
    "GTW-0009": Recipe(world=_same_reference, instead={Syntax.EDIFACT: "EDI-0111"}),
    "GTW-0011": Recipe(world=_closed_pack),
    "GTW-0015": Recipe(world=_other_recipient, instead={Syntax.EDIFACT: "EDI-0110"}),
    "GTW-0016": Recipe(world=_no_tests, instead={Syntax.EDIFACT: "EDI-0113"}),
}  # fmt: skip


# ------------------------------------------------------------------------------------------------ bytes and verdicts


def moment_of(day: date) -> datetime:
    """Return the moment at which a sample of the day is sent: noon, Eastern Time."""
    return datetime.combine(day, time(12), EASTERN)


def write(sample: Sample, syntax: Syntax, day: date, name: str) -> list[bytes]:
    """Return the bytes of each message; `name` begins its references and must differ from sample to sample."""
    bodies = []
    for number, step in enumerate(sample.steps, 1):
        packs = [pack for pack in sample.specs.packs if step.type in pack.types.values()]
        pack = next((pack for pack in packs if pack.valid.covers(day)), packs[0])
        reference = step.reference or f"{name}{number}"
        envelope = Envelope(
            sender=step.sender or sample.partner.envelopes[0],
            recipient=next(iter(sample.partner.agreement.ids), "CADGATEWAY"),
            reference=reference,
            message=None if syntax is Syntax.XML else "1",
            test=step.test,
        )
        if syntax is Syntax.XML:
            body = write_xml(step.declaration, pack, envelope)
        else:
            body = write_edifact([step.declaration], pack, envelope, prepared=moment_of(day))
        bodies.append(step.spoil(body, syntax) if step.spoil else body)
    return bodies


def play(sample: Sample, bodies: list[bytes], day: date, plans: Plans) -> list[Judged]:
    """Return the gateway's verdict on each message, sent in order and each remembered for the next."""
    if sample.specs is not plans.specs:
        plans = compiled(sample.specs, plans.reading.directories, plans.routes, plans.digest)
    now, register = moment_of(day), Register()
    judged = []
    for number, (step, body) in enumerate(zip(sample.steps, bodies, strict=True), 1):
        received = Received(f"sample-{number}", sample.transport.id if sample.transport else None, body, now)
        outcome = pipeline.handle(received, Facts(sample.transport, register), plans)
        (one,) = outcome.judged
        judged.append(one)
        register = register.after(outcome)
        if one.effect and step.remembered:
            register = register.with_version(replace(one.effect, **step.remembered))
    return judged
