"""lxml decides, xmlschema explains: both must find the same documents good. Nightly many, in CI some."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime

import pytest
import xmlschema
from lxml import etree

from core.envelope import Envelope
from core.findings import Finding
from core.register import Facts
from core.transmission import Received
from gateway.pipeline import handle
from gateway.plans import prepare
from gateway.trade.maker import Maker
from gateway.trade.writer import write_xml
from parsers import xml_schema
from tests.support.effort import PROFILE
from tests.support.packs import PARTNER, ROOT

DOCUMENTS = {"dev": 100, "ci": 500, "night": 10_000}[PROFILE]
PLANS = prepare(ROOT)
SPECS = PLANS.specs
PACK = SPECS.packs[0]
TYPES = sorted(SPECS.code_lists["cad_type"].codes)
SLOW = xmlschema.XMLSchema10(str(PACK.schema), allow="local", defuse="always")
FAST = xml_schema.schema(PACK.schema)

# Spaces that Unicode knows and XML does not are left out: xmlschema strips them, against XML 1.0. lxml decides.
TEXTS = (
    "", " ", "0", "-1", "+5", "1.5", "1,5", ".5", "5.", "00", "1e3", "NaN", "INF", "true", "x" * 600, "É", "\u0661",
    "12 34", "\t7\n", "99999999999999999999", "0.0001", "2026-11-23", "20261123",
)  # fmt: skip


def mutate(root: etree._Element, rng: random.Random) -> str:
    """Change one thing about the document; return what."""
    nodes = [node for node in root.iter() if node is not root]
    node = rng.choice(nodes)
    above = node.getparent()
    kind = rng.choice(sorted(CHANGES))
    CHANGES[kind](node, above, rng)
    return f"{kind} {etree.QName(node).localname}"


def _move(node: etree._Element, above: etree._Element, rng: random.Random) -> None:
    above.insert(rng.randrange(len(above) + 1), node)


def _elsewhere(node: etree._Element, above: etree._Element, rng: random.Random) -> None:
    others = [
        each for each in node.getroottree().getroot().iter() if node not in each.iterancestors() and each is not node
    ]
    rng.choice([each for each in others if not any(each is below for below in node.iter())]).append(node)


def _again(node: etree._Element, above: etree._Element, rng: random.Random) -> None:
    copy = etree.fromstring(etree.tostring(node, with_tail=False))
    for _ in range(rng.choice((1, 1, 3))):
        node.addnext(etree.fromstring(etree.tostring(copy)))


def _rename(node: etree._Element, above: etree._Element, rng: random.Random) -> None:
    names = [each.tag for each in node.getroottree().getroot().iter()]
    node.tag = rng.choice([*names, "{urn:other}ID", "ID", node.tag + "X"])


def _attribute(node: etree._Element, above: etree._Element, rng: random.Random) -> None:
    node.set(
        rng.choice(("unitCode", "currencyID", "formatCode", "other", "{urn:other}a")),
        rng.choice(("KGM", "102", "", "x")),
    )


def _no_attribute(node: etree._Element, above: etree._Element, rng: random.Random) -> None:
    for name in list(node.attrib):
        del node.attrib[name]


def _text(node: etree._Element, above: etree._Element, rng: random.Random) -> None:
    node.text = rng.choice(TEXTS)


def _tail(node: etree._Element, above: etree._Element, rng: random.Random) -> None:
    node.tail = rng.choice(("stray", " ", "\n\n"))


def _child(node: etree._Element, above: etree._Element, rng: random.Random) -> None:
    etree.SubElement(node, rng.choice((node.tag, "{urn:other}New", "New"))).text = rng.choice(TEXTS)


CHANGES: dict[str, Callable[[etree._Element, etree._Element, random.Random], None]] = {
    "remove": lambda node, above, rng: above.remove(node),
    "move": _move,
    "put elsewhere": _elsewhere,
    "repeat": _again,
    "rename": _rename,
    "attribute": _attribute,
    "no attribute": _no_attribute,
    "text": _text,
    "more text": _text,
    "tail": _tail,
    "child": _child,
    "empty": lambda node, above, rng: node.clear(),
}


def good_documents(count: int) -> Iterator[bytes]:
    for number in range(count):
        maker = Maker(random.Random(number), SPECS, PARTNER, date(2026, 11, 23))
        envelope = Envelope(sender="MAPLEBROKER", recipient="CADGATEWAY", reference=f"R{number}")
        for step in maker.story(TYPES[number % len(TYPES)]).steps:
            yield write_xml(step.declaration, PACK, envelope)


@pytest.mark.timeout(900)
def test_both_engines_agree_on_valid_and_mutated_documents() -> None:
    documents = list(good_documents(max(44, DOCUMENTS // 20)))
    differ: list[str] = []
    verdicts = {True: 0, False: 0}
    for number in range(DOCUMENTS):
        rng = random.Random(number)
        root = etree.fromstring(rng.choice(documents))
        changes = [mutate(root, rng) for _ in range(rng.choice((0, 1, 1, 1, 2, 4)))]
        again = etree.fromstring(etree.tostring(root))
        fast, slow = FAST.validate(again), SLOW.is_valid(again)
        verdicts[fast] += 1
        if fast != slow:
            differ.append(f"{number}: lxml {fast}, xmlschema {slow}: {changes}")
    assert not differ, "\n".join(differ[:20])
    assert min(verdicts.values()) > DOCUMENTS / 10


def test_what_lxml_alone_refuses_is_refused_with_a_place() -> None:
    body = next(good_documents(1))
    (finding,) = verdict(body.replace(b"<Importer>", "<Importer>\u00a0".encode(), 1))
    assert (finding.code, finding.place.xpath) == ("XML-0004", "/MetaData/Declaration/Importer")
    assert "du texte sépare les éléments que contient Importer" in finding.text.fr
    (finding,) = verdict(re.sub(rb"<DateTimeString formatCode=.102.>", "\\g<0>\u2028".encode(), body, count=1))
    assert finding.code in ("XML-0004", "CAD-0002")


@pytest.mark.parametrize("space", ["\u00a0", "\u2003", "\u3000"])
def test_a_strange_space_beside_a_number_is_told_at_that_number(space: str) -> None:
    body = next(good_documents(1)).replace(b"<SequenceNumeric>1<", f"<SequenceNumeric>{space}1<".encode(), 1)
    (finding,) = verdict(body)
    assert (finding.code, finding.place.pointer) == ("CAD-0002", "42A/67A[1]/68A[1]/006")
    lines = body.decode().split("\n")
    assert lines[(finding.place.line or 0) - 1][(finding.place.column or 0) - 1 :].startswith(f"{space}1<")


def verdict(body: bytes) -> tuple[Finding, ...]:
    now = datetime(2026, 11, 23, 17, tzinfo=UTC)
    (one,) = handle(Received("1", PARTNER.id, body, now), Facts(PARTNER), PLANS).judged
    return one.findings
