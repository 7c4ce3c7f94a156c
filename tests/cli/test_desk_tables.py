"""Operators' tables at 80, 100 and 120 columns, in both languages: what a person copies is whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import service
from gateway.desk.words import EVENTS
from gateway.journal import Chosen
from gateway.queues import Letter
from tests.cli.test_french import french
from tests.cli.test_replay_parked import park
from tests.support.desk import Run, runner
from tests.support.house import house
from tests.support.queues import receive
from tests.support.way import SAMPLES

HOME = Path(__file__).parents[2]

ANSI = re.compile(r"\x1b\[[0-9;]*m")
WIDTHS = (80, 100, 120)
Scene = dict[str, set[str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr("gateway.desk.dead.NEXT_SECONDS", 0.1)
    monkeypatch.setattr("gateway.desk.dead.FIRST_SECONDS", 0.3)
    return runner(tmp_path, monkeypatch)


@pytest.fixture
def scene(tmp_path: Path, run: Run) -> Iterator[Scene]:
    """Make one of everything that waits for an operator; return what each command must show whole."""
    del run
    with house(tmp_path) as gateway:
        parked = park(gateway, "maple", (SAMPLES / "changes/ab-adjustment.edi").read_bytes())
        gateway.send("maple", (SAMPLES / "originals/v-voluntary.edi").read_bytes())
        while gateway.receive() + gateway.work() + gateway.dispatch():
            pass
        (request,) = gateway.journal.requests(Chosen(), 1)
        gateway.send("maple", (SAMPLES / "refused/many-faults.edi").read_bytes())
        gateway.receive()
        gateway.work()
        answers = gateway.journal.open_answers(Chosen(), service.now())
        gateway.journal.postpone("out.maple", [answers[0]["id"]], "ConnectionResetError: by peer", service.now())
        gateway.broker.publish([Letter("m1", "in.maple", "", b"lost")])
        with gateway.broker.consume(["in.maple"]) as intake:
            receive(intake, 1)[0].reject(requeue=False)
        yield {
            "parked list": {parked[:12]},
            "requests list": {request["id"][:12], request["transaction_number"]},
            "answers list": {answers[0]["id"][:12]},
            "dead list": {"in.maple"},
            "destinations": {"out.maple"},
            "doctor": set(),
            "partner list": {"maple", "erable"},
            "purge --dry-run": set(),
            "list": {parked[:12], request["transaction_number"]},
        }


def at(run: Run, monkeypatch: pytest.MonkeyPatch, width: int, command: str, lang: str) -> list[str]:
    """Return the lines that a command prints on a terminal of a width."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    told = run(*command.split(), "--lang", lang)
    assert told.exit_code in (0, 1), told.output
    return [line.rstrip() for line in ANSI.sub("", told.stdout).splitlines()]


@pytest.mark.parametrize("lang", ["en", "fr"])
def test_tables_fit_and_break_nothing_that_is_copied(
    scene: Scene, run: Run, monkeypatch: pytest.MonkeyPatch, lang: str
) -> None:
    for command, whole in scene.items():
        for width in WIDTHS:
            lines = at(run, monkeypatch, width, command, lang)
            assert [line for line in lines if len(line) > width] == [], (command, width)
            assert whole <= set(" ".join(lines).split()), (command, width)


def test_they_speak_french(scene: Scene, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in scene:
        lines = at(run, monkeypatch, 240, command, "fr")
        if command == "doctor":  # what is wrong is told in English, as in the log
            lines = [line for line in lines if "EN FAUTE" not in line]
        text = "\n".join(lines).replace("ConnectionResetError: by peer", "")
        french(re.sub(r"sqlite:\S+|\bfile\b", "", text))  # a queue is `file` in French


def test_every_event_about_a_message_has_words() -> None:
    """Those of the whole journal, which no message's life shows, need none."""
    sources = "".join(path.read_text("utf-8") for path in (HOME / "gateway/journal").glob("*.py"))
    written = set(re.findall(r'\(now, "([a-z ]+)"', sources)) | {"answer rejected", "dead letter requeued"}
    about_all = {"restored", "purged", "destination parked", "destination unparked"}
    assert written - about_all <= set(EVENTS)
    assert len(written) > 8
