"""Fixtures of the Dagster side: phases without pictures, a folder of sources, a root and an instance."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from curator_dagster.curation import Curation
from curator_dagster.definitions import curation_definitions
from curator_dagster.partition_keys import partition_tags, sync_partitions
from curator_dagster.resources import Storage
from stages.params import ExecutorParams, ReadParams
from stages.run import Session, open_session
from stages.run.phases import PHASE_CLASSES
from stages.sources import list_sources, register_sources
from tests.curator_dagster import tiny_phases

Run = Callable[..., dg.ExecuteInProcessResult]
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def _tiny_phases(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, phase in tiny_phases.PHASES.items():
        monkeypatch.setitem(PHASE_CLASSES, name, phase)


SOURCE_NAMES = ("a", "b unreadable-read", "c short-split", "d unreadable-embed", "e [bold]\x1b[31m")
"""Five sources, of which one cannot be read, one is too short and one cannot be embedded."""
NAMES_WITH_A_DEDUP_FAILURE = ("a", "b", "c", "d unreadable-dedup", "e")
"""Five sources, of which dedup loses one."""


def write_sources(folder: Path, names: tuple[str, ...] = SOURCE_NAMES) -> Path:
    """A file for each name."""
    folder.mkdir()
    for name in names:
        (folder / f"{name}.mp4").write_bytes(name.encode())
    return folder


def put(folder: Path, *names: str, content: str = "", age_s: float = 3600.0) -> None:
    """Files of this age below a folder, each of a size of its own."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((content or name).encode() + b" " * sum(name.encode()))
        then = time.time() - age_s
        os.utime(path, (then, then))


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


@pytest.fixture
def run(job: dg.JobDefinition, instance: dg.DagsterInstance) -> Run:
    """The job over these partitions, or some assets of it, with parameters by asset."""

    def run_job(
        keys: list[str], assets: list[str] | None = None, **params: Mapping[str, Any]
    ) -> dg.ExecuteInProcessResult:
        config = {**QUIET, "ops": {asset: {"config": dict(values)} for asset, values in params.items()}}
        selection = [dg.AssetKey(asset) for asset in assets] if assets else None
        return job.execute_in_process(
            instance=instance, run_config=config, tags=partition_tags(keys), asset_selection=selection
        )

    return run_job
