"""Journal, broker and engine in memory, with a fuse at every effect; the service's real steps run against them.

Every commit, acknowledgement and publish is one effect, and the process doing it may die just before or just after.
The pipeline is a stand-in: a message is `BGM+V+<14 digits>+<version>+<reference>`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, TypeVar
from unittest import mock

from core import limits
from core.calendar import Period
from core.declaration import Declaration, MessageType, Nature, VersionFact
from core.envelope import Envelope
from core.errors import BrokerUnavailable, GatewayError, JournalUnavailable
from core.partner import Partner
from core.register import Facts
from core.transmission import Judged, Message, Outcome, Outgoing, Parsed, Received, Syntax, Verdict, stable_id
from gateway import service
from gateway.journal import Case, Claimed, Claims, Conflict, Delivery, Due, Known, Settlement, inbox_id
from gateway.journal.inbox import ready
from gateway.queues.broker import Delivery as Letterbox
from gateway.queues.broker import Letter, Published
from routing.routes import RESULTS

T = TypeVar("T")
START = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
REQUESTS = "assessment.requests"
PARTNERS = {
    name: Partner(name, name, (name.upper(),), f"out.{name}", authorities={"b": (Period(),)})
    for name in ("maple", "erable")
}


class Crash(BaseException):
    """The process is gone: nothing of it may catch this."""


class Fuse:
    """Counts the moments at which a process may die, and lets it die at those it was told."""

    def __init__(self, blows: Iterable[int] = ()) -> None:
        self.moments = 0
        self.blows = set(blows)
        self.stalls: dict[int, Callable[[], object]] = {}

    def moment(self) -> None:
        """Count; die, or let others go on meanwhile, if it is time."""
        self.moments += 1
        if meanwhile := self.stalls.pop(self.moments, None):
            meanwhile()
        if self.moments in self.blows:
            raise Crash

    def effect(self, act: Callable[[], T]) -> T:
        """Do something that lasts; the process may die before it, but not in the middle.

        To die after it is to die before the next, and after the last of a step there is nothing in hand.
        """
        self.moment()
        return act()


# ------------------------------------------------------------------------------------------------ the broker


@dataclass
class Waiting:
    """A message in a queue: in nobody's hand, or in that of one reader."""

    letter: Letter
    number: int
    reader: FakeIntake | None = None
    deliveries: int = 0


class FakeBroker:
    """Queues that keep a message until it is acknowledged; `wire` is all that was ever published, in order."""

    def __init__(self, fuse: Fuse, queues: Iterable[str]) -> None:
        self.fuse = fuse
        self.queues: dict[str, list[Waiting]] = {name: [] for name in queues}
        self.wire: list[Letter] = []
        self.up = True

    def publish(self, batch: Sequence[Letter]) -> Published:
        if not self.up:
            raise BrokerUnavailable("the broker is down")
        confirmed, unroutable = set(), set()
        for letter in batch:
            if letter.queue in self.queues:
                self.fuse.effect(lambda letter=letter: self.put(letter))
                confirmed.add(letter.id)
            else:
                unroutable.add(letter.id)
        return Published(frozenset(confirmed), frozenset(unroutable))

    def put(self, letter: Letter) -> None:
        self.wire.append(letter)
        self.queues[letter.queue].append(Waiting(letter, len(self.wire)))

    def consume(self, queues: Sequence[str], prefetch: int = 50) -> FakeIntake:
        return FakeIntake(self, queues, prefetch)


