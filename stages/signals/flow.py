"""Motion of a video, between pairs of pictures a fixed time apart, in picture diagonals a second."""

from array import array
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.signals.camera_motion import camera_velocities, classify_camera, motion_class
from stages.signals.clip_values import whole_pairs
from stages.signals.frame_pictures import FramePictures
from stages.signals.pair_motion import LONG_SIDE_PX, SHORT_SIDE_PX, PairMeter
from stages.signals.recorder import Recorder
from stages.signals.sample_times import SampleTimes
from stages.signals.samples import Samples
from stages.tasks import Row

PAIRS_PER_S = 3.0
MIN_GAP_S = 0.0795
MAX_GAP_S = 0.1255
"""A pair's second picture is the first at least `MIN_GAP_S` later, or the one before where that would lie beyond
`MAX_GAP_S`: 80 to 125 ms at nearly all frame rates from 12 a second on, 67 ms at 15. Rates that were made by repeating
frames have a new frame in it."""

BATCH_PAIRS = 16
"""Pairs that are measured one after another: between frames of a decode, the code of each step would be out of the
cache for each, which takes up to twice as long."""

COLUMNS = ("flow", "flow_subject", "flow_right", "flow_down", "flow_growth", "flow_turn", "flow_inliers", "flow_noise")


class _Picture(NamedTuple):
    frame: int
    pts: int
    luma: NDArray[np.uint8] | None
    """None of a frame that was skipped: its pair is measured with the section before."""


class _Pair(NamedTuple):
    frame: int
    gap: int
    seconds: float
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    pixel_aspect: float


class FlowRecorder(Recorder):
    """Records the motion from sampled frames to the frames some `MIN_GAP_S` later.

    Args:
        time_base: seconds per unit of PTS.
    """

    name = "flow"
    version = "4"
    clip_columns = (
        "flow_mean",
        "flow_p95",
        "camera_motion",
        "camera_speed",
        "camera_direction",
        "subject_motion",
        "motion_class",
    )

    def __init__(self, time_base: Fraction) -> None:
        self._seconds_per_pts = float(time_base)
        self._times = SampleTimes(PAIRS_PER_S, time_base)
        self._meter = PairMeter()
        self._open: _Picture | None = None
        self._waiting: list[_Pair] = []
        self._last_pts = 0
        self._frames, self._gaps, self._values = array("q"), array("q"), array("d")

    def push(self, pictures: FramePictures) -> None:
        """Add the next frame."""
        index, pts = pictures.decoded.index, pictures.decoded.pts
        if (first := self._ended(pts)) is not None:
            self._close(first, pictures)
        if self._begins(pts):
            self._open = _Picture(index, pts, _luma(pictures))

    def skip(self, pts: int) -> None:
        """Count its time, and whether it begins or ends a pair."""
        self._ended(pts)
        if self._begins(pts):
            self._open = _Picture(-1, pts, None)

    def samples(self) -> Samples:
        """What was measured of each pair, at its first frame: ``flow_gap`` frames to its second, and `COLUMNS`."""
        self._measure_waiting()
        values = np.array(self._values, np.float32).reshape(-1, len(COLUMNS))
        columns = {name: values[:, number] for number, name in enumerate(COLUMNS)}
        return Samples(np.array(self._frames, np.int64), {"flow_gap": np.array(self._gaps, np.int64), **columns})

    @classmethod
    def reduce(cls, samples: Samples, start: int, end: int) -> Row:
        """Means over the pairs that lie inside, and what they say of the camera; None where no pair does."""
        pairs = whole_pairs(samples, start, end)
        if not len(pairs):
            return dict.fromkeys(cls.clip_columns)
        flow, subject, *background = (pairs[name].astype(np.float64) for name in COLUMNS[:6])
        camera = classify_camera(camera_velocities(*background))
        return {
            "flow_mean": float(flow.mean()),
            "flow_p95": float(np.percentile(flow, 95)),
            "camera_motion": camera.motion,
            "camera_speed": camera.speed,
            "camera_direction": camera.direction,
            "subject_motion": float(subject.mean()),
            "motion_class": motion_class(float(flow.mean())),
        }

    def _ended(self, pts: int) -> _Picture | None:
        """The first picture of the pair that a frame of this time ends; None where it ends none."""
        first = self._open
        if first is not None:
            gap_s, step_s = ((pts - earlier) * self._seconds_per_pts for earlier in (first.pts, self._last_pts))
            if gap_s >= MIN_GAP_S or gap_s + step_s > MAX_GAP_S:
                self._open = None
                return first
        return None

    def _begins(self, pts: int) -> bool:
        """Whether the frame of this time, the next one, begins a pair."""
        self._last_pts = pts
        return self._times.is_due(pts) and self._open is None

    def _close(self, first: _Picture, pictures: FramePictures) -> None:
        if first.luma is None:
            return
        size, luma = pictures.displayed_size, _luma(pictures)
        height, width = luma.shape
        if luma.shape != first.luma.shape:
            return
        seconds = (pictures.decoded.pts - first.pts) * self._seconds_per_pts
        aspect = (size.width / width) / (size.height / height)
        self._waiting.append(
            _Pair(first.frame, pictures.decoded.index - first.frame, seconds, first.luma, luma, aspect)
        )
        if len(self._waiting) >= BATCH_PAIRS:
            self._measure_waiting()

    def _measure_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for pair in waiting:
            motion = self._meter.measure(pair.before, pair.after, pair.pixel_aspect)
            if motion is None:
                continue
            speeds = (motion.flow, motion.subject, motion.right, motion.down, motion.growth, motion.turn)
            self._frames.append(pair.frame)
            self._gaps.append(pair.gap)
            self._values.extend([*(speed / pair.seconds for speed in speeds), motion.inliers, motion.noise])


def _luma(pictures: FramePictures) -> NDArray[np.uint8]:
    return pictures.luma(LONG_SIDE_PX, min_px=SHORT_SIDE_PX)
