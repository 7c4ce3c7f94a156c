"""The built wheel, installed beside its declared dependencies and nothing else, works from any folder.

The dependencies come from the environment that runs the tests, so no network is needed.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from importlib.metadata import Distribution
from pathlib import Path

import httpx2
import pytest
from packaging.requirements import Requirement

from tests.support.way import HOME

# What of a checkout is no source: environments, caches, what was built or run there.
NO_SOURCE = shutil.ignore_patterns(".*", "build", "run", "__pycache__", "*.egg-info")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def _pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _closure(needed: list[str]) -> dict[str, Distribution]:
    """Return the distributions that these requirements bring into an environment, by name."""
    found: dict[str, Distribution] = {}
    todo = [(Requirement(line), "") for line in needed]
    seen: set[tuple[str, str]] = set()
    while todo:
        wanted, extra = todo.pop()
        if wanted.marker and not wanted.marker.evaluate({"extra": extra}):
            continue
        found[wanted.name] = importlib.metadata.distribution(wanted.name)
        for name in ("", *wanted.extras):
            if (wanted.name, name) not in seen:
                seen.add((wanted.name, name))
                todo += [(Requirement(line), name) for line in found[wanted.name].requires or ()]
    return found


def _lend(distribution: Distribution, site: Path) -> None:
    """Link a distribution's files into another environment's site-packages."""
    for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
        if not (site / top).exists():
            (site / top).symlink_to(Path(str(distribution.locate_file(top))).resolve())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of a copy of the sources, so that nothing that an earlier build left gets in."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(HOME, folder / "source", ignore=NO_SOURCE)
    _pip("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, folder / "source")
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Install the wheel into an environment that has what it declares, and nothing else."""
    home = tmp_path_factory.mktemp("installed") / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    _pip("--python", home / "bin" / "python", "install", "--quiet", "--no-index", "--no-deps", wheel)
    (site,) = home.glob("lib/python*/site-packages")
    (metadata,) = site.glob("cad_gateway-*.dist-info")
    for distribution in _closure(importlib.metadata.PathDistribution(metadata).requires or []).values():
        _lend(distribution, site)
    yield home
    shutil.rmtree(home)


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Callable[..., str]:
    """Give a function that runs the installed `gateway` in an empty folder and returns what it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "PYTHON"))}

    def command(*arguments: str, code: int = 0, program: str = "gateway") -> str:
        command = [installed / "bin" / program, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    return command


def test_the_wheel_has_our_data_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
    data = {
        path.relative_to(HOME).as_posix()
        for folder in ("eccrd_specs", "samples", "gateway", "routing")
        for path in (HOME / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and "hostile" not in path.parts
    }
    assert data - names == set()
    assert {name.split("/")[0] for name in names} & {"tests", "benchmarks", "docs"} == set()


def test_what_runs_is_the_wheel(run: Callable[..., str], installed: Path) -> None:
    places = (
        "import core, edifact, gateway, parsers, validators, routing, responses as r; from gateway.settings import *"
    )
    said = run("-c", f"{places}; print(*(m.__file__ for m in (core, edifact, gateway, r)), SPECS)", program="python")
    assert all(Path(place).is_relative_to(installed.resolve()) for place in said.split())


def test_the_wheel_is_usable_from_any_folder(run: Callable[..., str], installed: Path, tmp_path: Path) -> None:
    """It had no routing tables and no specification inside; the command line failed at import."""
    version = tomllib.loads((HOME / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert run("--version") == f"gateway, version {version}\n"
    assert str(installed.resolve()) in run("doctor", "--declare")
    assert "refused" in run("check", str(HOME / "samples/refused/no-authority.xml"), code=1)
    assert "accepted" in run("check", str(HOME / "samples/originals/ab-two-lines.edi"))
    assert "CAD-0101" in run("rules")
    assert "CAD-0101" in run("explain", "CAD-0101")
    assert "refused" in run("explain", str(HOME / "samples/refused/many-faults.edi"), code=1)
    run("samples", "make", "--out", "made", "--count", "2")
    assert len(list((tmp_path / "made").iterdir())) > 2
    run("guide", "--out", "pages")
    assert (tmp_path / "pages/index.html").exists()
    assert "passed" in run("smoke")


def test_the_demonstration_runs_from_the_wheel(run: Callable[..., str], tmp_path: Path) -> None:
    assert "of 25 samples met" in run("-m", "gateway.cli.demo", program="python")
    assert (tmp_path / "run/demo/answers").is_dir()


def test_the_trial_page_opens_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "PYTHON"))}
    command = [installed / "bin/gateway", "web", "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout
            found = re.search(r"http://[^/ ]+", started.stdout.readline())
            assert found
            with httpx2.Client(base_url=found[0], timeout=60) as client:
                for path in ("/", "/trial", "/static/style.css", "/static/htmx.min.js", "/static/icon.svg", "/api"):
                    assert client.get(path).status_code == 200, path
                body = (HOME / "samples/refused/many-faults.edi").read_bytes()
                assert "CAD-0101" in client.post("/trial", files={"file": ("a", body)}).text
        finally:
            started.terminate()
    assert list(tmp_path.iterdir()) == []