class FakeIntake:
    """A reader: what it did not acknowledge goes back to its place when it dies."""

    def __init__(self, broker: FakeBroker, queues: Sequence[str], prefetch: int) -> None:
        self.broker, self.names, self.prefetch = broker, queues, prefetch

    def receive(self, timeout: float) -> list[Letterbox]:
        if not self.broker.up:
            raise BrokerUnavailable("the broker is down")
        free = sorted(
            (one for name in self.names for one in self.broker.queues[name] if one.reader is None),
            key=lambda one: one.number,
        )[: self.prefetch]
        for one in free:
            one.reader = self
            one.deliveries += 1
        return [
            Letterbox(
                stable_id(one.letter.queue, one.letter.id, one.letter.body.hex()),
                one.letter.queue,
                one.letter.body,
                one.letter.content_type,
                {},
                one.letter.id,
                one.letter.queue.removeprefix("in."),
                one.deliveries > 1,
                one.number,
                self,  # type: ignore[arg-type]
            )
            for one in free
        ]

    def ack(self, deliveries: Sequence[Letterbox]) -> None:
        tags = {one.tag for one in deliveries}

        def forget() -> None:
            for name in self.names:
                queue = self.broker.queues[name]
                queue[:] = [one for one in queue if one.number not in tags or one.reader is not self]

        self.broker.fuse.effect(forget)

    def reject(self, deliveries: Sequence[Letterbox], requeue: bool) -> None:
        raise AssertionError("nothing here is ever rejected")

    def die(self) -> None:
        for name in self.names:
            for one in self.broker.queues[name]:
                if one.reader is self:
                    one.reader = None


# ------------------------------------------------------------------------------------------------ the journal


@dataclass
class Tables:
    """What the journal has committed."""

    inbox: list[SimpleNamespace] = field(default_factory=list)
    outbox: dict[str, SimpleNamespace] = field(default_factory=dict)
    versions: list[tuple[tuple[str, int], VersionFact, int]] = field(default_factory=list)
    references: dict[tuple[str, str], tuple[str, int, bool]] = field(default_factory=dict)
    requests: dict[str, SimpleNamespace] = field(default_factory=dict)
    resting: dict[str, SimpleNamespace] = field(default_factory=dict)


