"""Requests and answers that went out: found when nothing comes back, sent again with their id, ended by an operator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.assessment import Amounts
from gateway import service
from gateway.queues import Letter
from routing.assessment import write_result
from routing.routes import RESULTS
from tests.support.desk import Run, runner
from tests.support.house import House, house, kinds
from tests.support.sending import ORIGINAL, edifact, messages, number
from tests.support.way import PARTNERS, SAMPLES
from tests.way.test_way_acknowledgements import contrl, later, reference


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as opened:
        yield opened


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(tmp_path, monkeypatch)


def sent(gateway: House, *bodies: bytes) -> None:
    """Have declarations accepted and their requests sent, with no engine."""
    gateway.send("maple", *bodies)
    while gateway.receive() + gateway.work() + gateway.dispatch():
        pass


def listed(run: Run, *words: str) -> list[dict[str, Any]]:
    done = run(*words, "--format", "json")
    assert done.exit_code == 0, done.output
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def audit(gateway: House, event: str) -> list[Any]:
    return [one.detail for one in gateway.journal.events(0, 1000) if one.event == event]


# ------------------------------------------------------------------------------------------------ requests


def test_a_request_that_was_lost_is_found_and_sent_again_with_its_id(gateway: House, run: Run) -> None:
    sent(gateway, ORIGINAL)
    (lost,) = gateway.taken("assessment.requests")
    (row,) = listed(run, "requests", "list")
    assert (row["id"], row["status"], row["partner"]) == (lost.message_id, "accepted", "maple")
    assert "unanswered" in run("requests", "list").output
    assert gateway.journal.counts(service.now())["requests_unsettled"] == 1
    done = run("requests", "resend", row["id"][:12], "--operator", "Jo Tremblay")
    assert (done.exit_code, done.output) == (0, "1 requests go out again\n")
    gateway.dispatch()
    (again,) = gateway.taken("assessment.requests")
    assert (again.message_id, again.body) == (lost.message_id, lost.body)
    assert audit(gateway, "request resent") == [{"id": row["id"], "operator": "Jo Tremblay"}]
    assert gateway.journal.verify().bad is None
    gateway.broker.publish([Letter(again.message_id or "", again.queue, "", again.body)])
    gateway.settle_down()
    assert listed(run, "requests", "list") == []
    assert gateway.journal.counts(service.now())["requests_oldest_seconds"] == 0


def test_what_the_engine_has_decided_on_or_what_was_not_sent_is_not_sent_again(gateway: House, run: Run) -> None:
    sent(gateway, ORIGINAL)
    gateway.settle_down()
    assert run("requests", "resend", "--all").exit_code == 1
    gateway.send("maple", edifact("NEXT", number(60)))
    gateway.receive()
    gateway.work()
    assert "waits" in run("requests", "list").output
    assert run("requests", "resend", "--all").exit_code == 1
    assert audit(gateway, "request resent") == []


def test_only_what_is_old_enough_is_chosen(gateway: House, run: Run) -> None:
    sent(gateway, ORIGINAL)
    assert listed(run, "requests", "list", "--minutes", "5") == []
    assert run("requests", "resend", "--minutes", "5").exit_code == 1


@pytest.mark.parametrize("words", [("resend",), ("resend", "abc", "--all"), ("resend", "--minutes", "0")])
def test_bad_usage_of_requests_is_one_line(gateway: House, run: Run, words: tuple[str, ...]) -> None:
    done = run("requests", *words)
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)


# ------------------------------------------------------------------------------------------------ answers


def test_answers_that_a_broker_lost_go_out_again_as_they_were(gateway: House, run: Run) -> None:
    sent(gateway, ORIGINAL)
    lost = {one.message_id: one.body for one in gateway.answers("maple")}
    assert run("answers", "resend", "--partner", "erable").exit_code == 1
    assert run("answers", "resend", "--destination", "out.maple", "--since", "2020-01-01").exit_code == 0
    gateway.dispatch()
    assert {one.message_id: one.body for one in gateway.answers("maple")} == lost
    assert len(audit(gateway, "answer resent")) == len(lost)
    assert not gateway.taken("assessment.requests")[1:]


def test_the_acknowledgements_of_who_left_or_no_longer_agrees_can_be_ended(gateway: House, run: Run) -> None:
    sent(gateway, ORIGINAL)
    answers = {one.headers["kind"]: one for one in gateway.answers("maple")}
    assert gateway.journal.counts(later())["answers_unacknowledged"] > 0
    assert {row["state"] for row in listed(run, "answers", "list")} == {"awaits CONTRL"}
    assert run("answers", "close", "--partner", "maple").exit_code == 2  # without a reason
    assert run("answers", "close", "--partner", "maple", "--why", "no CONTRL any more").exit_code == 0
    assert gateway.journal.counts(later())["answers_unacknowledged"] == 0
    assert gateway.journal.unacknowledged(later()) == []
    assert listed(run, "answers", "list") == []
    (closed, *_) = audit(gateway, "answer closed")
    assert closed["why"] == "no CONTRL any more"
    assert "closed by an operator" in run("show", messages(gateway)[0]["id"]).output
    # Its word counts all the same, should it come.
    gateway.send("maple", contrl(reference(answers["accepted"]), "4"))
    gateway.settle_down()
    assert gateway.journal.counts(later())["answers_rejected"] == 1


def test_what_waits_for_a_partner_who_left_can_be_ended_and_its_destination_with_it(gateway: House, run: Run) -> None:
    with gateway.broker.channel() as channel:
        channel.queue_delete("out.maple")
    sent(gateway, ORIGINAL)
    assert gateway.journal.counts(service.now())["destinations_paused"] == 1
    shown = run("destinations").output
    assert "out.maple" in shown
    assert " s " in shown  # in how many seconds it is tried next
    assert run("answers", "close", "--destination", "out.maple", "--why", "it left").exit_code == 0
    counts = gateway.journal.counts(later())
    assert [counts[name] for name in ("outbox", "outbox_parked", "destinations_paused", "destinations_parked")] == [
        0
    ] * 4
    assert counts["outbox_oldest_seconds"] == counts["answers_unacknowledged"] == 0
    assert gateway.journal.destinations() == []
    assert gateway.dispatch() == 0
    assert gateway.journal.verify().bad is None
    # Whoever comes back and sends the same again is answered.
    gateway.broker.declare(["out.maple"])
    sent(gateway, ORIGINAL)
    assert "receipt" in kinds(gateway.answers("maple"))


def test_answers_are_named_or_chosen(gateway: House, run: Run) -> None:
    for words in (("resend",), ("close", "--why", "x"), ("close", "--partner", "maple", "--why", " ")):
        done = run("answers", *words)
        assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)


def leaves(gateway: House) -> None:
    gateway.partners = {name: one for name, one in PARTNERS.items() if name != "maple"}


def test_the_engines_word_on_a_leavers_message_is_answered_as_long_as_its_queue_is_there(
    gateway: House, run: Run
) -> None:
    sent(gateway, ORIGINAL)
    leaves(gateway)
    gateway.settle_down()
    assert kinds(gateway.taken("out.maple")) == ["receipt", "contrl", "accepted", "assessed"]
    assert listed(run, "requests", "list") == []


def test_a_leavers_answer_without_a_queue_stays_visible_until_it_is_closed(gateway: House, run: Run) -> None:
    sent(gateway, ORIGINAL)
    leaves(gateway)
    with gateway.broker.channel() as channel:
        channel.queue_delete("out.maple")
    gateway.settle_down()
    *_, answer = listed(run, "answers", "list", "--partner", "maple")
    assert (answer["kind"], answer["destination"], answer["state"]) == ("assessed", "out.maple", "waits")
    assert "out.maple" in run("destinations").output
    assert run("answers", "close", "--partner", "maple", "--why", "told by telephone").exit_code == 0
    assert listed(run, "answers", "list") == gateway.journal.destinations() == []


def test_what_a_leaver_sent_before_is_refused_and_answered(gateway: House) -> None:
    """It had its receipt, and never heard more."""
    gateway.send("maple", ORIGINAL)
    gateway.receive()
    leaves(gateway)
    gateway.settle_down()
    receipt, refused = gateway.taken("out.maple")
    assert [receipt.headers["kind"], refused.headers["kind"]] == ["receipt", "refused"]
    assert b"GTW-0006" in refused.body


# ------------------------------------------------------------------------------------------------ parked


def misfit(gateway: House) -> str:
    """Have the engine say something that does not fit its request, and return the parked result's id."""
    (request,) = gateway.taken("assessment.requests")
    asked = json.loads(request.body)
    amounts = dict.fromkeys(Amounts._fields, "0.00")
    result = {
        "contract": "1.1", "message_id": request.message_id,
        "transaction_number": number(99), "version": asked["version"],
        "outcome": "approved", "lines": [], "totals": amounts, "payment_due": None, "reasons": [],
    }  # fmt: skip
    gateway.broker.publish([Letter("wrong", RESULTS, "application/json", write_result(result))])
    gateway.receive()
    gateway.work()
    (row,) = gateway.journal.list_messages(state="parked", channel="assessment")
    return str(row["id"])


