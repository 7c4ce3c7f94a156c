"""The API of checks: messages judged as `gateway check` judges them, and what there is to know of rules and codes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import UTC, datetime
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from core.specs import Code, CodeList
from gateway.catalogue import as_json, listed_rules
from gateway.web import work
from gateway.web.judging import Kept, RunJob, explained, tell
from gateway.web.site import LANGUAGES, Site, language_of
from gateway.web.upload import ASSUMED_WORDS, FormSent, assumed_of, form_of, name_of
from gateway.web.work import Upload

# The media types that a message may be sent as, and a form of several files.
MESSAGES = ("application/edifact", "application/xml", "text/xml", "text/plain", "application/octet-stream")
FORM = "multipart/form-data"

# The forms in which verdicts can be had, each with its media type.
FORMATS: Mapping[str, str] = {
    "json": "application/json",
    "sarif": "application/sarif+json",
    "junit": "application/xml",
    "concise": "text/plain",
}


def routes(site: Site, run: RunJob, kept: Kept) -> list[BaseRoute]:
    """Return the routes of the API of checks."""
    api = Api(site, run, kept)
    return [
        Route("/api/check", api.check, methods=["POST"]),
        Route("/api/rules", api.rules),
        Route("/api/codes", api.lists),
        Route("/api/codes/{list}", api.codes),
        Route("/api/explain/{code}", api.explain),
    ]


# What a check may be asked.
ASKED = frozenset({"format", "lang", "name", *ASSUMED_WORDS})
ECHO = 100  # characters of what is not known, said again


class Api:
    """Answers for programs."""

    def __init__(self, site: Site, run: RunJob, kept: Kept) -> None:
        self._specs, self._run, self._kept = site.plans.specs, run, kept

    async def check(self, request: Request) -> Response:
        """Return the verdicts on what was sent; nothing of it is kept."""
        form = _format_of(request)
        lang = _language_of(request)
        sent = await _sent(request)
        _no_other({*request.query_params}, ASKED)
        _no_other({*sent.fields}, ASSUMED_WORDS)
        assumed_of(sent.fields)  # also where the address says otherwise, and counts
        if not sent.uploads:
            raise HTTPException(422, "send one file at least")
        assumed = assumed_of({**sent.fields, **request.query_params})
        now = datetime.now(UTC)
        text, messages, refused = await self._run(work.check, sent.uploads, assumed, now, form, lang)
        tell(len(sent.uploads), messages, refused)
        return Response(text, media_type=FORMATS[form])

    async def rules(self, request: Request) -> Response:
        """Return all that a declaration and its sender are held to."""
        lang = _language_of(request)
        return _json(request, [as_json(each, lang) for each in listed_rules(self._specs)])

    async def lists(self, request: Request) -> Response:
        """Return the code lists there are."""
        _language_of(request)
        lists = self._specs.code_lists.values()
        return _json(
            request, [_list(each) | {"count": len(each.codes), "href": f"/api/codes/{each.id}"} for each in lists]
        )

    async def codes(self, request: Request) -> Response:
        """Return the codes of a list, each with its periods."""
        lang = _language_of(request)
        found = self._specs.code_lists.get(request.path_params["list"])
        if found is None:
            raise HTTPException(404)
        return _json(request, _list(found) | {"codes": [_code(e, lang) for each in found.codes.values() for e in each]})

    async def explain(self, request: Request) -> Response:
        """Return what a finding means, with an example of what earns it."""
        return _json(request, await explained(self._kept, request.path_params["code"], _language_of(request)))


def _list(one: CodeList) -> dict[str, Any]:
    return {"id": one.id, "name": one.name._asdict(), "confidence": one.confidence}


def _code(entry: Code, lang: str) -> dict[str, Any]:
    start, end = entry.valid.start, entry.valid.end
    return {
        "code": entry.code,
        "name": entry.name._asdict(),
        "valid_from": start.isoformat() if start else None,
        "valid_until": end.isoformat() if end else None,
        "source": entry.source.speak(lang),
        "confidence": entry.confidence,
    }


async def _sent(request: Request) -> FormSent:
    """Return the files of a form, or the one that the body is; raises HTTPException 415."""
    given = request.headers.get("content-type", "application/octet-stream").partition(";")[0].strip().lower()
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPException(415, "send the bytes as they are, without a content coding")
    if given == FORM:
        return await form_of(request)
    if given not in MESSAGES:
        raise HTTPException(415, f"send a message as one of {', '.join(MESSAGES)}, or several files as {FORM}")
    return FormSent((Upload(name_of(request.query_params.get("name", "")), await request.body()),), {})


# ------------------------------------------------------------------------------------------------ what is asked for


def _no_other(given: Set[str], allowed: Iterable[str]) -> None:
    """Raise HTTPException 422 for a parameter that there is not: misspelt, it would be an assumption not made."""
    if unknown := ", ".join(sorted(given - {*allowed})):
        raise HTTPException(422, f"there is no parameter {unknown[:ECHO]}; there are {', '.join(sorted(allowed))}")


def _language_of(request: Request) -> str:
    """Return the language that is asked for; raises HTTPException 422 for another than English and French."""
    if request.query_params.get("lang", LANGUAGES[0]) not in LANGUAGES:
        raise HTTPException(422, f"lang is {' or '.join(LANGUAGES)}")
    return language_of(request)


def _format_of(request: Request) -> str:
    """Return the form that is asked for by `?format=`, else by Accept; raises HTTPException 422, 406."""
    if (asked := request.query_params.get("format")) is not None:
        if asked not in FORMATS:
            raise HTTPException(422, f"format is one of {', '.join(FORMATS)}")
        return asked
    for wanted in _accepted(request):
        for name, media_type in FORMATS.items():
            if _fits(wanted, media_type):
                return name
    raise HTTPException(406, f"this can be had as {', '.join(FORMATS.values())}")


def _json(request: Request, content: object) -> Response:
    """Return JSON, if that is accepted; raises HTTPException 406."""
    if not any(_fits(wanted, "application/json") for wanted in _accepted(request)):
        raise HTTPException(406, "this can be had as application/json")
    return JSONResponse(content)


def _accepted(request: Request) -> Sequence[str]:
    """Return the media types that Accept names, those that are wanted most first; without one, any."""
    found: list[tuple[float, str]] = []
    for each in ",".join(request.headers.getlist("accept")).split(","):
        media_type, *parameters = (part.strip().lower() for part in each.split(";"))
        weight = next((part.removeprefix("q=") for part in parameters if part.startswith("q=")), "1")
        try:
            found.append((float(weight), media_type))
        except ValueError:
            found.append((0, media_type))
    named = [each for weight, each in sorted(found, key=lambda each: -each[0]) if each and weight > 0]
    return named or ([] if any(each for _, each in found) else ["*/*"])


def _fits(wanted: str, media_type: str) -> bool:
    """Tell whether a media type is one that is wanted, which may be a range."""
    return wanted in ("*/*", media_type, f"{media_type.partition('/')[0]}/*")
