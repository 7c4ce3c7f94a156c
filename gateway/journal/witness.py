"""Compares what the audit chain witnessed with what is stored: bodies, verdicts, effects, answers, the engine's word.

The chain proves that its own rows are those that were written; that a transmission or an answer still is what it was
then is proven only here. What a former version did not witness is not compared.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Table, func, select, union_all

from core.declaration import Nature
from core.findings import Bilingual
from core.register import ACCEPTED, reaches
from core.transmission import digest_of
from gateway.journal.codec import undump
from gateway.journal.database import Transaction, among
from gateway.journal.outbox import OUTGOING
from gateway.journal.rows import EFFECT, VERDICT, AnyRow, digest_over, key_of, storable
from gateway.journal.tables import (
    assessment_request,
    audit,
    declaration_version,
    due,
    handled,
    inbox,
    message,
    outbox,
    sent,
    work,
)

# Transmissions compared in one transaction.
PAGE = 500

# A fault found: the number of the audit row that witnessed otherwise (0: none did), and what is wrong.
Damage = tuple[int, Bilingual]

# Declarations by number and whether they are tests'.
Expired = Collection[tuple[str, bool]]


def altered(reading: Transaction) -> Damage | None:
    """Return the first transmission of which something is not stored as it was witnessed, None if all is."""
    with reading() as connection:
        last = max(connection.scalar(select(func.max(each))) or 0 for each in (inbox.c.sequence, audit.c.subject))
        gone = connection.scalars(select(audit.c.detail).where(audit.c.event == "purged").order_by(audit.c.n)).all()
    purged = {sequence for text in gone for sequence in json.loads(text)["transmissions"]}
    expired = {(number, test) for text in gone for number, test in json.loads(text).get("declarations", ())}
    for first in range(1, last + 1, PAGE):
        with reading() as connection:
            for n, id_, what in _compare(connection, range(first, first + PAGE), purged, expired):
                return n, Bilingual(f"transmission {id_}: {what.en}", f"transmission {id_} : {what.fr}")
    return None


def altered_of(connection: Connection, sequence: int) -> Bilingual | None:
    """Return what of a transmission is not stored as it was witnessed, None if all is."""
    return next((what for *_, what in _compare(connection, [sequence], (), ())), None)


# What is compared of each table: a time that is not is not read, either.
COMPARED: Mapping[Table, tuple[str, ...]] = {
    inbox: ("sequence", "id", "uid", "channel", "partner", "digest", "body"),
    message: ("inbox", "ordinal", "transaction_number", "version", "verdict", "test", *VERDICT),
    outbox: ("inbox", "id", "kind", "body"),
    declaration_version: ("inbox", "status", "payment_due", *EFFECT),
    assessment_request: (
        "id", "transaction_number", "attempt", "inbox", "ordinal", "nature", "status", "result", "test",
    ),
    audit: ("n", "event", "subject", "detail"),
}  # fmt: skip


def _of(table: Table, column: str = "inbox") -> Any:
    return select(*(table.c[name] for name in COMPARED[table])).where(among(table.c[column], "mine"))


LINKS = _of(audit, "subject").order_by(audit.c.n)
REQUESTS_ABOUT = _of(assessment_request, "transaction_number")
BY_INBOX = {table: _of(table) for table in (message, outbox, declaration_version, assessment_request)}
TRANSMISSIONS = _of(inbox, "sequence")

# One statement each: a row that is just being moved is in one of the tables.
STANDS = union_all(*(select(each.c.sequence).where(among(each.c.sequence, "mine")) for each in (work, handled)))
NOWHERE = (
    select(outbox.c.inbox, outbox.c.id)
    .select_from(OUTGOING)
    .where(among(outbox.c.inbox, "mine"), due.c.position.is_(None) == sent.c.position.is_(None))
)


def _compare(
    connection: Connection, sequences: Collection[int], purged: Collection[int], expired: Expired
) -> Iterator[tuple[int, str, Bilingual]]:
    """Yield what is wrong with these transmissions, in order, each with its id; `expired` ones went with a purge."""
    mine = {"mine": list(sequences)}
    rows = {row.sequence: row for row in connection.execute(TRANSMISSIONS, mine).all()}
    parts = {table.name: _by_inbox(connection, table, mine) for table in (message, outbox, declaration_version)}
    numbers = sorted({row.transaction_number for some in parts["declaration_version"].values() for row in some})
    requests = connection.execute(REQUESTS_ABOUT, {"mine": numbers}).all()
    asked = _by_inbox(connection, assessment_request, mine)
    elsewhere = {row.inbox for row in requests} - set(sequences)
    about: dict[tuple[str, bool, int], list[AnyRow]] = defaultdict(list)
    for each in requests:
        about[each.transaction_number, each.test, each.attempt].append(each)
    links: dict[int, list[AnyRow]] = defaultdict(list)
    for link in connection.execute(LINKS, {"mine": [*sequences, *sorted(elsewhere)]}).all():
        links[link.subject].append(link)
    settled = _settled(link for some in links.values() for link in some)
    stands = Counter(connection.scalars(STANDS, mine))
    lost: dict[int, list[str]] = defaultdict(list)
    for inbox_, id_ in connection.execute(NOWHERE, mine):
        lost[inbox_].append(id_)
    for sequence in sequences:
        events = [(n, event, undump(detail)) for n, event, _, detail in links[sequence]]
        row = rows.get(sequence)
        if row is None:
            if events and sequence not in purged:
                gone = Bilingual("it is not stored any more", "elle n'est plus conservée")
                yield events[0][0], events[0][2].get("id", str(sequence)), gone
            continue
        tests = {each.ordinal: each.test for each in parts["message"][sequence]}
        found = (
            *_received(row, events),
            *_placed(stands[sequence], lost[sequence]),
            *_verdicts(parts["message"][sequence], events),
            *_answers(parts["outbox"][sequence], events),
            *_effects(parts["declaration_version"][sequence], events, tests, expired),
            *_requests(asked[sequence], settled, tests),
            *_statuses(parts["declaration_version"][sequence], about, settled, events),
        )
        yield from ((n, row.id, what) for n, what in found)


def _by_inbox(connection: Connection, table: Table, mine: Mapping[str, Any]) -> dict[int, list[AnyRow]]:
    found: dict[int, list[AnyRow]] = defaultdict(list)
    for row in connection.execute(BY_INBOX[table], mine).all():
        found[row.inbox].append(row)
    return found


Events = list[tuple[int, str, dict[str, Any]]]


def _received(row: AnyRow, events: Events) -> Iterator[Damage]:
    """Compare who sent what, and its bytes."""
    n, detail = next(((n, detail) for n, event, detail in events if event == "received"), (0, {}))
    if not n:
        yield 0, Bilingual("nothing witnessed that it was received", "rien n'atteste qu'elle a été reçue")
        return
    for name in ("id", "uid", "channel", "partner"):
        if detail[name] != getattr(row, name):
            yield n, Bilingual(f"its {name} is not what was received", f"son {name} n'est pas ce qui a été reçu")
    if not digest_of(row.body) == row.digest == detail["digest"]:
        yield n, Bilingual("its bytes are not what was received", "ses octets ne sont pas ceux qui ont été reçus")


def _placed(stands: int, lost: Iterable[str]) -> Iterator[Damage]:
    """Compare how it stands, and how its answers do: no foreign key says so."""
    if stands != 1:
        yield 0, Bilingual("it is neither open nor finished, or both", "elle n'est ni ouverte ni finie, ou les deux")
    for id_ in lost:
        yield (
            0,
            Bilingual(
                f"the answer {id_} is neither due nor sent, or both",
                f"la réponse {id_} n'est ni à envoyer ni envoyée, ou les deux",
            ),
        )


def _verdicts(rows: list[AnyRow], events: Events) -> Iterator[Damage]:
    """Compare the verdicts on its messages."""
    n, witnessed = 0, {}
    for number, event, detail in events:
        if event in ("judged", "refused by operator") and "messages" in detail:
            n, witnessed = number, {each["ordinal"]: each for each in detail["messages"]}
    stored = {row.ordinal: row for row in rows}
    for ordinal in sorted({*witnessed, *stored}):
        if ordinal not in witnessed or ordinal not in stored:
            missing = Bilingual(f"its message {ordinal} is missing", f"son message {ordinal} manque")
            unknown = Bilingual(
                f"its message {ordinal} is one that nobody judged", f"son message {ordinal} n'a été jugé par personne"
            )
            yield n, missing if ordinal in witnessed else unknown
            continue
        row, told = stored[ordinal], witnessed[ordinal]
        number, version = told["transaction_number"], told["version"]
        codes = sorted({finding["code"] for finding in undump(row.findings)})
        same = (row.verdict, row.nature, row.transaction_number, row.version, codes) == (
            told["verdict"],
            told["nature"],
            key_of(number) if number else None,
            storable(version) if version else None,
            told["findings"],
        )
        same = same and row.test == undump(row.envelope).get("test", False)
        if not same or told.get("digest", digest := digest_over(row._mapping, VERDICT)) != digest:
            yield (
                n,
                Bilingual(
                    f"the verdict on its message {ordinal} is not the one that was given",
                    f"le verdict sur son message {ordinal} n'est pas celui qui a été rendu",
                ),
            )


def _answers(rows: list[AnyRow], events: Events) -> Iterator[Damage]:
    """Compare what was sent about it, or is to be."""
    witnessed: dict[str, tuple[int, set[tuple[str, str]]]] = {}
    receipts = any(event == "received" and "outgoing" in detail for _, event, detail in events)
    for n, event, detail in events:
        for item in detail.get("outgoing", ()) if event != "replayed" else ():
            witnessed.setdefault(item["id"], (n, set()))[1].add((item["kind"], item["digest"]))
    for row in rows:
        n, said = witnessed.pop(row.id, (0, set()))
        if row.kind == "receipt" and not receipts:
            continue
        if (row.kind, digest_of(row.body)) not in said:
            yield (
                n,
                Bilingual(
                    f"the answer {row.id} ({row.kind}) is not the one that was written",
                    f"la réponse {row.id} ({row.kind}) n'est pas celle qui a été écrite",
                ),
            )
    for id_, (n, _) in witnessed.items():
        yield n, Bilingual(f"the answer {id_} is not stored any more", f"la réponse {id_} n'est plus conservée")


def _effects(rows: list[AnyRow], events: Events, tests: Mapping[int, bool], expired: Expired) -> Iterator[Damage]:
    """Compare what its messages, tests or not, made of declarations."""
    stored = {row.ordinal: row for row in rows}
    for n, event, detail in events:
        for told in detail.get("messages", ()) if event == "judged" else ():
            row = stored.pop(told["ordinal"], None)
            test = tests.get(told["ordinal"], False)
            if "effect" not in told or (row is None and (key_of(told["transaction_number"] or ""), test) in expired):
                continue
            if row is None or row.test != test or digest_over(row._mapping, EFFECT) != told["effect"]:
                ordinal = told["ordinal"]
                yield (
                    n,
                    Bilingual(
                        f"the version that its message {ordinal} made is not as it was",
                        f"la version issue de son message {ordinal} n'est plus ce qu'elle était",
                    ),
                )
    for ordinal in stored:
        yield (
            0,
            Bilingual(
                f"a version is on file that its message {ordinal} did not make",
                f"une version au dossier n'est pas issue de son message {ordinal}",
            ),
        )


Settled = dict[str, list[tuple[int, dict[str, Any]]]]


def _settled(links: Iterable[AnyRow]) -> Settled:
    """Return what the engine was witnessed to say of each request, in order."""
    found: Settled = defaultdict(list)
    for link in sorted(links, key=lambda link: link.n):
        if link.event == "settled":
            detail = undump(link.detail)
            found[detail["request"]].append((link.n, detail))
    return found


def _requests(rows: list[AnyRow], settled: Settled, tests: Mapping[int, bool]) -> Iterator[Damage]:
    """Compare the engine's word on its requests, each of its message's world."""
    for row in rows:
        n, detail = settled[row.id][-1] if settled[row.id] else (0, {"status": ACCEPTED})
        told = digest_of((row.result or "").encode()) if "\ufffd" not in (row.result or "") else detail.get("digest")
        same = row.status == detail["status"] and row.test == tests.get(row.ordinal, row.test)
        if not same or (n and told != detail["digest"]):
            yield (
                n,
                Bilingual(
                    f"the engine's word on the request {row.id} is not what it said",
                    f"ce que dit le moteur de la demande {row.id} n'est pas ce qu'il avait dit",
                ),
            )


def _statuses(
    rows: list[AnyRow], about: Mapping[tuple[str, bool, int], list[AnyRow]], settled: Settled, events: Events
) -> Iterator[Damage]:
    """Compare what its versions have become with what the engine said of all requests about them."""
    dues = {one["ordinal"]: one["payment_due"] for *_, d in events for one in d.get("messages", ()) if "effect" in one}
    for row in rows:
        status, n, due = ACCEPTED, 0, dues.get(row.ordinal, ...)
        key = row.transaction_number, row.test, row.attempt
        for number, detail, nature in sorted(
            ((n, detail, each.nature) for each in about.get(key, ()) for n, detail in settled[each.id]),
            key=lambda one: one[0],
        ):
            if reaches(Nature(nature), detail["status"], Nature(row.nature), status):
                status, n = detail["status"], number
                due = (detail["payment_due"] or due) if "payment_due" in detail else ...
        if status != row.status or due not in (..., row.payment_due and row.payment_due.isoformat()):
            number = row.transaction_number
            yield (
                n,
                Bilingual(
                    f"the version of {number} is not what became of it: {status}",
                    f"la version de {number} n'est pas ce qu'elle est devenue : {status}",
                ),
            )
