"""Two partners and what each is answered, with the other's traffic and without it: nothing may differ but times."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from core.calendar import Period, eastern_day
from core.declaration import Declaration
from core.envelope import Envelope
from core.partner import Agreement
from core.register import Facts, Register, status_after
from core.transmission import Received
from gateway import pipeline, service
from gateway.journal import Arrival, Journal, inbox_id
from gateway.trade.writer import write_edifact, write_xml
from parsers import sniff
from responses.respond import respond_assessed
from routing.assessment import read_result, write_result
from tests.support.builders import CORRECTION, DECLARATION, partner, valid_change, valid_declaration, withdraw_request
from tests.support.effort import run_machine
from tests.support.traffic import number
from tests.support.twins import NIL, REASON
from tests.support.way import PLANS

START = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
IMPORTERS = {"a": "123456782RM0001", "b": "135792463RM0001"}
ACCOUNTS = {"a": "12345", "b": "24680"}
EVER = (Period(),)
PARTNERS = {
    name: partner(
        id=name,
        envelopes=(name.upper(),),
        answer_queue=f"out.{name}",
        authorities={IMPORTERS[name]: EVER},
        accounts={ACCOUNTS[name]: frozenset[str]()},
        others=frozenset(ACCOUNTS.values()) - {ACCOUNTS[name]},
        agreement=Agreement(tests=True),
        contrl=name == "b",
    )
    for name in "ab"
}
NUMBERS = [number(n, account) for account in ACCOUNTS.values() for n in (1, 2)]


class Wanted(NamedTuple):
    """What somebody sends: whichever partner it is, it may name the numbers, importers and references of both."""

    kind: str
    number: str
    version: int
    importer: str
    new_importer: str | None
    pre_carm: str | None
    value: int


MESSAGES = st.builds(
    Wanted,
    st.sampled_from(["original", "original", "change", "change", "withdrawal"]),
    st.sampled_from(NUMBERS),
    st.sampled_from([1, 1, 2, 2, 3]),
    st.sampled_from(sorted(IMPORTERS.values())),
    st.sampled_from([None, None, *sorted(IMPORTERS.values())]),
    st.sampled_from([None, None, "Y"]),
    st.sampled_from([100, 150, 200]),
)


def declared(wanted: Wanted, now: datetime) -> Declaration:
    """Return the declaration that is wanted."""
    early = date(2024, 5, 10) if wanted.pre_carm and wanted.kind != "original" else None  # before CARM
    today = early or eastern_day(now)
    given: dict[str, Any] = {
        "transaction_number": wanted.number,
        "version": f"{wanted.version:05}",
        "importer_bn": wanted.importer,
    }
    days = {"accounting_date": today, "release_date": today - timedelta(days=1)}
    worth = dict.fromkeys(("value_for_currency_conversion", "invoice_value"), Decimal(wanted.value))
    changed = {"new_importer_bn": wanted.new_importer, "pre_carm": wanted.pre_carm}
    if wanted.kind == "withdrawal":
        return withdraw_request(**given, **changed, accounting_date=early)
    if wanted.kind == "change":
        return valid_change(lines=1, **given, **days, **worth, **changed)
    return valid_declaration(lines=1, **given, **days, **worth)


def written(
    wanted: Wanted, sender: str, reference: str, now: datetime, *, test: bool = False, xml: bool = False
) -> bytes:
    """Write the message that is wanted."""
    pack = DECLARATION if wanted.kind == "original" else CORRECTION
    envelope = Envelope(sender.upper(), "CARMGATEWAY", reference, message=None if xml else "1", test=test)
    declaration = declared(wanted, now)
    return write_xml(declaration, pack, envelope) if xml else write_edifact([declaration], pack, envelope, prepared=now)


def result_of(request: bytes, outcome: str) -> bytes:
    """Return the engine's word on a request: the same amounts for every line."""
    sent = json.loads(request)
    content = {
        **{name: sent[name] for name in ("contract", "message_id", "transaction_number", "version")},
        "outcome": outcome, "payment_due": None, "totals": NIL, "reasons": [] if outcome == "approved" else [REASON],
        "lines": [
            {"invoice": invoice["number"], "line": line["number"], "amounts": NIL}
            for invoice in sent["declaration"]["invoices"] for line in invoice["lines"]
        ],
    }  # fmt: skip
    return write_result(content)


# ------------------------------------------------------------------------------------------------ two ways to ask


class Stream(NamedTuple):
    """The traffic of a partner, its tests apart."""

    sender: str
    test: bool


STREAMS = [Stream(name, test) for name in sorted(PARTNERS) for test in (False, True)]


