"""The journal on SQLite and PostgreSQL: what is committed with what, who gets which work, what repeats."""

from __future__ import annotations

import multiprocessing
import sqlite3
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from core import limits
from core.declaration import Declaration, MessageType, Nature, VersionFact
from core.envelope import Envelope
from core.errors import GatewayError, JournalUnavailable
from core.findings import Bilingual, Finding, Place, Severity
from core.transmission import Judged, Message, Outcome, Outgoing, Syntax, Verdict, stable_id
from gateway.journal import Claimed, Conflict, Delivery, Journal, Settlement, inbox_id
from gateway.journal.inbox import WINDOW
from gateway.journal.outbox import FAILURES
from gateway.journal.tables import metadata

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
NUMBER = "12345000000017"
OURS = Bilingual("ours", "nôtre")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.broker)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/journal.sqlite3"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def journal(url: str) -> Iterator[Journal]:
    opened = Journal.open(url)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def raw(journal: Journal, url: str) -> Iterator[sqlalchemy.Engine]:
    """The database by another door, as somebody who tampers with it has it."""
    engine = sqlalchemy.create_engine(url)
    yield engine
    engine.dispose()


def delivery(uid: str, lane: str = NUMBER, partner: str | None = "P1", **more: Any) -> Delivery:
    given = {
        "channel": "partner",
        "body": uid.encode(errors="replace"),
        "headers": {"content-type": "text/plain"},
        "received_at": NOW,
    }
    return Delivery(uid=uid, partner=partner, lane=lane, **given | more)


def outgoing(kind: str, *parts: str, to: str = "out.P1", ordinal: int | None = 1) -> Outgoing:
    return Outgoing(stable_id(kind, *parts), kind, to, "application/xml", f"{kind} {parts}".encode(), ordinal)


def outcome(
    row: Claimed,
    *,
    number: str = NUMBER,
    version: int = 1,
    reference: str | None = None,
    nature: Nature = Nature.ORIGINAL,
    accepted: bool = True,
    answers: tuple[Outgoing, ...] | None = None,
) -> Outcome:
    declaration = Declaration(
        {"transaction_number": number, "version": f"{version:05}", "gross_weight": Decimal("1.50")}
    )
    message = Message(
        1,
        Syntax.XML,
        MessageType.DECLARATION,
        Envelope(sender="P1", reference=reference, message="M\0" + row.uid),
        "chapter24",
        declaration,
        (),
        None,  # type: ignore[arg-type]
    )
    if not accepted:
        finding = Finding("CAD-0001", Severity.REFUSE, Bilingual("no", "non"), Place(segment=2), None, None, OURS)
        judged = Judged(message, Verdict.REFUSED, (finding,))
    else:
        fact = VersionFact(version, "P1", nature, "accepted", declaration, NOW, date(2026, 6, 1))
        judged = Judged(message, Verdict.ACCEPTED, (), nature, fact)
    if answers is None:
        answers = (outgoing("accepted" if accepted else "refused", row.id),)
        answers += (outgoing("request", row.id, to="assessment.requests"),) if accepted else ()
    return Outcome(row.received, Syntax.XML, (judged,), answers)


def claim_one(journal: Journal, worker: str = "w", now: datetime = NOW) -> Claimed:
    (row,) = journal.claim(worker, 1, 60, now).work
    return row


def bring(journal: Journal, uid: str, **more: Any) -> Claimed:
    """Deliver and claim one transmission."""
    assert journal.receive([delivery(uid, **more)]) == [True]
    return claim_one(journal)


def sent(journal: Journal, now: datetime = NOW) -> list[str]:
    """Send everything that is due and return the kinds, in order."""
    due = journal.due(1000, now)
    journal.mark_sent([item.id for item in due], now)
    return [item.kind for item in due]


# ------------------------------------------------------------------------------------------------ the schema


def test_the_migrations_make_the_tables_that_the_journal_uses(journal: Journal, raw: sqlalchemy.Engine) -> None:
    journal.migrate()
    journal.check()
    with raw.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def _migrate(url: str) -> None:
    Journal.open(url).migrate()


