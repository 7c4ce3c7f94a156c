"""A difference as people read it: words in both languages, and tables."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from rich.table import Table
from rich.text import Text

from core.declaration import Nature
from core.transmission import Judged
from gateway.cli.shared import CONFIDENCES, out
from gateway.desk.diff import Diff, line_differences
from gateway.desk.diff_words import AMOUNTS, KINDS, NATURES, WORDS, level_in, number_in

Named = Mapping[str, str | None]


def _word(name: str, lang: str) -> str:
    return WORDS[name].speak(lang)


def print_diff(
    found: Diff, judged: Judged, nature: Nature, due: Mapping[str, date], sides: tuple[Named, Named], lang: str
) -> None:
    """Print the difference of two messages, each named by `name`, `transaction_number` and `version`."""
    (first, second), colon = sides, " :" if lang == "fr" else ":"
    for letter, side in (("A", first), ("B", second)):
        number = f"{_word('CAD', lang)} {side['transaction_number']} version {side['version']}"
        out.print(Text(f"{letter}  {side['name']}{colon} {number}"))
    if first["transaction_number"] != second["transaction_number"]:
        out.print(Text(_word("other", lang), "bold red"))
    if not found:
        out.print(_word("same", lang))
        return
    out.print(Text(f"B{colon} {NATURES[nature].speak(lang)}"))
    for name, day in due.items():
        out.print(Text(f"{_word(name, lang)}{colon} {day}"))
    _print_elements(found, lang)
    for heading, lines, style in (("missing", found.missing, "bold red"), ("added", found.added, "bold green")):
        for line in lines:
            told = Text(f"{_word(heading, lang)} {line.number}", style)
            out.print(told.append(f"  {line.classification} {line.description}"))
    out.print(Text(f"\n{_word('findings', lang)}", "bold"))
    for finding in judged.findings:
        style = "red" if finding.severity == "refuse" else "yellow"
        out.print(Text(f"  {finding.code}  ", style).append(finding.text.speak(lang), "default"))
    if not judged.findings:
        out.print(f"  {_word('good', lang)}")
    if found.calls:
        _print_reasons(found, lang)
    _print_amounts(found, lang)


def _print_elements(found: Diff, lang: str) -> None:
    """Print the elements that differ: those of the declaration's substance, then those of the change itself."""
    for heading, substance in (("changed", True), ("itself", False)):
        rows = [one for one in found.changed if one.substance is substance]
        if not rows:
            continue
        out.print(Text(f"\n{_word(heading, lang)}", "bold"))
        table = Table("", *(_word(name, lang) for name in ("element", "before", "after")), box=None)
        for one in rows:
            was, now = (each or _word("none", lang) for each in (one.before, one.after))
            if one.element.format.kind == "number":
                was, now = number_in(was, lang), number_in(now, lang)
            where = level_in(one.invoice, one.line, lang)
            table.add_row(where, Text(one.element.title.speak(lang)), Text(was, "red"), Text(now, "green"))
        out.print(table)


def _print_reasons(found: Diff, lang: str) -> None:
    """Print the reason codes that the changes call for, beside those given."""
    colon = " :" if lang == "fr" else ":"
    out.print(Text(f"\n{_word('reasons', lang)}", "bold"))
    for call in found.calls:
        given = " ".join(call.given) or _word("none", lang)
        out.print(Text(f"  {level_in(call.invoice, call.line, lang)}{colon} {_word('given', lang)} {given}"))
        for code in call.fitting:
            sides = (KINDS.get(code.row.get("kind", "")), CONFIDENCES.get(code.confidence))
            sure = ", ".join(side.speak(lang) for side in sides if side)
            facts = f"{code.name.speak(lang)} ({sure})"
            out.print(Text(f"    {_word('called', lang)} {code.code}  ").append(facts, "dim"))
        if not call.fitting:
            out.print(Text(f"    {_word('called', lang)} {_word('no code', lang)}", "dim"))


def _print_amounts(found: Diff, lang: str) -> None:
    """Print what the engine makes of both versions."""
    effect = found.effect
    out.print(Text(f"\n{WORDS['amounts'].speak(lang)}", "bold"))
    for reason in effect.problems:
        out.print(Text(f"  {reason.code} {reason.text.speak(lang)}".rstrip(), "red"))
    if effect.before is None or effect.after is None or effect.difference is None:
        return
    table = Table(*(WORDS[name].speak(lang) for name in ("amount", "before", "after", "difference")), box=None)
    for name in AMOUNTS:
        was, now, less = (
            getattr(each, name) for each in (effect.before.totals, effect.after.totals, effect.difference)
        )
        if was or now:
            style = "" if not less else "bold"
            change = number_in(f"{less:+}" if less else "0.00", lang)
            table.add_row(AMOUNTS[name].speak(lang), number_in(was, lang), number_in(now, lang), Text(change, style))
    for i, j, was, now in line_differences(effect):
        table.add_row(level_in(i, j, lang), *(number_in(each, lang) for each in (was, now, f"{now - was:+}")))
    out.print(table)
