"""The route table: which queue an accepted message goes to, as rows of `routes.csv`."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from core.declaration import MessageType, Nature
from core.errors import GatewayError

ROUTES = Path(__file__).parent / "routes.csv"

# Where the assessment engine's results come back.
RESULTS = "assessment.results"

Routes = Mapping[tuple[MessageType, Nature, bool], str]


def load_routes(path: Path = ROUTES) -> Routes:
    """Return the destination queue by message type, nature and test indicator.

    Raises GatewayError, one line with file and row, for a row that cannot be used or that repeats another's key.
    """
    routes: dict[tuple[MessageType, Nature, bool], str] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            try:
                key = MessageType(row["message_type"]), Nature(row["nature"]), {"yes": True, "no": False}[row["test"]]
                target = row["destination"]
            except (KeyError, ValueError) as error:
                raise GatewayError(f"{path}, row {number}: unusable: {error}") from error
            if key in routes or not target:
                raise GatewayError(f"{path}, row {number}: {'repeats a route' if target else 'has no destination'}")
            routes[key] = target
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
