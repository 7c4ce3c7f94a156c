"""Health over HTTP: /health (this process lives), /ready (journal and broker answer), /metrics (Prometheus).

The loops are separate processes, maybe on several machines, so the figures come from the journal's facts: counters and
latencies from the audit chain as it grows, what waits from the tables (DECISIONS D21).
"""

from __future__ import annotations

import math
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from core.errors import GatewayError
from gateway.journal import Event, Journal
from gateway.logs import logger
from gateway.queues import DEAD_QUEUE, open_broker
from gateway.service import now, reason
from gateway.settings import Settings
from routing.partners import inbound_queue
from routing.routes import RESULTS

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
)

# How long a reader of ours may take to ask and to take its answer, how many are answered at one time, and how long we
# wait before we look whether to stop.
PATIENCE_SECONDS = 5.0
CLIENTS = 16
LOOK_SECONDS = 0.5


class Figures(Collector):
    """The metrics of one deployment, as the journal has them; counters start at 0 with this process."""

    def __init__(self, settings: Settings, journal: Journal, partners: Iterable[str]) -> None:
        self._settings, self._journal = settings, journal
        self._names = [*(inbound_queue(name) for name in partners), RESULTS, DEAD_QUEUE]
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
        self._verdict_seconds = Histogram(
            "verdict_seconds", "From receipt to verdict", registry=self.registry, namespace="gateway", buckets=SECONDS
        )
        self.registry.register(self)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return nothing: what is there is known once it is collected."""
        return ()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Yield what waits now; one part that does not answer leaves the others."""
        for name, examine, unknown in (
            ("journal", self._waiting, self._unknown),
            ("broker", self._queues, lambda: self._depths({})),
        ):
            try:
                found, up = list(examine()), 1
            except GatewayError as error:
                logger().error("no figures", state=name, error=str(error))
                found, up = list(unknown()), 0
            yield GaugeMetricFamily(f"gateway_{name}_up", f"Whether the {name} answers", up)
            yield from found

    def _unknown(self) -> Iterable[GaugeMetricFamily]:
        """Yield the journal's figures as not known: an alert on one that is missing would never come."""
        for name, told in WAITING:
            yield GaugeMetricFamily(_family(name), told, math.nan)

    def _waiting(self) -> Iterable[GaugeMetricFamily]:
        """Yield the journal's figures."""
        figures = self._journal.counts(now())
        for name, told in WAITING:
            yield GaugeMetricFamily(_family(name), told, figures[name])
        yield GaugeMetricFamily("gateway_audit_links", "Number of the newest audit link", self._journal.head()[0])
        waiting = GaugeMetricFamily("gateway_destination_waiting", "Things to be sent", labels=["destination"])
        for each in self._journal.destinations():
            waiting.add_metric([each["name"]], each["waiting"])
        yield waiting

    def _queues(self) -> Iterable[GaugeMetricFamily]:
        """Yield how much lies in the inbound queues, in the results' and in the dead one."""
        with open_broker(self._settings.broker_url) as broker:
            return self._depths(broker.depths(self._names))

    def _depths(self, depths: Mapping[str, int | None]) -> Iterable[GaugeMetricFamily]:
        """Yield each queue's depth, and whether it is missing; what nobody knows is no number."""
        depth = GaugeMetricFamily("gateway_queue_messages", "Messages that wait in a queue", labels=["queue"])
        absent = GaugeMetricFamily("gateway_queue_absent", "Whether a queue is missing", labels=["queue"])
        for name in self._names:
            found = depths.get(name)
            depth.add_metric([name], math.nan if found is None else found)
            absent.add_metric([name], float(found is None) if depths else math.nan)
        yield depth
        yield absent

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
            self._sent.labels(detail["destination"]).inc()
        if event.event in ("judged", "parked") and event.attempts:
            self._attempts.inc(event.attempts)


def _family(name: str) -> str:
    """Return a figure's name among the metrics."""
    return f"gateway_waiting_{name}" if name in ("received", "working") else f"gateway_{name}"


def ready(settings: Settings, journal: Journal) -> list[str]:
    """Return what keeps the gateway from working, one line each; nothing when it is ready."""
    lacking = []
    for examine in (journal.check, lambda: _ping(settings)):
        try:
            examine()
        except GatewayError as error:
            lacking.append(str(error))
    return lacking


def _ping(settings: Settings) -> None:
    with open_broker(settings.broker_url) as broker:
        broker.version()


class _Server(ThreadingHTTPServer):
    """Answers a few at a time, each within PATIENCE_SECONDS; when more come, the one that has been here longest leaves.

    So whoever asks slowly, or never, keeps nobody else from being answered; and who hangs up is no news.
    """

    daemon_threads = True
    timeout = LOOK_SECONDS

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._here: dict[socket.socket, threading.Timer] = {}
        self._changing = threading.Lock()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own."""
        timer = threading.Timer(PATIENCE_SECONDS, _hang_up, (request,))
        timer.daemon = True
        with self._changing:
            if len(self._here) >= CLIENTS:
                _hang_up(next(iter(self._here)))
            if len(self._here) >= 2 * CLIENTS:  # threads that have not noticed yet
                self.shutdown_request(request)
                return
            self._here[request] = timer
        timer.start()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and be gone."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._changing:
                self._here.pop(request).cancel()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the library's signature
        """Say in one line what went wrong, if it was not that somebody hung up."""
        error = sys.exception()
        if isinstance(error, Exception) and not isinstance(error, OSError):
            logger().error("no answer", state="health", error=reason(error))


def _hang_up(request: socket.socket) -> None:
    with suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


def run(settings: Settings, journal: Journal, partners: Iterable[str], stopping: Callable[[], bool]) -> None:
    """Answer at `settings.health` (host:port, or port on this machine only) until told to stop."""
    figures = Figures(settings, journal, partners)
    figures.read_on()

    class Handler(BaseHTTPRequestHandler):
        """Answers the three questions, and nothing else."""

        timeout = PATIENCE_SECONDS
        server_version = "gateway"
        sys_version = ""

        def do_GET(self) -> None:
            """Answer one question."""
            status, kind, body = _answer(self.path, settings, journal, figures)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: who asks how we are is no news."""

    host, _, port = (settings.health or "").rpartition(":")
    try:
        server = _Server((host or "127.0.0.1", int(port)), Handler)
    except OSError as error:
        raise GatewayError(f"cannot answer at {settings.health}: {error.strerror}") from error
    with server:
        while not stopping():
            server.handle_request()


def _answer(path: str, settings: Settings, journal: Journal, figures: Figures) -> tuple[int, str, bytes]:
    """Return status, content type and body."""
    text = "text/plain; charset=utf-8"
    if path == "/health":
        return 200, text, b"alive\n"
    if path == "/ready":
        lacking = ready(settings, journal)
        return (503, text, "".join(f"{line}\n" for line in lacking).encode()) if lacking else (200, text, b"ready\n")
    if path == "/metrics":
        try:
            figures.read_on()
        except GatewayError as error:  # the gauge gateway_journal_up tells
            logger().error("no figures", state="journal", error=str(error))
        return 200, "text/plain; version=0.0.4; charset=utf-8", figures.text()
    return 404, text, b"there are /health, /ready and /metrics\n"
