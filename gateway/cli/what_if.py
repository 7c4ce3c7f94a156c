"""`gateway replay --specs`: recorded traffic or files judged by another specification, and what changes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from core.findings import Bilingual
from gateway import pages, pipeline
from gateway.cli.french import phrase, table_in
from gateway.cli.shared import files_with_facts, known_partner, open_journal, out
from gateway.cli.terminal import Console, echo, in_json
from gateway.desk import replay, what_if
from gateway.desk.replay import Change
from gateway.desk.what_if_page import meanings_of, what_if_page
from gateway.desk.words import VERDICTS
from gateway.journal import Selection
from gateway.plans import Plans, prepare
from gateway.settings import Settings
from routing.partners import load_partners

# Transmissions for which another process is worth its start.
FEW = 1_000


def over_journal(
    settings: Settings, wanted: Selection, root: Path, processes: int, form: str, html: Path | None, lang: str
) -> bool:
    """Judge recorded traffic by another specification and report; tell whether anything changes."""
    plans, partners = prepare(root), load_partners(settings.partners)
    with open_journal(settings) as journal:
        total = journal.count_selected(wanted)
    if wanted.partner and not total:
        known_partner(wanted.partner, partners)
    processes = min(processes, 1 + total // FEW)  # starting one costs as much as judging some hundreds
    with _progress(total, lang) as advance:
        result = what_if.what_if(settings, wanted, plans, processes, advance, time.monotonic)
    return _report(result, plans, prepare(settings.specs), wanted, form, html, lang)


def over_files(
    paths: tuple[Path, ...], settings: Settings, root: Path, partner_id: str | None, form: str, html: Path | None,
    lang: str,
) -> bool:  # fmt: skip
    """Judge files by the present specification and by another one, and report; tell whether anything changes."""
    other, present = prepare(root), prepare(settings.specs)
    result = what_if.WhatIf(other.digest)
    started = time.monotonic()
    for path, parsed, facts, trial, _ in files_with_facts(paths, settings, present, partner_id):
        before = pipeline.judge(parsed, facts, present)
        trial.remember(before)
        after = pipeline.judge(pipeline.parse(parsed.received, other), facts, other)
        page = what_if.Sums(transmissions=1)
        result.add(page, page.take(replay.recorded_as(str(path), before), after))
    result.seconds = time.monotonic() - started
    return _report(result, other, present, Selection(), form, html, lang)


@contextmanager
def _progress(total: int, lang: str) -> Iterator[Any]:
    """Show progress on stderr: how many of the total are done, how fast, and how long it will take."""
    columns = (
        TextColumn(phrase("judging", lang)), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    started = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total, speed="")

        def advance(count: int) -> None:
            done = progress.tasks[0].completed + count
            progress.update(task, completed=done, speed=f"{done / (time.monotonic() - started + 0.001):,.0f}/s")

        yield advance


def _report(
    result: what_if.WhatIf, plans: Plans, present: Plans, wanted: Selection, form: str, html: Path | None, lang: str
) -> bool:
    """Print a what-if's result, write its page, and tell whether anything changes."""
    sums = result.tally
    meanings = meanings_of(result, plans, present, lang)
    if html:
        pages.write(html, what_if_page(result, plans, wanted, lang, meanings))
    if form == "json":
        for piece in what_if.as_json(result, plans):
            echo(in_json(piece), nl=False)
        echo()
    else:
        _print_what_if(result, plans, meanings, lang)
    return bool(sums.turned or sums.only_findings or sums.failed)


def _print_what_if(result: what_if.WhatIf, plans: Plans, meanings: Mapping[str, str], lang: str) -> None:
    """Print a what-if's result: the verdicts, by finding, by sender, and examples."""
    sums = result.tally
    _print_sums(result, plans, lang)
    table = table_in(lang, "before", "after", "messages")
    for (before, after), number in sorted(sums.verdicts.items()):
        turned_to = Text(VERDICTS[after].speak(lang), "" if before == after else "bold")
        table.add_row(VERDICTS[before].speak(lang), turned_to, _count(number, lang))
    out.print(table)
    if meanings:
        table = table_in(lang, "finding", "new in", "of these now refused", "gone from", "of these now accepted", "")
        for row in what_if.finding_rows(sums):
            counts = (_count(row[name], lang) for name in ("new", "new_refused", "gone", "gone_accepted"))
            table.add_row(row["code"], *counts, Text(meanings[row["code"]], "dim"))
        out.print(table)
    table = table_in(lang, "sender", "messages", "now refused", "now accepted", "other findings only")
    for row in what_if.sender_rows(sums):
        counts = (_count(row[name], lang) for name in ("messages", "now_refused", "now_accepted", "only_findings"))
        table.add_row(row["partner"] or phrase("not known", lang), *counts)
    out.print(table)
    for code, changes in sorted(sums.examples.items()):
        out.print(Text(f"{code}, {phrase('for example', lang)}", "bold"))
        for change in changes:
            _print_example(change, lang)


def _count(number: float, lang: str, decimals: int = 0) -> str:
    """Return a number as the language writes it."""
    return pages.number(f"{number:,.{decimals}f}", lang)


def _print_sums(result: what_if.WhatIf, plans: Plans, lang: str) -> None:
    """Print how many messages there were, how many are judged otherwise, and which were not judged."""
    sums = result.tally
    messages, turned, other = (_count(each, lang) for each in (sums.messages, sums.turned, sums.only_findings))
    speed = f"({_count(result.seconds, lang, 1)} s, {_count(result.per_second, lang)}/s)"
    told = Bilingual(
        f"What if {plans.specs.root} had judged: {messages} messages, {turned} get another verdict,"
        f" {other} keep theirs with other findings {speed}",
        f"Et si {plans.specs.root} avait jugé {messages} messages : {turned} avec un autre verdict,"
        f" {other} avec le même et d'autres constats {speed}",
    )
    out.print(told.speak(lang))
    for number, words in (
        (sums.resends, "repeated transmissions have no verdict of their own"),
        (sums.unjudged, "have not been judged: parked, or waiting"),
        (len(sums.failed), "could not be carried through the pipeline"),
    ):
        if number:
            out.print(f"  {_count(number, lang)} {phrase(words, lang)}")
    for id_, why in sums.failed[:10]:
        out.print(Text(f"    {id_}: {why}", "red"))


def _print_example(change: Change, lang: str) -> None:
    """Print a message that is judged otherwise, and why."""
    colon = " :" if lang == "fr" else ":"
    text = change.text.speak(lang) if change.text else " ".join([phrase("no longer", lang), *change.gone])
    before, after = (VERDICTS[each or ""].speak(lang) for each in (change.before, change.after))
    where = " ".join(filter(None, (change.id[:12], change.partner, change.transaction_number)))
    out.print(Text(f"  {where}{colon} {before} -> {after}{colon} {text}"))
