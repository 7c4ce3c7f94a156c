"""Measures the whole pure way of a message, identify to answer, beside what lxml alone needs for the same bytes.

`make bench`, or `python benchmarks/bench_pipeline.py [--quick]`: prints a table and writes it to
benchmarks/pipeline.md. Times are processor time. Messages of all kinds take turns one by one, so that a busy machine
slows all of them alike and none has the processor's caches to itself; each figure is the median of the rounds.
"""

from __future__ import annotations

import cProfile
import gc
import os
import platform
import pstats
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from lxml import etree  # noqa: E402

from gateway import pipeline  # noqa: E402
from gateway.model import Commodity, Declaration, Envelope, Facts, Invoice, Received, Syntax, Verdict  # noqa: E402
from gateway.specs import Pack  # noqa: E402
from parsers import xml  # noqa: E402
from parsers.writer import write_edifact, write_xml  # noqa: E402
from routing.partners import load_partners  # noqa: E402

REPORT = ROOT / "benchmarks" / "pipeline.md"
NOW = datetime(2026, 1, 16, 15, 0, tzinfo=UTC)
SMALL, LARGE = 5, 999  # lines of a declaration
TARGET, TIMES_LXML = 3_000, 4

SPECS = pipeline.prepare(ROOT / "eccrd_specs")
# A partner that asks for no CONTRL: what a sender gets who did not ask is one answer.
PARTNER = replace(load_partners(ROOT / "samples" / "partners.toml")["maple"], contrl=False)
FACTS = Facts(NOW, PARTNER)


def main(arguments: list[str]) -> None:
    """Run everything, print and write the report."""
    quick = "--quick" in arguments
    text = "\n".join(report(3 if quick else 15)) + "\n"
    print(text)
    if not quick:
        REPORT.write_text(text, encoding="utf-8")


# ------------------------------------------------------------------------------------------------ what is measured


def bodies(lines: int) -> dict[Syntax, bytes]:
    """Return one declaration of so many lines in each syntax: a sample's, its line repeated."""
    sample = Received("sample", PARTNER.id, (ROOT / "samples" / "originals" / "ab-two-lines.edi").read_bytes(), NOW)
    read = pipeline.parse(sample, SPECS).messages[0]
    pack = next(pack for pack in SPECS.packs if pack.key == read.pack)
    assert read.declaration is not None  # noqa: S101
    declaration = _of_lines(read.declaration, lines)
    envelope = Envelope(sender=PARTNER.envelopes[0], recipient="CARMGATEWAY", reference="BENCH1")
    return {
        Syntax.XML: _unindented(write_xml(declaration, pack, envelope)),
        Syntax.EDIFACT: write_edifact([declaration], pack, envelope, prepared=NOW, newline=False),
    }


def _of_lines(declaration: Declaration, lines: int) -> Declaration:
    """Return the declaration with its first line as often as that."""
    invoice = declaration.invoices[0]
    line = invoice.commodities[0]
    total = Decimal(str(line.values["value_for_currency_conversion"])) * lines
    repeated = [Commodity({**line.values, "line_number": Decimal(n)}) for n in range(1, lines + 1)]
    one = Invoice({**invoice.values, "invoice_value": total}, commodities=tuple(repeated))
    return replace(declaration, values={**declaration.values, "line_count": Decimal(lines)}, invoices=(one,))


def _unindented(body: bytes) -> bytes:
    """Return a document without the blanks between its tags, as machines send it."""
    return etree.tostring(etree.fromstring(body, etree.XMLParser(remove_blank_text=True)))


def handle(body: bytes) -> None:
    """Carry one transmission the whole way; nothing is kept from one to the next but what the process keeps anyway."""
    outcome = pipeline.handle(Received("received", PARTNER.id, body, NOW), FACTS, SPECS)
    if [one.verdict for one in outcome.judged] != [Verdict.ACCEPTED] or len(outcome.outgoing) != 2:
        raise SystemExit("the workload is not what it should be: one accepted message, an answer and a request")


def lxml_alone(body: bytes, pack: Pack) -> None:
    """Parse and hold against the pack's schema, with the same hardened settings, and do nothing else."""
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    if not xml.schema(pack.schema).validate(etree.fromstring(body, parser)):
        raise SystemExit("the workload does not fit the schema")


