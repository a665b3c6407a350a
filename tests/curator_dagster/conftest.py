"""Fixtures of the Dagster side: phases without pictures, a folder of sources, a root and an instance."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from curator_dagster.curation import Curation
from curator_dagster.definitions import curation_definitions
from curator_dagster.partitions import sync_partitions
from curator_dagster.resources import Storage
from stages.params import ExecutorParams, ReadParams
from stages.run import Session, open_session
from stages.run.phases import PHASE_CLASSES
from stages.sources import list_sources, register_sources
from tests.curator_dagster import tiny_phases

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def _tiny_phases(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, phase in tiny_phases.PHASES.items():
        monkeypatch.setitem(PHASE_CLASSES, name, phase)


def write_sources(folder: Path) -> Path:
    """Five sources, of which one cannot be read, one is too short and one cannot be embedded."""
    folder.mkdir()
    for name in ("a", "b unreadable-read", "c short-split", "d unreadable-embed", "e [bold]\x1b[31m"):
        (folder / f"{name}.mp4").write_bytes(name.encode())
    return folder


@pytest.fixture
def source_folder(tmp_path: Path) -> Path:
    return write_sources(tmp_path / "sources")


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(root=str(tmp_path / "root"))


@pytest.fixture
def partitions(source_folder: Path, storage: Storage) -> list[str]:
    """Two sources a partition, registered under the root."""
    return register_sources(
        storage.open(), list_sources(str(source_folder), ReadParams()), ReadParams(partition_size=2)
    )


@pytest.fixture
def instance(storage: Storage, partitions: list[str]) -> Iterator[dg.DagsterInstance]:
    """An ephemeral instance that knows the partitions."""
    with dg.DagsterInstance.ephemeral() as instance:
        assert sync_partitions(instance, storage.open()) == partitions
        yield instance


@pytest.fixture
def session(_tiny_phases: None) -> Iterator[Session]:
    with open_session(ExecutorParams(mode="local")) as session:
        yield session


@pytest.fixture
def job(session: Session, storage: Storage) -> dg.JobDefinition:
    return curation_definitions(Curation(), session, storage).resolve_job_def("curate")
