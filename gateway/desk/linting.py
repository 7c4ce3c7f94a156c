"""Verdicts on files in the forms that other programs read: JSON, one line a finding, GitHub, JUnit XML, SARIF."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple
from urllib.parse import quote
from xml.etree import ElementTree

from core.findings import Bilingual, Finding, Severity
from core.specs import Specs
from core.text import printable
from core.transmission import Judged, Verdict
from gateway.catalogue import by_code, in_words

# The name of our distribution.
PROGRAM = "cad-gateway"

SARIF = "https://json.schemastore.org/sarif-2.1.0.json"
TO_DO = Bilingual("To do:", "À faire :")
LEVELS = {Severity.REFUSE: "error", Severity.WARN: "warning"}

# What GitHub's workflow commands ask to be escaped, in a message and, further, in a property.
ESCAPED = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
IN_PROPERTY = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"})


class Linted(NamedTuple):
    """One message of a file, judged; `identified` tells whether its sender is a registered partner."""

    file: str
    judged: Judged
    identified: bool


def message_as_json(one: Linted, specs: Specs, lang: str) -> dict[str, Any]:
    """Return what `check --format json` says of a message; sources in the language."""
    message, declaration = one.judged.message, one.judged.message.declaration
    return {
        "file": one.file,
        "syntax": str(message.syntax),
        "type": str(message.type),
        "sender": message.envelope.sender,
        "identified": one.identified,
        "reference": message.envelope.reference,
        "transaction_number": declaration.transaction_number if declaration else None,
        "version": declaration.version if declaration else None,
        "verdict": str(one.judged.verdict),
        "findings": [finding_as_json(finding, specs, lang) for finding in one.judged.findings],
    }


def finding_as_json(finding: Finding, specs: Specs, lang: str) -> dict[str, Any]:
    """Return a finding as the JSON that the documentation describes; its source in the language."""
    remedy = specs.remedy_of(finding.code)
    return {
        "code": finding.code,
        "severity": str(finding.severity),
        "text": finding.text._asdict(),
        "remedy": remedy._asdict() if remedy else None,
        "place": asdict(finding.place),
        "value": finding.value,
        "expected": finding.expected,
        "source": finding.source.speak(lang),
    }


def summary(linted: Sequence[Linted], lang: str) -> str:
    """Return the last line of a check: how many messages, and what came of them."""
    verdicts = Counter(one.judged.verdict for one in linted)
    found = Counter(finding.severity for one in linted for finding in one.judged.findings)
    accepted, refused = verdicts[Verdict.ACCEPTED], verdicts[Verdict.REFUSED]
    faults, warnings = found[Severity.REFUSE], found[Severity.WARN]
    en = f"{_count(len(linted), 'message')}: {accepted} accepted, {refused} refused"
    en += f"; {_count(faults, 'fault')}, {_count(warnings, 'warning')}"
    fr = f"messages : {len(linted)}; acceptés : {accepted}, refusés : {refused}"
    fr += f"; erreurs : {faults}, avertissements : {warnings}"
    return Bilingual(en, fr).speak(lang)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def concise(linted: Sequence[Linted], lang: str) -> Iterator[str]:
    """Yield a line for each finding, as compilers write them, which editors follow to the place."""
    for one, finding in _each(linted):
        place, severity = finding.place, LEVELS[finding.severity]
        yield f"{one.file}:{place.line or 1}:{place.column or 1}: {severity}: {_said(finding, lang)} [{finding.code}]"


def github(linted: Sequence[Linted], lang: str) -> Iterator[str]:
    """Yield GitHub's workflow command for each finding, which annotates the file in a pull request."""
    for one, finding in _each(linted):
        place, file = finding.place, one.file.translate(IN_PROPERTY)
        where = f"file={file},line={place.line or 1},col={place.column or 1},title={finding.code}"
        yield f"::{LEVELS[finding.severity]} {where}::{_said(finding, lang).translate(ESCAPED)}"


