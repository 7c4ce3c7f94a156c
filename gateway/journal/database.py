"""SQLite and PostgreSQL: connections that are durable and fail in time, transactions, locks, the schema."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from decimal import InvalidOperation
from operator import itemgetter
from pathlib import Path
from typing import Any, Self

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Table,
    Text,
    TypeDecorator,
    bindparam,
    create_engine,
    event,
    func,
    insert,
    inspect,
    make_url,
    select,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import URL, Dialect
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    DisconnectionError,
    IntegrityError,
    ProgrammingError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

from core.errors import GatewayError, JournalUnavailable
from core.findings import Bilingual
from core.text import of_sqlite, printable
from core.urls import mask, without_secrets
from gateway.journal.tables import audit

# Seconds that SQLite waits for the writer before us, and PostgreSQL for a lock: longer means something is stuck.
LOCK_SECONDS = 10

# PostgreSQL's codes for what is wrong with the database rather than with us: no right, no table, no column, no schema.
UNUSABLE = frozenset({"42501", "42P01", "42703", "3F000"})

# How long a migration waits for another one to end; on PostgreSQL as long as that takes.
MIGRATING_SECONDS = 3600

NO_TABLES = "it has no tables yet: run `gateway serve`, which makes them, or `gateway migrate`"

# PostgreSQL advisory locks: transmissions are numbered in the order of their commits, and so is the audit chain.
RECEIVING, CHAINING, MIGRATING = 7_305_001, 7_305_002, 7_305_003

# An integer of PostgreSQL is smaller.
INTEGER = 2**31

# Opens a transaction.
Transaction = Callable[[], AbstractContextManager[Connection]]

LOCK = select(func.pg_advisory_xact_lock(bindparam("key", type_=BigInteger)))


class _List(TypeDecorator[Sequence[Any]]):
    """A list in one parameter: an array on PostgreSQL, JSON on SQLite."""

    impl = Text
    cache_ok = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(ARRAY(self.item) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Sequence[Any] | None, dialect: Dialect) -> Any:
        return list(value or ()) if dialect.name == "postgresql" else json.dumps(list(value or ()))


class _Among(FunctionElement[bool]):
    """A condition of two clauses, a column and a list."""

    inherit_cache = True
    type = Boolean()

    def self_group(self, against: object = None) -> Self:  # noqa: ARG002 - SQLAlchemy calls it so
        """Stay as it is: SQLite finds no index for `(…) = 1`, as which a truth value would be written there."""
        return self


@compiles(_Among)
def _any(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(clause, **options) for clause in element.clauses)
    if compiler.dialect.name == "postgresql":
        return f"{column} = ANY ({values})"
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - both are compiled clauses


def among(column: Column[Any], name: str, given: Sequence[Any] | None = None) -> ColumnElement[bool]:
    """Return the condition that a column is one of the list in the parameter `name`: `given`, or what execution names.

    The statement has the same text for every length of the list: it is compiled and prepared once, and a list may be
    longer than the number of parameters that a database takes.
    """
    return _Among(column, bindparam(name, given, type_=_List(column.type), required=given is None))


class _AmongPairs(_Among):
    """A condition of three clauses, two columns and a list of pairs."""

    inherit_cache = True


@compiles(_AmongPairs)
def _any_pair(element: _AmongPairs, compiler: SQLCompiler, **options: Any) -> str:
    first, second, pairs = (compiler.process(clause, **options) for clause in element.clauses)
    if compiler.dialect.name == "postgresql":
        each = f"value->>0, value->>1 FROM json_array_elements({pairs})"
    else:
        each = f"json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each({pairs})"
    return f"({first}, {second}) IN (SELECT {each})"


def among_pairs(first: Column[Any], second: Column[Any], name: str) -> ColumnElement[bool]:
    """Return the condition that two columns of text are one of the list of pairs given as parameter `name`.

    Two lists, one for each column, would find every combination; for so many PostgreSQL goes through a whole table.
    """
    return _AmongPairs(first, second, bindparam(name, type_=JSON()))


def insert_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that all name the same columns in the same order; raises IntegrityError when a key is taken.

    On PostgreSQL by COPY, in binary: INSERT costs the client five times and the server twice as much.
    """
    if not rows:
        return
    if connection.dialect.name != "postgresql":
        connection.execute(insert(table), [dict(row) for row in rows])
        return
    names = tuple(rows[0])
    statement, types = _copy(table, names)
    values = itemgetter(*names)
    small = [name for name, type_ in zip(names, types, strict=True) if type_ == "integer"]
    driver: Any = connection.connection.driver_connection
    wrong = connection.dialect.loaded_dbapi.Error
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types(types)
            for row in rows:
                for name in small:  # of a larger number the driver would write the last four bytes, without a word
                    if not -INTEGER <= (row[name] or 0) < INTEGER:
                        raise OverflowError(f"{table.name}.{name} is out of range")
                copy.write_row(values(row))
    except wrong as error:
        raise DBAPIError.instance(statement, None, error, wrong, dialect=connection.dialect) from error


