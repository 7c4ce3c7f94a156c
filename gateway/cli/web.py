"""`gateway web`: the trial page, the API and the operators' desk over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from core.errors import GatewayError
from gateway import logs
from gateway.cli.shared import LANGUAGE, saying
from gateway.cli.terminal import echo
from gateway.plans import prepare
from gateway.settings import from_environment

PORT = 8480
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(name="web")
@click.option("--trial", is_flag=True, help="The page where the trade tries messages, and the API of checks.")
@click.option("--exchange", is_flag=True, help="Partners send and take their answers over HTTP.")
@click.option("--desk", is_flag=True, help="The operators' desk.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", type=click.IntRange(0, 65_535), default=PORT, show_default=True)
@click.option("--name", "names", multiple=True, metavar="HOST", help="A name that browsers know this site by.")
@click.option(
    "--rate", type=click.IntRange(1, 100_000), default=120, show_default=True, help="Posts a minute a client."
)
@click.option("--users", type=FILE, help="The desk's users: a row each, as `gateway web-user` prints it.")
@click.option("--openid", type=FILE, help="The provider that signs the desk's users in: see docs/web-desk.md.")
@click.option("--what-if", "others", multiple=True, type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="A folder with another specification, which the desk's what-if may judge by.")  # fmt: skip
@click.option("--behind-proxy", "proxies", multiple=True, metavar="ADDRESS", help="A proxy whose X-Forwarded-For and"
              " X-Forwarded-Proto are believed.")  # fmt: skip
@LANGUAGE
def web_command(
    trial: bool,
    exchange: bool,
    desk: bool,
    host: str,
    port: int,
    names: tuple[str, ...],
    rate: int,
    users: Path | None,
    openid: Path | None,
    proxies: tuple[str, ...],
    others: tuple[Path, ...],
    lang: str,
) -> None:
    """Answer over HTTP: trial page, partners' exchange, desk.

    Without a choice of parts it is the trial page. TLS is the proxy's in front of it. On this machine's own address the
    desk needs neither users nor provider: it prints an address that lets in once, whoever opens it first.

    Exit code: 0 stopped in order, 2 cannot start.
    """
    from gateway.web import serving
    from gateway.web.site import WaysIn

    settings = from_environment()
    for root in others:  # one that cannot be read is told now, not to the operator who asks what if
        prepare(root)
    logs.configure(settings.log, waiting=False)
    chosen = {"trial": trial, "exchange": exchange, "desk": desk}
    parts = tuple(name for name, wanted in chosen.items() if wanted) or ("trial",)
    try:
        serving.serve(
            settings, prepare(settings.specs), parts, (host, port), names, rate, WaysIn(users, openid), proxies, others,
            lambda said: echo(said.speak(lang)),
        )  # fmt: skip
    except OSError as error:
        raise GatewayError(f"cannot answer at {host}:{port}: {error.strerror}") from error


@click.command(name="web-user")
@click.argument("name")
@click.option("--role", type=click.Choice(["look", "act"]), default="look", show_default=True)
@click.option("--password", help="Without it you are asked, which is better.")
@LANGUAGE
def web_user(name: str, role: Literal["look", "act"], password: str | None, lang: str) -> None:
    """Print the row of a user of the desk.

    Put it into the file that `gateway web --users` names; the password is in it as an argon2 hash only.

    Exit code: 0, or 2 for a name or password that cannot be.
    """
    from gateway.web.users import row_of

    if password is None:
        say = saying(lang)
        again = say("Repeat for confirmation", "Répétez pour confirmer")
        password = click.prompt(say("Password", "Mot de passe"), hide_input=True, confirmation_prompt=again)
    echo(row_of(name, password, role))
