"""The exchange: partners send and take their answers over HTTP, each its own, and nothing is lost on the way."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gateway.queues import Letter
from gateway.web import exchange_answers
from gateway.web.guard import Turns
from routing.partners import token_hash
from tests.support.exchange import GOOD, TOKENS, Exchange, Partner, door, exchange, with_tokens


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Exchange]:
    with exchange(tmp_path) as opened:
        yield opened


def kinds(read: dict[str, Any]) -> list[str]:
    return [each["kind"] for each in read["answers"]]


def ids(read: dict[str, Any]) -> list[str]:
    return [each["id"] for each in read["answers"]]


def received(site: Exchange) -> list[dict[str, Any]]:
    """Return what the partners sent, newest first."""
    return site.gateway.journal.list_messages(channel="partner")


# ------------------------------------------------------------------------------------------------ the way


def test_send_receipt_answer_acknowledged(site: Exchange) -> None:
    maple = site.of("maple")
    sent = maple.send(GOOD, "first")
    assert (sent.status_code, sent.headers["location"]) == (202, "/api/answers")
    site.gateway.settle_down()
    read = maple.read(wait=5)
    assert kinds(read) == ["receipt", "contrl", "accepted", "assessed"]
    assert {each["in_reply_to"] for each in read["answers"]} == {sent.json()["id"]}
    assert {each["correlation_id"] for each in read["answers"]} == {sent.json()["message_id"]}
    receipt = json.loads(read["answers"][0]["text"])
    assert receipt["received"] == sent.json()["id"]
    assert receipt["receipt"] == sent.json()["receipt"] == read["answers"][0]["id"]
    assert (receipt["sha256"], receipt["bytes"]) == (sent.json()["sha256"], sent.json()["bytes"])
    assert maple.acknowledge(read["cursor"]).json() == {"acknowledged": 4}
    assert maple.read()["answers"] == []
    assert site.gateway.broker.depth("out.maple") == 0
    (row,) = received(site)
    assert row["partner"] == "maple"


def test_the_bytes_of_one_answer_and_its_acknowledgement(site: Exchange) -> None:
    maple, body = site.of("maple"), "UNB+UNOC:3+À'".encode("latin-1")
    site.gateway.broker.publish([Letter("a", "out.maple", "application/edifact", body, {"kind": "contrl"})])
    (answer,) = maple.read(wait=5)["answers"]
    assert base64.b64decode(answer["base64"]) == body
    assert "text" not in answer
    raw = maple.ask("GET", answer["href"])
    assert (raw.content, raw.headers["content-type"]) == (body, "application/edifact")
    assert maple.ask("DELETE", answer["href"]).status_code == 204
    assert maple.ask("DELETE", answer["href"]).status_code == 404
    assert maple.ask("GET", answer["href"]).status_code == 404
    assert maple.read()["answers"] == []


def test_a_waiting_request_is_answered_when_an_answer_comes(site: Exchange) -> None:
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(site.of("maple").read, 30)
        time.sleep(0.3)
        assert not waiting.done()
        site.answer("maple", "a")
        assert ids(waiting.result(10)) == ["a"]


def test_answers_come_in_order_and_again_until_acknowledged(site: Exchange) -> None:
    maple, names = site.of("maple"), [f"a{n:02}" for n in range(60)]
    site.answer("maple", *names)
    read = maple.read(wait=5)
    held = len(read["answers"])
    assert ids(read) == ids(maple.read()) == names[:held]
    assert held == exchange_answers.PREFETCH
    assert maple.read(after=read["cursor"])["answers"] == []
    assert maple.acknowledge(read["cursor"]).json() == {"acknowledged": held}
    assert maple.acknowledge(read["cursor"]).json() == {"acknowledged": 0}
    assert ids(maple.read(wait=5)) == names[held:]


def test_a_page_has_as_many_bytes_as_go_in_one_go_and_a_cursor_acknowledges_all_before_it(site: Exchange) -> None:
    maple = site.of("maple")
    site.answer("maple", "a", "b", "c", body=bytes(1_500_000))
    deadline, cursor = time.monotonic() + 20, None
    seen: list[str] = []
    while seen != ["a", "b", "c"] and time.monotonic() < deadline:
        read = maple.read(wait=5, after=cursor)
        assert len(read["answers"]) <= 1
        seen, cursor = seen + ids(read), read["cursor"]
    assert seen == ["a", "b", "c"]
    assert maple.acknowledge(str(cursor)).json() == {"acknowledged": 3}


# ------------------------------------------------------------------------------------------------ once


def test_the_same_key_takes_effect_once_also_after_a_restart(site: Exchange) -> None:
    sent = [site.of("maple").send(GOOD, "k").json() for _ in range(2)]
    with door(site.settings) as other:
        sent.append(Partner(other, TOKENS["maple"]).send(GOOD, "k").json())
    assert sent[0] == sent[1] == sent[2]
    site.gateway.settle_down()
    assert len(received(site)) == 1
    assert sent[0]["id"] == received(site)[0]["id"]


def test_the_same_key_with_other_bytes_is_refused_also_after_a_restart(site: Exchange) -> None:
    maple = site.of("maple")
    assert maple.send(GOOD, "k").status_code == 202
    assert maple.send(b"other", "k").status_code == 422
    site.gateway.settle_down()
    with door(site.settings) as other:
        assert Partner(other, TOKENS["maple"]).send(b"other", "k").status_code == 422
        assert Partner(other, TOKENS["maple"]).send(GOOD, "k").status_code == 202
        assert Partner(other, TOKENS["erable"]).send(b"other", "k").status_code == 202, "its own keys"
    site.gateway.settle_down()
    assert [row["partner"] for row in received(site)] == ["erable", "maple"]


def test_what_no_process_knows_is_found_out_by_the_gateway(site: Exchange) -> None:
    """Another process took the key, and the gateway has not read the queue yet: the first bytes are what counts."""
    first = site.of("maple").send(GOOD, "k").json()
    with door(site.settings) as other:
        second = Partner(other, TOKENS["maple"]).send(b"other", "k").json()
    assert (first["id"], first["sha256"]) != (second["id"], second["sha256"])
    assert first["id"] == second["id"]
    site.gateway.settle_down()
    (row,) = received(site)
    receipts = [each for each in site.of("maple").read(wait=5)["answers"] if each["kind"] == "receipt"]
    assert {json.loads(each["text"])["sha256"] for each in receipts} == {first["sha256"]}
    assert row["transaction_number"]


def test_without_a_key_the_bytes_are_the_key(site: Exchange) -> None:
    maple = site.of("maple")
    assert maple.send(GOOD).json() == maple.send(GOOD).json()
    assert maple.send(GOOD).json()["id"] != maple.send(b"other").json()["id"]


def test_two_same_keys_at_the_same_time(site: Exchange) -> None:
    maple = site.of("maple")
    with ThreadPoolExecutor(6) as pool:
        same = list(pool.map(lambda _: maple.send(GOOD, "same").json()["id"], range(6)))
        mixed = list(pool.map(lambda n: maple.send(b"%d" % n, "mixed").status_code, range(6)))
    assert len(set(same)) == 1
    assert sorted(mixed) == [202, 422, 422, 422, 422, 422]
    site.gateway.settle_down()
    assert len(received(site)) == 2


def test_a_key_that_is_none_is_refused(site: Exchange) -> None:
    for key in ("k" * 201, "k" * 10_000, "a b", "\u00e9".encode(), "", "\x7f"):
        answer = site.of("maple").ask("POST", "/api/messages", content=GOOD, headers={"Idempotency-Key": key})
        assert answer.status_code == 400, key
        french = site.of("maple").ask(
            "POST", "/api/messages", content=GOOD, headers={"Idempotency-Key": key, "Accept-Language": "fr-CA"}
        )
        assert french.headers["content-type"] == answer.headers["content-type"] == "application/problem+json"
        assert french.json()["detail"] != answer.json()["detail"]
    assert site.gateway.broker.depth("in.maple") == 0


def test_two_keys_are_none(site: Exchange) -> None:
    headers = [("Authorization", f"Bearer {TOKENS['maple']}"), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert site.client.post("/api/messages", content=GOOD, headers=headers).status_code == 400


# ------------------------------------------------------------------------------------------------ who


REQUESTS = [
    ("POST", "/api/messages"),
    ("GET", "/api/answers"),
    ("POST", "/api/answers/ack"),
    ("GET", "/api/answers/a"),
    ("DELETE", "/api/answers/a"),
]


NO_TOKENS: list[str | bytes | None] = [
    None,
    "",
    "Bearer",
    "Bearer ",
    "Bearer wrong",
    "Basic bWFwbGU6bWFwbGUtdG9rZW4=",
    "maple-token",
    f"Bearer {token_hash('maple-token')}",
    b"Bearer maple-token\xe9",
    b"Bearer \xff\xfe",
    "Bearer maple-token maple-token",
    "Bearer " + "x" * 20_000,
]


def test_who_has_no_token_is_told_nothing(site: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Turns, "wait", lambda *_: 0)
    site.answer("maple", "a")
    told = set()
    for method, path in REQUESTS:
        for given in NO_TOKENS:
            headers: Any = {"Authorization": given} if given is not None else {}
            answer = site.client.request(method, path, headers=headers)
            assert answer.status_code == 401, given
            assert answer.headers["www-authenticate"].startswith("Bearer")
            told.add(answer.content)
    assert len(told) == 1, "the same whatever is wrong"


def test_two_authorizations_are_none(site: Exchange) -> None:
    headers = [("Authorization", f"Bearer {TOKENS['maple']}"), ("Authorization", f"Bearer {TOKENS['erable']}")]
    assert site.client.get("/api/answers", headers=headers).status_code == 401


def test_wrong_tokens_are_held_back_and_right_ones_are_not(site: Exchange) -> None:
    """A partner that comes through the same proxy must not be locked out."""
    codes = [site.client.get("/api/answers", headers={"Authorization": "Bearer x"}).status_code for _ in range(40)]
    assert (codes[0], codes[-1]) == (401, 429)
    assert site.of("maple").read()["answers"] == []


def test_a_token_is_never_logged(site: Exchange, capfd: pytest.CaptureFixture[str]) -> None:
    site.client.get("/api/answers", headers={"Authorization": "Bearer a-wrong-one"})
    site.of("maple").send(GOOD, "a-key")
    out, err = capfd.readouterr()
    assert "no token of a partner" in out + err
    assert not [each for each in (TOKENS["maple"], "a-wrong-one") if each in out + err]


def test_a_partner_neither_reads_nor_acknowledges_anothers_answers(site: Exchange) -> None:
    maple, erable = site.of("maple"), site.of("erable")
    site.answer("maple", "a")
    cursor = maple.read(wait=5)["cursor"]
    assert erable.read()["answers"] == []
    unknown = erable.ask("GET", "/api/answers/nothing")
    for method in ("GET", "DELETE"):
        answer = erable.ask(method, "/api/answers/a")
        assert (answer.status_code, answer.content) == (unknown.status_code, unknown.content)
    assert erable.acknowledge(cursor).status_code == 409
    assert erable.read(after=cursor)["answers"] == []
    assert ids(maple.read()) == ["a"]


PATHS_OF_ANOTHER = [
    "/api/answers/../answers/a",
    "/api/answers/%2e%2e/a",
    "/api/answers/a%2f..%2fa",
    "/api//answers",
    "/api/answers/a/",
    "/api/answers/%00",
    "/api/answers/a;erable",
    "/API/ANSWERS",
    "/api/answers/out.maple",
]


def test_no_path_and_no_header_leads_to_anothers_answers(site: Exchange) -> None:
    site.answer("maple", "a")
    site.of("maple").read(wait=5)
    headers = {"X-Partner": "maple", "X-Forwarded-User": "maple", "X-Original-URL": "/api/answers"}
    for path in PATHS_OF_ANOTHER:
        answer = site.of("erable").ask("GET", path, headers=headers, follow_redirects=False)
        assert answer.status_code in {404, 307}, path
        assert b'"id"' not in answer.content


def test_a_token_that_was_taken_back_opens_nothing_and_another_does(site: Exchange) -> None:
    maple = site.of("maple")
    site.answer("maple", "a")
    assert ids(maple.read(wait=5)) == ["a"]
    with_tokens(site.settings.partners.parent, {"maple": "a-new-one", "erable": TOKENS["erable"]})
    assert maple.ask("GET", "/api/answers").status_code == 401
    assert ids(Partner(site.client, "a-new-one").read(wait=5)) == ["a"]
    site.settings.partners.write_text("nonsense", "utf-8")
    assert ids(Partner(site.client, "a-new-one").read()) == ["a"], "the last good file"


def test_a_token_taken_back_while_its_request_waits_opens_nothing(site: Exchange) -> None:
    maple = site.of("maple")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(maple.ask, "GET", "/api/answers?wait=30")
        time.sleep(0.3)
        with_tokens(site.settings.partners.parent, {"erable": TOKENS["erable"]})
        site.answer("maple", "a")
        assert waiting.result(10).status_code == 401


def test_a_partner_that_is_not_active_has_no_token(site: Exchange) -> None:
    text = site.settings.partners.read_text("utf-8").replace('id = "maple"\n', 'id = "maple"\nactive = false\n')
    site.settings.partners.write_text(text, "utf-8")
    assert site.of("maple").send(GOOD).status_code == 401
