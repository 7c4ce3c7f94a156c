"""Answers made of a message and its findings or result, and what stands in them."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from lxml import etree
from pydifact.segmentcollection import RawSegmentCollection

from core.assessment import Amounts, AssessedLine, AssessmentResult, Reason
from core.declaration import Declaration, MessageType
from core.envelope import Envelope, Interchange
from core.findings import Bilingual, Finding, Place, Severity
from core.loading import load as load_specs
from core.partner import Partner
from core.transmission import Judged, Message, Verdict
from edifact.loading import load as load_directories
from edifact.message import explain
from edifact.reader import MessageText, read
from responses.answers import answer

SPECS_FOLDER = Path(__file__).parents[2] / "eccrd_specs"
DIRECTORIES = load_directories(SPECS_FOLDER / "edifact")
SCHEMA = etree.XMLSchema(etree.parse(SPECS_FOLDER / "wco/Response.xsd"))
NS = {"r": "urn:wco:datamodel:WCO:Response:1"}

SPECS = load_specs(SPECS_FOLDER)
NOW = datetime(2026, 11, 23, 2, 41, 7, tzinfo=UTC)  # the evening before in Eastern Time
ID = "0123456789abcdef" * 2
ENGLISH = Partner("maple", "Maple", ("MAPLEBROKER",), "out.maple")
FRENCH = replace(ENGLISH, id="erable", language="fr")
FINDING = Finding(
    code="CAD-0003",
    severity=Severity.REFUSE,
    text=Bilingual("The code isn't in the list: 100%.", "Le code n\u2019est pas dans la liste : « cœur »."),
    place=Place(segment=12, element=3, component=1, pointer="42A/67A[2]/68A[3]/23A/21A[1]/145"),
    value="7308?+:'X",
    expected="a code of the list 'country'",
    source=Bilingual("form BSF946", "formulaire BSF946"),
)


def cents(*amounts):
    return Amounts(*(Decimal(amount) for amount in amounts))


LINE = cents("150.00", "7.50", "34.00", "0.00", "37.50", "1.00", "0.00", "0.00", "230.00", "11.50", "91.50")
LARGE = cents("150.00", "0.00", "0.00", "2.00", "0.00", "0.00", "3.00", "4.00", "159.00", "7.95", "16.95")
RESULT = AssessmentResult(
    message_id=ID,
    transaction_number="12345000000012",
    version="00001",
    outcome="approved",
    lines=(AssessedLine(1, 1, LINE, "51"), AssessedLine(1, 2, LARGE), AssessedLine(2, 1, LARGE, "10")),
    totals=Amounts(*(a + b + b for a, b in zip(LINE, LARGE, strict=True))),
    payment_due=date(2026, 12, 1),
    reasons=(),
)
REFUSED = replace(
    RESULT,
    outcome="refused",
    lines=(),
    reasons=(
        Reason("ENG-0001", Bilingual("No exchange rate.", "Aucun taux de change."), 2, 3),
        Reason("ENG-0009", Bilingual("Not this time.", "Pas cette fois.")),
    ),
)


def judged(syntax, *findings, known=True, test=False):
    values = {"transaction_number": "12345000000012", "version": "00001", "functional_reference": "REF'1"}
    envelope = Envelope("MAPLEBROKER", "CUSTOMS", "ICR42", None, "MSG7", test)
    message = Message(
        ordinal=1,
        syntax=syntax,
        type=MessageType.DECLARATION,
        envelope=envelope,
        pack="chapter24" if known else None,
        declaration=Declaration(values) if known else None,
        faults=(),
        document=None,
    )
    refused = any(finding.severity is Severity.REFUSE for finding in findings)
    return Judged(message, Verdict.REFUSED if refused else Verdict.ACCEPTED, findings)


def make(kind, message, *, partner=ENGLISH, result=None, interchange=None):
    return answer(
        kind, message, answer_id=ID, partner=partner, now=NOW, packs=SPECS.packs, result=result, interchange=interchange
    )


def edifact(kind, message, **how):
    content_type, body = make(kind, message, **how)
    assert content_type == "application/edifact"
    return body


def xml(kind, message, **how):
    content_type, body = make(kind, message, **how)
    assert content_type == "application/xml"
    root = etree.fromstring(body)
    SCHEMA.assertValid(root)
    return root


def walk(body):
    """Read an answer with our own reader, hold it to the unmodified UN structure, and return its one message."""
    messages = [item for item in read(body, DIRECTORIES) if isinstance(item, MessageText)]
    (message,) = messages
    structure = DIRECTORIES.structure(message.identifier, message.interchange.syntax_version)
    assert explain(message, structure) == []
    return message


def segments(body, charset="iso-8859-1"):
    """Read an answer with pydifact."""
    collection = RawSegmentCollection.from_str(body.decode(charset))
    return [(segment.tag, *segment.elements) for segment in collection.segments]


def of(tag, body, charset="iso-8859-1"):
    return [segment[1:] for segment in segments(body, charset) if segment[0] == tag]


def steps(body):
    """Read the pointer chains: class and sequence number of every step."""
    return [(step[0][1], step[1][1] if len(step) > 1 else "") for step in of("ERP", body)]


def statement_codes(root, type_code):
    statement = f"r:AdditionalInformation[r:StatementTypeCode='{type_code}']"
    return root.xpath(f"{statement}/r:StatementCode/text()", namespaces=NS)


def subject(syntax_id="UNOA", version="3"):
    return Interchange(syntax_id, version, ("MAPLEBROKER", "ZZ"), ("CUSTOMS", "14"), "ICR42", False, None, ())
