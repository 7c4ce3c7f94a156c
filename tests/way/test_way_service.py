"""The service's three steps on the embedded queue and SQLite: order, repeats, collisions, failures."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.envelope import Envelope
from core.errors import JournalUnavailable
from gateway.journal import Conflict, Journal
from gateway.trade.writer import write_edifact
from tests.support.builders import CORRECTION, valid_change, valid_declaration
from tests.support.house import House, kinds
from tests.support.sending import CHANGE, ORIGINAL, REAL_NOW, codes, edifact, messages, number, xml
from tests.support.way import PARTNERS, SAMPLES

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
    partner, account = ("erable", "24680") if write is xml else ("maple", "12345")
    one, two = number(1, account), number(2, account)
    gateway.send(partner, write("REF1", one), write("REF1", two), write("REF2", two))
    gateway.settle_down()
    rows = messages(gateway, partner)
    assert [row["verdict"] for row in rows] == ["accepted", "refused", "accepted"]
    assert codes(gateway, rows[1]) == [USED[write]]


@pytest.mark.parametrize("write", [edifact, xml])
def test_a_reference_of_something_refused_may_carry_the_mended_message(gateway: House, write: Any) -> None:
    partner, account = ("erable", "24680") if write is xml else ("maple", "12345")
    wrong, mended, other = (
        write("REF1", number(1, account), office=None),
        write("REF1", number(1, account)),
        write("REF1", number(2, account)),
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
