"""Writes the implementation guide: a static site in English and French from the tables that the validator reads."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup, escape

from core.declaration import MessageType
from core.errors import GatewayError
from core.findings import Bilingual
from core.limits import ACKNOWLEDGEMENT_HOURS
from core.partner import Partner
from core.specs import CodeList, Element, FindingText, Pack, Rule, Specs
from core.transmission import Outcome, Outgoing, Received, stable_id
from edifact.syntax import ENCODINGS
from gateway import pipeline
from gateway.catalogue import TYPE_WORDS, by_code, listed_rules
from gateway.desk.in_place import decoded, readable
from gateway.desk.trial import play, read_expectations
from gateway.engine.assess import load_rates
from gateway.plans import Plans
from gateway.trade.asyncapi import SCHEMAS
from gateway.trade.breaking import faults
from gateway.trade.downloads import Use, cad_types_of, uses_of, write_downloads
from gateway.trade.guide_search import Speaker, index_of
from gateway.trade.replies import ANSWERS
from parsers.places import edifact_place
from responses.receipt import receipt
from validators.elements import in_words
from validators.rulebook import reads_of
from validators.rules import check_digit_of

PAGES = Path(__file__).parent / "guide_pages"
LANGUAGES = ("en", "fr")

# The examples are judged as of this day, so that the same specification always gives the same guide.
EXAMPLES_AT = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)

LEVELS: Mapping[str, Bilingual] = {
    "declaration": Bilingual("Declaration", "Déclaration"),
    "invoice": Bilingual("Invoice", "Facture"),
    "commodity": Bilingual("Commodity line", "Ligne de marchandise"),
}
AREAS: Mapping[str, Bilingual] = {
    "CAD": Bilingual("Declaration and business rules", "Déclaration et règles d'affaires"),
    "EDI": Bilingual("EDIFACT syntax", "Syntaxe EDIFACT"),
    "XML": Bilingual("XML syntax", "Syntaxe XML"),
    "GTW": Bilingual("Gateway and sender", "Passerelle et expéditeur"),
}


class Shown(NamedTuple):
    """One element of a message as its table shows it."""

    element: Element
    format: Bilingual
    uses: tuple[Use, ...]
    rules: tuple[str, ...]


class Page(NamedTuple):
    """One message's page: its pack, the file's name, its columns of usage, and its elements by level."""

    pack: Pack
    file: str
    kinds: tuple[tuple[str, MessageType], ...]
    columns: tuple[str, ...]
    levels: Mapping[str, tuple[Shown, ...]]


class _SegmentLine(NamedTuple):
    """One segment of the EDIFACT profile, with the elements that it carries: (position with qualifiers, element)."""

    group: int
    depth: int
    tag: str
    status: str
    max: int
    constant: str | None
    carries: tuple[tuple[str, Element], ...]


class Said(NamedTuple):
    """One finding code: its words, the rule that gives it if one does, and whether a sample can be made for it."""

    finding: FindingText
    rule: Rule | None
    element: Element | None
    packs: tuple[str, ...]
    made: bool


class Example(NamedTuple):
    """One sample message with what the gateway makes of it."""

    file: str
    partner: str
    syntax: str
    text: str
    verdict: str
    codes: tuple[str, ...]
    answers: tuple[tuple[str, str], ...]  # kind, text

    def also(self, kind: str, text: str) -> Example:
        """Return it with an answer that it might get, too."""
        return self._replace(answers=(*self.answers, (kind, text)))


def build(plans: Plans, folder: Path, samples: Path, partners: Mapping[str, Partner]) -> int:
    """Write the guide into the folder and return its number of pages; raises GatewayError if it cannot be written."""
    specs, facts = plans.specs, gather(plans, samples, partners)
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGES), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    templates.filters["breakable"] = breakable
    pages = list(_files(facts["pages"]))
    try:
        for language in LANGUAGES:
            home = folder / language
            home.mkdir(parents=True, exist_ok=True)
            speak = Speaker(language)
            for template, file, own in pages:
                given = {
                    **facts,
                    **own,
                    "t": speak.choose,
                    "say": speak.say,
                    "parts": speak.parts,
                    "lang": language,
                    "file": file,
                }
                text = templates.get_template(template).render(given)
                (home / file).write_text(text, encoding="utf-8")
            index = json.dumps(list(index_of(facts, speak)), ensure_ascii=False, separators=(",", ":"))
            (home / "index.js").write_text(f"window.INDEX={index};\n", encoding="utf-8")
        text = templates.get_template("start.html").render(facts)
        (folder / "index.html").write_text(text, encoding="utf-8")
        for file in ("guide.css", "guide.js"):
            shutil.copyfile(PAGES / file, folder / file)
        (folder / "schemas").mkdir(exist_ok=True)
        for schema in schemas_of(specs):
            shutil.copyfile(schema, folder / "schemas" / schema.name)
        write_downloads(specs, folder / "downloads")
    except OSError as error:
        raise GatewayError(f"{folder}: cannot be written: {error.strerror}") from error
    return len(pages) * len(LANGUAGES) + 1


def schemas_of(specs: Specs) -> list[Path]:
    """Return the schemas of the messages in XML."""
    return sorted({path for pack in specs.packs for path in pack.schema.parent.glob("*.xsd")})


def breakable(path: str) -> Markup:
    """Return a path that may be broken between its steps."""
    text = re.sub(r"/(?![^\[]*\])", "/<wbr>", str(escape(path)))
    return Markup(text.replace("[", "<wbr>["))  # noqa: S704 - escaped above


def _files(pages: Iterable[Page]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (template, file, what is its own) for each page of a language."""
    for name in ("index", "rules", "findings", "codes", "exchange", "answers", "examples", "segments"):
        yield f"{name}.html", f"{name}.html", {}
    for page in pages:
        yield "message.html", page.file, {"page": page}


