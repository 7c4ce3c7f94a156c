"""The assessment contract and the reference engine: published examples, sums, outcomes, hostile results."""

import json
import unicodedata
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.assessment import Amounts
from core.declaration import Commodity, Declaration, Invoice, MessageType, Nature, Unreadable, VersionFact
from core.envelope import Envelope
from core.errors import GatewayError
from core.transmission import Judged, Message, Syntax, Verdict
from gateway.engine.assess import assess, load_rates
from routing.assessment import build_request, compare, read_request, read_result, write_result

NOW = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)
RATES = load_rates()
MESSAGE_ID = "0123456789abcdef" * 2
LINE = {
    "line_number": "1",
    "classification": "7308900000",
    "tariff_treatment": "02",
    "direct_shipment_date": date(2026, 11, 2),
    "value_for_currency_conversion": Decimal("150.00"),
    "currency": "CAD",
}


def judged(*lines, nature=Nature.ORIGINAL, test=False, reference="REF-1"):
    kind = {Nature.ORIGINAL: MessageType.DECLARATION, Nature.WITHDRAWAL: MessageType.WITHDRAW}.get(
        nature, MessageType.CORRECTION
    )
    values = {"transaction_number": "12345000000012", "version": "00001", "functional_reference": reference}
    declaration = Declaration(values, invoices=(Invoice({}, commodities=tuple(Commodity(line) for line in lines)),))
    effect = VersionFact(1, "maple", nature, "accepted", declaration, NOW, date(2026, 12, 1))
    message = Message(1, Syntax.XML, kind, Envelope(test=test), "chapter24", declaration, (), document=None)
    return Judged(message, Verdict.ACCEPTED, (), nature, effect)


def request(*lines, **facts) -> dict:
    body = build_request(judged(*lines, **facts), message_id=MESSAGE_ID, partner="maple", requested_at=NOW)
    return read_request(body)


def result(*lines, **facts):
    return read_result(write_result(assess(request(*lines, **facts), RATES).result))


def amounts(**given):
    return {name: Decimal(text) for name, text in given.items()}


def of(values: Amounts, names) -> dict:
    return {name: getattr(values, name) for name in names}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            {"sima_subject": "S", "sima_measure": "AE", "surtax_subject": "Y", "surtax_code": "ST25"},
            amounts(
                value_for_duty="150.00",
                customs_duty="7.50",
                anti_dumping="34.00",
                surtax="37.50",
                value_for_tax="229.00",
                gst="11.45",
                total="90.45",
            ),
        ),
        (
            {"tariff_treatment": "10", "surtax_subject": "Y", "surtax_code": "ST25"},
            amounts(value_for_duty="150.00", customs_duty="0.00", surtax="37.50"),
        ),
        (
            {"classification": "8708999990", "currency": "USD", "value_for_currency_conversion": Decimal(100)},
            amounts(value_for_duty="115.00", customs_duty="4.60", value_for_tax="119.60", gst="5.98", total="10.58"),
        ),
    ],
    ids=["surtax and anti-dumping", "surtax only", "exchange, duty and GST"],
)
def test_the_published_examples(line, expected):
    answer = result(LINE | line)
    assert answer.outcome == "approved"
    assert of(answer.lines[0].amounts, expected) == expected
    assert answer.totals == answer.lines[0].amounts


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({"classification": "2204210000", "quantity": Decimal("10")}, amounts(customs_duty="18.70")),
        ({"classification": "0406100000", "quantity": Decimal("2")}, amounts(customs_duty="20.00")),
        ({"tariff_treatment": "03"}, amounts(customs_duty="52.50")),
        ({"classification": "6403190000", "tariff_treatment": "31"}, amounts(customs_duty="0.00")),
        ({"excise_code": "C01", "quantity": Decimal("3")}, amounts(excise_duty="3.00", excise_tax="0.00")),
        ({"excise_code": "T10"}, amounts(excise_tax="15.00", excise_duty="0.00")),
        ({"excise_code": "C00"}, amounts(excise_duty="0.00")),
        ({"sima_subject": "S", "sima_measure": "CPF"}, amounts(anti_dumping="15.00", countervailing="4.50")),
        ({"sima_subject": "U", "sima_measure": "AE"}, amounts(anti_dumping="0.00")),
        (
            {"sima_subject": "S", "sima_measure": "AE", "sima_self_declared": "Y", "sima_amount": "40"},
            amounts(anti_dumping="40.00"),
        ),
        ({"sima_subject": "S", "sima_measure": "AE", "sima_amount": "40"}, amounts(anti_dumping="34.00")),
        ({"surtax_subject": "N", "surtax_code": "ST25"}, amounts(surtax="0.00")),
        ({"safeguard_code": "SF10"}, amounts(safeguard="15.00")),
        ({"gst_code": "48"}, amounts(gst="0.00")),
        ({"value_for_currency_conversion": Decimal("0.10")}, amounts(customs_duty="0.01", gst="0.01")),  # 0.005 goes up
    ],
)
def test_each_kind_of_charge(line, expected):
    assert of(result(LINE | line).totals, expected) == expected


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ({"currency": "XAF"}, "ENG-0001", "XAF"),
        ({"direct_shipment_date": date(2019, 12, 31)}, "ENG-0001", "CAD"),
        ({"surtax_code": "ST99"}, "ENG-0003", "ST99"),
        (
            {"sima_subject": "S", "sima_measure": "AE", "sima_self_declared": "Y", "sima_amount": "33.99"},
            "ENG-0008",
            "33.99",
        ),
        ({"sima_subject": "S", "sima_measure": "??"}, "ENG-0003", "??"),
        ({"gst_code": "99"}, "ENG-0003", "99"),
        ({"excise_code": "C01"}, "ENG-0004", "quantity"),
        ({"tariff_treatment": Unreadable("2")}, "ENG-0004", "tariff_treatment"),
    ],
)
def test_what_cannot_be_assessed_is_refused_with_line_and_reason(line, code, words):
    answer = result(LINE, LINE | line)
    assert answer.outcome == "refused"
    (reason,) = answer.reasons
    assert (reason.code, reason.invoice, reason.line) == (code, 1, 2)
    assert words in reason.text.en
    assert words in reason.text.fr
    assert answer.lines == ()
    assert not any(answer.totals)


