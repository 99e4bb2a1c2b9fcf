"""One headless browser for the tests of a file."""

from __future__ import annotations

import pytest

from fastslow.core.errors import BadInput
from fastslow.report.pages.png import find_browser, flags


# Playwright keeps an event loop running in this thread until it is stopped: later files could start none of their own.
@pytest.fixture(scope="module")
def chromium():
    """A real Chromium, driven by playwright; skips where there is none and says how to get one."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install -e '.[dev]' brings playwright")
    try:
        path = find_browser()
    except BadInput as error:
        pytest.skip(f"no browser to test the page in: {error}")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=flags())
        yield browser
        browser.close()
