"""Measure how well copies are found among clips of real videos that were changed in many ways.

    PYTHONPATH=. python benchmarks/copies.py FOLDER WORK [--kept] [--pairs]

FOLDER holds the videos that clips are cut from, see `benchmarks.copied_sources`. WORK takes the videos that are made,
and what was recorded of them, so that another run decodes nothing. Without ``--kept`` the sources are
those that thresholds were chosen on.
"""

import argparse
import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.copied_slides import KEPT_DECKS, TUNED_DECKS, deck_source, make_deck
from benchmarks.copied_sources import KEPT, TUNED
from benchmarks.copied_videos import Video, make_cards, make_videos
from stages.dedup.copies import ClipHashes, CopyPair, find_copies
from stages.dedup.quality import QUALITY_COLUMNS, quality_keys, quality_values
from stages.media import decode_frames, open_video, video_stream
from stages.signals import FrameScaler
from stages.signals.hashes import HashRecorder
from stages.signals.sharpness import SharpnessRecorder
from stages.tasks import Row

CLEAR_SHARE = 0.6
"""Two clips of one source that share so much of the shorter one are copies; with less, both answers are right."""


def record(video: Video, cache: Path) -> Mapping[str, np.ndarray]:
    """What is recorded of a video, and the columns that tell its quality."""
    path = cache / f"{video.path.stem}.npz"
    if not path.exists():
        values, columns = _record(video.path)
        np.savez(path, **values, columns=np.array([columns], object))
    with np.load(path, allow_pickle=True) as stored:
        return dict(stored)


def _record(path: Path) -> tuple[dict[str, np.ndarray], Row]:
    times: list[float] = []
    with open_video(str(path)) as container:
        stream = video_stream(container)
        time_base, scaler = stream.time_base or Fraction(1), FrameScaler()
        recorders = HashRecorder(time_base), SharpnessRecorder(time_base)
        for decoded in decode_frames(container):
            times.append(float(decoded.pts * time_base))
            pictures = scaler(decoded)
            for recorder in recorders:
                recorder.push(pictures)
        size = pictures.displayed_size
        codec, depth = stream.codec_context.name, stream.codec_context.format.components[0].bits
    samples = recorders[0].samples()
    columns: Row = dict.fromkeys(QUALITY_COLUMNS)
    columns |= {"width": size.width, "height": size.height, "codec": codec, "bit_depth": depth, "damaged_share": 0.0}
    columns |= {"size_bytes": path.stat().st_size, "video_frames": len(times)}
    columns["average_rate"] = str(Fraction((len(times) - 1) / max(times[-1] - times[0], 1e-3)).limit_denominator(1001))
    columns |= SharpnessRecorder.reduce(recorders[1].samples(), 0, len(times))
    columns |= HashRecorder.reduce(samples, 0, len(times))
    seconds = np.array(times)[samples.frame] - times[0]
    stills = recorders[0].still_samples()
    values = {"seconds": seconds, "thumbnails": samples["thumbnail"], "quality": samples["pdq_quality"]}
    values |= {"still_seconds": np.array(times)[stills.frame] - times[0], "stills": stills["still"]}
    return values, columns


def hashes_of(videos: Sequence[Video], recorded: Sequence[Mapping[str, np.ndarray]]) -> dict[int, ClipHashes]:
    """Each file is a video of its own, as it would be in a bucket."""
    return {
        number: ClipHashes(
            values["seconds"],
            values["thumbnails"],
            values["quality"],
            values["still_seconds"],
            values["stills"],
            number,
            number,
            0.0,
            float(values["seconds"][-1]),
        )
        for number, values in enumerate(recorded)
    }


def truth(left: Video, right: Video) -> bool | None:
    """Whether two videos are copies; None where either answer is right."""
    if left.source is None or right.source is None or left.source.family != right.source.family:
        return left.original == right.original
    if left.source.video != right.source.video:
        return False
    shared = min(left.end_s, right.end_s) - max(left.start_s, right.start_s)
    share = shared / min(left.end_s - left.start_s, right.end_s - right.start_s)
    if share >= CLEAR_SHARE:
        return True
    is_one_shot = any(first <= left.start_s < end and first <= right.start_s < end for first, end in left.source.shots)
    return None if share > 0 or (left.source.is_still and is_one_shot) else False


