"""A gateway whose process kills itself before or after the n-th call of one of its steps; for `test_way_kill`.

All in one process, turn by turn, with the real embedded queue, the real journal and the reference engine. The killer is
put around the methods here; the gateway knows nothing of it. Started as a program it works through a list of points,
forking for each: the libraries are imported once.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from gateway import service
from gateway.engine import loop as engine_loop
from gateway.journal import Journal
from gateway.logs import configure
from gateway.loops import queue_names
from gateway.queues import Broker, Intake, Letter, open_broker
from routing.partners import inbound_queue
from routing.routes import RESULTS, load_routes
from tests.support.house import settings_in
from tests.support.way import PARTNERS, PLANS, SAMPLES, play

# What is sent, in order: both syntaxes, both verdicts, a correction after its original, a resend of the same bytes.
SENT = (
    ("maple", "originals/v-voluntary.edi"),
    ("erable", "originals/published-example.xml"),
    ("maple", "changes/v-correction.edi"),
    ("erable", "refused/many-faults.xml"),
    ("maple", "originals/v-voluntary.edi"),
)

# The steps between which a kill may fall: everything that leaves a trace outside the process.
STEPS: tuple[tuple[type[Any], str], ...] = (
    (Journal, "receive"),
    (Intake, "ack"),
    (Journal, "claim"),
    (Journal, "finish"),
    (Journal, "answer_again"),
    (Journal, "settle"),
    (Broker, "publish"),
    (Journal, "mark_sent"),
)

# How long a killed worker's messages stay away; a real gateway's stay longer.
LEASE = 0.2

# Longer than any run; what takes longer stands still.
PATIENCE = 30.0


class Point(NamedTuple):
    """A moment: before or after the n-th call of a step (n from 1)."""

    step: str
    n: int
    after: bool

    def __str__(self) -> str:
        return f"{'after' if self.after else 'before'} {self.step} {self.n}"


class Run(NamedTuple):
    """What came of one point: whether it was reached, and what must not be."""

    point: str
    killed: bool
    recorded: int
    delivered: int
    repeats: int
    wrong: list[str]


def prepare(folder: Path) -> None:
    """Make queues and journal, and let the partners send."""
    folder.mkdir(parents=True)
    settings = settings_in(folder)
    journal = Journal.open(settings.database_url)
    journal.migrate()
    journal.close()
    with open_broker(settings.broker_url) as broker:
        broker.declare(queue_names(settings))
        for n, (partner, file) in enumerate(SENT):
            letter = Letter(
                f"sent-{n}", inbound_queue(partner), "application/octet-stream", (SAMPLES / file).read_bytes()
            )
            assert broker.publish([letter]).confirmed


def serve(folder: Path) -> None:
    """Run the loops turn by turn until nothing waits anywhere."""
    settings = settings_in(folder)
    service.LEASE_SECONDS = LEASE  # type: ignore[assignment]
    end = time.monotonic() + PATIENCE
    journal = Journal.open(settings.database_url)
    inbound = [*(inbound_queue(name) for name in PARTNERS), RESULTS]
    with open_broker(settings.broker_url) as broker, broker.consume(inbound) as intake:
        while time.monotonic() < end:
            busy = service.receive(intake, journal, PARTNERS, 0.0, {"guest"})
            busy += service.work(journal, PLANS, PARTNERS, f"worker-{os.getpid()}")
            busy += service.dispatch(broker, journal)
            if any(broker.depth(queue) for queue in set(load_routes().values())):
                engine_loop.run(broker, _once(), set(load_routes().values()))
                busy += 1
            if not busy:
                if _at_rest(folder, journal):
                    return
                time.sleep(0.02)
    os._exit(3)


def _once() -> Callable[[], bool]:
    """Return a question that is answered no once, then yes: one turn of a loop."""
    answers = iter([False])
    return lambda: next(answers, True)


def _at_rest(folder: Path, journal: Journal) -> bool:
    """Tell whether nothing waits: no letter to the gateway or engine, not even in a dead reader's hand, no work."""
    counts = journal.counts(service.now())
    return not (counts["received"] or counts["working"] or counts["outbox"] or _letters(folder, inward=True))


def _letters(folder: Path, *, inward: bool) -> list[tuple[str, str, bytes]]:
    """Return (queue, message id, body) of what lies in the queues towards the gateway and engine, or in the others."""
    with closing(sqlite3.connect(f"file:{folder}/queue.db?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT queue, properties, body FROM message ORDER BY id").fetchall()
    return [
        (queue, json.loads(raw)["properties"]["message_id"], body)
        for queue, raw, body in rows
        if queue.startswith("out.") is not inward
    ]


def arm(point: Point | None, calls: Counter[str]) -> None:
    """Count every step's calls, and let the process kill itself at the point."""
    for owner, name in STEPS:
        step = f"{owner.__name__}.{name}"
        setattr(owner, name, _deadly(getattr(owner, name), step, point, calls))


def _deadly(real: Callable[..., Any], step: str, point: Point | None, calls: Counter[str]) -> Callable[..., Any]:
    def call(*args: Any, **more: Any) -> Any:
        calls[step] += 1
        here = point is not None and (point.step, point.n) == (step, calls[step])
        if here and point and not point.after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **more)
        if here:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return call


