"""`gateway doctor`: packages, specification, partners, broker and journal examined."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
from rich.text import Text

from core.errors import GatewayError
from gateway import supervisor
from gateway.cli.shared import DECLARE, folding_table, print_table
from gateway.journal import Journal
from gateway.plans import prepare
from gateway.queues import mask, open_broker
from gateway.queues.store import store_of
from gateway.settings import HOME, Settings, from_environment
from routing.partners import load_partners


@click.command()
@click.option("--declare", is_flag=True, help="Make the queues, and the journal where there is none.")
def doctor(declare: bool) -> None:
    """Check the installation.

    Looked at are packages, specification, partners, broker and queues, journal. Looking makes no file of queue or
    journal; only --declare does.

    Exit code: 0 all well, 1 something is not, 2 bad usage.
    """
    settings = from_environment()
    table = folding_table("what", "state", "detail")
    ill = False
    for name, examine in (
        ("packages", _examine_packages),
        ("specification", _examine_specs),
        ("partners", _examine_partners),
        ("broker", _examine_broker),
        ("journal", _examine_journal),
    ):
        try:
            state, detail = "well", examine(settings, declare)
        except GatewayError as error:
            state, detail, ill = "ILL", str(error), True
        table.add_row(name, Text(state, "green" if state == "well" else "bold red"), Text(detail))
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
    packs = ", ".join(f"{pack.id} {pack.version} ({pack.statement})" for pack in plans.specs.packs)
    return f"{packs}; digest {plans.digest[:12]}"


def _examine_partners(settings: Settings, _declare: bool) -> str:
    return f"{len(load_partners(settings.partners))} in {settings.partners}"


def _examine_broker(settings: Settings, declare: bool) -> str:
    wanted = supervisor.queue_names(settings)
    if not declare and settings.broker_url.startswith("sqlite:") and not store_of(settings.broker_url).path.exists():
        raise GatewayError(f"there is no queue at {mask(settings.broker_url)}: {DECLARE}")
    _examine_file(settings.broker_url)
    with open_broker(settings.broker_url) as broker:
        broker.ping()
        if declare:
            broker.declare(wanted)
        if missing := broker.missing(wanted):
            lacking = ", ".join(missing)
            raise GatewayError(f"{mask(settings.broker_url)} lacks {lacking}: {DECLARE}")
        channels = broker.channels()
    inbound = sum(name.startswith("in.") for name in wanted) + 1  # and the results'
    told = f"{mask(settings.broker_url)}, {len(wanted)} queues"
    if channels is None:
        return told
    sharing = "" if inbound <= channels else ": some share one, and one that hangs holds up those that share with it"
    return f"{told}, {inbound} read on {min(inbound, channels)} channels of {channels}{sharing}"


def _examine_file(url: str) -> None:
    """Raise GatewayError where the embedded queue's file or folder cannot be written."""
    if url.startswith("sqlite:"):
        path = store_of(url).path
        for each in (path, path.parent):
            if each.exists() and not os.access(each, os.W_OK):
                raise GatewayError(f"{each} cannot be written")


def _examine_journal(settings: Settings, declare: bool) -> str:
    journal = Journal.open(settings.database_url)
    if journal.exists():
        journal.check_schema()
    elif declare:
        journal.migrate()
    else:
        raise GatewayError(f"there is no journal at {mask(settings.database_url)}: {DECLARE}")
    journal.check()
    return journal.url
