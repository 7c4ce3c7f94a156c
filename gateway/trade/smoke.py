"""What a smoke test or conformance run found: the same results whichever role was played."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator
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

# `missing`: its stage was reached and no such message came; `not-reached`: its stage was not, or it was not tried;
# `not-applicable`: the partner said beforehand that its system does not send it.
State = Literal["passed", "failed", "missing", "not-reached", "not-applicable"]

# More messages than this are counted, but not listed one by one.
LISTED = 1_000

# Where progress is told, in both languages.
Say = Callable[[Bilingual], None]


class StepResult(msgspec.Struct, kw_only=True):
    """One step's result; `sentence` says why it did not pass. `subject` is the transaction number and version."""

    id: str
    title: Words
    state: State = "not-reached"
    seconds: float | None = None
    sentence: Words | None = None
    subject: str = ""
    answers: list[str] = []
    codes: list[str] = []

    @property
    def settled(self) -> bool:
        """Tell whether nothing is to be waited for: it passed, or does not apply."""
        return self.state in ("passed", "not-applicable")


class SeenMessage(msgspec.Struct):
    """One message of the run: what it is about, what came of it, and the SHA-256 of the bytes that it came in."""

    subject: str
    kind: str
    outcome: str
    codes: list[str]
    digest: str


class JudgedBy(msgspec.Struct):
    """A specification pack, and what it says of itself."""

    key: str
    statement: Words


class StageResult(msgspec.Struct):
    """A stage's results."""

    title: Words
    lines: list[StepResult]

    @property
    def passed(self) -> bool:
        """Tell whether every step passed or does not apply."""
        return all(line.settled for line in self.lines)


class Result(msgspec.Struct, kw_only=True):
    """A whole run: which kit was played in which role, by or with whom, and what came of each step.

    `kit` is the scenario's digest, `specification` that of the specification data; times are ISO 8601 in UTC.
    `broker` is "embedded" where this program played both sides; `organization` is who carried the run out, as it calls
    itself; `language` is the one that the report shows first.
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
    organization: str = ""
    language: Literal["en", "fr"] = "en"
    judged_by: list[JudgedBy] = []
    messages: int = 0
    seen: list[SeenMessage] = []
    stages: list[StageResult]

    @property
    def demonstration(self) -> bool:
        """Tell whether this program played both sides, so that nobody else's system was tested."""
        return self.broker == "embedded"

    @property
    def passed(self) -> bool:
        """Tell whether every step passed or does not apply."""
        return all(stage.passed for stage in self.stages)

    @property
    def failed_stage(self) -> int | None:
        """Return the number of the first stage that did not pass, None if all did."""
        return next((number for number, stage in enumerate(self.stages, 1) if not stage.passed), None)

    def lines(self) -> Iterator[StepResult]:
        """Yield every step's result."""
        for stage in self.stages:
            yield from stage.lines


class Report(msgspec.Struct):
    """What a report is made of: the results, and the Ed25519 signature of their canonical form in base64, or none."""

    result: Result
    signature: str = ""


def encoded(report: Report) -> str:
    """Return a report as JSON, keys sorted."""
    return msgspec.json.encode(report, order="sorted").decode()


def decoded(text: str) -> Report:
    """Return the report that JSON holds; raises ValueError for what is none."""
    return msgspec.json.decode(text, type=Report)


def blank(scenario: Scenario, without: Collection[str] = ()) -> list[StageResult]:
    """Return the results of a scenario in which nothing has happened yet; CAD types in `without` do not apply.

    Raises GatewayError for a type that the scenario does not have.
    """
    if unknown := sorted(set(without) - {step.cad_type for step in scenario.steps()}):
        raise GatewayError(f"the scenario has no declaration of CAD type {', '.join(unknown)}")
    gone: set[str] = set()
    for step in scenario.steps():
        if step.cad_type in without or step.of in gone:
            gone.add(step.id)
    return [
        StageResult(
            stage.title,
            [
                StepResult(id=step.id, title=step.title, state="not-applicable" if step.id in gone else "not-reached")
                for step in stage.step
            ],
        )
        for stage in scenario.stage
    ]


def note(result: Result, seen: Iterable[SeenMessage]) -> None:
    """Count messages of the run, and list them as long as the list is not too long to be read."""
    for each in seen:
        result.messages += 1
        if len(result.seen) < LISTED:
            result.seen.append(each)


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
