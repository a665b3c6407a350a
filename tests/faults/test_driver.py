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
from tests.faults.measurements import note
from tests.faults.temporary_folder import temporary_folder
from tests.faults.waiting import finished, wait_for, wait_for_end, wait_until

USER_STAGE = """
import os, signal, time
from stages.stage import ProcessingStage

class Own(ProcessingStage):
    name = "own"

    def process(self, task):
        if task.task_id == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        if task.task_id == "hang":
            open(os.environ["MARK"] + str(os.getpid()), "w").close()
            time.sleep(600)
        return task

def collect(task):
    return [{"id": task.task_id}]
"""

DRIVER = """
import sys
sys.path[:0] = [{own!r}, {project!r}]
from user_stage import Own, collect
from stages.executors.ray import RayExecutor
from stages.params import ExecutorParams
from stages.pipeline import Pipeline, RunStats
from stages.tasks import Task

executor = RayExecutor(ExecutorParams(num_workers=2, max_item_deaths=2))
pipeline = Pipeline("driver", [Own()], collect=collect).build()
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
def own_driver(own: Path, **popen: Any) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A driver that hangs in its second task, and its folder for temporary files; both are gone after the block."""
    own.mkdir(exist_ok=True)
    (own / "user_stage.py").write_text(USER_STAGE)
    program = DRIVER.format(own=str(own), project=str(PROJECT))
    with temporary_folder() as temporary:
        environment = {**os.environ, "MARK": f"{own}/mark-", "TMPDIR": str(temporary)}
        given: dict[str, Any] = {
            "cwd": own,
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
            "text": True,
            **popen,
        }
        with subprocess.Popen([sys.executable, "-c", program], env=environment, **given) as driver:
            try:
                yield driver, temporary
            finally:
                driver.kill()


def test_driver_prints_data_only_and_leaves_nothing_when_interrupted(tmp_path: Path) -> None:
    own, pipe = tmp_path / "own", subprocess.PIPE
    with own_driver(own, cwd=tmp_path, stdout=pipe, stderr=pipe) as (driver, temporary):
        wait_for(driver, lambda: any(own.glob("mark-*")))
        folders = list(temporary.iterdir())
        driver.send_signal(signal.SIGINT)
        out, err = wait_for_end(driver)
        wait_until_gone(folders, temporary)
    assert sorted(out.splitlines()) == ["1 list", "2 list", "crash Failed"]
    assert "KeyboardInterrupt" in err
    assert "(raylet)" not in err
    workers = [Path("/proc", mark.name.removeprefix("mark-")) for mark in own.glob("mark-*")]
    wait_until(lambda: not any(map(Path.exists, workers)), told=lambda: list(filter(Path.exists, workers)))


def wait_until_gone(folders: list[Path], temporary: Path) -> float:
    """Seconds until no process of these folders is left, nor any file."""

    def left() -> list[Process | Path]:
        return [process for folder in folders for process in processes_of(str(folder))] + list(temporary.iterdir())

    return wait_until(lambda: not left(), told=left, every_s=0.1)


NO_PATIENCE = """
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
    command = [sys.executable, "-c", NO_PATIENCE, str(PROJECT)]
    with temporary_folder() as temporary:
        environment = {**os.environ, "TMPDIR": str(temporary), "RAY_gcs_server_port_wait_time_s": "0"}
        done = finished(command, env=environment)
        assert list(temporary.iterdir()) == []
    assert done.stdout.startswith("Ray must start on this machine, got RuntimeError: Timed out waiting for file")


def test_killed_driver_leaves_no_process_and_no_file_of_its_ray(tmp_path: Path) -> None:
    with own_driver(tmp_path) as (driver, temporary):
        wait_for(driver, lambda: any(tmp_path.glob("mark-*")))
        folders = list(temporary.iterdir())
        assert len(list(processes_of(str(folders[0])))) >= 6, "gcs, raylet, agents and workers"
        driver.kill()
        driver.wait()
        note("killed driver", seconds_until_gone=round(wait_until_gone(folders, temporary), 1))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_driver_ended_while_ray_starts_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    with own_driver(tmp_path) as (driver, temporary):
        started = "curator-*/session_*/logs/raylet.out"
        wait_for(driver, lambda: any(temporary.glob(started)))
        folders = list(temporary.iterdir())
        driver.send_signal(number)
        began = time.monotonic()
        wait_for_end(driver)
        ended_s = time.monotonic() - began
        gone_s = wait_until_gone(folders, temporary)
        note(f"{number.name} while Ray starts", seconds=round(ended_s, 1), seconds_until_gone=round(gone_s, 1))
