"""All that an envelope holds reaches something, is compared, is ignorable by its table, or is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from core.register import Facts
from core.transmission import Received
from gateway import pipeline
from tests.support.accounting import Interchange, Segments
from tests.support.way import NOW, PLANS
from tests.way.test_accounting import accepted

DIRECTORIES = PLANS.reading.directories
V = "originals/v-voluntary.edi"
SAMPLES = sorted(name for name in accepted() if name.endswith(".edi"))
VALUES = ("1", "2", "A", "CAD", "X9", "ZZ")
# Real dates and times are compared with nothing but the agreed age; that a message comes in one transfer says nothing.
COMPARED = {("UNB", 4, 1), ("UNB", 4, 2), ("UNG", 4, 1), ("UNG", 4, 2)}
ONE_TRANSFER = ("UNH", 4, 1, "1")


def written(body: bytes, version: str, grouped: bool) -> Interchange:
    """A sample in a syntax version, its messages in a group or not."""
    found = Interchange(body)
    first, *messages, last = [[list(element) for element in segment] for segment in found.segments]
    century = "20" if version == "4" else ""
    if version == "4":
        found.una = "UNA:+.?*'"
        first[1][1], first[4][0] = version, century + first[4][0]
    if grouped:
        count = str(sum(segment[0] == ["UNH"] for segment in messages))
        head = [["UNG"], ["GOVCBR"], ["A"], ["B"], [f"{century}261120", "1015"], ["G"], ["UN"], ["D", "13A", "CAD"]]
        messages, last = [head, *messages, [["UNE"], [count], ["G"]]], [["UNZ"], ["1"], last[2]]
    found.segments = [first, *messages, last]
    return found


def put(segments: Segments, index: int, element: int, component: int, value: str) -> Segments:
    """The segments with a value in a place of one of them."""
    changed = [list(each) for each in segments[index]]
    changed += [[""] for _ in range(element + 1 - len(changed))]
    changed[element] += [""] * (component - len(changed[element]))
    changed[element][component - 1] = value
    return [*segments[:index], changed, *segments[index + 1 :]]


def outcome(body: bytes, partner: str, facts: Facts) -> tuple[list[str], Any]:
    """The findings of a transmission; and all that is said and sent because of it."""
    found = pipeline.handle(Received("r", partner, body, NOW), facts, PLANS)
    codes = [finding.code for one in found.judged for finding in one.findings]
    said = [(one.message.envelope, one.message.declaration) for one in found.judged]
    return codes, (said, [(each.kind, each.destination, each.body) for each in found.outgoing])


def positions(version: str) -> Iterator[tuple[str, int, int]]:
    for tag in ("UNB", "UNG", "UNH", "UNT", "UNE", "UNZ"):
        for element, slot in enumerate(DIRECTORIES.service_segments(version)[tag].flat, 1):
            for component in range(1, len(slot.parts) + 1):
                yield tag, element, component


def check(name: str, version: str, grouped: bool) -> None:
    body, partner, facts = accepted()[name]
    interchange = written(body, version, grouped)
    codes, before = outcome(interchange.write(interchange.segments), partner, facts)
    assert codes == []
    syntax_id = interchange.segments[0][1][0]
    lost = []
    for tag, element, component in positions(version):
        table = DIRECTORIES.service_segments(version)[tag]
        for index, segment in enumerate(interchange.segments):
            for value in VALUES if segment[0] == [tag] else ():
                if (segment[element : element + 1] or [[]])[0][component - 1 : component] == [value]:
                    continue
                changed = interchange.write(put(interchange.segments, index, element, component, value))
                found, after = outcome(changed, partner, facts)
                if found or after != before or (tag, element, component) in COMPARED:
                    continue
                if (tag, element, component, value) != ONE_TRANSFER and not table.ignores(
                    element, component, syntax_id, value
                ):
                    lost.append((tag, element, component, value))
    assert lost == []


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("version", ["3", "4"])
def test_no_component_of_an_envelope_is_lost(version: str, grouped: bool) -> None:
    check(V, version, grouped)


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", SAMPLES)
def test_no_component_of_any_envelope_is_lost(name: str) -> None:
    for version in ("3", "4"):
        for grouped in (False, True):
            check(name, version, grouped)


ROWS = [
    (tag, element, component, syntax_id, values)
    for tag, segment in DIRECTORIES.service_segments("4").items()
    for (element, component, syntax_id), values in segment.ignorable.items()
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: " ".join(map(str, row[:4])))
def test_what_the_table_lets_pass_changes_nothing_and_another_value_is_told(
    row: tuple[str, int, int, str, frozenset[str] | None],
) -> None:
    tag, element, component, syntax_id, values = row
    body, partner, facts = accepted()[V]
    interchange = written(body, "4", tag == "UNG")
    if syntax_id:
        interchange.segments[0][1][0] = syntax_id
    index = next(at for at, segment in enumerate(interchange.segments) if segment[0] == [tag])

    def said(value: str) -> tuple[list[str], Any]:
        segments = put(interchange.segments, index, element, component, value)
        if component == 2 and not segments[index][element][0]:
            segments = put(segments, index, element, 1, "A")
        text = interchange.write(segments)
        return outcome(text.upper() if syntax_id == "UNOA" else text, partner, facts)

    value, *_ = sorted(values or {"AA"})
    assert said(value)[0] == []
    assert values is None or said("3" if value != "A" else "B")[0] == (["EDI-0124"] if value != "A" else ["EDI-0510"])


@pytest.mark.parametrize(("old", "new"), [
    ("UNOC:3", "UNOC :3"), ("UNOC:3", "UNOC:3 "), ("MAPLEBROKER", "MAPLEBROKER   "),
    ("CARMGATEWAY", "CARMGATEWAY "), ("1030+MB000002", "1030 +MB000002"),
    ("+MB000002'\nUNH", "+MB000002 'UNH"), ("+MB000002'\nUNH", "+MB000002++++ 'UNH"),
    ("+MB000002'\nUNH", "+MB000002++++++ 'UNH"), ("UNH+1+", "UNH+1 +"), ("UNZ+1+", "UNZ+1 +"),
])  # fmt: skip
def test_padding_in_an_envelope_says_nothing_and_is_told(old: str, new: str) -> None:
    body, partner, facts = accepted()[V]
    codes, plain = outcome(body, partner, facts)
    assert codes == []
    changed = body.replace(old.encode(), new.encode(), 1)
    assert changed != body
    codes, padded = outcome(changed, partner, facts)
    assert codes == ["EDI-0521"]
    assert padded[0] == plain[0]
    assert not padded[0][0][0].test
