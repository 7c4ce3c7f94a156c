"""`gateway backup` and `gateway restore`: what is put back is what was there, and whoever looks is told the rest."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy

from gateway.files import hold
from gateway.journal import Journal
from gateway.queues import Letter, open_broker
from tests.support.cli import one_line
from tests.support.desk import Run, runner
from tests.support.house import house, kinds, settings_in
from tests.support.journals import delivery
from tests.support.sending import ORIGINAL, edifact, messages, number
from tests.support.way import HOME


def export(run: Run, heads: Path) -> None:
    with heads.open("a", encoding="utf-8") as file:
        file.write(run("export-audit-head").stdout)


@pytest.fixture
def recorded(tmp_path: Path, run: Run) -> Path:
    """Give the folder of a gateway that has done some work, and has messages and answers under way."""
    with house(tmp_path) as gateway:
        gateway.send("maple", ORIGINAL)
        gateway.settle_down()
        gateway.send("maple", edifact("REF1", number(10)))
        gateway.receive()
        gateway.send("maple", edifact("REF2", number(20)), ids=("waiting",))
    return tmp_path


def test_a_restore_brings_back_journal_and_queue_and_the_chain_tells(recorded: Path, run: Run) -> None:
    heads, copy = recorded / "heads.jsonl", recorded / "copy"
    export(run, heads)
    done = run("backup", copy)
    assert done.exit_code == 0, done.output
    assert done.output.startswith("backup of ")
    assert {stat.S_IMODE(each.stat().st_mode) for each in copy.iterdir()} == {0o600}
    assert stat.S_IMODE(copy.stat().st_mode) == 0o700
    assert sorted(each.name for each in copy.iterdir()) == [
        "backup.json", "journal.sqlite3", "partners.toml", "queue.sqlite3",
    ]  # fmt: skip
    with house(recorded) as gateway:
        gateway.settle_down()
        gateway.send("maple", edifact("REF3", number(30)))
        gateway.settle_down()
    export(run, heads)
    done = run("restore", copy)
    assert done.exit_code == 0, done.output
    assert "send again" in done.output
    verified = run("verify-audit", "--heads", heads)
    assert verified.exit_code == 0, verified.output
    assert "1 of 2 exported heads are in them" in verified.output
    assert "1 heads are of a history that ended with the restore in row" in verified.output
    with house(recorded) as gateway:
        assert len(messages(gateway)) == 2
        gateway.settle_down()
        assert [row["verdict"] for row in messages(gateway)] == ["accepted"] * 3
        export(run, heads)
        assert "2 of 3 exported heads" in run("verify-audit", "--heads", heads).output
        answers = kinds(gateway.answers("maple"))
        assert answers.count("accepted") == 3
    assert [each.name for each in recorded.glob("gateway.sqlite3.before-*")]


def test_what_stood_beside_the_journal_is_not_written_over_the_copy(recorded: Path, run: Run) -> None:
    """A log of another history beside a copied file is replayed into it: that is how a restore by hand broke it."""
    copy = recorded / "copy"
    assert run("backup", copy).exit_code == 0
    journal = Journal.open(settings_in(recorded).database_url)
    journal.receive([delivery(f"later-{n}") for n in range(200)])
    path = recorded / "gateway.sqlite3"
    kept = {end: path.with_name(path.name + end).read_bytes() for end in ("", "-wal")}
    journal.close()
    for end, content in kept.items():  # as a killed gateway leaves them
        path.with_name(path.name + end).write_bytes(content)
    assert run("restore", copy).exit_code == 0
    assert run("verify-audit").exit_code == 0
    again = Journal.open(settings_in(recorded).database_url)
    assert len(again.list_messages(channel="partner", limit=500)) == 2
    again.close()


@pytest.mark.parametrize("harm", ["journal.sqlite3", "queue.sqlite3", "backup.json", "no manifest"])
def test_a_backup_that_is_not_whole_is_not_restored(recorded: Path, run: Run, harm: str) -> None:
    copy = recorded / "copy"
    run("backup", copy)
    before = (recorded / "gateway.sqlite3").read_bytes()
    if harm == "no manifest":
        (copy / "backup.json").unlink()
    else:
        content = bytearray((copy / harm).read_bytes())
        content[len(content) // 2] ^= 1
        (copy / harm).write_bytes(content.replace(b'"head"', b'"heap"') if harm == "backup.json" else content)
        if harm == "backup.json":
            (copy / harm).write_bytes(b"{}")
    told = one_line(run("restore", copy))
    assert "no whole backup" in told
    assert harm != "backup.json" or "backup.json is not as it was written" in told
    assert (recorded / "gateway.sqlite3").read_bytes() == before


def test_a_gateway_at_work_is_not_restored_over(recorded: Path, run: Run) -> None:
    copy = recorded / "copy"
    run("backup", copy)
    with hold(settings_in(recorded)):
        assert "another gateway runs" in one_line(run("restore", copy))
    with house(recorded):
        assert "open in another program" in one_line(run("restore", copy))
    assert run("restore", copy).exit_code == 0


def test_a_second_gateway_on_the_same_files_is_refused(recorded: Path, run: Run) -> None:
    with hold(settings_in(recorded)):
        assert "another gateway runs" in one_line(run("serve"))


def test_a_backup_needs_a_folder_of_its_own(recorded: Path, run: Run) -> None:
    assert "is not empty" in one_line(run("backup", recorded))


def test_a_backup_while_the_gateway_works_has_both_as_of_one_moment(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was confirmed is in the journal's copy or in the queue's, and no answer marked as sent is in neither."""
    with house(tmp_path) as gateway:
        over = threading.Event()
        count = 0

        def work() -> None:
            nonlocal count
            while not over.is_set():
                gateway.send("maple", edifact(f"REF{count}", number(count)), ids=(f"m{count}",))
                count += 1
                gateway.receive(), gateway.work(), gateway.dispatch()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            for turn in range(5):
                time.sleep(0.1)
                assert run("backup", tmp_path / f"copy{turn}").exit_code == 0
        finally:
            over.set()
            thread.join(30)
    for turn in range(5):
        folder = tmp_path / f"again{turn}"
        assert runner(folder, monkeypatch)("restore", tmp_path / f"copy{turn}").exit_code == 0
        with house(folder) as gateway:
            gateway.settle_down()
            found = messages(gateway)
            assert [row["verdict"] for row in found] == ["accepted"] * len(found)
            numbers = {row["transaction_number"] for row in found}
            assert numbers == {number(n) for n in range(len(found))}, "a gap is a lost message"
            assert kinds(gateway.answers("maple")).count("accepted") >= len(found)


