"""References are unique per sender id, recipient id and syntax; the same interchange twice is told as what it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.desk.trial import Trial
from tests.support.house import House, house
from tests.support.traffic import number
from tests.support.way import NOW, PARTNERS, PLANS, SAMPLES

EDIFACT = (SAMPLES / "originals/ab-two-lines.edi").read_bytes()
XML = (SAMPLES / "originals/published-example.xml").read_bytes()
BROKER = replace(
    PARTNERS["maple"],
    envelopes=("MAPLEBROKER", "MAPLETWO"),
    contrl=False,
    authorities={**PARTNERS["maple"].authorities, **PARTNERS["erable"].authorities},
)


def other(body: bytes, *changes: tuple[bytes, bytes]) -> bytes:
    """Return another declaration under the same reference, with changes."""
    body = body.replace(b"12345000000012", number(7).encode()).replace(b"24680000001015", number(7).encode())
    for old, new in changes:
        assert old in body
        body = body.replace(old, new)
    return body


def in_xml(*changes: tuple[bytes, bytes]) -> bytes:
    return other(XML, (b"EC000003", b"MB000001"), (b"ERABLECOURTIER", b"MAPLEBROKER"), *changes)


@pytest.mark.parametrize(
    ("second", "codes"),
    [
        (other(EDIFACT), ("EDI-0111",)),
        (other(EDIFACT, (b"MAPLEBROKER", b"MAPLETWO")), ()),
        (other(EDIFACT, (b"CARMGATEWAY", b"CARMTEST")), ()),
        (other(EDIFACT, (b"MAPLEBROKER", b"MAPLEBROKER:ZZ")), ("EDI-0111",)),
        (in_xml(), ()),
    ],
    ids=["same ids", "another mailbox", "another recipient", "the same mailbox, qualified", "another syntax"],
)
def test_a_reference_is_used_up_in_its_own_number_space_only(second: bytes, codes: tuple[str, ...]) -> None:
    trial = Trial(PLANS, NOW)
    assert trial.send("1" * 32, EDIFACT, BROKER).verdict == "accepted"
    came = trial.send("2" * 32, second, BROKER)
    assert (came.verdict, came.findings) == ("refused" if codes else "accepted", codes)


@pytest.mark.parametrize("change", [(b"MB000001", b"MB000001"), (b"MAPLEBROKER", b"MAPLETWO")], ids=["same", "mailbox"])
def test_in_xml_too(change: tuple[bytes, bytes]) -> None:
    trial = Trial(PLANS, NOW)
    first = in_xml().replace(number(7).encode(), number(8).encode())
    assert trial.send("1" * 32, first, BROKER).verdict == "accepted"
    came = trial.send("2" * 32, in_xml(change), BROKER)
    assert came.findings == (("GTW-0009",) if change[0] == change[1] else ())


def test_the_same_interchange_twice_in_one_file_is_told_as_identical() -> None:
    came = Trial(PLANS, NOW).send("1" * 32, EDIFACT + EDIFACT, BROKER)
    assert came.outcome
    assert [[finding.code for finding in one.findings] for one in came.outcome.judged] == [[], ["EDI-0119"]]
    (finding,) = came.outcome.judged[1].findings
    assert (finding.value, finding.syntax_error, finding.place.element) == ("MB000001", "26", 6)
    assert "identical" in finding.text.en
    assert "identique" in finding.text.fr


def test_another_interchange_under_the_same_reference_in_one_file_is_other_content() -> None:
    came = Trial(PLANS, NOW).send("1" * 32, EDIFACT + other(EDIFACT) + EDIFACT, BROKER)
    assert came.findings == ("EDI-0111", "EDI-0119")


@pytest.fixture
def gateway(tmp_path: Path) -> House:
    with house(tmp_path, partners={"maple": BROKER}) as opened:
        yield opened


def test_the_journal_keeps_number_spaces_apart(gateway: House) -> None:
    two = other(EDIFACT, (b"MAPLEBROKER", b"MAPLETWO"))
    three = other(EDIFACT, (number(7).encode(), number(6).encode()))
    gateway.send("maple", EDIFACT, two, three, two)
    gateway.settle_down()
    rows = gateway.journal.list_messages(channel="partner")
    told = [(row["verdict"], [finding["code"] for finding in row["findings"]]) for row in reversed(rows)]
    assert told == [("accepted", []), ("accepted", []), ("refused", ["EDI-0111"]), (None, [])]
    assert rows[0]["note"].startswith("resend of")