def test_amounts_that_no_answer_could_carry_are_refused():
    answer = result(LINE | {"value_for_currency_conversion": Decimal("9999999999999.999")})
    assert [reason.code for reason in answer.reasons] == ["ENG-0007"]


def test_all_reasons_are_told():
    answer = result(LINE | {"currency": "XAF"}, LINE, LINE | {"surtax_code": "ST99"})
    assert [(reason.code, reason.line) for reason in answer.reasons] == [("ENG-0001", 1), ("ENG-0003", 3)]


@pytest.mark.parametrize(
    ("nature", "outcome"),
    [
        (Nature.ORIGINAL, "approved"),
        (Nature.CORRECTION, "approved"),
        (Nature.ADJUSTMENT, "pending"),
        (Nature.WITHDRAWAL, "pending"),
    ],
)
def test_the_outcome_follows_the_nature(nature, outcome):
    answer = result(LINE, nature=nature)
    assert answer.outcome == outcome
    assert answer.payment_due == date(2026, 12, 1)
    assert bool(answer.reasons) is (outcome == "pending")


@pytest.mark.parametrize(
    ("reference", "outcome", "delay"),
    [
        ("A TEST-REFUSE", "refused", 0),
        ("TEST-PENDING-7", "pending", 0),
        ("TEST-LATE-30", "approved", 30),
        ("TEST-LATE-9999", "approved", 3600),
        ("TEST-APPROVE", "approved", 0),
        ("TEST-OTHER", "approved", 0),
    ],
)
def test_test_data_choose_the_outcome_of_tests_only(reference, outcome, delay):
    chosen = assess(request(LINE, test=True, reference=reference), RATES)
    assert chosen.result is not None
    assert (chosen.result["outcome"], chosen.delay) == (outcome, delay)
    production = assess(request(LINE, reference=reference), RATES)
    assert production.result is not None
    assert (production.result["outcome"], production.delay) == ("approved", 0)


def test_test_data_may_approve_an_adjustment_and_keep_the_engine_silent():
    approved = assess(request(LINE, nature=Nature.ADJUSTMENT, test=True, reference="TEST-APPROVE"), RATES)
    assert approved.result is not None
    assert approved.result["outcome"] == "approved"
    assert assess(request(LINE, test=True, reference="TEST-SILENT"), RATES).result is None
    assert assess(request(LINE, reference="TEST-SILENT"), RATES).result is not None


