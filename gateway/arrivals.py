"""What the journal keeps of a delivery: whose it is, whether the broker proves that, and the receipt for its sender."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from core.partner import Partner
from core.transmission import Outgoing, Received, stable_id
from gateway.journal import MESSAGE_ID, Arrival, Unproven, inbox_id
from gateway.queues import Delivery
from parsers import sniff
from responses.receipt import receipt
from routing.routes import RESULTS
from validators.sender import ANONYMOUS, MISDIRECTED, SOMEBODY_ELSE


def arrival(
    delivery: Delivery, owner: Partner | None, head: tuple[int, str], engines: Collection[str], now: datetime
) -> Arrival:
    """Return what the journal keeps of a delivery, with the receipt for its sender; `head` is the audit chain's.

    What is not proven to be the owner's is kept as nobody's: it can use up none of the owner's references
    (DECISIONS D16). `engines` are the users that may send the engine's results.
    """
    if delivery.queue == RESULTS:
        told, lane = unproven(delivery, engines), delivery.uid
        return Arrival(lane, "assessment", None, delivery.body, delivery.headers, now, lane, unproven=told)
    lane = sniff.lane(delivery.body)
    told = unproven(delivery, owner.senders) if owner else None
    if owner is None or told:
        return Arrival(delivery.uid, "partner", None, delivery.body, delivery.headers, now, lane, unproven=told)
    received = Received(inbox_id(delivery.uid), owner.id, delivery.body, now)
    receipt_id = stable_id(received.id, "receipt")
    content_type, body = receipt(received, receipt_id=receipt_id, reference=delivery.message_id, head=head)
    headers = {**delivery.headers, **({MESSAGE_ID: delivery.message_id} if delivery.message_id else {})}
    confirmation = Outgoing(receipt_id, "receipt", owner.answer_queue, content_type, body)
    return Arrival(delivery.uid, "partner", owner.id, delivery.body, headers, now, lane, confirmation)


def unproven(delivery: Delivery, users: Collection[str]) -> Unproven | None:
    """Return how the broker fails to prove that one of the queue's users sent to it, None when it does.

    On the embedded queue, who may write there is the owner; RabbitMQ lets any user that may write leave its name out.
    """
    if not delivery.addressed:
        code = MISDIRECTED
    elif not delivery.vouched or delivery.user_id in users:
        return None
    else:
        code = ANONYMOUS if delivery.user_id is None else SOMEBODY_ELSE
    return Unproven(code, delivery.queue, delivery.user_id)
