"""Runs pipelines on a Ray of several nodes of which one is at fault or is lost; prints what became of each as JSON.

A process of its own, since a process is connected to one Ray at a time.
"""

import json
import logging
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import ray
from ray._private.ray_constants import AUTOSCALER_RESOURCE_REQUEST_CHANNEL
from ray.cluster_utils import Cluster
from ray.experimental.internal_kv import _internal_kv_get

from stages import heartbeat
from stages.executors.node_calls import call_on_nodes
from stages.executors.ray import RayExecutor
from stages.params import ExecutorParams
from stages.pipeline import RunStats
from stages.resources import Resources
from stages.stage import WorkerMetadata
from stages.tasks import Failed, Rejected
from tests.faults.faulty_stages import PayloadTask, Step, make_tasks, pipeline

NUM_TASKS = 24
NUM_CHILDREN = 8


class OnOneNode(Step):
    """Has a fault on the node whose worker came first, `in_setup` or with each task; none on the others."""

    def __init__(self, marker: Path, fault: Callable[[], Any], *, in_setup: bool = False, seconds: float = 0.1) -> None:
        super().__init__("faulty", seconds=seconds)
        self.marker = marker
        self.fault = fault
        self.in_setup = in_setup
        self.is_faulty = False

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        node_id = worker_metadata.node.node_id
        try:
            with self.marker.open("x") as file:
                file.write(node_id)
        except FileExistsError:
            pass
        self.is_faulty = self.marker.read_text() == node_id
        if self.is_faulty and self.in_setup:
            self.fault()

    def process(self, task: PayloadTask) -> Any:
        return self.fault() if self.is_faulty and not self.in_setup else super().process(task)


class Load(Step):
    """Makes tasks so large that they stay in the object store of their node."""

    def process(self, task: PayloadTask) -> PayloadTask:
        time.sleep(0.05)
        return replace(task, path="load", payload=np.zeros(1_000_000, np.uint8))


class OnGpu(Step):
    """Runs on the node with the GPU."""

    resources = Resources(cpus=0, gpus=1)


class Timed(Step):
    """Writes down where and when it worked.

    The first stage works on "big" until the second one has worked on all children of "long", and on "long" until "big"
    has begun for the second time; for a minute at most, each.
    """

    def __init__(self, name: str, folder: Path, *, fan_out: int = 1) -> None:
        super().__init__(name, fan_out=fan_out)
        self.folder = folder

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        self.node_id = worker_metadata.node.node_id

    def process(self, task: PayloadTask) -> PayloadTask | list[PayloadTask] | Rejected | Failed:
        started = time.monotonic()
        if self.name == "first" and task.task_id == "big":
            is_second = (self.folder / "big").exists()
            part = self.folder / f"part-{uuid.uuid4().hex}"
            part.write_text(self.node_id)
            part.rename(self.folder / ("again" if is_second else "big"))
            _wait_until(lambda: len([*self.folder.glob("child-*")]) == NUM_CHILDREN)
        elif self.name == "first" and task.task_id == "long":
            _wait_until((self.folder / "again").exists)
        elif task.task_id == "long":
            (self.folder / f"child-{uuid.uuid4().hex}").touch()
        time.sleep(0.1)
        worked = f"{task.path}{self.name} {self.node_id} {started} {time.monotonic()};"
        children = [replace(task, path=worked) for _ in range(self.fan_out if task.task_id == "long" else 1)]
        return children if len(children) > 1 else children[0]


def _wait_until(condition: Callable[[], bool]) -> None:
    started = time.monotonic()
    while not condition() and time.monotonic() < started + 60:
        heartbeat.beat()
        time.sleep(0.05)


def _lost_gpu() -> None:
    raise RuntimeError("CUDA error: uncorrectable ECC error encountered")


def _full_disk() -> None:
    raise OSError(28, "No space left on device")


def _wait(seconds: float) -> None:
    time.sleep(seconds)


def _requested() -> list[dict[str, float]]:
    """What the autoscaler would find as the last request, in the control store of Ray."""
    stored = _internal_kv_get(AUTOSCALER_RESOURCE_REQUEST_CHANNEL)
    return json.loads(stored) if stored else []


