"""An operator's journey in a real browser, by keyboard alone: find, understand, release, see it answered."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.wait import WebDriverWait

from gateway.web.app import build
from gateway.web.guard import Rate
from gateway.web.site import Site
from tests.cli import test_guide_browser
from tests.cli.test_accessibility import AXE, RUN
from tests.cli.test_replay_parked import park
from tests.support.desk import recorded
from tests.support.desk_site import ONCE, TICKET
from tests.support.house import House, house, settings_in
from tests.support.way import PLANS, SAMPLES

pytestmark = [pytest.mark.browser, pytest.mark.slow]

browser = test_guide_browser.browser  # the fixture
PATIENCE = test_guide_browser.PATIENCE

WORDS = {
    "en": ("parked", "Release…", "Release it", "Released: it is judged again.", "Fault:"),
    "fr": ("garés", "Libérer…", "Le libérer", "Libéré : il est jugé de nouveau.", "Erreur :"),
}

# Screenshots for docs/web-desk.md are made anew where this names a folder.
SHOTS = os.environ.get("GATEWAY_TEST_SCREENSHOTS")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[House]:
    recorded(tmp_path).close()
    with house(tmp_path) as opened:
        yield opened


@pytest.fixture
def address(tmp_path: Path, gateway: House, browser: webdriver.Chrome) -> Iterator[str]:
    app = build(Site(settings_in(tmp_path), PLANS, ("desk",), ONCE), ["127.0.0.1"], Rate(minute=600))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=10))
        app.state.stopping = lambda: server.should_exit
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        browser.get("about:blank")
        browser.get_log("browser")
        server.should_exit = True
        thread.join(30)


def go_to(browser: webdriver.Chrome, text: str) -> None:
    """Press the tab key until a link or button that begins with the text has the focus, and press Enter."""
    for _ in range(150):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        focused = browser.switch_to.active_element
        if (focused.text or "").strip().startswith(text):
            outline = focused.value_of_css_property("outline-style")
            assert outline != "none", f"{text} has the focus and does not show it"
            focused.send_keys(Keys.ENTER)
            WebDriverWait(browser, PATIENCE).until(staleness_of(focused))
            return
    pytest.fail(f"{text} cannot be reached by keyboard on {browser.current_url}")


def fresh() -> bytes:
    """Return a message that the run of the samples has not had."""
    body = (SAMPLES / "originals/ab-two-lines.edi").read_bytes()
    return body.replace(b"12345000000012", b"12345000000115").replace(b"MB000001", b"MB009991")


def check(browser: webdriver.Chrome, name: str) -> None:
    """Hold the page as it is now to WCAG, to both widths, and to a silent console; keep pictures where asked."""
    browser.set_script_timeout(60)
    browser.execute_script(AXE)
    found: list[Any] = browser.execute_async_script(RUN)
    assert [f"{name}: {each['id']}: {each['nodes'][0]['html'][:200]}" for each in found] == []
    for width in (1280, 375):
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 400}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        over = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
        assert over <= 0, f"{name} is {over} pixels wider than a screen of {width}"
        if SHOTS:
            time.sleep(0.3)
            browser.save_screenshot(f"{SHOTS}/{name}-{width}.png")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert [each for each in browser.get_log("browser") if "favicon" not in each["message"]] == [], name


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_operator_finds_understands_releases_and_sees_it_answered(
    browser: webdriver.Chrome, gateway: House, address: str, language: str, scheme: str
) -> None:
    parked, release, confirm, released, fault = WORDS[language]
    id_ = park(gateway, "maple", fresh())
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    browser.get(f"{address}/desk/enter?ticket={TICKET}")
    browser.get(f"{address}/desk?lang={language}")
    assert "ticket" not in browser.current_url
    check(browser, f"desk-list-{language}-{scheme}")
    go_to(browser, parked)
    check(browser, f"desk-parked-{language}-{scheme}")
    go_to(browser, id_[:12])
    check(browser, f"desk-message-{language}-{scheme}")
    go_to(browser, release)
    check(browser, f"desk-release-{language}-{scheme}")
    go_to(browser, confirm)
    assert released in browser.find_element(By.TAG_NAME, "body").text
    gateway.settle_down()
    browser.refresh()
    assert browser.find_elements(By.CSS_SELECTOR, "h2 .badge"), "it is judged"
    assert browser.find_elements(By.CSS_SELECTOR, "details[id^=a]"), "the answers are there"
    (row,) = gateway.journal.list_messages(finding="CAD-0213", limit=1)
    browser.get(f"{address}/desk/messages/{row['id']}")
    assert fault in browser.find_element(By.TAG_NAME, "body").text
    check(browser, f"desk-faults-{language}-{scheme}")


def test_open_pages_hear_of_what_waits_and_of_new_messages(
    browser: webdriver.Chrome, gateway: House, address: str
) -> None:
    browser.get(f"{address}/desk/enter?ticket={TICKET}")
    browser.get(f"{address}/desk?lang=en")
    assert browser.find_element(By.CSS_SELECTOR, ".figures li:nth-child(2) b").text == "0"
    time.sleep(2.5)  # the stream is open, and has told what was
    park(gateway, "maple", fresh())
    wait = WebDriverWait(browser, PATIENCE)
    wait.until(lambda b: b.find_element(By.CSS_SELECTOR, ".figures li:nth-child(2) b").text == "1")
    wait.until(lambda b: "New messages" in b.find_element(By.CSS_SELECTOR, "[role=status]").text)


def test_a_run_that_has_ended_cannot_be_stopped_any_more(browser: webdriver.Chrome, address: str) -> None:
    browser.get(f"{address}/desk/enter?ticket={TICKET}")
    browser.get(f"{address}/desk/runs/new?lang=en")
    browser.find_element(By.NAME, "since").send_keys("2020-01-01")
    browser.find_element(By.CSS_SELECTOR, "form button.main").send_keys(Keys.ENTER)
    stop = WebDriverWait(browser, PATIENCE).until(lambda b: b.find_element(By.CSS_SELECTOR, ".running form"))
    assert stop.is_displayed()
    WebDriverWait(browser, PATIENCE).until(lambda b: b.find_elements(By.CSS_SELECTOR, ".over"))
    assert not stop.is_displayed()
