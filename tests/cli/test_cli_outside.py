"""Commands and what is outside of them: files, outputs, queues, signals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.errors import GatewayError
from gateway.cli import demo
from gateway.journal import Journal
from tests.support.cli import FAULTY, ORIGINAL, XML, one_line
from tests.support.desk import Run
from tests.support.house import House, as_user, house, settings_in
from tests.support.way import HOME, SAMPLES

# ------------------------------------------------------------------------------------------------ files and outputs


@pytest.mark.parametrize(
    "arguments",
    [
        ["explain", ""],
        ["explain", ORIGINAL, ""],
        ["check", ""],
        ["diff", ORIGINAL, ""],
        ["show", ""],
        ["replay", "--id", ""],
        ["replay", "--id="],
        ["parked", "show", ""],
    ],
    ids=" ".join,
)
def test_an_empty_argument_is_one_line(run: Run, gateway: House, tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "here.edi").write_bytes(Path(ORIGINAL).read_bytes())
    gateway.send("maple", b"noise")
    gateway.settle_down()
    assert "an argument is empty" in one_line(run(*arguments))


@pytest.mark.parametrize("command", ["check", "explain"])
def test_what_is_hidden_in_a_folder_is_not_judged(run: Run, tmp_path: Path, command: str) -> None:
    folder = tmp_path / ".kept" / "messages"
    (folder / ".git").mkdir(parents=True)
    for name in (".noise", ".git/noise"):
        (folder / name).write_bytes(b"noise")
    assert "there is no message" in one_line(run(command, folder))
    (folder / "good.edi").write_bytes(Path(ORIGINAL).read_bytes())
    assert run(command, folder).exit_code == 0
    assert run(command, folder / ".noise").exit_code == 1  # named, it is meant


@pytest.mark.parametrize(("arguments", "out"), [
    ("list", ">&-"), ("explain CAD-0101", ">&-"), ("--help", ">&-"), ("explain CAD-0101", ">/dev/full"),
    ("--help", ">/dev/full"), ("list", ">/dev/full"),
])  # fmt: skip
def test_an_output_that_cannot_be_written_is_one_line(gateway: House, tmp_path: Path, arguments: str, out: str) -> None:
    environment = {**os.environ, "GATEWAY_DATABASE_URL": settings_in(tmp_path).database_url}
    command = ["sh", "-c", f'"$0" -m gateway {arguments} {out}', sys.executable]
    done = subprocess.run(command, cwd=HOME, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("gateway: standard output cannot be written: ")


def test_a_run_whose_folder_cannot_be_made_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").write_text("in the way")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GatewayError, match=r"run/demo cannot be made anew: .*"):
        demo.main()


@pytest.mark.parametrize("command", [["list"], ["show", "abc"], ["replay", "--id", "abc"]], ids=" ".join)
def test_a_journal_that_sqlite_cannot_write_beside_is_told_with_its_folder(
    run: Run, tmp_path: Path, command: list[str]
) -> None:
    with house(tmp_path):
        pass
    (tmp_path / "gateway.sqlite3-wal").mkdir()  # as a folder that cannot be written, for whoever may write everywhere
    assert f"its folder {tmp_path}" in one_line(run(*command))


def test_doctor_calls_no_queue_well_that_cannot_be_written(
    run: Run, gateway: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("doctor").exit_code == 0
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    ill = run("doctor")
    assert ill.exit_code == 1
    assert f"{tmp_path} cannot be written" in " ".join(ill.stdout.split())


# ------------------------------------------------------------------------------------------------ send, serve


def test_send_needs_a_partner_and_a_queue(run: Run) -> None:
    assert "maple" in one_line(run("send", ORIGINAL, "--as", "nobody"))
    assert "doctor --declare" in one_line(run("send", ORIGINAL, "--as", "maple"))


@pytest.mark.parametrize("url", ["amqp://guest:guest@127.0.0.1:1//", "amqp://127.0.0.1:1/;amqp://maple@127.0.0.1:1/"])
def test_who_is_logged_in_as_another_sends_nothing(run: Run, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    told = r"gateway: you are logged in as guest.*; maple's messages must come from the user maple: see docs"
    monkeypatch.setenv("GATEWAY_BROKER_URL", url)
    assert re.match(told, one_line(run("send", ORIGINAL, "--as", "maple")))
    assert re.match(told, one_line(run("smoke", "--broker", url, "--as", "maple")))


def test_send_without_waiting_only_sends(run: Run, gateway: House) -> None:
    assert run("send", ORIGINAL, "--as", "maple").exit_code == 0
    gateway.settle_down()
    assert len(gateway.answers("maple")) == 4


@pytest.mark.parametrize(
    ("file", "partner", "code", "last", "verdict"),
    [
        (ORIGINAL, "maple", 0, "assessed", r"assessed; 12345000000023 version 00001"),
        (XML, "erable", 0, "assessed", r"assessed; \d{14} version 00001"),
        (FAULTY["xml"], "erable", 1, "refused", r"refused; (\d{14} version 00001; )?[A-Z]{3}-\d{4}, .*"),
        (str(SAMPLES / "refused/syntax.edi"), "maple", 1, "contrl", r"refused"),
    ],
)
def test_send_and_wait_prints_the_answers_and_ends_with_the_verdict(
    run: Run, gateway: House, file: str, partner: str, code: int, last: str, verdict: str
) -> None:
    with gateway.at_work():
        result = run("send", file, "--as", partner, "--wait", "--seconds", "20")
    assert result.exit_code == code, result.output
    kinds = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("--- ")]
    assert kinds[0] == "receipt"
    assert kinds[-1] == last
    assert re.fullmatch(f"verdict: {verdict}", result.stdout.splitlines()[-1])


def test_the_verdict_is_in_french_where_that_is_asked_for(run: Run, gateway: House) -> None:
    with gateway.at_work():
        told = run("send", ORIGINAL, "--as", "maple", "--wait", "--seconds", "20", "--lang", "fr").stdout
    assert told.splitlines()[-1] == "verdict : cotisé; 12345000000023 version 00001"


def test_send_and_wait_knows_the_refusal_of_an_unproven_sender_as_its_own(run: Run, gateway: House) -> None:
    as_user(gateway, "erable")
    with gateway.at_work():
        result = run("send", ORIGINAL, "--as", "maple", "--wait", "--seconds", "20")
    assert result.exit_code == 1
    assert "GTW-0013" in result.stdout
    assert "another message" not in result.stdout


def test_send_and_wait_names_the_message_as_show_knows_it(run: Run, gateway: House) -> None:
    with gateway.at_work():
        sent = run("send", ORIGINAL, "--as", "maple", "--wait", "--seconds", "20")
    (command,) = [line.partition(": gateway ")[2] for line in sent.stdout.splitlines() if ": gateway show" in line]
    assert "12345000000023" in run(*command.split()).stdout


def test_send_and_wait_for_nobody_ends(run: Run, gateway: House) -> None:
    result = run("send", ORIGINAL, "--as", "maple", "--wait", "--seconds", "0.2")
    assert result.exit_code == 1
    assert "no final answer" in result.stderr
    assert "no receipt: does a gateway run" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_stops_in_order(tmp_path: Path, number: signal.Signals) -> None:
    settings = settings_in(tmp_path)
    environment = {
        **os.environ,
        "GATEWAY_BROKER_URL": settings.broker_url,
        "GATEWAY_DATABASE_URL": settings.database_url,
        "GATEWAY_LOG": "json",
    }
    with (tmp_path / "log").open("wb") as log:
        command = [sys.executable, "-m", "gateway", "serve"]
        process = subprocess.Popen(command, cwd=HOME, env=environment, stderr=log, start_new_session=True)
    try:
        end = time.monotonic() + 60
        while b'"serving"' not in (tmp_path / "log").read_bytes() and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.5)
        os.killpg(process.pid, number) if number is signal.SIGINT else process.send_signal(number)
        assert process.wait(60) == 0
    finally:
        process.kill()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert lines[0]["loop"] == "receive work-1 work-2 retry dispatch"
    assert (lines[0]["database"], lines[0]["broker"]) == (settings.database_url, settings.broker_url)
    events = [line["event"] for line in lines]
    assert events[0] == "serving"
    assert events[-1] == "stopped"
    Journal.open(settings.database_url).check()
