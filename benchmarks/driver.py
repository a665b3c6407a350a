"""Measure what one driver gets done, beside stages that do next to nothing.

    PYTHONPATH=. python benchmarks/driver.py items [--partitions 64] [--size 256] [--delay-ms 40] [--dims 1280]
    PYTHONPATH=. python benchmarks/driver.py resume [--items 100000]
    PYTHONPATH=. python benchmarks/driver.py loaders [--workers 12] [--batches 60] [--seconds 1]
    PYTHONPATH=. python benchmarks/driver.py ray [--calls 2000] [--dims 1280]

`items` embeds clips that are in a store in this process's memory, each of whose requests takes `--delay-ms`: from the
tables of the phase before to commits, on a private Ray, with vectors of `--dims` numbers that the stage makes of
nothing. Told are items a second, and the CPU time of the driver.

`resume` runs the same over one partition of items that all have rows, in a folder: seconds to plan and to commit.

`loaders` lets workers make batches of 141 MB, each in `--seconds`, as loading frames for filters does, and counts how
many of them are at work. Told too is the CPU time that such a batch takes all processes, which is that of copying it: a
machine whose cores it fills keeps no more loaders busy, however batches are handed out.

`ray` tells what the driver spends inside Ray, whatever it does beside: of calls of actors with batches and rows as in
`items`, and of nothing else. It bounds the others.
"""

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import ray

from benchmarks.ray_costs import measure_ray, start_ray
from stages.embed.phase import EmbedPhase
from stages.executors.ray import RayExecutor
from stages.manifest import CommittedFile, ManifestRef, RowWriter, commit_table
from stages.media import CLIP_TASK_FIELDS
from stages.models import ModelIdentity
from stages.params import EmbedParams, ExecutorParams
from stages.phase import PhaseReport
from stages.pipeline import ItemResult, Pipeline, RunStats
from stages.run.inputs import InputTables
from stages.run.phase_run import PhaseRun
from stages.run.session import MAX_PROGRESS_INTERVAL_S, PROGRESS_INTERVAL_S
from stages.schemas import ASSETS
from stages.stage import ProcessingStage
from stages.storage import Storage, digest
from stages.tasks import Row, Task, VideoTask
from tests.delayed_store import delayed_store
from tests.faults.cpu_time import CpuTime
from tests.faults.faulty_stages import PayloadTask, Step, pipeline

MODEL = ModelIdentity("nothing", "0")
CLIPS_OF_A_VIDEO = 30
BATCH_SIZE = 16
TASK_BYTES = 20 * 512 * 288 * 3
"""Ten seconds of a clip, two pictures a second."""


class Nothing(ProcessingStage[VideoTask, VideoTask]):
    """Returns what it is given."""

    name = "nothing"
    batch_size = BATCH_SIZE

    def process(self, task: VideoTask) -> VideoTask:
        return task


class NothingPhase(EmbedPhase):
    """Embeds without an embedder."""

    dims = 8

    def pipeline(self) -> Pipeline:
        return Pipeline("embed", [Nothing()], collect=partial(_rows, self.dims), provides=CLIP_TASK_FIELDS)

    def rows_without_work(
        self, output: ManifestRef, files: Collection[CommittedFile], items: Iterable[tuple[str, Row]]
    ) -> dict[str, list[Row]]:
        return {}

    def _identity(self) -> ModelIdentity:
        return MODEL


def _rows(dims: int, task: Task) -> list[Row]:
    clip = cast(VideoTask, task).data.clip
    copied = {name: clip.columns.get(name) for name in ASSETS["embeddings"].schema.names}
    vector = np.zeros(dims, np.float32)
    return [{**copied, **MODEL.as_dict(), "status": "kept", "embedding": vector, "num_embedded_frames": 8}]


