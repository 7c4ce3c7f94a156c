"""What is committed with a verdict, what takes effect once only, what is on file then; on SQLite and PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal

import pytest

from core.declaration import Nature
from core.register import Reference
from gateway.journal import Claimed, Conflict, Journal
from tests.support.journals import LATER, NOW, NUMBER, bring, claim_one, delivery, numbered, outcome, sent


def test_a_verdict_is_written_with_its_effects_and_answers(journal: Journal) -> None:
    row = bring(journal, "a")
    assert journal.finish([(row, outcome(row, reference="R1"))], specs="digest", now=NOW) == [True]
    register = journal.facts("P1", [NUMBER, "other"], numbered("R1", "R2"))
    (fact,) = register.versions[NUMBER]
    assert (fact.version, fact.attempt, fact.nature, fact.status) == (1, 1, Nature.ORIGINAL, "accepted")
    assert (fact.payment_due, fact.accepted_at, fact.created_by_cbsa) == (date(2026, 6, 1), NOW, False)
    assert fact.declaration.amount("gross_weight") == Decimal("1.50")
    assert set(register.versions) == {NUMBER}
    assert register.references == {("P1", *numbered("R1")): Reference(row.digest, row.id, True)}
    assert journal.facts("P2", [], numbered("R1")).references == {}
    life = journal.show(row.id[:9])
    assert (life["state"], life["intact"], life["body"]) == ("done", True, b"a")
    assert life["messages"][0]["specs"] == "digest"
    assert [item["kind"] for item in life["outbox"]] == ["accepted", "request"]
    assert [link["event"] for link in life["audit"]] == ["received", "judged"]
    assert sent(journal) == ["accepted", "request"]


def test_a_refusal_keeps_its_findings(journal: Journal) -> None:
    row = bring(journal, "a")
    journal.finish([(row, outcome(row, accepted=False))], specs="d", now=NOW)
    (told,) = journal.show(row.id)["messages"][0]["findings"]
    assert (told["code"], told["place"]) == ("CAD-0001", {"segment": 2})
    assert journal.facts("P1", [NUMBER], []).versions == {}
    assert [entry["verdict"] for entry in journal.list_messages(verdict="refused", transaction_number=NUMBER)] == [
        "refused"
    ]
    assert journal.list_messages(partner="P2") == []


def test_a_lost_lease_has_no_effect(journal: Journal) -> None:
    slow = bring(journal, "a")
    quick = claim_one(journal, "w", LATER)
    assert journal.finish([(slow, outcome(slow))], specs="d", now=LATER) == [False]
    assert journal.facts("P1", [NUMBER], []).versions == {}
    assert journal.finish([(quick, outcome(quick))], specs="d", now=LATER) == [True]
    for again in (slow, quick):
        assert journal.finish([(again, outcome(again))], specs="d", now=LATER) == [False]
        assert journal.park([(again, "late", ())], now=LATER) == [False]
        assert journal.answer_again(again, "x" * 32, LATER) == 0
    journal.release([slow, quick])
    assert not journal.claim("v", 1, 60, LATER + timedelta(days=1))


def test_a_late_worker_whose_lease_nobody_took_may_finish(journal: Journal) -> None:
    row = bring(journal, "a")
    assert journal.finish([(row, outcome(row))], specs="d", now=LATER) == [True]


def test_a_version_takes_effect_once(journal: Journal) -> None:
    journal.receive([delivery("a", lane="1"), delivery("b", lane="1", partner="P2")])
    first, second = journal.claim("w", 2, 60, NOW).work
    with pytest.raises(Conflict):
        journal.finish([(first, outcome(first)), (second, outcome(second))], specs="d", now=NOW)
    assert journal.facts("P1", [NUMBER], []).versions == {}
    assert sent(journal) == []
    assert journal.finish([(first, outcome(first))], specs="d", now=NOW) == [True]
    with pytest.raises(Conflict):
        journal.finish([(second, outcome(second))], specs="d", now=NOW)
    assert journal.finish([(second, outcome(second, accepted=False))], specs="d", now=NOW) == [True]
    assert sorted(sent(journal)) == ["accepted", "refused", "request"]
    assert journal.verify().bad is None


def test_a_withdrawal_of_what_was_not_on_file_takes_no_other_version_that_came_meanwhile(journal: Journal) -> None:
    """Both are the first attempt of their number: the request would have been about the other's version."""
    original, late = bring(journal, "1", lane="1"), bring(journal, "2", lane="2")
    journal.finish([(original, outcome(original))], specs="s", now=NOW)
    withdrawal = outcome(late, version=2, attempt=1, nature=Nature.WITHDRAWAL)
    with pytest.raises(Conflict):
        journal.finish([(late, withdrawal)], specs="s", now=NOW)


