"""What a business answer says, before it is written in the sender's syntax and in the partner's language."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from operator import itemgetter
from typing import NamedTuple

from core.answers import DutyCodes, Kind
from core.assessment import Amounts, AssessmentResult, Reason
from core.calendar import EASTERN
from core.declaration import Declaration
from core.errors import GatewayError
from core.findings import Address, Finding, Place, Severity
from core.limits import FINDINGS_LISTED
from core.partner import Partner
from core.specs import Pack
from core.text import printable as text_printable
from core.transmission import Judged


class PointerStep(NamedTuple):
    """One step of a WCO pointer: a class, which occurrence of it, and on the last step the element in it."""

    section: str
    sequence: int | None
    tag: str | None


class AnswerItem(NamedTuple):
    """One finding as the partner reads it; `severity` is refuse or warn, `details` are labelled sentences."""

    code: str
    severity: str
    text: str
    details: tuple[str, ...]
    pointer: tuple[PointerStep, ...]


class Duty(NamedTuple):
    """One duty, tax or fee: its type (UN 5153), base if told, amount, derived SIMA code."""

    type: str
    base: Decimal | None
    amount: Decimal
    regime: str | None = None


class Remark(NamedTuple):
    """What the engine remarks on one line, by its position."""

    invoice: int
    line: int
    text: str


class Business(NamedTuple):
    """A business answer in neutral terms, every text printable; `total` counts all items, `items` those listed.

    Texts that the subject lacks are empty. `called` is what its sender calls the lines that the result is about, by
    invoice and position.
    """

    id: str
    kind: Kind
    language: str
    pack: Pack
    issued: datetime  # Eastern Time
    transmission: str  # the subject's references: its transmission's, its message's, its declaration's
    message: str
    reference: str
    test: bool
    transaction_number: str
    version: str
    items: tuple[AnswerItem, ...]
    total: int
    remarks: tuple[Remark, ...]
    result: AssessmentResult | None
    called: Mapping[tuple[int, int], int]


def business(
    kind: str,
    judged: Judged,
    *,
    answer_id: str,
    partner: Partner | None,
    now: datetime,
    packs: Sequence[Pack],
    result: AssessmentResult | None = None,
) -> Business:
    """Gather what the answer says; raises GatewayError for an unknown kind or an assessment without its result."""
    pack = next((pack for pack in packs if pack.key == judged.message.pack), packs[0])
    kinds = pack.answers.kinds
    if kind not in kinds or (result is None and kind in ("assessed", "pending", "engine-refused")):
        raise GatewayError(f"answer {answer_id}: cannot be written as {kind!r}{' without a result' * (kind in kinds)}")
    language = partner.language if partner else "en"
    declaration, envelope = judged.message.declaration, judged.message.envelope
    about = assessed_of(judged)
    items = [_of_finding(finding, language) for finding in judged.findings]
    if result is not None:
        items = [_of_reason(reason, kind == "engine-refused", language, pack) for reason in result.reasons]
    places = [each[:2] for each in result.lines] if result else []
    places += [(each.invoice, each.line) for each in result.reasons] if result else []
    return Business(
        id=answer_id,
        kind=kinds[kind],
        language=language,
        pack=pack,
        transmission=printable(envelope.reference),
        message=printable(envelope.message),
        test=envelope.test,
        issued=now.astimezone(EASTERN),
        reference=printable(declaration.text("functional_reference")) if declaration else "",
        transaction_number=printable(declaration.transaction_number) if declaration else "",
        version=printable(declaration.version) if declaration else "",
        items=tuple(items[:FINDINGS_LISTED]),
        total=len(items),
        remarks=tuple(
            Remark(reason.invoice, reason.line, printable(reason.text.speak(language)))
            for reason in (result.reasons[:FINDINGS_LISTED] if result else ())
            if reason.line
        ),
        result=result and replace(result, lines=tuple(sorted(result.lines, key=itemgetter(0, 1)))),
        called={place: about.line_number(*place) if about else place[1] for place in places},
    )


def assessed_of(judged: Judged) -> Declaration | None:
    """Return the declaration whose lines an assessment is about: the message's own, or the one that it withdraws."""
    own, effect = judged.message.declaration, judged.effect
    return effect.declaration if effect and not (own and own.invoices) else own


