"""What holds no message has its faults told all the same: to the partner, by `check`, in the journal's lists."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from core.register import Facts
from core.transmission import Outcome, Received
from gateway.pipeline import handle
from tests.support.desk import runner
from tests.support.house import house
from tests.support.way import NOW, PARTNERS, PLANS
from tests.unit.test_edifact_contrl import lines
from tests.unit.test_edifact_envelopes import ONE, TWO, UNB, UNG

OTHER = UNG.replace("G1", "G2")
EMPTY = f"{UNB}{UNG}{ONE}UNE+1+G1'{OTHER}UNE+0+G2'UNZ+2+REF1'"
OUR = replace(PARTNERS["maple"], contrl=False)


def sent(text: str) -> Outcome:
    return handle(Received("r", "maple", text.encode("latin-1"), NOW), Facts(OUR), PLANS)


def told(text: str) -> list[tuple[str, str, list[str]]]:
    """Return the type, verdict and findings of each message."""
    return [
        (str(one.message.type), str(one.verdict), sorted(finding.code for finding in one.findings))
        for one in sent(text).judged
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (EMPTY, [("declaration", "accepted", []), ("unknown", "refused", ["EDI-0204"])]),
        (
            f"{UNB}{OTHER}UNE+0+G2'{UNG}{ONE}UNE+1+G1'UNZ+2+REF1'",
            [("declaration", "accepted", []), ("unknown", "refused", ["EDI-0204"])],
        ),
        (
            f"{UNB}{UNG}{ONE}UNE+1+G1'{OTHER}UNE+3+G9'UNZ+2+REF1'",
            [("declaration", "accepted", []), ("unknown", "refused", ["EDI-0202", "EDI-0203", "EDI-0204"])],
        ),
        (
            f"{UNB}{OTHER}UNE+0+G2'{UNG}UNE+0+G1'UNZ+2+REF1'",
            [("unknown", "refused", ["EDI-0204", "EDI-0204"])],
        ),
        (
            f"{UNB}{UNG}UNE+0+G1'UNZ+1+REF1'{UNB.replace('REF1', 'REF2')}{ONE}UNZ+1+REF2'",
            [("declaration", "accepted", []), ("unknown", "refused", ["EDI-0204"])],
        ),
        (
            f"{UNB}{TWO}{OTHER}UNE+0+G2'UNZ+1+REF1'",
            [("declaration", "refused", ["EDI-0107"]), ("unknown", "refused", ["EDI-0107", "EDI-0204"])],
        ),
    ],
    ids=["last", "first", "wrong in more", "nothing but", "an interchange of it", "beside messages without group"],
)
def test_an_empty_group_has_its_faults_told(text: str, expected: list[tuple[str, str, list[str]]]) -> None:
    assert told(text) == expected


def test_contrl_tells_it_once_and_no_other_answer() -> None:
    outcome = sent(EMPTY)
    assert [item.kind for item in outcome.outgoing] == ["contrl", "accepted", "request"]
    assert lines(outcome.outgoing[0].body)[1:-1] == ["UCI+REF1+MAPLEBROKER+CARMGATEWAY+7", "UCF+G2+S+R+4+32+UNG"]


def test_check_and_the_journal_tell_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "empty-group.edi"
    path.write_text(EMPTY, encoding="latin-1")
    done = runner(tmp_path, monkeypatch)("check", "--format", "json", str(path))
    assert done.exit_code == 1
    _, second = json.loads(done.stdout)
    (finding,) = second["findings"]
    assert (second["verdict"], finding["code"], second["reference"]) == ("refused", "EDI-0204", "REF1")
    with house(tmp_path) as gateway:
        gateway.send("maple", EMPTY.encode("latin-1"))
        gateway.settle_down()
        rows = gateway.journal.list_messages(channel="partner")
        assert [(row["verdict"], [f["code"] for f in row["findings"]]) for row in rows] == [
            ("accepted", []),
            ("refused", ["EDI-0204"]),
        ]
        life = gateway.journal.show(rows[0]["id"])
        assert life
        assert [one["envelope"]["group"] for one in life["messages"]] == ["G1", "G2"]
