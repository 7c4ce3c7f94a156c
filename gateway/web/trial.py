"""The trial page: a message is tried without an account, and nothing of it is kept."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.calendar import eastern_day
from core.findings import Bilingual
from gateway.catalogue import by_code, in_words
from gateway.logs import logger
from gateway.trade.breaking import faults
from gateway.web import api, work
from gateway.web.app_part import SitePart
from gateway.web.judging import COME_AGAIN_SECONDS, Busy, Ended, Judges
from gateway.web.site import Site, language_of, page
from gateway.web.upload import Carried, Sent, assumed_of, carried, form_of
from gateway.web.work import Assumed

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
NOTHING = Bilingual("nothing was sent: choose a file or paste a message", "rien n'a été envoyé : choisissez un fichier ou collez un message")
NO_ANSWER = Bilingual("there is no such answer to the message as it is now", "il n'y a pas une telle réponse au message tel qu'il est maintenant")
