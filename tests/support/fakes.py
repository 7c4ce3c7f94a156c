"""A gateway of stand-ins in one process, with a fuse at every effect; the service's real steps run in it.

Every commit, acknowledgement and publish is one effect, and the process doing it may die just before or just after.
The pipeline is a stand-in: a message is `BGM+V+<14 digits>+<version>+<reference>`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest import mock

from core.calendar import Period
from core.declaration import Declaration, MessageType, Nature, VersionFact
from core.envelope import Envelope
from core.errors import GatewayError, JournalUnavailable
from core.partner import Partner
from core.register import ACCEPTED, Facts
from core.transmission import (
    Judged,
    Message,
    Outcome,
    Outgoing,
    Parsed,
    Received,
    Syntax,
    Verdict,
    stable_id,
)
from gateway import service
from gateway.queues import Letter
from routing.routes import RESULTS
from tests.support.fake_broker import Crash, FakeBroker, FakeIntake, Fuse
from tests.support.fake_journal import START, FakeJournal

REQUESTS = "assessment.requests"
PARTNERS = {
    name: Partner(name, name, (name.upper(),), f"out.{name}", authorities={"b": (Period(),)})
    for name in ("maple", "erable")
}


def body_of(number: int, version: int = 1, reference: str | None = None) -> bytes:
    """Return a message of the stand-in's syntax."""
    return f"BGM+V+{number:014d}+{version}+{reference or f'R{number}.{version}'}".encode()


def _parse(received: Received, _plans: object) -> Parsed:
    _, _, number, version, reference = received.body.decode().split("+")
    declaration = Declaration({"transaction_number": number, "version": version})
    kind = MessageType.DECLARATION if version == "1" else MessageType.CORRECTION
    said = Envelope(reference=reference)
    message = Message(1, Syntax.EDIFACT, kind, said, "24", declaration, (), None)  # type: ignore[arg-type]
    return Parsed(received, Syntax.EDIFACT, (message,))


def _judge(parsed: Parsed, facts: Facts, _plans: object) -> Outcome:
    """Accept a first version of a new number and the version that follows the last; answer, and ask the engine."""
    message, received = parsed.messages[0], parsed.received
    assert message.declaration is not None
    number, version = message.declaration.transaction_number, int(message.declaration.version or "0")
    attempts = facts.register.attempts(number)
    taken = facts.register.taken(received.partner, message.number, received.digest)
    good = not taken and version == (attempts[-1].version if attempts else 0) + 1
    verdict = Verdict.ACCEPTED if good else Verdict.REFUSED
    nature = Nature.ORIGINAL if version == 1 else Nature.CORRECTION
    effect = VersionFact(
        version,
        received.partner or "",
        nature,
        ACCEPTED,
        message.declaration,
        received.received_at,
        None,
        attempt=len(attempts) + 1,
    )
    judged = Judged(message, verdict, (), nature if good else None, effect if good else None)
    partner = facts.partner or PARTNERS["maple"]
    answer = stable_id(received.id, "1", str(verdict))
    outgoing = [Outgoing(answer, str(verdict), partner.answer_queue, "text/plain", received.body, 1)]
    if good:
        request = stable_id(received.id, "1", "request")
        outgoing.append(Outgoing(request, "request", REQUESTS, "text/plain", request.encode(), 1))
    return Outcome(received, Syntax.EDIFACT, (judged,), tuple(outgoing))


def _respond_assessed(
    parsed: Parsed, ordinal: int, _fact: object, result: Any, partner: Partner, _now: object, _packs: object
) -> Outgoing:
    answer = stable_id(parsed.received.id, str(ordinal), "result", result.message_id)
    return Outgoing(answer, "assessed", partner.answer_queue, "text/plain", parsed.received.body, ordinal)


def _hold(received: Received, partner: Partner, _plans: object) -> Outgoing:
    answer = stable_id(received.id, "technical")
    return Outgoing(answer, "technical", partner.answer_queue, "text/plain", received.body)


STAND_IN = SimpleNamespace(parse=_parse, judge=_judge, hold=_hold)
PLANS: Any = SimpleNamespace(digest="d", specs=SimpleNamespace(packs=()))
SILENT = SimpleNamespace(**dict.fromkeys(("debug", "info", "warning", "error"), lambda *_, **__: None))


def _read_result(body: bytes) -> Any:
    return SimpleNamespace(message_id=body.decode(), outcome="approved", payment_due=None)


@contextmanager
def _unbound(**_: object) -> Iterator[None]:
    yield


