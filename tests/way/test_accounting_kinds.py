"""Each kind of content that was once dropped without a word: what is sent, what is found, and where."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from core.transmission import Judged, Received, Verdict
from edifact.text import MessageText
from gateway import pipeline
from parsers.cad_edifact import EdifactDocument
from tests.support.accounting import Interchange, counted
from tests.support.way import NOW, PLANS
from tests.way.test_accounting import accepted, account

V, AB, X = "originals/v-voluntary.edi", "originals/ab-two-lines.edi", "originals/published-example.xml"
XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


class Kind(NamedTuple):
    """An edit of a sample, and what it earns: codes with their places, `TAG element.component` or the XPath's end."""

    file: str
    old: str
    new: str
    found: str


UNKNOWN = {
    "an amount in another currency than its invoice": Kind(
        V, "MOA+39:1200:EUR'", "MOA+39:1200:EUR'MOA+64:100:USD'", "CAD-0007 MOA 2.3"
    ),
    "an amount with the currency of its invoice": Kind(
        V, "MOA+39:1200:EUR'", "MOA+39:1200:EUR'MOA+64:100:EUR'", "CAD-0007 MOA 2.3"
    ),
    "a range": Kind(V, "KGM:10'", "KGM:10:5:20'", "CAD-0007 MEA 4.3"),
    "a rate": Kind(V, "CUD:CAD+++02'", "CUD:CAD+++02:::5'", "CAD-0007 TAX 6.4"),
    "a basis": Kind(V, "CUD:CAD+++02'", "CUD:CAD++100+02'", "CAD-0007 TAX 5.1"),
    "behind a reference": Kind(V, "ABO:REF-00023'", "ABO:REF-00023:1'", "CAD-0007 RFF 2.3"),
    "far behind a reference": Kind(V, "ABO:REF-00023'", "ABO:REF-00023:::X'", "CAD-0007 RFF 2.5"),
    "behind a line's number": Kind(V, "LIN+1'", "LIN+1++4711:SRV'", "CAD-0007 LIN 4.1"),
    "an action of a line": Kind(V, "LIN+1'", "LIN+1+1'", "CAD-0007 LIN 3.1"),
    "packages": Kind(V, "GID+1'", "GID+1+5:PK'", "CAD-0007 GID 3.1"),
    "the name of a document": Kind(V, "BGM+V:CAD+", "BGM+V:CAD::Voluntary+", "CAD-0007 BGM 2.4"),
    "a revision": Kind(V, ":00001+9'", ":00001:7+9'", "CAD-0007 BGM 3.3"),
    "a response type": Kind(V, ":00001+9'", ":00001+9+AB'", "CAD-0007 BGM 5.1"),
    "another list than the CAD's": Kind(V, "BGM+V:CAD+", "BGM+V:XXX+", "CAD-0007 BGM 2.1"),
    "a contact's name": Kind(V, "CTA+DI'", "CTA+DI+:Jo Smith'", "CAD-0007 CTA 3.2"),
    "an address without names": Kind(V, "0001++Maple", "0001+Maple Bridges+Maple", "CAD-0007 NAD 4.1"),
    "the agency of a code": Kind(V, "LOC+22+0009'", "LOC+22+0009::6'", "CAD-0007 LOC 3.3"),
    "an agency that is not the code's": Kind(V, "LOC+27+DE'", "LOC+27+DE:162:6'", "CAD-0007 LOC 3.3"),
    "a related place": Kind(V, "LOC+27+DE'", "LOC+27+DE+HH'", "CAD-0007 LOC 4.1"),
    "a segment of another kind": Kind(V, "LOC+22+0009'", "LOC+22+0009'LOC+41+0009'", "CAD-0007 LOC"),
    "a group of another kind": Kind(V, "NAD+BY+", "NAD+CN+", "CAD-0007 NAD"),
    "what a text is about": Kind(V, "FTX+CUS++Y'", "FTX+CUS+1+Y'", "CAD-0007 FTX 3.1"),
    "an unknown language": Kind(V, "structures, welded'", "structures, welded+DE'", "CAD-0007 FTX 6.1"),
    "an attribute of the schema's own": Kind(
        X, "<FunctionCode>", f'<FunctionCode {XSI} xmlns:d="urn:wco:datamodel:WCO:Declaration:1" xsi:type="d:Text2">',
        "CAD-0007 /FunctionCode/@type",
    ),
    "a class of another kind": Kind(
        X, "<StatementTypeCode>RPP<", "<StatementTypeCode>QQQ<", "CAD-0007 /AdditionalInformation"
    ),
}  # fmt: skip

