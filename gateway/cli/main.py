"""The command line: check, serve, send, list, doctor; each command's help tells its exit codes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from core import limits
from core.calendar import eastern
from core.declaration import MessageType
from core.errors import GatewayError
from core.findings import Bilingual, Finding, Severity
from core.transmission import Judged, Outgoing, Syntax, Verdict
from gateway import logs, pipeline, serve
from gateway.cli import diff, explain, init, ops, replay, show, smoke, spec
from gateway.cli.shared import (
    LANGUAGE,
    SEVERITIES,
    VERDICTS,
    check_login,
    files_with_facts,
    known_partner,
    open_journal,
    plain,
    read_file,
)
from gateway.desk.explain import where
from gateway.journal import RESEND_OF, Journal, inbox_id
from gateway.plans import prepare
from gateway.queues.broker import Letter, mask, open_broker, uid_of, users_of
from gateway.queues.embedded import store_of
from gateway.settings import HOME, Settings, from_environment
from routing.partners import inbound_queue, load_partners

out = Console(highlight=False, soft_wrap=True)
CANNOT, INTERRUPTED = 2, 130

# The suffix of an answer's file.
SUFFIXES = {"application/edifact": "edi", "application/xml": "xml", "application/json": "json"}

# The width of a table in a file or pipe.
WIDE = 240

# A message's type in words.
TYPES = {
    MessageType.DECLARATION: Bilingual("declaration", "déclaration"),
    MessageType.CORRECTION: Bilingual("correction", "modification"),
    MessageType.WITHDRAW: Bilingual("withdraw", "retrait"),
    MessageType.UNKNOWN: Bilingual("message", "message"),
}
FEMININE = (MessageType.DECLARATION, MessageType.CORRECTION)  # in French
UNREAD = Bilingual("unknown", "inconnu")

# How many characters of an id are listed.
SHORT = 12

# What makes queues and tables.
DECLARE = "run `gateway doctor --declare` or `gateway serve`"

# How many characters of an offending line are shown around the place.
SHOWN = 100


class _OneLine(click.Group):
    """Turns whatever the operator can mend into one line on stderr and exit code 2, and Ctrl-C into one and 130."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Refuse an empty argument: as a path it would be this folder, as an id every message."""
        if any(not each or re.fullmatch(r"--[\w-]+=", each) for each in args):
            raise GatewayError("an argument is empty: is a variable not set?")
        return super().resolve_command(ctx, args)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except GatewayError as error:
            _stop(str(error))
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            of = error.ctx.command_path if error.ctx else "gateway"
            _stop(f"{error.format_message().rstrip('.')}; see `{of} --help`")
        except KeyboardInterrupt:
            click.echo("gateway: interrupted", err=True)
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            sys.exit(0)


def _stop(line: str) -> NoReturn:
    """Say one line on stderr and end with exit code 2."""
    click.echo(f"gateway: {line}", err=True)
    sys.exit(CANNOT)


@click.group(cls=_OneLine, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cad-gateway")
def main() -> None:
    """Read, judge, route and answer customs declarations and corrections for CARM.

    The formats are reconstructed from public sources; see eccrd_specs/SOURCES.md.
    """


# ------------------------------------------------------------------------------------------------ check


@main.command()
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
    shown: list[dict[str, Any]] = []
    refused = False
    for path, parsed, facts, trial in files_with_facts(paths, settings, plans, partner_id):
        outcome = pipeline.judge(parsed, facts, plans)
        trial.remember(outcome)
        for one in outcome.judged:
            refused |= one.verdict is Verdict.REFUSED
            if form == "json":
                shown.append(_as_json(path, one, lang))
            else:
                _print_judged(path, one, lang)
        if answers:
            _write_answers(answers, path, outcome.outgoing)
    if form == "json":
        click.echo(json.dumps(shown, ensure_ascii=False, indent=2))
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
    number = f" {declaration.transaction_number or '?'} version {declaration.version or '?'}" if declaration else ""
    style = "green" if one.verdict is Verdict.ACCEPTED else "bold red"
    kind, sender, verdict = TYPES[message.type].speak(lang), message.envelope.sender, str(one.verdict)
    said = VERDICTS[verdict].speak(lang)
    syntax = UNREAD.speak(lang) if message.syntax is Syntax.UNKNOWN else str(message.syntax)
    if lang == "fr":
        said += "e" if message.type in FEMININE else ""
        heading = Text(f"{path} : {kind} {syntax}{number}, expéditeur {sender or 'inconnu'} : ")
    else:
        heading = Text(f"{path}: {syntax} {kind}{number} from {sender or 'an unknown sender'}: ")
    out.print(heading.append(said, style), soft_wrap=True)
    text = message.document.text().splitlines() if one.findings else []
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
        visible = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line[start : start + SHOWN])
        out.print(Text(f"    | {visible}"))
        out.print(Text(f"    | {' ' * (column - start)}^", style))
    if finding.expected:
        out.print(Text(f"    {'attendu : ' if french else 'expected: '}{finding.expected_in(lang)}", "dim"))


