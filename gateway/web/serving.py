"""The server around the application: its socket, its limits, its end."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import uvicorn

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


def serve(
    settings: Settings, plans: Plans, parts: tuple[str, ...], address: tuple[str, int], names: Sequence[str], rate: int
) -> None:
    """Answer at an address until SIGTERM or SIGINT; raises OSError where it cannot listen, GatewayError."""
    app = build(Site(settings, plans, parts), [*LOOPBACK, address[0], *names], Rate(rate))
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.create_server(address, family=family, backlog=CONNECTIONS) as listening:
        host, port = listening.getsockname()[:2]
        server = uvicorn.Server(
            uvicorn.Config(
                app,
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
        logger().info("serving", loop="web", parts=" ".join(parts), address=f"http://{host}:{port}/")
        server.run(sockets=[listening])
