"""What the journal keeps as codes, in words of both languages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.declaration import MessageType
from core.findings import Bilingual
from core.transmission import RESEND_OF
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

TYPES: Mapping[str, Bilingual] = {
    str(each): words.title if each is MessageType.UNKNOWN else words.short for each, words in TYPE_WORDS.items()
}

ACKNOWLEDGEMENTS: Mapping[str, Bilingual] = {
    "awaited": Bilingual("CONTRL awaited", "CONTRL attendu"),
    "4": Bilingual("REJECTED by CONTRL", "REJETÉ par CONTRL"),
    "7": Bilingual("acknowledged by CONTRL", "accepté par CONTRL"),
    "8": Bilingual("acknowledged by CONTRL", "accepté par CONTRL"),
    "closed": Bilingual("closed by an operator", "clos par un opérateur"),
}

# How a request to the engine stands that it has not decided on, and an answer that is open.
REQUEST_STATES: Mapping[str, Bilingual] = {
    "pending": Bilingual("pending", "à l'examen"),
    "unanswered": Bilingual("unanswered", "sans réponse"),
    "waits": Bilingual("waits", "en attente"),
}
ANSWER_STATES: Mapping[str, Bilingual] = {
    "waits": Bilingual("waits", "en attente"),
    "refused": Bilingual("refused", "non prise"),
    "awaits CONTRL": Bilingual("awaits CONTRL", "CONTRL attendu"),
    "overdue": Bilingual("overdue", "en retard"),
    "rejected": Bilingual("rejected", "rejetée"),
}

# How a destination stands.
DESTINATION_STATES: Mapping[str, Bilingual] = {
    "well": Bilingual("well", "en ordre"),
    "paused": Bilingual("paused", "en pause"),
    "parked": Bilingual("parked", "garée"),
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
    "acknowledged": Bilingual("acknowledged", "confirmé"),
    "answer rejected": Bilingual("answer rejected", "réponse rejetée"),
    "ignored": Bilingual("ignored", "ignoré"),
    "resend": Bilingual("answers sent again", "réponses renvoyées"),
    "replay sent": Bilingual("answers of a replay sent", "réponses d'un rejeu envoyées"),
    "outgoing parked": Bilingual("answer not taken by the broker", "réponse non prise par le serveur de files"),
    "answer resent": Bilingual("answer resent", "réponse renvoyée"),
    "answer closed": Bilingual("answer closed", "réponse close"),
    "request resent": Bilingual("request resent", "demande renvoyée"),
    "dead letter requeued": Bilingual("dead letter requeued", "lettre morte remise en file"),
}


def french(code: str, words: Mapping[str, Bilingual]) -> str:
    """Return a code in French; one without words stays as it is, and so does none."""
    return words[code].fr if code and code in words else code


# Why a message became a dead letter, as brokers say it.
DEATHS: Mapping[str, Bilingual] = {
    "rejected": Bilingual("rejected", "rejetée"),
    "delivery_limit": Bilingual("delivery_limit", "trop de livraisons"),
    "expired": Bilingual("expired", "expirée"),
    "maxlen": Bilingual("maxlen", "file pleine"),
}

# What the journal notes on a message, by how it begins.
NOTES: Mapping[str, str] = {
    RESEND_OF: "renvoi de ",
    "acknowledges no answer of ours": "n'accuse réception d'aucune réponse d'ici",
    "says nothing that we know of our answer": "ne dit rien de connu de la réponse",
    "acknowledges ": "accuse réception de ",
    "rejects ": "rejette ",
    "repeats a result": "répète un résultat",
    "answers no request of ours": "ne répond à aucune demande d'ici",
    "too many attempts": "trop d'essais",
    "refused by ": "refusé par ",
    "assessment result: does not fit its request: ": "résultat de cotisation qui ne va pas avec sa demande : ",
    "assessment result: sent by the user ": "résultat de cotisation qui n'est pas du moteur, mais de l'utilisateur ",
    "assessment result: ": "résultat de cotisation : ",
}


def noted(note: str, language: str) -> str:
    """Return the journal's note on a message in a language, where it has words for it."""
    begins = next((each for each in NOTES if note.startswith(each)), "") if language == "fr" else ""
    return f"{NOTES[begins]}{note.removeprefix(begins)}" if begins else note


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
