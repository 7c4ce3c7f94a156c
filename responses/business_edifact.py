"""Business answers to EDIFACT senders: a GOVCBR response (UN D.13A) in an interchange of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter

from core.envelope import Interchange
from core.text import printable
from edifact.contrl import unfit
from edifact.syntax import serialised
from responses.business import OWN_ID, AnswerItem, Business, Duty, PointerStep, day, duties, moment

CONTENT_TYPE = "application/edifact"

# A segment: its tag, then its data elements, each a text or the texts of a composite's components.
Elements = Sequence[str | Sequence[str]]

OUR_LIST = "CAD"  # 1131: the code is not of the UN's list
TEXT = 512  # characters in one component of FTX (4440), of which there are at most five
COMPONENTS = 5
ID = 35  # characters of an address (0004, 0010)

# Typographic characters that French texts use and ISO 8859-1 lacks.
LATIN = str.maketrans(
    {"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-", "\u2026": "...",
     "\u202f": "\u00a0", "\u0153": "oe", "\u0152": "OE", "\u20ac": "EUR"}
)  # fmt: skip


def write(answer: Business, interchange: Interchange | None = None) -> bytes:
    """Return the interchange that carries the answer, addressed back to the subject's sender.

    Syntax version, character set and qualified addresses are the subject's; UNOA and UNOB become UNOC (ISO 8859-1),
    which French needs. Without the subject's interchange: UNOC, version 3, the addresses of the envelope, as where what
    stands in UNB is unfit to be repeated.
    """
    unicode = interchange is not None and interchange.syntax_id == "UNOW"
    version = "4" if unicode or (interchange is not None and interchange.syntax_version == "4") else "3"
    reference = answer.id[:14].upper()
    message = [*_message(answer if unicode else _in_latin(answer), reference)]
    segments = [
        _unb(answer, interchange, "UNOW" if unicode else "UNOC", version, reference),
        *message,
        ("UNT", str(len(message) + 1), reference),
        ("UNZ", "1", reference),
    ]
    return serialised(segments, version).encode("utf-8" if unicode else "iso-8859-1", "backslashreplace")


def _unb(answer: Business, interchange: Interchange | None, syntax_id: str, version: str, reference: str) -> Elements:
    """Build the interchange header with the subject's sender and recipient swapped."""
    issued = answer.issued
    sender: Sequence[str]
    recipient: Sequence[str]
    sender, recipient = (answer.recipient[:ID] or OWN_ID,), (answer.sender[:ID] or "UNKNOWN",)
    if interchange and _fit(interchange.recipient) and not unfit(interchange.faults, "UNB", 4):
        sender = interchange.recipient
    if interchange and _fit(interchange.sender) and not unfit(interchange.faults, "UNB", 3):
        recipient = interchange.sender
    date_format = "%Y%m%d" if version == "4" else "%y%m%d"
    header: list[str | Sequence[str]] = [
        "UNB",
        (syntax_id, version),
        sender,
        recipient,
        (issued.strftime(date_format), issued.strftime("%H%M")),
        reference,
    ]
    return [*header, "", "", "", "", "", "1"] if answer.test else header


def _fit(address: Sequence[str]) -> bool:
    """Tell whether there is an address, without anything that acts instead of being seen."""
    return bool(address) and all(printable(part) == part for part in address)


def _message(answer: Business, reference: str) -> Iterator[Elements]:
    """Yield the message's segments from UNH to the last before UNT, in the order of the UN structure."""
    kind, result = answer.kind, answer.result
    yield "UNH", reference, answer.pack.edifact_message, answer.pack.version
    yield "BGM", (kind.document, OUR_LIST), (answer.transaction_number, answer.version), "11", kind.response
    yield "DTM", ("137", moment(answer.issued), "304")
    if result and result.payment_due:
        yield "DTM", ("140", day(result.payment_due), "102")
    if result and result.lines:
        yield "MOA", ("43", str(result.totals.value_for_duty), "CAD")
    for qualifier, text in (("ABO", answer.reference), ("AGO", answer.message), ("INO", answer.transmission)):
        if text:
            yield "RFF", (qualifier, text[:70])
    yield "STS", "7", (kind.status, "", "", kind.text.speak(answer.language))
    yield from _problems(answer)
    if result and result.lines:
        for duty in duties(result.totals):
            yield from _duty(duty, "4" if duty.type == "TOT" else "3")
    yield "UNS", "D"
    yield from _lines(answer)
    yield "HYN", "3"
    yield "UNS", "S"
    if answer.total:
        yield "CNT", ("55", str(answer.total))


