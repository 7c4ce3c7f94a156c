"""What a refusal says and to whom it goes, whatever was sent: French without English, answers that can be read."""

from __future__ import annotations

import re

import pytest

from core import limits
from core.partner import Partner
from core.register import Facts
from core.transmission import Outcome, Received
from gateway import pipeline
from tests.support.way import NOW, PARTNERS, PLANS, SAMPLES

GOOD = (SAMPLES / "originals/ab-two-lines.edi").read_bytes()
GOOD_XML = (SAMPLES / "originals/published-example.xml").read_bytes()
MAPLE = PARTNERS["maple"]


def refused(body: bytes, partner: Partner = MAPLE) -> Outcome:
    return pipeline.handle(Received("0" * 32, partner.id, body, NOW), Facts(partner), PLANS)


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b"UNB" + b" " * limits.TRANSMISSION_BYTES, "GTW-0007", {"bytes", "at", "most"}),
        (GOOD_XML + b"<" * limits.XML_NODES, "XML-0003", {"more", "than", "nodes"}),
        (GOOD + b"UNA::::::UNB:", "EDI-0115", {"does", "not", "name", "usable"}),
        (GOOD.replace(b"RFF+ABO:", b"RFF+Q:"), "EDI-0510", {"code", "list"}),
    ],
)
def test_no_english_in_french(body: bytes, code: str, words: set[str]) -> None:
    (finding,) = {each.text for one in refused(body).judged for each in one.findings if each.code == code}
    assert not words & set(finding.fr.replace("(", " ").replace(")", " ").split())


@pytest.mark.parametrize("sender", [b"MAPLE\nBROKER", b"M" * 36])
def test_an_answer_does_not_repeat_an_address_that_no_interchange_may_have(sender: bytes) -> None:
    """No CONTRL can be built for it; the business answer in its stead was as unreadable as what it refused."""
    answers = refused(GOOD.replace(b"MAPLEBROKER", sender)).outgoing
    assert [each.kind for each in answers] == ["refused"]
    again = pipeline.parse(Received("1" * 32, MAPLE.id, answers[0].body, NOW), PLANS)
    assert [each.faults for each in again.interchanges] == [()]


@pytest.mark.parametrize("code", [b"5", b"13", b""])
def test_a_function_that_is_none_of_ours_is_told_alike_in_both_syntaxes(code: bytes) -> None:
    """In EDIFACT it was told as if GOVCBR were not accepted at all; with none, only warned of, it was accepted."""
    partners = (MAPLE, PARTNERS["erable"])
    bodies = (
        GOOD.replace(b"00001+9'", b"00001+%b'" % code),
        GOOD_XML.replace(b"<FunctionCode>9", b"<FunctionCode>%b" % code),
    )
    for body, partner in zip(bodies, partners, strict=True):
        outcome = refused(body, partner)
        found = [each for one in outcome.judged for each in one.findings if each.code == "GTW-0002"]
        assert [(each.value, each.place.pointer) for each in found] == [(code.decode() or None, "42A/017")]
        assert "refused" in [each.kind for each in outcome.outgoing]


def test_what_is_not_ours_is_refused_even_with_a_warning() -> None:
    """A separator too many was enough for it to be accepted, and never heard of again."""
    body = GOOD.replace(b"00001+9'", b"00001+5+'")
    assert {str(one.verdict) for one in refused(body).judged} == {"refused"}


def test_a_contrl_with_a_warning_is_heard() -> None:
    body = (
        b"UNB+UNOC:3+MAPLEBROKER+CARMGATEWAY+261123:1000+C1'UNH+1+CONTRL:D:3:UN'"
        b"UCI+CA0001+CARMGATEWAY+MAPLEBROKER+4+12+'UNT+3+1'UNZ+1+C1'"
    )
    outcome = refused(body)
    assert [each.code for one in outcome.judged for each in one.findings] == ["EDI-0505"]
    assert [(each.reference, each.action) for each in outcome.acknowledged] == [("CA0001", "4")]
    assert not outcome.outgoing


@pytest.mark.slow
@pytest.mark.parametrize("syntax", [b"UNOK:5", b"UNOW:X", b"UNOA:3"])
def test_a_contrl_keeps_to_the_syntax_that_it_declares(syntax: bytes) -> None:
    """UNOK needs version 4, which a version that is not known became 3; UNOA has no small letters."""
    body = GOOD.replace(b"UNOC:3", syntax).replace(b"UNZ+1", b"UNZ+2")
    (answer,) = [each for each in refused(body).outgoing if each.kind == "contrl"]
    again = pipeline.parse(Received("1" * 32, MAPLE.id, answer.body, NOW), PLANS)
    assert [each.faults for each in again.interchanges] == [()]
    assert [each.faults for each in again.messages] == [()]


@pytest.mark.parametrize(
    ("amount", "good"),
    [
        ("9999999999999999", True),
        ("99999999999999.99", True),
        ("99999999999999999", False),
        ("99999999999999.999", False),
    ],
)
def test_a_number_of_16_digits_is_read_wherever_its_mark_stands(amount: str, good: bool) -> None:
    """In either syntax 14 to 16 digits without decimals were refused, though the words said 16 digits at most."""
    said = amount.encode()
    edifact = re.sub(rb"MOA\+39:[0-9.]+", b"MOA+39:" + said, GOOD)
    xml = re.sub(rb"(<InvoiceAmount[^>]*>)[0-9.]+", rb"\g<1>" + said, GOOD_XML)
    assert (said in edifact, said in xml) == (True, True)
    for body, partner in ((edifact, MAPLE), (xml, PARTNERS["erable"])):
        found = [each for one in refused(body, partner).judged for each in one.findings]
        # The sum of the lines is another matter (CAD-0194): it can be told once the amount is read.
        assert [each.code for each in found] == (["CAD-0194"] if good else ["CAD-0002"])


def test_a_fault_of_the_envelope_hides_none_of_the_syntax() -> None:
    """What is wrong inside is told with it, so that the sender can correct both at once; of the content nothing is."""
    body = GOOD.replace(b"MAPLEBROKER", b"SOMEBODY").replace(b"RFF+ABO:", b"RFF+Q:").replace(b"EUR", b"EUX")
    (one,) = refused(body).judged
    assert {finding.code for finding in one.findings} == {"EDI-0109", "EDI-0510"}
