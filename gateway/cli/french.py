"""What the commands on recorded traffic print, in French by its English words."""

from __future__ import annotations

from rich.table import Table

FRENCH = {
    "file": "fichier",
    "sender": "expéditeur",
    "not known": "inconnu",
    "finding": "constat",
    "recorded": "au dossier",
    "now": "maintenant",
    "replay": "rejeu",
    "as before": "comme avant",
    "DIFFERENT": "DIFFÉRENT",
    "before": "avant",
    "after": "après",
    "new in": "nouveau dans",
    "of these now refused": "dont refusés désormais",
    "gone from": "disparu de",
    "of these now accepted": "dont acceptés désormais",
    "now refused": "refusés désormais",
    "now accepted": "acceptés désormais",
    "other findings only": "autres constats seulement",
    "for example": "par exemple",
    "no longer": "plus :",
    "repeated transmissions have no verdict of their own": "transmissions répétées, sans verdict propre",
    "have not been judged: parked, or waiting": "pas encore jugées (garées ou en attente)",
    "could not be carried through the pipeline": "non traitées",
    "judging": "jugement",
    "pass": "réussi",
    "FAIL": "ÉCHEC",
    "expected": "attendu",
    "came": "venu",
    "findings": "constats",
    "answers": "réponses",
    "none": "aucun",
    "repeated": "répété",
    "parked because:": "garé parce que :",
    "today's pipeline fails on it as well:": "le traitement d'aujourd'hui y échoue aussi :",
    "today's pipeline would say:": "le traitement d'aujourd'hui dirait :",
    "or": "ou",
    "REASON": "RAISON",
}


def phrase(text: str, lang: str) -> str:
    """Return one of our own texts in the language; what another has noted stays as it was noted."""
    return FRENCH.get(text, text) if lang == "fr" else text


def table_in(lang: str, *headings: str) -> Table:
    """Return a table without lines, its headings in the language."""
    return Table(*(phrase(name, lang) for name in headings), box=None)
