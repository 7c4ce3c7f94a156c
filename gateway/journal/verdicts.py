"""What was made of it: the facts to judge by, and verdicts with all their effects."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, bindparam, exists, select, update
from sqlalchemy.exc import IntegrityError

from core.declaration import Declaration, Nature, VersionFact
from core.register import UNDECIDED, Reference, Register
from core.transmission import RESEND_OF, Acknowledgement, Outcome, Verdict
from gateway.journal.codec import decode_declaration
from gateway.journal.database import among, among_pairs, insert_rows
from gateway.journal.evidence import chain
from gateway.journal.inbox import close, still_held
from gateway.journal.outbox import due_again, send
from gateway.journal.rows import (
    AnyRow,
    effect_detail,
    fact_of,
    found_by,
    judged_detail,
    key_of,
    message_row,
    outgoing_row,
    storable,
    version_row,
)
from gateway.journal.tables import (
    assessment_request,
    declaration_version,
    inbox,
    interchange_reference,
    message,
    message_term,
    outbox,
)
from gateway.journal.values import Claimed, Conflict

# What a partner's CONTRL may say of it (0083): rejected, acknowledged, received.
ACTIONS = ("4", "7", "8")

# What we give an answer's interchange as its control reference: so many characters of the answer's id.
CONTROL_REFERENCE = re.compile("[0-9a-f]{14}")

# Whether a request to withdraw a version waits for the engine.
WITHDRAWAL_ASKED = (
    exists()
    .where(
        assessment_request.c.transaction_number == declaration_version.c.transaction_number,
        assessment_request.c.test == declaration_version.c.test,
        assessment_request.c.attempt == declaration_version.c.attempt,
        assessment_request.c.nature == Nature.WITHDRAWAL.value,
        assessment_request.c.status.in_(sorted(UNDECIDED)),
    )
    .correlate(declaration_version)
    .label("withdrawal")
)
VERSIONS = (
    select(*(column for column in declaration_version.c if column.name != "declaration"), WITHDRAWAL_ASKED)
    .where(among(declaration_version.c.transaction_number, "numbers"))
    .order_by(declaration_version.c.transaction_number, declaration_version.c.attempt)
)

# The declarations of a number with few versions; of any other only those that are looked into: ever so many versions
# of three thousand lines would be read for each change (DECISIONS D100).
FEW = 3
_VERSION_KEY = declaration_version.c.transaction_number, declaration_version.c.test, declaration_version.c.attempt
DECLARATIONS = select(*_VERSION_KEY, declaration_version.c.declaration).where(
    among(declaration_version.c.transaction_number, "numbers")
)
SOME_DECLARATIONS = DECLARATIONS.where(among(declaration_version.c.attempt, "attempts"))
UNREAD = Declaration({})

VERSION_ON_FILE = select(declaration_version.c.version).where(
    declaration_version.c.transaction_number == bindparam("number"),
    declaration_version.c.test == bindparam("test"),
    declaration_version.c.attempt == bindparam("wanted"),
)

THESE_REFERENCES = among_pairs(interchange_reference.c.partner, interchange_reference.c.reference, "keys")

# Asked for one, not whether there is any: EXISTS may be answered by reading all accepted messages of seven years first.
ACCEPTED_UNDER_IT = (
    select(message.c.inbox)
    .where(
        message.c.inbox == interchange_reference.c.inbox,
        message.c.test == interchange_reference.c.test,
        message.c.verdict == Verdict.ACCEPTED.value,
    )
    .limit(1)
    .correlate(interchange_reference)
    .scalar_subquery()
)

USED = (
    select(
        interchange_reference.c.partner,
        interchange_reference.c.reference,
        interchange_reference.c.test,
        interchange_reference.c.digest,
        interchange_reference.c.inbox,
        inbox.c.id,
        ACCEPTED_UNDER_IT.is_not(None).label("accepted"),
    )
    .join(inbox, inbox.c.sequence == interchange_reference.c.inbox)
    .where(THESE_REFERENCES)
)


def facts(
    connection: Connection, partner: str | None, transaction_numbers: Iterable[str], references: Iterable[str]
) -> Register:
    """Return what is on file of the transaction numbers and of the partner's references in their number spaces."""
    return facts_of(connection, [(partner, transaction_numbers, references)])[0]


