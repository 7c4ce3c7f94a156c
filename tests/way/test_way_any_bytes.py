"""Whatever comes in, the way ends in a verdict; and the same bytes end in the same bytes, wherever and whenever."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.register import Facts
from core.transmission import Outcome, Received, Verdict
from gateway import pipeline
from tests.support.effort import times
from tests.support.oracles import has_verdicts
from tests.support.way import HOME, NOW, PARTNERS, PLANS, SAMPLES, play, rows

BODIES = [(SAMPLES / row["file"]).read_bytes() for row in rows()]
EDIFACT = [body for body in BODIES if body.startswith(b"UN")]
XML = [body for body in BODIES if body.lstrip().startswith(b"<")]


def carried(body: bytes, partner: str = "maple") -> Outcome:
    return pipeline.handle(Received("r", partner, body, NOW), Facts(PARTNERS[partner]), PLANS)


def ends_well(body: bytes) -> None:
    """Check that a transmission has at least one message, each with a verdict and, when refused, a reason."""
    for partner in ("maple", "erable"):
        outcome = carried(body, partner)
        has_verdicts(outcome, body)
        assert pipeline.hold(outcome.received, PARTNERS[partner], PLANS).body


@settings(max_examples=times(1.5))
@given(st.binary(max_size=200))
@example(b"")
@example(b"UNA")
@example(b"UNB")
@example(b"UNA:+.? '")
@example(b"UNB+UNOC:3'")
@example(b"\xef\xbb\xbf<a/>")
@example("<a/>".encode("utf-16"))
@example(b"\0" * 100)
def test_any_bytes_end_in_a_verdict(body: bytes) -> None:
    ends_well(body)


@given(
    st.sampled_from([b"UNB+", b"UNA:+.? 'UNB+UNOC:3+", b"<", b"<?xml version='1.0'", b"<MetaData "]),
    st.binary(max_size=120),
)
def test_any_bytes_behind_a_good_beginning_end_in_a_verdict(start: bytes, rest: bytes) -> None:
    ends_well(start + rest)


TOKENS = [
    b"'",
    b"+",
    b":",
    b"?",
    b"UNH+",
    b"UNT+",
    b"<",
    b">",
    b"</",
    b"&amp;",
    b"\0",
    b"\xff",
    b"9" * 40,
    b"\n",
    b"",
]


@st.composite
def mutants(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    """A sample with pieces cut out, doubled, moved or overwritten."""
    body = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(1, 4))):
        if not body:
            break
        start = draw(st.integers(0, len(body) - 1))
        end = min(len(body), start + draw(st.integers(0, 60)))
        piece = draw(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=6), st.just(body[start:end] * 2)))
        body = body[:start] + piece + body[end:]
    return body


@settings(max_examples=times(2))
@given(mutants(EDIFACT))
def test_spoilt_edifact_ends_in_a_verdict(body: bytes) -> None:
    ends_well(body)


@settings(max_examples=times(1.5))
@given(mutants(XML))
def test_spoilt_xml_ends_in_a_verdict(body: bytes) -> None:
    ends_well(body)


@pytest.mark.parametrize("body", [EDIFACT[0], XML[0]], ids=["edifact", "xml"])
def test_every_truncation_is_refused(body: bytes) -> None:
    generator = random.Random(1)
    complete = body.rstrip()
    for length in sorted(generator.sample(range(1, len(complete)), 60)):
        outcome = carried(complete[:length])
        assert {judged.verdict for judged in outcome.judged} == {Verdict.REFUSED}


@pytest.mark.parametrize(
    ("codec", "declared"),
    [("utf-16", "UTF-16"), *((codec, name) for codec in ("utf-16-le", "utf-16-be") for name in ("UTF-8", "UTF-16"))],
)
def test_a_place_is_found_in_utf_16_whatever_it_says_of_itself(codec: str, declared: str) -> None:
    """libxml2 goes by the bytes; expat, which looks the place up, ended in an error where it said UTF-8."""
    text = XML[0].decode().replace("<FunctionCode>", "<Surprise/><FunctionCode>")
    assert "encoding='UTF-8'" in text
    (one,) = carried(text.replace("UTF-8", declared).encode(codec), "erable").judged
    (finding,) = one.findings
    assert (finding.code, finding.place.line, finding.place.column) == ("XML-0004", 20, 5)


def test_a_line_is_found_where_a_name_is_of_the_fifth_edition_of_xml() -> None:
    """libxml2 takes U+FEFF and others into names, expat does not: looking the place up ended in an error of its own."""
    text = XML[0].decode().replace("<FunctionCode>", '<FunctionCode co\ufeffde="1">')
    (finding,) = carried(text.encode(), "erable").judged[0].findings
    assert (finding.code, finding.place.line) == ("XML-0004", 20)


# ------------------------------------------------------------------------------------------------ the same again


def fingerprint() -> str:
    """Return a digest over every verdict, finding and answer of the run of samples."""
    total = hashlib.sha256()
    for row, outcome, sent, amount in play():
        total.update(repr((row["file"], str(amount))).encode())
        for judged in outcome.judged if outcome else ():
            total.update(repr((judged.verdict, judged.findings, judged.nature, judged.message.envelope)).encode())
        for each in (*(outcome.outgoing if outcome else ()), *sent):
            total.update(repr(each).encode())
    return total.hexdigest()


@pytest.mark.slow
def test_the_same_bytes_and_facts_give_the_same_outcome_in_another_process() -> None:
    language = {"LC_ALL": "fr_CA.UTF-8", "LANG": "fr_CA.UTF-8", "TZ": "Asia/Kathmandu"}
    environment = {**os.environ, "PYTHONHASHSEED": "4711", **language}
    code = "from tests.way.test_way_any_bytes import fingerprint; print(fingerprint())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=HOME, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == fingerprint()


def test_the_same_bytes_and_facts_give_the_same_outcome_twice() -> None:
    for body in BODIES:
        first, second = carried(body), carried(body)
        assert first.outgoing == second.outgoing
        assert [(j.verdict, j.findings, j.effect) for j in first.judged] == [
            (j.verdict, j.findings, j.effect) for j in second.judged
        ]
