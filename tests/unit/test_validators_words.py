from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.calendar import Period, eastern_day
from core.declaration import MessageType
from core.envelope import Envelope
from core.findings import Address, Fault, Place, Severity
from core.limits import ECHO_CHARACTERS, FINDINGS_LISTED
from core.text import printable
from core.transmission import Message, Syntax
from tests.support.builders import CORRECTION, DECLARATION, IMPORTER, SPECS, facts, partner, ruled, valid_declaration
from validators.rules import bn_is_valid, check_digit_of
from validators.sender import check_sender
from validators.words import shown, texts_of, to_finding, to_findings

# ------------------------------------------------------------------------------------------------ identifiers

GOOD_NUMBERS = [
    "12345000000012",
    "12345000000023",
    "12345678901235",
    "10497000001503",
    "55555000123458",
    "99999999999997",
    "11981000774460",
    "10013000976200",
]
BAD_NUMBERS = [
    "12345000000013",
    "12345000000024",
    "12345678901236",
    "10497000001504",
    "55555000123459",
    "99999999999998",
]


@pytest.mark.parametrize("number", GOOD_NUMBERS)
def test_check_digits_of_good_transaction_numbers(number: str) -> None:
    assert check_digit_of(number[:13]) == number[13]


@pytest.mark.parametrize("number", BAD_NUMBERS)
def test_check_digits_of_bad_transaction_numbers(number: str) -> None:
    assert check_digit_of(number[:13]) != number[13]


