"""deploy/ and docs/install.md: units, image and compose file by parsers, secrets from files, the page's commands."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway import supervisor
from gateway.settings import from_environment
from tests.support.cli import one_line
from tests.support.desk import Run
from tests.support.way import HOME

UNITS, CONTAINER = HOME / "deploy/systemd", HOME / "deploy/container"
PAGE = (HOME / "docs/install.md").read_text("utf-8")
BROKER, DATABASE = "amqps://gateway:s%40cret@broker/%2F", "postgresql://gateway:secret@database/gateway"

# Every setting that there is, as the settings' own text has it.
SETTINGS = set(re.findall(r"GATEWAY_[A-Z_]+", (HOME / "gateway/settings.py").read_text("utf-8")))


def blocks() -> list[str]:
    return re.findall(r"^```\n(.*?)^```", PAGE, re.M | re.S)


# ------------------------------------------------------------------------------------------------ systemd


@pytest.mark.slow
def test_the_units_verify(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here")
    for unit in (*UNITS.glob("*.service"), *UNITS.glob("*.timer")):
        text = unit.read_text("utf-8").replace(
            "/opt/gateway/bin/gateway", str(Path(sys.executable).with_name("gateway"))
        )
        name = unit.name.replace("@.", "@purge.")
        (tmp_path / name).write_text(text, "utf-8")
        (tmp_path / unit.name).write_text(text, "utf-8")
    files = [str(path) for path in tmp_path.iterdir()]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *files], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_units_run_commands_that_there_are_and_give_the_loops_their_time(run: Run) -> None:
    started = set()
    for unit in UNITS.glob("*.service"):
        text = unit.read_text("utf-8")
        started |= set(re.findall(r"/opt/gateway/bin/gateway ([a-z-]+)", text))
        assert set(re.findall(r"GATEWAY_[A-Z_]+", text)) <= SETTINGS
    for timer in UNITS.glob("*.timer"):
        (unit,) = re.findall(r"^Unit=(.*)", timer.read_text("utf-8"), re.M)
        name, at, instance = unit.removesuffix(".service").partition("@")
        assert (UNITS / f"{name}{at}.service").exists()
        started |= {instance} if instance else set()
    assert started == {"serve", "backup", "purge", "verify-audit"}
    for command in started:
        assert run(command, "--help").exit_code == 0
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)", (UNITS / "gateway.service").read_text("utf-8"), re.M)
    assert int(seconds) > supervisor.STOP_SECONDS


def test_the_environment_file_has_settings_only() -> None:
    lines = [line for line in (UNITS / "gateway.env").read_text("utf-8").splitlines() if not line.startswith("#")]
    assert {line.partition("=")[0] for line in lines} <= SETTINGS
    assert not [line for line in lines if "URL" in line]


# ------------------------------------------------------------------------------------------------ containers


def instructions() -> Iterator[tuple[str, str]]:
    """Yield the instructions of the Containerfile."""
    text = re.sub(r"^#.*\n", "", (CONTAINER / "Containerfile").read_text("utf-8"), flags=re.M)
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, rest = line.partition(" ")
            yield name, rest.strip()


def test_the_image_is_built_from_what_is_there() -> None:
    read = list(instructions())
    known = {
        "FROM",
        "WORKDIR",
        "COPY",
        "RUN",
        "ENV",
        "USER",
        "EXPOSE",
        "STOPSIGNAL",
        "HEALTHCHECK",
        "ENTRYPOINT",
        "CMD",
    }
    assert {name for name, _ in read} <= known
    stages = {rest.split(" AS ")[1] for name, rest in read if name == "FROM" and " AS " in rest}
    for name, rest in read:
        if name == "RUN":
            assert subprocess.run(["sh", "-n", "-c", rest], check=False).returncode == 0
        if name == "COPY":
            *sources, _ = [word for word in rest.split() if not word.startswith("--")]
            stage = re.search(r"--from=(\w+)", rest)
            assert stage[1] in stages if stage else all((HOME / each).exists() for each in sources)
    assert [rest for name, rest in read if name == "USER"] == ["10001:10001"]
    assert [rest for name, rest in read if name in {"ENTRYPOINT", "CMD"}] == ['["gateway"]', '["serve"]']
    (variables,) = (rest for name, rest in read if name == "ENV")
    assert set(re.findall(r"GATEWAY_[A-Z_]+", variables)) <= SETTINGS


def test_the_image_gets_every_package_and_no_more() -> None:
    ignored = (CONTAINER / "Containerfile.dockerignore").read_text("utf-8").splitlines()
    taken = {line[1:] for line in ignored if line.startswith("!")}
    project = tomllib.loads((HOME / "pyproject.toml").read_text("utf-8"))
    wanted = project["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name.rstrip("*") for name in wanted} <= taken
    assert {"pyproject.toml", "requirements.lock", project["project"]["readme"], "LICENSE"} <= taken
    assert all((HOME / name).exists() for name in taken)
    assert not [name for name in taken if fnmatch(name, "tests*")]


@pytest.fixture
def composed() -> Any:
    return yaml.safe_load((CONTAINER / "compose.yaml").read_text("utf-8"))


def test_the_compose_file_names_only_what_it_has(composed: Any, tmp_path: Path) -> None:
    services, folder = composed["services"], CONTAINER
    assert set(composed) == {"name", "services", "volumes", "secrets"}
    for service in services.values():
        assert service["image"]
        for secret in service.get("secrets", ()):
            assert (secret if isinstance(secret, str) else secret["source"]) in composed["secrets"]
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source.startswith("./") or source in composed["volumes"]
        for name, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert services[name]["healthcheck"]["test"][0] == "CMD"
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:")
    build = services["gateway"]["build"]
    assert (folder / build["context"] / build["dockerfile"]).resolve() == CONTAINER / "Containerfile"
    assert set(services["gateway"]["environment"]) <= SETTINGS
    assert int(services["gateway"]["stop_grace_period"].rstrip("s")) > supervisor.STOP_SECONDS


def test_make_secrets_makes_what_the_compose_file_reads(
    composed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [str(CONTAINER / "make-secrets")]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0
    made = {path.name: path.read_text("utf-8") for path in (tmp_path / "secrets").iterdir()}
    assert {Path(secret["file"]).name for secret in composed["secrets"].values()} == set(made)
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    for name in ("broker", "database"):
        monkeypatch.setenv(f"GATEWAY_{name.upper()}_URL_FILE", str(tmp_path / f"secrets/{name}-url"))
    settings = from_environment()
    (password,) = re.findall(r"^default_pass = ([0-9a-f]{48})$", made["broker-user"], re.M)
    assert settings.broker_url == f"amqp://gateway:{password}@broker:5672/%2F"
    assert settings.database_url == f"postgresql://gateway:{made['database-password']}@database/gateway"
    assert {"broker", "database"} < set(composed["services"])
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stderr) == (1, "secrets: is there already\n")
    assert {path.name: path.read_text("utf-8") for path in (tmp_path / "secrets").iterdir()} == made


# ------------------------------------------------------------------------------------------------ secrets, TLS


def test_a_url_is_read_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, url in (("BROKER", BROKER), ("DATABASE", DATABASE)):
        (tmp_path / name).write_text(f"{url}\n", "utf-8")
        monkeypatch.delenv(f"GATEWAY_{name}_URL", raising=False)
        monkeypatch.setenv(f"GATEWAY_{name}_URL_FILE", str(tmp_path / name))
    settings = from_environment()
    assert (settings.broker_url, settings.database_url) == (BROKER, DATABASE)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (None, "No such file or directory"),
        (b"", "one line with the URL is wanted"),
        (b"secret\nsecret\n", "one line with the URL is wanted"),
        (b"secret\xff", "one line of UTF-8 is wanted"),
    ],
)
def test_a_file_without_a_url_is_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: bytes | None, reason: str
) -> None:
    if body is not None:
        (tmp_path / "url").write_bytes(body)
    monkeypatch.delenv("GATEWAY_DATABASE_URL", raising=False)
    monkeypatch.setenv("GATEWAY_DATABASE_URL_FILE", str(tmp_path / "url"))
    line = one_line(run("list"))
    assert f"GATEWAY_DATABASE_URL_FILE: {tmp_path}/url: {reason}" in line
    assert "secret" not in line


def test_two_words_on_one_url_are_refused(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_BROKER_URL", BROKER)
    monkeypatch.setenv("GATEWAY_BROKER_URL_FILE", str(tmp_path / "url"))
    assert "are both set" in one_line(run("check", HOME / "samples/originals"))


def test_doctor_names_a_tls_file_that_is_missing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "there.pem"
    there.touch()
    monkeypatch.setenv("GATEWAY_BROKER_URL", f"amqps://g:secret@127.0.0.1:1//?ssl_ca_certs={there}&ssl_keyfile=/no/key")
    monkeypatch.setenv(
        "GATEWAY_DATABASE_URL", "postgresql://g:secret@127.0.0.1:1/g?sslmode=verify-full&sslrootcert=/no/root.pem"
    )
    told = run("doctor").stdout
    assert "ssl_keyfile: /no/key: No such file or directory" in told
    assert "sslrootcert: /no/root.pem: No such file or directory" in told
    assert "there.pem" not in told
    assert "secret" not in told


# ------------------------------------------------------------------------------------------------ users, the page


def test_users_of_one_partner_and_the_virtual_host_of_the_url(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_BROKER_URL", "amqp://gateway:secret@127.0.0.1:1/customs?heartbeat=5")
    every, one = run("broker-users").stdout.splitlines(), run("broker-users", "--partner", "maple").stdout.splitlines()
    assert [line for line in every if " maple" in line] == one
    assert len(one) == 3
    assert all(" -p customs " in line for line in every if "set_" in line)
    assert " -p other " in run("broker-users", "--vhost", "other").stdout
    assert "there is no partner 'oak'" in one_line(run("broker-users", "--partner", "oak"))


def test_every_block_of_the_page_is_shell_urls_or_settings() -> None:
    for block in blocks():
        if not re.match(r"amqps:|postgresql:|auth_mechanisms", block):
            assert subprocess.run(["bash", "-n"], input=block, text=True, check=False).returncode == 0, block
    for name in re.findall(r"GATEWAY_[A-Z_]+", PAGE):
        assert name in SETTINGS | {"GATEWAY_COMPLETE"}
    for path in re.findall(r"deploy/[\w./-]*\w", PAGE):
        assert (HOME / path).exists(), path


def test_the_commands_of_the_page_that_are_ours_run(run: Run, tmp_path: Path) -> None:
    lines = [line for block in blocks() for line in block.splitlines()]
    for line in (line for line in lines if line.startswith("gateway ")):
        assert run(*shlex.split(line, comments=True)[1:]).exit_code == 0, line
    (init,) = (line for line in lines if "gateway init" in line)
    assert run(*shlex.split(init.replace("/etc/gateway", str(tmp_path / "etc")))[1:]).exit_code == 0
    given = {"GATEWAY_PARTNERS", "GATEWAY_SPECS"}
    for line in (UNITS / "gateway.env").read_text("utf-8").splitlines():
        name, _, value = line.partition("=")
        if name in given:
            assert (tmp_path / value.replace("/etc/gateway", "etc")).exists()


@pytest.mark.slow
def test_completion_is_written_as_the_page_says(tmp_path: Path) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    lines = [line for block in blocks() for line in block.splitlines() if line.startswith("_GATEWAY_COMPLETE")]
    assert len(lines) == 3
    for line in lines:
        subprocess.run(["bash", "-c", line], cwd=tmp_path, env=environment, check=True)
    assert "complete" in (tmp_path / "gateway.bash").read_text("utf-8")
    assert all(path.stat().st_size for path in tmp_path.iterdir())
