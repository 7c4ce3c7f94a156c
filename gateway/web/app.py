"""The ASGI application: its parts, and what stands before them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from gateway import pages
from gateway.web.guard import Guard, Rate
from gateway.web.site import STATIC, Site, page


class SitePart(NamedTuple):
    """One part of the site: its routes, and what runs as long as it does."""

    routes: Sequence[BaseRoute]
    running: Callable[[], AsyncExitStack] | None = None


# How each part is made; the order is that of the navigation.
PARTS: Mapping[str, Callable[[Site], SitePart]] = {}


def build(site: Site, hosts: Sequence[str], rate: Rate) -> Starlette:
    """Return the application of a site's parts, answering to these host names only ("*" for any)."""
    parts = [PARTS[name](site) for name in site.parts]

    @asynccontextmanager
    async def running(_app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for part in parts:
                if part.running:
                    await stack.enter_async_context(part.running())
            yield

    app = Starlette(
        routes=[
            Route("/", home),
            Route("/static/style.css", style),
            Mount("/static", StaticFiles(directory=STATIC)),
            *(route for part in parts for route in part.routes),
        ],
        middleware=[Middleware(Guard, rate=rate), Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))],
        exception_handlers={HTTPException: refused, Exception: failed},
        lifespan=running,
    )
    app.state.site = site
    return app


def home(request: Request) -> Response:
    """Return the first page: what is here."""
    return page(request, "home.html")


def style(_request: Request) -> Response:
    """Return one style sheet for all pages: that of the pages which are files, and what the site adds."""
    sheet = "\n".join((pages.TEMPLATES / name).read_text("utf-8") for name in ("page.css", "web/site.css"))
    return Response(sheet, media_type="text/css", headers={"cache-control": "no-cache"})


async def refused(request: Request, error: Exception) -> Response:
    """Answer what cannot be answered: a page for people, one line for programs."""
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for it
    if "text/html" in request.headers.get("accept", ""):
        return page(request, "refused.html", code=error.status_code, status=error.status_code, reason=error.detail)
    return PlainTextResponse(f"{error.detail}\n", error.status_code, error.headers)


async def failed(_request: Request, _error: Exception) -> Response:
    """Answer what went wrong on our side in one line; the log has the rest."""
    return PlainTextResponse("something went wrong here; nothing was changed\n", 500)
