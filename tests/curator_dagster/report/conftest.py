"""Fixtures of the report's tests."""

from pathlib import Path

import pytest

from stages.storage import Storage


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "root")
