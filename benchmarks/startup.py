"""Measures what it takes to start: commands in processor time beside bare Python, and `serve` until its first answers.

`python -m benchmarks.startup [OTHER_CHECKOUT]` (part of `make bench`), the environment of the other installed: prints a
table and writes it to benchmarks/startup.md. The programs take turns; each has run once before, so that its modules
are compiled.
"""

from __future__ import annotations

import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gateway.queues import Letter, open_broker
from routing.partners import load_partners
from routing.queues import inbound_queue

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "benchmarks" / "startup.md"
ROUNDS = 9
SERVED, WATCHED = 5, 10  # rounds of `serve`, and seconds of each
BARE, LIBRARY = "python -c pass", "python -c 'import click'"
COMMANDS = {
    "gateway --help": ["--help"],
    "gateway check, XML": ["check", "samples/originals/published-example.xml"],
    "gateway check, EDIFACT": ["check", "samples/originals/ab-two-lines.edi"],
}
SAMPLE = ROOT / "samples" / "originals" / "published-example.xml"
# Modules are compiled once and kept, as in an installation.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def main(arguments: Sequence[str]) -> None:
    """Measure this checkout, and another if one is named; print the table and write it."""
    lines = [*report(Path(arguments[0]).resolve() if arguments else None)]
    print("\n".join(lines))
    REPORT.write_text("\n".join(lines) + "\n", encoding="utf-8")


def report(other: Path | None) -> Iterator[str]:
    """Yield the lines of the report."""
    times = measured({ROOT: "", **({other: "other: "} if other else {})})
    bare, library = (statistics.median(times[name]) for name in (BARE, LIBRARY))
    yield "# Starting"
    yield ""
    beside = f", beside {_commit(other)}" if other else ""
    yield f"Made by `python -m benchmarks.startup`{beside}: processor time of the whole process, the median of {ROUNDS}"
    yield f"rounds in turns (the best). Load at the end: {os.getloadavg()[0]:.1f}. Ratios hold on other machines."
    yield ""
    yield "| command | ms | times bare Python | times importing click | times the other checkout |"
    yield "|---|---|---|---|---|"
    for name, of in times.items():
        middle, before = statistics.median(of), times.get(f"other: {name}")
        ratio = f"{middle / statistics.median(before):.2f}" if before else ""
        figure = f"{middle * 1e3:.0f} ({min(of) * 1e3:.0f})"
        yield f"| `{name}` | {figure} | {middle / bare:.1f} | {middle / library:.1f} | {ratio} |"
    yield ""
    yield from serving([ROOT, *([other] if other else [])])


def serving(checkouts: Sequence[Path]) -> Iterator[str]:
    """Yield the report's lines about `gateway serve`."""
    yield f"`gateway serve` (embedded queue, two workers), the median of {SERVED} rounds in turns (from best to worst):"
    yield "seconds by the clock until a message that waited has its receipt (target 1.5 on a quiet machine) and its"
    yield f"verdict, and processor time of all its processes in {WATCHED} s from its start, with nothing else to do."
    yield ""
    yield "| checkout | receipt, s | verdict, s | processor time, s |"
    yield "|---|---|---|---|"
    rounds = [[served(checkout) for checkout in checkouts] for _ in range(SERVED)]
    for checkout, own in zip(checkouts, zip(*rounds, strict=True), strict=True):
        columns = [sorted(column) for column in zip(*own, strict=True)]
        figures = " | ".join(f"{statistics.median(each):.2f} ({each[0]:.2f} to {each[-1]:.2f})" for each in columns)
        yield f"| {'this' if checkout == ROOT else 'the other'} | {figures} |"


def measured(checkouts: Mapping[Path, str]) -> dict[str, list[float]]:
    """Return the processor seconds of each command, by name and round."""
    python = str(ROOT / ".venv" / "bin" / "python")
    runs = {BARE: ([python, "-c", "pass"], ROOT), LIBRARY: ([python, "-c", "import click"], ROOT)}
    for checkout, prefix in checkouts.items():
        own = str(checkout / ".venv" / "bin" / "python")
        runs |= {prefix + name: ([own, "-m", "gateway", *args], checkout) for name, args in COMMANDS.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(ROUNDS + 1):
        for name, (run, folder) in runs.items():
            before = _children()
            subprocess.run(run, cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL, check=True)  # noqa: S603  ours
            if number:
                times[name].append(_children() - before)
    return times


def served(checkout: Path) -> tuple[float, ...]:
    """Return the seconds from the start of `serve` to the receipt and verdict of a message that waits, and its work."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/queue.db"
        environment = ENVIRONMENT | {
            "GATEWAY_BROKER_URL": url,
            "GATEWAY_DATABASE_URL": f"sqlite:///{folder}/gateway.sqlite3",
        }
        gateway = [str(checkout / ".venv" / "bin" / "python"), "-m", "gateway"]
        for prepare in (["migrate"], ["doctor", "--declare"]):
            subprocess.run([*gateway, *prepare], env=environment, cwd=checkout, stdout=subprocess.DEVNULL, check=False)  # noqa: S603  ours
        partner = load_partners(ROOT / "samples" / "partners.toml")["erable"]
        before = _children()
        with open_broker(url) as broker:
            broker.publish([Letter("first", inbound_queue("erable"), "application/octet-stream", SAMPLE.read_bytes())])
            begin = time.monotonic()
            serve = subprocess.Popen([*gateway, "serve"], env=environment, cwd=checkout, stderr=subprocess.DEVNULL)  # noqa: S603  ours
            try:
                came = {}
                while "accepted" not in came and (answer := broker.take(partner.answer_queue, 60)):
                    came[answer.headers.get("kind")] = time.monotonic() - begin
                time.sleep(max(0.0, begin + WATCHED - time.monotonic()))
            finally:
                serve.send_signal(signal.SIGTERM)
                serve.wait()
        if not {"receipt", "accepted"} <= came.keys():
            raise SystemExit("no receipt or no verdict came")
        return came["receipt"], came["accepted"], _children() - before


def _children() -> float:
    """Return the processor seconds of all child processes that have ended, theirs included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _commit(checkout: Path | None) -> str:
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603  ours


if __name__ == "__main__":
    main(sys.argv[1:])
