"""Replay: recorded transmissions through the pipeline once more, each on the facts of its own time; no effect."""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.resource_tracker
import os
import signal
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

from core.errors import GatewayError, JournalUnavailable
from core.findings import Bilingual
from core.partner import Partner
from core.register import Facts
from core.transmission import Outcome, Received, Verdict
from gateway import pipeline
from gateway.journal import RESEND_OF, Journal, Recorded, Selection, Told
from gateway.plans import Plans, prepare
from gateway.settings import Settings
from routing.partners import inbound_queue, load_partners

# What is read from the journal and judged in one go: so many transmissions, at most so many bytes (or one larger).
PAGE, PAGE_BYTES = 100, 4_000_000

# Examples of changed messages that a report shows for each finding.
EXAMPLES = 3

Partners = Mapping[str, Partner]


class Change(NamedTuple):
    """One message that is judged otherwise: verdicts before and after ("": there was no such message), and why.

    `new` and `gone` are finding codes; `text` and `place` are those of the first new finding, where there is one.
    """

    id: str
    ordinal: int
    partner: str
    type: str
    transaction_number: str
    reference: str
    received_at: str
    before: str
    after: str
    new: tuple[str, ...]
    gone: tuple[str, ...]
    text: Bilingual | None = None
    place: str = ""
    value: str = ""

    @property
    def turned(self) -> bool:
        """Whether the verdict itself is another."""
        return self.before != self.after


@dataclass
class Tally:
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

    def add(self, other: Tally) -> None:
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
    tally: Tally = field(default_factory=Tally)
    seconds: float = 0.0
    _file: IO[str] = field(default_factory=_scratch)

    def add(self, page: Tally, changes: Iterable[Change]) -> None:
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


# ------------------------------------------------------------------------------------------------ judging again


def judge_again(
    rows: Sequence[Recorded], journal: Journal, plans: Plans, partners: Partners, name: Callable[[Recorded], str]
) -> Iterator[tuple[Recorded, Outcome | Exception]]:
    """Carry recorded transmissions through the pipeline, each on what was known when it was judged.

    `name` gives each execution its own id, from which its answers' ids follow. Senders and their authorities are those
    of the partners' file (delegations have their periods); the clock is the time of receipt.
    """
    parsed: dict[int, Any] = {}
    failed: dict[int, Exception] = {}
    for row in rows:
        try:
            parsed[row.sequence] = pipeline.parse(Received(name(row), row.partner, row.body, row.received_at), plans)
        except Exception as error:  # it is the pipeline's own fault, and the others are to be judged all the same
            failed[row.sequence] = error
    asked = [
        (
            row,
            [m.declaration.transaction_number or "" for m in parsed[row.sequence].messages if m.declaration],
            [m.envelope.reference for m in parsed[row.sequence].messages if m.envelope.reference],
        )
        for row in rows
        if row.sequence in parsed
    ]
    known = {row.sequence: each for (row, _, _), each in zip(asked, journal.facts_then(asked), strict=True)}
    owners = {inbound_queue(each): partner for each, partner in partners.items()}
    for row in rows:
        if row.sequence in failed:
            yield row, failed[row.sequence]
            continue
        if code := row.headers.get("unproven"):
            facts = Facts(owners.get(row.headers.get("queue", "")), unproven=code)
        else:
            facts = Facts(partners.get(row.partner or ""), known[row.sequence])
        try:
            yield row, pipeline.judge(parsed[row.sequence], facts, plans)
        except JournalUnavailable:
            raise
        except Exception as error:
            yield row, error


def compare(row: Recorded, outcome: Outcome) -> Iterator[tuple[str, str, Change | None]]:
    """Yield, for each message of a transmission, the verdicts before and after, and the change if there is one."""
    before = {told.ordinal: told for told in row.messages}
    after = {judged.message.ordinal: judged for judged in outcome.judged}
    for ordinal in sorted({*before, *after}):
        told, judged = before.get(ordinal), after.get(ordinal)
        was, now = (
            Counter(told.codes if told else ()),
            Counter(f.code for f in judged.findings) if judged else Counter(),
        )
        verdicts = told.verdict if told else "", str(judged.verdict) if judged else ""
        if was == now and verdicts[0] == verdicts[1]:
            yield *verdicts, None
            continue
        new, gone = sorted((now - was).elements()), sorted((was - now).elements())
        findings = judged.findings if judged else ()
        # The reason of another verdict is a finding that refuses, where there is one.
        fresh = sorted((f for f in findings if f.code in new), key=lambda finding: finding.severity)
        first = fresh[0] if fresh else None
        declaration = judged.message.declaration if judged else None
        envelope = judged.message.envelope if judged else None
        yield (
            *verdicts,
            Change(
                id=row.id,
                ordinal=ordinal,
                partner=row.partner or "",
                type=str(judged.message.type) if judged else told.type if told else "",
                transaction_number=_number(told, declaration.transaction_number if declaration else None),
                reference=(told.reference if told else None) or (envelope.reference if envelope else None) or "",
                received_at=row.received_at.isoformat(timespec="seconds"),
                before=verdicts[0],
                after=verdicts[1],
                new=tuple(new),
                gone=tuple(gone),
                text=first.text if first else None,
                place=first.place.pointer or "" if first else "",
                value=first.value or "" if first else "",
            ),
        )