def duties(amounts: Amounts, types: DutyCodes, sima_code: str | None = None) -> Iterator[Duty]:
    """Yield a line's or the totals' duties and taxes: customs duty, GST and the total always, others where charged.

    A SIMA code brings the anti-dumping duty along even when none is owed. What has no type in the pack is left out.
    """
    if types.customs_duty:
        yield Duty(types.customs_duty, amounts.value_for_duty, amounts.customs_duty)
    for code, amount, regime in (
        (types.anti_dumping, amounts.anti_dumping, sima_code),
        (types.countervailing, amounts.countervailing, None),
        (types.surtax, amounts.surtax, None),
        (types.safeguard, amounts.safeguard, None),
        (types.excise_duty, amounts.excise_duty, None),
        (types.excise_tax, amounts.excise_tax, None),
    ):
        if code and (amount or regime):
            yield Duty(code, None, amount, regime)
    if types.gst:
        yield Duty(types.gst, amounts.value_for_tax, amounts.gst)
    yield Duty(types.total, None, amounts.total)


def pointer_steps(pointer: str | None) -> tuple[PointerStep, ...]:
    """Take a pointer like `42A/67A[2]/68A[3]/23A/21A[1]/145` apart; the last class and the element are one step."""
    steps: list[PointerStep] = []
    for name, sequence in re.findall(r"(\w+)(?:\[(\d+)\])?", pointer or ""):
        if re.fullmatch(r"\d{2}[A-Z]", name) or not steps:
            steps.append(PointerStep(name, int(sequence) if sequence else None, None))
        else:
            steps[-1] = steps[-1]._replace(tag=name)
    return tuple(steps)


def day(value: date) -> str:
    """Write a day as CCYYMMDD (UN 2379 code 102)."""
    return f"{value:%Y%m%d}"


def _whole(value: datetime) -> str:
    """Write a moment as CCYYMMDDHHMMSS; strftime takes ten times as long."""
    return value.isoformat(timespec="seconds")[:19].replace("-", "").replace("T", "").replace(":", "")


def moment(value: datetime) -> str:
    """Write a moment as CCYYMMDDHHMMSSZZZ (UN 2379 code 304), the zone as EST or EDT."""
    return f"{_whole(value)}{value.tzname()}"


def printable(text: str | None) -> str:
    """Return the text fit to be shown (see `core.text`), which XML can hold, too; "" for none or blanks."""
    return text_printable(text) if text and text.strip() else ""


LABELS = {
    "en": ("place", "segment", "element", "component", "line", "column", "value", "expected", "source"),
    "fr": ("endroit", "segment", "élément", "composante", "ligne", "colonne", "valeur", "attendu", "source"),
}


def _of_finding(finding: Finding, language: str) -> AnswerItem:
    """Put one finding of the gateway into the partner's language."""
    at, segment, element, component, line, column, value, expected, source = LABELS[language]
    colon = " :" if language == "fr" else ":"
    place: Place = finding.place
    where = [
        f"{label} {number}"
        for label, number in (
            (segment, place.segment),
            (element, place.element),
            (component, place.component),
            (line, place.line),
            (column, place.column),
        )
        if number is not None
    ]
    if place.xpath:
        where.append(place.xpath)
    facts = (
        (at, ", ".join(where)), (value, finding.value), (expected, finding.expected_in(language)),
        (source, finding.source.speak(language)),
    )  # fmt: skip
    return AnswerItem(
        code=finding.code,
        severity=finding.severity.value,
        text=printable(finding.text.speak(language)),
        details=tuple(f"{label}{colon} {printable(text)}" for label, text in facts if printable(text)),
        pointer=pointer_steps(place.pointer),
    )


def _of_reason(reason: Reason, refuses: bool, language: str, pack: Pack) -> AnswerItem:
    """Put one reason of the assessment engine into the partner's language."""
    pointer = pack.pointer(Address("", reason.invoice or 0, (reason.invoice and reason.line) or 0))
    severity = Severity.REFUSE if refuses else Severity.WARN
    return AnswerItem(reason.code, severity.value, printable(reason.text.speak(language)), (), pointer_steps(pointer))
