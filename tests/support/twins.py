"""The register's two twins, driven side by side: the journal behind the service's own steps, and the pure value."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from core.calendar import eastern_day
from core.declaration import Declaration, Nature, RefusedVersions, VersionFact
from core.envelope import Envelope, numbered
from core.partner import Agreement
from core.register import REFUSED, UNDECIDED, Facts, Register, Request, status_after
from core.transmission import Outcome, Received, stable_id
from gateway import pipeline, service
from gateway.journal import Arrival, Journal, Recorded, Selection, inbox_id, verdicts
from gateway.journal.tables import assessment_request
from gateway.plans import Plans
from gateway.trade.writer import write_edifact, write_xml
from parsers import sniff
from routing.assessment import write_result
from tests.support.builders import CORRECTION, DECLARATION, partner, valid_change, valid_declaration, withdraw_request
from tests.support.effort import run_machine
from tests.support.traffic import number
from tests.support.way import PLANS
from validators.judging import prepare_checks

NUMBERS = [number(n) for n in (1, 2)]
REFERENCES = ["R1", "R2", "R3", "R4"]
TESTS = Agreement(tests=True)
PARTNERS = {
    name: partner(id=name, envelopes=(name.upper(),), answer_queue=f"answers.{name}", contrl=contrl, agreement=TESTS)
    for name, contrl in (("broker-a", False), ("broker-b", True))
}
START = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
SENDERS = st.sampled_from(sorted(PARTNERS))
DUE = "2026-12-31"
NIL = dict.fromkeys(
    (
        "value_for_duty", "customs_duty", "anti_dumping", "countervailing", "surtax", "safeguard", "excise_duty",
        "excise_tax", "value_for_tax", "gst", "total",
    ),
    "0.00",
)  # fmt: skip


REASON = {"code": "X-1", "text_en": "no", "text_fr": "non", "invoice": 0, "line": 0}


@functools.cache
def plans_of(policy: RefusedVersions) -> Plans:
    """Return the plans of packs that say this of a version that the engine refused; they read as ours do."""
    packs = tuple(replace(pack, refused_versions=policy) for pack in PLANS.specs.packs)
    specs = replace(PLANS.specs, packs=packs)
    schemas = {key: each.schema for key, each in PLANS.reading.xml.items()}
    return replace(PLANS, specs=specs, checks=prepare_checks(specs, schemas, PLANS.reading.matchers))


# ------------------------------------------------------------------------------------------------ what is sent


def original(number_: str, version: int, today: date) -> Declaration:
    days = {"accounting_date": today, "release_date": today - timedelta(days=1)}
    return valid_declaration(lines=1, transaction_number=number_, version=f"{version:05}", **days)


def change(number_: str, version: int, today: date, pre_carm: str | None) -> Declaration:
    accounted = EARLY if pre_carm else today
    days = {"accounting_date": accounted, "release_date": accounted - timedelta(days=1)}
    given = {"transaction_number": number_, "version": f"{version:05}", "pre_carm": pre_carm, **days}
    return valid_change(lines=1, **given)


EARLY = date(2024, 5, 10)  # before CARM
MESSAGES = st.tuples(
    st.sampled_from(["original", "change", "change", "withdrawal"]),
    st.sampled_from(NUMBERS),
    st.sampled_from([1, 1, 2, 2, 3]),
    st.sampled_from([None, None, "Y"]),
)
INTERCHANGES = st.lists(MESSAGES, min_size=1, max_size=3)


def written(
    messages: list[tuple[str, str, int, str | None]],
    sender: str,
    reference: str,
    today: date,
    *,
    xml: bool,
    test: bool = False,
) -> bytes:
    """Write messages as an interchange for each pack in turn, or the first one in XML; the second is never a test."""
    said, bodies = Envelope(sender=sender.upper(), recipient="CARMGATEWAY", reference=reference, test=test), []
    for pack in (DECLARATION, CORRECTION):
        found = []
        for kind, number_, version, pre_carm in messages:
            if (kind == "original") != (pack is DECLARATION):
                continue
            if kind == "withdrawal":
                given = {"transaction_number": number_, "version": f"{version:05}", "pre_carm": pre_carm}
                found.append(withdraw_request(**given, accounting_date=EARLY if pre_carm else None))
            else:
                found.append(
                    original(number_, version, today)
                    if kind == "original"
                    else change(number_, version, today, pre_carm)
                )
        if found and xml:
            return write_xml(found[0], pack, said)
        if found:
            mine = said if not bodies else replace(said, reference=f"{reference}.2", test=False)
            bodies.append(write_edifact(found, pack, mine, prepared=START))
    return b"".join(bodies)


def in_spaces(sender: str, references: Iterable[str]) -> list[str]:
    """Return a sender's references in the number spaces of both syntaxes."""
    return [
        numbered(syntax, sender.upper(), "CARMGATEWAY", name) or ""
        for name in references
        for syntax in ("edifact", "xml")
    ]


