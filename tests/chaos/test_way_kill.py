"""The gateway killed with SIGKILL between any two steps and started again: all is answered, nothing twice in effect."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.journal import Journal
from gateway.loops import queue_names
from gateway.queues import Letter, open_broker
from routing.partners import inbound_queue
from tests.support.crashing_serve import SENT, delivery, outcome
from tests.support.house import settings_in
from tests.support.way import HOME, SAMPLES

SHARES = 2


def _answers(folder: Path) -> int:
    """Count the answers recorded so far."""
    with closing(sqlite3.connect(f"file:{folder}/gateway.sqlite3?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM outbox WHERE kind <> 'request'").fetchone()[0])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_at_any_step_every_sample_is_answered_and_none_twice_in_effect(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.support.crashing_serve", str(tmp_path)]
    running = [
        subprocess.Popen([*command, str(share), str(SHARES)], cwd=HOME, stdout=subprocess.PIPE)
        for share in range(SHARES)
    ]
    runs = []
    for process in running:
        text, _ = process.communicate(timeout=280)
        assert process.returncode == 0
        first, *lines = [json.loads(line) for line in text.splitlines()]
        assert first["wrong"] == []
        assert all(first["calls"].values()), "a step that nobody takes would not be tried"
        runs += lines
    sums = {name: sum(run[name] for run in runs) for name in ("killed", "recorded", "delivered", "repeats")}
    print(f"sent {len(SENT) * len(runs)} " + " ".join(f"{name} {value}" for name, value in sums.items()))
    assert {run["point"]: run["wrong"] for run in runs if run["wrong"]} == {}
    assert sums["recorded"] == sums["delivered"]
    assert sums["killed"] >= len(runs) - 4, "so many calls are not the same in every run"
    assert len(runs) >= 36


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_gateway_serve_is_killed_as_it_stands_and_started_again(tmp_path: Path) -> None:
    """The real command with its real processes, the whole group killed at each new sign of progress."""
    settings = settings_in(tmp_path)
    environment = {
        **os.environ,
        "GATEWAY_BROKER_URL": settings.broker_url,
        "GATEWAY_DATABASE_URL": settings.database_url,
        "GATEWAY_PARTNERS": str(settings.partners),
        "GATEWAY_LOG": "json",
    }
    journal = Journal.open(settings.database_url)
    journal.migrate()
    with open_broker(settings.broker_url) as broker:
        broker.declare(queue_names(settings))
        for n, (partner, file) in enumerate(SENT):
            letter = Letter(f"sent-{n}", inbound_queue(partner), "", (SAMPLES / file).read_bytes())
            assert broker.publish([letter]).confirmed
    # 1: something received; 6: and judged; 14: all answered.
    kills = 0
    for enough in (1, 6, 14):
        log = (tmp_path / f"log-{kills}").open("wb")
        command = [sys.executable, "-m", "gateway", "serve", "--with-reference-engine"]
        process = subprocess.Popen(command, cwd=HOME, env=environment, stderr=log, start_new_session=True)
        try:
            end = time.monotonic() + 100  # what was in hand at two kills rests for a minute
            while _answers(tmp_path) < enough and time.monotonic() < end and process.poll() is None:
                time.sleep(0.02)
            assert _answers(tmp_path) >= enough, (tmp_path / f"log-{kills}").read_text()[-2000:]
            if enough == 14:
                while journal.counts(datetime.now(UTC))["outbox"] and time.monotonic() < end:
                    time.sleep(0.05)
                time.sleep(0.5)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            log.close()
        kills += 1
    journal.close()
    recorded, delivered, repeats, wrong = delivery(tmp_path)
    print(f"sent {len(SENT)} recorded {recorded} delivered {delivered} repeats {repeats} kills {kills}")
    assert wrong == []
    verdicts, versions, requests, _ = outcome(tmp_path)
    assert sorted(str(row[2]) for row in verdicts) == ["None", "accepted", "accepted", "accepted", "refused"]
    assert len(versions) == len(requests) == 3
    assert "Traceback" not in "".join((tmp_path / f"log-{n}").read_text() for n in range(kills))
