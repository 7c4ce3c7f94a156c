"""What a hostile uploader tries: scripts in every field, tricks with paths, names and headers, bodies without end."""

from __future__ import annotations

import asyncio
import contextlib
import re
import tempfile
import time
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from lxml import etree, html
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from core.text import printable
from gateway.web import guard, work
from gateway.web.guard import HEADERS, Guard, Rate
from gateway.web.work import Assumed, Upload
from tests.support.way import SAMPLES
from tests.support.web import client_of

# Markup, attributes, both quotes, what EDIFACT releases, the direction of writing, a C1 control, a zero-width joiner.
EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&lt;&#60;?+:{{7777*7777}}\u202e\u2066\x9b\u200d"
WORD = "SECRET4711"

# What a page consists of, whatever was sent.
TAGS = {
    "a", "b", "body", "br", "button", "caption", "code", "details", "div", "fieldset", "footer", "form",
    "h1", "h2", "h3", "h4", "head", "header", "html", "i", "input", "label", "legend", "li", "link", "main",
    "mark", "meta", "nav", "optgroup", "option", "p", "pre", "script", "section", "select", "span", "style",
    "summary", "table", "tbody", "td", "textarea", "th", "title", "tr", "ul",
}  # fmt: skip
SCRIPTS = ["/static/htmx.min.js"]


@pytest.fixture(scope="module")
def client() -> TestClient:
    return client_of(raising=False)


def assert_harmless(page: str) -> None:
    """Nothing of a page acts that is not ours, and nothing in it turns the direction of reading."""
    tree = html.fromstring(f"<div>{page}</div>" if "<html" not in page else page)
    for each in tree.iter(etree.Element):
        assert each.tag in TAGS, each.tag
        assert not [name for name in each.attrib if name.startswith("on") or name in ("style", "srcdoc")], each.attrib
        for name in ("href", "src", "action", "formaction"):
            assert re.match(r"/(?!/)|#|\?", each.get(name, "/")), (each.tag, each.attrib)
        if each.tag == "script":
            assert each.get("src") in SCRIPTS
    assert printable(page, keep="\n\t") == page
    assert f"{7777 * 7777}" not in page, "no template of the sender's is filled"


def xml_bodies() -> Iterator[bytes]:
    """Yield a declaration with each of its texts and attributes in turn replaced by EVIL."""
    source = (SAMPLES / "originals/published-example.xml").read_bytes()
    texts = EVIL.replace("\x9b", "")  # which XML 1.0 has as a reference only
    count = sum(1 + len(each.attrib) for each in etree.fromstring(source).iter(etree.Element))
    for chosen in range(count):
        tree = etree.fromstring(source)
        slots = [(each, name) for each in tree.iter(etree.Element) for name in (None, *each.attrib)]
        node, name = slots[chosen]
        if name is None:
            node.text = texts
        else:
            node.set(name, texts)
        yield etree.tostring(tree, xml_declaration=True, encoding="UTF-8")


def edifact_bodies() -> Iterator[bytes]:
    """Yield a declaration with each of its components in turn replaced by EVIL, released."""
    source = (SAMPLES / "originals/ab-two-lines.edi").read_text("latin-1")
    released = re.sub(r"([?+:'])", r"?\1", EVIL).encode("latin-1", "replace").decode("latin-1")
    for found in re.finditer(r"(?<=[+:])[^+:'\n]+", source[9:]):
        yield (source[9:][: found.start()] + released + source[9:][found.end() :]).encode("latin-1")


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 12])
@pytest.mark.parametrize("bodies", [xml_bodies, edifact_bodies])
def test_no_field_of_a_message_acts_on_the_page(client: TestClient, bodies: Any, every: int) -> None:
    for body in list(bodies())[::every]:
        uploads = [Upload("a", body)]
        now = datetime.now(UTC)
        for made in (work.page(uploads, Assumed(), now, "en").html, work.report(uploads, Assumed(), now, "fr")):
            page = re.sub(r"<style>.*?</style>", "", made, flags=re.DOTALL)
            assert_harmless(page)
            assert "<script>alert" not in page


def test_nothing_else_that_is_sent_acts_on_the_page(client: TestClient) -> None:
    body = (SAMPLES / "refused/many-faults.edi").read_bytes() + EVIL.encode()
    sent = [
        ("1.name", (None, EVIL.encode("utf-8", "replace"))),
        ("1.text", (None, body)),
        ("1.marks", (None, EVIL.encode())),
        ("2.name", (None, b"../../etc/passwd")),
        ("2.text", (None, EVIL.encode())),
        ("at", (None, EVIL.encode())),
        ("file", (f"C:\\a\\{EVIL}.edi".encode("utf-8", "replace").decode("latin-1"), body)),
    ]
    answer = client.post("/trial", files=sent, params={"a": EVIL}, headers={"user-agent": "<script>", "referer": "'>"})
    assert answer.status_code == 200
    assert_harmless(answer.text)
    names = [each.text_content() for each in html.fromstring(answer.text).iter("h3")]
    assert not [each for each in names if "/" in each.replace("</", "") or "\\" in each]
    for path in (f"/explain/{EVIL}", f"/trial/sample?of={EVIL}", f"/{EVIL}", f"/trial?lang={EVIL}"):
        shown = client.get(path, headers={"accept": "text/html"})
        assert shown.status_code in (200, 400, 404)
        assert_harmless(shown.text)
        assert {name: shown.headers[name] for name in HEADERS} == HEADERS