@pytest.mark.slow
def test_several_processes_may_migrate_at_once(url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_migrate, args=(url,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    Journal.open(url).check()


def test_several_threads_may_migrate_at_once(url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: _migrate(url), range(4)))
    Journal.open(url).check()


def test_sqlite_is_durable_and_private(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "journal.sqlite3"
    journal = Journal.open(f"sqlite:///{path}")
    journal.migrate()
    with journal._read() as connection:
        pragmas = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    assert pragmas == ["wal", 2]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# ------------------------------------------------------------------------------------------------ the database is away


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://joe:s3cret@127.0.0.1:1/gateway",
        "postgresql+psycopg://joe:s3cret@127.0.0.1:1/gateway?password=s3cret",
        "mysql://joe:s3cret@127.0.0.1/gateway",
        "sqlite://",
        "sqlite:////proc/nowhere/journal.sqlite3",
        "not a url with s3cret",
    ],
)
def test_an_unusable_database_is_one_clear_line_without_the_password(url: str) -> None:
    with pytest.raises(JournalUnavailable) as caught:
        Journal.open(url).migrate()
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_missing_tables_and_foreign_files_are_told(url: str, tmp_path: Path) -> None:
    with pytest.raises(JournalUnavailable, match="no tables"):
        Journal.open(url).check()
    (tmp_path / "other").write_bytes(b"this is no database " * 100)
    with pytest.raises(JournalUnavailable, match="not a database"):
        Journal.open(f"sqlite:///{tmp_path}/other").check()


