"""A scene for each alert: what fires it, until its yield, and what docs/operations.md says ends it, after that."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from core import limits
from core.errors import BrokerUnavailable, JournalUnavailable
from gateway import figures, files, service
from gateway.figures import Figures
from gateway.journal import Chosen
from gateway.queues import Letter, open_broker
from gateway.vitals import SUPERVISOR, Vital
from routing.routes import RESULTS
from tests.cli.test_replay_parked import park
from tests.support import alerts
from tests.support.desk import Run
from tests.support.house import House, as_user, settings_in
from tests.support.sending import ORIGINAL, edifact, number
from tests.support.way import PARTNERS
from tests.way.test_way_acknowledgements import contrl, reference

DAY = 86_400.0


class Watched:
    """A gateway, the command line on it, and what monitoring has scraped of it; `later` lets time pass."""

    def __init__(self, gateway: House, folder: Path, run: Run, patch: pytest.MonkeyPatch) -> None:
        self.gateway, self.folder, self.patch = gateway, folder, patch
        self._run = run
        self.seconds = 0.0
        self.lacking: list[str] = []
        self.alarm: str | None = None
        self.vitals = {name: Vital() for name in ("work-1", SUPERVISOR)}
        self.scrapes = alerts.Scrapes()
        self.up = 1.0
        self._real = service.now
        for module in (figures, service):
            patch.setattr(module, "now", self.now)
        self.partners = dict(PARTNERS)
        self.begin()

    def begin(self) -> None:
        """Let the process that answers begin anew."""
        settings = settings_in(self.folder)
        self.figures = Figures(
            settings, self.gateway.journal, self.partners, self.vitals, lambda: self.lacking, lambda: self.alarm
        )
        self.figures.read_on()

    def now(self) -> datetime:
        return self._real() + timedelta(seconds=self.seconds)

    def later(self, seconds: float) -> None:
        """Let time pass, in two steps with a scrape at each end."""
        self.scrape()
        self.seconds += seconds
        self.scrape()

    def scrape(self) -> None:
        with suppress(JournalUnavailable):
            self.figures.read_on()
        self.scrapes.take(self.seconds, self.figures.text(), self.up)

    def run(self, *words: str) -> None:
        done = self._run(*words)
        assert done.exit_code == 0, (words, done.output)

    def accepted(self) -> str:
        """Have one declaration accepted, its request sent, and return the request's id."""
        self.gateway.send("maple", ORIGINAL)
        while self.gateway.receive() + self.gateway.work() + self.gateway.dispatch():
            pass
        (request,) = self.gateway.journal.requests(Chosen(), 10)
        return str(request["id"])


Scene = Callable[[Watched], Iterator[None]]
SCENES: dict[str, Scene] = {}


def scene(name: str) -> Callable[[Scene], Scene]:
    """Name the alert that a scene fires until its yield, and ends after it."""

    def keep(play: Scene) -> Scene:
        SCENES[name] = play
        return play

    return keep


@scene("NotScraped")
def _not_scraped(w: Watched) -> Iterator[None]:
    w.up = 0
    w.later(130)
    yield
    w.up = 1


@scene("NotReady")
def _not_ready(w: Watched) -> Iterator[None]:
    w.lacking = ["the loop work-1 has been stuck for 70 s"]
    w.later(130)
    yield
    w.lacking = []


@scene("JournalAway")
def _journal_away(w: Watched) -> Iterator[None]:
    path = w.folder / "gateway.sqlite3"
    path.rename(w.folder / "away")
    w.later(70)
    yield
    (w.folder / "away").rename(path)


@scene("BrokerAway")
def _broker_away(w: Watched) -> Iterator[None]:
    def away(_url: str) -> None:
        raise BrokerUnavailable("it is away")

    w.patch.setattr(figures, "open_broker", away)
    w.later(70)
    yield
    w.patch.setattr(figures, "open_broker", open_broker)


@scene("BrokerBlocked")
def _broker_blocked(w: Watched) -> Iterator[None]:
    w.alarm = "low on memory"
    w.later(70)
    yield
    w.alarm = None


@scene("QueueAbsent")
def _queue_absent(w: Watched) -> Iterator[None]:
    with w.gateway.broker.channel() as channel:
        channel.queue_delete("out.maple")
    w.later(70)
    yield
    w.run("doctor", "--declare")


@scene("TransmissionsWait")
def _transmissions_wait(w: Watched) -> Iterator[None]:
    w.gateway.send("maple", ORIGINAL)
    w.gateway.receive()
    w.later(61)
    w.later(70)
    yield
    w.gateway.work()


@scene("InboundNotRead")
def _inbound_not_read(w: Watched) -> Iterator[None]:
    """Of a partner who left: nobody reads its queue any more, and it is no longer in the file."""
    w.gateway.send("maple", ORIGINAL)
    w.gateway.settle_down()
    del w.partners["maple"]
    w.begin()
    w.gateway.send("maple", edifact("LATE", number(90)))
    w.later(300)
    yield
    w.gateway.receive()
    w.later(301)


@scene("DeadLetters")
def _dead_letters(w: Watched) -> Iterator[None]:
    w.gateway.send("maple", ORIGINAL)
    (letter,) = w.gateway.intake.receive(1)
    letter.reject(requeue=False)
    w.scrape()
    yield
    w.run("dead", "requeue", "--all")


@scene("Parked")
def _parked(w: Watched) -> Iterator[None]:
    park(w.gateway, "maple", ORIGINAL)
    w.scrape()
    yield
    w.run("parked", "release", "--partner", "maple")


@scene("RequestsUnsettled")
def _requests_unsettled(w: Watched) -> Iterator[None]:
    """The broker has lost the request with its disk."""
    w.accepted()
    w.gateway.taken("assessment.requests")
    w.seconds += 901
    w.later(301)
    yield
    w.run("requests", "resend", "--all")
    w.gateway.settle_down()


