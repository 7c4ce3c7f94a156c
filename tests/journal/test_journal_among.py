"""A list in one parameter: whatever its texts are, on both databases."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select

from gateway.journal import Journal
from gateway.journal.database import among
from gateway.journal.rows import storable
from gateway.journal.tables import chore, due

LETTERS = st.sampled_from("ab\"\\{},;' \n\t\u00e9\U0001f600") | st.characters(exclude_categories=["Cs"])
ODD = st.text(LETTERS, max_size=6)
SAMENESS = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@SAMENESS
@given(there=st.sets(ODD.map(storable), min_size=1), wanted=st.lists(ODD.map(storable)))
def test_texts_are_found_as_they_are(journal: Journal, there: set[str], wanted: list[str]) -> None:
    with journal._write() as connection:
        connection.execute(chore.delete())
        connection.execute(insert(chore), [{"name": name} for name in there])
        found: Any = connection.scalars(select(chore.c.name).where(among(chore.c.name, "wanted")), {"wanted": wanted})
        assert set(found) == there & set(wanted)
        all_of_it: Any = connection.scalars(
            select(chore.c.name).where(among(chore.c.name, "wanted")), {"wanted": [*there, "NULL", "null", ""]}
        )
        assert set(all_of_it) >= there


def test_numbers_and_nothing(journal: Journal) -> None:
    with journal._read() as connection:
        query = select(due.c.position).where(among(due.c.position, "wanted"))
        assert connection.scalars(query, {"wanted": []}).all() == []
        assert connection.scalars(query, {"wanted": [1, 2**62, -1]}).all() == []