class Told(NamedTuple):
    """What somebody is told: verdicts with findings as they are answered, and what is sent, to whom."""

    verdicts: tuple[tuple[str, tuple[tuple[str, str | None, str | None], ...]], ...]
    sent: tuple[tuple[str, str, bytes], ...]


class World(Protocol):
    """A gateway of its own."""

    def send(self, uid: str, sender: str, body: bytes, now: datetime) -> Told:
        """Carry a transmission and return what came of it."""
        ...

    def settle(self, request: str, outcome: str, now: datetime) -> tuple[tuple[str, str, bytes], ...]:
        """Let the engine say its word; return what is sent for it."""
        ...


class Pure:
    """A gateway on the pure register."""

    def __init__(self, kind: type[Register] = Register) -> None:
        self.register = kind()
        self.answers: dict[str, tuple[tuple[str, str, bytes], ...]] = {}
        self.asked: dict[str, tuple[Any, ...]] = {}

    def send(self, uid: str, sender: str, body: bytes, now: datetime) -> Told:
        received = Received(inbox_id(uid), sender, body, now)
        parsed = pipeline.parse(received, PLANS)
        if first := self.register.repeated(sender, parsed):
            return Told((), self.answers[first])
        outcome = pipeline.judge(parsed, Facts(PARTNERS[sender], self.register), PLANS)
        self.register = self.register.after(outcome)
        for item in outcome.outgoing:
            if item.kind == "request":
                effect = next(one.effect for one in outcome.judged if one.message.ordinal == item.ordinal)
                self.asked[item.id] = item.body, parsed, item.ordinal, effect, PARTNERS[sender]
        sent = tuple((item.kind, item.destination, item.body) for item in outcome.outgoing)
        self.answers[received.id] = sent
        verdicts = (
            (str(one.verdict), tuple((f.code, f.value, f.expected) for f in one.findings)) for one in outcome.judged
        )
        return Told(tuple(verdicts), sent)

    def settle(self, request: str, outcome: str, now: datetime) -> tuple[tuple[str, str, bytes], ...]:
        body, parsed, ordinal, effect, asking = self.asked[request]
        self.register = self.register.settled(request, status_after(effect.nature, outcome))
        result = read_result(result_of(body, outcome))
        item = respond_assessed(parsed, ordinal, effect, result, asking, now, PLANS.specs.packs)
        return ((item.kind, item.destination, item.body),)


