"""The ASGI application: its parts, and what stands before them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from core.findings import Bilingual
from gateway import pages
from gateway.web import desk, exchange, openapi, trial
from gateway.web.guard import SENT, Guard, Rate
from gateway.web.site import STATIC, NotDone, Site, SitePart, page, refusal

FAILED = Bilingual("something went wrong here; nothing was changed", "quelque chose a échoué ici; rien n'a été modifié")

NOTHING = Bilingual("there is nothing at this address", "il n'y a rien à cette adresse")

# How each part is made; the order is that of the navigation.
PARTS: Mapping[str, Callable[[Site], SitePart]] = {
    "trial": trial.part,
    "exchange": exchange.part,
    "desk": desk.part,
}


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
            *openapi.routes(site),
            *(route for part in parts for route in part.routes),
        ],
        middleware=[
            Middleware(Guard, rate=rate, counted=[path for part in parts for path in part.counted]),
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts)),
        ],
        exception_handlers={HTTPException: refused, Exception: failed},
        lifespan=running,
    )
    app.state.site = site
    app.state.stopping = lambda: False  # whoever serves it knows: what streams ends then
    return app


def home(request: Request) -> Response:
    """Return the first page: what is here."""
    return page(request, "home.html")


def style(_request: Request) -> Response:
    """Return one style sheet for all pages: that of the pages which are files, and what the site adds."""
    sheet = "\n".join((pages.TEMPLATES / name).read_text("utf-8") for name in ("page.css", "web/site.css"))
    return Response(sheet, media_type="text/css", headers={"cache-control": "no-cache"})


async def refused(request: Request, error: Exception) -> Response:
    """Answer what cannot be answered."""
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for it
    said = error.said if isinstance(error, NotDone) else error.detail
    if said == HTTPStatus.NOT_FOUND.phrase:  # the framework's own word
        said = NOTHING
    return refusal(request, error.status_code, said, error.headers)


async def failed(request: Request, _error: Exception) -> Response:
    """Answer what went wrong on our side in one line; the log has the rest.

    Starlette does this before all that stands before the parts, so the guard's headers are put here.
    """
    return refusal(request, 500, FAILED, SENT)
