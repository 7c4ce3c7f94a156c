"""The journal on SQLite and PostgreSQL: its schema, a database that is away, what is received."""

from __future__ import annotations

import multiprocessing
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from core.errors import JournalUnavailable
from core.register import Reference
from gateway.journal import Journal, inbox_id
from gateway.journal.tables import metadata
from tests.support import shortcuts
from tests.support.journals import NOW, NUMBER, bring, delivery, numbered, outcome, outgoing, sent

# ------------------------------------------------------------------------------------------------ the schema


def test_the_migrations_make_the_tables_that_the_journal_uses(journal: Journal, raw: sqlalchemy.Engine) -> None:
    journal.migrate()
    journal.check()
    with raw.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def _migrate(url: str) -> None:
    Journal.open(url).migrate()


@pytest.mark.slow
def test_several_processes_may_migrate_at_once(journal_url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_migrate, args=(journal_url,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    Journal.open(journal_url).check()


def test_several_threads_may_migrate_at_once(journal_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: _migrate(journal_url), range(4)))
    Journal.open(journal_url).check()


def test_sqlite_is_durable_and_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortcuts, "durable", True)
    path = tmp_path / "deep" / "journal.sqlite3"
    journal = Journal.open(f"sqlite:///{path}")
    journal.migrate()
    with journal._read() as connection:
        pragmas = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    assert pragmas == ["wal", 2]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# ------------------------------------------------------------------------------------------------ the database is away


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://joe:s3cret@127.0.0.1:1/gateway",
        "postgresql+psycopg://joe:s3cret@127.0.0.1:1/gateway?password=s3cret",
        "mysql://joe:s3cret@127.0.0.1/gateway",
        "sqlite://",
        "sqlite:////proc/nowhere/journal.sqlite3",
        "not a url with s3cret",
    ],
)
def test_an_unusable_database_is_one_clear_line_without_the_password(url: str) -> None:
    with pytest.raises(JournalUnavailable) as caught:
        Journal.open(url).migrate()
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_missing_tables_and_foreign_files_are_told(journal_url: str, tmp_path: Path) -> None:
    with pytest.raises(JournalUnavailable, match="it has no tables"):
        Journal.open(journal_url).check()
    (tmp_path / "other").write_bytes(b"this is no database " * 100)
    with pytest.raises(JournalUnavailable, match="not a database"):
        Journal.open(f"sqlite:///{tmp_path}/other").check()


def test_a_held_lock_is_told_and_work_goes_on_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.journal.database.LOCK_SECONDS", 0.1)
    journal = Journal.open(f"sqlite:///{tmp_path}/journal.sqlite3")
    journal.migrate()
    with closing(sqlite3.connect(tmp_path / "journal.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalUnavailable, match="locked"):
            journal.receive([delivery("a")])
        assert not journal.claim("w", 1, 60, NOW)  # looking for work needs no lock
        other.execute("ROLLBACK")
    assert journal.receive([delivery("a")]) == [True]


@pytest.mark.broker
def test_a_database_that_comes_back_is_used_again(postgres_url: str) -> None:
    journal = Journal.open(postgres_url)
    journal.migrate()
    journal.check()
    with sqlalchemy.create_engine(postgres_url).connect() as other:
        other.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    with pytest.raises(JournalUnavailable):
        journal.receive([delivery("a")])
    assert journal.receive([delivery("a")]) == [True]


# ------------------------------------------------------------------------------------------------ receive


def test_a_redelivery_adds_nothing(journal: Journal) -> None:
    receipts = [outgoing("receipt", str(n), ordinal=None) for n in range(2)]
    first = journal.receive([delivery("a", receipt=receipts[0]), delivery("b"), delivery("a", receipt=receipts[0])])
    second = journal.receive([delivery("c", receipt=receipts[1]), delivery("b", body=b"other bytes")])
    assert (first, second) == ([True, True, False], [True, False])
    assert sent(journal) == ["receipt", "receipt"]
    assert [entry["id"] for entry in journal.list_messages()] == [inbox_id(uid) for uid in "cba"]
    assert journal.show(inbox_id("b"))["body"] == b"b"
    assert journal.receive([]) == []


def test_hostile_texts_are_kept(journal: Journal) -> None:
    uid, lane = "\0\udc80" + "x" * 9_000, "y" * 9_000
    row = bring(journal, uid, lane=lane, partner="\0", headers={"h": "\0\udc80"}, body=bytes(range(256)))
    assert (row.id, row.headers, row.body) == (inbox_id(uid), {"h": "\0\udc80"}, bytes(range(256)))
    reference = "r\0" * 9_000
    assert journal.finish([(row, outcome(row, reference=reference))], specs="d", now=NOW) == [True]
    register = journal.facts("\0", [NUMBER, "z" * 9_000], numbered(reference, reference + "!"))
    assert register.references == {("\0", *numbered(reference)): Reference(row.digest, row.id, True)}
    assert journal.show(row.id)["messages"][0]["message_reference"].startswith("M\ufffd\ufffd")


@pytest.mark.broker
def test_a_number_that_does_not_fit_is_not_cut(postgres_url: str) -> None:
    journal = Journal.open(postgres_url)
    journal.migrate()
    row = bring(journal, "a")
    with pytest.raises(OverflowError, match="out of range"):
        journal.finish([(row, outcome(row, version=9_999_999_999))], specs="d", now=NOW)
    assert journal.facts("P1", [NUMBER], []).versions == {}
    assert journal.finish([(row, outcome(row, version=2**31 - 1))], specs="d", now=NOW) == [True]
    assert journal.facts("P1", [NUMBER], []).versions[NUMBER][0].version == 2**31 - 1


def test_times_must_be_aware_and_come_back_so(journal: Journal) -> None:
    eastern = datetime(2026, 5, 4, 8, 30, tzinfo=UTC).astimezone(tz=None)
    assert bring(journal, "a", received_at=eastern).received_at == eastern
    with pytest.raises((ValueError, TypeError), match="aware"):
        journal.receive([delivery("b", received_at=datetime(2026, 5, 4))])  # noqa: DTZ001
