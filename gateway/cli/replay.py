"""`gateway replay`: recorded messages or files judged again, what if by another specification, tables of samples."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from core.findings import Bilingual
from core.transmission import RESEND_OF, Outcome, Verdict
from gateway import pipeline
from gateway.cli import expectations, what_if
from gateway.cli.french import phrase, table_in
from gateway.cli.shared import (
    FORMAT,
    HTML,
    LANGUAGE,
    OPERATOR,
    Moment,
    files_with_facts,
    known_partner,
    open_journal,
    out,
)
from gateway.cli.terminal import echo, echo_json
from gateway.desk import replay
from gateway.desk.what_if import processors
from gateway.desk.words import VERDICTS
from gateway.journal import Execution, Recorded, Selection
from gateway.plans import Plans, prepare
from gateway.settings import Settings, from_environment
from routing.partners import load_partners

DIFFERENT = 1


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
@click.option("--processes", type=click.IntRange(1, 64), default=processors, help="What if: how many judge.")
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

    Exit code: 0 everything as before (samples: as expected; files: accepted), 1 not so, 2 it could not be done.
    """
    settings = from_environment()
    wanted = Selection(**filters)
    selects = bool(ids) or wanted != Selection()
    _check_call(wanted, selects, paths, bool(root), samples_, send, html is not None)
    if samples_:
        differs = expectations.samples(paths, settings, form, lang)
    elif root and paths:
        differs = what_if.over_files(paths, settings, root, partner_id, form, html, lang)
    elif root:
        if ids:
            raise click.UsageError("what-if selects by time, sender, verdict, finding or transaction number")
        differs = what_if.over_journal(settings, wanted, root, processes, form, html, lang)
    elif paths:
        differs = _again_files(paths, settings, partner_id, operator, form, lang)
    elif selects:
        differs = _again(settings, wanted, ids, send, operator, form, lang)
    else:
        raise click.UsageError("name files, or select recorded messages (--id, --since, --partner, ...)")
    sys.exit(DIFFERENT if differs else 0)


def _check_call(
    wanted: Selection, selects: bool, paths: tuple[Path, ...], what_if: bool, samples: bool, send: bool, page: bool
) -> None:
    """Raise UsageError for options that contradict each other."""
    for wrong, why in (
        (wanted.since and wanted.until and wanted.since >= wanted.until, "--since must lie before --until"),
        (paths and selects, "name files, or select recorded messages, not both"),
        (
            send and (paths or what_if or samples),
            "--send is for recorded messages replayed as they are; a file is sent by `gateway send`",
        ),
        (page and not what_if, "--html is for what-if (--specs)"),
        (samples and (not paths or what_if), "--samples takes tables or folders, and no --specs"),
    ):
        if wrong:
            raise click.UsageError(why)


def _again(
    settings: Settings, wanted: Selection, ids: tuple[str, ...], send: bool, operator: str, form: str, lang: str
) -> bool:
    """Replay recorded messages and keep what came of it; tell whether anything differs."""
    plans, partners = prepare(settings.specs), load_partners(settings.partners)
    shown: list[dict[str, Any]] = []
    with open_journal(settings) as journal:
        some = [replay.sequence_of(journal, id_) for id_ in ids]
        for row, outcome in replay.again(journal, wanted, some, plans, partners):
            if isinstance(outcome, Exception):
                shown.append(_shown(row, None, isinstance(outcome, replay.Repeat), 0, replay.reason_of(outcome)))
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
        echo_json(shown)
        return
    table = table_in(lang, "message", "sender", "transaction", "recorded", "now", "", "replay")
    for each in shown:
        after = each["after"]
        same = (
            Text(phrase("as before", lang), "green") if each["agrees"] else Text(phrase("DIFFERENT", lang), "bold red")
        )
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
    echo(told)


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
        echo_json(shown)
    else:
        table = table_in(lang, "file", "transaction", "now", "replay")
        for each in shown:
            numbers = " ".join(one["transaction_number"] or "" for one in each["after"])
            table.add_row(each["file"], numbers, _brief(each["after"], lang), each["execution"][:12])
        out.print(table)
    return any(one["verdict"] == "refused" for each in shown for one in each["after"])


def _outcomes(
    paths: tuple[Path, ...], settings: Settings, plans: Plans, partner_id: str | None
) -> Iterator[tuple[Path, Outcome]]:
    """Yield files judged in order; what is accepted is known to those after it."""
    for path, parsed, facts, trial, _ in files_with_facts(paths, settings, plans, partner_id):
        outcome = pipeline.judge(parsed, facts, plans)
        trial.remember(outcome)
        yield path, outcome
