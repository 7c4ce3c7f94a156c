"""A long archive does not slow the work: no statement of the service's steps goes through a whole table."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from gateway.journal import Chosen, Journal
from gateway.service import now
from tests.support.house import house
from tests.support.way import SAMPLES

# Tables that grow with the archive; the small partial indexes hold open work only.
GROWING = (
    "inbox|handled|message|message_term|outbox|sent|resent|interchange_reference|declaration_version"
    "|assessment_request|audit"
)
SMALL = "handled_parked|outbox_unacknowledged|assessment_request_unsettled"
WHOLE = re.compile(rf"SCAN ({GROWING})(?! USING (COVERING )?INDEX ({SMALL}))")


def test_no_step_goes_through_a_whole_table(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}
    with house(tmp_path) as gateway:

        @sqlalchemy.event.listens_for(gateway.journal._engine, "before_cursor_execute")
        def note(_connection: Any, _cursor: Any, statement: str, given: Any, _context: Any, many: bool) -> None:
            if statement.startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
                seen.setdefault(statement, given[0] if many else given)

        for name in ("originals/v-voluntary.edi", "changes/v-correction.edi", "changes/v-withdraw.edi"):
            gateway.send("maple", (SAMPLES / name).read_bytes())
            gateway.settle_down()
        gateway.send("maple", (SAMPLES / "originals/v-voluntary.edi").read_bytes())
        gateway.send("erable", (SAMPLES / "refused/many-faults.xml").read_bytes())
        gateway.settle_down()
        journal = gateway.journal
        journal.counts(now())
        journal.head()
        journal.events(3, 10)
        known = journal.list_messages(limit=1)[0]["id"]
        journal.show(known)
        journal.disown("host:1:", now())
        journal.resend(known, now())
        journal.partners()
        journal.requests(Chosen(), 50)
        journal.open_answers(Chosen(), now(), 50)
        with closing(sqlite3.connect(tmp_path / "gateway.sqlite3")) as raw:
            bad = []
            for statement, given in seen.items():
                plan = [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}", given)]
                bad += [(line, statement) for line in plan if WHOLE.match(line)]
    print(f"{len(seen)} statements looked at")
    assert len(seen) > 30
    # The lists that an operator asks for and limits himself may go through the newest rows.
    allowed = re.compile(r"ORDER BY inbox\.sequence DESC|ORDER BY audit\.n|count\(destination")
    assert [each for each in bad if not allowed.search(each[1])] == []


@pytest.mark.broker
def test_references_of_many_partners_are_looked_up_by_their_index(postgres_url: str) -> None:
    journal = Journal.open(postgres_url)
    journal.migrate()
    with journal._engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO interchange_reference (partner, reference, test, inbox, digest)"
            " SELECT 'P' || p, 'R' || r, false, p, ''"
            " FROM generate_series(0, 39) p, generate_series(0, 1999) r"
        )
        connection.exec_driver_sql("ANALYZE interchange_reference")
    plans: list[str] = []

    @sqlalchemy.event.listens_for(journal._engine, "before_cursor_execute")
    def note(connection: Any, _cursor: Any, statement: str, given: Any, _context: Any, _many: bool) -> None:
        if "FROM interchange_reference" in statement and not statement.startswith("EXPLAIN"):
            plans.extend(connection.exec_driver_sql(f"EXPLAIN {statement}", given).scalars())

    journal.facts_of([(f"P{n % 40}", [], [f"R{n}"]) for n in range(100)])
    assert plans
    assert not [line for line in plans if "Seq Scan on interchange_reference" in line]
