"""The metrics of one deployment, in Prometheus' format.

The loops are separate processes, maybe on several machines, so most figures come from the journal's facts: counters
and latencies from the audit chain as it grows, what waits from the tables (DECISIONS D21). What only this gateway
knows, its processes tell each other (`vitals`).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from core.errors import GatewayError
from gateway.certificates import days_left
from gateway.files import disks
from gateway.journal import CHORES, Event, Journal
from gateway.logs import logger
from gateway.queues import DEAD_QUEUE, open_broker
from gateway.senders import Partners
from gateway.service import now
from gateway.settings import Settings
from gateway.vitals import NOBODY, SUPERVISOR, Vitals, silence
from routing.partners import inbound_queue
from routing.routes import RESULTS, load_routes

# Audit links read in one go; a scrape after a long pause reads on until the end.
EVENTS = 5_000

# From receipt to verdict, in seconds: well under one as a rule; a message that kills its worker takes minutes.
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

# The journal's figures, and what each tells.
WAITING = (
    ("received", "Transmissions that wait for a worker"),
    ("working", "Transmissions leased to a worker"),
    ("parked", "Transmissions that an operator must look at"),
    ("oldest_seconds", "Age of the oldest unfinished transmission"),
    ("outbox", "Things to be sent"),
    ("outbox_parked", "Things to be sent that the broker refused to take"),
    ("outbox_oldest_seconds", "Age of the oldest thing to be sent"),
    ("answers_unacknowledged", "Answers that their partner was to acknowledge by CONTRL and did not in time"),
    ("answers_rejected", "Answers that their partner rejected by CONTRL"),
    ("destinations_paused", "Destinations that rest after a failure"),
    ("destinations_parked", "Destinations that wait for an operator"),
    ("requests_unsettled", "Requests on which the assessment engine has not said a word"),
    ("requests_oldest_seconds", "Age of the oldest request without a word of the assessment engine"),
    ("test_requests_unsettled", "Test messages' requests on which the engine has not said a word"),
)

# A counter that is not there yet has no growth: what alerts look at begins at 0.
UNPROVEN = ("GTW-0012", "GTW-0013", "GTW-0019")
SETTLED = ("assessed", "refused", "pending", "withdrawn")

# What a figure of the journal's chores is where it was never done: an alert on its age comes.
NEVER = math.inf


class Figures(Collector):
    """The metrics of one deployment, as the journal has them; counters start at 0 with this process."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        partners: Partners,
        vitals: Vitals = NOBODY,
        lacking: Callable[[], list[str]] = list,
        alarm: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._settings, self._journal, self._partners = settings, journal, partners
        self._vitals, self.lacking, self._alarm = vitals, lacking, alarm
        ours = {*load_routes().values(), *(each.answer_queue for each in partners.values())}
        self._names = [*(inbound_queue(name) for name in partners), *sorted(ours), RESULTS, DEAD_QUEUE]
        self._last: int | None = None
        self._reading = threading.Lock()
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry, namespace="gateway")
        self._received = counter("received", "Transmissions received", ["channel", "partner"])
        self._verdicts = counter("verdicts", "Messages judged", ["verdict", "nature"])
        self._findings = counter("findings", "Messages with this finding", ["code"])
        self._attempts = counter("attempts", "Attempts counted on finished transmissions")
        self._events = counter("events", "Links of the audit chain", ["event"])
        self._settled = counter("settled", "Requests that the assessment engine answered", ["status"])
        self._sent = counter("sent", "Things sent and confirmed", ["destination"])
        for code in UNPROVEN:
            self._findings.labels(code)
        for status in SETTLED:
            self._settled.labels(status)
        self._verdict_seconds = Histogram(
            "verdict_seconds", "From receipt to verdict", registry=self.registry, namespace="gateway", buckets=SECONDS
        )
        self.registry.register(self)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: what is there is known once it is collected."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield what waits now; one part that does not answer leaves the others."""
        for name, examine, unknown in (
            ("journal", self._waiting, self._unknown),
            ("broker", self._queues, lambda: self._depths({}, None)),
        ):
            try:
                found, up = list(examine()), 1
            except GatewayError as error:
                logger().error("no figures", state=name, error=str(error))
                found, up = list(unknown()), 0
            yield GaugeMetricFamily(f"gateway_{name}_up", f"Whether the {name} answers", up)
            yield from found
        yield GaugeMetricFamily("gateway_ready", "Whether /ready says so", float(not self.lacking()))
        blocked = self._alarm() is not None
        yield GaugeMetricFamily("gateway_broker_blocked", "Whether the broker's alarm is on", float(blocked))
        yield from self._processes()
        free = GaugeMetricFamily("gateway_disk_free_bytes", "Room left for a file", labels=["file"])
        for name, disk in disks(self._settings).items():
            free.add_metric([name], disk.free)
        yield free

    def _processes(self) -> Iterable[Metric]:
        """Yield what this gateway's processes know of each other."""
        deaths = CounterMetricFamily("gateway_loop_deaths", "Deaths of a loop's process", labels=["loop"])
        lost = CounterMetricFamily("gateway_log_lines_lost", "Log lines that nobody took", labels=["loop"])
        beat = GaugeMetricFamily("gateway_loop_silence_seconds", "Since a loop's last sign of life", labels=["loop"])
        for name, vital in self._vitals.items():
            beat.add_metric([name], silence(vital))
            lost.add_metric([name], vital.lost)
            if name != SUPERVISOR:
                deaths.add_metric([name], vital.deaths)
        yield from (deaths, lost, beat)

    def _unknown(self) -> Iterable[Metric]:
        """Yield the journal's figures as not known: an alert on one that is missing would never come."""
        for name, told in WAITING:
            yield GaugeMetricFamily(_family(name), told, math.nan)
        yield from self._chores(dict.fromkeys(CHORES))

    def _waiting(self) -> Iterable[Metric]:
        """Yield the journal's figures."""
        figures = self._journal.counts(now())
        for name, told in WAITING:
            yield GaugeMetricFamily(_family(name), told, figures[name])
        yield GaugeMetricFamily("gateway_audit_links", "Number of the newest audit link", self._journal.head()[0])
        waiting = GaugeMetricFamily("gateway_destination_waiting", "Things to be sent", labels=["destination"])
        for each in self._journal.destinations():
            waiting.add_metric([each["name"]], each["waiting"])
        yield waiting
        yield from self._chores(self._journal.chores())

    def _chores(self, chores: Mapping[str, tuple[datetime | None, bool] | None]) -> Iterable[Metric]:
        """Yield when what is done by the clock was last done; None where nobody knows."""
        age = GaugeMetricFamily("gateway_chore_age_seconds", "Since it last went well", labels=["chore"])
        failed = GaugeMetricFamily("gateway_chore_failed", "Whether its last try failed", labels=["chore"])
        for name, known in chores.items():
            at, wrong = known or (None, False)
            never = NEVER if known else math.nan
            age.add_metric([name], (now() - at).total_seconds() if at else never)
            failed.add_metric([name], float(wrong) if known else math.nan)
        yield from (age, failed)

    def _queues(self) -> Iterable[Metric]:
        """Yield how much lies in every queue of ours, and in those of partners who left that are still there."""
        with open_broker(self._settings.broker_url) as broker:
            depths = broker.depths([*self._names, *(left := self._left())])
            shown = broker.certificate()
        return self._depths(
            {name: depth for name, depth in depths.items() if not (name in left and depth is None)}, shown
        )

    def _left(self) -> list[str]:
        """Return the queues of partners who are no longer in the file."""
        try:
            gone = [name for name in self._journal.partners() if name not in self._partners]
            return [*map(inbound_queue, gone), *(queue for name in gone for queue in self._journal.answer_queues(name))]
        except GatewayError:  # the journal's own gauge tells
            return []

    def _depths(self, depths: Mapping[str, int | None], shown: bytes | None) -> Iterable[Metric]:
        """Yield each queue's depth, and whether it is missing; what nobody knows is no number. And certificates."""
        depth = GaugeMetricFamily("gateway_queue_messages", "Messages that wait in a queue", labels=["queue"])
        absent = GaugeMetricFamily("gateway_queue_absent", "Whether a queue is missing", labels=["queue"])
        for name in dict.fromkeys([*self._names, *depths]):
            found = depths.get(name)
            depth.add_metric([name], math.nan if found is None else found)
            absent.add_metric([name], float(found is None) if depths else math.nan)
        yield depth
        yield absent
        days = GaugeMetricFamily("gateway_certificate_days", "Days that a certificate is good", labels=["certificate"])
        for name, left in days_left(self._settings, now(), shown).items():
            days.add_metric([name], left)
        yield days

    def read_on(self) -> None:
        """Count what the audit chain has since the last time; the first time only finds its end."""
        with self._reading:
            if self._last is None:
                self._last = self._journal.head()[0]
            while events := self._journal.events(self._last, EVENTS):
                for event in events:
                    self._count(event)
                self._last = events[-1].n

    def _count(self, event: Event) -> None:
        """Count one event."""
        detail = event.detail
        self._events.labels(event.event).inc()
        if event.event == "received":
            self._received.labels(detail["channel"], detail["partner"]).inc()
        elif event.event == "judged":
            for message in detail["messages"]:
                self._verdicts.labels(message["verdict"], message["nature"] or "").inc()
                for code in message["findings"]:
                    self._findings.labels(code).inc()
            if event.received_at:
                self._verdict_seconds.observe((event.at - event.received_at).total_seconds())
        elif event.event == "settled":
            self._settled.labels(detail["status"]).inc()
        elif event.event == "sent":
            for _, destination in detail["sent"] if "sent" in detail else [(None, detail["destination"])]:
                self._sent.labels(destination).inc()  # one by one before the schema 0013
        if event.event in ("judged", "parked") and event.attempts:
            self._attempts.inc(event.attempts)


def _family(name: str) -> str:
    """Return a figure's name among the metrics."""
    return f"gateway_waiting_{name}" if name in ("received", "working") else f"gateway_{name}"
