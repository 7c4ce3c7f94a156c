"""Hostile transmissions: those of samples/hostile, the large ones made by recipe, and a process that judges them.

Started as a program it reads names from its standard input, judges each in a child of its own with an address space
and a processor time that end it, and writes what it saw and what it cost: the libraries are imported once.
"""

from __future__ import annotations

import csv
import json
import os
import resource
import sys
from collections.abc import Callable
from typing import Any

from core.register import Facts
from core.transmission import Received
from gateway import pipeline
from parsers import sniff
from tests.support.way import NOW, PARTNERS, PLANS, SAMPLES

FOLDER = SAMPLES / "hostile"

# What one case may cost: memory in all, libraries included; processor seconds, generous since machines differ.
BYTES = 300_000_000
CPU_SECONDS = 8

GOOD_XML = (SAMPLES / "originals/published-example.xml").read_bytes()
GOOD_EDIFACT = (SAMPLES / "originals/ab-two-lines.edi").read_bytes()
HEADER = b"UNA:+.? 'UNB+UNOC:3+MAPLEBROKER+CARMGATEWAY+260115:1030+MB000001'"
REFERENCE = b"<FunctionalReferenceID>REF-01013</FunctionalReferenceID>"


def _in_xml(content: bytes) -> bytes:
    assert REFERENCE in GOOD_XML
    return GOOD_XML.replace(REFERENCE, REFERENCE + content)


def _in_edifact(content: bytes) -> bytes:
    old = b"RFF+ABO:REF-00012'"
    assert old in GOOD_EDIFACT
    return GOOD_EDIFACT.replace(old, old + content)


def _lines(count: int, tag: bytes, end: bytes, old: bytes, new: bytes, source: bytes) -> bytes:
    """Return a declaration whose first line is repeated, each time with a mistake."""
    start = source.index(tag)
    stop = source.index(end, start + 1) + (len(end) if end.startswith(b"</") else 0)
    line = source[start:stop]
    assert old in line
    return source[:start] + line.replace(old, new) * count + source[stop:]


def _refused_messages(count: int) -> bytes:
    """Return an interchange of full declarations, each refused for its number's check digit or not."""
    one = GOOD_EDIFACT[GOOD_EDIFACT.index(b"UNH") : GOOD_EDIFACT.index(b"UNZ")]
    several = (
        one.replace(b"UNH+1+", b"UNH+%d+" % n)
        .replace(b"UNT+49+1", b"UNT+49+%d" % n)
        .replace(b"12345000000012", b"%014d" % (12345 * 10**9 + n))
        for n in range(count)
    )
    return HEADER + b"".join(several) + b"UNZ+%d+MB000001'" % count


