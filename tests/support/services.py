"""Tells whether the broker and the database that the tests need answer; `.ci/run` asks before it starts."""

from __future__ import annotations

import sys

import kombu
import sqlalchemy

from tests.conftest import BROKER, DATABASE


def main() -> int:
    """Print one line for each service; return 0 if both answer."""
    missing = 0
    database = sqlalchemy.create_engine(DATABASE, connect_args={"connect_timeout": 3})
    broker = kombu.Connection(BROKER, connect_timeout=3)
    for name, url, connect in (
        ("RabbitMQ", broker.as_uri(), broker.connect),
        ("PostgreSQL", database.url.render_as_string(), database.connect),
    ):
        try:
            connect().close()
            print(f"{name} answers at {url}")
        except Exception as error:  # whatever it is, it is not there
            missing += 1
            print(f"{name} does not answer at {url}: {str(error).splitlines()[0]}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
