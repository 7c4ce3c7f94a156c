"""The service's three steps on the embedded queue and SQLite: order, repeats, collisions, failures."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core import limits
from core.envelope import Envelope
from core.errors import JournalUnavailable
from gateway import pipeline, service
from gateway.journal import Conflict, Journal
from gateway.trade.writer import write_edifact, write_xml
from tests.support.builders import CORRECTION, DECLARATION, valid_change, valid_declaration
from tests.support.house import House, house, kinds
from tests.support.way import PARTNERS, SAMPLES
from validators.rules import check_digit_of

ORIGINAL = (SAMPLES / "originals/v-voluntary.edi").read_bytes()
CHANGE = (SAMPLES / "changes/v-correction.edi").read_bytes()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as opened:
        yield opened


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(service, "now", clock)
    return clock


class Clock:
    """The present moment, which a test may move on."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return REAL_NOW() + self.ahead


REAL_NOW = service.now


def edifact(reference: str, transaction: str, **changes: Any) -> bytes:
    """Write an original declaration of maple's under an interchange reference."""
    given = valid_declaration(transaction_number=transaction, **changes)
    envelope = Envelope("MAPLEBROKER", "CARMGATEWAY", reference)
    return write_edifact([given], DECLARATION, envelope, prepared=REAL_NOW())


def xml(reference: str, transaction: str, **changes: Any) -> bytes:
    """Write an original declaration of érable's under a metadata reference."""
    envelope = Envelope("ERABLECOURTIER", "CARMGATEWAY", reference)
    return write_xml(valid_declaration(transaction_number=transaction, **changes), DECLARATION, envelope)


def number(sequence: int) -> str:
    """Return a transaction number of the builders' account with its check digit."""
    thirteen = f"12345{sequence:08}"
    return thirteen + check_digit_of(thirteen)


def messages(gateway: House, partner: str = "maple") -> list[dict[str, Any]]:
    """Return what the journal holds of a partner's transmissions, oldest first."""
    return list(reversed(gateway.journal.list_messages(partner=partner, limit=200)))


def codes(gateway: House, row: dict[str, Any]) -> list[str]:
    life = gateway.journal.show(row["id"])
    assert life is not None
    return [finding["code"] for message in life["messages"] for finding in message["findings"]]


# ------------------------------------------------------------------------------------------------ receive


def test_the_receipt_comes_before_the_verdict(gateway: House) -> None:
    gateway.send("maple", ORIGINAL)
    assert gateway.receive() == 1
    assert gateway.dispatch() == 1
    (receipt,) = gateway.answers("maple")
    assert receipt.headers["kind"] == "receipt"
    assert json.loads(receipt.body)["bytes"] == len(ORIGINAL)
    gateway.settle_down()
    assert kinds(gateway.answers("maple")) == ["contrl", "accepted", "assessed"]


