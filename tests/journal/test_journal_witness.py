"""What the audit chain witnessed is compared with what is stored; on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import date

import pytest
import sqlalchemy

from core.declaration import Nature
from core.transmission import digest_of
from gateway.journal import Journal, Settlement, inbox_id
from tests.support.journals import NOW, accept, bring, delivery, outcome, outgoing, result, sent


def fill(journal: Journal) -> None:
    """Take in an accepted, a refused, an assessed and a withdrawn message, and one that waits."""
    request = accept(journal)
    sent(journal)
    settled = Settlement(request, "pending", (outgoing("pending", request),))
    assert journal.settle([(result(journal, "r0"), settled)], now=NOW) == [True]
    settled = Settlement(request, "assessed", (outgoing("assessed", request),), date(2026, 7, 1))
    assert journal.settle([(result(journal, "r1"), settled)], now=NOW) == [True]
    row = bring(journal, "b")
    assert journal.finish([(row, outcome(row, number="2", accepted=False))], specs="d", now=NOW) == [True]
    assert accept(journal, "c", nature=Nature.WITHDRAWAL)
    receipt = outgoing("receipt", "d", ordinal=None)
    assert journal.receive([delivery("d", receipt=receipt)]) == [True]


def test_what_nobody_touched_holds(journal: Journal) -> None:
    fill(journal)
    assert journal.verify(journal.head()).bad is None
    assert all((journal.show(inbox_id(uid)) or {})["intact"] for uid in ("a", "b", "c", "d", "r0", "r1"))


def told(journal: Journal) -> str:
    reason = journal.verify().reason
    assert reason
    assert reason.en != reason.fr
    return reason.en


def change(raw: sqlalchemy.Engine, statement: str) -> None:
    """Run a statement, in which `<a>` stands for the id of a transmission and `inbox = <a>` for its sequence."""
    for uid in ("a", "b", "c", "d", "r0", "r1"):
        whole = "inbox = (SELECT sequence FROM inbox WHERE id = <>)".replace("<>", f"<{uid}>")
        statement = statement.replace(f"inbox = <{uid}>", whole)
        statement = statement.replace(f"<{uid}>", f"'{inbox_id(uid)}'")
    if raw.dialect.name == "postgresql":
        statement = statement.replace("X'00'", "'\\x00'::bytea").replace("X''", "''::bytea")
    with raw.begin() as connection:
        assert connection.exec_driver_sql(statement).rowcount


OPEN_AND_DONE = """
    INSERT INTO work (sequence, channel, partner, lane, received_at, size, attempts)
    SELECT sequence, channel, partner, lane, received_at, 1, 1 FROM inbox WHERE id = <a>
"""


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE inbox SET body = X'00' WHERE id = <a>", "its bytes"),
        (f"UPDATE inbox SET body = X'', digest = '{digest_of(b'')}' WHERE id = <a>", "its bytes"),  # noqa: S608
        ("UPDATE inbox SET partner = 'P2' WHERE id = <d>", "its partner"),
        ("UPDATE inbox SET channel = 'partner' WHERE id = <r1>", "its channel"),
        ("UPDATE message SET verdict = 'accepted' WHERE inbox = <b>", "the verdict"),
        ("UPDATE message SET findings = '[]' WHERE inbox = <b>", "the verdict"),
        ("UPDATE message SET findings = replace(findings, 'ours', 'mine') WHERE inbox = <b>", "the verdict"),
        ("UPDATE message SET transaction_number = '9' WHERE inbox = <a>", "the verdict"),
        ("DELETE FROM message WHERE inbox = <b>", "message 1 is missing"),
        ("UPDATE message SET ordinal = 2 WHERE inbox = <b>", "message 1 is missing"),
        ("UPDATE outbox SET body = X'00' WHERE kind = 'accepted'", "the answer"),
        ("UPDATE outbox SET body = X'00' WHERE kind = 'assessed'", "the answer"),
        ("UPDATE outbox SET body = X'00' WHERE kind = 'receipt'", "the answer"),
        ("UPDATE outbox SET kind = 'accepted' WHERE kind = 'refused'", "the answer"),
        ("DELETE FROM outbox WHERE kind = 'refused'", "the answer"),
        ("UPDATE declaration_version SET declaration = replace(declaration, '1.50', '1.49')", "the version"),
        ("UPDATE declaration_version SET status = 'pending'", "the version"),
        ("UPDATE declaration_version SET payment_due = '2027-01-01'", "the version"),
        ("DELETE FROM declaration_version", "the version"),
        ("UPDATE declaration_version SET test = true", "the version"),
        ("UPDATE message SET test = true WHERE inbox = <b>", "the verdict"),
        ("UPDATE assessment_request SET test = true WHERE inbox = <a>", "the engine's word"),
        ("UPDATE assessment_request SET status = 'refused' WHERE inbox = <a>", "the engine's word"),
        ("UPDATE assessment_request SET result = 'x' WHERE inbox = <a>", "the engine's word"),
        ("DELETE FROM handled WHERE note IS NULL", "neither open nor finished"),
        ("DELETE FROM work", "neither open nor finished"),
        (OPEN_AND_DONE, "open nor finished, or both"),
        ("DELETE FROM due", "neither due nor sent"),
        ("INSERT INTO sent (position, attempts) SELECT position, 1 FROM due", "neither due nor sent, or both"),
    ],
)
def test_what_was_changed_behind_the_chain_is_told(
    journal: Journal, raw: sqlalchemy.Engine, statement: str, words: str
) -> None:
    fill(journal)
    change(raw, statement)
    report = journal.verify(journal.head())
    assert report.bad is not None
    assert words in told(journal)
    lives = [journal.show(inbox_id(uid)) for uid in ("a", "b", "c", "d", "r0", "r1")]
    assert [life["intact"] for life in lives if life].count(False) >= 1


def test_a_transmission_that_is_gone_or_that_nobody_received_is_told(journal: Journal, raw: sqlalchemy.Engine) -> None:
    fill(journal)
    change(raw, "DELETE FROM outbox WHERE kind = 'receipt'")
    change(raw, "DELETE FROM inbox WHERE id = <d>")
    assert f"{inbox_id('d')}: it is not stored any more" in told(journal)
    change(raw, "UPDATE inbox SET sequence = 99, uid = 'x' WHERE id = <r0>")
    assert "is not stored any more" in told(journal)
