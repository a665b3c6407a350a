"""Measure the sensor on a bucket of many objects, on a real S3 server of this machine: seconds and bytes a tick.

    PYTHONPATH=. python benchmarks/ticks.py --objects 100000 [--folder KEEP]

The bucket is filled first, which takes minutes; a folder that is named keeps it for the next time. Ticks are evaluated
as the daemon does it, one after the other until nothing is new, then with nothing new, then in a process that has read
nothing yet.
"""

import argparse
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dagster as dg
import fsspec

from curator_dagster.curation import Curation
from curator_dagster.curation_in_dagster import curation_definitions
from curator_dagster.partition_keys import add_partitions
from curator_dagster.resources import RayPool, Storage
from curator_dagster.watch import scan
from curator_dagster.watch.source import SourceBucket
from tests.faults.lossy_proxy import LossyProxy
from tests.object_store import running_server

BUCKET = "videos"
THREADS = 32


def fill(filesystem: Any, objects: int) -> None:
    """Put objects of a few bytes, as many as there are not yet."""
    if not filesystem.exists(BUCKET):
        filesystem.mkdir(BUCKET)
    names = [f"{BUCKET}/{number // 1000:04}/{number:07}.mp4" for number in range(objects)]
    there = set(filesystem.find(BUCKET))
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda name: filesystem.pipe_file(name, name.encode()), [n for n in names if n not in there]))


class Ticks:
    """Evaluations of the sensor, each reported with what it cost."""

    def __init__(self, root: str, instance: dg.DagsterInstance, proxy: LossyProxy) -> None:
        storage, source = Storage(root=root), SourceBucket(location=f"s3://{BUCKET}", settle_s=0)
        self._resources = {"storage": storage, "source": source}
        self._defs = curation_definitions(Curation(), RayPool(), storage, source=source)
        self._instance, self._proxy, self._cursor = instance, proxy, ""

    def evaluate(self, name: str) -> bool:
        """One tick, whose partitions are added; False where there was nothing left to do."""
        before, wall, cpu = self._proxy.num_bytes, time.perf_counter(), time.process_time()
        with dg.build_sensor_context(
            instance=self._instance, cursor=self._cursor, definitions=self._defs, resources=self._resources
        ) as context:
            result = self._defs.resolve_sensor_def("new_videos").evaluate_tick(context)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        new = [key for each in result.dynamic_partitions_requests for key in each.partition_keys]
        add_partitions(self._instance, "sources", new)
        runs, self._cursor = len(result.run_requests or []), result.cursor or ""
        megabytes = (self._proxy.num_bytes - before) / 1e6
        print(
            f"{name:22} {wall:6.1f} s {cpu:6.1f} s CPU {megabytes:7.1f} MB {len(new):6} partitions {runs:4} runs "
            f"{len(self._cursor):6} bytes of cursor",
            flush=True,
        )
        return bool(new or runs or "more to list" in (result.skip_message or ""))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure ticks of the sensor on a bucket of many objects.")
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where the server keeps its data")
    args = parser.parse_args()
    with ExitStack() as stack:
        folder = args.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(running_server(folder))
        proxy = stack.enter_context(LossyProxy(server.url))
        fsspec.config.conf["s3"] = {**server.settings, "endpoint_url": server.url}
        fill(fsspec.filesystem("s3"), args.objects)
        fsspec.config.conf["s3"] = {**server.settings, "endpoint_url": proxy.url}
        fsspec.filesystem("s3").clear_instance_cache()
        instance = stack.enter_context(dg.DagsterInstance.local_temp())
        ticks = Ticks(f"s3://{BUCKET}-curated/{uuid.uuid4().hex}", instance, proxy)
        fsspec.filesystem("s3").mkdir(f"{BUCKET}-curated", exist_ok=True)
        number = 1
        while ticks.evaluate(f"tick {number}"):
            number += 1
        ticks.evaluate("nothing new")
        scan._REGISTERS_BY_ROOT.clear()
        ticks.evaluate("nothing new, restarted")


if __name__ == "__main__":
    main()
