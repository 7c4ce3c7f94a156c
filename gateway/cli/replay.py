"""The commands on recorded traffic: replay (again, what-if, samples) and parked messages."""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from core.calendar import eastern
from core.errors import GatewayError
from core.findings import Bilingual
from core.transmission import Outcome, Verdict
from gateway import pages, pipeline
from gateway.catalogue import in_words
from gateway.cli.shared import (
    FORMAT,
    HTML,
    LANGUAGE,
    OPERATOR,
    VERDICTS,
    Moment,
    files_with_facts,
    known_partner,
    open_journal,
    out,
    plain,
)
from gateway.desk import replay
from gateway.desk.trial import differences, play, read_expectations
from gateway.journal import RESEND_OF, Execution, Journal, Recorded, Selection
from gateway.plans import Plans, prepare
from gateway.settings import Settings, from_environment
from gateway.trade.replies import ANSWERS
from routing.partners import load_partners
from validators.words import texts_of

DIFFERENT, CANNOT = 1, 2

# What these commands print, in French by its English words.
FRENCH = {
    "file": "fichier",
    "sender": "expéditeur",
    "not known": "inconnu",
    "finding": "constat",
    "recorded": "au dossier",
    "now": "maintenant",
    "replay": "rejeu",
    "as before": "comme avant",
    "DIFFERENT": "DIFFÉRENT",
    "before": "avant",
    "after": "après",
    "new in": "nouveau dans",
    "of these now refused": "dont refusés désormais",
    "gone from": "disparu de",
    "of these now accepted": "dont acceptés désormais",
    "now refused": "refusés désormais",
    "now accepted": "acceptés désormais",
    "other findings only": "autres constats seulement",
    "for example": "par exemple",
    "no longer": "plus :",
    "repeated transmissions have no verdict of their own": "transmissions répétées, sans verdict propre",
    "have not been judged: parked, or waiting": "pas encore jugées (garées ou en attente)",
    "could not be carried through the pipeline": "non traitées",
    "judging": "jugement",
    "pass": "réussi",
    "FAIL": "ÉCHEC",
    "expected": "attendu",
    "came": "venu",
    "findings": "constats",
    "answers": "réponses",
    "none": "aucun",
    "repeated": "répété",
    "parked because:": "garé parce que :",
    "too many attempts": "trop d'essais",
    "today's pipeline fails on it as well:": "le traitement d'aujourd'hui y échoue aussi :",
    "today's pipeline would say:": "le traitement d'aujourd'hui dirait :",
    "or": "ou",
    "REASON": "RAISON",
    # events of the audit
    "received": "reçu",
    "parked": "garé",
    "released": "libéré",
    "sent": "envoyé",
    "replayed": "rejoué",
}

# Transmissions for which another process is worth its start.
FEW = 1_000

# ------------------------------------------------------------------------------------------------ replay


@click.command(name="replay")
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--id", "ids", multiple=True, metavar="ID", help="This recorded message, or the start of its id.")
@click.option("--since", type=Moment(), help="Received from then on.")
@click.option("--until", type=Moment(end=True), help="Received before then; a day is included.")
@click.option("--partner", help="Only this sender's.")
@click.option("--transaction", "transaction_number", help="Only this transaction number's.")
@click.option("--verdict", type=click.Choice([str(v) for v in Verdict]), help="Only with this verdict.")
@click.option("--finding", metavar="CODE", help="Only with this finding.")
@click.option("--specs", "root", type=click.Path(exists=True, file_okay=False, path_type=Path), help="What if: judge by"
              " the specification in this folder, and tell what changes.")  # fmt: skip
