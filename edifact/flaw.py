"""What is wrong, as those who read EDIFACT find it, before it has a place in the sender's text."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

NO_DETAILS: Mapping[str, str] = MappingProxyType({})


class Flaw(NamedTuple):
    """Something wrong: its code in the table of findings, its UN 0085 code (None: it does not refuse), and where.

    `at` is the index of a segment in its message, -1 its last one; in an envelope the offset of a byte. `element` and
    `component` count as CONTRL does, the tag being element 1, 0 the segment as a whole. The rest is as in
    `core.findings.Fault`, which it becomes once its place in the text is known.
    """

    code: str
    syntax_error: str | None
    at: int = 0
    element: int = 0
    component: int = 0
    value: str | None = None
    expected: str | None = None
    service_segment: str | None = None
    details: Mapping[str, str] = NO_DETAILS
