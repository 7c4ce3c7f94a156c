"""docs/operations.md, followed to the letter: its commands are run as they stand there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway.loops import queue_names
from gateway.queues import Letter, open_broker
from tests import conftest
from tests.journal.test_journal_former import unpacked
from tests.support.cli import renamed_samples
from tests.support.house import house, settings_in
from tests.support.sending import ORIGINAL, edifact, messages, number
from tests.support.servers import free_port
from tests.support.way import HOME

PAGE = (HOME / "docs/operations.md").read_text("utf-8")

BROKER = urlsplit(conftest.BROKER)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def commands(heading: str) -> list[str]:
    """Return the lines to be typed of a section."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)^## ", PAGE, re.M | re.S)
    return [line for block in re.findall(r"^```\n(.*?)^```", section, re.M | re.S) for line in block.splitlines()]


def shell(folder: Path, line: str, **more: str) -> str:
    """Run a line in a shell, in the folder of a gateway."""
    settings = settings_in(folder)
    environment = os.environ | {
        "GATEWAY_BROKER_URL": settings.broker_url,
        "GATEWAY_DATABASE_URL": settings.database_url,
        "PATH": f"{folder}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(HOME),
        **more,
    }
    line = line.replace("/var/backups", str(folder)).replace("9100", more.get("GATEWAY_HEALTH", "9100"))
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    return done.stdout


def test_backup_and_restore(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    backup, restore, verify, doctor = commands("Backup and restore")
    with house(tmp_path) as gateway:
        gateway.send("maple", ORIGINAL)
        gateway.settle_down()
        shell(tmp_path, backup)
        gateway.send("maple", edifact("REF3", number(30)))
        gateway.settle_down()
        shell(tmp_path, "gateway export-audit-head >> heads.jsonl")
    told = shell(tmp_path, restore)
    assert "send again" in told
    assert "explained" not in verify
    assert "1 heads are of a history that ended with the restore" in shell(tmp_path, verify)
    shell(tmp_path, doctor)
    with house(tmp_path) as gateway:
        assert len(messages(gateway)) == 1


# ------------------------------------------------------------------------------------------------ upgrades

# What a machine has and a test has not: a service manager, and something to install from.
SYSTEMCTL = """#!/bin/bash
case $1 in
start) setsid gateway serve --workers 1 --with-reference-engine >> log 2>&1 & echo $! > pid ;;
stop) kill -TERM $(cat pid); while grep -qs '^State:.[^Z]' /proc/$(cat pid)/status; do sleep 0.1; done ;;
esac
"""


class Machine:
    """A machine with a gateway on it, kept as the page says."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder, self.settings = folder, {"GATEWAY_LOG": "json", "GATEWAY_HEALTH": str(free_port()), **settings}
        (folder / "bin").mkdir(parents=True)
        for name, text in (("systemctl", SYSTEMCTL), ("pip", "#!/bin/sh\n")):
            (folder / "bin" / name).write_text(text, "utf-8")
            (folder / "bin" / name).chmod(0o755)
        (folder / "samples").symlink_to(HOME / "samples")

    def do(self, line: str) -> str:
        return shell(self.folder, line, **self.settings)

    def upgrade(self) -> str:
        return "".join(self.do(line) for line in commands("Upgrade"))

    def pid(self) -> int:
        return int((self.folder / "pid").read_text())


@contextmanager
def machines(*all_of_them: Machine) -> Iterator[None]:
    """End whatever a test leaves running."""
    try:
        yield
    finally:
        for one in all_of_them:
            with suppress(OSError, ValueError):
                os.killpg(one.pid(), signal.SIGKILL)


def test_an_upgrade_from_the_former_schema(tmp_path: Path) -> None:
    """The journal of the first release, which the former program backed up; the line that does it here is skipped."""
    url = unpacked(tmp_path)
    machine = Machine(tmp_path / "machine", GATEWAY_DATABASE_URL=url)
    with machines(machine):
        settings = settings_in(machine.folder)
        with open_broker(settings.broker_url) as broker:
            broker.declare(queue_names(settings))
        backup, stop, *others = commands("Upgrade")
        assert backup.startswith("gateway backup")
        assert stop.startswith("systemctl stop")
        told = "".join(machine.do(line) for line in others)
        assert "was 0004" in told
        assert "ready" in told
        assert "serving" in (machine.folder / "log").read_text()
        machine.do("systemctl stop gateway")
        assert "rows hold" in machine.do("gateway verify-audit")


@pytest.mark.broker
def test_a_rolling_upgrade_of_two_machines(gateways_rabbitmq_url: str, postgres_url: str, tmp_path: Path) -> None:
    """One after another by the lines of the page, while a partner goes on sending: nothing is lost, hardly a repeat."""
    url = BROKER._replace(path=urlsplit(gateways_rabbitmq_url).path).geturl()
    partners = renamed_samples(tmp_path, BROKER.username or "guest")
    given = {
        "GATEWAY_BROKER_URL": gateways_rabbitmq_url,
        "GATEWAY_DATABASE_URL": postgres_url,
        "GATEWAY_PARTNERS": str(partners),
    }
    first, second = (Machine(tmp_path / name, **given) for name in ("first", "second"))
    with machines(first, second):
        for one in (first, second):
            one.do("systemctl start gateway")
            one.do(commands("Upgrade")[-1])
        over, sent = threading.Event(), []

        def go_on() -> None:
            with open_broker(url) as broker:
                while not over.wait(0.2):
                    n = len(sent)
                    letter = Letter(f"m{n}", "in.maple", "", edifact(f"R{n}", number(n)))
                    if broker.publish([letter]).confirmed:
                        sent.append(n)

        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            for one in (first, second):
                former = one.pid()
                assert "nothing to do" in one.upgrade()
                assert one.pid() != former
        finally:
            over.set()
            thread.join(30)
        got = Counter[str | None]()
        kinds = Counter[str]()
        with open_broker(url) as broker, broker.consume(["out.maple"], prefetch=500) as intake:
            end = time.monotonic() + 60
            while kinds["assessed"] < len(sent) and time.monotonic() < end:
                # On a busy machine the way through the page takes minutes, and as many messages wait as were sent then.
                end = time.monotonic() + 60 if (came := intake.receive(0.5)) else end
                intake.ack(came)
                kinds.update(each.headers["kind"] for each in came if each.message_id not in got)
                got.update(each.message_id for each in came)
        print(
            f"{len(sent)} sent, {kinds['assessed']} assessed, {got.total()} answers, {got.total() - len(got)} repeats"
        )
        assert len(sent) > 10
        assert kinds["receipt"] == kinds["assessed"] == len(sent)
        assert got.total() - len(got) <= got.total() / 100
        for one in (first, second):
            one.do("systemctl stop gateway")
            assert "loop died" not in (one.folder / "log").read_text()
