"""Messages in plain words as one page that is a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from core.calendar import eastern
from core.specs import Specs
from gateway import pages
from gateway.desk.explain import Explained, where
from gateway.desk.words import VERDICTS


def verdict_of(one: Explained, language: str) -> str:
    """Return the verdict on what the heading names: a CAD (in French feminine) or a message."""
    declaration = one.judged.message.declaration
    feminine = language == "fr" and declaration and declaration.transaction_number
    return VERDICTS[str(one.verdict)].speak(language) + ("e" if feminine else "")


def explained_page(
    sources: Mapping[str, str | None], messages: Sequence[Explained], made: datetime, specs: Specs, language: str
) -> str:
    """Return messages in plain words as one page that is a file; `sources` are their names, each with its receipt."""
    return pages.render(
        "explain.html",
        language,
        packs=specs.packs,
        sources=sources,
        messages=messages,
        made_at=eastern(made, language),
        verdict=lambda one: verdict_of(one, language),
        where=lambda place: where(place, language),
    )
