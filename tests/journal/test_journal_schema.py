"""Only `gateway migrate`, and a first `serve` on an empty store, change a schema; everybody else checks it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy

from core.errors import JournalUnavailable
from gateway import loops
from gateway.journal import Journal, database, schemas
from tests.support.cli import one_line, renamed_samples
from tests.support.desk import Run, runner
from tests.support.house import settings_in
from tests.support.journals import NOW, delivery
from tests.support.way import HOME

COMMANDS = [
    ("list",), ("show", "abc"), ("destinations",), ("unpark", "out.maple"), ("verify-audit",), ("export-audit-head",),
    ("purge", "--dry-run"), ("purge",), ("parked", "list"), ("dead", "requeue", "--all"),
    ("serve",),
]  # fmt: skip


def stamp(url: str, version: str) -> None:
    """Say that a journal has another schema, as another version's migration would."""
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE alembic_version SET version_num = :to"), {"to": version})
    engine.dispose()


def stamped(url: str) -> str | None:
    journal = Journal.open(url)
    try:
        return journal.schema()
    finally:
        journal.close()


@pytest.fixture
def run(tmp_path: Path, journal: Journal, journal_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command on a journal of either kind."""
    made = runner(tmp_path, monkeypatch)
    monkeypatch.setenv("GATEWAY_DATABASE_URL", journal_url)
    monkeypatch.setenv("GATEWAY_PARTNERS", str(renamed_samples(tmp_path)))
    return made


def test_the_newest_migration_is_what_is_needed() -> None:
    folder = schemas.MIGRATIONS / "versions"
    names = [path.stem for path in sorted(folder.glob("[0-9]*.py"))]
    made = [importlib.import_module(f"gateway.journal.migrations.versions.{name}") for name in names]
    assert [name[:4] for name in names] == [each.revision for each in made]
    assert schemas.needed() == names[-1][:4]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("version", ["0001", "9999"])
def test_a_command_on_another_versions_schema_says_so_and_changes_nothing(
    run: Run, journal_url: str, arguments: tuple[str, ...], version: str
) -> None:
    stamp(journal_url, version)
    line = one_line(run(*arguments))
    assert version in line
    assert schemas.needed() in line
    assert ("gateway migrate" in line) is (version == "0001")
    assert stamped(journal_url) == version


@pytest.mark.parametrize("version", ["0001", "9999"])
def test_doctor_on_another_versions_schema_says_so_and_changes_nothing(
    run: Run, journal_url: str, version: str
) -> None:
    stamp(journal_url, version)
    for arguments in (("doctor",), ("doctor", "--declare")):
        done = run(*arguments)
        assert done.exit_code == 1
        assert f"has schema {version}" in " ".join(done.stdout.split())
    assert stamped(journal_url) == version


def test_migrate_says_what_it_did(run: Run, journal_url: str) -> None:
    assert run("migrate").output == f"schema {schemas.needed()}: nothing to do\n"
    stamp(journal_url, "9999")
    assert "newer than this version's" in one_line(run("migrate"))


def test_migrate_makes_a_journal_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = runner(tmp_path, monkeypatch)
    assert run("migrate").output == f"schema {schemas.needed()}: was not there\n"
    assert run("list").exit_code == 0


def test_a_loop_of_a_former_version_waits_when_the_schema_has_moved_on(tmp_path: Path) -> None:
    """One that is started again by a supervisor of before, while the upgrade goes on."""
    settings = settings_in(tmp_path)
    journal = Journal.open(settings.database_url)
    journal.migrate()
    journal.close()
    stamp(settings.database_url, "9999")
    for name in ("receive", "work", "dispatch"):
        with pytest.raises(JournalUnavailable, match="newer"):
            loops.LOOPS[name](settings, lambda: True)


@pytest.mark.broker
def test_a_migration_waits_for_another_and_may_take_long(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the lock's nor the statement's usual time limit ends it."""
    monkeypatch.setattr(database, "LOCK_SECONDS", 1)
    holder = sqlalchemy.create_engine(postgres_url)
    journal = Journal.open(postgres_url)
    with holder.begin() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({database.MIGRATING})")
        thread = threading.Thread(target=journal.migrate)
        thread.start()
        time.sleep(1.3)
        assert thread.is_alive()
    thread.join(20)
    journal.check_schema()
    making = database.open_engine(postgres_url, making=True)
    with making.begin() as connection:
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "0"
    for engine in (making, holder):
        engine.dispose()
    journal.close()


def test_a_journal_whose_file_was_deleted_takes_nothing_until_it_is_back(tmp_path: Path) -> None:
    """What is written into a deleted file is lost; no command makes an empty one in its place."""
    path = tmp_path / "journal.sqlite3"
    journal = Journal.open(f"sqlite:///{path}")
    journal.migrate()
    assert journal.receive([delivery("a")]) == [True]
    journal.close()
    copy = path.read_bytes()
    assert journal.head()[0] == 1
    for each in tmp_path.iterdir():
        each.unlink()
    for _ in range(2):
        with pytest.raises(JournalUnavailable, match="no such file"):
            journal.receive([delivery("b")])
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(copy)
    assert journal.receive([delivery("a"), delivery("b")]) == [False, True]
    assert journal.claim("w", 5, 60, NOW)
    journal.close()


@pytest.mark.slow
def test_serve_on_an_empty_store_makes_it_and_on_a_newer_one_ends_with_a_line(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    environment = os.environ | {
        "GATEWAY_BROKER_URL": settings.broker_url,
        "GATEWAY_DATABASE_URL": settings.database_url,
        "GATEWAY_LOG": "json",
    }
    command = [sys.executable, "-m", "gateway", "serve", "--workers", "1"]
    log = tmp_path / "log"
    with log.open("wb") as file, subprocess.Popen(command, cwd=HOME, env=environment, stderr=file) as process:
        end = time.monotonic() + 60
        while '"serving"' not in log.read_text("utf-8") and time.monotonic() < end:
            time.sleep(0.1)
        process.terminate()
        assert process.wait(60) == 0
    assert stamped(settings.database_url) == schemas.needed()
    stamp(settings.database_url, "9999")
    done = subprocess.run(command, cwd=HOME, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "newer than this version's" in line