def in_turn(actions: Mapping[str, Callable[[], None]], rounds: int, runs: int) -> dict[str, list[float]]:
    """Return each action's processor seconds a run, one figure a round; within it they take turns run by run."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for action in actions.values():  # plans and patterns are compiled when first used
        action()
    gc.collect()
    gc.freeze()  # the specification is never garbage
    clock = time.process_time
    for _ in range(rounds):
        spent = dict.fromkeys(actions, 0.0)
        for _ in range(runs):
            for name, action in actions.items():
                start = clock()
                action()
                spent[name] += clock() - start
        for name, seconds in spent.items():
            times[name].append(seconds / runs)
    return times


# ------------------------------------------------------------------------------------------------ the report

LIMITS = (
    "",
    "## What limits it",
    "",
    "Where a target above is not reached, it is the interpreter: some 175 nodes or 80 segments of a small message are",
    "each visited in Python, once to place them and once to read their value, at about a microsecond a value. In XML",
    "that is a third of the way, parsing and schema a fifth, rules and dictionary a sixth, answer and request a",
    "sixth. In EDIFACT splitting, sorting into groups and reading are the larger half.",
)
ALONE = "lxml alone, parse and schema"


def report(rounds: int) -> Iterator[str]:
    """Yield the lines of the report."""
    load = os.getloadavg()[0]
    yield "# The pure pipeline: identify to answer"
    yield ""
    yield f"Made by `make bench`: Python {platform.python_version()}, {os.cpu_count()} cores, one process; processor"
    yield f"time, median of {rounds} rounds (the best in brackets). The machine's load when it began: {load:.1f}. Where"
    yield "that is more than one less than the cores, others had part of them, and an idle machine is faster. Ratios"
    yield "hold better: messages of all rows take turns one by one. Each is accepted, its answer and its assessment"
    yield "request are written; no queue, no database, no CONTRL."
    yield ""
    yield "| what | lines | bytes | messages/s | microseconds | lines/s |"
    yield "|---|---|---|---|---|---|"
    times: dict[int, dict[str, list[float]]] = {}
    small = bodies(SMALL)
    for lines, group, runs in ((SMALL, small, 100), (LARGE, bodies(LARGE), 1)):
        times[lines] = in_turn(_actions(group), rounds, runs)
        for name, each in times[lines].items():
            middle = statistics.median(each)
            size = len(group[Syntax.EDIFACT if name == "EDIFACT" else Syntax.XML])
            speed = f"{1 / middle:,.0f} ({1 / min(each):,.0f})"
            yield f"| {name} | {lines} | {size:,} | {speed} | {middle * 1e6:,.0f} | {lines / middle:,.0f} |"
    yield from targets(times)
    hot = _hot(small[Syntax.XML]) * 1e6
    yield f"- lxml alone with the caches to itself, the small one again and again: {hot:.0f} microseconds"
    yield from LIMITS
    for syntax in (Syntax.XML, Syntax.EDIFACT):
        yield from profile(syntax, small[syntax])


def _actions(group: Mapping[Syntax, bytes]) -> dict[str, Callable[[], None]]:
    """Return what is measured of one size."""
    pack = next(pack for pack in SPECS.packs if pack.id == "chapter24")
    return {
        "XML": lambda: handle(group[Syntax.XML]),
        "EDIFACT": lambda: handle(group[Syntax.EDIFACT]),
        ALONE: lambda: lxml_alone(group[Syntax.XML], pack),
    }


def _hot(body: bytes) -> float:
    """Return the seconds that lxml alone needs when nothing else runs between two documents."""
    alone = _actions({Syntax.XML: body})[ALONE]
    return min(in_turn({ALONE: alone}, 5, 200)[ALONE])


def targets(times: Mapping[int, Mapping[str, list[float]]]) -> Iterator[str]:
    """Yield how the figures compare with what was aimed at."""
    yield ""
    for name in ("XML", "EDIFACT"):
        each = times[SMALL][name]
        speed, best = 1 / statistics.median(each), 1 / min(each)
        yield f"- at least {TARGET:,} small messages/s in {name}: {speed:,.0f} (best round {best:,.0f})"
    for lines in (SMALL, LARGE):
        ratio = statistics.median(times[lines]["XML"]) / statistics.median(times[lines][ALONE])
        yield f"- XML of {lines} lines at most {TIMES_LXML} times lxml alone: {ratio:.1f} times"
    for name in ("XML", "EDIFACT"):
        first, last = (statistics.median(times[lines][name]) for lines in (SMALL, LARGE))
        further = (last - first) / (LARGE - SMALL)
        yield (
            f"- linear in lines, {name}: {first / SMALL * 1e6:.0f} microseconds a line of the small one, "
            f"{further * 1e6:.0f} for each further line"
        )


def profile(syntax: Syntax, body: bytes) -> Iterator[str]:
    """Yield where the time goes."""
    found = cProfile.Profile()
    found.enable()
    for _ in range(500):
        handle(body)
    found.disable()
    text = StringIO()
    pstats.Stats(found, stream=text).strip_dirs().sort_stats("tottime").print_stats(14)
    yield ""
    yield f"## Where the time goes: {syntax.upper()}, 500 small messages under the profiler"
    yield ""
    yield "```"
    yield from (line.rstrip() for line in text.getvalue().splitlines() if line.strip())
    yield "```"


if __name__ == "__main__":
    main(sys.argv[1:])
