"""Measures the whole pure way of a message, identify to answer, beside what lxml alone needs for the same bytes.

`make bench`, or `python benchmarks/bench_pipeline.py [--quick]`: prints a table and writes it to
benchmarks/pipeline.md. Times are processor time. The traffic is varied (`benchmarks.traffic`): every message is another
declaration of another shape; a second table has messages of one shape. The kinds take turns, a run of messages each, as
they come through a worker, so that a busy machine slows all of them alike. Each figure is the median of the rounds.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from io import StringIO
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from lxml import etree  # noqa: E402

from benchmarks import traffic  # noqa: E402
from benchmarks.traffic import FACTS, NOW, PARTNER  # noqa: E402
from core.declaration import Commodity, Declaration, Invoice  # noqa: E402
from core.envelope import Envelope  # noqa: E402
from core.transmission import Received, Syntax, Verdict  # noqa: E402
from gateway import pipeline  # noqa: E402
from gateway.plans import prepare, warm  # noqa: E402
from gateway.trade.writer import write_edifact, write_xml  # noqa: E402
from parsers import xml_schema  # noqa: E402
from validators.rules import check_digit_of  # noqa: E402

REPORT = ROOT / "benchmarks" / "pipeline.md"
SMALL, LARGE = 5, 999  # lines of a declaration
VARIED, MANY, FEW = 200, 100, 2  # different messages of a kind: varied ones, small ones of one shape, large ones
TARGET, TIMES_LXML = 3_000, 4

PLANS = prepare(ROOT / "eccrd_specs")
all(warm(PLANS))  # as in production, where it is done when there is nothing else to do
SPECS = PLANS.specs


def main(arguments: list[str]) -> None:
    """Run everything, print and write the report."""
    quick = "--quick" in arguments
    text = "\n".join(report(3 if quick else 9)) + "\n"
    print(text)
    if not quick:
        REPORT.write_text(text, encoding="utf-8")


# ------------------------------------------------------------------------------------------------ what is measured


def bodies(lines: int, count: int) -> dict[Syntax, list[bytes]]:
    """Return so many different declarations of so many lines in each syntax, made from a sample's."""
    sample = Received("sample", PARTNER.id, (ROOT / "samples" / "originals" / "ab-two-lines.edi").read_bytes(), NOW)
    read = pipeline.parse(sample, PLANS).messages[0]
    pack = next(pack for pack in SPECS.packs if pack.key == read.pack)
    assert read.declaration is not None  # noqa: S101
    made: dict[Syntax, list[bytes]] = {Syntax.XML: [], Syntax.EDIFACT: []}
    for number in range(count):
        declaration = _another(read.declaration, lines, number)
        envelope = Envelope(sender=PARTNER.envelopes[0], recipient="CARMGATEWAY", reference=f"BENCH{number}")
        made[Syntax.XML].append(traffic.unindented(write_xml(declaration, pack, envelope)))
        made[Syntax.EDIFACT].append(write_edifact([declaration], pack, envelope, prepared=NOW, newline=False))
    return made


def _another(declaration: Declaration, lines: int, number: int) -> Declaration:
    """Return the declaration with another number and so many lines, each with its own values."""
    invoice = declaration.invoices[0]
    line = invoice.commodities[0]
    thirteen = f"12345{number:08}"
    prices = [Decimal(100 * (number + 1)) + Decimal(n) / 100 for n in range(1, lines + 1)]
    various = [
        Commodity(
            {
                **line.values,
                "line_number": Decimal(n),
                "description": f"Steel structures, welded, {number}/{n}",
                "quantity": Decimal(number + n),
                "value_for_currency_conversion": price,
            }
        )
        for n, price in enumerate(prices, 1)
    ]
    one = Invoice({**invoice.values, "invoice_value": sum(prices, Decimal(0))}, commodities=tuple(various))
    changed = {
        "transaction_number": thirteen + check_digit_of(thirteen),
        "functional_reference": f"REF-{number:05}",
        "line_count": Decimal(lines),
    }
    return replace(declaration, values={**declaration.values, **changed}, invoices=(one,))


def handle(body: bytes, verdict: Verdict | None = Verdict.ACCEPTED) -> None:
    """Carry one transmission the whole way; nothing is kept from one to the next but what the process keeps anyway."""
    outcome = pipeline.handle(traffic.received(body), FACTS, PLANS)
    if verdict and [one.verdict for one in outcome.judged] != [verdict]:
        raise SystemExit(f"the workload is not what it should be: one message, {verdict}")


def lxml_alone(body: bytes, schema: xml_schema.Schema) -> None:
    """Parse and validate by the pack's schema, with the same hardened settings, and do nothing else."""
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    if not schema.validate(etree.fromstring(body, parser)):
        raise SystemExit("the workload does not fit the schema")


