"""Reads a pack: its manifest, and the tables that this names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import msgspec

from core.answer_tables import read_answers
from core.calendar import Period
from core.declaration import NATURES, MessageType, RefusedVersions
from core.dictionary import LEVELS, check_needed, read_elements
from core.errors import SpecError
from core.fields import WORDS, Remedies, decode_toml, read_both, read_confidence, read_finding
from core.findings import CONFIDENCES, Bilingual
from core.specs import CodeList, Element, Former, Ignorable, Pack, ProfileRow, Rule, Statement, XmlForm
from core.tables import Cells, Origin, once, read_rows

RULE_COLUMNS = ("id", "check", "element", "when", "parameter", *WORDS)
PROFILE_COLUMNS = ("group", "parent", "tag", "status", "max", "constant")
IGNORABLE_COLUMNS = ("syntax", "place", "values", "source_en", "source_fr", "confidence")
FORMER_COLUMNS = ("element", "read_as", "values")
USAGE_COLUMNS = ("element", "withdraw", "*")

# What an XML document may say around its declaration; what a form has no place for is not said.
ENVELOPE = ("reference", "test", "sender", "recipient", "version")
# What the wrapper of an answer may have in braces: the answer's id, its subject's reference, and as above.
WRAPPED = ("id", *ENVELOPE)


class _Xml(msgspec.Struct, forbid_unknown_fields=True):
    document: str
    response: str
    namespace: str
    response_namespace: str
    schema: str
    response_schema: str
    levels: dict[str, str]
    metadata_namespace: str = ""
    envelope: dict[str, str] = {}
    constants: dict[str, str] = {}
    response_wrapper: dict[str, str] = {}


class _Edifact(msgspec.Struct, forbid_unknown_fields=True):
    message: tuple[str, ...]
    levels: dict[str, int]
    answer: tuple[str, ...] = ()


class Manifest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
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
    ignorable: list[str] = []
    statement_fr: str = ""
    valid_from: date | None = None
    valid_to: date | None = None
    refused_versions: RefusedVersions = RefusedVersions.EITHER
    former: list[str] = []
    answers: list[str]
    answer_codes: list[str]
    confidence: dict[str, str] = {}
    confidence_fr: dict[str, str] = {}


def read_pack(
    root: Path, folder: Path, classes: Mapping[str, str], code_lists: Mapping[str, CodeList], remedies: Remedies
) -> Pack:
    """Return the pack that lies in a folder."""
    where = (folder / "manifest.toml").relative_to(root).as_posix()
    manifest = _read_manifest(folder / "manifest.toml", where, root)
    document, response = _forms(manifest.xml, where)
    if (own := document.names[-1]) not in classes:
        raise SpecError(where, None, f"xml.document ends with the unknown class {own}")
    files = [folder / file for file in manifest.elements]
    elements = read_elements(root, files, classes, code_lists, classes[own])
    check_needed(elements, where)
    usage = _usage(manifest, folder, root, elements, code_lists)
    rules = _rules(manifest, folder, root, remedies)
    profile = [
        _profile_row(row, origin)
        for file in manifest.profile
        for origin, row in read_rows(folder / file, PROFILE_COLUMNS, root=root)
    ]
    schema, response_schema = (
        (folder / manifest.xml.schema).resolve(),
        (folder / manifest.xml.response_schema).resolve(),
    )
    for path in (schema, response_schema):
        if not path.is_file():
            raise SpecError(where, None, f"there is no schema {path.name}")
    return Pack(
        id=manifest.id,
        version=manifest.version,
        title=Bilingual(manifest.title_en, manifest.title_fr),
        statement=Bilingual(manifest.statement, manifest.statement_fr or manifest.statement),
        valid=Period(manifest.valid_from, manifest.valid_to),
        types=manifest.types,
        elements=elements,
        cad_types=frozenset(code_lists["cad_type"].codes),
        usage=usage,
        rules=rules,
        document=document,
        response=response,
        schema=schema,
        response_schema=response_schema,
        xml_levels=manifest.xml.levels,
        level_pointers=_level_pointers(manifest, classes, classes[own], where),
        edifact_message=manifest.edifact.message,
        edifact_answer=manifest.edifact.answer or manifest.edifact.message,
        edifact_levels=manifest.edifact.levels,
        profile=tuple(profile),
        ignorable=_ignorable(manifest, folder, root),
        refused_versions=manifest.refused_versions,
        former=_former(manifest, folder, root, elements),
        answers=read_answers(
            root,
            [folder / file for file in manifest.answers],
            [folder / file for file in manifest.answer_codes],
            where,
        ),
        confidence={kind: _statement(kind, text, manifest) for kind, text in manifest.confidence.items()},
    )


# What each key of a manifest means.
KEYS = {
    "id": "The chapter; other versions of it have the same.",
    "version": "What messages declare (UNH 0068, the envelope's version).",
    "title_en": "For people.",
    "title_fr": "For people.",
    "statement": "What the pack rests on; every page shows it.",
    "statement_fr": "The same in French.",
    "types": "Message types by function code.",
    "elements": "Tables of the dictionary; a later one replaces elements of those before it.",
    "usage": "Tables of usage.",
    "rules": "Tables of rules; a later one replaces rules of those before it.",
    "profile": "Tables of the EDIFACT profile.",
    "ignorable": "Tables of what may stand unread.",
    "former": "Tables of former places.",
    "answers": "Tables of the kinds of answers.",
    "answer_codes": "Tables of the codes in answers.",
    "xml.document": "Names from the root of a document down to the declaration, which may be the root itself.",
    "xml.response": "The same of an answer.",
    "xml.namespace": "The declaration's namespace.",
    "xml.response_namespace": "The answer's.",
    "xml.metadata_namespace": "That of what stands around them.",
    "xml.schema": "The schema of the whole document.",
    "xml.response_schema": "That of an answer's.",
    "xml.levels": "The class that repeats for each invoice and each line (commodity), as a path below the declaration.",
    "xml.envelope": f"Where a document says {', '.join(ENVELOPE)}, as paths below the root.",
    "xml.constants": "What else stands around a declaration, by its path below the root.",
    "xml.response_wrapper": "What stands around an answer, by path, in this order; in braces id or an envelope part.",
    "edifact.message": "S009 of a declaration: type, version, release, agency, association.",
    "edifact.answer": "S009 of an answer, where it is another.",
    "edifact.levels": "The segment group that repeats for each invoice and each line (commodity).",
    "valid_from": "The first day of receipt.",
    "valid_to": "The last.",
    "refused_versions": "What becomes of a version's number that the engine refuses: free, used or either.",
    "confidence": "How sure each kind of statement is: the level, a colon, and why.",
    "confidence_fr": "Why, in French.",
}


def manifest_keys(struct: type[msgspec.Struct] = Manifest, prefix: str = "") -> Iterator[tuple[str, object, bool, str]]:
    """Yield (key, type, whether it must be there, meaning) for every key of a manifest, tables' keys by their names."""
    for field in msgspec.structs.fields(struct):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from manifest_keys(field.type, f"{prefix}{field.name}.")
        else:
            key = f"{prefix}{field.name}"
            yield key, field.type, field.required, KEYS[key]


