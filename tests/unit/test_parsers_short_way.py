"""What is read the short way, by levels, is what a walk reads."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from lxml import etree

from core.declaration import Declaration
from core.specs import Pack
from core.transmission import Message, Received
from gateway import pipeline
from gateway.trade.writer import write_edifact, write_xml
from parsers import cad_edifact, cad_xml, notes, reading, xml_finding
from tests.support.accounting import edifact_mutants, xml_mutants
from tests.support.builders import DECLARATION, NOW, valid_declaration
from tests.support.way import PLANS, SAMPLES
from tests.way.test_way_both_syntaxes import SAID, declarations, written

GOOD = sorted(path for path in SAMPLES.rglob("*") if path.suffix in {".edi", ".xml"} and path.stat().st_size < 100_000)


@pytest.fixture(autouse=True, scope="module")
def _warm() -> None:
    """Read the first message by patterns, too."""
    for each in PLANS.reading.xml.values():
        each.warm()


def read(body: bytes) -> list[Message]:
    return list(pipeline.parse(Received("r", "broker-a", body, NOW), PLANS).messages)


def walk(body: bytes) -> list[Message]:
    """Read a transmission by walking."""
    with (
        patch.object(reading, "read_levels", lambda *_: None),
        patch.object(cad_edifact.EdifactReading, "levels", lambda *_: None),
    ):
        return read(body)


def alike(body: bytes) -> Declaration | None:
    """Read a transmission by walking, then the short way; return the declaration of both."""
    walked, known = walk(body), read(body)
    assert [one.declaration for one in walked] == [one.declaration for one in known]
    assert [one.unread() for one in walked] == [one.unread() for one in known]
    return walked[0].declaration if walked else None


@pytest.mark.parametrize("path", GOOD, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_sample_is_read_alike_both_ways(path: object) -> None:
    alike(path.read_bytes())  # type: ignore[attr-defined]


@pytest.mark.slow
@settings(max_examples=40)
@given(declarations())
def test_any_declaration_is_read_alike_both_ways(one: tuple[Pack, Declaration]) -> None:
    for body in written(one[1], one[0]):
        assert alike(body) is not None


XML = write_xml(valid_declaration(vendor_name="Smith & Sons <West>", lines=3), DECLARATION, SAID)


def test_what_is_usual_is_not_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without this the readers would be right, and slow."""
    other = valid_declaration(vendor_name="Another", lines=3)
    monkeypatch.setattr(cad_xml.XmlWalk, "through", None)
    monkeypatch.setattr(cad_edifact.EdifactWalk, "through", None)
    for body in (write_xml(other, DECLARATION, SAID), write_edifact([other], DECLARATION, SAID, prepared=NOW)):
        assert read(body)[0].declaration == other