@click.option("--samples", "samples_", is_flag=True, help="The paths are tables of expectations, or folders with one.")
@click.option("--send", is_flag=True, help="Send the new answers, where the replay agrees with the record.")
@click.option("--as", "partner_id", metavar="PARTNER", help="Who sent the files; without it whom the envelope names.")
@click.option("--processes", type=click.IntRange(1, 64), default=replay.processors, help="What if: how many judge.")
@OPERATOR
@FORMAT
@HTML
@LANGUAGE
def replay_command(
    paths: tuple[Path, ...],
    ids: tuple[str, ...],
    root: Path | None,
    samples_: bool,
    send: bool,
    partner_id: str | None,
    processes: int,
    operator: str,
    form: str,
    html: Path | None,
    lang: str,
    **filters: Any,
) -> None:
    """Judge again what came in, or files.

    Nothing takes effect, nothing is sent unless you say so.

    Again (the default): the same bytes through today's pipeline, each message on what was known when it was first
    judged. Every replay is kept in the journal with its answers, under an id of its own and your name.

    What if (--specs DIR): recorded traffic, or files, judged by another specification; nothing is kept.

    Samples (--samples): files in order against a table of what to expect (columns file, partner, verdict, findings;
    also answers and total).

    Exit code: 0 everything as before (samples: as expected; files: accepted), 1 not so, 2 cannot.
    """
    settings = from_environment()
    wanted = Selection(**filters)
    selects = bool(ids) or wanted != Selection()
    if wanted.since and wanted.until and wanted.since >= wanted.until:
        raise click.UsageError("--since must lie before --until")
    if paths and selects:
        raise click.UsageError("name files, or select recorded messages, not both")
    if send and (paths or root or samples_):
        raise click.UsageError("--send is for recorded messages replayed as they are; a file is sent by `gateway send`")
    if html and not root:
        raise click.UsageError("--html is for what-if (--specs)")
    if samples_:
        if not paths or root:
            raise click.UsageError("--samples takes tables or folders, and no --specs")
        differs = _samples(paths, settings, form, lang)
    elif root and paths:
        differs = _what_if_files(paths, settings, root, partner_id, form, html, lang)
    elif root:
        if ids:
            raise click.UsageError("what-if selects by time, sender, verdict, finding or transaction number")
        differs = _what_if(settings, wanted, root, processes, form, html, lang)
    elif paths:
        differs = _again_files(paths, settings, partner_id, operator, form, lang)
    elif selects:
        differs = _again(settings, wanted, ids, send, operator, form, lang)
    else:
        raise click.UsageError("name files, or select recorded messages (--id, --since, --partner, ...)")
    sys.exit(DIFFERENT if differs else 0)


def _again(
    settings: Settings, wanted: Selection, ids: tuple[str, ...], send: bool, operator: str, form: str, lang: str
) -> bool:
    """Replay recorded messages and keep what came of it; tell whether anything differs."""
    plans, partners = prepare(settings.specs), load_partners(settings.partners)
    shown: list[dict[str, Any]] = []
    with open_journal(settings) as journal:
        for row, outcome in _executions(journal, wanted, ids, plans, partners):
            if isinstance(outcome, Exception):
                shown.append(_shown(row, None, isinstance(outcome, Repeat), 0, replay.reason_of(outcome)))
                continue
            same = replay.agrees(row, outcome)
            execution = Execution(row.sequence, row.id, operator, plans.digest, outcome, same)
            id_ = journal.keep_execution(execution, datetime.now(UTC))
            sent = journal.send_execution(id_, operator, datetime.now(UTC)) if send and same else 0
            shown.append(_shown(row, outcome, same, sent, ""))
    if wanted.partner and not shown:
        known_partner(wanted.partner, partners)
    _print_again(shown, form, send, lang)
    return not all(each["agrees"] for each in shown)


def _executions(
    journal: Journal, wanted: Selection, ids: tuple[str, ...], plans: Plans, partners: Any
) -> Iterator[tuple[Recorded, Outcome | Exception]]:
    """Yield the selected messages judged again; those that repeat an earlier one have nothing to be judged."""
    some = [_sequence(journal, id_) for id_ in ids] if ids else None
    chosen = iter([some]) if some else replay.pages(journal, wanted)
    for page in chosen:
        rows = [row for row in journal.recorded(page) if row.channel == "partner"]
        repeats = [row for row in rows if (row.note or "").startswith(RESEND_OF)]
        for row in repeats:
            yield row, Repeat(row.note or "")
        again = [row for row in rows if row not in repeats]
        yield from replay.judge_again(again, journal, plans, partners, lambda row: uuid.uuid4().hex)


class Repeat(GatewayError):
    """A transmission that repeated an earlier one: it was answered with the stored answers, and judged never."""


