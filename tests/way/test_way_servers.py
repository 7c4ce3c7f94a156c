"""On RabbitMQ and PostgreSQL the same samples get the same verdicts and the same answers as on the embedded gateway."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from rich.console import Console

from gateway import service
from gateway.cli import demo
from gateway.desk.trial import read_expectations
from gateway.journal import Journal
from gateway.loops import queue_names
from gateway.queues import open_broker
from tests.support.cli import renamed_samples
from tests.support.house import House, house, settings_in
from tests.support.way import HOME, NOW, PARTNERS, SAMPLES, rows

pytestmark = [pytest.mark.broker, pytest.mark.slow]

# An id or the start of one, as the answers write them.
HEX = re.compile(rb"[0-9a-fA-F]{14,32}")

Story = list[tuple[Any, ...]]


def until(number: int, step: Any) -> None:
    """Repeat a step until it has handled so many, or for half a minute."""
    end = time.monotonic() + 30
    while number > 0 and time.monotonic() < end:
        number -= step()
    assert number <= 0


def all_lives(gateway: House) -> list[dict[str, Any]]:
    """Return the whole life of every transmission."""
    found = [gateway.journal.show(each) for each in {row["id"] for row in gateway.journal.list_messages(limit=500)}]
    return [life for life in found if life]


def story(gateway: House) -> Story:
    """Let the partners send every sample, run each step to its end, and return all that was decided and answered."""
    sent = rows()
    for number, row in enumerate(sent):
        gateway.send(row["partner"], (SAMPLES / row["file"]).read_bytes(), ids=(f"sample-{number}",))
    until(len(sent), gateway.receive)
    while gateway.work():
        pass
    while gateway.dispatch():
        pass
    lives = all_lives(gateway)
    requests = sum(len(life["requests"]) for life in lives)
    until(requests, gateway.engine)
    until(requests, gateway.receive)
    while gateway.work() + gateway.dispatch():
        pass
    lives = all_lives(gateway)
    known = {each["id"][:14].encode() for life in lives for each in (life, *life["outbox"])}

    def named(body: bytes) -> bytes:
        """Return the text without the ids, which come from the broker's names."""
        return re.sub(HEX, lambda found: b"ID" if found[0][:14].lower() in known else found[0], body)

    told = sorted(
        (life["partner"], life["digest"], life["state"],
         [(m["ordinal"], m["type"], m["verdict"], m["nature"], m["findings"]) for m in life["messages"]],
         [(r["transaction_number"], r["version"], r["nature"], r["status"]) for r in life["requests"]])
        for life in lives if life["channel"] == "partner"
    )  # fmt: skip
    answers: Story = []

    def collect() -> int:
        new = [(partner, letter) for partner in sorted(PARTNERS) for letter in gateway.answers(partner)]
        for partner, letter in new:
            kind = letter.headers["kind"]
            # A receipt tells the audit chain's head, which holds ids.
            answers.append((partner, kind, b"" if kind == "receipt" else named(letter.body)))
        return len(new)

    until(sum(each["kind"] != "request" for life in lives for each in life["outbox"]), collect)
    assert gateway.journal.verify().bad is None
    return [*told, *sorted(answers)]


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the clock, so that answers made at different times may be compared."""
    monkeypatch.setattr(service, "now", lambda: NOW)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Story:
    with pytest.MonkeyPatch.context() as patch, house(tmp_path_factory.mktemp("embedded")) as gateway:
        patch.setattr(service, "now", lambda: NOW)
        return story(gateway)


@pytest.mark.parametrize("servers", [("rabbitmq",), ("postgresql",), ("rabbitmq", "postgresql")], ids="+".join)
def test_the_same_samples_get_the_same_verdicts_and_answers(
    request: pytest.FixtureRequest, tmp_path: Path, embedded: Story, still: None, servers: tuple[str, ...]
) -> None:
    urls, partners = {}, PARTNERS
    if "rabbitmq" in servers:
        urls["broker_url"] = request.getfixturevalue("rabbitmq_url")
        user = urlsplit(urls["broker_url"]).username
        partners = {name: replace(partner, user=user) for name, partner in PARTNERS.items()}
    if "postgresql" in servers:
        urls["database_url"] = request.getfixturevalue("postgres_url")
    with house(tmp_path, partners, **urls) as gateway:
        gateway.wait = 0.2 if "rabbitmq" in servers else 0.0
        assert story(gateway) == embedded


def test_gateway_serve_answers_on_both_servers(
    tmp_path: Path,
    rabbitmq_url: str,
    gateways_rabbitmq_url: str,
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The real command with its real processes and two workers."""
    partners = renamed_samples(tmp_path, urlsplit(rabbitmq_url).username or "guest")
    settings = settings_in(tmp_path, broker_url=rabbitmq_url, database_url=postgres_url, partners=partners)  # type: ignore[arg-type]
    environment = {
        **os.environ,
        "GATEWAY_BROKER_URL": gateways_rabbitmq_url,
        "GATEWAY_DATABASE_URL": postgres_url,
        "GATEWAY_PARTNERS": str(partners),
        "GATEWAY_LOG": "json",
    }
    first = read_expectations(SAMPLES / "run.csv")[:6]
    monkeypatch.setattr(demo, "read_expectations", lambda _: first)
    command = [sys.executable, "-m", "gateway", "serve", "--workers", "2", "--with-reference-engine"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=HOME, env=environment, stderr=log)
    journal = Journal.open(postgres_url)
    try:
        with open_broker(rabbitmq_url) as broker:
            end = time.monotonic() + 60
            while broker.missing(queue_names(settings)) and process.poll() is None and time.monotonic() < end:
                time.sleep(0.1)
            played = demo.play(broker, journal, settings, tmp_path, Console(quiet=True))
        assert [(step.name, seen) for step, seen in played if not demo.meets(step, seen)] == []
        assert journal.counts(datetime.now(UTC))["parked"] == 0
    finally:
        process.terminate()
        code = process.wait(60)
        journal.close()
    assert code == 0, (tmp_path / "log").read_text()
    assert "Traceback" not in (tmp_path / "log").read_text()