def test_a_message_with_a_bad_value_is_not_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its segments stand in order, so its levels are read alike: a refusal is not many times an acceptance."""
    good = write_edifact([valid_declaration(lines=3)], DECLARATION, SAID, prepared=NOW)
    (known,) = read(good)
    monkeypatch.setattr(cad_edifact.EdifactWalk, "through", None)
    (bad,) = read(re.sub(rb"DTM\+11:[0-9]+", b"DTM+11:20259999", good, count=1))
    assert not bad.document.fits  # type: ignore[attr-defined]
    assert known.declaration is not None
    assert bad.declaration is not None
    assert bad.declaration.transaction_number == known.declaration.transaction_number


def test_texts_found_together_are_those_found_alone() -> None:
    paths = tuple(
        (name, tuple(f"{{urn:r}}{step}" for step in way)) for name, way in (("one", "a"), ("two", "bc"), ("three", "x"))
    )
    for text in ("1", " 1 ", "1\n2", ""):
        root = etree.fromstring(f'<r xmlns="urn:r"><a>{text}</a><b><c>x</c></b></r>')
        assert xml_finding.finders(paths)(root) == {"one": text.strip() or None, "two": "x", "three": None}


@pytest.mark.parametrize(
    "change",
    [
        (b"Smith &amp; Sons &lt;West&gt;", b"<![CDATA[Smith & Sons <West>]]>"),
        (b"Smith &amp; Sons &lt;West&gt;", b"Smith <!-- not seen -->&#38; Sons &#60;West>"),
        (b"Smith &amp; Sons &lt;West&gt;", b"Smith &amp; Sons <?not seen?>&lt;West&gt;"),
        (b"Smith &amp; Sons &lt;West&gt;", b"\r\n Smith &amp; Sons &lt;West&gt;\t"),
        (b">\n  ", b">"),
        (b' unitCode="KGM"', b" unitCode = 'KGM'\n"),
        (b' formatCode="102"', b" formatCode='102' "),
        (b"<Description>", b"<Description >"),
    ],
)
def test_another_way_of_writing_the_same(change: tuple[bytes, bytes]) -> None:
    assert change[0] in XML
    assert alike(XML.replace(*change)) == alike(XML)


def prefixed(body: bytes) -> bytes:
    """Return a document whose Declaration has a prefix in all its tags."""
    head, _, rest = body.decode().partition("<Declaration")
    inside, _, tail = rest.partition("</Declaration>")
    inside = inside.replace("</", "</d:").replace("<", "<d:").replace("<d:/d:", "</d:").replace(" xmlns=", " xmlns:d=")
    return f"{head}<d:Declaration{inside}</d:Declaration>{tail}".encode()


def test_with_prefixes() -> None:
    assert alike(prefixed(XML)) == alike(XML)
    for old in (b"<d:ID>", b"</d:Declaration>", b"</d:GoodsShipment>"):
        alike(prefixed(XML).replace(old, old.replace(b"d:", b"")))


@pytest.mark.parametrize(
    "change",
    [
        (b"Smith", b"&#201;rable &#x26;"),
        (b"<?xml", b"\xef\xbb\xbf<?xml"),
        (b">\n", b">\r\n\t"),
        (b' unitCode="KGM"', b'\n  unitCode="KGM"'),
        (b"</MetaData>", b"\n</MetaData>\n"),
    ],
)
def test_what_is_written_otherwise_and_common_is_not_walked(
    change: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert change[0] in XML
    changed = XML.replace(*change)
    for body in (changed, prefixed(changed)):
        (walked,) = walk(body)
        with monkeypatch.context() as patch:
            patch.setattr(cad_xml.XmlWalk, "through", None)
            assert read(body)[0].declaration == walked.declaration


def test_patterns_of_another_pack_of_the_same_form_read_the_same_text() -> None:
    one, another = (cad_xml.XmlReading(DECLARATION) for _ in range(2))
    one.warm()
    known = cad_xml.read_levels(XML, [another, one])
    assert known is not None
    assert known.of(another) is None
    another.warm()
    assert known.of(another) == known.of(one) == walk(XML)[0].declaration


def test_patterns_are_compiled_once_they_pay() -> None:
    plan = cad_xml.XmlReading(DECLARATION)
    assert not any(plan.levels(1_000) for _ in range(cad_xml.WALKED // 1_000))
    assert plan.levels(1_000)


def test_names_are_looked_for_around_what_the_patterns_know() -> None:
    known = cad_xml.read_levels(XML, PLANS.reading.xml.values())
    assert known is not None
    assert b"<Sender>" in known.text.named
    assert b"<GoodsShipment>" not in known.text.named
    known = cad_xml.read_levels(prefixed(XML), PLANS.reading.xml.values())
    assert known is not None
    assert known.text.named == prefixed(XML)


def test_a_value_that_chooses_is_looked_at_each_time() -> None:
    """Two lines of one shape, but the type code says that the second one's duty is another."""
    first = valid_declaration(lines=1)
    same = XML.replace(b"<TypeCode>CUD</TypeCode>", b"<TypeCode>GST</TypeCode>", 1)
    (declaration,) = (one.declaration for one in read(same))
    assert declaration is not None
    line = declaration.invoices[0].commodities[0]
    assert line.text("tariff_treatment") is None
    assert line.text("gst_code") == first.invoices[0].commodities[0].text("tariff_treatment")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<Classification>", b'<Classification xmlns="urn:another">'),  # a class of another namespace in between
        (b"<GoodsShipment>", b"<Stray><GovernmentAgencyGoodsItem/></Stray><GoodsShipment>"),
        (b"<GovernmentAgencyGoodsItem>", b"<GovernmentAgencyGoodsItem><GovernmentAgencyGoodsItem/>"),
        (b"<SequenceNumeric>1<", b"<Unknown>1</Unknown><SequenceNumeric>1<"),
        (b"<SequenceNumeric>1</SequenceNumeric>", b"<SequenceNumeric/>"),
        (b"<SequenceNumeric>1</SequenceNumeric>", b"<SequenceNumeric> </SequenceNumeric>"),
        (b"<IdentificationTypeCode>HS</IdentificationTypeCode>", b""),
        (b' unitCode="KGM"', b' unitCode="KGM" xmlns:d="urn:another"'),
        (b' unitCode="KGM"', b' unitCode=""'),
        (b"</Declaration>", b"</Declaration><Declaration/>"),
        (b"Smith", b"&#32;"),
        (b"Smith &amp; Sons &lt;West&gt;", b"&#xA0;"),
        (b"Smith", b"&#9999999;"),
        (b"Smith", b"&#99999999999999999999;"),
        (b"Smith", b"&none;"),
        (b"Smith", b"-->"),
        (b"<Declaration ", b"<!-- <Declaration> --><Declaration "),
        (b"<CommunicationMetaData>", b"<!-- <CommunicationMetaData>"),
        (b"<FunctionCode>9<", b"<FunctionCode> 9<"),
        (b"</MetaData>", b"</MetaData><!-- the end -->"),
        (b"</Declaration>", b"</Declaration><Footer/>"),
        (b' formatCode="102"', b' formatCode="103"'),
    ],
)
def test_what_is_not_written_plainly_is_walked(old: bytes, new: bytes) -> None:
    assert old in XML
    alike(XML.replace(old, new, 1))


