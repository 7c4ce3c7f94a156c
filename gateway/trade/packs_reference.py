"""The reference page of the packs' tables: columns and grammars, as the readers themselves have them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from core.answers import AnswerCode, Kind
from core.calendar import Terms
from core.declaration import NATURES
from core.dictionary import NEEDED, parse_format
from core.fields import REMEDIES
from core.loading import load
from core.packs import Manifest, manifest_keys
from core.specs import Code, Element, FindingText, Former, Ignorable, ProfileRow, Rule, Specs
from core.tables import Read, watching
from core.trade import Entitlement, Measured, Surtax
from edifact.directory import Dependency, Item, Part, Row, Slot, Total
from edifact.loading import load as load_directories
from gateway.trade import breaking
from gateway.trade.changes import DRAFT_CHANGES, SAMPLE_CHANGES, VALUES
from parsers.places import edifact_steps, xml_steps
from validators.checks import CHECKS, Check
from validators.parameters import nothing, pairs
from validators.rulebook import parse_when

# Every table: where it lies below the folder, and what says what its rows mean.
TABLES: dict[str, object] = {
    "*/elements.csv": Element,
    "*/usage.csv": "Mandatory (M), optional (O) or not used (X), by element and CAD type; `*` is every other type.",
    "*/rules.csv": Rule,
    "*/breaks.csv": breaking.Break,
    "*/edifact_profile.csv": ProfileRow,
    "*/ignorable.csv": Ignorable,
    "*/former_places.csv": Former,
    "*/answers.csv": Kind,
    "*/answer_codes.csv": AnswerCode,
    "breaks.csv": "As a pack's, for the findings of the findings tables.",
    "findings/*.csv": FindingText,
    REMEDIES: "What is done about each finding: one row for each code of the findings tables and of the packs' rules.",
    "code_lists.csv": "The names of the code lists: a row for each file of `codes/`.",
    "codes/*.csv": Code,
    "calendar/holidays.csv": "The days on which no business is done.",
    "calendar/due_days.csv": Terms,
    "trade/treatment_origins.csv": Entitlement,
    "trade/surtax_orders.csv": Surtax,
    "trade/surtax_items.csv": "The tariff items of eight digits in each schedule of a surtax order.",
    "trade/units.csv": Measured,
    "wco/classes.csv": "The WCO id of each class.",
    "edifact/*/elements.csv": Item,
    "edifact/*/composites.csv": Part,
    "edifact/*/segments.csv": Slot,
    "edifact/*/messages/*.csv": Row,
    "edifact/*/syntax_errors.csv": "The names of the UN's syntax error codes (0085).",
    "edifact/dependencies.csv": Dependency,
    "edifact/totals.csv": Total,
    "edifact/ignorable.csv": "What may stand in an envelope unread: where, with which syntax identifier, which values.",
    "edifact/date_formats.csv": "How a date or time of each UN 2379 is written.",
}


def reference(root: Path) -> str:
    """Return the page, in Markdown, made from the readers while they read a folder of specifications."""
    with watching() as seen:
        specs = load(root)
        breaking.breaks(specs)
        load_directories(root / "edifact")
    sections = (_tables(seen, root), _manifest(), _grammars(specs), _checks(), _samples())
    return "\n".join(line for section in sections for line in section)


def _pattern(name: str) -> str:
    """Return the entry of `TABLES` for a table; KeyError for one that has none. `*` is a pack's folder, no other's."""
    if name in TABLES:
        return name
    folders = {pattern.partition("/")[0] for pattern in TABLES}
    for pattern in TABLES:
        fits = pattern.count("/") == name.count("/") and Path(name).match(pattern)
        if fits and (not pattern.startswith("*") or name.partition("/")[0] not in folders):
            return pattern
    raise KeyError(name)


def _tables(seen: Iterable[Read], root: Path) -> Iterator[str]:
    yield from (
        "# The tables of the packs",
        "",
        "Made by `gateway specs reference` from the readers; `make docs` writes it anew, and a test compares. Every",
        "table is CSV in UTF-8, with commas and a heading; blanks around values do not count, empty lines are passed",
        "over. `gateway specs check FOLDER` looks through a folder.",
        "",
    )
    required: dict[str, dict[str, None]] = {}
    headings: dict[str, dict[str, None]] = {}
    for path, columns, heading in seen:
        pattern = _pattern(path.resolve().relative_to(root.resolve()).as_posix())
        required.setdefault(pattern, {}).update(dict.fromkeys(columns))
        headings.setdefault(pattern, {}).update(dict.fromkeys(heading))
    for pattern in TABLES:
        yield from (f"## {pattern}", "", _meaning(TABLES[pattern]), "")
        yield f"Must have: {_code(required[pattern])}."
        if more := [column for column in headings[pattern] if column not in required[pattern]]:
            yield from ("", f"Has in the project's folder, too: {_code(more)}.")
        yield ""


def _meaning(said: object) -> str:
    """Return a table's meaning: the text itself, or the docstring of the value that a row becomes."""
    return said if isinstance(said, str) else _text(said)


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _manifest() -> Iterator[str]:
    yield from ("## */manifest.toml", "", _meaning(Manifest), "", "| key | type | | meaning |", "|---|---|---|---|")
    for key, type_, required, meaning in manifest_keys():
        yield f"| `{key}` | {_type(type_)} | {'required' if required else ''} | {meaning} |"
    yield from (
        "",
        f"Message types: {_code(map(str, NATURES))}. A manifest's lists name its tables, from its folder.",
        "",
    )


