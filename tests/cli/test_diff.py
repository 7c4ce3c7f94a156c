"""Two versions of a declaration side by side: elements, lines, reasons and amounts."""

from __future__ import annotations

import json
import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from core.assessment import Amounts
from core.declaration import Declaration, Nature
from core.envelope import Envelope
from gateway.desk.diff import fitting
from gateway.engine.assess import NIL
from gateway.trade.writer import write_edifact, write_xml
from tests.support.builders import CORRECTION, DECLARATION, NOW, valid_change, valid_declaration, with_lines
from tests.support.desk import Run, recorded, runner
from tests.support.way import SAMPLES, SPECS

SAID = Envelope(sender="BROKERA", recipient="GATEWAY", reference="1", message="1")
DAY = date(2026, 11, 23)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(tmp_path, monkeypatch)


def diff(run: Run, folder: Path, before: Declaration, after: Declaration, syntax: str = "xml") -> dict[str, Any]:
    files = []
    for name, declaration, pack in (("a", before, DECLARATION), ("b", after, CORRECTION)):
        body = (
            write_xml(declaration, pack, SAID)
            if syntax == "xml"
            else write_edifact([declaration], pack, SAID, prepared=NOW)
        )
        (folder / name).write_bytes(body)
        files.append(folder / name)
    result = run("diff", *files, "--format", "json")
    assert result.exit_code in (0, 1), result.output
    return json.loads(result.stdout)  # type: ignore[no-any-return]


@pytest.mark.parametrize("syntax", ["xml", "edifact"])
def test_what_changed_by_element_and_line(run: Run, tmp_path: Path, syntax: str) -> None:
    change = with_lines(valid_change(description=None, classification="8471300000"), {}, {"quantity": Decimal(12)})
    found = diff(run, tmp_path, valid_declaration(description=None), change, syntax)
    substance = [(c["line"], c["element"], c["before"], c["after"]) for c in found["changes"] if c["substance"]]
    assert substance == [(1, "classification", "8431490000", "8471300000"), (2, "quantity", "10", "12")]
    itself = {c["element"] for c in found["changes"] if not c["substance"]}
    assert {"function_code", "version", "reason_code_1"} <= itself
    assert (found["lines_missing"], found["lines_added"]) == ([], [])
    assert (found["payment_due"], found["interest_after"]) == ("2026-12-31", "2026-12-31")


def test_a_missing_line_is_told_with_the_finding_it_earns(run: Run, tmp_path: Path) -> None:
    found = diff(run, tmp_path, valid_declaration(lines=3), valid_change(lines=2, description="Steel frames"))
    assert [line["number"] for line in found["lines_missing"]] == ["3"]
    assert "CAD-0213" in {finding["code"] for finding in found["findings"]}
    assert found["verdict"] == "refused"
    assert Decimal(found["amounts"]["difference"]["value_for_duty"]) == -150


def test_a_new_line_needs_a_reason_too(run: Run, tmp_path: Path) -> None:
    found = diff(run, tmp_path, valid_declaration(lines=1), valid_change(lines=2, description="Steel frames"))
    assert [line["number"] for line in found["lines_added"]] == ["2"]
    assert (1, 2) in {(call["invoice"], call["line"]) for call in found["reasons"]}


def test_a_change_without_a_reason_is_told_where(run: Run, tmp_path: Path) -> None:
    change = with_lines(valid_change(reason_code_1=None, description=None), {"line_reason_code_1": "R5-00-COT"})
    change = with_lines(change, {"quantity": Decimal(11)}, {"quantity": Decimal(12)})
    found = diff(run, tmp_path, valid_declaration(description=None), change)
    assert [(call["line"], call["given"]) for call in found["reasons"]] == [(1, ["R5-00-COT"]), (2, [])]
    assert [f["code"] for f in found["findings"] if f["code"] == "CAD-0214"] == ["CAD-0214"]


def test_an_adjustment_calls_for_reasons_that_fit_the_elements_and_the_money(run: Run, tmp_path: Path) -> None:
    """Accounted for in January 2026: payment was due long ago."""
    days = {
        "accounting_date": date(2026, 1, 15),
        "release_date": date(2026, 1, 12),
        "direct_shipment_date": date(2026, 1, 5),
    }
    lower = valid_change(
        description=None, value_for_currency_conversion=Decimal(100), invoice_value=Decimal(250), **days
    )
    first = valid_declaration(description=None, **days)
    found = diff(run, tmp_path, first, lower)
    assert found["nature"] == "adjustment"
    total = Decimal(found["amounts"]["difference"]["total"])
    (line,) = [call for call in found["reasons"] if call["line"]]
    assert total < 0
    assert [code["kind"] for code in line["fitting"]] == ["refund"], "an amount owing is no reason of a refund"
    higher = valid_change(
        description=None, value_for_currency_conversion=Decimal(200), invoice_value=Decimal(350), **days
    )
    (line,) = [call for call in diff(run, tmp_path, first, higher)["reasons"] if call["line"]]
    assert [code["code"] for code in line["fitting"]] == ["R3-32.2.VFD"]


def amounts(total: int) -> Amounts:
    return NIL._replace(total=Decimal(total))


