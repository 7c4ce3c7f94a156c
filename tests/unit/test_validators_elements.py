from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.calendar import Period
from core.declaration import Commodity, Declaration, Invoice, MessageType, Unreadable
from core.dictionary import parse_format
from core.findings import Address, Bilingual, Fault
from core.specs import Code, CodeList, Specs
from tests.support.builders import (
    CORRECTION,
    DECLARATION,
    SPECS,
    valid_change,
    valid_declaration,
    with_lines,
    withdraw_request,
)
from validators.elements import Dictionary, check_elements, in_words

D, C, W = MessageType.DECLARATION, MessageType.CORRECTION, MessageType.WITHDRAW


def check(declaration: Declaration, specs: Specs = SPECS, kind: MessageType = D) -> list[Fault]:
    return check_elements(declaration, kind, Dictionary(DECLARATION if kind is D else CORRECTION, specs))


def codes(declaration: Declaration, specs: Specs = SPECS) -> list[tuple[str, Address | None]]:
    return [(fault.code, fault.address) for fault in check(declaration, specs)]


def with_list(name: str, *entries: tuple[str, Period, str], confidence: str = "high") -> Specs:
    found: dict[str, tuple[Code, ...]] = {}
    for code, valid, sure in entries:
        found[code] = (*found.get(code, ()), Code(code, Bilingual(code, code), valid, Bilingual("", ""), sure, {}))
    codes = CodeList(name, SPECS.code_lists[name].name, found, confidence)
    return replace(SPECS, code_lists={**SPECS.code_lists, name: codes})


def test_a_missing_element_is_named_in_both_languages() -> None:
    (fault,) = check(valid_declaration(importer_bn=None))
    assert (fault.code, fault.address) == ("CAD-0001", Address("importer_bn"))
    assert fault.details["name_en"] == DECLARATION.elements["importer_bn"].title.en
    assert fault.details["name_fr"] == DECLARATION.elements["importer_bn"].title.fr


def test_what_is_mandatory_depends_on_the_cad_type() -> None:
    assert codes(valid_declaration("AB", release_date=None)) == [("CAD-0001", Address("release_date"))]
    assert codes(valid_declaration("TT", release_date=None)) == []
    assert codes(valid_declaration("V", release_date=date(2026, 11, 18))) == [("CAD-0005", Address("release_date"))]


def test_an_unknown_or_missing_cad_type_causes_no_follow_ups() -> None:
    assert codes(valid_declaration("ZZ", release_date=None)) == []
    declaration = valid_declaration(release_date=None)
    nameless = replace(declaration, values={k: v for k, v in declaration.values.items() if k != "cad_type"})
    assert codes(nameless) == [("CAD-0001", Address("cad_type"))]


def test_an_unreadable_element_gets_only_that_finding_with_the_format_in_words() -> None:
    (fault,) = check(with_lines(valid_declaration(), {}, {"currency": Unreadable("dollars")}))
    assert (fault.code, fault.address) == ("CAD-0002", Address("currency", 1, 2))
    assert (fault.value, fault.expected) == ("dollars", "a3"), "a notation, in no language: the words are in the text"
    assert fault.details["expected_fr"] == "exactement 3 lettres"


def test_a_code_outside_a_firm_list_refuses_and_outside_a_doubtful_one_warns() -> None:
    firm = with_list("currency", ("CAD", Period(), "high"))
    doubtful = with_list("currency", ("CAD", Period(), "medium"), confidence="medium")
    declaration = with_lines(valid_declaration(lines=1), {"currency": "XXQ"})
    place = Address("currency", 1, 1)
    assert codes(declaration, firm) == [("CAD-0003", place)]
    assert codes(declaration, doubtful) == [("CAD-0004", place)]
    assert codes(valid_declaration(), doubtful) == []
    (fault,) = check(declaration, firm)
    assert (fault.details["list_en"], fault.details["list_fr"]) == ("Currencies", "Devises")
    assert fault.expected is None, "the list's name is in the text, in both languages"


def test_a_code_must_be_valid_on_the_day_that_the_dictionary_names() -> None:
    until, since = Period(None, date(2026, 6, 30)), Period(date(2026, 7, 1), None)

    def found(released: date, *periods: Period) -> list[str]:
        specs = with_list("tariff_treatment", *(("10", period, "high") for period in periods))
        return [f.code for f in check(valid_declaration(lines=1, release_date=released), specs)]

    assert found(date(2026, 6, 30), until) == []
    assert found(date(2026, 7, 1), until) == ["CAD-0003"]
    assert found(date(2026, 7, 1), until, since) == []
    specs = with_list("tariff_treatment", ("10", until, "high"))
    undated = valid_declaration(lines=1, release_date=Unreadable("soon"), accounting_date=None)
    assert codes(undated, specs) == [("CAD-0002", Address("release_date"))]