def _problems(answer: Business) -> Iterator[Elements]:
    """Yield the items: the words of all, then of each its code and the way to its place."""
    for ordinal, item in enumerate(answer.items, 1):
        yield from _texts(ordinal, item, answer.language.upper())
    for item in answer.items:
        yield "ERC", item.code
        for step in item.pointer:
            yield from _pointer(step)


def _texts(ordinal: int, item: AnswerItem, language: str) -> Iterator[Elements]:
    """Yield the group that puts an item into words; the ordinal ties it to its ERC group."""
    yield "RCS", "11", (item.code, OUR_LIST, "", str(ordinal))
    yield "FTX", "AAO", "", item.severity, _pieces(item.text), language
    if item.details:
        yield "FTX", "ACB", "", "", tuple(detail[:TEXT] for detail in item.details), language


def _pieces(text: str) -> tuple[str, ...]:
    """Cut a text into the components of FTX."""
    return tuple(text[start : start + TEXT] for start in range(0, min(len(text), TEXT * COMPONENTS), TEXT))


def _pointer(step: PointerStep) -> Iterator[Elements]:
    """Yield one step of a pointer: the class with its sequence number, on the last step the element.

    The class stands in 1052, not in 1049 as in the WCO's mapping: the UN's list of 1049 has no WCO classes.
    """
    section = ("", step.section)
    yield ("ERP", section, ("", str(step.sequence))) if step.sequence else ("ERP", section)
    if step.tag:
        yield "ELU", step.tag


def _lines(answer: Business) -> Iterator[Elements]:
    """Yield what was worked out for each line and the engine's remarks on it, by shipment, item and commodity."""
    assessed = {(line.invoice, line.line): line for line in (answer.result.lines if answer.result else ())}
    remarks: dict[tuple[int, int], list[str]] = {}
    for remark in answer.remarks:
        remarks.setdefault((remark.invoice, remark.line), []).append(remark.text)
    for invoice, places in groupby(sorted({*assessed, *remarks}), key=itemgetter(0)):
        yield "SEQ", "", str(invoice)
        for place in places:
            line = assessed.get(place)
            yield "LIN", str(place[1])
            if line:
                yield "MOA", ("40", str(line.amounts.value_for_duty), "CAD")
            yield "GID", "1"
            for text in remarks.get(place, ()):
                yield "RCS", "11", ("REM", OUR_LIST)
                yield "FTX", "ACD", "", "", _pieces(text), answer.language.upper()
            for duty in duties(line.amounts, line.sima_code) if line else ():
                yield from _duty(duty, "2" if duty.type == "TOT" else "7")


def _duty(duty: Duty, function: str) -> Iterator[Elements]:
    """Yield one duty, tax or fee: its type and derived SIMA code, its base and its amount."""
    yield ("TAX", function, duty.type, duty.regime) if duty.regime else ("TAX", function, duty.type)
    if duty.base is not None:
        yield "MOA", ("56", str(duty.base), "CAD")
    yield "MOA", ("161", str(duty.amount), "CAD")


def _in_latin(answer: Business) -> Business:
    """Return the answer with every free text fit for ISO 8859-1, before texts are cut to length."""
    return answer._replace(
        reference=_latin(answer.reference),
        message=_latin(answer.message),
        transmission=_latin(answer.transmission),
        items=tuple(
            item._replace(text=_latin(item.text), details=tuple(map(_latin, item.details))) for item in answer.items
        ),
        remarks=tuple(remark._replace(text=_latin(remark.text)) for remark in answer.remarks),
    )


def _latin(text: str) -> str:
    """Write typographic characters plainly and what else ISO 8859-1 lacks as backslash escapes."""
    return (
        text if text.isascii() else text.translate(LATIN).encode("iso-8859-1", "backslashreplace").decode("iso-8859-1")
    )
