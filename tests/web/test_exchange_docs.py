"""docs/exchange-http.md, followed to the letter: its commands are run as they stand there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from gateway.web import exchange, exchange_answers, exchange_sending
from gateway.web.exchange_access import WRONG_TOKENS
from tests.conftest import absent
from tests.support.exchange import with_tokens
from tests.support.servers import free_port
from tests.support.way import HOME
from tests.web.test_exchange_identity import run

PAGE = (HOME / "docs/exchange-http.md").read_text("utf-8")
EXAMPLES = re.compile(r"^```json\n.*?^```", re.S | re.M)
BLOCKS = re.findall(r"^```\n(.*?)^```", EXAMPLES.sub("", PAGE), re.S | re.M)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]


def test_the_page_tells_the_limits_that_hold() -> None:
    told = " ".join(PAGE.split())
    for said in (
        f"at most so many seconds (0 to {exchange.WAIT_SECONDS})",
        f"At most {exchange_answers.PREFETCH} answers or 2 MB",
        f"{exchange_sending.UPLOADS} transmissions of one partner and {exchange_sending.UPLOADS_ALL} in all",
        f"{exchange_answers.POSTBOXES} partners read at a time",
        f"{WRONG_TOKENS} wrong tokens a minute",
    ):
        assert said in told
    assert (exchange_answers.HOLDING_SECONDS, exchange_answers.POLLERS) == (300, 4)


def test_the_pages_lines_for_the_broker_are_those_that_are_printed(tmp_path: Path) -> None:
    printed = run(with_tokens(tmp_path, {"maple": "x"}), "broker-users", "--vhost", "/").output.splitlines()
    lines = [line for line in COMMANDS if line.startswith("rabbitmqctl")]
    assert lines == [line for line in printed if " exchange" in line]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_page_is_followed(tmp_path: Path) -> None:
    if not shutil.which("curl"):
        absent("the page's commands need curl")
    port = free_port()
    make, copy, export, token, serve, web, post, get, ack, client = (
        line.replace("8480", str(port)) for line in COMMANDS if not line.startswith("rabbitmqctl")
    )
    (tmp_path / "samples").symlink_to(HOME / "samples")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "GATEWAY_LOG": "json"}

    def shell(line: str) -> str:
        done = subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
        return done.stdout

    shell(f"{make}; {copy}")
    environment |= dict([export.removeprefix("export ").split("=")])  # type: ignore[list-item]
    said = shell(token)
    environment["EXCHANGE_TOKEN"] = re.search(r": (\S{43})\n", said)[1]  # type: ignore[index]
    file = tmp_path / environment["GATEWAY_PARTNERS"]
    line = said.splitlines()[-1]
    file.write_text(file.read_text("utf-8").replace('id = "maple"\n', f'id = "maple"\n{line}\n'), "utf-8")
    with ExitStack() as running:
        for command in (serve, f"{web} --port {port}"):
            process = subprocess.Popen(command.split(), cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
            running.callback(process.wait, 60)
            running.callback(process.terminate)
        while True:
            with suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/").close()
                break
            time.sleep(0.2)
        while "id" not in (sent := json.loads(shell(post))):
            assert sent["status"] == 503, "the gateway has not made its queues yet"
            time.sleep(0.5)
        read, seen = {"cursor": ""}, list[str]()
        while "assessed" not in seen:
            read = json.loads(shell(get))
            assert {each["in_reply_to"] for each in read["answers"]} == {sent["id"]}
            seen = [each["kind"] for each in read["answers"]]
        assert seen == ["receipt", "contrl", "accepted", "assessed"]
        assert json.loads(shell(ack.replace("CURSOR", read["cursor"]))) == {"acknowledged": 4}
        assert "receipt: " in shell(client)
