"""The guide as a reader meets it: opened from its folder in a real browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from gateway.plans import prepare
from gateway.trade.guide import build
from routing.partners import load_partners
from tests.support.packs import HOME, ROOT

pytestmark = pytest.mark.browser

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1440,1000",
)  # fmt: skip

# Seconds that a page may take on a busy machine before the test gives up; a failure, not a measure.
PATIENCE = 30


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guide")
    build(prepare(ROOT), folder, HOME / "samples", load_partners(HOME / "samples/partners.toml"))
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    chromium, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if not (chromium and driver):
        reason = "there is no chromium with chromedriver on this machine"
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(reason)
        pytest.skip(reason)
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield chrome
    chrome.quit()


def search(browser: webdriver.Chrome, text: str) -> list[WebElement]:
    """Type into the search field and return the hits."""
    field = browser.find_element(By.ID, "q")
    field.clear()
    field.send_keys(text)
    WebDriverWait(browser, PATIENCE).until(lambda b: b.find_elements(By.CSS_SELECTOR, "#hits li"))
    return browser.find_elements(By.CSS_SELECTOR, "#hits li a")


@pytest.mark.slow
def test_every_page_loads_without_an_error(browser: webdriver.Chrome, site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) >= 19
    for path in pages:
        browser.get(path.as_uri())
        assert browser.get_log("browser") == [], path
        french = path.parent.name == "fr"
        said = "reconstituée à partir de sources publiques" if french else "reconstructed from public sources"
        assert said in browser.find_element(By.TAG_NAME, "body").text
        asked = browser.execute_script("return performance.getEntriesByType('resource').map(each => each.name)")
        assert all(name.startswith(("file:", "data:")) for name in asked), path


IN_WORDS = [("en", "finding", "cannot be used with"), ("fr", "constat", "ne peut pas être utilisé")]


@pytest.mark.parametrize(("language", "kind", "words"), IN_WORDS)
def test_search_finds_a_code_and_leads_to_it(
    browser: webdriver.Chrome, site: Path, language: str, kind: str, words: str
) -> None:
    browser.get((site / language / "index.html").as_uri())
    (hit,) = search(browser, "CAD-0150")
    assert hit.text.startswith(kind)
    assert words in hit.text
    browser.find_element(By.ID, "q").send_keys(Keys.ENTER)
    WebDriverWait(browser, PATIENCE).until(lambda b: b.current_url.endswith("findings.html#CAD-0150"))
    assert browser.find_element(By.CSS_SELECTOR, "tr:target").text.startswith("CAD-0150")
    assert not browser.get_log("browser")


def test_search_knows_elements_lists_and_places_without_accents(browser: webdriver.Chrome, site: Path) -> None:
    browser.get((site / "fr" / "rules.html").as_uri())
    assert any("Numéro de transaction" in hit.text for hit in search(browser, "numero de transaction"))
    assert any("tariff_treatment" in (hit.get_attribute("href") or "") for hit in search(browser, "etats-unis 10"))
    assert any("office" in (hit.get_attribute("href") or "") for hit in search(browser, "LOC/2=22"))
    assert search(browser, "zzzz") == []
    assert browser.find_element(By.CSS_SELECTOR, "#hits .none").text == "Rien trouvé"
    assert not browser.get_log("browser")


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        ("receipt", "answers.html#receipt"),
        ("TEST-APPROVE", "exchange.html#tests"),
        ("UNOC", "exchange.html#charsets"),
        ("962", "answers.html#kind.accepted"),
        ("ENG-0002", "answers.html#ENG-0002"),
    ],
)
def test_search_finds_the_words_of_the_exchange(browser: webdriver.Chrome, site: Path, asked: str, place: str) -> None:
    browser.get((site / "en" / "index.html").as_uri())
    assert any((hit.get_attribute("href") or "").endswith(place) for hit in search(browser, asked))


def test_an_example_can_be_copied(browser: webdriver.Chrome, site: Path) -> None:
    browser.get((site / "en" / "exchange.html").as_uri())
    browser.execute_script(
        "navigator.clipboard.writeText = text => { window.COPIED = text; return Promise.resolve(); }"
    )
    browser.find_element(By.CSS_SELECTOR, "button.copy").click()
    WebDriverWait(browser, PATIENCE).until(lambda b: b.find_element(By.CSS_SELECTOR, "button.copy").text == "Copied")
    assert "12345000000012" in browser.execute_script("return window.COPIED")


def test_the_other_language_opens_at_the_same_place(browser: webdriver.Chrome, site: Path) -> None:
    browser.get((site / "en" / "findings.html").as_uri() + "#GTW-0005")
    browser.find_element(By.CSS_SELECTOR, "a.language").click()
    WebDriverWait(browser, PATIENCE).until(lambda b: "/fr/" in b.current_url)
    assert browser.current_url.endswith("/fr/findings.html#GTW-0005")
    assert browser.find_element(By.TAG_NAME, "html").get_attribute("lang") == "fr"
    assert "n'a pas d'autorisation" in browser.find_element(By.CSS_SELECTOR, "tr:target").text


def test_a_message_shows_its_last_column_on_a_small_desk(browser: webdriver.Chrome, site: Path) -> None:
    cut = "return [...document.querySelectorAll('.wide')].map(each => each.scrollWidth - each.clientWidth)"
    try:
        for width in (1200, 1280):
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            for path in sorted(site.rglob("message-*.html")):
                browser.get(path.as_uri())
                assert set(browser.execute_script(cut)) == {0}, (path, width)
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.slow
def test_tables_fit_the_window_and_the_printed_page(browser: webdriver.Chrome, site: Path) -> None:
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    for media, width in (("", 1440), ("", 390), ("print", 965)):  # a desk, a telephone, a landscape sheet of Letter
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media})
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        too_wide = []
        for path in sorted(site.rglob("*.html")):
            browser.get(path.as_uri())
            if browser.execute_script(wide) > 0:
                too_wide.append(f"{path.parent.name}/{path.name}")
        assert too_wide == [], (media, width)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.get(next(site.rglob("message-*.html")).as_uri())
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert not browser.find_element(By.TAG_NAME, "nav").is_displayed()
        assert browser.find_element(By.CSS_SELECTOR, "table.elements").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
