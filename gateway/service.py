"""The way's edge: receive (deliver, journal, ack), work (claim, handle, finish), dispatch (due, publish, mark)."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from core import limits
from core.errors import GatewayError, JournalUnavailable
from core.partner import Partner
from core.register import Facts, Register, status_after
from core.transmission import Outcome, Outgoing, Parsed, Received, stable_id
from gateway import pipeline
from gateway.journal import Arrival, Claimed, Due, Journal, Settlement, Unproven, inbox_id
from gateway.logs import bound, logger
from gateway.plans import Plans
from gateway.queues import Broker, Delivery, Intake, Letter
from parsers import sniff
from responses.receipt import receipt
from responses.respond import respond_assessed
from routing.assessment import read_result
from routing.partners import inbound_queue
from routing.routes import RESULTS
from validators.sender import ANONYMOUS, SOMEBODY_ELSE

# How long a claimed message stays with its worker; far above the longest handling, so that only a dead one loses it.
LEASE_SECONDS = 60

# How many messages share one transaction; the cost of a commit is spread, and a crash repeats at most these.
BATCH = 100

# How soon what failed is tried again; its sender's later messages about the same declaration wait for it.
AGAIN_SECONDS = 1

Partners = Mapping[str, Partner]
Done = TypeVar("Done", Outcome, Settlement)


def now() -> datetime:
    """Return the present moment, aware."""
    return datetime.now(UTC)


# ------------------------------------------------------------------------------------------------ receive


def receive(intake: Intake, journal: Journal, partners: Partners, wait: float) -> int:
    """Journal the next deliveries in one transaction, then acknowledge them; returns how many there were.

    Nothing is parsed here: what arrived is a fact before it is understood. When the journal does not answer, they stay
    in hand and come first at the next call: to give them back would count as a failed delivery of each. One that
    cannot be recorded for another reason goes back alone, counted; the broker makes it a dead letter in the end.
    """
    deliveries = intake.receive(wait)
    if not deliveries:
        return 0
    try:
        record(deliveries, journal, partners)
    except JournalUnavailable:
        intake.keep(deliveries)
        raise
    except Exception as error:
        logger().warning("recording one by one", count=len(deliveries), error=reason(error))
        return _record_each(intake, deliveries, journal, partners)
    intake.ack(deliveries)
    logger().info("received", count=len(deliveries))
    return len(deliveries)


def _record_each(intake: Intake, deliveries: Sequence[Delivery], journal: Journal, partners: Partners) -> int:
    """Journal and acknowledge each by itself; return how many of them were recorded."""
    recorded = 0
    for place, delivery in enumerate(deliveries):
        try:
            record([delivery], journal, partners)
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


def record(deliveries: Sequence[Delivery], journal: Journal, partners: Partners) -> None:
    """Journal deliveries in one transaction.

    It is idempotent: a delivery that the journal knows already adds nothing, but its answers are sent again: it may be
    the sender's own resend, and a redelivery does not tell whether it was one before a crash. An answer that comes
    twice has the same id.
    """
    owners = _owners(partners)
    head = journal.head()
    new = journal.receive([_arrival(delivery, owners.get(delivery.queue), head) for delivery in deliveries])
    for delivery, is_new in zip(deliveries, new, strict=True):
        if not is_new:
            journal.resend(inbox_id(delivery.uid), now())


def _owners(partners: Partners) -> dict[str, Partner]:
    """Return whose each inbound queue is."""
    return {inbound_queue(name): partner for name, partner in partners.items()}


def _arrival(delivery: Delivery, owner: Partner | None, head: tuple[int, str]) -> Arrival:
    """Return what the journal keeps of a delivery, with the receipt for its sender; `head` is the audit chain's.

    What is not proven to be the owner's is kept as nobody's: it can use up none of the owner's references
    (DECISIONS D16).
    """
    if delivery.queue == RESULTS:
        return Arrival(delivery.uid, "assessment", None, delivery.body, delivery.headers, now(), lane=delivery.uid)
    received_at, lane = now(), sniff.lane(delivery.body)
    code = unproven(delivery, owner) if owner else None
    if owner is None or code:
        told = Unproven(code, delivery.queue, delivery.user_id) if code else None
        if told:
            logger().error("sender not proven", findings=[code], queue=told.queue, user=told.user)
        return Arrival(delivery.uid, "partner", None, delivery.body, delivery.headers, received_at, lane, unproven=told)
    received = Received(inbox_id(delivery.uid), owner.id, delivery.body, received_at)
    receipt_id = stable_id(received.id, "receipt")
    content_type, body = receipt(received, receipt_id=receipt_id, reference=delivery.message_id, head=head)
    confirmation = Outgoing(receipt_id, "receipt", owner.answer_queue, content_type, body)
    return Arrival(delivery.uid, "partner", owner.id, delivery.body, delivery.headers, received_at, lane, confirmation)


def unproven(delivery: Delivery, owner: Partner) -> str | None:
    """Return the finding's code when the broker does not vouch for the queue's owner, None when it does.

    On the embedded queue, who may write there is the owner; RabbitMQ lets any user that may write leave its name out.
    """
    if not delivery.vouched or delivery.user_id == owner.user:
        return None
    return ANONYMOUS if delivery.user_id is None else SOMEBODY_ELSE


# ------------------------------------------------------------------------------------------------ work


def work(
    journal: Journal, plans: Plans, partners: Partners, worker: str, alarm: Callable[[float], object] = lambda _: None
) -> int:
    """Claim the next messages, carry them through the pipeline and finish them; returns how many were claimed.

    One that fails does not hold up the others of its batch: it is given back, its attempt counted, and tried again
    soon; after the last attempt it is parked, and its sender is told. `alarm` is set to the seconds that a message may
    take and to 0 after it: what it does ends this process, so that no message holds a worker for ever.
    """
    claims = journal.claim(worker, BATCH, LEASE_SECONDS, now())
    if claims.exhausted:
        parked = [(row, "too many attempts", _technical(row, partners, plans)) for row in claims.exhausted]
        journal.park(parked, now=now())
        for row in claims.exhausted:
            logger().error("parked", message_id=row.id, partner=row.partner, attempts=row.attempts)
    results = [row for row in claims.work if row.channel == "assessment"]
    transmissions = [row for row in claims.work if row.channel != "assessment"]
    looked_up = _look_up(journal, transmissions, plans, alarm)
    _carry(
        journal,
        transmissions,
        # What was looked up for all serves once: a row handled again is to see what has changed since.
        lambda row: _outcome(row, looked_up.pop(row.sequence, None), journal, plans, partners),
        lambda done: journal.finish(done, specs=plans.digest, now=now()),
        alarm,
    )
    _carry(
        journal,
        results,
        lambda row: _settlement(row, journal, plans, partners),
        lambda done: journal.settle(done, now=now()),
        alarm,
    )
    return len(claims.work) + len(claims.exhausted)


def _carry(
    journal: Journal,
    rows: Sequence[Claimed],
    handle: Callable[[Claimed], Done | None],
    finish: Callable[[Sequence[tuple[Claimed, Done]]], object],
    alarm: Callable[[float], object],
) -> None:
    """Handle every row, then write what became of them as one fact.

    If that cannot be written, each is handled and written by itself: either one of them is at fault, or another worker
    was first with a version or a reference, and then fresh facts decide.
    """
    done: list[tuple[Claimed, Done]] = []
    for row in rows:
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
def _by_itself(journal: Journal, row: Claimed, alarm: Callable[[float], object]) -> Iterator[None]:
    """Keep a row's failure to itself: one line in the log, and the row is given back with its attempt counted."""
    with bound(message_id=row.id, partner=row.partner):
        alarm(limits.MESSAGE_SECONDS)
        try:
            yield
        except JournalUnavailable:
            raise
        except Exception as error:  # whatever it is: the other messages must not wait for it
            logger().error("given back", attempts=row.attempts, error=reason(error))
            journal.give_back([row], now() + timedelta(seconds=AGAIN_SECONDS))
        finally:
            alarm(0)


