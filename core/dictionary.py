"""Reads a pack's dictionary: its elements with their formats and places; compares it with what the program needs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from core.errors import SpecError
from core.fields import read_both, read_confidence
from core.findings import CONFIDENCES
from core.specs import FORMAT, CodeList, Element, Format
from core.tables import Cells, Origin, once, read_rows

LEVELS = ("declaration", "invoice", "commodity")

ELEMENT_COLUMNS = (
    "element", "level", "form_field", "name_en", "name_fr", "format", "code_list", "list_day", "direction", "xml_path",
    "edifact_place", "wco_id", "source_en", "source_fr", "confidence", "note_en", "note_fr", "about_change",
)  # fmt: skip

# Every element that the program reads by its name, with the level and kind that it must have; what rules read, they
# declare themselves (`validators/checks.py`), and the reference engine reads what its own contract names.
NEEDED = {
    "function_code": ("declaration", "text"),  # reading: which pack
    "transaction_number": ("declaration", "text"),  # the register, the journal
    "version": ("declaration", "text"),  # the register, the journal
    "cad_type": ("declaration", "text"),  # usage
    "functional_reference": ("declaration", "text"),  # answers, requests
    "accounting_date": ("declaration", "date"),  # the register: the payment due date
    "release_date": ("declaration", "date"),  # the register: the payment due date
    "importer_bn": ("declaration", "text"),  # the sender's authority
    "importer_name": ("declaration", "text"),  # explain
    "invoice_number": ("invoice", "text"),  # explain
    "line_number": ("commodity", "number"),  # comparing versions
    "classification": ("commodity", "text"),  # diff
    "description": ("commodity", "text"),  # diff, explain
    "value_for_currency_conversion": ("commodity", "number"),  # explain
    "currency": ("commodity", "text"),  # explain
}


def read_elements(
    root: Path, paths: Iterable[Path], classes: Mapping[str, str], code_lists: Mapping[str, CodeList], top: str
) -> dict[str, Element]:
    """Return a pack's dictionary: its tables in order, a later one replacing elements of those before it.

    `top` is the WCO id of the class that a declaration is.
    """
    elements: dict[str, Element] = {}
    for path in paths:
        given: set[str] = set()
        for origin, row in read_rows(path, ELEMENT_COLUMNS, root=root):
            once(row["element"], given, origin, "the element")
            elements[row["element"]] = _element(row, origin, classes, code_lists, top)
    for element in elements.values():
        _check_named(element, elements)
    return elements


def _check_named(element: Element, elements: Mapping[str, Element]) -> None:
    """Raise SpecError if an element names others that the dictionary has not, or has at another level."""
    for name in element.list_day:
        if name not in elements or elements[name].format.kind != "date":
            raise SpecError(*element.origin, f"list_day names {name}, which is no date element")
        if elements[name].level not in {element.level, "declaration"}:
            raise SpecError(*element.origin, f"list_day names {name}, which is of level {elements[name].level}")
    currency = element.currency
    if currency and (currency not in elements or elements[currency].level != element.level):
        raise SpecError(*element.origin, f"currency names {currency}, which is no element of level {element.level}")


def check_needed(elements: Mapping[str, Element], where: str) -> None:
    """Raise SpecError if the dictionary lacks what the program reads by name, or has it at another level or kind."""
    if lacking := [name for name in NEEDED if name not in elements]:
        raise SpecError(where, None, f"the dictionary lacks {', '.join(lacking)}, which the gateway reads by name")
    for name, (level, kind) in NEEDED.items():
        if (elements[name].level, elements[name].format.kind) != (level, kind):
            raise SpecError(*elements[name].origin, f"the gateway reads {name} by name, as a {kind} of level {level}")


def _element(
    row: Cells, origin: Origin, classes: Mapping[str, str], code_lists: Mapping[str, CodeList], top: str
) -> Element:
    """Return one row of the dictionary."""
    if row["level"] not in LEVELS:
        raise SpecError(*origin, f"unknown level {row['level']!r}")
    if row["direction"] not in ("in", "out"):
        raise SpecError(*origin, f"direction is in or out, not {row['direction']!r}")
    if row["code_list"] and row["code_list"] not in code_lists:
        raise SpecError(*origin, f"there is no code list {row['code_list']}")
    if row["code_list"] and not code_lists[row["code_list"]].codes:
        raise SpecError(*origin, f"the code list {row['code_list']} is empty")
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
        title=read_both(row, "name", origin, row["element"]),
        format=form,
        code_list=row["code_list"] or None,
        list_day=tuple(row["list_day"].split()),
        direction=row["direction"],
        xml_path=row["xml_path"] or None,
        edifact_place=row["edifact_place"] or None,
        wco_id=row["wco_id"] or None,
        pointer=_pointer(row, origin, classes, top),
        source=read_both(row, "source", origin, row["element"]),
        confidence=read_confidence(row, origin),
        note=read_both(row, "note", origin, row["element"], needed=False),
        origin=origin,
        about_change=row["about_change"] == "yes",
        currency=row.get("currency") or None,
        xml_confidence=_xml_confidence(row, origin),
        mistaken=_mistaken(row, origin),
    )


def _xml_confidence(row: Cells, origin: Origin) -> str:
    """Return how sure an element's place in XML is, empty where the row does not say."""
    given = row.get("xml_confidence", "")
    if given and given not in CONFIDENCES:
        raise SpecError(*origin, f"xml_confidence is high, medium or low, not {given!r}")
    return given


