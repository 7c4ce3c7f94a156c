"""The smoke test in the role of a broker: sends a scenario's messages to a gateway and compares its answers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from core.errors import GatewayError
from core.findings import Bilingual
from core.partner import Partner
from core.transmission import digest_of
from gateway import pages
from gateway.plans import Plans
from gateway.queues import Broker, Delivery, Intake
from gateway.trade.replies import Reply, in_words, read_reply
from gateway.trade.scenario import Scenario, Step, remark_on, unmet_codes
from gateway.trade.smoke import Result, Say, SeenMessage, StepResult, note, words
from gateway.trade.smoke_sender import OURS, Sender, Sent

# Answers in flight at one time; those that are not ours are given back at the end.
PREFETCH = 1_000


class Mailbox:
    """A partner's answer queue: assigns every answer to the transmission that it answers."""

    def __init__(self, broker: Broker, queue: str, plans: Plans, stopping: Callable[[], bool] = lambda: False) -> None:
        self._broker, self._queue, self._plans, self._stopping = broker, queue, plans, stopping
        self._by_reference: dict[str, Sent] = {}
        self._foreign: list[Delivery] = []
        self._open: list[Sent] = []

    def __enter__(self) -> Mailbox:
        self._intake: Intake = self._broker.consume([self._queue], prefetch=PREFETCH)
        # What waits already is ours, left by a run that was cut short; or somebody else reads here, or should.
        while waiting := self._intake.receive(0.3):
            mine = [each for each in waiting if self._is_a_smoke_tests(each)]
            self._intake.ack(mine)
            self._foreign += [each for each in waiting if each not in mine]
            if self._foreign:
                self.__exit__()
                raise GatewayError(
                    f"the queue {self._queue} holds answers that are not a smoke test's: use a partner of its own"
                )
        return self

    def __exit__(self, *_: object) -> None:
        if self._foreign:
            self._intake.reject(self._foreign, requeue=True)
        self._intake.close()

    def _read(self, delivery: Delivery) -> Reply:
        plans = self._plans
        return read_reply(delivery.content_type, delivery.body, plans.reading.directories, plans.specs.packs)

    def _is_a_smoke_tests(self, delivery: Delivery) -> bool:
        try:
            reply = self._read(delivery)
        except GatewayError:
            return False
        return bool(OURS.fullmatch(reply.reference))

    def expect(self, sent: Iterable[Sent]) -> None:
        """Take note of transmissions, before they go out."""
        self._open = list(sent)
        for each in self._open:
            self._by_reference[each.reference] = self._by_reference[each.letter.id] = each

    def collect(self, within: float) -> None:
        """Read answers until nothing more is to be waited for, or for so many seconds; GatewayError if interrupted."""
        deadline = time.monotonic() + within
        while (left := deadline - time.monotonic()) > 0 and not all(each.settled() for each in self._open):
            if self._stopping():
                raise GatewayError("interrupted")
            self.read(min(left, 0.5))

    def read(self, seconds: float) -> None:
        """Read the answers that come within so many seconds, and acknowledge those that are ours."""
        deliveries = self._intake.receive(seconds)
        ours = []
        for delivery in deliveries:
            reply = self._read(delivery)
            sent = self._by_reference.get(reply.reference)
            if sent is None and not reply.reference and len(self._open) == 1:
                sent = self._open[0]  # what has no readable envelope is answered without a reference
            if sent is None:
                self._foreign.append(delivery)
                continue
            ours.append(delivery)
            name = delivery.message_id or delivery.uid
            sent.replies[name], sent.bodies[name], sent.last = reply, delivery.body, time.monotonic()
        self._intake.ack(ours)


