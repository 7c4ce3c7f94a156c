"""The compiled patterns and the explaining checks give the same verdict, on messages and on mutants of them."""

from __future__ import annotations

import random
from calendar import monthrange
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import bench_edifact, workload
from core.envelope import Envelope
from core.transmission import Received
from edifact import reader as edifact
from edifact.directory import Item, Slot, Structure
from edifact.match import Matchers
from edifact.message import decide, explain
from gateway import pipeline, plans
from gateway.trade.writer import write_edifact
from tests.support.builders import DECLARATION, valid_declaration
from tests.support.edifact_cases import (
    CASES,
    DIRECTORIES,
    GOVCBR,
    IDENTIFIERS,
    MATCHERS,
    SEGMENTS,
    interchange,
    message,
    seeded,
)
from tests.support.effort import PROFILE, times
from tests.support.way import NOW, PLANS, SAMPLES


def structure(kind: str, version: str = "3") -> Structure:
    found = DIRECTORIES.structure(tuple(IDENTIFIERS[kind].split(":")), version)
    assert found is not None
    return found


def verdicts(body: bytes) -> list[tuple[bool, int]]:
    """Return for each message the quick verdict and the number of faults that the full explanation finds."""
    found = []
    for each in edifact.read(body, DIRECTORIES):
        if isinstance(each, edifact.MessageText):
            table = DIRECTORIES.structure(each.identifier, each.interchange.syntax_version)
            if table:
                quick, slow = decide(each, table, MATCHERS), explain(each, table)
                assert explain(each, table, MATCHERS) == slow
                found.append((quick, len(slow)))
    return found


def test_what_is_compiled_beforehand_is_what_messages_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    fits = SimpleNamespace(accepts=lambda *_: True)
    monkeypatch.setattr(Matchers, "of", lambda _, *tables: asked.append(tables) or fits)
    monkeypatch.setattr(Matchers, "paid", lambda matchers, *tables: matchers.of(*tables[:4]))
    assert all(plans.warm(PLANS))
    assert not list(plans.warm(PLANS))  # nothing is left
    warmed, asked = set(asked), asked[:0]
    for name in ("originals/v-voluntary.edi", "changes/v-correction.edi"):
        una, _, rest = (SAMPLES / name).read_bytes().partition(b"\n")
        for top in (una, b""):
            for syntax in (b"UNOC:3", b"UNOW:4"):
                for seller in (b"Stahlbau", "Stählbau".encode("latin-1" if syntax == b"UNOC:3" else "utf-8")):
                    body = top + rest.replace(b"UNOC:3", syntax).replace(b"Stahlbau", seller)
                    pipeline.parse(Received("", None, body, NOW), PLANS)
    assert len(asked) == 16
    assert set(asked) <= warmed


def test_the_benchmark_measures_the_structure_of_production(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Structure, str, str, str]] = []
    fits = SimpleNamespace(accepts=lambda *_: True)
    monkeypatch.setattr(Matchers, "of", lambda _, *tables: asked.append(tables) or fits)
    monkeypatch.setattr(Matchers, "paid", lambda matchers, *tables: matchers.of(*tables[:4]))
    body = workload.interchange("GOVCBR", 1, 9)
    assert bench_edifact.ours(body, bench_edifact.table("CAD")) == (1, 0)
    pipeline.parse(Received("", None, body, NOW), PLANS)
    (measured, *how), (production, *same) = asked
    assert how == same == ["3", "ASCII", ".,"]
    for name in ("name", "rows", "totals", "dates"):
        assert getattr(measured, name) == getattr(production, name)
    parts = [
        {tag: (segment.slots, segment.dependencies) for tag, segment in table.segments.items()}
        for table in (measured, production)
    ]
    assert parts[0] == parts[1]


# ------------------------------------------------------------------------------------------------ generated messages


def value(item: Item, draw: random.Random) -> str:
    """Return a valid value of an element."""
    if item.codes:
        return draw.choice(sorted(item.codes))
    length = draw.randint(item.min, min(item.max, item.min + 8))
    if item.kind == "n":
        digits = "".join(draw.choices("0123456789", k=length))
        if item.min == 1 and item.max > 8 and length > 1 and draw.random() < 0.3:
            digits = f"{digits[:-1]}.{digits[-1]}"
        return ("-" if draw.random() < 0.1 else "") + digits
    letters = "ABCXYZ -./" if item.kind == "a" else "ABC XYZ019-./"
    text = "".join(draw.choices(letters, k=length)).strip() or "A" * item.min
    return text.ljust(item.min, "A")


def element(slot: Slot, draw: random.Random) -> str:
    """Return a valid element: its mandatory components, and some of the others."""
    ids = [part.item.id for part in slot.parts]
    if ids == ["2005", "2380", "2379"]:
        return f"{value(slot.parts[0].item, draw)}:{draw.choice(('20240229:102', '202312312359:203', '2024:602'))}"
    chosen = [
        value(part.item, draw) if part.mandatory or draw.random() < 0.4 else ""
        for part in slot.parts
        if part.item.id != "2379"
    ]
    if not any(chosen):
        chosen[0] = value(slot.parts[0].item, draw)
    while not chosen[-1]:
        chosen.pop()
    return ":".join(chosen)


def segment(table: Structure, tag: str, draw: random.Random) -> str:
    """Return a valid segment."""
    slots = table.segments[tag].flat
    used = [slot.mandatory or draw.random() < 0.4 for slot in slots]
    if table.segments[tag].dependencies:
        used = [slot.mandatory for slot in slots]
    used[0] = used[0] or not any(used)
    texts = [element(slot, draw) if use else "" for slot, use in zip(slots, used, strict=True)]
    while not texts[-1]:
        texts.pop()
    return "+".join((tag, *texts))


