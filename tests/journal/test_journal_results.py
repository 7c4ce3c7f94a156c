"""What the engine's word changes, once; on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import date

from core.declaration import Nature
from core.transmission import digest_of, stable_id
from gateway.journal import Journal, Settlement, inbox_id
from tests.support.journals import NOW, NUMBER, accept, delivery, numbered, outcome, outgoing, result, sent


def test_an_assessment_counts_once(journal: Journal) -> None:
    request = accept(journal)
    asked = journal.asked(request)
    assert asked is not None
    assert (asked.fact.declaration.transaction_number, asked.received.body, asked.ordinal) == (NUMBER, b"a", 1)
    assert asked.received.digest == digest_of(b"a")
    sent(journal)
    settled = Settlement(request, "assessed", (outgoing("assessed", request),), date(2026, 7, 1))
    first, second = result(journal, "r1"), result(journal, "r2")
    assert journal.settle([(first, settled), (second, settled)], now=NOW) == [True, False]
    assert journal.settle([(first, settled)], now=NOW) == [False]
    assert sent(journal) == ["assessed"]
    (fact,) = journal.facts("P1", [NUMBER], []).versions[NUMBER]
    assert (fact.status, fact.payment_due) == ("assessed", date(2026, 7, 1))
    life = journal.show(inbox_id("a"))
    assert [item["kind"] for item in life["outbox"]] == ["accepted", "request", "assessed"]
    assert life["requests"][0]["result"] == '{"outcome": "approved"}'
    assert [link["event"] for link in life["audit"]] == ["received", "judged", "sent", "settled", "sent"]
    request_and_verdict = next(one["detail"]["sent"] for one in life["audit"] if one["event"] == "sent")
    assert request_and_verdict == [[one["id"], one["destination"]] for one in life["outbox"][:2]]
    assert journal.show(inbox_id("r2"))["note"] == "repeats a result"


def test_a_result_without_a_request_has_no_effect(journal: Journal) -> None:
    row = result(journal, "r1")
    unknown = "f" * 32
    assert journal.asked(unknown) is None
    assert journal.settle([(row, Settlement(unknown, "assessed", (outgoing("assessed", "x"),)))], now=NOW) == [False]
    assert sent(journal) == []
    assert journal.show(row.id)["note"] == "answers no request of ours"
    assert journal.counts(NOW)["working"] == 0


def test_a_review_ends_once(journal: Journal) -> None:
    request = accept(journal)
    steps = [("pending", True), ("pending", False), ("assessed", True), ("pending", False), ("refused", False)]
    for n, (status, counts) in enumerate(steps):
        assert journal.settle([(result(journal, f"r{n}"), Settlement(request, status))], now=NOW) == [counts]
    (fact,) = journal.facts("P1", [NUMBER], []).versions[NUMBER]
    assert (fact.status, fact.payment_due) == ("assessed", date(2026, 6, 1))


def test_a_withdrawal_counts_when_it_is_granted(journal: Journal) -> None:
    original = accept(journal)
    refused = accept(journal, "b", nature=Nature.WITHDRAWAL)
    granted = accept(journal, "c", nature=Nature.WITHDRAWAL)
    asked = journal.asked(granted)
    assert asked is not None
    assert (asked.fact.nature, asked.received.body) == (Nature.WITHDRAWAL, b"c")

    def settle(uid: str, request: str, status: str) -> list[tuple[Nature, str]]:
        assert journal.settle([(result(journal, uid), Settlement(request, status))], now=NOW) == [True]
        return [(fact.nature, fact.status) for fact in journal.facts("P1", [NUMBER], []).versions[NUMBER]]

    def waits() -> list[bool]:
        return [fact.withdrawal for fact in journal.facts("P1", [NUMBER], []).versions[NUMBER]]

    assert waits() == [True]
    assert settle("r1", refused, "refused") == [(Nature.ORIGINAL, "accepted")]
    assert waits() == [True], "the other one"
    assert settle("r1a", granted, "pending") == [(Nature.ORIGINAL, "accepted")]
    assert waits() == [True]
    assert settle("r2", granted, "withdrawn") == [(Nature.ORIGINAL, "withdrawn")]
    assert settle("r3", original, "assessed") == [(Nature.ORIGINAL, "withdrawn")]
    assert waits() == [False]


def test_a_withdrawal_in_the_same_breath_as_its_original(journal: Journal) -> None:
    journal.receive([delivery("a", lane="1"), delivery("b", lane="2")])
    first, second = journal.claim("w", 2, 60, NOW).work
    both = [(first, outcome(first)), (second, outcome(second, nature=Nature.WITHDRAWAL))]
    assert journal.finish(both, specs="d", now=NOW) == [True, True]
    assert [fact.nature for fact in journal.facts("P1", [NUMBER], []).versions[NUMBER]] == [Nature.ORIGINAL]
    asked = journal.asked(stable_id("request", second.id))
    assert asked is not None
    assert asked.fact.nature is Nature.WITHDRAWAL


def test_a_withdrawal_of_what_is_not_on_file_is_kept_itself(journal: Journal) -> None:
    accept(journal, nature=Nature.WITHDRAWAL)
    assert [fact.nature for fact in journal.facts("P1", [NUMBER], []).versions[NUMBER]] == [Nature.WITHDRAWAL]


def test_a_refused_withdrawal_of_what_is_not_on_file_does_not_count(journal: Journal) -> None:
    request = accept(journal, nature=Nature.WITHDRAWAL)
    assert journal.settle([(result(journal, "r"), Settlement(request, "refused"))], now=NOW) == [True]
    register = journal.facts("P1", [NUMBER], [])
    assert [(fact.status, fact.withdrawal) for fact in register.attempts(NUMBER)] == [("refused", False)]
    assert register.history(NUMBER) == ()


def test_facts_for_many_are_the_facts_of_each(journal: Journal) -> None:
    journal.receive([delivery("a", lane="1"), delivery("b", lane="2", partner="P2")])
    first, second = journal.claim("w", 2, 60, NOW).work
    for row, number in ((first, "1"), (second, "2")):
        journal.finish([(row, outcome(row, number=number, reference="R"))], specs="d", now=NOW)
    asked = [
        ("P1", ["1", "2"], numbered("R")),
        ("P2", ["2"], numbered("R", "S")),
        ("P3", ["3"], numbered("R")),
        (None, [], []),
    ]
    assert journal.facts_of(asked) == [journal.facts(*one) for one in asked]
    used = [[one.transmission for one in register.references.values()] for register in journal.facts_of(asked)]
    assert used == [[first.id], [second.id], [], []]
    many = [f"{n:014}" for n in range(12_000)]
    assert list(journal.facts("P1", [*many, "1"], numbered(*many, "R")).references) == [("P1", *numbered("R"))]


def test_versions_are_in_the_order_of_their_acceptance(journal: Journal) -> None:
    for attempt, version in ((1, 2), (2, 10), (11, 1)):
        accept(journal, f"v{version}", version=version, attempt=attempt)
    found = journal.facts("P1", [NUMBER], []).versions[NUMBER]
    assert [(fact.attempt, fact.version) for fact in found] == [(1, 2), (2, 10), (11, 1)]


def test_every_attempt_has_its_own_row_and_the_engines_word_is_about_one_of_them(journal: Journal) -> None:
    requests = []
    for attempt, status in ((1, "refused"), (2, "refused"), (3, "assessed")):
        requests.append(accept(journal, f"try{attempt}", attempt=attempt))
        word = Settlement(requests[-1], status, payment_due=date(2026, 7, attempt))
        assert journal.settle([(result(journal, f"r{attempt}"), word)], now=NOW) == [True]
    found = journal.facts("P1", [NUMBER], []).attempts(NUMBER)
    assert [(fact.version, fact.status, fact.payment_due) for fact in found] == [
        (1, "refused", date(2026, 7, 1)),
        (1, "refused", date(2026, 7, 2)),
        (1, "assessed", date(2026, 7, 3)),
    ]
    assert [journal.asked(request).fact.attempt for request in requests] == [1, 2, 3]  # type: ignore[union-attr]
    life = journal.show(inbox_id("try2"))
    assert [(row["attempt"], row["version"], row["status"]) for row in life["declarations"]] == [(2, 1, "refused")]
    assert [(row["attempt"], row["version"]) for row in life["requests"]] == [(2, 1)]
