"""Lines are called by the sender's own numbers, in requests, results and answers, in both syntaxes (DECISIONS D61)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from core.declaration import Commodity, Declaration, Invoice
from core.envelope import Envelope
from core.register import Facts, Register
from core.transmission import Outgoing, Received
from gateway import pipeline
from gateway.desk.trial import Trial
from gateway.queues import Letter
from gateway.trade.writer import write_edifact, write_xml
from routing.assessment import write_result
from routing.routes import RESULTS
from tests.support.answers import NS
from tests.support.answers import segments as segments_of
from tests.support.builders import CORRECTION, DECLARATION, NOW, partner, valid_change, valid_declaration, with_lines
from tests.support.house import House, house
from tests.support.way import NOW as SAMPLES_NOW
from tests.support.way import PARTNERS, PLANS, SAMPLES

SAID = Envelope("BROKERA", "CARMGATEWAY", "REF1")
WRITERS = {
    "edifact": lambda declaration, pack: write_edifact([declaration], pack, SAID, prepared=NOW),
    "xml": lambda declaration, pack: write_xml(declaration, pack, SAID),
}
Writer = Callable[[Declaration, Any], bytes]
Amounts = dict[tuple[int, int], str]  # of each line its value for duty, by what its invoice and it are called


@pytest.fixture(params=WRITERS)
def write(request: pytest.FixtureRequest) -> Writer:
    return WRITERS[request.param]


def numbered(declaration: Declaration, *invoices: Iterable[int | None]) -> Declaration:
    """Return the declaration with these line numbers, invoice by invoice; no two lines have one value."""
    rows, value = dict(declaration.invoices[0].commodities[0].values), 0
    found = []
    for numbers in invoices:
        lines = []
        for number in numbers:
            value += 100
            own = None if number is None else Decimal(number)
            given = {**rows, "line_number": own, "value_for_currency_conversion": Decimal(value)}
            lines.append(Commodity({name: text for name, text in given.items() if text is not None}))
        total = sum((line.values["value_for_currency_conversion"] for line in lines), Decimal(0))  # type: ignore[misc]
        found.append(Invoice({**declaration.invoices[0].values, "invoice_value": total}, commodities=tuple(lines)))
    return Declaration(declaration.values, invoices=tuple(found))


def told(answer: Outgoing) -> Amounts:
    """Return the value for duty of each line that an answer names."""
    if answer.content_type == "application/xml":
        root = etree.fromstring(answer.body)
        return {
            (int(invoice.findtext("r:SequenceNumeric", "", NS)), int(line.findtext("r:SequenceNumeric", "", NS))): str(
                line.findtext(".//r:AdValoremTaxBaseAmount", "", NS)
            )
            for invoice in root.iterfind("r:Declaration/r:GoodsShipment", NS)
            for line in invoice.iterfind("r:GovernmentAgencyGoodsItem", NS)
        }
    found: Amounts = {}
    invoice = line = 0
    for tag, *elements in segments_of(answer.body):
        if tag == "SEQ":
            invoice = int(elements[1])
        elif tag == "LIN":
            line = int(elements[0])
        elif tag == "MOA" and line and elements[0][0] == "40":
            found[invoice, line] = elements[0][1]
    return found


def assessed(body: bytes, trial: Trial | None = None) -> Amounts:
    came = (trial or Trial(PLANS, NOW)).send("1" * 32, body, partner())
    assert came.verdict == "accepted", came.findings
    (answer,) = [item for item in came.answers if item.kind in ("assessed", "pending")]
    return told(answer)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([[2, 3]], {(1, 2): "100.00", (1, 3): "200.00"}),
        ([[10, 20]], {(1, 10): "100.00", (1, 20): "200.00"}),
        ([[2, 1]], {(1, 2): "100.00", (1, 1): "200.00"}),
        ([[99999, 1, 500]], {(1, 99999): "100.00", (1, 1): "200.00", (1, 500): "300.00"}),
        ([[1, 2], [3, 4]], {(1, 1): "100.00", (1, 2): "200.00", (2, 3): "300.00", (2, 4): "400.00"}),
        ([[10, 20], [20, 10]], {(1, 10): "100.00", (1, 20): "200.00", (2, 20): "300.00", (2, 10): "400.00"}),
        ([[1, 2], [1, 2]], {(1, 1): "100.00", (1, 2): "200.00", (2, 1): "300.00", (2, 2): "400.00"}),
    ],
    ids=["from 2", "in tens", "downwards", "anyhow", "over invoices", "each invoice its own", "from 1 in each"],
)
def test_an_answer_names_lines_by_the_senders_own_numbers(
    write: Writer, numbers: list[list[int]], expected: Amounts
) -> None:
    assert assessed(write(numbered(valid_declaration(), *numbers), DECLARATION)) == expected


def request_of(declaration: Declaration, write: Writer) -> dict[str, Any]:
    outcome = pipeline.handle(
        Received("r", "broker-a", write(declaration, DECLARATION), NOW), Facts(partner(), Register()), PLANS
    )
    (request,) = [item for item in outcome.outgoing if item.kind == "request"]
    return dict(json.loads(request.body))


def test_a_request_names_invoices_and_lines(write: Writer) -> None:
    request = request_of(numbered(valid_declaration(), [10, 20], [30]), write)
    invoices = request["declaration"]["invoices"]
    assert request["contract"] == "1.1"
    assert [(each["number"], [line["number"] for line in each["lines"]]) for each in invoices] == [
        (1, [10, 20]),
        (2, [30]),
    ]


@pytest.mark.parametrize("numbers", [[5, 5], [None, 7], [7, None], [0, 7]], ids=["twice", "first", "last", "zero"])
def test_where_numbers_do_not_tell_lines_apart_all_of_the_invoice_go_by_position(numbers: list[int | None]) -> None:
    declaration = numbered(valid_declaration(), numbers, [30, 40])
    assert [invoice.line_numbers for invoice in declaration.invoices] == [(1, 2), (30, 40)]
    assert [declaration.line_number(*place) for place in ((1, 2), (2, 2), (2, 9), (3, 1))] == [2, 40, 9, 1]


@pytest.mark.parametrize("numbers", [[0, 1], [1, 0], [0]], ids=["from 0", "last", "alone"])
def test_lines_numbered_from_0_are_refused(write: Writer, numbers: list[int]) -> None:
    """By position the answer's line 2 would be the sender's line 1: the figures of another line."""
    came = Trial(PLANS, NOW).send("1" * 32, write(numbered(valid_declaration(), numbers), DECLARATION), partner())
    assert came.verdict == "refused"
    assert "CAD-0197" in came.findings


def test_a_correction_is_answered_by_its_own_numbers_not_by_those_on_file(write: Writer) -> None:
    trial = Trial(PLANS, NOW)
    assert assessed(write(numbered(valid_declaration(), [1, 2]), DECLARATION), trial) == {
        (1, 1): "100.00",
        (1, 2): "200.00",
    }
    changed = with_lines(numbered(valid_change(), [2, 10, 1]), {}, {}, {"value_for_currency_conversion": Decimal(100)})
    first, *others = changed.invoices
    total = {"invoice_value": Decimal(400)}
    changed = replace(changed, invoices=(replace(first, values={**first.values, **total}), *others))
    body = write(changed, CORRECTION).replace(b"REF1", b"REF2")
    came = trial.send("2" * 32, body, partner())
    assert came.verdict == "accepted", came.findings
    assert told(came.answers[-1]) == {(1, 2): "100.00", (1, 10): "200.00", (1, 1): "100.00"}


def swapped(name: str) -> bytes:
    """Return the sample of two lines, numbered 2 and 3."""
    body = (SAMPLES / name).read_bytes()
    return body.replace(b"LIN+2'", b"LIN+3'").replace(b"LIN+1'", b"LIN+2'")


def test_the_sample_with_lines_2_and_3_gets_each_line_its_own_amounts() -> None:
    trial = Trial(PLANS, SAMPLES_NOW)
    usual = told(
        trial.send("1" * 32, (SAMPLES / "originals/ab-two-lines.edi").read_bytes(), PARTNERS["maple"]).answers[-1]
    )
    moved = told(
        Trial(PLANS, SAMPLES_NOW).send("2" * 32, swapped("originals/ab-two-lines.edi"), PARTNERS["maple"]).answers[-1]
    )
    assert list(moved) == [(1, 2), (1, 3)]
    assert list(moved.values()) == list(usual.values())


# ------------------------------------------------------------------------------------------------ the engine's side


@pytest.fixture
def gateway(tmp_path: Path) -> Any:
    with house(tmp_path) as opened:
        yield opened


def answered(gateway: House, change: Callable[[Mapping[str, Any]], dict[str, Any]], *lines: int) -> list[Amounts]:
    """Send lines 2 and 3, let an engine answer about these lines, and return what the sender is told of them."""
    gateway.send("maple", swapped("originals/ab-two-lines.edi"))
    while gateway.receive() + gateway.work() + gateway.dispatch():
        pass
    (letter,) = gateway.taken("assessment.requests")
    request = json.loads(letter.body)
    nil = dict.fromkeys(
        ("value_for_duty", "customs_duty", "anti_dumping", "countervailing", "surtax", "safeguard", "excise_duty",
         "excise_tax", "value_for_tax", "gst", "total"), "0.00",
    )  # fmt: skip
    result = {
        "outcome": "approved", "payment_due": None, "reasons": [],
        "totals": nil | {"value_for_duty": f"{sum(lines)}.00"},
        **{name: request[name] for name in ("contract", "message_id", "transaction_number", "version")},
        "lines": [{"invoice": 1, "line": line, "amounts": nil | {"value_for_duty": f"{line}.00"}} for line in lines],
    }  # fmt: skip
    gateway.broker.publish([Letter("result", RESULTS, "application/json", write_result(change(result)))])
    gateway.settle_down()
    answers = [each for each in gateway.answers("maple") if each.headers["kind"] == "assessed"]
    return [told(Outgoing("", "assessed", "", "application/edifact", each.body)) for each in answers]


def test_a_result_comes_back_by_what_the_request_named(gateway: House) -> None:
    assert answered(gateway, dict, 3, 2) == [{(1, 2): "2.00", (1, 3): "3.00"}]


def test_a_request_of_the_former_version_is_settled_by_position(
    gateway: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that named no lines may be on its way while the gateway is brought up to date."""
    monkeypatch.setattr("routing.assessment.CONTRACT", "1.0")
    assert answered(gateway, dict, 1, 2) == [{(1, 2): "1.00", (1, 3): "2.00"}]


