"""`make soak MINUTES=30`: a steady flow while brokers, connections and processes are struck at random.

Prints every strike and, each minute, memory and open files of the gateway; ends with what was lost or doubled.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.chaos import Run, traffic
from tests.servers import Postgres, Proxy, Rabbit

PACE = 10  # declarations a second: the machine is not to be full, the strikes are what counts
QUIET = (20.0, 60.0)  # seconds between two strikes


def watch(run: Run) -> tuple[int, int, int]:
    """Return resident bytes, open files and number of the gateway's processes."""
    resident = files = count = 0
    for pid in run.pids():
        try:
            one = psutil.Process(pid)
            resident, files, count = resident + one.memory_info().rss, files + one.num_fds(), count + 1
        except psutil.Error:
            continue
    return resident, files, count


def soak(minutes: float, seed: int, folder: Path) -> int:
    """Run for so long; return 0 if nothing was lost or doubled."""
    for name in ("rabbit", "postgres", "run"):
        (folder / name).mkdir()
    dice = random.Random(seed)
    with Rabbit(folder / "rabbit") as rabbit, Postgres(folder / "postgres") as postgres:
        to_broker, to_database = Proxy(rabbit.port), Proxy(postgres.port)
        through = rabbit.url(to_broker.port), postgres.url(to_database.port)

        def stall() -> None:
            way = dice.choice(["in", "out"])
            to_broker.stalled.add(way)
            time.sleep(10)
            to_broker.stalled.clear()
            to_broker.cut()

        strikes = {
            "broker killed": rabbit.restart,
            "database killed": postgres.restart,
            "broker's network cut": to_broker.cut,
            "database's network cut": to_database.cut,
            "broker's network stalled": stall,
            "broker's network half open": to_broker.strand,
        }
        struck = dict.fromkeys(strikes, 0)
        samples: list[tuple[float, int, int]] = []
        with Run(folder / "run", rabbit.url(), postgres.url(), through, workers=2, batch=50) as run:
            begun = sampled = time.monotonic()
            end, strike, sent = begun + minutes * 60, begun + QUIET[0], 0
            while (now := time.monotonic()) < end:
                run.send(list(traffic(PACE, first=sent)), size=50)
                sent += PACE
                if now > strike:
                    name = dice.choice(sorted(strikes))
                    strikes[name]()
                    struck[name] += 1
                    print(f"{now - begun:6.0f} s  {name}", flush=True)
                    strike = time.monotonic() + dice.uniform(*QUIET)
                if now > sampled + 60:
                    sampled = now
                    resident, files, count = watch(run)
                    samples.append((now - begun, resident, files))
                    print(
                        f"{now - begun:6.0f} s  {sent:,} sent, {len(run.seen):,} answers; {count} processes: "
                        f"{resident / 1e6:.0f} MB, {files} files",
                        flush=True,
                    )
                while (left := now + 1 - time.monotonic()) > 0:
                    run.read(left)
            run.settle(180)
            figures = run.figures()
        to_broker.close()
        to_database.close()
    print(f"strikes {struck}")
    print(figures)
    if len(samples) > 1:
        (_, before, opened), (_, after, still) = samples[0], samples[-1]
        print(f"memory {before / 1e6:.0f} -> {after / 1e6:.0f} MB, open files {opened} -> {still}")
    print(f"lost or doubled: {figures.wrong() or 'nothing'}")
    return 1 if figures.wrong() or not any(struck.values()) else 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="soak-") as scratch:
        sys.exit(soak(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1, Path(scratch)))
