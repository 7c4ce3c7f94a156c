"""The exchange as it is run: `gateway web --exchange` beside `gateway serve`, the sample client, kill -9, RabbitMQ."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli.main import main
from gateway.queues import Letter, open_broker
from tests.support.exchange import TOKENS, with_tokens
from tests.support.house import House, house
from tests.support.way import SAMPLES
from tests.way import test_identity
from tests.way.test_identity import Town, refused

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

town, town_with_users = test_identity.town, test_identity.town_with_users  # the fixtures

GATEWAY = Path(sys.executable).with_name("gateway")


class Web:
    """A running `gateway web --exchange`."""

    def __init__(self, process: subprocess.Popen[bytes], address: str) -> None:
        self.process, self.address = process, address

    def ask(self, name: str, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {TOKENS[name]}", "Content-Type": "application/octet-stream"}
        request = urllib.request.Request(self.address + path, body, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as refusal:
            return refusal.code, json.loads(refusal.read())

    def read(self, name: str, wait: int = 20) -> tuple[list[str], str]:
        code, read = self.ask(name, "GET", f"/api/answers?wait={wait}")
        assert code == 200, read
        return [each["id"] for each in read["answers"]], read["cursor"]

    def acknowledge(self, name: str, cursor: str) -> int:
        return self.ask(name, "POST", "/api/answers/ack", json.dumps({"cursor": cursor}).encode())[0]


@contextmanager
def web(environment: dict[str, str]) -> Iterator[Web]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    given = os.environ | {"GATEWAY_LOG": "json"} | environment
    command = [str(GATEWAY), "web", "--exchange", "--port", str(port)]
    with subprocess.Popen(command, env=given, stderr=subprocess.DEVNULL) as process:
        site = Web(process, f"http://127.0.0.1:{port}")
        try:
            while True:
                assert process.poll() is None, "it does not serve"
                with suppress(OSError):
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                time.sleep(0.1)
            yield site
        finally:
            process.kill()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[House]:
    from routing.partners import load_partners

    with house(tmp_path, load_partners(with_tokens(tmp_path))) as opened:
        yield opened


def environment(folder: Path) -> dict[str, str]:
    return {
        "GATEWAY_BROKER_URL": f"sqlite:///{folder}/queue.db",
        "GATEWAY_DATABASE_URL": f"sqlite:///{folder}/gateway.sqlite3",
        "GATEWAY_PARTNERS": f"{folder}/partners.toml",
    }


def run_client(address: str, file: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SAMPLES / "clients/http_client.py"), address, str(SAMPLES / file)]
    given = os.environ | {"EXCHANGE_TOKEN": TOKENS["maple"]}
    return subprocess.run(command, env=given, capture_output=True, text=True, timeout=120, check=False)


def kinds_printed(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return re.findall(r"^(receipt|contrl|accepted|assessed|refused): ", done.stdout, re.M)


def test_the_sample_client_beside_the_running_gateway(tmp_path: Path) -> None:
    with_tokens(tmp_path)
    given = os.environ | {"GATEWAY_LOG": "json"} | environment(tmp_path)
    serve = [str(GATEWAY), "serve", "--with-reference-engine"]
    with subprocess.Popen(serve, env=given, stderr=subprocess.DEVNULL) as serving:
        try:
            with web(environment(tmp_path)) as site:
                assert kinds_printed(run_client(site.address, "originals/ab-two-lines.edi")) == [
                    "receipt", "contrl", "accepted", "assessed",
                ]  # fmt: skip
                assert site.read("maple", wait=0)[0] == [], "all was acknowledged"
        finally:
            serving.terminate()
            serving.wait(60)


def test_a_web_process_that_is_killed_loses_nothing(tmp_path: Path, gateway: House) -> None:
    """Two at a time, one killed between read and acknowledgement: the other gives the same answers out."""
    gateway.broker.publish([Letter(f"{n}", "out.maple", "", b"x") for n in range(3)])
    with web(environment(tmp_path)) as first, web(environment(tmp_path)) as second:
        read, cursor = first.read("maple")
        assert read == ["0", "1", "2"]
        first.process.kill()
        first.process.wait()
        assert second.acknowledge("maple", cursor) == 409
        read, cursor = second.read("maple")
        assert read == ["0", "1", "2"]
        assert second.acknowledge("maple", cursor) == 200
        assert second.read("maple", wait=0)[0] == []
    assert gateway.answers("maple") == []


# ------------------------------------------------------------------------------------------------ on RabbitMQ


def door_of(town: Town, folder: Path) -> Path:
    """Give maple a token, and let `gateway broker-users` make the door's user; return the partners' file."""
    text = with_tokens(folder).read_text("utf-8")
    for name in ("maple", "erable"):
        text = text.replace(f'id = "{name}"\n', f'id = "{name}"\nuser = "{name}-{town.suffix}"\n')
    text = text.replace("[gateway]\n", f'[gateway]\nexchange_user = "door-{town.suffix}"\n')
    file = folder / "partners.toml"
    file.write_text(re.sub(r'(?<="erable-)(.*\n)token_hashes.*\n', r"\1", text), "utf-8")
    return file


@pytest.fixture
def doors(town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    file = door_of(town, tmp_path)
    monkeypatch.setenv("GATEWAY_PARTNERS", str(file))
    told = CliRunner().invoke(main, ["broker-users", "--vhost", town.vhost]).output
    lines = [line.split(None, 1)[1] for line in told.splitlines() if f"door-{town.suffix}" in line]
    assert len(lines) == 3
    with ExitStack() as afterwards:
        user = f"door-{town.suffix}"
        afterwards.callback(
            subprocess.run, ["rabbitmqctl", "-q", "delete_user", user], capture_output=True, check=False
        )
        for line in lines:
            shell = f"rabbitmqctl -q {line}{' secret' if 'add_user' in line else ''}"
            subprocess.run(shell, shell=True, capture_output=True, check=True)  # noqa: S602 - as an operator does
        yield file


@pytest.mark.broker
def test_on_rabbitmq_the_door_vouches_for_partners_with_a_token_and_nobody_else_does(
    town: Town, doors: Path, tmp_path: Path
) -> None:
    from routing.partners import load_partners

    partners = load_partners(doors)
    assert (bool(partners["maple"].door), bool(partners["erable"].door)) == (True, False)
    with house(tmp_path, partners, broker_url=town.url_of("gateway")) as gateway:
        gateway.engines, gateway.wait = {f"gateway-{town.suffix}"}, 0.3
        given = environment(tmp_path) | {"GATEWAY_BROKER_URL": town.url_of("door"), "GATEWAY_PARTNERS": str(doors)}
        with gateway.at_work(), web(given) as site:
            assert kinds_printed(run_client(site.address, "originals/ab-two-lines.edi")) == [
                "receipt", "contrl", "accepted", "assessed",
            ]  # fmt: skip
            assert site.ask("erable", "GET", "/api/answers")[0] == 401
        with open_broker(town.url_of("door")) as door:
            refused(lambda: door.publish([Letter("x", "in.erable", "", b"UNB")]))
            refused(lambda: door.take("out.erable", 1))
            refused(lambda: door.take("in.maple", 1))
        # Érable's own user, with the door's name or its own, by maple's queue; and the gateway's by maple's.
        body = (SAMPLES / "originals/ab-two-lines.edi").read_bytes()
        refused(lambda: town.publish("erable", body, user_id=f"door-{town.suffix}"))
        refused(lambda: town.publish("maple", body, user_id=f"door-{town.suffix}"))
        town.publish("gateway", body, user_id=f"gateway-{town.suffix}", message_id="forged")
        # A door that an operator gave too much: it is not believed for who has no token.
        publish_as = {"routing_key": "in.erable", "user_id": f"gateway-{town.suffix}", "message_id": "2"}
        town.publish("gateway", body, **publish_as)
        gateway.settle_down()
        told = [f["code"] for each in gateway.journal.list_messages(channel="partner") for f in each["findings"]]
        assert told.count("GTW-0013") == 2


@pytest.mark.broker
def test_on_rabbitmq_answers_come_again_after_kill_9_and_after_the_broker_cut_the_connection(
    town: Town, doors: Path, tmp_path: Path
) -> None:
    from routing.partners import load_partners

    given = environment(tmp_path) | {"GATEWAY_BROKER_URL": town.url_of("door"), "GATEWAY_PARTNERS": str(doors)}
    names = [f"{n}" for n in range(5)]
    with house(tmp_path, load_partners(doors), broker_url=town.url_of("gateway")) as gateway:
        gateway.broker.publish([Letter(each, "out.maple", "", b"x") for each in names])
        with web(given) as first:
            assert first.read("maple")[0] == names
            first.process.kill()
            first.process.wait()
        with web(given) as second:
            read, cursor = second.read("maple")
            assert read == names
            cut(town)
            assert second.acknowledge("maple", cursor) in {409, 503}
            deadline = time.monotonic() + 60
            while (asked := second.ask("maple", "GET", "/api/answers?wait=20"))[
                0
            ] == 503 and time.monotonic() < deadline:
                time.sleep(0.5)
            assert [each["id"] for each in asked[1]["answers"]] == names
            assert second.acknowledge("maple", asked[1]["cursor"]) == 200
            assert second.ask("maple", "POST", "/api/messages", b"UNB")[0] == 202, "it publishes again, too"
        gateway.wait = 0.5
        assert gateway.answers("maple") == []


def cut(town: Town) -> None:
    """Have the broker close the door's connections, as it does when it stops."""
    listed = subprocess.run(
        ["rabbitmqctl", "-q", "list_connections", "--no-table-headers", "pid", "user"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    for line in listed.stdout.splitlines():
        pid, _, user = line.partition("\t")
        if user.strip() == f"door-{town.suffix}":
            subprocess.run(["rabbitmqctl", "-q", "close_connection", pid, "test"], capture_output=True, check=True)
