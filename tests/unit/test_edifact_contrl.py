"""CONTRL: written as the standard says for both syntaxes, valid by its own tables, and read again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pytest

from core.calendar import EASTERN
from core.envelope import Interchange
from core.findings import Fault
from edifact import reader as edifact
from edifact.contrl import acknowledged, contrl
from tests.support.edifact_cases import CASES, DIRECTORIES, GOVCBR, interchange, judge, message, replaced, seeded

NOW = datetime(2024, 3, 2, 3, 30, tzinfo=EASTERN)


def answer(body: bytes) -> bytes | None:
    faults, (envelope,) = judge(body)
    return write(envelope, faults)


def write(envelope: Interchange, faults: dict[int, tuple[Fault, ...]]) -> bytes | None:
    found: dict[int, Sequence[Fault]] = dict(faults)
    return contrl(envelope, found, own_id="id-1", reference="C1", now=NOW)


def lines(body: bytes | None) -> list[str]:
    assert body is not None
    (one,) = (each for each in edifact.read(body, DIRECTORIES) if isinstance(each, edifact.MessageText))
    return one.text.strip("'").split("'")


def four(body: bytes) -> bytes:
    return body.replace(b"UNOB:3", b"UNOB:4").replace(b"+240301:", b"+20240301:")


def test_a_good_interchange_is_acknowledged_as_a_whole() -> None:
    body = answer(interchange(message("GOVCBR", GOVCBR, "1")))
    assert body is not None
    assert body.startswith(b"UNA:+.? 'UNB+UNOB:3+CBSA:14+SENDER:14+240302:0330+C1'UNH+1+CONTRL:D:3:UN+id-1'")
    assert lines(body)[1:-1] == ["UCI+REF1+SENDER:14+CBSA:14+7"]


def test_syntax_4_is_answered_in_syntax_4() -> None:
    body = answer(four(interchange(message("GOVCBR", GOVCBR, "1"))))
    assert body is not None
    assert body.startswith(b"UNA:+.?*'UNB+UNOB:4+CBSA:14+SENDER:14+20240302:0330+C1'UNH+1+CONTRL:4:1:UN+id-1'")


def test_faults_are_told_by_segment_element_and_component() -> None:
    segments = list(GOVCBR)
    replaced("DTM", "20240301", "20230229")(segments)
    replaced("MOA+39", "1200", "12OO")(segments)
    del segments[segments.index("HYN+3")]
    body = answer(interchange(message("GOVCBR", GOVCBR, "1"), message("GOVCBR", segments, "2")))
    assert lines(body)[1:-1] == [
        "UCI+REF1+SENDER:14+CBSA:14+7",
        "UCM+2+GOVCBR:D:13A:UN:CAD1.0+4",
        "UCS+3",
        "UCD+12+2:2",
        "UCS+17",
        "UCD+37+2:2",
        "UCS+33+13",
    ]


def test_an_envelope_fault_of_a_message_stands_in_its_ucm() -> None:
    body = answer(interchange(message("GOVCBR", GOVCBR, "1", "UNT+9+1")))
    assert lines(body)[2:-1] == ["UCM+1+GOVCBR:D:13A:UN:CAD1.0+4+29+UNT+2"]


def test_an_envelope_fault_of_the_interchange_rejects_it_whole() -> None:
    body = answer(interchange(message("GOVCBR", GOVCBR, "1"), unz="UNZ+2+REF1"))
    assert lines(body)[1:-1] == ["UCI+REF1+SENDER:14+CBSA:14+4+29+UNZ+2"]


def test_a_group_fault_rejects_the_group() -> None:
    group = f"UNG+GOVCBR+S+R+240301:1200+G1+UN+D:13A'{message('GOVCBR', GOVCBR, '1')}UNE+2+G1'"
    body = answer(interchange(group))
    assert lines(body)[1:-1] == ["UCI+REF1+SENDER:14+CBSA:14+7", "UCF+G1+S+R+4+29+UNE+2"]


def test_codes_of_the_other_syntax_are_not_written() -> None:
    segments = list(GOVCBR)
    replaced("MOA+39", "1200.50", "1200.")(segments)
    three, four_ = interchange(message("GOVCBR", segments, "1")), four(interchange(message("GOVCBR", segments, "1")))
    assert "UCD+38+2:2" in lines(answer(three))
    assert "UCD+12+2:2" in lines(answer(four_))


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("version", ["3", "4"])
def test_every_contrl_is_valid_by_its_own_tables_and_not_answered(kind: str, version: str) -> None:
    for cases in [*((case,) for case in CASES[kind]), CASES[kind]]:
        body, _ = seeded(kind, cases)
        written = answer(four(body) if version == "4" else body)
        assert written is not None
        faults, (envelope,) = judge(written)
        assert (faults, envelope.faults) == ({1: ()}, ())
        assert write(envelope, faults) is None


def test_none_can_be_built_without_what_it_must_repeat() -> None:
    body = interchange(message("GOVCBR", GOVCBR, "1"))
    assert answer(body.replace(b"+REF1'UNH", b"'UNH")) is None
    assert answer(body.replace(b"+SENDER:14", b"+")) is None
    assert answer(body.replace(b"UNH+1+", b"UNH++")) is None


def test_an_inbound_contrl_tells_what_it_acknowledges() -> None:
    segments = list(GOVCBR)
    replaced("DTM", "20240301", "20230229")(segments)
    body = answer(interchange(message("GOVCBR", GOVCBR, "1"), message("GOVCBR", segments, "2", "UNT+9+2")))
    assert body is not None
    (one,) = (each for each in edifact.read(body, DIRECTORIES) if isinstance(each, edifact.MessageText))
    told = acknowledged(one.segments)
    assert told is not None
    assert (told.reference, told.action, told.rejected) == ("REF1", "7", True)
    assert [(each.reference, each.action, each.error) for each in told.messages] == [("2", "4", "29")]
    assert acknowledged([[["UNH"], ["1"]]]) is None
