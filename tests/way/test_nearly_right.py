"""What is nearly right is refused with what was found, what would be taken and where: one finding, never misleading."""

from __future__ import annotations

import re

import pytest

from core.findings import Finding
from core.register import Facts
from core.transmission import Received
from gateway import pipeline
from tests.support.way import NOW, PARTNERS, PLANS, SAMPLES

EDI = (SAMPLES / "originals/ab-two-lines.edi").read_bytes()
XML = (SAMPLES / "originals/published-example.xml").read_bytes()
METADATA, DECLARATION = "urn:wco:datamodel:WCO:MetaData:1", "urn:wco:datamodel:WCO:Declaration:1"
INNER = XML[XML.index(b"<Declaration") : XML.index(b"</Declaration>") + 14]
XSI = b'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
TYPE = "GOVCBR:D:13A:UN:CAD"


def edi(old: bytes, new: bytes) -> bytes:
    assert old in EDI
    return EDI.replace(old, new, 1)


def xml(old: bytes, new: bytes) -> bytes:
    assert old in XML
    return XML.replace(old, new, 1)


def findings(body: bytes) -> list[Finding]:
    partner = PARTNERS["maple" if body.startswith(b"UNA") else "erable"]
    outcome = pipeline.handle(Received("0" * 32, partner.id, body, NOW), Facts(partner), PLANS)
    return [finding for judged in outcome.judged for finding in judged.findings]


# What was sent; the finding, line and column; what was found and what would be taken.
ENVELOPES: dict[str, tuple[bytes, str, tuple[int, int], str | None, str]] = {
    "another Declaration": (
        xml(b"Declaration:1", b"Declaration:2"), "GTW-0002", (19, 3), DECLARATION[:-1] + "2", DECLARATION,
    ),
    "another MetaData": (xml(b"MetaData:1", b"MetaData:2"), "GTW-0002", (2, 1), METADATA[:-1] + "2", METADATA),
    "a long namespace that differs at its end": (
        xml(b"urn:wco:datamodel:WCO:Declaration:1", b"https://www.example.com/schemas/wco/datamodel/Declaration/2"),
        "GTW-0002", (19, 3), "…com/schemas/wco/datamodel/Declaration/2", DECLARATION,
    ),
    "no MetaData": (INNER, "GTW-0002", (1, 1), "Declaration", "MetaData"),
    "no namespace": (re.sub(rb' xmlns="[^"]+"', b"", XML), "GTW-0002", (2, 1), 'MetaData xmlns=""', METADATA),
    "a Declaration without namespace": (
        xml(b'<Declaration xmlns="urn:wco:datamodel:WCO:Declaration:1"', b'<Declaration xmlns=""'),
        "GTW-0002", (19, 3), 'Declaration xmlns=""', DECLARATION,
    ),
    "a Declaration in MetaData's namespace": (
        xml(b'<Declaration xmlns="urn:wco:datamodel:WCO:Declaration:1"', b"<Declaration"),
        "GTW-0002", (19, 3), METADATA, DECLARATION,
    ),
    "no Declaration": (XML.replace(INNER, b""), "GTW-0002", (2, 1), "MetaData", "MetaData/Declaration"),
    "small letters": (XML.replace(b"MetaData", b"Metadata"), "GTW-0002", (2, 1), "Metadata", "MetaData"),
    "function code": (xml(b"<FunctionCode>9", b"<FunctionCode>13"), "GTW-0002", (20, 19), "13", "9, 4, 1"),
    "no function code": (xml(b"<FunctionCode>9</FunctionCode>", b""), "GTW-0002", (19, 3), None, "9, 4, 1"),
    "the sender's id": (xml(b"ERABLECOURTIER", b"OTHER"), "GTW-0004", (13, 11), "OTHER", "ERABLECOURTIER"),
    "function code in EDIFACT": (edi(b"00001+9", b"00001+13"), "GTW-0002", (4, 33), "13", "9, 4, 1"),
    "another release": (edi(b"D:13A:UN", b"D:15A:UN"), "EDI-0305", (3, 7), "GOVCBR:D:15A:UN:CAD", TYPE),
    "another type": (edi(b"GOVCBR:D:13A", b"CUSDEC:D:96B"), "GTW-0002", (3, 7), "CUSDEC:D:96B:UN:CAD", TYPE),
    "another type, unknown": (edi(b"GOVCBR:D:13A", b"CUSRES:D:96B"), "EDI-0305", (3, 7), "CUSRES:D:96B:UN:CAD", TYPE),
    "no 0057": (edi(b":UN:CAD", b":UN"), "GTW-0002", (3, 7), "GOVCBR:D:13A:UN", TYPE),
    "another 0057": (edi(b":UN:CAD", b":UN:IID"), "GTW-0002", (3, 7), "GOVCBR:D:13A:UN:IID", TYPE),
}  # fmt: skip