@pytest.mark.parametrize("form", ["json", "sarif", "junit", "concise"])
def test_what_programs_get_is_what_it_says_it_is(client: TestClient, form: str) -> None:
    answer = client.post("/api/check", params={"format": form, "name": f"{EVIL}\r\nx: y"}, content=EVIL.encode())
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "html" not in answer.headers["content-type"]
    assert "x" not in answer.headers
    assert not [c for c in answer.text if unicodedata.category(c) == "Cf"]


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py", "/static/%2e%2e/app.py", "/static/..%5capp.py", "/static//etc/passwd", "/static/%00",
        "/explain/..%2f..%2fetc%2fpasswd", "/api/codes/..%2f..%2fpartners", "/trial/sample?of=../AB",
    ],
)  # fmt: skip
def test_no_path_leads_out(client: TestClient, path: str) -> None:
    assert client.get(path, follow_redirects=False).status_code in (400, 404)


LAUGHS = (
    b"<!DOCTYPE a [<!ENTITY a 'ha'>"
    + b"".join(b"<!ENTITY a%d '%s'>" % (n, b"&a%s;" % (b"%d" % (n - 1) if n else b"") * 10) for n in range(12))
    + b"]><a>&a11;</a>"
)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (LAUGHS, "XML-00"),
        (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "XML-0002"),
        (b"<a>" * 100_000, "XML-00"),
        (b"<b/>" * 1_000_000, "XML-00"),
        (b"UNB+" * 1_000_000, "EDI-0"),
        (b"\0" * 1_000_000, "GTW-0001"),
    ],
)
def test_bombs_are_refused_as_messages(client: TestClient, body: bytes, code: str) -> None:
    answer = client.post("/api/check", content=body)
    assert answer.status_code == 200
    assert all(one["verdict"] == "refused" for one in answer.json())
    assert code in answer.text
    assert "root:" not in answer.text
    assert client.post("/trial", files=[("file", ("a", body))]).status_code == 200


def test_nothing_that_is_uploaded_touches_a_disk(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise AssertionError("a file was made")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", refuse)
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(tempfile, "_mkstemp_inner", refuse)
    large = b"UNB+" + b"x" * 9_000_000
    answer = client.post("/trial", files=[("file", ("a", large)), ("1.text", (None, large))])
    assert answer.status_code == 200
    assert client.post("/api/check", files=[("file", ("a", large))]).status_code == 200


def test_nothing_that_is_uploaded_is_logged(client: TestClient) -> None:
    with structlog.testing.capture_logs() as lines:
        client.post("/trial", files=[("file", (WORD, WORD.encode()))], params={"a": WORD})
        client.post("/api/check", content=f"UNB+{WORD}'".encode(), params={"name": WORD})
        client.get(f"/explain/{WORD}")
    assert {each["event"] for each in lines} == {"judged"}
    assert WORD not in str(lines)


def test_a_fault_of_ours_says_where_and_nothing_of_what_was_sent() -> None:
    def broken(body: str) -> None:
        raise KeyError(body)

    with pytest.raises(work.Failed, match=r"^KeyError at test_trial_hostile.py:\d+$") as raised:
        work.guarded(broken, WORD)
    assert raised.value.__cause__ is None


# ------------------------------------------------------------------------------------------------ bodies without end

SCOPE = {"type": "http", "method": "POST", "path": "/api/check", "query_string": b"", "headers": [], "client": ("a", 1)}


async def reading(scope: Scope, receive: Receive, send: Send) -> None:
    await Request(scope, receive, send).body()
    await asyncio.sleep(0.05)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def sent_to(standing: Guard, pieces: int, size: int, pause: float = 0) -> int:
    """Send a body in pieces; return the status of the answer."""
    left, said = [pieces], list[Message]()

    async def receive() -> Message:
        left[0] -= 1
        await asyncio.sleep(pause)
        return {"type": "http.request", "body": bytes(size), "more_body": left[0] > 0}

    async def send(message: Message) -> None:
        said.append(message)

    await standing(SCOPE, receive, send)
    return int(said[0]["status"])


def test_who_sends_slowly_is_refused_and_others_are_served_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "UPLOAD_SECONDS", 0.5)

    async def both() -> tuple[list[int], int]:
        standing = Guard(reading, Rate(10_000))
        slow = asyncio.gather(*(sent_to(standing, 100, 1, pause=0.1) for _ in range(50)))
        quick = await sent_to(standing, 1, 1)
        return await slow, quick

    slow, quick = asyncio.run(both())
    assert (set(slow), quick) == ({408}, 200)


def test_what_is_held_of_all_uploads_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODIES_BYTES", 100_000)

    async def many() -> tuple[list[int], int]:
        standing = Guard(reading, Rate(10_000))
        first = await asyncio.gather(*(sent_to(standing, 10, 1_000, pause=0.001) for _ in range(50)))
        return first, await sent_to(standing, 10, 1_000)

    statuses, after = asyncio.run(many())
    assert set(statuses) == {200, 503}
    assert after == 200, "what was held is let go"


def test_a_part_that_waits_for_nobody_is_no_service() -> None:
    """The time limit holds for what a handler reads, whatever it catches."""
    started = time.monotonic()
    with contextlib.suppress(HTTPException):
        client_of().post("/trial", content=b"x", headers={"content-type": "multipart/form-data; boundary=x"})
    assert time.monotonic() - started < guard.UPLOAD_SECONDS
