"""`gateway parked`: parked messages listed, shown, released or refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click
from rich.text import Text

from core.calendar import eastern
from core.errors import GatewayError
from core.findings import Bilingual
from core.partner import Partner
from gateway.cli.french import phrase
from gateway.cli.shared import (
    FORMAT,
    LANGUAGE,
    OPERATOR,
    open_journal,
    out,
    plain,
    print_table,
    saying,
)
from gateway.cli.tables import Titled, fit_in
from gateway.cli.terminal import echo, echo_json
from gateway.desk import replay
from gateway.desk.parked import parked as parked_row
from gateway.desk.parked import refuse, release
from gateway.desk.words import EVENTS, NATURE_NAMES, STATUSES, VERDICTS, noted
from gateway.journal import Journal, Recorded
from gateway.plans import Plans, prepare
from gateway.settings import from_environment
from routing.assessment import compare, read_result
from routing.partners import load_partners


@click.group(name="parked")
def parked() -> None:
    """List, show, release or refuse parked messages.

    Parked are those that were taken out of the way of the others.
    """


# What the engine said, by the status that it gives.
OUTCOMES = {"approved": "assessed", "pending": "pending", "refused": "refused"}

PARTNER = click.option("--partner", help="Only this partner's.")
FROM = click.option("--from", "side", type=click.Choice(["partners", "engine"]), help="Only what came from there.")
BECAUSE = click.option("--because", metavar="TEXT", help="Only those whose reason has this text in it.")
MOST = 1_000_000

LISTED = (
    Titled("id", "id"),
    Titled("received", "reçu", 2),
    Titled("from", "expéditeur", 1),
    Titled("why", "pourquoi", folds=True),
)


@parked.command(name="list")
@PARTNER
@FROM
@BECAUSE
@click.option("--limit", type=click.IntRange(1, MOST), default=50, show_default=True)
@FORMAT
@LANGUAGE
def parked_list(partner: str | None, side: str | None, because: str | None, limit: int, form: str, lang: str) -> None:
    """List parked messages, newest first, each with the reason.

    Those of the engine are results; `show` tells which request they are about.

    Exit code: 0, or 2 when the journal cannot be read.
    """
    with open_journal(from_environment()) as journal:
        rows = _selected(journal, partner, side, because)[:limit]
    if form == "json":
        echo_json(rows, plain)
        return
    say, cells = saying(lang), []
    for row in rows:
        sender = row["partner"] or say("not known", "inconnu")
        if row["channel"] == "assessment":
            sender = say("the engine", "le moteur")
        cells.append((row["id"][:12], eastern(row["received_at"], lang), sender, noted(row["note"] or "", lang)))
    print_table(fit_in(lang, LISTED, cells))
    echo(say(f"{len(rows)} parked", f"garés : {len(rows)}"))


def _selected(journal: Journal, partner: str | None, side: str | None, because: str | None) -> list[dict[str, Any]]:
    """Return the parked messages that are meant, newest first."""
    channel = {None: None, "partners": "partner", "engine": "assessment"}[side]
    rows = journal.list_messages(state="parked", partner=partner, channel=channel, limit=MOST)
    return [row for row in rows if because is None or because.lower() in (row["note"] or "").lower()]


def _meant(
    journal: Journal, ids: tuple[str, ...], everything: bool, filters: tuple[str | None, str | None, str | None]
) -> list[Recorded]:
    """Return the parked messages that are named or selected; raises UsageError where it is not clear which."""
    if bool(ids) == (everything or any(filters)):
        raise click.UsageError(
            "name parked messages by their ids, or select them by --partner, --from, --because or --all"
        )
    return [parked_row(journal, id_) for id_ in ids or dict.fromkeys(row["id"] for row in _selected(journal, *filters))]


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
        row = parked_row(journal, id_)
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
        out.print(Text(f"  {phrase('parked because:', lang)} {noted(row.note or '', lang)}", "yellow"))
        for link in life["audit"]:
            operator = link["detail"].get("operator")
            by = Bilingual(f" by {operator}", f" par {operator}").speak(lang) if operator else ""
            at, event = (
                eastern(datetime.fromisoformat(link["at"]), lang),
                EVENTS[link["event"]].speak(lang) if link["event"] in EVENTS else link["event"],
            )
            out.print(Text(f"  {at}  {event}{by}", "dim"))
        if row.channel == "partner":
            _print_today(row, journal, plans, partners, lang)
        else:
            _print_result(row, journal, lang)
        either, reason = phrase("or", lang), phrase("REASON", lang)
        out.print(f"  `gateway parked release {row.id[:12]}` {either} `gateway parked refuse {row.id[:12]} {reason}`")


def _print_today(row: Recorded, journal: Journal, plans: Plans, partners: Mapping[str, Partner], lang: str) -> None:
    """Print what today's pipeline says of a partner's message."""
    ((_, outcome),) = replay.judge_again([row], journal, plans, partners, lambda row: row.id)
    if isinstance(outcome, Exception):
        fails = phrase("today's pipeline fails on it as well:", lang)
        out.print(Text(f"  {fails} {replay.reason_of(outcome)}", "bold red"))
        return
    says = phrase("today's pipeline would say:", lang)
    for one in outcome.judged:
        out.print(Text(f"  {says} {VERDICTS[str(one.verdict)].speak(lang)}"))
        for finding in one.findings:
            out.print(Text(f"    {finding.code}  {finding.text.speak(lang)}"))


def _print_result(row: Recorded, journal: Journal, lang: str) -> None:
    """Print what a result of the engine says, which request it is about, and whether it would count today."""
    say = saying(lang)
    try:
        result = read_result(row.body)
        day = result.payment_due
        due = say(f", payment due {day}", f", paiement exigible le {day}") if day else ""
        outcome = say(result.outcome, STATUSES.get(OUTCOMES[result.outcome], STATUSES["pending"]).fr)
        what = f"{result.transaction_number} version {result.version}{say(':', ' :')} {outcome}{due}"
        out.print(Text(f"  {what}{say(', on request', ', sur la demande')} {result.message_id}"))
        for reason in result.reasons:
            out.print(Text(f"    {reason.code}  {reason.text.speak(lang)}"))
        asked = journal.asked(result.message_id)
        if asked is None:
            en, fr = "there is no such request: it would have no effect", "il n'y a pas de telle demande : sans effet"
            out.print(Text(f"  {say(en, fr)}", "bold red"))
            return
        partner, id_, nature = asked.received.partner, asked.received.id[:12], NATURE_NAMES[str(asked.fact.nature)]
        en, fr = (
            f"asked for {partner}'s message {id_} ({nature.en})",
            f"pour le message {id_} de {partner} ({nature.fr})",
        )
        out.print(Text(f"  {say(en, fr)}"))
        compare(result, asked.request)
    except GatewayError as error:
        out.print(Text(f"  {error}", "bold red"))
        return
    fits = say("it fits its request", "il convient à sa demande")
    again = say(": who sent it is asked again", " : son expéditeur sera vérifié de nouveau") if row.unproven else ""
    out.print(Text(f"  {fits}{again}"))


@parked.command(name="release")
@click.argument("ids", nargs=-1, metavar="[ID...]")
@PARTNER
@FROM
@BECAUSE
@click.option("--all", "everything", is_flag=True, help="All that is parked.")
@OPERATOR
@LANGUAGE
def parked_release(
    ids: tuple[str, ...],
    partner: str | None,
    side: str | None,
    because: str | None,
    everything: bool,
    operator: str,
    lang: str,
) -> None:
    """Give parked messages to the workers again.

    They are judged on what is known now, with all attempts.

    Exit code: 0 released, 2 not parked, or bad usage.
    """
    with open_journal(from_environment()) as journal:
        for row in _meant(journal, ids, everything, (partner, side, because)):
            release(journal, row, operator, datetime.now(UTC))
            echo(f"{saying(lang)('released', 'libéré :')} {row.id}")


@parked.command(name="refuse")
@click.argument("ids", nargs=-1, metavar="[ID...]")
@click.argument("reason")
@PARTNER
@FROM
@BECAUSE
@OPERATOR
@LANGUAGE
def parked_refuse(
    ids: tuple[str, ...],
    reason: str,
    partner: str | None,
    side: str | None,
    because: str | None,
    operator: str,
    lang: str,
) -> None:
    """Refuse parked messages.

    Their senders are told REASON, each in its own syntax. A result of the engine is closed, and nobody is told.

    Exit code: 0 refused, 2 not parked, or bad usage.
    """
    settings = from_environment()
    plans, partners = prepare(settings.specs), load_partners(settings.partners)
    if not reason.strip():
        raise click.UsageError("the reason is empty: it is what the sender will read")
    moment = datetime.now(UTC)
    with open_journal(settings) as journal:
        for row in _meant(journal, ids, False, (partner, side, because)):
            told = refuse(journal, row, reason, operator, moment, plans, partners)
            en, fr = "the sender is told", "l'expéditeur en est informé"
            if not told:
                en, fr = "nobody is told", "personne n'en est informé"
            echo(saying(lang)(f"refused {row.id}; {en}", f"refusé : {row.id}; {fr}"))