def _not_read(queue: str, seconds: float) -> Scene:
    def play(w: Watched) -> Iterator[None]:
        assert w.gateway.broker.publish([Letter("one", queue, "", b"x")]).confirmed
        w.later(seconds)
        yield
        w.gateway.taken(queue)
        w.later(seconds + 1)

    return play


SCENES["EngineNotReading"] = _not_read("assessment.requests", 600)
SCENES["ResultsNotRead"] = _not_read(RESULTS, 300)
SCENES["AnswersNotRead"] = _not_read("out.erable", DAY)


@scene("OutboxWaits")
def _outbox_waits(w: Watched) -> Iterator[None]:
    w.gateway.send("maple", ORIGINAL)
    w.gateway.receive()
    w.seconds += 301
    w.later(61)
    yield
    w.gateway.dispatch()


def _without_a_queue(w: Watched) -> None:
    w.gateway.send("maple", edifact("A", number(60)))
    w.gateway.receive()
    with w.gateway.broker.channel() as channel:
        channel.queue_delete("out.maple")
    w.gateway.dispatch()


@scene("DestinationPaused")
def _destination_paused(w: Watched) -> Iterator[None]:
    _without_a_queue(w)
    w.later(601)
    yield
    w.run("doctor", "--declare")
    w.run("unpark", "out.maple")
    w.gateway.dispatch()


@scene("DestinationParked")
def _destination_parked(w: Watched) -> Iterator[None]:
    """Of a partner who left: nobody will ever make its queue again."""
    _without_a_queue(w)
    for _ in range(60):
        w.seconds += 301
        w.gateway.dispatch()
    w.scrape()
    yield
    w.run("answers", "close", "--destination", "out.maple", "--why", "it left")


@scene("OutgoingRefused")
def _outgoing_refused(w: Watched) -> Iterator[None]:
    w.gateway.send("maple", ORIGINAL)
    w.gateway.receive()
    (due,) = w.gateway.journal.due(10, w.now())
    w.gateway.journal.park_refused({due.id: "too large"}, w.now())
    w.scrape()
    yield
    w.run("answers", "close", due.id, "--why", "it is told by telephone")


@scene("AnswersUnacknowledged")
def _answers_unacknowledged(w: Watched) -> Iterator[None]:
    w.gateway.send("maple", ORIGINAL)
    w.gateway.settle_down()
    w.later(limits.ACKNOWLEDGEMENT_HOURS * 3600 + 60)
    yield
    w.run("answers", "close", "--partner", "maple", "--why", "it no longer acknowledges")


@scene("AnswersRejected")
def _answers_rejected(w: Watched) -> Iterator[None]:
    w.gateway.send("maple", ORIGINAL)
    w.gateway.settle_down()
    answer = next(one for one in w.gateway.answers("maple") if one.headers["kind"] == "accepted")
    w.gateway.send("maple", contrl(reference(answer), "4"))
    w.gateway.settle_down()
    w.scrape()
    yield
    w.run("answers", "resend", answer.message_id or "")
    w.gateway.settle_down()
    w.gateway.send("maple", contrl(reference(answer), "7", own="2"))
    w.gateway.settle_down()


@scene("SenderNotProven")
def _sender_not_proven(w: Watched) -> Iterator[None]:
    w.scrape()
    as_user(w.gateway, None)
    w.gateway.send("maple", ORIGINAL)
    w.gateway.settle_down()
    w.scrape()
    yield
    w.later(601)
    w.later(601)


@scene("LoopsDie")
def _loops_die(w: Watched) -> Iterator[None]:
    w.scrape()
    w.vitals["work-1"].deaths += 3
    w.scrape()
    yield
    w.later(601)
    w.later(601)


@scene("LogLinesLost")
def _log_lines_lost(w: Watched) -> Iterator[None]:
    w.scrape()
    w.vitals["work-1"].lost += 1
    w.scrape()
    yield
    w.later(601)
    w.later(601)


@scene("CertificateEnds")
def _certificate_ends(w: Watched) -> Iterator[None]:
    file = w.folder / "gateway.pem"
    given = settings_in(w.folder)
    url = f"{given.database_url}?sslcert={file}"
    w.figures._settings = replace(given, database_url=url)
    w.patch.setattr(figures, "disks", lambda _: {})
    certify(file, 20)
    w.scrape()
    yield
    certify(file, 400)


def certify(path: Path, days: int) -> None:
    """Make a certificate that is good for so many days."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    options = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=gateway")
    command = ["openssl", "req", "-x509", *options, "-days", str(days), "-keyout", "/dev/null", "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)


@scene("DiskFills")
def _disk_fills(w: Watched) -> Iterator[None]:
    w.patch.setattr(figures, "disks", lambda _: {"journal": files.Disk(1_000_000_000, True)})
    w.later(601)
    yield
    w.patch.setattr(figures, "disks", lambda _: {"journal": files.Disk(3_000_000_000, True)})


def _chore(*command: str) -> Scene:
    def play(w: Watched) -> Iterator[None]:
        w.scrape()
        yield
        w.run(*(str(w.folder / "copy") if word == "DIR" else word for word in command))

    return play


SCENES["BackupOld"] = _chore("backup", "DIR")
SCENES["PurgeOld"] = _chore("purge")
SCENES["AuditNotVerified"] = _chore("verify-audit")


@scene("ChoreFailed")
def _chore_failed(w: Watched) -> Iterator[None]:
    (w.folder / "full").mkdir()
    (w.folder / "full/there").touch()
    assert w._run("backup", w.folder / "full").exit_code == 2
    w.scrape()
    yield
    w.run("backup", str(w.folder / "copy"))