def forked(body: Callable[[], None]) -> int:
    """Run something in a process of its own; return its exit code, negative for a signal."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setpgid(0, 0)
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), 2)
            configure("json")
            body()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def census(folder: Path) -> dict[str, int]:
    """Return how often each step is called when nobody is killed."""
    path = folder / "calls.json"

    def body() -> None:
        calls: Counter[str] = Counter()
        arm(None, calls)
        serve(folder)
        path.write_text(json.dumps(calls))

    assert forked(body) == 0
    return dict(json.loads(path.read_text()))


def points(calls: dict[str, int]) -> Iterator[Point]:
    """Yield the moments to be tried: around the first calls of each step and its last."""
    for step, count in sorted(calls.items()):
        for n in sorted({1, min(2, count), count}):
            yield Point(step, n, after=False)
            yield Point(step, n, after=True)


def kill_at(point: Point, folder: Path, template: Path, expected: Any) -> Run:
    """Run a gateway that is killed at the point, start it again, and tell what came of it."""
    shutil.copytree(template, folder)

    def first() -> None:
        arm(point, Counter())
        serve(folder)

    codes = forked(first), forked(lambda: serve(folder))
    wrong = [] if codes[1] == 0 else [f"the second start ended with {codes[1]}"]
    if codes[0] not in (0, -signal.SIGKILL):
        wrong.append(f"the first start ended with {codes[0]}")
    effects = outcome(folder)
    if effects != expected:
        wrong.append(f"effects {effects} instead of {expected}")
    recorded, delivered, repeats, faults = delivery(folder)
    return Run(str(point), codes[0] == -signal.SIGKILL, recorded, delivered, repeats, wrong + faults)


ANSWERS = "SELECT id, body, sent_at FROM outbox LEFT JOIN sent USING (position) WHERE kind <> 'request'"


def outcome(folder: Path) -> Any:
    """Return what the gateway made of the samples, free of ids and times."""
    with closing(sqlite3.connect(f"file:{folder}/gateway.sqlite3?mode=ro", uri=True)) as connection:
        query = connection.execute
        return [
            query("SELECT digest, state, verdict, findings IS NULL, nature FROM inbox"
                  " LEFT JOIN handled USING (sequence) LEFT JOIN message ON inbox = sequence"
                  " WHERE channel = 'partner' ORDER BY 1, 2, 3").fetchall(),
            query("SELECT transaction_number, version, status FROM declaration_version ORDER BY 1, 2").fetchall(),
            query("SELECT transaction_number, version, status FROM assessment_request ORDER BY 1, 2").fetchall(),
            query("SELECT digest, kind, destination FROM outbox JOIN inbox ON inbox = sequence ORDER BY 1, 2, 3")
            .fetchall(),
        ]  # fmt: skip


def delivery(folder: Path) -> tuple[int, int, int, list[str]]:
    """Return what was recorded to be sent, delivered, and repeated, and what is wrong with it."""
    journal = Journal.open(settings_in(folder).database_url)
    wrong = [] if journal.verify().bad is None else [f"audit: {journal.verify().reason}"]
    journal.close()
    with closing(sqlite3.connect(f"file:{folder}/gateway.sqlite3?mode=ro", uri=True)) as connection:
        rows = connection.execute(ANSWERS).fetchall()
    recorded = {identity: body for identity, body, _ in rows}
    arrived = [(identity, body) for _, identity, body in _letters(folder, inward=False)]
    wrong += [f"{identity} is not marked sent" for identity, _, sent in rows if not sent]
    wrong += [f"{identity} did not arrive" for identity in recorded.keys() - {identity for identity, _ in arrived}]
    wrong += [f"{identity} arrived with other bytes" for identity, body in arrived if recorded.get(identity) != body]
    return len(recorded), len({identity for identity, _ in arrived}), len(arrived) - len(recorded), wrong


def main(folder: Path, share: int, shares: int) -> None:
    """Try every point of one share, and print each run as a line of JSON."""
    play()  # what is compiled at first use, the forks need not compile again
    template = folder / f"template-{share}"
    prepare(template)
    whole = folder / f"whole-{share}"
    shutil.copytree(template, whole)
    calls = census(whole)
    expected = outcome(whole)
    _, _, repeats, wrong = delivery(whole)
    print(json.dumps({"calls": calls, "repeats": repeats, "wrong": wrong}))
    for number, point in enumerate(points(calls)):
        if number % shares == share:
            run = kill_at(point, folder / f"point-{number}", template, expected)
            print(json.dumps(run._asdict()), flush=True)
            shutil.rmtree(folder / f"point-{number}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
