"""A copy of a former version's journal is put back as it was, and goes on from there; on SQLite and PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from gateway.journal import Journal, database, schemas
from tests.support.journals import NOW

WORKED_ON = """
    INSERT INTO inbox (sequence, id, uid, channel, partner, received_at, digest, headers, lane, state, attempts, worker,
        lease_until, body)
    VALUES (1, 'a', 'a', 'partner', 'P1', '2026-05-04', '', '{}', '', 'working', 1, 'w', '2026-05-05', 'a')
"""


def test_a_backup_of_a_former_schema_is_restored_as_it_was_and_migrated_then(journal_url: str, tmp_path: Path) -> None:
    """Its tables have fewer columns than ours; what was being worked on is free again."""
    engine = database.open_engine(journal_url, making=True)
    with engine.begin() as connection:
        schemas.migrate(connection, "0009")
        connection.exec_driver_sql(WORKED_ON)
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
    assert journal.walk().links == 1
    assert journal.counts(NOW)["received"] == 1
    assert journal.workers() == []
    (life,) = (journal.show(row["id"]) for row in journal.list_messages())
    assert life is not None
    assert (life["attempts"], life["lease_until"]) == (0, None)
    journal.close()
