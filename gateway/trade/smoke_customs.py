"""The smoke test in the role of customs: answers a partner's own system as production would, and keeps the score.

What a partner has understood can be seen from outside in two ways only: whether its answer queue is emptied, and
whether what was refused comes again put right, after the refusal was taken. Both are held against the scenario.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from core.declaration import MessageType
from core.findings import Bilingual
from core.partner import Partner
from core.transmission import Message, Received, Verdict, stable_id
from gateway import pipeline, service
from gateway.engine.assess import assess, load_rates
from gateway.journal import Delivery, Journal
from gateway.plans import Plans
from gateway.queues.broker import Broker, Intake, Letter
from gateway.trade.replies import in_words
from gateway.trade.scenario import Scenario, Step, remark_on, unmet_codes
from gateway.trade.smoke import Line, Result, blank, words
from responses.business import printable
from routing.assessment import read_request, write_result
from routing.partners import inbound_queue
from routing.routes import for_tests, load_routes

# How long one look at the inbound queue waits; a message is seen at once all the same.
LOOK_SECONDS = 0.2

# How often the answer queue's depth is asked while answers lie in it: each time opens a connection.
ASK_SECONDS = 0.25

# How often it is said again what is missing while nothing happens.
REMIND_SECONDS = 60.0

# How long what a partner sent and read last may still be on its way when its program has ended.
GONE_SECONDS = 1.0

# The route table's queues for test messages: what goes to any other is not passed on at all.
TEST_QUEUES = for_tests(load_routes())

TYPES = {
    "declaration": (MessageType.DECLARATION,),
    "many": (MessageType.DECLARATION,),
    "correction": (MessageType.CORRECTION,),
    "withdraw": (MessageType.WITHDRAW,),
    "mended": (MessageType.DECLARATION, MessageType.CORRECTION),
}

# Types of messages and natures of changes in French.
FRENCH = {
    "declaration": "déclaration",
    "correction": "correction",
    "adjustment": "rajustement",
    "withdraw": "demande de retrait",
    "withdrawal": "retrait",
    "original": "déclaration originale",
    "unknown": "message inconnu",
    "": "inconnu",
}

Say = Callable[[Bilingual], None]


@dataclass
class Arrived:
    """One message of the partner's, judged; `taken` is how many answers had been taken when it came."""

    id: str
    digest: str
    message: Message
    verdict: str
    codes: tuple[str, ...]
    texts: tuple[Bilingual, ...]
    nature: str | None
    taken: int

    @property
    def number(self) -> str:
        """Return the transaction number, empty if there is none to be read."""
        return (self.message.declaration and self.message.declaration.transaction_number) or ""

    @property
    def subject(self) -> str:
        """Return transaction number and version."""
        declaration = self.message.declaration
        return f"{self.number or '?'}:{(declaration and declaration.version) or '?'}"

    @property
    def reference(self) -> str:
        """Return the sender's reference, in which the outcome is chosen."""
        return (self.message.declaration and self.message.declaration.text("functional_reference")) or ""


@dataclass
class Score:
    """What has come of one step: the message that meets it, or the nearest one that did not, and why."""

    step: Step
    line: Line
    claim: Arrived | None = None
    after: int = 0  # answers sent before the claim: a repeat is answered from here on
    near: tuple[int, Bilingual] = (-1, Bilingual("", ""))
    volume: list[Arrived] = field(default_factory=list)