def _as_text(body: bytes) -> str:
    """Return an answer for the screen: UTF-8, or Latin-1 as EDIFACT's UNOC has it."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body.decode("latin-1")


def _write_answers(folder: Path, path: Path, outgoing: Iterable[Outgoing]) -> None:
    """Write each answer into the folder, named after the file, the message's ordinal and the kind."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GatewayError(f"{folder}: {error.strerror}") from error
    for each in outgoing:
        ordinal = "" if each.ordinal is None else f".{each.ordinal}"
        (folder / f"{path.name}{ordinal}.{each.kind}.{SUFFIXES[each.content_type]}").write_bytes(each.body)


# ------------------------------------------------------------------------------------------------ serve, send


@main.command(name="serve")
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Processes that judge.")
@click.option("--with-reference-engine", is_flag=True, help="Run the reference assessment engine (sample rates) too.")
@click.option("--with-test-engine", is_flag=True, help="Run it for test messages only, beside the real engine.")
@click.option("--health-port", metavar="[HOST:]PORT", help="Answer /health, /ready and /metrics there.")
def serve_command(workers: int, with_reference_engine: bool, with_test_engine: bool, health_port: str | None) -> None:
    """Run the gateway until SIGTERM or SIGINT.

    It receives, works and dispatches, each in a process of its own.

    Exit code: 0 stopped in order, 2 cannot start.
    """
    if health_port:
        os.environ["GATEWAY_HEALTH"] = health_port
    settings = from_environment()
    logs.configure(settings.log)
    serve.serve(settings, workers, "engine" if with_reference_engine else "tests" if with_test_engine else None)


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--as", "partner_id", metavar="PARTNER", required=True, help="The partner whose queue it goes to.")
@click.option("--wait", is_flag=True, help="Wait for the answers and print them.")
@click.option("--seconds", type=click.FloatRange(0.1, 3600), default=30.0, show_default=True, help="How long to wait.")
def send(file: Path, partner_id: str, wait: bool, seconds: float) -> None:
    """Send a file as a partner.

    With --wait, read the partner's answer queue until the last answer is there. On RabbitMQ, log in as the partner's
    own user (its id, or `user` in the partners' file): GATEWAY_BROKER_URL=amqp://maple:password@host/vhost.

    Exit code: 0 sent (with --wait: answered), 1 refused or not answered in time, 2 cannot send.
    """
    settings = from_environment()
    partner = known_partner(partner_id, load_partners(settings.partners))
    letter = Letter(uuid.uuid4().hex, inbound_queue(partner_id), "application/octet-stream", read_file(file))
    with open_broker(settings.broker_url) as broker:
        check_login(settings.broker_url, partner)
        published = broker.publish([letter])
        if letter.id in published.unroutable:
            _stop(f"the queue {letter.queue} does not exist: {DECLARE}")
        if letter.id not in published.confirmed:
            _stop("the broker did not confirm the message in time: it may or may not have it; send it again")
        click.echo(f"sent {file} as {letter.id}")
        if not wait:
            return
        # Our answers name our transmission, or that of a receipt with our bytes: the first that had them.
        user = next(iter(users_of(settings.broker_url)), None)
        ours = {inbox_id(uid_of(letter.queue, user, letter.id, letter.body))}
        digest, receipts = hashlib.sha256(letter.body).hexdigest(), set[str]()
        deadline = datetime.now(UTC).timestamp() + seconds
        while (left := deadline - datetime.now(UTC).timestamp()) > 0:
            answer = broker.take(partner.answer_queue, left)
            if answer is None:
                break
            kind = answer.headers.get("kind", "answer")
            if kind == "receipt" and (receipt := json.loads(answer.body))["sha256"] == digest:
                receipts.add(receipt["received"])
            if answer.headers.get("in-reply-to") not in ours | receipts:
                click.echo(f"--- {kind} to another message, passed over")
                continue
            click.echo(f"--- {kind} ({answer.content_type})")
            click.echo(_as_text(answer.body))
            if kind == "receipt":
                click.echo(f"    its life: gateway show {receipt['received']}")
            if kind in ("refused", "technical", "engine-refused") or (kind == "contrl" and _rejects(answer.body)):
                sys.exit(1)
            if kind in ("assessed", "pending"):
                return
    why = (
        "does an assessment engine answer? see `gateway serve --help`"
        if receipts
        else "and no receipt: does a gateway run (`gateway serve`)? The message waits in its queue"
    )
    click.echo(f"gateway: no final answer within {seconds:g} s; {why}", err=True)
    sys.exit(1)


