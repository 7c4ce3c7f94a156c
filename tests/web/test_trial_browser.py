"""The trade's journey in a real browser: from a wrong message to a right one, by keyboard, in both languages."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.cli import test_accessibility, test_guide_browser
from tests.support.way import HOME, SAMPLES
from tests.support.web import gateway_web

pytestmark = [pytest.mark.browser, pytest.mark.slow]

browser, scheme = test_guide_browser.browser, test_accessibility.scheme  # the fixtures

RIGHT = (SAMPLES / "originals/ab-two-lines.edi").read_text("utf-8")
WRONG = RIGHT.replace("12345000000012", "12345000000013")
FAULTY = SAMPLES / "refused/many-faults.edi"
PATIENCE, TABS = 30, 80
# Pictures that the docs have.
SHOWN = ("refused-en", "accepted-fr")
SIZES = {"desk": (1280, 880), "phone": (375, 812)}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with gateway_web(tmp_path_factory.mktemp("web")) as (address, _):
        yield address


@pytest.fixture(autouse=True)
def _whole(browser: webdriver.Chrome) -> Iterator[None]:
    yield
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def tab_to(browser: webdriver.Chrome, wanted: Callable[[WebElement], bool]) -> WebElement:
    """Press Tab until the focus is where it is wanted, and see that it can be seen there."""
    for _ in range(TABS):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        focused = browser.switch_to.active_element
        if wanted(focused):
            assert focused.value_of_css_property("outline-style") != "none"
            return focused
    raise AssertionError("the keyboard does not lead there")


def called(id_: str) -> Callable[[WebElement], bool]:
    return lambda element: element.get_attribute("id") == id_


def judge(browser: webdriver.Chrome, said: str) -> None:
    tab_to(browser, lambda element: element.get_attribute("class") == "main")
    ActionChains(browser).send_keys(Keys.ENTER).perform()
    WebDriverWait(browser, PATIENCE).until(lambda b: said in b.find_element(By.ID, "said").text)


def shoot(browser: webdriver.Chrome, name: str, size: str, top: int = 0) -> None:
    """Look at a page as wide as a desk's screen or a telephone; a picture for the docs where these are written."""
    width, height = SIZES[size]
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == "phone"}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.execute_script(wide) <= 0, "nothing is cut off"
    if os.environ.get("WRITE_DOCS") and name in SHOWN:
        clip = {"x": 0, "y": top, "width": width, "height": height, "scale": 1}
        png = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
        (HOME / "docs/pictures").mkdir(exist_ok=True)
        (HOME / f"docs/pictures/trial-{name}-{size}.png").write_bytes(base64.b64decode(png["data"]))


WORDS = {
    "en": ("0 accepted, 1 refused", "expected: 12345000000012", "1 accepted, 0 refused"),
    "fr": ("acceptés : 0, refusés : 1", "attendu : 12345000000012", "acceptés : 1, refusés : 0"),
}


@pytest.mark.parametrize("language", ["en", "fr"])
def test_from_a_wrong_message_to_a_right_one_by_keyboard(
    browser: webdriver.Chrome, address: str, language: str
) -> None:
    refused, expected, accepted = WORDS[language]
    browser.get(f"{address}/trial?lang={language}")
    browser.get_log("browser")
    tab_to(browser, called("paste")).send_keys(WRONG)
    judge(browser, refused)
    assert browser.switch_to.active_element.get_attribute("id") == "verdict", "where one reads on"
    assert browser.find_element(By.CSS_SELECTOR, ".source mark").text == "12345000000013"
    tab_to(browser, lambda element: element.get_attribute("class") == "ref")
    ActionChains(browser).send_keys(Keys.ENTER).perform()
    assert browser.current_url.endswith("#f1-1-1")
    assert expected in browser.find_element(By.CSS_SELECTOR, ".fault:target").text
    for size in SIZES:
        shoot(browser, f"refused-{language}", size)
    field = tab_to(browser, called("text1"))
    assert field.get_attribute("value") == WRONG
    ActionChains(browser).key_down(Keys.CONTROL).send_keys("a").key_up(Keys.CONTROL).send_keys(RIGHT).perform()
    judge(browser, accepted)
    assert browser.find_elements(By.CSS_SELECTOR, ".fault") == []
    for size in SIZES:
        shoot(browser, f"accepted-{language}", size)
    assert browser.get_log("browser") == []