class Desk:
    """Customs at one partner's queue: the service's own steps, an engine in the same process, and the score."""

    def __init__(
        self, scenario: Scenario, broker: Broker, journal: Journal, partner: Partner, plans: Plans, result: Result
    ) -> None:
        self.scenario, self.broker, self.journal, self.partner, self.plans = scenario, broker, journal, partner, plans
        self.result = result
        result.stages = blank(scenario)
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
        self._sent: list[str] = []  # ids of answers in the order in which they were laid into the queue
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
        self.result.messages += len(arrivals)
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
        """Ask how many answers the partner has left lying; they are taken in the order in which they were laid."""
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
            ready.append(Delivery(uid, "assessment", None, body, {}, service.now(), lane=uid))
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
        """Hold what has come against the present stage; the next begins once every step of this one is met."""
        while not self.over:
            for score in self._here():
                self._look_at(score)
            here = self._here()
            if all(score.line.state == "passed" for score in here):
                if self.stage + 1 == len(self.scenario.stage):
                    self.over = True
                    return
                self.stage += 1
                continue
            if not self._held or all(score.claim or score.line.state == "passed" for score in here):
                return  # what comes while answers are still being read belongs to the next stage
            self._claim(self._held.pop(0))

    def _claim(self, arrived: Arrived) -> None:
        """Give a message to the first step that it meets; else note why it does not meet those it comes near."""
        nearest = (-1, Bilingual("", ""))
        for score in self._here():
            if score.claim:
                continue
            unfit = self._unfit(score, arrived)
            if unfit is None:
                self._take(score, arrived)
                return
            nearest = max(nearest, unfit, key=lambda each: each[0])
            if unfit[0] >= score.near[0]:
                score.near = unfit
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
        good = sum(each.verdict == Verdict.ACCEPTED for each in score.volume)
        count = step.count or 1
        if len(score.volume) < count:
            return
        score.claim = arrived
        if good < step.good * count:
            codes = Counter(code for each in score.volume for code in set(each.codes))
            shown = ", ".join(f"{code} ({number})" for code, number in codes.most_common(5))
            self._fail(
                score,
                Bilingual(
                    f"{good} of {count} declarations ({good / count:.0%}) were free of faults; at least "
                    f"{step.good:.0%} must be: {shown}.",
                    f"{good} déclarations sur {count} ({_percent(good / count)}) étaient sans faute; il en faut au "
                    f"moins {_percent(step.good)} : {shown}.",
                ),
            )
            self.over = True

    def _fail(self, score: Score, why: Bilingual) -> None:
        score.line.state, score.line.sentence = "failed", words(why)

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
                score.near = (
                    9,
                    Bilingual(
                        f"The refused bytes of {subject.subject} came again: the refusal was not understood.",
                        f"Les octets refusés de {subject.subject} sont revenus : le refus n'a pas été compris.",
                    ),
                )

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
        if score.claim is None or score.line.state != "missing":
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

    def _unfit(self, score: Score, arrived: Arrived) -> tuple[int, Bilingual] | None:
        """Return how near a message comes to a step without meeting it, and why; None when it meets it."""
        step, message, declaration = score.step, arrived.message, arrived.message.declaration
        subject = self._subject(score)
        refusal = "refused" in step.expect
        if step.send == "again":
            return 0, Bilingual("Other bytes came.", "D'autres octets sont venus.")
        types = TYPES.get(step.send, tuple(MessageType))
        if message.type not in types and not (message.type is MessageType.UNKNOWN and arrived.codes):
            return 0, Bilingual(f"A {message.type} came.", f"Venu : {FRENCH[message.type]}.")
        if message.envelope.test is False and message.type in types:
            return 4, Bilingual(
                f"{arrived.subject} is not marked as a test; it went to no engine and does not count.",
                f"{arrived.subject} ne porte pas l'indicateur de test; aucun moteur ne l'a reçu et il ne compte pas.",
            )
        if step.send == "many":
            return None
        cad_type = declaration.text("cad_type") if declaration else None
        if step.cad_type and cad_type and cad_type != step.cad_type:
            return 1, Bilingual(f"A CAD type {cad_type} came.", f"Un type de DDMC {cad_type} est venu.")
        if subject and subject.number and arrived.number != subject.number:
            return 2, Bilingual(
                f"{arrived.subject} came, which is another declaration than {subject.subject}.",
                f"{arrived.subject} est venu, une autre déclaration que {subject.subject}.",
            )
        if step.send == "mended" and subject and not self._was_read(subject, arrived):
            return 3, Bilingual(
                f"{arrived.subject} came again before the refusal was read.",
                f"{arrived.subject} est revenu avant que le refus ne soit lu.",
            )
        if (carried := _carried_wrongly(step, arrived)) and (
            arrived.verdict == Verdict.ACCEPTED or _misread(step, arrived)
        ):
            return 7, carried
        if arrived.verdict == Verdict.REFUSED and not refusal:
            return 6, _refused(arrived, self.scenario)
        if refusal and arrived.verdict != Verdict.REFUSED:
            return 5, Bilingual(
                f"{arrived.subject} is free of faults; this step needs a faulty one.",
                f"{arrived.subject} est sans faute; cette étape en demande un fautif.",
            )
        if lacking := unmet_codes(step.codes, arrived.codes):
            return 6, Bilingual(
                f"The refusal of {arrived.subject} shows {' '.join(arrived.codes)}, not {', '.join(lacking)}.",
                f"Le refus de {arrived.subject} montre {' '.join(arrived.codes)}, non {', '.join(lacking)}.",
            )
        if step.outcome and f"TEST-{step.outcome}" not in arrived.reference:
            return 7, Bilingual(
                f"The reference of {arrived.subject} does not hold TEST-{step.outcome}.",
                f"La référence de {arrived.subject} ne contient pas TEST-{step.outcome}.",
            )
        if step.nature and arrived.nature != step.nature:
            nature, wanted = FRENCH[arrived.nature or ""], FRENCH[step.nature]
            return 7, Bilingual(
                f"{arrived.subject} counts as {arrived.nature}, not as {step.nature}: the payment due date decides.",
                f"{arrived.subject} compte comme {nature}, non comme {wanted} : l'échéance en décide.",
            )
        return None

    def _was_read(self, refused: Arrived, arrived: Arrived) -> bool:
        """Tell whether the refusal had been taken from the queue when the message came."""
        kinds = self._answers(refused.id, refused.message.ordinal)
        positions = [n for n, each in enumerate(self._sent) if kinds.get(each) in ("refused", "contrl")]
        return bool(positions) and arrived.taken > min(positions)

    # -------------------------------------------------------------------------------------------- words

    def missing(self) -> Bilingual:
        """Return in one line what is still missing."""
        here = self._here()
        open_ = [score for score in here if score.line.state != "passed"]
        now = open_[0] if open_ else here[-1]
        further = " ".join(score.step.id for score in open_[1:])
        later = " ".join(str(n + 1) for n in range(self.stage + 1, len(self.scenario.stage)))
        done, total, number = len(here) - len(open_), len(here), self.stage + 1
        en = f"stage {number}, {done} of {total} done; missing: {now.step.id} {_progress(now, 'en')}"
        fr = f"palier {number}, {done} sur {total} faits; il manque : {now.step.id} {_progress(now, 'fr')}"
        return Bilingual(
            en + (f"; then {further}" if further else "") + (f"; then stage {later}" if later else ""),
            fr + (f"; puis {further}" if further else "") + (f"; puis palier {later}" if later else ""),
        )

    def to_do(self) -> Iterator[Bilingual]:
        """Yield what the present stage asks for, step by step."""
        stage = self.scenario.stage[self.stage]
        yield Bilingual(f"{self.stage + 1}. {stage.title.en}", f"{self.stage + 1}. {stage.title.fr}")
        for score in self._here():
            if score.line.state != "passed":
                yield Bilingual(
                    f"  {score.step.id:5} {_progress(score, 'en')}", f"  {score.step.id:5} {_progress(score, 'fr')}"
                )

    def close(self) -> None:
        """Say of every step that was not met what it lacks."""
        for score in self.scores.values():
            line = score.line
            if line.state == "missing":
                reached = score in self._here() or score.claim
                line.state = "failed" if score.claim or score.near[0] >= 2 else "missing"
                line.sentence = words(self._lack(score) if reached else _not_reached())

    def _lack(self, score: Score) -> Bilingual:
        step, subject = score.step, self._subject(score)
        lying = len(self._sent) - self._taken
        if score.claim and lying:
            return Bilingual(
                f"The answers to {score.claim.subject} were sent, but {lying} answers lie unread in "
                f"{self.partner.answer_queue}.",
                f"Les réponses à {score.claim.subject} ont été envoyées, mais {lying} réponses restent non lues dans "
                f"{self.partner.answer_queue}.",
            )
        if score.claim:
            lacking = in_words(kind for kind in step.expect if kind not in score.line.answers)
            return Bilingual(f"Still to be sent: {lacking.en}.", f"Reste à envoyer : {lacking.fr}.")
        if step.send == "many":
            return Bilingual(
                f"{len(score.volume)} of {step.count} declarations came. {score.near[1].en}".strip(),
                f"{len(score.volume)} déclarations sur {step.count} sont venues. {score.near[1].fr}".strip(),
            )
        if step.send == "mended" and subject and score.near[0] < 3:
            return Bilingual(
                f"The refusal of {subject.subject} ({' '.join(subject.codes)}) was read and ignored: it never came "
                f"put right. {score.near[1].en}".strip(),
                f"Le refus de {subject.subject} ({' '.join(subject.codes)}) a été lu et ignoré : il n'est jamais "
                f"revenu corrigé. {score.near[1].fr}".strip(),
            )
        if score.near[0] >= 2:
            return score.near[1]
        return Bilingual("No such message came.", "Aucun message de ce genre n'est venu.")


