"""SQLite keeps any value in any column: whatever is stored in one, what reads it gives an answer or one clear line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from itertools import cycle
from pathlib import Path

import pytest
import sqlalchemy
from click.testing import CliRunner

from core.errors import GatewayError
from gateway.cli.main import main
from gateway.journal import Chosen, Journal, Selection, inbox_id
from gateway.journal.tables import metadata
from tests.support.effort import times
from tests.support.journals import NOW, NUMBER, accept

READERS: dict[str, Callable[[Journal], object]] = {
    "list": lambda journal: journal.list_messages(),
    "show": lambda journal: journal.show(inbox_id("a")),
    "history": lambda journal: journal.facts("P1", [NUMBER], []).history(NUMBER),
    "verify-audit": lambda journal: journal.verify(),
    "requests": lambda journal: journal.requests(Chosen()),
    "answers": lambda journal: journal.open_answers(Chosen(), NOW),
    "destinations": lambda journal: journal.destinations(),
    "unacknowledged": lambda journal: journal.unacknowledged(NOW),
    "counts": lambda journal: journal.counts(NOW),
    "replay": lambda journal: [
        journal.facts_then([(one, [NUMBER], [])])
        for one in journal.recorded([sequence for sequence, _ in journal.selected(Selection())])
    ],
}
DAMAGE = ["x'FFFE00'", "'\x1b[31m{'", "-1", "'[1]'", "1.5", "1000000000000000000", "'{\"code\": 1}'", "'no'"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "journal.db"
    journal = Journal.open(f"sqlite:///{path}")
    journal.ready(make=True)
    accept(journal)
    journal.close()
    return path


def change(path: Path, statement: str) -> None:
    raw = sqlalchemy.create_engine(f"sqlite:///{path}")
    try:
        with raw.begin() as connection:
            connection.exec_driver_sql(statement)
    finally:
        raw.dispose()


@pytest.mark.parametrize("table", sorted(metadata.tables))
def test_a_value_of_another_form_is_one_line(table: str, sound: Path, tmp_path: Path) -> None:
    damage = cycle(DAMAGE)
    for column in metadata.tables[table].columns:
        for _ in range(times(0.04)):
            value = next(damage)
            path = tmp_path / "journal.db"
            shutil.copy(sound, path)
            with suppress(sqlalchemy.exc.IntegrityError):  # a key of rows is a number
                change(path, f"UPDATE OR IGNORE {table} SET {column.name} = {value}")  # noqa: S608
            journal = Journal.open(f"sqlite:///{path}")
            for name, read in READERS.items():
                try:
                    read(journal)
                except GatewayError as error:
                    (line,) = str(error).splitlines()
                    assert line.isprintable(), (name, column, value)
                except Exception as error:
                    raise AssertionError(f"{name}: {column} = {value}") from error
            journal.close()
            path.unlink()


@pytest.mark.parametrize(
    ("column", "value", "command"),
    [
        ("handled.state", "'\x1b[31m{'", "show"),
        ("inbox.headers", "'[1]'", "show"),
        ("inbox.unproven", "'7'", "show"),
        ("message.findings", "'[null]'", "list"),
        ("message.ordinal", "'no'", "replay --since 2020-01-01"),
        ("message.ordinal", "'no'", "replay --since 2020-01-01 --specs eccrd_specs"),
    ],
)
def test_what_was_read_and_cannot_be_told_is_one_line(
    column: str, value: str, command: str, sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JSON of another form is found out only where it is shown."""
    path = shutil.copy(sound, tmp_path / "journal.db")
    table, _, name = column.partition(".")
    change(path, f"UPDATE {table} SET {name} = {value}")  # noqa: S608
    monkeypatch.setenv("GATEWAY_DATABASE_URL", f"sqlite:///{path}")
    found = CliRunner().invoke(main, [*command.split(), *([inbox_id("a")] if command == "show" else [])])
    assert found.exit_code == 2, found.exception
    assert "a row is damaged" in found.stderr.splitlines()[-1]
