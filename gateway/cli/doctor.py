"""`gateway doctor`: packages, specification, partners, broker and journal examined."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import click
from rich.text import Text

from core.calendar import add_months, eastern_day
from core.errors import GatewayError
from core.findings import Bilingual
from core.loading import load
from core.urls import mask, tls_files_of
from gateway import loops
from gateway.cli.partner import described
from gateway.cli.shared import DECLARE, LANGUAGE, open_journal, print_table, saying
from gateway.cli.tables import Titled, fit_in
from gateway.journal import Chosen, Journal
from gateway.plans import prepare
from gateway.queues import open_broker
from gateway.queues.rabbitmq import lacks
from gateway.queues.store import store_of
from gateway.settings import HOME, Settings, from_environment
from routing.partners import inbound_queue, load_partners

LISTED = (Titled("what", "quoi"), Titled("state", "état"), Titled("detail", "détail", folds=True))

STYLES = {"well": "green", "soon": "bold yellow", "ILL": "bold red"}

# What is looked at, and how it stands, in French.
FRENCH = {
    "packages": "modules", "specification": "spécification", "calendar": "calendrier", "partners": "partenaires",
    "broker": "serveur de files", "journal": "journal", "leavers": "partis",
    "well": "en ordre", "soon": "bientôt", "ILL": "EN FAUTE",
}  # fmt: skip

# How long before the calendar ends doctor says so.
AHEAD = 12  # months


class Soon(NamedTuple):
    """What works today and will not for long."""

    detail: Bilingual


@click.command()
@click.option("--declare", is_flag=True, help="Make the queues, and the journal where there is none.")
@LANGUAGE
def doctor(declare: bool, lang: str) -> None:
    """Check the installation.

    Looked at are packages, specification and how far its calendar reaches, partners, broker and queues, journal.
    Looking makes no file of queue or journal; only --declare does. What is "soon" works today and will not for long.
    What is wrong is told in English, as in the log.

    Exit code: 0 all well, 1 something is not, 2 bad usage.
    """
    settings = from_environment()
    say, rows, ill = saying(lang), [], False
    for name, examine in (
        ("packages", _examine_packages),
        ("specification", _examine_specs),
        ("calendar", _examine_calendar),
        ("partners", _examine_partners),
        ("broker", _examine_broker),
        ("journal", _examine_journal),
        ("leavers", _examine_leavers),
    ):
        try:
            found = examine(settings, declare)
            state, told = ("soon", found.detail) if isinstance(found, Soon) else ("well", found)
            detail = told.speak(lang)
        except GatewayError as error:
            state, detail, ill = "ILL", str(error), True
        rows.append((say(name, FRENCH[name]), Text(say(state, FRENCH[state]), STYLES[state]), detail))
    print_table(fit_in(lang, LISTED, rows))
    sys.exit(1 if ill else 0)


def _examine_packages(_settings: Settings, _declare: bool) -> Bilingual:
    import responses
    import validators

    for package in (responses, validators):
        if Path(package.__file__ or "").resolve().parent.parent != HOME:
            raise GatewayError(f"{package.__name__} is another project's: {package.__file__}; use a .venv of its own")
    return Bilingual(str(HOME), str(HOME))


def _examine_specs(settings: Settings, _declare: bool) -> Bilingual:
    plans = prepare(settings.specs)
    en, fr = (
        ", ".join(f"{pack.id} {pack.version} ({pack.statement.speak(lang)})" for pack in plans.specs.packs)
        for lang in ("en", "fr")
    )
    return Bilingual(f"{en}; digest {plans.digest[:12]}", f"{fr}; empreinte {plans.digest[:12]}")


def _examine_calendar(settings: Settings, _declare: bool) -> Bilingual | Soon:
    known, today = load(settings.specs).calendar.known_to, eastern_day(datetime.now(UTC))
    if add_months(today, AHEAD) <= known:
        return Bilingual(f"holidays are known through {known}", f"jours fériés connus jusqu'au {known}")
    table = settings.specs / "calendar/holidays.csv"
    return Soon(
        Bilingual(
            f"holidays are known through {known} only: past that day no last day to account is known and late"
            f" accounting is not told; add the following years to {table}",
            f"jours fériés connus jusqu'au {known} seulement : au-delà, aucun dernier jour pour la déclaration en"
            f" détail n'est connu et les retards ne sont pas signalés; ajoutez les années suivantes à {table}",
        )
    )


def _examine_partners(settings: Settings, _declare: bool) -> Bilingual:
    loops.fit_partners(settings)
    return Bilingual(*(described(settings, settings.partners, lang) for lang in ("en", "fr")))


def _examine_broker(settings: Settings, declare: bool) -> Bilingual:
    wanted = loops.queue_names(settings)
    if not declare and settings.broker_url.startswith("sqlite:") and not store_of(settings.broker_url).path.exists():
        raise GatewayError(f"there is no queue at {mask(settings.broker_url)}: {DECLARE}")
    _examine_file(settings.broker_url)
    _examine_tls(settings.broker_url)
    with open_broker(settings.broker_url) as broker:
        version = broker.version()
        if declare:
            broker.declare(wanted)
        if missing := broker.missing(wanted):
            lacking = ", ".join(missing)
            raise GatewayError(f"{mask(settings.broker_url)} lacks {lacking}: {DECLARE}")
        channels = broker.channels()
    inbound = sum(name.startswith("in.") for name in wanted) + 1  # and the results'
    en = f"{mask(settings.broker_url)}, {version}, {len(wanted)} queues"
    fr = f"{mask(settings.broker_url)}, {version}, files : {len(wanted)}"
    if channels is not None:
        en += f", {inbound} read on {min(inbound, channels)} channels of {channels}"
        fr += f", dont {inbound} lues sur {min(inbound, channels)} canaux de {channels}"
        if inbound > channels:
            en += ": some share one, and one that hangs holds up those that share with it"
            fr += " : certaines en partagent un, et celle qui bloque retient celles qui le partagent"
    remark = lacks(version)
    return Bilingual(f"{en}; {remark}", f"{fr}; {remark}") if remark else Bilingual(en, fr)


def _examine_leavers(settings: Settings, _declare: bool) -> Bilingual:
    """Tell which partners have left and what they left: it would be nobody's otherwise."""
    partners = load_partners(settings.partners)
    journal = Journal.open(settings.database_url)
    if not journal.exists() or journal.unfit():
        return Bilingual("not known without a journal", "inconnu sans journal")
    with open_journal(settings) as journal:
        gone = [name for name in journal.partners() if name not in partners]
        answers = {name: len(journal.open_answers(Chosen(partner=name), datetime.now(UTC))) for name in gone}
        requests = {name: len(journal.requests(Chosen(partner=name))) for name in gone}
        queues = {name: journal.answer_queues(name) for name in gone}
    if not gone:
        return Bilingual(
            "every partner on record is in the file", "chaque partenaire au dossier figure dans le fichier"
        )
    with open_broker(settings.broker_url) as broker:
        depths = broker.depths([*map(inbound_queue, gone), *(each for name in gone for each in queues[name])])
    en, fr = [], []
    for name in gone:
        sent, unread = depths[inbound_queue(name)] or 0, sum(depths[each] or 0 for each in queues[name])
        en.append(
            f"{name} ({sent} messages in its queue, {answers[name]} answers open, {unread} not read,"
            f" {requests[name]} requests not decided)"
        )
        fr.append(
            f"{name} (dans sa file : {sent}, réponses ouvertes : {answers[name]}, non lues : {unread}, demandes sans"
            f" décision : {requests[name]})"
        )
    return Bilingual(f"no longer in the file: {', '.join(en)}", f"absents du fichier : {', '.join(fr)}")


def _examine_file(url: str) -> None:
    """Raise GatewayError where the embedded queue's file or folder cannot be written."""
    if url.startswith("sqlite:"):
        path = store_of(url).path
        for each in (path, path.parent):
            if each.exists() and not os.access(each, os.W_OK):
                raise GatewayError(f"{each} cannot be written")


def _examine_tls(url: str) -> None:
    """Raise GatewayError for a file of TLS that the URL names and nobody can read: a connection tells less of it."""
    for option, name in tls_files_of(url):
        try:
            Path(name).read_bytes()
        except OSError as error:
            raise GatewayError(f"{mask(url)}: {option}: {name}: {error.strerror}") from error


def _examine_journal(settings: Settings, declare: bool) -> Bilingual:
    _examine_tls(settings.database_url)
    journal = Journal.open(settings.database_url)
    if not journal.exists():
        if not declare:
            raise GatewayError(f"there is no journal at {mask(settings.database_url)}: {DECLARE}")
        journal.migrate()
    if fault := journal.unfit():
        raise GatewayError(fault)
    return Bilingual(journal.url, journal.url)