def _rejects(control: bytes) -> bool:
    """Tell whether a CONTRL of ours rejects anything (0083 is 4) of what it answers."""
    segments = [segment.split(b"+") for segment in control.split(b"'")]
    action = {b"UCI": 4, b"UCF": 4, b"UCM": 3}
    return any(s[0] in action and s[action[s[0]] : action[s[0]] + 1] == [b"4"] for s in segments)


# ------------------------------------------------------------------------------------------------ list, doctor


def _table(*headings: str) -> Table:
    """Return a table that folds what does not fit rather than hide it."""
    table = Table(box=None)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _print_table(table: Table) -> None:
    """Print a table as wide as the terminal, or, where there is none, wide enough for whole rows."""
    Console(highlight=False, width=None if out.is_terminal else WIDE).print(table)


@main.command(name="list")
@click.option("--partner", help="Only this sender's.")
@click.option("--transaction", "transaction_number", help="Only this transaction number's.")
@click.option("--verdict", type=click.Choice([str(v) for v in Verdict]))
@click.option("--state", type=click.Choice(["received", "working", "done", "parked"]))
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def list_command(form: str, **filters: Any) -> None:
    """List the partners' messages, newest first.

    Times are in Eastern Time. Alerts about our answers go to standard error: an alert is an answer that its partner
    rejected by CONTRL, or was to acknowledge and did not in time.

    Exit code: 0, or 2 when there is no journal, it cannot be read, or there is no such partner.
    """
    settings, partner_id = from_environment(), filters["partner"]
    with open_journal(settings) as journal:
        rows = journal.list_messages(channel="partner", **filters)
        alerts = journal.unacknowledged(datetime.now(UTC), partner_id)
    if partner_id and not rows and not alerts:  # one that has left the file may still have messages
        known_partner(partner_id, load_partners(settings.partners))
    for alert in alerts:
        click.echo(_alert(alert), err=True)
    if form == "json":
        click.echo(json.dumps(rows, default=plain, indent=2))
        return
    headings = ("id", "received", "partner", "sender", "type", "transaction", "version", "verdict", "findings", "state")
    table = _table(*headings)
    for row in rows:
        codes = " ".join(finding["code"] for finding in row["findings"])
        if (note := row["note"] or "").startswith(RESEND_OF):
            codes = note[: len(RESEND_OF) + SHORT]
        cells = [
            row["id"][:SHORT],
            eastern(row["received_at"]),
            *(row[name] or "" for name in ("partner", "sender", "type", "transaction_number", "version", "verdict")),
            codes,
            row["state"],
        ]
        table.add_row(*(str(cell) for cell in cells))
    _print_table(table)


