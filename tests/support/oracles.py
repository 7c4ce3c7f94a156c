"""What must hold of whatever comes in: a verdict, the same each time, rows that can be stored, good answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, cast

from core.findings import Fault, Severity
from core.register import Facts
from core.transmission import Outcome, Received, Verdict
from edifact.envelope import check_interchange
from edifact.match import Matchers
from edifact.message import check
from edifact.reader import InterchangeText, MessageText, read
from gateway import pipeline
from gateway.journal.rows import message_row, outgoing_row
from parsers import xml
from tests.support.answers import DIRECTORIES, SCHEMA
from tests.support.way import NOW, PARTNERS, PLANS

UNCOMPILED = Matchers(())  # answers are small


def carried(body: bytes, partner: str = "maple") -> Outcome:
    """Carry a transmission all the way."""
    return pipeline.handle(Received("r", partner, body, NOW), Facts(PARTNERS[partner]), PLANS)


def ends_well(body: bytes) -> None:
    """Check everything, for one partner of each language."""
    for partner in ("maple", "erable"):
        outcome = carried(body, partner)
        has_verdicts(outcome, body)
        assert told(carried(body, partner)) == told(outcome), "what was read of a message changes what is told of it"
        can_be_stored(outcome)
        for item in outcome.outgoing:
            if item.kind != "request":
                is_good(item.content_type, item.body)
        assert pipeline.hold(outcome.received, PARTNERS[partner], PLANS).body


def told(outcome: Outcome) -> list[object]:
    """Return all that an outcome says."""
    return [outcome.outgoing, *((one.verdict, one.findings, one.nature, one.effect) for one in outcome.judged)]


def has_verdicts(outcome: Outcome, body: bytes) -> None:
    """Check that there is at least one message, each with a verdict and, when refused, a reason that is told."""
    assert outcome.judged
    for judged in outcome.judged:
        refused = any(finding.severity is Severity.REFUSE for finding in judged.findings)
        assert judged.verdict is (Verdict.REFUSED if refused else Verdict.ACCEPTED)
        for finding in judged.findings:
            assert finding.text.en
            assert finding.text.fr
    assert all(each.body for each in outcome.outgoing)
    assert len({each.id for each in outcome.outgoing}) == len(outcome.outgoing)
    # A CONTRL is never answered, not even a bad one, or two machines could go on like that for ever.
    if any(judged.verdict is Verdict.REFUSED for judged in outcome.judged) and b"CONTRL" not in body:
        assert {"refused", "contrl"} & {each.kind for each in outcome.outgoing}, "a refusal is told"


def can_be_stored(outcome: Outcome) -> int:
    """Check that every database can hold the rows of an outcome; return how many characters and bytes they have."""
    row = cast("Any", SimpleNamespace(sequence=1))
    size = 0
    for values in _rows(outcome, row):
        for value in values.values():
            if isinstance(value, str):
                assert "\0" not in value
                value.encode()
            size += len(value) if isinstance(value, str | bytes) else 8
    return size


def _rows(outcome: Outcome, row: Any) -> Iterator[Mapping[str, Any]]:
    for judged in outcome.judged:
        yield message_row(row, judged, PLANS.digest, NOW)
    for item in outcome.outgoing:
        yield outgoing_row(item, 1, NOW, item.ordinal)


def is_good(content_type: str, body: bytes) -> None:
    """Check an answer: by its schema, or by our own reader and the unmodified tables of the UN."""
    if content_type == "application/xml":
        SCHEMA.assertValid(xml.parse(body))
    elif content_type == "application/edifact":
        for found in read(body, DIRECTORIES):
            if isinstance(found, InterchangeText):
                value = check_interchange(found, UNCOMPILED)
                assert not _refusing(value.faults), body
            elif isinstance(found, MessageText):
                structure = DIRECTORIES.structure(found.identifier, found.interchange.syntax_version)
                assert structure
                assert not _refusing(check(found, structure, UNCOMPILED)), body


def _refusing(faults: Iterable[Fault]) -> list[Fault]:
    """Return the faults that are no warnings, such as of blanks at the end of a reference that is repeated."""
    return [fault for fault in faults if fault.syntax_error]
