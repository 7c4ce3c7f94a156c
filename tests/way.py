"""The way of a message without queue and journal: what is accepted is carried along as facts, as the journal would."""

from __future__ import annotations

import csv
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from core.partner import Partner
from core.register import Facts, VersionFact
from core.specs import Specs
from core.transmission import Outcome, Outgoing, Received, Verdict, stable_id
from gateway import pipeline
from gateway.engine.assess import assess, load_rates
from routing.assessment import read_request, read_result, write_result
from routing.partners import load_partners

HOME = Path(__file__).parents[1]
SAMPLES = HOME / "samples"
SPECS = pipeline.prepare(HOME / "eccrd_specs")
PARTNERS = load_partners(SAMPLES / "partners.toml")
RATES = load_rates()
NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)


def rows() -> list[dict[str, str]]:
    """Return the rows of samples/run.csv."""
    with (SAMPLES / "run.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class Way:
    """One gateway's memory: the accepted versions, the references in use and what was answered, by sender."""

    def __init__(self, specs: Specs = SPECS, now: datetime = NOW) -> None:
        self.specs, self.now = specs, now
        self.histories: dict[str, tuple[VersionFact, ...]] = {}
        self.references: dict[tuple[str, str], str] = {}
        self.sent = 0

    def send(self, partner: Partner, body: bytes) -> tuple[Outcome | None, list[Outgoing], Decimal | None]:
        """Carry a transmission all the way; return the outcome (None: a repeat), its answers and the assessed total."""
        self.sent += 1
        received = Received(stable_id("way", str(self.sent)), partner.id, body, self.now)
        references = {name: digest for (owner, name), digest in self.references.items() if owner == partner.id}
        facts = Facts(self.now, partner, self.histories, references)
        parsed = pipeline.parse(received, self.specs)
        if pipeline.repeats(parsed, facts):
            return None, [], None
        outcome = pipeline.judge(parsed, facts, self.specs)
        for judged in outcome.judged:
            reference = judged.message.envelope.reference
            if reference and judged.verdict is Verdict.ACCEPTED:
                self.references.setdefault((partner.id, reference), received.digest)
        answers = [each for each in outcome.outgoing if each.kind != "request"]
        requests = [each for each in outcome.outgoing if each.kind == "request"]
        for judged in outcome.judged:
            if judged.effect:
                self._record(judged.effect)
        total = None
        for request in requests:
            result: Any = assess(read_request(request.body), RATES).result
            word = read_result(write_result(result))
            fact = next(one.effect for one in outcome.judged if one.message.ordinal == request.ordinal)
            assert fact is not None
            answers.append(
                pipeline.respond_assessed(parsed, request.ordinal or 0, fact, word, partner, self.now, self.specs)
            )
            status = pipeline.status_after(fact.nature, word.outcome)
            self._record(replace(fact, status=status, payment_due=word.payment_due or fact.payment_due))
            total = (total or Decimal(0)) + word.totals.total
        return outcome, answers, total

    def _record(self, fact: VersionFact) -> None:
        number = fact.declaration.transaction_number or ""
        others = tuple(each for each in self.histories.get(number, ()) if each.version != fact.version)
        self.histories[number] = (*others, fact)


def play(way: Way | None = None) -> list[tuple[dict[str, str], Outcome | None, list[Outgoing], Decimal | None]]:
    """Send every sample in the order of the run."""
    way = way or Way()
    return [(row, *way.send(PARTNERS[row["partner"]], (SAMPLES / row["file"]).read_bytes())) for row in rows()]
