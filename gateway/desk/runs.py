"""Replays and what-ifs that take a while, each in a process of its own that tells how far it is."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from core.errors import GatewayError
from core.findings import Bilingual
from gateway import logs
from gateway.desk import replay, what_if
from gateway.desk.what_if_page import meanings_of, what_if_page
from gateway.journal import Execution, Journal, Selection
from gateway.plans import prepare
from gateway.settings import Settings
from routing.partners import load_partners

# Messages that are judged otherwise than recorded, and that are listed one by one.
LISTED = 500


class RunOrder(NamedTuple):
    """What to run: recorded messages again, or, with a folder of specifications, what if that one had judged."""

    settings: Settings
    wanted: Selection
    operator: str
    language: str
    other: Path | None = None


class Different(NamedTuple):
    """A message that a replay judges otherwise, or not at all: what is recorded, what comes now, why not."""

    id: str
    partner: str
    before: str
    after: str
    problem: str = ""


class RunResult(NamedTuple):
    """What came of a run: a what-if's page; of a replay its numbers, and what differs."""

    replayed: int = 0
    repeats: int = 0
    different: int = 0
    listed: tuple[Different, ...] = ()
    page: str = ""


def count(order: RunOrder) -> int:
    """Return how many transmissions are selected."""
    journal = Journal.open(order.settings.database_url)
    try:
        return journal.count_selected(order.wanted)
    finally:
        journal.close()


def carry_out(order: RunOrder, told: Callable[[int], object]) -> RunResult:
    """Run an order; `told` hears how many transmissions more are done. Raises GatewayError."""
    return _what_if(order, order.other, told) if order.other else _again(order, told)


def in_process(order: RunOrder, pipe: Connection) -> None:
    """Run an order in a process of its own: numbers through the pipe, then the result, or why there is none."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logs.configure(order.settings.log, waiting=False)
    try:
        pipe.send(carry_out(order, pipe.send))
    except GatewayError as error:
        pipe.send(error.said)
    except Exception as error:  # an unexpected error's own text could repeat a message's data
        pipe.send(Bilingual(type(error).__name__, type(error).__name__))


def _what_if(order: RunOrder, root: Path, told: Callable[[int], object]) -> RunResult:
    other, present = prepare(root), prepare(order.settings.specs)
    result = what_if.what_if(order.settings, order.wanted, other, 1, told, time.monotonic)
    meanings = meanings_of(result, other, present, order.language)
    return RunResult(page=what_if_page(result, other, order.wanted, order.language, meanings))


def _again(order: RunOrder, told: Callable[[int], object]) -> RunResult:
    """Replay what is selected; each replay is kept under the operator's name, as `gateway replay` keeps it."""
    plans, partners = prepare(order.settings.specs), load_partners(order.settings.partners)
    journal = Journal.open(order.settings.database_url)
    replayed = repeats = different = 0
    listed: list[Different] = []
    try:
        for row, outcome in replay.again(journal, order.wanted, (), plans, partners):
            told(1)
            before = " ".join(code for one in row.messages for code in (one.verdict, *one.codes))
            if isinstance(outcome, replay.Repeat):
                repeats += 1
                continue
            if isinstance(outcome, Exception):
                different += 1
                listed.append(Different(row.id, row.partner or "", before, "", replay.reason_of(outcome)))
                continue
            same = replay.agrees(row, outcome)
            execution = Execution(row.sequence, row.id, order.operator, plans.digest, outcome, same)
            journal.keep_execution(execution, datetime.now(UTC))
            replayed += 1
            if not same:
                different += 1
                after = " ".join(
                    each for one in outcome.judged for each in (str(one.verdict), *(f.code for f in one.findings))
                )
                listed.append(Different(row.id, row.partner or "", before, after))
    finally:
        journal.close()
    return RunResult(replayed, repeats, different, tuple(listed[:LISTED]))
