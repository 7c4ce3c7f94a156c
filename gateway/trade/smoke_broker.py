"""The smoke test in the role of a broker: sends a scenario's messages to a gateway and holds its answers against it."""

from __future__ import annotations

import copy
import random
import re
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from core.calendar import eastern_day
from core.declaration import MessageType
from core.envelope import Envelope
from core.errors import GatewayError
from core.findings import Bilingual
from core.partner import Partner
from core.transmission import Syntax, stable_id
from gateway import pages
from gateway.plans import Plans
from gateway.queues.broker import Broker, Delivery, Intake, Letter
from gateway.trade.maker import Draft, Maker
from gateway.trade.replies import Reply, in_words, read_reply
from gateway.trade.scenario import Scenario, Step, remark_on, unmet_codes
from gateway.trade.smoke import Line, Result, StageResult, blank, words
from gateway.trade.writer import write_edifact, write_xml
from routing.partners import inbound_queue
from validators.rules import check_digit_of

# Answers in hand at one time; those that are not ours are given back at the end.
PREFETCH = 1_000

# How the references of smoke tests begin: two letters, and the run's moment in base 36.
OURS = re.compile(r"SM[0-9A-Z]{6}[0-9]+|smoke-SM[0-9A-Z]{6}-[0-9]+")

# CAD types that the volume is made of.
COMMON = ("AB", "F", "V")

# More declarations than this would use up the numbers of the minutes to come, of the next run.
KEPT_IN_STEP = 100

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Say = Callable[[Bilingual], None]


@dataclass
class Sent:
    """One transmission and what has come back for it so far; `sound` is the declaration free of deliberate faults."""

    step: Step
    letter: Letter
    reference: str
    syntax: Syntax
    draft: Draft | None
    sound: Draft | None
    faulty: bool = False
    at: float = 0.0
    replies: dict[str, Reply] = field(default_factory=dict)  # by the answer's id
    bodies: dict[str, bytes] = field(default_factory=dict)
    last: float = 0.0

    def kinds(self) -> set[str]:
        """Return the kinds of answers that came, without a CONTRL that only acknowledges."""
        return {reply.kind for reply in self.replies.values()} - {"acknowledged"}

    def codes(self) -> list[str]:
        """Return the finding codes that came."""
        return [code for reply in self.replies.values() for code in reply.codes]

    @property
    def subject(self) -> str:
        """Return transaction number and version."""
        return f"{self.draft.top['transaction_number']}:{self.draft.top['version']}" if self.draft else self.reference

    def settled(self) -> bool:
        """Tell whether nothing more is to be waited for: all that is expected is there, or the opposite of it."""
        came, wanted = self.kinds(), set(self.step.expect)
        if self.faulty and self.step.send == "many":
            wanted = {"receipt", "refused"}
        return wanted <= came or bool(came - wanted - {"receipt", "accepted"})


