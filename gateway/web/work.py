"""What the worker processes do: judge what was uploaded, and write the page, the documents and the answers about it.

Nothing here knows of HTTP; arguments and results are plain values, for they pass from process to process.
"""

from __future__ import annotations

import functools
import json
import random
import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

from core.calendar import eastern_day
from core.findings import Bilingual
from core.partner import Partner
from core.transmission import Outcome, Received, Syntax, Verdict, stable_id
from gateway import pages, pipeline
from gateway.catalogue import as_json, by_code, in_words
from gateway.desk.explain import Explained, explain, where
from gateway.desk.explain_page import explained_page, verdict_of
from gateway.desk.in_place import TextRow, decoded, in_place, readable
from gateway.desk.linting import LINES, Linted, junit, message_as_json, sarif, summary
from gateway.desk.trial import SUFFIXES, Trial, made_up_partner, trial_id
from gateway.engine.assess import load_rates
from gateway.plans import Plans, prepare
from gateway.settings import PARTNERS
from gateway.trade.breaking import faults, faulty
from gateway.trade.maker import Maker
from gateway.trade.pieces import pieces
from gateway.trade.replies import ANSWERS
from gateway.trade.samples import Sample, make
from responses.receipt import receipt
from routing.partners import load_partners
from validators.words import PLACEHOLDER

P = ParamSpec("P")
T = TypeVar("T")

# What a finding's code looks like, in capitals.
CODE = re.compile(r"[A-Z]{3}-[0-9]{4}")

# Messages of a file that are shown whole; the others are counted, and the API tells them all.
MESSAGES_SHOWN = 30

# Characters of an answer that are shown; the download has all.
ANSWER_SHOWN = 20_000

# Bytes of a sample that a page may hold.
SAMPLE_BYTES = 1_000_000

TOO_LARGE = Bilingual(
    "it is too large for a page; `gateway samples make --fault` writes it",
    "il est trop grand pour une page; `gateway samples make --fault` l'écrit",
)
ELSEWHERE = Bilingual(
    "it needs what was sent before, or under which id the sender is registered",
    "il y faut ce qui a été envoyé avant, ou l'identifiant sous lequel l'expéditeur est inscrit",
)


class Upload(NamedTuple):
    """One file as it was sent; its name is only told, never opened."""

    name: str
    body: bytes


class Assumed(NamedTuple):
    """What is assumed of the sender: whether it is known, has authority, and whether originals are on file."""

    known: bool = True
    authority: bool = True
    original: bool = False


class PagePart(NamedTuple):
    """A page's part about what was sent, the verdict in a line, how many messages there are and are refused."""

    html: str
    said: str
    messages: int
    refused: int


class Replied(NamedTuple):
    """An answer as production would send it: its kind, a name for its file, its content type, its bytes."""

    kind: str
    file: str
    content_type: str
    body: bytes


class Failed(Exception):
    """A fault of ours; says where in the program, and nothing of what was uploaded."""


class _Carried(NamedTuple):
    upload: Upload
    partner: Partner | None
    outcome: Outcome


_count: Callable[[], None] = lambda: None  # noqa: E731 - a worker's limit of processor time, once it has one


@functools.cache
def plans_of(root: Path) -> Plans:
    """Return the specification below a folder, prepared once in a process."""
    return prepare(root)


_root: Path


def prepare_for(root: Path, count: Callable[[], None]) -> None:
    """Make this process ready for jobs by a specification; `count` limits the processor time from then on."""
    global _count, _root  # a worker's whole state
    _count, _root = count, root
    plans_of(root)


