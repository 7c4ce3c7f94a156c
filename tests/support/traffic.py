"""Recorded traffic in bulk: sound originals of the sample maker, each with its own number and reference."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from core.calendar import eastern_day
from core.declaration import Declaration, MessageType
from core.transmission import Syntax
from gateway import service
from gateway.journal import Arrival, Journal, inbox_id
from gateway.trade.maker import Maker
from gateway.trade.samples import write
from parsers import sniff
from tests.support.way import HOME, PARTNERS, PLANS, SPECS
from validators.rules import check_digit_of

TEMPLATES = 40
BATCH = 500


class Template(NamedTuple):
    """A message of a partner's with a number and a reference to be put in its place."""

    partner: str
    body: bytes
    number: bytes
    reference: bytes
    declaration: Declaration


def templates(count: int = TEMPLATES) -> list[Template]:
    """Return sound originals of both partners in both syntaxes, all CAD types in turn."""
    now = datetime.now(UTC)
    types = list(SPECS.code_lists["cad_type"].codes)
    found = []
    for n in range(count):
        partner = PARTNERS["maple" if n % 2 else "erable"]
        maker = Maker(random.Random(n), SPECS, partner, eastern_day(now))
        sample = maker.story(types[n % len(types)])
        step = next(step for step in sample.steps if step.type is MessageType.DECLARATION)
        reference = f"REF{n:04}{0:07}"
        syntax = Syntax.EDIFACT if n // 2 % 2 else Syntax.XML
        sample = type(sample)(
            (type(step)(step.type, step.declaration, reference=reference),), None, SPECS, partner, partner
        )
        (body,) = write(sample, syntax, eastern_day(now), "x")
        number = (step.declaration.transaction_number or "").encode()
        assert body.count(number) == 1
        found.append(Template(partner.id, body, number, reference.encode(), step.declaration))
    return found


def number(sequence: int, account: str = "54321") -> str:
    """Return the n-th transaction number of an account of its own (maple's)."""
    thirteen = f"{account}{sequence:08}"
    return thirteen + check_digit_of(thirteen)


def arrivals(count: int, given: list[Template]) -> Iterator[Arrival]:
    """Yield so many transmissions, a second apart, the templates in turn."""
    start = datetime.now(UTC) - timedelta(seconds=count)
    for n in range(count):
        template = given[n % len(given)]
        reference = template.reference[:7] + f"{n:07}".encode()
        given_number = number(n, template.number[:5].decode())
        body = template.body.replace(template.number, given_number.encode()).replace(template.reference, reference)
        at = start + timedelta(seconds=n)
        yield Arrival(f"traffic-{n}", "partner", template.partner, body, {}, at, lane=sniff.lane(body))


def record(journal: Journal, count: int, given: list[Template]) -> list[str]:
    """Receive and judge so many transmissions as the service does; return their ids in order."""
    source = arrivals(count, given)
    ids = []
    while batch := list(islice(source, BATCH)):
        ids += [inbox_id(each.uid) for each in batch]
        journal.receive(batch)
        while service.work(journal, PLANS, PARTNERS, "traffic"):
            pass
    return ids


def without(folder: Path, code_list: str, code: str, source: Path = HOME / "eccrd_specs") -> Path:
    """Copy the specification into a folder, one code left out of a list."""
    shutil.copytree(source, folder)
    path = folder / "codes" / f"{code_list}.csv"
    lines = path.read_text("utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(f"{code},")]
    assert len(kept) == len(lines) - 1
    path.write_text("".join(kept), "utf-8")
    return folder


def uses(declaration: Declaration, code_list: str, code: str) -> bool:
    """Tell whether an element of the list has the code, by the dictionary alone."""
    names = {e.name for pack in SPECS.packs for e in pack.elements.values() if e.code_list == code_list}
    return any(level.get(name) == code for _, _, level in declaration.levels() for name in names)
