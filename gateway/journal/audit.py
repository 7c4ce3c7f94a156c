"""The audit chain: each link carries the hash of all before it, so no row is changed, removed or moved unseen.

Its limit: who may rewrite the whole database can also compute a new chain. Therefore the head is exported (receipts
and logs carry it) and `walk` compares with such a head.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

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


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What walking the chain found: links that hold, the last good hash, and the first bad row with the reason."""

    links: int
    head: str
    bad: int | None = None
    reason: str | None = None


def link_hash(previous: str, n: int, at: str, event: str, subject: int | None, detail: str) -> str:
    """Return SHA-256 (hexadecimal) of the previous link's hash and this row's content."""
    return hashlib.sha256(f"{previous}\x1f{n}\x1f{at}\x1f{event}\x1f{subject}\x1f{detail}".encode()).hexdigest()


def walk(
    links: Iterable[Link | tuple[int, str, str, int | None, str, str]], head: tuple[int, str] | None
) -> AuditReport:
    """Walk the chain from its first link and stop at the first row that is missing, changed or out of place.

    `head` is (number, hash) as exported earlier: the chain must still contain it.
    """
    good, previous = 0, GENESIS
    exported, exported_hash = head or (0, GENESIS)
    sha256 = hashlib.sha256
    for n, at, event, subject, detail, stored in links:
        if n != good + 1:
            return AuditReport(good, previous, good + 1, f"row {good + 1} is missing")
        # link_hash written out: this loop runs once for every event of seven years.
        if sha256(f"{previous}\x1f{n}\x1f{at}\x1f{event}\x1f{subject}\x1f{detail}".encode()).hexdigest() != stored:
            return AuditReport(good, previous, n, f"row {n} is not what was written after row {good}")
        if n == exported and stored != exported_hash:
            return AuditReport(good, previous, n, f"row {n} is not the one whose hash was exported")
        good, previous = n, stored
    if good < exported:
        return AuditReport(good, previous, good + 1, f"row {good + 1} is missing: row {exported} was exported")
    return AuditReport(good, previous)
