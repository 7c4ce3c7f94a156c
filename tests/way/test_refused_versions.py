"""A version that the engine refused can be sent again: through the service on its journal, and in a trial."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from core.calendar import eastern_day
from core.declaration import Declaration, RefusedVersions
from core.envelope import Envelope
from gateway import service
from gateway.cli.main import main
from gateway.desk.trial import Trial
from gateway.trade.writer import write_edifact
from tests.support.builders import (
    CORRECTION,
    DECLARATION,
    IMPORTER,
    NUMBER,
    partner,
    valid_change,
    valid_declaration,
    withdraw_request,
)
from tests.support.house import House, house, kinds
from tests.support.twins import START, plans_of
from tests.support.way import PARTNERS as OURS

TODAY = eastern_day(START)
ACCOUNTS = {NUMBER[:5]: frozenset({IMPORTER})}  # the importer's own, which both its brokers use
PARTNERS = {
    name: replace(OURS[name], envelopes=(name.upper(),), authorities=partner().authorities, accounts=ACCOUNTS)
    for name in ("maple", "erable")
}
DAYS: dict[str, Any] = {"accounting_date": TODAY, "release_date": TODAY - timedelta(days=1)}


def letter(declaration: Declaration, reference: str, sender: str = "maple") -> bytes:
    """Write one message with the test mark, so that its functional reference may choose what the engine says."""
    pack = DECLARATION if declaration.text("function_code") == "9" else CORRECTION
    said = Envelope(sender=sender.upper(), recipient="CARMGATEWAY", reference=reference, test=True)
    return write_edifact([declaration], pack, said, prepared=START)


def original(version: int = 1, functional: str = "REF") -> Declaration:
    return valid_declaration(lines=1, version=f"{version:05}", functional_reference=functional, **DAYS)


def change(version: int, functional: str = "REF") -> Declaration:
    return valid_change(lines=1, version=f"{version:05}", functional_reference=functional, **DAYS)


def withdrawal(functional: str = "REF", **more: str) -> Declaration:
    return withdraw_request(functional_reference=functional, **more)


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(service, "now", lambda: START)
    with house(tmp_path, PARTNERS) as opened:
        yield opened


def send(gateway: House, declaration: Declaration) -> tuple[list[str], list[str]]:
    """Carry a declaration all the way; return the kinds of its answers and the codes of its findings."""
    count = len(gateway.journal.list_messages(channel="partner"))
    gateway.send("maple", letter(declaration, f"I{count}"))
    gateway.settle_down()
    (row,) = gateway.journal.list_messages(channel="partner", limit=1)
    answers = [kind for kind in kinds(gateway.answers("maple")) if kind not in {"receipt", "contrl"}]
    return answers, [finding["code"] for finding in row["findings"] if finding["severity"] == "refuse"]


def on_file(gateway: House) -> list[tuple[int, int, str, str]]:
    register = gateway.journal.facts("maple", [NUMBER], []).of(test=True)
    return [(fact.attempt, fact.version, fact.nature, fact.status) for fact in register.attempts(NUMBER)]


@pytest.mark.parametrize("again", [1, 2])
def test_an_original_that_the_engine_refused_can_be_sent_again(gateway: House, again: int) -> None:
    assert send(gateway, original(1, "TEST-REFUSE")) == (["accepted", "engine-refused"], [])
    assert send(gateway, original(again)) == (["accepted", "assessed"], [])
    assert on_file(gateway) == [(1, 1, "original", "refused"), (2, again, "original", "assessed")]
    assert gateway.journal.counts(START)["parked"] == 0
    # And the declaration goes on from there.
    assert send(gateway, change(again + 1)) == (["accepted", "assessed"], [])
    assert send(gateway, original(1))[1] == ["CAD-0201"]


@pytest.mark.parametrize("again", [2, 3])
def test_a_change_that_the_engine_refused_can_be_sent_again(gateway: House, again: int) -> None:
    send(gateway, original())
    assert send(gateway, change(2, "TEST-REFUSE")) == (["accepted", "engine-refused"], [])
    assert send(gateway, change(again)) == (["accepted", "assessed"], [])
    assert on_file(gateway) == [
        (1, 1, "original", "assessed"),
        (2, 2, "correction", "refused"),
        (3, again, "correction", "assessed"),
    ]
    assert gateway.journal.counts(START)["parked"] == 0


def test_every_attempt_stays_with_its_own_row_request_and_result(
    gateway: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE_URL", f"sqlite:///{tmp_path}/gateway.sqlite3")
    for functional in ("TEST-REFUSE", "TEST-REFUSE 2", "TEST-REFUSE 3", "REF"):
        send(gateway, original(1, functional))
    assert [(attempt, version) for attempt, version, _, _ in on_file(gateway)] == [(1, 1), (2, 1), (3, 1), (4, 1)]
    lives = [gateway.journal.show(row["id"]) for row in gateway.journal.list_messages(channel="partner")]
    rows = [(life["declarations"][0], life["requests"][0]) for life in lives if life]
    assert [(row["attempt"], row["status"], request["attempt"]) for row, request in reversed(rows)] == [
        (1, "refused", 1), (2, "refused", 2), (3, "refused", 3), (4, "assessed", 4),
    ]  # fmt: skip
    assert len({request["id"] for _, request in rows}) == 4
    shown = CliRunner().invoke(main, ["show", lives[0]["id"]])  # type: ignore[index]
    assert f"on file, of tests: {NUMBER} version 00001, attempt 4 (original): assessed" in shown.output
    assert gateway.journal.verify().bad is None


@pytest.mark.parametrize(
    ("policy", "given", "code"),
    [
        (RefusedVersions.FREE, original(1), None),
        (RefusedVersions.FREE, original(2), "CAD-0202"),
        (RefusedVersions.USED, original(1), "CAD-0202"),
        (RefusedVersions.USED, original(2), None),
        (RefusedVersions.EITHER, original(3), "CAD-0202"),
    ],
)
def test_the_pack_says_which_number_the_next_original_carries(
    gateway: House, policy: RefusedVersions, given: Declaration, code: str | None
) -> None:
    gateway.plans = plans_of(policy)
    send(gateway, original(1, "TEST-REFUSE"))
    assert send(gateway, given)[1] == ([code] if code else [])


@pytest.mark.parametrize(
    ("policy", "version", "code"),
    [
        (RefusedVersions.FREE, 2, None),
        (RefusedVersions.FREE, 3, "CAD-0212"),
        (RefusedVersions.USED, 2, "CAD-0211"),
        (RefusedVersions.USED, 3, None),
        (RefusedVersions.EITHER, 4, "CAD-0212"),
    ],
)
def test_the_pack_says_which_number_the_next_change_carries(
    gateway: House, policy: RefusedVersions, version: int, code: str | None
) -> None:
    gateway.plans = plans_of(policy)
    send(gateway, original())
    send(gateway, change(2, "TEST-REFUSE"))
    assert send(gateway, change(version))[1] == ([code] if code else [])


def test_two_who_judge_on_the_same_facts_do_not_both_make_the_next_attempt(gateway: House) -> None:
    send(gateway, original(1, "TEST-REFUSE"))
    gateway.send("maple", letter(original(), "X1"))
    gateway.send("erable", letter(original(), "X1", "erable"))
    gateway.settle_down()
    assert [status for _, _, _, status in on_file(gateway)] == ["refused", "assessed"]
    found = gateway.journal.list_messages(channel="partner", limit=2)
    assert sorted((row["verdict"], *(each["code"] for each in row["findings"])) for row in found) == [
        ("accepted",),
        ("refused", "CAD-0201"),
    ]
    assert gateway.journal.counts(START)["parked"] == 0


def test_a_withdrawal_that_the_engine_refused_leaves_the_declaration_open_to_change(gateway: House) -> None:
    send(gateway, original())
    assert send(gateway, withdrawal("TEST-REFUSE")) == (["accepted", "engine-refused"], [])
    assert send(gateway, change(2)) == (["accepted", "assessed"], [])


def test_a_refused_withdrawal_of_what_is_not_on_file_leaves_the_number_free(gateway: House) -> None:
    """One from before CARM may be withdrawn without being known here; refused, it is nothing that uses the number."""
    assert send(gateway, withdrawal("TEST-REFUSE", pre_carm="Y", accounting_date=date(2024, 5, 10))) == (
        ["accepted", "engine-refused"],
        [],
    )
    assert on_file(gateway) == [(1, 1, "withdrawal", "refused")]
    assert send(gateway, original()) == (["accepted", "assessed"], [])


def test_a_trial_tells_the_same_as_the_service() -> None:
    """Behind `check`, `explain` and `replay --samples`, and behind the tests' way."""
    trial = Trial(plans_of(RefusedVersions.EITHER), START)
    steps = [
        (original(1, "TEST-REFUSE"), "engine-refused"),
        (original(1), "assessed"),
        (withdrawal("TEST-REFUSE"), "engine-refused"),
        (change(2, "TEST-REFUSE"), "engine-refused"),
        (change(2), "assessed"),
    ]
    for n, (declaration, last) in enumerate(steps):
        came = trial.send(f"id{n}", letter(declaration, f"I{n}"), PARTNERS["maple"])
        assert (came.verdict, came.kinds[-1]) == ("accepted", last), came.findings
    facts = trial.register.of(test=True).attempts(NUMBER)
    assert [(fact.attempt, fact.version, fact.status) for fact in facts] == [
        (1, 1, "refused"), (2, 1, "assessed"), (3, 2, "refused"), (4, 2, "assessed"),
    ]  # fmt: skip
