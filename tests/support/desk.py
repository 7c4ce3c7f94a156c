"""A journal that holds the samples' run, and the command line on it: for tests of what operators do."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.main import main
from gateway.journal import Journal
from tests.support.house import house, settings_in
from tests.support.way import SAMPLES, rows

Run = Callable[..., Result]


@functools.cache
def _played() -> Path:
    """Play the samples once into a folder; every test takes a copy."""
    folder = Path(tempfile.mkdtemp(prefix="desk-"))
    with house(folder) as opened:
        for row in rows():
            opened.send(row["partner"], (SAMPLES / row["file"]).read_bytes())
            opened.settle_down()
    return folder


def recorded(folder: Path) -> Journal:
    """Put the journal and queue of the samples' run into a folder and open the journal."""
    shutil.copytree(_played(), folder, dirs_exist_ok=True)
    return Journal.open(settings_in(folder).database_url)


def runner(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return what runs a command of the gateway whose files lie in a folder."""
    settings = settings_in(folder)
    monkeypatch.setenv("GATEWAY_BROKER_URL", settings.broker_url)
    monkeypatch.setenv("GATEWAY_DATABASE_URL", settings.database_url)
    for name in ("GATEWAY_PARTNERS", "GATEWAY_SPECS", "GATEWAY_LOG"):
        monkeypatch.delenv(name, raising=False)
    return lambda *arguments: CliRunner().invoke(main, [str(each) for each in arguments])
