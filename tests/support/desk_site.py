"""The web desk in a test: a gateway's files in a folder, the site on them, and a browser that is signed in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.testclient import TestClient

from gateway.web.app import build
from gateway.web.guard import Rate
from gateway.web.site import Site, WaysIn
from gateway.web.users import row_of
from tests.support.house import settings_in
from tests.support.way import PLANS

TICKET = "a-ticket"
ONCE = WaysIn(ticket=TICKET)
PASSWORD = "correct horse battery"  # noqa: S105 - of users made up here


@contextmanager
def desk(folder: Path, access: WaysIn = ONCE) -> Iterator[TestClient]:
    """Open the desk of the gateway whose files lie in a folder; nobody is signed in."""
    site = Site(settings_in(folder), PLANS, ("desk",), access)
    app = build(site, ["testserver"], Rate(minute=600))
    with TestClient(app, raise_server_exceptions=False, headers={"accept": "text/html"}) as client:
        yield client


def users(folder: Path, **roles: str) -> WaysIn:
    """Write a file with these users, each with PASSWORD."""
    path = folder / "users.toml"
    path.write_text("\n".join(row_of(name, PASSWORD, role) for name, role in roles.items()))  # type: ignore[arg-type]
    return WaysIn(users=path)


def hidden(html: str) -> dict[str, str]:
    """Return the hidden fields of the last form on a page."""
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', html))


def enter(client: TestClient) -> None:
    """Come in by the one-time address, as one who may act."""
    assert client.get(f"/desk/enter?ticket={TICKET}").status_code == 200


def sign_in(client: TestClient, name: str, password: str = PASSWORD, **headers: str):  # type: ignore[no-untyped-def]
    """Send the sign-in form."""
    page = client.get("/desk/sign-in")
    fields = hidden(page.text) | {"name": name, "password": password}
    return client.post("/desk/sign-in", data=fields, headers=headers, follow_redirects=False)