def facts_of(
    connection: Connection, asked: Sequence[tuple[str | None, Iterable[str], Iterable[str]]]
) -> list[Register]:
    """Return `facts` for several transmissions at once: on PostgreSQL the round trips are what takes the time."""
    numbers = [{key_of(number): number for number in wanted} for _, wanted, _ in asked]
    given = [
        {(key_of(partner or ""), key_of(reference)): (partner or "", reference) for reference in wanted}
        for partner, _, wanted in asked
    ]
    versions = _versions(connection, sorted({key for wanted in numbers for key in wanted}))
    used = _used(connection, {key for wanted in given for key in wanted})

    registers = []
    for ours, theirs in zip(numbers, given, strict=True):
        production, tests = (
            Register(
                {number: tuple(versions[key, test]) for key, number in ours.items() if (key, test) in versions},
                {
                    whose: Reference(one.digest, one.id, bool(one.accepted))
                    for key, whose in theirs.items()
                    if (one := used.get((*key, test)))
                },
            )
            for test in (False, True)
        )
        registers.append(production.beside(tests))
    return registers


def _versions(connection: Connection, numbers: Sequence[str]) -> dict[tuple[str, bool], list[VersionFact]]:
    """Return the versions on file by number and world, with the declarations that may be looked into."""
    versions: dict[tuple[str, bool], list[VersionFact]] = defaultdict(list)
    for row in connection.execute(VERSIONS, {"numbers": numbers}):
        versions[row.transaction_number, row.test].append(fact_of(row, UNREAD))
    wanted: dict[str, set[int]] = defaultdict(set)
    for (number, _), facts in versions.items():
        wanted[number] |= Register({number: tuple(facts)}).looked_at(number)
    few = sorted(n for n in wanted if len(versions.get((n, False), ())) + len(versions.get((n, True), ())) <= FEW)
    rows = list(connection.execute(DECLARATIONS, {"numbers": few})) if few else []
    for number in sorted(wanted.keys() - set(few)):
        rows += connection.execute(SOME_DECLARATIONS, {"numbers": [number], "attempts": sorted(wanted[number])})
    texts = {(row.transaction_number, row.test, row.attempt): row.declaration for row in rows}
    return {
        key: [
            replace(fact, declaration=decode_declaration(texts[*key, fact.attempt]))
            if (*key, fact.attempt) in texts
            else fact
            for fact in facts
        ]
        for key, facts in versions.items()
    }


def _used(connection: Connection, keys: Set[tuple[str, str]]) -> dict[tuple[str, str, bool], AnyRow]:
    """Return who uses these references of partners, in either world."""
    return {(row.partner, row.reference, row.test): row for row in connection.execute(USED, {"keys": sorted(keys)})}


def finish(connection: Connection, done: Sequence[tuple[Claimed, Outcome]], *, specs: str, now: datetime) -> list[bool]:
    """Write verdicts with all their effects and answers at once; False where the lease was lost: no effect.

    `specs` is the digest of the specification data that judged. Raises Conflict, with nothing written, when
    another worker took a version or reference that these outcomes rely on; since two outcomes of one call can
    also collide, the caller then judges and finishes them one at a time.
    """
    held = still_held(connection, [row for row, _ in done])
    kept = [(row, outcome) for row, outcome in done if row.sequence in held]
    messages, outgoing = [], []
    events: list[tuple[datetime, str, int | None, object]] = []
    written: dict[int, list[dict[str, Any]]] = {}
    for row, outcome in kept:
        written[row.sequence] = [message_row(row, judged, specs, now) for judged in outcome.judged]
        messages += written[row.sequence]
        outgoing += [outgoing_row(item, row.sequence, now, item.ordinal) for item in outcome.outgoing]
    insert_rows(connection, message, messages)
    insert_rows(connection, message_term, [term for row, outcome in kept for term in found_by(row, outcome)])
    effects = _take_versions(connection, kept)
    for row, outcome in kept:
        detail = judged_detail(outcome, specs, written[row.sequence], effects[row.sequence])
        events.append((now, "judged", row.sequence, detail))
    _take_references(connection, kept)
    send(connection, outgoing)
    notes: dict[int, str] = {}
    for row, outcome in kept:
        if outcome.acknowledged:
            told = [_acknowledge(connection, row, each, now, events) for each in outcome.acknowledged]
            notes[row.sequence] = "; ".join(told)[:500]
    close(connection, [(row, "done", notes.get(row.sequence)) for row, _ in kept], now)
    chain(connection, events)
    return [row.sequence in held for row, _ in done]


