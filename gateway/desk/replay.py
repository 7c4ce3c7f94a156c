"""Replay: recorded transmissions through the pipeline once more, each on the facts of its own time; no effect."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from core.errors import GatewayError, JournalUnavailable
from core.findings import Bilingual
from core.register import Facts
from core.transmission import RESEND_OF, Outcome, Received
from gateway import pipeline
from gateway.journal import Journal, Recorded, Selection, Told
from gateway.plans import Plans
from gateway.senders import Partners, sender_of
from routing.partners import inbound_queue
from validators.sender import MISDIRECTED

# What is read from the journal and judged in one go: so many transmissions, at most so many bytes (or one larger).
PAGE, PAGE_BYTES = 100, 4_000_000


class Change(NamedTuple):
    """One message that is judged otherwise: verdicts before and after ("": there was no such message), and why.

    `new` and `gone` are finding codes; `text` and `place` are those of the first new finding, where there is one.
    """

    id: str
    ordinal: int
    partner: str
    type: str
    transaction_number: str
    reference: str
    received_at: str
    before: str
    after: str
    new: tuple[str, ...]
    gone: tuple[str, ...]
    text: Bilingual | None = None
    place: str = ""
    value: str = ""

    @property
    def turned(self) -> bool:
        """Whether the verdict itself is another."""
        return self.before != self.after


def sequence_of(journal: Journal, id_: str) -> int:
    """Return the sequence of a message by its id; raises GatewayError if there is none."""
    sequence = journal.sequence_of(id_)
    if sequence is None:
        raise unknown(id_)
    return sequence


def unknown(id_: str) -> GatewayError:
    """Return the error that an id, or the start of one, is no message's."""
    en, fr = f"no message has an id that starts with {id_!r}", f"aucun message n'a un identifiant en {id_!r}"
    return GatewayError(Bilingual(en, fr))


def judge_again(
    rows: Sequence[Recorded], journal: Journal, plans: Plans, partners: Partners, name: Callable[[Recorded], str]
) -> Iterator[tuple[Recorded, Outcome | Exception]]:
    """Carry recorded transmissions through the pipeline, each on what was known when it was judged.

    `name` gives each execution its own id, from which its answers' ids follow. Senders and their authorities are those
    of the partners' file (delegations have their periods); the clock is the time of receipt.
    """
    parsed: dict[int, Any] = {}
    failed: dict[int, Exception] = {}
    for row in rows:
        try:
            parsed[row.sequence] = pipeline.parse(Received(name(row), row.partner, row.body, row.received_at), plans)
        except Exception as error:  # it is the pipeline's own fault, and the others are to be judged all the same
            failed[row.sequence] = error
    asked = [
        (
            row,
            [m.declaration.transaction_number or "" for m in parsed[row.sequence].messages if m.declaration],
            [m.number for m in parsed[row.sequence].messages if m.number],
        )
        for row in rows
        if row.sequence in parsed
    ]
    known = {row.sequence: each for (row, _, _), each in zip(asked, journal.facts_then(asked), strict=True)}
    owners = {inbound_queue(each): partner for each, partner in partners.items()}
    for row in rows:
        if row.sequence in failed:
            yield row, failed[row.sequence]
            continue
        if row.unproven:
            owner = None if row.unproven.code == MISDIRECTED else owners.get(row.unproven.queue)
            facts = Facts(owner, unproven=row.unproven.code)
        else:
            said = [message.envelope.sender for message in parsed[row.sequence].messages]
            facts = Facts(sender_of(row.received, partners, journal, said), known[row.sequence])
        try:
            yield row, pipeline.judge(parsed[row.sequence], facts, plans)
        except JournalUnavailable:
            raise
        except Exception as error:
            yield row, error


