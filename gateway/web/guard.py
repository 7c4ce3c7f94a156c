"""What stands before every part: hosts, headers, how much and how long a request may be, how many there may be."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core import limits

# Scripts, styles and everything else from here only; nothing inline, no frame around us, no form to elsewhere.
HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
# Nothing of what a reader saw stays on a disk of its own accord.
UNKEPT = ("cache-control", "no-store")

# A form around the largest transmission: several files and its fields.
REQUEST_BYTES = 2 * limits.TRANSMISSION_BYTES
# How long a request's body may take to arrive, and a request all in all before it is answered.
UPLOAD_SECONDS = 60.0


class Rate(NamedTuple):
    """So many requests a minute of one client, on average; as many may come at once."""

    minute: int
    clients: int = 10_000  # of whom we remember how many came; beyond it whoever was here longest ago is forgotten


class Guard:
    """ASGI middleware: adds HEADERS, refuses what is too large, too slow or too much, each with one line of text."""

    def __init__(self, app: ASGIApp, rate: Rate) -> None:
        self._app, self._rate = app, rate
        self._seen: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        told = _Told(send)
        if refusal := self._refusal(scope, headers):
            await refusal(scope, receive, told)
            return
        try:
            await self._app(scope, _Bounded(receive), told)
        except (_TooLarge, TimeoutError) as error:
            if told.started:
                raise
            status, line = (413, _most()) if isinstance(error, _TooLarge) else (408, "the request came too slowly")
            await _line(status, line)(scope, receive, told)

    def _refusal(self, scope: Scope, headers: Headers) -> PlainTextResponse | None:
        length = headers.get("content-length", "")
        if length and (not length.isdecimal() or int(length) > REQUEST_BYTES):
            return _line(413, _most())
        wait = self._wait(str((scope.get("client") or ("",))[0])) if scope["method"] not in ("GET", "HEAD") else 0
        if wait:
            return _line(429, f"too many requests: try again in {wait:.0f} s", {"Retry-After": f"{wait:.0f}"})
        return None

    def _wait(self, client: str) -> float:
        """Count a request of a client; return after how many seconds it may come, 0 for now."""
        now, each = time.monotonic(), 60 / self._rate.minute
        due, _ = self._seen.pop(client, (now, now))
        if (ahead := max(due, now) - now) > 60 - each:
            self._seen[client] = due, now
            return max(1.0, ahead - 60 + each)
        self._seen[client] = max(due, now) + each, now
        if len(self._seen) > self._rate.clients:
            self._seen.popitem(last=False)
        return 0


class _TooLarge(Exception):
    """A body grew beyond what a request may have."""


class _Bounded:
    """Receives a body up to REQUEST_BYTES and for UPLOAD_SECONDS."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self._size, self._end = receive, 0, time.monotonic() + UPLOAD_SECONDS
        self._whole = False

    async def __call__(self) -> Message:
        """Return the next message; raises _TooLarge, TimeoutError."""
        if self._whole:  # what comes now is the client's leaving, for which a long answer waits
            return await self._receive()
        async with asyncio.timeout(max(0.0, self._end - time.monotonic())):
            message = await self._receive()
        self._size += len(message.get("body", b""))
        if self._size > REQUEST_BYTES:
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
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault(*UNKEPT)
        await self._send(message)


def _most() -> str:
    return f"a request has at most {REQUEST_BYTES:,} bytes"


def _line(status: int, line: str, headers: Mapping[str, str] | None = None) -> PlainTextResponse:
    return PlainTextResponse(f"{line}\n", status, headers)
