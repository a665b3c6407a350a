"""Fixtures of the browser journey: Chromium, driven by Playwright, and a running server."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.server import Server, running_server

if TYPE_CHECKING:
    from playwright.sync_api import Page

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
STEP_MS = 60_000
"""For an element of a page to appear, on a machine that is busy with the run that it tells of."""


@pytest.fixture
def page() -> "Iterator[Page]":
    """A tab of Chromium; without it or Playwright the test skips, or fails where it is required."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None or importlib.util.find_spec("playwright") is None:
        missing = "needs Chromium on the PATH, and the extra browser"
        if os.environ.get("CURATOR_REQUIRE_BROWSER"):
            pytest.fail(f"CURATOR_REQUIRE_BROWSER is set, and the test {missing}")
        pytest.skip(missing)
    from playwright.sync_api import sync_playwright  # an extra

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1500, "height": 1300})
        page.set_default_timeout(STEP_MS)
        yield page
        browser.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """`dagster dev` over an empty root and an empty folder of sources."""
    with running_server(tmp_path) as server:
        yield server
