"""Specification folders for tests: a copy of the project's own, changed as data are changed, by editing tables."""

from __future__ import annotations

import csv
import random
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

from core.declaration import Declaration, MessageType, Value
from core.fields import REMEDIES
from core.partner import Partner
from core.transmission import Syntax
from gateway.plans import Plans
from gateway.trade.maker import Maker
from gateway.trade.samples import Sample, SampleMessage, play, write
from routing.partners import load_partners

HOME = Path(__file__).parents[2]
ROOT = HOME / "eccrd_specs"
PARTNER = load_partners(HOME / "samples/partners.toml")["maple"]
DAY = date(2026, 11, 23)
BOTH = [Syntax.XML, Syntax.EDIFACT]

Row = dict[str, str]


def copy(folder: Path) -> Path:
    """Return a copy of the specification in the folder."""
    return shutil.copytree(ROOT, folder / "specs")


def edit(path: Path, old: str, new: str) -> None:
    """Replace a text that stands in a file."""
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{old!r} is not in {path.name}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def rewrite(path: Path, change: Callable[[list[Row]], list[Row]]) -> None:
    """Change the rows of a table."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        columns, rows = reader.fieldnames or (), list(reader)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(change(rows))


def set_field(path: Path, key: str, column: str, value: str) -> None:
    """Set a field of the rows whose first column is the key."""

    def change(rows: list[Row]) -> list[Row]:
        first = next(iter(rows[0]))
        assert any(row[first] == key for row in rows)
        return [row | {column: value} if row[first] == key else row for row in rows]

    rewrite(path, change)


def add_remedy(root: Path, code: str) -> None:
    """Give a finding that a test adds what every finding has."""
    rewrite(root / REMEDIES, lambda rows: [*rows, {"code": code, "remedy_en": "Mend it.", "remedy_fr": "Corrigez."}])


def drop_rule(root: Path, code: str) -> None:
    """Take a rule and its remedy out."""
    rewrite(root / "chapter24/rules.csv", lambda rows: [row for row in rows if row["id"] != code])
    rewrite(root / REMEDIES, lambda rows: [row for row in rows if row["code"] != code])


def original(plans: Plans, day: date = DAY, partner: Partner = PARTNER, **changes: Value | None) -> Declaration:
    """Return a plain original declaration of type AB with the changes applied."""
    maker = Maker(random.Random("plain"), plans.specs, partner, day)
    draft = maker.draft("AB", accounted=day, share=0, plain=True, shape=(2,))
    draft.put(maker.pack(MessageType.DECLARATION), changes)
    return draft.freeze()


def sent(declaration: Declaration, plans: Plans, syntax: Syntax, day: date = DAY) -> bytes:
    """Return the declaration as it is written by the specification in force on the day."""
    step = SampleMessage(MessageType.DECLARATION, declaration)
    return write(Sample((step,), None, plans.specs, PARTNER, PARTNER), syntax, day, "S")[0]


def judged(body: bytes, plans: Plans, day: date = DAY, **step: object) -> list[tuple[str, str | None]]:
    """Return the findings (code, value) of what a gateway with the specification makes of the bytes."""
    sample = Sample((SampleMessage(MessageType.DECLARATION, Declaration({})),), None, plans.specs, PARTNER, PARTNER)
    (one,) = play(sample, [body], day, plans)
    return [(finding.code, finding.value) for finding in one.findings]
