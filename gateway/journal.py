"""The journal: every transmission, verdict, effect and answer in one database; each method is one transaction.

Receive commits before the queue is acknowledged; a claim counts an attempt before the work; finish writes a verdict
with its effects and answers at once; dispatch marks what was confirmed. So every step may be repeated after a crash.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import alembic.command
import alembic.config
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Insert,
    Row,
    and_,
    bindparam,
    create_engine,
    delete,
    event,
    exists,
    func,
    insert,
    make_url,
    or_,
    select,
    text,
    tuple_,
    union,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from gateway import limits
from gateway.audit import GENESIS, AuditReport, Link, link_hash, walk
from gateway.codec import (
    decode_declaration,
    decode_envelope,
    dump,
    encode_declaration,
    encode_envelope,
    encode_findings,
)
from gateway.errors import GatewayError, JournalUnavailable
from gateway.model import (
    Acknowledgement,
    Envelope,
    Judged,
    Nature,
    Outcome,
    Outgoing,
    Received,
    Syntax,
    Verdict,
    VersionFact,
    stable_id,
)
from gateway.tables import (
    UNACKNOWLEDGED,
    assessment_request,
    audit,
    declaration_version,
    destination,
    execution,
    execution_answer,
    inbox,
    interchange_reference,
    message,
    outbox,
)

DEFAULT_URL = "sqlite:///run/gateway.sqlite3"

# The lane of a transmission that holds several declarations: it waits for all before it, all after it wait for it.
EVERY_LANE = "*"

# Seconds that SQLite waits for the writer before us, and PostgreSQL for a lock: longer means something is stuck.
LOCK_SECONDS = 10

# Unfinished transmissions looked at in one go when work is claimed: so many for each one wanted, at most all these.
WINDOW_EACH, WINDOW = 8, 500

# A failing destination rests 1, 2, 4 ... seconds, at most five minutes, and is parked after some four hours.
FIRST_PAUSE, LONGEST_PAUSE, FAILURES = timedelta(seconds=1), timedelta(minutes=5), 55

# Characters of a sender's reference or lane that are kept as they are: an index row has its limit on PostgreSQL.
KEY_CHARACTERS = 200

# PostgreSQL advisory locks: transmissions are numbered in the order of their commits, and so is the audit chain.
RECEIVING, CHAINING, MIGRATING = 7_305_001, 7_305_002, 7_305_003

# Keys that one statement asks for: SQLite takes 32,766 parameters, and a key may have two.
IN_ONE_STATEMENT = 5_000

# How many transmissions one transaction of a purge looks at: short enough that nobody waits for it.
PURGE_PAGE = 500

# What we give an answer's interchange as its control reference: so many characters of the answer's id.
CONTROL_REFERENCE = re.compile("[0-9a-f]{14}")

# What a partner's CONTRL may say of it (0083): rejected, acknowledged, received.
ACTIONS = ("4", "7", "8")

# How the note of a resend begins.
RESEND_OF = "resend of "

T = TypeVar("T", str, tuple[str, str])
AnyRow = Row[*tuple[Any, ...]]

_migrating = threading.Lock()


class Conflict(GatewayError):
    """Another worker took a version or reference first; nothing was written: judge again with fresh facts."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One transmission handed over by a transport, not yet in the journal.

    `uid` is the transport's id, the same at every redelivery; `channel` is partner or assessment; `lane` the
    transaction number, `EVERY_LANE` for several, any unique text for none; `receipt` is sent when it is new.
    """

    uid: str
    channel: str
    partner: str | None
    body: bytes
    headers: Mapping[str, str]
    received_at: datetime
    lane: str
    receipt: Outgoing | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """One transmission leased to a worker; `attempts` counts this one."""

    sequence: int
    id: str
    uid: str
    channel: str
    partner: str | None
    received_at: datetime
    body: bytes
    digest: str
    headers: Mapping[str, str]
    lane: str
    attempts: int
    worker: str

    @property
    def received(self) -> Received:
        """The transmission as the pipeline takes it."""
        return Received(self.id, self.partner, self.body, self.received_at)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a worker got: transmissions to work on, and those whose attempts are used up, which are to be parked."""

    work: tuple[Claimed, ...] = ()
    exhausted: tuple[Claimed, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.work or self.exhausted)


