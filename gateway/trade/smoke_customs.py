"""The smoke test in the role of customs: answers a partner's own system as production would, and keeps the score.

What a partner has understood can be seen from outside in two ways only: whether its answer queue is emptied, and
whether what was refused comes again put right, after the refusal was taken. Both are compared with the scenario.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator
from functools import partial

from core.findings import Bilingual
from core.partner import Partner
from core.transmission import Received, Verdict, stable_id
from gateway import pipeline, service
from gateway.engine.assess import assess, load_rates
from gateway.journal import Arrival, Journal
from gateway.plans import Plans
from gateway.queues import Broker, Intake, Letter
from gateway.trade import smoke_score
from gateway.trade.scenario import Scenario
from gateway.trade.smoke import Result, note, words
from gateway.trade.smoke_score import Arrived, Score
from routing.assessment import read_request, write_result
from routing.routes import for_tests, load_routes

# How long one look at the inbound queue waits; a message is seen at once all the same.
LOOK_SECONDS = 0.2

# How often the answer queue's depth is asked while answers lie in it: each time opens a connection.
ASK_SECONDS = 0.25

# The route table's queues for test messages: what goes to any other is not passed on at all.
TEST_QUEUES = for_tests(load_routes())


class Customs:
    """Customs at one partner's queue: the service's own steps, an engine in the same process, and the score."""

    def __init__(
        self, scenario: Scenario, broker: Broker, journal: Journal, partner: Partner, plans: Plans, result: Result
    ) -> None:
        self.scenario, self.broker, self.journal, self.partner, self.plans = scenario, broker, journal, partner, plans
        self.result = result
        lines = {line.id: line for line in result.lines()}
        self.scores = {step.id: Score(step, lines[step.id]) for step in scenario.steps()}
        self.stage = 0
        self.over = False
        self.active = time.monotonic()
        self.unmet: list[Bilingual] = []  # what has come since the last turn and meets no step, and why
        self._rates = load_rates()
        self._late: list[tuple[float, str, bytes]] = []
        self._seen: set[str] = set()
        self._arrivals: dict[str, list[Arrived]] = {}
        self._held: list[Arrived] = []
        self._sent: list[str] = []  # ids of answers in the order in which they were published
        self._taken = 0
        self._asked = 0.0

    # -------------------------------------------------------------------------------------------- production

    def turn(self, intake: Intake) -> bool:
        """Take what has come, judge it, answer it and keep the score; tell whether anything happened."""
        known = self._known()
        came = service.receive(intake, self.journal, {self.partner.id: self.partner}, self._patience())
        self._look_at_the_queue(now=bool(came))
        while service.work(self.journal, self.plans, {self.partner.id: self.partner}, "customs"):
            pass
        arrivals = list(self._news())
        again = self._dispatch()
        note(self.result, map(smoke_score.seen, arrivals))
        self._held += arrivals
        for answer, place in again:
            self._repeated(answer, place)
        self._count()
        if came or self._known() != known:
            self.active = time.monotonic()
            return True
        return False

    def _known(self) -> tuple[object, ...]:
        return (self._taken, len(self._sent), [line.state for line in self.result.lines()])

    def _patience(self) -> float:
        """Return how long to look for messages: no longer than until the next late assessment."""
        return max(0.0, min(LOOK_SECONDS, self._late[0][0] - time.monotonic())) if self._late else LOOK_SECONDS

    def _look_at_the_queue(self, now: bool) -> None:
        """Ask how many answers the partner has not taken; they are taken in the order in which they were published."""
        if self._taken < len(self._sent) and (now or time.monotonic() - self._asked >= ASK_SECONDS):
            self._asked = time.monotonic()
            self._taken = max(0, len(self._sent) - self.broker.depth(self.partner.answer_queue))

    def _dispatch(self) -> list[tuple[str, int]]:
        """Send the answers and have requests assessed until nothing is due.

        Returns the answers that were sent before and had to be sent again, each with its place among all sent.
        """
        again: list[tuple[str, int]] = []
        while True:
            self._hand_in_late_results()
            due = self.journal.due(400, service.now())
            answers = [item for item in due if item.destination == self.partner.answer_queue]
            letters = [Letter(i.id, i.destination, i.content_type, i.body, {"kind": i.kind}) for i in answers]
            confirmed = self.broker.publish(letters).confirmed
            before = set(self._sent)
            for item in answers:
                if item.id in confirmed:
                    self._sent.append(item.id)
                    if item.id in before and item.kind != "receipt":
                        again.append((item.id, len(self._sent) - 1))
            requests = [item for item in due if item.destination != self.partner.answer_queue]
            for item in requests:
                # What is not marked as a test goes to no engine, neither to ours nor to the real one.
                if item.destination in TEST_QUEUES:
                    self._assess(item.id, item.body)
            marked = self.journal.mark_sent([*sorted(confirmed), *(item.id for item in requests)], service.now())
            if not marked:
                return again

    def _assess(self, request: str, body: bytes) -> None:
        assessment = assess(read_request(body), self._rates)
        if assessment.result is not None:
            due = time.monotonic() + assessment.delay
            heapq.heappush(self._late, (due, stable_id(request, "result"), write_result(assessment.result)))

    def _hand_in_late_results(self) -> None:
        """Let the journal have the results whose time has come, and settle them."""
        ready = []
        while self._late and self._late[0][0] <= time.monotonic():
            _, uid, body = heapq.heappop(self._late)
            ready.append(Arrival(uid, "assessment", None, body, {}, service.now(), lane=uid))
        if ready:
            self.journal.receive(ready)
            while service.work(self.journal, self.plans, {self.partner.id: self.partner}, "customs"):
                pass

    def _news(self) -> Iterator[Arrived]:
        """Yield the messages judged since the last look, in order of arrival."""
        limit = 64
        while True:
            rows = self.journal.list_messages(channel="partner", limit=limit)
            if len(rows) < limit or rows[-1]["id"] in self._seen:
                break
            limit *= 2
        finished = [row["id"] for row in rows if row["state"] in ("done", "parked") and row["id"] not in self._seen]
        for transmission in reversed(list(dict.fromkeys(finished))):
            self._seen.add(transmission)
            arrived = self._arrivals[transmission] = list(self._arrived(transmission))
            yield from arrived

    def _arrived(self, transmission: str) -> Iterator[Arrived]:
        """Yield the messages of a transmission as they were judged; none for one that repeats another's bytes."""
        life = self.journal.show(transmission)
        if life is None or not life["messages"]:
            return
        received = Received(life["id"], life["partner"] or None, life["body"], life["received_at"])
        parsed = {message.ordinal: message for message in pipeline.parse(received, self.plans).messages}
        for row in life["messages"]:
            findings = [each for each in row["findings"] if each["severity"] == "refuse"]
            yield Arrived(
                life["id"],
                life["digest"],
                parsed[row["ordinal"]],
                row["verdict"],
                tuple(each["code"] for each in findings),
                tuple(Bilingual(each["text_en"], each["text_fr"]) for each in findings),
                row["nature"],
                self._taken,
            )

    # -------------------------------------------------------------------------------------------- the score

    def _here(self) -> list[Score]:
        """Return the scores of the present stage."""
        return [self.scores[step.id] for step in self.scenario.stage[self.stage].step]

    def _count(self) -> None:
        """Compare what has come with the present stage; the next begins once every step of this one is met."""
        while not self.over:
            for score in self._here():
                self._look_at(score)
            here = self._here()
            if all(score.line.settled for score in here):
                if self.stage + 1 == len(self.scenario.stage):
                    self.over = True
                    return
                self.stage += 1
                continue
            if not self._held or all(score.claim or score.line.settled for score in here):
                return  # what comes while answers are still being read belongs to the next stage
            self._claim(self._held.pop(0))

    def _claim(self, arrived: Arrived) -> None:
        """Give a message to the first step that it meets; else note why it does not meet those it comes near."""
        nearest = (-1, Bilingual("", ""))
        for score in self._here():
            if score.claim or score.line.settled:
                continue
            was_read = partial(self._was_read, arrived=arrived)
            why = smoke_score.unfit(score.step, arrived, self._subject(score), self.scenario, was_read)
            if why is None:
                self._take(score, arrived)
                return
            nearest = max(nearest, why, key=lambda each: each[0])
            if why[0] >= score.near[0]:
                score.near = why
        self.unmet.append(nearest[1])

    def _take(self, score: Score, arrived: Arrived) -> None:
        step = score.step
        score.line.subject = arrived.subject
        score.line.codes = sorted({*score.line.codes, *arrived.codes})
        if step.send != "many":
            score.claim, score.after = arrived, 0
            return
        score.volume.append(arrived)
        score.line.subject = ""
        if len(score.volume) < (step.count or 1):
            return
        score.claim = arrived
        if too_faulty := smoke_score.faults_of_volume(step, score.volume):
            score.line.state, score.line.sentence = "failed", words(too_faulty)
            self.over = True

    def _repeated(self, answer: str, place: int) -> None:
        """Note that the answers of a transmission had to be sent again: its bytes came once more."""
        transmission = next((name for name in reversed(self._arrivals) if answer in self._answers(name)), None)
        arrived = self._arrivals.get(transmission or "", [])
        for score in self._here():
            subject = self._subject(score)
            if score.claim or not arrived or subject is None or subject.id != transmission:
                continue
            if score.step.send == "again":
                score.claim = arrived[0]
                score.after = place
                score.line.subject = arrived[0].subject
            elif score.step.send == "mended":
                score.near = smoke_score.repeated_refusal(subject)

    def _subject(self, score: Score) -> Arrived | None:
        """Return the message that a step is about: what met the step that it names."""
        return self.scores[score.step.of].claim if score.step.of else None

    def _answers(self, transmission: str, ordinal: int | None = None) -> dict[str, str]:
        """Return the kinds of the answers by their ids: to one message and to the transmission as a whole, or all."""
        life = self.journal.show(transmission)
        rows = [row for row in (life["outbox"] if life else []) if row["destination"] == self.partner.answer_queue]
        return {row["id"]: row["kind"] for row in rows if ordinal is None or row["ordinal"] in (None, ordinal)}

    def _look_at(self, score: Score) -> None:
        """Let a step pass once every expected answer of its message was sent and taken."""
        if score.claim is None or score.line.state != "not-reached":
            return
        if score.step.send == "many":
            if self._taken == len(self._sent) and not self._late:
                score.line.state = "passed"
                score.line.answers = list(score.step.expect)
            return
        kinds = self._answers(score.claim.id, score.claim.message.ordinal)
        taken = {kinds[each] for each in self._sent[score.after : self._taken] if each in kinds}
        if score.step.send == "again":
            taken.add("receipt")  # the new transmission's own
        if any(kind == "contrl" for kind in taken) and score.claim.verdict == Verdict.REFUSED:
            taken.add("refused")
        score.line.answers = [kind for kind in score.step.expect if kind in taken]
        if set(score.step.expect) <= taken:
            score.line.state = "passed"

    def _was_read(self, refused: Arrived, arrived: Arrived) -> bool:
        """Tell whether the refusal had been taken from the queue when the message came."""
        kinds = self._answers(refused.id, refused.message.ordinal)
        positions = [n for n, each in enumerate(self._sent) if kinds.get(each) in ("refused", "contrl")]
        return bool(positions) and arrived.taken > min(positions)

    # -------------------------------------------------------------------------------------------- words

    def missing(self) -> Bilingual:
        """Return in one line what is still missing."""
        here = self._here()
        open_ = [score for score in here if not score.line.settled]
        now = open_[0] if open_ else here[-1]
        further = " ".join(score.step.id for score in open_[1:])
        later = " ".join(str(n + 1) for n in range(self.stage + 1, len(self.scenario.stage)))
        done, total, number = len(here) - len(open_), len(here), self.stage + 1
        en = f"stage {number}, {done} of {total} done; missing: {now.step.id} {smoke_score.progress(now, 'en')}"
        fr = f"palier {number}, {done} sur {total} faits; il manque : {now.step.id} {smoke_score.progress(now, 'fr')}"
        return Bilingual(
            en + (f"; then {further}" if further else "") + (f"; then stage {later}" if later else ""),
            fr + (f"; puis {further}" if further else "") + (f"; puis palier {later}" if later else ""),
        )

    def to_do(self) -> Iterator[Bilingual]:
        """Yield what the present stage asks for, step by step."""
        stage = self.scenario.stage[self.stage]
        yield Bilingual(f"{self.stage + 1}. {stage.title.en}", f"{self.stage + 1}. {stage.title.fr}")
        for score in self._here():
            if not score.line.settled:
                yield Bilingual(
                    f"  {score.step.id:5} {smoke_score.progress(score, 'en')}",
                    f"  {score.step.id:5} {smoke_score.progress(score, 'fr')}",
                )

    def close(self) -> None:
        """Say of every step that was not met what it lacks."""
        for score in self.scores.values():
            line = score.line
            if line.state != "not-reached":
                continue
            if score not in self._here() and not score.claim:
                line.sentence = words(smoke_score.not_reached())
                continue
            line.state = "failed" if score.claim or score.near[0] >= 2 else "missing"
            unread = len(self._sent) - self._taken
            line.sentence = words(smoke_score.lack(score, self._subject(score), unread, self.partner.answer_queue))