@contextmanager
def nodes(*cpus: int) -> Iterator[tuple[Cluster, list[Any]]]:
    """A Ray with a head that has a GPU in name and no CPU, and nodes with these CPUs; this process is connected."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "num_gpus": 1, "include_dashboard": False})
    added = [cluster.add_node(num_cpus=number) for number in cpus]
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield cluster, added
    finally:
        ray.shutdown()
        cluster.shutdown()


def run(stages: list[Any], *, after: int = 0, event: Callable[[], Any] | None = None, **params: Any) -> dict[str, Any]:
    """Run tasks through the stages; call `event` once after so many results, or with the first pause at 0."""
    executor = RayExecutor(ExecutorParams(address="connected", backoff_s=0.2, max_backoff_s=0.5, **params))
    stats, outcomes = RunStats(), list[Any]()
    tasks = [replace(task, group=task.task_id) for task in make_tasks(*map(str, range(NUM_TASKS)))]
    try:
        for result in executor.run(pipeline(stages), iter(tasks), stats):
            if result is not None:
                outcomes.append(result.outcomes[0])
            if event is not None and len(outcomes) >= after and (after or stats.activity == "setting up workers"):
                event()
                event = None
    finally:
        executor.close()
    failed = Counter(outcome.error for outcome in outcomes if isinstance(outcome, Failed))
    return {
        "results": len(outcomes),
        "failed": dict(failed),
        "left_out": list(stats.left_out_nodes.values()),
        "retries": sum(stage.retries for stage in stats.stages.values()),
        "event_came": event is None,
    }


def quarantine(cluster: Cluster, folder: Path) -> list[list[Any]]:
    """Lose the node that works on "big", which may then run only where nothing else does.

    Returns:
        For each task of each stage: id of the item, stage, node, begin and end in seconds of one clock.
    """
    executor = RayExecutor(ExecutorParams(address="connected", max_item_deaths=1, backoff_s=0.2))
    stages = [Timed("first", folder, fan_out=NUM_CHILDREN), Timed("second", folder)]
    tasks = [replace(task, group=task.task_id) for task in make_tasks("big", *map(str, range(NUM_TASKS)), "long")]
    worked: list[list[Any]] = []
    is_lost = False
    try:
        for result in executor.run(pipeline(stages), iter(tasks), RunStats()):
            if not is_lost and (folder / "big").exists():
                is_lost = True
                (node,) = [each for each in cluster.worker_nodes if each.node_id == (folder / "big").read_text()]
                cluster.remove_node(node)
                cluster.add_node(num_cpus=2)
            if result is None:
                continue
            for outcome in result.outcomes:
                if isinstance(outcome, Failed):
                    worked.append([result.task_id, "failed", outcome.error, 0.0, 0.0])
                for row in outcome if isinstance(outcome, list) else ():
                    for part in row["path"].rstrip(";").split(";"):
                        stage, node_id, started, ended = part.split()
                        worked.append([row["id"], stage, node_id, float(started), float(ended)])
    finally:
        executor.close()
    return worked


def calls(cluster: Cluster) -> dict[str, list[str]]:
    """Lose a node while a function is called on all of them."""
    lost, *others = cluster.worker_nodes
    removal = threading.Timer(1.0, cluster.remove_node, [lost])
    removal.start()
    answered = call_on_nodes(_wait, [lost.node_id, *(node.node_id for node in others)], 4.0)
    removal.join()
    return {"answered": list(answered), "others": [node.node_id for node in others]}


def main() -> None:
    """Print a JSON object: by scenario, what its function returned."""
    told: dict[str, Any] = {}
    with TemporaryDirectory() as folder, nodes(2, 2) as (cluster, (first, second)):
        for name, stage in {
            "setup": OnOneNode(Path(folder, "setup"), _lost_gpu, in_setup=True),
            # Long enough for a second worker to start on the node, and to lose the device too.
            "device": OnOneNode(Path(folder, "device"), _lost_gpu, seconds=1.5),
            "disk": OnOneNode(Path(folder, "disk"), _full_disk),
        }.items():
            told[name] = run([stage])
        requests: list[Any] = []
        told["growth"] = run(
            [Step("a", seconds=0.5)], after=NUM_TASKS // 2, event=lambda: requests.extend(_requested())
        )
        told["growth"] |= {"requested": requests, "requested_at_the_end": _requested()}
        told["start"] = run([Step("a", seconds=0.1)], event=lambda: cluster.remove_node(first))

        def lose() -> None:
            cluster.remove_node(second)
            cluster.add_node(num_cpus=2)

        told["objects"] = run([Load("load"), OnGpu("embed", seconds=0.3)], after=3, event=lose)
        cluster.add_node(num_cpus=2)
        told["quarantine"] = quarantine(cluster, Path(folder))
        told["calls"] = calls(cluster)
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