@dataclass(frozen=True, slots=True)
class Known:
    """What the journal knows for judging, as model.Facts wants it.

    `first` gives the inbox id of the transmission that a reference belongs to, `free` the references under which
    nothing was accepted: they belong to the last transmission that carried them, until one of another's is accepted.
    """

    histories: Mapping[str, tuple[VersionFact, ...]] = field(default_factory=dict)
    references: Mapping[str, str] = field(default_factory=dict)
    first: Mapping[str, str] = field(default_factory=dict)
    free: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Settlement:
    """The engine's word on one request (assessed, pending, refused, withdrawn), and the answers that tell the sender.

    `payment_due` None leaves the day as it is.
    """

    request_id: str
    status: str
    outgoing: tuple[Outgoing, ...] = ()
    payment_due: date | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """The message behind a request to the engine: the version that it is about, and where the request came from.

    `fact.nature` is what was asked for; a withdrawal's `received` and `ordinal` are the withdrawal's own.
    """

    transaction_number: str
    fact: VersionFact
    received: Received
    ordinal: int
    syntax: Syntax
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of the partners' transmissions to replay; None selects by nothing. `until` is not included.

    `finding` is a code that one of its messages was given.
    """

    since: datetime | None = None
    until: datetime | None = None
    partner: str | None = None
    verdict: str | None = None
    finding: str | None = None
    transaction_number: str | None = None


class Told(NamedTuple):
    """What the journal holds of one judged message: its verdict, and the codes of its findings in order."""

    ordinal: int
    type: str
    verdict: str
    codes: tuple[str, ...]
    transaction_number: str | None
    reference: str | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """One transmission as the journal keeps it, and what was made of it; `judged_at` None: it was given no verdict."""

    sequence: int
    id: str
    partner: str | None
    received_at: datetime
    body: bytes
    digest: str
    headers: Mapping[str, str]
    channel: str
    state: str
    note: str | None
    judged_at: datetime | None
    specs: str | None
    messages: tuple[Told, ...]

    @property
    def received(self) -> Received:
        """The transmission as the pipeline takes it."""
        return Received(self.id, self.partner, self.body, self.received_at)


@dataclass(frozen=True, slots=True)
class Execution:
    """One replay: of what (an inbox sequence, or None for a file), by whom, by which specification, with which result.

    The outcome's id is the execution's own, so its answers have ids of their own.
    """

    inbox: int | None
    source: str
    operator: str
    specs: str
    outcome: Outcome
    agrees: bool


@dataclass(frozen=True, slots=True)
class Due:
    """One thing to be sent now; `answers` is our id of the transmission that caused it."""

    id: str
    kind: str
    destination: str
    content_type: str
    body: bytes
    created_at: datetime
    attempts: int
    answers: str


@dataclass(frozen=True, slots=True)
class Event:
    """One audit link: number, time, what happened, details; and of its transmission the receipt and the attempts."""

    n: int
    at: datetime
    event: str
    detail: Any
    received_at: datetime | None
    attempts: int | None


# ---------------------------------------------------------------------------------------------------- statements

# Those of the common way, built once: building one costs SQLAlchemy more than running it.

TRANSMISSION, MESSAGE, VERSION = insert(inbox), insert(message), insert(declaration_version)
REQUEST, REFERENCE, LINK = insert(assessment_request), insert(interchange_reference), insert(audit)

LOCK = select(func.pg_advisory_xact_lock(bindparam("key", type_=BigInteger)))
SEEN = select(inbox.c.uid).where(inbox.c.uid.in_(bindparam("uids", expanding=True)))
LAST = select(func.max(inbox.c.sequence))
HEAD = select(audit.c.n, audit.c.hash).order_by(audit.c.n.desc()).limit(1)

UNFINISHED = (
    select(inbox.c.sequence, inbox.c.channel, inbox.c.partner, inbox.c.lane, inbox.c.lease_until, inbox.c.attempts)
    .where(inbox.c.finished_at.is_(None), inbox.c.sequence > bindparam("after"))
    .order_by(inbox.c.sequence)
    .limit(bindparam("size"))
)
STILL_FREE = (
    select(inbox.c.sequence)
    .where(
        inbox.c.sequence.in_(bindparam("chosen", expanding=True)),
        inbox.c.finished_at.is_(None),
        or_(inbox.c.lease_until.is_(None), inbox.c.lease_until <= bindparam("now")),
    )
    .order_by(inbox.c.sequence)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
LEASE = (
    update(inbox)
    .where(inbox.c.sequence.in_(bindparam("mine", expanding=True)))
    .values(state="working", attempts=inbox.c.attempts + 1, worker=bindparam("by"), lease_until=bindparam("until"))
    .returning(*inbox.c)
)
HELD = (
    select(inbox.c.sequence, inbox.c.worker, inbox.c.attempts)
    .where(
        inbox.c.sequence.in_(bindparam("mine", expanding=True)),
        inbox.c.finished_at.is_(None),
        inbox.c.lease_until.is_not(None),
    )
    .order_by(inbox.c.sequence)
    .with_for_update()
)
CLOSE = (
    update(inbox)
    .where(inbox.c.sequence.in_(bindparam("mine", expanding=True)))
    .values(state=bindparam("how"), note=bindparam("why"), finished_at=bindparam("at"), lease_until=None)
)

VERSIONS = (
    select(declaration_version)
    .where(declaration_version.c.transaction_number.in_(bindparam("numbers", expanding=True)))
    .order_by(declaration_version.c.transaction_number, declaration_version.c.version)
)
VERSION_ON_FILE = select(declaration_version.c.version).where(
    declaration_version.c.transaction_number == bindparam("wanted"),
    declaration_version.c.version == bindparam("number"),
)
# SQLite looks a list of pairs up by going through the whole table; with the two plain lists it finds the index.
THESE_REFERENCES = (
    interchange_reference.c.partner.in_(bindparam("owners", expanding=True)),
    interchange_reference.c.reference.in_(bindparam("names", expanding=True)),
    tuple_(interchange_reference.c.partner, interchange_reference.c.reference).in_(bindparam("keys", expanding=True)),
)
USED = (
    select(
        interchange_reference.c.partner,
        interchange_reference.c.reference,
        interchange_reference.c.digest,
        interchange_reference.c.inbox,
        inbox.c.id,
        exists()
        .where(message.c.inbox == interchange_reference.c.inbox, message.c.verdict == Verdict.ACCEPTED.value)
        .label("accepted"),
    )
    .join(inbox, inbox.c.sequence == interchange_reference.c.inbox)
    .where(*THESE_REFERENCES)
)

RECORDED = select(inbox).where(inbox.c.sequence.in_(bindparam("wanted", expanding=True))).order_by(inbox.c.sequence)
TOLD = (
    select(message)
    .where(message.c.inbox.in_(bindparam("wanted", expanding=True)))
    .order_by(message.c.inbox, message.c.ordinal)
)
# When a version was judged, not received: what was released from parking came late.
VERSIONS_WITH_TIME = (
    select(declaration_version, message.c.created_at.label("judged_at"))
    .join(
        message,
        and_(message.c.inbox == declaration_version.c.inbox, message.c.ordinal == declaration_version.c.ordinal),
    )
    .where(declaration_version.c.transaction_number.in_(bindparam("numbers", expanding=True)))
    .order_by(declaration_version.c.transaction_number, declaration_version.c.version)
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
    .where(
        assessment_request.c.transaction_number.in_(bindparam("numbers", expanding=True)), audit.c.event == "settled"
    )
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
    .where(*THESE_REFERENCES)
    .group_by(*interchange_reference.c)
)

# The oldest transmissions; never the newest one, whose number the next counts from.
OLDEST = (
    select(*(inbox.c[name] for name in ("sequence", "channel", "state", "received_at", "finished_at", "note")))
    .where(
        inbox.c.sequence > bindparam("after"), inbox.c.sequence < select(func.max(inbox.c.sequence)).scalar_subquery()
    )
    .order_by(inbox.c.sequence)
    .limit(bindparam("size"))
)
ABOUT = union(
    *(
        select(table.c.inbox, table.c.transaction_number).where(table.c.inbox.in_(bindparam("mine", expanding=True)))
        for table in (declaration_version, assessment_request)
    )
)
LAST_ACCEPTED = (
    select(message.c.transaction_number, func.max(message.c.created_at, type_=message.c.created_at.type).label("last"))
    .where(
        message.c.transaction_number.in_(bindparam("numbers", expanding=True)),
        message.c.verdict == Verdict.ACCEPTED.value,
    )
    .group_by(message.c.transaction_number)
)
UNSENT = select(outbox.c.inbox).where(outbox.c.inbox.in_(bindparam("mine", expanding=True)), outbox.c.sent_at.is_(None))

RESTING = select(destination.c.name).where(
    or_(destination.c.paused_until > bindparam("now"), destination.c.parked_at.is_not(None))
)
NEXT = (
    select(*(outbox.c[name] for name in Due.__dataclass_fields__ if name != "answers"), inbox.c.id.label("answers"))
    .join(inbox, inbox.c.sequence == outbox.c.inbox)
    .where(outbox.c.destination == bindparam("name"), outbox.c.sent_at.is_(None))
    .order_by(outbox.c.position)
    .limit(bindparam("share"))
)
# The destinations that something waits for, those that waited longest first: one step in the index for each of them.
WAITING = text(
    """
    WITH RECURSIVE waiting (name) AS (
        SELECT min(destination) FROM outbox WHERE sent_at IS NULL
        UNION ALL
        SELECT (SELECT min(destination) FROM outbox WHERE sent_at IS NULL AND destination > waiting.name)
        FROM waiting WHERE waiting.name IS NOT NULL
    )
    SELECT name, (SELECT min(position) FROM outbox WHERE sent_at IS NULL AND destination = waiting.name) AS first
    FROM waiting WHERE name IS NOT NULL ORDER BY first
    """
)


# ---------------------------------------------------------------------------------------------------- the journal


def inbox_id(uid: str) -> str:
    """Return the id that a transmission with this transport id has in the journal."""
    return stable_id(_key(uid))


def pause(failures: int, fraction: float) -> timedelta:
    """Return how long a destination rests after its n-th failure in a row: doubling, three quarters to all of it."""
    longest: timedelta = min(FIRST_PAUSE * 2 ** min(failures - 1, 20), LONGEST_PAUSE)
    return longest * (0.75 + 0.25 * fraction)


def ready(rows: Iterable[AnyRow], lanes: dict[tuple[str, str], set[str]], now: datetime) -> list[int]:
    """Return the sequences that may be worked on, of unfinished rows in order; `lanes` remembers what stands before.

    A row waits for every earlier unfinished row of its channel and partner in its lane, and where either is in every
    lane; it is free when nobody holds it or the lease has run out.
    """
    free = []
    for row in rows:
        before = lanes[row.channel, row.partner]
        waits = bool(before) if row.lane == EVERY_LANE else row.lane in before or EVERY_LANE in before
        before.add(row.lane)
        if not waits and (row.lease_until is None or row.lease_until <= now):
            free.append(row.sequence)
    return free


class Journal:
    """The journal on SQLite or PostgreSQL; safe to share between threads, not across a fork."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(gateway_reading=True)
        self._postgresql = engine.dialect.name == "postgresql"
        self._insert = postgresql.insert if self._postgresql else sqlite.insert
        self._outgoing = self._insert(outbox).on_conflict_do_nothing(index_elements=[outbox.c.id])

    # ------------------------------------------------------------------------------------------------ open

    @classmethod
    def open(cls, url: str | None = None) -> Journal:
        """Return the journal at a database URL (default: GATEWAY_DATABASE_URL, else a SQLite file under run/).

        Connects when first used. Raises JournalUnavailable for a URL that is not of SQLite or PostgreSQL.
        """
        return cls(_engine(url or os.environ.get("GATEWAY_DATABASE_URL") or DEFAULT_URL))

    @property
    def url(self) -> str:
        """The database's URL without secrets, for logs."""
        return _masked(self._engine.url)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def check(self) -> None:
        """Raise JournalUnavailable unless the database answers and has its tables."""
        with self._read() as connection:
            connection.execute(select(audit.c.n).limit(1)).all()

    def migrate(self) -> None:
        """Bring the tables to this version's state; safe to repeat and to run in several processes at once."""
        config = alembic.config.Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
        # Alembic keeps its context in module globals: one thread at a time.
        with _migrating, self._write() as connection:
            self._lock(connection, MIGRATING)
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, "head")

    # ------------------------------------------------------------------------------------------------ receive, work

    def receive(self, deliveries: Sequence[Delivery]) -> list[bool]:
        """Write transmissions as they came in, with their receipts; tell which were new (the others: redelivered)."""
        if not deliveries:
            return []
        keys = [_key(delivery.uid) for delivery in deliveries]
        new: list[bool] = []
        with self._write() as connection:
            # Numbered in the order of commits: no worker can see a number while a lower one is still to come.
            self._lock(connection, RECEIVING)
            seen = set(connection.scalars(SEEN, {"uids": keys}))
            last = connection.scalar(LAST) or 0
            rows, receipts, events = [], [], []
            for key, delivery in zip(keys, deliveries, strict=True):
                new.append(key not in seen)
                if key in seen:
                    continue
                seen.add(key)
                last += 1
                digest = hashlib.sha256(delivery.body).hexdigest()
                partner = _key(delivery.partner or "")
                rows.append(
                    {
                        "sequence": last,
                        "id": stable_id(key),
                        "uid": key,
                        "channel": delivery.channel,
                        "partner": partner,
                        "received_at": delivery.received_at,
                        "body": delivery.body,
                        "digest": digest,
                        "headers": dump(dict(delivery.headers)),
                        "lane": _key(delivery.lane),
                        "state": "received",
                        "attempts": 0,
                    }
                )
                if delivery.receipt:
                    receipts.append(_outgoing(delivery.receipt, last, delivery.received_at, None))
                detail = {
                    "id": stable_id(key),
                    "uid": key,
                    "channel": delivery.channel,
                    "partner": partner,
                    "bytes": len(delivery.body),
                    "digest": digest,
                }
                events.append((delivery.received_at, "received", last, detail))
            if rows:
                connection.execute(TRANSMISSION, rows)
                self._send(connection, receipts)
                self._chain(connection, events)
        return new

    def claim(self, worker: str, limit: int, lease_seconds: float, now: datetime) -> Claims:
        """Lease the oldest transmissions that wait for nothing, and count the attempt, before any work on them.

        `worker` must be unique to the running process. What was tried before is claimed alone, so that a message
        that kills its worker does not use up the attempts of others.
        """
        lanes: dict[tuple[str, str], set[str]] = defaultdict(set)
        fresh: list[int] = []
        tried: list[int] = []
        with self._read() as connection:
            after, size = 0, min(WINDOW_EACH * limit, WINDOW)
            while True:
                window = UNFINISHED
                if barred := [sender for sender, before in lanes.items() if EVERY_LANE in before]:
                    window = window.where(tuple_(inbox.c.channel, inbox.c.partner).not_in(barred))
                rows = connection.execute(window, {"after": after, "size": size}).all()
                free = set(ready(rows, lanes, now))
                fresh += [row.sequence for row in rows if row.sequence in free and not row.attempts]
                tried += [row.sequence for row in rows if row.sequence in free and row.attempts]
                if free or len(rows) < size:
                    break
                after, size = rows[-1].sequence, WINDOW
        for chosen, most in ((tried, 1), (fresh, limit)):
            if chosen and (claims := self._lease(chosen, worker, most, lease_seconds, now)):
                return claims
        return Claims()

    def _lease(self, chosen: list[int], worker: str, most: int, lease_seconds: float, now: datetime) -> Claims:
        """Lease up to `most` of the chosen rows that nobody else took meanwhile."""
        with self._write() as connection:
            mine = list(connection.scalars(STILL_FREE, {"chosen": chosen, "now": now, "most": most}))
            if not mine:
                return Claims()
            until = now + timedelta(seconds=lease_seconds)
            rows = connection.execute(LEASE, {"mine": mine, "by": worker, "until": until}).all()
        claimed = [_claimed(row) for row in sorted(rows, key=lambda row: row.sequence)]
        return Claims(
            tuple(row for row in claimed if row.attempts <= limits.ATTEMPTS),
            tuple(row for row in claimed if row.attempts > limits.ATTEMPTS),
        )

    def release(self, rows: Sequence[Claimed]) -> None:
        """Give leased transmissions back untouched: an orderly stop is not an attempt."""
        with self._write() as connection:
            mine = self._held(connection, rows)
            connection.execute(
                update(inbox)
                .where(inbox.c.sequence.in_(mine))
                .values(state="received", attempts=inbox.c.attempts - 1, worker=None, lease_until=None)
            )

    def give_back(self, rows: Sequence[Claimed], until: datetime) -> None:
        """Give leased transmissions back after a failure: the attempt counts, and they rest until that time."""
        with self._write() as connection:
            mine = self._held(connection, rows)
            connection.execute(
                update(inbox).where(inbox.c.sequence.in_(mine)).values(state="received", worker=None, lease_until=until)
            )

    def disown(self, worker: str, now: datetime) -> int:
        """Let others take at once what a dead worker held, given how its name begins; return how many there were.

        What was claimed alone (tried before) is most likely what killed it, and rests until its lease ends.
        """
        with self._write() as connection:
            mine = (
                inbox.c.finished_at.is_(None),
                inbox.c.lease_until > now,
                inbox.c.attempts <= 1,
                inbox.c.worker.startswith(worker, autoescape=True),
            )
            return connection.execute(update(inbox).where(*mine).values(lease_until=now)).rowcount

    def workers(self) -> list[str]:
        """Return the names of those who hold transmissions, whether they still live or not."""
        held = select(inbox.c.worker).where(inbox.c.finished_at.is_(None), inbox.c.worker.is_not(None))
        with self._read() as connection:
            return sorted(set(connection.scalars(held)))

    def facts(self, partner: str | None, transaction_numbers: Iterable[str], references: Iterable[str]) -> Known:
        """Return the accepted versions of the transaction numbers and the earlier uses of the partner's references."""
        return self.facts_of([(partner, transaction_numbers, references)])[0]

    def facts_of(self, asked: Sequence[tuple[str | None, Iterable[str], Iterable[str]]]) -> list[Known]:
        """Return `facts` for several transmissions at once: on PostgreSQL the round trips are what takes the time."""
        numbers = [{_key(number): number for number in wanted} for _, wanted, _ in asked]
        given = [
            {(_key(partner or ""), _key(reference)): reference for reference in wanted} for partner, _, wanted in asked
        ]
        histories: dict[str, list[VersionFact]] = defaultdict(list)
        used: dict[tuple[str, str], AnyRow] = {}
        with self._read() as connection:
            for part in _parts({key for wanted in numbers for key in wanted}):
                for row in connection.execute(VERSIONS, {"numbers": part}):
                    histories[row.transaction_number].append(_fact(row))
            for pairs in _parts({key for wanted in given for key in wanted}):
                used |= {(row.partner, row.reference): row for row in connection.execute(USED, _reference_keys(pairs))}
        return [
            Known(
                {number: tuple(histories[key]) for key, number in ours.items() if key in histories},
                {reference: used[key].digest for key, reference in theirs.items() if key in used},
                {reference: used[key].id for key, reference in theirs.items() if key in used},
                frozenset(reference for key, reference in theirs.items() if key in used and not used[key].accepted),
            )
            for ours, theirs in zip(numbers, given, strict=True)
        ]

    def finish(self, done: Sequence[tuple[Claimed, Outcome]], *, specs: str, now: datetime) -> list[bool]:
        """Write verdicts with all their effects and answers at once; False where the lease was lost: no effect.

        `specs` is the digest of the specification data that judged. Raises Conflict, with nothing written, when
        another worker took a version or reference that these outcomes rely on; since two outcomes of one call can
        also collide, the caller then judges and finishes them one at a time.
        """
        with self._write() as connection:
            held = self._held(connection, [row for row, _ in done])
            kept = [(row, outcome) for row, outcome in done if row.sequence in held]
            messages, outgoing = [], []
            events: list[tuple[datetime, str, int | None, object]] = []
            for row, outcome in kept:
                messages += [_message(row, judged, outcome.syntax, specs, now) for judged in outcome.judged]
                outgoing += [_outgoing(item, row.sequence, now, item.ordinal) for item in outcome.outgoing]
                events.append((now, "judged", row.sequence, _judged_detail(outcome, specs)))
            if messages:
                connection.execute(MESSAGE, messages)
            self._take_versions(connection, kept)
            self._take_references(connection, kept)
            self._send(connection, outgoing)
            notes: dict[int, str] = {}
            for row, outcome in kept:
                if outcome.acknowledged:
                    told = [self._acknowledge(connection, row, each, now, events) for each in outcome.acknowledged]
                    notes[row.sequence] = "; ".join(told)[:500]
            self._close(connection, [(row, "done", notes.get(row.sequence)) for row, _ in kept], now)
            self._chain(connection, events)
        return [row.sequence in held for row, _ in done]

    def _acknowledge(
        self,
        connection: Connection,
        row: Claimed,
        said: Acknowledgement,
        now: datetime,
        events: list[tuple[datetime, str, int | None, object]],
    ) -> str:
        """Record what a partner's CONTRL says of an answer in its own queue, add the event, return the note.

        The last word counts: who rejected an answer may acknowledge it once it was sent again.
        """
        reference = said.reference.lower()
        ours = select(outbox.c.id, outbox.c.inbox, outbox.c.acknowledgement).where(
            outbox.c.id.between(reference, reference + "g"),
            outbox.c.destination == said.queue,
            outbox.c.content_type == "application/edifact",
            outbox.c.kind != "contrl",
        )
        answer = connection.execute(ours).first() if CONTROL_REFERENCE.fullmatch(reference) else None
        action, error = _text(said.action), _text(said.error) if said.error else None
        if answer is None or action not in ACTIONS:
            note = "acknowledges no answer of ours" if answer is None else "says nothing that we know of our answer"
            events.append((now, "ignored", row.sequence, {"reference": _text(said.reference), "why": note}))
            return note
        rejected = action == "4"
        if answer.acknowledgement != action:
            values = {"acknowledgement": action, "acknowledged_at": now}
            connection.execute(update(outbox).where(outbox.c.id == answer.id).values(values))
            detail = {"answer": answer.id, "by": row.id, "digest": row.digest, "action": action, "error": error}
            events.append((now, "answer rejected" if rejected else "acknowledged", answer.inbox, detail))
        return f"{'rejects' if rejected else 'acknowledges'} {answer.id}"

    def _take_versions(self, connection: Connection, kept: Sequence[tuple[Claimed, Outcome]]) -> None:
        """Write the effects on declarations and the requests; a withdrawal of a version on file is a request only."""
        rows: dict[tuple[str, int], dict[str, Any]] = {}
        requests = []
        for row, outcome in kept:
            asked = {item.ordinal: item.id for item in outcome.outgoing if item.kind == "request"}
            for judged in outcome.judged:
                if judged.effect is None:
                    continue
                values = _version(row, judged, judged.effect)
                if judged.message.ordinal in asked:
                    shared = ("transaction_number", "version", "inbox", "ordinal", "nature", "status")
                    requests.append({name: values[name] for name in shared} | {"id": asked[judged.message.ordinal]})
                key = values["transaction_number"], values["version"]
                if judged.effect.nature is Nature.WITHDRAWAL:
                    on_file = {"wanted": key[0], "number": key[1]}
                    if key in rows or connection.execute(VERSION_ON_FILE, on_file).first():
                        continue
                if key in rows:
                    raise Conflict("two messages of the batch make one version")
                rows[key] = values
        if rows:
            # Always in the same order, so that two workers wait for each other in one direction only.
            ordered = [rows[key] for key in sorted(rows)]
            _claim_keys(connection, VERSION, ordered, "a version of these declarations")
        if requests:
            connection.execute(REQUEST, requests)

    def _take_references(self, connection: Connection, kept: Sequence[tuple[Claimed, Outcome]]) -> None:
        """Remember the references used; one that is taken matters only when a message was accepted under it."""
        rows: dict[tuple[str, str], dict[str, Any]] = {}
        accepted = set()
        for row, outcome in kept:
            for judged in outcome.judged:
                if not judged.message.envelope.reference or judged.message.acknowledges:
                    continue  # a CONTRL may be repeated: it uses up nothing
                key = _key(row.partner or ""), _key(judged.message.envelope.reference)
                mine = {"partner": key[0], "reference": key[1], "inbox": row.sequence, "digest": row.digest}
                first = rows.setdefault(key, mine)
                if judged.verdict is Verdict.ACCEPTED:
                    accepted.add(key)
                    if first["inbox"] != row.sequence:
                        raise Conflict("two transmissions of the batch carry one reference")
        if not rows:
            return
        used = {
            (row.partner, row.reference): row
            for part in _parts(rows)
            for row in connection.execute(USED, _reference_keys(part))
        }
        for key in sorted(used):
            # What refused messages used passes on to who comes after them; what an accepted one used does not.
            passed = not used[key].accepted and self._pass_reference(connection, used[key], rows[key])
            if key in accepted and not passed:
                raise Conflict("another transmission took the reference")
        fresh = [rows[key] for key in sorted(rows) if key not in used]
        if fresh:
            _claim_keys(connection, REFERENCE, fresh, "a reference of these transmissions")

    def _pass_reference(self, connection: Connection, used: AnyRow, values: dict[str, Any]) -> bool:
        """Let a reference belong to another transmission, unless it does already; tell whether that was done."""
        passing = update(interchange_reference).where(
            interchange_reference.c.partner == used.partner,
            interchange_reference.c.reference == used.reference,
            interchange_reference.c.inbox == used.inbox,
        )
        return connection.execute(passing.values(inbox=values["inbox"], digest=values["digest"])).rowcount == 1

    def settle(self, done: Sequence[tuple[Claimed, Settlement]], *, now: datetime) -> list[bool]:
        """Write the engine's results with the answers they cause, and tell which took effect.

        False for a repeat, an unknown request (noted, nothing is sent) or a lost lease. The result is kept as it
        came. A request is settled once, a pending one again. A withdrawal that the engine does not grant leaves its
        version as it was, and no later result brings a withdrawn version back.
        """
        applied: set[int] = set()
        with self._write() as connection:
            held = self._held(connection, [row for row, _ in done])
            asked = [settlement.request_id for _, settlement in done]
            requests = {
                row.id: row
                for row in connection.execute(
                    select(assessment_request)
                    .where(assessment_request.c.id.in_(asked))
                    .order_by(assessment_request.c.id)
                    .with_for_update()
                )
            }
            status = {request: row.status for request, row in requests.items()}
            outgoing: list[dict[str, Any]] = []
            events: list[tuple[datetime, str, int | None, object]] = []
            closed: list[tuple[Claimed, str, str | None]] = []
            for row, settlement in done:
                if row.sequence not in held:
                    continue
                request = requests.get(settlement.request_id)
                if request is None or not _may_settle(status[request.id], settlement.status):
                    note = "repeats a result" if request else "answers no request of ours"
                    closed.append((row, "done", note))
                    events.append((now, "ignored", row.sequence, {"request": settlement.request_id, "why": note}))
                    continue
                status[request.id] = settlement.status
                connection.execute(
                    update(assessment_request)
                    .where(assessment_request.c.id == request.id)
                    .values(
                        status=settlement.status,
                        result=_text(row.body.decode("utf-8", "replace")),
                        settled_at=now,
                    )
                )
                self._settle_version(connection, request, settlement)
                outgoing += [_outgoing(item, request.inbox, now, request.ordinal) for item in settlement.outgoing]
                closed.append((row, "done", None))
                detail = {
                    "request": settlement.request_id,
                    "result": row.id,
                    "digest": row.digest,
                    "transaction_number": request.transaction_number,
                    "version": request.version,
                    "status": settlement.status,
                    "outgoing": [_sent_detail(item) for item in settlement.outgoing],
                }
                events.append((now, "settled", request.inbox, detail))
                applied.add(row.sequence)
            self._send(connection, outgoing)
            self._close(connection, closed, now)
            self._chain(connection, events)
        return [row.sequence in applied for row, _ in done]

    def _settle_version(self, connection: Connection, request: AnyRow, settlement: Settlement) -> None:
        """Set the version that a request was about to what the engine made of it."""
        if request.nature == Nature.WITHDRAWAL and settlement.status != "withdrawn":
            return
        values: dict[str, Any] = {"status": settlement.status}
        if settlement.payment_due:
            values["payment_due"] = settlement.payment_due
        connection.execute(
            update(declaration_version)
            .where(
                declaration_version.c.transaction_number == request.transaction_number,
                declaration_version.c.version == request.version,
                declaration_version.c.status != "withdrawn",
            )
            .values(values)
        )

    def park(self, rows: Sequence[tuple[Claimed, str, Sequence[Outgoing]]], *, now: datetime) -> list[bool]:
        """Take transmissions out of the way, each with the reason and its answers; False where the lease was lost."""
        with self._write() as connection:
            held = self._held(connection, [row for row, _, _ in rows])
            kept = [(row, _text(why)[:500], answers) for row, why, answers in rows if row.sequence in held]
            self._send(
                connection,
                [_outgoing(item, row.sequence, now, item.ordinal) for row, _, items in kept for item in items],
            )
            self._close(connection, [(row, "parked", why) for row, why, _ in kept], now)
            self._chain(
                connection,
                [
                    (now, "parked", row.sequence, {"why": why, "outgoing": [_sent_detail(item) for item in items]})
                    for row, why, items in kept
                ],
            )
        return [row.sequence in held for row, _, _ in rows]

    def answer_again(self, row: Claimed, first: str, now: datetime) -> int:
        """Answer a resend with the stored answers to its first transmission (its inbox id); return their number.

        Same ids, same bytes; the resend itself has no effect. 0 also when the lease was lost.
        """
        with self._write() as connection:
            if not self._held(connection, [row]):
                return 0
            self._close(connection, [(row, "done", f"{RESEND_OF}{first}")], now)
            return self._due_again(connection, first, row.sequence, now)

    def resend(self, first: str, now: datetime) -> int:
        """Send the stored answers to a transmission (its inbox id) again, for the operator; return their number."""
        with self._write() as connection:
            return self._due_again(connection, first, None, now)

    def _due_again(self, connection: Connection, first: str, resent: int | None, now: datetime) -> int:
        """Make a transmission's answers due; the request to the engine is not an answer."""
        sequence = connection.scalar(select(inbox.c.sequence).where(inbox.c.id == first))
        again = (
            update(outbox)
            .where(outbox.c.inbox == sequence, outbox.c.kind != "request")
            .values(sent_at=None, attempts=0, error=None)
        )
        count = connection.execute(again).rowcount
        self._chain(connection, [(now, "resend", resent or sequence, {"first": first, "answers": count})])
        return count

    def case(self, request_id: str) -> Case | None:
        """Return the message behind a request to the engine, None if there is no such request."""
        with self._read() as connection:
            row = connection.execute(
                select(
                    declaration_version,
                    assessment_request.c.ordinal.label("asked_ordinal"),
                    assessment_request.c.nature.label("asked_nature"),
                    message.c.syntax,
                    message.c.envelope,
                    inbox.c.id,
                    inbox.c.partner.label("sender"),
                    inbox.c.body,
                    inbox.c.received_at,
                )
                .select_from(assessment_request)
                .join(
                    declaration_version,
                    and_(
                        declaration_version.c.transaction_number == assessment_request.c.transaction_number,
                        declaration_version.c.version == assessment_request.c.version,
                    ),
                )
                .join(inbox, inbox.c.sequence == assessment_request.c.inbox)
                .join(
                    message,
                    and_(
                        message.c.inbox == assessment_request.c.inbox,
                        message.c.ordinal == assessment_request.c.ordinal,
                    ),
                )
                .where(assessment_request.c.id == request_id)
            ).one_or_none()
        if row is None:
            return None
        return Case(
            row.transaction_number,
            replace(_fact(row), nature=Nature(row.asked_nature)),
            Received(row.id, row.sender or None, row.body, row.received_at),
            row.asked_ordinal,
            Syntax(row.syntax),
            decode_envelope(row.envelope),
        )

    # ------------------------------------------------------------------------------------------------ dispatch

    def due(self, limit: int, now: datetime) -> list[Due]:
        """Return what is to be sent now: by destination, in order within one, each with a fair share of the limit.

        Destinations that rest or are parked are left out. Reading holds nothing: run one dispatcher.
        """
        found: list[Due] = []
        with self._read() as connection:
            resting = set(connection.scalars(RESTING, {"now": now}))
            waiting = [row.name for row in connection.execute(WAITING) if row.name not in resting]
            for done, name in enumerate(waiting):
                share = -(-(limit - len(found)) // (len(waiting) - done))  # rounded up
                if not share:
                    break
                rows = connection.execute(NEXT, {"name": name, "share": share})
                found += [Due(**row) for row in rows.mappings()]
        return found

    def mark_sent(self, ids: Sequence[str], now: datetime) -> int:
        """Mark as sent what the broker confirmed, and clear the failures of those destinations; return how many."""
        if not ids:
            return 0
        with self._write() as connection:
            rows = connection.execute(
                update(outbox)
                .where(outbox.c.id.in_(ids), outbox.c.sent_at.is_(None))
                .values(sent_at=now, attempts=outbox.c.attempts + 1, error=None)
                .returning(outbox.c.position, outbox.c.id, outbox.c.inbox, outbox.c.destination)
            ).all()
            rows = sorted(rows, key=lambda row: row.position)
            connection.execute(delete(destination).where(destination.c.name.in_({row.destination for row in rows})))
            self._chain(
                connection, [(now, "sent", row.inbox, {"id": row.id, "destination": row.destination}) for row in rows]
            )
        return len(rows)

    def postpone(self, name: str, ids: Sequence[str], error: str, now: datetime) -> datetime | None:
        """Let a destination rest after a failure, and count the attempt on the items tried.

        Returns the time when it is tried again; None when it is parked, that is until `unpark`. The whole destination
        waits, in order; the others go on.
        """
        error = _text(error)[:500]
        with self._write() as connection:
            connection.execute(
                update(outbox).where(outbox.c.id.in_(ids)).values(attempts=outbox.c.attempts + 1, error=error)
            )
            first = self._insert(destination).values(name=name, failures=1, paused_until=now, error=error)
            again = first.on_conflict_do_update(
                index_elements=[destination.c.name], set_={"failures": destination.c.failures + 1, "error": error}
            )
            row = connection.execute(again.returning(destination.c.failures, destination.c.parked_at)).one()
            # Jitter, so that many destinations of one broken broker do not come back in one instant.
            until = now + pause(row.failures, random.random())  # noqa: S311
            parked = row.parked_at or (now if row.failures >= FAILURES else None)
            connection.execute(
                update(destination).where(destination.c.name == name).values(paused_until=until, parked_at=parked)
            )
            if parked and not row.parked_at:
                detail = {"destination": name, "failures": row.failures, "error": error}
                self._chain(connection, [(now, "destination parked", None, detail)])
        return None if parked else until

    def unpark(self, name: str, now: datetime) -> int:
        """Let a parked or resting destination be tried again at once; return how many items wait for it."""
        with self._write() as connection:
            if connection.execute(delete(destination).where(destination.c.name == name)).rowcount:
                self._chain(connection, [(now, "destination unparked", None, {"destination": name})])
            waiting = select(func.count()).where(outbox.c.destination == name, outbox.c.sent_at.is_(None))
            return connection.scalar(waiting) or 0

    def destinations(self) -> list[dict[str, Any]]:
        """Return every destination that something waits for or that failed, with its backlog and state."""
        with self._read() as connection:
            backlog = connection.execute(
                select(
                    outbox.c.destination.label("name"),
                    func.count().label("waiting"),
                    func.min(outbox.c.created_at, type_=outbox.c.created_at.type).label("oldest"),
                )
                .where(outbox.c.sent_at.is_(None))
                .group_by(outbox.c.destination)
            ).mappings()
            found: dict[str, dict[str, Any]] = {row["name"]: dict(row) for row in backlog}
            for row in connection.execute(select(destination)).mappings():
                found.setdefault(row["name"], {"name": row["name"], "waiting": 0, "oldest": None}).update(row)
        blank = {"failures": 0, "paused_until": None, "parked_at": None, "error": None}
        return [blank | found[name] for name in sorted(found)]

    # ------------------------------------------------------------------------------------------------ evidence

    def head(self) -> tuple[int, str]:
        """Return number and hash of the newest audit link, to be kept outside the database."""
        with self._read() as connection:
            return _head(connection)

    def verify(self, head: tuple[int, str] | None = None) -> AuditReport:
        """Walk the audit chain and name the first row that is missing, changed or moved.

        `head` (number, hash), as exported earlier, also shows rows taken off the end and a chain written anew.
        """
        return walk(self._links(), head)

    def _links(self, page: int = 10_000) -> Iterator[tuple[int, str, str, int | None, str, str]]:
        """Yield the chain page by page: no long transaction, no memory that grows with the archive."""
        columns = [audit.c[name] for name in Link._fields]
        after: int | None = None
        while True:
            rows = select(*columns).order_by(audit.c.n).limit(page)
            with self._read() as connection:
                found = connection.execute(rows if after is None else rows.where(audit.c.n > after)).all()
            yield from found
            if len(found) < page:
                return
            after = found[-1].n

    # ------------------------------------------------------------------------------------------------ reading

    def list_messages(
        self,
        *,
        partner: str | None = None,
        transaction_number: str | None = None,
        verdict: str | None = None,
        state: str | None = None,
        channel: str | None = None,
        limit: int = 50,
    ) -> list[dict[str, Any]]:
        """Return transmissions and the messages in them, newest first, one dict each; None filters nothing."""
        shown = [inbox.c[name] for name in ("id", "channel", "partner", "received_at", "state", "lane", "note")]
        judged = [
            message.c[name]
            for name in (
                "ordinal", "syntax", "type", "sender", "reference", "transaction_number", "version", "verdict",
                "findings", "nature",
            )
        ]  # fmt: skip
        query = select(*shown, *judged).outerjoin(message, message.c.inbox == inbox.c.sequence)
        filters = {
            inbox.c.partner: partner,
            message.c.transaction_number: transaction_number,
            message.c.verdict: verdict,
            inbox.c.state: state,
            inbox.c.channel: channel,
        }
        for column, wanted in filters.items():
            if wanted is not None:
                query = query.where(column == wanted)
        with self._read() as connection:
            rows = connection.execute(query.order_by(inbox.c.sequence.desc(), message.c.ordinal).limit(limit))
            return [{**row, "findings": json.loads(row["findings"] or "[]")} for row in rows.mappings()]

    def unacknowledged(self, now: datetime, partner: str | None = None, limit: int = 50) -> list[dict[str, Any]]:
        """Return the answers that their partner rejected, or was to acknowledge and did not in time, the oldest first.

        Keys: `id`, `transmission` (that it answers), `partner`, `kind`, `destination`, `sent_at`, `acknowledgement`
        (awaited, or 4 for rejected), `acknowledged_at`.
        """
        overdue = now - timedelta(hours=limits.ACKNOWLEDGEMENT_HOURS)
        shown = ("id", "kind", "destination", "sent_at", "acknowledgement", "acknowledged_at")
        query = (
            select(*(outbox.c[name] for name in shown), inbox.c.id.label("transmission"), inbox.c.partner)
            .join(inbox, inbox.c.sequence == outbox.c.inbox)
            .where(UNACKNOWLEDGED, or_(outbox.c.acknowledgement == "4", outbox.c.sent_at < overdue))
        )
        if partner is not None:
            query = query.where(inbox.c.partner == partner)
        with self._read() as connection:
            rows = connection.execute(query.order_by(outbox.c.sent_at, outbox.c.position).limit(limit)).mappings()
            return [dict(row) for row in rows]

    def show(self, wanted: str) -> dict[str, Any] | None:
        """Return the whole life of a transmission, by its id or the beginning of it; None if there is none.

        Keys: those of the inbox, `intact` (the bytes still have their digest), `messages`, `declarations`, `requests`,
        `outbox`, `audit`, `executions` (replays). Raises GatewayError when several ids begin so.
        """
        with self._read() as connection:
            found = connection.execute(
                select(inbox).where(inbox.c.id.between(_text(wanted), _text(wanted) + "g")).limit(2)
            ).mappings()
            rows = [dict(row) for row in found]
            if len(rows) > 1 and rows[0]["id"] != wanted:
                raise GatewayError(f"several transmissions have an id that begins with {wanted}")
            if not rows:
                return None
            life = rows[0]
            life["headers"] = json.loads(life["headers"])
            life["intact"] = hashlib.sha256(life["body"]).hexdigest() == life["digest"]
            parts = {
                "messages": select(message).where(message.c.inbox == life["sequence"]).order_by(message.c.ordinal),
                "declarations": select(declaration_version)
                .where(declaration_version.c.inbox == life["sequence"])
                .order_by(declaration_version.c.ordinal),
                "requests": select(assessment_request)
                .where(assessment_request.c.inbox == life["sequence"])
                .order_by(assessment_request.c.ordinal),
                "outbox": select(outbox).where(outbox.c.inbox == life["sequence"]).order_by(outbox.c.position),
                "audit": select(audit).where(audit.c.subject == life["sequence"]).order_by(audit.c.n),
            }
            for name, query in parts.items():
                life[name] = [dict(row) for row in connection.execute(query).mappings()]
            replays = select(execution).where(execution.c.inbox == life["sequence"]).order_by(execution.c.number)
            life["executions"] = self._executions(connection, replays)
        for part in ("messages", "declarations", "audit"):
            for row in life[part]:
                row.update({name: json.loads(row[name]) for name in ("envelope", "findings", "detail") if name in row})
        return life

    def counts(self, now: datetime) -> dict[str, Any]:
        """Return the figures of health: what waits, since when, and what stands still; ages in seconds."""
        with self._read() as connection:
            unfinished = connection.execute(
                select(inbox.c.state, func.count(), func.min(inbox.c.received_at, type_=inbox.c.received_at.type))
                .where(inbox.c.finished_at.is_(None))
                .group_by(inbox.c.state)
            ).all()
            waiting, since = connection.execute(
                select(func.count(), func.min(outbox.c.created_at, type_=outbox.c.created_at.type)).where(
                    outbox.c.sent_at.is_(None)
                )
            ).one()
            parked = connection.scalar(select(func.count()).where(inbox.c.state == text("'parked'")))
            overdue = now - timedelta(hours=limits.ACKNOWLEDGEMENT_HOURS)
            silent, rejected = connection.execute(
                select(
                    func.count().filter(outbox.c.acknowledgement == "awaited", outbox.c.sent_at < overdue),
                    func.count().filter(outbox.c.acknowledgement == "4"),
                ).where(UNACKNOWLEDGED)
            ).one()
            resting = connection.execute(
                select(func.count(), func.count(destination.c.parked_at)).where(destination.c.failures > 0)
            ).one()
        number = {state: count for state, count, _ in unfinished}
        oldest = min((at for _, _, at in unfinished), default=None)
        return {
            "received": number.get("received", 0),
            "working": number.get("working", 0),
            "parked": parked,
            "answers_unacknowledged": silent,
            "answers_rejected": rejected,
            "oldest_seconds": (now - oldest).total_seconds() if oldest else 0.0,
            "outbox": waiting,
            "outbox_oldest_seconds": (now - since).total_seconds() if since else 0.0,
            "destinations_paused": resting[0] - resting[1],
            "destinations_parked": resting[1],
        }

    # ------------------------------------------------------------------------------------------------ replay

    def selected(self, wanted: Selection, after: int = 0, limit: int = IN_ONE_STATEMENT) -> list[tuple[int, int]]:
        """Return sequence and size in bytes of the next selected transmissions, in the order of receipt."""
        query = select(inbox.c.sequence, func.length(inbox.c.body)).where(_selects(wanted), inbox.c.sequence > after)
        with self._read() as connection:
            rows = connection.execute(query.order_by(inbox.c.sequence).limit(limit)).all()
        return [(row[0], row[1]) for row in rows]

    def count_selected(self, wanted: Selection) -> int:
        """Return how many transmissions are selected."""
        with self._read() as connection:
            return connection.scalar(select(func.count()).select_from(inbox).where(_selects(wanted))) or 0

    def sequence_of(self, id_: str) -> int | None:
        """Return the sequence of a transmission by its id or the beginning of it; None if there is none.

        Raises GatewayError when several ids begin so.
        """
        wanted = _text(id_)
        query = select(inbox.c.sequence, inbox.c.id).where(inbox.c.id.between(wanted, wanted + "g")).limit(2)
        with self._read() as connection:
            rows = connection.execute(query).all()
        if len(rows) > 1 and rows[0].id != id_:
            raise GatewayError(f"several transmissions have an id that begins with {id_}")
        return rows[0].sequence if rows else None

    def recorded(self, sequences: Sequence[int]) -> list[Recorded]:
        """Return at most `IN_ONE_STATEMENT` transmissions with what was made of them, in the order of receipt."""
        told: dict[int, list[Told]] = defaultdict(list)
        judged: dict[int, tuple[datetime, str]] = {}
        with self._read() as connection:
            rows = connection.execute(RECORDED, {"wanted": list(sequences)}).all()
            for row in connection.execute(TOLD, {"wanted": list(sequences)}):
                codes = tuple(finding["code"] for finding in json.loads(row.findings))
                judged[row.inbox] = row.created_at, row.specs
                told[row.inbox].append(
                    Told(row.ordinal, row.type, row.verdict, codes, row.transaction_number, row.reference)
                )
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

    def facts_then(self, asked: Sequence[tuple[Recorded, Iterable[str], Iterable[str]]]) -> list[Known]:
        """Return, for transmissions with the numbers and references in them, what was known when they were judged.

        Versions that were accepted before, each with the status that it had then (from the audit chain's settlements);
        the payment due date is the one on file. Of the references only those that were taken by other bytes. For what
        was never judged it is what is known now.
        """
        wanted = [{_key(number): number for number in numbers} for _, numbers, _ in asked]
        given = [
            {(_key(row.partner or ""), _key(reference)): reference for reference in references}
            for row, _, references in asked
        ]
        versions: dict[str, list[AnyRow]] = defaultdict(list)
        settled: dict[tuple[str, int], list[AnyRow]] = defaultdict(list)
        taken: dict[tuple[str, str], AnyRow] = {}
        with self._read() as connection:
            for part in _parts({key for each in wanted for key in each}):
                for row in connection.execute(VERSIONS_WITH_TIME, {"numbers": part}):
                    versions[row.transaction_number].append(row)
            # Only what had a history then needs to know what became of it when.
            changed = {
                key
                for (row, _, _), each in zip(asked, wanted, strict=True)
                for key in each
                if any(_before(version.judged_at, row.judged_at) for version in versions[key])
            }
            for part in _parts(changed):
                for row in connection.execute(SETTLEMENTS, {"numbers": part}):
                    detail = json.loads(row.detail)
                    if row.request_id == detail["request"]:
                        settled[row.transaction_number, row.version].append(row)
            for pairs in _parts({key for each in given for key in each}):
                taken |= {
                    (row.partner, row.reference): row for row in connection.execute(TAKEN, _reference_keys(pairs))
                }
        known = []
        for (asking, _, _), ours, theirs in zip(asked, wanted, given, strict=True):
            histories = {}
            for key, number in ours.items():
                seen = [version for version in versions[key] if _before(version.judged_at, asking.judged_at)]
                if seen:
                    histories[number] = tuple(_as_of(each, settled, asking.judged_at) for each in seen)
            used = {
                reference: taken[key].digest
                for key, reference in theirs.items()
                if key in taken
                and taken[key].inbox != asking.sequence
                and taken[key].digest != asking.digest
                and _before(taken[key].accepted_at, asking.judged_at)
            }
            known.append(Known(histories, used))
        return known

    def keep_execution(self, done: Execution, now: datetime) -> str:
        """Write a replay with its answers, which are not sent, and return its id."""
        outcome = done.outcome
        received = outcome.received
        answers = [item for item in outcome.outgoing if item.kind != "request"]
        messages = [_replayed(judged) for judged in outcome.judged]
        detail = {
            "execution": received.id,
            "source": _text(done.source),
            "digest": received.digest,
            "operator": _text(done.operator),
            "agrees": done.agrees,
            **_judged_detail(outcome, done.specs),
            "outgoing": [_sent_detail(item) for item in answers],
        }
        with self._write() as connection:
            number = connection.execute(
                insert(execution).values(
                    id=received.id,
                    inbox=done.inbox,
                    source=_text(done.source),
                    digest=received.digest,
                    partner=_key(received.partner or ""),
                    operator=_text(done.operator),
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
            self._chain(connection, [(now, "replayed", done.inbox, detail)])
        return received.id

    def send_execution(self, id_: str, operator: str, now: datetime) -> int:
        """Put the answers of a replay into the outbox, once; return how many."""
        with self._write() as connection:
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
                Outgoing(each.id, each.kind, each.destination, each.content_type, each.body, each.ordinal)
                for each in answers
            ]
            self._send(connection, [_outgoing(item, row.inbox, now, item.ordinal) for item in items])
            detail = {"execution": id_, "operator": _text(operator), "outgoing": [_sent_detail(item) for item in items]}
            self._chain(connection, [(now, "replay sent", row.inbox, detail)])
        return len(items)

    def execution(self, id_: str) -> dict[str, Any] | None:
        """Return a replay by its id or the beginning of it, with its `answers`; None if there is none."""
        wanted = _text(id_)
        query = select(execution).where(execution.c.id.between(wanted, wanted + "g"))
        with self._read() as connection:
            found = self._executions(connection, query)
        if len(found) > 1:
            raise GatewayError(f"several replays have an id that begins with {id_}")
        return found[0] if found else None

    def _executions(self, connection: Connection, query: Any) -> list[dict[str, Any]]:
        """Return replays as dicts with their answers."""
        found = [dict(row) for row in connection.execute(query).mappings()]
        for each in found:
            each["messages"] = json.loads(each["messages"])
            answers = select(execution_answer).where(execution_answer.c.execution == each["number"])
            each["answers"] = [dict(row) for row in connection.execute(answers.order_by("ordinal", "kind")).mappings()]
        return found

    # ------------------------------------------------------------------------------------------------ parked

    def release_parked(self, sequence: int, operator: str, now: datetime) -> bool:
        """Give a parked transmission to the workers again, its attempts forgotten; False if it is not parked."""
        with self._write() as connection:
            free = {"state": "received", "attempts": 0, "worker": None, "lease_until": None, "finished_at": None}
            if not self._unpark(connection, sequence, {**free, "note": None}):
                return False
            self._chain(connection, [(now, "released", sequence, {"operator": _text(operator)})])
        return True

    def refuse_parked(
        self, row: Recorded, outcome: Outcome | None, *, why: str, specs: str, operator: str, now: datetime
    ) -> bool:
        """End a parked transmission with an operator's refusal and its answers; False if it is not parked.

        Without an outcome (a result of the engine: nobody to answer) it is only closed.
        """
        with self._write() as connection:
            closed = {"state": "done", "finished_at": now, "note": _text(f"refused by {operator}: {why}")[:500]}
            if not self._unpark(connection, row.sequence, closed):
                return False
            detail: dict[str, object] = {"operator": _text(operator), "why": _text(why)}
            if outcome:
                messages = [_message(row, judged, outcome.syntax, specs, now) for judged in outcome.judged]
                connection.execute(MESSAGE, messages)
                items = [item for item in outcome.outgoing if item.kind != "request"]
                self._send(connection, [_outgoing(item, row.sequence, now, item.ordinal) for item in items])
                detail |= _judged_detail(outcome, specs)
            self._chain(connection, [(now, "refused by operator", row.sequence, detail)])
        return True

    def _unpark(self, connection: Connection, sequence: int, values: Mapping[str, object]) -> bool:
        """Set what becomes of a transmission, if it is parked; tell whether it was."""
        parked = update(inbox).where(inbox.c.sequence == sequence, inbox.c.state == "parked")
        return connection.execute(parked.values(**values)).rowcount == 1

    def events(self, after: int, limit: int) -> list[Event]:
        """Return the audit links after a number, in order, each with what the inbox knows of its transmission."""
        rows = (
            select(audit.c.n, audit.c.at, audit.c.event, audit.c.detail, inbox.c.received_at, inbox.c.attempts)
            .outerjoin(inbox, inbox.c.sequence == audit.c.subject)
            .where(audit.c.n > after)
            .order_by(audit.c.n)
            .limit(limit)
        )
        with self._read() as connection:
            return [
                Event(row.n, datetime.fromisoformat(row.at), row.event, json.loads(row.detail), *row[4:])
                for row in connection.execute(rows)
            ]

    # ------------------------------------------------------------------------------------------------ retention

    def purge(self, before: Mapping[str, datetime], *, now: datetime, rehearse: bool = False) -> dict[str, int]:
        """Delete what is older than its kind may be, and return how many transmissions of each kind that were.

        Kinds: declaration, refused, repeated, result. A declaration goes as a whole, by the last message accepted about
        its number. What is unfinished, parked or not yet sent stays, and so does the audit chain, which notes each
        transmission that went. `rehearse` counts only.
        """
        counts = dict.fromkeys(before, 0)
        youngest, after = max(before.values()), 0
        while True:
            with self._read() if rehearse else self._write() as connection:
                page = connection.execute(OLDEST, {"after": after, "size": PURGE_PAGE}).all()
                old = [row for row in page if row.received_at < youngest]
                gone, expired = self._expired(connection, old, before)
                for kind in gone.values():
                    counts[kind] += 1
                if gone and not rehearse:
                    self._delete(connection, sorted(gone), expired)
                    self._chain(connection, [(now, "purged", None, {"transmissions": sorted(gone)})])
            # Numbers follow the time of receipt: after the first page of younger ones there is nothing old.
            if len(page) < PURGE_PAGE or not old:
                return counts
            after = page[-1].sequence

    def _expired(
        self, connection: Connection, rows: Sequence[AnyRow], before: Mapping[str, datetime]
    ) -> tuple[dict[int, str], list[str]]:
        """Return which of the rows may go, with their kinds, and the transaction numbers whose time is over."""
        mine = {"mine": [row.sequence for row in rows if row.finished_at and row.state == "done"]}
        about: dict[int, set[str]] = defaultdict(set)
        for row in connection.execute(ABOUT, mine):
            about[row.inbox].add(row.transaction_number)
        numbers = {number for some in about.values() for number in some}
        last = {
            row.transaction_number: row.last
            for part in _parts(numbers)
            for row in connection.execute(LAST_ACCEPTED, {"numbers": part})
        }
        expired = {number for number in numbers if number in last and last[number] < before["declaration"]}
        unsent = set(connection.scalars(UNSENT, mine))
        gone = {}
        for row in rows:
            if row.sequence not in mine["mine"] or row.sequence in unsent:
                continue
            kind = "refused"
            if about[row.sequence]:
                kind = "declaration"
            elif row.channel == "assessment":
                kind = "result"
            elif (row.note or "").startswith(RESEND_OF):
                kind = "repeated"
            over = about[row.sequence] <= expired if kind == "declaration" else row.received_at < before[kind]
            if over:
                gone[row.sequence] = kind
        return gone, sorted(expired)

    def _delete(self, connection: Connection, sequences: list[int], numbers: list[str]) -> None:
        """Delete transmissions with all that hangs on them, and every version of the declarations."""
        for part in _parts(numbers):
            connection.execute(delete(declaration_version).where(declaration_version.c.transaction_number.in_(part)))
        replays = select(execution.c.number).where(execution.c.inbox.in_(sequences))
        connection.execute(delete(execution_answer).where(execution_answer.c.execution.in_(replays)))
        for table in (execution, assessment_request, message, interchange_reference, outbox):
            connection.execute(delete(table).where(table.c.inbox.in_(sequences)))
        connection.execute(delete(inbox).where(inbox.c.sequence.in_(sequences)))

    # ------------------------------------------------------------------------------------------------ transactions

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        """Open a transaction that only reads."""
        with self._transaction(self._reading) as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        """Open a transaction that writes: all of it or nothing."""
        with self._transaction(self._engine) as connection:
            yield connection

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        """Turn the database's own errors into JournalUnavailable, one line, no password."""
        try:
            with engine.begin() as connection:
                yield connection
        except (DataError, IntegrityError):
            raise  # a fault of this program, not of the database
        except (DBAPIError, PoolTimeout) as error:
            if isinstance(error, ProgrammingError) and "does not exist" not in str(error.orig):
                raise
            raise JournalUnavailable(_reason(engine.url, error)) from error

    def _lock(self, connection: Connection, key: int) -> None:
        """Let one transaction at a time go on; SQLite has but one writer anyway."""
        if self._postgresql:
            connection.execute(LOCK, {"key": key})

    def _held(self, connection: Connection, rows: Sequence[Claimed]) -> set[int]:
        """Return the sequences of the rows whose lease is still this worker's, and lock them.

        A lease that ran out but that nobody took is still held.
        """
        mine = {row.sequence: (row.worker, row.attempts) for row in rows}
        found = connection.execute(HELD, {"mine": list(mine)})
        return {row.sequence for row in found if mine[row.sequence] == (row.worker, row.attempts)}

    def _close(self, connection: Connection, rows: Iterable[tuple[Claimed, str, str | None]], now: datetime) -> None:
        """End the work on rows, with state and note."""
        alike: dict[tuple[str, str | None], list[int]] = defaultdict(list)
        for row, state, note in rows:
            alike[state, note].append(row.sequence)
        for (state, note), sequences in alike.items():
            connection.execute(CLOSE, {"mine": sequences, "how": state, "why": note, "at": now})

    def _send(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        """Put rows into the outbox; an id that is there already is the same thing, and stays."""
        if rows:
            connection.execute(self._outgoing, rows)

    def _chain(self, connection: Connection, events: Sequence[tuple[datetime, str, int | None, object]]) -> None:
        """Append events to the audit chain; always a transaction's last step, since the chain is locked to its end."""
        if not events:
            return
        self._lock(connection, CHAINING)
        n, previous = _head(connection)
        rows = []
        for at, event_name, subject, content in events:
            n += 1
            moment, detail = at.astimezone(UTC).isoformat(timespec="microseconds"), dump(content)
            previous = link_hash(previous, n, moment, event_name, subject, detail)
            rows.append(Link(n, moment, event_name, subject, detail, previous)._asdict())
        connection.execute(LINK, rows)


# ---------------------------------------------------------------------------------------------------- rows and values


def _text(value: str) -> str:
    """Return a text that every database can hold: PostgreSQL takes no NUL, nobody lone surrogates."""
    return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _key(value: str) -> str:
    """Return a text fit for an index: what is too long is told apart by its hash."""
    clean = _text(value)
    if len(clean) <= KEY_CHARACTERS:
        return clean
    return f"{clean[: KEY_CHARACTERS - 65]}#{hashlib.sha256(clean.encode()).hexdigest()}"


def _parts(keys: Iterable[T]) -> Iterator[list[T]]:
    """Yield the keys in portions, sorted, that a statement can take as parameters."""
    ordered = sorted(keys)
    for start in range(0, len(ordered), IN_ONE_STATEMENT):
        yield ordered[start : start + IN_ONE_STATEMENT]


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


def _before(moment: datetime | None, judged_at: datetime | None) -> bool:
    """Tell whether something had happened when a transmission was judged; what is not judged yet sees everything."""
    return moment is not None and (judged_at is None or moment < judged_at)


def _as_of(
    version: AnyRow, settled: Mapping[tuple[str, int], Sequence[AnyRow]], judged_at: datetime | None
) -> VersionFact:
    """Return a version with the status that it had when something was judged."""
    fact = _fact(version)
    if judged_at is None:
        return fact
    status = "accepted"
    for row in settled.get((version.transaction_number, version.version), ()):
        became = json.loads(row.detail)["status"]
        granted = row.nature != Nature.WITHDRAWAL.value or became == "withdrawn"
        if datetime.fromisoformat(row.at) < judged_at and granted and status != "withdrawn":
            status = became
    return replace(fact, status=status)


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


def _reference_keys(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Return the parameters of `THESE_REFERENCES`."""
    return {"keys": pairs, "owners": sorted({owner for owner, _ in pairs}), "names": [name for _, name in pairs]}


def _claimed(row: AnyRow) -> Claimed:
    """Return the leased transmission of an inbox row."""
    return Claimed(
        row.sequence,
        row.id,
        row.uid,
        row.channel,
        row.partner or None,
        row.received_at,
        row.body,
        row.digest,
        json.loads(row.headers),
        row.lane,
        row.attempts,
        row.worker,
    )


def _fact(row: AnyRow) -> VersionFact:
    """Return the accepted version of a row."""
    return VersionFact(
        row.version,
        row.partner,
        Nature(row.nature),
        row.status,
        decode_declaration(row.declaration),
        row.accepted_at,
        row.payment_due,
        row.created_by_cbsa,
    )


def _message(row: Claimed | Recorded, judged: Judged, syntax: Syntax, specs: str, now: datetime) -> dict[str, Any]:
    """Return the row of one judged message."""
    subject = judged.message
    declaration, envelope = subject.declaration, subject.envelope
    number = declaration.transaction_number if declaration else None
    version = declaration.version if declaration else None
    return {
        "inbox": row.sequence,
        "ordinal": subject.ordinal,
        "syntax": (subject.syntax or syntax).value,
        "type": subject.type.value,
        "sender": _text(envelope.sender) if envelope.sender else None,
        "reference": _text(envelope.reference) if envelope.reference else None,
        "message_reference": _text(envelope.message) if envelope.message else None,
        "envelope": encode_envelope(envelope),
        "transaction_number": _key(number) if number else None,
        "version": _text(version) if version else None,
        "verdict": judged.verdict.value,
        "findings": encode_findings(judged.findings),
        "nature": judged.nature.value if judged.nature else None,
        "pack": subject.pack,
        "specs": specs,
        "created_at": now,
    }


def _version(row: Claimed, judged: Judged, effect: VersionFact) -> dict[str, Any]:
    """Return the row of an accepted version."""
    given = judged.message.declaration or effect.declaration
    number = given.transaction_number or effect.declaration.transaction_number
    if number is None:
        raise ValueError("an effect without a transaction number")
    return {
        "transaction_number": _key(number),
        "version": effect.version,
        "partner": effect.partner,
        "inbox": row.sequence,
        "ordinal": judged.message.ordinal,
        "nature": effect.nature.value,
        "status": effect.status,
        "declaration": encode_declaration(effect.declaration),
        "accepted_at": effect.accepted_at,
        "payment_due": effect.payment_due,
        "created_by_cbsa": effect.created_by_cbsa,
    }


def _outgoing(item: Outgoing, sequence: int, now: datetime, ordinal: int | None) -> dict[str, Any]:
    """Return the outbox row of something to be sent."""
    return {
        "id": item.id,
        "inbox": sequence,
        "ordinal": ordinal,
        "kind": item.kind,
        "destination": item.destination,
        "content_type": item.content_type,
        "body": item.body,
        "created_at": now,
        "attempts": 0,
        "acknowledgement": "awaited" if item.awaited else None,
    }


def _sent_detail(item: Outgoing) -> dict[str, object]:
    """Return what the audit chain keeps of something to be sent."""
    return {"id": item.id, "kind": item.kind, "digest": hashlib.sha256(item.body).hexdigest()}


def _judged_detail(outcome: Outcome, specs: str) -> dict[str, object]:
    """Return what the audit chain keeps of a verdict."""
    messages = []
    for judged in outcome.judged:
        declaration = judged.message.declaration
        messages.append(
            {
                "ordinal": judged.message.ordinal,
                "transaction_number": declaration.transaction_number if declaration else None,
                "version": declaration.version if declaration else None,
                "verdict": judged.verdict.value,
                "nature": judged.nature.value if judged.nature else None,
                "findings": sorted({finding.code for finding in judged.findings}),
            }
        )
    return {"messages": messages, "outgoing": [_sent_detail(item) for item in outcome.outgoing], "specs": specs}


def _may_settle(status: str, wanted: str) -> bool:
    """Tell whether a result still changes a request: the first does, and the one that ends a review."""
    return status == "accepted" or (status == "pending" and wanted != "pending")


def _claim_keys(connection: Connection, statement: Insert, rows: Sequence[dict[str, Any]], what: str) -> None:
    """Insert rows whose keys only one worker may have."""
    try:
        connection.execute(statement, rows)
    except IntegrityError as error:
        raise Conflict(f"{what} was taken by another worker") from error


def _head(connection: Connection) -> tuple[int, str]:
    """Return number and hash of the newest audit link."""
    row = connection.execute(HEAD).one_or_none()
    return (row.n, row.hash) if row else (0, GENESIS)


# ---------------------------------------------------------------------------------------------------- databases


def _engine(url: str) -> Engine:
    """Return the engine for a database URL, set up for durability and for failing in time."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise JournalUnavailable(
            "the database URL must be sqlite:///<file> or postgresql://<host>/<database>"
        ) from None
    kind = parsed.drivername.partition("+")[0]
    if kind in {"postgresql", "postgres"}:
        options = f"-c lock_timeout={LOCK_SECONDS}s -c statement_timeout=60s"
        options += " -c idle_in_transaction_session_timeout=60s"  # a stalled worker must not hold the chain's lock
        given = parsed.query.get("options", "")
        return create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            connect_args={
                "connect_timeout": 5,
                "options": f"{given} {options}" if isinstance(given, str) else options,
                "keepalives_idle": 5,
                "tcp_user_timeout": LOCK_SECONDS * 1000,
            },
        )
    if kind != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise JournalUnavailable(f"{_masked(parsed)}: the journal needs a SQLite file or PostgreSQL")
    engine = create_engine(parsed.set(drivername="sqlite+pysqlite"), connect_args={"timeout": LOCK_SECONDS})
    event.listen(engine, "do_connect", lambda *_: _make_file(parsed))
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Make a SQLite connection durable; transactions begin where we say."""
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock at once where there will be writing: a lock taken halfway can only fail."""
    reading = connection.get_execution_options().get("gateway_reading")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _make_file(url: URL) -> None:
    """Make a SQLite file that only its owner may read, if there is none yet."""
    path = Path(url.database or "")
    if path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        raise JournalUnavailable(f"{_masked(url)}: {error.strerror}") from error


def _masked(url: URL) -> str:
    """Return a URL without secrets."""
    return url.set(query={}).render_as_string(hide_password=True)


def _reason(url: URL, error: SQLAlchemyError) -> str:
    """Return the one line that tells what is wrong with the database."""
    cause = str(getattr(error, "orig", None) or error)
    line = " ".join(cause.split())[:300]
    if url.password:
        line = line.replace(url.password, "***")
    if "no such table" in line or ("relation" in line and "does not exist" in line):
        line = "it has no tables yet: the schema must be migrated first"
    return f"journal {_masked(url)}: {line}"
