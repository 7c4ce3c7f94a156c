from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from core.declaration import Declaration, Invoice, MessageType, Nature, Unreadable, Value
from core.errors import SpecError
from core.findings import Address, Bilingual, Fault, Severity
from core.register import Facts, Register, effect_of
from core.specs import FindingText, Rule, Specs
from gateway.trade.breaking import faulty
from gateway.trade.maker import Maker
from routing.partners import load_partners
from tests.support.builders import (
    CORRECTION,
    DECLARATION,
    NOW,
    NUMBER,
    SPECS,
    facts,
    nature,
    ruled,
    valid_change,
    valid_declaration,
    version_fact,
    with_lines,
    withdraw_request,
)
from validators.elements import Dictionary, check_elements
from validators.rulebook import Rulebook

D, C, W = MessageType.DECLARATION, MessageType.CORRECTION, MessageType.WITHDRAW
TYPES = ("AB", "C", "F", "TT", "V", "10", "13", "20", "21", "22", "30")


def judge(kind: MessageType, declaration: Declaration, given: Facts, specs: Specs = SPECS) -> list[Fault]:
    pack = DECLARATION if kind is D else CORRECTION
    return [*check_elements(declaration, kind, Dictionary(pack, specs)), *ruled(kind, declaration, given, pack, specs)]


def original(cad_type: str = "AB", **changes: Value | None) -> tuple[MessageType, Declaration, Facts]:
    return D, valid_declaration(cad_type, **changes), facts()


def change(**changes: Value | None) -> tuple[MessageType, Declaration, Facts]:
    return C, valid_change(**changes), facts(version_fact(valid_declaration()))


def line_changed(**changes: Value | None) -> tuple[MessageType, Declaration, Facts]:
    """The reasons stand on the line, none above it."""
    changes = {"line_reason_code_1": "R5-00-COT", "reason_code_1": None, **changes}
    return C, valid_change(**changes), facts(version_fact(valid_declaration()))


def previous_on_lines_but_one() -> tuple[MessageType, Declaration, Facts]:
    declaration = valid_declaration("20", warehouse_transaction=None)
    given = {"line_previous_transaction": "12345000000023", "line_previous_line": Decimal(1)}
    return D, with_lines(declaration, given), facts()


def line_left_out() -> tuple[MessageType, Declaration, Facts]:
    return C, valid_change(lines=2, invoice_pointer=Decimal(1)), facts(version_fact(valid_declaration(lines=3)))


BAD_NUMBER, BAD_BN = "12345000000013", "123456789RM0001"
SIMA: dict[str, Value | None] = {
    "sima_subject": "S",
    "sima_measure": "CPF",
    "sima_price": Decimal(150),
    "sima_currency": "CAD",
    "sima_exporter": "EXP1",
}
FIRST = valid_declaration()
PARTNER = load_partners(Path(__file__).parents[2] / "samples/partners.toml")["maple"]


@pytest.mark.parametrize("rule", sorted({rule.id for pack in (DECLARATION, CORRECTION) for rule in pack.rules}))
def test_each_rule_has_a_message_that_breaks_it_alone(rule: str) -> None:
    """What breaks a rule stands in `breaks.csv`; here it is the checks alone that judge, without bytes."""
    sample = faulty(rule, Maker(random.Random(rule), SPECS, PARTNER, NOW.date()))[1]
    *before, last = sample.steps
    register, calendar = Register(), SPECS.calendar
    for step in before:
        assert judge(step.type, step.declaration, Facts(PARTNER, register), sample.specs) == []
        effect = effect_of(step.type, step.declaration, PARTNER.id, register, NOW, calendar)
        register = register.with_effect(effect).with_version(replace(effect, **step.remembered))
    found = judge(last.type, last.declaration, Facts(PARTNER, register), sample.specs)
    assert {fault.code for fault in found} == {rule}


