"""A gateway whose processes are killed, and what must be true of it afterwards.

`Run` sends real declarations, resends, transport duplicates and corrections through a gateway of real processes. Its
supervisor forks them, so that a killed one is back in milliseconds; each may die by SIGKILL at eleven points, and from
outside at any time. `Run.figures` counts what was sent, recorded, delivered and repeated, and what is lost or doubled.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import sqlalchemy

from core.errors import BrokerUnavailable, GatewayError
from core.transmission import stable_id
from gateway import journal, loops, service
from gateway.journal import Journal
from gateway.queues import Intake, Letter, open_broker
from gateway.settings import HOME
from routing.partners import load_partners
from tests.support.chaos_processes import Plan
from tests.support.cli import renamed_samples
from validators.rules import check_digit_of

SAMPLES = HOME / "samples"


# ------------------------------------------------------------------------------------------------ traffic


def number_of(n: int, account: str = "12345") -> str:
    """Return the n-th transaction number, with its check digit."""
    thirteen = f"{account}{n:08d}"
    return thirteen + check_digit_of(thirteen)


@cache
def _sample(name: str) -> str:
    return (SAMPLES / name).read_text("utf-8")


def original(n: int) -> tuple[str, bytes]:
    """Return the n-th declaration and who sends it: the even ones in EDIFACT, the odd ones in XML."""
    if n % 2:
        text = _sample("originals/published-example.xml").replace("24680000001015", number_of(n, "24680"))
        return "erable", text.replace("EC000003", f"C{n:07d}").encode()
    text = _sample("originals/v-voluntary.edi").replace("12345000000023", number_of(n))
    return "maple", text.replace("MB000002", f"C{n:07d}").encode()


def correction(n: int) -> bytes:
    """Return a correction of the n-th declaration (an even one)."""
    text = _sample("changes/v-correction.edi").replace("12345000000023", number_of(n))
    return text.replace("MB000006", f"D{n:07d}").encode()


# A broker that dies confirms a correction and not its original, which its sender then sends again: the correction came
# first, and is refused.
EARLY = """
    SELECT count(*) FROM message AS change JOIN message AS original
    ON original.transaction_number = change.transaction_number AND original.inbox > change.inbox
    WHERE change.verdict = 'refused' AND original.verdict = 'accepted' AND original.nature = 'original'