def _type(of: object) -> str:
    """Return a type as people write it."""
    name = of.__name__ if isinstance(of, type) and "[" not in str(of) else str(of)
    return re.sub(r"[\w.]*\.(?=\w)", "", name).replace("|", r"\|")


def _grammars(specs: Specs) -> Iterator[str]:
    elements = {name: element for pack in specs.packs for name, element in pack.elements.items()}
    every = list(elements.values())
    formats = sorted({element.format.notation for element in every})
    yield from ("## Formats", "", _text(parse_format), "", f"In use: {_code(formats)}.", "")
    yield from ("## Places in XML", "", _text(xml_steps), "", "The longest in use:", "")
    yield from ("```", max((element.xml_path or "" for element in every), key=len), "```", "")
    yield from ("## Places in EDIFACT", "", _text(edifact_steps), "", "The longest in use:", "")
    yield from ("```", max((element.edifact_place or "" for element in every), key=len), "```", "")
    yield from ("## `when`", "", _text(parse_when), "")
    yield from ("## `reads`", "", _text(pairs), "", "The role that a check declares, and the pack's names for it.", "")
    yield from ("## Elements that the program reads by name", "", "| element | level | kind |", "|---|---|---|")
    yield from (f"| `{name}` | {level} | {kind} |" for name, (level, kind) in NEEDED.items())
    yield ""


def _text(of: object) -> str:
    """Return a docstring as people read it who do not program: what is returned and raised is not said."""
    said = re.sub(r"; raises \w+[^.]*\.|\s+Raises \w+\.", ".", inspect.getdoc(of) or "")
    said = re.sub(r"\.\.$", ".", said)
    return re.sub(r"^(Return|Read) (\S)", lambda found: found[2].upper(), said)


def _checks() -> Iterator[str]:
    yield from (
        "## Checks", "",
        "What a rule's column `check` may name. It is asked where its element is given (or absent, or any).", "",
    )  # fmt: skip
    for name, check in sorted(CHECKS.items()):
        yield from (f"### {name}", "", _text(check.run), "", *_check(check), "")


def _check(check: Check) -> Iterator[str]:
    """Yield what a check says of itself."""
    kind = f" of kind {check.of}" if check.of else ""
    at = f", of level {check.at}" if check.at else ""
    yield f"- looks at: {check.level or 'the level of its element'}"
    yield f"- element: {check.presence}{kind}{at}"
    yield f"- parameter: {'none' if check.prepare is nothing else ' '.join(_text(check.prepare).split())}"
    for role in check.reads:
        many = ", any number" if role.many else ""
        need = ", must be given" if role in check.needs else ""
        yield f"- reads `{role.name}`: {role.kind} of level {role.level}{many}{need}"
    if check.columns:
        yield f"- columns of the element's code list: {_code(check.columns)}"
    if check.on_list_day:
        yield "- looks codes up on the day that `list_day` names"


def _samples() -> Iterator[str]:
    yield from ("## What breaks a rule", "", inspect.getdoc(breaking) or "", "", f"Kinds: {_code(breaking.KINDS)}.", "")
    yield from (f"Values that are drawn: {_code(f'@{name}' for name in sorted(VALUES))}.", "")
    yield from (f"Changes: {_code(sorted({**DRAFT_CHANGES, **SAMPLE_CHANGES}))}.", "")