def _read_manifest(path: Path, where: str, root: Path) -> Manifest:
    """Return a pack's manifest; raises SpecError for one that cannot be used."""
    try:
        manifest = msgspec.convert(decode_toml(root, path), Manifest)
    except msgspec.ValidationError as error:
        raise SpecError(where, None, _manifest_reason(error)) from error
    needed = {"id": manifest.id, "version": manifest.version, "types": manifest.types}
    needed |= {"xml.namespace": manifest.xml.namespace, "xml.response_namespace": manifest.xml.response_namespace}
    if empty := [key for key, value in needed.items() if not value]:
        raise SpecError(where, None, f"{empty[0]} is empty")
    if odd := [type_ for type_ in manifest.types.values() if type_ not in NATURES]:
        raise SpecError(where, None, f"types: {odd[0]} is no message type that a sender may send")
    for levels in (manifest.xml.levels, manifest.edifact.levels):
        if set(levels) != set(LEVELS[1:]):
            raise SpecError(where, None, f"levels are {' and '.join(LEVELS[1:])}")
    return manifest


def _forms(xml: _Xml, where: str) -> tuple[XmlForm, XmlForm]:
    """Return the forms of a document around a declaration and around an answer; raises SpecError."""
    found = []
    for key, path, namespace, envelope, constants in (
        ("document", xml.document, xml.namespace, xml.envelope, xml.constants),
        ("response", xml.response, xml.response_namespace, {}, xml.response_wrapper),
    ):
        names = tuple(path.split("/"))
        if not all(names):
            raise SpecError(where, None, f"xml.{key} is a path of names from the root down, not {path!r}")
        if len(names) > 1 and not xml.metadata_namespace:
            raise SpecError(where, None, f"xml.{key} has a wrapper, {names[0]}, and there is no xml.metadata_namespace")
        found.append(XmlForm(names, namespace, xml.metadata_namespace, envelope, constants))
    if odd := [path for path in (*xml.envelope.values(), *xml.constants) if not all(path.split("/"))]:
        raise SpecError(where, None, f"xml.envelope: {odd[0]!r} is no path of names")
    if odd := [part for part in xml.envelope if part not in ENVELOPE]:
        raise SpecError(where, None, f"{odd[0]} is no part of an envelope; these are {', '.join(ENVELOPE)}")
    if xml.response_wrapper and len(found[1].names) == 1:
        raise SpecError(
            where, None, f"xml.response_wrapper says what stands around {xml.response}: there is no wrapper"
        )
    for text in xml.response_wrapper.values():
        try:
            text.format(**dict.fromkeys(WRAPPED, ""))
        except (KeyError, ValueError, IndexError):
            known = ", ".join(f"{{{name}}}" for name in WRAPPED)
            raise SpecError(where, None, f"xml.response_wrapper may have {known}; not so {text!r}") from None
    return found[0], found[1]


