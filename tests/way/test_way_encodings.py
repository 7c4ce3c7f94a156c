"""Bytes that say another character set than the one declared: UTF-8 under an 8-bit set, byte order marks."""

from __future__ import annotations

import pytest

from core.register import Facts
from core.transmission import Outcome, Received
from gateway.pipeline import handle
from tests.support.sending import number
from tests.support.way import NOW, PARTNERS, PLANS, SAMPLES

AB = (SAMPLES / "originals/ab-two-lines.edi").read_bytes()
AB4 = AB.replace(b"UNA:+.? '\n", b"").replace(b"UNOC:3", b"UNOC:4").replace(b"+260115:", b"+20260115:")
XML = (SAMPLES / "originals/published-example.xml").read_text("utf-8")
BOM = b"\xef\xbb\xbf"


def sent(body: bytes, partner: str = "maple") -> Outcome:
    return handle(Received("r", partner, body, NOW), Facts(PARTNERS[partner]), PLANS)


def told(body: bytes, partner: str = "maple") -> list[tuple[str, str | None, str | None]]:
    """Return the code of each finding, what is read, and what may be meant."""
    return [(each.code, each.value, each.expected) for one in sent(body, partner).judged for each in one.findings]


def city(text: bytes, charset: bytes = b"UNOC") -> bytes:
    """Return the sample with another city, in syntax 4 if its character set needs it."""
    body = AB if charset < b"UNOG" else AB4
    assert b"Hamburg" in body
    return body.replace(b"UNOC", charset).replace(b"Hamburg", text)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (city("Montréal".encode()), [("EDI-0121", "MontrÃ©al", "Montréal")]),
        (city("Zürich, Málaga".encode()), [("EDI-0121", "ZÃ¼rich", "Zürich")]),
        (city("l\u2019Île d\u2019Orléans".encode()), [("EDI-0515", None, None), ("EDI-0121", None, None)]),
        (city("Montréal".encode(), b"UNOL"), [("EDI-0121", "MontrÃ©al", "Montréal")]),
        (city("Москва".encode(), b"UNOE"), [("EDI-0515", None, None), ("EDI-0121", None, None)]),
        (city("Montréal".encode() + b" \xe9"), [("EDI-0121", "MontrÃ©al", "Montréal")]),
    ],
    ids=["one letter", "the first of several", "typographic", "UNOL", "Cyrillic", "beside a letter of the set"],
)
def test_utf_8_under_an_8_bit_set_is_warned_of(body: bytes, expected: list[tuple[str, str | None, str | None]]) -> None:
    found = told(body)
    if expected[0][1]:
        assert found == expected
    else:  # what UTF-8 writes as a control character is refused, too
        assert {code for code, _, _ in found} == {code for code, _, _ in expected}


@pytest.mark.parametrize(
    "body",
    [
        AB,
        city("Montréal".encode("latin-1")),
        city("Ça va, À bientôt".encode("latin-1")),
        city("SÃO PAULO".encode("latin-1")),
        city("«Âme»".encode("latin-1")),
        city("Łódź".encode("iso8859-2"), b"UNOD"),
        city("Москва".encode("iso8859-5"), b"UNOE"),
        city("Αθήνα".encode("iso8859-7"), b"UNOF"),
        city("Montréal Łódź".encode(), b"UNOW"),
        BOM + AB,
        BOM + city("Montréal".encode(), b"UNOW"),
    ],
    ids=[
        "ASCII", "Latin-1", "Latin-1 capitals", "tilde", "quotes", "UNOD", "UNOE", "UNOF", "UNOW", "mark and ASCII",
        "mark and UNOW",
    ],
)  # fmt: skip
def test_what_is_as_declared_has_no_finding(body: bytes) -> None:
    assert told(body) == []


def test_it_is_told_once_where_it_stands_and_asks_for_no_contrl() -> None:
    body = city("Montréal".encode()).replace(b"Ottawa", "Québec".encode())
    body = body.replace(b"MAPLEBROKER", b"ERABLECOURTIER").replace(b"12345000000012", number(1, "24680").encode())
    outcome = sent(body, "erable")
    (finding,) = outcome.judged[0].findings
    lines = body.decode("latin-1").split("\n")
    assert finding.place.line
    assert finding.place.column
    assert lines[finding.place.line - 1][finding.place.column - 1 :].startswith("Ã©bec")
    assert [item.kind for item in outcome.outgoing] == ["accepted", "request"]


def test_each_interchange_of_a_file_is_told_of_by_itself() -> None:
    other = city("Montréal".encode()).replace(b"MB000001", b"MB000002").replace(b"12345000000012", b"12345000000023")
    assert [code for code, _, _ in told(AB + other)] == ["EDI-0121"]


def test_a_byte_order_mark_that_contradicts_0001_is_refused() -> None:
    body = BOM + city("Montréal".encode())
    assert told(body) == [("EDI-0120", "UNOC", "UNOW")]
    (finding,) = sent(body).judged[0].findings
    assert (finding.syntax_error, finding.place.element, finding.place.component) == ("12", 2, 1)


def test_long_words_cost_nothing() -> None:
    body = city(b"x" * 200_000 + "é".encode() + b"y" * 200_000)
    assert "EDI-0121" in [code for code, _, _ in told(body)]


@pytest.mark.parametrize(
    ("mark", "codec", "declared", "code"),
    [
        (BOM, "utf-8", "UTF-8", None),
        (BOM, "utf-8", "UTF-16", "XML-0006"),
        (BOM, "utf-8", "US-ASCII", "XML-0006"),
        (BOM, "utf-8", "ISO-8859-1", "XML-0006"),
        (b"\xff\xfe", "utf-16-le", "UTF-16", None),
        (b"\xff\xfe", "utf-16-le", "utf-16le", None),
        (b"\xff\xfe", "utf-16-le", "UTF-8", "XML-0006"),
        (b"\xff\xfe", "utf-16-le", "UTF-16BE", "XML-0006"),
        (b"\xfe\xff", "utf-16-be", "UTF-16", None),
        (b"\xfe\xff", "utf-16-be", "UTF-8", "XML-0006"),
        (b"", "utf-8", "UTF-8", None),
    ],
)
def test_an_xml_declaration_that_contradicts_the_mark_is_refused(
    mark: bytes, codec: str, declared: str, code: str | None
) -> None:
    assert "'UTF-8'" in XML
    body = mark + XML.replace("'UTF-8'", f"'{declared}'").encode(codec)
    found = told(body, "erable")
    assert [each[:2] for each in found] == ([(code, declared)] if code else [])
