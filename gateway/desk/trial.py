"""A gateway's memory without queue and journal: files sent in order, judged, answered and assessed; for trying out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple

from core.assessment import AssessmentResult
from core.calendar import Period
from core.declaration import Declaration, Invoice, MessageType
from core.errors import GatewayError, SpecError
from core.partner import Agreement, Partner
from core.register import Facts, Register, effect_of, status_after
from core.specs import Pack
from core.tables import Cells, Origin, read_rows
from core.transmission import Message, Outcome, Outgoing, Parsed, Received, Verdict, stable_id
from gateway import pipeline
from gateway.engine.assess import assess, load_rates
from gateway.plans import Plans
from responses.respond import respond_assessed
from routing.assessment import read_request, read_result, write_result

# Where a folder of samples says what to expect of them.
TABLES = ("run.csv", "expected.csv")

# The suffix of an answer's file.
SUFFIXES = {"application/edifact": "edi", "application/xml": "xml", "application/json": "json"}

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

    def facts(self, parsed: Parsed, partner: Partner | None) -> Facts:
        """Return the facts to judge a file on: who sends, and what was accepted before it.

        Two files with the same number are two tries at one original, not a number used twice.
        """
        for message in parsed.messages:
            if message.type is MessageType.DECLARATION and message.declaration:
                self.register = self.register.without(message.declaration.transaction_number)
        return Facts(partner, self.register)

    def put_on_file(self, parsed: Parsed, partner: Partner) -> None:
        """Have an accepted original on file for each change and withdraw request that has nothing to follow."""
        for message in parsed.messages:
            declaration = message.declaration
            if message.type in (MessageType.CORRECTION, MessageType.WITHDRAW) and declaration:
                number, test = declaration.transaction_number, message.envelope.test
                if number and not self.register.of(test).attempts(number):
                    original = _original_for(message, declaration, self.plans.specs.packs)
                    calendar, choice = self.plans.specs.calendar, partner.choice_of(original)
                    known = MessageType.DECLARATION, original, partner.id, self.register, self.now, calendar, choice
                    self.register = self.register.with_effect(effect_of(*known, test=test))

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


def made_up_partner(messages: Sequence[Message]) -> Partner:
    """Return a partner made up for the sender of the first envelope, whose authority is not in question."""
    said = messages[0].envelope.sender
    declarations = (message.declaration for message in messages if message.declaration)
    importers = {bn: (Period(),) for declaration in declarations for bn in declaration.importers}
    name = said or "unknown"
    return Partner(name, said or "", (name,), f"out.{name}", authorities=importers, agreement=Agreement(tests=True))


def _original_for(message: Message, declaration: Declaration, packs: Sequence[Pack]) -> Declaration:
    """Return the original that a change or withdraw request follows, as far as it can be told from that.

    It is what is declared now, under the version before, without what only changes give; its goods were described
    otherwise, so that something differs.
    """
    before = declaration.version or "1"
    if message.type is MessageType.CORRECTION and before.isdecimal():
        before = f"{max(1, int(before) - 1):05}"
    pack = next((each for each in packs if MessageType.DECLARATION in each.types.values()), None)
    given = {name: value for name, value in declaration.values.items() if pack is None or name in pack.elements}
    return replace(
        declaration, values={**given, "version": before}, invoices=tuple(map(_undescribed, declaration.invoices))
    )


def _undescribed(invoice: Invoice) -> Invoice:
    """Return an invoice whose goods are described in other words than these."""
    lines = (
        replace(line, values={**line.values, "description": "—"}) if line.has("description") else line
        for line in invoice.commodities
    )
    return replace(invoice, commodities=tuple(lines))


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


def _expected(path: Path, origin: Origin, row: Cells) -> Expected:
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