class FakeJournal:
    """The journal's promises and nothing else: each method is one effect, all of it or nothing."""

    unique = True

    def __init__(self, fuse: Fuse) -> None:
        self.fuse = fuse
        self.t = Tables()
        self.up = True

    def commit(self, act: Callable[[], T]) -> T:
        if not self.up:
            raise JournalUnavailable("the journal is down")
        return self.fuse.effect(act)

    def head(self) -> tuple[int, str]:
        return 0, "0" * 64

    def receive(self, deliveries: Sequence[Delivery]) -> list[bool]:
        return self.commit(lambda: [self._receive(one) for one in deliveries])

    def _receive(self, one: Delivery) -> bool:
        if self.unique and any(row.uid == one.uid for row in self.t.inbox):
            return False
        row = SimpleNamespace(
            sequence=len(self.t.inbox) + 1,
            id=inbox_id(one.uid),
            uid=one.uid,
            channel=one.channel,
            partner=one.partner,
            received_at=one.received_at,
            body=one.body,
            lane=one.lane,
            attempts=0,
            worker=None,
            lease_until=None,
            state="received",
        )
        self.t.inbox.append(row)
        if one.receipt:
            self._send(one.receipt, row.sequence)
        return True

    def _send(self, item: Outgoing, sequence: int) -> None:
        if item.id in self.t.outbox and self.unique:
            return
        self.t.outbox[item.id] = SimpleNamespace(item=item, inbox=sequence, sent=False, attempts=0)

    def resend(self, first: str, now: datetime) -> int:
        return self.commit(lambda: self._due_again(first))

    def _due_again(self, first: str) -> int:
        rows = {row.sequence for row in self.t.inbox if row.id == first}
        again = [out for out in self.t.outbox.values() if out.inbox in rows and out.item.kind != "request"]
        for out in again:
            out.sent = False
        return len(again)

    def claim(self, worker: str, limit: int, lease_seconds: float, now: datetime) -> Claims:
        open_ = [row for row in self.t.inbox if row.state in {"received", "working"}]
        free = set(ready(open_, defaultdict(set), now))
        rows = [row for row in open_ if row.sequence in free]
        tried = [row for row in rows if row.attempts][:1]
        mine = tried or [row for row in rows if not row.attempts][:limit]
        if not mine:
            return Claims()

        def lease() -> Claims:
            for row in mine:
                row.state, row.worker, row.lease_until = "working", worker, now + timedelta(seconds=lease_seconds)
                row.attempts += 1
            claimed = [
                Claimed(
                    row.sequence,
                    row.id,
                    row.uid,
                    row.channel,
                    row.partner,
                    row.received_at,
                    row.body,
                    Received("", None, row.body, now).digest,
                    {},
                    row.lane,
                    row.attempts,
                    worker,
                )
                for row in mine
            ]
            return Claims(
                tuple(row for row in claimed if row.attempts <= limits.ATTEMPTS),
                tuple(row for row in claimed if row.attempts > limits.ATTEMPTS),
            )

        return self.commit(lease)

    def _held(self, claimed: Claimed) -> Any:
        row = self.t.inbox[claimed.sequence - 1]
        held = row.state == "working" and (row.worker, row.attempts) == (claimed.worker, claimed.attempts)
        return row if held else None

    def give_back(self, rows: Sequence[Claimed], until: datetime) -> None:
        def give() -> None:
            for claimed in rows:
                if row := self._held(claimed):
                    row.state, row.worker, row.lease_until = "received", None, until

        self.commit(give)

    def facts(self, partner: str | None, transaction_numbers: Iterable[str], references: Iterable[str]) -> Known:
        return self.facts_of([(partner, transaction_numbers, references)])[0]

    def facts_of(self, asked: Sequence[tuple[str | None, Iterable[str], Iterable[str]]]) -> list[Known]:
        if not self.up:
            raise JournalUnavailable("the journal is down")
        found = []
        for partner, numbers, references in asked:
            histories = {
                number: tuple(fact for key, fact, _ in self.t.versions if key[0] == number) for number in numbers
            }
            used = {
                name: self.t.references[partner or "", name]
                for name in references
                if (partner or "", name) in self.t.references
            }
            found.append(
                Known(
                    {number: facts for number, facts in histories.items() if facts},
                    {name: digest for name, (digest, _, _) in used.items()},
                    {name: self.t.inbox[sequence - 1].id for name, (_, sequence, _) in used.items()},
                    frozenset(name for name, (_, _, accepted) in used.items() if not accepted),
                )
            )
        return found

    def finish(self, done: Sequence[tuple[Claimed, Outcome]], *, specs: str, now: datetime) -> list[bool]:
        def write() -> list[bool]:
            if self.unique:
                self._look_for_conflicts([one for one in done if self._held(one[0])])
            return [self._finish(row, outcome) for row, outcome in done]

        return self.commit(write)

    def _look_for_conflicts(self, done: Sequence[tuple[Claimed, Outcome]]) -> None:
        versions = {key for key, _, _ in self.t.versions}
        taken = {key for key, (_, _, accepted) in self.t.references.items() if accepted}
        for claimed, outcome in done:
            for judged in outcome.judged:
                if judged.effect is None:
                    continue
                version = judged.effect.declaration.transaction_number or "", judged.effect.version
                reference = claimed.partner or "", judged.message.envelope.reference or ""
                if version in versions or reference in taken:
                    raise Conflict("another was first")
                versions.add(version)
                taken.add(reference)

    def _finish(self, claimed: Claimed, outcome: Outcome) -> bool:
        row = self._held(claimed)
        if row is None:
            return False
        for judged in outcome.judged:
            key = row.partner or "", judged.message.envelope.reference or ""
            used = self.t.references.get(key)
            if used is None or not used[2]:
                self.t.references[key] = (claimed.digest, row.sequence, judged.verdict is Verdict.ACCEPTED)
            if judged.effect:
                version = judged.effect.declaration.transaction_number or "", judged.effect.version
                self.t.versions.append((version, judged.effect, row.sequence))
        for item in outcome.outgoing:
            self._send(item, row.sequence)
            if item.kind == "request":
                self.t.requests[item.id] = SimpleNamespace(inbox=row.sequence, status="accepted", settled=0)
        row.state = "done"
        return True

    def answer_again(self, claimed: Claimed, first: str, now: datetime) -> int:
        def again() -> int:
            row = self._held(claimed)
            if row is None:
                return 0
            row.state = "done"
            return self._due_again(first)

        return self.commit(again)

    def park(self, rows: Sequence[tuple[Claimed, str, Sequence[Outgoing]]], *, now: datetime) -> list[bool]:
        def park() -> list[bool]:
            parked = []
            for claimed, _why, answers in rows:
                row = self._held(claimed)
                parked.append(row is not None)
                if row is not None:
                    row.state = "parked"
                    for item in answers:
                        self._send(item, row.sequence)
            return parked

        return self.commit(park)

    def case(self, request_id: str) -> Case | None:
        request = self.t.requests.get(request_id)
        if request is None:
            return None
        row = self.t.inbox[request.inbox - 1]
        key, fact, _ = next(one for one in self.t.versions if one[2] == request.inbox)
        return Case(
            key[0], fact, Received(row.id, row.partner, row.body, row.received_at), 1, Syntax.EDIFACT, Envelope()
        )

    def settle(self, done: Sequence[tuple[Claimed, Settlement]], *, now: datetime) -> list[bool]:
        return self.commit(lambda: [self._settle(*one) for one in done])

    def _settle(self, claimed: Claimed, settlement: Settlement) -> bool:
        row = self._held(claimed)
        if row is None:
            return False
        row.state = "done"
        request = self.t.requests.get(settlement.request_id)
        if request is None or (self.unique and request.status != "accepted"):
            return False
        request.status = settlement.status
        request.settled += 1
        for item in settlement.outgoing:
            self._send(item, request.inbox)
        return True

    def due(self, limit: int, now: datetime) -> list[Due]:
        if not self.up:
            raise JournalUnavailable("the journal is down")
        waiting = [out for out in self.t.outbox.values() if not out.sent and not self._rests(out, now)]
        waiting.sort(key=lambda out: out.item.destination)
        return [self._due(out) for out in waiting[:limit]]

    def _due(self, out: SimpleNamespace) -> Due:
        item, row = out.item, self.t.inbox[out.inbox - 1]
        given = {
            "id": item.id,
            "kind": item.kind,
            "destination": item.destination,
            "content_type": item.content_type,
            "body": item.body,
            "created_at": START,
            "attempts": out.attempts,
            "answers": row.id,
        }
        return Due(**{name: given[name] for name in Due.__dataclass_fields__})

    def _rests(self, out: SimpleNamespace, now: datetime) -> bool:
        resting = self.t.resting.get(out.item.destination)
        return resting is not None and (resting.parked or resting.until > now)

    def mark_sent(self, ids: Sequence[str], now: datetime) -> int:
        if not ids:
            return 0

        def mark() -> int:
            marked = [self.t.outbox[one] for one in ids if not self.t.outbox[one].sent]
            for out in marked:
                out.sent = True
                self.t.resting.pop(out.item.destination, None)
            return len(marked)

        return self.commit(mark)

    def postpone(self, name: str, ids: Sequence[str], error: str, now: datetime) -> datetime | None:
        def rest() -> datetime | None:
            one = self.t.resting.setdefault(name, SimpleNamespace(failures=0, until=now, parked=False))
            one.failures += 1
            one.until = now + timedelta(seconds=min(300, 2 ** (one.failures - 1)))
            one.parked |= one.failures >= 55
            return None if one.parked else one.until

        return self.commit(rest)


