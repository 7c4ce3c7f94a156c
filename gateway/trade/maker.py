"""Draws declarations from the packs: valid originals of every CAD type, changes and withdraw requests.

The same seed and day give the same declarations. Nothing of the way of a message uses this room.
"""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from core.declaration import IMPORTERS, Commodity, Declaration, Invoice, MessageType, Value
from core.errors import GatewayError
from core.partner import Partner
from core.specs import Code, Element, Format, Pack, Specs
from core.trade import Goods
from gateway.trade.samples import Sample, SampleMessage
from validators.elements import usage_of
from validators.rules import bn_is_valid, check_digit_of

Draws = dict[str, Any]

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


@dataclass
class Draft:
    """A declaration being made: the values of each level, still open to changes."""

    top: Draws
    invoices: list[tuple[Draws, list[Draws]]]
    twice: Draws = field(default_factory=dict)  # what the declaration gives once more
    line_twice: Draws = field(default_factory=dict)  # what the first line gives once more

    def lines(self) -> Iterator[Draws]:
        """Yield the values of each line."""
        for _, lines in self.invoices:
            yield from lines

    def put(self, pack: Pack, changes: Mapping[str, Any]) -> None:
        """Apply changes at the level of their element: the declaration, the first invoice, its first line.

        A reason takes the code that goes with it along, unless that is among the changes. Raises GatewayError for an
        element that the pack has not.
        """
        changes = {**changes, **{n: value for n, value in beside_reasons(changes).items() if n in pack.elements}}
        for name, value in changes.items():
            if name not in pack.elements:
                raise GatewayError(f"the sample maker speaks of {name}, which the dictionary of {pack.key} has not")
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


# Elements that are set together with others, not by themselves.
TOGETHER = re.compile(
    r"function_code|version|cad_type|accounting_date|release_date|line_count|importer_bn|warehouse_transaction|"
    r"invoice_value|invoice_currency|quantity|unit|sima_.*|surtax_.*|excise_code|tariff_code|special_authority|"
    r"safeguard_.*|former_.*|line_previous_.*|(invoice_|line_)?(reason_code|remark|trade_program)_\d|pre_carm|invoice_pointer"
)


# The trade program code that goes with a reason: their values are not public, and this one shows that it is none.
REASON, PROGRAM = re.compile(r"reason_code(?=_\d)"), "SAMPLE"


def beside_reasons(changes: Mapping[str, Any]) -> dict[str, str | None]:
    """Return what comes or goes with the reasons among some changes, unless it is itself among them."""
    found = {REASON.sub("trade_program", name): value and PROGRAM for name, value in changes.items()}
    return {name: value for name, value in found.items() if name not in changes}


