"""What was recorded, as it was judged then, and the executions that operators ran on it since."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, func, insert, select, update

from core.declaration import Nature, VersionFact
from core.errors import GatewayError
from core.register import Reference, Register
from core.transmission import Judged, Outgoing, Verdict
from gateway.journal.codec import dump, encode_findings
from gateway.journal.database import among
from gateway.journal.evidence import chain
from gateway.journal.outbox import send
from gateway.journal.rows import (
    AnyRow,
    fact_of,
    judged_detail,
    key_of,
    outgoing_row,
    sent_detail,
    storable,
)
from gateway.journal.tables import (
    assessment_request,
    audit,
    declaration_version,
    execution,
    execution_answer,
    inbox,
    interchange_reference,
    message,
)
from gateway.journal.values import Execution, Recorded, Selection, Told
from gateway.journal.verdicts import THESE_REFERENCES, WITHDRAWAL_ASKED

# Transmissions that one statement names.
PAGE = 5_000

RECORDED = select(inbox).where(among(inbox.c.sequence, "wanted")).order_by(inbox.c.sequence)

TOLD = select(message).where(among(message.c.inbox, "wanted")).order_by(message.c.inbox, message.c.ordinal)

# When a version was judged, not received: what was released from parking came late.
VERSIONS_WITH_TIME = (
    select(declaration_version, message.c.created_at.label("judged_at"), WITHDRAWAL_ASKED)
    .join(
        message,
        and_(message.c.inbox == declaration_version.c.inbox, message.c.ordinal == declaration_version.c.ordinal),
    )
    .where(among(declaration_version.c.transaction_number, "numbers"))
    .order_by(declaration_version.c.transaction_number, declaration_version.c.version)
)

WITHDRAWALS = (
    select(
        assessment_request.c.id,
        assessment_request.c.transaction_number,
        assessment_request.c.version,
        message.c.created_at.label("asked_at"),
    )
    .join(
        message,
        and_(message.c.inbox == assessment_request.c.inbox, message.c.ordinal == assessment_request.c.ordinal),
    )
    .where(
        among(message.c.transaction_number, "numbers"),
        message.c.nature == Nature.WITHDRAWAL.value,
    )
)

SETTLEMENTS = (
    select(
        assessment_request.c.id.label("request_id"),
        assessment_request.c.transaction_number,
        assessment_request.c.version,
        assessment_request.c.nature,
        audit.c.at,
        audit.c.detail,
    )
    .join(audit, audit.c.subject == assessment_request.c.inbox)
    .where(among(assessment_request.c.transaction_number, "numbers"), audit.c.event == "settled")
    .order_by(audit.c.n)
)

TAKEN = (
    select(
        interchange_reference.c.partner,
        interchange_reference.c.reference,
        interchange_reference.c.digest,
        interchange_reference.c.inbox,
        func.min(message.c.created_at, type_=message.c.created_at.type).label("accepted_at"),
    )
    .join(message, and_(message.c.inbox == interchange_reference.c.inbox, message.c.verdict == Verdict.ACCEPTED.value))
    .where(THESE_REFERENCES)
    .group_by(*interchange_reference.c)
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
    rows = connection.execute(RECORDED, {"wanted": list(sequences)}).all()
    for row in connection.execute(TOLD, {"wanted": list(sequences)}):
        codes = tuple(finding["code"] for finding in json.loads(row.findings))
        judged[row.inbox] = row.created_at, row.specs
        told[row.inbox].append(Told(row.ordinal, row.type, row.verdict, codes, row.transaction_number, row.reference))
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
        )
        for row in rows
    ]


def facts_then(
    connection: Connection, asked: Sequence[tuple[Recorded, Iterable[str], Iterable[str]]]
) -> list[Register]:
    """Return, for transmissions with the numbers and references in them, what was known when they were judged.

    Versions that were accepted before, each with the status that it had then (from the audit chain's settlements);
    the payment due date is the one on file. Of the references only those that were taken by other bytes. For what
    was never judged it is what is known now.
    """
    wanted = [{key_of(number): number for number in numbers} for _, numbers, _ in asked]
    given = [
        {(key_of(row.partner or ""), key_of(reference)): reference for reference in references}
        for row, _, references in asked
    ]
    versions: dict[str, list[AnyRow]] = defaultdict(list)
    settled: dict[tuple[str, int], list[AnyRow]] = defaultdict(list)
    asked_for: dict[tuple[str, int], list[AnyRow]] = defaultdict(list)
    for row in connection.execute(VERSIONS_WITH_TIME, {"numbers": sorted({key for each in wanted for key in each})}):
        versions[row.transaction_number].append(row)
    # Only what had a history then needs to know what became of it when.
    changed = {
        key
        for (row, _, _), each in zip(asked, wanted, strict=True)
        for key in each
        if any(_before(version.judged_at, row.judged_at) for version in versions[key])
    }
    if changed:
        for row in connection.execute(SETTLEMENTS, {"numbers": sorted(changed)}):
            detail = json.loads(row.detail)
            if row.request_id == detail["request"]:
                settled[row.transaction_number, row.version].append(row)
        for row in connection.execute(WITHDRAWALS, {"numbers": sorted(changed)}):
            asked_for[row.transaction_number, row.version].append(row)
    pairs = sorted({key for each in given for key in each})
    taken = {(row.partner, row.reference): row for row in connection.execute(TAKEN, {"keys": pairs})}
    known = []
    for (asking, _, _), ours, theirs in zip(asked, wanted, given, strict=True):
        histories = {}
        for key, number in ours.items():
            seen = [version for version in versions[key] if _before(version.judged_at, asking.judged_at)]
            if seen:
                histories[number] = tuple(_as_of(each, settled, asked_for, asking.judged_at) for each in seen)
        used = {
            (asking.partner or "", reference): Reference(taken[key].digest, "", accepted=True)
            for key, reference in theirs.items()
            if key in taken
            and taken[key].inbox != asking.sequence
            and taken[key].digest != asking.digest
            and _before(taken[key].accepted_at, asking.judged_at)
        }
        known.append(Register(histories, used))
    return known


def _before(moment: datetime | None, judged_at: datetime | None) -> bool:
    """Tell whether something had happened when a transmission was judged; what is not judged yet sees everything."""
    return moment is not None and (judged_at is None or moment < judged_at)


def _as_of(
    version: AnyRow,
    settled: Mapping[tuple[str, int], Sequence[AnyRow]],
    withdrawals: Mapping[tuple[str, int], Sequence[AnyRow]],
    judged_at: datetime | None,
) -> VersionFact:
    """Return a version with the status that it had when something was judged."""
    fact = fact_of(version)
    if judged_at is None:
        return fact
    status, key = "accepted", (version.transaction_number, version.version)
    waiting = {row.id for row in withdrawals.get(key, ()) if _before(row.asked_at, judged_at)}
    for row in settled.get(key, ()):
        if datetime.fromisoformat(row.at) >= judged_at:
            continue
        became = json.loads(row.detail)["status"]
        granted = row.nature != Nature.WITHDRAWAL.value or became == "withdrawn"
        if granted and status != "withdrawn":
            status = became
        if became != "pending":
            waiting.discard(row.request_id)
    return replace(fact, status=status, withdrawal=bool(waiting))


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
    sent = (
        update(execution)
        .where(execution.c.id == id_, execution.c.inbox.is_not(None), execution.c.sent_at.is_(None))
        .values(sent_at=now)
    )
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