def _manifest_reason(error: msgspec.ValidationError) -> str:
    """Return what is wrong with a manifest; a new message type needs more than its row there."""
    if "$.types" not in str(error):
        return str(error)
    known = ", ".join(sorted(NATURES))
    return f"types: {error}; known are {known}, and a new one needs the places that docs/house.md names"


def _level_pointers(manifest: Manifest, classes: Mapping[str, str], top: str, where: str) -> dict[str, tuple[str, ...]]:
    """Return the WCO class ids down to each level; `top` is that of the declaration."""
    invoice, line = (manifest.xml.levels[level] for level in LEVELS[1:])
    if not line.startswith(f"{invoice}/"):
        reason = f"the level commodity at {line} does not stand in that of invoice at {invoice}"
        raise SpecError(where, None, reason)
    level_pointers: dict[str, tuple[str, ...]] = {"declaration": (top,)}
    for level, way in manifest.xml.levels.items():
        if not set(way.split("/")) <= set(classes):
            raise SpecError(where, None, f"the level {level} at {way} is unknown")
        level_pointers[level] = (top, *(classes[step] for step in way.split("/")))
    return level_pointers


def _usage(
    manifest: Manifest,
    folder: Path,
    root: Path,
    elements: Mapping[str, Element],
    code_lists: Mapping[str, CodeList],
) -> dict[str, dict[str, str]]:
    """Return a pack's usage: M, O or X by element and CAD type."""
    usage: dict[str, dict[str, str]] = {}
    for file in manifest.usage:
        given: set[str] = set()
        for origin, row in read_rows(folder / file, ("element", "*"), root=root):
            if row["element"] not in elements:
                raise SpecError(*origin, f"unknown element {row['element']}")
            once(row["element"], given, origin, "the usage of")
            marks = {cad_type: mark for cad_type, mark in row.items() if cad_type != "element" and mark}
            if unknown := set(row) - set(USAGE_COLUMNS) - set(code_lists["cad_type"].codes):
                raise SpecError(origin[0], 1, f"the column {sorted(unknown)[0]} is no CAD type")
            if bad := [mark for mark in marks.values() if mark not in ("M", "O", "X")]:
                raise SpecError(*origin, f"usage is M, O or X, not {bad[0]!r}")
            usage[row["element"]] = marks
    return usage


