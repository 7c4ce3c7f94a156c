"""One declaration in two syntaxes is one value, and one fault in both is one finding at one pointer."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core.declaration import Commodity, Declaration, Invoice, Level, Unreadable, Value
from core.envelope import Envelope
from core.specs import Element, Pack
from core.transmission import Parsed, Received, Verdict
from gateway import pipeline
from gateway.trade.writer import write_edifact, write_xml
from tests.support.accounting import Interchange, counted
from tests.support.builders import (
    CORRECTION,
    DECLARATION,
    EX_WAREHOUSE,
    NOW,
    WAREHOUSE_IN,
    facts,
    partner,
    valid_declaration,
    with_lines,
)
from tests.support.effort import times
from tests.support.way import PLANS

SAID = Envelope(sender="BROKERA", recipient="GATEWAY", reference="REF1", message="1")

# What says nothing without the other: an amount's currency or unit stands on the amount, a line number on its number.
NEEDS = {
    "invoice_currency": "invoice_value",
    "currency": "value_for_currency_conversion",
    "sima_currency": "sima_price",
    "unit": "quantity",
    "quantity": "unit",
    "line_previous_line": "line_previous_transaction",
}

# All that UNOC (ISO 8859-1) carries and can be seen, the signs that EDIFACT gives a meaning to among the likely ones.
SEEN = "".join(c for c in map(chr, range(0x100)) if c.isprintable())
SIGNS = st.sampled_from("+:'?+:'? éèçàÉœ".replace("œ", "") + '<&>"%.,-')
CHARACTERS = st.one_of(SIGNS, st.sampled_from(string.ascii_letters + string.digits + " "), st.sampled_from(SEEN))


def texts(most: int) -> st.SearchStrategy[str]:
    """Texts of at most so many characters, without blanks around them."""
    return st.text(CHARACTERS, min_size=1, max_size=min(most, 40)).map(str.strip).filter(bool)


def values(element: Element) -> st.SearchStrategy[Value]:
    """Values that have an element's format."""
    form = element.format
    if form.kind == "date":
        return st.dates(date(1, 1, 1), date(9999, 12, 31))
    if form.kind == "number":
        top = Decimal(10) ** (form.max - form.decimals) - Decimal(10) ** -form.decimals
        return st.decimals(0, top, places=form.decimals, allow_nan=False, allow_infinity=False)
    if element.name == "function_code":
        return st.nothing()
    if form.notation.startswith("an"):
        return texts(form.max).filter(lambda text: form.min <= len(text)) if form.min < 3 else exact(SEEN, form.min)
    return exact(string.digits if form.notation.startswith("n") else string.ascii_letters, form.min)


def exact(characters: str, length: int) -> st.SearchStrategy[str]:
    """Texts of exactly so many of the characters, none of them blank."""
    return st.text(st.sampled_from([c for c in characters if c != " "]), min_size=length, max_size=length)


def levels(pack: Pack, level: str) -> st.SearchStrategy[dict[str, Value]]:
    """Any of a level's elements, with those that they need."""
    known = {e.name: values(e) for e in pack.elements.values() if e.level == level and e.direction == "in"}
    known.pop("function_code", None)
    for former in pack.former:  # what stands in a former place is read as something else
        known.pop(former.source, None)
        known.pop(former.element if former.shared else "", None)

    def whole(found: dict[str, Value]) -> dict[str, Value]:
        return {name: value for name, value in found.items() if name not in NEEDS or NEEDS[name] in found}

    return st.sets(st.sampled_from(sorted(known)), max_size=12).flatmap(
        lambda names: st.fixed_dictionaries({name: known[name] for name in sorted(names)}).map(whole)
    )


@st.composite
def declarations(draw: st.DrawFn) -> tuple[Pack, Declaration]:
    """A pack and any declaration that it can express, more or less of it given."""
    pack, code = draw(st.sampled_from([(DECLARATION, "9"), (CORRECTION, "4")]))
    base = valid_declaration()
    invoices = []
    for shape in draw(st.lists(st.integers(1, 2), min_size=1, max_size=2)):
        lines = tuple(
            Commodity({**base.invoices[0].commodities[0].values, **draw(levels(pack, "commodity"))})
            for _ in range(shape)
        )
        invoices.append(Invoice(draw(levels(pack, "invoice")), commodities=lines))
    top = {**base.values, **draw(levels(pack, "declaration")), "function_code": code}
    top.pop("line_count", None)  # EDIFACT's CNT is a control total: it must be right
    return pack, Declaration(top, invoices=tuple(invoices))