def _acknowledge(
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
    action, error = storable(said.action), storable(said.error) if said.error else None
    if answer is None or action not in ACTIONS:
        note = "acknowledges no answer of ours" if answer is None else "says nothing that we know of our answer"
        events.append((now, "ignored", row.sequence, {"reference": storable(said.reference), "why": note}))
        return note
    rejected = action == "4"
    if answer.acknowledgement != action:
        values = {"acknowledgement": action, "acknowledged_at": now}
        connection.execute(update(outbox).where(outbox.c.id == answer.id).values(values))
        detail = {"answer": answer.id, "by": row.id, "digest": row.digest, "action": action, "error": error}
        events.append((now, "answer rejected" if rejected else "acknowledged", answer.inbox, detail))
    return f"{'rejects' if rejected else 'acknowledges'} {answer.id}"


def _take_versions(
    connection: Connection, kept: Sequence[tuple[Claimed, Outcome]]
) -> defaultdict[int, dict[int, dict[str, object]]]:
    """Write the effects on declarations and the requests; a withdrawal of a version on file is a request only.

    Returns what the audit chain keeps of the versions, by transmission and ordinal.
    """
    rows: dict[tuple[str, bool, int], dict[str, Any]] = {}
    requests = []
    for row, outcome in kept:
        asked = {item.ordinal: item.id for item in outcome.outgoing if item.kind == "request"}
        for judged in outcome.judged:
            if judged.effect is None:
                continue
            values = version_row(row, judged, judged.effect)
            if judged.message.ordinal in asked:
                shared = ("transaction_number", "test", "attempt", "version", "inbox", "ordinal", "nature", "status")
                requests.append({name: values[name] for name in shared} | {"id": asked[judged.message.ordinal]})
            key = values["transaction_number"], values["test"], values["attempt"]
            if judged.effect.nature is Nature.WITHDRAWAL:
                on_file = rows[key]["version"] if key in rows else _version_on_file(connection, *key)
                if on_file == values["version"]:
                    continue
            if key in rows:
                raise Conflict("two messages of the batch make one version")
            rows[key] = values
    if rows:
        # Always in the same order, so that two workers wait for each other in one direction only.
        ordered = [rows[key] for key in sorted(rows)]
        _claim_keys(connection, declaration_version, ordered, "a version of these declarations")
    insert_rows(connection, assessment_request, requests)
    effects: defaultdict[int, dict[int, dict[str, object]]] = defaultdict(dict)
    for values in rows.values():
        effects[values["inbox"]][values["ordinal"]] = effect_detail(values)
    return effects


def _version_on_file(connection: Connection, number: str, test: bool, attempt: int) -> int | None:
    """Return the version of an attempt on file, None if there is no such attempt."""
    return connection.scalar(VERSION_ON_FILE, {"number": number, "test": test, "wanted": attempt})


def _take_references(connection: Connection, kept: Sequence[tuple[Claimed, Outcome]]) -> None:
    """Remember the references used; one that is taken matters only when a message was accepted under it."""
    rows: dict[tuple[str, str, bool], dict[str, Any]] = {}
    accepted = set()
    for row, outcome in kept:
        for judged in outcome.judged:
            if not (number := judged.message.number) or judged.acknowledges:
                continue  # a CONTRL may be repeated: it uses up nothing
            key = key_of(row.partner or ""), key_of(number), judged.message.envelope.test
            mine = {"partner": key[0], "reference": key[1], "test": key[2], "inbox": row.sequence, "digest": row.digest}
            first = rows.setdefault(key, mine)
            if judged.verdict is Verdict.ACCEPTED:
                accepted.add(key)
                if first["inbox"] != row.sequence:
                    raise Conflict("two transmissions of the batch carry one reference")
    if not rows:
        return
    used = _used(connection, {key[:2] for key in rows})
    used = {key: row for key, row in used.items() if key in rows}
    for key in sorted(used):
        # What refused messages used passes on to who comes after them; what an accepted one used does not.
        passed = not used[key].accepted and _pass_reference(connection, used[key], rows[key])
        if key in accepted and not passed:
            raise Conflict("another transmission took the reference")
    fresh = [rows[key] for key in sorted(rows) if key not in used]
    if fresh:
        _claim_keys(connection, interchange_reference, fresh, "a reference of these transmissions")


def _pass_reference(connection: Connection, used: AnyRow, values: dict[str, Any]) -> bool:
    """Let a reference belong to another transmission, unless it does already; tell whether that was done."""
    passing = update(interchange_reference).where(
        interchange_reference.c.partner == used.partner,
        interchange_reference.c.reference == used.reference,
        interchange_reference.c.test == used.test,
        interchange_reference.c.inbox == used.inbox,
    )
    return connection.execute(passing.values(inbox=values["inbox"], digest=values["digest"])).rowcount == 1


def _claim_keys(connection: Connection, table: Table, rows: Sequence[dict[str, Any]], what: str) -> None:
    """Insert rows whose keys only one worker may have."""
    try:
        insert_rows(connection, table, rows)
    except IntegrityError as error:
        raise Conflict(f"{what} was taken by another worker") from error


def answer_again(connection: Connection, row: Claimed, first: str, now: datetime) -> int:
    """Answer a resend with the stored answers to its first transmission (its inbox id); return their number.

    Same ids, same bytes; the resend itself has no effect. 0 also when the lease was lost.
    """
    if not still_held(connection, [row]):
        return 0
    close(connection, [(row, "done", f"{RESEND_OF}{first}")], now)
    return due_again(connection, first, row.sequence, now)
