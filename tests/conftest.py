"""Fixtures for tests that need a real broker or database; each test has its own names there, and nothing stays."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import amqp
import kombu
import pytest
import sqlalchemy
import structlog

from gateway.journal import Journal
from tests.support import effort as _effort  # noqa: F401  (loads the Hypothesis profile)
from tests.support import shortcuts

BROKER = os.environ.get("GATEWAY_TEST_BROKER_URL", "amqp://guest:guest@127.0.0.1:5672//")
DATABASE = os.environ.get("GATEWAY_TEST_DATABASE_URL", "postgresql+psycopg://127.0.0.1:5432/test")

shortcuts.take()


def pytest_collection_finish() -> None:
    """Let the garbage collector leave alone what is there from now on, and come less often: it takes a tenth of all."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


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


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """Start a process more than there are cores: a third of the tests' time they wait, for servers and for others."""
    return (yield) + 1


def _rabbitmqctl(*arguments: str, given: str | None = None) -> str | None:
    """Return what rabbitmqctl prints, None where it is absent or may not be used."""
    if urlsplit(BROKER).hostname not in {"127.0.0.1", "localhost"} or not shutil.which("rabbitmqctl"):
        return None
    done = subprocess.run(["rabbitmqctl", "-q", *arguments], input=given, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None


@pytest.fixture(scope="session")
def _declared() -> Iterator[set[str]]:
    """Give the names of all queues that this process has declared, as they come; asking RabbitMQ is slow."""
    names: set[str] = set()
    declare = amqp.Channel.queue_declare

    def declared(channel: amqp.Channel, queue: str = "", *arguments: Any, **options: Any) -> Any:
        names.add(queue)
        return declare(channel, queue, *arguments, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(amqp.Channel, "queue_declare", declared)
        yield names


@pytest.fixture(scope="session")
def _rabbitmq_vhost(_declared: set[str]) -> Iterator[tuple[str, str | None]]:
    """Give the broker's URL with a virtual host of this run's own; the URL as it is where none can be made.

    There is a user of the same name, who is no partner's.
    """
    try:
        with kombu.Connection(BROKER, connect_timeout=3) as connection:
            connection.connect()
            user = connection.userid
    except Exception as error:  # every client library has its own errors, and any of them means: not there
        absent(f"RabbitMQ does not answer at {kombu.Connection(BROKER).as_uri()}: {error}")
    vhost = f"gateway-test-{uuid.uuid4().hex[:12]}"
    may = {"vhost": vhost, "configure": ".*", "write": ".*", "read": ".*"}
    made = {
        "vhosts": [{"name": vhost}],
        "users": [{"name": vhost, "password": "secret", "tags": ""}],
        "permissions": [may | {"user": user}, may | {"user": vhost}],
    }
    # All at once: each call takes 0.4 s of processor time.
    if _rabbitmqctl("import_definitions", given=json.dumps(made)) is None:
        yield BROKER, None
        return
    parts = urlsplit(BROKER)
    yield parts._replace(path=f"/{vhost}").geturl(), vhost
    unknown = set(_queues(vhost)) - _declared
    _rabbitmqctl("delete_vhost", vhost)
    _rabbitmqctl("delete_user", vhost)
    assert not unknown, f"a test whose processes declare queues is not marked as slow, and left them: {unknown}"


@pytest.fixture
def shared_rabbitmq_url(_rabbitmq_vhost: tuple[str, str | None]) -> str:
    """Give a RabbitMQ URL for tests whose queues have names of their own; cheaper than `rabbitmq_url`."""
    return _rabbitmq_vhost[0]


@pytest.fixture
def rabbitmq_url(
    request: pytest.FixtureRequest, _rabbitmq_vhost: tuple[str, str | None], _declared: set[str]
) -> Iterator[str]:
    """Give a RabbitMQ URL whose virtual host holds no queue; the queues that the test makes go afterwards.

    Where rabbitmqctl cannot be used it is the URL as it is, so tests still choose names that nobody else has.
    """
    url, vhost = _rabbitmq_vhost
    yield url
    if vhost is None:
        return
    names = set(_declared)
    if request.node.get_closest_marker("slow"):  # its processes declare as well
        names.update(_queues(vhost))
    with kombu.Connection(url) as connection:
        for name in names:
            connection.default_channel.queue_delete(name)
    _declared.clear()


def _queues(vhost: str) -> list[str]:
    """Return the names of all queues of a virtual host."""
    return (_rabbitmqctl("list_queues", "-p", vhost, "--no-table-headers", "name") or "").split()


@pytest.fixture
def gateways_rabbitmq_url(rabbitmq_url: str, _rabbitmq_vhost: tuple[str, str | None]) -> str:
    """Give the same URL as of a user who is no partner's: no partner may log in as the gateway."""
    user = _rabbitmq_vhost[1]
    if user is None:
        absent("rabbitmqctl cannot be used here")
    split = urlsplit(rabbitmq_url)
    return split._replace(netloc=f"{user}:secret@{split.netloc.rpartition('@')[2]}").geturl()


@pytest.fixture(scope="session")
def _postgres_database() -> Iterator[sqlalchemy.URL]:
    """Give the URL of a database of this run's own."""
    server = sqlalchemy.create_engine(DATABASE, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 3})
    name = f"gateway_test_{uuid.uuid4().hex[:12]}"
    try:
        with server.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
            # As with SQLite in the shortcuts: only a power cut would tell.
            connection.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = off")
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
        if not shortcuts.put_by(connection):
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
