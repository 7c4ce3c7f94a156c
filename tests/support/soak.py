"""`make soak MINUTES=30`: a steady flow while brokers, connections and databases are struck at random.

Prints every strike and, at regular times, memory and open files of the gateway; ends with a table, and 0 if nothing was
lost or doubled and both stayed flat. Ctrl-C or SIGTERM ends it early; either way nothing of it is left.
"""

from __future__ import annotations

import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

from tests.support.chaos import Figures, Run, traffic
from tests.support.servers import Postgres, Proxy, Rabbit

PACE = 10  # declarations a second: the machine is not to be full, the strikes are what counts
QUIET = (20.0, 60.0)  # seconds between two strikes
AWAY = 60.0  # seconds that an outage lasts
SAMPLES = 30  # at most one a minute
FLAT = 1.1  # the last third of the samples beside the middle one; the first is for warming up

Sample = tuple[float, int, int]


def watch(run: Run) -> tuple[int, int, int]:
    """Return resident bytes, open files and number of the gateway's processes."""
    resident = files = count = 0
    with suppress(psutil.Error):
        for pid in run.pids():
            one = psutil.Process(pid)
            resident, files, count = resident + one.memory_info().rss, files + one.num_fds(), count + 1
    return resident, files, count


def growth(samples: list[Sample], column: int) -> float | None:
    """Return how the last third of the samples stands to the middle third; None if they are too few to tell."""
    third = len(samples) // 3
    if third < 3:
        return None
    middle, last = samples[third : 2 * third], samples[2 * third :]
    return statistics.median(one[column] for one in last) / statistics.median(one[column] for one in middle)


def table(struck: dict[str, int], samples: list[Sample], figures: Figures | None) -> int:
    """Print what there is to know at the end; return 0 if all is well."""
    print("\nstrikes")
    for name, count in struck.items():
        print(f"  {name:30} {count:4}")
    grown = {"memory": growth(samples, 1), "open files": growth(samples, 2)}
    if samples:
        (_, before, opened), (_, after, still) = samples[0], samples[-1]
        print(f"memory      {before / 1e6:.0f} -> {after / 1e6:.0f} MB\nopen files  {opened} -> {still}")
    for name, factor in grown.items():
        print(f"growth of {name}: {'too short to tell' if factor is None else f'{factor:.2f} (at most {FLAT})'}")
    if figures is None:
        print("interrupted: nothing is known of what was still on its way")
        return 130
    print(figures)
    print(f"lost or doubled: {figures.wrong() or 'nothing'}")
    steady = all(factor is None or factor <= FLAT for factor in grown.values())
    return 0 if steady and sum(struck.values()) and not figures.wrong() else 1


def soak(minutes: float, seed: int, folder: Path) -> int:
    """Run for so long; return the exit code."""
    for name in ("rabbit", "postgres", "run"):
        (folder / name).mkdir()
    dice = random.Random(seed)
    samples: list[Sample] = []
    struck: dict[str, int] = {}
    figures = None
    with (
        suppress(KeyboardInterrupt),
        Rabbit(folder / "rabbit") as rabbit,
        Postgres(folder / "postgres") as postgres,
    ):
        to_broker, to_database = Proxy(rabbit.port), Proxy(postgres.port)
        through = rabbit.url(to_broker.port), postgres.url(to_database.port)

        def stall() -> None:
            way = dice.choice(["in", "out"])
            to_broker.stalled.add(way)
            time.sleep(10)
            to_broker.stalled.clear()
            to_broker.cut()

        away: list[threading.Timer] = []

        def outage(*servers: Postgres | Rabbit) -> None:
            """Stop servers in order, and start them again after a minute, while the senders go on."""
            for one in servers:
                one.kill(signal.SIGTERM if isinstance(one, Rabbit) else signal.SIGKILL)
            away.append(threading.Timer(AWAY, lambda: [one.start() for one in servers]))
            away[-1].start()

        strikes = {
            "database away for a minute": lambda: outage(postgres),
            "broker away for a minute": lambda: outage(rabbit),
            "both away for a minute": lambda: outage(postgres, rabbit),
            "broker killed": rabbit.restart,
            "database killed": postgres.restart,
            "broker's network cut": to_broker.cut,
            "database's network cut": to_database.cut,
            "broker's network stalled": stall,
            "broker's network half open": to_broker.strand,
        }
        struck |= dict.fromkeys(strikes, 0)
        with Run(folder / "run", rabbit.url(), postgres.url(), through, workers=2, batch=50) as run:
            print(f"the first answer after {run.recovers()} s", flush=True)
            begun = sampled = time.monotonic()
            end, strike, sent = begun + minutes * 60, begun + QUIET[0], 0
            while (now := time.monotonic()) < end:
                run.send(list(traffic(PACE, first=sent)), size=50)
                sent += PACE
                if now > strike and not any(one.is_alive() for one in away):
                    name = dice.choice(sorted(strikes))
                    strikes[name]()
                    struck[name] += 1
                    print(f"{now - begun:6.0f} s  {name}", flush=True)
                    strike = time.monotonic() + dice.uniform(*QUIET)
                if now > sampled + min(60, minutes * 60 / SAMPLES):
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
            for one in away:
                one.join()
            run.settle(300)
            figures = run.figures()
            print(f"dead {run._broker.depth('dead')}")
    return table(struck, samples, figures)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="soak-") as scratch:
        sys.exit(soak(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1, Path(scratch)))