def test_a_parked_result_is_shown_with_its_request_and_acted_on_by_selection(gateway: House, run: Run) -> None:
    sent(gateway, ORIGINAL)
    id_ = misfit(gateway)
    assert "the engine" in run("parked", "list").output
    assert listed(run, "parked", "list", "--from", "partners") == []
    shown = run("parked", "show", id_).output
    assert number(99) in shown
    assert "asked for maple's message" in shown
    assert "does not fit its request" in shown
    assert run("parked", "release", "--from", "engine", "--because", "FITS NOT").exit_code == 0
    assert run("parked", "list").output.splitlines()[-1] == "1 parked"
    assert "released" in run("parked", "release", "--from", "engine", "--because", "does not fit").output
    gateway.work()
    done = run("parked", "refuse", "--from", "engine", "the engine is told")
    assert "nobody is told" in done.output
    assert gateway.journal.counts(service.now())["parked"] == 0


@pytest.mark.parametrize(
    "words", [("release",), ("release", "abc", "--all"), ("refuse", "why"), ("release", "--from", "x")]
)
def test_bad_usage_of_parked_is_one_line(gateway: House, run: Run, words: tuple[str, ...]) -> None:
    done = run("parked", *words)
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)


# ------------------------------------------------------------------------------------------------ dead letters, doctor


