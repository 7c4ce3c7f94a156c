"""The reference assessment engine: works out duties and taxes from SAMPLE DATA, so that everything runs end to end.

The real engine stands outside this project; only the contract in `routing/assessment.py` is the gateway's. The order of
calculation is the published one: value for duty, customs duty, SIMA, surtax, safeguard, excise, value for tax, GST.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation, localcontext
from operator import add
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from core.assessment import Amounts
from core.calendar import Period
from core.findings import Bilingual
from core.tables import read_typed

SAMPLE_RATES = Path(__file__).parent / "sample_rates"
Json = dict[str, Any]
CENT = Decimal("0.01")
NOTHING = Decimal("0.00")
TOO_LARGE = Decimal(10) ** 13  # an answer's amounts have room for 13 digits before the decimal mark
NIL = Amounts(*(NOTHING for _ in Amounts._fields))


class _Coded(NamedTuple):
    """Charges that a code of their own brings about: the element with the code, and their kinds.

    `subject` tells whether the goods are subject at all, with its values for `no`; `declared` begins the names of the
    tick and of the amount that are self-declared, of which nothing `lower` than what is worked out may be.
    """

    element: str
    kinds: tuple[str, ...]
    subject: str = ""
    no: tuple[str, ...] = ()
    declared: str = ""
    lower: bool = True


# Of a surtax less may be declared: that on a vehicle is on a part of its value (SOR/2025-118).
CODED = (
    _Coded("sima_measure", ("anti_dumping", "countervailing"), "sima_subject", ("N", "U"), "sima", lower=False),
    _Coded("surtax_code", ("surtax",), "surtax_subject", ("N",), "surtax"),
    _Coded("safeguard_code", ("safeguard",), "safeguard_subject", ("N",), "safeguard"),
    _Coded("excise_code", ("excise_duty", "excise_tax")),
)

# Test data: a sender's reference holding one of these chooses the outcome, in messages marked as tests only.
TEST_OUTCOME = re.compile(r"TEST-(APPROVE|REFUSE|PENDING|SILENT|LATE-(\d{1,4}))")
LONGEST_DELAY = 3600

K = TypeVar("K")
V = TypeVar("V")


class Assessment(NamedTuple):
    """What the engine sends (None: it stays silent) and after how many seconds."""

    result: Json | None
    delay: int = 0


@dataclass(frozen=True, slots=True)
class Charge:
    """One row of a rate table: an exchange rate, or what is charged (three parts, added up), and its days."""

    rate: Decimal
    percent: Decimal
    per_unit: Decimal
    per_line: Decimal
    valid: Period


@dataclass(frozen=True, slots=True)
class Rates:
    """All that the engine charges by: exchange rates by currency, charges by (kind, code, tariff treatment), texts."""

    exchange: Mapping[str, tuple[Charge, ...]]
    charges: Mapping[tuple[str, str, str], tuple[Charge, ...]]
    reasons: Mapping[str, Bilingual]
    not_due: frozenset[str]  # CAD types on which nothing is due: goods in bond, exported, or changing hands there


class _Cannot(Exception):
    """A line that cannot be assessed: the reason's code and the value it speaks of."""

    def __init__(self, code: str, value: str) -> None:
        super().__init__(code)
        self.code, self.value = code, value


@dataclass(frozen=True, slots=True)
class _ExchangeRateRow:
    """A row of exchange_rates.csv."""

    currency: str
    rate: Decimal
    valid_from: date | None = None
    valid_to: date | None = None


@dataclass(frozen=True, slots=True)
class _ChargeRow:
    """A row of charges.csv; an empty cell charges nothing."""

    kind: str
    code: str
    treatment: str
    percent: Decimal = Decimal(0)
    per_unit: Decimal = Decimal(0)
    per_line: Decimal = Decimal(0)
    valid_from: date | None = None
    valid_to: date | None = None


@dataclass(frozen=True, slots=True)
class _ReasonRow:
    """A row of reasons.csv."""

    code: str
    text_en: str
    text_fr: str


@dataclass(frozen=True, slots=True)
class _NotDueRow:
    """A row of not_due.csv."""

    cad_type: str


def load_rates(folder: Path = SAMPLE_RATES) -> Rates:
    """Return the rates of a folder laid out as `sample_rates/README.md` says.

    Raises SpecError, one line with the file and the row, for a table that cannot be used.
    """
    rates = (row for _, row in read_typed(folder / "exchange_rates.csv", _ExchangeRateRow))
    exchange = _grouped((row.currency, _charge_of(row)) for row in rates)
    rows = (row for _, row in read_typed(folder / "charges.csv", _ChargeRow))
    charges = _grouped(((row.kind, row.code, row.treatment), _charge_of(row)) for row in rows)
    reasons: dict[str, Bilingual] = {}
    for _, text in read_typed(folder / "reasons.csv", _ReasonRow):
        reasons.setdefault(text.code, Bilingual(text.text_en, text.text_fr))
    not_due = frozenset(row.cad_type for _, row in read_typed(folder / "not_due.csv", _NotDueRow))
    return Rates(exchange, charges, reasons, not_due)


