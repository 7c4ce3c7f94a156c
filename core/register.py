"""The register: what is on file of declarations and references, as a pure value; the journal is its lasting twin.

One place knows which versions count, which references are free, and what a message, a refusal by the engine or a
withdrawal changes. Whoever judges without a journal (check, replay of samples, tests) carries a `Register` along;
whoever has one asks it for the part of the register that a transmission needs. One contract test runs over both.

Nobody acts on, or is told of, what is not theirs: a message is judged by what its sender may know (`known_to`), never
by all that is on file. Test messages live in a world of their own (`of`): one's numbers, references and versions are
not the other's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from itertools import takewhile
from typing import NamedTuple

from core.calendar import Calendar, Consignment, eastern_day, is_correction, payment_due
from core.declaration import NATURES, Declaration, MessageType, Nature, RefusedVersions, VersionFact
from core.partner import Partner
from core.transmission import Judged, Outcome, Parsed, Received, Verdict

# The status of a version or request: accepted by us, then what the engine said; a version can also be withdrawn.
ACCEPTED, ASSESSED, PENDING, REFUSED, WITHDRAWN = "accepted", "assessed", "pending", "refused", "withdrawn"

# Requests on which the engine has yet to decide.
UNDECIDED = frozenset({ACCEPTED, PENDING})


class Reference(NamedTuple):
    """The transmission that a sender's reference belongs to: digest of its bytes, and its id.

    Until a message of it is `accepted`, the reference is free for other bytes.
    """

    digest: str
    transmission: str
    accepted: bool


class Request(NamedTuple):
    """A request to the assessment engine: the version that it is about, what it asks for, and what the engine said."""

    transaction_number: str
    attempt: int
    nature: Nature
    status: str


@dataclass(frozen=True, slots=True)
class Register:
    """What is on file: versions by transaction number in the order of their acceptance, references by (partner id,
    reference in its number space), requests by id. Immutable: every change gives another register.

    `tests` is the same of test messages, None where there is nothing; questions are answered for the one world.
    """

    versions: Mapping[str, tuple[VersionFact, ...]] = field(default_factory=dict)
    references: Mapping[tuple[str, str], Reference] = field(default_factory=dict)
    requests: Mapping[str, Request] = field(default_factory=dict)
    tests: Register | None = None
    # The attempts whose history was found last, and that history: many messages about one declaration need it each.
    _found: dict[str, tuple[tuple[VersionFact, ...], ...]] = field(default_factory=dict, compare=False, repr=False)

    # ------------------------------------------------------------------------------------ whose it is

    def of(self, test: bool) -> Register:
        """Return what is on file of test messages, or of the others: one of two worlds."""
        return (self.tests or Register()) if test else self

    def beside(self, tests: Register) -> Register:
        """Return the register with what is on file of test messages."""
        return replace(self, tests=tests if tests != Register() else None)

    def known_to(self, partner: Partner | None, number: str | None, day: date) -> Register:
        """Return what a sender may know of one declaration: all of it, or nothing, as if it were not on file.

        On that day the sender must act for the importer that the declaration has on file; where it names none, who
        filed its latest version may know it.
        """
        known = {number: self.attempts(number)} if number and partner and self._is_its(partner, number, day) else {}
        return Register(known)

    def _is_its(self, partner: Partner, number: str, day: date) -> bool:
        """Tell whether there is a declaration on file that a sender acts for."""
        versions = self.history(number) or self.attempts(number)
        if not versions or not partner.active:
            return False
        importers = importers_of(versions[-1])
        return (
            all(partner.acts_for(each, day) for each in importers) if importers else versions[-1].partner == partner.id
        )

    # ------------------------------------------------------------------------------------ what is on file

    def attempts(self, number: str | None) -> tuple[VersionFact, ...]:
        """Return all that was ever accepted under a transaction number, oldest first."""
        return self.versions.get(number, ()) if number else ()

    def history(self, number: str | None) -> tuple[VersionFact, ...]:
        """Return the versions of a declaration that count, oldest first: from its latest original on, none refused.

        A number that came free again after its years begins a new declaration with its next original.
        """
        attempts = self.attempts(number)
        of, history = self._found.get(number or "", (None, ()))
        if of is not attempts:
            counted = [each for each in attempts if each.status != REFUSED]
            starts = [at for at, each in enumerate(counted) if each.nature is Nature.ORIGINAL]
            history = tuple(counted[starts[-1] :] if starts else counted)
            self._found[number or ""] = attempts, history
        return history

    def looked_at(self, number: str | None) -> set[int]:
        """Return the attempts whose declarations judging may look into: the first and last that count, and the last.

        Of all others a register needs to know no more than that they were there.
        """
        history, attempts = self.history(number), self.attempts(number)
        return {each.attempt for each in (*history[:1], *history[-1:], *attempts[-1:])}

    def next_versions(self, number: str | None, refused: RefusedVersions, *, original: bool = False) -> range:
        """Return the version numbers that the next original or change of a declaration may carry, lowest first."""
        attempts = self.attempts(number)
        if not attempts:
            return range(1, 2)
        refusals = takewhile(lambda each: each.status == REFUSED, reversed(attempts))
        tried = [each.version for each in refusals if each.nature is not Nature.WITHDRAWAL]
        history = () if original else self.history(number)
        latest = history[-1].version if history else 0
        after = max([latest, *tried]) + 1
        if refused is RefusedVersions.FREE:
            return range(latest + 1, latest + 2)
        return range(after if refused is RefusedVersions.USED else latest + 1, after + 1)

    def repeated(self, partner: str | None, parsed: Parsed) -> str | None:
        """Return the id of the transmission by which the sender sent the same bytes before, None if these are new.

        Such a resend gets the stored answers again: it is never judged twice.
        """
        for message in parsed.messages:
            used = self.of(message.envelope.test)._use_of(partner, message.number)
            if used and used.digest == parsed.received.digest:
                return used.transmission
        return None

    def taken(self, partner: str | None, number: str | None, digest: str) -> bool:
        """Tell whether a sender's reference, in its number space, is used up by other bytes that were accepted."""
        used = self._use_of(partner, number)
        return used is not None and used.accepted and used.digest != digest

    def _use_of(self, partner: str | None, number: str | None) -> Reference | None:
        return self.references.get((partner or "", number)) if number else None

    # ------------------------------------------------------------------------------------ what changes it

    def with_effect(self, effect: VersionFact) -> Register:
        """Return the register after an accepted message; a withdrawal of a version on file makes no other version."""
        return self._with(effect.test, self.of(effect.test)._with_effect(effect))

    def _with(self, test: bool, world: Register) -> Register:
        """Return the register with what is on file of test messages, or of the others, as it is now."""
        return self.beside(world) if test else world

    def _with_effect(self, effect: VersionFact) -> Register:
        """Return one world's register after an accepted message."""
        number = effect.declaration.transaction_number
        if number is None:
            return self
        before = self.attempts(number)
        if before and before[-1].attempt >= effect.attempt:
            after = tuple(replace(e, withdrawal=True) if e.attempt == effect.attempt else e for e in before)
        else:
            after = (*before, effect)
            history = () if effect.nature is Nature.ORIGINAL else self.history(number)
            self._found[number] = after, (*history, effect)
        return replace(self, versions={**self.versions, number: after})

    def with_version(self, fact: VersionFact) -> Register:
        """Return the register with a version of a declaration in place of the same attempt, or as the latest."""
        number = fact.declaration.transaction_number or ""
        world = self.of(fact.test)
        others = [each for each in world.attempts(number) if each.attempt != fact.attempt]
        ordered = tuple(sorted((*others, fact), key=lambda each: each.attempt))
        return self._with(fact.test, replace(world, versions={**world.versions, number: ordered}))

    def after(self, outcome: Outcome) -> Register:
        """Return the register after a transmission: its versions, its references, its requests to the engine."""
        register = self
        for test in (False, True):
            if mine := [judged for judged in outcome.judged if judged.message.envelope.test is test]:
                register = register._with(test, register.of(test)._after(outcome, mine))
        return register

    def _after(self, outcome: Outcome, mine: Sequence[Judged]) -> Register:
        """Return one world's register after the messages of a transmission that belong to it."""
        register = self
        requests = dict(self.requests)
        asked = {item.ordinal: item.id for item in outcome.outgoing if item.kind == "request"}
        for judged in mine:
            number = judged.effect.declaration.transaction_number if judged.effect else None
            if judged.effect and number:
                register = register._with_effect(judged.effect)
                if id_ := asked.get(judged.message.ordinal):
                    requests[id_] = Request(number, judged.effect.attempt, judged.effect.nature, ACCEPTED)
        return replace(register, references=self._references_after(outcome.received, mine), requests=requests)

    def _references_after(self, received: Received, mine: Sequence[Judged]) -> dict[tuple[str, str], Reference]:
        """Return the references after a transmission; what refused messages used passes on to who comes after them."""
        accepted = any(judged.verdict is Verdict.ACCEPTED for judged in mine)
        references = dict(self.references)
        for judged in mine:
            number = judged.message.number
            if not number or judged.acknowledges:
                continue  # a CONTRL may be repeated: it uses up nothing
            used = references.get((received.partner or "", number))
            if used is None or not used.accepted:
                references[received.partner or "", number] = Reference(received.digest, received.id, accepted)
        return references

    def settled(self, request_id: str, status: str, payment_due: date | None = None) -> Register:
        """Return the register after the engine's word on a request (assessed, pending, refused or withdrawn).

        A request is settled once, a pending one again; what repeats a result, or answers no request, changes nothing. A
        withdrawal that is not granted leaves its version as it was, and no later result brings a withdrawn one back.
        """
        if self.tests and request_id in self.tests.requests:
            return replace(self, tests=self.tests.settled(request_id, status, payment_due))
        request = self.requests.get(request_id)
        if request is None or not may_settle(request.status, status):
            return self
        requests = {**self.requests, request_id: request._replace(status=status)}
        waiting = any(
            each.nature is Nature.WITHDRAWAL
            and each[:2] == (request.transaction_number, request.attempt)
            and each.status in UNDECIDED
            for each in requests.values()
        )
        versions = tuple(
            replace(settled_version(each, request.nature, status, payment_due), withdrawal=waiting)
            if each.attempt == request.attempt
            else each
            for each in self.attempts(request.transaction_number)
        )
        number = request.transaction_number
        return replace(self, versions={**self.versions, number: versions}, requests=requests)

    def without(self, number: str | None) -> Register:
        """Return the register as if nothing had ever been accepted under a transaction number, in either world."""
        tests = self.tests.without(number) if self.tests else None
        left = {name: facts for name, facts in self.versions.items() if name != number}
        return replace(self, versions=left, tests=tests)


