"""A RabbitMQ and a PostgreSQL of our own, which a test may strike."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import kombu
import pytest
import sqlalchemy

from tests.conftest import absent
from tests.support.servers import Postgres, Rabbit


@contextmanager
def _server(kind: type[Rabbit] | type[Postgres]) -> Iterator[Rabbit | Postgres]:
    if kind.program is None:
        absent(f"{kind.name} is not installed")
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends the run lets it clean up
    with tempfile.TemporaryDirectory(prefix="gateway-") as folder, kind(Path(folder)) as one:
        yield one
    signal.signal(signal.SIGTERM, former)


@pytest.fixture(scope="module")
def _rabbit() -> Iterator[Rabbit]:
    with _server(Rabbit) as one:
        yield one  # type: ignore[misc]


@pytest.fixture
def rabbit(_rabbit: Rabbit) -> Iterator[Rabbit]:
    """Give a RabbitMQ of our own, without a queue, whatever the test before did to it."""
    if _rabbit.process is None or _rabbit.process.poll() is not None:
        _rabbit.start()
    yield _rabbit
    if _rabbit.process is None or _rabbit.process.poll() is not None:
        _rabbit.start()
    with kombu.Connection(_rabbit.url()) as connection:
        for queue in _rabbit.control("list_queues", "--no-table-headers", "name").split():
            connection.default_channel.queue_delete(queue)


@pytest.fixture(scope="module")
def _postgres() -> Iterator[Postgres]:
    with _server(Postgres) as one:
        yield one  # type: ignore[misc]


@pytest.fixture
def postgres(_postgres: Postgres) -> Iterator[Postgres]:
    """Give a PostgreSQL of our own, empty."""
    yield _postgres
    if _postgres.process is None or _postgres.process.poll() is not None:
        _postgres.start()
    engine = sqlalchemy.create_engine(_postgres.url(), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname IS NOT NULL"
        )
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    engine.dispose()
