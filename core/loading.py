"""Loads `eccrd_specs/` once, whole and checked, into immutable values with a digest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import msgspec

from core.calendar import Billing, Period
from core.declaration import NATURES, MessageType, RefusedVersions
from core.errors import SpecError, cause_of
from core.findings import Bilingual, Severity
from core.specs import FORMAT, Code, CodeList, Element, FindingText, Format, Pack, ProfileRow, Rule, Specs
from core.tables import Origin, Row, read_rows


class _Xml(msgspec.Struct, forbid_unknown_fields=True):
    namespace: str
    metadata_namespace: str
    response_namespace: str
    schema: str
    response_schema: str
    levels: dict[str, str]
    envelope: dict[str, str]


class _Edifact(msgspec.Struct, forbid_unknown_fields=True):
    message: tuple[str, ...]
    levels: dict[str, int]


class _Manifest(msgspec.Struct, forbid_unknown_fields=True):
    """The shape of a pack's manifest.toml."""

    id: str
    version: str
    title_en: str
    title_fr: str
    statement: str
    types: dict[str, MessageType]
    elements: list[str]
    usage: list[str]
    rules: list[str]
    profile: list[str]
    xml: _Xml
    edifact: _Edifact
    valid_from: date | None = None
    valid_to: date | None = None
    refused_versions: RefusedVersions = RefusedVersions.EITHER
    confidence: dict[str, str] = {}


def load(root: Path) -> Specs:
    """Read every table under the folder and return the specification.

    A pack is every sub-folder with a `manifest.toml`. Raises SpecError, naming file, row and reason.
    """
    if not root.is_dir():
        raise SpecError(str(root), None, "there is no such folder of specifications")
    manifests = sorted(root.glob("*/manifest.toml"))
    if not manifests:
        raise SpecError(str(root), None, "this is no specification: none of its folders has a manifest.toml")
    findings = {}
    for path in sorted((root / "findings").glob("*.csv")):
        for origin, row in read_rows(path, FINDING_COLUMNS, root=root):
            if row["code"] in findings:
                raise SpecError(*origin, f"finding code {row['code']} is given twice")
            findings[row["code"]] = _finding(row, origin, row["code"])
    classes = {
        row["class"]: row["wco_id"] for _, row in read_rows(root / "wco/classes.csv", ("class", "wco_id"), root=root)
    }
    names = {
        row["list"]: _both(row, "name", origin, row["list"])
        for origin, row in read_rows(root / "code_lists.csv", ("list", "name_en", "name_fr"), root=root)
    }
    code_lists = {path.stem: _code_list(root, path, names) for path in sorted((root / "codes").glob("*.csv"))}
    if "cad_type" not in code_lists:
        raise SpecError("codes/cad_type.csv", None, "there is no list of CAD types")
    holidays = frozenset(
        _day(row["date"], origin) or date.min
        for origin, row in read_rows(root / "calendar/holidays.csv", ("date",), root=root)
    )
    packs = tuple(_pack(root, path.parent, classes, code_lists) for path in manifests)
    for pack in packs:
        if sum(other.key == pack.key for other in packs) > 1:
            raise SpecError(str(root), None, f"there are two packs {pack.id} of version {pack.version}")
        for rule in pack.rules:
            if rule.id in findings:
                raise SpecError(*rule.origin, f"the rule id {rule.id} is a finding code already")
    billing = msgspec.convert(_toml(root, root / "calendar/billing.toml"), Billing)
    return Specs(root, packs, code_lists, findings, holidays, classes, billing)


ELEMENT_COLUMNS = (
    "element", "level", "form_field", "name_en", "name_fr", "format", "code_list", "list_day", "direction", "xml_path",
    "edifact_place", "wco_id", "source_en", "source_fr", "confidence", "note_en", "note_fr", "about_change",
)  # fmt: skip


WORDS = ("severity", "text_en", "text_fr", "source_en", "source_fr", "confidence")


