"""The command that sets two versions of a declaration side by side."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.table import Table
from rich.text import Text

from core.declaration import Declaration, MessageType, Nature
from core.errors import GatewayError
from core.findings import Bilingual
from core.partner import Partner
from core.register import ASSESSED, Facts, Register, nature_of
from core.register import effect_of as made_of
from core.specs import Pack, Specs
from core.transmission import Judged, Message, Parsed, Received, stable_id
from gateway import pipeline
from gateway.cli.shared import CONFIDENCES, FORMAT, LANGUAGE, named_partner, open_journal, out, read_file
from gateway.cli.terminal import echo_json
from gateway.desk.diff import Diff, compare, due_days, effect_of, line_differences
from gateway.engine.assess import load_rates
from gateway.plans import Plans, prepare
from gateway.settings import Settings, from_environment
from routing.partners import load_partners

WORDS = {
    "declaration": Bilingual("declaration", "déclaration"),
    "invoice": Bilingual("invoice", "facture"),
    "line": Bilingual("line", "ligne"),
    "none": Bilingual("—", "—"),
    "payment_due": Bilingual("payment is due on", "paiement exigible le"),
    "interest_after": Bilingual("interest counts after", "intérêts à partir du lendemain du"),
    "other": Bilingual(
        "These are two declarations, not two versions of one",
        "Ce sont deux déclarations, non deux versions d'une seule",
    ),
    "CAD": Bilingual("CAD", "DDC"),
    "same": Bilingual("Nothing differs.", "Rien ne diffère."),
    "changed": Bilingual("What changed", "Ce qui a changé"),
    "itself": Bilingual("Of the message itself", "Du message lui-même"),
    "missing": Bilingual("Missing line", "Ligne manquante"),
    "added": Bilingual("New line", "Nouvelle ligne"),
    "findings": Bilingual("What the gateway says of the later one", "Ce que la passerelle dit de la dernière"),
    "good": Bilingual("nothing: it is accepted", "rien : elle est acceptée"),
    "reasons": Bilingual("Reason codes", "Codes de motif"),
    "given": Bilingual("given", "donnés"),
    "called": Bilingual("the list has for it", "la liste offre"),
    "no code": Bilingual(
        "none: the list is partial, see appendix A of D17-2-1",
        "aucun : la liste est partielle, voir l'annexe A du D17-2-1",
    ),
    "amounts": Bilingual(
        "Duties and taxes by the reference engine (sample rates)",
        "Droits et taxes selon le moteur de référence (taux d'exemple)",
    ),
    "amount": Bilingual("amount", "montant"),
    "before": Bilingual("before", "avant"),
    "after": Bilingual("after", "après"),
    "difference": Bilingual("difference", "différence"),
    "element": Bilingual("element", "élément"),
}

# What a reason code does with the amount, as its list says.
KINDS = {
    "refund": Bilingual("refund", "remboursement"),
    "owing": Bilingual("owing", "montant dû"),
    "neutral": Bilingual("neutral", "sans effet"),
    "correction": Bilingual("correction", "correction"),
}

NATURES = {
    Nature.ORIGINAL: Bilingual("an original", "une déclaration initiale"),
    Nature.CORRECTION: Bilingual(
        "a correction (payment is not due yet)", "une correction (le paiement n'est pas échu)"
    ),
    Nature.ADJUSTMENT: Bilingual("an adjustment (payment was due)", "un rajustement (le paiement était échu)"),
    Nature.WITHDRAWAL: Bilingual("a withdrawal", "un retrait"),
}

# The amounts of the contract, in words.
AMOUNTS = {
    "value_for_duty": Bilingual("value for duty", "valeur en douane"),
    "customs_duty": Bilingual("customs duties", "droits de douane"),
    "anti_dumping": Bilingual("anti-dumping duties", "droits antidumping"),
    "countervailing": Bilingual("countervailing duties", "droits compensateurs"),
    "surtax": Bilingual("surtaxes", "surtaxes"),
    "safeguard": Bilingual("safeguards", "mesures de sauvegarde"),
    "excise_duty": Bilingual("excise duties", "droits d'accise"),
    "excise_tax": Bilingual("excise taxes", "taxes d'accise"),
    "value_for_tax": Bilingual("value for tax", "valeur taxable"),
    "gst": Bilingual("GST", "TPS"),
    "total": Bilingual("all duties and taxes", "tous les droits et taxes"),
}


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
        _print(found, judged, nature, due, before, after, lang)
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
    return nature_of(type_, history, late, after.parsed.received.received_at, specs.calendar)


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
    choice = partner.csa_period(early) if partner else None
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


def _word(name: str, lang: str) -> str:
    return WORDS[name].speak(lang)


def _print(
    found: Diff, judged: Judged, nature: Nature, due: Mapping[str, date], before: Side, after: Side, lang: str
) -> None:
    """Print the difference."""
    first, second, colon = _named(before), _named(after), " :" if lang == "fr" else ":"
    for letter, side in (("A", first), ("B", second)):
        number = f"{_word('CAD', lang)} {side['transaction_number']} version {side['version']}"
        out.print(Text(f"{letter}  {side['name']}{colon} {number}"))
    if first["transaction_number"] != second["transaction_number"]:
        out.print(Text(_word("other", lang), "bold red"))
    if not found:
        out.print(_word("same", lang))
        return
    out.print(Text(f"B{colon} {NATURES[nature].speak(lang)}"))
    for name, day in due.items():
        out.print(Text(f"{_word(name, lang)}{colon} {day}"))
    _print_elements(found, lang)
    for heading, lines, style in (("missing", found.missing, "bold red"), ("added", found.added, "bold green")):
        for line in lines:
            told = Text(f"{_word(heading, lang)} {line.number}", style)
            out.print(told.append(f"  {line.classification} {line.description}"))
    out.print(Text(f"\n{_word('findings', lang)}", "bold"))
    for finding in judged.findings:
        style = "red" if finding.severity == "refuse" else "yellow"
        out.print(Text(f"  {finding.code}  ", style).append(finding.text.speak(lang), "default"))
    if not judged.findings:
        out.print(f"  {_word('good', lang)}")
    if found.calls:
        _print_reasons(found, lang)
    _print_amounts(found, lang)


def _print_elements(found: Diff, lang: str) -> None:
    """Print the elements that differ: those of the declaration's substance, then those of the change itself."""
    for heading, substance in (("changed", True), ("itself", False)):
        rows = [one for one in found.changed if one.substance is substance]
        if not rows:
            continue
        out.print(Text(f"\n{_word(heading, lang)}", "bold"))
        table = Table("", *(_word(name, lang) for name in ("element", "before", "after")), box=None)
        for one in rows:
            was, now = (each or _word("none", lang) for each in (one.before, one.after))
            if one.element.format.kind == "number":
                was, now = _number(was, lang), _number(now, lang)
            where = _where(one.invoice, one.line, lang)
            table.add_row(where, Text(one.element.title.speak(lang)), Text(was, "red"), Text(now, "green"))
        out.print(table)


