"""What tests of one process do once and share, or do without: the program itself is the same, and processes have none.

Loaded by `tests/conftest.py`, before any test.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import sqlalchemy
from sqlalchemy import Connection

from gateway import plans
from gateway.journal import database
from gateway.settings import HOME

OURS = (HOME / "eccrd_specs").resolve()
_prepare, _upgrade = plans.prepare, alembic.command.upgrade

# Statements that made the tables of an empty database, by its kind.
_made: dict[str, list[tuple[str, Any]]] = {}
READS = re.compile(r"\s*(SELECT|PRAGMA|SHOW|BEGIN|WITH)\b", re.IGNORECASE)

# Whether SQLite waits until the disk has what is committed: only a power cut would show the difference.
durable = False


@functools.cache
def _ours() -> plans.Plans:
    return _prepare(OURS)


def _prepared(root: Path, *routes: Path) -> plans.Plans:
    """Prepare the project's own specification once for all tests of a process, commands run in it included."""
    return _ours() if root.resolve() == OURS and not routes else _prepare(root, *routes)


def _upgraded(config: alembic.config.Config, to: str) -> None:
    """Run the migrations on the first empty database of a kind, and what they did there on each other one."""
    connection: Connection = config.attributes["connection"]
    kind = connection.dialect.name
    if to != "head" or database.has_tables(connection):
        _upgrade(config, to)
    elif kind in _made:
        for statement, parameters in _made[kind]:
            connection.exec_driver_sql(statement, parameters or None)
    else:
        done: list[tuple[str, Any]] = []
        sqlalchemy.event.listen(
            connection,
            "before_cursor_execute",
            lambda _connection, _cursor, statement, parameters, *_: done.append((statement, parameters)),
        )
        _upgrade(config, to)
        _made[kind] = [each for each in done if not READS.match(each[0])]


def _checked_out(connection: Any, *_: object) -> None:
    """Let SQLite not wait for the disk."""
    if not durable and type(connection).__module__ == "sqlite3":
        connection.execute("PRAGMA synchronous=OFF")


def take() -> None:
    """Take all shortcuts, from now on."""
    plans.prepare = _prepared
    alembic.command.upgrade = _upgraded
    sqlalchemy.event.listen(sqlalchemy.Pool, "checkout", _checked_out)
    re._MAXCACHE = 20_000  # patterns of tables: half a second for each copy of a pack
