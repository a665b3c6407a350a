"""The figures of a run as Ray shows them to whoever watches the cluster."""

import json
import os
import re
import sys
from pathlib import Path

import pytest

from tests.deploy.test_dashboard import expressions
from tests.faults.waiting import run_command

NAMES = sorted(
    {name for each in expressions() for name in re.findall(r"\bray_\w+", each)} - {"ray_curator_left_out_node"}
)
"""What the dashboard asks for, but for what no healthy cluster tells."""

PROGRAM = """
import json, re, subprocess, sys, urllib.request
sys.path.insert(0, {project!r})
import ray
ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
from stages.pipeline import RunStats
from tests.faults.faulty_stages import FaultyStage, Step, executor, make_tasks, pipeline
from tests.faults.waiting import wait_until

from stages.storage import Storage
Storage("memory://figures").write_bytes("a", b"b")  # like a bucket, the store is asked through fsspec
command = "from curator_dagster.cli import main; main()"
address = ray.get_runtime_context().gcs_address

def status():
    arguments = [sys.executable, "-c", command, "status", "--address", address, "--json"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["at_work"]

url = "http://127.0.0.1:" + str(ray.nodes()[0]["MetricsExportPort"]) + "/metrics"
pages = []  # gauges stand on a page only where they were set since the page before

def scrape():
    try:
        pages.append(urllib.request.urlopen(url, timeout=5).read().decode())
    except OSError as error:
        pages.append(str(error))

told = []
with executor(num_workers=1, max_tries=2, backoff_s=0.1, max_item_deaths=2) as pool:
    stats = RunStats(status={{"run": 7, "run_id": "5f1c", "root": "r", "progress": {{"phase": "embed"}}}})
    stages = pipeline([Step("make", nbytes=1 << 20), FaultyStage("use")])
    for result in pool.run(stages, make_tasks("offline-1", "exit-2", *"345"), stats):
        told = told or (status() if stats.load.workers else [])
        scrape()

def is_complete():
    scrape()
    has_tasks = re.search('curator_tasks_total.*stage="use".* 5', pages[-1])
    return has_tasks and all(any("\\n" + name in page for page in pages) for name in {names})

wait_until(is_complete, describe=lambda: re.findall("curator_.*", pages[-1]), interval_s=0.2)
print(*pages, sep="\\n")
print("told", json.dumps([told, status()]))
"""


@pytest.mark.system
def test_ray_shows_the_figures_of_a_run() -> None:
    environment = {**os.environ, "RAY_metrics_report_interval_ms": "500"}
    program = PROGRAM.format(project=str(Path(__file__).parents[2]), names=NAMES)
    driver = run_command([sys.executable, "-c", program], env=environment)
    shown = {
        (name.removesuffix("_total"), stage): float(value)
        for name, stage, value in re.findall(r'ray_curator_(\w+){.*stage="(\w+)".*} (\S+)', driver.stdout)
    }
    told, after = json.loads(driver.stdout.partition("told ")[2].splitlines()[0])
    assert [(each["run"], each["progress"]) for each in told] == [(7, {"phase": "embed"})]
    assert after == []
    failed = {line for line in driver.stdout.splitlines() if line.startswith("ray_curator_failed_items_total")}
    assert {(re.search('reason="(.*?)"', line)[1], line.split()[-1]) for line in failed} == {  # type: ignore[index]
        ("storage", "1.0"),
        ("worker_died", "1.0"),
    }
    assert shown["tasks", "make"] == 5
    assert shown["tasks", "use"] == 4 + 1
    assert shown["retries", "use"] == 1
    assert shown["worker_deaths", "use"] == 2
    assert shown["peak_queue_bytes", "use"] >= 1 << 20
    assert shown["queue_bytes", "use"] == 0
    assert shown["queue_tasks", "use"] == 0
    assert shown["peak_memory_bytes", "make"] > 10 << 20
    assert shown["idle_s", "make"] > 0
    assert shown["busy_s", "make"] > 0