LINES = st.fixed_dictionaries(
    {
        "classification": st.sampled_from(["7308900000", "8708999990", "2204210000", "0406100000"]),
        "tariff_treatment": st.sampled_from(["02", "03", "10", "31"]),
        "direct_shipment_date": st.dates(date(2020, 1, 1), date(2030, 1, 1)),
        "value_for_currency_conversion": st.decimals(0, 999_999_999_999, places=3),
        "currency": st.sampled_from(["CAD", "USD", "JPY"]),
        "quantity": st.decimals(0, 999_999, places=3),
    },
    optional={
        "sima_measure": st.sampled_from(["AE", "COR", "RB3", "OCTG3", "CPF"]),
        "surtax_code": st.sampled_from(["ST15", "ST25", "ST50", "ST100"]),
        "safeguard_code": st.sampled_from(["SF10", "SF20"]),
        "excise_code": st.sampled_from(["C00", "C01", "T10"]),
        "gst_code": st.sampled_from(["48"]),
    },
)


@given(st.lists(LINES, min_size=1, max_size=4))
def test_lines_and_totals_add_up(lines):
    answer = result(*lines)
    assert answer.outcome == "approved"
    columns = zip(*(line.amounts for line in answer.lines), strict=True)
    assert answer.totals == Amounts(*(sum(column) for column in columns))
    for given_line, line in zip(lines, answer.lines, strict=True):
        a = line.amounts
        charges = sum((a.customs_duty, a.anti_dumping, a.countervailing, a.surtax, a.safeguard))
        assert a.value_for_tax == a.value_for_duty + charges + a.excise_duty + a.excise_tax
        assert a.total == a.value_for_tax - a.value_for_duty + a.gst
        rate = Decimal(0) if "gst_code" in given_line else Decimal("0.05")
        assert abs(a.gst - a.value_for_tax * rate) <= Decimal("0.005")
        assert all(amount == amount.quantize(Decimal("0.01")) and amount >= 0 for amount in a)
        surtax = Decimal(given_line.get("surtax_code", "ST0")[2:]) / 100
        assert abs(a.surtax - a.value_for_duty * surtax) <= Decimal("0.005")


def test_a_request_is_the_same_bytes_each_time_and_says_what_was_declared():
    first, again = (
        build_request(judged(LINE), message_id=MESSAGE_ID, partner="maple", requested_at=NOW) for _ in range(2)
    )
    assert first == again
    content = read_request(first)
    assert content["reference"] == "REF-1"
    assert content["payment_due"] == "2026-12-01"
    assert content["declaration"]["invoices"][0]["lines"][0]["elements"]["value_for_currency_conversion"] == "150.00"


def test_an_element_that_repeats_is_an_array():
    line = Commodity(LINE | {"narrative": "steel"}, {"narrative": ("painted",)})
    kept = judged(LINE)
    declaration = replace(kept.message.declaration, invoices=(Invoice({}, commodities=(line,)),))
    kept = replace(kept, message=replace(kept.message, declaration=declaration))
    content = read_request(build_request(kept, message_id=MESSAGE_ID, partner="maple", requested_at=NOW))
    assert content["declaration"]["invoices"][0]["lines"][0]["elements"]["narrative"] == ["steel", "painted"]


def test_what_was_not_accepted_makes_no_request():
    with pytest.raises(GatewayError, match="not accepted"):
        build_request(replace(judged(LINE), nature=None), message_id=MESSAGE_ID, partner="maple", requested_at=NOW)


GOOD = assess(request(LINE), RATES).result or {}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"\xff\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "the whole"),
        (json.dumps(GOOD | {"outcome": "perhaps"}).encode(), "outcome"),
        (json.dumps(GOOD | {"outcome": "refused"}).encode(), "reasons"),
        (json.dumps(GOOD | {"payment_due": "2026-02-30"}).encode(), "payment_due"),
        (json.dumps(GOOD | {"totals": GOOD["totals"] | {"gst": 11.45}}).encode(), "totals.gst"),
        (json.dumps(GOOD | {"totals": GOOD["totals"] | {"gst": "NaN"}}).encode(), "totals.gst"),
        (json.dumps(GOOD | {"surprise": 1}).encode(), "surprise"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "message_id"}).encode(), "message_id"),
    ],
)
def test_a_bad_result_is_one_clear_line(body, words):
    with pytest.raises(GatewayError) as caught:
        read_result(body)
    line = str(caught.value)
    assert line.startswith("assessment result: ")
    assert "\n" not in line
    assert words in line
    assert len(line) < 400


@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists).map(
        lambda value: json.dumps(value).encode()
    )
)
def test_no_bytes_break_the_reader(body):
    with pytest.raises(GatewayError):
        read_result(body)


