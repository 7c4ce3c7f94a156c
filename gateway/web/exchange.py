"""The partners' exchange: their queues over HTTP, for systems that do not speak AMQP (docs/exchange-http.md)."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.errors import GatewayError
from core.findings import Bilingual
from core.limits import in_one_go
from core.partner import Partner
from core.urls import users_of
from gateway.logs import logger
from gateway.settings import Settings
from gateway.web.exchange_access import Access, Refusal, Why, read
from gateway.web.exchange_answers import Held, Postbox, Postboxes
from gateway.web.exchange_paths import PATHS, SECURITY
from gateway.web.exchange_sending import Sending
from gateway.web.site import Site, SitePart
from routing.partner_file import EXCHANGE_USER

__all__ = ["PATHS", "SECURITY", "part"]

# How long a request for answers may wait for some, in seconds; a proxy in front of us must have more patience.
WAIT_SECONDS = 60
KEY = re.compile(r"[\x21-\x7e]{1,200}")
CURSOR = re.compile(r"([0-9a-f]{32})\.([0-9]{1,15})")
# The largest document that an acknowledgement may be.
ACK_BYTES = 10_000

NO_KEY = Why(
    400,
    Bilingual(
        "Idempotency-Key: once, 1 to 200 printable ASCII characters without blanks",
        "Idempotency-Key : une seule fois, de 1 à 200 caractères ASCII imprimables sans espaces",
    ),
)
CODED = Why(
    415,
    Bilingual(
        "bytes are taken as they are: no Content-Encoding", "les octets sont pris tels quels : sans Content-Encoding"
    ),
)
A_FORM = Why(
    415,
    Bilingual(
        "the body is the bytes of one transmission, not the parts of a form",
        "le corps est les octets d'une transmission, et non les parties d'un formulaire",
    ),
)
NO_WAIT = Why(
    400,
    Bilingual(
        f"wait is a whole number of seconds, at most {WAIT_SECONDS}",
        f"wait est un nombre entier de secondes, au plus {WAIT_SECONDS}",
    ),
)
NO_CURSOR = Why(
    400,
    Bilingual("after and cursor are a cursor as it was given", "after et cursor sont un curseur tel qu'il a été donné"),
)
NO_DOCUMENT = Why(
    400, Bilingual('the body is a JSON document {"cursor": "..."}', 'le corps est un document JSON {"cursor": "..."}')
)
FORMER = Why(
    409,
    Bilingual(
        "this cursor is of a reading that has ended: nothing was acknowledged; ask for the answers again",
        "ce curseur est d'une lecture terminée : rien n'a été confirmé; redemandez les réponses",
    ),
)
NO_ANSWER = Why(
    404, Bilingual("no answer with this id waits for you", "aucune réponse ayant cet identifiant n'attend pour vous")
)

Handler = Callable[[Request, Partner], Awaitable[Response]]


class UpTo(msgspec.Struct, forbid_unknown_fields=True):
    """What acknowledges answers: all up to and with this one."""

    cursor: str


def part(site: Site) -> SitePart:
    """Return the exchange; raises GatewayError where the broker would not let it vouch for anybody."""
    check_login(site.settings)
    exchange = Exchange(site.settings)
    return SitePart(
        [
            Route("/api/messages", exchange.door(exchange.send), methods=["POST"]),
            Route("/api/answers", exchange.door(exchange.waiting), methods=["GET"]),
            Route("/api/answers/ack", exchange.door(exchange.acknowledge), methods=["POST"]),
            Route("/api/answers/{id}", exchange.door(exchange.one), methods=["GET"]),
            Route("/api/answers/{id}", exchange.door(exchange.drop), methods=["DELETE"]),
        ],
        exchange.running,
        ("/api/messages", "/api/answers"),
    )


def check_login(settings: Settings) -> None:
    """Raise GatewayError where the broker's URL logs in as another than the user that may vouch for partners."""
    doors = {each.door for each in read(settings).values() if each.door}
    if not doors:
        logger().warning("no partner has a token (`gateway partner token`)", loop="web")
    door = next(iter(doors), EXCHANGE_USER)
    if others := users_of(settings.broker_url) - {door}:
        who = min(others) or "guest (the URL names no user)"
        raise GatewayError(
            f"GATEWAY_BROKER_URL logs in as {who}; the exchange must be {door}, whom alone the gateway believes for"
            " partners with a token: see docs/exchange-http.md"
        )


