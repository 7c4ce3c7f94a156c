"""Business answers to XML senders: a WCO Response, held to the pack's response schema by the tests.

They are joined texts, not a tree of objects (DECISIONS D26).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any

from core.answers import DutyCodes, XmlCodes
from core.assessment import AssessedLine, AssessmentResult
from core.findings import Address
from responses.business import Business, Duty, PointerStep, day, duties, moment, pointer_steps
from responses.forms import Forms, filled

CONTENT_TYPE = "application/xml"

TEXT, REFERENCE = 512, 35  # characters of a statement or description, and of a reference


def write(answer: Business, ours: Sequence[str], theirs: Sequence[str]) -> bytes:
    """Return the Response as UTF-8 XML, its elements in the order of the WCO Data Model.

    `ours` and `theirs` are the addresses of the gateway and of the partner, for a wrapper that names them.
    """
    issued, pack = moment(answer.issued), answer.pack
    if len(pack.response.names) > 1:
        return _document(_wrapped(answer, _written(answer, issued), ours[0], theirs[0])).encode()
    if answer.items or answer.result:
        return _document(_written(answer, issued)).encode()
    reference = (answer.reference or answer.message)[:REFERENCE]
    texts = (answer.id, answer.transmission[:TEXT], reference, answer.transaction_number, answer.version)
    key = answer.kind, answer.language, pack.response.names, pack.response.namespace, pack.answers.xml, answer.test
    return filled(_FORMS, key, (issued, *map(_escaped, texts)), partial(_of_marks, answer)).encode()


_FORMS: Forms = {}


def _of_marks(answer: Business, marks: Sequence[str]) -> str:
    """Return the answer with marks in place of what differs between messages."""
    issued, own, transmission, reference, transaction, version = marks
    whole = answer._replace(
        id=own,
        transmission=transmission,
        reference=reference,
        message="",
        transaction_number=transaction,
        version=version,
    )
    return _document(_written(whole, issued))


def _written(answer: Business, issued: str) -> str:
    """Return the Response."""
    form = answer.pack.response
    return _class(form.names[-1], _response(answer, issued), f' xmlns="{form.namespace}"')


def _document(root: str) -> str:
    return f"<?xml version='1.0' encoding='UTF-8'?>\n{root}\n"


def _wrapped(answer: Business, response: str, ours: str, theirs: str) -> str:
    """Return a Response in the wrapper that its pack gives it; it stands last in the class that holds it."""
    form = answer.pack.response
    said = {
        "id": answer.id, "reference": answer.transmission, "test": "true" if answer.test else "false",
        "sender": ours, "recipient": theirs, "version": answer.pack.version,
    }  # fmt: skip
    wrapper: dict[str, Any] = {}
    for path, text in (*form.constants.items(), ("/".join(form.names[1:]), "")):
        *above, last = path.split("/")
        here = wrapper
        for name in above:
            here = here.setdefault(name, {})
        here[last] = _element(last, text.format(**said)) if path in form.constants else response
    return _class(form.names[0], _nested(wrapper), f' xmlns="{form.around}"')


def _nested(inside: Mapping[str, Any]) -> Iterator[str]:
    """Yield the classes and elements inside one."""
    for name, each in inside.items():
        yield each if isinstance(each, str) else _class(name, _nested(each))


def _class(name: str, inner: Iterable[str], attributes: str = "") -> str:
    """Return a class with what stands inside it, each on lines of its own and two blanks further in."""
    lines = "\n".join(inner).replace("\n", "\n  ")  # no text holds a line's end: control characters are escaped
    return f"<{name}{attributes}>\n  {lines}\n</{name}>"


def _element(name: str, text: str, attributes: str = "") -> str:
    """Return an element; its attributes are codes, nothing of the sender's."""
    text = _escaped(text)
    return f"<{name}{attributes}>{text}</{name}>" if text else f"<{name}{attributes}/>"


def _escaped(text: str) -> str:
    if "&" in text or "<" in text or ">" in text:
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text


