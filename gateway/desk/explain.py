"""A message in plain words, element by element, its faults in place: values for the page and the terminal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from core.calendar import eastern_day, interest_day, interest_terms, payment_due
from core.declaration import Declaration, Level, MessageType, Nature, Unreadable, Value
from core.findings import Address, Bilingual, Finding, Place
from core.partner import Partner
from core.register import consignment_of
from core.specs import Element, Pack, Specs
from core.text import lines_of, printable
from core.transmission import Judged, Message, Verdict
from gateway import pages
from gateway.catalogue import TYPE_WORDS
from validators.elements import in_words, listed_on

# Lines of goods that are shown whole; of those after them only what has a finding, and how many have none is told.
LINES_SHOWN = 200

# Elements of a message up to which each is looked up in the sender's bytes, which is slow.
LOCATED = 1_000

# Characters of the sender's text that are shown before and behind a place.
AROUND = 60

MONTHS = Bilingual(
    "January February March April May June July August September October November December",
    "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
)


@dataclass(frozen=True)
class Excerpt:
    """A piece of the sender's text around a place: what stands before it, the place itself, and what follows."""

    line: int
    before: str
    marked: str
    after: str


@dataclass(frozen=True)
class NumberedFinding:
    """A finding on the page: its number there, the sender's text around it (None: it has no place), what to do."""

    number: int
    finding: Finding
    excerpt: Excerpt | None
    remedy: Bilingual | None


@dataclass(frozen=True)
class ExplainedElement:
    """An element of the message: as written (None: not given), what that means, and what is wrong with it."""

    element: Element
    written: str | None
    meaning: str
    remarks: tuple[NumberedFinding, ...]


@dataclass(frozen=True)
class Section:
    """The declaration's own elements, an invoice's, or a line's; `remarks` are about the whole of it."""

    title: str
    invoice: int
    line: int
    rows: tuple[ExplainedElement, ...]
    remarks: tuple[NumberedFinding, ...]


@dataclass(frozen=True)
class Explained:
    """One message in plain words, in one language."""

    ordinal: int
    heading: str
    summary: str
    payment: str  # by when it is paid, and from when interest counts; empty where it is not accepted
    verdict: Verdict
    remarks: tuple[NumberedFinding, ...]  # all of them, in the order of the message
    elsewhere: tuple[NumberedFinding, ...]  # those that belong to no element: of the envelope, of the syntax
    sections: tuple[Section, ...]
    left_out: int  # lines without a finding that are not shown
    judged: Judged


def explain(judged: Judged, partner: Partner | None, specs: Specs, language: str) -> Explained:
    """Return a judged message in plain words."""
    message = judged.message
    lines = lines_of(message.document.text()) if judged.findings else []
    remarks = tuple(
        NumberedFinding(number, finding, excerpt(lines, finding.place, finding.value), specs.remedy_of(finding.code))
        for number, finding in enumerate(judged.findings, 1)
    )
    pack = next((pack for pack in specs.packs if pack.key == message.pack), None)
    sections: list[Section] = []
    left_out = 0
    used: set[int] = set()
    if pack and message.declaration:
        about = _placed(remarks, message, pack)
        for number, (section, extra) in enumerate(_sections(message.declaration, pack, specs, about, language)):
            seen = {each.number for row in section.rows for each in row.remarks} | {e.number for e in section.remarks}
            if number > LINES_SHOWN and not seen:
                left_out += extra
                continue
            used |= seen
            sections.append(section)
    elsewhere = tuple(remark for remark in remarks if remark.number not in used)
    return Explained(
        ordinal=message.ordinal,
        heading=_heading(judged, language),
        summary=_summary(judged, partner, language),
        payment=_payment(judged, partner, specs, language),
        verdict=judged.verdict,
        remarks=remarks,
        elsewhere=elsewhere,
        sections=tuple(sections),
        left_out=left_out,
        judged=judged,
    )


About = Mapping[Address, Sequence[NumberedFinding]]


def _placed(remarks: Sequence[NumberedFinding], message: Message, pack: Pack) -> About:
    """Return the findings by what they are about; a finding of syntax is known by its place alone."""
    about: dict[Address, list[NumberedFinding]] = defaultdict(list)
    rest = []
    for remark in remarks:
        if remark.finding.address and (remark.finding.address.element or remark.finding.address.invoice):
            about[remark.finding.address].append(remark)
        elif remark.finding.place.line:
            rest.append(remark)
    declaration = message.declaration
    given = [
        Address(name, invoice, line)
        for invoice, line, level in (declaration.levels() if declaration else ())
        for name in level.values
        if name in pack.elements
    ]
    if rest and len(given) <= LOCATED:
        places = {
            (place.line, place.column): address for address in given for place in (message.document.locate(address),)
        }
        for remark in rest:
            if address := places.get((remark.finding.place.line, remark.finding.place.column)):
                about[address].append(remark)
    return about