def parsed(body: bytes) -> Parsed:
    return pipeline.parse(Received("r", "broker-a", body, NOW), PLANS)


def written(declaration: Declaration, pack: Pack, *, syntax: tuple[str, str] = ("UNOC", "3")) -> tuple[bytes, bytes]:
    """The declaration in both syntaxes."""
    edifact = write_edifact([declaration], pack, SAID, prepared=NOW, syntax=syntax)
    return edifact, write_xml(declaration, pack, SAID)


@settings(max_examples=times(0.6))
@given(declarations())
def test_what_is_written_in_either_syntax_is_read_as_the_same_value(drawn: tuple[Pack, Declaration]) -> None:
    pack, declaration = drawn
    for body in written(declaration, pack):
        (message,) = parsed(body).messages
        assert message.declaration == declaration
        assert message.faults == ()
        again = write_xml(message.declaration, pack, SAID)
        assert again == write_xml(declaration, pack, SAID)


@settings(max_examples=times(0.15))
@given(
    declarations(), st.sampled_from([("UNOC", "3"), ("UNOC", "4"), ("UNOW", "4")]), st.sampled_from(["UTF-16", "UTF-8"])
)
def test_the_way_of_writing_does_not_matter(
    drawn: tuple[Pack, Declaration], syntax: tuple[str, str], encoding: str
) -> None:
    pack, declaration = drawn
    edifact = write_edifact([declaration], pack, SAID, prepared=NOW, syntax=syntax, newline=False)
    for body in (edifact, write_xml(declaration, pack, SAID, encoding=encoding)):
        (message,) = parsed(body).messages
        assert message.declaration == declaration
        assert message.faults == ()


@given(st.text(st.characters(max_codepoint=0xFF, exclude_categories=["Cc"]), min_size=1, max_size=35))
@settings(max_examples=times(0.6))
def test_any_text_reads_alike_in_both(text: str) -> None:
    """Blanks around it, unbreakable ones, soft hyphens: whatever a text is made of, both readers see the same."""
    declaration = valid_declaration(vendor_street=text)
    seen = [parsed(body).messages[0].declaration for body in written(declaration, DECLARATION)]
    assert seen[0] == seen[1]


@given(st.lists(declarations(), min_size=2, max_size=3))
@settings(max_examples=times(0.1))
def test_the_messages_of_an_interchange_are_read_each_by_itself(drawn: list[tuple[Pack, Declaration]]) -> None:
    pack = drawn[0][0]
    assume(all(each is pack for each, _ in drawn))
    body = write_edifact([declaration for _, declaration in drawn], pack, SAID, prepared=NOW)
    messages = parsed(body).messages
    assert [message.declaration for message in messages] == [declaration for _, declaration in drawn]
    assert [message.ordinal for message in messages] == list(range(1, len(drawn) + 1))


# ------------------------------------------------------------------------------------------------ one fault


Found = list[tuple[str, str | None, str | None]]


def judged(body: bytes) -> tuple[Verdict, Found]:
    """Return verdict and findings (code, pointer, value), in a fixed order."""
    outcome = pipeline.handle(Received("r", "broker-a", body, NOW), facts(partner=AUTHORIZED), PLANS)
    (one,) = outcome.judged
    found = [(finding.code, finding.place.pointer, finding.value) for finding in one.findings]
    return one.verdict, sorted(found, key=str)


AUTHORIZED = partner()


def spoil(level: Level, name: str, value: Value | None) -> Any:
    """Return the level with an element set or (None) taken away."""
    changed = {**level.values, name: value}
    return replace(level, values={key: given for key, given in changed.items() if given is not None})


