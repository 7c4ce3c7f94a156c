"""The journal: every transmission, verdict, effect and answer in one database; each method is one transaction.

Receive commits before the queue is acknowledged; a claim counts an attempt before the work; finish writes a verdict
with its effects and answers at once; dispatch marks what was confirmed. So every step may be repeated after a crash.

`Journal` is the list of all that can be asked of it; each step is a function of the module that it names, which takes
the transaction's connection first. The statements of the common way are built once: building costs more than running.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine

from core.errors import GatewayError, JournalUnavailable
from gateway.bells import DISPATCH, WORK, Ring, silent
from gateway.journal import (
    backup,
    chores,
    database,
    desk,
    evidence,
    inbox,
    lists,
    outbox,
    replays,
    results,
    retention,
    schemas,
    verdicts,
    witness,
)
from gateway.journal.audit import AuditReport, Head, walk
from gateway.journal.chores import CHORES
from gateway.journal.database import file_of
from gateway.journal.desk import Chosen
from gateway.journal.inbox import WorkerRole
from gateway.journal.retention import Extent
from gateway.journal.rows import inbox_id
from gateway.journal.values import (
    MESSAGE_ID,
    Arrival,
    Asked,
    Claimed,
    Claims,
    Conflict,
    Due,
    Event,
    Execution,
    Recorded,
    Selection,
    Settlement,
    Told,
    Unproven,
)

__all__ = [
    "CHORES",
    "MESSAGE_ID",
    "Arrival",
    "Asked",
    "AuditReport",
    "Chosen",
    "Claimed",
    "Claims",
    "Conflict",
    "Due",
    "Event",
    "Execution",
    "Extent",
    "Head",
    "Journal",
    "Recorded",
    "Selection",
    "Settlement",
    "Told",
    "Unproven",
    "WorkerRole",
    "file_of",
    "inbox_id",
]  # fmt: skip

P = ParamSpec("P")
T = TypeVar("T")


def _reads(step: Callable[Concatenate[Connection, P], T]) -> Callable[Concatenate[Journal, P], T]:
    """Make a method of a step that only reads."""

    @wraps(step)
    def method(journal: Journal, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with journal._read() as connection:
            return step(connection, *args, **kwargs)

    return method


def _writes(step: Callable[Concatenate[Connection, P], T], *woken: str) -> Callable[Concatenate[Journal, P], T]:
    """Make a method of a step that writes, all of it or nothing, and then wakes the loops that it has made work for."""

    @wraps(step)
    def method(journal: Journal, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with journal._write() as connection:
            done = step(connection, *args, **kwargs)
        for name in woken:
            journal._ring(name)
        return done

    return method


class Snapshot:
    """A journal as of one moment."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def facts(self) -> dict[str, Any]:
        """Return what a copy must agree with. See `backup.facts`."""
        return backup.facts(self._connection)

    def write(self, folder: Path) -> None:
        """Write the copy into a folder."""
        backup.write(self._connection, folder)