def test_reasons_come_from_the_list_refunds_first() -> None:
    def codes(name: str, total: int, nature: Nature = Nature.ADJUSTMENT) -> list[str]:
        return [code.code for code in fitting([name], nature, SPECS, DAY, amounts(total))]

    assert codes("classification", -5) == ["R2-74-1-E.TC", "R2-32-2.TC"]
    assert codes("classification", 5) == ["R3-32-2.TC"]
    assert codes("quantity", -5) == ["R2-74-1-D.Typo"]
    assert codes("quantity", 5) == []
    assert codes("quantity", 5, Nature.CORRECTION) == ["R5-00-COT"]
    assert "R2-74-1-E.TC" in [c.code for c in fitting(["classification"], Nature.ADJUSTMENT, SPECS, DAY, None)]


def test_every_element_that_the_list_names_is_in_the_dictionary() -> None:
    for entries in SPECS.code_lists["reason_code"].codes.values():
        for entry in entries:
            assert entry.row["about"] == "*" or set(entry.row["about"].split()) <= set(CORRECTION.elements)


def test_the_same_declaration_in_both_syntaxes_does_not_differ(run: Run, tmp_path: Path) -> None:
    a, b = tmp_path / "a.xml", tmp_path / "b.edi"
    a.write_bytes(write_xml(valid_declaration(), DECLARATION, SAID))
    b.write_bytes(write_edifact([valid_declaration()], DECLARATION, SAID, prepared=NOW))
    result = run("diff", a, b)
    assert result.exit_code == 0, result.output
    assert "Nothing differs." in result.stdout
    assert "Rien ne diffère." in run("diff", a, b, "--lang", "fr").stdout


def test_recorded_versions_by_their_ids(run: Run, tmp_path: Path) -> None:
    journal = recorded(tmp_path)
    first, second = [
        row["id"] for row in reversed(journal.list_messages(transaction_number="12345000000012", verdict="accepted"))
    ]
    found = json.loads(run("diff", first, second[:12], "--format", "json").stdout)
    assert (found["nature"], found["verdict"], found["findings"]) == ("adjustment", "accepted", [])
    assert found["amounts"]["difference"]["total"] == "16.40"
    told = run("diff", first, second, "--lang", "fr").stdout
    assert "un rajustement" in told
    assert "+16,40" in told
    assert not re.search(r"\d\.\d\d\b", told), "French has a decimal comma"


def test_another_declaration_is_told_as_such(run: Run) -> None:
    files = [SAMPLES / "originals" / name for name in ("ab-two-lines.edi", "published-example.xml")]
    assert "two declarations" in run("diff", *files).stdout


def test_an_original_is_no_adjustment_and_calls_for_no_reason(run: Run, tmp_path: Path) -> None:
    """Of another number, or another try at the same: neither changes what was accounted for."""
    again = tmp_path / "again.xml"
    again.write_bytes(write_xml(valid_declaration(quantity=Decimal(12)), DECLARATION, SAID))
    first = tmp_path / "first.xml"
    first.write_bytes(write_xml(valid_declaration(), DECLARATION, SAID))
    others = [SAMPLES / "originals" / name for name in ("ab-two-lines.edi", "published-example.xml")]
    for files in (others, [first, again]):
        told = run("diff", *files).stdout
        assert "B: an original" in told
        assert not re.search("adjustment|correction|Reason codes|refund", told)
        found = json.loads(run("diff", *files, "--format", "json").stdout)
        assert (found["nature"], found["reasons"]) == ("original", [])


def test_the_second_message_of_an_interchange(run: Run, tmp_path: Path) -> None:
    change = valid_change(quantity=Decimal(12))
    file = tmp_path / "both.edi"
    file.write_bytes(write_edifact([valid_declaration(), change], CORRECTION, SAID, prepared=NOW))
    found = json.loads(run("diff", f"{file}#1", f"{file}#2", "--format", "json").stdout)
    assert "quantity" in {c["element"] for c in found["changes"]}


def test_what_the_engine_cannot_assess_is_told(run: Run, tmp_path: Path) -> None:
    found = diff(run, tmp_path, valid_declaration(), valid_change(currency="XQX"))
    assert found["amounts"]["difference"] is None
    assert found["amounts"]["problems"][0]["code"] == "ENG-0001"


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("nowhere", "nowhere", "there is no file 'nowhere'"),
        (str(SAMPLES / "refused/noise.bin"), "nowhere", "no declaration can be read"),
        (str(SAMPLES / "originals/v-voluntary.edi") + "#7", "nowhere", "no declaration can be read"),
    ],
)
def test_what_cannot_be_compared_is_one_clear_line(run: Run, first: str, second: str, said: str) -> None:
    result = run("diff", first, second)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert said in line


def test_a_difference_in_french_has_no_english_word(run: Run) -> None:
    told = run(
        "diff", str(SAMPLES / "originals/ab-two-lines.edi"), str(SAMPLES / "changes/ab-adjustment.edi"), "--lang", "fr"
    ).stdout
    assert "DDC 12345000000012" in told
    assert "(montant dû, élevée)" in told
    assert "B : un rajustement" in told
