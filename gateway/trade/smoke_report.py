"""The results of a smoke test for people and machines: a table, JUnit XML, and one HTML file in both languages."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from rich.table import Table
from rich.text import Text

from core.calendar import eastern
from core.errors import GatewayError
from core.findings import Bilingual
from gateway import pages
from gateway.pages import render, write
from gateway.trade.replies import ANSWERS
from gateway.trade.signatures import sign
from gateway.trade.smoke import Report, Result, State, StepResult, canonical, decoded, digest, encoded
from responses.business import printable

STATES = {
    "passed": Bilingual("passed", "réussi"),
    "failed": Bilingual("failed", "échec"),
    "missing": Bilingual("not seen", "non vu"),
    "not-reached": Bilingual("not reached", "non atteint"),
    "not-applicable": Bilingual("not applicable", "sans objet"),
}
STYLES = {"passed": "green", "failed": "bold red", "missing": "yellow", "not-reached": "dim", "not-applicable": "dim"}

# In JUnit's words: what was not tried is skipped, not failed.
SKIPPED: set[State] = {"not-reached", "not-applicable"}

# Where the results stand in the page.
DATA = '<script type="application/json" id="results">'


class Checked(NamedTuple):
    """What is known of a report: `whole` if the page is what its results make, and why it may not be comparable."""

    report: Report
    whole: bool
    foreign: bool


# Both languages in one file: the address chooses (#en, #fr), paper has both. No script.
SWITCH = """
<style>
.languages { max-width: 64rem; margin: 0 auto; padding: 1rem 1.5rem 0; text-align: right; }
.languages a { color: var(--link); margin-left: 1rem; }
.other { display: none; scroll-margin-top: 5rem; } .other:target { display: block; }
.other:target + .first { display: none; }
.stage h2 { break-after: avoid; }
.steps td:nth-child(1), .steps td:nth-child(4) { white-space: nowrap; }
.steps td:nth-child(3) { width: 100%; }
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
            said = _clean(line.sentence.en) if line.sentence else STATES[line.state].en
            if line.state in SKIPPED:
                ElementTree.SubElement(case, "skipped", message=said)
            elif line.state != "passed":
                failure = ElementTree.SubElement(case, "failure", message=said, type=line.state)
                failure.text = _clean(line.sentence.fr) if line.sentence else None
    ElementTree.indent(top)
    try:
        ElementTree.ElementTree(top).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise GatewayError(f"{path}: {error.strerror}") from error


def _counts(lines: list[StepResult]) -> dict[str, str]:
    states: Counter[str] = Counter(line.state for line in lines)
    skipped = sum(states[name] for name in SKIPPED)
    failures = len(lines) - states["passed"] - skipped
    counts = {"tests": len(lines), "failures": failures, "errors": 0, "skipped": skipped}
    seconds = sum(line.seconds or 0 for line in lines)
    return {**{name: str(count) for name, count in counts.items()}, "time": f"{seconds:.3f}"}


def _clean(text: str) -> str:
    """Return a text that XML can hold."""
    return printable(text)


def write_html(result: Result, path: Path, key: Path | None = None) -> None:
    """Write the results as one file in both languages; with a private key, signed. Raises GatewayError."""
    write(path, page_of(Report(result, sign(canonical(result), key) if key else "")))


def page_of(report: Report) -> str:
    """Return the page of a report: the same report makes the same page, character for character."""
    first = report.result.language
    other = "fr" if first == "en" else "en"
    before, inside, after = _parts(_page(report, first))
    _, inside_other, _ = _parts(_page(report, other))
    links = '<nav class="languages"><a href="#en" lang="en">English</a> <a href="#fr" lang="fr">Français</a></nav>'
    # The results stand in the file itself: `<` is escaped so that no text can end the element.
    data = encoded(report).replace("<", "\\u003c")
    return (
        f"{before}{SWITCH}{links}"
        f'<div class="other" id="{other}" lang="{other}">{inside_other}</div>'
        f'<div class="first" id="{first}" lang="{first}">{inside}</div>'
        f"{DATA}{data}</script>{after}"
    )


def check_report(path: Path, program: str) -> Checked:
    """Return what a report says, and whether its page is what its results make, compared as a whole.

    `program` is this one's name and version: another one may make another page of the same results.
    Raises GatewayError when the file is no such report.
    """
    try:
        text = path.read_text("utf-8")
        body = text.split(DATA, 1)[1].split("</script>", 1)[0]
        report = decoded(body)
        page = page_of(report)
    except (OSError, UnicodeDecodeError, IndexError, KeyError, ValueError) as error:
        raise GatewayError(f"{path}: no report of a smoke test, or one whose results were cut or altered") from error
    return Checked(report, page == text, report.result.program != program)


def who_played(result: Result) -> Bilingual:
    """Return who was tested, and who played the other side."""
    name = result.partner_name
    if result.demonstration:
        return Bilingual(
            "Self-test: this program played both sides; no partner's system was tested.",
            "Autoessai : ce programme a joué les deux rôles; aucun système de partenaire n'a été mis à l'essai.",
        )
    if result.role == "broker":
        return Bilingual(
            f"The gateway was tested; this program played the broker {name}, whose own system was not tested.",
            f"La passerelle a été mise à l'essai; ce programme a joué le courtier {name}, dont le système n'a pas "
            "été mis à l'essai.",
        )
    return Bilingual(
        f"The system of {name} was tested; this program played customs.",
        f"Le système de {name} a été mis à l'essai; ce programme a joué la douane.",
    )


def title_of(result: Result) -> Bilingual:
    """Return a report's heading: only a test of a partner's system is a conformance report."""
    if result.demonstration:
        return Bilingual("Report of a self-test", "Rapport d'autoessai")
    if result.role == "broker":
        return Bilingual("Report of a gateway's test", "Rapport d'essai d'une passerelle")
    return Bilingual(f"Conformance report: {result.partner_name}", f"Rapport de conformité : {result.partner_name}")


def _page(report: Report, language: str) -> str:
    result = report.result
    states: Counter[str] = Counter(line.state for line in result.lines())
    return render(
        "smoke.html",
        language,
        packs=result.judged_by,
        result=result,
        signature=report.signature,
        title=title_of(result),
        who_played=who_played(result),
        timed=any(line.seconds is not None for line in result.lines()),
        digest=digest(result),
        counts={"all": states.total() - states["not-applicable"], **{name: states[name] for name in STATES}},
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
