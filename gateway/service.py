"""The way's edge: receive (deliver, journal, ack), work (claim, handle, finish), dispatch (due, publish, mark)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import groupby
from typing import TypeVar

from core import limits
from core.errors import GatewayError, JournalUnavailable
from core.partner import Partner
from core.register import Facts, Register, status_after
from core.transmission import Outcome, Outgoing, Parsed, Received, Syntax, digest_of
from gateway import pipeline
from gateway.arrivals import arrival
from gateway.journal import Claimed, Due, Journal, Settlement, Unproven, WorkerRole, inbox_id
from gateway.logs import bound, logger, reason
from gateway.plans import Plans
from gateway.queues import Broker, Delivery, Intake, Letter, is_keyed
from gateway.senders import Partners, sender_of
from responses.respond import respond_assessed
from routing.assessment import compare, read_result
from routing.partners import inbound_queue
from validators.sender import MISDIRECTED

# How long a claimed message stays with its worker; far above the longest handling, so that only a dead one loses it.
LEASE_SECONDS = 60

# How many messages share one transaction; the cost of a commit is spread, and a crash repeats at most these.
BATCH = 100

# How soon what failed is tried again; its sender's later messages about the same declaration wait for it.
AGAIN_SECONDS = 1

# Is told, before each message, how many seconds it may take and its sequence, and (0, 0) after it.
Alarm = Callable[[float, int], object]
Done = TypeVar("Done", Outcome, Settlement)


def now() -> datetime:
    """Return the present moment, aware."""
    return datetime.now(UTC)


# ------------------------------------------------------------------------------------------------ receive


def receive(
    intake: Intake, journal: Journal, partners: Partners, wait: float, engines: Collection[str] = frozenset()
) -> int:
    """Journal the next deliveries in one transaction, then acknowledge them; returns how many there were.

    Nothing is parsed here: what arrived is a fact before it is understood. When the journal does not answer, they stay
    in hand and come first at the next call: to give them back would count as a failed delivery of each. One that
    cannot be recorded for another reason goes back alone, counted; the broker makes it a dead letter in the end.
    `engines`: see `record`.
    """
    deliveries = intake.receive(wait)
    if not deliveries:
        return 0
    try:
        record(deliveries, journal, partners, engines)
    except JournalUnavailable:
        intake.keep(deliveries)
        raise
    except Exception as error:
        logger().warning("recording one by one", count=len(deliveries), error=reason(error))
        return _record_each(intake, deliveries, journal, partners, engines)
    intake.ack(deliveries)
    logger().info("received", count=len(deliveries))
    return len(deliveries)


def _record_each(
    intake: Intake, deliveries: Sequence[Delivery], journal: Journal, partners: Partners, engines: Collection[str]
) -> int:
    """Journal and acknowledge each by itself; return how many of them were recorded."""
    recorded = 0
    for place, delivery in enumerate(deliveries):
        try:
            record([delivery], journal, partners, engines)
        except JournalUnavailable:
            intake.keep(deliveries[place:])
            raise
        except Exception as error:  # whatever it is: the others must not be dead letters with it
            logger().error("cannot be recorded", queue=delivery.queue, error=reason(error))
            intake.reject([delivery], requeue=True)
        else:
            intake.ack([delivery])
            recorded += 1
    if recorded < len(deliveries):
        intake.idle(AGAIN_SECONDS)
    return recorded


def record(
    deliveries: Sequence[Delivery], journal: Journal, partners: Partners, engines: Collection[str] = frozenset()
) -> None:
    """Journal deliveries in one transaction; `engines` are the users that may send results, where the broker vouches.

    It is idempotent: a delivery that the journal knows already adds nothing, but its answers are sent again: it may be
    the sender's own resend, and a redelivery does not tell whether it was one before a crash. An answer that comes
    twice has the same id.
    """
    owners, head = _owners(partners), journal.head()
    arrivals = [arrival(one, owners.get(one.queue), head, engines, now()) for one in deliveries]
    for told in filter(None, (one.unproven for one in arrivals)):
        logger().error("sender not proven", findings=[told.code], queue=told.queue, user=told.user)
    for delivery in (one for one, is_new in zip(deliveries, journal.receive(arrivals), strict=True) if not is_new):
        id_ = inbox_id(delivery.uid)
        if is_keyed(delivery.message_id) and journal.kept_digest(id_) != digest_of(delivery.body):
            logger().error("other bytes under a key that was used, not taken", message_id=id_, queue=delivery.queue)
        journal.resend(id_, now())


def _owners(partners: Partners) -> dict[str, Partner]:
    """Return whose each inbound queue is."""
    return {inbound_queue(name): partner for name, partner in partners.items()}


# ------------------------------------------------------------------------------------------------ work


def work(
    journal: Journal,
    plans: Plans,
    partners: Partners,
    worker: str,
    alarm: Alarm = lambda *_: None,
    engines: Collection[str] = frozenset(),
    role: WorkerRole = "all",
) -> int:
    """Claim the next messages, carry them through the pipeline and finish them; returns how many were claimed.

    One that fails does not hold up the others of its batch: it is given back, its attempt counted, and tried again
    soon; after the last attempt it is parked, and its sender is told. `alarm` ends this process after the seconds that
    a message may take, so that none holds a worker for ever. `engines`: see `record`; `role`: see `Journal.claim`.
    """
    claims = journal.claim(worker, BATCH, LEASE_SECONDS, now(), role)
    if claims.exhausted:
        parked = [
            (row, "too many attempts", _technical(row, sender_of(row.received, partners, journal), plans))
            for row in claims.exhausted
        ]
        journal.park(parked, now=now())
        for row in claims.exhausted:
            logger().error("parked", message_id=row.id, partner=row.partner, attempts=row.attempts)
    results = [row for row in claims.work if row.channel == "assessment"]
    transmissions = [row for row in claims.work if row.channel != "assessment"]
    end = time.monotonic() + limits.TURN_SECONDS if role == "fresh" else float("inf")
    transmissions, looked_up = _look_up(journal, transmissions, plans, alarm, end)
    _carry(
        journal,
        transmissions,
        # What was looked up for all serves once: a row handled again is to see what has changed since.
        lambda row: _outcome(row, looked_up.pop(row.sequence, None), journal, plans, partners),
        lambda done: _finish(journal, done, plans.digest),
        alarm,
        end + limits.TURN_SECONDS,
    )
    # The engine's words on a transmission of many messages come together: it is read once for them.
    parse = lru_cache(maxsize=1)(lambda received: pipeline.parse(received, plans))
    _carry(
        journal,
        results,
        lambda row: _settlement(row, journal, plans, partners, engines, parse),
        lambda done: journal.settle(done, now=now()),
        alarm,
        end + limits.TURN_SECONDS,
    )
    return len(claims.work) + len(claims.exhausted)


def _carry(
    journal: Journal,
    rows: Sequence[Claimed],
    handle: Callable[[Claimed], Done | None],
    finish: Callable[[Sequence[tuple[Claimed, Done]]], object],
    alarm: Alarm,
    end: float,
) -> None:
    """Handle every row, then write what became of them as one fact; those not begun by `end` are given back untried.

    If that cannot be written, each is handled and written by itself: either one of them is at fault, or another worker
    was first with a version or a reference, and then fresh facts decide.
    """
    done: list[tuple[Claimed, Done]] = []
    for place, row in enumerate(rows):
        if place and time.monotonic() > end:
            journal.release(rows[place:])
            break
        with _by_itself(journal, row, alarm):
            if one := handle(row):
                done.append((row, one))
    if not done:
        return
    try:
        finish(done)
    except JournalUnavailable:
        raise
    except Exception as error:
        logger().warning("finishing one by one", count=len(done), error=reason(error))
        for row, _ in done:
            with _by_itself(journal, row, alarm):
                if one := handle(row):
                    finish([(row, one)])


@contextmanager
def _by_itself(journal: Journal, row: Claimed, alarm: Alarm) -> Iterator[None]:
    """Keep a row's failure to itself: one line in the log, and the row is given back with its attempt counted."""
    with bound(message_id=row.id, partner=row.partner):
        alarm(_seconds(row), row.sequence)
        try:
            yield
        except JournalUnavailable:
            raise
        except Exception as error:  # whatever it is: the other messages must not wait for it
            logger().error("given back", attempts=row.attempts, error=reason(error))
            journal.give_back([row], now() + timedelta(seconds=AGAIN_SECONDS))
        finally:
            alarm(0, 0)


