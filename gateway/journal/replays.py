"""What was recorded, as it was judged then, and the executions that operators ran on it since."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, func, insert, select, update

from core.declaration import Nature, VersionFact
from core.errors import GatewayError
from core.findings import Bilingual
from core.register import ACCEPTED, Reference, Register, Request
from core.transmission import Judged, Outgoing, Verdict
from gateway.journal.codec import dump, encode_findings
from gateway.journal.database import among
from gateway.journal.evidence import chain
from gateway.journal.inbox import STATE, TRANSMISSIONS
from gateway.journal.outbox import keep, send
from gateway.journal.rows import (
    AnyRow,
    fact_of,
    judged_detail,
    key_of,
    outgoing_row,
    sent_detail,
    storable,
    unproven_of,
)
from gateway.journal.tables import (
    assessment_request,
    audit,
    declaration_version,
    execution,
    execution_answer,
    handled,
    inbox,
    interchange_reference,
    message,
)
from gateway.journal.values import Execution, Recorded, Selection, Told
from gateway.journal.verdicts import THESE_REFERENCES, WITHDRAWAL_ASKED

# Transmissions that one statement names.
PAGE = 5_000

RECORDED = select(inbox, STATE, handled.c.note).select_from(TRANSMISSIONS).where(among(inbox.c.sequence, "wanted"))

TOLD = select(message).where(among(message.c.inbox, "wanted")).order_by(message.c.inbox, message.c.ordinal)

# When a version was judged, not received: what was released from parking came late.
VERSIONS_WITH_TIME = (
    select(declaration_version, message.c.created_at.label("judged_at"), WITHDRAWAL_ASKED)
    .join(
        message,
        and_(message.c.inbox == declaration_version.c.inbox, message.c.ordinal == declaration_version.c.ordinal),
    )
    .where(among(declaration_version.c.transaction_number, "numbers"))
    .order_by(declaration_version.c.transaction_number, declaration_version.c.attempt)
)

REQUESTS_WITH_TIME = (
    select(
        *(assessment_request.c[name] for name in ("id", "transaction_number", "test", "attempt", "nature")),
        message.c.created_at.label("asked_at"),
    )
    .join(
        message,
        and_(message.c.inbox == assessment_request.c.inbox, message.c.ordinal == assessment_request.c.ordinal),
    )
    .where(among(assessment_request.c.transaction_number, "numbers"))
)

SETTLEMENTS = (
    select(*(assessment_request.c[name] for name in ("id", "transaction_number", "test")), audit.c.at, audit.c.detail)
    .join(audit, audit.c.subject == assessment_request.c.inbox)
    .where(among(assessment_request.c.transaction_number, "numbers"), audit.c.event == "settled")
    .order_by(audit.c.n)
)

TAKEN = (
    select(
        interchange_reference.c.partner,
        interchange_reference.c.reference,
        interchange_reference.c.test,
        interchange_reference.c.digest,
        interchange_reference.c.inbox,
        inbox.c.id,
        func.min(message.c.created_at, type_=message.c.created_at.type).label("accepted_at"),
    )
    .join(
        message,
        and_(
            message.c.inbox == interchange_reference.c.inbox,
            message.c.test == interchange_reference.c.test,
            message.c.verdict == Verdict.ACCEPTED.value,
        ),
    )
    .join(inbox, inbox.c.sequence == interchange_reference.c.inbox)
    .where(THESE_REFERENCES)
    .group_by(*interchange_reference.c, inbox.c.id)
)


def selected(connection: Connection, wanted: Selection, after: int = 0, limit: int = PAGE) -> list[tuple[int, int]]:
    """Return sequence and size in bytes of the next selected transmissions, in the order of receipt."""
    query = select(inbox.c.sequence, func.length(inbox.c.body)).where(_selects(wanted), inbox.c.sequence > after)
    rows = connection.execute(query.order_by(inbox.c.sequence).limit(limit)).all()
    return [(row[0], row[1]) for row in rows]


def count_selected(connection: Connection, wanted: Selection) -> int:
    """Return how many transmissions are selected."""
    return connection.scalar(select(func.count()).select_from(inbox).where(_selects(wanted))) or 0


def _selects(wanted: Selection) -> ColumnElement[bool]:
    """Return the condition on the inbox that a selection is."""
    conditions: list[ColumnElement[bool]] = [inbox.c.channel == "partner"]
    if wanted.since:
        conditions.append(inbox.c.received_at >= wanted.since)
    if wanted.until:
        conditions.append(inbox.c.received_at < wanted.until)
    if wanted.partner:
        conditions.append(inbox.c.partner == wanted.partner)
    of_messages: list[ColumnElement[bool]] = []
    if wanted.verdict:
        of_messages.append(message.c.verdict == wanted.verdict)
    if wanted.transaction_number:
        of_messages.append(message.c.transaction_number == wanted.transaction_number)
    if wanted.finding:
        # The findings are canonical JSON: a code stands in them in one form only.
        of_messages.append(message.c.findings.contains(f'"code":{json.dumps(wanted.finding)},', autoescape=True))
    if of_messages:
        conditions.append(exists().where(message.c.inbox == inbox.c.sequence, *of_messages))
    return and_(*conditions)


def sequence_of(connection: Connection, id_: str) -> int | None:
    """Return the sequence of a transmission by its id or the beginning of it; None if there is none.

    Raises GatewayError when several ids begin so.
    """
    wanted = storable(id_)
    query = select(inbox.c.sequence, inbox.c.id).where(inbox.c.id.between(wanted, wanted + "g")).limit(2)
    rows = connection.execute(query).all()
    if len(rows) > 1 and rows[0].id != id_:
        raise GatewayError(f"several transmissions have an id that begins with {id_}")
    return rows[0].sequence if rows else None


def recorded(connection: Connection, sequences: Sequence[int]) -> list[Recorded]:
    """Return these transmissions with what was made of them, in the order of receipt."""
    told: dict[int, list[Told]] = defaultdict(list)
    judged: dict[int, tuple[datetime, str]] = {}
    rows = connection.execute(RECORDED.order_by(inbox.c.sequence), {"wanted": list(sequences)}).all()
    for row in connection.execute(TOLD, {"wanted": list(sequences)}):
        codes = tuple(finding["code"] for finding in json.loads(row.findings))
        judged[row.inbox] = row.created_at, row.specs
        verdict = Verdict(row.verdict).value
        told[row.inbox].append(Told(int(row.ordinal), row.type, verdict, codes, row.transaction_number, row.reference))
    return [
        Recorded(
            sequence=row.sequence,
            id=row.id,
            partner=row.partner or None,
            received_at=row.received_at,
            body=row.body,
            digest=row.digest,
            headers=json.loads(row.headers),
            channel=row.channel,
            state=row.state,
            note=row.note,
            judged_at=judged.get(row.sequence, (None, None))[0],
            specs=judged.get(row.sequence, (None, None))[1],
            messages=tuple(told[row.sequence]),
            unproven=unproven_of(row),
        )
        for row in rows
    ]


def facts_then(
    connection: Connection, asked: Sequence[tuple[Recorded, Iterable[str], Iterable[str]]]
) -> list[Register]:
    """Return, for transmissions with the numbers and references in them, what was on file when they were judged.

    Versions that were accepted before, each with the status that it had then (from the audit chain's settlements);
    the payment due date is the one on file. Of the references only those that were taken by other bytes. For what
    was never judged it is what is on file now.
    """
    wanted = [{key_of(number): number for number in numbers} for _, numbers, _ in asked]
    given = [
        {(key_of(row.partner or ""), key_of(name)): (row.partner or "", name) for name in references}
        for row, _, references in asked
    ]
    moments: dict[str, list[datetime]] = defaultdict(list)
    for (row, _, _), keys in zip(asked, wanted, strict=True):
        for key in keys:
            moments[key] += [row.judged_at] if row.judged_at else []
    lives = _lives(connection, moments)
    pairs = sorted({key for each in given for key in each})
    taken = {(row.partner, row.reference, row.test): row for row in connection.execute(TAKEN, {"keys": pairs})}
    registers = []
    for (asking, _, _), ours, theirs in zip(asked, wanted, given, strict=True):
        production, tests = (
            Register(
                {number: facts for key, number in ours.items() if (facts := _versions(lives, key, test, asking))},
                {
                    whose: Reference(one.digest, one.id, True)
                    for key, whose in theirs.items()
                    if (one := taken.get((*key, test))) and _taken_from(one, asking)
                },
            )
            for test in (False, True)
        )
        registers.append(production.beside(tests))
    return registers


def _versions(
    lives: Mapping[tuple[str, bool], _Life], number: str, test: bool, asking: Recorded
) -> tuple[VersionFact, ...]:
    """Return the versions of a declaration that were on file when a transmission was judged."""
    return lives[number, test].at(asking.judged_at) if (number, test) in lives else ()


def _taken_from(row: AnyRow, asking: Recorded) -> bool:
    """Tell whether a reference was another transmission's, with other bytes, when this one was judged."""
    other = row.inbox != asking.sequence and row.digest != asking.digest
    return other and _before(row.accepted_at, asking.judged_at)


def _before(moment: datetime | None, judged_at: datetime | None) -> bool:
    """Tell whether something had happened when a transmission was judged; what is not judged yet sees everything."""
    return moment is not None and (judged_at is None or moment < judged_at)


@dataclass(frozen=True, slots=True)
class _Life:
    """What happened under one transaction number: its versions, the requests about them, the engine's word on these."""

    number: str
    versions: list[AnyRow] = field(default_factory=list)
    requests: list[tuple[datetime, str, Request]] = field(default_factory=list)
    settled: list[tuple[datetime, str, str]] = field(default_factory=list)

    def at(self, moment: datetime | None) -> tuple[VersionFact, ...]:
        """Return the versions that were on file at a moment, as they were then; None is now."""
        if moment is None:
            return tuple(map(fact_of, self.versions))
        requests = {id_: request for asked_at, id_, request in self.requests if asked_at < moment}
        asked_for = {request.attempt for request in requests.values() if request.nature is Nature.WITHDRAWAL}
        facts = tuple(
            replace(fact_of(row), status=ACCEPTED, withdrawal=row.attempt in asked_for)
            for row in self.versions
            if row.judged_at < moment
        )
        register = Register({self.number: facts}, requests=requests)
        for at, id_, status in self.settled:
            if at < moment:
                register = register.settled(id_, status)
        return register.attempts(self.number)


def _lives(connection: Connection, moments: Mapping[str, Sequence[datetime]]) -> dict[tuple[str, bool], _Life]:
    """Return what happened under transaction numbers, of each of which these moments are asked for, in both worlds."""
    lives: dict[tuple[str, bool], _Life] = {}
    for row in connection.execute(VERSIONS_WITH_TIME, {"numbers": sorted(moments)}):
        key = row.transaction_number, row.test
        lives.setdefault(key, _Life(row.transaction_number)).versions.append(row)
    # Only what had a history then needs to know what became of it when.
    changed = {
        number
        for (number, _), life in lives.items()
        if any(row.judged_at < max(moments[number], default=row.judged_at) for row in life.versions)
    }
    if not changed:
        return lives
    for row in connection.execute(REQUESTS_WITH_TIME, {"numbers": sorted(changed)}):
        request = Request(row.transaction_number, row.attempt, Nature(row.nature), ACCEPTED)
        if life := lives.get((row.transaction_number, row.test)):
            life.requests.append((row.asked_at, row.id, request))
    for row in connection.execute(SETTLEMENTS, {"numbers": sorted(changed)}):
        detail = json.loads(row.detail)
        life = lives.get((row.transaction_number, row.test))
        if life and row.id == detail["request"]:
            life.settled.append((datetime.fromisoformat(row.at), row.id, detail["status"]))
    return lives


def keep_execution(connection: Connection, done: Execution, now: datetime) -> str:
    """Write a replay with its answers, which are not sent, and return its id."""
    outcome = done.outcome
    received = outcome.received
    answers = [item for item in outcome.outgoing if item.kind != "request"]
    messages = [_replayed(judged) for judged in outcome.judged]
    detail = {
        "execution": received.id,
        "source": storable(done.source),
        "digest": received.digest,
        "operator": storable(done.operator),
        "agrees": done.agrees,
        **judged_detail(outcome, done.specs),
        "outgoing": [sent_detail(item) for item in answers],
    }
    if done.inbox is not None and not keep(connection, [done.inbox]):
        raise GatewayError(Bilingual(f"{done.source} was purged meanwhile", f"{done.source} a été purgée entre-temps"))
    number = connection.execute(
        insert(execution).values(
            id=received.id,
            inbox=done.inbox,
            source=storable(done.source),
            digest=received.digest,
            partner=key_of(received.partner or ""),
            operator=storable(done.operator),
            at=now,
            specs=done.specs,
            messages=dump(messages),
        )
    ).inserted_primary_key
    if answers:
        connection.execute(
            insert(execution_answer),
            [
                {
                    "id": item.id,
                    "execution": number[0] if number else 0,
                    "ordinal": item.ordinal,
                    "kind": item.kind,
                    "destination": item.destination,
                    "content_type": item.content_type,
                    "body": item.body,
                }
                for item in answers
            ],
        )
    chain(connection, [(now, "replayed", done.inbox, detail)])
    return received.id


def _replayed(judged: Judged) -> dict[str, object]:
    """Return what is kept of one message of a replay."""
    declaration = judged.message.declaration
    return {
        "ordinal": judged.message.ordinal,
        "type": judged.message.type.value,
        "transaction_number": declaration.transaction_number if declaration else None,
        "version": declaration.version if declaration else None,
        "verdict": judged.verdict.value,
        "findings": json.loads(encode_findings(judged.findings)),
    }


def send_execution(connection: Connection, id_: str, operator: str, now: datetime) -> int:
    """Put the answers of a replay into the outbox, once; return how many."""
    mine = connection.scalar(select(execution.c.inbox).where(execution.c.id == id_, execution.c.inbox.is_not(None)))
    if mine is None or not keep(connection, [mine]):
        return 0
    sent = update(execution).where(execution.c.id == id_, execution.c.sent_at.is_(None)).values(sent_at=now)
    row = connection.execute(sent.returning(execution.c.number, execution.c.inbox)).one_or_none()
    if row is None:
        return 0
    answers = connection.execute(
        select(execution_answer).where(execution_answer.c.execution == row.number).order_by("ordinal", "kind")
    ).all()
    items = [
        Outgoing(each.id, each.kind, each.destination, each.content_type, each.body, each.ordinal) for each in answers
    ]
    send(connection, [outgoing_row(item, row.inbox, now, item.ordinal) for item in items])
    detail = {"execution": id_, "operator": storable(operator), "outgoing": [sent_detail(item) for item in items]}
    chain(connection, [(now, "replay sent", row.inbox, detail)])
    return len(items)


def execution_of(connection: Connection, id_: str) -> dict[str, Any] | None:
    """Return a replay by its id or the beginning of it, with its `answers`; None if there is none."""
    wanted = storable(id_)
    query = select(execution).where(execution.c.id.between(wanted, wanted + "g"))
    found = executions(connection, query)
    if len(found) > 1:
        raise GatewayError(f"several replays have an id that begins with {id_}")
    return found[0] if found else None


def executions(connection: Connection, query: Any) -> list[dict[str, Any]]:
    """Return replays as dicts with their answers."""
    found = [dict(row) for row in connection.execute(query).mappings()]
    for each in found:
        each["messages"] = json.loads(each["messages"])
        answers = select(execution_answer).where(execution_answer.c.execution == each["number"])
        each["answers"] = [dict(row) for row in connection.execute(answers.order_by("ordinal", "kind")).mappings()]
    return found
