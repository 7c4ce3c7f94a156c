"""The command that sets two versions of a declaration side by side."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import click

from core.declaration import Declaration, MessageType, Nature
from core.errors import GatewayError
from core.partner import Partner
from core.register import ASSESSED, Facts, Register, nature_of
from core.register import effect_of as made_of
from core.specs import Pack, Specs
from core.transmission import Judged, Message, Parsed, Received, stable_id
from gateway import pipeline
from gateway.cli.diff_table import print_diff
from gateway.cli.shared import FORMAT, LANGUAGE, named_partner, open_journal, read_file
from gateway.cli.terminal import echo_json
from gateway.desk.diff import Diff, compare, due_days, effect_of, line_differences
from gateway.engine.assess import load_rates
from gateway.plans import Plans, prepare
from gateway.settings import Settings, from_environment
from routing.partners import load_partners


class Side(NamedTuple):
    """One of the two: its message, and what was known when it came."""

    name: str
    parsed: Parsed
    message: Message
    facts: Facts


@click.command(name="diff")
@click.argument("former", metavar="A")
@click.argument("later", metavar="B")
@FORMAT
@LANGUAGE
def diff_command(former: str, later: str, form: str, lang: str) -> None:
    """Set two versions of a declaration side by side.

    A is the former, B the later one: files or recorded messages (an id, or the start of it); #2 behind either takes its
    second message. It tells the elements that changed, lines that are missing, what the gateway says of B as the
    version after A, the reason codes that a change calls for, and what the reference engine makes of both.

    Exit code: 0 no difference, 1 different, 2 it could not be done.
    """
    settings = from_environment()
    plans = prepare(settings.specs)
    specs = plans.specs
    before, after = (_side(each, settings, plans) for each in (former, later))
    pack = _pack(specs, before.message, after.message)
    facts = _facts(before, after, specs)
    early, late = before.message.declaration, after.message.declaration
    if early is None or late is None:
        raise GatewayError("a message that cannot be read as a declaration has nothing to be compared")
    now = after.parsed.received.received_at
    nature = _nature(early, late, after, facts, specs)
    due = due_days(late, facts, now, specs)
    judged = next(
        one for one in pipeline.judge(after.parsed, facts, plans).judged if one.message.ordinal == after.message.ordinal
    )
    effect = effect_of(before.message, after.message, nature, load_rates(), now)
    found = compare(before.message, after.message, pack, specs, nature, after.parsed.received.day, effect)
    if form == "json":
        told = _as_json(found, judged, nature, before, after, lang) | {name: str(day) for name, day in due.items()}
        echo_json(told)
    else:
        print_diff(found, judged, nature, due, (_named(before), _named(after)), lang)
    sys.exit(1 if found else 0)


def _side(what: str, settings: Settings, plans: Plans) -> Side:
    """Return the message that a file or an id names; raises GatewayError if there is none."""
    found = re.fullmatch(r"(.*?)(?:#(\d+))?", what, re.DOTALL)
    name, ordinal = (found[1], int(found[2] or 0)) if found else (what, 0)
    partners = load_partners(settings.partners)
    if Path(name).is_file():
        received = Received(stable_id("diff", name), None, read_file(Path(name)), datetime.now(UTC))
        parsed = pipeline.parse(received, plans)
        partner: Partner | None = named_partner(parsed.messages, partners.values())
        return Side(what, parsed, _message(what, parsed, ordinal), Facts(partner))
    with open_journal(settings, otherwise=f"there is no file {name!r}, and ") as journal:
        sequence = journal.sequence_of(name)
        if sequence is None:
            raise GatewayError(f"there is no file {name!r}, and no message with an id that starts so")
        (row,) = journal.recorded([sequence])
        parsed = pipeline.parse(row.received, plans)
        message = _message(what, parsed, ordinal)
        number = message.declaration.transaction_number if message.declaration else None
        (known,) = journal.facts_then([(row, [number] if number else [], [])])
    register = Register(known.versions).beside(Register(known.of(test=True).versions))
    return Side(what, parsed, message, Facts(partners.get(row.partner or ""), register))


def _message(what: str, parsed: Parsed, ordinal: int) -> Message:
    """Return a transmission's message by its ordinal, else its first with a declaration; raises GatewayError."""
    for message in parsed.messages:
        if message.ordinal == ordinal or (not ordinal and message.declaration):
            return message
    raise GatewayError(f"{what}: no declaration can be read in it")


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


# ------------------------------------------------------------------------------------------------ shown


def _as_json(found: Diff, judged: Judged, nature: Nature, before: Side, after: Side, lang: str) -> dict[str, Any]:
    """Return the difference as JSON; where a reason code comes from in the language."""
    effect, difference = found.effect, found.effect.difference
    return {
        "a": _named(before),
        "b": _named(after),
        "nature": str(nature),
        "changes": [
            {
                "invoice": one.invoice,
                "line": one.line,
                "element": one.element.name,
                "name": one.element.title._asdict(),
                "before": one.before,
                "after": one.after,
                "substance": one.substance,
            }
            for one in found.changed
        ],
        "lines_missing": [line._asdict() for line in found.missing],
        "lines_added": [line._asdict() for line in found.added],
        "verdict": str(judged.verdict),
        "findings": [
            {"code": finding.code, "severity": str(finding.severity), "text": finding.text._asdict()}
            for finding in judged.findings
        ],
        "reasons": [
            {
                "invoice": call.invoice,
                "line": call.line,
                "elements": list(call.elements),
                "given": list(call.given),
                "fitting": [
                    {"code": code.code, "kind": code.row.get("kind"), "name": code.name._asdict(),
                     "confidence": code.confidence, "source": code.source.speak(lang)}
                    for code in call.fitting
                ],
            }
            for call in found.calls
        ],
        "amounts": {
            "before": _amounts(effect.before.totals if effect.before else None),
            "after": _amounts(effect.after.totals if effect.after else None),
            "difference": _amounts(difference),
            "lines": [
                {"invoice": i, "line": j, "before": str(was), "after": str(now)}
                for i, j, was, now in line_differences(effect)
            ],
            "problems": [{"code": reason.code, "text": reason.text._asdict()} for reason in effect.problems],
        },
    }  # fmt: skip


def _named(side: Side) -> dict[str, str | None]:
    declaration = side.message.declaration
    return {
        "name": side.name,
        "type": str(side.message.type),
        "transaction_number": declaration.transaction_number if declaration else None,
        "version": declaration.version if declaration else None,
    }


def _amounts(amounts: Any) -> dict[str, str] | None:
    return {name: str(value) for name, value in amounts._asdict().items()} if amounts is not None else None
