"""Write the shot changes found in a folder of videos as JSON, {"file name": [first frame of a new shot, ...]}.

    python benchmarks/shots.py FOLDER PREDICTED.json [--threads 1] [--set threshold=0.4 ...]

The file is what a scorer of shot changes reads. Prints frames a second, decoding included.
"""

import argparse
import json
import time
from fractions import Fraction
from pathlib import Path

import numpy as np

from stages.errors import CorruptStream, SourceError
from stages.media import UprightScaler, decode_frames, open_video, video_stream
from stages.params import SplitParams, validate
from stages.split import Timeline
from stages.split.shots import PICTURE_SIZE, ShotSplitter
from stages.stage import NodeInfo, WorkerMetadata

BATCH = 50


def shot_changes(path: Path, splitter: ShotSplitter) -> tuple[list[int], int]:
    """First frames of new shots, and how many frames there were."""
    splitter.begin()
    scaler = UprightScaler(PICTURE_SIZE)
    pts, pictures = [], []
    with open_video(str(path)) as container:
        time_base = video_stream(container).time_base or Fraction(1)
        try:
            for decoded in decode_frames(container):
                pts.append(decoded.pts)
                pictures.append(scaler(decoded.frame))
                if len(pictures) == BATCH:
                    splitter.push(np.stack(pictures))
                    pictures = []
        except CorruptStream as error:
            print(f"{path.name}: {error}")
    if pictures:
        splitter.push(np.stack(pictures))
    shots = splitter.shots(Timeline(pts, pts[-1] + 1, time_base)) if pts else []
    return [shot.start for shot in shots[1:]], len(pts)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the shot changes found in a folder of videos as JSON.")
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
            found[path.name], number = shot_changes(path, splitter)
            frames += number
        except SourceError as error:
            print(f"{path.name}: {type(error).__name__}")
    args.predicted.write_text(json.dumps(found, indent=1))
    seconds = time.perf_counter() - started
    print(f"{len(found)} files, {frames} frames, {seconds:.1f} s, {frames / seconds:.0f} frames/s")


if __name__ == "__main__":
    main()
