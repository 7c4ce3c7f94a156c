"""Every command of docs/test-your-system.md, run as it stands there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.queues import open_broker
from tests.support.house import settings_in
from tests.support.smoke_partners import MESSAGES
from tests.support.way import HOME

PAGE = (HOME / "docs/test-your-system.md").read_text("utf-8")
EXAMPLES = re.compile(r"^```toml\n(.*?)^```", re.S | re.M)
BLOCKS = re.findall(r"^```\n(.*?)^```", EXAMPLES.sub("", PAGE), re.S | re.M)
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line]
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

# Several programs at a time, each loading its modules: minutes on a busy machine. A limit for hangs, no measure.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def run(folder: Path, command: str, code: int = 0) -> str:
    done = subprocess.run(command.split(), cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def command(beginning: str) -> str:
    """Return the page's one command that begins so and has nothing the others have."""
    (found,) = [each for each in COMMANDS if re.fullmatch(beginning, each)]
    return found


def test_the_page_has_no_command_that_is_not_tested() -> None:
    tested = [
        r"gateway smoke", r"gateway smoke --role customs", r".*--role customs --wait.*", r".*trial.db --as maple",
        r".*--verify run/maple.html", r".*health.xml.*", r".*--scenario.*", r"mkdir.*",
        r".*genpkey.*", r".*-pubout.*", r".*--sign.*", r".*--public-key.*",
    ]  # fmt: skip
    assert sorted(command(each) for each in tested) == sorted(COMMANDS)


def test_what_the_page_writes_lies_where_git_does_not_look() -> None:
    written = re.findall(r"--(?:report|junit|html|verify) (\S+)", "\n".join(COMMANDS))
    assert written
    assert all(each.startswith("run/") for each in written)


def test_the_first_look() -> None:
    assert f"the kit's {MESSAGES} messages" in PAGE
    assert "passed" in run(HOME, command(r"gateway smoke --role customs"))


def test_customs_attends_to_a_partner_and_the_report_is_verified(tmp_path: Path) -> None:
    run(tmp_path, command(r"mkdir.*"))
    waiting = command(r".*--role customs --wait.*").split()
    customs = subprocess.Popen(waiting, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    try:
        assert customs.stdout
        assert "waiting at in.maple" in customs.stdout.readline()
        assert "passed" in run(tmp_path, command(r".*trial.db --as maple"))
        said = customs.stdout.read()
        assert customs.wait(60) == 0, said
    finally:
        customs.kill()
    shown = re.search(r"digest ([0-9a-f]{64})", said)
    assert shown
    assert f"digest     {shown[1]}" in run(tmp_path, command(r".*--verify run/maple.html"))


def test_a_report_is_signed_and_its_signature_checked(tmp_path: Path) -> None:
    for beginning in (r"mkdir.*", r".*genpkey.*", r".*-pubout.*", r".*--sign.*"):
        run(tmp_path, command(beginning))
    assert "by the owner of the key" in run(tmp_path, command(r".*--public-key.*"))


def test_a_morning_check(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    settings = settings_in(tmp_path / "run")
    environment = ENVIRONMENT | {
        "GATEWAY_BROKER_URL": settings.broker_url,
        "GATEWAY_DATABASE_URL": settings.database_url,
    }
    serving = subprocess.Popen(
        ["gateway", "serve", "--with-reference-engine"],
        env=environment,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert serving.stderr
        assert any('"serving"' in line or "serving" in line for line in serving.stderr)
        assert "passed" in run(tmp_path, command(r".*health.xml.*"))
        assert (tmp_path / "run/health.xml").exists()
    finally:
        serving.terminate()
        serving.wait(60)


def test_a_scenario_of_ones_own(tmp_path: Path) -> None:
    (example,) = EXAMPLES.findall(PAGE)
    (tmp_path / "ours.toml").write_text(example, "utf-8")
    (tmp_path / "ours.edi").write_text("not yet what it should be", "utf-8")
    assert "passed" in run(tmp_path, command(r".*--scenario.*"))


@pytest.mark.parametrize("ignored", [False, True], ids=["from a terminal", "from a script's background"])
def test_ctrl_c_leaves_the_score_as_it_stands(tmp_path: Path, ignored: bool) -> None:
    """What a script starts in the background inherits a SIGINT that is ignored: it was swallowed for good."""
    waiting = f"exec {command(r'.*--role customs --wait.*')}"
    run(tmp_path, command(r"mkdir.*"))
    if ignored:
        waiting = f"trap '' INT; {waiting}"
    customs = subprocess.Popen(["sh", "-c", waiting], cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    assert customs.stdout
    assert "waiting" in customs.stdout.readline()
    customs.send_signal(signal.SIGINT)
    said, _ = customs.communicate(timeout=60)
    assert customs.returncode == 1
    assert "failed at stage 1: Connection and receipt" in said
    assert (tmp_path / "run/maple.html").read_text("utf-8").count("No such message came.") >= 1


def test_ctrl_c_ends_the_senders_side(tmp_path: Path) -> None:
    """Nobody answers it; it ends at once all the same, with one line."""
    url = f"sqlite:///{tmp_path}/queue.db"
    with open_broker(url) as broker:
        broker.declare(["in.maple", "out.maple"])
        sending = subprocess.Popen(
            ["gateway", "smoke", "--broker", url, "--as", "maple"],
            env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        while not broker.depth("in.maple") and sending.poll() is None:
            time.sleep(0.05)
    sending.send_signal(signal.SIGINT)
    _, said = sending.communicate(timeout=20)
    assert (sending.returncode, said) == (2, "gateway: interrupted\n")
