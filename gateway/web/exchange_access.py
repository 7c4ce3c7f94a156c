"""Who asks at the exchange: partners by their tokens, and refusals that tell nobody more than they know."""

from __future__ import annotations

import hmac
import math
from collections.abc import Mapping
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse

from core.partner import Partner
from gateway.logs import logger
from gateway.loops import known_partners
from gateway.senders import Partners
from gateway.settings import Settings
from gateway.web.guard import Rate, Turns, client_of
from routing.partners import token_hash

# Wrong tokens of one address in a minute, after which it is told to wait; a right one is always taken, so nobody can
# lock out a partner that comes through the same proxy.
WRONG_TOKENS = 30

AGAIN_SECONDS = 2


class Words(NamedTuple):
    """Why something is refused: the HTTP status, and words for people in both languages."""

    status: int
    en: str
    fr: str


UNKNOWN = Words(401, "a token of a partner is wanted", "un jeton de partenaire est requis")
TOO_OFTEN = Words(429, "too many wrong tokens", "trop de jetons erronés")


class Refusal(Exception):
    """A request that is not answered as it wished."""

    def __init__(self, words: Words, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(words.en)
        self.words, self.headers = words, headers

    def response(self) -> JSONResponse:
        """Return it as the answer to the request."""
        said = {"status": self.words.status, "error": {"en": self.words.en, "fr": self.words.fr}}
        return JSONResponse(said, self.words.status, self.headers)


def later(words: Words, seconds: float = AGAIN_SECONDS) -> Refusal:
    """Return a refusal that says after how many seconds to come again."""
    return Refusal(words, {"Retry-After": str(math.ceil(seconds))})


class Access:
    """Knows partners by their tokens, as the partners' file is now; a changed one counts from the next request on."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._state = self._stat()
        self._partners: Partners = known_partners(settings)
        self._wrong = Turns(Rate(WRONG_TOKENS))

    def partner(self, request: Request) -> Partner:
        """Return who asks; raises Refusal, the same whatever is wrong with the token."""
        found = self._found(request)
        if found:
            return found
        client = client_of(request.scope)
        if wait := self._wrong.wait(client):
            raise later(TOO_OFTEN, wait)
        logger().warning("no token of a partner", client=client)
        raise Refusal(UNKNOWN, {"WWW-Authenticate": 'Bearer realm="exchange"'})

    def _found(self, request: Request) -> Partner | None:
        """Compare the token with all there are, so that the time tells nothing of which it is like."""
        self._read_again()
        given = request.headers.getlist("authorization")
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if scheme.lower() != "bearer":
            return None
        digest, found = token_hash(token.strip()), None
        for partner in self._partners.values():
            for each in partner.token_hashes:
                if hmac.compare_digest(each, digest):
                    found = partner
        return found if found and found.active else None

    def _read_again(self) -> None:
        """Read the partners' file where it is another than the one that was read; one that cannot be used is none."""
        if (state := self._stat()) != self._state:
            self._state, self._partners = state, known_partners(self._settings)

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            found = self._settings.partners.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
