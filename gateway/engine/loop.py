"""The reference assessment engine at its queues: requests in, results out; for trying things out."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Collection

from core.errors import GatewayError
from core.transmission import stable_id
from gateway.engine.assess import assess, load_rates
from gateway.logs import logger
from gateway.queues import Broker, Delivery, Letter
from routing.assessment import read_request, write_result
from routing.routes import RESULTS


def run(broker: Broker, stopping: Callable[[], bool], queues: Collection[str]) -> None:
    """Answer the assessment requests of these queues until told to stop.

    A repeated request gets the same result with the same id. A request is acknowledged only once its result is
    confirmed, so one whose result is asked to come late is simply kept until then.
    """
    rates = load_rates()
    late: list[tuple[float, int, Letter, Delivery]] = []
    with broker.consume(sorted(queues)) as intake:
        while not stopping():
            for number, request in enumerate(intake.receive(0.1)):
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
                heapq.heappush(late, (time.monotonic() + assessment.delay, number, letter, request))
            ready = []
            while late and late[0][0] <= time.monotonic():
                _, _, letter, request = heapq.heappop(late)
                ready.append((letter, request))
            if ready:
                confirmed = broker.publish([letter for letter, _ in ready]).confirmed
                for letter, request in ready:
                    if letter.id in confirmed:
                        request.ack()
                    else:
                        request.reject(requeue=True)