def generated(table: Structure, draw: random.Random) -> list[str]:
    """Return the segments of a valid message drawn from its structure table, without UNH and UNT."""

    def inside(index: int, end: int, group: int) -> list[str]:
        found: list[str] = []
        while index < end:
            row = table.rows[index]
            times = draw.randint(1, min(row.max, 2)) if row.mandatory or draw.random() < 0.06 else 0
            if row.group != group:
                last = table.ends[row.group]
                for _ in range(times):
                    found.append(segment(table, row.tag, draw))
                    found += inside(index + 1, last, row.group)
                index = last
                continue
            if row.tag not in ("UNH", "UNT", "CNT", "UNS"):
                found += [segment(table, row.tag, draw) for _ in range(times)]
            elif row.tag == "UNS":
                found.append("UNS")
            index += 1
        return found

    segments = inside(0, len(table.rows), 0)
    sections = iter("DS")
    return [f"UNS+{next(sections)}" if each == "UNS" else each for each in segments]


NOISE = ["'", "+", ":", "?", "A", "9", "-", ".", ",", " ", "*", "", "?'", "??", "\n", "é", "++", "::", "+'", "' "]


def mutant(text: str, draw: random.Random) -> str:
    """Return a text with one to three small changes."""
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(text))
        way = draw.random()
        if way < 0.4:
            text = text[:at] + draw.choice(NOISE) + text[at + draw.randint(0, 2) :]
        else:
            segments = text.split("'")
            i, j = draw.randrange(len(segments)), draw.randrange(len(segments))
            if way < 0.6:
                segments[i], segments[j] = segments[j], segments[i]
            elif way < 0.8:
                segments.insert(i, segments[j])
            else:
                del segments[i]
            text = "'".join(segments)
    return text


@pytest.mark.parametrize("kind", SEGMENTS)
@given(seed=st.integers(0, 2**32))
def test_generated_messages_are_valid_for_both(kind: str, seed: int) -> None:
    draw = random.Random(seed)
    segments = generated(structure(kind), draw)
    assert verdicts(interchange(message(kind, segments, "1"))) == [(True, 0)]


# Each message, syntax version and repertoire has patterns of its own to compile: all together only in the build.
MUTANTS = [
    (kind, version, charset) for kind in SEGMENTS for version in "34" for charset in ("UNOA", "UNOB", "UNOC", "UNOW")
]
if PROFILE == "dev":
    MUTANTS = [("GOVCBR", "4", "UNOW"), ("CUSDEC", "3", "UNOA")]


@pytest.mark.parametrize(("kind", "version", "charset"), MUTANTS)
@settings(max_examples=times(0.5))
@given(seed=st.integers(0, 2**32))
def test_both_verdicts_agree_on_mutants(kind: str, version: str, charset: str, seed: int) -> None:
    draw = random.Random(seed)
    base = list(SEGMENTS[kind]) if draw.random() < 0.5 else generated(structure(kind), draw)
    unb = f"UNB+{charset}:{version}+S+R+{'20' if version == '4' else ''}240301:1200+REF1"
    text = mutant(message(kind, base, "1"), draw)
    body = f"{unb}'{text}UNZ+1+REF1'".encode("utf-8" if charset == "UNOW" else "latin-1")
    for quick, faults in verdicts(body):
        # What is accepted quickly has no fault; what has none is accepted, but for what only the slow way knows.
        assert not (quick and faults)


@pytest.mark.parametrize("kind", CASES)
def test_no_seeded_fault_is_accepted_quickly(kind: str) -> None:
    for case in CASES[kind]:
        body, _ = seeded(kind, (case,))
        quick = [each[0] for each in verdicts(body)]
        assert quick == [True, case.service == "UNZ", True]


@pytest.mark.parametrize(
    "change", ["20240301:102", "20240229:102", "20230229:102", "20241301:102", "00000101:102", "0228:106"]
)
def test_dates_are_judged_alike(change: str) -> None:
    segments = [each.replace("20240301:102", change) for each in GOVCBR]
    ((quick, faults),) = verdicts(interchange(message("GOVCBR", segments, "1")))
    assert not (quick and faults)
    assert quick or faults or change.endswith("106")


@pytest.mark.parametrize("month", [1, 2, 4])
@pytest.mark.parametrize("year", [1900, 2000, 2023, 2024])
def test_the_calendar_of_the_patterns_is_the_real_one(year: int, month: int) -> None:
    dated = [[each.replace("20240301", f"{year}{month:02}{day:02}") for each in GOVCBR] for day in range(1, 32)]
    found = verdicts(interchange(*(message("GOVCBR", each, str(day)) for day, each in enumerate(dated, 1))))
    days = monthrange(year, month)[1]
    assert [(quick, faults > 0) for quick, faults in found] == [(day <= days, day > days) for day in range(1, 32)]


def test_a_released_terminator_is_no_reason_to_explain_a_long_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """As nearly every long French one has one: all of them were explained, to be accepted in the end."""
    monkeypatch.setattr(Matchers, "paid", lambda matchers, *tables: matchers.of(*tables[:4]))
    declaration = valid_declaration(vendor_name="12, rue de l'Église", lines=80)
    body = write_edifact([declaration], DECLARATION, Envelope("MAPLEBROKER", "CARMGATEWAY", "1"), prepared=NOW)
    (read,) = pipeline.parse(Received("r", "maple", body, NOW), PLANS).messages
    assert b"?'" in body
    assert getattr(read.document, "fits", False)
