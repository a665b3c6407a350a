"""Measure the same phases on the same videos by each executor: CPU time of all processes, time, and rows.

    PYTHONPATH=. python benchmarks/executors.py VIDEOS [--modes streaming xenna batch xenna_batch] [--repeat 1]

Read, split, filter and embed of a folder, with the parameters of the demo, in a session of its own for each executor,
in turn, so that what else the machine does falls on all alike. Told are, for each phase and the whole: CPU seconds of
this process and all it started, and seconds. The tables of all executors must be equal. `xenna` and `xenna_batch` need
the extra `xenna`.
"""

import argparse
import logging
import os
import tempfile
import threading
import time
from collections import defaultdict
from typing import cast

import pyarrow as pa

from stages.manifest import ManifestRef, read_manifest
from stages.params import EmbedParams, ExecutorParams, FilterParams, Params, ReadParams, SplitParams
from stages.run import open_session
from tests.faults.cpu_time import CpuTime
from tests.faults.first_phases import register_folder

MODES = ["streaming", "xenna", "batch", "xenna_batch"]
WATCH_S = 0.1


class Watch:
    """CPU time of this process tree, looked at so often that little of a short process is missed."""

    def __init__(self) -> None:
        self._cpu = CpuTime(os.getpid())
        self._lock = threading.Lock()
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while True:
            self.seconds()
            time.sleep(WATCH_S)

    def seconds(self) -> float:
        with self._lock:
            return self._cpu.seconds()


PHASES: list[tuple[str, Params, list[str]]] = [
    ("videos", ReadParams(), []),
    ("clips", SplitParams(min_length_s=1, crop_s=0.1), ["videos"]),
    ("filtered_clips", FilterParams(), ["clips"]),
    ("embeddings", EmbedParams(), ["filtered_clips"]),
]


def curate(videos: str, mode: str, watch: Watch) -> tuple[dict[str, tuple[float, float]], dict[str, pa.Table]]:
    """CPU seconds and seconds of each phase and of the whole, and the tables."""
    told: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as root:
        partition = register_folder(videos, root)
        refs = {asset: ManifestRef(root, asset, partition) for asset, _, _ in PHASES}
        first_cpu, first_time = watch.seconds(), time.perf_counter()
        with open_session(ExecutorParams.model_validate({"mode": mode})) as session:
            for asset, params, inputs in PHASES:
                cpu, started = watch.seconds(), time.perf_counter()
                session.run_phase(params, {name: [refs[name]] for name in inputs}, [refs[asset]])
                told[asset] = watch.seconds() - cpu, time.perf_counter() - started
                print(f"{mode:12} {asset:16} CPU {told[asset][0]:6.1f} s, {told[asset][1]:6.1f} s", flush=True)
        told["all, with start and end"] = watch.seconds() - first_cpu, time.perf_counter() - first_time
        return told, {asset: read_manifest(root, asset) for asset, _, _ in PHASES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--repeat", type=int, default=1)
    args = parser.parse_args()
    logging.getLogger("stages").setLevel(logging.ERROR)
    watch = Watch()
    figures: defaultdict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    made: dict[str, pa.Table] = {}
    for _ in range(args.repeat):
        for mode in args.modes:
            told, tables = curate(args.videos, mode, watch)
            for step, pair in told.items():
                figures[step, mode].append(pair)
            made = made or tables
            different = [asset for asset in tables if not tables[asset].equals(made[asset])]
            rows = {asset: cast(int, table.num_rows) for asset, table in tables.items()}
            print(f"{mode:12} {rows}; other than those of {args.modes[0]}: {different or 'none'}", flush=True)
    for (step, mode), pairs in figures.items():
        cpu, seconds = (" ".join(f"{pair[index]:6.1f}" for pair in pairs) for index in (0, 1))
        print(f"{step:24} {mode:12} CPU {cpu} s, {seconds} s")


if __name__ == "__main__":
    main()
