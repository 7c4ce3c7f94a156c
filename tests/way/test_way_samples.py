"""Every sample along the way: its verdict and findings, and what independent judges say of it and of its answers."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from functools import cache

import pytest
import xmlschema
from lxml import etree
from pydifact.segmentcollection import RawSegmentCollection

from core.transmission import Verdict
from edifact.envelope import check_interchange
from edifact.message import explain
from edifact.reader import InterchangeText, MessageText, read
from tests.support.way import HOME, PLANS, SAMPLES, play, rows

pytestmark = pytest.mark.filterwarnings("ignore::pydifact.exceptions.MissingImplementationWarning")

NAMES = [f"{number:02d}-{row['file']}" for number, row in enumerate(rows(), 1)]
played = cache(play)
every_sample = pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)


@cache
def judges(name: str) -> tuple[etree.XMLSchema, xmlschema.XMLSchema10]:
    path = HOME / f"eccrd_specs/wco/{name}.xsd"
    return etree.XMLSchema(etree.parse(path)), xmlschema.XMLSchema10(str(path))


def accepted(suffix: str) -> list[str]:
    return sorted({row["file"] for row in rows() if row["verdict"] == "accepted" and row["file"].endswith(suffix)})


def answers(number: int, content_type: str) -> list[bytes]:
    _, _, sent, _ = played()[number]
    return [each.body for each in sent if each.content_type == content_type]


def walks_the_un_structure(body: bytes) -> int:
    """Hold a transmission to the unmodified UN directory, envelope and messages; return how many messages it has."""
    count = 0
    for item in read(body, PLANS.reading.directories):
        if isinstance(item, MessageText):
            structure = PLANS.reading.directories.structure(item.identifier, item.interchange.syntax_version)
            assert structure is not None
            assert explain(item, structure) == []
            count += 1
        elif isinstance(item, InterchangeText):
            interchange = check_interchange(item, PLANS.reading.matchers)
            assert interchange.faults == ()
            assert all(group.faults == () for group in interchange.groups)
    return count


def read_by_pydifact(body: bytes, messages: int) -> None:
    segments = [*RawSegmentCollection.from_str(body.decode("latin-1")).segments]
    segments = segments[segments[0].tag == "UNA" :]
    tags = [segment.tag for segment in segments]
    assert (tags[0], tags[-1]) == ("UNB", "UNZ")
    assert tags.count("UNH") == tags.count("UNT") == messages
    assert segments[-1].elements[0] == str(messages)
    inside = 0
    for segment in segments:
        inside += 1
        if segment.tag == "UNH":
            inside = 1
        elif segment.tag == "UNT":
            assert segment.elements[0] == str(inside)


@every_sample
def test_the_sample_has_its_verdict_findings_and_answers(number: int) -> None:
    row, outcome, sent, total = played()[number]
    if row["verdict"] == "repeated":
        assert outcome is None
        return
    assert outcome is not None
    assert {str(judged.verdict) for judged in outcome.judged} == {row["verdict"]}
    found = [finding.code for judged in outcome.judged for finding in judged.findings]
    assert Counter(found) == Counter(row["findings"].split())
    assert ["receipt", *(each.kind for each in sent)] == row["answers"].split()
    if row["total"]:
        assert total == Decimal(row["total"])


@every_sample
def test_every_finding_is_told_whole(number: int) -> None:
    _, outcome, _, _ = played()[number]
    for judged in outcome.judged if outcome else ():
        for finding in judged.findings:
            assert finding.text.en
            assert finding.text.fr
            assert finding.text.en != finding.text.fr
            assert "{" not in finding.text.en + finding.text.fr, "a placeholder was left unfilled"
            assert finding.source
            assert finding.value is None or len(finding.value) <= 40
            if finding.code.startswith("CAD-"):
                assert finding.place.pointer
                assert finding.place.line
                assert finding.place.column
                lines = judged.message.document.text().splitlines()
                assert finding.place.column <= len(lines[finding.place.line - 1])


@pytest.mark.parametrize("file", accepted(".edi"))
def test_an_accepted_edifact_sample_walks_the_unmodified_un_structure(file: str) -> None:
    body = (SAMPLES / file).read_bytes()
    messages = walks_the_un_structure(body)
    assert messages
    read_by_pydifact(body, messages)


@every_sample
def test_an_edifact_answer_walks_the_unmodified_un_structure(number: int) -> None:
    for body in answers(number, "application/edifact"):
        messages = walks_the_un_structure(body)
        assert messages == 1
        read_by_pydifact(body, messages)


@pytest.mark.parametrize("file", accepted(".xml"))
def test_an_accepted_xml_sample_fits_its_schema_by_two_judges(file: str) -> None:
    root = etree.parse(SAMPLES / file).getroot()
    fast, slow = judges("MetaData")
    fast.assertValid(root)
    slow.validate(root)


@every_sample
def test_an_xml_answer_fits_its_schema_by_two_judges(number: int) -> None:
    fast, slow = judges("Response")
    for body in answers(number, "application/xml"):
        root = etree.fromstring(body)
        fast.assertValid(root)
        slow.validate(root)


def test_the_run_covers_both_syntaxes_and_both_verdicts() -> None:
    seen = {(str(o.syntax), str(j.verdict)) for _, o, _, _ in played() if o for j in o.judged}
    assert seen >= {(syntax, str(verdict)) for syntax in ("edifact", "xml") for verdict in Verdict}
    told = [each for _, _, sent, _ in played() for each in sent]
    assert {each.content_type for each in told} >= {"application/edifact", "application/xml"}
    kinds = {each.kind for each in told}
    assert kinds >= {"contrl", "refused", "accepted", "assessed", "pending"}
