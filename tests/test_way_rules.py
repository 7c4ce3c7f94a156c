from __future__ import annotations

from dataclasses import replace

import pytest

from core.declaration import MessageType
from core.envelope import Envelope
from core.findings import Severity
from core.register import Facts
from core.specs import Specs
from core.transmission import Judged, Received, Verdict
from gateway.pipeline import handle
from gateway.plans import compiled
from gateway.trade.writer import write_edifact, write_xml
from tests.builders import CORRECTION, DECLARATION, NOW, SPECS, facts, valid_change, valid_declaration, version_fact
from tests.test_validators_rules import BREAKS, TYPES, WITH_CBSA_CODE
from tests.way import PLANS

SAID = Envelope(sender="BROKERA", recipient="GATEWAY", reference="1", message="1")

# What EDIFACT's own syntax says before the rule can: a quantity depends on its unit, and CNT is a control total.
SAID_BY_EDIFACT = {"CAD-0156": "EDI-0502", "CAD-0192": "EDI-0520"}


def both(kind: MessageType, declaration: object, given: Facts, specs: Specs = SPECS) -> list[Judged]:
    """The declaration written in XML and in EDIFACT, each carried from bytes to verdict."""
    pack = DECLARATION if kind is MessageType.DECLARATION else CORRECTION
    plans = PLANS if specs is SPECS else compiled(specs, PLANS.reading.directories, PLANS.routes, PLANS.digest)
    verdicts = []
    for body in (write_xml(declaration, pack, SAID), write_edifact([declaration], pack, SAID, prepared=NOW)):
        (judged,) = handle(Received("1", "broker-a", body, NOW), given, plans).judged
        verdicts.append(judged)
    return verdicts


@pytest.mark.parametrize("rule", sorted(BREAKS))
def test_the_message_that_breaks_a_rule_gets_that_finding_alone_in_both_syntaxes(rule: str) -> None:
    kind, declaration, given = BREAKS[rule]()
    specs = WITH_CBSA_CODE if "CBSA-1" in str(declaration) else SPECS
    # What sets these apart is who may declare for whom; here it is the rule alone.
    numbers = {declaration.text("importer_bn") or "": next(iter(given.partner.authorities.values()))}
    given = replace(given, partner=replace(given.partner, authorities=numbers))
    xml, edifact = both(kind, declaration, given, specs)
    assert {finding.code for finding in xml.findings} == {rule}
    if rule in SAID_BY_EDIFACT:
        assert {finding.code for finding in edifact.findings} == {SAID_BY_EDIFACT[rule]}
        return
    found, same = ([(f.code, f.place.pointer, f.value) for f in one.findings] for one in (xml, edifact))
    assert found == same
    refused = any(finding.severity is Severity.REFUSE for finding in xml.findings)
    assert xml.verdict is edifact.verdict is (Verdict.REFUSED if refused else Verdict.ACCEPTED)


@pytest.mark.parametrize("cad_type", TYPES)
def test_valid_messages_are_accepted_without_a_finding_in_both_syntaxes(cad_type: str) -> None:
    first = valid_declaration(cad_type)
    for judged in both(MessageType.DECLARATION, first, facts()):
        assert (judged.verdict, judged.findings) == (Verdict.ACCEPTED, ())
    for judged in both(MessageType.CORRECTION, valid_change(cad_type), facts(version_fact(first))):
        assert (judged.verdict, judged.findings) == (Verdict.ACCEPTED, ())
