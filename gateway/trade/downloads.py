"""What the guide gives to programs: dictionary, code lists and findings as CSV and JSON, schemas, the queues."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from core.specs import Specs
from gateway.catalogue import by_code, in_words
from gateway.trade.asyncapi import SCHEMAS, document

Row = Mapping[str, str | None]


def write_downloads(specs: Specs, folder: Path) -> None:
    """Write everything into a folder, which is made; raises OSError."""
    folder.mkdir(exist_ok=True)
    for name, rows in (("dictionary", _dictionary(specs)), ("codes", _codes(specs)), ("findings", _findings(specs))):
        listed = list(rows)
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


def _dictionary(specs: Specs) -> Iterator[Row]:
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


def _codes(specs: Specs) -> Iterator[Row]:
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


def _findings(specs: Specs) -> Iterator[Row]:
    for code, listed in sorted(by_code(specs).items()):
        text = in_words(listed.finding.text, listed.element)
        yield {
            "code": code,
            "severity": str(listed.finding.severity),
            "text_en": text.en,
            "text_fr": text.fr,
            "element": listed.element.name if listed.element else None,
            "packs": " ".join(pack.replace(" ", "-") for pack in listed.packs),
            "contrl": listed.finding.syntax_error,
            "source_en": listed.finding.source.en,
            "source_fr": listed.finding.source.fr,
            "confidence": listed.finding.confidence,
        }