def _sequence(journal: Journal, id_: str) -> int:
    """Return the sequence of a message by its id; raises GatewayError if there is none."""
    sequence = journal.sequence_of(id_)
    if sequence is None:
        raise GatewayError(f"no message has an id that starts with {id_!r}")
    return sequence


def _shown(row: Recorded, outcome: Outcome | None, same: bool, sent: int, problem: str) -> dict[str, Any]:
    """Return what is shown of a replayed message."""
    changes = [change for _, _, change in replay.compare(row, outcome) if change] if outcome else []
    return {
        "id": row.id,
        "partner": row.partner,
        "received_at": row.received_at.isoformat(),
        "execution": outcome.received.id if outcome else None,
        "before": [{"ordinal": m.ordinal, "verdict": m.verdict, "findings": list(m.codes)} for m in row.messages],
        "after": _verdicts(outcome),
        "agrees": same,
        "changes": [replay.change_as_json(change) for change in changes],
        "sent": sent,
        "problem": problem or None,
    }


def _verdicts(outcome: Outcome | None) -> list[dict[str, Any]]:
    return [
        {
            "ordinal": one.message.ordinal,
            "transaction_number": one.message.declaration.transaction_number if one.message.declaration else None,
            "verdict": str(one.verdict),
            "findings": [finding.code for finding in one.findings],
        }
        for one in (outcome.judged if outcome else ())
    ]


def _print_again(shown: list[dict[str, Any]], form: str, send: bool, lang: str) -> None:
    """Print replays as a table or as JSON."""
    if form == "json":
        click.echo(json.dumps(shown, ensure_ascii=False, indent=2))
        return
    table = _table(lang, "message", "sender", "transaction", "recorded", "now", "", "replay")
    for each in shown:
        after = each["after"]
        same = Text(_word("as before", lang), "green") if each["agrees"] else Text(_word("DIFFERENT", lang), "bold red")
        table.add_row(
            each["id"][:12],
            each["partner"] or "",
            " ".join(one["transaction_number"] or "" for one in after),
            _brief(each["before"], lang),
            _brief(after, lang) or Text(_resend(each["problem"] or "", lang), "yellow"),
            same if after else "",
            (each["execution"] or "")[:12],
        )
    out.print(table)
    differ = sum(1 for each in shown if not each["agrees"])
    replayed, sent = (sum(1 for each in shown if each[what]) for what in ("execution", "sent"))
    told = Bilingual(
        f"{replayed} replayed, {differ} different from the record",
        f"rejoués : {replayed}; différents du dossier : {differ}",
    ).speak(lang)
    if send:
        told += Bilingual(f"; answers sent for {sent}", f"; réponses envoyées pour {sent}").speak(lang)
        if differ:
            told += Bilingual(
                " (an answer that contradicts the record is never sent)",
                " (une réponse qui contredit le dossier n'est jamais envoyée)",
            ).speak(lang)
    click.echo(told)


def _word(text: str, lang: str) -> str:
    """Return one of our own texts in the language; what another has noted stays as it was noted."""
    return FRENCH.get(text, text) if lang == "fr" else text


def _table(lang: str, *headings: str) -> Table:
    """Return a table without lines, its headings in the language."""
    return Table(*(_word(name, lang) for name in headings), box=None)


def _resend(problem: str, lang: str) -> str:
    """Return why a message was not replayed."""
    return problem.replace(RESEND_OF, "répète ") if lang == "fr" else problem


def _brief(messages: list[dict[str, Any]], lang: str) -> str:
    return "; ".join(" ".join([VERDICTS[each["verdict"]].speak(lang), *each["findings"]]) for each in messages)


def _again_files(
    paths: tuple[Path, ...], settings: Settings, partner_id: str | None, operator: str, form: str, lang: str
) -> bool:
    """Replay files in order, each remembered for the next, and keep what came of them; tell whether any is refused."""
    plans = prepare(settings.specs)
    shown: list[dict[str, Any]] = []
    with open_journal(settings, make=True) as journal:
        for path, outcome in _outcomes(paths, settings, plans, partner_id):
            journal.keep_execution(Execution(None, str(path), operator, plans.digest, outcome, True), datetime.now(UTC))
            shown.append({"file": str(path), "execution": outcome.received.id, "after": _verdicts(outcome)})
    if form == "json":
        click.echo(json.dumps(shown, ensure_ascii=False, indent=2))
    else:
        table = _table(lang, "file", "transaction", "now", "replay")
        for each in shown:
            numbers = " ".join(one["transaction_number"] or "" for one in each["after"])
            table.add_row(each["file"], numbers, _brief(each["after"], lang), each["execution"][:12])
        out.print(table)
    return any(one["verdict"] == "refused" for each in shown for one in each["after"])


