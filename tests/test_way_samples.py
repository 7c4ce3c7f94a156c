"""Every sample along the way: its verdict and findings, and what independent judges say of it and of its answers."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest
import xmlschema
from lxml import etree
from pydifact.segmentcollection import RawSegmentCollection

from gateway.model import Outcome, Outgoing, Verdict
from parsers.edifact import InterchangeText, MessageText, read
from tests.way import HOME, SAMPLES, SPECS, play, rows
from validators.edifact import check, check_interchange

pytestmark = pytest.mark.filterwarnings("ignore::pydifact.exceptions.MissingImplementationWarning")

PLAYED = play()
NAMES = [f"{number:02d}-{row['file']}" for number, (row, *_) in enumerate(PLAYED, 1)]
SCHEMAS = {
    name: (etree.XMLSchema(etree.parse(HOME / f"eccrd_specs/wco/{name}.xsd")), xmlschema.XMLSchema10(str(path)))
    for name in ("MetaData", "Response")
    for path in [HOME / f"eccrd_specs/wco/{name}.xsd"]
}


def accepted(suffix: str) -> list[str]:
    return sorted({row["file"] for row in rows() if row["verdict"] == "accepted" and row["file"].endswith(suffix)})


def answers(content_type: str) -> list[object]:
    return [
        pytest.param(each, id=f"{name}-{each.kind}")
        for name, (_, _, sent, _) in zip(NAMES, PLAYED, strict=True)
        for each in sent
        if each.content_type == content_type
    ]


def walks_the_un_structure(body: bytes) -> int:
    """Hold a transmission to the unmodified UN directory, envelope and messages; return how many messages it has."""
    count = 0
    for item in read(body, SPECS.directories):
        if isinstance(item, MessageText):
            structure = SPECS.directories.structure(item.identifier, item.interchange.syntax_version)
            assert structure is not None
            assert check(item, structure) == ()
            count += 1
        elif isinstance(item, InterchangeText):
            interchange = check_interchange(item)
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


@pytest.mark.parametrize(("row", "outcome", "sent", "total"), PLAYED, ids=NAMES)
def test_the_sample_has_its_verdict_findings_and_answers(
    row: dict[str, str], outcome: Outcome | None, sent: list[Outgoing], total: Decimal | None
) -> None:
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


@pytest.mark.parametrize(("row", "outcome"), [each[:2] for each in PLAYED], ids=NAMES)
def test_every_finding_is_told_whole(row: dict[str, str], outcome: Outcome | None) -> None:
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
                lines = judged.message.locator.text().splitlines()
                assert finding.place.column <= len(lines[finding.place.line - 1])


@pytest.mark.parametrize("file", accepted(".edi"))
def test_an_accepted_edifact_sample_walks_the_unmodified_un_structure(file: str) -> None:
    body = (SAMPLES / file).read_bytes()
    messages = walks_the_un_structure(body)
    assert messages
    read_by_pydifact(body, messages)


@pytest.mark.parametrize("answer", answers("application/edifact"))
def test_an_edifact_answer_walks_the_unmodified_un_structure(answer: Outgoing) -> None:
    messages = walks_the_un_structure(answer.body)
    assert messages == 1
    read_by_pydifact(answer.body, messages)


@pytest.mark.parametrize("file", accepted(".xml"))
def test_an_accepted_xml_sample_fits_its_schema_by_two_judges(file: str) -> None:
    root = etree.parse(SAMPLES / file).getroot()
    fast, slow = SCHEMAS["MetaData"]
    fast.assertValid(root)
    slow.validate(root)


@pytest.mark.parametrize("answer", answers("application/xml"))
def test_an_xml_answer_fits_its_schema_by_two_judges(answer: Outgoing) -> None:
    root = etree.fromstring(answer.body)
    fast, slow = SCHEMAS["Response"]
    fast.assertValid(root)
    slow.validate(root)


def test_the_run_covers_both_syntaxes_and_both_verdicts() -> None:
    seen = {(str(o.syntax), str(j.verdict)) for _, o, _, _ in PLAYED if o for j in o.judged}
    assert seen >= {(syntax, str(verdict)) for syntax in ("edifact", "xml") for verdict in Verdict}
    kinds = {each.kind for _, _, sent, _ in PLAYED for each in sent}
    assert kinds >= {"contrl", "refused", "accepted", "assessed", "pending"}
