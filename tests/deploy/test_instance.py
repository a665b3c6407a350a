"""The instance settings under deploy/, on a real PostgreSQL and a real S3 server."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import fsspec
import pytest
from dagster._core.events import ComputeLogsCaptureData

from curator_dagster.partition_keys import sync_partitions
from curator_dagster.resources import Storage
from tests.curator_dagster.conftest import QUIET
from tests.deploy.conftest import DEPLOY
from tests.object_store import ObjectStore

ASSET_KEYS = [dg.AssetKey("videos"), dg.AssetKey("clips")]


@contextmanager
def instance_of(home: Path, *files: str) -> Iterator[dg.DagsterInstance]:
    """An instance whose settings are these files under deploy/, one after another."""
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text("".join((DEPLOY / file).read_text() for file in files))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


@pytest.fixture(autouse=True)
def _database(postgres: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in postgres.items():
        monkeypatch.setenv(name, value)


@pytest.mark.system
def test_postgres_instance_keeps_what_a_run_made(
    tmp_path: Path, job: dg.JobDefinition, storage: Storage, partitions: list[str]
) -> None:
    with instance_of(tmp_path / "home", "dagster.postgres.yaml") as instance:
        sync_partitions(instance, storage.open())
        selection = {"partition_key": partitions[0], "asset_selection": ASSET_KEYS}
        assert job.execute_in_process(instance=instance, run_config=QUIET, **selection).success
    with instance_of(tmp_path / "another machine's home", "dagster.postgres.yaml") as instance:
        assert instance.get_dynamic_partitions("sources") == partitions
        assert instance.get_materialized_partitions(ASSET_KEYS[-1]) == {partitions[0]}
        event = instance.get_latest_materialization_event(ASSET_KEYS[-1])
        assert event is not None
        assert event.asset_materialization is not None
        assert "kept" in event.asset_materialization.metadata


def test_postgres_instance_limits_runs_and_starts_killed_ones_again(tmp_path: Path) -> None:
    with instance_of(tmp_path, "dagster.postgres.yaml") as instance:
        limits = instance.get_concurrency_config()
        assert limits.run_queue_config is not None
        assert limits.run_queue_config.max_concurrent_runs == 8
        assert {"key": "dagster/backfill", "limit": 4} in limits.run_queue_config.tag_concurrency_limits
        assert limits.pool_config.default_pool_limit == 1
        assert instance.run_monitoring_enabled
        assert instance.run_retries_enabled
        assert not instance.run_retries_retry_on_asset_or_op_failure


def test_what_a_run_printed_is_read_on_another_machine(tmp_path: Path, logs_bucket: Callable[[str], None]) -> None:
    files = ("dagster.postgres.yaml", "dagster.s3.yaml")
    logs_bucket("worker")
    with instance_of(tmp_path / "worker", *files) as instance:
        job = dg.GraphDefinition("talking", node_defs=[print_line]).to_job()
        result = job.execute_in_process(instance=instance, run_config=QUIET)
    captured = [event.event_specific_data for event in result.all_events if event.event_type_value == "LOGS_CAPTURED"]
    keys = [data.file_key for data in captured if isinstance(data, ComputeLogsCaptureData)]
    logs_bucket("web server")
    with instance_of(tmp_path / "web server", *files) as instance:
        logs = instance.compute_log_manager.get_log_data([result.run_id, "compute_logs", keys[0]])
    assert logs.stdout == b"seven clips\n"


@dg.op
def print_line() -> None:
    print("seven clips")  # noqa: T201 - what is to be found in the log


@pytest.fixture
def logs_bucket(tmp_path: Path, s3_server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes this process a machine of a name, with a folder of its own for logs that are not uploaded yet."""
    settings = s3_server.settings
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", settings["key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", settings["secret"])
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", settings["endpoint_url"])
    monkeypatch.setenv("DAGSTER_LOGS_BUCKET", "logs")
    fsspec.filesystem("s3", **settings).mkdir("logs")
    return lambda machine: monkeypatch.setenv("DAGSTER_LOGS_SCRATCH", str(tmp_path / machine / "logs"))