def _outcomes(
    paths: tuple[Path, ...], settings: Settings, plans: Plans, partner_id: str | None
) -> Iterator[tuple[Path, Outcome]]:
    """Yield files judged in order; what is accepted is known to those after it."""
    for path, parsed, facts, trial in files_with_facts(paths, settings, plans, partner_id):
        outcome = pipeline.judge(parsed, facts, plans)
        trial.remember(outcome)
        yield path, outcome


# ------------------------------------------------------------------------------------------------ what if


def _what_if(
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
        result = replay.what_if(settings, wanted, plans, processes, advance, time.monotonic)
    return _report(result, plans, prepare(settings.specs), wanted, form, html, lang)


def _what_if_files(
    paths: tuple[Path, ...], settings: Settings, root: Path, partner_id: str | None, form: str, html: Path | None,
    lang: str,
) -> bool:  # fmt: skip
    """Judge files by the present specification and by another one, and report; tell whether anything changes."""
    other, present = prepare(root), prepare(settings.specs)
    result = replay.WhatIf(other.digest)
    started = time.monotonic()
    for path, parsed, facts, trial in files_with_facts(paths, settings, present, partner_id):
        before = pipeline.judge(parsed, facts, present)
        trial.remember(before)
        after = pipeline.judge(pipeline.parse(parsed.received, other), facts, other)
        page = replay.Tally(transmissions=1)
        result.add(page, page.take(replay.recorded_as(str(path), before), after))
    result.seconds = time.monotonic() - started
    return _report(result, other, present, Selection(), form, html, lang)


@contextmanager
def _progress(total: int, lang: str) -> Iterator[Any]:
    """Show progress on stderr: how many of the total are done, how fast, and how long it will take."""
    columns = (
        TextColumn(_word("judging", lang)), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"),
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
    result: replay.WhatIf, plans: Plans, present: Plans, wanted: Selection, form: str, html: Path | None, lang: str
) -> bool:
    """Print a what-if's result, write its page, and tell whether anything changes."""
    sums = result.tally
    codes = {key[0] for key in (*sums.new, *sums.gone)}
    meanings = {code: _meaning(code, plans, present, lang) for code in codes}
    if html:
        pages.write(html, _page(result, plans, wanted, lang, meanings))
    if form == "json":
        for piece in replay.as_json(result, plans):
            click.echo(piece, nl=False)
        click.echo()
    else:
        _print_what_if(result, plans, meanings, lang)
    return bool(sums.turned or sums.only_findings or sums.failed)


def _meaning(code: str, plans: Plans, present: Plans, lang: str) -> str:
    """Return what a finding says, by the specification that knows it."""
    for each in (plans.specs, present.specs):
        for pack in each.packs:
            if found := texts_of(each, pack).get(code):
                return in_words(found.text, None).speak(lang)
    return ""


def _print_what_if(result: replay.WhatIf, plans: Plans, meanings: Mapping[str, str], lang: str) -> None:
    """Print a what-if's result: the verdicts, by finding, by sender, and examples."""
    sums, colon = result.tally, " :" if lang == "fr" else ":"

    def count(number: float, decimals: int = 0) -> str:
        return pages.number(f"{number:,.{decimals}f}", lang)

    messages, turned, other = count(sums.messages), count(sums.turned), count(sums.only_findings)
    speed = f"({count(result.seconds, 1)} s, {count(result.per_second)}/s)"
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
            out.print(f"  {count(number)} {_word(words, lang)}")
    for id_, why in sums.failed[:10]:
        out.print(Text(f"    {id_}: {why}", "red"))
    table = _table(lang, "before", "after", "messages")
    for (before, after), number in sorted(sums.verdicts.items()):
        turned_to = Text(VERDICTS[after].speak(lang), "" if before == after else "bold")
        table.add_row(VERDICTS[before].speak(lang), turned_to, count(number))
    out.print(table)
    if meanings:
        table = _table(lang, "finding", "new in", "of these now refused", "gone from", "of these now accepted", "")
        for row in replay.finding_rows(sums):
            counts = (count(row[name]) for name in ("new", "new_refused", "gone", "gone_accepted"))
            table.add_row(row["code"], *counts, Text(meanings[row["code"]], "dim"))
        out.print(table)
    table = _table(lang, "sender", "messages", "now refused", "now accepted", "other findings only")
    for row in replay.sender_rows(sums):
        counts = (count(row[name]) for name in ("messages", "now_refused", "now_accepted", "only_findings"))
        table.add_row(row["partner"] or _word("not known", lang), *counts)
    out.print(table)
    for code, changes in sorted(sums.examples.items()):
        out.print(Text(f"{code}, {_word('for example', lang)}", "bold"))
        for change in changes:
            text = change.text.speak(lang) if change.text else " ".join([_word("no longer", lang), *change.gone])
            before, after = (VERDICTS[each or ""].speak(lang) for each in (change.before, change.after))
            where = " ".join(filter(None, (change.id[:12], change.partner, change.transaction_number)))
            out.print(Text(f"  {where}{colon} {before} -> {after}{colon} {text}"))


def _page(result: replay.WhatIf, plans: Plans, wanted: Selection, lang: str, meanings: Mapping[str, str]) -> str:
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
        specs_name=plans.specs.root.name or str(plans.specs.root),
        digest=result.digest,
        selection=", ".join(filter(None, [span, *(f"{_word(k, lang)} {v}" for k, v in chosen.items() if v)])),
        made_at=eastern(datetime.now(UTC), lang),
        tally=result.tally,
        verdicts=sorted(result.tally.verdicts.items()),
        words={name: text.speak(lang) for name, text in VERDICTS.items()},
        findings=replay.finding_rows(result.tally),
        senders=replay.sender_rows(result.tally),
        meanings=meanings,
        examples=sorted(result.tally.examples.items()),
        seconds=f"{result.seconds:.1f}".replace(".", "," if lang == "fr" else "."),
        rate=round(result.per_second),
    )


