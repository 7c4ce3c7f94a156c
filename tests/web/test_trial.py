"""The trial page as a reader without scripts has it: choose, judge, look, correct, download."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from lxml import html
from starlette.testclient import TestClient

from gateway.web.upload import bytes_of, carried
from gateway.web.work import Upload
from tests.support.way import SAMPLES
from tests.support.web import client_of

FAULTY = SAMPLES / "refused/many-faults.edi"
SAID, NOTE = '//*[@id="said"]', '//*[@class="note"]'
FOUND = '//*[starts-with(@class, "fault")]//a[@class="code"]'
MARKS, REFS, LINES = (f'//*[@class="source"]//{each}' for each in ("mark", 'a[@class="ref"]', "p/code"))
SELECTS = '//form[@id="try"]//select'
ANSWERS, TRY = '//button[starts-with(@formaction, "/trial/answers/")]', '//a[starts-with(@href, "/trial/sample")]'
CODES = ["CAD-0101", "CAD-0111", "CAD-0150", "CAD-0003", "CAD-0180"]


@pytest.fixture(scope="module")
def _client() -> TestClient:
    return client_of()


@pytest.fixture
def client(_client: TestClient) -> TestClient:
    _client.cookies.clear()
    return _client


def post(client: TestClient, *paths: Path, path: str = "/trial", **fields: str) -> html.HtmlElement:
    files = [("file", (each.name, each.read_bytes())) for each in paths]
    answer = client.post(path, files=files, data=fields)
    assert answer.status_code == 200, answer.text
    return html.fromstring(answer.text)


def text_of(tree: html.HtmlElement, path: str) -> list[str]:
    return [" ".join(each.text_content().split()) for each in tree.xpath(path)]


def fields_of(tree: html.HtmlElement) -> dict[str, str]:
    """Return what the browser would send of the form as it stands; of a text field it drops a first line end."""
    form = tree.get_element_by_id("try")
    return {name: value.removeprefix("\n") for name, value in form.form_values() if name != "file"}


def send_again(client: TestClient, fields: dict[str, str], path: str = "/trial") -> TestClient:
    return client.post(path, files=[(name, (None, value.encode())) for name, value in fields.items()])


def test_each_fault_stands_in_its_place_with_all_that_is_known_of_it(client: TestClient) -> None:
    page = post(client, FAULTY)
    assert text_of(page, SAID) == ["1 message: 0 accepted, 1 refused; 5 faults, 0 warnings"]
    assert text_of(page, FOUND) == CODES
    assert [each.get("href") for each in page.xpath(FOUND)] == [f"/explain/{code}" for code in CODES]
    assert text_of(page, MARKS) == ["12345000000035", "123456789RM0001", "10", "XQX", "G"]
    for mark in page.xpath(REFS):
        fault = page.get_element_by_id(mark.get("href")[1:])
        assert fault.xpath(f'.//a[@href="#{mark.get("id")}"]'), "and back"
        told = fault.text_content()
        assert all(word in told for word in ("line ", "pointer ", "source: ", "To do: ")), told
    assert "expected: 12345000000034" in page.get_element_by_id("f1-1-1").text_content()


def test_what_was_sent_can_be_corrected_in_the_page(client: TestClient) -> None:
    page = post(client, SAMPLES / "originals/ab-two-lines.edi", SAMPLES / "refused/no-authority.xml", sender="known")
    fields = fields_of(page)
    assert fields["2.text"].encode() == (SAMPLES / "refused/no-authority.xml").read_bytes()
    wrong = {**fields, "1.text": fields["1.text"].replace("12345000000012", "12345000000013")}
    assert "1 refused" in send_again(client, wrong).text
    assert "2 accepted, 0 refused" in send_again(client, fields).text
    assert "1 message: " in send_again(client, {**fields, "2.text": " "}).text


def test_files_are_judged_in_order(client: TestClient) -> None:
    original, change = SAMPLES / "originals/v-voluntary.edi", SAMPLES / "changes/v-correction.edi"
    assert "2 accepted" in text_of(post(client, original, change), SAID)[0]
    assert text_of(post(client, change), FOUND) == ["CAD-0210"]
    assert "1 accepted" in text_of(post(client, change, before="original"), SAID)[0]


def test_what_is_pasted_comes_after_the_files(client: TestClient) -> None:
    change = (SAMPLES / "changes/v-correction.edi").read_text("latin-1")
    page = post(client, SAMPLES / "originals/v-voluntary.edi", paste=change)
    assert "2 accepted" in text_of(page, SAID)[0]
    assert fields_of(page)["2.text"] == change


@pytest.mark.parametrize(
    ("facts", "codes"), [({}, []), ({"sender": "unknown"}, ["GTW-0003"]), ({"authority": "no"}, ["GTW-0005"])]
)
def test_what_is_assumed_of_the_sender_decides(client: TestClient, facts: dict[str, str], codes: list[str]) -> None:
    page = post(client, SAMPLES / "originals/ab-two-lines.edi", **facts)
    assert text_of(page, FOUND) == codes
    chosen = {each.get("name"): each.value for each in page.xpath(SELECTS)}
    assert chosen == {"sender": "known", "authority": "yes", "before": "none"} | facts


def test_nobodys_registration_can_be_found_out(client: TestClient) -> None:
    """The partners' file is not read: whether a registered broker has authority is no stranger's business."""
    page = post(client, SAMPLES / "refused/no-authority.xml")
    assert text_of(page, FOUND) == []


@pytest.mark.parametrize(
    ("file", "kinds"),
    [
        ("originals/ab-two-lines.edi", ["receipt.json", "contrl.edi", "accepted.edi"]),
        ("originals/published-example.xml", ["receipt.json", "accepted.xml"]),
        ("refused/many-faults.edi", ["receipt.json", "contrl.edi", "refused.edi"]),
        ("refused/noise.bin", ["receipt.json", "refused.json"]),
    ],
)
def test_the_answers_of_production_can_be_seen_and_downloaded(client: TestClient, file: str, kinds: list[str]) -> None:
    page = post(client, SAMPLES / file)
    buttons = page.xpath(ANSWERS)
    assert [each.text_content().split("-", 1)[1] for each in buttons] == kinds
    for button in buttons:
        answer = send_again(client, fields_of(page), button.get("formaction"))
        assert answer.status_code == 200
        assert answer.headers["content-disposition"].startswith("attachment; ")
        shown = "".join(button.getparent().getparent().xpath(".//pre")[0].text_content().split())
        assert shown == "".join(answer.text.split()), "the very answer that was shown, its time included"
    assert client.post("/trial/answers/1/9", files=[("file", ("a", b"x"))]).status_code == 404


def test_whom_production_does_not_know_it_does_not_answer(client: TestClient) -> None:
    page = post(client, SAMPLES / "originals/ab-two-lines.edi", sender="unknown")
    assert page.xpath(ANSWERS) == []
    assert "Production would answer nothing" in page.text_content()


def test_the_report_is_one_file(client: TestClient) -> None:
    fields = fields_of(post(client, FAULTY))
    answer = send_again(client, fields, "/trial/report")
    assert answer.headers["content-disposition"] == 'attachment; filename="report.html"'
    assert all(code in answer.text for code in CODES)
    assert not html.fromstring(answer.text).xpath("//*[@src] | //link | //script")


def test_the_page_speaks_french(client: TestClient) -> None:
    page = post(client, FAULTY, path="/trial?lang=fr")
    assert text_of(page, SAID) == ["messages : 1; acceptés : 0, refusés : 1; erreurs : 5, avertissements : 0"]
    assert "À faire :" in page.text_content()
    assert "Réponse GOVCBR : refusé" in " ".join(page.text_content().split())


@pytest.mark.parametrize("syntax", ["edifact", "xml"])
@pytest.mark.parametrize("of", ["AB", "V", "CAD-0101", "GTW-0005", "GTW-0003"])
def test_a_sample_comes_out_as_it_says(client: TestClient, of: str, syntax: str) -> None:
    answer = client.get("/trial/sample", params={"of": of, "syntax": syntax})
    page = html.fromstring(answer.text)
    assert page.xpath(NOTE) == []
    judged = html.fromstring(send_again(client, fields_of(page)).text)
    assert text_of(judged, FOUND) == ([of] if "-" in of else [])


def test_a_sample_says_what_its_files_cannot_bring_about(client: TestClient) -> None:
    page = html.fromstring(client.get("/trial/sample?of=CAD-0232").text)
    assert "the journal must hold" in text_of(page, NOTE)[0]
    assert "too large" in client.get("/trial/sample?of=GTW-0007").text
    assert client.get("/trial/sample?of=CAD-9999").status_code == 404


def test_a_finding_is_explained_with_an_example_to_try(client: TestClient) -> None:
    page = html.fromstring(client.get("/explain/cad-0101", headers={"accept-language": "fr"}).text)
    assert "DDC n° de transaction" in page.text_content()
    (link, _) = page.xpath(TRY)
    assert client.get(link.get("href")).status_code == 200
    assert "reference assessment engine" in client.get("/explain/ENG-0005").text
    assert client.get("/explain/CAD-9999").status_code == 404


BODIES = {
    "latin-1 in UNOC": "UNA:+.? 'UNB+UNOC:3+É+B+260101:1200+1'\r\nUNZ+0+1'".encode("latin-1"),
    "the XML declaration's": '<?xml version="1.0" encoding="ISO-8859-1"?><a>é</a>'.encode("latin-1"),
    "UTF-8 with a mark": '\ufeff<?xml version="1.0"?>\n<a>é</a>\n'.encode(),
    "line ends": b"\nUNB+UNOA:3'\n\n",
    "mixed line ends": b"a\r\nb\nc",
    "a lone return": b"a\rb",
    "controls": b"UNB\x1d\x1f",
    "no text": bytes(range(256)),
    "UTF-16": "<a>é</a>".encode("utf-16"),
    "a strange set": b'<?xml version="1.0" encoding="punycode"?><a/>',
    "direction of writing": "<a>\u202e</a>".encode(),
    "nothing": b"",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_page_carries_every_file_along_byte_for_byte(body: bytes) -> None:
    kept = carried(Upload("a", body))
    if kept.text is not None:
        sent = kept.text.replace("\n", "\r\n")  # as browsers send it
        assert bytes_of(sent, kept.marks) == body
    else:
        assert kept.base64 is not None
        assert base64.b64decode(kept.base64) == body


def test_which_files_are_edited_as_text() -> None:
    text = {name for name, body in BODIES.items() if carried(Upload("a", body)).text is not None}
    assert text == {"latin-1 in UNOC", "the XML declaration's", "UTF-8 with a mark", "line ends", "a strange set"}


def test_bytes_that_are_no_text_stay_as_they_came(client: TestClient) -> None:
    body = (SAMPLES / "refused/noise.bin").read_bytes() + b"\x00\xff"
    page = html.fromstring(client.post("/trial", files=[("file", ("noise", body))]).text)
    fields = fields_of(page)
    assert base64.b64decode(fields["1.base64"]) == body
    assert "GTW-0001" in send_again(client, fields).text
    assert "byte for byte as it came" in page.text_content()


def test_a_message_in_one_line_is_shown_a_segment_a_line(client: TestClient) -> None:
    line = (SAMPLES / "refused/many-faults.edi").read_bytes().replace(b"\n", b"")
    page = html.fromstring(client.post("/trial", files=[("file", ("one", line))]).text)
    assert text_of(page, MARKS) == ["12345000000035", "123456789RM0001", "10", "XQX", "G"]
    assert page.xpath(LINES)[0].text_content().count("\n") > 40


def test_of_a_long_message_what_is_around_its_faults_is_shown(client: TestClient) -> None:
    body = (SAMPLES / "refused/many-faults.edi").read_bytes() + b"\n" * 5_000
    page = html.fromstring(client.post("/trial", files=[("file", ("long", body))]).text)
    assert len(page.xpath(LINES)) < 100
    assert re.search(r"5.?0\d\d lines without a finding", page.text_content())


def test_nothing_sent_is_told(client: TestClient) -> None:
    answer = client.post("/trial", files=[("1.text", (None, b" "))], headers={"accept": "text/html"})
    assert answer.status_code == 422
    assert "nothing was sent" in html.fromstring(answer.text).get_element_by_id("reason").text


def test_another_method_is_told_which_there_are(client: TestClient) -> None:
    answer = client.put("/trial", content=b"x")
    assert answer.status_code == 405
    assert {each.strip() for each in answer.headers["allow"].split(",")} == {"GET", "HEAD", "POST"}
