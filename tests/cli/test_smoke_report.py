"""The smoke test's results: JUnit, the digest, and the HTML report as a reader meets it in a real browser."""

from __future__ import annotations

import base64
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from selenium import webdriver
from selenium.webdriver.common.by import By

from gateway.cli.smoke import smoke
from gateway.trade.scenario import Words
from gateway.trade.smoke import Result, canonical, digest
from gateway.trade.smoke_report import write_html, write_junit
from tests.cli import test_guide_browser
from tests.support import smoke_partners as partners
from tests.support.way import SPECS

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
        ("1", "0"), ("11", "0"), ("7", "7"), ("10", "10"), ("1", "1"),
    ]  # fmt: skip
    failure = suites[2].findall("testcase")[1].find("failure")
    assert failure is not None
    assert failure.get("message", "").startswith("It was ignored </script>")
    assert failure.get("message", "").endswith(r"\x07")


def verify(path: Path) -> tuple[int, str]:
    done = CliRunner().invoke(smoke, ["--verify", str(path)])
    return done.exit_code, done.output


def test_the_digest_of_a_report_can_be_worked_out_again(tmp_path: Path) -> None:
    result, path = a_result(), tmp_path / "report.html"
    write_html(result, path, "en", SPECS.packs)
    assert verify(path) == (0, f"{digest(result)} as shown in the report\n")


def test_a_report_whose_results_were_changed_is_told(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_html(a_result(), path, "en", SPECS.packs)
    path.write_text(path.read_text("utf-8").replace('"state": "failed"', '"state": "passed"', 1), "utf-8")
    code, said = verify(path)
    assert (code, "NOT the digest" in said) == (1, True)


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
    write_html(result, path, first, SPECS.packs)
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
    write_html(a_result(), path, "fr", SPECS.packs)
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