# ------------------------------------------------------------------------------------------------ samples


def _samples(paths: tuple[Path, ...], settings: Settings, form: str, lang: str) -> bool:
    """Play tables of expectations; print passes and failures, differences side by side; tell whether any failed."""
    plans, partners = prepare(settings.specs), load_partners(settings.partners)
    shown: list[dict[str, Any]] = []
    for path in paths:
        for expected, came in play(read_expectations(path), plans, partners, datetime.now(UTC)):
            found = differences(expected, came)
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
        click.echo(json.dumps(shown, ensure_ascii=False, indent=2))
        return bool(failed)
    for each in shown:
        word, style = ("pass", "green") if each["passed"] else ("FAIL", "bold red")
        out.print(Text(_word(word, lang), style), each["file"])
        if each["differences"]:
            table = Table("", _word("expected", lang), _word("came", lang), box=None, padding=(0, 3))
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
    spoken = (words[each].fr if each in words else _word(each, lang) for each in text.split())
    return ", ".join(spoken) if lang == "fr" else text


# ------------------------------------------------------------------------------------------------ parked


@click.group(name="parked")
def parked() -> None:
    """List, show, release or refuse parked messages.

    Parked are those that were taken out of the way of the others.
    """


@parked.command(name="list")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@FORMAT
def parked_list(limit: int, form: str) -> None:
    """List parked messages, newest first, each with the reason.

    Exit code: 0, or 2 when the journal cannot be read.
    """
    with open_journal(from_environment()) as journal:
        rows = journal.list_messages(state="parked", limit=limit)
    if form == "json":
        click.echo(json.dumps(rows, default=plain, indent=2))
        return
    table = Table("id", "received", "channel", "sender", "why", box=None)
    for row in rows:
        table.add_row(
            row["id"][:12], eastern(row["received_at"]), row["channel"], row["partner"] or "", Text(row["note"] or "")
        )
    out.print(table)
    click.echo(f"{len(rows)} parked")


