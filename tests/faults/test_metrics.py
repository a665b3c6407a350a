"""The figures of a run as Ray shows them to whoever watches the cluster."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import re, sys, time, urllib.request
sys.path.insert(0, {project!r})
import ray
ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
from tests.faults.poison import Poison, Step, executor, loads, run

with executor(num_workers=1, max_tries=2, backoff_s=0.1, max_item_deaths=2) as pool:
    done = run(pool, [Step("make", nbytes=1 << 20), Poison("use")], loads("offline-1", "exit-2", *"345"))
port = ray.nodes()[0]["MetricsExportPort"]
limit = time.monotonic() + 40
text = ""
while not re.search('curator_tasks_total.*stage="use".* 5', text) and time.monotonic() < limit:
    time.sleep(0.2)
    try:
        text = urllib.request.urlopen(f"http://127.0.0.1:{{port}}/metrics", timeout=5).read().decode()
    except OSError as error:
        text = str(error)
print(text)
"""


@pytest.mark.timeout(90)
def test_ray_shows_the_figures_of_a_run() -> None:
    environment = {**os.environ, "RAY_metrics_report_interval_ms": "500"}
    program = PROGRAM.format(project=str(Path(__file__).parents[2]))
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    shown = {
        (name.removesuffix("_total"), stage): float(value)
        for name, stage, value in re.findall(r'ray_curator_(\w+){.*stage="(\w+)".*} (\S+)', ended.stdout)
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