class Journal:
    """The journal on SQLite or PostgreSQL; safe to share between threads, not across a fork."""

    def __init__(self, engine: Engine, ring: Ring = silent) -> None:
        self._engine, self._ring = engine, ring
        self._reading = engine.execution_options(gateway_reading=True)

    @classmethod
    def open(cls, url: str, ring: Ring = silent) -> Journal:
        """Return the journal at a database URL.

        Connects when first used; `ring` wakes loops that wait for what is written. Raises JournalUnavailable for a URL
        that is not of SQLite or PostgreSQL.
        """
        return cls(database.open_engine(url), ring)

    @property
    def url(self) -> str:
        """The database's URL without secrets, for logs."""
        return database.masked(self._engine.url)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        """Open a transaction that only reads."""
        with database.stored(self._engine.url), database.transaction(self._reading) as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        """Open a transaction that writes: all of it or nothing."""
        with database.transaction(self._engine) as connection:
            yield connection

    def telling(self) -> AbstractContextManager[None]:
        """Turn what cannot be told of what was read into one line: a row is damaged."""
        return database.stored(self._engine.url)

    check = _reads(evidence.check)
    probe = _writes(evidence.probe)

    def exists(self) -> bool:
        """Tell whether the database holds a journal; asking makes no file."""
        if not database.has_file(self._engine.url):
            return False
        with self._read() as connection:
            return database.has_tables(connection)

    def migrate(self) -> None:
        """Bring the tables to this version's state; safe to repeat and to run in several processes at once."""
        engine = database.open_engine(self._engine.url, making=True)
        try:
            with schemas.one_thread, database.transaction(engine) as connection:
                schemas.migrate(connection)
        finally:
            engine.dispose()

    def ready(self, *, make: bool = False, otherwise: str = "") -> None:
        """Raise GatewayError where there is no journal, unless it may be made, or its schema is another version's.

        `otherwise` is what else was looked for in vain.
        """
        if self.exists():
            self.check_schema()
        elif make:
            self.migrate()
        else:
            raise GatewayError(
                f"{otherwise}there is no journal at {self.url}: `gateway serve` makes one,"
                " GATEWAY_DATABASE_URL says where"
            )

    schema = _reads(schemas.schema)
    check_schema = _reads(schemas.check_schema)
    unfit = _reads(schemas.unfit)

    # What comes in, and the work on it.
    receive = _writes(inbox.receive, WORK, DISPATCH)
    kept_digest = _reads(inbox.kept_digest)

    def claim(self, worker: str, limit: int, lease_seconds: float, now: datetime, role: WorkerRole = "all") -> Claims:
        """Lease transmissions that wait for nothing, in turn by sender, and count the attempt, before any work on them.

        `worker` must be unique to the running process. What was tried before comes behind what was not, and alone; so
        does all that the role `tried` takes: a message that kills its worker does not use up the attempts of others.
        """
        with self._read() as connection:
            tried, fresh = inbox.find_work(connection, limit, now, role, lease_seconds)
        most = 1 if role == "tried" else limit
        for chosen in (*(fresh[at : at + most] for at in range(0, len(fresh), most)), *([one] for one in tried)):
            with self._write() as connection:
                claims = inbox.lease(connection, chosen, worker, most, lease_seconds, now)
            if claims:
                if len(claims.work) + len(claims.exhausted) < len(fresh) + len(tried):
                    self._ring(WORK)  # another worker may take the rest
                return claims
        return Claims()

    release = _writes(inbox.release)
    let_go = _writes(inbox.let_go)
    give_back = _writes(inbox.give_back)
    disown = _writes(inbox.disown, WORK)
    suspects = _reads(inbox.suspects)
    workers = _reads(inbox.workers)
    park = _writes(inbox.park, DISPATCH)
    unproven_lately = _reads(inbox.unproven_lately)
    facts = _reads(verdicts.facts)
    facts_of = _reads(verdicts.facts_of)
    finish = _writes(verdicts.finish, DISPATCH)
    answer_again = _writes(verdicts.answer_again, DISPATCH)
    asked = _reads(results.asked)
    settle = _writes(results.settle, DISPATCH)

    # What goes out.
    due = _reads(outbox.due)
    mark_sent = _writes(outbox.mark_sent)
    postpone = _writes(outbox.postpone)
    park_refused = _writes(outbox.park_refused)
    unpark = _writes(outbox.unpark)
    destinations = _reads(outbox.destinations)
    answered_at = _reads(outbox.answered_at)
    resend = _writes(outbox.resend, DISPATCH)

    # The far side, and what an operator ends there.
    partners = _reads(desk.partners)
    answer_queues = _reads(desk.answer_queues)
    requests = _reads(desk.requests)
    resend_requests = _writes(desk.resend_requests)
    open_answers = _reads(desk.open_answers)
    sent_answers = _reads(desk.sent_answers)
    resend_answers = _writes(desk.resend_answers)
    close_answers = _writes(desk.close_answers)

    # One of several gateways, and chores.
    take_lease = _writes(chores.take_lease)
    lease_holder = _reads(chores.lease_holder)
    end_lease = _writes(chores.end_lease)
    note_chore = _writes(chores.note_chore)
    chores = _reads(chores.chores)

    # Evidence.
    note = _writes(evidence.note)
    head = _reads(evidence.head)
    events = _reads(evidence.events)

    def verify(self, *heads: Head | tuple[int, str]) -> AuditReport:
        """Walk the audit chain and name the first row that is missing, changed or moved, or is not what is stored.

        Heads, as exported earlier, also show rows taken off the end and a chain written anew.
        """
        report = self.walk(*heads)
        if report.bad is None and (fault := witness.altered(self._read)):
            return replace(report, bad=fault[0], reason=fault[1])
        return report

    def walk(self, *heads: Head | tuple[int, str]) -> AuditReport:
        """Walk the audit chain by itself, whatever is stored of what it witnessed: a copy is what its journal was."""
        return walk(evidence.links(self._read), [Head(*head) for head in heads])

    # Copies.
    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Hold the journal as it is now in view, to be copied."""
        engine = database.open_engine(self._engine.url, making=True).execution_options(gateway_reading=True)
        try:
            with database.plainly(engine.url), backup.snapshot(engine) as connection:
                yield Snapshot(connection)
        finally:
            engine.dispose()

    def restore(self, folder: Path, facts: Mapping[str, Any], mark: str, operator: str, now: datetime) -> list[Path]:
        """Put the copy in a folder into this journal's place, record that, and verify what is there now.

        Files of before are set aside with the mark in their names, and returned; a PostgreSQL database must be empty.
        Raises JournalUnavailable when another kind, a newer schema or somebody at work stands in the way.
        """
        kind = self._engine.dialect.name
        if facts["kind"] != kind or facts["schema"] > schemas.needed():
            what = f"{facts['kind']}, schema {facts['schema']}"
            raise JournalUnavailable(f"{folder} is of {what}; {self.url} is {kind}, schema {schemas.needed()} at most")
        engine = database.open_engine(self._engine.url, making=True)
        aside: list[Path] = []
        try:
            if path := database.file_of(self._engine.url):
                self.close()
                aside = backup.set_aside(path, mark)
                backup.put(folder / backup.FILE, path)
            else:
                backup.read(engine, folder, facts["schema"], facts["columns"])
        finally:
            engine.dispose()
        with self._read() as connection:
            found = backup.facts(connection)
        report = self.walk((facts["head"]["n"], facts["head"]["hash"]))
        if any(found[name] != facts[name] for name in ("schema", "head", "rows")) or report.bad is not None:
            why = report.reason.en if report.reason else "rows differ"
            raise JournalUnavailable(f"journal {self.url} is not what {folder} held: {why}")
        with self._write() as connection:
            backup.restored(connection, facts, facts["taken"], operator, now)
        return aside

    # Lists, one life, figures, and decisions about what is parked.
    list_messages = _reads(lists.list_messages)
    newest = _reads(lists.newest)
    show = _reads(lists.show)
    unacknowledged = _reads(lists.unacknowledged)
    counts = _reads(lists.counts)
    release_parked = _writes(lists.release_parked)
    refuse_parked = _writes(lists.refuse_parked)

    # Replays.
    selected = _reads(replays.selected)
    count_selected = _reads(replays.count_selected)
    sequence_of = _reads(replays.sequence_of)
    recorded = _reads(replays.recorded)
    facts_then = _reads(replays.facts_then)
    keep_execution = _writes(replays.keep_execution)
    send_execution = _writes(replays.send_execution)
    execution = _reads(replays.execution_of)

    extent = _reads(retention.extent)

    def purge(self, before: Mapping[str, datetime], *, now: datetime, rehearse: bool = False) -> dict[str, int]:
        """Delete what is older than its kind may be, page by page; `rehearse` only counts. See `retention.purge`."""
        return retention.purge(self._read if rehearse else self._write, before, now=now, rehearse=rehearse)