TOLD = {
    "an invoice numbered otherwise": Kind(V, "SEQ++1'\r\nRFF", "SEQ++7'RFF", "CAD-0010 SEQ 3.1"),
    "an invoice without its number": Kind(V, "SEQ++1'\r\nRFF", "SEQ+1'RFF", "CAD-0007 SEQ 2.1, CAD-0010 SEQ 3.1"),
    "goods numbered otherwise": Kind(V, "GID+1'", "GID+2'", "CAD-0010 GID 2.1"),
    "another hierarchy": Kind(V, "HYN+3'", "HYN+4'", "CAD-0010 HYN 2.1"),
    "a document numbered otherwise": Kind(V, "SEQ++1'\r\nMOA", "SEQ++2'MOA", "CAD-0010 SEQ 3.1"),
    "a party in two halves": Kind(
        V, "NAD+IM+123456782RM0001++Maple", "NAD+IM++++++ON'NAD+IM+123456782RM0001++Maple", "CAD-0006 NAD 8.1"
    ),
    "a party in two halves that go together": Kind(
        V, "++Ottawa+ON+K1A0A1+CA'\r\nCTA", "++Ottawa+ON+K1A0A1'NAD+IM++++++++CA'CTA", "CAD-0009 NAD"
    ),
    "an amount and its currency apart": Kind(
        V, "MOA+39:1200:EUR'", "MOA+39:1200'MOA+39::EUR'", "CAD-0009 MOA"
    ),
    "a statement in two halves": Kind(
        X,
        "<DutyRegimeCode>S<",
        "<TypeCode>ADD</TypeCode></DutyTaxFee><DutyTaxFee><DutyRegimeCode>S<",
        "CAD-0009 /DutyTaxFee[3]",
    ),
    "a reference without its number": Kind(V, "RFF+ON:PO-4711'", "RFF+ON'", "CAD-0008 RFF"),
    "a date without a day": Kind(V, "RFF+ABO", "DTM+58::102'RFF+ABO", "CAD-0008 DTM"),
    "a statement without its text": Kind(V, "RCS+11+RPP:CAD'\r\nFTX+CUS++Y'", "RCS+11+RPP:CAD'", "CAD-0008 RCS"),
    "an empty class": Kind(X, "</Buyer>\n", "</Buyer><CustomsValuation/>", "CAD-0008 /CustomsValuation"),
    "a class with its kind alone": Kind(
        X, "<StatementCode>Y</StatementCode>\n      <StatementTypeCode>RPP", "<StatementTypeCode>RPP",
        "CAD-0008 /AdditionalInformation",
    ),
    "metadata of another customization": Kind(
        X, "<AgencyAssignedCustomizationCode>CAD<", "<AgencyAssignedCustomizationCode>IID<",
        "CAD-0011 /AgencyAssignedCustomizationCode",
    ),
    "a comma where UNA has the point": Kind(V, "KGM:10'", "KGM:1,500'", "CAD-0002 MEA 4.2"),
    "a blank behind a code": Kind(V, "BGM+V:", "BGM+V :", "EDI-0521 BGM 2.1"),
    "a blank behind a qualifier": Kind(V, "NAD+IM+", "NAD+IM +", "EDI-0521 NAD 2"),
    "a blank behind the version": Kind(V, "CAD+1.00'", "CAD+1.00 '", "EDI-0521 UNH 4"),
    "a blank behind the association's code": Kind(V, ":UN:CAD+", ":UN:CAD +", "EDI-0521 UNH 3.5"),
    "a blank behind the function code": Kind(V, ":00001+9'", ":00001+9 '", "EDI-0521 BGM 4"),
    "a blank behind a text": Kind(V, "Nord GmbH+", "Nord GmbH   +", "EDI-0521 NAD 5.1"),
    "a blank behind a number": Kind(V, "39:1200:", "39:1200 :", "EDI-0521 MOA 2.2"),
    "a blank behind a constant": Kind(V, "HYN+3'", "HYN+3 '", "EDI-0521 HYN 2"),
    "a blank behind a control total": Kind(V, "CNT+5:1'", "CNT+5:1 '", "EDI-0521 CNT 2.2"),
    "a blank where nothing stands": Kind(V, "AAR++KGM", "AAR+ +KGM", "EDI-0521 MEA 3.1"),
    "blanks behind everything": Kind(V, "+Hamburg+++DE'", "+Hamburg   + +  +DE '", "EDI-0521 NAD 7"),
}  # fmt: skip

