"""What the tests of the commands share: the messages that they are given, and how a failed command looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.testing import Result

from gateway.cli.main import main
from tests.support.way import SAMPLES

# Every command, by its name.
CONTEXT = click.Context(main)
COMMANDS = {name: main.get_command(CONTEXT, name) for name in main.list_commands(CONTEXT)}

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


def renamed_samples(folder: Path, user: str = "", samples: Path = SAMPLES) -> Path:
    """Write the sample partners as if they were somebody's own, all of them with one broker's user; return the file."""
    text = (samples / "partners.toml").read_text("utf-8").replace("name = ", 'name = "Own" # ')
    path = folder / "partners.toml"
    path.write_text(text.replace("[[partner]]\n", f'[[partner]]\nuser = "{user}"\n') if user else text, "utf-8")
    return path
