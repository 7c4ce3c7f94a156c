"""The form around declarations and answers is the pack's: none in XML, another one, other codes; no code changes."""

from __future__ import annotations

import dataclasses
import re
from base64 import b64encode
from binascii import hexlify
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from lxml import etree

from core.errors import GatewayError, SpecError
from core.partner import Partner
from core.transmission import Outgoing, Received, Syntax
from gateway import pipeline
from gateway.cli.main import main
from gateway.desk.trial import Came, Trial
from gateway.plans import Plans, prepare
from gateway.trade.replies import read_reply
from gateway.trade.samples import play, write
from gateway.trade.writer import write_xml
from parsers import reading
from tests.support.packs import BOTH, DAY, PARTNER, ROOT, copy, edit, judged, original, sent, set_field
from tests.way.test_pack_swap import Maker, random

OURS = prepare(ROOT)
NOW = datetime(2026, 11, 23, 15, tzinfo=UTC)
MANIFESTS = ("chapter24/manifest.toml", "chapter26/manifest.toml")
BODY = ("chapter24/answers.csv", "chapter24/answer_codes.csv")

ENVELOPE = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="urn:example:envelope" xmlns:in="{}"
    targetNamespace="urn:example:envelope" elementFormDefault="qualified">
  <xs:import namespace="{}" schemaLocation="{}.xsd"/>
  <xs:element name="Envelope"><xs:complexType><xs:sequence>
    <xs:element name="Header"><xs:complexType><xs:sequence>
      <xs:element name="Profile" type="xs:token"/>
      <xs:element name="From" type="xs:token"/>
      <xs:element name="To" type="xs:token" minOccurs="0"/>
      <xs:element name="Number" type="xs:token"/>
      <xs:element name="Trial" type="xs:boolean" minOccurs="0"/>
    </xs:sequence></xs:complexType></xs:element>
    <xs:element name="Body"><xs:complexType><xs:sequence>
      <xs:element ref="in:{}"/>
    </xs:sequence></xs:complexType></xs:element>
    <xs:element name="Footer" type="xs:token" minOccurs="0"/>
  </xs:sequence></xs:complexType></xs:element>
</xs:schema>"""


def without(text: str, *sections: str) -> str:
    """Return a manifest without its tables of these names."""
    for name in sections:
        text = re.sub(rf"(?m)^\[{re.escape(name)}\]\n(?:.+\n)*", "", text)
    return text


def no_wrapper(root: Path) -> None:
    """A document is the Declaration; it comes from whom it names as its agent."""
    for file in MANIFESTS:
        text = without((root / file).read_text("utf-8"), "xml.envelope", "xml.constants")
        text = re.sub(r"(?m)^metadata_namespace.*\n", "", text)
        text = text.replace('document = "MetaData/Declaration"', 'document = "Declaration"')
        text = text.replace('schema = "../wco/MetaData.xsd"', 'schema = "../wco/Declaration.xsd"', 1)
        text = text.replace("[xml.levels]", '[xml.envelope]\nsender = "Agent/Name"\n\n[xml.levels]')
        (root / file).write_text(text, "utf-8")
    (root / "wco/MetaData.xsd").unlink()


def another_wrapper(root: Path) -> None:
    """Declarations and answers stand in the body of an envelope of another make."""
    for name in ("Declaration", "Response"):
        namespace = f"urn:wco:datamodel:WCO:{name}:1"
        schema = ENVELOPE.format(namespace, namespace, name, name)
        (root / f"wco/{name}Envelope.xsd").write_text(schema, "utf-8")
    for file in MANIFESTS:
        text = without((root / file).read_text("utf-8"), "xml.envelope", "xml.constants")
        text = re.sub(r"(?m)^metadata_namespace.*", 'metadata_namespace = "urn:example:envelope"', text)
        text = text.replace('document = "MetaData/Declaration"', 'document = "Envelope/Body/Declaration"')
        text = text.replace('response = "Response"', 'response = "Envelope/Body/Response"')
        text = text.replace('"../wco/MetaData.xsd"', '"../wco/DeclarationEnvelope.xsd"')
        text = text.replace('"../wco/Response.xsd"', '"../wco/ResponseEnvelope.xsd"')
        text += """
[xml.envelope]
sender = "Header/From"
recipient = "Header/To"
reference = "Header/Number"
test = "Header/Trial"

[xml.constants]
"Header/Profile" = "CAD"

