"""A journal of version 0.1.0 is opened, shown and continued; `data/make_journal_0_1_0.py` tells what is in it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import alembic.command
import alembic.config
import pytest
import sqlalchemy

from core.envelope import numbered
from core.register import Reference
from core.transmission import digest_of
from gateway import service
from gateway.journal import Journal, Selection, Unproven, database, inbox_id, schemas
from gateway.journal.codec import dump
from gateway.queues import Letter
from routing.routes import RESULTS
from tests.support.data.make_journal_0_1_0 import CHANGE, ORIGINAL, Clock, letter
from tests.support.house import House, house, kinds
from tests.support.traffic import number

FORMER = Path(__file__).parents[1] / "support/data/journal-0.1.0.sqlite3.gz"
HEAD = (66, "46ce904fbb2a15d749deb9e89c3a13a0a3b76280ba4fc4afe710c78a13691a33")
BODIES = {"A1": letter(ORIGINAL, 1, "A1"), "B2": letter(ORIGINAL, 2, "B2", "REF-B"), "D1": letter(ORIGINAL, 4, "D1")}


def unpacked(folder: Path) -> str:
    """Put the former journal where a gateway in this folder has its own; return its URL."""
    path = folder / "gateway.sqlite3"
    path.write_bytes(gzip.decompress(FORMER.read_bytes()))
    return f"sqlite:///{path}"


def onto_postgresql(url: str, source: str) -> None:
    """Make the former tables on PostgreSQL with the former migrations, and copy every row into them."""
    config = alembic.config.Config()
    config.set_main_option("script_location", str(schemas.MIGRATIONS))
    server, former = database.open_engine(url), sqlalchemy.create_engine(source)
    with server.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "0004")
    tables = sqlalchemy.MetaData()
    with server.begin() as connection, former.connect() as from_file:
        tables.reflect(connection)
        for table in tables.sorted_tables:
            if table.name != "alembic_version":
                rows = [dict(row) for row in from_file.execute(sqlalchemy.select(table)).mappings()]
                for row in rows:
                    moments = {name: value for name, value in row.items() if isinstance(value, datetime)}
                    row.update({name: value.replace(tzinfo=UTC) for name, value in moments.items()})
                connection.execute(table.insert(), rows) if rows else None
                for column in table.primary_key:
                    if column.server_default is not None:  # numbered by the database: it goes on behind the last
                        serial = sqlalchemy.func.pg_get_serial_sequence(table.name, column.name)
                        top = sqlalchemy.func.setval(serial, sqlalchemy.func.max(column))
                        connection.execute(sqlalchemy.select(top))
    server.dispose()
    former.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.broker)])
def gateway(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """Open the former journal with the gateway of today, a day later."""
    url = unpacked(tmp_path)
    if request.param == "postgresql":
        source, url = url, request.getfixturevalue("postgres_url")
        onto_postgresql(url, source)
    clock = Clock()
    clock.now = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
    monkeypatch.setattr(service, "now", clock)
    with house(tmp_path, database_url=url) as opened:
        yield opened


SPACES = {name: numbered("edifact", "MAPLEBROKER", "CARMGATEWAY", name) or "" for name in ("A1", "E1", "K1")}


def versions(gateway: House, n: int) -> list[tuple[int, int, str, str]]:
    register = gateway.journal.facts("maple", [number(n)], [])
    assert register.versions == {}, "all of it was marked as tests"
    register = register.of(test=True)
    return [(fact.attempt, fact.version, fact.nature, fact.status) for fact in register.attempts(number(n))]


def verdict(gateway: House) -> tuple[str | None, str | None, str | None]:
    (row,) = gateway.journal.list_messages(channel="partner", limit=1)
    return row["verdict"], row["transaction_number"], row["version"]


def test_it_is_listed_shown_and_proven(gateway: House) -> None:
    journal = gateway.journal
    rows = journal.list_messages()
    assert len(rows) == 15
    assert [row["state"] for row in rows].count("parked") == 1
    for row in rows:
        life = journal.show(row["id"])
        assert life is not None
        assert life["intact"]
    report = journal.verify(HEAD)
    assert (report.bad, report.links) == (None, HEAD[0])
    assert len(journal.recorded([sequence for sequence, _ in journal.selected(Selection())])) == 10


def test_what_came_before_is_found_by_what_it_says(gateway: House) -> None:
    """By references, codes of findings and, where it was on file, its importer."""
    journal = gateway.journal
    rows = [row for row in journal.list_messages(channel="partner") if row["verdict"]]
    codes = {finding["code"] for row in rows for finding in row["findings"]}
    assert codes
    for code in codes:
        told = [row["id"] for row in rows if code in {finding["code"] for finding in row["findings"]}]
        assert [row["id"] for row in journal.list_messages(finding=code)] == told, code
    for row in rows:
        if row["reference"]:
            assert row["id"] in [each["id"] for each in journal.list_messages(reference=row["reference"])]
    with journal._read() as connection:
        stored = connection.exec_driver_sql("SELECT declaration FROM declaration_version").scalars().all()
        importers = {json.loads(each)["values"]["importer_bn"] for each in stored}
    assert importers
    assert all(journal.list_messages(importer=each) for each in importers)


def test_what_was_on_file_is_and_every_version_is_an_attempt(gateway: House) -> None:
    assert versions(gateway, 1) == [(1, 1, "original", "assessed"), (2, 2, "correction", "assessed")]
    assert versions(gateway, 2) == [(1, 1, "original", "refused")]
    assert versions(gateway, 3) == [(1, 1, "original", "assessed")]
    assert versions(gateway, 4) == [(1, 1, "original", "accepted")]
    register = gateway.journal.facts("maple", [number(3)], [*SPACES.values()]).of(test=True)
    assert register.attempts(number(3))[0].withdrawal
    used = register.references["maple", SPACES["A1"]]
    assert used == Reference(digest_of(BODIES["A1"]), used.transmission, True)
    assert not register.references["maple", SPACES["E1"]].accepted
    assert ("maple", SPACES["K1"]) not in register.references


def test_what_waited_goes_out_and_its_result_settles(gateway: House) -> None:
    gateway.settle_down()
    assert kinds(gateway.answers("maple")) == ["receipt", "contrl", "accepted", "assessed"]
    assert versions(gateway, 4) == [(1, 1, "original", "assessed")]


def test_a_resend_is_answered_again(gateway: House) -> None:
    gateway.settle_down()
    gateway.answers("maple")
    gateway.send("maple", BODIES["A1"])
    gateway.settle_down()
    assert kinds(gateway.answers("maple")) == ["receipt", "contrl", "accepted", "assessed", "receipt"]
    assert len(versions(gateway, 1)) == 2


def test_a_correction_follows(gateway: House) -> None:
    gateway.send("maple", letter(CHANGE, 1, "A3", version="00003").replace(b"KGM:10", b"KGM:11"))
    gateway.settle_down()
    assert verdict(gateway) == ("accepted", number(1), "00003")
    assert versions(gateway, 1)[2:] == [(3, 3, "correction", "assessed")]


def test_the_engines_word_on_a_withdrawal_that_it_had_yet_to_decide(gateway: House) -> None:
    (row,) = gateway.journal.list_messages(transaction_number=number(3), limit=1)
    life = gateway.journal.show(row["id"])
    assert life is not None
    (request,) = life["requests"]
    body = request["result"].replace('"outcome":"pending"', '"outcome":"approved"')
    gateway.broker.publish([Letter("late", RESULTS, "application/json", body.encode())])
    gateway.settle_down()
    assert versions(gateway, 3) == [(1, 1, "original", "withdrawn")]


@pytest.mark.parametrize("way", ["released", "sent again"])
def test_what_was_parked_for_a_refused_version_is_accepted(gateway: House, way: str) -> None:
    if way == "released":
        (row,) = gateway.journal.list_messages(state="parked")
        sequence = gateway.journal.sequence_of(row["id"])
        assert sequence is not None
        assert gateway.journal.release_parked(sequence, "Jo", service.now())
    else:
        gateway.send("maple", BODIES["B2"].replace(b"B2", b"B3"))
    gateway.settle_down()
    assert versions(gateway, 2) == [(1, 1, "original", "refused"), (2, 1, "original", "assessed")]


def test_what_was_on_file_when_each_was_judged_can_still_be_told(gateway: House) -> None:
    journal = gateway.journal
    rows = journal.recorded([sequence for sequence, _ in journal.selected(Selection())])
    registers = [one.of(test=True) for one in journal.facts_then([(row, [number(1), number(2)], []) for row in rows])]
    seen = [len(register.attempts(number(1))) for register in registers]
    assert seen == sorted(seen)
    assert registers[-1].attempts(number(2))[0].status == "refused"


def test_what_the_migration_filled_has_statistics(gateway: House) -> None:
    """PostgreSQL looked for one life in all that was ever sent, until it had a look by itself."""
    with gateway.journal._read() as connection:
        if connection.dialect.name == "postgresql":
            known = connection.exec_driver_sql("SELECT DISTINCT tablename FROM pg_stats WHERE schemaname = 'public'")
            assert {"handled", "sent"} <= set(known.scalars())


def test_another_gateway_that_opens_it_too_finds_it_as_it_is(gateway: House) -> None:
    again = Journal.open(gateway.journal._engine.url.render_as_string(hide_password=False))
    again.migrate()
    assert again.head() == HEAD
    again.close()


@pytest.mark.parametrize("database_kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.broker)])
def test_a_sender_that_was_not_proven_is_not_proven_now(
    request: pytest.FixtureRequest, tmp_path: Path, database_kind: str
) -> None:
    """The former versions wrote it among the sender's own headers; one such row is finished, one still waits."""
    url = unpacked(tmp_path)
    former = sqlalchemy.create_engine(url)
    with former.begin() as connection:
        sequences = connection.scalars(
            sqlalchemy.text("SELECT sequence FROM inbox WHERE channel = 'partner' ORDER BY sequence LIMIT 2")
        ).all()
        for sequence, user in zip(sequences, ("", "erable"), strict=True):
            told = {
                "kind": "cad",
                "queue": "in.maple",
                "unproven": "GTW-0012" if not user else "GTW-0013",
                "user": user,
            }
            connection.execute(
                sqlalchemy.text("UPDATE inbox SET partner = '', headers = :told WHERE sequence = :sequence"),
                {"told": dump(told), "sequence": sequence},
            )
        # The second was received only.
        connection.execute(
            sqlalchemy.text(
                "UPDATE inbox SET state = 'received', attempts = 0, worker = NULL, lease_until = NULL,"
                " finished_at = NULL, uid = 'again', id = :id WHERE sequence = :sequence"
            ),
            {"id": inbox_id("again"), "sequence": sequences[1]},
        )
        for table in ("outbox", "message"):
            connection.execute(
                sqlalchemy.text(f"DELETE FROM {table} WHERE inbox = :sequence"),  # noqa: S608 - a name of ours
                {"sequence": sequences[1]},
            )
    former.dispose()
    if database_kind == "postgresql":
        source, url = url, request.getfixturevalue("postgres_url")
        onto_postgresql(url, source)
    with house(tmp_path, database_url=url) as gateway:
        done, waiting = gateway.journal.recorded(sequences)
        assert (done.headers, done.unproven) == ({"kind": "cad"}, Unproven("GTW-0012", "in.maple", None))
        assert (waiting.headers, waiting.unproven) == ({"kind": "cad"}, Unproven("GTW-0013", "in.maple", "erable"))
        assert gateway.work() > 0
        (judged,) = gateway.journal.recorded(sequences[1:])
        assert [(told.verdict, told.codes) for told in judged.messages] == [("refused", ("GTW-0013",))]