class Maker:
    """Draws declarations from the packs; `day` is today, `partner` the sender."""

    def __init__(self, rng: random.Random, specs: Specs, partner: Partner, day: date) -> None:
        self.rng, self.specs, self.partner, self.day = rng, specs, partner, day
        self._codes: dict[str, Mapping[str, Code]] = {}  # asked for each value that is drawn

    def pack(self, type_: MessageType) -> Pack:
        """Return the pack in force that reads this type of message; raises GatewayError if there is none."""
        for pack in self.specs.packs:
            if type_ in pack.types.values() and pack.valid.covers(self.day):
                return pack
        raise GatewayError(f"no pack in force on {self.day} reads a {type_}")

    def number(self) -> str:
        """Return a transaction number with its check digit, under an account of the sender's if it has any."""
        drawn = self.rng.randrange(10_000, 99_999)
        thirteen = f"{self.partner.account or drawn}{self.rng.randrange(1, 10**8):08}"
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

    def codes(self, list_id: str) -> Mapping[str, Code]:
        """Return the entries of the list that were valid a year ago and are today."""
        if list_id not in self._codes:
            days = (self.day - timedelta(days=366), self.day)
            every = ((code, each) for code, entries in self.specs.code_lists[list_id].codes.items() for each in entries)
            valid = ((code, entry) for code, entry in every if all(entry.valid.covers(day) for day in days))
            self._codes[list_id] = {code: entry for code, entry in valid if not entry.row.get("retired")}
        return self._codes[list_id]

    def amount(self, most: int) -> Decimal:
        """Return an amount with two decimals."""
        return Decimal(self.rng.randint(1_000, most * 100)) / 100

    def value(self, element: Element, pack: Pack) -> Value:
        """Return a good value for an element by its rules, its code list, its name or its format."""
        checks = {rule.check for rule in pack.rules if rule.element == element.name}
        notation = element.format
        if "check_digit" in checks:
            return self.number()
        if element.name in IMPORTERS:
            return self.importer()
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
        return self._by_format(notation)

    def _by_format(self, notation: Format) -> Value:
        """Return any value of a format."""
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
        self._declaration(top, pack, cad_type, accounted)
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

    def _some(self, pack: Pack, level: str, cad_type: str, share: float) -> Draws:
        """Return what usage demands at a level and a share of what it allows; the elements that belong together not."""
        values: Draws = {}
        for name, element in pack.elements.items():
            if element.level != level or element.direction != "in" or TOGETHER.fullmatch(name):
                continue
            usage = usage_of(name, pack, MessageType.DECLARATION, cad_type)
            if usage == "M" or (usage == "O" and self.rng.random() < share):
                values[name] = self.value(element, pack)
        return values

    def _declaration(self, top: Draws, pack: Pack, cad_type: str, accounted: date) -> None:
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

    def _line(self, line: Draws, cad_type: str, released: date, currency: str, plain: bool) -> None:
        """Set what every line says: the goods, their origin and treatment, their value."""
        line["classification"] = self._number_without_surtax()
        origin = self.rng.choice(("US", "US", "CN", "MX", "DE", self.code("country")))
        exported = self.rng.choice((origin, "US", self.code("country")))
        shipped = released - timedelta(days=self.rng.randint(1, 40))
        country_of = self.specs.trade.country_of
        goods = Goods(line["classification"], "", country_of(origin), country_of(exported), released, shipped)
        treatments = sorted(self.codes("tariff_treatment"))
        fitting = [code for code in treatments if self.specs.trade.withheld(code, goods) is None]
        line |= {
            "origin": "US" if plain else origin,
            "export_place": "US" if plain else exported,
            "tariff_treatment": "10" if plain else self.rng.choice(fitting),
            "direct_shipment_date": shipped,
            "value_for_currency_conversion": self.amount(300 if cad_type == "F" else 9_000),
            "currency": currency,
            "vfd_code": self.rng.choice(("13", "23")) if plain else self.code("vfd_code"),
        }
        if plain or self.rng.random() < 0.8:
            units = self.specs.trade.units_of(line["classification"], released)
            line["quantity"] = self.amount(500)
            line["unit"] = self.rng.choice(sorted(units)) if units else self.code("unit")

    def _number_without_surtax(self) -> str:
        """Return a classification number that stands in no surtax order: those who import it declare a surtax."""
        chapters = [f"{n:02}" for n in range(1, 98) if n != 77]
        while True:
            number = f"{self.rng.choice(chapters)}{self.rng.randrange(10**8):08}"
            if number[:8] not in self.specs.trade.surtaxes:
                return number

    def _together(self, line: Draws, pack: Pack, cad_type: str, share: float) -> None:
        """Add, now and then, groups of elements that only make sense together."""
        draw = self.rng.random
        self._charged(line, share)
        if draw() < share:
            line["excise_code"] = self.code("excise_code")
            units = self.specs.trade.excise_units_of(line["excise_code"], self.day)
            if line["excise_code"] in INTERIM_EXCISE or (units and line.get("unit") not in units):
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
            near = self.specs.trade.country_of(line["export_place"]) in {"US", "MX"}
            line["special_authority"] = "85-2955-2" if near else "85-2955-1"
        if draw() < share and usage_of("line_previous_line", pack, MessageType.DECLARATION, cad_type) != "X":
            line |= {"line_previous_transaction": self.number(), "line_previous_line": Decimal(self.rng.randint(1, 9))}

    def _charged(self, line: Draws, share: float) -> None:
        """Add, now and then, that the goods are subject to SIMA, a surtax or a safeguard, and by which code."""
        draw = self.rng.random
        country = self.specs.trade.country_of(line["origin"])
        known = self.codes("sima_measure").items()
        watched = {number for _, entry in known for number in entry.row.get("numbers", "").split()}
        measures = [  # those that name numbers cover no other goods, and the goods are not among them
            code
            for code, entry in known
            if country in (entry.row.get("origins") or country).split() and not entry.row.get("numbers")
        ]
        while line["classification"] in watched:
            line["classification"] = f"{line['classification'][:8]}{self.rng.randrange(100):02}"
        if draw() < share:
            line |= {
                "sima_subject": "S",
                "sima_measure": self.rng.choice(measures),
                "sima_price": self.amount(9_000),
                "sima_currency": self.code("currency"),
                "sima_exporter": f"EXP{self.rng.randint(1, 999)}",
                "sima_model": self.text(40),
            }
        if draw() < share:
            line |= {"surtax_subject": "Y", "surtax_code": f"ST{self.rng.randint(1, 99)}"}
        if draw() < share:
            line |= {"safeguard_subject": "Y", "safeguard_code": f"SF{self.rng.randint(1, 99)}"}
        for name in ("sima", "surtax", "safeguard"):
            if line.get(f"{name}_subject") in {"S", "Y"} and draw() < share:
                line |= {f"{name}_self_declared": "Y", f"{name}_amount": self.amount(9_000)}

    def change(self, former: Draft, *, adjustment: bool) -> Draft:
        """Return a valid change of a declaration: a line described anew, and the reason."""
        pack = self.pack(MessageType.CORRECTION)
        draft = copy.deepcopy(former)
        draft.top["function_code"] = next(code for code, type_ in pack.types.items() if type_ is MessageType.CORRECTION)
        draft.top["version"] = f"{int(former.top['version']) + 1:05}"
        line = self.rng.choice(list(draft.lines()))
        line["description"] = f"{self.text(40)}, {former.top['version']}"
        draft.put(pack, {"reason_code_1": "R3-32.2.VFD" if adjustment else "R5-00-COT"})
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
        steps = [SampleMessage(MessageType.DECLARATION, first.freeze())]
        if turn in ("corrected", "adjusted"):
            changed = self.change(first, adjustment=turn == "adjusted")
            steps.append(SampleMessage(MessageType.CORRECTION, changed.freeze()))
        elif turn == "withdrawn":
            steps.append(SampleMessage(MessageType.WITHDRAW, self.withdraw(first).freeze()))
        return Sample(tuple(steps), None, self.specs, self.partner, self.partner)
