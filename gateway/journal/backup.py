"""A journal's copy as of one moment, while it is written to, and its return: a SQLite file, or a file a table."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, func, inspect, select, update

from core.errors import GatewayError, JournalUnavailable
from gateway.journal import database, schemas
from gateway.journal.evidence import chain, head
from gateway.journal.inbox import UNTRIED
from gateway.journal.tables import metadata, work

# The journal's copy where it is one file.
FILE = "journal.sqlite3"

# In a backup of before the schema 0013: what was being worked on is free again.
FREE_BEFORE_0013 = """
    UPDATE inbox SET state = 'received', attempts = attempts - 1, worker = NULL, lease_until = NULL
    WHERE state = 'working' AND finished_at IS NULL
"""

# What stands beside a SQLite file and belongs to it alone: beside another file it would be written over that.
COMPANIONS = ("-wal", "-shm", "-journal")


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that sees the journal as it is now, whatever is written meanwhile."""
    with engine.connect() as opened:
        connection = opened
        if engine.dialect.name == "postgresql":
            connection = opened.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            head(connection)  # the first question fixes the moment
            yield connection


def facts(connection: Connection) -> dict[str, Any]:
    """Return what a copy must agree with: its kind and schema, the audit chain's head, each table's number of rows.

    And what it holds: the tables in the order in which they are filled, and their columns. A backup may be of a former
    schema, which has fewer.
    """
    n, digest = head(connection)
    held = _held(connection)
    counts = {name: select(func.count()).select_from(metadata.tables[name]) for name in held}
    return {
        "kind": connection.dialect.name,
        "schema": schemas.schema(connection),
        "head": {"n": n, "hash": digest},
        "rows": {name: connection.scalar(statement) for name, statement in counts.items()},
        "columns": held,
    }


def write(connection: Connection, folder: Path) -> None:
    """Write the journal as a snapshot sees it into a folder, for its owner's eyes only."""
    if connection.dialect.name == "sqlite":
        copy_file(connection, folder / FILE)
        return
    with connection.connection.driver_connection.cursor() as cursor:  # type: ignore[union-attr]
        for name, columns in _held(connection).items():
            with (
                gzip.open(private(folder / _file_of(name)), "wb") as file,
                cursor.copy(_copy(name, columns, "TO")) as copy,
            ):
                for piece in copy:
                    file.write(piece)


def copy_file(connection: Connection, target: Path) -> None:
    """Copy the SQLite file that a connection reads, as it sees it, into one whole file without companions."""
    engine = create_engine(f"sqlite:///{private(target)}")
    with engine.connect() as other:
        theirs: Any = other.connection.driver_connection
        ours: Any = connection.connection.driver_connection
        wrong = connection.dialect.loaded_dbapi.Error
        try:
            ours.backup(theirs)
            theirs.execute("PRAGMA journal_mode=DELETE")
            if (found := theirs.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
                raise GatewayError(f"{target}: the copy is not whole: {found}")
        except wrong as error:
            raise GatewayError(f"{target} cannot be written: {error}") from error
    engine.dispose()


def private(path: Path) -> Path:
    """Make a file that only its owner may read, and return its path; raises GatewayError where there is one."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise GatewayError(f"{path} cannot be written: {error.strerror}") from error
    return path


def set_aside(path: Path, mark: str) -> list[Path]:
    """Rename a SQLite file and what belongs to it, so that nothing of it stands beside what comes in its place."""
    moved = []
    for each in (path, *(path.with_name(path.name + end) for end in COMPANIONS)):
        if each.exists():
            moved.append(each.rename(each.with_name(f"{path.name}.{mark}{each.name.removeprefix(path.name)}")))
    return moved


def put(copy: Path, path: Path) -> None:
    """Put a copy of a SQLite file to its place, whole or not at all, on the disk when this returns."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with copy.open("rb") as source, private(new).open("wb") as target:
        shutil.copyfileobj(source, target)
        target.flush()
        os.fsync(target.fileno())
    new.rename(path)
    handle = os.open(path.parent, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def read(engine: Engine, folder: Path, schema: str, tables: Mapping[str, Sequence[str]]) -> None:
    """Fill an empty PostgreSQL database from a folder, in one transaction; raises JournalUnavailable if it is not.

    `tables` are those of its schema, with their columns.
    """
    with schemas.one_thread, database.transaction(engine) as connection:
        if database.has_tables(connection):
            where = database.masked(engine.url)
            raise JournalUnavailable(f"journal {where} is not empty: a backup is restored into an empty database")
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        if count := connection.exec_driver_sql(f"{others} AND backend_type = 'client backend'").scalar():
            raise JournalUnavailable(f"journal {database.masked(engine.url)}: {count} others are connected: stop them")
        schemas.migrate(connection, schema)
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor:
            for name, columns in tables.items():
                with gzip.open(folder / _file_of(name)) as file, cursor.copy(_copy(name, columns, "FROM")) as copy:
                    while piece := file.read(1_000_000):
                        copy.write(piece)
            cursor.execute("ANALYZE")  # until the server does so by itself, all would go through whole tables
        for table in (metadata.tables[name] for name in tables):
            for column in table.primary_key:
                _count_on(connection, table, column.name)


def restored(connection: Connection, facts: Mapping[str, Any], taken_at: str, operator: str, now: datetime) -> None:
    """Record that a journal goes on from a backup: older heads of what came after it are explained by this.

    What was being worked on is free again: those who held it then are no more.
    """
    if inspect(connection).has_table(work.name):
        connection.execute(update(work).where(work.c.worker.is_not(None)).values(UNTRIED))
    else:
        connection.exec_driver_sql(FREE_BEFORE_0013)
    chain(connection, [(now, "restored", None, {"head": facts["head"], "taken": taken_at, "operator": operator})])


def _held(connection: Connection) -> dict[str, list[str]]:
    """Return the tables that are there, in the order in which they are filled, and their columns."""
    found = inspect(connection)
    there = [table.name for table in metadata.sorted_tables if found.has_table(table.name)]
    return {name: [each["name"] for each in found.get_columns(name)] for name in there}


def _file_of(table: str) -> str:
    return f"{table}.copy.gz"


def _copy(table: str, columns: Sequence[str], way: str) -> str:
    """Return the COPY statement of a whole table, its columns by name."""
    names = ", ".join(f'"{name}"' for name in columns)
    return f"COPY {table} ({names}) {way} {'STDOUT' if way == 'TO' else 'STDIN'}"


def _count_on(connection: Connection, table: Table, column: str) -> None:
    """Let a column that numbers itself go on after the highest number that is there."""
    sequence = connection.scalar(select(func.pg_get_serial_sequence(table.name, column)))
    if sequence:
        highest = connection.scalar(select(func.max(table.c[column])))
        connection.execute(select(func.setval(sequence, highest or 1, highest is not None)))
