"""Test messages and production are two worlds: numbers, references, versions, results and retention (DECISIONS D68)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from click.testing import CliRunner

from core.calendar import eastern_day
from core.declaration import Declaration
from core.envelope import Envelope
from gateway import service
from gateway.cli.main import main
from gateway.engine.assess import assess
from gateway.journal import Journal, database, schemas
from gateway.queues import Letter
from gateway.trade.writer import write_edifact, write_xml
from routing.assessment import read_request, write_result
from routing.routes import RESULTS
from tests.support.builders import CORRECTION, DECLARATION, IMPORTER, valid_change, valid_declaration, withdraw_request
from tests.support.house import House, house, kinds
from tests.support.traffic import number
from tests.support.way import PARTNERS, RATES

NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
N = number(1)
DAYS: dict[str, Any] = {"accounting_date": eastern_day(NOW), "release_date": eastern_day(NOW) - timedelta(days=1)}


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(service, "now", lambda: NOW)
    with house(tmp_path) as opened:
        yield opened


def letter(
    declaration: Declaration, reference: str, *, test: bool, xml: bool = False, sender: str = "MAPLEBROKER"
) -> bytes:
    pack = DECLARATION if declaration.text("function_code") == "9" else CORRECTION
    said = Envelope(sender, "CARMGATEWAY", reference, message=None if xml else "1", test=test)
    return write_xml(declaration, pack, said) if xml else write_edifact([declaration], pack, said, prepared=NOW)


def original(**changes: Any) -> Declaration:
    return valid_declaration(lines=1, transaction_number=N, **DAYS, **changes)


def change(**changes: Any) -> Declaration:
    return valid_change(lines=1, transaction_number=N, **DAYS, **changes)


def verdicts(gateway: House) -> list[tuple[str, list[str]]]:
    """Return what was judged, oldest first; within a transmission in its order."""
    newest = [list(rows) for _, rows in groupby(gateway.journal.list_messages(channel="partner"), itemgetter("id"))]
    rows = [row for transmission in reversed(newest) for row in transmission]
    return [(row["verdict"], [finding["code"] for finding in row["findings"]]) for row in rows]


def on_file(gateway: House, *, test: bool) -> list[tuple[int, str, str]]:
    facts = gateway.journal.facts("maple", [N], []).of(test).attempts(N)
    return [(fact.version, fact.nature, fact.status) for fact in facts]


@pytest.mark.parametrize("xml", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_an_original_of_one_world_does_not_block_the_other(gateway: House, first: bool, xml: bool) -> None:
    """Nor does its reference, nor are they versions of one declaration."""
    sent = [letter(original(), "R1", test=test, xml=xml) for test in (first, not first)]
    gateway.send("maple", *sent)
    gateway.settle_down()
    assert verdicts(gateway) == [("accepted", []), ("accepted", [])]
    for test in (False, True):
        assert on_file(gateway, test=test) == [(1, "original", "assessed")]


def test_a_test_correction_or_withdrawal_knows_no_declaration_of_production(gateway: House) -> None:
    gateway.send("maple", letter(original(), "R1", test=False))
    gateway.settle_down()
    gateway.send("maple", letter(change(), "R2", test=True))
    gateway.send("maple", letter(withdraw_request(transaction_number=N), "R3", test=True))
    gateway.settle_down()
    assert verdicts(gateway)[1:] == [("refused", ["CAD-0210"]), ("refused", ["CAD-0210"])]
    gateway.send("maple", letter(change(), "R2", test=False))
    gateway.settle_down()
    assert on_file(gateway, test=False) == [(1, "original", "assessed"), (2, "correction", "assessed")]
    assert on_file(gateway, test=True) == []


def test_both_worlds_in_one_transmission_are_told_apart(gateway: House) -> None:
    both = letter(original(), "R1", test=True) + letter(change(), "R2", test=False)
    gateway.send("maple", both)
    gateway.settle_down()
    assert verdicts(gateway) == [("accepted", []), ("refused", ["CAD-0210"])]
    gateway.send("maple", letter(original(), "R2", test=False))  # nothing was accepted in its world under R2
    gateway.settle_down()
    assert verdicts(gateway)[2:] == [("accepted", [])]


def test_a_result_settles_the_world_of_its_request(gateway: House) -> None:
    gateway.send("maple", letter(original(), "R1", test=False), letter(original(), "R1", test=True))
    while gateway.receive() + gateway.work() + gateway.dispatch():
        pass
    (request,) = gateway.taken("assessment.requests.test")
    result = assess(read_request(request.body), RATES).result
    assert result is not None
    gateway.broker.publish([Letter("r", RESULTS, "application/json", write_result(result))])
    while gateway.receive() + gateway.work() + gateway.dispatch():
        pass
    assert on_file(gateway, test=True) == [(1, "original", "assessed")]
    assert on_file(gateway, test=False) == [(1, "original", "accepted")]


def test_who_asked_for_a_withdrawal_is_told_what_became_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version may be another broker's, whom the importer had before."""
    monkeypatch.setattr(service, "now", lambda: NOW)
    partners = {name: PARTNERS[name] for name in ("maple", "erable")}  # both act for the importer on file
    with house(tmp_path, partners) as gateway:
        gateway.send("maple", letter(original(), "R1", test=False))
        gateway.settle_down()
        assert kinds(gateway.answers("maple")) == ["receipt", "contrl", "accepted", "assessed"]
        request = withdraw_request(transaction_number=N, importer_bn=IMPORTER)
        gateway.send("erable", letter(request, "R1", test=False, sender="ERABLECOURTIER"))
        gateway.settle_down()
        assert len(kinds(gateway.answers("erable"))) == 3  # receipt, accepted, the engine's word
        assert kinds(gateway.answers("maple"))[4:] == []