# These say the same as what they stand for, or what they say is declared.
KEPT = {
    "a text in two components": Kind(V, "Steel structures, welded'", "Steel structures,:welded'", ""),
    "a text with an empty component": Kind(V, "Steel structures, welded'", "Steel structures,::welded'", ""),
    "a name in two components": Kind(V, "Stahlbau Nord GmbH", "Stahlbau Nord:GmbH", ""),
    "blanks within a text": Kind(V, "Steel structures, welded'", "Steel  structures,   welded'", ""),
    "the list and the agency of a country": Kind(V, "LOC+27+DE'", "LOC+27+DE:162:5'", ""),
    "the language of a text": Kind(V, "structures, welded'", "structures, welded+EN'", ""),
    "blanks within a text of XML": Kind(X, "Barres en aluminium", "Barres\n   en  aluminium", ""),
    "blanks around an attribute": Kind(X, 'currencyID="CAD">150</Item', 'currencyID=" CAD ">150</Item', ""),
    "where the schema is": Kind(
        X, "<Declaration ", f'<Declaration {XSI} xsi:schemaLocation="urn:wco:datamodel:WCO:Declaration:1 a.xsd" ', ""
    ),
}  # fmt: skip


def edited(kind: Kind) -> bytes:
    """The sample with the edit, and the number of its segments put right."""
    body = accepted()[kind.file][0]
    encoding = "utf-8" if kind.file.endswith(".xml") else "latin-1"
    text = body.decode(encoding)
    old = kind.old.replace("\r\n", "\n")
    assert old in text
    changed = text.replace(old, kind.new, 1).encode(encoding)
    if kind.file.endswith(".xml"):
        return changed
    interchange = Interchange(changed)
    return interchange.write(counted(interchange.segments))


def judged(kind: Kind, body: bytes) -> Judged:
    _, partner, facts = accepted()[kind.file]
    (one,) = pipeline.handle(Received("r", partner, body, NOW), facts, PLANS).judged
    return one


def shown(one: Judged) -> str:
    """The findings of a message with their places."""
    places = []
    for finding in one.findings:
        place, document = finding.place, one.message.document
        where = f"/{(place.xpath or '').split('/')[-1]}"
        if (place.xpath or "").rpartition("/")[2].startswith("@"):
            where = "/" + "/".join((place.xpath or "").split("/")[-2:])
        if isinstance(document, EdifactDocument):
            text: MessageText = document.message
            where = text.tags[(place.segment or 1) - 1]
            where += f" {place.element}" if place.element else ""
            where += f".{place.component}" if place.component else ""
        places.append(f"{finding.code} {where}")
        assert finding.place.line
        assert finding.text.en != finding.text.fr
        assert "{" not in finding.text.en + finding.text.fr
    return ", ".join(places)


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_no_declaration_has_is_refused(name: str) -> None:
    one = judged(UNKNOWN[name], edited(UNKNOWN[name]))
    assert shown(one) == UNKNOWN[name].found
    assert one.verdict is Verdict.REFUSED


@pytest.mark.parametrize("name", TOLD)
def test_what_is_not_as_it_should_be_is_told(name: str) -> None:
    one = judged(TOLD[name], edited(TOLD[name]))
    assert shown(one) == TOLD[name].found
    tolerated = all(finding.code in ("CAD-0008", "CAD-0011", "EDI-0521") for finding in one.findings)
    assert one.verdict is (Verdict.ACCEPTED if tolerated else Verdict.REFUSED)


