"""A difference as people read it: words in both languages, and tables."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from rich.table import Table
from rich.text import Text

from core.declaration import Nature
from core.findings import Bilingual
from core.transmission import Judged
from gateway.cli.shared import CONFIDENCES, out
from gateway.desk.diff import Diff, line_differences

Named = Mapping[str, str | None]

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


def _word(name: str, lang: str) -> str:
    return WORDS[name].speak(lang)


def print_diff(
    found: Diff, judged: Judged, nature: Nature, due: Mapping[str, date], sides: tuple[Named, Named], lang: str
) -> None:
    """Print the difference of two messages, each named by `name`, `transaction_number` and `version`."""
    (first, second), colon = sides, " :" if lang == "fr" else ":"
    for letter, side in (("A", first), ("B", second)):
        number = f"{_word('CAD', lang)} {side['transaction_number']} version {side['version']}"
        out.print(Text(f"{letter}  {side['name']}{colon} {number}"))
    if first["transaction_number"] != second["transaction_number"]:
        out.print(Text(_word("other", lang), "bold red"))
    if not found:
        out.print(_word("same", lang))
        return
    out.print(Text(f"B{colon} {NATURES[nature].speak(lang)}"))
    for name, day in due.items():
        out.print(Text(f"{_word(name, lang)}{colon} {day}"))
    _print_elements(found, lang)
    for heading, lines, style in (("missing", found.missing, "bold red"), ("added", found.added, "bold green")):
        for line in lines:
            told = Text(f"{_word(heading, lang)} {line.number}", style)
            out.print(told.append(f"  {line.classification} {line.description}"))
    out.print(Text(f"\n{_word('findings', lang)}", "bold"))
    for finding in judged.findings:
        style = "red" if finding.severity == "refuse" else "yellow"
        out.print(Text(f"  {finding.code}  ", style).append(finding.text.speak(lang), "default"))
    if not judged.findings:
        out.print(f"  {_word('good', lang)}")
    if found.calls:
        _print_reasons(found, lang)
    _print_amounts(found, lang)


def _print_elements(found: Diff, lang: str) -> None:
    """Print the elements that differ: those of the declaration's substance, then those of the change itself."""
    for heading, substance in (("changed", True), ("itself", False)):
        rows = [one for one in found.changed if one.substance is substance]
        if not rows:
            continue
        out.print(Text(f"\n{_word(heading, lang)}", "bold"))
        table = Table("", *(_word(name, lang) for name in ("element", "before", "after")), box=None)
        for one in rows:
            was, now = (each or _word("none", lang) for each in (one.before, one.after))
            if one.element.format.kind == "number":
                was, now = _number(was, lang), _number(now, lang)
            where = _where(one.invoice, one.line, lang)
            table.add_row(where, Text(one.element.title.speak(lang)), Text(was, "red"), Text(now, "green"))
        out.print(table)


def _print_reasons(found: Diff, lang: str) -> None:
    """Print the reason codes that the changes call for, beside those given."""
    colon = " :" if lang == "fr" else ":"
    out.print(Text(f"\n{_word('reasons', lang)}", "bold"))
    for call in found.calls:
        given = " ".join(call.given) or _word("none", lang)
        out.print(Text(f"  {_where(call.invoice, call.line, lang)}{colon} {_word('given', lang)} {given}"))
        for code in call.fitting:
            sides = (KINDS.get(code.row.get("kind", "")), CONFIDENCES.get(code.confidence))
            sure = ", ".join(side.speak(lang) for side in sides if side)
            facts = f"{code.name.speak(lang)} ({sure})"
            out.print(Text(f"    {_word('called', lang)} {code.code}  ").append(facts, "dim"))
        if not call.fitting:
            out.print(Text(f"    {_word('called', lang)} {_word('no code', lang)}", "dim"))


def _print_amounts(found: Diff, lang: str) -> None:
    """Print what the engine makes of both versions."""
    effect = found.effect
    out.print(Text(f"\n{WORDS['amounts'].speak(lang)}", "bold"))
    for reason in effect.problems:
        out.print(Text(f"  {reason.code} {reason.text.speak(lang)}".rstrip(), "red"))
    if effect.before is None or effect.after is None or effect.difference is None:
        return
    table = Table(*(WORDS[name].speak(lang) for name in ("amount", "before", "after", "difference")), box=None)
    for name in AMOUNTS:
        was, now, less = (
            getattr(each, name) for each in (effect.before.totals, effect.after.totals, effect.difference)
        )
        if was or now:
            style = "" if not less else "bold"
            change = _number(f"{less:+}" if less else "0.00", lang)
            table.add_row(AMOUNTS[name].speak(lang), _number(was, lang), _number(now, lang), Text(change, style))
    for i, j, was, now in line_differences(effect):
        table.add_row(_where(i, j, lang), *(_number(each, lang) for each in (was, now, f"{now - was:+}")))
    out.print(table)


def _number(value: Decimal | str, lang: str) -> str:
    """Return a number with the language's decimal mark."""
    return str(value).replace(".", ",") if lang == "fr" else str(value)


def _where(invoice: int, line: int, lang: str) -> str:
    """Return a level in words."""
    if line:
        return f"{WORDS['invoice'].speak(lang)} {invoice}, {WORDS['line'].speak(lang)} {line}"
    return f"{WORDS['invoice'].speak(lang)} {invoice}" if invoice else WORDS["declaration"].speak(lang)
