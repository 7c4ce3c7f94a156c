"""A whole run as customs: attends to a partner's system until every stage is done, or nothing comes any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from core.errors import GatewayError
from core.findings import Bilingual
from core.partner import Partner
from gateway.journal import Journal
from gateway.plans import Plans
from gateway.queues import Broker
from gateway.trade.scenario import Scenario
from gateway.trade.smoke import Result, Say, states_of
from gateway.trade.smoke_customs import Customs
from routing.partners import inbound_queue

# How often it is said again what is missing while nothing happens.
REMIND_SECONDS = 60.0

# How long what a partner sent and read last may still be on its way when its program has ended.
GONE_SECONDS = 1.0


@contextmanager
def _journal(home: Path) -> Iterator[Journal]:
    journal = Journal.open(f"sqlite:///{home}/customs.sqlite3")
    journal.migrate()
    try:
        yield journal
    finally:
        journal.close()


def _open_queues(broker: Broker, partner: Partner, queue: str) -> None:
    try:
        broker.declare([queue, partner.answer_queue])
        others = broker.readers(queue)
    except GatewayError as error:
        if "ACCESS_REFUSED" in str(error):
            raise GatewayError(
                f"{error}: as customs log in as the gateway's own user, which reads {queue} and writes to"
                f" {partner.answer_queue}; {partner.id}'s own may only send and read answers"
            ) from error
        raise
    if others:
        raise GatewayError(_other_reader(queue).en)


def _other_reader(queue: str) -> Bilingual:
    return Bilingual(
        f"another program reads {queue} and takes its messages: stop it, or use a virtual host for trials",
        f"un autre programme lit {queue} et prend ses messages : arrêtez-le, ou utilisez un hôte virtuel d'essai",
    )


def _news(customs: Customs, told: Mapping[str, str]) -> Iterator[Bilingual]:
    """Yield which steps have passed since states were told last, and why messages met none."""
    for line in customs.result.lines():
        if line.state == "passed" != told[line.id]:
            yield Bilingual(f"  {line.id:5} ok: {line.title.en}", f"  {line.id:5} ok : {line.title.fr}")
    for why in customs.unmet:
        yield Bilingual(f"  meets no step: {why.en}", f"  ne répond à aucune étape : {why.fr}")


def attend(
    scenario: Scenario,
    broker: Broker,
    partner: Partner,
    plans: Plans,
    result: Result,
    *,
    home: Path,
    patience: float,
    say: Say,
    changed: Callable[[], None],
    gone: Callable[[], bool] = lambda: False,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Attend to the partner until every stage is done, or for `patience` seconds nothing comes and nothing is read.

    It also ends soon after `gone` tells that the partner's program has ended, and with the score as it stands when
    `stopping` tells so, which is asked between two looks at the queue.

    Journal and engine are this run's own, so nothing reaches an assessment engine; no other gateway may read the
    partner's queue meanwhile. `changed` is called whenever the score may have changed.

    Raises GatewayError when the broker's user may not do this, and when another program reads the partner's queue.
    """
    queue = inbound_queue(partner.id)
    _open_queues(broker, partner, queue)
    with _journal(home) as journal, broker.consume([queue]) as intake:
        customs = Customs(scenario, broker, journal, partner, plans, result)
        en, fr = "waiting at {}; answers go to {}", "à l'écoute de {}; réponses dans {}"
        say(Bilingual(en.format(queue, partner.answer_queue), fr.format(queue, partner.answer_queue)))
        told, stage, reminded = states_of(result), -1, time.monotonic()
        while not customs.over and time.monotonic() - customs.active < (GONE_SECONDS if gone() else patience):
            if stopping():
                say(Bilingual("stopped", "arrêté"))
                break
            idle = time.monotonic() - reminded > REMIND_SECONDS
            if idle and broker.readers(queue) > 1:
                say(_other_reader(queue))
            if customs.stage != stage or idle:
                for each in customs.to_do():
                    say(each)
                stage, reminded = customs.stage, time.monotonic()
            if not customs.turn(intake):
                continue
            states, reminded = states_of(result), time.monotonic()
            for each in _news(customs, told):
                say(each)
            if not customs.over and customs.stage == stage and (customs.unmet or states != told):
                say(customs.missing())
            customs.unmet.clear()
            told = states
            changed()
        customs.close()
