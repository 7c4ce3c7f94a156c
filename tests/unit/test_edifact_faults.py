"""The 18 faults of the peers' comparison, alone and together: each found, at its place, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.edifact_cases import CASES, SEGMENTS, Case, brief, interchange, judge, message, seeded

TABLE = Path(__file__).resolve().parents[2] / "docs" / "edifact-faults.md"
EVERY = [pytest.param(kind, case, id=f"{kind}-{case.name}") for kind, cases in CASES.items() for case in cases]


def found_in(body: bytes) -> tuple[list[tuple[object, ...]], dict[int, int]]:
    faults, (envelope,) = judge(body)
    assert all(fault.syntax_error for each in faults.values() for fault in each)
    findings = [brief(fault) for fault in (*faults[2], *envelope.faults)]
    return findings, {ordinal: len(each) for ordinal, each in faults.items() if ordinal != 2}


@pytest.mark.parametrize("kind", SEGMENTS)
def test_a_good_message_has_no_finding(kind: str) -> None:
    faults, (envelope,) = judge(interchange(message(kind, SEGMENTS[kind], "1"), message(kind, SEGMENTS[kind], "2")))
    assert faults == {1: (), 2: ()}
    assert envelope.faults == ()


@pytest.mark.parametrize(("kind", "case"), EVERY)
def test_each_fault_alone_gives_its_one_finding(kind: str, case: Case) -> None:
    body, expected = seeded(kind, (case,))
    findings, others = found_in(body)
    assert findings == list(expected)
    assert others == {1: 0, 3: 0}


@pytest.mark.parametrize("kind", CASES)
def test_all_faults_together_give_their_findings_and_no_other(kind: str) -> None:
    body, expected = seeded(kind, CASES[kind])
    findings, others = found_in(body)
    assert len(findings) == len(expected) == 18
    assert set(findings) == expected
    assert others == {1: 0, 3: 0}


def test_the_table_in_the_docs_is_what_the_checks_find() -> None:
    lines = [
        "# The 18 faults",
        "",
        "Made by `tests/unit/test_edifact_faults.py` (`WRITE_DOCS=1` writes it anew): three messages in one",
        "interchange, a fault seeded into the second, every finding listed. 0085 is the UN's syntax error code;",
        "places count as CONTRL does (UNH = 1, the tag = 1). The other two messages stay without a finding.",
        "",
        "| fault | GOVCBR D.13A | CUSDEC D.96B |",
        "|---|---|---|",
    ]
    for number, case in enumerate(CASES["GOVCBR"]):
        cells = [told(kind, CASES[kind][number]) for kind in ("GOVCBR", "CUSDEC")]
        lines.append(f"| {case.name} | {' | '.join(cells)} |")
    together = [len(found_in(seeded(kind, CASES[kind])[0])[0]) for kind in ("GOVCBR", "CUSDEC")]
    lines.append(f"| **all 18 together** | {together[0]} findings | {together[1]} findings |")
    text = "\n".join(lines) + "\n"
    if os.environ.get("WRITE_DOCS"):
        TABLE.write_text(text, encoding="utf-8")
    assert TABLE.read_text(encoding="utf-8") == text


def told(kind: str, case: Case) -> str:
    faults, (envelope,) = judge(seeded(kind, (case,))[0])
    cells = []
    for fault in (*faults[2], *envelope.faults):
        error, service, *place = brief(fault)
        where = [
            f"{name} {value}" for name, value in zip(("segment", "element", "component"), place, strict=True) if value
        ]
        cells.append(f"{error} ({fault.code}) at {', '.join([*([str(service)] if service else []), *where])}")
    return "; ".join(cells)
