"""The reference assessment engine at its queues: requests in, results out; for trying things out."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Collection, Sequence
from itertools import count

from core.errors import BrokerUnavailable, GatewayError
from core.transmission import stable_id
from gateway.engine.assess import assess, load_rates
from gateway.logs import logger
from gateway.queues import Broker, Delivery, Letter
from routing.assessment import read_request, write_result
from routing.routes import RESULTS

# How soon a result that the broker did not confirm is published again.
AGAIN_SECONDS = 1.0


def run(broker: Broker, stopping: Callable[[], bool], queues: Collection[str]) -> None:
    """Answer the assessment requests of these queues until told to stop.

    A repeated request gets the same result with the same id. A request is acknowledged only once its result is
    confirmed, so one whose result is asked to come late, or which the broker does not take yet, is simply kept until
    then: to give it back would count as a failed delivery.
    """
    rates = load_rates()
    late: list[tuple[float, int, Letter, Delivery]] = []
    numbers = count()
    with broker.consume(sorted(queues)) as intake:
        while not stopping():
            for request in intake.receive(0.1):
                try:
                    assessment = assess(read_request(request.body), rates)
                except GatewayError as error:
                    logger().error("assessment request refused", error=str(error))
                    request.reject(requeue=False)
                    continue
                if assessment.result is None:
                    request.ack()
                    continue
                letter = Letter(
                    stable_id(request.message_id or request.uid, "result"),
                    RESULTS,
                    "application/json",
                    write_result(assessment.result),
                )
                heapq.heappush(late, (time.monotonic() + assessment.delay, next(numbers), letter, request))
            ready = []
            while late and late[0][0] <= time.monotonic():
                _, _, letter, request = heapq.heappop(late)
                ready.append((letter, request))
            if ready:
                confirmed = _confirmed(broker, [letter for letter, _ in ready])
                for letter, request in ready:
                    if letter.id in confirmed:
                        request.ack()
                    else:
                        heapq.heappush(late, (time.monotonic() + AGAIN_SECONDS, next(numbers), letter, request))


def _confirmed(broker: Broker, results: Sequence[Letter]) -> frozenset[str]:
    """Publish results and return the ids of those that the broker keeps: none when it does not answer."""
    try:
        return broker.publish(results).confirmed
    except BrokerUnavailable as error:
        logger().error("waiting", loop="engine", error=str(error))
        return frozenset()