FINDING_COLUMNS = ("code", *WORDS, "syntax_error")


RULE_COLUMNS = ("id", "check", "element", "when", "parameter", *WORDS)


PROFILE_COLUMNS = ("group", "parent", "tag", "status", "max", "constant")


LEVELS = ("declaration", "invoice", "commodity")


USAGE_COLUMNS = ("element", "withdraw", "*")


# Every element that the program reads by its name, with the level and kind that it must have; what rules read, they
# declare themselves (`validators/checks.py`), and the reference engine reads what its own contract names.
NEEDED = {
    "function_code": ("declaration", "text"),  # reading: which pack
    "transaction_number": ("declaration", "text"),  # the register, the journal
    "version": ("declaration", "text"),  # the register, the journal
    "cad_type": ("declaration", "text"),  # usage
    "functional_reference": ("declaration", "text"),  # answers, requests
    "accounting_date": ("declaration", "date"),  # the register: the payment due date
    "importer_bn": ("declaration", "text"),  # the sender's authority
    "importer_name": ("declaration", "text"),  # explain
    "invoice_number": ("invoice", "text"),  # explain
    "line_number": ("commodity", "number"),  # comparing versions
    "classification": ("commodity", "text"),  # diff
    "description": ("commodity", "text"),  # diff, explain
    "value_for_currency_conversion": ("commodity", "number"),  # explain
    "currency": ("commodity", "text"),  # explain
}

# The parts of an XML envelope without which nothing can be read.
ENVELOPE = ("sender", "reference", "version")


CONFIDENCES = ("high", "medium", "low")


def _toml(root: Path, path: Path) -> object:
    """Return a TOML file as plain values."""
    try:
        return msgspec.toml.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise SpecError(path.relative_to(root).as_posix(), None, f"cannot be read: {cause_of(error)}") from error