def test_a_dead_letter_that_goes_back_stands_in_the_audit(gateway: House, run: Run) -> None:
    gateway.send("maple", ORIGINAL, ids=("m1",))
    (letter,) = gateway.intake.receive(1)
    letter.reject(requeue=False)
    assert run("dead", "requeue", "--all", "--operator", "Jo Tremblay").exit_code == 0
    (told,) = audit(gateway, "dead letter requeued")
    assert (told["operator"], told["queue"], told["why"], told["message_id"]) == (
        "Jo Tremblay", "in.maple", "rejected", "m1",
    )  # fmt: skip
    assert "dead letter requeued" in run("show", messages(gateway)[0]["id"]).output
    assert gateway.journal.verify().bad is None


def test_doctor_names_partners_who_left_and_what_they_left(
    gateway: House, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent(gateway, ORIGINAL)
    gateway.send("maple", edifact("LATE", number(61)))
    text = (SAMPLES / "partners.toml").read_text("utf-8")
    tables = text.split("[[partner]]")
    without = "[[partner]]".join(one for one in tables if 'id = "maple"' not in one)
    (tmp_path / "partners.toml").write_text(without, "utf-8")
    monkeypatch.setenv("GATEWAY_PARTNERS", str(tmp_path / "partners.toml"))
    told = run("doctor").output
    assert "no longer in the file: maple" in " ".join(told.split())