# ------------------------------------------------------------------------------------------------ the pipeline


def body_of(number: int, version: int = 1, reference: str | None = None) -> bytes:
    """Return a message of the stand-in's syntax."""
    return f"BGM+V+{number:014d}+{version}+{reference or f'R{number}.{version}'}".encode()


def _parse(received: Received, _specs: object) -> Parsed:
    _, _, number, version, reference = received.body.decode().split("+")
    declaration = Declaration({"transaction_number": number, "version": version})
    kind = MessageType.DECLARATION if version == "1" else MessageType.CORRECTION
    said = Envelope(reference=reference)
    message = Message(1, Syntax.EDIFACT, kind, said, "24", declaration, (), None)  # type: ignore[arg-type]
    return Parsed(received, Syntax.EDIFACT, (message,))


def _repeats(parsed: Parsed, facts: Facts) -> str | None:
    reference = parsed.messages[0].envelope.reference or ""
    return reference if facts.references.get(reference) == parsed.received.digest else None


def _judge(parsed: Parsed, facts: Facts, _specs: object) -> Outcome:
    """Accept a first version of a new number and the version that follows the last; answer, and ask the engine."""
    message, received = parsed.messages[0], parsed.received
    assert message.declaration is not None
    number, version = message.declaration.transaction_number or "", int(message.declaration.version or "0")
    history = facts.histories.get(number, ())
    free = message.envelope.reference not in facts.references
    good = free and version == (history[-1].version if history else 0) + 1
    verdict = Verdict.ACCEPTED if good else Verdict.REFUSED
    nature = Nature.ORIGINAL if version == 1 else Nature.CORRECTION
    effect = VersionFact(version, received.partner or "", nature, "accepted", message.declaration, facts.now, None)
    judged = Judged(message, verdict, (), nature if good else None, effect if good else None)
    partner = facts.partner or PARTNERS["maple"]
    answer = stable_id(received.id, "1", str(verdict))
    outgoing = [Outgoing(answer, str(verdict), partner.answer_queue, "text/plain", received.body, 1)]
    if good:
        request = stable_id(received.id, "1", "request")
        outgoing.append(Outgoing(request, "request", REQUESTS, "text/plain", request.encode(), 1))
    return Outcome(received, Syntax.EDIFACT, (judged,), tuple(outgoing))


