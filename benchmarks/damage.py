"""Measure how well damage is found: files damaged at random, split, and compared with the originals frame by frame.

    python benchmarks/damage.py MEDIA WORK [--part report] [--first-seed 0] [--seeds 1] [--every 1] [--clip-length 2]

MEDIA holds the test videos that pieces are taken of; WORK keeps the encoded originals. A frame is visibly different if
its mean difference from the original's is above 4 grey levels at 96x54. A clip is damaged if at least 1 % of the frames
that it should have are visibly different or missing, and whole if none is missing or different by half a level.
"""

import argparse
import os
import tempfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from benchmarks.damaged_videos import CODECS, GOPS, KINDS, PIECES, damage, encode, sources
from stages.errors import CorruptStream, SourceError
from stages.media import UprightScaler, decode_frames, open_video, video_stream
from stages.params import FilterParams, SplitParams
from stages.split.video_cutter import VideoCutter
from stages.stage import NodeInfo, WorkerMetadata
from stages.storage import stat_source
from stages.tasks import Clip, Size, Video

VISIBLE_LEVELS = 4
EQUAL_LEVELS = 0.5
DAMAGED_SHARE = 0.01
SIZE = Size(96, 54)
WORKER = WorkerMetadata("benchmark", NodeInfo("local", 1.0, 0.0), num_threads=1)


@dataclass(frozen=True)
class Shown:
    """Frames of a file: seconds, and uint8 ``[N, 54, 96]`` luma."""

    times: NDArray[np.float64]
    pictures: NDArray[np.uint8]


def shown_by_product(path: Path) -> Shown:
    """The frames that the clips of a file consist of."""
    times: list[float] = []
    pictures: list[NDArray[np.uint8]] = []
    scaler = UprightScaler(SIZE, pixel_format="gray")
    with open_video(str(path)) as container:
        time_base = video_stream(container).time_base or Fraction(1)
        try:
            for decoded in decode_frames(container):
                times.append(float(decoded.pts * time_base))
                pictures.append(scaler(decoded.frame))
        except CorruptStream:
            pass  # raised after all frames
    return Shown(np.array(times), np.array(pictures, np.uint8).reshape(-1, SIZE.height, SIZE.width))


def times_of_whole_frames(path: Path, original: Shown) -> NDArray[np.float64]:
    """Times of the frames that FFmpeg's own decoder shows, past errors, and that are not visibly different."""
    found: list[float] = []
    scaler = UprightScaler(SIZE, pixel_format="gray")
    with av.open(str(path), metadata_errors="replace") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_type = "NONE"
        for frame in _decode_past_errors(container, stream):
            if frame.pts is not None:
                time = float(frame.pts * (stream.time_base or 1))
                if _difference(original, time, scaler(frame)) <= VISIBLE_LEVELS:
                    found.append(time)
    return np.array(found)


def _decode_past_errors(container: Any, stream: Any) -> Iterator[av.VideoFrame]:
    try:
        for packet in [*container.demux(stream)]:
            try:
                yield from stream.codec_context.decode(packet if packet.size else None)
            except (FFmpegError, EOFError):
                continue
    except FFmpegError:
        return


def _difference(original: Shown, time: float, picture: NDArray[np.uint8]) -> float:
    """Mean difference from the original's frame at this time, in grey levels; 255 where it has none."""
    index = int(np.abs(original.times - time).argmin())
    if abs(original.times[index] - time) > 0.012:
        return 255.0
    return float(np.abs(original.pictures[index].astype(np.int16) - picture).mean())


def split(path: Path, root: str, clip_length_s: float) -> tuple[Clip, ...]:
    """The clips of a file, at a fixed stride."""
    params = SplitParams(method="fixed_stride", clip_length_s=clip_length_s, min_length_s=1.0, signals=[])
    video = Video(path.name, str(path), "p", columns={"etag": stat_source(str(path)).etag})
    result = VideoCutter(params, root, WORKER).run(video)
    return result.clips if isinstance(result, Video) else ()


