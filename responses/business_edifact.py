"""Business answers to EDIFACT senders: a GOVCBR response (UN D.13A) in an interchange of its own."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from core.answers import EdifactCodes, Kind
from core.envelope import Interchange
from core.findings import Bilingual
from edifact.syntax import ENCODINGS, charset_known, serialised, serialised_element
from responses.business import AnswerItem, Business, Duty, PointerStep, day, duties, moment
from responses.forms import Forms, filled

CONTENT_TYPE = "application/edifact"

# A segment: its tag, then its data elements, each a text or the texts of a composite's components.
SegmentElements = Sequence[str | Sequence[str]]

TEXT = 512  # characters in one component of FTX (4440), of which there are at most five
COMPONENTS = 5
REFERENCE = 70  # characters of a reference (1154)

# Typographic characters that French texts use, for the sets that lack them.
PLAIN = str.maketrans(
    {"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u00ab": '"', "\u00bb": '"', "\u2013": "-",
     "\u2014": "-", "\u2026": "...", "\u202f": "\u00a0", "\u0153": "oe", "\u0152": "OE", "\u20ac": "EUR", "\u00b0": "o"}
)  # fmt: skip


def write(
    answer: Business, ours: Sequence[str], theirs: Sequence[str], interchange: Interchange | None = None
) -> bytes:
    """Return the interchange that carries the answer, from our address to theirs (see `responses.addresses`).

    Syntax version and character set are the subject's; UNOA and UNOB become UNOC (ISO 8859-1), which French needs.
    Without the subject's interchange, or where its set cannot be read here: UNOC, version 3.
    """
    charset, version = "UNOC", "3"
    if interchange is not None:
        version = "4" if interchange.syntax_version == "4" else "3"
        if interchange.syntax_id > "UNOC" and charset_known(interchange.syntax_id, interchange.syntax_version):
            charset = interchange.syntax_id
    version = "4" if charset > "UNOF" else version
    issued, pack, encoding = moment(answer.issued), answer.pack, ENCODINGS[charset]
    answer = _with_references(answer, encoding)
    header = _Header(
        reference=answer.id[:14].upper(),
        prepared=issued[0 if version == "4" else 2 : 8],
        time=issued[8:12],
        issued=issued,
        ours=ours,
        theirs=theirs,
    )
    if answer.items or answer.result:
        text = _written(_fitted(answer, encoding), header, charset, version)
    else:
        named = answer.transaction_number, answer.version, answer.reference, answer.message, answer.transmission
        texts = (*header, *named)
        key = answer.kind, answer.language, pack.edifact_answer, pack.version, pack.answers.edifact, answer.test
        as_written = [serialised_element(each, version) for each in texts]
        text = filled(_FORMS, (key, charset, version), as_written, partial(_of_marks, answer, charset, version))
    return text.encode(encoding, "backslashreplace")


class _Header(NamedTuple):
    """What the envelope says of an answer: its reference, day and time, the moment in full, and both addresses."""

    reference: str
    prepared: str
    time: str
    issued: str
    ours: str | Sequence[str]
    theirs: str | Sequence[str]


_FORMS: Forms = {}


def _of_marks(answer: Business, charset: str, version: str, marks: Sequence[str]) -> str:
    """Return the interchange with marks in place of what differs between messages."""
    number, of_declaration, reference, message, transmission = marks[6:]
    whole = answer._replace(
        transaction_number=number,
        version=of_declaration,
        reference=reference,
        message=message,
        transmission=transmission,
    )
    return _written(_fitted(whole, ENCODINGS[charset]), _Header(*marks[:6]), charset, version)


def _written(answer: Business, header: _Header, charset: str, version: str) -> str:
    """Return the interchange as text; every text of the answer fits the character set."""
    message, reference = [*_message(answer, header)], header.reference
    at = header.prepared, header.time
    unb: list[str | Sequence[str]] = ["UNB", (charset, version), header.ours, header.theirs, at, reference]
    segments = [
        [*unb, "", "", "", "", "", "1"] if answer.test else unb,
        *message,
        ("UNT", str(len(message) + 1), reference),
        ("UNZ", "1", reference),
    ]
    return serialised(segments, version)


def _message(answer: Business, header: _Header) -> Iterator[SegmentElements]:
    """Yield the message's segments from UNH to the last before UNT, in the order of the UN structure."""
    kind, result, codes = answer.kind, answer.result, answer.pack.answers.edifact
    yield "UNH", header.reference, answer.pack.edifact_answer, answer.pack.version
    subject = (answer.transaction_number, answer.version)
    yield "BGM", (kind.document, codes.our_list), subject, codes.message_function, kind.response
    yield "DTM", (codes.issued, header.issued, "304")
    if result and result.payment_due and codes.payment_due:
        yield "DTM", (codes.payment_due, day(result.payment_due), "102")
    if result and result.lines and codes.value_for_duty:
        yield "MOA", (codes.value_for_duty, str(result.totals.value_for_duty), "CAD")
    for qualifier, text in (
        (codes.sender_reference, answer.reference),
        (codes.message_reference, answer.message),
        (codes.transmission_reference, answer.transmission),
    ):
        if text and qualifier:
            yield "RFF", (qualifier, text)
    yield "STS", codes.status_function, (kind.status, "", "", kind.text.speak(answer.language))
    yield from _problems(answer, codes)
    if result and result.lines:
        types = answer.pack.answers.duties
        for duty in duties(result.totals, types):
            function = codes.total_function if duty.type == types.total else codes.charge_function
            yield from _duty(duty, function, codes)
    yield "UNS", "D"
    yield from _lines(answer, codes)
    yield "HYN", codes.hierarchy
    yield "UNS", "S"
    if answer.total and codes.items:
        yield "CNT", (codes.items, str(answer.total))


