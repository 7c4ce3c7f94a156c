"""Who may import whom, and which library lives where; the reasons stand in docs/house.md."""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HOME = Path(__file__).parents[1]
ROOMS = ("core", "edifact", "gateway", "parsers", "validators", "routing", "responses")

# What every room may know: the values, their errors and limits, and the specification with what it is made of.
COMMON = {"model", "errors", "limits", "specs", "directory", "written", "calendar"}

# The pure way: what it imports must not lead to a clock's, a queue's or a database's door.
PURE = {"pipeline", *COMMON}

COMMAND_LINE = {"gateway/cli/*.py", "gateway/trade/smoke_report.py"}

# Each library's home: files by pattern.
HOMES: dict[str, set[str]] = {
    "kombu": {"gateway/queues/*.py"},
    "amqp": {"gateway/queues/*.py"},
    "sqlalchemy": {
        "gateway/journal/*.py",
        "gateway/queues/*.py",
        "gateway/journal/migrations/*.py",
        "gateway/journal/migrations/versions/*.py",
    },
    "alembic": {
        "gateway/journal/database.py",
        "gateway/journal/migrations/*.py",
        "gateway/journal/migrations/versions/*.py",
    },
    "psycopg": set(),
    "sqlite3": {"gateway/queues/*.py"},
    "lxml": {"parsers/xml*.py", "parsers/cad_xml.py", "gateway/trade/writer.py"},
    "xmlschema": {"validators/schema.py", "gateway/trade/writer.py"},
    "pydifact": {"gateway/trade/writer.py"},
    "structlog": {"gateway/logs.py"},
    "logging": {"gateway/logs.py", "gateway/cli/*.py"},
    "click": COMMAND_LINE,
    "rich": COMMAND_LINE,
    "msgspec": {"core/loading.py", "gateway/trade/smoke.py", "gateway/trade/scenario.py", "routing/*.py"},
    "jsonschema": {"routing/assessment.py"},
    "jinja2": {"gateway/trade/guide.py", "gateway/pages.py"},
    "markupsafe": {"gateway/trade/guide.py", "gateway/pages.py"},
    "prometheus_client": {"gateway/health.py"},
}


def files() -> list[Path]:
    return sorted(path for room in ROOMS for path in (HOME / room).rglob("*.py"))


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@functools.cache
def imports(path: Path) -> tuple[str, ...]:
    """Return the full names of what a file imports, `from a import b` as a.b."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written in full"
            yield from (f"{node.module}.{each.name}" for each in node.names)


NAMES = [path.relative_to(HOME).as_posix() for path in files()]


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("gateway/")])
def test_a_room_knows_itself_and_what_is_common(name: str) -> None:
    room = name.partition("/")[0]
    for imported in imports(HOME / name):
        first, _, rest = imported.partition(".")
        if first in ROOMS and first != room:
            assert first == "gateway", f"{room} must not know {first}"
            assert rest.partition(".")[0] in COMMON, f"{room} must not know {imported}"


@pytest.mark.parametrize("name", sorted(COMMON - {"calendar"}))
def test_what_is_common_knows_no_room(name: str) -> None:
    for imported in imports(HOME / f"gateway/{name}.py"):
        first, _, rest = imported.partition(".")
        assert first not in ROOMS or (first == "gateway" and rest.partition(".")[0] in COMMON), imported


def test_the_way_is_pure() -> None:
    """No clock, no queue, no database: neither the pipeline nor what it imports, all the way down."""
    seen: set[str] = set()
    todo = ["gateway/pipeline.py"]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        for imported in imports(HOME / name):
            parts = imported.split(".")
            assert parts[0] not in {"kombu", "sqlalchemy", "sqlite3", "socket", "subprocess", "threading", "time"}, name
            assert parts[0] not in {"random", "uuid", "secrets"}, f"{name}: the same bytes give the same outcome"
            paths = ["/".join(parts[:depth]) for depth in (1, 2)]
            todo += [each for path in paths for each in (f"{path}.py", f"{path}/__init__.py") if each in NAMES]
        text = (HOME / name).read_text("utf-8")
        assert not [each for each in (".now(", "today()") if each in text], f"{name} asks the clock"
    assert not {"gateway/journal/__init__.py", "gateway/broker.py", "gateway/service.py", "gateway/logs.py"} & seen
    assert {
        "parsers/cad_xml.py",
        "parsers/cad_edifact.py",
        "validators/rules.py",
        "routing/routes.py",
        "edifact/contrl.py",
    } <= seen


def test_only_the_service_sees_both_worlds() -> None:
    """Nobody but the edge knows the way and the queue at once: what calls the pipeline does not also fetch letters."""
    journal = sorted((HOME / "gateway/journal").glob("*.py"))
    others = [HOME / f"gateway/{name}.py" for name in ("broker", "transports", "tables", "audit", "codec")]
    assert journal
    for path in (*journal, *others):
        for imported in imports(path):
            assert not imported.startswith(("parsers", "validators", "responses", "gateway.pipeline")), (path, imported)
    for path in journal:
        for imported in imports(path):
            assert not imported.startswith(("gateway.broker", "gateway.transports")), (path, imported)
    for imported in imports(HOME / "gateway/broker.py"):
        assert not imported.startswith(("gateway.journal", "gateway.tables"))


@pytest.mark.parametrize("library", sorted(HOMES))
def test_every_library_has_its_home(library: str) -> None:
    for path in files():
        name = path.relative_to(HOME)
        if any(imported.split(".")[0] == library for imported in imports(path)):
            assert any(name.match(pattern) for pattern in HOMES[library]), f"{library} has no home in {name}"


def test_no_library_is_without_a_home() -> None:
    """What is imported is Python's own, one of ours, or a library with a home above."""
    known = sys.stdlib_module_names | set(ROOMS) | set(HOMES)
    foreign = {imported.split(".")[0] for path in files() for imported in imports(path)} - known
    assert foreign == set()


def test_the_specification_is_data() -> None:
    assert [*(HOME / "eccrd_specs").rglob("*.py")] == []


def test_nothing_executes_text() -> None:
    for path in files():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec", "__import__"}, path
        assert not {"pickle", "marshal", "shelve"} & {each.split(".")[0] for each in imports(path)}, path
