"""The server around the application: its socket, its limits, its end."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from core.errors import GatewayError
from core.findings import Bilingual
from gateway.logs import logger
from gateway.plans import Plans
from gateway.settings import Settings
from gateway.web.app import build
from gateway.web.guard import Rate
from gateway.web.site import NOBODY, Site, WaysIn

# Names that a browser on this machine knows us by; another is another machine's page that asks through its reader.
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

# Connections at one time, beyond which one is told to come again; how long one stays open between two requests.
CONNECTIONS = 512
KEEP_ALIVE_SECONDS = 15
STOP_SECONDS = 10
# How long the head of a request may take, from the connection or its first byte on: uvicorn itself waits for ever, and
# whoever opens CONNECTIONS and says nothing would keep everybody else out.
HEAD_SECONDS = 15


def serve(
    settings: Settings,
    plans: Plans,
    parts: tuple[str, ...],
    address: tuple[str, int],
    names: Sequence[str],
    rate: int,
    access: WaysIn = NOBODY,
    proxies: Sequence[str] = (),
    others: tuple[Path, ...] = (),
    told: Callable[[Bilingual], object] = lambda _: None,
) -> None:
    """Answer at an address until SIGTERM or SIGINT; raises OSError where it cannot listen, GatewayError.

    `proxies` are the addresses of those whose word on who asks, and how, is taken. `others` are specifications that the
    desk's what-if may judge by. `told` hears in a line each where to open it and the desk's one-time address, which
    is for nobody but the person at this terminal, and so in no log.
    """
    if "desk" in parts and not (access.users or access.openid):
        if not _is_loopback(address[0]) or proxies:
            raise GatewayError("the desk needs --users or --openid where others than this machine reach it")
        access = access._replace(ticket=secrets.token_urlsafe(32))
    app = build(Site(settings, plans, parts, access, others), [*LOOPBACK, address[0], *names], Rate(rate))
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.create_server(address, family=family, backlog=CONNECTIONS) as listening:
        host, port = listening.getsockname()[:2]
        opened = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        server = server_of(app, proxies)
        app.state.stopping = lambda: server.should_exit
        logger().info("serving", loop="web", kind=" ".join(parts), destination=f"{host}:{port}")
        told(Bilingual(f"open {opened} (Ctrl-C ends it)", f"ouvrez {opened} (Ctrl-C arrête)"))
        if access.ticket:
            desk = f"{opened}desk/enter?ticket={access.ticket}"
            told(Bilingual(f"open the desk, once: {desk}", f"ouvrez le bureau, une fois : {desk}"))
        for number in (signal.SIGTERM, signal.SIGINT):  # what the server was told it raises again once it has stopped
            signal.signal(number, lambda *_: None)
        server.run(sockets=[listening])


def server_of(app: Starlette, proxies: Sequence[str] = ()) -> uvicorn.Server:
    """Return the server of an application, with its limits; only `proxies` may say who asks."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=_Prompt,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS,
            proxy_headers=bool(proxies),
            forwarded_allow_ips=list(proxies),
            lifespan="on",
        )
    )


def _is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Prompt(H11Protocol):
    """Ends a connection on which the head of a request does not come in HEAD_SECONDS."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take what comes; wait for the rest of a head no longer than for all of it."""
        super().data_received(data)
        self._watch()

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            if self._late:
                self._late.cancel()
            self._late = None
        elif self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self.transport.close)