def play(
    scenario: Scenario,
    broker: Broker,
    partner: Partner,
    plans: Plans,
    result: Result,
    *,
    account: str,
    started: datetime,
    say: Say,
    grace: float = 0.0,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Play every step in order and fill the result.

    Raises GatewayError when the broker cannot be used, and when `stopping` tells that the run is to end.

    `grace` is how many seconds more the first step has, with a gateway that is only starting.
    A step whose subject failed is not tried, and nothing is after one to which no answer at all came.
    """
    sender = Sender(plans, partner, account, started)
    done: dict[str, list[Sent]] = {}
    failed: set[str] = set()
    dead = False
    lines = {line.id: line for line in result.lines()}
    with Mailbox(broker, partner.answer_queue, plans, stopping) as mailbox:
        for stage in scenario.stage:
            say(stage.title.both())
            for step in stage.step:
                line = lines[step.id]
                if line.settled:  # it does not apply
                    continue
                if dead or step.of in failed:
                    failed.add(step.id)
                    cause = Bilingual("no answer comes", "aucune réponse ne vient") if dead else _not_after(step)
                    line.sentence = words(Bilingual(f"Not tried: {cause.en}.", f"Non tenté : {cause.fr}."))
                    continue
                of = done[step.of][0] if step.of else None
                sent = sender.make(step, of, scenario)
                mailbox.expect(sent)
                _publish(broker, sent)
                mailbox.collect(step.within + (grace if not done else 0))
                done[step.id] = sent
                _judge(line, step, sent, of, scenario)
                if step.send != "again":  # the same bytes again are no message of their own
                    note(result, map(_seen, sent))
                for each in sent:
                    if line.state == "passed" and "accepted" in each.kinds():
                        sender.accepted(each)
                if line.state != "passed":
                    failed.add(step.id)
                    dead = not any(each.replies for each in sent)
                say(_told(line))
        mailbox.read(0.2)
    for name, transmissions in done.items():
        _compare_late_answers(lines[name], transmissions)


def _seen(sent: Sent) -> SeenMessage:
    """Return a message as the report lists it: what it was meant to be, and the answers that came."""
    kinds = [kind for kind in _ORDER if kind in sent.kinds()]
    return SeenMessage(sent.subject, sent.step.send, " ".join(kinds), sent.codes(), digest_of(sent.letter.body))


def _not_after(step: Step) -> Bilingual:
    return Bilingual(f"step {step.of} did not pass", f"l'étape {step.of} n'a pas réussi")


def _publish(broker: Broker, sent: list[Sent]) -> None:
    """Send transmissions in order; raises GatewayError when the broker does not take them."""
    for start in range(0, len(sent), 200):
        batch = sent[start : start + 200]
        now = time.monotonic()
        for each in batch:
            each.at = now
        published = broker.publish([each.letter for each in batch])
        if published.refused:
            raise GatewayError(next(iter(published.refused.values())))
        if published.unroutable:
            raise GatewayError(f"the queue {batch[0].letter.queue} does not exist: run `gateway doctor --declare`")
        if len(published.confirmed) < len(batch):
            raise GatewayError(f"the broker did not confirm every message of step {batch[0].step.id}")


def _judge(line: StepResult, step: Step, sent: list[Sent], of: Sent | None, scenario: Scenario) -> None:
    """Fill a step's line from what came back."""
    first = sent[0]
    took = [each.last - each.at for each in sent if each.replies]
    line.seconds = round(max(took), 3) if took else None  # nothing came: no time that it took
    line.subject = first.subject if len(sent) == 1 else ""
    line.answers = [kind for kind in _ORDER if any(kind in each.kinds() for each in sent)]
    line.codes = sorted({code for each in sent for code in each.codes()})
    problem = _volume_problem(step, sent) if step.send == "many" else _problem(step, first, of, scenario)
    line.state, line.sentence = ("failed", words(problem)) if problem else ("passed", None)


_ORDER = ("receipt", "accepted", "refused", "assessed", "pending", "engine-refused", "technical")


def _problem(step: Step, sent: Sent, of: Sent | None, scenario: Scenario) -> Bilingual | None:
    """Return why the answers to a transmission are not the expected ones, None if they are."""
    came, wanted = sent.kinds(), set(step.expect)
    if not came:
        return Bilingual(
            f"No answer came within {step.within:g} s, not even the receipt.",
            f"Aucune réponse en {step.within:g} s, pas même l'accusé de réception.",
        )
    if extra := sorted(came - wanted):
        codes = sent.codes()
        why = remark_on(codes, scenario) or Bilingual("", "")
        shown, kinds = " ".join(codes), in_words(extra)
        return Bilingual(
            f"Unexpected answer: {kinds.en}. {shown} {why.en}".strip(),
            f"Réponse inattendue : {kinds.fr}. {shown} {why.fr}".strip(),
        )
    if missing := [kind for kind in step.expect if kind not in came]:
        kinds = in_words(missing)
        return Bilingual(
            f"Did not come within {step.within:g} s: {kinds.en}.", f"Pas venu en {step.within:g} s : {kinds.fr}."
        )
    rejected = any(reply.contrl and reply.kind == "refused" for reply in sent.replies.values())
    lacking = unmet_codes(step.codes, [*sent.codes(), *(["EDI-"] if rejected else [])])
    if lacking:
        return Bilingual(
            f"The refusal does not show {', '.join(lacking)}.", f"Le refus ne montre pas {', '.join(lacking)}."
        )
    if sent.draft and (named := _other_subject(sent)):
        return Bilingual(
            f"An answer names declaration {named}, not {sent.subject}.",
            f"Une réponse nomme la déclaration {named}, non {sent.subject}.",
        )
    if step.send == "again" and of and _bodies(sent) != _bodies(of):
        return Bilingual(
            "The answers to the same bytes are not the same bytes.",
            "Les réponses aux mêmes octets ne sont pas les mêmes octets.",
        )
    return None


def _other_subject(sent: Sent) -> str | None:
    """Return what an answer says it is about when that is not what was sent."""
    named = (f"{r.transaction_number}:{r.version}" for r in sent.replies.values() if r.transaction_number)
    return next((name for name in named if name != sent.subject), None)


def _bodies(sent: Sent) -> set[tuple[str, bytes]]:
    """Return id and bytes of the answers, without the receipts: each transmission has its own."""
    return {(name, sent.bodies[name]) for name, reply in sent.replies.items() if reply.kind != "receipt"}


def _volume_problem(step: Step, sent: list[Sent]) -> Bilingual | None:
    """Return what is wrong with the answers to many declarations, None if nothing is."""
    wrong = [each for each in sent if not each.settled()]
    if wrong:
        return Bilingual(
            f"{len(wrong)} of {len(sent)} declarations were not fully answered within {step.within:g} s.",
            f"{len(wrong)} déclarations sur {len(sent)} n'ont pas eu toutes leurs réponses en {step.within:g} s.",
        )
    mistaken = [each for each in sent if ("refused" in each.kinds()) is not each.faulty]
    if mistaken:
        codes = Counter(code for each in mistaken for code in each.codes())
        shown = ", ".join(f"{code} ({count})" for code, count in codes.most_common(5))
        return Bilingual(
            f"{len(mistaken)} of {len(sent)} declarations had the wrong verdict: {shown}.",
            f"{len(mistaken)} déclarations sur {len(sent)} ont eu un mauvais verdict : {shown}.",
        )
    return None


def _compare_late_answers(line: StepResult, sent: list[Sent]) -> None:
    """Fail a step that had an answer, after all, that should not have come."""
    extra: Any = {kind for each in sent for kind in each.kinds()} - set(sent[0].step.expect)
    if line.state == "passed" and extra and sent[0].step.send != "many":
        late = in_words(sorted(extra))
        line.state = "failed"
        line.sentence = words(
            Bilingual(f"Came later, unexpectedly: {late.en}.", f"Venu plus tard, inattendu : {late.fr}.")
        )


def _told(line: StepResult) -> Bilingual:
    """Return one step's progress."""
    mark = "ok" if line.state == "passed" else "FAILED"
    marque = "ok" if line.state == "passed" else "ÉCHEC"
    seconds = f" ({line.seconds:.1f} s)" if line.seconds is not None else ""
    why = line.sentence or words(Bilingual("", ""))
    return Bilingual(
        f"  {line.id:5} {mark}: {line.title.en}{seconds} {why.en}".rstrip(),
        f"  {line.id:5} {marque} : {line.title.fr}{pages.number(seconds, 'fr')} {why.fr}".rstrip(),
    )