def importers_of(fact: VersionFact) -> tuple[str, ...]:
    """Return the importers whose a version on file is; a change of importer concerns both until the engine decides."""
    named = fact.declaration.importers
    return named if fact.status in UNDECIDED else named[-1:]


def may_settle(status: str, wanted: str) -> bool:
    """Tell whether a result still changes a request: the first does, and the one that ends a review."""
    return status == ACCEPTED or (status == PENDING and wanted != PENDING)


def status_after(nature: Nature, outcome: str) -> str:
    """Return the status of a request once the engine has spoken (approved, pending or refused)."""
    approved = WITHDRAWN if nature is Nature.WITHDRAWAL else ASSESSED
    return {"approved": approved, "pending": PENDING, "refused": REFUSED}[outcome]


def reaches(request: Nature, wanted: str, version: Nature, status: str) -> bool:
    """Tell whether what becomes of a request also becomes of the version of this nature and status that it is about.

    A withdrawal that is not granted leaves its version as it was, but for one of what is not on file, which stands in
    its stead and is refused itself. Nothing brings a withdrawn version back.
    """
    in_its_stead = version is Nature.WITHDRAWAL and wanted == REFUSED
    granted = request is not Nature.WITHDRAWAL or wanted == WITHDRAWN or in_its_stead
    return granted and status != WITHDRAWN