@pytest.mark.parametrize("name", KEPT)
def test_what_says_the_same_is_read_as_the_same(name: str) -> None:
    kind = KEPT[name]
    body = edited(kind)
    one, plain = judged(kind, body), judged(kind, accepted()[kind.file][0])
    assert shown(one) == ""
    assert one.message.declaration == plain.message.declaration
    assert account(body, *accepted()[kind.file][1:]) == "kept"


@pytest.mark.parametrize(("una", "written", "verdict"), [
    ("UNA:+.? '", "1.500", Verdict.ACCEPTED),
    ("UNA:+.? '", "1,500", Verdict.REFUSED),
    ("UNA:+,? '", "1,500", Verdict.ACCEPTED),
    ("UNA:+,? '", "1.500", Verdict.REFUSED),
    ("", "1.500", Verdict.ACCEPTED),
    ("", "1,500", Verdict.ACCEPTED),
    ("", "1.500,000", Verdict.REFUSED),
    ("UNA:+.? '", "1 500", Verdict.REFUSED),
])  # fmt: skip
def test_a_quantity_has_the_decimal_mark_of_its_interchange(una: str, written: str, verdict: Verdict) -> None:
    """MEA 6314 is alphanumeric: the UN's table says nothing of marks in it. CNT and MOA are written without one."""
    kind = Kind(V, "KGM:10'", f"KGM:{written}'", "")
    body = edited(kind).replace(b"UNA:+.? '", una.encode(), 1).replace(b"250.5", b"250")
    one = judged(kind, body)
    assert one.verdict is verdict
    if verdict is Verdict.REFUSED:
        assert [(finding.code, finding.value) for finding in one.findings] == [("CAD-0002", written)]
        return
    assert one.message.declaration
    assert str(one.message.declaration.invoices[0].commodities[0].amount("quantity")) == "1.500"


def test_a_text_that_is_full_runs_on_in_the_next_component() -> None:
    """Where a component is shorter than it may be, its blank at the end was left out, or a line ends there."""
    long = "x" * 70
    kind = Kind(V, "Stahlbau Nord GmbH", f"{'y' * 30}:{'z' * 30}", "vendor_name")
    declaration = judged(kind, edited(kind)).message.declaration
    assert declaration
    assert declaration.invoices[0].text("vendor_name") == f"{'y' * 30} {'z' * 30}"
    kind = kind._replace(new=f"{long}:GmbH")
    one = judged(kind, edited(kind))
    assert [(finding.code, finding.expected) for finding in one.findings] == [("CAD-0002", "an..70")]
    assert one.message.declaration
    assert one.message.declaration.invoices[0].values["vendor_name"] == f"{long}GmbH"


def test_blanks_are_collapsed_before_a_text_is_measured() -> None:
    kind = Kind(X, "<Name>Acier Exemple<", f"<Name>{'A' * 34}  {'B' * 35}<", "")
    one = judged(kind, edited(kind))
    assert one.findings == ()
    assert one.message.declaration
    assert one.message.declaration.invoices[0].text("vendor_name") == f"{'A' * 34} {'B' * 35}"


def test_the_senders_own_line_numbers_are_declared_as_they_are() -> None:
    for file, old, new in ((AB, "LIN+2'", "LIN+20'"), (X, "<SequenceNumeric>1<", "<SequenceNumeric>10<")):
        kind = Kind(file, old, new, "")
        one = judged(kind, edited(kind))
        assert one.findings == ()
        assert one.message.declaration
        last = one.message.declaration.invoices[0].commodities[-1]
        assert str(last.amount("line_number")) in ("20", "10")
        assert account(edited(kind), *accepted()[file][1:]) == "kept"


def test_a_group_whose_trigger_is_misspelled_is_refused_and_read_as_far_as_it_goes() -> None:
    body = accepted()[V][0].replace(b"SEQ++1'", b"SEQDTM++1'", 1)
    _, partner, facts = accepted()[V]
    (one,) = pipeline.handle(Received("r", partner, body, NOW), facts, PLANS).judged
    assert one.verdict is Verdict.REFUSED