def reason(error: Exception) -> str:
    """Return what went wrong and where; an unexpected error's own text could repeat the sender's data."""
    if isinstance(error, GatewayError):
        return str(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno}"


def _look_up(
    journal: Journal, rows: Sequence[Claimed], plans: Plans, alarm: Callable[[float], object]
) -> dict[int, tuple[Parsed, Register]]:
    """Parse rows and ask the journal once what it knows about all of them; by sequence.

    What fails here is left out: the row is then handled by itself, and fails there alone.
    """
    read: list[tuple[Claimed, Parsed]] = []
    for row in rows:
        alarm(limits.MESSAGE_SECONDS)
        with suppress(Exception):
            read.append((row, pipeline.parse(row.received, plans)))
        alarm(0)
    try:
        known = journal.facts_of([_questions(row, parsed) for row, parsed in read])
    except JournalUnavailable:
        raise
    except Exception:
        return {}
    return {row.sequence: (parsed, one) for (row, parsed), one in zip(read, known, strict=True)}


def _questions(row: Claimed, parsed: Parsed) -> tuple[str | None, list[str], list[str]]:
    """Return what must be known for judging: whose transaction numbers and references."""
    numbers = {message.declaration.transaction_number for message in parsed.messages if message.declaration}
    references = {message.envelope.reference for message in parsed.messages}
    return row.partner, list(filter(None, numbers)), list(filter(None, references))


