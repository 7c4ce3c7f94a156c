"""What partners say of our answers with a CONTRL, what they leave unsaid, and how an answer names what it answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from core import limits
from gateway.cli.main import main
from gateway.figures import Figures
from gateway.queues import Delivery
from tests.support.house import House, house, kinds, settings_in
from tests.support.way import SAMPLES

ORIGINAL = (SAMPLES / "originals/v-voluntary.edi").read_bytes()
REFUSED = (SAMPLES / "refused/many-faults.edi").read_bytes()
XML = (SAMPLES / "originals/published-example.xml").read_bytes()


def later() -> datetime:
    """Return a moment by which every acknowledgement is overdue; asked when it is needed, however long a run takes."""
    return datetime.now(UTC) + timedelta(hours=limits.ACKNOWLEDGEMENT_HOURS, minutes=5)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as opened:
        yield opened


def contrl(
    reference: str, action: str = "7", *, own: str = "1", sender: str = "MAPLEBROKER", version: str = "3"
) -> bytes:
    """Write a partner's CONTRL about an interchange of ours."""
    identifier, century = ("CONTRL:4:1:UN", "20") if version == "4" else ("CONTRL:D:3:UN", "")
    error = "+12" if action == "4" else ""
    return (
        f"UNB+UNOC:{version}+{sender}+CARMGATEWAY+{century}261123:1000+{own}'UNH+1+{identifier}'"
        f"UCI+{reference}+CARMGATEWAY+{sender}+{action}{error}'UNT+3+1'UNZ+1+{own}'"
    ).encode()


def answered(gateway: House, body: bytes = ORIGINAL, partner: str = "maple") -> dict[str, Delivery]:
    """Send a transmission and return its answers by kind."""
    gateway.send(partner, body)
    gateway.settle_down()
    return {answer.headers["kind"]: answer for answer in gateway.answers(partner)}


def reference(answer: Delivery) -> str:
    """Return the control reference that an answer's interchange bears."""
    header = next(s for s in answer.body.decode("latin-1").split("'") if s.lstrip().startswith("UNB+"))
    return header.split("+")[5]


def life(gateway: House, answer: Delivery) -> dict[str, Any]:
    """Return the life of the transmission that an answer answers."""
    found = gateway.journal.show(answer.headers["in-reply-to"])
    assert found is not None
    return found


def told(gateway: House, answer: Delivery) -> str | None:
    """Return what the journal holds of an answer's acknowledgement."""
    (row,) = [row for row in life(gateway, answer)["outbox"] if row["id"] == answer.message_id]
    assert (row["acknowledged_at"] is None) == (row["acknowledgement"] in (None, "awaited"))
    return row["acknowledgement"]


def note(gateway: House) -> str | None:
    """Return the note of the newest transmission."""
    return gateway.journal.list_messages(limit=1)[0]["note"]


def alerts(gateway: House, **given: Any) -> list[tuple[str, str]]:
    return [(row["id"], row["acknowledgement"]) for row in gateway.journal.unacknowledged(later(), **given)]


# ------------------------------------------------------------------------------------------------ acknowledged


@pytest.mark.parametrize("version", ["3", "4"])
@pytest.mark.parametrize("action", ["7", "8"])
def test_a_contrl_is_tied_to_the_answer_that_it_acknowledges(gateway: House, action: str, version: str) -> None:
    answer = answered(gateway)["accepted"]
    assert told(gateway, answer) == "awaited"
    gateway.send("maple", contrl(reference(answer), action, version=version))
    gateway.settle_down()
    assert told(gateway, answer) == action
    assert note(gateway) == f"acknowledges {answer.message_id}"
    (event,) = [link for link in life(gateway, answer)["audit"] if link["event"] == "acknowledged"]
    assert (event["detail"]["answer"], event["detail"]["action"]) == (answer.message_id, action)
    assert gateway.journal.verify().bad is None
    assert kinds(gateway.answers("maple")) == ["receipt"], "a CONTRL is never answered"


@pytest.mark.parametrize("said", [
    "4+12'UNT+3+1'", "4 +12'UNT+3+1'", "3'UNT+3+1'", "6'UNT+3+1'", "7'UCM+1+GOVCBR:D:13A:UN:CAD+4+12'UNT+4+1'",
    "7'UCM+1+GOVCBR:D:13A:UN:CAD+4 +12'UNT+4+1'", "7'UCF+G+A+B+4+12'UNT+4+1'",
    "7'UCF+G+A+B+7'UCM+1+GOVCBR:D:13A:UN:CAD+4+12'UNT+5+1'",
])  # fmt: skip
def test_whatever_a_contrl_rejects_is_rejected(gateway: House, said: str) -> None:
    answer = answered(gateway)["accepted"]
    body = contrl(reference(answer)).replace(b"+7'UNT+3+1'", f"+{said}".encode())
    assert b"UCI" in body
    gateway.send("maple", body)
    gateway.settle_down()
    assert told(gateway, answer) == "4"


