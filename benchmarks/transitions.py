"""How right transitions and clips are, on labelled videos and on videos synthesised of them.

    PYTHONPATH=. python benchmarks/transitions.py MEDIA WORK [--videos 45] [--set threshold=0.4 ...]

MEDIA holds videos and their labels, `shots.json`. WORK keeps synthesised videos, and of every video its small pictures
and what the network says of them, so that another measure, rule or threshold is tried in a minute or two. The halves
share no source: rules and thresholds were chosen on the tuned half.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from benchmarks.recorded_videos import RecordedVideo
from benchmarks.slide_decks import make_deck_videos
from benchmarks.transition_videos import KEPT, TUNED, make_videos
from stages.params import SplitParams, validate
from stages.split import Timeline, Transition
from stages.split.shots import ShotSplitter

TOLERANCE_FRAMES = 2
COVERAGE_CROP_S = 0.1
Range = tuple[int, int]
"""First and last frame."""


@dataclass
class Score:
    """Sums over videos."""

    found: int = 0
    missed: int = 0
    false: int = 0
    clip_s: float = 0
    spoilt_s: float = 0
    shot_s: float = 0
    covered_s: float = 0
    kinds: Counter[tuple[str, str]] = field(default_factory=Counter)

    def line(self) -> str:
        """Recall, precision and F1 of changes; shares of the time of clips and of true shots."""
        recall = self.found / max(1, self.found + self.missed)
        precision = self.found / max(1, self.found + self.false)
        f1 = 2 * self.found / max(1, 2 * self.found + self.missed + self.false)
        spoilt, covered = self.spoilt_s / max(1e-9, self.clip_s), self.covered_s / max(1e-9, self.shot_s)
        return (
            f"{self.found + self.missed} changes, recall {recall:.3f}, precision {precision:.3f}, F1 {f1:.3f}; "
            f"{spoilt:.2%} of {self.clip_s:.0f} s of clips in gradual transitions; "
            f"{covered:.1%} of {self.shot_s:.0f} s of shots in clips"
        )


class Benchmark:
    """Scores videos by one set of parameters.

    Args:
        params: of split.
        cache: folder for recorded videos.
    """

    def __init__(self, params: SplitParams, cache: Path) -> None:
        self._splitter = ShotSplitter(params)
        self._cropped = ShotSplitter(params.model_copy(update={"crop_s": COVERAGE_CROP_S}))
        self._cache = cache

    def score(self, videos: Iterable[tuple[Path, Mapping[str, Any]]]) -> Score:
        """Score these videos against their labels."""
        total = Score()
        for path, label in videos:
            self._add(total, path, label)
        return total

    def _measured(self, path: Path) -> tuple[Mapping[str, NDArray[Any]], Timeline]:
        video = RecordedVideo.of(
            path, self._cache / f"{path.parent.name}-{path.name}.npz", self._splitter.params.windows
        )
        return video.measured(self._splitter.params), video.timeline

    def _add(self, total: Score, path: Path, label: Mapping[str, Any]) -> None:
        measured, timeline = self._measured(path)
        scale = _LabelScale(timeline, label)
        self._splitter.restore(measured)
        self._cropped.restore(measured)
        transitions = self._splitter.transitions(timeline)
        inner = [each for each in transitions if each.start > 0 and each.end < len(timeline)]
        found, missed, false = score_changes(label, [scale.range(each) for each in inner])
        total.found, total.missed, total.false = total.found + found, total.missed + missed, total.false + false
        gradual, shots = _ranges(label), _true_shots(label, self._splitter.params.min_length_s / scale.frame_s)
        clips = [scale.frames(piece.start, piece.end) for piece in self._splitter.pieces(timeline)]
        cropped = [scale.frames(piece.start, piece.end) for piece in self._cropped.pieces(timeline)]
        total.clip_s += sum(end - start for start, end in clips) * scale.frame_s
        total.spoilt_s += _common_frames(clips, gradual) * scale.frame_s
        total.shot_s += sum(end - start for start, end in shots) * scale.frame_s
        total.covered_s += _common_frames(cropped, shots) * scale.frame_s
        for kind, (start, end) in zip(label.get("kinds", ()), _all_changes(label), strict=False):
            near = [
                each
                for each in transitions
                if each.start <= end + TOLERANCE_FRAMES and each.end >= start - TOLERANCE_FRAMES
            ]
            longest = max(near, key=lambda each: each.end - each.start, default=None)
            total.kinds[kind, longest.kind if longest else "none"] += 1


class _LabelScale:
    """Brings frames to those of the label, which may count another stream of the file, at another rate."""

    def __init__(self, timeline: Timeline, label: Mapping[str, Any]) -> None:
        self._timeline = timeline
        length_s = float((timeline.end_pts - timeline.at(0)) * timeline.time_base)
        self.frame_s = length_s / label["n_frames"]
        self._is_same = len(timeline) == label["n_frames"]

    def _frame(self, boundary: int) -> int:
        if self._is_same:
            return boundary
        timeline = self._timeline
        return round(float((timeline.at(boundary) - timeline.at(0)) * timeline.time_base) / self.frame_s)

    def frames(self, start: int, end: int) -> Range:
        """The same frames [start, end), as the label counts them."""
        return self._frame(start), self._frame(end)

    def range(self, transition: Transition) -> Range:
        """First and last frame of a transition."""
        return self.frames(transition.start, max(transition.start, transition.end - 1))


def _ranges(label: Mapping[str, Any]) -> list[Range]:
    return [(start, end) for start, end in label["gradual"]]


def _all_changes(label: Mapping[str, Any]) -> list[Range]:
    return sorted([*((cut, cut) for cut in label["cuts"]), *_ranges(label)])


def _true_shots(label: Mapping[str, Any], min_frames: float) -> list[Range]:
    """Frames [start, end) between changes, where they are as long as a clip must be."""
    edges = [0, *(frame for change in _all_changes(label) for frame in change), label["n_frames"]]
    return [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if end - start >= min_frames]


def _common_frames(first: Iterable[Range], second: list[Range]) -> int:
    """Frames that lie in a range [start, end) of both; those of each are disjoint."""
    return sum(max(0, min(a[1], b[1]) - max(a[0], b[0])) for a in first for b in second)


def score_changes(label: Mapping[str, Any], predicted: Iterable[Range]) -> tuple[int, int, int]:
    """Changes found and missed, and false alarms, by the rules that stand in ``shots.json``."""
    entries = sorted(predicted)
    used: set[int] = set()
    found = 0

    def touching(first: int, last: int) -> set[int]:
        near = (index for index, entry in enumerate(entries) if _is_near(entry, (first, last)))
        return set(near)

    for cut in label["cuts"]:
        if free := touching(cut, cut) - used:
            used.add(min(free, key=lambda index: abs(entries[index][0] - cut)))
            found += 1
    for start, end in _ranges(label):
        inside = touching(start, end)
        found += bool(inside)
        used |= inside
    for excused in (*label.get("hard_edges", ()), *label.get("ambiguous", ())):
        used |= touching(*(excused if isinstance(excused, list) else (excused, excused)))
    return found, len(label["cuts"]) + len(label["gradual"]) - found, len(entries) - len(used)


def _is_near(entry: Range, target: Range) -> bool:
    return entry[0] <= target[1] + TOLERANCE_FRAMES and entry[1] >= target[0] - TOLERANCE_FRAMES


def _labelled(folder: Path, file: str, names: Iterable[str] | None = None) -> list[tuple[Path, Mapping[str, Any]]]:
    labels = {name: label for name, label in json.loads((folder / file).read_text()).items() if name[0] != "_"}
    return [(folder / name, labels[name]) for name in (labels if names is None else names)]


def main() -> None:
    parser = argparse.ArgumentParser(description="How right transitions and clips are.")
    parser.add_argument("media", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--videos", type=int, default=45, help="synthesised of each half")
    parser.add_argument("--decks", type=int, default=12, help="drawn decks of slides of each half, a video each")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of split")
    args = parser.parse_args()
    params = validate(SplitParams, "split", dict(setting.split("=", 1) for setting in args.set))
    cache = args.work / f"recorded_{params.windows}"
    cache.mkdir(parents=True, exist_ok=True)
    benchmark = Benchmark(params, cache)
    print("labelled, all:", benchmark.score(_labelled(args.media, "shots.json")).line(), flush=True)
    for half, names in (("tuned", TUNED), ("kept", KEPT)):
        make_videos(args.work / half, args.media, is_kept=half == "kept", number=args.videos)
        print(f"labelled, {half} sources:", benchmark.score(_labelled(args.media, "shots.json", names)).line())
        _print_score(f"synthesised, {half}", benchmark.score(_labelled(args.work / half, "truth.json")))
    for half, first in (("tuned", 2000), ("kept", 3000)):
        make_deck_videos(args.work / f"slides_{half}", first=first, number=args.decks)
        _print_score(f"drawn slides, {half}", benchmark.score(_labelled(args.work / f"slides_{half}", "truth.json")))


def _print_score(name: str, score: Score) -> None:
    print(f"{name}:", score.line(), flush=True)
    for (true, found), number in sorted(score.kinds.items()):
        print(f"    {true} taken for {found}: {number}")


if __name__ == "__main__":
    main()
