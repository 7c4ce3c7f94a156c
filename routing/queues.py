"""Every queue that a deployment uses, by its partners and the route table."""

from __future__ import annotations

from collections.abc import Mapping

from core.partner import Partner
from routing.partners import inbound_queue
from routing.routes import RESULTS, load_routes


def queues_of(partners: Mapping[str, Partner]) -> list[str]:
    """Return one queue in and one out for each partner, the engine's, and results."""
    names = {inbound_queue(name) for name in partners} | {each.answer_queue for each in partners.values()}
    return sorted({*names, *load_routes().values(), RESULTS})
