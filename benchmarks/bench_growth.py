"""Measures how processor time, memory and what is stored grow with what a sender repeats, up to the limits.

`python -m benchmarks.bench_growth` (part of `make bench`): prints a table and writes it to docs/growth.md. Each figure
is of a process of its own, which has judged a small message of each syntax before.
"""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from gateway.loops import rest_of_garbage
from tests.support.growth import Grow, edifact_cases, xml_cases
from tests.support.hostile import GOOD_EDIFACT, GOOD_XML
from tests.support.oracles import can_be_stored, carried

REPORT = Path(__file__).parents[1] / "docs" / "growth.md"

# How many there may be of it, about, before a limit tells that and nothing else; of everything else so many.
MOST = {
    "lines": 3_400, "messages": 990, "stray": 990, "strays": 490, "interchanges": 990, "headers": 900, "patterns": 500,
    "released": 4_000, "filler": 4_000_000, "text": 9_000_000, "references": 1_500_000, "a": 190,
    "elements inside one another": 240, "groups": 30_000, "totals": 30_000, "empty totals": 30_000,
}  # fmt: skip
ELSE = 40_000
# Of the single segments and elements, some that stand for all.
SINGLE = {"segment 14 FTX", "segment 31 DTM", "segment 50 CNT", "empty 27 AdditionalInformation"}

HEAD = """\
# How work grows with what is repeated

Made by `make bench`. Each thing stands in a transmission as often as a limit lets it, and half, a quarter and an eighth
as often; the seconds are of processor time, the memory is what the largest took beyond a small message, the last column
how many characters and bytes the journal keeps for each byte of it. A doubling that costs more than 2.3 times is marked
with `!`; below 0.05 seconds it says nothing. That the lines of our own code that run grow so is held by
`tests/way/test_growth.py`, for every segment, element and attribute.

| repeated | largest, bytes | s at 1/8 | 1/4 | 1/2 | 1 | MB | stored |
|---|--:|--:|--:|--:|--:|--:|--:|"""


def main() -> None:
    """Measure every case, print the table and write the report."""
    lines = [*report()]
    REPORT.write_text("\n".join(lines) + "\n", encoding="utf-8")


def report() -> Iterator[str]:
    """Yield the report."""
    for line in HEAD.splitlines():
        print(line)
        yield line
    for kind, cases in (("EDIFACT", edifact_cases()), ("XML", xml_cases())):
        for name, grow in cases:
            if any(map(str.isdigit, name)) and name not in SINGLE:
                continue
            most = MOST.get(name) or MOST.get(name.partition(" ")[0].rstrip(",")) or ELSE
            line = row(f"{kind}: {name}", grow, most)
            print(line, flush=True)
            yield line


def row(name: str, grow: Grow, most: int) -> str:
    """Return the table's row of one case."""
    seen = [measured(grow, most >> shift) for shift in (3, 2, 1, 0)]
    seconds = [each["seconds"] for each in seen]
    told = [f"{seconds[0]:.2f}"]
    for before, after in pairwise(seconds):
        told.append(f"{after:.2f}{' !' if after > 2.3 * max(before, 0.05) else ''}")
    last = seen[-1]
    rest = f"{last['memory'] // 1_000_000} | {last['stored'] / last['bytes']:.1f}"
    return f"| {name} | {last['bytes']:,} | {' | '.join(told)} | {rest} |"


def measured(grow: Grow, times: int) -> dict[str, float]:
    """Judge one transmission in a child; return its bytes, processor seconds, memory and what is stored of it."""
    reading, writing = os.pipe()
    if not os.fork():
        with os.fdopen(writing, "w") as out:
            json.dump(_judged(grow(times)), out)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        seen: dict[str, float] = json.load(said)
    os.wait()
    return seen


def _judged(body: bytes) -> dict[str, float]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.process_time()
    outcome = carried(body, "erable" if body.lstrip().startswith(b"<") else "maple")
    spent = time.process_time() - begin
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"bytes": len(body), "seconds": spent, "memory": 1024 * memory, "stored": can_be_stored(outcome)}


if __name__ == "__main__":
    rest_of_garbage()  # as in a worker
    carried(GOOD_EDIFACT, "maple")
    carried(GOOD_XML, "erable")
    carried(GOOD_XML.replace(b"<FunctionCode>", b"<Wrong/><FunctionCode>", 1), "erable")
    carried(GOOD_EDIFACT.replace(b"UNS+S", b"XXX+1'UNS+S", 1), "maple")
    main()
