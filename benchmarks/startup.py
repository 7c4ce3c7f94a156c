"""Measures what it takes to start: commands in processor time beside bare Python, and `serve` until its first receipt.

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
    seconds = sorted(until_receipt() for _ in range(3))
    yield ""
    yield f"`gateway serve` (embedded queue) sends its first receipt {seconds[1]:.2f} s after its start by the clock"
    yield f"({seconds[0]:.2f} to {seconds[2]:.2f} in three rounds; target 1.5 s on a quiet machine)."


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
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(run, cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL, check=True)  # noqa: S603  ours
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if number:
                times[name].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return times


def until_receipt() -> float:
    """Return the seconds from the start of `serve` to the receipt of a message that waits for it."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/queue.db"
        environment = ENVIRONMENT | {
            "GATEWAY_BROKER_URL": url,
            "GATEWAY_DATABASE_URL": f"sqlite:///{folder}/gateway.sqlite3",
        }
        gateway = [sys.executable, "-m", "gateway"]
        for prepare in (["migrate"], ["doctor", "--declare"]):
            subprocess.run([*gateway, *prepare], env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, check=False)  # noqa: S603  ours
        partner = load_partners(ROOT / "samples" / "partners.toml")["erable"]
        with open_broker(url) as broker:
            broker.publish([Letter("first", inbound_queue("erable"), "application/octet-stream", SAMPLE.read_bytes())])
            begin = time.monotonic()
            serve = subprocess.Popen([*gateway, "serve"], env=environment, cwd=ROOT, stderr=subprocess.DEVNULL)  # noqa: S603  ours
            try:
                answer = broker.take(partner.answer_queue, 60)
                seconds = time.monotonic() - begin
            finally:
                serve.send_signal(signal.SIGTERM)
                serve.wait()
        if answer is None or answer.headers.get("kind") != "receipt":
            raise SystemExit("no receipt came")
        return seconds


def _commit(checkout: Path | None) -> str:
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603  ours


if __name__ == "__main__":
    main(sys.argv[1:])
