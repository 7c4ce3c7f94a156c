"""`make bench-load`: declarations a second from a sender's queue to the verdict in its answer queue, all durable.

Everything shares the machine: sender, reader, gateway, queues and database. First a backlog is drained (how many a
second), then messages come at a steady pace (how long one takes), each on the embedded queue with SQLite and on
RabbitMQ quorum queues with PostgreSQL. GATEWAY_BENCH_BROKER_URL, GATEWAY_BENCH_SENDER_URL (the same broker by another
user, since no partner is one of the gateway's own) and GATEWAY_BENCH_DATABASE_URL name servers in use; without them the
benchmark starts its own.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from core.transmission import stable_id
from gateway import loops
from gateway.journal import Journal
from gateway.queues import Broker, Letter, open_broker
from gateway.settings import HOME, Settings
from tests.support.chaos import Run, original

OUTS = ("out.maple", "out.erable")


@dataclass
class Watch:
    """What came back, and when; a receipt tells the journal's id of a letter, and from it follows the verdict's id."""

    sent: dict[str, float] = field(default_factory=dict)
    letter_of: dict[str, str] = field(default_factory=dict)
    receipts: dict[str, float] = field(default_factory=dict)
    verdicts: dict[str, float] = field(default_factory=dict)
    answers: int = 0
    memory: list[tuple[float, int]] = field(default_factory=list)

    def read(self, intake: object, wait: float) -> int:
        got = intake.receive(wait)  # type: ignore[attr-defined]
        now = time.monotonic()
        for one in got:
            self.answers += 1
            kind = one.headers.get("kind")
            if kind == "receipt":
                told = json.loads(one.body)
                self.receipts.setdefault(told["reference"], now)
                self.letter_of[stable_id(told["received"], "1", "accepted")] = told["reference"]
            elif kind in {"accepted", "refused"}:
                self.verdicts.setdefault(one.message_id, now)
        intake.ack(got)  # type: ignore[attr-defined]
        return len(got)


def letters(count: int, first: int) -> Iterator[Letter]:
    """Yield declarations of all different numbers, EDIFACT (0.7 kB) and XML (4.6 kB) by turns."""
    for n in range(first, first + count):
        partner, body = original(n)
        yield Letter(f"load-{n}", f"in.{partner}", "application/octet-stream", body)


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


@contextmanager
def gateway(settings: Settings, folder: Path, workers: int) -> Iterator[psutil.Process]:
    """Run `gateway serve` as it is delivered."""
    environment = os.environ | {
        "GATEWAY_BROKER_URL": settings.broker_url,
        "GATEWAY_DATABASE_URL": settings.database_url,
        "GATEWAY_PARTNERS": str(settings.partners),
        "GATEWAY_LOG": "json",
    }
    with (folder / "gateway.log").open("ab") as log:
        command = [sys.executable, "-m", "gateway", "serve", "--workers", str(workers)]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=HOME)  # noqa: S603
        try:
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(60)


def memory(process: psutil.Process) -> int:
    """Return the bytes of all the gateway's processes, what they share once (on Linux; elsewhere resident bytes)."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            found = one.memory_full_info()
            total += getattr(found, "pss", found.rss)
        except psutil.NoSuchProcess:
            continue
    return total


def processor(process: psutil.Process) -> dict[str, float]:
    """Return the processor seconds that the gateway has used, and the servers, and sender and reader.

    The gateway's are all of its processes', those that were renewed and are no more included.
    """
    used = {"gateway": sum(process.cpu_times()[:4])}
    for one in process.children():
        with suppress(psutil.NoSuchProcess):
            used["gateway"] += sum(one.cpu_times()[:2])
    used["sender and reader"] = sum(psutil.Process().cpu_times()[:2])
    for kind, program in (("RabbitMQ", "beam.smp"), ("PostgreSQL", "postgres")):
        # A database's processes come and go with their connections; those that went are counted by their parent.
        these = [one for one in psutil.process_iter(["name", "cpu_times"]) if one.info["name"] == program]
        used[kind] = sum(sum(one.info["cpu_times"] or ()) for one in these)  # none of another user's on macOS
    return used


def send(broker: Broker, batch: list[Letter], watch: Watch) -> None:
    now = time.monotonic()
    watch.sent.update({letter.id: now for letter in batch})
    missing = {letter.id for letter in batch} - broker.publish(batch).confirmed
    if missing:
        raise RuntimeError(f"{len(missing)} letters were not confirmed")