def _day(text: str, origin: Origin) -> date | None:
    """Return an ISO date, None for an empty text."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise SpecError(*origin, f"{text!r} is not a date (YYYY-MM-DD)") from None


def _both(row: Row, column: str, origin: Origin, whose: str, *, needed: bool = True) -> Bilingual:
    """Return a text that a row has in English and in French; raises SpecError if it lacks one of them."""
    text = Bilingual(row[f"{column}_en"], row[f"{column}_fr"])
    if not all(text) and (needed or any(text)):
        raise SpecError(*origin, f"{whose} lacks its English or French {column}")
    return text


def _confidence(row: Row, origin: Origin) -> str:
    """Return how sure a row is."""
    if row["confidence"] not in CONFIDENCES:
        raise SpecError(*origin, f"confidence is high, medium or low, not {row['confidence']!r}")
    return row["confidence"]


def _finding(row: Row, origin: Origin, code: str) -> FindingText:
    """Return the words of a finding or rule row."""
    if row["severity"] not in tuple(Severity):
        raise SpecError(*origin, f"unknown severity {row['severity']!r}")
    if not 1 <= len(code) <= 8:
        raise SpecError(*origin, f"the code {code!r} does not fit the answers' 8 characters")
    text, source = _both(row, "text", origin, code), _both(row, "source", origin, code)
    syntax_error = row.get("syntax_error") or None
    return FindingText(code, Severity(row["severity"]), text, source, _confidence(row, origin), syntax_error)


def _code_list(root: Path, path: Path, names: Mapping[str, Bilingual]) -> CodeList:
    """Return one code list; its confidence is that of its least sure entry."""
    codes: dict[str, tuple[Code, ...]] = {}
    if path.stem not in names:
        raise SpecError("code_lists.csv", None, f"the code list {path.stem} has no name here")
    columns = ("code", "name_en", "name_fr", "valid_from", "valid_to", "source_en", "source_fr", "confidence")
    for origin, row in read_rows(path, columns, root=root):
        valid = Period(_day(row["valid_from"], origin), _day(row["valid_to"], origin))
        if valid.start and valid.end and valid.start > valid.end:
            raise SpecError(*origin, f"{row['code']} ends before it begins")
        name, source = _both(row, "name", origin, row["code"]), _both(row, "source", origin, row["code"])
        code = Code(row["code"], name, valid, source, _confidence(row, origin), row)
        codes[code.code] = (*codes.get(code.code, ()), code)
    if not codes:
        raise SpecError(path.relative_to(root).as_posix(), None, "the code list is empty")
    least = max((c.confidence for entries in codes.values() for c in entries), key=CONFIDENCES.index)
    return CodeList(path.stem, names[path.stem], codes, least)


def _pack(root: Path, folder: Path, classes: Mapping[str, str], code_lists: Mapping[str, CodeList]) -> Pack:
    """Return the pack that lies in a folder."""
    where = (folder / "manifest.toml").relative_to(root).as_posix()
    try:
        manifest = msgspec.convert(_toml(root, folder / "manifest.toml"), _Manifest)
    except msgspec.ValidationError as error:
        raise SpecError(where, None, _manifest_reason(error)) from error
    if odd := [type_ for type_ in manifest.types.values() if type_ not in NATURES]:
        raise SpecError(where, None, f"types: {odd[0]} is no message type that a sender may send")
    elements = _elements(manifest, folder, root, classes, code_lists)
    if lacking := [name for name in NEEDED if name not in elements]:
        raise SpecError(where, None, f"the dictionary lacks {', '.join(lacking)}, which the gateway reads by name")
    for name, (level, kind) in NEEDED.items():
        if (elements[name].level, elements[name].format.kind) != (level, kind):
            raise SpecError(*elements[name].origin, f"the gateway reads {name} by name, as a {kind} of level {level}")
    if lacking := [part for part in ENVELOPE if part not in manifest.xml.envelope]:
        raise SpecError(where, None, f"xml.envelope lacks {', '.join(lacking)}")
    for levels in (manifest.xml.levels, manifest.edifact.levels):
        if set(levels) != set(LEVELS[1:]):
            raise SpecError(where, None, f"levels are {' and '.join(LEVELS[1:])}")
    usage = _usage(manifest, folder, root, elements, code_lists)
    rules = _rules(manifest, folder, root)
    profile: list[ProfileRow] = []
    for file in manifest.profile:
        profile += [_profile_row(row, origin) for origin, row in read_rows(folder / file, PROFILE_COLUMNS, root=root)]
    schema, response_schema = (
        (folder / manifest.xml.schema).resolve(),
        (folder / manifest.xml.response_schema).resolve(),
    )
    for path in (schema, response_schema):
        if not path.is_file():
            raise SpecError(where, None, f"there is no schema {path.name}")
    level_pointers: dict[str, tuple[str, ...]] = {"declaration": ("42A",)}
    for level, way in manifest.xml.levels.items():
        if not set(way.split("/")) <= set(classes):
            raise SpecError(where, None, f"the level {level} at {way} is unknown")
        level_pointers[level] = ("42A", *(classes[step] for step in way.split("/")))
    return Pack(
        id=manifest.id,
        version=manifest.version,
        title=Bilingual(manifest.title_en, manifest.title_fr),
        statement=manifest.statement,
        valid=Period(manifest.valid_from, manifest.valid_to),
        types=manifest.types,
        elements=elements,
        usage=usage,
        rules=rules,
        namespace=manifest.xml.namespace,
        metadata_namespace=manifest.xml.metadata_namespace,
        response_namespace=manifest.xml.response_namespace,
        schema=schema,
        response_schema=response_schema,
        xml_levels=manifest.xml.levels,
        xml_envelope=manifest.xml.envelope,
        level_pointers=level_pointers,
        edifact_message=manifest.edifact.message,
        edifact_levels=manifest.edifact.levels,
        profile=tuple(profile),
        refused_versions=manifest.refused_versions,
    )


def _manifest_reason(error: msgspec.ValidationError) -> str:
    """Return what is wrong with a manifest; a new message type needs more than its row there."""
    if "$.types" not in str(error):
        return str(error)
    known = ", ".join(sorted(NATURES))
    return f"types: {error}; known are {known}, and a new one needs the places that docs/house.md names"


def _elements(
    manifest: _Manifest, folder: Path, root: Path, classes: Mapping[str, str], code_lists: Mapping[str, CodeList]
) -> dict[str, Element]:
    """Return a pack's dictionary: its tables in order, a later one replacing elements of those before it."""
    elements: dict[str, Element] = {}
    for file in manifest.elements:
        given: set[str] = set()
        for origin, row in read_rows(folder / file, ELEMENT_COLUMNS, root=root):
            if row["element"] in given:
                raise SpecError(*origin, f"the element {row['element']} is given twice")
            given.add(row["element"])
            elements[row["element"]] = _element(row, origin, classes, code_lists)
    for element in elements.values():
        for day in (element.list_day or "").split():
            if day not in elements or elements[day].format.kind != "date":
                raise SpecError(*element.origin, f"list_day names {day}, which is no date element")
            if elements[day].level not in {element.level, "declaration"}:
                raise SpecError(*element.origin, f"list_day names {day}, which is of level {elements[day].level}")
        currency = element.currency
        if currency and (currency not in elements or elements[currency].level != element.level):
            raise SpecError(*element.origin, f"currency names {currency}, which is no element of level {element.level}")
    return elements


