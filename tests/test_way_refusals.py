"""What a refusal says and to whom it goes, whatever was sent: French without English, answers that can be read."""

from __future__ import annotations

import pytest

from gateway import limits, pipeline
from gateway.model import Facts, Outcome, Partner, Received
from tests.way import NOW, PARTNERS, SAMPLES, SPECS

GOOD = (SAMPLES / "originals/ab-two-lines.edi").read_bytes()
GOOD_XML = (SAMPLES / "originals/published-example.xml").read_bytes()
MAPLE = PARTNERS["maple"]


def refused(body: bytes, partner: Partner = MAPLE) -> Outcome:
    return pipeline.handle(Received("0" * 32, partner.id, body, NOW), Facts(NOW, partner), SPECS)


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
    again = pipeline.parse(Received("1" * 32, MAPLE.id, answers[0].body, NOW), SPECS)
    assert [each.faults for each in again.interchanges] == [()]
