"""A request at the desk by somebody who is signed in: who, what was asked, what was sent, and the answer's frame."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from core.errors import GatewayError, JournalUnavailable
from gateway.journal import Journal
from gateway.web.live import Watcher
from gateway.web.sessions import Role, Session
from gateway.web.signin import SIGN_IN, Door, of_this_site
from gateway.web.site import Site, language_of, page


@dataclass(frozen=True, eq=False)
class Desk:
    """What the desk's pages stand on."""

    site: Site
    journal: Journal
    door: Door
    watcher: Watcher


@dataclass(frozen=True, eq=False)
class Visit:
    """One request, by whom, with the fields of the form that was sent."""

    desk: Desk
    request: Request
    session: Session
    form: Mapping[str, str]

    @property
    def acts(self) -> bool:
        """Whether this operator may act."""
        return self.session.role == "act"

    @property
    def language(self) -> str:
        """The reader's language."""
        return language_of(self.request)

    def asked(self, name: str) -> str:
        """Return a parameter of the address, empty where it is missing."""
        return self.request.query_params.get(name, "").strip()

    def page(self, template: str, *, code: int = 200, **facts: object) -> HTMLResponse:
        """Return a page of the desk; `once` is the key by which a form on it is taken once."""
        figures = self.desk.watcher.fragment(self.language)
        return page(self.request, template, code=code, visit=self, figures=figures, once=secrets.token_hex(8), **facts)


Step = Callable[[Visit], Response]


def step(desk: Desk, act: Step, role: Role = "look") -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of a page, or, with role act, of a deed that is sent by a form of ours."""

    async def endpoint(request: Request) -> Response:
        session = desk.door.who(request)
        if session is None:
            return _to_the_door(request)
        form: dict[str, str] = {}
        if request.method == "POST":
            form = {name: value for name, value in (await request.form(max_files=0)).items() if isinstance(value, str)}
            _check_form(request, session, form)
        if role == "act" and session.role != "act":
            raise HTTPException(403, "your role is to look, not to act")
        visit = Visit(desk, request, session, form)
        if request.method == "POST" and not session.once(form.get("once", ""), ""):
            return RedirectResponse(request.url.path.rpartition("/")[0], 303)
        return await run_in_threadpool(_carried, act, visit)

    return endpoint


def _carried(act: Step, visit: Visit) -> Response:
    """Return a step's answer; what cannot be done is told in one line."""
    try:
        return act(visit)
    except JournalUnavailable as error:
        raise HTTPException(503, str(error)) from error
    except GatewayError as error:
        raise HTTPException(409, str(error)) from error


def _to_the_door(request: Request) -> Response:
    if request.method != "GET":
        raise HTTPException(403, "sign in again: nothing was done")
    to = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"{SIGN_IN}?{urlencode({'to': to})}", 303)


def _check_form(request: Request, session: Session, form: Mapping[str, str]) -> None:
    """Raise HTTPException for a form that did not come from a page that this session was shown."""
    if not of_this_site(request) or not hmac.compare_digest(form.get("csrf", "").encode(), session.csrf.encode()):
        raise HTTPException(403, "this form is not of this session: open the page again; nothing was done")
    if not form.get("once"):
        raise HTTPException(400, "this form is not whole: open the page again; nothing was done")
