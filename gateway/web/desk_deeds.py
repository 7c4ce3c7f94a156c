"""What operators do: release or refuse what is parked, resume destinations, give dead letters back."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import Any
from urllib.parse import quote, urlencode

from starlette.responses import RedirectResponse, Response

from core.calendar import eastern
from core.errors import GatewayError
from core.findings import Bilingual
from gateway.desk import parked
from gateway.desk.dead import Requeuing, letters, reading, row_of
from gateway.queues import DEAD_QUEUE, open_broker
from gateway.web.desk_visit import Visit
from gateway.web.site import NotDone
from routing.partners import load_partners

# Rows of a page; of dead letters, as the broker gives them out.
PAGE, LETTERS = 50, 200

# A reason is a sentence or two: the sender reads it.
REASON = 500


NO_LETTER = Bilingual("there is no such dead letter any more", "cette lettre morte n'est plus là")


def _now() -> datetime:
    return datetime.now(UTC)


def parked_list(visit: Visit) -> Response:
    """Return what is parked, newest first."""
    after = visit.asked("after")
    start = (int(after), 10**9) if after.isdecimal() and len(after) < 19 else None
    rows = visit.desk.journal.list_messages(state="parked", limit=PAGE + 1, after=start)
    shown, rest = rows[:PAGE], rows[PAGE:]
    return visit.page(
        "desk_parked.html",
        rows=[row | {"at": eastern(row["received_at"], visit.language)} for row in shown],
        older=str(shown[-1]["sequence"]) if rest else "",
    )


def decide(visit: Visit) -> Response:
    """Return the page that asks whether a parked message is to be released or refused."""
    row = _parked(visit)
    deed = visit.request.url.path.rpartition("/")[2]
    received = eastern(row.received_at, visit.language)
    return visit.page("desk_decide.html", row=row, deed=deed, received=received, problem="", reason="", most=REASON)


def release(visit: Visit) -> Response:
    """Give a parked message to the workers again."""
    row = _parked(visit)
    parked.release(visit.desk.journal, row, visit.session.name, _now())
    return _done(f"/desk/messages/{row.id}", "released")


def refuse(visit: Visit) -> Response:
    """Refuse a parked message for a reason."""
    row, reason = _parked(visit), visit.form.get("reason", "").strip()[:REASON]
    if not reason:
        received = eastern(row.received_at, visit.language)
        facts: dict[str, Any] = {"deed": "refuse", "received": received, "reason": "", "most": REASON}
        return visit.page("desk_decide.html", code=422, row=row, problem="reason", **facts)
    site = visit.desk.site
    partners = load_partners(site.settings.partners)
    parked.refuse(visit.desk.journal, row, reason, visit.session.name, _now(), site.plans, partners)
    return _done(f"/desk/messages/{row.id}", "refused")


def _parked(visit: Visit) -> Any:
    return parked.parked(visit.desk.journal, visit.request.path_params["id"])


def destinations(visit: Visit) -> Response:
    """Return the destinations with a backlog or a failure."""
    rows = visit.desk.journal.destinations()
    for row in rows:
        row["since"] = eastern(row["oldest"], visit.language) if row["oldest"] else ""
        row["again"] = eastern(row["paused_until"], visit.language) if row["paused_until"] else ""
        row["link"] = urlencode({"name": row["name"]})
    return visit.page("desk_destinations.html", rows=rows)


def resume_asked(visit: Visit) -> Response:
    """Return the page that asks whether a destination is to be tried at once."""
    return visit.page("desk_resume.html", name=_destination(visit, visit.asked("name")))


def resume(visit: Visit) -> Response:
    """Let a destination be tried at once."""
    name = _destination(visit, visit.form.get("name", ""))
    visit.desk.journal.unpark(name, _now(), visit.session.name)
    return _done("/desk/destinations", "resumed")


def _destination(visit: Visit, name: str) -> str:
    if name not in {row["name"] for row in visit.desk.journal.destinations()}:
        en, fr = f"nothing waits for {name!r} and it has not failed", f"rien n'attend {name!r}, et rien n'y a échoué"
        raise GatewayError(Bilingual(en, fr))
    return name


def dead(visit: Visit) -> Response:
    """Return the dead letters, oldest first; they stay where they are."""
    with open_broker(visit.desk.site.settings.broker_url) as broker:
        count = broker.depth(DEAD_QUEUE)
        with reading(broker) as intake:  # as many as there are: to wait whether more come takes seconds
            rows = [row_of(each) for each in islice(letters(intake), min(count, LETTERS))] if count else []
    for row in rows:
        row["at"] = eastern(row["died"], visit.language) if row["died"] else ""
    return visit.page("desk_dead.html", rows=rows, count=count)


def requeue_asked(visit: Visit) -> Response:
    """Return the page that asks whether a dead letter is to go back."""
    return visit.page("desk_requeue.html", id=visit.request.path_params["id"])


def requeue(visit: Visit) -> Response:
    """Give a dead letter back to the way that it was on."""
    site, id_ = visit.desk.site, visit.request.path_params["id"]
    said: list[Bilingual] = []
    with open_broker(site.settings.broker_url) as broker:
        told = lambda line, went: None if went else said.append(line)  # noqa: E731 - for the desk alone
        requeuing = Requeuing(site.settings, visit.desk.journal, broker, None, visit.session.name, told)
        with reading(broker) as intake:
            requeuing.chosen(intake, lambda each: each == id_)
    if not requeuing.gone:
        raise GatewayError(said[0] if said else NO_LETTER)
    return _done("/desk/dead", "requeued")


def _done(where: str, what: str) -> RedirectResponse:
    return RedirectResponse(f"{where}?done={quote(what)}", 303)


def sign_out(visit: Visit) -> Response:
    """End the session."""
    if visit.request.method != "POST":
        raise NotDone(405, Bilingual("a form ends a session", "une session se termine par un formulaire"))
    return visit.desk.door.leave(visit.request, visit.session)
