"""Measure how busy the device stage of embed is kept by loaders on CPUs, with a device that only waits.

    PYTHONPATH=. python benchmarks/device_feed.py VIDEO... --loaders 2 --picture-ms 5

The pipeline is the real one, on a Ray of this machine with a CPU for each loader and one for the worker of the device,
which holds a GPU that Ray is told of. The loaders read frame stores, decode JPEGs and crop them as for
EfficientNet-Lite0. The stand-in for a network sleeps for a time that grows with the pictures of a call.

It prints the share of time from the first call to the end of the last one in which a call was running, the gaps between
calls, and what the loaders took of their CPUs for a picture. Where that is `L` ms and the device takes `D`, it takes
`L / D` loaders to keep the device busy.
"""

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import ray
from numpy.typing import NDArray

from stages.embed.stage import EncodeStage
from stages.manifest import ManifestRef
from stages.media import frames_key
from stages.models import BatchedEmbedder, ModelIdentity
from stages.models.efficientnet_pictures import crop_squares
from stages.params import EmbedParams, ExecutorParams
from stages.run import open_session
from stages.stage import WorkerMetadata
from stages.tasks import Frames, Row
from tests.clips import PARTITION, clip_row, commit_rows

FPS, MAX_PX = 2.0, 448
CLIP_S, STEP_S = 4.0, 0.5


class WaitingEmbedder(BatchedEmbedder):
    """Waits in place of a network; writes down when each call began and ended, and CPU seconds of each `prepare`."""

    version = "1"
    dtype = "float32"

    def identity(self) -> ModelIdentity:
        return ModelIdentity("waiting", "1")

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        if worker_metadata.device == "cpu":
            raise RuntimeError("The device's worker must hold a GPU.")

    def prepare(self, frames: Frames) -> NDArray[np.uint8]:
        squares = crop_squares(frames.images)
        self._note("loaded", len(squares), time.process_time(), time.monotonic())
        return squares

    def encode(self, units: NDArray[np.uint8]) -> NDArray[np.float32]:
        began, cpu = time.monotonic(), time.process_time()
        time.sleep(len(units) * self.params.args["picture_ms"] / 1000)
        self._note("encoded", len(units), began, time.monotonic(), cpu)
        return units[:, ::56, ::56, 0].reshape(len(units), -1).astype(np.float32) + 1

    def _note(self, kind: str, *values: float) -> None:
        with Path(self.params.args["notes"]).open("a") as notes:
            notes.write(json.dumps([kind, id(self), *values]) + "\n")


def clips_of(video: Path) -> Iterator[Row]:
    """Rows of clips of `CLIP_S`, one each `STEP_S`."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        rate, frames = float(stream.average_rate or 25), stream.frames
    length = int(CLIP_S * rate)
    for start in range(0, frames - length, int(STEP_S * rate)):
        row = clip_row(video, start, start + length, frames_fps=FPS, frames_max_px=MAX_PX)
        yield {**row, "frames_key": frames_key(row["video_id"], FPS, MAX_PX)}


def run(root: Path, rows: list[Row], args: dict[str, Any], frames_per_clip: int) -> None:
    filtered = commit_rows(root, "filtered_clips", rows)
    params = EmbedParams(
        embedder="benchmarks.device_feed:WaitingEmbedder",
        gpus=1,
        args=args,
        batch_size=64,
        frames_per_clip=frames_per_clip,
    )
    executor = ExecutorParams(address="connected", num_workers=args["loaders"] + 1)
    with open_session(executor) as session:
        session.run_phase(params, {"filtered_clips": [filtered]}, [ManifestRef(str(root), "embeddings", PARTITION)])


def report(notes: Path) -> None:
    lines = [json.loads(line) for line in notes.read_text().splitlines()]
    calls = sorted((began, ended, count, cpu) for _, _, count, began, ended, cpu in (n for n in lines if len(n) == 6))
    first, last = calls[0][0], calls[-1][1]
    busy = sum(ended - began for began, ended, *_ in calls)
    pictures = sum(count for _, _, count, _ in calls)
    cpu_between = sorted(after[3] - before[3] for before, after in itertools.pairwise(calls))
    gaps = sorted(after[0] - before[1] for before, after in itertools.pairwise(calls))
    print(
        f"{len(calls)} calls, {pictures} pictures with filling, {last - first:.1f} s: "
        f"device busy {busy / (last - first):.1%}"
    )
    middle = len(gaps) // 2
    print(
        f"between calls: median {gaps[middle] * 1000:.1f} ms, longest {gaps[-1] * 1000:.1f} ms; "
        f"median of the worker's CPU {cpu_between[middle] * 1000:.1f} ms"
    )
    loaded = [line for line in lines if line[0] == "loaded"]
    cpu = 0.0
    for worker in {line[1] for line in loaded}:
        stamps = [line[3] for line in loaded if line[1] == worker]
        cpu += max(stamps) - min(stamps)
    print(f"loaders: {cpu * 1000 / sum(line[2] for line in loaded):.2f} ms of CPU a picture")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--loaders", type=int, default=2)
    parser.add_argument("--picture-ms", type=float, default=5.0)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--in-flight", type=int, default=EncodeStage.batches_in_flight)
    given = parser.parse_args()
    EncodeStage.batches_in_flight = given.in_flight
    rows = list(itertools.islice((row for video in given.videos for row in clips_of(video.resolve())), given.clips))
    with tempfile.TemporaryDirectory() as folder:
        ray.init(num_cpus=given.loaders + 1, num_gpus=1, include_dashboard=False, log_to_driver=False)
        args = {"picture_ms": 0.0, "loaders": given.loaders, "notes": f"{folder}/warm"}
        run(Path(folder) / "root", rows, args, 1)  # frame stores are made here
        args |= {"picture_ms": given.picture_ms, "notes": f"{folder}/notes"}
        run(Path(folder) / "root", rows, args, 8)
        report(Path(folder) / "notes")
        ray.shutdown()


if __name__ == "__main__":
    main()
