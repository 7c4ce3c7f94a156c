"""A whole gateway in one process: the embedded queue, SQLite and the three steps of the service, run by hand."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.partner import Partner
from gateway import service
from gateway.engine.assess import assess
from gateway.journal import Journal
from gateway.loops import queue_names
from gateway.plans import Plans
from gateway.queues import Broker, Delivery, Intake, Letter, open_broker
from gateway.settings import Settings
from routing.assessment import read_request, write_result
from routing.partners import inbound_queue
from routing.routes import RESULTS, load_routes
from tests.support.way import HOME, PARTNERS, PLANS, RATES, SAMPLES


def settings_in(folder: Path, **changes: str) -> Settings:
    """Return the settings of a gateway whose files lie in a folder."""
    given = {
        "broker_url": f"sqlite:///{folder}/queue.db",
        "database_url": f"sqlite:///{folder}/gateway.sqlite3",
        "partners": SAMPLES / "partners.toml",
        "specs": HOME / "eccrd_specs",
        "log": "json",
        **changes,
    }
    return Settings(**given)  # type: ignore[arg-type]


class House:
    """The gateway's steps and its partners' hands on one broker and one journal."""

    def __init__(self, broker: Broker, journal: Journal, intake: Intake, partners: Mapping[str, Partner]) -> None:
        self.broker, self.journal, self.intake, self.partners = broker, journal, intake, partners
        self.plans: Plans = PLANS
        self.engines = {"guest"}  # users whose results count
        self.wait = 0.0  # seconds for letters that are still on their way

    def send(self, partner: str, *bodies: bytes, ids: tuple[str, ...] = ()) -> None:
        """Publish transmissions to a partner's queue, in order."""
        names = ids or tuple(uuid.uuid4().hex for _ in bodies)
        letters = [Letter(i, inbound_queue(partner), "", body) for i, body in zip(names, bodies, strict=True)]
        assert len(self.broker.publish(letters).confirmed) == len(bodies)

    def receive(self) -> int:
        return service.receive(self.intake, self.journal, self.partners, self.wait, self.engines)

    def work(self) -> int:
        return service.work(self.journal, self.plans, self.partners, "worker", engines=self.engines)

    def dispatch(self) -> int:
        return service.dispatch(self.broker, self.journal)

    def engine(self) -> int:
        """Answer every assessment request that waits."""
        count = 0
        depths = self.broker.depths(sorted(set(load_routes().values())))
        for queue in [queue for queue, depth in depths.items() if depth or self.wait]:
            for letter in self.taken(queue):
                result = assess(read_request(letter.body), RATES).result
                assert result is not None
                answer = Letter(f"{letter.message_id}-result", RESULTS, "application/json", write_result(result))
                assert self.broker.publish([answer]).confirmed
                count += 1
        return count

    def settle_down(self) -> None:
        """Run every step until none has anything to do; the engine's only where something was sent to it."""
        first = True
        while True:
            came, sent = self.receive() + self.work(), self.dispatch()
            decided = self.engine() if first or sent else 0
            if not came + sent + decided:
                return
            first = False

    @contextmanager
    def at_work(self, *, engine: bool = True) -> Iterator[None]:
        """Let the steps run beside the test, with the reference engine or without one."""
        over = threading.Event()

        def run() -> None:
            while not over.is_set():
                if not (self.receive() + self.work() + self.dispatch() + (self.engine() if engine else 0)):
                    over.wait(0.01)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(30)

    def taken(self, queue: str) -> list[Delivery]:
        """Take everything out of a queue."""
        found: list[Delivery] = []
        with self.broker.consume([queue]) as intake:
            while letters := intake.receive(self.wait):
                intake.ack(letters)
                found += letters
        return found

    def answers(self, partner: str) -> list[Delivery]:
        """Take what a partner's answer queue holds."""
        return self.taken(self.partners[partner].answer_queue)


@contextmanager
def house(folder: Path, partners: Mapping[str, Partner] = PARTNERS, **changes: str) -> Iterator[House]:
    """Open a gateway of its own in a folder; `changes` to its settings put it on servers."""
    settings = settings_in(folder, **changes)
    journal = Journal.open(settings.database_url)
    journal.migrate()
    try:
        with open_broker(settings.broker_url) as broker:
            broker.declare(queue_names(settings))
            with broker.consume([*(inbound_queue(name) for name in partners), RESULTS], prefetch=50) as intake:
                yield House(broker, journal, intake, partners)
    finally:
        journal.close()


def kinds(letters: list[Delivery]) -> list[str]:
    """Return what kinds of answers these are."""
    return [letter.headers["kind"] for letter in letters]


class Vouched:
    """An intake whose broker vouches for a user, as RabbitMQ's does."""

    def __init__(self, intake: Intake, user: str | None) -> None:
        self._intake, self._user = intake, user

    def receive(self, timeout: float) -> list[Delivery]:
        came = self._intake.receive(timeout)
        return [replace(one, vouched=True, user_id="guest" if one.queue == RESULTS else self._user) for one in came]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._intake, name)


def as_user(gateway: House, user: str | None) -> None:
    """Let the broker vouch for this user from now on."""
    real = gateway.intake._intake if isinstance(gateway.intake, Vouched) else gateway.intake
    gateway.intake = Vouched(real, user)  # type: ignore[assignment]
