"""docs/operations.md, followed to the letter: its commands are run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.house import house, settings_in
from tests.support.sending import ORIGINAL, edifact, messages, number
from tests.support.way import HOME

PAGE = (HOME / "docs/operations.md").read_text("utf-8")

pytestmark = pytest.mark.slow


def commands(heading: str) -> list[str]:
    """Return the lines to be typed of a section."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)^## ", PAGE, re.M | re.S)
    return [line for block in re.findall(r"^```\n(.*?)^```", section, re.M | re.S) for line in block.splitlines()]


def shell(folder: Path, line: str) -> str:
    """Run a line in a shell, in the folder of a gateway."""
    settings = settings_in(folder)
    environment = os.environ | {
        "GATEWAY_BROKER_URL": settings.broker_url,
        "GATEWAY_DATABASE_URL": settings.database_url,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(HOME),
    }
    line = line.replace("/var/backups", str(folder))
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    return done.stdout


def test_backup_and_restore(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    backup, restore, verify, doctor = commands("Backup and restore")
    with house(tmp_path) as gateway:
        gateway.send("maple", ORIGINAL)
        gateway.settle_down()
        shell(tmp_path, backup)
        gateway.send("maple", edifact("REF3", number(30)))
        gateway.settle_down()
        shell(tmp_path, "gateway export-audit-head >> heads.jsonl")
    told = shell(tmp_path, restore)
    assert "send again" in told
    assert "explained" not in verify
    assert "1 heads are of a history that ended with the restore" in shell(tmp_path, verify)
    shell(tmp_path, doctor)
    with house(tmp_path) as gateway:
        assert len(messages(gateway)) == 1