@functools.cache
def _copy(table: Table, names: tuple[str, ...]) -> tuple[str, list[str]]:
    """Return the COPY statement for these columns and the names of their types."""
    dialect: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    types = [re.split(r"\(| collate", table.c[name].type.compile(dialect).lower())[0] for name in names]
    return f"COPY {table.name} ({', '.join(names)}) FROM STDIN (FORMAT BINARY)", types


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Open a transaction; the database's own errors become JournalUnavailable."""
    with plainly(engine.url), engine.begin() as connection:
        yield connection


@contextmanager
def plainly(url: URL) -> Iterator[None]:
    """Turn the database's own errors into JournalUnavailable, one line, no password."""
    try:
        yield
    except (DataError, IntegrityError):
        raise  # a fault of this program, not of the database
    except json.JSONDecodeError as error:
        raise GatewayError(f"journal {masked(url)}: a row is damaged: {printable(str(error))[:200]}") from error
    except (DBAPIError, PoolTimeout, DisconnectionError) as error:
        if isinstance(error, ProgrammingError) and getattr(error.orig, "sqlstate", None) not in UNUSABLE:
            raise
        told = reason(url, error)
        unavailable = Bilingual(told, f"le journal n'est pas disponible : {told}")
        raise JournalUnavailable(unavailable) from error
    except StatementError as error:  # a value that the driver cannot take
        raise (error.orig or error) from error


@contextmanager
def stored(url: URL) -> Iterator[None]:
    """Turn what cannot be made of a stored value into one line: SQLite keeps any value in any column."""
    try:
        yield
    except UnicodeEncodeError:
        raise  # of an argument
    except (ValueError, TypeError, LookupError, AttributeError, InvalidOperation) as error:
        why = printable(f"{type(error).__name__}: {error}")[:200]
        raise GatewayError(f"journal {masked(url)}: a row is damaged, or this program cannot read it: {why}") from error


