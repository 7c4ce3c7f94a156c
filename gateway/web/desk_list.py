"""The desk's list: filters and search, page by page, and the same as a table for spreadsheets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response, StreamingResponse

from core.findings import Bilingual
from core.transmission import Verdict
from gateway.desk import words
from gateway.desk.listing import COLUMNS, as_csv, cells
from gateway.desk.moments import moment
from gateway.web.desk_visit import Visit
from gateway.web.site import NotDone

# Messages on a page, and that one question for a table brings.
PAGE, PORTION = 50, 1_000

STATES = ("received", "working", "done", "parked")
VERDICTS = tuple(str(each) for each in Verdict)

# A page's end: the number of a transmission, and the message in it.
AFTER = re.compile(r"(\d{1,18})\.(\d{1,9})")

TEXTS = ("search", "transaction_number", "reference", "importer", "finding", "partner", "state", "verdict")
TIMES = ("since", "until")


def filters_of(visit: Visit, given: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the filters that an address, or a form, names; raises NotDone for a value that cannot be."""
    given = visit.request.query_params if given is None else given
    found: dict[str, Any] = {name: value for name in TEXTS if (value := given.get(name, "").strip()[:200])}
    for name, known in (("state", STATES), ("verdict", VERDICTS)):
        if found.get(name, known[0]) not in known:
            one = ", ".join(known)
            raise NotDone(400, Bilingual(f"{name}: one of {one}", f"{name} : l'un de {one}"))
    for name in TIMES:
        if written := given.get(name, "").strip():
            try:
                found[name] = moment(written, end=name == "until")
            except (ValueError, OverflowError):
                en = f"{name}: a day (2026-11-23, today) or a time (2026-11-23T14:30)"
                fr = f"{name} : un jour (2026-11-23, today) ou un moment (2026-11-23T14:30)"
                raise NotDone(400, Bilingual(en, fr)) from None
    return found


def asked_again(visit: Visit, **more: str) -> str:
    """Return the filters as part of an address."""
    asked = {name: value for name in (*TEXTS, *TIMES) if (value := visit.asked(name))}
    return urlencode(asked | more)


def messages(visit: Visit) -> Response:
    """Return a page of the list."""
    filters, after = filters_of(visit), _after(visit.asked("after"))
    rows = visit.desk.journal.list_messages(channel="partner", limit=PAGE + 1, after=after, **filters)
    shown, rest = rows[:PAGE], rows[PAGE:]
    return visit.page(
        "desk_list.html",
        columns=COLUMNS,
        rows=[(row["id"], row["verdict"], row["state"], cells(row, visit.language)) for row in shown],
        older=asked_again(visit, after=f"{shown[-1]['sequence']}.{shown[-1]['ordinal'] or 0}") if rest else "",
        newest=asked_again(visit) if after else "",
        first=not after,
        filters={name: visit.asked(name) for name in (*TEXTS, *TIMES)},
        filtered=bool(filters),
        asked=asked_again(visit),
        partners=visit.desk.journal.partners(),
        states=STATES,
        state_words=words.STATES,
        verdicts=VERDICTS,
        verdict_words=words.VERDICTS,
    )


def table(visit: Visit) -> Response:
    """Return all of the list as CSV, a portion at a time."""
    named = {"content-disposition": 'attachment; filename="messages.csv"'}
    lines = as_csv(_all(visit, filters_of(visit)), visit.language)
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=named)


def _all(visit: Visit, filters: dict[str, Any]) -> Iterator[dict[str, Any]]:
    after: tuple[int, int] | None = None
    while rows := visit.desk.journal.list_messages(channel="partner", limit=PORTION, after=after, **filters):
        yield from rows
        after = rows[-1]["sequence"], rows[-1]["ordinal"] or 0


def _after(written: str) -> tuple[int, int] | None:
    if not written:
        return None
    found = AFTER.fullmatch(written)
    if not found:
        raise NotDone(400, Bilingual("after: the end of a page is wanted", "after : la fin d'une page est attendue"))
    return int(found[1]), int(found[2])