[xml.response_wrapper]
"Header/Profile" = "CAD answer {version}"
"Header/From" = "{sender}"
"Header/To" = "{recipient}"
"Header/Number" = "{id}"
"Header/Trial" = "{test}"
"""
        (root / file).write_text(text, "utf-8")
    (root / "wco/MetaData.xsd").unlink()


FORMS: dict[str, Callable[[Path], None]] = {"no wrapper": no_wrapper, "another wrapper": another_wrapper}


@pytest.fixture(scope="module", params=sorted(FORMS))
def theirs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Plans:
    root = copy(tmp_path_factory.mktemp("specs"))
    FORMS[request.param](root)
    return prepare(root)


def story(plans: Plans, seed: int) -> tuple[list[bytes], list[tuple[str, ...]]]:
    """Return a drawn original with its changes, as written in XML, and the codes of the findings of each."""
    made = Maker(random.Random(seed), plans.specs, PARTNER, DAY).story("C")
    bodies = write(made, Syntax.XML, DAY, "S")
    return bodies, [tuple(each.code for each in one.findings) for one in play(made, bodies, DAY, plans)]


def test_what_is_written_is_read_and_accepted(theirs: Plans) -> None:
    for seed in range(4):
        bodies, found = story(theirs, seed)
        assert found == [()] * len(bodies)
        assert not any(b"MetaData" in body for body in bodies)


def test_both_ways_of_reading_agree(theirs: Plans, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies, _ = story(theirs, 1)
    for each in theirs.reading.xml.values():
        each.warm()
    for body in (*bodies, bodies[0].replace(b"</Body>", b"</Body><Footer>x</Footer>")):
        received = Received("id", PARTNER.id, body, NOW)
        (fast,) = pipeline.parse(received, theirs).messages
        with monkeypatch.context() as patch:
            patch.setattr(reading, "read_levels", lambda *_: None)
            (slow,) = pipeline.parse(received, theirs).messages
        assert fast.declaration == slow.declaration
        assert fast.envelope == slow.envelope
        assert fast.envelope.sender == PARTNER.envelopes[0]


def answered(plans: Plans, body: bytes, partner: Partner = PARTNER) -> Came:
    return Trial(plans, NOW).send("1", body, partner)


def response_of(item: Outgoing, plans: Plans) -> etree._Element:
    """Return an answer's Response, once its document is held to the pack's schema."""
    pack = plans.specs.packs[0]
    root = etree.fromstring(item.body)
    schema = etree.XMLSchema(etree.parse(pack.response_schema))
    assert schema.validate(root), schema.error_log
    return root if len(pack.response.names) == 1 else root.find("{*}Body/{*}Response")  # type: ignore[return-value]


def test_answers_have_the_form_of_the_pack_and_are_understood(theirs: Plans) -> None:
    body = sent(original(theirs), theirs, Syntax.XML)
    came = answered(theirs, body)
    assert came.kinds == ("receipt", "accepted", "assessed")
    for item in came.answers:
        assert response_of(item, theirs) is not None
        said = read_reply(item.content_type, item.body, theirs.reading.directories, theirs.specs.packs)
        assert (said.kind, said.transaction_number) == (item.kind, re.search(rb"<ID>(\d{14})<", body)[1].decode())  # type: ignore[index]


@pytest.mark.parametrize("disguise", ["in front", "base64", "hexadecimal", "full width"])
def test_what_a_document_is_hidden_in_is_named_in_this_form(theirs: Plans, disguise: str) -> None:
    """Without an XML declaration it is known by the root of the pack's own form."""
    root = theirs.specs.packs[0].document.names[0]
    body = f"<{root} n='1'>".encode()
    sent, code, name = {
        "in front": (b"Here it is: " + body, "GTW-0116", "XML"),
        "base64": (b64encode(body)[:12], "GTW-0103", "Base64"),
        "hexadecimal": (hexlify(body)[:18], "GTW-0103", "hexadecimal"),
        "full width": (f"\N{FULLWIDTH LESS-THAN SIGN}{root}>".encode(), "GTW-0118", f"<{root[:3].upper()}"),
    }[disguise]
    (finding,) = answered(theirs, sent).outcome.judged[0].findings  # type: ignore[union-attr]
    assert finding.code == code
    assert name in finding.text.en


def test_a_refusal_names_places_in_this_form(theirs: Plans) -> None:
    body = re.sub(rb"<FunctionCode>.", b"<FunctionCode>7", story(theirs, 2)[0][0])
    came = answered(theirs, body)
    assert came.findings == ("GTW-0002",)
    place = came.outcome.judged[0].findings[0].place  # type: ignore[union-attr]
    way = "/".join(theirs.specs.packs[0].document.names)
    assert place.xpath == f"/{way}/FunctionCode"
    assert place.pointer == "42A/017"
    assert response_of(came.answers[-1], theirs).find("{*}Error") is not None
    wrong = body.replace(b"<FunctionCode>7", b"<FunctionCode>9").replace(b"<VersionID>", b"<Version/><VersionID>")
    assert answered(theirs, wrong).findings == ("XML-0004",)


