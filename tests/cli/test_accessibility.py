"""Every page that we write, held to WCAG 2 (levels A and AA) by axe in a real browser, in the light and in the dark."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from selenium import webdriver

from gateway.cli.main import main
from gateway.trade.smoke_report import write_html
from tests.cli import test_guide_browser
from tests.cli.test_smoke_report import a_result
from tests.support.way import SAMPLES

pytestmark = [pytest.mark.browser, pytest.mark.slow]

browser, site = test_guide_browser.browser, test_guide_browser.site  # the fixtures

AXE = importlib.resources.files("axe_core_python").joinpath("axe.min.js").read_text("utf-8")
RUN = """
const done = arguments[arguments.length - 1];
axe.run(document, {runOnly: ["wcag2a", "wcag2aa"]}).then(found => done(found.violations));
"""


def violations(browser: webdriver.Chrome, page: Path | str | None = None) -> list[str]:
    """Return what axe finds on a page (a file or an address; the one that is open), each with the first place."""
    if page:
        browser.get(page.as_uri() if isinstance(page, Path) else page)
    browser.execute_script(AXE)
    found: list[Any] = browser.execute_async_script(RUN)
    name = browser.current_url.rpartition("/")[2]
    return [f"{name}: {each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}" for each in found]


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest, browser: webdriver.Chrome) -> str:
    features = [{"name": "prefers-color-scheme", "value": request.param}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.set_script_timeout(60)
    return str(request.param)


@pytest.mark.usefixtures("scheme")
def test_the_guide(browser: webdriver.Chrome, site: Path) -> None:
    pages = [site / "index.html", *sorted((site / "en").glob("*.html")), site / "fr/answers.html"]
    assert [each for page in pages for each in violations(browser, page)] == []


@pytest.mark.usefixtures("scheme")
def test_reports_and_explained_messages(browser: webdriver.Chrome, tmp_path: Path) -> None:
    write_html(a_result(), tmp_path / "report.html")
    told = CliRunner().invoke(
        main, ["explain", str(SAMPLES / "refused/many-faults.edi"), "--html", str(tmp_path / "explained.html")]
    )
    assert told.exit_code == 1
    found = [each for page in sorted(tmp_path.glob("*.html")) for each in violations(browser, page)]
    assert found == []