OF_DECLARATION = "urn:wco:datamodel:WCO:Declaration:1"


@pytest.mark.parametrize("prefix", ["d", "o\u1680"])
@pytest.mark.parametrize("namespace", [OF_DECLARATION, "urn:another"])
def test_of_two_declarations_the_same_one_is_read_both_ways(prefix: str, namespace: str) -> None:
    """The first with the right name is read: also where a sign in its prefix, a blank for patterns, hides it."""
    text = XML.decode()
    start, end = text.index("<Declaration "), text.index("</MetaData>")
    first = re.sub(r"<(/?)(?=[A-Z])", rf"<\1{prefix}:", text[start:end]).replace(" xmlns=", f" xmlns:{prefix}=")
    second = text[start:end].replace("Steel frames", "Wood").replace(OF_DECLARATION, namespace)
    declaration = alike((text[:start] + first + second + text[end:]).encode())
    assert declaration is not None
    assert declaration.invoices[0].commodities[0].text("description") == "Steel frames"


def test_what_repeats_is_told_alike() -> None:
    """A class that says nothing, one that goes on with another of its kind, and one that gives an element once more."""
    text = XML.decode()
    start = text.index("<Classification>")
    end = text.index("</Classification>") + len("</Classification>")
    whole = text[start:end]
    number = whole[whole.index("<ID>") : whole.index("</ID>") + 5]
    for another in (whole, whole.replace(number, ""), whole.replace(number, "<ID></ID>")):
        alike((text[:end] + another + text[end:]).encode())
    alike((text[:start] + whole.replace(number, "") + whole + text[end:]).encode())


def test_the_memory_of_values_is_bounded() -> None:
    readings = notes.Readings(DECLARATION.elements["vendor_name"].format, lambda form, text: form.read(text))
    for number in range(3 * notes.TEXTS):
        assert readings[str(number)] == str(number)
    assert len(readings) <= notes.TEXTS
    assert readings["x" * 70] == "x" * 70
    assert "x" * 70 not in readings


def test_lines_astray_in_a_refused_document_teach_nothing_about_lines() -> None:
    """They once stood in a text, as many as there were lines: the next good declaration lost its own, and passed."""
    (good,) = walk(XML)
    text = XML.decode()
    first = text[text.index("<GovernmentAgencyGoodsItem>") :].partition("</GovernmentAgencyGoodsItem>")
    line = "".join(first[:2])
    start, end = text.index(line), text.rindex(first[1]) + len(first[1])
    refused = (text[:start] + "<GovernmentAgencyGoodsItem/>" * 2 + text[end:]).replace(
        "</FunctionalReferenceID>", f"{line} {line}</FunctionalReferenceID>", 1
    )
    assert not read(refused.encode())[0].document.fits
    assert read(XML)[0].declaration == good.declaration


def test_a_text_that_was_not_there_is_read_when_it_is() -> None:
    """A child in an element of text is a fault, but no reason to read another declaration than a fresh process does."""
    empty = XML.replace(b"<FunctionalReferenceID>REF-1<", b"<FunctionalReferenceID><ID/><", 1)
    filled = empty.replace(b"<ID/>", b"REF-1<ID/>", 1)
    assert empty != XML
    fresh = walk(filled)[0].declaration
    read(empty)
    assert read(filled)[0].declaration == fresh