def test_a_contrl_whose_action_is_none_acknowledges_nothing(gateway: House) -> None:
    answer = answered(gateway)["accepted"]
    gateway.send("maple", contrl(reference(answer), "9"))
    gateway.settle_down()
    assert told(gateway, answer) == "awaited"


@pytest.mark.parametrize(("body", "kind"), [(ORIGINAL, "assessed"), (REFUSED, "refused")])
def test_every_answer_in_edifact_can_be_acknowledged(gateway: House, body: bytes, kind: str) -> None:
    answer = answered(gateway, body)[kind]
    gateway.send("maple", contrl(reference(answer).lower()))
    gateway.settle_down()
    assert told(gateway, answer) == "7"


def test_a_contrl_is_awaited_where_it_is_agreed_and_for_no_contrl_of_ours(gateway: House) -> None:
    ours = answered(gateway)
    assert {kind: told(gateway, answer) for kind, answer in ours.items()} == {
        "receipt": None,
        "contrl": None,
        "accepted": "awaited",
        "assessed": "awaited",
    }
    assert {told(gateway, answer) for answer in answered(gateway, XML, "erable").values()} == {None}


def test_only_who_got_the_answer_may_acknowledge_it(gateway: House) -> None:
    answer = answered(gateway)["accepted"]
    gateway.send("erable", contrl(reference(answer), "4", sender="ERABLECOURTIER"))
    gateway.settle_down()
    assert told(gateway, answer) == "awaited"
    assert note(gateway) == "acknowledges no answer of ours"


@pytest.mark.parametrize("of", ["1", "%", "", "0123456789ABCD", "0123456789abcdef", "\u0130" * 14])
def test_a_contrl_about_nothing_of_ours_changes_nothing(gateway: House, of: str) -> None:
    answer = answered(gateway)["accepted"]
    gateway.send("maple", contrl(of))
    gateway.settle_down()
    assert told(gateway, answer) == "awaited"
    assert gateway.journal.counts(later())["parked"] == 0


def test_an_action_that_nobody_knows_acknowledges_nothing(gateway: House) -> None:
    answer = answered(gateway)["accepted"]
    gateway.send("maple", contrl(reference(answer), "9"))
    gateway.settle_down()
    assert told(gateway, answer) == "awaited"


def test_our_own_contrl_needs_no_acknowledgement(gateway: House) -> None:
    answer = answered(gateway)["contrl"]
    gateway.send("maple", contrl(reference(answer)))
    gateway.settle_down()
    assert told(gateway, answer) is None
    assert note(gateway) == "acknowledges no answer of ours"


def test_a_contrl_uses_up_no_reference(gateway: House) -> None:
    """A partner's CONTRLs may all bear one reference, even that of its declaration; repeats change nothing."""
    ours = answered(gateway)
    mine = ORIGINAL.decode().split("UNZ+")[1].split("+")[1].split("'")[0]
    bodies = [contrl(reference(ours[kind]), own=mine) for kind in ("accepted", "assessed", "accepted")]
    gateway.send("maple", *bodies)
    gateway.settle_down()
    assert [told(gateway, ours[kind]) for kind in ("accepted", "assessed")] == ["7", "7"]
    assert gateway.journal.counts(later())["parked"] == 0
    events = [link["event"] for link in life(gateway, ours["accepted"])["audit"]]
    assert events.count("acknowledged") == 2


def test_a_bad_contrl_has_no_effect_and_no_answer(gateway: House) -> None:
    answer = answered(gateway)["accepted"]
    gateway.send("maple", contrl(reference(answer)).replace(b"UNT+3", b"UNT+4"))
    gateway.settle_down()
    assert told(gateway, answer) == "awaited"
    assert gateway.journal.list_messages(limit=1)[0]["verdict"] == "refused"
    assert kinds(gateway.answers("maple")) == ["receipt"]


# ------------------------------------------------------------------------------------------------ alerts


def test_an_answer_without_acknowledgement_in_time_is_an_alert(gateway: House) -> None:
    ours = answered(gateway)
    assert gateway.journal.unacknowledged(datetime.now(UTC)) == []
    assert alerts(gateway) == [(ours[kind].message_id, "awaited") for kind in ("accepted", "assessed")]
    assert alerts(gateway, partner="erable") == []
    gateway.send("maple", contrl(reference(ours["accepted"])))
    gateway.settle_down()
    assert alerts(gateway) == [(ours["assessed"].message_id, "awaited")]
    assert gateway.journal.counts(later())["answers_unacknowledged"] == 1