def test_a_held_lock_is_told_and_work_goes_on_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.journal.database.LOCK_SECONDS", 0.1)
    journal = Journal.open(f"sqlite:///{tmp_path}/journal.sqlite3")
    journal.migrate()
    with closing(sqlite3.connect(tmp_path / "journal.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalUnavailable, match="locked"):
            journal.receive([delivery("a")])
        assert not journal.claim("w", 1, 60, NOW)  # looking for work needs no lock
        other.execute("ROLLBACK")
    assert journal.receive([delivery("a")]) == [True]


@pytest.mark.broker
def test_a_database_that_comes_back_is_used_again(postgres_url: str) -> None:
    journal = Journal.open(postgres_url)
    journal.migrate()
    with sqlalchemy.create_engine(postgres_url).connect() as other:
        other.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    with pytest.raises(JournalUnavailable):
        journal.receive([delivery("a")])
    assert journal.receive([delivery("a")]) == [True]


# ------------------------------------------------------------------------------------------------ receive


def test_a_redelivery_adds_nothing(journal: Journal) -> None:
    receipts = [outgoing("receipt", str(n), ordinal=None) for n in range(2)]
    first = journal.receive([delivery("a", receipt=receipts[0]), delivery("b"), delivery("a", receipt=receipts[0])])
    second = journal.receive([delivery("c", receipt=receipts[1]), delivery("b", body=b"other bytes")])
    assert (first, second) == ([True, True, False], [True, False])
    assert sent(journal) == ["receipt", "receipt"]
    assert [entry["id"] for entry in journal.list_messages()] == [inbox_id(uid) for uid in "cba"]
    assert journal.show(inbox_id("b"))["body"] == b"b"
    assert journal.receive([]) == []


def test_hostile_texts_are_kept(journal: Journal) -> None:
    uid, lane = "\0\udc80" + "x" * 9_000, "y" * 9_000
    row = bring(journal, uid, lane=lane, partner="\0", headers={"h": "\0\udc80"}, body=bytes(range(256)))
    assert (row.id, row.headers, row.body) == (inbox_id(uid), {"h": "\0\udc80"}, bytes(range(256)))
    reference = "r\0" * 9_000
    assert journal.finish([(row, outcome(row, reference=reference))], specs="d", now=NOW) == [True]
    known = journal.facts("\0", [NUMBER, "z" * 9_000], [reference, reference + "!"])
    assert known.references == {reference: row.digest}
    assert known.first == {reference: row.id}
    assert journal.show(row.id)["messages"][0]["message_reference"].startswith("M\ufffd\ufffd")


@pytest.mark.broker
def test_a_number_that_does_not_fit_is_not_cut(postgres_url: str) -> None:
    journal = Journal.open(postgres_url)
    journal.migrate()
    row = bring(journal, "a")
    with pytest.raises(OverflowError, match="out of range"):
        journal.finish([(row, outcome(row, version=9_999_999_999))], specs="d", now=NOW)
    assert journal.facts("P1", [NUMBER], []).histories == {}
    assert journal.finish([(row, outcome(row, version=2**31 - 1))], specs="d", now=NOW) == [True]
    assert journal.facts("P1", [NUMBER], []).histories[NUMBER][0].version == 2**31 - 1


def test_times_must_be_aware_and_come_back_so(journal: Journal) -> None:
    eastern = datetime(2026, 5, 4, 8, 30, tzinfo=UTC).astimezone(tz=None)
    assert bring(journal, "a", received_at=eastern).received_at == eastern
    with pytest.raises((sqlalchemy.exc.StatementError, TypeError), match="aware"):
        journal.receive([delivery("b", received_at=datetime(2026, 5, 4))])  # noqa: DTZ001


# ------------------------------------------------------------------------------------------------ claim


def test_work_comes_oldest_first_one_of_a_lane_at_a_time(journal: Journal) -> None:
    journal.receive(
        [
            delivery("a", lane="1"),
            delivery("b", lane="1"),
            delivery("c", lane="2"),
            delivery("d", lane="1", partner="P2"),
            delivery("e", lane="1", channel="assessment"),
            delivery("f", lane="*"),
            delivery("g", lane="3"),
        ]
    )
    first = journal.claim("w", 10, 60, NOW).work
    assert [row.uid for row in first] == ["a", "c", "d", "e"]
    assert not journal.claim("v", 10, 60, NOW)
    journal.park([(row, "x", ()) for row in first], now=NOW)
    for uid in "bfg":
        (row,) = journal.claim("w", 10, 60, NOW).work
        assert row.uid == uid
        journal.park([(row, "x", ())], now=NOW)
    assert not journal.claim("w", 10, 60, NOW)


def test_a_lane_that_waits_does_not_hold_others_up(journal: Journal) -> None:
    """One sender's long queue of interchanges, each of which waits for the one before."""
    journal.receive([delivery(f"a{n}", lane="*", body=b"") for n in range(WINDOW + 5)])
    journal.receive([delivery("b", lane="*", partner="P2"), delivery("c", lane="9", partner="P3")])
    assert claim_one(journal).uid == "a0"
    assert {row.uid for row in journal.claim("v", 10, 60, NOW).work} == {"b", "c"}


def test_a_dead_workers_lease_runs_out_and_its_work_is_tried_alone(journal: Journal) -> None:
    journal.receive([delivery(uid, lane=uid) for uid in "abc"])
    assert [row.attempts for row in journal.claim("dead", 10, 60, NOW).work] == [1, 1, 1]
    assert not journal.claim("w", 10, 60, NOW + timedelta(seconds=59))
    journal.receive([delivery("d", lane="d")])
    got = [[(row.uid, row.attempts) for row in journal.claim("w", 10, 60, LATER).work] for _ in range(5)]
    assert got == [[("a", 2)], [("b", 2)], [("c", 2)], [("d", 1)], []]


def test_a_released_message_has_not_been_tried(journal: Journal) -> None:
    journal.receive([delivery(uid, lane=uid) for uid in "ab"])
    journal.release(journal.claim("w", 10, 60, NOW).work)
    assert [row.attempts for row in journal.claim("v", 10, 60, NOW).work] == [1, 1]


def test_a_message_that_kills_its_worker_ends_parked_with_an_answer(journal: Journal) -> None:
    journal.receive([delivery("poison"), delivery("next")])
    for attempt in range(limits.ATTEMPTS):
        claims = journal.claim(f"w{attempt}", 1, 60, NOW + timedelta(hours=attempt))
        assert [row.attempts for row in claims.work] == [attempt + 1]
    # Whoever finds it used up may die as well before it is parked: then it is found again.
    for hour in (10, 20):
        claims = journal.claim("w", 1, 60, NOW + timedelta(hours=hour))
        assert (claims.work, len(claims.exhausted)) == ((), 1)
    now = NOW + timedelta(hours=20)
    assert journal.park([(claims.exhausted[0], "kills", [outgoing("technical", "poison")])], now=now) == [True]
    assert sent(journal) == ["technical"]
    assert journal.counts(now)["parked"] == 1
    assert claim_one(journal, now=now).uid == "next"


def test_many_workers_never_get_the_same_row_and_keep_the_lanes_in_order(journal: Journal) -> None:
    journal.receive([delivery(f"{n:03}", lane=str(n % 7) if n % 10 else "*", partner=f"P{n % 3}") for n in range(60)])
    finished: list[tuple[str, str, str]] = []
    guard = threading.Lock()

    def work(name: str) -> None:
        while journal.counts(NOW)["received"] + journal.counts(NOW)["working"]:
            for row in journal.claim(name, 3, 600, NOW).work:
                with guard:
                    finished.append((row.partner or "", row.lane, row.uid))
                number = f"{row.sequence:014}"
                assert journal.finish([(row, outcome(row, number=number))], specs="d", now=NOW) == [True]

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work, f"w{n}") for n in range(4)]:
            done.result()
    assert sorted(uid for _, _, uid in finished) == [f"{n:03}" for n in range(60)]
    for at, (partner, lane, uid) in enumerate(finished):
        for other, other_lane, earlier in finished[at + 1 :]:
            if other == partner and (lane == other_lane or "*" in {lane, other_lane}):
                assert uid < earlier
    assert journal.verify().bad is None


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("SELECT lane FROM inbox WHERE finished_at IS NULL AND sequence > 5 ORDER BY sequence", "inbox_unfinished"),
        ("SELECT count(*) FROM inbox WHERE state = 'parked'", "inbox_parked"),
        ("SELECT min(destination) FROM outbox WHERE sent_at IS NULL AND destination > 'a'", "outbox_due"),
        ("SELECT id FROM outbox WHERE sent_at IS NULL AND destination = 'a' ORDER BY position LIMIT 5", "outbox_due"),
        ("SELECT min(position) FROM outbox WHERE sent_at IS NULL AND destination = 'a'", "outbox_due"),
    ],
)  # fmt: skip
def test_a_long_archive_does_not_slow_the_work(
    journal: Journal, raw: sqlalchemy.Engine, statement: str, index: str
) -> None:
    """The index that holds open rows only is the one that is used."""
    with raw.connect() as connection:
        if raw.dialect.name == "sqlite":
            plan = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement).all()
        else:
            connection.exec_driver_sql("SET enable_seqscan = off")
            connection.exec_driver_sql("SET enable_bitmapscan = off")
            plan = connection.exec_driver_sql("EXPLAIN " + statement).all()
    assert index in str(plan)


