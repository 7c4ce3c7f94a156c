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
import argon2
import sqlalchemy
from sqlalchemy import Connection

from gateway import plans
from gateway.journal import database
from gateway.journal.tables import metadata
from gateway.settings import HOME
from gateway.web import users

OURS = (HOME / "eccrd_specs").resolve()
_prepare, _upgrade = plans.prepare, alembic.command.upgrade

# Statements that make the tables of an empty database, by its kind.
_made: dict[str, list[tuple[str, Any]]] = {}
READS = re.compile(r"\s*(SELECT|PRAGMA|SHOW|BEGIN|WITH)\b", re.IGNORECASE)

# The tables of a PostgreSQL database as they were made, by its name, and what tells them from all others: each
# statement that changes one leaves its own number (xmin) there, and ANALYZE the count of rows.
_as_made: dict[str | None, object] = {}
OURS_THERE = "(SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)"
STATE = f"""
    SELECT array_agg(part ORDER BY part), (SELECT nspacl FROM pg_namespace WHERE nspname = 'public') FROM (
        SELECT concat_ws(' ', oid, xmin, reltuples) AS part FROM pg_class WHERE oid IN {OURS_THERE}
        UNION ALL SELECT concat_ws(' ', attrelid, attnum, xmin) FROM pg_attribute WHERE attrelid IN {OURS_THERE}
        UNION ALL SELECT concat_ws(' ', oid, xmin) FROM pg_constraint WHERE conrelid IN {OURS_THERE}
        UNION ALL SELECT concat_ws(' ', oid, xmin) FROM pg_trigger WHERE tgrelid IN {OURS_THERE}
        UNION ALL SELECT concat_ws(' ', oid, xmin) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT concat_ws(' ', ctid, xmin) FROM alembic_version
    ) AS parts
"""  # noqa: S608 - ours
ALLOWED = f"""
    SELECT current_setting('is_superuser') = 'on' AND to_regclass('public.alembic_version') IS NOT NULL,
    (SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE oid IN {OURS_THERE})
"""  # noqa: S608 - ours
EMPTY = (
    "BEGIN",
    "SET LOCAL session_replication_role = replica",
    *(f"DELETE FROM {name}" for name in metadata.tables),  # noqa: S608 - ours
    f"SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S' AND oid IN {OURS_THERE}",  # noqa: S608 - ours
    "COMMIT",
)
LARGE = 4_000_000  # bytes of tables that are made anew rather than emptied

# What passwords are hashed with; a hash of the tests' users takes 0.19 s of processor time with it, 0.0001 s without.
strong = users._HASHER

# Whether SQLite waits until the disk has what is committed: only a power cut would show the difference.
durable = False


@functools.cache
def _ours() -> plans.Plans:
    return _prepare(OURS)


def _prepared(root: Path, *routes: Path) -> plans.Plans:
    """Prepare the project's own specification once for all tests of a process, commands run in it included."""
    return _ours() if root.resolve() == OURS and not routes else _prepare(root, *routes)


def _upgraded(config: alembic.config.Config, to: str) -> None:
    """Run the migrations on the first empty database of a kind, and make what they left on each other one."""
    connection: Connection = config.attributes["connection"]
    kind = connection.dialect.name
    if to != "head" or database.has_tables(connection):
        _upgrade(config, to)
        return
    if kind == "postgresql" and _is_put_by(connection):
        connection.exec_driver_sql("DROP SCHEMA public; ALTER SCHEMA put_by RENAME TO public")
        return
    if kind in _made:
        execute = connection.connection.cursor().execute
        for statement, parameters in _made[kind]:
            execute(statement, parameters)
    else:
        done: list[tuple[str, Any]] = []
        sqlalchemy.event.listen(
            connection,
            "before_cursor_execute",
            lambda _connection, _cursor, statement, parameters, *_: done.append((statement, parameters)),
        )
        _upgrade(config, to)
        if kind == "sqlite":  # what is there in the end, without the ways of fifteen versions to it
            driver: Any = connection.connection.driver_connection
            done = [(each, ()) for each in list(driver.iterdump())[1:-1]]
        _made[kind] = [each for each in done if not READS.match(each[0])]
    if kind == "postgresql":
        _as_made[connection.engine.url.database] = connection.exec_driver_sql(STATE).one()


def _is_put_by(connection: Connection) -> bool:
    return bool(connection.exec_driver_sql("SELECT to_regnamespace('put_by') IS NOT NULL").scalar())


def put_by(connection: Connection) -> bool:
    """Empty the tables of a PostgreSQL database for whoever needs some next; False if they are not as they were made.

    A superuser's shortcut: the audit chain's table lets nobody else delete. To make and drop the tables takes the
    server and us 0.1 s of processor time.
    """
    as_made = _as_made.get(connection.engine.url.database)
    if as_made is None or not database.has_tables(connection) or _is_put_by(connection):
        return False
    allowed, size = connection.exec_driver_sql(ALLOWED).one()
    if not allowed or size > LARGE or connection.exec_driver_sql(STATE).one() != as_made:
        return False
    connection.exec_driver_sql("; ".join(EMPTY))
    connection.exec_driver_sql("ALTER SCHEMA public RENAME TO put_by; CREATE SCHEMA public")
    return True


def _hasty(connection: Any, *_: object) -> None:
    """Let SQLite not wait for the disk."""
    if not durable and type(connection).__module__ == "sqlite3":
        connection.execute("PRAGMA synchronous=OFF")


def take() -> None:
    """Take all shortcuts, from now on."""
    plans.prepare = _prepared
    alembic.command.upgrade = _upgraded
    # Before its first PRAGMA, which writes to a new file (20 ms), and after all that the program says itself.
    for moment in ("connect", "checkout"):
        sqlalchemy.event.listen(sqlalchemy.Pool, moment, _hasty)
    users._HASHER = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    users._NOBODY = users._HASHER.hash("nobody")
    re._MAXCACHE = 20_000  # patterns of tables: half a second for each copy of a pack
