"""What fails on the way of one message keeps no other from its verdict and its answers."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

import pytest

from core import limits
from core.errors import JournalUnavailable
from gateway import pipeline, service
from gateway.journal import Journal
from gateway.queues import Delivery
from tests.support.house import House, kinds
from tests.support.sending import ORIGINAL, Clock, edifact, messages, number, xml
from tests.support.way import PARTNERS


def break_on(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    """Let the pipeline fail on these bytes, with words of the sender's in the error."""
    judge = pipeline.judge

    def fail(parsed: Any, *more: Any) -> Any:
        if parsed.received.body == body:
            raise ValueError(f"secret {body!r}")
        return judge(parsed, *more)

    monkeypatch.setattr(pipeline, "judge", fail)


def test_one_bad_row_neither_blocks_nor_loses_the_others(
    gateway: House, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bad = edifact("REF1", number(1))
    break_on(monkeypatch, bad)
    gateway.send("maple", bad, edifact("REF2", number(2)), edifact("REF3", number(1)), edifact("REF4", number(3)))
    gateway.receive()
    assert gateway.work() == 3, "the third waits for the first: they are about one declaration"
    rows = messages(gateway)
    assert [row["verdict"] for row in rows] == [None, "accepted", None, "accepted"]
    for attempt in range(2, limits.ATTEMPTS + 1):
        assert gateway.work() == 0
        clock.ahead += timedelta(seconds=service.AGAIN_SECONDS)
        assert gateway.work() == 1
        assert gateway.journal.show(rows[0]["id"])["attempts"] == attempt
    clock.ahead += timedelta(seconds=service.AGAIN_SECONDS)
    gateway.settle_down()
    rows = messages(gateway)
    assert [row["state"] for row in rows] == ["parked", "done", "done", "done"]
    assert [row["verdict"] for row in rows] == [None, "accepted", "accepted", "accepted"]
    answers = gateway.answers("maple")
    assert kinds(answers).count("technical") == 1
    assert b"GTW-0010" in next(a.body for a in answers if a.headers["kind"] == "technical")


def test_the_log_names_the_bad_row_and_repeats_nothing_of_it(
    gateway: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gateway.logs import configure

    bad = edifact("REF1", number(1))
    break_on(monkeypatch, bad)
    gateway.send("maple", bad)
    gateway.receive()
    configure("json")
    gateway.work()
    logging.getLogger().handlers.clear()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (line,) = [line for line in lines if line["event"] == "given back"]
    assert line["message_id"] == messages(gateway)[0]["id"]
    assert "ValueError" in line["error"]
    assert "secret" not in str(lines)
    assert number(1) not in str(lines)


def test_one_row_that_cannot_be_written_does_not_keep_the_others_from_it(
    gateway: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, bad = Journal.finish, edifact("REF1", number(1))

    def fail(self: Journal, done: Any, **more: Any) -> list[bool]:
        if any(row.body == bad for row, _ in done):
            raise ValueError("cannot be encoded")
        return finish(self, done, **more)

    monkeypatch.setattr(Journal, "finish", fail)
    gateway.send("maple", edifact("REF0", number(0)), bad, edifact("REF2", number(2)))
    gateway.receive()
    gateway.work()
    assert [row["verdict"] for row in messages(gateway)] == ["accepted", None, "accepted"]


def test_a_database_that_is_gone_is_nobodys_attempt_to_answer_for(
    gateway: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise JournalUnavailable("it is gone")

    gateway.send("maple", ORIGINAL)
    gateway.receive()
    monkeypatch.setattr(gateway.journal, "facts_of", gone)
    with pytest.raises(JournalUnavailable):
        gateway.work()


def test_it_is_parked_even_if_no_answer_can_be_made(
    gateway: House, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError

    break_on(monkeypatch, ORIGINAL)
    monkeypatch.setattr(pipeline, "respond_technical", fail)
    gateway.send("maple", ORIGINAL)
    gateway.receive()
    for _ in range(limits.ATTEMPTS + 1):
        gateway.work()
        clock.ahead += timedelta(seconds=service.AGAIN_SECONDS)
    assert [row["state"] for row in messages(gateway)] == ["parked"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"contract": "1.0"}', b"\xff\xfe"])
def test_a_result_that_cannot_be_read_is_parked(gateway: House, body: bytes) -> None:
    from gateway.queues import Letter

    gateway.broker.publish([Letter("r", "assessment.results", "application/json", body)])
    gateway.settle_down()
    (row,) = gateway.journal.list_messages(channel="assessment")
    assert row["state"] == "parked"
    assert row["note"]


def test_a_result_that_comes_twice_or_answers_nothing_has_no_effect(gateway: House) -> None:
    from gateway.queues import Letter

    gateway.send("maple", ORIGINAL)
    while gateway.receive() + gateway.work() + gateway.dispatch():
        pass
    (request,) = gateway.taken("assessment.requests")
    from gateway.engine.assess import assess
    from routing.assessment import read_request, write_result
    from tests.support.way import RATES

    result = assess(read_request(request.body), RATES).result
    bodies = [write_result(result), write_result(result), write_result({**result, "message_id": "0" * 32})]
    gateway.broker.publish([Letter(str(n), "assessment.results", "", body) for n, body in enumerate(bodies)])
    gateway.settle_down()
    assert kinds(gateway.answers("maple")).count("assessed") == 1
    rows = gateway.journal.list_messages(channel="assessment")
    assert sorted(row["note"] or "" for row in rows) == ["", "answers no request of ours", "repeats a result"]


def assessed(gateway: House, **changes: object) -> bytes:
    """Have an original accepted; return the engine's result on it, with these changes."""
    from gateway.engine.assess import assess
    from routing.assessment import read_request, write_result
    from tests.support.way import RATES

    gateway.send("maple", ORIGINAL)
    while gateway.receive() + gateway.work() + gateway.dispatch():
        pass
    (request,) = gateway.taken("assessment.requests")
    return write_result({**(assess(read_request(request.body), RATES).result or {}), **changes})


def statuses(gateway: House) -> list[str]:
    """Return the status of every version on file."""
    (row,) = gateway.journal.list_messages(channel="partner")
    life = gateway.journal.show(row["id"])
    assert life is not None
    return [one["status"] for one in life["declarations"]]


def test_a_result_that_does_not_fit_its_request_is_parked_and_changes_nothing(gateway: House) -> None:
    """It was believed: another's number, lines that are not there, any total."""
    from gateway.queues import Letter

    body = assessed(gateway, transaction_number="99999999999999")
    gateway.broker.publish([Letter("r", "assessment.results", "", body)])
    gateway.settle_down()
    assert kinds(gateway.answers("maple")) == ["receipt", "contrl", "accepted"]
    (row,) = gateway.journal.list_messages(channel="assessment")
    assert (row["state"], "transaction_number" in row["note"]) == ("parked", True)
    assert statuses(gateway) == ["accepted"]


@pytest.mark.parametrize("user", [None, "maple"])
def test_a_result_of_somebody_else_is_parked_until_the_engine_is_known(gateway: House, user: str | None) -> None:
    """Whoever could write to the results' queue was the engine."""
    from dataclasses import replace

    from gateway.queues import Letter

    class Stranger:
        def receive(self, timeout: float) -> list[Delivery]:
            return [replace(one, vouched=True, user_id=user) for one in real.receive(timeout)]

        def ack(self, deliveries: list[Delivery]) -> None:
            real.ack(deliveries)

    body, real = assessed(gateway), gateway.intake
    gateway.intake = Stranger()  # type: ignore[assignment]
    gateway.broker.publish([Letter("r", "assessment.results", "", body)])
    gateway.settle_down()
    (row,) = gateway.journal.list_messages(channel="assessment")
    assert (row["state"], repr(user) in row["note"]) == ("parked", True)
    assert statuses(gateway) == ["accepted"]
    if user:
        gateway.engines = {user}
        sequence = gateway.journal.sequence_of(row["id"])
        assert sequence is not None
        assert gateway.journal.release_parked(sequence, "clerk", service.now())
        gateway.settle_down()
        assert statuses(gateway) == ["assessed"]


# ------------------------------------------------------------------------------------------------ dispatch


def test_a_destination_without_queue_rests_and_the_others_go_on(gateway: House, clock: Clock) -> None:
    from dataclasses import replace

    lost = replace(PARTNERS["erable"], answer_queue="out.nowhere")
    gateway.partners = {**PARTNERS, "erable": lost}
    gateway.send("erable", xml("REF1", number(1, "24680")))
    gateway.send("maple", ORIGINAL)
    gateway.settle_down()
    assert kinds(gateway.answers("maple")) == ["receipt", "contrl", "accepted", "assessed"]
    (resting,) = gateway.journal.destinations()
    assert resting["name"] == "out.nowhere"
    gateway.broker.declare(["out.nowhere"])
    clock.ahead += timedelta(seconds=600)
    gateway.settle_down()
    assert kinds(gateway.taken("out.nowhere")) == ["receipt", "accepted", "assessed"]
