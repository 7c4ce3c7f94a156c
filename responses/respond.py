"""Everything that is sent on a transmission: CONTRLs, answers to its messages, requests; later the engine's word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from core.assessment import AssessmentResult
from core.calendar import EASTERN
from core.declaration import VersionFact
from core.envelope import Envelope, Interchange, messages_inside
from core.partner import Partner
from core.register import Facts
from core.specs import Pack
from core.transmission import Judged, Outcome, Outgoing, Parsed, Received, Verdict, stable_id
from edifact.contrl import contrl
from responses.addresses import addresses
from responses.answers import answer
from responses.business import assessed_of

# The packs whose answers are written; the first one's form serves where no pack has read the subject.
Packs = Sequence[Pack]

# The kind of answer that passes on the engine's outcome.
ANSWER_TO: Mapping[str, str] = {"approved": "assessed", "pending": "pending", "refused": "engine-refused"}


def respond(
    parsed: Parsed,
    judged: Sequence[Judged],
    facts: Facts,
    requests: Mapping[int, Outgoing],
    packs: Packs,
    now: datetime,
) -> Outcome:
    """Return what becomes of a transmission: the verdicts, what is to be sent, and what it acknowledges of ours.

    `requests` are those to the assessment engine, by the ordinal of their message; each goes out behind its answer.
    `now` (aware) dates the answers.
    """
    told = tuple(
        replace(one.acknowledges, queue=facts.partner.answer_queue)
        for one in judged
        if one.acknowledges and one.verdict is Verdict.ACCEPTED and facts.partner
    )
    outgoing = tuple(_outgoing(parsed, judged, facts, requests, packs, now))
    return Outcome(parsed.received, parsed.syntax, tuple(judged), outgoing, told)


def _outgoing(
    parsed: Parsed,
    judged: Sequence[Judged],
    facts: Facts,
    requests: Mapping[int, Outgoing],
    packs: Packs,
    now: datetime,
) -> Iterator[Outgoing]:
    """Yield what is to be sent: a CONTRL an interchange where one is due, an answer a message, its request.

    A sender that the transport does not know has no registered queue, so it gets nothing: the journal has the findings.
    """
    partner = facts.partner
    if partner is None:
        return
    # A CONTRL is never answered, not even a bad one: two machines could go on like that for ever.
    answered = {
        header.ordinal for interchange in parsed.interchanges for header in interchange.headers if header.is_contrl
    }
    for item, ordinals in () if facts.unproven else _contrls(parsed, judged, partner, now):
        yield item
        answered |= ordinals
    inside = {header.ordinal: interchange for interchange in parsed.interchanges for header in interchange.headers}
    for one in judged:
        if one.message.ordinal in answered or (one.verdict is Verdict.ACCEPTED and one.effect is None):
            continue
        yield _answer(str(one.verdict), one, parsed.received, inside.get(one.message.ordinal), partner, packs, now)
        if one.message.ordinal in requests:
            yield requests[one.message.ordinal]


def _contrls(
    parsed: Parsed, judged: Sequence[Judged], partner: Partner, now: datetime
) -> Iterator[tuple[Outgoing, set[int]]]:
    """Yield the CONTRL of each interchange where one is due, with the ordinals of the messages that it answers."""
    received = parsed.received
    refused = {one.message.ordinal: [finding for finding in one.findings if finding.syntax_error] for one in judged}
    for number, (interchange, ordinals) in enumerate(messages_inside(parsed.interchanges), 1):
        faults = {ordinal: refused[ordinal] for ordinal in ordinals if ordinal in refused}
        around = (interchange.faults, *(group.faults for group in interchange.groups))
        faulty = any(fault.syntax_error for found in around for fault in found)  # a warning alone asks for no CONTRL
        if not (faulty or any(faults.values()) or partner.contrl or interchange.acknowledge):
            continue
        own_id = stable_id(received.id, str(number), "contrl")
        eastern = now.astimezone(EASTERN)  # as in every answer
        to = addresses(partner, Envelope(), interchange)
        body = contrl(interchange, faults, own_id=own_id, reference=own_id[:14], now=eastern, addresses=to)
        if body is not None:
            item = Outgoing(own_id, "contrl", partner.answer_queue, "application/edifact", body)
            yield item, {ordinal for ordinal, found in faults.items() if found}


def _answer(
    kind: str,
    one: Judged,
    received: Received,
    interchange: Interchange | None,
    partner: Partner,
    packs: Packs,
    now: datetime,
    result: AssessmentResult | None = None,
) -> Outgoing:
    """Return the answer to one message, in its syntax and the partner's language; `interchange` is what it came in."""
    ordinal = one.message.ordinal
    of_result = ("result", result.message_id) if result else ()
    answer_id = stable_id(received.id, str(ordinal), *of_result, kind)
    content_type, body = answer(
        kind,
        one,
        answer_id=answer_id,
        partner=partner,
        now=now,
        packs=packs,
        result=result,
        interchange=interchange,
    )
    return Outgoing(answer_id, kind, partner.answer_queue, content_type, body, ordinal, _awaited(content_type, partner))


def respond_assessed(
    parsed: Parsed,
    ordinal: int,
    fact: VersionFact,
    result: AssessmentResult,
    partner: Partner,
    now: datetime,
    packs: Packs,
) -> Outgoing:
    """Return the answer that tells the sender of a message what the assessment engine said of it.

    Raises GatewayError, one line, for a result about a line that the request did not have.
    """
    message = next(message for message in parsed.messages if message.ordinal == ordinal)
    one = Judged(message, Verdict.ACCEPTED, (), fact.nature, fact)
    placed = result.by_position(assessed_of(one))
    interchange = _interchange_of(parsed, ordinal)
    return _answer(ANSWER_TO[result.outcome], one, parsed.received, interchange, partner, packs, now, placed)


def respond_technical(received: Received, refused: Judged, partner: Partner, packs: Packs) -> Outgoing:
    """Return the answer to a transmission that could not be handled: it is kept, and an operator looks at it."""
    answer_id = stable_id(received.id, "technical")
    content_type, body = answer(
        "technical", refused, answer_id=answer_id, partner=partner, now=received.received_at, packs=packs
    )
    awaited = _awaited(content_type, partner)
    return Outgoing(answer_id, "technical", partner.answer_queue, content_type, body, awaited=awaited)


def _awaited(content_type: str, partner: Partner) -> bool:
    """Tell whether a partner is to acknowledge an answer: it is EDIFACT, and CONTRL is agreed, in both directions."""
    return partner.contrl and content_type == "application/edifact"


def _interchange_of(parsed: Parsed, ordinal: int) -> Interchange | None:
    """Return the interchange that a message came in, None for XML."""
    for interchange in parsed.interchanges:
        if any(header.ordinal == ordinal for header in interchange.headers):
            return interchange
    return None