def _not_reached() -> Bilingual:
    return Bilingual("Not reached: an earlier stage is not done.", "Non atteint : un palier antérieur n'est pas fait.")


def _progress(score: Score, language: str) -> str:
    """Return a step that is not yet met, in few words."""
    french = language == "fr"
    title = score.step.title.fr if french else score.step.title.en
    if score.step.send == "many":
        return f"{title} ({len(score.volume)}/{score.step.count})"
    if score.claim:
        return f"{title} ({'réponses non lues' if french else 'answers not read'})"
    return title


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _refused(arrived: Arrived, scenario: Scenario) -> Bilingual:
    """Return why a message was refused that should not have been, and what that tells of the partner's system."""
    remark = remark_on(arrived.codes, scenario) or Bilingual("", "")
    first = arrived.texts[0] if arrived.texts else Bilingual("", "")
    codes = " ".join(dict.fromkeys(arrived.codes))
    return Bilingual(
        f"{arrived.subject} was refused. {remark.en} ({codes}: {first.en})".replace("  ", " "),
        f"{arrived.subject} a été refusé. {remark.fr} ({codes} : {first.fr})".replace("  ", " "),
    )


def _carried_wrongly(step: Step, arrived: Arrived) -> Bilingual | None:
    """Return which element did not arrive as it should have, None if all did."""
    misread = _misread(step, arrived)
    en = " The bytes are UTF-8, but the message declares another character set." if misread else ""
    fr = " Les octets sont en UTF-8, mais le message déclare un autre jeu de caractères." if misread else ""
    for name, wanted in step.carries.items():
        found = _found(name, arrived)
        if wanted not in found:
            came = printable(found[0])[:60] if found else "—"
            return Bilingual(
                f'{arrived.subject}: {name} arrived as "{came}", not as "{wanted}".{en}',
                f"{arrived.subject} : {name} est arrivé comme « {came} », non comme « {wanted} ».{fr}",
            )
    return None


