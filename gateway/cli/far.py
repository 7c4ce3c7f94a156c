"""`gateway requests` and `gateway answers`: what went to the engine and to partners, sent again or ended."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import Any

import click

from core.calendar import eastern
from gateway.cli.shared import FORMAT, LANGUAGE, OPERATOR, Moment, open_journal, plain, print_table, saying
from gateway.cli.tables import Titled, fit_in
from gateway.cli.terminal import echo, echo_json
from gateway.desk.words import ANSWER_STATES, NATURE_NAMES, REQUEST_STATES
from gateway.journal import Chosen
from gateway.service import now
from gateway.settings import from_environment
from gateway.trade.replies import ANSWERS

LIMIT = click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True)
MINUTES = click.option("--minutes", type=click.IntRange(1, 10**7), help="Only what is at least so old.")
PARTNER = click.option("--partner", help="Only this partner's.")
DESTINATION = click.option("--destination", metavar="QUEUE", help="Only what goes to this queue.")
SINCE = click.option("--since", type=Moment(), help="Only what was sent from then on.")
UNTIL = click.option("--until", type=Moment(end=True), help="Only what was sent before.")
IDS = click.argument("ids", nargs=-1, metavar="[ID...]")
ALL = click.option("--all", "everything", is_flag=True, help="All of them.")

# How many characters of an id are listed.
SHORT = 12

REQUESTS_LISTED = (
    Titled("id", "id"),
    Titled("asked", "demandé", 3),
    Titled("state", "état"),
    Titled("nature", "nature", 7),
    Titled("transaction", "transaction"),
    Titled("version", "version", 4),
    Titled("partner", "partenaire", 5),
    Titled("queue", "file", 8),
    Titled("message", "message", 6),
)
ANSWERS_LISTED = (
    Titled("id", "id"),
    Titled("made", "rédigée", 8),
    Titled("sent", "envoyée", 6),
    Titled("state", "état"),
    Titled("kind", "genre", 3),
    Titled("queue", "file", 4),
    Titled("partner", "partenaire", 7),
    Titled("message", "message", 5),
    Titled("error", "erreur", 2, folds=True),
)


@click.group()
def requests() -> None:
    """List or resend undecided requests to the engine.

    A request is lost with the broker's disk, or with an engine that took it and died; its declaration stays "accepted"
    until the engine has answered.
    """


@requests.command(name="list")
@MINUTES
@LIMIT
@FORMAT
@LANGUAGE
def requests_list(minutes: int | None, limit: int, form: str, lang: str) -> None:
    """List requests that the engine has not decided on, the oldest first.

    Unanswered: sent, and not a word came back. Pending: the engine reviews it. Waits: not sent yet.

    Exit code: 0, or 2 when the journal cannot be read.
    """
    with open_journal(from_environment()) as journal:
        rows = journal.requests(Chosen(until=_before(minutes)), limit)
    if form == "json":
        echo_json(rows, plain)
        return
    print_table(fit_in(lang, REQUESTS_LISTED, [_request(row, lang) for row in rows]))
    echo(saying(lang)(f"{len(rows)} not decided", f"demandes sans décision : {len(rows)}"))


def _request(row: dict[str, Any], lang: str) -> tuple[object, ...]:
    """Return what is listed of a request."""
    state = "pending" if row["status"] == "pending" else "unanswered" if row["sent_at"] else "waits"
    nature = f"{NATURE_NAMES[row['nature']].speak(lang)}{saying(lang)(' (test)', ' (essai)') if row['test'] else ''}"
    asked, state = eastern(row["created_at"], lang), REQUEST_STATES[state].speak(lang)
    cells = (row["id"][:SHORT], asked, state, nature, row["transaction_number"], row["version"])
    return (*cells, row["partner"], row["destination"], row["transmission"][:SHORT])


@requests.command(name="resend")
@IDS
@ALL
@MINUTES
@OPERATOR
@LANGUAGE
def requests_resend(ids: tuple[str, ...], everything: bool, minutes: int | None, operator: str, lang: str) -> None:
    """Send requests to the engine again, each with its id and bytes.

    With --all those that were sent and on which not a word came; one that is pending only by its id. An engine that
    has answered an id gives the same answer again, and nothing takes effect twice.

    Exit code: 0, 1 nothing was sent again, 2 bad usage, or the journal cannot be written.
    """
    _named(ids, everything, minutes)
    with open_journal(from_environment()) as journal:
        rows = journal.requests(Chosen(ids, until=_before(minutes)))
        wanted = [row["id"] for row in rows if ids or (row["sent_at"] and row["status"] == "accepted")]
        count = journal.resend_requests(wanted, operator, now())
    _told(count, saying(lang)("requests go out again", "demandes repartent"))


@click.group()
def answers() -> None:
    """List, resend or close answers to partners.

    Open are those that are not sent, and those that their partner rejected by CONTRL or was to acknowledge.
    """


@answers.command(name="list")
@PARTNER
@DESTINATION
@LIMIT
@FORMAT
@LANGUAGE
def answers_list(partner: str | None, destination: str | None, limit: int, form: str, lang: str) -> None:
    """List answers that are open, the oldest first.

    Waits: not sent. Refused: the broker does not take it. Awaits CONTRL, overdue, rejected: what its partner said.

    Exit code: 0, or 2 when the journal cannot be read.
    """
    with open_journal(from_environment()) as journal:
        rows = journal.open_answers(Chosen(partner=partner, destination=destination), now(), limit)
    if form == "json":
        echo_json(rows, plain)
        return
    print_table(fit_in(lang, ANSWERS_LISTED, [_answer(row, lang) for row in rows]))
    echo(saying(lang)(f"{len(rows)} open", f"réponses ouvertes : {len(rows)}"))


def _answer(row: dict[str, Any], lang: str) -> tuple[object, ...]:
    """Return what is listed of an answer."""
    made, sent = eastern(row["created_at"], lang), eastern(row["sent_at"], lang) if row["sent_at"] else ""
    state = ANSWER_STATES[row["state"]].speak(lang)
    kind = ANSWERS[row["kind"]].fr if lang == "fr" and row["kind"] in ANSWERS else row["kind"]
    cells = (row["id"][:SHORT], made, sent, state, kind, row["destination"])
    return (*cells, row["partner"], row["transmission"][:SHORT], row["error"])


def _chosen(
    ids: tuple[str, ...], partner: str | None, destination: str | None, since: datetime | None, until: datetime | None
) -> Chosen:
    """Return what is meant; raises UsageError where it would be everything."""
    chosen = Chosen(ids, partner, destination, since, until)
    if chosen == Chosen():
        raise click.UsageError("name answers by their ids, or choose them by --partner, --destination or --since")
    return chosen


@answers.command(name="resend")
@IDS
@PARTNER
@DESTINATION
@SINCE
@UNTIL
@OPERATOR
@LANGUAGE
def answers_resend(ids: tuple[str, ...], operator: str, lang: str, **filters: Any) -> None:
    """Send answers that were sent once more, each with its id and bytes.

    For what a broker lost with its disk before its partner had read it: --since says from when on.

    Exit code: 0, 1 nothing was sent again, 2 bad usage, or the journal cannot be written.
    """
    chosen = _chosen(ids, **filters)
    with open_journal(from_environment()) as journal:
        count = journal.resend_answers(journal.sent_answers(chosen), operator, now())
    _told(count, saying(lang)("answers go out again", "réponses repartent"))


@answers.command(name="close")
@IDS
@PARTNER
@DESTINATION
@SINCE
@UNTIL
@click.option("--why", required=True, metavar="REASON", help="For the audit.")
@OPERATOR
@LANGUAGE
def answers_close(ids: tuple[str, ...], why: str, operator: str, lang: str, **filters: Any) -> None:
    """End answers that are open: nobody waits for them any more.

    Of a partner who left or no longer acknowledges: what was not sent stays unsent, what was to be acknowledged need
    not be, and the alert ends. Stored they stay; a partner who sends its message again is answered again.

    Exit code: 0, 1 nothing was open, 2 bad usage, or the journal cannot be written.
    """
    chosen = _chosen(ids, **filters)
    if not why.strip():
        raise click.UsageError("the reason is empty: it stands in the audit")
    with open_journal(from_environment()) as journal:
        moment = now()
        wanted = [row["id"] for row in journal.open_answers(chosen, moment)]
        count = journal.close_answers(wanted, operator, why, moment)
    _told(count, saying(lang)("answers closed", "réponses closes"))


def _before(minutes: int | None) -> datetime | None:
    return now() - timedelta(minutes=minutes) if minutes else None


def _named(ids: tuple[str, ...], everything: bool, minutes: int | None) -> None:
    """Raise UsageError unless something is meant, and one thing only."""
    if bool(ids) == (everything or minutes is not None):
        raise click.UsageError("name requests by their ids, or choose them by --all or --minutes")


def _told(count: int, what: str) -> None:
    echo(f"{count} {what}")
    sys.exit(0 if count else 1)