def _seconds(row: Claimed) -> float:
    """Return how long a message may take."""
    return limits.FIRST_SECONDS if row.attempts <= 1 else limits.MESSAGE_SECONDS


def _look_up(
    journal: Journal, rows: list[Claimed], plans: Plans, alarm: Alarm, end: float
) -> tuple[list[Claimed], dict[int, tuple[Parsed, Register]]]:
    """Parse rows until `end` and ask the journal once what it knows about all of them, by sequence; return both.

    The rows not begun are given back untried. What fails here is left out of what is known: the row is then handled by
    itself, and fails there alone.
    """
    read: list[tuple[Claimed, Parsed]] = []
    for place, row in enumerate(rows):
        if place and time.monotonic() > end:
            journal.release(rows[place:])
            rows = rows[:place]
            break
        if row.unproven:
            continue
        alarm(_seconds(row), row.sequence)
        with suppress(Exception):
            read.append((row, pipeline.parse(row.received, plans)))
        alarm(0, 0)
    try:
        known = journal.facts_of([_questions(row, parsed) for row, parsed in read]) if read else []
    except JournalUnavailable:
        raise
    except Exception:
        return rows, {}
    return rows, {row.sequence: (parsed, one) for (row, parsed), one in zip(read, known, strict=True)}


def _questions(row: Claimed, parsed: Parsed) -> tuple[str | None, list[str], list[str]]:
    """Return what must be known for judging: whose transaction numbers and references in their number spaces."""
    numbers = {message.declaration.transaction_number for message in parsed.messages if message.declaration}
    references = {message.number for message in parsed.messages}
    return row.partner, list(filter(None, numbers)), list(filter(None, references))


