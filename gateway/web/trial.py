"""The trial page: a message is tried without an account, and nothing of it is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from core.findings import Bilingual
from gateway.catalogue import by_code, in_words
from gateway.trade.breaking import faults
from gateway.web import api, work
from gateway.web.judging import Judges, Kept, RunJob, explained, tell
from gateway.web.site import NotDone, Site, SitePart, language_of, page
from gateway.web.upload import FormSent, assumed_of, carried, form_of
from gateway.web.work import Assumed, Upload

# How long after a judgement its answers can be had as they were shown.
SHOWN_FOR = timedelta(days=1)

# Characters of a finding's text in the list of samples.
CHOICE = 70

# Rows of a message's text field.
LEAST_ROWS, MOST_ROWS = 6, 30

NOTHING = Bilingual(
    "nothing was sent: choose a file or paste a message",
    "rien n'a été envoyé : choisissez un fichier ou collez un message",
)
NO_ANSWER = Bilingual(
    "there is no such answer to the message as it is now",
    "cette réponse n'existe pas pour le message tel qu'il est maintenant",
)


def part(site: Site) -> SitePart:
    """Return the trial page and the API of checks, with worker processes of their own."""
    judges = Judges(site.settings.specs)

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        started = asyncio.create_task(asyncio.to_thread(judges.start))  # seconds, in which pages are answered already
        try:
            yield
        finally:
            await started
            await asyncio.to_thread(judges.stop)

    return SitePart(routes(site, judges), running)


def routes(site: Site, run: RunJob) -> list[BaseRoute]:
    """Return the routes of the trial page and of the API of checks."""
    kept = Kept(run)
    shown = TrialPage(site, run, kept)
    return [
        Route("/trial", shown.either, methods=["GET", "POST"]),
        Route("/trial/sample", shown.sample),
        Route("/trial/report", shown.report, methods=["POST"]),
        Route("/trial/answers/{file:int}/{answer:int}", shown.answer, methods=["POST"]),
        Route("/explain/{code}", shown.finding),
        *api.routes(site, run, kept),
    ]


class TrialPage:
    """Shows the form, the verdict, and what can be had of it."""

    def __init__(self, site: Site, run: RunJob, kept: Kept) -> None:
        self._run, self._kept = run, kept
        specs = site.plans.specs
        listed = by_code(specs)
        texts = {code: in_words(listed[code].finding.text, listed[code].element) for code in faults(specs)}
        self._choices: dict[str, Any] = {
            "findings": [(code, Bilingual(*(each[:CHOICE] for each in text))) for code, text in texts.items()],
            "types": [(code, entries[0].name) for code, entries in specs.code_lists["cad_type"].codes.items()],
        }

    async def either(self, request: Request) -> Response:
        """Return the form, or the verdict on what it sent."""
        return await self.judge(request) if request.method == "POST" else self._page(request, (), Assumed())

    async def judge(self, request: Request) -> Response:
        """Return the verdict on what was sent, and the form with it."""
        sent, assumed, at = await self._sent(request)
        part: work.PagePart = await self._run(work.page, sent.uploads, assumed, at, language_of(request))
        tell(len(sent.uploads), part.messages, part.refused)
        return self._page(request, sent.uploads, assumed, result=part, at=at.isoformat())

    async def report(self, request: Request) -> Response:
        """Return the messages in plain words as a file."""
        sent, assumed, at = await self._sent(request)
        html = await self._run(work.report, sent.uploads, assumed, at, language_of(request))
        return _file(html, "text/html; charset=utf-8", "report.html")

    async def answer(self, request: Request) -> Response:
        """Return an answer as a file, made again of what was sent."""
        sent, assumed, at = await self._sent(request)
        which = request.path_params["file"], request.path_params["answer"]
        answer = await self._run(work.answer, sent.uploads, assumed, at, language_of(request), *which)
        if answer is None:
            raise NotDone(404, NO_ANSWER)
        return _file(answer.body, answer.content_type, answer.file)

    async def sample(self, request: Request) -> Response:
        """Return the form with a sample in it."""
        of, syntax = request.query_params.get("of", ""), request.query_params.get("syntax", "edifact")
        known = {code for choice in self._choices.values() for code, _ in choice}
        if of not in known or syntax not in ("edifact", "xml"):
            raise HTTPException(404)
        drawn: work.Drawn = await self._kept(work.sample, of, syntax)
        return self._page(request, drawn.uploads, drawn.assumed, chosen=(of, syntax), note=drawn.note)

    async def finding(self, request: Request) -> Response:
        """Return what a finding means."""
        found = await explained(self._kept, request.path_params["code"], language_of(request))
        syntaxes = [each["syntax"] for each in found.get("examples", ())]
        return page(request, "trial_finding.html", found=found, syntaxes=syntaxes)

    async def _sent(self, request: Request) -> tuple[FormSent, Assumed, datetime]:
        """Return what was sent, what to assume, and as of when: now, or the moment that was shown; raises NotDone."""
        sent = await form_of(request)
        if not sent.uploads:
            raise NotDone(422, NOTHING)
        now = datetime.now(UTC)
        try:
            shown = datetime.fromisoformat(sent.fields.get("at", ""))
        except ValueError:
            shown = now
        again = request.url.path != "/trial" and shown.tzinfo is not None and timedelta(0) <= now - shown <= SHOWN_FOR
        return sent, assumed_of(sent.fields), shown if again else now

    def _page(self, request: Request, uploads: Sequence[Upload], assumed: Assumed, **facts: Any) -> Response:
        told = {"result": None, "at": "", "note": None, "chosen": ("", "edifact")} | facts
        return page(
            request,
            "trial.html",
            files=[carried(each) for each in uploads],
            assumed=assumed,
            rows=lambda text: min(MOST_ROWS, max(LEAST_ROWS, text.count("\n") + 2)),
            **self._choices,
            **told,
        )


def _file(body: str | bytes, content_type: str, name: str) -> Response:
    return Response(body, media_type=content_type, headers={"content-disposition": f'attachment; filename="{name}"'})
