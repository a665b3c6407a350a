"""Optical flow of a video: its mean length between a sampled frame and the next, in picture diagonals a second."""

import math
from array import array
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.media import NearestSampler
from stages.signals.frame_pictures import FramePictures
from stages.signals.recorder import Recorder
from stages.signals.samples import Samples
from stages.tasks import Row

FLOW_LONG_SIDE_PX = 160
FLOW_SHORT_SIDE_PX = 32
"""OpenCV's DIS flow crashes the process on images that are wide and lower than this (160x28 does, 160x32 does not)."""


class FlowRecorder(Recorder):
    """Records the mean optical flow between each sampled frame and the frame after it.

    Args:
        time_base: seconds per unit of PTS.
        fps: sampled frames a second.
    """

    name = "flow"
    clip_columns = ("flow_mean", "flow_p95")

    def __init__(self, time_base: Fraction, fps: float) -> None:
        self._time_base = time_base
        self._sampler = NearestSampler(fps, time_base)
        self._method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._previous: FramePictures | None = None
        self._previous_sampled = False
        self._frames, self._values = array("q"), array("d")

    def push(self, pictures: FramePictures) -> None:
        """Add the next frame."""
        selection = self._sampler.push(pictures.decoded.pts)
        if self._previous is not None and (selection.previous or self._previous_sampled):
            self._measure(self._previous, pictures)
        self._previous, self._previous_sampled = pictures, selection.current

    def samples(self) -> Samples:
        """``flow`` ``[N]``, at the first frame of each pair."""
        self._previous = None
        frames = np.frombuffer(self._frames, np.int64) if self._frames else np.zeros(0, np.int64)
        return Samples(frames, {"flow": np.array(self._values, np.float64)})

    @classmethod
    def reduce(cls, samples: Samples, start: int, end: int) -> Row:
        """Mean and 95th percentile over the pairs that lie inside; None where none does."""
        values: NDArray[np.float64] = samples.within(start, end - 1)["flow"].astype(np.float64)
        if not len(values):
            return dict.fromkeys(cls.clip_columns)
        return {"flow_mean": float(values.mean()), "flow_p95": float(np.percentile(values, 95))}

    def _measure(self, sampled: FramePictures, following: FramePictures) -> None:
        before, after = (each.luma(FLOW_LONG_SIDE_PX, min_px=FLOW_SHORT_SIDE_PX) for each in (sampled, following))
        flow = self._method.calc(before, after, None)  # type: ignore[call-overload] - the stub demands a flow
        size = sampled.displayed_size
        scale = np.array([size.width / before.shape[1], size.height / before.shape[0]], np.float32)
        seconds = float((following.decoded.pts - sampled.decoded.pts) * self._time_base)
        diagonal = math.hypot(size.width, size.height)
        self._frames.append(sampled.decoded.index)
        self._values.append(float(np.linalg.norm(flow * (scale / diagonal), axis=2).mean()) / seconds)
