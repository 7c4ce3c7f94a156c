"""The way of a message: identify, parse, validate, record, route, respond; pure, bytes and facts in, an `Outcome` out.

No clock, no queue, no database: all of that is in `facts`. The same arguments give the same outcome, byte for byte,
today or in a replay years on. Each step is a call of its room: `parsers.sniff`, `parsers.reading`,
`validators.agreement` and `validators.judging`, `core.register`, `routing.route`, `responses.respond`. Receiving, and
the journal, are at this way's edge, `gateway.service`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from core.envelope import Envelope
from core.findings import Address, Fault, Finding, Severity
from core.partner import Partner
from core.register import Facts, effect_of
from core.transmission import Judged, Message, Outcome, Outgoing, Parsed, Received, Verdict
from edifact.message import counted
from gateway.plans import Plans
from parsers import reading
from parsers.sniff import syntax as identify
from responses.respond import respond, respond_technical
from routing.route import route
from validators.agreement import agreed, envelope_faults
from validators.judging import acknowledgement, validate
from validators.words import to_finding


def handle(received: Received, facts: Facts, plans: Plans) -> Outcome:
    """Carry one transmission from bytes to verdicts and answers."""
    return judge(parse(received, plans), facts, plans)


def parse(received: Received, plans: Plans) -> Parsed:
    """Carry a transmission as far as it goes without facts; which of them its messages need is known only then."""
    syntax = identify(received.body)
    return reading.parse(syntax, received, plans.reading)


def judge(parsed: Parsed, facts: Facts, plans: Plans) -> Outcome:
    """Carry a parsed transmission to its answers; a message sees what those before it in it have changed."""
    parsed = _unproven(parsed.received, facts.partner) if facts.unproven else agreed(parsed, facts)
    around = envelope_faults(parsed)  # by message: the faults of the interchange and the group that it is in
    judged: list[Judged] = []
    told = 0  # faults of syntax so far: their number is limited for a whole transmission
    for message in parsed.messages:
        if judged and (before := judged[-1].effect):
            facts = replace(facts, register=facts.register.with_effect(before))
        findings = validate(message, around.get(message.ordinal, ()), parsed.received, facts, plans.checks, told)
        told += counted(findings)
        judged.append(record(message, findings, parsed.received, facts, plans))
    requests = route(parsed.received, judged, facts.partner, plans.routes)
    return respond(parsed, judged, facts, requests, plans.specs.packs, parsed.received.received_at)


def record(message: Message, findings: tuple[Finding, ...], received: Received, facts: Facts, plans: Plans) -> Judged:
    """Return the verdict on a message, and what is on file of its declaration if it is accepted.

    This is the pure half of recording: the service writes it into the journal, in one transaction with the answers.
    """
    acknowledges = acknowledgement(message, plans.checks)
    if any(finding.severity is Severity.REFUSE for finding in findings):
        return Judged(message, Verdict.REFUSED, findings, acknowledges=acknowledges)
    partner, declaration = facts.partner, message.declaration
    if declaration is None or partner is None:
        return Judged(message, Verdict.ACCEPTED, findings, acknowledges=acknowledges)
    now, calendar, choice = received.received_at, plans.specs.calendar, partner.choice_of(declaration)
    test = message.envelope.test
    effect = effect_of(message.type, declaration, partner.id, facts.register, now, calendar, choice, test=test)
    return Judged(message, Verdict.ACCEPTED, findings, effect.nature, effect)


# ------------------------------------------------------------------------------------------------ beside the way


def refuse(received: Received, partner: Partner | None, reason: str, now: datetime, plans: Plans) -> Outcome:
    """Refuse a transmission in the operator's words: every message that can be read in it, else the whole."""
    fault = Fault("GTW-0014", address=Address(""), details={"reason": reason})
    try:
        parsed = parse(received, plans)
    except Exception:  # what could not be handled may well be what cannot be read
        parsed = reading.unreadable(received)
    judged = [
        Judged(message, Verdict.REFUSED, (to_finding(fault, message, plans.checks.texts),))
        for message in parsed.messages
    ]
    return respond(parsed, judged, Facts(partner), {}, plans.specs.packs, now)


def _unproven(received: Received, owner: Partner | None) -> Parsed:
    """Return a transmission of nobody knows whom as one message with nothing of its bytes, addressed to the owner.

    What another wrote would else be repeated to the owner of the queue as his own, and as often as there are messages.
    """
    return reading.unreadable(received, said=Envelope(sender=next(iter(owner.envelopes), None) if owner else None))


def hold(received: Received, partner: Partner, plans: Plans) -> Outgoing:
    """Return the technical answer to a transmission that could not be handled: it is kept, an operator looks at it."""
    said = Envelope(sender=next(iter(partner.envelopes), None))
    fault = Fault("GTW-0010", address=Address(""))
    (message,) = reading.unreadable(received, (fault,), said).messages
    refused = Judged(message, Verdict.REFUSED, (to_finding(fault, message, plans.checks.texts),))
    return respond_technical(received, refused, partner, plans.specs.packs)