# ------------------------------------------------------------------------------------------------ finish


def test_a_verdict_is_written_with_its_effects_and_answers(journal: Journal) -> None:
    row = bring(journal, "a")
    assert journal.finish([(row, outcome(row, reference="R1"))], specs="digest", now=NOW) == [True]
    known = journal.facts("P1", [NUMBER, "other"], ["R1", "R2"])
    (fact,) = known.histories[NUMBER]
    assert (fact.version, fact.nature, fact.status) == (1, Nature.ORIGINAL, "accepted")
    assert (fact.payment_due, fact.accepted_at, fact.created_by_cbsa) == (date(2026, 6, 1), NOW, False)
    assert fact.declaration.amount("gross_weight") == Decimal("1.50")
    assert set(known.histories) == {NUMBER}
    assert known.references == {"R1": row.digest}
    assert journal.facts("P2", [], ["R1"]).references == {}
    life = journal.show(row.id[:9])
    assert (life["state"], life["intact"], life["body"]) == ("done", True, b"a")
    assert life["messages"][0]["specs"] == "digest"
    assert [item["kind"] for item in life["outbox"]] == ["accepted", "request"]
    assert [link["event"] for link in life["audit"]] == ["received", "judged"]
    assert sent(journal) == ["accepted", "request"]


def test_a_refusal_keeps_its_findings(journal: Journal) -> None:
    row = bring(journal, "a")
    journal.finish([(row, outcome(row, accepted=False))], specs="d", now=NOW)
    (told,) = journal.show(row.id)["messages"][0]["findings"]
    assert (told["code"], told["place"]) == ("CAD-0001", {"segment": 2})
    assert journal.facts("P1", [NUMBER], []).histories == {}
    assert [entry["verdict"] for entry in journal.list_messages(verdict="refused", transaction_number=NUMBER)] == [
        "refused"
    ]
    assert journal.list_messages(partner="P2") == []


def test_a_lost_lease_has_no_effect(journal: Journal) -> None:
    slow = bring(journal, "a")
    quick = claim_one(journal, "w", LATER)
    assert journal.finish([(slow, outcome(slow))], specs="d", now=LATER) == [False]
    assert journal.facts("P1", [NUMBER], []).histories == {}
    assert journal.finish([(quick, outcome(quick))], specs="d", now=LATER) == [True]
    for again in (slow, quick):
        assert journal.finish([(again, outcome(again))], specs="d", now=LATER) == [False]
        assert journal.park([(again, "late", ())], now=LATER) == [False]
        assert journal.answer_again(again, "x" * 32, LATER) == 0
    journal.release([slow, quick])
    assert not journal.claim("v", 1, 60, LATER + timedelta(days=1))


def test_a_late_worker_whose_lease_nobody_took_may_finish(journal: Journal) -> None:
    row = bring(journal, "a")
    assert journal.finish([(row, outcome(row))], specs="d", now=LATER) == [True]