def test_what_belongs_to_the_adjustment_form_is_not_used_in_an_original() -> None:
    declaration = valid_declaration(reason_code_1="R5-00-COT")
    assert codes(declaration) == [("CAD-0005", Address("reason_code_1"))]
    assert check(valid_change(), kind=C) == []


def test_what_only_an_answer_carries_is_not_used_in_a_message() -> None:
    declaration = valid_declaration(total_gst=Decimal("11.45"))
    assert codes(declaration) == [("CAD-0005", Address("total_gst"))]


def test_a_repeated_element_is_found_at_its_second_occurrence() -> None:
    once = valid_declaration()
    twice = Declaration(once.values, {"carrier_code": ()}, once.invoices)
    assert codes(twice) == []
    twice = Declaration(once.values, {"office": ("0440", "0497")}, once.invoices)
    (fault,) = check(twice)
    assert (fault.code, fault.address) == ("CAD-0006", Address("office", occurrence=2))
    assert (fault.value, fault.details["count"]) == ("0440", "3")


def test_a_declaration_needs_an_invoice_and_an_invoice_a_line() -> None:
    declaration = valid_declaration()
    assert codes(replace(declaration, invoices=())) == [("CAD-0001", Address("", 1, 0))]
    empty = replace(declaration.invoices[0], commodities=())
    assert codes(replace(declaration, invoices=(*declaration.invoices, empty))) == [("CAD-0001", Address("", 2, 1))]


def test_a_withdraw_request_needs_its_identity_and_no_goods() -> None:
    assert check(withdraw_request(), kind=W) == []
    found = [fault.code for fault in check(Declaration({"function_code": "1"}), kind=W)]
    assert found
    assert set(found) == {"CAD-0001"}


def test_several_lines_are_counted_within_their_invoice() -> None:
    declaration = valid_declaration(lines=3)
    second = Invoice(declaration.invoices[0].values, commodities=(Commodity({}),))
    faults = check(replace(declaration, invoices=(*declaration.invoices, second)))
    assert {fault.address[1:3] for fault in faults if fault.address} == {(2, 1)}
    assert "classification" in {fault.address.element for fault in faults if fault.address}


@pytest.mark.parametrize(
    ("notation", "en", "fr"),
    [
        ("n14", "exactly 14 digits", "exactement 14 chiffres"),
        ("an..35", "at most 35 characters", "au plus 35 caractères"),
        ("a2", "exactly 2 letters", "exactement 2 lettres"),
        ("n..5", "a whole number of at most 5 digits", "un entier d'au plus 5 chiffres"),
        (
            "n..16,3",
            "a number of at most 16 digits, at most 3 of them decimals",
            "un nombre d'au plus 16 chiffres, dont au plus 3 décimales",
        ),
        ("date", "a calendar date, CCYYMMDD", "une date du calendrier, SSAAMMJJ"),
    ],
)
def test_formats_in_words(notation: str, en: str, fr: str) -> None:
    assert in_words(parse_format(notation)) == Bilingual(en, fr)


@pytest.mark.parametrize("notation", ["n..16,3", "n..16,2", "n..5,4", "n..2,2", "n..5"])
def test_a_number_has_as_many_digits_as_its_format_says_wherever_the_mark_stands(notation: str) -> None:
    """Of n..16,3 only 13 digits were taken where there are no decimals: 10,000,000,000,000 was too long."""
    form = parse_format(notation)
    for whole in range(20):
        for places in range(7):
            text = "9" * whole + ("." + "9" * places if places else "")
            good = whole >= 1 and whole + places <= form.max and places <= form.decimals
            assert (not isinstance(form.read(text), Unreadable)) is good, text
    for text in ("1.", ".1", "1,5", "-1", "+1", "1e3", " 1", "1.2.3"):
        assert isinstance(form.read(text), Unreadable), text


VALUES = st.one_of(st.text(max_size=8), st.text(max_size=8).map(Unreadable), st.decimals(allow_nan=False), st.dates())
NAMES = st.sampled_from(sorted(CORRECTION.elements))


@given(top=st.dictionaries(NAMES, VALUES), line=st.dictionaries(NAMES, VALUES), kind=st.sampled_from([D, C, W]))
def test_any_declaration_at_all_gets_an_answer(top: dict, line: dict, kind: MessageType) -> None:
    declaration = Declaration(top, invoices=(Invoice({}, commodities=(Commodity(line),)),))
    for fault in check(declaration, kind=kind):
        assert fault.code.startswith("CAD-000")
