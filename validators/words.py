"""Puts faults into words: the finding's text in both languages, its placeholders filled, the sender's value escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from core.findings import Bilingual, Fault, Finding, Place, Severity, picture_in
from core.limits import ECHO_CHARACTERS, FINDINGS_LISTED
from core.specs import FindingText, Pack, Specs
from core.text import printable
from core.transmission import Message

PLACEHOLDER = re.compile(r"\{(\w+)\}")


def shown(text: str, most: int = ECHO_CHARACTERS) -> str:
    """Return the sender's text fit to be shown (see `core.text`), at most so many characters of it."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return printable(cut)


Texts = Mapping[str, FindingText]


def texts_of(specs: Specs, pack: Pack | None) -> Texts:
    """Return what every finding code means for a pack: those of its rules and those of the findings tables."""
    rules = pack.rules if pack else ()
    return {**specs.findings, **{rule.finding.code: rule.finding for rule in rules}}


def refuses(fault: Fault, texts: Texts) -> bool:
    """Tell whether a fault refuses its message; one without words does."""
    row = texts.get(fault.code)
    return row is None or row.severity is Severity.REFUSE


def to_findings(faults: Iterable[Fault], message: Message, pack: Pack | None, texts: Texts) -> tuple[Finding, ...]:
    """Return the faults put into words, those that an answer lists first: refusals before warnings, then by place.

    Only as many as an answer lists are looked up in the sender's bytes, which is slow; the others have their pointer.
    """
    given = list(faults)
    if not given:
        return ()
    if len(given) > FINDINGS_LISTED:
        given.sort(key=lambda fault: refuses(fault, texts), reverse=True)
    listed = [to_finding(_with_name(fault, pack), message, texts) for fault in given[:FINDINGS_LISTED]]
    listed.sort(key=lambda finding: (finding.place.line or 0, finding.place.column or 0))
    rest = [
        replace(
            fault, place=fault.place or Place(pointer=pack.pointer(fault.address) if pack and fault.address else None)
        )
        for fault in given[FINDINGS_LISTED:]
    ]
    return (*listed, *(to_finding(fault, message, texts) for fault in rest))


def _with_name(fault: Fault, pack: Pack | None) -> Fault:
    """Return a fault of EDIFACT with the dictionary's name of the element at which it is, if that is known."""
    element = pack.elements.get(fault.details.get("element", "")) if pack and not fault.address else None
    if element is None or "name_en" in fault.details:
        return fault
    return replace(fault, details={**fault.details, "name_en": element.title.en, "name_fr": element.title.fr})


def to_finding(fault: Fault, message: Message, texts: Texts) -> Finding:
    """Return the fault in both languages and with its place in the sender's bytes, its placeholders filled.

    The sender's value is escaped and cut; the place is the fault's own, or what the document finds for its address.
    """
    known = texts.get(fault.code)
    row = known.of(fault.details.get("state")) if known else None
    value = None if fault.value is None else shown(fault.value)
    expected = None if fault.expected is None else shown(fault.expected, 200)
    words = {
        "expected": expected or "—",
        **{name: shown(detail, 200) for name, detail in fault.details.items()},
        "value": "—" if value is None else value,
    }

    def fill(text: str, language: str) -> str:
        spoken = words | {"expected": picture_in(words["expected"], language)}
        said = PLACEHOLDER.sub(lambda found: spoken.get(found[1], found[0]), text)
        name = spoken.get(f"name_{language}") if fault.address is None else None
        if not name or f"{{name_{language}}}" in text:
            return said
        return f"{name}{' :' if language == 'fr' else ':'} {said}"

    place = fault.place or (message.document.locate(fault.address) if fault.address else Place())
    text = row.text if row else Bilingual(fault.code, fault.code)
    return Finding(
        code=fault.code,
        severity=row.severity if row else Severity.REFUSE,
        text=Bilingual(fill(text.en, "en"), fill(text.fr, "fr")),
        place=place,
        value=value,
        expected=expected,
        source=row.source if row else Bilingual("", ""),
        syntax_error=fault.syntax_error or (row.syntax_error if row else None),
        service_segment=fault.service_segment,
        address=fault.address,
    )
