"""What operators look at and decide: lists, lives of messages, figures of health, what is parked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Table,
    and_,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    union_all,
    update,
)

from core import limits
from core.errors import GatewayError
from core.transmission import Outcome
from gateway.journal.database import among, insert_rows
from gateway.journal.desk import unsettled
from gateway.journal.evidence import chain
from gateway.journal.inbox import STATE, TRANSMISSIONS, work_row
from gateway.journal.outbox import HOW_IT_STANDS, OUTGOING, send
from gateway.journal.replays import executions
from gateway.journal.rows import found_by, judged_detail, key_of, message_row, outgoing_row, storable
from gateway.journal.tables import (
    PARKED,
    UNACKNOWLEDGED,
    WAITS,
    assessment_request,
    audit,
    declaration_version,
    destination,
    due,
    execution,
    handled,
    inbox,
    message,
    message_term,
    outbox,
    resent,
    sent,
    work,
)
from gateway.journal.values import Recorded
from gateway.journal.witness import altered_of


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages to list; None filters nothing.

    `reference` is the interchange's or the message's own; `finding` a code or its beginning; `until` is not included.
    `search` is what people have in hand: a transaction number, a reference, an importer, an id or its beginning.
    """

    partner: str | None = None
    transaction_number: str | None = None
    verdict: str | None = None
    state: str | None = None
    channel: str | None = None
    sender: str | None = None
    reference: str | None = None
    importer: str | None = None
    finding: str | None = None
    search: str | None = None
    since: datetime | None = None
    until: datetime | None = None


ORDERED_BY: Mapping[str, Table] = {"received": work, "working": work, "parked": handled}

# What is told of a life beside how it stands.
LIFE = [
    func.coalesce(work.c.attempts, handled.c.attempts).label("attempts"),
    func.coalesce(work.c.worker, handled.c.worker).label("worker"),
    work.c.lease_until,
    handled.c.finished_at,
    handled.c.note,
]


def list_messages(
    connection: Connection, /, *, limit: int = 50, after: tuple[int, int] | None = None, **filters: Any
) -> list[dict[str, Any]]:
    """Return transmissions and the messages in them, newest first, one dict each; `filters` are those of `Wanted`.

    `after` is `sequence` and `ordinal` (0 where it is None) of the last one of the page before.
    """
    shown = [inbox.c[name] for name in ("sequence", "id", "channel", "partner", "received_at", "lane")]
    judged = [
        message.c[name]
        for name in (
            "ordinal", "syntax", "type", "sender", "reference", "transaction_number", "version", "verdict",
            "findings", "nature", "test",
        )
    ]  # fmt: skip
    query = select(*shown, STATE, handled.c.note, *judged).select_from(TRANSMISSIONS)
    query = query.outerjoin(message, message.c.inbox == inbox.c.sequence)
    wanted, given = Wanted(**filters), dict[str, list[int]]()
    conditions = [
        *_plain(wanted),
        *_looked_up(connection, wanted, given, limit, after[0] if after else 2**62),
        *_during(connection, wanted),
    ]
    # The one whose index is in the order wanted, and the shortest.
    number = message.c.inbox if wanted.verdict else ORDERED_BY.get(wanted.state or "", inbox).c.sequence
    if after is not None:
        sequence, ordinal = after
        rest = and_(number == sequence, message.c.ordinal > ordinal)
        conditions += [number <= sequence, or_(number < sequence, rest)]
    ordered = query.where(*conditions).order_by(number.desc(), message.c.ordinal).limit(limit)
    rows = connection.execute(ordered, given).mappings()
    return [{**row, "findings": json.loads(row["findings"] or "[]")} for row in rows]