def test_rates_that_cannot_be_used_are_told_with_file_and_row(tmp_path):
    (tmp_path / "exchange_rates.csv").write_text("currency,rate,valid_from,valid_to\nUSD,1.x,2020-01-01,\n")
    with pytest.raises(GatewayError, match=r"exchange_rates\.csv, row 2"):
        load_rates(tmp_path)


ASKED = build_request(judged(LINE, LINE), message_id=MESSAGE_ID, partner="maple", requested_at=NOW)
WITHDRAWN = build_request(
    judged(LINE, nature=Nature.WITHDRAWAL), message_id=MESSAGE_ID, partner="maple", requested_at=NOW
)
ANSWER = assess(read_request(ASKED), RATES).result or {}
ZERO = dict.fromkeys(Amounts._fields, "0.00")
WHY = {"code": "X-1", "text_en": "no", "text_fr": "non"}


def compared(**changes) -> None:
    compare(read_result(json.dumps(ANSWER | changes).encode()), ASKED)


def test_what_fits_its_request_passes():
    compared()
    compared(outcome="refused", lines=[], totals=ZERO, reasons=[WHY, WHY | {"invoice": 1}])
    compared(outcome="pending", reasons=[WHY | {"invoice": 1, "line": 2}], payment_due="2035-01-01")
    nothing = ANSWER | {"lines": [], "totals": ZERO}
    compare(read_result(json.dumps(nothing).encode()), WITHDRAWN)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"transaction_number": "99999999999999"}, "transaction_number"),
        ({"version": "00002"}, "version"),
        ({"lines": ANSWER["lines"][:1]}, "lines"),
        ({"lines": [ANSWER["lines"][0], ANSWER["lines"][0]], "totals": ZERO}, "lines"),
        ({"lines": [*ANSWER["lines"], ANSWER["lines"][0]]}, "lines"),
        (
            {"lines": [ANSWER["lines"][0], ANSWER["lines"][1] | {"invoice": 2, "line": 1}]},
            "has no line 1",
        ),
        ({"lines": [], "totals": ZERO}, "lines"),
        ({"totals": ANSWER["totals"] | {"gst": "999999999.99"}}, r"totals\.gst"),
        ({"lines": [], "outcome": "pending"}, "totals"),
        ({"outcome": "refused", "reasons": [WHY | {"invoice": 2}]}, "invoice 2"),
        ({"outcome": "refused", "reasons": [WHY | {"line": 1}]}, "invoice 0"),
        ({"outcome": "refused", "reasons": [WHY | {"invoice": 1, "line": 3}]}, "line 3"),
        ({"payment_due": "0001-01-01"}, "payment_due"),
        ({"payment_due": "9999-12-31"}, "payment_due"),
    ],
    ids=str,
)
def test_a_result_that_does_not_fit_its_request_is_told(changes, words):
    with pytest.raises(GatewayError, match=words) as caught:
        compared(**changes)
    assert str(caught.value).startswith("assessment result: does not fit its request: ")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "changes",
    [
        {"transaction_number": ANSWER["transaction_number"] + "\n"},
        {"lines": [line | {"sima_code": "51\n"} for line in ANSWER["lines"]]},
        {"totals": ANSWER["totals"] | {"gst": "1.00\n"}},
        {"outcome": "refused", "reasons": [WHY | {"invoice": 10**400}]},
        {"\x1b]0;mine\x07": 1},
        {"outcome": "\x1b[2J"},
    ],
    ids=repr,
)
def test_a_result_out_of_bounds_is_one_printable_line(changes):
    with pytest.raises(GatewayError) as caught:
        read_result(json.dumps(ANSWER | changes).encode())
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@given(st.text(min_size=1, max_size=8))
def test_what_the_engine_says_is_printable(text):
    why = {"code": text, "text_en": text, "text_fr": text}
    (reason,) = read_result(json.dumps(ANSWER | {"outcome": "refused", "reasons": [why]}).encode()).reasons
    for said in (reason.code, *reason.text):
        assert all(c.isprintable() or unicodedata.category(c) == "Zs" for c in said)
    assert len(reason.code) == len(text)


def test_numbers_that_json_writes_as_fractions_are_whole():
    line = ANSWER["lines"][0] | {"invoice": 1.0, "line": 1.0}
    (first, _) = read_result(json.dumps(ANSWER | {"lines": [line, ANSWER["lines"][1]]}).encode()).lines
    assert (str(first.invoice), str(first.line)) == ("1", "1")