def _usage(
    manifest: _Manifest,
    folder: Path,
    root: Path,
    elements: Mapping[str, Element],
    code_lists: Mapping[str, CodeList],
) -> dict[str, dict[str, str]]:
    """Return a pack's usage: M, O or X by element and CAD type."""
    usage: dict[str, dict[str, str]] = {}
    for file in manifest.usage:
        for origin, row in read_rows(folder / file, ("element", "*"), root=root):
            if row["element"] not in elements:
                raise SpecError(*origin, f"unknown element {row['element']}")
            marks = {cad_type: mark for cad_type, mark in row.items() if cad_type != "element" and mark}
            if unknown := set(row) - set(USAGE_COLUMNS) - set(code_lists["cad_type"].codes):
                raise SpecError(origin[0], 1, f"the column {sorted(unknown)[0]} is no CAD type")
            if bad := [mark for mark in marks.values() if mark not in "MOX"]:
                raise SpecError(*origin, f"usage is M, O or X, not {bad[0]!r}")
            usage[row["element"]] = marks
    return usage


def _rules(manifest: _Manifest, folder: Path, root: Path) -> tuple[Rule, ...]:
    """Return a pack's rules: its tables in order, a later one replacing rules of those before it."""
    rules: dict[str, Rule] = {}
    for file in manifest.rules:
        ids: set[str] = set()
        for origin, row in read_rows(folder / file, RULE_COLUMNS, root=root):
            if row["id"] in ids:
                raise SpecError(*origin, f"the rule id {row['id']} is given twice")
            ids.add(row["id"])
            rules[row["id"]] = Rule(
                id=row["id"],
                check=row["check"],
                element=row["element"],
                when=row["when"],
                parameter=row["parameter"],
                finding=_finding(row, origin, row["id"]),
                origin=origin,
                reads=row.get("reads", ""),
                parameter_source=_parameter_source(row, origin),
            )
    return tuple(rules.values())


def _parameter_source(row: Row, origin: Origin) -> Bilingual | None:
    """Return where the constants of a rule's parameter come from, where its row says so."""
    if "parameter_source_en" not in row or "parameter_source_fr" not in row:
        return None
    found = _both(row, "parameter_source", origin, row["id"], needed=False)
    return found if all(found) else None