def assess(request: Mapping[str, Any], rates: Rates) -> Assessment:
    """Return the result for a request that keeps the published schema; pure, so a repeat gives the same result.

    Originals and corrections are approved, adjustments and withdraw requests await review, and what cannot be worked
    out is refused with every reason. Test data in the reference of a test message override the outcome.
    """
    lines, totals, reasons = _assess_lines(request, rates)
    review = request["nature"] in ("adjustment", "withdrawal")
    outcome, delay = "refused" if reasons else "pending" if review else "approved", 0
    chosen = TEST_OUTCOME.search(request["reference"] or "") if request["test"] else None
    if chosen and chosen[1] == "SILENT":
        return Assessment(None)
    if chosen and chosen[1] == "REFUSE":
        outcome = "refused"
        reasons.append(_reason(rates, "ENG-0005"))
    elif chosen and chosen[2]:
        delay = min(int(chosen[2]), LONGEST_DELAY)
    elif chosen and not reasons:
        outcome = {"APPROVE": "approved", "PENDING": "pending"}[chosen[1]]
    if outcome == "pending":
        reasons.append(_reason(rates, "ENG-0006"))
    result = {
        name: request[name] for name in ("contract", "message_id", "transaction_number", "version", "payment_due")
    }
    result.update(outcome=outcome, lines=lines, totals=totals, reasons=reasons)
    return Assessment(result, delay)


def _assess_lines(request: Mapping[str, Any], rates: Rates) -> tuple[list[Json], Json, list[Json]]:
    """Return the lines, the totals (their sums) and the reasons why lines cannot be assessed.

    With one reason there are no amounts at all: half an assessment would be taken for a whole one.
    """
    lines: list[Json] = []
    reasons: list[Json] = []
    totals = NIL
    due = request["declaration"]["elements"].get("cad_type") not in rates.not_due
    with localcontext(Context(prec=60, rounding=ROUND_HALF_UP)):
        for place, line in _lines(request):
            try:
                amounts = _assess_line(line, rates)
                if not due:
                    amounts = NIL._replace(value_for_duty=amounts.value_for_duty)
            except _Cannot as fault:
                reasons.append(_reason(rates, fault.code, fault.value, **place))
                continue
            totals = Amounts(*map(add, totals, amounts))
            lines.append({**place, "sima_code": _sima_code(line, amounts), "amounts": _texts(amounts)})
    if any(amount >= TOO_LARGE for amount in totals):
        reasons.append(_reason(rates, "ENG-0007"))
    return ([], _texts(NIL), reasons) if reasons else (lines, _texts(totals), reasons)


def _assess_line(line: Mapping[str, str], rates: Rates) -> Amounts:
    """Work out one line; raise _Cannot for what is missing."""
    day = _day(line)
    currency = _needed(line, "currency")
    exchange = _on(day, rates.exchange.get(currency, ()))
    if exchange is None:
        raise _Cannot("ENG-0001", currency)
    value = _cents(_amount(line, "value_for_currency_conversion") * exchange.rate)
    found = {"customs_duty": _charge(_duty(line, rates, day), value, line)}
    for coded in CODED:
        if line.get(coded.subject) not in coded.no:
            found.update(_by_code(coded, value, line, rates, day))
            found.update(_self_declared(coded, line, found))
    taxable = value + sum(found.values(), NOTHING)
    gst_code = line.get("gst_code", "")
    gst = _on(day, rates.charges.get(("gst", gst_code, ""), ()))
    if gst is None:
        raise _Cannot("ENG-0003", gst_code)
    tax = _charge(gst, taxable, line)
    return NIL._replace(value_for_duty=value, value_for_tax=taxable, gst=tax, total=taxable - value + tax, **found)


def _by_code(coded: _Coded, value: Decimal, line: Mapping[str, str], rates: Rates, day: date) -> dict[str, Decimal]:
    """Return what a line's code charges; nothing without a code."""
    code = line.get(coded.element)
    if not code:
        return {}
    charges = {kind: _on(day, rates.charges.get((kind, code, ""), ())) for kind in coded.kinds}
    if not any(charges.values()):
        raise _Cannot("ENG-0003", code)
    return {kind: _charge(charge, value, line) for kind, charge in charges.items() if charge}


