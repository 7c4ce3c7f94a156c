"""Receipts from the receiver: published by a thread, what cannot be is left, and nothing waits for it."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Any

from core.errors import BrokerBlocked, BrokerUnavailable, JournalUnavailable
from core.transmission import Outgoing
from gateway.journal import MESSAGE_ID, Arrival
from gateway.queues import Letter, Published
from gateway.sending import WAITING, Receipts, at_once_of

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def letters(*ids: str) -> list[Letter]:
    return [Letter(id_, "out.maple", "application/json", b"{}") for id_ in ids]


class Broker:
    """Confirms what it is told to, once it may."""

    def __init__(self, *confirmed: str) -> None:
        self.may, self.confirmed, self.asked = threading.Event(), set(confirmed), list[list[str]]()
        self.may.set()
        self.away = self.alarm = False

    def publish(self, batch: list[Letter]) -> Published:
        self.may.wait(10)
        self.asked.append([letter.id for letter in batch])
        if self.away:
            raise BrokerUnavailable("gone")
        if self.alarm:
            raise BrokerBlocked("low on memory")
        return Published(frozenset(letter.id for letter in batch if letter.id in self.confirmed), frozenset())


class Journal:
    """Notes what it is told; fails where it is away."""

    def __init__(self) -> None:
        self.sent, self.held, self.away = list[str](), list[str](), False

    def hold(self, ids: list[str], _now: datetime) -> None:
        self.held = ids

    def mark_sent(self, ids: list[str], _now: datetime) -> int:
        if self.away:
            raise JournalUnavailable("away")
        self.sent += ids
        return len(ids)


def test_what_the_broker_confirmed_is_recorded_and_nothing_else() -> None:
    broker: Any = Broker("a", "c")
    journal: Any = Journal()
    receipts = Receipts(broker)
    receipts.send(letters("a", "b"))
    receipts.send(letters("c"))
    receipts.close()
    receipts.record(journal, NOW)
    receipts.record(journal, NOW)
    assert journal.sent == ["a", "c"]


def test_what_could_not_be_recorded_is_recorded_next_time() -> None:
    broker: Any = Broker("a")
    journal: Any = Journal()
    receipts = Receipts(broker)
    receipts.send(letters("a"))
    receipts.close()
    journal.away = True
    try:
        receipts.record(journal, NOW)
    except JournalUnavailable:
        journal.away = False
    receipts.record(journal, NOW)
    assert journal.sent == ["a"]


def test_a_broker_that_is_away_or_hangs_holds_up_nobody() -> None:
    broker: Any = Broker("a", "b")
    receipts = Receipts(broker)
    broker.away = True
    receipts.send(letters("a"))
    while not broker.asked:
        time.sleep(0.001)
    broker.away = False
    broker.may.clear()
    for number in range(WAITING + 5):  # the first may be in hand already
        receipts.send(letters(f"b{number}"))
    broker.may.set()
    receipts.close()
    assert broker.asked[0] == ["a"]
    assert len(broker.asked) <= WAITING + 2, "the rest is the dispatcher's"


def test_what_a_broker_in_alarm_will_take_is_kept_and_the_rest_is_left() -> None:
    broker: Any = Broker("a", "b")
    journal: Any = Journal()
    receipts = Receipts(broker)
    broker.alarm = True
    receipts.send(letters("a"))
    while not journal.held:
        receipts.keep(journal, NOW)
    receipts.send(letters("b"))
    broker.alarm, journal.held = False, []
    while not receipts._sent:
        time.sleep(0.001)
    receipts.keep(journal, NOW)
    receipts.close()
    receipts.record(journal, NOW)
    assert journal.sent == ["a"], "what came during the alarm is the dispatcher's"
    assert set(map(tuple, broker.asked)) == {("a",)}


def test_a_receiver_that_ends_in_an_alarm_does_not_wait_for_its_end() -> None:
    broker: Any = Broker("a")
    broker.alarm = True
    receipts = Receipts(broker)
    receipts.send(letters("a"))
    begin = time.monotonic()
    receipts.close()
    assert time.monotonic() - begin < 2


def test_a_receipt_goes_out_as_the_dispatcher_sends_it_but_not_to_a_destination_that_fails() -> None:
    receipt = Outgoing("r" * 32, "receipt", "out.maple", "application/json", b"{}")
    arrival = Arrival("uid", "partner", "maple", b"x", {MESSAGE_ID: "their-id"}, NOW, "lane", receipt)
    (letter,) = at_once_of([arrival], ()).values()
    assert (letter.id, letter.queue, letter.correlation) == (receipt.id, "out.maple", "their-id")
    assert letter.headers["kind"] == "receipt"
    assert at_once_of([arrival], {"out.maple"}) == {}


def test_of_a_transmission_that_comes_twice_at_once_the_recorded_receipt_goes_out() -> None:
    made = [Outgoing("r" * 32, "receipt", "out.maple", "application/json", body) for body in (b"first", b"second")]
    arrivals = [Arrival("uid", "partner", "maple", b"x", {}, NOW, "lane", receipt) for receipt in made]
    assert [letter.body for letter in at_once_of(arrivals, ()).values()] == [b"first"]