@pytest.mark.parametrize("cad_type", TYPES)
def test_valid_messages_of_every_cad_type_pass_without_a_warning(cad_type: str) -> None:
    first = valid_declaration(cad_type)
    assert judge(D, first, facts()) == []
    assert judge(C, valid_change(cad_type), facts(version_fact(first))) == []
    assert judge(W, withdraw_request(), facts(version_fact(first))) == []


def test_what_goes_together_passes() -> None:
    assert judge(*original(**SIMA)) == []
    assert judge(*original(surtax_subject="Y", surtax_code="ST25")) == []
    assert judge(*original(tariff_code="9993")) == []
    assert judge(*original(special_authority="85-2955-1", export_place="CN")) == []
    assert judge(*change(reason_code_1="R2-74-1-TT", reason_code_2="R2-32-2.TC")) == []
    assert judge(*line_changed()) == []


def test_the_fault_is_at_the_line_and_shows_its_value() -> None:
    declaration = with_lines(valid_declaration(lines=3), {}, {"tariff_treatment": "30"})
    (fault,) = judge(D, declaration, facts())
    assert fault.address == Address("tariff_treatment", 1, 2)
    assert (fault.value, fault.expected, fault.details["origin"]) == ("30", "KR", "US")


def test_every_breach_of_a_message_is_found_at_once() -> None:
    declaration = valid_declaration(
        transaction_number=BAD_NUMBER, importer_bn=BAD_BN, unit="KGS", surtax_subject="Y", line_count=Decimal(9)
    )
    found = {fault.code for fault in judge(D, declaration, facts())}
    assert found == {"CAD-0101", "CAD-0111", "CAD-0155", "CAD-0180", "CAD-0192"}


def test_unreadable_elements_give_their_own_finding_and_no_follow_ups() -> None:
    changes = {
        name: Unreadable("?!")
        for name in ("transaction_number", "version", "importer_bn", "release_date", "invoice_value", "line_number")
    }
    changes |= {name: Unreadable("?!") for name in ("tariff_treatment", "unit", "value_for_currency_conversion")}
    assert {fault.code for fault in judge(*original(**changes))} == {"CAD-0002"}
    assert {fault.code for fault in judge(*change(**changes))} == {"CAD-0002"}


def test_a_previous_transaction_may_stand_on_each_line() -> None:
    kind, declaration, given = previous_on_lines_but_one()
    (fault,) = [each for each in judge(kind, declaration, given) if each.code == "CAD-0121"]
    assert fault.address == Address("line_previous_transaction", 1, 2)


def test_a_number_is_free_again_after_seven_years_and_three_months() -> None:
    def found(*accepted: int) -> list[str]:
        then = datetime(*accepted, 15, tzinfo=UTC)  # type: ignore[arg-type,misc]
        return [fault.code for fault in judge(D, valid_declaration(), facts(version_fact(FIRST, accepted_at=then)))]

    assert found(2019, 8, 24) == ["CAD-0201"]
    assert found(2019, 8, 23) == []


def test_a_version_that_the_engine_refused_may_be_sent_again() -> None:
    refused = version_fact(FIRST, status="refused")
    assert judge(D, valid_declaration(), facts(refused)) == []
    assert judge(C, valid_change(), facts(version_fact(FIRST), version_fact(valid_change(), status="refused"))) == []


def test_a_declaration_from_before_carm_may_be_changed_without_its_original() -> None:
    changed = valid_change(pre_carm="Y", cad_type="TT")
    assert judge(C, changed, facts()) == []
    assert nature(C, changed, facts()) is Nature.ADJUSTMENT


def test_a_missing_line_is_named() -> None:
    kind, declaration, given = line_left_out()
    (fault,) = judge(kind, declaration, given)
    assert (fault.value, fault.address, fault.details["classification"]) == ("3", Address("", 1, 0), "8431490000")