def _outcome(
    row: Claimed, looked_up: tuple[Parsed, Register] | None, journal: Journal, plans: Plans, partners: Partners
) -> Outcome | None:
    """Return what becomes of a transmission; None when it repeats an earlier one, whose answers are then sent again."""
    parsed, register = looked_up or (pipeline.parse(row.received, plans), None)
    if row.unproven:
        owner = _owners(partners).get(row.unproven.queue)
        return pipeline.judge(parsed, Facts(owner, unproven=row.unproven.code), plans)
    if register is None:
        register = journal.facts(*_questions(row, parsed))
    if first := register.repeated(row.partner, parsed):
        count = journal.answer_again(row, first, now())
        logger().info("answered again", count=count)
        return None
    outcome = pipeline.judge(parsed, Facts(partners.get(row.partner or ""), register), plans)
    for judged in outcome.judged:
        logger().info("judged", verdict=str(judged.verdict), findings=[finding.code for finding in judged.findings])
    return outcome


def _settlement(row: Claimed, journal: Journal, plans: Plans, partners: Partners) -> Settlement | None:
    """Return what an assessment result changes; None when it cannot be read, which parks it for the operator."""
    try:
        result = read_result(row.body)
    except GatewayError as error:
        journal.park([(row, str(error), ())], now=now())
        logger().error("parked", error=str(error))
        return None
    asked = journal.asked(result.message_id)
    if asked is None:
        return Settlement(result.message_id, "assessed")
    partner = partners.get(asked.fact.partner)
    answers: tuple[Outgoing, ...] = ()
    if partner:
        parsed, packs = pipeline.parse(asked.received, plans), plans.specs.packs
        answers = (respond_assessed(parsed, asked.ordinal, asked.fact, result, partner, row.received_at, packs),)
    status = status_after(asked.fact.nature, result.outcome)
    return Settlement(result.message_id, status, answers, result.payment_due)


def _technical(row: Claimed, partners: Partners, plans: Plans) -> list[Outgoing]:
    """Return the answer to a message that could not be handled: it is kept, an operator looks, no resend is needed."""
    partner = partners.get(row.partner or "")
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
    letters = [Letter(i.id, i.destination, i.content_type, i.body, _headers(i)) for i in due]
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


def _headers(item: Due) -> dict[str, str]:
    """Return an answer's kind and the `received` of the receipt that it belongs to; a request answers nothing."""
    return {"kind": item.kind} if item.kind == "request" else {"kind": item.kind, "in-reply-to": item.answers}
