"""The guide's words in one language, and the index that its search reads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from core.findings import Bilingual
from core.specs import Element
from gateway.catalogue import PLACEHOLDERS


class _Piece(NamedTuple):
    """A piece of a finding's text; an open one is filled in when the finding is given."""

    text: str
    open: bool


class Speaker:
    """Chooses the words of one language."""

    def __init__(self, language: str) -> None:
        self.language = language

    def choose(self, en: str, fr: str) -> str:
        """Return one of two texts."""
        return fr if self.language == "fr" else en

    def say(self, text: Bilingual) -> str:
        """Return a text in the language."""
        return text.speak(self.language)

    def parts(self, text: Bilingual, element: Element | None) -> list[_Piece]:
        """Return a finding's text cut at its placeholders, the name of the element that it is about filled in."""
        parts = []
        for piece in re.split(r"(\{\w+\})", self.say(text)):
            name = piece[1:-1]
            if not piece.startswith("{"):
                parts.append(_Piece(piece, False))
            elif name.startswith("name_") and element:
                parts.append(_Piece(self.say(element.title), False))
            else:
                parts.append(_Piece(self.say(PLACEHOLDERS[name]) if name in PLACEHOLDERS else name, True))
        return parts


def index_of(facts: Mapping[str, Any], speak: Speaker) -> Iterator[tuple[str, str, str, str]]:
    """Yield (kind, title, address, further words) for everything that search finds."""
    say, t = speak.say, speak.choose
    for page in facts["pages"]:
        yield "page", say(page.pack.title), page.file, page.pack.key
        for shown in (shown for level in page.levels.values() for shown in level):
            element = shown.element
            places = element.xml_path or "", element.edifact_place or "", element.wco_id or ""
            words = (element.name, element.form_field, *places)
            address = f"{page.file}#{element.name}"
            yield "element", f"{say(element.title)} ({page.pack.key})", address, " ".join(words)
    for said in (said for area in facts["findings"].values() for said in area):
        code = said.finding.code
        text = "".join("…" if part.open else part.text for part in speak.parts(said.finding.text, said.element))
        yield "finding", f"{code} {text}", f"findings.html#{code}", say(said.finding.source)
    for codes, elements in facts["lists"]:
        names = " ".join(say(element.title) for element in elements)
        yield (
            "list",
            f"{t('Code list:', 'Liste de codes :')} {say(codes.name)}",
            f"codes.html#{codes.id}",
            f"{codes.id} {names}",
        )
        for code, entries in codes.codes.items():
            yield "code", f"{code} {say(entries[0].name)}", f"codes.html#{codes.id}.{code}", say(codes.name)
    for code, reason in facts["reasons"].items():
        yield "finding", f"{code} {say(reason)}", f"answers.html#{code}", ""
    for name, kind in facts["specs"].packs[0].answers.kinds.items():
        codes = f"{kind.document} {kind.response} {kind.status} BGM STS {name}"
        yield "page", f"{t('Answer:', 'Réponse :')} {say(kind.text)}", f"answers.html#kind.{name}", codes
    yield (
        "page",
        t("GOVCBR answer, segment by segment", "Réponse GOVCBR, segment par segment"),
        "answers.html#govcbr",
        "ERC ERP ELU RCS FTX STS TAX MOA pointer pointeur",
    )
    yield "page", t("EDIFACT places", "Places EDIFACT"), "exchange.html#places", "position element component qualifier"
    yield "page", t("Receipt", "Accusé de réception"), "answers.html#receipt", "receipt JSON sha256"
    yield "page", t("Answer in JSON", "Réponse en JSON"), "answers.html#answer", "refusal JSON neither EDIFACT nor XML"
    yield "page", t("Character sets", "Jeux de caractères"), "exchange.html#charsets", " ".join(facts["charsets"])
    yield (
        "page",
        t("Tests", "Essais"),
        "exchange.html#tests",
        "TEST-APPROVE TEST-REFUSE TEST-PENDING TEST-LATE TEST-SILENT",
    )
    yield "page", t("Check digit", "Chiffre de contrôle"), "exchange.html#check-digit", "modulo 10"
    yield "page", t("Downloads", "Téléchargements"), "exchange.html#downloads", "CSV JSON AsyncAPI JSON Schema"
    for name, title in (
        ("exchange", t("Connect", "Se brancher")),
        ("rules", t("Rules", "Règles")),
        ("answers", t("Answers", "Réponses")),
        ("examples", t("Examples", "Exemples")),
        ("segments", t("EDIFACT segments", "Segments EDIFACT")),
    ):
        yield "page", title, f"{name}.html", ""
