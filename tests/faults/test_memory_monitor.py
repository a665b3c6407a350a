"""Ray's own memory monitor ends workers by its own choice; the task that fills the machine is found all the same."""

import os
import sys
from pathlib import Path

import pytest

from tests.faults.waiting import run_command

DRIVER = """
import os, sys, time
sys.path.insert(0, {project!r})
from stages import heartbeat
from tests.faults.faulty_stages import ExecutorParams, RayExecutor, Step, make_tasks, run

class Big(Step):
    def process(self, task):
        blocks = []
        for _ in range(300 if task.task_id == "big" else 0):
            blocks.append(bytearray(os.urandom(1) * (20 << 20)))
            heartbeat.beat()
            time.sleep(0.02)
        return super().process(task)

executor = RayExecutor(ExecutorParams(max_item_deaths=2, num_workers=2))
result = run(executor, [Big("a", seconds=0.2)], make_tasks("big", *map(str, range(20))))
executor.close()
for task_id, (outcome,) in sorted(result.outcomes.items()):
    print(task_id, "kept" if isinstance(outcome, list) else outcome.reason)
"""


@pytest.mark.long  # 35 s, and it fills a tenth of the machine's memory
def test_memory_monitor_fails_only_the_task_that_fills_the_machine() -> None:
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    kib = {fields[0]: int(fields[1]) for fields in lines}
    threshold = 1.1 - kib["MemAvailable:"] / kib["MemTotal:"]
    environment = {**os.environ, "RAY_memory_usage_threshold": f"{threshold:.3f}"}
    program = DRIVER.format(project=str(Path(__file__).parents[2]))
    driver = run_command([sys.executable, "-c", program], env=environment)
    outcomes = dict(line.split() for line in driver.stdout.splitlines())
    assert outcomes == {**{str(index): "kept" for index in range(20)}, "big": "out_of_memory"}
