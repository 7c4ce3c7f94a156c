"""Whatever is sent, read, acknowledged, interrupted, in any order: an answer comes until acknowledged, then never.

No partner sees or acknowledges another's. A process that is killed is in test_exchange_processes.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.errors import FlakyFailure
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, multiple, rule

from gateway.queues import Letter, open_broker
from gateway.web import exchange_answers
from tests.support.effort import run_machine, times
from tests.support.exchange import TOKENS, Partner, door, with_tokens
from tests.support.house import settings_in

PARTNERS = st.sampled_from(sorted(TOKENS))


class Readers(RuleBasedStateMachine):
    """Two partners who read through an exchange that is closed and opened again."""

    cursors = Bundle("cursors")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.settings = settings_in(self.folder, partners=with_tokens(self.folder))  # type: ignore[arg-type]
        self.broker = open_broker(self.settings.broker_url)
        self.broker.declare([f"{way}.{name}" for name in TOKENS for way in ("in", "out")])
        self.laid = 0
        self.waiting: dict[str, list[str]] = {name: [] for name in TOKENS}
        self.given: dict[str, list[str]] = defaultdict(list)  # by session, in order
        self.open()

    def open(self) -> None:
        self.afterwards = ExitStack()
        self.client = self.afterwards.enter_context(door(self.settings))

    def teardown(self) -> None:
        for name, waiting in self.waiting.items():
            found, after = list[str](), None
            while len(found) < len(waiting):
                read = self.of(name).read(wait=5, after=after)
                assert read["answers"], f"{name} waits for {waiting[len(found) :]}"
                found, after = found + [each["id"] for each in read["answers"]], read["cursor"]
            assert found == waiting
        self.afterwards.close()
        self.broker.close()
        shutil.rmtree(self.folder)

    def of(self, name: str) -> Partner:
        return Partner(self.client, TOKENS[name])

    @rule(name=PARTNERS, count=st.integers(1, 3))
    def answers_come(self, name: str, count: int) -> None:
        letters = [Letter(f"{self.laid + n}", f"out.{name}", "text/plain", b"x") for n in range(count)]
        self.laid += count
        assert len(self.broker.publish(letters).confirmed) == count
        self.waiting[name] += [each.id for each in letters]

    @rule(target=cursors, name=PARTNERS, after=st.none() | cursors)
    def read(self, name: str, after: tuple[str, str, tuple[str, ...]] | None) -> object:
        """With a cursor, be it another's or a former one; whether the program that reads then lives or not."""
        cursor = after[1] if after else None
        read = self.of(name).read(wait=1 if after is None and self.waiting[name] else 0, after=cursor)
        found, session = [each["id"] for each in read["answers"]], read["cursor"].partition(".")[0]
        assert found == [each for each in self.waiting[name] if each in found], "its own, in order, not acknowledged"
        given = self.given[session]
        given += [each for each in found if each not in given]
        if after is None:
            assert found == self.waiting[name][: len(found)]
            assert bool(found) >= bool(self.waiting[name])
        if not found:
            return multiple()
        return name, read["cursor"], tuple(given[: given.index(found[-1]) + 1])

    @rule(cursor=consumes(cursors), name=PARTNERS)
    def acknowledge(self, cursor: tuple[str, str, tuple[str, ...]], name: str) -> None:
        owner, text, covered = cursor
        answer = self.of(name).acknowledge(text)
        if answer.status_code == 409:  # another's, or of a reading that has ended
            return
        assert (answer.status_code, name) == (200, owner)
        before = len(self.waiting[name])
        self.waiting[name] = [each for each in self.waiting[name] if each not in covered]
        assert answer.json()["acknowledged"] == before - len(self.waiting[name])

    @rule(name=PARTNERS, which=st.integers(0, 20))
    def acknowledge_one(self, name: str, which: int) -> None:
        """By its id, of anybody's or nobody's."""
        answer = self.of(name).ask("DELETE", f"/api/answers/{which}")
        if answer.status_code == 204:
            self.waiting[name].remove(f"{which}")
        else:
            assert answer.status_code == 404

    @rule()
    def restart(self) -> None:
        self.afterwards.close()
        self.open()


def test_answers_come_until_they_are_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_answers, "LOOK_SECONDS", 0.01)
    run_machine(Readers, examples=times(0.3))


class Acknowledges(Readers):
    """A wrong one: what is read counts as acknowledged, as by a client of AMQP that acknowledges before it keeps."""

    @rule(name=PARTNERS)
    def eat(self, name: str) -> None:
        self.broker.take(f"out.{name}", 0.01)


@pytest.mark.slow
def test_the_machine_sees_an_answer_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_answers, "LOOK_SECONDS", 0.01)
    # Who is faster, the one that eats or the reader of the queue, is the threads' luck, so not every loss shows twice.
    with pytest.raises((AssertionError, ValueError, FlakyFailure)):
        run_machine(Acknowledges, examples=times(1), mutant=True)