def contrl(sender: str, reference: str, about: str) -> bytes:
    return (
        f"UNB+UNOC:3+{sender.upper()}+CARMGATEWAY+261123:1000+{reference}'UNH+1+CONTRL:D:3:UN'"
        f"UCI+{about}+CARMGATEWAY+{sender.upper()}+7'UNT+3+1'UNZ+1+{reference}'"
    ).encode()


# ------------------------------------------------------------------------------------------------ the twins


class Twins(RuleBasedStateMachine):
    """`register` is one twin, `journal` the other; `then` is what the first held when each transmission was judged."""

    figures: Counter[str]
    kind: type[Register]
    opened: Callable[[], Any]

    @initialize(policy=st.sampled_from(RefusedVersions))
    def start(self, policy: RefusedVersions) -> None:
        self.opening = self.opened()
        self.journal: Journal = self.opening.__enter__()
        self.plans, self.register, self.now = plans_of(policy), self.kind(), START
        self.bodies: list[tuple[str, bytes]] = []
        self.sent = 0
        self.then: dict[str, Register] = {}
        self.figures[f"policy {policy}"] += 1

    def teardown(self) -> None:
        if not hasattr(self, "opening"):
            return
        try:
            self.compare_then()
            assert self.journal.verify().bad is None
        finally:
            self.opening.__exit__(None, None, None)

    # -------------------------------------------------------------------------------------------- steps

    @rule(
        sender=SENDERS,
        reference=st.sampled_from(REFERENCES),
        messages=INTERCHANGES,
        xml=st.booleans(),
        test=st.booleans(),
    )
    def send(
        self, sender: str, reference: str, messages: list[tuple[str, str, int, str | None]], xml: bool, test: bool
    ) -> None:
        today = eastern_day(self.now)
        self.transmit(sender, written(messages, sender, reference, today, xml=xml, test=test))

    @rule(
        sender=SENDERS,
        number_=st.sampled_from(NUMBERS),
        after=st.sampled_from([0, 0, 0, 1]),
        test=st.sampled_from([False, False, True]),
    )
    def send_original(self, sender: str, number_: str, after: int, test: bool) -> None:
        self.transmit(sender, self.alone("original", sender, number_, 1 + after, test=test))

    @rule(
        sender=SENDERS,
        number_=st.sampled_from(NUMBERS),
        kind=st.sampled_from(["change", "change", "withdrawal"]),
        after=st.sampled_from([0, 0, 1]),
        test=st.sampled_from([False, False, True]),
    )
    def send_what_follows(self, sender: str, number_: str, kind: str, after: int, test: bool) -> None:
        """Send what a sender who knows what is on file would send next."""
        history = self.register.of(test).history(number_)
        latest = history[-1].version if history else 1
        self.transmit(sender, self.alone(kind, sender, number_, latest + (kind == "change") + after, test=test))

    @precondition(lambda self: self.refused())
    @rule(sender=SENDERS, after=st.sampled_from([0, 0, 1]))
    def send_refused_again(self, sender: str, after: int) -> None:
        """Send again what the engine refused last, under its number or the one after it."""
        fact = self.refused()[-1]
        kind = "original" if fact.nature is Nature.ORIGINAL else "change"
        number_ = fact.declaration.transaction_number or ""
        self.transmit(sender, self.alone(kind, sender, number_, fact.version + after))

    def refused(self) -> list[VersionFact]:
        """Return what the engine refused."""
        return [fact for facts in self.register.versions.values() for fact in facts if fact.status == REFUSED]

    def alone(self, kind: str, sender: str, number_: str, version: int, *, test: bool = False) -> bytes:
        """Write one message under a reference of its own."""
        today = eastern_day(self.now)
        return written([(kind, number_, version, None)], sender, f"N{self.sent}", today, xml=False, test=test)

    @precondition(lambda self: self.bodies)
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        self.transmit(*data.draw(st.sampled_from(self.bodies)))

    @precondition(lambda self: self.sent % 5 == 4)
    @rule(sender=SENDERS, reference=st.sampled_from(REFERENCES), known=st.booleans())
    def acknowledge(self, sender: str, reference: str, known: bool) -> None:
        self.transmit(sender, contrl(sender, reference, stable_id(reference)[:14] if known else "X"))

    def requests(self) -> dict[str, Request]:
        """Return the requests of both worlds."""
        return {**self.register.requests, **self.register.of(test=True).requests}

    @precondition(lambda self: any(request.status in UNDECIDED for request in self.requests().values()))
    @rule(outcome=st.sampled_from(["approved", "pending", "refused", "refused"]), due=st.sampled_from([None, DUE]))
    def engine_decides(self, outcome: str, due: str | None) -> None:
        """The engine's word on the latest request that waits for it."""
        waiting = [name for name, request in self.requests().items() if request.status in UNDECIDED]
        self.settle(waiting[-1], outcome, due)

    @rule(data=st.data(), outcome=st.sampled_from(["approved", "pending", "refused"]), due=st.sampled_from([None, DUE]))
    def engine_repeats(self, data: st.DataObject, outcome: str, due: str | None) -> None:
        """The engine's word on any request, decided or not, or on none of ours."""
        self.settle(data.draw(st.sampled_from([*self.requests(), "f" * 32])), outcome, due)

    @rule(days=st.sampled_from([1, 40, 2_700]))
    def wait(self, days: int) -> None:
        """A day, until after the payment due date, or until a number is free again."""
        self.now += timedelta(days=days)

    # -------------------------------------------------------------------------------------------- both twins

    def transmit(self, sender: str, body: bytes) -> None:
        self.sent += 1
        self.now += timedelta(seconds=1)
        uid, plans = f"t{self.sent}", self.plans
        self.bodies.append((sender, body))
        received = Received(inbox_id(uid), sender, body, self.now)
        parsed = pipeline.parse(received, plans)
        before, first = self.register, self.register.repeated(sender, parsed)
        outcome = None if first else pipeline.judge(parsed, Facts(PARTNERS[sender], self.register), plans)
        self.register = self.register.after(outcome) if outcome else self.register

        assert self.journal.receive([Arrival(uid, "partner", sender, body, {}, self.now, sniff.lane(body))]) == [True]
        assert service.work(self.journal, plans, PARTNERS, "worker") == 1
        self.compare(received, outcome, first)
        if outcome:
            self.then[received.id] = before
        self.compare_facts()

    def settle(self, request_id: str, outcome: str, due: str | None) -> None:
        self.sent += 1
        asked = self.journal.asked(request_id)
        sent = json.loads(asked.request) if asked else {"transaction_number": NUMBERS[0], "version": "00001"}
        due = due and asked and f"{sent['requested_at'][:4]}{due[4:]}"
        request = self.requests().get(request_id)
        status = status_after(request.nature, outcome) if request else "assessed"
        self.register = self.register.settled(request_id, status, date.fromisoformat(due) if due else None)

        invoices = sent["declaration"]["invoices"] if asked else []
        content = {
            "contract": "1.1", "message_id": request_id, "outcome": outcome, "payment_due": due, "totals": NIL,
            "transaction_number": sent["transaction_number"], "version": sent["version"],
            "lines": [
                {"invoice": i, "line": j, "amounts": NIL}
                for i, invoice in enumerate(invoices, 1) for j in range(1, len(invoice["lines"]) + 1)
            ],
            "reasons": [] if outcome == "approved" else [REASON],
        }  # fmt: skip
        body, uid = write_result(content), f"r{self.sent}"
        assert self.journal.receive([Arrival(uid, "assessment", None, body, {}, self.now, uid)]) == [True]
        assert service.work(self.journal, self.plans, PARTNERS, "worker") == 1
        life = self.journal.show(inbox_id(uid))
        assert life is not None
        assert life["state"] == "done", life["note"]
        self.figures[f"engine {outcome}" if request else "engine on nothing"] += 1
        self.compare_facts()

    def compare(self, received: Received, outcome: Outcome | None, first: str | None) -> None:
        """The verdicts, their findings, and what is sent."""
        life = self.journal.show(received.id)
        assert life is not None
        if outcome is None:
            self.figures["resend"] += 1
            assert life["note"] == f"resend of {first}"
            return
        told = [(row["verdict"], [one["code"] for one in row["findings"]]) for row in life["messages"]]
        expected = [(one.verdict, [finding.code for finding in one.findings]) for one in outcome.judged]
        assert life["state"] == "done", life["note"]
        assert told == expected
        assert [row["id"] for row in life["outbox"]] == [item.id for item in outcome.outgoing]
        for one in outcome.judged:
            self.figures[one.effect.nature if one.effect else str(one.verdict)] += 1
            self.figures["test"] += bool(one.effect and one.effect.test)
            self.figures["again under a refused number"] += bool(one.effect and self.tried(one.effect))
            self.figures.update(finding.code for finding in one.findings if finding.code in TELLING)

    def tried(self, effect: VersionFact) -> bool:
        """Tell whether the engine refused this version of the declaration before."""
        attempts = self.register.of(effect.test).attempts(effect.declaration.transaction_number)
        return any(each.version == effect.version and each.status == REFUSED for each in attempts)

    def compare_facts(self) -> None:
        """All that is on file, whoever asks."""
        names = [*REFERENCES, *(f"{name}.2" for name in REFERENCES), *(f"N{n}" for n in range(self.sent + 1))]
        asked = [(name, NUMBERS, in_spaces(name, names)) for name in PARTNERS]
        for sender, found in zip(PARTNERS, self.journal.facts_of(asked), strict=True):
            assert dict(found.versions) == _looked_at(self.register)
            mine = {key: used for key, used in self.register.references.items() if key[0] == sender}
            assert dict(found.references) == mine
        with self.journal._read() as connection:
            rows = connection.execute(sqlalchemy.select(assessment_request))
            kept = {row.id: Request(row.transaction_number, row.attempt, row.nature, row.status) for row in rows}
        assert kept == self.requests()
        self.figures["steps"] += 1

    def compare_then(self) -> None:
        """What was on file when each was judged, as the journal tells it now; the due date is the one on file."""
        sequences = [sequence for sequence, _ in self.journal.selected(Selection())]
        rows: list[Recorded] = [row for row in self.journal.recorded(sequences) if row.id in self.then]
        asked = [(row, NUMBERS, in_spaces(row.partner or "", REFERENCES)) for row in rows]
        for (row, _, numbers), told in zip(asked, self.journal.facts_then(asked), strict=True):
            assert _without_due(told.versions) == _without_due(self.then[row.id].versions)
            taken = {
                key: used
                for key, used in self.then[row.id].references.items()
                if key[0] == row.partner and key[1] in numbers and used.accepted and used.digest != row.digest
            }
            assert dict(told.references) == taken
            self.figures["told of a time past"] += 1


