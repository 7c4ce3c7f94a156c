"""The journal's schema: which one a database has, whether this version can work on it, and its migration."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from core.errors import JournalUnavailable
from gateway.journal import database
from gateway.journal.tables import metadata

# Alembic keeps its context in module globals: one thread at a time.
one_thread = threading.Lock()

MIGRATIONS = Path(__file__).with_name("migrations")


def known() -> list[str]:
    """Return the schemas that this version knows, oldest first."""
    return sorted(path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def needed() -> str:
    """Return the schema that this version works on: its newest migration."""
    return known()[-1]


def schema(connection: Connection) -> str | None:
    """Return the schema that a database has; None where it has none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return None if found is None else str(found)


def _another(connection: Connection) -> str | None:
    """Return in a line how a database's schema is not the one that this version works on, None if it is."""
    found, ours = schema(connection), needed()
    where = f"journal {database.masked(connection.engine.url)}"
    if found is None and database.has_tables(connection):
        return f"{where} has tables and no schema: it is damaged, or not of this program"
    if found is None:
        return f"{where}: {database.NO_TABLES}"
    if found > ours:
        return f"{where} has schema {found}, newer than this version's {ours}: run the newer version"
    if found not in known():
        return f"{where} has schema {found}, which is not of this program; this version needs {ours}"
    if found < ours:
        return (
            f"{where} has schema {found}, this version needs {ours}: stop every process of the gateway, then run"
            " `gateway migrate`"
        )
    return None


def check_schema(connection: Connection) -> None:
    """Raise JournalUnavailable unless the database has the schema that this version works on, and is of its kind."""
    if fault := _another(connection) or _of_another_kind(connection):
        raise JournalUnavailable(fault)


def unfit(connection: Connection) -> str | None:
    """Return in a line why `serve` could not work with this journal, None if it can.

    Beside another schema that is a table or column that is missing, a database that takes no writing, one that cannot
    hold every text, and a pooler that gives each transaction another session.
    """
    examined = (_another, _damaged, _only_to_read, _of_another_kind)
    return next(filter(None, (examine(connection) for examine in examined)), None)


def _of_another_kind(connection: Connection) -> str | None:
    """Return in a line what of a PostgreSQL database is not as the journal needs it."""
    if connection.dialect.name != "postgresql":
        return None
    name = f"journal {database.masked(connection.engine.url)}"
    if (encoding := connection.scalar(text("SHOW server_encoding"))) != "UTF8":
        return f"{name}: its encoding is {encoding}: make a database with ENCODING 'UTF8'"
    if connection.scalar(text(f"SELECT current_setting('{database.MARK}', true)")) != "kept":
        return (
            f"{name}: it does not keep what a session sets: connect to PostgreSQL itself, not through a pooler such as"
            " PgBouncer in transaction mode"
        )
    return None


def _damaged(connection: Connection) -> str | None:
    """Return in a line what of its schema a database lacks."""
    name, found = database.masked(connection.engine.url), inspect(connection)
    for table in metadata.sorted_tables:
        if not found.has_table(table.name):
            return f"journal {name}: it is damaged: the table {table.name} is missing"
        there = {column["name"] for column in found.get_columns(table.name)}
        if lacking := [column.name for column in table.columns if column.name not in there]:
            return f"journal {name}: it is damaged: the table {table.name} lacks {', '.join(lacking)}"
    return None


def _only_to_read(connection: Connection) -> str | None:
    """Return in a line that the database takes no writing."""
    if connection.dialect.name == "postgresql":
        writable = connection.scalar(text("SHOW transaction_read_only")) != "on"
    else:
        path = Path(connection.engine.url.database or "")
        writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    return None if writable else f"journal {database.masked(connection.engine.url)}: it can only be read"


def migrate(connection: Connection, to: str = "head") -> None:
    """Bring the tables to this version's state, or an earlier one; safe to repeat and to run in several processes.

    In one process only one at a time, under the lock `one_thread`. Raises JournalUnavailable for a schema that this
    version does not know.
    """
    import alembic.command  # an eighth of a program's start; the loops of `serve` never need it
    import alembic.config

    if connection.dialect.name == "postgresql":  # whoever migrates before us may take his time, but nobody else
        connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
        database.lock(connection, database.MIGRATING)
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{database.LOCK_SECONDS}s'")
    if fault := _of_another_kind(connection):
        raise JournalUnavailable(fault)
    found = schema(connection)
    if found not in known() if found else database.has_tables(connection):
        check_schema(connection)
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, to)