def settled_version(fact: VersionFact, request: Nature, wanted: str, due: date | None) -> VersionFact:
    """Return what a settled request of this nature makes of the version that it is about."""
    if not reaches(request, wanted, fact.nature, fact.status):
        return fact
    return replace(fact, status=wanted, payment_due=due or fact.payment_due)


# ------------------------------------------------------------------------------------------------ judging by it


@dataclass(frozen=True, slots=True)
class Facts:
    """All that judging needs from outside the bytes.

    `partner` is who the transport says it is, None if unknown; `register` what is on file of the transaction numbers
    and references in the transmission. `unproven` is the finding's code when the transport does not prove that
    `partner`, whose queue it came in by, is the sender.
    """

    partner: Partner | None
    register: Register = field(default_factory=Register)
    unproven: str | None = None


def consignment_of(declaration: Declaration, received: date, choice: str | None = None) -> Consignment:
    """Return what the calendar needs to know of a declaration; the day of receipt stands for one it does not name."""
    accounted = declaration.day("accounting_date") or received
    released, value = declaration.day("release_date"), _worth(declaration)
    return Consignment(declaration.text("cad_type"), released, accounted, choice, value)


def _worth(declaration: Declaration) -> Decimal | None:
    """Return what the goods are worth in Canadian dollars; None if a line is in another currency, or says nothing."""
    total = Decimal(0)
    for _, _, line in declaration.lines():
        amount = line.amount("value_for_currency_conversion")
        if amount is None or line.text("currency") != "CAD":
            return None
        total += amount
    return total