def test_files_are_dropped_or_chosen_and_a_refusal_is_told_where_the_reader_is(
    browser: webdriver.Chrome, address: str
) -> None:
    browser.get(f"{address}/trial?lang=en")
    browser.find_element(By.ID, "paste").send_keys(" ")
    browser.find_element(By.CSS_SELECTOR, "button.main").click()
    WebDriverWait(browser, PATIENCE).until(lambda b: "nothing was sent" in b.find_element(By.ID, "said").text)
    assert browser.find_element(By.ID, "try").is_displayed(), "and what was typed stays"
    browser.find_element(By.ID, "file").send_keys(f"{FAULTY}\n{SAMPLES / 'originals/published-example.xml'}")
    browser.find_element(By.CSS_SELECTOR, "button.main").click()
    WebDriverWait(browser, PATIENCE).until(lambda b: "2 messages" in b.find_element(By.ID, "said").text)
    assert [each.text for each in browser.find_elements(By.CSS_SELECTOR, ".file > h3")] == [
        "many-faults.edi",
        "published-example.xml",
    ]


def test_it_works_without_scripts(browser: webdriver.Chrome, address: str) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(f"{address}/trial/sample?of=CAD-0101&syntax=xml&lang=en")
    browser.find_element(By.CSS_SELECTOR, "button.main").click()
    page = WebDriverWait(browser, PATIENCE, ignored_exceptions=[StaleElementReferenceException])
    page.until(lambda b: "1 refused" in b.find_element(By.ID, "said").text)
    browser.find_element(By.CSS_SELECTOR, "button[lang=fr]").click()
    page.until(lambda b: "refusés : 1" in b.find_element(By.ID, "said").text)


EVIL = "<a>\"'><script>window.EVIL = 1</script><img src=x onerror='window.EVIL = 1'></a>"


def test_nothing_of_a_message_acts_in_a_browser(browser: webdriver.Chrome, address: str, tmp_path: Path) -> None:
    file = tmp_path / "<img src=x onerror=EVIL=1>.xml"
    file.write_text(EVIL, "utf-8")
    browser.get(f"{address}/trial?lang=en&x=<script>window.EVIL=1</script>")
    browser.find_element(By.ID, "file").send_keys(str(file))
    browser.find_element(By.ID, "paste").send_keys(EVIL)
    browser.find_element(By.CSS_SELECTOR, "button.main").click()
    WebDriverWait(browser, PATIENCE).until(lambda b: "2 messages" in b.find_element(By.ID, "said").text)
    assert browser.execute_script("return window.EVIL") is None
    assert browser.find_element(By.CSS_SELECTOR, ".file > h3").text == file.name
    assert "<script>window.EVIL" in browser.find_element(By.CSS_SELECTOR, ".source").text


@pytest.mark.usefixtures("scheme")
def test_pages_are_held_to_wcag(browser: webdriver.Chrome, address: str) -> None:
    found = []
    for path in ("/", "/trial", "/trial/sample?of=CAD-0232", "/explain/CAD-0101?lang=fr", "/api", "/nowhere"):
        found += test_accessibility.violations(browser, f"{address}{path}")
    browser.get(f"{address}/trial?lang=fr")
    browser.find_element(By.ID, "file").send_keys(f"{FAULTY}\n{SAMPLES / 'refused/noise.bin'}")
    browser.find_element(By.CSS_SELECTOR, "button.main").click()
    WebDriverWait(browser, PATIENCE).until(lambda b: b.find_elements(By.CSS_SELECTOR, ".file"))
    for each in browser.find_elements(By.CSS_SELECTOR, "details:not([open]) > summary"):
        browser.execute_script("arguments[0].parentElement.open = true", each)
    found += test_accessibility.violations(browser)
    assert found == []
