"""What every part of the web side stands on: its settings and plans, pages in the reader's language, static files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse

from gateway import pages
from gateway.plans import Plans
from gateway.settings import Settings

STATIC = Path(__file__).with_name("static")

LANGUAGES = ("en", "fr")
LANGUAGE_COOKIE = "lang"
A_YEAR = 365 * 24 * 3600


@dataclass(frozen=True, eq=False)
class Site:
    """What the parts are made from; `parts` are the names of those that run ("trial", "exchange", "desk")."""

    settings: Settings
    plans: Plans
    parts: tuple[str, ...]


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


def _in_language(request: Request, language: str) -> str:
    """Return the address of this page in a language."""
    asked = [(key, value) for key, value in request.query_params.multi_items() if key != "lang"]
    return f"?{urlencode([*asked, ('lang', language)])}"