def guarded(job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do one job within this process's limits; raises MemoryError, Failed."""
    _count()
    try:
        return job(*args, **kwargs)
    except MemoryError:
        raise MemoryError from None
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise Failed(f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}") from None


def ready() -> bool:
    """Do nothing: the first job of a worker."""
    return True


# ------------------------------------------------------------------------------------------------ judging


def _carry(uploads: Sequence[Upload], assumed: Assumed, at: datetime, lang: str) -> Iterator[_Carried]:
    """Yield what becomes of each file, in order; what is accepted is known to those after it."""
    plans = plans_of(_root)
    trial = Trial(plans, at)
    for number, upload in enumerate(uploads, 1):
        received = Received(trial_id(number, upload.body), None, upload.body, at)
        parsed = pipeline.parse(received, plans)
        made_up = replace(made_up_partner(parsed.messages), contrl=True, language=lang)
        partner = made_up if assumed.known else None
        if partner and not assumed.authority:
            partner = replace(partner, authorities={})
        parsed = replace(parsed, received=replace(received, partner=partner.id if partner else None))
        if assumed.original:
            trial.put_on_file(parsed, made_up)
        outcome = pipeline.judge(parsed, trial.facts(parsed, partner), plans)
        trial.remember(outcome)
        yield _Carried(upload, partner, outcome)


def _linted(carried: Sequence[_Carried]) -> list[Linted]:
    """Return every message; nobody registered is asked about, so no sender is identified."""
    return [Linted(each.upload.name, one, False) for each in carried for one in each.outcome.judged]


def check(uploads: Sequence[Upload], assumed: Assumed, at: datetime, form: str, lang: str) -> tuple[str, int, int]:
    """Return the verdicts in a form (json, sarif, junit, concise), how many messages there are and are refused."""
    specs = plans_of(_root).specs
    linted = _linted(list(_carry(uploads, assumed, at, lang)))
    if form == "json":
        text = json.dumps([message_as_json(one, specs, lang) for one in linted], ensure_ascii=False, indent=2)
    elif form == "sarif":
        text = json.dumps(sarif(linted, specs, lang), ensure_ascii=False, indent=2)
    elif form == "junit":
        text = junit(linted, lang)
    else:
        text = "".join(f"{line}\n" for line in LINES[form](linted, lang))
    return text, len(linted), _refused(linted)


def _refused(linted: Sequence[Linted]) -> int:
    return sum(one.judged.verdict is Verdict.REFUSED for one in linted)


# ------------------------------------------------------------------------------------------------ the page


def page(uploads: Sequence[Upload], assumed: Assumed, at: datetime, lang: str) -> PagePart:
    """Return what the trial page shows of the files."""
    carried = list(_carry(uploads, assumed, at, lang))
    linted = _linted(carried)
    files = [_file(number, each, lang) for number, each in enumerate(carried, 1)]
    html = pages.render(
        "web/trial_result.html",
        lang,
        files=files,
        where=lambda place: where(place, lang),
        verdict=lambda one: verdict_of(one, lang),
        kinds=ANSWERS,
        most=ANSWER_SHOWN,
    )
    return PagePart(html, summary(linted, lang), len(linted), _refused(linted))


class ShownFile(NamedTuple):
    """A file on the page: its messages in plain words, its text with the faults in place, its answers."""

    number: int
    name: str
    messages: Sequence[Explained]
    left_out: int
    rows: Sequence[TextRow]
    answers: Sequence[tuple[Replied, str]]


def _file(number: int, carried: _Carried, lang: str) -> ShownFile:
    judged, specs = carried.outcome.judged, plans_of(_root).specs
    chosen = sorted(judged, key=lambda one: not one.findings)[:MESSAGES_SHOWN]
    shown = [explain(one, carried.partner, specs, lang) for one in judged if one in chosen]
    remarks = [(f"{number}-{each.ordinal}-{remark.number}", remark) for each in shown for remark in each.remarks]
    text = judged[0].message.document.text()
    rows = in_place(text, remarks, segments=carried.outcome.syntax is Syntax.EDIFACT)
    answers = [(each, readable(decoded(each.body))) for each in _answers(carried)]
    return ShownFile(number, carried.upload.name, shown, len(judged) - len(shown), rows, answers)


def report(uploads: Sequence[Upload], assumed: Assumed, at: datetime, lang: str) -> str:
    """Return the page that is a file: every message in plain words."""
    specs = plans_of(_root).specs
    carried = list(_carry(uploads, assumed, at, lang))
    messages = [explain(one, each.partner, specs, lang) for each in carried for one in each.outcome.judged]
    return explained_page(dict.fromkeys(each.upload.name for each in carried), messages, at, specs, lang)


def _answers(carried: _Carried) -> list[Replied]:
    """Return what production would send of a file: the receipt, then the answers; an unknown sender gets nothing."""
    if carried.partner is None:
        return []
    received = carried.outcome.received
    content_type, body = receipt(received, receipt_id=stable_id(received.id, "receipt"))
    told: list[tuple[str, int | None, str, bytes]] = [("receipt", None, content_type, body)]
    told += [(e.kind, e.ordinal, e.content_type, e.body) for e in carried.outcome.outgoing if e.kind != "request"]
    return [
        Replied(kind, f"{ordinal or 0:03}-{kind}.{SUFFIXES[content_type]}", content_type, body)
        for kind, ordinal, content_type, body in told
    ]


def answer(
    uploads: Sequence[Upload], assumed: Assumed, at: datetime, lang: str, file: int, number: int
) -> Replied | None:
    """Return one answer to one file, both counted from 1; None where there is no such."""
    carried = list(_carry(uploads, assumed, at, lang))
    told = _answers(carried[file - 1]) if 0 < file <= len(carried) else []
    return told[number - 1] if 0 < number <= len(told) else None


# ------------------------------------------------------------------------------------------------ samples, findings


class Drawn(NamedTuple):
    """A sample to start from: its files, what to assume of its sender, and what the files cannot carry."""

    uploads: tuple[Upload, ...]
    assumed: Assumed
    note: Bilingual | None


def sample(of: str, syntax: str, at: datetime) -> Drawn | None:
    """Return a sample of a CAD type, or of a finding by its code, as of a moment; None where none can be made.

    The last of its files is the one that earns the finding.
    """
    plans, day = plans_of(_root), eastern_day(at)
    partner = next(iter(load_partners(PARTNERS).values()))
    finding = of in faults(plans.specs)
    if not finding and of not in plans.specs.code_lists["cad_type"].codes:
        return None
    maker = Maker(random.Random(f"{of} {syntax} {day}"), plans.specs, partner, day)  # noqa: S311 - samples, no secrets
    made = make(lambda: faulty(of, maker)[1] if finding else maker.story(of), Syntax(syntax), day, of[-4:], plans)
    suffix = SUFFIXES[f"application/{syntax}"]
    steps = zip(made.sample.steps, made.bodies, strict=True)
    uploads = tuple(Upload(f"{number}-{step.type}.{suffix}", body) for number, (step, body) in enumerate(steps, 1))
    if sum(len(each.body) for each in uploads) > SAMPLE_BYTES:
        return Drawn((), Assumed(), TOO_LARGE)
    return Drawn(uploads, *_needed(made.sample, uploads, Syntax(syntax), at))


def _needed(drawn: Sample, uploads: Sequence[Upload], syntax: Syntax, at: datetime) -> tuple[Assumed, Bilingual | None]:
    """Return what to assume for a sample to come out as meant, and a note where no assumption brings that about."""
    expected = {drawn.expected(syntax)} - {None}
    for assumed in (Assumed(), Assumed(authority=False), Assumed(known=False)):
        *_, last = _carry(uploads, assumed, at, "en")
        if {finding.code for one in last.outcome.judged for finding in one.findings} == expected:
            return assumed, None
    return Assumed(), drawn.note or ELSEWHERE


def finding(code: str, lang: str, at: datetime) -> dict[str, Any] | None:
    """Return what a finding means, with examples, as the API tells it; None for a code that no table has."""
    plans = plans_of(_root)
    listed = by_code(plans.specs).get(code)
    if listed is None:
        reason = load_rates().reasons.get(code)
        return {"id": code, "engine": True, "text": _open(reason)._asdict()} if reason else None
    told = listed.finding
    rule = listed.rule
    partner = next(iter(load_partners(PARTNERS).values()))
    return as_json(listed, lang) | {
        "engine": False,
        "text": in_words(told.text, listed.element)._asdict(),
        "states": [in_words(each.text, listed.element)._asdict() for each in told.states.values()],
        "packs": list(listed.packs),
        "contrl": told.syntax_error,
        "when": rule.when if rule else None,
        "parameter": rule.parameter if rule else None,
        "reads": [{"element": each.name, "title": each.title._asdict()} for each in listed.reads],
        "examples": [
            {"syntax": str(e.syntax), "place": e.place, "passes": list(e.passing), "fails": list(e.failing)}
            for e in pieces(code, plans, partner, eastern_day(at))
        ],
    }


def _open(text: Bilingual) -> Bilingual:
    """Return a reason of the reference engine with what it leaves open in <>."""
    return Bilingual(*(PLACEHOLDER.sub(lambda found: f"<{found[1]}>", each) for each in text))