class Exchange:
    """The exchange of one process."""

    def __init__(self, settings: Settings) -> None:
        self._access = Access(settings)
        self._sending = Sending(settings)
        self._postboxes = Postboxes(settings.broker_url)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Give back at the end what partners have not acknowledged."""
        try:
            yield
        finally:
            self._postboxes.close()
            self._sending.close()

    def door(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Return what lets partners in to a handler, and tells the others why not."""

        async def answer(request: Request) -> Response:
            partner = None
            try:
                partner = self._access.partner(request)
                return await handler(request, partner)
            except Refusal:
                if partner:  # an answer before the end of a long body is lost with the connection
                    await _read_away(request)
                raise
            except ClientDisconnect:  # nobody reads this
                return Response(status_code=400)

        return answer

    # ---------------------------------------------------------------- in

    async def send(self, request: Request, partner: Partner) -> Response:
        """Take a transmission: 202 once the broker has confirmed it."""
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise Refusal(CODED)
        if request.headers.get("content-type", "").lower().startswith("multipart/"):
            raise Refusal(A_FORM)
        keys = request.headers.getlist("idempotency-key")
        if len(keys) > 1 or not all(map(KEY.fullmatch, keys)):
            raise Refusal(NO_KEY)
        sent = await self._sending.send(partner, request, keys[0] if keys else None)
        logger().info("sent over HTTP", partner=partner.id, message_id=sent.id)
        return JSONResponse(sent._asdict(), 202, {"Location": "/api/answers"})

    # ---------------------------------------------------------------- out

    async def waiting(self, request: Request, partner: Partner) -> Response:
        """Return the partner's answers that are not acknowledged, the oldest first, after waiting for one."""
        wait = request.query_params.get("wait", "0")
        if not re.fullmatch("[0-9]{1,3}", wait) or int(wait) > WAIT_SECONDS:
            raise Refusal(NO_WAIT)
        postbox = self._postboxes.of(partner)
        after = 0
        if (cursor := request.query_params.get("after")) is not None:
            session, after = _parts(cursor)
            after = after if session == postbox.session else 0
        found = await postbox.held(after, int(wait))
        self._access.partner(request)  # a token may have been taken back meanwhile
        found = found[: in_one_go(len(each.delivery.body) for each in found)]
        last = found[-1].number if found else after
        return JSONResponse({"answers": [_told(each) for each in found], "cursor": f"{postbox.session}.{last}"})

    async def one(self, request: Request, partner: Partner) -> Response:
        """Return the bytes of an answer that is not acknowledged."""
        answer = (await self._with_id(self._postboxes.of(partner), request))[0].delivery
        known = answer.content_type.isascii() and answer.content_type
        headers = {"Content-Disposition": "attachment"}
        return Response(answer.body, media_type=known or "application/octet-stream", headers=headers)

    async def drop(self, request: Request, partner: Partner) -> Response:
        """Acknowledge one answer."""
        postbox = self._postboxes.of(partner)
        await postbox.acknowledge(each.number for each in await self._with_id(postbox, request))
        return Response(status_code=204)

    async def acknowledge(self, request: Request, partner: Partner) -> Response:
        """Acknowledge all answers up to a cursor."""
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > ACK_BYTES:
                raise Refusal(NO_DOCUMENT)
        try:
            session, last = _parts(msgspec.json.decode(body, type=UpTo).cursor)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise Refusal(NO_DOCUMENT) from None
        postbox = self._postboxes.of(partner)
        if session != postbox.session:
            raise Refusal(FORMER)
        mine = [each.number for each in await postbox.held() if each.number <= last]
        return JSONResponse({"acknowledged": await postbox.acknowledge(mine)})

    async def _with_id(self, postbox: Postbox, request: Request) -> list[Held]:
        """Return what is held under the id that the path names: the same answer may have come more than once."""
        found = [each for each in await postbox.held() if each.id == request.path_params["id"]]
        if not found:
            raise Refusal(NO_ANSWER)
        return found


async def _read_away(request: Request) -> None:
    """Read what is left of a request's body, and keep nothing of it."""
    with suppress(RuntimeError, ClientDisconnect):  # it has been read, or nobody is there
        async for _ in request.stream():
            pass


def _parts(cursor: str) -> tuple[str, int]:
    """Return the session and the number of a cursor; raises Refusal."""
    found = CURSOR.fullmatch(cursor)
    if not found:
        raise Refusal(NO_CURSOR)
    return found[1], int(found[2])


def _told(held: Held) -> dict[str, Any]:
    """Return an answer as the list has it: as text where its bytes are UTF-8, else in base64."""
    answer = held.delivery
    told: dict[str, Any] = {
        "id": held.id,
        "kind": answer.headers.get("kind"),
        "in_reply_to": answer.headers.get("in-reply-to"),
        "correlation_id": answer.correlation,
        "content_type": answer.content_type,
        "bytes": len(answer.body),
        "href": f"/api/answers/{held.id}",
    }
    try:
        return told | {"text": answer.body.decode("utf-8")}
    except UnicodeDecodeError:
        return told | {"base64": base64.b64encode(answer.body).decode()}