def compare(row: Recorded, outcome: Outcome) -> Iterator[tuple[str, str, Change | None]]:
    """Yield, for each message of a transmission, the verdicts before and after, and the change if there is one."""
    before = {told.ordinal: told for told in row.messages}
    after = {judged.message.ordinal: judged for judged in outcome.judged}
    for ordinal in sorted({*before, *after}):
        told, judged = before.get(ordinal), after.get(ordinal)
        was, now = (
            Counter(told.codes if told else ()),
            Counter(f.code for f in judged.findings) if judged else Counter(),
        )
        verdicts = told.verdict if told else "", str(judged.verdict) if judged else ""
        if was == now and verdicts[0] == verdicts[1]:
            yield *verdicts, None
            continue
        new, gone = sorted((now - was).elements()), sorted((was - now).elements())
        findings = judged.findings if judged else ()
        # The reason of another verdict is a finding that refuses, where there is one.
        fresh = sorted((f for f in findings if f.code in new), key=lambda finding: finding.severity)
        first = fresh[0] if fresh else None
        declaration = judged.message.declaration if judged else None
        envelope = judged.message.envelope if judged else None
        yield (
            *verdicts,
            Change(
                id=row.id,
                ordinal=ordinal,
                partner=row.partner or "",
                type=str(judged.message.type) if judged else told.type if told else "",
                transaction_number=_number(told, declaration.transaction_number if declaration else None),
                reference=(told.reference if told else None) or (envelope.reference if envelope else None) or "",
                received_at=row.received_at.isoformat(timespec="seconds"),
                before=verdicts[0],
                after=verdicts[1],
                new=tuple(new),
                gone=tuple(gone),
                text=first.text if first else None,
                place=first.place.pointer or "" if first else "",
                value=first.value or "" if first else "",
            ),
        )


def _number(told: Told | None, read: str | None) -> str:
    return (told.transaction_number if told else None) or read or ""


def agrees(row: Recorded, outcome: Outcome) -> bool:
    """Tell whether a replay gives what the journal holds: it has a verdict, and every message the same again."""
    return bool(row.messages) and all(change is None for _, _, change in compare(row, outcome))


def reason_of(error: Exception) -> str:
    """Return why the pipeline could not carry a message; an unexpected error's own text could repeat its data."""
    return str(error) if isinstance(error, GatewayError) else type(error).__name__


def pages(journal: Journal, wanted: Selection) -> Iterator[list[int]]:
    """Yield the selected transmissions in the order of receipt, in pages that fit into memory."""
    page: list[int] = []
    size = after = 0
    while found := journal.selected(wanted, after):
        for sequence, length in found:
            if page and (len(page) == PAGE or size + length > PAGE_BYTES):
                yield page
                page, size = [], 0
            page.append(sequence)
            size += length
        after = found[-1][0]
    if page:
        yield page


def again(
    journal: Journal, wanted: Selection, some: Sequence[int], plans: Plans, partners: Partners
) -> Iterator[tuple[Recorded, Outcome | Exception]]:
    """Yield `some` messages, else the selected ones, judged again; what repeats an earlier one was judged never."""
    for page in iter([list(some)]) if some else pages(journal, wanted):
        rows = [row for row in journal.recorded(page) if row.channel == "partner"]
        repeats = [row for row in rows if (row.note or "").startswith(RESEND_OF)]
        for row in repeats:
            yield row, Repeat(row.note or "")
        judged = [row for row in rows if row not in repeats]
        yield from judge_again(judged, journal, plans, partners, lambda _: uuid.uuid4().hex)


class Repeat(GatewayError):
    """A transmission that repeated an earlier one: it was answered with the stored answers, and judged never."""


def recorded_as(name: str, outcome: Outcome) -> Recorded:
    """Return a file's outcome as the journal would have recorded it, for comparing."""
    received = outcome.received
    messages = tuple(
        Told(
            one.message.ordinal,
            str(one.message.type),
            str(one.verdict),
            tuple(finding.code for finding in one.findings),
            one.message.declaration.transaction_number if one.message.declaration else None,
            one.message.envelope.reference,
        )
        for one in outcome.judged
    )
    return Recorded(
        sequence=0, id=name, partner=received.partner or _said(outcome), received_at=received.received_at,
        body=received.body, digest=received.digest, headers={}, channel="partner", state="done", note=None,
        judged_at=received.received_at, specs=None, messages=messages,
    )  # fmt: skip


def _said(outcome: Outcome) -> str:
    """Return whom a transmission's envelope names as its sender."""
    return next((one.message.envelope.sender for one in outcome.judged if one.message.envelope.sender), "")


def change_as_json(change: Change) -> dict[str, Any]:
    """Return a change as the JSON of the report."""
    content = change._asdict() | {"new": list(change.new), "gone": list(change.gone)}
    return content | {"text": change.text._asdict() if change.text else None}
