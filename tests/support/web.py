"""The web side in this process: the application with its jobs done here, without worker processes."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

from gateway.settings import from_environment
from gateway.web import app, trial, work
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
        return app.build(site, ["testserver", "localhost"], Rate(minute))
    finally:
        app.PARTS = parts  # type: ignore[misc]
