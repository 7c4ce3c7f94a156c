"""The smoke test's results: JUnit, the digest, and the HTML report as a reader meets it in a real browser."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from selenium import webdriver
from selenium.webdriver.common.by import By

from core.errors import GatewayError
from gateway.cli.smoke import smoke
from gateway.trade.scenario import Words
from gateway.trade.smoke import LISTED, JudgedBy, Report, Result, SeenMessage, blank, canonical, digest, note
from gateway.trade.smoke_report import page_of, write_html, write_junit
from tests.cli import test_guide_browser
from tests.support import smoke_partners as partners

browser = test_guide_browser.browser  # the fixture

NASTY = '</script><b>Érable</b> & "co" \x07'


def a_result(*, failed: bool = True) -> Result:
    """Return a run in which stage 3 failed."""
    result = partners.blank_result(partners.SCENARIO)
    for number, stage in enumerate(result.stages, 1):
        for line in stage.lines:
            if number < 3 or not failed:
                line.state, line.seconds, line.subject = "passed", 0.25, "12345000000012:00001"
                line.answers, line.codes = ["receipt", "accepted", "assessed"], []
    if failed:
        line = result.stages[2].lines[1]
        line.state, line.sentence = "failed", Words(f"It was ignored {NASTY}", f"Il a été ignoré {NASTY}")
        line.codes = ["CAD-0150"]
    return result


def test_junit_has_a_suite_for_each_stage_and_the_sentences(tmp_path: Path) -> None:
    write_junit(a_result(), tmp_path / "smoke.xml")
    top = ElementTree.parse(tmp_path / "smoke.xml").getroot()  # noqa: S314 - our own
    suites = top.findall("testsuite")
    assert [(suite.get("tests"), suite.get("failures")) for suite in suites] == [
        ("1", "0"), ("11", "0"), ("7", "1"), ("10", "0"), ("1", "0"),
    ]  # fmt: skip
    failure = suites[2].findall("testcase")[1].find("failure")
    assert failure is not None
    assert failure.get("message", "").startswith("It was ignored </script>")
    assert failure.get("message", "").endswith(r"\x07")


def test_junit_skips_what_was_not_tried(tmp_path: Path) -> None:
    result = a_result(failed=False)
    result.stages[1].lines[3].state, result.stages[4].lines[0].state = "not-applicable", "not-reached"
    write_junit(result, tmp_path / "smoke.xml")
    suites = ElementTree.parse(tmp_path / "smoke.xml").getroot().findall("testsuite")  # noqa: S314 - our own
    assert [(suite.get("failures"), suite.get("skipped")) for suite in suites][1::3] == [("0", "1"), ("0", "1")]
    assert not result.passed, "what was never reached has not been passed"
    result.stages[4].lines[0].state = "passed"
    assert result.passed, "what does not apply stands in nobody's way"


# ------------------------------------------------------------------------------------------------ verified


def verify(path: Path, *more: str) -> tuple[int, str]:
    done = CliRunner().invoke(smoke, ["--verify", str(path), *more])
    return done.exit_code, done.output


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Make two pairs of keys as OpenSSL writes them."""
    folder, found = tmp_path_factory.mktemp("keys"), {}
    for name in ("ours", "others"):
        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        for kind, body in (("", private), (".pub", public)):
            found[name + kind] = folder / f"{name}{kind}.pem"
            found[name + kind].write_bytes(body)
    return found


def test_a_report_is_made_again_from_its_results_and_tells_what_they_prove(tmp_path: Path) -> None:
    result, path = a_result(), tmp_path / "report.html"
    write_html(result, path)
    code, said = verify(path)
    assert code == 0
    told = dict(line.split(maxsplit=1) for line in said.splitlines()[:7])
    assert told["partner"] == "Maple (maple)"
    assert told["role"] == "The system of Maple was tested; this program played customs."
    assert (told["result"], told["digest"]) == ("not passed", digest(result))
    assert (told["page"], told["signature"]) == ("made of these results", "none")
    assert "Anyone can write such a file" in said