def test_a_version_takes_effect_once(journal: Journal) -> None:
    journal.receive([delivery("a", lane="1"), delivery("b", lane="1", partner="P2")])
    first, second = journal.claim("w", 2, 60, NOW).work
    with pytest.raises(Conflict):
        journal.finish([(first, outcome(first)), (second, outcome(second))], specs="d", now=NOW)
    assert journal.facts("P1", [NUMBER], []).histories == {}
    assert sent(journal) == []
    assert journal.finish([(first, outcome(first))], specs="d", now=NOW) == [True]
    with pytest.raises(Conflict):
        journal.finish([(second, outcome(second))], specs="d", now=NOW)
    assert journal.finish([(second, outcome(second, accepted=False))], specs="d", now=NOW) == [True]
    assert sorted(sent(journal)) == ["accepted", "refused", "request"]
    assert journal.verify().bad is None


def test_a_reference_is_taken_once_by_an_accepted_message(journal: Journal) -> None:
    journal.receive([delivery(uid, lane=uid) for uid in "abc"])
    rows = journal.claim("w", 3, 60, NOW).work
    outcomes = [
        outcome(rows[0], number="1", reference="R"),
        outcome(rows[1], number="2", reference="R"),
        outcome(rows[2], number="3", reference="R", accepted=False),
    ]
    with pytest.raises(Conflict):
        journal.finish(list(zip(rows, outcomes, strict=True)), specs="d", now=NOW)
    journal.finish([(rows[0], outcomes[0])], specs="d", now=NOW)
    with pytest.raises(Conflict):
        journal.finish([(rows[1], outcomes[1])], specs="d", now=NOW)
    assert journal.finish([(rows[2], outcomes[2])], specs="d", now=NOW) == [True]
    assert journal.facts("P1", [], ["R"]).first == {"R": rows[0].id}


def test_a_reference_under_which_nothing_was_accepted_stays_free(journal: Journal) -> None:
    journal.receive([delivery(uid, lane=uid) for uid in "abcd"])
    rows = journal.claim("w", 4, 60, NOW).work
    for row in rows[:2]:
        journal.finish([(row, outcome(row, number="1", reference="R", accepted=False))], specs="d", now=NOW)
        known = journal.facts("P1", [], ["R"])
        assert known.free == {"R"}
        assert (known.references, known.first) == ({"R": row.digest}, {"R": row.id})
    for row, number in ((rows[2], "2"), (rows[3], "3")):
        accepted = outcome(row, number=number, reference="R")
        if row is rows[2]:
            assert journal.finish([(row, accepted)], specs="d", now=NOW) == [True]
        else:
            with pytest.raises(Conflict):
                journal.finish([(row, accepted)], specs="d", now=NOW)
        known = journal.facts("P1", [], ["R"])
        assert known.free == set()
        assert (known.references, known.first) == ({"R": rows[2].digest}, {"R": rows[2].id})


def test_what_is_given_back_rests_and_has_been_tried(journal: Journal) -> None:
    journal.receive([delivery("a"), delivery("b", lane="b")])
    bad, good = journal.claim("w", 2, 60, NOW).work
    journal.give_back([bad], NOW + timedelta(seconds=1))
    assert journal.finish([(good, outcome(good))], specs="d", now=NOW) == [True]
    assert journal.finish([(bad, outcome(bad))], specs="d", now=NOW) == [False]
    assert not journal.claim("w", 2, 60, NOW)
    (again,) = journal.claim("w", 2, 60, NOW + timedelta(seconds=1)).work
    assert (again.id, again.attempts) == (bad.id, 2)


def test_workers_that_race_for_a_version_leave_one_winner(journal: Journal) -> None:
    journal.receive([delivery(str(n), partner=f"P{n}") for n in range(6)])
    rows = [claim_one(journal, f"w{n}") for n in range(6)]

    def finish(row: Claimed) -> bool:
        try:
            return journal.finish([(row, outcome(row))], specs="d", now=NOW) == [True]
        except Conflict:
            return False

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(finish, rows)) == [False] * 5 + [True]
    assert sorted(sent(journal)) == ["accepted", "request"]
    assert journal.verify().bad is None


# ------------------------------------------------------------------------------------------------ assessment


def result(journal: Journal, uid: str, body: bytes = b'{"outcome": "approved"}') -> Claimed:
    return bring(journal, uid, channel="assessment", partner=None, lane=uid, body=body)


def accept(journal: Journal, uid: str = "a", **more: Any) -> str:
    """Bring one declaration to acceptance and return the id of the request to the engine."""
    row = bring(journal, uid)
    assert journal.finish([(row, outcome(row, **more))], specs="d", now=NOW) == [True]
    return stable_id("request", row.id)


