"""Publishing to RabbitMQ: what the broker confirmed, letter by letter, and nothing else is believed."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from core.errors import BrokerBlocked, BrokerUnavailable, GatewayError
from gateway.queues.patches import drop, in_one_piece
from gateway.queues.port import Broker
from gateway.queues.values import Letter, Published, Refused, message_of

# One deadline for the confirmation of a whole batch. The library's own timeout starts again with every frame.
CONFIRM_SECONDS = 8.0

# So much is given to the socket at once. A piece that does not go out within SOCKET_SECONDS costs the whole batch, and
# between two pieces the broker's word on those before is read: over a slow link a larger one would never get through.
PIECE_BYTES = 100_000


def channels_of(connection: Any) -> int:
    """Return how many channels an open kombu connection may have, but for the one that the library keeps."""
    return max(1, int(connection.connection.channel_max) - 1)


class ConfirmedPublisher:
    """Counts its messages as RabbitMQ does, and matches each confirmation with its message by that number.

    The library's own confirming publish takes any confirmation for the one it waits for; after a timeout it reported a
    lost message as kept. So here a channel that left anything unanswered is never used again.

    Each queue has a channel of its own, as far as there are so many: a quorum queue without a leader stops the channel
    that publishes to it.

    Without heartbeat: nobody would send it between two batches, and the broker would cut the connection.

    While the broker's alarm is on it does not read, and takes what was written until then when the alarm ends, also
    from a connection that we have left by then. So the connection is kept, nothing more is written, and what the broker
    says afterwards of what was written counts at the next call.
    """

    def __init__(self, broker: Broker, exchange_of: Callable[[str], str]) -> None:
        self._broker, self._exchange_of = broker, exchange_of
        self._connection: Any = None
        self._numbers: dict[str, int] = {}  # the queues' channels
        self._channels: dict[int, Any] = {}
        self._sent: Counter[int] = Counter()
        self._waiting: dict[int, dict[int, str]] = {}
        self._returned: set[str] = set()
        self._confirmed: set[str] = set()
        self.alarm: str | None = None  # why the broker takes nothing now
        self._held = self._torn = False  # letters wait for the alarm's end; one was not written whole

    def publish(self, batch: Sequence[Letter]) -> Published:
        """Publish a batch; what was neither confirmed nor returned in time may or may not have arrived.

        A letter that the broker refuses closes the channel, and with it goes the word on all others: what was not
        answered before is published again one by one, which shows which it was.
        """
        try:
            return self._publish(batch)
        except Refused as error:
            if len(batch) == 1:
                return Published(frozenset(), frozenset(), {batch[0].id: str(error)})
        confirmed, returned, refused = self._confirmed, self._returned, dict[str, str]()
        for letter in batch:
            if letter.id not in confirmed | returned:
                try:
                    one = self._publish([letter])
                except Refused as error:
                    refused[letter.id] = str(error)
                except BrokerUnavailable:
                    break
                else:
                    confirmed, returned = confirmed | one.confirmed, returned | one.unroutable
        return Published(frozenset(confirmed), frozenset(returned), refused)

    def _publish(self, batch: Sequence[Letter]) -> Published:
        """Publish a batch, and wait for the broker's word on each letter; raises Refused when it refuses one."""
        end = time.monotonic() + CONFIRM_SECONDS
        if not self._held:
            self._waiting, self._returned, self._confirmed = defaultdict(dict), set(), set()
        failure: GatewayError | None = None
        try:
            with self._broker.one_line():
                self._open()
                if not self.alarm:
                    self._send([letter for letter in batch if letter.id not in self._written()], end)
                self._wait(end)
        except GatewayError as error:
            failure = error
            self._listen()
        except BaseException:
            self.close()  # what was numbered may not have been sent
            raise
        ids = {letter.id for letter in batch}
        self._held = bool(self.alarm) and not ids <= self._confirmed | self._returned
        if self._held:
            self._torn = self._torn or failure is not None
            raise BrokerBlocked(f"broker {self._broker.url} takes nothing: its alarm is on ({self.alarm})") from failure
        if any(self._waiting.values()) or failure:
            self.close()
            if isinstance(failure, Refused) or (not self._confirmed and not self._returned):
                raise failure or BrokerUnavailable(
                    f"broker {self._broker.url} is not available: nothing confirmed within {CONFIRM_SECONDS:g} seconds"
                )
        return Published(frozenset(self._confirmed & ids), frozenset(self._returned & ids))

    def _written(self) -> set[str]:
        """Return what was written before an alarm, or answered since."""
        return self._confirmed.union(self._returned, *(waiting.values() for waiting in self._waiting.values()))

    def _wait(self, end: float) -> None:
        """Wait for the broker's word on what was written, unless its alarm comes on."""
        while any(self._waiting.values()) and not self.alarm and (left := end - time.monotonic()) > 0:
            with suppress(TimeoutError):
                self._connection.drain_events(timeout=min(left, 1.0))

    def _listen(self) -> None:
        """Read what the broker has said of a connection that failed: an alarm is a reason not to leave it."""
        with suppress(TimeoutError, *self._broker.errors):
            while self._connection is not None:
                self._connection.drain_events(timeout=0)

    def _send(self, batch: Sequence[Letter], end: float) -> None:
        """Write the letters to the socket, each numbered on its queue's channel, until that time."""
        channels = {queue: self._channel(queue) for queue in dict.fromkeys(letter.queue for letter in batch)}
        with in_one_piece(self._connection.connection, PIECE_BYTES):
            for letter in batch:
                if time.monotonic() > end:
                    break
                channel, number = channels[letter.queue], self._numbers[letter.queue]
                self._sent[number] += 1
                self._waiting[number][self._sent[number]] = letter.id
                channel.basic_publish(
                    message_of(channel, letter, self._connection.userid),  # which the broker checks
                    exchange=self._exchange_of(letter.queue),
                    routing_key=letter.queue,
                    mandatory=True,
                )

    def _open(self) -> None:
        """Use the open connection if it is still one, else open another."""
        if self._connection is not None:
            try:
                while True:
                    self._connection.drain_events(timeout=0)
            except TimeoutError:
                if self.alarm or not self._torn:
                    return
            except self._broker.errors:
                pass
            self.close()
        self._connection = self._broker.connect()
        self._connection.connection.on_blocked = self._blocked
        self._connection.connection.on_unblocked = self._blocked
        self._numbers, self._channels, self._sent = {}, {}, Counter()

    def _channel(self, queue: str) -> Any:
        """Return the queue's channel, opened at its first letter, or shared where there are no more."""
        number = self._numbers.setdefault(queue, len(self._numbers) % channels_of(self._connection))
        if number not in self._channels:
            channel = self._channels[number] = self._connection.channel()
            channel.confirm_select()
            channel.events["basic_ack"].add(partial(self._answered, number, kept=True))
            channel.events["basic_nack"].add(partial(self._answered, number, kept=False))
            channel.events["basic_return"].add(self._came_back)
        return self._channels[number]

    def _answered(self, number: int, tag: int, multiple: bool, *, kept: bool) -> None:
        waiting = self._waiting[number]
        tags = [one for one in waiting if one <= tag] if multiple else [tag]
        for one in tags:
            letter = waiting.pop(one, None)
            if kept and letter is not None and letter not in self._returned:
                self._confirmed.add(letter)

    def _came_back(self, _error: Exception, _exchange: str, _key: str, message: Any) -> None:
        # The broker returns a message before it confirms it; the return carries no number, but our own id.
        self._returned.add(message.properties["message_id"])

    def _blocked(self, why: str | None = None) -> None:
        self.alarm = why

    def close(self) -> None:
        """Throw the connection away; what it was not told of is not known."""
        if self._connection is not None:
            drop(self._connection)
        self._connection, self._numbers, self._channels = None, {}, {}
        self._waiting, self.alarm, self._torn = defaultdict(dict), None, False
