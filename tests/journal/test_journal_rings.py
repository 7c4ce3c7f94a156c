"""What is written wakes the loops that it makes work for, after it is committed, and no loop else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.bells import DISPATCH, WORK
from gateway.journal import Arrival, Journal

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)


@pytest.fixture
def rung() -> list[str]:
    return []


@pytest.fixture
def ringing(tmp_path: Path, rung: list[str]) -> Iterator[Journal]:
    journal = Journal.open(f"sqlite:///{tmp_path}/gateway.sqlite3", rung.append)
    journal.migrate()
    yield journal
    journal.close()


def arrivals(count: int) -> list[Arrival]:
    return [Arrival(f"u{n}", "partner", "maple", b"x", {}, NOW, lane=str(n)) for n in range(count)]


def test_what_is_received_wakes_who_works_and_who_sends(ringing: Journal, rung: list[str]) -> None:
    ringing.receive(arrivals(1))
    assert rung == [WORK, DISPATCH]


def test_who_takes_part_of_what_waits_wakes_another_and_who_takes_all_does_not(
    ringing: Journal, rung: list[str]
) -> None:
    ringing.receive(arrivals(3))
    rung.clear()
    for one, woken in (("a", [WORK]), ("b", [])):
        assert ringing.claim(one, 2, 60, NOW)
        assert rung == woken
        rung.clear()
    assert not ringing.claim("c", 2, 60, NOW)
    assert rung == []


def test_what_a_dead_worker_held_wakes_another(ringing: Journal, rung: list[str]) -> None:
    ringing.receive(arrivals(1))
    ringing.claim("host:1:x", 2, 60, NOW)
    rung.clear()
    assert ringing.disown("host:1:", NOW + timedelta(seconds=1)) == 1
    assert rung == [WORK]


def test_what_is_parked_with_an_answer_wakes_who_sends(ringing: Journal, rung: list[str]) -> None:
    ringing.receive(arrivals(1))
    (row,) = ringing.claim("a", 2, 60, NOW).work
    rung.clear()
    ringing.park([(row, "too many attempts", ())], now=NOW)
    assert rung == [DISPATCH]


def test_what_is_not_written_wakes_nobody(ringing: Journal, rung: list[str]) -> None:
    with pytest.raises(AttributeError):
        ringing.receive([None])  # type: ignore[list-item]
    assert rung == []
