"""Varied traffic for the benchmarks: what the sample maker draws, of every CAD type, of 1 to 30 lines and of many."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from lxml import etree

from core.envelope import Envelope
from core.register import Facts
from core.specs import Specs
from core.transmission import Received, Syntax, Verdict
from gateway import pipeline
from gateway.plans import Plans
from gateway.trade.maker import Draft, Maker
from gateway.trade.writer import write_edifact, write_xml
from routing.partners import load_partners

ROOT = Path(__file__).resolve().parent.parent
NOW = datetime(2026, 1, 16, 15, 0, tzinfo=UTC)
# A partner that asks for no CONTRL: what a sender gets who did not ask is one answer.
PARTNER = replace(load_partners(ROOT / "samples" / "partners.toml")["maple"], contrl=False)
FACTS = Facts(PARTNER)
MOST = 30  # lines of a varied message
Bodies = dict[Syntax, list[bytes]]


def varied(plans: Plans, count: int, *, seed: int = 1, without: tuple[str, ...] = ()) -> Bodies:
    """Return so many different originals in each syntax, of every CAD type in turns, 1 to 30 lines; all accepted.

    Elements whose names begin as one of `without` are left out.
    """
    return _written(plans, _lines(plans.specs, drawing(seed)), count, seed, without)


def large(plans: Plans, count: int, *, lines: int = 999, seed: int = 1, without: tuple[str, ...] = ()) -> Bodies:
    """Return so many different originals of so many lines in each syntax."""
    return _written(plans, _of(plans.specs, drawing(seed), lines), count, seed, without)


def drawing(seed: int) -> random.Random:
    """Return what draws the same each time."""
    return random.Random(seed)  # noqa: S311  it only makes samples


def received(body: bytes) -> Received:
    """Return a transmission of the partner's."""
    return Received("received", PARTNER.id, body, NOW)


# How a message is spoilt, by syntax: what is looked for, and what is put in its place.
FAULTS = {
    b"<": (
        (rb"<SequenceNumeric>", rb"<Unknown>1</Unknown><SequenceNumeric>"),
        (rb"(<Origin><CountryCode>)[^<]+", rb"\1Q9"),
        (rb"<MethodCode>[^<]+</MethodCode>", rb""),
    ),
    b"U": (
        (rb"DTM\+11:[0-9]+", rb"DTM+11:20259999"),
        (rb"'LOC\+27\+[^']+", rb"'LOC+27+Q9"),
        (rb"'ARD\+[^']+", rb""),
    ),
}


def spoilt(body: bytes, number: int) -> bytes:
    """Return a message with one fault that refuses it, another kind for each number in turn."""
    faults = FAULTS[body[:1]]
    old, new = faults[number % len(faults)]
    return re.sub(old, new, body, count=1)


def unindented(body: bytes) -> bytes:
    """Return a document without the blanks between its tags, as machines send it."""
    return etree.tostring(etree.fromstring(body, etree.XMLParser(remove_blank_text=True)))


def _lines(specs: Specs, rng: random.Random) -> Iterator[Draft]:
    maker = Maker(rng, specs, PARTNER, NOW.date())
    types = sorted(specs.code_lists["cad_type"].codes)
    while True:
        for cad_type in types:
            left, shape = rng.randint(1, MOST), list[int]()
            while left:
                shape.append(rng.randint(1, left))
                left -= shape[-1]
            yield maker.draft(cad_type, shape=tuple(shape))


def _of(specs: Specs, rng: random.Random, lines: int) -> Iterator[Draft]:
    maker = Maker(rng, specs, PARTNER, NOW.date())
    while True:
        yield maker.draft("AB", shape=(lines,), share=0.1)


def _written(plans: Plans, drawn: Iterator[Draft], count: int, seed: int, without: tuple[str, ...]) -> Bodies:
    """Return the first so many that are accepted in both syntaxes; the packs' rules object to one in some hundred."""
    made: Bodies = {Syntax.XML: [], Syntax.EDIFACT: []}
    pack = next(pack for pack in plans.specs.packs if pack.valid.covers(NOW.date()) and "9" in pack.types)
    for number, draft in enumerate(drawn):
        for level in (draft.top, *(invoice for invoice, _ in draft.invoices), *draft.lines()):
            for name in [name for name in level if name.startswith(without)]:
                del level[name]
        declaration = draft.freeze()
        envelope = Envelope(sender=PARTNER.envelopes[0], recipient="CARMGATEWAY", reference=f"V{seed}N{number}")
        both = {
            Syntax.XML: unindented(write_xml(declaration, pack, envelope)),
            Syntax.EDIFACT: write_edifact([declaration], pack, envelope, prepared=NOW, newline=False),
        }
        outcomes = [pipeline.handle(received(body), FACTS, plans) for body in both.values()]
        if all(one.verdict is Verdict.ACCEPTED for outcome in outcomes for one in outcome.judged):
            for syntax, body in both.items():
                made[syntax].append(body)
        if len(made[Syntax.XML]) == count:
            return made
    raise AssertionError("the sample maker never ends")
