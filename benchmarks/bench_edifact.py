"""Measures reading and checking EDIFACT, side by side with its peers on the same generated traffic.

`make bench`, or `python benchmarks/bench_edifact.py [--quick]`: prints a table and writes it to
benchmarks/edifact.md. Times are processor time, the best of three rounds; memory is the peak of a process of its own.
"""

from __future__ import annotations

import cProfile
import json
import os
import platform
import pstats
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from benchmarks import workload  # noqa: E402
from core import limits  # noqa: E402
from edifact import reader as edifact  # noqa: E402
from edifact.directory import Structure  # noqa: E402
from edifact.envelope import check_interchange  # noqa: E402
from edifact.loading import load  # noqa: E402
from edifact.match import Matchers  # noqa: E402
from edifact.message import check  # noqa: E402

PEERS = ROOT / "build" / "peers"
TS_EDIFACT = "ts-edifact@0.0.14"
REPORT = ROOT / "benchmarks" / "edifact.md"
DIRECTORIES = load(ROOT / "eccrd_specs" / "edifact")


class Table(NamedTuple):
    """What messages are checked against, and what is compiled from it."""

    structure: Structure
    matchers: Matchers


def main(arguments: list[str]) -> None:
    """Run everything, print and write the report; `--peak FILE KIND` is the memory measurement's own process."""
    limits.SEGMENTS = limits.MESSAGES = 10_000_000  # measured as if there were no limits on size
    if arguments[:1] == ["--peak"]:
        body = Path(arguments[1]).read_bytes()
        ours(body, table(arguments[2]))
        status = Path("/proc/self/status").read_text(encoding="ascii")  # ru_maxrss would count the parent's memory too
        print(int(status.partition("VmHWM:")[2].split()[0]) * 1024)
        return
    lines = list(report(1_000 if "--quick" in arguments else 10_000))
    text = "\n".join(lines) + "\n"
    print(text)
    if "--quick" not in arguments:
        REPORT.write_text(text, encoding="utf-8")


# ------------------------------------------------------------------------------------------------ what is measured


def table(kind: str) -> Table:
    """Return what a message of this kind is checked against: `CAD` is GOVCBR as the gateway takes it, by chapter 24."""
    if kind == "CAD":
        from gateway.plans import prepare  # here, so that it does not count in our peak memory

        reading = prepare(ROOT / "eccrd_specs").reading
        plan = next(each for each in reading.edifact.values() if each.pack.id == "chapter24")
        return Table(plan.profiles["3"], reading.matchers)
    version = "96B" if kind == "CUSDEC" else "13A"
    found = DIRECTORIES.structure((kind, "D", version, "UN"))
    assert found is not None  # noqa: S101
    return Table(found, Matchers())


def ours(body: bytes, table: Table) -> tuple[int, int]:
    """Read and fully check an interchange, envelopes included; return its messages, and those with a fault."""
    messages = faulty = 0
    for found in edifact.read(body, DIRECTORIES):
        if isinstance(found, edifact.MessageText):
            messages += 1
            faulty += bool(check(found, *table))
        elif check_interchange(found, table.matchers).faults:
            raise SystemExit("the workload's envelope is not right")
    return messages, faulty


def ours_split(body: bytes) -> int:
    """Read an interchange and split every message into segments, elements and components, without checking."""
    return sum(
        len(found.segments) for found in edifact.read(body, DIRECTORIES) if isinstance(found, edifact.MessageText)
    )


def pydifact(body: bytes) -> int:
    """Parse with pydifact."""
    from pydifact.parser import Parser  # here, so that it does not count in our peak memory

    return sum(1 for _ in Parser().parse(body.decode("latin-1")))


def bytes_split(body: bytes) -> int:
    """Only split at the terminators: what Python cannot be faster than."""
    return len(body.split(b"'"))


def timed(action: Callable[[], object], rounds: int = 3) -> float:
    """Return the processor seconds of the fastest round."""
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        action()
        best = min(best, time.process_time() - start)
    return best


# ------------------------------------------------------------------------------------------------ the peer in Node


