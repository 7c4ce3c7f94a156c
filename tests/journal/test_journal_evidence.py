"""What the audit chain proves, and the figures of health; on SQLite and PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy

from core.errors import GatewayError
from gateway.journal import Journal, inbox_id
from tests.support.journals import NOW, claim_one, delivery


def fill(journal: Journal, count: int = 30) -> None:
    journal.receive([delivery(str(n), lane=str(n)) for n in range(count)])


def test_nobody_changes_the_chain_in_passing(journal: Journal, raw: sqlalchemy.Engine) -> None:
    fill(journal)
    statements = ["UPDATE audit SET detail = '{}' WHERE n = 3", "DELETE FROM audit WHERE n = 3"]
    for statement in statements + (["TRUNCATE audit"] if raw.dialect.name == "postgresql" else []):
        with pytest.raises(sqlalchemy.exc.DBAPIError, match="insert-only"), raw.begin() as connection:
            connection.exec_driver_sql(statement)
    assert journal.verify().links == 30


@pytest.mark.parametrize(
    ("tampering", "bad"),
    [
        (["UPDATE audit SET detail = '{}' WHERE n = 7"], 7),
        (["UPDATE audit SET at = '2020' WHERE n = 1"], 1),
        (["UPDATE audit SET subject = NULL WHERE n = 30"], 30),
        (["DELETE FROM audit WHERE n = 12"], 12),
        (["DELETE FROM audit WHERE n = 1"], 1),
        (["DELETE FROM audit WHERE n > 20"], 21),
        (["UPDATE audit SET n = -n WHERE n IN (4, 9)", "UPDATE audit SET n = 13 + n WHERE n IN (-4, -9)"], 4),
    ],
)  # fmt: skip
def test_tampering_is_found_at_the_row(
    journal: Journal, raw: sqlalchemy.Engine, tampering: list[str], bad: int
) -> None:
    fill(journal)
    head = journal.head()
    assert head[0] == 30
    assert (journal.verify(head).bad, journal.verify().head) == (None, head[1])
    with raw.begin() as connection:  # a superuser takes the triggers off first
        if raw.dialect.name == "sqlite":
            connection.exec_driver_sql("DROP TRIGGER audit_no_update")
            connection.exec_driver_sql("DROP TRIGGER audit_no_delete")
        else:
            connection.exec_driver_sql("DROP TRIGGER audit_no_change ON audit")
        for statement in tampering:
            connection.exec_driver_sql(statement)
    assert journal.verify(head).bad == bad


def test_an_empty_journal_has_nothing_to_tell(journal: Journal) -> None:
    assert journal.verify() == type(journal.verify())(0, "0" * 64)
    assert journal.show("abc") is None
    assert journal.list_messages() == []
    assert journal.destinations() == []
    assert not journal.claim("w", 5, 60, NOW)
    assert journal.due(5, NOW) == []
    assert journal.facts(None, [], []).versions == {}
    assert set(journal.counts(NOW).values()) == {0}


def test_figures_of_health_and_ambiguous_ids(journal: Journal) -> None:
    fill(journal, 40)
    claim_one(journal)
    figures = journal.counts(NOW + timedelta(seconds=90))
    assert (figures["received"], figures["working"], figures["oldest_seconds"]) == (39, 1, 90.0)
    assert journal.show(inbox_id("7")) is not None
    with pytest.raises(GatewayError, match="several"):
        journal.show("")


def test_the_head_moves_with_every_event_even_under_contention(journal: Journal) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: journal.receive([delivery(f"{n}.{m}") for m in range(3)]), range(20)))
    assert journal.verify(journal.head()).links == 60
    assert [entry["id"] for entry in journal.list_messages(limit=3)]
    with journal._read() as connection:
        numbers = connection.exec_driver_sql("SELECT sequence FROM inbox ORDER BY sequence").scalars().all()
    assert list(numbers) == list(range(1, 61))
