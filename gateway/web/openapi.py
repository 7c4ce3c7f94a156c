"""The API in words that programs read: one OpenAPI document, put together from what each part says of its paths."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from gateway.desk.linting import PROGRAM
from gateway.web import exchange_paths
from gateway.web.api_paths import PATHS
from gateway.web.site import PROBLEM, Site, page

# The parts that have paths of the API, each with these and with how who asks signs in.
DESCRIBED: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "trial": (PATHS, {}),
    "exchange": (exchange_paths.PATHS, exchange_paths.SECURITY),
}

ABOUT = """\
Messages are judged as `gateway check` judges them: nothing of what is sent is kept, and who sends is made up, for \
nobody's partners are looked into. Errors are problem documents (RFC 9457) unless an operation says otherwise."""


def routes(site: Site) -> list[BaseRoute]:
    """Return the routes of the document and of the page that shows it; none where no part has an API."""
    if not set(site.parts) & set(DESCRIBED):
        return []
    document = described(site.parts)

    async def raw(_request: Request) -> Response:
        return JSONResponse(document)

    async def shown(request: Request) -> Response:
        return page(request, "trial_api.html", document=document)

    return [Route("/api/openapi.json", raw), Route("/api", shown)]


def described(parts: tuple[str, ...]) -> dict[str, Any]:
    """Return the OpenAPI document of the parts that run."""
    chosen = [DESCRIBED[part] for part in parts if part in DESCRIBED]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "CAD gateway",
            "version": version(PROGRAM),
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {path: told for paths, _ in chosen for path, told in paths.items()},
        "components": {
            "schemas": {"Problem": PROBLEM},
            "securitySchemes": {name: told for _, schemes in chosen for name, told in schemes.items()},
        },
    }
