"""What the gateway checks, as a list: the dictionary's findings, the packs' rules, and what is asked of the sender."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from core.declaration import MessageType
from core.findings import Bilingual
from core.specs import Element, FindingText, Pack, Rule, Specs
from validators.rulebook import reads_of
from validators.words import PLACEHOLDER

# Findings by which every declaration is compared with the dictionary, whatever the pack's rule table says.
DICTIONARY = "CAD-00"

# Findings about who sends, with what right, under which reference and which version of the specification.
SENDER = ("GTW-0003", "GTW-0004", "GTW-0005", "GTW-0006", "GTW-0009", "GTW-0011", "GTW-0015", "GTW-0016")


# What stands in a finding where its text leaves a place open.
PLACEHOLDERS: Mapping[str, Bilingual] = {
    "value": Bilingual("value", "valeur"),
    "expected": Bilingual("expected", "attendu"),
    "expected_en": Bilingual("format", "format"),
    "expected_fr": Bilingual("format", "format"),
    "name": Bilingual("kind", "genre"),
    "name_en": Bilingual("element", "élément"),
    "name_fr": Bilingual("element", "élément"),
    "list_en": Bilingual("list", "liste"),
    "list_fr": Bilingual("list", "liste"),
    "count": Bilingual("number", "nombre"),
    "day": Bilingual("day", "jour"),
    "digit": Bilingual("digit", "chiffre"),
    "latest": Bilingual("latest version", "dernière version"),
    "line": Bilingual("line", "ligne"),
    "origin": Bilingual("origin", "origine"),
    "place": Bilingual("place", "lieu"),
    "classification": Bilingual("classification", "classement"),
    "treatment": Bilingual("treatment", "traitement"),
    "treatment_en": Bilingual("treatment", "traitement"),
    "treatment_fr": Bilingual("treatment", "traitement"),
    "accounted": Bilingual("day of accounting", "jour de la déclaration"),
    "after": Bilingual("number", "numéro"),
    "after_segment": Bilingual("tag", "étiquette"),
    "charset": Bilingual("character set", "jeu de caractères"),
    "first": Bilingual("first reason", "premier motif"),
    "reason": Bilingual("reason", "raison"),
    "reason_code": Bilingual("reason code", "code de motif"),
    "reason_en": Bilingual("reason", "raison"),
    "reason_fr": Bilingual("reason", "raison"),
    "when_en": Bilingual("when it is valid, if not then", "sa période de validité, si elle existe"),
    "when_fr": Bilingual("when it is valid, if not then", "sa période de validité, si elle existe"),
    "former": Bilingual("former value", "valeur antérieure"),
    "changed": Bilingual("value now", "valeur actuelle"),
    "ended": Bilingual("last day", "dernier jour"),
    "begins": Bilingual("first day", "premier jour"),
    "segment": Bilingual("segment", "segment"),
    "group": Bilingual("group", "groupe"),
    "data_element": Bilingual("data element", "élément de données"),
    "counted": Bilingual("what is counted", "ce qui est compté"),
    "by": Bilingual("number or code", "numéro ou code"),
    "retired": Bilingual("last day", "dernier jour"),
    "invoices": Bilingual("invoices", "factures"),
    "order_en": Bilingual("order", "décret"),
    "order_fr": Bilingual("order", "décret"),
    "unless_en": Bilingual(", unless ...", ", sauf si..."),
    "unless_fr": Bilingual(", unless ...", ", sauf si..."),
}


class TypeWords(NamedTuple):
    """A message type in words: as a title, in a sentence, in a list; whether the list's French word is feminine."""

    title: Bilingual
    sentence: Bilingual
    short: Bilingual
    feminine: bool


