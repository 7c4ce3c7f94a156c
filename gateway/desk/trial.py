"""A gateway's memory without queue and journal: files sent in order, judged, answered and assessed; for trying out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple

from core.assessment import AssessmentResult
from core.errors import GatewayError, SpecError
from core.partner import Partner
from core.register import Facts, Register, status_after
from core.tables import Origin, Row, read_rows
from core.transmission import Outcome, Outgoing, Parsed, Received, Verdict, stable_id
from gateway import pipeline
from gateway.engine.assess import assess, load_rates
from gateway.plans import Plans
from responses.respond import respond_assessed
from routing.assessment import read_request, read_result, write_result

# Where a folder of samples says what to expect of them.
TABLES = ("run.csv", "expected.csv")

COLUMNS = ("file", "partner", "verdict", "findings")


class Expected(NamedTuple):
    """One row of a table of expectations; answers and total are None where the table does not speak of them."""

    file: Path
    name: str
    partner: str
    verdict: str
    findings: tuple[str, ...]
    answers: tuple[str, ...] | None
    total: Decimal | None


class Came(NamedTuple):
    """What came of a transmission: the verdict (refused if one of its messages is, or repeated), and all else.

    `answers` are what is sent to its sender behind the receipt, the engine's word included.
    """

    verdict: str
    findings: tuple[str, ...]
    answers: tuple[Outgoing, ...]
    total: Decimal | None
    outcome: Outcome | None
    receipts: tuple[str, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of all that the sender gets, the receipt first; an unknown sender gets none."""
        return (*self.receipts, *(item.kind for item in self.answers))


class Trial:
    """A gateway's way without queue and journal: files sent in order, on a register that is carried along.

    Without the `engine` nothing is assessed: accepted stays accepted.
    """

    def __init__(self, plans: Plans, now: datetime, *, engine: bool = True) -> None:
        self.plans, self.now, self._engine = plans, now, engine
        self.register = Register()
        self._answers: dict[str, tuple[Outgoing, ...]] = {}
        self._rates = load_rates()

    def send(self, id_: str, body: bytes, partner: Partner | None) -> Came:
        """Carry a transmission from bytes to its last answer; the reference engine's word comes at once."""
        received = Received(id_, partner.id if partner else None, body, self.now)
        parsed = pipeline.parse(received, self.plans)
        receipts = ("receipt",) if partner else ()
        if first := self.register.repeated(received.partner, parsed):
            again = self._answers.get(first, ())  # the first receipt among them, behind the one for these bytes
            return Came("repeated", (), again, None, None, receipts * 2)
        outcome = pipeline.judge(parsed, Facts(partner, self.register), self.plans)
        self.register = self.register.after(outcome)
        answers = [item for item in outcome.outgoing if item.kind != "request"]
        totals = []
        for item in outcome.outgoing:
            word = self._assess(item.body) if item.kind == "request" and self._engine else None
            if word and partner:
                answers.append(self._settle(parsed, outcome, item, word, partner))
                totals.append(word.totals.total)
        self._answers[id_] = tuple(answers)
        refused = any(judged.verdict is Verdict.REFUSED for judged in outcome.judged)
        findings = tuple(finding.code for judged in outcome.judged for finding in judged.findings)
        verdict = str(Verdict.REFUSED if refused else Verdict.ACCEPTED)
        total = sum(totals, Decimal(0)) if totals else None
        return Came(verdict, findings, tuple(answers), total, outcome, receipts)

    def remember(self, outcome: Outcome) -> None:
        """Take up the effects of what was accepted, not the references: two files may be tries at one message."""
        for judged in outcome.judged:
            if judged.effect:
                self.register = self.register.with_effect(judged.effect)

    def _assess(self, request: bytes) -> AssessmentResult | None:
        """Return the reference engine's word on a request, None where it stays silent."""
        result = assess(read_request(request), self._rates).result
        return None if result is None else read_result(write_result(result))

    def _settle(
        self, parsed: Parsed, outcome: Outcome, request: Outgoing, word: AssessmentResult, partner: Partner
    ) -> Outgoing:
        """Take up the engine's word on a request; return the answer that tells the sender."""
        ordinal = request.ordinal or 0
        fact = next(one.effect for one in outcome.judged if one.message.ordinal == ordinal and one.effect)
        status = status_after(fact.nature, word.outcome)
        self.register = self.register.settled(request.id, status, word.payment_due)
        return respond_assessed(parsed, ordinal, fact, word, partner, self.now, self.plans.specs.packs)


def trial_id(number: int, body: bytes) -> str:
    """Return the id of the n-th transmission of a trial."""
    return stable_id("trial", str(number), body.hex()[:64])


# ------------------------------------------------------------------------------------------------ expectations


def read_expectations(path: Path) -> list[Expected]:
    """Return the rows of a table of expectations, or of the one that lies in a folder (run.csv, expected.csv).

    Columns: file, partner, verdict (accepted, refused, repeated), findings (codes with blanks between); answers and
    total where the table has them. Files are relative to the table. Raises GatewayError, one line.
    """
    if path.is_dir():
        found = [path / name for name in TABLES if (path / name).is_file()]
        if not found:
            raise GatewayError(f"{path} has no table of expectations: {' or '.join(TABLES)}")
        path = found[0]
    return [_expected(path, origin, row) for origin, row in read_rows(path, COLUMNS)]


def _expected(path: Path, origin: Origin, row: Row) -> Expected:
    """Return one row of a table."""
    try:
        total = Decimal(row["total"]) if row.get("total") else None
    except InvalidOperation:
        raise SpecError(*origin, f"the total {row['total']!r} is no number") from None
    answers = tuple(row["answers"].split()) if row.get("answers") else None
    findings = tuple(row["findings"].split())
    return Expected(path.parent / row["file"], row["file"], row["partner"], row["verdict"], findings, answers, total)


def differences(
    expected: Expected, verdict: str, findings: Sequence[str], answers: Sequence[str], total: Decimal | None
) -> list[tuple[str, str, str]]:
    """Return what is not as expected: (what, expected, came); findings and kinds of answers in any order."""
    found = []
    if expected.verdict != verdict:
        found.append(("verdict", expected.verdict, verdict))
    for what, wanted, given in (("findings", expected.findings, findings), ("answers", expected.answers, answers)):
        if wanted is not None and Counter(wanted) != Counter(given):
            found.append((what, " ".join(sorted(wanted)) or "none", " ".join(sorted(given)) or "none"))
    if expected.total is not None and expected.total != total:
        found.append(("total", f"{expected.total}", "none" if total is None else f"{total}"))
    return found


def play(
    table: list[Expected], plans: Plans, partners: Mapping[str, Partner], now: datetime
) -> Iterator[tuple[Expected, Came]]:
    """Send each file of a table in order and yield what came of it; raises GatewayError for a file or partner.

    The reference engine speaks only if the table expects answers or totals: it has no rates for every code there is.
    """
    trial = Trial(plans, now, engine=any(row.answers is not None or row.total is not None for row in table))
    for number, expected in enumerate(table, 1):
        if expected.partner and expected.partner not in partners:
            raise GatewayError(f"{expected.name}: there is no partner {expected.partner!r}")
        try:
            body = expected.file.read_bytes()
        except OSError as error:
            raise GatewayError(f"{expected.file}: {error.strerror}") from error
        yield expected, trial.send(trial_id(number, body), body, partners.get(expected.partner))
