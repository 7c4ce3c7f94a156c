"""A command run in the test's folder, and a gateway whose files lie there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.desk import Run, runner
from tests.support.house import House, house


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command of a gateway whose files lie in the test's folder."""
    monkeypatch.chdir(tmp_path)
    return runner(tmp_path, monkeypatch)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as opened:
        yield opened
