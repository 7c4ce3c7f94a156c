"""`gateway dead`: dead letters listed, shown, and given back to the way that they were on."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click
from rich.text import Text

from core.calendar import eastern
from core.errors import GatewayError
from core.transmission import digest_of, stable_id
from core.urls import users_of
from gateway import service
from gateway.cli.shared import FORMAT, OPERATOR, folding_table, open_journal, plain, print_table
from gateway.cli.terminal import echo, echo_json
from gateway.journal import Journal, inbox_id
from gateway.loops import engine_users
from gateway.queues import DEAD_QUEUE, Broker, Delivery, Intake, Letter, open_broker
from gateway.settings import Settings, from_environment
from routing.partners import inbound_queue, load_partners
from routing.routes import RESULTS

# How long the first dead letter may take to come, and each after it: the queue's own count leaves out what another
# reader has just let go.
FIRST_SECONDS, NEXT_SECONDS = 2.0, 0.5

# The most that a broker gives out unacknowledged.
MOST = 65_535

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
    with open_broker(from_environment().broker_url) as broker, _reading(broker) as intake:
        found = list(_letters(intake))
    rows = [_row(each) for each in found[:limit]]
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
    with open_broker(from_environment().broker_url) as broker, _reading(broker) as intake:
        found = next((each for each in _letters(intake) if _id(each).startswith(id_)), None)
    if found is None:
        raise GatewayError(f"no dead letter has an id that starts with {id_!r}")
    if body:
        sys.stdout.buffer.write(found.body)
        return
    for name, value in (_row(found) | {"content type": found.content_type, "headers": dict(found.headers)}).items():
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
        desk = _Desk(settings, journal, broker, queue, operator)
        with _reading(broker) as intake:
            batch: list[Delivery] = []
            missing = set(ids)
            for each in _letters(intake):
                named = {id_ for id_ in ids if _id(each).startswith(id_)}
                missing -= named
                if everything or named:
                    batch.append(each)
                if len(batch) == service.BATCH:
                    desk.give_back(intake, batch)
                    batch = []
            desk.give_back(intake, batch)
    for id_ in sorted(missing):
        echo(f"gateway: no dead letter has an id that starts with {id_!r}", err=True)
    echo(f"{desk.gone} requeued, {desk.stayed} stay")
    sys.exit(1 if desk.stayed or missing else 0)


class _Desk:
    """Gives dead letters back, and counts them."""

    def __init__(self, settings: Settings, journal: Journal, broker: Broker, queue: str | None, operator: str) -> None:
        self._journal, self._broker, self._queue, self._operator = journal, broker, queue, operator
        self._partners = load_partners(settings.partners)
        self._engines = engine_users(settings)
        self._ours = {None, *(user or "guest" for user in users_of(settings.broker_url))}
        self._inbound = {RESULTS} | {inbound_queue(name) for name in self._partners}
        self.gone = self.stayed = 0

    def give_back(self, intake: Intake, letters: Sequence[Delivery]) -> None:
        """Record what came in, publish what went out, and take from the dead what was kept."""
        inbound: list[Delivery] = []
        outbound: list[Delivery] = []
        for each in letters:
            origin = each.origin or self._queue
            if origin in self._inbound:
                inbound.append(each)
            elif origin is None or origin.startswith("in."):
                self._stays(each, "no partner has its queue" if origin else "its queue is not known: give --queue")
            elif not each.addressed:
                self._stays(each, "it was sent to another queue, and is a copy")
            elif each.user_id not in self._ours:
                self._stays(each, f"it was sent by {each.user_id}, not by the gateway")
            else:
                outbound.append(each)
        service.record([self._as_sent(each) for each in inbound], self._journal, self._partners, self._engines)
        kept = self._broker.publish([_letter(self._as_sent(each)) for each in outbound]).confirmed
        for each in outbound:
            if (each.message_id or _id(each)) not in kept:
                self._stays(each, "its queue is missing, or the broker did not take it")
        gone = [*inbound, *(each for each in outbound if (each.message_id or _id(each)) in kept)]
        for each in gone:  # before it is gone from the dead: what is audited twice is told from what is not audited
            self._note(each, inbound=each in inbound)
        intake.ack(gone)
        for each in gone:
            echo(f"requeued {_id(each)} to {each.origin or self._queue}")
        self.gone += len(gone)

    def _note(self, letter: Delivery, *, inbound: bool) -> None:
        """Write into the audit who gave a dead letter back, and where it had died."""
        told = {name: value for name, value in _row(letter).items() if name in ("id", "user", "why", "message_id")}
        told |= {"queue": letter.origin or self._queue, "digest": digest_of(letter.body), "operator": self._operator}
        subject = self._journal.sequence_of(inbox_id(self._as_sent(letter).uid)) if inbound else None
        self._journal.note("dead letter requeued", subject, told, service.now())

    def _as_sent(self, letter: Delivery) -> Delivery:
        return letter.as_sent(self._queue)

    def _stays(self, letter: Delivery, why: str) -> None:
        echo(f"gateway: {_id(letter)} stays: {why}", err=True)
        self.stayed += 1


def _reading(broker: Broker) -> Intake:
    """Open a reader that may hold all dead letters at once; what it does not acknowledge stays where it is."""
    return broker.consume([DEAD_QUEUE], prefetch=MOST)


def _letters(intake: Intake) -> Iterator[Delivery]:
    """Yield the dead letters, oldest first."""
    wait = FIRST_SECONDS
    while got := intake.receive(wait):
        yield from got
        wait = NEXT_SECONDS


def _id(letter: Delivery) -> str:
    """Return what a dead letter is named by; the same each time that it is read."""
    parts = (letter.origin or "", letter.user_id or "", letter.message_id or "", digest_of(letter.body))
    return stable_id("dead", *parts)


def _row(letter: Delivery) -> dict[str, Any]:
    """Return what is told of a dead letter."""
    death = letter.death
    return {
        "id": _id(letter),
        "died": death.at if death else None,
        "queue": letter.origin,
        "user": letter.user_id,
        "why": death.reason if death else "",
        "bytes": len(letter.body),
        "message_id": letter.message_id,
    }


def _letter(sent: Delivery) -> Letter:
    """Return what the gateway sent, to be sent again under its id."""
    return Letter(sent.message_id or _id(sent), sent.queue, sent.content_type, sent.body, sent.headers)
