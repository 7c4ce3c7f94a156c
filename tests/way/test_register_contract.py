"""One contract over both twins: the journal behind the service's own steps, and the register that is carried along.

Whatever comes in whatever order, both hold the same facts, give the same verdicts, and tell the same of a time past.
The test of the test: registers and journals that are wrong on purpose must each be caught.
"""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from unittest import mock

import pytest

from core.declaration import Nature, VersionFact
from core.register import REFUSED, Reference, Register
from core.transmission import Judged, Received
from gateway.journal import Journal, results, verdicts
from gateway.journal.tables import metadata
from tests.support.effort import times
from tests.support.twins import run

# ------------------------------------------------------------------------------------------------ on both databases


@functools.cache
def _empty() -> tuple[tempfile.TemporaryDirectory[str], Path]:
    """Return an empty journal on SQLite, to be copied."""
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / "empty.sqlite3"
    journal = Journal.open(f"sqlite:///{path}")
    journal.migrate()
    journal.close()
    return folder, path


@contextmanager
def on_sqlite() -> Iterator[Journal]:
    with tempfile.TemporaryDirectory() as folder:
        path = shutil.copy(_empty()[1], folder)
        journal = Journal.open(f"sqlite:///{path}")
        try:
            yield journal
        finally:
            journal.close()


def told(figures: Counter[str], runs: int) -> None:
    """Print the figures, and see that every kind of thing happened."""
    print(f"{runs} runs, {figures['steps']} steps with all facts compared: {dict(sorted(figures.items()))}")
    if runs >= 50:  # fewer may well miss one
        assert min(figures[name] for name in ("original", "correction", "withdrawal", "refused", "resend")) > 0
        assert figures["again under a refused number"] > 0
        assert figures["test"] > 0


def test_the_journal_on_sqlite_is_the_registers_twin() -> None:
    runs = times(0.5)
    told(run(on_sqlite, examples=runs), runs)


@pytest.mark.broker
class TestOnPostgreSQL:
    def test_the_journal_is_the_registers_twin(self, postgres_url: str) -> None:
        journal = Journal.open(postgres_url)
        journal.migrate()
        names = ", ".join(metadata.tables)

        @contextmanager
        def emptied() -> Iterator[Journal]:
            with journal._write() as connection:
                connection.exec_driver_sql("ALTER TABLE audit DISABLE TRIGGER audit_no_change")
                connection.exec_driver_sql(f"TRUNCATE {names} RESTART IDENTITY")
                connection.exec_driver_sql("ALTER TABLE audit ENABLE TRIGGER audit_no_change")
            yield journal

        runs = times(0.25)
        told(run(emptied, examples=runs), runs)
        journal.close()


# ------------------------------------------------------------------------------------------------ the test of the test


class IgnoresRefusals(Register):
    """Takes what the engine refused for accepted."""

    def settled(self, request_id: str, status: str, payment_due: date | None = None) -> Register:
        return self if status == REFUSED else super().settled(request_id, status, payment_due)


class CountsRefused(Register):
    """Lets a refused version stand in the way of the next."""

    def history(self, number: str | None) -> tuple[VersionFact, ...]:
        return self.attempts(number)


class ForgetsWithdrawals(Register):
    """Knows nothing of a withdrawal until the engine has spoken."""

    def _with_effect(self, effect: VersionFact) -> Register:
        return self if effect.nature is Nature.WITHDRAWAL else super()._with_effect(effect)


class KeepsReferences(Register):
    """Uses up a reference with whatever came first, refused or not."""

    def _references_after(self, received: Received, mine: Sequence[Judged]) -> dict[tuple[str, str], Reference]:
        return {**super()._references_after(received, mine), **self.references}


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [IgnoresRefusals, CountsRefused, ForgetsWithdrawals, KeepsReferences])
def test_a_register_that_is_wrong_on_purpose_is_caught(mutant: type[Register]) -> None:
    with pytest.raises(AssertionError):
        run(on_sqlite, kind=mutant, examples=50, mutant=True)


JOURNALS = {
    "settles what is settled": (results, "may_settle", lambda status, wanted: True),
    "lets a refused withdrawal change its version": (results, "reaches", lambda *_: True),
    "takes the version for the key": (
        verdicts,
        "version_row",
        lambda row, judged, effect: {**_version_row(row, judged, effect), "attempt": effect.version},
    ),
}
_version_row = verdicts.version_row


@pytest.mark.slow
@pytest.mark.parametrize("mutant", JOURNALS)
def test_a_journal_that_is_wrong_on_purpose_is_caught(mutant: str) -> None:
    with mock.patch.object(*JOURNALS[mutant]), pytest.raises(AssertionError):
        run(on_sqlite, examples=50, mutant=True)
