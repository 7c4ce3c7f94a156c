"""Loads `eccrd_specs/` once, whole and checked, into immutable values with a digest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from core.days import read_calendar
from core.errors import SpecError
from core.fields import (
    REMEDIES,
    WORDS,
    Remedies,
    read_both,
    read_confidence,
    read_finding,
    read_period,
    read_remedies,
)
from core.findings import CONFIDENCES, Bilingual, least_sure
from core.packs import read_pack
from core.specs import Code, CodeList, FindingText, Specs
from core.tables import once, read_rows
from core.trade_tables import read_trade
from core.transmission import digest_of


def load(root: Path) -> Specs:
    """Read every table under the folder and return the specification.

    A pack is every sub-folder with a `manifest.toml`. Raises SpecError, naming file, row and reason.
    """
    if not root.is_dir():
        raise SpecError(str(root), None, "there is no such folder of specifications")
    manifests = sorted(root.glob("*/manifest.toml"))
    if not manifests:
        raise SpecError(str(root), None, "this is no specification: none of its folders has a manifest.toml")
    remedies = read_remedies(root)
    findings = _findings(root, remedies)
    classes = _classes(root)
    code_lists = _code_lists(root)
    packs = tuple(read_pack(root, path.parent, classes, code_lists, remedies) for path in manifests)
    for pack in packs:
        if sum(other.key == pack.key for other in packs) > 1:
            raise SpecError(str(root), None, f"there are two packs {pack.id} of version {pack.version}")
        for rule in pack.rules:
            if rule.id in findings:
                raise SpecError(*rule.origin, f"the rule id {rule.id} is a finding code already")
    _compare(remedies, {*findings, *(rule.id for pack in packs for rule in pack.rules)})
    trade = read_trade(root, code_lists)
    return Specs(root, packs, code_lists, findings, classes, read_calendar(root, code_lists), trade)


def _compare(remedies: Remedies, codes: set[str]) -> None:
    """Raise SpecError for a remedy of a finding that there is not."""
    for code, (origin, _) in remedies.items():
        if code not in codes:
            raise SpecError(*origin, f"there is no finding {code}")


def _findings(root: Path, remedies: Remedies) -> dict[str, FindingText]:
    """Return the findings tables by code."""
    findings: dict[str, FindingText] = {}
    for path in sorted({*(root / "findings").glob("*.csv")} - {root / REMEDIES}):
        for origin, row in read_rows(path, ("code", *WORDS, "syntax_error"), root=root):
            code, state, known = row["code"], row.get("state", ""), findings.get(row["code"])
            if known and (not state or state in known.states):
                raise SpecError(*origin, f"finding code {' '.join(filter(None, (code, state)))} is given twice")
            if state and not known:
                raise SpecError(*origin, f"finding code {code} comes as {state} before it comes as itself")
            found = read_finding(row, origin, code, remedies)
            findings[code] = replace(known, states={**known.states, state: found}) if known else found
    return findings


def _classes(root: Path) -> dict[str, str]:
    """Return the WCO id of each class."""
    found: dict[str, str] = {}
    given: set[str] = set()
    for origin, row in read_rows(root / "wco/classes.csv", ("class", "wco_id"), root=root):
        once(row["class"], given, origin, "the class")
        found[row["class"]] = row["wco_id"]
    return found


def _code_lists(root: Path) -> dict[str, CodeList]:
    """Return the code lists by id; raises SpecError for one without a name, or without the list of CAD types."""
    names: dict[str, Bilingual] = {}
    given: set[str] = set()
    for origin, row in read_rows(root / "code_lists.csv", ("list", "name_en", "name_fr"), root=root):
        once(row["list"], given, origin, "the code list")
        names[row["list"]] = read_both(row, "name", origin, row["list"])
    found = {path.stem: _code_list(root, path, names) for path in sorted((root / "codes").glob("*.csv"))}
    if "cad_type" not in found:
        raise SpecError("codes/cad_type.csv", None, "there is no list of CAD types")
    return found


def _code_list(root: Path, path: Path, names: Mapping[str, Bilingual]) -> CodeList:
    """Return one code list; its confidence is that of its least sure entry. One that elements read is never empty."""
    codes: dict[str, tuple[Code, ...]] = {}
    if path.stem not in names:
        raise SpecError("code_lists.csv", None, f"the code list {path.stem} has no name here")
    columns = ("code", "name_en", "name_fr", "valid_from", "valid_to", "source_en", "source_fr", "confidence")
    for origin, row in read_rows(path, columns, root=root):
        valid = read_period(row, origin, row["code"])
        if any(each.valid.overlaps(valid) for each in codes.get(row["code"], ())):
            raise SpecError(*origin, f"the code {row['code']} is given twice for one day")
        name, source = read_both(row, "name", origin, row["code"]), read_both(row, "source", origin, row["code"])
        code = Code(row["code"], name, valid, source, read_confidence(row, origin), row)
        codes[code.code] = (*codes.get(code.code, ()), code)
    least = least_sure(c.confidence for entries in codes.values() for c in entries) if codes else CONFIDENCES[0]
    return CodeList(path.stem, names[path.stem], codes, least)


def _files_below(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    """Yield every file below a folder, whatever links lead to it."""
    if folder.resolve() in above:
        raise SpecError(str(folder), None, "the folder is linked into itself")
    for path in folder.iterdir():
        if path.is_dir():
            yield from _files_below(path, (*above, folder.resolve()))
        elif path.is_file():
            yield path


def digest_of_files(root: Path, *others: Path) -> str:
    """Return the SHA-256 (hexadecimal) over the names and bytes of every file below a folder, and of others.

    A folder that is linked into it counts as if it lay there: its tables are read, too. Raises SpecError for a folder
    that is linked into itself.
    """
    inside = sorted((path.relative_to(root).as_posix(), path) for path in _files_below(root, ()))
    named = [*inside, *((f"../{path.name}", path) for path in others)]
    return digest_of("".join(f"{name} {digest_of(path.read_bytes())}\n" for name, path in named).encode())
