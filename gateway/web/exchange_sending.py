"""What partners send over HTTP on its way into their queues: how much at one time, under which id, with whose word."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from starlette.requests import Request

from core import limits
from core.errors import BrokerUnavailable, GatewayError
from core.findings import Bilingual
from core.partner import Partner
from core.transmission import digest_of, stable_id
from core.urls import users_of
from gateway.journal import Journal, inbox_id
from gateway.logs import logger, reason
from gateway.queues import KEYED, Broker, Letter, Published, open_broker, uid_of
from gateway.settings import Settings
from gateway.web.exchange_access import Refusal, Why, later
from routing.partners import inbound_queue

# Transmissions that may be on their way at one time, each held in memory: of one partner, and of all.
UPLOADS, UPLOADS_ALL = 8, 32
# Keys whose bytes this process remembers; the journal remembers all that the gateway has taken in.
REMEMBERED = 10_000
# Letters that wait to be published are given to the broker together, up to so many.
BATCH = 100

TOO_MANY = Why(429, Bilingual("too many transmissions at one time", "trop de transmissions à la fois"))
BUSY = Why(503, Bilingual("too much at one time: send it again", "trop de demandes à la fois : envoyez-la de nouveau"))
TOO_LARGE = Why(
    413,
    Bilingual(
        f"a transmission has at most {limits.TRANSMISSION_BYTES:,} bytes",
        f"une transmission compte au plus {limits.TRANSMISSION_BYTES:,} octets".replace(",", " "),
    ),
)
EMPTY = Why(400, Bilingual("there are no bytes", "il n'y a aucun octet"))
OTHER_BYTES = Why(
    422,
    Bilingual(
        "this Idempotency-Key was used for other bytes: nothing was taken",
        "cette Idempotency-Key a servi pour d'autres octets : rien n'a été pris",
    ),
)
NOT_CONFIRMED = Why(
    503,
    Bilingual(
        "the broker did not confirm it: it may or may not have it; send the same bytes with the same key again",
        "le courtier de messages ne l'a pas confirmée : envoyez de nouveau les mêmes octets avec la même clé",
    ),
)
NOT_TAKEN = Why(
    413, Bilingual("the broker does not take it: it is too large", "trop volumineuse pour le courtier de messages")
)


class OnItsWay(NamedTuple):
    """What a sender is told: our id of the transmission, that of its receipt, and what the queue has."""

    id: str
    receipt: str
    message_id: str
    sha256: str
    bytes: int


class Sending:
    """Puts bytes on partners' queues; one for the process, used in its event loop."""

    def __init__(self, settings: Settings) -> None:
        self._broker: Broker = open_broker(settings.broker_url)
        # What the broker vouches for is part of a transmission's id.
        self._user = next(iter(users_of(settings.broker_url)), None)
        self._journal = Journal.open(settings.database_url)
        self._under_way: Counter[str] = Counter()
        self._bytes: OrderedDict[str, str] = OrderedDict()
        self._waiting: list[_Waiting] = []
        self._publishing: asyncio.Task[None] | None = None

    def close(self) -> None:
        """Let go of broker and journal."""
        self._broker.close()
        self._journal.close()

    async def send(self, partner: Partner, request: Request, key: str | None) -> OnItsWay:
        """Read a transmission and publish it to the partner's queue; it is there, for sure, when this returns.

        Raises Refusal. Without a key the bytes themselves are the key.
        """
        with self._counted(partner.id):
            body = await _read(request)
            digest, queue = digest_of(body), inbound_queue(partner.id)
            of = ("key", key) if key else ("bytes", digest)
            message_id = KEYED + stable_id(partner.id, *of)
            id_ = inbox_id(uid_of(queue, self._user, message_id, body))
            if key:
                await self._compare(id_, digest)
            await self._publish(Letter(message_id, queue, "application/octet-stream", body))
        return OnItsWay(id_, stable_id(id_, "receipt"), message_id, digest, len(body))

    @contextmanager
    def _counted(self, partner: str) -> Iterator[None]:
        if self._under_way[partner] >= UPLOADS:
            raise later(TOO_MANY)
        if self._under_way.total() >= UPLOADS_ALL:
            raise later(BUSY)
        self._under_way[partner] += 1
        try:
            yield
        finally:
            self._under_way[partner] -= 1

    async def _compare(self, id_: str, digest: str) -> None:
        """Raise Refusal where a key stands for other bytes: here since a moment ago, or in the journal.

        Without a journal at hand it is the gateway that finds out: what came first under a key is what counts there.
        """
        first = self._bytes.setdefault(id_, digest)  # before anything is awaited: of two at one time one is first
        self._bytes.move_to_end(id_)
        while len(self._bytes) > REMEMBERED:
            self._bytes.popitem(last=False)
        if first == digest:
            with suppress(GatewayError):
                kept = await asyncio.to_thread(self._journal.kept_digest, id_)
                self._bytes[id_] = first = kept or digest
        if first != digest:
            raise Refusal(OTHER_BYTES)

    async def _publish(self, letter: Letter) -> None:
        """Give a letter to the broker, together with those that wait, and return when it has confirmed this one."""
        mine = _Waiting(letter, asyncio.Event())
        self._waiting.append(mine)
        if self._publishing is None or self._publishing.done():
            self._publishing = asyncio.create_task(self._publish_all())
        await mine.done.wait()
        if mine.refused:
            raise mine.refused

    async def _publish_all(self) -> None:
        while self._waiting:
            await self._publish_some()

    async def _publish_some(self) -> None:
        """Publish what waits, as much as may go in one go; an id that is there twice goes twice."""
        alike = {each.letter.id: each for each in reversed(self._waiting)}
        batch = list(alike.values())[::-1][:BATCH]
        batch = batch[: limits.in_one_go(len(each.letter.body) for each in batch)]
        self._waiting = [each for each in self._waiting if each not in batch]
        letters = [each.letter for each in batch]
        published, why = Published(frozenset(), frozenset()), ""
        try:
            published = await asyncio.to_thread(self._broker.publish, letters)
        except BrokerUnavailable as error:  # nobody waits for a broker that is gone
            batch, self._waiting, why = [*batch, *self._waiting], [], str(error)
        except Exception as error:  # whatever it is: nobody waits for ever
            why = reason(error)
        for each in batch:
            each.refused = _refusal(each.letter.id, published)
            each.done.set()
        if why or published.unroutable:
            logger().error("not published", error=why or f"no such queue: {', '.join(x.queue for x in letters)}")


class _Waiting:
    """A letter that waits for the broker's word, and what that was."""

    def __init__(self, letter: Letter, done: asyncio.Event) -> None:
        self.letter, self.done = letter, done
        self.refused: Refusal | None = None


def _refusal(id_: str, published: Published) -> Refusal | None:
    if id_ in published.confirmed:
        return None
    return Refusal(NOT_TAKEN) if id_ in published.refused else later(NOT_CONFIRMED)


async def _read(request: Request) -> bytes:
    """Return a request's body; raises Refusal for one that no gateway would take."""
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > limits.TRANSMISSION_BYTES:
        raise Refusal(TOO_LARGE)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limits.TRANSMISSION_BYTES:
            raise Refusal(TOO_LARGE)
    if not body:
        raise Refusal(EMPTY)
    return bytes(body)
