"""EDIFACT answers keep their own rules: whom they are for, in which character set, and nothing that those forbid."""

from __future__ import annotations

import random
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydifact.segmentcollection import RawSegmentCollection

from core.partner import Agreement, Partner
from core.register import Facts
from core.transmission import Outcome, Outgoing, Received
from edifact import reader
from edifact.syntax import ENCODINGS
from gateway.pipeline import handle, hold
from tests.support import hostile
from tests.support.edifact_cases import judge
from tests.support.way import NOW, PARTNERS, PLANS, SAMPLES
from tests.way.test_fuzz import PIECES, spoilt

AB = (SAMPLES / "originals/ab-two-lines.edi").read_bytes().replace(b"'\n", b"'")
AB4 = AB.replace(b"UNA:+.? '", b"").replace(b"UNOC:3", b"UNOC:4").replace(b"+260115:", b"+20260115:")
NAMED = Agreement(ids=("CARMGATEWAY", "CARMTEST"))
MAPLE = replace(PARTNERS["maple"], agreement=NAMED, envelopes=("MAPLEBROKER", "MAPLETWO"))


def sent(body: bytes, partner: Partner = MAPLE) -> Outcome:
    return handle(Received("r", partner.id, body, NOW), Facts(partner), PLANS)


def in_edifact(outcome: Outcome) -> list[Outgoing]:
    return [item for item in outcome.outgoing if item.content_type == "application/edifact"]


def text_of(body: bytes) -> str:
    charset = body[body.index(b"UNB+") + 4 :][:4].decode()
    return body.decode(ENCODINGS[charset])


def unb(body: bytes) -> list[str]:
    """Return the elements of UNB: syntax, sender, recipient."""
    return text_of(body).partition("UNB+")[2].split("+")[:3]


def assert_valid(body: bytes) -> None:
    """An answer has no finding by our own validator, warnings included, and pydifact reads it."""
    faults, interchanges = judge(body)
    assert [fault for found in faults.values() for fault in found] == []
    around = [(each.faults, *(group.faults for group in each.groups)) for each in interchanges]
    # The subject's own words may look like UTF-8 (EDI-0121), and are repeated as they are.
    assert [[fault for found in each for fault in found if fault.code != "EDI-0121"] for each in around] == [[]]
    (message,) = (each for each in reader.read(body, PLANS.reading.directories) if isinstance(each, reader.MessageText))
    tags = [segment.tag for segment in RawSegmentCollection.from_str(text_of(body)).segments]
    assert tags == ["UNA", "UNB", *message.tags, "UNZ"]


# ------------------------------------------------------------------------------------------------ whom they are for


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (b"", b"", ["CARMGATEWAY", "MAPLEBROKER"]),
        (b"MAPLEBROKER+", b"MAPLETWO:ZZ:X+", ["CARMGATEWAY", "MAPLETWO:ZZ:X"]),
        (b"CARMGATEWAY", b"CARMTEST:ZZ", ["CARMTEST:ZZ", "MAPLEBROKER"]),
        (b"UNB+", b"UNB*", ["CARMGATEWAY", "MAPLEBROKER"]),
        (b"UNA:+.? '", b"UNA:+.+ '", ["CARMGATEWAY", "MAPLEBROKER"]),
        (b"MAPLEBROKER", b"", ["CARMGATEWAY", "MAPLEBROKER"]),
        (b"MAPLEBROKER", b"SOMEBODY", ["CARMGATEWAY", "MAPLEBROKER"]),
        (b"MAPLEBROKER", b"MAPLE\x85BROKER", ["CARMGATEWAY", "MAPLEBROKER"]),
        (b"MAPLEBROKER", b"M" * 36, ["CARMGATEWAY", "MAPLEBROKER"]),
        (b"CARMGATEWAY", b"", ["CARMGATEWAY", "MAPLEBROKER"]),
        (b"CARMGATEWAY", b"ICS", ["CARMGATEWAY", "MAPLEBROKER"]),
        (b"CARMGATEWAY", b"CARM\nGATEWAY", ["CARMGATEWAY", "MAPLEBROKER"]),
        (b"UNOC:3+MAPLEBROKER+CARMGATEWAY", b"UNOX:3+MAPLEBROKER+", ["CARMGATEWAY", "MAPLEBROKER"]),
        (b"UNOC:3+MAPLEBROKER", b"UNOC:9+MAPLE\nBROKER", ["CARMGATEWAY", "MAPLEBROKER"]),
        (b"UNOC:3+MAPLEBROKER", b"UNOW:4+\xff", ["CARMGATEWAY", "MAPLEBROKER"]),
    ],
    ids=[
        "as usual", "another mailbox, qualified", "another id of ours, qualified", "UNB unreadable", "UNA unreadable",
        "no sender", "other sender", "stray byte in the sender", "sender too long", "no recipient", "other recipient",
        "line feed in the recipient", "unsupported syntax, no recipient", "unsupported version, line feed",
        "not the declared character set",
    ],
)  # fmt: skip
def test_answers_are_addressed_by_the_agreement(old: bytes, new: bytes, expected: list[str]) -> None:
    assert old in AB
    answers = in_edifact(sent(AB.replace(old, new, 1) if old else AB))
    assert answers
    for answer in answers:
        assert unb(answer.body)[1:] == expected, answer.kind
        assert_valid(answer.body)


