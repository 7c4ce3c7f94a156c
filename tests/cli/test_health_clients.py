"""The health server under clients that are slow, many, or hang up: it goes on answering, and says nothing of them."""

from __future__ import annotations

import socket
import struct
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway import health
from tests.support.desk import Run
from tests.support.house import house, settings_in
from tests.support.way import PARTNERS


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Answer beside the test, with short patience."""
    monkeypatch.setattr(health, "PATIENCE_SECONDS", 1.0)
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        number = int(found.getsockname()[1])
    over = threading.Event()
    with house(tmp_path) as gateway:
        settings = settings_in(tmp_path, health=str(number))
        thread = threading.Thread(target=health.run, args=(settings, gateway.journal, PARTNERS, over.is_set))
        thread.start()
        while not _listens(number):
            time.sleep(0.02)
        yield number
        over.set()
        thread.join(10)


def _listens(port: int) -> bool:
    with closing(socket.socket()) as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def ask(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
        return bytes(answer.read())


def test_many_slow_clients_keep_nobody_waiting_and_no_threads(port: int) -> None:
    """Each held a thread for as long as it sent a byte now and then."""
    before = threading.active_count()
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
    for client in slow:
        client.sendall(b"GET /hea")
    assert ask(port) == b"alive\n"
    assert threading.active_count() <= before + 4 * health.CLIENTS
    end = time.monotonic() + 5
    left = list(slow)
    while left and time.monotonic() < end:
        for client in list(left):
            try:
                client.sendall(b"l")
                client.setblocking(False)
                if client.recv(1) == b"":
                    left.remove(client)
            except BlockingIOError:
                continue
            except OSError:
                left.remove(client)
        time.sleep(0.05)
    assert left == [], "whoever sends a byte now and then is not waited for longer"
    for client in slow:
        client.close()
    assert ask(port) == b"alive\n"


def test_clients_that_hang_up_are_no_news(port: int, capfd: pytest.CaptureFixture[str]) -> None:
    """Each reset was a traceback on standard error."""
    for sent in (b"", b"GET", b"GET /metrics HTTP/1.0\r\n\r\n", b"GET /ready HTTP/1.1\r\n\r\n"):
        for _ in range(5):
            client = socket.create_connection(("127.0.0.1", port))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(sent)
            client.close()
    time.sleep(0.5)
    assert ask(port) == b"alive\n"
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_port_that_cannot_be_is_told(run: Run) -> None:
    result = run("serve", "--health-port", "99999")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
