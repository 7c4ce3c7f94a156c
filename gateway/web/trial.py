"""The trial page: a message is tried without an account, and nothing of it is kept."""

from __future__ import annotations

from datetime import timedelta

from core.findings import Bilingual

# How long after a judgement its answers can be had as they were shown.
SHOWN_FOR = timedelta(days=1)

# Characters of a finding's text in the list of samples.
CHOICE = 90

SYNTAXES = ("edifact", "xml")

ENDED = {
    "long": Bilingual(
        "this took too long to judge and was ended; nothing of it was kept",
        "l'examen prenait trop de temps et a été arrêté; rien n'en a été conservé",
    ),
    "large": Bilingual(
        "this needs too much memory to be judged and was ended; nothing of it was kept",
        "l'examen demande trop de mémoire et a été arrêté; rien n'en a été conservé",
    ),
    "fault": Bilingual(
        "this could not be judged: the fault is ours, and the log says where; nothing of it was kept",
        "ceci n'a pu être examiné : l'erreur est la nôtre et le journal dit où; rien n'en a été conservé",
    ),
}
BUSY = Bilingual("too much is being judged: try again soon", "trop de messages sont à l'examen : réessayez bientôt")
NOTHING = Bilingual(
    "nothing was sent: choose a file or paste a message",
    "rien n'a été envoyé : choisissez un fichier ou collez un message",
)
NO_ANSWER = Bilingual(
    "there is no such answer to the message as it is now",
    "il n'y a pas une telle réponse au message tel qu'il est maintenant",
)