def _plain(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions on columns."""
    filters = {
        inbox.c.partner: wanted.partner,
        message.c.transaction_number: wanted.transaction_number,
        inbox.c.channel: wanted.channel,
        message.c.sender: wanted.sender,
    }
    yield from (column == value for column, value in filters.items() if value is not None)
    # Literals, so that the planner sees that a partial index is meant.
    if wanted.verdict is not None:
        yield message.c.verdict == literal(wanted.verdict, literal_execute=True)
    if wanted.state is not None:
        open_ = {"received": work.c.worker.is_(None), "working": work.c.worker.is_not(None)}
        if wanted.state in open_:
            yield and_(work.c.sequence.is_not(None), open_[wanted.state])
        else:
            yield handled.c.state == literal(wanted.state, literal_execute=True)


def _looked_up(
    connection: Connection, wanted: Wanted, given: dict[str, list[int]], limit: int, newest: int
) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions on what messages are looked up by; `given` takes the transmissions of each.

    They are found first, each by its own index: in one statement PostgreSQL goes through all of the archive.
    """
    terms: dict[str, ColumnElement[bool]] = {}
    if wanted.reference is not None:
        terms["references"] = message_term.c.term == f"reference:{key_of(wanted.reference)}"
    if wanted.importer is not None:
        terms["importers"] = _of_importer(wanted.importer)
    if wanted.finding is not None:
        first = f"finding:{storable(wanted.finding.upper())}"
        terms["findings"] = and_(message_term.c.term >= first, message_term.c.term < first + "~")
    alone = len([each for each in astuple(replace(wanted, channel=None)) if each is not None]) == 1
    for name, term in terms.items():
        found = select(message_term.c.inbox).where(term).distinct()
        if alone:  # a page of the list is of so many transmissions at most
            found = found.where(message_term.c.inbox <= newest).order_by(message_term.c.inbox.desc()).limit(limit)
        given[name] = list(connection.scalars(found))
        yield among(inbox.c.sequence, name)
        mine = message_term.c.inbox == message.c.inbox, message_term.c.ordinal == message.c.ordinal
        yield exists().where(term, *mine)
    if wanted.search is not None:
        key, id_ = key_of(wanted.search), storable(wanted.search.lower())
        named = [f"reference:{key}"]
        having = union_all(
            select(message.c.inbox).where(message.c.transaction_number == key),
            select(message_term.c.inbox).where(among(message_term.c.term, "named")),
            select(message_term.c.inbox).where(_of_importer(wanted.search)),
            select(inbox.c.sequence).where(inbox.c.id.between(id_, id_ + "g")),
        )
        given["searched"] = sorted(set(connection.scalars(having, {"named": named})))
        yield among(inbox.c.sequence, "searched")


def _of_importer(number: str) -> ColumnElement[bool]:
    """Return the condition on a term that it is an importer's account, or, by nine digits, any account of it."""
    term = f"importer:{key_of(number.upper())}"
    if re.fullmatch(r"[0-9]{9}", number):
        return and_(message_term.c.term >= term, message_term.c.term < term + "~")
    return message_term.c.term == term


def _during(connection: Connection, wanted: Wanted) -> list[ColumnElement[bool]]:
    """Return the conditions on the time of receipt, and on the numbers that were given out in it.

    The numbers are added to so that no planner looks for the first of them from the first of all.
    """
    during = [inbox.c.received_at >= wanted.since] if wanted.since else []
    during += [inbox.c.received_at < wanted.until] if wanted.until else []
    if not during:
        return []
    first, last = connection.execute(
        select(func.min(inbox.c.sequence + 0), func.max(inbox.c.sequence + 0)).where(*during)
    ).one()
    return [inbox.c.sequence.between(first or 0, last or -1), *during]


def newest(connection: Connection) -> int:
    """Return the number of the newest transmission, 0 where there is none."""
    return connection.scalar(select(func.max(inbox.c.sequence))) or 0


def unacknowledged(
    connection: Connection, now: datetime, partner: str | None = None, limit: int = 50
) -> list[dict[str, Any]]:
    """Return the answers that their partner rejected, or was to acknowledge and did not in time, the oldest first.

    Keys: `id`, `transmission` (that it answers), `partner`, `kind`, `destination`, `sent_at`, `acknowledgement`
    (awaited, or 4 for rejected), `acknowledged_at`.
    """
    overdue = now - timedelta(hours=limits.ACKNOWLEDGEMENT_HOURS)
    shown = [outbox.c[name] for name in ("id", "kind", "destination", "acknowledgement", "acknowledged_at")]
    query = (
        select(*shown, sent.c.sent_at, inbox.c.id.label("transmission"), inbox.c.partner)
        .select_from(OUTGOING)
        .join(inbox, inbox.c.sequence == outbox.c.inbox)
        .where(UNACKNOWLEDGED, or_(outbox.c.acknowledgement == "4", sent.c.sent_at < overdue))
    )
    if partner is not None:
        query = query.where(inbox.c.partner == partner)
    rows = connection.execute(query.order_by(sent.c.sent_at, outbox.c.position).limit(limit)).mappings()
    return [dict(row) for row in rows]


def show(connection: Connection, wanted: str) -> dict[str, Any] | None:
    """Return the whole life of a transmission, by its id or the beginning of it; None if there is none.

    Keys: those of the inbox, `intact` (the bytes still have their digest), `messages`, `declarations`, `requests`,
    `outbox`, `audit`, `executions` (replays). Raises GatewayError when several ids begin so.
    """
    found = connection.execute(
        select(inbox, STATE, *LIFE)
        .select_from(TRANSMISSIONS)
        .where(inbox.c.id.between(storable(wanted), storable(wanted) + "g"))
        .limit(2)
    ).mappings()
    rows = [dict(row) for row in found]
    if len(rows) > 1 and rows[0]["id"] != wanted:
        raise GatewayError(f"several transmissions have an id that begins with {wanted}")
    if not rows:
        return None
    life = rows[0]
    life["headers"] = json.loads(life["headers"])
    life["unproven"] = json.loads(life["unproven"]) if life["unproven"] else None
    life["altered"] = altered_of(connection, life["sequence"])
    life["intact"] = life["altered"] is None
    parts = {
        "messages": select(message).where(message.c.inbox == life["sequence"]).order_by(message.c.ordinal),
        "declarations": select(declaration_version)
        .where(declaration_version.c.inbox == life["sequence"])
        .order_by(declaration_version.c.ordinal),
        "requests": select(assessment_request)
        .where(assessment_request.c.inbox == life["sequence"])
        .order_by(assessment_request.c.ordinal),
        "outbox": select(outbox, *HOW_IT_STANDS.values())
        .select_from(OUTGOING)
        .where(outbox.c.inbox == life["sequence"])
        .order_by(outbox.c.position),
        "audit": select(audit).where(audit.c.n.in_(_links_of(life["sequence"]))).order_by(audit.c.n),
    }
    for name, query in parts.items():
        life[name] = [dict(row) for row in connection.execute(query).mappings()]
    replays = select(execution).where(execution.c.inbox == life["sequence"]).order_by(execution.c.number)
    life["executions"] = executions(connection, replays)
    for part in ("messages", "declarations", "audit"):
        for row in life[part]:
            row.update({name: json.loads(row[name]) for name in ("envelope", "findings", "detail") if name in row})
    ours = {row["id"] for row in life["outbox"]}
    for row in life["audit"]:
        if row["event"] == "sent" and "sent" in row["detail"]:  # of all that was sent together, this transmission's
            row["detail"]["sent"] = [[id_, queue] for id_, queue in row["detail"]["sent"] if id_ in ours]
    return life


def _links_of(sequence: int) -> CompoundSelect[tuple[int]]:
    """Select the numbers of the audit links about a transmission, those that witness what was sent included."""
    links = (
        select(each.c.link).join(outbox, outbox.c.position == each.c.position).where(outbox.c.inbox == sequence)
        for each in (sent, resent)
    )
    return union_all(select(audit.c.n).where(audit.c.subject == sequence), *links)


def counts(connection: Connection, now: datetime) -> dict[str, Any]:
    """Return the figures of health: what waits, since when, and what stands still; ages in seconds."""
    unfinished, working, oldest = connection.execute(
        select(
            func.count(), func.count(work.c.worker), func.min(work.c.received_at, type_=work.c.received_at.type)
        ).select_from(work)
    ).one()
    waiting, refused, since = connection.execute(
        select(
            func.count().filter(WAITS),
            func.count(due.c.parked_at),
            func.min(due.c.created_at, type_=due.c.created_at.type).filter(WAITS),
        ).select_from(due)
    ).one()
    parked = connection.scalar(select(func.count()).where(PARKED))
    overdue = now - timedelta(hours=limits.ACKNOWLEDGEMENT_HOURS)
    silent, rejected = connection.execute(
        select(
            func.count().filter(outbox.c.acknowledgement == "awaited", sent.c.sent_at < overdue),
            func.count().filter(outbox.c.acknowledgement == "4"),
        )
        .select_from(OUTGOING)
        .where(UNACKNOWLEDGED)
    ).one()
    resting = connection.execute(
        select(func.count(), func.count(destination.c.parked_at)).where(destination.c.failures > 0)
    ).one()
    return {
        "received": unfinished - working,
        "working": working,
        "parked": parked,
        "answers_unacknowledged": silent,
        "answers_rejected": rejected,
        "oldest_seconds": (now - oldest).total_seconds() if oldest else 0.0,
        "outbox": waiting,
        "outbox_parked": refused,
        "outbox_oldest_seconds": (now - since).total_seconds() if since else 0.0,
        "destinations_paused": resting[0] - resting[1],
        "destinations_parked": resting[1],
        **unsettled(connection, now),
    }


def release_parked(connection: Connection, sequence: int, operator: str, now: datetime) -> bool:
    """Give a parked transmission to the workers again, its attempts forgotten; False if it is not parked."""
    if not connection.execute(delete(handled).where(handled.c.sequence == sequence, PARKED)).rowcount:
        return False
    row = connection.execute(select(inbox).where(inbox.c.sequence == sequence)).mappings().one()
    insert_rows(connection, work, [work_row(dict(row))])
    chain(connection, [(now, "released", sequence, {"operator": storable(operator)})])
    return True


def refuse_parked(
    connection: Connection,
    row: Recorded,
    outcome: Outcome | None,
    *,
    why: str,
    specs: str,
    operator: str,
    now: datetime,
) -> bool:
    """End a parked transmission with an operator's refusal and its answers; False if it is not parked.

    Without an outcome (a result of the engine: nobody to answer) it is only closed.
    """
    closed = {"state": "done", "finished_at": now, "note": storable(f"refused by {operator}: {why}")[:500]}
    parked = update(handled).where(handled.c.sequence == row.sequence, PARKED)
    if not connection.execute(parked.values(**closed)).rowcount:
        return False
    detail: dict[str, object] = {"operator": storable(operator), "why": storable(why)}
    if outcome:
        messages = [message_row(row, judged, specs, now) for judged in outcome.judged]
        insert_rows(connection, message, messages)
        insert_rows(connection, message_term, found_by(row, outcome))
        items = [item for item in outcome.outgoing if item.kind != "request"]
        send(connection, [outgoing_row(item, row.sequence, now, item.ordinal) for item in items])
        detail |= judged_detail(outcome, specs)
    chain(connection, [(now, "refused by operator", row.sequence, detail)])
    return True
