"""`make run`: the whole gateway embedded; two partners send the samples, every answer is compared with its table."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from core.errors import BrokerUnavailable, GatewayError
from gateway.cli.tables import Column, fit
from gateway.cli.terminal import Console
from gateway.cli.web import PORT
from gateway.desk.trial import SUFFIXES, Expected, differences, read_expectations
from gateway.journal import Journal
from gateway.queues import Broker, Delivery, Letter, open_broker
from gateway.settings import SAMPLES, Settings, from_environment
from routing.partners import inbound_queue, load_partners

# How long one message's answers may take; the run is for looking, the figures belong to `make bench`.
PATIENCE_SECONDS = 30.0

TRIAL = f"http://localhost:{PORT}/trial"

COLUMNS = (
    Column("message"),
    Column("sender", 2),
    Column("kind", 3),
    Column("verdict"),
    Column("findings", folds=True),
    Column("answers", folds=True),
    Column("assessed", 1),
    Column("met"),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What came back for a step."""

    type: str
    verdict: str
    findings: tuple[str, ...]
    answers: tuple[str, ...]
    total: Decimal | None


def meets(step: Expected, seen: Seen) -> bool:
    """Tell whether what came back is what the step expects."""
    return not differences(step, seen.verdict, seen.findings, seen.answers, seen.total)


def play(
    broker: Broker, journal: Journal, settings: Settings, folder: Path, told: Console
) -> list[tuple[Expected, Seen]]:
    """Send every sample in order, each once the former's answers are there, and keep the answers in the folder."""
    partners = load_partners(settings.partners)
    played: list[tuple[Expected, Seen]] = []
    table = read_expectations(SAMPLES / "run.csv")
    for number, step in enumerate(table, 1):
        told.print(f"[{number}/{len(table)}] {step.partner} sends {step.name}")
        letter = Letter(
            uuid.uuid4().hex,
            inbound_queue(step.partner),
            "application/octet-stream",
            step.file.read_bytes(),
        )
        if letter.id not in broker.publish([letter]).confirmed:
            raise GatewayError(f"the broker did not confirm {step.name}")
        answers = _answers(broker, partners[step.partner].answer_queue, len(step.answers or ()))
        for place, answer in enumerate(answers, 1):
            name = f"{number:02d}-{Path(step.name).name}.{place}-{answer.headers.get('kind', 'answer')}"
            (folder / f"{name}.{SUFFIXES[answer.content_type]}").write_bytes(answer.body)
        played.append((step, _seen(answers, journal)))
    return played


def _answers(broker: Broker, queue: str, expected: int) -> list[Delivery]:
    """Return the answers in the queue, waiting for as many as are expected."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    answers: list[Delivery] = []
    while len(answers) < expected and (left := deadline - time.monotonic()) > 0:
        answer = broker.take(queue, left)
        if answer is not None:
            answers.append(answer)
    return answers


def _seen(answers: list[Delivery], journal: Journal) -> Seen:
    """Return what the journal and the answers say of a step's message."""
    kinds = tuple(answer.headers.get("kind", "answer") for answer in answers)
    receipts = [answer for answer in answers if answer.headers.get("kind") == "receipt"]
    received = max((json.loads(answer.body) for answer in receipts), key=lambda r: r["received_at"], default=None)
    life = journal.show(received["received"]) if received else None
    messages: list[dict[str, Any]] = life["messages"] if life else []
    repeated = bool(life and not messages and life["note"])
    results = [json.loads(row["result"]) for row in (life["requests"] if life else []) if row["result"]]
    total = sum((Decimal(result["totals"]["total"]) for result in results), Decimal(0)) if results else None
    return Seen(
        type=messages[0]["type"] if messages else "",
        verdict="repeated" if repeated else messages[0]["verdict"] if messages else "no answer",
        findings=tuple(finding["code"] for message in messages for finding in message["findings"]),
        answers=kinds,
        total=total,
    )


def _print(played: list[tuple[Expected, Seen]], told: Console) -> None:
    """Print the table of the run."""
    rows = [
        (
            step.name,
            step.partner,
            seen.type,
            seen.verdict,
            " ".join(seen.findings),
            " ".join(seen.answers),
            "" if seen.total is None else f"{seen.total:.2f}",
            "yes" if meets(step, seen) else "NO",
        )
        for step, seen in played
    ]
    told.print(fit(COLUMNS, rows, told.width))


def main() -> int:
    """Run the samples through a gateway of its own; return 0 if every one met its expectation."""
    told = Console(width=None if sys.stdout.isatty() else 180)
    home = Path.cwd() / "run" / "demo"
    folder = home / "answers"
    try:
        if home.exists():
            shutil.rmtree(home)
        folder.mkdir(parents=True)
    except OSError as error:
        raise GatewayError(f"{home} cannot be made anew: {error.strerror}") from error
    os.environ.setdefault("GATEWAY_BROKER_URL", f"sqlite:///{home}/queue.db")
    os.environ.setdefault("GATEWAY_DATABASE_URL", f"sqlite:///{home}/gateway.sqlite3")
    settings = from_environment()
    with (home / "gateway.log").open("wb") as log:
        command = [sys.executable, "-m", "gateway", "serve", "--with-reference-engine"]
        service = subprocess.Popen(command, stderr=log, stdout=log)  # noqa: S603 - our own interpreter
        try:
            played = _play_when_ready(service, settings, folder, told)
        finally:
            service.terminate()
            service.wait(60)
    _print(played, told)
    met = sum(meets(*each) for each in played)
    told.print(f"\n{met} of {len(played)} samples met their expectation; the answers lie in {folder}")
    program = Path(sys.executable).with_name("gateway")
    told.print(f"To try a message of your own in the browser: {program} web, then open {TRIAL}")
    return 0 if met == len(played) else 1


def _play_when_ready(
    service: subprocess.Popen[bytes], settings: Settings, folder: Path, told: Console
) -> list[tuple[Expected, Seen]]:
    """Play the samples once the gateway has made its queues; raises GatewayError if it does not start."""
    from gateway.loops import queue_names

    deadline = time.monotonic() + PATIENCE_SECONDS
    with open_broker(settings.broker_url) as broker:
        while True:
            if service.poll() is not None or time.monotonic() > deadline:
                raise GatewayError(f"the gateway did not start: see {folder.parent / 'gateway.log'}")
            try:
                if not broker.missing(queue_names(settings)):
                    break
            except BrokerUnavailable:
                pass
            time.sleep(0.1)
        journal = Journal.open(settings.database_url)
        try:
            return play(broker, journal, settings, folder, told)
        finally:
            journal.close()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except GatewayError as error:
        print(f"gateway: {error}", file=sys.stderr)  # noqa: T201 - the one line of a failed run
        sys.exit(2)