class Sender:
    """Makes a run's messages: fresh transaction numbers, fresh references, all of them marked as tests."""

    def __init__(self, plans: Plans, partner: Partner, account: str, started: datetime) -> None:
        # Ten numbers a second, over in 115 days: one partner's runs at the same time of day never meet in the 7 years
        # and 3 months for which a gateway remembers a number, and two partners' begin elsewhere.
        offset = int(stable_id(partner.id), 16)
        self._next = (int(started.timestamp() * 10) + offset) % 10**8
        self.run = f"SM{_base36(self._next)}"
        self._plans, self._partner, self._account, self._started = plans, partner, account, started
        self._maker = Maker(random.Random(self.run), plans.specs, partner, eastern_day(started))  # noqa: S311 - no secrets
        self._count = 0
        self._originals = 0
        self._latest: dict[str, Draft] = {}  # the accepted state of each declaration

    def number(self) -> str:
        """Return the next transaction number, with its check digit."""
        thirteen = f"{self._account}{self._next:08}"
        self._next = (self._next + 1) % 10**8
        return thirteen + check_digit_of(thirteen)

    def accepted(self, sent: Sent) -> None:
        """Remember what the gateway has accepted: a change starts from there."""
        if sent.draft and sent.step.send != "withdraw":
            self._latest[sent.draft.top["transaction_number"]] = sent.draft

    def make(self, step: Step, of: Sent | None, scenario: Scenario) -> list[Sent]:
        """Return the transmissions of a step."""
        if step.send == "many":
            count = step.count or 1
            if count > KEPT_IN_STEP:
                self._next = random.SystemRandom().randrange(10**8)
            wrong = round(count * (1 - step.good)) // 2  # half of what is allowed
            return [self._volume(step, number < wrong) for number in range(count)]
        if step.send == "file":
            return [self._file(step, Path(scenario.folder) / (step.file or ""))]
        if step.send == "again" and of:
            letter = of.letter._replace(id=self._letter_id())
            return [Sent(step, letter, of.reference, of.syntax, of.draft, of.sound)]
        syntax = of.syntax if of else self._turn()
        sound = self._sound(step, of)
        return [self.write(step, sound, self._spoil(step, sound), syntax)]

    def _sound(self, step: Step, of: Sent | None) -> Draft:
        """Return the declaration of a step, as it should be."""
        if step.send == "declaration" or of is None or of.sound is None or of.draft is None:
            return self._original(step)
        if step.send == "mended":
            return copy.deepcopy(of.sound)
        latest = self._latest.get(of.draft.top["transaction_number"], of.draft)
        if step.send == "withdraw":
            return self._maker.withdraw(latest)
        return self._maker.change(latest, adjustment=step.nature == "adjustment")

    def _original(self, step: Step) -> Draft:
        ago = step.accounted_days_ago
        accounted = None if ago is None else eastern_day(self._started) - timedelta(days=ago)
        cad_type = step.cad_type or self._maker.rng.choice(COMMON)
        shape = (2,) if step.send != "many" else (self._maker.rng.randint(1, 5),)
        draft = self._maker.draft(cad_type, accounted=accounted, share=0, plain=True, shape=shape)
        draft.top["transaction_number"] = self.number()
        _without_accents(draft)
        self._put(draft, step.carries)
        return draft

    def _put(self, draft: Draft, values: Mapping[str, str | None]) -> None:
        """Set elements from texts, typed as the dictionary says."""
        pack = self._maker.pack(MessageType.CORRECTION)
        if unknown := sorted(set(values) - set(pack.elements)):
            raise GatewayError(f"the scenario names {unknown[0]!r}, which is no element of the specification")
        draft.put(pack, {name: text and pack.elements[name].format.read(text) for name, text in values.items()})

    def _spoil(self, step: Step, sound: Draft) -> Draft:
        """Return the declaration with the step's deliberate faults."""
        draft = copy.deepcopy(sound)
        self._put(draft, {**step.wrong, **dict.fromkeys(step.without)})
        draft.top["version"] = f"{int(draft.top['version']) + step.versions_ahead:05}"
        return draft

    def _volume(self, step: Step, faulty: bool) -> Sent:
        sound = self._original(step)
        draft = copy.deepcopy(sound)
        if faulty:
            self._put(draft, {"tariff_treatment": "30"})
        sent = self.write(step, sound, draft, self._turn())
        sent.faulty = faulty
        return sent

    def write(self, step: Step, sound: Draft, draft: Draft, syntax: Syntax) -> Sent:
        """Write a declaration into its envelope."""
        reference = self._reference()
        told = f" TEST-{step.outcome}" if step.outcome else ""
        if "cad_type" in draft.top:
            draft.top["functional_reference"] = f"{reference}{told}"
        type_ = {"withdraw": MessageType.WITHDRAW}.get(step.send, MessageType.DECLARATION)
        if draft.top["function_code"] in self._codes(MessageType.CORRECTION):
            type_ = MessageType.CORRECTION
        pack = self._maker.pack(type_)
        recipient = next(iter(self._partner.agreement.ids), "CADGATEWAY")
        envelope = Envelope(self._partner.envelopes[0], recipient, reference, message="1", test=True)
        if syntax is Syntax.XML:
            body = write_xml(draft.freeze(), pack, envelope)
            damaged = body.replace(b"VersionID>", b"VersionNo>")
        else:
            body = write_edifact([draft.freeze()], pack, envelope, prepared=datetime.now(UTC))
            damaged = re.sub(rb"UNT\+\d+", b"UNT+1", body)
        return Sent(
            step, self._letter(damaged if step.damaged else body), reference, syntax, draft, sound, step.damaged
        )

    def _file(self, step: Step, path: Path) -> Sent:
        reference = self._reference()
        body = path.read_bytes().replace(b"{transaction}", self.number().encode())
        letter = self._letter(body.replace(b"{reference}", reference.encode()))
        return Sent(step, letter, reference, Syntax.UNKNOWN, None, None)

    def _codes(self, type_: MessageType) -> set[str]:
        return {code for code, each in self._maker.pack(type_).types.items() if each is type_}

    def _turn(self) -> Syntax:
        """Return the syntaxes in turn."""
        self._originals += 1
        return Syntax.EDIFACT if self._originals % 2 else Syntax.XML

    def _reference(self) -> str:
        self._count += 1
        return f"{self.run}{self._count}"

    def _letter_id(self) -> str:
        self._count += 1
        return f"smoke-{self.run}-{self._count}"

    def _letter(self, body: bytes) -> Letter:
        return Letter(self._letter_id(), inbound_queue(self._partner.id), "application/octet-stream", body)