def test_a_reference_is_taken_once_by_an_accepted_message(journal: Journal) -> None:
    journal.receive([delivery(uid, lane=uid) for uid in "abc"])
    rows = journal.claim("w", 3, 60, NOW).work
    outcomes = [
        outcome(rows[0], number="1", reference="R"),
        outcome(rows[1], number="2", reference="R"),
        outcome(rows[2], number="3", reference="R", accepted=False),
    ]
    with pytest.raises(Conflict):
        journal.finish(list(zip(rows, outcomes, strict=True)), specs="d", now=NOW)
    journal.finish([(rows[0], outcomes[0])], specs="d", now=NOW)
    with pytest.raises(Conflict):
        journal.finish([(rows[1], outcomes[1])], specs="d", now=NOW)
    assert journal.finish([(rows[2], outcomes[2])], specs="d", now=NOW) == [True]
    assert journal.facts("P1", [], numbered("R")).references["P1", *numbered("R")].transmission == rows[0].id


def test_a_reference_under_which_nothing_was_accepted_stays_free(journal: Journal) -> None:
    journal.receive([delivery(uid, lane=uid) for uid in "abcd"])
    rows = journal.claim("w", 4, 60, NOW).work
    for row in rows[:2]:
        journal.finish([(row, outcome(row, number="1", reference="R", accepted=False))], specs="d", now=NOW)
        assert journal.facts("P1", [], numbered("R")).references == {
            ("P1", *numbered("R")): Reference(row.digest, row.id, False)
        }
    for row, number in ((rows[2], "2"), (rows[3], "3")):
        accepted = outcome(row, number=number, reference="R")
        if row is rows[2]:
            assert journal.finish([(row, accepted)], specs="d", now=NOW) == [True]
        else:
            with pytest.raises(Conflict):
                journal.finish([(row, accepted)], specs="d", now=NOW)
        used = journal.facts("P1", [], numbered("R")).references
        assert used == {("P1", *numbered("R")): Reference(rows[2].digest, rows[2].id, True)}


def test_what_is_given_back_rests_and_has_been_tried(journal: Journal) -> None:
    journal.receive([delivery("a"), delivery("b", lane="b")])
    bad, good = journal.claim("w", 2, 60, NOW).work
    journal.give_back([bad], NOW + timedelta(seconds=1))
    assert journal.finish([(good, outcome(good))], specs="d", now=NOW) == [True]
    assert journal.finish([(bad, outcome(bad))], specs="d", now=NOW) == [False]
    assert not journal.claim("w", 2, 60, NOW)
    (again,) = journal.claim("w", 2, 60, NOW + timedelta(seconds=1)).work
    assert (again.id, again.attempts) == (bad.id, 2)


def test_workers_that_race_for_a_version_leave_one_winner(journal: Journal) -> None:
    journal.receive([delivery(str(n), partner=f"P{n}") for n in range(6)])
    rows = [claim_one(journal, f"w{n}") for n in range(6)]

    def finish(row: Claimed) -> bool:
        try:
            return journal.finish([(row, outcome(row))], specs="d", now=NOW) == [True]
        except Conflict:
            return False

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(finish, rows)) == [False] * 5 + [True]
    assert sorted(sent(journal)) == ["accepted", "request"]
    assert journal.verify().bad is None
