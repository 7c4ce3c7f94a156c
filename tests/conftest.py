"""Fixtures for tests that need a real broker or database; each test has its own names there, and nothing stays."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import kombu
import pytest
import sqlalchemy
import structlog

from gateway import plans
from gateway.journal import Journal
from gateway.settings import HOME
from tests.support import effort as _effort  # noqa: F401  (loads the Hypothesis profile)

BROKER = os.environ.get("GATEWAY_TEST_BROKER_URL", "amqp://guest:guest@127.0.0.1:5672//")
DATABASE = os.environ.get("GATEWAY_TEST_DATABASE_URL", "postgresql+psycopg://127.0.0.1:5432/test")

OURS = (HOME / "eccrd_specs").resolve()
_prepare = plans.prepare
_ours = functools.cache(lambda: _prepare(OURS))


def _prepared(root: Path, *routes: Path) -> plans.Plans:
    """Prepare the project's own specification once for all tests of a process, commands run in it included."""
    return _ours() if root.resolve() == OURS and not routes else _prepare(root, *routes)


plans.prepare = _prepared


@pytest.fixture(autouse=True)
def _log_of_its_own() -> Iterator[None]:
    """Let no test log to the standard error that an earlier one had."""
    yield
    structlog.reset_defaults()


def absent(reason: str) -> None:
    """Skip on a developer's machine; in CI a missing broker or database must not look like a pass."""
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(reason)
    pytest.skip(reason)


def _rabbitmqctl(*arguments: str) -> str | None:
    """Return what rabbitmqctl prints, None where it is absent or may not be used."""
    if urlsplit(BROKER).hostname not in {"127.0.0.1", "localhost"} or not shutil.which("rabbitmqctl"):
        return None
    done = subprocess.run(["rabbitmqctl", "-q", *arguments], capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None


@pytest.fixture(scope="session")
def _rabbitmq_vhost() -> Iterator[tuple[str, str | None]]:
    """Give the broker's URL with a virtual host of this run's own; the URL as it is where none can be made."""
    try:
        with kombu.Connection(BROKER, connect_timeout=3) as connection:
            connection.connect()
            user = connection.userid
    except Exception as error:  # every client library has its own errors, and any of them means: not there
        absent(f"RabbitMQ does not answer at {kombu.Connection(BROKER).as_uri()}: {error}")
    vhost = f"gateway-test-{uuid.uuid4().hex[:12]}"
    if _rabbitmqctl("add_vhost", vhost) is None:
        yield BROKER, None
        return
    _rabbitmqctl("set_permissions", "-p", vhost, user, ".*", ".*", ".*")
    parts = urlsplit(BROKER)
    yield parts._replace(path=f"/{vhost}").geturl(), vhost
    _rabbitmqctl("delete_vhost", vhost)


@pytest.fixture
def shared_rabbitmq_url(_rabbitmq_vhost: tuple[str, str | None]) -> str:
    """Give a RabbitMQ URL for tests whose queues have names of their own; half a second cheaper than `rabbitmq_url`."""
    return _rabbitmq_vhost[0]


@pytest.fixture
def rabbitmq_url(_rabbitmq_vhost: tuple[str, str | None]) -> Iterator[str]:
    """Give a RabbitMQ URL whose virtual host holds no queue; the queues that the test makes go afterwards.

    Where rabbitmqctl cannot be used it is the URL as it is, so tests still choose names that nobody else has.
    """
    url, vhost = _rabbitmq_vhost
    yield url
    queues = _rabbitmqctl("list_queues", "-p", vhost, "--no-table-headers", "name") if vhost else None
    if queues:
        with kombu.Connection(url) as connection:
            for queue in queues.split():
                connection.default_channel.queue_delete(queue)


@pytest.fixture
def gateways_rabbitmq_url(rabbitmq_url: str) -> Iterator[str]:
    """Give the same URL as of a user who is no partner's: no partner may log in as the gateway."""
    split, user = urlsplit(rabbitmq_url), f"gateway-{uuid.uuid4().hex[:12]}"
    vhost = unquote(split.path.removeprefix("/"))
    if _rabbitmqctl("add_user", user, "secret") is None:
        absent("rabbitmqctl cannot be used here")
    _rabbitmqctl("set_permissions", "-p", vhost, user, ".*", ".*", ".*")
    host = split.netloc.rpartition("@")[2]
    yield split._replace(netloc=f"{user}:secret@{host}").geturl()
    _rabbitmqctl("delete_user", user)


@pytest.fixture(scope="session")
def _postgres_database() -> Iterator[sqlalchemy.URL]:
    """Give the URL of a database of this run's own."""
    server = sqlalchemy.create_engine(DATABASE, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 3})
    name = f"gateway_test_{uuid.uuid4().hex[:12]}"
    try:
        with server.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
    except sqlalchemy.exc.SQLAlchemyError as error:
        absent(f"PostgreSQL does not answer at {server.url!r}: {str(error).splitlines()[0]}")
    yield server.url.set(database=name)
    with server.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    server.dispose()


@pytest.fixture
def postgres_url(_postgres_database: sqlalchemy.URL) -> Iterator[str]:
    """Give the SQLAlchemy URL of an empty PostgreSQL database; it is emptied afterwards, whoever is still connected."""
    yield _postgres_database.render_as_string(hide_password=False)
    server = sqlalchemy.create_engine(_postgres_database, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    server.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.broker)])
def journal_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/journal.sqlite3"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def journal(journal_url: str) -> Iterator[Journal]:
    """Give an empty journal on each kind of database."""
    opened = Journal.open(journal_url)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def raw(journal: Journal, journal_url: str) -> Iterator[sqlalchemy.Engine]:
    """Give the journal's database by another door, as somebody who tampers with it has it."""
    engine = sqlalchemy.create_engine(journal_url)
    yield engine
    engine.dispose()
