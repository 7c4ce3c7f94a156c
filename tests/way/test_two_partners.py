"""Nothing that one partner sends changes what another can do, is answered or can find out (DECISIONS D67)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import product
from typing import Any
from unittest import mock

import pytest

from core.declaration import Invoice
from core.register import Register
from gateway.journal.codec import Invoices
from tests.support.effort import times
from tests.support.two_partners import IMPORTERS, NUMBERS, START, Kept, Pure, Wanted, run, written
from tests.way.test_register_contract import on_sqlite

# What says that something on file decided, or that it may not be known.
TELLING = ("CAD-0201", "CAD-0210", "CAD-0211", "GTW-0005", "GTW-0017")


@contextmanager
def kept() -> Iterator[Kept]:
    with on_sqlite() as journal:
        yield Kept(journal)


def test_each_partner_is_told_the_same_with_and_without_all_other_traffic() -> None:
    print(dict(run(lambda: nullcontext(Pure()), examples=times(0.25))))


def test_each_partner_is_told_the_same_by_a_gateway_with_a_journal() -> None:
    print(dict(run(kept, examples=times(0.1))))


@pytest.mark.slow
def test_each_partner_is_told_the_same_however_long_it_goes_on() -> None:
    figures = run(lambda: nullcontext(Pure()), examples=times(5))
    print(dict(sorted(figures.items())))
    assert min(figures[name] for name in ("accepted", "refused", "engine approved", *TELLING)) > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "wrong"),
    [("known_to", lambda self, *_: self), ("of", lambda self, test: self)],
    ids=["rules see all that is on file", "tests and production are one world"],
)
def test_a_register_that_keeps_nothing_apart_is_caught(name: str, wrong: Any) -> None:
    with mock.patch.object(Register, name, wrong), pytest.raises(AssertionError):
        run(lambda: nullcontext(Pure()), examples=200, mutant=True)


def test_the_lines_of_anothers_declaration_are_not_even_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no time tells of it."""
    with kept() as gateway:
        body = written(wanted := Wanted("original", NUMBERS[0], 1, IMPORTERS["a"], None, None, 100), "a", "R1", START)
        assert gateway.send("a1", "a", body, START).verdicts == (("accepted", ()),)

        def read(_: Invoices) -> tuple[Invoice, ...]:
            raise AssertionError("the lines were read")

        monkeypatch.setattr(Invoices, "_every", read)
        for number, (importer, kind) in enumerate(product(IMPORTERS.values(), ("original", "change", "withdrawal"))):
            theirs = wanted._replace(kind=kind, importer=importer, version=2)
            told = gateway.send(f"b{number}", "b", written(theirs, "b", f"R{number}", START), START)
            assert told.verdicts[0][0] == "refused"
