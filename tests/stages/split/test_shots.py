"""The splitters: shot changes, still pictures, lengths, keyframes, NeMo Curator's way."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stages.media import UprightScaler, decode_frames, frame_rate, open_video, video_stream
from stages.params import SplitParams
from stages.split.fixed_stride import FixedStrideSplitter
from stages.split.shots import ShotSplitter
from stages.split.spans import Timeline
from stages.split.static_cuts import StaticCutDetector, static_cuts
from stages.split.transnetv2_detector import TransNetV2Detector
from stages.stage import NodeInfo, WorkerMetadata
from tests.stages.split.test_change_meter import texture
from tests.videos import Picture, noise_shot, slides, three_shots

WORKER = WorkerMetadata("test", NodeInfo("test", 1, 0))


def steady(num_frames: int, rate: int = 25, keyframes: tuple[int, ...] = (0,)) -> Timeline:
    return Timeline(range(num_frames), num_frames, Fraction(1, rate), keyframes)


def feed(splitter: ShotSplitter, path: Path) -> Timeline:
    """Push a video through a splitter, as a worker does."""
    splitter.setup(WORKER)
    scaler = UprightScaler(TransNetV2Detector.picture_size)
    with open_video(str(path)) as container:
        time_base = video_stream(container).time_base or Fraction(1)
        splitter.begin_video(frame_rate(video_stream(container)))
        frames = list(decode_frames(container))
    splitter.push(np.stack([scaler(decoded.frame) for decoded in frames]))
    keyframes = [decoded.index for decoded in frames if decoded.is_keyframe]
    return Timeline([decoded.pts for decoded in frames], frames[-1].pts + 512, time_base, keyframes)


def test_shot_splitter_finds_hard_cuts(tmp_path: Path) -> None:
    splitter = ShotSplitter(SplitParams(min_length_s=1, crop_s=0.2))
    timeline = feed(splitter, three_shots(tmp_path / "a.mp4"))
    pieces = splitter.pieces(timeline)
    assert [(piece.start, piece.end) for piece in pieces] == [(0, 70), (80, 145), (155, 225)]
    assert [(piece.starts_at_cut, piece.ends_at_cut) for piece in pieces] == [
        (False, True),
        (True, True),
        (True, False),
    ]
    assert [piece.shot.start for piece in pieces] == [0, 75, 150]


@pytest.mark.system
def test_shot_splitter_finds_slides_that_the_network_misses(tmp_path: Path) -> None:
    splitter = ShotSplitter(SplitParams())
    shots = splitter.shots(feed(splitter, slides(tmp_path / "a.mp4")))
    assert [shot.start for shot in shots] == [0, 75, 150]
    assert all((shot.start_probability or 0) < splitter.params.threshold for shot in shots)


def joined_shots() -> list[NDArray[np.float32]]:
    """Four shots with some motion: dissolve [60, 80), fade through black [160, 185), wipe [265, 285)."""
    first, second, third, last = (
        [np.roll(texture(seed), index // 3, axis=1) for index in range(length)]
        for seed, length in ((1, 60), (2, 80), (3, 80), (4, 50))
    )
    parts, edges = np.arange(1, 21) / 21, np.arange(48)[None, :, None] / 48
    return [
        *first,
        *(first[-1] * (1 - part) + second[0] * part for part in parts),
        *second,
        *(second[-1] * part for part in np.arange(10, 0, -1) / 11),
        *[np.zeros_like(first[0])] * 5,
        *(third[0] * part for part in np.arange(1, 11) / 11),
        *third,
        *(np.where(edges < part, last[0], third[-1]) for part in parts),
        *last,
    ]


@pytest.mark.system
@pytest.mark.parametrize("repeats", [1, 2], ids=["25 frames/s", "the same at 50"])
def test_shot_splitter_finds_gradual_transitions_whole(repeats: int) -> None:
    pictures = np.rint(np.stack(joined_shots())).astype(np.uint8).repeat(repeats, axis=0)
    timeline = steady(len(pictures), 25 * repeats)
    splitter = ShotSplitter(SplitParams(min_length_s=1, crop_s=0))
    splitter.setup(WORKER)
    splitter.begin_video(Fraction(25 * repeats))
    for start in range(0, len(pictures), 70):
        splitter.push(pictures[start : start + 70])
    found = splitter.transitions(timeline)
    assert [each.kind for each in found] == ["dissolve", "fade", "wipe"]
    for each, (start, end) in zip(found, [(60, 80), (160, 185), (265, 285)], strict=True):
        assert start - 8 <= each.start / repeats <= start + 3
        assert end - 1 <= each.end / repeats <= end + 8
    assert [(piece.start, piece.end) for piece in splitter.pieces(timeline)] == [
        (0, found[0].start),
        (found[0].end, found[1].start),
        (found[1].end, found[2].start),
        (found[2].end, len(pictures)),
    ]
    again = ShotSplitter(SplitParams(min_length_s=1, crop_s=0))
    again.restore(splitter.measured() or {})
    assert again.transitions(timeline) == found


@pytest.mark.system
def test_shot_splitter_repeats_nemo_curator(tmp_path: Path) -> None:
    splitter = ShotSplitter(SplitParams(compat="nemo", min_length_s=1, crop_s=0.2))
    timeline = feed(splitter, three_shots(tmp_path / "a.mp4"))
    # A scene ends where the transition begins (74), the last a frame early; both ends of each are cropped by 5.
    assert [(piece.start, piece.end) for piece in splitter.pieces(timeline)] == [(5, 69), (80, 144), (155, 219)]


@pytest.mark.system
def test_shot_splitter_snaps_to_keyframes(tmp_path: Path) -> None:
    splitter = ShotSplitter(SplitParams(min_length_s=1, snap_to_keyframes=True))
    timeline = feed(splitter, three_shots(tmp_path / "a.mp4"))
    pieces = splitter.pieces(timeline)
    assert pieces
    assert all(timeline.is_key(piece.start) and timeline.is_key(piece.end) for piece in pieces)


def test_shot_splitter_names_its_weights() -> None:
    identity = ShotSplitter(SplitParams()).identity()
    assert identity["model"] == "transnetv2"
    assert len(identity["weights_hash"]) == 16


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"clip_length_s": 4}, [(0, 100), (100, 200), (200, 250)]),
        ({"clip_length_s": 4, "min_length_s": 2.5}, [(0, 100), (100, 200)]),
        ({"clip_length_s": 4, "stride_s": 3, "min_length_s": 4}, [(0, 100), (75, 175), (150, 250)]),
        ({"clip_length_s": 4, "snap_to_keyframes": True}, [(0, 90), (120, 180)]),
        ({"clip_length_s": 0.5, "min_length_s": 0, "stride_s": 5}, [(0, 13), (125, 138)]),
    ],
)
def test_fixed_stride_splitter_cuts_at_regular_times(params: dict[str, Any], expected: list[tuple[int, int]]) -> None:
    splitter = FixedStrideSplitter(SplitParams(method="fixed_stride", **params))
    pieces = splitter.pieces(steady(250, keyframes=tuple(range(0, 250, 30))))
    assert [(piece.start, piece.end) for piece in pieces] == expected


def still_cuts(pictures: list[Picture], threshold: float = 3, rate: int = 25) -> list[int]:
    detector = StaticCutDetector()
    for start in range(0, len(pictures), 20):
        detector.push(np.stack(pictures[start : start + 20]))
    return static_cuts(detector.changes(), steady(len(pictures), rate), threshold)


def flat(grey: int, num_frames: int) -> list[Picture]:
    return [np.full((27, 48, 3), grey, np.uint8)] * num_frames


def test_still_detector_finds_a_lone_change() -> None:
    assert still_cuts(flat(100, 30) + flat(110, 30)) == [30]


@pytest.mark.parametrize(
    "pictures",
    [
        flat(100, 30) + flat(102, 30),
        flat(100, 20) + flat(110, 30),
        flat(100, 30) + flat(110, 12) + flat(120, 30),
        flat(100, 30) + noise_shot(1, 40, width=48, height=24),
        [np.full((27, 48, 3), 100 + index, np.uint8) for index in range(60)],
    ],
    ids=["small", "near the start", "in steps", "motion after", "a fade"],
)
def test_still_detector_leaves_other_changes_alone(pictures: list[Picture]) -> None:
    pictures = [picture[:24] for picture in pictures]
    assert still_cuts(pictures) == []


def test_still_detector_needs_frames_that_stand() -> None:
    assert still_cuts([picture for grey in (10, 90, 30, 200) for picture in flat(grey, 1)], rate=1) == []