def report(videos: Sequence[Video], pairs: Sequence[CopyPair], columns: pa.Table, *, shows_pairs: bool) -> None:
    """Print recall by change, precision, and which of two copies would be kept."""
    found = {(min(pair.left, pair.right), max(pair.left, pair.right)): pair for pair in pairs}
    right, wrong, undecided = 0, [], 0
    for a, b in found:
        is_copy = truth(videos[a], videos[b])
        right, undecided = right + (is_copy is True), undecided + (is_copy is None)
        wrong += [(a, b)] if is_copy is False else []
    originals = {video.original: number for number, video in enumerate(videos) if video.change is None}
    hits: dict[str, Counter[bool]] = defaultdict(Counter)
    better: Counter[bool] = Counter()
    values = quality_values(columns)
    missed, worse = [], []
    for number, video in enumerate(videos):
        if video.change is None or truth(video, videos[originals[video.original]]) is not True:
            continue
        pair = tuple(sorted((number, originals[video.original])))
        hits[video.change.name][pair in found] += 1
        missed += [pair] if pair not in found else []
        if pair in found and video.change.kind != "hdr":
            keys = quality_keys(values[[number, originals[video.original]]], np.zeros(2, np.int64))
            first = np.lexsort(keys[::-1])[0]
            better[first == 1] += 1
            worse += [number] if first == 0 else []
    for name, counts in sorted(hits.items()):
        print(f"{name.ljust(12)} {counts[True]:4d} of {counts.total()}")
    total = sum(hits.values(), Counter())
    print(f"recall: {total[True]} of {total.total()}, {total[True] / max(1, total.total()):.3f}")
    copies = [(a, b) for a, b in itertools.combinations(range(len(videos)), 2) if truth(videos[a], videos[b]) is True]
    reached = sum(pair in found for pair in copies)
    print(f"of all pairs, copies of one clip among each other too: {reached} of {len(copies)}")
    print(
        f"precision: {right} of {right + len(wrong)}, {right / max(1, right + len(wrong)):.4f}; not judged: {undecided}"
    )
    print(f"the original is the better one: {better[True]} of {better.total()}")
    if shows_pairs:
        for kind, shown in (("missed", missed), ("wrong", wrong)):
            for a, b in shown:
                print(kind, videos[a].path.stem, videos[b].path.stem, found.get((a, b), ""))
        for number in worse:
            print("preferred", videos[number].path.stem, values[[number, originals[videos[number].original]]].round(4))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how well copies are found.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--kept", action="store_true", help="sources that no threshold was chosen on")
    parser.add_argument("--pairs", action="store_true", help="print the pairs that are missed and wrong")
    args = parser.parse_args()
    cache = args.work / "recorded"
    cache.mkdir(parents=True, exist_ok=True)
    videos = make_videos(args.folder, args.work / "clips", KEPT if args.kept else TUNED)
    decks = KEPT_DECKS if args.kept else TUNED_DECKS
    for deck in decks:
        make_deck(deck, args.work)
    videos += make_videos(args.work, args.work / "clips", tuple(deck_source(deck) for deck in decks))
    videos += make_cards(args.work / "cards")
    recorded = [record(video, cache) for video in videos]
    started = time.process_time()
    pairs = find_copies(hashes_of(videos, recorded), {})
    print(f"{len(videos)} videos, {sum(video.change is None for video in videos)} of them no copies")
    print(f"CPU to find copies: {time.process_time() - started:.1f} s")
    columns = pa.Table.from_pylist([dict(values["columns"][0]) for values in recorded])
    report(videos, pairs, columns, shows_pairs=args.pairs)


if __name__ == "__main__":
    main()
