"""Motion of a video: optical flow and codec motion vectors, recorded while it is decoded, with statistics by span."""

import math
from array import array
from bisect import bisect_left
from fractions import Fraction
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from numpy.typing import NDArray

from stages.media.decode import DecodedFrame, UprightScaler, displayed_size, fit
from stages.tasks import Size, Span

FLOW_LONG_SIDE_PX = 160
FLOW_SHORT_SIDE_PX = 32
"""OpenCV's DIS flow crashes the process on images that are wide and lower than this (160x28 does, 160x32 does not)."""

PATCH_PX = 256
BLOCKS = ((8, 8), (16, 16), (16, 8), (8, 16))
VECTOR_SAMPLES_PER_S = 2


class FlowStatistics(NamedTuple):
    """Optical flow of one span, in frame diagonals per second.

    Attributes:
        mean: over the span's samples.
        p95: 95th percentile over the span's samples.
    """

    mean: float
    p95: float


class FlowRecorder:
    """Records the mean optical flow between each sampled frame and the frame after it.

    Args:
        time_base: seconds per unit of PTS.
        pixel_aspect: of the stream; None for square pixels.
    """

    def __init__(self, time_base: Fraction, pixel_aspect: Fraction | None) -> None:
        self._time_base = time_base
        self._pixel_aspect = pixel_aspect
        self._method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._scaler: UprightScaler | None = None
        self._diagonals_per_px = np.ones(2, np.float32)
        self._starts, self._ends, self._values = array("q"), array("q"), array("d")

    def measure(self, sampled: DecodedFrame, following: DecodedFrame) -> None:
        """Record one sample; PTS must rise."""
        scaler = self._scaler or self._create_scaler(sampled.frame)
        flow = self._method.calc(scaler(sampled.frame), scaler(following.frame), None)  # type: ignore[call-overload]
        seconds = float((following.pts - sampled.pts) * self._time_base)
        length = float(np.linalg.norm(flow * self._diagonals_per_px, axis=2).mean()) / seconds
        self._starts.append(sampled.pts)
        self._ends.append(following.pts)
        self._values.append(length)

    def statistics(self, span: Span) -> FlowStatistics | None:
        """Flow inside a span; None where the span holds no sampled frame together with the frame after it."""
        first, last = bisect_left(self._starts, span.start_pts), bisect_left(self._ends, span.end_pts)
        if first >= last:
            return None
        values = np.frombuffer(self._values, np.float64)[first:last]
        return FlowStatistics(float(values.mean()), float(np.percentile(values, 95)))

    def _create_scaler(self, frame: av.VideoFrame) -> UprightScaler:
        displayed = displayed_size(frame, self._pixel_aspect)
        small = fit(displayed, FLOW_LONG_SIDE_PX)
        small = Size(max(FLOW_SHORT_SIDE_PX, small.width), max(FLOW_SHORT_SIDE_PX, small.height))
        scale = np.array([displayed.width / small.width, displayed.height / small.height], np.float32)
        self._diagonals_per_px = scale / math.hypot(displayed.width, displayed.height)
        self._scaler = UprightScaler(small, pixel_format="gray")
        return self._scaler


class VectorStatistics(NamedTuple):
    """Length of one span's motion vectors, as a fraction of height plus width.

    Attributes:
        mean: over pixels and samples.
        patch_min: of the 256x256 patch with the least motion.
    """

    mean: float
    patch_min: float


