"""The web side in this process: the application with its jobs done here, without worker processes."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from starlette.testclient import TestClient

from gateway.settings import from_environment
from gateway.web import app, serving, trial, work
from gateway.web.guard import Rate
from gateway.web.site import Site, SitePart
from tests.support.way import HOME, PLANS

ROOT = HOME / "eccrd_specs"


async def here(job: Any, *args: Any) -> Any:
    """Do a job in this process, which has no limits."""
    return job(*args)


def client_of(run: Any = here, *, minute: int = 100_000, raising: bool = True) -> TestClient:
    """Return a client of the trial page and the API of checks."""
    work.prepare_for(ROOT, lambda: None)
    site = Site(from_environment(), PLANS, ("trial",))
    return TestClient(application(site, run, minute), raise_server_exceptions=raising)


def application(site: Site, run: Any = here, minute: int = 100_000) -> Any:
    """Return the application with jobs done by `run`."""
    parts, app.PARTS = app.PARTS, {"trial": lambda site: SitePart(trial.routes(site, run))}  # type: ignore[misc]
    try:
        return app.build(site, ["testserver", "localhost", "127.0.0.1"], Rate(minute))
    finally:
        app.PARTS = parts  # type: ignore[misc]


@contextmanager
def answering(app: Any) -> Iterator[str]:
    """Run an application behind its real server, in a thread; give its address."""
    server = serving.server_of(app)
    with socket.create_server(("127.0.0.1", 0), backlog=serving.CONNECTIONS) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)


@contextmanager
def gateway_web(folder: Path, *options: str) -> Iterator[tuple[str, psutil.Process]]:
    """Run `gateway web` as people do; give the address that it says, and its process."""
    command = [sys.executable, "-m", "gateway", "web", "--port", "0", "--rate", "100000", *options]
    with (folder / "log").open("wb") as log:
        started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=folder, env=os.environ)
        try:
            assert started.stdout
            said = started.stdout.readline()
            found = re.search(r"http://[^/]+", said)
            assert found, said + (folder / "log").read_text("utf-8")
            yield found[0], psutil.Process(started.pid)
        finally:
            started.terminate()
            started.wait(30)
