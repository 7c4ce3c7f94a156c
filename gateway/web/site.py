"""What every part of the web side stands on: its settings and plans, pages in the reader's language, static files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute

from core.findings import Bilingual
from gateway import pages
from gateway.plans import Plans
from gateway.settings import Settings

STATIC = Path(__file__).with_name("static")

LANGUAGES = ("en", "fr")
LANGUAGE_COOKIE = "lang"
A_YEAR = 365 * 24 * 3600

# A problem document as the OpenAPI document describes it, and the content of an answer that is one.
PROBLEM: Mapping[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "one line; French for who asks in French"},
    },
}
PROBLEM_REF = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


class WaysIn(NamedTuple):
    """How operators come in: by a users' file, by a provider's file, else by the one-time `ticket` in an address."""

    users: Path | None = None
    openid: Path | None = None
    ticket: str = ""


NOBODY = WaysIn()


@dataclass(frozen=True, eq=False)
class Site:
    """What the parts are made from; `parts` are the names of those that run ("trial", "exchange", "desk")."""

    settings: Settings
    plans: Plans
    parts: tuple[str, ...]
    access: WaysIn = NOBODY
    others: tuple[Path, ...] = ()  # specifications that the desk's what-if may judge by


class SitePart(NamedTuple):
    """One part of the site: its routes, what runs as long as it does, and below which paths it counts requests itself.

    What is below these paths is for programs that sign in, and the limit of a client's posts does not hold there.
    """

    routes: Sequence[BaseRoute]
    running: Callable[[], AbstractAsyncContextManager[object]] | None = None
    counted: tuple[str, ...] = ()


class NotDone(HTTPException):
    """Something that is not done, and why, in both languages."""

    def __init__(self, status: int, said: Bilingual, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, said.en, headers)
        self.said = said


def language_of(request: Request) -> str:
    """Return the language of the page that is asked for: `?lang=`, then the reader's choice before, then the browser's.

    What is neither English nor French counts as not said; English is what remains.
    """
    asked = request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)
    accepted = (one.split(";")[0].strip()[:2].lower() for one in request.headers.get("accept-language", "").split(","))
    return next((one for one in (*asked, *accepted) if one in LANGUAGES), LANGUAGES[0])


def page(request: Request, template: str, *, code: int = 200, **facts: object) -> HTMLResponse:
    """Return a page that a template below templates/web makes of the facts, in the reader's language."""
    language = language_of(request)
    others = [(one, _in_language(request, one)) for one in LANGUAGES]
    html = pages.render(
        f"web/{template}", language, site=request.app.state.site, path=request.url.path, languages=others, **facts
    )
    answer = HTMLResponse(html, code)
    if request.query_params.get("lang") in LANGUAGES:
        secure = request.url.scheme == "https"
        answer.set_cookie(LANGUAGE_COOKIE, language, max_age=A_YEAR, samesite="lax", httponly=True, secure=secure)
    return answer


def refusal(request: Request, status: int, said: str | Bilingual, headers: Mapping[str, str] | None = None) -> Response:
    """Return why something is not done: a problem document (RFC 9457) of the API, a page for people, else one line."""
    line = said if isinstance(said, str) else said.speak(language_of(request))
    if request.scope.get("path", "").startswith("/api/"):
        title = HTTPStatus(status).phrase
        content = {"type": "about:blank", "title": title, "status": status, "detail": line}
        return JSONResponse(content, status, headers, "application/problem+json")
    if "text/html" in request.headers.get("accept", "") or "hx-request" in request.headers:
        answer: Response = page(request, "refused.html", code=status, status=status, reason=line)
        answer.headers.update(headers or {})
        return answer
    return PlainTextResponse(f"{line}\n", status, headers)


def _in_language(request: Request, language: str) -> str:
    """Return the address of this page in a language."""
    asked = [(key, value) for key, value in request.query_params.multi_items() if key != "lang"]
    return f"?{urlencode([*asked, ('lang', language)])}"