def test_an_assessment_counts_once(journal: Journal) -> None:
    request = accept(journal)
    case = journal.case(request)
    assert case is not None
    assert (case.transaction_number, case.received.body, case.ordinal) == (NUMBER, b"a", 1)
    assert (case.syntax, case.envelope.sender) == (Syntax.XML, "P1")
    sent(journal)
    settled = Settlement(request, "assessed", (outgoing("assessed", request),), date(2026, 7, 1))
    first, second = result(journal, "r1"), result(journal, "r2")
    assert journal.settle([(first, settled), (second, settled)], now=NOW) == [True, False]
    assert journal.settle([(first, settled)], now=NOW) == [False]
    assert sent(journal) == ["assessed"]
    (fact,) = journal.facts("P1", [NUMBER], []).histories[NUMBER]
    assert (fact.status, fact.payment_due) == ("assessed", date(2026, 7, 1))
    life = journal.show(inbox_id("a"))
    assert [item["kind"] for item in life["outbox"]] == ["accepted", "request", "assessed"]
    assert life["requests"][0]["result"] == '{"outcome": "approved"}'
    assert [link["event"] for link in life["audit"]] == ["received", "judged", "sent", "sent", "settled", "sent"]
    assert journal.show(inbox_id("r2"))["note"] == "repeats a result"


def test_a_result_without_a_request_has_no_effect(journal: Journal) -> None:
    row = result(journal, "r1")
    unknown = "f" * 32
    assert journal.case(unknown) is None
    assert journal.settle([(row, Settlement(unknown, "assessed", (outgoing("assessed", "x"),)))], now=NOW) == [False]
    assert sent(journal) == []
    assert journal.show(row.id)["note"] == "answers no request of ours"
    assert journal.counts(NOW)["working"] == 0


def test_a_review_ends_once(journal: Journal) -> None:
    request = accept(journal)
    steps = [("pending", True), ("pending", False), ("assessed", True), ("pending", False), ("refused", False)]
    for n, (status, counts) in enumerate(steps):
        assert journal.settle([(result(journal, f"r{n}"), Settlement(request, status))], now=NOW) == [counts]
    (fact,) = journal.facts("P1", [NUMBER], []).histories[NUMBER]
    assert (fact.status, fact.payment_due) == ("assessed", date(2026, 6, 1))


def test_a_withdrawal_counts_when_it_is_granted(journal: Journal) -> None:
    original = accept(journal)
    refused = accept(journal, "b", nature=Nature.WITHDRAWAL)
    granted = accept(journal, "c", nature=Nature.WITHDRAWAL)
    case = journal.case(granted)
    assert case is not None
    assert (case.fact.nature, case.received.body) == (Nature.WITHDRAWAL, b"c")

    def settle(uid: str, request: str, status: str) -> list[tuple[Nature, str]]:
        assert journal.settle([(result(journal, uid), Settlement(request, status))], now=NOW) == [True]
        return [(fact.nature, fact.status) for fact in journal.facts("P1", [NUMBER], []).histories[NUMBER]]

    def waits() -> list[bool]:
        return [fact.withdrawal for fact in journal.facts("P1", [NUMBER], []).histories[NUMBER]]

    assert waits() == [True]
    assert settle("r1", refused, "refused") == [(Nature.ORIGINAL, "accepted")]
    assert waits() == [True], "the other one"
    assert settle("r1a", granted, "pending") == [(Nature.ORIGINAL, "accepted")]
    assert waits() == [True]
    assert settle("r2", granted, "withdrawn") == [(Nature.ORIGINAL, "withdrawn")]
    assert settle("r3", original, "assessed") == [(Nature.ORIGINAL, "withdrawn")]
    assert waits() == [False]


def test_a_withdrawal_in_the_same_breath_as_its_original(journal: Journal) -> None:
    journal.receive([delivery("a", lane="1"), delivery("b", lane="2")])
    first, second = journal.claim("w", 2, 60, NOW).work
    both = [(first, outcome(first)), (second, outcome(second, nature=Nature.WITHDRAWAL))]
    assert journal.finish(both, specs="d", now=NOW) == [True, True]
    assert [fact.nature for fact in journal.facts("P1", [NUMBER], []).histories[NUMBER]] == [Nature.ORIGINAL]
    case = journal.case(stable_id("request", second.id))
    assert case is not None
    assert case.fact.nature is Nature.WITHDRAWAL


