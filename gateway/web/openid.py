"""Sign-in by OpenID Connect: whoever the provider names comes in, as what one of its claims says."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from authlib.integrations.base_client import OAuthError  # type: ignore[import-untyped]
from authlib.integrations.starlette_client import OAuth, StarletteOAuth2App  # type: ignore[import-untyped]
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from core.errors import GatewayError
from core.findings import Bilingual
from gateway.logs import logger
from gateway.web.sessions import UserRole
from gateway.web.site import NotDone

WELL_KNOWN = "/.well-known/openid-configuration"

# How long the way to the provider and back may take, and a request to it.
WAY_SECONDS, ASK_SECONDS = 600, 10.0

UNREACHED = Bilingual(
    "the sign-in provider does not answer as it should: try again, or tell who runs this gateway",
    "le fournisseur d'identité ne répond pas comme il le devrait : réessayez, ou avisez qui exploite cette passerelle",
)
UNUSABLE = Bilingual(
    "the provider's word on who you are cannot be used: sign in again",
    "ce que le fournisseur dit de vous ne peut servir : ouvrez une session de nouveau",
)
NO_ROLE = Bilingual(
    "the provider knows you, but nothing lets you in here: ask for a role",
    "le fournisseur vous connaît, mais rien ne vous ouvre cette porte : demandez un rôle",
)

Welcome = Callable[[Request, str, UserRole, str], Response]


class Provider(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A provider's file: who it is, who we are there, and which values of a claim may act or look.

    `name_claim` is what stands in the audit. `address` is what browsers know this gateway by, `https://desk.example`.
    """

    issuer: str
    client_id: str
    client_secret_file: str
    address: str
    act: list[str]
    look: list[str] = []
    role_claim: str = "groups"
    name_claim: str = "preferred_username"
    scope: str = "openid profile"


def load_provider(path: Path) -> Provider:
    """Return the provider that a TOML file describes; raises GatewayError, one line."""
    try:
        found = msgspec.toml.decode(path.read_bytes(), type=Provider)
        _secret(found)
    except OSError as error:
        raise GatewayError(f"{error.filename or path}: {error.strerror}") from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise GatewayError(f"{path}: {error}") from None
    return found


def _secret(provider: Provider) -> str:
    return Path(provider.client_secret_file).read_text("utf-8").strip()


def provider_routes(provider: Provider, welcome: Welcome, **client: Any) -> Mount:
    """Return the way to a provider and back; `client` is for whoever asks it otherwise than over the network."""
    oauth = OAuth()
    app: StarletteOAuth2App = oauth.register(
        "provider",
        client_id=provider.client_id,
        client_secret=_secret(provider),
        server_metadata_url=provider.issuer.rstrip("/") + WELL_KNOWN,
        client_kwargs={"scope": provider.scope, "code_challenge_method": "S256", "timeout": ASK_SECONDS, **client},
    )
    back = provider.address.rstrip("/") + "/desk/openid/back"
    options = {"iss": {"essential": True, "values": [provider.issuer]}, "aud": {"essential": True}}

    async def go(request: Request) -> Response:
        try:
            answer: Response = await app.authorize_redirect(request, back)
        except (OAuthError, httpx2.HTTPError, RuntimeError, ValueError) as error:
            raise _unreached(error) from error
        return answer

    async def come(request: Request) -> Response:
        try:
            token = await app.authorize_access_token(request, claims_options=options)
        except (OAuthError, httpx2.HTTPError) as error:
            raise _unreached(error) from error
        except Exception as error:  # of a token that is not good the libraries below say so in many ways
            logger().warning("sign-in refused", loop="web", error=type(error).__name__)
            raise NotDone(403, UNUSABLE) from error
        claims: Mapping[str, Any] = token.get("userinfo") or {}
        name, role = claims.get(provider.name_claim), role_by(provider, claims.get(provider.role_claim))
        if not isinstance(name, str) or not name.strip() or role is None:
            logger().warning("sign-in refused", loop="web", operator=str(name)[:200], error="no role")
            raise NotDone(403, NO_ROLE)
        return welcome(request, name, role, "OpenID Connect")

    https = provider.address.startswith("https:")
    session = Middleware(
        SessionMiddleware, secret_key=secrets.token_urlsafe(32), session_cookie="desk-openid", max_age=WAY_SECONDS,
        same_site="lax", https_only=https,
    )  # fmt: skip
    return Mount("/desk/openid", routes=[Route("/go", go), Route("/back", come)], middleware=[session])


def role_by(provider: Provider, claimed: object) -> UserRole | None:
    """Return what the values of the role's claim, one or a list, let a person do."""
    values = {claimed} if isinstance(claimed, str) else {each for each in claimed or () if isinstance(each, str)}  # type: ignore[attr-defined]
    if values & set(provider.act):
        return "act"
    return "look" if values & set(provider.look) else None


def _unreached(error: Exception) -> NotDone:
    logger().warning("sign-in provider does not answer", loop="web", error=type(error).__name__)
    return NotDone(502, UNREACHED)
