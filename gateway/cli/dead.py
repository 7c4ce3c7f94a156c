"""`gateway dead`: dead letters listed, shown, and given back to the way that they were on."""

from __future__ import annotations

import sys

import click
from rich.text import Text

from core.calendar import eastern
from core.errors import GatewayError
from gateway.cli.shared import FORMAT, OPERATOR, folding_table, open_journal, plain, print_table
from gateway.cli.terminal import echo, echo_json
from gateway.desk.dead import Requeuing, letter_id, letters, reading, row_of
from gateway.queues import open_broker
from gateway.settings import from_environment

# How many characters of an id are listed.
SHORT = 12


@click.group(name="dead")
def dead() -> None:
    """List, show or requeue dead letters.

    Dead letters are messages that were rejected, or delivered too often, and lie in the queue `dead`.
    """


@dead.command(name="list")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@FORMAT
def dead_list(limit: int, form: str) -> None:
    """List dead letters, oldest first; they stay where they are.

    Exit code: 0, or 2 when the broker cannot be read.
    """
    with open_broker(from_environment().broker_url) as broker, reading(broker) as intake:
        found = list(letters(intake))
    rows = [row_of(each) for each in found[:limit]]
    if form == "json":
        echo_json(rows, plain)
        return
    table = folding_table("id", "died", "queue", "user", "why", "bytes", "message id")
    for row in rows:
        died = eastern(row["died"]) if row["died"] else ""
        cells = (row["id"][:SHORT], died, row["queue"] or "?", row["user"] or "", row["why"], row["bytes"])
        table.add_row(*(Text(str(cell)) for cell in (*cells, row["message_id"] or "")))
    print_table(table)
    echo(f"{len(rows)} of {len(found)} dead letters")


@dead.command(name="show")
@click.argument("id_", metavar="ID")
@click.option("--body", is_flag=True, help="Write only the message, byte for byte.")
def dead_show(id_: str, body: bool) -> None:
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
        echo(f"{name}: {plain(value) if value is not None else ''}")


@dead.command(name="requeue")
@click.argument("ids", nargs=-1, metavar="[ID...]")
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@click.option("--queue", help="The queue that they were sent to, where the broker does not know it.")
@OPERATOR
def dead_requeue(ids: tuple[str, ...], everything: bool, queue: str | None, operator: str) -> None:
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
        desk = Requeuing(settings, journal, broker, queue, operator, _told)
        missing = set(ids)

        def wanted(id_: str) -> bool:
            named = {each for each in ids if id_.startswith(each)}
            missing.difference_update(named)
            return everything or bool(named)

        with reading(broker) as intake:
            desk.chosen(intake, wanted)
    for id_ in sorted(missing):
        echo(f"gateway: no dead letter has an id that starts with {id_!r}", err=True)
    echo(f"{desk.gone} requeued, {desk.stayed} stay")
    sys.exit(1 if desk.stayed or missing else 0)


def _told(line: str, went: bool) -> None:
    echo(line if went else f"gateway: {line}", err=not went)
