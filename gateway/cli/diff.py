"""The command that sets two versions of a declaration side by side."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from core.declaration import Nature
from core.errors import GatewayError
from core.partner import Partner
from core.register import Facts
from core.transmission import Judged, Received, stable_id
from gateway import pipeline
from gateway.cli.diff_table import print_diff
from gateway.cli.shared import FORMAT, LANGUAGE, named_partner, open_journal, read_file
from gateway.cli.terminal import echo_json
from gateway.desk.diff import Diff, line_differences
from gateway.desk.versions import Side, message_of, recorded_side, set_beside
from gateway.plans import Plans, prepare
from gateway.settings import Settings, from_environment
from routing.partners import load_partners


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
    before, after = (_side(each, settings, plans) for each in (former, later))
    found, judged, nature, due = set_beside(before, after, plans)
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
        return Side(what, parsed, message_of(what, parsed, ordinal), Facts(partner))
    with open_journal(settings, otherwise=f"there is no file {name!r}, and ") as journal:
        sequence = journal.sequence_of(name)
        if sequence is None:
            raise GatewayError(f"there is no file {name!r}, and no message with an id that starts so")
        return recorded_side(what, journal, sequence, ordinal, plans, partners)


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