def make_clips(storage: Storage, partition: str, size: int) -> ManifestRef:
    """A table of kept clips, in one row file."""
    schema = ASSETS["filtered_clips"].schema
    given = {"partition": partition, "status": "kept", "time_base": "1/12800", "frames_key": "f", "frames_fps": 2.0}
    columns: dict[str, pa.Array] = {}
    for field in schema:
        if field.name in ("video_id", "clip_id", "row_key"):
            group = CLIPS_OF_A_VIDEO if field.name == "video_id" else 1
            values = [digest(partition, field.name, str(number // group), length=16) for number in range(size)]
            columns[field.name] = pa.array(values)
        elif field.name == "uri":
            columns[field.name] = pa.array([f"s3://bucket/some/longer/prefix/{partition}.mp4"] * size)
        elif field.name in ("start_frame", "end_frame", "start_pts", "end_pts"):
            step = 512 if field.name.endswith("pts") else 1
            first = 250 * step * (field.name.startswith("end"))
            columns[field.name] = pa.array(first + 250 * step * np.arange(size))
        else:
            columns[field.name] = pa.array([given.get(field.name)] * size, field.type)
    table = pa.table([columns[name] for name in schema.names], schema=schema)
    ref = ManifestRef(storage.root, "filtered_clips", partition)
    writer = RowWriter(storage, ref, decision_key="d", lineage={})
    for number, row_key in enumerate(columns["row_key"].to_pylist()):
        writer.append(row_key, table.slice(number, 1))
    writer.finish()
    commit_table(storage, ref, writer.files, {})
    return ref


def run(root: str, inputs: list[ManifestRef], executor: RayExecutor) -> Mapping[str, PhaseReport]:
    """The phase over the partitions of its inputs, as a session runs it."""
    phase = NothingPhase(EmbedParams(), root)
    outputs = [ManifestRef(root, "embeddings", ref.partition) for ref in inputs]
    done = PhaseRun(phase, InputTables(phase, {"filtered_clips": inputs}), run_id="r", transient=())
    tasks = done.tasks(outputs)
    first, told_at = next(tasks, None), 0.0
    try:
        if first is not None:
            for result in executor.run(phase.pipeline().build(), _chain(first, tasks), done.stats):
                done.add_result(result)
                if time.monotonic() - told_at > min(MAX_PROGRESS_INTERVAL_S, PROGRESS_INTERVAL_S * done.num_in_work):
                    done.progress()
                    told_at = time.monotonic()
        for _ in done.commits():
            pass
    finally:
        done.close()
    return done.reports


def _chain(first: Task, others: Iterable[Task]) -> Iterable[Task]:
    yield first
    yield from others


def measure_items(num_partitions: int, size: int, delay_ms: float, dims: int) -> None:
    NothingPhase.dims = dims
    executor = RayExecutor(ExecutorParams())
    with delayed_store() as store:
        storage = Storage("delayed://root")
        inputs = [make_clips(storage, f"part-{number:06}", size) for number in range(num_partitions)]
        try:
            run(storage.root, [make_clips(storage, "warm", BATCH_SIZE)], executor)  # Ray and its workers start
            store.delay_s = delay_ms / 1000
            store.requests.clear()
            tree = CpuTime(os.getpid())
            all_cpu, wall, cpu = tree.seconds(), time.perf_counter(), time.process_time()
            reports = run(storage.root, inputs, executor)
            wall, cpu, all_cpu = time.perf_counter() - wall, time.process_time() - cpu, tree.seconds() - all_cpu
            requests, own = len(store.requests), store.requests.count(threading.get_ident())
        finally:
            executor.close()
    items = sum(report.computed for report in reports.values())
    assert items == num_partitions * size
    print(f"{items} items of {dims} numbers in {num_partitions} partitions, {delay_ms:g} ms a request:")
    print(f"  {requests} requests, {own} of them by the thread that hands out the work")
    print(f"  {wall:.1f} s, {items / wall:.0f} items/s; driver {cpu:.1f} s of CPU, {cpu / items * 1e3:.3f} ms an item")
    print(f"  all of its processes {all_cpu:.1f} s, {all_cpu / items * 1e3:.3f} ms an item: ", end="")
    print(f"{2 * items / all_cpu:.0f} items/s of two cores that do nothing else")


def measure_resume(items: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        storage = Storage(Path(folder))
        inputs = [make_clips(storage, "all-of-them", items)]
        phase = NothingPhase(EmbedParams(), storage.root)
        output = ManifestRef(storage.root, "embeddings", inputs[0].partition)
        rows = PhaseRun(phase, InputTables(phase, {"filtered_clips": inputs}), run_id="r", transient=())
        collected = phase.pipeline().collect
        for task in rows.tasks([output]):
            rows.add_result(ItemResult(task.task_id, (collected(task),)))
        rows.close()
        for name in ("again", "once more"):
            wall, cpu = time.perf_counter(), time.process_time()
            (report,) = run(storage.root, inputs, RayExecutor(ExecutorParams())).values()
            assert (report.reused, report.computed) == (items, 0)
            print(f"{items} items {name}: {time.perf_counter() - wall:.1f} s, {time.process_time() - cpu:.1f} s of CPU")


class Load(Step):
    """Makes one batch in so many seconds."""

    batch_size = BATCH_SIZE

    def process_batch(self, tasks: list[PayloadTask]) -> list[Any]:
        time.sleep(self.seconds)
        return [replace(task, payload=np.zeros(TASK_BYTES, np.uint8)) for task in tasks]


class Score(Step):
    """Takes batches in 20 ms."""

    batch_size = BATCH_SIZE


def measure_loaders(num_workers: int, num_batches: int, seconds: float) -> None:
    start_ray(num_workers)
    executor = RayExecutor(ExecutorParams(address="connected"))
    stages: list[Step] = [Load("load", seconds=seconds), Score("score", seconds=0.02 / BATCH_SIZE)]
    try:
        load_batches(executor, stages, 2 * num_workers)  # all workers start
        tree = CpuTime(os.getpid())
        cpu, started = tree.seconds(), time.perf_counter()
        begun = load_batches(executor, stages, num_batches)
        wall, cpu = time.perf_counter() - started, tree.seconds() - cpu
    finally:
        executor.close()
        ray.shutdown()
    # From the end of each worker's first batch to the moment when loaders have nothing left to begin.
    middle = [each for each in begun if num_workers <= each[1] / seconds <= num_batches - num_workers]
    busy = (middle[-1][1] - middle[0][1]) / (middle[-1][0] - middle[0][0])
    print(f"{num_batches} batches of {BATCH_SIZE * TASK_BYTES / 1e6:.0f} MB by {num_workers} workers: {wall:.1f} s")
    print(f"  {busy:.1f} of them load at any time; {num_batches * seconds / num_workers:.1f} s is the least")
    print(f"  {cpu / num_batches:.2f} s of CPU a batch in all processes")


def load_batches(executor: RayExecutor, stages: list[Step], num_batches: int) -> list[tuple[float, float]]:
    """Let so many batches be made; seconds since the begin, and seconds of loading by then, at each result."""
    names = [(f"{number}", f"video-{number // BATCH_SIZE}") for number in range(num_batches * BATCH_SIZE)]
    tasks, stats = [PayloadTask(name, group) for name, group in names], RunStats()
    begun: list[tuple[float, float]] = []
    done, started = 0, time.perf_counter()
    for result in executor.run(pipeline([*stages]), tasks, stats):
        done += result is not None
        begun.append((time.perf_counter() - started, stats.stage("load").busy_s))
    assert done == len(tasks)
    return begun


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what one driver gets done.")
    commands = parser.add_subparsers(dest="command", required=True)
    items = commands.add_parser("items")
    items.add_argument("--partitions", type=int, default=64)
    items.add_argument("--size", type=int, default=256)
    items.add_argument("--delay-ms", type=float, default=40.0)
    items.add_argument("--dims", type=int, default=1280)
    resume = commands.add_parser("resume")
    resume.add_argument("--items", type=int, default=100_000)
    loaders = commands.add_parser("loaders")
    loaders.add_argument("--workers", type=int, default=12)
    loaders.add_argument("--batches", type=int, default=60)
    loaders.add_argument("--seconds", type=float, default=1.0)
    bare = commands.add_parser("ray")
    bare.add_argument("--calls", type=int, default=2000)
    bare.add_argument("--dims", type=int, default=1280)
    args = parser.parse_args()
    if args.command == "ray":
        measure_ray(args.calls, BATCH_SIZE, args.dims)
    elif args.command == "items":
        measure_items(args.partitions, args.size, args.delay_ms, args.dims)
    elif args.command == "resume":
        measure_resume(args.items)
    else:
        measure_loaders(args.workers, args.batches, args.seconds)


if __name__ == "__main__":
    main()