def _sections(
    declaration: Declaration, pack: Pack, specs: Specs, remarks: About, language: str
) -> Iterator[tuple[Section, int]]:
    """Yield the declaration, its invoices and their lines, each with 1 if it is a line."""
    elements: dict[str, list[Element]] = defaultdict(list)
    for element in pack.elements.values():
        elements[element.level].append(element)
    for invoice, line, level in declaration.levels():
        kind = "commodity" if line else "invoice" if invoice else "declaration"
        rows = []
        for element in elements[kind]:
            rows += list(_rows(element, level, declaration, specs, remarks, invoice, line, language))
        whole = remarks.get(Address("", invoice, line), [])
        title = _title(invoice, line, level, language)
        yield Section(title, invoice, line, tuple(rows), tuple(whole)), 1 if line else 0


def _rows(
    element: Element,
    level: Level,
    declaration: Declaration,
    specs: Specs,
    remarks: About,
    invoice: int,
    line: int,
    language: str,
) -> Iterator[ExplainedElement]:
    """Yield an element's occurrences, or, if it is not given but there is a finding about it, that it is missing."""
    values: Sequence[Value | None] = level.all(element.name) or (None,)
    for number, value in enumerate(values, 1):
        found = tuple(remarks.get(Address(element.name, invoice, line, number), ()))
        if value is None and not found:
            continue
        written = None if value is None else element.format.write(value)
        meaning = "" if value is None else meaning_of(element, value, level, declaration, specs, language)
        yield ExplainedElement(element, written, "" if meaning == written else meaning, found)


def meaning_of(
    element: Element, value: Value, level: Level, declaration: Declaration, specs: Specs, language: str
) -> str:
    """Return what an element's value means in plain words, empty where it says so itself."""
    fr = language == "fr"
    if isinstance(value, Unreadable):
        return ("illisible; attendu : " if fr else "cannot be read; expected: ") + in_words(element.format).speak(
            language
        )
    if isinstance(value, date):
        return day_in_words(value, language)
    if isinstance(value, Decimal):
        currency = level.text(element.currency or "")
        return (
            amount_in_words(value, currency, language) if currency or value >= 1000 or value.as_tuple().exponent else ""
        )
    if element.code_list:
        entry = specs.code_lists[element.code_list].find(value, listed_on(element, level, declaration))
        if entry is None:
            return "n'est pas dans la liste" if fr else "not in the list"
        return entry.name.speak(language)
    if element.name == "function_code":
        types = {code: type_ for pack in specs.packs for code, type_ in pack.types.items()}
        return TYPE_WORDS[types.get(value, MessageType.UNKNOWN)].sentence.speak(language)
    if element.format.notation == "n14":
        return (
            f"compte {value[:5]}, numéro {value[5:13]}, chiffre de contrôle {value[13:]}"
            if fr
            else f"account {value[:5]}, number {value[5:13]}, check digit {value[13:]}"
        )
    if element.name == "classification":
        return f"{value[:4]}.{value[4:6]}.{value[6:8]}.{value[8:]}"
    if element.name.endswith("_bn") and len(value) == len("123456789RM0001"):
        return f"entreprise {value[:9]}, compte {value[9:]}" if fr else f"business {value[:9]}, account {value[9:]}"
    return ""


def day_in_words(day: date, language: str) -> str:
    """Return a day as people write it."""
    month = MONTHS.speak(language).split()[day.month - 1]
    if language == "fr":
        return f"{'1er' if day.day == 1 else day.day} {month} {day.year}"
    return f"{month} {day.day}, {day.year}"


def amount_in_words(value: Decimal, currency: str | None, language: str) -> str:
    """Return a number as people write it, with its currency."""
    if currency:
        value = value if value.as_tuple().exponent == -3 else value.quantize(Decimal("0.01"))
    text = pages.number(f"{value:,f}", language)
    return f"{text} {currency}" if currency else text


def excerpt(lines: Sequence[str], place: Place, value: str | None) -> Excerpt | None:
    """Return the sender's text around a place, None if the place names no line of it."""
    if not place.line or place.line > len(lines):
        return None
    line, column = lines[place.line - 1], (place.column or 1) - 1
    width = width_at(line, column, value)
    start = max(0, column - AROUND)
    return Excerpt(
        place.line,
        ("…" if start else "") + visible(line[start:column]),
        visible(line[column : column + width]) or " ",
        visible(line[column + width : column + width + AROUND]) + ("…" if len(line) > column + width + AROUND else ""),
    )


def width_at(line: str, column: int, value: str | None) -> int:
    """Return how many characters of a line a finding is about: the value, if it stands there as it was told."""
    return len(value) if value and line.startswith(value, column) else 1


def visible(text: str) -> str:
    """Return a text with everything that acts instead of being seen shown as a replacement character."""
    return printable(text, "\N{REPLACEMENT CHARACTER}")


