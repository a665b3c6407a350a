"""Fixtures of deployments: a PostgreSQL server, and the tiny phases of the Dagster side."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.curator_dagster.conftest import (  # noqa: F401 - fixtures
    _tiny_phases,
    job,
    partitions,
    session,
    source_folder,
    storage,
)
from tests.postgres_server import running_server

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.fixture(scope="session")
def postgres() -> Iterator[dict[str, str]]:
    """A running server, as the variables that deploy/dagster.postgres.yaml reads."""
    with running_server() as settings:
        yield settings