# Findings that say that something on file decided.
TELLING = {"CAD-0201", "CAD-0202", "CAD-0210", "CAD-0211", "CAD-0212", "CAD-0232", "EDI-0111", "GTW-0009"}


def _looked_at(register: Register) -> dict[str, tuple[VersionFact, ...]]:
    """Return what is on file without the declarations that nobody looks into where there are many versions."""
    seen = {}
    for name, facts in register.versions.items():
        beside = register.of(test=True).attempts(name) if register.tests else ()
        keep = register.looked_at(name) | (register.of(test=True).looked_at(name) if register.tests else set())
        few = len(facts) + len(beside) <= verdicts.FEW
        seen[name] = tuple(
            each if few or each.attempt in keep else replace(each, declaration=verdicts.UNREAD) for each in facts
        )
    return seen


def _without_due(versions: Mapping[str, tuple[VersionFact, ...]]) -> dict[str, list[VersionFact]]:
    return {name: [replace(fact, payment_due=None) for fact in facts] for name, facts in versions.items()}


def run(
    opened: Callable[[], Any], *, kind: type[Register] = Register, examples: int, mutant: bool = False
) -> Counter[str]:
    """Run the machine; return how many steps there were of which kind."""
    figures: Counter[str] = Counter()
    machine = type("OfThisRun", (Twins,), {"figures": figures, "kind": kind, "opened": staticmethod(opened)})
    run_machine(machine, examples=examples, mutant=mutant)
    return figures
