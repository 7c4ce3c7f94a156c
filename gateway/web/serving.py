"""The server around the application: its socket, its limits, its end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.logs import logger
from gateway.plans import Plans
from gateway.settings import Settings
from gateway.web.app import build
from gateway.web.guard import Rate
from gateway.web.site import Site

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
    told: Callable[[str], object] = lambda _: None,
) -> None:
    """Answer at an address until SIGTERM or SIGINT; `told` hears in a line where; raises OSError, GatewayError."""
    app = build(Site(settings, plans, parts), [*LOOPBACK, address[0], *names], Rate(rate))
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.create_server(address, family=family, backlog=CONNECTIONS) as listening:
        host, port = listening.getsockname()[:2]
        logger().info("serving", loop="web", kind=" ".join(parts), destination=f"{host}:{port}")
        told(f"open http://{f'[{host}]' if ':' in host else host}:{port}/ (Ctrl-C ends it)")
        server_of(app).run(sockets=[listening])


def server_of(app: Starlette) -> uvicorn.Server:
    """Return the server of an application, with its limits."""
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
            proxy_headers=False,
            lifespan="on",
        )
    )


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
