"""HTML pages: each one file that needs nothing else, in one language, fit for screen and paper."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import GatewayError
from core.findings import Bilingual
from core.text import printable

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).with_name("templates")

# A space that does not break, as both languages group digits in these pages.
THIN = "\N{NARROW NO-BREAK SPACE}"


def number(written: str, language: str) -> str:
    """Return a number that is written in English (1,234.50) as the language writes it."""
    return written.replace(",", THIN).replace(".", ",") if language == "fr" else written


def render(template: str, language: str, **facts: object) -> str:
    """Return the page that a template makes of the facts, in English ("en") or French ("fr").

    Templates have `t(english, french)` and `say(bilingual)`; everything else is escaped.
    """
    say: Callable[[Bilingual], str] = lambda text: text.speak(language)  # noqa: E731 - handed to the template
    return (
        _environment()
        .get_template(template)
        .render(language=language, t=lambda en, fr: fr if language == "fr" else en, say=say, **facts)
    )


def write(path: Path, page: str) -> None:
    """Write a page to a file; raises GatewayError, one line."""
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise GatewayError(f"{path}: {error.strerror}") from error


@functools.cache
def _environment() -> Environment:
    """Return the templates, escaping by default and strict about what they name."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # many commands write no page

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=_shown,
    )  # fmt: skip
    environment.filters["grouped"] = lambda number: f"{number:,}".replace(",", THIN)
    return environment


def _shown(value: object) -> object:
    """Return what a template writes, with nothing in it that acts on who reads the page."""
    from markupsafe import Markup

    if not isinstance(value, str):
        return value
    safe = printable(value, "\N{REPLACEMENT CHARACTER}", keep="\n\t")
    return Markup(safe) if isinstance(value, Markup) else safe  # noqa: S704 - it was markup before
