"""Who asks at the exchange: partners by their tokens, and refusals that tell nobody more than they know."""

from __future__ import annotations

import hmac
import math
from collections.abc import Mapping
from typing import NamedTuple

from starlette.requests import Request

from core.errors import GatewayError
from core.findings import Bilingual
from core.partner import Partner
from gateway.logs import logger
from gateway.senders import Partners
from gateway.settings import Settings
from gateway.web.guard import Rate, Turns, client_of
from gateway.web.site import NotDone
from routing.partners import load_partners, not_ours, token_hash

# Wrong tokens of one address in a minute, after which it is told to wait; a right one is always taken, so nobody can
# lock out a partner that comes through the same proxy.
WRONG_TOKENS = 30

AGAIN_SECONDS = 2


class Why(NamedTuple):
    """Why something is refused: the HTTP status, and words for people."""

    status: int
    said: Bilingual


UNKNOWN = Why(401, Bilingual("a token of a partner is wanted", "un jeton de partenaire est requis"))
TOO_OFTEN = Why(429, Bilingual("too many wrong tokens", "trop de jetons erronés"))


class Refusal(NotDone):
    """A request that is not answered as it wished."""

    def __init__(self, words: Why, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(words.status, words.said, headers)


def later(words: Why, seconds: float = AGAIN_SECONDS) -> Refusal:
    """Return a refusal that says after how many seconds to come again."""
    return Refusal(words, {"Retry-After": str(math.ceil(seconds))})


def read(settings: Settings) -> Partners:
    """Return the partners; raises GatewayError. The user of our broker's URL is the exchange's here."""
    partners = load_partners(settings.partners)
    not_ours(partners.values(), {settings.engine_user})
    return partners


class Access:
    """Knows partners by their tokens, as the partners' file is now; a changed one counts from the next request on."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._state = self._stat()
        self.partners = read(settings)
        self._wrong = Turns(Rate(WRONG_TOKENS))

    def partner(self, request: Request) -> Partner:
        """Return who asks; raises Refusal, the same whatever is wrong with the token."""
        found = self._found(request)
        if found:
            return found
        client = client_of(request.scope)
        if wait := self._wrong.wait(client):
            raise later(TOO_OFTEN, wait)
        logger().warning("no token of a partner", error=f"asked by {client}")
        raise Refusal(UNKNOWN, {"WWW-Authenticate": 'Bearer realm="exchange"'})

    def _found(self, request: Request) -> Partner | None:
        """Compare the token with all there are, so that the time tells nothing of which it is like."""
        self._read_again()
        given = request.headers.getlist("authorization")
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if scheme.lower() != "bearer":
            return None
        digest, found = token_hash(token.strip()), None
        for partner in self.partners.values():
            for each in partner.token_hashes:
                if hmac.compare_digest(each, digest):
                    found = partner
        return found if found and found.active else None

    def _read_again(self) -> None:
        """Read the partners' file where it is another than the one that was read; the last good one stays."""
        if (state := self._stat()) != self._state:
            self._state = state
            try:
                self.partners = read(self._settings)
            except GatewayError as error:
                logger().error("partners' file cannot be used, the last good one stays", error=str(error))

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            found = self._settings.partners.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
