"""What the guide gives to programs: dictionary, usage, code lists and findings as CSV and JSON, schemas, the queues."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from core.declaration import MessageType
from core.specs import Pack, Specs
from gateway.catalogue import by_code, in_words
from gateway.trade.asyncapi import SCHEMAS, document
from validators.elements import usage_of

Download = Mapping[str, str | None]

# The column of usage that is no CAD type: the request to withdraw a declaration.
WITHDRAW = "withdraw"


class Use(NamedTuple):
    """Whether an element is mandatory, optional or not allowed (M, O, X) for a CAD type or WITHDRAW."""

    cad_type: str
    mark: str


def uses_of(name: str, pack: Pack, specs: Specs) -> tuple[Use, ...]:
    """Return an element's uses in the messages of a pack, by the function that the validator asks."""
    kinds = pack.types.values()
    declared = next((kind for kind in kinds if kind is not MessageType.WITHDRAW), MessageType.WITHDRAW)
    return tuple(
        Use(each, usage_of(name, pack, MessageType.WITHDRAW if each == WITHDRAW else declared, each))
        for each in cad_types_of(pack, specs)
    )


def cad_types_of(pack: Pack, specs: Specs) -> tuple[str, ...]:
    """Return what the usage of a pack's elements is told for: the CAD types, and the request to withdraw."""
    kinds = set(pack.types.values())
    cad_types = tuple(specs.code_lists["cad_type"].codes) if kinds - {MessageType.WITHDRAW} else ()
    return (*cad_types, *((WITHDRAW,) if MessageType.WITHDRAW in kinds else ()))


def write_downloads(specs: Specs, folder: Path) -> None:
    """Write everything into a folder, which is made; raises OSError."""
    folder.mkdir(exist_ok=True)
    tables = {"dictionary": _dictionary, "usage": _usage, "codes": _codes, "findings": _findings}
    for name, of in tables.items():
        listed = list(of(specs))
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, listed[0], lineterminator="\n")
            table.writeheader()
            table.writerows(listed)
        _write_json(folder / f"{name}.json", listed)
    _write_json(folder / "asyncapi.json", document(specs.packs[0].answers))
    for path in SCHEMAS.values():
        shutil.copyfile(path, folder / path.name)


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _dictionary(specs: Specs) -> Iterator[Download]:
    for pack in specs.packs:
        for element in pack.elements.values():
            yield {
                "pack": pack.key,
                "element": element.name,
                "level": element.level,
                "direction": element.direction,
                "form_field": element.form_field,
                "name_en": element.title.en,
                "name_fr": element.title.fr,
                "format": element.format.notation,
                "code_list": element.code_list,
                "xml": element.xml_path,
                "edifact": element.edifact_place,
                "pointer": "/".join(element.pointer),
                "confidence": element.confidence,
            }


def _usage(specs: Specs) -> Iterator[Download]:
    for pack in specs.packs:
        for name, element in pack.elements.items():
            if element.direction == "in":
                for use in uses_of(name, pack, specs):
                    yield {"pack": pack.key, "element": name, "cad_type": use.cad_type, "use": use.mark}


def _codes(specs: Specs) -> Iterator[Download]:
    for id_, codes in specs.code_lists.items():
        for code, entries in codes.codes.items():
            for entry in entries:
                yield {
                    "list": id_,
                    "code": code,
                    "name_en": entry.name.en,
                    "name_fr": entry.name.fr,
                    "valid_from": entry.valid.start.isoformat() if entry.valid.start else None,
                    "valid_to": entry.valid.end.isoformat() if entry.valid.end else None,
                }


def _findings(specs: Specs) -> Iterator[Download]:
    for code, listed in sorted(by_code(specs).items()):
        text = in_words(listed.finding.text, listed.element)
        yield {
            "code": code,
            "severity": str(listed.finding.severity),
            "text_en": text.en,
            "text_fr": text.fr,
            "element": listed.element.name if listed.element else None,
            "remedy_en": listed.finding.remedy.en,
            "remedy_fr": listed.finding.remedy.fr,
            "packs": " ".join(pack.replace(" ", "-") for pack in listed.packs),
            "contrl": listed.finding.syntax_error,
            "source_en": listed.finding.source.en,
            "source_fr": listed.finding.source.fr,
            "confidence": listed.finding.confidence,
        }