def ts_edifact(body: bytes, structure: Structure, rounds: int = 3) -> dict[str, float] | str:
    """Return what ts-edifact with Validator and Tracker needs, or why it could not run."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return "Node is not installed"
    PEERS.mkdir(parents=True, exist_ok=True)
    if not (PEERS / "node_modules" / "ts-edifact").is_dir():
        command = [npm, "install", "--prefix", str(PEERS), "--no-save", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run([*command, TS_EDIFACT], capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            return "npm could not install it"
    specification, file = PEERS / "specification.json", PEERS / "workload.edi"
    specification.write_text(json.dumps(_peer_tables(structure)), encoding="utf-8")
    file.write_bytes(body)
    done = subprocess.run(  # noqa: S603
        [node, str(ROOT / "benchmarks" / "peers.js"), str(PEERS), str(specification), str(file), str(rounds)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return f"it failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}"
    return dict(json.loads(done.stdout))


def _peer_tables(structure: Structure) -> dict[str, object]:
    """Return a structure in the form of ts-edifact's specification files."""
    segments: dict[str, object] = {}
    elements: dict[str, object] = {}
    service = DIRECTORIES.service_segments("3")
    for segment in [*structure.segments.values(), service["UNB"], service["UNZ"]]:
        slots = segment.flat
        required = max((number for number, slot in enumerate(slots, 1) if slot.mandatory), default=0)
        segments[segment.tag] = {"requires": required, "elements": [slot.id for slot in slots]}
        for slot in slots:
            needed = max((n for n, part in enumerate(slot.parts, 1) if part.mandatory), default=0)
            formats = [f"{p.item.kind}{'..' if p.item.min != p.item.max else ''}{p.item.max}" for p in slot.parts]
            elements[slot.id] = {"requires": needed if slot.composite else 0, "components": formats}

    def inside(index: int, end: int, group: int) -> Iterator[dict[str, object]]:
        while index < end:
            row = structure.rows[index]
            if row.group == group:
                yield {"content": row.tag, "mandatory": row.mandatory, "repetition": row.max}
                index += 1
                continue
            last = structure.ends[row.group]
            trigger: dict[str, object] = {"content": row.tag, "mandatory": True, "repetition": 1}
            content = [trigger, *inside(index + 1, last, row.group)]
            yield {"content": content, "mandatory": row.mandatory, "repetition": row.max, "name": str(row.group)}
            index = last

    return {"segments": segments, "elements": elements, "structure": list(inside(0, len(structure.rows), 0))}


# ------------------------------------------------------------------------------------------------ the report


def report(messages: int) -> Iterator[str]:
    """Yield the lines of the report."""
    yield "# EDIFACT: measured side by side"
    yield ""
    yield f"Made by `make bench`: Python {platform.python_version()}, {os.cpu_count()} cores, one process, processor"
    yield "time, best of three rounds, everything in one run on the same generated traffic; no network, no queue."
    yield "Figures drift with the machine, ratios hold. The gateway's own limits on size (`core/limits.py`) are"
    yield "lifted here: the reader streams and needs none."
    cusdec, cad = workload.interchange("CUSDEC", messages, 9), workload.interchange("GOVCBR", messages, 9)
    tables = {kind: table(kind) for kind in ("CUSDEC", "CAD", "GOVCBR")}
    for kind, each in tables.items():  # patterns are compiled when first used
        if ours(workload.interchange("CUSDEC" if kind == "CUSDEC" else "GOVCBR", 10, 9), each)[1]:
            raise SystemExit("the workload's messages are not right")
    yield ""
    size = len(cad) / cad.count(b"'")
    yield f"## {messages:,} messages of {len(cad) / messages:,.0f} bytes ({size:.0f} a segment) in one interchange"
    yield ""
    yield "| what | traffic | MB/s | messages/s |"
    yield "|---|---|---|---|"
    speeds: dict[str, float] = {}

    def row(name: str, traffic: str, body: bytes, seconds: float) -> str:
        speeds[f"{name}, {traffic}"] = len(body) / seconds / 1e6
        return f"| {name} | {traffic} | {len(body) / seconds / 1e6:.1f} | {messages / seconds:,.0f} |"

    checked = "**ours, read and fully checked**"
    yield row(checked, "GOVCBR by the CAD profile", cad, timed(lambda: ours(cad, tables["CAD"])))
    yield row(checked, "GOVCBR by the whole UN table", cad, timed(lambda: ours(cad, tables["GOVCBR"])))
    yield row(checked, "CUSDEC", cusdec, timed(lambda: ours(cusdec, tables["CUSDEC"])))
    bad = workload.interchange("GOVCBR", messages, 9, faulty=100)
    refused = ours(bad, tables["CAD"])[1]
    yield row(checked, f"GOVCBR by the CAD profile, {refused:,} refused", bad, timed(lambda: ours(bad, tables["CAD"])))
    yield row("ours, read and split, not checked", "GOVCBR", cad, timed(lambda: ours_split(cad)))
    for kind, body in (("CUSDEC", cusdec), ("GOVCBR", cad)):
        result = ts_edifact(body, tables[kind].structure)
        if isinstance(result, str):
            yield f"| ts-edifact, Validator and Tracker | {kind} | not run: {result} | |"
        else:
            if result["messages"] != messages:
                raise SystemExit("ts-edifact did not read every message")
            yield row("ts-edifact, Validator and Tracker", kind, body, result["seconds"])
    yield row("pydifact, parsed only", "CUSDEC", cusdec, timed(lambda: pydifact(cusdec), 1))
    yield row("bytes.split at the terminators", "CUSDEC", cusdec, timed(lambda: bytes_split(cusdec)))
    yield from targets(speeds, checked, refused)
    yield from large(tables)
    yield from limits_of(cad, tables["CAD"])


