"""Write the transitions found in a folder of videos as JSON, {"file name": [[first frame, last frame], ...]}.

    python benchmarks/shots.py FOLDER PREDICTED.json [--threads 1] [--set threshold=0.4 ...]

Of a cut both are the first frame of the new shot. What a scorer of shot changes reads; fades at the ends of a video,
which change no shot, are left out. Prints frames a second, decoding included.
"""

import argparse
import json
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.errors import CorruptStream, SourceError
from stages.media import (
    USUAL_PEAK_NITS,
    UprightScaler,
    decode_frames,
    frame_rate,
    open_video,
    reduced_frame,
    video_stream,
)
from stages.params import SplitParams, validate
from stages.split import Timeline
from stages.split.shots import ShotSplitter
from stages.split.transitions import Transition
from stages.split.transnetv2_detector import TransNetV2Detector
from stages.stage import NodeInfo, WorkerMetadata

BATCH = 50


def decoded_pictures(path: Path) -> tuple[NDArray[np.uint8], Timeline, Fraction | None]:
    """The small pictures of a video, the times of its frames, and its rate. A video that breaks ends where it does."""
    scaler = UprightScaler(TransNetV2Detector.picture_size, peak_nits=USUAL_PEAK_NITS)
    pts: list[int] = []
    pictures: list[NDArray[np.uint8]] = []
    with open_video(str(path)) as container:
        stream = video_stream(container)
        time_base, rate = stream.time_base or Fraction(1), frame_rate(stream)
        try:
            for decoded in decode_frames(container):
                pts.append(decoded.pts)
                pictures.append(scaler(decoded.frame, reduced_frame(decoded.frame)))
        except CorruptStream as error:
            print(f"{path.name}: {error}")
    end_pts = pts[-1] + max(1, (pts[-1] - pts[0]) // max(1, len(pts) - 1))
    return np.stack(pictures), Timeline(pts, end_pts, time_base), rate


def measured_timeline(path: Path, splitter: ShotSplitter) -> Timeline:
    """Push a video through a splitter; the times of its frames."""
    pictures, timeline, rate = decoded_pictures(path)
    splitter.begin_video(rate)
    for start in range(0, len(pictures), BATCH):
        splitter.push(pictures[start : start + BATCH])
    return timeline


def changes(transitions: Sequence[Transition], num_frames: int) -> list[list[int]]:
    """First and last frame of each transition between two shots."""
    inner = [each for each in transitions if each.start > 0 and each.end < num_frames]
    return [[each.start, max(each.start, each.end - 1)] for each in inner]


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the transitions found in a folder of videos as JSON.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("predicted", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of split")
    args = parser.parse_args()
    params = validate(SplitParams, "split", dict(setting.split("=", 1) for setting in args.set))
    splitter = ShotSplitter(params)
    splitter.setup(WorkerMetadata("benchmark", NodeInfo("local", 1.0, 0.0), num_threads=args.threads))
    found, frames, started = {}, 0, time.perf_counter()
    for path in sorted(args.folder.iterdir()):
        try:
            timeline = measured_timeline(path, splitter)
            found[path.name] = changes(splitter.transitions(timeline), len(timeline))
            frames += len(timeline)
        except SourceError as error:
            print(f"{path.name}: {type(error).__name__}")
    args.predicted.write_text(json.dumps(found, indent=1))
    seconds = time.perf_counter() - started
    print(f"{len(found)} files, {frames} frames, {seconds:.1f} s, {frames / seconds:.0f} frames/s")


if __name__ == "__main__":
    main()
