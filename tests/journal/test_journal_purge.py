"""Retention: what is older than its kind may be goes, whole and noted, and nothing else."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy
from click.testing import CliRunner

from gateway import service
from gateway.cli.main import main
from gateway.journal import Journal, retention
from gateway.journal.audit import GENESIS, Head, Link, link_hash, walk
from gateway.journal.periods import load_retention, months_before
from tests.support.effort import times
from tests.support.house import House, house
from tests.support.journals import NOW, bring, outcome, outgoing, sent
from tests.support.way import SAMPLES

ORIGINAL = (SAMPLES / "originals/v-voluntary.edi").read_bytes()
CHANGE = (SAMPLES / "changes/v-correction.edi").read_bytes()
REFUSED = (SAMPLES / "refused/noise.bin").read_bytes()
REAL_NOW = service.now


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as opened:
        yield opened


def purge(gateway: House, later: timedelta, *, rehearse: bool = False) -> dict[str, int]:
    now = REAL_NOW() + later
    before = {kind: months_before(now, each.months) for kind, each in load_retention().items()}
    return gateway.journal.purge(before, now=now, rehearse=rehearse)


def filled(gateway: House) -> None:
    """An original and its correction, a refusal, a resend, two results, and a last one that stays."""
    for body in (ORIGINAL, CHANGE, REFUSED, ORIGINAL, REFUSED + b"last"):
        gateway.send("maple", body)
        gateway.settle_down()


YEAR = timedelta(days=366)


def test_what_is_young_stays(gateway: House) -> None:
    filled(gateway)
    assert sum(purge(gateway, YEAR).values()) == 0


def test_what_changed_nothing_goes_after_a_year_and_what_did_stays(gateway: House) -> None:
    filled(gateway)
    wanted = {"declaration": 0, "refused": 1, "repeated": 1, "result": 2}
    assert purge(gateway, 2 * YEAR, rehearse=True) == wanted
    assert purge(gateway, 2 * YEAR) == wanted
    assert sum(purge(gateway, 2 * YEAR).values()) == 0
    facts = gateway.journal.facts("maple", [message["transaction_number"] for message in _messages(gateway)], [])
    assert [len(history) for history in facts.versions.values()] == [2]
    assert gateway.journal.verify(gateway.journal.head()).bad is None


def test_a_declaration_goes_as_a_whole(gateway: House) -> None:
    filled(gateway)
    number = _messages(gateway)[0]["transaction_number"]
    assert purge(gateway, 8 * YEAR) == {"declaration": 2, "refused": 1, "repeated": 1, "result": 2}
    assert gateway.journal.facts("maple", [number], []).versions == {}
    assert [row["state"] for row in gateway.journal.list_messages()] == ["done"]  # the newest stays, for its number
    assert gateway.journal.verify(gateway.journal.head()).bad is None
    # and the gateway goes on
    gateway.send("maple", ORIGINAL)
    gateway.settle_down()
    assert [row["verdict"] for row in gateway.journal.list_messages(limit=1, channel="partner")] == ["accepted"]


def test_a_declaration_counts_as_one_across_the_pages_of_a_purge(
    gateway: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its versions and requests go with the first page; the rest of its transmissions counted as refused."""
    filled(gateway)
    monkeypatch.setattr(retention, "PURGE_PAGE", 1)
    wanted = {"declaration": 2, "refused": 1, "repeated": 1, "result": 2}
    assert purge(gateway, 8 * YEAR, rehearse=True) == wanted
    assert purge(gateway, 8 * YEAR) == wanted


def test_a_declaration_goes_with_its_requests_where_its_transmission_stays_for_another(journal: Journal) -> None:
    """Were a request left, a withdrawal asked for then would stand in the way of the number's next declaration."""
    row = bring(journal, "both")
    first, second = (outcome(row, number=number, answers=()) for number in ("1", "2"))
    (one,), (two,) = first.judged, second.judged
    two = replace(two, message=replace(two.message, ordinal=2))
    asked = tuple(outgoing("request", row.id, str(n), ordinal=n) for n in (1, 2))
    journal.finish([(row, replace(first, judged=(one, two), outgoing=asked))], specs="d", now=NOW)
    late = NOW + 5 * YEAR
    follows = bring(journal, "follows")
    assert journal.finish([(follows, outcome(follows, number="2", version=2, answers=()))], specs="d", now=late) == [
        True
    ]
    gone = bring(journal, "gone")
    journal.finish([(gone, outcome(gone, accepted=False, answers=()))], specs="d", now=NOW)
    bring(journal, "last")
    sent(journal)
    before = {kind: NOW + timedelta(days=1) for kind in load_retention()}
    assert journal.purge(before, now=late) == {"declaration": 0, "refused": 1, "repeated": 0, "result": 0}
    assert journal.facts("P1", ["1", "2"], []).versions.keys() == {"2"}
    life = journal.show(row.id)
    assert life is not None
    assert [request["transaction_number"] for request in life["requests"]] == ["2"]