@pytest.mark.parametrize(("asked", "answer"), [("1.1", "1.0"), ("1.0", "1.1")])
def test_a_result_of_another_contract_than_its_request_is_parked(
    gateway: House, monkeypatch: pytest.MonkeyPatch, asked: str, answer: str
) -> None:
    """Lines 2 and 3 may be told by number or by position: which of the two is for the request to say."""
    monkeypatch.setattr("routing.assessment.CONTRACT", asked)
    lines = (1, 2) if answer == "1.0" else (2, 3)
    assert answered(gateway, lambda result: {**result, "contract": answer}, *lines) == []
    (row,) = gateway.journal.list_messages(channel="assessment")
    assert row["state"] == "parked"
    assert row["note"].endswith(f"does not fit its request: its contract is not {asked}, that of its request")


def test_a_result_about_a_line_that_the_request_had_not_is_parked(gateway: House) -> None:
    assert answered(gateway, dict, 1, 2) == []
    (row,) = gateway.journal.list_messages(channel="assessment")
    assert (row["state"], row["note"]) == (
        "parked",
        "assessment result: does not fit its request: invoice 1 of the request has no line 1",
    )


def test_what_the_engine_says_of_a_line_points_to_its_place_and_names_its_number(gateway: House) -> None:
    reason = {"code": "X-1", "text_en": "Line doubtful.", "text_fr": "Ligne douteuse.", "invoice": 1, "line": 3}
    answered(gateway, lambda result: {**result, "outcome": "pending", "reasons": [reason]})
    life = gateway.journal.show(gateway.journal.list_messages(channel="partner")[0]["id"])
    assert life is not None
    body = next(each["body"] for each in life["outbox"] if each["kind"] == "pending")
    found = segments_of(body)
    assert [elements for tag, *elements in found if tag == "LIN"] == [["3"]]
    assert [elements[1] for tag, *elements in found if tag == "ERP" and elements[0] == ["", "68A"]] == [["", "2"]]
