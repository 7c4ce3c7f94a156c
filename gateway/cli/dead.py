"""`gateway dead`: dead letters listed, shown, and given back to the way that they were on."""

from __future__ import annotations

import sys
from functools import partial

import click

from core.calendar import eastern
from core.errors import GatewayError
from core.findings import Bilingual
from gateway.cli.shared import FORMAT, LANGUAGE, OPERATOR, open_journal, plain, print_table, saying
from gateway.cli.tables import Titled, fit_in
from gateway.cli.terminal import echo, echo_json
from gateway.desk.dead import Requeuing, letter_id, letters, reading, row_of
from gateway.desk.words import DEATHS, french
from gateway.queues import open_broker
from gateway.settings import from_environment

# How many characters of an id are listed.
SHORT = 12

LISTED = (
    Titled("id", "id"),
    Titled("died", "mort", 3),
    Titled("queue", "file"),
    Titled("user", "utilisateur", 5),
    Titled("why", "pourquoi", folds=True),
    Titled("bytes", "octets", 6),
    Titled("message id", "id du message", 4),
)
# What `show` tells of one, in French.
FRENCH = {
    "id": "id", "died": "mort", "queue": "file", "user": "utilisateur", "why": "pourquoi", "bytes": "octets",
    "message_id": "id du message", "content type": "type de contenu", "headers": "en-têtes",
}  # fmt: skip


@click.group(name="dead")
def dead() -> None:
    """List, show or requeue dead letters.

    Dead letters are messages that were rejected, or delivered too often, and lie in the queue `dead`.
    """


@dead.command(name="list")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@FORMAT
@LANGUAGE
def dead_list(limit: int, form: str, lang: str) -> None:
    """List dead letters, oldest first; they stay where they are.

    Exit code: 0, or 2 when the broker cannot be read.
    """
    with open_broker(from_environment().broker_url) as broker, reading(broker) as intake:
        found = list(letters(intake))
    rows = [row_of(each) for each in found[:limit]]
    if form == "json":
        echo_json(rows, plain)
        return
    cells = []
    for row in rows:
        died = eastern(row["died"], lang) if row["died"] else ""
        why = french(row["why"], DEATHS) if lang == "fr" else row["why"]
        of = (row["id"][:SHORT], died, row["queue"] or "?", row["user"], why, row["bytes"], row["message_id"])
        cells.append(of)
    print_table(fit_in(lang, LISTED, cells))
    en, fr = f"{len(rows)} of {len(found)} dead letters", f"lettres mortes : {len(rows)} sur {len(found)}"
    echo(saying(lang)(en, fr))


@dead.command(name="show")
@click.argument("id_", metavar="ID")
@click.option("--body", is_flag=True, help="Write only the message, byte for byte.")
@LANGUAGE
def dead_show(id_: str, body: bool, lang: str) -> None:
    """Show a dead letter; it stays where it is.

    Exit code: 0 shown, 2 no such dead letter, or the broker cannot be read.
    """
    with open_broker(from_environment().broker_url) as broker, reading(broker) as intake:
        found = next((each for each in letters(intake) if letter_id(each).startswith(id_)), None)
    if found is None:
        raise GatewayError(f"no dead letter has an id that starts with {id_!r}")
    if body:
        sys.stdout.buffer.write(found.body)
        return
    for name, value in (row_of(found) | {"content type": found.content_type, "headers": dict(found.headers)}).items():
        title = saying(lang)(f"{name}:", f"{FRENCH[name]} :")
        echo(f"{title} {plain(value) if value is not None else ''}")


@dead.command(name="requeue")
@click.argument("ids", nargs=-1, metavar="[ID...]")
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@click.option("--queue", help="The queue that they were sent to, where the broker does not know it.")
@OPERATOR
@LANGUAGE
def dead_requeue(ids: tuple[str, ...], everything: bool, queue: str | None, operator: str, lang: str) -> None:
    """Give dead letters back to the way that they were on.

    What a partner or the engine sent goes into the journal as it came, with what the broker proved about its sender;
    what the gateway sent goes into its queue again, with its id. One that cannot go back stays, with a line on standard
    error. Each that goes back stands in the audit.

    Exit code: 0 all of them went back, 1 some did not, 2 bad usage, or broker or journal cannot be used.
    """
    if bool(ids) == everything:
        raise click.UsageError("name dead letters by their ids, or all of them by --all")
    settings = from_environment()
    with open_journal(settings) as journal, open_broker(settings.broker_url) as broker:
        desk = Requeuing(settings, journal, broker, queue, operator, partial(_told, lang=lang))
        missing = set(ids)

        def wanted(id_: str) -> bool:
            named = {each for each in ids if id_.startswith(each)}
            missing.difference_update(named)
            return everything or bool(named)

        with reading(broker) as intake:
            desk.chosen(intake, wanted)
    for id_ in sorted(missing):
        echo(f"gateway: no dead letter has an id that starts with {id_!r}", err=True)
    en, fr = f"{desk.gone} requeued, {desk.stayed} stay", f"remises en file : {desk.gone}, restées : {desk.stayed}"
    echo(saying(lang)(en, fr))
    sys.exit(1 if desk.stayed or missing else 0)


def _told(said: Bilingual, went: bool, lang: str) -> None:
    echo(said.speak(lang) if went else f"gateway: {said.en}", err=not went)