# What was sent, line and column, and why it is not well-formed.
MALFORMED: dict[str, tuple[bytes, tuple[int, int], str]] = {
    "a blank in front": (b" " + XML, (1, 7), "blanks before the XML declaration"),
    "a line in front": (b"\n" + XML, (2, 6), "blanks before the XML declaration"),
    "UTF-16 on UTF-8": (xml(b"'UTF-8'", b"'UTF-16'"), (1, 38), "encoding that it declares is not its own"),
    "two documents": (XML + XML, (140, 17), "a second document behind the first"),
    "something behind": (XML + b"END", (140, 12), "something follows the end"),
    "no version": (xml(b"version='1.0' ", b""), (1, 7), "without its version"),
    "the version last": (xml(b"version='1.0' encoding='UTF-8'", b"encoding='UTF-8' version='1.0'"), (1, 7), "version"),
    "version 2.0": (xml(b"'1.0'", b"'2.0'"), (1, 20), "a version of XML that is not supported"),
    "utf_8": (xml(b"UTF-8", b"utf_8"), (1, 37), "an encoding that is not known"),
    "< in a value": (xml(b'"102"', b'"1<2"'), (24, 36), "a sign < in the value of an attribute"),
    "a value without quotes": (xml(b'"102"', b"102"), (24, 34), "attribute without quotes"),
    "no value": (xml(b'="102"', b""), (24, 33), "an attribute without a value"),
    "]]>": (xml(b"REF-01013", b"]]>"), (21, 28), "]]> outside"),
    "--": (xml(b"REF-01013", b"<!-- a -- b -->"), (21, 35), "two hyphens"),
    "no blank": (xml(b'"102"', b'"102"a="1"'), (24, 39), "a blank is missing"),
    "&amp": (xml(b"REF-01013", b"A &amp B"), (21, 34), "without its semicolon"),
}


@pytest.mark.parametrize("kind", ENVELOPES)
def test_what_was_found_and_what_would_be_taken(kind: str) -> None:
    body, code, place, value, expected = ENVELOPES[kind]
    (found,) = findings(body)
    assert (found.code, (found.place.line, found.place.column)) == (code, place)
    assert (found.value, found.expected) == (value, expected)
    for text in (found.text.en, found.text.fr):
        assert expected in text
        assert value is None or value in text


@pytest.mark.parametrize("kind", MALFORMED)
def test_why_a_document_is_not_well_formed(kind: str) -> None:
    body, place, words = MALFORMED[kind]
    (found,) = findings(body)
    assert (found.code, (found.place.line, found.place.column)) == ("XML-0001", place)
    assert words in found.text.en


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [(b"<Declaration ", b'<Declaration xsi:type="DeclarationType" ', 19), (b"<ID>24", b'<ID xsi:type="x">24', 22)],
)
def test_a_type_of_its_own_is_one_true_finding(old: bytes, new: bytes, line: int) -> None:
    (found,) = findings(xml(old, new).replace(b"<MetaData ", b"<MetaData " + XSI + b" "))
    assert (found.code, found.place.line) == ("XML-0004", line)
    assert "may not have xsi:type" in found.text.en


def test_a_fault_of_syntax_names_the_dictionarys_element() -> None:
    (found,) = findings(edi(b"DTM+11:20260105:102", b"DTM+11:20261305:102"))
    assert found.code == "EDI-0511"
    assert found.text.en.startswith("Direct shipment date: 20261305 is not a real date")
    assert found.text.fr.startswith("Date d'expédition directe : 20261305 n'est pas")


def test_a_fault_of_syntax_names_no_element_where_only_the_group_tells_which_it_is() -> None:
    """FTX+ACD of group 13 is the remark of the first, the second or the third reason."""
    found, _ = findings(edi(b"RCS+11+RPP", b"RCS+11+RS1:CAD'FTX+ACD++R1+" + b"x" * 600 + b"'RCS+11+RPP"))  # and UNT
    assert (found.code, found.text.en[:11]) == ("EDI-0508", "4440 of FTX")


def test_a_code_outside_its_period_says_until_when_it_was_valid_and_on_which_date() -> None:
    found = [each.text for each in findings(EDI.replace(b"CUD:CAD+++02", b"CUD:CAD+++12"))]
    assert found
    assert all(" on 2026-01-12 (Release date); it is valid until 2020-06-30." in each.en for each in found)
    assert all(" le 2026-01-12 (Date de mainlevée); il est valide jusqu'au 2020-06-30." in each.fr for each in found)


def test_a_code_that_no_list_has_says_nothing_of_dates() -> None:
    found = [each for each in findings(EDI.replace(b":EUR", b":QQQ")) if each.code == "CAD-0003"]
    assert found
    assert all("valid" not in each.text.en for each in found)
