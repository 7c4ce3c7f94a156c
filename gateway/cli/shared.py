"""What the operators' commands share: who acts, which times are meant, the journal, files, and who a file is from."""

from __future__ import annotations

import getpass
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from rich.table import Table

from core.errors import GatewayError
from core.findings import Bilingual, Severity
from core.partner import Partner
from core.register import Facts
from core.transmission import Message, Parsed, Received
from core.urls import users_of
from gateway import pipeline
from gateway.cli.tables import WIDE
from gateway.cli.terminal import Console
from gateway.desk.moments import moment
from gateway.desk.trial import TABLES, Trial, made_up_partner
from gateway.plans import Plans
from gateway.settings import Settings
from routing.partners import load_partners

if TYPE_CHECKING:
    from gateway.journal import Journal

LANGUAGE = click.option(
    "--lang", type=click.Choice(["en", "fr"]), default="en", show_default=True, help="Of all that is told."
)
FORMAT = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
HTML = click.option(
    "--html", type=click.Path(dir_okay=False, path_type=Path), help="Write one self-contained page into this file."
)
OPERATOR = click.option(
    "--operator", metavar="NAME", default=lambda: _user(), help="Who does this, for the audit; without it the user."
)


class Seconds(click.FloatRange):
    """A time in seconds within bounds; nan, which compares with no bound, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds; fails with a usage error."""
        seconds: float = super().convert(value, param, ctx)
        if isnan(seconds):
            self.fail(f"{value!r} is no number of seconds.", param, ctx)
        return seconds


# How sure a row of the specification is, in words.
CONFIDENCES: Mapping[str, Bilingual] = {
    "high": Bilingual("high", "élevée"),
    "medium": Bilingual("medium", "moyenne"),
    "low": Bilingual("low", "faible"),
}
SEVERITIES: Mapping[Severity, Bilingual] = {
    Severity.REFUSE: Bilingual("refuse", "refus"),
    Severity.WARN: Bilingual("warn", "avis"),
}
# What stands for standard input among files.
STDIN = Path("-")

# What makes queues and tables.
DECLARE = "run `gateway doctor --declare` or `gateway serve`"

# Tables are cut to the terminal; in a file or a pipe they are as wide as a screen may be.
out = Console(width=None if sys.stdout.isatty() else 200)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's number without a name
        return "unknown"


class Moment(click.ParamType[datetime]):
    """A day (2026-11-23, today, yesterday) or a moment (2026-11-23T14:30, with or without zone; 14:30 is today's).

    Eastern Time where it has no zone; `end` makes a day mean its end.
    """

    name = "when"

    def __init__(self, *, end: bool = False) -> None:
        self._end = end

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the aware moment."""
        if isinstance(value, datetime):
            return value
        try:
            return moment(value, end=self._end)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a day (2026-11-23, today) or a moment (2026-11-23T14:30, 8:00)", param, ctx)


@contextmanager
def open_journal(settings: Settings, *, make: bool = False, otherwise: str = "") -> Iterator[Journal]:
    """Open the journal for a block.

    Raises GatewayError where there is none, unless it may be made, and where its schema is another version's;
    `otherwise` is what else was looked for in vain.
    """
    from gateway.journal import Journal  # its library takes longer than to judge a file, for which no journal is asked

    journal = Journal.open(settings.database_url)
    try:
        journal.ready(make=make, otherwise=otherwise)
        yield journal
    finally:
        journal.close()


def files_in(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the files, and those in the folders by name; raises GatewayError for a folder without any.

    Of a folder neither what is hidden is read, nor tables of expectations, which are no messages.
    """
    for path in paths:
        if path == STDIN or not path.is_dir():
            yield path
            continue
        inside = sorted(each for each in path.rglob("*") if each.is_file() and _is_message(each.relative_to(path)))
        if not inside:
            raise GatewayError(f"{path}: there is no message in this folder")
        yield from inside


def _is_message(path: Path) -> bool:
    return path.name not in TABLES and not any(part.startswith(".") for part in path.parts)


def read_file(path: Path) -> bytes:
    """Return a file's bytes, or those of standard input; raises GatewayError, one line."""
    try:
        return sys.stdin.buffer.read() if path == STDIN else path.read_bytes()
    except OSError as error:
        raise GatewayError(f"{path}: {error.strerror}") from error


def known_partner(id_: str, partners: Mapping[str, Partner]) -> Partner:
    """Return the partner of an id; raises GatewayError, naming those there are, for one that is not there."""
    if id_ not in partners:
        raise GatewayError(f"there is no partner {id_!r}; known: {', '.join(sorted(partners))}")
    return partners[id_]


def check_login(url: str, partner: Partner) -> None:
    """Raise GatewayError where the broker's URL logs in as somebody else than the partner: all would be refused."""
    for user in users_of(url) - {partner.user}:
        who = user or "guest (the URL names no user)"
        raise GatewayError(
            f"you are logged in as {who}; {partner.id}'s messages must come from the user {partner.user}:"
            " see docs/operations.md, Set up RabbitMQ"
        )


def named_partner(messages: Sequence[Message], partners: Iterable[Partner]) -> Partner:
    """Return the partner that the first envelope names, else one made up for it, whose authority is not in question."""
    sender = messages[0].envelope.sender
    return next((partner for partner in partners if sender in partner.envelopes), None) or made_up_partner(messages)


class Filed(NamedTuple):
    """A file read, with the facts to judge it on; `identified` tells whether its sender is a registered partner."""

    path: Path
    parsed: Parsed
    facts: Facts
    trial: Trial
    identified: bool


def files_with_facts(
    paths: Iterable[Path], settings: Settings, plans: Plans, partner_id: str | None
) -> Iterator[Filed]:
    """Yield each file read, with the facts to judge it on: what was accepted before it (see `Trial.facts`)."""
    partners = load_partners(settings.partners)
    sender = known_partner(partner_id, partners) if partner_id else None
    trial = Trial(plans, datetime.now(UTC))
    for path in list(files_in(paths)):
        parsed = pipeline.parse(Received(uuid.uuid4().hex, partner_id, read_file(path), trial.now), plans)
        partner = sender or named_partner(parsed.messages, partners.values())
        yield Filed(path, parsed, trial.facts(parsed, partner), trial, partner in partners.values())


def saying(lang: str) -> Callable[[str, str], str]:
    """Return what chooses between English and French."""
    return lambda en, fr: fr if lang == "fr" else en


def plain(value: Any) -> str:
    """Return what JSON has no form for as text; times in ISO 8601 with their offset."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="backslashreplace")
    return value.isoformat() if isinstance(value, date) else str(value)


def print_table(table: Table) -> None:
    """Print a table as wide as the terminal, or, where there is none, wide enough for whole rows."""
    Console(width=None if Console().is_terminal else WIDE).print(table)
