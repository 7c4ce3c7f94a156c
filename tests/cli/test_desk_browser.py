"""The operators' pages in a real browser: nothing is fetched, nothing overflows, every finding can be reached."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.cli.test_guide_browser import browser  # noqa: F401 - a fixture
from tests.support.desk import Run, recorded, runner
from tests.support.traffic import without
from tests.support.way import SAMPLES

pytestmark = pytest.mark.browser

Open = Callable[[Path], None]
STATEMENT = {"en": "reconstructed from public sources", "fr": "reconstituée à partir de sources publiques"}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(tmp_path, monkeypatch)


def check(browser: webdriver.Chrome, page: Path, language: str) -> None:  # noqa: F811
    """Open a page wide and narrow and check what every page must be."""
    for width in (1200, 400):
        browser.set_window_size(width, 900)
        browser.get(page.as_uri())
        assert browser.get_log("browser") == []
        assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
        wide, seen = browser.execute_script(
            "return [document.scrollingElement.scrollWidth, document.scrollingElement.clientWidth]"
        )
        assert wide <= seen, f"at {width} pixels the page is {wide} wide"
    assert browser.find_element(By.TAG_NAME, "html").get_attribute("lang") == language
    assert STATEMENT[language] in browser.find_element(By.TAG_NAME, "footer").text
    assert browser.title


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize(
    "file", ["many-faults.edi", "many-faults.xml", "syntax.edi", "missing-elements.xml", "noise.bin"]
)
def test_an_explained_message(browser: webdriver.Chrome, run: Run, tmp_path: Path, language: str, file: str) -> None:  # noqa: F811
    page = tmp_path / "page.html"
    assert run("explain", SAMPLES / "refused" / file, "--html", page, "--lang", language).exit_code == 1
    check(browser, page, language)
    links = browser.find_elements(By.CSS_SELECTOR, "table a[href^='#f']")
    assert links
    for link in links:
        target = (link.get_attribute("href") or "").partition("#")[2]
        (fault,) = browser.find_elements(By.ID, target)
        assert fault.is_displayed()
    marked = browser.find_elements(By.TAG_NAME, "mark")
    assert all(each.is_displayed() for each in marked)


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_what_if(browser: webdriver.Chrome, run: Run, tmp_path: Path, language: str) -> None:  # noqa: F811
    recorded(tmp_path).close()
    specs, page = without(tmp_path / "specs", "currency", "EUR"), tmp_path / "page.html"
    arguments = ("--specs", specs, "--processes", 1, "--html", page, "--lang", language)
    assert run("replay", *arguments).exit_code == 1
    check(browser, page, language)
    assert int(browser.find_element(By.ID, "turned").text) > 0
    text = browser.find_element(By.TAG_NAME, "main").text
    assert "CAD-0003" in text
    assert ("Exemples" if language == "fr" else "Examples") in text
