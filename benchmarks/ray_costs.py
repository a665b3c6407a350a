"""What a driver spends inside Ray, whatever it does beside: the bound of `benchmarks/driver.py items`."""

import logging
import os
import pickle
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import ray

from stages.executors.ray_connection import without_unused_processes
from stages.executors.worker import BatchReport
from stages.media import clip_task
from stages.schemas import ASSETS
from stages.tasks import Task
from tests.faults.cpu_time import CpuTime

NUM_WAITING = 4000
NUM_STARTS = 8
IN_FLIGHT = 4


class Answering:
    """An actor that answers with what it holds."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def answer(self, *_: Any) -> Any:
        return self._answer

    def keep_waiting(self) -> None:
        time.sleep(600)


def start_ray(num_cpus: int) -> None:
    """Start a Ray with so many CPUs in name, without processes that nothing here needs."""
    with without_unused_processes():
        ray.init(
            address="local",
            num_cpus=num_cpus,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )


def measure_ray(num_calls: int, batch_size: int, dims: int) -> None:
    """Print the driver's CPU time of calls of actors: of empty ones, and of ones with a batch and its rows."""
    start_ray(2)
    actor_class: Any = ray.remote(num_cpus=0, max_restarts=0)(Answering)
    tasks = [_task(number) for number in range(batch_size)]
    rows: list[list[Any]] = [[[_row(task, dims)]] for task in tasks]
    indexes = [[(0, number) for number in range(batch_size)]]
    report = BatchReport(rows, 0.0, {}, 0)
    try:
        first = actor_class.remote(None)  # which sends the class to Ray, once for all
        ray.get(first.answer.remote())
        start_s, actors = _cpu_s(lambda: [actor_class.remote(None) for _ in range(NUM_STARTS)])
        ray.get([actor.answer.remote() for actor in actors])
        call_s, _ = _cost_of_calls(actors[:2], num_calls, ())
        batches = [actor_class.remote(report) for _ in range(2)]
        ray.get([actor.answer.remote() for actor in batches])
        # As `stages.executors.dispatcher.task_arguments` hands them over.
        batch_s, all_s = _cost_of_calls(batches, num_calls, (0, indexes, pickle.dumps(tasks, pickle.HIGHEST_PROTOCOL)))
        waiting = [actors[0].keep_waiting.remote() for _ in range(NUM_WAITING)]
        wait_s, _ = _cpu_s(lambda: [ray.wait(waiting, num_returns=NUM_WAITING, timeout=0) for _ in range(5)])
    finally:
        ray.shutdown()
    print(f"start of an actor: {start_s / NUM_STARTS * 1e6:.0f} us of the driver's CPU")
    print(f"a call of an actor and its answer: {call_s * 1e6:.0f} us, {1 / call_s:.0f} calls/s of one core")
    print(f"  with {batch_size} clips and their rows of {dims} numbers: {batch_s * 1e6:.0f} us", end="")
    print(f", {batch_s / batch_size * 1e6:.0f} us an item, {batch_size / batch_s:.0f} items/s of one core")
    print(f"  all of its processes: {all_s / batch_size * 1e6:.0f} us an item, ", end="")
    print(f"{2 * batch_size / all_s:.0f} items/s of two cores that do nothing else")
    print(f"waiting for {NUM_WAITING} calls: {wait_s / 5 / NUM_WAITING * 1e6:.2f} us each")


def _cost_of_calls(actors: list[Any], count: int, args: tuple[Any, ...]) -> tuple[float, float]:
    """CPU seconds of a call with its answer, some of which are in flight in each actor: of the driver, and of all."""

    def call_all() -> None:
        waiting = deque(actor.answer.remote(*args) for actor in actors for _ in range(IN_FLIGHT))
        for number in range(count):
            ray.get(waiting.popleft())
            waiting.append(actors[number % len(actors)].answer.remote(*args))
        ray.get(list(waiting))

    tree = CpuTime(os.getpid())
    before = tree.seconds()
    seconds, _ = _cpu_s(call_all)
    num_calls = count + len(actors) * IN_FLIGHT
    return seconds / num_calls, (tree.seconds() - before) / num_calls


def _cpu_s(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process, the threads of Ray in it included, and what the work returns."""
    before = time.process_time()
    value = work()
    return time.process_time() - before, value


def _task(number: int) -> Task:
    names = ("partition", "video_id", "uri", "etag", "clip_id", "frames_key", "frames_fps", "frames_max_px")
    row = {name: f"{name} {number}" for name in names}
    times = ("start_pts", "end_pts", "start_frame", "end_frame", "shot_start_pts", "shot_end_pts")
    return clip_task({**row, **dict.fromkeys(times, number), "time_base": "1/12800"}, f"partition/{number:032}")


def _row(task: Task, dims: int) -> dict[str, Any]:
    row: dict[str, Any] = {name: f"{name} {task.task_id}" for name in ASSETS["embeddings"].schema.names}
    return {**row, "embedding": np.zeros(dims, np.float32)}
