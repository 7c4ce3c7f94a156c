"""`gateway check`: files judged as the gateway would, each finding under the line that it is about."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from pathlib import Path

import click
from rich.text import Text

from core.calendar import eastern
from core.errors import GatewayError
from core.findings import Bilingual, Finding, Severity
from core.specs import Specs
from core.text import lines_of, printable
from core.transmission import Outgoing, Syntax, Verdict
from gateway import pipeline
from gateway.catalogue import TYPE_WORDS
from gateway.cli.shared import LANGUAGE, SEVERITIES, STDIN, files_in, files_with_facts
from gateway.cli.terminal import Console, echo, echo_json
from gateway.desk.explain import where
from gateway.desk.linting import LINES, TO_DO, Linted, junit, message_as_json, sarif, summary
from gateway.desk.trial import SUFFIXES
from gateway.desk.words import VERDICTS
from gateway.plans import Plans, prepare
from gateway.settings import Settings, from_environment
from validators.words import shown

out = Console(soft_wrap=True)

FORMATS = ("text", "json", "concise", "junit", "sarif", "github")

# How often files are looked at for changes.
LOOK_SECONDS = 0.3

UNIDENTIFIED = Bilingual(
    "no partner is registered for this sender: identity and authority were not checked",
    "aucun partenaire n'est inscrit pour cet expéditeur : identité et pouvoir n'ont pas été vérifiés",
)

UNREAD = Bilingual("unknown", "inconnu")

# How many characters of a path are shown.
PATH = 1_000

MORE = Bilingual("more:", "en savoir plus :")

# How many codes the command that explains them is shown with.
EXPLAINED = 5

# How many characters of an offending line are shown around the place.
SHOWN = 100


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, allow_dash=True, path_type=Path))
@click.option("--as", "partner_id", metavar="PARTNER", help="Judge as if this partner had sent the files.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True)
@LANGUAGE
@click.option("--answers", type=click.Path(file_okay=False, path_type=Path), help="Write the answers into this folder.")
@click.option("--watch", is_flag=True, help="Judge again whenever a file changes, until Ctrl-C.")
def check(
    paths: tuple[Path, ...], partner_id: str | None, form: str, lang: str, answers: Path | None, watch: bool
) -> None:
    """Judge files as the gateway would.

    No queue, no journal. Of a folder every file is judged that is not hidden, by name; - is standard input. Files are
    judged in the order given; a correction finds its original among those before it. Without --as the sender is the
    partner that the envelope names; if no such partner is registered, identity and authority are not checked, and it
    says so.

    For other programs: json, a line for each finding as compilers write it (concise), junit, sarif, and github for
    annotations in a pull request.

    Exit code: 0 all accepted, 1 something refused, 2 unreadable file or bad usage.
    """
    if watch and STDIN in paths:
        raise click.UsageError("--watch needs files: standard input does not change")
    settings = from_environment()
    plans = prepare(settings.specs)
    judged = partial(_judge, paths, settings, plans, partner_id, answers)
    before = _state(paths) if watch else {}  # first: what changes while it is judged has changed
    refused = _told(judged(), form, lang, plans)
    while watch:
        time.sleep(LOOK_SECONDS)
        if (now := _state(paths)) != before:
            before = now
            echo(f"--- {eastern(datetime.now(UTC), lang)}")
            try:
                refused = _told(judged(), form, lang, plans)
            except GatewayError as error:  # a file in the middle of being written
                echo(str(error), err=True)
    sys.exit(1 if refused else 0)


def _judge(
    paths: Sequence[Path], settings: Settings, plans: Plans, partner_id: str | None, answers: Path | None
) -> Iterator[Linted]:
    """Yield every message of the files, judged, and write its answers."""
    for path, parsed, facts, trial, identified in files_with_facts(paths, settings, plans, partner_id):
        outcome = pipeline.judge(parsed, facts, plans)
        trial.remember(outcome)
        name = "stdin" if path == STDIN else str(path)
        for one in outcome.judged:
            yield Linted(name, one, identified)
        if answers:
            _write_answers(answers, Path(name).name, outcome.outgoing)


def _told(judged: Iterator[Linted], form: str, lang: str, plans: Plans) -> bool:
    """Tell the verdicts in a form, as text as they come; return whether something was refused."""
    if form == "text":
        linted = _printed(judged, plans, lang)
        out.print(Text(summary(linted, lang), "bold"), soft_wrap=True)
        return _refused(linted)
    linted = list(judged)
    if form == "json":
        echo_json([message_as_json(one, plans.specs, lang) for one in linted])
    elif form == "sarif":
        echo_json(sarif(linted, plans.specs, lang))
    elif form == "junit":
        echo(junit(linted, lang))
    else:
        for line in LINES[form](linted, lang):
            echo(line)
    return _refused(linted)


def _refused(linted: Iterable[Linted]) -> bool:
    return any(one.judged.verdict is Verdict.REFUSED for one in linted)


def _printed(judged: Iterator[Linted], plans: Plans, lang: str) -> list[Linted]:
    """Print verdicts as they come, and after a refused file once where its findings are explained; return them all."""
    linted: list[Linted] = []
    for _, messages in groupby(judged, key=lambda one: one.file):
        of_file = []
        for one in messages:
            _print_judged(one, plans.specs, lang)
            of_file.append(one)
        if _refused(of_file):
            codes = dict.fromkeys(finding.code for one in of_file for finding in one.judged.findings)
            out.print(Text(f"  {MORE.speak(lang)} gateway explain {' '.join(list(codes)[:EXPLAINED])}", "dim"))
        linted += of_file
    return linted


def _state(paths: Sequence[Path]) -> dict[Path, tuple[int, int]]:
    """Return when each file was changed last, and its size; a file that comes or goes is a change, too."""
    found = {}
    for path in files_in(path for path in paths if path.exists()):
        with suppress(OSError):
            seen = path.stat()
            found[path] = seen.st_mtime_ns, seen.st_size
    return found


def _print_judged(linted: Linted, specs: Specs, lang: str) -> None:
    """Print a message's verdict and its findings, each under the line that it is about."""
    path, one = linted.file, linted.judged
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
    if not linted.identified and message.envelope.sender:
        out.print(Text(f"  {UNIDENTIFIED.speak(lang)}", "dim"))
    text = lines_of(message.document.text()) if one.findings else []
    for finding in one.findings:
        _print_finding(finding, text, lang)
        if remedy := specs.remedy_of(finding.code):
            out.print(Text(f"    {TO_DO.speak(lang)} {remedy.speak(lang)}", "dim"))


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


def _write_answers(folder: Path, name: str, outgoing: Iterable[Outgoing]) -> None:
    """Write each answer into the folder, named after the file, the message's ordinal and the kind."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GatewayError(f"{folder}: {error.strerror}") from error
    for each in outgoing:
        ordinal = "" if each.ordinal is None else f".{each.ordinal}"
        (folder / f"{name}{ordinal}.{each.kind}.{SUFFIXES[each.content_type]}").write_bytes(each.body)
