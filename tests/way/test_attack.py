"""What one sender can do to the others: nothing that it sends ends in an error, or spoils what others are told."""

from __future__ import annotations

import threading

import pytest
from lxml import etree

from core import limits
from core.envelope import Envelope
from core.errors import Malformed
from gateway.trade.writer import write_xml
from parsers import sniff, xml, xml_names, xml_schema
from responses import business
from tests.support.builders import DECLARATION, valid_declaration
from tests.support.hostile import FOLDER, GOOD_XML, rows
from tests.support.oracles import carried, ends_well
from tests.support.way import PLANS
from validators import schema, words

SMALL = [row["file"] for row in rows() if not row["file"].startswith("made:")]


# ------------------------------------------------------------------------------------------------ names


def strange(number: int, length: int = 150) -> bytes:
    """Return a document of a thousand names that no other has."""
    names = b"".join(b"<n%d_%d_%s/>" % (number, k, b"x" * length) for k in range(1_000))
    return b"<a>" + names + b"</a>"


def test_the_names_of_one_sender_are_not_kept_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """libxml2 never empties its dictionary of a thread; full, it refused everybody's documents."""
    threads = []
    make = xml_names.hardened
    monkeypatch.setattr(xml_names, "hardened", lambda *given: (threads.append(threading.get_ident()), make(*given))[1])
    xml.parse(GOOD_XML)
    before = set(xml_names._kept)
    for number in range(42):
        assert len(xml.parse(strange(number))) == 1_000
    assert xml_names._kept == before
    xml.parse(GOOD_XML)
    here = threading.get_ident()
    assert (threads[0], threads[-1]) == (here, here)
    assert here not in threads[1:-1]


@pytest.mark.parametrize("codec", ["utf-16", "utf-8-sig"])
def test_nor_are_they_kept_in_another_encoding(codec: str) -> None:
    before = set(xml_names._kept)
    assert len(xml.parse(strange(99).decode().encode(codec))) == 1_000
    assert xml_names._kept == before


def test_what_is_kept_is_bounded() -> None:
    for number in range(40):
        xml.parse(strange(number, 10))
    assert sum(map(len, xml_names._kept)) <= limits.TAGS_KEPT


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"<FunctionCode>", b"<%s/><FunctionCode>" % (b"b" * 201), "a name of more than 200 characters"),
        (b"<FunctionCode>", b'<b %s="1"/><FunctionCode>' % (b"b" * 201), "a name of more than 200 characters"),
        (b"<FunctionCode>", b'<%s:b xmlns:%s="u"/><FunctionCode>' % (b"p" * 201, b"p" * 201), "a name of more than"),
        (
            b"<FunctionCode>",
            b"<b %s/><FunctionCode>" % b" ".join(b'a%d=""' % n for n in range(201)),
            "more than 200 attr",
        ),
    ],
)
def test_names_and_attributes_have_limits(old: bytes, new: bytes, reason: str) -> None:
    with pytest.raises(Malformed, match=reason) as told:
        xml.parse(GOOD_XML.replace(old, new, 1))
    assert told.value.code == "XML-0003"


def test_long_values_and_comments_are_no_names() -> None:
    xml.parse(GOOD_XML.replace(b"<FunctionCode>", b'<!-- %s --><b a="%s"/><FunctionCode>' % (b"-x=" * 99, b"x=" * 300)))


def test_a_fault_of_the_process_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """libxml2 says "no memory" as one of the errors of a document."""

    class NoMemory(etree.XMLSyntaxError):
        def __init__(self) -> None:
            super().__init__("out of memory", 2, 1, 1)

    def fails(*_: object) -> None:
        raise NoMemory

    monkeypatch.setattr(xml_names, "parsed", fails)
    with pytest.raises(MemoryError):
        carried(GOOD_XML, "erable")


# ------------------------------------------------------------------------------------------------ schema, places


def test_a_large_document_is_compared_with_the_schema_as_a_small_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = xml_schema.schema(DECLARATION.schema)
    good = write_xml(valid_declaration(lines=30), DECLARATION, Envelope("ERABLECOURTIER", "CARMGATEWAY", "R"))
    bad = good.replace(b"</TypeCode>", b"xxxx</TypeCode>", 1).replace(b"<Commodity>", b"<Wrong/><Commodity>", 3)
    for body, expected in ((good, []), (bad, ["TypeCode", "Wrong", "Wrong", "Wrong"])):
        root = xml.parse(body)
        assert xml_schema.fits(root, compiled) == xml_schema.fits(root, compiled, b"<a>" * 10**4) == (not expected)
        assert [node.tag.rpartition("}")[2] for node in xml_schema.misfits(root, compiled, 50)] == expected
        monkeypatch.setattr(xml_schema, "PIECE", 7)


def test_what_is_too_large_to_be_read_is_not_even_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TRANSMISSION_BYTES", 100)
    assert sniff.lane(b"UNB+UNOC:3'BGM+AB:CAD+12345000000012:1+9'") == "12345000000012"
    assert sniff.lane(b"UNB+UNOC:3'BGM+AB:CAD+12345000000012:1+9'" + b" " * 100) == "*"


# ------------------------------------------------------------------------------------------------ reports that are full


@pytest.mark.parametrize("most", range(1, 6))
def test_whatever_is_cut_off_in_a_report_nothing_unchecked_is_compared(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report that was full left segments unread, and what came later took them for sound."""
    for name in ("FAULTS", "FAULTS_ALL", "FAULTS_AROUND", "UNREAD", "FINDINGS_LISTED"):
        monkeypatch.setattr(limits, name, most)
    for module in (words, business, schema):
        monkeypatch.setattr(module, "FINDINGS_LISTED", most)
    monkeypatch.setattr(schema, "ERRORS_EXPLAINED", most)
    for name in SMALL:
        ends_well((FOLDER / name).read_bytes())


def test_patterns_are_compiled_of_the_packs_own_profiles_only() -> None:
    carried((FOLDER / "many-patterns.edi").read_bytes())
    profiles = {profile.rows for each in PLANS.reading.edifact.values() for profile in each.profiles.values()}
    assert {key[0] for key in PLANS.reading.matchers._messages} <= profiles
    assert len(PLANS.reading.matchers) < 64
