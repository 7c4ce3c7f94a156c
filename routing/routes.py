"""The route table: which queue an accepted message goes to, as rows of `routes.csv`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.declaration import MessageType, Nature
from core.errors import GatewayError, SpecError
from core.tables import read_typed

ROUTES = Path(__file__).parent / "routes.csv"

# Where the assessment engine's results come back.
RESULTS = "assessment.results"

Routes = Mapping[tuple[MessageType, Nature, bool], str]


@dataclass(frozen=True, slots=True)
class _Route:
    """A row of the table."""

    message_type: MessageType
    nature: Nature
    test: Literal["yes", "no"]
    destination: str


def load_routes(path: Path = ROUTES) -> Routes:
    """Return the destination queue by message type, nature and test indicator.

    Raises SpecError, one line with file and row, for a row that cannot be used or that repeats another's key.
    """
    routes: dict[tuple[MessageType, Nature, bool], str] = {}
    for origin, row in read_typed(path, _Route):
        key = row.message_type, row.nature, row.test == "yes"
        if not row.destination:
            raise SpecError(*origin, "the route has no destination")
        if key in routes:
            raise SpecError(*origin, "the row repeats a route")
        routes[key] = row.destination
    return routes


def for_tests(routes: Routes) -> frozenset[str]:
    """Return the destinations that get test messages and nothing else."""
    real = {queue for (_, _, test), queue in routes.items() if not test}
    return frozenset(routes.values()) - real


def destination(routes: Routes, message_type: MessageType, nature: Nature, test: bool) -> str:
    """Return the queue for an accepted message; raise GatewayError when no row provides for it."""
    try:
        return routes[message_type, nature, test]
    except KeyError:
        raise GatewayError(
            f"no route for {message_type} as {nature}, {'test' if test else 'production'}: add a row to the route table"
        ) from None
