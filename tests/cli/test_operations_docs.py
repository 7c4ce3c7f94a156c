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

    def __init__(self, folder: Path, program: Path = HOME, **settings: str) -> None:
        own = {"GATEWAY_LOG": "json", "GATEWAY_HEALTH": str(free_port()), "PYTHONPATH": f"{folder}/program"}
        self.folder, self.settings = folder, {**own, **settings}
        (folder / "bin").mkdir(parents=True)
        (folder / "program").symlink_to(program)
        for name, text in (("systemctl", SYSTEMCTL), ("pip", f"#!/bin/sh\nln -sfn {HOME} {folder}/program\n")):
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


@pytest.fixture
def shared(gateways_rabbitmq_url: str, postgres_url: str, tmp_path: Path) -> dict[str, str]:
    """Give what two machines have in common."""
    partners = renamed_samples(tmp_path, BROKER.username or "guest")
    return {
        "GATEWAY_BROKER_URL": gateways_rabbitmq_url,
        "GATEWAY_DATABASE_URL": postgres_url,
        "GATEWAY_PARTNERS": str(partners),
    }


@contextmanager
def a_partner_goes_on(shared: dict[str, str], repeats: float = 0.01) -> Iterator[None]:
    """Let a partner send all the time; afterwards nothing is lost, and so little came twice (a share)."""
    url = BROKER._replace(path=urlsplit(shared["GATEWAY_BROKER_URL"]).path).geturl()
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
        yield
    finally:
        over.set()
        thread.join(30)
    kinds: dict[str | None, object] = {}
    answers = 0
    with open_broker(url) as broker, broker.consume(["out.maple"], prefetch=500) as intake:
        end = time.monotonic() + 60
        while list(kinds.values()).count("assessed") < len(sent) and time.monotonic() < end:
            # On a busy machine the way through the page takes minutes, and as many messages wait as were sent then.
            end = time.monotonic() + 60 if (came := intake.receive(0.5)) else end
            intake.ack(came)
            kinds |= {each.message_id: each.headers["kind"] for each in came}
            answers += len(came)
    got = Counter(kinds.values())
    print(f"{len(sent)} sent, {got['assessed']} assessed, {answers} answers, {answers - len(kinds)} repeats")
    assert len(sent) > 10
    assert got["receipt"] == got["assessed"] == len(sent)
    assert answers - len(kinds) <= repeats * answers


def begin(*all_of_them: Machine) -> None:
    """Start the machines, one after another."""
    *_, start, until_ready = commands("Upgrade")
    for one in all_of_them:
        one.do(start)
        one.do(until_ready)


@pytest.mark.broker
def test_a_rolling_upgrade_of_two_machines(shared: dict[str, str], tmp_path: Path) -> None:
    """One after another by the lines of the page, where the schema stays."""
    first, second = (Machine(tmp_path / name, **shared) for name in ("first", "second"))
    with machines(first, second):
        begin(first, second)
        with a_partner_goes_on(shared):
            for one in (first, second):
                former = one.pid()
                assert "nothing to do" in one.upgrade()
                assert one.pid() != former
        for one in (first, second):
            one.do("systemctl stop gateway")
            assert "loop died" not in (one.folder / "log").read_text()


# The last states of the program with a schema: what was released as 0.1.0, and what had the last one but this.
FORMER = {"0004": "b14579849eb319e1a2a9907dcd9d18ac58027013", "0011": "ca74626be55ec3903c3055b4894415a7d93f0901"}


@pytest.mark.broker
@pytest.mark.parametrize("schema", FORMER)
def test_an_upgrade_of_two_machines_from_the_former_program(
    shared: dict[str, str], tmp_path: Path, schema: str
) -> None:
    """Where the schema changes: both stop, both get the new one, one migrates, and both start."""
    archive = subprocess.run(["git", "-C", HOME, "archive", FORMER[schema]], capture_output=True, check=False)
    if archive.returncode:
        pytest.skip("this copy lacks the former program's commit")
    former = tmp_path / "former"
    former.mkdir()
    subprocess.run(["tar", "-x", "-C", former], input=archive.stdout, check=True)
    renamed_samples(tmp_path, BROKER.username or "guest", former / "samples")  # its keys are fewer
    first, second = both = [Machine(tmp_path / name, former, **shared) for name in ("first", "second")]
    backup, stop, install, migrate, *look, _, _ = commands("Upgrade")
    with machines(*both):
        begin(first, second)
        with a_partner_goes_on(shared, 1 if schema == "0004" else 0.01):  # two of 0.1.0 sent most things twice
            time.sleep(3)
            if schema != "0004":  # which had no such command
                first.do(backup)
            for line in (stop, install):
                for one in both:
                    one.do(line)
            assert f"was {schema}" in first.do(migrate)
            for line in look:
                first.do(line)
            begin(first, second)
        for one in both:
            one.do(stop)
            assert "loop died" not in (one.folder / "log").read_text()
        assert "rows hold" in first.do("gateway verify-audit")
