"""The messages of a smoke test as broker: fresh numbers and references, and the faults that a step asks for."""

from __future__ import annotations

import copy
import random
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from core.calendar import eastern_day
from core.declaration import MessageType
from core.envelope import Envelope
from core.errors import GatewayError
from core.partner import Partner
from core.transmission import Syntax, stable_id
from gateway.plans import Plans
from gateway.queues import Letter
from gateway.trade.maker import Draft, Maker
from gateway.trade.replies import Reply
from gateway.trade.scenario import Scenario, Step
from gateway.trade.writer import write_edifact, write_xml
from routing.partners import inbound_queue
from validators.rules import check_digit_of

# How the references of smoke tests begin: two letters, and the run's moment in base 36.
OURS = re.compile(r"SM[0-9A-Z]{6}[0-9]+|smoke-SM[0-9A-Z]{6}-[0-9]+")

# CAD types that the volume is made of.
COMMON = ("AB", "F", "V")

# More declarations than this would use up the numbers of the minutes to come, of the next run.
KEPT_IN_STEP = 100

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass
class Sent:
    """One transmission and what has come back for it so far; `sound` is the declaration free of deliberate faults."""

    step: Step
    letter: Letter
    reference: str
    syntax: Syntax
    draft: Draft | None
    sound: Draft | None
    faulty: bool = False
    at: float = 0.0
    replies: dict[str, Reply] = field(default_factory=dict)  # by the answer's id
    bodies: dict[str, bytes] = field(default_factory=dict)
    last: float = 0.0

    def kinds(self) -> set[str]:
        """Return the kinds of answers that came, without a CONTRL that only acknowledges."""
        return {reply.kind for reply in self.replies.values()} - {"acknowledged"}

    def codes(self) -> list[str]:
        """Return the finding codes that came."""
        return [code for reply in self.replies.values() for code in reply.codes]

    @property
    def subject(self) -> str:
        """Return transaction number and version."""
        return f"{self.draft.top['transaction_number']}:{self.draft.top['version']}" if self.draft else self.reference

    def settled(self) -> bool:
        """Tell whether nothing more is to be waited for: all that is expected is there, or the opposite of it."""
        came, wanted = self.kinds(), set(self.step.expect)
        if self.faulty and self.step.send == "many":
            wanted = {"receipt", "refused"}
        return wanted <= came or bool(came - wanted - {"receipt", "accepted"})


