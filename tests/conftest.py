"""Fixtures of the whole suite."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(autouse=True)
def no_error_logs(caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that makes our own code log an ERROR fails, unless it is marked to expect one."""
    yield
    for record in caplog.get_records("call"):
        if record.levelno >= logging.ERROR and record.name.startswith(("stages", "curator_dagster")):
            pytest.fail(f"logged an error: {record.getMessage()}")


@pytest.fixture(scope="session")
def shared_media() -> Path:
    """Folder of real test videos beside the checkout; without it the test skips, or fails where it is required."""
    media = SHARED / "media"
    if not media.is_dir():
        if os.environ.get("CURATOR_REQUIRE_SHARED"):
            pytest.fail(f"CURATOR_REQUIRE_SHARED is set and {media} is missing")
        pytest.skip("needs the test videos beside the checkout")
    return media
