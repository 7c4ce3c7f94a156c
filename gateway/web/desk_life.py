"""One message's whole life on one page: bytes with faults in place, findings, versions, answers, the audit."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

from starlette.responses import Response

from core.calendar import eastern
from core.findings import Bilingual, Finding, Place, Severity
from gateway.desk.diff_words import AMOUNTS, NATURES, WORDS, level_in, number_in
from gateway.desk.explain import NumberedFinding, where
from gateway.desk.in_place import decoded, in_place, readable
from gateway.desk.versions import recorded_side, set_beside
from gateway.desk.words import ACKNOWLEDGEMENTS, EVENTS, NATURE_NAMES, STATES, STATUSES, VERDICTS, noted, sent_in_words
from gateway.web.desk_visit import Visit
from gateway.web.site import NotDone
from routing.partners import load_partners

ID = re.compile(r"[0-9a-f]{6,32}")

NO_MESSAGE = Bilingual("no message has this id", "aucun message n'a cet identifiant")
NO_ANSWER = Bilingual("no answer to this message has this id", "aucune réponse à ce message n'a cet identifiant")

# Versions of a transaction number that are listed.
VERSIONS = 50

# So many characters of an answer are shown; all of it is a click away.
ANSWER = 50_000


def life_of(visit: Visit) -> dict[str, Any]:
    """Return the life of the transmission that an address names; raises NotDone where there is none."""
    id_ = visit.request.path_params["id"]
    life = visit.desk.journal.show(id_) if ID.fullmatch(id_) else None
    if life is None:
        raise NotDone(404, NO_MESSAGE)
    return life


def message(visit: Visit) -> Response:
    """Return the page of one transmission."""
    life, language = life_of(visit), visit.language
    findings = [finding for one in life["messages"] for finding in one["findings"]]
    remedy = visit.desk.site.plans.specs.remedy_of
    remarks = [NumberedFinding(n, _finding(each), None, remedy(each["code"])) for n, each in enumerate(findings, 1)]
    edifact = any(one["syntax"] == "edifact" for one in life["messages"])
    named = [(f"f{each.number}", each) for each in remarks]
    return visit.page(
        "desk_message.html",
        life=life,
        remarks=remarks,
        where=lambda place: ", ".join(filter(None, (where(place, language), place.pointer))),
        text=in_place(decoded(life["body"]), named, segments=edifact),
        versions=_versions(visit, life),
        answers=[_answer(each, language) for each in life["outbox"]],
        audit=[_link(each, language) for each in life["audit"]],
        states=STATES,
        statuses=STATUSES,
        natures=NATURE_NAMES,
        noted=noted,
        verdicts=VERDICTS,
        when=lambda at: eastern(at, language) if at else "",
    )


def _finding(kept: dict[str, Any]) -> Finding:
    """Return a finding as the journal keeps it."""
    return Finding(
        kept["code"],
        Severity(kept["severity"]),
        Bilingual(kept["text_en"], kept["text_fr"]),
        Place(**kept["place"]),
        kept["value"],
        kept["expected"],
        Bilingual(kept["source_en"], kept["source_fr"]),
    )


def body(visit: Visit) -> Response:
    """Return a transmission's bytes, or those of an answer to it, as a file that no browser opens."""
    life = life_of(visit)
    wanted = visit.request.path_params.get("answer", "")
    sent = {each["id"]: each["body"] for each in life["outbox"]}
    if wanted and wanted not in sent:
        raise NotDone(404, NO_ANSWER)
    name = wanted or life["id"]
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(sent[wanted] if wanted else life["body"], media_type="application/octet-stream", headers=headers)


def _versions(visit: Visit, life: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the messages about the same transaction number, in the order of receipt."""
    numbers = list(dict.fromkeys(one["transaction_number"] for one in life["messages"] if one["transaction_number"]))
    if len(numbers) != 1:  # none, or an interchange of many: each of them is found by its number
        return []
    rows = visit.desk.journal.list_messages(channel="partner", transaction_number=numbers[0], limit=VERSIONS)
    return list(reversed(rows))


def _answer(each: dict[str, Any], language: str) -> dict[str, Any]:
    text = readable(decoded(each["body"]))
    acknowledged = ACKNOWLEDGEMENTS.get(each["acknowledgement"] or "")
    return each | {
        "text": text[:ANSWER],
        "left": max(0, len(text) - ANSWER),
        "stands": sent_in_words(each).speak(language),
        "acknowledged": acknowledged.speak(language) if acknowledged else "",
    }


def _link(link: dict[str, Any], language: str) -> dict[str, str]:
    event = EVENTS.get(link["event"])
    return {
        "n": str(link["n"]),
        "at": eastern(datetime.fromisoformat(link["at"]), language),
        "event": event.speak(language) if event else link["event"],
        "operator": str(link["detail"].get("operator") or ""),
        "why": str(link["detail"].get("why") or link["detail"].get("error") or ""),
        "detail": json.dumps(link["detail"], ensure_ascii=False, indent=1),
    }


def differences(visit: Visit) -> Response:
    """Return the page that sets a message beside an earlier one about the same number."""
    journal, site, language = visit.desk.journal, visit.desk.site, visit.language
    ids = visit.asked("from"), visit.request.path_params["id"]
    sequences = [journal.sequence_of(id_) if ID.fullmatch(id_) else None for id_ in ids]
    if None in sequences:
        raise NotDone(404, NO_MESSAGE)
    partners = load_partners(site.settings.partners)
    before, after = (
        recorded_side(id_, journal, sequence or 0, 0, site.plans, partners)
        for id_, sequence in zip(ids, sequences, strict=True)
    )
    beside = set_beside(before, after, site.plans)
    effect = beside.found.effect
    amounts = []
    if effect.before and effect.after and effect.difference:
        totals = effect.before.totals, effect.after.totals, effect.difference
        for name, title in AMOUNTS.items():
            values = [getattr(each, name) for each in totals]
            if any(values):
                amounts.append((title.speak(language), *(number_in(each, language) for each in values)))
    return visit.page(
        "desk_differences.html",
        sides=ids,
        found=beside.found,
        nature=NATURES[beside.nature].speak(language),
        words=lambda name: WORDS[name].speak(language),
        level=lambda invoice, line: level_in(invoice, line, language),
        amounts=amounts,
    )
