"""The project's own samples, specification and partners, and the way of a message without queue and journal."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from core.partner import Partner
from core.transmission import Outcome, Outgoing, stable_id
from gateway import plans
from gateway.desk.trial import Trial
from gateway.engine.assess import load_rates
from routing.partners import load_partners

HOME = Path(__file__).parents[2]
SAMPLES = HOME / "samples"
PLANS = plans.prepare(HOME / "eccrd_specs")
SPECS = PLANS.specs
PARTNERS = load_partners(SAMPLES / "partners.toml")
RATES = load_rates()
NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)


def rows() -> list[dict[str, str]]:
    """Return the rows of samples/run.csv."""
    with (SAMPLES / "run.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class Way:
    """One gateway's memory on the product's own trial; each transmission gets the next number as its id."""

    def __init__(self, specs: plans.Plans = PLANS, now: datetime = NOW) -> None:
        self.trial = Trial(specs, now)
        self.plans, self.specs, self.now = specs, specs.specs, now
        self.sent = 0

    def send(self, partner: Partner, body: bytes) -> tuple[Outcome | None, list[Outgoing], Decimal | None]:
        """Carry a transmission all the way; return the outcome (None: a repeat), its answers and the assessed total."""
        self.sent += 1
        came = self.trial.send(stable_id("way", str(self.sent)), body, partner)
        return came.outcome, list(came.answers) if came.outcome else [], came.total


def play(way: Way | None = None) -> list[tuple[dict[str, str], Outcome | None, list[Outgoing], Decimal | None]]:
    """Send every sample in the order of the run."""
    way = way or Way()
    return [(row, *way.send(PARTNERS[row["partner"]], (SAMPLES / row["file"]).read_bytes())) for row in rows()]
