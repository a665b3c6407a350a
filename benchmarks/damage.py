"""Measure how well damage is found: files damaged at random, split, and compared with the originals frame by frame.

    python benchmarks/damage.py MEDIA WORK [--part report] [--first-seed 0] [--seeds 1] [--every 1]

MEDIA holds the test videos that pieces are taken of; WORK keeps the encoded originals. A frame is visibly different if
its mean difference from the original's is above 4 grey levels at 96x54. A clip is damaged if at least 1 % of the frames
that it should have are visibly different or missing, and whole if none is missing or different by half a level. Of
whole clips, those that differ nowhere are counted again as equal, and those of at least ``split.min_length_s`` as long:
shorter ones are made of damage alone.
"""

import argparse
import itertools
import os
import tempfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
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
from stages.tasks import Clip, Size, Video, VideoTask

VISIBLE_LEVELS = 4
EQUAL_LEVELS = 0.5
DAMAGED_SHARE = 0.01
SIZE = Size(96, 54)
Table = dict[tuple[str, str], Counter[str]]
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


@dataclass(frozen=True)
class Lengths:
    """Lengths of clips in seconds, see ``split.clip_length_s`` and ``split.min_length_s``."""

    clip: float
    shortest: float


USUAL = Lengths(SplitParams().clip_length_s, SplitParams().min_length_s)
SHORT = Lengths(2.0, 1.0)
"""The sources last six seconds: these give several clips of each, so that few frames more or less tell."""


def split(path: Path, root: str, lengths: Lengths) -> tuple[Clip, ...]:
    """The clips of a file, at a fixed stride. Other lengths in the same root take no further decode."""
    params = SplitParams(method="fixed_stride", clip_length_s=lengths.clip, min_length_s=lengths.shortest, signals=[])
    video = Video(path.name, str(path), "p", columns={"etag": stat_source(str(path)).etag})
    result = VideoCutter(params, root, WORKER).run(VideoTask("damage", data=video))
    return result.clips if isinstance(result, Video) else ()


@dataclass(frozen=True)
class Compared:
    """A file compared with its original: times of frames, and mean differences of those that the product shows."""

    original_times: NDArray[np.float64]
    shown_times: NDArray[np.float64]
    differences: NDArray[np.float64]
    whole_times: NDArray[np.float64]


def measure(path: Path, original: Shown, lengths: Lengths = SHORT) -> Counter[str]:
    """Counts for one file."""
    return measure_all(path, original, [lengths])[0]


def measure_all(path: Path, original: Shown, lengths: Sequence[Lengths]) -> list[Counter[str]]:
    """Counts for one file, for each of several lengths of clips."""
    with tempfile.TemporaryDirectory() as root:
        try:
            clips = [split(path, root, each) for each in lengths]
        except SourceError:
            return [Counter(files=1, unreadable=1) for _ in lengths]
    shown = shown_by_product(path)
    frames = zip(shown.times, shown.pictures, strict=True)
    differences = np.array([_difference(original, *frame) for frame in frames])
    compared = Compared(original.times, shown.times, differences, times_of_whole_frames(path, original))
    return [_count(each, compared, shortest_s=used.shortest) for each, used in zip(clips, lengths, strict=True)]


def _count(clips: Iterable[Clip], compared: Compared, *, shortest_s: float) -> Counter[str]:
    """Counts of the clips of a file. Whole ones that are equal to the original, or long enough, are counted again."""
    counts: Counter[str] = Counter(files=1)
    covered = kept = np.zeros(len(compared.whole_times), bool)
    for clip in clips:
        is_rejected = clip.columns["damaged_share"] > FilterParams().damaged_max
        expected = int(_within(clip, compared.original_times).sum())
        differences = compared.differences[_within(clip, compared.shown_times)]
        missing = max(0, expected - len(differences))
        wrong = int((differences > VISIBLE_LEVELS).sum()) + missing
        is_whole = not missing and (differences <= EQUAL_LEVELS).all()
        kind = "whole" if is_whole else "damaged" if wrong >= DAMAGED_SHARE * max(expected, 1) else "slight"
        is_long = clip.span.duration_s >= shortest_s - 1e-6
        names = [
            kind,
            *(["equal"] if is_whole and not differences.any() else []),
            *(["long"] if is_whole and is_long else []),
        ]
        counts.update(dict.fromkeys(names, 1) | {f"{name}_rejected": int(is_rejected) for name in names})
        within = _within(clip, compared.whole_times)
        covered = covered | within
        kept = kept | (within & (not is_rejected))
    counts.update(whole_frames=len(covered), in_clips=int(covered.sum()), in_kept_clips=int(kept.sum()))
    return counts


def _within(clip: Clip, times: NDArray[np.float64]) -> NDArray[np.bool_]:
    return (times >= clip.span.start_s - 1e-6) & (times < clip.span.end_s - 1e-6)


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
    args = parser.parse_args()
    tables: dict[Lengths, Table] = {lengths: defaultdict(Counter) for lengths in (SHORT, USUAL)}
    for codec, path in originals(args.media, args.work, args.part, every=args.every):
        original = shown_by_product(path)
        for kind, each in _with_damaged_copies(path, range(args.first_seed, args.first_seed + args.seeds)):
            for table, counts in zip(tables.values(), measure_all(each, original, list(tables)), strict=True):
                table[codec, kind] += counts
    for lengths, table in tables.items():
        print(f"\nClips of {lengths.clip:g} seconds, {lengths.shortest:g} at least:\n")
        _print(table)


def _with_damaged_copies(path: Path, seeds: Iterable[int]) -> Iterator[tuple[str, Path]]:
    """The original, and copies of it with damage of each kind, one after another in the same place."""
    yield "undamaged", path
    for kind, seed in itertools.product(KINDS, seeds):
        yield (
            kind,
            damage(path, path.with_name(f"damaged{path.suffix}"), kind, zlib.crc32(f"{path.name} {seed}".encode())),
        )


def _print(table: Table) -> None:
    print(
        "| codec | damage | files | damaged clips rejected | slightly different ones | whole ones | equal | long "
        "| whole frames in clips | in kept |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for (codec, kind), counts in sorted(table.items()):
        frames = max(1, counts["whole_frames"])
        print(
            f"| {codec} | {kind} | {counts['files']} | {counts['damaged_rejected']} of {counts['damaged']} "
            f"| {counts['slight_rejected']} of {counts['slight']} | {counts['whole_rejected']} of {counts['whole']} "
            f"| {counts['equal_rejected']} of {counts['equal']} | {counts['long_rejected']} of {counts['long']} "
            f"| {counts['in_clips'] / frames:.1%} "
            f"| {counts['in_kept_clips'] / frames:.1%} |"
        )


if __name__ == "__main__":
    main()