def _without_accents(draft: Draft) -> None:
    """Leave letters of ASCII only: accents are tried where a step asks for them, not by the chance of a name."""
    for level in (draft.top, *(each for invoice, lines in draft.invoices for each in (invoice, *lines))):
        for name, value in level.items():
            if isinstance(value, str):
                level[name] = unicodedata.normalize("NFKD", value).encode("ascii", "ignore").decode()


def _base36(number: int) -> str:
    digits = ""
    for _ in range(6):
        number, rest = divmod(number, 36)
        digits = DIGITS[rest] + digits
    return digits


class Mailbox:
    """A partner's answer queue: hands every answer to the transmission that it answers."""

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

    def _is_a_smoke_tests(self, delivery: Delivery) -> bool:
        try:
            reply = read_reply(delivery.content_type, delivery.body, self._plans.reading.directories)
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
            reply = read_reply(delivery.content_type, delivery.body, self._plans.reading.directories)
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
    result.stages = blank(scenario)
    lines = {line.id: line for line in result.lines()}
    with Mailbox(broker, partner.answer_queue, plans, stopping) as mailbox:
        for stage in scenario.stage:
            say(stage.title.both())
            for step in stage.step:
                line = lines[step.id]
                if dead or step.of in failed:
                    failed.add(step.id)
                    cause = Bilingual("no answer comes", "aucune réponse ne vient") if dead else _not_after(step)
                    line.sentence = words(Bilingual(f"Not tried: {cause.en}.", f"Non tenté : {cause.fr}."))
                    continue
                of = done[step.of][0] if step.of else None
                sent = sender.make(step, of, scenario)
                if step.send != "again":  # the same bytes again are no message of their own
                    result.messages += len(sent)
                mailbox.expect(sent)
                _publish(broker, sent)
                mailbox.collect(step.within + (grace if not done else 0))
                done[step.id] = sent
                _judge(line, step, sent, of, scenario)
                for each in sent:
                    if line.state == "passed" and "accepted" in each.kinds():
                        sender.accepted(each)
                if line.state != "passed":
                    failed.add(step.id)
                    dead = not any(each.replies for each in sent)
                say(_told(line))
        mailbox.read(0.2)
    for name, transmissions in done.items():
        _hold_against_late_answers(lines[name], transmissions)


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
        if published.unroutable:
            raise GatewayError(f"the queue {batch[0].letter.queue} does not exist: run `gateway doctor --declare`")
        if len(published.confirmed) < len(batch):
            raise GatewayError(f"the broker did not confirm every message of step {batch[0].step.id}")


def _judge(line: Line, step: Step, sent: list[Sent], of: Sent | None, scenario: Scenario) -> None:
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


def _hold_against_late_answers(line: Line, sent: list[Sent]) -> None:
    """Fail a step that had an answer, after all, that should not have come."""
    extra: Any = {kind for each in sent for kind in each.kinds()} - set(sent[0].step.expect)
    if line.state == "passed" and extra and sent[0].step.send != "many":
        late = in_words(sorted(extra))
        line.state = "failed"
        line.sentence = words(
            Bilingual(f"Came later, unexpectedly: {late.en}.", f"Venu plus tard, inattendu : {late.fr}.")
        )


def _told(line: Line) -> Bilingual:
    """Return one step's progress."""
    mark = "ok" if line.state == "passed" else "FAILED"
    marque = "ok" if line.state == "passed" else "ÉCHEC"
    seconds = f" ({line.seconds:.1f} s)" if line.seconds is not None else ""
    why = line.sentence or words(Bilingual("", ""))
    return Bilingual(
        f"  {line.id:5} {mark}: {line.title.en}{seconds} {why.en}".rstrip(),
        f"  {line.id:5} {marque} : {line.title.fr}{pages.number(seconds, 'fr')} {why.fr}".rstrip(),
    )


__all__ = ["Sender", "StageResult", "play"]
