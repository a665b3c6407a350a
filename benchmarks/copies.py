"""Measure how well copies are found among clips of real videos that were changed in many ways.

    PYTHONPATH=. python benchmarks/copies.py FOLDER WORK [--half tuned|kept|...|blind] [--of-others 30] [--pairs]

FOLDER holds the videos that clips are cut from, see `benchmarks.copied_sources`. WORK takes the videos that are made,
and what was recorded of them, so that another run decodes nothing. All pairs with an original are compared; of other
candidates of one clip, and of candidates of different clips, one in so many, chosen by their names.
"""

import argparse
import hashlib
import itertools
import time
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from benchmarks.copied_changes import drawn_changes, fixed_changes, newest_changes, other_changes
from benchmarks.copied_report import report_found, report_quality
from benchmarks.copied_slides import (
    BLIND_DECKS,
    FRESH_DECKS,
    KEPT_DECKS,
    TUNED_DECKS,
    UNSEEN_DECKS,
    deck_source,
    make_deck,
)
from benchmarks.copied_sources import BLIND, FRESH, KEPT, TUNED, UNSEEN
from benchmarks.copied_videos import Video, make_cards, make_videos
from stages.dedup.copies import confirmed
from stages.dedup.copy_candidates import candidates
from stages.dedup.copy_hashes import ClipHashes, landmarks_of, looked_for
from stages.dedup.copy_views import STORED_WINDOWS
from stages.dedup.quality import QUALITY_COLUMNS
from stages.media import decode_frames, open_video, video_stream
from stages.signals import FrameScaler
from stages.signals.hashes import HashRecorder
from stages.signals.sharpness import SharpnessRecorder
from stages.tasks import Row

HALVES = {
    "tuned": (TUNED, TUNED_DECKS, fixed_changes),
    "kept": (KEPT, KEPT_DECKS, fixed_changes),
    "fresh": (FRESH, FRESH_DECKS, drawn_changes),
    "unseen": (UNSEEN, UNSEEN_DECKS, other_changes),
    "blind": (BLIND, BLIND_DECKS, newest_changes),
}


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
    fast = recorders[0].fast_samples()
    values |= {"fast_seconds": np.array(times)[fast.frame] - times[0], "fast_thumbnails": fast["fast_thumbnail"]}
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
            values["fast_seconds"],
            values["fast_thumbnails"],
        )
        for number, values in enumerate(recorded)
    }


def is_compared(left: Video, right: Video, of_one: int, of_others: int) -> bool:
    """Whether a pair is compared: all with an original, of the others one in so many."""
    if left.original == right.original and (left.change is None or right.change is None):
        return True
    number = hashlib.sha256(f"{left.path.stem} {right.path.stem}".encode()).digest()
    return int.from_bytes(number[:4]) % (of_one if left.original == right.original else of_others) == 0


def all_videos(folder: Path, work: Path, half: str) -> list[Video]:
    """Those of one half, made where they are not there yet."""
    sources, decks, changes_of = HALVES[half]
    videos = make_videos(folder, work / "clips", sources, changes_of)
    for deck in decks:
        make_deck(deck, work)
    videos += make_videos(work, work / "clips", tuple(deck_source(deck) for deck in decks), changes_of)
    return videos + make_cards(work / "cards")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how well copies are found.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--half", choices=HALVES, default="tuned", help="on 'tuned' thresholds were chosen")
    parser.add_argument("--of-one", type=int, default=20, help="of pairs of changed copies of one clip, one in so many")
    parser.add_argument("--of-others", type=int, default=1, help="of candidates of different clips, one in so many")
    parser.add_argument("--pairs", action="store_true", help="print the pairs that are missed and wrong")
    args = parser.parse_args()
    cache = args.work / "recorded"
    cache.mkdir(parents=True, exist_ok=True)
    videos = all_videos(args.folder, args.work, args.half)
    recorded = [record(video, cache) for video in videos]
    started = time.process_time()
    clips = hashes_of(videos, recorded)
    likely = candidates(looked_for(clips), landmarks_of(clips, STORED_WINDOWS))
    among = {
        (a, b)
        for a, b in itertools.combinations(range(len(videos)), 2)
        if is_compared(videos[a], videos[b], args.of_one, args.of_others)
    }
    compared = {pair: likely[pair] for pair in sorted(among & likely.keys())}
    print(f"{len(videos)} videos, {sum(video.change is None for video in videos)} of them no copies")
    print(f"candidates: {len(likely)}, CPU {time.process_time() - started:.1f} s; compared: {len(compared)}")
    started = time.process_time()
    found = {(pair.left, pair.right): pair for pair in confirmed(compared, clips, 0.5)}
    print(f"CPU to compare them: {time.process_time() - started:.1f} s")
    report_found(videos, among, compared.keys(), found, shows_pairs=args.pairs)
    report_quality(videos, [dict(values["columns"][0]) for values in recorded], found, shows_pairs=args.pairs)


if __name__ == "__main__":
    main()
