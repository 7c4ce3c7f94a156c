"""The site before its parts: headers, hosts, sizes, rates, languages, what is not there."""

from __future__ import annotations

import asyncio
import csv
import hashlib

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from gateway.settings import from_environment
from gateway.web.app import build
from gateway.web.guard import HEADERS, REQUEST_BYTES, Guard, Rate
from gateway.web.site import STATIC, Site
from tests.support.way import PLANS


@pytest.fixture
def client() -> TestClient:
    site = Site(from_environment(), PLANS, ())
    return TestClient(build(site, ["testserver"], Rate(minute=3)), raise_server_exceptions=False)


def test_every_answer_has_the_headers_that_keep_a_page_ours(client: TestClient) -> None:
    for path in ("/", "/static/htmx.min.js", "/static/style.css", "/nowhere"):
        answer = client.get(path)
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS, path


def test_a_failure_of_ours_has_them_too(monkeypatch: pytest.MonkeyPatch, client: TestClient) -> None:
    monkeypatch.setattr("gateway.pages.render", lambda *_, **__: 1 / 0)
    answer = client.get("/")
    assert answer.status_code == 500
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS


def test_another_host_is_not_answered(client: TestClient) -> None:
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400


def test_a_request_too_large_is_refused_whether_it_says_so_or_not(client: TestClient) -> None:
    assert client.post("/", content=b"", headers={"content-length": f"{REQUEST_BYTES + 1}"}).status_code == 413
    guard = Guard(reading, Rate(minute=3))
    pieces = iter([{"type": "http.request", "body": bytes(1_000_000), "more_body": True}] * 1_000)
    said: list[Message] = []

    async def receive() -> Message:
        return next(pieces)

    async def send(message: Message) -> None:
        said.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": [], "client": None}
    asyncio.run(guard(scope, receive, send))
    assert said[0]["status"] == 413
    assert 1_000 - len(list(pieces)) == REQUEST_BYTES // 1_000_000 + 1


async def reading(scope: Scope, receive: Receive, send: Send) -> None:
    await Request(scope, receive, send).body()


def test_who_posts_too_often_is_told_when_to_come_again(client: TestClient) -> None:
    answers = [client.post("/nowhere") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [404, 404, 404, 429, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("path", "headers", "language"),
    [
        ("/", {}, "en"),
        ("/", {"accept-language": "fr-CA,fr;q=0.9"}, "fr"),
        ("/?lang=fr", {"accept-language": "en"}, "fr"),
        ("/?lang=<script>", {}, "en"),
        ("/", {"cookie": "lang=fr"}, "fr"),
    ],
)
def test_a_page_is_in_the_readers_language(
    client: TestClient, path: str, headers: dict[str, str], language: str
) -> None:
    assert f'<html lang="{language}">' in client.get(path, headers=headers).text


def test_what_is_not_there_is_a_page_for_people_and_a_line_for_programs(client: TestClient) -> None:
    assert client.get("/nowhere").text == "there is nothing at this address\n"
    assert "no such page" in client.get("/nowhere", headers={"accept": "text/html"}).text


def test_scripts_are_those_of_their_packages() -> None:
    with (STATIC / "packages.csv").open(encoding="utf-8") as file:
        rows = {row["file"]: row["sha256"] for row in csv.DictReader(file)}
    kept = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in STATIC.iterdir()}
    kept.pop("packages.csv")
    assert {name: digest for name, digest in kept.items() if name in rows} == rows
