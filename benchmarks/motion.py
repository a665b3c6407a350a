"""Measure motion and camera on videos whose motion is known.

    PYTHONPATH=. python benchmarks/motion.py spread FOLDER    one scene at other rates, sizes and qualities
    PYTHONPATH=. python benchmarks/motion.py noise FOLDER     noise over stills, against the stillest moving scene
    PYTHONPATH=. python benchmarks/motion.py camera FOLDER    how often the camera's motion is named rightly

FOLDER holds the videos that stills are taken from, see `benchmarks.moving_stills`.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.moving_stills import (
    DEFAULT_SIZE,
    KEPT,
    TUNED,
    UNSEEN,
    Encoding,
    Luma,
    Scene,
    encode,
    random_path,
    random_subject,
    read_still,
    room_for,
)
from stages.media import DecodeLog, FieldsMeter, decode_frames, open_video, video_stream
from stages.params import CAMERA_MOTIONS
from stages.signals import DamageRecorder, FrameScaler, create_recorders
from stages.tasks import Row, Size

SECONDS = 4.0
SPREAD_SCENES = (("static", 0.0, 2), ("pan", 0.02, 0), ("pan", 0.15, 1), ("zoom", 0.04, 1), ("shake", 0.05, 1))
"""Motion of the camera, its speed, subjects."""
NOISES = ((8, 23, 10), (16, 28, 25), (16, 18, 25), (4, 18, 25), (2, 18, 60))
"""Standard deviation in grey levels, CRF, frames a second."""
NOISE_SECONDS = 2.5


def measure(path: Path) -> Row:
    """The columns of a clip that is the whole file."""
    count = 0
    with open_video(str(path)) as container:
        stream = video_stream(container)
        scaler = FrameScaler()
        assert stream.time_base is not None
        log = DecodeLog()
        recorders = create_recorders(
            ["flow"],
            time_base=stream.time_base,
            rate=stream.average_rate,
            meter=FieldsMeter(),
            damage=DamageRecorder(log, stream, sound=None),
        )
        for decoded in decode_frames(container, log=log):
            pictures = scaler(decoded)
            for recorder in recorders:
                recorder.push(pictures)
            count += 1
    columns: Row = {}
    for recorder in recorders:
        columns |= recorder.reduce(recorder.samples(), 0, count)
    return columns


def encodings() -> Iterator[tuple[str, Encoding]]:
    """Names and encodings of one scene: one thing is changed at a time, then the worst of all together."""
    for rate in (12, 15, 24, 25, 30, 50, 60, 120):
        yield f"{rate}/s", Encoding(rate=rate)
    for drawn, rate in ((12, 24), (12, 60), (24, 30), (24, 60), (24, 120), (30, 60)):
        yield f"{drawn} in {rate}/s", Encoding(rate=rate, drawn_rate=drawn)
    for height in (180, 240, 480, 720, 1080):
        yield f"{height}p", Encoding(size=Size(round(height * 16 / 9 / 2) * 2, height))
    for crf in (18, 28, 32, 36):
        yield f"CRF {crf}", Encoding(crf=crf)
    yield "180p, 60/s, CRF 36", Encoding(Size(320, 180), 60, 36)
    yield "180p, 12/s, CRF 18", Encoding(Size(320, 180), 12, 18)
    yield "1080p, 60/s, CRF 36", Encoding(Size(1920, 1080), 60, 36)


def moving_scenes(stills: list[Luma]) -> list[Scene]:
    """`SPREAD_SCENES` over these stills."""
    random = np.random.default_rng(5)
    scenes = []
    for number, (motion, speed, subjects) in enumerate(SPREAD_SCENES):
        path = random_path(motion, speed, SECONDS, random)
        drawn = [random_subject(stills, random) for _ in range(subjects)]
        scenes.append(Scene(stills[number % len(stills)], path, drawn, room_for(path, SECONDS)))
    return scenes


def spread(stills: list[Luma], folder: Path) -> None:
    """Print the scores of each scene in each encoding, as a share of the first."""
    scenes = moving_scenes(stills)
    scores: dict[str, list[float]] = {}
    for name, encoding in encodings():
        scores[name] = [
            measure(encode(folder / "scene.mp4", scene, SECONDS, encoding))["flow_mean"] for scene in scenes
        ]
        print(name.ljust(22), *(f"{score:.5f}" for score in scores[name]), flush=True)
    table = np.array(list(scores.values()))
    middle = np.median(table, axis=0)
    print("largest difference from the median:", *(f"{share:.1%}" for share in np.abs(table / middle - 1).max(axis=0)))
    print(f"the stillest moving scene: {table.min():.5f}")


def noise(stills: list[Luma], folder: Path, scenes: list[Scene]) -> None:
    """Print how noise over each still scores, and how many scores are below a third of the stillest moving scene."""
    moving = [measure(encode(folder / "scene.mp4", each, SECONDS, Encoding()))["flow_mean"] for each in scenes]
    print("moving scenes".ljust(22), *(f"{score:.5f}" for score in moving), flush=True)
    encodings = [Encoding(rate=rate, crf=crf, noise=sigma) for sigma, crf, rate in NOISES]
    print("noise, CRF, rate".ljust(22), *(f"{each.noise:g},{each.crf},{each.rate}".rjust(8) for each in encodings))
    table = np.empty((len(stills), len(encodings)))
    for number, still in enumerate(stills):
        scene = Scene(still, lambda _: (0, 0, 1, 0))
        for place, encoding in enumerate(encodings):
            video = encode(folder / "noise.mp4", scene, NOISE_SECONDS, encoding, seed=number)
            table[number, place] = measure(video)["flow_mean"]
        print(f"still {number}".ljust(22), *(f"{score:.5f}".rjust(8) for score in table[number]), flush=True)
    below = int((table < min(moving) / 3).sum())
    print(f"{table.max():.5f} at most; {below} of {table.size} below {min(moving) / 3:.5f}, a third of the stillest")


def camera(
    stills: list[Luma], folder: Path, *, clips: int, seed: int, is_kept: bool, size: Size = DEFAULT_SIZE
) -> float:
    """Print the confusion table; the share that is right."""
    random = np.random.default_rng(seed)
    found: Counter[tuple[str, str]] = Counter()
    low, high = (0.013, 0.4) if is_kept else (0.01, 0.3)
    for number in range(clips):
        motion = CAMERA_MOTIONS[number % len(CAMERA_MOTIONS)]
        is_slow = motion in ("zoom", "roll", "mixed")
        speed = float(np.exp(random.uniform(np.log(low), np.log(0.1 if is_slow else high))))
        seconds = float(random.choice([3, 5, 8] if not is_kept else [2.5, 4, 6]))
        if is_slow:
            speed = min(speed, 0.35 / seconds)  # zoomed in by more, a slow pan is a fast one
        path = random_path(motion, speed, seconds, random)
        subjects = [random_subject(stills, random) for _ in range(random.integers(0, 3))]
        scene = Scene(stills[random.integers(len(stills))], path, subjects, room_for(path, seconds))
        encoding = Encoding(
            size,
            rate=int(random.choice([24, 25, 30])),
            crf=int(random.choice([20, 26])),
            noise=float(random.choice([0, 2, 4])),
        )
        columns = measure(encode(folder / "clip.mp4", scene, seconds, encoding, seed=number))
        found[motion, columns["camera_motion"]] += 1
        if columns["camera_motion"] != motion:
            print(f"  {motion} at {speed:.3f}, {len(subjects)} subjects, {seconds} s: {columns}", flush=True)
    print("truth".ljust(10), *(each.rjust(7) for each in CAMERA_MOTIONS))
    for motion in CAMERA_MOTIONS:
        print(motion.ljust(10), *(str(found[motion, each]).rjust(7) for each in CAMERA_MOTIONS))
    right = sum(found[each, each] for each in CAMERA_MOTIONS) / clips
    print(f"{right:.1%} of {clips} right")
    return right


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure motion and camera on videos whose motion is known.")
    parser.add_argument("part", choices=["spread", "noise", "camera"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kept", action="store_true", help="stills and speeds that no threshold was chosen on")
    parser.add_argument("--unseen", action="store_true", help="noise: stills at times that nothing was looked at")
    parser.add_argument("--clips", type=int, default=140)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    stills, tuned = (
        [read_still(args.folder / name, second) for name, second in part]
        for part in (UNSEEN if args.unseen else KEPT if args.kept else TUNED, TUNED)
    )
    with tempfile.TemporaryDirectory() as folder:
        if args.part == "spread":
            spread(stills, Path(folder))
        elif args.part == "noise":
            noise(stills, Path(folder), moving_scenes(tuned))
        else:
            camera(stills, Path(folder), clips=args.clips, seed=args.seed, is_kept=args.kept)


if __name__ == "__main__":
    main()