"""


def traffic(count: int, first: int = 0) -> Iterator[Letter]:
    """Yield what senders send for `count` declarations: with resends, transport duplicates and corrections."""
    for n in range(first, first + count):
        partner, body = original(n)
        letter = Letter(f"m{n}", f"in.{partner}", "application/octet-stream", body)
        yield letter
        if n % 10 == 3:
            yield letter
        if n % 10 == 5:
            yield letter._replace(id=f"m{n}-again")
        if n % 10 == 8:
            yield letter._replace(id=f"m{n}-corrected", body=correction(n))


# ------------------------------------------------------------------------------------------------ a run


@dataclass
class Figures:
    """What a run has to show; everything but the first line must be zero."""

    sent: int
    recorded: int
    delivered: int
    repeats: int
    parked: int
    kills: dict[str, int]
    seconds: float
    lost: int
    unanswered: int
    twice: int
    unknown: int
    changed: int
    unsettled: int
    missing_effects: int
    audit: str | None

    def __str__(self) -> str:
        return (
            f"sent {self.sent} / recorded {self.recorded} / delivered {self.delivered} / repeats {self.repeats} / "
            f"parked {self.parked} / kills {sum(self.kills.values())} {self.kills} / {self.seconds:.1f} s"
        )

    def wrong(self) -> dict[str, Any]:
        """Return what should be nothing and is not."""
        judged = {
            name: getattr(self, name)
            for name in ("lost", "unanswered", "twice", "unknown", "changed", "unsettled", "missing_effects", "audit")
        }
        return {name: value for name, value in judged.items() if value}


class Run:
    """One gateway with its senders and readers; `through` are URLs that the gateway shall use instead of ours."""

    def __init__(
        self, folder: Path, broker_url: str, database_url: str, through: tuple[str, str] | None = None, **plan: Any
    ) -> None:
        self.folder, self.broker_url, self.database_url = folder, broker_url, database_url
        self.letters: list[Letter] = []
        self.seen: dict[str, list[bytes]] = defaultdict(list)
        self.order: dict[str, list[str]] = defaultdict(list)
        renamed_samples(folder, urlsplit(broker_url).username or "guest")
        self.plan = Plan(str(folder), *(through or (broker_url, database_url)), **plan)
        self.outs = [partner.answer_queue for partner in load_partners(folder / "partners.toml").values()]
        self.started = time.monotonic()
        self._broker = open_broker(self.broker_url)
        self._reader: Intake | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        opened = Journal.open(self.database_url)
        opened.migrate()
        opened.close()
        self._broker.declare(loops.queue_names(self.plan.settings))
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._reader:
            self._reader.close()
        self._broker.close()

    def start(self) -> None:
        """Start the gateway's processes."""
        with (self.folder / "gateway.log").open("ab") as log:
            command = [sys.executable, "-m", "tests.support.chaos_processes", json.dumps(asdict(self.plan))]
            self._process = subprocess.Popen(command, cwd=HOME, stdout=log, stderr=log)

    def stop(self) -> None:
        """Stop them in order."""
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(40)
            finally:
                self._process.kill()  # what it has started ends by itself then
                self._process = None

    def pids(self) -> list[int]:
        """Return the gateway's processes, its supervisor first."""
        import psutil

        assert self._process is not None
        return [self._process.pid, *(child.pid for child in psutil.Process(self._process.pid).children(True))]

    def send(self, letters: list[Letter], size: int = 20) -> None:
        """Send letters as a careful sender does: until confirmed, and nothing more about a declaration before that."""
        for place in range(0, len(letters), size):
            batch = letters[place : place + size]
            while batch:
                first: dict[str, int] = {}
                for index, letter in enumerate(batch):
                    first.setdefault(letter.id.partition("-")[0], index)
                try:
                    confirmed = self._broker.publish([batch[index] for index in first.values()]).confirmed
                except BrokerUnavailable:
                    time.sleep(0.2)
                    continue
                sent = {index for index in first.values() if batch[index].id in confirmed}
                batch = [letter for index, letter in enumerate(batch) if index not in sent]
            self.letters += letters[place : place + size]
            self.read()

    def read(self, timeout: float = 0.0) -> int:
        """Read what the partners have been answered."""
        try:
            if self._reader is None:
                self._reader = self._broker.consume(self.outs, prefetch=500)
            got = self._reader.receive(timeout)
            self._reader.ack(got)
        except GatewayError:
            if self._reader:
                self._reader.close()
            self._reader = None
            time.sleep(0.2)
            return 0
        for one in got:
            self.seen[one.message_id or ""].append(one.body)
            self.order[one.queue].append(one.message_id or "")
        return len(got)

    def recovers(self) -> float:
        """Return after how many seconds a declaration that is sent now has its receipt; a minute at most."""
        (probe,) = traffic(1, first=10_000_000 + 10 * len(self.letters))
        started = time.monotonic()
        self.send([probe])
        user = "" if self.broker_url.startswith("sqlite:") else urlsplit(self.broker_url).username or "guest"
        uid = stable_id(probe.queue, user, probe.id, hashlib.sha256(probe.body).hexdigest())
        receipt = stable_id(journal.inbox_id(uid), "receipt")
        while receipt not in self.seen and time.monotonic() < started + 60:
            self.read(0.1)
        return round(time.monotonic() - started, 1)

    def settle(self, patience: float) -> None:
        """Read until nothing is left to be done, at most `patience` seconds."""
        expected = len({(letter.id, letter.queue) for letter in self.letters})
        deadline = time.monotonic() + patience
        opened = Journal.open(self.database_url)
        engine = sqlalchemy.create_engine(opened._engine.url)
        quiet = 0
        while time.monotonic() < deadline and quiet < 3:
            assert self._process is None or self._process.poll() is None, (self.folder / "gateway.log").read_text()[
                -2000:
            ]
            self.read(0.3)
            with suppress(GatewayError, sqlalchemy.exc.SQLAlchemyError):
                counts = opened.counts(service.now())
                with engine.connect() as connection:
                    recorded, open_requests = connection.exec_driver_sql(
                        "SELECT (SELECT count(*) FROM inbox WHERE channel = 'partner'),"
                        " (SELECT count(*) FROM assessment_request WHERE status = 'accepted')"
                    ).one()
                done = recorded == expected and not open_requests
                busy = counts["received"] + counts["working"] + counts["outbox"]
                quiet = quiet + 1 if done and not busy else 0
        while self.read(0.3):
            pass
        engine.dispose()
        opened.close()

    def figures(self) -> Figures:
        """Count what became of everything that was sent."""
        opened = Journal.open(self.database_url)
        engine = sqlalchemy.create_engine(opened._engine.url)
        with engine.connect() as connection:

            def rows(query: str) -> list[Any]:
                return list(connection.exec_driver_sql(query))

            recorded = rows("SELECT count(*) FROM inbox WHERE channel = 'partner'")[0][0]
            parked = rows("SELECT count(*) FROM handled WHERE state = 'parked'")[0][0]
            answers = {one for (one,) in rows("SELECT id FROM outbox WHERE destination LIKE 'out.%%'")}
            accepted = Counter(
                rows(
                    "SELECT transaction_number, version, count(*) FROM message WHERE verdict = 'accepted' GROUP BY 1, 2"
                )
            )
            settled = rows("SELECT count(*) FROM assessment_request WHERE status = 'accepted'")[0][0]
            effects = rows("SELECT count(*) FROM declaration_version")[0][0]
            asked = rows("SELECT count(*) FROM assessment_request")[0][0]
            early = rows(EARLY)[0][0]
        report = opened.verify()
        engine.dispose()
        opened.close()
        kills = Path(self.plan.folder) / "kills"
        distinct = {(letter.id, letter.queue) for letter in self.letters}
        wanted = len({letter.id for letter in self.letters if not letter.id.endswith("-again") and letter.id[0] == "m"})
        return Figures(
            sent=len(distinct),
            recorded=recorded,
            delivered=len(self.seen),
            repeats=sum(len(bodies) - 1 for bodies in self.seen.values()),
            parked=parked,
            kills=dict(Counter(kills.read_text().split("\n")[:-1])) if kills.exists() else {},
            seconds=time.monotonic() - self.started,
            lost=len(distinct) - recorded,
            unanswered=len(answers - self.seen.keys()),
            twice=sum(count - 1 for _, _, count in accepted) + asked - effects,
            unknown=len(self.seen.keys() - answers),
            changed=sum(len(set(bodies)) > 1 for bodies in self.seen.values()),
            unsettled=settled,
            missing_effects=max(0, wanted - effects - parked - early),
            audit=report.reason,
        )


def embedded(folder: Path) -> dict[str, str]:
    """Return the URLs of a gateway on one disk."""
    return {
        "broker_url": f"sqlite:///{folder}/queue.db",
        "database_url": f"sqlite:///{folder}/gateway.sqlite3",
    }


def scratch() -> tempfile.TemporaryDirectory[str]:
    """Return a folder that goes when it is done with."""
    return tempfile.TemporaryDirectory(prefix="chaos-")
