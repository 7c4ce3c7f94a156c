"""The operators' desk: its pages by address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from core.errors import BrokerUnavailable
from gateway.journal import Journal
from gateway.queues import DEAD_QUEUE, open_broker
from gateway.web import desk_deeds, desk_life, desk_list
from gateway.web.desk_visit import Desk, Step, step
from gateway.web.live import Watcher
from gateway.web.sessions import Role
from gateway.web.signin import Door
from gateway.web.site import Site, language_of

# Address, what answers, and for a deed the role that it needs; what only looks is asked for by GET.
PAGES: Sequence[tuple[str, Step]] = (
    ("/desk", desk_list.messages),
    ("/desk/messages.csv", desk_list.table),
    ("/desk/messages/{id}", desk_life.message),
    ("/desk/messages/{id}/body", desk_life.body),
    ("/desk/messages/{id}/answers/{answer}", desk_life.body),
    ("/desk/parked", desk_deeds.parked_list),
    ("/desk/destinations", desk_deeds.destinations),
    ("/desk/dead", desk_deeds.dead),
)
ASKED: Sequence[tuple[str, Step]] = (
    ("/desk/parked/{id}/{deed:deed}", desk_deeds.decide),
    ("/desk/destinations/resume", desk_deeds.resume_asked),
    ("/desk/dead/{id}/requeue", desk_deeds.requeue_asked),
)
DEEDS: Sequence[tuple[str, Step, Role]] = (
    ("/desk/parked/{id}/release", desk_deeds.release, "act"),
    ("/desk/parked/{id}/refuse", desk_deeds.refuse, "act"),
    ("/desk/destinations/resume", desk_deeds.resume, "act"),
    ("/desk/dead/{id}/requeue", desk_deeds.requeue, "act"),
    ("/desk/sign-out", desk_deeds.sign_out, "look"),
)