def test_lists_show_which_world(gateway: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE_URL", f"sqlite:///{tmp_path}/gateway.sqlite3")
    gateway.send("maple", letter(original(), "R1", test=True), letter(original(), "R2", test=False))
    gateway.settle_down()
    listed = json.loads(CliRunner().invoke(main, ["list", "--format", "json"]).stdout)
    assert [row["test"] for row in listed] == [False, True]
    assert CliRunner().invoke(main, ["list"]).output.count("accepted test") == 1
    shown = [CliRunner().invoke(main, ["show", row["id"]]).output for row in listed]
    assert ["on file, of tests" in each for each in shown] == [False, True]
    assert [" test declaration" in each for each in shown] == [False, True]


def test_a_test_is_refused_where_tests_are_not_agreed_and_uses_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "now", lambda: NOW)
    closed = replace(PARTNERS["maple"], agreement=replace(PARTNERS["maple"].agreement, tests=False))
    with house(tmp_path, {"maple": closed}) as gateway:
        gateway.send("maple", letter(original(), "R1", test=True), letter(original(), "R1", test=True, xml=True))
        gateway.settle_down()
        assert verdicts(gateway) == [("refused", ["EDI-0113"]), ("refused", ["GTW-0016"])]
        assert on_file(gateway, test=True) == []


def test_tests_do_not_keep_what_is_older_than_it_may_be(gateway: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A declaration goes by the last message of its own world."""
    gateway.send("maple", letter(original(), "R1", test=False))
    gateway.settle_down()
    later = NOW + timedelta(days=400)
    monkeypatch.setattr(service, "now", lambda: later)
    gateway.send("maple", letter(original(), "R2", test=True), letter(original(), "R9", test=True))
    gateway.settle_down()
    cut = NOW + timedelta(days=1)
    periods = dict.fromkeys(("declaration", "refused", "repeated", "result"), cut)
    assert gateway.journal.purge(periods, now=later)["declaration"] == 1
    assert on_file(gateway, test=False) == []
    assert on_file(gateway, test=True) == [(1, "original", "assessed")]


def test_the_facts_of_a_past_time_are_told_by_world(gateway: House, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway.send("maple", letter(original(), "R1", test=True))
    gateway.settle_down()
    monkeypatch.setattr(service, "now", lambda: NOW + timedelta(seconds=1))
    gateway.send("maple", letter(change(), "R2", test=False))
    gateway.settle_down()
    journal = gateway.journal
    wanted = [journal.sequence_of(row["id"]) or 0 for row in journal.list_messages(channel="partner", limit=1)]
    (row,) = journal.recorded(wanted)
    (then,) = journal.facts_then([(row, [N], [])])
    assert then.attempts(N) == ()
    assert [fact.test for fact in then.of(test=True).attempts(N)] == [True]


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.broker)])
def test_the_migration_tells_the_worlds_of_a_former_journal_apart(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    url = request.getfixturevalue("postgres_url") if kind == "postgresql" else f"sqlite:///{tmp_path}/j.sqlite3"
    engine = database.open_engine(url, making=True)
    former = sqlalchemy.MetaData()
    with engine.begin() as connection:
        import alembic.command
        import alembic.config

        config = alembic.config.Config()
        config.set_main_option("script_location", str(schemas.MIGRATIONS))
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "0006")
    with engine.begin() as connection:
        former.reflect(connection)
        put = {table.name: table.insert() for table in former.sorted_tables}
        for sequence, test in ((1, True), (2, False)):
            connection.execute(
                put["inbox"],
                {
                    "sequence": sequence, "id": f"{sequence:032}", "uid": f"u{sequence}", "channel": "partner",
                    "partner": "maple", "received_at": NOW, "digest": "d", "headers": "{}", "lane": N, "state": "done",
                    "attempts": 1, "finished_at": NOW, "body": b"",
                },
            )  # fmt: skip
            said = json.dumps(
                {"recipient": None, "reference": f"R{sequence}", "sender": '"test":true', "test": test},
                separators=(",", ":"),
            )
            of_message = {"inbox": sequence, "ordinal": 1}
            connection.execute(
                put["message"],
                of_message | {
                    "syntax": "edifact", "type": "declaration", "envelope": said, "transaction_number": N,
                    "reference": f"R{sequence}", "verdict": "accepted", "findings": "[]", "specs": "",
                    "created_at": NOW,
                },
            )  # fmt: skip
            of_version = of_message | {"transaction_number": N, "attempt": sequence, "version": sequence}
            connection.execute(
                put["declaration_version"],
                of_version | {
                    "partner": "maple", "nature": "original", "status": "accepted", "accepted_at": NOW,
                    "declaration": '{"invoices":[],"values":{}}', "created_by_cbsa": False,
                },
            )  # fmt: skip
            asked = of_version | {"id": f"q{sequence}", "nature": "original", "status": "accepted"}
            connection.execute(put["assessment_request"], asked)
            used = {"partner": "maple", "reference": f"R{sequence}", "inbox": sequence, "digest": "d"}
            connection.execute(put["interchange_reference"], used)
    engine.dispose()
    journal = Journal.open(url)
    journal.migrate()
    register = journal.facts("maple", [N], ["R1", "R2"])
    assert [fact.version for fact in register.attempts(N)] == [2]
    assert [fact.version for fact in register.of(test=True).attempts(N)] == [1]
    with journal._read() as connection:
        rows = connection.exec_driver_sql("SELECT id, test FROM assessment_request ORDER BY id").all()
        references = connection.exec_driver_sql("SELECT inbox, test FROM interchange_reference ORDER BY inbox").all()
    assert [bool(test) for _, test in rows] == [True, False]
    assert [bool(test) for _, test in references] == [True, False]
    journal.close()