def test_a_technical_answer_is_addressed_too() -> None:
    answer = hold(Received("r", "maple", AB, NOW), MAPLE, PLANS)
    assert unb(answer.body)[1:] == ["CARMGATEWAY", "MAPLEBROKER"]
    assert_valid(answer.body)


# ------------------------------------------------------------------------------------------------ which character set


REFERENCES = {
    "UNOC": "Été", "UNOD": "Łódź", "UNOE": "Москва", "UNOF": "Αθήνα", "UNOG": "Öl", "UNOK": "İş", "UNOL": "12 €",
    "UNOW": "Łódź Москва",
}  # fmt: skip


@pytest.mark.parametrize("charset", REFERENCES)
@pytest.mark.parametrize("language", ["en", "fr"])
def test_answers_come_in_the_subjects_character_set(charset: str, language: str) -> None:
    reference = {"UNOD": "Łódź", "UNOE": "Москва", "UNOF": "Αθήνα", "UNOL": "€ 12", "UNOW": "Łódź Москва"}.get(
        charset, "Été"
    )
    if charset in ("UNOG", "UNOK"):
        reference = "Öl"
    body = (AB if charset < "UNOG" else AB4).replace(b"UNOC", charset.encode())
    body = body.replace(b"REF-00012", reference.encode(ENCODINGS[charset]))
    outcome = sent(body, replace(MAPLE, language=language))
    answers = {item.kind: item.body for item in in_edifact(outcome)}
    assert answers.keys() == {"contrl", "accepted"}
    for answer in answers.values():
        assert unb(answer)[0] == f"{charset}:{3 if charset < 'UNOG' else 4}"
        assert_valid(answer)
    assert f"RFF+ABO:{reference}'" in text_of(answers["accepted"])


@pytest.mark.parametrize(
    ("charset", "words"),
    [("UNOC", "Refusé"), ("UNOD", "Refusé"), ("UNOE", "Refuse"), ("UNOF", "Refuse"), ("UNOA", "Refusé")],
)
def test_french_is_written_as_far_as_the_set_has_it(charset: str, words: str) -> None:
    body = AB.replace(b"UNOC", charset.encode()).replace(b"12345000000012", b"12345000000013")
    if charset == "UNOA":
        body = body.upper()
    (answer,) = [item.body for item in in_edifact(sent(body, replace(MAPLE, language="fr"))) if item.kind == "refused"]
    assert f":::{words}'" in text_of(answer)
    assert "\\" not in text_of(answer)
    assert_valid(answer)


# ------------------------------------------------------------------------------------------------ what they repeat


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"13A:UN:", b"13A:XX:"),
        (b"GOVCBR:D:", b"GOV\nCBR:D:"),
        (b"UNH+1+", b"UNH+1\n1+"),
        (b"MAPLEBROKER+", b"MAPLEBROKER:LONGER+"),
        (b"+MB000001'UNH", b"+MB\r\n1'UNH"),
        (b"13A:UN:CAD", b"13A:UN:CAD\xff"),
    ],
    ids=["0051", "line feed in 0065", "line feed in 0062", "0007", "line ends in 0020", "0057"],
)
@pytest.mark.parametrize("base", [AB, AB4], ids=["syntax 3", "syntax 4"])
def test_an_answer_repeats_nothing_that_its_rules_forbid(base: bytes, old: bytes, new: bytes) -> None:
    assert old in base
    answers = in_edifact(sent(base.replace(old, new)))
    assert answers
    for answer in answers:
        assert_valid(answer.body)


@pytest.mark.parametrize(
    "row", [row for row in hostile.rows() if not row["file"].startswith("made:")], ids=lambda r: r["file"]
)
def test_answers_to_hostile_samples_are_valid(row: dict[str, str]) -> None:
    for answer in in_edifact(sent(hostile.body_of(row["file"]))):
        assert_valid(answer.body)


EDIFACT = [body for row in hostile.rows() if row["file"].endswith(".edi") and not row["file"].startswith("made:")
           for body in [hostile.body_of(row["file"])] if len(body) < 20_000]  # fmt: skip
HEADERS = [b"UNOA:3", b"UNOB:2", b"UNOE:3", b"UNOK:4", b"UNOK:5", b"UNOW:4", b"UNOW:3", b"UNOX:3", b"UNOC:9", b":"]


@given(st.randoms(use_true_random=False))
def test_answers_to_spoilt_samples_are_valid(draw: random.Random) -> None:
    body = draw.choice((AB, AB4, *EDIFACT))
    if draw.random() < 0.5:
        body = re.sub(rb"UNO[A-Z]:\d", draw.choice(HEADERS), body, count=1)
    at = body.find(b"UNH")
    for _ in range(draw.randrange(3)):  # envelopes are what is repeated
        at = draw.randrange(max(1, body.find(b"BGM")))
        body = body[:at] + draw.choice((b"\n", b"\xff", b"\x85", b"XX", b"+", b":", b"?", b"\xc3\xa9")) + body[at:]
    if draw.random() < 0.5:
        body = spoilt(body, draw, PIECES)
    for answer in in_edifact(sent(body)):
        assert_valid(answer.body)
