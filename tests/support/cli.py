"""What the tests of the commands share: the messages that they are given, and how a failed command looks."""

from __future__ import annotations

from typing import Any

from click.testing import Result

from tests.support.way import SAMPLES

ORIGINAL = str(SAMPLES / "originals/v-voluntary.edi")
CHANGE = str(SAMPLES / "changes/v-correction.edi")
XML = str(SAMPLES / "originals/published-example.xml")
FAULTY = {syntax: str(SAMPLES / f"refused/many-faults.{syntax}") for syntax in ("edi", "xml")}


def one_line(result: Result) -> str:
    """Check that a command failed with one line on stderr, and return it."""
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("gateway: ")
    return line


def kind_of(value: Any) -> str:
    return type(value).__name__
