"""What goes out and when: in order, with fair shares, again on a resend; on SQLite and PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from core import limits
from core.transmission import stable_id
from gateway.journal import Journal, Settlement, inbox_id
from gateway.journal.outbox import FAILURES
from tests.support.journals import (
    LATER,
    NOW,
    NUMBER,
    accept,
    bring,
    delivery,
    numbered,
    outcome,
    outgoing,
    result,
    sent,
)

# ------------------------------------------------------------------------------------------------ resends


def test_a_resend_gets_the_stored_answers_with_their_ids_and_no_new_effect(journal: Journal) -> None:
    request = accept(journal)
    journal.settle([(result(journal, "r"), Settlement(request, "assessed", (outgoing("assessed", request),)))], now=NOW)
    before = [(item.id, item.body) for item in journal.due(10, NOW) if item.kind != "request"]
    assert sent(journal) == ["accepted", "assessed", "request"]
    resend = bring(journal, "again", body=b"a")
    assert journal.answer_again(resend, inbox_id("a"), LATER) == 2
    assert [(item.id, item.body) for item in journal.due(10, LATER)] == before
    assert journal.show(resend.id)["note"] == f"resend of {inbox_id('a')}"
    assert sent(journal) == ["accepted", "assessed"]
    assert journal.resend(inbox_id("a"), LATER) == 2
    assert journal.resend("f" * 32, LATER) == 0
    assert len(journal.facts("P1", [NUMBER], []).versions[NUMBER]) == 1


# ------------------------------------------------------------------------------------------------ dispatch


def load(journal: Journal, *destinations: str) -> list[str]:
    """Put one thing for each of the destinations into the outbox, in this order; return the ids."""
    uid = f"{destinations} {journal.head()}"
    row = bring(journal, uid)
    items = tuple(outgoing("accepted", uid, str(n), to=name) for n, name in enumerate(destinations))
    journal.finish([(row, outcome(row, accepted=False, answers=items))], specs="d", now=NOW)
    return [item.id for item in items]


def test_no_more_is_claimed_or_due_than_may_be_handled_in_one_go(journal: Journal) -> None:
    half, whole = b"x" * (limits.BATCH_BYTES // 2), b"x" * (limits.BATCH_BYTES * 4)
    sizes = {"a": half, "b": half, "c": half, "d": whole, "e": b"small"}
    journal.receive([delivery(uid, lane=uid, body=body) for uid, body in sizes.items()])
    claimed = []
    while work := journal.claim("w", 10, 60, NOW).work:
        claimed.append([row.uid for row in work])
        items = [
            (row, (replace(outgoing("accepted", row.id), body=row.body), outgoing("contrl", row.id))) for row in work
        ]
        journal.finish(
            [(row, outcome(row, accepted=False, answers=answers)) for row, answers in items], specs="d", now=NOW
        )
    assert claimed == [["a", "b"], ["c"], ["d"], ["e"]]
    gone = []
    while due := journal.due(100, NOW):
        gone.append(len(due))
        assert sum(len(item.body) for item in due) <= limits.BATCH_BYTES or len(due) == 1
        journal.mark_sent([item.id for item in due], NOW)
    assert sum(gone) == 2 * len(sizes)


def test_what_is_known_of_more_numbers_than_a_statement_takes_parameters(journal: Journal) -> None:
    row = bring(journal, "a")
    journal.finish([(row, outcome(row, reference="R7"))], specs="d", now=NOW)
    many = [f"{n:014}" for n in range(40_000)]
    register = journal.facts("P1", [*many, NUMBER], numbered(*many, "R7"))
    assert list(register.versions) == [NUMBER]
    assert list(register.references) == [("P1", *numbered("R7"))]
    assert journal.facts("P2", [], numbered(*many, "R7")).references == {}  # another partner's


def test_references_are_told_apart_by_every_character_and_by_partner(journal: Journal) -> None:
    odd = [
        "7",
        "007",
        "7.0",
        "1e3",
        "null",
        "",
        "'",
        '"',
        "\\",
        "\\u0000",
        "\0",
        "é",
        "e\u0301",
        "\U0001d11e",
        "[1]",
        " 7",
        "%s",
        "$[0]",
    ]
    for number, reference in enumerate(odd):
        row = bring(journal, str(number), partner=f"P{number % 2}", lane=str(number))
        journal.finish([(row, outcome(row, number=f"{number:014}", reference=reference))], specs="d", now=NOW)
    found = journal.facts_of([(f"P{n}", [], numbered(*odd, "07", "7 ")) for n in range(3)])
    assert [list(register.references) for register in found] == [
        [(f"P{n}", *numbered(reference)) for number, reference in enumerate(odd) if reference and number % 2 == n]
        for n in range(2)
    ] + [[]]


def test_due_is_in_order_and_fair(journal: Journal) -> None:
    ids = load(journal, *["out.A"] * 20, "out.B", "out.C", "out.C")
    due = journal.due(9, NOW)
    assert [item.destination for item in due] == ["out.A"] * 3 + ["out.B"] + ["out.C"] * 2
    assert [item.id for item in due if item.destination == "out.A"] == ids[:3]
    assert journal.mark_sent([ids[0], ids[1], "unknown"], NOW) == 2
    assert journal.mark_sent([ids[0]], NOW) == 0
    assert journal.due(1, NOW)[0].id == ids[2]
    assert [item.id for item in journal.due(100, NOW)] == ids[2:]


def test_large_answers_for_one_leave_room_for_the_others(journal: Journal) -> None:
    row = bring(journal, "a")
    large = [replace(outgoing("refused", str(n)), body=b"x" * limits.BATCH_BYTES) for n in range(3)]
    small = [outgoing("accepted", str(n), to=f"out.P{n}") for n in (2, 3)]
    journal.finish([(row, outcome(row, accepted=False, answers=(*large, *small)))], specs="d", now=NOW)
    assert [item.id for item in journal.due(100, NOW)] == [item.id for item in (large[0], *small)]


def test_a_dead_destination_rests_and_the_others_go_on(journal: Journal) -> None:
    dead = load(journal, "out.dead", "out.dead", "out.live")
    until = journal.postpone("out.dead", dead[:1], "no route", NOW)
    assert until is not None
    assert NOW < until <= NOW + timedelta(seconds=1)
    assert [item.destination for item in journal.due(10, NOW)] == ["out.live"]
    assert [item.attempts for item in journal.due(10, until)] == [1, 0, 0]
    again = journal.postpone("out.dead", dead[:1], "no route", until)
    assert again is not None
    assert again - until > timedelta(seconds=1)
    assert journal.counts(NOW)["destinations_paused"] == 1
    journal.mark_sent(dead[:1], again)
    assert journal.counts(NOW)["destinations_paused"] == 0


def test_a_destination_that_stays_dead_is_parked_and_unparked_in_order(journal: Journal) -> None:
    ids = load(journal, "out.dead", "out.dead", "out.live")
    results = [journal.postpone("out.dead", ids[:2], f"no route {n}", NOW) for n in range(FAILURES)]
    assert [until is None for until in results] == [False] * (FAILURES - 1) + [True]
    more = load(journal, "out.dead")
    assert [item.destination for item in journal.due(10, NOW + timedelta(days=9))] == ["out.live"]
    dead, live = journal.destinations()
    assert (dead["name"], dead["waiting"], dead["failures"], dead["oldest"]) == ("out.dead", 3, FAILURES, NOW)
    assert dead["error"] == f"no route {FAILURES - 1}"
    assert (live["parked_at"], live["failures"]) == (None, 0)
    assert journal.counts(NOW)["destinations_parked"] == 1
    assert journal.unpark("out.dead", NOW) == 3
    assert [item.id for item in journal.due(10, NOW) if item.destination == "out.dead"] == [*ids[:2], *more]
    assert journal.unpark("out.unheard", NOW) == 0


def test_each_time_that_an_answer_was_sent_stays_in_the_life_of_its_message(journal: Journal) -> None:
    """Sent, sent again by an operator, by its sender's resend and by the answer's id: four times in the audit."""
    row = bring(journal, "a")
    journal.finish([(row, outcome(row, accepted=False))], specs="d", now=NOW)
    sent(journal)
    again = bring(journal, "again")
    for step in (
        lambda: journal.resend(row.id, NOW),
        lambda: journal.answer_again(again, row.id, NOW),
        lambda: journal.resend_answers([stable_id("refused", row.id)], "Jo", NOW),
    ):
        assert step() == 1
        sent(journal)
    assert journal.resend(row.id, NOW) == 1
    life = journal.show(row.id)
    assert life is not None
    told = [link["detail"]["sent"] for link in life["audit"] if link["event"] == "sent"]
    assert told == [[[stable_id("refused", row.id), "out.P1"]]] * 4


def test_what_was_closed_while_it_was_on_its_way_was_sent_nevertheless(journal: Journal) -> None:
    row = bring(journal, "a")
    journal.finish([(row, outcome(row, accepted=False))], specs="d", now=NOW)
    (item,) = journal.due(10, NOW)
    assert journal.close_answers([item.id], "Jo", "by hand", NOW) == 1
    assert journal.mark_sent([item.id], LATER) == 1
    assert journal.mark_sent([item.id], LATER) == 0
    life = journal.show(row.id)
    assert life is not None
    (answer,) = life["outbox"]
    assert (answer["closed_at"], answer["sent_at"], answer["attempts"]) == (NOW, LATER, 1)
    assert [link["event"] for link in life["audit"]][-2:] == ["answer closed", "sent"]
    assert journal.verify().bad is None


def test_so_many_answers_may_be_named_as_there_are(journal: Journal) -> None:
    """More than a statement may have parameters."""
    many = [f"{n:032x}" for n in range(300_000)]
    assert journal.resend_answers(many, "Jo", NOW) == 0
    assert journal.resend_requests(many, "Jo", NOW) == 0
    assert journal.close_answers(many, "Jo", "why", NOW) == 0
