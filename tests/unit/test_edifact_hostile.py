"""Hostile EDIFACT: whatever the bytes, there is an outcome or `Malformed`, soon, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import limits
from core.errors import Malformed
from edifact.contrl import contrl
from edifact.message import counted, explain
from edifact.reader import MessageText, read
from tests.support.edifact_cases import CUSDEC, DIRECTORIES, GOVCBR, UNB, check, interchange, judge, message
from tests.unit.test_edifact_contrl import NOW

HEAD = f"{UNB}'".encode()
UNH = b"UNH+1+GOVCBR:D:13A:UN'"
END = b"UNT+3+1'UNZ+1+REF1'"
EVIL = "X?'UNA?:?+.?? ?'UNB?+UNOC?:3?+EVIL?+X?+240101?:0000?+1?'"


def outcome(body: bytes) -> tuple[int, set[str]]:
    """Return how many faults there are and their codes; everything that can be asked of the outcome is asked."""
    try:
        faults, interchanges = judge(body, check)
    except Malformed as error:
        return 1, {error.code}
    for each in interchanges:
        contrl(each, dict(faults), own_id="id", reference="C1", now=NOW)
    found = [fault for each in faults.values() for fault in each]
    found += [fault for each in interchanges for fault in each.faults]
    found += [fault for each in interchanges for group in each.groups for fault in group.faults]
    assert all(fault.place is not None for fault in found)
    return len(found), {fault.code for fault in found}


def empty(count: int) -> bytes:
    return HEAD + b"".join(b"UNH+%d+GOVCBR:D:13A:UN'UNT+2+%d'" % (i, i) for i in range(count))


CASES = {
    "a UNA with equal characters": (b"UNA::::::UNB" + HEAD, "EDI-0003"),
    "a UNA of letters": (b"UNAabcdefUNB" + HEAD, "EDI-0003"),
    "a million elements": (HEAD + UNH + b"BGM" + b"+A" * 1_000_000 + b"'" + END, "EDI-0308"),
    "a million components": (HEAD + UNH + b"BGM+" + b":A" * 1_000_000 + b"'" + END, "EDI-0308"),
    "a million release characters": (HEAD + UNH + b"BGM+" + b"?" * 1_000_000 + b"'" + END, "EDI-0308"),
    "a million released terminators": (HEAD + UNH + b"?'" * 1_000_000 + b"'" + END, "EDI-0308"),
    "a segment without end": (HEAD + UNH + b"FTX+AAA+++" + b"A" * 5_000_000, "EDI-0308"),
    "a header without end": (b"UNB+UNOC:3+" + b"A+" * 2_500_000, "EDI-0005"),
    "100,000 empty messages": (empty(100_000), "EDI-0006"),
    "as many empty messages as may be": (empty(limits.MESSAGES), "EDI-0410"),
    "as many messages without end as may be": (HEAD + UNH * limits.MESSAGES, "EDI-0301"),
    "a fault in every segment": (HEAD + (UNH + b"XYZ+1'" * 1_500 + END[:8]) * 100, "EDI-0312"),
    "five million terminators": (HEAD + b"'" * 5_000_000, "EDI-0108"),
    "five million terminators in a message": (HEAD + UNH + b"'" * 5_000_000, "EDI-0307"),
    "200,000 groups": (HEAD + b"UNG+A'" * 200_000, "EDI-0006"),
    "100,000 interchanges": ((HEAD + HEAD.replace(b"REF1", b"REF2")) * 50_000, "EDI-0006"),
    "100,000 times one header": (HEAD * 100_000, "EDI-0108"),
    "stray trailers": (HEAD + b"UNT+1'UNE+1'" * 200_000, "EDI-0108"),
    "a misplaced group over and over": (HEAD + UNH + b"BGM'" + b"GID+1'TAX+7'" * 20_000 + END, "EDI-0405"),
    "line ends without end": (HEAD + UNH + b"\n" * 5_000_000 + END, "EDI-0308"),
    "no EDIFACT at all": (bytes(range(256)) * 1_000, "EDI-0002"),
}


@pytest.mark.parametrize("name", CASES)
def test_hostile_input_is_refused(name: str) -> None:
    body, code = CASES[name]
    count, codes = outcome(body)
    assert code in codes
    assert count < 50_000


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_explaining_changes_no_message_a_third_call_says_the_same(name: str) -> None:
    """Each explanation once counted towards a limit that the transmission kept, so that a later one said less."""
    try:
        found = list(read(CASES[name][0], DIRECTORIES))
    except Malformed:
        return
    texts = [each for each in found[:8] if isinstance(each, MessageText)]
    before = [repr(each) for each in (*texts[:2], found[-1])]
    for text in texts:
        table = DIRECTORIES.structure(text.identifier, text.interchange.syntax_version)
        assert explain(text, table) == explain(text, table) == explain(text, table)
    assert [repr(each) for each in (*texts[:2], found[-1])] == before


def test_what_the_messages_before_it_were_told_shortens_a_report() -> None:
    (text, *_) = read(CASES["a fault in every segment"][0], DIRECTORIES)
    assert isinstance(text, MessageText)
    table = DIRECTORIES.structure(text.identifier)
    told = [len(explain(text, table, told=before)) for before in (0, limits.FAULTS_ALL - 10, limits.FAULTS_ALL)]
    assert told == [limits.FAULTS + 1, 11, 2]
    assert counted(explain(text, table)) == limits.FAULTS


def test_a_smuggled_interchange_changes_nothing() -> None:
    segments = [f"FTX+AAA+++{EVIL}" if each.startswith("FTX+AAA") else each for each in GOVCBR]
    assert outcome(interchange(message("GOVCBR", segments, "1"))) == (0, set())


# ------------------------------------------------------------------------------------------------ fuzzing

PIECES = [
    *(each.encode() for each in (*GOVCBR, *CUSDEC)),
    *(
        b"UNA:+.? '",
        b"UNA|~,! ;",
        b"UNB+UNOC:3+S+R+240301:1200+1",
        b"UNB+UNOW:4+S+R+20240301:1200+1",
        b"UNB\x1dUNOB\x1f3\x1c",
    ),
    *(b"UNG+GOVCBR+S+R+240301:1200+G1+UN+D:13A", b"UNE+1+G1", b"UNZ+1+1", b"UNT+2+1", b"UNH+1+GOVCBR:D:13A:UN"),
    *(b"UNH+1+CONTRL:D:3:UN", b"UCI+1+S+R+7", b"UNH+1+CUSDEC:D:96B:UN", b"UNH", b"UNB", b"UNS+D", b"CNT+5:1", b"CNT"),
    *(
        b"?",
        b"'",
        b"+",
        b":",
        b"*",
        b"\r\n",
        b" ",
        b"\x00",
        b"\xff",
        b"\xef\xbb\xbf",
        "é€".encode(),
        b"\x1c",
        b"\x1d",
        b"\x1f",
    ),
]
GLUE = [b"'", b"'", b"'", b"'\r\n", b"", b"+", b"\x1c", b";"]


@given(st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(GLUE)), max_size=25))
def test_pieces_in_any_order_have_an_outcome(pieces: list[tuple[bytes, bytes]]) -> None:
    outcome(b"".join(piece + glue for piece, glue in pieces))


@given(st.binary(max_size=300))
def test_any_bytes_have_an_outcome(body: bytes) -> None:
    outcome(body)
    outcome(HEAD + body)
    outcome(HEAD + UNH + body)
