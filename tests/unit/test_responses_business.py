"""Business answers in both syntaxes: read back by independent readers, held to the UN structure and the WCO schema."""

import csv
import hashlib
import json
import re
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.declaration import Declaration
from core.errors import GatewayError
from core.findings import Bilingual, Severity
from core.limits import FINDINGS_LISTED
from core.transmission import Received, Syntax
from responses.business import pointer_steps
from responses.receipt import receipt
from tests.support.answers import (
    DIRECTORIES,
    ENGLISH,
    FINDING,
    FRENCH,
    ID,
    NOW,
    NS,
    REFUSED,
    RESULT,
    SPECS_FOLDER,
    edifact,
    judged,
    make,
    of,
    steps,
    subject,
    walk,
    xml,
)
from tests.support.effort import times

pytestmark = pytest.mark.filterwarnings("ignore::pydifact.exceptions.MissingImplementationWarning")

CASES = [
    ("refused", (FINDING,), None),
    ("accepted", (), None),
    ("accepted", (replace(FINDING, severity=Severity.WARN),), None),
    ("assessed", (), RESULT),
    ("pending", (), replace(RESULT, outcome="pending", reasons=(REFUSED.reasons[0],))),
    ("engine-refused", (), REFUSED),
    ("technical", (FINDING,), None),
]


@pytest.mark.parametrize("partner", [ENGLISH, FRENCH], ids=["en", "fr"])
@pytest.mark.parametrize("interchange", [None, subject(), subject("UNOC", "4"), subject("UNOW", "4")])
@pytest.mark.parametrize(("kind", "findings", "result"), CASES)
def test_every_answer_walks_the_unmodified_un_structure(kind, findings, result, interchange, partner):
    body = edifact(kind, judged(Syntax.EDIFACT, *findings), result=result, interchange=interchange, partner=partner)
    walk(body)


@pytest.mark.parametrize("partner", [ENGLISH, FRENCH], ids=["en", "fr"])
@pytest.mark.parametrize(("kind", "findings", "result"), CASES)
def test_every_answer_keeps_the_response_schema(kind, findings, result, partner):
    xml(kind, judged(Syntax.XML, *findings), result=result, partner=partner)
    xml(kind, judged(Syntax.XML, *findings, known=False), result=result, partner=partner)


def test_a_refusal_in_edifact_tells_what_where_and_why():
    body = edifact("refused", judged(Syntax.EDIFACT, FINDING), interchange=subject())
    assert of("UNB", body) == [
        (["UNOC", "3"], ["CUSTOMS", "14"], ["MAPLEBROKER", "ZZ"], ["261122", "2141"], "0123456789ABCD")
    ]
    assert of("BGM", body) == [(["963", "CAD"], ["12345000000012", "00001"], "11", "RE")]
    assert of("DTM", body) == [(["137", "20261122214107EST", "304"],)]
    assert of("RFF", body) == [(["ABO", "REF'1"],), (["AGO", "MSG7"],), (["INO", "ICR42"],)]
    assert of("STS", body) == [("7", ["41", "", "", "Refused"])]
    assert of("RCS", body) == [("11", ["CAD-0003", "CAD", "", "1"])]
    said, more = of("FTX", body)
    assert said == ("AAO", "", "refuse", FINDING.text.en, "EN")
    assert more[:3] == ("ACB", "", "")
    assert more[3] == [
        "place: segment 12, element 3, component 1",
        "value: 7308?+:'X",
        "expected: a code of the list 'country'",
        "source: form BSF946",
    ]
    assert of("ERC", body) == [("CAD-0003",)]
    assert steps(body) == [("42A", ""), ("67A", "2"), ("68A", "3"), ("23A", ""), ("21A", "1")]
    assert of("ELU", body) == [("145",)]
    assert of("CNT", body) == [(["55", "1"],)]
    assert of("UNZ", body) == [("1", "0123456789ABCD")]