def test_what_is_parked_or_not_yet_sent_stays(gateway: House, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway.send("maple", REFUSED)
    gateway.receive()
    gateway.work()  # its answer is never sent
    gateway.send("maple", REFUSED + b"x")
    gateway.receive()
    (row,) = gateway.journal.claim("w", 1, 60, REAL_NOW()).work
    gateway.journal.park([(row, "looked at by a person", ())], now=REAL_NOW())
    gateway.send("maple", REFUSED + b"y")
    gateway.receive()
    assert sum(purge(gateway, 8 * YEAR).values()) == 0


def _messages(gateway: House) -> list[dict[str, str]]:
    return [row for row in gateway.journal.list_messages(channel="partner") if row["transaction_number"]]


def test_every_kind_has_a_time_and_a_reason() -> None:
    kinds = load_retention()
    assert set(kinds) == {"declaration", "refused", "repeated", "result"}
    assert kinds["declaration"].months == 7 * 12 + 3
    assert all(each.reason.endswith(".") for each in kinds.values())


@pytest.mark.parametrize(
    ("day", "months", "expected"),
    [
        ((2026, 11, 23), 87, (2019, 8, 23)),
        ((2024, 2, 29), 12, (2023, 2, 28)),
        ((2026, 3, 31), 1, (2026, 2, 28)),
        ((2026, 1, 15), 1, (2025, 12, 15)),
    ],
)
def test_months_before(day: tuple[int, int, int], months: int, expected: tuple[int, int, int]) -> None:
    assert months_before(datetime(*day, tzinfo=UTC), months) == datetime(*expected, tzinfo=UTC)


# ------------------------------------------------------------------------------------------------ T19, on the commands


ROWS = 10_000


def chain(count: int) -> list[Link]:
    links, previous = [], GENESIS
    for n in range(1, count + 1):
        previous = link_hash(previous, n, "2026-11-23T00:00:00+00:00", "sent", n % 7 or None, f'{{"id":"{n}"}}')
        links.append(Link(n, "2026-11-23T00:00:00+00:00", "sent", n % 7 or None, f'{{"id":"{n}"}}', previous))
    return links


def test_whatever_is_done_to_any_of_ten_thousand_rows_is_found_at_the_row() -> None:
    good = chain(ROWS)
    head = (ROWS, good[-1].hash)
    before = time.process_time()
    assert walk(good, [Head(*head)]).bad is None
    assert ROWS / (time.process_time() - before) > 100_000, "links a second of processor time"
    draw = random.Random(19)
    for n in [1, 2, ROWS - 1, ROWS, *draw.sample(range(3, ROWS - 1), times(0.36))]:
        other = draw.choice([each for each in (n + 1, n + 2, ROWS) if n < each <= ROWS] or [n - 1])
        changed = [good[n - 1]._replace(detail="{}"), good[n - 1]._replace(subject=99), good[n - 1]._replace(event="x")]
        for link in changed:
            assert walk([*good[: n - 1], link, *good[n:]], [Head(*head)]).bad == n
        assert walk(good[: n - 1] + good[n:], [Head(*head)]).bad == n
        swapped = list(good)
        swapped[n - 1], swapped[other - 1] = swapped[other - 1], swapped[n - 1]
        assert walk(swapped, [Head(*head)]).bad == min(n, other)
        renumbered = sorted(
            (link._replace(n={n: other, other: n}.get(link.n, link.n)) for link in good), key=lambda link: link.n
        )
        assert walk(renumbered, [Head(*head)]).bad == min(n, other)


def test_the_commands_find_it_too(gateway: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE_URL", f"sqlite:///{tmp_path}/gateway.sqlite3")
    filled(gateway)
    run = CliRunner()
    exported = run.invoke(main, ["export-audit-head"])
    assert exported.exit_code == 0
    heads = tmp_path / "heads"
    heads.write_text(exported.output * 2)
    good = run.invoke(main, ["verify-audit", "--heads", str(heads)])
    assert (good.exit_code, "rows hold" in good.output) == (0, True)
    raw = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/gateway.sqlite3")
    with raw.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER audit_no_update")
        connection.exec_driver_sql("UPDATE audit SET detail = '{}' WHERE n = 5")
    raw.dispose()
    bad = run.invoke(main, ["verify-audit"])
    assert (bad.exit_code, bad.output.split(":")[0]) == (1, "row 5")
    heads.write_text("no head")
    assert run.invoke(main, ["verify-audit", "--heads", str(heads)]).exit_code == 2


def test_the_operators_commands_speak(gateway: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE_URL", f"sqlite:///{tmp_path}/gateway.sqlite3")
    filled(gateway)
    run = CliRunner()
    rehearsed = run.invoke(main, ["purge", "--dry-run"])
    assert (rehearsed.exit_code, "would go" in rehearsed.output) == (0, True)
    gateway.send("maple", ORIGINAL + b" ")
    gateway.receive()
    gateway.work()
    ids = [item.id for item in gateway.journal.due(10, REAL_NOW())]
    gateway.journal.postpone("out.maple", ids, "there is no such queue", REAL_NOW())
    listed = run.invoke(main, ["destinations"])
    assert re.search(r"out\.maple +\d+ .*paused", listed.output)
    unparked = run.invoke(main, ["unpark", "out.maple"])
    assert (unparked.exit_code, "tried again now" in unparked.output) == (0, True)
    assert run.invoke(main, ["unpark", "out.nobody"]).exit_code == 1
    assert run.invoke(main, ["broker-users"]).output.count("add_user") == 4