def _problems(answer: Business, codes: EdifactCodes) -> Iterator[SegmentElements]:
    """Yield the items: the words of all, then of each its code and the way to its place."""
    for ordinal, item in enumerate(answer.items, 1):
        yield from _texts(ordinal, item, answer.language.upper(), codes)
    for item in answer.items:
        yield "ERC", item.code
        for step in item.pointer:
            yield from _pointer(step)


def _texts(ordinal: int, item: AnswerItem, language: str, codes: EdifactCodes) -> Iterator[SegmentElements]:
    """Yield the group that puts an item into words; the ordinal ties it to its ERC group."""
    yield "RCS", codes.finding_function, (item.code, codes.our_list, "", str(ordinal))
    yield "FTX", codes.finding_text, "", item.severity, _pieces(item.text), language
    if item.details and codes.finding_details:
        details = tuple(detail[:TEXT].strip(" ") for detail in item.details)
        yield "FTX", codes.finding_details, "", "", details, language


def _pieces(text: str) -> tuple[str, ...]:
    """Cut a text into the components of FTX, which neither begin nor end with a blank."""
    return tuple(text[start : start + TEXT].strip(" ") for start in range(0, min(len(text), TEXT * COMPONENTS), TEXT))


def _pointer(step: PointerStep) -> Iterator[SegmentElements]:
    """Yield one step of a pointer: the class with its sequence number, on the last step the element.

    The class stands in 1052, not in 1049 as in the WCO's mapping: the UN's list of 1049 has no WCO classes.
    """
    section = ("", step.section)
    yield ("ERP", section, ("", str(step.sequence))) if step.sequence else ("ERP", section)
    if step.tag:
        yield "ELU", step.tag


def _lines(answer: Business, codes: EdifactCodes) -> Iterator[SegmentElements]:
    """Yield what was worked out for each line and the engine's remarks on it, by shipment, item and commodity."""
    assessed = {(line.invoice, line.line): line for line in (answer.result.lines if answer.result else ())}
    types = answer.pack.answers.duties
    remarks: dict[tuple[int, int], list[str]] = {}
    for remark in answer.remarks if codes.remark and codes.remark_text else ():
        remarks.setdefault((remark.invoice, remark.line), []).append(remark.text)
    for invoice, places in groupby(sorted({*assessed, *remarks}), key=itemgetter(0)):
        yield "SEQ", "", str(invoice)
        for place in places:
            line = assessed.get(place)
            yield "LIN", str(answer.called[place])
            if line and codes.line_value_for_duty:
                yield "MOA", (codes.line_value_for_duty, str(line.amounts.value_for_duty), "CAD")
            yield "GID", "1"
            for text in remarks.get(place, ()):
                yield "RCS", codes.finding_function, (codes.remark, codes.our_list)
                yield "FTX", codes.remark_text, "", "", _pieces(text), answer.language.upper()
            for duty in duties(line.amounts, types, line.sima_code) if line else ():
                function = codes.line_total_function if duty.type == types.total else codes.line_charge_function
                yield from _duty(duty, function, codes)


def _duty(duty: Duty, function: str, codes: EdifactCodes) -> Iterator[SegmentElements]:
    """Yield one duty, tax or fee: its type and derived SIMA code, its base and its amount; nothing without function."""
    if not function:
        return
    yield ("TAX", function, duty.type, duty.regime) if duty.regime else ("TAX", function, duty.type)
    if duty.base is not None and codes.charge_base:
        yield "MOA", (codes.charge_base, str(duty.base), "CAD")
    yield "MOA", (codes.charge_amount, str(duty.amount), "CAD")


def _with_references(answer: Business, encoding: str) -> Business:
    """Return the answer with what it names its subject by fit for a character set, cut to length, without padding.

    A blank of another width may be one that the set has: the padding goes last.
    """
    fit = partial(_fit, encoding=encoding) if encoding != "utf-8" else str
    return answer._replace(
        transaction_number=answer.transaction_number.strip(" "),
        version=answer.version.strip(" "),
        reference=fit(answer.reference)[:REFERENCE].strip(" "),
        message=fit(answer.message)[:REFERENCE].strip(" "),
        transmission=fit(answer.transmission)[:REFERENCE].strip(" "),
    )


def _fitted(answer: Business, encoding: str) -> Business:
    """Return the answer with every free text fit for a character set, before texts are cut to length."""
    if encoding == "utf-8":
        return answer
    fit = partial(_fit, encoding=encoding)
    return answer._replace(
        kind=_fitted_kind(answer.kind, encoding),
        items=tuple(item._replace(text=fit(item.text), details=tuple(map(fit, item.details))) for item in answer.items),
        remarks=tuple(remark._replace(text=fit(remark.text)) for remark in answer.remarks),
    )


@lru_cache(maxsize=64)
def _fitted_kind(kind: Kind, encoding: str) -> Kind:
    return kind._replace(text=Bilingual(*(_fit(text, encoding) for text in kind.text)))


def _fit(text: str, encoding: str) -> str:
    """Write what a character set lacks plainly: typographic signs, then letters without accents, else as escapes."""
    if not text.isascii():
        try:
            text.encode(encoding)
        except UnicodeEncodeError:
            return "".join(_plainly(character, encoding) for character in text)
    return text


def _plainly(character: str, encoding: str) -> str:
    """Write one character in a character set: as it is, plainly, without its accent, or else as an escape."""
    plain = character.translate(PLAIN)
    for each in (character, plain, unicodedata.normalize("NFKD", plain)[:1]):
        with suppress(UnicodeEncodeError):
            return each.encode(encoding).decode(encoding)
    return character.encode(encoding, "backslashreplace").decode(encoding)
