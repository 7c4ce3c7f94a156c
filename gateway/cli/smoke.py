"""`gateway smoke`: tells whether a gateway is healthy, or, as customs, whether a partner's system is fit."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.text import Text

from core.errors import GatewayError
from core.findings import Bilingual
from core.partner import ACCOUNT_SECURITY_DIGITS, Partner
from core.urls import mask
from gateway import logs
from gateway.bells import stop_signals
from gateway.cli.reports import program, verified
from gateway.cli.shared import LANGUAGE, Seconds, check_login, known_partner
from gateway.cli.terminal import Console
from gateway.plans import Plans, prepare
from gateway.queues import open_broker
from gateway.settings import Settings, from_environment
from gateway.trade import smoke_attend, smoke_broker
from gateway.trade.scenario import KIT, Scenario, load_scenario
from gateway.trade.smoke import (
    START_SECONDS,
    JudgedBy,
    Result,
    blank,
    digest,
    folder,
    gateway_of_our_own,
    process,
    words,
)
from gateway.trade.smoke_report import table, write_html, write_junit
from routing.partners import inbound_queue, load_partners

KEY = click.Path(exists=True, dir_okay=False, path_type=Path)
WAIT = "As customs: end after so many seconds in which nothing comes and nothing is read."


@click.command()
@click.option(
    "--broker", "url", metavar="URL", envvar="GATEWAY_SMOKE_BROKER_URL", help="Where the queues are; else our own."
)
@click.option("--as", "partner_id", metavar="PARTNER", help="Whose queues are used; needed with --broker.")
@click.option("--role", type=click.Choice(["broker", "customs"]), default="broker", show_default=True)
@click.option("--scenario", "path", type=click.Path(path_type=Path), default=KIT, help="Another scenario than the kit.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write an HTML report, both languages.")
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write JUnit XML.")
@click.option("--many", type=click.IntRange(1, 100_000), help="How many messages the volume is; else as the scenario.")
@click.option("--account", help="Transaction numbers begin with it: five digits; without it a number of the partner's.")
@click.option("--wait", type=Seconds(0.5, 604_800), default=600.0, show_default=True, help=WAIT)
@click.option("--organization", default="", metavar="NAME", help="Who carries this out, as the report names it.")
@click.option(
    "--not-applicable", "without", multiple=True, metavar="TYPE", help="A CAD type that the partner does not file."
)
@click.option("--sign", type=KEY, metavar="KEY", help="Sign the report with an Ed25519 private key (PEM).")
@LANGUAGE
@click.option("--verify", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Check a report.")
@click.option("--public-key", type=KEY, metavar="KEY", help="With --verify: who must have signed it (PEM).")
def smoke(
    url: str | None,
    partner_id: str | None,
    role: str,
    path: Path,
    report: Path | None,
    junit: Path | None,
    many: int | None,
    account: str | None,
    wait: float,
    organization: str,
    without: tuple[str, ...],
    sign: Path | None,
    lang: str,
    verify: Path | None,
    public_key: Path | None,
) -> None:
    """Play the conformance kit, as broker or as customs.

    As the broker it tests a gateway: it sends test messages through the partner's queue and compares every answer with
    the scenario. As customs it tests a partner's system: it waits at the partner's queue, answers as production would,
    and says what is still missing; no other gateway may read that queue meanwhile, and nothing reaches an assessment
    engine.

    On RabbitMQ the broker's role logs in as the partner's own user, for what comes from another is refused; customs
    as the gateway's, which reads the partner's queue and writes to its answer queue.

    --verify makes the report's page again from its results and compares it whole; --public-key also tells who signed.

    Without --broker it starts an embedded gateway of its own (as customs: a partner, which is our own sender).

    Ctrl-C ends it: as customs with the score as it stands.

    Exit code: 0 passed, 1 failed, 2 could not run (or, as the broker, interrupted).
    """
    if verify:
        sys.exit(verified(verify, public_key, lang))
    settings = from_environment()
    partner = _partner(settings, partner_id, url, role)
    account = _account(account, partner)
    if url and role == "broker":
        open_broker(url).close()  # a URL that is none is told first
        check_login(url, partner)
    scenario = load_scenario(path, many)
    plans = prepare(settings.specs)
    started = datetime.now(UTC)
    logs.configure(settings.log, logging.ERROR)  # as customs the service runs in this process: its news are ours
    result = _blank(role, partner, url, scenario, plans, started)
    result.organization, result.stages = organization, blank(scenario, without)
    # soft_wrap: lines of progress are read by programs, too.
    told = Console(soft_wrap=True)

    def say(text: Bilingual) -> None:
        told.print(text.speak(lang))

    def keep() -> None:
        result.ended = datetime.now(UTC).isoformat()
        if report:
            write_html(result, report, sign)
        if junit:
            write_junit(result, junit)

    keep()  # a file that cannot be written is told before the run, not after
    with stop_signals() as stopping:
        if role == "broker":
            # The table has every step: progress is for who waits at a terminal, and gone when the table comes.
            with (
                _gateway(settings, url, stopping) as used,
                open_broker(used.broker_url) as broker,
                told.status("") as progress,
            ):
                smoke_broker.play(
                    scenario,
                    broker,
                    partner,
                    plans,
                    result,
                    account=account,
                    started=started,
                    say=lambda text: progress.update(Text(text.speak(lang), no_wrap=True, overflow="ellipsis")),
                    grace=0.0 if url else START_SECONDS,
                    stopping=stopping,
                )
        else:
            with (
                folder() as home,
                _partners_side(settings, url, partner, path, many, home) as (used, gone),
                open_broker(used.broker_url) as broker,
            ):
                smoke_attend.attend(
                    scenario, broker, partner, plans, result,
                    home=home, patience=wait, say=say, changed=keep, gone=gone, stopping=stopping,
                )  # fmt: skip
    keep()
    _close(result, Console(width=None if sys.stdout.isatty() else 140), lang)
    sys.exit(0 if result.passed else 1)


def _account(given: str | None, partner: Partner) -> str:
    """Return what transaction numbers begin with; raises GatewayError for what no number can begin with."""
    account = given or partner.account or "12345"
    if not (account.isascii() and account.isdigit() and len(account) == ACCOUNT_SECURITY_DIGITS):
        raise GatewayError(f"an account security number has five digits, not {account!r}")
    return account


def _partner(settings: Settings, partner_id: str | None, url: str | None, role: str) -> Partner:
    """Return the partner to be or to wait for, which may send tests: all messages are; raises GatewayError."""
    partners = load_partners(settings.partners)
    if partner_id is None and url is not None:
        raise GatewayError("--as PARTNER is needed with --broker: that partner's answers are read from its queue")
    partner = next(iter(partners.values())) if partner_id is None else known_partner(partner_id, partners)
    if role == "broker" and not url and not partner.agreement.tests:
        raise GatewayError(f"{settings.partners}: test messages of {partner.id} are not taken: it needs `tests = true`")
    return replace(partner, agreement=replace(partner.agreement, tests=True))


def _blank(role: str, partner: Partner, url: str | None, scenario: Scenario, plans: Plans, started: datetime) -> Result:
    return Result(
        role="customs" if role == "customs" else "broker",
        partner=partner.id,
        partner_name=partner.name,
        broker=mask(url) if url else "embedded",
        title=scenario.title,
        kit=scenario.digest,
        specification=plans.digest,
        program=program(),
        started=started.isoformat(),
        language="fr" if partner.language == "fr" else "en",
        judged_by=[JudgedBy(pack.key, words(pack.statement)) for pack in plans.specs.packs],
        stages=[],
    )


@contextmanager
def _gateway(settings: Settings, url: str | None, stopping: Callable[[], bool]) -> Iterator[Settings]:
    """Give the gateway to be tested: the one at the URL, else one of our own."""
    if url:
        yield replace(settings, broker_url=url)
        return
    with gateway_of_our_own(settings, stopping) as own:
        yield own


@contextmanager
def _partners_side(
    settings: Settings, url: str | None, partner: Partner, path: Path, many: int | None, home: Path
) -> Iterator[tuple[Settings, Callable[[], bool]]]:
    """Give the queue at which a partner's system is waited for; without a URL our own sender is that partner."""
    if url:
        yield replace(settings, broker_url=url), lambda: False
        return
    own = replace(settings, broker_url=f"sqlite:///{home}/queue.db", database_url=f"sqlite:///{home}/unused.sqlite3")
    with open_broker(own.broker_url) as broker:
        broker.declare([inbound_queue(partner.id), partner.answer_queue])
    command = [
        sys.executable, "-m", "gateway", "smoke", "--broker", own.broker_url, "--as", partner.id,
        "--scenario", str(path.resolve()), *(["--many", str(many)] if many else []),
    ]  # fmt: skip
    with process(command, own, home / "partner.log") as sender:
        yield own, lambda: sender.poll() is not None


def _close(result: Result, told: Console, lang: str) -> None:
    """Print the table, the verdict and the digest."""
    told.print(table(result, lang))
    french, failed = lang == "fr", result.failed_stage
    if failed is None:
        told.print("\nréussi" if french else "\npassed", style="bold green")
    else:
        stage = result.stages[failed - 1].title.speak(lang)
        at = f"échec au palier {failed}" if french else f"failed at stage {failed}"
        told.print(f"\n{at}: {stage}", style="bold red")
    told.print(f"{'empreinte' if french else 'digest'} {digest(result)}")