def test_another_sender_is_told_where_the_form_names_it(theirs: Plans) -> None:
    body = story(theirs, 2)[0][0]
    came = answered(theirs, body.replace(PARTNER.envelopes[0].encode(), b"SOMEBODY"))
    found = came.outcome.judged[0].findings  # type: ignore[union-attr]
    (place,) = (each.place for each in found if each.code == "GTW-0004")
    form = theirs.specs.packs[0].document
    assert place.xpath == f"/{form.names[0]}/{form.envelope['sender']}"


def test_the_same_bytes_are_answered_again(theirs: Plans) -> None:
    trial, body = Trial(theirs, NOW), sent(original(theirs), theirs, Syntax.XML)
    first, second = (trial.send(number, body, PARTNER) for number in "12")
    assert (first.verdict, second.verdict) == ("accepted", "repeated")
    assert second.answers == first.answers
    other = body.replace(b"00001<", b"00002<")
    assert trial.send("3", other, PARTNER).verdict == "refused"


def test_the_former_form_is_refused_with_the_one_that_is_taken(theirs: Plans) -> None:
    body = sent(original(OURS), OURS, Syntax.XML)
    assert judged(body, theirs) == [("GTW-0002", "MetaData")]
    (finding,) = answered(theirs, body, PARTNER).outcome.judged[0].findings  # type: ignore[union-attr]
    assert finding.expected == theirs.specs.packs[0].document.names[0]


def test_edifact_is_as_it_was(theirs: Plans) -> None:
    body = sent(original(theirs), theirs, Syntax.EDIFACT)
    assert judged(body, theirs) == []


def test_a_test_is_not_written_where_no_place_says_so(theirs: Plans) -> None:
    pack = theirs.specs.packs[0]
    body, test = sent(original(theirs), theirs, Syntax.XML), "test" in pack.document.envelope
    (message,) = pipeline.parse(Received("id", PARTNER.id, body, NOW), theirs).messages
    said = dataclasses.replace(message.envelope, test=True)
    if test:
        assert b"<Trial>true</Trial>" in write_xml(original(theirs), pack, said)
    else:
        with pytest.raises(GatewayError, match="no place that says that it is a test"):
            write_xml(original(theirs), pack, said)


