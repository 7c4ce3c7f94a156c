"""The smallest piece of a message that earns a finding, and of the same message without the fault, in both syntaxes."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date
from difflib import SequenceMatcher
from typing import NamedTuple

from core.findings import Address, Finding
from core.partner import Partner
from core.text import lines_of
from core.transmission import Judged, Syntax
from gateway.plans import Plans
from gateway.trade.breaking import faults, faulty
from gateway.trade.maker import Maker
from gateway.trade.samples import DRAWS, Sample, play, write

# Lines that are shown of either message.
SHOWN = 6


class Pieces(NamedTuple):
    """The lines of the two messages at the finding's place, and those that differ where that shows no difference."""

    syntax: Syntax
    place: str  # in XML the path down to it
    passing: tuple[str, ...]
    failing: tuple[str, ...]


def pieces(code: str, plans: Plans, partner: Partner, day: date) -> list[Pieces]:
    """Return what earns a finding and what does not, by syntax; nothing where no message can be made for it."""
    if code not in faults(plans.specs):
        return []
    made = (_drawn(code, syntax, plans, partner, day) for syntax in (Syntax.EDIFACT, Syntax.XML))
    return [each for each in made if each]


def _drawn(code: str, syntax: Syntax, plans: Plans, partner: Partner, day: date) -> Pieces | None:
    """Return the pieces of the first sample that is judged as it should be; None where that syntax has another code."""
    for number in range(DRAWS):
        maker = Maker(random.Random(f"{code} {number}"), plans.specs, partner, day)  # noqa: S311 - samples, no secrets
        passing, failing = faulty(code, maker)
        if failing.expected(syntax) != code:
            return None
        good, bad = (_judged(each, syntax, plans, day) for each in (passing, failing))
        found = [finding for finding in bad.findings if finding.code == code]
        if found and not good.findings and len(bad.findings) == len(found):
            return Pieces(syntax, found[0].place.xpath or "", *_at(found[0], good, bad))
    return None


def _judged(sample: Sample, syntax: Syntax, plans: Plans, day: date) -> Judged:
    """Return the last message of a sample, judged; its reference is the same however many are sent before it."""
    *before, last = sample.steps
    named = replace(sample, steps=(*before, replace(last, reference=last.reference or "S")))
    return play(named, write(named, syntax, day, "S"), day, plans)[-1]


def _at(finding: Finding, good: Judged, bad: Judged) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what stands at the finding's place in the good message and in the bad one."""
    documents = [each.message.document for each in (good, bad)]
    sound, spoiled = (lines_of(document.text()) for document in documents)
    address, line = finding.address, finding.place.line
    if address and address.element:
        passing = _piece(sound, documents[0].locate(address).line) if _gives(good, address) else ()
        failing = _piece(spoiled, line) if finding.value or _gives(bad, address) else ()
    else:
        passing, failing = _piece(sound, _same_line(sound, spoiled, line)), _piece(spoiled, line)
    if passing != failing:
        return passing, failing
    lost, came = _differences(sound, spoiled)
    return (*passing, *lost)[:SHOWN], (*failing, *came)[:SHOWN]


def _gives(judged: Judged, address: Address) -> bool:
    """Tell whether a message has the element of an address, so often."""
    declaration = judged.message.declaration
    if declaration is None:
        return False
    where = (address.invoice, address.line)
    levels = (level for i, j, level in declaration.levels() if (i, j) == where)
    return any(len(level.all(address.element)) >= address.occurrence for level in levels)


def _piece(lines: list[str], number: int | None) -> tuple[str, ...]:
    """Return a line; of XML the whole of a small class that begins there."""
    if not number or number > len(lines):
        return ()
    first = lines[number - 1]
    if first.lstrip()[:1] == "<" and "</" not in first and not first.endswith("/>"):
        margin = len(first) - len(first.lstrip())
        for last, line in enumerate(lines[number : number + SHOWN - 1], number + 1):
            if line.startswith(f"{first[:margin]}</"):
                return tuple(each[margin:] for each in lines[number - 1 : last])
    return (first.strip(),)


def _same_line(sound: list[str], spoiled: list[str], number: int | None) -> int | None:
    """Return the number of the sound message's line in whose place the other has the line of that number."""
    for _, start, end, begin, finish in SequenceMatcher(None, sound, spoiled, autojunk=False).get_opcodes():
        if number and begin <= number - 1 < finish and start + number - 1 - begin < end:
            return start + number - begin
    return None


def _differences(sound: list[str], spoiled: list[str]) -> tuple[list[str], list[str]]:
    """Return the lines that only one of the two has, without the envelope's."""
    lost: list[str] = []
    came: list[str] = []
    for kind, start, end, begin, finish in SequenceMatcher(None, sound, spoiled, autojunk=False).get_opcodes():
        if kind != "equal":
            lost += [line.strip() for line in sound[start:end] if not line.startswith("UN")]
            came += [line.strip() for line in spoiled[begin:finish] if not line.startswith("UN")]
    return lost, came
