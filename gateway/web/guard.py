"""What stands before every part: hosts, headers, how much and how long a request may be, how many there may be."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core import limits
from core.findings import Bilingual
from gateway.web.site import refusal

# Scripts, styles and everything else from here only; nothing inline, no frame around us, no form to elsewhere.
HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with no-referrer a browser says of our own forms that they come from nowhere
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
# Nothing of what a reader saw stays on a disk of its own accord.
SENT = {**HEADERS, "cache-control": "no-store"}

# A form around the largest transmission: several files and its fields.
REQUEST_BYTES = 2 * limits.TRANSMISSION_BYTES
# Bodies of all requests together, as far as they have come: what is larger than memory is no service to anybody.
BODIES_BYTES = 10 * REQUEST_BYTES
COME_AGAIN_SECONDS = 5
# How long a request's body may take to arrive, and a request all in all before it is answered.
UPLOAD_SECONDS = 60.0


MOST = Bilingual(
    f"a request has at most {REQUEST_BYTES:,} bytes",
    f"une demande a au plus {REQUEST_BYTES:,} octets".replace(",", "\N{NARROW NO-BREAK SPACE}"),
)
SLOW = Bilingual("the request came too slowly", "la demande est arrivée trop lentement")
BUSY = Bilingual("too much is being done here: try again soon", "il y a trop à faire ici : réessayez bientôt")

READING = ("GET", "HEAD", "OPTIONS")


class Rate(NamedTuple):
    """So many requests a minute of one client, on average; as many may come at once."""

    minute: int
    clients: int = 10_000  # of whom we remember how many came; beyond it whoever was here longest ago is forgotten


class Turns:
    """Whose turn it is: each client at its rate."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._seen: OrderedDict[str, float] = OrderedDict()  # from when on a client is at its rate again

    def wait(self, client: str) -> float:
        """Count a request of a client; return after how many seconds it may come, 0 for now."""
        now, each = time.monotonic(), 60 / self._rate.minute
        due = max(self._seen.pop(client, now), now)
        if (ahead := due - now) > 60 - each:
            self._seen[client] = due
            return max(1.0, ahead - 60 + each)
        self._seen[client] = due + each
        if len(self._seen) > self._rate.clients:
            self._seen.popitem(last=False)
        return 0


class Guard:
    """ASGI middleware: adds HEADERS, refuses what is too large, too slow or too much, each with one line of text.

    Below the paths in `counted` a client's posts are not limited here.
    """

    def __init__(self, app: ASGIApp, rate: Rate, counted: Sequence[str] = ()) -> None:
        self._app, self._turns, self._counted = app, Turns(rate), tuple(counted)
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request, told, bounded = Request(scope), _Told(send), _Bounded(receive, self._hold)
        if refused := self._refusal(request):
            await refused(scope, receive, told)
            return
        try:
            await self._app(scope, bounded, told)
        except (_TooLarge, _TooMuch, TimeoutError) as error:
            if told.started:
                raise
            await _answer_to(error, request)(scope, receive, told)
        finally:
            self._held -= bounded.size

    def _hold(self, size: int) -> None:
        self._held += size
        if self._held > BODIES_BYTES:
            raise _TooMuch

    def _refusal(self, request: Request) -> Response | None:
        length = request.headers.get("content-length", "")
        if length and (not length.isdecimal() or int(length) > REQUEST_BYTES):
            return refusal(request, 413, MOST)
        free = request.method in READING or request.scope["path"].startswith(self._counted)
        if wait := 0 if free else self._turns.wait(client_of(request.scope)):
            said = Bilingual(
                f"too many requests: try again in {wait:.0f} s", f"trop de demandes : réessayez dans {wait:.0f} s"
            )
            return refusal(request, 429, said, {"Retry-After": f"{wait:.0f}"})
        return None


def client_of(scope: Scope) -> str:
    """Return the address that a request came from."""
    return str((scope.get("client") or ("",))[0])


class _TooLarge(Exception):
    """A body grew beyond what a request may have."""


class _TooMuch(Exception):
    """The bodies of all requests together are more than BODIES_BYTES."""


class _Bounded:
    """Receives a body up to REQUEST_BYTES and for UPLOAD_SECONDS; `hold` counts what has come of all bodies."""

    def __init__(self, receive: Receive, hold: Callable[[int], None]) -> None:
        self._receive, self._hold, self._end = receive, hold, time.monotonic() + UPLOAD_SECONDS
        self.size, self._whole = 0, False

    async def __call__(self) -> Message:
        """Return the next message; raises _TooLarge, _TooMuch, TimeoutError."""
        if self._whole:  # what comes now is the client's leaving, for which a long answer waits
            return await self._receive()
        async with asyncio.timeout(max(0.0, self._end - time.monotonic())):
            message = await self._receive()
        came = len(message.get("body", b""))
        self.size += came
        self._hold(came)
        if self.size > REQUEST_BYTES:
            raise _TooLarge
        self._whole = not message.get("more_body", False)
        return message


class _Told:
    """Sends an answer with our headers, and knows whether it has begun."""

    def __init__(self, send: Send) -> None:
        self._send, self.started = send, False

    async def __call__(self, message: Message) -> None:
        """Send one message."""
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            for name, value in SENT.items():
                headers.setdefault(name, value)
        await self._send(message)


def _answer_to(error: Exception, request: Request) -> Response:
    if isinstance(error, _TooMuch):
        return refusal(request, 503, BUSY, {"Retry-After": f"{COME_AGAIN_SECONDS}"})
    return refusal(request, 413, MOST) if isinstance(error, _TooLarge) else refusal(request, 408, SLOW)