def test_a_withdrawal_of_what_is_not_on_file_is_kept_itself(journal: Journal) -> None:
    accept(journal, nature=Nature.WITHDRAWAL)
    assert [fact.nature for fact in journal.facts("P1", [NUMBER], []).histories[NUMBER]] == [Nature.WITHDRAWAL]


def test_facts_for_many_are_the_facts_of_each(journal: Journal) -> None:
    journal.receive([delivery("a", lane="1"), delivery("b", lane="2", partner="P2")])
    first, second = journal.claim("w", 2, 60, NOW).work
    for row, number in ((first, "1"), (second, "2")):
        journal.finish([(row, outcome(row, number=number, reference="R"))], specs="d", now=NOW)
    asked = [("P1", ["1", "2"], ["R"]), ("P2", ["2"], ["R", "S"]), ("P3", ["3"], ["R"]), (None, [], [])]
    assert journal.facts_of(asked) == [journal.facts(*one) for one in asked]
    assert [known.first for known in journal.facts_of(asked)] == [{"R": first.id}, {"R": second.id}, {}, {}]
    many = [f"{n:014}" for n in range(12_000)]
    assert journal.facts("P1", [*many, "1"], [*many, "R"]).first == {"R": first.id}


def test_a_history_is_oldest_first(journal: Journal) -> None:
    for version in (2, 10, 1):
        accept(journal, f"v{version}", version=version)
    assert [fact.version for fact in journal.facts("P1", [NUMBER], []).histories[NUMBER]] == [1, 2, 10]


# ------------------------------------------------------------------------------------------------ resends


def test_a_resend_gets_the_stored_answers_with_their_ids_and_no_new_effect(journal: Journal) -> None:
    request = accept(journal)
    journal.settle([(result(journal, "r"), Settlement(request, "assessed", (outgoing("assessed", request),)))], now=NOW)
    before = [(item.id, item.body) for item in journal.due(10, NOW) if item.kind != "request"]
    assert sent(journal) == ["accepted", "assessed", "request"]
    resend = bring(journal, "again", body=b"a")
    assert journal.answer_again(resend, inbox_id("a"), LATER) == 2
    assert [(item.id, item.body) for item in journal.due(10, LATER)] == before
    assert journal.show(resend.id)["note"] == f"resend of {inbox_id('a')}"
    assert sent(journal) == ["accepted", "assessed"]
    assert journal.resend(inbox_id("a"), LATER) == 2
    assert journal.resend("f" * 32, LATER) == 0
    assert len(journal.facts("P1", [NUMBER], []).histories[NUMBER]) == 1


# ------------------------------------------------------------------------------------------------ dispatch


def load(journal: Journal, *destinations: str) -> list[str]:
    """Put one thing for each of the destinations into the outbox, in this order; return the ids."""
    uid = f"{destinations} {journal.head()}"
    row = bring(journal, uid)
    items = tuple(outgoing("accepted", uid, str(n), to=name) for n, name in enumerate(destinations))
    journal.finish([(row, outcome(row, accepted=False, answers=items))], specs="d", now=NOW)
    return [item.id for item in items]


