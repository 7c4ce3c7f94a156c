"""A command run in the test's folder, and a gateway whose files lie there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli.main import main
from tests.support.cli import Run
from tests.support.house import House, house, settings_in


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command of a gateway whose files lie in the test's folder."""
    monkeypatch.chdir(tmp_path)
    settings = settings_in(tmp_path)
    monkeypatch.setenv("GATEWAY_BROKER_URL", settings.broker_url)
    monkeypatch.setenv("GATEWAY_DATABASE_URL", settings.database_url)
    for name in ("GATEWAY_PARTNERS", "GATEWAY_SPECS", "GATEWAY_LOG"):
        monkeypatch.delenv(name, raising=False)
    return lambda *arguments: CliRunner().invoke(main, [str(each) for each in arguments])


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as opened:
        yield opened
