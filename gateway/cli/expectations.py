"""`gateway replay --samples`: files in order against a table of what to expect."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from core.findings import Bilingual
from gateway.cli.french import phrase
from gateway.cli.shared import out
from gateway.cli.terminal import echo_json
from gateway.desk.trial import differences, play, read_expectations
from gateway.desk.words import VERDICTS
from gateway.plans import prepare
from gateway.settings import Settings
from gateway.trade.replies import ANSWERS
from routing.partners import load_partners


def samples(paths: tuple[Path, ...], settings: Settings, form: str, lang: str) -> bool:
    """Play tables of expectations; print passes and failures, differences side by side; tell whether any failed."""
    plans, partners = prepare(settings.specs), load_partners(settings.partners)
    shown: list[dict[str, Any]] = []
    for path in paths:
        for expected, came in play(read_expectations(path), plans, partners, datetime.now(UTC)):
            found = differences(expected, came.verdict, came.findings, came.kinds, came.total)
            shown.append(
                {
                    "file": str(expected.file),
                    "partner": expected.partner,
                    "verdict": came.verdict,
                    "findings": list(came.findings),
                    "passed": not found,
                    "differences": [{"what": what, "expected": wanted, "came": given} for what, wanted, given in found],
                    "told": [
                        {"code": finding.code, "en": finding.text.en, "fr": finding.text.fr}
                        for one in (came.outcome.judged if came.outcome and found else ())
                        for finding in one.findings
                    ],
                }
            )
    failed = [each for each in shown if not each["passed"]]
    if form == "json":
        echo_json(shown)
        return bool(failed)
    for each in shown:
        word, style = ("pass", "green") if each["passed"] else ("FAIL", "bold red")
        out.print(Text(phrase(word, lang), style), each["file"])
        if each["differences"]:
            table = Table("", phrase("expected", lang), phrase("came", lang), box=None, padding=(0, 3))
            for one in each["differences"]:
                table.add_row(
                    _facts(one["what"], lang),
                    Text(_facts(one["expected"], lang), "green"),
                    Text(_facts(one["came"], lang), "red"),
                )
            out.print(table)
        for told in each["told"]:
            out.print(Text(f"      {told['code']}  {told[lang]}", "dim"))
    passed = len(shown) - len(failed)
    sum_ = Bilingual(f"{passed} of {len(shown)} as expected", f"{passed} sur {len(shown)} comme attendu")
    out.print(sum_.speak(lang))
    return bool(failed)


def _facts(text: str, lang: str) -> str:
    """Return what a table of expectations says, with blanks between: in English as it stands there."""
    words = {**ANSWERS, **VERDICTS}
    spoken = (words[each].fr if each in words else phrase(each, lang) for each in text.split())
    return ", ".join(spoken) if lang == "fr" else text
