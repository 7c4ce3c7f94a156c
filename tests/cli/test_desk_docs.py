"""Each command of docs/desk.md, run on the journal that the page speaks of."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.envelope import Envelope
from gateway.trade.writer import write_xml
from tests.cli.test_replay_parked import park
from tests.support.builders import DECLARATION, valid_declaration
from tests.support.desk import Run, recorded, runner
from tests.support.house import House, house
from tests.support.traffic import number
from tests.support.way import HOME, SAMPLES

PAGE = (HOME / "docs/desk.md").read_text("utf-8")
COMMANDS = [
    line for block in re.findall(r"```\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines() if line.strip()
]

# Exit code 1 tells a difference, or that there was nothing to send again.
MAY_DIFFER = ("diff", "explain", "answers")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[House]:
    recorded(tmp_path).close()
    with house(tmp_path) as opened:
        yield opened


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "samples").symlink_to(SAMPLES)
    (tmp_path / "eccrd_specs").symlink_to(HOME / "eccrd_specs")
    return runner(tmp_path, monkeypatch)


def test_the_page_has_commands() -> None:
    assert len(COMMANDS) > 15
    assert all(command.startswith("gateway ") for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_it_works_as_written(command: str, gateway: House, run: Run, tmp_path: Path) -> None:
    versions = gateway.journal.list_messages(transaction_number="12345000000012", verdict="accepted")
    second, first = (row["id"] for row in versions)
    if " parked " in command:
        declaration = valid_declaration(transaction_number=number(1))
        said = Envelope("MAPLEBROKER", "CARMGATEWAY", "DESK1")
        first = park(gateway, "maple", write_xml(declaration, DECLARATION, said))
    command = re.sub(r"\bID2\b", second, re.sub(r"\bID1?\b", first, command))
    words = shlex.split(command)[1:]
    result = run(*words)
    assert result.exit_code in ((0, 1) if words[0] in MAY_DIFFER or "resend" in words else (0,)), result.output
    assert result.output.strip()
    for page in ("explained.html", "what-if.html"):
        assert (tmp_path / page).exists() == (page in command)
