"""The commands that show the specification: rules, samples, guide."""

from __future__ import annotations

import csv
import random
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import click
from rich.text import Text

from core.calendar import eastern_day
from core.declaration import MessageType
from core.errors import GatewayError
from core.findings import Bilingual, Severity
from core.partner import Partner
from core.specs import Specs
from core.transmission import Syntax
from gateway.catalogue import Listed, as_json, in_words, listed_rules, place_in_words
from gateway.cli.shared import CONFIDENCES, LANGUAGE, SEVERITIES, known_partner, saying
from gateway.cli.terminal import Console, echo, echo_json
from gateway.desk.trial import TABLES, Trial, trial_id
from gateway.plans import Plans, prepare
from gateway.settings import PARTNERS, SAMPLES, from_environment
from gateway.trade.breaking import faults, faulty
from gateway.trade.guide import build
from gateway.trade.maker import Maker
from gateway.trade.samples import DRAWS, Made, Sample, moment_of
from gateway.trade.samples import make as make_sample
from routing.partners import load_partners

out = Console(soft_wrap=True)
SUFFIXES = {Syntax.XML: "xml", Syntax.EDIFACT: "edi"}
HEADINGS = Bilingual(
    "| id | severity | about | English | French | source | confidence |",
    "| id | gravité | sujet | anglais | français | source | certitude |",
)


# ------------------------------------------------------------------------------------------------ rules


@click.command()
@click.option("--format", "form", type=click.Choice(["text", "json", "md"]), default="text", show_default=True)
@LANGUAGE
def rules(form: str, lang: str) -> None:
    """List all that a declaration and its sender are held to.

    Each with its source and how sure it is.

    The texts of findings stand in both languages in JSON and Markdown; all else in the one that is asked for.

    Exit code: 0, or 2 when the specification cannot be used.
    """
    specs = prepare(from_environment().specs).specs
    listed = listed_rules(specs)
    if form == "json":
        echo_json([as_json(each, lang) for each in listed])
    elif form == "md":
        echo("\n".join(_markdown(listed, lang)))
    else:
        for each in listed:
            finding, text = each.finding, in_words(each.finding.text, each.element)
            style = "red" if finding.severity is Severity.REFUSE else "yellow"
            severity = SEVERITIES[finding.severity].speak(lang)
            out.print(Text(f"{finding.code}  ").append(f"{severity:6}", style).append(f"  {text.speak(lang)}"))


def _markdown(listed: list[Listed], lang: str) -> list[str]:
    """Return the rules as a Markdown table."""
    rows = [HEADINGS.speak(lang), "|---|---|---|---|---|---|---|"]
    for each in listed:
        finding, text = each.finding, in_words(each.finding.text, each.element)
        cells = (
            finding.code, SEVERITIES[finding.severity].speak(lang), place_in_words(each.element).speak(lang),
            text.en, text.fr, finding.source.speak(lang), CONFIDENCES[finding.confidence].speak(lang),
        )  # fmt: skip
        rows.append("| " + " | ".join(str(cell).replace("|", r"\|") for cell in cells) + " |")
    return rows


# ------------------------------------------------------------------------------------------------ samples


@click.group()
def samples() -> None:
    """Make sample messages from the specification."""


@samples.command()
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed and day make the same messages.")
@click.option("--count", type=click.IntRange(1, 100_000), help="How many samples, or pairs with --fault; 1.")
@click.option("--type", "cad_type", help="The CAD type (AB, C, F ...); without it all of them in turn.")
@click.option("--syntax", type=click.Choice(["xml", "edifact"]), default="xml", show_default=True)
@click.option("--fault", "code", metavar="CODE", help="One that passes and one that earns this alone; `all`.")
@click.option("--as", "partner_id", metavar="PARTNER", help="The sender; without it the first one registered.")
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="The day on which they are sent; without it today.")
@click.option("--out", "folder", type=click.Path(file_okay=False, path_type=Path), help="A new folder.")
@LANGUAGE
def make(
    seed: int,
    count: int | None,
    cad_type: str | None,
    syntax: str,
    code: str | None,
    partner_id: str | None,
    day: datetime | None,
    folder: Path | None,
    lang: str,
) -> None:
    """Write messages, and what to expect of each.

    They are valid or faulty, and stand in a new folder: declarations, changes and withdraw requests. With --fault, one
    that passes and one that earns just that finding; without --fault, --type and --count the same of the first finding
    there is. The table of what to expect is printed, and written beside them as expected.csv, which `gateway replay
    --samples` reads. What must be sent first stands in the same sample under a lower number. Each sample is judged as
    it is made. What the files cannot carry stands in the column note; the table has what comes without it.

    Exit code: 0 made, 1 a sample was not judged as expected, 2 cannot be made.
    """
    settings = from_environment()
    plans, partners = prepare(settings.specs), load_partners(settings.partners)
    partner = known_partner(partner_id, partners) if partner_id else next(iter(partners.values()))
    on = day.date() if day else eastern_day(datetime.now(UTC))
    types = _types(plans.specs, cad_type)
    if code is None and cad_type is None and count is None:
        code = faults(plans.specs)[0]
    folder = _clean(folder or Path(f"samples-{code or 'valid'}"))
    rows: list[list[str]] = []
    wrong = 0
    for number in range(count or 1):
        for each, fails in _asked(code, plans.specs):
            maker = Maker(random.Random(f"{seed} {number} {each} {fails}"), plans.specs, partner, on)  # noqa: S311 - samples, no secrets
            draw = _drawer(each, fails, maker, types[number % len(types)], cad_type)
            try:
                made = make_sample(draw, Syntax(syntax), on, f"{seed % 10_000:04}{len(rows):06}", plans)
            except GatewayError as error:
                if code != "all":
                    raise
                echo(f"gateway: {each}: {error}", err=True)  # the pack's form has no place for it
                wrong += 1
                continue
            fate = f"-{each}-{'fails' if fails else 'passes'}" if each else ""
            rows += _write(made, Syntax(syntax), folder, len(rows), fate, _came(made, plans, partner, on), lang)
            wrong += not made.good
    with (folder / TABLES[-1]).open("w", encoding="utf-8", newline="") as beside:
        for table in (csv.writer(sys.stdout, lineterminator="\n"), csv.writer(beside, lineterminator="\n")):
            table.writerow(("file", "partner", "type", "verdict", "findings", "note"))
            table.writerows(rows)
    if wrong:
        raise click.exceptions.Exit(1)


