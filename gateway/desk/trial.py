"""A gateway's memory without queue and journal: files sent in order, judged, answered and assessed; for trying out."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple

from core.errors import GatewayError
from core.partner import Partner
from core.register import Facts, VersionFact
from core.specs import Specs
from core.transmission import Outcome, Parsed, Received, Verdict, stable_id
from gateway import pipeline
from gateway.engine.assess import assess, load_rates
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
    """What came of a transmission: the verdict (refused if one of its messages is, or repeated), and all else."""

    verdict: str
    findings: tuple[str, ...]
    answers: tuple[str, ...]
    total: Decimal | None
    outcome: Outcome | None


@dataclass(frozen=True)
class _Used:
    """The transmission that a reference belongs to; until one is accepted under it, it is free for other bytes."""

    digest: str
    answers: tuple[str, ...]
    accepted: bool


class Trial:
    """What was accepted, which references are in use and what was answered, as the journal would remember it.

    Without the `engine` nothing is assessed: accepted stays accepted.
    """

    def __init__(self, specs: Specs, now: datetime, *, engine: bool = True) -> None:
        self.specs, self.now, self._engine = specs, now, engine
        self._histories: dict[str, tuple[VersionFact, ...]] = {}
        self._references: dict[tuple[str, str], _Used] = {}
        self._rates = load_rates()

    def facts(self, parsed: Parsed, partner: Partner | None) -> Facts:
        """Return the facts for judging a transmission now."""
        mine = partner.id if partner else ""
        used = {
            name: each.digest
            for (owner, name), each in self._references.items()
            if owner == mine and (each.accepted or each.digest == parsed.received.digest)
        }
        numbers = {one.declaration.transaction_number or "" for one in parsed.messages if one.declaration}
        known = {number: self._histories[number] for number in numbers if number in self._histories}
        return Facts(self.now, partner, known, used)

    def send(self, id_: str, body: bytes, partner: Partner | None) -> Came:
        """Carry a transmission from bytes to its last answer; the reference engine's word comes at once."""
        received = Received(id_, partner.id if partner else None, body, self.now)
        parsed = pipeline.parse(received, self.specs)
        facts = self.facts(parsed, partner)
        receipt = ("receipt",) if partner else ()
        if repeated := pipeline.repeats(parsed, facts):
            again = self._references[partner.id if partner else "", repeated].answers
            return Came("repeated", (), (*receipt, *again), None, None)
        outcome = pipeline.judge(parsed, facts, self.specs)
        self.remember(outcome)
        answers = [*receipt, *(item.kind for item in outcome.outgoing if item.kind != "request")]
        total = None
        for item in outcome.outgoing:
            if item.kind != "request" or item.ordinal is None or not self._engine:
                continue
            kind, amount = self._assess(outcome, item.ordinal, item.body)
            answers += [kind] if kind else []
            total = amount if total is None else total + (amount or Decimal(0))
        mine = partner.id if partner else ""
        for judged in outcome.judged:
            name = judged.message.envelope.reference or ""
            former = self._references.get((mine, name))
            if name and not (former and former.accepted):
                accepted = judged.verdict is Verdict.ACCEPTED
                self._references[mine, name] = _Used(received.digest, tuple(answers), accepted)
        refused = any(judged.verdict is Verdict.REFUSED for judged in outcome.judged)
        findings = tuple(finding.code for judged in outcome.judged for finding in judged.findings)
        return Came(str(Verdict.REFUSED if refused else Verdict.ACCEPTED), findings, tuple(answers), total, outcome)

    def remember(self, outcome: Outcome) -> None:
        """Take up the effects of what was accepted."""
        for judged in outcome.judged:
            if judged.effect:
                self._record(judged.effect)

    def forget(self, number: str | None) -> None:
        """Forget a declaration: what comes next of it is another try at its original."""
        self._histories.pop(number or "", None)

    def _assess(self, outcome: Outcome, ordinal: int, request: bytes) -> tuple[str | None, Decimal | None]:
        """Let the reference engine speak; return the kind of answer (None: it stays silent) and the total."""
        result = assess(read_request(request), self._rates).result
        if result is None:
            return None, None
        word = read_result(write_result(result))
        fact = next(one.effect for one in outcome.judged if one.message.ordinal == ordinal)
        if fact:
            status = pipeline.status_after(fact.nature, word.outcome)
            self._record(replace(fact, status=status, payment_due=word.payment_due or fact.payment_due))
        return pipeline.ANSWER_TO[word.outcome], word.totals.total

    def _record(self, fact: VersionFact) -> None:
        number = fact.declaration.transaction_number or ""
        others = tuple(each for each in self._histories.get(number, ()) if each.version != fact.version)
        self._histories[number] = (*others, fact)


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
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise GatewayError(f"{path} lacks the column {missing[0]}")
            return list(_rows(path, reader))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise GatewayError(f"{path} cannot be read: {error}") from error


def _rows(path: Path, reader: csv.DictReader[str]) -> Iterator[Expected]:
    """Yield the rows of a table."""
    for number, row in enumerate(reader, 2):
        try:
            if None in (row["file"], row["verdict"], row["findings"]):
                raise TypeError
            yield Expected(
                path.parent / row["file"],
                row["file"],
                row["partner"] or "",
                row["verdict"],
                tuple((row["findings"] or "").split()),
                tuple(row["answers"].split()) if row.get("answers") else None,
                Decimal(row["total"]) if row.get("total") else None,
            )
        except (TypeError, InvalidOperation, AttributeError):
            raise GatewayError(f"{path}, row {number}: not a row of expectations") from None


def differences(expected: Expected, came: Came) -> list[tuple[str, str, str]]:
    """Return what is not as expected: (what, expected, came); findings and answers in any order."""
    found = []
    if expected.verdict != came.verdict:
        found.append(("verdict", expected.verdict, came.verdict))
    for what, wanted, given in (
        ("findings", expected.findings, came.findings),
        ("answers", expected.answers, came.answers),
    ):
        if wanted is not None and Counter(wanted) != Counter(given):
            found.append((what, " ".join(sorted(wanted)) or "none", " ".join(sorted(given)) or "none"))
    if expected.total is not None and expected.total != came.total:
        found.append(("total", f"{expected.total}", "none" if came.total is None else f"{came.total}"))
    return found


def play(
    table: list[Expected], specs: Specs, partners: Mapping[str, Partner], now: datetime
) -> Iterator[tuple[Expected, Came]]:
    """Send each file of a table in order and yield what came of it; raises GatewayError for a file or partner.

    The reference engine speaks only if the table expects answers or totals: it has no rates for every code there is.
    """
    trial = Trial(specs, now, engine=any(row.answers is not None or row.total is not None for row in table))
    for number, expected in enumerate(table, 1):
        if expected.partner and expected.partner not in partners:
            raise GatewayError(f"{expected.name}: there is no partner {expected.partner!r}")
        try:
            body = expected.file.read_bytes()
        except OSError as error:
            raise GatewayError(f"{expected.file}: {error.strerror}") from error
        yield expected, trial.send(trial_id(number, body), body, partners.get(expected.partner))
