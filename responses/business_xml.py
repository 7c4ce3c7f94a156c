"""Business answers to XML senders: a WCO Response, held to the pack's response schema by the tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from types import MappingProxyType
from typing import NamedTuple

from gateway.model import AssessedLine, AssessmentResult
from responses.business import Business, Duty, Step, day, duties, moment, pointer_steps

CONTENT_TYPE = "application/xml"

TEXT = 512  # characters of a statement or description


class Node(NamedTuple):
    """A class or element: its name, then its text, or what stands inside it in order; attributes where it has any."""

    name: str
    content: str | Iterable[Node]
    attributes: Mapping[str, str] = MappingProxyType({})


def write(answer: Business) -> bytes:
    """Return the Response as UTF-8 XML, its elements in the order of the WCO Data Model."""
    root = Node("Response", _response(answer), {"xmlns": answer.pack.response_namespace})
    lines = ["<?xml version='1.0' encoding='UTF-8'?>"]
    _lay_out(root, "", lines)
    return ("\n".join(lines) + "\n").encode()


def _lay_out(node: Node, indent: str, lines: list[str]) -> None:
    """Append the lines that a node takes, what stands inside it two blanks further in."""
    name, content, attributes = node
    tag = name
    for attribute, value in attributes.items():
        tag += f' {attribute}="{value}"'  # codes and a namespace, nothing of the sender's
    if isinstance(content, str):
        lines.append(f"{indent}<{tag}>{_escaped(content)}</{name}>" if content else f"{indent}<{tag}/>")
        return
    lines.append(f"{indent}<{tag}>")
    for inner in content:
        _lay_out(inner, indent + "  ", lines)
    lines.append(f"{indent}</{name}>")


def _escaped(text: str) -> str:
    """Return the text with the signs of markup written out; control characters are gone before (`printable`)."""
    if "&" in text or "<" in text or ">" in text:
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text


def _response(answer: Business) -> Iterator[Node]:
    """Yield what stands in the Response."""
    words = {"languageID": answer.language}
    issued = _moment(moment(answer.issued), "304")
    yield Node("FunctionCode", "11")
    yield Node("FunctionalReferenceID", answer.id)
    yield Node("IssueDateTime", issued)
    yield Node("AdditionalInformation", _statement("AAP", text=answer.kind.text.speak(answer.language), words=words))
    if answer.transmission:
        yield Node("AdditionalInformation", _statement("INO", text=answer.transmission))
    if answer.test:
        yield Node("AdditionalInformation", _statement("TST", code="1"))
    if answer.total:
        yield Node("AdditionalInformation", _statement("CNT", code=str(answer.total)))
    for ordinal, problem in enumerate(answer.problems, 1):
        text = "; ".join(problem.details)
        about = [Step("07B", None, None), Step("53A", ordinal, None)]
        yield Node(
            "AdditionalInformation", _statement("ACB", code=problem.severity, text=text, words=words, about=about)
        )
    for remark in answer.remarks:
        about = [*pointer_steps(f"42A/67A[{remark.invoice}]/68A[{remark.line}]")]
        yield Node("AdditionalInformation", _statement("REM", text=remark.text, words=words, about=about))
    for problem in answer.problems:
        description = Node("Description", problem.text[:TEXT], words)
        yield Node("Error", [description, Node("ValidationCode", problem.code), *_pointers(problem.pointer)])
    yield Node("Status", [Node("EffectiveDateTime", issued), Node("NameCode", answer.kind.status)])
    declaration = [*_declaration(answer)]
    if declaration:
        yield Node("Declaration", declaration)


def _statement(
    type_code: str, *, code: str = "", text: str = "", words: dict[str, str] | None = None, about: Iterable[Step] = ()
) -> list[Node]:
    """Return what stands in an AdditionalInformation."""
    nodes: list[Node] = [Node("StatementCode", code)] if code else []
    if text:
        nodes.append(Node("StatementDescription", text[:TEXT], words or {}))
    return [*nodes, Node("StatementTypeCode", type_code), *_pointers(about)]


def _pointers(steps: Iterable[Step]) -> Iterator[Node]:
    """Yield one Pointer for each step of the chain."""
    for step in steps:
        sequence: list[Node] = [Node("SequenceNumeric", str(step.sequence))] if step.sequence else []
        tag: list[Node] = [Node("TagID", step.tag)] if step.tag else []
        yield Node("Pointer", [*sequence, Node("DocumentSectionCode", step.section), *tag])


def _declaration(answer: Business) -> Iterator[Node]:
    """Yield what identifies the declaration and, once assessed, its duties and taxes."""
    reference = answer.reference or answer.message
    if reference:
        yield Node("FunctionalReferenceID", reference[:35])
    if answer.transaction_number:
        yield Node("ID", answer.transaction_number)
    if answer.version:
        yield Node("VersionID", answer.version)
    result = answer.result
    if result and result.lines:
        yield from _totals(result)
        for invoice, lines in groupby(result.lines, key=lambda line: line.invoice):
            yield Node("GoodsShipment", [Node("SequenceNumeric", str(invoice)), *map(_item, lines)])


def _item(line: AssessedLine) -> Node:
    """Return one line's duties and taxes."""
    commodity = Node("Commodity", [_duty(duty) for duty in duties(line.amounts, line.sima_code)])
    return Node("GovernmentAgencyGoodsItem", [Node("SequenceNumeric", str(line.line)), commodity])


def _totals(result: AssessmentResult) -> Iterator[Node]:
    """Yield the totals: value for duty, each kind charged, and all together with the payment due date."""
    totals = result.totals
    yield Node("DutyTaxFee", [_amount("AdValoremTaxBaseAmount", totals.value_for_duty), Node("TypeCode", "VFD")])
    for duty in duties(totals):
        due = result.payment_due if duty.type == "TOT" else None
        yield _duty(duty, [Node("DueDateTime", _moment(day(due), "102"))] if due else [])


def _duty(duty: Duty, due: Iterable[Node] = ()) -> Node:
    """Return one DutyTaxFee."""
    base: list[Node] = [_amount("AdValoremTaxBaseAmount", duty.base)] if duty.base is not None else []
    regime: list[Node] = [Node("DutyRegimeCode", duty.regime)] if duty.regime else []
    payment = Node("Payment", [_amount("TaxAssessedAmount", duty.amount), *due])
    return Node("DutyTaxFee", [*base, *regime, Node("TypeCode", duty.type), payment])


def _amount(name: str, amount: object) -> Node:
    """Return an amount of Canadian dollars."""
    return Node(name, str(amount), {"currencyID": "CAD"})


def _moment(text: str, code: str) -> list[Node]:
    """Return what stands in a date element; the code is UN 2379's."""
    return [Node("DateTimeString", text, {"formatCode": code})]
