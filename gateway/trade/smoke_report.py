"""The results of a smoke test for people and machines: a table, JUnit XML, and one HTML file in both languages."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

from rich.table import Table
from rich.text import Text

from core.calendar import eastern
from core.errors import GatewayError
from core.findings import Bilingual
from core.specs import Pack
from gateway import pages
from gateway.pages import render, write
from gateway.trade.replies import ANSWERS
from gateway.trade.smoke import Result, StepResult, canonical, digest
from responses.business import printable

STATES = {
    "passed": Bilingual("passed", "réussi"),
    "failed": Bilingual("failed", "échec"),
    "missing": Bilingual("not seen", "non vu"),
}
STYLES = {"passed": "green", "failed": "bold red", "missing": "yellow"}

# Both languages in one file: the address chooses (#en, #fr), paper has both. No script.
SWITCH = """
<style>
.languages { max-width: 64rem; margin: 0 auto; padding: 1rem 1.5rem 0; text-align: right; }
.languages a { color: var(--link); margin-left: 1rem; }
.other { display: none; scroll-margin-top: 5rem; } .other:target { display: block; }
.other:target + .first { display: none; }
.stage h2 { break-after: avoid; }
.steps td:nth-child(1), .steps td:nth-child(3) { white-space: nowrap; }
.steps td:nth-child(2) { width: 100%; }
.digest { font-size: .95rem; }
.signatures td { width: 50%; padding-top: 3.5rem; border-bottom: 0; border-top: 1px solid var(--ink); }
.signatures { border-spacing: 2rem 0; border-collapse: separate; margin-top: 3.5rem; }
.signatures td { padding-top: .3rem; color: var(--soft); font-size: .85rem; }
@media print { .languages { display: none; } .first, .other, .other:target + .first { display: block; }
  .other { break-before: page; } body { display: flex; flex-direction: column; } .other { order: 2; } }
</style>
"""


def table(result: Result, language: str) -> Table:
    """Return the results as a table for the terminal."""
    timed = any(line.seconds is not None for line in result.lines())
    headings = ("étape", "", "résultat", "secondes") if language == "fr" else ("step", "", "result", "seconds")
    shown = Table(*headings[: 4 if timed else 3], box=None)
    for number, stage in enumerate(result.stages, 1):
        shown.add_row(Text(str(number), "bold"), Text(stage.title.speak(language), "bold"))
        for line in stage.lines:
            said = Text(line.title.speak(language))
            if line.sentence:
                said.append(f"\n{line.sentence.speak(language)}", STYLES[line.state])
            state = Text(STATES[line.state].speak(language), STYLES[line.state])
            shown.add_row(line.id, said, state, *([_seconds(line.seconds, language)] if timed else []))
    return shown


def _seconds(seconds: float | None, language: str) -> str:
    if seconds is None:
        return ""
    return pages.number(f"{seconds:.1f}", language)


def write_junit(result: Result, path: Path) -> None:
    """Write the results as JUnit XML: a suite for each stage, a case for each step; raises GatewayError."""
    top = ElementTree.Element("testsuites", _counts(list(result.lines())), name=_clean(result.title.en))
    for number, stage in enumerate(result.stages, 1):
        suite = ElementTree.SubElement(
            top, "testsuite", _counts(stage.lines), name=f"{number} {_clean(stage.title.en)}"
        )
        for line in stage.lines:
            case = ElementTree.SubElement(
                suite,
                "testcase",
                classname=f"smoke.{result.role}.{result.partner}.stage{number}",
                name=f"{line.id} {_clean(line.title.en)}",
                time=f"{line.seconds or 0:.3f}",
            )
            if line.state != "passed":
                said = _clean(line.sentence.en) if line.sentence else "not seen"
                failure = ElementTree.SubElement(case, "failure", message=said, type=line.state)
                failure.text = _clean(line.sentence.fr) if line.sentence else None
    ElementTree.indent(top)
    try:
        ElementTree.ElementTree(top).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise GatewayError(f"{path}: {error.strerror}") from error


def _counts(lines: list[StepResult]) -> dict[str, str]:
    failures = sum(line.state != "passed" for line in lines)
    seconds = sum(line.seconds or 0 for line in lines)
    return {"tests": str(len(lines)), "failures": str(failures), "errors": "0", "time": f"{seconds:.3f}"}


def _clean(text: str) -> str:
    """Return a text that XML can hold."""
    return printable(text)


def write_html(result: Result, path: Path, first: str, packs: Sequence[Pack]) -> None:
    """Write the results as one file in both languages, the first of which shows at once; raises GatewayError.

    What the packs say of themselves stands at its foot.
    """
    other = "fr" if first == "en" else "en"
    page = _page(result, first, packs)
    before, inside, after = _parts(page)
    _, inside_other, _ = _parts(_page(result, other, packs))
    links = '<nav class="languages"><a href="#en" lang="en">English</a> <a href="#fr" lang="fr">Français</a></nav>'
    # The results stand in the file itself: `<` is escaped so that no text can end the element.
    data = json.dumps(json.loads(canonical(result)), ensure_ascii=False, sort_keys=True).replace("<", "\\u003c")
    write(
        path,
        f"{before}{SWITCH}{links}"
        f'<div class="other" id="{other}" lang="{other}">{inside_other}</div>'
        f'<div class="first" id="{first}" lang="{first}" data-digest="{digest(result)}">{inside}</div>'
        f'<script type="application/json" id="results">{data}</script>{after}',
    )


def _page(result: Result, language: str, packs: Sequence[Pack]) -> str:
    states: Counter[str] = Counter(line.state for line in result.lines())
    return render(
        "smoke.html",
        language,
        packs=packs,
        result=result,
        timed=any(line.seconds is not None for line in result.lines()),
        digest=digest(result),
        counts={"all": states.total(), **{name: states[name] for name in STATES}},
        states={name: text.speak(language) for name, text in STATES.items()},
        answers={name: text.speak(language) for name, text in ANSWERS.items()},
        number=lambda seconds: _seconds(seconds, language),
        at=lambda text: eastern(datetime.fromisoformat(text), language) if text else "—",
    )


def _parts(page: str) -> tuple[str, str, str]:
    """Return a page up to and with `<body>`, what is inside, and the rest."""
    before, _, rest = page.partition("<body>")
    inside, _, after = rest.partition("</body>")
    return f"{before}<body>", inside, f"</body>{after}"
