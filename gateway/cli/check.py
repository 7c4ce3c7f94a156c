"""`gateway check`: files judged as the gateway would, each finding under the line that it is about."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from core.errors import GatewayError
from core.findings import Bilingual, Finding, Severity
from core.text import lines_of, printable
from core.transmission import Judged, Outgoing, Syntax, Verdict
from gateway import pipeline
from gateway.catalogue import TYPE_WORDS
from gateway.cli.shared import LANGUAGE, SEVERITIES, VERDICTS, files_with_facts
from gateway.cli.terminal import Console, echo_json
from gateway.desk.explain import where
from gateway.plans import prepare
from gateway.settings import from_environment
from validators.words import shown

out = Console(soft_wrap=True)

# The suffix of an answer's file.
SUFFIXES = {"application/edifact": "edi", "application/xml": "xml", "application/json": "json"}

UNREAD = Bilingual("unknown", "inconnu")

# How many characters of a path are shown.
PATH = 1_000

# How many characters of an offending line are shown around the place.
SHOWN = 100


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--as", "partner_id", metavar="PARTNER", help="Judge as if this partner had sent the files.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@LANGUAGE
@click.option("--answers", type=click.Path(file_okay=False, path_type=Path), help="Write the answers into this folder.")
def check(paths: tuple[Path, ...], partner_id: str | None, form: str, lang: str, answers: Path | None) -> None:
    """Judge files as the gateway would.

    No queue, no journal. Of a folder every file is judged that is not hidden, by name. Files are judged in the order
    given; a correction finds its original among those before it. Without --as the sender is the partner that the
    envelope names; if no such partner is registered, identity and authority are not checked.

    Exit code: 0 all accepted, 1 something refused, 2 unreadable file or bad usage.
    """
    settings = from_environment()
    plans = prepare(settings.specs)
    told: list[dict[str, Any]] = []
    refused = False
    for path, parsed, facts, trial in files_with_facts(paths, settings, plans, partner_id):
        outcome = pipeline.judge(parsed, facts, plans)
        trial.remember(outcome)
        for one in outcome.judged:
            refused |= one.verdict is Verdict.REFUSED
            if form == "json":
                told.append(_as_json(path, one, lang))
            else:
                _print_judged(path, one, lang)
        if answers:
            _write_answers(answers, path, outcome.outgoing)
    if form == "json":
        echo_json(told)
    sys.exit(1 if refused else 0)


def _as_json(path: Path, one: Judged, lang: str) -> dict[str, Any]:
    """Return what `check --format json` says of a message."""
    message = one.message
    declaration = message.declaration
    return {
        "file": str(path),
        "syntax": str(message.syntax),
        "type": str(message.type),
        "sender": message.envelope.sender,
        "reference": message.envelope.reference,
        "transaction_number": declaration.transaction_number if declaration else None,
        "version": declaration.version if declaration else None,
        "verdict": str(one.verdict),
        "findings": [finding_as_json(finding, lang) for finding in one.findings],
    }


def finding_as_json(finding: Finding, lang: str) -> dict[str, Any]:
    """Return a finding as the JSON that the documentation describes; its source in the language."""
    return {
        "code": finding.code,
        "severity": str(finding.severity),
        "text": finding.text._asdict(),
        "place": asdict(finding.place),
        "value": finding.value,
        "expected": finding.expected,
        "source": finding.source.speak(lang),
    }


def _print_judged(path: Path, one: Judged, lang: str) -> None:
    """Print a message's verdict and its findings, each under the line that it is about."""
    message, declaration = one.message, one.message.declaration
    given = (declaration.transaction_number, declaration.version) if declaration else ()
    number = " {} version {}".format(*(shown(each or "?") for each in given)) if given else ""
    style = "green" if one.verdict is Verdict.ACCEPTED else "bold red"
    kind, sender, verdict = (
        TYPE_WORDS[message.type].short.speak(lang),
        shown(message.envelope.sender or ""),
        str(one.verdict),
    )
    said = VERDICTS[verdict].speak(lang)
    syntax = UNREAD.speak(lang) if message.syntax is Syntax.UNKNOWN else str(message.syntax)
    if lang == "fr":
        said += "e" if TYPE_WORDS[message.type].feminine else ""
        heading = Text(f"{shown(str(path), PATH)} : {kind} {syntax}{number}, expéditeur {sender or 'inconnu'} : ")
    else:
        heading = Text(f"{shown(str(path), PATH)}: {syntax} {kind}{number} from {sender or 'an unknown sender'}: ")
    out.print(heading.append(said, style), soft_wrap=True)
    text = lines_of(message.document.text()) if one.findings else []
    for finding in one.findings:
        _print_finding(finding, text, lang)


def _print_finding(finding: Finding, lines: Sequence[str], lang: str) -> None:
    """Print a finding and the offending line with a caret under the place."""
    place, french = finding.place, lang == "fr"
    facts = ", ".join(filter(None, (where(place, lang), place.pointer)))
    style = "red" if finding.severity is Severity.REFUSE else "yellow"
    severity = SEVERITIES[finding.severity].speak(lang)
    out.print(Text(f"  {severity} {finding.code}", style).append(f"  {finding.text.speak(lang)}", "default"))
    if facts:
        out.print(Text(f"    {'' if french else 'at '}{facts}", "dim"))
    if place.line and place.line <= len(lines):
        line, column = lines[place.line - 1], (place.column or 1) - 1
        start = max(0, column - SHOWN // 2) if len(line) > SHOWN else 0
        visible = printable(line[start : start + SHOWN], "\N{REPLACEMENT CHARACTER}")
        out.print(Text(f"    | {visible}"))
        out.print(Text(f"    | {' ' * (column - start)}^", style))
    if finding.expected:
        out.print(Text(f"    {'attendu : ' if french else 'expected: '}{finding.expected_in(lang)}", "dim"))


def _write_answers(folder: Path, path: Path, outgoing: Iterable[Outgoing]) -> None:
    """Write each answer into the folder, named after the file, the message's ordinal and the kind."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GatewayError(f"{folder}: {error.strerror}") from error
    for each in outgoing:
        ordinal = "" if each.ordinal is None else f".{each.ordinal}"
        (folder / f"{path.name}{ordinal}.{each.kind}.{SUFFIXES[each.content_type]}").write_bytes(each.body)
