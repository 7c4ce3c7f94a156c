"""What the journal keeps as codes, in words of both languages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.findings import Bilingual
from gateway.catalogue import TYPE_WORDS

# Verdicts in words; "" is a message that is not there.
VERDICTS: Mapping[str, Bilingual] = {
    "accepted": Bilingual("accepted", "accepté"),
    "refused": Bilingual("refused", "refusé"),
    "": Bilingual("not there", "absent"),
}

STATES: Mapping[str, Bilingual] = {
    "received": Bilingual("waits", "en attente"),
    "working": Bilingual("being judged", "en traitement"),
    "done": Bilingual("done", "terminé"),
    "parked": Bilingual("parked", "garé"),
}

# What becomes of a version on file, or of a request to the engine.
STATUSES: Mapping[str, Bilingual] = {
    "accepted": Bilingual("accepted", "accepté"),
    "assessed": Bilingual("assessed", "cotisé"),
    "pending": Bilingual("pending", "en attente"),
    "refused": Bilingual("refused", "refusé"),
    "withdrawn": Bilingual("withdrawn", "retiré"),
}

NATURE_NAMES: Mapping[str, Bilingual] = {
    "original": Bilingual("original", "original"),
    "correction": Bilingual("correction", "correction"),
    "adjustment": Bilingual("adjustment", "rajustement"),
    "withdrawal": Bilingual("withdrawal", "retrait"),
}

TYPES: Mapping[str, Bilingual] = {str(each): words.short for each, words in TYPE_WORDS.items()}

ACKNOWLEDGEMENTS: Mapping[str, Bilingual] = {
    "awaited": Bilingual("CONTRL awaited", "CONTRL attendu"),
    "4": Bilingual("REJECTED by CONTRL", "REJETÉ par CONTRL"),
    "7": Bilingual("acknowledged by CONTRL", "accepté par CONTRL"),
    "8": Bilingual("acknowledged by CONTRL", "accepté par CONTRL"),
    "closed": Bilingual("closed by an operator", "clos par un opérateur"),
}

# Events of the audit.
EVENTS: Mapping[str, Bilingual] = {
    "received": Bilingual("received", "reçu"),
    "judged": Bilingual("judged", "jugé"),
    "sent": Bilingual("sent", "envoyé"),
    "settled": Bilingual("decided by the engine", "décidé par le moteur"),
    "parked": Bilingual("parked", "garé"),
    "released": Bilingual("released", "libéré"),
    "refused by operator": Bilingual("refused by operator", "refusé par un opérateur"),
    "replayed": Bilingual("replayed", "rejoué"),
    "answered again": Bilingual("answered again", "répondu de nouveau"),
    "acknowledged": Bilingual("acknowledged", "confirmé"),
    "answer resent": Bilingual("answer resent", "réponse renvoyée"),
    "answer closed": Bilingual("answer closed", "réponse close"),
    "request resent": Bilingual("request resent", "demande renvoyée"),
    "dead letter requeued": Bilingual("dead letter requeued", "lettre morte remise en file"),
}


def french(code: str, words: Mapping[str, Bilingual]) -> str:
    """Return a code in French; one without words stays as it is, and so does none."""
    return words[code].fr if code and code in words else code


def sent_in_words(answer: Mapping[str, Any]) -> Bilingual:
    """Return how an answer stands, without its times."""
    if answer["closed_at"]:
        return Bilingual("closed by an operator, not sent", "close par un opérateur, non envoyée")
    if answer["parked_at"]:
        return Bilingual("not taken by the broker", "non prise par le serveur de files")
    if not answer["sent_at"]:
        tries = answer["attempts"]
        return Bilingual(f"not sent yet, attempts: {tries}", f"pas encore envoyée, essais : {tries}")
    return Bilingual("sent", "envoyée")