def _print_reasons(found: Diff, lang: str) -> None:
    """Print the reason codes that the changes call for, beside those given."""
    colon = " :" if lang == "fr" else ":"
    out.print(Text(f"\n{_word('reasons', lang)}", "bold"))
    for call in found.calls:
        given = " ".join(call.given) or _word("none", lang)
        out.print(Text(f"  {_where(call.invoice, call.line, lang)}{colon} {_word('given', lang)} {given}"))
        for code in call.fitting:
            sides = (KINDS.get(code.row.get("kind", "")), CONFIDENCES.get(code.confidence))
            sure = ", ".join(side.speak(lang) for side in sides if side)
            facts = f"{code.name.speak(lang)} ({sure})"
            out.print(Text(f"    {_word('called', lang)} {code.code}  ").append(facts, "dim"))
        if not call.fitting:
            out.print(Text(f"    {_word('called', lang)} {_word('no code', lang)}", "dim"))


def _print_amounts(found: Diff, lang: str) -> None:
    """Print what the engine makes of both versions."""
    effect = found.effect
    out.print(Text(f"\n{WORDS['amounts'].speak(lang)}", "bold"))
    for reason in effect.problems:
        out.print(Text(f"  {reason.code} {reason.text.speak(lang)}".rstrip(), "red"))
    if effect.before is None or effect.after is None or effect.difference is None:
        return
    table = Table(*(WORDS[name].speak(lang) for name in ("amount", "before", "after", "difference")), box=None)
    for name in AMOUNTS:
        was, now, less = (
            getattr(each, name) for each in (effect.before.totals, effect.after.totals, effect.difference)
        )
        if was or now:
            style = "" if not less else "bold"
            change = _number(f"{less:+}" if less else "0.00", lang)
            table.add_row(AMOUNTS[name].speak(lang), _number(was, lang), _number(now, lang), Text(change, style))
    for i, j, was, now in line_differences(effect):
        table.add_row(_where(i, j, lang), *(_number(each, lang) for each in (was, now, f"{now - was:+}")))
    out.print(table)


def _number(value: Decimal | str, lang: str) -> str:
    """Return a number with the language's decimal mark."""
    return str(value).replace(".", ",") if lang == "fr" else str(value)


def _where(invoice: int, line: int, lang: str) -> str:
    """Return a level in words."""
    if line:
        return f"{WORDS['invoice'].speak(lang)} {invoice}, {WORDS['line'].speak(lang)} {line}"
    return f"{WORDS['invoice'].speak(lang)} {invoice}" if invoice else WORDS["declaration"].speak(lang)
