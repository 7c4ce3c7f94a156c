"""The journal against a model: deliveries, redeliveries, crashes, late workers and races in any order."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from core import limits
from core.declaration import Declaration, MessageType, Nature, VersionFact
from core.envelope import Envelope
from core.transmission import Judged, Message, Outcome, Outgoing, Syntax, Verdict, stable_id
from gateway.journal import Arrival, Claimed, Conflict, Journal, inbox_id
from tests.support.effort import times

LEASE = 60
START = datetime(2026, 5, 4, tzinfo=UTC)


class JournalMachine(RuleBasedStateMachine):
    """`waiting` is what is neither done nor parked, in order; `holders` who was given what last."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.journal = Journal.open(f"sqlite:///{Path(self.folder.name)}/journal.sqlite3")
        self.journal.migrate()
        self.now = START
        self.waiting: dict[str, tuple[str, str]] = {}
        self.seen: set[str] = set()
        self.claimed: list[Claimed] = []
        self.holders: dict[str, Claimed] = {}
        self.versions: dict[str, str] = {}
        self.expected: set[str] = set()
        self.sent: list[str] = []
        self.parked: dict[str, tuple[str, str]] = {}
        self.closed: set[str] = set()

    def teardown(self) -> None:
        self.journal.close()
        self.folder.cleanup()

    @rule(
        uid=st.integers(0, 12).map(str),
        partner=st.sampled_from(["P1", "P2"]),
        lane=st.sampled_from(["1", "2", "3", "*"]),
    )
    def deliver(self, uid: str, partner: str, lane: str) -> None:
        receipt = Outgoing(stable_id("receipt", uid), "receipt", f"out.{partner}", "text/plain", uid.encode())
        new = self.journal.receive([Arrival(uid, "partner", partner, uid.encode(), {}, self.now, lane, receipt)])
        assert new == [uid not in self.seen]
        if new == [True]:
            self.seen.add(uid)
            self.waiting[uid] = (partner, lane)
            self.expected.add(receipt.id)

    @rule(worker=st.sampled_from(["v", "w"]), limit=st.integers(1, 4))
    def claim(self, worker: str, limit: int) -> None:
        claims = self.journal.claim(worker, limit, LEASE, self.now)
        for row in claims.work + claims.exhausted:
            before = list(self.waiting)[: list(self.waiting).index(row.uid)]
            for earlier in before:
                partner, lane = self.waiting[earlier]
                assert partner != row.partner or (lane != row.lane and "*" not in {lane, row.lane})
            held = self.holders.get(row.uid)
            assert row.attempts == (held.attempts + 1 if held else 1)
            self.holders[row.uid] = row
        assert all(row.attempts <= limits.ATTEMPTS for row in claims.work)
        assert all(row.attempts > limits.ATTEMPTS for row in claims.exhausted)
        self.claimed += claims.work
        if claims.exhausted:
            answer = [self.answer(row) for row in claims.exhausted]
            parked = [(row, "tried too often", [item]) for row, item in zip(claims.exhausted, answer, strict=True)]
            assert self.journal.park(parked, now=self.now) == [True] * len(answer)
            for row, item in zip(claims.exhausted, answer, strict=True):
                self.parked[row.uid] = self.waiting.pop(row.uid)
                self.expected.add(item.id)

    @precondition(lambda self: self.holders.keys() & self.waiting.keys())
    @rule(data=st.data())
    def park(self, data: st.DataObject) -> None:
        """Take what somebody holds out of the way, as a result that nobody can read."""
        row = self.holders[data.draw(st.sampled_from(sorted(self.holders.keys() & self.waiting.keys())))]
        assert self.journal.park([(row, "cannot be read", ())], now=self.now) == [True]
        self.parked[row.uid] = self.waiting.pop(row.uid)

    @precondition(lambda self: self.parked)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """It takes its old place, never tried; who held it before comes too late."""
        uid = data.draw(st.sampled_from(sorted(self.parked)))
        assert self.journal.release_parked(self.sequence(uid), "Jo", self.now)
        assert not self.journal.release_parked(self.sequence(uid), "Jo", self.now)
        self.waiting[uid] = self.parked.pop(uid)
        self.waiting = {each: self.waiting[each] for each in sorted(self.waiting, key=self.sequence)}
        del self.holders[uid]

    @precondition(lambda self: self.seen)
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        """Whatever became of the answers, closed ones included: all of them are due."""
        life = self.journal.show(inbox_id(data.draw(st.sampled_from(sorted(self.seen)))))
        assert life is not None
        answers = {item["id"] for item in life["outbox"]}
        assert self.journal.resend(life["id"], self.now) == len(answers)
        assert answers <= {item.id for item in self.journal.due(1000, self.now)}
        self.closed -= answers

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        """What is not sent is not to be sent; what is sent stays so."""
        id_ = data.draw(st.sampled_from(sorted(self.expected)))
        due = {item.id for item in self.journal.due(1000, self.now)}
        assert self.journal.close_answers([id_], "Jo", "by hand", self.now) == (id_ in due)
        self.closed |= {id_} & due

    @precondition(lambda self: self.claimed)
    @rule(data=st.data(), number=st.integers(0, 5).map(str))
    def finish(self, data: st.DataObject, number: str) -> None:
        """Any worker that was ever given the row may come back with a verdict, however late."""
        row = data.draw(st.sampled_from(self.claimed))
        mine = row.uid in self.waiting and self.holders.get(row.uid) == row
        taken = number in self.versions
        declaration = Declaration({"transaction_number": number, "version": "00001"})
        message = Message(
            1,
            Syntax.XML,
            MessageType.DECLARATION,
            Envelope(),
            "chapter24",
            declaration,
            (),
            None,  # type: ignore[arg-type]
        )
        effect = VersionFact(1, "P", Nature.ORIGINAL, "accepted", declaration, self.now, None)
        judged = Judged(message, Verdict.ACCEPTED, (), Nature.ORIGINAL, effect)
        outcome = Outcome(row.received, Syntax.XML, (judged,), (self.answer(row),))
        try:
            assert self.journal.finish([(row, outcome)], specs="d", now=self.now) == [mine]
            assert not (mine and taken)
        except Conflict:
            assert mine
            assert taken
            return
        if mine:
            del self.waiting[row.uid]
            self.versions[number] = row.uid
            self.expected.add(self.answer(row).id)

    @rule(limit=st.integers(1, 5), lost=st.booleans())
    def dispatch(self, limit: int, lost: bool) -> None:
        """What was published may not be marked, when the dispatcher dies in between; then it goes out again."""
        due = self.journal.due(limit, self.now)
        self.sent += [item.id for item in due]
        if not lost:
            assert self.journal.mark_sent([item.id for item in due], self.now) == len(due)

    @rule(seconds=st.sampled_from([1, LEASE, 10 * LEASE]))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @invariant()
    def nothing_is_lost_and_nothing_counts_twice(self) -> None:
        known = self.journal.facts(None, map(str, range(6)), [])
        assert set(known.versions) == set(self.versions)
        assert all(len(attempts) == 1 for attempts in known.versions.values())
        due = {item.id for item in self.journal.due(1000, self.now)}
        assert due | set(self.sent) | self.closed == self.expected
        assert not due & self.closed
        counts = self.journal.counts(self.now)
        assert counts["received"] + counts["working"] == len(self.waiting)
        assert (counts["parked"], counts["outbox"]) == (len(self.parked), len(due))
        assert self.journal.verify().bad is None

    def sequence(self, uid: str) -> int:
        """Return the number of a transmission."""
        found = self.journal.sequence_of(inbox_id(uid))
        assert found is not None
        return found

    @staticmethod
    def answer(row: Claimed) -> Outgoing:
        return Outgoing(stable_id("answer", row.id), "accepted", f"out.{row.partner}", "text/plain", b"answer", 1)


JournalMachine.TestCase.settings = settings(max_examples=times(0.2), stateful_step_count=30)
TestJournalMachine = JournalMachine.TestCase
