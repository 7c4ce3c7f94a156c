"""`gateway list`: the partners' messages, and alerts about our answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from core import limits
from core.calendar import eastern
from core.findings import Bilingual
from core.transmission import Verdict
from gateway.cli.shared import FORMAT, LANGUAGE, Moment, known_partner, open_journal, plain, print_table
from gateway.cli.tables import Column, fit
from gateway.cli.terminal import echo, echo_json
from gateway.desk.listing import COLUMNS, cells
from gateway.settings import from_environment
from routing.partners import load_partners

# Which columns go first where the terminal is narrow; the others stay.
RANKS = {"received": 2, "partner": 3, "version": 4, "state": 5, "type": 6, "sender": 7}
FOLDS = {"findings"}

# Characters of a moment as people read it, to the minute.
MINUTE = len("2026-11-27 09:05")


@click.command(name="list")
@click.option("--partner", help="Only this partner's.")
@click.option("--sender", metavar="ID", help="Only of this sender id in the envelope.")
@click.option("--transaction", "transaction_number", help="Only this transaction number's.")
@click.option(
    "--reference", help="Only with this reference: the interchange's, the message's, or the declaration's (RFF+ABO)."
)
@click.option("--importer", metavar="BN", help="Only about this importer; of nine digits, all its accounts.")
@click.option("--finding", metavar="CODE", help="Only with this finding; CAD-02 means all that begin so.")
@click.option("--since", type=Moment(), help="Received since then: a day, today, yesterday, 8:00, a moment.")
@click.option("--until", type=Moment(end=True), help="Received before then.")
@click.option("--verdict", type=click.Choice([str(v) for v in Verdict]))
@click.option("--state", type=click.Choice(["received", "working", "done", "parked"]))
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True)
@FORMAT
@LANGUAGE
def list_command(form: str, lang: str, **filters: Any) -> None:
    """List the partners' messages, newest first.

    Times are in Eastern Time. On a narrow terminal the columns that matter least are left out; ids, numbers and codes
    stay whole; --format json has all. Alerts about our answers go to standard error: an alert is an answer that its
    partner rejected by CONTRL, or was to acknowledge and did not in time.

    Exit code: 0, or 2 when there is no journal, it cannot be read, or there is no such partner.
    """
    settings, partner_id = from_environment(), filters["partner"]
    with open_journal(settings) as journal, journal.telling():
        rows = journal.list_messages(channel="partner", **filters)
        alerts = journal.unacknowledged(datetime.now(UTC), partner_id)
        if partner_id and not rows and not alerts:  # one that has left the file may still have messages
            known_partner(partner_id, load_partners(settings.partners))
        for alert in alerts:
            echo(_alert(alert).speak(lang), err=True)
        if form == "json":
            echo_json(rows, plain)
        else:
            print_table(fit(columns(lang), [_cells(row, lang) for row in rows]))


def columns(lang: str) -> list[Column]:
    """Return the columns of the list in a language; the zone of all times is in their heading."""
    titles = {**COLUMNS, "received": Bilingual("received (ET)", "reçu (HE)")}
    return [Column(title.speak(lang), RANKS.get(name, 0), name in FOLDS) for name, title in titles.items()]


def _cells(row: Mapping[str, Any], lang: str) -> list[str]:
    """Return what is listed of a message, by `columns`; times to the minute: `show` has the rest."""
    listed = dict(zip(COLUMNS, cells(row, lang), strict=True))
    return [*(listed | {"received": listed["received"][:MINUTE]}).values()]


def _alert(row: dict[str, Any]) -> Bilingual:
    """Return the line about an answer that its partner rejected, or did not acknowledge in time."""
    kind, id_, to, of = row["kind"], row["id"][:12], row["destination"], row["transmission"][:12]
    if row["acknowledgement"] == "awaited":
        at, hours = row["sent_at"], limits.ACKNOWLEDGEMENT_HOURS
        en, fr = (
            f"sent {eastern(at)}, no CONTRL in {hours} hours",
            f"envoyée {eastern(at, 'fr')}, sans CONTRL en {hours} h",
        )
    else:
        at = row["acknowledged_at"]
        en, fr = f"rejected by CONTRL {eastern(at)}", f"rejetée par CONTRL {eastern(at, 'fr')}"
    return Bilingual(
        f"ALERT: {kind} {id_} to {to}, answer to {of}: {en}", f"ALERTE : {kind} {id_} à {to}, réponse à {of} : {fr}"
    )