def in_turn(actions: Mapping[str, Sequence[Callable[[], None]]], rounds: int) -> dict[str, list[float]]:
    """Return each kind's processor seconds a message, one figure a round; the kinds take turns within it."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for kind in actions.values():  # plans and patterns are compiled when first used
        for action in kind:
            action()
    gc.collect()
    gc.freeze()  # the specification is never garbage
    clock = time.process_time
    for _ in range(rounds):
        for name, kind in actions.items():
            start = clock()
            for action in kind:
                action()
            times[name].append((clock() - start) / len(kind))
    return times


# ------------------------------------------------------------------------------------------------ the report

LIMITS = (
    "",
    "## What limits it",
    "",
    "Where a target above is not reached, it is the interpreter: of a small message some two fifths of the time are in",
    "libxml2 (XML) or in compiled patterns (EDIFACT), the rest is Python, and no part of it stands out any more. 3,000",
    "messages a second would take half of all Python code away, or a machine with more cache.",
)
ALONE = "lxml alone, parse and schema"
HEADER = ("", "| what | lines | bytes | messages/s | microseconds | lines/s |", "|---|---|---|---|---|---|")
SYNTAXES = {"XML": Syntax.XML, "EDIFACT": Syntax.EDIFACT}


def report(rounds: int) -> Iterator[str]:
    """Yield the lines of the report."""
    load = os.getloadavg()[0]
    yield "# The pure pipeline: identify to answer"
    yield ""
    yield f"Made by `make bench`: Python {platform.python_version()}, {os.cpu_count()} cores, one process; processor"
    yield f"time, median of {rounds} rounds (the best in brackets). The machine's load when it began: {load:.1f}. Where"
    yield "that is more than one less than the cores, others had part of them, and an idle machine is faster. Ratios"
    yield "hold better. Where nothing else is said, a message is accepted, its answer and its assessment request are"
    yield "written; no queue, no database, no CONTRL."
    yield ""
    yield "## Varied traffic"
    yield ""
    yield f"{VARIED} different messages a syntax from the sample maker: all CAD types, 1 to {traffic.MOST} lines, one"
    yield "invoice or several. Refused: one fault in that share of the messages, of three kinds a syntax in turns."
    varied = traffic.varied(PLANS, VARIED)
    times_varied = in_turn(_varied(varied), rounds)
    yield from _table(times_varied, {name: varied[each] for name, each in SYNTAXES.items()})
    yield ""
    yield "## Messages of one shape"
    yield ""
    yield f"A round is {MANY} different small messages (or {FEW} large ones) of each kind, one kind after the other."
    times: dict[int, dict[str, list[float]]] = {}
    small = bodies(SMALL, MANY)
    yield from HEADER
    for lines, group in ((SMALL, small), (LARGE, bodies(LARGE, FEW))):
        times[lines] = in_turn(_actions(group), rounds)
        for name, each in times[lines].items():
            size = len(group[Syntax.EDIFACT if name == "EDIFACT" else Syntax.XML][0])
            yield _row(name, each, lines, size)
    yield from targets(times)
    yield from LIMITS
    for syntax in (Syntax.XML, Syntax.EDIFACT):
        yield from profile(syntax, varied[syntax][:100])


def _table(times: Mapping[str, list[float]], group: Mapping[str, Sequence[bytes]]) -> Iterator[str]:
    """Yield the table of varied messages."""
    yield from HEADER
    number = sum(body.count(b"'LIN+") for body in group["EDIFACT"]) / len(group["EDIFACT"])
    for name, each in times.items():
        syntax = next((each for each in group if name.startswith(each)), None)
        size = sum(map(len, group[syntax])) // len(group[syntax]) if syntax else 0
        yield _row(name, each, number, size)


def _row(name: str, each: Sequence[float], lines: float, size: int) -> str:
    middle = statistics.median(each)
    speed = f"{1 / middle:,.0f} ({1 / min(each):,.0f})"
    length = f"{size:,}" if size else ""
    return f"| {name} | {lines:.0f} | {length} | {speed} | {middle * 1e6:,.0f} | {lines / middle:,.0f} |"


def _varied(varied: Mapping[Syntax, Sequence[bytes]]) -> dict[str, list[Callable[[], None]]]:
    """Return what is measured of varied messages."""
    kinds: dict[str, list[Callable[[], None]]] = {}
    for name, syntax in SYNTAXES.items():
        kinds[name] = [partial(handle, body) for body in varied[syntax]]
        for share in (1, 10, 100):
            mixed = [
                partial(handle, traffic.spoilt(body, number), Verdict.REFUSED)
                if number * share // 100 != (number + 1) * share // 100
                else partial(handle, body)
                for number, body in enumerate(varied[syntax])
            ]
            kinds[f"{name}, {share} % refused"] = mixed
    pairs = zip(varied[Syntax.XML], varied[Syntax.EDIFACT], strict=True)
    kinds["both, in turns"] = [partial(handle, body) for pair in pairs for body in pair]
    return kinds


def _actions(group: Mapping[Syntax, Sequence[bytes]]) -> dict[str, list[Callable[[], None]]]:
    """Return what is measured of one size."""
    schema = next(PLANS.reading.xml[pack.key].schema for pack in SPECS.packs if pack.id == "chapter24")
    return {
        "XML": [partial(handle, body) for body in group[Syntax.XML]],
        "EDIFACT": [partial(handle, body) for body in group[Syntax.EDIFACT]],
        ALONE: [partial(lxml_alone, body, schema) for body in group[Syntax.XML]],
    }


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


def profile(syntax: Syntax, bodies: Sequence[bytes]) -> Iterator[str]:
    """Yield where the time goes."""
    found = cProfile.Profile()
    found.enable()
    for body in 5 * list(bodies):
        handle(body)
    found.disable()
    text = StringIO()
    pstats.Stats(found, stream=text).strip_dirs().sort_stats("tottime").print_stats(14)
    yield ""
    yield f"## Where the time goes: {syntax.upper()}, {5 * len(bodies)} varied messages under the profiler"
    yield ""
    yield "```"
    yield from (line.rstrip() for line in text.getvalue().splitlines() if line.strip())
    yield "```"


if __name__ == "__main__":
    main(sys.argv[1:])
