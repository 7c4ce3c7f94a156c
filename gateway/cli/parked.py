"""`gateway parked`: parked messages listed, shown, released or refused."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from rich.table import Table
from rich.text import Text

from core.calendar import eastern
from core.errors import GatewayError
from core.findings import Bilingual
from gateway import pipeline
from gateway.cli.french import phrase
from gateway.cli.shared import FORMAT, LANGUAGE, OPERATOR, VERDICTS, open_journal, out, plain, sequence_of
from gateway.cli.terminal import echo, echo_json
from gateway.desk import replay
from gateway.journal import Journal, Recorded
from gateway.plans import prepare
from gateway.settings import from_environment
from routing.partners import load_partners


@click.group(name="parked")
def parked() -> None:
    """List, show, release or refuse parked messages.

    Parked are those that were taken out of the way of the others.
    """


@parked.command(name="list")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True)
@FORMAT
def parked_list(limit: int, form: str) -> None:
    """List parked messages, newest first, each with the reason.

    Exit code: 0, or 2 when the journal cannot be read.
    """
    with open_journal(from_environment()) as journal:
        rows = journal.list_messages(state="parked", limit=limit)
    if form == "json":
        echo_json(rows, plain)
        return
    table = Table("id", "received", "channel", "sender", "why", box=None)
    for row in rows:
        table.add_row(
            row["id"][:12], eastern(row["received_at"]), row["channel"], row["partner"] or "", Text(row["note"] or "")
        )
    out.print(table)
    echo(f"{len(rows)} parked")


@parked.command(name="show")
@click.argument("id_", metavar="ID")
@LANGUAGE
def parked_show(id_: str, lang: str) -> None:
    """Show why a message was parked.

    And what today's pipeline says of it; nothing changes.

    Exit code: 0 shown, 2 not parked.
    """
    settings = from_environment()
    plans, partners = prepare(settings.specs), load_partners(settings.partners)
    with open_journal(settings) as journal:
        row = _parked(journal, id_)
        life = journal.show(row.id) or {}
        whose = Bilingual("from the assessment engine", "du moteur de cotisation")
        if row.channel == "partner":
            sender = Bilingual("from a sender that is not known", "d'un expéditeur inconnu")
            whose = Bilingual(f"from {row.partner}", f"(expéditeur : {row.partner})") if row.partner else sender
        received = eastern(row.received_at, lang)
        kept = Bilingual(
            f"received {received}, {len(row.body)} bytes, {life['attempts']} attempts",
            f"reçu {received}, {len(row.body)} octets, {life['attempts']} essais",
        )
        out.print(Text(f"{row.id} {whose.speak(lang)}"))
        out.print(Text(f"  {kept.speak(lang)}"))
        out.print(Text(f"  {phrase('parked because:', lang)} {phrase(row.note or '', lang)}", "yellow"))
        for link in life["audit"]:
            operator = link["detail"].get("operator")
            by = Bilingual(f" by {operator}", f" par {operator}").speak(lang) if operator else ""
            at, event = eastern(datetime.fromisoformat(link["at"]), lang), phrase(link["event"], lang)
            out.print(Text(f"  {at}  {event}{by}", "dim"))
        if row.channel == "partner":
            ((_, outcome),) = replay.judge_again([row], journal, plans, partners, lambda row: row.id)
            if isinstance(outcome, Exception):
                fails = phrase("today's pipeline fails on it as well:", lang)
                out.print(Text(f"  {fails} {replay.reason_of(outcome)}", "bold red"))
            else:
                says = phrase("today's pipeline would say:", lang)
                for one in outcome.judged:
                    out.print(Text(f"  {says} {VERDICTS[str(one.verdict)].speak(lang)}"))
                    for finding in one.findings:
                        out.print(Text(f"    {finding.code}  {finding.text.speak(lang)}"))
        either, reason = phrase("or", lang), phrase("REASON", lang)
        out.print(f"  `gateway parked release {row.id[:12]}` {either} `gateway parked refuse {row.id[:12]} {reason}`")


@parked.command(name="release")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@OPERATOR
def parked_release(ids: tuple[str, ...], operator: str) -> None:
    """Give parked messages to the workers again.

    They are judged on what is known now, with all attempts.

    Exit code: 0 released, 2 not parked.
    """
    with open_journal(from_environment()) as journal:
        for row in [_parked(journal, id_) for id_ in ids]:
            if not journal.release_parked(row.sequence, operator, datetime.now(UTC)):
                raise GatewayError(f"{row.id} is not parked any more")
            echo(f"released {row.id}")


@parked.command(name="refuse")
@click.argument("id_", metavar="ID")
@click.argument("reason")
@OPERATOR
def parked_refuse(id_: str, reason: str, operator: str) -> None:
    """Refuse a parked message.

    Its sender is told REASON, in the sender's own syntax.

    Exit code: 0 refused, 2 not parked.
    """
    settings = from_environment()
    plans, partners = prepare(settings.specs), load_partners(settings.partners)
    if not reason.strip():
        raise click.UsageError("the reason is empty: it is what the sender will read")
    moment = datetime.now(UTC)
    with open_journal(settings) as journal:
        row = _parked(journal, id_)
        outcome = None
        if row.channel == "partner":
            outcome = pipeline.refuse(row.received, partners.get(row.partner or ""), reason, moment, plans)
        if not journal.refuse_parked(row, outcome, why=reason, specs=plans.digest, operator=operator, now=moment):
            raise GatewayError(f"{row.id} is not parked any more")
    told = [item.kind for item in outcome.outgoing] if outcome else []
    echo(f"refused {row.id}; {'the sender is told' if told else 'nobody is told'}")


def _parked(journal: Journal, id_: str) -> Recorded:
    """Return a parked message by its id or the start of it; raises GatewayError if it is none."""
    (row,) = journal.recorded([sequence_of(journal, id_)])
    if row.state != "parked":
        raise GatewayError(f"{row.id} is not parked but {row.state}")
    return row
