"""A what-if's result as one page that is a file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from core.calendar import eastern
from core.findings import Bilingual
from gateway import pages
from gateway.catalogue import in_words
from gateway.desk import what_if
from gateway.desk.words import VERDICTS
from gateway.journal import Selection
from gateway.plans import Plans
from validators.words import texts_of

# What a selection may name.
CHOSEN: Mapping[str, Bilingual] = {
    "sender": Bilingual("sender", "expéditeur"),
    "verdict": Bilingual("verdict", "verdict"),
    "finding": Bilingual("finding", "constat"),
    "transaction": Bilingual("transaction", "transaction"),
}


def meanings_of(result: what_if.WhatIf, plans: Plans, present: Plans, lang: str) -> dict[str, str]:
    """Return what each finding says that is new or gone, by the specification that knows it."""
    codes = {key[0] for key in (*result.tally.new, *result.tally.gone)}
    return {code: _meaning(code, plans, present, lang) for code in codes}


def _meaning(code: str, plans: Plans, present: Plans, lang: str) -> str:
    """Return what a finding says, by the specification that knows it."""
    for each in (plans.specs, present.specs):
        for pack in each.packs:
            if found := texts_of(each, pack).get(code):
                return in_words(found.text, None).speak(lang)
    return ""


def what_if_page(
    result: what_if.WhatIf, plans: Plans, wanted: Selection, lang: str, meanings: Mapping[str, str]
) -> str:
    """Return the what-if's page."""
    verdict = VERDICTS[wanted.verdict].speak(lang) if wanted.verdict else None
    chosen = {
        "sender": wanted.partner,
        "verdict": verdict,
        "finding": wanted.finding,
        "transaction": wanted.transaction_number,
    }
    span = " / ".join(eastern(moment, lang) for moment in (wanted.since, wanted.until) if moment)
    return pages.render(
        "whatif.html",
        lang,
        packs=plans.specs.packs,
        specs_name=plans.specs.root.name or str(plans.specs.root),
        digest=result.digest,
        selection=", ".join(filter(None, [span, *(f"{CHOSEN[k].speak(lang)} {v}" for k, v in chosen.items() if v)])),
        made_at=eastern(datetime.now(UTC), lang),
        tally=result.tally,
        verdicts=sorted(result.tally.verdicts.items()),
        words={name: text.speak(lang) for name, text in VERDICTS.items()},
        findings=what_if.finding_rows(result.tally),
        senders=what_if.sender_rows(result.tally),
        meanings=meanings,
        examples=sorted(result.tally.examples.items()),
        seconds=f"{result.seconds:.1f}".replace(".", "," if lang == "fr" else "."),
        rate=round(result.per_second),
    )