def _alert(row: dict[str, Any]) -> str:
    """Return the line about an answer that its partner rejected, or did not acknowledge in time."""
    what = f"ALERT: {row['kind']} {row['id'][:12]} to {row['destination']}, answer to {row['transmission'][:12]}"
    if row["acknowledgement"] == "awaited":
        return f"{what}: sent {eastern(row['sent_at'])}, no CONTRL in {limits.ACKNOWLEDGEMENT_HOURS} hours"
    return f"{what}: rejected by CONTRL {eastern(row['acknowledged_at'])}"


@main.command()
@click.option("--declare", is_flag=True, help="Make the queues and bring the journal's schema up to date.")
def doctor(declare: bool) -> None:
    """Check the installation.

    Looked at are packages, specification, partners, broker and queues, journal. Looking makes no file of queue or
    journal; only --declare does.

    Exit code: 0 all well, 1 something is not, 2 bad usage.
    """
    settings = from_environment()
    table = _table("what", "state", "detail")
    ill = False
    for name, examine in (
        ("packages", _examine_packages),
        ("specification", _examine_specs),
        ("partners", _examine_partners),
        ("broker", _examine_broker),
        ("journal", _examine_journal),
    ):
        try:
            state, detail = "well", examine(settings, declare)
        except GatewayError as error:
            state, detail, ill = "ILL", str(error), True
        table.add_row(name, Text(state, "green" if state == "well" else "bold red"), Text(detail))
    _print_table(table)
    sys.exit(1 if ill else 0)


def _examine_packages(_settings: Settings, _declare: bool) -> str:
    import responses
    import validators

    for package in (responses, validators):
        if Path(package.__file__ or "").resolve().parent.parent != HOME:
            raise GatewayError(f"{package.__name__} is another project's: {package.__file__}; use a .venv of its own")
    return str(HOME)


def _examine_specs(settings: Settings, _declare: bool) -> str:
    plans = prepare(settings.specs)
    packs = ", ".join(f"{pack.id} {pack.version} ({pack.statement})" for pack in plans.specs.packs)
    return f"{packs}; digest {plans.digest[:12]}"


def _examine_partners(settings: Settings, _declare: bool) -> str:
    return f"{len(load_partners(settings.partners))} in {settings.partners}"


def _examine_broker(settings: Settings, declare: bool) -> str:
    wanted = serve.queues(settings)
    if not declare and settings.broker_url.startswith("sqlite:") and not store_of(settings.broker_url).path.exists():
        raise GatewayError(f"there is no queue at {mask(settings.broker_url)}: {DECLARE}")
    _examine_file(settings.broker_url)
    with open_broker(settings.broker_url) as broker:
        broker.ping()
        if declare:
            broker.declare(wanted)
        if missing := broker.missing(wanted):
            lacking = ", ".join(missing)
            raise GatewayError(f"{mask(settings.broker_url)} lacks {lacking}: {DECLARE}")
    return f"{mask(settings.broker_url)}, {len(wanted)} queues"


def _examine_file(url: str) -> None:
    """Raise GatewayError where the embedded queue's file or folder cannot be written."""
    if url.startswith("sqlite:"):
        path = store_of(url).path
        for each in (path, path.parent):
            if each.exists() and not os.access(each, os.W_OK):
                raise GatewayError(f"{each} cannot be written")


def _examine_journal(settings: Settings, declare: bool) -> str:
    journal = Journal.open(settings.database_url)
    if declare:
        journal.migrate()
    elif not journal.exists():
        raise GatewayError(f"there is no journal at {mask(settings.database_url)}: {DECLARE}")
    journal.check()
    return journal.url


main.add_command(init.init)
main.add_command(show.show)
main.add_command(smoke.smoke)
main.add_command(spec.rules)
main.add_command(spec.samples)
main.add_command(spec.guide)
main.add_command(replay.replay_command)
main.add_command(replay.parked)
main.add_command(explain.explain_command)
main.add_command(diff.diff_command)
for command in ops.COMMANDS:
    main.add_command(command)
