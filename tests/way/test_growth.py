"""Whatever stands in a transmission many times: work grows with it, no faster; so does what is stored of it.

Work is counted in lines of our own code, which is the same on every machine. What the libraries do beside it is
measured by `benchmarks/bench_growth.py`, as processor time.
"""

from __future__ import annotations

import pytest

from core import limits
from tests.support.effort import PROFILE
from tests.support.growth import counted_lines, edifact_cases, xml_cases
from tests.support.oracles import can_be_stored

CASES = {f"edifact: {name}": grow for name, grow in edifact_cases()}
CASES |= {f"xml: {name}": grow for name, grow in xml_cases()}
# Those with names of their own, and some segments and elements; the slow test has a fourth of the others, at night all.
SOME = [name for place, name in enumerate(CASES) if not any(map(str.isdigit, name)) or place % 40 == 0]

OTHERS = [name for name in CASES if name not in SOME][:: 1 if PROFILE == "night" else 4]

# Most that each doubling may cost, and how much is the same whatever the size.
DOUBLING, CONSTANT = 2.3, 3_000
# Characters stored (findings in both languages, answers) for one byte of input, beside those of any transmission.
STORED, OF_ANY = 150, 40_000


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_of_any_segment_element_and_attribute(name: str) -> None:
    grows_with_the_input(name)


@pytest.mark.parametrize("name", SOME)
def test_work_and_what_is_stored_grow_with_the_input(name: str) -> None:
    grows_with_the_input(name)


def grows_with_the_input(name: str) -> None:
    """Check one case at four sizes, each twice the one before."""
    work = []
    for times in (10, 20, 40, 80) if "attribute" in name or " element " in name else (20, 40, 80, 160):
        body = CASES[name](times)
        lines, outcome = counted_lines(body)
        work.append(lines)
        assert (stored := can_be_stored(outcome)) <= OF_ANY + STORED * len(body), f"{len(body)} bytes become {stored}"
    assert work[-1] - CONSTANT <= DOUBLING * work[-2], work


def test_what_grows_with_the_square_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test of the test: a fault of the interchange told to each of its messages, as it was once."""
    monkeypatch.setattr(limits, "FAULTS_AROUND", 10**9)
    with pytest.raises(AssertionError):
        grows_with_the_input("edifact: stray segments between messages")
