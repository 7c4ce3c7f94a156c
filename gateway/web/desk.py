"""The operators' desk: its pages by address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from core.errors import BrokerUnavailable
from gateway.journal import Journal
from gateway.queues import DEAD_QUEUE, open_broker
from gateway.web import desk_deeds, desk_life, desk_list, desk_runs
from gateway.web.desk_running import Runs, progress
from gateway.web.desk_visit import Answering, Desk, step
from gateway.web.live import Counted, Watcher
from gateway.web.sessions import UserRole
from gateway.web.signin import Door
from gateway.web.site import Site, SitePart, language_of

# Address, what answers, and for a deed the role that it needs; what only looks is asked for by GET.
PAGES: Sequence[tuple[str, Answering]] = (
    ("/desk", desk_list.messages),
    ("/desk/messages.csv", desk_list.table),
    ("/desk/messages/{id}", desk_life.message),
    ("/desk/messages/{id}/body", desk_life.body),
    ("/desk/messages/{id}/answers/{answer}", desk_life.body),
    ("/desk/parked", desk_deeds.parked_list),
    ("/desk/destinations", desk_deeds.destinations),
    ("/desk/dead", desk_deeds.dead),
    ("/desk/messages/{id}/differences", desk_life.differences),
    ("/desk/runs", desk_runs.listed),
    ("/desk/runs/{number:int}", desk_runs.shown),
    ("/desk/runs/{number:int}/page", desk_runs.result),
)
ASKED: Sequence[tuple[str, Answering]] = (
    ("/desk/parked/{id}/release", desk_deeds.decide),
    ("/desk/parked/{id}/refuse", desk_deeds.decide),
    ("/desk/destinations/resume", desk_deeds.resume_asked),
    ("/desk/dead/{id}/requeue", desk_deeds.requeue_asked),
    ("/desk/runs/new", desk_runs.new),
)
DEEDS: Sequence[tuple[str, Answering, UserRole]] = (
    ("/desk/parked/{id}/release", desk_deeds.release, "act"),
    ("/desk/parked/{id}/refuse", desk_deeds.refuse, "act"),
    ("/desk/destinations/resume", desk_deeds.resume, "act"),
    ("/desk/dead/{id}/requeue", desk_deeds.requeue, "act"),
    ("/desk/runs/new", desk_runs.start, "act"),
    ("/desk/runs/{number:int}/stop", desk_runs.stop, "act"),
    ("/desk/sign-out", desk_deeds.sign_out, "look"),
)


def part(site: Site) -> SitePart:
    """Return the desk; raises GatewayError where there is no journal, or nobody could sign in."""
    journal = Journal.open(site.settings.database_url)
    journal.ready()

    def ask() -> tuple[int, Counted]:
        return journal.newest(), journal.counts(datetime.now(UTC))

    desk = Desk(site, journal, Door(site.access), Watcher(ask, lambda: _dead_letters(site)), Runs())
    routes: list[BaseRoute] = [Route(path, step(desk, act)) for path, act in PAGES]
    routes += [Route(path, step(desk, act, "act")) for path, act in ASKED]
    routes += [Route(path, step(desk, act, role), methods=["POST"]) for path, act, role in DEEDS]
    routes += [
        Route("/desk/live", _live(desk)),
        Route("/desk/runs/{number:int}/live", _live(desk)),
        *desk.door.routes(),
    ]

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        watching = asyncio.create_task(desk.watcher.run())
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
            desk.runs.close()
            journal.close()

    return SitePart(routes, running)


def _dead_letters(site: Site) -> int | None:
    """Return how many dead letters there are, None where the broker does not say."""
    try:
        with open_broker(site.settings.broker_url) as broker:
            return broker.depth(DEAD_QUEUE)
    except BrokerUnavailable:
        return None


def _live(desk: Desk) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of server-sent events."""

    async def live(request: Request) -> Response:
        session = desk.door.who(request)
        if session is None or desk.watcher.full:
            return PlainTextResponse("", 403 if session is None else 503)
        state, language = request.app.state, language_of(request)

        def lasts() -> bool:
            return desk.door.sessions.lasts(session) and not state.stopping()

        run = desk.runs.find(request.path_params["number"]) if "number" in request.path_params else None
        stream = progress(run, language, lasts) if run else desk.watcher.stream(language, lasts)
        return StreamingResponse(stream, media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    return live
