"""The exchange where something ends, is away or is too much: nothing is lost, and whoever must wait is told so."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message

from core import limits
from core.errors import BrokerUnavailable, GatewayError
from gateway.queues import Published, open_broker
from gateway.queues.embedded import Embedded
from gateway.web import exchange_answers, exchange_sending
from tests.support.exchange import GOOD, TOKENS, Exchange, Partner, door, exchange, with_tokens
from tests.support.house import settings_in
from tests.web import test_exchange
from tests.web.test_exchange import ids

site = test_exchange.site  # the fixture

# ------------------------------------------------------------------------------------------------ nothing lost


def test_answers_come_again_when_the_web_process_ends_between_read_and_acknowledgement(site: Exchange) -> None:
    site.answer("maple", "a", "b")
    with door(site.settings) as other:
        first = Partner(other, TOKENS["maple"])
        cursor = first.read(wait=5)["cursor"]
        assert first.ask("DELETE", "/api/answers/a").status_code == 204
    maple = site.of("maple")
    assert maple.acknowledge(cursor).status_code == 409
    assert ids(maple.read(wait=5, after=cursor)) == ["b"]


def test_who_does_not_ask_any_more_gives_back_what_it_has_not_acknowledged(
    site: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partner's other program, which reads by AMQP, gets it; on the embedded queue it is any reader."""
    monkeypatch.setattr(exchange_answers, "HOLDING_SECONDS", 0.2)
    site.answer("maple", "a")
    cursor = site.of("maple").read(wait=5)["cursor"]
    other = site.gateway.broker.take("out.maple", 10)
    assert other is not None
    assert other.message_id == "a"
    assert site.of("maple").acknowledge(cursor).status_code == 409


def test_what_another_reader_has_meanwhile_is_not_said_to_be_acknowledged(tmp_path: Path) -> None:
    """On the embedded queue a lease may end; RabbitMQ gives nobody what a living reader holds."""
    with exchange(tmp_path) as site, open_broker(f"{site.settings.broker_url}?lease=0.5") as broker:
        settings = settings_in(tmp_path, partners=site.settings.partners, broker_url=broker.url)  # type: ignore[arg-type]
        with door(settings) as short:
            maple = Partner(short, TOKENS["maple"])
            site.answer("maple", "a")
            cursor = maple.read(wait=5)["cursor"]
            with broker.consume(["out.maple"]) as thief:
                assert [each.message_id for each in thief.receive(5)] == ["a"]
                assert maple.acknowledge(cursor).status_code == 503
            assert ids(maple.read(wait=5)) == ["a"], "it was given back, and comes again"