# ------------------------------------------------------------------------------------------------ what it says


def gather(plans: Plans, samples: Path, partners: Mapping[str, Partner]) -> dict[str, Any]:
    """Return everything that the pages say, from the specification and the samples."""
    specs = plans.specs
    pages = tuple(_page(pack, specs) for pack in specs.packs)
    return {
        "specs": specs,
        "digest": plans.digest,
        "pages": pages,
        "page_of": {pack.key: page.file for pack, page in zip(specs.packs, pages, strict=True)},
        "home_of": {name: page.file for page in reversed(pages) for name in page.pack.elements},
        "rules": listed_rules(specs),
        "findings": _findings(specs),
        "areas": AREAS,
        "level_names": LEVELS,
        "own_rules": {pack.key: _own_rules(pack, specs) for pack in specs.packs},
        "kind_names": {type_: words.title for type_, words in TYPE_WORDS.items()},
        "answer_names": ANSWERS,
        "lists": _lists(specs),
        "segments": [(pack, _segments(pack)) for pack in _distinct(specs)],
        "outputs": [element for element in specs.packs[-1].elements.values() if element.direction == "out"],
        "examples": _examples(plans, samples, partners),
        "acknowledged_within": str(ACKNOWLEDGEMENT_HOURS),
        "in_json": {name: json.loads(SCHEMAS[name].read_text("utf-8")) for name in ("receipt", "answer")},
        "reasons": load_rates().reasons,
        "errors": _by_syntax_error(specs),
        "classes": dict(sorted(specs.classes.items(), key=lambda each: each[1])),
        "charsets": ENCODINGS,
        "schemas": [path.name for path in schemas_of(specs)],
        "worked": _worked_check_digit(),
    }


def _page(pack: Pack, specs: Specs) -> Page:
    """Return what a message's page shows."""
    kinds = tuple(pack.types.items())
    ruled: dict[str, list[str]] = {}
    for rule in pack.rules:
        for element in reads_of(rule, pack, specs):
            ruled.setdefault(element.name, []).append(rule.id)
    levels: dict[str, list[Shown]] = {level: [] for level in LEVELS}
    for name, element in pack.elements.items():
        if element.direction != "in":
            continue
        rules = tuple(ruled.get(name, ()))
        levels[element.level].append(Shown(element, in_words(element.format), uses_of(name, pack, specs), rules))
    columns = cad_types_of(pack, specs)
    file = f"message-{_slug(pack.key)}.html"
    return Page(pack, file, kinds, columns, {level: tuple(shown) for level, shown in levels.items()})


def _own_rules(pack: Pack, specs: Specs) -> list[list[Rule]]:
    """Return the rules that no other message has, those together that say the same of several elements."""
    others = {rule.id for other in specs.packs if other is not pack for rule in other.rules}
    same: dict[tuple[Bilingual, str], list[Rule]] = {}
    for rule in pack.rules:
        if rule.id not in others:
            named = rule.element if "{name_" in rule.finding.text.en else ""
            same.setdefault((rule.finding.text, named), []).append(rule)
    return list(same.values())


