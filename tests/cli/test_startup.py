"""What is loaded for what: help and completion load no command, a check no database, queue or page."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from gateway.cli.main import SECTIONS
from tests.support.cli import COMMANDS, XML
from tests.support.way import HOME

NEVER = {
    "alembic", "amqp", "cryptography", "jinja2", "jsonschema", "kombu", "prometheus_client", "psycopg", "pydifact",
    "sqlalchemy", "structlog", "xmlschema",
}  # fmt: skip
HEAVY = NEVER | {"lxml", "msgspec", "rich"}

PROGRAM = """
import json, sys
sys.argv = ["gateway", *json.loads(sys.argv[1])]
try:
    from gateway.__main__ import main
    main()
except SystemExit as end:
    assert not end.code, end.code
finally:
    sys.stderr.write(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def loaded(*arguments: str, **variables: str) -> tuple[str, set[str]]:
    """Return what a command prints, and the top packages that it has imported."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(arguments)],
        cwd=HOME, env=os.environ | variables, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout, set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_what_says_what_there_is_loads_none_of_it(argument: str) -> None:
    told, packages = loaded(argument)
    assert told
    assert packages & HEAVY == set()


def test_completion_of_a_command_loads_none_of_it() -> None:
    shell = {"_GATEWAY_COMPLETE": "bash_complete", "COMP_WORDS": "gateway par", "COMP_CWORD": "1"}
    told, packages = loaded(**shell)
    assert told.split() == ["plain,parked", "plain,partner"]
    assert packages & HEAVY == set()


def test_a_file_is_checked_without_database_queue_and_pages() -> None:
    told, packages = loaded("check", XML)
    assert "accepted" in told
    assert packages & NEVER == set()


def test_the_list_of_commands_is_what_they_say_themselves() -> None:
    told = {name: line for commands in SECTIONS.values() for name, (_, line) in commands.items()}
    assert told == {name: command.get_short_help_str(200) for name, command in COMMANDS.items() if command}
    assert set(COMMANDS) == {command.name for command in COMMANDS.values() if command}


def test_every_reader_finds_a_section_in_the_help() -> None:
    told, _ = loaded("--help")
    for reader in SECTIONS:
        assert f"\n{reader}:\n" in told