def _self_declared(coded: _Coded, line: Mapping[str, str], found: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Return the first of the charges where an amount is self-declared, in place of all that is worked out."""
    amount = f"{coded.declared}_amount"
    if line.get(f"{coded.declared}_self_declared") != "Y" or amount not in line:
        return {}
    declared, (first, *others) = _cents(_amount(line, amount)), coded.kinds
    rest = sum((found.get(kind, NOTHING) for kind in others), NOTHING)
    if not coded.lower and declared < found.get(first, NOTHING) + rest:
        raise _Cannot("ENG-0008", str(declared))
    return {first: declared - rest}


def _duty(line: Mapping[str, str], rates: Rates, day: date) -> Charge:
    """Find the rate of customs duty: the longest beginning of the classification, the treatment before `*`."""
    number, treatment = _needed(line, "classification"), _needed(line, "tariff_treatment")
    for length in range(len(number), -1, -1):
        for wanted in (treatment, "*"):
            charge = _on(day, rates.charges.get(("customs_duty", number[:length], wanted), ()))
            if charge is not None:
                return charge
    raise _Cannot("ENG-0002", number)


def _charge(charge: Charge, base: Decimal, line: Mapping[str, str]) -> Decimal:
    """Apply a rate to a line, in cents; a quantity is needed only where the rate asks for one."""
    units = charge.per_unit * _amount(line, "quantity") if charge.per_unit else NOTHING
    return _cents(base * charge.percent / 100 + units + charge.per_line)


def _sima_code(line: Mapping[str, str], amounts: Amounts) -> str | None:
    """Derive the SIMA code: non-subject 10, undertaking 20, finding without duty 40, finding with duty 51."""
    subject = line.get("sima_subject")
    if subject == "S":
        return "51" if amounts.anti_dumping or amounts.countervailing else "40"
    return {"N": "10", "U": "20"}.get(subject or "")


def _lines(request: Mapping[str, Any]) -> Iterator[tuple[dict[str, int], dict[str, str]]]:
    """Yield what a request calls each line (1.0: its position), and its elements, the first occurrence of each."""
    for i, invoice in enumerate(request["declaration"]["invoices"], 1):
        for j, line in enumerate(invoice["lines"], 1):
            yield (
                {"invoice": invoice.get("number", i), "line": line.get("number", j)},
                {name: text if isinstance(text, str) else text[0] for name, text in line["elements"].items()},
            )


def _reason(rates: Rates, code: str, value: str = "", *, invoice: int = 0, line: int = 0) -> Json:
    """Put a reason into words."""
    text = rates.reasons[code]
    return {
        "code": code,
        "text_en": text.en.replace("{value}", value[:100]),
        "text_fr": text.fr.replace("{value}", value[:100]),
        "invoice": invoice,
        "line": line,
    }


def _needed(line: Mapping[str, str], element: str) -> str:
    """Return an element's text, or raise _Cannot."""
    try:
        return line[element]
    except KeyError:
        raise _Cannot("ENG-0004", element) from None


def _amount(line: Mapping[str, str], element: str) -> Decimal:
    """Return an element as a number, or raise _Cannot."""
    try:
        return Decimal(_needed(line, element))
    except InvalidOperation:
        raise _Cannot("ENG-0004", element) from None


def _day(line: Mapping[str, str]) -> date:
    """Return the date of direct shipment, which sets the exchange rate, or raise _Cannot."""
    try:
        return date.fromisoformat(_needed(line, "direct_shipment_date"))
    except ValueError:
        raise _Cannot("ENG-0004", "direct_shipment_date") from None


def _on(day: date, charges: tuple[Charge, ...]) -> Charge | None:
    """Return the charge in force on the day."""
    return next((charge for charge in charges if charge.valid.covers(day)), None)


def _cents(amount: Decimal) -> Decimal:
    """Round half up to the cent."""
    return amount.quantize(CENT)


def _texts(amounts: Amounts) -> dict[str, str]:
    """Write amounts as the contract does."""
    return {name: format(amount, "f") for name, amount in amounts._asdict().items()}


def _charge_of(row: _ExchangeRateRow | _ChargeRow) -> Charge:
    """Return what a row charges and its days; an empty day is open."""
    valid = Period(row.valid_from, row.valid_to)
    if isinstance(row, _ExchangeRateRow):
        return Charge(row.rate, Decimal(0), Decimal(0), Decimal(0), valid)
    return Charge(Decimal(0), row.percent, row.per_unit, row.per_line, valid)


def _grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, tuple[V, ...]]:
    """Return the values of each key, in order."""
    table: dict[K, tuple[V, ...]] = {}
    for key, value in pairs:
        table[key] = (*table.get(key, ()), value)
    return table
