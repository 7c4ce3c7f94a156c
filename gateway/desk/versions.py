"""Two versions of a declaration set side by side, each on what was known when it came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import NamedTuple

from core.declaration import Declaration, MessageType, Nature
from core.errors import GatewayError
from core.findings import Bilingual
from core.partner import Partner
from core.register import ASSESSED, Facts, Register, nature_of
from core.register import effect_of as made_of
from core.specs import Pack, Specs
from core.transmission import Judged, Message, Parsed
from gateway import pipeline
from gateway.desk.diff import UNREADABLE, Diff, compare, due_days, effect_of
from gateway.engine.assess import load_rates
from gateway.journal import Journal
from gateway.plans import Plans


class Side(NamedTuple):
    """One of the two: its message, and what was known when it came."""

    name: str
    parsed: Parsed
    message: Message
    facts: Facts


class Beside(NamedTuple):
    """What differs, what the gateway says of the later one, what it is in law, and its days of payment."""

    found: Diff
    judged: Judged
    nature: Nature
    due: Mapping[str, date]


def set_beside(before: Side, after: Side, plans: Plans) -> Beside:
    """Return the difference of two messages; raises GatewayError where one of them is no declaration."""
    specs = plans.specs
    pack = _pack(specs, before.message, after.message)
    facts = _facts(before, after, specs)
    early, late = before.message.declaration, after.message.declaration
    if early is None or late is None:
        raise GatewayError(UNREADABLE)
    now = after.parsed.received.received_at
    nature = _nature(early, late, after, facts, specs)
    due = due_days(late, facts, now, specs)
    judged = next(
        one for one in pipeline.judge(after.parsed, facts, plans).judged if one.message.ordinal == after.message.ordinal
    )
    effect = effect_of(before.message, after.message, nature, load_rates(), now)
    found = compare(before.message, after.message, pack, specs, nature, after.parsed.received.day, effect)
    return Beside(found, judged, nature, due)


def recorded_side(
    what: str, journal: Journal, sequence: int, ordinal: int, plans: Plans, partners: Mapping[str, Partner]
) -> Side:
    """Return a recorded message (0: its first with a declaration), called `what`; raises GatewayError without one."""
    (row,) = journal.recorded([sequence])
    parsed = pipeline.parse(row.received, plans)
    message = message_of(what, parsed, ordinal)
    number = message.declaration.transaction_number if message.declaration else None
    (known,) = journal.facts_then([(row, [number] if number else [], [])])
    register = Register(known.versions).beside(Register(known.of(test=True).versions))
    return Side(what, parsed, message, Facts(partners.get(row.partner or ""), register))


def message_of(what: str, parsed: Parsed, ordinal: int) -> Message:
    """Return a transmission's message by its ordinal, else its first with a declaration; raises GatewayError."""
    for message in parsed.messages:
        if message.ordinal == ordinal or (not ordinal and message.declaration):
            return message
    raise GatewayError(
        Bilingual(f"{what}: no declaration can be read in it", f"{what} : aucune déclaration n'y est lisible")
    )


def _pack(specs: Specs, *messages: Message) -> Pack:
    """Return the pack that knows most elements of those by which the messages were read."""
    keys = {message.pack for message in messages}
    return max((pack for pack in specs.packs if pack.key in keys), key=lambda pack: len(pack.elements))


def _nature(early: Declaration, late: Declaration, after: Side, facts: Facts, specs: Specs) -> Nature:
    """Return what B is: an original, unless it is a change or says that it is a later version of A's number."""
    later = early.transaction_number == late.transaction_number and _version(late) > 1
    type_ = after.message.type
    if type_ is MessageType.DECLARATION and later:
        type_ = MessageType.CORRECTION
    history = facts.register.of(after.message.envelope.test).history(late.transaction_number)
    choice = facts.partner.choice_of(early) if facts.partner else None
    return nature_of(type_, history, late, after.parsed.received.received_at, specs.calendar, choice)


def _version(declaration: Declaration) -> int:
    """Return a declaration's version, 1 if it gives none that can be read."""
    written = declaration.version or ""
    return int(written) if written.isascii() and written.isdigit() else 1


def _facts(before: Side, after: Side, specs: Specs) -> Facts:
    """Return the facts for judging B: the journal's, if it holds A or what came after it, else A as the one on file."""
    early, late = before.message.declaration, after.message.declaration
    number = late.transaction_number if late else None
    if early is None or number is None or early.transaction_number != number:
        return after.facts
    if after.message.type is MessageType.DECLARATION:  # another try at an original: no number used twice
        return replace(after.facts, register=Register())
    test = after.message.envelope.test
    if after.facts.register.of(test).attempts(number):
        return after.facts
    partner, came = after.facts.partner, before.parsed.received.received_at
    choice = partner.choice_of(early) if partner else None
    first = made_of(
        MessageType.DECLARATION,
        early,
        partner.id if partner else "",
        Register(),
        came,
        specs.calendar,
        choice,
        test=test,
    )
    fact = replace(first, version=_version(early), status=ASSESSED)
    return replace(after.facts, register=Register().with_version(fact))
