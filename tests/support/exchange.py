"""The exchange in this process: two partners with a token each, a gateway run step by step, a client in front."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
from starlette.testclient import TestClient

from gateway.queues import Letter
from gateway.settings import Settings
from gateway.web.app import build
from gateway.web.guard import Rate
from gateway.web.site import Site
from routing.partners import load_partners, token_hash
from tests.support.house import House, house, settings_in
from tests.support.way import PLANS, SAMPLES

TOKENS = {"maple": "maple-token", "erable": "erable-token"}
GOOD = (SAMPLES / "originals/ab-two-lines.edi").read_bytes()


def with_tokens(folder: Path, tokens: Mapping[str, str] = TOKENS) -> Path:
    """Write the sample partners into a folder, some with a token, and return the file."""
    text = (SAMPLES / "partners.toml").read_text("utf-8")
    for name, token in tokens.items():
        text = text.replace(f'id = "{name}"\n', f'id = "{name}"\ntoken_hashes = ["{token_hash(token)}"]\n')
    file = folder / "new.toml"
    file.write_text(text, "utf-8")
    return file.rename(folder / "partners.toml")


class Partner(NamedTuple):
    """A partner's program in front of an exchange."""

    client: TestClient
    token: str

    def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        options["headers"] = {"Authorization": f"Bearer {self.token}"} | options.get("headers", {})
        return self.client.request(method, path, **options)

    def send(self, body: bytes, key: str | None = None) -> httpx2.Response:
        return self.ask("POST", "/api/messages", content=body, headers={"Idempotency-Key": key} if key else {})

    def read(self, wait: int = 0, after: str | None = None) -> dict[str, Any]:
        answer = self.ask("GET", "/api/answers", params={"wait": wait} | ({"after": after} if after else {}))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def acknowledge(self, cursor: str) -> httpx2.Response:
        return self.ask("POST", "/api/answers/ack", json={"cursor": cursor})


class Exchange(NamedTuple):
    """A gateway with an exchange in front of it."""

    gateway: House
    settings: Settings
    client: TestClient

    def of(self, name: str) -> Partner:
        return Partner(self.client, TOKENS[name])

    def answer(self, name: str, *ids: str, body: bytes = b"{}") -> None:
        """Publish answers with these ids to a partner's queue."""
        letters = [Letter(each, f"out.{name}", "application/json", body, {"kind": "receipt"}) for each in ids]
        assert len(self.gateway.broker.publish(letters).confirmed) == len(ids)


@contextmanager
def door(settings: Settings) -> Iterator[TestClient]:
    """Open an exchange, as another process of it would be."""
    app = build(Site(settings, PLANS, ("exchange",)), ["testserver"], Rate(minute=3))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@contextmanager
def exchange(folder: Path) -> Iterator[Exchange]:
    """Open a gateway and its exchange in a folder."""
    file = with_tokens(folder)
    settings = settings_in(folder, partners=file)  # type: ignore[arg-type]
    with house(folder, load_partners(file)) as gateway, door(settings) as client:
        yield Exchange(gateway, settings, client)