RECIPES: dict[str, Callable[[], bytes]] = {
    "too-large.edi": lambda: GOOD_EDIFACT + b" " * 10_000_000,
    "many-nodes.xml": lambda: _in_xml(b"<b/>" * 2_000_000),
    "nodes-below-the-limit.xml": lambda: _in_xml(b"<b/>" * 199_000),
    "attributes-below-the-limit.xml": lambda: _in_xml(
        b"<b " + b" ".join(b'a%d="1"' % n for n in range(199_000)) + b"/>"
    ),
    "many-namespaces.xml": lambda: _in_xml(b"<b " + b" ".join(b'xmlns:a%d="u"' % n for n in range(100_000)) + b"/>"),
    "long-text.xml": lambda: _in_xml(b"x" * 9_900_000),
    "character-references.xml": lambda: _in_xml(b"&#120;" * 1_600_000),
    "comments.xml": lambda: _in_xml(b"<!---->" * 190_000),
    "one-comment.xml": lambda: _in_xml(b"<!--" + b"-x" * 4_900_000 + b"-->"),
    "unclosed.xml": lambda: GOOD_XML[:-20] + b"<ID>" * 190_000,
    "long-name.xml": lambda: _in_xml(b"<" + b"b" * 9_900_000 + b"/>"),
    "blanks.xml": lambda: GOOD_XML.replace(b"<FunctionCode>9", b"<FunctionCode>" + b" " * 9_900_000 + b"9"),
    "many-faults.xml": lambda: _lines(
        2_000, b"<GovernmentAgencyGoodsItem>", b"</GovernmentAgencyGoodsItem>", b"</ID>", b"-</ID>", GOOD_XML
    ),
    "no-terminator.edi": lambda: b"UNB+UNOC:3+" + b"x" * 9_900_000,
    "many-elements.edi": lambda: _in_edifact(b"RFF" + b"+" * 1_000_000 + b"'"),
    "many-components.edi": lambda: _in_edifact(b"RFF+" + b":" * 4_000 + b"'"),
    "many-segments.edi": lambda: _in_edifact(b"FTX+AAA+++x'" * 250_000),
    "segments-below-the-limit.edi": lambda: _in_edifact(b"FTX+AAA+++x'" * 48_000),
    "empty-segments.edi": lambda: _in_edifact(b"'" * 9_900_000),
    "releases.edi": lambda: _in_edifact(b"FTX+AAA+++" + b"?" * 9_800_000 + b"'"),
    "released-terminators.edi": lambda: _in_edifact(b"FTX+AAA+++" + b"?'" * 4_900_000 + b"'"),
    "many-messages.edi": lambda: (
        HEADER
        + b"".join(b"UNH+%d+GOVCBR:D:13A:UN:CAD'UNT+2+%d'" % (n, n) for n in range(100_000))
        + b"UNZ+100000+MB000001'"
    ),
    "messages-below-the-limit.edi": lambda: _refused_messages(990),
    "many-interchanges.edi": lambda: b"UNB+UNOC:3+A+B+260115:1030+1'UNZ+0+1'" * 200_000,
    "many-groups.edi": lambda: HEADER + b"UNG+GOVCBR+A+B+260115:1030+1+UN+D:13A'UNE+0+1'" * 150_000,
    "many-headers.edi": lambda: b"UNB+UNOC:3+A+B+260115:1030+1'" * 300_000,
    "many-faults.edi": lambda: _lines(3_500, b"LIN+1'", b"LIN+2'", b"EUR", b"EU?+", GOOD_EDIFACT),
    "many-numbers.edi": lambda: HEADER + b"BGM+" * 2_400_000,
    "blanks.edi": lambda: b" \r\n" * 3_300_000 + GOOD_EDIFACT,
    "numbers-for-the-look.xml": lambda: b"<ID>" + b" " * 40 + b"<ID>" * 190_000,
    "zeros.bin": lambda: bytes(9_900_000),
}


def rows() -> list[dict[str, str]]:
    """Return the rows of samples/hostile/expected.csv: file (or recipe's name), verdict, findings, what it is."""
    with (FOLDER / "expected.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def body_of(name: str) -> bytes:
    """Return a case's bytes."""
    return RECIPES[name.removeprefix("made:")]() if name.startswith("made:") else (FOLDER / name).read_bytes()


def judge(name: str) -> dict[str, Any]:
    """Carry a case all the way, as its sender would have sent it."""
    partner = PARTNERS["erable" if name.endswith(".xml") else "maple"]
    body = body_of(name)
    lane = sniff.lane(body)
    outcome = pipeline.handle(Received("0" * 32, partner.id, body, NOW), Facts(partner), PLANS)
    findings = [finding for one in outcome.judged for finding in one.findings]
    return {
        "lane": lane,
        "verdicts": sorted({str(one.verdict) for one in outcome.judged}),
        "findings": sorted({finding.code for finding in findings}),
        "senders": sorted({one.message.envelope.sender or "" for one in outcome.judged}),
        "longest": max((len(finding.value or "") for finding in findings), default=0),
        "printable": all((finding.value or "").isprintable() for finding in findings),
        "answers": sorted({item.kind for item in outcome.outgoing}),
        "answer_bytes": sum(len(item.body) for item in outcome.outgoing),
    }


def main() -> None:
    """Judge the names on standard input, one child for each; a line of JSON for each on standard output."""
    for name in sys.stdin.read().split():
        sys.stdout.flush()
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            with os.fdopen(writing, "w") as out:
                json.dump(judge(name), out)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as said:
            seen = said.read()
        _, status, cost = os.wait4(child, 0)
        seen_of = json.loads(seen or "{}")
        spent = round(cost.ru_utime + cost.ru_stime, 2)
        told = {"name": name, "status": status, "seconds": spent, "bytes": cost.ru_maxrss * 1024}
        print(json.dumps(told | seen_of))


if __name__ == "__main__":
    main()
