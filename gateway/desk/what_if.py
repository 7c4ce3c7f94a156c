"""What if another specification had judged: recorded traffic judged again, side by side in processes, added up."""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.resource_tracker
import os
import signal
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from core.errors import GatewayError
from core.findings import Bilingual
from core.transmission import RESEND_OF, Outcome, Verdict
from gateway.desk.replay import Change, change_as_json, compare, judge_again, pages, reason_of
from gateway.journal import Journal, Recorded, Selection
from gateway.plans import Plans, prepare
from gateway.senders import Partners
from gateway.settings import Settings
from routing.partners import load_partners

KILLED = Bilingual(
    "a process that judged was killed: is there enough memory?",
    "un processus qui jugeait a été tué : y a-t-il assez de mémoire ?",
)

# Examples of changed messages that a report shows for each finding.
EXAMPLES = 3


@dataclass
class Sums:
    """What a what-if adds up to; its size grows with the kinds of change, not with the number of messages."""

    transmissions: int = 0
    messages: int = 0
    resends: int = 0  # answered with stored answers: no verdict of their own
    unjudged: int = 0  # parked, or not handled yet
    failed: list[tuple[str, str]] = field(default_factory=list)  # id and reason, of what the pipeline could not carry
    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)  # every message by verdict before and after
    only_findings: int = 0  # same verdict, other findings
    # Changed messages by finding, sender and kind of message, each with the verdict before and after.
    new: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    gone: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    senders: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # every message
    sender_findings: Counter[str] = field(default_factory=Counter)  # same verdict, other findings
    examples: dict[str, list[Change]] = field(default_factory=dict)

    @property
    def turned(self) -> int:
        """How many messages get another verdict."""
        return sum(count for (before, after), count in self.verdicts.items() if before != after)

    def add(self, other: Sums) -> None:
        """Add what another page gave."""
        for name in ("transmissions", "messages", "resends", "unjudged", "only_findings"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.failed += other.failed
        for name in ("verdicts", "new", "gone", "senders", "sender_findings"):
            getattr(self, name).update(getattr(other, name))

    def take(self, row: Recorded, outcome: Outcome) -> list[Change]:
        """Count what became of a transmission's messages; return those that changed."""
        changes = []
        for before, after, change in compare(row, outcome):
            self.messages += 1
            self.verdicts[before, after] += 1
            self.senders[row.partner or "", before, after] += 1
            if change:
                self._count(change)
                changes.append(change)
        return changes

    def show(self, change: Change) -> None:
        """Keep a change as an example of its findings, as long as there are few of them."""
        for code in (*change.new, *change.gone):
            shown = self.examples.setdefault(code, [])
            if len(shown) < EXAMPLES and change not in shown:
                shown.append(change)

    def _count(self, change: Change) -> None:
        """Count a changed message under its findings and its sender."""
        for code in sorted(set(change.new)):
            self.new[code, change.before, change.after] += 1
        for code in sorted(set(change.gone)):
            self.gone[code, change.before, change.after] += 1
        if not change.turned:
            self.only_findings += 1
            self.sender_findings[change.partner] += 1


def _scratch() -> IO[str]:
    """Return a file without a name, which goes with the program."""
    return tempfile.TemporaryFile("w+", encoding="utf-8")


@dataclass
class WhatIf:
    """A what-if's result: its sums, and every change in a file of its own, so that memory does not grow with them."""

    digest: str  # of the specification that judged
    tally: Sums = field(default_factory=Sums)
    seconds: float = 0.0
    _file: IO[str] = field(default_factory=_scratch)

    def add(self, page: Sums, changes: Iterable[Change]) -> None:
        """Take up what a page gave."""
        self.tally.add(page)
        for change in changes:
            self.tally.show(change)
            self._file.write(json.dumps(change_as_json(change), ensure_ascii=False) + "\n")

    def changes(self) -> Iterator[dict[str, Any]]:
        """Yield every changed message, in the order of receipt."""
        self._file.seek(0)
        for line in self._file:
            yield json.loads(line)

    @property
    def per_second(self) -> float:
        """Messages judged per second."""
        return self.tally.messages / self.seconds if self.seconds else 0.0


def tally(rows: Sequence[Recorded], journal: Journal, plans: Plans, partners: Partners) -> tuple[Sums, list[Change]]:
    """Judge a page of transmissions again; return its sums and every change."""
    sums, changes = Sums(), []
    judged = [row for row in rows if row.messages]
    sums.transmissions = len(rows)
    sums.resends = sum(1 for row in rows if not row.messages and (row.note or "").startswith(RESEND_OF))
    sums.unjudged = len(rows) - len(judged) - sums.resends
    for row, outcome in judge_again(judged, journal, plans, partners, lambda row: row.id):
        if isinstance(outcome, Exception):
            sums.failed.append((row.id, reason_of(outcome)))
        else:
            changes += sums.take(row, outcome)
    return sums, changes


def what_if(
    settings: Settings,
    wanted: Selection,
    plans: Plans,
    processes: int,
    told: Callable[[int], object] = lambda _: None,
    clock: Callable[[], float] = lambda: 0.0,
) -> WhatIf:
    """Judge the selected transmissions by another specification, in so many processes; nothing is written.

    One process is this one; `told` hears how many transmissions are done. Each is judged on the facts of its time, as
    they were recorded: that an original would now be refused does not touch the verdict on its corrections. Raises
    GatewayError.
    """
    result, started = WhatIf(plans.digest), clock()
    journal = Journal.open(settings.database_url)
    try:
        found = pages(journal, wanted)
        judged: Iterator[tuple[Sums, list[Change]]]
        if processes == 1:
            partners = load_partners(settings.partners)
            judged = (tally(journal.recorded(page), journal, plans, partners) for page in found)
        else:
            judged = _in_processes(settings, plans.specs.root, processes, found)
        for page, changes in judged:
            result.add(page, changes)
            told(page.transmissions)
    except BrokenProcessPool:
        raise GatewayError(KILLED) from None
    finally:
        journal.close()
    result.seconds = clock() - started
    return result


_worker: tuple[Journal, Plans, Partners] | None = None


def _start(settings: Settings, root: Path) -> None:
    """Give a process what it judges with."""
    global _worker
    _worker = Journal.open(settings.database_url), prepare(root), load_partners(settings.partners)


def _page(sequences: Sequence[int]) -> tuple[Sums, list[Change]]:
    """Judge one page in a process."""
    if _worker is None:
        raise RuntimeError("the process was not started by what_if")
    journal, plans, partners = _worker
    return tally(journal.recorded(sequences), journal, plans, partners)


def _in_processes(
    settings: Settings, root: Path, processes: int, wanted: Iterable[list[int]]
) -> Iterator[tuple[Sums, list[Change]]]:
    """Yield what the pages give, in their order; only a few are under way, however long the archive is."""
    context = multiprocessing.get_context("spawn")
    multiprocessing.resource_tracker.ensure_running()  # it lets Ctrl-C through again once it is started
    with ProcessPoolExecutor(processes, context, _start, (settings, root)) as pool:
        waiting: deque[Future[tuple[Sums, list[Change]]]] = deque()
        try:
            for page in wanted:
                # Ctrl-C goes to every process of a terminal. These start with it blocked, and end with this one.
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
                waiting.append(pool.submit(_page, page))
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
                if len(waiting) > 3 * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def as_json(result: WhatIf, plans: Plans) -> Iterator[str]:
    """Yield the report as pieces of one JSON text; the changes are not held in memory."""
    sums = result.tally
    head = {
        "specification": {"folder": str(plans.specs.root), "digest": result.digest},
        "transmissions": sums.transmissions,
        "messages": sums.messages,
        "resends": sums.resends,
        "without_verdict": sums.unjudged,
        "failed": [{"id": id_, "reason": why} for id_, why in sums.failed],
        "turned": sums.turned,
        "only_findings": sums.only_findings,
        "verdicts": [{"before": b, "after": a, "messages": n} for (b, a), n in sorted(sums.verdicts.items())],
        "findings": finding_rows(sums),
        "senders": sender_rows(sums),
    }
    yield json.dumps(head, ensure_ascii=False, indent=2)[:-2] + ',\n  "changes": ['
    separator = ""
    for change in result.changes():
        yield separator + "\n    " + json.dumps(change, ensure_ascii=False)
        separator = ","
    yield "\n  ]\n}"


def finding_rows(sums: Sums) -> list[dict[str, Any]]:
    """Return the changed messages by finding: in how many it is new or gone, and how their verdicts change."""
    rows = []
    for code in sorted({key[0] for key in (*sums.new, *sums.gone)}):
        row: dict[str, Any] = {"code": code}
        for name, counted in (("new", sums.new), ("gone", sums.gone)):
            mine = {(before, after): n for (each, before, after), n in counted.items() if each == code}
            row[name] = sum(mine.values())
            row[f"{name}_refused"] = mine.get((str(Verdict.ACCEPTED), str(Verdict.REFUSED)), 0)
            row[f"{name}_accepted"] = mine.get((str(Verdict.REFUSED), str(Verdict.ACCEPTED)), 0)
        rows.append(row)
    return rows


def sender_rows(sums: Sums) -> list[dict[str, Any]]:
    """Return the messages by sender, with how their verdicts change."""
    rows = []
    for partner in sorted({key[0] for key in sums.senders}):
        mine = {(before, after): n for (each, before, after), n in sums.senders.items() if each == partner}
        rows.append(
            {
                "partner": partner,
                "messages": sum(mine.values()),
                "now_refused": mine.get((str(Verdict.ACCEPTED), str(Verdict.REFUSED)), 0),
                "now_accepted": mine.get((str(Verdict.REFUSED), str(Verdict.ACCEPTED)), 0),
                "only_findings": sums.sender_findings[partner],
            }
        )
    return rows