@pytest.mark.parametrize("blank", ["\u00a0", "\u00a0 \u00a0"])
@pytest.mark.parametrize(
    ("old", "new"), [("RFF+ABO:REF-1'", "RFF+ABO:{}'"), ("FTX+AAA+++Steel frames'", "FTX+AAA+++{}'")]
)
def test_a_text_of_blanks_says_nothing(old: str, new: str, blank: str) -> None:
    """Any white space of Unicode is blank (DECISIONS D60), not only the space that pads a component."""
    original = write_edifact([valid_declaration()], DECLARATION, SAID, prepared=NOW)
    assert not read(original)[0].unread()
    changed = original.replace(old.encode(), new.format(blank).encode("iso-8859-1"), 1)
    assert [fault.code for fault in read(changed)[0].unread()] == ["CAD-0008"]


ORIGINALS = [SAMPLES / "originals" / name for name in ("ab-two-lines.edi", "published-example.xml")]
ORIGINALS += [Path("lines.edi"), Path("lines.xml")]


LINES = {  # lines that are written alike, and read so
    "lines.edi": write_edifact([valid_declaration(lines=3)], DECLARATION, SAID, prepared=NOW),
    "lines.xml": write_xml(valid_declaration(lines=3), DECLARATION, SAID),
}


def differing(path: Path, step: int) -> list[str]:
    """Return the mutants that are read otherwise the short way; one in so many is tried."""
    original = LINES[path.name] if path.name in LINES else path.read_bytes()
    mutants = edifact_mutants(original) if path.suffix == ".edi" else xml_mutants(original)
    found = []
    for what, mutant in islice(mutants, 0, None, step):
        walked = [(one.declaration, one.unread()) for one in walk(mutant)]
        if walked != [(one.declaration, one.unread()) for one in read(mutant)]:
            found.append(what)
    return found


@pytest.mark.parametrize("path", ORIGINALS, ids=lambda path: path.name)
def test_the_short_way_hides_nothing_that_a_walk_tells(path: Path) -> None:
    assert differing(path, 47) == []


@pytest.mark.slow
@pytest.mark.parametrize("path", ORIGINALS, ids=lambda path: path.name)
def test_no_mutant_is_read_otherwise_the_short_way(path: Path) -> None:
    assert differing(path, 1) == []


EDIFACT = write_edifact([valid_declaration(lines=3)], DECLARATION, SAID, prepared=NOW)


def walks(body: bytes) -> bool:
    """Tell whether an EDIFACT transmission is walked."""
    with patch.object(cad_edifact.EdifactWalk, "through", side_effect=LookupError):
        try:
            read(body)
        except LookupError:
            return True
    return False


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"LOC+27+US'LOC+35+US'", b"LOC+35+US'LOC+27+US'"),
        (b"+++Steel frames'", b"+++Steel:frames'"),
        (b"+++Steel frames'", b"+++" + b"x" * 512 + b":Steel:frames+EN'"),
        (b"+++Steel frames'", b"+++?:?'?+??Steel frames'"),
        (b"LOC+27+US'", b"LOC+27+US:162:5'"),
        (b"LOC+27+US'", b""),
        (b"LOC+22+0497'", b""),
    ],
)
def test_what_may_be_written_in_several_ways_is_not_walked(old: bytes, new: bytes) -> None:
    body = EDIFACT.replace(b"\n", b"")
    assert old in body
    changed = body.replace(old, new)
    assert alike(changed) is not None
    assert not walks(changed)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"LOC+27+US'", b"LOC+27+US'LOC+27+FR'"),
        (b"LOC+27+US'", b"LOC+27+US'LOC+99+FR'"),
        (b"LOC+27+US'", b"LOC+27'"),
        (b"LOC+27+US'", b"LOC+27+US:163'"),
        (b"LOC+27+US'", b"LOC+27+? '"),
        (b"GID+1'", b"GID+2'"),
        (b"SEQ++1'", b"SEQ++2'"),
        (b"HYN+3'", b"HYN+4'"),
        (b"LIN+1'", b"LIN+1:1'"),
        (b"LIN+1'", b"LIN:1+1'"),
        (b"+++Steel frames'", b"+++:Steel frames'"),
        (b"UNT+", b"UNT+0"),
        (b"BGM+AB:CAD+", b"BGM+AB:USA+"),
    ],
)
def test_what_is_out_of_the_ordinary_is_told_by_the_walk(old: bytes, new: bytes) -> None:
    body = EDIFACT.replace(b"\n", b"")
    assert old in body
    alike(body.replace(old, new, 1))