def _types(specs: Specs, cad_type: str | None) -> tuple[str, ...]:
    """Return the CAD types to be made; raises GatewayError for an unknown one."""
    known = tuple(specs.code_lists["cad_type"].codes)
    if cad_type is None:
        return known
    if cad_type not in known:
        raise GatewayError(f"there is no CAD type {cad_type}; known: {', '.join(known)}")
    return (cad_type,)


def _clean(folder: Path) -> Path:
    """Return a folder that is there and empty; raises GatewayError, one line."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise GatewayError(f"{folder} is not empty: name a new folder with --out")
    except OSError as error:
        raise GatewayError(f"{folder}: cannot be written: {error.strerror}") from error
    return folder


def _asked(code: str | None, specs: Specs) -> list[tuple[str | None, bool]]:
    """Return the samples that are asked for, as (finding, whether it is earned): valid ones without a finding."""
    if code is None:
        return [(None, False)]
    return [(each, fails) for each in (faults(specs) if code == "all" else (code,)) for fails in (False, True)]


def _drawer(code: str | None, fails: bool, maker: Maker, story: str, cad_type: str | None) -> Callable[[], Sample]:
    """Return what draws a sample: of a finding the one that passes or fails, else a valid one of the type `story`."""
    if code is None:
        return lambda: maker.story(story)
    return lambda: faulty(code, maker, cad_type)[fails]


def _came(made: Made, plans: Plans, partner: Partner, day: date) -> list[tuple[str, Sequence[str]]]:
    """Return verdict and findings of each file as `replay --samples` comes to them, which has the files alone."""
    if not made.sample.note:
        return [(str(one.verdict), [finding.code for finding in one.findings]) for one in made.judged]
    trial = Trial(plans, moment_of(day), engine=False)
    sent = (trial.send(trial_id(number, body), body, partner) for number, body in enumerate(made.bodies, 1))
    return [(one.verdict, one.findings) for one in sent]


def _write(
    made: Made,
    syntax: Syntax,
    folder: Path,
    before: int,
    fate: str,
    came: Sequence[tuple[str, Sequence[str]]],
    lang: str,
) -> list[list[str]]:
    """Write a sample's messages; return their rows of the table, and say so if they are not judged as expected.

    `fate` ends the last one's name; `came` is what comes of the files alone; notes are in the language.
    """
    sample, bodies = made.sample, made.bodies
    rows = []
    for number, (step, body, (verdict, findings)) in enumerate(zip(sample.steps, bodies, came, strict=True), 1):
        kind = "original" if step.type is MessageType.DECLARATION else str(step.type)
        last = number == len(bodies)
        file = f"{before + number:05}-{kind}{fate if last else ''}.{SUFFIXES[syntax]}"
        (folder / file).write_bytes(body)
        note = ""
        if last and sample.note:
            said = sample.note.speak(lang)
            note = saying(lang)(f"earns {sample.code} if: {said}", f"obtient {sample.code} si : {said}")
        kind = step.declaration.text("cad_type") or ""
        rows.append([file, sample.partner.id, kind, verdict, " ".join(sorted(findings)), note])
    if not made.good:
        wanted = sample.expected(syntax) or "no finding"
        codes = " ".join(sorted(finding.code for finding in made.judged[-1].findings))
        said = f"{rows[-1][0]} was made for {wanted}, judged {codes!r}; drawn {DRAWS} times"
        echo(f"gateway: {said}", err=True)
    return rows


# ------------------------------------------------------------------------------------------------ guide


@click.command()
@click.option("--out", "folder", type=click.Path(file_okay=False, path_type=Path), required=True)
@LANGUAGE
def guide(folder: Path, lang: str) -> None:
    """Write the implementation guide for the trade.

    It is a static site in English and French; open its index.html.

    Exit code: 0, or 2 when the specification cannot be used or the folder not written.
    """
    settings = from_environment()
    plans = prepare(settings.specs)
    count = build(plans, folder, SAMPLES, load_partners(PARTNERS))
    start = folder / "index.html"
    echo(saying(lang)(f"{count} pages in {folder}; open {start}", f"{count} pages dans {folder}; ouvrez {start}"))
