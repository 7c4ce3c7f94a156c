"""The clients under samples/clients, as a partner runs them: on RabbitMQ, with a partner's own user and rights."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import absent
from tests.support.house import House, house
from tests.support.way import SAMPLES
from tests.way import test_identity
from tests.way.test_identity import Town

pytestmark = [pytest.mark.broker, pytest.mark.slow]

town, town_with_users = test_identity.town, test_identity.town_with_users  # the fixtures

CLIENTS = SAMPLES / "clients"
JARS = [Path("/usr/share/java") / name for name in ("amqp-client.jar", "slf4j-api.jar")]


def in_java() -> list[str]:
    if not shutil.which("java") or not all(jar.exists() for jar in JARS):
        absent("the Java client needs a JDK and Debian's librabbitmq-client-java")
    return ["java", "-cp", os.pathsep.join(map(str, JARS)), str(CLIENTS / "Client.java")]


def in_python() -> list[str]:
    return [sys.executable, str(CLIENTS / "client.py")]


@pytest.fixture
def gateway(town: Town, tmp_path: Path) -> Iterator[House]:
    """A gateway on RabbitMQ, logged in as its own user."""
    with house(tmp_path, town.partners, broker_url=town.url_of("gateway")) as opened:
        opened.engines = {f"gateway-{town.suffix}"}
        yield opened


@pytest.mark.parametrize("client", [in_python, in_java])
@pytest.mark.parametrize(
    ("file", "answers"),
    [
        ("originals/ab-two-lines.edi", ["receipt", "contrl", "accepted", "assessed"]),
        ("refused/no-authority.xml", ["receipt", "refused"]),
    ],
)
def test_a_client_of_thirty_lines_sends_and_reads_its_answers(
    town: Town, gateway: House, client: object, file: str, answers: list[str]
) -> None:
    partner = "maple" if file.endswith(".edi") else "erable"
    command = [*client(), town.url_of(partner), partner, str(SAMPLES / file)]  # type: ignore[operator]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        while running.poll() is None:
            gateway.settle_down()
        said, complaint = running.communicate()
    assert running.returncode == 0, complaint
    found = [line.partition(": ")[0] for line in said.splitlines() if line.partition(": ")[0] in answers]
    assert sorted(found) == sorted(answers)
    assert gateway.broker.depth(f"out.{partner}") == 0, "everything was acknowledged"


@pytest.mark.parametrize("client", [in_python, in_java])
def test_a_client_says_so_when_it_may_not_send(town: Town, gateway: House, client: object) -> None:
    """Érable's user may not publish with maple's routing key."""
    command = [*client(), town.url_of("erable"), "maple", str(SAMPLES / "originals/ab-two-lines.edi")]  # type: ignore[operator]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "ACCESS_REFUSED" in done.stderr + done.stdout
    assert gateway.receive() == 0


def test_each_client_is_some_thirty_lines() -> None:
    lengths = {path.name: len(path.read_text("utf-8").splitlines()) for path in CLIENTS.iterdir() if path.is_file()}
    assert set(lengths) == {"client.py", "Client.java", "Client.cs", "http_client.py"}
    assert max(lengths.values()) <= 45
