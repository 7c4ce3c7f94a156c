"""Routes what was accepted: for each message with an effect the request to the assessment engine, and its queue."""

from __future__ import annotations

from collections.abc import Sequence

from core.partner import Partner
from core.transmission import Judged, Outgoing, Received, stable_id
from routing.assessment import build_request
from routing.routes import Routes, destination


def route(received: Received, judged: Sequence[Judged], partner: Partner | None, routes: Routes) -> dict[int, Outgoing]:
    """Return the requests to the assessment engine by the ordinal of the message that each is about.

    Raises GatewayError when the route table provides no queue for one.
    """
    requests: dict[int, Outgoing] = {}
    for one in judged:
        if partner is None or one.effect is None or one.nature is None:
            continue
        ordinal = one.message.ordinal
        request_id = stable_id(received.id, str(ordinal), "request")
        queue = destination(routes, one.message.type, one.nature, one.message.envelope.test)
        body = build_request(one, message_id=request_id, partner=partner.id, requested_at=received.received_at)
        requests[ordinal] = Outgoing(request_id, "request", queue, "application/json", body, ordinal)
    return requests
