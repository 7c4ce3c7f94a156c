from __future__ import annotations

import pytest

from core.declaration import MessageType
from core.envelope import Envelope
from core.register import Facts
from core.transmission import Judged, Received, Verdict
from gateway.pipeline import handle
from gateway.trade.writer import write_edifact, write_xml
from tests.support.builders import CORRECTION, DECLARATION, NOW, facts, valid_change, valid_declaration, version_fact
from tests.support.way import PLANS
from tests.unit.test_validators_rules import TYPES

SAID = Envelope(sender="BROKERA", recipient="GATEWAY", reference="1", message="1")


def both(kind: MessageType, declaration: object, given: Facts) -> list[Judged]:
    """The declaration written in XML and in EDIFACT, each carried from bytes to verdict."""
    pack = DECLARATION if kind is MessageType.DECLARATION else CORRECTION
    verdicts = []
    for body in (write_xml(declaration, pack, SAID), write_edifact([declaration], pack, SAID, prepared=NOW)):
        (judged,) = handle(Received("1", "broker-a", body, NOW), given, PLANS).judged
        verdicts.append(judged)
    return verdicts


@pytest.mark.parametrize("cad_type", TYPES)
def test_valid_messages_are_accepted_without_a_finding_in_both_syntaxes(cad_type: str) -> None:
    first = valid_declaration(cad_type)
    for judged in both(MessageType.DECLARATION, first, facts()):
        assert (judged.verdict, judged.findings) == (Verdict.ACCEPTED, ())
    for judged in both(MessageType.CORRECTION, valid_change(cad_type), facts(version_fact(first))):
        assert (judged.verdict, judged.findings) == (Verdict.ACCEPTED, ())