FORGERIES = {
    "the page": lambda text: text.replace("Not passed", "Passed", 1),
    "one sentence of the page in French": lambda text: text.replace("Non réussi", "Réussi", 1),
    "the results": lambda text: text.replace('"state":"failed"', '"state":"passed"', 1),
    "who was tested": lambda text: text.replace("Conformance report: Maple", "Conformance report: Oak"),
    "a link beside the page": lambda text: text.replace("</footer>", "Certified.</footer>", 1),
    "what the packs say": lambda text: text.replace("rebuilt from public", "issued by the CBSA", 1),
    "behind the end": lambda text: text + "<p>Passed</p>",
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_report_is_told(tmp_path: Path, forgery: str) -> None:
    path, result = tmp_path / "report.html", a_result()
    said = Words("rebuilt from public sources", "reconstruit de sources publiques")
    result.judged_by = [JudgedBy("chapter24", said)]
    write_html(result, path)
    before = path.read_text("utf-8")
    path.write_text(FORGERIES[forgery](before), "utf-8")
    assert path.read_text("utf-8") != before
    code, told = verify(path)
    assert (code, "NOT made of these results: forged" in told) == (1, True)


def test_only_the_owner_of_the_key_can_sign(tmp_path: Path, keys: dict[str, Path]) -> None:
    path, result = tmp_path / "report.html", a_result()
    write_html(result, path, keys["ours"])
    code, said = verify(path, "--public-key", str(keys["ours.pub"]))
    assert (code, "by the owner of the key" in said, "Anyone" in said) == (0, True, False)
    assert verify(path, "--public-key", str(keys["others.pub"]))[0] == 1
    assert "--public-key checks it" in verify(path)[1]
    # Made anew as a whole from better results, with the old signature: the page agrees, the signature does not.
    signature = re.search(r'"signature":"([^"]+)"', path.read_text("utf-8"))
    assert signature
    better = a_result(failed=False)
    path.write_text(page_of(Report(better, signature[1])), "utf-8")
    assert verify(path)[0] == 0
    assert verify(path, "--public-key", str(keys["ours.pub"]))[0] == 1


@pytest.mark.parametrize("option", ["--sign", "--public-key"])
def test_a_key_that_is_none_is_told_in_one_line(tmp_path: Path, keys: dict[str, Path], option: str) -> None:
    path = tmp_path / "report.html"
    write_html(a_result(), path)
    wrong = keys["ours.pub" if option == "--sign" else "ours"]
    given = ["--report", str(path)] if option == "--sign" else ["--verify", str(path)]
    done = CliRunner().invoke(smoke, [*given, option, str(wrong)])
    assert done.exit_code != 0
    assert isinstance(done.exception, GatewayError)
    assert "no Ed25519" in str(done.exception)


def test_a_demonstration_never_looks_like_a_test_of_a_partner(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    for role in ("broker", "customs"):
        result = a_result(failed=False)
        result.role, result.broker = role, "embedded"
        write_html(result, path)
        page = path.read_text("utf-8").split('class="first"')[1]
        assert "Report of a self-test" in page
        assert page.index("this program played both sides") < page.index("<h1>")
        assert "Conformance report" not in page


def test_the_report_lists_the_messages_that_were_seen(tmp_path: Path) -> None:
    result, path = a_result(), tmp_path / "report.html"
    note(result, [SeenMessage("12345000000012:00001", "declaration", "refused", ["CAD-0150"], "ab" * 32)])
    note(result, [SeenMessage("12345000000012:00001", "declaration", "accepted", [], "cd" * 32)] * LISTED)
    write_html(result, path)
    page = path.read_text("utf-8")
    assert page.count("ab" * 32) == 3, "in both languages, and in the results"
    assert (result.messages, len(result.seen)) == (LISTED + 1, LISTED)


def test_cad_types_that_do_not_apply_take_what_follows_with_them() -> None:
    with pytest.raises(GatewayError, match="no declaration of CAD type ZZ"):
        blank(partners.SCENARIO, ["ZZ"])
    result = partners.blank_result(partners.SCENARIO)
    result.stages = blank(partners.SCENARIO, ["13", "22"])
    assert [line.id for line in result.lines() if line.settled] == ["2.7", "2.10"]


@pytest.mark.parametrize("change", [{"partner": "erable"}, {"messages": 1}, {"kit": "0" * 64}, {"role": "broker"}])
def test_every_fact_is_in_the_digest(change: dict[str, object]) -> None:
    result = a_result()
    before = canonical(result)
    for name, value in change.items():
        setattr(result, name, value)
    assert canonical(result) != before
    assert digest(result) != digest(a_result())


@pytest.mark.browser
@pytest.mark.parametrize(
    ("language", "heading", "verdict", "why"),
    [
        ("en", "Conformance report: Maple", "Not passed", "It was ignored"),
        ("fr", "Rapport de conformité : Maple", "Non réussi", "Il a été ignoré"),
    ],
)
@pytest.mark.parametrize("first", ["en", "fr"])
def test_the_report_shows_in_either_language_in_a_browser(
    browser: webdriver.Chrome,
    tmp_path: Path,
    language: str,
    heading: str,
    verdict: str,
    why: str,
    first: str,
) -> None:
    path = tmp_path / "report.html"
    result = a_result()
    result.language = first  # type: ignore[assignment]
    write_html(result, path)
    browser.get(path.as_uri())
    shown = [each for each in browser.find_elements(By.TAG_NAME, "h1") if each.is_displayed()]
    assert [each.find_element(By.XPATH, "ancestor::div").get_attribute("lang") for each in shown] == [first]
    browser.find_element(By.LINK_TEXT, {"en": "English", "fr": "Français"}[language]).click()
    (title,) = [each for each in browser.find_elements(By.TAG_NAME, "h1") if each.is_displayed()]
    assert title.text == heading
    page = browser.find_element(By.ID, language).text
    assert verdict in page
    assert why in page
    assert "</script><b>Érable</b>" in page, "what a sender wrote is shown, not obeyed"
    assert digest(result) in page
    assert browser.get_log("browser") == []
    width = browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert width[0] <= width[1], "nothing runs off the page"


@pytest.mark.browser
def test_on_paper_the_report_has_both_languages(browser: webdriver.Chrome, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    result = a_result()
    result.language = "fr"
    write_html(result, path)
    browser.get(path.as_uri())
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert [each.text for each in browser.find_elements(By.TAG_NAME, "h1") if each.is_displayed()] == [
            "Conformance report: Maple",
            "Rapport de conformité : Maple",
        ]
        assert not browser.find_element(By.CLASS_NAME, "languages").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert base64.b64decode(browser.print_page()).startswith(b"%PDF")
