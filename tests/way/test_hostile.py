"""T15: every hostile transmission gets its finding, within 300 MB and a few seconds of processor time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

from core import limits
from core.findings import Place
from core.register import Facts
from core.transmission import Received
from gateway import pipeline
from parsers import xml, xml_schema
from tests.support.builders import DECLARATION, valid_declaration
from tests.support.hostile import BYTES, FOLDER, GOOD_XML, RECIPES, body_of, rows
from tests.support.way import HOME, NOW, PARTNERS, PLANS, SAMPLES
from validators import schema

ROWS = {row["file"]: row for row in rows()}


@cache
def seen(*names: str) -> dict[str, dict[str, Any]]:
    """Judge the cases (without names: every one) in a process of its own, each in a child."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.hostile"],
        input="\n".join(names or ROWS),
        capture_output=True,
        text=True,
        cwd=HOME,
        check=True,
    )
    found = {each["name"]: each for each in map(json.loads, done.stdout.splitlines())}
    longest = max(found.values(), key=lambda each: each["seconds"])
    largest = max(found.values(), key=lambda each: each["bytes"])
    print(f"{len(found)} hostile cases; longest {longest['name']} {longest['seconds']} s of processor time,")
    print(f"largest {largest['name']} {largest['bytes'] // 1_000_000} MB")
    return found


def test_every_case_has_its_expectation() -> None:
    files = {path.name for path in FOLDER.iterdir()} - {"expected.csv"}
    assert set(ROWS) == files | {f"made:{name}" for name in RECIPES}
    assert all((FOLDER / name).stat().st_size < 100_000 for name in files)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ROWS)
def test_a_hostile_transmission_gets_its_finding_at_a_bounded_price(name: str) -> None:
    case, row = seen()[name], ROWS[name]
    assert case["status"] == 0, "it was ended: too much processor time, or a crash"
    assert (" ".join(case["verdicts"]), " ".join(case["findings"])) == (row["verdict"], row["findings"])
    assert case["bytes"] < BYTES
    assert case["longest"] <= 6 * limits.ECHO_CHARACTERS  # escaped characters take more room
    assert case["printable"]
    assert case["answer_bytes"] < 10 * max(len(body_of(name)), 100_000)


def test_nobody_is_taken_for_whom_the_text_names() -> None:
    broker = {"smuggled-una.edi", "quote.edi", "path.edi"}
    for name, case in seen(*broker, "split-by-comment.xml", "schema-location.xml").items():
        assert case["senders"] == ["MAPLEBROKER" if name in broker else "ERABLECOURTIER"]


@pytest.mark.parametrize("subset", ['SYSTEM "file://{}"', '[<!ENTITY % o SYSTEM "file://{}"> %o;]'])
def test_the_file_that_a_document_names_is_not_even_opened(tmp_path: Any, subset: str) -> None:
    """Opening the other end of a pipe that nobody writes to would wait for ever."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    body = GOOD_XML.replace(b"<MetaData", f"<!DOCTYPE MetaData {subset.format(pipe)}>\n<MetaData".encode(), 1)
    program = "import sys; from parsers import xml; xml.parse(sys.stdin.buffer.read())"
    done = subprocess.run(
        [sys.executable, "-c", program], input=body, capture_output=True, cwd=HOME, timeout=30, check=False
    )
    assert b"Malformed: a document type declaration" in done.stderr


def test_a_large_document_is_explained_by_excerpt_as_a_small_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from core.envelope import Envelope
    from gateway.trade.writer import write_xml

    envelope = Envelope("ERABLECOURTIER", "CARMGATEWAY", "R")
    body = write_xml(valid_declaration(lines=150), DECLARATION, envelope).decode()
    for number, (old, new) in enumerate(
        [("</TypeCode>", "xxxx</TypeCode>"), ("<SequenceNumeric>77<", "<Wrong>1</Wrong><SequenceNumeric>x<")]
    ):
        assert old in body, number
        body = body.replace(old, new, 1)
    root = xml.parse(body.encode())
    assert not xml_schema.fits(root, xml_schema.schema(DECLARATION.schema))

    def place_of(node: Any) -> Place:
        return Place(line=node.sourceline, xpath=root.getroottree().getpath(node))

    explainer = schema.Explainer(DECLARATION)
    whole = schema.explain(root, explainer, place_of)
    monkeypatch.setattr(schema, "EXPLAINED_NODES", 10)
    assert (
        schema.explain(root, explainer, place_of, xml_schema.misfits(root, xml_schema.schema(DECLARATION.schema), 50))
        == whole
    )
    assert whole


@pytest.mark.parametrize("sign", [b"?", b"+", b":", b"?+", b"???"])
def test_a_line_of_a_sign_alone_ends_the_counting_of_segments(sign: bytes) -> None:
    """The sign stood for a terminator, but no further segment began: counting up to it went on for ever."""
    body = (SAMPLES / "originals" / "v-voluntary.edi").read_bytes()
    assert b"'\nUNT" in body
    pipeline.handle(
        Received("r", "maple", body.replace(b"'\nUNT", b"'" + sign + b"\n\nUNT"), NOW), Facts(PARTNERS["maple"]), PLANS
    )
