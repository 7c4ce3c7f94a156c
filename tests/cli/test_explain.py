"""A message in plain words: every element, every finding in its place, in both languages, on one page of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from lxml import html

from core.calendar import eastern
from core.envelope import Envelope
from core.findings import Place
from core.register import Facts
from core.transmission import Received
from gateway import pipeline
from gateway.catalogue import PLACEHOLDERS, in_words, listed_rules
from gateway.desk.explain import LINES_SHOWN, Explained, amount_in_words, day_in_words, excerpt, explain
from gateway.trade.writer import write_edifact, write_xml
from tests.support.builders import DECLARATION, NOW, facts, valid_declaration, with_lines
from tests.support.desk import Run, recorded, runner
from tests.support.house import house
from tests.support.way import PARTNERS, PLANS, SAMPLES, SPECS, rows

SAID = Envelope(sender="BROKERA", recipient="GATEWAY", reference="1", message="1")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(tmp_path, monkeypatch)


def explained(body: bytes, given: Facts, language: str = "en") -> Iterator[Explained]:
    for one in pipeline.handle(Received("1", given.partner.id, body, NOW), given, PLANS).judged:
        yield explain(one, given.partner, SPECS, language)


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("file", sorted({row["file"] for row in rows()}))
def test_every_finding_of_every_sample_is_shown_once(file: str, language: str) -> None:
    for partner in PARTNERS.values():
        for one in explained((SAMPLES / file).read_bytes(), Facts(partner), language):
            placed = [remark.number for section in one.sections for remark in section.remarks]
            placed += [remark.number for s in one.sections for row in s.rows for remark in row.remarks]
            placed += [remark.number for remark in one.elsewhere]
            assert sorted(placed) == list(range(1, len(one.judged.findings) + 1))


@pytest.mark.parametrize("syntax", ["xml", "edifact"])
def test_every_element_given_is_told_with_what_it_means(syntax: str) -> None:
    declaration = valid_declaration()
    body = (
        write_xml(declaration, DECLARATION, SAID)
        if syntax == "xml"
        else write_edifact([declaration], DECLARATION, SAID, prepared=NOW)
    )
    (one,) = explained(body, facts())
    told = {
        (section.invoice, section.line, row.element.name): (row.written, row.meaning)
        for section in one.sections
        for row in section.rows
    }
    given = {(i, j, name) for i, j, level in declaration.levels() for name in level.values}
    assert told.keys() == given
    assert told[0, 0, "accounting_date"] == ("20261120", "November 20, 2026")
    assert told[0, 0, "function_code"] == ("9", "an original declaration")
    assert told[1, 1, "unit"] == ("KGM", "Kilogram")
    assert told[1, 2, "value_for_currency_conversion"] == ("150", "150.00 CAD")
    assert told[1, 1, "classification"] == ("8431490000", "8431.49.00.00")
    assert one.summary == (
        "Broker A sends an original declaration for the importer 123456782RM0001: 1 invoice, 2 lines,"
        " value 300.00 CAD. The message is accepted."
    )


def test_two_elements_of_one_class_do_not_take_each_others_findings() -> None:
    """Tariff treatment, excise code and GST code share a WCO pointer."""
    declaration = valid_declaration(tariff_treatment="99", gst_code="00")
    (one,) = explained(write_xml(declaration, DECLARATION, SAID), facts())
    at = {remark.finding.value: row.element.name for s in one.sections for row in s.rows for remark in row.remarks}
    assert at["99"] == "tariff_treatment"
    assert at["00"] == "gst_code"


def test_a_missing_element_stands_where_it_belongs() -> None:
    (one,) = explained(write_xml(valid_declaration(office=None, origin=None), DECLARATION, SAID), facts(), "fr")
    missing = {(s.line, row.element.name): row.written for s in one.sections for row in s.rows if row.remarks}
    assert missing == {(0, "office"): None, (1, "origin"): None}


def test_of_a_long_message_lines_without_a_finding_are_counted_only() -> None:
    count = LINES_SHOWN + 100
    declaration = with_lines(valid_declaration(lines=count), *[{}] * (count - 1), {"origin": None})
    (one,) = explained(write_xml(declaration, DECLARATION, SAID), facts())
    assert one.left_out > 50
    assert one.sections[-1].line == count, "the faulty one is shown"


def test_amounts_and_days_as_people_write_them() -> None:
    assert amount_in_words(Decimal("1234567.5"), "CAD", "en") == "1,234,567.50 CAD"
    assert amount_in_words(Decimal("1234567.5"), "CAD", "fr") == "1\u202f234\u202f567,50 CAD"
    assert amount_in_words(Decimal("0.125"), "CAD", "en") == "0.125 CAD"
    assert (day_in_words(date(2026, 8, 1), "fr"), day_in_words(date(2026, 8, 2), "fr")) == (
        "1er août 2026",
        "2 août 2026",
    )


def test_an_excerpt_shows_hostile_text_harmlessly() -> None:
    shown = excerpt(["a" * 500 + "\x1b[31m\u202e" + "b" * 500], Place(line=1, column=501), None)
    assert shown is not None
    assert (shown.before[0], shown.marked, shown.after[:4]) == ("…", "\ufffd", "[31m")
    assert all(c.isprintable() for c in shown.before + shown.marked + shown.after)
    assert excerpt(["a"], Place(line=2, column=1), None) is None


def test_the_command_judges_files_in_order(run: Run) -> None:
    original, change = SAMPLES / "originals/v-voluntary.edi", SAMPLES / "changes/v-correction.edi"
    assert run("explain", original, change).exit_code == 0
    alone = run("explain", change)
    assert alone.exit_code == 1
    assert "CAD-0210" in alone.stdout


def test_a_recorded_message_is_judged_on_what_was_known_then(run: Run, tmp_path: Path) -> None:
    journal = recorded(tmp_path)
    (row,) = journal.list_messages(transaction_number="12345000000023", verdict="accepted", limit=1)
    result = run("explain", row["id"][:12], "--lang", "fr")
    assert result.exit_code == 0, result.output
    assert "une demande de retrait d'une déclaration" in result.stdout


@pytest.mark.parametrize(("language", "word"), [("en", "received"), ("fr", "reçu le")])
def test_the_page_of_a_recorded_message_has_its_full_id_and_when_it_came(
    run: Run, tmp_path: Path, language: str, word: str
) -> None:
    row = recorded(tmp_path).list_messages(verdict="refused", limit=1)[0]
    page = tmp_path / "page.html"
    run("explain", row["id"][:12], "--html", page, "--lang", language)
    shown = html.fromstring(page.read_text("utf-8"))
    assert row["id"] in shown.findtext(".//title")
    header = " ".join(shown.find(".//header").text_content().split())
    assert f"{row['id']} · {word} {eastern(row['received_at'], language)}" in header


@pytest.mark.parametrize(
    ("code", "said"), [("CAD-0101", "0/BGM/3.1"), ("EDI-0511", "code list 2379"), ("GTW-0010", "warns")]
)
def test_a_code_is_explained_in_both_languages(run: Run, code: str, said: str) -> None:
    result = run("explain", code)
    assert result.exit_code == 0
    assert said in result.stdout
    listed = {each.finding.code: each for each in listed_rules(SPECS)}
    known = listed.get(code)
    text = in_words(known.finding.text if known else SPECS.findings[code].text, known.element if known else None)
    assert text.en in " ".join(result.stdout.split())
    assert text.fr in " ".join(result.stdout.split())
    assert "{" not in text.en + text.fr


def test_what_a_rule_reads_is_told(run: Run) -> None:
    """The element's own name is not all: an invoice's total reads its lines, too."""
    shown = " ".join(run("explain", "CAD-0194").stdout.split())
    for name in ("invoice_value", "invoice_currency", "value_for_currency_conversion", "currency", "vfd_code"):
        assert f"({name})" in shown
    assert "part=beyond; a_line=0.01; plain=13 23" in shown
    assert "VFD codes without adjustments" in shown


@pytest.mark.parametrize(
    ("code", "passing", "failing"),
    [
        ("CAD-0155", r"MEA\+AAR\+\+\w+:", r"MEA\+AAR\+\+KGS:"),  # a value
        ("CAD-0122", r"RFF\+WE:\d{14}:1'", "—"),  # an element that is missing
        ("CAD-0152", r"TCC\+\+\+(?!9[89])\d{10}:HS'", r"TCC\+\+\+9[89]\d{8}:HS'"),  # what differs is elsewhere
        ("CAD-0214", r"FTX\+ACD\+\+R5-00-COT'", "—"),
    ],
)
def test_a_code_is_explained_by_what_passes_and_what_fails(run: Run, code: str, passing: str, failing: str) -> None:
    edifact, _, xml = run("explain", code).stdout.partition("\nEDIFACT\n")[2].partition("\nXML  /MetaData/")
    assert re.search(rf"^  passes  {passing}", edifact, re.M)
    assert re.search(rf"^  fails   {failing}", edifact, re.M)
    assert re.search(r"^  passes  <", xml, re.M)


def test_what_the_message_alone_does_not_show_is_told(run: Run) -> None:
    shown = run("explain", "CAD-0201").stdout
    assert shown.count("what was sent before decides") == 2
    assert "EDIFACT" not in run("explain", "EDI-0001").stdout, "no message can be made"


def test_what_to_do_stands_with_the_finding(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    file = SAMPLES / "refused/no-authority.xml"
    assert "To do: Check the business number" in " ".join(run("explain", file).stdout.split())
    run("explain", file, "--html", page, "--lang", "fr")
    assert "À faire : Vérifiez le numéro d'entreprise" in html.parse(page).getroot().text_content()


def test_what_a_code_leaves_open_is_told_in_words(run: Run) -> None:
    shown = " ".join(run("explain", "CAD-0101").stdout.split())
    assert "Transaction number: the check digit of <value> is wrong; for these first 13 digits it is <digit>." in shown
    assert "DDC n° de transaction : le chiffre de contrôle de <valeur> est erroné" in shown
    assert not re.search(r"\{\w+\}", run("rules").stdout + run("rules", "--format", "md").stdout)
    rules = [rule.finding for pack in SPECS.packs for rule in pack.rules]
    texts = " ".join(part for each in (*SPECS.findings.values(), *rules) for part in each.text)
    assert set(re.findall(r"\{(\w+)\}", texts)) <= set(PLACEHOLDERS), "each has a word in both languages"


def test_a_resend_is_explained_as_its_first_was_answered(run: Run, tmp_path: Path) -> None:
    """Judged anew, the accepted bytes came out as "reference already in use": nobody had been told that."""
    recorded(tmp_path).close()
    with house(tmp_path) as gateway:
        body = (SAMPLES / "originals/v-voluntary.edi").read_bytes()
        gateway.send("maple", body)
        gateway.settle_down()
        row = next(row for row in gateway.journal.list_messages() if (row["note"] or "").startswith("resend of "))
    result = run("explain", row["id"])
    assert result.exit_code == 0, result.output
    assert f"{row['id'][:12]} repeats " in result.stderr


def test_every_code_can_be_explained(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.cli.explain.pieces", lambda *_: [])  # which takes long for all of them
    codes = sorted({*SPECS.findings, *(rule.id for pack in SPECS.packs for rule in pack.rules)})
    assert run("explain", *codes, "--lang", "fr").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("CAD-9999",), "there is no finding CAD-9999"),
        (("nothing-of-the-kind",), "there is no file 'nothing-of-the-kind'"),
        ((str(SAMPLES / "refused/noise.bin"), "zzz"), "name files or recorded messages"),
        ((str(SAMPLES / "refused/noise.bin"), "--as", "nobody"), "there is no partner 'nobody'"),
        ((str(SAMPLES / "refused/noise.bin"), "--html", "/nowhere/x.html"), "/nowhere/x.html"),
        (("CAD-0101", "--html", "x.html"), "--html is for messages"),
    ],
)
def test_what_cannot_be_explained_is_one_clear_line(run: Run, arguments: tuple[str, ...], said: str) -> None:
    result = run("explain", *arguments)
    assert (result.exit_code, said in result.stderr) == (2, True), result.output


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_page_is_self_contained_and_escapes_what_the_sender_wrote(run: Run, tmp_path: Path, language: str) -> None:
    declaration = valid_declaration(importer_name="<script>alert(1)</script>", office="<b>!")
    file, page = tmp_path / "message.xml", tmp_path / "page.html"
    file.write_bytes(write_xml(declaration, DECLARATION, SAID))
    assert run("explain", file, "--html", page, "--lang", language).exit_code == 1
    text = page.read_text("utf-8")
    assert f'<html lang="{language}">' in text
    assert "<script" not in text
    assert "<b>!" not in text
    assert not re.search(r"""(src|href)\s*=\s*["'](?!#)|@import|url\(""", text)