def test_a_refusal_in_xml_tells_the_same():
    root = xml("refused", judged(Syntax.XML, FINDING), partner=FRENCH)
    assert root.findtext("r:FunctionCode", namespaces=NS) == "11"
    assert root.findtext("r:FunctionalReferenceID", namespaces=NS) == ID
    assert root.findtext("r:IssueDateTime/r:DateTimeString", namespaces=NS) == "20261122214107EST"
    assert root.findtext("r:Status/r:NameCode", namespaces=NS) == "41"
    assert root.findtext("r:Declaration/r:ID", namespaces=NS) == "12345000000012"
    assert root.findtext("r:Declaration/r:VersionID", namespaces=NS) == "00001"
    assert root.findtext("r:Declaration/r:FunctionalReferenceID", namespaces=NS) == "REF'1"
    (error,) = root.findall("r:Error", NS)
    assert error.findtext("r:Description", namespaces=NS) == FINDING.text.fr
    assert error.find("r:Description", NS).get("languageID") == "fr"
    assert error.findtext("r:ValidationCode", namespaces=NS) == "CAD-0003"
    chain = [
        tuple(step.findtext(f"r:{name}", namespaces=NS) for name in ("DocumentSectionCode", "SequenceNumeric", "TagID"))
        for step in error.findall("r:Pointer", NS)
    ]
    assert chain == [
        ("42A", None, None),
        ("67A", "2", None),
        ("68A", "3", None),
        ("23A", None, None),
        ("21A", "1", "145"),
    ]
    details = root.xpath("r:AdditionalInformation[r:StatementTypeCode='ACB']", namespaces=NS)
    assert details[0].findtext("r:StatementCode", namespaces=NS) == "refuse"
    said = details[0].findtext("r:StatementDescription", namespaces=NS)
    assert "valeur : 7308?+:'X" in said
    assert "source : formulaire BSF946" in said


def test_french_fits_the_character_set():
    latin = edifact("refused", judged(Syntax.EDIFACT, FINDING), partner=FRENCH, interchange=subject())
    assert of("STS", latin) == [("7", ["41", "", "", "Refusé"])]
    assert of("FTX", latin)[0][3:] == ("Le code n'est pas dans la liste : « coeur ».", "FR")
    unicode = edifact("refused", judged(Syntax.EDIFACT, FINDING), partner=FRENCH, interchange=subject("UNOW", "4"))
    assert of("UNB", unicode, "utf-8")[0][0] == ["UNOW", "4"]
    assert of("UNB", unicode, "utf-8")[0][3] == ["20261122", "2141"]
    assert of("FTX", unicode, "utf-8")[0][3] == FINDING.text.fr


def test_a_star_is_released_in_version_4_only():
    finding = replace(FINDING, value="A*B")
    four = edifact("refused", judged(Syntax.EDIFACT, finding), interchange=subject("UNOC", "4"))
    three = edifact("refused", judged(Syntax.EDIFACT, finding), interchange=subject("UNOC", "3"))
    assert four.startswith(b"UNA:+.?*'UNB+UNOC:4+")
    assert b"A?*B" in four
    assert three.startswith(b"UNA:+.? 'UNB+UNOC:3+")
    assert b"A*B" in three


def test_all_findings_are_counted_and_only_so_many_listed():
    findings = [replace(FINDING, value=str(number)) for number in range(FINDINGS_LISTED + 7)]
    body = edifact("refused", judged(Syntax.EDIFACT, *findings))
    walk(body)
    assert len(of("ERC", body)) == FINDINGS_LISTED
    assert of("CNT", body) == [(["55", str(FINDINGS_LISTED + 7)],)]
    root = xml("refused", judged(Syntax.XML, *findings))
    assert len(root.findall("r:Error", NS)) == FINDINGS_LISTED
    assert (
        root.xpath("string(r:AdditionalInformation[r:StatementTypeCode='CNT']/r:StatementCode)", namespaces=NS) == "57"
    )


def test_an_unreadable_message_is_answered_by_its_references():
    body = edifact("refused", judged(Syntax.EDIFACT, FINDING, known=False))
    walk(body)
    assert of("BGM", body) == [(["963", "CAD"], "", "11", "RE")]
    assert of("RFF", body) == [(["AGO", "MSG7"],), (["INO", "ICR42"],)]
    root = xml("refused", judged(Syntax.XML, FINDING, known=False))
    assert root.findtext("r:Declaration/r:FunctionalReferenceID", namespaces=NS) == "MSG7"