def _rules(manifest: Manifest, folder: Path, root: Path, remedies: Remedies) -> tuple[Rule, ...]:
    """Return a pack's rules: its tables in order, a later one replacing rules of those before it."""
    rules: dict[str, Rule] = {}
    for file in manifest.rules:
        ids: set[str] = set()
        for origin, row in read_rows(folder / file, RULE_COLUMNS, root=root):
            once(row["id"], ids, origin, "the rule id")
            rules[row["id"]] = Rule(
                id=row["id"],
                check=row["check"],
                element=row["element"],
                when=row["when"],
                parameter=row["parameter"],
                finding=read_finding(row, origin, row["id"], remedies),
                origin=origin,
                reads=row.get("reads", ""),
                parameter_source=_parameter_source(row, origin),
            )
    return tuple(rules.values())


def _parameter_source(row: Cells, origin: Origin) -> Bilingual | None:
    """Return where the constants of a rule's parameter come from, where its row says so."""
    if "parameter_source_en" not in row or "parameter_source_fr" not in row:
        return None
    found = read_both(row, "parameter_source", origin, row["id"], needed=False)
    return found if all(found) else None


def _ignorable(manifest: Manifest, folder: Path, root: Path) -> tuple[Ignorable, ...]:
    """Return the code metadata that may stand in a message unread."""
    found = []
    for file in manifest.ignorable:
        for origin, row in read_rows(folder / file, IGNORABLE_COLUMNS, root=root):
            if row["syntax"] not in ("edifact", "xml"):
                raise SpecError(*origin, f"syntax is edifact or xml, not {row['syntax']!r}")
            if not row["values"]:
                raise SpecError(*origin, "values are given with blanks between, or * for any")
            values = None if row["values"] == "*" else frozenset(row["values"].split())
            source = read_both(row, "source", origin, row["place"])
            found.append(Ignorable(row["syntax"], row["place"], values, source, read_confidence(row, origin), origin))
    return tuple(found)


def _statement(kind: str, text: str, manifest: Manifest) -> Statement:
    """Return how sure a kind of statement is: `LEVEL: why`, in French only why."""
    level, sign, why = text.partition(": ")
    if not sign or level not in CONFIDENCES:
        level, why = "", text
    return Statement(level, Bilingual(why, manifest.confidence_fr.get(kind) or why))


def _former(manifest: Manifest, folder: Path, root: Path, elements: Mapping[str, Element]) -> tuple[Former, ...]:
    """Return a pack's former places; raises SpecError for elements that are not there, or of different levels."""
    rows = []
    for file in manifest.former:
        for origin, row in read_rows(folder / file, FORMER_COLUMNS, root=root):
            now, source = elements.get(row["element"]), elements.get(row["read_as"])
            if now is None or source is None or now.level != source.level:
                raise SpecError(*origin, f"{row['element']} and {row['read_as']} are not elements of one level")
            shared = now.xml_path is not None and now.xml_path == source.xml_path
            rows.append(Former(now.name, source.name, frozenset(row["values"].split()), shared))
    return tuple(rows)


def _profile_row(row: Cells, origin: Origin) -> ProfileRow:
    """Return one segment of an EDIFACT profile."""
    if row["status"] not in ("M", "C"):
        raise SpecError(*origin, f"status is M or C, not {row['status']!r}")
    try:
        group, parent, repeats = int(row["group"]), int(row["parent"] or 0), int(row["max"])
    except ValueError:
        raise SpecError(*origin, "group, parent and max are whole numbers") from None
    return ProfileRow(group, row["tag"], row["status"], repeats, row["constant"] or None, parent, origin)