def put(declaration: Declaration, element: Element, value: Value | None) -> Declaration:
    """Return the declaration with an element of its level's first occurrence set or taken away."""
    if element.level == "declaration":
        return spoil(declaration, element.name, value)  # type: ignore[no-any-return]
    first = declaration.invoices[0]
    if element.level == "invoice":
        return replace(declaration, invoices=(spoil(first, element.name, value), *declaration.invoices[1:]))
    lines = (spoil(first.commodities[0], element.name, value), *first.commodities[1:])
    return replace(declaration, invoices=(replace(first, commodities=lines), *declaration.invoices[1:]))


def same_in_both(declaration: Declaration, pack: Pack = DECLARATION) -> tuple[Verdict, Found]:
    """Judge the declaration in both syntaxes and return what both say."""
    (verdict, found), xml = (judged(body) for body in written(declaration, pack))
    assert (verdict, found) == xml
    return verdict, found


FORMER = {each.element if each.shared else each.source for each in DECLARATION.former}  # read as something else
ELEMENTS = [e for e in DECLARATION.elements.values() if e.direction == "in" and e.name not in FORMER]
PLAIN: Mapping[str, Value] = {"number": Decimal(1), "date": date(2026, 11, 1)}
TYPES = ["AB", "C", "F", "TT", "V", *sorted(WAREHOUSE_IN), *sorted(EX_WAREHOUSE)]


def pointer(element: Element) -> str:
    """Return where the pack says that an element of the first invoice and line stands."""
    from core.findings import Address

    numbers: Mapping[str, tuple[int, int]] = {"declaration": (0, 0), "invoice": (1, 0), "commodity": (1, 1)}
    return DECLARATION.pointer(Address(element.name, *numbers[element.level]))


@pytest.mark.parametrize("cad_type", TYPES)
def test_an_element_that_is_missing(cad_type: str) -> None:
    declaration = valid_declaration(cad_type)
    assert same_in_both(declaration) == (Verdict.ACCEPTED, [])
    for element in ELEMENTS:
        if DECLARATION.usage_of(element.name, cad_type) == "M" and element.name != "function_code":
            spoilt = put(declaration, element, None)
            if element.name == "line_number":  # LIN opens its group: what comes without it is no line in EDIFACT
                verdict, found = judged(write_xml(spoilt, DECLARATION, SAID))
                assert judged(write_edifact([spoilt], DECLARATION, SAID, prepared=NOW))[0] is Verdict.REFUSED
            else:
                verdict, found = same_in_both(spoilt)
            assert verdict is Verdict.REFUSED, element.name
            assert any(code == "CAD-0001" for code, _, _ in found), element.name


@pytest.mark.parametrize("cad_type", TYPES)
def test_an_element_that_is_not_used(cad_type: str) -> None:
    declaration = valid_declaration(cad_type)
    for element in ELEMENTS:
        if DECLARATION.usage_of(element.name, cad_type) == "X":
            value: Value = {"number": Decimal(1), "date": date(2026, 11, 1)}.get(
                element.format.kind, "X" * element.format.min
            )
            if element.name in ("line_previous_line",):
                declaration = put(declaration, DECLARATION.elements["line_previous_transaction"], "12345000000012")
            verdict, found = same_in_both(put(declaration, element, value))
            assert verdict is Verdict.REFUSED, element.name
            assert ("CAD-0005", pointer(element)) in [each[:2] for each in found], element.name


@pytest.mark.parametrize("element", [e for e in ELEMENTS if e.code_list], ids=lambda e: e.name)
def test_a_code_that_is_not_in_its_list(element: Element) -> None:
    form = element.format
    code = (
        ("Q9Z" * 9)[: form.max]
        if form.notation.startswith("an")
        else ("QQQ" if form.notation[0] == "a" else "9999")[: form.max]
    )
    declaration = put(valid_declaration(), element, code)
    for name, needed in NEEDS.items():
        if name == element.name and needed not in ("unit",):
            declaration = put(declaration, DECLARATION.elements[needed], Decimal(1))
    same_in_both(declaration)


