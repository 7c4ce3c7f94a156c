"""The door of the desk: one-time address, users' file, OpenID Connect; cookies, and what proves that a form is ours."""

from __future__ import annotations

import getpass
import hmac
import math
import re
import secrets

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from core.errors import GatewayError
from core.findings import Bilingual
from gateway.logs import logger
from gateway.web.guard import client_of
from gateway.web.openid import Provider, load_provider, provider_routes
from gateway.web.sessions import Attempts, Session, Sessions, UserRole
from gateway.web.site import NotDone, WaysIn, page
from gateway.web.users import load_users, role_of

HOME = "/desk"
SIGN_IN = "/desk/sign-in"

# Where a reader may be led after signing in: to the desk's own pages only.
OURS = re.compile(r"/desk(/[a-z0-9/-]*)?(\?[\w=&%.:+-]*)?")

USED = Bilingual(
    "this address was used, or is not of this start: start `gateway web` again",
    "cette adresse a servi, ou n'est pas de ce démarrage : démarrez `gateway web` de nouveau",
)

SESSION, FORM = "desk", "desk-form"


class Door:
    """Who is in, and how others come in."""

    def __init__(self, access: WaysIn) -> None:
        self.sessions, self.attempts = Sessions(), Attempts()
        self.users = access.users
        self.provider: Provider | None = load_provider(access.openid) if access.openid else None
        self._ticket = access.ticket
        if self.users:
            load_users(self.users)  # what is wrong with it is told at the start

    def routes(self) -> list[BaseRoute]:
        """Return the routes by which one comes in."""
        found: list[BaseRoute] = [Route(SIGN_IN, self.sign_in, methods=["GET", "POST"])]
        if self._ticket:
            found.append(Route("/desk/enter", self.enter))
        if self.provider:
            found.append(provider_routes(self.provider, self.welcome))
        return found

    def who(self, request: Request) -> Session | None:
        """Return the session that a request belongs to."""
        return self.sessions.find(request.cookies.get(_named(request, SESSION)))

    def welcome(self, request: Request, name: str, role: UserRole, way: str, to: str = HOME) -> Response:
        """Start a session for whoever has proven to be somebody, and lead there."""
        if before := self.who(request):
            self.sessions.end(before)
        session = self.sessions.start(name, role)
        logger().info("signed in", loop="web", operator=name, role=role, way=way, client=client_of(request.scope))
        answer = RedirectResponse(to, 303)
        _set(request, answer, SESSION, session.id)
        answer.delete_cookie(_named(request, FORM))
        return answer

    def leave(self, request: Request, session: Session) -> Response:
        """End a session."""
        self.sessions.end(session)
        logger().info("signed out", loop="web", operator=session.name)
        answer = RedirectResponse(SIGN_IN, 303)
        answer.delete_cookie(_named(request, SESSION))
        return answer

    async def enter(self, request: Request) -> Response:
        """Let in whoever has the one-time address, once; looking ahead at it is not using it."""
        if request.method != "GET" or "prefetch" in request.headers.get("sec-purpose", ""):
            return Response(status_code=204)
        given = request.query_params.get("ticket", "")
        if not self._ticket or not hmac.compare_digest(given.encode(), self._ticket.encode()):
            raise NotDone(403, USED)
        self._ticket = ""
        return self.welcome(request, _user(), "act", "one-time address")

    async def sign_in(self, request: Request) -> Response:
        """Show the form, or take it."""
        to = request.query_params.get("to", HOME)
        to = to if OURS.fullmatch(to) else HOME
        if request.method == "GET" or not self.users:
            return self._form(request, to)
        form = await request.form(max_files=0, max_fields=10)
        said, kept = str(form.get("form", "")), request.cookies.get(_named(request, FORM), "")
        if not kept or not hmac.compare_digest(said.encode(), kept.encode()) or not of_this_site(request):
            return self._form(request, to, "stale", 403)
        name, client = str(form.get("name", "")), client_of(request.scope)
        if wait := self.attempts.wait(name, client):
            logger().warning("sign-in put off", loop="web", operator=name[:200], client=client, seconds=round(wait))
            return self._form(request, to, "often", 429, math.ceil(wait))
        self.attempts.failed(name, client)  # before the password is looked at: many at once are many tries
        role = await run_in_threadpool(role_of, self.users, name, str(form.get("password", "")))
        if role is None:
            logger().warning("sign-in refused", loop="web", operator=name[:200], client=client)
            return self._form(request, to, "refused", 401)
        self.attempts.passed(name, client)
        return self.welcome(request, name, role, "users' file", to)

    def _form(self, request: Request, to: str, problem: str = "", code: int = 200, wait: int = 0) -> Response:
        key = request.cookies.get(_named(request, FORM)) or secrets.token_urlsafe(24)
        answer = page(
            request, "desk_sign_in.html", code=code, door=self, to=to, form_key=key, problem=problem, wait=wait
        )
        if wait:
            answer.headers["Retry-After"] = str(wait)
        _set(request, answer, FORM, key)
        return answer


def of_this_site(request: Request) -> bool:
    """Tell whether a form was sent from a page of this site, as far as the browser says."""
    origin = request.headers.get("origin")
    if origin is None:
        return request.headers.get("sec-fetch-site") in (None, "same-origin", "none")
    return origin == f"{request.url.scheme}://{request.headers.get('host', '')}"


def _named(request: Request, name: str) -> str:
    """Return a cookie's name; the prefix keeps other hosts of a domain, and plain HTTP, from setting it."""
    return f"__Host-{name}" if request.url.scheme == "https" else name


def _set(request: Request, answer: Response, name: str, value: str) -> None:
    secure = request.url.scheme == "https"
    answer.set_cookie(_named(request, name), value, httponly=True, secure=secure, samesite="lax", path="/")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:  # a container's number without a name
        raise GatewayError("the user who runs this has no name: sign in by a users' file") from error
