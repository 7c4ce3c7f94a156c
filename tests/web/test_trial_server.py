"""The trial page behind its real server: many at once, silent and slow ones, and what stays when it is over."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import psutil
import pytest

from gateway.settings import from_environment
from gateway.web import serving
from gateway.web.site import Site
from tests.support.way import PLANS, SAMPLES
from tests.support.web import answering, application, gateway_web

FAULTY = (SAMPLES / "refused/many-faults.edi").read_bytes()

# What the processes of the server may hold together, in bytes, whatever comes: measured at a third of it.
MOST = 2_500_000_000


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, psutil.Process, Path]]:
    folder = tmp_path_factory.mktemp("web")
    with gateway_web(folder) as (address, process):
        yield address, process, folder


def memory_of(process: psutil.Process) -> int:
    return sum(each.memory_info().rss for each in [process, *process.children(recursive=True)])


@pytest.mark.slow
def test_two_hundred_uploads_at_once_are_served_or_told_to_come_again(
    running: tuple[str, psutil.Process, Path],
) -> None:
    address, process, folder = running
    large = b"UNB+" + b"x" * 9_000_000
    peaks = [0]

    async def all_at_once() -> list[int]:
        limits = httpx2.Limits(max_connections=300)
        async with httpx2.AsyncClient(base_url=address, timeout=120, limits=limits) as client:
            await client.post("/api/check", content=FAULTY)  # the workers are there

            async def upload(number: int) -> int:
                body = large if number % 4 == 0 else FAULTY
                answer = await client.post("/trial", files={"file": (f"{number}.edi", body)})
                assert answer.status_code != 503 or int(answer.headers["retry-after"]) > 0
                return answer.status_code

            async def watch() -> None:
                while True:
                    peaks.append(memory_of(process))
                    await asyncio.sleep(0.1)

            watching = asyncio.create_task(watch())
            came = await asyncio.gather(*(upload(number) for number in range(200)))
            watching.cancel()
            assert (await client.get("/trial")).status_code == 200
            assert (await client.post("/api/check", content=FAULTY)).json()[0]["verdict"] == "refused"
            return came

    statuses = Counter(asyncio.run(all_at_once()))
    print(statuses, f"{max(peaks):,} bytes")
    assert set(statuses) <= {200, 429, 503}
    assert statuses[200] >= 50
    assert max(peaks) < MOST
    assert "MAPLEBROKER" not in (folder / "log").read_text("utf-8")
    assert {each.name for each in folder.rglob("*")} <= {"log"}, "nothing was written"


def test_who_opens_connections_and_says_nothing_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "HEAD_SECONDS", 0.5)
    with answering(application(Site(from_environment(), PLANS, ("trial",)))) as address:
        host, port = urlsplit(address).hostname, urlsplit(address).port
        silent = [socket.create_connection((host, port)) for _ in range(20)]
        for each in silent[:10]:
            each.sendall(b"GET / HTTP/1.1\r\nhost: ")
        kept = httpx2.Client(base_url=address)
        assert kept.get("/").status_code == 200
        for each in silent:
            each.settimeout(10)
            assert each.recv(1_000).partition(b"\r\n")[0] in (b"", b"HTTP/1.1 400 Bad Request")
            each.close()
        time.sleep(0.6)
        assert kept.get("/trial").status_code == 200, "who has asked before may ask again"