class World:
    """One gateway of four processes, taking turns; `turn` runs one of them and lets it die where the fuse says."""

    LOOPS = ("receive", "work", "engine", "dispatch")

    def __init__(self, blows: Iterable[int] = (), batch: int = 2) -> None:
        self.fuse = Fuse(blows)
        self.batch = batch
        self.now = START
        self.journal = FakeJournal(self.fuse)
        queues = [*(f"{way}.{name}" for way in ("in", "out") for name in PARTNERS), REQUESTS, RESULTS]
        self.broker = FakeBroker(self.fuse, queues)
        self.sent: list[Letter] = []
        self.deaths = 0
        self._readers: dict[str, FakeIntake] = {}

    def send(self, body: bytes, message_id: str, partner: str = "maple") -> None:
        """Put a sender's message into its queue; its confirmation is not our subject."""
        letter = Letter(message_id, f"in.{partner}", "text/plain", body)
        self.sent.append(letter)
        self.broker.put(letter)

    @contextmanager
    def running(self) -> Iterator[World]:
        """Let the service see the stand-ins and this world's clock."""
        with (
            mock.patch.object(service, "pipeline", STAND_IN),
            mock.patch.object(service, "respond_assessed", _respond_assessed),
            mock.patch.object(service, "logger", return_value=SILENT),
            mock.patch.object(service, "bound", _unbound),
            mock.patch.object(service, "now", side_effect=self._clock),
            mock.patch.object(service, "read_result", _read_result),
            mock.patch.object(service, "compare"),
            mock.patch.object(service, "BATCH", self.batch),
        ):
            yield self

    def _clock(self) -> datetime:
        return self.now

    def reader(self, loop: str) -> FakeIntake:
        if loop not in self._readers:
            names = [REQUESTS] if loop == "engine" else [*(f"in.{name}" for name in PARTNERS), RESULTS]
            self._readers[loop] = self.broker.consume(names, self.batch)
        return self._readers[loop]

    def step(self, loop: str, worker: str = "w") -> int:
        journal: Any = self.journal
        broker: Any = self.broker
        if loop == "receive":
            return service.receive(self.reader(loop), journal, PARTNERS, 0)  # type: ignore[arg-type]
        if loop == "work":
            return service.work(journal, PLANS, PARTNERS, worker)
        if loop == "dispatch":
            return service.dispatch(broker, journal)
        return self._engine()

    def _engine(self) -> int:
        reader = self.reader("engine")
        requests = reader.receive(0)
        for request in requests:
            result = Letter(stable_id(request.message_id or "", "result"), RESULTS, "text/plain", request.body)
            if result.id in self.broker.publish([result]).confirmed:
                reader.ack([request])
        return len(requests)

    def turn(self, loop: str, worker: str = "w") -> int:
        """Run one step of one process; when it dies, its readers are gone, its leases are not.

        So it is when it must wait, but for the journal: what it has in hand it keeps then.
        """
        try:
            return self.step(loop, worker)
        except (Crash, GatewayError) as why:
            self.deaths += isinstance(why, Crash)
            if loop in self._readers and not isinstance(why, JournalUnavailable):
                self._readers.pop(loop).die()
            return 1 if isinstance(why, Crash) else 0

    def drain(self, rounds: int = 300) -> None:
        """Let everything come to rest; the clock goes on when nothing else can happen."""
        for _ in range(rounds):
            if not sum(self.turn(loop) for loop in self.LOOPS):
                if self.at_rest():
                    return
                self.now += timedelta(seconds=61)

    def at_rest(self) -> bool:
        """Tell whether nothing waits any more but answers for their readers and what is parked."""
        mine = [name for name in self.broker.queues if not name.startswith("out.")]
        return (
            not any(self.broker.queues[name] for name in mine)
            and all(row.state in {"done", "parked"} for row in self.journal.t.inbox)
            and all(out.sent for out in self.journal.t.outbox.values())
        )

    # -------------------------------------------------------------------------------------------- what must hold

    def violations(self) -> list[str]:
        """Return what is lost, doubled or out of order once everything is at rest."""
        t = self.journal.t
        wrong = [] if self.at_rest() else ["something never comes to rest"]
        uids = [row.uid for row in t.inbox if row.channel == "partner"]
        expected = {stable_id(one.queue, one.id, one.body.hex()) for one in self.sent}
        if set(uids) != expected or len(uids) != len(expected):
            wrong.append(f"{len(expected)} sent, {len(uids)} recorded")
        if len(t.effects) != len(set(t.effects)):
            wrong.append("an effect came twice")
        if any(request.settled != 1 for request in t.requests.values()) or len(t.requests) != len(t.effects):
            wrong.append("a request was not settled exactly once")
        bodies: dict[str, set[bytes]] = defaultdict(set)
        for letter in self.broker.wire:
            bodies[letter.id].add(letter.body)
        if any(len(found) > 1 for found in bodies.values()):
            wrong.append("one id with two contents")
        if unsent := set(t.outbox) - set(bodies):
            wrong.append(f"{len(unsent)} marked as sent that never went out")
        kinds: dict[int, list[str]] = defaultdict(list)
        for out in t.outbox.values():
            kinds[out.inbox].append(out.item.kind)
        for row in t.inbox:
            if row.channel == "partner" and not self._answered(row, sorted(kinds[row.sequence])):
                wrong.append(f"{row.body.decode()} was answered with {kinds[row.sequence]}")
        return wrong

    def _answered(self, row: SimpleNamespace, kinds: list[str]) -> bool:
        if row.state == "parked":
            return kinds == ["receipt", "technical"]
        same = [one for one in self.journal.t.inbox if (one.body, one.partner) == (row.body, row.partner)]
        if row is not next(one for one in same if one.state != "parked"):
            return kinds == ["receipt"]
        return kinds in (["accepted", "assessed", "receipt", "request"], ["receipt", "refused"])