@settings(max_examples=times(0.8))
@given(st.data())
def test_a_text_that_does_not_have_its_format(data: st.DataObject) -> None:
    """Whatever EDIFACT's own directory lets pass is found by the dictionary, in both syntaxes alike."""
    element = data.draw(
        st.sampled_from([e for e in ELEMENTS if e.format.kind != "text" or e.format.notation[0] == "n"])
    )
    text = data.draw(st.text(st.sampled_from("0123456789.-X Z"), min_size=1, max_size=8).map(str.strip).filter(bool))
    assume(isinstance(element.format.read(text), Unreadable))
    declaration = put(valid_declaration(), element, Unreadable(text))
    if element.name in NEEDS:
        declaration = put(declaration, DECLARATION.elements[NEEDS[element.name]], "KGM")
    (verdict, edifact), (also, xml) = (judged(body) for body in written(declaration, DECLARATION))
    assert verdict is also is Verdict.REFUSED
    if not any(code.startswith("EDI") for code, _, _ in edifact):
        assert edifact == xml


@pytest.mark.parametrize("element", ELEMENTS, ids=lambda e: e.name)
def test_an_element_given_twice(element: Element) -> None:
    """Where the syntax itself allows a repetition, the dictionary does not; where it does not, it refuses."""
    value = PLAIN.get(element.format.kind, "1" * element.format.min)
    base = valid_declaration()
    if element.name in NEEDS:
        base = put(base, DECLARATION.elements[NEEDS[element.name]], "KGM" if element.name == "quantity" else Decimal(1))
    declaration = put(base, element, value)
    first = declaration.invoices[0]
    more = {element.name: (value,)}
    if element.level == "declaration":
        declaration = replace(declaration, more=more)
    elif element.level == "invoice":
        declaration = replace(declaration, invoices=(replace(first, more=more),))
    else:
        lines = (replace(first.commodities[0], more=more), *first.commodities[1:])
        declaration = replace(declaration, invoices=(replace(first, commodities=lines),))
    for body in written(declaration, DECLARATION):
        verdict, found = judged(body)
        assert verdict is Verdict.REFUSED or element.name.endswith(("currency", "unit"))
        assert found or element.name.endswith(("currency", "unit"))


@pytest.mark.parametrize(
    "changes",
    [
        {"transaction_number": "12345000000013"},
        {"importer_bn": "123456789RM0001"},
        {"importer_bn": "123456782RT0001"},
        {"version": "00002"},
        {"cad_type": "ZZ"},
        {"sima_subject": "S"},
        {"surtax_subject": "Y"},
        {"tariff_treatment": "02", "origin": "QQ"},
        {"origin": "QQ", "export_place": "QQ"},
        {"invoice_value": Decimal("1.00")},
    ],
    ids=str,
)
def test_a_rule_that_is_broken(changes: dict[str, Value]) -> None:
    verdict, found = same_in_both(valid_declaration(**changes))
    assert verdict is Verdict.REFUSED
    assert found


def test_faults_of_the_second_line_point_to_the_second_line() -> None:
    _, found = same_in_both(with_lines(valid_declaration(), {}, {"origin": "QQ", "classification": None}))
    assert found
    assert all("68A[2]" in (pointer or "") for _, pointer, _ in found)


@pytest.mark.parametrize(
    ("edifact", "xml", "code", "expected"),
    [
        (("RCS+11+NOT:", "RCS+11+ZZZ:"), (">NOT<", ">ZZZ<"), "CAD-0007", Verdict.REFUSED),
        (("FTX+ADU+++Known'", ""), ("<StatementDescription>Known</StatementDescription>", ""), "CAD-0008", "accepted"),
        (
            ("FTX+AAA+++Steel frames'", "FTX+AAA+++Steel  frames '"),
            (">Steel frames<", "> Steel\n frames<"),
            "",
            "accepted",
        ),
    ],
)
def test_content_that_no_declaration_has(
    edifact: tuple[str, str], xml: tuple[str, str], code: str, expected: str
) -> None:
    declaration = valid_declaration(notes="Known")
    given, document = (body.decode() for body in written(declaration, DECLARATION))
    assert edifact[0] in given
    assert xml[0] in document
    changed = Interchange(given.replace(*edifact, 1).encode())
    found = [judged(changed.write(counted(changed.segments))), judged(document.replace(*xml, 1).encode())]
    for verdict, findings in found:
        assert verdict == expected
        assert {each for each, _, _ in findings} - {"EDI-0521"} == ({code} - {""})