def _found(name: str, arrived: Arrived) -> list[str]:
    """Return an element's values wherever they stand."""
    declaration = arrived.message.declaration
    levels = declaration.levels() if declaration else ()
    return [str(value) for _, _, level in levels for value in level.all(name)]


def _misread(step: Step, arrived: Arrived) -> bool:
    """Tell whether UTF-8 was read as ISO 8859-1, because the message declares that."""
    return any(_repaired(text) == wanted for name, wanted in step.carries.items() for text in _found(name, arrived))


def _repaired(text: str) -> str | None:
    """Return what a text was before its UTF-8 was read as ISO 8859-1, None if it was not."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return None


# ------------------------------------------------------------------------------------------------ the run


@contextmanager
def _journal(home: Path) -> Iterator[Journal]:
    journal = Journal.open(f"sqlite:///{home}/customs.sqlite3")
    journal.migrate()
    try:
        yield journal
    finally:
        journal.close()


def attend(
    scenario: Scenario,
    broker: Broker,
    partner: Partner,
    plans: Plans,
    result: Result,
    *,
    home: Path,
    patience: float,
    say: Say,
    changed: Callable[[], None],
    gone: Callable[[], bool] = lambda: False,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Attend to the partner until every stage is done, or for `patience` seconds nothing comes and nothing is read.

    It also ends soon after `gone` tells that the partner's program has ended, and with the score as it stands when
    `stopping` tells so, which is asked between two looks at the queue.

    Journal and engine are this run's own, so nothing reaches an assessment engine; no other gateway may read the
    partner's queue meanwhile. `changed` is called whenever the score may have changed.
    """
    queue = inbound_queue(partner.id)
    broker.declare([queue, partner.answer_queue])
    with _journal(home) as journal, broker.consume([queue]) as intake:
        desk = Desk(scenario, broker, journal, partner, plans, result)
        en, fr = "waiting at {}; answers go to {}", "à l'écoute de {}; réponses dans {}"
        say(Bilingual(en.format(queue, partner.answer_queue), fr.format(queue, partner.answer_queue)))
        told, stage, reminded = _states(result), -1, time.monotonic()
        while not desk.over and time.monotonic() - desk.active < (GONE_SECONDS if gone() else patience):
            if stopping():
                say(Bilingual("stopped", "arrêté"))
                break
            idle = time.monotonic() - reminded > REMIND_SECONDS
            if desk.stage != stage or idle:
                for each in desk.to_do():
                    say(each)
                stage, reminded = desk.stage, time.monotonic()
            if not desk.turn(intake):
                continue
            states, reminded = _states(result), time.monotonic()
            for line in result.lines():
                if line.state == "passed" != told[line.id]:
                    say(Bilingual(f"  {line.id:5} ok: {line.title.en}", f"  {line.id:5} ok : {line.title.fr}"))
            for why in desk.unmet:
                say(Bilingual(f"  meets no step: {why.en}", f"  ne répond à aucune étape : {why.fr}"))
            if not desk.over and desk.stage == stage and (desk.unmet or states != told):
                say(desk.missing())
            desk.unmet.clear()
            told = states
            changed()
        desk.close()


def _states(result: Result) -> dict[str, str]:
    return {line.id: line.state for line in result.lines()}
