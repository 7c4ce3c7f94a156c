"""A difference of two versions in words of both languages."""

from __future__ import annotations

from decimal import Decimal

from core.declaration import Nature
from core.findings import Bilingual

WORDS = {
    "declaration": Bilingual("declaration", "déclaration"),
    "invoice": Bilingual("invoice", "facture"),
    "line": Bilingual("line", "ligne"),
    "none": Bilingual("—", "—"),
    "payment_due": Bilingual("payment is due on", "paiement exigible le"),
    "interest_after": Bilingual("interest counts after", "intérêts à partir du lendemain du"),
    "other": Bilingual(
        "These are two declarations, not two versions of one",
        "Ce sont deux déclarations, non deux versions d'une seule",
    ),
    "CAD": Bilingual("CAD", "DDC"),
    "same": Bilingual("Nothing differs.", "Rien ne diffère."),
    "changed": Bilingual("What changed", "Ce qui a changé"),
    "itself": Bilingual("Of the message itself", "Du message lui-même"),
    "missing": Bilingual("Missing line", "Ligne manquante"),
    "added": Bilingual("New line", "Nouvelle ligne"),
    "findings": Bilingual("What the gateway says of the later one", "Ce que la passerelle dit de la dernière"),
    "good": Bilingual("nothing: it is accepted", "rien : elle est acceptée"),
    "reasons": Bilingual("Reason codes", "Codes de motif"),
    "given": Bilingual("given", "donnés"),
    "called": Bilingual("the list has for it", "la liste offre"),
    "no code": Bilingual(
        "none: the list is partial, see appendix A of D17-2-1",
        "aucun : la liste est partielle, voir l'annexe A du D17-2-1",
    ),
    "amounts": Bilingual(
        "Duties and taxes by the reference engine (sample rates)",
        "Droits et taxes selon le moteur de référence (taux d'exemple)",
    ),
    "amount": Bilingual("amount", "montant"),
    "before": Bilingual("before", "avant"),
    "after": Bilingual("after", "après"),
    "difference": Bilingual("difference", "différence"),
    "element": Bilingual("element", "élément"),
}

# What a reason code does with the amount, as its list says.
KINDS = {
    "refund": Bilingual("refund", "remboursement"),
    "owing": Bilingual("owing", "montant dû"),
    "neutral": Bilingual("neutral", "sans effet"),
    "correction": Bilingual("correction", "correction"),
}

NATURES = {
    Nature.ORIGINAL: Bilingual("an original", "une déclaration initiale"),
    Nature.CORRECTION: Bilingual(
        "a correction (payment is not due yet)", "une correction (le paiement n'est pas échu)"
    ),
    Nature.ADJUSTMENT: Bilingual("an adjustment (payment was due)", "un rajustement (le paiement était échu)"),
    Nature.WITHDRAWAL: Bilingual("a withdrawal", "un retrait"),
}

# The amounts of the contract, in words.
AMOUNTS = {
    "value_for_duty": Bilingual("value for duty", "valeur en douane"),
    "customs_duty": Bilingual("customs duties", "droits de douane"),
    "anti_dumping": Bilingual("anti-dumping duties", "droits antidumping"),
    "countervailing": Bilingual("countervailing duties", "droits compensateurs"),
    "surtax": Bilingual("surtaxes", "surtaxes"),
    "safeguard": Bilingual("safeguards", "mesures de sauvegarde"),
    "excise_duty": Bilingual("excise duties", "droits d'accise"),
    "excise_tax": Bilingual("excise taxes", "taxes d'accise"),
    "value_for_tax": Bilingual("value for tax", "valeur taxable"),
    "gst": Bilingual("GST", "TPS"),
    "total": Bilingual("all duties and taxes", "tous les droits et taxes"),
}


def number_in(value: Decimal | str, lang: str) -> str:
    """Return a number with the language's decimal mark."""
    return str(value).replace(".", ",") if lang == "fr" else str(value)


def level_in(invoice: int, line: int, lang: str) -> str:
    """Return a level in words."""
    if line:
        return f"{WORDS['invoice'].speak(lang)} {invoice}, {WORDS['line'].speak(lang)} {line}"
    return f"{WORDS['invoice'].speak(lang)} {invoice}" if invoice else WORDS["declaration"].speak(lang)