def lock(connection: Connection, key: int) -> None:
    """Let one transaction at a time go on; SQLite has but one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(LOCK, {"key": key})


def open_engine(url: str | URL, *, making: bool = False) -> Engine:
    """Return the engine for a database URL, set up for durability and for failing in time.

    `making` is for who makes or changes the tables: a missing SQLite file is made, and no statement is ended for its
    length.
    """
    try:
        return _engine(make_url(url), making=making)
    except (ArgumentError, ValueError, TypeError):  # what the library says of a URL may quote its password
        raise JournalUnavailable(
            "the database URL must be sqlite:///<file> or postgresql://<host>/<database>"
        ) from None


# A setting of a session that means nothing to PostgreSQL.
MARK = "gateway.session"


def _engine(parsed: URL, *, making: bool) -> Engine:
    kind = parsed.drivername.partition("+")[0]
    if kind in {"postgresql", "postgres"}:
        # A stalled worker must not hold the chain's lock; a migration may take hours.
        longest = "0" if making else "60s"
        options = f"-c lock_timeout={LOCK_SECONDS}s -c statement_timeout={longest}"
        options += f" -c idle_in_transaction_session_timeout={longest}"
        # A plan kept from when the tables were small goes through all of a table that has grown; a bitmap scan reads a
        # whole backlog, with all that is done, to give its first rows.
        options += " -c plan_cache_mode=force_custom_plan -c enable_bitmapscan=off -c jit=off"
        # Whatever the server's or the role's defaults: the driver reads times of one form only, and numbers are given
        # out under a lock, which an older view of the tables would make useless.
        options += r" -c DateStyle=ISO -c default_transaction_isolation=read\ committed"
        # What no server has by default, to see whether sessions keep what they set.
        options += f" -c {MARK}=kept"
        given = parsed.query.get("options", "")
        return create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            connect_args={
                "connect_timeout": 5,
                "client_encoding": "utf8",
                "options": f"{given} {options}" if isinstance(given, str) else options,
                "keepalives_idle": 5,
                "tcp_user_timeout": LOCK_SECONDS * 1000,
            },
        )
    file = parsed.database or ""
    if kind != "sqlite" or file in {"", ":memory:"} or not file.isprintable() or parsed.query:
        raise JournalUnavailable(f"{masked(parsed)}: the journal needs a SQLite file or PostgreSQL")
    patience = MIGRATING_SECONDS if making else LOCK_SECONDS
    engine = create_engine(parsed.set(drivername="sqlite+pysqlite"), connect_args={"timeout": patience})
    event.listen(engine, "do_connect", lambda *_: _make_file(parsed) if making else _has_file(parsed))
    event.listen(engine, "connect", functools.partial(_prepare_sqlite, Path(file)))
    event.listen(engine, "checkout", functools.partial(_is_the_same, Path(file)))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(path: Path, connection: Any, record: Any) -> None:
    """Make a SQLite connection durable; transactions begin where we say."""
    record.info["file"] = _file(path)
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _is_the_same(path: Path, _connection: Any, record: Any, _proxy: Any) -> None:
    """Let a connection go whose file is no longer the one at its path: what it wrote there would be lost."""
    if record.info.get("file") != _file(path):
        raise DisconnectionError


def _file(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another at the same path; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock at once where there will be writing: a lock taken halfway can only fail."""
    reading = connection.get_execution_options().get("gateway_reading")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def file_of(url: str | URL) -> Path | None:
    """Return the SQLite file that a URL names, None for a server."""
    parsed = make_url(url)
    return Path(parsed.database or "") if parsed.drivername.startswith("sqlite") else None


def has_file(url: URL) -> bool:
    """Tell whether there is something to connect to: for SQLite its file."""
    return not url.drivername.startswith("sqlite") or Path(url.database or "").exists()


def has_tables(connection: Connection) -> bool:
    """Tell whether the journal's tables are there."""
    return inspect(connection).has_table(audit.name)


def _has_file(url: URL) -> None:
    """Raise JournalUnavailable where there is no SQLite file: only making the tables makes one."""
    if not Path(url.database or "").exists():
        raise JournalUnavailable(f"journal {masked(url)}: there is no such file, so {NO_TABLES}")


def _make_file(url: URL) -> None:
    """Make a SQLite file that only its owner may read, if there is none yet."""
    path = Path(url.database or "")
    if path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        raise JournalUnavailable(f"{masked(url)}: {error.strerror}") from error


def masked(url: URL) -> str:
    """Return a URL without secrets, as it is written in the settings."""
    return mask(url.set(drivername=url.get_backend_name(), query={}).render_as_string(hide_password=False))


def reason(url: URL, error: SQLAlchemyError) -> str:
    """Return the one line that tells what is wrong with the database."""
    cause = str(getattr(error, "orig", None) or error)
    line = " ".join(cause.split())[:300]
    line = without_secrets(line, url.render_as_string(hide_password=False))
    if "no such table" in line or ("relation" in line and "does not exist" in line):
        line = NO_TABLES
    return f"journal {masked(url)}: {of_sqlite(line, Path(url.database or ''))}"