def _slug(text: str) -> str:
    """Return a text fit for a file's name."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower())


def _distinct(specs: Specs) -> list[Pack]:
    """Return the last pack of each EDIFACT profile: packs that share their profile share its table."""
    return list({pack.profile: pack for pack in specs.packs}.values())


def _segments(pack: Pack) -> tuple[_SegmentLine, ...]:
    """Return the profile's segments in order, each with the elements that it carries."""
    carried: dict[tuple[int, str], list[tuple[str, Element]]] = {}
    for element in pack.elements.values():
        if element.edifact_place and element.direction == "in":
            place = edifact_place(element)
            steps = re.split(r"/(?![^\[]*\])", element.edifact_place)
            where = " ".join(part for step in steps if (part := step.partition("[")[2].rstrip("]")))
            at = f"{where} → {steps[-1]}" if where else steps[-1]
            carried.setdefault((place.groups[-1].number, place.tag), []).append((at, element))
    parents = {row.group: row.parent for row in pack.profile}
    rows, seen = [], set()
    for row in pack.profile:
        depth, group = 0, row.group
        while group:
            depth, group = depth + 1, parents.get(group, 0)
        key = (row.group, row.tag)
        carries = () if key in seen or row.constant else tuple(carried.get(key, ()))
        seen.add(key)
        rows.append(_SegmentLine(row.group, depth, row.tag, row.status, row.max, row.constant, carries))
    return tuple(rows)


def _findings(specs: Specs) -> dict[str, list[Said]]:
    """Return every finding code by its area."""
    makeable = set(faults(specs))
    every = {
        code: Said(each.finding, each.rule, each.element, each.packs if each.rule else (), code in makeable)
        for code, each in by_code(specs).items()
    }
    areas: dict[str, list[Said]] = {area: [] for area in AREAS}
    for code in sorted(every):
        areas.setdefault(code.partition("-")[0], []).append(every[code])
    return areas


def _lists(specs: Specs) -> list[tuple[CodeList, list[Element]]]:
    """Return each code list with the elements that use it."""
    used: dict[str, dict[str, Element]] = {}
    for pack in specs.packs:
        for element in pack.elements.values():
            if element.code_list:
                used.setdefault(element.code_list, {}).setdefault(element.name, element)
    return [(codes, list(used.get(id_, {}).values())) for id_, codes in specs.code_lists.items()]


def _by_syntax_error(specs: Specs) -> dict[str, list[FindingText]]:
    """Return the findings by the code (UN 0085) that CONTRL has for them, in order."""
    found: dict[str, list[FindingText]] = {}
    for finding in specs.findings.values():
        for code in (finding.syntax_error or "").split():
            found.setdefault(code, []).append(finding)
    return dict(sorted(found.items(), key=lambda each: int(each[0])))


def _examples(plans: Plans, samples: Path, partners: Mapping[str, Partner]) -> list[Example]:
    """Return the project's own samples, each with its verdict and all answers to it, in the order of `run.csv`."""
    table = samples / "run.csv"
    if not table.is_file():
        return []
    known = [row for row in read_expectations(table) if row.partner in partners]
    shown: dict[str, Example] = {}
    for expected, came in play(known, plans, partners, EXAMPLES_AT):
        if came.outcome is None or expected.name in shown:
            continue
        shown[expected.name] = _example(expected.name, partners[expected.partner], came.outcome, came.answers)
    if shown:
        first = next(row for row in known if row.name in shown)
        received = Received(first.name, first.partner, first.file.read_bytes(), EXAMPLES_AT)
        held = pipeline.hold(received, partners[first.partner], plans)
        shown[first.name] = shown[first.name].also(held.kind, readable(decoded(held.body)))
    return list(shown.values())


def _example(name: str, partner: Partner, outcome: Outcome, answers: Sequence[Outgoing]) -> Example:
    """Return one sample as the page shows it, the receipt first."""
    received, judged = outcome.received, outcome.judged
    codes = tuple(finding.code for one in judged for finding in one.findings)
    _, confirmation = receipt(received, receipt_id=stable_id(received.id, "receipt"), reference=name)
    told = [("receipt", confirmation), *((each.kind, each.body) for each in answers)]
    text = judged[-1].message.document.text()
    said = tuple((kind, readable(decoded(body))) for kind, body in told)
    return Example(name, partner.name, str(outcome.syntax), readable(text), str(judged[-1].verdict), codes, said)


def _worked_check_digit(thirteen: str = "1234500000001") -> str:
    """Return the check digit of a transaction number worked out step by step."""
    weighted = [int(digit) * (1 + at % 2) for at, digit in enumerate(thirteen)]
    total = sum(sum(map(int, str(number))) for number in weighted)
    return "\n".join(
        (
            "    ".join(thirteen),
            "".join(f"{number:<5}" for number in weighted).rstrip(),
            f"{' + '.join(digit for number in weighted for digit in str(number))} = {total}",
            f"{thirteen}{check_digit_of(thirteen)}",
        )
    )
