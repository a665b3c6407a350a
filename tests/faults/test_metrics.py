"""The figures of a run as Ray shows them to whoever watches the cluster."""

import os
import re
import sys
from pathlib import Path

import pytest

from tests.faults.waiting import run_command

PROGRAM = """
import re, sys, urllib.request
sys.path.insert(0, {project!r})
import ray
ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
from tests.faults.faulty_stages import FaultyStage, Step, executor, make_tasks, run
from tests.faults.waiting import wait_until

with executor(num_workers=1, max_tries=2, backoff_s=0.1, max_item_deaths=2) as pool:
    done = run(pool, [Step("make", nbytes=1 << 20), FaultyStage("use")], make_tasks("offline-1", "exit-2", *"345"))
url = "http://127.0.0.1:" + str(ray.nodes()[0]["MetricsExportPort"]) + "/metrics"

def text():
    try:
        return urllib.request.urlopen(url, timeout=5).read().decode()
    except OSError as error:
        return str(error)

def tasks():
    return re.findall("curator_tasks_total.*", text())

wait_until(lambda: any(re.search('stage="use".* 5', line) for line in tasks()), describe=tasks, interval_s=0.2)
print(text())
"""


@pytest.mark.system
def test_ray_shows_the_figures_of_a_run() -> None:
    environment = {**os.environ, "RAY_metrics_report_interval_ms": "500"}
    program = PROGRAM.format(project=str(Path(__file__).parents[2]))
    driver = run_command([sys.executable, "-c", program], env=environment)
    shown = {
        (name.removesuffix("_total"), stage): float(value)
        for name, stage, value in re.findall(r'ray_curator_(\w+){.*stage="(\w+)".*} (\S+)', driver.stdout)
    }
    assert shown["tasks", "make"] == 5
    assert shown["tasks", "use"] == 4 + 1
    assert shown["retries", "use"] == 1
    assert shown["worker_deaths", "use"] == 2
    assert shown["peak_queue_bytes", "use"] >= 1 << 20
    assert shown["queue_bytes", "use"] == 0
    assert shown["peak_memory_bytes", "make"] > 10 << 20
    assert shown["idle_s", "make"] > 0
    assert shown["busy_s", "make"] > 0
