"""Measure the scheduler on a cluster that is simulated: its real code, simulated nodes, workers and time.

    PYTHONPATH=. python benchmarks/many_nodes.py [--nodes 1000] [--cpus 32] [--items 10000000] [--batch-size 16]
        [--batch-s 10] [--losses 0.001] [--start-us 0] [--call-us 0] [--wait-us 0]

What the driver would spend inside Ray is part of it where it is given, as `benchmarks/driver.py ray` measures it. Told
are items a second and what the workers could have done, the driver's CPU time and memory, how long it took until nine
of ten workers that fit were at work, nodes lost, and items that failed.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.simulated_clock import Clock, RayCosts
from benchmarks.simulated_cluster import SimulatedCluster

CLOCK = Clock()
# Before anything of the scheduler is imported, which keeps the function as it finds it.
time.monotonic = CLOCK.monotonic

from stages.executors import dispatcher, node_polls, scheduler, worker_limits, worker_pool  # noqa: E402
from stages.executors.cluster import Shape  # noqa: E402
from stages.executors.worker_limits import POLL_COST_S  # noqa: E402
from stages.params import ExecutorParams  # noqa: E402
from stages.pipeline import Pipeline, RunStats  # noqa: E402
from stages.stage import ProcessingStage  # noqa: E402
from stages.tasks import Failed, Row, Task  # noqa: E402


class Work(ProcessingStage[Task, Task]):
    """Stands for the work that the simulation lets pass."""

    name = "work"

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size

    def process(self, task: Task) -> Task:
        return task


def rows(task: Task) -> list[Row]:
    return [{"id": task.task_id}]


def memory_mb() -> float:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def measure(args: argparse.Namespace) -> None:
    costs = RayCosts(start=args.start_us / 1e6, call=args.call_us / 1e6, wait=args.wait_us / 1e6)
    cluster = SimulatedCluster(
        args.nodes, args.cpus, CLOCK, batch_s=[args.batch_s], losses_an_hour=args.losses, costs=costs
    )
    for module in (dispatcher, node_polls, scheduler, worker_limits, worker_pool):
        module.ray = cluster  # type: ignore[attr-defined]
    time.sleep = cluster.sleep  # pyrefly: ignore[bad-assignment]
    params = ExecutorParams(address="auto")
    pool = worker_pool.WorkerPool(cluster, params)  # type: ignore[arg-type]
    built = Pipeline("work", [Work(args.batch_size)], collect=rows).build()
    stats, before_mb = RunStats(), memory_mb()
    run = scheduler.Scheduler(built, pool, params, [Shape(1.0, 0.0)])
    num_done = num_failed = 0
    at_work_at, workers = 0.0, args.nodes * args.cpus
    most_busy = 0
    CLOCK.resume()
    for result in run.results(tasks(args.items), stats):
        if result is not None:
            num_done += 1
            num_failed += any(isinstance(outcome, Failed) for outcome in result.outcomes)
        if not at_work_at and (result is None or num_done % 1000 == 0):
            with CLOCK.standing():
                busy = len(pool.busy())
                most_busy = max(most_busy, busy)
                at_work_at = CLOCK.simulated_s if busy >= 0.9 * workers else 0.0
    CLOCK.tick()
    assert num_done == args.items
    passed_s = CLOCK.simulated_s
    rate, ideal = args.items / passed_s, workers * args.batch_size / args.batch_s
    print(f"{args.nodes} nodes, {workers} workers, {args.items} items by {args.batch_size} in {args.batch_s:g} s:")
    print(f"  {passed_s:.0f} s, {rate:.0f} items/s of {ideal:.0f}; {num_failed} failed, {cluster.num_lost} nodes lost")
    own_s = CLOCK.driver_cpu_s - CLOCK.ray_cpu_s
    print(f"  driver {CLOCK.driver_cpu_s:.0f} s of CPU, {CLOCK.driver_cpu_s / args.items * 1e6:.0f} us an item")
    print(f"    {own_s:.1f} s of these its own, {own_s / args.items * 1e6:.0f} us an item; the others inside Ray")
    print(f"  {cluster.num_batch_calls} calls with batches")
    print(f"  {cluster.num_polls} polls, {100 * cluster.num_polls * POLL_COST_S / passed_s:.2f} % of the driver's time")
    print(f"  memory {before_mb:.0f} MB before, {memory_mb():.0f} MB after")
    print(f"  nine of ten workers at work after {at_work_at:.0f} s" if at_work_at else f"  at most {most_busy} at work")


def tasks(count: int) -> Iterator[Task]:
    for number in range(count):
        yield Task(str(number), str(number // 256))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the scheduler on a simulated cluster.")
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--cpus", type=int, default=32)
    parser.add_argument("--items", type=int, default=10_000_000)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--batch-s", type=float, default=10.0)
    parser.add_argument("--start-us", type=float, default=0.0, help="driver's CPU time inside Ray for each actor")
    parser.add_argument("--call-us", type=float, default=0.0, help="likewise for each call of one")
    parser.add_argument("--wait-us", type=float, default=0.0, help="likewise for each call that is waited for")
    parser.add_argument("--losses", type=float, default=0.001, help="share of the nodes that is lost in an hour")
    measure(parser.parse_args())


if __name__ == "__main__":
    main()
