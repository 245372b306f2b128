"""An auditor's way through the real Dagster UI, in a real browser (headless Chromium).

Set MILESTONES_SCREENSHOTS to a folder to keep the pictures that docs/ shows.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import WebDriverWait

from pipeline.published.reports import coaching_page
from tests.fixtures import Estate

PATIENCE = 60  # seconds
BROWSERS, DRIVER = ("chromium", "chromium-browser", "google-chrome"), "chromedriver"


@pytest.fixture(scope="module")
def browser() -> Iterator[WebDriver]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which(DRIVER)
    if found is None or driver is None:
        pytest.skip("needs Chromium and its driver (Debian: chromium, chromium-driver)")
    options = Options()
    options.binary_location = found
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--window-size=1500,1900",
    ):
        options.add_argument(argument)
    with webdriver.Chrome(options, Service(driver)) as chrome:
        yield chrome


def text(browser: WebDriver, *expected: str) -> str:
    """The page's text, once it has all that is expected."""

    def there(page: WebDriver) -> bool:
        output = page.find_element(By.TAG_NAME, "body").text
        return all(one in output for one in expected)

    WebDriverWait(browser, PATIENCE, ignored_exceptions=[Exception]).until(
        there, f"the page never had all of {expected}"
    )
    return browser.find_element(By.TAG_NAME, "body").text


def keep(browser: WebDriver, name: str) -> None:
    if folder := os.environ.get("MILESTONES_SCREENSHOTS"):
        browser.save_screenshot(str(Path(folder) / f"{name}.png"))


def follow(browser: WebDriver, upstream: str) -> None:
    """Click an upstream asset on an asset's page."""
    link = WebDriverWait(browser, PATIENCE).until(
        lambda page: page.find_element(By.XPATH, f"//a[contains(@href, '/assets/{upstream}')]")
    )
    browser.execute_script("arguments[0].click()", link)


def test_an_auditor_follows_a_published_column_to_its_source(browser: WebDriver, web: str) -> None:
    browser.get(f"{web}/assets/published/manager_extract")
    # What it is, on what basis, for how long, who reads it, what was erased: on one page.
    output = text(
        browser,
        "outcome",
        "class: operational",
        "risk: medium",
        "purpose: manager",
        "From pseudonymized/manager.outcome",
        "lawful basis",
        "one_to_one",
        "6(1)(f)",
        "retention",
        "P1Y",
        "read by",
        "last erasure",
        "learning-data",
    )
    assert "v1m1_" not in output, "a pseudonym is on the page"
    keep(browser, "auditor")
    # And where it comes from, step by step.
    follow(browser, "pseudonymized/manager")
    text(browser, "outcome", "From classified/milestones.assigned_on")
    follow(browser, "classified/milestones")
    text(browser, "From raw/milestones.status")
    follow(browser, "raw/milestones")
    text(browser, "landing/corporate.Status", "landing/xapi")
    follow(browser, "landing/corporate")
    text(browser, "Status", "class: operational", "treatment: keep", "seen by coaching, manager")


def test_an_auditor_sees_the_checks_of_a_table(browser: WebDriver, web: str) -> None:
    browser.get(f"{web}/assets/published/hr_legal_detail?view=checks")
    text(browser, "no_leak", "This is a blocking asset check.", "every rule held", "Passed")
    keep(browser, "checks")


def test_an_auditor_sees_how_records_reconcile(browser: WebDriver, web: str) -> None:
    browser.get(f"{web}/assets/published/release")
    text(browser, "reconciliation", "quarantined", "superseded", "manager_extract")


def test_the_coaching_page_fits_a_phone_and_says_what_is_suppressed(
    browser: WebDriver, finished_run: Estate
) -> None:
    path = finished_run.layout.current.resolve() / "exports" / "manager" / coaching_page.PAGE
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {
            "width": 390,
            "height": 844,
            "deviceScaleFactor": 2,
            "mobile": True,
        },
    )
    try:
        browser.get(path.as_uri())
        output = text(browser, "Learning in figures", "How to read it.", "suppressed")
        wide = browser.execute_script("return document.documentElement.scrollWidth")
        assert wide <= 390, "the page is wider than the phone"
        assert "Do not use it to judge, rank, pay, promote or dismiss anybody" in output
        # Nothing is loaded from anywhere, and every picture can be read aloud.
        loaded = browser.execute_script("return performance.getEntriesByType('resource').length")
        assert loaded == 0
        pictures = browser.find_elements(By.CSS_SELECTOR, "svg")
        assert pictures
        assert all(one.get_attribute("aria-label") for one in pictures)
        missing = browser.execute_script(
            "return [...document.querySelectorAll('th')].filter(c => !c.scope).length"
        )
        assert missing == 0
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
