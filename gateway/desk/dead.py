"""Dead letters: what they are, and how each goes back to the way that it was on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from core.findings import Bilingual
from core.transmission import digest_of, stable_id
from core.urls import users_of
from gateway import service
from gateway.journal import Journal, inbox_id
from gateway.loops import engine_users
from gateway.queues import DEAD_QUEUE, Broker, Delivery, Intake, Letter
from gateway.settings import Settings
from routing.partners import inbound_queue, load_partners
from routing.routes import RESULTS

# How long the first dead letter may take to come, and each after it: the queue's own count leaves out what another
# reader has just let go.
FIRST_SECONDS, NEXT_SECONDS = 2.0, 0.5

# The most that a broker gives out unacknowledged.
MOST = 65_535


# Why a letter stays.
NO_PARTNER = Bilingual("no partner has its queue", "aucun partenaire n'a sa file")
NO_QUEUE = Bilingual("its queue is not known: give --queue", "sa file est inconnue : donnez --queue")
COPY = Bilingual("it was sent to another queue, and is a copy", "elle a été envoyée à une autre file; c'est une copie")
NOT_TAKEN = Bilingual(
    "its queue is missing, or the broker did not take it", "sa file manque, ou le serveur de files ne l'a pas prise"
)


class Requeuing:
    """Gives dead letters back, and counts them; `told` hears of each in a line, and whether it went.

    `queue` is what they were sent to, where the broker does not know it.
    """

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        broker: Broker,
        queue: str | None,
        operator: str,
        told: Callable[[Bilingual, bool], object],
    ) -> None:
        self._journal, self._broker, self._queue, self._operator = journal, broker, queue, operator
        self._told = told
        self._partners = load_partners(settings.partners)
        self._engines = engine_users(settings)
        self._ours = {None, *(user or "guest" for user in users_of(settings.broker_url))}
        self._inbound = {RESULTS} | {inbound_queue(name) for name in self._partners}
        self.gone = self.stayed = 0

    def chosen(self, intake: Intake, wanted: Callable[[str], bool]) -> None:
        """Give back the letters whose ids are wanted, a batch at a time."""
        batch: list[Delivery] = []
        for each in letters(intake):
            if wanted(letter_id(each)):
                batch.append(each)
            if len(batch) == service.BATCH:
                self.give_back(intake, batch)
                batch = []
        self.give_back(intake, batch)

    def give_back(self, intake: Intake, found: Sequence[Delivery]) -> None:
        """Record what came in, publish what went out, and take from the dead what was kept."""
        inbound: list[Delivery] = []
        outbound: list[Delivery] = []
        for each in found:
            origin = each.origin or self._queue
            if origin in self._inbound:
                inbound.append(each)
            elif origin is None or origin.startswith("in."):
                self._stays(each, NO_PARTNER if origin else NO_QUEUE)
            elif not each.addressed:
                self._stays(each, COPY)
            elif each.user_id not in self._ours:
                user = each.user_id
                en, fr = f"it was sent by {user}, not by the gateway", f"envoyée par {user}, et non par la passerelle"
                self._stays(each, Bilingual(en, fr))
            else:
                outbound.append(each)
        service.record([self._as_sent(each) for each in inbound], self._journal, self._partners, self._engines)
        kept = self._broker.publish([_letter(self._as_sent(each)) for each in outbound]).confirmed
        for each in outbound:
            if (each.message_id or letter_id(each)) not in kept:
                self._stays(each, NOT_TAKEN)
        gone = [*inbound, *(each for each in outbound if (each.message_id or letter_id(each)) in kept)]
        for each in gone:  # before it is gone from the dead: what is audited twice is told from what is not audited
            self._note(each, inbound=each in inbound)
        intake.ack(gone)
        for each in gone:
            id_, queue = letter_id(each), each.origin or self._queue
            self._told(Bilingual(f"requeued {id_} to {queue}", f"remise en file {queue} : {id_}"), True)
        self.gone += len(gone)

    def _note(self, letter: Delivery, *, inbound: bool) -> None:
        """Write into the audit who gave a dead letter back, and where it had died."""
        told = {name: value for name, value in row_of(letter).items() if name in ("id", "user", "why", "message_id")}
        told |= {"queue": letter.origin or self._queue, "digest": digest_of(letter.body), "operator": self._operator}
        subject = self._journal.sequence_of(inbox_id(self._as_sent(letter).uid)) if inbound else None
        self._journal.note("dead letter requeued", subject, told, service.now())

    def _as_sent(self, letter: Delivery) -> Delivery:
        return letter.as_sent(self._queue)

    def _stays(self, letter: Delivery, why: Bilingual) -> None:
        id_ = letter_id(letter)
        self._told(Bilingual(f"{id_} stays: {why.en}", f"{id_} reste : {why.fr}"), False)
        self.stayed += 1


def reading(broker: Broker) -> Intake:
    """Open a reader that may hold all dead letters at once; what it does not acknowledge stays where it is."""
    return broker.consume([DEAD_QUEUE], prefetch=MOST)


def letters(intake: Intake) -> Iterator[Delivery]:
    """Yield the dead letters, oldest first."""
    wait = FIRST_SECONDS
    while got := intake.receive(wait):
        yield from got
        wait = NEXT_SECONDS


def letter_id(letter: Delivery) -> str:
    """Return what a dead letter is named by; the same each time that it is read."""
    parts = (letter.origin or "", letter.user_id or "", letter.message_id or "", digest_of(letter.body))
    return stable_id("dead", *parts)


def row_of(letter: Delivery) -> dict[str, Any]:
    """Return what is told of a dead letter."""
    death = letter.death
    return {
        "id": letter_id(letter),
        "died": death.at if death else None,
        "queue": letter.origin,
        "user": letter.user_id,
        "why": death.reason if death else "",
        "bytes": len(letter.body),
        "message_id": letter.message_id,
    }


def _letter(sent: Delivery) -> Letter:
    """Return what the gateway sent, to be sent again under its id."""
    return Letter(sent.message_id or letter_id(sent), sent.queue, sent.content_type, sent.body, sent.headers)
