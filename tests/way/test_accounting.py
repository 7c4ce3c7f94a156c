"""All that an accepted message holds is a value of its declaration, checked, allowed by a table, or told."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from datetime import date
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core.envelope import Envelope
from core.register import Facts, Register
from core.transmission import Judged, Received, Syntax
from gateway import pipeline
from gateway.trade.maker import Maker
from gateway.trade.samples import make, moment_of
from gateway.trade.writer import write_edifact, write_xml
from tests.support import accounting
from tests.support.effort import times
from tests.support.way import NOW, PARTNERS, PLANS, SAMPLES, SPECS, Way, rows

DAY = date(2026, 11, 23)
TYPES = sorted(SPECS.code_lists["cad_type"].codes)


@functools.cache
def accepted() -> dict[str, tuple[bytes, str, Facts]]:
    """Return the samples that are accepted without a finding: bytes, partner and what is on file before each."""
    way, found = Way(), {}
    for row in rows():
        body, partner = (SAMPLES / row["file"]).read_bytes(), PARTNERS[row["partner"]]
        facts = Facts(partner, way.trial.register)
        outcome, *_ = way.send(partner, body)
        if outcome and outcome.judged and all(one.verdict == "accepted" and not one.findings for one in outcome.judged):
            found[row["file"]] = body, partner.id, facts
    return found


def judged(body: bytes, partner: str, facts: Facts) -> tuple[Judged, ...]:
    return pipeline.handle(Received("r", partner, body, NOW), facts, PLANS).judged


def rewritten(messages: tuple[Judged, ...]) -> bytes:
    """Return what the writer makes of the declarations of a transmission."""
    first = messages[0].message
    pack = next(pack for pack in SPECS.packs if pack.key == first.pack)
    declarations = [one.message.declaration for one in messages if one.message.declaration]
    said = Envelope(sender="A", recipient="B", reference="R", message=first.envelope.message)
    if first.syntax is Syntax.XML:
        return write_xml(declarations[0], pack, said)
    return write_edifact(declarations, pack, said, prepared=NOW)


def account(body: bytes, partner: str, facts: Facts) -> str:
    """Return how a transmission is accounted for: told by a finding, kept, or lost."""
    messages = judged(body, partner, facts)
    findings = [finding for one in messages for finding in one.findings]
    if findings or not messages:
        return "told" if all(finding.place.line for finding in findings) else "told nowhere"
    content = accounting.xml_content if messages[0].message.syntax is Syntax.XML else accounting.edifact_content
    return "kept" if content(body) == content(rewritten(messages)) else "lost"


def mutants(body: bytes, only: int | None = None) -> Iterator[accounting.Mutant]:
    if not body.startswith(b"UN"):
        return accounting.xml_mutants(body, only)
    return accounting.edifact_mutants(body, only)


@pytest.mark.parametrize("name", sorted(accepted()))
def test_a_sample_is_written_back_as_it_was(name: str) -> None:
    assert account(*accepted()[name]) == "kept"


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", sorted(accepted()))
def test_no_single_component_is_lost(name: str) -> None:
    body, partner, facts = accepted()[name]
    found: Counter[str] = Counter()
    lost = []
    for what, mutant in mutants(body):
        how = account(mutant, partner, facts)
        found[how] += 1
        if how not in ("told", "kept"):
            lost.append(f"{how}: {what}")
    print(f"{name}: {found.total()} mutants, {dict(found)}")
    assert not lost


@pytest.mark.parametrize("syntax", [Syntax.EDIFACT, Syntax.XML])
def test_whatever_is_declared_and_whatever_is_changed_in_it_is_accounted_for(syntax: Syntax) -> None:
    @settings(max_examples=times(1))
    @given(st.integers(0, 2**32), st.sampled_from(TYPES), st.integers(0, 999), st.randoms(use_true_random=False))
    def holds(seed: int, cad_type: str, only: int, draw: Random) -> None:
        partner = PARTNERS["maple"]
        maker = Maker(Random(seed), SPECS, partner, DAY)
        sample = make(lambda: maker.story(cad_type), syntax, DAY, "S", PLANS)
        assume(sample.good)
        *before, body = sample.bodies
        register = Register()
        for number, one in enumerate(before):
            received = Received(f"{number}", partner.id, one, moment_of(DAY))
            register = register.after(pipeline.handle(received, Facts(partner, register), PLANS))
        facts = Facts(partner, register)
        assert account(body, partner.id, facts) == "kept"
        changed = [*mutants(body, only)]
        assume(changed)
        what, mutant = draw.choice(changed)
        assert account(mutant, partner.id, facts) in ("told", "kept"), f"{what}\n{mutant.decode('latin-1')}"

    holds()