def _finish(journal: Journal, done: Sequence[tuple[Claimed, Outcome]], specs: str) -> None:
    """Write what became of transmissions, and say so in one line; each message has its own for who debugs."""
    journal.finish(done, specs=specs, now=now())
    verdicts = Counter(str(judged.verdict) for _, outcome in done for judged in outcome.judged)
    logger().info("judged", count=len(done), verdict=dict(sorted(verdicts.items())))


def _outcome(
    row: Claimed, looked_up: tuple[Parsed, Register] | None, journal: Journal, plans: Plans, partners: Partners
) -> Outcome | None:
    """Return what becomes of a transmission; None when it repeats an earlier one, whose answers are then sent again."""
    if row.unproven:
        return _refusal(row, row.unproven, journal, plans, partners)
    parsed, register = looked_up or (pipeline.parse(row.received, plans), None)
    if register is None:
        register = journal.facts(*_questions(row, parsed))
    if first := register.repeated(row.partner, parsed):
        count = journal.answer_again(row, first, now())
        logger().info("answered again", count=count)
        return None
    said = [message.envelope.sender for message in parsed.messages]
    outcome = pipeline.judge(parsed, Facts(sender_of(row.received, partners, journal, said), register), plans)
    for judged in outcome.judged:
        logger().debug("judged", verdict=str(judged.verdict), findings=[finding.code for finding in judged.findings])
    return outcome


def _refusal(row: Claimed, told: Unproven, journal: Journal, plans: Plans, partners: Partners) -> Outcome:
    """Return the refusal of a transmission whose sender is not proven; the owner of the queue hears of a few a minute.

    It is not even read. What was copied into the queue from another is told to nobody: its owner can do nothing.
    """
    owner = None if told.code == MISDIRECTED else _owners(partners).get(told.queue)
    if owner and journal.unproven_lately(row, row.received_at - timedelta(minutes=1)) >= limits.UNPROVEN_ANSWERED:
        owner = None
    unread = Parsed(row.received, Syntax.UNKNOWN, ())
    return pipeline.judge(unread, Facts(owner, unproven=told.code), plans)