class VectorRecorder:
    """Records the codec's motion vectors, two samples per second; NeMo Curator's motion score, for any span.

    A sample is the first frame with vectors at or after its sampling position: keyframes carry none.

    Args:
        rate: the stream's average frames per second; None samples every frame.
    """

    def __init__(self, rate: Fraction | None) -> None:
        self._step = max(1, round((rate or 0) / VECTOR_SAMPLES_PER_S))
        self._next = 0
        self._size: tuple[int, int] | None = None
        self._pts, self._means = array("q"), array("d")
        self._patches: list[NDArray[np.float32]] = []

    def push(self, decoded: DecodedFrame) -> None:
        """Add the next frame; PTS must rise."""
        frame = decoded.frame
        if decoded.index < self._next or min(frame.width, frame.height) < PATCH_PX:
            return
        # frame.side_data would make a reference cycle: decoded frames would then stay until the garbage collector runs.
        side_data: Any = SideDataContainer(frame).get(Type.MOTION_VECTORS)  # type: ignore[call-arg] - stub
        if side_data is None or self._size not in (None, (frame.width, frame.height)):
            return
        self._size = (frame.width, frame.height)
        self._next = (decoded.index // self._step + 1) * self._step
        mean, patches = vector_lengths(side_data.to_ndarray(), Size(*self._size))
        self._pts.append(decoded.pts)
        self._means.append(mean)
        self._patches.append(patches)

    def statistics(self, span: Span) -> VectorStatistics | None:
        """Statistics of a span; None where no frame in it carries vectors, or a side is below 256 pixels."""
        first, last = bisect_left(self._pts, span.start_pts), bisect_left(self._pts, span.end_pts)
        if first >= last:
            return None
        patches = np.mean(self._patches[first:last], axis=0)
        return VectorStatistics(sum(self._means[first:last]) / (last - first), float(patches.min()))


def vector_lengths(vectors: NDArray[np.void], size: Size) -> tuple[float, NDArray[np.float32]]:
    """Mean vector length over all pixels, and the length of each 256x256 patch, both divided by height plus width.

    A vector applies to the pixels of its block; where blocks overlap, the later vector applies. Blocks other than
    8x8, 16x16, 16x8 and 8x16 are ignored. A patch's length is the mean of the four pixels around its centre, as
    bilinear scaling to 1/256 computes it.

    Args:
        vectors: structured array with w, h, dst_x, dst_y, motion_x, motion_y and motion_scale.
        size: of the frame.

    Returns:
        The mean, and float32 ``[round(height / 256), round(width / 256)]``.
    """
    counted = [(vectors["w"] == width) & (vectors["h"] == height) for width, height in BLOCKS]
    vectors = vectors[np.logical_or.reduce(counted)] if len(vectors) else vectors
    left = vectors["dst_x"].astype(np.int32) - vectors["w"] // 2
    top = vectors["dst_y"].astype(np.int32) - vectors["h"] // 2
    cell = _cell_size(left, top, size)
    lengths = np.hypot(vectors["motion_x"], vectors["motion_y"]) / np.maximum(vectors["motion_scale"], 1)
    grid = np.zeros((-(-size.height // cell), -(-size.width // cell)), np.float32)
    steps = np.arange(0, 16, cell)
    down, right = (part.ravel() for part in np.meshgrid(steps, steps, indexing="ij"))
    inside = (right < vectors["w"][:, None]) & (down < vectors["h"][:, None])
    rows = np.clip((top[:, None] + down) // cell, 0, grid.shape[0] - 1)
    columns = np.clip((left[:, None] + right) // cell, 0, grid.shape[1] - 1)
    # NumPy keeps the last value assigned to a repeated index, so later vectors overwrite earlier ones.
    values = np.broadcast_to((lengths / (size.height + size.width))[:, None], inside.shape)
    grid[rows[inside], columns[inside]] = values[inside]
    return _mean_over_pixels(grid, cell, size), _patch_means(grid, cell, size)


def _cell_size(left: NDArray[np.int32], top: NDArray[np.int32], size: Size) -> int:
    """8 where all blocks lie inside the frame on a grid of 8 pixels, as with most codecs; else 1."""
    aligned = not ((left % 8).any() or (top % 8).any())
    outside = (left < 0).any() or (top < 0).any() or (left >= size.width).any() or (top >= size.height).any()
    return 8 if aligned and not outside else 1


def _mean_over_pixels(grid: NDArray[np.float32], cell: int, size: Size) -> float:
    """Mean weighted by the pixels of each cell; cells of the last row and column may extend beyond the frame."""
    heights = np.minimum(cell, size.height - cell * np.arange(grid.shape[0]))
    widths = np.minimum(cell, size.width - cell * np.arange(grid.shape[1]))
    return float(heights @ grid.astype(np.float64) @ widths) / (size.height * size.width)


def _patch_means(grid: NDArray[np.float32], cell: int, size: Size) -> NDArray[np.float32]:
    def centre_cells(length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        before = np.arange(round(length / PATCH_PX)) * PATCH_PX + PATCH_PX // 2 - 1
        return np.minimum(before, length - 1) // cell, np.minimum(before + 1, length - 1) // cell

    rows, columns = centre_cells(size.height), centre_cells(size.width)
    corners = np.stack([grid[np.ix_(row, column)] for row in rows for column in columns])
    return corners.mean(axis=0, dtype=np.float32)
