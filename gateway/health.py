"""Health over HTTP: /health (this process lives), /ready (the gateway can do its work), /metrics (Prometheus).

It needs nothing of the gateway's to answer, and hangs on nothing: what /ready says is found out beside it.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from core.errors import GatewayError
from gateway.figures import Figures
from gateway.files import disks
from gateway.journal import Journal
from gateway.logs import logger, reason
from gateway.queues import Broker, Letter, open_broker
from gateway.senders import Partners
from gateway.settings import Settings
from gateway.vitals import NOBODY, Vitals, stuck
from routing.queues import queues_of

# How long a reader of ours may take to ask and to take its answer, how many are answered at one time, and how long we
# wait before we look whether to stop.
PATIENCE_SECONDS = 5.0
CLIENTS = 16
LOOK_SECONDS = 0.5

# How often it is found out whether the gateway is ready, sooner again where it is not, and after how long what was
# found out counts no more: above all that journal and broker may take to say that they do not answer.
EXAMINE_SECONDS, AGAIN_SECONDS, STALE_SECONDS = 5.0, 1.0, 45.0

# Less room than this on the disk of journal or embedded queue is none.
ROOM_BYTES = 100_000_000

# No queue of this name is made: a broker that takes letters says that there is none.
NOWHERE = "gateway.nowhere"


def ready(
    settings: Settings, journal: Journal, broker: Broker, partners: Partners, vitals: Vitals = NOBODY
) -> list[str]:
    """Return what keeps the gateway from working, one line each; nothing when it is ready.

    The journal and the broker must take something, not only answer: a full disk and a broker's alarm stop writing only.
    """
    lacking = [*stuck(vitals), *_short(settings)]
    examined: tuple[Callable[[], object], ...] = (
        partial(_journal_takes, journal),
        partial(_broker_takes, broker, partners),
    )
    for examine in examined:
        try:
            examine()
        except GatewayError as error:
            lacking.append(str(error))
    return lacking


def _short(settings: Settings) -> list[str]:
    """Return which disks are full or cannot be written."""
    found = []
    for name, disk in disks(settings).items():
        if not disk.writable:
            found.append(f"the {name}'s file cannot be written")
        elif disk.free < ROOM_BYTES:
            found.append(f"the {name}'s disk has {disk.free // 1_000_000} MB left")
    return found


def _journal_takes(journal: Journal) -> None:
    """Raise GatewayError unless what arrives can be written, and something is."""
    journal.check_schema()
    journal.probe()
    journal.take_lease(f"ready {socket.gethostname()}", "health", EXAMINE_SECONDS)


def _broker_takes(broker: Broker, partners: Partners) -> None:
    """Raise GatewayError unless all queues are there and the broker takes letters: with an alarm on it does not."""
    if absent := broker.missing(queues_of(partners)):
        raise GatewayError(f"no queue {', '.join(absent)}: run `gateway doctor --declare`")
    broker.publish([Letter(uuid.uuid4().hex, NOWHERE, "text/plain", b"")])


class _Examiner:
    """Finds out now and then whether the gateway is ready, in a thread of its own."""

    def __init__(self, examine: Callable[[], list[str]]) -> None:
        self._examine = examine
        self._found: tuple[float, list[str]] | None = None

    def run(self, stopping: Callable[[], bool]) -> None:
        """Examine until told to stop."""
        while not stopping():
            try:
                found = self._examine()
            except Exception as error:  # whatever it is, it is not ready, and is examined again
                found = [reason(error)]
            self._found = time.monotonic(), found
            end = time.monotonic() + (AGAIN_SECONDS if found else EXAMINE_SECONDS)
            while time.monotonic() < end and not stopping():
                time.sleep(LOOK_SECONDS / 2)

    def lacking(self) -> list[str]:
        """Return what was found last, and at once."""
        if self._found is None:
            return ["it is not known yet"]
        at, found = self._found
        since = time.monotonic() - at
        return [*found, f"for {since:.0f} s journal and broker have not answered"] if since > STALE_SECONDS else found


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


class _Server6(_Server):
    """The same on an IPv6 address."""

    address_family = socket.AF_INET6


def _hang_up(request: socket.socket) -> None:
    with suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


def run(
    settings: Settings,
    journal: Journal,
    partners: Partners,
    stopping: Callable[[], bool],
    vitals: Vitals = NOBODY,
) -> None:
    """Answer at `settings.health` (host:port, or port on this machine only) until told to stop."""
    broker = open_broker(settings.broker_url)
    examiner = _Examiner(lambda: ready(settings, journal, broker, partners, vitals))
    figures = Figures(
        settings, journal, partners, vitals, lambda: [*stuck(vitals), *examiner.lacking()], lambda: broker.alarm
    )
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        """Answers the three questions, and nothing else."""

        timeout = PATIENCE_SECONDS
        server_version = "gateway"
        sys_version = ""

        def do_GET(self) -> None:
            """Answer one question."""
            status, kind, body = _answer(self.path, figures)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: who asks how we are is no news."""

    host, _, port = (settings.health or "").rpartition(":")
    try:
        server = (_Server6 if ":" in host else _Server)((host.strip("[]") or "127.0.0.1", int(port)), Handler)
    except OSError as error:
        raise GatewayError(f"cannot answer at {settings.health}: {error.strerror}") from error
    with server:
        threading.Thread(target=examiner.run, args=(over.is_set,), daemon=True).start()
        try:
            while not stopping():
                server.handle_request()
        finally:
            over.set()


def _answer(path: str, figures: Figures) -> tuple[int, str, bytes]:
    """Return status, content type and body."""
    text = "text/plain; charset=utf-8"
    if path == "/health":
        return 200, text, b"alive\n"
    if path == "/ready":
        lacking = figures.lacking()
        return (503, text, "".join(f"{line}\n" for line in lacking).encode()) if lacking else (200, text, b"ready\n")
    if path == "/metrics":
        try:
            figures.read_on()
        except GatewayError as error:  # the gauge gateway_journal_up tells
            logger().error("no figures", state="journal", error=str(error))
        return 200, "text/plain; version=0.0.4; charset=utf-8", figures.text()
    return 404, text, b"there are /health, /ready and /metrics\n"