def test_a_rejected_answer_is_an_alert_until_it_is_acknowledged(gateway: House) -> None:
    answer = answered(gateway)["accepted"]
    gateway.send("maple", contrl(reference(answer), "4"))
    gateway.settle_down()
    assert told(gateway, answer) == "4"
    assert note(gateway) == f"rejects {answer.message_id}"
    (event,) = [link for link in life(gateway, answer)["audit"] if link["event"] == "answer rejected"]
    assert event["detail"]["error"] == "12"
    (alert,) = gateway.journal.unacknowledged(datetime.now(UTC))
    assert (alert["id"], alert["transmission"]) == (answer.message_id, answer.headers["in-reply-to"])
    assert gateway.journal.counts(datetime.now(UTC))["answers_rejected"] == 1
    gateway.send("maple", contrl(reference(answer), own="2"))
    gateway.settle_down()
    assert gateway.journal.unacknowledged(datetime.now(UTC)) == []


def test_one_rejected_message_is_a_rejection(gateway: House) -> None:
    answer = answered(gateway)["accepted"]
    body = contrl(reference(answer)).replace(b"UNT+3", b"UCM+1+GOVCBR:D:13A:UN+4+12'UNT+4")
    gateway.send("maple", body)
    gateway.settle_down()
    assert alerts(gateway)[0] == (answer.message_id, "4")


def test_the_operator_sees_the_alerts(gateway: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_in(tmp_path)
    monkeypatch.setenv("GATEWAY_DATABASE_URL", settings.database_url)
    ours = answered(gateway)
    monkeypatch.setattr(limits, "ACKNOWLEDGEMENT_HOURS", 0)
    gateway.send("maple", contrl(reference(ours["accepted"]), "4"))
    gateway.settle_down()
    result = CliRunner().invoke(main, ["list", "--format", "json"])
    assert json.loads(result.stdout)
    rejected, silent = result.stderr.splitlines()
    assert rejected.startswith(f"ALERT: accepted {ours['accepted'].message_id[:12]} to out.maple, answer to ")
    assert "rejected by CONTRL" in rejected
    assert f"assessed {ours['assessed'].message_id[:12]}" in silent
    assert "no CONTRL" in silent
    assert CliRunner().invoke(main, ["list", "--partner", "erable"]).stderr == ""
    shown = CliRunner().invoke(main, ["show", ours["accepted"].headers["in-reply-to"]]).stdout
    assert "REJECTED by CONTRL" in shown
    figures = Figures(settings, gateway.journal, gateway.partners).text().decode()
    assert "gateway_answers_rejected 1.0" in figures
    assert "gateway_answers_unacknowledged 1.0" in figures


# ------------------------------------------------------------------------------------------------ correlation


@pytest.mark.parametrize(
    ("partner", "body"),
    [("maple", ORIGINAL), ("maple", REFUSED), ("erable", XML), ("maple", b"neither"), ("maple", b"")],
)
def test_every_answer_names_the_transmission_of_its_receipt(gateway: House, partner: str, body: bytes) -> None:
    ours = answered(gateway, body, partner)
    received = json.loads(ours["receipt"].body)["received"]
    assert len(ours) > 1
    assert {answer.headers["in-reply-to"] for answer in ours.values()} == {received}


def test_the_answers_to_a_resend_name_the_first_transmission(gateway: House) -> None:
    first = answered(gateway)
    again = answered(gateway)
    assert again["accepted"].headers == first["accepted"].headers
    assert again["accepted"].message_id == first["accepted"].message_id


@pytest.mark.parametrize(("partner", "body"), [("maple", ORIGINAL), ("maple", REFUSED), ("erable", XML)])
def test_every_answer_correlates_to_the_message_id_that_its_sender_gave(
    gateway: House, partner: str, body: bytes
) -> None:
    gateway.send(partner, body, ids=("mine-1",))
    gateway.settle_down()
    first = gateway.answers(partner)
    assert len(first) > 1
    assert {answer.correlation for answer in first} == {"mine-1"}
    gateway.send(partner, body, ids=("mine-2",))
    gateway.settle_down()
    # The stored answers come again as they were; the receipt is that of the bytes that came now.
    assert {answer.correlation for answer in gateway.answers(partner)} == {"mine-1", "mine-2"}


def test_a_message_id_that_cannot_be_used_correlates_nothing(gateway: House) -> None:
    gateway.send("maple", ORIGINAL, ids=("x" * 201,))
    gateway.settle_down()
    assert {answer.correlation for answer in gateway.answers("maple")} == {None}


def test_a_request_to_the_engine_answers_nothing(gateway: House) -> None:
    gateway.send("maple", ORIGINAL, ids=("mine",))
    while gateway.receive() + gateway.work() + gateway.dispatch():
        pass
    (request,) = gateway.taken("assessment.requests")
    assert (request.headers, request.correlation) == ({"kind": "request"}, None)
