"""Who may import whom, and which library lives where; the reasons stand in docs/house.md."""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2]

GROUND = {"core"}
WAY = {*GROUND, "edifact", "parsers", "validators", "routing", "responses"}

# What each room may know beside itself; a room is a folder, in `gateway/` a folder or a file.
ROOMS: dict[str, set[str]] = {
    "core": set(),
    "edifact": GROUND,
    "parsers": {*GROUND, "edifact"},
    "validators": {*GROUND, "edifact", "parsers"},
    "routing": GROUND,
    "responses": {*GROUND, "edifact"},
    "gateway.logs": GROUND,
    "gateway.pages": GROUND,
    "gateway.settings": GROUND,
    "gateway.bells": set(),
    "gateway.journal": {*GROUND, "gateway.bells"},
    "gateway.queues": GROUND,
    "gateway.catalogue": WAY,
    "gateway.plans": WAY,
    "gateway.pipeline": {*WAY, "gateway.plans"},
}
ROOMS["gateway.files"] = {*GROUND, "gateway.journal", "gateway.queues", "gateway.settings"}
ROOMS["gateway.arrivals"] = {*WAY, "gateway.journal", "gateway.queues"}
ROOMS["gateway.senders"] = {"core", "gateway.journal"}
ROOMS["gateway.service"] = {
    "gateway.senders",
    *ROOMS["gateway.pipeline"],
    "gateway.pipeline",
    "gateway.arrivals",
    "gateway.journal",
    "gateway.queues",
    "gateway.logs",
}
ROOMS["gateway.engine"] = {*GROUND, "routing", "gateway.queues", "gateway.logs"}
ROOMS["gateway.vitals"] = set()
ROOMS["gateway.certificates"] = {*GROUND, "gateway.settings"}
ROOMS["gateway.figures"] = {
    *ROOMS["gateway.files"],
    "routing",
    "gateway.files",
    "gateway.senders",
    "gateway.service",
    "gateway.logs",
    "gateway.vitals",
    "gateway.certificates",
}
ROOMS["gateway.health"] = {*ROOMS["gateway.figures"], "gateway.figures"}
ROOMS["gateway.loops"] = {*ROOMS["gateway.service"], *ROOMS["gateway.health"], "gateway.service", "gateway.health"}
ROOMS["gateway.loops"] |= {"gateway.engine", "gateway.bells"}
ROOMS["gateway.supervisor"] = {*ROOMS["gateway.loops"], "gateway.loops"}
ROOMS["gateway.desk"] = {*WAY, "gateway.plans", "gateway.pipeline", "gateway.journal", "gateway.engine"}
ROOMS["gateway.desk"] |= {"gateway.pages", "gateway.settings", "gateway.catalogue", "gateway.senders"}
ROOMS["gateway.desk"] |= {"gateway.queues", "gateway.service", "gateway.loops", "gateway.logs"}
ROOMS["gateway.trade"] = {
    *ROOMS["gateway.supervisor"],
    *ROOMS["gateway.desk"],
    "gateway.desk",
    "gateway.supervisor",
    "gateway.catalogue",
}
ROOMS["gateway.web"] = {*ROOMS["gateway.trade"], "gateway.trade"}
ROOMS["gateway.cli"] = {*ROOMS["gateway.web"], "gateway.web"}
ROOMS["gateway.__main__"] = {"gateway.cli"}
ROOMS["gateway.__init__"] = set()

COMMAND_LINE = {"gateway/cli/*.py", "gateway/trade/smoke_report.py"}

# Each library's home: files by pattern.
HOMES: dict[str, set[str]] = {
    "kombu": {"gateway/queues/*.py"},
    "amqp": {"gateway/queues/*.py"},
    "sqlalchemy": {
        "gateway/journal/*.py",
        "gateway/journal/migrations/*.py",
        "gateway/journal/migrations/versions/*.py",
        "gateway/queues/store.py",
        "gateway/queues/embedded.py",
        "gateway/queues/transport.py",
    },
    "alembic": {
        "gateway/journal/schemas.py",
        "gateway/journal/migrations/*.py",
        "gateway/journal/migrations/versions/*.py",
    },
    "psycopg": set(),
    "sqlite3": {"gateway/queues/*.py"},
    "lxml": {"parsers/xml*.py", "parsers/cad_xml.py", "gateway/trade/writer.py"},
    "xmlschema": {"validators/schema.py", "gateway/trade/writer.py"},
    "pydifact": {"gateway/trade/writer.py"},
    "structlog": {"gateway/logs.py"},
    "cryptography": {"gateway/trade/signatures.py"},
    "logging": {"gateway/logs.py", "gateway/cli/*.py"},
    "click": COMMAND_LINE,
    "rich": COMMAND_LINE,
    "msgspec": {
        "core/*.py",
        "gateway/journal/codec.py",
        "gateway/trade/smoke.py",
        "gateway/trade/scenario.py",
        "routing/*.py",
        "gateway/web/*.py",
    },
    "jsonschema": {"routing/assessment.py"},
    "jinja2": {"gateway/trade/guide.py", "gateway/pages.py"},
    "markupsafe": {"gateway/trade/guide.py", "gateway/pages.py"},
    "prometheus_client": {"gateway/figures.py"},
    "starlette": {"gateway/web/*.py"},
    "uvicorn": {"gateway/web/serving.py"},
    "pebble": {"gateway/web/judging.py"},
    "argon2": {"gateway/web/users.py"},
    "authlib": {"gateway/web/openid.py"},
    "httpx2": {"gateway/web/openid.py"},
}


