"""A process of its own that runs a pipeline on a private Ray: what it prints, imports and leaves behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stages.executors.cleanup_process import Process, processes_of
from tests.faults.command import PROJECT
from tests.faults.measurements import record
from tests.faults.temporary_folder import temporary_folder
from tests.faults.waiting import communicate, run_command, wait_for, wait_until

USER_STAGE = """
import os, signal, time
from stages.stage import ProcessingStage

class UserStage(ProcessingStage):
    name = "user"

    def process(self, task):
        if task.task_id == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        if task.task_id == "hang":
            open(os.environ["MARKER_PREFIX"] + str(os.getpid()), "w").close()
            time.sleep(600)
        return task

def collect(task):
    return [{"id": task.task_id}]
"""

DRIVER = """
import sys
sys.path[:0] = [{folder!r}, {project!r}]
from user_stage import UserStage, collect
from stages.executors.ray import RayExecutor
from stages.params import ExecutorParams
from stages.pipeline import Pipeline, RunStats
from stages.tasks import Task

executor = RayExecutor(ExecutorParams(num_workers=2, max_item_deaths=2))
pipeline = Pipeline("driver", [UserStage()], collect=collect).build()
try:
    for result in executor.run(pipeline, [Task("1"), Task("crash"), Task("2")], RunStats()):
        if result:
            print(result.task_id, type(result.outcomes[0]).__name__, flush=True)
    for result in executor.run(pipeline, [Task("hang")], RunStats()):
        pass
finally:
    executor.close()
"""


@contextmanager
def running_driver(folder: Path, **popen: Any) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A driver that hangs in its second task, and its folder for temporary files; both are gone after the block."""
    folder.mkdir(exist_ok=True)
    (folder / "user_stage.py").write_text(USER_STAGE)
    program = DRIVER.format(folder=str(folder), project=str(PROJECT))
    with temporary_folder() as temporary:
        environment = {**os.environ, "MARKER_PREFIX": f"{folder}/marker-", "TMPDIR": str(temporary)}
        options: dict[str, Any] = {
            "cwd": folder,
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
            "text": True,
            **popen,
        }
        with subprocess.Popen([sys.executable, "-c", program], env=environment, **options) as driver:
            try:
                yield driver, temporary
            finally:
                driver.kill()


@pytest.mark.system
def test_driver_prints_data_only_and_leaves_nothing_when_interrupted(tmp_path: Path) -> None:
    folder, pipe = tmp_path / "driver", subprocess.PIPE
    with running_driver(folder, cwd=tmp_path, stdout=pipe, stderr=pipe) as (driver, temporary):
        wait_for(driver, lambda: any(folder.glob("marker-*")))
        folders = list(temporary.iterdir())
        driver.send_signal(signal.SIGINT)
        out, err = communicate(driver)
        wait_until_gone(folders, temporary)
    assert sorted(out.splitlines()) == ["1 list", "2 list", "crash Failed"]
    assert "KeyboardInterrupt" in err
    assert "(raylet)" not in err
    workers = [Path("/proc", marker.name.removeprefix("marker-")) for marker in folder.glob("marker-*")]
    wait_until(lambda: not any(map(Path.exists, workers)), describe=lambda: list(filter(Path.exists, workers)))


def wait_until_gone(folders: list[Path], temporary: Path) -> float:
    """Seconds until no process of these folders is left, nor any file."""

    def remaining() -> list[Process | Path]:
        return [process for folder in folders for process in processes_of(str(folder))] + list(temporary.iterdir())

    return wait_until(lambda: not remaining(), describe=remaining, interval_s=0.1)


START_WITH_TIMEOUT_0 = """
import sys
sys.path.insert(0, sys.argv[1])
from stages.errors import PoolError
from stages.executors.cluster import Cluster
try:
    Cluster("local")
except PoolError as error:
    print(error)
"""


def test_driver_says_plainly_that_ray_did_not_start() -> None:
    command = [sys.executable, "-c", START_WITH_TIMEOUT_0, str(PROJECT)]
    with temporary_folder() as temporary:
        environment = {**os.environ, "TMPDIR": str(temporary), "RAY_gcs_server_port_wait_time_s": "0"}
        done = run_command(command, env=environment)
        assert list(temporary.iterdir()) == []
    assert done.stdout.startswith("Ray must start on this machine, got RuntimeError: Timed out waiting for file")


@pytest.mark.system
def test_killed_driver_leaves_no_process_and_no_file_of_its_ray(tmp_path: Path) -> None:
    with running_driver(tmp_path) as (driver, temporary):
        wait_for(driver, lambda: any(tmp_path.glob("marker-*")))
        folders = list(temporary.iterdir())
        assert len(list(processes_of(str(folders[0])))) >= 5, "gcs, raylet, two agents and a worker"
        driver.kill()
        driver.wait()
        record("killed driver", seconds_until_gone=round(wait_until_gone(folders, temporary), 1))


@pytest.mark.system
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_driver_ended_while_ray_starts_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    with running_driver(tmp_path) as (driver, temporary):
        wait_for(driver, lambda: any(temporary.glob("curator-*/session_*/logs/raylet.out")))
        folders = list(temporary.iterdir())
        driver.send_signal(number)
        started = time.monotonic()
        communicate(driver)
        ended_s = time.monotonic() - started
        gone_s = wait_until_gone(folders, temporary)
        record(f"{number.name} while Ray starts", seconds=round(ended_s, 1), seconds_until_gone=round(gone_s, 1))
