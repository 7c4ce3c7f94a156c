"""What stands around interchanges: filler is skipped with one warning, what is foreign is told, reading goes on."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from core.findings import Severity
from core.register import Facts
from core.transmission import Outcome, Received, Verdict
from gateway.pipeline import handle
from tests.support.sending import number
from tests.support.way import NOW, PARTNERS, PLANS, SAMPLES

V = (SAMPLES / "originals/v-voluntary.edi").read_bytes().rstrip()
AB = (SAMPLES / "originals/ab-two-lines.edi").read_bytes().rstrip()
BOM = b"\xef\xbb\xbf"
GOOD: tuple[str, ...] = ()
FILLER, FOREIGN, IN_FRONT = ("EDI-0118",), ("EDI-0115",), ("GTW-0116",)


def sent(body: bytes) -> Outcome:
    return handle(Received("r", "maple", body, NOW), Facts(PARTNERS["maple"]), PLANS)


def told(body: bytes) -> list[tuple[str, tuple[str, ...]]]:
    """Return the verdict of each message and its findings."""
    return [(str(one.verdict), tuple(finding.code for finding in one.findings)) for one in sent(body).judged]


class Row(NamedTuple):
    """What is sent, and what is found in each message, stand-ins for what is no interchange last."""

    kind: str
    body: bytes
    found: list[tuple[str, ...]]


ROWS = [
    Row("line ends behind", V + b"\r\n\r\n", [GOOD]),
    Row("blanks and tabs behind", V + b" \t \t\n", [GOOD]),
    Row("tab between segments", V.replace(b"'\n", b"'\t\n\t"), [GOOD]),
    Row("tab in front", b"\t" + V, [GOOD]),
    Row("DOS end of file", V + b"\x1a", [FILLER]),
    Row("DOS end of file on a line", V + b"\r\n\x1a\r\n", [FILLER]),
    Row("NUL padding", V + bytes(512), [FILLER]),
    Row("form feed", V + b"\x0c", [FILLER]),
    Row("byte order mark behind", V + BOM, [FILLER]),
    Row("NUL in front", b"\0\0" + V, [FILLER]),
    Row("byte order mark in front", BOM + V, [GOOD]),
    Row("two byte order marks in front", BOM + BOM + V, [IN_FRONT]),
    Row("two files joined", V + AB, [GOOD, GOOD]),
    Row("two files joined, line ends", V + b"\r\n" + AB + b"\r\n", [GOOD, GOOD]),
    Row("two files joined, byte order marks", BOM + V + BOM + AB, [FILLER, GOOD]),
    Row("two files joined, ends of file", V + b"\x1a" + AB + b"\x1a", [FILLER, FILLER]),
    Row("two files joined, all of it", V + b"\r\n\x1a\0" + BOM + b"\t" + AB, [FILLER, GOOD]),
    Row("byte order mark before UNZ", V.replace(b"UNZ", BOM + b"UNZ"), [("EDI-0108", "EDI-0121")]),
    Row("text between", V + b"--- next file ---\n" + AB, [GOOD, GOOD, FOREIGN]),
    Row("text behind", V + b"end of file", [GOOD, FOREIGN]),
    Row("a byte behind", V + b"\xff", [GOOD, FOREIGN]),
    Row("text at both", V + b"one\n" + AB + b"two\n", [GOOD, GOOD, FOREIGN, FOREIGN]),
    Row("a segment between", V + b"BGM+1'" + AB, [GOOD, GOOD, FOREIGN]),
    Row("UNA not usable", V + AB.replace(b"UNA:+.? '", b"UNA:+.+ '"), [GOOD, FOREIGN]),
    Row("UNA not usable, then a good one", V + b"UNA:+.+ 'UNB+UNOC:3+A'" + AB, [GOOD, GOOD, FOREIGN]),
    Row("letters that are no UNB", V + b"XUNB+UNAB" + AB, [GOOD, GOOD, FOREIGN]),
    Row("UNZ missing before a byte order mark", V[: V.rindex(b"UNZ")] + BOM + AB, [("EDI-0103", "EDI-0118"), GOOD]),
    Row(
        "UNT and UNZ missing before a byte order mark",
        V[: V.rindex(b"UNT")] + b"\x1a" + BOM + AB,
        [("EDI-0118", "EDI-0301"), GOOD],
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.kind for row in ROWS])
def test_what_stands_around_interchanges(row: Row) -> None:
    found = told(row.body)
    assert [sorted(codes) for _, codes in found] == [sorted(codes) for codes in row.found]
    for verdict, codes in found:
        assert verdict == ("accepted" if set(codes) <= {"EDI-0118"} else "refused")


@pytest.mark.parametrize(
    ("body", "line", "column", "value"),
    [
        (V + b"\x1a", V.count(b"\n") + 1, len(V) - V.rfind(b"\n"), "\\x1a"),
        (V + b"\r\n" + BOM + AB, V.count(b"\n") + 2, 1, "\\ufeff"),
        (b"\0" + V, 1, 2, "\\x00"),
        (V + bytes(99), V.count(b"\n") + 1, len(V) - V.rfind(b"\n"), "\\x00" * 40),
    ],
    ids=["end of file", "byte order mark", "in front", "long"],
)
def test_filler_is_told_once_where_it_begins(body: bytes, line: int, column: int, value: str) -> None:
    (finding,) = [finding for one in sent(body).judged for finding in one.findings]
    assert (finding.severity, finding.place.line, finding.place.column) == (Severity.WARN, line, column)
    assert finding.value == value
    assert value in finding.text.fr


def test_a_warning_about_filler_asks_for_no_contrl() -> None:
    body = AB.replace(b"MAPLEBROKER", b"ERABLECOURTIER").replace(b"12345000000012", number(1, "24680").encode())
    outcome = handle(
        Received("r", "erable", body + b"\x1a", NOW),
        Facts(PARTNERS["erable"]),
        PLANS,
    )
    assert [one.verdict for one in outcome.judged] == [Verdict.ACCEPTED]
    assert [item.kind for item in outcome.outgoing] == ["accepted", "request"]


def test_places_in_an_interchange_are_right_behind_filler() -> None:
    body = V + b"\r\n\x1a" + BOM + AB.replace(b"LIN+2'", b"LIN+2:X'")
    (finding,) = sent(body).judged[1].findings
    lines = body.decode().split("\n")
    assert finding.place.line
    assert finding.place.column
    assert lines[finding.place.line - 1][finding.place.column - 1 :].startswith("X'")
