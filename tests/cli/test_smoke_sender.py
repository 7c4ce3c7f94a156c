"""What a smoke test sends: numbers never used before, accents only where they are meant."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from gateway.trade.smoke_sender import Sender
from tests.support.smoke_partners import SCENARIO
from tests.support.way import PARTNERS, PLANS
from validators.rules import check_digit_of

MAPLE = PARTNERS["maple"]
NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)


def test_numbers_are_fresh_and_their_check_digits_right() -> None:
    runs = [NOW, NOW + timedelta(seconds=20), NOW + timedelta(days=1), NOW + timedelta(days=1157)]
    drawn = [[sender.number() for _ in range(100)] for sender in (Sender(PLANS, MAPLE, "54321", at) for at in runs)]
    drawn.append([Sender(PLANS, PARTNERS["erable"], "54321", NOW).number()])
    numbers = [number for run in drawn for number in run]
    assert len(set(numbers)) == len(numbers)
    assert all(re.fullmatch(r"54321\d{9}", number) and check_digit_of(number[:13]) == number[13] for number in numbers)


def test_accents_stand_only_where_a_step_asks_for_them() -> None:
    """By the chance of a name with an accent, a partner with a wrong encoding failed at stage 1 instead of 2."""
    for seconds in range(20):
        sender = Sender(PLANS, MAPLE, "12345", NOW + timedelta(seconds=seconds))
        for step in SCENARIO.steps():
            if step.send == "declaration":
                (sent,) = sender.make(step, None, SCENARIO)
                assert sent.letter.body.isascii() is not bool(step.carries), step.id


def test_daily_runs_do_not_meet_while_numbers_are_remembered() -> None:
    days = range(1, int(7.25 * 366) + 1)
    distance = [min(d * 864_000 % 10**8, -d * 864_000 % 10**8) for d in days]
    assert min(distance) > 10_000, "more numbers than a run draws, each way"
