"""Stored state that is newer, older, damaged or only to be read is one clear line; on SQLite and PostgreSQL."""

from __future__ import annotations

import pytest
import sqlalchemy

from core.errors import GatewayError, JournalUnavailable
from gateway.journal import Journal, Unproven, inbox_id
from tests.support.journals import NOW, accept, delivery


def change(raw: sqlalchemy.Engine, statement: str) -> None:
    with raw.begin() as connection:
        connection.exec_driver_sql(statement)


def test_a_good_journal_is_fit(journal: Journal) -> None:
    assert journal.unfit() is None


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE alembic_version SET version_num = '0999'", "has schema 0999, newer than this version's"),
        ("UPDATE alembic_version SET version_num = 'beef'", "has schema beef"),
        ("UPDATE alembic_version SET version_num = '0005'", "has schema 0005, this version needs"),
        ("UPDATE alembic_version SET version_num = '0003x'", "has schema 0003x, which is not of this program"),
        ("DELETE FROM alembic_version", "has tables and no schema: it is damaged"),
        ("DROP TABLE alembic_version", "has tables and no schema: it is damaged"),
        ("DROP TABLE execution_answer", "the table execution_answer is missing"),
        ("ALTER TABLE due RENAME COLUMN error TO errors", "the table due lacks error"),
    ],
)
def test_a_journal_that_serve_could_not_work_with_is_told(
    journal: Journal, raw: sqlalchemy.Engine, statement: str, words: str
) -> None:
    change(raw, statement)
    assert words in (journal.unfit() or "")
    assert len((journal.unfit() or "").splitlines()) == 1


@pytest.mark.parametrize("version", ["0999", "beef"])
def test_a_newer_journal_is_not_migrated(journal: Journal, raw: sqlalchemy.Engine, version: str) -> None:
    """It was a traceback of the library that migrates."""
    change(raw, "UPDATE alembic_version SET version_num = '?'".replace("?", version))
    with pytest.raises(JournalUnavailable, match=f"has schema {version}, newer than this version's"):
        journal.migrate()


def test_a_damaged_row_keeps_no_other_from_its_work_and_is_one_line(journal: Journal, raw: sqlalchemy.Engine) -> None:
    """Broken JSON in one row kept every worker from claiming anything."""
    journal.receive([delivery("a", lane="a"), delivery("b", lane="b"), delivery("c", lane="c")])
    change(raw, "UPDATE inbox SET headers = '{' WHERE id = '?'".replace("?", inbox_id("a")))
    change(raw, "UPDATE inbox SET unproven = '[1' WHERE id = '?'".replace("?", inbox_id("b")))
    rows = journal.claim("w", 10, 60, NOW).work
    assert [(row.uid, row.headers == {}, row.unproven) for row in rows] == [
        ("a", True, None),
        ("b", False, Unproven("GTW-0012", "", None)),
        ("c", False, None),
    ]
    with pytest.raises(GatewayError, match="a row is damaged") as caught:
        journal.show(inbox_id("a"))
    assert len(str(caught.value).splitlines()) == 1


def test_a_damaged_declaration_is_one_line(journal: Journal, raw: sqlalchemy.Engine) -> None:
    accept(journal)
    change(raw, "UPDATE message SET findings = '{'")
    with pytest.raises(GatewayError, match="a row is damaged"):
        journal.show(inbox_id("a"))
    with pytest.raises(GatewayError, match="a row is damaged"):
        journal.list_messages()
