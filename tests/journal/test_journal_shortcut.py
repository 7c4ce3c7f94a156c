"""The tables that the tests' short way makes (`tests/support/shortcuts.py`) are those of the migrations,
and no test is handed what another one changed in them."""

from __future__ import annotations

import alembic.command
import pytest
import sqlalchemy

from gateway.journal import Journal
from gateway.journal.tables import metadata
from tests.support import shortcuts
from tests.support.journals import accept

SQLITE = ("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2",)
COLUMNS = "ordinal_position, column_name, data_type, column_default, is_nullable, collation_name"
POSTGRESQL = (
    f"SELECT table_name, {COLUMNS} FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2",  # noqa: S608 - ours
    "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid > 16000 ORDER BY 1, 2",
    "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2",
    "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1, 2",
)


def made(url: str) -> list[object]:
    """Migrate a database and return what it then has."""
    journal = Journal.open(url)
    journal.migrate()
    with journal._read() as connection:
        asked = POSTGRESQL if connection.dialect.name == "postgresql" else SQLITE
        found: list[object] = [connection.exec_driver_sql(each).all() for each in asked]
        for table in sorted([*metadata.tables, "alembic_version"]):
            found.append((table, connection.exec_driver_sql(f"SELECT * FROM {table}").all()))  # noqa: S608 - ours
    journal.close()
    return found


def test_they_are_the_same(journal_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ways = []
    # the second may be the first of this process, which the third repeats
    for upgrade in (shortcuts._upgrade, shortcuts._upgraded, shortcuts._upgraded):
        monkeypatch.setattr(alembic.command, "upgrade", upgrade)
        emptied = sqlalchemy.create_engine(journal_url)
        with emptied.begin() as connection:
            if emptied.dialect.name == "postgresql":
                connection.exec_driver_sql("DROP SCHEMA IF EXISTS put_by CASCADE")
                connection.exec_driver_sql("DROP SCHEMA public CASCADE")
                connection.exec_driver_sql("CREATE SCHEMA public")
            else:
                for (name,) in connection.exec_driver_sql(
                    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
                ).all():
                    connection.exec_driver_sql(f"DROP TABLE {name}")
        emptied.dispose()
        ways.append(made(journal_url))
    assert ways[0] == ways[1] == ways[2]
    assert len(ways[0][0]) > 20  # type: ignore[arg-type]


CHANGES = (
    "ALTER TABLE audit DISABLE TRIGGER ALL",
    "ALTER TABLE inbox ALTER COLUMN uid DROP NOT NULL",
    "CREATE TABLE another (one integer)",
    "CREATE OR REPLACE FUNCTION audit_insert_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "DROP TABLE lease",
    "DROP TABLE alembic_version",
    "UPDATE alembic_version SET version_num = version_num",
    "GRANT SELECT ON inbox TO PUBLIC",
    "GRANT USAGE ON SCHEMA public TO PUBLIC",
)


@pytest.mark.broker
def test_tables_that_were_used_are_handed_on_empty_and_changed_ones_are_not(postgres_url: str) -> None:
    server = sqlalchemy.create_engine(
        sqlalchemy.make_url(postgres_url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    )
    with server.connect() as connection:
        connection.exec_driver_sql("DROP SCHEMA IF EXISTS put_by CASCADE")
        before = made(postgres_url)
        if not connection.exec_driver_sql("SELECT current_setting('is_superuser') = 'on'").scalar():
            pytest.skip("only a superuser empties the audit chain")
        for _ in range(2):
            journal = Journal.open(postgres_url)
            uid = accept(journal)
            journal.close()
            assert uid
            assert shortcuts.put_by(connection)
            assert made(postgres_url) == before
        for change in CHANGES:
            connection.exec_driver_sql(f"BEGIN; {change}")
            assert not shortcuts.put_by(connection), change
            connection.exec_driver_sql("ROLLBACK")
        assert shortcuts.put_by(connection)
        assert made(postgres_url) == before
        connection.exec_driver_sql("ANALYZE inbox")
        assert not shortcuts.put_by(connection)
    server.dispose()