def test_what_has_no_syntax_is_refused_in_json():
    content_type, body = make("refused", judged(Syntax.UNKNOWN, FINDING, known=False))
    assert content_type == "application/json"
    content = json.loads(body)
    assert content["findings_total"] == 1
    assert content["findings"][0]["code"] == "CAD-0003"


def test_the_answer_to_a_test_is_a_test():
    body = edifact("accepted", judged(Syntax.EDIFACT, test=True))
    walk(body)
    assert of("UNB", body)[0][-1] == "1"
    root = xml("accepted", judged(Syntax.XML, test=True))
    assert root.xpath("r:AdditionalInformation[r:StatementTypeCode='TST']/r:StatementCode/text()", namespaces=NS) == [
        "1"
    ]


def test_an_assessment_brings_every_amount_in_both_syntaxes():
    body = edifact("assessed", judged(Syntax.EDIFACT), result=RESULT)
    assert of("BGM", body)[0][3] == "AP"
    assert of("DTM", body)[1] == (["140", "20261201", "102"],)
    assert of("MOA", body)[0] == (["43", "450.00", "CAD"],)
    root = xml("assessed", judged(Syntax.XML), result=RESULT)
    for code, amount in (("CUD", "7.50"), ("ADD", "34.00"), ("CVD", "4.00"), ("SUR", "37.50"), ("OTH", "1.00"),
                         ("EXC", "6.00"), ("FET", "8.00"), ("GST", "27.40"), ("TOT", "125.40")):  # fmt: skip
        path = f"r:Declaration/r:DutyTaxFee[r:TypeCode='{code}']/r:Payment/r:TaxAssessedAmount"
        assert root.xpath(f"string({path})", namespaces=NS) == amount
    due = "r:Declaration/r:DutyTaxFee[r:TypeCode='TOT']/r:Payment/r:DueDateTime/r:DateTimeString"
    assert root.xpath(f"string({due})", namespaces=NS) == "20261201"
    shipments = root.findall("r:Declaration/r:GoodsShipment", NS)
    assert [len(shipment.findall("r:GovernmentAgencyGoodsItem", NS)) for shipment in shipments] == [2, 1]
    assert len(of("LIN", body)) == 3
    assert len(of("SEQ", body)) == 2


def amounts_by_the_dictionary(body):
    """Read the answers' elements of the dictionary (direction out) from their EDIFACT places."""
    message = walk(body)
    tree = DIRECTORIES.structure(message.identifier).tree(message.tags)
    groups = {}

    def visit(occurrence):
        groups.setdefault(occurrence.number, []).append(occurrence)
        for child in occurrence.children:
            visit(child)

    visit(tree)

    def value(index, position):
        element, _, component = position.partition(".")
        return message.value(index, int(element) - 1, int(component or 1))  # the tag is element 1

    def holds(index, conditions):
        return all(
            value(index, key) == wanted for key, _, wanted in (c.partition("=") for c in conditions.split(",") if c)
        )

    found = {}
    rows = csv.DictReader((SPECS_FOLDER / "chapter24/elements.csv").open(encoding="utf-8"))
    for row in rows:
        if row["direction"] != "out" or not row["edifact_place"]:
            continue
        group, trigger, tag, conditions, position = re.fullmatch(
            r"(\d+)(?:\[\w{3}/([^\]]*)\])?/(\w{3})(?:\[([^\]]*)\])?/([\d.]+)", row["edifact_place"]
        ).groups()
        found[row["element"]] = [
            value(index, position)
            for occurrence in groups.get(int(group), [])
            if holds(occurrence.segments[0], trigger or "")
            for index in occurrence.segments
            if message.tags[index] == tag and holds(index, conditions or "")
        ]
    return found


