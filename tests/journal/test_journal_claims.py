"""Who gets which work, in which order, and what a worker that dies leaves behind; on SQLite and PostgreSQL."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy

from core import limits
from gateway.journal import Journal
from gateway.journal.inbox import WINDOW
from tests.support.journals import LATER, NOW, claim_one, delivery, outcome, outgoing, sent


def test_work_comes_oldest_first_one_of_a_lane_at_a_time(journal: Journal) -> None:
    journal.receive(
        [
            delivery("a", lane="1"),
            delivery("b", lane="1"),
            delivery("c", lane="2"),
            delivery("d", lane="1", partner="P2"),
            delivery("e", lane="1", channel="assessment"),
            delivery("f", lane="*"),
            delivery("g", lane="3"),
        ]
    )
    first = journal.claim("w", 10, 60, NOW).work
    assert [row.uid for row in first] == ["a", "d", "e", "c"], "in turn by sender"
    assert not journal.claim("v", 10, 60, NOW)
    journal.park([(row, "x", ()) for row in first], now=NOW)
    for uid in "bfg":
        (row,) = journal.claim("w", 10, 60, NOW).work
        assert row.uid == uid
        journal.park([(row, "x", ())], now=NOW)
    assert not journal.claim("w", 10, 60, NOW)


def test_a_lane_that_waits_does_not_hold_others_up(journal: Journal) -> None:
    """One sender's long queue of interchanges, each of which waits for the one before."""
    journal.receive([delivery(f"a{n}", lane="*", body=b"") for n in range(WINDOW + 5)])
    journal.receive([delivery("b", lane="*", partner="P2"), delivery("c", lane="9", partner="P3")])
    assert claim_one(journal).uid == "a0"
    assert {row.uid for row in journal.claim("v", 10, 60, NOW).work} == {"b", "c"}


def test_a_dead_workers_lease_runs_out_and_its_work_is_tried_alone(journal: Journal) -> None:
    journal.receive([delivery(uid, lane=uid) for uid in "abc"])
    assert [row.attempts for row in journal.claim("dead", 10, 60, NOW).work] == [1, 1, 1]
    assert not journal.claim("w", 10, 60, NOW + timedelta(seconds=59))
    journal.receive([delivery("d", lane="d")])
    got = [[(row.uid, row.attempts) for row in journal.claim("w", 10, 60, LATER).work] for _ in range(5)]
    assert got == [[("d", 1)], [("a", 2)], [("b", 2)], [("c", 2)], []]


def test_senders_take_turns(journal: Journal) -> None:
    """A sender's hundred messages stood before everybody else's first."""
    journal.receive([delivery(f"a{n:03}", lane=f"{n}", partner="P1") for n in range(WINDOW + 100)])
    journal.receive([delivery(f"b{n}", lane=f"{n}", partner="P2") for n in range(3)])
    journal.receive([delivery("c", lane="c", partner="P3")])
    later = NOW + timedelta(seconds=2)
    got = [row.uid for row in journal.claim("w", 6, 60, later).work]
    assert got == ["a000", "b0", "c", "a001", "b1", "a002"]
    assert [row.uid for row in journal.claim("v", 3, 60, later).work] == ["a003", "b2", "a004"]


def test_the_message_that_killed_its_worker_is_known_and_the_others_were_not_tried(journal: Journal) -> None:
    journal.receive([delivery(uid, lane=uid, partner=f"P{n}") for n, uid in enumerate("abc")])
    rows = journal.claim("host:1:x", 10, 60, NOW, "fresh").work
    assert journal.disown("host:1:", NOW, rows[1].sequence) == 3
    again = journal.claim("w", 10, 60, NOW, "fresh").work
    assert [(row.uid, row.attempts) for row in again] == [("a", 1), ("c", 1)]
    assert [(row.uid, row.attempts) for row in journal.claim("r", 10, 60, NOW, "tried").work] == [("b", 2)]


def test_a_sender_whose_message_killed_its_worker_keeps_no_worker_of_others(journal: Journal) -> None:
    journal.receive([delivery(f"a{n}", lane=f"a{n}", partner="P1") for n in range(3)])
    (first,) = journal.claim("host:1:x", 1, 60, NOW, "fresh").work
    assert not journal.suspects(NOW)
    journal.disown("host:1:", NOW, first.sequence)
    journal.receive([delivery("b", lane="b", partner="P2")])
    assert journal.suspects(NOW)
    assert [row.uid for row in journal.claim("w", 10, 60, NOW, "fresh").work] == ["b"]
    mine = [journal.claim("r", 10, 60, NOW, "tried").work for _ in range(3)]
    assert [[row.uid for row in rows] for rows in mine] == [["a1"], ["a2"], ["a0"]]
    journal.park([(mine[2][0], "kills", ())], now=NOW)
    journal.receive([delivery("a9", lane="a9", partner="P1")])
    assert [row.uid for row in journal.claim("w", 10, 60, NOW, "fresh").work] == ["a9"]
    assert not journal.suspects(NOW)


def test_a_sender_that_keeps_a_worker_for_long_gets_no_second_one(journal: Journal) -> None:
    journal.receive([delivery(f"a{n}", lane=f"a{n}", partner="P1") for n in range(2)])
    journal.receive([delivery("b", lane="b", partner="P2")])
    assert [row.uid for row in journal.claim("w", 1, 60, NOW, "fresh").work] == ["a0"]
    later = NOW + timedelta(seconds=2)
    assert [row.uid for row in journal.claim("v", 10, 60, later, "fresh").work] == ["b"]
    assert not journal.claim("v", 10, 60, later, "fresh")