# Every message type has its words here; what else a new one needs is told in docs/house.md.
TYPE_WORDS: Mapping[MessageType, TypeWords] = {
    MessageType.DECLARATION: TypeWords(
        title=Bilingual("original declaration", "déclaration originale"),
        sentence=Bilingual("an original declaration", "une déclaration initiale"),
        short=Bilingual("declaration", "déclaration"),
        feminine=True,
    ),
    MessageType.CORRECTION: TypeWords(
        title=Bilingual("change: correction or adjustment", "modification : correction ou rajustement"),
        sentence=Bilingual("a change to a declaration", "une modification d'une déclaration"),
        short=Bilingual("correction", "modification"),
        feminine=True,
    ),
    MessageType.WITHDRAW: TypeWords(
        title=Bilingual("withdraw request", "demande de retrait"),
        sentence=Bilingual("a request to withdraw a declaration", "une demande de retrait d'une déclaration"),
        short=Bilingual("withdraw", "retrait"),
        feminine=False,
    ),
    MessageType.UNKNOWN: TypeWords(
        title=Bilingual("unknown", "inconnu"),
        sentence=Bilingual("a message of a kind not known here", "un message d'un genre inconnu ici"),
        short=Bilingual("message", "message"),
        feminine=False,
    ),
}


class Listed(NamedTuple):
    """One thing that is checked: its finding, the packs that ask for it, and the element that it is about, if one.

    `reads` are all elements that its rule reads, its own first.
    """

    finding: FindingText
    packs: tuple[str, ...]
    element: Element | None
    rule: Rule | None
    reads: tuple[Element, ...] = ()


def listed_rules(specs: Specs) -> list[Listed]:
    """Return everything that is checked of a declaration's content and sender, by id; each rule once."""
    return sorted(_all(specs), key=lambda each: (each.finding.code[:3] != "CAD", each.finding.code))


def by_code(specs: Specs) -> dict[str, Listed]:
    """Return every finding that there is by its code, also those about syntax, which no list of rules has."""
    listed = {each.finding.code: each for each in _all(specs)}
    return {code: Listed(finding, (), None, None) for code, finding in specs.findings.items()} | listed


def _all(specs: Specs) -> Iterator[Listed]:
    every = tuple(pack.key for pack in specs.packs)
    for code, finding in specs.findings.items():
        if code.startswith(DICTIONARY) or code in SENDER:
            element = specs.packs[0].elements.get("importer_bn") if code == "GTW-0005" else None
            yield Listed(finding, every, element, None)
    rules: dict[str, tuple[Pack, Rule]] = {}
    for pack in specs.packs:
        for rule in pack.rules:
            rules.setdefault(rule.id, (pack, rule))
    for id_, (pack, rule) in rules.items():
        asking = tuple(each.key for each in specs.packs if any(other.id == id_ for other in each.rules))
        yield Listed(rule.finding, asking, pack.elements.get(rule.element), rule, reads_of(rule, pack, specs))


def as_json(listed: Listed, lang: str) -> dict[str, Any]:
    """Return a rule as the JSON that `gateway rules` writes; where it comes from in the language."""
    finding, element = listed.finding, listed.element
    place = None
    if element:
        place = {
            "element": element.name,
            "level": element.level,
            "pointer": "/".join(element.pointer),
            "xml": element.xml_path,
            "edifact": element.edifact_place,
        }
    return {
        "id": finding.code,
        "severity": str(finding.severity),
        "text": finding.text._asdict(),
        "remedy": finding.remedy._asdict(),
        "source": finding.source.speak(lang),
        "confidence": finding.confidence,
        "place": place,
    }


def place_in_words(element: Element | None) -> Bilingual:
    """Return the element that a rule is about, for people."""
    return element.title if element else Bilingual("any element, or the whole message", "tout élément, ou le message")


def in_words(text: Bilingual, element: Element | None) -> Bilingual:
    """Return a finding's text for people who see no message: its element by name, what else it leaves open in <>."""

    def fill(language: str) -> str:
        def word(name: str) -> str:
            if name.startswith("name_") and element:
                return element.title.speak(language)
            return f"<{PLACEHOLDERS[name].speak(language) if name in PLACEHOLDERS else name}>"

        return PLACEHOLDER.sub(lambda found: word(found[1]), text.speak(language))

    return Bilingual(fill("en"), fill("fr"))