def _number(told: Told | None, read: str | None) -> str:
    return (told.transaction_number if told else None) or read or ""


def agrees(row: Recorded, outcome: Outcome) -> bool:
    """Tell whether a replay gives what the journal holds: it has a verdict, and every message the same again."""
    return bool(row.messages) and all(change is None for _, _, change in compare(row, outcome))


# ------------------------------------------------------------------------------------------------ what if


def tally(rows: Sequence[Recorded], journal: Journal, plans: Plans, partners: Partners) -> tuple[Tally, list[Change]]:
    """Judge a page of transmissions again; return its sums and every change."""
    sums, changes = Tally(), []
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


def reason_of(error: Exception) -> str:
    """Return why the pipeline could not carry a message; an unexpected error's own text could repeat its data."""
    return str(error) if isinstance(error, GatewayError) else type(error).__name__


def pages(journal: Journal, wanted: Selection) -> Iterator[list[int]]:
    """Yield the selected transmissions in the order of receipt, in pages that fit into memory."""
    page: list[int] = []
    size = after = 0
    while found := journal.selected(wanted, after):
        for sequence, length in found:
            if page and (len(page) == PAGE or size + length > PAGE_BYTES):
                yield page
                page, size = [], 0
            page.append(sequence)
            size += length
        after = found[-1][0]
    if page:
        yield page


def what_if(
    settings: Settings,
    wanted: Selection,
    plans: Plans,
    processes: int,
    told: Callable[[int], object] = lambda count: None,
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
        judged: Iterator[tuple[Tally, list[Change]]]
        if processes == 1:
            partners = load_partners(settings.partners)
            judged = (tally(journal.recorded(page), journal, plans, partners) for page in found)
        else:
            judged = _in_processes(settings, plans.specs.root, processes, found)
        for page, changes in judged:
            result.add(page, changes)
            told(page.transmissions)
    except BrokenProcessPool:
        raise GatewayError("a process that judged was killed: is there enough memory?") from None
    finally:
        journal.close()
    result.seconds = clock() - started
    return result


def recorded_as(name: str, outcome: Outcome) -> Recorded:
    """Return a file's outcome as the journal would have recorded it, for comparing."""
    received = outcome.received
    messages = tuple(
        Told(
            one.message.ordinal,
            str(one.message.type),
            str(one.verdict),
            tuple(finding.code for finding in one.findings),
            one.message.declaration.transaction_number if one.message.declaration else None,
            one.message.envelope.reference,
        )
        for one in outcome.judged
    )
    return Recorded(
        sequence=0, id=name, partner=received.partner or _said(outcome), received_at=received.received_at,
        body=received.body, digest=received.digest, headers={}, channel="partner", state="done", note=None,
        judged_at=received.received_at, specs=None, messages=messages,
    )  # fmt: skip


def _said(outcome: Outcome) -> str:
    """Return whom a transmission's envelope names as its sender."""
    return next((one.message.envelope.sender for one in outcome.judged if one.message.envelope.sender), "")


def change_as_json(change: Change) -> dict[str, Any]:
    """Return a change as the JSON of the report."""
    content = change._asdict() | {"new": list(change.new), "gone": list(change.gone)}
    return content | {"text": change.text._asdict() if change.text else None}


_worker: tuple[Journal, Plans, Partners] | None = None


def _start(settings: Settings, root: Path) -> None:
    """Give a process what it judges with."""
    global _worker
    _worker = Journal.open(settings.database_url), prepare(root), load_partners(settings.partners)


def _page(sequences: Sequence[int]) -> tuple[Tally, list[Change]]:
    """Judge one page in a process."""
    if _worker is None:
        raise RuntimeError("the process was not started by what_if")
    journal, plans, partners = _worker
    return tally(journal.recorded(sequences), journal, plans, partners)


def _in_processes(
    settings: Settings, root: Path, processes: int, wanted: Iterable[list[int]]
) -> Iterator[tuple[Tally, list[Change]]]:
    """Yield what the pages give, in their order; only a few are under way, however long the archive is."""
    context = multiprocessing.get_context("spawn")
    multiprocessing.resource_tracker.ensure_running()  # it lets Ctrl-C through again once it is started
    with ProcessPoolExecutor(processes, context, _start, (settings, root)) as pool:
        waiting: deque[Future[tuple[Tally, list[Change]]]] = deque()
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


def finding_rows(sums: Tally) -> list[dict[str, Any]]:
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


def sender_rows(sums: Tally) -> list[dict[str, Any]]:
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