def test_no_more_is_claimed_or_due_than_may_be_handled_in_one_go(journal: Journal) -> None:
    half, whole = b"x" * (limits.BATCH_BYTES // 2), b"x" * (limits.BATCH_BYTES * 4)
    sizes = {"a": half, "b": half, "c": half, "d": whole, "e": b"small"}
    journal.receive([delivery(uid, lane=uid, body=body) for uid, body in sizes.items()])
    claimed = []
    while work := journal.claim("w", 10, 60, NOW).work:
        claimed.append([row.uid for row in work])
        items = [
            (row, (replace(outgoing("accepted", row.id), body=row.body), outgoing("contrl", row.id))) for row in work
        ]
        journal.finish(
            [(row, outcome(row, accepted=False, answers=answers)) for row, answers in items], specs="d", now=NOW
        )
    assert claimed == [["a", "b"], ["c"], ["d"], ["e"]]
    gone = []
    while due := journal.due(100, NOW):
        gone.append(len(due))
        assert sum(len(item.body) for item in due) <= limits.BATCH_BYTES or len(due) == 1
        journal.mark_sent([item.id for item in due], NOW)
    assert sum(gone) == 2 * len(sizes)


def test_what_is_known_of_more_numbers_than_a_statement_takes_parameters(journal: Journal) -> None:
    row = bring(journal, "a")
    journal.finish([(row, outcome(row, reference="R7"))], specs="d", now=NOW)
    many = [f"{n:014}" for n in range(40_000)]
    known = journal.facts("P1", [*many, NUMBER], [*many, "R7"])
    assert list(known.histories) == [NUMBER]
    assert list(known.references) == ["R7"]
    assert journal.facts("P2", [], [*many, "R7"]).references == {}  # another partner's


def test_references_are_told_apart_by_every_character_and_by_partner(journal: Journal) -> None:
    odd = [
        "7",
        "007",
        "7.0",
        "1e3",
        "null",
        "",
        "'",
        '"',
        "\\",
        "\\u0000",
        "\0",
        "é",
        "e\u0301",
        "\U0001d11e",
        "[1]",
        " 7",
        "%s",
        "$[0]",
    ]
    for number, reference in enumerate(odd):
        row = bring(journal, str(number), partner=f"P{number % 2}", lane=str(number))
        journal.finish([(row, outcome(row, number=f"{number:014}", reference=reference))], specs="d", now=NOW)
    known = journal.facts_of([(f"P{n}", [], [*odd, "07", "7 "]) for n in range(3)])
    assert [list(one.references) for one in known] == [
        [reference for number, reference in enumerate(odd) if reference and number % 2 == n] for n in range(2)
    ] + [[]]


def test_due_is_in_order_and_fair(journal: Journal) -> None:
    ids = load(journal, *["out.A"] * 20, "out.B", "out.C", "out.C")
    due = journal.due(9, NOW)
    assert [item.destination for item in due] == ["out.A"] * 3 + ["out.B"] + ["out.C"] * 2
    assert [item.id for item in due if item.destination == "out.A"] == ids[:3]
    assert journal.mark_sent([ids[0], ids[1], "unknown"], NOW) == 2
    assert journal.mark_sent([ids[0]], NOW) == 0
    assert journal.due(1, NOW)[0].id == ids[2]
    assert [item.id for item in journal.due(100, NOW)] == ids[2:]


def test_large_answers_for_one_leave_room_for_the_others(journal: Journal) -> None:
    row = bring(journal, "a")
    large = [replace(outgoing("refused", str(n)), body=b"x" * limits.BATCH_BYTES) for n in range(3)]
    small = [outgoing("accepted", str(n), to=f"out.P{n}") for n in (2, 3)]
    journal.finish([(row, outcome(row, accepted=False, answers=(*large, *small)))], specs="d", now=NOW)
    assert [item.id for item in journal.due(100, NOW)] == [item.id for item in (large[0], *small)]


def test_a_dead_destination_rests_and_the_others_go_on(journal: Journal) -> None:
    dead = load(journal, "out.dead", "out.dead", "out.live")
    until = journal.postpone("out.dead", dead[:1], "no route", NOW)
    assert until is not None
    assert NOW < until <= NOW + timedelta(seconds=1)
    assert [item.destination for item in journal.due(10, NOW)] == ["out.live"]
    assert [item.attempts for item in journal.due(10, until)] == [1, 0, 0]
    again = journal.postpone("out.dead", dead[:1], "no route", until)
    assert again is not None
    assert again - until > timedelta(seconds=1)
    assert journal.counts(NOW)["destinations_paused"] == 1
    journal.mark_sent(dead[:1], again)
    assert journal.counts(NOW)["destinations_paused"] == 0


def test_a_destination_that_stays_dead_is_parked_and_unparked_in_order(journal: Journal) -> None:
    ids = load(journal, "out.dead", "out.dead", "out.live")
    results = [journal.postpone("out.dead", ids[:2], f"no route {n}", NOW) for n in range(FAILURES)]
    assert [until is None for until in results] == [False] * (FAILURES - 1) + [True]
    more = load(journal, "out.dead")
    assert [item.destination for item in journal.due(10, NOW + timedelta(days=9))] == ["out.live"]
    dead, live = journal.destinations()
    assert (dead["name"], dead["waiting"], dead["failures"], dead["oldest"]) == ("out.dead", 3, FAILURES, NOW)
    assert dead["error"] == f"no route {FAILURES - 1}"
    assert (live["parked_at"], live["failures"]) == (None, 0)
    assert journal.counts(NOW)["destinations_parked"] == 1
    assert journal.unpark("out.dead", NOW) == 3
    assert [item.id for item in journal.due(10, NOW) if item.destination == "out.dead"] == [*ids[:2], *more]
    assert journal.unpark("out.unheard", NOW) == 0


# ------------------------------------------------------------------------------------------------ evidence


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
    assert journal.facts(None, [], []).histories == {}
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
