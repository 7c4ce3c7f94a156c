"""A journal in memory: its promises and nothing else; what is on file is a register, every method one effect."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, TypeVar

from core import limits
from core.errors import JournalUnavailable
from core.register import Register
from core.transmission import (
    Outcome,
    Outgoing,
    Received,
    digest_of,
)
from gateway.journal import Arrival, Asked, Claimed, Claims, Conflict, Due, Settlement, inbox_id
from gateway.journal.inbox import ready
from tests.support.fake_broker import Fuse

T = TypeVar("T")
START = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)


@dataclass
class Tables:
    """What the journal has committed; `effects` tells each (transaction number, version) that was made, in order."""

    inbox: list[SimpleNamespace] = field(default_factory=list)
    outbox: dict[str, SimpleNamespace] = field(default_factory=dict)
    register: Register = field(default_factory=Register)
    effects: list[tuple[str, int]] = field(default_factory=list)
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

    def receive(self, arrivals: Sequence[Arrival]) -> list[bool]:
        return self.commit(lambda: [self._receive(one) for one in arrivals])

    def _receive(self, one: Arrival) -> bool:
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

    def kept_digest(self, id_: str) -> str | None:
        return next((digest_of(row.body) for row in self.t.inbox if row.id == id_), None)

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

    def claim(self, worker: str, limit: int, lease_seconds: float, now: datetime, _role: str = "all") -> Claims:
        open_ = [row for row in self.t.inbox if row.state in {"received", "working"}]
        free = set(ready(open_, defaultdict(set), now))
        rows = [row for row in open_ if row.sequence in free]
        fresh = [row for row in rows if not row.attempts][:limit]
        mine = fresh or [row for row in rows if row.attempts][:1]
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
                    digest_of(row.body),
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

    def facts(self, partner: str | None, transaction_numbers: Iterable[str], references: Iterable[str]) -> Register:
        return self.facts_of([(partner, transaction_numbers, references)])[0]

    def facts_of(self, asked: Sequence[tuple[str | None, Iterable[str], Iterable[str]]]) -> list[Register]:
        if not self.up:
            raise JournalUnavailable("the journal is down")
        return [self.t.register] * len(asked)

    def finish(self, done: Sequence[tuple[Claimed, Outcome]], *, specs: str, now: datetime) -> list[bool]:
        def write() -> list[bool]:
            if self.unique:
                self._look_for_conflicts([one for one in done if self._held(one[0])])
            return [self._finish(row, outcome) for row, outcome in done]

        return self.commit(write)

    def _look_for_conflicts(self, done: Sequence[tuple[Claimed, Outcome]]) -> None:
        register = self.t.register
        for claimed, outcome in done:
            for judged in outcome.judged:
                if judged.effect is None:
                    continue
                attempts = register.attempts(judged.effect.declaration.transaction_number)
                reference = judged.message.number
                if judged.effect.attempt in {each.attempt for each in attempts} or register.taken(
                    claimed.partner, reference, claimed.digest
                ):
                    raise Conflict("another was first")
            register = register.after(outcome)

    def _finish(self, claimed: Claimed, outcome: Outcome) -> bool:
        row = self._held(claimed)
        if row is None:
            return False
        self.t.register = self.t.register.after(outcome)
        for judged in outcome.judged:
            if judged.effect:
                self.t.effects.append((judged.effect.declaration.transaction_number or "", judged.effect.version))
        for item in outcome.outgoing:
            self._send(item, row.sequence)
            if item.kind == "request":
                self.t.requests[item.id] = SimpleNamespace(inbox=row.sequence, settled=0)
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

    def asked(self, request_id: str) -> Asked | None:
        if request_id not in self.t.requests:
            return None
        request = self.t.register.requests[request_id]
        facts = self.t.register.attempts(request.transaction_number)
        fact = next(each for each in facts if each.attempt == request.attempt)
        row = self.t.inbox[self.t.requests[request_id].inbox - 1]
        received = Received(row.id, row.partner, row.body, row.received_at)
        return Asked(replace(fact, nature=request.nature), received, 1, b"")

    def settle(self, done: Sequence[tuple[Claimed, Settlement]], *, now: datetime) -> list[bool]:
        return self.commit(lambda: [self._settle(*one) for one in done])

    def _settle(self, claimed: Claimed, settlement: Settlement) -> bool:
        row = self._held(claimed)
        if row is None:
            return False
        row.state = "done"
        request, before = self.t.requests.get(settlement.request_id), self.t.register
        self.t.register = before.settled(settlement.request_id, settlement.status, settlement.payment_due)
        if request is None or (self.unique and self.t.register is before):
            return False
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
            "correlation": None,
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
