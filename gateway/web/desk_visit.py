"""A request at the desk by somebody who is signed in: who, what was asked, what was sent, and the answer's frame."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from core.errors import GatewayError, JournalUnavailable
from core.findings import Bilingual
from gateway.journal import Journal
from gateway.web.desk_running import Runs
from gateway.web.live import Watcher
from gateway.web.sessions import Session, UserRole
from gateway.web.signin import HOME, SIGN_IN, Door, of_this_site
from gateway.web.site import NotDone, Site, language_of, page

LOOK = Bilingual("your role is to look, not to act", "votre rôle est de consulter, non d'agir")
AGAIN = Bilingual("sign in again: nothing was done", "ouvrez une session de nouveau : rien n'a été fait")
FOREIGN = Bilingual(
    "this form is not of this session: open the page again; nothing was done",
    "ce formulaire n'est pas de cette session : ouvrez la page de nouveau; rien n'a été fait",
)


# What was done, as the page after it says.
DONE = {
    "released": Bilingual("Released: it is judged again.", "Libéré : il est jugé de nouveau."),
    "refused": Bilingual("Refused: the answers go out.", "Refusé : les réponses partent."),
    "resumed": Bilingual("Resumed: it is tried again now.", "Reprise : elle est essayée de nouveau."),
    "requeued": Bilingual("Given back to its way.", "Remise sur son chemin."),
}


@dataclass(frozen=True, eq=False)
class Desk:
    """What the desk's pages stand on."""

    site: Site
    journal: Journal
    door: Door
    watcher: Watcher
    runs: Runs


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
        frame = {
            "visit": self,
            "figures": self.desk.watcher.fragment(self.language),
            "done": DONE.get(self.asked("done")),
            "once": secrets.token_hex(8),
        }
        return page(self.request, template, code=code, **frame, **facts)


Answering = Callable[[Visit], Response]


def step(desk: Desk, act: Answering, role: UserRole = "look") -> Callable[[Request], Awaitable[Response]]:
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
            raise NotDone(403, LOOK)
        visit = Visit(desk, request, session, form)
        if request.method != "POST":
            return await run_in_threadpool(_carried, act, visit)
        once = form["once"]
        if not session.once(once):  # sent twice: it leads where the first one led, or is leading
            return RedirectResponse(session.done[once] or HOME, 303)
        try:
            answer = await run_in_threadpool(_carried, act, visit)
        except BaseException:
            session.done.pop(once, None)
            raise
        session.done[once] = answer.headers.get("location", HOME)
        return answer

    return endpoint


def _carried(act: Answering, visit: Visit) -> Response:
    """Return a step's answer; what cannot be done is told in one line."""
    try:
        return act(visit)
    except JournalUnavailable as error:
        raise NotDone(503, error.said) from error
    except GatewayError as error:
        raise NotDone(409, error.said) from error


def _to_the_door(request: Request) -> Response:
    if request.method != "GET":
        raise NotDone(403, AGAIN)
    to = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"{SIGN_IN}?{urlencode({'to': to})}", 303)


def _check_form(request: Request, session: Session, form: Mapping[str, str]) -> None:
    """Raise HTTPException for a form that did not come from a page that this session was shown."""
    if not of_this_site(request) or not hmac.compare_digest(form.get("csrf", "").encode(), session.csrf.encode()):
        raise NotDone(403, FOREIGN)
    if not form.get("once"):
        raise NotDone(400, FOREIGN)
