"""What a smoke test or conformance run found: the same results whichever role was played."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import msgspec

from core.errors import BrokerUnavailable, GatewayError
from core.findings import Bilingual
from core.transmission import digest_of
from gateway.queues import open_broker
from gateway.settings import Settings
from gateway.trade.scenario import Scenario, Step, Words

# How long a gateway of our own may take to start.
START_SECONDS = 60.0

State = Literal["passed", "failed", "missing"]

# Where progress is told, in both languages.
Say = Callable[[Bilingual], None]


class StepResult(msgspec.Struct, kw_only=True):
    """One step's result; `sentence` says why it did not pass. `subject` is the transaction number and version."""

    id: str
    title: Words
    state: State = "missing"
    seconds: float | None = None
    sentence: Words | None = None
    subject: str = ""
    answers: list[str] = []
    codes: list[str] = []


class StageResult(msgspec.Struct):
    """A stage's results."""

    title: Words
    lines: list[StepResult]

    @property
    def passed(self) -> bool:
        """Tell whether every step passed."""
        return all(line.state == "passed" for line in self.lines)


class Result(msgspec.Struct, kw_only=True):
    """A whole run: which kit was played in which role, by or with whom, and what came of each step.

    `kit` is the scenario's digest, `specification` that of the specification data; times are ISO 8601 in UTC.
    """

    role: Literal["broker", "customs"]
    partner: str
    partner_name: str
    broker: str
    title: Words
    kit: str
    specification: str
    program: str
    started: str
    ended: str = ""
    messages: int = 0
    stages: list[StageResult]

    @property
    def passed(self) -> bool:
        """Tell whether every step passed."""
        return all(stage.passed for stage in self.stages)

    @property
    def failed_stage(self) -> int | None:
        """Return the number of the first stage that did not pass, None if all did."""
        return next((number for number, stage in enumerate(self.stages, 1) if not stage.passed), None)

    def lines(self) -> Iterator[StepResult]:
        """Yield every step's result."""
        for stage in self.stages:
            yield from stage.lines


def blank(scenario: Scenario) -> list[StageResult]:
    """Return the results of a scenario in which nothing has happened yet."""
    return [
        StageResult(stage.title, [StepResult(id=step.id, title=step.title) for step in stage.step])
        for stage in scenario.stage
    ]


def canonical(result: Result) -> bytes:
    """Return the results in the one form that the digest is taken of: JSON, keys sorted."""
    return msgspec.json.encode(result, order="sorted")


def states_of(result: Result) -> dict[str, str]:
    """Return the state of each line of the results, by its id."""
    return {line.id: line.state for line in result.lines()}


def digest(result: Result) -> str:
    """Return the SHA-256 of the results."""
    return digest_of(canonical(result))


def words(said: Bilingual) -> Words:
    """Return a sentence as results hold it."""
    return Words(said.en, said.fr)


def expected(step: Step) -> str:
    """Return the answers that a step expects, as a list in words."""
    return ", ".join(step.expect)


@contextmanager
def folder() -> Iterator[Path]:
    """Give a folder of this run's own, which goes afterwards."""
    with tempfile.TemporaryDirectory(prefix="gateway-smoke-") as name:
        yield Path(name)


@contextmanager
def gateway_of_our_own(settings: Settings, stopping: Callable[[], bool] = lambda: False) -> Iterator[Settings]:
    """Run an embedded gateway with the reference engine for the block.

    Raises GatewayError if it does not start, and when `stopping` tells that it is not to.
    """
    from gateway.loops import queue_names

    with folder() as home:
        own = replace(
            settings, broker_url=f"sqlite:///{home}/queue.db", database_url=f"sqlite:///{home}/gateway.sqlite3"
        )
        command = [sys.executable, "-m", "gateway", "serve", "--with-reference-engine"]
        with process(command, own, home / "gateway.log") as service:
            with open_broker(own.broker_url) as broker:
                deadline = time.monotonic() + START_SECONDS
                while True:
                    if stopping():
                        raise GatewayError("interrupted")
                    if service.poll() is not None or time.monotonic() > deadline:
                        raise GatewayError(f"the gateway did not start: {_last_line(home / 'gateway.log')}")
                    try:
                        if not broker.missing(queue_names(own)):
                            break
                    except BrokerUnavailable:
                        pass
                    time.sleep(0.1)
            yield own


@contextmanager
def process(command: list[str], settings: Settings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command of ours with these settings for the block, then stop it."""
    environment = os.environ | {
        "GATEWAY_BROKER_URL": settings.broker_url,
        "GATEWAY_DATABASE_URL": settings.database_url,
        "GATEWAY_PARTNERS": str(settings.partners.resolve()),
        "GATEWAY_SPECS": str(settings.specs.resolve()),
        "GATEWAY_LOG": "text",
    }
    with log.open("wb") as told:
        # In a folder without modules: `python -m` imports from the current one first.
        started = subprocess.Popen(command, stdout=told, stderr=told, cwd=log.parent, env=environment)  # noqa: S603 - ours
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(30)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "it said nothing")


def check_report(path: Path) -> tuple[str, bool]:
    """Return the digest of the results in an HTML report, and whether it is the one that the report shows.

    Raises GatewayError when the file is no such report.
    """
    try:
        text = path.read_text("utf-8")
        body = text.split('<script type="application/json" id="results">', 1)[1].split("</script>", 1)[0]
        shown = text.split('data-digest="', 1)[1].split('"', 1)[0]
        found = digest(msgspec.convert(json.loads(body), Result))
    except (OSError, UnicodeDecodeError, IndexError, ValueError, msgspec.ValidationError) as error:
        raise GatewayError(f"{path}: no report of a smoke test, or one that was cut") from error
    return found, found == shown