def files() -> list[Path]:
    return sorted(path for top in {room.partition(".")[0] for room in ROOMS} for path in (HOME / top).rglob("*.py"))


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


def room_of(dotted: str) -> str:
    """Return the room that a module, or a name in it, stands in."""
    parts = dotted.split(".")
    return ".".join(parts[:2]) if parts[0] == "gateway" else parts[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_room_knows_only_what_it_may(name: str) -> None:
    room = room_of(name.removesuffix(".py").replace("/", "."))
    ours = {each.partition(".")[0] for each in ROOMS}
    for imported in imports(HOME / name):
        if imported.partition(".")[0] in ours:
            assert room_of(imported) in {room, *ROOMS[room]}, f"{room} must not know {imported}"


def test_no_two_files_of_a_room_import_each_other() -> None:
    """Neither the rooms nor the files in them go round in circles, type annotations included."""
    modules = {name.removesuffix(".py").replace("/", ".").removesuffix(".__init__"): HOME / name for name in NAMES}
    reach = {
        name: {
            each for imported in imports(path) for each in (imported, imported.rpartition(".")[0]) if each in modules
        }
        - {name, name.rpartition(".")[0]}  # a package lists what is in it
        for name, path in modules.items()
    }

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way[way.index(name) :], name))
        if name not in done:
            for each in sorted(reach[name]):
                visit(each, (*way, name))
            done.add(name)

    done: set[str] = set()
    for name in modules:
        visit(name, ())


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
    assert {
        "core/register.py",
        "edifact/contrl.py",
        "gateway/plans.py",
        "parsers/cad_xml.py",
        "parsers/cad_edifact.py",
        "validators/rules.py",
        "routing/routes.py",
        "responses/respond.py",
    } <= seen


def test_parsing_calls_no_validator() -> None:
    """What parsing takes of the EDIFACT wing decides; what is wrong is told by validating."""
    for name in NAMES:
        if name.startswith("parsers/"):
            assert not [each for each in imports(HOME / name) if each.endswith((".explain", ".check_segment"))], name


def test_nothing_compiled_hangs_on_an_identity() -> None:
    """A cache of a module outlives the specification that it was filled from: what is compiled stands in the plans.

    Caches by plain values may be where they are: the days of moments, the patterns of service characters.
    """
    nodes = [(name, node) for name in NAMES for node in ast.walk(tree(HOME / name))]
    by_identity = {node.name for _, node in nodes if isinstance(node, ast.ClassDef) and not _is_by_value(node)}
    assert {"Calendar", "Pack", "Plans", "Structure", "Matchers"} <= by_identity
    found = [
        f"{name}: {node.name}"
        for name, node in nodes
        if isinstance(node, ast.FunctionDef)
        and any(re.search(r"\b(lru_)?cache\b", ast.unparse(each)) for each in node.decorator_list)
        and by_identity & set(re.findall(r"\w+", ast.unparse(node.args)))
    ]
    assert found == []


def _is_by_value(node: ast.ClassDef) -> bool:
    """Tell whether two alike of a class are equal: a dataclass that does not say otherwise, and what has a base."""
    decorators = [ast.unparse(each) for each in node.decorator_list]
    return bool(node.bases) or any("dataclass" in each and "eq=False" not in each for each in decorators)


def test_every_file_can_be_read_in_one_sitting() -> None:
    """The way in one file of under 250 lines, every other under 400, tests too."""
    tests = [str(path.relative_to(HOME)) for path in (HOME / "tests").rglob("*.py")]
    lines = {name: (HOME / name).read_text("utf-8").count("\n") for name in [*NAMES, *tests]}
    assert lines["gateway/pipeline.py"] < 250
    assert {name: count for name, count in lines.items() if count >= 400} == {}


def test_no_two_types_have_one_name() -> None:
    """Neither classes nor other names of types, shared or a room's own; what begins with _ is its file's own."""
    seen: dict[str, list[str]] = {}
    for name in NAMES:
        for node in tree(HOME / name).body:
            for each in _types_of(node):
                seen.setdefault(each, []).append(name)
    assert {each: names for each, names in seen.items() if len(names) > 1} == {}


def _types_of(node: ast.stmt) -> Iterator[str]:
    """Yield the names of types that a statement of a module gives: of a class, or `Name = type`, but for TypeVars."""
    if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
        yield node.name
    if isinstance(node, ast.Assign) and not ast.unparse(node.value).startswith("TypeVar("):
        names = (each.id for each in node.targets if isinstance(each, ast.Name))
        yield from (name for name in names if name[0].isupper() and not name.isupper())


@pytest.mark.parametrize("library", sorted(HOMES))
def test_every_library_has_its_home(library: str) -> None:
    for path in files():
        name = path.relative_to(HOME)
        if any(imported.split(".")[0] == library for imported in imports(path)):
            assert any(name.match(pattern) for pattern in HOMES[library]), f"{library} has no home in {name}"


def test_no_library_is_without_a_home() -> None:
    """What is imported is Python's own, one of ours, or a library with a home above."""
    known = sys.stdlib_module_names | {room.partition(".")[0] for room in ROOMS} | set(HOMES)
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