def _respond_assessed(
    parsed: Parsed, ordinal: int, _fact: object, result: Any, partner: Partner, _now: object, _specs: object
) -> Outgoing:
    answer = stable_id(parsed.received.id, str(ordinal), "result", result.message_id)
    return Outgoing(answer, "assessed", partner.answer_queue, "text/plain", parsed.received.body, ordinal)


def _respond_technical(received: Received, partner: Partner, _specs: object) -> Outgoing:
    answer = stable_id(received.id, "technical")
    return Outgoing(answer, "technical", partner.answer_queue, "text/plain", received.body)


STAND_IN = SimpleNamespace(
    parse=_parse,
    repeats=_repeats,
    judge=_judge,
    respond_assessed=_respond_assessed,
    respond_technical=_respond_technical,
    status_after=lambda nature, outcome: "assessed",
)
SILENT = SimpleNamespace(**dict.fromkeys(("info", "warning", "error"), lambda *_, **__: None))


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
            mock.patch.object(service, "logger", return_value=SILENT),
            mock.patch.object(service, "bound", _unbound),
            mock.patch.object(service, "now", side_effect=self._clock),
            mock.patch.object(service, "read_result", _read_result),
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
            return service.work(journal, SimpleNamespace(digest="d"), PARTNERS, worker)  # type: ignore[arg-type]
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
        """Run one step of one process; when it dies or must wait, its readers are gone, its leases are not."""
        try:
            return self.step(loop, worker)
        except (Crash, GatewayError) as why:
            self.deaths += isinstance(why, Crash)
            if loop in self._readers:
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
        keys = [key for key, _, _ in t.versions]
        if len(keys) != len(set(keys)):
            wrong.append("an effect came twice")
        if any(request.settled != 1 for request in t.requests.values()) or len(t.requests) != len(keys):
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
