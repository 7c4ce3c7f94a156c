"""The tables that the tests' short way makes (`tests/support/shortcuts.py`) are those of the migrations."""

from __future__ import annotations

import alembic.command
import pytest
import sqlalchemy

from gateway.journal import Journal
from tests.support import shortcuts

SQLITE = ("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2",)
COLUMNS = "ordinal_position, column_name, data_type, column_default, is_nullable, collation_name"
POSTGRESQL = (
    f"SELECT table_name, {COLUMNS} FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2",  # noqa: S608 - ours
    "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid > 16000 ORDER BY 1, 2",
    "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2",
    "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1, 2",
)


def test_they_are_the_same(journal_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    # the second may be the first of this process, which the third repeats
    for upgrade in (shortcuts._upgrade, shortcuts._upgraded, shortcuts._upgraded):
        monkeypatch.setattr(alembic.command, "upgrade", upgrade)
        emptied = sqlalchemy.create_engine(journal_url)
        with emptied.begin() as connection:
            if emptied.dialect.name == "postgresql":
                connection.exec_driver_sql("DROP SCHEMA public CASCADE")
                connection.exec_driver_sql("CREATE SCHEMA public")
            else:
                for (name,) in connection.exec_driver_sql(
                    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
                ).all():
                    connection.exec_driver_sql(f"DROP TABLE {name}")
        emptied.dispose()
        journal = Journal.open(journal_url)
        journal.migrate()
        with journal._read() as connection:
            asked = POSTGRESQL if connection.dialect.name == "postgresql" else SQLITE
            made.append([connection.exec_driver_sql(each).all() for each in asked])
            made[-1].append(connection.exec_driver_sql("SELECT * FROM alembic_version").all())
        journal.close()
    assert made[0] == made[1] == made[2]
    assert len(made[0][0]) > 20