def junit(linted: Sequence[Linted], lang: str) -> str:
    """Return JUnit XML: a suite for each file, a case for each message; a refused one failed, by its faults."""
    top = ElementTree.Element("testsuites", name="gateway check")
    suites: dict[str, list[Linted]] = {}
    for one in linted:
        suites.setdefault(one.file, []).append(one)
    for file, messages in suites.items():
        failures = sum(one.judged.verdict is Verdict.REFUSED for one in messages)
        counts = {"tests": str(len(messages)), "failures": str(failures), "errors": "0", "skipped": "0"}
        suite = ElementTree.SubElement(top, "testsuite", counts, name=printable(file))
        for number, one in enumerate(messages, 1):
            _case(suite, number, one, lang)
    ElementTree.indent(top)
    return ElementTree.tostring(top, encoding="unicode", xml_declaration=False)


def _case(suite: ElementTree.Element, number: int, one: Linted, lang: str) -> None:
    declaration = one.judged.message.declaration
    subject = declaration and " ".join(filter(None, (declaration.transaction_number, declaration.version)))
    name = f"{number} {one.judged.message.type} {subject or ''}".strip()
    case = ElementTree.SubElement(suite, "testcase", classname=printable(one.file), name=printable(name))
    for kind, severity in (("failure", Severity.REFUSE), ("system-out", Severity.WARN)):
        lines = [
            f"{finding.code} {finding.place.line or 1}:{finding.place.column or 1} {_said(finding, lang)}"
            for finding in one.judged.findings
            if finding.severity is severity
        ]
        if lines:
            told = ElementTree.SubElement(case, kind)
            told.text = printable("\n".join(lines), keep="\n")
            if kind == "failure":
                told.attrib |= {"type": "refused", "message": printable(lines[0])}


def sarif(linted: Sequence[Linted], specs: Specs, lang: str) -> dict[str, Any]:
    """Return a SARIF 2.1.0 log; columns count characters."""
    from importlib.metadata import version  # no other form asks for it

    codes = sorted({finding.code for _, finding in _each(linted)})
    known, rules = by_code(specs), []
    for code in codes:
        finding, element = known[code].finding, known[code].element
        text = in_words(finding.text, element).speak(lang)
        told = (f"{text} ({finding.source.speak(lang)})", f"{TO_DO.speak(lang)} {finding.remedy.speak(lang)}")
        rules.append(
            {
                "id": code,
                "shortDescription": {"text": text},
                "help": {"text": "\n".join((*told, f"gateway explain {code}"))},
                "defaultConfiguration": {"level": LEVELS[finding.severity]},
            }
        )
    results = [
        {
            "ruleId": finding.code,
            "ruleIndex": codes.index(finding.code),
            "level": LEVELS[finding.severity],
            "message": {"text": _said(finding, lang)},
            "locations": [_location(one.file, finding)],
        }
        for one, finding in _each(linted)
    ]
    driver = {"name": PROGRAM, "version": version(PROGRAM), "language": lang, "rules": rules}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "language": lang, "results": results}
    return {"$schema": SARIF, "version": "2.1.0", "runs": [run]}


def _location(file: str, finding: Finding) -> dict[str, Any]:
    place = finding.place
    physical: dict[str, Any] = {"artifactLocation": {"uri": quote(file)}}
    if place.line:
        physical["region"] = {"startLine": place.line, "startColumn": place.column or 1}
    found: dict[str, Any] = {"physicalLocation": physical}
    if named := place.pointer or place.xpath:
        found["logicalLocations"] = [{"fullyQualifiedName": named}]
    return found


def _said(finding: Finding, lang: str) -> str:
    """Return a finding's text on one line."""
    return " ".join(finding.text.speak(lang).splitlines())


def _each(linted: Sequence[Linted]) -> Iterator[tuple[Linted, Finding]]:
    for one in linted:
        for finding in one.judged.findings:
            yield one, finding


# What is a line for each finding, and what is one document.
LINES: Mapping[str, Callable[[Sequence[Linted], str], Iterator[str]]] = {"concise": concise, "github": github}