def test_nothing_is_acknowledged_that_is_not_journalled(gateway: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise JournalUnavailable("the disk is full")

    gateway.send("maple", ORIGINAL)
    monkeypatch.setattr(gateway.journal, "receive", fail)
    with pytest.raises(JournalUnavailable):
        gateway.receive()
    monkeypatch.undo()
    gateway.intake.close()
    gateway.intake = gateway.broker.consume(["in.maple", "assessment.results"])
    gateway.settle_down()
    assert kinds(gateway.answers("maple")) == ["receipt", "contrl", "accepted", "assessed"]
    gateway.intake.close()


def test_a_letter_sent_twice_under_one_id_is_one_message_with_its_answers_again(gateway: House) -> None:
    gateway.send("maple", ORIGINAL, ids=("one",))
    gateway.settle_down()
    first = gateway.answers("maple")
    gateway.send("maple", ORIGINAL, ids=("one",))
    gateway.settle_down()
    again = gateway.answers("maple")
    assert [(a.message_id, a.body) for a in again] == [(a.message_id, a.body) for a in first]
    assert len(messages(gateway)) == 1


def test_nobody_uses_another_partners_queue_name(gateway: House) -> None:
    """A message in a queue of no partner we know is journalled, refused, and answered to nobody."""
    gateway.partners = {"erable": PARTNERS["erable"]}
    gateway.send("maple", ORIGINAL)
    gateway.settle_down()
    assert gateway.answers("erable") == []
    (row,) = gateway.journal.list_messages()
    assert (row["partner"], row["verdict"], codes(gateway, row)) == ("", "refused", ["GTW-0003"])
    assert gateway.journal.show(row["id"])["outbox"] == []


# ------------------------------------------------------------------------------------------------ repeats


@pytest.mark.parametrize(
    "file",
    [
        "originals/v-voluntary.edi",
        "originals/published-example.xml",
        "refused/many-faults.edi",
        "refused/many-faults.xml",
    ],
)
def test_the_same_bytes_again_give_the_stored_answers_byte_for_byte(gateway: House, file: str) -> None:
    partner = "erable" if file.endswith(".xml") else "maple"
    body = (SAMPLES / file).read_bytes()
    gateway.send(partner, body)
    gateway.settle_down()
    first = gateway.answers(partner)
    gateway.send(partner, body)
    gateway.settle_down()
    again = gateway.answers(partner)
    (own,) = [a for a in again if a.message_id not in {each.message_id for each in first}]
    assert own.headers["kind"] == "receipt"
    assert {(a.message_id, a.body) for a in again if a is not own} == {(a.message_id, a.body) for a in first}
    effects = [row for row in messages(gateway, partner) if row["verdict"]]
    assert len(effects) == 1
    assert messages(gateway, partner)[-1]["note"].startswith("resend of ")


USED = {edifact: "EDI-0111", xml: "GTW-0009"}


@pytest.mark.parametrize("write", [edifact, xml])
def test_a_reference_used_by_something_accepted_is_not_for_other_bytes(gateway: House, write: Any) -> None:
    partner = "erable" if write is xml else "maple"
    gateway.send(partner, write("REF1", number(1)), write("REF1", number(2)), write("REF2", number(2)))
    gateway.settle_down()
    rows = messages(gateway, partner)
    assert [row["verdict"] for row in rows] == ["accepted", "refused", "accepted"]
    assert codes(gateway, rows[1]) == [USED[write]]


@pytest.mark.parametrize("write", [edifact, xml])
def test_a_reference_of_something_refused_may_carry_the_mended_message(gateway: House, write: Any) -> None:
    partner = "erable" if write is xml else "maple"
    wrong, mended, other = (
        write("REF1", number(1), office=None),
        write("REF1", number(1)),
        write("REF1", number(2)),
    )
    gateway.send(partner, wrong)
    gateway.settle_down()
    refused = gateway.answers(partner)
    gateway.send(partner, wrong)
    gateway.settle_down()
    assert {a.body for a in gateway.answers(partner)} > {a.body for a in refused}
    gateway.send(partner, mended)
    gateway.settle_down()
    accepted = gateway.answers(partner)
    gateway.send(partner, other, mended)
    gateway.settle_down()
    verdicts = [row["verdict"] for row in messages(gateway, partner)]
    assert verdicts == ["refused", None, "accepted", "refused", None]
    assert codes(gateway, messages(gateway, partner)[3]) == [USED[write]]
    bodies = [a.body for a in gateway.answers(partner)]
    assert all(each.body in bodies for each in accepted)


# ------------------------------------------------------------------------------------------------ order


def test_a_correction_sent_together_with_its_original_is_judged_after_it(gateway: House) -> None:
    gateway.send("maple", ORIGINAL, CHANGE)
    assert gateway.receive() == 2
    assert gateway.work() == 1, "the change waits for its original"
    gateway.settle_down()
    assert [(row["type"], row["verdict"]) for row in messages(gateway)] == [
        ("declaration", "accepted"),
        ("correction", "accepted"),
    ]


def test_the_messages_of_one_interchange_see_each_other(gateway: House) -> None:
    original, change = valid_declaration(transaction_number=number(1)), valid_change(transaction_number=number(1))
    envelope = Envelope("MAPLEBROKER", "CARMGATEWAY", "REF1")
    body = write_edifact([original, original, change], CORRECTION, envelope, prepared=REAL_NOW())
    gateway.send("maple", body)
    gateway.settle_down()
    rows = messages(gateway)
    assert [row["verdict"] for row in sorted(rows, key=lambda row: row["ordinal"])] == [
        "accepted",
        "refused",
        "accepted",
    ]


WISH = (SAMPLES / "changes/v-withdraw.edi").read_bytes().replace(b":00002+1", b":00001+1")


def together(*bodies: bytes) -> bytes:
    """Put the one message of each transmission into one interchange."""
    parts = [body[body.index(b"UNH") : body.index(b"UNZ")].strip() for body in bodies]
    inside = [
        part.replace(b"UNH+1+", b"UNH+%d+" % n).rpartition(b"+")[0] + b"+%d'" % n for n, part in enumerate(parts, 1)
    ]
    header = b"UNB+UNOC:3+MAPLEBROKER+CARMGATEWAY+260115:1030+TOGETHER'"
    return header + b"".join(inside) + b"UNZ+%d+TOGETHER'" % len(parts)


@pytest.mark.parametrize("way", ["one interchange", "one after the other"])
def test_a_withdrawal_that_waits_for_the_engine_stands_in_the_way_of_a_change(gateway: House, way: str) -> None:
    sent = [ORIGINAL, WISH, CHANGE, WISH.replace(b"MB000010", b"MB000099")]
    if way == "one interchange":
        gateway.send("maple", together(*sent))
    else:
        gateway.send("maple", *sent)
    gateway.settle_down()
    rows = sorted(messages(gateway), key=lambda row: (row["received_at"], row["ordinal"]))
    assert [row["verdict"] for row in rows] == ["accepted", "accepted", "refused", "refused"]


# ------------------------------------------------------------------------------------------------ collisions


def test_what_collides_with_another_worker_is_judged_again(gateway: House, monkeypatch: pytest.MonkeyPatch) -> None:
    body = edifact("REF1", number(1))
    gateway.send("maple", body, edifact("REF2", number(2)))
    gateway.receive()
    finish, calls = Journal.finish, []

    def collide(self: Journal, done: Any, **more: Any) -> list[bool]:
        calls.append(len(done))
        if len(calls) == 1:
            raise Conflict("another worker was first")
        return finish(self, done, **more)

    monkeypatch.setattr(Journal, "finish", collide)
    assert gateway.work() == 2
    assert calls == [2, 1, 1]
    assert [row["verdict"] for row in messages(gateway)] == ["accepted", "accepted"]


def test_one_reference_twice_in_a_batch_is_accepted_once(gateway: House) -> None:
    gateway.send("maple", edifact("REF1", number(1)), edifact("REF1", number(2)), edifact("REF3", number(3)))
    gateway.receive()
    assert gateway.work() == 3
    rows = messages(gateway)
    assert [row["verdict"] for row in rows] == ["accepted", "refused", "accepted"]
    assert codes(gateway, rows[1]) == ["EDI-0111"]


# ------------------------------------------------------------------------------------------------ failures


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


# ------------------------------------------------------------------------------------------------ dispatch


def test_a_destination_without_queue_rests_and_the_others_go_on(gateway: House, clock: Clock) -> None:
    from dataclasses import replace

    lost = replace(PARTNERS["erable"], answer_queue="out.nowhere")
    gateway.partners = {**PARTNERS, "erable": lost}
    gateway.send("erable", xml("REF1", number(1)))
    gateway.send("maple", ORIGINAL)
    gateway.settle_down()
    assert kinds(gateway.answers("maple")) == ["receipt", "contrl", "accepted", "assessed"]
    (resting,) = gateway.journal.destinations()
    assert resting["name"] == "out.nowhere"
    gateway.broker.declare(["out.nowhere"])
    clock.ahead += timedelta(seconds=600)
    gateway.settle_down()
    assert kinds(gateway.taken("out.nowhere")) == ["receipt", "accepted", "assessed"]
