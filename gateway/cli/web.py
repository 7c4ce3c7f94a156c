"""`gateway web`: the trial page, the API and the operators' desk over HTTP."""

from __future__ import annotations

import click

from core.errors import GatewayError
from gateway import logs
from gateway.plans import prepare
from gateway.settings import from_environment

PORT = 8480


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
def web_command(
    trial: bool, exchange: bool, desk: bool, host: str, port: int, names: tuple[str, ...], rate: int
) -> None:
    """Answer over HTTP: trial page, partners' exchange, desk.

    Without a choice of parts it is the trial page. TLS is the proxy's in front of it.

    Exit code: 0 stopped in order, 2 cannot start.
    """
    from gateway.web import serving

    settings = from_environment()
    logs.configure(settings.log, waiting=False)
    chosen = {"trial": trial, "exchange": exchange, "desk": desk}
    parts = tuple(name for name, wanted in chosen.items() if wanted) or ("trial",)
    try:
        serving.serve(settings, prepare(settings.specs), parts, (host, port), names, rate)
    except OSError as error:
        raise GatewayError(f"cannot answer at {host}:{port}: {error.strerror}") from error