def _mistaken(row: Cells, origin: Origin) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Return what is written into an element by mistake: `STATE=PATTERN; STATE=PATTERN`."""
    found = []
    for part in filter(None, row.get("mistaken", "").split("; ")):
        state, sign, pattern = part.partition("=")
        try:
            found.append((state, re.compile(pattern)))
        except re.error as error:
            raise SpecError(*origin, f"bad regular expression {pattern!r}: {error}") from error
        if not state or not sign:
            raise SpecError(*origin, f"mistaken is STATE=PATTERN, not {part!r}")
    return tuple(found)


def parse_format(notation: str) -> Format:
    """Return the format that a notation stands for; raises ValueError for an unknown one.

    A fixed number of digits (`n14`) is an identifier and stays text; `n..5` and `n..16,3` are numbers: the latter of 16
    digits at most, as many as 3 of them decimals, so that without decimals all 16 may stand before the mark.
    """
    found = FORMAT.fullmatch(notation)
    if not found:
        raise ValueError(f"unknown format {notation!r}")
    if found["date"]:
        return Format(notation, "date", 8, 8, 0, re.compile("[0-9]{8}"))
    most, least = int(found["max"]), 1 if found["up_to"] else int(found["max"])
    decimals = int(found["decimals"] or 0)
    if found["type"] == "n" and found["up_to"]:
        return Format(notation, "number", 1, most, decimals, re.compile(_digits(most, decimals)))
    characters = {"n": "[0-9]", "a": "[A-Za-z]", "an": r"[^\x00-\x1f\x7f]"}[found["type"]]
    return Format(notation, "text", least, most, 0, re.compile(rf"{characters}{{{least},{most}}}"))


def _digits(most: int, decimals: int) -> str:
    """Return the pattern of a number of so many digits at most, of which so many at most are decimals."""
    places = range(min(decimals, most - 1) + 1)
    return "|".join(rf"[0-9]{{1,{most - n}}}" + (rf"\.[0-9]{{{n}}}" if n else "") for n in places)


def _pointer(row: Cells, origin: Origin, classes: Mapping[str, str], top: str) -> tuple[str, ...]:
    """Return the WCO pointer of an element: the ids of the classes on its path, then its own id (or name)."""
    steps = [re.sub(r"\[.*", "", step) for step in re.split(r"/(?![^\[]*\])", row["xml_path"]) if step]
    steps = [step for step in steps if step != "DateTimeString" and not step.startswith("@")]
    if not steps:
        return ()
    for step in steps[:-1]:
        if step not in classes:
            raise SpecError(*origin, f"the path {row['xml_path']} names the unknown class {step}")
    return (top, *(classes[step] for step in steps[:-1]), row["wco_id"] or steps[-1])