def _response(answer: Business, when: str) -> Iterator[str]:
    """Yield what stands in the Response."""
    words, codes = f' languageID="{answer.language}"', answer.pack.answers.xml
    issued = _moment(when, "304")
    yield _element("FunctionCode", codes.message_function)
    yield _element("FunctionalReferenceID", answer.id)
    yield _class("IssueDateTime", issued)
    if codes.status_text:
        yield _statement(codes.status_text, text=answer.kind.text.speak(answer.language), words=words)
    if answer.transmission:
        yield _statement(codes.transmission_reference, text=answer.transmission)
    if answer.test and codes.test:
        yield _statement(codes.test, code="1")
    if answer.total and codes.items:
        yield _statement(codes.items, code=str(answer.total))
    for ordinal, item in enumerate(answer.items if codes.finding_details else (), 1):
        text = "; ".join(item.details)
        about = [PointerStep(codes.response_section, None, None), PointerStep(codes.error_section, ordinal, None)]
        yield _statement(codes.finding_details, code=item.severity, text=text, words=words, about=about)
    for remark in answer.remarks if codes.remark else ():
        about = [*pointer_steps(answer.pack.pointer(Address("", remark.invoice, remark.line)))]
        yield _statement(codes.remark, text=remark.text, words=words, about=about)
    for item in answer.items:
        description = _element("Description", item.text[:TEXT], words)
        yield _class("Error", [description, _element("ValidationCode", item.code), *map(_pointer, item.pointer)])
    yield _class("Status", [_class("EffectiveDateTime", issued), _element("NameCode", answer.kind.status)])
    declaration = [*_declaration(answer)]
    if declaration:
        yield _class("Declaration", declaration)


def _statement(
    type_code: str, *, code: str = "", text: str = "", words: str = "", about: Iterable[PointerStep] = ()
) -> str:
    """Return an AdditionalInformation."""
    inner = [_element("StatementCode", code)] if code else []
    if text:
        inner.append(_element("StatementDescription", text[:TEXT], words))
    return _class("AdditionalInformation", [*inner, _element("StatementTypeCode", type_code), *map(_pointer, about)])


def _pointer(step: PointerStep) -> str:
    """Return the Pointer for one step of the chain."""
    sequence = [_element("SequenceNumeric", str(step.sequence))] if step.sequence else []
    tag = [_element("TagID", step.tag)] if step.tag else []
    return _class("Pointer", [*sequence, _element("DocumentSectionCode", step.section), *tag])


def _declaration(answer: Business) -> Iterator[str]:
    """Yield what identifies the declaration and, once assessed, its duties and taxes."""
    reference = answer.reference or answer.message
    if reference:
        yield _element("FunctionalReferenceID", reference[:REFERENCE])
    if answer.transaction_number:
        yield _element("ID", answer.transaction_number)
    if answer.version:
        yield _element("VersionID", answer.version)
    result = answer.result
    if result and result.lines:
        yield from _totals(result, answer.pack.answers.duties, answer.pack.answers.xml)
        for invoice, lines in groupby(result.lines, key=lambda line: line.invoice):
            yield _class("GoodsShipment", [_element("SequenceNumeric", str(invoice)), *_items(answer, lines)])


def _items(answer: Business, lines: Iterable[AssessedLine]) -> Iterator[str]:
    """Yield each line's duties and taxes, under its sender's own number."""
    for line in lines:
        own = duties(line.amounts, answer.pack.answers.duties, line.sima_code)
        commodity = _class("Commodity", [_duty(duty) for duty in own])
        number = str(answer.called[line.invoice, line.line])
        yield _class("GovernmentAgencyGoodsItem", [_element("SequenceNumeric", number), commodity])


def _totals(result: AssessmentResult, types: DutyCodes, codes: XmlCodes) -> Iterator[str]:
    """Yield the totals: value for duty, each kind charged, and all together with the payment due date."""
    totals = result.totals
    base = _amount("AdValoremTaxBaseAmount", totals.value_for_duty)
    if codes.value_for_duty:
        yield _class("DutyTaxFee", [base, _element("TypeCode", codes.value_for_duty)])
    for duty in duties(totals, types):
        due = result.payment_due if duty.type == types.total else None
        yield _duty(duty, [_class("DueDateTime", _moment(day(due), "102"))] if due else [])


def _duty(duty: Duty, due: Iterable[str] = ()) -> str:
    """Return one DutyTaxFee."""
    base = [_amount("AdValoremTaxBaseAmount", duty.base)] if duty.base is not None else []
    regime = [_element("DutyRegimeCode", duty.regime)] if duty.regime else []
    payment = _class("Payment", [_amount("TaxAssessedAmount", duty.amount), *due])
    return _class("DutyTaxFee", [*base, *regime, _element("TypeCode", duty.type), payment])


def _amount(name: str, amount: object) -> str:
    """Return an amount of Canadian dollars."""
    return _element(name, str(amount), ' currencyID="CAD"')


def _moment(text: str, code: str) -> list[str]:
    """Return what stands in a date element; the code is UN 2379's."""
    return [_element("DateTimeString", text, f' formatCode="{code}"')]