def test_the_tools_follow(theirs: Plans, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_SPECS", str(theirs.specs.root))
    body = re.sub(rb"<VersionID>.....<", b"<VersionID>000A1<", story(theirs, 2)[0][0])
    (tmp_path / "one.xml").write_bytes(body)

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code in (0, 1), (result.output, result.exception)
        return result.stdout

    assert "CAD-0002" in run("check", str(tmp_path))
    assert "CAD-0002" in run("explain", str(tmp_path / "one.xml"))
    assert f"/{theirs.specs.packs[0].document.names[0]}/" in run("explain", "CAD-0002")
    assert "nothing found" in run("specs", "check", str(theirs.specs.root))
    run("guide", "--out", str(tmp_path / "guide"))
    page = (tmp_path / "guide/en/index.html").read_text("utf-8")
    assert "MetaData" not in page
    for schema in re.findall(r'href="\.\./schemas/([^"]+)"', page):
        assert (tmp_path / "guide/schemas" / schema).is_file()


def test_samples_are_made_of_all_that_the_form_can_say(
    theirs: Plans, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a place for the test mark no sample can be a test: that one is told, the others are made."""
    monkeypatch.setenv("GATEWAY_SPECS", str(theirs.specs.root))
    monkeypatch.setattr("gateway.cli.spec.faults", lambda _specs: ["CAD-0101", "GTW-0016", "CAD-0002"])
    result = CliRunner().invoke(main, ["samples", "make", "--fault", "all", "--out", str(tmp_path / "made")])
    told = [line for line in result.stderr.splitlines() if "GTW-0016: chapter24 1.00: a document in XML has no" in line]
    marked = "test" in theirs.specs.packs[0].document.envelope
    assert (bool(told), result.exit_code) == (not marked, 0 if marked else 1)
    for code in ("CAD-0101", "CAD-0002"):
        assert re.search(rf"original-{code}-fails.xml,maple,AB,refused,{code},", result.stdout)


# ------------------------------------------------------------------------------------------------ codes of answers


def other_codes(root: Path) -> None:
    """Another message and other codes for answers; what the chapter does not know is left out."""
    for file in MANIFESTS:
        edit(root / file, "[edifact]\nmessage", '[edifact]\nanswer = ["GOVCBR", "D", "13A", "UN", "CADANS"]\nmessage')
    codes = root / "chapter24/answer_codes.csv"
    text = codes.read_text("utf-8")
    for name, code in (
        ("edifact,sender_reference", ""), ("edifact,finding_details", ""), ("edifact,line_value_for_duty", ""),
        ("edifact,items", ""), ("xml,finding_details", ""), ("xml,value_for_duty", ""), ("xml,items", ""),
        ("both,customs_duty", "AAA"), ("both,gst", ""), ("both,total", "ZZZ"),
    ):  # fmt: skip
        text, count = re.subn(rf"(?m)^{name},[^,]*,", f"{name},{code},", text)
        assert count == 1
    codes.write_text(text, "utf-8")
    set_field(root / "chapter24/answers.csv", "accepted", "status", "99")


def test_other_codes_of_answers_are_data(tmp_path: Path) -> None:
    root = copy(tmp_path)
    other_codes(root)
    plans = prepare(root)
    for syntax in BOTH:
        body = sent(original(plans, functional_reference="MINE"), plans, syntax)
        came = answered(plans, body, PARTNER)
        assert came.kinds[0] == "receipt"
        assert came.kinds[-2:] == ("accepted", "assessed")
        for item in came.answers[-2:]:
            assert (
                read_reply(item.content_type, item.body, plans.reading.directories, plans.specs.packs).kind == item.kind
            )
        told = came.answers[-1].body.decode()
        if syntax is Syntax.EDIFACT:
            assert "GOVCBR:D:13A:UN:CADANS" in told
            assert not re.search(r"RFF\+ABO|MOA\+40|\+GST", told)
            assert re.search(r"TAX\+3\+AAA'", told)
            assert re.search(r"TAX\+4\+ZZZ'", told)
        else:
            response_of(came.answers[-1], plans)
            assert "<TypeCode>AAA<" in told
            assert not re.search("GST|VFD", told)
        refused = answered(plans, re.sub(rb"00001", b"0000A", body, count=1), PARTNER).answers[-1].body.decode()
        assert not re.search(r"ACB|CNT", refused)


# ------------------------------------------------------------------------------------------------ what cannot be


def manifest(old: str, new: str) -> Callable[[Path], None]:
    return lambda root: edit(root / MANIFESTS[0], old, new)


IMPOSSIBLE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a path that is none": (manifest('"MetaData/Declaration"', '"MetaData//Declaration"'), "a path of names"),
    "a wrapper without its namespace": (manifest("metadata_namespace", "#"), "has a wrapper, MetaData, and there"),
    "an unknown class": (manifest('"MetaData/Declaration"', '"MetaData/Order"'), "the unknown class Order"),
    "a place that the schema has not": (manifest("Sender/ID", "Sender/Name"), "has no MetaData/CommunicationMetaData/"),
    "another wrapper than the schema's": (manifest('"MetaData/D', '"Envelope/D'), "has no Envelope"),
    "a constant that has no place": (manifest("WCOTypeName", "TypeName"), "has no MetaData/TypeName"),
    "an answer in a wrapper that it has not": (manifest('"Response"', '"MetaData/Response"'), "has no MetaData"),
    "words for a wrapper that is not there": (
        manifest("[xml.levels]", '[xml.response_wrapper]\nID = "{id}"\n[xml.levels]'), "there is no wrapper",
    ),
    "unknown words for a wrapper": (
        lambda root: (another_wrapper(root), edit(root / MANIFESTS[0], "{sender}", "{who}"))[1], "may have {id}, ",
    ),
    "a place in the declaration without an element": (
        lambda root: (no_wrapper(root), edit(root / MANIFESTS[0], '"Agent/Name"', '"Agent/Contact/Name"'))[1],
        "Agent/Contact",
    ),
    "a code that no answer can be without": (
        lambda root: edit(root / BODY[1], "both,total,TOT,", "both,total,,"), "no answer can be without total",
    ),
    "a code that no writer knows": (
        lambda root: edit(root / BODY[1], "both,total,", "both,sum,"), "answer codes: sum is not known",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(IMPOSSIBLE))
def test_a_form_that_cannot_be_is_refused_when_it_is_loaded(name: str, tmp_path: Path) -> None:
    spoil, reason = IMPOSSIBLE[name]
    root = copy(tmp_path)
    spoil(root)
    with pytest.raises(SpecError) as caught:
        prepare(root)
    assert reason in str(caught.value)
