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
from core.loading import load
from core.urls import mask, tls_files_of
from gateway import loops
from gateway.cli.partner import described
from gateway.cli.shared import DECLARE, folding_table, open_journal, print_table
from gateway.journal import Chosen, Journal
from gateway.plans import prepare
from gateway.queues import open_broker
from gateway.queues.rabbitmq import lacks
from gateway.queues.store import store_of
from gateway.settings import HOME, Settings, from_environment
from routing.partners import inbound_queue, load_partners

STYLES = {"well": "green", "soon": "bold yellow", "ILL": "bold red"}

# How long before the calendar ends doctor says so.
AHEAD = 12  # months


class Soon(NamedTuple):
    """What works today and will not for long."""

    detail: str


@click.command()
@click.option("--declare", is_flag=True, help="Make the queues, and the journal where there is none.")
def doctor(declare: bool) -> None:
    """Check the installation.

    Looked at are packages, specification and how far its calendar reaches, partners, broker and queues, journal.
    Looking makes no file of queue or journal; only --declare does. What is "soon" works today and will not for long.

    Exit code: 0 all well, 1 something is not, 2 bad usage.
    """
    settings = from_environment()
    table = folding_table("what", "state", "detail")
    ill = False
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
            state, detail = ("soon", found.detail) if isinstance(found, Soon) else ("well", found)
        except GatewayError as error:
            state, detail, ill = "ILL", str(error), True
        table.add_row(name, Text(state, STYLES[state]), Text(detail))
    print_table(table)
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
    packs = ", ".join(f"{pack.id} {pack.version} ({pack.statement.en})" for pack in plans.specs.packs)
    return f"{packs}; digest {plans.digest[:12]}"


def _examine_calendar(settings: Settings, _declare: bool) -> str | Soon:
    known, today = load(settings.specs).calendar.known_to, eastern_day(datetime.now(UTC))
    if add_months(today, AHEAD) <= known:
        return f"holidays are known through {known}"
    return Soon(
        f"holidays are known through {known} only: past that day no last day to account is known and late accounting is"
        f" not told; add the following years to {settings.specs / 'calendar/holidays.csv'}"
    )


def _examine_partners(settings: Settings, _declare: bool) -> str:
    loops.fit_partners(settings)
    return described(settings, settings.partners)


def _examine_broker(settings: Settings, declare: bool) -> str:
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
    told = f"{mask(settings.broker_url)}, {version}, {len(wanted)} queues"
    if channels is not None:
        told += f", {inbound} read on {min(inbound, channels)} channels of {channels}"
        if inbound > channels:
            told += ": some share one, and one that hangs holds up those that share with it"
    remark = lacks(version)
    return f"{told}; {remark}" if remark else told


def _examine_leavers(settings: Settings, _declare: bool) -> str:
    """Tell which partners have left and what they left: it would be nobody's otherwise."""
    partners = load_partners(settings.partners)
    journal = Journal.open(settings.database_url)
    if not journal.exists() or journal.unfit():
        return "not known without a journal"
    with open_journal(settings) as journal:
        gone = [name for name in journal.partners() if name not in partners]
        answers = {name: len(journal.open_answers(Chosen(partner=name), datetime.now(UTC))) for name in gone}
        requests = {name: len(journal.requests(Chosen(partner=name))) for name in gone}
        queues = {name: journal.answer_queues(name) for name in gone}
    if not gone:
        return "every partner on record is in the file"
    with open_broker(settings.broker_url) as broker:
        depths = broker.depths([*map(inbound_queue, gone), *(each for name in gone for each in queues[name])])
    told = [
        f"{name} ({depths[inbound_queue(name)] or 0} messages in its queue, {answers[name]} answers open,"
        f" {sum(depths[each] or 0 for each in queues[name])} not read, {requests[name]} requests not decided)"
        for name in gone
    ]
    return f"no longer in the file: {', '.join(told)}"


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


def _examine_journal(settings: Settings, declare: bool) -> str:
    _examine_tls(settings.database_url)
    journal = Journal.open(settings.database_url)
    if not journal.exists():
        if not declare:
            raise GatewayError(f"there is no journal at {mask(settings.database_url)}: {DECLARE}")
        journal.migrate()
    if fault := journal.unfit():
        raise GatewayError(fault)
    return journal.url