class Sender:
    """Makes a run's messages: fresh transaction numbers, fresh references, all of them marked as tests."""

    def __init__(self, plans: Plans, partner: Partner, account: str, started: datetime) -> None:
        # Ten numbers a second, over in 115 days: one partner's runs at the same time of day never meet in the 7 years
        # and 3 months for which a gateway remembers a number, and two partners' begin elsewhere.
        offset = int(stable_id(partner.id), 16)
        self._next = (int(started.timestamp() * 10) + offset) % 10**8
        self.run = f"SM{_base36(self._next)}"
        self._plans, self._partner, self._account, self._started = plans, partner, account, started
        self._maker = Maker(random.Random(self.run), plans.specs, partner, eastern_day(started))  # noqa: S311 - no secrets
        self._count = 0
        self._originals = 0
        self._latest: dict[str, Draft] = {}  # the accepted state of each declaration

    def number(self) -> str:
        """Return the next transaction number, with its check digit."""
        thirteen = f"{self._account}{self._next:08}"
        self._next = (self._next + 1) % 10**8
        return thirteen + check_digit_of(thirteen)

    def accepted(self, sent: Sent) -> None:
        """Remember what the gateway has accepted: a change starts from there."""
        if sent.draft and sent.step.send != "withdraw":
            self._latest[sent.draft.top["transaction_number"]] = sent.draft

    def make(self, step: Step, of: Sent | None, scenario: Scenario) -> list[Sent]:
        """Return the transmissions of a step."""
        if step.send == "many":
            count = step.count or 1
            if count > KEPT_IN_STEP:
                self._next = random.SystemRandom().randrange(10**8)
            wrong = round(count * (1 - step.good)) // 2  # half of what is allowed
            return [self._volume(step, number < wrong) for number in range(count)]
        if step.send == "file":
            return [self._file(step, Path(scenario.folder) / (step.file or ""))]
        if step.send == "again" and of:
            letter = of.letter._replace(id=self._letter_id())
            return [Sent(step, letter, of.reference, of.syntax, of.draft, of.sound)]
        syntax = of.syntax if of else self._turn()
        sound = self._sound(step, of)
        return [self.write(step, sound, self._spoil(step, sound), syntax)]

    def _sound(self, step: Step, of: Sent | None) -> Draft:
        """Return the declaration of a step, as it should be."""
        if step.send == "declaration" or of is None or of.sound is None or of.draft is None:
            return self._original(step)
        if step.send == "mended":
            return copy.deepcopy(of.sound)
        latest = self._latest.get(of.draft.top["transaction_number"], of.draft)
        if step.send == "withdraw":
            return self._maker.withdraw(latest)
        return self._maker.change(latest, adjustment=step.nature == "adjustment")

    def _original(self, step: Step) -> Draft:
        ago = step.accounted_days_ago
        accounted = None if ago is None else eastern_day(self._started) - timedelta(days=ago)
        cad_type = step.cad_type or self._maker.rng.choice(COMMON)
        shape = (2,) if step.send != "many" else (self._maker.rng.randint(1, 5),)
        draft = self._maker.draft(cad_type, accounted=accounted, share=0, plain=True, shape=shape)
        draft.top["transaction_number"] = self.number()
        _without_accents(draft)
        self._put(draft, step.carries)
        return draft

    def _put(self, draft: Draft, values: Mapping[str, str | None]) -> None:
        """Set elements from texts, typed as the dictionary says."""
        pack = self._maker.pack(MessageType.CORRECTION)
        if unknown := sorted(set(values) - set(pack.elements)):
            raise GatewayError(f"the scenario names {unknown[0]!r}, which is no element of the specification")
        draft.put(pack, {name: text and pack.elements[name].format.read(text) for name, text in values.items()})

    def _spoil(self, step: Step, sound: Draft) -> Draft:
        """Return the declaration with the step's deliberate faults."""
        draft = copy.deepcopy(sound)
        self._put(draft, {**step.wrong, **dict.fromkeys(step.without)})
        draft.top["version"] = f"{int(draft.top['version']) + step.versions_ahead:05}"
        return draft

    def _volume(self, step: Step, faulty: bool) -> Sent:
        sound = self._original(step)
        draft = copy.deepcopy(sound)
        if faulty:
            self._put(draft, {"tariff_treatment": "30"})
        sent = self.write(step, sound, draft, self._turn())
        sent.faulty = faulty
        return sent

    def write(self, step: Step, sound: Draft, draft: Draft, syntax: Syntax) -> Sent:
        """Write a declaration into its envelope."""
        reference = self._reference()
        told = f" TEST-{step.outcome}" if step.outcome else ""
        if "cad_type" in draft.top:
            draft.top["functional_reference"] = f"{reference}{told}"
        type_ = {"withdraw": MessageType.WITHDRAW}.get(step.send, MessageType.DECLARATION)
        if draft.top["function_code"] in self._codes(MessageType.CORRECTION):
            type_ = MessageType.CORRECTION
        pack = self._maker.pack(type_)
        recipient = next(iter(self._partner.agreement.ids), "CADGATEWAY")
        envelope = Envelope(self._partner.envelopes[0], recipient, reference, message="1", test=True)
        if syntax is Syntax.XML:
            body = write_xml(draft.freeze(), pack, envelope)
            damaged = body.replace(b"VersionID>", b"VersionNo>")
        else:
            body = write_edifact([draft.freeze()], pack, envelope, prepared=datetime.now(UTC))
            damaged = re.sub(rb"UNT\+\d+", b"UNT+1", body)
        return Sent(
            step, self._letter(damaged if step.damaged else body), reference, syntax, draft, sound, step.damaged
        )

    def _file(self, step: Step, path: Path) -> Sent:
        reference = self._reference()
        body = path.read_bytes().replace(b"{transaction}", self.number().encode())
        letter = self._letter(body.replace(b"{reference}", reference.encode()))
        return Sent(step, letter, reference, Syntax.UNKNOWN, None, None)

    def _codes(self, type_: MessageType) -> set[str]:
        return {code for code, each in self._maker.pack(type_).types.items() if each is type_}

    def _turn(self) -> Syntax:
        """Return the syntaxes in turn."""
        self._originals += 1
        return Syntax.EDIFACT if self._originals % 2 else Syntax.XML

    def _reference(self) -> str:
        self._count += 1
        return f"{self.run}{self._count}"

    def _letter_id(self) -> str:
        self._count += 1
        return f"smoke-{self.run}-{self._count}"

    def _letter(self, body: bytes) -> Letter:
        return Letter(self._letter_id(), inbound_queue(self._partner.id), "application/octet-stream", body)


def _without_accents(draft: Draft) -> None:
    """Leave letters of ASCII only: accents are tried where a step asks for them, not by the chance of a name."""
    for level in (draft.top, *(each for invoice, lines in draft.invoices for each in (invoice, *lines))):
        for name, value in level.items():
            if isinstance(value, str):
                level[name] = unicodedata.normalize("NFKD", value).encode("ascii", "ignore").decode()


def _base36(number: int) -> str:
    digits = ""
    for _ in range(6):
        number, rest = divmod(number, 36)
        digits = DIGITS[rest] + digits
    return digits