def test_answers_keep_the_places_of_the_dictionary():
    found = amounts_by_the_dictionary(edifact("assessed", judged(Syntax.EDIFACT), result=RESULT))
    totals = RESULT.totals
    assert found["total_value_for_duty"] == [str(totals.value_for_duty)]
    assert found["total_customs_duties"] == [str(totals.customs_duty)]
    assert found["total_anti_dumping"] == [str(totals.anti_dumping)]
    assert found["total_countervailing"] == [str(totals.countervailing)]
    assert found["total_surtaxes"] == [str(totals.surtax)]
    assert found["total_safeguards"] == [str(totals.safeguard)]
    assert found["total_excise_duties"] == [str(totals.excise_duty)]
    assert found["total_excise_taxes"] == [str(totals.excise_tax)]
    assert found["total_gst"] == [str(totals.gst)]
    assert found["total_duties_and_taxes"] == [str(totals.total)]
    assert found["value_for_duty"] == ["150.00", "150.00", "150.00"]
    assert found["sima_code"] == ["51", "10"]
    remarks = amounts_by_the_dictionary(edifact("engine-refused", judged(Syntax.EDIFACT), result=REFUSED))
    assert remarks["cbsa_remark"] == ["No exchange rate."]


def test_a_refusal_by_the_engine_points_to_its_line():
    body = edifact("engine-refused", judged(Syntax.EDIFACT), result=REFUSED)
    assert of("STS", body)[0][1][0] == "63"
    assert of("ERC", body) == [("ENG-0001",), ("ENG-0009",)]
    assert steps(body) == [("42A", ""), ("67A", "2"), ("68A", "3"), ("42A", "")]
    root = xml("engine-refused", judged(Syntax.XML), result=REFUSED, partner=FRENCH)
    assert [error.findtext("r:Description", namespaces=NS) for error in root.findall("r:Error", NS)] == [
        "Aucun taux de change.",
        "Pas cette fois.",
    ]


def test_the_same_input_gives_the_same_bytes():
    for syntax in Syntax:
        assert make("refused", judged(syntax, FINDING)) == make("refused", judged(syntax, FINDING))


@pytest.mark.parametrize(("kind", "result"), [("assessed", None), ("perhaps", RESULT)])
def test_what_cannot_be_said_is_an_error(kind, result):
    with pytest.raises(GatewayError, match=f"cannot be written as '{kind}'"):
        make(kind, judged(Syntax.XML), result=result)


def test_pointers():
    assert [tuple(step) for step in pointer_steps("42A/67A[2]/D014")] == [("42A", None, None), ("67A", 2, "D014")]
    assert pointer_steps(None) == ()
    assert pointer_steps("") == ()


ANYTHING = st.text(max_size=600)


@settings(max_examples=times(0.6))
@example("x", "y", "a ", None)
@example("x", "y", "\u2003a", subject("UNOC", "4"))
@example("x", "y", "a" * 69 + " b", subject("UNOW", "4"))
@example("a" * 511 + "  " + "b", " " * 9 + "y", "a", None)
@given(ANYTHING, ANYTHING, ANYTHING, st.sampled_from([None, subject(), subject("UNOC", "4"), subject("UNOW", "4")]))
def test_no_text_breaks_an_answer(text, value, reference, interchange):
    finding = replace(FINDING, text=Bilingual(text.strip() or "x", text.strip() or "x"), value=value)
    message = judged(Syntax.EDIFACT, finding)
    envelope = replace(message.message.envelope, reference=reference, message=reference)
    declaration = Declaration({"functional_reference": reference[:35]})
    message = replace(message, message=replace(message.message, envelope=envelope, declaration=declaration))
    body = edifact("refused", message, interchange=interchange)
    walk(body)
    utf8 = interchange is not None and interchange.syntax_id == "UNOW"
    assert of("ERC", body, "utf-8" if utf8 else "iso-8859-1") == [("CAD-0003",)]
    xml("refused", replace(message, message=replace(message.message, syntax=Syntax.XML)))


def test_the_receipt_has_the_digest_of_what_came_in():
    received = Received("r" * 32, "maple", b"UNB+...", NOW)
    content_type, body = receipt(received, receipt_id=ID, reference="transport-1")
    assert content_type == "application/json"
    assert json.loads(body) == {
        "receipt": ID,
        "received": "r" * 32,
        "partner": "maple",
        "reference": "transport-1",
        "sha256": hashlib.sha256(b"UNB+...").hexdigest(),
        "bytes": 7,
        "received_at": "2026-11-23T02:41:07+00:00",
    }
