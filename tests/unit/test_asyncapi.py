"""The document of the queues is AsyncAPI 3.0 by the initiative's own schema, and says what the gateway does.

`tests/data/asyncapi-3.0.0.json` is the schema of the AsyncAPI Initiative (Apache-2.0, package @asyncapi/specs 6.11.1)
without its descriptions and examples.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from core.answers import KINDS
from core.register import Facts
from core.transmission import Received
from gateway import pipeline
from gateway.loops import queue_names
from gateway.trade.asyncapi import SCHEMAS, document
from responses.receipt import receipt
from routing.routes import load_routes
from tests.support.house import settings_in
from tests.support.way import HOME, NOW, PARTNERS, PLANS, SPECS

SCHEMA = json.loads((HOME / "tests/data/asyncapi-3.0.0.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(document(SPECS.packs[0].answers)))
    return found


def test_the_document_is_asyncapi(written: dict[str, Any]) -> None:
    jsonschema.validate(written, SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**written, "channels": {"a": {"address": 1}}}, SCHEMA)


def test_it_has_every_queue_and_no_other(written: dict[str, Any], tmp_path: Path) -> None:
    addresses = {channel["address"] for channel in written["channels"].values()}
    known = {"in.{partner}", "out.{partner}", "assessment.results", "dead", *load_routes().values()}
    assert addresses == known
    partners = {
        name.replace(id_, "{partner}") for name in queue_names(settings_in(tmp_path)) for id_ in PARTNERS if id_ in name
    }
    assert partners <= addresses


def test_every_kind_of_answer_is_a_message(written: dict[str, Any]) -> None:
    answers = written["channels"]["answers"]["messages"]
    assert set(answers) == {"receipt", "contrl", *KINDS}
    for name in answers:
        assert written["components"]["messages"][name]["headers"]["properties"]["kind"] == {"const": name}


def test_a_receipt_is_what_its_schema_says() -> None:
    schema = json.loads(SCHEMAS["receipt"].read_text("utf-8"))
    received = Received("ab" * 16, "maple", b"UNB", NOW)
    for more in ({}, {"reference": "mine", "head": (3, "cd" * 32)}):
        _, body = receipt(received, receipt_id="ef" * 16, **more)  # type: ignore[arg-type]
        jsonschema.validate(json.loads(body), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**json.loads(body), "sha256": "x"}, schema)


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("body", [b"This is neither.", b"\x1f\x8b\x08 packed", b"", b"{}"])
def test_an_answer_in_json_is_what_its_schema_says(body: bytes, language: str) -> None:
    schema = json.loads(SCHEMAS["answer"].read_text("utf-8"))
    partner = replace(PARTNERS["maple"], language=language)
    outcome = pipeline.handle(Received("1", "maple", body, NOW), Facts(partner), PLANS)
    (told,) = outcome.outgoing
    assert (told.kind, told.content_type) == ("refused", "application/json")
    answer = json.loads(told.body)
    jsonschema.validate(answer, schema, format_checker=jsonschema.FormatChecker())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**answer, "more": 1}, schema)
