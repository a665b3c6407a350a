"""A run whose process is killed, under a daemon with deploy/dagster.postgres.yaml.

1. The run is failed without a person.
2. A new run is started, which goes on from the rows that are there, and succeeds.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from curator_dagster.partition_keys import sync_partitions
from curator_dagster.resources import Storage
from stages.manifest import last_commit
from tests.deploy.conftest import DEPLOY
from tests.faults.command import PROJECT
from tests.faults.measurements import record
from tests.faults.waiting import run_command, terminate, wait_until

LOCATION = ["-m", "tests.deploy.killed_location"]


@pytest.fixture
def environment(
    tmp_path: Path, postgres: dict[str, str], storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Environment of an instance's processes."""
    (tmp_path / "dagster.yaml").write_text((DEPLOY / "dagster.postgres.yaml").read_text())
    (tmp_path / "marker").touch()
    for name, value in postgres.items():
        monkeypatch.setenv(name, value)
    variables = {"DAGSTER_HOME": str(tmp_path), "CURATOR_ROOT": storage.root, "KILL_MARKER": str(tmp_path / "marker")}
    return {**os.environ, **variables, "PYTHONPATH": str(PROJECT)}


@pytest.mark.long
def test_killed_run_is_followed_by_one_that_goes_on(
    tmp_path: Path, environment: dict[str, str], storage: Storage, partitions: list[str]
) -> None:
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        sync_partitions(instance, storage.open())
        launch = [_program("dagster"), "job", "launch", *LOCATION, "-j", "curate"]
        tags = ["--tags", json.dumps({"dagster/partition": partitions[0]})]
        run_command([*launch, *tags], env=environment)
        with open(tmp_path / "daemon.log", "wb") as log:
            command = [_program("dagster-daemon"), "run", *LOCATION]
            # A new session, or it would share the fate of signals that this process ignores.
            daemon = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            seconds = wait_until(
                lambda: statuses(instance) == ["FAILURE", "SUCCESS"],
                describe=lambda: (statuses(instance), (tmp_path / "daemon.log").read_text()[-2000:]),
                pid=daemon.pid,
                interval_s=0.5,
            )
        finally:
            try:
                terminate(daemon)
            finally:
                with contextlib.suppress(ProcessLookupError):  # a code server may outlive the daemon
                    os.killpg(daemon.pid, signal.SIGKILL)
    made = {asset: last_commit(storage.open(), storage.ref(asset, partitions[0])) for asset in ("clips", "dataset")}
    assert {asset: commit and commit.number for asset, commit in made.items()} == {"clips": 1, "dataset": 1}
    record("killed run of a daemon", seconds=round(seconds, 1))


def statuses(instance: dg.DagsterInstance) -> list[str]:
    """Of all runs, the first one first."""
    return [run.status.value for run in reversed(instance.get_runs())]


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