def test_what_was_given_back_is_for_the_one_that_tries_again(journal: Journal) -> None:
    journal.receive([delivery(uid, lane=uid) for uid in "ab"])
    first, second = journal.claim("w", 10, 60, NOW, "fresh").work
    journal.give_back([first], NOW + timedelta(seconds=1))
    assert not journal.suspects(NOW)
    assert journal.suspects(LATER)
    assert not journal.claim("w", 10, 60, NOW + timedelta(seconds=2), "fresh")
    assert [row.uid for row in journal.claim("r", 10, 60, NOW + timedelta(seconds=2), "tried").work] == ["a"]
    assert second.uid == "b"


def test_a_released_message_has_not_been_tried(journal: Journal) -> None:
    journal.receive([delivery(uid, lane=uid) for uid in "ab"])
    journal.release(journal.claim("w", 10, 60, NOW).work)
    assert [row.attempts for row in journal.claim("v", 10, 60, NOW).work] == [1, 1]


def test_a_message_that_kills_its_worker_ends_parked_with_an_answer(journal: Journal) -> None:
    journal.receive([delivery("poison"), delivery("next")])
    for attempt in range(limits.ATTEMPTS):
        claims = journal.claim(f"w{attempt}", 1, 60, NOW + timedelta(hours=attempt))
        assert [row.attempts for row in claims.work] == [attempt + 1]
    # Whoever finds it used up may die as well before it is parked: then it is found again.
    for hour in (10, 20):
        claims = journal.claim("w", 1, 60, NOW + timedelta(hours=hour))
        assert (claims.work, len(claims.exhausted)) == ((), 1)
    now = NOW + timedelta(hours=20)
    assert journal.park([(claims.exhausted[0], "kills", [outgoing("technical", "poison")])], now=now) == [True]
    assert sent(journal) == ["technical"]
    assert journal.counts(now)["parked"] == 1
    assert claim_one(journal, now=now).uid == "next"


def test_many_workers_never_get_the_same_row_and_keep_the_lanes_in_order(journal: Journal) -> None:
    journal.receive([delivery(f"{n:03}", lane=str(n % 7) if n % 10 else "*", partner=f"P{n % 3}") for n in range(60)])
    finished: list[tuple[str, str, str]] = []
    guard = threading.Lock()

    def work(name: str) -> None:
        while journal.counts(NOW)["received"] + journal.counts(NOW)["working"]:
            for row in journal.claim(name, 3, 600, NOW).work:
                with guard:
                    finished.append((row.partner or "", row.lane, row.uid))
                number = f"{row.sequence:014}"
                assert journal.finish([(row, outcome(row, number=number))], specs="d", now=NOW) == [True]

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work, f"w{n}") for n in range(4)]:
            done.result()
    assert sorted(uid for _, _, uid in finished) == [f"{n:03}" for n in range(60)]
    for at, (partner, lane, uid) in enumerate(finished):
        for other, other_lane, earlier in finished[at + 1 :]:
            if other == partner and (lane == other_lane or "*" in {lane, other_lane}):
                assert uid < earlier
    assert journal.verify().bad is None


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("SELECT lane FROM work WHERE sequence > 5 ORDER BY sequence", "work"),
        ("SELECT count(*) FROM handled WHERE state = 'parked'", "handled_parked"),
        ("SELECT min(destination) FROM due WHERE parked_at IS NULL AND destination > 'a'", "due_next"),
        ("SELECT size FROM due WHERE parked_at IS NULL AND destination = 'a' ORDER BY position LIMIT 5", "due_next"),
        ("SELECT min(position) FROM due WHERE parked_at IS NULL AND destination = 'a'", "due_next"),
    ],
)  # fmt: skip
def test_a_long_archive_does_not_slow_the_work(
    journal: Journal, raw: sqlalchemy.Engine, statement: str, index: str
) -> None:
    """The index or the table that holds open rows only is the one that is used."""
    with raw.connect() as connection:
        if raw.dialect.name == "sqlite":
            plan = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement).all()
        else:
            connection.exec_driver_sql("SET enable_seqscan = off")
            connection.exec_driver_sql("SET enable_bitmapscan = off")
            plan = connection.exec_driver_sql("EXPLAIN " + statement).all()
    assert index in str(plan)


@pytest.mark.parametrize("how", ["given back", "held by who is gone"])
def test_what_rests_by_a_clock_that_was_set_back_since_does_not_wait_for_it(journal: Journal, how: str) -> None:
    """The clock was two days ahead when it failed: it waited two days, and its sender's later messages behind it."""
    ahead = NOW + timedelta(days=2)
    journal.receive([delivery("a"), delivery("b")])
    claims = journal.claim("w", 1, 60, ahead)
    if how == "given back":
        journal.give_back(claims.work, ahead + timedelta(seconds=1))
    assert journal.suspects(NOW)
    again = journal.claim("v", 1, 60, NOW, "tried").work
    assert [row.uid for row in again] == ["a"]
    assert not journal.claim("u", 1, 60, NOW + timedelta(seconds=59))
    journal.park([(again[0], "x", ())], now=NOW)
    assert [row.uid for row in journal.claim("v", 1, 60, NOW).work] == ["b"]