def where(place: Place, language: str) -> str:
    """Return a place in the sender's words: line and column, segment and element, references."""
    fr = language == "fr"
    parts = []
    if place.line:
        parts.append(
            f"ligne {place.line}, colonne {place.column}" if fr else f"line {place.line}, column {place.column}"
        )
    if place.segment:
        parts.append(f"segment {place.segment}")
    if place.element:
        parts.append(f"élément {place.element}" if fr else f"element {place.element}")
    if place.component:
        parts.append(f"composant {place.component}" if fr else f"component {place.component}")
    return ", ".join(parts)


def _title(invoice: int, line: int, level: Level, language: str) -> str:
    fr = language == "fr"
    if line:
        number, text = level.amount("line_number"), level.text("description") or ""
        shown = f"{number:f}" if number is not None else str(line)
        return (f"Ligne {shown}" if fr else f"Line {shown}") + (
            f" : {text}" if fr and text else f": {text}" if text else ""
        )
    if invoice:
        number_text = level.text("invoice_number")
        named = f" {number_text}" if number_text else ""
        return f"Facture {invoice}{' :' * bool(named)}{named}" if fr else f"Invoice {invoice}{':' * bool(named)}{named}"
    return "La déclaration" if fr else "The declaration"


def _heading(judged: Judged, language: str) -> str:
    """Return what a message is called: its number and version, else its reference."""
    declaration, envelope = judged.message.declaration, judged.message.envelope
    if declaration and declaration.transaction_number:
        version = declaration.version or "?"
        return f"{'DDC' if language == 'fr' else 'CAD'} {declaration.transaction_number}, version {version}"
    reference = envelope.message or envelope.reference
    return f"Message {reference}" if reference else "Message"


def _summary(judged: Judged, partner: Partner | None, language: str) -> str:
    """Return in two sentences what the message asks for, and what the gateway says to it."""
    fr = language == "fr"
    message = judged.message
    unknown = "Un expéditeur inconnu" if fr else "An unknown sender"
    sender = (partner and partner.name) or message.envelope.sender or unknown
    kind = TYPE_WORDS[message.type].sentence.speak(language)
    said = f"{sender} envoie {kind}" if fr else f"{sender} sends {kind}"
    declaration = message.declaration
    if declaration and declaration.invoices:
        invoices, lines = len(declaration.invoices), sum(1 for _ in declaration.lines())
        importer = declaration.text("importer_name") or declaration.text("importer_bn")
        if importer:
            said += f" pour l'importateur {importer}" if fr else f" for the importer {importer}"
        said += f" : {_count(invoices, 'facture')}, {_count(lines, 'ligne')}" if fr else (
            f": {_count(invoices, 'invoice')}, {_count(lines, 'line')}"
        )  # fmt: skip
        totals: dict[str, Decimal] = defaultdict(Decimal)
        for _, _, line in declaration.lines():
            amount, currency = line.amount("value_for_currency_conversion"), line.text("currency")
            if amount is not None and currency:
                totals[currency] += amount
        if totals:
            words = [amount_in_words(total, currency, language) for currency, total in sorted(totals.items())]
            said += (", valeur " if fr else ", value ") + " + ".join(words)
    refusals = sum(1 for finding in judged.findings if finding.severity == "refuse")
    warnings = len(judged.findings) - refusals
    if judged.verdict is Verdict.ACCEPTED:
        told = "Le message est accepté" if fr else "The message is accepted"
        told += (
            f", avec {_count(warnings, 'remarque')}"
            if fr and warnings
            else f", with {_count(warnings, 'remark')}"
            if warnings
            else ""
        )
    else:
        told = (
            f"Le message est refusé : {_count(refusals, 'erreur')} à corriger"
            if fr
            else f"The message is refused: {_count(refusals, 'fault')} to fix"
        )
        if warnings:
            told += f", {_count(warnings, 'remarque')}" if fr else f", {_count(warnings, 'remark')}"
    return f"{said}. {told}."


def _payment(judged: Judged, partner: Partner | None, specs: Specs, language: str) -> str:
    """Return in a sentence by when an accepted declaration is paid, and from when interest counts: another day."""
    effect, calendar = judged.effect, specs.calendar
    if effect is None or effect.payment_due is None or effect.nature is Nature.WITHDRAWAL:
        return ""
    choice = partner.choice_of(effect.declaration) if partner else None
    consignment = consignment_of(effect.declaration, eastern_day(effect.accepted_at), choice)
    computed = payment_due(consignment, calendar) == effect.payment_due
    source = calendar.terms_of(consignment).source if computed else Bilingual("as on file", "selon le dossier")
    due, interest = (day_in_words(day, language) for day in (effect.payment_due, interest_day(consignment, calendar)))
    own = interest_terms(consignment.accounted, calendar)
    if language == "fr":
        said = f"Le paiement est exigible le {due} ({source.fr})."
        return f"{said} Les intérêts courent à partir du lendemain du {interest} ({own.source.fr})."
    said = f"Payment is due on {due} ({source.en})."
    return f"{said} Interest counts from the day after {interest} ({own.source.en})."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number > 1 or (number == 0 and noun in ENGLISH) else ''}"


# English counts nothing in the plural, French in the singular.
ENGLISH = {"invoice", "line", "fault", "remark"}
