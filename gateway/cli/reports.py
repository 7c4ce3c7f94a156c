"""`gateway smoke --verify`: what a report of a smoke test says, and what of it is proven."""

from __future__ import annotations

import importlib.metadata
from datetime import datetime
from pathlib import Path

from core.calendar import eastern
from core.findings import Bilingual
from gateway.cli.terminal import echo
from gateway.trade.signatures import is_signed
from gateway.trade.smoke import Report, canonical, digest
from gateway.trade.smoke_report import Checked, check_report, who_played

SAME = Bilingual("made of these results", "faite de ces résultats")
FORGED = Bilingual("NOT made of these results: forged", "PAS faite de ces résultats : falsifiée")
OTHERS = Bilingual("made by {}: only that program can compare it", "faite par {} : seul ce programme peut la comparer")
BY_OWNER = Bilingual("by the owner of the key", "par le détenteur de la clé")
NOT_BY_OWNER = Bilingual("NOT by the owner of the key", "PAS par le détenteur de la clé")
UNCHECKED = Bilingual("there is one; --public-key checks it", "il y en a une; --public-key la vérifie")
NONE = Bilingual("none", "aucune")
PROVES = Bilingual(
    "Anyone can write such a file: without a checked signature only the digest that both sides noted proves it.",
    "N'importe qui peut écrire un tel fichier : sans signature vérifiée, seule l'empreinte notée par les deux parties"
    " le prouve.",
)


def program() -> str:
    """Return this program's name and version, as results hold them."""
    return f"cad-gateway {importlib.metadata.version('cad-gateway')}"


def verified(path: Path, key: Path | None, language: str) -> int:
    """Tell what a report says and what of it is proven; return 0 if all that was asked for is, else 1."""
    found = check_report(path, program())
    result = found.report.result
    signed = bool(key and is_signed(canonical(result), found.report.signature, key))
    partner = f"{result.partner_name} ({result.partner})"
    passed = Bilingual("passed", "réussi") if result.passed else Bilingual("not passed", "non réussi")
    rows = [
        (Bilingual("partner", "partenaire"), partner),
        (Bilingual("role", "rôle"), who_played(result).speak(language)),
        (Bilingual("date", "date"), eastern(datetime.fromisoformat(result.started), language)),
        (Bilingual("result", "résultat"), passed.speak(language)),
        (Bilingual("digest", "empreinte"), digest(result)),
        (Bilingual("page", "page"), _page(found).speak(language).format(result.program)),
        (Bilingual("signature", "signature"), _signature(found.report, key, signed).speak(language)),
    ]
    for name, said in rows:
        echo(f"{name.speak(language):10} {said}")
    if not signed:
        echo(PROVES.speak(language))
    return 0 if found.whole and (signed or not key) else 1


def _page(found: Checked) -> Bilingual:
    if found.whole:
        return SAME
    return OTHERS if found.foreign else FORGED


def _signature(report: Report, key: Path | None, signed: bool) -> Bilingual:
    if key:
        return BY_OWNER if signed else NOT_BY_OWNER
    return UNCHECKED if report.signature else NONE
