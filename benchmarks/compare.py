"""Measures the pure way of a message in this checkout and in another, on the same traffic, in turns.

`python -m benchmarks.compare OTHER_CHECKOUT [--quick]`, with the environments of both installed (`make install`):
prints a table and writes it to benchmarks/compare.md. Each checkout runs in a process of its own; in each round both
handle all messages of a kind, one after the other, so that a busy machine slows both alike. Times are processor time,
the median of the rounds and the best; function calls are counted apart from it and do not depend on the machine.
"""

from __future__ import annotations

import gc
import json
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "benchmarks" / "compare.md"
NEWER = ("surtax_", "safeguard_", "sima_amount", "sima_self_declared")  # not every checkout reads these alike
Traffic = dict[str, list[bytes]]


class Figures(NamedTuple):
    """What one checkout takes for a kind: seconds a message by round, function calls a message."""

    seconds: list[float]
    calls: float


class Row(NamedTuple):
    """A kind, how many messages of it both accept, and what each takes."""

    name: str
    messages: int
    here: Figures
    other: Figures


def main(arguments: Sequence[str]) -> None:
    """Run as a worker in the checkout of this environment, or make the traffic, run both and report."""
    if arguments[0] == "--worker":
        work(Path(arguments[1]), Path(arguments[2]))
        return
    other, quick = Path(arguments[0]).resolve(), "--quick" in arguments
    with tempfile.NamedTemporaryFile() as file:
        pickle.dump(traffic(), file)
        file.flush()
        rounds = 5 if quick else 25
        lines = [*report(other, rounds, measured((ROOT, other), Path(file.name), rounds))]
    print("\n".join(lines))
    if not quick:
        REPORT.write_text("\n".join(lines) + "\n", encoding="utf-8")


def traffic() -> Traffic:
    """Return what both handle, by kind."""
    from benchmarks import bench_pipeline, traffic
    from core.transmission import Syntax

    kinds: Traffic = {}
    varied = traffic.varied(bench_pipeline.PLANS, 200, without=NEWER)
    large = traffic.large(bench_pipeline.PLANS, 2, without=NEWER)
    same = bench_pipeline.bodies(5, 100)
    for syntax in (Syntax.XML, Syntax.EDIFACT):
        name = "XML" if syntax is Syntax.XML else "EDIFACT"
        kinds[f"{name}, same shape, 5 lines"] = same[syntax]
        kinds[f"{name}, varied, 1 to 30 lines"] = varied[syntax]
        kinds[f"{name}, 999 lines"] = large[syntax]
    pairs = zip(varied[Syntax.XML], varied[Syntax.EDIFACT], strict=True)
    kinds["both, varied, in turns"] = [body for pair in pairs for body in pair]
    return kinds


# ------------------------------------------------------------------------------------------------ one checkout


def work(checkout: Path, file: Path) -> None:
    """Answer the questions in standard input about the kinds in a file, each a line of JSON, with a number or more."""
    sys.path.insert(0, str(checkout))
    from core.register import Facts
    from core.transmission import Received, Verdict
    from gateway import pipeline
    from gateway.plans import prepare, warm
    from routing.partners import load_partners

    kinds: Traffic = pickle.loads(file.read_bytes())  # noqa: S301  what this program wrote
    plans, now = prepare(checkout / "eccrd_specs"), datetime(2026, 1, 16, 15, 0, tzinfo=UTC)
    partner = replace(load_partners(checkout / "samples" / "partners.toml")["maple"], contrl=False)
    all(warm(plans))
    # As in production (`loops.rest_of_garbage`): else the plans are looked through again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)

    def handle(bodies: Iterable[bytes]) -> Iterator[Any]:
        for body in bodies:
            yield pipeline.handle(Received("received", partner.id, body, now), Facts(partner), plans)

    def answer(what: str, name: str) -> Any:
        outcomes = handle(kinds[name])
        if what == "accepted":
            return [[one.verdict for one in each.judged] == [Verdict.ACCEPTED] for each in outcomes]
        return (counted if what == "calls" else seconds)(outcomes) / len(kinds[name])

    for line in sys.stdin:
        what, name, which = json.loads(line)
        kinds[name] = (
            [body for body, chosen in zip(kinds[name], which, strict=True) if chosen] if which else kinds[name]
        )
        print(json.dumps(answer(what, name)), flush=True)


def seconds(outcomes: Iterator[Any]) -> float:
    """Return the processor time of the outcomes."""
    begin = time.process_time()
    for _ in outcomes:
        pass
    return time.process_time() - begin


def counted(outcomes: Iterator[Any]) -> int:
    """Return how many functions were called for the outcomes, those of C included."""
    calls = 0

    def count(_frame: Any, event: str, _what: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    for _ in outcomes:
        pass
    sys.setprofile(None)
    return calls


# ------------------------------------------------------------------------------------------------ both


def measured(checkouts: Sequence[Path], file: Path, rounds: int) -> Iterator[Row]:
    """Yield what the checkouts take for each kind, of what both accept; they take turns."""
    workers = [_worker(checkout, file) for checkout in checkouts]
    for name in pickle.loads(file.read_bytes()):  # noqa: S301  what this program wrote
        accepted = [_ask(worker, "accepted", name) for worker in workers]
        which = [all(each) for each in zip(*accepted, strict=True)]
        calls = [_ask(worker, "calls", name, which) for worker in workers]
        times: list[list[float]] = [[] for _ in workers]
        for number in range(rounds):
            turn = list(zip(workers, times, strict=True))
            for worker, own in turn if number % 2 else reversed(turn):
                own.append(_ask(worker, "seconds", name))
        yield Row(name, sum(which), *(Figures(*each) for each in zip(times, calls, strict=True)))
    for worker in workers:
        worker.communicate()


def _worker(checkout: Path, file: Path) -> subprocess.Popen[str]:
    command = [str(checkout / ".venv" / "bin" / "python"), __file__, "--worker", str(checkout), str(file)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=checkout)  # noqa: S603  as was named


def _ask(worker: subprocess.Popen[str], what: str, name: str, which: Sequence[bool] = ()) -> Any:
    """Return a worker's answer about a kind, from now on only of the messages that are chosen, if any are."""
    assert worker.stdin  # noqa: S101
    assert worker.stdout  # noqa: S101
    worker.stdin.write(json.dumps([what, name, which]) + "\n")
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())


# ------------------------------------------------------------------------------------------------ the report


def report(other: Path, rounds: int, rows: Iterable[Row]) -> Iterator[str]:
    """Yield the lines of the report."""
    yield "# This checkout beside another"
    yield ""
    yield f"Made by `python -m benchmarks.compare`, {rounds} rounds in turns, {_commit(other)} beside {_commit(ROOT)}."
    yield "A ratio under 1 is faster than the other; microseconds are processor time a message, the median (the best)."
    yield ""
    yield "| traffic | messages | other | here | ratio, median | ratio, best | calls, other | calls, here | ratio |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name, messages, now, before in rows:
        middle = statistics.median(now.seconds) / statistics.median(before.seconds)
        best = min(now.seconds) / min(before.seconds)
        yield (
            f"| {name} | {messages} | {_microseconds(before)} | {_microseconds(now)} | {middle:.2f} | {best:.2f} "
            f"| {before.calls:,.0f} | {now.calls:,.0f} | {now.calls / before.calls:.2f} |"
        )


def _microseconds(figures: Figures) -> str:
    return f"{statistics.median(figures.seconds) * 1e6:,.0f} ({min(figures.seconds) * 1e6:,.0f})"


def _commit(checkout: Path) -> str:
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603


if __name__ == "__main__":
    main(sys.argv[1:])