def measure(path: Path, original: Shown, *, clip_length_s: float) -> Counter[str]:
    """Counts for one file."""
    counts: Counter[str] = Counter(files=1)
    with tempfile.TemporaryDirectory() as root:
        try:
            clips = split(path, root, clip_length_s)
        except SourceError:
            counts["unreadable"] += 1
            return counts
    shown = shown_by_product(path)
    frames = zip(shown.times, shown.pictures, strict=True)
    differences = np.array([_difference(original, *frame) for frame in frames])
    whole_times = times_of_whole_frames(path, original)
    covered = kept = np.zeros(len(whole_times), bool)
    for clip in clips:
        start_s, end_s = clip.span.start_s, clip.span.end_s
        is_rejected = clip.columns["damaged_share"] > FilterParams().damaged_max
        inside = (shown.times >= start_s - 1e-6) & (shown.times < end_s - 1e-6)
        expected = int(((original.times >= start_s - 1e-6) & (original.times < end_s - 1e-6)).sum())
        missing = max(0, expected - int(inside.sum()))
        wrong = int((differences[inside] > VISIBLE_LEVELS).sum()) + missing
        is_whole = not missing and (differences[inside] <= EQUAL_LEVELS).all()
        kind = "whole" if is_whole else "damaged" if wrong >= DAMAGED_SHARE * max(expected, 1) else "slight"
        counts[kind] += 1
        counts[f"{kind}_rejected"] += is_rejected
        within = (whole_times >= start_s - 1e-6) & (whole_times < end_s - 1e-6)
        covered = covered | within
        kept = kept | (within & (not is_rejected))
    counts.update(whole_frames=len(whole_times), in_clips=int(covered.sum()), in_kept_clips=int(kept.sum()))
    return counts


def originals(media: Path | None, work: Path, part: str, *, every: int = 1) -> Iterator[tuple[str, Path]]:
    """Codec and file of the first of every so many originals of the part, encoded where it is not there yet."""
    os.environ.setdefault("SVT_LOG", "1")
    work.mkdir(parents=True, exist_ok=True)
    for number, source in enumerate(sources(media, part)):
        for index, (codec, (_, _, suffixes)) in enumerate(CODECS.items()):
            if (number * len(CODECS) + index) % every:
                continue
            gop = GOPS[(number + 2 * index) % len(GOPS)]
            path = work / f"{part}.{source.name}.{codec}.g{gop}.{suffixes[(number + index) % len(suffixes)]}"
            if not path.exists():
                unfinished = path.with_name(f"unfinished.{path.name}")
                encode(source, codec, unfinished, gop=gop, with_sound=(number + index) % 2 == 0).rename(path)
            yield codec, path


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how well damage is found.")
    parser.add_argument("media", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--part", choices=tuple(PIECES), default="report")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--every", type=int, default=1, help="take the first of so many originals")
    parser.add_argument("--clip-length", type=float, default=2.0)
    args = parser.parse_args()
    table: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for codec, path in originals(args.media, args.work, args.part, every=args.every):
        original = shown_by_product(path)
        table[codec, "undamaged"] += measure(path, original, clip_length_s=args.clip_length)
        for kind in KINDS:
            for seed in range(args.first_seed, args.first_seed + args.seeds):
                damaged = args.work / f"damaged{path.suffix}"
                damage(path, damaged, kind, zlib.crc32(f"{path.name} {seed}".encode()))
                table[codec, kind] += measure(damaged, original, clip_length_s=args.clip_length)
    print(
        "| codec | damage | files | damaged clips rejected | whole clips rejected | whole frames in clips | in kept |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for (codec, kind), counts in sorted(table.items()):
        frames = max(1, counts["whole_frames"])
        print(
            f"| {codec} | {kind} | {counts['files']} | {counts['damaged_rejected']} of {counts['damaged']} "
            f"| {counts['slight_rejected']} of {counts['slight']} | {counts['whole_rejected']} of {counts['whole']} "
            f"| {counts['in_clips'] / frames:.1%} "
            f"| {counts['in_kept_clips'] / frames:.1%} |"
        )


if __name__ == "__main__":
    main()