@given(st.text("0123456789", min_size=13, max_size=13))
def test_the_check_digit_is_the_plain_weighted_sum(first: str) -> None:
    products = [int(digit) * (1 if i % 2 == 0 else 2) for i, digit in enumerate(first)]
    assert check_digit_of(first) == str(sum(p // 10 + p % 10 for p in products) % 10)


@given(st.text("0123456789", min_size=9, max_size=9), st.integers(0, 8), st.integers(1, 9))
def test_luhn_finds_every_single_wrong_digit(nine: str, at: int, by: int) -> None:
    other = nine[:at] + str((int(nine[at]) + by) % 10) + nine[at + 1 :]
    assert not (bn_is_valid(nine) and bn_is_valid(other))


@pytest.mark.parametrize(
    ("bn", "verdict"),
    [
        ("123456782RM0001", set()),
        ("100000009RM0001", set()),
        ("123456789RM0001", {"CAD-0111"}),
        ("000000000RM0001", {"CAD-0112"}),
        ("123456782RT0001", {"CAD-0110"}),
        ("123456782RM0000", {"CAD-0112"}),
        ("123456782RM001", {"CAD-0110"}),
    ],
)
def test_business_numbers(bn: str, verdict: set[str]) -> None:
    declaration = valid_declaration(importer_bn=bn)
    found = ruled(MessageType.DECLARATION, declaration, facts(), DECLARATION)
    assert {fault.code for fault in found} == verdict


# ------------------------------------------------------------------------------------------------ sender

SAID = Envelope(sender="BROKERA")
TODAY = date(2026, 11, 23)


def test_the_sender_with_authority_passes() -> None:
    assert check_sender(SAID, valid_declaration(), partner(), TODAY) == []


def test_an_unknown_closed_or_other_sender_is_refused() -> None:
    declaration = valid_declaration()
    for given_facts, said, code in [
        (facts(partner=None), SAID, "GTW-0003"),
        (facts(partner=partner(active=False)), SAID, "GTW-0006"),
        (facts(), Envelope(sender="BROKERB"), "GTW-0004"),
    ]:
        assert [fault.code for fault in check_sender(said, declaration, given_facts.partner, TODAY)] == [code]


@pytest.mark.parametrize(
    ("periods", "refused"),
    [
        ((), True),
        ((Period(date(2026, 11, 23), date(2026, 11, 23)),), False),
        ((Period(None, date(2026, 11, 22)),), True),
        ((Period(date(2026, 11, 24), None),), True),
        ((Period(None, date(2026, 1, 1)), Period(date(2026, 11, 1), None)), False),
    ],
)
def test_authority_is_by_period_on_the_day_of_receipt(periods: tuple[Period, ...], refused: bool) -> None:
    given_facts = facts(partner=partner(authorities={IMPORTER: periods}))
    found = check_sender(SAID, valid_declaration(), given_facts.partner, TODAY)
    assert [(fault.code, fault.address) for fault in found] == [("GTW-0005", Address("importer_bn"))] * refused


def test_the_day_of_receipt_is_that_of_eastern_time() -> None:
    last_day = partner(authorities={IMPORTER: (Period(None, date(2026, 11, 23)),)})
    late = datetime(2026, 11, 24, 4, 59, tzinfo=UTC)  # 23:59 on the 23rd
    assert check_sender(SAID, valid_declaration(), last_day, eastern_day(late)) == []


def test_no_wildcard_gives_authority() -> None:
    everyone = partner(authorities={"*": (Period(),), "123456782": (Period(),)})
    found = check_sender(SAID, valid_declaration(), everyone, TODAY)
    assert [fault.code for fault in found] == ["GTW-0005"]


# ------------------------------------------------------------------------------------------------ words


@dataclass
class Finder:
    def locate(self, address: Address) -> Place:
        return Place(line=address.line, xpath=address.element)

    def text(self) -> str:
        return ""


MESSAGE = Message(1, Syntax.XML, MessageType.DECLARATION, SAID, "chapter24", None, (), Finder())


def test_a_finding_speaks_both_languages_and_has_its_place() -> None:
    details = {"origin": "US", "treatment_en": "Korea Tariff", "treatment_fr": "Tarif de la Corée"}
    details |= {"place": "UNY", "day": "2026-11-18"}
    fault = Fault("CAD-0150", Address("tariff_treatment", 1, 2), value="30", expected="KR", details=details)
    finding = to_finding(fault, MESSAGE, texts_of(SPECS, DECLARATION))
    assert finding.text.en == (
        "Tariff treatment 30 (Korea Tariff) cannot be used with the country of origin US"
        " (exported from UNY, on 2026-11-18)."
    )
    assert finding.text.fr.startswith("Le traitement tarifaire 30 (Tarif de la Corée) ne peut pas être utilisé")
    assert finding.severity is Severity.REFUSE
    assert finding.place == Place(line=2, xpath="tariff_treatment")
    assert (finding.value, finding.expected) == ("30", "KR")
    assert "TCC24-144" in finding.source.fr


def test_a_fault_with_its_own_place_keeps_it() -> None:
    finding = to_finding(Fault("GTW-0001", place=Place(line=1, column=1)), MESSAGE, texts_of(SPECS, None))
    assert finding.place == Place(line=1, column=1)


@given(st.text())
def test_the_senders_text_is_escaped_and_cut(value: str) -> None:
    finding = to_finding(Fault("CAD-0003", Address("unit", 1, 1), value=value), MESSAGE, texts_of(SPECS, DECLARATION))
    assert finding.value == shown(value)
    assert finding.value == printable(finding.value)
    assert len(finding.value) <= ECHO_CHARACTERS * len("\\U00000000")
    assert finding.text.en == printable(finding.text.en)
    finding.text.en.encode("utf-8")


def test_a_value_that_looks_like_a_placeholder_stays_as_it_is() -> None:
    fault = Fault("CAD-0003", Address("unit"), value="{list}", details={"list": "unit", "name_en": "{value}"})
    assert '"{list}"' in to_finding(fault, MESSAGE, texts_of(SPECS, DECLARATION)).text.en


def test_a_long_value_is_cut_with_a_sign() -> None:
    assert shown("x" * 41) == "x" * 39 + "…"
    assert shown("x" * 40) == "x" * 40
    assert shown("a\x00\n") == "a\\x00\\n"


def test_every_placeholder_of_a_rule_is_one_that_can_be_filled() -> None:
    known = {"value", "expected", "name_en", "name_fr"}
    known |= {
        "digit",
        "accounted",
        "origin",
        "treatment_en",
        "treatment_fr",
        "classification",
        "place",
        "latest",
        "day",
        "by",
        "retired",
        "invoices",
        "order_en",
        "order_fr",
        "unless_en",
        "unless_fr",
        "reason_code",
        "line",
    }
    known |= {"first", "treatment", "former", "changed"}
    for rule in CORRECTION.rules:
        en, fr = (set(re.findall(r"\{(\w+)\}", text)) for text in rule.finding.text)
        assert en | fr <= known, rule.id
        assert {name.removesuffix("_en") for name in en} == {name.removesuffix("_fr") for name in fr}, rule.id


def test_of_very_many_faults_the_refusals_come_first_and_only_the_listed_are_looked_up() -> None:
    looked_up = []

    class Counting(Finder):
        def locate(self, address: Address) -> Place:
            looked_up.append(address)
            return Place(line=1000 - address.line)

    message = Message(1, Syntax.XML, MessageType.DECLARATION, SAID, "chapter24", None, (), Counting())
    warnings = [Fault("CAD-0004", Address("unit", 1, j)) for j in range(1, 200)]
    refusals = [Fault("CAD-0003", Address("unit", 1, j)) for j in range(1, 11)]
    findings = to_findings([*warnings, *refusals], message, DECLARATION, texts_of(SPECS, DECLARATION))
    assert len(findings) == 209
    assert len(looked_up) == FINDINGS_LISTED
    assert sum(finding.severity is Severity.REFUSE for finding in findings[:FINDINGS_LISTED]) == 10
    assert [f.place.line for f in findings[:FINDINGS_LISTED]] == sorted(
        f.place.line or 0 for f in findings[:FINDINGS_LISTED]
    )
    assert findings[-1].place.pointer == DECLARATION.pointer(Address("unit", 1, 199))


def test_what_the_dictionary_refuses_is_as_sure_as_the_manifest_says_of_it() -> None:
    sure = DECLARATION.sure
    assert SPECS.findings["CAD-0001"].confidence == sure("usage")
    assert SPECS.findings["CAD-0002"].confidence == sure("formats")
