"""A disk that can only be read: one line from every command, /ready says so, and what only reads goes on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway import health
from gateway.journal import Journal
from gateway.loops import queue_names
from gateway.queues import open_broker
from gateway.settings import Settings
from routing.partners import load_partners
from tests.support.cli import ORIGINAL, one_line, renamed_samples
from tests.support.desk import Run, runner
from tests.support.house import settings_in


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let a folder only be read: by its rights, or, for root, to whom rights mean nothing, by a mount."""
    if os.geteuid():
        folder.chmod(0o500)
        try:
            yield
        finally:
            folder.chmod(0o700)
        return
    for options in (["--bind", str(folder), str(folder)], ["-o", "remount,ro,bind", str(folder)]):
        if subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
            pytest.skip("nothing can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "run"
    made.mkdir()
    return made


@pytest.fixture
def settings(folder: Path) -> Settings:
    """Give a gateway that was set up, and its files closed."""
    given = settings_in(folder, partners=renamed_samples(folder))  # type: ignore[arg-type]
    journal = Journal.open(given.database_url)
    journal.migrate()
    journal.close()
    with open_broker(given.broker_url) as broker:
        broker.declare(queue_names(given))
    return given


@pytest.fixture
def run(settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    made = runner(folder, monkeypatch)
    monkeypatch.setenv("GATEWAY_PARTNERS", str(settings.partners))
    return made


@pytest.mark.parametrize(
    "words",
    [
        ("serve",), ("migrate",), ("list",), ("purge",), ("verify-audit",), ("export-audit-head",), ("destinations",),
        ("unpark", "out.maple"), ("parked", "list"), ("requests", "resend", "--all"), ("answers", "list"),
        ("dead", "list"), ("dead", "requeue", "--all"), ("send", ORIGINAL, "--as", "maple"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_command_says_in_one_line_that_the_files_cannot_be_written(
    run: Run, folder: Path, words: tuple[str, ...]
) -> None:
    with read_only(folder):
        line = one_line(run(*words))
    assert str(folder) in line
    assert any(told in line for told in ("cannot be opened for writing", "Read-only file system", "Permission denied"))


def test_a_backup_goes_nowhere_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir()
    with read_only(tmp_path / "copies"):
        assert str(tmp_path / "copies") in one_line(run("backup", tmp_path / "copies" / "monday"))
    assert list((tmp_path / "copies").iterdir()) == []
    assert run("backup", tmp_path / "copies" / "monday").exit_code == 0


def test_packs_and_partners_are_only_read(run: Run, folder: Path) -> None:
    with read_only(folder):
        assert run("check", ORIGINAL).exit_code == 0
        done = run("doctor")
    assert done.exit_code == 1
    told = " ".join(done.stdout.split())
    assert "queue.db cannot be written" in told
    assert "it cannot be opened for writing" in told


def test_ready_says_that_the_files_cannot_be_written(settings: Settings, folder: Path) -> None:
    """Also to a gateway that has them open, as when the kernel takes a disk that fails."""
    journal, partners = Journal.open(settings.database_url), load_partners(settings.partners)
    with open_broker(settings.broker_url) as broker:
        assert health.ready(settings, journal, broker, partners) == []
        with read_only(folder):
            told = health.ready(settings, journal, broker, partners)
        assert "the journal's file cannot be written" in told
        assert "the queue's file cannot be written" in told
        assert health.ready(settings, journal, broker, partners) == []
    journal.close()


def test_a_line_that_a_full_disk_cut_off_is_named_among_the_heads(run: Run, folder: Path) -> None:
    head = run("export-audit-head").stdout
    heads = folder / "heads.jsonl"
    heads.write_text(f"{head}{head[:20]}{head}", "utf-8")
    line = one_line(run("verify-audit", "--heads", heads))
    assert "heads.jsonl, line 2" in line
    assert "may be taken out" in line
