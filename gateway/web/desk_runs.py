"""The pages of replays and what-ifs: what is to run, how far it is, what came of it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from datetime import datetime

from starlette.responses import HTMLResponse, RedirectResponse, Response

from core.calendar import eastern
from core.findings import Bilingual
from gateway.desk.runs import RunOrder
from gateway.journal import Selection
from gateway.web import guard
from gateway.web.desk_list import filters_of
from gateway.web.desk_running import Run
from gateway.web.desk_visit import Visit
from gateway.web.site import NotDone

# What a selection may name, of the list's filters.
SELECTS = ("since", "until", "partner", "verdict", "finding", "transaction_number")


KINDS = Bilingual(
    "kind: again, or one of the specifications that what-if may judge by",
    "kind : again, ou l'une des spécifications selon lesquelles « et si » peut juger",
)
NOTHING = Bilingual(
    "Select messages: by time, partner, verdict, finding or transaction number.",
    "Choisissez des messages : par moment, partenaire, verdict, constat ou numéro de transaction.",
)


def new(visit: Visit) -> Response:
    """Return the form that starts a run."""
    filters = filters_of(visit)
    found = {name: visit.asked(name) for name in SELECTS}
    number = visit.asked("search")
    if re.fullmatch(r"\d{14}", number) and not found["transaction_number"]:
        found["transaction_number"] = number
    lost = [name for name in filters if name not in (*SELECTS, "search")]
    return _form(visit, found, lost)


def _form(visit: Visit, chosen: dict[str, str], lost: list[str], problem: Bilingual | None = None) -> Response:
    """Return the form with what is chosen, and why what was sent starts nothing."""
    others, partners = [path.name for path in visit.desk.site.others], visit.desk.journal.partners()
    code = 400 if problem else 200
    return visit.page(
        "desk_run_new.html", code=code, chosen=chosen, lost=lost, others=others, partners=partners, problem=problem
    )


def start(visit: Visit) -> Response:
    """Start a run of what the form selects."""
    chosen = {name: value for name, value in filters_of(visit, visit.form).items() if name in SELECTS}
    if not chosen:
        return _form(visit, dict.fromkeys(SELECTS, ""), [], NOTHING)
    kind, others = visit.form.get("kind", ""), {path.name: path for path in visit.desk.site.others}
    if kind != "again" and kind not in others:
        raise NotDone(400, KINDS)
    order = RunOrder(
        visit.desk.site.settings, Selection(**chosen), visit.session.name, visit.language, others.get(kind)
    )
    return RedirectResponse(f"/desk/runs/{visit.desk.runs.start(order).number}", 303)


def listed(visit: Visit) -> Response:
    """Return the runs of this process."""
    when: Callable[[datetime], str] = lambda at: eastern(at, visit.language)  # noqa: E731 - for the template
    return visit.page("desk_runs.html", runs=visit.desk.runs.newest_first(), when=when)


def shown(visit: Visit) -> Response:
    """Return the page of one run."""
    run = run_of(visit)
    return visit.page("desk_run.html", run=run, started=eastern(run.started, visit.language))


def stop(visit: Visit) -> Response:
    """Stop a run."""
    run = run_of(visit)
    if run.process and not run.over:
        run.process.kill()
    return RedirectResponse(f"/desk/runs/{run.number}", 303)


def result(visit: Visit) -> Response:
    """Return a what-if's page; its one style sheet is allowed by its digest."""
    run = run_of(visit)
    if not (run.result and run.result.page):
        raise NotDone(404, Bilingual("this run has no page", "ce rejeu n'a pas de page"))
    page = run.result.page
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256((style[1] if style else "").encode()).digest()).decode()
    policy = guard.HEADERS["content-security-policy"].replace("style-src 'self'", f"style-src 'sha256-{digest}'")
    return HTMLResponse(page, headers={"content-security-policy": policy})


def run_of(visit: Visit) -> Run:
    """Return the run that an address names; raises NotDone where there is none."""
    run = visit.desk.runs.find(visit.request.path_params["number"])
    if run is None:
        raise NotDone(404, Bilingual("there is no such run", "ce rejeu n'existe pas"))
    return run
