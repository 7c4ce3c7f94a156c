"""The audit chain: each link carries the hash of all before it, so no row is changed, removed or moved unseen.

Its limit: who may rewrite the whole database can also compute a new chain. Therefore the head is exported (receipts
and logs carry it) and `walk` compares with such a head.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from core.findings import Bilingual

# What the first link follows.
GENESIS = "0" * 64


class Link(NamedTuple):
    """One row of the chain: number (from 1, without gaps), ISO time, event, inbox sequence, canonical JSON, hash."""

    n: int
    at: str
    event: str
    subject: int | None
    detail: str
    hash: str


class Head(NamedTuple):
    """A head of the chain as exported: number, hash, and when (ISO), where that was kept."""

    n: int
    hash: str
    at: str | None = None


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What walking the chain found: links that hold, the last good hash, and the first bad row with the reason.

    `heads` of the exported ones are in the chain; `explained` are not, and were exported before a restore that the
    chain records, in row `restore`.
    """

    links: int
    head: str
    bad: int | None = None
    reason: Bilingual | None = None
    heads: int = 0
    explained: int = 0
    restore: int | None = None


def link_hash(previous: str, n: int, at: str, event: str, subject: int | None, detail: str) -> str:
    """Return SHA-256 (hexadecimal) of the previous link's hash and this row's content."""
    return hashlib.sha256(f"{previous}\x1f{n}\x1f{at}\x1f{event}\x1f{subject}\x1f{detail}".encode()).hexdigest()


def walk(links: Iterable[Link | tuple[int, str, str, int | None, str, str]], heads: Sequence[Head] = ()) -> AuditReport:
    """Walk the chain from its first link and stop at the first row that is missing, changed or out of place.

    Each exported head must be in the chain, unless a restore from an older backup is recorded at or before its row and
    after its time: then what followed is another history, and the chain says so (DECISIONS D84).
    """
    good, previous = 0, GENESIS
    wanted = {one.n for one in heads}
    found: dict[int, Link] = {}  # with the hash before it as its detail
    restores: list[tuple[int, str]] = []
    sha256 = hashlib.sha256
    for n, at, event, subject, detail, stored in links:
        if n != good + 1:
            return AuditReport(good, previous, good + 1, _missing(good + 1))
        # link_hash written out: this loop runs once for every event of seven years.
        if sha256(f"{previous}\x1f{n}\x1f{at}\x1f{event}\x1f{subject}\x1f{detail}".encode()).hexdigest() != stored:
            en, fr = (
                f"row {n} is not what was written after row {good}",
                f"la ligne {n} n'est pas celle qui suivait la {good}",
            )
            return AuditReport(good, previous, n, Bilingual(en, fr))
        if event == "restored":
            restores.append((n, at))
        if n in wanted:
            found[n] = Link(n, at, event, subject, previous, stored)
        good, previous = n, stored
    return _compare(AuditReport(good, previous), sorted(heads, key=lambda one: one.n), found, restores)


def _compare(
    report: AuditReport, heads: Sequence[Head], found: Mapping[int, Link], restores: Sequence[tuple[int, str]]
) -> AuditReport:
    """Return the report with what became of the exported heads, in order; the first that nothing explains is bad."""
    held = explained = 0
    for one in heads:
        link = found.get(one.n)
        if (link.hash if link else GENESIS) == one.hash and (link or not one.n):
            held += 1
        elif _explained(one, restores):
            explained += 1
        elif link:
            en = f"row {one.n} is not the one whose hash was exported"
            fr = f"la ligne {one.n} n'est pas celle dont l'empreinte a été exportée"
            return AuditReport(one.n - 1, link.detail, one.n, Bilingual(en, fr))
        else:
            missing = _missing(report.links + 1)
            why = Bilingual(f"{missing.en}: row {one.n} was exported", f"{missing.fr} : la {one.n} a été exportée")
            return AuditReport(report.links, report.head, report.links + 1, why)
    return replace(report, heads=held, explained=explained, restore=restores[-1][0] if explained else None)


def _missing(n: int) -> Bilingual:
    return Bilingual(f"row {n} is missing", f"la ligne {n} manque")


def _explained(head: Head, restores: Sequence[tuple[int, str]]) -> bool:
    """Tell whether a head that is not in the chain was exported before a restore that took its row away."""
    if head.at is None:
        return False
    moment = datetime.fromisoformat(head.at)
    return any(n <= head.n and moment <= datetime.fromisoformat(at) for n, at in restores)
