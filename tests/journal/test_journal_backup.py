"""A copy of a former version's journal is put back as it was, and goes on from there; on SQLite and PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from gateway.journal import Journal, database, schemas
from tests.support.journals import NOW


def test_a_backup_of_a_former_schema_is_restored_as_it_was_and_migrated_then(journal_url: str, tmp_path: Path) -> None:
    """Its tables have fewer columns than ours."""
    engine = database.open_engine(journal_url, making=True)
    with engine.begin() as connection:
        schemas.migrate(connection, "0009")
    journal = Journal.open(journal_url)
    (tmp_path / "copy").mkdir()
    with journal.snapshot() as snapshot:
        facts = snapshot.facts()
        snapshot.write(tmp_path / "copy")
    assert "parked_at" not in facts["columns"]["outbox"]
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            for statement in ("DROP SCHEMA public CASCADE", "CREATE SCHEMA public"):
                connection.exec_driver_sql(statement)
    journal.close()
    engine.dispose()
    journal.restore(tmp_path / "copy", facts | {"taken": NOW.isoformat()}, "before", "jo", NOW)
    assert journal.schema() == "0009"
    assert journal.unfit()
    journal.migrate()
    assert journal.unfit() is None
    assert journal.verify().links == 1
    journal.close()
