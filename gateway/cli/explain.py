"""The commands that speak plain words: explain a message or a finding, diff two versions of a declaration."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import click
from rich.table import Table
from rich.text import Text

from core.calendar import eastern, eastern_day
from core.errors import GatewayError
from core.findings import Bilingual, Severity
from core.partner import Partner
from core.specs import Rule
from core.transmission import RESEND_OF, Judged, Syntax, Verdict
from gateway import pages, pipeline
from gateway.catalogue import Listed, by_code, in_words
from gateway.cli.shared import CONFIDENCES, HTML, LANGUAGE, files_with_facts, open_journal, out
from gateway.cli.terminal import echo
from gateway.desk import replay
from gateway.desk.explain import Explained, NumberedFinding, explain, where
from gateway.desk.explain_page import explained_page, verdict_of
from gateway.desk.linting import TO_DO
from gateway.engine.assess import load_rates
from gateway.journal import Journal, Recorded
from gateway.plans import Plans, prepare
from gateway.settings import PARTNERS, Settings, from_environment
from gateway.trade.pieces import Pieces, pieces
from routing.partners import load_partners
from validators.words import PLACEHOLDER

SYNTAXES = {Syntax.EDIFACT: "EDIFACT", Syntax.XML: "XML"}
CODE = re.compile(r"[A-Z]{3}-\d{4}", re.IGNORECASE)

ENGINES = Bilingual(
    "a reason of the reference assessment engine; another engine has its own",
    "un motif du moteur de cotisation de référence; un autre moteur a les siens",
)

WORDS = {
    "wrote": Bilingual("wrote", "écrit :"),
    "not given": Bilingual("not given", "absent"),
    "expected": Bilingual("expected", "attendu"),
    "source": Bilingual("source", "source"),
    "whole": Bilingual("The message as a whole", "Le message entier"),
    "passes": Bilingual("passes", "passe"),
    "fails": Bilingual("fails", "échoue"),
    "same": Bilingual(
        "Nothing differs here: what was sent before decides, or who sends.",
        "Rien ne diffère ici : ce qui a été envoyé avant décide, ou qui envoie.",
    ),
    "further": Bilingual("further lines without a finding", "autres lignes sans constat"),
}


@click.command(name="explain")
@click.argument("what", nargs=-1, required=True, metavar="FILE|ID|CODE...")
@click.option("--as", "partner_id", metavar="PARTNER", help="Who sent the files; without it whom the envelope names.")
@HTML
@LANGUAGE
def explain_command(what: tuple[str, ...], partner_id: str | None, html: Path | None, lang: str) -> None:
    """Explain messages or findings in plain words.

    A message is explained element by element, with the faults in place. A FILE is judged as `gateway check` does: give
    the original before its correction. A recorded message (its ID, or the start of it) is judged on what was known when
    it came. A CODE is a finding's, such as CAD-0101, in capitals or not.

    Exit code: 0 accepted (or the finding explained), 1 something refused, 2 it could not be done.
    """
    settings = from_environment()
    plans = prepare(settings.specs)
    if all(map(_is_code, what)):
        if html:
            raise click.UsageError("--html is for messages")
        for code in what:
            if not _print_reason(code.upper(), lang):
                _print_code(code.upper(), plans, lang)
        return
    asked = judge_all(what, settings, plans, partner_id, lang)
    explained = [explain(each.judged, each.partner, plans.specs, lang) for each in asked]
    if html:
        received = {each.name: eastern(each.received_at, lang) if each.received_at else None for each in asked}
        page = explained_page(received, explained, datetime.now(UTC), plans.specs, lang)
        pages.write(html, page)
        echo(f"{WORDS['wrote'].speak(lang)} {html}")
    else:
        for each in explained:
            _print_explained(each, lang)
    sys.exit(1 if any(each.verdict is Verdict.REFUSED for each in explained) else 0)


def _is_code(text: str) -> bool:
    return bool(CODE.fullmatch(text)) and not Path(text).exists()


class _Wanted(NamedTuple):
    """A message that is to be explained: its file's name, or its transmission's id and time of receipt."""

    name: str
    received_at: datetime | None
    judged: Judged
    partner: Partner | None


def judge_all(
    what: Sequence[str], settings: Settings, plans: Plans, partner_id: str | None, lang: str
) -> list[_Wanted]:
    """Return every message of the files or recorded transmissions, judged; raises GatewayError for what is neither."""
    given = [each for each in what if not _is_code(each)]
    if len(given) < len(what):
        raise GatewayError(f"name codes alone: {given[0]!r} is none" if given else "name files, messages or codes")
    files = [Path(each) for each in given if Path(each).exists()]
    if len(files) == len(given):
        asked: list[_Wanted] = []
        for path, parsed, facts, trial, _ in files_with_facts(files, settings, plans, partner_id):
            outcome = pipeline.judge(parsed, facts, plans)
            trial.remember(outcome)
            asked += [_Wanted(path.name, None, one, facts.partner) for one in outcome.judged]
        return asked
    if files:
        raise GatewayError("name files or recorded messages, not both")
    partners = load_partners(settings.partners)
    with open_journal(settings, otherwise=f"there is no file {given[0]!r}, and ") as journal:
        sequences = []
        for each in given:
            sequence = journal.sequence_of(each)
            if sequence is None:
                raise GatewayError(f"there is no file {each!r}, no message with an id that starts so, and no such code")
            sequences.append(sequence)
        asked = []
        for sequence in sequences:
            rows = [_first(row, journal, lang) for row in journal.recorded([sequence])]
            for row, carried in replay.judge_again(rows, journal, plans, partners, lambda row: row.id):
                if isinstance(carried, Exception):
                    raise GatewayError(f"{row.id} cannot be carried: {replay.reason_of(carried)}")
                partner = partners.get(row.partner or "")
                asked += [_Wanted(row.id, row.received_at, one, partner) for one in carried.judged]
        return asked


def _first(row: Recorded, journal: Journal, lang: str) -> Recorded:
    """Return the transmission whose bytes a recorded one repeats, and say so; it was answered as that one was."""
    if not (row.note or "").startswith(RESEND_OF):
        return row
    first = (row.note or "").removeprefix(RESEND_OF)
    said = Bilingual(
        f"{row.id[:12]} repeats {first[:12]} and got its answers again; this is what was said to {first[:12]}.",
        f"{row.id[:12]} répète {first[:12]} et en a reçu de nouveau les réponses; voici ce qui a été dit à celui-ci.",
    )
    echo(said.speak(lang), err=True)
    sequence = journal.sequence_of(first)
    if sequence is None:
        raise GatewayError(f"{row.id} repeats {first}, which is no longer kept")
    (found,) = journal.recorded([sequence])
    return found


def _print_explained(one: Explained, lang: str) -> None:
    """Print a message in plain words."""
    colon = " :" if lang == "fr" else ":"
    style = "green" if one.verdict is Verdict.ACCEPTED else "bold red"
    out.print(Text(one.heading, "bold").append(f"{colon} ").append(verdict_of(one, lang), style))
    out.print(Text(one.summary))
    if one.payment:
        out.print(Text(one.payment))
    if one.elsewhere:
        out.print()
        out.print(Text(WORDS["whole"].speak(lang), "bold"))
        _print_remarks(one.elsewhere, lang)
    for section in one.sections:
        out.print()
        out.print(Text(section.title, "bold"))
        _print_remarks(section.remarks, lang)
        for row in section.rows:
            label = f"  {row.element.form_field or '':>4}  {row.element.title.speak(lang)}{colon} "
            written = WORDS["not given"].speak(lang) if row.written is None else row.written
            line = Text(label).append(written, "bold")
            out.print(line.append(f"  ({row.meaning})" if row.meaning else "", "dim"))
            _print_remarks(row.remarks, lang)
    if one.left_out:
        out.print(f"\n{one.left_out} {WORDS['further'].speak(lang)}")
    out.print()


def _print_remarks(remarks: Iterable[NumberedFinding], lang: str) -> None:
    """Print findings under what they are about."""
    colon = " :" if lang == "fr" else ":"
    for remark in remarks:
        finding = remark.finding
        style = "red" if finding.severity is Severity.REFUSE else "yellow"
        mark = "✗" if finding.severity is Severity.REFUSE else "!"
        out.print(Text(f"        {mark} {finding.code}  ", style).append(finding.text.speak(lang), "default"))
        if remark.excerpt:
            shown = Text("          | ").append(remark.excerpt.before, "dim")
            out.print(shown.append(remark.excerpt.marked, f"reverse {style}").append(remark.excerpt.after, "dim"))
        facts = [where(finding.place, lang)]
        facts += [f"{WORDS['expected'].speak(lang)}{colon} {finding.expected_in(lang)}"] if finding.expected else []
        facts += [f"{WORDS['source'].speak(lang)}{colon} {finding.source.speak(lang)}"]
        out.print(Text("          " + " · ".join(filter(None, facts)), "dim"))
        if remark.remedy:
            out.print(Text(f"          {TO_DO.speak(lang)} {remark.remedy.speak(lang)}", "dim"))


def _add_rule(table: Table, listed: Listed, rule: Rule, lang: str) -> None:
    """Add to the table of a finding what its rule reads, when it is asked and by which constants."""
    if rule.when:
        table.add_row("when" if lang == "en" else "quand", Text(rule.when))
    reads = (f"{element.title.speak(lang)} ({element.name})" for element in listed.reads)
    table.add_row("reads" if lang == "en" else "lit", Text(", ".join(reads)))
    if rule.parameter:
        table.add_row("parameter" if lang == "en" else "paramètre", Text(rule.parameter))
    if rule.parameter_source:
        table.add_row("", Text(rule.parameter_source.speak(lang), "dim"))


def _print_reason(code: str, lang: str) -> bool:
    """Print a reason of the reference engine; tell whether the code is one."""
    reason = load_rates().reasons.get(code)
    if reason:
        out.print(Text(code, "bold").append(f"  {ENGINES.speak(lang)}", "default"))
        for text in reason:
            out.print(Text("  " + PLACEHOLDER.sub(lambda found: f"<{found[1]}>", text)))
    return reason is not None


def _print_code(code: str, plans: Plans, lang: str) -> None:
    """Print what a finding means, with an example; raises GatewayError for a code that no table has."""
    listed = by_code(plans.specs).get(code)
    if listed is None:
        raise GatewayError(f"there is no finding {code}; `gateway rules` lists them")
    finding = listed.finding
    refuses = finding.severity is Severity.REFUSE
    facts = Bilingual(
        "refuses the message" if refuses else "warns; the message is accepted",
        "refuse le message" if refuses else "avertit; le message est accepté",
    )
    out.print(Text(code, "bold").append(f"  {facts.speak(lang)}", "red" if refuses else "yellow"))
    for each in (finding, *finding.states.values()):
        text = in_words(each.text, listed.element)
        out.print(Text(f"  {text.en}"))
        out.print(Text(f"  {text.fr}"))
    out.print(Text(f"  {TO_DO.speak(lang)} {finding.remedy.speak(lang)}"))
    table = Table(show_header=False, box=None)
    if listed.element:
        element = listed.element
        table.add_row("element" if lang == "en" else "élément", Text(element.title.speak(lang)))
        for name, place in (("XML", element.xml_path), ("EDIFACT", element.edifact_place)):
            if place:
                table.add_row(name, Text(place))
    if listed.rule:
        _add_rule(table, listed, listed.rule, lang)
    if listed.packs:
        table.add_row("packs" if lang == "en" else "chapitres", Text(", ".join(listed.packs)))
    if finding.syntax_error:
        table.add_row("CONTRL (UN 0085)", Text(finding.syntax_error))
    table.add_row("source", Text(finding.source.speak(lang)))
    sure = CONFIDENCES[finding.confidence].speak(lang)
    table.add_row("confidence" if lang == "en" else "certitude", sure)
    out.print(table)
    partner = next(iter(load_partners(PARTNERS).values()))
    for example in pieces(code, plans, partner, eastern_day(datetime.now(UTC))):
        _print_pieces(example, lang)


def _print_pieces(example: Pieces, lang: str) -> None:
    """Print the example of a syntax: what passes, and what fails."""
    out.print(Text(SYNTAXES[example.syntax], "bold").append(f"  {example.place}".rstrip(), "not bold dim"))
    if example.passing == example.failing:
        out.print(Text(f"  {WORDS['same'].speak(lang)}", "dim"))
    for said, style, lines in (("passes", "green", example.passing), ("fails", "red", example.failing)):
        for line in lines or ("—",):
            out.print(Text(f"  {WORDS[said].speak(lang):8}", style).append(line, "default"), soft_wrap=True)