def _settlement(
    row: Claimed,
    journal: Journal,
    plans: Plans,
    partners: Partners,
    engines: Collection[str],
    parse: Callable[[Received], Parsed],
) -> Settlement | None:
    """Return what an assessment result changes; None when it is not the engine's word on what its request asked.

    Then it is parked for the operator, and the declaration stays as it is. Who may send results is asked again here: a
    result that was parked because the setting was wrong may be released once it is right.
    """
    try:
        if row.unproven and (row.unproven.user not in engines or row.unproven.code == MISDIRECTED):
            raise GatewayError(f"assessment result: sent by the user {row.unproven.user!r}, who is not the engine's")
        result = read_result(row.body)
        asked = journal.asked(result.message_id)
        if asked:
            compare(result, asked.request)
    except JournalUnavailable:
        raise
    except GatewayError as error:
        journal.park([(row, str(error), ())], now=now())
        logger().error("parked", error=str(error))
        return None
    if asked is None:
        return Settlement(result.message_id, "assessed")
    parsed, packs = parse(asked.received), plans.specs.packs
    said = [message.envelope.sender for message in parsed.messages]
    # Who asked: a withdrawal may be another's than the version.
    partner = sender_of(asked.received, partners, journal, said)
    answers: tuple[Outgoing, ...] = ()
    if partner:
        answers = (respond_assessed(parsed, asked.ordinal, asked.fact, result, partner, row.received_at, packs),)
    status = status_after(asked.fact.nature, result.outcome)
    return Settlement(result.message_id, status, answers, result.payment_due)


def _technical(row: Claimed, partner: Partner | None, plans: Plans) -> list[Outgoing]:
    """Return the answer to a message that could not be handled: it is kept, an operator looks, no resend is needed."""
    if not partner or row.channel != "partner":
        return []
    try:
        return [pipeline.hold(row.received, partner, plans)]
    except Exception as error:  # it must be parked all the same, or it would stand in everybody's way
        logger().error("no technical answer", message_id=row.id, error=reason(error))
        return []


# ------------------------------------------------------------------------------------------------ dispatch


def dispatch(broker: Broker, journal: Journal) -> int:
    """Publish what is due, mark only what the broker confirmed; returns how many were marked.

    A destination whose queue does not exist, or does not take what the others take, is paused; they go on. What the
    broker refuses whatever the destination, such as what is too large for it, is parked alone. When the
    broker confirms nothing at all, BrokerUnavailable is raised: that is nobody's fault, and nothing is paused.
    """
    due = journal.due(4 * BATCH, now())
    if not due:
        return 0
    letters = [_letter(item) for item in due]
    published = broker.publish(letters)
    sent = journal.mark_sent(sorted(published.confirmed), now())
    if published.refused:
        journal.park_refused(published.refused, now())
        for id_, why in published.refused.items():
            logger().error("refused by the broker, parked", message_id=id_, error=why)
    left = [item for item in due if item.id not in published.confirmed and item.id not in published.refused]
    for name, items in groupby(sorted(left, key=lambda item: item.destination), key=lambda item: item.destination):
        ids = [item.id for item in items]
        why = "there is no such queue" if published.unroutable.issuperset(ids) else "the broker did not confirm"
        journal.postpone(name, ids, why, now())
        logger().warning("destination paused", destination=name, error=why)
    return sent


def _letter(item: Due) -> Letter:
    """Return what is published: a request answers nothing, an answer names what it belongs to.

    That is `received` of the receipt in a header, and as the correlation the message id that the sender gave.
    """
    if item.kind == "request":
        return Letter(item.id, item.destination, item.content_type, item.body, {"kind": item.kind})
    headers = {"kind": item.kind, "in-reply-to": item.answers}
    return Letter(item.id, item.destination, item.content_type, item.body, headers, item.correlation)