def test_lines_are_told_apart_by_invoice_where_numbers_begin_again() -> None:
    one = valid_declaration(lines=1)
    both = replace(one, invoices=(one.invoices[0], one.invoices[0]))
    changed = valid_change(lines=1, invoice_pointer=Decimal(1))
    other = replace(
        one.invoices[0].commodities[0], values={**one.invoices[0].commodities[0].values, "line_number": Decimal(2)}
    )
    shorter = replace(changed, invoices=(changed.invoices[0], Invoice(one.invoices[0].values, commodities=(other,))))
    empty = replace(changed, invoices=(changed.invoices[0], Invoice(one.invoices[0].values, commodities=())))
    same = replace(changed, invoices=(changed.invoices[0], one.invoices[0]))
    assert judge(C, same, facts(version_fact(both))) == []
    missing = [fault.address for fault in judge(C, shorter, facts(version_fact(both))) if fault.code == "CAD-0213"]
    assert missing == [Address("", 2, 0)]
    codes = [fault.code for fault in judge(C, empty, facts(version_fact(both)))]
    assert "CAD-0001" in codes  # of an invoice without lines this is told, and nothing of each of them
    assert "CAD-0213" not in codes


def test_reasons_are_asked_for_at_the_level_that_changed() -> None:
    kind, declaration, given = change(reason_code_1=None, office="0440", purchase_order="PO-7")
    found = {(fault.code, fault.address) for fault in judge(kind, declaration, given)}
    assert ("CAD-0214", Address("reason_code_1")) in found
    assert ("CAD-0214", Address("invoice_reason_code_1", 1)) in found
    assert ("CAD-0214", Address("line_reason_code_1", 1, 1)) in found


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (datetime(2026, 12, 2, 4, 59, tzinfo=UTC), Nature.CORRECTION),  # 23:59 in Eastern Time on the due date
        (datetime(2026, 12, 2, 5, 0, tzinfo=UTC), Nature.ADJUSTMENT),
    ],
)
def test_the_payment_due_date_tells_a_correction_from_an_adjustment(now: datetime, expected: Nature) -> None:
    known = version_fact(FIRST, payment_due=date(2026, 12, 1))
    assert nature(C, valid_change(), facts(known), now) is expected


def test_without_a_due_date_the_billing_period_of_the_original_gives_it() -> None:
    known = version_fact(FIRST, payment_due=None)  # accepted 2026-11-20: due 2026-12-31
    assert nature(C, valid_change(), facts(known), datetime(2026, 12, 31, 20, tzinfo=UTC)) is Nature.CORRECTION
    assert nature(C, valid_change(), facts(known), datetime(2027, 1, 1, 20, tzinfo=UTC)) is Nature.ADJUSTMENT
    assert nature(D, FIRST, facts()) is Nature.ORIGINAL
    assert nature(W, withdraw_request(), facts(known)) is Nature.WITHDRAWAL


def test_dates_at_the_ends_of_the_calendar_do_not_break_a_rule() -> None:
    for day in (date(1, 1, 1), date(9999, 12, 31)):
        for name in ("release_date", "accounting_date", "direct_shipment_date"):
            assert isinstance(judge(*original(**{name: day})), list)
            for cad_type in ("F", "TT", "V"):
                assert isinstance(judge(*original(cad_type, **{name: day})), list)
                assert isinstance(judge(C, valid_change(cad_type, pre_carm="Y", **{name: day}), facts()), list)


# ------------------------------------------------------------------------------------------------ the table


def test_the_tables_of_both_chapters_can_be_run() -> None:
    Rulebook(DECLARATION, SPECS)
    Rulebook(CORRECTION, SPECS)
    assert len(CORRECTION.rules) >= 60


def test_what_rests_on_less_than_high_confidence_only_warns() -> None:
    for rule in CORRECTION.rules:
        assert rule.finding.confidence == "high" or rule.finding.severity is Severity.WARN, rule.id


