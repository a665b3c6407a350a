"""A process of its own that runs a pipeline on a private Ray: what it prints, imports and leaves behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages.executors.guardian import processes_of

pytestmark = pytest.mark.timeout(90)

USER_STAGE = """
import os, signal, time
from stages.base import ProcessingStage

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


def test_driver_prints_data_only_and_leaves_nothing_when_interrupted(tmp_path: Path) -> None:
    own, elsewhere = tmp_path / "own", tmp_path / "elsewhere"
    own.mkdir()
    elsewhere.mkdir()
    (own / "user_stage.py").write_text(USER_STAGE)
    program = DRIVER.format(own=str(own), project=str(Path(__file__).parents[2]))
    environment = {**os.environ, "MARK": f"{tmp_path}/mark-"}
    driver = subprocess.Popen(
        [sys.executable, "-c", program], cwd=elsewhere, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        while not (marks := list(tmp_path.glob("mark-*"))):
            assert driver.poll() is None, driver.communicate()
            time.sleep(0.1)
        driver.send_signal(signal.SIGINT)
        began = time.monotonic()
        out, err = driver.communicate(timeout=30)
    finally:
        driver.kill()
    assert sorted(out.decode().splitlines()) == ["1 list", "2 list", "crash Failed"]
    assert "KeyboardInterrupt" in err.decode()
    assert "(raylet)" not in err.decode()
    while any(Path(f"/proc/{mark.name.removeprefix('mark-')}").exists() for mark in marks):
        assert time.monotonic() - began < 15
        time.sleep(0.1)


def test_killed_driver_leaves_no_process_of_its_ray(tmp_path: Path) -> None:
    (tmp_path / "user_stage.py").write_text(USER_STAGE)
    program = DRIVER.format(own=str(tmp_path), project=str(Path(__file__).parents[2]))
    environment = {**os.environ, "MARK": f"{tmp_path}/mark-"}
    driver = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
    try:
        while not any(tmp_path.glob("mark-*")):
            assert driver.poll() is None
            time.sleep(0.1)
        sessions = [path.name for path in Path("/tmp/ray").glob(f"session_*_{driver.pid}")]
        left = [process for session in sessions for process in processes_of(session)]
        assert len(left) >= 5, "gcs, raylet, agents and workers"
    finally:
        driver.kill()
        driver.wait()
    began = time.monotonic()
    while alive := [each for each in left if Path(f"/proc/{each.pid}").exists()]:
        assert time.monotonic() - began < 15, alive
        time.sleep(0.1)