def test_a_broker_that_is_away_is_503_and_nothing_is_said_to_be_taken(
    site: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> Published:
        raise BrokerUnavailable("broker x is not available")

    maple = site.of("maple")
    with monkeypatch.context() as broken:
        broken.setattr(Embedded, "publish", away)
        broken.setattr(Embedded, "consume", away)
        for answer in (maple.send(GOOD, "k"), maple.ask("GET", "/api/answers", params={"wait": 5})):
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
    assert maple.send(GOOD, "k").status_code == 202
    assert site.gateway.broker.depth("in.maple") == 1


@pytest.mark.parametrize(
    ("published", "code"),
    [
        (lambda one: Published(frozenset(), frozenset()), 503),
        (lambda one: Published(frozenset(), frozenset({one})), 503),
        (lambda one: Published(frozenset(), frozenset(), {one: "too large"}), 413),
    ],
    ids=["unanswered", "no queue", "too large for the broker"],
)
def test_only_what_is_confirmed_is_202(
    site: Exchange, monkeypatch: pytest.MonkeyPatch, published: Callable[[str], Published], code: int
) -> None:
    monkeypatch.setattr(Embedded, "publish", lambda _self, batch: published(batch[0].id))
    assert site.of("maple").send(GOOD).status_code == code


# ------------------------------------------------------------------------------------------------ how much


def test_what_is_no_transmission_is_refused(site: Exchange) -> None:
    maple = site.of("maple")
    assert maple.send(b"").status_code == 400
    assert maple.send(bytes(limits.TRANSMISSION_BYTES + 1)).status_code == 413
    assert maple.send(bytes(limits.TRANSMISSION_BYTES)).status_code == 202
    coded = maple.ask("POST", "/api/messages", content=GOOD, headers={"Content-Encoding": "gzip"})
    assert coded.status_code == 415
    assert maple.ask("POST", "/api/messages", files={"file": ("a.edi", GOOD)}).status_code == 415
    for path in ("?wait=61", "?wait=-1", "?wait=1e1", "?wait=٣", "?after=x", "?after="):
        assert maple.ask("GET", f"/api/answers{path}").status_code == 400, path
    for body in (b"", b"{}", b'{"cursor": 1}', b'{"cursor": "x"}', b"\xff", b"[" * 9_000, b" " * 20_000):
        assert maple.ask("POST", "/api/answers/ack", content=body).status_code == 400, body[:20]


def test_two_hundred_at_once_are_taken_or_told_to_come_again(site: Exchange) -> None:
    """What is on its way stands in memory."""
    maple, most, under_way = site.of("maple"), [0], [0]
    real, lock = exchange_sending._read, threading.Lock()

    async def counted(request: Any) -> bytes:
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        try:
            return await real(request)
        finally:
            with lock:
                under_way[0] -= 1

    with pytest.MonkeyPatch.context() as patched, ThreadPoolExecutor(40) as pool:
        patched.setattr(exchange_sending, "_read", counted)
        codes = list(pool.map(lambda n: maple.send(b"%d" % n).status_code, range(200)))
    assert set(codes) <= {202, 429}
    assert most[0] <= exchange_sending.UPLOADS
    assert site.gateway.broker.depth("in.maple") == codes.count(202)


def test_a_slow_sender_holds_up_itself_only(site: Exchange) -> None:
    """Each of its requests is one that is under way; another partner's is taken."""

    async def run() -> tuple[int, int, list[int]]:
        over, at_once = asyncio.Event(), asyncio.Event()
        at_once.set()
        slow = [asyncio.create_task(post("maple", over)) for _ in range(exchange_sending.UPLOADS)]
        await asyncio.sleep(0.1)
        refused = await asyncio.wait_for(post("maple", at_once), 10)
        other = await asyncio.wait_for(post("erable", at_once), 10)
        over.set()
        return refused, other, list(await asyncio.gather(*slow))

    async def post(name: str, over: asyncio.Event) -> int:
        pieces = iter([{"type": "http.request", "body": b"UNB", "more_body": True}, {"type": "http.request"}])
        said: list[Message] = []

        async def receive() -> Message:
            piece = next(pieces)
            if not piece.get("more_body"):
                await over.wait()
            return piece

        async def send(message: Message) -> None:
            said.append(message)

        headers = [(b"host", b"testserver"), (b"authorization", f"Bearer {TOKENS[name]}".encode())]
        scope = {"type": "http", "method": "POST", "path": "/api/messages", "query_string": b"", "headers": headers}
        await site.client.app(scope | {"client": None}, receive, send)
        return int(said[0]["status"])

    assert asyncio.run(run()) == (429, 202, [202] * exchange_sending.UPLOADS)


def test_of_too_many_that_wait_the_first_is_sent_away(site: Exchange) -> None:
    maple = site.of("maple")
    maple.read()
    with ThreadPoolExecutor(exchange_answers.POLLERS + 1) as pool:
        waiting = []
        for _ in range(exchange_answers.POLLERS + 1):
            waiting.append(pool.submit(maple.read, 30))
            time.sleep(0.1)
        assert waiting[0].result(5)["answers"] == []
        assert not any(each.done() for each in waiting[1:])
        site.answer("maple", "a")
        assert [ids(each.result(5)) for each in waiting[1:]] == [["a"]] * exchange_answers.POLLERS


def test_postboxes_are_counted_and_close_when_nobody_asks(site: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_answers, "POSTBOXES", 1)
    monkeypatch.setattr(exchange_answers, "IDLE_SECONDS", 0.3)
    site.of("maple").read()
    assert site.of("erable").ask("GET", "/api/answers").status_code == 503
    deadline = time.monotonic() + 10
    while (code := site.of("erable").ask("GET", "/api/answers").status_code) == 503 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert code == 200


def test_a_site_beside_the_exchange_counts_posts_and_the_exchange_does_not(site: Exchange) -> None:
    """Partners behind one proxy would share three posts a minute."""
    assert [site.of("maple").send(b"%d" % n).status_code for n in range(6)] == [202] * 6
    assert [site.client.post("/nowhere").status_code for _ in range(5)][-1] == 429


def test_the_exchange_logs_in_as_who_may_vouch(tmp_path: Path) -> None:
    file = with_tokens(tmp_path)
    for user in ("gateway", "maple", ""):
        settings = settings_in(tmp_path, partners=file, broker_url=f"amqp://{user}:x@127.0.0.1/")  # type: ignore[arg-type]
        with pytest.raises(GatewayError, match="the exchange must be exchange"), door(settings):
            pass