def row(check: str, element: str = "importer_bn", when: str = "", parameter: str = "", reads: str = "") -> Rule:
    words = FindingText(
        "CAD-0999", Severity.WARN, Bilingual("en", "fr"), Bilingual("", ""), "high", None, Bilingual("", "")
    )
    return Rule("CAD-0999", check, element, when, parameter, words, ("rules.csv", 7), reads)


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (row("no_such_check"), "unknown check"),
        (row("pattern", "no_such_element"), "unknown element"),
        (row("pattern", parameter="("), "bad regular expression"),
        (row("required_when", parameter="x"), "takes no parameter"),
        (row("one_of_when"), "needs values"),
        (row("above", "quantity", parameter="much"), "is no number"),
        (row("not_after", "release_date", parameter="yesterday"), "neither today"),
        (row("treatment_origin", "tariff_treatment", parameter="maybe"), "one of: high, other"),
        (row("surtax_watch", "surtax_subject", parameter="subject=Y"), "lacks currency"),
        (row("surtax_watch", "surtax_subject", parameter="Y"), "name=value"),
        (row("treatment_origin", "classification", parameter="high"), "has none"),
        (row("not_retired", "unit"), "reads the column retired"),
        (row("low_value_total", "invoice_value", parameter="most=3300; currency=CAD; least=1"), "no least"),
        (row("low_value_total", "invoice_value", parameter="most=3300; currency="), "needs one value"),
        (row("late_accounting", "release_date", parameter="5"), "takes no parameter"),
        (row("lines_at_most", "version", parameter="0"), "from 1 to 99999"),
        (row("lines_at_most", "version", parameter="2.5"), "no whole number"),
        (row("number_in_use", "transaction_number", parameter="seven years"), "is no period"),
        (row("marked_as_before", "pre_carm", parameter="flag=Y; until=2024; consolidated=TT"), "is no date"),
        (row("marked_as_before", "pre_carm", parameter="flag=Y; until=2024-10-20; consolidated="), "needs values"),
        (row("listed", "unit", parameter="no_such_list"), "there is no code list"),
        (row("above", "unit", parameter="0"), "needs a number, but unit is a text"),
        (row("not_after", "release_date", parameter="direct_shipment_date"), "is of level commodity"),
        (row("check_digit", "transaction_number", reads="origin=unit"), "reads nothing else, not origin"),
        (
            row("reason_first", "reason_code_1", parameter="kind=refund; ranks=refund owing; rows=high"),
            "further=ELEMENT",
        ),
        (
            row("reason_on_change", "reason_code_1", reads="line_reason_code_1=reason_code_2"),
            "reads a text of level commodity, but reason_code_2 is a text of level declaration",
        ),
        (row("reason_on_change", "reason_code_1", reads="line_reason_code_1=no_such"), "which is no element"),
        (row("reason_on_change", "reason_code_1", reads="line_reason_code_1=a b"), "reads one element"),
        (row("required_when", when="cad_type AB"), "cannot read the condition"),
        (row("required_when", when="nothing in AB"), "unknown element 'nothing'"),
        (row("required_when", when="type = original"), "unknown message type"),
        (row("required_when", when="type absent"), "always given"),
        (row("required_when", when="cad_type = A B"), "takes one value"),
        (row("required_when", when="origin given"), "origin is of level commodity"),
        (row("required_when", when="gross_weight in 1"), "is no text"),
        (row("line_numbers_unique", "cad_type"), "looks at level invoice"),
    ],
)
def test_a_row_that_cannot_be_run_is_refused_with_file_row_and_reason(rule: Rule, reason: str) -> None:
    with pytest.raises(SpecError) as caught:
        Rulebook(replace(CORRECTION, rules=(rule,)), SPECS)
    assert (caught.value.file, caught.value.row) == ("rules.csv", 7)
    assert reason in str(caught.value)


def test_an_added_row_is_followed_without_code() -> None:
    rule = row("required_when", "carrier_code", "cad_type in AB and transport_mode = 2")
    pack = replace(DECLARATION, rules=(*DECLARATION.rules, rule))
    assert [f.code for f in ruled(D, valid_declaration(), facts(), pack)] == ["CAD-0999"]
    assert ruled(D, valid_declaration(carrier_code="ABCD"), facts(), pack) == []
    assert ruled(D, valid_declaration(transport_mode="1"), facts(), pack) == []
    assert valid_declaration().transaction_number == NUMBER
