"""The operator's commands: evidence, retention, destinations, the broker's users."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from core.calendar import eastern
from core.errors import GatewayError
from core.findings import Bilingual
from core.partner import Partner
from core.urls import vhost_of
from gateway.cli.shared import LANGUAGE, OPERATOR, known_partner, open_journal, print_table, saying
from gateway.cli.tables import Titled, fit_in
from gateway.cli.terminal import echo
from gateway.desk.words import DESTINATION_STATES
from gateway.journal import AuditReport, Extent, Head, Journal
from gateway.journal.periods import load_retention, months_before
from gateway.queues.rabbitmq import INTAKE_EXCHANGE
from gateway.service import now
from gateway.settings import from_environment
from routing.partners import inbound_queue, load_partners
from routing.routes import load_routes

DESTINATIONS_LISTED = (
    Titled("destination", "destination"),
    Titled("waiting", "en attente"),
    Titled("refused", "non prises", 3),
    Titled("oldest", "la plus ancienne", 6),
    Titled("failures", "échecs", 5),
    Titled("state", "état"),
    Titled("next try", "prochain essai", 4),
    Titled("error", "erreur", 2, folds=True),
)

# The kinds of what is kept, in French.
KINDS = {"declaration": "déclaration", "refused": "refusé", "repeated": "renvoi", "result": "résultat"}
WHAT = Titled("what", "quoi", folds=True)

# A purge deletes without being asked again: nothing where the newest transmission is further from now than any holiday
# is long, or the database's clock says another time; and at most one in so many transmissions. Every night it is one in
# 400 of what is kept shortest, every week one in 57.
SILENCE, APART, SHARE = timedelta(days=7), timedelta(minutes=5), 20


def _journal() -> AbstractContextManager[Journal]:
    """Open the journal that the environment names; raises GatewayError where there is none."""
    return open_journal(from_environment())


# ------------------------------------------------------------------------------------------------ evidence


@click.command("verify-audit")
@click.option(
    "--heads",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with lines as `gateway export-audit-head` writes them: the chain must still contain each.",
)
@LANGUAGE
def verify_audit(heads: Path | None, lang: str) -> None:
    """Walk the audit chain and name what is bad first.

    What it witnessed is compared with what is stored. Bad is a row that is missing, changed or out of place; and a
    transmission, a verdict, an effect or an answer that is not as it was written.

    Exit code: 0 the chain holds, 1 it does not, 2 the journal or the file cannot be read.
    """
    exported = _heads(heads) if heads else []
    with _journal() as journal:
        report = journal.verify(*exported)
        journal.note_chore("verify-audit", now(), report.reason.en if report.reason else None)
    for line in _of_report(report, len(exported)):
        echo(line.speak(lang))
    if report.bad is not None:
        sys.exit(1)


def _of_report(report: AuditReport, exported: int) -> Iterator[Bilingual]:
    """Yield what is said of a walk along the chain, compared with so many exported heads."""
    good, head, bad, reason = report.links, report.head, report.bad, report.reason
    if reason and bad is not None and bad <= good:
        en = f"row {bad} witnessed otherwise" if bad else "no row witnessed it"
        fr = f"la ligne {bad} atteste autre chose" if bad else "aucune ligne ne l'atteste"
        yield Bilingual(f"{reason.en} ({en})", f"{reason.fr} ({fr})")
        yield Bilingual(
            f"{good} rows hold, but not what they witnessed; head {head}",
            f"{good} lignes tiennent, mais non ce qu'elles attestent; tête {head}",
        )
    elif reason:
        yield Bilingual(f"row {bad}: {reason.en}", f"ligne {bad} : {reason.fr}")
        yield Bilingual(
            f"{good} rows before it hold; last good hash {head}",
            f"{good} lignes avant elle tiennent; dernière empreinte bonne {head}",
        )
    else:
        held = Bilingual(
            " (only --heads tells whether newer ones are missing)", " (seul --heads dit si de plus récentes manquent)"
        )
        if exported:
            held = Bilingual(
                f", {report.heads} of {exported} exported heads are in them",
                f", {report.heads} des {exported} têtes exportées s'y trouvent",
            )
        yield Bilingual(f"{good} rows hold{held.en}; head {head}", f"{good} lignes tiennent{held.fr}; tête {head}")
    if report.explained:
        yield Bilingual(
            f"{report.explained} heads are of a history that ended with the restore in row {report.restore}: compare it"
            " with what you know of restores",
            f"{report.explained} têtes sont d'une suite qui a pris fin à la restauration de la ligne {report.restore} :"
            " comparez avec ce que vous savez des restaurations",
        )


def _heads(path: Path) -> list[Head]:
    """Return every head in a file of exported ones."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise GatewayError(f"{path} cannot be read: {error}") from error
    return [_head(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]


def _head(text: str, where: str) -> Head:
    """Return one exported head."""
    try:
        line = json.loads(text)
        return Head(int(line["n"]), str(line["hash"]), _aware(line.get("at")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise GatewayError(
            f"{where}: lines as of `gateway export-audit-head` are wanted: {error}; one that a full disk cut off may be"
            " taken out"
        ) from error


def _aware(at: str | None) -> str | None:
    """Return a time as it was exported; ValueError where it is none, or has no zone."""
    if at is not None and datetime.fromisoformat(at).tzinfo is None:
        raise ValueError(f"{at} has no zone")
    return at


@click.command("export-audit-head")
def export_audit_head() -> None:
    """Print number and hash of the newest audit row.

    It is a line of JSON, to be kept outside the database.

    Exit code: 0, or 2 when the journal cannot be read.
    """
    with _journal() as journal:
        n, digest = journal.head()
    echo(json.dumps({"n": n, "hash": digest, "at": now().isoformat(timespec="seconds")}))


# ------------------------------------------------------------------------------------------------ schema


@click.command()
@LANGUAGE
def migrate(lang: str) -> None:
    """Bring the journal's schema up to date.

    Stop every process of the gateway first, and back up; it may take minutes. Nothing else changes the schema of a
    journal that is there.

    Exit code: 0, or 2 when the journal cannot be written, or is a newer version's.
    """
    settings = from_environment()
    journal = Journal.open(settings.database_url)
    try:
        before = journal.schema() if journal.exists() else None
        journal.migrate()
        after = journal.schema()
    finally:
        journal.close()
    said = Bilingual(f"was {before or 'not there'}", f"était {before or 'absent'}")
    if before == after:
        said = Bilingual("nothing to do", "rien à faire")
    echo(saying(lang)(f"schema {after}: {said.en}", f"schéma {after} : {said.fr}"))


# ------------------------------------------------------------------------------------------------ retention


@click.command()
@click.option("--dry-run", is_flag=True, help="Only count what would go.")
@click.option("--confirm", type=click.IntRange(0), metavar="FIGURE", help="What a dry run said would go.")
@LANGUAGE
def purge(dry_run: bool, confirm: int | None, lang: str) -> None:
    """Delete what is older than its kind is kept.

    The audit chain stays whole, and notes what went. Where the clock may be wrong, or more would go than goes in a
    month, nothing does: make a dry run, look at the clock, and repeat its figure with --confirm.

    Exit code: 0, 1 nothing went because it has to be confirmed, 2 when the journal cannot be written.
    """
    moment, kinds = now(), load_retention()
    # The chain itself has no period: it is never cut (DECISIONS D20).
    before = {kind: months_before(moment, each.months) for kind, each in kinds.items()}
    with _journal() as journal:
        extent = journal.extent()
        counts = journal.purge(before, now=moment, rehearse=True)
        figure = sum(counts.values())
        doubts = _doubts(moment, extent, figure)
        held = bool(figure and doubts and confirm is None) or (confirm is not None and confirm != figure)
        if not dry_run and not held:
            counts = journal.purge(before, now=moment)
        if not dry_run:
            journal.note_chore("purge", moment, "; ".join(doubts) or "the figure differs" if held else None)
    say, rows = saying(lang), []
    for kind, each in kinds.items():
        kept = say(f"{each.months // 12} y {each.months % 12} m", f"{each.months // 12} a {each.months % 12} m")
        rows.append(
            (say(kind, KINDS.get(kind, kind)), kept, f"{before[kind]:%Y-%m-%d}", counts[kind], each.what.speak(lang))
        )
    goes = Titled("would go", "partiraient") if dry_run or held else Titled("gone", "partis")
    titles = (Titled("kind", "genre"), Titled("kept", "conservé"), Titled("until", "jusqu'au"), goes, WHAT)
    print_table(fit_in(lang, titles, rows))
    if dry_run or held:
        en = f"{figure} of {extent.stored} transmissions would go"
        echo(say(en, f"transmissions qui partiraient : {figure} sur {extent.stored}"))
    for doubt in doubts if figure else ():
        echo(f"gateway: {doubt}", err=True)
    if held and not dry_run:
        wrong = f"the figure is {figure}, not {confirm}" if confirm is not None else "look at the clock"
        echo(f"gateway: nothing was deleted: {wrong}; to delete them, --confirm {figure}", err=True)
        sys.exit(1)


def _doubts(moment: datetime, extent: Extent, figure: int) -> list[str]:
    """Return why the time, or what would go at that time, may be wrong."""
    doubts = []
    if extent.newest and abs(moment - extent.newest) > SILENCE:
        doubts.append(f"the newest transmission is of {eastern(extent.newest)}, and now is {eastern(moment)}")
    if extent.clock and abs(moment - extent.clock) > APART:
        doubts.append(f"the database's clock says {eastern(extent.clock)}, this machine's {eastern(moment)}")
    if figure * SHARE > extent.stored:
        doubts.append(f"{figure} of {extent.stored} transmissions are more than one in {SHARE}")
    return doubts


# ------------------------------------------------------------------------------------------------ destinations


@click.command()
@LANGUAGE
def destinations(lang: str) -> None:
    """List the destinations with a backlog or a failure.

    Refused is what the broker would not take, such as an answer larger than it allows: `unpark` has it tried again.

    Exit code: 0, or 2 without a journal.
    """
    with _journal() as journal:
        rows = journal.destinations()
    print_table(fit_in(lang, DESTINATIONS_LISTED, [_destination(row, lang) for row in rows]))


def _destination(row: Mapping[str, Any], lang: str) -> tuple[object, ...]:
    """Return what is listed of a destination."""
    oldest = eastern(row["oldest"], lang) if row["oldest"] else ""
    state = "parked" if row["parked_at"] else "paused" if row["failures"] else "well"
    again = _again(row["paused_until"], lang) if state == "paused" else "`gateway unpark`" if state == "parked" else ""
    cells = (row["name"], row["waiting"], row["refused"], oldest, row["failures"])
    return (*cells, DESTINATION_STATES[state].speak(lang), again, row["error"])


def _again(until: datetime, lang: str) -> str:
    """Return when a destination that rests is tried again."""
    if until <= now():
        return saying(lang)("now", "maintenant")
    seconds = round((until - now()).total_seconds())
    return f"{eastern(until, lang)}, {saying(lang)('in', 'dans')} {seconds} s"


@click.command()
@click.argument("destination")
@OPERATOR
@LANGUAGE
def unpark(destination: str, operator: str, lang: str) -> None:
    """Let a parked or paused destination be tried at once.

    What waits for it goes out in order.

    Exit code: 0, 1 when nothing is known of such a destination, 2 without a journal.
    """
    with _journal() as journal:
        if destination not in {row["name"] for row in journal.destinations()}:
            echo(f"gateway: nothing waits for {destination!r} and it has not failed", err=True)
            sys.exit(1)
        waiting = journal.unpark(destination, now(), operator)
    en, fr = (
        f"{destination}: {waiting} waiting, tried again now",
        f"{destination} : {waiting} en attente, de nouveau tentée",
    )
    echo(saying(lang)(en, fr))


# ------------------------------------------------------------------------------------------------ broker's users


@click.command("broker-users")
@click.option("--partner", "partner_id", metavar="PARTNER", help="Of this partner's user only.")
@click.option("--vhost", help="The virtual host.  [default: that of GATEWAY_BROKER_URL]")
@click.option("--gateway-user", default="gateway", show_default=True, help="The user of the gateway itself.")
@click.option("--engine-user", help="The user of the assessment engine.  [default: GATEWAY_ENGINE_USER]")
def broker_users(partner_id: str | None, vhost: str | None, gateway_user: str, engine_user: str | None) -> None:
    """Print the rabbitmqctl commands for the broker's users.

    They make users and permissions for partners, gateway and engine; nothing is changed by printing them. A partner may
    publish to the exchange customs.in with its own queue's name as routing key, read its own answer queue, and nothing
    else; the user of `gateway web --exchange` may do that for the partners that have a token. Run the lines with a
    shell on a node; add_user asks for each password.

    Exit code: 0, or 2 when the partners cannot be read.
    """
    settings = from_environment()
    partners, vhost = load_partners(settings.partners), vhost or vhost_of(settings.broker_url)
    of_partners = partner_commands(partners.values(), vhost)
    if partner_id:
        user = known_partner(partner_id, partners).user
        if user not in of_partners:
            raise GatewayError(f"partner {partner_id} is not active: it gets no user")
        lines = of_partners[user]
    else:
        lines = house_commands(vhost, gateway_user, engine_user or settings.engine_user)
        lines += [line for each in of_partners.values() for line in each]
        lines += [line for each in door_commands(partners.values(), vhost).values() for line in each]
    for line in lines:
        echo(line)


def house_commands(vhost: str, gateway_user: str, engine_user: str) -> list[str]:
    """Return the rabbitmqctl commands for the users of gateway and engine, one each."""
    requests = "|".join(sorted(re.escape(queue) for queue in set(load_routes().values())))
    return [
        *_user(vhost, gateway_user, ".*", ".*", ".*"),
        # The engine answers over the default exchange: it belongs to the house, no partner may write there.
        *_user(vhost, engine_user, "", r"^amq\.default$", f"^({requests})$"),
    ]


def partner_commands(partners: Iterable[Partner], vhost: str) -> dict[str, list[str]]:
    """Return the rabbitmqctl commands for each user of active partners; what several share is said as a whole."""
    return _senders(vhost, ((each.user, each) for each in partners if each.active))


def door_commands(partners: Iterable[Partner], vhost: str) -> dict[str, list[str]]:
    """Return the commands for the exchange's user: it has the rights of the active partners with a token, together."""
    return _senders(vhost, ((each.door, each) for each in partners if each.active and each.door))


def _senders(vhost: str, pairs: Iterable[tuple[str, Partner]]) -> dict[str, list[str]]:
    lines: dict[str, list[str]] = {}
    users: dict[str, list[Partner]] = defaultdict(list)
    for user, partner in pairs:
        users[user].append(partner)
    for user, ours in users.items():
        read = "|".join(re.escape(partner.answer_queue) for partner in ours)
        write = "|".join(re.escape(inbound_queue(partner.id)) for partner in ours)
        exchange = f"^{re.escape(INTAKE_EXCHANGE)}$"
        topic = _rabbitmqctl("set_topic_permissions", "-p", vhost, user, INTAKE_EXCHANGE, f"^({write})$", "")
        lines[user] = [*_user(vhost, user, "", exchange, f"^({read})$"), topic]
    return lines


def _user(vhost: str, user: str, configure: str, write: str, read: str) -> list[str]:
    """Return the commands that make one user and what it may do in the virtual host."""
    return [
        _rabbitmqctl("add_user", user),
        _rabbitmqctl("set_permissions", "-p", vhost, user, configure, write, read),
    ]


def _rabbitmqctl(*arguments: str) -> str:
    """Return a command for the shell."""
    return shlex.join(["rabbitmqctl", *arguments])