def measure(
    name: str, broker_url: str, sender_url: str, database_url: str, folder: Path, arguments: argparse.Namespace
) -> None:
    """Drain a backlog, then answer a steady flow, and print both; the sender is no user of the gateway's own."""
    run = Run(folder, sender_url, database_url, (broker_url, database_url))
    settings = run.plan.settings
    journal = Journal.open(database_url)
    journal.migrate()
    watch = Watch()
    with open_broker(broker_url) as own:
        own.declare(loops.queue_names(settings))
    with open_broker(sender_url) as broker:
        backlog = list(letters(arguments.backlog, 1_000_000))
        for place in range(0, len(backlog), 200):
            send(broker, backlog[place : place + 200], watch)
        with gateway(settings, folder, arguments.workers) as process, broker.consume(OUTS, prefetch=500) as intake:
            while not watch.read(intake, 1.0):
                if process.status() == psutil.STATUS_ZOMBIE:  # it has ended, and nobody has asked how
                    raise RuntimeError((folder / "gateway.log").read_text()[-2000:])
            begun = sampled = time.monotonic()
            before, first = processor(process), len(watch.verdicts)
            while len(watch.verdicts) < len(backlog):
                watch.read(intake, 0.2)
                if time.monotonic() > sampled + 1:
                    sampled = time.monotonic()
                    watch.memory.append((sampled - begun, memory(process)))
            last = max(watch.verdicts.values())
            used = {name: seconds - before[name] for name, seconds in processor(process).items()}
            rate = len(backlog) / (last - begun)
            each = {name: f"{seconds / (len(backlog) - first) * 1000:.2f}" for name, seconds in used.items()}
            print(f"{name}: processor ms a declaration: {each}", flush=True)
            early = [size for at, size in watch.memory if at < (last - begun) / 2] or [0]
            late = [size for at, size in watch.memory if at >= (last - begun) / 2] or [0]
            print(
                f"{name}: backlog of {len(backlog):,} drained in {last - begun:.1f} s = {rate:.0f}/s; memory of "
                f"all processes at most {max(early) / 1e6:.0f} MB in the 1st half, {max(late) / 1e6:.0f} MB in the 2nd",
                flush=True,
            )
            while watch.read(intake, 2.0):
                pass
            steady(name, broker, intake, min(rate * 0.5, arguments.pace or rate), arguments.seconds)
    report = journal.verify()
    print(f"{name}: audit chain of {report.links:,} links {'intact' if report.bad is None else report.reason}")
    journal.close()


def steady(name: str, broker: Broker, intake: object, pace: float, seconds: float) -> None:
    """Send at a pace and print how long receipts and verdicts take."""
    watch = Watch()
    flow = list(letters(int(pace * seconds), 5_000_000))
    begun = time.monotonic()
    done = 0
    while len(watch.verdicts) < len(flow) and time.monotonic() < begun + 4 * seconds + 30:
        due = min(len(flow), int((time.monotonic() - begun) * pace))
        if due > done:
            send(broker, flow[done:due], watch)
            done = due
        watch.read(intake, 0.005)
    receipts = [at - watch.sent[letter] for letter, at in watch.receipts.items()]
    verdicts = [at - watch.sent[watch.letter_of[one]] for one, at in watch.verdicts.items() if one in watch.letter_of]
    print(
        f"{name}: at {pace:.0f}/s for {seconds:g} s: "
        f"receipt p50 {percentile(receipts, 0.5) * 1000:.0f} ms, p99 {percentile(receipts, 0.99) * 1000:.0f} ms; "
        f"verdict p50 {percentile(verdicts, 0.5) * 1000:.0f} ms, p99 {percentile(verdicts, 0.99) * 1000:.0f} ms; "
        f"{len(flow) - len(watch.verdicts)} unanswered",
        flush=True,
    )


def main() -> None:
    gc.set_threshold(50_000, 20, 50)  # what is remembered of each message is no garbage
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--backlog", type=int, default=3_000, help="messages waiting at the start (100,000 at full size)"
    )
    parser.add_argument("--seconds", type=float, default=10, help="how long the steady flow lasts")
    parser.add_argument("--pace", type=float, default=0, help="messages a second, at most (default: half of the rate)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", choices=["embedded", "servers"])
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    print(
        f"{os.cpu_count()} cores, load {load:.1f} at the start"
        + ("; NOT quiet: figures are rough" if load > 0.5 else "")
    )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="load-")))
        if arguments.only != "servers":
            home = folder / "embedded"
            home.mkdir()
            queue = f"sqlite:///{home}/queue.db"
            measure("embedded", queue, queue, f"sqlite:///{home}/gateway.sqlite3", home, arguments)
        if arguments.only != "embedded":
            broker_url, database_url = (
                os.environ.get("GATEWAY_BENCH_BROKER_URL"),
                os.environ.get("GATEWAY_BENCH_DATABASE_URL"),
            )
            sender_url = os.environ.get("GATEWAY_BENCH_SENDER_URL")
            (folder / "servers").mkdir()
            if not broker_url or not sender_url or not database_url:
                from tests.support.servers import Postgres, Rabbit

                if Rabbit.program is None or Postgres.program is None:
                    print("servers: RabbitMQ or PostgreSQL is not installed: skipped")
                    return
                for one in ("rabbit", "postgres"):
                    (folder / one).mkdir()
                rabbit = stack.enter_context(Rabbit(folder / "rabbit"))
                rabbit.control("add_user", "sender", "sender")
                rabbit.control("set_permissions", "sender", ".*", ".*", ".*")
                broker_url = rabbit.url()
                sender_url = broker_url.replace("guest:guest@", "sender:sender@")
                database_url = stack.enter_context(Postgres(folder / "postgres")).url()
            measure("RabbitMQ + PostgreSQL", broker_url, sender_url, database_url, folder / "servers", arguments)


if __name__ == "__main__":
    main()
