"""What lists are cut by, on both databases: filters, search, pages; and that no list goes through the archive."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy

from gateway.journal import Journal, inbox_id
from tests.support.journals import NOW, accept, bring, outcome

# Twenty thousand transmissions without all that hangs on them.
FILL = """
    INSERT INTO inbox SELECT n, md5(n::text), 'u' || n, 'partner', 'P' || mod(n, 9), now() - n * interval '1 min',
    '', '{}', '', '', NULL FROM generate_series(1, 20000) n;
    INSERT INTO handled SELECT n, 'done', 1, NULL, now(), NULL FROM generate_series(1, 20000) n;
    INSERT INTO message SELECT n, 1, 'xml', 'declaration', 'S', 'R' || n, NULL, '{}', 'T' || n, '1',
    CASE WHEN mod(n, 50) = 0 THEN 'refused' ELSE 'accepted' END, '[]', NULL, NULL, '', now(), false
    FROM generate_series(1, 20000) n;
    INSERT INTO message_term SELECT 'reference:R' || n, n, 1 FROM generate_series(1, 20000) n;
    INSERT INTO message_term SELECT 'finding:CAD-0' || mod(n, 300), n, 1 FROM generate_series(1, 20000) n
"""


@pytest.fixture
def filled(journal: Journal) -> Journal:
    accept(journal, "a", reference="R\0one")
    row = bring(journal, "b", received_at=NOW + timedelta(hours=1))
    journal.finish([(row, outcome(row, number="22345000000017", accepted=False))], specs="d", now=NOW)
    bring(journal, "c", partner="P2", received_at=NOW + timedelta(hours=2))
    return journal


def uids(journal: Journal, **filters: Any) -> list[str]:
    named = {inbox_id(uid): uid for uid in "abc"}
    return [named[row["id"]] for row in journal.list_messages(**filters)]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["c", "b", "a"]),
        ({"limit": 2}, ["c", "b"]),
        ({"after": (2, 1)}, ["a"]),
        ({"after": (2, 0)}, ["b", "a"]),
        ({"verdict": "refused"}, ["b"]),
        ({"verdict": "refused", "after": (2, 1)}, []),
        ({"state": "working"}, ["c"]),
        ({"state": "done"}, ["b", "a"]),
        ({"partner": "P2"}, ["c"]),
        ({"finding": "CAD-0001"}, ["b"]),
        ({"finding": "cad"}, ["b"]),
        ({"finding": "CAD-1"}, []),
        ({"reference": "R\0one"}, ["a"]),
        ({"search": "22345000000017"}, ["b"]),
        ({"search": "M\0b"}, ["b"]),
        ({"search": "nothing"}, []),
        ({"since": NOW + timedelta(minutes=1)}, ["c", "b"]),
        ({"until": NOW + timedelta(hours=1)}, ["a"]),
        ({"since": NOW + timedelta(days=1)}, []),
        ({"since": NOW + timedelta(hours=1), "until": NOW + timedelta(hours=2), "verdict": "refused"}, ["b"]),
    ],
)
def test_a_list_has_what_its_filters_say(filled: Journal, filters: dict[str, Any], found: list[str]) -> None:
    assert uids(filled, **filters) == found


def test_a_message_is_found_by_the_beginning_of_its_id_and_by_its_importer(filled: Journal) -> None:
    row = filled.list_messages(limit=1)[0]
    assert [each["id"] for each in filled.list_messages(search=row["id"][:9])] == [row["id"]]
    assert filled.list_messages(importer="123456782RM0001") == []


def test_what_is_looked_up_goes_with_its_message(filled: Journal) -> None:
    """A purge takes the terms as well: its foreign key would stop it."""
    with filled._read() as connection:
        kept = connection.exec_driver_sql("SELECT count(*) FROM message_term").scalar()
    assert kept == 4


@pytest.mark.broker
def test_postgresql_looks_messages_up_by_an_index(postgres_url: str) -> None:
    journal = Journal.open(postgres_url)
    journal.migrate()
    with journal._engine.begin() as connection:
        for statement in FILL.split(";"):
            connection.exec_driver_sql(statement)
    with journal._engine.begin() as connection:
        connection.exec_driver_sql("ANALYZE inbox, message, message_term")
    plans: list[str] = []

    @sqlalchemy.event.listens_for(journal._engine, "before_cursor_execute")
    def note(connection: Any, _cursor: Any, statement: str, given: Any, _context: Any, _many: bool) -> None:
        if statement.startswith("SELECT") and "inbox" in statement:
            plans.extend(connection.exec_driver_sql(f"EXPLAIN {statement}", given).scalars())

    for filters in (
        {}, {"after": (9_000, 1)}, {"verdict": "refused"}, {"partner": "P3"}, {"search": "R77"}, {"search": "T77"},
        {"finding": "CAD-077"}, {"finding": "CAD-07"}, {"reference": "R9"}, {"transaction_number": "T9"},
        {"state": "parked"}, {"state": "received"}, {"partner": "P3", "verdict": "refused", "after": (9_000, 1)},
    ):  # fmt: skip
        plans.clear()
        journal.list_messages(**filters)
        assert plans
        # All of what is open may be read, never all of the archive.
        assert [line for line in plans if "Seq Scan" in line and "Seq Scan on work" not in line] == [], filters
