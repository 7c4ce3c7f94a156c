"""Reads a pack's tables of answers: the codes of each kind, and those of both syntaxes by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from core.answers import ALWAYS, KINDS, AnswerCode, Answers, DutyCodes, EdifactCodes, Kind, XmlCodes
from core.errors import SpecError
from core.fields import read_both, read_confidence
from core.tables import Cells, Origin, once, read_rows

KIND_COLUMNS = (
    "kind", "document", "response", "status", "text_en", "text_fr", "when_en", "when_fr", "source_en", "source_fr",
    "confidence",
)  # fmt: skip
CODE_COLUMNS = (
    "syntax", "name", "code", "place", "meaning_en", "meaning_fr", "source_en", "source_fr", "confidence",
)  # fmt: skip

Shape = TypeVar("Shape", DutyCodes, EdifactCodes, XmlCodes)

# The words of a status fit one component of STS (UN 9011, 4404).
STATUS_CHARACTERS = 35


def read_answers(root: Path, kinds: Iterable[Path], codes: Iterable[Path], where: str) -> Answers:
    """Return a pack's answers; raises SpecError, naming file, row and reason, for tables that cannot be used."""
    found: dict[str, Kind] = {}
    for path in kinds:
        given: set[str] = set()
        for origin, row in read_rows(path, KIND_COLUMNS, root=root):
            once(row["kind"], given, origin, "the kind")
            found[row["kind"]] = _kind(row, origin)
    if lacking := [kind for kind in KINDS if kind not in found]:
        raise SpecError(where, None, f"answers: there is no row for {', '.join(lacking)}")
    if len({kind.status for kind in found.values()}) < len(found):
        raise SpecError(where, None, "answers: two kinds have one status")
    rows: dict[tuple[str, str], AnswerCode] = {}
    for path in codes:
        named: set[str] = set()
        for origin, row in read_rows(path, CODE_COLUMNS, root=root):
            once(f"{row['syntax']} {row['name']}", named, origin, "the code of")
            rows[row["syntax"], row["name"]] = _code(row, origin)
    by_name = {syntax: {name: row.code for (of, name), row in rows.items() if of == syntax} for syntax in ALWAYS}
    return Answers(
        found,
        _named(by_name["both"], DutyCodes, where),
        _named(by_name["edifact"], EdifactCodes, where),
        _named(by_name["xml"], XmlCodes, where),
        tuple(rows.values()),
    )


def _kind(row: Cells, origin: Origin) -> Kind:
    if row["kind"] not in KINDS:
        raise SpecError(*origin, f"a kind is one of {', '.join(KINDS)}, not {row['kind']!r}")
    text = read_both(row, "text", origin, row["kind"])
    if max(map(len, text)) > STATUS_CHARACTERS:
        raise SpecError(*origin, f"the words of a status have at most {STATUS_CHARACTERS} characters")
    when, source = (read_both(row, column, origin, row["kind"]) for column in ("when", "source"))
    return Kind(row["document"], row["response"], row["status"], text, when, source, read_confidence(row, origin))


def _code(row: Cells, origin: Origin) -> AnswerCode:
    if row["syntax"] not in ALWAYS:
        raise SpecError(*origin, f"syntax is edifact, xml or both, not {row['syntax']!r}")
    if not row["code"] and row["name"] in ALWAYS[row["syntax"]]:
        raise SpecError(*origin, f"no answer can be without {row['name']}: it needs a code")
    meaning, source = (read_both(row, column, origin, row["name"]) for column in ("meaning", "source"))
    return AnswerCode(
        row["syntax"], row["name"], row["code"], row["place"], meaning, source, read_confidence(row, origin)
    )


def _named(codes: Mapping[str, str], shape: type[Shape], where: str) -> Shape:
    """Return codes by name; raises SpecError for one that lacks or that no writer knows."""
    wanted = set(shape.__struct_fields__)
    for name in sorted(wanted ^ set(codes)):
        raise SpecError(where, None, f"answer codes: {name} {'has no row' if name in wanted else 'is not known'}")
    return shape(**codes)
