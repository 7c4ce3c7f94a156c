"""The API of checks: the document of `check`, what there is to know of rules and codes, and errors as problems."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
import schemathesis
from click.testing import CliRunner
from hypothesis import settings
from lxml import etree
from starlette.testclient import TestClient

from gateway import pages
from gateway.cli.main import main
from gateway.settings import from_environment
from gateway.web.api import ASKED
from gateway.web.openapi import described
from gateway.web.site import Site
from tests.support.way import PLANS, SAMPLES
from tests.support.web import application, client_of

AROUND: dict[str, Any] = {"site": Site(from_environment(), PLANS, ()), "path": "/api", "languages": []}
FAULTY = SAMPLES / "refused/many-faults.edi"
XML = SAMPLES / "originals/published-example.xml"


@pytest.fixture(scope="module")
def client() -> TestClient:
    return client_of(raising=False)


def check(client: TestClient, body: bytes = FAULTY.read_bytes(), **options: Any) -> Any:
    return client.post("/api/check", content=body, **options)


@pytest.mark.parametrize("lang", ["en", "fr"])
def test_a_check_is_the_document_of_the_command(client: TestClient, lang: str) -> None:
    files = [FAULTY, XML, SAMPLES / "changes/example-adjustment.xml"]
    answer = client.post(f"/api/check?lang={lang}", files=[("file", (each.name, each.read_bytes())) for each in files])
    told = CliRunner().invoke(main, ["check", *map(str, files), "--format", "json", "--lang", lang]).stdout
    expected = [each | {"file": each["file"].rpartition("/")[2], "identified": False} for each in json.loads(told)]
    assert answer.json() == expected
    assert [each["verdict"] for each in expected] == ["refused", "accepted", "accepted"]


def test_the_form_of_the_answer_is_asked_for_or_negotiated(client: TestClient) -> None:
    for asked, accepted in [
        ("sarif", "application/sarif+json"),
        ("junit", "application/xml"),
        ("concise", "text/plain"),
    ]:
        by_name = check(client, params={"format": asked, "name": "a/b.edi"})
        by_header = check(client, params={"name": "b.edi"}, headers={"accept": f"image/png, {accepted};q=0.5"})
        assert by_name.headers["content-type"].startswith(accepted)
        assert by_name.text == by_header.text
        assert "b.edi" in by_name.text
        assert "CAD-0101" in by_name.text
    assert json.loads(check(client, params={"format": "sarif"}).text)["version"] == "2.1.0"
    assert etree.fromstring(check(client, params={"format": "junit"}).content).tag == "testsuites"


def test_what_is_assumed_of_the_sender_is_asked_for(client: TestClient) -> None:
    def codes(**facts: str) -> list[str]:
        return [finding["code"] for finding in check(client, XML.read_bytes(), params=facts).json()[0]["findings"]]

    assert (codes(), codes(sender="unknown"), codes(authority="no")) == ([], ["GTW-0003"], ["GTW-0005"])


def test_a_parameter_that_there_is_not_is_told(client: TestClient) -> None:
    """A misspelt one was an assumption that was not made, and an answer that looked well."""
    for answer in (
        check(client, params={"format": "concise", "authorty": "no"}),
        client.post("/api/check", files={"file": FAULTY.read_bytes()}, data={"authorty": "no"}),
    ):
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith("there is no parameter authorty; there are authority, before, ")


def test_what_is_asked_is_what_is_described(client: TestClient) -> None:
    described = client.get("/api/openapi.json").json()["paths"]["/api/check"]["post"]["parameters"]
    assert {each["name"] for each in described} == ASKED


def test_rules_codes_and_findings_can_be_read(client: TestClient) -> None:
    rules = client.get("/api/rules?lang=fr").json()
    assert rules == json.loads(CliRunner().invoke(main, ["rules", "--format", "json", "--lang", "fr"]).stdout)
    lists = client.get("/api/codes").json()
    assert {each["id"] for each in lists} == set(PLANS.specs.code_lists)
    one = client.get(lists[0]["href"]).json()
    assert len({each["code"] for each in one["codes"]}) == lists[0]["count"]
    told = client.get("/api/explain/cad-0101").json()
    assert (told["id"], {each["syntax"] for each in told["examples"]}) == ("CAD-0101", {"edifact", "xml"})
    assert client.get("/api/explain/eng-0005").json()["engine"] is True


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", "/api/codes/nothing", {}, 404),
        ("GET", "/api/explain/CAD-9999", {}, 404),
        ("GET", "/api/explain/..%2f..%2fetc%2fpasswd", {}, 404),
        ("GET", "/api/nothing", {}, 404),
        ("GET", "/api/check", {}, 405),
        ("DELETE", "/api/rules", {}, 405),
        ("GET", "/api/rules", {"headers": {"accept": "image/png"}}, 406),
        ("POST", "/api/check", {"content": b"x", "headers": {"accept": "application/json;q=0"}}, 406),
        ("POST", "/api/check", {"content": b"x", "headers": {"content-type": "application/json"}}, 415),
        ("POST", "/api/check", {"content": b"x", "headers": {"content-encoding": "gzip"}}, 415),
        ("POST", "/api/check", {"content": b"x", "params": {"format": "github"}}, 422),
        ("POST", "/api/check", {"content": b"x", "params": {"lang": "de"}}, 422),
        ("POST", "/api/check", {"content": b"x", "params": {"sender": "maple"}}, 422),
        ("POST", "/api/check", {"files": [("other", (None, b"x"))]}, 422),
        ("POST", "/api/check", {"files": [("file", (f"{n}", b"x")) for n in range(51)]}, 422),
        ("POST", "/api/check", {"content": b"--", "headers": {"content-type": "multipart/form-data"}}, 422),
        ("POST", "/api/check", {"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=a"}}, 422),
        ("POST", "/api/check", {"content": b"", "headers": {"content-length": "999999999"}}, 413),
    ],
)
def test_an_error_is_a_problem_document(
    client: TestClient, method: str, path: str, options: dict[str, Any], status: int
) -> None:
    answer = client.request(method, path, **options)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["status"] == status
    assert answer.json()["detail"]
    assert "access-control-allow-origin" not in answer.headers


def test_who_asks_too_often_gets_a_problem_too() -> None:
    client = client_of(minute=1)
    assert check(client).status_code == 200
    answer = check(client)
    assert (answer.status_code, answer.json()["status"]) == (429, 429)
    assert int(answer.headers["retry-after"]) > 0


def test_the_document_describes_the_parts_that_run(client: TestClient) -> None:
    assert client.get("/api/openapi.json").json() == described(("trial",))
    assert "/api/messages" not in described(("trial",))["paths"]
    assert "/api/messages" in described(("trial", "exchange"))["paths"]
    for parts in (("trial",), ("exchange",), ("trial", "exchange")):
        shown = pages.render("web/trial_api.html", "fr", document=described(parts), **AROUND)
        assert all(path in shown for path in described(parts)["paths"])
    assert "POST /api/check" in client.get("/api").text
    for told in (described(("trial",)), described(("trial", "exchange"))):
        assert schemathesis.openapi.from_dict(told)


def test_a_check_is_as_the_document_says(client: TestClient) -> None:
    told = described(("trial",))["paths"]["/api/check"]["post"]["responses"]["200"]["content"]
    for path in (FAULTY, XML, SAMPLES / "refused/noise.bin", SAMPLES / "refused/truncated.xml"):
        answer = check(client, path.read_bytes()).json()
        jsonschema.validate(answer, told["application/json"]["schema"])


@schemathesis.serializer("application/edifact")
def as_it_is(_context: schemathesis.SerializationContext, value: Any) -> bytes:
    """Let schemathesis send what it drew for a string."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


# Whatever is asked, the answer is one that the document tells of: the operations one by one, some cases of each.
schema = schemathesis.openapi.from_asgi("/api/openapi.json", application(Site(from_environment(), PLANS, ("trial",))))


@schema.parametrize()
@settings(max_examples=15, deadline=None, derandomize=True)
def test_nothing_that_is_asked_surprises(case: schemathesis.Case, client: TestClient) -> None:
    case.call_and_validate()