@pytest.mark.broker
def test_a_postgresql_journal_goes_into_a_folder_and_back(
    tmp_path: Path, run: Run, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE_URL", postgres_url)
    copy, heads = tmp_path / "copy", tmp_path / "heads.jsonl"
    with house(tmp_path, database_url=postgres_url) as gateway:
        gateway.send("maple", ORIGINAL)
        gateway.settle_down()
        before = gateway.journal.show(messages(gateway)[0]["id"])
        assert run("backup", copy).exit_code == 0
        gateway.send("maple", edifact("REF3", number(30)))
        gateway.settle_down()
        export(run, heads)
    assert "is not empty" in one_line(run("restore", copy))
    server = sqlalchemy.create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
        assert "others are connected" in one_line(run("restore", copy))
    server.dispose()
    done = run("restore", copy)
    assert done.exit_code == 0, done.output
    assert run("verify-audit", "--heads", heads).exit_code == 0
    with house(tmp_path, database_url=postgres_url) as gateway:
        assert gateway.journal.show(messages(gateway)[0]["id"]) == before
        gateway.send("maple", edifact("REF4", number(40)))
        gateway.settle_down()
        assert [row["verdict"] for row in messages(gateway)] == ["accepted", "accepted"]


def test_every_exported_head_counts(recorded: Path, run: Run) -> None:
    """Not the newest only: a chain that was written anew up to there would pass."""
    heads = recorded / "heads.jsonl"
    export(run, heads)
    good = run("verify-audit", "--heads", heads)
    assert (good.exit_code, "1 of 1 exported heads" in good.output) == (0, True)
    older = {"n": 2, "hash": "0" * 64, "at": "2026-01-01T00:00:00+00:00"}
    heads.write_text(json.dumps(older) + "\n" + heads.read_text("utf-8"), "utf-8")
    bad = run("verify-audit", "--heads", heads)
    assert bad.exit_code == 1
    assert bad.output.startswith("row 2: row 2 is not the one whose hash was exported")


@pytest.mark.parametrize("at", ["after", "unknown"])
def test_a_restore_explains_no_head_of_after_it(recorded: Path, run: Run, at: str) -> None:
    run("backup", recorded / "copy")
    run("restore", recorded / "copy")
    n = json.loads(run("export-audit-head").stdout)["n"]
    head = {"n": n + 5, "hash": "1" * 64} | ({"at": "2099-01-01T00:00:00+00:00"} if at == "after" else {})
    (recorded / "heads.jsonl").write_text(json.dumps(head), "utf-8")
    assert run("verify-audit", "--heads", recorded / "heads.jsonl").exit_code == 1


@pytest.mark.slow
def test_after_an_orderly_stop_the_files_are_whole_without_their_logs(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    environment = os.environ | {
        "GATEWAY_BROKER_URL": settings.broker_url,
        "GATEWAY_DATABASE_URL": settings.database_url,
        "GATEWAY_LOG": "json",
    }
    command = [sys.executable, "-m", "gateway", "serve", "--workers", "1"]
    with subprocess.Popen(command, cwd=HOME, env=environment, stderr=subprocess.DEVNULL) as process:
        with open_broker(settings.broker_url) as broker:
            end = time.monotonic() + 60
            while time.monotonic() < end:
                try:
                    if not broker.missing(["in.maple"]):
                        break
                except Exception:  # noqa: S110 - it is being made
                    pass
                time.sleep(0.1)
            broker.publish([Letter("m1", "in.maple", "", ORIGINAL)])
            assert broker.take("out.maple", 60)
        process.terminate()
        assert process.wait(60) == 0
    assert not list(tmp_path.glob("*-wal"))
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(tmp_path / "gateway.sqlite3", alone)
    journal = Journal.open(settings_in(alone).database_url)
    assert len(journal.list_messages()) == 1
    assert journal.verify().bad is None
    journal.close()