@parked.command(name="show")
@click.argument("id_", metavar="ID")
@LANGUAGE
def parked_show(id_: str, lang: str) -> None:
    """Show why a message was parked.

    And what today's pipeline says of it; nothing changes.

    Exit code: 0 shown, 2 not parked.
    """
    settings = from_environment()
    plans, partners = prepare(settings.specs), load_partners(settings.partners)
    with open_journal(settings) as journal:
        row = _parked(journal, id_)
        life = journal.show(row.id) or {}
        whose = Bilingual("from the assessment engine", "du moteur de cotisation")
        if row.channel == "partner":
            sender = Bilingual("from a sender that is not known", "d'un expéditeur inconnu")
            whose = Bilingual(f"from {row.partner}", f"(expéditeur : {row.partner})") if row.partner else sender
        received = eastern(row.received_at, lang)
        kept = Bilingual(
            f"received {received}, {len(row.body)} bytes, {life['attempts']} attempts",
            f"reçu {received}, {len(row.body)} octets, {life['attempts']} essais",
        )
        out.print(Text(f"{row.id} {whose.speak(lang)}"))
        out.print(Text(f"  {kept.speak(lang)}"))
        out.print(Text(f"  {_word('parked because:', lang)} {_word(row.note or '', lang)}", "yellow"))
        for link in life["audit"]:
            operator = link["detail"].get("operator")
            by = Bilingual(f" by {operator}", f" par {operator}").speak(lang) if operator else ""
            at, event = eastern(datetime.fromisoformat(link["at"]), lang), _word(link["event"], lang)
            out.print(Text(f"  {at}  {event}{by}", "dim"))
        if row.channel == "partner":
            ((_, outcome),) = replay.judge_again([row], journal, plans, partners, lambda row: row.id)
            if isinstance(outcome, Exception):
                fails = _word("today's pipeline fails on it as well:", lang)
                out.print(Text(f"  {fails} {replay.reason_of(outcome)}", "bold red"))
            else:
                says = _word("today's pipeline would say:", lang)
                for one in outcome.judged:
                    out.print(Text(f"  {says} {VERDICTS[str(one.verdict)].speak(lang)}"))
                    for finding in one.findings:
                        out.print(Text(f"    {finding.code}  {finding.text.speak(lang)}"))
        either, reason = _word("or", lang), _word("REASON", lang)
        out.print(f"  `gateway parked release {row.id[:12]}` {either} `gateway parked refuse {row.id[:12]} {reason}`")


@parked.command(name="release")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@OPERATOR
def parked_release(ids: tuple[str, ...], operator: str) -> None:
    """Give parked messages to the workers again.

    They are judged on what is known now, with all attempts.

    Exit code: 0 released, 2 not parked.
    """
    with open_journal(from_environment()) as journal:
        for row in [_parked(journal, id_) for id_ in ids]:
            if not journal.release_parked(row.sequence, operator, datetime.now(UTC)):
                raise GatewayError(f"{row.id} is not parked any more")
            click.echo(f"released {row.id}")


@parked.command(name="refuse")
@click.argument("id_", metavar="ID")
@click.argument("reason")
@OPERATOR
def parked_refuse(id_: str, reason: str, operator: str) -> None:
    """Refuse a parked message.

    Its sender is told REASON, in the sender's own syntax.

    Exit code: 0 refused, 2 not parked.
    """
    settings = from_environment()
    plans, partners = prepare(settings.specs), load_partners(settings.partners)
    if not reason.strip():
        raise click.UsageError("the reason is empty: it is what the sender will read")
    moment = datetime.now(UTC)
    with open_journal(settings) as journal:
        row = _parked(journal, id_)
        outcome = None
        if row.channel == "partner":
            outcome = pipeline.refuse(row.received, partners.get(row.partner or ""), reason, moment, plans)
        if not journal.refuse_parked(row, outcome, why=reason, specs=plans.digest, operator=operator, now=moment):
            raise GatewayError(f"{row.id} is not parked any more")
    told = [item.kind for item in outcome.outgoing] if outcome else []
    click.echo(f"refused {row.id}; {'the sender is told' if told else 'nobody is told'}")


def _parked(journal: Journal, id_: str) -> Recorded:
    """Return a parked message by its id or the start of it; raises GatewayError if it is none."""
    (row,) = journal.recorded([_sequence(journal, id_)])
    if row.state != "parked":
        raise GatewayError(f"{row.id} is not parked but {row.state}")
    return row
