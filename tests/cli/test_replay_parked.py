"""Parked messages: listed, shown with the reason, released, or refused with one; all of it under a name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core import limits
from gateway import pipeline, service
from gateway.queues import Letter
from tests.support.desk import Run, runner
from tests.support.house import House, house, kinds
from tests.support.way import SAMPLES

ORIGINAL = (SAMPLES / "originals/v-voluntary.edi").read_bytes()
XML = (SAMPLES / "originals/published-example.xml").read_bytes()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as opened:
        yield opened


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(tmp_path, monkeypatch)


def park(gateway: House, partner: str, body: bytes) -> str:
    """Let the pipeline fail on a message until it is parked; return its id."""
    with pytest.MonkeyPatch.context() as patch:
        moment = service.now
        ahead = [timedelta(0)]
        patch.setattr(service, "now", lambda: moment() + ahead[0])
        patch.setattr(pipeline, "judge", _fail)
        gateway.send(partner, body)
        gateway.receive()
        for _ in range(limits.ATTEMPTS + 1):
            gateway.work()
            ahead[0] += timedelta(seconds=service.AGAIN_SECONDS)
        gateway.dispatch()
    (row,) = gateway.journal.list_messages(state="parked", limit=1)
    return str(row["id"])


def _fail(*_: Any) -> Any:
    raise ValueError("secret")


def audit(gateway: House, id_: str, event: str) -> list[dict[str, Any]]:
    life = gateway.journal.show(id_)
    assert life is not None
    return [link["detail"] for link in life["audit"] if link["event"] == event]


def test_the_list_tells_why(gateway: House, run: Run) -> None:
    id_ = park(gateway, "maple", ORIGINAL)
    told = run("parked", "list").stdout
    assert id_[:12] in told
    assert "too many attempts" in told
    (row,) = json.loads(run("parked", "list", "--format", "json").stdout)
    assert (row["id"], row["note"]) == (id_, "too many attempts")


def test_show_tells_why_and_what_today_would_say(gateway: House, run: Run) -> None:
    told = run("parked", "show", park(gateway, "maple", ORIGINAL)[:8]).stdout
    assert "parked because: too many attempts" in told
    assert "today's pipeline would say: accepted" in told
    assert "from maple" in told


def test_show_when_the_pipeline_still_fails(gateway: House, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    id_ = park(gateway, "maple", ORIGINAL)
    monkeypatch.setattr(pipeline, "judge", _fail)
    told = run("parked", "show", id_).stdout
    assert "fails on it as well: ValueError" in told
    assert "secret" not in told


def test_released_it_is_handled_as_if_it_had_just_come(gateway: House, run: Run) -> None:
    id_ = park(gateway, "maple", ORIGINAL)
    gateway.answers("maple")
    result = run("parked", "release", id_[:12], "--operator", "Jo")
    assert (result.exit_code, result.stdout) == (0, f"released {id_}\n")
    gateway.settle_down()
    assert kinds(gateway.answers("maple")) == ["contrl", "accepted", "assessed"]
    assert audit(gateway, id_, "released") == [{"operator": "Jo"}]
    assert gateway.journal.verify().bad is None
    again = run("parked", "release", id_)
    assert (again.exit_code, again.stderr) == (2, f"gateway: {id_} is not parked but done\n")


@pytest.mark.parametrize(("partner", "body", "words"), [("maple", ORIGINAL, "An operator"), ("erable", XML, "Un op")])
def test_refused_the_sender_is_told_the_reason_in_its_own_syntax(
    gateway: House, run: Run, partner: str, body: bytes, words: str
) -> None:
    id_ = park(gateway, partner, body)
    gateway.answers(partner)
    result = run("parked", "refuse", id_, "Please split it in two", "--operator", "Jo")
    assert (result.exit_code, result.stdout) == (0, f"refused {id_}; the sender is told\n")
    gateway.settle_down()
    answers = gateway.answers(partner)
    (refusal,) = [each.body.decode() for each in answers if each.headers["kind"] == "refused"]
    joined = refusal.replace("?'", "'").replace("'FTX", "")
    assert "GTW-0014" in refusal
    assert words in refusal
    assert "split it in two" in joined
    assert refusal.startswith("UN") == (partner == "maple")
    (row,) = gateway.journal.list_messages(partner=partner)
    assert (row["state"], row["verdict"]) == ("done", "refused")
    (detail,) = audit(gateway, id_, "refused by operator")
    assert (detail["operator"], detail["why"]) == ("Jo", "Please split it in two")
    assert gateway.journal.verify().bad is None
    gateway.send(partner, body)
    gateway.settle_down()
    assert "accepted" in kinds(gateway.answers(partner)), "nothing was accepted under its reference: it may come again"


def test_what_cannot_even_be_read_is_refused_all_the_same(
    gateway: House, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = park(gateway, "maple", ORIGINAL)
    gateway.answers("maple")
    monkeypatch.setattr(pipeline, "parse", _fail)
    assert run("parked", "refuse", id_, "It breaks our reader").exit_code == 0
    monkeypatch.undo()
    gateway.dispatch()
    assert kinds(gateway.answers("maple")) == ["refused"]


def test_a_result_of_the_engine_is_closed_and_nobody_is_told(gateway: House, run: Run) -> None:
    gateway.broker.publish([Letter("r", "assessment.results", "application/json", b"{")])
    gateway.settle_down()
    (row,) = gateway.journal.list_messages(state="parked")
    assert "from the assessment engine" in run("parked", "show", row["id"]).stdout
    result = run("parked", "refuse", row["id"], "not JSON")
    assert result.stdout == f"refused {row['id']}; nobody is told\n"
    (row,) = gateway.journal.list_messages(channel="assessment")
    assert row["state"] == "done"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "zzz"), "no message has an id that starts with 'zzz'"),
        (("release", "zzz"), "no message has an id that starts with 'zzz'"),
        (("refuse", "zzz", " "), "the reason is empty"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(gateway: House, run: Run, arguments: tuple[str, ...], said: str) -> None:
    result = run("parked", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_without_a_name_it_is_the_users(gateway: House, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "desk7")
    id_ = park(gateway, "maple", ORIGINAL)
    run("parked", "release", id_)
    assert audit(gateway, id_, "released") == [{"operator": "desk7"}]