class Kept:
    """A gateway on a journal."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.requests: dict[str, str] = {}

    def _carry(self, arrival: Arrival) -> dict[str, Any]:
        assert self.journal.receive([arrival]) == [True]
        assert service.work(self.journal, PLANS, PARTNERS, "worker") == 1
        life = self.journal.show(inbox_id(arrival.uid))
        assert life is not None
        assert life["state"] == "done", life["note"]
        return life

    def send(self, uid: str, sender: str, body: bytes, now: datetime) -> Told:
        life = self._carry(Arrival(uid, "partner", sender, body, {}, now, sniff.lane(body)))
        if (life["note"] or "").startswith("resend of "):
            first = self.journal.show(life["note"].removeprefix("resend of "))
            assert first is not None
            return Told((), self._sent(first))
        self.requests |= {row["id"]: life["id"] for row in life["outbox"] if row["kind"] == "request"}
        verdicts = (
            (row["verdict"], tuple((one["code"], one["value"], one["expected"]) for one in row["findings"]))
            for row in life["messages"]
        )
        return Told(tuple(verdicts), self._sent(life))

    def settle(self, request: str, outcome: str, now: datetime) -> tuple[tuple[str, str, bytes], ...]:
        before, asked = self._of(request), self.journal.asked(request)
        assert asked is not None
        body = result_of(asked.request, outcome)
        self._carry(Arrival(f"{request} {outcome}", "assessment", None, body, {}, now, request))
        return self._of(request)[len(before) :]

    def _of(self, request: str) -> tuple[tuple[str, str, bytes], ...]:
        life = self.journal.show(self.requests[request])
        assert life is not None
        return self._sent(life)

    @staticmethod
    def _sent(life: dict[str, Any]) -> tuple[tuple[str, str, bytes], ...]:
        answers = ("assessed", "pending", "engine-refused")
        rows = sorted(life["outbox"], key=lambda row: row["kind"] in answers)
        return tuple((row["kind"], row["destination"], row["body"]) for row in rows)


# ------------------------------------------------------------------------------------------------ the machine


class TwoPartners(RuleBasedStateMachine):
    """One gateway has all traffic; each partner's, its tests apart, also has one alone: it is told the same in both."""

    figures: Counter[str]
    opened: Callable[[], AbstractContextManager[World]]

    @initialize()
    def start(self) -> None:
        self.stack = ExitStack()
        self.all = self.stack.enter_context(self.opened())
        self.alone = {stream: self.stack.enter_context(self.opened()) for stream in STREAMS}
        self.now, self.count = START, Counter[Stream]()
        self.bodies: dict[Stream, list[bytes]] = {stream: [] for stream in STREAMS}
        self.open: dict[Stream, dict[str, str]] = {stream: {} for stream in STREAMS}  # requests, and the word on them

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            self.stack.close()

    @rule(
        stream=st.sampled_from(STREAMS),
        wanted=MESSAGES,
        reference=st.sampled_from([None, None, "R1", "R2", "R3"]),
        xml=st.booleans(),
    )
    def send(self, stream: Stream, wanted: Wanted, reference: str | None, xml: bool) -> None:
        """Send anything, of whomever it speaks."""
        named = reference or f"N{self.count[stream]}"
        self.transmit(stream, written(wanted, stream.sender, named, self.now, test=stream.test, xml=xml))

    @rule(stream=st.sampled_from(STREAMS), wanted=MESSAGES)
    def send_its_own(self, stream: Stream, wanted: Wanted) -> None:
        """Send what is most likely good, so that much is on file."""
        own = [each for each in NUMBERS if each.startswith(ACCOUNTS[stream.sender])]
        wanted = wanted._replace(
            number=own[NUMBERS.index(wanted.number) % len(own)],
            version=1 if wanted.kind == "original" else wanted.version,
            importer=IMPORTERS[stream.sender],
            new_importer=None,
            pre_carm=None,
        )
        reference = f"N{self.count[stream]}"
        self.transmit(stream, written(wanted, stream.sender, reference, self.now, test=stream.test, xml=False))

    @rule(stream=st.sampled_from(STREAMS), whose=st.sampled_from(sorted(PARTNERS)), data=st.data())
    def send_the_very_bytes(self, stream: Stream, whose: str, data: st.DataObject) -> None:
        """Send again what oneself or the other sent, under one's own name."""
        if bodies := self.bodies[stream._replace(sender=whose)]:
            body = data.draw(st.sampled_from(bodies))
            self.transmit(stream, body.replace(f"+{whose}+".upper().encode(), f"+{stream.sender}+".upper().encode()))

    @rule(stream=st.sampled_from(STREAMS), outcome=st.sampled_from(["approved", "pending", "refused"]))
    def engine_decides(self, stream: Stream, outcome: str) -> None:
        """Let the engine say its word on the latest request that is not settled."""
        waiting = [name for name, said in self.open[stream].items() if said in ("", "pending") and said != outcome]
        if not waiting:
            return
        self.now += timedelta(seconds=1)
        self.open[stream][waiting[-1]] = outcome
        told = self.all.settle(waiting[-1], outcome, self.now)
        assert told == self.alone[stream].settle(waiting[-1], outcome, self.now)
        assert {destination for _, destination, _ in told} == {PARTNERS[stream.sender].answer_queue}
        self.figures[f"engine {outcome}"] += 1

    @rule(days=st.sampled_from([1, 40, 2_700]))
    def wait(self, days: int) -> None:
        """Wait a day, until after the payment due date, or until a number is free again."""
        self.now += timedelta(days=days)

    def transmit(self, stream: Stream, body: bytes) -> None:
        self.now += timedelta(seconds=1)
        self.count[stream] += 1
        self.bodies[stream].append(body)
        uid = f"{stream} {self.count[stream]}"
        told = self.all.send(uid, stream.sender, body, self.now)
        assert told == self.alone[stream].send(uid, stream.sender, body, self.now)
        for kind, destination, sent in told.sent:
            assert kind == "request" or destination == PARTNERS[stream.sender].answer_queue
            if kind == "request" and told.verdicts:
                self.open[stream][_id_of(sent)] = ""
        for verdict, findings in told.verdicts:
            self.figures[verdict] += 1
            self.figures.update({code for code, _, _ in findings})


def _id_of(request: bytes) -> str:
    return request.split(b'"message_id":"')[1].split(b'"')[0].decode()


def run(opened: Callable[[], AbstractContextManager[World]], *, examples: int, mutant: bool = False) -> Counter[str]:
    """Run the machine; return how many steps there were of which kind."""
    figures: Counter[str] = Counter()
    machine = type("OfThisRun", (TwoPartners,), {"figures": figures, "opened": staticmethod(opened)})
    run_machine(machine, examples=examples, mutant=mutant)
    return figures
