"""Sign-in by OpenID Connect, against a small provider in this process: who comes in, and whose word is not taken."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from core.errors import GatewayError
from gateway.web.openid import load_provider, provider_routes

ISSUER = "https://id.example"
KEY, FOREIGN = (RSAKey.generate_key(2048, {"kid": "one"}) for _ in range(2))


class FakeProvider:
    """An identity provider that says of whoever comes what the test wants it to say."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {"preferred_username": "marie", "groups": ["operators"]}
        self.key, self.nonce, self.issuer, self.asked = KEY, "", ISSUER, dict[str, Any]()

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.configuration),
                Route("/keys", lambda _: JSONResponse({"keys": [KEY.as_dict(private=False)]})),
                Route("/token", self.token, methods=["POST"]),
            ]
        )

    def configuration(self, _request: Request) -> Response:
        named = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        return JSONResponse(
            {"issuer": ISSUER, "id_token_signing_alg_values_supported": ["RS256"]}
            | {name: f"{ISSUER}/{path}" for name, path in named.items()}
        )

    async def token(self, request: Request) -> Response:
        self.asked = dict(await request.form())
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": "desk", "sub": "1", "iat": now, "exp": now + 60, "nonce": self.nonce}
        token = jwt.encode({"alg": "RS256", "kid": "one"}, claims | self.claims, self.key)
        return JSONResponse({"access_token": "x", "token_type": "Bearer", "id_token": token})


@pytest.fixture
def provider() -> FakeProvider:
    return FakeProvider()


@pytest.fixture
def client(tmp_path: Path, provider: FakeProvider) -> TestClient:
    (tmp_path / "secret").write_text("s3cret\n")
    (tmp_path / "openid.toml").write_text(
        f'issuer = "{ISSUER}"\nclient_id = "desk"\nclient_secret_file = "{tmp_path}/secret"\n'
        'address = "http://testserver"\nact = ["operators"]\nlook = ["readers"]\n'
    )

    def welcome(_request: Request, name: str, role: str, way: str) -> Response:
        return PlainTextResponse(f"{name} {role} {way}")

    async def refused(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return PlainTextResponse(error.detail, error.status_code)

    transport = httpx2.ASGITransport(app=provider.app())
    routes = [provider_routes(load_provider(tmp_path / "openid.toml"), welcome, transport=transport)]
    return TestClient(Starlette(routes=routes, exception_handlers={HTTPException: refused}), follow_redirects=False)


def go(client: TestClient, provider: FakeProvider) -> str:
    """Set out for the provider; return the state that it would send back."""
    answer = client.get("/desk/openid/go")
    asked = {name: value[0] for name, value in parse_qs(urlsplit(answer.headers["location"]).query).items()}
    assert answer.headers["location"].startswith(f"{ISSUER}/authorize?")
    assert asked["redirect_uri"] == "http://testserver/desk/openid/back"
    assert asked["code_challenge_method"] == "S256"
    provider.nonce = asked["nonce"]
    return asked["state"]


def come(client: TestClient, state: str) -> Response:
    return client.get("/desk/openid/back", params={"code": "c", "state": state})  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("groups", "said"),
    [(["readers", "operators"], "marie act OpenID Connect"), ("readers", "marie look OpenID Connect")],
)
def test_who_has_a_role_comes_in(client: TestClient, provider: FakeProvider, groups: object, said: str) -> None:
    provider.claims["groups"] = groups
    assert come(client, go(client, provider)).text == said  # type: ignore[attr-defined]
    assert provider.asked["code"] == "c"
    assert len(provider.asked["code_verifier"]) >= 43


@pytest.mark.parametrize(
    "claims",
    [
        {"groups": ["others"]}, {"groups": None}, {"groups": [{"operators": 1}]}, {"preferred_username": ""},
        {"preferred_username": ["marie"]},
    ],
)  # fmt: skip
def test_who_has_none_does_not(client: TestClient, provider: FakeProvider, claims: dict[str, Any]) -> None:
    provider.claims |= claims
    assert come(client, go(client, provider)).status_code == 403


@pytest.mark.parametrize("wrong", ["key", "issuer", "nonce", "audience", "expired"])
def test_a_word_that_is_not_the_providers_is_not_taken(client: TestClient, provider: FakeProvider, wrong: str) -> None:
    state = go(client, provider)
    if wrong == "key":
        provider.key = FOREIGN
    elif wrong == "issuer":
        provider.issuer = "https://evil.example"
    elif wrong == "nonce":
        provider.nonce = "another"
    else:
        provider.claims |= {"aud": "another"} if wrong == "audience" else {"exp": int(time.time()) - 600}
    assert come(client, state).status_code in (403, 502)


def test_who_did_not_set_out_here_does_not_come_back_here(client: TestClient, provider: FakeProvider) -> None:
    state = go(client, provider)
    client.cookies.clear()
    assert come(client, state).status_code in (403, 502), "another browser's way"
    state = go(client, provider)
    assert come(client, state).status_code == 200
    assert come(client, state).status_code in (403, 502), "a way is gone once"
    assert client.get("/desk/openid/back?error=access_denied").status_code == 502


def test_a_providers_file_that_cannot_be_used_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "openid.toml"
    for text in ("", 'issuer = "x"', "issuer = 1", "x"):
        path.write_text(text)
        with pytest.raises(GatewayError, match=r"openid\.toml"):
            load_provider(path)
    path.write_text('issuer = "x"\nclient_id = "d"\nclient_secret_file = "/nowhere"\naddress = "https://d"\nact = []')
    with pytest.raises(GatewayError, match="/nowhere"):
        load_provider(path)