def _element(row: Row, origin: Origin, classes: Mapping[str, str], code_lists: Mapping[str, CodeList]) -> Element:
    """Return one row of the dictionary."""
    if row["level"] not in LEVELS:
        raise SpecError(*origin, f"unknown level {row['level']!r}")
    if row["direction"] not in ("in", "out"):
        raise SpecError(*origin, f"direction is in or out, not {row['direction']!r}")
    if row["code_list"] and row["code_list"] not in code_lists:
        raise SpecError(*origin, f"there is no code list {row['code_list']}")
    if row["about_change"] not in ("", "yes"):
        raise SpecError(*origin, f"about_change is yes or empty, not {row['about_change']!r}")
    try:
        form = parse_format(row["format"])
    except ValueError as error:
        raise SpecError(*origin, str(error)) from None
    return Element(
        name=row["element"],
        level=row["level"],
        form_field=row["form_field"],
        title=_both(row, "name", origin, row["element"]),
        format=form,
        code_list=row["code_list"] or None,
        list_day=row["list_day"] or None,
        direction=row["direction"],
        xml_path=row["xml_path"] or None,
        edifact_place=row["edifact_place"] or None,
        wco_id=row["wco_id"] or None,
        pointer=_pointer(row, origin, classes),
        source=_both(row, "source", origin, row["element"]),
        confidence=_confidence(row, origin),
        note=_both(row, "note", origin, row["element"], needed=False),
        origin=origin,
        about_change=row["about_change"] == "yes",
        currency=row.get("currency") or None,
    )


def parse_format(notation: str) -> Format:
    """Return the format that a notation stands for; raises ValueError for an unknown one.

    A fixed number of digits (`n14`) is an identifier and stays text; `n..5` and `n..16,3` are numbers.
    """
    found = FORMAT.fullmatch(notation)
    if not found:
        raise ValueError(f"unknown format {notation!r}")
    if found["date"]:
        return Format(notation, "date", 8, 8, 0, re.compile("[0-9]{8}"))
    most, least = int(found["max"]), 1 if found["up_to"] else int(found["max"])
    decimals = int(found["decimals"] or 0)
    if found["type"] == "n" and found["up_to"]:
        fraction = rf"(?:\.[0-9]{{1,{decimals}}})?" if decimals else ""
        return Format(notation, "number", 1, most, decimals, re.compile(rf"[0-9]{{1,{most - decimals}}}{fraction}"))
    characters = {"n": "[0-9]", "a": "[A-Za-z]", "an": r"[^\x00-\x1f\x7f]"}[found["type"]]
    return Format(notation, "text", least, most, 0, re.compile(rf"{characters}{{{least},{most}}}"))


def _pointer(row: Row, origin: Origin, classes: Mapping[str, str]) -> tuple[str, ...]:
    """Return the WCO pointer of an element: the ids of the classes on its path, then its own id (or name)."""
    steps = [re.sub(r"\[.*", "", step) for step in re.split(r"/(?![^\[]*\])", row["xml_path"]) if step]
    steps = [step for step in steps if step != "DateTimeString" and not step.startswith("@")]
    if not steps:
        return ()
    for step in steps[:-1]:
        if step not in classes:
            raise SpecError(*origin, f"the path {row['xml_path']} names the unknown class {step}")
    return ("42A", *(classes[step] for step in steps[:-1]), row["wco_id"] or steps[-1])


def _profile_row(row: Row, origin: Origin) -> ProfileRow:
    """Return one segment of an EDIFACT profile."""
    if row["status"] not in ("M", "C"):
        raise SpecError(*origin, f"status is M or C, not {row['status']!r}")
    try:
        group, parent, repeats = int(row["group"]), int(row["parent"] or 0), int(row["max"])
    except ValueError:
        raise SpecError(*origin, "group, parent and max are whole numbers") from None
    return ProfileRow(group, row["tag"], row["status"], repeats, row["constant"] or None, parent, origin)


def digest_of_folder(root: Path) -> bytes:
    """Return the SHA-256 over the names and bytes of every file below a folder."""
    total = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        total.update(path.relative_to(root).as_posix().encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.digest()
