"""What was known when a message was judged, on SQLite and PostgreSQL; replays kept beside what took effect."""

from __future__ import annotations

import json
from datetime import timedelta

from core.declaration import Nature
from core.transmission import stable_id
from gateway.journal import Claimed, Execution, Journal, Recorded, Selection, Settlement
from tests.support.journals import NOW, NUMBER, bring, claim_one, delivery, numbered, outcome, outgoing

MINUTE = timedelta(minutes=1)


def judge(journal: Journal, uid: str, minute: int, **more: object) -> Claimed:
    """Bring a transmission and finish it in a minute of its own."""
    row = bring(journal, uid)
    assert journal.finish([(row, outcome(row, **more))], specs="d", now=NOW + minute * MINUTE) == [True]  # type: ignore[arg-type]
    return row


def settle(journal: Journal, request: str, status: str, minute: int) -> None:
    assert journal.receive([delivery(f"{request} {status}", channel="assessment", lane=f"{request} {status}")])
    (row,) = journal.claim("w", 1, 60, NOW).work
    assert journal.settle([(row, Settlement(request, status))], now=NOW + minute * MINUTE) == [True]


def rows(journal: Journal) -> dict[str, Recorded]:
    found = [sequence for sequence, _ in journal.selected(Selection())]
    return {row.body.decode(): row for row in journal.recorded(found)}


def statuses(journal: Journal, uid: str) -> list[tuple[int, str]]:
    (register,) = journal.facts_then([(rows(journal)[uid], [NUMBER], [])])
    return [(fact.version, fact.status) for fact in register.attempts(NUMBER)]


def test_a_version_is_known_with_the_status_that_it_had(journal: Journal) -> None:
    first = judge(journal, "first", 0)
    judge(journal, "second", 2, accepted=False)
    settle(journal, stable_id("request", first.id), "pending", 4)
    judge(journal, "third", 6, accepted=False)
    settle(journal, stable_id("request", first.id), "assessed", 8)
    last = judge(journal, "fourth", 10, version=2, nature=Nature.CORRECTION)
    settle(journal, stable_id("request", last.id), "refused", 12)
    judge(journal, "fifth", 14, accepted=False)
    assert statuses(journal, "first") == []
    assert statuses(journal, "second") == [(1, "accepted")]
    assert statuses(journal, "third") == [(1, "pending")]
    assert statuses(journal, "fourth") == [(1, "assessed")]
    assert statuses(journal, "fifth") == [(1, "assessed"), (2, "refused")]


def test_a_withdrawal_that_is_not_granted_leaves_the_version_and_one_that_is_ends_it(journal: Journal) -> None:
    first = judge(journal, "first", 0)
    settle(journal, stable_id("request", first.id), "assessed", 1)
    wish = judge(journal, "wish", 2, nature=Nature.WITHDRAWAL)
    settle(journal, stable_id("request", wish.id), "pending", 4)
    judge(journal, "between", 6, accepted=False)
    settle(journal, stable_id("request", wish.id), "withdrawn", 8)
    judge(journal, "after", 10, accepted=False)
    assert statuses(journal, "between") == [(1, "assessed")]
    assert statuses(journal, "after") == [(1, "withdrawn")]
    assert [waiting(journal, uid) for uid in ("wish", "between", "after")] == [False, True, False]
    another = judge(journal, "another", 12, version=2, nature=Nature.CORRECTION)
    settle(journal, stable_id("request", another.id), "assessed", 13)
    again = judge(journal, "again", 14, version=2, nature=Nature.WITHDRAWAL)
    settle(journal, stable_id("request", again.id), "refused", 16)
    judge(journal, "last", 18, accepted=False)
    assert [waiting(journal, uid) for uid in ("again", "last")] == [False, False]


def waiting(journal: Journal, uid: str) -> bool:
    """Tell whether the latest version was waiting for the engine's word on its withdrawal."""
    (register,) = journal.facts_then([(rows(journal)[uid], [NUMBER], [])])
    return register.attempts(NUMBER)[-1].withdrawal


def test_what_was_parked_and_came_late_was_not_known_before(journal: Journal) -> None:
    """The order of the verdicts counts, not that of receipt."""
    row = bring(journal, "early")
    journal.park([(row, "too many attempts", ())], now=NOW)
    judge(journal, "other", 2, accepted=False)
    assert journal.release_parked(row.sequence, "Jo", NOW + 3 * MINUTE)
    again = claim_one(journal)
    assert (again.sequence, again.attempts) == (row.sequence, 1)
    journal.finish([(again, outcome(again))], specs="d", now=NOW + 4 * MINUTE)
    assert statuses(journal, "other") == []
    judge(journal, "late", 6, accepted=False)
    assert statuses(journal, "late") == [(1, "accepted")]
    assert not journal.release_parked(row.sequence, "Jo", NOW), "it is not parked any more"


def used(journal: Journal, uid: str) -> dict[str, str]:
    (register,) = journal.facts_then([(rows(journal)[uid], [], numbered("R"))])
    return {json.loads(name)[-1]: used.digest for (_, name), used in register.references.items() if used.accepted}


def test_a_reference_counts_once_something_else_was_accepted_under_it(journal: Journal) -> None:
    judge(journal, "tried", 0, reference="R", accepted=False)
    first = judge(journal, "first", 2, reference="R")
    judge(journal, "other", 4, reference="R", accepted=False)
    assert used(journal, "tried") == {}
    assert used(journal, "first") == {}
    assert used(journal, "other") == {"R": first.digest}


def test_what_was_not_judged_knows_what_is_known_now(journal: Journal) -> None:
    judge(journal, "first", 0)
    journal.receive([delivery("waiting")])
    assert rows(journal)["waiting"].judged_at is None
    assert statuses(journal, "waiting") == [(1, "accepted")]


def test_selections_go_on_behind_what_was_seen_and_tell_sizes(journal: Journal) -> None:
    journal.receive([delivery(f"m{n:02}", lane=str(n), received_at=NOW + n * MINUTE) for n in range(10)])
    journal.receive([delivery("result", channel="assessment", lane="r")])
    first = journal.selected(Selection(), limit=4)
    rest = journal.selected(Selection(), after=first[-1][0])
    assert [size for _, size in (*first, *rest)] == [3] * 10
    half = Selection(since=NOW + 2 * MINUTE, until=NOW + 5 * MINUTE)
    assert (len(journal.selected(half)), journal.count_selected(half)) == (3, 3)


def test_a_replay_is_kept_and_its_answers_are_sent_once(journal: Journal) -> None:
    row = judge(journal, "first", 0)
    recorded = rows(journal)["first"]
    id_ = stable_id("replay")
    made = outcome(row, answers=(outgoing("accepted", id_), outgoing("request", id_, to="assessment.requests")))
    made = type(made)(type(row.received)(id_, "P1", row.body, NOW), made.syntax, made.judged, made.outgoing)
    before = len(journal.due(100, NOW))
    assert journal.keep_execution(Execution(recorded.sequence, row.id, "Jo", "d", made, True), NOW) == id_
    assert len(journal.due(100, NOW)) == before
    kept = journal.execution(id_[:12])
    assert kept is not None
    assert [each["kind"] for each in kept["answers"]] == ["accepted"]
    assert journal.resend(row.id, NOW) == 1, "a resend is of the first answers only"
    assert journal.send_execution(id_, "Jo", NOW) == 1
    assert journal.send_execution(id_, "Jo", NOW) == 0
    assert sum(item.id == stable_id("accepted", id_) for item in journal.due(100, NOW)) == 1
    assert journal.verify().bad is None
    assert journal.execution("zzz") is None