def due_day(
    history: tuple[VersionFact, ...],
    declaration: Declaration,
    now: datetime,
    calendar: Calendar,
    choice: str | None = None,
) -> date:
    """Return the payment due date of a declaration: that on file, which is the engine's where it gave one.

    Where none is on file yet, the calendar's for the first version. `choice` is how its importer accounts.
    """
    known = next((version.payment_due for version in history if version.payment_due), None)
    if known:
        return known
    first = history[0].declaration if history else declaration
    received = eastern_day(history[0].accepted_at if history else now)
    return payment_due(consignment_of(first, received, choice), calendar)


def nature_of(
    type_: MessageType,
    history: tuple[VersionFact, ...],
    declaration: Declaration,
    now: datetime,
    calendar: Calendar,
    choice: str | None = None,
) -> Nature:
    """Return what an accepted message is in law; the payment due date decides, not the sender.

    A change until 23:59 Eastern Time on the due date of the original is a correction, later an adjustment; a change to
    a declaration from before CARM, of which no version is known, is an adjustment. `choice` is how the importer
    accounts.
    """
    if len(natures := NATURES.get(type_, (Nature.ORIGINAL,))) == 1:
        return natures[0]
    if history and is_correction(now, due_day(history, declaration, now, calendar, choice)):
        return Nature.CORRECTION
    return Nature.ADJUSTMENT


def effect_of(
    type_: MessageType,
    declaration: Declaration,
    partner: str,
    register: Register,
    now: datetime,
    calendar: Calendar,
    choice: str | None = None,
    *,
    test: bool = False,
) -> VersionFact:
    """Return what an accepted message makes of its declaration: the version that is on file after it.

    `choice` is how its importer accounts (`Partner.choices`), None where it is not known.
    """
    register = register.of(test)
    number = declaration.transaction_number
    history, attempts = register.history(number), register.attempts(number)
    nature = nature_of(type_, history, declaration, now, calendar, choice)
    withdrawn = history[-1] if nature is Nature.WITHDRAWAL and history else None
    return VersionFact(
        version=withdrawn.version if withdrawn else int(declaration.version or "1"),
        partner=partner,
        nature=nature,
        status=ACCEPTED,
        declaration=declaration,
        accepted_at=now,
        payment_due=due_day(() if nature is Nature.ORIGINAL else history, declaration, now, calendar, choice),
        withdrawal=nature is Nature.WITHDRAWAL,
        attempt=withdrawn.attempt if withdrawn else (attempts[-1].attempt if attempts else 0) + 1,
        test=test,
    )