def targets(speeds: dict[str, float], checked: str, refused: int) -> Iterator[str]:
    """Yield how the speeds compare with what was aimed at."""
    cad, cusdec = speeds[f"{checked}, GOVCBR by the CAD profile"], speeds[f"{checked}, CUSDEC"]
    yield ""
    yield f"- at least 40 MB/s on valid traffic: {cad:.1f} (CAD), {cusdec:.1f} (CUSDEC)"
    for kind, speed in (("CUSDEC", cusdec), ("GOVCBR", cad)):
        theirs = speeds.get(f"ts-edifact, Validator and Tracker, {kind}")
        if theirs:
            yield f"- at least 2 times ts-edifact: {speed / theirs:.1f} times ({kind})"
    yield f"- at least 30 times pydifact: {cusdec / speeds['pydifact, parsed only, CUSDEC']:.0f} times"
    yield (
        "- at least 20 MB/s with 1 % refused and explained: "
        f"{speeds[f'{checked}, GOVCBR by the CAD profile, {refused:,} refused']:.1f}"
    )


def large(tables: dict[str, Table]) -> Iterator[str]:
    """Yield what big messages and interchanges take."""
    yield ""
    yield "## Size"
    yield ""
    small, big = workload.interchange("GOVCBR", 1, 1_700), workload.interchange("GOVCBR", 1, 17_000)
    times = [timed(lambda body=body: ours(body, tables["GOVCBR"]), 5) for body in (small, big)]  # type: ignore[misc]
    yield (
        f"- one message of {len(big) / 1e6:.1f} MB (17,000 lines): {times[1]:.3f} s; one of {len(small) / 1e6:.2f} MB "
        f"(1,700 lines): {times[0]:.3f} s; 10 times the lines take {times[1] / times[0]:.1f} times the time"
    )
    PEERS.mkdir(parents=True, exist_ok=True)
    file = PEERS / "interchange-50.edi"
    body = workload.interchange("GOVCBR", 50, 3_450)
    file.write_bytes(body)
    command = [sys.executable, __file__, "--peak", str(file), "GOVCBR"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    peak = int(done.stdout) / 1e6
    yield (
        f"- one interchange of {len(body) / 1e6:.0f} MB in 50 messages: peak memory {peak:.0f} MB, the transmission "
        "itself included (aim: under 150)"
    )
    seconds = timed(lambda: ours(body, tables["GOVCBR"]))
    yield f"- the same, read and fully checked by the whole UN table: {len(body) / seconds / 1e6:.1f} MB/s"


def limits_of(body: bytes, table: Table) -> Iterator[str]:
    """Yield where the time goes."""
    profile = cProfile.Profile()
    profile.runcall(ours, body, table)
    text = StringIO()
    pstats.Stats(profile, stream=text).strip_dirs().sort_stats("tottime").print_stats(12)
    yield ""
    yield "## Where the time goes (valid CAD traffic, under the profiler)"
    yield ""
    yield "```"
    yield from (line.rstrip() for line in text.getvalue().splitlines() if line.strip())
    yield "```"


if __name__ == "__main__":
    main(sys.argv[1:])
