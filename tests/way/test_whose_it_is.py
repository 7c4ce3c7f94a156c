"""Who changes, withdraws or asks about a declaration acts for the importer on file; its numbers are its own (D67)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from core.calendar import Period, eastern_day
from core.declaration import Declaration, Nature
from core.envelope import Envelope
from core.partner import Partner
from core.register import Facts, Register
from core.transmission import Outcome, Received, Verdict
from gateway import pipeline
from gateway.trade.writer import write_edifact
from tests.support.builders import (
    CORRECTION,
    DECLARATION,
    IMPORTER,
    NOW,
    partner,
    valid_change,
    valid_declaration,
    version_fact,
    withdraw_request,
)
from tests.support.traffic import number
from tests.support.way import PLANS

OTHER = "135792463RM0001"
EVER = (Period(),)
MINE, THEIRS = {"12345": frozenset[str]()}, {"24680": frozenset[str]()}
A = partner(id="a", envelopes=("A",), authorities={IMPORTER: EVER}, accounts=MINE, others=frozenset(THEIRS))
B = partner(id="b", envelopes=("B",), authorities={OTHER: EVER}, accounts=THEIRS, others=frozenset(MINE))
N = number(1, "12345")
TODAY = eastern_day(NOW)


def send(register: Register, sender: Partner, declaration: Declaration, now: datetime = NOW, **said: Any) -> Outcome:
    """Judge one message of a sender, under a reference that it has not used yet."""
    pack = DECLARATION if declaration.text("function_code") == "9" else CORRECTION
    reference = f"{sender.id}{sum(whose == sender.id for whose, _ in register.references)}"
    envelope = Envelope(sender.envelopes[0], "CARMGATEWAY", reference, message="1", **said)
    body = write_edifact([declaration], pack, envelope, prepared=now)
    received = Received(reference, sender.id, body, now)
    return pipeline.handle(received, Facts(sender, register), PLANS)


def codes(outcome: Outcome) -> list[str]:
    return sorted(finding.code for judged in outcome.judged for finding in judged.findings)


def original(number_: str = N, importer: str = IMPORTER, **changes: Any) -> Declaration:
    return valid_declaration(transaction_number=number_, importer_bn=importer, **changes)


# What is from before CARM.
BEFORE = {"pre_carm": "Y", "cad_type": "V", "accounting_date": date(2024, 5, 10)}


def change(number_: str = N, importer: str = IMPORTER, **changes: Any) -> Declaration:
    return valid_change(transaction_number=number_, importer_bn=importer, **changes)


def withdrawal(number_: str = N, importer: str = IMPORTER, **changes: Any) -> Declaration:
    return withdraw_request(transaction_number=number_, importer_bn=importer, **changes)


def on_file(*, sender: Partner = A, declaration: Declaration | None = None) -> Register:
    """Return the register after an original that the engine has assessed."""
    outcome = send(Register(), sender, declaration or original())
    assert codes(outcome) == []
    return assessed(Register().after(outcome))


def assessed(register: Register) -> Register:
    """Let the engine approve all that waits."""
    for request in register.requests:
        register = register.settled(request, "assessed")
    return register


# ------------------------------------------------------------------------------------------------ another's


@pytest.mark.parametrize("importer", [OTHER, IMPORTER])
@pytest.mark.parametrize("kind", [change, withdrawal])
@pytest.mark.parametrize("pre_carm", [None, "Y"])
def test_anothers_declaration_is_neither_changed_nor_told_of(kind: Any, importer: str, pre_carm: str | None) -> None:
    register = on_file()
    declaration = kind(importer=importer, **(BEFORE if pre_carm else {}))
    there, not_there = send(register, B, declaration), send(Register(), B, declaration)
    assert codes(there) == sorted(
        [
            *(["GTW-0005"] if importer == IMPORTER else []),
            "GTW-0017" if pre_carm else "CAD-0210",
            *(["CAD-0304"] if pre_carm and kind is change else []),  # no As Declared CAD is known: the same for both
        ]
    )
    assert [one.findings for one in there.judged] == [one.findings for one in not_there.judged]
    assert there.outgoing == not_there.outgoing  # byte for byte
    assert all(finding.expected is None for judged in there.judged for finding in judged.findings)
    after = register.after(there)
    assert after.attempts(N) == register.attempts(N)
    assert codes(send(after, A, change())) == []


@pytest.mark.parametrize("declaration", [original(), original(importer=OTHER), change(importer=OTHER, **BEFORE)])
def test_a_number_under_anothers_account_is_refused_and_stays_free(declaration: Declaration) -> None:
    outcome = send(Register(), B, declaration)
    assert "GTW-0017" in codes(outcome)
    register = Register().after(outcome)
    assert register.versions == {}
    assert codes(send(register, A, original())) == []


def test_a_number_of_ones_own_account_that_another_has_on_file_is_refused_without_a_word_of_it() -> None:
    register = on_file()
    heir = replace(B, accounts={**MINE, **THEIRS}, others=frozenset())
    for declaration in (original(importer=OTHER), change(importer=OTHER, **BEFORE)):
        outcome = send(register, heir, declaration)
        assert codes(outcome) in (["GTW-0018"], ["CAD-0304", "GTW-0018"])
        assert all(finding.expected is None for finding in outcome.judged[0].findings)
    tried = Register({N: (replace(register.attempts(N)[0], status="refused"),)})  # the next could be the second version
    (_, finding) = send(tried, heir, original(importer=OTHER, version="00002")).judged[0].findings
    assert (finding.code, finding.expected) == ("CAD-0202", "00001")
    assert codes(send(register, heir, change(importer=OTHER))) == ["CAD-0210"]


def test_a_partner_without_accounts_may_use_what_is_nobody_elses() -> None:
    newcomer = replace(B, accounts={}, others=frozenset({"12345", "24680"}))
    assert codes(send(Register(), newcomer, original(importer=OTHER))) == ["GTW-0017"]
    assert codes(send(Register(), newcomer, original(number(1, "99999"), OTHER))) == []
    assert codes(send(Register(), B, original(number(1, "99999"), OTHER))) == ["GTW-0017"]


def test_an_importers_own_account_is_for_that_importer_whichever_broker_sends() -> None:
    own = {"67890": frozenset({IMPORTER})}
    both = {IMPORTER: EVER, OTHER: EVER}
    one, two = (replace(each, accounts={**each.accounts, **own}, authorities=both) for each in (A, B))
    theirs = number(1, "67890")
    register = Register().after(send(Register(), one, original(theirs)))
    assert codes(send(Register(), two, original(theirs))) == []
    assert codes(send(register, two, original(theirs))) == ["CAD-0201"]
    assert codes(send(register, two, change(theirs))) == []
    assert codes(send(Register(), two, original(theirs, OTHER))) == ["GTW-0017"]


# ------------------------------------------------------------------------------------------------ delegations


def test_whom_the_importer_on_file_has_delegated_now_goes_on_and_the_former_broker_does_not() -> None:
    moment, later = TODAY, NOW + timedelta(days=2)
    former = replace(A, authorities={IMPORTER: (Period(None, moment),), OTHER: EVER})
    heir = replace(B, authorities={IMPORTER: (Period(moment + timedelta(days=1), None),)})
    register = on_file(sender=former)
    assert codes(send(register, heir, change())) == ["CAD-0210", "GTW-0005"]  # not begun yet
    assert codes(send(register, heir, change(), later)) == []
    assert codes(send(register, heir, withdrawal(), later)) == []
    assert codes(send(register, former, change(), later)) == ["CAD-0210", "GTW-0005"]  # ended
    assert codes(send(register, former, change(importer=OTHER), later)) == ["CAD-0210"]  # though it filed it itself


def test_each_account_of_an_importer_is_delegated_by_itself() -> None:
    other_account = "123456782RM0002"
    sender = replace(B, authorities={other_account: EVER})
    assert codes(send(on_file(), sender, change(importer=other_account))) == ["CAD-0210"]


def test_who_has_left_is_told_nothing_of_what_it_filed() -> None:
    register = on_file()
    assert codes(send(register, replace(A, active=False), change(version="00001"))) == ["CAD-0210", "GTW-0006"]


def test_a_doubt_about_the_importer_does_not_hide_that_it_is_not_the_senders() -> None:
    nobody = "123456782RM0000"  # a warning alone (CAD-0112)
    assert codes(send(Register(), A, original(importer=nobody))) == ["CAD-0112", "GTW-0005"]


def test_where_the_declaration_names_no_importer_who_filed_it_may_know_it() -> None:
    nameless = Declaration({"transaction_number": N, "version": "00001"})
    register = Register({N: (version_fact(nameless, partner="a"),)})
    assert register.known_to(A, N, TODAY).attempts(N)
    assert not register.known_to(B, N, TODAY).attempts(N)
    assert not register.known_to(None, N, TODAY).attempts(N)


# ------------------------------------------------------------------------------------------------ a new importer


def test_a_change_of_importer_needs_authority_over_both() -> None:
    register = on_file()
    moved = change(new_importer_bn=OTHER)
    outcome = send(register, A, moved)
    assert codes(outcome) == ["GTW-0005"]
    assert outcome.judged[0].findings[0].value == OTHER
    assert codes(send(register, B, moved)) == ["CAD-0210", "GTW-0005"]
    assert codes(send(register, B, change(importer=OTHER, new_importer_bn=OTHER))) == ["CAD-0210"]
    both = replace(A, authorities={IMPORTER: EVER, OTHER: EVER})
    assert codes(send(register, both, moved)) == []


def test_after_a_change_of_importer_the_declaration_is_the_new_ones_once_the_engine_approves() -> None:
    both = replace(A, authorities={IMPORTER: EVER, OTHER: EVER})
    register = on_file(sender=both)
    register = register.after(send(register, both, change(new_importer_bn=OTHER)))
    next_ = change(version="00003", importer=OTHER, reason_code_2="R5-00-COT")
    for sender in (A, B):  # until then it is both's
        assert not register.known_to(sender, N, TODAY).versions
    approved = assessed(register)
    assert approved.known_to(B, N, TODAY).attempts(N)
    assert "CAD-0210" not in codes(send(approved, B, next_))
    assert codes(send(approved, A, change(version="00003"))) == ["CAD-0210"]
    (request,) = register.requests.keys() - on_file(sender=both).requests.keys()
    refused = register.settled(request, "refused")
    assert refused.known_to(A, N, TODAY).attempts(N)
    assert not refused.known_to(B, N, TODAY).versions


def test_what_is_withdrawn_is_not_anothers_to_file_anew() -> None:
    register = on_file()
    register = assessed(register.after(send(register, A, withdrawal())))
    assert codes(send(register, B, original(importer=OTHER))) == ["GTW-0017"]
    heir = replace(B, accounts={**MINE, **THEIRS}, others=frozenset())
    assert codes(send(register, heir, original(importer=OTHER))) == ["GTW-0018"]


def test_the_nature_and_the_due_date_of_what_is_accepted_are_those_on_file() -> None:
    """Who takes over is judged by the whole history of the declaration."""
    register = on_file()
    heir = replace(B, authorities={IMPORTER: EVER})
    after_due = NOW + timedelta(days=120)
    (judged,) = send(register, heir, change(reason_code_1="R3-32.2.VFD"), after_due).judged
    assert judged.verdict is Verdict.ACCEPTED
    assert judged.nature is Nature.ADJUSTMENT
    assert judged.effect is not None
    assert judged.effect.payment_due == register.attempts(N)[0].payment_due
    assert judged.effect.accepted_at.date() > date(2027, 1, 1)
